"""Statistics of whole runs, on testnet data and, where there are any, on recordings: what the
kernel noted against what a strategy saw, and the figures against a computation from the files.
"""

from __future__ import annotations

import bisect
import itertools
import json
import math
import statistics as plain

import polars as pl
import pytest

from engine.backtest import Backtest, run_backtest
from engine.catalog import Catalog
from engine.config import LatencyConfig, RunConfig, StrategyConfig
from engine.instruments import load_instrument
from engine.results import MemorySink
from engine.run_folder import read_run
from engine.testnet import generate
from engine.units import timestamp_ns
from strategies.market_maker import MarketMaker, MarketMakerConfig

TESTNET = "BTCUSDT-PERP.TESTNETA"
LINEAR, SPOT, INVERSE = "BTCUSDT-PERP.BINANCE", "BTCUSDT.BINANCE", "BTCUSD-PERP.BINANCE"
MAKER, TAKER = "strategies.market_maker:MarketMaker", "strategies.imbalance_taker:ImbalanceTaker"
YEAR_S = 365 * 86_400
HORIZONS = {
    "fill": "mid",
    "100ms": "mid_100ms",
    "1s": "mid_1s",
    "10s": "mid_10s",
    "60s": "mid_60s",
}


@pytest.fixture(scope="module")
def testnet(tmp_path_factory):
    root = tmp_path_factory.mktemp("catalog")
    generate(root, duration_s=90.0)
    return Catalog(root)


RUNS = [
    (False, [TESTNET], MAKER, {}),
    (False, ["BTCUSDT.TESTNETC", "BTCUSDT-PERP.TESTNETB"], TAKER, {"cooldown": "100ms"}),
    (True, [LINEAR], MAKER, {}),
    (True, [LINEAR, SPOT], TAKER, {}),
    (True, [INVERSE, LINEAR], MAKER, {"qty": "10", "max_position": 50.0}),
    (True, [INVERSE], TAKER, {"qty": "10"}),
]


@pytest.fixture(scope="module", params=RUNS, ids=lambda run: f"{run[1][0]}-{run[2][-5:]}")
def run(request, testnet, tmp_path_factory):
    recorded, instruments, target, values = request.param
    catalog = request.getfixturevalue("recorded_catalog") if recorded else testnet
    config = RunConfig(strategy=StrategyConfig(target, values), catalog=str(catalog.root))
    config.instrument = {name: load_instrument(name).to_mapping() for name in instruments}
    config.run.dir = str(tmp_path_factory.mktemp("run"))
    config.fees.maker = "-0.00005"
    return read_run(run_backtest(config).run_dir)


def frames(run, currency):
    """Fills with their orders and contracts, and samples, of one currency."""
    contracts = pl.DataFrame(
        [
            {"instrument": n, "inverse": d["kind"] == "inverse", "size": float(d["contract_size"])}
            for n, d in run.definitions.items()
        ]
    )
    read = {
        name: pl.read_parquet(run.folder / f"{name}.parquet").with_columns(
            pl.col("instrument").cast(pl.String)
        )
        for name in ("fills", "orders", "equity")
    }
    fills = (
        read["fills"]
        .join(read["orders"].select("order_id", "arrival_mid"), on="order_id", how="left")
        .join(contracts, on="instrument")
        .filter(pl.col("currency") == currency)
        .with_columns(
            signed=pl.when(pl.col("side") == "buy").then(pl.col("qty")).otherwise(-pl.col("qty"))
        )
    )
    equity = read["equity"].filter(pl.col("currency") == currency).join(contracts, on="instrument")
    return fills, equity


def value(row, px, qty):
    return -row["size"] * qty / px if row["inverse"] else row["size"] * qty * px


