"""Raw Binance recordings (spot, USD-M, COIN-M) to the catalog.

Two passes: the first decodes everything, counts what is broken and finds the clock offset; only
then does the second write. So a file of any size takes the same memory, and nothing is written
before it is known to be good.
"""

from __future__ import annotations

import dataclasses
import errno
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from engine import _core
from engine.catalog import KINDS, Catalog, SourceEntry
from engine.feed import read_ahead
from engine.importers.report import BrokenLine, ImportFailed, ImportReport
from engine.importers.sources import identified
from engine.instruments import load_instrument

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from engine.catalog import Events, Manifest
    from engine.importers.report import ImportRequest
    from engine.instruments import Instrument

__all__ = ["run"]

_STEP_BYTES = 4 << 20
_BATCH_ROWS = 262_144
_BROKEN_KEPT = 100
_USED = ("bookTicker", "depth", "off-book trade", "snapshot", "trade")


@dataclass(frozen=True)
class _Recording:
    """A file to import, and what the first pass found in it."""

    path: Path
    sha256: str
    size: int
    found: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def source(self) -> SourceEntry:
        return SourceEntry(self.path.name, self.sha256)


def run(request: ImportRequest) -> ImportReport:
    """Imports recordings; see `engine.importers.run_import`."""
    request.check_options(())
    started = time.perf_counter()
    instrument = load_instrument(request.instrument)
    if not instrument.market.startswith("binance_"):
        raise ImportFailed(
            f"{instrument.id}: its market is {instrument.market}, which has no Binance recordings"
        )
    catalog = Catalog(request.catalog)
    old = catalog.manifest(instrument.id) if catalog.has(instrument.id) else None
    files = identified(request, old)
    if not files.new:
        return files.unchanged(instrument.id)
    new = [_Recording(path, source.sha256, path.stat().st_size) for path, source in files.new]
    new = _survey(new, instrument, request)
    survey = _Survey(new, instrument, request, old)
    report = _write(catalog, instrument, survey, request)
    return files.completed(report, time.perf_counter() - started)


def _decoder(instrument: Instrument) -> tuple[str, str, str, str]:
    return instrument.market, instrument.symbol, instrument.tick, instrument.lot


def _survey(
    recordings: list[_Recording], instrument: Instrument, request: ImportRequest
) -> list[_Recording]:
    """First pass; the files come back in the order of their first receive times."""
    total = sum(item.size for item in recordings)
    done = 0
    surveyed = []
    for item in recordings:
        try:
            survey = _core.Survey(item.path, *_decoder(instrument))
        except ValueError as error:
            raise ImportFailed(str(error)) from error
        while survey.advance(_STEP_BYTES):
            request.progress("check", done + survey.source_bytes(), total)
        done += item.size
        request.progress("check", done, total)
        surveyed.append(dataclasses.replace(item, found=survey.finish()))
    # A file without a usable message has no time and no rows: its place does not matter.
    return sorted(surveyed, key=lambda item: (item.found["ts_recv_ns"] or (0, 0), item.sha256))


