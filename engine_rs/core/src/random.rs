//! Deterministic draws: the same seed gives the same numbers on every machine.
//!
//! The generator is PCG64 (O'Neill 2014), named outright so that no default can change under us.
//! Distributions use only the four basic operations and square roots, which IEEE 754 rounds exactly,
//! and `libm`'s portable software functions: the standard library's `ln` and `exp` may differ in the
//! last bit from one platform to the next.

use rand_core::Rng;
use rand_pcg::Pcg64;

/// A source of draws.
#[derive(Clone, Debug)]
pub struct Random {
    generator: Pcg64,
    normal_spare: Option<f64>,
}

impl Random {
    /// The source with this seed and purpose. Different purposes give unrelated sequences, so that
    /// one part's number of draws never shifts another's.
    pub fn new(seed: u64, purpose: u64) -> Self {
        // Neighbouring PCG streams are correlated; hashing seed and purpose apart keeps states far
        // from one another.
        let mut state = split_mix(seed) ^ split_mix(split_mix(purpose) ^ 0xA5A5_5A5A_C3C3_3C3C);
        let mut word = || {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            u128::from(split_mix(state))
        };
        let (initial, stream) = ((word() << 64) | word(), (word() << 64) | word());
        Self {
            generator: Pcg64::new(initial, stream),
            normal_spare: None,
        }
    }

    /// Uniform in [0, 1), a multiple of 2^-53.
    #[inline]
    pub fn uniform(&mut self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "53 bits are exact")]
        let bits = (self.generator.next_u64() >> 11) as f64;
        bits * (1.0 / 9_007_199_254_740_992.0)
    }

    /// True with probability `p`.
    #[inline]
    pub fn chance(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// Uniform in 0..`n` without bias (Lemire 2019); `n` is not 0.
    #[inline]
    pub fn below(&mut self, n: u64) -> u64 {
        debug_assert!(n > 0, "Invariant: there is something to choose from");
        loop {
            let product = u128::from(self.generator.next_u64()) * u128::from(n);
            #[allow(clippy::cast_possible_truncation, reason = "the low word is meant")]
            let low = product as u64;
            if low >= n || low >= n.wrapping_neg() % n {
                #[allow(clippy::cast_possible_truncation, reason = "a shifted u128 fits")]
                return (product >> 64) as u64;
            }
        }
    }

    /// Exponential with mean 1.
    #[inline]
    pub fn exponential(&mut self) -> f64 {
        -libm::log(1.0 - self.uniform())
    }

    /// Standard normal (Marsaglia's polar method; the second of each pair is kept).
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.normal_spare.take() {
            return spare;
        }
        loop {
            let (x, y) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                let scale = (-2.0 * libm::log(square) / square).sqrt();
                self.normal_spare = Some(y * scale);
                return x * scale;
            }
        }
    }

    /// Pareto with minimum 1: exceeds x with probability `x^-exponent`.
    #[inline]
    pub fn pareto(&mut self, exponent: f64) -> f64 {
        libm::exp(self.exponential() / exponent)
    }
}

/// The finalizer of `SplitMix64` (Steele, Lea, Flood 2014).
fn split_mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_of(n: u32, mut draw: impl FnMut() -> f64) -> f64 {
        (0..n).map(|_| draw()).sum::<f64>() / f64::from(n)
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut random = Random::new(1, 2);
        assert!((mean_of(200_000, || random.uniform()) - 0.5).abs() < 0.003);
        assert!((mean_of(200_000, || random.exponential()) - 1.0).abs() < 0.01);
        // The mean of a Pareto with minimum 1 is exponent / (exponent - 1).
        assert!((mean_of(200_000, || random.pareto(4.0)) - 4.0 / 3.0).abs() < 0.01);
        assert!(mean_of(200_000, || random.normal()).abs() < 0.01);
        assert!((mean_of(200_000, || random.normal().powi(2)) - 1.0).abs() < 0.02);
        assert!((mean_of(200_000, || random.normal().powi(4)) - 3.0).abs() < 0.15);
    }

    #[test]
    fn below_is_uniform_and_inside() {
        let mut random = Random::new(3, 0);
        let mut counts = [0u32; 7];
        for _ in 0..70_000 {
            counts[usize::try_from(random.below(7)).unwrap()] += 1;
        }
        assert!(
            counts.iter().all(|&n| (9_600..10_400).contains(&n)),
            "{counts:?}"
        );
        assert_eq!(random.below(1), 0);
    }

    #[test]
    fn seeds_and_purposes_are_told_apart() {
        let first = |seed, purpose| Random::new(seed, purpose).generator.next_u64();
        let mut seen: Vec<u64> = (0..40)
            .flat_map(|s| (0..40).map(move |p| first(s, p)))
            .collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 1600);
        assert_eq!(first(7, 1), first(7, 1));
    }
}
