"""The Parquet catalog: recorded and generated event rows, by venue, instrument, kind and day.

Layout: `ROOT/<VENUE>/<INSTRUMENT>/<kind>/<YYYY-MM-DD>/<part>.parquet` and one `manifest.json` for
each instrument, replaced by one rename. A file that no manifest names does not exist for readers,
so an import that is cut off leaves nothing half visible. `day` is the UTC day of `ts_recv_ns`.
Beside events there are candles, `bars/<interval>/<YYYY>/`, single orders, mark prices,
`marks/<YYYY-MM>/`, and funding rates, `funding/<YYYY>/`; see `engine.catalog_tables` for their
columns.

Each kind of an instrument is a stream: rows in the order of arrival, `ts_recv_ns` never going back,
the rows of one venue message together in one row group. Prices are ticks and quantities lots of the
instrument as the manifest defines it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine import _core

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt
    import polars as pl

    from engine.catalog_writer import CatalogWriter
    from engine.instruments import Instrument

__all__ = [
    "BAR_INTERVALS",
    "KINDS",
    "ORDER_ACTIONS",
    "RATE_KINDS",
    "TABLE_KINDS",
    "Catalog",
    "CatalogError",
    "FileEntry",
    "ImportEntry",
    "Manifest",
    "SourceEntry",
    "catalog_rows",
]

KINDS = ("depth", "trades", "offbook", "quotes")
"""The data kinds: deltas and snapshots, trades on the book, trades off it, best bid and ask."""

RATE_KINDS = ("marks", "funding")
"""Mark prices and funding rates: tables that are read as events too."""

TABLE_KINDS = ("bars", "orders", *RATE_KINDS)
"""The data kinds that are kept as tables of their own columns: candles, single orders with their
ids, mark prices and funding rates."""

BAR_INTERVALS = {
    "1s": 1_000_000_000,
    "1m": 60_000_000_000,
    "3m": 180_000_000_000,
    "5m": 300_000_000_000,
    "15m": 900_000_000_000,
    "30m": 1_800_000_000_000,
    "1h": 3_600_000_000_000,
    "2h": 7_200_000_000_000,
    "4h": 14_400_000_000_000,
    "6h": 21_600_000_000_000,
    "8h": 28_800_000_000_000,
    "12h": 43_200_000_000_000,
    "1d": 86_400_000_000_000,
}
"""Intervals of candles that the catalog keeps, in ns: those that divide a day."""

ORDER_ACTIONS = ("clear", "add", "change", "delete", "unnamed", "rest", "rest_over", "amend")
"""What a row of `orders` tells; the column `action` counts from 1. `clear` begins with an empty
book, `unnamed` sets the size at a price that belongs to orders without a known id; the others are
calls of `engine._core.OrderBook`. What makes an order smaller at its price tells why: `change` that
it was executed, `amend` (to the book a change as well) that its owner wished so; `delete` has what
was left of it, 0 where it was executed to the end."""

COLUMNS = (
    "ts_event_ns",
    "ts_recv_ns",
    "px_ticks",
    "qty_lots",
    "seq",
    "prev_seq",
    "kind",
    "side",
    "flags",
)
MANIFEST = "manifest.json"
VERSION = 1
_TIME_MIN, _TIME_MAX = -(2**63), 2**63 - 1

Events = np.ndarray[Any, np.dtype[np.void]]


class CatalogError(ValueError):
    """A catalog, or what is asked of it, is not usable; the message says why in one sentence."""


@dataclass(frozen=True)
class SourceEntry:
    """Where rows came from: a file's name (without its folder) and the SHA-256 of its bytes, or a
    generator's name and the SHA-256 of its settings.
    """

    name: str
    sha256: str


@dataclass(frozen=True)
class FileEntry:
    """One Parquet file. Times are ns since the epoch, `ts_recv_*` on the corrected clock; `path`
    is relative to the instrument's folder. `seq_last` is the id of the last message and
    `prev_seq_first` the one that the first continues from (None: from none). `gaps` counts
    breaks of the update ids inside the file, `gap_before` whether one lies between it and the
    file before; `snapshots_ns` holds the receive times of the snapshots in it.
    """

    path: str
    kind: str
    sha256: str
    bytes: int
    rows: int
    messages: int
    ts_recv_first_ns: int
    ts_recv_last_ns: int
    prev_seq_first: int | None
    seq_last: int | None
    gaps: int
    gap_before: bool
    snapshots_ns: list[int]
    clock_offset_ns: int
    provenance: str
    sources: list[SourceEntry]
    interval: str | None = None
    missing: int = 0
    missing_before: int = 0

    def to_mapping(self) -> dict[str, Any]:
        """The entry as the manifest holds it: what only candles have, only for candles."""
        fields = dataclasses.asdict(self)
        if self.interval is None:
            for name in ("interval", "missing", "missing_before"):
                del fields[name]
        return fields


@dataclass(frozen=True)
class ImportEntry:
    """One import: its sources, and what the importer counted, in words of its own (`counts`)."""

    id: str
    sources: list[SourceEntry]
    clock_offset_ns: int
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """All that is known of one instrument's data. `definition` holds the fields of the instrument
    that give the integers their meaning, `resume` where the newest import left off.
    """

    instrument: str
    provenance: str
    definition: dict[str, str]
    files: list[FileEntry]
    imports: list[ImportEntry]
    resume: dict[str, Any] | None = None

    def of_kind(self, kind: str) -> list[FileEntry]:
        """The files of one kind, in the order of time (candles: interval by interval)."""
        return [entry for entry in self.files if entry.kind == kind]

    @property
    def event_files(self) -> list[FileEntry]:
        """The files of the market's events: all but candles, single orders and rates."""
        return [entry for entry in self.files if entry.kind in KINDS]

    @property
    def run_files(self) -> list[FileEntry]:
        """The files by which a run begins and ends: those of events, or where there are none, of
        mark prices and funding rates.
        """
        rates = [entry for entry in self.files if entry.kind in RATE_KINDS]
        return self.event_files or rates

    @property
    def intervals(self) -> list[str]:
        """The intervals of the candles that are there, the shortest first."""
        present = {entry.interval for entry in self.of_kind("bars")}
        return [interval for interval in BAR_INTERVALS if interval in present]

    def of_interval(self, interval: str) -> list[FileEntry]:
        """The files of the candles of one interval, in the order of time."""
        return [entry for entry in self.of_kind("bars") if entry.interval == interval]

    @property
    def newest_files(self) -> list[FileEntry]:
        """The files of the newest import."""
        newest = self.imports[-1].sources
        return [entry for entry in self.files if entry.sources == newest]

    @property
    def gaps(self) -> int:
        """Breaks in the update ids of the depth stream, those between files included."""
        return sum(entry.gaps + entry.gap_before for entry in self.of_kind("depth"))

    def to_json(self) -> str:
        """The manifest as its file holds it: equal manifests are equal bytes."""
        files = [entry.to_mapping() for entry in self.files]
        content = {"version": VERSION, **dataclasses.asdict(self), "files": files}
        return json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, name: str) -> Manifest:
        """The manifest from its file's text; `name` is named in errors."""
        try:
            content = json.loads(text)
            version = content.pop("version")
            if version != VERSION:
                raise CatalogError(
                    f"{name}: expected manifest version {VERSION}, found {version};"
                    " import the recordings again or use the Cobalt that wrote it"
                )
            files = [
                FileEntry(**{**entry, "sources": _sources(entry)}) for entry in content.pop("files")
            ]
            imports = [
                ImportEntry(**{**entry, "sources": _sources(entry)})
                for entry in content.pop("imports")
            ]
            return cls(files=files, imports=imports, **content)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, CatalogError):
                raise
            raise CatalogError(f"{name}: damaged manifest: {error}") from error


