"""`cobalt check` on strategies that are honest and on ones that are not: canaries both ways."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from engine.backtest import run_backtest
from engine.catalog import Catalog, SourceEntry
from engine.check import compare, lookahead, runs, worker
from engine.check.assumptions import variants
from engine.check.settings import CheckConfig, CheckedRun
from engine.cli import main
from engine.cli.check import CHECK_GROUPS
from engine.cli.compose import RUN_GROUPS, compose, parse_override
from engine.config import LatencyConfig, RunConfig
from tests import market
from tests.market import ASK, BID, SECOND, SNAPSHOT, START
from tests.recordings import needs_recordings

NAME = "BTCUSDT-PERP.TESTNETA"
ALL_THREE = "instrument=[BTCUSDT-PERP.TESTNETB,BTCUSDT.TESTNETC,BTCUSDT-PERP.TESTNETA]"

HEADER = """
from dataclasses import dataclass
from engine import Strategy
from engine.catalog import Catalog
import glob, random, numpy as np

def closes(rows):
    "Last price of each second, and the seconds."
    last = {}
    for batch in rows:
        for at, px in zip(batch["ts_event_ns"].tolist(), batch["px_ticks"].tolist()):
            last[at // 10**9] = px
    seconds = sorted(last)
    return np.array(seconds), np.array([last[at] for at in seconds], float)

class Target(Strategy):
    "Holds 0.01 or -0.01, whichever `wanted` says at the end of a second."
    def on_start(self):
        self.subscribe_bars(self.instruments[0], "1s")
        self.load()
    def load(self):
        pass
    def on_bar(self, bar):
        wanted = self.wanted(bar)
        if wanted is None or self.orders():
            return
        change = wanted - self.position(bar.instrument)
        if abs(change) > 0.005:
            (self.buy if change > 0 else self.sell)(bar.instrument, round(abs(change), 3))
"""

CENTRED = """
@dataclass
class Root:
    root: str = ""

class Centred(Target):
    Config = Root
    "A centred rolling mean over the whole array: half of it lies in the future."
    def load(self):
        self.at, self.px = closes(Catalog({root}).batches(self.instruments[0], "trades"))
        self.mean = np.convolve(np.pad(self.px, 10, mode="edge"), np.ones(21) / 21, "valid")
    def wanted(self, bar):
        index = np.searchsorted(self.at, bar.ts_start_ns // 10**9)
        if index < len(self.at):
            return 0.01 if self.mean[index] > self.px[index] else -0.01
"""


def mounts():
    """Whether this system lets a process put a folder in the place of another for itself."""
    process = runs.Runner.__new__(runs.Runner)
    process.root = process._held = process._empty = Path.cwd()
    return process._can_mount()


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    root = tmp_path_factory.mktemp("check") / "data"
    assert main(["testnet", f"catalog={root}", "duration_s=40"]) == 0
    return root


@pytest.fixture
def in_process(monkeypatch):
    """Runs in this process, which is much quicker; for checks that hide nothing."""

    def start(job, folder, *, quiet=False):
        if job.get("probe"):
            return 1
        sys.modules.pop("mine", None)
        worker.work(job)
        return 0

    monkeypatch.setattr(runs, "_start", start)
    monkeypatch.setattr(runs, "ThreadPoolExecutor", lambda _: ThreadPoolExecutor(1))
    monkeypatch.setattr(worker, "_watch_files", set)
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.fixture
def check(catalog, tmp_path, monkeypatch, capsys):
    """Runs checks of a strategy given as text; the exit code and what was printed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(catalog)

    def checked(what, code, *settings):
        path = tmp_path / "mine.py"
        path.write_text(HEADER + code)
        name = re.findall(r"class (\w+)\(", code)[0]
        capsys.readouterr()
        done = main(
            [
                *("check", what, f"strategy=mine:{name}", "catalog=data", "output=json"),
                *(settings if ALL_THREE in settings else (f"instrument={NAME}", *settings)),
            ]
        )
        streams = capsys.readouterr()
        reports = [json.loads(line) for line in streams.out.splitlines()]
        return done, reports[0] if len(reports) == 1 else reports, streams.err

    return checked


@pytest.mark.parametrize("hides", [True, False])
@pytest.mark.parametrize("way", ["relative", "absolute", "configured"])
def test_a_centred_mean_over_the_catalog_is_caught(check, catalog, monkeypatch, way, hides):
    """Whichever way the strategy finds the catalog; and on a system that cannot hide files."""
    if not hides:
        monkeypatch.setattr(runs.Runner, "_can_mount", lambda self: False)
    elif not mounts():
        pytest.skip("this system has no user namespaces")
    root = {"relative": '"data"', "absolute": repr(str(catalog)), "configured": "self.config.root"}
    settings = [f"strategy.config.root={catalog}"] if way == "configured" else []
    code = CENTRED.format(root=root[way])
    done, report, _ = check("lookahead", code, "check.cuts=3", *settings)
    assert (done, report["ok"]) == (1, False)
    if way == "absolute" and not hides:
        assert "opened the catalog where this system does not let a check" in report["findings"][0]
        assert f"{catalog}/TESTNETA/{NAME}/manifest.json" in report["findings"][0]
        return
    first = report["difference"]
    assert first["handler"] == "on_bar"
    assert first["place"].startswith("mine.py:")
    assert first["all_data"] != first["cut_data"]
    assert first["ts_ns"] < first["cut_ns"]
    assert report["findings"][0].startswith("the strategy knew what was not known yet")
    assert any("user namespaces" in note for note in report["notes"]) != hides


PEEKS = {
    "a level of the whole range, read by polars": """
class Level(Target):
    def load(self):
        import polars as pl
        files = sorted(glob.glob("data/TESTNETA/*/trades/*/*.parquet"))
        self.level = pl.scan_parquet(files).select(pl.col("px_ticks").mean()).collect().item() / 10
    def wanted(self, bar):
        return 0.01 if bar.close < self.level else -0.01
""",
    "another instrument's next second": """
class Leader(Target):
    def load(self):
        rows = Catalog("data").batches("BTCUSDT.TESTNETC", "trades")
        self.px = dict(zip(*(part.tolist() for part in closes(rows))))
    def wanted(self, bar):
        here = bar.ts_start_ns // 10**9
        if here in self.px and here + 2 in self.px:
            return 0.01 if self.px[here + 2] > self.px[here] else -0.01
""",
    "an index that the cut data does not have": """
class Index(Target):
    def load(self):
        self.at, self.px = closes(Catalog("data").batches(self.instruments[0], "trades"))
    def wanted(self, bar):
        index = int(np.searchsorted(self.at, bar.ts_start_ns // 10**9))
        last = index + 2 < 39 and self.px[index + 2]
        return 0.01 if last > self.px[index] else -0.01
""",
}


@pytest.mark.parametrize("code", PEEKS.values(), ids=PEEKS)
def test_a_strategy_that_peeks_is_caught(check, code):
    done, report, _ = check("lookahead", code, "check.cuts=3")
    assert (done, len(report["findings"])) == (1, 1)
    if "Index" in code:
        assert "Index.on_bar raised IndexError" in report["difference"]["cut_data"]


HONEST = {
    "what the engine shows": """
class Momentum(Target):
    def load(self):
        self.seen = []
    def wanted(self, bar):
        self.seen.append(bar.close)
        return 0.01 if bar.close > np.mean(self.seen[-5:]) else -0.01
""",
    "a file of what was before": """
class History(Target):
    def load(self):
        rows = Catalog("data").batches(
            self.instruments[0], "trades", end_ns=self.clock.now_ns
        )
        at, px = closes(rows)
        self.seen = px.tolist()
        self.told = len(px)
    def wanted(self, bar):
        self.seen.append(bar.close)
        return 0.01 if bar.close > np.mean(self.seen[-5:]) else -0.01
""",
    "what fills tell": """
class Chaser(Strategy):
    "Acts on its fills, which may be told before the trade that explains them."
    def on_start(self):
        self.name = self.instruments[0]
        self.set_timer("again", every="300ms")
    def on_timer(self, timer):
        book = self.book(self.name)
        self.cancel_all()
        if book.mid:
            self.buy(self.name, "0.002", limit=book.best_bid, post_only=True)
            self.sell(self.name, "0.002", limit=book.best_ask, post_only=True)
    def on_fill(self, fill):
        self.cancel_all()
        if fill.liquidity == "maker":
            (self.sell if fill.side == "buy" else self.buy)(self.name, fill.qty)
""",
}


@pytest.mark.parametrize("code", HONEST.values(), ids=HONEST)
def test_an_honest_strategy_passes(check, code):
    settings = ["data.start=2024-01-01T00:00:10"] if "History" in code else []
    settings += [ALL_THREE] if "Chaser" in code else []
    done, report, _ = check("lookahead", code, "check.cuts=8", "latency=none", *settings)
    assert (done, report["findings"], report["error"]) == (0, [], None)
    assert max(row["equal"] for row in report["rows"]) >= 10


def test_without_care_for_early_answers_an_honest_strategy_would_be_accused(check, monkeypatch):
    """So the case is one that happens, and the test above shows something."""
    limited = compare.comparable_until
    monkeypatch.setattr(lookahead, "comparable_until", lambda logs, _: limited(logs, 2**62))
    chaser = HONEST["what fills tell"]
    done, report, _ = check("lookahead", chaser, "check.cuts=8", "latency=none", ALL_THREE)
    assert (done, report["ok"]) == (1, False)


def test_files_that_cannot_be_cut_are_named(check, tmp_path):
    np.save(tmp_path / "signals.npy", np.tile([0.01, -0.01], 30))
    code = """
class Precomputed(Target):
    def load(self):
        self.signals = np.load("signals.npy")
        self.index = 0
    def wanted(self, bar):
        self.index += 1
        return self.signals[self.index - 1]
"""
    done, report, _ = check("lookahead", code, "check.cuts=2")
    assert done == 0
    (note,) = [note for note in report["notes"] if "not found here" in note]
    assert note.endswith(str(tmp_path / "signals.npy"))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "class Dice(Target):\n    def wanted(self, bar):\n"
            "        return random.choice([0.01, -0.01])\n",
            "mine:Dice is not deterministic, so nothing can be checked",
        ),
        (
            "class Idle(Target):\n    def wanted(self, bar):\n        return None\n",
            "mine:Idle gives no command",
        ),
        (
            "class Wrong(Target):\n    def wanted(self, bar):\n        return self.missing\n",
            "Wrong.on_bar raised AttributeError",
        ),
        ("class Dead(Target):\n    def load(self):\n        __import__('os')._exit(3)\n", "code 3"),
    ],
)
def test_what_cannot_be_checked_is_told(check, code, message):
    done, reports, errors = check("all", code)
    assert (done, reports) == (1, [])
    assert message in errors


