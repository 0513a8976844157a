"""Bars, order flow, aggressors' orders and ticks against a recomputation from the whole history."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import EVENT_DTYPE, SEQ_NONE, TS_NONE, _core
from tests.oracles import flow as plain
from tests.parity.feed import random_feed
from tests.recordings import CASES, Case, needs_recordings, oracle

INTERVALS = list(plain.INTERVALS_NS)
SWEEPS = {
    "BTCUSDT.BINANCE": (7148, 1044),
    "ETHUSDT.BINANCE": (4961, 999),
    "BTCUSDT-PERP.BINANCE": (5445, 655),
    "ETHUSDT-PERP.BINANCE": (3512, 595),
    "BTCUSD-PERP.BINANCE": (715, 145),
}
"""Aggressors' orders in each recording, and those of them at several prices: by the oracle."""


def wide(halves: tuple[np.ndarray, np.ndarray]) -> list[int]:
    """Integers of 128 bits from their halves."""
    upper, lower = (half.tolist() for half in halves)
    return [(high << 64) + low for high, low in zip(upper, lower, strict=True)]


def looked(looks: plain.Looks) -> tuple[np.ndarray, np.ndarray]:
    columns = np.array(looks, np.int64).reshape(-1, 2)
    return np.ascontiguousarray(columns[:, 0]), np.ascontiguousarray(columns[:, 1])


def built_bars(trades: np.ndarray, intervals: list[str]) -> list[tuple[int, ...]]:
    rows, values = _core.build_bars(trades, intervals)
    return [(*row, value) for row, value in zip(rows.tolist(), wide(values), strict=True)]


def built_orders(trades: np.ndarray, looks: plain.Looks) -> list[tuple[int, ...]]:
    rows, lots, values = _core.aggressor_orders(trades, *looked(looks))
    columns = zip(rows.tolist(), wide(lots), wide(values), strict=True)
    return [(*row, lot, value) for row, lot, value in columns]


def assert_same_flow(
    trades: np.ndarray, looks: plain.Looks, tick: str = "0.1", bucket: str = "10"
) -> None:
    got = _core.replay_flow(trades, tick, bucket, *looked(looks))
    states = plain.flow(trades, looks)
    assert wide(got["lots"]) == states.lots.ravel().tolist()
    assert np.array_equal(got["trades"], states.trades)
    np.testing.assert_allclose(got["ratio"], states.ratio, rtol=1e-12, atol=0)
    assert np.array_equal(got["session_start_ns"], states.session_start_ns)
    buckets = [(number, list(lots)) for number, lots in got["profile"]]
    assert buckets == plain.profile(trades, looks, tick, bucket)
    assert list(got["outside"]) == [0, 0, 0]
    assert got["early_trades"] == 0


