"""Indicators: against TA-Lib on all real minutes, brute force over whole histories, causality."""

from __future__ import annotations

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import _core
from tests.oracles import indicators as rules
from tests.real_bars import COUNT, LOT, MINUTE, TICK, arrays, minutes
from tests.recordings import needs_recordings

NAMES = ["sma:20", "ema:50", "rsi:14", "macd", "bbands", "atr", "adx", "stoch", "obv", "vwap"]
WIDE = ["sma:700", "ema:300", "rsi:90", "bbands:500,1.5", "atr:100", "stoch:400,5,4"]
TALIB_KEYS = [
    "sma:20",
    "ema:50",
    "rsi:14",
    "macd:12,26,9",
    "macd:12,26,9.signal",
    "macd:12,26,9.histogram",
    "bbands:20,2",
    "bbands:20,2.middle",
    "bbands:20,2.lower",
    "atr:14",
    "adx:14",
    "adx:14.plus_di",
    "adx:14.minus_di",
    "stoch:5,3,3",
    "stoch:5,3,3.d",
    "obv",
]
DIFFERENCES = ("macd", "bbands:20,2.lower", "bbands:500,1.5.lower")
"""Results that are differences of prices: their last digits are those of the prices."""


def compute(names, columns, tick="1", lot="1", value_e8=None):
    return _core.compute_indicators(names, *columns, tick=tick, lot=lot, value_e8=value_e8)


def by_rule(names, columns):
    """The same by brute force, one array for each result."""
    start, high, low, close, volume = columns
    found = []
    for name in names:
        stem, _, numbers = name.partition(":")
        usual = {"macd": [12, 26, 9], "bbands": [20, 2], "stoch": [5, 3, 3]}.get(stem, [14])
        args = [float(n) if "." in n else int(n) for n in numbers.split(",")] if numbers else usual
        found += {
            "sma": lambda n: [rules.sma(close, n)],
            "ema": lambda n: [rules.ema(close, n)],
            "rsi": lambda n: [rules.rsi(close, n)],
            "macd": lambda *n: rules.macd(close, *n),
            "bbands": lambda *n: rules.bbands(close, *n),
            "atr": lambda n: [rules.atr(high, low, close, n)],
            "adx": lambda n: rules.adx(high, low, close, n),
            "stoch": lambda *n: rules.stoch(high, low, close, *n),
            "obv": lambda n: [rules.obv(close, volume)],
            "vwap": lambda n: [rules.vwap(start, high, low, close, volume)],
        }[stem](*args)
    return found


def by_talib(high, low, close, volume):
    found = [
        talib.SMA(close, 20),
        talib.EMA(close, 50),
        talib.RSI(close, 14),
        *talib.MACD(close, 12, 26, 9),
        *talib.BBANDS(close, 20, 2, 2),
        talib.ATR(high, low, close, 14),
        talib.ADX(high, low, close, 14),
        talib.PLUS_DI(high, low, close, 14),
        talib.MINUS_DI(high, low, close, 14),
        *talib.STOCH(high, low, close, 5, 3, 0, 3, 0),
        talib.OBV(close, volume),
    ]
    return dict(zip(TALIB_KEYS, found, strict=True))


def check_rules(ours, names, columns, rows=slice(None)):
    """Results are those of brute force within 1e-12 of their value; of a difference of prices, or
    of directional lines, within 1e-12 of what it is a difference of.
    """
    expected = by_rule(names, columns)
    assert len(ours) == len(expected)
    price = np.maximum.accumulate(abs(columns[3].astype(float)))
    for (name, all_values), all_theirs in zip(ours.items(), expected, strict=True):
        values, theirs = all_values[rows], all_theirs[rows]
        np.testing.assert_array_equal(np.isnan(values), np.isnan(theirs), name)
        size = abs(theirs)
        if name.startswith(("macd", "bbands", "ema")):
            size = np.maximum(size, price[rows])
        if name.startswith(("adx", "stoch", "rsi")):
            is_difference = name.startswith("adx") and not name.endswith("_di")
            size = np.maximum(size, 100 if is_difference else 1e-3)
        known = ~np.isnan(values)
        wrong = abs(values.astype(np.longdouble) - theirs)[known] > 1e-12 * size[known]
        assert not wrong.any(), f"{name}: {values[known][wrong][0]} {theirs[known][wrong][0]}"


@pytest.fixture(scope="module")
def real():
    return arrays(minutes())


@pytest.fixture(scope="module")
def in_ticks(real):
    """All results over all real minutes, in ticks and lots."""
    return compute(NAMES, real)


