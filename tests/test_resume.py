"""A run that was interrupted goes on to the result of one that was not."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest

from engine.backtest import BacktestError, run_backtest
from engine.journal import FOLDER, Journal, JournalError
from engine.run_journal import interrupted_run
from engine.testnet import generate
from tests import journal_bytes
from tests.test_journal import COMMAND, ID, configured

SEGMENT = "000001.journal"
TABLES = ("fills", "orders", "placements", "equity", "funding")
# A strategy whose handlers take their time, so that a run lasts long enough to be killed.
SLOW = f"""
import time
from engine import Strategy

class Slow(Strategy):
    def on_start(self):
        self.view = self.subscribe_book('{ID}', every='100ms')
        self.set_timer('later', every='7s')
        self.order = None

    def on_book(self, book):
        time.sleep(PAUSE)
        if self.order is not None:
            self.cancel(self.order)
        px = book.best_bid if self.rng.random() < 0.7 else None
        self.order = self.buy('{ID}', '0.001', px) if self.rng.random() < 0.5 else (
            self.sell('{ID}', '0.001', None if px is None else book.best_ask))
"""


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    root = tmp_path_factory.mktemp("catalog")
    generate(root, duration_s=20.0)
    return root


@pytest.fixture(scope="module")
def whole(catalog, tmp_path_factory):
    """A run that nothing interrupted, and the content of its journal's only segment."""
    folder = tmp_path_factory.mktemp("whole")
    result = run_backtest(configured(catalog, folder), report=False)
    (path,) = (folder / FOLDER).iterdir()
    return result, journal_bytes.content(path)


