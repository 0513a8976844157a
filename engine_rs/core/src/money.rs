//! Money as an integer, and how a contract turns price and quantity into it.
//!
//! Money counts in units of 1e-12 of its currency. The value of a linear contract is exact as long
//! as tick × lot × contract size has at most 12 decimal places; where it has more, and for inverse
//! contracts always, it is rounded half away from zero, once for each valuation.

use crate::error::{Error, Result};
use crate::instrument::{ContractKind, FeeRate, Instrument};

/// Decimal places of [`Money`].
pub const MONEY_PLACES: u32 = 12;
const FEE_UNITS: i128 = 100_000_000;
/// Values beyond 1e16 units of a currency are refused, so that fees and sums cannot overflow.
const VALUE_MAX: i128 = 10i128.pow(28);

/// An amount of one currency, in units of 1e-12.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(pub i128);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The amount as a float, for the edges only.
    #[allow(clippy::cast_precision_loss, reason = "a float is what is asked for")]
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / 1e12
    }

    /// The fee on a notional of this size; the sign of the notional does not matter.
    #[must_use]
    pub fn fee(self, rate: FeeRate) -> Self {
        Self(div_round(self.0.abs() * i128::from(rate.0), FEE_UNITS))
    }
}

impl std::ops::Add for Money {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl std::ops::Sub for Money {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl std::ops::AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl std::ops::SubAssign for Money {
    fn sub_assign(&mut self, other: Self) {
        self.0 -= other.0;
    }
}

/// Turns (price, quantity) of one instrument into money.
#[derive(Clone, Copy, Debug)]
pub struct Valuer {
    inverse: bool,
    multiplier: i128,
    divisor: i128,
    /// Inverse: money of the quote currency that one lot stands for, as a fraction.
    lot_quote: (i128, i128),
}

impl Valuer {
    /// The valuer of an instrument.
    pub fn new(instrument: &Instrument) -> Result<Self> {
        let (tick, tick_places) = instrument.tick.parts();
        let (lot, lot_places) = instrument.lot.parts();
        let (size, size_places) = instrument.contract_size.parts();
        let inverse = instrument.kind == ContractKind::Inverse;
        let too_fine = || {
            Error::invalid(
                "instrument",
                "tick, lot and contract size that can be multiplied within 128 bits",
                &instrument.id,
            )
        };
        let power = |places: u32| 10i128.checked_pow(places).ok_or_else(too_fine);
        let quantity = i128::from(lot) * i128::from(size);
        // Linear: px·tick·qty·lot·size; inverse: qty·lot·size / (px·tick).
        let (mut multiplier, mut divisor) = if inverse {
            let up = power(MONEY_PLACES + tick_places)?;
            let down = power(lot_places + size_places)?;
            (
                quantity.checked_mul(up).ok_or_else(too_fine)?,
                down * i128::from(tick),
            )
        } else {
            let up = power(MONEY_PLACES)?;
            let down = power(tick_places + lot_places + size_places)?;
            let product = quantity
                .checked_mul(i128::from(tick))
                .ok_or_else(too_fine)?;
            (product.checked_mul(up).ok_or_else(too_fine)?, down)
        };
        let common = gcd(multiplier, divisor);
        multiplier /= common;
        divisor /= common;
        let lot_quote = (
            quantity
                .checked_mul(power(MONEY_PLACES)?)
                .ok_or_else(too_fine)?,
            power(lot_places + size_places)?,
        );
        Ok(Self {
            inverse,
            multiplier,
            divisor,
            lot_quote,
        })
    }

    /// What a signed position is worth at a price, so that profit is the difference of two values:
    /// price × quantity for linear contracts, −quantity ÷ price for inverse ones.
    ///
    /// `None` where it is beyond 1e16 units of the currency, or for an inverse contract at a price of 0 or less.
    pub fn value(&self, px_ticks: i64, qty_lots: i64) -> Option<Money> {
        self.value_scaled(px_ticks, i128::from(qty_lots), 1)
    }

    /// As [`Self::value`], at half of `px_x2` ticks: the mid of a bid and an ask.
    pub fn value_at_mid(&self, px_x2: i64, qty_lots: i64) -> Option<Money> {
        if self.inverse {
            self.value_scaled(px_x2, i128::from(qty_lots) * 2, 1)
        } else {
            self.value_scaled(px_x2, i128::from(qty_lots), 2)
        }
    }

    /// The size of an order in the quote asset, never below 0: what a minimum notional is held
    /// against. `None` as for [`Self::value`].
    pub fn quote_notional(&self, px_ticks: i64, qty_lots: i64) -> Option<Money> {
        if self.inverse {
            let top = i128::from(qty_lots).abs().checked_mul(self.lot_quote.0)?;
            return Some(Money(div_round(top, self.lot_quote.1)));
        }
        self.value(px_ticks, qty_lots)
            .map(|value| Money(value.0.abs()))
    }

