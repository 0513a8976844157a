"""Writing to the catalog: Parquet parts first, then one rename of the manifest makes them exist."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from engine import _core
from engine.catalog import (
    BAR_INTERVALS,
    COLUMNS,
    KINDS,
    MANIFEST,
    TABLE_KINDS,
    CatalogError,
    Events,
    FileEntry,
    ImportEntry,
    Manifest,
    SourceEntry,
)
from engine.catalog_tables import BARS, ORDERS, RATES, TableStream

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from engine.catalog import Catalog
    from engine.instruments import Instrument

__all__ = ["GROUP_ROWS", "PART_ROWS", "PROVENANCES", "CatalogWriter"]

GROUP_ROWS = 131_072
"""Rows of a row group, the unit that is read at once."""
PART_ROWS = 4_194_304
"""Rows after which a new file begins."""
PROVENANCES = ("recorded", "testnet")
DAY_NS = 86_400_000_000_000
# These give the integers of the rows their meaning: a catalog cannot hold two of them.
_DEFINING = ("kind", "base", "quote", "tick", "lot", "contract_size", "market", "symbol")


class CatalogWriter:
    """Adds rows to one instrument: `append` as often as needed, then `commit`. Until then readers
    see nothing, and leaving the `with` block without it, or by an exception, removes what was
    written. One writer an instrument at a time; a second one raises `CatalogError`.

    Times of different `append`s of a kind must not go back, also behind rows that are there
    already (candles: an interval that is there is not written again). `resume` (any JSON value) is
    kept for the next writer, `details` beside the sources.
    """

    def __init__(
        self,
        catalog: Catalog,
        instrument: Instrument,
        *,
        provenance: str,
        sources: list[SourceEntry],
        clock_offset_ns: int = 0,
    ) -> None:
        if provenance not in PROVENANCES:
            raise CatalogError(
                f"provenance: expected one of {', '.join(PROVENANCES)}, found '{provenance}'"
            )
        self._catalog = catalog
        self._id = instrument.id
        self._folder = catalog.folder(instrument.id)
        self._provenance = provenance
        self._sources = sorted(sources, key=lambda source: (source.name, source.sha256))
        self._clock_offset_ns = clock_offset_ns
        self._definition = {name: str(getattr(instrument, name)) for name in _DEFINING}
        self._import_id = _digest(self._sources, clock_offset_ns)
        self._made: list[Path] = []
        self._made_folders: list[Path] = []
        self._entries: list[FileEntry] = []
        self._lock: int | None = None
        self._open()

    def _open(self) -> None:
        self._make_folder(self._folder)
        self._lock = os.open(self._folder, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise CatalogError(
                f"{self._folder}: another import of {self._id} is running; wait for its end"
            ) from None
        try:
            self._old = self._catalog.manifest(self._id) if self._has_manifest() else None
            self._check_old()
            self._remove_orphans()
            self._streams: dict[str, _Stream] = {kind: _Stream(self, kind) for kind in KINDS}
            self._tables: dict[str, TableStream] = {}
        except BaseException:
            self.abort()
            raise

    def _has_manifest(self) -> bool:
        return self._catalog.has(self._id)

    def _check_old(self) -> None:
        if self._old is None:
            return
        if self._old.provenance != self._provenance:
            raise CatalogError(
                f"{self._folder}: holds {self._old.provenance} data, to which {self._provenance}"
                " data is never added; use another catalog"
            )
        for name, value in self._definition.items():
            found = self._old.definition.get(name)
            if found != value:
                raise CatalogError(
                    f"{self._folder}: its data has {name} {found}, the instrument definition of"
                    f" {self._id} now says {value}; import into another catalog"
                )
        if any(entry.id == self._import_id for entry in self._old.imports):
            names = ", ".join(source.name for source in self._sources)
            raise CatalogError(f"{self._folder}: {names} is in the catalog already")

    def _remove_orphans(self) -> None:
        """Deletes what an import that was cut off left behind: files that no manifest names."""
        named = set() if self._old is None else {entry.path for entry in self._old.files}
        for path in sorted(self._folder.rglob("*")):
            orphan = path.suffix in (".parquet", ".tmp") and path.is_file()
            if orphan and str(path.relative_to(self._folder)) not in named:
                path.unlink()

    def append(self, kind: str, events: Events) -> None:
        """Adds whole messages of one data kind, an array of `EVENT_DTYPE`.

        Raises `ValueError` for rows of another kind, times that go back or a message in parts.
        """
        if kind not in KINDS:
            raise CatalogError(f"kind: expected one of {', '.join(KINDS)}, found '{kind}'")
        if len(events):
            self._streams[kind].append(events)

    def append_bars(self, interval: str, table: Any) -> None:
        """Adds candles of one interval, a pyarrow table of `engine.catalog_tables.bars_schema`, in
        the order of time and each interval once. Raises `CatalogError` for any other.
        """
        if interval not in BAR_INTERVALS:
            raise CatalogError(
                f"interval: expected one of {', '.join(BAR_INTERVALS)}, found '{interval}'"
            )
        stream = self._tables.setdefault(interval, TableStream(self, BARS, interval))
        stream.append(table)

    def append_orders(self, table: Any) -> None:
        """Adds messages of single orders, a pyarrow table of `engine.catalog_tables.orders_schema`,
        in the order of arrival. Raises `CatalogError` for any other.
        """
        self._tables.setdefault("orders", TableStream(self, ORDERS)).append(table)

    def append_rates(self, kind: str, table: Any) -> None:
        """Adds mark prices (`marks`) or funding rates (`funding`), a pyarrow table of
        `engine.catalog_tables.marks_schema` or `funding_schema`, in the order of arrival. Raises
        `CatalogError` for any other.
        """
        self._tables.setdefault(kind, TableStream(self, RATES[kind])).append(table)

    def commit(
        self, *, details: dict[str, Any] | None = None, resume: dict[str, Any] | None = None
    ) -> Manifest:
        """Writes what is left, makes everything durable, then replaces the manifest."""
        for stream in self._streams.values():
            stream.finish()
        for table in self._tables.values():
            table.finish()
        if not self._entries and self._old is None:
            raise CatalogError(f"{self._id}: there is no row to write")
        entry = ImportEntry(self._import_id, self._sources, self._clock_offset_ns, details or {})
        old = self._old
        manifest = Manifest(
            instrument=self._id,
            provenance=self._provenance,
            definition=self._definition,
            files=_in_order([*(old.files if old else []), *self._entries]),
            imports=[*(old.imports if old else []), entry],
            resume=resume,
        )
        for folder in sorted({path.parent for path in self._made} | set(self._made_folders)):
            _sync(folder)
        temporary = self._folder / f"{MANIFEST}.tmp"
        self._made.append(temporary)
        with temporary.open("w", encoding="utf-8") as file:
            file.write(manifest.to_json())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._folder / MANIFEST)
        # From here on the rows exist: nothing may be taken back.
        self._made.clear()
        self._made_folders.clear()
        _sync(self._folder)
        self.close()
        return manifest

    def abort(self) -> None:
        """Removes what was written since the last commit and lets go of the instrument."""
        for name in ("_streams", "_tables"):
            for stream in getattr(self, name, {}).values():
                stream.discard()
        for path in self._made:
            path.unlink(missing_ok=True)
        self._made.clear()
        for folder in reversed(self._made_folders):
            with contextlib.suppress(OSError):
                folder.rmdir()
        self._made_folders.clear()
        self.close()

    def close(self) -> None:
        """Lets go of the instrument."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def part_folder(self, kind: str, ts_recv_ns: int) -> Path:
        """The folder of a kind and the UTC day of a time, made where it is missing."""
        day = datetime.fromtimestamp(ts_recv_ns // 1_000_000_000, UTC).date()
        return self.folder(f"{kind}/{day.isoformat()}")

    def folder(self, name: str) -> Path:
        """A folder below the instrument's, made where it is missing."""
        folder = self._folder / name
        self._make_folder(folder)
        return folder

    def next_part(self, folder: Path) -> Path:
        """A new file in `folder`, which is removed if there is no commit."""
        taken = sum(path.parent == folder for path in self._made)
        path = folder / f"{self._import_id[:12]}-{taken:04d}.parquet"
        self._made.append(path)
        return path

    def add(self, path: Path, **about: Any) -> None:
        """Takes in a finished file."""
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        entry = FileEntry(
            path=str(path.relative_to(self._folder)),
            sha256=sha256,
            bytes=path.stat().st_size,
            gap_before=False,
            clock_offset_ns=self._clock_offset_ns,
            provenance=self._provenance,
            sources=self._sources,
            **about,
        )
        self._entries.append(entry)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abort()

    def _make_folder(self, folder: Path) -> None:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            self._made_folders.append(path)


@dataclass
class _Part:
    """A file being written."""

    path: Path
    writer: Any
    ts_recv_first_ns: int
    prev_seq_first: int | None
    ts_recv_last_ns: int = 0
    rows: int = 0


class _Stream:
    """The rows of one kind on their way into files."""

    def __init__(self, owner: CatalogWriter, kind: str) -> None:
        self._owner = owner
        self._kind = kind
        self._check = _core.StreamChecker(kind)
        self._pending: list[Events] = []
        self._pending_rows = 0
        self._day: int | None = None
        self._part: _Part | None = None

    def append(self, events: Events) -> None:
        # Cutting a view by days keeps every message whole: its rows share one receive time.
        days = events["ts_recv_ns"] // DAY_NS
        for at in np.split(np.arange(len(events)), np.flatnonzero(np.diff(days)) + 1):
            rows = events[at[0] : at[-1] + 1]
            day = int(days[at[0]])
            if self._day is not None and day != self._day:
                self._flush()
                self._close_part()
            self._day = day
            self._pending.append(rows)
            self._pending_rows += len(rows)
            if self._pending_rows >= GROUP_ROWS:
                self._flush(keep=True)

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
        if not self._pending:
            return
        rows = np.concatenate(self._pending) if len(self._pending) > 1 else self._pending[0]
        while len(rows) >= GROUP_ROWS or (len(rows) and not keep):
            cut = _cut(rows)
            self._write(rows[:cut])
            rows = rows[cut:]
        self._pending = [rows] if len(rows) else []
        self._pending_rows = len(rows)

    def _write(self, rows: Events) -> None:
        import pyarrow as pa

        if self._part is not None and self._part.rows + len(rows) > PART_ROWS:
            self._close_part()
        part = self._part or self._open_part(rows)
        self._check.push(np.ascontiguousarray(rows))
        arrays = [pa.array(np.ascontiguousarray(rows[name])) for name in COLUMNS]
        part.writer.write_table(pa.table(arrays, schema=_schema()), row_group_size=len(rows))
        part.rows += len(rows)
        part.ts_recv_last_ns = int(rows["ts_recv_ns"][-1])

    def _open_part(self, rows: Events) -> _Part:
        import pyarrow.parquet as pq

        folder = self._owner.part_folder(self._kind, int(rows["ts_recv_ns"][0]))
        path = self._owner.next_part(folder)
        prev_seq = int(rows["prev_seq"][0])
        self._check.start_part()
        self._part = _Part(
            path=path,
            writer=pq.ParquetWriter(path, _schema(), **_PARQUET),
            ts_recv_first_ns=int(rows["ts_recv_ns"][0]),
            prev_seq_first=None if prev_seq == _core.SEQ_NONE else prev_seq,
        )
        return self._part

    def _close_part(self) -> None:
        if self._part is None:
            return
        part, self._part = self._part, None
        part.writer.close()
        messages, gaps, seq, snapshots_ns = self._check.end_part()
        self._owner.add(
            part.path,
            kind=self._kind,
            rows=part.rows,
            messages=messages,
            ts_recv_first_ns=part.ts_recv_first_ns,
            ts_recv_last_ns=part.ts_recv_last_ns,
            prev_seq_first=part.prev_seq_first,
            seq_last=seq,
            gaps=gaps,
            snapshots_ns=snapshots_ns,
        )


def _schema() -> Any:
    import pyarrow as pa

    wide = {"seq": pa.uint64(), "prev_seq": pa.uint64()}
    narrow = {"kind": pa.uint8(), "side": pa.uint8(), "flags": pa.uint16()}
    types = {name: pa.int64() for name in COLUMNS} | wide | narrow
    return pa.schema([pa.field(name, types[name], nullable=False) for name in COLUMNS])


_SPLIT = ("px_ticks", "qty_lots")
_NARROW = ("kind", "side", "flags")
# Measured on recordings: times and ids cost next to nothing as differences; prices and quantities
# jump about, but their upper bytes hardly change, so zstd does best on bytes laid out by position.
_PARQUET: dict[str, Any] = {
    "compression": "zstd",
    "use_dictionary": list(_NARROW),
    "column_encoding": {
        name: "BYTE_STREAM_SPLIT" if name in _SPLIT else "DELTA_BINARY_PACKED"
        for name in COLUMNS
        if name not in _NARROW
    },
    "store_schema": False,
    "write_statistics": ["ts_recv_ns"],
}


def _cut(rows: Events) -> int:
    """How many rows go into the next row group: whole messages, `GROUP_ROWS` where possible."""
    if len(rows) <= GROUP_ROWS:
        return len(rows)
    ends = np.flatnonzero(rows["flags"][:GROUP_ROWS] & _core.FLAG_LAST)
    if len(ends) == 0:
        ends = np.flatnonzero(rows["flags"] & _core.FLAG_LAST)[:1]
    return int(ends[-1]) + 1


def _in_order(entries: list[FileEntry]) -> list[FileEntry]:
    """Files by kind and time, with the gaps between neighbours marked."""
    streams: list[tuple[str, str | None]] = [(kind, None) for kind in KINDS]
    streams += [("bars", interval) for interval in BAR_INTERVALS]
    streams += [(kind, None) for kind in TABLE_KINDS if kind != "bars"]
    ordered: list[FileEntry] = []
    for kind, interval in streams:
        before: FileEntry | None = None
        files = [entry for entry in entries if (entry.kind, entry.interval) == (kind, interval)]
        for entry in sorted(files, key=lambda entry: (entry.ts_recv_first_ns, entry.path)):
            if before is not None:
                _check_after(before, entry)
            before = _joined(before, entry)
            ordered.append(before)
    return ordered


def _check_after(before: FileEntry, entry: FileEntry) -> None:
    # Events may share a time, candles of one interval may not.
    least = before.ts_recv_last_ns + (entry.interval is not None)
    if entry.ts_recv_first_ns < least:
        raise CatalogError(
            f"{entry.kind}: {entry.path} begins at {entry.ts_recv_first_ns} ns, before"
            f" {before.path} ends at {before.ts_recv_last_ns} ns; recordings that overlap"
            " are imported together, into an empty catalog"
        )


def _joined(before: FileEntry | None, entry: FileEntry) -> FileEntry:
    """The entry with what lies between it and the one before."""
    gap = (
        entry.kind == "depth"
        and before is not None
        and before.seq_last is not None
        and entry.prev_seq_first is not None
        and entry.prev_seq_first > before.seq_last
    )
    missing = 0
    if before is not None and entry.interval is not None:
        apart_ns = entry.ts_recv_first_ns - before.ts_recv_last_ns
        missing = apart_ns // BAR_INTERVALS[entry.interval] - 1
    return dataclasses.replace(entry, gap_before=gap, missing_before=missing)


def _digest(sources: list[SourceEntry], clock_offset_ns: int) -> str:
    content = [f"{source.name} {source.sha256}\n" for source in sources]
    return hashlib.sha256(f"{''.join(content)}{clock_offset_ns}".encode()).hexdigest()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
