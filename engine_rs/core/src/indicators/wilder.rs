//! Wilder's indicators: RSI, ATR, ADX with its directional lines; and the stochastic oscillator.

use super::{Candle, Highest, Rule, Window, float};

/// Wilder's mean: that of the first n values, then `(mean × (n − 1) + value) / n`.
struct WilderMean {
    length: usize,
    seen: usize,
    value: f64,
}

impl WilderMean {
    fn new(length: usize) -> Self {
        Self {
            length,
            seen: 0,
            value: 0.0,
        }
    }

    fn push(&mut self, value: f64) -> Option<f64> {
        self.seen = (self.seen + 1).min(self.length + 1);
        let length = float(self.length as u64);
        if self.seen <= self.length {
            self.value += value;
            if self.seen < self.length {
                return None;
            }
            self.value /= length;
        } else {
            self.value = (self.value * (length - 1.0) + value) / length;
        }
        Some(self.value)
    }
}

/// Relative strength index: 100 × mean gain / (mean gain + mean loss); 0 where nothing moved.
pub(super) struct Rsi {
    gain: WilderMean,
    loss: WilderMean,
    before: Option<i64>,
}

impl Rsi {
    pub(super) fn new(length: usize) -> Self {
        Self {
            gain: WilderMean::new(length),
            loss: WilderMean::new(length),
            before: None,
        }
    }
}

impl Rule for Rsi {
    fn push(&mut self, bar: &Candle, results: &mut [Option<f64>]) {
        let Some(before) = self.before.replace(bar.close_ticks) else {
            return;
        };
        let change = float(i128::from(bar.close_ticks) - i128::from(before));
        let gain = self.gain.push(change.max(0.0));
        let loss = self.loss.push((-change).max(0.0));
        results[0] = gain.zip(loss).map(|(gain, loss)| {
            let total = gain + loss;
            if total > 0.0 {
                100.0 * (gain / total)
            } else {
                0.0
            }
        });
    }
}

/// The greatest of high − low, |high − close before| and |low − close before|.
fn true_range(bar: &Candle, close_before: i64) -> f64 {
    let (high, low) = (i128::from(bar.high_ticks), i128::from(bar.low_ticks));
    let close = i128::from(close_before);
    float(
        (high - low)
            .max((high - close).abs())
            .max((low - close).abs()),
    )
}

/// Average true range: Wilder's mean of the true range.
pub(super) struct Atr {
    mean: WilderMean,
    before: Option<i64>,
}

impl Atr {
    pub(super) fn new(length: usize) -> Self {
        Self {
            mean: WilderMean::new(length),
            before: None,
        }
    }
}

impl Rule for Atr {
    fn push(&mut self, bar: &Candle, results: &mut [Option<f64>]) {
        if let Some(before) = self.before.replace(bar.close_ticks) {
            results[0] = self.mean.push(true_range(bar, before));
        }
    }
}

/// Average directional index, and the directional lines +DI and −DI.
///
/// Directional moves and true range are sums over n bars, smoothed by Wilder's `sum −= sum / n`;
/// ADX is his mean of 100 × |+DI − −DI| / (+DI + −DI). As in TA-Lib the first sums hold n − 1 bars.
pub(super) struct Adx {
    length: usize,
    before: Option<Candle>,
    moves: usize,
    plus: f64,
    minus: f64,
    range: f64,
    dx: WilderMean,
}

impl Adx {
    pub(super) fn new(length: usize) -> Self {
        Self {
            length,
            before: None,
            moves: 0,
            plus: 0.0,
            minus: 0.0,
            range: 0.0,
            dx: WilderMean::new(length),
        }
    }
}

impl Rule for Adx {
    fn push(&mut self, bar: &Candle, results: &mut [Option<f64>]) {
        let Some(before) = self.before.replace(*bar) else {
            return;
        };
        let up = float(i128::from(bar.high_ticks) - i128::from(before.high_ticks));
        let down = float(i128::from(before.low_ticks) - i128::from(bar.low_ticks));
        self.moves = (self.moves + 1).min(self.length);
        if self.moves == self.length {
            let length = float(self.length as u64);
            self.plus -= self.plus / length;
            self.minus -= self.minus / length;
            self.range -= self.range / length;
        }
        if down > 0.0 && up < down {
            self.minus += down;
        } else if up > 0.0 && up > down {
            self.plus += up;
        }
        self.range += true_range(bar, before.close_ticks);
        if self.moves < self.length {
            return;
        }
        let (mut plus, mut minus, mut dx) = (0.0, 0.0, None);
        if self.range > 0.0 {
            plus = 100.0 * (self.plus / self.range);
            minus = 100.0 * (self.minus / self.range);
            if plus + minus > 0.0 {
                dx = Some(100.0 * ((minus - plus).abs() / (plus + minus)));
            }
        }
        // While the first mean is made, a bar without direction counts 0; later it changes nothing.
        let adx = match dx {
            None if self.dx.seen >= self.length => Some(self.dx.value),
            dx => self.dx.push(dx.unwrap_or(0.0)),
        };
        if adx.is_some() {
            results.copy_from_slice(&[adx, Some(plus), Some(minus)]);
        }
    }
}

/// Slow stochastic oscillator: where the close lies between the lowest low and the highest high of
/// the last bars, in percent (0 where these are equal), averaged twice.
pub(super) struct Stochastic {
    highs: Highest,
    /// Of the complements, which turn the order round at every value.
    lows: Highest,
    fast: Window<f64>,
    slow: Window<f64>,
}

impl Stochastic {
    pub(super) fn new(length: usize, slow_k: usize, slow_d: usize) -> Self {
        Self {
            highs: Highest::new(length),
            lows: Highest::new(length),
            fast: Window::new(slow_k),
            slow: Window::new(slow_d),
        }
    }
}

impl Rule for Stochastic {
    fn push(&mut self, bar: &Candle, results: &mut [Option<f64>]) {
        let (high, low) = (
            self.highs.push(bar.high_ticks),
            self.lows.push(!bar.low_ticks),
        );
        let Some((high, low)) = high.zip(low) else {
            return;
        };
        let (high, low) = (i128::from(high), i128::from(!low));
        let above = float(i128::from(bar.close_ticks) - low);
        self.fast.push(if high == low {
            0.0
        } else {
            100.0 * above / float(high - low)
        });
        if !self.fast.is_full() {
            return;
        }
        let k = mean(&self.fast);
        self.slow.push(k);
        if self.slow.is_full() {
            results.copy_from_slice(&[Some(k), Some(mean(&self.slow))]);
        }
    }
}

fn mean(window: &Window<f64>) -> f64 {
    window.values.iter().sum::<f64>() / float(window.length as u64)
}
