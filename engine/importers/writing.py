"""From the files of a vendor to the catalog: what all importers of event rows share.

A format brings a function that reads files and yields event rows; here is the rest: which files are
new, the clocks, the order of time, counting, and one commit of everything or nothing.

The rows are written as if the clocks agreed while they are read. Only where it turns out that the
receive clock ran behind the venue's are the files read a second time, now with the right shift. So
memory does not grow with the files, and most of them are read once.
"""

from __future__ import annotations

import dataclasses
import errno
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from engine import _core
from engine.catalog import KINDS, Catalog, SourceEntry
from engine.feed import read_ahead
from engine.importers.delimited import Tally
from engine.importers.report import ImportFailed, ImportReport
from engine.importers.sources import identified
from engine.instruments import load_instrument
from engine.units import utc_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

    from engine.catalog import Events, Manifest
    from engine.importers.report import ImportRequest
    from engine.instruments import Instrument

    Integers = npt.NDArray[np.int64]

__all__ = [
    "Chunk",
    "Reader",
    "SourceFile",
    "Tally",
    "event_rows",
    "import_events",
    "in_time_order",
    "quote_rows",
]

_MARKET_OF_MADE_UP_DATA = "testnet"
_QUOTE = 5


@dataclass(frozen=True)
class SourceFile:
    """A file to import: where it is, and what the catalog will know of it."""

    path: Path
    size: int
    source: SourceEntry

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return self.path.name


@dataclass(frozen=True)
class Chunk:
    """Whole messages of one data kind out of one file, an array of `EVENT_DTYPE` with receive times
    as the file has them. `bytes_done` is how much of the file was read so far, packed.
    """

    file: SourceFile
    kind: str
    events: Events
    bytes_done: int


Reader = Callable[[Sequence[SourceFile], Tally], Iterable[Chunk]]
"""Reads files, which come in the order of their names, and counts in the tally what it finds.

The chunks of each kind come in the order of time, file by file. The function is called a second
time, with a new tally, where receive times have to be shifted."""


def event_rows(
    count: int,
    *,
    kind: Any,
    ts_event_ns: Any,
    ts_recv_ns: Any,
    side: Any = 0,
    px_ticks: Any = 0,
    qty_lots: Any = 0,
    seq: Any = _core.SEQ_NONE,
    prev_seq: Any = _core.SEQ_NONE,
    first: Any = True,
    last: Any = True,
) -> Events:
    """`count` event rows of columns (arrays or one value for all). `kind` is the event kind's code
    (1 delta, 2 snapshot, 3 trade, 4 trade off the book, 5 quote), `side` 1 for bid and 2 for ask;
    `first` and `last` mark the rows that begin and end a message.
    """
    rows: Events = np.zeros(count, _core.EVENT_DTYPE)
    rows["ts_event_ns"] = ts_event_ns
    rows["ts_recv_ns"] = ts_recv_ns
    rows["px_ticks"] = px_ticks
    rows["qty_lots"] = qty_lots
    rows["seq"] = seq
    rows["prev_seq"] = prev_seq
    rows["kind"] = kind
    rows["side"] = side
    rows["flags"] = np.where(first, _core.FLAG_FIRST, 0) | np.where(last, _core.FLAG_LAST, 0)
    return rows


def quote_rows(
    ts_event_ns: Integers,
    ts_recv_ns: Integers,
    bid: tuple[Integers, Integers],
    ask: tuple[Integers, Integers],
    *,
    ok: npt.NDArray[np.bool_],
    seq: Any = _core.SEQ_NONE,
) -> Events:
    """Quotes of the rows that are ok, as recordings have them: a row for the bid, one for the ask
    (ticks, lots); a side without a price has none, and without both there is one of no side.
    """
    present = np.stack([bid[0] > 0, ask[0] > 0, (bid[0] <= 0) & (ask[0] <= 0)], axis=1)
    present &= ok[:, np.newaxis]
    nothing = np.zeros(len(ok), np.int64)
    row, side = np.nonzero(present)
    begins = np.diff(row, prepend=-1) > 0
    return event_rows(
        len(row),
        kind=_QUOTE,
        ts_event_ns=ts_event_ns[row],
        ts_recv_ns=ts_recv_ns[row],
        side=np.array([1, 2, 0])[side],
        px_ticks=np.stack([bid[0], ask[0], nothing], axis=1)[row, side],
        qty_lots=np.stack([bid[1], ask[1], nothing], axis=1)[row, side],
        seq=seq[row] if isinstance(seq, np.ndarray) else seq,
        first=begins,
        last=np.append(begins[1:], True) if len(begins) else begins,
    )


