"""Funding in runs: who pays whom, how much and when."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pyarrow as pa
import pytest

from engine import Strategy
from engine.backtest import BacktestError, _unpaid, run_backtest
from engine.catalog import Catalog, SourceEntry
from engine.catalog_tables import funding_schema, marks_schema
from engine.config import (
    AccountConfig,
    ConfigError,
    DataConfig,
    ExchangeConfig,
    LatencyConfig,
    PositionConfig,
    RunConfig,
    RunOptions,
    StrategyConfig,
)
from engine.importers import run_import
from engine.instruments import Bracket, load_instrument
from engine.testnet import generate
from tests.market import LINEAR, SECOND, START
from tests.recordings import ROOT, needs_recordings
from tests.risk_runs import ID, INVERSE, MS, quotes, run


class Watcher(Strategy):
    """Holds what it has."""


def held(qty, instrument=ID, **settings):
    return AccountConfig(positions={instrument: PositionConfig(qty, "100")}, **settings)


@pytest.mark.parametrize(
    ("qty", "rate", "amount"),
    [("3", 0.0001, -0.03), ("-3", 0.0001, 0.03), ("3", -0.0002, 0.06), ("-3", -0.0002, -0.06)],
)
def test_longs_pay_shorts_where_the_rate_is_positive(qty, rate, amount):
    strategy = run({}, fundings={ID: [(2, rate, 100)]}, account=held(qty))
    assert strategy.told == [f"funding {amount}"]
    row = strategy.tables["funding"].to_pylist()[0]
    assert row == {
        "ts_event_ns": START + 2 * SECOND,
        "ts_recv_ns": START + 2 * SECOND + 20 * MS,
        "instrument": ID,
        "position": float(qty),
        "mark": 100.0,
        "rate": rate,
        "amount": amount,
        "currency": "USD",
    }
    assert strategy.kernel.equity()["USD"] == pytest.approx(1_000 + amount, abs=1e-12)
    assert strategy.tables["equity"]["funding"].to_pylist()[-1] == amount


def test_inverse_contracts_pay_in_the_base_asset():
    # 40 contracts of 10 USD at 80 are 5 X, of which a thousandth is 0.005.
    strategy = run(
        {},
        instruments=(INVERSE,),
        fundings={INVERSE.id: [(2, 0.001, 80)]},
        account=held("40", INVERSE.id),
        cash={"X": "1"},
    )
    assert strategy.told == ["funding -0.005"]


def test_the_position_at_the_venue_pays_and_the_newest_mark_counts():
    # Sent half a second before, the order fills in time; the answer comes after the funding.
    strategy = run(
        {1.5: lambda s: s.buy(ID, "2")},
        marks={ID: [(0, 100), (1.9, 101), (2.1, 99)]},
        fundings={ID: [(2, 0.001, None)]},
        latency=LatencyConfig(order_entry_ns=100 * MS, response_ns=900 * MS),
    )
    assert strategy.told == ["1 filled", "1 buy 2.0 @ 100.1", "funding -0.202"]


def test_who_holds_nothing_is_told_nothing():
    strategy = run(
        {2.5: lambda s: s.buy(ID, "2")}, fundings={ID: [(2, 0.001, 100)]}, account=AccountConfig()
    )
    assert strategy.told == ["1 filled", "1 buy 2.0 @ 100.1"]
    assert strategy.tables["funding"].num_rows == 0


def test_a_funding_without_any_mark_is_an_error():
    empty = quotes((0, 99.9, 100.1))[:1]
    empty["flags"] = 3
    with pytest.raises(ValueError, match=f"funding of {ID}: expected a mark price"):
        run({}, fundings={ID: [(1, 0.001, None)]}, depths=[empty], account=held("1"))


def test_causal_funding_is_told_no_earlier_than_the_rate_is_received():
    settings = {
        "fundings": {ID: [(2, 0.001, 100)]},
        "account": held("1"),
        "latency": LatencyConfig(order_entry_ns=0, response_ns=0),
    }
    early = run({}, **settings).tables["funding"]["ts_recv_ns"][0].as_py()
    late = run({}, exchange=ExchangeConfig(causal_responses=True), **settings)
    assert early == START + 2 * SECOND
    assert late.tables["funding"]["ts_recv_ns"][0].as_py() == START + 2 * SECOND + MS


def test_funding_is_paid_out_of_isolated_margin():
    flat = [Bracket("0", "1000000", "0.005", "0", 100)]
    contract = dataclasses.replace(LINEAR, brackets=flat, liquidation_fee="0.01")
    told = []
    run(
        {t: lambda s: told.append(s.liquidation_px(ID)) for t in (1, 3)},
        instruments=(contract,),
        fundings={ID: [(2, 0.01, 100)]},
        account=held("2", margin="isolated", leverage=10),
    )
    # Margin 20, less funding of 2: (200 − margin) / (2 · 0.995).
    assert told == [pytest.approx(180 / 1.99), pytest.approx(182 / 1.99)]


# From a catalog.

PERPETUAL = "BTCUSDT-PERP.TESTNETA"
SPOT = "BTCUSDT.TESTNETC"


def configured(catalog, folder, name, account, **data):
    return RunConfig(
        strategy=StrategyConfig(target="tests.test_funding:Watcher"),
        instrument={name: load_instrument(name).to_mapping()},
        catalog=str(catalog),
        data=DataConfig(**data),
        account=account,
        run=RunOptions(dir=str(folder), equity_every="1m"),
    )


def table(run_dir, name):
    return pl.read_parquet(run_dir / f"{name}.parquet")


@needs_recordings
@pytest.mark.parametrize("coin", ["btc", "eth"])
@pytest.mark.parametrize("qty", ["1.5", "-0.75"])
def test_funding_of_2023_to_the_cent(coin, qty, tmp_path):
    name = f"{coin.upper()}USDT-PERP.BINANCE"
    bars = Path(str(ROOT)) / "bars"
    rates = bars / f"binance_usdm_{coin}usdt_8h_funding_rate.parquet"
    marks = bars / f"binance_usdm_{coin}usdt_8h_mark.parquet"
    for path in (rates, marks):
        run_import("funding", [str(path)], name, str(tmp_path / "catalog"))
    account = held(qty, name, funding="recorded", mark="recorded")
    result = run_backtest(
        configured(tmp_path / "catalog", tmp_path / "run", name, account), report=False
    )
    # Without the engine: each rate on the mark price that opens at its time, longs pay.
    expected = (
        pl.read_parquet(rates)
        .select("ts_ms", rate="open")
        .sort("ts_ms")
        .join_asof(pl.read_parquet(marks).select("ts_ms", mark="open").sort("ts_ms"), on="ts_ms")
        .select((-float(qty) * pl.col("rate") * pl.col("mark")).alias("amount"))["amount"]
    )
    paid = table(tmp_path / "run", "funding")["amount"]
    assert len(paid) == len(expected) == 1_095
    assert (paid - expected).abs().max() < 1e-6
    assert result.summary["funding"] == pytest.approx(expected.sum(), abs=0.005)
    assert result.summary["fundings"] == 1_095


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    root = tmp_path_factory.mktemp("catalog")
    generate(root, duration_s=60.0)
    return root


def test_a_configured_rate_is_paid_at_the_multiples_of_its_time(catalog, tmp_path):
    account = held(
        "2", PERPETUAL, funding="configured", funding_rate="-0.0001", funding_every="20s"
    )
    result = run_backtest(configured(catalog, tmp_path, PERPETUAL, account), report=False)
    rows = table(tmp_path, "funding")
    assert len(rows) == 2
    assert (rows["ts_event_ns"] % (20 * SECOND) == 0).all()
    assert (rows["amount"] - 2 * 0.0001 * rows["mark"]).abs().max() < 1e-9
    assert result.summary["funding"] == pytest.approx(rows["amount"].sum())


def test_a_spot_market_has_no_funding(catalog, tmp_path):
    account = AccountConfig(funding="configured", funding_rate="0.0001", funding_every="1s")
    result = run_backtest(configured(catalog, tmp_path, SPOT, account), report=False)
    assert result.summary["fundings"] == 0


@pytest.mark.parametrize("key", ["funding", "mark"])
def test_recorded_rates_that_are_not_there_are_an_error(key, catalog, tmp_path):
    config = configured(catalog, tmp_path, PERPETUAL, AccountConfig(**{key: "recorded"}))
    with pytest.raises(BacktestError, match=f"account.{key}=recorded: catalog .* has no"):
        run_backtest(config, report=False)


@pytest.mark.parametrize("rate", [None, "x", "1.1", "0.000000001", "NaN", "sNaN", "1e999999"])
def test_a_configured_rate_that_cannot_be(rate, catalog, tmp_path):
    account = AccountConfig(funding="configured", funding_rate=rate)
    with pytest.raises(ConfigError, match="account.funding_rate: expected a share"):
        run_backtest(configured(catalog, tmp_path, PERPETUAL, account), report=False)


@pytest.mark.parametrize("every", ["1ns", "999ms", "x"])
def test_a_time_between_fundings_that_cannot_be(every, catalog, tmp_path):
    account = AccountConfig(funding="configured", funding_rate="0.0001", funding_every=every)
    with pytest.raises(ConfigError, match="account.funding_every: expected"):
        run_backtest(configured(catalog, tmp_path, PERPETUAL, account), report=False)


def add_marks(catalog, root, seconds):
    """A copy of a catalog with a mark price at each of these seconds after its first event."""
    shutil.copytree(catalog, root)
    first_ns = int(next(Catalog(root).batches(PERPETUAL, "depth"))["ts_recv_ns"][0])
    times = [first_ns + int(at * SECOND) for at in seconds]
    source = SourceEntry("made", "0" * 64)
    with Catalog(root).writer(
        load_instrument(PERPETUAL), provenance="testnet", source=[source]
    ) as writer:
        px = [1] * len(times)
        writer.append_rates("marks", pa.table([times, times, px], schema=marks_schema()))
        writer.commit()


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (range(-3, 90, 3), None),
        (range(0, 58, 3), None),
        (range(0, 40, 3), "mark prices only from"),
        (range(20, 90, 3), "mark prices only from"),
        ([0, 200], "fewer than two mark prices"),
        ([30], "fewer than two mark prices"),
        ([*range(20), *range(50, 61)], "its mark price stood still for 31 s in the run"),
    ],
)
def test_marks_count_where_they_span_the_run(seconds, told, catalog, tmp_path):
    root = tmp_path / "catalog"
    add_marks(catalog, root, seconds)
    taken = told is None or "still" in told
    run = configured(root, tmp_path / "run", PERPETUAL, AccountConfig())
    warnings = run_backtest(run, report=False).summary["warnings"]
    found = [text for text in warnings if "mark price" in text]
    assert [told in text for text in found] == ([] if told is None else [True])
    run = configured(root, tmp_path / "recorded", PERPETUAL, AccountConfig(mark="recorded"))
    if taken:
        run_backtest(run, report=False)
    else:
        with pytest.raises(BacktestError, match=f"account.mark=recorded: catalog .* has {told}"):
            run_backtest(run, report=False)


def test_configured_fundings_go_on_to_the_end_of_the_run(catalog, tmp_path):
    # The perpetual's own data end before those of the spot market.
    root = tmp_path / "catalog"
    generate(root, duration_s=30.0)
    shutil.rmtree(Catalog(root).folder(SPOT))
    shutil.copytree(Catalog(catalog).folder(SPOT), Catalog(root).folder(SPOT))
    account = held("1", PERPETUAL, funding="configured", funding_rate="0.0001", funding_every="10s")
    config = configured(root, tmp_path / "run", PERPETUAL, account)
    config.instrument[SPOT] = load_instrument(SPOT).to_mapping()
    assert run_backtest(config, report=False).summary["fundings"] == 5


@pytest.mark.parametrize(
    ("times", "told"),
    [
        ([0, 8, 16], None),
        # To within minutes of its time.
        ([0, 8.05, 16], None),
        ([0, 16], "no funding rate at 1970-01-01T08:00:00.000000000Z, so"),
        ([4, 12], "no funding rate at 1970-01-01T08:00:00.000000000Z and 1 more funding times, so"),
        ([], "no funding rate at 1970-01-01T08:00:00.000000000Z and 1 more funding times, so"),
    ],
)
def test_funding_times_without_a_rate_are_told(times, told):
    hour = 3_600 * SECOND
    span = SimpleNamespace(start_ns=2 * hour, now_ns=17 * hour)
    found = _unpaid([int(at * hour) for at in times], span)
    assert found == (told and f"{told} positions held then paid nothing")


def test_rates_in_the_catalog_count_unless_told_otherwise(catalog, tmp_path):
    root = tmp_path / "catalog"
    shutil.copytree(catalog, root)
    first_ns = next(Catalog(root).batches(PERPETUAL, "depth"))["ts_recv_ns"][0]
    at = int(first_ns) + 30 * SECOND
    with Catalog(root).writer(
        load_instrument(PERPETUAL), provenance="testnet", source=[SourceEntry("made", "0" * 64)]
    ) as writer:
        columns = ([at], [at], [10_000], [None])
        writer.append_rates("funding", pa.table(list(columns), schema=funding_schema()))
        writer.commit()
    # Marks that end before the run say nothing about it, and are not taken.
    with Catalog(root).writer(
        load_instrument(PERPETUAL), provenance="testnet", source=[SourceEntry("old", "1" * 64)]
    ) as writer:
        old = int(first_ns) - 3_600 * SECOND
        writer.append_rates("marks", pa.table([[old], [old], [1]], schema=marks_schema()))
        writer.commit()
    with pytest.raises(BacktestError, match="has no mark prices of .* at the time of the run"):
        late = configured(root, tmp_path / "late", PERPETUAL, AccountConfig(mark="recorded"))
        run_backtest(late, report=False)
    paid = {}
    for funding in ("available", "recorded", "none"):
        account = held("1", PERPETUAL, funding=funding)
        result = run_backtest(
            configured(root, tmp_path / funding, PERPETUAL, account), report=False
        )
        paid[funding] = (result.summary["fundings"], result.summary["data_sha256"])
    assert paid["available"] == paid["recorded"]
    assert [count for count, _ in paid.values()] == [1, 1, 0]
    assert paid["none"][1] != paid["recorded"][1]


def test_a_run_over_a_funding_time_without_rates_says_so(recorded_catalog, tmp_path):
    name = "BTCUSDT-PERP.BINANCE"
    at = "2024-08-09T00:00:00.000000000Z"
    told = f"{name}: no funding rate at {at}, so positions held then paid nothing"
    for account, expected in (({}, [told]), ({"funding": "none"}, [])):
        config = configured(recorded_catalog.root, tmp_path, name, AccountConfig(**account))
        assert run_backtest(config, report=False).summary["warnings"] == expected
