"""The consolidated book, held against brute force on the recordings and on books made by hand."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

import engine
from engine import research
from engine.backtest import Backtest
from engine.cob import definition
from engine.config import CobConfig, LatencyConfig, build
from engine.instruments import load_instrument
from tests import market
from tests.oracles import cob as oracle
from tests.recordings import CASES, needs_recordings

if TYPE_CHECKING:
    from engine.catalog import Catalog

NO_LATENCY = LatencyConfig(order_entry_ns=0, response_ns=0)
FLOATS = ("mid", "best_bid", "best_ask", "spread_bps", "bid_depth", "ask_depth", "imbalance")
ARRAYS = ("bid", "ask", "bucket_imbalance", "vwap", "shares")
BTC = ("BTCUSDT-PERP.BINANCE", "BTCUSDT.BINANCE", "BTCUSD-PERP.BINANCE")


def depth_of(catalog: Catalog, name: str) -> np.ndarray:
    return np.concatenate(list(catalog.batches(name, "depth")))


def check(catalog: Catalog, weights: dict[str, float], size: str, every: int) -> int:
    """Holds every `every`th sample of a group against brute force; how many were compared."""
    frame = pl.concat(research.cob(catalog, weights, bucket=size))
    assert (frame["ts_ns"].diff().drop_nulls() % 100_000_000 == 0).all()
    books = [
        oracle.Book(load_instrument(name), weight, ({}, {})) for name, weight in weights.items()
    ]
    streams = [depth_of(catalog, name) for name in weights]
    wanted = frame.gather_every(every)
    expected = oracle.samples(books, streams, wanted["ts_ns"].to_list(), size, 5_000_000_000)
    for ours, theirs in zip(wanted.iter_rows(named=True), expected, strict=True):
        assert theirs is not None
        for name in FLOATS:
            np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-12, atol=1e-12)
        for name in ARRAYS:
            np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-12, atol=1e-15)
        assert ours["bucket_first"] == theirs["bucket_first"]
        assert ours["venues"] == theirs["venues"].tolist()
        assert ours["crossed"] == theirs["crossed"]
        np.testing.assert_allclose(ours["crossed_qty"], theirs["crossed_qty"], rtol=1e-12)
    return len(wanted)


@needs_recordings
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_one_book_equals_brute_force(case, recorded_catalog):
    assert check(recorded_catalog, {case.id: 1.0}, "10" if "BTC" in case.id else "1", 25) > 130


@needs_recordings
def test_three_books_equal_brute_force(recorded_catalog):
    assert check(recorded_catalog, dict(zip(BTC, (1.0, 2.5, 0.75), strict=True)), "7.5", 40) > 130


@needs_recordings
def test_averages_equal_those_of_all_samples(recorded_catalog):
    frame = pl.concat(research.cob(recorded_catalog, "BTCUSDT-PERP.BINANCE", bucket="2"))
    history = list(frame.select("ts_ns", "bucket_first", "bucket_imbalance").iter_rows(named=True))
    ours = frame["imbalance_ma"].to_numpy()
    for at in range(0, len(history), 97):
        sample = history[at]
        recent = history[max(0, at - 700) : at + 1]
        expected = oracle.averages(recent, sample["ts_ns"], sample["bucket_first"])
        np.testing.assert_allclose(ours[at], expected, rtol=1e-12, atol=1e-14)


@needs_recordings
def test_samples_and_seconds_are_what_was_shown(recorded_catalog):
    class Looks(engine.Strategy):
        def on_start(self):
            self.view = self.subscribe_cob("BTC", "100ms")
            self.seen = []

        def on_cob(self, cob):
            self.seen.append((cob.ts_ns, cob.mid, cob.bid.copy(), cob.imbalance.copy()))
            row = cob.samples[-1]
            assert (row["ts_ns"], row["mid"]) == (cob.ts_ns, cob.mid)
            assert (row["imbalance"] == cob.imbalance).all()

    strategy = Looks(None)
    run(recorded_catalog, BTC, strategy)
    samples, seconds = strategy.view.samples, strategy.view.seconds
    assert (len(samples), len(seconds)) == (640, 300)
    assert samples.dtype == engine.COB_ROW_DTYPE
    assert [ts for ts, *_ in strategy.seen[-640:]] == samples["ts_ns"].tolist()
    np.testing.assert_array_equal([bid for _, _, bid, _ in strategy.seen[-640:]], samples["bid"])
    assert (seconds["ts_ns"] % 1_000_000_000 == 0).all()
    by_time = {ts: imbalance for ts, _, _, imbalance in strategy.seen}
    for row in seconds:
        np.testing.assert_array_equal(by_time[row["ts_ns"]], row["imbalance"])
    check_heatmap(strategy.view)


def check_heatmap(cob):
    first = cob.first_bucket
    for kind in ("bid", "ask", "imbalance", "total"):
        matrix = cob.heatmap(kind, seconds=250, buckets=60)
        assert matrix.shape == (250, 60)
        last = cob.ts_ns // 1_000_000_000 * 1_000_000_000
        expected = np.full((250, 60), np.nan)
        for row in cob.seconds:
            line = 249 - (last - row["ts_ns"]) // 1_000_000_000
            values = row["bid"] + row["ask"] if kind == "total" else row[kind]
            for index, value in enumerate(values):
                column = row["first_bucket"] + index - (first + 20 - 30)
                if line >= 0 and 0 <= column < 60:
                    expected[line, column] = value
        np.testing.assert_array_equal(matrix, expected)
    for wrong in ({"kind": "depth"}, {"seconds": 0}, {"buckets": 10**9}):
        with pytest.raises(ValueError, match=r"expected .*, found"):
            cob.heatmap(**wrong)


def run(catalog, names, strategy, **settings):
    feeds = {(name, "depth"): catalog.batches(name, "depth") for name in names}
    instruments = [load_instrument(name) for name in names]
    backtest = Backtest(instruments, strategy, feeds, latency=NO_LATENCY, **settings)
    backtest.run()
    return backtest


def by_hand(strategy, feeds, **settings):
    """A run over hand-made rows of instruments A and B."""
    definitions = [
        market.LINEAR,
        *([market_b] if any(name == market_b.id for name, _ in feeds) else []),
    ]
    backtest = Backtest(definitions, strategy, feeds, latency=NO_LATENCY, **settings)
    backtest.run()
    return backtest


market_b = type(market.LINEAR)(
    **{
        **market.LINEAR.__dict__,
        "id": "XUSD.TESTB",
        "kind": "spot",
        "lot": "0.01",
        "tick": "0.5",
        "qty_min": "0.01",
    }
)
CONFIG = CobConfig(buckets={"X": "1"}, stale_after="2s")


class Changes(engine.Strategy):
    def on_start(self):
        self.view = self.subscribe_cob("X", "1s")
        self.changes, self.shown = [], []

    def on_cob_member(self, change):
        at = (change.ts_recv_ns - market.START) / market.SECOND
        self.changes.append((change.instrument, change.is_in, change.reason, round(at, 1)))

    def on_cob(self, cob):
        self.shown.append((len(cob.absent), cob.shares["XUSD.TESTB"]))


def test_members_leave_and_come_back():
    message, second = market.message, market.SECOND
    a = market.depth(10)
    start = market.START
    b = np.concatenate([
        message(market.SNAPSHOT, start, 1, [(1, 199, 100), (2, 201, 100)]),
        # A second update later ids are missing, and a snapshot comes at three seconds.
        message(market.DELTA, start + second, 9, [(1, 198, 50)])[:],
        message(market.SNAPSHOT, start + 3 * second, 20, [(1, 199, 100), (2, 201, 100)]),
        # Silence until eight seconds.
        message(market.DELTA, start + 8 * second, 21, [(1, 198, 60)]),
    ])  # fmt: skip
    strategy = Changes(None)
    feeds = {(market.LINEAR.id, "depth"): [a], (market_b.id, "depth"): [b]}
    by_hand(strategy, feeds, cob=CONFIG)
    name = market_b.id
    assert strategy.changes == [
        (market.LINEAR.id, True, None, 0.0),
        (name, True, None, 0.0),
        (name, False, "suspect", 1.0),
        (name, True, None, 3.0),
        (name, False, "stale", 5.1),
        (name, True, None, 8.0),
    ]
    shares = [share for absent, share in strategy.shown if absent]
    assert shares == [0.0] * 5, "at 2 and 3 s (3 ms late), and at 6, 7 and 8 s"
    assert all(share > 0 for absent, share in strategy.shown if not absent)


def test_crossed_members_say_what_could_be_taken():
    class Looks(engine.Strategy):
        def on_start(self):
            self.view = self.cob("X")

        def on_stop(self):
            self.found = self.view.crossings
            self.spread = self.view.spread_bps

    # A bids 99.9 × 1 and asks 100.1 × 1; B asks 99.5 × 0.4 and 99.5 + 0.5 × 2.
    start = market.START
    b = market.message(market.SNAPSHOT, start, 1, [(1, 190, 100), (2, 199, 40), (2, 200, 200)])
    strategy = Looks(None)
    feeds = {(market.LINEAR.id, "depth"): [market.depth(2)], (market_b.id, "depth"): [b]}
    by_hand(strategy, feeds, cob=CONFIG)
    (crossing,) = strategy.found
    assert (crossing.buy, crossing.sell) == (market_b.id, market.LINEAR.id)
    assert (crossing.ask_px, crossing.bid_px, crossing.is_locked) == (99.5, 99.9, False)
    assert crossing.qty == pytest.approx(0.4)
    assert crossing.profit == pytest.approx(0.4 * 0.4)
    assert strategy.spread < 0


def test_without_two_sides_there_is_no_mid():
    class Looks(engine.Strategy):
        def on_start(self):
            self.view = self.subscribe_cob("X")
            self.calls = 0

        def on_cob(self, cob):
            self.calls += 1

        def on_stop(self):
            view = self.view
            assert (view.mid, view.best_bid, view.spread_bps, view.first_bucket) == (None,) * 4
            assert np.isnan(view.bid).all()
            assert np.isnan(view.imbalance_ma).all()
            assert (view.venues.sum(), view.shares, view.supports) == (0, {}, [])

    rows = market.message(market.SNAPSHOT, market.START, 1, [(1, 999, 5)])
    strategy = Looks(None)
    by_hand(strategy, {(market.LINEAR.id, "depth"): [rows]}, cob=CONFIG)
    assert strategy.calls == 0


def test_views_cannot_be_written_and_end_with_the_run():
    class Looks(engine.Strategy):
        def on_start(self):
            self.view = self.subscribe_cob("X", "1s")

    strategy = Looks(None)
    backtest = by_hand(strategy, {(market.LINEAR.id, "depth"): [market.depth(5)]}, cob=CONFIG)
    for array in (strategy.view.bid, strategy.view.samples, strategy.view.imbalance_ma):
        assert not array.flags.writeable
    history = strategy.view.seconds
    ended = weakref.ref(strategy)
    del strategy, backtest
    gc.collect()
    assert ended() is None
    assert (np.diff(history["ts_ns"]) == market.SECOND).all(), "a view keeps its memory alive"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"group": "Y"}, "expected one of X, XUSD-PERP.TEST, XUSD.TESTB, found 'Y'"),
        ({"group": "mine", "members": ["NO.ID"]}, "expected members of the run"),
        ({"group": "mine", "members": []}, "expected members of one base asset, found none"),
        ({"group": "X", "config": CobConfig(buckets={})}, "no bucket size is known for X"),
        (
            {"group": "X", "config": CobConfig(buckets={"X": "1"}, stale_after="soon")},
            "cob.stale_after: expected",
        ),
    ],
)
def test_a_definition_that_cannot_be(arguments, error):
    arguments = {"config": CONFIG, "instruments": [market.LINEAR, market_b], **arguments}
    with pytest.raises(ValueError, match=error):
        definition(**arguments)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"bucket": "0"}, "bucket: expected a positive decimal"),
        ({"bucket": "ten"}, "bucket: expected a positive decimal"),
        ({"bucket": "1e-3"}, "bucket: expected a positive decimal"),
        ({"members": {market.LINEAR.id: -1.0}}, "expected a positive weight for XUSD-PERP.TEST"),
        ({"members": {market.LINEAR.id: float("nan")}}, "positive weight .*, found nan"),
        ({"members": {market.LINEAR.id: "much"}}, "positive weight .*, found 'much'"),
        ({"every": "0s"}, "every: expected a positive time"),
    ],
)
def test_a_subscription_that_cannot_be(settings, error):
    class Asks(engine.Strategy):
        def on_start(self):
            self.subscribe_cob("X", **settings)

    with pytest.raises(engine.StrategyError, match=error):
        by_hand(Asks(None), {(market.LINEAR.id, "depth"): [market.depth(1)]}, cob=CONFIG)


def test_groups_are_configured_by_weight():
    config = CobConfig(
        buckets={"X": "1"}, groups={"mine": {market.LINEAR.id: 2, market_b.id: "0.5"}}
    )
    found = definition("mine", [market.LINEAR, market_b], config)
    assert found.members == {market.LINEAR.id: 2.0, market_b.id: 0.5}
    typed = build(CobConfig, {"groups": {"mine": {market.LINEAR.id: 2, market_b.id: 0.5}}})
    assert typed.groups == {"mine": {market.LINEAR.id: 2, market_b.id: 0.5}}


def test_on_every_message_of_a_member():
    class Counts(engine.Strategy):
        def on_start(self):
            self.view = self.subscribe_cob("X")
            self.mids = []

        def on_cob(self, cob):
            self.mids.append((cob.ts_ns, cob.mid))

    rows = market.depth(2)
    strategy = Counts(None)
    by_hand(strategy, {(market.LINEAR.id, "depth"): [rows]}, cob=CONFIG)
    starts = rows["ts_recv_ns"][(rows["flags"] & market.FIRST) != 0]
    assert [ts for ts, _ in strategy.mids] == starts.tolist()
    assert {mid for _, mid in strategy.mids} == {100.0}


def test_the_same_group_twice_is_one():
    class Asks(engine.Strategy):
        def on_start(self):
            assert self.cob("X") is self.subscribe_cob("X", "1s")
            assert self.cob("X", bucket="1") is self.cob("X")
            with pytest.raises(ValueError, match="as before"):
                self.cob("X", bucket="2")
            assert self.cob("wide", bucket="2", members=[market.LINEAR.id]).bucket_size == 2.0
            assert self.cob(market.LINEAR.id).members == [market.LINEAR.id]

    by_hand(Asks(None), {(market.LINEAR.id, "depth"): [market.depth(1)]}, cob=CONFIG)