def in_time_order(
    files: Sequence[SourceFile], first_ns: Callable[[SourceFile], int | None]
) -> list[SourceFile]:
    """The files by their first times; those without one come first, by their names."""
    return sorted(files, key=lambda file: (first_ns(file) or 0, file.name, file.source.sha256))


def import_events(
    request: ImportRequest,
    format: str,
    read: Reader,
    *,
    has_receive_times: bool = True,
    provenance: Callable[[Instrument, Sequence[SourceFile]], str] | None = None,
) -> ImportReport:
    """Imports the files of a request, all or nothing, as `engine.importers.run_import` promises.

    `format` is the name that the manifest gives the source. Files that the catalog has already are
    left out. Receive times are shifted by one constant so that none is earlier than its venue time
    (`clock_offset_ns` and `base_latency_ns` of the request as for recordings), and raised to the
    one before where they go back. Without `has_receive_times` the rows' receive times are their
    venue times; `base_latency_ns` is added to them. More than `max_broken_share` of broken lines,
    or no row at all, fail the import. `provenance` tells the provenance of the files; without it
    that is `recorded`, and testnet instruments are refused.
    """
    started = time.perf_counter()
    instrument = load_instrument(request.instrument)
    if provenance is None and instrument.market == _MARKET_OF_MADE_UP_DATA:
        raise ImportFailed(
            f"{instrument.id}: its market is {instrument.market}, of which no vendor has data"
        )
    catalog = Catalog(request.catalog)
    old = catalog.manifest(instrument.id) if catalog.has(instrument.id) else None
    files = identified(request, old)
    if not files.new:
        return files.unchanged(instrument.id)
    new = [SourceFile(path, path.stat().st_size, source) for path, source in files.new]
    told = "recorded" if provenance is None else provenance(instrument, new)
    job = _Job(request, format, read, new, told, has_receive_times=has_receive_times)
    report = job.run(catalog, instrument, old)
    return files.completed(report, time.perf_counter() - started)


class _Shifted(Exception):
    """The receive clock ran behind: the rows have to be written with this shift."""

    def __init__(self, clock_offset_ns: int) -> None:
        super().__init__(clock_offset_ns)
        self.clock_offset_ns = clock_offset_ns


