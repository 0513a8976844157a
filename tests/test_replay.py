"""A run again from its journal: state rebuilt equals state lived, and strategies are held to it."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

from engine import Strategy
from engine.backtest import (
    BacktestError,
    configured_backtest,
    configured_feeds,
    load_strategy,
    run_backtest,
)
from engine.cli import main
from engine.config import LatencyConfig, RunConfig, RunOptions, StrategyConfig
from engine.instruments import load_instrument
from engine.journal import FOLDER, Journal, JournalError
from engine.replay import Replay, replay_commands
from engine.strategy import HANDLERS
from engine.testnet import generate
from tests.recordings import needs_recordings

ID, OTHER = "BTCUSDT-PERP.TESTNETA", "BTCUSDT-PERP.TESTNETB"
EVERY = 100


class Everything(Strategy):
    """Is shown all there is, gives every kind of command, and looks at everything meanwhile."""

    def on_start(self):
        self.view = self.subscribe_book(ID)
        self.subscribe_trades(ID)
        self.subscribe_bars(ID, "1s")
        self.subscribe_pivots(ID, "1s", k=2, levels=3)
        self.subscribe_sweeps(ID, levels=2)
        self.one = self.subscribe_cob("both", every="100ms", members=[ID, OTHER])
        self.sums = self.flow(ID)
        self.keep_ticks(ID)
        self.set_timer("act", every="250ms")
        self.seen = 0

    def on_book(self, book):
        # Looking changes nothing.
        self.seen += bool(self.equity("USDT")) + (self.one.mid is not None)
        self.seen += len(self.ticks(ID)) if self.seen % 100 == 0 else 0

    def on_timer(self, timer):
        bid, ask = self.view.best_bid, self.view.best_ask
        kind = int(self.rng.integers(9))
        if kind == 0:
            self.buy(ID, "0.01")
        elif kind == 1:
            self.sell(ID, "0.01", ask, post_only=True, client_id=f"n{timer.ts_ns}")
        elif kind == 2:
            self.bracket(ID, "buy", "0.01", limit=bid, stop=bid - 20, take_profit=ask + 20)
        elif kind == 3:
            self.oco(ID, "sell", "0.01", limit=ask + 2, stop=bid - 3)
        elif kind == 4:
            self.cancel_all(ID)
        elif kind == 5 and self.orders():
            order = self.orders()[0]
            self.modify(order.id, qty="0.02")
        elif kind == 6 and self.orders():
            self.cancel(self.orders()[-1].id)
        elif kind == 7:
            self.buy(ID, "0.01", stop=ask + 1)
        else:
            self.buy(ID, "500")
            self.set_timer("once", at=timer.ts_ns + 3_000_000)


def watched(cls):
    """A strategy that notes the hash of the whole state each hundredth step or so."""

    def after(call):
        def noted(self, *arguments):
            call(self, *arguments)
            kernel = self._kernel
            if kernel.seq >= self.next_look:
                self.looked[kernel.seq] = kernel.state_sha256()
                self.next_look = (kernel.seq // EVERY + 1) * EVERY

        return noted

    handlers = [name for name in HANDLERS if getattr(cls, name) is not getattr(Strategy, name)]
    parts = {name: after(getattr(cls, name)) for name in handlers}
    return type(cls.__name__, (cls,), {**parts, "looked": {}, "next_look": 1})


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    root = tmp_path_factory.mktemp("catalog")
    generate(root, duration_s=60.0)
    return root


def configured(catalog, folder, target, ids=(ID,), **values):
    return RunConfig(
        strategy=StrategyConfig(target, values),
        instrument={name: load_instrument(name).to_mapping() for name in ids},
        catalog=str(catalog),
        latency=LatencyConfig(model="lognormal", order_entry_std_ns=500_000),
        run=RunOptions(dir=str(folder)),
    )


def lived_and_rebuilt(config):
    """Hashes of the state by step, as they were and as they are when the journal is folded."""
    strategy = load_strategy(config)
    strategy.__class__ = watched(type(strategy))
    path = Path(config.run.dir) / FOLDER
    with configured_feeds(config) as feeds:
        backtest = configured_backtest(config, strategy, feeds)
        backtest.keep_journal(path, "end", {})
        backtest.run()
        backtest.kernel.finish_journal()
    rebuilt = {}
    with configured_feeds(config) as feeds:
        nobody = configured_backtest(config, Strategy(None), feeds)
        assert nobody.fold(path, step=0)
        for step in strategy.looked:
            assert nobody.fold(step=step)
            rebuilt[step] = nobody.kernel.state_sha256()
        assert not nobody.fold()
    assert nobody.kernel.result_sha256 == backtest.kernel.result_sha256
    return strategy.looked, rebuilt


EXAMPLES = [
    "strategies.market_maker:MarketMaker",
    "strategies.imbalance_taker:ImbalanceTaker",
    "strategies.ma_cross:MaCross",
]


@pytest.mark.parametrize("target", [*EXAMPLES, "tests.test_replay:Everything"])
def test_state_is_a_fold_of_the_journal(target, catalog, tmp_path):
    ids = (ID, OTHER) if "Everything" in target else (ID,)
    lived, rebuilt = lived_and_rebuilt(configured(catalog, tmp_path, target, ids))
    assert rebuilt == lived
    assert len(set(lived.values())) == len(lived) >= 1
    if "Everything" in target:
        assert len(lived) > 50
        told = Journal(tmp_path).info().by_kind
        assert {"submit", "submit_list", "ask", "cancel_all", "subscribe", "fill"} <= set(told)


@needs_recordings
@pytest.mark.parametrize("target", EXAMPLES)
def test_state_is_a_fold_on_recordings(target, recorded_catalog, tmp_path):
    name = "BTCUSDT-PERP.BINANCE"
    config = configured(recorded_catalog.root, tmp_path, target, (name,))
    lived, rebuilt = lived_and_rebuilt(config)
    assert rebuilt == lived


@pytest.fixture(scope="module")
def run(catalog, tmp_path_factory):
    """A finished run of the market maker."""
    folder = tmp_path_factory.mktemp("run")
    run_backtest(configured(catalog, folder, EXAMPLES[0]), report=False)
    return folder


class TestCommands:
    @pytest.mark.parametrize("every_record", [False, True])
    def test_the_same_strategy_gives_them_again(self, every_record, run):
        result = replay_commands(run, every_record=every_record)
        summary = json.loads((run / "summary.json").read_text())
        assert result.difference is None
        assert result.commands == result.equal > 1_000
        assert result.found_sha256 == result.result_sha256 == summary["result_sha256"]

    def test_the_first_that_differs_is_shown_with_both_sides(self, catalog, tmp_path, capsys):
        module = tmp_path / "changing.py"
        text = f"""
