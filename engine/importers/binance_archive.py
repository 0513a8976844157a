"""Files of Binance's public archive (data.binance.vision) to the catalog: trades, aggregate trades,
best prices and candles of spot, USD-M and COIN-M, zipped or not, with or without a first line of
names.

What a file holds is told by its first line of names, else by the number and the types of its
fields; its name must not say otherwise. Files of all kinds have the venue's times only, in ms or,
spot from 2025 on, in µs: which of them is told by the size of the number. `is_buyer_maker` says
that the buyer's order rested, so the aggressor sold.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine.config import ConfigError, did_you_mean
from engine.importers.candles import BINANCE_KLINES, import_candles
from engine.importers.delimited import CsvFile, Tally, Timed, ratio_max, with_next
from engine.importers.report import ImportFailed
from engine.importers.sources import expand
from engine.importers.writing import Chunk, event_rows, import_events, in_time_order, quote_rows
from engine.instruments import load_instrument

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from engine.catalog import Events
    from engine.importers.delimited import Block
    from engine.importers.report import ImportReport, ImportRequest
    from engine.importers.writing import SourceFile
    from engine.instruments import Instrument

    Integers = npt.NDArray[np.int64]

__all__ = ["OPTIONS", "run"]

OPTIONS = ("interval", "kind", "ratio_max")
"""The names that `options.NAME` can have: the candles' interval, the kind of data, and how far a
packed file may unpack."""

_NAMES = {
    "aggTrades": (
        "agg_trade_id",
        "price",
        "quantity",
        "first_trade_id",
        "last_trade_id",
        "transact_time",
        "is_buyer_maker",
        "is_best_match",
    ),
    "trades": ("id", "price", "qty", "quote_qty", "time", "is_buyer_maker", "is_best_match"),
    "bookTicker": (
        "update_id",
        "best_bid_price",
        "best_bid_qty",
        "best_ask_price",
        "best_ask_qty",
        "transaction_time",
        "event_time",
    ),
    "klines": (
        "open_time",
        "open",
        "high",
        "low",
        "close",
        "volume",
        "close_time",
        "quote_volume",
        "count",
        "taker_buy_volume",
        "taker_buy_quote_volume",
        "ignore",
    ),
}
# Which fields are needed, and which of them are numbers (n) and booleans (b) where no line of names
# says what they are. Futures have no is_best_match.
_USED = {
    "aggTrades": ("agg_trade_id", "price", "quantity", "transact_time", "is_buyer_maker"),
    "trades": ("id", "price", "qty", "time", "is_buyer_maker"),
    "bookTicker": _NAMES["bookTicker"][:6],
    "klines": _NAMES["klines"][:6],
}
_TYPES = {
    "nnnnnnbb": "aggTrades",
    "nnnnnnb": "aggTrades",
    "nnnnnbb": "trades",
    "nnnnnb": "trades",
    "nnnnnnn": "bookTicker",
    "n" * 12: "klines",
}
_OTHERS = {
    "percentage": (
        "bookDepth: depth added up by percentage of the price, without the levels of a book"
    ),
    "sum_open_interest": "metrics (open interest)",
    "last_funding_rate": "fundingRate",
    "average_price": "liquidationSnapshot",
}
# SYMBOL-aggTrades-2024-01-01.zip, SYMBOL-1m-2024-01.zip
_NAME = re.compile(
    r"(?P<symbol>[A-Z0-9]+(_[A-Z0-9]+)?)-"
    r"((?P<kind>aggTrades|trades|bookTicker|bookDepth|metrics|fundingRate|liquidationSnapshot)"
    r"|(?P<interval>[0-9]+(s|m|h|d|w|mo)))-[0-9]{4}"
)
_SPOT_PLACES = 8
_US = 1_000
# As a time in ms this is the year 5138, in µs 1973.
_US_FROM = 10**14
_TRADE, _OFF_BOOK = 3, 4
_BUY, _SELL = 1, 2


def run(request: ImportRequest) -> ImportReport:
    """Imports files of the archive; see `engine.importers.run_import`."""
    request.check_options(OPTIONS)
    instrument = load_instrument(request.instrument)
    if not instrument.market.startswith("binance_"):
        raise ImportFailed(
            f"{instrument.id}: its market is {instrument.market}, of which Binance's archive has"
            " nothing"
        )
    forced = request.options.get("kind")
    if forced is not None and forced not in _NAMES:
        raise ConfigError(
            f"options.kind: expected one of {', '.join(_NAMES)}, found '{forced}'"
            f"{did_you_mean(forced, _NAMES, show_all=0)}"
        )
    opener = _Opener(instrument, forced, ratio_max(request))
    kinds = {path: opener.kind_of(path) for path in expand(request.paths)}
    if "klines" in kinds.values():
        return _candles(request, instrument, kinds)
    if "interval" in request.options:
        raise ConfigError("options.interval: expected with klines only, found no file of klines")
    return import_events(
        request,
        "binance_archive",
        lambda files, tally: _Reading(instrument, opener, tally).chunks(files),
        has_receive_times=False,
    )


def _candles(
    request: ImportRequest, instrument: Instrument, kinds: dict[Path, str]
) -> ImportReport:
    """Klines are candles, which their own importer takes."""
    others = [path.name for path, kind in kinds.items() if kind != "klines"]
    if others:
        raise ImportFailed(
            f"path: expected klines by themselves, found {', '.join(others)} beside them; import"
            " them one after the other"
        )
    named = {match["interval"] for path in kinds if (match := _NAME.match(path.name))}
    found = sorted(interval for interval in named if interval)
    told = request.options.get("interval")
    if told is None and len(found) != 1:
        raise ConfigError(
            "options.interval: expected the names of the files to tell one, as in"
            f" {instrument.symbol}-1m-2024-01.zip, found {', '.join(found) or 'none'}; write"
            " options.interval=1m"
        )
    layout = BINANCE_KLINES(told or found[0])
    if instrument.kind == "inverse":
        # There the column is in base units, which is no value in the quote asset.
        columns = {field: name for field, name in layout.columns.items() if field != "value"}
        layout = dataclasses.replace(layout, columns=columns)
    return import_candles(request, layout, format="binance_archive")


@dataclass(frozen=True)
class _Opener:
    """Opens files and tells what they hold; `forced` is the kind that the user says."""

    instrument: Instrument
    forced: str | None
    ratio_max: int

    def open(self, path: Path, tally: Tally) -> tuple[CsvFile, str, list[str], bool]:
        """The file, the kind of its data, the names of its fields, and whether the first line has
        them.
        """
        csv = CsvFile(path, tally, ratio_max=self.ratio_max)
        try:
            kind, names, has_header = self._told(path, csv.first)
            self._check_name(path, kind)
            self._check_market(path, names)
        except ImportFailed:
            csv.close()
            raise
        return csv, kind, names, has_header

    def kind_of(self, path: Path) -> str:
        """The kind of a file's data."""
        csv, kind, _, _ = self.open(path, Tally())
        csv.close()
        return kind

    def _told(self, path: Path, first: list[str]) -> tuple[str, list[str], bool]:
        types = "".join(map(_type_of, first))
        if types.startswith("n"):
            kind = self.forced or _TYPES.get(types)
            names = list(_NAMES[kind][: len(first)]) if kind else []
            if kind is not None and len(names) == len(first) and set(_USED[kind]) <= set(names):
                return kind, names, False
        else:
            names = [name.strip().strip('"').lower() for name in first]
            kinds = [kind for kind, used in _USED.items() if set(used) <= set(names)]
            if len(set(names)) == len(names) and kinds and self.forced in (None, kinds[0]):
                return kinds[0], names, True
            other = next((text for name, text in _OTHERS.items() if name in names), None)
            if other is not None:
                raise ImportFailed(f"{path}: holds {other}; there is nothing in it to import")
        expected = "; ".join(f"{kind}: {','.join(names)}" for kind, names in _NAMES.items())
        wanted = f"options.kind={self.forced}" if self.forced else f"one of {', '.join(_NAMES)}"
        raise ImportFailed(
            f"{path}: expected {wanted} of Binance's archive ({expected}), found {len(first)}"
            f" fields: '{','.join(first)[:200]}'; options.kind=NAME says what the fields are"
        )

    def _check_name(self, path: Path, kind: str) -> None:
        """The name of a file of the archive tells symbol and kind; where it does, both must fit."""
        match = _NAME.match(path.name)
        if match is None or self.forced is not None:
            return
        told = match["kind"] or "klines"
        if told != kind:
            raise ImportFailed(
                f"{path}: its name says {told}, its fields are those of {kind}; say which with"
                f" options.kind={told} or options.kind={kind}"
            )
        if match["symbol"] != self.instrument.symbol:
            raise ImportFailed(
                f"{path}: holds {match['symbol']} by its name, instrument {self.instrument.id}"
                f" expects {self.instrument.symbol}; nothing was imported"
            )

    def _check_market(self, path: Path, names: list[str]) -> None:
        market = self.instrument.market
        of_spot = "is_best_match" in names and market != "binance_spot"
        of_coin_m = "base_qty" in names and market != "binance_cm"
        if self.forced is None and (of_spot or of_coin_m):
            column, found = ("is_best_match", "spot") if of_spot else ("base_qty", "COIN-M")
            raise ImportFailed(
                f"{path}: its field {column} is one of {found}, instrument {self.instrument.id} is"
                f" of {market}; nothing was imported (options.kind=NAME takes it all the same)"
            )


