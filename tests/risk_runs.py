"""Runs under limits, on quotes made by hand."""

from __future__ import annotations

import dataclasses

import numpy as np

from engine import Strategy, _core
from engine.backtest import Backtest
from engine.config import GroupRiskConfig, InstrumentRiskConfig, LatencyConfig, RiskConfig
from engine.results import MemorySink
from tests import market
from tests.market import ASK, BID, LINEAR, SECOND, SNAPSHOT, START

MS = 1_000_000
MARK, FUNDING = 6, 7
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
        self.told, self.risk, self.liquidations = [], [], []

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

    def on_funding(self, funding):
        self.told.append(f"funding {funding.amount}")

    def on_liquidation(self, told):
        self.told.append(f"{told.order_id} liquidated {told.qty}, {told.taken_over_qty} taken over")
        self.liquidations.append(told)

    def on_stop(self):
        self.steps.get("stop", lambda _: None)(self)


def quotes(*path, until=10, lots=10_000):
    """Depth with one level a side, 10 units each: (second, bid, ask), until a last second."""
    parts = []
    for seq, (at, bid, ask) in enumerate([*path, (until, *path[-1][1:])], 1):
        levels = [(BID, round(bid * 10), lots), (ASK, round(ask * 10), lots)]
        parts.append(market.message(SNAPSHOT, START + int(at * SECOND), seq, levels))
    return np.concatenate(parts)


def rates(kind, rows):
    """Marks (6) as (second, price) or fundings (7) as (second, rate, mark or None) of an
    instrument, received with the market data.
    """
    parts = []
    for at, *values in rows:
        row = market.message(kind, START + int(at * SECOND), 1, [(0, 0, 0)])
        px = values[-1]
        row["px_ticks"] = _core.PX_NONE if px is None else round(px * 1e8)
        row["qty_lots"] = 0 if kind == MARK else round(values[0] * 1e8)
        row["seq"] = row["prev_seq"] = _core.SEQ_NONE
        parts.append(row)
    return np.concatenate(parts)


def run(
    steps,
    risk=None,
    depths=None,
    trades=(),
    instruments=(LINEAR,),
    marks=None,
    fundings=None,
    **settings,
):
    """A run; prices stand at 99.9 and 100.1 unless `depths` say otherwise. Answers take 30 ms.
    `marks` and `fundings` are rows of `rates` by instrument.
    """
    depths = [quotes((0, 99.9, 100.1))] * len(instruments) if depths is None else depths
    feeds = {}
    for instrument, depth in zip(instruments, depths, strict=True):
        feeds[instrument.id, "depth"] = [depth]
    feeds[instruments[0].id, "trades"] = [market.trades(list(trades))]
    for kind, name, rows in ((MARK, "marks", marks), (FUNDING, "funding", fundings)):
        for instrument, found in (rows or {}).items():
            feeds[instrument, name] = [rates(kind, found)]
    settings = {
        "latency": LatencyConfig(order_entry_ns=10 * MS, response_ns=20 * MS),
        "cash": {"USD": "1000"},
        **settings,
    }
    strategy = Script(steps)
    backtest = Backtest(list(instruments), strategy, feeds, risk=risk, **settings)
    sink = MemorySink()
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
