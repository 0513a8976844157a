//! Indicators of volume: on-balance volume and the session's volume-weighted average price.

use super::{Candle, Rule, float};

/// The UTC day of a time in ns.
fn day(ts_ns: i64) -> i64 {
    ts_ns.div_euclid(86_400_000_000_000)
}

/// On-balance volume in lots: plus the volume of bars that close higher, less that of bars that
/// close lower, beginning with the first bar's volume.
#[derive(Default)]
pub(super) struct Obv {
    before: Option<i64>,
    sum: i128,
}

impl Rule for Obv {
    fn push(&mut self, bar: &Candle, results: &mut [Option<f64>]) {
        let volume = i128::from(bar.volume_lots);
        self.sum += match self.before.replace(bar.close_ticks) {
            None => volume,
            Some(before) => match bar.close_ticks.cmp(&before) {
                std::cmp::Ordering::Greater => volume,
                std::cmp::Ordering::Less => -volume,
                std::cmp::Ordering::Equal => 0,
            },
        };
        results[0] = Some(float(self.sum));
    }
}

/// Volume-weighted average price since the UTC day began, absent before its first volume: from the
/// trades themselves where they are known, else with (high + low + close) / 3 for each bar.
#[derive(Default)]
pub(super) struct Vwap {
    day: Option<i64>,
    /// Σ price × lots, three times.
    value_x3: i128,
    lots: i128,
}

impl Rule for Vwap {
    fn push(&mut self, bar: &Candle, results: &mut [Option<f64>]) {
        let today = day(bar.ts_start_ns);
        if self.day.replace(today) != Some(today) {
            (self.value_x3, self.lots) = (0, 0);
        }
        let value_x3 = bar.value_px_lots.map_or_else(
            || {
                let sum = i128::from(bar.high_ticks)
                    + i128::from(bar.low_ticks)
                    + i128::from(bar.close_ticks);
                sum.saturating_mul(i128::from(bar.volume_lots))
            },
            |value| value.saturating_mul(3),
        );
        self.value_x3 = self.value_x3.saturating_add(value_x3);
        self.lots += i128::from(bar.volume_lots);
        results[0] = (self.lots > 0).then(|| float(self.value_x3) / 3.0 / float(self.lots));
    }
}
