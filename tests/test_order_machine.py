"""Random lives of orders of every type, step by step: the kernel against the plain exchange.

After each step the whole history is run again and every order's status, fills and code, as the
strategy knows them, are those of `tests/oracles/orders.py`. Times lie on a coarse grid and requests
take their time, so that requests cross fills, triggers and one another, and come at the very moment
of the data.
"""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from engine import SEQ_NONE
from engine.config import LatencyConfig
from engine.peers import cobalt_orders
from engine.peers.order_types import (
    Bracket,
    Cancel,
    CancelAll,
    Command,
    Modify,
    New,
    Oco,
    placed,
)
from tests.market import ASK, BID, DELTA, SNAPSHOT, START, TRADE, message
from tests.oracles import order_replay
from tests.parity.feed import INSTRUMENT

GRID_NS = 500_000
SETTLED_NS = 20 * GRID_NS

ticks = st.integers(-6, 6)
lots = st.integers(1, 9)
sides = st.sampled_from(("buy", "sell"))
sizes = st.lists(st.integers(0, 6), min_size=4, max_size=4)
waits = st.sampled_from((0, 0, 1, 1, 2, 3)).map(lambda steps: steps * GRID_NS)
latencies = st.sampled_from((0, 1, 2, 4)).map(lambda steps: steps * GRID_NS)


def other(side: Any) -> Any:
    return "sell" if side == "buy" else "buy"


