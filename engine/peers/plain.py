"""A simulated exchange of the plainest kind, to hold Cobalt's and hftbacktest's against.

One instrument, dicts for books, every rule written out, floats only where a queue model has them.
The rules: a request reaches the exchange after the order entry latency, its answer reaches us after
the response latency, and neither overtakes another on its way. A resting order queues behind what
its price shows on arrival (`Queue`); a trade beyond its price, or the other side's best at or
beyond it, fills all of it, at its own price. Without partial fills, an order that trades on arrival
is filled whole at the other side's best, and a resting one whole as soon as its turn comes; with
them, it takes level by level what the book shows, without leaving a trace there, and a resting one
gets of a trade what the queue before it left. At one instant: our data, order responses, exchange
data, order arrivals, then the strategy.

`like_peer` switches to the rules of hftbacktest 2.4.4 where they are not ours; `marks` then says
for each order which of them made a difference to it, by the names in `REASONS`.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.peers.orders import (
    BUY,
    CANCEL,
    FOK,
    GTC,
    IOC,
    MARKET,
    POST_ONLY,
    RESULT_DTYPE,
    SUBMIT,
    Setup,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from engine.instruments import Instrument

SNAPSHOT, TRADE = 2, 3
BID = 1
FIRST = 1
NO_BID, NO_ASK = -(1 << 62), 1 << 62
PEER_REACH_TICKS = 100
"""How far from the best hftbacktest's market order walks the book; one further for a sale."""

REASONS = {
    "modify_quantity": "a modification that loses its place keeps the old quantity",
    "modify_after_fill": "a modification's quantity is what is left, as the sender last knew it",
    "market_reach": "a market order takes from 100 ticks of the book only",
    "after_the_end": "an answer arrives after the last row of the data",
}
"""What hftbacktest does and Cobalt does not, by name."""


def _power(x: float, n: float) -> float:
    try:
        return math.pow(x, n)
    except ValueError:
        return math.nan


def _log1(x: float) -> float:
    return math.log(1.0 + x) if x > -1.0 else math.nan


def _ratio(a: float, b: float) -> float:
    if b == 0.0:
        return math.nan if a == 0.0 or math.isnan(a) else math.copysign(math.inf, a)
    return a / b


def _least(a: float, b: float) -> float:
    """The smaller; the other where one is no number."""
    if math.isnan(a):
        return b
    return a if math.isnan(b) or a < b else b


def probability(queue: str, n: float) -> Callable[[float, float], float] | None:
    """That of a decrease happening behind an order with this much before and behind it."""
    models: dict[str, Callable[[float, float], float] | None] = {
        "risk_averse": None,
        "power_prob": lambda f, b: _ratio(_power(b, n), _power(b, n) + _power(f, n)),
        "power_prob2": lambda f, b: _ratio(_power(b, n), _power(b + f, n)),
        "power_prob3": lambda f, b: 1.0 - _power(_ratio(f, f + b), n),
        "log_prob": lambda f, b: _ratio(_log1(b), _log1(b) + _log1(f)),
        "log_prob2": lambda f, b: _ratio(_log1(b), _log1(b + f)),
    }
    return models[queue]


@dataclass
class Queue:
    """What stands before an order, in units of quantity, as far as levels and trades tell.

    A trade at the price lowers it. A smaller level lowers it to the level at most, and beyond what
    trades explain by the model's share; risk-averse has none.
    """

    front: float
    share: Callable[[float, float], float] | None
    traded: float = 0.0

    def on_trade(self, qty: float) -> None:
        self.front -= qty
        self.traded += qty

    def on_depth(self, before: float, after: float) -> None:
        if self.share is None:
            self.front = min(self.front, after)
            return
        gone = before - after - self.traded
        self.traded = 0.0
        if gone < 0.0:
            self.front = _least(self.front, after)
            return
        back = before - self.front
        behind = self.share(self.front, back)
        if math.isinf(behind):
            behind = 1.0
        estimate = self.front - (1.0 - behind) * gone + _least(back - behind * gone, 0.0)
        self.front = _least(estimate, after)

    def reached_lots(self, lot: float) -> int:
        """Whole lots that traded beyond what stood before us; the front is then ours."""
        past = -self.front / lot
        lots = math.floor(past) if past - math.floor(past) < 0.5 else math.floor(past) + 1
        if lots > 0:
            self.front = 0.0
        return max(lots, 0)


