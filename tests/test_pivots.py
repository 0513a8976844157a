"""Pivots, trends, bounds and floor pivots: against whole arrays, causality, all real minutes."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import _core
from tests.oracles import pivots as oracle
from tests.real_bars import MINUTE, TICK, arrays, minutes
from tests.recordings import needs_recordings

INTS = np.iinfo(np.int64)
DAY = 1440 * MINUTE
KEPT = 256
LEVELS = 5
BOUNDS = ("low", "high", "support", "resistance")
FLOOR = ("p", "r1", "r2", "r3", "s1", "s2", "s3")


@st.composite
def any_bars(draw, most=120):
    """Starts, highs and lows: ties and plateaus, gaps in time, prices up to the limits of int64."""
    few = st.integers(-3, 3)
    px = draw(st.sampled_from([few, st.integers(-40, 40), st.integers(INTS.min, INTS.max)]))
    edge = st.sampled_from([INTS.min, INTS.min + 1, -1, 0, INTS.max - 1, INTS.max])
    pairs = draw(st.lists(st.tuples(px | edge if draw(st.booleans()) else px, px), max_size=most))
    repeats = draw(st.lists(st.integers(1, 4), min_size=len(pairs), max_size=len(pairs)))
    both = np.array(pairs, np.int64).reshape(-1, 2).repeat(repeats or [], axis=0)
    steps = st.sampled_from([1, 1, 1, 2, 60, 1440, 100_000])
    gaps = draw(st.lists(steps, min_size=len(both), max_size=len(both)))
    start = np.cumsum(np.array(gaps, np.int64)) * MINUTE
    return start, both.max(axis=1, initial=INTS.min), both.min(axis=1, initial=INTS.max)


def find(start, high, low, k=2, levels=LEVELS):
    return _core.find_pivots(start, high, low, start + MINUTE, k, levels)


def prices(rows, high, low):
    return np.where(rows[:, 2] == 1, high[rows[:, 3]], low[rows[:, 3]])


def check(start, high, low, k, levels):
    """Pivots and trends of bars are those of the whole arrays, in the same order."""
    found, trends = find(start, high, low, k, levels)
    rows = oracle.pivots(high, low, k, levels)
    px = prices(rows, high, low)
    np.testing.assert_array_equal(found["ts_confirmed_ns"], start[rows[:, 0]] + MINUTE)
    np.testing.assert_array_equal(found["ts_pivot_ns"], start[rows[:, 3]])
    np.testing.assert_array_equal(found["level"], rows[:, 1])
    np.testing.assert_array_equal(found["is_high"], rows[:, 2])
    np.testing.assert_array_equal(found["px_ticks"], px)
    np.testing.assert_array_equal(trends, oracle.trends(rows, px))
    return found


@needs_recordings
def test_all_real_minutes():
    start, high, low, *_ = arrays(minutes())
    found = check(start, high, low, 2, LEVELS)
    counts = {
        (level, side): int(((found["level"] == level) & (found["is_high"] == side)).sum())
        for level in range(1, 6)
        for side in (1, 0)
    }
    assert counts == {
        (1, 1): 153_008,
        (1, 0): 149_934,
        (2, 1): 22_780,
        (2, 0): 22_502,
        (3, 1): 3_538,
        (3, 0): 3_533,
        (4, 1): 526,
        (4, 0): 499,
        (5, 1): 79,
        (5, 0): 72,
    }


@given(any_bars(), st.integers(1, 4), st.integers(1, LEVELS))
def test_any_bars(bars, k, levels):
    check(*bars, k, levels)


def walk(seed, count):
    """Bars of a wandering price: bars drawn one by one seldom reach level 5."""
    random = np.random.default_rng(seed)
    low = np.cumsum(random.integers(-3, 4, count))
    return np.arange(count) * MINUTE, low + random.integers(0, 3, count), low


@given(st.integers(0, 10**6), st.integers(1, 3))
def test_wandering_bars_of_many_levels(seed, k):
    check(*walk(seed, 3_000), k, LEVELS)


def test_a_bar_tells_levels_upwards_and_highs_first():
    high = np.array([0, 1, 0, 3, 0, 1, 0, 0])
    found, _ = find(np.arange(8) * MINUTE, high, np.array([9, 1, 9, 1, 9, 1, 9, 9]) - 10, k=1)
    told = [
        (int(row["ts_confirmed_ns"]) // MINUTE - 1, row["level"], row["is_high"]) for row in found
    ]
    assert told == [
        (2, 1, 1), (2, 1, 0), (4, 1, 1), (4, 1, 0), (6, 1, 1), (6, 1, 0), (6, 2, 1),
    ]  # fmt: skip
    start, high, low = walk(7, 2_000)
    found, _ = find(start, high, low, k=1)
    keys = np.stack([found["ts_confirmed_ns"], found["level"], -found["is_high"].astype(int)])
    assert (np.lexsort(keys[::-1]) == np.arange(len(found))).all()
    assert found["level"].max() == LEVELS


def test_without_neighbours_there_is_no_pivot():
    """The highest bar is among the first k, or the last k, or stands on a plateau."""
    for high in ([9, 1, 0, 0, 0, 0], [1, 9, 0, 0, 0, 0], [0, 0, 0, 0, 9, 1], [9, 9, 9, 9, 9, 9]):
        values = np.array(high)
        assert not len(find(np.arange(6), values, np.zeros(6, np.int64))[0]), high
    of_equals, _ = find(np.arange(6), np.array([0, 0, 9, 9, 9, 0]), np.zeros(6, np.int64))
    assert of_equals["ts_pivot_ns"].tolist() == [2]


def check_causal(run, start, cuts):
    """`run(n)` tells the pivots of the first n bars: a prefix of all bars must tell the same."""
    whole = run(len(start))
    for count in cuts:
        end = start[count - 1] + MINUTE if count else INTS.min
        early = whole[whole["ts_confirmed_ns"] <= end]
        np.testing.assert_array_equal(run(count), early, f"with {count} bars")


def honest(start, high, low):
    return lambda count: find(start[:count], high[:count], low[:count])[0]


def peeking(start, high, low):
    """The canary: every pivot is told one bar before the one that confirms it."""

    def run(count):
        found = find(start[:count], high[:count], low[:count])[0].copy()
        at = np.searchsorted(start, found["ts_confirmed_ns"] - MINUTE)
        found["ts_confirmed_ns"] = start[at - 1] + MINUTE
        return found

    return run


@given(any_bars(), st.data())
def test_a_prefix_tells_the_same(bars, data):
    cuts = data.draw(st.lists(st.integers(0, len(bars[0])), max_size=8))
    check_causal(honest(*bars), bars[0], cuts)


@needs_recordings
def test_a_prefix_of_real_minutes_tells_the_same():
    bars = arrays(minutes()[:300_000])[:3]
    cuts = np.random.default_rng(4).integers(0, 300_000, 25).tolist()
    check_causal(honest(*bars), bars[0], cuts)
    with pytest.raises(AssertionError, match="with 1[0-9]* bars"):
        check_causal(peeking(*bars), bars[0], range(100, 200))


def test_a_pivot_that_peeks_is_caught():
    start, high = np.arange(9) * MINUTE, np.array([1, 2, 5, 3, 1, 1, 1, 1, 1])
    bars = start, high, np.zeros(9, np.int64)
    check_causal(honest(*bars), start, range(10))
    with pytest.raises(AssertionError, match="with 4 bars"):
        check_causal(peeking(*bars), start, range(10))


def check_structure(start, high, low, px, k, levels, at):
    """Bounds and trends after the bars `at` are those of all pivots told by then."""
    found = _core.follow_structure(start, high, low, px, "1", k, levels)
    rows = oracle.pivots(high, low, k, levels)
    values = prices(rows, high, low)
    for bar in at:
        expected = oracle.frame(rows, values, bar, int(px[bar]), KEPT)
        for name in BOUNDS:
            value = found[name][bar]
            assert value == expected[name] or (np.isnan(value) and expected[name] is None)
        for level in range(1, levels + 1):
            trend = oracle.trend_after(rows, values, bar, level)
            assert found[f"trend_{level}"][bar] == (-128 if trend is None else trend)
    return found


@given(any_bars(), st.integers(1, 3), st.integers(1, LEVELS), st.data())
def test_structure_of_any_bars(bars, k, levels, data):
    start, high, low = bars
    side = data.draw(st.lists(st.booleans(), min_size=len(start), max_size=len(start)))
    px = np.where(np.array(side, bool), high, low)
    found = check_structure(start, high, low, px, k, levels, range(len(start)))
    count = data.draw(st.integers(0, len(start)))
    parts = (values[:count] for values in (start, high, low, px))
    for name, values in _core.follow_structure(*parts, "1", k, levels).items():
        np.testing.assert_array_equal(values, found[name][:count])


@needs_recordings
def test_structure_of_real_minutes():
    start, high, low, close, _ = arrays(minutes())
    at = np.random.default_rng(5).integers(0, len(start), 25).tolist()
    found = check_structure(start, high, low, close, 2, LEVELS, [*range(30), *at])
    known = ~np.isnan(found["low"])
    assert (np.flatnonzero(known)[0], known.sum()) == (7, len(start) - 7)
    rows = oracle.pivots(high, low, 2, LEVELS)
    for level in range(1, 6):
        of_level = rows[rows[:, 1] == level]
        second = max(of_level[of_level[:, 2] == side][1, 0] for side in (0, 1))
        assert (found[f"trend_{level}"] != -128).argmax() == second


def floor_by_hand(start, interval, high, low, close):
    """Seven levels after each bar, from all bars of the day before, in fractions."""
    out = []
    for at in range(len(start)):
        today = (int(start[at]) + interval) // DAY
        of_day = [i for i in range(at + 1) if int(start[i]) // DAY == today - 1]
        if not of_day:
            out.append([np.nan] * 7)
            continue
        top, bottom = max(int(high[i]) for i in of_day), min(int(low[i]) for i in of_day)
        pivot = Fraction(top + bottom + int(close[of_day[-1]]), 3)
        spread = top - bottom
        out.append(
            [
                float(value)
                for value in (
                    pivot,
                    2 * pivot - bottom,
                    pivot + spread,
                    top + 2 * (pivot - bottom),
                    2 * pivot - top,
                    pivot - spread,
                    bottom - 2 * (top - pivot),
                )
            ]
        )
    return np.array(out, float).reshape(-1, 7)


@given(any_bars(most=40), st.sampled_from([1, 60, 240, 1440]))
def test_floor_pivots_of_any_bars(bars, length):
    start, high, low = bars
    start, interval = start * length, length * MINUTE
    found = _core.follow_floor_pivots(start, high, low, low, interval, "1")
    expected = floor_by_hand(start, interval, high, low, low)
    size = np.maximum(abs(high.astype(float)).max(initial=1), abs(low.astype(float)).max(initial=1))
    for name, values in zip(FLOOR, expected.T, strict=True):
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-15 * 10 * size)


@needs_recordings
def test_floor_pivots_of_real_days():
    """By minutes and by whole days, known at the same moment and the same."""
    frame = minutes()
    start, high, low, close, _ = arrays(frame)
    by_minute = _core.follow_floor_pivots(start, high, low, close, MINUTE, TICK)
    first = np.flatnonzero(np.diff(start // DAY, prepend=-1))
    last = np.append(first[1:], len(start)) - 1
    days = start[first] // DAY * DAY
    tops, bottoms = np.maximum.reduceat(high, first), np.minimum.reduceat(low, first)
    by_day = _core.follow_floor_pivots(days, tops, bottoms, close[last], DAY, TICK)
    expected = floor_by_hand(days, DAY, tops, bottoms, close[last]) / 1e8
    assert len(days) == 911
    for index, name in enumerate(FLOOR):
        np.testing.assert_allclose(by_day[name], expected[:, index], rtol=1e-14)
        for day in range(1, len(days)):
            inside = by_minute[name][first[day] : last[day]]
            assert (inside == by_day[name][day - 1]).all()
