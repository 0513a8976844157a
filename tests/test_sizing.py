"""Position sizes against worked examples, and against what the formulas promise."""

from __future__ import annotations

import dataclasses
import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import sizing
from tests.market import LINEAR

INVERSE = dataclasses.replace(
    LINEAR,
    id="XUSD-INV.TEST",
    kind="inverse",
    contract_size="100",
    lot="1",
    qty_min="1",
    qty_max="100000",
)
WIDE = dataclasses.replace(LINEAR, qty_max="1000000000")

prices = st.decimals("0.1", 100_000, places=1)
equities = st.decimals(0, 1_000_000, places=2)
shares = st.decimals(0, 1, places=4)


def loss(instrument: object, qty: Decimal, entry: Decimal, stop: Decimal) -> Fraction:
    """What a position loses between two prices, from the venue's definition of profit."""
    bought, sold = Fraction(entry), Fraction(stop)
    if instrument is INVERSE:
        return abs(Fraction(qty) * 100 * (1 / bought - 1 / sold))
    return abs(Fraction(qty) * (sold - bought))


def test_worked_examples() -> None:
    # 1 % of 10,000 at risk over 50 a unit.
    qty = sizing.fixed_fraction(
        LINEAR, equity=10_000, fraction="0.01", entry_px="1000", stop_px="950"
    )
    assert qty == Decimal("2.000")
    assert str(qty) == "2"
    # 100 USD ÷ 50,000 is 0.002 a contract, at 40,000 it is 0.0025: 0.02 BTC buy 40 of 0.0005.
    contracts = sizing.fixed_fraction(
        INVERSE, equity=2, fraction=0.01, entry_px=50_000, stop_px=40_000
    )
    assert contracts == 40
    # Half of 10,000 at 99.9: 50.05005…
    assert sizing.qty_for_share(LINEAR, equity=10_000, share=0.5, px=99.9) == Decimal("50.050")
    # 20 % wanted, 80 % found: a quarter of equity.
    qty = sizing.volatility_target(LINEAR, equity=10_000, target=0.2, volatility=0.8, px=100)
    assert qty == 25
    # 10 % found: leverage of 2, unless it may not be.
    calm = {"equity": 1_000, "target": 0.2, "volatility": 0.1, "px": 100}
    assert sizing.volatility_target(LINEAR, **calm) == 10
    assert sizing.volatility_target(LINEAR, **calm, leverage_max=3) == 20
    # Kelly's own: p = 0.6 at even odds is 0.2 of the purse; half of it is 0.1.
    assert sizing.kelly_bet(win_rate=0.6, win_loss_ratio=1) == Decimal("0.1")
    assert sizing.kelly_bet(win_rate=0.6, win_loss_ratio=1, scale=1, cap=0.15) == Decimal("0.15")
    assert sizing.kelly_bet(win_rate=0.5, win_loss_ratio=1) == 0
    # Thorp's example: an excess return of 5 % with a standard deviation of 15 %.
    assert sizing.kelly(mean=0.05, volatility=0.15, scale=1, cap=3) == Decimal("2.22222222")
    assert sizing.kelly(mean=-0.1, volatility=0.2) == 0


def test_a_float_is_the_decimal_it_shows() -> None:
    """0.3 ÷ 0.1 is 2.9999999999999996 in floats, which would lose a whole lot."""
    coarse = dataclasses.replace(LINEAR, lot="1", qty_min="1")
    assert sizing.qty_for_share(coarse, equity=0.3, share=1, px=0.1) == 3
    assert sizing.qty_for_share(coarse, equity=np.float64(0.3), share=1, px=0.1) == 3


def test_sizes_stay_within_the_instruments() -> None:
    assert sizing.qty_for_share(LINEAR, equity=10**9, share=1, px=1) == 100
    assert sizing.qty_for_share(LINEAR, equity="0.9", share=1, px=1_000) == 0
    assert sizing.qty_for_share(LINEAR, equity=-5, share=1, px=1) == 0


