"""Whole runs under margin against plain fractions: who may order what, who is liquidated and what
is left of it, over two perpetuals of one currency, an inverse one and its margin's spot market.
"""

from __future__ import annotations

import dataclasses
import random
from fractions import Fraction

import numpy as np
import pytest

from engine import Strategy
from engine.backtest import Backtest
from engine.config import AccountConfig, LatencyConfig
from engine.instruments import Bracket
from tests import market
from tests.market import ASK, BID, LINEAR, SECOND, SNAPSHOT, START
from tests.oracles.margin import Account, Held

BRACKETS = [
    Bracket("0", "20000", "0.01", "0", 50),
    Bracket("20000", "100000", "0.02", "200", 20),
    Bracket("100000", "200000", "0.05", "3200", 10),
]
FIRST = dataclasses.replace(
    LINEAR,
    id="A-PERP.TEST",
    base="A",
    brackets=BRACKETS,
    liquidation_fee="0.005",
    qty_max="9999",
    notional_min=None,
)
SECOND_ = dataclasses.replace(FIRST, id="B-PERP.TEST", base="B")
SPOT = dataclasses.replace(FIRST, id="AUSD.TEST", kind="spot", brackets=None, liquidation_fee=None)
# Its margin is the asset that the spot market trades.
INVERSE = dataclasses.replace(
    FIRST,
    id="AUSD-PERP.TEST",
    kind="inverse",
    contract_size="100",
    brackets=[
        Bracket("0", "200", "0.01", "0", 50),
        Bracket("200", "1000", "0.02", "2", 20),
        Bracket("1000", "2000", "0.05", "32", 10),
    ],
)
INSTRUMENTS = (FIRST, SECOND_, SPOT, INVERSE)
LOTS = 10**8
CASH, BASE = 5_000, 20


class Orders(Strategy):
    """Gives orders at their times: second, instrument, whether it buys, quantity (None: cancels
    all), limit.
    """

    def __init__(self, orders):
        super().__init__(None)
        self.todo, self.told = orders, []

    def on_start(self):
        for number, (at, *_) in enumerate(self.todo):
            self.set_timer(str(number), at=START + int(at * SECOND))

    def on_timer(self, timer):
        _, name, buys, qty, limit = self.todo[int(timer.name)]
        if qty is None:
            self.cancel_all(name)
        else:
            (self.buy if buys else self.sell)(name, qty, limit)

    def on_order(self, order):
        code = f" {order.reject_code}" if order.reject_code else ""
        self.told.append(f"{order.id} {order.status}{code}")

    def on_liquidation(self, told):
        self.told.append(
            f"{told.order_id} liquidated {told.qty} {told.taken_over_qty} {told.fee:.9f}"
            f" {told.insurance:.9f}"
        )


def scenario(seed, steps=60):
    """Quotes of every second and orders between them, in ticks and thousandths."""
    source = random.Random(seed)
    jumps = source.choice([3, 12, 40])
    px = {instrument.id: 1_000 for instrument in INSTRUMENTS}
    quotes, orders = [], []
    for at in range(steps):
        for name, before in px.items():
            px[name] = now = max(before + source.randint(-jumps, jumps), 50)
            quotes.append((at, name, now - source.randint(1, 3), now + 1))
        if at < steps - 1 and source.random() < 0.7:
            name = source.choice(list(px))
            lots = source.choice(
                [1_000, 5_000, 20_000, 90_000, 400_000, source.randint(500, 900_000)]
            )
            buys, qty = source.random() < 0.55, f"{lots / 1_000:.3f}"
            # Far below or above all prices, or at market.
            limit = ("2.5" if buys else "300") if source.random() < 0.3 else None
            orders.append((at + 0.5, name, buys, None if source.random() < 0.05 else qty, limit))
    return quotes, orders


def feeds(quotes):
    parts = {instrument.id: [] for instrument in INSTRUMENTS}
    for at, name, bid, ask in quotes:
        levels = [(BID, bid, LOTS), (ASK, ask, LOTS)]
        parts[name].append(market.message(SNAPSHOT, START + at * SECOND, at + 1, levels))
    return {(name, "depth"): [np.concatenate(rows)] for name, rows in parts.items()}


def expected(mode, leverage, quotes, orders):
    tick = Fraction("0.1")
    account = Account(
        mode,
        leverage,
        {"USD": Fraction(CASH), "A": Fraction(BASE)},
        Fraction(LINEAR.taker_fee),
        {instrument.id: Held(instrument) for instrument in INSTRUMENTS},
    )
    events = [(at, 0, (name, bid * tick, ask * tick)) for at, name, bid, ask in quotes]
    events += [(at, 1, order) for at, *order in orders]
    for _, is_order, event in sorted(events, key=lambda event: event[:2]):
        if not is_order:
            account.quote(*event)
            continue
        name, buys, qty, limit = event
        if qty is None:
            account.cancel(name)
        else:
            account.order(name, buys, Fraction(qty), limit and Fraction(limit))
    return account


def run(mode, leverage, quotes, orders):
    strategy = Orders(orders)
    backtest = Backtest(
        INSTRUMENTS,
        strategy,
        feeds(quotes),
        latency=LatencyConfig(order_entry_ns=0, response_ns=0),
        account=AccountConfig(margin=mode, leverage=leverage),
        cash={"USD": str(CASH), "A": str(BASE)},
    )
    backtest.run()
    return strategy, backtest.kernel


def compare(seed, mode, leverage):
    """Runs a scenario both ways; what was told."""
    quotes, orders = scenario(seed)
    account = expected(mode, leverage, quotes, orders)
    strategy, kernel = run(mode, leverage, quotes, orders)
    assert strategy.told == account.told, f"seed {seed}"
    found = [kernel.position(index) for index in range(len(INSTRUMENTS))]
    assert found == [float(held.qty) for held in account.held.values()]
    for currency, balance in account.balance.items():
        profits = [held.profit for held in account.held.values() if held.currency == currency]
        equity = float(balance + sum(profits))
        assert kernel.equity()[currency] == pytest.approx(equity, abs=1e-9), f"seed {seed}"
    return account.told


@pytest.mark.parametrize("mode", ["cross", "isolated"])
@pytest.mark.parametrize("leverage", [3, 20, 50])
def test_runs_equal_plain_fractions(mode, leverage):
    told = [line for seed in range(40) for line in compare(seed, mode, leverage)]
    refused = sum(line.endswith("RISK_FUNDS") for line in told)
    liquidated = sum("liquidated" in line for line in told)
    assert refused > 100
    assert sum(line.endswith("filled") for line in told) > 200
    assert liquidated >= (10 if leverage > 3 else 0)
