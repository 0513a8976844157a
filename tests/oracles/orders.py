"""A simulated exchange with every order type, of the plainest kind: dictionaries and `if`
statements, to hold the product's against.

One instrument; prices in ticks, quantities in lots, times in ns of the venue's clock. Orders queue
risk-averse: behind what their price shows on arrival, forward with trades and never behind more
than the level still shows.

`fill` says how much is filled. "no_partial": whole orders, a taking one at the best price.
"partial": a taking order walks the levels and what a limit order does not get is filled at its
limit; a resting one gets what a trade at its price has beyond its queue, and is filled whole when
its price is passed. "walk": a taking order walks the levels, what it took stays taken until the
feed sends the level anew, and what a limit order does not get rests; a resting order whose price is
passed takes from the levels likewise, and a trade gives all orders together no more than its size.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from engine.peers.order_types import Bracket, Cancel, CancelAll, Fill, Modify, New, Oco
from tests.oracles.order_state import List, Order

if TYPE_CHECKING:
    from collections.abc import Iterable

    from engine.peers.order_types import Command

DELTA, SNAPSHOT, TRADE = 1, 2, 3
BID, ASK = 1, 2
FIRST, LAST = 1, 2

FillModel = Literal["no_partial", "partial", "walk"]


class Exchange:
    """Book, orders and position. `answers` collects (time, order id, status, filled lots, code)."""

    def __init__(self, fill: FillModel = "walk", position: int = 0) -> None:
        self.fill_model = fill
        self.position = position
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.best: dict[bool, int | None] = {True: None, False: None}
        self.taken: dict[tuple[bool, int], int] = {}
        self.trusted = False
        self.seq: int | None = None
        self.last: int | None = None
        self.orders: dict[int, Order] = {}
        self.live: dict[int, Order] = {}
        self.answers: list[tuple[int, int, str, int, str]] = []
        self._order_of_time = 0
        self._ts_ns = 0

    # What the venue sends

    def on_depth(self, rows: Iterable[tuple[int, ...]], ts_ns: int) -> None:
        """One message: rows of (kind, flags, side, price, lots, sequence, previous sequence)."""
        self._ts_ns = ts_ns
        for kind, flags, side, px, qty, seq, prev_seq in rows:
            if flags & FIRST:
                if kind == SNAPSHOT:
                    self.bids.clear()
                    self.asks.clear()
                    self.best = {True: None, False: None}
                    self.trusted = True
                elif self.seq is not None and prev_seq > self.seq:
                    self.trusted = False
                self.seq = seq
            if side:
                self._set_level(side == BID, px, qty)
        bid, ask = self.best[True], self.best[False]
        if bid is not None and ask is not None and bid >= ask:
            self.trusted = False
        if self.trusted:
            for buys in (True, False):
                self._fill_passed(buys=buys)
            self._check_triggers()

    def _set_level(self, is_bid: bool, px: int, qty: int) -> None:
        levels = self.bids if is_bid else self.asks
        if qty:
            levels[px] = qty
        else:
            levels.pop(px, None)
        # Searching all levels is slow; only a change at or beyond the best can move it.
        best = self.best[is_bid]
        if best is None or (px >= best if is_bid else px <= best):
            self.best[is_bid] = (max if is_bid else min)(levels, default=None)
        self.taken.pop((is_bid, px), None)
        for order in self.live.values():
            if order.px == px and order.place == "resting" and order.buys == is_bid:
                order.ahead = min(order.ahead, qty)

    def on_trade(self, aggressor: int, px: int, qty: int, ts_ns: int) -> None:
        """One trade on the book."""
        self._ts_ns = ts_ns
        self.last = px
        if aggressor in (BID, ASK):
            self._fill_traded(buys=aggressor == ASK, px=px, qty=qty)
        self._check_triggers()

    def _fill_passed(self, *, buys: bool) -> None:
        """Resting orders whose price the best of the other side has reached."""
        best = self._best(buys=not buys)
        if best is None:
            return
        for order in [o for o in self._resting(buys=buys) if o.reaches(best)]:
            if order.place != "resting":
                continue
            lots = order.leaves
            if self.fill_model == "walk":
                lots = sum(got for _, got in self._take(order, order.px, lots))
            if lots:
                self._fill(order, order.px, lots, maker=True)

    def _fill_traded(self, *, buys: bool, px: int, qty: int) -> None:
        """Resting orders that a trade reaches or passes."""
        reached: list[tuple[Order, int | None, int]] = []
        for order in self._resting(buys=buys):
            if order.px == px:
                order.ahead -= qty
                if order.ahead < 0:
                    reached.append((order, -order.ahead, order.shown))
                    order.ahead = 0
            elif order.reaches(px):
                reached.append((order, None, order.shown))
        left = qty
        for order, beyond, shown in reached:
            if order.place != "resting":
                continue
            most = order.leaves if beyond is None else shown
            if self.fill_model != "no_partial" and beyond is not None:
                most = min(most, beyond)
            if self.fill_model == "walk":
                most = min(most, left)
                left -= most
            if most:
                self._fill(order, order.px, most, maker=True)

    def on_time(self, ts_ns: int) -> None:
        """Good-till-date orders expire."""
        due = [
            order
            for order in self._live()
            if order.new.expire_ns is not None and order.new.expire_ns <= ts_ns
        ]
        for order in sorted(due, key=lambda o: (o.new.expire_ns, o.new.order_id)):
            self._ts_ns = order.new.expire_ns
            self._end(order, "expired", "TIME_EXPIRED")

    def next_expiry_ns(self) -> int | None:
        """When the next order expires."""
        times = [o.new.expire_ns for o in self._live() if o.new.expire_ns is not None]
        return min(times, default=None)

    # What the owner asks

    def on_command(self, command: Command, ts_ns: int) -> None:
        """A request arrives."""
        self._ts_ns = ts_ns
        if isinstance(command, CancelAll):
            for order in self._live():
                self._end(order, "canceled")
        elif isinstance(command, New):
            self._accept(command, None)
        elif isinstance(command, Oco):
            self._accept_all(List(), command.first, command.second)
        elif isinstance(command, Bracket):
            self._accept_all(List(), command.entry, command.stop, command.take_profit)
        else:
            order = self.orders[command.order_id]
            if order.place == "done":
                self._answer(order)
            elif isinstance(command, Cancel):
                self._end(order, "canceled")
            else:
                self._modify(order, command)

    def _accept_all(self, links: List, *orders: New) -> None:
        for at, new in enumerate(orders):
            self._accept(new, links, is_entry=at == 0 and len(orders) == 3)

    def _accept(self, new: New, links: List | None, *, is_entry: bool = False) -> None:
        order = Order(new, new.qty_lots, new.px_ticks, new.trigger_ticks, links)
        self.orders[new.order_id] = self.live[new.order_id] = order
        if links is not None:
            links.members.append(order)
            if is_entry:
                links.entry = order
            if links.over:
                self._end(order, "canceled", "LIST_ENDED")
                return
        if self._comes_too_late(new):
            self._end(order, "rejected", "TIME_EXPIRED")
        elif order.is_exit:
            self._hold(order)
            self._adjust_exit(order)
        elif not order.is_conditional:
            self._enter(order, fresh=True)
        elif self._would_trigger(order):
            self._end(order, "rejected", "WOULD_TRIGGER")
        else:
            self._wait(order)

    def _comes_too_late(self, new: New) -> bool:
        return new.expire_ns is not None and new.expire_ns <= self._ts_ns

    def _modify(self, order: Order, change: Modify) -> None:
        px = order.px if change.px_ticks is None else change.px_ticks
        qty = order.qty if change.qty_lots is None else change.qty_lots
        if order.is_exit and qty != order.qty:
            self._answer(order)
        elif qty <= order.filled and not order.is_exit:
            self._end(order, "canceled", "QTY_BELOW_FILLED")
        elif order.place == "resting":
            if change.trigger_ticks is not None:
                self._answer(order)
            elif px == order.px and qty <= order.qty:
                self._shrink(order, qty)
            elif self.trusted:
                order.px, order.qty, order.place = px, qty, "entering"
                self._enter(order, fresh=False)
            else:
                self._answer(order)
        else:
            self._modify_waiting(order, change, px, qty)

    def _modify_waiting(self, order: Order, change: Modify, px: int | None, qty: int) -> None:
        trigger = change.trigger_ticks
        if trigger is not None and order.place == "waiting":
            moved = replace(order.new, trigger_ticks=trigger)
            if self._would_trigger(Order(moved, qty, px, trigger)):
                self._answer(order)
                return
            self._order_of_time += 1
            order.since = self._order_of_time
        order.px, order.qty = px, qty
        if trigger is not None:
            order.trigger = trigger
        self._answer(order)

    # The life of an order

    def _enter(self, order: Order, *, fresh: bool) -> None:
        """Into the book: from outside (`fresh`), by its trigger, or anew after a change."""
        code = self._refusal(order)
        if code:
            self._end(order, "rejected" if fresh else "expired", code)
            return
        crosses = self._crosses(order)
        offered = sum(lots for _, lots in self._offered(order, order.px))
        kills = order.new.tif == "FOK" and self.fill_model != "no_partial"
        if crosses and not (kills and offered < order.leaves):
            got = self._take(order, order.px, order.leaves)
            if self._fills_rest(order):
                got = _with_rest(got, order.px, order.leaves)
            for px, lots in got:
                self._fill(order, px, lots, maker=False)
        if order.place != "entering":
            return
        if not order.is_limit:
            nothing = fresh and not order.filled and not crosses
            self._end(order, "rejected" if nothing else "expired", "NO_LIQUIDITY")
        elif order.new.tif in ("IOC", "FOK"):
            self._end(order, "expired")
        else:
            self._rest(order)

    def _fills_rest(self, order: Order) -> bool:
        """Whether what a limit order cannot take is filled at its limit all the same."""
        rests = order.is_limit and order.new.tif in ("GTC", "GTD")
        return rests and self.fill_model == "partial"

    def _refusal(self, order: Order) -> str:
        if not self.trusted:
            return "BOOK_SUSPECT"
        if order.new.reduce_only:
            room = self._reducible(order)
            if not room:
                return "REDUCE_ONLY"
            order.qty = min(order.qty, order.filled + room)
        if order.new.post_only and order.is_limit and self._crosses(order):
            return "POST_ONLY_WOULD_TAKE"
        return ""

    def _rest(self, order: Order) -> None:
        levels = self.bids if order.buys else self.asks
        order.place = "resting"
        order.ahead = levels.get(order.px, 0)
        order.shown = self._slice(order)
        self._order_of_time += 1
        order.since = self._order_of_time
        self._answer(order, "partially_filled" if order.filled else "open")

    def _slice(self, order: Order) -> int:
        most = order.new.display_lots
        return order.leaves if most is None else min(most, order.leaves)

    def _wait(self, order: Order) -> None:
        order.place = "waiting"
        self._order_of_time += 1
        order.since = self._order_of_time
        if order.new.kind == "trailing_stop":
            order.asleep = order.new.activation_ticks is not None
            order.best = None
            self._follow(order)
        self._answer(order, "untriggered")

    def _hold(self, order: Order) -> None:
        order.place = "held"
        self._answer(order, "untriggered")

    def _shrink(self, order: Order, qty: int) -> None:
        order.qty = qty
        order.shown = min(order.shown, order.leaves)
        self._answer(order)

    def _fill(self, order: Order, px: int, lots: int, *, maker: bool) -> None:
        if order.place == "done":
            return
        lots = min(lots, order.leaves)
        if order.new.reduce_only:
            lots = min(lots, self._reducible(order))
        if lots <= 0:
            self._end(order, "expired", "REDUCE_ONLY")
            return
        order.filled += lots
        order.fills.append(Fill(self._ts_ns, px, lots, maker))
        self.position += lots if order.buys else -lots
        self._answer(order, "partially_filled" if order.leaves else "filled")
        if not order.leaves:
            if order.is_exit and order.links.entry_lives():
                self._answer(order, "partially_filled", replaces=True)
                self._hold(order)
            else:
                order.place = "done"
        elif maker:
            order.shown -= lots
            if order.shown <= 0:
                levels = self.bids if order.buys else self.asks
                order.shown = self._slice(order)
                order.ahead = levels.get(order.px, 0)
                self._order_of_time += 1
                order.since = self._order_of_time
        if order.links is not None:
            self._settle(order)
        self._shrink_reducing()

    def _end(self, order: Order, status: str, code: str = "") -> None:
        if order.place == "done":
            return
        order.place, order.code = "done", code
        self._answer(order, status)
        if order.links is not None and code != "LIST_ENDED":
            self._settle(order)

    def _settle(self, order: Order) -> None:
        """What a fill, trigger or end means for the other orders of the list."""
        links = order.links
        if links.entry is None:
            # Nothing of an order that has been triggered, filled or ended leaves the other alive.
            links.over = True
        elif order is links.entry and order.place == "done" and not order.filled:
            links.over = True
        for other in list(links.members):
            if other is order or other.place == "done":
                continue
            if links.over:
                self._end(other, "canceled", "LIST_ENDED")
            elif other.is_exit:
                self._adjust_exit(other)

    def _adjust_exit(self, order: Order) -> None:
        """An exit is for what the entry has filled and no exit has closed."""
        room = order.links.entry_lots() - order.links.exit_lots()
        if room <= 0:
            if not order.links.entry_lives():
                self._end(order, "canceled", "LIST_ENDED")
            elif order.place != "held":
                self._hold(order)
            return
        qty = order.filled + room
        if qty == order.qty and order.place != "held":
            return
        was_resting = order.place == "resting"
        if was_resting and qty < order.qty:
            self._shrink(order, qty)
            return
        order.qty = qty
        if not order.is_conditional or was_resting:
            order.place = "entering"
            self._enter(order, fresh=False)
        elif order.place == "waiting":
            self._answer(order)
        else:
            self._wait(order)
            if self.trusted and self._would_trigger(order):
                self._trigger(order)

    def _shrink_reducing(self) -> None:
        """Resting reduce-only orders are never for more than the position; an exit that waits ends
        when there is none and its entry is done.
        """
        for order in self._live():
            rests = order.place == "resting"
            waits = order.place == "waiting" and order.is_exit and not order.links.entry_lives()
            if not order.new.reduce_only or not (rests or waits):
                continue
            room = self._reducible(order)
            if room == 0:
                self._end(order, "expired", "REDUCE_ONLY")
            elif rests and room < order.leaves:
                self._shrink(order, order.filled + room)

    # Triggers

    def _watched(self, order: Order) -> Fraction | None:
        if order.new.trigger_by == "last":
            return None if self.last is None else Fraction(self.last)
        bid, ask = self._best(buys=True), self._best(buys=False)
        if not self.trusted or (ask if order.buys else bid) is None:
            return None
        if order.new.trigger_by == "mark":
            return None if bid is None or ask is None else Fraction(bid + ask, 2)
        return Fraction(ask if order.buys else bid)

    def _would_trigger(self, order: Order) -> bool:
        px = self._watched(order)
        if px is None:
            return False
        if order.new.kind == "trailing_stop":
            begin = order.new.activation_ticks
            return begin is not None and (px <= begin if order.buys else px >= begin)
        rises = order.buys != order.new.kind.startswith("take_profit")
        return px >= order.trigger if rises else px <= order.trigger

    def _check_triggers(self) -> None:
        if not self.trusted:
            return
        due = []
        for order in sorted(self._live(), key=lambda o: o.since):
            if order.place != "waiting":
                continue
            if self._is_reached(order):
                due.append(order)
            else:
                self._follow(order)
        for order in due:
            if order.place == "waiting":
                self._trigger(order)

    def _is_reached(self, order: Order) -> bool:
        if order.new.kind != "trailing_stop":
            return self._would_trigger(order)
        px = self._watched(order)
        if px is None or order.best is None:
            return False
        away = order.distance()
        return px >= order.best + away if order.buys else px <= order.best - away

    def _follow(self, order: Order) -> None:
        """Moves a trailing stop's best price."""
        px = self._watched(order)
        if px is None or order.new.kind != "trailing_stop":
            return
        begin = order.new.activation_ticks
        if order.asleep and not (px <= begin if order.buys else px >= begin):
            return
        order.asleep = False
        better = min if order.buys else max
        order.best = px if order.best is None else better(order.best, px)

    def _trigger(self, order: Order) -> None:
        order.place = "entering"
        self._answer(order, "open")
        if order.links is not None and order.links.entry is None:
            self._settle(order)
        self._enter(order, fresh=False)

    # Looking things up

    def _live(self) -> list[Order]:
        self.live = {at: order for at, order in self.live.items() if order.place != "done"}
        return list(self.live.values())

    def _resting(self, *, buys: bool) -> list[Order]:
        """Best price first, then first come first served."""
        sign = -1 if buys else 1
        found = [o for o in self._live() if o.place == "resting" and o.buys == buys]
        return sorted(found, key=lambda o: (sign * o.px, o.since))

    def _best(self, *, buys: bool) -> int | None:
        return self.best[buys]

    def _crosses(self, order: Order) -> bool:
        best = self._best(buys=not order.buys)
        return best is not None and order.reaches(best)

    def _reducible(self, order: Order) -> int:
        return max(0, -self.position if order.buys else self.position)

    def _offered(self, order: Order, limit: int | None) -> list[tuple[int, int]]:
        """The other side's levels within a limit, best first, with what is there to take."""
        levels = self.asks if order.buys else self.bids
        found = []
        for px in sorted(levels, reverse=not order.buys):
            if limit is not None and (px > limit if order.buys else px < limit):
                break
            free = levels[px]
            if self.fill_model == "walk":
                free -= min(free, self.taken.get((not order.buys, px), 0))
            if free:
                found.append((px, free))
        return found

    def _take(self, order: Order, limit: int | None, lots: int) -> list[tuple[int, int]]:
        if self.fill_model == "no_partial":
            return [(self._best(buys=not order.buys), lots)]
        got = []
        for px, free in self._offered(order, limit):
            take = min(free, lots)
            if not take:
                break
            got.append((px, take))
            lots -= take
            if self.fill_model == "walk":
                key = (not order.buys, px)
                self.taken[key] = self.taken.get(key, 0) + take
        return got

    def _answer(self, order: Order, status: str = "", *, replaces: bool = False) -> None:
        """Tells the owner where the order stands; without a status it stands where it stood."""
        if replaces:
            self.answers.pop()
        if status:
            order.status, order.ts_ns = status, self._ts_ns
        self.answers.append(
            (self._ts_ns, order.new.order_id, order.status, order.filled, order.code)
        )


def _with_rest(got: list[tuple[int, int]], limit: int, lots: int) -> list[tuple[int, int]]:
    """What was got, and the rest of `lots` at the limit, in one with what was got there."""
    better = [(px, some) for px, some in got if px != limit]
    rest = lots - sum(some for _, some in better)
    return [*better, (limit, rest)] if rest else better
