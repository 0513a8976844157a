"""A simulated exchange of the plainest kind, to hold the product's and hftbacktest's against.

One instrument, dicts for books, a list for live orders, every rule written out. The rules: an order
reaches the exchange `order_entry_ns` after it was sent, its response reaches us `response_ns` after
the exchange acted; a resting order queues behind what its price shows on arrival; a change of that
level lowers the queue to at most the new size; a trade at its price by the other side's aggressor
lowers it by the trade, and below zero the order fills whole; a trade beyond its price, or the other
side's best at or beyond it, fills it whole; an order that can trade on arrival fills whole at the
other side's best, or expires if post-only. At one instant: our data, order responses, exchange
data, order arrivals, then the strategy.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine.peers.orders import BUY, CANCEL, GTC, IOC, MARKET, POST_ONLY, RESULT_DTYPE, SUBMIT

if TYPE_CHECKING:
    from collections.abc import Iterator

DELTA, SNAPSHOT, TRADE = 1, 2, 3
BID, ASK = 1, 2
FIRST = 1

NO_BID, NO_ASK = -(1 << 62), 1 << 62


@dataclass
class Order:
    """An order as the exchange knows it."""

    order_id: int
    side: int
    order_type: int
    tif: int
    px: int
    qty: int
    status: str = "pending"
    ahead: int = 0
    exec_px: int = 0
    maker: bool = False
    ts_exchange_ns: int = 0


class Exchange:
    """Book and live orders; `responses` collects `(ts_recv_ns, order_id, status)` in order."""

    def __init__(self, response_ns: int, *, requeue_keeps_qty: bool = False) -> None:
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.live: dict[int, Order] = {}
        self.orders: dict[int, Order] = {}
        self.responses: deque[tuple[int, int, str]] = deque()
        self.response_ns = response_ns
        self.requeue_keeps_qty = requeue_keeps_qty
        self.best_bid, self.best_ask = NO_BID, NO_ASK

    def on_depth(self, kind: int, flags: int, side: int, px: int, qty: int, ts_ns: int) -> None:
        """One level of a depth message."""
        if kind == SNAPSHOT and flags & FIRST:
            self.bids.clear()
            self.asks.clear()
            self.best_bid, self.best_ask = NO_BID, NO_ASK
        if not side:
            return
        levels = self.bids if side == BID else self.asks
        if qty:
            levels[px] = qty
        else:
            levels.pop(px, None)
        # Searching all levels for the best is slow; only a change at or beyond the best can move
        # it.
        if side == BID and px >= self.best_bid:
            self.best_bid = max(self.bids, default=NO_BID)
        if side == ASK and px <= self.best_ask:
            self.best_ask = min(self.asks, default=NO_ASK)
        for order in [
            o for o in self.live.values() if o.px == px and (o.side == BUY) == (side == BID)
        ]:
            order.ahead = min(order.ahead, qty)
        for order in list(self.live.values()):
            reached = order.px >= self.best_ask if order.side == BUY else order.px <= self.best_bid
            if reached:
                self._fill(order, order.px, ts_ns, maker=True)

    def on_trade(self, aggressor: int, px: int, qty: int, ts_ns: int) -> None:
        """One trade on the book."""
        for order in list(self.live.values()):
            if (order.side == BUY) == (aggressor == BID):
                continue
            through = order.px > px if order.side == BUY else order.px < px
            if order.px == px:
                order.ahead -= qty
            if through or (order.px == px and order.ahead < 0):
                self._fill(order, order.px, ts_ns, maker=True)

    def submit(self, order: Order, ts_ns: int) -> None:
        """A new order arrives."""
        self.orders[order.order_id] = order
        self._accept(order, ts_ns)

    def cancel(self, order_id: int, ts_ns: int) -> None:
        """A cancel arrives; refused when the order is not live any more."""
        order = self.live.pop(order_id, None)
        if order is None:
            self._respond(order_id, "refused", ts_ns)
            return
        self._close(order, "cancelled", ts_ns)

    def modify(self, order_id: int, px: int, qty: int, ts_ns: int) -> None:
        """A change of price or quantity arrives; only a smaller quantity keeps the place in the
        queue.
        """
        order = self.live.get(order_id)
        if order is None:
            self._respond(order_id, "refused", ts_ns)
        elif px == order.px and qty <= order.qty:
            order.qty = qty
            order.ts_exchange_ns = ts_ns
            self._respond(order_id, "new", ts_ns)
        else:
            del self.live[order_id]
            order.px = px
            if not self.requeue_keeps_qty:
                order.qty = qty
            self._accept(order, ts_ns)

    def _accept(self, order: Order, ts_ns: int) -> None:
        buy = order.side == BUY
        best = self.best_ask if buy else self.best_bid
        there = abs(best) < NO_ASK
        crosses = order.px >= best if buy else order.px <= best
        if order.order_type == MARKET or (crosses and order.tif in (GTC, IOC)):
            if there:
                self._fill(order, best, ts_ns, maker=False)
            else:
                self._close(order, "rejected", ts_ns)
        elif crosses or order.tif == IOC:
            self._close(order, "expired", ts_ns)
        else:
            assert order.tif in (GTC, POST_ONLY)
            order.ahead = (self.bids if buy else self.asks).get(order.px, 0)
            order.status, order.ts_exchange_ns = "new", ts_ns
            self.live[order.order_id] = order
            self._respond(order.order_id, "new", ts_ns)

    def _fill(self, order: Order, px: int, ts_ns: int, *, maker: bool) -> None:
        self.live.pop(order.order_id, None)
        order.exec_px, order.maker = px, maker
        self._close(order, "filled", ts_ns)

    def _close(self, order: Order, status: str, ts_ns: int) -> None:
        order.status, order.ts_exchange_ns = status, ts_ns
        self._respond(order.order_id, status, ts_ns)

    def _respond(self, order_id: int, status: str, ts_ns: int) -> None:
        self.responses.append((ts_ns + self.response_ns, order_id, status))


def exchange_rows(depth: np.ndarray, trades: np.ndarray) -> Iterator[tuple[int, ...]]:
    """All rows by venue time, then arrival; depth before trades where both are equal.

    Each is `(ts_event_ns, ts_recv_ns, kind, flags, side, px_ticks, qty_lots)`.
    """
    columns = ("ts_event_ns", "ts_recv_ns", "kind", "flags", "side", "px_ticks", "qty_lots")
    streams = [
        zip(*(stream[name].tolist() for name in columns), strict=True) for stream in (depth, trades)
    ]
    return heapq.merge(*streams, key=lambda row: (row[0], row[1]))


@dataclass(frozen=True)
class Result:
    """`orders`: `RESULT_DTYPE`, one row an order; `sent`: for each command whether it was sent."""

    orders: np.ndarray
    sent: np.ndarray


def run(
    depth: np.ndarray,
    trades: np.ndarray,
    commands: np.ndarray,
    order_entry_ns: int,
    response_ns: int,
    *,
    requeue_keeps_qty: bool = False,
) -> Result:
    """Plays the rows against the commands. `depth` must hold only what our book applies.

    `requeue_keeps_qty`: a modification that costs the place in the queue changes the price but not
    the quantity, as hftbacktest 2.4.4 does.
    """
    exchange = Exchange(response_ns, requeue_keeps_qty=requeue_keeps_qty)
    arrivals: deque[tuple[int, np.void]] = deque()
    local: dict[int, str] = {}
    busy: set[int] = set()
    sent = np.zeros(len(commands), bool)

    def arrive(until_ns: int) -> None:
        while arrivals and arrivals[0][0] <= until_ns:
            ts_ns, command = arrivals.popleft()
            _arrive(exchange, command, ts_ns)

    def hear(until_ns: int) -> None:
        while exchange.responses and exchange.responses[0][0] <= until_ns:
            _, order_id, status = exchange.responses.popleft()
            busy.discard(order_id)
            if status != "refused":
                local[order_id] = status

    rows = exchange_rows(depth, trades)
    row = next(rows, None)
    before_ns = NO_BID
    for i, command in enumerate([*commands, None]):
        now_ns = 1 << 62 if command is None else int(command["ts_ns"])
        while row is not None and row[0] <= now_ns:
            # Orders that arrive before this row act first; those of the same instant after it.
            arrive(row[0] - 1)
            _, _, kind, flags, side, px, qty = row
            if kind == TRADE:
                exchange.on_trade(side, px, qty, row[0])
            else:
                exchange.on_depth(kind, flags, side, px, qty, row[0])
            row = next(rows, None)
        # Commands of one instant are given together: nothing happens between them.
        if now_ns > before_ns:
            arrive(now_ns)
            hear(now_ns)
        before_ns = now_ns
        if command is None:
            break
        order_id = int(command["order_id"])
        if command["action"] != SUBMIT:
            if local.get(order_id) != "new" or order_id in busy:
                continue
            busy.add(order_id)
        sent[i] = True
        arrivals.append((now_ns + order_entry_ns, command))
    return Result(_results(exchange), sent)


def _arrive(exchange: Exchange, command: np.void, ts_ns: int) -> None:
    order_id = int(command["order_id"])
    px, qty = int(command["px_ticks"]), int(command["qty_lots"])
    if command["action"] == SUBMIT:
        side, order_type, tif = (int(command[name]) for name in ("side", "order_type", "tif"))
        exchange.submit(Order(order_id, side, order_type, tif, px, qty), ts_ns)
    elif command["action"] == CANCEL:
        exchange.cancel(order_id, ts_ns)
    else:
        exchange.modify(order_id, px, qty, ts_ns)


def _results(exchange: Exchange) -> np.ndarray:
    orders = [exchange.orders[order_id] for order_id in sorted(exchange.orders)]
    out = np.zeros(len(orders), RESULT_DTYPE)
    for row, order in zip(out, orders, strict=True):
        filled = order.status == "filled"
        row["order_id"], row["status"] = order.order_id, order.status
        row["exec_px_ticks"] = order.exec_px if filled else 0
        row["exec_qty_lots"] = order.qty if filled else 0
        row["ts_exchange_ns"], row["maker"] = order.ts_exchange_ns, order.maker
    return out
