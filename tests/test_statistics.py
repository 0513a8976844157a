"""Every figure against a naive computation, a known library, or numbers worked by hand."""

from __future__ import annotations

import json
import math
import statistics as plain
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.statistics import Contract, contracts, run_statistics
from engine.statistics.columns import MISSING
from engine.statistics.curve import (
    NS_PER_YEAR,
    calmar,
    curve_figures,
    drawdowns,
    sharpe,
    sortino,
)
from engine.statistics.exposure import time_in_market
from tests.run_tables import SECOND, START, Ledger

LINEAR = {"X.TEST": Contract(inverse=False, size=1.0, base="X", quote="USD")}
INVERSE = {"X.TEST": Contract(inverse=True, size=100.0, base="X", quote="USD")}
DAY = 86_400 * SECOND


def figures_of(ledger, known=LINEAR, *, every_ns=SECOND, **tables):
    found = run_statistics(
        ledger.tables(**tables),
        known,
        initial={ledger.currency: float(ledger.initial)},
        start_ns=START,
        every_ns=every_ns,
    )
    json.dumps(found.to_dict(), allow_nan=False)
    return found


curves = st.lists(st.integers(-50, 50), min_size=1, max_size=60)


class TestCurve:
    @settings(deadline=None)
    @given(curves)
    def test_ratios_are_those_of_plain_python(self, steps):
        changes = [float(step) for step in steps]
        per_year = math.sqrt(NS_PER_YEAR / (60 * SECOND))
        if len(steps) < 3 or len(set(steps)) == 1:
            assert sharpe(np.array(changes), 60 * SECOND) is None
        else:
            expected = plain.mean(changes) / plain.stdev(changes) * per_year
            assert sharpe(np.array(changes), 60 * SECOND) == pytest.approx(expected, abs=1e-9)
        losses = [min(change, 0.0) ** 2 for change in changes]
        if len(steps) < 3 or sum(losses) == 0:
            assert sortino(np.array(changes), 60 * SECOND) is None
        else:
            expected = plain.mean(changes) / math.sqrt(plain.mean(losses)) * per_year
            assert sortino(np.array(changes), 60 * SECOND) == pytest.approx(expected, abs=1e-9)

    @settings(deadline=None)
    @given(curves)
    def test_drawdowns_are_those_found_point_by_point(self, steps):
        values = [100.0 + float(total) for total in np.cumsum(steps)]
        times = [START + SECOND * (n + 1) for n in range(len(values))]
        path = [(START, 100.0), *zip(times, values, strict=True)]
        expected, peak, fall = [], path[0], []
        for point in path:
            if point[1] < peak[1]:
                fall.append(point)
                continue
            if fall:
                expected.append((peak, fall, point))
            peak, fall = point, []
        if fall:
            expected.append((peak, fall, None))
        found = drawdowns(np.array(times), np.array(values), 100.0, start_ns=START)
        listed = sorted(found.deepest(1_000), key=lambda fall: fall.peak_ns)
        assert len(listed) == len(expected)
        for told, (peak, fall, end) in zip(listed, expected, strict=True):
            lowest = min(fall, key=lambda point: point[1])
            assert told.depth == peak[1] - lowest[1]
            assert (told.peak_ns, told.trough_ns) == (peak[0], lowest[0])
            until = path[-1][0] if end is None else end[0]
            assert told.recovered_ns == (None if end is None else end[0])
            assert told.length_s == (until - peak[0]) / 1e9
            assert told.recovery_s == (None if end is None else (end[0] - lowest[0]) / 1e9)

    def test_hftbacktest_says_the_same(self):
        pl = pytest.importorskip("polars")
        metrics = pytest.importorskip("hftbacktest.stats.metrics")
        rng = np.random.default_rng(7)
        # Its first sample is where the curve begins, and its days are whole.
        values = 1_000 + np.cumsum(rng.normal(0.02, 1.0, 24 * 60 * 3 + 1))
        times = START + 60 * SECOND * np.arange(len(values))
        frame = pl.DataFrame(
            {
                "timestamp": times.astype("datetime64[ns]"),
                "equity_wo_fee": values,
                "fee": np.zeros(len(values)),
            }
        )
        found = curve_figures(
            times[1:], values[1:], float(values[0]), start_ns=START, every_ns=60 * SECOND
        )
        year = {"trading_days_per_year": 365}
        theirs = metrics.SR("v", **year).compute(frame, {})["v"]
        assert found.sharpe == pytest.approx(theirs, rel=1e-9)
        theirs = metrics.Sortino("v", **year).compute(frame, {})["v"]
        assert found.sortino == pytest.approx(theirs, rel=1e-9)
        theirs = metrics.MaxDrawdown("v").compute(frame, {})["v"]
        assert found.max_drawdown == pytest.approx(theirs, rel=1e-12)
        theirs = metrics.ReturnOverMDD("v").compute(frame, {})["v"]
        assert found.calmar == pytest.approx(theirs * 365 / 3, rel=1e-9)

    def test_equal_changes_do_not_vary_though_their_mean_is_rounded(self):
        assert sharpe(np.full(7, 0.1), SECOND) is None

    def test_what_is_not_known_is_none(self):
        none = curve_figures(np.empty(0, np.int64), np.empty(0), 1.0, start_ns=0, every_ns=1)
        assert (none.initial, none.pnl, none.max_drawdown, none.samples) == (1.0, None, None, 0)
        times = START + SECOND * np.arange(1, 4)
        one = curve_figures(times[:1], np.array([3.0]), 1.0, start_ns=START, every_ns=SECOND)
        assert (one.pnl, one.sharpe, one.sortino, one.calmar) == (2.0, None, None, None)
        assert (one.max_drawdown, one.drawdowns) == (0.0, [])
        values = np.array([3.0, 2.0, np.nan])
        cut = curve_figures(times, values, 1.0, start_ns=START, every_ns=SECOND)
        assert (cut.final, cut.pnl, cut.calmar) == (None, None, None)
        assert (cut.max_drawdown, cut.samples) == (1.0, 2)
        unknown = curve_figures(times, values, math.nan, start_ns=START, every_ns=SECOND)
        assert (unknown.initial, unknown.pnl, unknown.max_drawdown) == (None, None, None)
        assert calmar(1.0, 0.0, 5) is None
        assert calmar(1.0, 1.0, 0) is None