MEMORY = {
    "counts for ever": """
class Steps(Target):
    "Every third bar since its start decides."
    def load(self):
        self.steps = 0
    def wanted(self, bar):
        self.steps += 1
        return 0.01 if self.steps % 3 else -0.01
""",
    "forgets": """
class Recent(Target):
    def load(self):
        self.seen = []
    def wanted(self, bar):
        self.seen.append(bar.close)
        if len(self.seen) >= 4:
            return 0.01 if bar.close > np.mean(self.seen[-4:]) else -0.01
""",
    "holds": """
class Turn(Target):
    "What it holds decides, and nothing else."
    def wanted(self, bar):
        return -0.01 if self.position(bar.instrument) > 0 else 0.01
""",
    "raises": """
class Proud(Target):
    def wanted(self, bar):
        return -0.01 if self.position(bar.instrument) > 0 else 0.01
    def on_order(self, order):
        assert order.status != "rejected"
""",
}


def test_a_memory_that_never_fades_is_found(check, in_process):
    done, report, _ = check("startup", MEMORY["counts for ever"], "check.warmups=[4s,7s,10s]")
    assert (done, len(report["findings"])) == (1, 1)
    assert (
        "after a warm-up of 10s it still matters when the strategy began" in report["findings"][0]
    )
    assert report["difference"]["handler"] == "on_bar"
    assert [row["warmup"] for row in report["rows"]] == ["4s", "7s", "10s"]
    assert all(row["held_share"] > 0.2 for row in report["rows"])


