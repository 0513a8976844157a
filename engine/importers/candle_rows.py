"""Rows of a table to candles of integers: which are sound, and why the others are not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.catalog_tables import bars_schema
from engine.importers.table_rows import RowReader, is_empty

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

    from engine.importers.tables import Batch
    from engine.instruments import Instrument

    Integers = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]

__all__ = ["OPTIONAL", "PRICES", "CandleReader", "Candles"]

PRICES = ("open", "high", "low", "close")
OPTIONAL = {"buy_volume": "buy_volume_lots", "trades": "trades", "value": "value_e8"}
"""Fields that a source may lack, with their columns in the catalog."""

_VALUE_STEP = "0.00000001"
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


class CandleReader(RowReader):
    """Reads the candles of one file."""

    def __init__(
        self,
        path: Path,
        columns: Mapping[str, str],
        instrument: Instrument,
        interval_ns: int,
        ts_unit: str,
    ) -> None:
        super().__init__(path, columns, ts_unit)
        self._instrument = instrument
        self._interval_ns = interval_ns
        self.rates = 0
        self.without_volume = 0
        self.moved_without_volume = 0

    def candles(self, batch: Batch) -> tuple[Candles, dict[int, str]]:
        """The sound candles of a batch, and why the first of the other rows are none.

        `rates` counts rows that have an open and zeros for the rest, as files of rates do;
        `without_volume` those whose volume is 0, and `moved_without_volume` those of them with a
        high that is not the low.
        """
        times, ok, reasons = self._begin(batch)
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


_BELOW = "a low of at most open and close"
_ABOVE = "a high of at least open and close"
