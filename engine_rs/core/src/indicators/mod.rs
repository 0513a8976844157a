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

/// Longest window, in bars.
pub const LENGTH_MAX: usize = 100_000;

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

/// The highest of the last n values. Values that a later one is not below cannot become it again
/// and are forgotten, so that a bar costs the same however long the window.
#[derive(Clone, Debug)]
struct Highest {
    /// Number and value of each candidate, falling from the oldest to the latest.
    candidates: std::collections::VecDeque<(u64, i64)>,
    seen: u64,
    length: u64,
}

impl Highest {
    fn new(length: usize) -> Self {
        Self {
            candidates: std::collections::VecDeque::new(),
            seen: 0,
            length: length as u64,
        }
    }

    /// Adds a value; the highest once there are n.
    fn push(&mut self, value: i64) -> Option<i64> {
        while self.candidates.back().is_some_and(|back| back.1 <= value) {
            self.candidates.pop_back();
        }
        self.candidates.push_back((self.seen, value));
        self.seen += 1;
        let &(oldest, highest) = self.candidates.front()?;
        if oldest + self.length < self.seen {
            self.candidates.pop_front();
            return self.candidates.front().map(|front| front.1);
        }
        (self.seen >= self.length).then_some(highest)
    }
}

#[cfg(test)]
mod tests;
