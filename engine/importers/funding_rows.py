"""Rows of a table to funding rates or mark prices as integers: which are sound, and why others are
not.

Three shapes are read. Rates: a time, a rate, and the mark price where the source tells it; candles
with a rate as their open and zeros for the rest are rates too. Mark prices by themselves: a time
and a price. Mark candles: each becomes its open at its start and its high, low and close at its
last millisecond, which is when they are known for certain; a high or low that is the open or the
close adds nothing and is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from engine import _core
from engine.catalog_tables import funding_schema, marks_schema
from engine.importers.candle_rows import PRICES
from engine.importers.columns import steps
from engine.importers.table_rows import RowReader, is_empty

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

    from engine.importers.tables import Batch

    Integers = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]

__all__ = ["FIELDS", "USUAL", "RateReader", "RateRows", "is_rates_as_candles"]

USUAL = {
    "ts": (
        *("calc_time", "fundingtime", "funding_time", "ts_ms", "ts_us", "ts_ns", "ts_s", "ts"),
        *("time", "timestamp", "open_time", "date"),
    ),
    "rate": ("last_funding_rate", "fundingrate", "funding_rate", "rate"),
    "mark": ("markprice", "mark_price", "mark"),
    "symbol": ("symbol",),
    **{name: (name,) for name in PRICES},
}
FIELDS = tuple(USUAL)
"""What a column can be: `options.NAME` names it where it has none of the usual names."""

_STEP = "0.00000001"
_RATE_UNITS = 10**8
_CLOSES_NS = 1_000_000


@dataclass(frozen=True)
class RateRows:
    """Rows as integers: `row` is where each stands in its batch, `values` holds its columns by
    name, a mark price that is not known being `PX_NONE`.
    """

    row: Integers
    ts_ns: Integers
    values: dict[str, Integers]

    def __len__(self) -> int:
        return len(self.ts_ns)

    def only(self, mask: Mask) -> RateRows:
        """Those that the mask names."""
        values = {name: column[mask] for name, column in self.values.items()}
        return RateRows(self.row[mask], self.ts_ns[mask], values)

    def repeats(self, before: tuple[int, ...] | None) -> Mask:
        """Which rows equal the one right before them; `before` is `last` of what came before."""
        same = np.ones(len(self), np.bool_)
        for column in (self.ts_ns, *self.values.values()):
            same[1:] &= column[1:] == column[:-1]
        if len(self):
            same[0] = before == self._at(0)
        return same

    def last(self) -> tuple[int, ...]:
        """The last row, its time first."""
        return self._at(-1)

    def _at(self, at: int) -> tuple[int, ...]:
        return (int(self.ts_ns[at]), *(int(column[at]) for column in self.values.values()))

    def table(self, interval_ns: int, latency_ns: int) -> Any:
        """The rows as the catalog keeps them, a pyarrow table; `interval_ns` is that of candles."""
        import pyarrow as pa

        if "rate_e8" in self.values:
            mark = self.values["mark_e8"]
            arrays = [
                pa.array(self.ts_ns),
                pa.array(self.ts_ns + latency_ns),
                pa.array(self.values["rate_e8"]),
                pa.array(mark, mask=mark == _core.PX_NONE),
            ]
            return pa.table(arrays, schema=funding_schema())
        ts_ns, px_e8 = self._points(interval_ns)
        arrays = [pa.array(ts_ns), pa.array(ts_ns + latency_ns), pa.array(px_e8)]
        return pa.table(arrays, schema=marks_schema())

    def _points(self, interval_ns: int) -> tuple[Integers, Integers]:
        if "px_e8" in self.values:
            return self.ts_ns, self.values["px_e8"]
        first, high, low, close = (self.values[f"{name}_e8"] for name in PRICES)
        closes_ns = self.ts_ns + interval_ns - _CLOSES_NS
        kept = np.ones((len(self), 4), np.bool_)
        kept[:, 1] = (high != first) & (high != close)
        kept[:, 2] = (low != first) & (low != close)
        times = np.stack([self.ts_ns, closes_ns, closes_ns, closes_ns], axis=1)
        return times[kept], np.stack([first, high, low, close], axis=1)[kept]


class RateReader(RowReader):
    """Reads the rates or marks of one file; `interval_ns` is that of candles (0: the rows are
    none).
    """

    def __init__(
        self, path: Path, columns: Mapping[str, str], symbol: str, interval_ns: int, ts_unit: str
    ) -> None:
        super().__init__(path, columns, ts_unit)
        self._symbol = symbol
        self._interval_ns = interval_ns
        self.rounded = 0

    def read(self, batch: Batch) -> tuple[RateRows, dict[int, str]]:
        """The sound rows of a batch, and why the first of the others are none."""
        times, ok, reasons = self._begin(batch)
        if "symbol" in self._columns:
            self._judge(batch, "symbol", self._is_ours(batch), ok, reasons, self._symbol)
        if "rate" in self._columns:
            values = self._rates(batch, ok, reasons)
        elif "open" in self._columns:
            values = self._candles(batch, times, ok, reasons)
        else:
            values = {"px_e8": self._prices(batch, "mark", ok, reasons)}
        rows = RateRows(np.arange(batch.rows), times, values)
        return rows.only(ok), reasons

    def _rates(self, batch: Batch, ok: Mask, reasons: dict[int, str]) -> dict[str, Integers]:
        rate = self._steps(batch, "rate", _STEP, nearest=True)
        sound = rate.ok & (np.abs(rate.values) < _RATE_UNITS)
        self._judge(batch, "rate", sound, ok, reasons, "a share between -1 and 1")
        self.rounded += int((rate.rounded & ok).sum())
        mark: Integers = np.full(batch.rows, _core.PX_NONE, np.int64)
        if "mark" in self._columns:
            given = ~is_empty(batch.columns[self._columns["mark"]])
            prices = self._steps(batch, "mark", _STEP, nearest=True)
            # Binance answers 0 or nothing for fundings before it kept their mark prices.
            given &= ~(prices.ok & (prices.values == 0))
            sound = (prices.ok & (prices.values > 0)) | ~given
            self._judge(batch, "mark", sound, ok, reasons, "a price above 0, or nothing")
            mark = np.where(given, prices.values, mark)
        return {"rate_e8": rate.values, "mark_e8": mark}

    def _candles(
        self, batch: Batch, times: Integers, ok: Mask, reasons: dict[int, str]
    ) -> dict[str, Integers]:
        found = {name: self._prices(batch, name, ok, reasons) for name in PRICES}
        on_time = times % self._interval_ns == 0
        self._judge(batch, "ts", on_time, ok, reasons, "a start at a multiple of the interval")
        lowest = np.minimum(found["open"], found["close"])
        highest = np.maximum(found["open"], found["close"])
        self._judge(batch, "low", found["low"] <= lowest, ok, reasons, "at most open and close")
        self._judge(batch, "high", found["high"] >= highest, ok, reasons, "at least open and close")
        return {f"{name}_e8": values for name, values in found.items()}

    def _prices(self, batch: Batch, name: str, ok: Mask, reasons: dict[int, str]) -> Integers:
        found = self._steps(batch, name, _STEP, nearest=True)
        self._judge(batch, name, found.ok & (found.values > 0), ok, reasons, "a price above 0")
        self.rounded += int((found.rounded & ok).sum())
        values: Integers = found.values
        return values

    def _is_ours(self, batch: Batch) -> Mask:
        import pyarrow as pa
        import pyarrow.compute as pc

        column = batch.columns[self._columns["symbol"]]
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        ours = pc.equal(column.cast(pa.binary()), self._symbol.encode()).fill_null(False)
        found: Mask = ours.to_numpy(zero_copy_only=False)
        return found


def is_rates_as_candles(batch: Batch, fields: Mapping[str, str]) -> bool:
    """Whether candles hold rates: most of them zeros but for the open."""
    columns = [batch.columns[fields[name]] for name in PRICES]
    try:
        found = [steps(column, _STEP, nearest=True) for column in columns]
    except TypeError:
        return False
    zero = [item.ok & (item.values == 0) for item in found[1:]]
    return bool((zero[0] & zero[1] & zero[2]).sum() * 2 > batch.rows)