def _sources(entry: dict[str, Any]) -> list[SourceEntry]:
    return [SourceEntry(**source) for source in entry["sources"]]


class Catalog:
    """A catalog in the folder `root`, which need not exist yet."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def instruments(self) -> list[str]:
        """The ids of the instruments that have data, sorted."""
        return sorted(path.parent.name for path in self.root.glob(f"*/*/{MANIFEST}"))

    def folder(self, instrument: str) -> Path:
        """Where an instrument's data lies."""
        symbol, _, venue = instrument.rpartition(".")
        if not symbol or not venue or Path(instrument).name != instrument:
            raise CatalogError(
                f"instrument: expected an id SYMBOL.VENUE such as BTCUSDT-PERP.BINANCE,"
                f" found '{instrument}'"
            )
        return self.root / venue / instrument

    def has(self, instrument: str) -> bool:
        """Whether the instrument has data."""
        return (self.folder(instrument) / MANIFEST).is_file()

    def manifest(self, instrument: str) -> Manifest:
        """What is known of one instrument's data; raises `CatalogError` if it has none."""
        path = self.folder(instrument) / MANIFEST
        try:
            return Manifest.from_json(path.read_text(encoding="utf-8"), str(path))
        except FileNotFoundError:
            known = ", ".join(self.instruments()) or "nothing"
            raise CatalogError(
                f"catalog {self.root}: no data for {instrument}; it holds {known}"
            ) from None

    def batches(
        self,
        instrument: str,
        kind: str,
        *,
        start_ns: int | None = None,
        end_ns: int | None = None,
        batch_rows: int = 131_072,
        index: int = 0,
    ) -> Iterator[Events]:
        """Rows of one stream, in its order, as arrays of `EVENT_DTYPE` with at most `batch_rows`
        rows (more only where one message has more: messages are never split).

        Rows have `start_ns <= ts_recv_ns < end_ns`. Depth is the exception: it begins with the last
        snapshot received at or before `start_ns`, so that a book stands when `start_ns` comes; rows
        of that run-up are those with `ts_recv_ns < start_ns`, and a caller shows the book to nobody
        before then. Without such a snapshot depth begins at `start_ns`, and the book waits for the
        next one. Mark prices begin with the last one received at or before `start_ns` likewise.
        `index` goes into the column `instrument`.

        Each file's SHA-256 is checked before a row of it is given out. Raises `CatalogError` naming
        the file, the hash expected and the hash found.
        """
        entries = self.manifest(instrument).of_kind(_kind(kind, (*KINDS, *RATE_KINDS)))
        if batch_rows < 1:
            raise CatalogError(f"batch_rows: expected at least 1, found {batch_rows}")
        if kind in RATE_KINDS:
            from engine.catalog_tables import rate_events

            frames = self.rate_batches(
                instrument, kind, start_ns=start_ns, end_ns=end_ns, batch_rows=batch_rows
            )
            yield from (rate_events(frame, kind, index) for frame in frames)
            return
        if kind == "depth" and start_ns is not None:
            start_ns = _run_up(entries, start_ns)
        for entry in entries:
            if start_ns is not None and entry.ts_recv_last_ns < start_ns:
                continue
            if end_ns is not None and entry.ts_recv_first_ns >= end_ns:
                continue
            yield from self.file_batches(instrument, entry, start_ns, end_ns, batch_rows, index)

    def bars(
        self,
        instrument: str,
        interval: str,
        *,
        start_ns: int | None = None,
        end_ns: int | None = None,
    ) -> pl.DataFrame:
        """Candles with `start_ns <= ts_start_ns < end_ns` in the order of time, as one frame (56 to
        72 bytes a candle); for the columns see `engine.catalog_tables.bars_schema`. A candle that
        the source lacks has no row. Raises as `bar_batches` does.
        """
        import polars as pl

        from engine.catalog_tables import bars_schema

        empty = pl.from_arrow(bars_schema().empty_table())
        assert isinstance(empty, pl.DataFrame)
        batches = self.bar_batches(instrument, interval, start_ns=start_ns, end_ns=end_ns)
        return pl.concat([empty, *batches])

    def bar_batches(
        self,
        instrument: str,
        interval: str,
        *,
        start_ns: int | None = None,
        end_ns: int | None = None,
        batch_rows: int = 131_072,
    ) -> Iterator[pl.DataFrame]:
        """As `bars`, in frames of at most `batch_rows` rows.

        Raises `CatalogError` for an interval that the catalog has no candles of, and for files that
        are missing or damaged.
        """
        manifest = self.manifest(instrument)
        if interval not in manifest.intervals:
            known = ", ".join(manifest.intervals) or "no candles"
            raise CatalogError(
                f"interval: expected one that the catalog has of {instrument} ({known}),"
                f" found '{interval}'"
            )
        entries = manifest.of_interval(interval)
        time = "ts_start_ns"
        yield from self._table_batches(instrument, entries, time, start_ns, end_ns, batch_rows)

    def order_batches(
        self,
        instrument: str,
        *,
        start_ns: int | None = None,
        end_ns: int | None = None,
        batch_rows: int = 131_072,
    ) -> Iterator[pl.DataFrame]:
        """Messages of single orders with `start_ns <= ts_recv_ns < end_ns`, in the order of
        arrival, in frames of at most `batch_rows` rows; for the columns see
        `engine.catalog_tables.orders_schema`. Raises `CatalogError` for files that are missing or
        damaged.
        """
        entries = self.manifest(instrument).of_kind("orders")
        time = "ts_recv_ns"
        yield from self._table_batches(instrument, entries, time, start_ns, end_ns, batch_rows)

    def order_events(
        self,
        instrument: str,
        *,
        end_ns: int | None = None,
        batch_rows: int = 131_072,
        index: int = 0,
    ) -> Iterator[Events]:
        """As `order_batches`, as arrays of `EVENT_DTYPE` for the kernel, each row a message of its
        own. They begin with the first row there is, because an order-by-order book needs all that
        came before. Raises as `order_batches` does.
        """
        from engine.catalog_tables import order_events

        for frame in self.order_batches(instrument, end_ns=end_ns, batch_rows=batch_rows):
            yield order_events(frame, index)

    def rate_batches(
        self,
        instrument: str,
        kind: str,
        *,
        start_ns: int | None = None,
        end_ns: int | None = None,
        batch_rows: int = 131_072,
    ) -> Iterator[pl.DataFrame]:
        """Mark prices (`marks`) or funding rates (`funding`) with `start_ns <= ts_recv_ns < end_ns`
        in the order of arrival, in frames of at most `batch_rows` rows; for the columns see
        `engine.catalog_tables.marks_schema` and `funding_schema`. Mark prices begin with the last
        one received at or before `start_ns`. Raises `CatalogError` for files that are missing or
        damaged.
        """
        entries = self.manifest(instrument).of_kind(_kind(kind, RATE_KINDS))
        time = "ts_recv_ns"
        if kind == "marks" and start_ns is not None:
            before = [entry for entry in entries if entry.ts_recv_first_ns <= start_ns][-1:]
            held = self._table_batches(instrument, before, time, None, start_ns + 1, batch_rows)
            start_ns = max((frame[time][-1] for frame in held), default=start_ns)
        yield from self._table_batches(instrument, entries, time, start_ns, end_ns, batch_rows)

    def _table_batches(
        self,
        instrument: str,
        entries: list[FileEntry],
        time: str,
        start_ns: int | None,
        end_ns: int | None,
        batch_rows: int,
    ) -> Iterator[pl.DataFrame]:
        import polars as pl
        import pyarrow as pa
        import pyarrow.parquet as pq

        if batch_rows < 1:
            raise CatalogError(f"batch_rows: expected at least 1, found {batch_rows}")
        start_ns = _TIME_MIN if start_ns is None else start_ns
        end_ns = _TIME_MAX if end_ns is None else end_ns
        for entry in entries:
            if entry.ts_recv_last_ns < start_ns or entry.ts_recv_first_ns >= end_ns:
                continue
            path = self.folder(instrument) / entry.path
            file = pq.ParquetFile(pa.BufferReader(_checked(path, entry)))
            column = file.schema_arrow.names.index(time)
            for group in range(file.metadata.num_row_groups):
                bounds = file.metadata.row_group(group).column(column).statistics
                if bounds.max < start_ns or bounds.min >= end_ns:
                    continue
                rows = pl.from_arrow(file.read_row_group(group, use_threads=False))
                assert isinstance(rows, pl.DataFrame)
                if bounds.min < start_ns or bounds.max >= end_ns:
                    rows = rows.filter((pl.col(time) >= start_ns) & (pl.col(time) < end_ns))
                yield from rows.iter_slices(batch_rows)

    def file_batches(
        self,
        instrument: str,
        entry: FileEntry,
        start_ns: int | None = None,
        end_ns: int | None = None,
        batch_rows: int = 131_072,
        index: int = 0,
    ) -> Iterator[Events]:
        """Rows of one file of events with `start_ns <= ts_recv_ns < end_ns`; see `batches`."""
        # Parquet takes long to load and `import engine` must not wait for it.
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.folder(instrument) / entry.path
        file = pq.ParquetFile(pa.BufferReader(_checked(path, entry)))
        times = file.schema_arrow.names.index("ts_recv_ns")
        for group in range(file.metadata.num_row_groups):
            bounds = file.metadata.row_group(group).column(times).statistics
            if start_ns is not None and bounds.max < start_ns:
                continue
            if end_ns is not None and bounds.min >= end_ns:
                return
            rows = _rows(file, group, index)
            if start_ns is not None and bounds.min < start_ns:
                rows = rows[np.searchsorted(rows["ts_recv_ns"], start_ns) :]
            if end_ns is not None and bounds.max >= end_ns:
                rows = rows[: np.searchsorted(rows["ts_recv_ns"], end_ns)]
            yield from _split(rows, batch_rows)

    def data_sha256(self, instruments: Iterable[str], kinds: Iterable[str]) -> str:
        """One hash over the data of these streams. It depends on the files' content alone, not on
        the order of the arguments or of the imports.
        """
        kinds = sorted({_kind(kind, (*KINDS, *TABLE_KINDS)) for kind in kinds})
        lines = sorted(
            f"{instrument} {entry.kind} {entry.sha256}\n"
            for instrument in set(instruments)
            for entry in self.manifest(instrument).files
            if entry.kind in kinds
        )
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def writer(
        self,
        instrument: Instrument,
        *,
        provenance: str,
        source: Iterable[SourceEntry],
        clock_offset_ns: int = 0,
    ) -> CatalogWriter:
        """A writer that adds rows of `instrument`; see `CatalogWriter`."""
        from engine.catalog_writer import CatalogWriter

        return CatalogWriter(
            self,
            instrument,
            provenance=provenance,
            sources=list(source),
            clock_offset_ns=clock_offset_ns,
        )