class OrderMachine(RuleBasedStateMachine):
    """A market around 1,000 ticks and what its only trader asks for."""

    plain_late_ns = 0

    def __init__(self) -> None:
        super().__init__()
        self.depth: list[np.ndarray] = []
        self.trades: list[np.ndarray] = []
        self.commands: list[Command] = []
        self.book: dict[tuple[int, int], int] = {}
        self.seq = 1
        self.now_ns = START
        self.mid = 1_000

    @initialize(
        fill=st.sampled_from(("walk", "walk", "partial", "no_partial")),
        entry_ns=latencies,
        response_ns=latencies,
        lag_ns=latencies,
        bids=sizes,
        asks=sizes,
    )
    def begin(
        self, fill: Any, entry_ns: int, response_ns: int, lag_ns: int, bids: Any, asks: Any
    ) -> None:
        self.fill, self.entry_ns, self.response_ns = fill, entry_ns, response_ns
        self.lag_ns = lag_ns
        self._publish(self._wanted(0, bids, asks), SNAPSHOT)
        # The strategy begins with the first row received.
        self.now_ns += lag_ns + GRID_NS

    # The market

    @rule(wait=waits, shift=st.integers(-3, 3), gap=st.integers(0, 2), bids=sizes, asks=sizes)
    def move(self, wait: int, shift: int, gap: int, bids: Any, asks: Any) -> None:
        self.now_ns += wait
        self.mid += shift
        self._publish(self._wanted(gap, bids, asks), DELTA)

    @rule(wait=waits, side=st.sampled_from((BID, ASK)), away=st.integers(0, 3), qty=sizes)
    def refresh(self, wait: int, side: int, away: int, qty: Any) -> None:
        """One level is sent anew, changed or not."""
        self.now_ns += wait
        levels = sorted(px for at, px in self.book if at == side)
        if levels:
            px = levels[::-1][away % len(levels)] if side == BID else levels[away % len(levels)]
            self._set({(side, px): qty[0] or self.book[side, px]})

    @rule(wait=waits, side=st.sampled_from((0, BID, ASK)), away=ticks, qty=lots)
    def trade(self, wait: int, side: int, away: int, qty: int) -> None:
        self._trade(wait, side, self.mid + away, qty)

    @precondition(lambda self: any(new.px_ticks for new in placed(self.commands).values()))
    @rule(wait=waits, back=st.integers(0, 3), qty=lots)
    def trade_against(self, wait: int, back: int, qty: int) -> None:
        """A trade at the price of one of our limit orders."""
        orders = [new for new in placed(self.commands).values() if new.px_ticks]
        new = orders[-1 - back % len(orders)]
        self._trade(wait, ASK if new.side == "buy" else BID, new.px_ticks or 0, qty)

    @rule(wait=waits, is_lost=st.booleans(), bids=sizes, asks=sizes)
    def start_over(self, wait: int, is_lost: bool, bids: Any, asks: Any) -> None:
        """A message is lost, so that the book is suspect; or a snapshot comes."""
        self.now_ns += wait
        self.seq += is_lost
        self._publish(self._wanted(0, bids, asks), DELTA if is_lost else SNAPSHOT)

    # The trader

    @rule(
        wait=waits,
        side=sides,
        qty=lots,
        tif=st.sampled_from(("GTC", "IOC", "FOK")),
        reduce=st.booleans(),
    )
    def send_market(self, wait: int, side: Any, qty: int, tif: Any, reduce: bool) -> None:
        self._send(wait, side, "market", qty, tif=tif, reduce_only=reduce)

    @rule(
        wait=waits,
        side=sides,
        qty=lots,
        away=ticks,
        terms=st.sampled_from(
            (
                {},
                {},
                {"post_only": True},
                {"tif": "IOC"},
                {"tif": "FOK"},
                {"display_lots": 1},
                {"reduce_only": True},
                {"expire_ns": 2 * GRID_NS},
                {"expire_ns": 5 * GRID_NS},
            )
        ),
    )
    def send_limit(self, wait: int, side: Any, qty: int, away: int, terms: Any) -> None:
        given = dict(terms)
        if "expire_ns" in given:
            given |= {"tif": "GTD", "expire_ns": self.now_ns + wait + given["expire_ns"]}
        self._send(wait, side, "limit", qty, px_ticks=self.mid + away, **given)

    @rule(
        wait=waits,
        side=sides,
        qty=lots,
        away=ticks,
        beyond=st.sampled_from((None, -1, 0, 2)),
        family=st.sampled_from(("stop", "take_profit")),
        by=st.sampled_from(("bid_ask", "last", "mark")),
        reduce=st.booleans(),
    )
    def send_conditional(
        self,
        wait: int,
        side: Any,
        qty: int,
        away: int,
        beyond: int | None,
        family: str,
        by: Any,
        reduce: bool,
    ) -> None:
        trigger = self.mid + away
        px = None if beyond is None else trigger + (beyond if side == "buy" else -beyond)
        kind: Any = f"{family}_{'market' if px is None else 'limit'}"
        prices = {"trigger_ticks": trigger, "px_ticks": px}
        self._send(wait, side, kind, qty, **prices, trigger_by=by, reduce_only=reduce)

    @rule(
        wait=waits,
        side=sides,
        qty=lots,
        trail=st.sampled_from(({"trail_ticks": 1}, {"trail_ticks": 3}, {"trail_bps": 20})),
        activate=st.none() | ticks,
        by=st.sampled_from(("bid_ask", "last", "mark")),
    )
    def send_trailing(
        self, wait: int, side: Any, qty: int, trail: Any, activate: int | None, by: Any
    ) -> None:
        begin = None if activate is None else self.mid + activate
        self._send(wait, side, "trailing_stop", qty, **trail, activation_ticks=begin, trigger_by=by)

    @rule(wait=waits, side=sides, qty=lots, px=ticks, trigger=ticks)
    def send_oco(self, wait: int, side: Any, qty: int, px: int, trigger: int) -> None:
        self.now_ns += wait
        limit = self._new(side, "limit", qty, px_ticks=self.mid + px)
        stop = self._new(side, "stop_market", qty, 1, trigger_ticks=self.mid + trigger)
        self.commands.append(Oco(limit, stop))

    @rule(
        wait=waits,
        side=sides,
        qty=lots,
        entry=st.none() | ticks,
        stop=st.integers(1, 5),
        profit=st.integers(1, 5),
    )
    def send_bracket(
        self, wait: int, side: Any, qty: int, entry: int | None, stop: int, profit: int
    ) -> None:
        self.now_ns += wait
        sign = 1 if side == "buy" else -1
        px = None if entry is None else self.mid + entry
        first = self._new(side, "market" if px is None else "limit", qty, px_ticks=px)
        out = other(side)
        trigger, limit = self.mid - sign * stop, self.mid + sign * profit
        last = (
            self._new(out, "stop_market", qty, 1, trigger_ticks=trigger, reduce_only=True),
            self._new(out, "limit", qty, 2, px_ticks=limit, reduce_only=True),
        )
        self.commands.append(Bracket(first, *last))

    @precondition(lambda self: self.commands)
    @rule(wait=waits, back=st.integers(0, 5))
    def cancel(self, wait: int, back: int) -> None:
        self.now_ns += wait
        self.commands.append(Cancel(self.now_ns, self._recent(back).order_id))

    @precondition(lambda self: self.commands)
    @rule(wait=waits)
    def cancel_all(self, wait: int) -> None:
        self.now_ns += wait
        self.commands.append(CancelAll(self.now_ns))

    @precondition(lambda self: self.commands)
    @rule(wait=waits, back=st.integers(0, 5), qty=st.none() | lots, px=st.none() | ticks)
    def modify(self, wait: int, back: int, qty: int | None, px: int | None) -> None:
        self.now_ns += wait
        new = self._recent(back)
        change: dict[str, Any] = {}
        if px is not None and new.px_ticks is not None:
            change["px_ticks"] = self.mid + px
        if px is not None and new.trigger_ticks is not None:
            change["trigger_ticks"] = self.mid + px
        if qty is not None:
            change["qty_lots"] = qty
        if change:
            self.commands.append(Modify(self.now_ns, new.order_id, **change))

    # What has to hold

    @invariant()
    def every_order_stands_where_the_plain_exchange_has_it(self) -> None:
        if not self.depth:
            return
        end = message(DELTA, self.now_ns + SETTLED_NS, self.seq + 1, [(0, 0, 0)])
        end["ts_recv_ns"] = self.now_ns + SETTLED_NS + self.lag_ns
        depth = np.concatenate([*self.depth, end])
        trades = np.concatenate([*self.trades, message(TRADE, START, 0, [(0, 0, 0)])[:0]])
        plain = order_replay.run(
            depth,
            trades,
            self.commands,
            order_entry_ns=self.entry_ns + self.plain_late_ns,
            fill=self.fill,
        )
        ours = cobalt_orders.run_commands(
            depth,
            trades,
            self.commands,
            INSTRUMENT,
            fill=self.fill,
            latency=LatencyConfig(self.entry_ns, self.response_ns),
        )
        assert {at: _told(fate) for at, fate in ours.items()} == {
            at: _told(fate) for at, fate in sorted(plain.fates.items())
        }

    def _wanted(self, gap: int, bids: list[int], asks: list[int]) -> dict[tuple[int, int], int]:
        """The book around the mid: four levels a side, empty ones among them."""
        levels = {(BID, self.mid - 1 - gap - at): qty for at, qty in enumerate(bids)}
        return levels | {(ASK, self.mid + 1 + at): qty for at, qty in enumerate(asks)}

    def _publish(self, wanted: dict[tuple[int, int], int], kind: int) -> None:
        if kind == SNAPSHOT:
            self.book.clear()
        gone = {key: 0 for key in self.book if key not in wanted}
        changed = {key: qty for key, qty in wanted.items() if self.book.get(key, 0) != qty}
        self._set(gone | changed, kind)

    def _set(self, levels: dict[tuple[int, int], int], kind: int = DELTA) -> None:
        self.seq += 1
        rows = [(side, px, qty) for (side, px), qty in levels.items()] or [(0, 0, 0)]
        out = message(kind, self.now_ns, self.seq, rows)
        out["ts_recv_ns"] = self.now_ns + self.lag_ns
        assert kind == SNAPSHOT or out["prev_seq"][0] != SEQ_NONE
        self.depth.append(out)
        for key, qty in levels.items():
            self.book[key] = qty
        self.book = {key: qty for key, qty in self.book.items() if qty}

    def _trade(self, wait: int, side: int, px: int, qty: int) -> None:
        self.now_ns += wait
        rows = message(TRADE, self.now_ns, 1 + len(self.trades), [(side, px, qty)])
        rows["ts_recv_ns"] = self.now_ns + self.lag_ns
        self.trades.append(rows)

    def _send(self, wait: int, side: Any, kind: Any, qty: int, **given: Any) -> None:
        self.now_ns += wait
        self.commands.append(self._new(side, kind, qty, **given))

    def _new(self, side: Any, kind: Any, qty: int, after: int = 0, **given: Any) -> New:
        order_id = 1 + len(placed(self.commands)) + after
        return New(self.now_ns, order_id, side, kind, qty, **given)

    def _recent(self, back: int) -> New:
        orders = list(placed(self.commands).values())
        return orders[-1 - back % len(orders)]


def _told(fate: Any) -> tuple[Any, ...]:
    """What is compared of an order: the code where it has ended, else what it asks for now."""
    if fate.status in ("canceled", "expired", "rejected"):
        return fate.status, fate.fills, fate.reason
    if fate.status == "filled":
        return fate.status, fate.fills
    return fate.status, fate.fills, fate.qty_lots, fate.px_ticks


class LateMachine(OrderMachine):
    """The plain exchange gets requests later than the kernel."""

    plain_late_ns = 1


def test_a_difference_is_found() -> None:
    """The canary: the machine fails where the two do not agree."""
    small = settings(max_examples=200, stateful_step_count=20, deadline=None, database=None)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(LateMachine, settings=small)


TestOrderMachine = OrderMachine.TestCase
TestOrderMachine.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
