"""Pivots and indicators over candles: the code that runs strategies, over columns.

Candles are frames as `engine.catalog.Catalog.bars` gives them: integers in ticks and lots of the
instrument, one row a candle, missing ones missing.
"""

from __future__ import annotations

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

__all__ = ["indicators", "pivots"]


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

    _check_order(candles)
    starts = _ints(candles, "ts_start_ns")
    found, trends = _core.find_pivots(
        starts,
        _ints(candles, "high_ticks"),
        _ints(candles, "low_ticks"),
        starts + duration_ns(interval, "interval"),
        k,
        levels,
    )
    trend = pl.Series(trends)
    # A quotient of whole numbers is rounded once; a product with 0.1 would be off.
    num, den = Fraction(instrument.tick).as_integer_ratio()
    return pl.DataFrame(
        {
            "level": found["level"],
            "is_high": found["is_high"].astype(bool),
            "px": found["px_ticks"] * num / den,
            "ts_pivot_ns": found["ts_pivot_ns"],
            "ts_confirmed_ns": found["ts_confirmed_ns"],
            "trend": trend.set(trend == np.iinfo(np.int8).min, None),
        }
    )


def indicators(candles: pl.DataFrame, instrument: Instrument, names: Sequence[str]) -> pl.DataFrame:
    """Indicators over candles, a row each: columns `ts_start_ns` and one for each result, null
    before an indicator has seen enough candles.

    `names` are those of `engine.Strategy.chart`. Needs the columns `ts_start_ns`, `high_ticks`,
    `low_ticks`, `close_ticks`, `volume_lots`. Raises ValueError for names or columns that cannot
    be.
    """
    import polars as pl

    _check_order(candles)
    starts = _ints(candles, "ts_start_ns")
    found = _core.compute_indicators(
        list(names),
        starts,
        _ints(candles, "high_ticks"),
        _ints(candles, "low_ticks"),
        _ints(candles, "close_ticks"),
        _ints(candles, "volume_lots"),
        tick=instrument.tick,
        lot=instrument.lot,
    )
    frame = pl.DataFrame({"ts_start_ns": starts, **found})
    return frame.with_columns(pl.col(*found).fill_nan(None)) if found else frame


def _ints(candles: pl.DataFrame, name: str) -> npt.NDArray[np.int64]:
    if name not in candles.columns:
        raise ValueError(f"candles: expected a column {name}, found {', '.join(candles.columns)}")
    column = candles[name]
    if column.null_count():
        raise ValueError(f"candles: expected no nulls in {name}, found {column.null_count()}")
    if not column.dtype.is_integer():
        raise ValueError(f"candles: expected whole numbers in {name}, found {column.dtype}")
    return np.ascontiguousarray(column.to_numpy(), np.int64)


def _check_order(candles: pl.DataFrame) -> None:
    starts = _ints(candles, "ts_start_ns")
    if len(starts) > 1 and (back := np.flatnonzero(np.diff(starts) <= 0)).size:
        at = int(back[0]) + 1
        raise ValueError(
            f"candles: expected ts_start_ns to rise, found {starts[at]} in row {at}"
            f" behind {starts[at - 1]}"
        )