    fn value_scaled(&self, px_ticks: i64, qty: i128, half: i128) -> Option<Money> {
        let px = i128::from(px_ticks);
        let value = if self.inverse {
            if px <= 0 {
                return None;
            }
            let top = multiply(qty, self.multiplier)?;
            -div_round(top, multiply(px, self.divisor)?)
        } else {
            let top = multiply(multiply(px, qty)?, self.multiplier)?;
            div_round(top, multiply(self.divisor, half)?)
        };
        (value.abs() <= VALUE_MAX).then_some(Money(value))
    }

    /// Whether values run against the price (inverse contracts).
    pub fn is_inverse(&self) -> bool {
        self.inverse
    }
}

/// The product where it fits. What is small on both sides, as it nearly always is, takes one
/// multiplication of the processor instead of a call.
#[inline]
fn multiply(left: i128, right: i128) -> Option<i128> {
    match (i64::try_from(left), i64::try_from(right)) {
        (Ok(left), Ok(right)) => Some(i128::from(left) * i128::from(right)),
        _ => left.checked_mul(right),
    }
}

/// Quotient rounded to the nearest integer, halves away from zero; `divisor` is positive.
#[inline]
pub fn div_round(value: i128, divisor: i128) -> i128 {
    // Most contracts are exact, and a mid is a half: neither needs a division of 128 bits.
    match divisor {
        1 => value,
        2 => value / 2 + value % 2,
        _ => {
            let quotient = value / divisor;
            let rest = (value - quotient * divisor).abs();
            if rest >= divisor - rest {
                quotient + value.signum()
            } else {
                quotient
            }
        }
    }
}

fn gcd(a: i128, b: i128) -> i128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::decimal::Step;

    pub(crate) fn instrument(kind: ContractKind, tick: &str, lot: &str, size: &str) -> Instrument {
        Instrument {
            id: "X.TEST".into(),
            kind,
            tick: Step::parse(tick).unwrap(),
            lot: Step::parse(lot).unwrap(),
            contract_size: Step::parse(size).unwrap(),
            qty_lots_min: 1,
            qty_lots_max: 1_000_000_000,
            notional_min: None,
            base: "X".into(),
            quote: "USD".into(),
            maker_fee: FeeRate::parse("0.0002").unwrap(),
            taker_fee: FeeRate::parse("0.0005").unwrap(),
        }
    }

    #[test]
    fn linear_values_are_exact() {
        let valuer = Valuer::new(&instrument(ContractKind::Linear, "0.1", "0.001", "1")).unwrap();
        // 0.5 at 61,496.5 is 30,748.25.
        let value = valuer.value(614_965, 500).unwrap();
        assert_eq!(value, Money(30_748_250_000_000_000));
        assert_eq!(
            value.fee(FeeRate::parse("0.0005").unwrap()),
            Money(15_374_125_000_000)
        );
        assert_eq!(
            valuer.value(614_965, -500).unwrap(),
            Money(-30_748_250_000_000_000)
        );
        // The mid of 61,496.5 and 61,496.6.
        assert_eq!(
            valuer.value_at_mid(614_965 + 614_966, 500).unwrap(),
            Money(30_748_275_000_000_000)
        );
    }

    #[test]
    fn inverse_values_run_against_the_price() {
        let valuer = Valuer::new(&instrument(ContractKind::Inverse, "0.1", "1", "100")).unwrap();
        // 1,000 contracts of 100 USD at 50,000 are 2 BTC.
        assert_eq!(
            valuer.value(500_000, 1_000).unwrap(),
            Money(-2_000_000_000_000)
        );
        assert_eq!(
            valuer.value_at_mid(1_000_000, 1_000),
            valuer.value(500_000, 1_000)
        );
        assert_eq!(valuer.value(0, 1_000), None);
        assert_eq!(
            valuer.quote_notional(500_000, 3),
            Some(Money(300_000_000_000_000))
        );
        // Rounded half away from zero: 100 / 61,496.5 = 0.00162610880294…
        assert_eq!(valuer.value(614_965, 1).unwrap(), Money(-1_626_108_803));
    }

    #[test]
    fn overflow_is_told_not_wrapped() {
        let valuer = Valuer::new(&instrument(ContractKind::Linear, "0.1", "0.001", "1")).unwrap();
        assert_eq!(valuer.value(i64::MAX, i64::MAX), None);
        assert_eq!(div_round(-5, 2), -3);
        assert_eq!(div_round(5, 2), 3);
        assert_eq!(div_round(4, 3), 1);
        assert_eq!(div_round(-7, 1), -7);
        assert_eq!(
            [-4, -3, 3, 4].map(|value| div_round(value, 2)),
            [-2, -2, 2, 2]
        );
    }
}
