"""What results hinge on: other assumptions for every model, and profits that vanish with one."""

from __future__ import annotations

import dataclasses
import json
import sys

import numpy as np
import pytest
import yaml

from engine.backtest import run_backtest
from engine.catalog import Catalog, SourceEntry
from engine.check.assumptions import variants
from engine.cli import main
from engine.cli.compose import RUN_GROUPS, compose, parse_override
from engine.config import LatencyConfig, RunConfig
from tests import market
from tests.market import ASK, BID, SECOND, SNAPSHOT, START


def write_jumps(root):
    """A market made by hand, for logic only: each second a trade lifts the offer, 20 ms later the
    book jumps up by 40 ticks, half a second later it comes back. It rises by a tick a second.
    """
    depth, trades, seq = [], [], 0
    for second in range(30):
        at = START + second * SECOND
        for after_ms, low in ((0, 999), (220, 1_039), (700, 1_000)):
            seq += 1
            levels = [(BID, low + second, 5_000), (ASK, low + second + 2, 5_000)]
            depth.append(market.message(SNAPSHOT, at + after_ms * 1_000_000, seq, levels))
        trades.append((second + 0.2, BID, 1_001 + second, 1))
    instrument = market.LINEAR
    source = [SourceEntry("made", "0" * 64)]
    with Catalog(root).writer(instrument, provenance="testnet", source=source) as writer:
        writer.append("depth", np.concatenate(depth))
        writer.append("trades", market.trades(trades))
        writer.commit()


QUICK = """
from engine import Strategy

class Quick(Strategy):
    "Takes the offer that is about to go."
    def on_start(self):
        self.name = self.instruments[0]
        self.subscribe_trades(self.name)
    def on_trade(self, trade):
        self.buy(self.name, 1, limit=trade.px, tif="IOC")
        self.set_timer(after="300ms")
    def on_timer(self, timer):
        if self.position(self.name) > 0:
            self.sell(self.name, self.position(self.name))

class Fragile(Strategy):
    "Cannot imagine an answer without delay."
    def on_start(self):
        self.buy(self.instruments[0], 1)
    def on_order(self, order):
        assert order.ts_exchange_ns > order.ts_submit_ns

class Holder(Strategy):
    "Buys and holds in a market that rises."
    def on_start(self):
        self.buy(self.instruments[0], 1)
"""


MODELS = """
class Slow:
    "A latency model of a user's own."
    def __init__(self, seed=None):
        pass
    def order_entry_ns(self, ts_ns):
        return 1_000_000
    def response_ns(self, ts_ns):
        return 1_000_000

class Dear:
    "A fee model of a user's own."
    def fee(self, instrument, notional, qty, maker, ts_ns):
        return 0.25 * qty
"""