def test_a_memory_that_fades_is_told_with_its_warm_up(check, in_process):
    forgets = MEMORY["forgets"]
    done, report, _ = check("startup", forgets, "check.warmups=[1s,3s,6s,12s]")
    assert (done, report["findings"]) == (0, [])
    shares = [row["share"] for row in report["rows"]]
    assert shares[0] > 0
    assert shares[2:] == [0, 0]
    assert [row["held_share"] is None for row in report["rows"]] == [not part for part in shares]
    assert "with a warm-up of 6s or more, commands" in report["notes"][0]
    assert "with nothing held" not in str(report["findings"])
    done, report, _ = check("startup", forgets, "check.warmups=[6s]", "check.settle=1s")
    assert (done, report["difference"]["handler"]) == (1, "on_bar")
    assert report["rows"][0]["warmup"] == "1s", "the time that is to be enough is tried as well"


def test_what_a_position_does_is_not_taken_for_a_memory(check, in_process):
    done, report, _ = check("startup", MEMORY["holds"], "check.warmups=[5s]")
    assert (done, report["findings"]) == (0, [])
    (row,) = report["rows"]
    assert row["share"] > 0.5
    assert row["held_share"] == 0
    assert any("comes from positions and orders of before" in note for note in report["notes"])


def test_a_strategy_that_needs_its_orders_is_told(check, in_process):
    done, report, _ = check("startup", MEMORY["raises"], "check.warmups=[5s]")
    (row,) = report["rows"]
    assert row["share"] > 0.5
    assert row["held_share"] is None
    assert done == 1, "a doubt that cannot be removed is no pass"
    assert any("cannot be told from indicators" in note for note in report["notes"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["check.warmups=[10m]"], "20.0 s of data lie before the part"),
        (["check.compare_from=2023-01-01"], "check.compare_from: expected a time in the run"),
        (["data.end=2024-01-01T00:00:01.5"], "found no time for a warm-up"),
    ],
)
def test_too_little_data_is_told(check, in_process, settings, message):
    done, report, _ = check("startup", MEMORY["holds"], *settings)
    assert (done, report["ok"], report["findings"]) == (1, False, [])
    assert message in report["error"]


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
    import yaml

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


