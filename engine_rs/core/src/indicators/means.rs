//! Means of closes: SMA, EMA, MACD, Bollinger bands.

use super::{Candle, LENGTH_MAX, Rule, Window, float};

/// Simple moving average: mean of the last n closes.
pub(super) struct Sma {
    closes: Window<i64>,
    sum: i128,
}

impl Sma {
    pub(super) fn new(length: usize) -> Self {
        Self {
            closes: Window::new(length),
            sum: 0,
        }
    }
}

impl Rule for Sma {
    fn push(&mut self, bar: &Candle, results: &mut [Option<f64>]) {
        self.sum += i128::from(bar.close_ticks);
        if let Some(gone) = self.closes.push(bar.close_ticks) {
            self.sum -= i128::from(gone);
        }
        let mean = || float(self.sum) / float(self.closes.length as u64);
        results[0] = self.closes.is_full().then(mean);
    }
}

/// The recursion of an exponential average: seeded with the mean of its first n values, then
/// `ema += 2 / (n + 1) × (value − ema)`.
struct Smoothing {
    length: usize,
    seen: usize,
    value: f64,
}

impl Smoothing {
    fn new(length: usize) -> Self {
        Self {
            length,
            seen: 0,
            value: 0.0,
        }
    }

    fn push(&mut self, value: f64) -> Option<f64> {
        self.seen = (self.seen + 1).min(self.length + 1);
        if self.seen < self.length {
            self.value += value;
            return None;
        }
        let length = float(self.length as u64);
        if self.seen == self.length {
            self.value = (self.value + value) / length;
        } else {
            self.value += (value - self.value) * (2.0 / (length + 1.0));
        }
        Some(self.value)
    }
}

/// Exponential moving average of closes.
pub(super) struct Ema(Smoothing);

impl Ema {
    pub(super) fn new(length: usize) -> Self {
        Self(Smoothing::new(length))
    }
}

impl Rule for Ema {
    fn push(&mut self, bar: &Candle, results: &mut [Option<f64>]) {
        results[0] = self.0.push(float(bar.close_ticks));
    }
}

/// Moving average convergence divergence: fast less slow exponential average, the exponential
/// average of that, and the difference of the two. As in TA-Lib both averages are seeded with the
/// bar that seeds the slow one, and nothing is told before the signal is known.
pub(super) struct Macd {
    fast: Smoothing,
    slow: Smoothing,
    signal: Smoothing,
    /// Bars that the fast average has to wait for.
    wait: usize,
}

impl Macd {
    pub(super) fn new(fast: usize, slow: usize, signal: usize) -> Self {
        Self {
            fast: Smoothing::new(fast),
            slow: Smoothing::new(slow),
            signal: Smoothing::new(signal),
            wait: slow - fast,
        }
    }
}

impl Rule for Macd {
    fn push(&mut self, bar: &Candle, results: &mut [Option<f64>]) {
        let close = float(bar.close_ticks);
        let slow = self.slow.push(close);
        if self.wait > 0 {
            self.wait -= 1;
            return;
        }
        let fast = self.fast.push(close);
        let Some((fast, slow)) = fast.zip(slow) else {
            return;
        };
        let line = fast - slow;
        if let Some(signal) = self.signal.push(line) {
            results.copy_from_slice(&[Some(line), Some(signal), Some(line - signal)]);
        }
    }
}

/// Closes nearer to zero than this have sums of squares that are exact: with windows of at most
/// [`LENGTH_MAX`] both terms of the variance stay below 2^126.
const SQUARES_EXACT: u64 = 1 << 46;
const _: () = assert!(LENGTH_MAX <= 1 << 17);

/// Bollinger bands: mean of the last n closes, and that plus and minus a multiple of their
/// standard deviation (of the population).
pub(super) struct Bollinger {
    closes: Window<i64>,
    sum: i128,
    /// Σ close², of closes that are not far from zero.
    squares: i128,
    /// Closes in the window that are.
    far: usize,
    deviations: f64,
}

impl Bollinger {
    pub(super) fn new(length: usize, deviations: f64) -> Self {
        Self {
            closes: Window::new(length),
            sum: 0,
            squares: 0,
            far: 0,
            deviations,
        }
    }

    /// n² times the variance, or n times the sum of squared distances.
    fn spread(&self, mean: f64) -> f64 {
        let count = self.closes.length as u64;
        if self.far == 0 {
            return float(i128::from(count) * self.squares - self.sum * self.sum);
        }
        let distances = self.closes.values.iter();
        let squares = distances.map(|close| (float(*close) - mean).powi(2));
        float(count) * squares.sum::<f64>()
    }
}

impl Rule for Bollinger {
    fn push(&mut self, bar: &Candle, results: &mut [Option<f64>]) {
        let square = |close: i64| {
            (close.unsigned_abs() < SQUARES_EXACT).then(|| i128::from(close) * i128::from(close))
        };
        self.sum += i128::from(bar.close_ticks);
        match square(bar.close_ticks) {
            Some(square) => self.squares += square,
            None => self.far += 1,
        }
        if let Some(gone) = self.closes.push(bar.close_ticks) {
            self.sum -= i128::from(gone);
            match square(gone) {
                Some(square) => self.squares -= square,
                None => self.far -= 1,
            }
        }
        if !self.closes.is_full() {
            return;
        }
        let count = float(self.closes.length as u64);
        let mean = float(self.sum) / count;
        let width = self.deviations * (self.spread(mean).sqrt() / count);
        results.copy_from_slice(&[Some(mean + width), Some(mean), Some(mean - width)]);
    }
}
