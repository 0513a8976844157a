"""Runs from a catalog: the run folder, its provenance, determinism across processes, errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from engine.backtest import BacktestError, load_strategy, run_backtest
from engine.catalog import Catalog, SourceEntry
from engine.config import ConfigError, RunConfig, StrategyConfig
from engine.instruments import load_instrument
from engine.testnet import generate

ID = "BTCUSDT-PERP.TESTNETA"
TARGETS = {
    "market_maker": "strategies.market_maker:MarketMaker",
    "imbalance_taker": "strategies.imbalance_taker:ImbalanceTaker",
    "ma_cross": "strategies.ma_cross:MaCross",
}
SUMMARY_KEYS = {
    "mode",
    "provenance",
    "events",
    "level_updates",
    "wall_s",
    "events_per_s",
    "orders",
    "fills",
    "pnl",
    "fees",
    "max_drawdown",
    "sharpe",
    "peak_rss_mb",
    "config_sha256",
    "data_sha256",
    "result_sha256",
    "versions",
}


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    root = tmp_path_factory.mktemp("catalog")
    generate(root, duration_s=60.0)
    return root


def configured(catalog, run_dir, strategy="market_maker", instruments=(ID,), **values):
    config = RunConfig(strategy=StrategyConfig(TARGETS[strategy], values), catalog=str(catalog))
    config.instrument = {name: load_instrument(name).to_mapping() for name in instruments}
    config.run.dir = str(run_dir)
    return config


@pytest.mark.parametrize("strategy", sorted(TARGETS))
def test_each_example_trades_and_says_testnet(strategy, catalog, tmp_path):
    result = run_backtest(configured(catalog, tmp_path, strategy))
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary == result.summary
    assert summary.keys() >= SUMMARY_KEYS
    assert summary["provenance"] == "testnet"
    assert summary["fills"] > 0
    fills = pq.read_table(tmp_path / "fills.parquet")
    orders = pq.read_table(tmp_path / "orders.parquet")
    equity = pq.read_table(tmp_path / "equity.parquet")
    assert fills.num_rows == summary["fills"]
    assert orders.num_rows == summary["orders"]
    last = equity.to_pylist()[-1]
    assert last["equity"] - 100_000 == pytest.approx(summary["pnl"])
    assert sum(fills["fee"].to_pylist()) == pytest.approx(summary["fees"])
    profit = last["realized_pnl"] + last["unrealized_pnl"] - last["fees"]
    assert profit == pytest.approx(summary["pnl"])


def test_several_instruments_settle_in_their_own_currency(catalog, tmp_path):
    ids = (ID, "BTCUSDT-PERP.TESTNETB", "BTCUSDT.TESTNETC")
    summary = run_backtest(configured(catalog, tmp_path, instruments=ids)).summary
    assert summary["instruments"] == list(ids)
    assert set(summary["books"]) == set(ids)
    assert summary["currency"] == "USDT"
    traded = set(pq.read_table(tmp_path / "fills.parquet")["instrument"].to_pylist())
    assert len(traded) > 1


def test_other_batches_and_other_folders_change_nothing(catalog, tmp_path):
    first = run_backtest(configured(catalog, tmp_path / "a")).summary
    config = configured(catalog, tmp_path / "b")
    config.data.batch_rows = 1_000
    config.run.name = "renamed"
    second = run_backtest(config).summary
    assert second["result_sha256"] == first["result_sha256"]
    assert second["data_sha256"] == first["data_sha256"]


@pytest.mark.parametrize("change", ["seed", "latency", "fees", "qty"])
def test_what_matters_changes_the_hash(change, catalog, tmp_path):
    base = run_backtest(configured(catalog, tmp_path / "a")).summary
    config = configured(catalog, tmp_path / "b", **({"qty": "0.02"} if change == "qty" else {}))
    if change == "seed":
        config.seed = 8
    elif change == "latency":
        config.latency.order_entry_ns = 1_000_000
    elif change == "fees":
        config.fees.maker = "-0.0001"
    other = run_backtest(config).summary
    assert other["result_sha256"] != base["result_sha256"]
    assert other["config_sha256"] != base["config_sha256"]
    if change == "fees":
        assert other["fees"] < 0, "a rebate is income"


def test_another_process_with_another_hash_seed_gives_the_same_bytes(catalog, tmp_path):
    script = (
        "import sys; from tests.test_run import configured;"
        "from engine.backtest import run_backtest;"
        "print(run_backtest(configured(sys.argv[1], sys.argv[2])).summary['result_sha256'])"
    )
    hashes = set()
    for seed in ("0", "12345"):
        done = subprocess.run(
            [sys.executable, "-c", script, str(catalog), str(tmp_path / seed)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        hashes.add(done.stdout.strip())
    assert len(hashes) == 1
    assert len(hashes.pop()) == 64
    fills = [(tmp_path / seed / "fills.parquet").read_bytes() for seed in ("0", "12345")]
    assert fills[0] == fills[1]


def test_a_range_cuts_the_run(catalog, tmp_path):
    whole = run_backtest(configured(catalog, tmp_path / "a")).summary
    config = configured(catalog, tmp_path / "b")
    config.data.end = "2024-01-01T00:00:20"
    part = run_backtest(config).summary
    assert 0 < part["events"] < whole["events"]
    assert part["end"] < "2024-01-01T00:00:20"
    config.data.start, config.data.end = "2024-01-02", None
    with pytest.raises(BacktestError, match="no events in the range"):
        run_backtest(config)
    config.data.start, config.data.end = "2024-01-02", "2024-01-01"
    with pytest.raises(ConfigError, match=r"data\.end: expected a time after data\.start"):
        run_backtest(config)


def test_a_book_without_a_snapshot_is_told(catalog, tmp_path):
    writer = Catalog(tmp_path / "bare").writer
    source = [SourceEntry("made by hand", "0" * 64)]
    with writer(load_instrument(ID), provenance="testnet", source=source) as bare:
        for rows in Catalog(catalog).batches(ID, "depth"):
            bare.append("depth", rows[rows["kind"] == 1])
        bare.commit()
    summary = run_backtest(configured(tmp_path / "bare", tmp_path / "run")).summary
    assert summary["orders"] == 0
    (warning,) = summary["warnings"]
    assert warning == f"{ID}: no depth snapshot, so its book was never shown or traded on"


def test_missing_data_is_an_error_with_the_way_out(catalog, tmp_path):
    config = configured(catalog, tmp_path, instruments=("ETHUSDT.BINANCE",))
    with pytest.raises(BacktestError, match=r"no data for ETHUSDT\.BINANCE; it holds BTCUSDT-PERP"):
        run_backtest(config)
    config.catalog = str(tmp_path / "empty")
    with pytest.raises(BacktestError, match="it is empty. Import a recording with `cobalt import"):
        run_backtest(config)
    assert not (tmp_path / "summary.json").exists()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("market_maker", "expected module:Class, found 'market_maker'"),
        ("strategies.nothing:X", "no module 'strategies.nothing'"),
        ("strategies.market_maker:MarketMakr", "did you mean 'MarketMaker'"),
        ("strategies.market_maker:MarketMakerConfig", "has no strategy 'MarketMakerConfig'"),
    ],
)
def test_a_strategy_that_is_not_there(target, message):
    with pytest.raises(ConfigError, match=message):
        load_strategy(RunConfig(strategy=StrategyConfig(target)))


def test_a_strategy_key_that_is_not_there(catalog, tmp_path):
    with pytest.raises(ConfigError, match=r"did you mean 'strategy\.config\.max_position'"):
        run_backtest(configured(catalog, tmp_path, max_positon=1))
