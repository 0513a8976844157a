//! The fair price that all venues move around: stochastic volatility with jumps.
//!
//! Log returns are normal with a volatility whose logarithm is the sum of two mean-reverting
//! processes, a quick one and a slow one (Scott 1987), plus symmetric Pareto jumps (after Merton
//! 1976), each of which raises the quick volatility. Mixing normals over a persistent volatility
//! gives the heavy tails and the clustered volatility of real returns, while the returns themselves
//! stay uncorrelated (Cont 2001, stylised facts 1, 2 and 6).
//!
//! Known limit: order flow does not move the fair price, so that a trade has only transient impact.

use crate::random::Random;

/// How the fair price moves.
#[derive(Clone, Copy, Debug)]
pub struct FairParams {
    /// Price at the start, in quote units.
    pub px_start: f64,
    /// Root mean square of the diffusion's return over one second, as a share of the price.
    pub vol_per_sqrt_s: f64,
    /// Standard deviation and time constant in seconds of the quick part of log volatility.
    pub quick: (f64, f64),
    /// The same of the slow part.
    pub slow: (f64, f64),
    /// Jumps a second.
    pub jump_rate: f64,
    /// Smallest and largest jump, in units of `vol_per_sqrt_s`.
    pub jump_range: (f64, f64),
    /// Exponent of the jump sizes' Pareto tail.
    pub jump_exponent: f64,
    /// What a jump adds to the quick part of log volatility.
    pub jump_kick: f64,
}

impl Default for FairParams {
    fn default() -> Self {
        Self {
            px_start: 50_000.0,
            // About a fifth a year, were it to go on: a quiet day in crypto.
            vol_per_sqrt_s: 0.35e-4,
            quick: (0.5, 15.0),
            slow: (0.3, 300.0),
            jump_rate: 1.0 / 40.0,
            jump_range: (2.0, 12.0),
            jump_exponent: 3.0,
            jump_kick: 0.5,
        }
    }
}

/// Largest volatility, relative to the mean.
const VOL_RATIO_MAX: f64 = 6.0;

/// A mean-reverting process around 0, stepped exactly.
#[derive(Clone, Debug)]
pub(super) struct Reverting {
    pub(super) value: f64,
    keep: f64,
    shock: f64,
}

impl Reverting {
    /// With this stationary standard deviation and time constant, advanced `step_s` at a time.
    pub(super) fn new((deviation, tau_s): (f64, f64), step_s: f64) -> Self {
        let keep = libm::exp(-step_s / tau_s);
        Self {
            value: 0.0,
            keep,
            shock: deviation * (1.0 - keep * keep).sqrt(),
        }
    }

    pub(super) fn step(&mut self, random: &mut Random) {
        self.value = self.value * self.keep + self.shock * random.normal();
    }
}

/// The fair price, advanced in equal steps.
#[derive(Clone, Debug)]
pub struct FairPrice {
    params: FairParams,
    random: Random,
    step_s: f64,
    quick: Reverting,
    slow: Reverting,
    log_px: f64,
    px: f64,
    vol_ratio: f64,
}

impl FairPrice {
    /// At its starting price.
    pub fn new(params: FairParams, random: Random, step_s: f64) -> Self {
        Self {
            random,
            step_s,
            quick: Reverting::new(params.quick, step_s),
            slow: Reverting::new(params.slow, step_s),
            log_px: libm::log(params.px_start),
            px: params.px_start,
            vol_ratio: 1.0,
            params,
        }
    }

    /// Moves one step on.
    pub fn step(&mut self) {
        let params = self.params;
        self.quick.step(&mut self.random);
        self.slow.step(&mut self.random);
        let variance = params.quick.0 * params.quick.0 + params.slow.0 * params.slow.0;
        // With this mean of the logarithm, the mean of the square is 1.
        let log_vol = self.quick.value + self.slow.value - variance;
        self.vol_ratio = libm::exp(log_vol).min(VOL_RATIO_MAX);
        let mut shock = self.vol_ratio * self.step_s.sqrt() * self.random.normal();
        if self.random.chance(params.jump_rate * self.step_s) {
            let (least, most) = params.jump_range;
            let size = (least * self.random.pareto(params.jump_exponent)).min(most);
            shock += if self.random.chance(0.5) { size } else { -size };
            self.quick.value += params.jump_kick;
        }
        self.log_px += params.vol_per_sqrt_s * shock;
        self.px = libm::exp(self.log_px);
    }

    /// The price in quote units.
    pub fn px(&self) -> f64 {
        self.px
    }

    /// Volatility now, relative to its root mean square.
    pub fn vol_ratio(&self) -> f64 {
        self.vol_ratio
    }
}
