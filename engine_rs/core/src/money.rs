//! Money as an integer, and how a contract turns price and quantity into it.
//!
//! Money counts in units of 1e-12 of its currency. The value of a linear contract is exact as long
//! as tick × lot × contract size has at most 12 decimal places; where it has more, and for inverse
//! contracts always, it is rounded half away from zero, once for each valuation.

use serde::{Deserialize, Serialize, Serializer};

use crate::decimal::{Step, digits};
use crate::error::{Error, Result};
use crate::instrument::{ContractKind, FeeRate, Instrument};

/// Decimal places of [`Money`].
pub const MONEY_PLACES: u32 = 12;
/// Decimal places of [`Rate`] and [`Px`].
pub const RATE_PLACES: u32 = 8;
/// Units of a [`Rate`] of 1, of a [`FeeRate`] of 1, and of a [`Px`] of 1.
pub const RATE_UNITS: i128 = 100_000_000;
/// Values beyond 1e16 units of a currency are refused, so that fees and sums cannot overflow.
const VALUE_MAX: i128 = 10i128.pow(28);

/// An amount of one currency, in units of 1e-12.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub struct Money(pub i128);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount that anything is valued at: 1e16 units of the currency.
    pub const MAX: Self = Self(VALUE_MAX);

    /// An amount from decimal text of at most 12 places, within 1e16 units of the currency.
    pub fn parse(text: &str) -> Result<Self> {
        digits(text.as_bytes())
            .filter(|(_, places)| *places <= MONEY_PLACES)
            .and_then(|(value, places)| value.checked_mul(10i128.pow(MONEY_PLACES - places)))
            .filter(|value| value.abs() <= VALUE_MAX)
            .map(Self)
            .ok_or_else(|| {
                let expected = "a decimal of at most 12 places, within 1e16";
                Error::invalid("amount", expected, format!("{text:?}"))
            })
    }

    /// The amount as a float, for the edges only.
    #[allow(clippy::cast_precision_loss, reason = "a float is what is asked for")]
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / 1e12
    }

    /// The fee on a notional of this size; the sign of the notional does not matter.
    #[must_use]
    pub fn fee(self, rate: FeeRate) -> Self {
        Self(div_round(self.0.abs() * i128::from(rate.0), RATE_UNITS))
    }

    /// This share of the amount, rounded half away from zero.
    #[must_use]
    pub fn share(self, rate: Rate) -> Self {
        Self(div_round(self.0 * i128::from(rate.0), RATE_UNITS))
    }

    /// The amount without its sign.
    #[must_use]
    pub fn abs(self) -> Self {
        Self(self.0.abs())
    }
}

/// A signed share, such as a funding rate or a maintenance margin rate, in units of 1e-8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub struct Rate(pub i64);

impl Rate {
    /// A rate from decimal text: `0.0001` is one basis point. At least -1 and at most 1.
    pub fn parse(text: &str) -> Result<Self> {
        let rate = Step::parse("0.00000001")?.count(text.as_bytes())?;
        if i128::from(rate).abs() > RATE_UNITS {
            return Err(Error::invalid("rate", "a share from -1 to 1", text));
        }
        Ok(Self(rate))
    }

    /// The rate as a float, for the edges only.
    #[allow(clippy::cast_precision_loss, reason = "a float is what is asked for")]
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / 1e8
    }
}

/// A price in units of 1e-8 of the quote asset. Mark prices are averages, finer than the tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub struct Px(pub i64);

impl Px {
    /// A price above 0 from decimal text of at most 8 places.
    pub fn parse(text: &str) -> Result<Self> {
        let px = Step::parse("0.00000001")?.count(text.as_bytes())?;
        if px <= 0 {
            return Err(Error::invalid("price", "a decimal above 0", text));
        }
        Ok(Self(px))
    }

    /// A number of half ticks as a price, such as a bid plus an ask for their mid; rounded half away
    /// from zero where that is finer than 1e-8. `None` beyond 64 bits, and where half a tick is less
    /// than that unit.
    pub fn from_half_ticks(px_x2: i64, tick: Step) -> Option<Self> {
        let (mantissa, places) = tick.parts();
        let top = i128::from(px_x2)
            .checked_mul(i128::from(mantissa))?
            .checked_mul(RATE_UNITS)?;
        let bottom = 10i128.checked_pow(places)?.checked_mul(2)?;
        let half_tick = i128::from(mantissa) * RATE_UNITS;
        let px = (half_tick >= bottom).then(|| div_round(top, bottom))?;
        i64::try_from(px).ok().map(Self)
    }