def mids(low=50, high=150):
    return st.integers(low, high).map(Fraction)


events = st.lists(
    st.tuples(
        st.integers(0, 3),  # seconds since the event before
        st.integers(-4, 4),  # quantity of a fill; 0 is a sample
        mids(),
        st.integers(-3, 3),  # the fill price is off the mid by this
        st.integers(-1, 2),  # fee
        st.integers(0, 5),  # 0: the fill found no mid
    ),
    min_size=1,
    max_size=50,
)


def played(rows, *, inverse):
    """A ledger on which random fills and samples happened, and them with their mids."""
    ledger = Ledger(inverse=inverse, size=100 if inverse else 1)
    now, last, happened = START + SECOND, None, []
    for gap, qty, mid, off, fee, seen in rows:
        # Answers go before the sample of their time, in the kernel as here.
        was_sample = bool(happened) and not happened[-1][1]
        now += max(gap, int(was_sample)) * SECOND
        if qty == 0:
            ledger.sample(now, mid)
            happened.append((now, 0, None, mid))
        else:
            found = mid if seen else None
            ledger.fill(now, qty, mid + off, found, fee=fee)
            happened.append((now, qty, mid + off, found))
        last = mid
    ledger.sample(now + SECOND, last)
    happened.append((now + SECOND, 0, None, last))
    return ledger, happened


