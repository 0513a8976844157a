"""An independent reader of raw Binance recordings: plain Python, slow, and easy to check by eye.

It shares no code with the importer, so that a mistake would have to be made twice to stay unseen.
Input is one `<local receive time, ns> <the venue's JSON message>` a line, gzip or plain. Output is
one numpy array of `engine.EVENT_DTYPE` a data kind, rows in arrival order, plus the venue's own
best bid and ask, which the naive `DictBook` is held against.

Known limits: every line must be sound, and exactly one snapshot is expected (in the first file).
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from engine import EVENT_DTYPE, SEQ_NONE, TS_NONE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

DELTA, SNAPSHOT, TRADE, OFF_BOOK_TRADE, QUOTE = 1, 2, 3, 4, 5
SIDE_NONE, BID, ASK = 0, 1, 2
FIRST, LAST, RECV_RAISED = 1, 2, 4

NS_PER_MS = 1_000_000

Level = tuple[int, int, int]
"""Side, price in ticks, quantity in lots."""


@dataclass
class Message:
    """One venue message in our terms; times in ns, `ts_recv_ns` still as recorded."""

    kind: int
    ts_event_ns: int
    ts_recv_ns: int
    seq: int
    prev_seq: int
    levels: list[Level]
    flags: int = 0


@dataclass
class Recording:
    """What a recording holds, by data kind; see `read`."""

    depth: np.ndarray
    trades: np.ndarray
    offbook: np.ndarray
    quotes: np.ndarray
    clock_offset_ns: int
    gaps: int
    streams: dict[str, int] = field(default_factory=dict)


def steps(text: str, step: Decimal) -> int:
    """How many whole steps a decimal text is; raises ValueError on a remainder."""
    count = Decimal(text) / step
    if count != count.to_integral_value():
        raise ValueError(f"{text!r} is not a multiple of {step}")
    return int(count)


def nearest_lots(text: str, lot: Decimal) -> int:
    """A quantity in whole lots, rounded to the nearest; what is not nothing stays at least one.

    Spot books hold a few old orders of more decimals than today's lot.
    """
    qty = Decimal(text)
    lots = int((qty / lot).to_integral_value(ROUND_HALF_EVEN))
    return max(lots, 1) if qty else 0


def lines(paths: Iterable[Path]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Receive time in ns and parsed message of every line of every file, in order."""
    for path in paths:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8") as file:
            for line in file:
                stamp, _, text = line.partition(" ")
                yield int(stamp), json.loads(text)


def read(paths: Iterable[Path], market: str, tick: str, lot: str) -> Recording:
    """Every message of the files of one instrument, snapshot joined and clocks corrected.

    `market` is `binance_spot`, `binance_usdm` or `binance_cm`; `tick` and `lot` are decimal text.
    """
    parser = _Parser(market == "binance_spot", Decimal(tick), Decimal(lot))
    for ts_recv_ns, message in lines(paths):
        parser.take(ts_recv_ns, message)
    everything = parser.depth + parser.trades + parser.offbook + parser.quotes
    if parser.snapshot is not None:
        everything.append(parser.snapshot)
    latency_min = min(m.ts_recv_ns - m.ts_event_ns for m in everything if m.ts_event_ns != TS_NONE)
    offset = max(0, -latency_min)
    for message in everything:
        message.ts_recv_ns += offset
    depth, gaps = join(parser.depth, parser.snapshot, parser.before_snapshot)
    return Recording(
        depth=rows(depth),
        trades=rows(parser.trades),
        offbook=rows(parser.offbook),
        quotes=rows(parser.quotes),
        clock_offset_ns=offset,
        gaps=gaps,
        streams=parser.streams,
    )


