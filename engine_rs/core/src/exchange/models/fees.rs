//! What the venue takes for a fill.

use std::collections::VecDeque;
use std::fmt;

use crate::error::{Error, Result};
use crate::instrument::FeeRate;
use crate::money::Money;

const DAY_NS: i64 = 86_400_000_000_000;
/// Days of traded value that decide the tier.
pub const VOLUME_DAYS: i64 = 30;

/// What a fee is worked out from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeBasis {
    /// Index of the instrument in the run.
    pub instrument: usize,
    /// Value of the fill in the settlement currency, not below 0.
    pub notional: Money,
    /// Value of the fill in the quote asset, not below 0.
    pub quote_notional: Money,
    /// Lots filled.
    pub qty_lots: i64,
    /// Whether the order was resting.
    pub maker: bool,
    /// The venue's clock.
    pub ts_ns: i64,
}

/// What the venue takes for a fill, in the settlement currency; below 0 it pays.
pub trait FeeModel: fmt::Debug + Send + Sync {
    /// The fee of one fill; fills come in order of the venue's time.
    fn fee(&mut self, fill: &FeeBasis) -> Money;
}

/// A share of the traded value, by instrument and liquidity; a negative rate is a rebate.
#[derive(Clone, Debug)]
pub struct ValueFees {
    /// Maker and taker rates by instrument.
    rates: Vec<(FeeRate, FeeRate)>,
}

impl ValueFees {
    /// Maker and taker rates of each instrument, in the order of their indices.
    pub fn new(rates: Vec<(FeeRate, FeeRate)>) -> Self {
        Self { rates }
    }
}

impl FeeModel for ValueFees {
    fn fee(&mut self, fill: &FeeBasis) -> Money {
        let (maker, taker) = self.rates[fill.instrument];
        fill.notional.fee(if fill.maker { maker } else { taker })
    }
}

/// The same amount for every fill, in the settlement currency.
#[derive(Clone, Copy, Debug)]
pub struct FlatFees {
    /// The amount a fill.
    pub amount: Money,
}

impl FeeModel for FlatFees {
    fn fee(&mut self, _fill: &FeeBasis) -> Money {
        self.amount
    }
}

/// An amount for each lot, by instrument and liquidity, in the settlement currency.
#[derive(Clone, Debug)]
pub struct QuantityFees {
    /// Maker and taker amounts a lot, by instrument.
    amounts: Vec<(Money, Money)>,
}

impl QuantityFees {
    /// Maker and taker amounts a lot of each instrument, in the order of their indices.
    pub fn new(amounts: Vec<(Money, Money)>) -> Self {
        Self { amounts }
    }
}

impl FeeModel for QuantityFees {
    fn fee(&mut self, fill: &FeeBasis) -> Money {
        let (maker, taker) = self.amounts[fill.instrument];
        let amount = if fill.maker { maker } else { taker };
        Money(amount.0.saturating_mul(i128::from(fill.qty_lots)))
    }
}

/// Rates from a traded value upwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Traded value of the last 30 days, in the quote asset, from which it holds.
    pub volume_min: Money,
    /// Share of the value for resting orders.
    pub maker: FeeRate,
    /// Share of the value for taking orders.
    pub taker: FeeRate,
}

/// A share of the traded value, by tier of the value traded in 30 days. The tier is decided at each
/// beginning of a UTC day of the venue's clock by the 30 whole days before it, as venues do. Quote
/// assets count one for one.
#[derive(Clone, Debug)]
pub struct TieredFees {
    tiers: Vec<Tier>,
    /// Value traded before the run, which counts for its first 30 days.
    before: Money,
    first_day: Option<i64>,
    day: i64,
    today: Money,
    /// (day, value) of earlier days of the run, oldest first.
    days: VecDeque<(i64, Money)>,
    tier: Tier,
}

impl TieredFees {
    /// Tiers from the lowest volume (which must be 0) up, and the volume of the 30 days before the
    /// run.
    pub fn new(tiers: Vec<Tier>, before: Money) -> Result<Self> {
        let Some(first) = tiers.first().copied() else {
            return Err(Error::invalid("fees.tiers", "at least one tier", "none"));
        };
        if first.volume_min != Money::ZERO {
            let found = first.volume_min.to_f64();
            let expected = "a first tier from a volume of 0";
            return Err(Error::invalid("fees.tiers", expected, found));
        }
        if let Some(pair) = tiers
            .windows(2)
            .find(|pair| pair[0].volume_min >= pair[1].volume_min)
        {
            let found = pair[1].volume_min.to_f64();
            let expected = "rising volumes";
            return Err(Error::invalid("fees.tiers", expected, found));
        }
        if before < Money::ZERO {
            let found = before.to_f64();
            return Err(Error::invalid("fees.volume_30d", "0 or more", found));
        }
        let mut fees = Self {
            tiers,
            before,
            first_day: None,
            day: i64::MIN,
            today: Money::ZERO,
            days: VecDeque::new(),
            tier: first,
        };
        fees.tier = fees.tier_of(before);
        Ok(fees)
    }