@given(equities, shares, prices, prices, st.sampled_from([WIDE, INVERSE]))
def test_a_fixed_fraction_loses_no_more_than_it(
    equity: Decimal, fraction: Decimal, entry: Decimal, stop: Decimal, instrument: object
) -> None:
    if entry == stop:
        return
    qty = sizing.fixed_fraction(
        instrument, equity=equity, fraction=fraction, entry_px=entry, stop_px=stop
    )
    budget = Fraction(equity) * Fraction(fraction)
    lot = Decimal(instrument.lot)
    assert qty % lot == 0
    assert loss(instrument, qty, entry, stop) <= budget
    if qty < Decimal(instrument.qty_max):
        assert loss(instrument, qty + lot, entry, stop) > budget


@given(equities, shares, st.decimals("0.01", 5, places=2), prices)
def test_a_volatility_target_is_met_and_not_passed(
    equity: Decimal, target: Decimal, volatility: Decimal, px: Decimal
) -> None:
    qty = sizing.volatility_target(
        WIDE, equity=equity, target=target, volatility=volatility, px=px, leverage_max=10
    )
    of_profit = [Fraction(q) * Fraction(px) * Fraction(volatility) for q in (qty, qty + WIDE_LOT)]
    wanted = Fraction(equity) * min(Fraction(target), 10 * Fraction(volatility))
    assert of_profit[0] <= wanted < of_profit[1]


WIDE_LOT = Decimal(WIDE.lot)


@given(st.decimals("0.05", "0.95", places=2), st.decimals("0.2", 5, places=1))
def test_kelly_has_the_best_growth_of_all_fractions(win_rate: Decimal, odds: Decimal) -> None:
    best = float(sizing.kelly_bet(win_rate=win_rate, win_loss_ratio=odds, scale=1, cap=1))
    p, b = float(win_rate), float(odds)
    tried = np.linspace(0, 0.999, 1_000)
    growth = p * np.log1p(tried * b) + (1 - p) * np.log1p(-tried)
    assert abs(tried[growth.argmax()] - best) <= 0.001 + 1e-9
    ours = p * math.log1p(best * b) + (1 - p) * math.log1p(-best)
    assert ours >= growth.max() - 1e-9


@given(st.decimals("-0.5", "0.5", places=3), st.decimals("0.1", 2, places=2))
def test_kelly_maximizes_mean_less_half_the_variance(mean: Decimal, volatility: Decimal) -> None:
    best = float(sizing.kelly(mean=mean, volatility=volatility, scale=1, cap=100))
    mu, sigma = float(mean), float(volatility)
    tried = np.linspace(0, 60, 60_001)
    growth = tried * mu - (tried * sigma) ** 2 / 2
    assert abs(tried[growth.argmax()] - best) <= 0.001


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: sizing.qty_for_share(LINEAR, equity=1, share=-1, px=1),
            "share: expected 0 or more, found -1",
        ),
        (
            lambda: sizing.qty_for_share(LINEAR, equity="many", share=1, px=1),
            "equity: expected a finite number, found 'many'",
        ),
        (
            lambda: sizing.qty_for_share(LINEAR, equity=1, share=1, px=float("nan")),
            "px: expected a finite number, found nan",
        ),
        (
            lambda: sizing.fixed_fraction(LINEAR, equity=1, fraction=2, entry_px=1, stop_px=2),
            "fraction: expected a number between 0 and 1, found 2",
        ),
        (
            lambda: sizing.fixed_fraction(LINEAR, equity=1, fraction=1, entry_px=2, stop_px=2),
            "stop_px: expected a price other than entry_px, found 2",
        ),
        (
            lambda: sizing.kelly(mean=1, volatility=0),
            "volatility: expected a positive number, found 0",
        ),
    ],
)
def test_what_makes_no_sense_is_told(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
