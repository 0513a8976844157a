"""`exchange.queue=l3_fifo` from the catalog to the fills."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from engine import Strategy, _core
from engine.backtest import Backtest, BacktestError, run_backtest
from engine.catalog import Catalog
from engine.catalog_tables import order_events, orders_table
from engine.config import ExchangeConfig, LatencyConfig, RunConfig, StrategyConfig
from engine.instruments import load_instrument
from engine.results import MemorySink
from engine.testnet import Venue, batches, generate
from tests import market
from tests.market import LINEAR, SECOND, START

if TYPE_CHECKING:
    from pathlib import Path

ID = "BTCUSDT-PERP.TESTNETB"
VENUES = (Venue(ID, activity=0.5),)
ADD, CHANGE, DELETE = 12, 13, 14


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("catalog")
    generate(root, duration_s=20.0, venues=VENUES, orders=True)
    return root


def configured(catalog: Path, run_dir: Path, **exchange: object) -> RunConfig:
    strategy = StrategyConfig("strategies.market_maker:MarketMaker", {})
    config = RunConfig(strategy=strategy, catalog=str(catalog))
    config.instrument = {ID: load_instrument(ID).to_mapping()}
    config.run.dir = str(run_dir)
    config.exchange = ExchangeConfig(queue="l3_fifo", **exchange)  # type: ignore[arg-type]
    return config


def test_the_testnet_keeps_its_orders_apart(catalog: Path, tmp_path: Path) -> None:
    generate(tmp_path, duration_s=20.0, venues=VENUES)
    with_orders, without = Catalog(catalog), Catalog(tmp_path)
    kinds = ["depth", "trades", "quotes"]
    for kind in kinds:
        left, right = (list(held.batches(ID, kind)) for held in (with_orders, without))
        assert np.array_equal(np.concatenate(left), np.concatenate(right))
    manifest = with_orders.manifest(ID)
    assert {entry.provenance for entry in manifest.of_kind("orders")} == {"testnet"}
    assert not without.manifest(ID).of_kind("orders")
    assert manifest.imports[0].sources[0].name.endswith(", with orders")
    made = [
        rows
        for _, kind, rows in batches(
            seed=7, duration_s=20.0, venues=[Venue(ID, activity=0.5, orders=True)]
        )
        if kind == "orders"
    ]
    stored = np.concatenate(list(with_orders.order_events(ID, batch_rows=5_000)))
    assert np.array_equal(stored, np.concatenate(made))


def test_rows_and_tables_are_inverse() -> None:
    rows = market.trades([(1, 1, 1_000, 5)]).copy()
    rows["kind"], rows["seq"], rows["ts_event_ns"] = DELETE, 2**63 + 1, _core.TS_NONE
    import polars as pl

    frame = pl.from_arrow(orders_table(rows))
    assert isinstance(frame, pl.DataFrame)
    assert np.array_equal(order_events(frame, index=int(rows["instrument"][0])), rows)


@pytest.mark.parametrize("causal", [False, True])
def test_a_run_on_single_orders(catalog: Path, tmp_path: Path, causal: bool) -> None:
    first, again = (
        run_backtest(configured(catalog, tmp_path / name, causal_responses=causal)).summary
        for name in ("first", "again")
    )
    assert first["fills"] > 0
    assert first["provenance"] == "testnet"
    assert first["result_sha256"] == again["result_sha256"]
    config = configured(catalog, tmp_path / "guess", causal_responses=causal)
    config.exchange.queue = "risk_averse"
    guess = run_backtest(config).summary
    # The strategy sees what it would see without them; the run depends on them.
    seen = ("events", "messages", "level_updates", "start")
    assert [first[name] for name in seen] == [guess[name] for name in seen]
    assert first["data_sha256"] != guess["data_sha256"]
    assert first["result_sha256"] != guess["result_sha256"]


def test_a_later_start_knows_the_orders_before_it(catalog: Path, tmp_path: Path) -> None:
    config = configured(catalog, tmp_path)
    config.data.start = "2024-01-01T00:00:10"
    assert run_backtest(config).summary["fills"] > 0


def test_a_catalog_without_orders_is_refused(tmp_path: Path) -> None:
    generate(tmp_path / "data", duration_s=0.5, venues=VENUES)
    with pytest.raises(BacktestError, match=rf"l3_fifo: catalog .* has no single orders of {ID};"):
        run_backtest(configured(tmp_path / "data", tmp_path / "run"))


class BuyAtStart(Strategy):
    def on_start(self) -> None:
        self.buy(LINEAR.id, "0.1", limit="99.9")


def test_feeds_by_hand() -> None:
    exchange = ExchangeConfig(queue="l3_fifo", fill="partial")
    latency = LatencyConfig(order_entry_ns=0, response_ns=0)
    depth, trades = market.depth(), market.trades([])
    feeds = {(LINEAR.id, "depth"): [depth], (LINEAR.id, "trades"): [trades]}
    with pytest.raises(ValueError, match=f"l3_fifo needs the single orders of {LINEAR.id}"):
        Backtest([LINEAR], BuyAtStart(None), feeds, latency=latency, exchange=exchange)
    orders = np.zeros(4, _core.EVENT_DTYPE)
    orders["ts_event_ns"] = START + np.array([0, 2, 3, 4]) * SECOND
    orders["ts_recv_ns"] = orders["ts_event_ns"]
    orders["kind"] = (ADD, ADD, DELETE, CHANGE)
    orders["seq"] = (1, 2, 1, 2)
    orders["side"], orders["px_ticks"], orders["flags"] = 1, 999, 3
    orders["qty_lots"] = (1_000, 5, 0, 4)
    feeds[LINEAR.id, "orders"] = [orders]
    backtest = Backtest(
        [LINEAR],
        BuyAtStart(None),
        feeds,
        latency=latency,
        exchange=exchange,
        cash={"USD": "1000"},
    )
    sink = MemorySink()
    backtest.run(sink)
    fills = sink.tables["fills"].to_pylist()
    assert [(fill["ts_event_ns"], fill["qty_lots"]) for fill in fills] == [(START + 4 * SECOND, 1)]
