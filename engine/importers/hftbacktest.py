"""hftbacktest's npz and npy files (its `event_dtype`, as 2.4.4 writes it) to the catalog.

How rows are taken is told in `engine.importers.hftbacktest_rows`; hftbacktest is not needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.importers.faults import begin_empty, provenance_of
from engine.importers.hftbacktest_rows import Decoder
from engine.importers.npz import EventFile
from engine.importers.report import ImportFailed
from engine.importers.writing import Chunk, import_events, in_time_order
from engine.instruments import load_instrument
from engine.units import utc_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from engine.importers.delimited import Tally
    from engine.importers.report import ImportReport, ImportRequest
    from engine.importers.writing import SourceFile
    from engine.instruments import Instrument

__all__ = ["run"]

_COUNTED = {
    "exchange_only_rows": (
        "Rows for the exchange alone without a twin, which nobody received: {}; left out."
    ),
    "local_only_rows": "Rows for the strategy alone without a twin: {}; taken.",
    "bbo_rows": "Best bid and ask rows (event 5): {}; left out.",
    "order_rows": "Rows of single orders (events 10 to 13): {}; left out.",
    "depth_rows_before_snapshot": (
        "Depth rows before any clear or snapshot: {}; no book comes of them (options.begin=empty"
        " begins with an empty one)."
    ),
    "partial_snapshots": (
        "Snapshots that left levels beyond their last price: {}; taken with those levels."
    ),
}


def run(request: ImportRequest) -> ImportReport:
    """Imports npz and npy files; see `engine.importers.run_import`. `options.begin=empty` begins
    with an empty book.
    """
    request.check_options(("begin",))
    instrument = load_instrument(request.instrument)
    begins_empty = begin_empty(request)

    def read(files: Sequence[SourceFile], tally: Tally) -> Iterator[Chunk]:
        return _read(files, tally, Decoder(instrument, tally, begin_empty=begins_empty))

    def provenance(_: Instrument, files: Sequence[SourceFile]) -> str:
        return provenance_of(instrument, (EventFile(file.path).about for file in files))

    return import_events(request, "hftbacktest", read, provenance=provenance)


def _read(files: Sequence[SourceFile], tally: Tally, decoder: Decoder) -> Iterator[Chunk]:
    """All rows, file after file in the order of time; a message may go on in the next file."""
    opened = {file.source.sha256: EventFile(file.path) for file in files}

    def first_ns(file: SourceFile) -> int | None:
        return opened[file.source.sha256].first_ns()

    newest: tuple[SourceFile, int] | None = None
    for file in in_time_order(files, first_ns):
        events = opened[file.source.sha256]
        _check_place(file, events.first_ns(), newest)
        done = 0
        for rows in events.batches():
            depth, trades = decoder.push(rows, file.name, done + 1)
            done += len(rows)
            tally.lines += len(rows)
            bytes_done = file.size * done // max(1, events.rows)
            yield Chunk(file, "depth", depth, bytes_done)
            yield Chunk(file, "trades", trades, bytes_done)
        newest = (file, decoder.newest_ns)
    if newest is not None:
        yield Chunk(newest[0], "depth", decoder.finish(), newest[0].size)
    tally.notes += [
        text.format(f"{tally.counts[name]:,}")
        for name, text in _COUNTED.items()
        if tally.counts[name]
    ]
    tally.notes.append(
        "The format has no message bounds and no ids: depth rows of equal times are one message,"
        " gaps cannot be found, and rows that repeat are kept."
    )


def _check_place(
    file: SourceFile, first_ns: int | None, newest: tuple[SourceFile, int] | None
) -> None:
    """Raises `ImportFailed` for a file that begins before the one before it has ended."""
    if newest is not None and first_ns is not None and first_ns < newest[1]:
        raise ImportFailed(
            f"{file.name}: its rows begin at {utc_text(first_ns)}, before those of"
            f" {newest[0].name} end at {utc_text(newest[1])}; files must follow one another"
        )