class _Job:
    """One import."""

    def __init__(
        self,
        request: ImportRequest,
        format: str,
        read: Reader,
        files: Sequence[SourceFile],
        provenance: str,
        *,
        has_receive_times: bool,
    ) -> None:
        self._request = request
        self._format = format
        self._read = read
        self._files = files
        self._provenance = provenance
        self._has_receive_times = has_receive_times

    def run(self, catalog: Catalog, instrument: Instrument, old: Manifest | None) -> ImportReport:
        offset_ns = self._request.clock_offset_ns
        if offset_ns is None and not self._has_receive_times:
            offset_ns = self._request.base_latency_ns
        try:
            try:
                return self._write(catalog, instrument, old, offset_ns)
            except _Shifted as shifted:
                return self._write(catalog, instrument, old, shifted.clock_offset_ns)
        except OSError as error:
            if error.errno != errno.ENOSPC and "No space left" not in str(error):
                raise
            raise ImportFailed(
                f"{self._request.catalog}: no space left on the device; the catalog is as it was"
            ) from error

    def _write(
        self,
        catalog: Catalog,
        instrument: Instrument,
        old: Manifest | None,
        offset_ns: int | None,
    ) -> ImportReport:
        """Reads and writes everything; with an offset of None it may turn out to be another."""
        tally = Tally()
        streams = _Streams(offset_ns)
        total = sum(file.size for file in self._files)
        before = {file.source.sha256: 0 for file in self._files}
        with (
            catalog.writer(
                instrument,
                provenance=self._provenance,
                source=[file.source for file in self._files],
                clock_offset_ns=offset_ns or 0,
            ) as writer,
            read_ahead(self._chunks(tally)) as chunks,
        ):
            for chunk in chunks:
                streams.check_place(chunk)
                if (events := streams.take(chunk)) is not None:
                    writer.append(chunk.kind, events)
                before[chunk.file.source.sha256] = chunk.bytes_done
                self._request.progress("import", sum(before.values()), total)
            tally.sort([file.name for file in self._files])
            self._refuse_unusable(instrument, tally, streams)
            if streams.is_late:
                least = streams.latency_ns_min
                assert least is not None
                raise _Shifted(self._request.base_latency_ns - least)
            self._request.progress("import", total, total)
            self._say(tally, streams)
            details = self._details(tally, streams)
            # What another importer of this instrument left for its next run stays.
            manifest = writer.commit(details=details, resume=old.resume if old else None)
        return self._report(manifest, tally, streams)

    def _chunks(self, tally: Tally) -> Iterator[Chunk]:
        return iter(self._read(self._files, tally))

    def _names(self) -> str:
        return ", ".join(file.name for file in self._files)

    def _refuse_unusable(self, instrument: Instrument, tally: Tally, streams: _Streams) -> None:
        shown = "".join(f"\n  {line}" for line in tally.broken_first[:5])
        others = tally.other_symbols
        if others and others.total() * 2 > tally.lines:
            other, _ = others.most_common(1)[0]
            raise ImportFailed(
                f"{self._names()}: holds {other}, instrument {instrument.id} expects"
                f" {instrument.symbol}; nothing was imported"
            )
        if tally.broken > self._request.max_broken_share * tally.lines:
            raise ImportFailed(
                f"{self._names()}: {tally.broken:,} of {tally.lines:,} lines are broken, more than"
                f" max_broken_share={self._request.max_broken_share:g} allows; nothing was imported"
                f"{shown}"
            )
        if not any(streams.rows.values()):
            why = "".join(f"\n  {note}" for note in tally.notes)
            raise ImportFailed(
                f"{self._names()}: expected at least one row of use, found none in"
                f" {tally.lines:,} lines; nothing was imported{why}{shown}"
            )

    def _say(self, tally: Tally, streams: _Streams) -> None:
        """Notes of what is the same for all formats."""
        streams.say_clock(tally.notes, self._request, has_receive_times=self._has_receive_times)
        counts = tally.counts
        counts["recv_backwards"] = streams.backwards
        tally.notes.extend(
            text.format(f"{counts[name]:,}") for name, text in _COUNTED.items() if counts[name]
        )

    def _details(self, tally: Tally, streams: _Streams) -> dict[str, Any]:
        """What the manifest says of the import beside its sources."""
        return {
            "format": self._format,
            "options": dict(sorted(self._request.options.items())),
            "files": [{"name": file.name, "bytes": file.size} for file in self._files],
            "lines": tally.lines,
            "broken": tally.broken,
            "broken_first": [dataclasses.asdict(line) for line in tally.broken_first],
            "messages": dict(sorted(tally.messages.items())),
            "counts": _above_zero(tally.counts),
            "latency_raw_ns_min": streams.latency_ns_min,
            "base_latency_ns": self._request.base_latency_ns,
            "clock_offset_given": self._request.clock_offset_ns is not None,
            "notes": tally.notes,
        }

    def _report(self, manifest: Manifest, tally: Tally, streams: _Streams) -> ImportReport:
        entries = manifest.newest_files
        return ImportReport(
            instrument=manifest.instrument,
            changed=True,
            provenance=self._provenance,
            files=[file.name for file in self._files],
            lines=tally.lines,
            broken=tally.broken,
            broken_first=tally.broken_first,
            messages=dict(sorted(tally.messages.items())),
            rows=dict(streams.rows),
            gaps=manifest.gaps,
            counts=_above_zero(tally.counts),
            clock_offset_ns=streams.clock_offset_ns,
            latency_ns_min=streams.latency_ns_min,
            ts_recv_first_ns=min((entry.ts_recv_first_ns for entry in entries), default=None),
            ts_recv_last_ns=max((entry.ts_recv_last_ns for entry in entries), default=None),
            text_bytes=tally.text_bytes,
            bytes_written=sum(entry.bytes for entry in entries),
            notes=tally.notes,
        )


