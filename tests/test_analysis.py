"""Pivots and indicators over arrays: against the whole-array rules and TA-Lib, on real candles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import _core, analysis
from tests import market
from tests.oracles import indicators as rules
from tests.oracles import pivots as oracle
from tests.recordings import ROOT, needs_recordings

MINUTE = 60 * market.SECOND
NAMES = ["sma:20", "ema:50", "rsi:14", "macd", "bbands", "atr", "adx", "stoch", "obv", "vwap"]


def real_bars() -> pl.DataFrame:
    assert ROOT is not None
    frame = pl.read_parquet(Path(ROOT) / "bars" / "bitfinex_btcusd_1m.parquet")
    ticks = {name: (pl.col(name) * 1e5).round().cast(pl.Int64) for name in ("high", "low", "close")}
    return frame.select(
        ts_start_ns=pl.col("ts_ms") * 1_000_000,
        **{f"{name}_ticks": value for name, value in ticks.items()},
        volume_lots=(pl.col("volume") * 1e8).round().cast(pl.Int64),
    )


@pytest.fixture(scope="module")
def bars():
    return real_bars()


def columns(frame: pl.DataFrame) -> list[np.ndarray]:
    return [np.ascontiguousarray(frame[name].to_numpy()) for name in frame.columns]


def compute(names: list[str], frame: pl.DataFrame) -> dict[str, np.ndarray]:
    return _core.compute_indicators(names, *columns(frame), tick="1", lot="1")


def floats(frame: pl.DataFrame) -> list[np.ndarray]:
    """High, low, close and volume as whole numbers. Prices as floats would make equal moves
    differ in their last digits, and a directional move hangs on which is the greater.
    """
    return [frame[name].to_numpy().astype(float) for name in frame.columns[1:]]


@needs_recordings
def test_all_real_minutes_have_the_pivots_of_the_whole_array(bars):
    start, high, low, *_ = columns(bars)
    found, trends = _core.find_pivots(start, high, low, start + MINUTE)
    rows = oracle.pivots(high, low, 2, 5)
    expected_px = np.where(rows[:, 2] == 1, high[rows[:, 3]], low[rows[:, 3]])
    assert len(start) == 1_279_046
    np.testing.assert_array_equal(found["ts_confirmed_ns"], start[rows[:, 0]] + MINUTE)
    np.testing.assert_array_equal(found["ts_pivot_ns"], start[rows[:, 3]])
    np.testing.assert_array_equal(found["level"], rows[:, 1])
    np.testing.assert_array_equal(found["is_high"], rows[:, 2])
    np.testing.assert_array_equal(found["px_ticks"], expected_px)
    counts = [int((found["level"] == level).sum()) for level in range(1, 6)]
    assert counts == COUNTS
    np.testing.assert_array_equal(trends, oracle.trends(rows, expected_px))


COUNTS = [302_928, 45_284, 7_071, 1_026, 151]


@given(
    st.lists(st.tuples(st.integers(-9, 9), st.integers(0, 4)), max_size=120),
    st.integers(1, 4),
    st.integers(1, 5),
)
def test_pivots_of_any_bars(shapes, k, levels):
    low = np.array([low for low, _ in shapes], np.int64)
    high = low + np.array([span for _, span in shapes], np.int64)
    start = np.arange(len(low)) * MINUTE
    found, trends = _core.find_pivots(start, high, low, start + MINUTE, k, levels)
    rows = oracle.pivots(high, low, k, levels)
    np.testing.assert_array_equal(found["ts_confirmed_ns"], (rows[:, 0] + 1) * MINUTE)
    np.testing.assert_array_equal(found["ts_pivot_ns"], rows[:, 3] * MINUTE)
    np.testing.assert_array_equal(found["level"], rows[:, 1])
    np.testing.assert_array_equal(found["is_high"], rows[:, 2])
    px = np.where(rows[:, 2] == 1, high[rows[:, 3]], low[rows[:, 3]]) if len(rows) else rows[:, 0]
    np.testing.assert_array_equal(trends, oracle.trends(rows, px))


def by_rule(frame: pl.DataFrame) -> dict[str, np.ndarray]:
    high, low, close, volume = floats(frame)
    start = frame["ts_start_ns"].to_numpy()
    found = [
        rules.sma(close, 20),
        rules.ema(close, 50),
        rules.rsi(close, 14),
        *rules.macd(close, 12, 26, 9),
        *rules.bbands(close, 20, 2),
        rules.atr(high, low, close, 14),
        *rules.adx(high, low, close, 14),
        *rules.stoch(high, low, close, 5, 3, 3),
        rules.obv(close, volume),
        rules.vwap(start, high, low, close, volume),
    ]
    return dict(zip(compute(NAMES, frame[:1]), found, strict=True))


def by_talib(frame: pl.DataFrame) -> dict[str, np.ndarray]:
    high, low, close, volume = floats(frame)
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
    return dict(zip(list(compute(NAMES, frame[:1]))[:-1], found, strict=True))


def scale(name: str, expected: np.ndarray, close: np.ndarray) -> np.ndarray:
    """What a difference is held against: prices' differences lose digits to the price."""
    if name.startswith(("macd", "bbands", "sma", "ema", "atr", "vwap")):
        return np.maximum(abs(expected), close)
    return np.maximum(abs(expected), 100.0)