@dataclass
class Order:
    """An order as the exchange knows it. `qty` is all of it, `leaves` what is not filled yet."""

    order_id: int
    side: int
    order_type: int
    tif: int
    px: int
    qty: int
    leaves: int = 0
    status: str = "pending"
    queue: Queue | None = None
    marks: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Fill:
    """One execution."""

    px: int
    lots: int
    maker: bool


@dataclass(frozen=True)
class Answer:
    """What the exchange says of an order, and when we hear it. `status` is `refused` where a
    request found no such order.
    """

    ts_recv_ns: int
    ts_exchange_ns: int
    order_id: int
    status: str
    leaves: int
    fills: list[Fill]


class Latency:
    """Constant, or linear between the rows of a table and constant beyond its ends."""

    def __init__(self, setup: Setup) -> None:
        self._constant = setup.order_entry_ns, setup.response_ns
        self._table: list[tuple[list[int], list[int]]] = []
        table = setup.latencies
        if table is not None:
            at = [table[name].tolist() for name in ("req_ns", "exchange_ns", "response_ns")]
            self._table = [
                (start, [b - a for a, b in zip(start, end, strict=True)])
                for start, end in (at[:2], at[1:])
            ]

    def entry(self, ts_ns: int) -> int:
        return self._at(0, ts_ns)

    def response(self, ts_ns: int) -> int:
        return self._at(1, ts_ns)

    def _at(self, way: int, ts_ns: int) -> int:
        if not self._table:
            return self._constant[way]
        xs, ys = self._table[way]
        at = bisect_right(xs, ts_ns) - 1
        if at < 0 or at == len(xs) - 1:
            return ys[max(at, 0)]
        slope = float(ys[at + 1] - ys[at]) / float(xs[at + 1] - xs[at])
        return int(slope * float(ts_ns - xs[at])) + ys[at]


