"""Runs under limits, on quotes made by hand."""

from __future__ import annotations

import dataclasses

import numpy as np

from engine import Strategy
from engine.backtest import Backtest
from engine.config import GroupRiskConfig, InstrumentRiskConfig, LatencyConfig, RiskConfig
from engine.results import MemorySink
from tests import market
from tests.market import ASK, BID, LINEAR, SECOND, SNAPSHOT, START

MS = 1_000_000
ID = LINEAR.id
OTHER = dataclasses.replace(LINEAR, id="Y-PERP.TEST", base="Y")
TWO = {"instruments": (LINEAR, OTHER)}
INVERSE = dataclasses.replace(
    LINEAR, id="X-INV.TEST", kind="inverse", lot="1", qty_min="1", contract_size="10"
)


class Script(Strategy):
    """Does what `steps` say, by seconds after the first snapshot; writes down what it is told."""

    def __init__(self, steps):
        super().__init__(None)
        self.steps = steps if isinstance(steps, dict) else {0.5: steps}
        self.told, self.risk = [], []

    def on_start(self):
        for at in self.steps.keys() - {"stop"}:
            self.set_timer(str(at), at=START + int(at * SECOND))

    def on_timer(self, timer):
        self.steps[float(timer.name)](self)

    def on_order(self, order):
        code = f" {order.reject_code}" if order.reject_code else ""
        self.told.append(f"{order.id} {order.status}{code}")

    def on_fill(self, fill):
        self.told.append(f"{fill.order_id} {fill.side} {fill.qty} @ {fill.px}")

    def on_risk(self, event):
        self.risk.append(event)

    def on_stop(self):
        self.steps.get("stop", lambda _: None)(self)


def quotes(*path, until=10):
    """Depth with one level a side, 10 units each: (second, bid, ask), until a last second."""
    parts = []
    for seq, (at, bid, ask) in enumerate([*path, (until, *path[-1][1:])], 1):
        levels = [(BID, round(bid * 10), 10_000), (ASK, round(ask * 10), 10_000)]
        parts.append(market.message(SNAPSHOT, START + int(at * SECOND), seq, levels))
    return np.concatenate(parts)


def run(steps, risk=None, depths=None, trades=(), instruments=(LINEAR,), **settings):
    """A run; prices stand at 99.9 and 100.1 unless `depths` say otherwise. Answers take 30 ms."""
    depths = [quotes((0, 99.9, 100.1))] * len(instruments) if depths is None else depths
    feeds = {}
    for instrument, depth in zip(instruments, depths, strict=True):
        feeds[instrument.id, "depth"] = [depth]
    feeds[instruments[0].id, "trades"] = [market.trades(list(trades))]
    settings = {
        "latency": LatencyConfig(order_entry_ns=10 * MS, response_ns=20 * MS),
        "cash": {"USD": "1000"},
        **settings,
    }
    strategy = Script(steps)
    backtest = Backtest(list(instruments), strategy, feeds, risk=risk, **settings)
    sink = MemorySink({"USD": 1000.0}, SECOND)
    backtest.run(sink)
    strategy.kernel, strategy.tables = backtest.kernel, sink.tables
    return strategy


def limits(**each):
    return RiskConfig(each=InstrumentRiskConfig(**each))


def group(**limits):
    return RiskConfig(groups={"XY": GroupRiskConfig([ID, OTHER.id], **limits)})


def modify(**changes):
    """A step that changes the first order."""
    return lambda strategy: strategy.modify(1, **changes)
