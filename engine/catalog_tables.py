"""Data of the catalog that is not made of events: candles (`bars`), single orders (`orders`).

Both are Parquet files of integer columns under the same manifest. Candles of one interval are a
stream of their own, `bars/<interval>/<YYYY>/` (`<YYYY-MM>` below a minute), so that years of them
are a few files; orders lie by day like events.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine import _core
from engine.catalog import BAR_INTERVALS, CatalogError

if TYPE_CHECKING:
    import polars as pl

    from engine.catalog import Events
    from engine.catalog_writer import CatalogWriter

__all__ = [
    "BARS",
    "ORDERS",
    "TableSpec",
    "TableStream",
    "bars_schema",
    "order_events",
    "orders_schema",
    "orders_table",
]

_MINUTE_NS = 60_000_000_000
# Columns that a source may lack; everywhere else a null is an error.
OPTIONAL_BAR_COLUMNS = ("buy_volume_lots", "trades", "value_e8")


def bars_schema() -> Any:
    """The columns of candles, int64. `ts_start_ns` is the start of the candle on the venue's clock,
    UTC; prices are ticks, volumes lots; `buy_volume_lots` is what buying aggressors took, `trades`
    a count, `value_e8` the sum of price × quantity in 1e-8 of the quote asset. Null: not known.
    """
    import pyarrow as pa

    names = ("ts_start_ns", "open_ticks", "high_ticks", "low_ticks", "close_ticks", "volume_lots")
    needed = [pa.field(name, pa.int64(), nullable=False) for name in names]
    return pa.schema([*needed, *(pa.field(name, pa.int64()) for name in OPTIONAL_BAR_COLUMNS)])


def orders_schema() -> Any:
    """The columns of single orders. Times are ns since the epoch, `ts_event_ns` is `TS_NONE` where
    the venue sends no time; `action` is one of `engine.catalog.ORDER_ACTIONS` by its place from 1,
    `side` as in event rows; `qty_lots` is what is left of the order, or a level's unnamed size.
    """
    import pyarrow as pa

    types = {
        "ts_event_ns": pa.int64(),
        "ts_recv_ns": pa.int64(),
        "order_id": pa.uint64(),
        "action": pa.uint8(),
        "side": pa.uint8(),
        "px_ticks": pa.int64(),
        "qty_lots": pa.int64(),
    }
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in types.items()])


# Event rows of single orders: their kinds are the actions, from this number on, and the order's id
# lies in the column `seq`.
_ORDER_KIND = 10
_SAME = ("ts_event_ns", "ts_recv_ns", "px_ticks", "qty_lots", "side")


def order_events(orders: pl.DataFrame, index: int = 0) -> Events:
    """Rows of single orders (`orders_schema`) as an array of `EVENT_DTYPE`; `index` goes into the
    column `instrument`.
    """
    events = np.zeros(orders.height, _core.EVENT_DTYPE)
    for name in _SAME:
        events[name] = orders[name].to_numpy()
    events["seq"] = orders["order_id"].to_numpy()
    events["prev_seq"] = _core.SEQ_NONE
    events["instrument"] = index
    events["kind"] = orders["action"].to_numpy() + _ORDER_KIND
    events["flags"] = _core.FLAG_FIRST | _core.FLAG_LAST
    return events


def orders_table(events: Events) -> Any:
    """The inverse of `order_events`: a pyarrow table of `orders_schema`."""
    import pyarrow as pa

    columns = {name: events[name] for name in _SAME}
    columns["order_id"] = events["seq"]
    columns["action"] = events["kind"] - np.uint8(_ORDER_KIND)
    schema = orders_schema()
    arrays = [pa.array(np.ascontiguousarray(columns[name])) for name in schema.names]
    return pa.table(arrays, schema=schema)


@dataclass(frozen=True)
class TableSpec:
    """How tables of a kind are kept: their time column, their schema's maker, and whether two rows
    may share a time.
    """

    kind: str
    time: str
    schema: Any
    ties: bool


BARS = TableSpec("bars", "ts_start_ns", bars_schema, ties=False)
ORDERS = TableSpec("orders", "ts_recv_ns", orders_schema, ties=True)


@dataclass
class _Part:
    """A file being written."""

    path: Path
    writer: Any
    first_ns: int
    last_ns: int = 0
    rows: int = 0


class TableStream:
    """Tables of one kind (candles: of one interval) on their way into files. Times go up."""

    def __init__(self, owner: CatalogWriter, spec: TableSpec, interval: str | None = None) -> None:
        self._owner = owner
        self._spec = spec
        self._interval = interval
        self._step_ns = None if interval is None else BAR_INTERVALS[interval]
        self._last_ns: int | None = None
        self._pending: list[Any] = []
        self._pending_rows = 0
        self._period: str | None = None
        self._part: _Part | None = None

    def append(self, table: Any) -> None:
        """Adds rows; raises `CatalogError` for columns or times that readers could not rely on."""
        from engine.catalog_writer import GROUP_ROWS

        schema = self._spec.schema()
        if not table.schema.equals(schema):
            raise CatalogError(
                f"{self._spec.kind}: expected the columns {_listed(schema)},"
                f" found {_listed(table.schema)}"
            )
        self._check_nulls(table)
        times = table.column(self._spec.time).to_numpy()
        self._check_times(times)
        periods = self._periods(times)
        for start, end in _runs(periods):
            period = str(periods[start])
            if period != self._period:
                self._flush()
                self._close_part()
            self._period = period
            self._pending.append(table.slice(start, end - start))
            self._pending_rows += end - start
            if self._pending_rows >= GROUP_ROWS:
                self._flush(keep=True)

    def _check_nulls(self, table: Any) -> None:
        for field in table.schema:
            column = table.column(field.name)
            if not field.nullable and column.null_count:
                raise CatalogError(
                    f"{self._spec.kind}: expected {field.name} in every row, found"
                    f" {column.null_count} rows without it"
                )

    def _check_times(self, times: Any) -> None:
        name = f"{self._spec.kind}: expected {self._spec.time}"
        before = times if self._last_ns is None else np.concatenate([[self._last_ns], times])
        steps = np.diff(before)
        wrong = np.flatnonzero(steps < 0 if self._spec.ties else steps <= 0)
        if len(wrong):
            at = int(wrong[0])
            relation = "at least" if self._spec.ties else "above"
            raise CatalogError(f"{name} {relation} {before[at]}, found {before[at + 1]}")
        if self._step_ns is not None:
            off = np.flatnonzero(times % self._step_ns)
            if len(off):
                raise CatalogError(
                    f"{name} at a multiple of {self._interval}, found {times[off[0]]}"
                )
        if len(times):
            self._last_ns = int(times[-1])

    def _periods(self, times: Any) -> Any:
        """The day, month or year of each time: its text is the name of the folder."""
        step_ns = self._step_ns
        unit = "D" if step_ns is None else "Y" if step_ns >= _MINUTE_NS else "M"
        return times.astype("datetime64[ns]").astype(f"datetime64[{unit}]")

    def finish(self) -> None:
        """Writes what is left."""
        self._flush()
        self._close_part()

    def discard(self) -> None:
        """Closes the file being written, whatever is in it."""
        if self._part is not None:
            with contextlib.suppress(Exception):
                self._part.writer.close()
            self._part = None

    def _flush(self, *, keep: bool = False) -> None:
        """Writes pending rows as row groups; with `keep` the last, unfilled one stays pending."""
        import pyarrow as pa

        from engine.catalog_writer import GROUP_ROWS

        if not self._pending:
            return
        table = pa.concat_tables(self._pending)
        while table.num_rows >= GROUP_ROWS or (table.num_rows and not keep):
            self._write(table.slice(0, GROUP_ROWS))
            table = table.slice(GROUP_ROWS)
        self._pending = [table] if table.num_rows else []
        self._pending_rows = table.num_rows

    def _write(self, table: Any) -> None:
        from engine.catalog_writer import PART_ROWS

        if self._part is not None and self._part.rows + table.num_rows > PART_ROWS:
            self._close_part()
        times = table.column(self._spec.time)
        part = self._part or self._open_part(times[0].as_py())
        part.writer.write_table(table, row_group_size=table.num_rows)
        part.rows += table.num_rows
        part.last_ns = times[-1].as_py()

    def _open_part(self, first_ns: int) -> _Part:
        import pyarrow.parquet as pq

        schema = self._spec.schema()
        kind = Path(self._spec.kind) / (self._interval or "")
        path = self._owner.next_part(self._owner.folder(str(kind / str(self._period))))
        narrow = [field.name for field in schema if field.type.bit_width == 8]
        writer = pq.ParquetWriter(
            path,
            schema,
            compression="zstd",
            use_dictionary=narrow or False,
            column_encoding={
                field.name: "DELTA_BINARY_PACKED" for field in schema if field.name not in narrow
            },
            store_schema=False,
            write_statistics=[self._spec.time],
        )
        self._part = _Part(path, writer, first_ns)
        return self._part

    def _close_part(self) -> None:
        if self._part is None:
            return
        part, self._part = self._part, None
        part.writer.close()
        missing = 0
        if self._step_ns is not None:
            missing = (part.last_ns - part.first_ns) // self._step_ns + 1 - part.rows
        self._owner.add(
            part.path,
            kind=self._spec.kind,
            rows=part.rows,
            messages=part.rows,
            ts_recv_first_ns=part.first_ns,
            ts_recv_last_ns=part.last_ns,
            prev_seq_first=None,
            seq_last=None,
            gaps=0,
            snapshots_ns=[],
            interval=self._interval,
            missing=missing,
        )


def _listed(schema: Any) -> str:
    return ", ".join(f"{field.name} ({field.type})" for field in schema)


def _runs(periods: Any) -> list[tuple[int, int]]:
    """Where each period's rows begin and end."""
    if not len(periods):
        return []
    cuts = [0, *(np.flatnonzero(periods[1:] != periods[:-1]) + 1).tolist(), len(periods)]
    return list(pairwise(cuts))
