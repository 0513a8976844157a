"""CSV files of tardis.dev to the catalog: books, trades and best prices of any of its exchanges.

Which data a file holds is told by its first line, not by its name. Prices and amounts become exact
ticks and lots; times are µs in the files. The format has no update ids, so that missing messages
cannot be seen in it.

How a book is read (docs.tardis.dev, "Data types"): rows of `incremental_book_L2` that share a
`local_timestamp` are one message; rows marked `is_snapshot` that share one are a whole book, which
replaces the book before it: at the start of each day's file and after a reconnection. Each row of
`book_snapshot_N` is a whole book of N levels a side. Of these the difference to the row before is
kept, which gives the same book and is a tenth of the rows; a whole one is kept each hour, and
wherever the row before was crossed.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine import _core
from engine.config import ConfigError, did_you_mean
from engine.importers.delimited import CsvFile, Tally, Timed, ratio_max, text_steps, with_next
from engine.importers.report import ImportFailed
from engine.importers.tardis_books import BookDifferences, BookMessages
from engine.importers.writing import (
    Chunk,
    event_rows,
    import_events,
    in_time_order,
    quote_rows,
)
from engine.instruments import load_instrument

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from engine.catalog import Events
    from engine.importers.delimited import Block
    from engine.importers.report import ImportReport, ImportRequest
    from engine.importers.writing import SourceFile
    from engine.instruments import Instrument

    Integers = npt.NDArray[np.int64]

__all__ = ["OPTIONS", "run"]

OPTIONS = ("exchange", "kind", "max_delay_s", "ratio_max", "symbol")
"""The names that `options.NAME` can have: exchange and symbol that the rows must have, the kind of
data of the files, how far a row's two times may be apart, and how far a packed file may unpack."""

_COMMON = ("exchange", "symbol", "timestamp", "local_timestamp")
_COLUMNS = {
    "incremental_book_L2": (*_COMMON, "is_snapshot", "side", "price", "amount"),
    "trades": (*_COMMON, "id", "side", "price", "amount"),
    "quotes": (*_COMMON, "ask_amount", "ask_price", "bid_price", "bid_amount"),
}
_KINDS = (*_COLUMNS, "book_snapshot")
_LEVEL = re.compile(r"(asks|bids)\[([0-9]{1,4})\]\.(price|amount)")
# Files of other things, by a column that only they have.
_OTHERS = {
    "funding_rate": "derivative_ticker",
    "mark_price": "derivative_ticker",
    "strike_price": "options_chain",
}
_EXCHANGES = {
    "binance_spot": ("binance",),
    "binance_usdm": ("binance-futures",),
    "binance_cm": ("binance-delivery",),
    "bitfinex": ("bitfinex", "bitfinex-derivatives"),
    "bitstamp": ("bitstamp",),
}
_US = 1_000
_BID = 1
_TRADE = 3


def run(request: ImportRequest) -> ImportReport:
    """Imports files of tardis.dev; see `engine.importers.run_import`."""
    request.check_options(OPTIONS)
    settings = _settings(request)
    return import_events(
        request, "tardis", lambda files, tally: _Reading(settings, tally).chunks(files)
    )


@dataclass(frozen=True)
class _Settings:
    """What the request says of the files."""

    instrument: Instrument
    exchanges: tuple[str, ...]
    symbols: tuple[str, ...]
    kind: str | None
    max_delay_ns: int
    ratio_max: int


def _settings(request: ImportRequest) -> _Settings:
    options = request.options
    instrument = load_instrument(request.instrument)
    kind = options.get("kind")
    if kind is not None and kind not in _KINDS:
        raise ConfigError(
            f"options.kind: expected one of {', '.join(_KINDS)}, found '{kind}'"
            f"{did_you_mean(kind, _KINDS, show_all=0)}"
        )
    delay = options.get("max_delay_s", "86400")
    if not delay.isdecimal() or not 1 <= int(delay) <= 10**9:
        raise ConfigError(f"options.max_delay_s: expected 1 to 1000000000, found '{delay}'")
    symbol = options.get("symbol", instrument.symbol)
    exchange = options.get("exchange")
    return _Settings(
        instrument,
        (exchange,) if exchange else _EXCHANGES.get(instrument.market, ()),
        tuple(dict.fromkeys((symbol, symbol.upper(), symbol.lower()))),
        kind,
        int(delay) * 1_000_000_000,
        ratio_max(request),
    )


