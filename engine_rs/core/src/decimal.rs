//! Decimal text to whole steps, exactly: the one place where a price or a quantity becomes an
//! integer. No floating point is involved.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::money::{MONEY_PLACES, Money};

/// Most decimal places a step may have.
pub const PLACES_MAX: u32 = 18;

/// A tick or lot size: `mantissa × 10^-places`, trailing zeros removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    mantissa: i64,
    places: u32,
}

impl Step {
    /// A step from its decimal text, such as `0.1`, `0.00001` or `25`.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = || {
            Error::invalid(
                "step",
                "a positive decimal such as 0.01",
                format!("{text:?}"),
            )
        };
        let (mut mantissa, mut places) = digits(text.as_bytes()).ok_or_else(bad)?;
        if mantissa <= 0 {
            return Err(bad());
        }
        while places > 0 && mantissa % 10 == 0 {
            mantissa /= 10;
            places -= 1;
        }
        let mantissa = i64::try_from(mantissa).map_err(|_| bad())?;
        Ok(Self { mantissa, places })
    }

    /// The step as `(mantissa, decimal places)`.
    pub fn parts(self) -> (i64, u32) {
        (self.mantissa, self.places)
    }

    /// The step as a float, for the edges only.
    #[allow(clippy::cast_precision_loss, reason = "a float is what is asked for")]
    pub fn to_f64(self) -> f64 {
        // A quotient of two exact integers is correctly rounded; a product with 10^-n is not.
        self.mantissa as f64 / 10f64.powi(self.places.cast_signed())
    }

    /// A number of steps as a float, for the edges only.
    #[allow(clippy::cast_precision_loss, reason = "a float is what is asked for")]
    pub fn value(self, steps: f64) -> f64 {
        steps * self.mantissa as f64 / 10f64.powi(self.places.cast_signed())
    }

    /// The step as an amount of money; `None` where it is finer than money's unit.
    pub fn money(self) -> Option<Money> {
        let places = MONEY_PLACES.checked_sub(self.places)?;
        Some(Money(i128::from(self.mantissa) * 10i128.pow(places)))
    }

    /// How many whole steps the decimal text is.
    ///
    /// # Errors
    /// Text that is no decimal number, is no multiple of the step or does not fit an `i64`.
    #[inline]
    pub fn count(self, text: &[u8]) -> Result<i64> {
        match self.count_short(text) {
            Some(steps) => Ok(steps),
            None => self.count_any(text),
        }
    }

    /// The common case of [`Self::count`], which is the inner loop of every decoder: unsigned, at
    /// most 19 characters, so that 64 bits cannot overflow. `None` says nothing but "ask
    /// [`Self::count_any`]", which also words the errors.
    #[inline]
    fn count_short(self, text: &[u8]) -> Option<i64> {
        if text.len() > 19 || text.first() == Some(&b'.') {
            return None;
        }
        let (mut value, mut places_left) = (0u64, self.places);
        let mut bytes = text.iter();
        while let Some(&byte) = bytes.next() {
            if byte == b'.' {
                for &byte in bytes {
                    if places_left == 0 {
                        // Zeros behind the last place of the step change nothing.
                        if byte != b'0' {
                            return None;
                        }
                        continue;
                    }
                    value = value * 10 + digit(byte)?;
                    places_left -= 1;
                }
                break;
            }
            value = value * 10 + digit(byte)?;
        }
        if places_left > 0 {
            value = value.checked_mul(10u64.checked_pow(places_left)?)?;
        }
        let mantissa = self.mantissa.cast_unsigned();
        if mantissa != 1 {
            if !value.is_multiple_of(mantissa) {
                return None;
            }
            value /= mantissa;
        }
        if text.is_empty() {
            return None;
        }
        i64::try_from(value).ok()
    }

    /// The nearest number of whole steps (a half goes up), at least one unless the text is zero,
    /// and whether it differs from the text. For sizes that a venue keeps finer than its own lot;
    /// text of more than `places_max` decimal places is refused.
    pub fn count_nearest(self, text: &[u8], places_max: u32) -> Result<(i64, bool)> {
        if let Ok(steps) = self.count(text) {
            return Ok((steps, false));
        }
        let shown = || String::from_utf8_lossy(text).into_owned();
        let (value, places) = digits(text)
            .filter(|&(value, places)| value >= 0 && places <= places_max)
            .ok_or_else(|| {
                let expected = format!("digits with at most {places_max} behind the point");
                Error::invalid("decimal", expected, shown())
            })?;
        let too_large = || Error::invalid("decimal", "a number of steps within 64 bits", shown());
        // Both sides of the quotient in units of the finer of the two scales.
        let scale = |by: u32| 10i128.checked_pow(by).ok_or_else(too_large);
        let value = value
            .checked_mul(scale(self.places.saturating_sub(places))?)
            .ok_or_else(too_large)?;
        let step = i128::from(self.mantissa) * scale(places.saturating_sub(self.places))?;
        let steps = (value + step / 2) / step;
        let steps = i64::try_from(steps).map_err(|_| too_large())?;
        Ok((steps.max(i64::from(value > 0)), true))
    }

    /// The general case of [`Self::count`].
    #[cold]
    fn count_any(self, text: &[u8]) -> Result<i64> {
        let shown = || String::from_utf8_lossy(text).into_owned();
        let (value, places) = digits(text)
            .ok_or_else(|| Error::invalid("decimal", "digits with at most one point", shown()))?;
        let off_step = || Error::NotOnStep {
            found: shown(),
            step: self.to_string(),
        };
        let too_large = || Error::invalid("decimal", "a number of steps within 64 bits", shown());
        let scaled = if places <= self.places {
            value
                .checked_mul(10i128.pow(self.places - places))
                .ok_or_else(too_large)?
        } else {
            let divisor = 10i128.pow(places - self.places);
            if value % divisor != 0 {
                return Err(off_step());
            }
            value / divisor
        };
        if scaled % i128::from(self.mantissa) != 0 {
            return Err(off_step());
        }
        i64::try_from(scaled / i128::from(self.mantissa)).map_err(|_| too_large())
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let places = self.places as usize;
        if places == 0 {
            return write!(f, "{}", self.mantissa);
        }
        let text = format!("{:0width$}", self.mantissa, width = places + 1);
        let (whole, fraction) = text.split_at(text.len() - places);
        write!(f, "{whole}.{fraction}")
    }
}