    /// The price as a number of half ticks, rounded to the nearest; `None` beyond 64 bits.
    pub fn half_ticks(self, tick: Step) -> Option<i64> {
        let (mantissa, places) = tick.parts();
        let top = i128::from(self.0)
            .checked_mul(10i128.checked_pow(places)?)?
            .checked_mul(2)?;
        let bottom = i128::from(mantissa).checked_mul(RATE_UNITS)?;
        i64::try_from(div_round(top, bottom)).ok()
    }

    /// The price as a number of ticks, rounded up or down; `None` beyond 64 bits.
    pub fn ticks(self, tick: Step, up: bool) -> Option<i64> {
        let (mantissa, places) = tick.parts();
        let top = i128::from(self.0).checked_mul(10i128.checked_pow(places)?)?;
        let bottom = i128::from(mantissa).checked_mul(RATE_UNITS)?;
        let down = top.div_euclid(bottom);
        let is_between = up && top.rem_euclid(bottom) != 0;
        i64::try_from(down + i128::from(is_between)).ok()
    }

    /// The price as a float, for the edges only.
    #[allow(clippy::cast_precision_loss, reason = "a float is what is asked for")]
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / 1e8
    }
}

impl std::fmt::Display for Px {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write_decimal(f, i128::from(self.0), RATE_PLACES)
    }
}

impl std::fmt::Display for Money {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write_decimal(f, self.0, MONEY_PLACES)
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write_decimal(f, i128::from(self.0), RATE_PLACES)
    }
}

/// A number of units of 10^-places as a decimal without zeros at its end.
/// As the integer that they are; for people as decimal text, which cannot be read back.
macro_rules! serialize_decimals {
    ($($decimal:ident),+) => {
        $(impl Serialize for $decimal {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serializer.serialize_newtype_struct(stringify!($decimal), &self.0)
                }
            }
        })+
    };
}

serialize_decimals!(Money, Px, Rate);

