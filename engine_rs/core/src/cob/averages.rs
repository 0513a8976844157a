//! Moving averages of each bucket's imbalance over the last samples, by absolute bucket.
//!
//! Invariants: a sample counts for the window of W from its own time t on until t + W, exclusive;
//! the average of a bucket is that of the samples in which it was inside the window of buckets, so
//! that it keeps its history while the mid moves away and comes back. Imbalances are summed as
//! whole multiples of 2^-50, so that nothing drifts; one is off by at most 2^-51.

use super::frame::{BUCKETS, Row, WIDTH};

/// The windows in ns: 1, 5, 15 and 60 s.
pub const WINDOWS_NS: [i64; 4] = [1_000_000_000, 5_000_000_000, 15_000_000_000, 60_000_000_000];
/// Number of windows.
pub const WINDOWS: usize = WINDOWS_NS.len();
/// Buckets that have averages: those around the mid.
pub const AVERAGED: usize = 10;
/// The first of them in the window of buckets.
pub const AVERAGED_FIRST: usize = (BUCKETS - AVERAGED) / 2;
/// Buckets that sums are kept for; when the window of buckets leaves them, they are summed anew.
const KEPT: usize = 128;
const KEPT_BUCKETS: i64 = 128;
/// 2^50.
const ONE: f64 = 1_125_899_906_842_624.0;
/// 1.5 × 2^52: a float of up to 2^51 added to it is rounded to a whole number, which then stands in
/// the lower bits. Compilers turn that into vector code, which conversions would prevent.
const SHIFT: f64 = 6_755_399_441_055_744.0;

#[derive(Clone, Debug)]
struct Window {
    sums: Box<[i64; KEPT]>,
    counts: Box<[i64; KEPT]>,
    /// How many of the latest samples are inside.
    samples: usize,
}

/// The averages of one group.
#[derive(Clone, Debug)]
pub struct Averages {
    base: i64,
    windows: [Window; WINDOWS],
}

impl Default for Averages {
    fn default() -> Self {
        let window = || Window {
            sums: Box::new([0; KEPT]),
            counts: Box::new([0; KEPT]),
            samples: 0,
        };
        Self {
            base: 0,
            windows: std::array::from_fn(|_| window()),
        }
    }
}

impl Averages {
    /// Takes in the latest of `rows`: samples, oldest first, of which none is missing that the
    /// windows still hold.
    pub fn push(&mut self, rows: &[Row]) {
        let Some(latest) = rows.last() else { return };
        let offset = latest.first.wrapping_sub(self.base);
        if !(0..=KEPT_BUCKETS - WIDTH).contains(&offset) {
            self.base = latest.first.saturating_sub((KEPT_BUCKETS - WIDTH) / 2);
            for window in &mut self.windows {
                window.sums.fill(0);
                window.counts.fill(0);
                // The latest is added below, the others here.
                let before = &rows[..rows.len() - 1];
                let kept = window.samples.min(before.len());
                for row in &before[before.len() - kept..] {
                    window.add(row, self.base, 1);
                }
            }
        }
        for (window, span_ns) in self.windows.iter_mut().zip(WINDOWS_NS) {
            window.add(latest, self.base, 1);
            window.samples += 1;
            let oldest = latest.ts_ns.saturating_sub(span_ns);
            while window.samples > rows.len() || rows[rows.len() - window.samples].ts_ns <= oldest {
                debug_assert!(
                    window.samples <= rows.len(),
                    "Invariant: rows span the windows"
                );
                window.add(&rows[rows.len() - window.samples], self.base, -1);
                window.samples -= 1;
            }
        }
    }

    /// The averages of the buckets around the mid of the window that begins with `first`, a row a
    /// window; `None` for a bucket without a sample.
    #[allow(clippy::cast_precision_loss, reason = "counts and sums are below 2^62")]
    pub fn read(&self, first: i64) -> [[Option<f64>; AVERAGED]; WINDOWS] {
        std::array::from_fn(|window| {
            std::array::from_fn(|index| {
                let bucket = first.checked_add((AVERAGED_FIRST + index).cast_signed() as i64)?;
                let slot = usize::try_from(bucket.checked_sub(self.base)?).ok()?;
                let window = &self.windows[window];
                let count = *window.counts.get(slot).filter(|count| **count > 0)?;
                Some(window.sums[slot] as f64 / (count as f64 * ONE))
            })
        })
    }
}

impl Window {
    /// Adds a sample (`sign` 1) or takes it away again (−1), as far as its buckets are kept.
    #[inline]
    fn add(&mut self, row: &Row, base: i64, sign: i64) {
        let Some(from) = row.first.checked_sub(base) else {
            return;
        };
        let counted = |value: f64| {
            ((value * ONE + SHIFT)
                .to_bits()
                .wrapping_sub(SHIFT.to_bits()))
            .cast_signed()
                * sign
        };
        if let Ok(from) = usize::try_from(from)
            && from + BUCKETS <= KEPT
        {
            let sums = &mut self.sums[from..from + BUCKETS];
            for (sum, &value) in sums.iter_mut().zip(&row.imbalance) {
                *sum += counted(value);
            }
            for count in &mut self.counts[from..from + BUCKETS] {
                *count += sign;
            }
            return;
        }
        for (index, &value) in (0i64..).zip(&row.imbalance) {
            if let Ok(slot) = usize::try_from(from.saturating_add(index))
                && slot < KEPT
            {
                self.sums[slot] += counted(value);
                self.counts[slot] += sign;
            }
        }
    }
}
