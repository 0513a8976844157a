//! Classic floor pivots: levels of a day that follow from the day before.
//!
//! They are known when the last bar of the day before is complete, and hold until the next day's
//! are: whoever reads them after a bar sees those of the UTC day in which that bar ended, midnight
//! being the first moment of the new day.

const DAY_NS: i64 = 86_400_000_000_000;

/// Classic floor pivots of a day, in ticks, from the day before: P = (H + L + C) / 3,
/// R1 = 2P − L, S1 = 2P − H, R2 = P + (H − L), S2 = P − (H − L), R3 = H + 2(P − L),
/// S3 = L − 2(H − P).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FloorPivots {
    /// The pivot P.
    pub pivot: f64,
    /// R1 to R3.
    pub resistances: [f64; 3],
    /// S1 to S3.
    pub supports: [f64; 3],
}

impl FloorPivots {
    /// The pivots that follow from a day's high, low and close in ticks.
    #[allow(clippy::cast_precision_loss, reason = "thirds are not whole ticks")]
    pub fn new(high_ticks: i64, low_ticks: i64, close_ticks: i64) -> Self {
        let (high, low) = (high_ticks as f64, low_ticks as f64);
        let sum = i128::from(high_ticks) + i128::from(low_ticks) + i128::from(close_ticks);
        let pivot = sum as f64 / 3.0;
        let range = (i128::from(high_ticks) - i128::from(low_ticks)) as f64;
        Self {
            pivot,
            resistances: [2.0 * pivot - low, pivot + range, high + 2.0 * (pivot - low)],
            supports: [
                2.0 * pivot - high,
                pivot - range,
                low - 2.0 * (high - pivot),
            ],
        }
    }

    /// P, R1 to R3, S1 to S3.
    pub fn levels(&self) -> [f64; 7] {
        let ([r1, r2, r3], [s1, s2, s3]) = (self.resistances, self.supports);
        [self.pivot, r1, r2, r3, s1, s2, s3]
    }
}

/// High, low and close of a UTC day, as far as its bars were seen.
#[derive(Clone, Copy, Debug)]
struct Day {
    number: i64,
    high: i64,
    low: i64,
    close: i64,
}

impl Day {
    fn floor_pivots(self) -> FloorPivots {
        FloorPivots::new(self.high, self.low, self.close)
    }
}

/// The floor pivots that are known after each bar, from bars of any length up to a day.
#[derive(Clone, Debug, Default)]
pub struct FloorDays {
    /// Day of the latest bar's start, and the day with bars before it.
    days: [Option<Day>; 2],
    /// Number of the day in which the latest bar ended.
    now: i64,
}

impl FloorDays {
    /// Takes in a complete bar: start and length in ns, prices in ticks.
    pub fn push(&mut self, ts_start_ns: i64, interval_ns: i64, high: i64, low: i64, close: i64) {
        let number = ts_start_ns.div_euclid(DAY_NS);
        self.now = ts_start_ns.saturating_add(interval_ns).div_euclid(DAY_NS);
        match &mut self.days[0] {
            Some(day) if day.number == number => {
                day.high = day.high.max(high);
                day.low = day.low.min(low);
                day.close = close;
            }
            latest => {
                let day = Day {
                    number,
                    high,
                    low,
                    close,
                };
                self.days[1] = latest.replace(day);
            }
        }
    }

    /// The pivots of the day in which the latest bar ended; `None` without bars of the day right
    /// before it.
    pub fn latest(&self) -> Option<FloorPivots> {
        self.days
            .iter()
            .flatten()
            .find(|day| day.number + 1 == self.now)
            .map(|day| day.floor_pivots())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::float_cmp, reason = "whole numbers are exact")]
    fn floor_pivots_by_their_formulas() {
        let found = FloorPivots::new(120, 90, 105);
        assert_eq!(found.pivot, 105.0);
        assert_eq!(found.resistances, [120.0, 135.0, 150.0]);
        assert_eq!(found.supports, [90.0, 75.0, 60.0]);
    }

    #[test]
    fn known_from_the_close_of_the_day_before() {
        let half = DAY_NS / 2;
        let mut days = FloorDays::default();
        let mut push = |start, length, high, low, close| {
            days.push(start, length, high, low, close);
            days.latest()
        };
        assert_eq!(push(0, half, 10, 5, 7), None);
        let first = Some(FloorPivots::new(12, 5, 11));
        assert_eq!(push(half, half, 12, 6, 11), first, "midnight has come");
        assert_eq!(
            push(DAY_NS, half, 99, 1, 50),
            first,
            "today changes nothing"
        );
        let second = Some(FloorPivots::new(99, 1, 50));
        assert_eq!(
            push(2 * DAY_NS, half, 20, 10, 15),
            second,
            "bars were missing"
        );
        assert_eq!(push(4 * DAY_NS, half, 9, 9, 9), None, "day 3 is missing");
        let fifth = Some(FloorPivots::new(8, 6, 7));
        assert_eq!(
            push(5 * DAY_NS, DAY_NS, 8, 6, 7),
            fifth,
            "a bar of a whole day"
        );
        assert_eq!(push(-DAY_NS, half, 1, 1, 1), None, "before 1970");
    }
}
