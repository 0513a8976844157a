"""Margin, liquidation and balances in whole runs, against figures published and worked by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from engine.config import (
    AccountConfig,
    ConfigError,
    ExchangeConfig,
    LatencyConfig,
    PositionConfig,
)
from engine.instruments import Bracket
from tests import market
from tests.market import ASK, BID, LINEAR, SECOND, SNAPSHOT, START
from tests.risk_runs import ID, INVERSE, MS, OTHER, quotes, run

FLAT = [Bracket("0", "1000000000", "0.005", "0", 100)]
X = dataclasses.replace(LINEAR, brackets=FLAT, liquidation_fee="0.01")
Y = dataclasses.replace(X, id=OTHER.id, base="Y")
INV = dataclasses.replace(INVERSE, brackets=FLAT, liquidation_fee="0.01")
SPOT = dataclasses.replace(LINEAR, id="XUSD.TEST", kind="spot")
TWO_HELD = {ID: ("50", "100"), Y.id: ("50", "100")}


def account(margin="cross", leverage=10, positions=None, **settings):
    held = {name: PositionConfig(*pair) for name, pair in (positions or {}).items()}
    return AccountConfig(margin=margin, leverage=leverage, positions=held, **settings)


def money(strategy, currency="USD"):
    return strategy.kernel.equity()[currency]


# Binance, "How to Calculate Liquidation Price of USDⓈ-M Futures Contracts": position, entry price,
# maintenance margin rate and amount; the liquidation price; other positions with their mark price.
ETH = ("3683.979", "1456.84", 0.1, 135_365.0)
BTC = ("109.488", "32481.98", 0.025, 16_300.0)
EXAMPLES = [
    (ETH, 1_114.78, []),
    (BTC, 18_778.73, []),
    (BTC, 26_316.89, [(ETH, 1_335.18)]),
]
BALANCE = "1535443.01"


def table(rate, amount):
    """A margin table whose last bracket has this rate and amount: the first takes what is left so
    that the margin has no step.
    """
    first = rate / 2
    floor = amount / (rate - first)
    return [
        Bracket("0", f"{floor:.2f}", f"{first:.8f}", "0", 100),
        Bracket(f"{floor:.2f}", "10000000000", f"{rate}", f"{amount}", 50),
    ]


def of_example(position, others, marks):
    """A run over an example's positions; `marks` are (second, price) of the first."""
    parts = {"A-PERP.TEST": (position, marks)}
    parts |= {f"B{n}-PERP.TEST": (other, [(0, px)]) for n, (other, px) in enumerate(others)}
    told = {}
    strategy = run(
        {1.5: lambda s: told.update(px=s.liquidation_px("A-PERP.TEST"))},
        instruments=tuple(
            dataclasses.replace(X, id=name, qty_max="100000", brackets=table(*part[2:]))
            for name, (part, _) in parts.items()
        ),
        depths=[quotes((0, 1_000, 1_001), until=4)] * len(parts),
        marks={name: rows for name, (_, rows) in parts.items()},
        account=account(positions={name: part[:2] for name, (part, _) in parts.items()}),
        cash={"USD": BALANCE},
    )
    return told["px"], strategy


@pytest.mark.parametrize(("position", "expected", "others"), EXAMPLES)
def test_liquidation_prices_are_the_venues_to_the_cent(position, expected, others):
    entry = float(position[1])
    px, strategy = of_example(position, others, [(0, entry), (2, expected + 0.01)])
    assert round(px, 2) == expected
    assert not strategy.liquidations
    _, strategy = of_example(position, others, [(0, entry), (2, expected - 0.01)])
    assert strategy.kernel.counts()["liquidations"] >= 1


# Worked by hand.