def cut_run(whole, folder, content):
    """The folder of the run as it is after the process ended with this much of its journal."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole[0].run_dir, folder)
    (folder / "summary.json").unlink()
    shutil.rmtree(folder / FOLDER)
    (folder / FOLDER).mkdir()
    (folder / FOLDER / SEGMENT).write_bytes(content)
    return folder


def resumed(folder):
    return run_backtest(interrupted_run(folder), report=False, resume=True)


def same(whole, folder):
    """Everything but the places where the process began and ended is equal."""
    ours, theirs = Journal(folder), Journal(whole[0].run_dir)
    process = ("origin", "resumed", "ended")
    facts = [(r.step, r.ts_ns, r.kind, r.content) for r in ours.records() if r.kind not in process]
    assert facts == [
        (r.step, r.ts_ns, r.kind, r.content) for r in theirs.records() if r.kind not in process
    ]
    for name in TABLES:
        path = f"{name}.parquet"
        assert pq.read_table(folder / path).equals(pq.read_table(whole[0].run_dir / path))
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["result_sha256"] == whole[0].summary["result_sha256"]
    assert ours.info().result_sha256 == summary["result_sha256"]
    assert ours.info().ended


def test_after_any_record_and_in_the_middle_of_any(whole, tmp_path):
    raw = journal_bytes.read(whole[0].run_dir / FOLDER)
    chance = random.Random(5)
    places = {64, *(record.end for record in raw[:4]), *(record.end for record in raw[-4:])}
    places |= {record.end for record in chance.sample(raw, 25)}
    places |= {chance.randrange(len(whole[1])) for _ in range(25)}
    for at in sorted(places):
        folder = cut_run(whole, tmp_path / "run", whole[1][:at])
        resumed(folder)
        same(whole, folder)


def test_what_was_cut_is_said(whole, tmp_path, capsys):
    raw = journal_bytes.read(whole[0].run_dir / FOLDER)
    end = raw[99].end
    folder = cut_run(whole, tmp_path / "run", whole[1][: end + 7])
    resumed(folder)
    said = capsys.readouterr().err
    assert said == (
        f"cobalt: {folder / FOLDER / SEGMENT}: cut 7 bytes at byte {end}, the end of a write:"
        " expected a record of at least 33 bytes, found 7 bytes\n"
    )
    again = [r.content for r in Journal(folder).records(["resumed"])]
    assert again == [7]


def test_twice_and_three_times(whole, tmp_path):
    folder = cut_run(whole, tmp_path / "run", whole[1][: len(whole[1]) // 3])
    resumed(folder)
    (path,) = (folder / FOLDER).iterdir()
    for share in (0.5, 0.9):
        longer = journal_bytes.content(path)
        folder = cut_run(whole, folder, longer[: int(len(longer) * share)])
        resumed(folder)
        same(whole, folder)


def test_damage_is_named_and_stays(whole, tmp_path):
    content = bytearray(whole[1][: len(whole[1]) // 2])
    content[1000] ^= 1
    folder = cut_run(whole, tmp_path / "run", bytes(content))
    with pytest.raises(JournalError, match=rf"{SEGMENT}: damaged at byte \d+: .*whole records"):
        resumed(folder)
    assert (folder / FOLDER / SEGMENT).read_bytes() == content
    assert not (folder / "summary.json").exists()


def test_another_strategy_is_another_run(whole, tmp_path):
    folder = cut_run(whole, tmp_path / "run", whole[1][: len(whole[1]) // 2])
    config = interrupted_run(folder)
    config.strategy.config = {"half_spread_bps": 2}
    before = (folder / FOLDER / SEGMENT).read_bytes()
    with pytest.raises(JournalError, match="journal record 2: the run differs from its journal"):
        run_backtest(config, report=False, resume=True)
    raw = journal_bytes.read(folder / FOLDER)
    assert before.startswith((folder / FOLDER / SEGMENT).read_bytes())
    assert len(raw) > 100, "nothing was lost"


def test_other_data_is_another_run(whole, tmp_path):
    folder = cut_run(whole, tmp_path / "run", whole[1][: len(whole[1]) // 2])
    generate(tmp_path / "other", duration_s=20.0, seed=8)
    config = interrupted_run(folder)
    config.catalog = str(tmp_path / "other")
    with pytest.raises(BacktestError, match="the data has changed since the run began: expected"):
        run_backtest(config, report=False, resume=True)


def test_what_cannot_be_gone_on_with_is_said(whole, tmp_path):
    def told(*arguments):
        process = subprocess.run(
            [sys.executable, "-c", COMMAND, "backtest", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        return process.returncode, process.stderr

    code, said = told(f"resume={whole[0].run_dir}")
    assert (code, "has ended, there is nothing to go on with" in said) == (1, True)
    code, said = told(f"resume={tmp_path}")
    assert (code, "expected the folder of a run with config.yaml and journal/" in said) == (1, True)
    code, said = told(f"resume={tmp_path}", "seed=3")
    assert (code, "a run goes on with its own settings" in said) == (2, True)


@pytest.fixture
def slow(catalog, tmp_path):
    """A run in a process of its own, whose handlers take a few milliseconds each."""
    run = SlowRuns(catalog, tmp_path)
    run.make("reference", pause=0.0)
    return run


class SlowRuns:
    """Runs of one strategy, each in a process and a folder of its own."""

    def __init__(self, catalog, root):
        self.catalog, self.root = catalog, root

    def start(self, name, *, pause, resume=False, before=None):
        """A process that runs, or goes on with a run."""
        (self.root / "mine.py").write_text(SLOW.replace("PAUSE", str(pause)))
        folder = self.root / name
        arguments = (
            [f"resume={folder}"]
            if resume
            else [
                "strategy=mine:Slow",
                f"catalog={self.catalog}",
                f"instrument={ID}",
                f"run.dir={folder}",
                "run.journal_sync=10ms",
            ]
        )
        return subprocess.Popen(
            [sys.executable, "-c", COMMAND, "backtest", *arguments, "output=json"],
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=before,  # noqa: PLW1509 - there are no threads here.
        )

    def make(self, name, **values):
        """Exit code, summary and words of a process that was left to itself."""
        process = self.start(name, **values)
        out, err = process.communicate()
        return process.returncode, json.loads(out) if process.returncode == 0 else None, err

    def begun(self, name):
        """Waits until the journal of a run has some records."""
        segment = self.root / name / FOLDER / SEGMENT
        for _ in range(2_000):
            if segment.is_file() and segment.stat().st_size > 4_000:
                return
            time.sleep(0.005)
        raise AssertionError(f"{segment} has not grown")

    def same_as_reference(self, name):
        summaries = [
            json.loads((self.root / each / "summary.json").read_text())
            for each in ("reference", name)
        ]
        assert summaries[0]["result_sha256"] == summaries[1]["result_sha256"]


def test_killed_processes_go_on(slow):
    """With -9, at any moment: `COBALT_KILLS` of them."""
    chance = random.Random(11)
    for number in range(int(os.environ.get("COBALT_KILLS", "4"))):
        name = f"killed-{number}"
        process = slow.start(name, pause=0.005)
        slow.begun(name)
        time.sleep(chance.random() * 0.7)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not (slow.root / name / "summary.json").exists()
        code, summary, said = slow.make(name, pause=0.0, resume=True)
        assert code == 0, said
        assert summary is not None
        slow.same_as_reference(name)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_process_says_how_to_go_on(slow, sent):
    process = slow.start("stopped", pause=0.005)
    slow.begun("stopped")
    process.send_signal(sent)
    _, said = process.communicate()
    assert process.returncode == 128 + sent
    assert f"cobalt: stopped; cobalt backtest resume={slow.root / 'stopped'} goes on" in said
    info = Journal(slow.root / "stopped").info()
    assert (info.ended, info.torn) == (False, None)
    assert info.error is not None
    assert slow.make("stopped", pause=0.0, resume=True)[0] == 0
    slow.same_as_reference("stopped")


def test_a_full_disk_is_told_and_the_run_goes_on_when_there_is_room(slow):
    def no_room():
        # The file may not grow beyond this; Python ignores the signal, so that writing fails.
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))

    code, _, said = slow.make("full", pause=0.0, before=no_room)
    assert code == 1
    assert f"{SEGMENT}: File too large" in said
    assert f"cobalt backtest resume={slow.root / 'full'} goes on" in said
    assert not (slow.root / "full" / "summary.json").exists()
    code, _, said = slow.make("full", pause=0.0, resume=True)
    assert code == 0, said
    slow.same_as_reference("full")
