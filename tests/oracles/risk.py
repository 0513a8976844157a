"""Risk limits of the plainest kind, to hold the core's against.

Every figure is worked out anew from lists of all orders, times and equities whenever it is asked
for, in fractions and in the units of the configuration. Lots, ticks and nanoseconds are integers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from engine.units import duration_ns

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.config import RiskConfig
    from engine.instruments import Instrument

DAY_NS = 86_400 * 10**9


@dataclass
class Order:
    """What is asked for: a market order without `px_ticks`; `oco` is (first id, number) of a list
    of which at most one order fills."""

    instrument: int
    buy: bool
    px_ticks: int | None
    qty_lots: int
    reduce_only: bool = False
    trigger_px_ticks: int | None = None
    oco: tuple[int, int] | None = None


@dataclass
class Live:
    """A live order: what the exchange was asked to make of it, and what has filled."""

    order: Order
    qty_lots: int
    filled_lots: int = 0
    changes: int = 0
    asked: list[int] = field(default_factory=list)

    def may_fill(self) -> int:
        return max(max([self.qty_lots, *self.asked]) - self.filled_lots, 0)


class Unpriced(Exception):
    """A figure needs a price that is not known."""


class PlainRisk:
    """Limits over instruments; attributes are what the engine is told or shown."""

    def __init__(self, instruments: list[Instrument], config: RiskConfig) -> None:
        self.instruments, self.config = instruments, config
        count = len(instruments)
        self.now_ns = 0
        self.mids: list[Fraction | None] = [None] * count
        self.quotes_usd: list[Fraction | None] = [Fraction(1)] * count
        self.entry_values = [Fraction(0)] * count
        self.unrealized: list[Fraction | None] = [None] * count
        self.live: dict[int, Live] = {}
        self.sent: list[int] = []
        self.positions = [0] * count
        self.nets: list[list[Fraction]] = [[Fraction(0)] for _ in range(count)]
        self.trips: list[Fraction] = []
        self.equities: list[tuple[int, Fraction]] = []
        self.closing: set[int] = set()
        self.killed: str | None = None
        self.flattens = False

    # What happens.

    def on_submit(self, order_id: int, order: Order) -> None:
        self.sent.append(self.now_ns)
        self.live[order_id] = Live(order, order.qty_lots)

    def on_modify(self, order_id: int, qty_lots: int) -> None:
        self.sent.append(self.now_ns)
        self.live[order_id].changes += 1
        self.live[order_id].asked.append(qty_lots)

    def on_modify_answer(self, order_id: int, qty_lots: int | None) -> None:
        live = self.live[order_id]
        live.qty_lots = live.qty_lots if qty_lots is None else qty_lots
        live.changes -= 1
        if live.changes == 0:
            live.asked = []

    def on_fill(self, order_id: int, qty_lots: int) -> None:
        self.live[order_id].filled_lots += qty_lots

    def on_done(self, order_id: int) -> None:
        del self.live[order_id]

    def on_position(self, at: int, lots: int, net: Fraction) -> None:
        before, self.positions[at] = self.positions[at], lots
        if (before > 0 and lots <= 0) or (before < 0 and lots >= 0):
            self.trips.append(net - self.nets[at][-1])
            self.nets[at].append(net)
        if lots == 0:
            self.closing.discard(at)

    def end_trading(self, cause: str, *, flatten: bool) -> bool:
        self.flattens |= flatten
        first = self.killed is None
        self.killed = self.killed or cause
        return first

    # What may be sent.

    def check(self, order: Order, ahead: int = 0, is_covered: bool = True) -> str | None:
        extra = max(order.qty_lots - self._list_counts(order), 0)
        return self._judge(order, extra, is_covered, new_behind=ahead)

    def check_modify(self, order_id: int, order: Order) -> str | None:
        wanted = order.qty_lots - self.live[order_id].filled_lots
        counted = self._list_counts(self.live[order_id].order)
        own = self.live[order_id].may_fill()
        extra = max(wanted - max(counted, own), 0)
        return self._judge(order, extra, True, new_behind=None)

    def _judge(
        self, order: Order, extra: int, is_covered: bool, *, new_behind: int | None
    ) -> str | None:
        at, is_new, ahead = order.instrument, new_behind is not None, new_behind or 0
        own = [live for live in self.live.values() if live.order.instrument == at]
        reduces = order.reduce_only or (
            self.positions[at] != 0 and self._reach(at, order.buy) + extra <= 0
        )
        grows = not reduces and extra > 0
        rules: list[tuple[str, Callable[[], bool]]] = [
            ("QTY_TOO_SMALL", lambda: order.qty_lots < self._lots(at, "qty_min")),
            ("QTY_TOO_LARGE", lambda: order.qty_lots > self._lots(at, "qty_max")),
            ("PX_NOT_POSITIVE", lambda: order.px_ticks is not None and order.px_ticks <= 0),
            ("NOTIONAL_TOO_SMALL", lambda: self._is_below_minimum(order)),
            ("RISK_KILLED", lambda: self.killed is not None and not reduces),
            ("RISK_STOPPED", lambda: at in self.closing and not reduces),
            (
                "RISK_ORDER_QTY",
                lambda: self._is_over(self._qty(at, order.qty_lots), self._of(at, "order_qty_max")),
            ),
            (
                "RISK_ORDER_NOTIONAL",
                lambda: self._is_over(
                    lambda: self._usd(at, self._acting_px(order), order.qty_lots),
                    self._of(at, "order_notional_max_usd"),
                ),
            ),
            (
                "RISK_PX_THROUGH",
                lambda: self._is_over(
                    lambda: self._bps_through(order), self._of(at, "px_through_max_bps"), order
                ),
            ),
            (
                "RISK_PX_AWAY",
                lambda: self._is_over(
                    lambda: -self._bps_through(order), self._of(at, "px_away_max_bps"), order
                ),
            ),
            ("RISK_ORDER_RATE", lambda: self._is_too_fast(ahead)),
            (
                "RISK_INSTRUMENT_ORDERS",
                lambda: (
                    is_new and self._is_over(len(own) + ahead + 1, self._of(at, "open_orders_max"))
                ),
            ),
            (
                "RISK_ACCOUNT_ORDERS",
                lambda: (
                    is_new
                    and self._is_over(len(self.live) + ahead + 1, self.config.open_orders_max)
                ),
            ),
        ]
        if grows:
            rules += self._exposure_rules(order, self._reach(at, order.buy) + extra)
        rules.append(("RISK_FUNDS", lambda: not is_covered))
        for code, is_broken in rules:
            try:
                if is_broken():
                    return code
            except Unpriced:
                return "RISK_PRICE_MISSING"
        return None

    def _exposure_rules(self, order: Order, reach: int) -> list[tuple[str, Callable[[], bool]]]:
        at, config = order.instrument, self.config
        everything = range(len(self.instruments))
        grows = reach > self._gross_lots(at)

        def gross(members: Any) -> Fraction:
            return sum(
                (self._exposure(m, reach if m == at else self._gross_lots(m)) for m in members),
                Fraction(0),
            )

        def net(members: Any) -> Fraction:
            return sum(
                (
                    self._exposure(m, reach if m == at else self._reach(m, order.buy))
                    for m in members
                ),
                Fraction(0),
            )

        def is_concentrated() -> bool:
            most = self._limit(config.concentration_max_percent)
            if most is None or not grows:
                return False
            own, floor = self._exposure(at, reach), Fraction(config.concentration_floor_usd)
            return own * 100 > most * max(gross(everything), floor)

        rules: list[tuple[str, Callable[[], bool]]] = [
            (
                "RISK_POSITION",
                lambda: self._is_over(self._qty(at, reach), self._of(at, "position_qty_max")),
            ),
            (
                "RISK_EXPOSURE",
                lambda: self._is_over(
                    lambda: self._exposure(at, reach), self._of(at, "exposure_max_usd")
                ),
            ),
        ]
        sums = [
            ("GROUP", [self._index(name) for name in group.instruments], group)
            for group in config.groups.values()
            if self.instruments[at].id in group.instruments
        ]
        for name, members, limits in [*sums, ("ACCOUNT", everything, config)]:
            rules += [
                (
                    f"RISK_{name}_GROSS",
                    lambda m=members, lim=limits: (
                        grows and self._is_over(lambda: gross(m), lim.gross_max_usd)
                    ),
                ),
                (
                    f"RISK_{name}_NET",
                    lambda m=members, lim=limits: self._is_over(lambda: net(m), lim.net_max_usd),
                ),
            ]
        return [*rules, ("RISK_CONCENTRATION", is_concentrated)]

    # Over time.

    def evaluate(self, equity_usd: Fraction | None) -> list[tuple[str, str | None, int | None]]:
        actions: list[tuple[str, str | None, int | None]] = []
        for at, lots in enumerate(self.positions):
            if lots != 0 and at not in self.closing and self._is_stopped(at):
                self.closing.add(at)
                actions.append(("stop", "stop_loss", at))
        cause = self._account_cause(equity_usd)
        if cause is not None and self.killed is None:
            self.end_trading(cause, flatten=self.config.flatten)
            actions.append(("kill", cause, None))
        for at, lots in enumerate(self.positions):
            if lots != 0 and (at in self.closing or (self.killed and self.flattens)):
                actions.append(("close", None, at))
        return actions

    def _account_cause(self, equity: Fraction | None) -> str | None:
        config = self.config
        if equity is not None:
            self.equities.append((self.now_ns, equity))
            peak = max(value for _, value in self.equities)
            today = self.now_ns // DAY_NS
            before = [value for ts_ns, value in self.equities if ts_ns // DAY_NS < today]
            morning = before[-1] if before else self.equities[0][1]
            for name, start in (("drawdown", peak), ("daily_loss", morning)):
                loss, base = start - equity, max(start, Fraction(0))
                most = self._limit(getattr(config, f"{name}_max_usd"))
                share = self._limit(getattr(config, f"{name}_max_percent"))
                if loss > 0 and (
                    (most is not None and loss >= most)
                    or (share is not None and loss * 100 >= share * base)
                ):
                    return name
        most = config.losing_trades_max
        if most is not None and len(self.trips) >= most and max(self.trips[-most:]) < 0:
            return "losing_trades"
        return None

    def _is_stopped(self, at: int) -> bool:
        unrealized = self.unrealized[at]
        if unrealized is None or unrealized >= 0:
            return False
        share = self._limit(self._of(at, "stop_loss_percent"))
        if share is not None and -unrealized * 100 >= share * abs(self.entry_values[at]):
            return True
        most, rate = self._limit(self._of(at, "stop_loss_usd")), self.quotes_usd[at]
        if most is None or rate is None:
            return False
        if self.instruments[at].kind == "inverse":
            mid = self.mids[at]
            return mid is not None and -unrealized * mid * rate >= most
        return -unrealized * rate >= most

    # Figures.

    def _list_counts(self, order: Order) -> int:
        """Lots that a list's live orders count already; nothing for an order without one."""
        if order.oco is None:
            return 0
        ids = range(order.oco[0], sum(order.oco))
        return max(
            (
                live.may_fill()
                for order_id, live in self.live.items()
                if order_id in ids and _kind(live.order) == _kind(order)
            ),
            default=0,
        )

    def _open_lots(self, at: int, *, buy: bool, reduce_only: bool) -> int:
        total, lists = 0, {}
        for live in self.live.values():
            order = live.order
            if order.instrument != at or _kind(order) != (buy, reduce_only):
                continue
            if order.oco is None:
                total += live.may_fill()
            else:
                lists[order.oco] = max(lists.get(order.oco, 0), live.may_fill())
        return total + sum(lists.values())

    def _reach(self, at: int, buy: bool) -> int:
        position = self.positions[at] if buy else -self.positions[at]
        used_up = self._open_lots(at, buy=buy, reduce_only=True)
        if position < 0:
            position = min(position + used_up, 0)
        return position + self._open_lots(at, buy=buy, reduce_only=False)

    def _gross_lots(self, at: int) -> int:
        return max(self._reach(at, buy=True), self._reach(at, buy=False))

    def _exposure(self, at: int, lots: int) -> Fraction:
        return self._usd(at, self.mids[at], lots)

    def _usd(self, at: int, px: Fraction | None, lots: int) -> Fraction:
        if lots == 0:
            return Fraction(0)
        inverse = self.instruments[at].kind == "inverse"
        rate = self.quotes_usd[at]
        if rate is None or (px is None and not inverse):
            raise Unpriced
        quote = self._qty(at, lots) * Fraction(self.instruments[at].contract_size)
        return quote * rate if inverse else quote * px * rate

    def _acting_px(self, order: Order, *, at_limit: bool = True) -> Fraction | None:
        """The limit price, or else the price around which the order acts."""
        tick = Fraction(self.instruments[order.instrument].tick)
        if at_limit and order.px_ticks is not None:
            return order.px_ticks * tick
        if order.trigger_px_ticks is not None:
            return order.trigger_px_ticks * tick
        return self.mids[order.instrument]

    def _bps_through(self, order: Order) -> Fraction:
        around = self._acting_px(order, at_limit=False)
        limit = self._acting_px(order)
        if around is None or limit is None:
            raise Unpriced
        return (limit / around - 1) * (10_000 if order.buy else -10_000)

    def _is_too_fast(self, ahead: int) -> bool:
        for every, most in self.config.order_rates.items():
            since = self.now_ns - duration_ns(every)
            if sum(ts_ns > since for ts_ns in self.sent) + ahead >= most:
                return True
        return False

    def _is_below_minimum(self, order: Order) -> bool:
        instrument = self.instruments[order.instrument]
        if order.px_ticks is None or order.reduce_only or instrument.notional_min is None:
            return False
        quote = self._qty(order.instrument, order.qty_lots) * Fraction(instrument.contract_size)
        px = order.px_ticks * Fraction(instrument.tick)
        notional = quote if instrument.kind == "inverse" else quote * px
        return notional < Fraction(instrument.notional_min)

    def _of(self, at: int, key: str) -> str | int | None:
        own = self.config.instruments.get(self.instruments[at].id)
        found = None if own is None else getattr(own, key)
        return getattr(self.config.each, key) if found is None else found

    def _is_over(self, value: Any, limit: str | int | None, priced: Order | None = None) -> bool:
        """Whether a figure, worked out only if there is a limit, is above it."""
        if limit is None or (priced is not None and priced.px_ticks is None):
            return False
        return (value() if callable(value) else value) > Fraction(limit)

    @staticmethod
    def _limit(text: str | int | None) -> Fraction | None:
        return None if text is None else Fraction(text)

    def _lots(self, at: int, key: str) -> Fraction:
        return Fraction(getattr(self.instruments[at], key)) / Fraction(self.instruments[at].lot)

    def _qty(self, at: int, lots: int) -> Fraction:
        return lots * Fraction(self.instruments[at].lot)

    def _index(self, name: str) -> int:
        return [instrument.id for instrument in self.instruments].index(name)


def _kind(order: Order) -> tuple[bool, bool]:
    return order.buy, order.reduce_only
