"""How much to trade: fixed fraction, volatility target, Kelly with a cap.

Every function here takes what it needs as arguments and is exact: numbers are taken as the decimals
that they are written as (a float as its shortest decimal, so that 0.1 is a tenth), worked with as
fractions, and rounded once, down to whole lots. Quantities come back as `Decimal` in the
instrument's units, never negative: the side is the caller's. A quantity below the instrument's
minimum comes back as 0, one above its maximum as the maximum.

Money is in the instrument's settlement currency, the one that `Strategy.equity` is asked in: the
quote asset, for an inverse contract the base asset.

Sources: R. Vince, *Portfolio Management Formulas*, Wiley 1990 (fixed fraction); A. Moreira and
T. Muir, "Volatility-Managed Portfolios", Journal of Finance 72 (2017), and T. Moskowitz, Y. Ooi and
L. Pedersen, "Time series momentum", Journal of Financial Economics 104 (2012) (volatility target);
J. L. Kelly, "A New Interpretation of Information Rate", Bell System Technical Journal 35 (1956);
E. O. Thorp, "The Kelly Criterion in Blackjack, Sports Betting and the Stock Market", Handbook of
Asset and Liability Management 1 (2006) (Kelly).
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.instruments import Instrument

    Number = str | int | float | Decimal

__all__ = [
    "fixed_fraction",
    "kelly",
    "kelly_bet",
    "qty_for_share",
    "volatility_target",
]


def qty_for_share(instrument: Instrument, *, equity: Number, share: Number, px: Number) -> Decimal:
    """The quantity whose notional is `share` of equity at a price.

    `qty = equity × share ÷ v`, where one unit of quantity is worth `v = px × contract_size` of a
    spot or linear instrument and `v = contract_size ÷ px` of an inverse one. A share above 1 is
    leverage. Equity of 0 or less gives 0. Raises ValueError for a negative share or a price that is
    not positive.
    """
    weight = _at_least_zero("share", share)
    return _in_lots(instrument, _money(equity) * weight, _unit_value(instrument, "px", px))


def fixed_fraction(
    instrument: Instrument, *, equity: Number, fraction: Number, entry_px: Number, stop_px: Number
) -> Decimal:
    """The quantity that loses `fraction` of equity between entry and stop, before costs (Vince).

    `qty = equity × fraction ÷ |v(entry) − v(stop)|` with the value `v` of a unit as in
    [`qty_for_share`]; long where the stop lies below the entry, short where above. A stop is no
    guarantee: a gap through it loses more. Raises ValueError unless the fraction is between 0 and 1
    and both prices are positive and differ.
    """
    at_risk = _share_of_one("fraction", fraction)
    entry = _unit_value(instrument, "entry_px", entry_px)
    stop = _unit_value(instrument, "stop_px", stop_px)
    if entry == stop:
        raise ValueError(f"stop_px: expected a price other than entry_px, found {stop_px}")
    return _in_lots(instrument, _money(equity) * at_risk, abs(entry - stop))


def volatility_target(
    instrument: Instrument,
    *,
    equity: Number,
    target: Number,
    volatility: Number,
    px: Number,
    leverage_max: Number = 1,
) -> Decimal:
    """The quantity whose profit has a volatility of `target` as a share of equity.

    `share = min(target ÷ volatility, leverage_max)`, then as [`qty_for_share`]. Both volatilities
    are standard deviations of returns over the same time, for example a year; a volatility of 0
    gives `leverage_max`. Raises ValueError for a negative one.
    """
    wanted = _at_least_zero("target", target)
    found = _at_least_zero("volatility", volatility)
    most = _at_least_zero("leverage_max", leverage_max)
    share = most if found * most <= wanted else wanted / found
    return _in_lots(instrument, _money(equity) * share, _unit_value(instrument, "px", px))


def kelly_bet(
    *, win_rate: Number, win_loss_ratio: Number, scale: Number = "0.5", cap: Number = "0.2"
) -> Decimal:
    """The share of equity to put at risk on bets that win or lose fixed amounts (Kelly 1956).

    `f* = p − (1 − p) ÷ b` for winning `b` times what is at risk with probability `p`; the result is
    `min(scale × f*, cap)` and 0 where there is no edge. `scale` 0.5 is half Kelly, which keeps
    three quarters of the growth with half the volatility (Thorp 2006); the estimates of `p` and `b`
    are uncertain, which is what the cap is for. The result, rounded down to eight decimals, is the
    `fraction` of [`fixed_fraction`]. Raises ValueError unless `p`, `scale` and `cap` are between 0
    and 1 and the ratio is positive.
    """
    wins = _share_of_one("win_rate", win_rate)
    odds = _positive("win_loss_ratio", win_loss_ratio)
    return _capped(wins - (1 - wins) / odds, _share_of_one("cap", cap), scale)


def kelly(*, mean: Number, volatility: Number, scale: Number = "0.5", cap: Number = 1) -> Decimal:
    """The share of equity to invest in something with these returns (Thorp 2006, section 7).

    `f* = mean ÷ volatility²`, with the mean and standard deviation of its excess returns over the
    same time; the result is `min(scale × f*, cap)` rounded down to eight decimals, and 0 for a mean
    of 0 or less (that is for the other side). It is the `share` of [`qty_for_share`]; a cap above 1
    allows leverage. Raises ValueError unless volatility and cap are positive and `scale` is between
    0 and 1.
    """
    deviation = _positive("volatility", volatility)
    return _capped(_number("mean", mean) / deviation**2, _positive("cap", cap), scale)


def _capped(optimum: Fraction, cap: Fraction, scale: Number) -> Decimal:
    scaled = _share_of_one("scale", scale) * optimum
    return _rounded_down(max(Fraction(0), min(scaled, cap)), Fraction(1, 10**8))


def _unit_value(instrument: Instrument, name: str, px: Number) -> Fraction:
    """What one unit of quantity is worth in the settlement currency."""
    price, size = _positive(name, px), Fraction(instrument.contract_size)
    return size / price if instrument.kind == "inverse" else size * price


def _in_lots(instrument: Instrument, money: Fraction, unit_value: Fraction) -> Decimal:
    """`money` in units of quantity, rounded down to lots and held within the instrument's sizes."""
    qty = min(money / unit_value, Fraction(instrument.qty_max))
    if qty < Fraction(instrument.qty_min):
        return Decimal(0)
    return _rounded_down(qty, Fraction(instrument.lot))


def _rounded_down(value: Fraction, step: Fraction) -> Decimal:
    """The largest multiple of `step`, a decimal, that is not above `value`."""
    exact = value // step * step
    return Decimal(exact.numerator) / Decimal(exact.denominator)


def _money(equity: Number) -> Fraction:
    return max(Fraction(0), _number("equity", equity))


def _number(name: str, value: Number) -> Fraction:
    try:
        return Fraction(str(value))
    except ValueError:
        raise ValueError(f"{name}: expected a finite number, found {value!r}") from None


def _positive(name: str, value: Number) -> Fraction:
    number = _number(name, value)
    if number <= 0:
        raise ValueError(f"{name}: expected a positive number, found {value!r}")
    return number


def _at_least_zero(name: str, value: Number) -> Fraction:
    number = _number(name, value)
    if number < 0:
        raise ValueError(f"{name}: expected 0 or more, found {value!r}")
    return number


def _share_of_one(name: str, value: Number) -> Fraction:
    number = _number(name, value)
    if not 0 <= number <= 1:
        raise ValueError(f"{name}: expected a number between 0 and 1, found {value!r}")
    return number