def catalog_rows(root: str | Path) -> list[dict[str, Any]]:
    """What a catalog holds, one row for each instrument and kind (candles: and interval), sorted.

    Keys: `instrument`, `kind`, `interval` (of candles, else None), `start_ns` and `end_ns` (first
    and last `ts_recv_ns`; of candles, start of the first and the last), `rows`, `messages`,
    `files`, `bytes`, `gaps` (of the update ids, depth only), `missing` (candles that are not there,
    between the first and the last), `broken` (lines of the sources that could not be used),
    `clock_offset_ns` (a list, one for each value in use), `provenance`.
    """
    catalog = Catalog(root)
    return [
        _summary(manifest, kind, entries)
        for manifest in map(catalog.manifest, catalog.instruments())
        for kind, entries in _streams(manifest)
        if entries
    ]


def _streams(manifest: Manifest) -> Iterator[tuple[str, list[FileEntry]]]:
    for kind in KINDS:
        yield kind, manifest.of_kind(kind)
    for interval in manifest.intervals:
        yield "bars", manifest.of_interval(interval)
    for kind in ("orders", *RATE_KINDS):
        yield kind, manifest.of_kind(kind)


def _summary(manifest: Manifest, kind: str, entries: list[FileEntry]) -> dict[str, Any]:
    return {
        "instrument": manifest.instrument,
        "kind": kind,
        "interval": entries[0].interval,
        "start_ns": entries[0].ts_recv_first_ns,
        "end_ns": max(entry.ts_recv_last_ns for entry in entries),
        "rows": sum(entry.rows for entry in entries),
        "messages": sum(entry.messages for entry in entries),
        "files": len(entries),
        "bytes": sum(entry.bytes for entry in entries),
        "gaps": manifest.gaps if kind == "depth" else 0,
        "missing": sum(entry.missing + entry.missing_before for entry in entries),
        "broken": sum(item.details.get("broken", 0) for item in manifest.imports),
        "clock_offset_ns": sorted({entry.clock_offset_ns for entry in entries}),
        "provenance": manifest.provenance,
    }