def test_an_isolated_short_is_liquidated_as_by_hand():
    # Short 2 at 99.9 with leverage 10: margin 19.98. It falls at the mark p with
    # 19.98 − 2 (p − 99.9) = 0.005 · 2 p, that is (19.98 + 199.8) / 2.01 = 109.343…
    strategy = run(
        {
            0.5: lambda s: s.sell(ID, "2"),
            1: lambda s: s.told.append(f"falls at {s.liquidation_px(ID):.4f}"),
            1.5: lambda s: s.buy(ID, "1", "90"),
        },
        instruments=(X,),
        depths=[quotes((0, 99.9, 100.1), (2, 109.2, 109.4), (3, 109.3, 109.5))],
        account=account("isolated"),
    )
    # The mid is 109.3 at first, then 109.4; it buys at 109.5, below the bankruptcy price
    # (19.98 + 199.8) / 2 = 109.89.
    assert strategy.told == [
        "1 filled",
        "1 sell 2.0 @ 99.9",
        "falls at 109.3433",
        "2 open",
        "2 canceled LIQUIDATION",
        "3 filled LIQUIDATION",
        "3 buy 2.0 @ 109.5",
        "3 liquidated -2.0, 0.0 taken over",
    ]
    # Lost: 2 × 9.6 = 19.2, and fees of 0.0005 × 199.8 and 0.0005 × 219. Of the margin 0.78 − 0.1095
    # are left, less than the liquidation fee of 0.01 × 219.
    told = strategy.liquidations[0]
    assert told.fee == pytest.approx(19.98 - 19.2 - 0.1095, abs=1e-12)
    assert (told.mark, told.insurance) == (109.4, 0)
    assert money(strategy) == pytest.approx(1_000 - 0.0999 - 19.98, abs=1e-9)
    assert strategy.kernel.position(0) == 0


def test_an_inverse_long_is_liquidated_as_by_hand():
    # 100 contracts of 10 USD at 100.1 are 1,000 / 100.1 = 9.990 X, of which the margin is a tenth.
    # It falls at 1,000 · 1.005 / (0.9990 + 9.9900) = 91.454…
    strategy = run(
        {
            0.5: lambda s: s.buy(INV.id, "100"),
            1: lambda s: s.told.append(f"falls at {s.liquidation_px(INV.id):.3f}"),
        },
        instruments=(INV,),
        depths=[quotes((0, 99.9, 100.1), (2, 91.4, 91.6), (3, 91.3, 91.5))],
        account=account("isolated"),
        cash={"X": "50"},
    )
    assert strategy.told[2:] == [
        "falls at 91.455",
        "2 filled LIQUIDATION",
        "2 sell 100.0 @ 91.3",
        "2 liquidated 100.0, 0.0 taken over",
    ]
    entry, exit_ = 1_000 / 100.1, 1_000 / 91.3
    margin, fees = entry / 10, 0.0005 * (entry + exit_)
    left = margin - (exit_ - entry) - 0.0005 * exit_
    fee = strategy.liquidations[0].fee
    assert 0 < left < 0.01 * exit_
    assert fee == pytest.approx(left, abs=1e-11)
    assert money(strategy, "X") == pytest.approx(50 - fees - (exit_ - entry) - fee, abs=1e-10)


def test_the_insurance_takes_over_what_the_book_cannot_close():
    # Long 3 at 100.1: margin 30.03, bankrupt at 90.09, that is 90.0 on the tick. The book falls
    # through it: nothing can be closed there, and a loss of 0.27 is the insurance's.
    strategy = run(
        lambda s: s.buy(ID, "3"),
        instruments=(X,),
        depths=[quotes((0, 99.9, 100.1), (2, 80, 80.2))],
        account=account("isolated"),
    )
    assert strategy.told[2:] == [
        "2 filled LIQUIDATION",
        "2 sell 3.0 @ 90.0",
        "2 liquidated 3.0, 3.0 taken over",
    ]
    told = strategy.liquidations[0]
    assert told.fee == 0
    assert told.insurance == pytest.approx(0.27, abs=1e-12)
    assert money(strategy) == pytest.approx(1_000 - 0.0005 * 300.3 - 30.03, abs=1e-9)


def test_under_cross_margin_the_largest_need_goes_first_and_may_be_enough():
    # 1,000 USD back 60 of X and 5 of Y at 100. With X at 83.75 a balance of 25 is left, and 25.125
    # and 2.5 are needed. X goes at 83.7: 22 less 2.511 and 5.022 of fees are enough for Y.
    cheap = dataclasses.replace(X, liquidation_fee="0.001")
    strategy = run(
        {},
        instruments=(cheap, Y),
        depths=[
            quotes((0, 99.9, 100.1), (2, 83.7, 83.8), lots=60_000),
            quotes((0, 99.9, 100.1)),
        ],
        account=account(positions={ID: ("60", "100"), Y.id: ("5", "100")}),
    )
    assert [told.instrument for told in strategy.liquidations] == [ID]
    assert [strategy.kernel.position(index) for index in (0, 1)] == [0, 5]
    assert money(strategy) == pytest.approx(22 - 2.511 - 5.022, abs=1e-9)