class _Reading:
    """One way through all files."""

    def __init__(self, settings: _Settings, tally: Tally) -> None:
        self._settings = settings
        self._tally = tally
        self._exchanges = settings.exchanges
        self._book_kind: tuple[str, str] | None = None
        self._messages = BookMessages(tally)
        self._trade_ids = _TradeIds(tally)

    def chunks(self, files: Sequence[SourceFile]) -> Iterator[Chunk]:
        """The rows of all files, file by file in the order of time."""
        for file in in_time_order(files, self._first_ns):
            csv, kind = self._open(file, self._tally)
            self._refuse_two_books(file, kind)
            data_kind = "depth" if kind in _BOOKS else kind
            for events in self._events(csv, kind):
                yield Chunk(file, data_kind, events, csv.bytes_done())
        self._say()

    def _open(self, file: SourceFile, tally: Tally) -> tuple[CsvFile, str]:
        csv = CsvFile(file.path, tally, ratio_max=self._settings.ratio_max, exponents=True)
        try:
            return csv, _kind_of(file, csv.first, self._settings.kind)
        except ImportFailed:
            csv.close()
            raise

    def _first_ns(self, file: SourceFile) -> int | None:
        """Where a file stands among others: a look at its first block."""
        csv, _ = self._open(file, Tally())
        with contextlib.closing(csv.blocks(csv.first, header=True)) as blocks:
            for block in blocks:
                times = block.times("local_timestamp", _US, "µs")
                if block.ok.any():
                    return int(times[block.ok][0])
        return None

    def _refuse_two_books(self, file: SourceFile, kind: str) -> None:
        """The book comes from one kind of files: two would write over each other."""
        if kind not in _BOOKS:
            return
        if self._book_kind is not None and self._book_kind[0] != kind:
            raise ImportFailed(
                f"{file.name} is {kind}, {self._book_kind[1]} is {self._book_kind[0]}: both tell"
                " the book; import one of them, the other into another catalog"
            )
        self._book_kind = kind, file.name

    def _events(self, csv: CsvFile, kind: str) -> Iterator[Events]:
        instrument = self._settings.instrument
        differences = BookDifferences(csv.first, self._tally)
        last_ns = 0
        for timed, next_ns in with_next(self._timed(csv)):
            last_ns = timed.block.in_order("local_timestamp", timed.ts_recv_ns, last_ns, next_ns)
            if kind == "trades":
                yield self._trades(timed)
            elif kind == "quotes":
                yield self._quotes(timed)
            elif kind == "book_snapshot":
                yield differences.take(timed, instrument.tick, instrument.lot)
            else:
                yield self._messages.take(timed, *self._levels(timed.block))
        yield self._messages.end()

    def _timed(self, csv: CsvFile) -> Iterator[Timed]:
        """Blocks of rows of this instrument, with their times."""
        limit_ns = self._settings.max_delay_ns
        for block in csv.blocks(csv.first, header=True):
            symbol = self._settings.symbols[0]
            block.choices("symbol", self._settings.symbols, f"the symbol {symbol}")
            block.count_others("symbol")
            if not self._exchanges and len(block):
                self._exchanges = (block.text("exchange", 0),)
                self._tally.notes.append(f"The files are of the exchange {self._exchanges[0]}.")
            block.choices("exchange", self._exchanges)
            ts_event_ns = block.times("timestamp", _US, "µs")
            ts_recv_ns = block.times("local_timestamp", _US, "µs")
            block.near("timestamp", ts_event_ns, ts_recv_ns, limit_ns)
            yield Timed(block, ts_event_ns, ts_recv_ns)

    def _levels(self, block: Block) -> tuple[Integers, Integers, Integers, Integers]:
        """Of rows of `incremental_book_L2`: whether of a snapshot, side, ticks, lots."""
        is_snapshot = block.choices("is_snapshot", ("false", "true"))
        side = block.choices("side", ("bid", "ask")) + _BID
        px = block.prices("price", self._settings.instrument.tick)
        qty = block.quantities("amount", self._settings.instrument.lot)
        return is_snapshot, side, px, qty

    def _trades(self, timed: Timed) -> Events:
        block = timed.block
        side = block.choices("side", ("unknown", "buy", "sell", ""))
        px = block.prices("price", self._settings.instrument.tick)
        qty = block.quantities("amount", self._settings.instrument.lot, least=1)
        seq = self._trade_ids.take(block)
        ok = block.ok
        self._tally.messages["trade"] += int(ok.sum())
        return event_rows(
            int(ok.sum()),
            kind=_TRADE,
            ts_event_ns=timed.ts_event_ns[ok],
            ts_recv_ns=timed.ts_recv_ns[ok],
            side=(side % 3)[ok],
            px_ticks=px[ok],
            qty_lots=qty[ok],
            seq=seq[ok],
        )

    def _quotes(self, timed: Timed) -> Events:
        block, instrument = timed.block, self._settings.instrument
        sides = []
        for name in ("bid", "ask"):
            px = block.prices(f"{name}_price", instrument.tick, blank=True)
            qty = block.quantities(f"{name}_amount", instrument.lot, blank=True)
            block.expect(f"{name}_amount", (px > 0) == (qty > 0), "an amount beside a price only")
            sides.append((px, qty))
        self._tally.messages["quote"] += int(block.ok.sum())
        return quote_rows(timed.ts_event_ns, timed.ts_recv_ns, *sides, ok=block.ok)

    def _say(self) -> None:
        """Notes of what is this format's own."""
        tally = self._tally
        tally.notes.append(
            "The format has no update ids: messages that are missing in it cannot be seen."
        )
        tally.notes.extend(
            text.format(f"{tally.counts[name]:,}")
            for name, text in _COUNTED.items()
            if tally.counts[name]
        )


