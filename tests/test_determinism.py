"""Equal inputs give an equal hash: other batches, processes, memory or files, resumed or not."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest

from engine.backtest import Backtest, load_strategy, run_backtest
from engine.catalog import Catalog
from engine.cli import main
from engine.config import DataConfig
from engine.journal import FOLDER
from engine.run_journal import interrupted_run
from engine.testnet import generate
from tests import journal_bytes
from tests.recordings import needs_recordings
from tests.test_replay import EXAMPLES, ID, configured

RECORDED = "BTCUSDT-PERP.BINANCE"


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    root = tmp_path_factory.mktemp("catalog")
    generate(root, duration_s=30.0)
    return root


@pytest.fixture(params=["testnet", pytest.param("recorded", marks=needs_recordings)])
def data(request, catalog):
    """Root of a catalog, and what is traded of it."""
    if request.param == "testnet":
        return catalog, ID
    return request.getfixturevalue("recorded_catalog").root, RECORDED


def in_memory(config):
    """The run on arrays that hold all the data, without a file."""
    source = Catalog(config.catalog)
    (instrument,) = config.instruments()
    feeds = {
        (instrument.id, kind): [np.concatenate(list(source.batches(instrument.id, kind)))]
        for kind in ("depth", "trades")
    }
    backtest = Backtest(
        [instrument],
        load_strategy(config),
        feeds,
        latency=config.latency,
        exchange=config.exchange,
        fees=config.fees,
        account=config.account,
        risk=config.risk,
        cash=config.run.cash,
        equity_every=config.run.equity_every,
        seed=config.seed,
        cob=config.cob,
    )
    backtest.run()
    return backtest.kernel.result_sha256


def resumed(config, folder):
    """The run after it was ended in the middle of its journal."""
    (path,) = (folder / FOLDER).iterdir()
    content = journal_bytes.content(path)
    shutil.rmtree(folder / FOLDER)
    (folder / FOLDER).mkdir()
    (folder / FOLDER / "000001.journal").write_bytes(content[: len(content) // 2])
    (folder / "summary.json").unlink()
    return run_backtest(interrupted_run(folder), report=False, resume=True)


@pytest.mark.parametrize("target", EXAMPLES)
def test_a_run_has_one_result(target, data, tmp_path, capsys):
    root, name = data
    config = configured(root, tmp_path / "first", target, (name,))
    result = run_backtest(config, report=False).summary["result_sha256"]
    for rows in (997, 10_000):
        other = dataclasses.replace(config, data=DataConfig(batch_rows=rows))
        other.run = dataclasses.replace(config.run, dir=str(tmp_path / f"batches-{rows}"))
        assert run_backtest(other, report=False).summary["result_sha256"] == result
    assert in_memory(config) == result
    assert resumed(config, tmp_path / "first").summary["result_sha256"] == result
    arguments = [f"strategy={target}", f"catalog={root}", f"instrument={name}"]
    arguments += ["latency.model=lognormal", "latency.order_entry_std_ns=500000"]
    capsys.readouterr()
    assert main(["check", "determinism", *arguments, "output=json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {row["result_sha256"] for row in report["rows"]} == {result}
