"""Frames of pivots, market structure, floor pivots and indicators over candles. The numbers in them
are proved in `test_pivots.py` and `test_indicators.py`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from engine import _core, analysis
from tests import market

MINUTE = 60 * market.SECOND
DAY = 1440 * MINUTE


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


def test_structure_row_by_row():
    frame = candles(60)
    found = analysis.structure(frame, market.LINEAR, k=1, levels=2)
    assert found.columns[1:] == ["low", "high", "support", "resistance", "trend_1", "trend_2"]
    assert found["low"].null_count() == found["high"].null_count() > 0
    assert found["trend_1"].null_count() < found["trend_2"].null_count()
    close = frame["close_ticks"] / 10
    known = found.with_columns(close=close).drop_nulls(["support", "resistance"])
    assert (known["low"] <= known["support"]).all()
    assert (known["support"] <= known["close"]).all()
    assert (known["close"] <= known["resistance"]).all()
    assert (known["resistance"] <= known["high"]).all()
    told = analysis.pivots(frame, market.LINEAR, "1m", k=1, levels=2)
    last = found[-1]
    assert (last["low"].item(), last["high"].item()) == (told["px"].min(), told["px"].max())
    for level in (1, 2):
        trend = told.filter(level=level)["trend"][-1]
        assert last[f"trend_{level}"].item() == trend


def test_floor_pivots_row_by_row():
    days = pl.DataFrame(
        {
            "ts_start_ns": [day * DAY for day in (0, 1, 3)],
            "high_ticks": [1_200, 1_300, 900],
            "low_ticks": [900, 1_000, 600],
            "close_ticks": [1_050, 1_000, 900],
        }
    )
    found = analysis.floor_pivots(days, market.LINEAR, "1d")
    assert found.row(0) == (0, 105.0, 120.0, 135.0, 150.0, 90.0, 75.0, 60.0)
    assert found["p"].to_list() == [105.0, 110.0, 80.0]
    halves = analysis.floor_pivots(days, market.LINEAR, "12h")
    assert halves["p"].to_list() == [None, 105.0, None], "day 2 is missing"
    assert analysis.floor_pivots(days[:0], market.LINEAR, "1d").is_empty()


def test_vwap_from_the_value_traded():
    frame = candles(3)[1:].with_columns(value_e8=pl.Series([91_000_000, None], dtype=pl.Int64))
    found = analysis.indicators(frame, market.LINEAR, ["vwap"])["vwap"]
    # One lot of 0.001 for 0.91, then two at (101.4 + 89.0 + 95.2) / 3.
    assert found.to_list() == [
        pytest.approx(910.0),
        pytest.approx((910 + 2 * (101.4 + 89.0 + 95.2) / 3) / 3),
    ]
    inverse = replace(market.LINEAR, kind="inverse")
    typical = analysis.indicators(frame.drop("value_e8"), market.LINEAR, ["vwap"])["vwap"]
    assert analysis.indicators(frame, inverse, ["vwap"])["vwap"].equals(typical)


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
        (
            lambda frame: frame.with_columns(high_ticks=pl.col("low_ticks") - 1),
            "expected low_ticks up to high_ticks, found 900 in row 0",
        ),
        (
            lambda frame: frame.with_columns(
                close_ticks=pl.col("high_ticks") + pl.col("close_ticks")
            ),
            "expected close_ticks from low to high, found 1950 in row 0",
        ),
        (
            lambda frame: frame.with_columns(high_ticks=pl.lit(2**63, pl.UInt64)),
            "expected high_ticks within 63 bits, found 9223372036854775808",
        ),
    ],
)
def test_frames_that_are_no_candles(change, error):
    with pytest.raises(ValueError, match=error):
        analysis.pivots(change(candles(60)), market.LINEAR, "1m")


def test_candles_that_end_beyond_all_time():
    late = candles(2).with_columns(ts_start_ns=pl.Series([0, 2**63 - 1]))
    for table in (analysis.pivots, analysis.floor_pivots):
        with pytest.raises(ValueError, match="interval: expected an end within 63 bits"):
            table(late, market.LINEAR, "1m")


def test_volumes_and_names_that_cannot_be():
    negative = candles(3).with_columns(volume_lots=pl.Series([1, -2, 3]))
    with pytest.raises(ValueError, match="expected no volume_lots below 0, found -2 in row 1"):
        analysis.indicators(negative, market.LINEAR, ["obv"])
    with pytest.raises(TypeError, match="names: expected a list of names, found the text 'obv'"):
        analysis.indicators(candles(3), market.LINEAR, "obv")


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