_BOOKS = ("incremental_book_L2", "book_snapshot")
_COUNTED = {
    "depth_unjoined": "Depth messages without a snapshot to stand on: {}; no book comes of them.",
    "depth_duplicates": "Depth rows that repeat the row before: {}; left out.",
    "snapshots_later": (
        "Snapshots after the first: {}; each is a new whole book (the start of a day's file, or"
        " the recorder had reconnected)."
    ),
    "books_unchanged": "Books equal to the one before: {}; kept as messages without a level.",
    "trade_duplicates": "Trades that repeat the row before, id and all: {}; left out.",
    "trade_ids_counted": (
        "Trades whose ids are no numbers: {}; they are numbered from 1 in the order of the files."
    ),
    "trades_without_id": "Trades without a number as id, among others: {}; their id is unknown.",
}


class _TradeIds:
    """Ids of trades: the venue's where they are numbers, else the trades are counted."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._are_numbers: bool | None = None
        self._count = 0
        self._before: tuple[str, ...] | None = None

    def take(self, block: Block) -> npt.NDArray[np.uint64]:
        """The id of each row; breaks no row, but leaves out those that repeat the row before."""
        self._leave_out_repeated(block)
        counted = text_steps(block.column("id"), "1")
        known = counted.ok & (counted.values >= 0)
        ok = block.ok
        if self._are_numbers is None and ok.any():
            self._are_numbers = bool(known[ok][0])
        seq = np.full(len(block), _core.SEQ_NONE, np.uint64)
        if self._are_numbers:
            seq[known] = counted.values[known]
            self._tally.counts["trades_without_id"] += int((ok & ~known).sum())
        else:
            rows = int(ok.sum())
            seq[ok] = np.arange(self._count + 1, self._count + rows + 1)
            self._count += rows
            self._tally.counts["trade_ids_counted"] += rows
        return seq

    def _leave_out_repeated(self, block: Block) -> None:
        names = _COLUMNS["trades"][2:]
        repeated = block.repeats(names, self._before) & ~block.blank("id") & block.ok
        self._tally.counts["trade_duplicates"] += int(repeated.sum())
        if len(block):
            self._before = tuple(block.text(name, len(block) - 1) for name in names)
        block.leave_out(repeated)


def _kind_of(file: SourceFile, first: list[str], forced: str | None) -> str:
    """Which data a file holds, by its first line."""
    if len(set(first)) < len(first):
        twice = next(name for name in first if first.count(name) > 1)
        raise ImportFailed(f"{file.path}: the first line names {twice} more than once")
    if set(_COMMON) <= set(first) and _has_levels(first):
        found: list[str] = ["book_snapshot"]
    else:
        found = [kind for kind, names in _COLUMNS.items() if set(names) <= set(first)]
    other = next((_OTHERS[name] for name in first if name in _OTHERS), None)
    if "liquidations" in file.name and "trades" in found:
        other = "liquidations"
    if forced is not None and forced in found:
        return forced
    if forced is not None or other is not None or not found:
        wanted = forced or f"one of {', '.join(_KINDS)}"
        columns = "; ".join(f"{kind}: {','.join(names)}" for kind, names in _COLUMNS.items())
        what = f"a file of {other}" if other else f"'{','.join(first)[:200]}'"
        hint = "" if other is None or not found else "; options.kind=trades takes it all the same"
        raise ImportFailed(
            f"{file.path}: expected {wanted} of tardis.dev, told by the first line ({columns};"
            f" book_snapshot: ...,asks[0].price,asks[0].amount,bids[0].price,...), found {what};"
            f" nothing was imported{hint}"
        )
    return found[0]


def _has_levels(first: list[str]) -> bool:
    """Whether there are levels from 0 up, each with price and amount on both sides."""
    levels = {match.groups() for name in first if (match := _LEVEL.fullmatch(name))}
    count = len(levels) // 4
    return count > 0 and levels == {
        (side, str(level), what)
        for side in ("asks", "bids")
        for level in range(count)
        for what in ("price", "amount")
    }