class TestFigures:
    def test_the_four_parts_sum_to_the_profit(self, run):
        found = run.statistics
        assert sum(f.trading.fills for f in found.overall.values()) == run.summary["fills"] > 0
        for currency, figures in [*found.overall.items(), *found.by_instrument.items()]:
            parts = figures.attribution
            total = parts.spread + parts.inventory + parts.fees + parts.funding
            # Floats here, and 1e-12 of its currency in the kernel for each value of a contract.
            trading = figures.trading
            rounding = 1e-14 * (figures.equity.initial + trading.turnover)
            rounding += 2e-12 * (1 + trading.fills)
            assert total == pytest.approx(parts.pnl, abs=rounding), currency
            assert parts.fills_without_mid == 0
        for currency, series in found.series.items():
            total = series.spread + series.inventory + series.fees + series.funding
            assert total == pytest.approx(series.equity - series.initial, abs=1e-6)
            told = run.summary["by_currency"][currency]
            assert found.overall[currency].attribution.pnl == told["pnl"]

    def test_attribution_is_that_of_a_loop(self, run):
        for currency, figures in run.statistics.overall.items():
            fills, equity = frames(run, currency)
            spread = inventory = 0.0
            for name in equity["instrument"].unique():
                rows = [
                    *((r["ts_recv_ns"], 0, r) for r in fills.iter_rows(named=True)),
                    *((r["ts_ns"], 1, r) for r in equity.iter_rows(named=True)),
                ]
                rows = sorted((r for r in rows if r[2]["instrument"] == name), key=lambda r: r[:2])
                held, mark = 0.0, None
                for _, is_sample, row in rows:
                    if held:
                        inventory += value(row, row["mid"], held) - value(row, mark, held)
                    if not is_sample:
                        spread += value(row, row["mid"], row["signed"])
                        spread -= value(row, row["px"], row["signed"])
                    held, mark = row["position"], row["mid"]
            parts = figures.attribution
            assert parts.spread == pytest.approx(spread, abs=1e-6)
            assert parts.inventory == pytest.approx(inventory, abs=1e-6)

    def test_trading_is_that_of_the_files(self, run):
        for currency, figures in run.statistics.overall.items():
            fills, _ = frames(run, currency)
            rows = fills.to_dicts()
            trading = figures.trading
            values = [abs(value(row, row["px"], row["qty"])) for row in rows]
            assert trading.turnover == pytest.approx(sum(values))
            assert trading.fees == pytest.approx(sum(row["fee"] for row in rows))
            made = [v for row, v in zip(rows, values, strict=True) if row["liquidity"] == "maker"]
            if rows:
                assert trading.maker_share == pytest.approx(sum(made) / sum(values))
            arrived = [row for row in rows if row["arrival_mid"] is not None]
            costs = [
                value(row, row["px"], row["signed"]) - value(row, row["arrival_mid"], row["signed"])
                for row in arrived
            ]
            at = sum(abs(value(row, row["arrival_mid"], row["qty"])) for row in arrived)
            assert trading.slippage.fills == len(arrived) == len(rows)
            if rows:
                assert trading.slippage.bps == pytest.approx(sum(costs) / at * 1e4)
            for markout in trading.markouts:
                column = HORIZONS[markout.horizon]
                seen = [row for row in rows if row[column] is not None]
                gains = [
                    value(row, row[column], row["signed"]) - value(row, row["px"], row["signed"])
                    for row in seen
                ]
                assert markout.fills == len(seen)
                if seen:
                    assert markout.amount == pytest.approx(sum(gains), rel=1e-9, abs=1e-9)
                    whole = sum(abs(value(row, row["px"], row["qty"])) for row in seen)
                    assert markout.bps == pytest.approx(
                        sum(gains) / whole * 1e4, rel=1e-9, abs=1e-9
                    )

    def test_the_curve_is_that_of_the_files(self, run):
        for currency, figures in run.statistics.overall.items():
            _, equity = frames(run, currency)
            values = equity.group_by("ts_ns").agg(pl.col("equity").first()).sort("ts_ns")["equity"]
            initial = run.summary["by_currency"][currency]["initial"]
            path = [initial, *values]
            changes = [b - a for a, b in itertools.pairwise(path)]
            told = run.summary["by_currency"][currency]
            curve = figures.equity
            assert (curve.pnl, curve.max_drawdown) == (told["pnl"], told["max_drawdown"])
            if figures.trading.fills == 0:
                assert curve.sharpe is None
                continue
            year = math.sqrt(YEAR_S)
            mean = plain.mean(changes)
            assert curve.sharpe == pytest.approx(mean / plain.stdev(changes) * year, rel=1e-6)
            assert curve.sharpe == pytest.approx(told["sharpe"], rel=1e-6)
            downside = math.sqrt(plain.mean([min(change, 0.0) ** 2 for change in changes]))
            assert curve.sortino == pytest.approx(mean / downside * year, rel=1e-6)
            deepest = max(max(path[: n + 1]) - path[n] for n in range(len(path)))
            assert curve.max_drawdown == deepest == curve.drawdowns[0].depth
            span_s = (int(equity["ts_ns"].max()) - timestamp_ns(run.summary["start"])) / 1e9
            assert curve.calmar == pytest.approx(curve.pnl / deepest * YEAR_S / span_s)

    def test_trips_and_exposure_are_those_of_the_files(self, run):
        end_ns = int(run.tables["equity"]["ts_ns"].to_numpy().max())
        start_ns = timestamp_ns(run.summary["start"])
        for name, figures in run.statistics.by_instrument.items():
            fills, equity = frames(run, figures.currency)
            rows = fills.filter(pl.col("instrument") == name).to_dicts()
            trips, pnl, began, held, in_market, since = [], 0.0, 0, 0.0, 0, start_ns
            for row in rows:
                if held:
                    in_market += row["ts_recv_ns"] - since
                since = row["ts_recv_ns"]
                if held == 0:
                    pnl, began = 0.0, row["ts_event_ns"]
                closes = held * row["position"] <= 0 and held != 0
                part = min(abs(held / row["signed"]), 1.0) if closes else 1.0
                pnl -= value(row, row["px"], row["signed"] * part) + row["fee"] * part
                if closes:
                    trips.append((pnl, (row["ts_event_ns"] - began) / 1e9))
                    left = 1 - part
                    pnl = -value(row, row["px"], row["signed"] * left) - row["fee"] * left
                    began = row["ts_event_ns"]
                held = row["position"]
            in_market += (end_ns - since) if held else 0
            exposure = figures.exposure
            share = in_market / (end_ns - start_ns)
            assert exposure.time_in_market == pytest.approx(share, abs=1e-8)
            told = figures.round_trips
            assert told.count == len(trips)
            if trips:
                assert told.pnl_mean == pytest.approx(plain.mean(t[0] for t in trips), abs=1e-9)
                assert told.hit_rate == sum(t[0] > 1e-9 for t in trips) / len(trips)
                assert told.holding_s.p50 == pytest.approx(plain.median(t[1] for t in trips))
            samples = equity.filter(pl.col("instrument") == name).to_dicts()
            gross = [
                abs(value(s, s["mid"], s["position"])) if s["position"] else 0.0 for s in samples
            ]
            assert exposure.gross_max == pytest.approx(max(gross))
            assert exposure.gross_mean == pytest.approx(plain.mean(gross))

    def test_the_wait_in_the_queue_is_that_of_the_files(self, run):
        placements = pl.read_parquet(run.folder / "placements.parquet").to_dicts()
        places = {}
        for row in placements:
            known = places.setdefault(row["order_id"], [])
            if not known or row["px"] != known[-1][1] or row["qty"] > known[-1][2]:
                known.append((row["ts_event_ns"], row["px"], row["qty"]))
            else:
                known[-1] = (known[-1][0], row["px"], row["qty"])
        for currency, figures in run.statistics.overall.items():
            fills, _ = frames(run, currency)
            waits = [
                row["ts_event_ns"]
                - max(ts for ts, _, _ in places[row["order_id"]] if ts <= row["ts_event_ns"])
                for row in fills.filter(pl.col("liquidity") == "maker").iter_rows(named=True)
            ]
            told = figures.trading.queue_wait_s
            assert told.count == len(waits)
            if waits:
                assert told.highest == max(waits) / 1e9
                assert told.p50 == pytest.approx(plain.median(waits) / 1e9)
        orders = pl.read_parquet(run.folder / "orders.parquet")
        first = {order: known[0][0] for order, known in places.items()}
        told = dict(orders.select("order_id", "ts_accept_ns").drop_nulls().iter_rows())
        assert told == first

    def test_files_and_summary_have_them(self, run):
        told = json.loads((run.folder / "statistics.json").read_text())
        assert told == run.statistics.to_dict()
        assert told["strategy"] == run.summary["strategy"]
        for currency, figures in run.statistics.overall.items():
            part = run.summary["by_currency"][currency]
            assert part["sortino"] == figures.equity.sortino
            assert part["hit_rate"] == figures.round_trips.hit_rate
        reporting = run.summary["reporting"]
        if len(run.statistics.overall) == 1:
            assert reporting["currency"] == run.summary["currency"]
            assert reporting["pnl"] == run.summary["pnl"]
        else:
            mid = run.tables["equity"].to_pylist()[-1]["mid"]
            parts = run.summary["by_currency"]
            total = parts["USDT"]["equity"] + parts["BTC"]["equity"] * mid
            in_usdt = reporting["equity"] * (1 if reporting["currency"] == "USDT" else mid)
            assert in_usdt == pytest.approx(total, rel=1e-12)