fn write_decimal(f: &mut std::fmt::Formatter<'_>, value: i128, places: u32) -> std::fmt::Result {
    let unit = 10u128.pow(places);
    let sign = if value < 0 { "-" } else { "" };
    let (whole, rest) = (value.unsigned_abs() / unit, value.unsigned_abs() % unit);
    if rest == 0 {
        return write!(f, "{sign}{whole}");
    }
    let digits = format!("{rest:0width$}", width = places as usize);
    write!(f, "{sign}{whole}.{}", digits.trim_end_matches('0'))
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
    /// As `multiplier` and `divisor`, for prices in units of 1e-8.
    at_px: (i128, i128),
    /// A lot × the contract size as mantissa and decimal places.
    lot_size: (i128, u32),
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
        // The value at a price of one unit of Px, in lowest terms.
        let (up, down) = if inverse {
            (
                power(MONEY_PLACES + RATE_PLACES)?,
                power(lot_places + size_places)?,
            )
        } else {
            (
                power(MONEY_PLACES)?,
                power(RATE_PLACES + lot_places + size_places)?,
            )
        };
        let top = quantity.checked_mul(up).ok_or_else(too_fine)?;
        let common = gcd(top, down);
        Ok(Self {
            inverse,
            multiplier,
            divisor,
            lot_quote,
            at_px: (top / common, down / common),
            lot_size: (quantity, lot_places + size_places),
        })
    }

    /// What one lot stands for, in units of the base asset, of an inverse contract in units of the
    /// quote asset: a mantissa and its decimal places.
    pub fn lot_size(&self) -> (i128, u32) {
        self.lot_size
    }

    /// As [`Self::value`], at a price in units of 1e-8.
    pub fn value_at(&self, px: Px, qty_lots: i64) -> Option<Money> {
        let (multiplier, divisor) = self.at_px;
        let px = i128::from(px.0);
        let top = i128::from(qty_lots).checked_mul(multiplier)?;
        let value = if self.inverse {
            if px <= 0 {
                return None;
            }
            -div_round(top, px.checked_mul(divisor)?)
        } else {
            div_round(top.checked_mul(px)?, divisor)
        };
        (value.abs() <= VALUE_MAX).then_some(Money(value))
    }

    /// What a funding of this rate does to the wallet of a position: longs pay shorts where the rate
    /// is positive. Position × mark × rate × contract size for linear contracts, in the quote asset;
    /// contracts × contract size ÷ mark × rate for inverse ones, in the base asset. `None` as for
    /// [`Self::value`]. Source: Binance, "Introduction to Futures Funding Rates": funding amount =
    /// nominal value of positions × funding rate.
    pub fn funding(&self, mark: Px, rate: Rate, qty_lots: i64) -> Option<Money> {
        let value = self.value_at(mark, qty_lots)?;
        // Values of inverse contracts run against the position.
        let paid = value.share(rate);
        Some(if self.inverse {
            paid
        } else {
            Money::ZERO - paid
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
    use crate::margin::Brackets;

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
            brackets: Brackets::default(),
            liquidation_fee: Rate::default(),
            px_band: None,
        }
    }

    #[test]
    fn amounts_from_text_and_back() {
        for text in ["0", "1535443.01", "-0.000000000001", "10000000000000000"] {
            assert_eq!(Money::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "1e5", "0.0000000000001", "10000000000000000.1", "x"] {
            assert!(Money::parse(text).is_err(), "{text:?} was accepted");
        }
        assert_eq!(Rate(-50).to_string(), "-0.0000005");
    }

    #[test]
    fn values_at_marks() {
        let linear = Valuer::new(&instrument(ContractKind::Linear, "0.1", "0.001", "1")).unwrap();
        // 0.5 at 42,712.923117 is 21,356.4615585.
        let mark = Px(4_271_292_311_700);
        assert_eq!(
            linear.value_at(mark, 500),
            Some(Money(21_356_461_558_500_000))
        );
        let inverse = Valuer::new(&instrument(ContractKind::Inverse, "0.1", "1", "100")).unwrap();
        assert_eq!(
            inverse.value_at(Px(5_000_000_000_000), 1_000),
            Some(Money(-2_000_000_000_000))
        );
        assert_eq!(inverse.value_at(Px(0), 1), None);
        assert_eq!(linear.value_at(Px(i64::MAX), i64::MAX), None);
        // A mid of 61,496.5 and 61,496.6 is 61,496.55.
        let tick = Step::parse("0.1").unwrap();
        let mid = Px::from_half_ticks(614_965 + 614_966, tick).unwrap();
        assert_eq!(mid, Px(6_149_655_000_000));
        assert_eq!(
            linear.value_at(mid, 500),
            linear.value_at_mid(614_965 + 614_966, 500)
        );
        assert_eq!(
            Px::from_half_ticks(i64::MAX, Step::parse("1").unwrap()),
            None
        );
        let finest = Step::parse("0.00000002").unwrap();
        assert_eq!(Px::from_half_ticks(3, finest), Some(Px(3)));
        let finer = Step::parse("0.00000001").unwrap();
        assert_eq!(Px::from_half_ticks(2, finer), None);
    }

    #[test]
    fn prices_in_ticks_are_rounded_as_asked() {
        let tick = Step::parse("0.1").unwrap();
        let px = |text: &str| Px::parse(text).unwrap();
        assert_eq!(px("100.05").ticks(tick, false), Some(1_000));
        assert_eq!(px("100.05").ticks(tick, true), Some(1_001));
        assert_eq!(px("100.1").ticks(tick, true), Some(1_001));
        assert_eq!(px("100.05").half_ticks(tick), Some(2_001));
        assert_eq!(px("100.07").half_ticks(tick), Some(2_001));
        assert_eq!(px("100.08").half_ticks(tick), Some(2_002));
        assert_eq!(
            Px(i64::MAX).ticks(Step::parse("0.00000001").unwrap(), true),
            Some(i64::MAX)
        );
        assert_eq!(px("100.05").to_string(), "100.05");
        for text in ["0", "-1", "0.000000001", "x", "99999999999999999999"] {
            assert!(Px::parse(text).is_err(), "{text} was accepted");
        }
    }

    #[test]
    fn longs_pay_shorts_where_the_rate_is_positive() {
        let rate = Rate::parse("0.0001").unwrap();
        let linear = Valuer::new(&instrument(ContractKind::Linear, "0.1", "0.001", "1")).unwrap();
        let mark = Px(5_000_000_000_000);
        // 1.5 BTC at 50,000 are 75,000 USDT, of which a ten-thousandth is 7.5.
        assert_eq!(
            linear.funding(mark, rate, 1_500),
            Some(Money(-7_500_000_000_000))
        );
        assert_eq!(
            linear.funding(mark, rate, -1_500),
            Some(Money(7_500_000_000_000))
        );
        assert_eq!(
            linear.funding(mark, Rate(-rate.0), 1_500),
            Some(Money(7_500_000_000_000))
        );
        let inverse = Valuer::new(&instrument(ContractKind::Inverse, "0.1", "1", "100")).unwrap();
        // 1,000 contracts of 100 USD at 50,000 are 2 BTC: 0.0002 BTC.
        assert_eq!(
            inverse.funding(mark, rate, 1_000),
            Some(Money(-200_000_000))
        );
        assert_eq!(
            inverse.funding(mark, rate, -1_000),
            Some(Money(200_000_000))
        );
        for text in ["1.00000001", "0.000000001", "x"] {
            assert!(Rate::parse(text).is_err(), "{text} was accepted");
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