def test_under_cross_margin_all_goes_where_all_is_lost():
    strategy = run(
        {},
        instruments=(X, Y),
        depths=[quotes((0, 99.9, 100.1), (2, 60, 60.2)), quotes((0, 99.9, 100.1))],
        account=account(positions={ID: ("60", "100"), Y.id: ("5", "100")}),
    )
    # X is bankrupt at 83.33, taken over at 83.3; what is missing then, Y is taken over for.
    assert strategy.told[1:] == [
        "1 sell 60.0 @ 83.3",
        "1 liquidated 60.0, 60.0 taken over",
        "2 filled LIQUIDATION",
        "2 sell 5.0 @ 100.4",
        "2 liquidated 5.0, 5.0 taken over",
    ]
    assert money(strategy) == 0


def test_a_suspect_book_closes_nothing_until_it_is_whole():
    gap = np.concatenate(
        [
            quotes((0, 99.9, 100.1), until=1),
            market.message(1, START + 2 * SECOND, 9, [(BID, 999, 11)]),
            market.message(
                SNAPSHOT, START + 4 * SECOND, 20, [(BID, 950, 9_000), (ASK, 952, 9_000)]
            ),
            market.message(
                SNAPSHOT, START + 6 * SECOND, 21, [(BID, 950, 9_000), (ASK, 952, 9_000)]
            ),
        ]
    )
    strategy = run(
        {},
        instruments=(X,),
        depths=[gap],
        marks={ID: [(0, 100), (3, 80)]},
        account=account(positions={ID: ("60", "100")}),
    )
    assert [told.ts_event_ns for told in strategy.liquidations] == [START + 4 * SECOND]


# What may be ordered.


def test_margin_is_asked_for_before_an_order_is_sent():
    # 1,000 USD at leverage 10 carry 10,000.
    strategy = run(
        {
            0.5: lambda s: [s.buy(ID, "60", "99"), s.buy(ID, "42", "99")],
            1: lambda s: [s.buy(ID, "40", "99"), s.sell(ID, "99", "101")],
            1.5: lambda s: s.sell(ID, "1", "101"),
        },
        instruments=(X,),
        account=account(),
    )
    refused = [line for line in strategy.told if line.endswith("RISK_FUNDS")]
    # 101 × 99 < 10,000: orders of both sides share the margin, the larger side counts.
    assert refused == ["2 rejected RISK_FUNDS", "5 rejected RISK_FUNDS"]


def test_what_reduces_is_always_let_through():
    strategy = run(
        {
            0.5: lambda s: s.sell(ID, "60"),
            1: lambda s: [s.buy(ID, "60"), s.sell(ID, "1", "101", reduce_only=True)],
        },
        instruments=(X,),
        account=account(positions={ID: ("60", "100")}, leverage=1),
        cash={"USD": "300"},
    )
    # Nothing could be opened with this account: the first order closes, the second opens.
    assert strategy.told[:2] == ["1 filled", "1 sell 60.0 @ 99.9"]
    assert "2 rejected RISK_FUNDS" in strategy.told


def test_a_modification_is_asked_for_what_it_adds():
    strategy = run(
        {
            0.5: lambda s: s.buy(ID, "90", "99"),
            1: lambda s: s.modify(1, qty="92"),
            1.5: lambda s: s.modify(1, qty="90.9"),
        },
        instruments=(X,),
        account=account(),
        cash={"USD": "900"},
    )
    assert strategy.told == ["1 open", "1 open RISK_FUNDS", "1 open"]


def test_no_position_is_opened_beyond_the_last_bracket():
    small = dataclasses.replace(X, brackets=[Bracket("0", "500", "0.005", "0", 100)])
    strategy = run(
        {0.5: lambda s: [s.buy(ID, "5", "99"), s.buy(ID, "0.1", "99")]},
        instruments=(small,),
        account=account(),
    )
    assert strategy.told == ["2 rejected RISK_FUNDS", "1 open"]