@needs_recordings
def test_real_minutes_are_ta_libs(real, in_ticks):
    """TA-Lib is given the same whole numbers. The limits are near the greatest differences found,
    relative to the value; a mean of the stochastic near 0 is what TA-Lib's running sum left over.
    """
    expected = by_talib(*(values.astype(float) for values in real[1:]))
    limits = {"macd": 1e-9, "rsi": 1e-14, "atr": 1e-14, "ema": 1e-15, "bbands": 1e-12}
    for name, theirs in expected.items():
        ours = in_ticks[name]
        known = ~np.isnan(ours)
        if name.endswith("_di"):
            # TA-Lib tells the directional lines before the index that is made of them.
            assert not np.isnan(theirs[known]).any()
        else:
            np.testing.assert_array_equal(known, ~np.isnan(theirs), name)
        difference, size = abs(ours - theirs)[known], abs(theirs)[known]
        limit = limits.get(name.split(":")[0], 0)
        slack = 1e-10 if name.startswith("stoch") else 0
        assert (difference <= limit * size + slack).all(), name


@needs_recordings
def test_prices_as_floats_give_ta_lib_other_directions(real):
    """In floats equal moves up and down differ in their last digit, and the directional movement
    hangs on which is the greater: TA-Lib's ADX of prices is not its ADX of the same prices in
    ticks. All else agrees to 1e-9 of the value, or of the price where it is a difference of prices.
    """
    ours = compute(NAMES, real, TICK, LOT)
    columns = [values / 1e8 for values in real[1:]]
    expected, (high, low, close, _) = by_talib(*columns), columns
    for name, theirs in expected.items():
        if name.startswith("adx"):
            continue
        known = ~np.isnan(ours[name])
        size = np.maximum(abs(theirs), close) if name.startswith(DIFFERENCES) else abs(theirs)
        slack = 1e-8 if name.startswith(("stoch", "obv")) else 0
        difference = abs(ours[name] - theirs)[known]
        assert (difference <= 1e-9 * size[known] + slack).all(), name
    up, down = np.diff(real[1]), -np.diff(real[2])
    equal = (up == down) & (up > 0)
    assert ((np.diff(high) != -np.diff(low)) & equal).sum() > 1_000
    other = abs(ours["adx:14"] - expected["adx:14"])
    assert np.nanmax(other) > 1


def test_a_move_that_is_equal_in_ticks_only():
    high, low = np.array([3, 4, 4] * 10), np.array([2, 1, 1] * 10)
    columns = [np.arange(30) * MINUTE, high, low, low, low]
    ours = compute(["adx:2"], columns, "0.1")
    by_ticks = talib.PLUS_DI(*(values.astype(float) for values in (high, low, low)), 2)
    by_price = talib.PLUS_DI(high / 10, low / 10, low / 10, 2)
    np.testing.assert_array_equal(ours["adx:2.plus_di"][3:], by_ticks[3:])
    assert abs(by_price - by_ticks)[3:].max() > 10


@needs_recordings
@pytest.mark.parametrize("names", [NAMES, WIDE])
def test_real_minutes_by_brute_force(real, names):
    """From the first bar on, and at the end of all bars, where anything carried along had 2½ years
    to drift.
    """
    first = [values[:4_000] for values in real]
    check_rules(compute(names, first), names, first)
    count = 12_000
    day = real[0] // (1440 * MINUTE)
    begin = int(np.searchsorted(day, day[-count]))
    tail = [values[begin:] for values in real]
    whole = compute(names, real)
    before = whole.pop("obv", None)
    if before is not None:
        np.testing.assert_array_equal(before, rules.obv(real[3], real[4]).astype(float))
    rows = slice(10_000, None)
    local = [name for name in names if name != "obv"]
    check_rules({name: values[begin:] for name, values in whole.items()}, local, tail, rows)


@st.composite
def any_bars(draw):
    """Flat stretches, ties, gaps of days, no volume, and prices up to ±2^62."""
    base, span = draw(st.sampled_from([(0, 2), (1_000, 30), (5 * 10**6, 10**5), (0, 2**62)]))
    shapes = draw(
        st.lists(
            st.tuples(
                st.integers(-span, span),
                st.floats(0, 1),
                st.floats(0, 1),
                st.sampled_from([1, 1, 1, 7, 700, 3_000]),
                st.integers(0, 2) | st.integers(0, 2**40),
                st.sampled_from([1, 1, 1, 2, 12]),
            ),
            min_size=1,
            max_size=60,
        )
    )
    rows, starts, now = [], [], 0
    for close, up, down, gap, volume, repeats in shapes:
        high = base + close + int(up * span / 4)
        for _ in range(repeats):
            now += gap * MINUTE
            starts.append(now)
            low = base + close - int(down * span / 4)
            rows.append((min(high, 2**62), max(low, -(2**62)), base + close, volume))
    return [np.array(starts), *np.array(rows, np.int64).T.copy()]


SMALL = ["sma:1", "sma:6", "ema:1", "ema:5", "rsi:2", "rsi:5", "macd:2,5,3", "macd:3,6,1"]
SMALL += [
    "bbands:2,0.5",
    "bbands:7,2",
    "atr:1",
    "atr:4",
    "stoch:1,1,1",
    "stoch:6,3,2",
    "stoch:4,1,5",
]
SMALL += ["adx:2", "adx:14", "obv", "vwap"]


