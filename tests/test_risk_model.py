"""The core's risk engine against the plain one of `tests/oracles/risk.py`, step by step."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from engine import _core
from engine.config import GroupRiskConfig, InstrumentRiskConfig, RiskConfig
from engine.risk import build_limits
from tests.market import LINEAR
from tests.oracles.risk import DAY_NS, Order, PlainRisk

INSTRUMENTS = [
    dataclasses.replace(LINEAR, lot="1", qty_min="2", qty_max="60", tick="0.5"),
    dataclasses.replace(LINEAR, id="Y.TEST", base="Y", lot="0.1", qty_min="0.1", qty_max="90"),
    dataclasses.replace(
        LINEAR, id="Z.TEST", base="Z", kind="inverse", contract_size="10", lot="1", qty_min="1"
    ),
    dataclasses.replace(LINEAR, id="XY.TEST", quote="Y", kind="spot", lot="1", qty_min="1"),
]
MONEY, RATE = 10**12, 10**9
SECOND = 10**9


class Both:
    """The core's engine and the plain one, told the same; each operation compares the answers."""

    def __init__(self, config: RiskConfig) -> None:
        self.core = _core.RiskEngine(INSTRUMENTS, build_limits(config, INSTRUMENTS))
        self.plain = PlainRisk(INSTRUMENTS, config)
        self.seen: Counter[str | None] = Counter()
        self.next_id = 1
        self.nets = [0] * len(INSTRUMENTS)
        self.wait(7 * DAY_NS - SECOND)

    def wait(self, ns: int) -> None:
        self.plain.now_ns += ns
        self.core.set_now(self.plain.now_ns)

    def price(self, at: int, mid_px_x2: int | None, quote_usd: int | None) -> None:
        tick = Fraction(INSTRUMENTS[at].tick)
        self.plain.mids[at] = None if mid_px_x2 is None else mid_px_x2 * tick / 2
        self.plain.quotes_usd[at] = None if quote_usd is None else Fraction(quote_usd, RATE)
        self.core.set_prices(at, mid_px_x2, quote_usd)

    def profit(self, at: int, entry_value: int, unrealized: int | None) -> None:
        self.plain.entry_values[at] = Fraction(entry_value, MONEY)
        self.plain.unrealized[at] = None if unrealized is None else Fraction(unrealized, MONEY)
        self.core.set_profit(at, entry_value, unrealized)

    def position(self, at: int, lots: int, profit: int) -> None:
        self.nets[at] += profit
        self.plain.on_position(at, lots, Fraction(self.nets[at], MONEY))
        self.core.on_position(at, lots, self.nets[at])

    def order(self, order: Order, ahead: int = 0, is_covered: bool = True) -> None:
        code = self.plain.check(order, ahead, is_covered)
        assert self.core.check(order, ahead, is_covered) == code
        self.seen[code] += 1
        if code is None:
            for engine in (self.plain, self.core):
                engine.on_submit(self.next_id, order)
            self.next_id += 1

    def pair(self, first: Order, qty_lots: int) -> None:
        """Two orders that cancel one another, as far as they may be sent."""
        oco = (self.next_id, 2)
        self.order(dataclasses.replace(first, oco=oco))
        if self.next_id > oco[0]:
            self.order(dataclasses.replace(first, oco=oco, qty_lots=qty_lots))
        self.next_id = oco[0] + 2

    def modify(self, order_id: int, px_ticks: int, qty_lots: int) -> None:
        live = self.plain.live[order_id].order
        px_ticks = live.px_ticks and px_ticks
        wanted = dataclasses.replace(live, px_ticks=px_ticks, qty_lots=qty_lots)
        code = self.plain.check_modify(order_id, wanted)
        assert self.core.check_modify(order_id, wanted) == code
        self.seen[code] += 1
        if code is None:
            for engine in (self.plain, self.core):
                engine.on_modify(order_id, qty_lots)

    def answer(self, order_id: int, *, accept: bool) -> None:
        """The oldest change under way is accepted or refused."""
        live = self.plain.live[order_id]
        if live.changes:
            qty_lots = live.asked[-live.changes] if accept else None
            for engine in (self.plain, self.core):
                engine.on_modify_answer(order_id, qty_lots)

    def fill(self, order_id: int, lots: int, profit: int) -> None:
        live = self.plain.live[order_id]
        lots = min(lots, live.qty_lots - live.filled_lots)
        if lots <= 0:
            self.done(order_id)
            return
        for engine in (self.plain, self.core):
            engine.on_fill(order_id, lots)
        at = live.order.instrument
        signed = lots if live.order.buy else -lots
        self.position(at, self.plain.positions[at] + signed, profit)
        if live.filled_lots == live.qty_lots:
            self.done(order_id)

    def done(self, order_id: int) -> None:
        for engine in (self.plain, self.core):
            engine.on_done(order_id)

    def look(self, equity_usd: int | None) -> None:
        self.core.set_equity(None if equity_usd is None else equity_usd * MONEY)
        actions = self.plain.evaluate(None if equity_usd is None else Fraction(equity_usd))
        assert self.core.evaluate() == actions
        for action, cause, _ in actions:
            self.seen[f"{action} {cause}"] += 1

    def kill(self, *, flatten: bool) -> None:
        first = self.plain.end_trading("strategy", flatten=flatten)
        assert self.core.end_trading("told to", flatten) == first