@needs_recordings
def test_indicators_of_real_minutes_by_their_rules(bars):
    frame = bars[700_000:730_000]
    ours, expected = compute(NAMES, frame), by_rule(frame)
    close = floats(frame)[2]
    for name, values in ours.items():
        theirs = expected[name]
        np.testing.assert_array_equal(np.isnan(values), np.isnan(theirs), name)
        worst = np.nanmax(abs(values - theirs) / scale(name, theirs, close))
        assert worst < 1e-12, f"{name}: {worst}"


@needs_recordings
def test_indicators_of_all_real_minutes_are_ta_libs(bars):
    ours, expected = compute(NAMES, bars), by_talib(bars)
    close = floats(bars)[2]
    for name, theirs in expected.items():
        values = ours[name]
        known = ~np.isnan(values)
        if name.endswith("_di"):
            # TA-Lib tells the directional lines before the index that is made of them.
            assert not np.isnan(theirs[known]).any()
        else:
            np.testing.assert_array_equal(known, ~np.isnan(theirs), name)
        difference = abs(values - theirs)[known] / scale(name, theirs, close)[known]
        assert difference.max() < 1e-12, f"{name}: {difference.max()}"


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 60), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9),
            st.integers(0, 1000),
        ),
        min_size=1,
        max_size=120,
    )
)  # fmt: skip
def test_indicators_of_any_bars_by_their_rules(shapes):
    """Flat stretches, gaps of days and bars without volume included."""
    minutes, base, up, down, volume = map(np.array, zip(*shapes, strict=True))
    close = 5_000_000 + 100_000 * base
    frame = pl.DataFrame(
        {
            "ts_start_ns": np.cumsum(minutes * minutes) * MINUTE,
            "high_ticks": close + 100_000 * up,
            "low_ticks": close - 100_000 * down,
            "close_ticks": close,
            "volume_lots": volume,
        }
    )
    ours, expected = compute(NAMES, frame), by_rule(frame)
    for name, values in ours.items():
        theirs = expected[name]
        np.testing.assert_array_equal(np.isnan(values), np.isnan(theirs), name)
        np.testing.assert_allclose(values, theirs, rtol=1e-11, atol=1e-9, err_msg=name)


def candles(count: int) -> pl.DataFrame:
    at = np.arange(count)
    return pl.DataFrame(
        {
            "ts_start_ns": at * MINUTE,
            "high_ticks": 1_000 + at * 7 % 31,
            "low_ticks": 900 - at * 5 % 17,
            "close_ticks": 950 + at % 13,
            "volume_lots": at % 3,
        }
    )


def test_frames_in_the_instruments_units():
    frame = candles(60)
    pivots = analysis.pivots(frame, market.LINEAR, "1m", levels=2)
    highs = pivots.filter("is_high", pl.col("level") == 1)
    assert set(highs["px"]) <= {value / 10 for value in frame["high_ticks"]}
    assert (pivots["ts_confirmed_ns"] >= pivots["ts_pivot_ns"] + 3 * MINUTE).all()
    assert pivots["trend"].null_count() > 0
    found = analysis.indicators(frame, market.LINEAR, ["sma:2", "obv"])
    assert found.columns == ["ts_start_ns", "sma:2", "obv"]
    assert found["sma:2"].to_list()[:2] == [None, pytest.approx(95.05)]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda frame: frame.drop("high_ticks"), "expected a column high_ticks, found ts_start_ns"),
        (lambda frame: frame.reverse(), "expected ts_start_ns to rise, found .* in row 1"),
        (lambda frame: pl.concat([frame[:2], frame[1:]]), "expected ts_start_ns to rise"),
        (
            lambda frame: frame.with_columns(pl.col("low_ticks") / 2),
            "expected whole numbers in low_ticks, found Float64",
        ),
        (
            lambda frame: frame.with_columns(pl.col("low_ticks").replace(900, None)),
            "expected no nulls in low_ticks, found 4",
        ),
    ],
)
def test_frames_that_are_no_candles(change, error):
    with pytest.raises(ValueError, match=error):
        analysis.pivots(change(candles(60)), market.LINEAR, "1m")


def test_settings_that_cannot_be():
    for wrong, error in (
        ({"k": 0}, "k: expected 1 to"),
        ({"levels": 6}, "levels: expected 1 to 5"),
    ):
        with pytest.raises(ValueError, match=error):
            analysis.pivots(candles(9), market.LINEAR, "1m", **wrong)
    with pytest.raises(ValueError, match="indicator: expected one of sma, ema"):
        analysis.indicators(candles(9), market.LINEAR, ["smma:3"])
    assert analysis.pivots(candles(0), market.LINEAR, "1m").is_empty()


def test_columns_are_checked():
    start = np.arange(10)
    with pytest.raises(
        ValueError, match="high_ticks: expected 10 values as in ts_start_ns, found 9"
    ):
        _core.find_pivots(start, start[:9], start, start)
    with pytest.raises(ValueError, match="low_ticks: expected a contiguous array"):
        _core.find_pivots(start, start, np.arange(20)[::2], start)