from engine import Strategy

class Changing(Strategy):
    def on_start(self):
        self.set_timer("a", every="1s")

    def on_timer(self, timer):
        book = self._kernel.book(0, 1)
        qty = "0.01" if timer.ts_ns < {1_704_067_220 * 10**9} else QTY
        self.buy("{ID}", qty, round(book.best_bid - 50, 1))
"""
        module.write_text(text.replace("QTY", '"0.01"'))
        config = configured(catalog, tmp_path / "run", "changing:Changing")
        monkey = pytest.MonkeyPatch()
        monkey.syspath_prepend(str(tmp_path))
        run_backtest(config, report=False)
        module.write_text(text.replace("QTY", '"0.02"'))
        import importlib
        import sys

        importlib.invalidate_caches()
        del sys.modules["changing"]
        assert main(["replay", f"run={tmp_path / 'run'}"]) == 1
        out = capsys.readouterr().out
        monkey.undo()
        assert "19 of 60 commands given again, then they differ" in out
        journal, now = out.splitlines()[1:]
        at = "2024-01-01T00:00:20.004550690Z"
        for line, qty in ((journal, "0.010"), (now, "0.020")):
            assert at in line
            assert f"submit: order 20: buy {qty} {ID} at " in line
            assert "[on_timer; last " in line

    def test_commands_that_are_missing_or_too_many_differ(self, catalog, tmp_path):
        for name, every, other in (("fast", "100ms", "59s"), ("slow", "59s", "100ms")):
            folder = tmp_path / name
            run_backtest(configured(catalog, folder, EXAMPLES[0], every=every), report=False)
            content = (folder / "config.yaml").read_text()
            changed = content.replace(f"    every: {every}", f"    every: {other}")
            assert changed != content
            (folder / "config.yaml").write_text(changed)
            result = replay_commands(folder)
            assert result.equal == 0
            assert result.found_sha256 is None
            early, late = result.difference.expected, result.difference.found
            if name == "slow":
                early, late = late, early
            assert early.ts_ns == 1_704_067_200_100_000_000
            assert late.ts_ns == 1_704_067_205_000_000_000

    def test_a_strategy_that_does_nothing_any_more_differs(self, run, tmp_path):
        (tmp_path / FOLDER).symlink_to(run / FOLDER)
        content = (run / "config.yaml").read_text()
        changed = content.replace(EXAMPLES[0], "engine:Strategy")
        assert changed != content
        (tmp_path / "config.yaml").write_text(changed)
        result = replay_commands(tmp_path)
        assert result.equal == 0
        assert result.difference.expected.kind == "submit"
        assert result.difference.found is None

    def test_every_record_counts_where_asked_for(self, catalog, tmp_path):
        run_backtest(configured(catalog, tmp_path, EXAMPLES[2]), report=False)
        content = (tmp_path / "config.yaml").read_text()
        (tmp_path / "config.yaml").write_text(content.replace("taker: null", "taker: '0.001'"))
        assert replay_commands(tmp_path).difference is None
        found = replay_commands(tmp_path, every_record=True).difference
        assert (found.expected.kind, found.found.kind) == ("settings", "settings")

    def test_data_that_has_changed_is_told(self, run, catalog, tmp_path):
        other = tmp_path / "catalog"
        generate(other, duration_s=60.0, seed=8)
        content = (run / "config.yaml").read_text()
        changed = tmp_path / "run"
        changed.mkdir()
        (changed / "config.yaml").write_text(content.replace(str(catalog), str(other)))
        (changed / FOLDER).symlink_to(run / FOLDER)
        for ask in (replay_commands, Replay):
            with pytest.raises(BacktestError, match="replay: the data has changed since the run"):
                ask(changed)

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            ([], "run: the folder of a run is needed"),
            (["run=nowhere"], "replay: expected the folder of a run with config.yaml"),
            (["run=nowhere", "compare=some"], "compare: expected commands or all, found 'some'"),
            (["run=nowhere", "at=soon"], "at: expected a time such as"),
            (["run=nowhere", "at=5", "output=json"], "output: json is for the comparison"),
        ],
    )
    def test_what_cannot_be_is_told(self, arguments, told, capsys):
        assert main(["replay", *arguments]) != 0
        assert told in capsys.readouterr().err


class TestMoments:
    def test_a_moment_is_what_it_was_forwards_and_back(self, run):
        journal = Journal(run)
        fills = list(journal.records(["fill"]))
        first, last = fills[0], fills[-1]
        with Replay(run) as replay:
            for record in (first, last, first):
                assert replay.to(record=record.seq)
                position = record.content["position_lots"] / 1_000
                assert replay.state.position(ID) == pytest.approx(position)
                assert replay.ts_ns == record.ts_ns
            assert replay.to(ts_ns=last.ts_ns)
            assert replay.record >= last.seq
            assert replay.state.position(ID) == pytest.approx(last.content["position_lots"] / 1_000)
            assert not replay.to(step=10**9)
            assert replay.record >= journal.info().records - 1

    def test_a_time_between_events_is_that_of_the_last_before_it(self, run):
        changes = Journal(run).records(["order"])
        order = next(change for change in changes if change.content["id"] == 2)
        with Replay(run) as replay:
            assert replay.to(ts_ns=order.ts_ns - 1)
            assert replay.ts_ns < order.ts_ns
            assert replay.state.order(2).status == "submitted"
            assert replay.to(ts_ns=order.ts_ns)
            assert replay.state.order(2).status == "open"

    def test_why_leads_from_the_fill_to_the_market(self, run):
        fill = next(Journal(run).records(["fill"]))
        with Replay(run) as replay:
            replay.to(record=fill.seq)
            chain = replay.why(fill.content["order"])
        assert chain[0].kind == "submit"
        assert chain[-1].kind == "fill"
        cause = chain[0].content["cause"]
        assert cause["handler"] == "Book"
        assert cause["heard"]["ts_event_ns"] < chain[0].ts_ns

    def test_questions_are_answered(self, run, capsys, monkeypatch):
        fill = next(Journal(run).records(["fill"]))
        order = fill.content["order"]
        lines = ["", f"book {ID} 2", "book 1", "orders", "position", "account", f"why {order}"]
        lines += ["why 99999", "nothing", "book X", "next 0", "to 5", "to never", "why", "help"]
        monkeypatch.setattr("sys.stdin", io.StringIO("\n".join([*lines, "quit", "book"])))
        assert main(["replay", f"run={run}", f"at={fill.seq}"]) == 0
        out = capsys.readouterr().out
        assert len(re.findall(r"^  (bid|ask) ", out, re.MULTILINE)) == 6
        for told in (
            f"record {fill.seq}",
            f"  {ID}: position ",
            "  USDT: equity ",
            f"fill: order {order}: ",
            f"submit: order {order}: ",
            "the market: ",
            "there is no order 99999 up to here",
            "there is no 'nothing'",
            "the run has no 'X'",
            "next: expected a number above 0, found '0'",
            "at: expected a time such as",
            "quit",
        ):
            assert told in out, told

    def test_walking_shows_each_step_with_what_it_wrote(self, run, capsys, monkeypatch):
        monkeypatch.setattr("sys.stdin", io.StringIO("next 2\n"))
        assert main(["replay", f"run={run}", "step=true"]) == 0
        out = capsys.readouterr().out
        for step in (1, 2, 3):
            assert f"  step {step}  on_" in out
        assert "  subscribe    " in out
        assert "  submit       order 1: buy" in out

    def test_a_journal_of_another_run_is_told(self, run, catalog, tmp_path):
        run_backtest(configured(catalog, tmp_path, EXAMPLES[2]), report=False)
        content = (run / "config.yaml").read_text()
        (tmp_path / "config.yaml").write_text(content.replace("seed: 7", "seed: 8"))
        with Replay(tmp_path) as replay, pytest.raises(JournalError, match="record [0-9]+"):
            replay.to(step=10**9)