def test_a_spot_account_spends_what_it_has():
    strategy = run(
        {
            0.5: lambda s: [s.buy(SPOT.id, "9", "99"), s.buy(SPOT.id, "2", "99")],
            1: lambda s: s.cancel_all(),
            1.5: lambda s: [s.sell(SPOT.id, "3"), s.sell(SPOT.id, "1.5", "101")],
            2: lambda s: [s.sell(SPOT.id, "0.6", "101"), s.buy(SPOT.id, "12", "99")],
            2.5: lambda s: s.buy(SPOT.id, "2", "99"),
        },
        instruments=(SPOT,),
        account=account("isolated"),
        cash={"USD": "1000", "X": "5"},
    )
    # 891 of 1,000 USD in a bid leave 109; 3 of 5 X sold at 99.9 bring 299.7; of the 2 X left 1.5
    # are offered. 1,299.7 less the fee are enough for 12 at 99 and no more.
    refused = [line for line in strategy.told if line.endswith("RISK_FUNDS")]
    assert refused == ["2 rejected RISK_FUNDS", "5 rejected RISK_FUNDS", "7 rejected RISK_FUNDS"]


def test_the_venue_refuses_what_the_account_no_longer_carries():
    strategy = run(
        {
            0.5: lambda s: s.buy(ID, "40", stop="101"),
            1: lambda s: s.buy(ID, "90", "100.1"),
        },
        instruments=(X,),
        depths=[quotes((0, 99.9, 100.1), (2, 101, 101.2))],
        trades=[(2.5, BID, 1_012, 1)],
        account=account(),
    )
    assert strategy.told[-1] == "1 expired MARGIN_INSUFFICIENT"


def test_a_limit_that_is_met_at_once_is_valued_at_what_it_gets():
    # 1,000 USD at leverage 5 carry 50 of what is sold at 99.9, whatever the limit says.
    strategy = run(
        lambda s: [s.sell(ID, "51", "1"), s.sell(ID, "49", "1")],
        instruments=(X,),
        account=account(leverage=5),
    )
    assert strategy.told[:2] == ["1 rejected RISK_FUNDS", "2 filled"]


def test_isolated_margin_is_set_aside_of_what_is_there():
    # 100.1 of 151 are set aside. Nothing but the other 50.9 can be for 2 more at 50.1.
    strategy = run(
        {0.5: lambda s: s.buy(ID, "1"), 2.5: lambda s: [s.buy(ID, "2"), s.buy(ID, "1")]},
        instruments=(X,),
        depths=[quotes((0, 99.9, 100.1), (2, 49.9, 50.1))],
        account=account("isolated", leverage=1),
        cash={"USD": "151"},
    )
    assert strategy.told[2:] == ["2 rejected RISK_FUNDS", "3 filled", "3 buy 1.0 @ 50.1"]


def test_isolated_margin_of_a_turned_position_is_paid_after_the_loss():
    # Of 10.2 USD a loss of 8.2 leaves 2: enough for 0.2 at 91.9 by 10, and not for 1.
    strategy = run(
        {0.5: lambda s: s.buy(ID, "1"), 2.5: lambda s: [s.sell(ID, "2"), s.sell(ID, "1.2")]},
        instruments=(X,),
        depths=[quotes((0, 99.9, 100.1), (2, 91.9, 92.1))],
        account=account("isolated"),
        cash={"USD": "10.2"},
    )
    assert strategy.told[2:] == ["2 rejected RISK_FUNDS", "3 filled", "3 sell 1.2 @ 91.9"]


def asks(*levels, until=10):
    """A book of one bid and these asks, as (ticks, lots)."""
    first = [(BID, 999, 100_000), *[(ASK, px, lots) for px, lots in levels]]
    parts = [
        market.message(SNAPSHOT, START, 1, first),
        market.message(1, START + until * SECOND, 2, [(BID, 998, 1)]),
    ]
    return np.concatenate(parts)


@pytest.mark.parametrize(
    ("instrument", "margin", "code", "lots"),
    [
        # 100.1 for the first, and 899.9 / 900 for others.
        (SPOT, "cross", "BALANCE_INSUFFICIENT", 999),
        # A tenth of the same, and 990 more / 90.
        (X, "isolated", "MARGIN_INSUFFICIENT", 10_999),
    ],
)
def test_a_market_order_walks_as_far_as_the_account_can_pay(instrument, margin, code, lots):
    strategy = run(
        lambda s: s.buy(instrument.id, "9.9" if margin == "cross" else "90"),
        instruments=(instrument,),
        depths=[asks((1_001, 1_000), (9_000, 1_000_000))],
        account=account(margin),
        exchange=ExchangeConfig(fill="walk"),
    )
    assert strategy.told[:5] == [
        "1 partially_filled",
        "1 buy 1.0 @ 100.1",
        "1 partially_filled",
        f"1 buy {lots / 1_000} @ 900.0",
        f"1 expired {code}",
    ]