#[inline]
fn digit(byte: u8) -> Option<u64> {
    let value = byte.wrapping_sub(b'0');
    (value < 10).then_some(u64::from(value))
}

/// The digits of a decimal as one integer, and how many stood behind the point (at most 36).
pub(crate) fn digits(text: &[u8]) -> Option<(i128, u32)> {
    let (negative, unsigned) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let (mut value, mut places, mut seen, mut point) = (0i128, 0u32, 0u32, false);
    for &byte in unsigned {
        match byte {
            b'0'..=b'9' if seen < 36 => {
                value = value * 10 + i128::from(byte - b'0');
                seen += 1;
                places += u32::from(point);
            }
            b'.' if !point => point = true,
            _ => return None,
        }
    }
    (seen > 0).then_some((if negative { -value } else { value }, places))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn exact_counts() {
        let tick = Step::parse("0.10").unwrap();
        assert_eq!(tick.parts(), (1, 1));
        assert_eq!(tick.count(b"61496.50").unwrap(), 614_965);
        assert_eq!(tick.count(b"-3").unwrap(), -30);
        assert_eq!(Step::parse("0.25").unwrap().count(b"1.50").unwrap(), 6);
        assert_eq!(Step::parse("100").unwrap().count(b"1200.0").unwrap(), 12);
        assert_eq!(
            Step::parse("0.00001")
                .unwrap()
                .count(b"3.78826000")
                .unwrap(),
            378_826
        );
    }

    #[test]
    fn refusals() {
        let tick = Step::parse("0.1").unwrap();
        for text in [
            "", ".", "-", "1e5", "1,0", " 1", "1.2.3", "NaN", "0.15", "٣",
        ] {
            assert!(
                tick.count(text.as_bytes()).is_err(),
                "{text:?} was accepted"
            );
        }
        for text in [
            "99999999999999999999",
            "123456789012345678901234567890123456789",
        ] {
            assert!(
                tick.count(text.as_bytes()).is_err(),
                "{text:?} was accepted"
            );
        }
        for text in ["0", "-1", "x", ""] {
            assert!(Step::parse(text).is_err(), "{text:?} was accepted");
        }
        let message = tick.count(b"61496.55").unwrap_err().to_string();
        assert_eq!(message, "\"61496.55\" is not a multiple of the step 0.1");
    }

    #[test]
    fn the_nearest_step() {
        let lot = Step::parse("0.00001").unwrap();
        for (text, steps) in [
            ("25.42618900", (2_542_619, true)),
            ("25.42618000", (2_542_618, false)),
            ("0.00000001", (1, true)),
            ("0.00000000", (0, false)),
            ("0.00001499", (1, true)),
            ("0.00001500", (2, true)),
        ] {
            assert_eq!(
                lot.count_nearest(text.as_bytes(), 8).unwrap(),
                steps,
                "{text}"
            );
        }
        for text in [
            "-0.00000001",
            "0.000000001",
            "x",
            "99999999999999999999.00000001",
        ] {
            assert!(
                lot.count_nearest(text.as_bytes(), 8).is_err(),
                "{text} was accepted"
            );
        }
    }

    proptest! {
        #[test]
        fn text_round_trips(mantissa in 1i64..100_000, places in 0u32..9, n in -1_000_000_000i64..1_000_000_000) {
            let text = Step { mantissa, places }.to_string();
            let step = Step::parse(&text).unwrap();
            let value = Step { mantissa: 1, places };
            let total = i128::from(mantissa) * i128::from(n);
            let sign = if total < 0 { "-" } else { "" };
            let digits = format!("{:0width$}", total.unsigned_abs(), width = places as usize + 1);
            let (whole, fraction) = digits.split_at(digits.len() - places as usize);
            let decimal = format!("{sign}{whole}.{fraction}");
            prop_assert_eq!(step.count(decimal.as_bytes()).unwrap(), n);
            prop_assert!(value.count(decimal.as_bytes()).is_ok());
        }

        #[test]
        fn the_short_way_agrees_with_the_general_one(
            mantissa in prop_oneof![Just(1i64), 1i64..1000], places in 0u32..10,
            text in "[0-9]{0,14}(\\.[0-9]{0,10})?0{0,4}",
        ) {
            let step = Step { mantissa, places };
            if let Some(steps) = step.count_short(text.as_bytes()) {
                prop_assert_eq!(steps, step.count_any(text.as_bytes()).unwrap());
            } else if text.len() <= 19 && !text.starts_with('.') {
                // What leaves 64 bits before the division by the mantissa, only the general way can
                // tell; everything else is wrong for both.
                let fits = digits(text.as_bytes()).is_none_or(|(value, after_point)| {
                    let scale = 10i128.pow(places.abs_diff(after_point));
                    let scaled = if after_point <= places { value * scale } else { value / scale };
                    u64::try_from(scaled).is_ok()
                });
                prop_assert!(!fits || step.count_any(text.as_bytes()).is_err());
            }
        }
    }
}