class Exchange:
    """Book and live orders; `answers` collects what is on its way to us, in order."""

    def __init__(self, setup: Setup, lot: str, *, like_peer: bool) -> None:
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.best_bid, self.best_ask = NO_BID, NO_ASK
        self.live: dict[int, Order] = {}
        self.resting: dict[int, dict[int, list[Order]]] = {BUY: {}, -BUY: {}}
        self.answers: deque[Answer] = deque()
        self.marks: dict[int, set[str]] = {}
        self._partial = setup.fill == "partial"
        self._share = probability(setup.queue, setup.queue_power)
        self._latency = Latency(setup)
        self._like_peer = like_peer
        self._heard_ns = 0
        # A lot as a quotient of two whole numbers: so is any number of lots, and a quotient of such
        # is the float nearest to the decimal.
        places = max(0, -int(Decimal(lot).normalize().as_tuple().exponent))
        self._each, self._per = float(Decimal(lot).scaleb(places)), 10.0**places

    def on_depth(self, kind: int, flags: int, side: int, px: int, lots: int, ts_ns: int) -> None:
        """One level of a depth message."""
        if kind == SNAPSHOT and flags & FIRST:
            self.bids.clear()
            self.asks.clear()
            self.best_bid, self.best_ask = NO_BID, NO_ASK
        if not side:
            return
        levels = self.bids if side == BID else self.asks
        before = levels.get(px, 0)
        if lots:
            levels[px] = lots
        else:
            levels.pop(px, None)
        own = BUY if side == BID else -BUY
        for order in self.resting[own].get(px, ()):
            assert order.queue is not None
            order.queue.on_depth(self._qty(before), self._qty(lots))
        # Searching all levels for the best is slow; only a change at or beyond the best moves it.
        if side == BID and px >= self.best_bid:
            self.best_bid = px if lots else max(self.bids, default=NO_BID)
            self._reach(-BUY, lambda own_px: own_px <= self.best_bid, ts_ns)
        if side != BID and px <= self.best_ask:
            self.best_ask = px if lots else min(self.asks, default=NO_ASK)
            self._reach(BUY, lambda own_px: own_px >= self.best_ask, ts_ns)

    def on_trade(self, aggressor: int, px: int, lots: int, ts_ns: int) -> None:
        """One trade on the book."""
        own = -BUY if aggressor == BID else BUY
        self._reach(own, lambda own_px: own_px * own > px * own, ts_ns)
        for order in list(self.resting[own].get(px, ())):
            assert order.queue is not None
            order.queue.on_trade(self._qty(lots))
            reached = order.queue.reached_lots(self._each / self._per)
            if reached:
                part = min(reached, order.leaves) if self._partial else order.leaves
                self._fill_resting(order, part, ts_ns)

    def submit(self, order: Order, ts_ns: int) -> None:
        """A new order arrives."""
        order.leaves = order.qty
        self.marks[order.order_id] = order.marks
        self._accept(order, ts_ns)

    def cancel(self, order_id: int, ts_ns: int) -> None:
        """A cancel arrives; refused when the order is not live any more."""
        order = self.live.get(order_id)
        if order is None:
            self._answer(order_id, "refused", 0, ts_ns)
            return
        self._remove(order)
        self._close(order, "cancelled", ts_ns)

    def modify(self, order_id: int, px: int, qty: int, known_leaves: int, ts_ns: int) -> None:
        """A change of price or quantity arrives; only a smaller quantity keeps the place in the
        queue. `known_leaves` is what the sender took to be left when it sent this.

        The quantity is that of the whole order, and one that is filled already ends it.
        hftbacktest takes it for what is left; where the place is lost, it leaves that at what the
        sender knew.
        """
        order = self.live.get(order_id)
        if order is None:
            self._answer(order_id, "refused", 0, ts_ns)
            return
        filled = order.qty - order.leaves
        leaves = qty - filled
        keeps_place = px == order.px and leaves <= order.leaves
        if self._like_peer:
            theirs_keeps = px == order.px and qty <= order.leaves
            theirs = qty if theirs_keeps else known_leaves
            if (theirs_keeps, theirs) != (keeps_place, leaves):
                order.marks.add("modify_after_fill" if filled else "modify_quantity")
            leaves, keeps_place = theirs, theirs_keeps
        if leaves <= 0:
            self._remove(order)
            self._close(order, "cancelled", ts_ns)
            return
        order.qty, order.leaves = filled + leaves, leaves
        if keeps_place:
            self._answer(order_id, "new", leaves, ts_ns)
            return
        self._remove(order)
        order.px = px
        self._accept(order, ts_ns)

    def _qty(self, lots: int) -> float:
        return lots * self._each / self._per

    def _accept(self, order: Order, ts_ns: int) -> None:
        buy = order.side == BUY
        best = self.best_ask if buy else self.best_bid
        there = abs(best) < NO_ASK
        crosses = there and order.px * order.side >= best * order.side
        if order.order_type == MARKET and not there:
            self._close(order, "rejected", ts_ns)
        elif order.order_type == MARKET or (crosses and order.tif != POST_ONLY):
            self._take(order, best, ts_ns)
        elif crosses or order.tif in (IOC, FOK):
            self._close(order, "expired", ts_ns)
        else:
            level = (self.bids if buy else self.asks).get(order.px, 0)
            order.queue = Queue(self._qty(level), self._share)
            order.status = "new"
            self.live[order.order_id] = order
            self.resting[order.side].setdefault(order.px, []).append(order)
            self._answer(order.order_id, "new", order.leaves, ts_ns)

    def _take(self, order: Order, best: int, ts_ns: int) -> None:
        """Trades on arrival with what the book shows."""
        if not self._partial:
            self._end_taking(order, [(best, order.leaves)], ts_ns)
            return
        taken = []
        left = order.leaves
        levels = self.asks if order.side == BUY else self.bids
        for px in self._way(order, best, levels):
            if not left:
                break
            if part := min(levels.get(px, 0), left):
                taken.append((px, part))
                left -= part
        if left and order.tif == FOK and order.order_type != MARKET:
            self._close(order, "expired", ts_ns)
            return
        if left and order.tif == GTC and order.order_type != MARKET:
            # It cannot rest on the other side's ground; the rest is filled at its own price.
            taken.append((order.px, left))
        self._end_taking(order, taken, ts_ns)

    def _way(self, order: Order, best: int, levels: dict[int, int]) -> Iterable[int]:
        """The prices that an order may take at, best first."""
        if order.order_type != MARKET:
            # What a good-till-cancelled order does not get at better prices it gets at its own, as
            # one execution; a sale of hftbacktest's makes two of it where a level stands there.
            at_once = order.tif == GTC and (order.side == BUY or not self._like_peer)
            return range(best, order.px + (0 if at_once else order.side), order.side)
        ahead = [px for px in levels if (px - best) * order.side >= 0]
        ahead.sort(reverse=order.side != BUY)
        if self._like_peer:
            reach = PEER_REACH_TICKS - (order.side == BUY)
            near = [px for px in ahead if abs(px - best) <= reach]
            if len(near) < len(ahead) and sum(levels[px] for px in near) < order.leaves:
                order.marks.add("market_reach")
            return near
        return ahead

    def _end_taking(self, order: Order, taken: list[tuple[int, int]], ts_ns: int) -> None:
        order.leaves -= sum(lots for _, lots in taken)
        fills = [Fill(px, lots, maker=False) for px, lots in taken]
        self._close(order, "expired" if order.leaves else "filled", ts_ns, fills)

    def _reach(self, own: int, is_reached: Callable[[int], bool], ts_ns: int) -> None:
        """Fills all orders of a side at prices that the market has reached."""
        resting = self.resting[own]
        for px in sorted((px for px in resting if is_reached(px)), reverse=own == BUY):
            for order in list(resting[px]):
                self._fill_resting(order, order.leaves, ts_ns)

    def _fill_resting(self, order: Order, lots: int, ts_ns: int) -> None:
        order.leaves -= lots
        fills = [Fill(order.px, lots, maker=True)]
        if order.leaves:
            self._answer(order.order_id, "new", order.leaves, ts_ns, fills)
        else:
            self._remove(order)
            self._close(order, "filled", ts_ns, fills)

    def _remove(self, order: Order) -> None:
        del self.live[order.order_id]
        at = self.resting[order.side][order.px]
        at.remove(order)
        if not at:
            del self.resting[order.side][order.px]

    def _close(
        self, order: Order, status: str, ts_ns: int, fills: list[Fill] | None = None
    ) -> None:
        order.status = status
        self._answer(order.order_id, status, order.leaves, ts_ns, fills)

    def _answer(
        self,
        order_id: int,
        status: str,
        leaves: int,
        ts_ns: int,
        fills: list[Fill] | None = None,
    ) -> None:
        self._heard_ns = max(self._heard_ns, ts_ns + self._latency.response(ts_ns))
        self.answers.append(Answer(self._heard_ns, ts_ns, order_id, status, leaves, fills or []))


