"""Reading the rows of vendors' tables: times, numbers, and why a row is of no use."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.config import did_you_mean
from engine.importers.columns import TIME_UNITS, steps, times_ns
from engine.importers.report import ImportFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import numpy.typing as npt

    from engine.importers.tables import Batch

    Integers = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]

__all__ = ["RowReader", "columns_of", "is_empty", "shown", "utc"]

_TS_MIN_NS = 1_230_768_000_000_000_000  # 2009: before the first block there was nothing to trade.
_TS_MAX_NS = 4_102_444_800_000_000_000  # 2100.
_REASONS_KEPT = 100


class RowReader:
    """Reads the batches of one file. `columns` maps fields to the file's columns, `ts` among them;
    `ts_unit` is that of the times, `auto` until the first of them is seen.
    """

    def __init__(self, path: Path, columns: Mapping[str, str], ts_unit: str) -> None:
        self._path = path
        self._columns = columns
        self.ts_unit = ts_unit

    def times(self, batch: Batch) -> tuple[Integers, Mask]:
        """The time of each row in ns, and which rows have one."""
        column = batch.columns[self._columns["ts"]]
        if self.ts_unit == "auto":
            self.ts_unit = _time_unit(self._columns["ts"], column)
        try:
            return times_ns(column, self.ts_unit)
        except TypeError as error:
            raise self._wrong_type("ts", error) from error

    def _begin(self, batch: Batch) -> tuple[Integers, Mask, dict[int, str]]:
        """The times of a batch, which of its rows have a possible one, and why others have none."""
        reasons: dict[int, str] = {}
        ok = np.ones(batch.rows, np.bool_)
        times, timed = self.times(batch)
        self._judge(batch, "ts", timed, ok, reasons, f"a time ({self.ts_unit})")
        in_range = (times >= _TS_MIN_NS) & (times <= _TS_MAX_NS)
        hint = f"a time from 2009 to 2100 in {self.ts_unit} (see options.ts_unit)"
        self._judge(batch, "ts", in_range, ok, reasons, hint)
        return times, ok, reasons

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


def columns_of(
    path: Path,
    names: list[str],
    given: Mapping[str, str],
    usual: Mapping[str, tuple[str, ...]],
    needed: Iterable[str] = (),
) -> dict[str, str]:
    """The column of each field of `usual` that a file has: the one given, else the first of the
    usual names. Raises `ImportFailed` where a given or a needed one is missing, or a name stands
    twice.
    """
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ImportFailed(f"{path}: expected each column once, found {twice[0]} twice")
    fields: dict[str, str] = {}
    by_lower = {name.lower(): name for name in reversed(names)}
    for field, choices in usual.items():
        if field in given and given[field] not in names:
            raise ImportFailed(
                f"{path}: expected a column '{given[field]}' (options.{field}), found"
                f" {', '.join(names)}{did_you_mean(given[field], names, show_all=0)}"
            )
        found = next((by_lower[name] for name in choices if name in by_lower), None)
        column = given.get(field, found)
        if column is not None:
            fields[field] = column
        elif field in needed:
            raise ImportFailed(
                f"{path}: expected a column {' or '.join(choices)}, found {', '.join(names)}; name"
                f" it with options.{field}=..."
            )
    return fields


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


def _time_unit(name: str, column: Any) -> str:
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