class TestAttribution:
    @settings(max_examples=200, deadline=None)
    @given(events, st.booleans())
    def test_the_parts_sum_to_the_profit_and_are_those_of_a_loop(self, rows, inverse):
        ledger, happened = played(rows, inverse=inverse)
        found = figures_of(ledger, INVERSE if inverse else LINEAR)
        parts = found.overall[ledger.currency].attribution
        pnl = ledger.equity(happened[-1][3]) - ledger.initial
        assert parts.pnl == pytest.approx(float(pnl), abs=1e-9)
        total = parts.spread + parts.inventory + parts.fees + parts.funding
        assert total == pytest.approx(float(pnl), abs=1e-9)
        assert parts.fees == pytest.approx(-float(ledger.fees), abs=1e-12)
        spread, inventory, held, mark = Fraction(0), Fraction(0), Fraction(0), None
        for _, qty, px, mid in happened:
            new = mid if mid is not None else mark if mark is not None else px
            if held:
                inventory += ledger.value(new, held) - ledger.value(mark, held)
            if qty:
                gain = ledger.value(new, Fraction(qty)) - ledger.value(px, Fraction(qty))
                spread, inventory = (
                    (spread + gain, inventory) if mid is not None else (spread, inventory + gain)
                )
            held, mark = held + qty, new
        assert parts.spread == pytest.approx(float(spread), abs=1e-9)
        assert parts.inventory == pytest.approx(float(inventory), abs=1e-9)
        assert parts.fills_without_mid == sum(1 for row in happened if row[1] and row[3] is None)

    @settings(deadline=None)
    @given(events)
    def test_days_add_up(self, rows):
        ledger = Ledger()
        now = START + DAY - 20 * SECOND
        for gap, qty, mid, off, fee, _ in rows:
            now += max(gap, 1) * SECOND
            if qty:
                ledger.fill(now, qty, mid + off, mid, fee=fee)
            else:
                ledger.sample(now, mid)
        ledger.sample(now + 2 * DAY, rows[-1][2])
        found = figures_of(ledger)
        days = [by_currency["USD"] for by_currency in found.by_day.values()]
        whole = found.overall["USD"]
        assert sum(day.trading.fills for day in days) == whole.trading.fills
        assert sum(day.round_trips.count for day in days) == whole.round_trips.count
        for name in ("spread", "inventory", "fees", "pnl"):
            total = sum(getattr(day.attribution, name) for day in days)
            assert total == pytest.approx(getattr(whole.attribution, name), abs=1e-9)
        assert sum(day.equity.pnl for day in days) == pytest.approx(whole.equity.pnl, abs=1e-9)
        assert list(found.by_day) == sorted(found.by_day)

    def test_midnight_belongs_to_the_day_that_ends(self):
        ledger = Ledger()
        midnight = START + DAY
        ledger.fill(midnight, 1, Fraction(100), Fraction(101))
        ledger.sample(midnight, Fraction(101))
        ledger.sample(midnight + SECOND, Fraction(103))
        days = figures_of(ledger).by_day
        assert {day: by["USD"].equity.pnl for day, by in days.items()} == {
            "2024-01-01": 1.0,
            "2024-01-02": 2.0,
        }
        assert days["2024-01-01"]["USD"].trading.fills == 1

    def test_a_position_that_cannot_be_valued_leaves_nothing_known(self):
        ledger = Ledger()
        ledger.fill(START + SECOND, 1, Fraction(100), None)
        ledger.sample(START + 2 * SECOND, None)
        found = figures_of(ledger).overall["USD"]
        assert found.equity.pnl is None
        assert (found.attribution.spread, found.attribution.pnl) == (None, None)
        assert found.exposure.gross_mean is None
        assert found.exposure.time_in_market == 0.5

    def test_funding_is_a_part_where_the_column_is_there(self):
        ledger = Ledger()
        ledger.fill(START + SECOND, 2, Fraction(100), Fraction(101))
        ledger.sample(START + 2 * SECOND, Fraction(102))
        tables = ledger.tables()
        equity = tables["equity"].to_pylist()[0]
        for name, value in (("funding", -0.5), ("equity", equity["equity"] - 0.5)):
            at = tables["equity"].schema.get_field_index(name)
            tables["equity"] = tables["equity"].set_column(at, name, [[value]])
        parts = (
            run_statistics(tables, LINEAR, initial={"USD": 1_000.0}, start_ns=START, every_ns=1)
            .overall["USD"]
            .attribution
        )
        assert (parts.spread, parts.inventory, parts.funding, parts.pnl) == (2.0, 2.0, -0.5, 3.5)

    def test_a_position_from_before_the_run_earns_from_its_beginning_on(self):
        ledger = Ledger()
        ledger.position, ledger.entry_value = Fraction(2), Fraction(200)
        ledger.sample(START + SECOND, Fraction(110))
        ledger.fill(START + 2 * SECOND, -1, Fraction(113), Fraction(112), fee=1)
        ledger.sample(START + 3 * SECOND, Fraction(115))
        found = figures_of(ledger).overall["USD"]
        parts = found.attribution
        # 20 at the first look are not the run's; 2 × 2 to the fill, 1 × 3 behind it.
        assert (parts.spread, parts.inventory, parts.fees, parts.pnl) == (1.0, 7.0, -1.0, 7.0)
        assert (found.carried_in, found.equity.initial, found.equity.pnl) == (20.0, 1_020.0, 7.0)

    def test_a_mid_that_comes_late_takes_nothing_away(self):
        ledger = Ledger()
        ledger.position, ledger.entry_value = Fraction(2), Fraction(200)
        ledger.sample(START + SECOND, None)
        ledger.sample(START + 2 * SECOND, Fraction(110))
        ledger.sample(START + 3 * SECOND, Fraction(104))
        found = figures_of(ledger).overall["USD"]
        parts = found.attribution
        assert (parts.spread, parts.inventory, parts.fees, parts.pnl) == (0.0, -12.0, 0.0, -12.0)
        assert (found.carried_in, found.equity.max_drawdown) == (20.0, 12.0)

    def test_marks_liquidations_and_insurance_take_part_where_they_are_told(self):
        ledger = Ledger()
        ledger.fill(START + SECOND, 2, Fraction(100), Fraction(101))
        ledger.sample(START + 2 * SECOND, Fraction(105))
        tables = ledger.tables()
        # Valued at 104: 8 of profit, less 3, plus 1.
        told = {"mark": 104.0, "liquidation_fees": 3.0, "insurance": 1.0}
        for name, value in (*told.items(), ("unrealized_pnl", 8.0), ("equity", 1_006.0)):
            at = tables["equity"].schema.get_field_index(name)
            tables["equity"] = tables["equity"].set_column(at, name, [[value]])
        found = run_statistics(
            tables, LINEAR, initial={"USD": 1_000.0}, start_ns=START, every_ns=SECOND
        ).overall["USD"]
        parts = found.attribution
        assert (parts.spread, parts.inventory, parts.fees, parts.pnl) == (2.0, 6.0, -2.0, 6.0)
        assert found.exposure.gross_max == 208.0