def exchange_rows(depth: NDArray[np.void], trades: NDArray[np.void]) -> Iterator[tuple[int, ...]]:
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
    """What became of the commands.

    `orders`: `RESULT_DTYPE`, one row an order; `sent`: for each command whether it was sent;
    `fills`: executions that we heard of by order id; `marks`: names of `REASONS` by order id.
    """

    orders: NDArray[np.void]
    sent: NDArray[np.bool_]
    fills: dict[int, list[Fill]]
    marks: dict[int, set[str]]


class _Local:
    """Our side: what we know of each order, and the requests under way."""

    def __init__(self, orders: int) -> None:
        self.orders = np.zeros(orders, RESULT_DTYPE)
        self.orders["order_id"] = np.arange(1, orders + 1)
        self.orders["status"] = "new"
        self.fills: dict[int, list[Fill]] = {}
        self.leaves: dict[int, int] = {}
        self.open: set[int] = set()
        self.busy: set[int] = set()
        self._heard_fill_ns: dict[int, int] = {}

    def may_change(self, order_id: int) -> bool:
        """Whether the order is known to be live and no request on it is under way."""
        return order_id in self.open and order_id not in self.busy

    def hear(self, answer: Answer) -> None:
        order_id = answer.order_id
        # Any answer about an order, a partial fill too, counts as that to the request under way.
        self.busy.discard(order_id)
        if answer.status == "refused":
            return
        if answer.status == "new":
            self.open.add(order_id)
        else:
            self.open.discard(order_id)
        self.leaves[order_id] = answer.leaves
        row = self.orders[order_id - 1]
        row["status"], row["ts_exchange_ns"] = answer.status, answer.ts_exchange_ns
        if not answer.fills:
            return
        self.fills.setdefault(order_id, []).extend(answer.fills)
        row["filled_lots"] += sum(fill.lots for fill in answer.fills)
        row["fills"] += self._heard_fill_ns.get(order_id) != answer.ts_recv_ns
        self._heard_fill_ns[order_id] = answer.ts_recv_ns
        last = answer.fills[-1]
        row["exec_px_ticks"], row["maker"] = last.px, last.maker
        row["ts_fill_ns"] = answer.ts_exchange_ns


