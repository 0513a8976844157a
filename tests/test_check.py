"""`cobalt check` on strategies that are honest and on ones that are not: canaries both ways."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from engine.check import compare, lookahead, runs
from engine.check.assumptions import variants
from engine.check.settings import CheckConfig, CheckedRun
from engine.cli import main
from engine.cli.check import CHECK_GROUPS
from engine.cli.compose import RUN_GROUPS, Override, compose
from engine.config import RunConfig
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
    assert main(["testnet", f"catalog={root}", "duration_s=40", "orders=true"]) == 0
    return root


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


def test_the_place_in_the_queue_by_single_orders(check, catalog):
    chaser = HONEST["what fills tell"]
    done, report, _ = check("lookahead", chaser, "check.cuts=3", "exchange.queue=l3_fifo")
    assert (done, report["findings"], report["error"]) == (0, [], None)
    assert max(row["equal"] for row in report["rows"]) > 100
    overrides = [Override("catalog", str(catalog)), Override("instrument", NAME)]
    config = compose("backtest", RunConfig, overrides, groups=RUN_GROUPS)
    found = {variant.name: variant.config.exchange.queue for variant in variants(config)}
    assert found["queue l3_fifo"] == "l3_fifo"


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
    done, reports, errors = check("lookahead", code)
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
        ("", "expected a check (determinism, lookahead, startup, sensitivity, all), found none"),
        ("strategy=ma_cross", "expected a check (determinism, lookahead, startup, sensitivity,"),
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
        "check determinism of strategies.ma_cross:MaCross",
        "check lookahead of strategies.ma_cross:MaCross",
        "check startup of",
        "check sensitivity of",
        "latency + 50 ms each way",
        "held back: differ",
        "nothing found",
        "note: one assumption at a time",
    ):
        assert text in out