def _kind(kind: str, kinds: tuple[str, ...] = KINDS) -> str:
    if kind not in kinds:
        raise CatalogError(f"kind: expected one of {', '.join(kinds)}, found '{kind}'")
    return kind


def _run_up(entries: list[FileEntry], start_ns: int) -> int:
    """The time of the last snapshot at or before `start_ns`, else `start_ns`."""
    times = (ts for entry in entries for ts in entry.snapshots_ns if ts <= start_ns)
    return max(times, default=start_ns)


def _checked(path: Path, entry: FileEntry) -> bytes:
    """The bytes of a file, which are what the manifest says, or an error."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise CatalogError(f"{path}: the manifest names this file but it is missing") from None
    found = hashlib.sha256(content).hexdigest()
    if found != entry.sha256:
        raise CatalogError(
            f"{path}: the file is damaged: expected sha256 {entry.sha256}, found {found};"
            " delete the instrument's folder and import its recordings again"
        )
    return content


def _rows(file: Any, group: int, index: int) -> Events:
    table = file.read_row_group(group, columns=list(COLUMNS), use_threads=False)
    columns: dict[str, Any] = {
        name: _values(table.column(name), _core.EVENT_DTYPE[name]) for name in COLUMNS
    }
    return _core.events_from_columns(**columns, instrument=index)


def _values(column: Any, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """An integer column's memory as a numpy array, uncopied.

    pyarrow's own `to_numpy` would load pandas, a second and more, wherever that is installed.
    """
    array = column.combine_chunks()
    if str(array.type) != dtype.name or array.null_count:
        raise CatalogError(
            f"a column: expected {dtype.name} without nulls,"
            f" found {array.type} with {array.null_count}"
        )
    values = np.frombuffer(array.buffers()[1], dtype)
    return values[array.offset : array.offset + len(array)]


def _split(rows: Events, batch_rows: int) -> Iterator[Events]:
    """Cuts rows behind ends of messages, at most `batch_rows` apart where possible."""
    while len(rows) > batch_rows:
        last = np.flatnonzero(rows["flags"][:batch_rows] & _core.FLAG_LAST)
        if len(last) == 0:
            last = np.flatnonzero(rows["flags"] & _core.FLAG_LAST)[:1]
        cut = int(last[-1]) + 1
        yield rows[:cut]
        rows = rows[cut:]
    if len(rows):
        yield rows