def looks_of(trades: np.ndarray) -> plain.Looks:
    """After each trade at its time, and each 50 ms between."""
    times = trades["ts_recv_ns"].tolist()
    looks = [(index + 1, ts) for index, ts in enumerate(times)]
    grid = range(times[0] // 10**8 * 10**8, times[-1] + 61 * 10**9, 5 * 10**7)
    after = np.searchsorted(trades["ts_recv_ns"], np.array(grid), "right").tolist()
    return sorted(looks + list(zip(after, grid, strict=True)))


@needs_recordings
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_recordings(case: Case) -> None:
    trades = oracle(case).trades
    looks = looks_of(trades)
    assert built_bars(trades, INTERVALS) == plain.bars(trades, INTERVALS)
    assert_same_flow(trades, looks, case.tick, "1" if "ETH" in case.id else "10")
    orders = built_orders(trades, looks)
    assert orders == plain.orders(trades, looks)
    assert sum(order[7] for order in orders) == len(trades), "each trade is in one order"
    assert (len(orders), sum(order[8] > 1 for order in orders)) == SWEEPS[case.id]


@needs_recordings
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_nothing_is_known_earlier(case: Case) -> None:
    trades = oracle(case).trades
    looks = looks_of(trades)
    bars, orders = built_bars(trades, INTERVALS), built_orders(trades, looks)
    states = _core.replay_flow(trades, case.tick, "10", *looked(looks))
    for count in np.linspace(0, len(trades), 20, dtype=int).tolist():
        prefix, seen = trades[:count], [look for look in looks if look[0] <= count]
        assert built_bars(prefix, INTERVALS) == [row for row in bars if row[0] <= count]
        known = [row for row in orders if row[0] <= count]
        assert built_orders(prefix, seen) == known
        early = _core.replay_flow(prefix, case.tick, "10", *looked(seen))
        for name in ("trades", "ratio", "session_start_ns"):
            assert np.array_equal(early[name], states[name][: len(seen)])
        for half in range(2):
            assert np.array_equal(early["lots"][half], states["lots"][half][: len(seen) * 18])


SECOND = 10**9
EDGES = (SECOND - 1, SECOND, 5 * SECOND, 15 * SECOND, 60 * SECOND - 1, 60 * SECOND)
OTHERS = (10**6, 10**8 - 1, 10**8, -SECOND, 4_000 * SECOND, plain.DAY_NS)
TIMES = st.sampled_from((0, 0, 0, 1, -1, *EDGES, *OTHERS))
LOTS = st.one_of(st.integers(0, 5), st.sampled_from([2**62, 2**63 - 1]))
STEPS = st.sampled_from([0, 0, 1, 1, -1, 200, -200, 2**60])


@st.composite
def trade_rows(draw: st.DrawFn) -> np.ndarray:
    """Trades near midnight, in bursts and with silences, with times that go back."""
    count = draw(st.integers(0, 30))
    rows = np.zeros(count, EVENT_DTYPE)
    recv, event, seq, px = 20_000 * plain.DAY_NS - 10**9, 20_000 * plain.DAY_NS - 10**9, 7, 1_000
    for row in rows:
        recv += draw(TIMES)
        event = event if draw(st.booleans()) else event + draw(TIMES)
        seq += draw(st.sampled_from([1, 1, 1, 1, 2, 0]))
        px = 1_000 + draw(STEPS) if draw(st.booleans()) else px
        row["ts_recv_ns"], row["px_ticks"], row["kind"] = recv, px, 3
        row["ts_event_ns"] = event if draw(st.integers(0, 9)) else TS_NONE
        row["seq"] = seq if draw(st.integers(0, 9)) else SEQ_NONE
        row["side"], row["qty_lots"] = draw(st.sampled_from([0, 1, 1, 1, 2, 2])), draw(LOTS)
    return rows


@st.composite
def trades_and_looks(draw: st.DrawFn) -> tuple[np.ndarray, plain.Looks]:
    trades = draw(trade_rows())
    after = sorted(draw(st.lists(st.integers(0, len(trades)), max_size=30)))
    looks, now = [], 20_000 * plain.DAY_NS
    for count in after:
        now = int(trades["ts_recv_ns"][count - 1]) if count and draw(st.booleans()) else now
        now += draw(TIMES)
        looks.append((count, now))
    return trades, looks


@settings(deadline=None, max_examples=150)
@given(trades=trade_rows(), intervals=st.lists(st.sampled_from(INTERVALS[1:]), max_size=8))
def test_made_up_bars(trades: np.ndarray, intervals: list[str]) -> None:
    assert built_bars(trades, intervals) == plain.bars(trades, intervals)


@settings(deadline=None, max_examples=250)
@given(case=trades_and_looks())
def test_made_up_flow(case: tuple[np.ndarray, plain.Looks]) -> None:
    assert_same_flow(*case)


@settings(deadline=None, max_examples=250)
@given(case=trades_and_looks())
def test_made_up_orders(case: tuple[np.ndarray, plain.Looks]) -> None:
    assert built_orders(*case) == plain.orders(*case)


def assert_same_ticks(depth: np.ndarray, trades: np.ndarray, at_ns: int, span_ns: int) -> int:
    older, newer, dropped = _core.replay_ticks(depth, trades, 1 << 20, at_ns)
    got = np.concatenate([older, newer])
    assert np.array_equal(got, plain.ticks(depth, trades, at_ns, span_ns))
    assert dropped == 0
    few = np.concatenate(_core.replay_ticks(depth, trades, 100, at_ns)[:2])
    assert np.array_equal(few, got[-100:]), "the oldest go first"
    return len(got)


SPAN_NS = 1_800 * 10**9


@pytest.mark.parametrize("seed", range(3))
def test_made_up_ticks(seed: int) -> None:
    depth, trades = random_feed(400, seed)
    last = max(depth["ts_recv_ns"][-1], trades["ts_recv_ns"][-1])
    for at_ns in (int(last), int(last) + SPAN_NS // 2, int(last) + SPAN_NS):
        assert_same_ticks(depth, trades, at_ns, SPAN_NS)


@needs_recordings
def test_recorded_ticks() -> None:
    recording = oracle(CASES[2])
    at_ns = int(recording.trades["ts_recv_ns"][-1])
    assert assert_same_ticks(recording.depth, recording.trades, at_ns, SPAN_NS) == 30_677


def test_what_is_no_trade_is_refused() -> None:
    rows = np.zeros(3, EVENT_DTYPE)
    rows["kind"] = 3, 3, 4
    with pytest.raises(
        ValueError, match=r"trades: expected rows of kind 3 \(trade\), found kind 4"
    ):
        _core.build_bars(rows, ["1s"])
    with pytest.raises(ValueError, match="bar interval: expected one of 1s, 1m"):
        _core.build_bars(rows[:2], ["7s"])
    with pytest.raises(ValueError, match="after: expected counts of trades, ascending"):
        _core.aggressor_orders(rows[:2], *looked([(2, 0), (1, 0)]))