@needs_recordings
def test_on_recordings(recorded_catalog, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    name = "BTCUSDT-PERP.BINANCE"
    (tmp_path / "mine.py").write_text(
        HEADER + CENTRED.format(root=repr(str(recorded_catalog.root)))
    )
    common = [f"catalog={recorded_catalog.root}", f"instrument={name}", "output=json"]
    for strategy, caught in (("mine:Centred", True), ("ma_cross", False), ("market_maker", False)):
        done = main(["check", "lookahead", f"strategy={strategy}", "check.cuts=4", *common])
        report = json.loads(capsys.readouterr().out)
        assert (done, bool(report["findings"])) == (caught, caught), strategy


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "expected a check (lookahead, startup, sensitivity, all), found none"),
        ("strategy=ma_cross", "expected a check (lookahead, startup, sensitivity, all), found"),
        ("lokahead", "there is no check 'lokahead'; did you mean 'lookahead'?"),
        ("all check.cut=3", "unknown key 'check.cut'; did you mean 'check.cuts'?"),
        ("all check.cuts=0", "check.cuts: expected at least 1, found 0"),
        ("all check.share=0", "check.share: expected a number above 0, found 0"),
        ("all check.warmups=[soon]", "check.warmups: expected a positive time"),
        ("all check.settle=soon", "check.settle: expected a positive time"),
        ("all check.compare_from=soon", "check.compare_from: expected a time such as"),
        ("all run.jobs=0", "run.jobs: expected at least 1, found 0"),
        ("all output=xml", "output: expected text or json, found 'xml'"),
        ("all sed=1", "unknown key 'sed'; did you mean 'seed'?"),
        ("all latency=fast", "there is constant_10ms, constant_1ms, none"),
        ("all -m seed=1,2", "expected key=value, found '-m'"),
    ],
)
def test_a_slip_is_answered(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    given = ["check", *arguments.split(), *([f"instrument={NAME}"] if "=" in arguments else [])]
    assert main(given) == 2
    streams = capsys.readouterr()
    assert (streams.out, message in streams.err) == ("", True), streams.err


def test_the_defaults_are_those_of_the_configuration_files():
    composed = compose("check", CheckedRun, [], groups=CHECK_GROUPS)
    assert composed.check == CheckConfig()
    assert composed.run_config() == compose("backtest", RunConfig, [], groups=RUN_GROUPS)


def test_tables_show_what_a_reader_needs(catalog, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    done = main(
        [
            *("check", "all", "strategy=ma_cross", f"catalog={catalog}", f"instrument={NAME}"),
            *("strategy.config.slow=8", "strategy.config.fast=3"),
            *("check.cuts=1", "check.warmups=[9s]"),
        ]
    )
    out = capsys.readouterr().out
    assert done == 0
    for text in (
        "check lookahead of strategies.ma_cross:MaCross",
        "check startup of",
        "check sensitivity of",
        "latency + 50 ms each way",
        "held back: differ",
        "nothing found",
        "note: one assumption at a time",
    ):
        assert text in out