def run(
    depth: NDArray[np.void],
    trades: NDArray[np.void],
    commands: NDArray[np.void],
    instrument: Instrument,
    setup: Setup,
    *,
    like_peer: bool = False,
) -> Result:
    """Plays the rows against the commands. `depth` must hold only what our book applies.

    We hear what arrives up to the last row received; like hftbacktest, all there is.
    """
    exchange = Exchange(setup, instrument.lot, like_peer=like_peer)
    latency = Latency(setup)
    local = _Local(int(commands["order_id"].max()))
    # Arrival, command, and what the sender took to be left of the order.
    arrivals: deque[tuple[int, Any, int]] = deque()
    sent = np.zeros(len(commands), np.bool_)
    end_ns = max(int(rows["ts_recv_ns"][-1]) for rows in (depth, trades) if len(rows))

    def arrive(until_ns: int) -> None:
        while arrivals and arrivals[0][0] <= until_ns:
            ts_ns, command, leaves = arrivals.popleft()
            _arrive(exchange, command, leaves, ts_ns)

    def hear(until_ns: int) -> None:
        while exchange.answers and exchange.answers[0].ts_recv_ns <= until_ns:
            answer = exchange.answers.popleft()
            if answer.ts_recv_ns > end_ns:
                exchange.marks[answer.order_id].add("after_the_end")
                if not like_peer:
                    continue
            local.hear(answer)

    rows = exchange_rows(depth, trades)
    row = next(rows, None)
    before_ns = arrived_ns = 0
    for i, command in enumerate([*commands.tolist(), None]):
        now_ns = 1 << 62 if command is None else command[0]
        while row is not None and row[0] <= now_ns:
            # Orders that arrive before this row act first; those of the same instant after it.
            arrive(row[0] - 1)
            _, _, kind, flags, side, px, lots = row
            if kind == TRADE:
                exchange.on_trade(side, px, lots, row[0])
            else:
                exchange.on_depth(kind, flags, side, px, lots, row[0])
            row = next(rows, None)
        # Commands of one instant are given together: nothing happens between them.
        if now_ns > before_ns:
            arrive(now_ns)
            hear(now_ns)
        before_ns = now_ns
        if command is None:
            break
        order_id, action = command[1], command[4]
        if action != SUBMIT:
            if not local.may_change(order_id):
                continue
            local.busy.add(order_id)
        sent[i] = True
        arrived_ns = max(arrived_ns, now_ns + latency.entry(now_ns))
        arrivals.append((arrived_ns, command, local.leaves.get(order_id, 0)))
    return Result(local.orders, sent, local.fills, exchange.marks)


def _arrive(exchange: Exchange, command: Any, known_leaves: int, ts_ns: int) -> None:
    _, order_id, px, qty, action, side, order_type, tif = command
    if action == SUBMIT:
        exchange.submit(Order(order_id, side, order_type, tif, px, qty), ts_ns)
    elif action == CANCEL:
        exchange.cancel(order_id, ts_ns)
    else:
        exchange.modify(order_id, px, qty, known_leaves, ts_ns)
