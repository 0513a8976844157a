//! Indicators on bars, one bar at a time, with the numbers of TA-Lib.
//!
//! Prices are whole ticks and volumes whole lots, so that sums over windows are exact integers and
//! nothing drifts however long the run; floats appear in the results only. The crates that compute
//! incrementally (`ta`, `yata`) keep running sums of floats and seed their averages in other ways
//! than TA-Lib, which is what traders hold numbers against; hence these.
//!
//! Every bar counts, empty ones included. A result is absent until its indicator has seen as many
//! bars as TA-Lib asks for. Results in prices are in ticks.

mod means;
mod parse;
mod volume;
mod wilder;

pub use parse::{Indicator, Unit};

/// What an indicator sees of a bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candle {
    /// Start on the venue's clock, ns.
    pub ts_start_ns: i64,
    /// Highest price in ticks.
    pub high_ticks: i64,
    /// Lowest price in ticks.
    pub low_ticks: i64,
    /// Last price in ticks.
    pub close_ticks: i64,
    /// Lots traded.
    pub volume_lots: i64,
    /// Σ price × lots where the trades are known.
    pub value_px_lots: Option<i128>,
}

/// One rule that turns bars into numbers.
trait Rule: Send + Sync {
    /// Takes in a complete bar and sets the results that are known with it.
    fn push(&mut self, bar: &Candle, results: &mut [Option<f64>]);
}

/// A whole number as a float.
#[allow(clippy::cast_precision_loss, reason = "a float is what is asked for")]
fn float(value: impl Into<i128>) -> f64 {
    value.into() as f64
}

/// The last `n` values, `n` at least 1.
#[derive(Clone, Debug)]
struct Window<T> {
    values: std::collections::VecDeque<T>,
    length: usize,
}

impl<T: Copy> Window<T> {
    fn new(length: usize) -> Self {
        Self {
            values: std::collections::VecDeque::with_capacity(length + 1),
            length,
        }
    }

    /// Adds a value; the one that falls out.
    fn push(&mut self, value: T) -> Option<T> {
        self.values.push_back(value);
        if self.values.len() > self.length {
            self.values.pop_front()
        } else {
            None
        }
    }

    fn is_full(&self) -> bool {
        self.values.len() == self.length
    }
}

#[cfg(test)]
mod tests;
