"""Rows of a table to candles of integers: which are sound, and why the others are not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.catalog_tables import bars_schema
from engine.importers.columns import TIME_UNITS, steps, times_ns
from engine.importers.report import ImportFailed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

    from engine.importers.tables import Batch
    from engine.instruments import Instrument

    Integers = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]

__all__ = [
    "OPTIONAL",
    "PRICES",
    "TS_MAX_NS",
    "TS_MIN_NS",
    "CandleReader",
    "Candles",
    "is_empty",
    "shown",
    "time_unit",
    "utc",
]

PRICES = ("open", "high", "low", "close")
OPTIONAL = {"buy_volume": "buy_volume_lots", "trades": "trades", "value": "value_e8"}
"""Fields that a source may lack, with their columns in the catalog."""

_VALUE_STEP = "0.00000001"
TS_MIN_NS = 1_230_768_000_000_000_000  # 2009: before the first block there was nothing to trade.
TS_MAX_NS = 4_102_444_800_000_000_000  # 2100.
_REASONS_KEPT = 100
_FIRST = np.array([0])


@dataclass(frozen=True)
class Candles:
    """Candles as integers. `row` is where each stands in its batch; a column of `known` says where
    an optional one has a value; `rounded` marks volumes that were taken to the nearest lot.
    """

    row: Integers
    ts_ns: Integers
    columns: dict[str, Integers]
    known: dict[str, Mask]
    rounded: Mask

    def __len__(self) -> int:
        return len(self.ts_ns)

    def only(self, mask: Mask) -> Candles:
        """Those that the mask, or an index array, names."""
        return Candles(
            self.row[mask],
            self.ts_ns[mask],
            {name: values[mask] for name, values in self.columns.items()},
            {name: known[mask] for name, known in self.known.items()},
            self.rounded[mask],
        )

    def repeats(self, before: Candles | None) -> Mask:
        """Which candles equal the one right before them in all that is known; `before` holds the
        one before the first.
        """
        rows = [self.ts_ns, *self.columns.values(), *self.known.values()]
        same = np.ones(len(self), np.bool_)
        for values in rows:
            same[1:] &= values[1:] == values[:-1]
        if len(self):
            same[0] = before is not None and before.table().equals(self.only(_FIRST).table())
        return same

    def table(self) -> Any:
        """The candles as the catalog keeps them, a pyarrow table."""
        import pyarrow as pa

        schema = bars_schema()
        arrays = [pa.array(self.ts_ns)]
        for name in schema.names[1:]:
            if name not in self.columns:
                arrays.append(pa.nulls(len(self), pa.int64()))
                continue
            mask = ~self.known[name] if name in self.known else None
            arrays.append(pa.array(self.columns[name], mask=mask))
        return pa.table(arrays, schema=schema)


class CandleReader:
    """Reads the batches of one file. `columns` maps fields to the file's columns."""

    def __init__(
        self,
        path: Path,
        columns: Mapping[str, str],
        instrument: Instrument,
        interval_ns: int,
        ts_unit: str,
    ) -> None:
        self._path = path
        self._columns = columns
        self._instrument = instrument
        self._interval_ns = interval_ns
        self.ts_unit = ts_unit
        self.rates = 0
        self.without_volume = 0
        self.moved_without_volume = 0

    def times(self, batch: Batch) -> tuple[Integers, Mask]:
        """The time of each row in ns, and which rows have one."""
        column = batch.columns[self._columns["ts"]]
        if self.ts_unit == "auto":
            self.ts_unit = time_unit(self._columns["ts"], column)
        try:
            return times_ns(column, self.ts_unit)
        except TypeError as error:
            raise self._wrong_type("ts", error) from error

    def candles(self, batch: Batch) -> tuple[Candles, dict[int, str]]:
        """The sound candles of a batch, and why the first of the other rows are none.

        `rates` counts rows that have an open and zeros for the rest, as files of rates do;
        `without_volume` those whose volume is 0, and `moved_without_volume` those of them with a
        high that is not the low.
        """
        reasons: dict[int, str] = {}
        ok = np.ones(batch.rows, np.bool_)
        times, timed = self.times(batch)
        self._judge(batch, "ts", timed, ok, reasons, f"a time ({self.ts_unit})")
        in_range = (times >= TS_MIN_NS) & (times <= TS_MAX_NS)
        hint = f"a time from 2009 to 2100 in {self.ts_unit} (see options.ts_unit)"
        self._judge(batch, "ts", in_range, ok, reasons, hint)
        values: dict[str, Integers] = {}
        tick, lot = self._instrument.tick, self._instrument.lot
        zero = np.ones(batch.rows, np.bool_)
        priced: dict[str, Mask] = {}
        for name in PRICES:
            found = self._steps(batch, name, tick)
            values[f"{name}_ticks"] = found.values
            priced[name] = found.ok
            zero &= (found.ok & (found.values == 0)) != (name == "open")
            expected = f"a positive multiple of the tick {tick}"
            self._judge(batch, name, found.ok & (found.values > 0), ok, reasons, expected)
        self.rates += int(zero.sum())
        still = priced["high"] & priced["low"] & (values["high_ticks"] == values["low_ticks"])
        # Rates stand at times of their own, so that zeros are told before times.
        on_time = times % self._interval_ns == 0
        self._judge(batch, "ts", on_time, ok, reasons, "a start at a multiple of the interval")
        volume = self._steps(batch, "volume", lot, nearest=True)
        values["volume_lots"] = volume.values
        sound = volume.ok & (volume.values >= 0)
        self._judge(batch, "volume", sound, ok, reasons, "a number of at least 0")
        silent = sound & (volume.values == 0)
        self.without_volume += int(silent.sum())
        self.moved_without_volume += int((silent & ~still).sum())
        lowest = np.minimum(values["open_ticks"], values["close_ticks"])
        highest = np.maximum(values["open_ticks"], values["close_ticks"])
        self._judge(batch, "low", values["low_ticks"] <= lowest, ok, reasons, _BELOW)
        self._judge(batch, "high", values["high_ticks"] >= highest, ok, reasons, _ABOVE)
        known: dict[str, Mask] = {}
        for name in OPTIONAL:
            if name in self._columns:
                self._optional(batch, name, values, known, ok, reasons)
        row = np.arange(batch.rows)
        return Candles(row, times, values, known, volume.rounded).only(ok), reasons

    def _optional(
        self,
        batch: Batch,
        name: str,
        values: dict[str, Integers],
        known: dict[str, Mask],
        ok: Mask,
        reasons: dict[int, str],
    ) -> None:
        step = {"buy_volume": self._instrument.lot, "trades": "1", "value": _VALUE_STEP}[name]
        found = self._steps(batch, name, step, nearest=name != "trades")
        given = ~is_empty(batch.columns[self._columns[name]])
        sound = (found.ok & (found.values >= 0)) | ~given
        self._judge(batch, name, sound, ok, reasons, "a number of at least 0, or nothing")
        if name == "buy_volume":
            within = (found.values <= values["volume_lots"]) | ~given
            self._judge(batch, name, within, ok, reasons, "at most the volume")
        values[OPTIONAL[name]] = np.where(given, found.values, 0)
        known[OPTIONAL[name]] = given

    def _steps(self, batch: Batch, name: str, step: str, *, nearest: bool = False) -> Any:
        try:
            return steps(batch.columns[self._columns[name]], step, nearest=nearest)
        except TypeError as error:
            raise self._wrong_type(name, error) from error

    def _judge(
        self,
        batch: Batch,
        name: str,
        sound: Mask,
        ok: Mask,
        reasons: dict[int, str],
        expected: str,
    ) -> None:
        """Takes out of `ok` what is not sound, with the reason."""
        column = batch.columns[self._columns[name]]
        for at in np.flatnonzero(ok & ~sound)[:_REASONS_KEPT].tolist():
            reasons[at] = f"{self._columns[name]}: expected {expected}, found {shown(column[at])}"
        ok &= sound

    def _wrong_type(self, name: str, error: TypeError) -> ImportFailed:
        expected = "times" if name == "ts" else "numbers or decimal text"
        return ImportFailed(
            f"{self._path}: column {self._columns[name]}: expected {expected}, found the type"
            f" {error}; nothing was imported"
        )