class _Parser:
    """Sorts messages by kind; the venue's field names end here."""

    def __init__(self, spot: bool, tick: Decimal, lot: Decimal) -> None:
        self.spot, self.tick, self.lot = spot, tick, lot
        self.depth: list[Message] = []
        self.trades: list[Message] = []
        self.offbook: list[Message] = []
        self.quotes: list[Message] = []
        self.snapshot: Message | None = None
        self.before_snapshot = 0
        self.streams: dict[str, int] = {}

    def take(self, ts_recv_ns: int, message: dict[str, Any]) -> None:
        if "stream" not in message:
            assert self.snapshot is None, "a second snapshot"
            self.snapshot = self._snapshot(ts_recv_ns, message)
            self.before_snapshot = len(self.depth)
            return
        stream = message["stream"].split("@")[1]
        self.streams[stream] = self.streams.get(stream, 0) + 1
        data = message["data"]
        if stream == "depth":
            self.depth.append(self._delta(ts_recv_ns, data))
        elif stream == "trade":
            trade = self._trade(ts_recv_ns, data)
            (self.trades if trade.kind == TRADE else self.offbook).append(trade)
        elif stream == "bookTicker":
            self.quotes.append(self._quote(ts_recv_ns, data))
        else:
            raise ValueError(f"unknown stream {stream!r}")

    def _levels(self, bids: list[list[str]], asks: list[list[str]]) -> list[Level]:
        sides = [(BID, px, qty) for px, qty in bids] + [(ASK, px, qty) for px, qty in asks]
        return [(side, steps(px, self.tick), self._lots(qty)) for side, px, qty in sides]

    def _lots(self, qty: str) -> int:
        return nearest_lots(qty, self.lot) if self.spot else steps(qty, self.lot)

    def _delta(self, ts_recv_ns: int, data: dict[str, Any]) -> Message:
        return Message(
            kind=DELTA,
            ts_event_ns=(data["E"] if self.spot else data["T"]) * NS_PER_MS,
            ts_recv_ns=ts_recv_ns,
            seq=data["u"],
            prev_seq=data["U"] - 1 if self.spot else data["pu"],
            levels=self._levels(data["b"], data["a"]),
        )

    def _snapshot(self, ts_recv_ns: int, data: dict[str, Any]) -> Message:
        # The spot response carries no time: it is as new as the last change it contains.
        last = data["lastUpdateId"]
        contained = [m for m in self.depth if m.seq <= last]
        newest = contained[-1].ts_event_ns if contained else TS_NONE
        return Message(
            kind=SNAPSHOT,
            ts_event_ns=newest if self.spot else data["T"] * NS_PER_MS,
            ts_recv_ns=ts_recv_ns,
            seq=last,
            prev_seq=SEQ_NONE,
            levels=self._levels(data["bids"], data["asks"]),
        )

    def _trade(self, ts_recv_ns: int, data: dict[str, Any]) -> Message:
        on_book = self.spot or data["X"] == "MARKET"
        # The buyer being the maker means that a seller came in and took.
        aggressor = ASK if data["m"] else BID
        return Message(
            kind=TRADE if on_book else OFF_BOOK_TRADE,
            ts_event_ns=data["T"] * NS_PER_MS,
            ts_recv_ns=ts_recv_ns,
            seq=data["t"],
            prev_seq=SEQ_NONE,
            levels=[(aggressor, steps(data["p"], self.tick), self._lots(data["q"]))],
        )

    def _quote(self, ts_recv_ns: int, data: dict[str, Any]) -> Message:
        return Message(
            kind=QUOTE,
            ts_event_ns=TS_NONE if self.spot else data["T"] * NS_PER_MS,
            ts_recv_ns=ts_recv_ns,
            seq=data["u"],
            prev_seq=SEQ_NONE,
            levels=self._levels([[data["b"], data["B"]]], [[data["a"], data["A"]]]),
        )