class TestFills:
    def ledger(self):
        """A buy as maker at 99 and a sale as taker at 101, for which the mid was 100 and 104."""
        ledger = Ledger()
        later = {"mid_100ms": 102.0, "mid_1s": 98.0, "mid_10s": 99.0}
        ledger.fill(START + 5 * SECOND, 2, Fraction(99), Fraction(100), fee=1, **later)
        later = {"mid_100ms": 103.0, "mid_1s": 97.0}
        taken = {"liquidity": "taker", "fee": 2}
        ledger.fill(START + 9 * SECOND, -3, Fraction(101), Fraction(104), **taken, **later)
        ledger.sample(START + 10 * SECOND, Fraction(100))
        return ledger

    def orders(self):
        return [
            {"order_id": 2, "ts_submit_ns": START, "arrival_mid": 102.0},
            {"order_id": 1, "ts_submit_ns": START, "arrival_mid": 98.0},
        ]

    def test_figures_worked_by_hand(self):
        trading = figures_of(self.ledger(), orders=self.orders()).overall["USD"].trading
        assert (trading.fills, trading.fees) == (2, 3.0)
        assert trading.turnover == 2 * 99 + 3 * 101
        assert trading.maker_share == pytest.approx(198 / 501)
        # Bought 1 above 98, sold 1 below 102: costs of 2 and 3 on 196 and 306.
        assert trading.slippage.amount == pytest.approx(5.0)
        assert trading.slippage.bps == pytest.approx(5 / (196 + 306) * 1e4)
        assert trading.maker_slippage.bps == pytest.approx(2 / 196 * 1e4)
        assert trading.taker_slippage.amount == pytest.approx(3.0)
        made = {m.horizon: (m.amount, m.fills) for m in trading.maker_markouts}
        expected = {"fill": (2, 1), "100ms": (6, 1), "1s": (-2, 1), "10s": (0, 1), "60s": (None, 0)}
        assert made == expected
        took = {m.horizon: (m.amount, m.fills) for m in trading.taker_markouts}
        expected = {"fill": (-9, 1), "100ms": (-6, 1), "1s": (12, 1)}
        assert {name: took[name] for name in expected} == expected
        assert took["10s"] == took["60s"] == (None, 0)
        after_10s = next(m for m in trading.markouts if m.horizon == "10s")
        assert (after_10s.amount, after_10s.bps, after_10s.fills) == (0.0, 0.0, 1)
        after_1s = next(m for m in trading.markouts if m.horizon == "1s")
        assert after_1s.bps == pytest.approx(10 / 501 * 1e4)

    def test_an_inverse_contract_is_valued_in_its_base(self):
        ledger = Ledger(inverse=True, size=100)
        ledger.fill(START + SECOND, 50, Fraction(50_000), Fraction(50_100), mid_1s=40_000.0)
        ledger.sample(START + 2 * SECOND, Fraction(62_500))
        orders = [{"order_id": 1, "ts_submit_ns": START, "arrival_mid": 49_000.0}]
        found = figures_of(ledger, INVERSE, orders=orders).overall["X"]
        assert found.trading.turnover == pytest.approx(5_000 / 50_000)
        # 5,000 USD × (1/50,000 − 1/40,000): a long loses base as the price falls.
        after_1s = next(m for m in found.trading.markouts if m.horizon == "1s")
        assert after_1s.amount == pytest.approx(0.1 - 0.125)
        assert found.trading.slippage.amount == pytest.approx(5_000 / 49_000 - 0.1)
        assert found.exposure.gross_max == pytest.approx(5_000 / 62_500)
        assert found.equity.pnl == pytest.approx(0.1 - 0.08)

    def test_orders_that_are_not_known_have_no_slippage(self):
        trading = figures_of(self.ledger(), orders=self.orders()[:1]).overall["USD"].trading
        assert (trading.slippage.fills, trading.maker_slippage.amount) == (1, None)
        assert figures_of(self.ledger()).overall["USD"].trading.slippage.bps is None

    def test_a_missing_definition_leaves_values_unknown(self):
        found = figures_of(self.ledger(), {}).overall["USD"]
        assert found.trading.turnover is None
        assert found.trading.maker_share is None
        assert found.trading.markouts[0].amount is None
        assert found.attribution.spread is None
        assert (found.trading.fills, found.equity.pnl) == (2, 4.0 + 1.0 - 3.0)
        assert contracts({"X.TEST": {"kind": "linear"}}) == {}

    def test_the_wait_begins_with_the_last_place_in_the_queue(self):
        ledger = Ledger()
        for at in (5, 6, 7, 8):
            ledger.fill(START + at * SECOND, 1, Fraction(100), Fraction(100))
        ledger.fill(START + 9 * SECOND, 1, Fraction(100), Fraction(100), liquidity="taker")
        for row, order in zip(ledger.fills, (7, 7, 7, 3, 7), strict=True):
            row["order_id"] = order
        ledger.sample(START + 10 * SECOND, Fraction(100))
        # Fills are executed a second before they are received: at 4, 5, 6, 7 and 8 s.
        places = [
            {"order_id": 7, "ts_event_ns": START + 1 * SECOND, "px": 100.0, "qty": 9.0},
            {"order_id": 9, "ts_event_ns": START + 2 * SECOND, "px": 100.0, "qty": 1.0},
            # Less of it keeps the place; another price and more of it do not.
            {"order_id": 7, "ts_event_ns": START + 3 * SECOND, "px": 100.0, "qty": 7.0},
            {"order_id": 7, "ts_event_ns": START + 5 * SECOND, "px": 101.0, "qty": 7.0},
            {"order_id": 7, "ts_event_ns": START + 5 * SECOND + 250, "px": 101.0, "qty": 8.0},
        ]
        for row in places:
            row["instrument"] = "X.TEST"
        wait = figures_of(ledger, placements=places).overall["USD"].trading.queue_wait_s
        # 3 s from the first place, 0 at the change of its time, 1 s − 250 ns; order 3 never rested.
        assert wait.count == 3
        assert wait.p50 == pytest.approx(1 - 250e-9)
        assert (wait.highest, wait.p10) == (3.0, pytest.approx(0.2 * (1 - 250e-9)))
        without = figures_of(ledger).overall["USD"].trading.queue_wait_s
        assert (without.count, without.p50) == (0, None)
        assert MISSING < 0