# Small numbers, so that limits are met at their edges; every limit is set or not by itself.
def limit(values: Any) -> st.SearchStrategy[str | None]:
    return st.one_of(st.none(), values.map(str))


small = st.integers(0, 40)
dollars = st.integers(0, 4_000)
losses = st.integers(1, 300)
percents = st.integers(1, 100)

instrument_limits = st.builds(
    InstrumentRiskConfig,
    order_qty_max=limit(st.decimals(1, 40, places=1)),
    order_notional_max_usd=limit(dollars),
    px_through_max_bps=limit(st.integers(0, 300)),
    px_away_max_bps=limit(st.integers(0, 1_500)),
    open_orders_max=st.none() | st.integers(1, 4),
    position_qty_max=limit(st.decimals(0, 50, places=1)),
    exposure_max_usd=limit(dollars),
    stop_loss_usd=limit(losses),
    stop_loss_percent=limit(percents),
)
group_limits = st.builds(
    GroupRiskConfig,
    instruments=st.lists(st.sampled_from([i.id for i in INSTRUMENTS]), min_size=1, unique=True),
    gross_max_usd=limit(dollars),
    net_max_usd=limit(dollars),
)
configs = st.builds(
    RiskConfig,
    each=instrument_limits,
    instruments=st.dictionaries(
        st.sampled_from([i.id for i in INSTRUMENTS]), instrument_limits, max_size=2
    ),
    groups=st.dictionaries(st.sampled_from("AB"), group_limits),
    open_orders_max=st.none() | st.integers(2, 8),
    order_rates=st.dictionaries(st.sampled_from(["1s", "5s", "1m"]), st.integers(1, 6)),
    gross_max_usd=limit(dollars),
    net_max_usd=limit(dollars),
    concentration_max_percent=limit(percents),
    concentration_floor_usd=st.integers(0, 2_000).map(str),
    drawdown_max_usd=limit(losses),
    drawdown_max_percent=limit(percents),
    daily_loss_max_usd=limit(losses),
    daily_loss_max_percent=limit(percents),
    losing_trades_max=st.none() | st.integers(1, 4),
    flatten=st.booleans(),
)

indices = st.integers(0, len(INSTRUMENTS) - 1)
orders = st.builds(
    Order,
    instrument=indices,
    buy=st.booleans(),
    px_ticks=st.none() | st.integers(0, 120),
    qty_lots=st.integers(0, 70),
    reduce_only=st.sampled_from([False, False, False, True]),
    trigger_px_ticks=st.none() | st.integers(80, 120),
)
profits = st.integers(-20, 20).map(lambda usd: usd * MONEY)