def _type_of(cell: str) -> str:
    if cell.lower() in ("true", "false"):
        return "b"
    try:
        float(cell)
    except ValueError:
        return "t"
    return "n"


class _Reading:
    """One way through all files."""

    def __init__(self, instrument: Instrument, opener: _Opener, tally: Tally) -> None:
        self._instrument = instrument
        self._opener = opener
        self._tally = tally
        self._ids: dict[str, Integers] = {}
        self._kinds: dict[str, str] = {}
        # Spot keeps quantities finer than most of its lots.
        self._places = _SPOT_PLACES if instrument.market == "binance_spot" else None

    def chunks(self, files: Sequence[SourceFile]) -> Iterator[Chunk]:
        """The rows of all files, file by file in the order of time."""
        for file in in_time_order(files, self._first_ns):
            csv, kind, names, has_header = self._opener.open(file.path, self._tally)
            self._refuse_two_kinds(file, kind)
            last_ns = 0
            for timed, next_ns in with_next(self._timed(csv, kind, names, has_header=has_header)):
                name = _TIMES[kind]
                last_ns = timed.block.in_order(name, timed.ts_recv_ns, last_ns, next_ns)
                for data_kind, events in self._events(timed, kind).items():
                    yield Chunk(file, data_kind, events, csv.bytes_done())
        self._say(files)

    def _first_ns(self, file: SourceFile) -> int | None:
        """Where a file stands among others: a look at its first block."""
        tally = Tally()
        csv, kind, names, has_header = self._opener.open(file.path, tally)
        with contextlib.closing(csv.blocks(names, header=has_header)) as blocks:
            for block in blocks:
                times = _times(block, _TIMES[kind], tally)
                if block.ok.any():
                    return int(times[block.ok][0])
        return None

    def _refuse_two_kinds(self, file: SourceFile, kind: str) -> None:
        """Trades and aggregate trades are the same trades: together they would count twice."""
        self._kinds.setdefault(kind, file.name)
        if {"trades", "aggTrades"} <= set(self._kinds):
            raise ImportFailed(
                f"{self._kinds['aggTrades']} is aggTrades, {self._kinds['trades']} is trades: both"
                " tell the same trades; import one of them, the other into another catalog"
            )

    def _timed(
        self, csv: CsvFile, kind: str, names: Sequence[str], *, has_header: bool
    ) -> Iterator[Timed]:
        for block in csv.blocks(names, header=has_header):
            times = _times(block, _TIMES[kind], self._tally)
            yield Timed(block, times, times)

    def _events(self, timed: Timed, kind: str) -> dict[str, Events]:
        if kind == "bookTicker":
            return {"quotes": self._quotes(timed)}
        return self._trades(timed, *_FIELDS[kind])

    def _trades(self, timed: Timed, id_name: str, qty_name: str) -> dict[str, Events]:
        """Trades, and apart from them those without a price or a size, which never happened on the
        book.
        """
        block = timed.block
        ids = block.whole_numbers(id_name)
        # An aggressor that sold met a buyer who rested.
        side = np.array([_BUY, _SELL])[
            block.choices("is_buyer_maker", ("false", "true", "False", "True")) % 2
        ]
        px = block.prices("price", self._instrument.tick, blank=True)
        qty = block.quantities(qty_name, self._instrument.lot, nearest_places=self._places)
        block.expect("price", ~block.blank("price"), "a decimal number")
        self._leave_out_repeated(block, id_name, ids)
        on_book = (px > 0) & (qty > 0)
        found = {}
        for data_kind, kind, rows in (
            ("trades", _TRADE, block.ok & on_book),
            ("offbook", _OFF_BOOK, block.ok & ~on_book),
        ):
            found[data_kind] = event_rows(
                int(rows.sum()),
                kind=kind,
                ts_event_ns=timed.ts_event_ns[rows],
                ts_recv_ns=timed.ts_recv_ns[rows],
                side=side[rows],
                px_ticks=px[rows],
                qty_lots=qty[rows],
                seq=ids[rows].astype(np.uint64),
            )
        self._tally.messages[_MESSAGES[id_name]] += len(found["trades"])
        self._tally.messages["off-book trade"] += len(found["offbook"])
        return found

    def _quotes(self, timed: Timed) -> Events:
        block, instrument = timed.block, self._instrument
        ids = block.whole_numbers("update_id")
        sides = []
        for name in ("best_bid", "best_ask"):
            px = block.prices(f"{name}_price", instrument.tick, blank=True)
            qty = block.quantities(f"{name}_qty", instrument.lot, nearest_places=self._places)
            block.expect(f"{name}_qty", (px > 0) == (qty > 0), "a quantity beside a price only")
            sides.append((px, qty))
        self._leave_out_repeated(block, "update_id", ids)
        self._tally.messages["bookTicker"] += int(block.ok.sum())
        seq = ids.astype(np.uint64)
        return quote_rows(timed.ts_event_ns, timed.ts_recv_ns, *sides, ok=block.ok, seq=seq)

    def _leave_out_repeated(self, block: Block, name: str, ids: Integers) -> None:
        """Leaves out rows whose id another of this block or the one before has; counts the ids that
        trades leap over.
        """
        rows = np.flatnonzero(block.ok)
        found = ids[rows]
        before = self._ids.get(name, found[:0])
        if len(found) == 0:
            return
        highest = np.maximum.accumulate(np.append(before[-1:], found))
        repeated = np.zeros(len(found), np.bool_)
        if (np.diff(highest) <= 0).any():
            repeated[:] = True
            repeated[np.unique(found, return_index=True)[1]] = False
            repeated |= np.isin(found, before)
        mask = np.zeros(len(block), np.bool_)
        mask[rows[repeated]] = True
        block.leave_out(mask)
        self._tally.counts["duplicates"] += int(repeated.sum())
        if name != "update_id":
            self._tally.counts["trade_id_gaps"] += int((np.diff(highest) > 1).sum())
        self._ids[name] = np.unique(found)

    def _say(self, files: Sequence[SourceFile]) -> None:
        """Notes of what is this format's own."""
        tally = self._tally
        if "aggTrades" in self._kinds:
            tally.notes.append(
                "aggTrades: a row is what one order took at one price, in one or more trades; its"
                " id counts such rows."
            )
        unnamed = [file.name for file in files if not _NAME.match(file.name)]
        if unnamed:
            tally.notes.append(
                f"Nothing in these files tells their instrument, {self._instrument.id} is what was"
                f" said: {', '.join(unnamed)}."
            )
        tally.notes.extend(
            text.format(f"{tally.counts[name]:,}")
            for name, text in _COUNTED.items()
            if tally.counts[name]
        )
        if tally.messages["off-book trade"]:
            tally.notes.append(
                f"Trades without a price or a size: {tally.messages['off-book trade']:,}; kept"
                " apart as trades off the book."
            )


_TIMES = {"aggTrades": "transact_time", "trades": "time", "bookTicker": "transaction_time"}
_FIELDS = {"aggTrades": ("agg_trade_id", "quantity"), "trades": ("id", "qty")}
_MESSAGES = {"agg_trade_id": "aggTrade", "id": "trade"}
_COUNTED = {
    "times_us": "Times in µs, as spot has them from 2025 on: {} rows.",
    "times_ms": "Times in ms: {} rows.",
    "duplicates": "Rows whose id a row before has: {}; left out.",
    "trade_id_gaps": "Breaks of the trade ids: {}; trades are missing.",
}


def _times(block: Block, name: str, tally: Tally) -> Integers:
    """Times in ns from ms or µs, which their size tells row by row."""
    counted = block.whole_numbers(name)
    in_us = counted >= _US_FROM
    # Multiplied where it is not in µs, which is where it is small enough.
    in_unit = np.where(in_us, counted, np.where(in_us, 0, counted) * 1000)
    times = block.times_of(name, in_unit, _US, "ms or µs")
    tally.counts["times_us"] += int((in_us & block.ok).sum())
    tally.counts["times_ms"] += int((~in_us & block.ok).sum())
    return times