class TestRoundTrips:
    @settings(max_examples=200, deadline=None)
    @given(events, st.booleans())
    def test_they_are_those_of_single_units(self, rows, inverse):
        ledger, _ = played(rows, inverse=inverse)
        expected, held, cash, began = [], 0, Fraction(0), None
        for fill, qty in zip(
            ledger.fills,
            [row[1] for row in rows if row[1]],
            strict=True,
        ):
            for _ in range(abs(qty)):
                sign = 1 if qty > 0 else -1
                if held == 0:
                    cash, began = Fraction(0), fill["ts_event_ns"]
                px = Fraction(fill["px"]).limit_denominator(10**6)
                cash -= ledger.value(px, Fraction(sign)) + Fraction(fill["fee"]) / abs(qty)
                held += sign
                if held == 0:
                    expected.append((cash, fill["ts_event_ns"] - began))
        found = figures_of(ledger, INVERSE if inverse else LINEAR).overall[ledger.currency]
        trips = found.round_trips
        assert trips.count == len(expected)
        if not expected:
            assert (trips.hit_rate, trips.profit_factor, trips.pnl_mean) == (None, None, None)
            assert trips.holding_s.p50 is None
            return
        results = [float(cash) for cash, _ in expected]
        assert trips.pnl_mean == pytest.approx(plain.mean(results), abs=1e-9)
        if not any(abs(result) < 1e-9 for result in results):
            won = [result for result in results if result > 0]
            lost = [-result for result in results if result < 0]
            assert trips.hit_rate == len(won) / len(results)
            factor = sum(won) / sum(lost) if lost else None
            assert trips.profit_factor == pytest.approx(factor)
        held_s = sorted(ns / 1e9 for _, ns in expected)
        assert trips.holding_s.highest == held_s[-1]
        assert trips.holding_s.p50 == pytest.approx(plain.median(held_s))

    def test_never_flat_is_no_round_trip(self):
        ledger = Ledger()
        ledger.fill(START + SECOND, 1, Fraction(100), Fraction(100))
        ledger.fill(START + 2 * SECOND, 1, Fraction(100), Fraction(100))
        ledger.sample(START + 3 * SECOND, Fraction(105))
        trips = figures_of(ledger).overall["USD"].round_trips
        assert (trips.count, trips.hit_rate, trips.profit_factor) == (0, None, None)

    def test_a_position_from_before_the_run_begins_no_trip(self):
        ledger = Ledger()
        ledger.position, ledger.entry_value = Fraction(2), Fraction(200)
        ledger.fill(START + SECOND, -2, Fraction(110), Fraction(110))
        ledger.fill(START + 2 * SECOND, 1, Fraction(110), Fraction(110))
        ledger.fill(START + 3 * SECOND, -1, Fraction(111), Fraction(110))
        ledger.sample(START + 4 * SECOND, Fraction(110))
        trips = figures_of(ledger).overall["USD"].round_trips
        assert (trips.count, trips.pnl_mean) == (1, 1.0)


