"""Pivots and indicators over candles: the code that runs strategies, over columns.

Candles are frames as `engine.catalog.Catalog.bars` gives them: integers in ticks and lots of the
instrument, one row a candle, missing ones missing. Row i of a result by candle is what was known
when candle i was complete: a longer frame never changes it.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from engine import _core
from engine.units import duration_ns

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    import polars as pl

    from engine.instruments import Instrument

__all__ = ["floor_pivots", "indicators", "pivots", "structure"]

_TREND_NONE = int(np.iinfo(np.int8).min)


def pivots(
    candles: pl.DataFrame, instrument: Instrument, interval: str, *, k: int = 2, levels: int = 5
) -> pl.DataFrame:
    """Williams pivots of candles in the order of their confirmation; see
    `engine.Strategy.subscribe_pivots`.

    Needs the columns `ts_start_ns`, `high_ticks`, `low_ticks`. Columns of the result: `level`,
    `is_high`, `px` (quote units), `ts_pivot_ns` (start of the pivot's candle), `ts_confirmed_ns`
    (end of the candle that confirms it), `trend` (of the level then: 1, −1, 0, or null). Raises
    ValueError for settings or columns that cannot be.
    """
    import polars as pl

    _check(candles)
    starts = _ints(candles, "ts_start_ns")
    found, trends = _core.find_pivots(
        starts,
        _ints(candles, "high_ticks"),
        _ints(candles, "low_ticks"),
        starts + _interval_ns(candles, interval),
        k,
        levels,
    )
    # A quotient of whole numbers is rounded once; a product with 0.1 would be off.
    num, den = Fraction(instrument.tick).as_integer_ratio()
    return pl.DataFrame(
        {
            "level": found["level"],
            "is_high": found["is_high"].astype(bool),
            "px": found["px_ticks"].astype(np.float64) * num / den,
            "ts_pivot_ns": found["ts_pivot_ns"],
            "ts_confirmed_ns": found["ts_confirmed_ns"],
            "trend": _trend(trends),
        }
    )


def structure(
    candles: pl.DataFrame, instrument: Instrument, *, k: int = 2, levels: int = 5
) -> pl.DataFrame:
    """Market structure after each candle, a row each: `ts_start_ns`; `low` and `high`, the lowest
    and the highest of the last 256 pivots of each level and side; `support` and `resistance`, the
    nearest of these pivots at or below, and at or above, the candle's close (quote units, null
    where there is none); `trend_1` and so on, the direction of each level (1 where its last high
    and its last low are above those before, −1 where both are below, else 0; null before it has two
    of each).

    Needs the columns `ts_start_ns`, `high_ticks`, `low_ticks`, `close_ticks`. Raises ValueError for
    settings or columns that cannot be.
    """
    import polars as pl

    _check(candles)
    starts = _ints(candles, "ts_start_ns")
    found = _core.follow_structure(
        starts,
        _ints(candles, "high_ticks"),
        _ints(candles, "low_ticks"),
        _ints(candles, "close_ticks"),
        instrument.tick,
        k,
        levels,
    )
    columns = {
        name: _trend(values) if name.startswith("trend_") else _known(values)
        for name, values in found.items()
    }
    return pl.DataFrame({"ts_start_ns": starts, **columns})


def floor_pivots(candles: pl.DataFrame, instrument: Instrument, interval: str) -> pl.DataFrame:
    """Classic floor pivots after each candle, a row each: `ts_start_ns`, `p`, `r1` to `r3`, `s1` to
    `s3` (quote units) of the UTC day in which the candle ends, from the candles of the day before;
    null without these. Midnight begins the new day: the last candle of a day, and each daily one,
    has the values of the next. See `engine.Chart.floor_pivots` for the formulas.

    Needs the columns `ts_start_ns`, `high_ticks`, `low_ticks`, `close_ticks`. Raises ValueError for
    columns that cannot be.
    """
    import polars as pl

    _check(candles)
    starts = _ints(candles, "ts_start_ns")
    found = _core.follow_floor_pivots(
        starts,
        _ints(candles, "high_ticks"),
        _ints(candles, "low_ticks"),
        _ints(candles, "close_ticks"),
        _interval_ns(candles, interval),
        instrument.tick,
    )
    columns = {name: _known(values) for name, values in found.items()}
    return pl.DataFrame({"ts_start_ns": starts, **columns})


def indicators(candles: pl.DataFrame, instrument: Instrument, names: Sequence[str]) -> pl.DataFrame:
    """Indicators over candles, a row each: columns `ts_start_ns` and one for each result, null
    before an indicator has seen enough candles.

    `names` are those of `engine.Strategy.chart`. Needs the columns `ts_start_ns`, `high_ticks`,
    `low_ticks`, `close_ticks`, `volume_lots`; the value traded, `value_e8`, goes into `vwap` where
    it is there and is price × quantity, which it is not of an inverse contract or of one that is
    not one unit. Raises ValueError for names or columns that cannot be, TypeError for one text
    instead of a list.
    """
    import polars as pl

    if isinstance(names, str):
        raise TypeError(f"names: expected a list of names, found the text {names!r}")
    _check(candles)
    starts = _ints(candles, "ts_start_ns")
    volumes = _ints(candles, "volume_lots")
    _refuse(volumes < 0, "candles: expected no volume_lots below 0, found {} in row {}", volumes)
    is_value = instrument.kind != "inverse" and Decimal(instrument.contract_size) == 1
    value = None
    if is_value and "value_e8" in candles.columns:
        filled = candles.select(pl.col("value_e8").fill_null(_core.VALUE_NONE))
        value = _ints(filled, "value_e8")
    found = _core.compute_indicators(
        list(names),
        starts,
        _ints(candles, "high_ticks"),
        _ints(candles, "low_ticks"),
        _ints(candles, "close_ticks"),
        volumes,
        tick=instrument.tick,
        lot=instrument.lot,
        value_e8=value,
    )
    columns = {name: _known(values) for name, values in found.items()}
    return pl.DataFrame({"ts_start_ns": starts, **columns})


def _known(values: npt.NDArray[np.float64]) -> pl.Series:
    """What is NaN in the arrays of the core is null in a frame."""
    import polars as pl

    return pl.Series(values).fill_nan(None)


def _trend(values: npt.NDArray[np.int8]) -> pl.Series:
    import polars as pl

    trend = pl.Series(values)
    return trend.set(trend == _TREND_NONE, None)


def _ints(candles: pl.DataFrame, name: str) -> npt.NDArray[np.int64]:
    import polars as pl

    if name not in candles.columns:
        raise ValueError(f"candles: expected a column {name}, found {', '.join(candles.columns)}")
    column = candles[name]
    if column.null_count():
        raise ValueError(f"candles: expected no nulls in {name}, found {column.null_count()}")
    if not column.dtype.is_integer():
        raise ValueError(f"candles: expected whole numbers in {name}, found {column.dtype}")
    ints = column.cast(pl.Int64, strict=False)
    if ints.null_count():
        raise ValueError(f"candles: expected {name} within 63 bits, found {column.max()!r}")
    return np.ascontiguousarray(ints.to_numpy())


def _interval_ns(candles: pl.DataFrame, interval: str) -> int:
    """The length of a candle, such that the last one ends within the range of time."""
    length = duration_ns(interval, "interval")
    if len(candles) and int(candles["ts_start_ns"][-1]) + length > np.iinfo(np.int64).max:
        raise ValueError(f"interval: expected an end within 63 bits of ns, found {interval}")
    return length


def _check(candles: pl.DataFrame) -> None:
    """Refuses candles that are not in the order of time, or upside down."""
    starts = _ints(candles, "ts_start_ns")
    if len(starts) > 1 and (back := np.flatnonzero(starts[1:] <= starts[:-1])).size:
        at = int(back[0]) + 1
        raise ValueError(
            f"candles: expected ts_start_ns to rise, found {starts[at]} in row {at}"
            f" behind {starts[at - 1]}"
        )
    low, high = _ints(candles, "low_ticks"), _ints(candles, "high_ticks")
    _refuse(low > high, "candles: expected low_ticks up to high_ticks, found {} in row {}", low)
    if "close_ticks" in candles.columns:
        close = _ints(candles, "close_ticks")
        outside = (close < low) | (close > high)
        _refuse(
            outside, "candles: expected close_ticks from low to high, found {} in row {}", close
        )


def _refuse(wrong: npt.NDArray[np.bool_], message: str, values: npt.NDArray[np.int64]) -> None:
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ValueError(message.format(values[at], at))
