"""Nothing is known early: whatever a run tells up to a time, a run that ends there tells as well.

One witness writes down every bar, indicator, pivot, trend, bound, sweep, flow and consolidated book
that a strategy can see. The harness holds the log over a prefix of the data against the beginning
of the log over all of it. A canary that looks one bar ahead must be caught by the same harness.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import engine
from engine.backtest import Backtest
from engine.config import CobConfig, LatencyConfig
from engine.instruments import load_instrument
from tests import market
from tests.oracles import pivots as oracle
from tests.recordings import needs_recordings

if TYPE_CHECKING:
    from collections.abc import Callable

Feeds = dict[tuple[str, str], np.ndarray]
Log = list[tuple]
INDICATORS = [
    "sma:3",
    "ema:3",
    "rsi:3",
    "macd:3,5,2",
    "bbands:4,2",
    "atr:3",
    "adx:3",
    "stoch:3,2,2",
]
INDICATORS += ["obv", "vwap"]
NO_LATENCY = LatencyConfig(order_entry_ns=0, response_ns=0)


class Witness(engine.Strategy):
    """Writes down everything, with our clock in front."""

    def on_start(self):
        self.log: Log = []
        self.charts, self.flows = {}, [self.flow(self.config)]
        for name in self.instruments:
            for interval in ("1s", "1m"):
                self.charts[name, interval] = self.subscribe_bars(name, interval, INDICATORS)
                self.subscribe_pivots(name, interval)
            self.subscribe_sweeps(name)
            self.flows.append(self.flow(name))
        self.view = self.subscribe_cob(self.config, "100ms")

    def note(self, kind, *values):
        self.log.append((self.clock.now_ns, kind, *values))

    def on_bar(self, bar):
        chart = self.charts[bar.instrument, bar.interval]
        row = chart.bars[-1]
        assert (row["ts_start_ns"], row["close"]) == (bar.ts_start_ns, bar.close)
        frame = tuple(vars_of(chart.bounds(bar.close), ("low", "high", "support", "resistance")))
        trends = tuple(chart.trend(level) for level in range(1, 6))
        found = tuple(chart.indicators.values())
        self.note("bar", bar.instrument, bar.interval, row.tobytes(), found, trends, frame)

    def on_pivot(self, pivot):
        names = ("instrument", "interval", "level", "is_high", "px", "ts_pivot_ns")
        assert pivot.ts_confirmed_ns == self.clock.now_ns
        self.note("pivot", *vars_of(pivot, names))

    def on_sweep(self, sweep):
        assert sweep.ts_recv_ns <= self.clock.now_ns
        self.note("sweep", repr(sweep), sweep.vwap, sweep.trades)

    def on_cob_member(self, change):
        self.note("member", change.instrument, change.is_in, change.reason)

    def on_cob(self, cob):
        arrays = (cob.bid, cob.ask, cob.imbalance, cob.vwap, cob.venues, cob.imbalance_ma)
        numbers = (cob.mid, cob.spread_bps, cob.liquidity_imbalance, *cob.shares.values())
        self.note("cob", *(array.tobytes() for array in arrays), *numbers, repr(cob.crossings))
        for flow in self.flows:
            sums = (flow.buy_volume, flow.sell_volume, flow.ratio, flow.buy_trades, *flow.profile())
            self.note("flow", *(array.tobytes() for array in sums), flow.cvd, flow.session_cvd)


def vars_of(record, names):
    return [getattr(record, name) for name in names]


def witness(group: str, instruments: list, config: CobConfig) -> Callable[[Feeds], Log]:
    def log(feeds: Feeds) -> Log:
        strategy = Witness(group)
        batches = {key: [rows] for key, rows in feeds.items()}
        Backtest(instruments, strategy, batches, latency=NO_LATENCY, cob=config).run()
        return strategy.log

    return log


def until(feeds: Feeds, ts_ns: int) -> Feeds:
    """What was received up to and at a time."""
    return {
        key: rows[: np.searchsorted(rows["ts_recv_ns"], ts_ns, side="right")]
        for key, rows in feeds.items()
    }


def differences(log: Callable[[Feeds], Log], feeds: Feeds, cuts: list[int]) -> list[int]:
    """Cuts at which the log over a prefix is not the beginning of the log over everything."""
    whole = log(feeds)
    found = []
    for cut in cuts:
        prefix = until(feeds, cut)
        last = max(
            (int(rows["ts_recv_ns"][-1]) for rows in prefix.values() if len(rows)), default=0
        )
        if log(prefix) != [entry for entry in whole if entry[0] <= last]:
            found.append(cut)
    return found


@pytest.fixture(scope="module")
def recorded(recorded_catalog):
    """Three markets of BTC, a hundred seconds of them."""
    names = ("BTCUSDT-PERP.BINANCE", "BTCUSDT.BINANCE", "BTCUSD-PERP.BINANCE")
    feeds = {
        (name, kind): np.concatenate(list(recorded_catalog.batches(name, kind)))
        for name in names
        for kind in ("depth", "trades")
    }
    start = max(int(rows["ts_recv_ns"][0]) for rows in feeds.values())
    return [load_instrument(name) for name in names], until(feeds, start + 100 * market.SECOND)


@needs_recordings
def test_prefixes_of_recordings_tell_what_the_whole_tells(recorded):
    instruments, feeds = recorded
    times = np.unique(np.concatenate([rows["ts_recv_ns"] for rows in feeds.values()]))
    cuts = [int(times[random.Random(5).randrange(len(times))]) for _ in range(25)]
    log = witness("BTC", instruments, CobConfig())
    whole = log(feeds)
    kinds = {kind: sum(entry[1] == kind for entry in whole) for kind in {e[1] for e in whole}}
    assert kinds["cob"] > 900
    assert kinds["bar"] > 250
    assert kinds["pivot"] > 60
    assert kinds["sweep"] > 100
    assert differences(log, feeds, cuts) == []


def bars_of(feeds: Feeds) -> list[engine.Bar]:
    """Bars and the times at which they were known."""

    class Bars(engine.Strategy):
        def on_start(self):
            self.found = []
            self.subscribe_bars(self.instruments[0], "1s")

        def on_bar(self, bar):
            self.found.append((self.clock.now_ns, bar))

    strategy = Bars(None)
    Backtest(
        [market.LINEAR], strategy, {k: [v] for k, v in feeds.items()}, latency=NO_LATENCY
    ).run()
    return strategy.found


def pivot_log(early: int) -> Callable[[Feeds], Log]:
    """Pivots of all bars, told so many bars before the one that confirms them."""

    def log(feeds: Feeds) -> Log:
        bars = bars_of(feeds)
        high, low = (np.array([getattr(bar, name) for _, bar in bars]) for name in ("high", "low"))
        rows = oracle.pivots(high, low, 2, 1)
        return [(bars[known - early][0], is_high, at) for known, _, is_high, at in rows.tolist()]

    return log


def steps(seed: int, seconds: int) -> Feeds:
    """A walk of prices made by hand: half a second between trades."""
    draw = random.Random(seed)
    px, rows = 1_000, []
    for index in range(2 * seconds):
        px += draw.randint(-3, 3)
        rows.append((index / 2, market.BID if draw.random() < 0.5 else market.ASK, px, 5))
    return {
        (market.LINEAR.id, "depth"): market.depth(seconds),
        (market.LINEAR.id, "trades"): market.trades(rows),
    }


def test_a_pivot_that_peeks_is_caught():
    feeds = steps(3, 60)
    cuts = [market.START + market.LAG + second * market.SECOND for second in range(1, 60)]
    assert differences(pivot_log(early=0), feeds, cuts) == []
    caught = differences(pivot_log(early=1), feeds, cuts)
    assert len(caught) > 5, "a pivot told one bar early is missing where the data ends in between"


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 40), st.sampled_from([0, 1, 2]), st.integers(-9, 9), st.integers(1, 50)
        ),
        min_size=1,
        max_size=60,
    ),
    st.lists(
        st.tuples(st.integers(0, 40), st.booleans(), st.integers(0, 30), st.integers(0, 9)),
        max_size=60,
    ),
    st.data(),
)
def test_prefixes_of_any_data_tell_what_the_whole_tells(traded, changed, data):
    """Silences, gaps in the ids, crossed books and days that end included."""
    at, rows = 86_380.0, []
    for step, side, move, lots in traded:
        at += step * step / 50
        rows.append((at, side, 1_000 + move, lots))
    ts, seq = market.START + 86_380 * market.SECOND, 1
    book = [market.message(market.SNAPSHOT, ts, seq, [(1, 995, 10), (2, 1_005, 10)])]
    for step, gap, px, lots in changed:
        ts, seq = ts + step * step * market.SECOND // 50, seq + 1 + gap
        side = market.BID if px < 15 else market.ASK
        kind = market.SNAPSHOT if px == 15 else market.DELTA
        book.append(market.message(kind, ts, seq, [(side, 985 + px, lots)]))
    feeds = {
        (market.LINEAR.id, "depth"): np.concatenate(book),
        (market.LINEAR.id, "trades"): market.trades(rows),
    }
    times = np.unique(np.concatenate([rows["ts_recv_ns"] for rows in feeds.values()]))
    cuts = data.draw(st.lists(st.sampled_from(times.tolist()), min_size=1, max_size=5))
    log = witness("X", [market.LINEAR], CobConfig(buckets={"X": "0.5"}, stale_after="2s"))
    assert differences(log, feeds, cuts) == []