class Machine(RuleBasedStateMachine):
    """Any operations in any order."""

    @initialize(config=configs)
    def begin(self, config: RiskConfig) -> None:
        self.both = Both(config)
        for at in range(len(INSTRUMENTS)):
            self.both.price(at, 200, RATE)

    def some_order(self, data: st.DataObject) -> int | None:
        live = sorted(self.both.plain.live)
        return data.draw(st.sampled_from(live)) if live else None

    @rule(order=orders, ahead=st.integers(0, 3), is_covered=st.booleans())
    def order(self, order: Order, ahead: int, is_covered: bool) -> None:
        self.both.order(order, ahead, is_covered)

    @rule(order=orders)
    def order_again(self, order: Order) -> None:
        self.both.order(order)

    @rule(order=orders, qty_lots=small)
    def pair(self, order: Order, qty_lots: int) -> None:
        self.both.pair(order, qty_lots)

    @rule(data=st.data(), px_ticks=st.integers(80, 120), qty_lots=small)
    def modify(self, data: st.DataObject, px_ticks: int, qty_lots: int) -> None:
        if (order_id := self.some_order(data)) is not None:
            self.both.modify(order_id, px_ticks, qty_lots)

    @rule(data=st.data(), accept=st.booleans())
    def answer(self, data: st.DataObject, accept: bool) -> None:
        if (order_id := self.some_order(data)) is not None:
            self.both.answer(order_id, accept=accept)

    @rule(data=st.data(), lots=st.integers(1, 40), profit=profits)
    def fill(self, data: st.DataObject, lots: int, profit: int) -> None:
        if (order_id := self.some_order(data)) is not None:
            self.both.fill(order_id, lots, profit)

    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        if (order_id := self.some_order(data)) is not None:
            self.both.done(order_id)

    @rule(at=indices, lots=st.integers(-60, 60), profit=profits)
    def position(self, at: int, lots: int, profit: int) -> None:
        self.both.position(at, lots, profit)

    @rule(
        at=indices,
        mid_px_x2=st.none() | st.integers(1, 400),
        quote_usd=st.none() | st.sampled_from([RATE, RATE // 4, 60_000 * RATE + RATE // 2]),
    )
    def price(self, at: int, mid_px_x2: int | None, quote_usd: int | None) -> None:
        self.both.price(at, mid_px_x2, quote_usd)

    @rule(at=indices, entry_value=profits, unrealized=st.none() | profits)
    def profit(self, at: int, entry_value: int, unrealized: int | None) -> None:
        self.both.profit(at, entry_value, unrealized)

    @rule(ns=st.sampled_from([0, 1, SECOND - 1, SECOND, 5 * SECOND, DAY_NS // 2, DAY_NS]))
    def wait(self, ns: int) -> None:
        self.both.wait(ns)

    @rule(equity_usd=st.none() | st.integers(-100, 1_000))
    def look(self, equity_usd: int | None) -> None:
        self.both.look(equity_usd)

    @rule(flatten=st.booleans(), really=st.integers(0, 9))
    def kill(self, flatten: bool, really: int) -> None:
        if really == 0:
            self.both.kill(flatten=flatten)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


def test_long_runs_meet_every_limit() -> None:
    """60,000 operations over configurations in which each limit is set in turn."""
    seen: Counter[str | None] = Counter()
    operations = 0
    for seed in range(400):
        source = random.Random(seed)
        both = Both(random_config(source))
        for at in range(len(INSTRUMENTS)):
            both.price(at, 200, RATE)
        for _ in range(150):
            random_operation(source, both)
            operations += 1
        seen += both.seen
    assert operations == 60_000
    codes = {name for name, _ in _core.REJECT_CODES if name.startswith("RISK_")}
    met = {name: seen[name] for name in codes}
    assert min(met.values()) >= 5, met
    for cause in ("drawdown", "daily_loss", "losing_trades"):
        assert seen[f"kill {cause}"] >= 3, cause
    assert seen["stop stop_loss"] >= 10
    assert seen[None] > 1_000


def random_config(source: random.Random) -> RiskConfig:
    def some(low: int, high: int, *, text: bool = True) -> Any:
        value = source.randint(low, high)
        return (str(value) if text else value) if source.random() < 0.15 else None

    def each() -> InstrumentRiskConfig:
        return InstrumentRiskConfig(
            order_qty_max=some(10, 50),
            order_notional_max_usd=some(1_000, 5_000),
            px_through_max_bps=some(0, 300),
            px_away_max_bps=some(0, 900),
            open_orders_max=some(1, 4, text=False),
            position_qty_max=some(10, 60),
            exposure_max_usd=some(1_000, 6_000),
            stop_loss_usd=some(1, 20),
            stop_loss_percent=some(1, 100),
        )

    def group() -> GroupRiskConfig:
        return GroupRiskConfig(
            instruments=source.sample([i.id for i in INSTRUMENTS], 2),
            gross_max_usd=some(1_000, 9_000),
            net_max_usd=some(1_000, 9_000),
        )

    return RiskConfig(
        each=each(),
        instruments={source.choice(INSTRUMENTS).id: each()},
        groups={"A": group(), "B": group()},
        open_orders_max=some(2, 8, text=False),
        order_rates={"5s": source.randint(1, 6)} if source.random() < 0.2 else {},
        gross_max_usd=some(1_000, 9_000),
        net_max_usd=some(1_000, 9_000),
        concentration_max_percent=some(20, 90),
        concentration_floor_usd=str(source.randint(0, 3_000)),
        drawdown_max_usd=some(50, 400),
        drawdown_max_percent=some(10, 80),
        daily_loss_max_usd=some(50, 400),
        daily_loss_max_percent=some(10, 80),
        losing_trades_max=some(1, 3, text=False),
        flatten=source.random() < 0.5,
    )


def random_operation(source: random.Random, both: Both) -> None:
    live = sorted(both.plain.live)
    at = source.randrange(len(INSTRUMENTS))
    order = Order(
        instrument=at,
        buy=source.random() < 0.5,
        px_ticks=source.choice([None, 100, source.randint(90, 110)]),
        qty_lots=source.randint(2, 60),
        reduce_only=source.random() < 0.1,
        trigger_px_ticks=source.choice([None, None, None, source.randint(90, 110)]),
    )
    kind = source.random()
    if kind < 0.35:
        both.order(order, source.choice([0, 0, 0, 1, 2]), source.random() < 0.9)
    elif kind < 0.4:
        both.pair(order, source.randint(2, 60))
    elif kind < 0.5:
        both.wait(source.choice([1, SECOND, 5 * SECOND, DAY_NS // 3]))
    elif kind < 0.55:
        mid = None if source.random() < 0.1 else source.randint(180, 220)
        both.price(at, mid, source.choice([None, *[RATE] * 9, RATE // 4]))
    elif kind < 0.6:
        both.look(source.choice([None, source.randint(500, 1_000)]))
    elif kind < 0.63:
        both.profit(at, source.randint(1, 50) * MONEY, source.randint(-20, 20) * MONEY)
    elif kind < 0.633:
        both.kill(flatten=source.random() < 0.5)
    elif live:
        order_id = source.choice(live)
        if kind < 0.72:
            both.modify(order_id, source.randint(90, 110), source.randint(2, 60))
        elif kind < 0.78:
            both.answer(order_id, accept=source.random() < 0.7)
        elif kind < 0.92:
            both.fill(order_id, source.randint(1, 60), source.randint(-20, 20) * MONEY)
        else:
            both.done(order_id)


def test_another_limit_is_seen() -> None:
    """The canary: the comparison can fail."""
    both = Both(RiskConfig(each=InstrumentRiskConfig(position_qty_max="10")))
    both.plain.config.each.position_qty_max = "11"
    with pytest.raises(AssertionError):
        both.order(Order(0, buy=True, px_ticks=100, qty_lots=11))