class TestExposure:
    @settings(deadline=None)
    @given(
        st.lists(
            st.lists(st.tuples(st.integers(0, 40), st.integers(-1, 1)), max_size=12),
            min_size=1,
            max_size=3,
        ),
        st.lists(st.integers(0, 1), min_size=3, max_size=3),
    )
    def test_time_in_the_market_is_counted_second_by_second(self, changes, before):
        start, end = 5, 30
        positions, held_at = [], {}
        for at, rows in enumerate(changes):
            rows.sort(key=lambda row: row[0])
            times = np.array([ts for ts, _ in rows], np.int64)
            held = np.array([float(lots) for _, lots in rows])
            positions.append((float(before[at]), times, held))
            for second in range(start, end):
                now = [lots for ts, lots in rows if ts <= second] or [before[at]]
                held_at[second] = held_at.get(second, False) or now[-1] != 0
        expected = sum(held_at.values()) / (end - start)
        assert time_in_market(positions, start, end) == pytest.approx(expected)

    def test_no_time_has_no_share(self):
        assert time_in_market([], 5, 5) is None

    def test_gross_is_the_sum_over_instruments(self):
        one, two = Ledger(), Ledger(instrument="Y.TEST")
        one.fill(START + SECOND, 2, Fraction(100), Fraction(100))
        two.fill(START + SECOND, -3, Fraction(10), Fraction(10))
        for ledger, px in ((one, 100), (two, 10)):
            ledger.sample(START + 2 * SECOND, Fraction(px))
            ledger.sample(START + 3 * SECOND, Fraction(px * 2))
        rows = [row for pair in zip(one.samples, two.samples, strict=True) for row in pair]
        equity = [900.0, 970.0]
        for at, row in enumerate(rows):
            row["equity"] = equity[at // 2]
        one.samples, one.fills = rows, one.fills + two.fills
        both = {**LINEAR, "Y.TEST": LINEAR["X.TEST"]}
        found = figures_of(one, both)
        assert (found.overall["USD"].exposure.gross_max) == 2 * 200 + 3 * 20
        assert found.overall["USD"].exposure.gross_mean == (230 + 460) / 2
        assert found.by_instrument["Y.TEST"].exposure.gross_max == 60
        assert found.by_instrument["Y.TEST"].equity.pnl == -30.0
        assert found.by_instrument["X.TEST"].equity.pnl == 200.0


def test_a_run_without_fills_has_no_figures_of_fills():
    ledger = Ledger()
    for at in range(1, 5):
        ledger.sample(START + at * SECOND, Fraction(100))
    found = figures_of(ledger)
    figures = found.overall["USD"]
    assert (figures.equity.pnl, figures.equity.sharpe, figures.equity.max_drawdown) == (0, None, 0)
    trading = figures.trading
    assert (trading.fills, trading.turnover, trading.maker_share) == (0, 0.0, None)
    assert trading.slippage.bps is None
    assert all(m.bps is None and m.amount is None for m in trading.markouts)
    assert figures.exposure.time_in_market == 0.0
    parts = figures.attribution
    assert (parts.spread, parts.inventory, parts.fees, parts.funding, parts.pnl) == (0, 0, 0, 0, 0)
    assert found.strategy == ""


def test_a_run_without_samples_has_no_figures():
    found = figures_of(Ledger())
    assert (found.overall, found.by_instrument, found.by_day, found.reporting) == ({}, {}, {}, None)