def test_a_fill_or_kill_that_cannot_be_paid_whole_takes_nothing():
    strategy = run(
        lambda s: s.buy(SPOT.id, "9.9", tif="FOK"),
        instruments=(SPOT,),
        depths=[asks((1_001, 1_000), (9_000, 1_000_000))],
        account=account(),
        exchange=ExchangeConfig(fill="walk"),
    )
    assert strategy.told == ["1 rejected BALANCE_INSUFFICIENT"]


# What backs a position.


def test_coins_that_were_sold_back_nothing_any_more():
    # 9 contracts of 10 USD at 100.1 against 0.9 X, of which 0.79 are sold: 0.11 are left. They fall
    # at 90 · 1.005 / (0.11 − fee + 90 / 100.1) = 89.67.
    strategy = run(
        {
            0.5: lambda s: s.buy(INV.id, "9"),
            1: lambda s: s.sell(SPOT.id, "0.79"),
            1.5: lambda s: s.told.append(f"falls at {s.liquidation_px(INV.id):.2f}"),
        },
        instruments=(INV, SPOT),
        depths=[quotes((0, 99.9, 100.1), (3, 89.9, 90.1), (4, 89.5, 89.7))] * 2,
        account=account(),
        cash={"USD": "0", "X": "0.9"},
    )
    assert "falls at 89.67" in strategy.told
    assert [told.ts_event_ns - START for told in strategy.liquidations] == [4 * SECOND]


def test_a_fill_of_one_position_may_bring_another_down():
    # 500 USD back 20 of X and 90 of Y. A stop sells X as far as 70, a loss of 571; Y, whose quotes
    # stand still, goes with it.
    book = [(BID, 990, 1_000), (BID, 700, 100_000), (ASK, 1_010, 100_000)]
    depth = np.concatenate(
        [
            quotes((0, 99.9, 100.1), until=1),
            market.message(SNAPSHOT, START + 2 * SECOND, 3, book),
            market.message(SNAPSHOT, START + 9 * SECOND, 4, book),
        ]
    )
    strategy = run(
        lambda s: s.sell(ID, "20", stop="99"),
        instruments=(X, Y),
        depths=[depth, quotes((0, 99.9, 100.1))],
        trades=[(2.5, ASK, 990, 1)],
        exchange=ExchangeConfig(fill="walk"),
        account=account(positions={ID: ("20", "100"), Y.id: ("90", "100")}, leverage=100),
        cash={"USD": "500"},
    )
    assert [strategy.kernel.position(index) for index in (0, 1)] == [0, 0]
    told = [(told.instrument, told.ts_event_ns - START) for told in strategy.liquidations]
    assert told == [(Y.id, 2_500 * MS)]


def test_what_is_under_water_at_the_start_is_liquidated_then():
    strategy = run(
        {},
        instruments=(X,),
        depths=[quotes((0, 49.9, 50.1))],
        account=account(positions={ID: ("60", "100")}),
    )
    assert [told.ts_event_ns for told in strategy.liquidations] == [START + MS]


def test_a_liquidation_takes_what_is_left_of_the_book_and_leaves_it_taken():
    levels = [(BID, 999, 10_000), (BID, 950, 90_000), (ASK, 1_001, 100_000)]
    depth = np.concatenate(
        [
            market.message(SNAPSHOT, START, 1, levels),
            market.message(1, START + 9 * SECOND, 2, [(ASK, 1_200, 1)]),
        ]
    )
    strategy = run(
        {1: lambda s: s.sell(ID, "4"), 3: lambda s: s.sell(ID, "1")},
        instruments=(X,),
        depths=[depth],
        marks={ID: [(0, 100), (2, 90.4)]},
        exchange=ExchangeConfig(fill="walk"),
        account=account("isolated", positions={ID: ("12", "100")}),
    )
    assert [line for line in strategy.told if "@" in line] == [
        "1 sell 4.0 @ 99.9",
        "2 sell 6.0 @ 99.9",
        "2 sell 2.0 @ 95.0",
        "3 sell 1.0 @ 95.0",
    ]


# Which mark.