    fn tier_of(&self, volume: Money) -> Tier {
        let reached = self.tiers.partition_point(|tier| tier.volume_min <= volume);
        self.tiers[reached.max(1) - 1]
    }

    fn begin_day(&mut self, day: i64) {
        let first = *self.first_day.get_or_insert(day);
        if self.today != Money::ZERO {
            self.days.push_back((self.day, self.today));
            self.today = Money::ZERO;
        }
        self.day = day;
        while self
            .days
            .front()
            .is_some_and(|(old, _)| day - old > VOLUME_DAYS)
        {
            self.days.pop_front();
        }
        let before = if day - first < VOLUME_DAYS {
            self.before
        } else {
            Money::ZERO
        };
        let volume = self
            .days
            .iter()
            .fold(before, |sum, (_, value)| sum + *value);
        self.tier = self.tier_of(volume);
    }
}

impl FeeModel for TieredFees {
    fn fee(&mut self, fill: &FeeBasis) -> Money {
        let day = fill.ts_ns.div_euclid(DAY_NS);
        if day > self.day {
            self.begin_day(day);
        }
        self.today += fill.quote_notional;
        fill.notional.fee(if fill.maker {
            self.tier.maker
        } else {
            self.tier.taker
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: i128 = 1_000_000_000_000;

    fn fill(day: i64, value: i128, maker: bool) -> FeeBasis {
        FeeBasis {
            instrument: 0,
            notional: Money(value * UNIT),
            quote_notional: Money(value * UNIT),
            qty_lots: 3,
            maker,
            ts_ns: day * DAY_NS + 5,
        }
    }

    fn rate(text: &str) -> FeeRate {
        FeeRate::parse(text).unwrap()
    }

    #[test]
    fn rates_amounts_and_rebates() {
        let mut value = ValueFees::new(vec![(rate("-0.0001"), rate("0.0005"))]);
        assert_eq!(value.fee(&fill(0, 10_000, false)), Money(5 * UNIT));
        assert_eq!(value.fee(&fill(0, 10_000, true)), Money(-UNIT), "a rebate");
        let mut flat = FlatFees {
            amount: Money(2 * UNIT),
        };
        assert_eq!(flat.fee(&fill(0, 1, false)), Money(2 * UNIT));
        let mut quantity = QuantityFees::new(vec![(Money(-UNIT), Money(2 * UNIT))]);
        assert_eq!(quantity.fee(&fill(0, 1, false)), Money(6 * UNIT));
        assert_eq!(quantity.fee(&fill(0, 1, true)), Money(-3 * UNIT));
    }

    #[test]
    fn the_tier_follows_thirty_whole_days() {
        let tier = |volume: i128, taker: &str| Tier {
            volume_min: Money(volume * UNIT),
            maker: rate("0"),
            taker: rate(taker),
        };
        let tiers = vec![
            tier(0, "0.001"),
            tier(1_000, "0.0005"),
            tier(2_000, "0.0001"),
        ];
        let mut fees = TieredFees::new(tiers, Money(1_000 * UNIT)).unwrap();
        // A fee of 1,000 at 5 bp is 0.5; what is traded today counts tomorrow.
        let mut paid = |day, value| fees.fee(&fill(day, value, false)).0 * 10_000 / (value * UNIT);
        assert_eq!(paid(100, 1_000), 5);
        assert_eq!(paid(100, 1_000), 5);
        assert_eq!(paid(101, 10), 1, "1,000 before the run and 2,000 yesterday");
        assert_eq!(paid(129, 10), 1);
        // The volume before the run ends after 30 days, that of day 100 with day 130.
        assert_eq!(paid(130, 10), 1);
        assert_eq!(paid(131, 10), 10);
    }

    #[test]
    fn tiers_that_cannot_be_are_refused() {
        let tier = |volume: i128| Tier {
            volume_min: Money(volume * UNIT),
            maker: rate("0"),
            taker: rate("0"),
        };
        for (tiers, before, words) in [
            (vec![], 0, "at least one tier"),
            (vec![tier(5)], 0, "a first tier from a volume of 0"),
            (vec![tier(0), tier(5), tier(5)], 0, "rising volumes"),
            (vec![tier(0)], -1, "fees.volume_30d"),
        ] {
            let error = TieredFees::new(tiers, Money(before)).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