class _Survey:
    """The findings of all files together, and what follows from them."""

    def __init__(
        self,
        recordings: list[_Recording],
        instrument: Instrument,
        request: ImportRequest,
        old: Manifest | None,
    ) -> None:
        self.recordings = recordings
        self.notes: list[str] = []
        self.lines = self._sum("lines")
        self.broken_lines = self._sum("broken")
        self.broken = self.broken_lines + self._sum("damaged")
        self.rounded = self._sum("rounded")
        self.text_bytes = self._sum("text_bytes")
        self.messages = _added(item.found["messages"] for item in recordings)
        self.broken_first = list(self._broken())
        self._refuse_unusable(instrument, request)
        self.latency_ns_min: int | None = min(
            (
                item.found["latency_ns_min"]
                for item in recordings
                if item.found["latency_ns_min"] is not None
            ),
            default=None,
        )
        self.clock_offset_ns = self._offset(request)
        self.resume, self.is_newest = self._place(old)
        self.resume_later = None if self.is_newest or old is None else old.resume
        self._say_clock(request)

    def _sum(self, name: str) -> int:
        return sum(item.found[name] for item in self.recordings)

    def _broken(self) -> Iterator[BrokenLine]:
        left = _BROKEN_KEPT
        for item in self.recordings:
            for number, reason, text in item.found["broken_first"][:left]:
                left -= 1
                yield BrokenLine(item.path.name, number, reason, text)

    def _refuse_unusable(self, instrument: Instrument, request: ImportRequest) -> None:
        empty = [item for item in self.recordings if item.size == 0]
        if empty:
            raise ImportFailed(f"{empty[0].path}: the file is empty; nothing was imported")
        if self.broken_lines > request.max_broken_share * self.lines:
            raise ImportFailed(self._too_broken(instrument, request))
        if not any(item.found["ts_recv_ns"] for item in self.recordings):
            found = ", ".join(self.messages) or "no line"
            raise ImportFailed(
                f"{self._names()}: expected depth, trade or bookTicker messages of"
                f" {instrument.symbol}, found {found}; nothing was imported{self._shown()}"
            )
        for item in self.recordings:
            if not item.found["ts_recv_ns"]:
                self.notes.append(f"{item.path.name} holds no message of use.")

    def _too_broken(self, instrument: Instrument, request: ImportRequest) -> str:
        others = _added(item.found["other_symbols"] for item in self.recordings)
        other = max(others, key=lambda symbol: others[symbol], default=None)
        if other is not None and others[other] * 2 > self.lines:
            return (
                f"{self._names()}: holds {other}, instrument {instrument.id} expects"
                f" {instrument.symbol}; nothing was imported"
            )
        return (
            f"{self._names()}: {self.broken_lines:,} of {self.lines:,} lines are broken, more than"
            f" max_broken_share={request.max_broken_share:g} allows; nothing was imported"
            f"{self._shown()}"
        )

    def _shown(self) -> str:
        return "".join(f"\n  {line}" for line in self.broken_first[:5])

    def _names(self) -> str:
        return ", ".join(item.path.name for item in self.recordings)

    def _offset(self, request: ImportRequest) -> int:
        if request.clock_offset_ns is not None:
            return request.clock_offset_ns
        least = self.latency_ns_min
        if least is None or least >= 0:
            return 0
        return request.base_latency_ns - least

    def _place(self, old: Manifest | None) -> tuple[dict[str, Any] | None, bool]:
        """The state to go on from, and whether these recordings end after what is there.

        They may follow upon it, also overlapping its end (messages seen before are then left out
        by their ids), or lie wholly before or between its files.
        """
        # Candles, single orders and rates are no part of the streams that recordings go on from.
        files = [] if old is None else old.event_files
        if old is None or not files:
            return None, True
        times = [time for item in self.recordings if (time := item.found["ts_recv_ns"])]
        start = min(first for first, _ in times) + self.clock_offset_ns
        end = max(last for _, last in times) + self.clock_offset_ns
        old_start = min(entry.ts_recv_first_ns for entry in files)
        old_end = max(entry.ts_recv_last_ns for entry in files)
        if start >= old_start and end > old_end:
            return old.resume, True
        for entry in files:
            if start <= entry.ts_recv_last_ns and entry.ts_recv_first_ns <= end:
                raise ImportFailed(
                    f"{self._names()}: {_span(start, end)} overlaps what the catalog has of"
                    f" {old.instrument} ({_span(old_start, old_end)}) without following upon it;"
                    " import overlapping recordings together into an empty catalog"
                )
        return None, False

    def _say_clock(self, request: ImportRequest) -> None:
        if self.latency_ns_min is None:
            self.notes.append("No message has a venue time, so the clocks were not compared.")
            return
        least = self.latency_ns_min / 1e6
        if request.clock_offset_ns is not None:
            self.notes.append(
                f"Receive times were shifted by {self.clock_offset_ns / 1e6:+,.3f} ms as told"
                f" (the smallest receive time minus venue time was {least:,.3f} ms)."
            )
        elif self.clock_offset_ns:
            self.notes.append(
                f"The receive clock ran {-least:,.3f} ms behind the venue's: all receive times"
                f" were shifted by {self.clock_offset_ns / 1e6:+,.3f} ms, so that the smallest"
                f" latency is {request.base_latency_ns / 1e6:g} ms."
            )
        else:
            self.notes.append(
                f"The clocks agree (smallest latency {least:,.3f} ms): no receive time was shifted."
            )


def _span(start_ns: int, end_ns: int) -> str:
    return f"{_utc(start_ns)} to {_utc(end_ns)}"