@pytest.mark.parametrize(("mark", "px"), [("recorded", 120), ("mid", 100), ("last", 95)])
def test_the_strategy_is_told_the_mark_that_margin_goes_by(mark, px):
    told = {}
    strategy = run(
        {2: lambda s: told.update(px=s.mark_px(ID), falls=s.liquidation_px(Y.id))},
        instruments=(X, Y),
        marks={ID: [(0, 120)]} if mark != "mid" else {ID: [(0, 120)], Y.id: [(0, 100)]},
        trades=[(1, ASK, 950, 1)],
        account=account(mark="available" if mark == "recorded" else mark, positions=TWO_HELD),
    )
    assert told["px"] == px
    # What is left of 1,000 USD and the profit of X, less 0.5 % of X, is what Y can lose.
    backing = 1_000 + 50 * (px - 100) - 0.005 * 50 * px
    assert told["falls"] == pytest.approx((50 * 100 - backing) / (50 * 0.995), abs=1e-9)
    assert not strategy.liquidations


def test_before_the_first_mark_the_mid_stands_in():
    strategy = run(
        {},
        instruments=(X,),
        depths=[quotes((0, 99.9, 100.1), (3, 50, 50.2))],
        marks={ID: [(9, 100)]},
        account=account(positions={ID: ("60", "100")}),
    )
    assert [told.ts_event_ns - START for told in strategy.liquidations] == [3 * SECOND]


def test_a_tick_finer_than_marks_is_refused():
    fine = dataclasses.replace(X, tick="0.0000000001")
    with pytest.raises(ValueError, match=f"margin of {ID}: expected a tick of at least 0.00000002"):
        run({}, instruments=(fine,), account=account())


def test_the_strategy_hears_of_a_liquidation_with_the_latency_of_answers():
    strategy = run(
        {},
        instruments=(X,),
        depths=[quotes((0, 99.9, 100.1), (2, 80, 80.2))],
        account=account(positions={ID: ("60", "100")}),
        latency=LatencyConfig(order_entry_ns=10 * MS, response_ns=250 * MS),
    )
    told = strategy.liquidations[0]
    assert (told.ts_event_ns - START, told.ts_recv_ns - START) == (2 * SECOND, 2_250 * MS)
    row = strategy.tables["orders"].to_pylist()[0]
    assert (row["order_id"], row["status"], row["reject_code"]) == (1, "filled", "LIQUIDATION")
    fill = strategy.tables["fills"].to_pylist()[0]
    assert (fill["side"], fill["liquidity"], fill["position"]) == ("sell", "taker", 0)
    last = strategy.tables["equity"].to_pylist()[-1]
    parts = last["realized_pnl"] - last["fees"] - last["liquidation_fees"] + last["insurance"]
    assert last["equity"] == pytest.approx(1_000 + parts)


# What the configuration may say.


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"margin": "crossed"}, "account.margin: expected one of none, cross, isolated"),
        ({"mark": "index"}, "account.mark: expected one of recorded, available, mid, last"),
        ({"mark": "recorded"}, f"account.mark: recorded, but there are no marks of {ID}"),
        ({"funding": "some"}, "account.funding: expected one of recorded"),
        ({"leverage": 0}, "account.leverage: expected 1 to 1000, found 0"),
        ({"leverages": {ID: 5_000}}, f"account.leverages.{ID}: expected 1 to 1000, found 5000"),
        ({"leverages": {"XUSD-PERP.TES": 5}}, "did you mean 'XUSD-PERP.TEST'?"),
        ({"positions": {"Z.TEST": ("1", "1")}}, "account.positions: expected instruments of"),
        ({"positions": {ID: ("1.0005", "1")}}, f"account.positions.{ID}.qty"),
        ({"positions": {ID: ("1", "-1")}}, f"account.positions.{ID}.entry_px"),
    ],
)
def test_what_cannot_be_is_told(settings, told):
    with pytest.raises(ValueError, match=told.replace("?", r"\?")):
        run({}, instruments=(X,), account=account(**settings))


def test_margin_needs_a_margin_table_and_a_holding_of_spot_is_a_balance():
    with pytest.raises(ValueError, match=f"margin of {ID}: expected brackets"):
        run({}, instruments=(LINEAR,), account=account())
    held = {SPOT.id: ("1", "100")}
    with pytest.raises(ValueError, match="a derivative; what is held of an asset is a balance"):
        run({}, instruments=(SPOT,), account=account("none", positions=held))
    assert issubclass(ConfigError, ValueError)


def test_large_balances_are_taken_exactly():
    strategy = run({}, cash={"USD": "5000000000.123456789012"})
    assert money(strategy) == 5000000000.123456789012
    with pytest.raises(ValueError, match="run.cash.USD: expected a decimal of at most 12 places"):
        run({}, cash={"USD": "0.0000000000001"})
