"""The Parquet catalog: recorded and generated event rows, by venue, instrument, kind and day.

Layout: `ROOT/<VENUE>/<INSTRUMENT>/<kind>/<YYYY-MM-DD>/<part>.parquet` and one `manifest.json` for
each instrument, replaced by one rename. A file that no manifest names does not exist for readers,
so an import that is cut off leaves nothing half visible. `day` is the UTC day of `ts_recv_ns`.

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

    from engine.catalog_writer import CatalogWriter
    from engine.instruments import Instrument

__all__ = [
    "KINDS",
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
        """The files of one kind, in the order of time."""
        return [entry for entry in self.files if entry.kind == kind]

    @property
    def gaps(self) -> int:
        """Breaks in the update ids of the depth stream, those between files included."""
        return sum(entry.gaps + entry.gap_before for entry in self.of_kind("depth"))

    def to_json(self) -> str:
        """The manifest as its file holds it: equal manifests are equal bytes."""
        content = {"version": VERSION, **dataclasses.asdict(self)}
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
        next one. `index` goes into the column `instrument`.

        Each file's SHA-256 is checked before a row of it is given out. Raises `CatalogError` naming
        the file, the hash expected and the hash found.
        """
        entries = self.manifest(instrument).of_kind(_kind(kind))
        if batch_rows < 1:
            raise CatalogError(f"batch_rows: expected at least 1, found {batch_rows}")
        if kind == "depth" and start_ns is not None:
            start_ns = _run_up(entries, start_ns)
        for entry in entries:
            if start_ns is not None and entry.ts_recv_last_ns < start_ns:
                continue
            if end_ns is not None and entry.ts_recv_first_ns >= end_ns:
                continue
            yield from self._file_batches(instrument, entry, start_ns, end_ns, batch_rows, index)

    def _file_batches(
        self,
        instrument: str,
        entry: FileEntry,
        start_ns: int | None,
        end_ns: int | None,
        batch_rows: int,
        index: int,
    ) -> Iterator[Events]:
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
        kinds = sorted({_kind(kind) for kind in kinds})
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
    """What a catalog holds, one row for each instrument and kind, sorted.

    Keys: `instrument`, `kind`, `start_ns` and `end_ns` (first and last `ts_recv_ns`), `rows`,
    `messages`, `files`, `bytes`, `gaps` (of the update ids, depth only), `broken` (lines of the
    sources that could not be used), `clock_offset_ns` (a list, one for each value in use),
    `provenance`.
    """
    catalog = Catalog(root)
    return [
        _summary(manifest, kind, entries)
        for manifest in map(catalog.manifest, catalog.instruments())
        for kind in KINDS
        if (entries := manifest.of_kind(kind))
    ]


def _summary(manifest: Manifest, kind: str, entries: list[FileEntry]) -> dict[str, Any]:
    return {
        "instrument": manifest.instrument,
        "kind": kind,
        "start_ns": entries[0].ts_recv_first_ns,
        "end_ns": max(entry.ts_recv_last_ns for entry in entries),
        "rows": sum(entry.rows for entry in entries),
        "messages": sum(entry.messages for entry in entries),
        "files": len(entries),
        "bytes": sum(entry.bytes for entry in entries),
        "gaps": manifest.gaps if kind == "depth" else 0,
        "broken": sum(item.details.get("broken", 0) for item in manifest.imports),
        "clock_offset_ns": sorted({entry.clock_offset_ns for entry in entries}),
        "provenance": manifest.provenance,
    }


def _kind(kind: str) -> str:
    if kind not in KINDS:
        raise CatalogError(f"kind: expected one of {', '.join(KINDS)}, found '{kind}'")
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