class _Streams:
    """The rows on their way to the writer: clocks, order of time, and where files meet."""

    def __init__(self, offset_ns: int | None) -> None:
        self._given = offset_ns is not None
        self.clock_offset_ns = offset_ns or 0
        self.latency_ns_min: int | None = None
        self.backwards = 0
        self.rows = dict.fromkeys(KINDS, 0)
        self._last: dict[str, tuple[SourceFile, int]] = {}

    @property
    def is_late(self) -> bool:
        """Whether the receive clock ran behind and nobody has said by how much."""
        least = self.latency_ns_min
        return not self._given and least is not None and least < 0

    def check_place(self, chunk: Chunk) -> None:
        """Raises `ImportFailed` where a file begins before another of its kind has ended."""
        if not len(chunk.events) or chunk.kind not in self._last:
            return
        file, last_ns = self._last[chunk.kind]
        first_ns = int(chunk.events["ts_recv_ns"][0]) + self.clock_offset_ns
        if file is not chunk.file and first_ns < last_ns:
            begin, end = utc_text(first_ns), utc_text(last_ns)
            raise ImportFailed(
                f"{chunk.file.name}: its {chunk.kind} begin at {begin}, before those of {file.name}"
                f" end at {end}; files of one kind must follow one another"
            )

    def take(self, chunk: Chunk) -> Events | None:
        """The rows as they are to be written; None where they will be read once more anyway."""
        events = chunk.events
        if not len(events):
            return None
        timed = events["ts_event_ns"] != _core.TS_NONE
        if timed.any():
            least = int((events["ts_recv_ns"][timed] - events["ts_event_ns"][timed]).min())
            known = self.latency_ns_min
            self.latency_ns_min = least if known is None else min(least, known)
        shifted = events["ts_recv_ns"] + self.clock_offset_ns
        before = self._last[chunk.kind][1] if chunk.kind in self._last else int(shifted[0])
        highest = np.maximum(np.maximum.accumulate(shifted), before)
        self.backwards += int(((shifted < highest) & (events["flags"] & _core.FLAG_LAST > 0)).sum())
        self._last[chunk.kind] = chunk.file, int(highest[-1])
        self.rows[chunk.kind] += len(events)
        if self.is_late:
            return None
        events["ts_recv_ns"] = highest
        return events

    def say_clock(
        self, notes: list[str], request: ImportRequest, *, has_receive_times: bool
    ) -> None:
        """Notes what was done to the receive times."""
        shift = f"{self.clock_offset_ns / 1e6:+,.3f} ms"
        if not has_receive_times:
            notes.append(
                "The files have no receive times: each is the venue's time"
                + (f" {shift}" if self.clock_offset_ns else "")
                + " (base_latency_ns says how much is added)."
            )
        elif self.latency_ns_min is None:
            notes.append("No message has a venue time, so the clocks were not compared.")
        elif request.clock_offset_ns is not None:
            notes.append(
                f"Receive times were shifted by {shift} as told (the smallest receive time minus"
                f" venue time was {self.latency_ns_min / 1e6:,.3f} ms)."
            )
        elif self.clock_offset_ns:
            notes.append(
                f"The receive clock ran {-self.latency_ns_min / 1e6:,.3f} ms behind the venue's:"
                f" all receive times were shifted by {shift}, so that the smallest latency is"
                f" {request.base_latency_ns / 1e6:g} ms."
            )
        else:
            notes.append(
                f"The clocks agree (smallest latency {self.latency_ns_min / 1e6:,.3f} ms): no"
                " receive time was shifted."
            )


_COUNTED = {
    "recv_backwards": "Receive times that went back: {}; raised to the line before.",
    "quantities_rounded": "Quantities finer than the lot: {}; taken to the nearest lot.",
    "unended_lines": (
        "Files whose last line has no line end: {}; if one was cut off there, that line's last"
        " value may be too short."
    ),
}


def _above_zero(counts: dict[str, int]) -> dict[str, int]:
    return {name: count for name, count in sorted(counts.items()) if count}