def _utc(ts_ns: int) -> str:
    return datetime.fromtimestamp(ts_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _added(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for count in counts:
        for name, value in count.items():
            total[name] = total.get(name, 0) + value
    return dict(sorted(total.items()))


def _write(
    catalog: Catalog, instrument: Instrument, survey: _Survey, request: ImportRequest
) -> ImportReport:
    """Second pass: everything into the catalog, in one commit."""
    importer = _core.Importer(
        [(item.path, item.sha256, item.found["latency_ns_min"]) for item in survey.recordings],
        *_decoder(instrument),
        survey.clock_offset_ns,
        survey.resume,
    )
    total = sum(item.size for item in survey.recordings)
    rows = dict.fromkeys(KINDS, 0)
    try:
        with (
            catalog.writer(
                instrument,
                provenance="recorded",
                source=[item.source for item in survey.recordings],
                clock_offset_ns=survey.clock_offset_ns,
            ) as writer,
            read_ahead(_batches(importer)) as batches,
        ):
            for streams, done in batches:
                for kind, events in zip(KINDS, streams, strict=True):
                    writer.append(kind, events)
                    rows[kind] += len(events)
                request.progress("import", done, total)
            details = _details(survey, importer, request)
            resume = importer.state() if survey.is_newest else survey.resume_later
            manifest = writer.commit(details=details, resume=resume)
    except OSError as error:
        if error.errno != errno.ENOSPC and "No space left" not in str(error):
            raise
        raise ImportFailed(
            f"{request.catalog}: no space left on the device; the catalog is as it was"
        ) from error
    return _report(survey, manifest, details, rows)


def _batches(importer: Any) -> Iterator[tuple[tuple[Events, ...], int]]:
    while (streams := importer.advance(_BATCH_ROWS)) is not None:
        yield streams, importer.source_bytes()


def _details(survey: _Survey, importer: Any, request: ImportRequest) -> dict[str, Any]:
    """What the manifest says of an import beside its sources."""
    counts = {**importer.counts(), "quantities_rounded": survey.rounded}
    _say_counts(survey, counts)
    return {
        "format": "binance",
        "files": [
            {
                "name": item.path.name,
                "bytes": item.size,
                "lines": item.found["lines"],
                "broken": item.found["broken"] + item.found["damaged"],
                "ts_recv_raw_ns": item.found["ts_recv_ns"],
                "latency_raw_ns_min": item.found["latency_ns_min"],
            }
            for item in survey.recordings
        ],
        "lines": survey.lines,
        "broken": survey.broken,
        "broken_first": [dataclasses.asdict(line) for line in survey.broken_first],
        "messages": survey.messages,
        "counts": counts,
        "latency_raw_ns_min": survey.latency_ns_min,
        "base_latency_ns": request.base_latency_ns,
        "clock_offset_given": request.clock_offset_ns is not None,
        "notes": survey.notes,
    }


_COUNTED = {
    "depth_gaps": "Breaks of the update ids: {}; the book is suspect from there to a snapshot.",
    "depth_duplicates": "Depth messages seen before or older than the book: {}; left out.",
    "depth_unjoined": "Depth messages without a snapshot to stand on: {}; no book comes of them.",
    "snapshots_redundant": "Snapshots that came while the book was in step: {}; left out.",
    "snapshots_outdated": "Snapshots older than the depth messages after them: {}; left out.",
    "quote_duplicates": "bookTickers seen before: {}; left out.",
    "trade_duplicates": "Trades seen before: {}; left out.",
    "trade_id_gaps": "Breaks of the trade ids: {}; trades are missing.",
    "recv_backwards": "Receive times that went back: {}; raised to the line before.",
    "quantities_rounded": "Quantities finer than the lot: {}; taken to the nearest lot.",
}


def _say_counts(survey: _Survey, counts: dict[str, int]) -> None:
    survey.notes.extend(
        text.format(f"{counts[name]:,}") for name, text in _COUNTED.items() if counts[name]
    )
    if survey.messages.get("depth") and not survey.messages.get("snapshot"):
        survey.notes.append("These recordings hold no depth snapshot.")
    unused = {name: n for name, n in survey.messages.items() if name not in _USED}
    if unused:
        listed = ", ".join(f"{n:,} {name}" for name, n in unused.items())
        survey.notes.append(f"Messages that are not used here were left out: {listed}.")


def _report(
    survey: _Survey, manifest: Manifest, details: dict[str, Any], rows: dict[str, int]
) -> ImportReport:
    entries = manifest.newest_files
    return ImportReport(
        instrument=manifest.instrument,
        changed=True,
        files=[item.path.name for item in survey.recordings],
        lines=survey.lines,
        broken=survey.broken,
        broken_first=survey.broken_first,
        messages=survey.messages,
        rows=rows,
        gaps=manifest.gaps,
        counts=details["counts"],
        clock_offset_ns=survey.clock_offset_ns,
        latency_ns_min=survey.latency_ns_min,
        ts_recv_first_ns=min((entry.ts_recv_first_ns for entry in entries), default=None),
        ts_recv_last_ns=max((entry.ts_recv_last_ns for entry in entries), default=None),
        text_bytes=survey.text_bytes,
        bytes_written=sum(entry.bytes for entry in entries),
        notes=survey.notes,
    )