class Watcher(MarketMaker):
    """A market maker that writes down the mid of every message, and when it was lost."""

    def on_start(self):
        super().on_start()
        self.mids = {name: [] for name in self.instruments}
        self.given = {}
        for name in self.instruments:
            self.subscribe_book(name)

    def on_book(self, book):
        self.mids[book.instrument].append((self.clock.now_ns, book.mid))
        super().on_book(book)

    def on_gap(self, gap):
        self.mids[gap.instrument].append((self.clock.now_ns, None))

    def on_order(self, order):
        self.given.setdefault(order.id, order)


def seen_at(mids, ts_ns):
    """The last mid at or before a time."""
    at = bisect.bisect_right(mids, ts_ns, key=lambda row: row[0])
    return mids[at - 1][1] if at else None


@pytest.mark.parametrize("recorded", [False, True])
def test_the_mids_of_fills_are_those_that_a_strategy_saw(recorded, testnet, request):
    catalog = request.getfixturevalue("recorded_catalog") if recorded else testnet
    ids = [LINEAR, SPOT] if recorded else [TESTNET, "BTCUSDT.TESTNETC"]
    strategy = Watcher(MarketMakerConfig())
    feeds = {
        (name, kind): catalog.batches(name, kind, batch_rows=10_000)
        for name in ids
        for kind in ("depth", "trades")
    }
    backtest = Backtest(
        [load_instrument(name) for name in ids], strategy, feeds, latency=LatencyConfig()
    )
    sink = MemorySink()
    backtest.run(sink)
    end_ns = backtest.kernel.now_ns
    fills, orders = sink.tables["fills"].to_pylist(), sink.tables["orders"].to_pylist()
    assert len(fills) > (100 if recorded else 5)
    assert [row["ts_recv_ns"] for row in fills] == sorted(row["ts_recv_ns"] for row in fills)
    checked = 0
    delays = (0, 100_000_000, 1_000_000_000, 10_000_000_000, 60_000_000_000)
    for row in fills:
        for column, after_ns in zip(HORIZONS.values(), delays, strict=True):
            ts_ns = row["ts_recv_ns"] + after_ns
            expected = seen_at(strategy.mids[row["instrument"]], ts_ns)
            assert row[column] == (expected if ts_ns <= end_ns else None)
            checked += ts_ns <= end_ns
    assert checked > len(fills) * 2
    for row in orders:
        # A strategy acts after the message that it acts on.
        expected = seen_at(strategy.mids[row["instrument"]], row["ts_submit_ns"])
        assert row["arrival_mid"] == expected
