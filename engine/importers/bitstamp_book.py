"""Bitstamp's feed of single orders to a book: what each message does, what follows for its levels.

The feed has order_created, order_changed and order_deleted, trades, and every few seconds the
venue's own book of 20 levels a side. It has no sequence ids and no snapshot of orders. The rules:

- Orders older than the recording have no known id. Their size is taken from published books: all
  of the first one, of each later one only the prices beyond those that a book before it showed.
  Inside those prices a published book changes nothing: the rebuilt one is held against it.
- A change or deletion of such an order takes its size off the unnamed size of its level; what it
  lost by a fill is known with the trade that follows.
- A taker is announced like a resting order, then its fills, then each trade. It crosses the book
  and stays out of its levels until a trade arrives after which it crosses no more, or until nothing
  was heard of it for `REST_AFTER_NS`. One that crosses for `STALE_AFTER_NS` shows that what it
  crosses are remains, which go.
- A trade does not say its aggressor. Two orders lose its size at that moment: the one that crossed
  when it came to its price took; market orders walk, so that this may be the older one. Where that
  does not tell, the younger one, of the higher id, took. Where only one is seen before the trade,
  it took if it crossed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine import _core

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["REST_AFTER_NS", "STALE_AFTER_NS", "BookBuilder", "Rows"]

SIDE_NONE, BID, ASK = 0, 1, 2
DELTA, SNAPSHOT, TRADE, QUOTE = 1, 2, 3, 5
FIRST, LAST = _core.FLAG_FIRST, _core.FLAG_LAST
CLEAR, ADD, CHANGE, DELETE, UNNAMED, REST, REST_OVER = range(1, 8)

REST_AFTER_NS = 250_000_000
STALE_AFTER_NS = 5_000_000_000
_MATCH_WITHIN_NS = 2_000_000_000
_FILLS_KEPT = 16
_TRADES_KEPT = 4096
_TOP = 10

Level = tuple[int, int]
"""Price in ticks, size in lots."""
EventRow = tuple[int, int, int, int, int, int, int, int, int, int, int]
OrderRow = tuple[int, int, int, int, int, int, int]


@dataclass
class Rows:
    """Rows for the catalog, as tuples in the order of the columns."""

    depth: list[EventRow] = field(default_factory=list)
    trades: list[EventRow] = field(default_factory=list)
    quotes: list[EventRow] = field(default_factory=list)
    orders: list[OrderRow] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.depth) + len(self.trades) + len(self.quotes) + len(self.orders)


@dataclass
class _Fill:
    """A loss of size that waits for its trade; `qty_lots` is None for an order of unknown size."""

    ts_ns: int
    id: int
    side: int
    px_ticks: int
    qty_lots: int | None
    took: bool


class BookBuilder:
    """Takes messages in the order of arrival and collects rows; `take` hands them over."""

    def __init__(self) -> None:
        self.book = _core.OrderBook()
        self.counts = dict.fromkeys(
            (
                "books_published",
                "books_compared",
                "books_equal_best",
                "books_equal_top_10",
                "levels_unnamed",
                "orders_unknown",
                "remains_removed",
                "trade_duplicates",
                "trades_without_aggressor",
            ),
            0,
        )
        self.rows = Rows()
        self._seq = 0
        self._started = False
        # The worst price of each side that a published book has shown.
        self._covered: dict[int, int] = {}
        self._fills: deque[_Fill] = deque(maxlen=_FILLS_KEPT)
        # Orders in flight: when they came, and when they were last heard of.
        self._flights: dict[int, tuple[int, int]] = {}
        self._crossed: deque[tuple[int, int]] = deque(maxlen=_FILLS_KEPT)
        self._trades: deque[int] = deque(maxlen=_TRADES_KEPT)
        self._trade_ids: set[int] = set()

    def take(self) -> Rows:
        """The rows since the last call."""
        rows, self.rows = self.rows, Rows()
        return rows

    def begin(self, ts_ns: int) -> None:
        """Tells readers of single orders that an empty book begins."""
        self._order_row(ts_ns, CLEAR, 0, SIDE_NONE, 0, 0)

    def created(self, ts_ns: int, id: int, side: int, px_ticks: int, qty_lots: int) -> None:
        """A new order, resting or taking."""
        self._settle(ts_ns)
        self._order_row(ts_ns, ADD, id, side, px_ticks, qty_lots)
        if self.book.add(id, side, px_ticks, qty_lots) is None:
            self._note_flight(ts_ns, id)
        self._emit(ts_ns)

    def changed(self, ts_ns: int, id: int, side: int, px_ticks: int, qty_lots: int) -> None:
        """What is left of an order after a fill, or its new price."""
        self._settle(ts_ns)
        before = self.book.order(id)
        self._order_row(ts_ns, CHANGE, id, side, px_ticks, qty_lots)
        fault = self.book.change(id, side, px_ticks, qty_lots)
        if fault == "changed_unknown":
            self.counts["orders_unknown"] += 1
            self._reduce_unnamed(ts_ns, side, px_ticks, qty_lots)
            self._fills.append(_Fill(ts_ns, id, side, px_ticks, None, took=False))
        elif before is not None:
            lost = before[3] - qty_lots
            self._fill(ts_ns, id, side, px_ticks, lost)
        self._note_flight(ts_ns, id)
        self._emit(ts_ns)

    def deleted(self, ts_ns: int, id: int, side: int, px_ticks: int, qty_lots: int) -> None:
        """The end of an order; `qty_lots` is what was left of it, 0 where it was filled."""
        self._settle(ts_ns)
        before = self.book.order(id)
        self._order_row(ts_ns, DELETE, id, side, px_ticks, qty_lots)
        fault = self.book.delete(id)
        self._flights.pop(id, None)
        if before is not None and qty_lots == 0:
            self._fill(ts_ns, id, side, px_ticks, before[3])
        elif fault == "deleted_unknown":
            self.counts["orders_unknown"] += 1
            if qty_lots:
                self._reduce_unnamed(ts_ns, side, px_ticks, qty_lots)
            else:
                self._fills.append(_Fill(ts_ns, id, side, px_ticks, None, took=False))
        self._emit(ts_ns)

    def trade(self, ts_ns: int, id: int, px_ticks: int, qty_lots: int) -> None:
        """A trade; it ends the fills that led to it."""
        if id in self._trade_ids:
            self.counts["trade_duplicates"] += 1
            return
        if len(self._trades) == _TRADES_KEPT:
            self._trade_ids.discard(self._trades[0])
        self._trades.append(id)
        self._trade_ids.add(id)
        side = self._aggressor(ts_ns, px_ticks, qty_lots)
        self._settle(ts_ns, traded=True)
        self._emit(ts_ns)
        if side == SIDE_NONE:
            self.counts["trades_without_aggressor"] += 1
        row = (_core.TS_NONE, ts_ns, px_ticks, qty_lots, id, _core.SEQ_NONE, 0)
        self.rows.trades.append((*row, TRADE, side, FIRST | LAST, 0))

    def published(self, ts_ns: int, bids: Sequence[Level], asks: Sequence[Level]) -> None:
        """The venue's own book, best levels first."""
        self._settle(ts_ns)
        self._emit(ts_ns)
        self.counts["books_published"] += 1
        seq = self._next_seq(ts_ns)
        if self._started:
            self._compare(bids, asks)
            # A message without a level carries the id that the quote is compared at.
            self._event(self.rows.depth, ts_ns, seq, DELTA, [(SIDE_NONE, 0, 0)])
        if bids and asks:
            tops = [(BID, *bids[0]), (ASK, *asks[0])]
            self._event(self.rows.quotes, ts_ns, seq, QUOTE, tops)
        for side, levels in ((BID, bids), (ASK, asks)):
            self._cover(ts_ns, side, levels)
        if self._started:
            self._emit(ts_ns)
            return
        self._started = True
        self.book.take_changes()
        whole = [
            (side, px, qty) for side in (BID, ASK) for px, qty, _ in self.book.levels(side).tolist()
        ]
        if whole:
            self._event(self.rows.depth, ts_ns, self._next_seq(ts_ns), SNAPSHOT, whole)

    def _cover(self, ts_ns: int, side: int, levels: Sequence[Level]) -> None:
        """Takes over what lies beyond the prices seen so far: orders older than the recording."""
        covered = self._covered.get(side)
        for px, qty in levels:
            if covered is not None and (px >= covered if side == BID else px <= covered):
                continue
            excess = qty - self.book.qty_at(side, px)
            if excess > 0:
                self._set_unnamed(ts_ns, side, px, excess)
                self.counts["levels_unnamed"] += 1
        if levels:
            worst = levels[-1][0]
            if covered is None or (worst < covered if side == BID else worst > covered):
                self._covered[side] = worst

    def _compare(self, bids: Sequence[Level], asks: Sequence[Level]) -> None:
        mine = [self.book.levels(side, _TOP)[:, :2].tolist() for side in (BID, ASK)]
        theirs = [list(map(list, side[:_TOP])) for side in (bids, asks)]
        self.counts["books_compared"] += 1
        best = all(a[:1] == b[:1] for a, b in zip(mine, theirs, strict=True))
        self.counts["books_equal_best"] += best
        self.counts["books_equal_top_10"] += mine == theirs

    def _note_flight(self, ts_ns: int, id: int) -> None:
        order = self.book.order(id)
        if order is None or not order[4]:
            self._flights.pop(id, None)
            return
        came, _ = self._flights.get(id, (ts_ns, ts_ns))
        if id not in self._flights:
            self._crossed.append((id, ts_ns))
        self._flights[id] = (came, ts_ns)

    def _settle(self, ts_ns: int, *, traded: bool = False) -> None:
        """Lets takers rest that have ended taking."""
        for id, (came, heard) in list(self._flights.items()):
            if (traded or ts_ns - heard >= REST_AFTER_NS) and self.book.rest(id):
                self._order_row(ts_ns, REST, id, SIDE_NONE, 0, 0)
                del self._flights[id]
            elif ts_ns - came >= STALE_AFTER_NS:
                self.counts["remains_removed"] += len(self.book.rest_over(id))
                self._order_row(ts_ns, REST_OVER, id, SIDE_NONE, 0, 0)
                del self._flights[id]

    def _fill(self, ts_ns: int, id: int, side: int, px_ticks: int, qty_lots: int) -> None:
        if qty_lots > 0:
            took = any(
                other == id and ts_ns - came <= _MATCH_WITHIN_NS for other, came in self._crossed
            )
            self._fills.append(_Fill(ts_ns, id, side, px_ticks, qty_lots, took))

    def _aggressor(self, ts_ns: int, px_ticks: int, qty_lots: int) -> int:
        """The side that took, by the fills of this trade, which are used up."""
        found = [
            fill
            for fill in self._fills
            if ts_ns - fill.ts_ns <= _MATCH_WITHIN_NS
            and (fill.qty_lots == qty_lots or (fill.qty_lots is None and fill.px_ticks == px_ticks))
        ]
        # The latest of each side: a size may have been lost in the same amount before.
        latest = {fill.side: fill for fill in found}
        for fill in latest.values():
            self._fills.remove(fill)
            if fill.qty_lots is None:
                self._reduce_unnamed(ts_ns, fill.side, px_ticks, qty_lots)
        if not latest:
            return SIDE_NONE
        if len(latest) == 2:
            return max(latest.values(), key=lambda fill: (fill.took, fill.id)).side
        (fill,) = latest.values()
        return fill.side if fill.took else BID + ASK - fill.side

    def _reduce_unnamed(self, ts_ns: int, side: int, px_ticks: int, qty_lots: int) -> None:
        unnamed = self.book.unnamed(side, px_ticks)
        if unnamed:
            self._set_unnamed(ts_ns, side, px_ticks, max(unnamed - qty_lots, 0))

    def _set_unnamed(self, ts_ns: int, side: int, px_ticks: int, qty_lots: int) -> None:
        self._order_row(ts_ns, UNNAMED, 0, side, px_ticks, qty_lots)
        self.book.set_unnamed(side, px_ticks, qty_lots)

    def _emit(self, ts_ns: int) -> None:
        """The levels that changed, as one message."""
        if not self._started:
            return
        changes = self.book.take_changes()
        if changes:
            self._event(self.rows.depth, ts_ns, self._next_seq(ts_ns), DELTA, changes)

    def _event(
        self,
        rows: list[EventRow],
        ts_ns: int,
        seq: int,
        kind: int,
        levels: Sequence[tuple[int, int, int]],
    ) -> None:
        last = len(levels) - 1
        for at, (side, px, qty) in enumerate(levels):
            flags = (FIRST if at == 0 else 0) | (LAST if at == last else 0)
            row = (_core.TS_NONE, ts_ns, px, qty, seq, _core.SEQ_NONE, 0, kind, side, flags, 0)
            rows.append(row)

    def _next_seq(self, ts_ns: int) -> int:
        # The venue sends no ids. The time in µs serves, which needs no state between imports.
        self._seq = max(self._seq + 1, ts_ns // 1000)
        return self._seq

    def _order_row(
        self, ts_ns: int, action: int, id: int, side: int, px_ticks: int, qty_lots: int
    ) -> None:
        self.rows.orders.append((_core.TS_NONE, ts_ns, id, action, side, px_ticks, qty_lots))