def join(
    deltas: list[Message], snapshot: Message | None, before_snapshot: int
) -> tuple[list[Message], int]:
    """Depth messages with the snapshot in its place, and the number of sequence gaps.

    Of the first `before_snapshot` deltas, which arrived before it, those that reach beyond the
    snapshot wait for it: they come after it, with their receive time raised to its arrival.
    """
    if snapshot is None:
        return deltas, 0
    early, late = deltas[:before_snapshot], deltas[before_snapshot:]
    contained = [m for m in early if m.seq <= snapshot.seq]
    waiting = [m for m in early if m.seq > snapshot.seq]
    for message in waiting:
        message.ts_recv_ns = snapshot.ts_recv_ns
        message.flags |= RECV_RAISED
    book_seq, gaps = snapshot.seq, 0
    for message in waiting + late:
        gaps += message.prev_seq > book_seq
        book_seq = max(book_seq, message.seq)
    return [*contained, snapshot, *waiting, *late], gaps


def rows(messages: list[Message]) -> np.ndarray:
    """The messages as rows of `EVENT_DTYPE`, `shape (rows,)`; instrument 0."""
    out: list[tuple[int, ...]] = []
    for m in messages:
        levels = m.levels or [(SIDE_NONE, 0, 0)]
        for i, (side, px, qty) in enumerate(levels):
            flags = m.flags | (FIRST if i == 0 else 0) | (LAST if i == len(levels) - 1 else 0)
            times = (m.ts_event_ns, m.ts_recv_ns)
            out.append((*times, px, qty, m.seq, m.prev_seq, 0, m.kind, side, flags, 0))
    return np.array(out, dtype=EVENT_DTYPE)


class DictBook:
    """The plainest book there is: one dict a side, best prices by searching all of it."""

    def __init__(self) -> None:
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}

    def apply(self, group: np.ndarray) -> None:
        """One whole message, as rows of `EVENT_DTYPE`."""
        if group[0]["kind"] == SNAPSHOT:
            self.bids.clear()
            self.asks.clear()
        for side, px, qty in zip(
            group["side"].tolist(),
            group["px_ticks"].tolist(),
            group["qty_lots"].tolist(),
            strict=True,
        ):
            if side == SIDE_NONE:
                continue
            levels = self.bids if side == BID else self.asks
            if qty:
                levels[px] = qty
            else:
                levels.pop(px, None)

    def top(self) -> tuple[int, int, int, int]:
        """Best bid, its quantity, best ask, its quantity; raises ValueError on an empty side."""
        bid, ask = max(self.bids), min(self.asks)
        return bid, self.bids[bid], ask, self.asks[ask]


def groups(depth: np.ndarray) -> Iterator[np.ndarray]:
    """The rows of each message, in order."""
    starts = np.flatnonzero(depth["flags"] & FIRST)
    ends = np.flatnonzero(depth["flags"] & LAST) + 1
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        yield depth[start:end]


@dataclass(frozen=True)
class BookCheck:
    """How a rebuilt book compares with the venue's own best bid and ask."""

    aligned: int
    equal: int
    crossed: int


def check_book(depth: np.ndarray, quotes: np.ndarray) -> BookCheck:
    """Rebuilds the book and compares it with every quote of the same update id.

    Messages that the book already contains (`seq` at or below its own) are skipped, as after a
    snapshot. Crossed counts the messages after which best bid >= best ask.
    """
    quoted: dict[int, list[tuple[int, int, int, int]]] = {}
    for bid, ask in zip(quotes[0::2], quotes[1::2], strict=True):
        assert bid["side"] == BID
        assert ask["side"] == ASK
        assert bid["seq"] == ask["seq"]
        values = (bid["px_ticks"], bid["qty_lots"], ask["px_ticks"], ask["qty_lots"])
        quoted.setdefault(int(bid["seq"]), []).append(tuple(int(v) for v in values))
    book, book_seq = DictBook(), -1
    aligned = equal = crossed = 0
    for group in groups(depth):
        seq = int(group[0]["seq"])
        if group[0]["kind"] != SNAPSHOT and (book_seq < 0 or seq <= book_seq):
            continue
        book.apply(group)
        book_seq = seq
        if not book.bids or not book.asks:
            continue
        top = book.top()
        crossed += top[0] >= top[2]
        for quote in quoted.get(seq, ()):
            aligned += 1
            equal += quote == top
    return BookCheck(aligned, equal, crossed)
