"""The plain exchange with the rules by which NautilusTrader 1.221.0's differs, each one a switch.

With all switches on it equals NautilusTrader's L2 exchange on single orders without reduce-only,
and on lists of which every fill is whole. `docs/fidelity.md` has a row for each.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from tests.oracles.order_state import Order
from tests.oracles.orders import Exchange

if TYPE_CHECKING:
    from collections.abc import Iterable

    from engine.peers.order_types import Modify, New


@dataclass(frozen=True)
class Rules:
    """`forgets`: what was taken of a level can be taken again, with every message. `hides`: an
    order that rested and is filled at its own, worse price moves the best price that orders after
    it see, until the next message. `reprices`: a triggered limit order that takes gets its first
    level at the trigger price where its limit is beyond it, one that rests is filled at the level
    between trigger and limit, and one whose limit the market passed together with its trigger rests
    as a maker. `expires_late`: good-till-date orders expire with the first message at or after
    their time, once it has been matched, also those whose time has passed on arrival. `refuses`: a
    modification of a post-only order that would take is refused and the order lives. `strands`: an
    exit of a bracket that would trigger when the entry fills is rejected, and the other exit with
    it; of two orders of which one cancels the other, one that is rejected leaves the other alone.
    """

    forgets: bool = True
    hides: bool = True
    reprices: bool = True
    expires_late: bool = True
    refuses: bool = True
    strands: bool = True


class NautilusExchange(Exchange):
    """Orders are looked at one after the other: buys by falling, then sales by rising price (the
    trigger price of those that wait), in order of arrival at one price. The price they are sorted
    by is one of 64 bits in units of 1e-16, so that it begins anew each 1,844.67; `tick` is for
    that. The orders of a side are sorted when one comes to them, not when a price changes.
    """

    def __init__(self, tick: str, rules: Rules | None = None) -> None:
        super().__init__("walk")
        self.units = int(Decimal(tick).scaleb(16))
        self.rules = rules or Rules()
        self.seen: dict[bool, int | None] = {True: None, False: None}
        self.hidden: dict[bool, int | None] | None = None
        self.lines: dict[bool, list[Order]] = {True: [], False: []}

    # What the venue sends

    def on_depth(self, rows: Iterable[tuple[int, ...]], ts_ns: int) -> None:
        """One message, then all orders; without a level it is no message to them."""
        levels = list(rows)
        if not any(row[2] for row in levels):
            return
        self._ts_ns = ts_ns
        for kind, flags, side, px, qty, *_ in levels:
            if kind == 2 and flags & 1:
                self.bids.clear()
                self.asks.clear()
                self.best = {True: None, False: None}
            if side:
                self._set_level(side == 1, px, qty)
        self.trusted = True
        for buys in (True, False):
            best = self.best[buys]
            self.seen[buys] = self.seen[buys] if best is None else best
        self._look_at_all()

    def _look_at_all(self) -> None:
        for order in self._in_line():
            if order.place == "resting" and self._crosses(order):
                self._fill_rested(order)
            elif order.place == "waiting" and self._is_reached(order):
                self._trigger(order)
        for order in self._in_line():
            expire_ns = order.new.expire_ns
            if self.rules.expires_late and expire_ns is not None and expire_ns <= self._ts_ns:
                self._end(order, "expired", "TIME_EXPIRED")
                continue
            if order.place == "waiting":
                self._follow(order)
            if self.hidden is not None:
                self.seen, self.hidden = self.hidden, None
        self.hidden = None

    def on_time(self, ts_ns: int) -> None:
        """Nothing expires between messages."""
        if not self.rules.expires_late:
            super().on_time(ts_ns)

    def next_expiry_ns(self) -> int | None:
        """As `on_time`."""
        return None if self.rules.expires_late else super().next_expiry_ns()

    # The life of an order

    def _comes_too_late(self, new: New) -> bool:
        return not self.rules.expires_late and super()._comes_too_late(new)

    def _modify(self, order: Order, change: Modify) -> None:
        px = order.px if change.px_ticks is None else change.px_ticks
        if order.place != "resting" or order.new.kind == "trailing_stop":
            super()._modify(order, change)
            return
        tried = Order(order.new, order.qty, px, None)
        if self._crosses(tried) and order.new.post_only and self.rules.refuses:
            self._answer(order)
            return
        order.px = px
        order.qty = order.qty if change.qty_lots is None else change.qty_lots
        if self._crosses(order):
            order.place = "entering"
            self._enter(order, fresh=False)

    def _enter(self, order: Order, *, fresh: bool) -> None:
        if not fresh and self.rules.reprices and order.is_conditional and order.is_limit:
            self._enter_triggered(order)
        else:
            super()._enter(order, fresh=fresh)
        # An accepted limit order was in line, and the line sorted, before it took.
        comes = fresh or (order.is_exit and not order.is_conditional)
        if comes and order.is_limit and order.status != "rejected":
            self._line_up(order)

    def _settle(self, order: Order) -> None:
        is_pair = order.links.entry is None
        if not (self.rules.strands and is_pair and order.status == "rejected"):
            super()._settle(order)

    def _adjust_exit(self, order: Order) -> None:
        comes = self.rules.strands and order.place == "held" and order.links.entry_lots() > 0
        exits = order.links.members[1:]
        if comes and any(other.status == "rejected" for other in exits):
            self._end(order, "rejected", "LIST_ENDED")
        elif comes and order.is_conditional and self._would_trigger(order):
            self._end(order, "rejected", "WOULD_TRIGGER")
        else:
            super()._adjust_exit(order)

    def _enter_triggered(self, order: Order) -> None:
        self._rest(order)
        if not self._crosses(order):
            return
        best = self.seen[not order.buys]
        passed = order.trigger > order.px if order.buys else order.trigger < order.px
        if passed and best != order.px:
            self._fill_rested(order)
        elif order.new.post_only:
            self._end(order, "rejected", "POST_ONLY_WOULD_TAKE")
        else:
            got = self._take(order, order.px, order.leaves)
            beyond = order.px > order.trigger if order.buys else order.px < order.trigger
            if beyond and got:
                got[0] = (order.trigger, got[0][1])
                self._hide(order, order.px)
            for px, lots in got:
                self._fill(order, px, lots, maker=False)

    def _fill_rested(self, order: Order) -> None:
        """A resting order is filled at its own price, or what counts as that."""
        own = order.px
        if order.is_conditional and self.rules.reprices:
            own = min(own, order.trigger) if order.buys else max(own, order.trigger)
        for px, lots in self._take(order, order.px, order.leaves):
            is_better = px < own if order.buys else px > own
            if is_better:
                self._hide(order, own)
            self._fill(order, own if is_better else px, lots, maker=True)

    def _hide(self, order: Order, px: int) -> None:
        if self.rules.hides:
            self.hidden = dict(self.seen)
            self.seen[not order.buys] = px

    def _wait(self, order: Order) -> None:
        super()._wait(order)
        self._line_up(order)

    def _line_up(self, order: Order) -> None:
        self.lines[order.buys].append(order)
        self.lines[order.buys].sort(key=self._place_in_line)

    def _in_line(self) -> list[Order]:
        for buys, line in self.lines.items():
            self.lines[buys] = [o for o in line if o.place in ("resting", "waiting")]
        return [*self.lines[True], *self.lines[False]]

    def _place_in_line(self, order: Order) -> int:
        if order.place == "done":
            return 0
        if order.new.kind == "trailing_stop":
            away = order.distance()
            key = order.best + away if order.buys else order.best - away
        else:
            key = order.trigger if order.place == "waiting" else order.px
        key = (key * self.units + (1 << 63)) % (1 << 64)
        return -key if order.buys else key

    # Looking things up

    def _best(self, *, buys: bool) -> int | None:
        return self.seen[buys]

    def _take(self, order: Order, limit: int | None, lots: int) -> list[tuple[int, int]]:
        got = super()._take(order, limit, lots)
        if self.rules.forgets:
            self.taken.clear()
        return got
