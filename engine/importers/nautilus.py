"""A NautilusTrader Parquet catalog (as 1.221.0 writes it) to ours; NautilusTrader is not needed.

`path` is the catalog's folder. Depth (`order_book_delta`, or else `order_book_depth10`), trades
(`trade_tick`) and quotes (`quote_tick`) of the instrument are read; `ts_init` becomes the receive
time. How rows are taken is told in `engine.importers.nautilus_rows`.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from engine.importers.faults import begin_empty, provenance_of
from engine.importers.nautilus_files import TABLES, TableFile, tables_of
from engine.importers.nautilus_rows import (
    Depth10Decoder,
    DepthDecoder,
    QuoteDecoder,
    SequenceCheck,
    TradeDecoder,
)
from engine.importers.report import ImportFailed
from engine.importers.writing import Chunk, import_events
from engine.instruments import load_instrument

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from engine.importers.delimited import Tally
    from engine.importers.nautilus_rows import Grouping
    from engine.importers.report import ImportReport, ImportRequest
    from engine.importers.writing import SourceFile
    from engine.instruments import Instrument

__all__ = ["run"]

_KINDS = {
    "order_book_delta": "depth",
    "order_book_depth10": "depth",
    "trade_tick": "trades",
    "quote_tick": "quotes",
}
_COUNTED = {
    "depth_rows_before_clear": "Rows that a CLEAR in their own message took back: {}; left out.",
    "depth_rows_moved": (
        "Rows received before the end of their message: {}; given the receive time of its end."
    ),
    "depth_rows_unended": "Rows after the last F_LAST: {}; taken for one message.",
    "depth_rows_before_snapshot": (
        "Depth rows before any CLEAR: {}; no book comes of them (options.begin=empty begins with"
        " an empty one)."
    ),
    "trades_without_number": "Trades whose id is no whole number: {}; the id was left out.",
    "trade_duplicates": "Trades that repeat the one before, id and all: {}; left out.",
}


def run(request: ImportRequest) -> ImportReport:
    """Imports one catalog; see `engine.importers.run_import`. `options.instrument_id` is the
    instrument's id there, if it is another; `options.begin=empty` begins with an empty book.
    """
    request.check_options(("begin", "instrument_id"))
    if len(request.paths) != 1:
        raise ImportFailed(
            f"path: expected the folder of one catalog, found {len(request.paths)} paths"
        )
    instrument = load_instrument(request.instrument)
    name = request.options.get("instrument_id", instrument.id)
    tables, unused = tables_of(Path(request.paths[0]), name)
    if "order_book_delta" in tables and tables.pop("order_book_depth10", None) is not None:
        unused.append("order_book_depth10")
    begins_empty = begin_empty(request)
    found = {
        path.resolve(): TableFile.open(path, table, name)
        for table, paths in tables.items()
        for path in paths
    }

    def read(files: Sequence[SourceFile], tally: Tally) -> Iterator[Chunk]:
        placed = [(file, found[file.path.resolve()]) for file in files]
        yield from _read(placed, tally, instrument, begins_empty=begins_empty)
        left = [kind for kind in unused if kind not in ("crypto_perpetual", "currency_pair")]
        if left:
            tally.notes.append(f"Left out, as they are not read here: {', '.join(left)}.")

    def provenance(_: Instrument, files: Sequence[SourceFile]) -> str:
        abouts = (found[file.path.resolve()].about for file in files)
        return provenance_of(instrument, abouts)

    paths = tuple(str(table.path) for table in found.values())
    request = dataclasses.replace(request, paths=paths)
    return import_events(request, "nautilus", read, provenance=provenance)


def _read(
    files: Sequence[tuple[SourceFile, TableFile]],
    tally: Tally,
    instrument: Instrument,
    *,
    begins_empty: bool,
) -> Iterator[Chunk]:
    """All rows, table by table, each in the order of time."""
    for name in TABLES:
        # The names of the files are their times.
        mine = sorted(
            ((file, table) for file, table in files if table.table == name),
            key=lambda item: item[0].name,
        )
        widths = {table.width for _, table in mine}
        if len(widths) > 1:
            raise ImportFailed(
                f"{mine[0][1].path.parent}: expected fixed-point integers of one width, found"
                f" {' and '.join(map(str, sorted(widths)))} bytes"
            )
        if mine:
            yield from _table(name, mine, tally, instrument, begins_empty=begins_empty)
    tally.notes += [
        text.format(f"{tally.counts[name]:,}")
        for name, text in _COUNTED.items()
        if tally.counts[name]
    ]


def _table(
    name: str,
    files: Sequence[tuple[SourceFile, TableFile]],
    tally: Tally,
    instrument: Instrument,
    *,
    begins_empty: bool,
) -> Iterator[Chunk]:
    width = files[0][1].width
    decoder: DepthDecoder | Depth10Decoder | TradeDecoder | QuoteDecoder
    if name == "order_book_delta":
        grouping = _grouping(files, tally, begins_empty=begins_empty)
        decoder = DepthDecoder(instrument, width, tally, grouping)
    else:
        decoder = _PLAIN[name](instrument, width, tally)
    for file, table in files:
        done = 0
        for columns in table.batches():
            events = decoder.push(columns, (file.name, done + 1))
            count = len(columns["ts_init"])
            done += count
            tally.lines += count
            tally.messages[name] += count
            yield Chunk(file, _KINDS[name], events, file.size * done // max(1, table.rows))
    if isinstance(decoder, DepthDecoder):
        file = files[-1][0]
        yield Chunk(file, "depth", decoder.finish(), file.size)


_PLAIN: dict[str, type[Depth10Decoder | TradeDecoder | QuoteDecoder]] = {
    "order_book_depth10": Depth10Decoder,
    "trade_tick": TradeDecoder,
    "quote_tick": QuoteDecoder,
}


def _grouping(
    files: Sequence[tuple[SourceFile, TableFile]], tally: Tally, *, begins_empty: bool
) -> Grouping:
    """A first reading of the depth rows, for what no row can tell by itself."""
    check = SequenceCheck()
    for _, table in files:
        for columns in table.batches():
            check.push(columns)
    grouping = check.grouping(begin_empty=begins_empty)
    if not grouping.by_flag:
        tally.notes.append("No depth row is flagged F_LAST: rows of equal times are one message.")
    if grouping.has_ids:
        tally.notes.append(
            "Which update id a delta continues from is not in the format: gaps cannot be found."
        )
    else:
        tally.notes.append(
            "The sequence numbers of the depth messages do not rise from message to message: they"
            " are left out, and gaps cannot be found."
        )
    return grouping