@settings(max_examples=60)
@given(any_bars())
def test_any_bars_by_brute_force(columns):
    check_rules(compute(SMALL, columns), SMALL, columns)


@pytest.mark.parametrize("span", [0, 4])
def test_long_after_anything_moved(span):
    """Means of moves fade for a thousand bars until they are 0. RSI keeps its value until then,
    which hangs on no unit, and ADX for ever.
    """
    close = np.concatenate([np.arange(10) * 3, np.full(1_490, 27)]) + 100
    columns = [np.arange(1_500) * MINUTE, close + span, close, close, close]
    names = ["rsi:2", "adx:2", "atr:2", "stoch:3,1,1"]
    first = [values[:600] for values in columns]
    check_rules(compute(names, first), names, first)
    ours = compute(names, columns)
    high, low, close = (values.astype(float) for values in columns[1:4])
    np.testing.assert_array_equal(ours["adx:2"], talib.ADX(high, low, close, 2))
    np.testing.assert_array_equal(ours["rsi:2"], talib.RSI(close, 2))
    assert (ours["rsi:2"][1_000], ours["rsi:2"][-1], ours["adx:2"][-1]) == (100, 0, 100)


@settings(max_examples=40)
@given(any_bars(), st.data())
def test_a_prefix_tells_the_same(columns, data):
    check_causal(lambda part: compute(SMALL, part), columns, data)


def check_causal(run, columns, data):
    whole = run(columns)
    count = data.draw(st.integers(0, len(columns[0])))
    for name, values in run([values[:count] for values in columns]).items():
        np.testing.assert_array_equal(values, whole[name][:count], name)


def test_an_indicator_that_peeks_is_caught():
    """The canary tells each mean one bar early."""

    def peeking(part):
        means = compute(["sma:2"], part)["sma:2"]
        return {"sma:2": np.append(means[1:], means[-1:])}

    @settings(max_examples=20, database=None, phases=["generate"])
    @given(any_bars(), st.data())
    def harness(columns, data):
        check_causal(peeking, columns, data)

    with pytest.raises(AssertionError, match="sma:2"):
        harness()


@needs_recordings
def test_a_prefix_of_real_minutes_tells_the_same(real, in_ticks):
    for count in np.random.default_rng(3).integers(1, COUNT // 4, 3).tolist():
        for name, values in compute(NAMES, [column[:count] for column in real]).items():
            np.testing.assert_array_equal(values, in_ticks[name][:count], name)


def test_the_value_traded_goes_into_vwap():
    """60 at 10.0, of which the bar's high, low and close tell nothing, then a bar whose value is
    not known, then a new day.
    """
    start = np.array([0, 1, 1440]) * MINUTE
    columns = [
        start,
        np.array([300] * 3),
        np.array([0] * 3),
        np.array([30] * 3),
        np.array([6, 4, 2]),
    ]
    value = np.array([600_0000_0000, _core.VALUE_NONE, 20_0000_0000])
    found = compute(["vwap"], columns, "0.1", "10", value)["vwap"]
    np.testing.assert_allclose(found, [10.0, (600 + 11 * 40) / 100, 1.0], rtol=1e-15)
    assert compute(["vwap"], columns, "0.1", "10")["vwap"].tolist() == [11.0] * 3
    finest = compute(["vwap"], columns, TICK, TICK, np.array([3, 3, _core.VALUE_NONE]))["vwap"]
    np.testing.assert_allclose(finest[:2], [3e-8 / 6e-8, 6e-8 / 10e-8], rtol=1e-15)
    step = "0.000000000000000001"
    with pytest.raises(ValueError, match=r"value_e8: expected .* within 128 bits, found 9223"):
        compute(["vwap"], columns, step, step, np.array([2**63 - 1] * 3))
    with pytest.raises(ValueError, match="value_e8: expected 3 values as in ts_start_ns, found 2"):
        compute(["vwap"], columns, value_e8=value[:2])


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("smma:3", "indicator: expected one of sma, ema, .*found \"smma:3\""),
        ("sma:0", "a whole number from 1 to 100000 in sma"),
        ("sma:100001", "a whole number from 1 to 100000 in sma"),
        ("rsi:1", "a whole number from 2 to 100000 in rsi"),
        ("macd:26,12,9", "a fast average that is shorter than the slow one"),
        ("bbands:20", "2 numbers for bbands"),
        ("bbands:20,nan", "a positive number of deviations"),
        ("obv:3", "0 numbers for obv"),
        ("stoch:5,3,3,3", "3 numbers for stoch"),
        ("", "indicator: expected one of"),
    ],
)  # fmt: skip
def test_names_that_cannot_be(name, error):
    empty = [np.zeros(0, np.int64)] * 5
    with pytest.raises(ValueError, match=error):
        compute([name], empty)


def test_no_bars_have_no_results():
    found = compute(NAMES, [np.zeros(0, np.int64)] * 5)
    assert len(found) == 17
    assert all(len(values) == 0 for values in found.values())