_BELOW = "a low of at most open and close"
_ABOVE = "a high of at least open and close"


def is_empty(column: Any) -> Mask:
    """Which cells of a column hold nothing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    empty = column.is_null(nan_is_null=True)
    if pa.types.is_binary(column.type) or pa.types.is_string(column.type):
        blank = pc.equal(pc.binary_length(column), 0).fill_null(True)
        empty = pc.or_(empty, blank)
    found: Mask = empty.to_numpy(zero_copy_only=False)
    return found


def time_unit(name: str, column: Any) -> str:
    """The unit of times: by the end of the column's name, else by the size of the first number."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        return "ns"
    ending = name.rpartition("_")[2].lower()
    if "_" in name and ending in TIME_UNITS:
        return ending
    counted = steps(column, "1")
    if not counted.ok.any():
        return "iso"
    first = abs(int(counted.values[counted.ok][0]))
    # 10^11 s is the year 5138, 10^11 ms is 1973: no candle is between two units.
    for unit, limit in (("s", 10**11), ("ms", 10**14), ("us", 10**17)):
        if first < limit:
            return unit
    return "ns"


def shown(value: Any) -> str:
    """A value of a column as a reader would write it."""
    found = value.as_py()
    if isinstance(found, bytes):
        found = found.decode(errors="replace")
    return "nothing" if found is None or found == "" else str(found)[:60]


def utc(ts_ns: int) -> str:
    """A time in words."""
    return datetime.fromtimestamp(int(ts_ns) // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