@pytest.fixture
def jumps(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    write_jumps("data")
    (tmp_path / "conf" / "instrument").mkdir(parents=True)
    definition = {market.LINEAR.id: market.LINEAR.to_mapping()}
    file = tmp_path / "conf" / "instrument" / f"{market.LINEAR.id}.yaml"
    file.write_text(f"# @package instrument\n{yaml.safe_dump(definition)}")
    (tmp_path / "mine.py").write_text(QUICK + MODELS)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    samples = np.zeros(3, [(name, np.int64) for name in ("req_ns", "exch_ns", "resp_ns")])
    samples["req_ns"] = [START, START + SECOND, START + 2 * SECOND]
    samples["exch_ns"] = samples["req_ns"] + [2_000_000, 4_000_000, 6_000_000]
    samples["resp_ns"] = samples["exch_ns"] + 1_000_000
    np.savez(tmp_path / "orders.npz", samples)
    return ["catalog=data", f"instrument={market.LINEAR.id}"]


@pytest.fixture
def hinges(jumps, in_process, capsys):
    def checked(name, *settings):
        done = main(
            ["check", "sensitivity", f"strategy=mine:{name}", "output=json", *jumps, *settings]
        )
        return done, json.loads(capsys.readouterr().out)

    return checked


LATENCIES = {"latency × 2", "latency + 50 ms each way", "no latency"}
FEES = {"fees half as much again", "no fees"}
EXCHANGES = {
    "queue power_prob",
    "queue log_prob",
    "fill walk",
    "fill partial",
    "answers after the market data that explains them",
}
TIERS = "{volume: '0', maker: '0.5', taker: '0.5'}, {volume: '10', maker: '0.1', taker: '0.1'}"


@pytest.mark.parametrize(
    ("settings", "more", "fewer"),
    [
        ([], set(), set()),
        (["latency=none"], set(), {"latency × 2", "no latency"}),
        (["fees=none"], set(), FEES),
        (["fees.maker=0.0004"], set(), set()),
        (
            ["exchange=walk"],
            {"queue risk_averse", "fill no_partial"}
            | {"answers before the market data that explains them"},
            EXCHANGES - {"fill partial"},
        ),
        (["latency.model=normal", "latency.order_entry_std_ns=100"], set(), set()),
        (["latency.model=lognormal", "latency.response_std_ns=100"], set(), set()),
        (["latency.model=feed"], set(), set()),
        (
            ["latency.model=recorded", "latency.file=orders.npz"],
            {f"{name}, constant at the mean of latency.file" for name in LATENCIES}
            - {"no latency, constant at the mean of latency.file"},
            LATENCIES - {"no latency"},
        ),
        (
            ["latency.model=python", "latency.target=mine:Slow"],
            {"latency of 50 ms each way, constant"},
            LATENCIES - {"no latency"},
        ),
        (["fees.model=flat", "fees.amount=0.1"], set(), set()),
        (["fees.model=quantity", "fees.maker=-0.1", "fees.taker=0.2"], set(), set()),
        (
            ["fees.model=tiers", "fees.volume_30d='20'", f"fees.tiers=[{TIERS}]"],
            {"fees one tier worse"},
            set(),
        ),
        (["fees.model=python", "fees.target=mine:Dear"], set(), {"fees half as much again"}),
    ],
)
def test_every_model_has_other_assumptions_that_can_be_run(jumps, settings, more, fewer):
    overrides = [parse_override(item) for item in [*jumps, "strategy=mine:Quick", *settings]]
    config = compose("backtest", RunConfig, overrides, groups=RUN_GROUPS)
    found = {variant.name: variant for variant in variants(config)}
    assert set(found) == (LATENCIES | FEES | EXCHANGES | more) - fewer

    def summary(changed):
        return run_backtest(changed, report=False).summary

    base = summary(config)
    fees = {name: summary(variant.config)["fees"] for name, variant in found.items()}
    if "no fees" in fees:
        assert base["fees"] > 0
        assert fees["no fees"] == 0
    if "fees half as much again" in fees:
        assert fees["fees half as much again"] == pytest.approx(1.5 * base["fees"])
    if more == {"fees one tier worse"}:
        assert fees["fees one tier worse"] == pytest.approx(5 * base["fees"])


def test_latencies_are_those_that_were_asked_for(jumps):
    own = LatencyConfig(order_entry_ns=7, response_ns=9, order_entry_std_ns=2, least_ns=3)
    for model, least in (("constant", (3, 3)), ("normal", (6, 50_000_003))):
        config = RunConfig(latency=dataclasses.replace(own, model=model))
        twice, longer, none = (variant.config.latency for variant in variants(config)[:3])
        assert (twice.order_entry_ns, twice.response_ns) == (14, 18)
        assert (longer.order_entry_ns, longer.response_ns) == (50_000_007, 50_000_009)
        assert (twice.least_ns, longer.least_ns) == least
        assert (none.model, none.order_entry_ns, none.response_ns) == ("constant", 0, 0)
    assert (twice.order_entry_std_ns, longer.order_entry_std_ns) == (4, 2)
    feed = LatencyConfig(model="feed", order_entry_factor=1.5)
    twice, longer, _ = (item.config.latency for item in variants(RunConfig(latency=feed))[:3])
    assert (twice.order_entry_factor, longer.order_entry_factor) == (3.0, 1.5)
    recorded = LatencyConfig(model="recorded", file="orders.npz")
    twice, *_ = (item.config.latency for item in variants(RunConfig(latency=recorded)))
    assert (twice.model, twice.order_entry_ns, twice.response_ns) == (
        *("constant", 8_000_000, 2_000_000),
    )


def test_a_result_that_hinges_on_no_latency_is_found(hinges):
    done, report = hinges("Quick", "latency=none")
    assert done == 1
    rows = {row["assumption"]: row for row in report["rows"]}
    assert rows["as it is"]["pnl"]["USD"] > 50
    assert rows["latency + 50 ms each way"]["pnl"]["USD"] <= 0
    assert "latency × 2" not in rows, "twice nothing is nothing"
    (finding,) = report["findings"]
    assert finding.startswith("the result hinges on latency: PnL +")
    assert finding.endswith("without this assumption there is no profit")
    assert len(report["notes"]) == 1, "what changes little is not told"


def test_a_run_without_profit_is_told_what_would_make_one(hinges):
    done, report = hinges("Quick", "latency.order_entry_ns=4000000", "fees.taker=0.03")
    assert (done, report["findings"]) == (0, [])
    assert report["rows"][0]["pnl"]["USD"] < 0
    notes = [note for note in report["notes"] if "the run as it is makes no profit" in note]
    assert len(notes) == 1
    assert notes[0].startswith("the result hinges on the fees: PnL -")


def test_a_result_that_hinges_on_nothing_passes(hinges):
    done, report = hinges("Holder", "latency=none")
    assert (done, report["findings"]) == (0, [])
    assert report["rows"][0]["pnl"]["USD"] > 0
    # The share is the user's: fees cost a little of any profit.
    done, report = hinges("Holder", "latency=none", "check.share=0.001")
    assert done == 1
    assert any("the result hinges on the fees" in finding for finding in report["findings"])


def test_a_run_without_fills_hinges_on_nothing(hinges):
    done, report = hinges("Quick", "latency.order_entry_ns=90000000")
    assert (done, report["ok"]) == (1, False)
    assert "the run has no fill" in report["error"]


def test_a_strategy_that_fails_under_another_assumption_is_found(hinges):
    done, report = hinges("Fragile")
    rows = {row["assumption"]: row["error"] for row in report["rows"]}
    assert rows["as it is"] is None
    assert "Fragile.on_order raised AssertionError" in rows["no latency"]
    assert done == 1
    assert report["findings"][0].startswith("with no latency there is no result: Fragile.on_order")


def test_an_assumption_that_cannot_be_run_costs_no_other(hinges):
    high = "fees.tiers=[{volume: '0', maker: '0.9', taker: '0.9'}]"
    done, report = hinges("Holder", "fees.model=tiers", high)
    rows = {row["assumption"]: row["error"] for row in report["rows"]}
    assert "expected a share between -1 and 1" in rows["fees half as much again"]
    assert rows["no fees"] is None
    assert (done, report["error"]) == (0, None)
    assert any("fees half as much again there is no result" in note for note in report["notes"])
