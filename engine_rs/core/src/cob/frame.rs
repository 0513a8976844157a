//! What a group shows at one moment: the buckets around its consolidated mid.

use crate::event::Side;

/// Buckets in the window: half of them below the mid's, half from the mid's upward.
pub const BUCKETS: usize = 40;
/// Buckets of the window below that of the mid.
pub const BELOW: usize = BUCKETS / 2;
/// [`BUCKETS`] as a difference of absolute buckets.
pub const WIDTH: i64 = 40;
/// [`BELOW`] as a difference of absolute buckets.
pub const LOWER: i64 = WIDTH / 2;

const _: () = assert!(WIDTH.cast_unsigned() == BUCKETS as u64);

/// A sample of the window, as the history keeps it; its layout equals `engine.COB_ROW_DTYPE`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct Row {
    /// Our clock, ns.
    pub ts_ns: i64,
    /// Absolute number of the lowest bucket: it begins at the price `first × size`.
    pub first: i64,
    /// Consolidated mid in quote units.
    pub mid: f64,
    /// Weighted bid quantity of each bucket in base units.
    pub bid: [f64; BUCKETS],
    /// Weighted ask quantity of each bucket in base units.
    pub ask: [f64; BUCKETS],
    /// (bid − ask) / (bid + ask) of each bucket, 0 where it is empty.
    pub imbalance: [f64; BUCKETS],
}

const _: () = assert!(size_of::<Row>() == 24 + 3 * 8 * BUCKETS && align_of::<Row>() == 8);

impl Default for Row {
    fn default() -> Self {
        Self {
            ts_ns: 0,
            first: 0,
            mid: 0.0,
            bid: [0.0; BUCKETS],
            ask: [0.0; BUCKETS],
            imbalance: [0.0; BUCKETS],
        }
    }
}

impl Row {
    /// Total quantity of a side in the window.
    pub fn depth(&self, side: Side) -> f64 {
        match side {
            Side::Ask => self.ask.iter().sum(),
            _ => self.bid.iter().sum(),
        }
    }

    /// (bid − ask) / (bid + ask) of the whole window, 0 where it is empty.
    pub fn liquidity_imbalance(&self) -> f64 {
        imbalance(self.depth(Side::Bid), self.depth(Side::Ask))
    }
}

/// (bid − ask) / (bid + ask), 0 where both are.
#[inline]
pub fn imbalance(bid: f64, ask: f64) -> f64 {
    let total = bid + ask;
    if total == 0.0 {
        0.0
    } else {
        (bid - ask) / total
    }
}

/// What takes longer to find and is made when it is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Detail {
    /// Volume-weighted price of each bucket, both sides; NaN where it is empty.
    pub vwap: [f64; BUCKETS],
    /// Number of members with resting size in each bucket.
    pub venues: [u8; BUCKETS],
    /// Each member's share of the window's depth, both sides; 0 for one that is out.
    pub shares: Vec<f64>,
}

/// A price level at which much rests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// Whether bids rest there (support) or asks (resistance).
    pub is_support: bool,
    /// Absolute number of its bucket.
    pub bucket: i64,
    /// Weighted quantity in base units.
    pub qty: f64,
    /// Quantity over the mean of its half of the window.
    pub strength: f64,
}

/// Most levels of a side.
pub const LEVELS_MAX: usize = 3;
/// A level holds at least this many times the mean of its half of the window.
pub const LEVEL_STRENGTH_MIN: f64 = 2.0;

/// Support and resistance from resting size.
///
/// Support is a bucket of the lower half whose bid quantity is no less than that of its neighbours
/// within the half and at least [`LEVEL_STRENGTH_MIN`] times the half's mean; resistance likewise
/// of asks in the upper half. The [`LEVELS_MAX`] largest of a side are told, the larger first, of
/// equals the nearer to the mid; support before resistance.
pub fn levels(row: &Row) -> Vec<Level> {
    // Both halves are read from the mid outward.
    let below: Vec<f64> = row.bid[..BELOW].iter().rev().copied().collect();
    let mut found = peaks(
        &below,
        |at| row.first + (BELOW - 1 - at).cast_signed() as i64,
        true,
    );
    let above = &row.ask[BELOW..];
    found.extend(peaks(
        above,
        |at| row.first + (BELOW + at).cast_signed() as i64,
        false,
    ));
    found
}

#[allow(clippy::cast_precision_loss, reason = "a few buckets")]
fn peaks(qty: &[f64], bucket: impl Fn(usize) -> i64, is_support: bool) -> Vec<Level> {
    let mean = qty.iter().sum::<f64>() / qty.len() as f64;
    let mut found: Vec<Level> = (0..qty.len())
        .filter(|&at| {
            let here = qty[at];
            let is_peak = (at == 0 || qty[at - 1] <= here)
                && qty.get(at + 1).is_none_or(|next| *next <= here);
            here > 0.0 && is_peak && here >= LEVEL_STRENGTH_MIN * mean
        })
        .map(|at| Level {
            is_support,
            bucket: bucket(at),
            qty: qty[at],
            strength: qty[at] / mean,
        })
        .collect();
    // The sort is stable, so that equals stay in order of their distance.
    found.sort_by(|a, b| b.qty.total_cmp(&a.qty));
    found.truncate(LEVELS_MAX);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_peaks_above_their_surroundings() {
        let mut row = Row {
            first: 100,
            bid: [1.0; BUCKETS],
            ask: [1.0; BUCKETS],
            ..Row::default()
        };
        assert_eq!(levels(&row), [], "nothing stands out");
        row.bid[18] = 9.0;
        row.bid[17] = 4.0;
        row.bid[3] = 9.0;
        row.bid[30] = 50.0;
        row.ask[39] = 30.0;
        let found: Vec<(bool, i64, f64)> = levels(&row)
            .iter()
            .map(|level| (level.is_support, level.bucket, level.qty))
            .collect();
        assert_eq!(
            found,
            [(true, 118, 9.0), (true, 103, 9.0), (false, 139, 30.0)],
            "the slope beside a peak is none, bids above the mid are no support"
        );
        let mean = (17.0 + 9.0 + 4.0 + 9.0) / 20.0;
        assert!((levels(&row)[0].strength - 9.0 / mean).abs() < 1e-12);
    }

    #[test]
    fn an_empty_window_is_balanced() {
        assert!(Row::default().liquidity_imbalance().abs() < f64::EPSILON);
        assert_eq!(levels(&Row::default()), []);
    }
}
