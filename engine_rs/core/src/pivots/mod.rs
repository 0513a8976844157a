//! Market structure after Larry Williams: highs that stand above their neighbours, and highs of such
//! highs.
//!
//! A bar is a level-1 high when its high is above the highs of the `k` bars before it and not below
//! those of the `k` bars after it (of equal highs the first stands); a low likewise. Level n + 1
//! applies the same rule to the highs, and to the lows, of level n. A pivot is emitted with the bar
//! that confirms it, the k-th after it on its level, and not earlier: whoever reads pivots as they
//! are emitted cannot look ahead.
//!
//! Every bar counts, empty ones included. Pivots confirmed by one bar come in the order of levels,
//! highs before lows of a level.

mod floor;
mod structure;

pub use floor::{FloorDays, FloorPivots};
pub use structure::{Bounds, KEPT, Structure, Trend};

use crate::error::{Error, Result};

/// Most levels.
pub const LEVELS: usize = 5;

/// A confirmed pivot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Pivot {
    /// Start of the bar that is the pivot.
    pub ts_pivot_ns: i64,
    /// When it became known, by the clock of whoever pushed the bars.
    pub ts_confirmed_ns: i64,
    /// The bar's high or low in ticks.
    pub px_ticks: i64,
    /// 1 to [`LEVELS`].
    pub level: u8,
    /// 1 for a high, 0 for a low.
    pub is_high: u8,
    /// Always 0.
    pub reserved: [u8; 6],
}

const _: () = assert!(size_of::<Pivot>() == 32);

/// A point that may become a pivot of the next level.
#[derive(Clone, Copy, Debug)]
struct Point {
    ts_ns: i64,
    px_ticks: i64,
}

/// The last 2k + 1 points of one side on one level.
#[derive(Clone, Debug)]
struct Neighbours {
    k: usize,
    is_high: bool,
    points: std::collections::VecDeque<Point>,
}

impl Neighbours {
    fn new(k: usize, is_high: bool) -> Self {
        Self {
            k,
            is_high,
            points: std::collections::VecDeque::with_capacity(2 * k + 2),
        }
    }

    /// Adds a point; the one that it confirms, if it does.
    fn push(&mut self, point: Point) -> Option<Point> {
        self.points.push_back(point);
        if self.points.len() > 2 * self.k + 1 {
            self.points.pop_front();
        }
        let middle = *self
            .points
            .get(self.k)
            .filter(|_| self.points.len() > 2 * self.k)?;
        let beats = |other: &Point| {
            if self.is_high {
                middle.px_ticks > other.px_ticks
            } else {
                middle.px_ticks < other.px_ticks
            }
        };
        let stands = self.points.range(..self.k).all(beats)
            && self
                .points
                .range(self.k + 1..)
                .all(|later| beats(later) || later.px_ticks == middle.px_ticks);
        stands.then_some(middle)
    }
}

/// Finds pivots in a sequence of bars.
#[derive(Clone, Debug)]
pub struct PivotDetector {
    highs: Vec<Neighbours>,
    lows: Vec<Neighbours>,
}

impl PivotDetector {
    /// A detector of `levels` levels with `k` bars on either side.
    pub fn new(k: usize, levels: usize) -> Result<Self> {
        if !(1..=1_000).contains(&k) {
            return Err(Error::invalid("k", "1 to 1000 bars on either side", k));
        }
        if !(1..=LEVELS).contains(&levels) {
            return Err(Error::invalid("levels", format!("1 to {LEVELS}"), levels));
        }
        let side = |is_high| vec![Neighbours::new(k, is_high); levels];
        Ok(Self {
            highs: side(true),
            lows: side(false),
        })
    }

    /// Adds a complete bar and appends the pivots that it confirms. `ts_confirmed_ns` is when the
    /// bar became known.
    pub fn push(
        &mut self,
        ts_start_ns: i64,
        high_ticks: i64,
        low_ticks: i64,
        ts_confirmed_ns: i64,
        out: &mut Vec<Pivot>,
    ) {
        let point = |px_ticks| {
            Some(Point {
                ts_ns: ts_start_ns,
                px_ticks,
            })
        };
        let (mut high, mut low) = (point(high_ticks), point(low_ticks));
        for (level, (highs, lows)) in (1u8..).zip(self.highs.iter_mut().zip(&mut self.lows)) {
            high = high.and_then(|point| highs.push(point));
            low = low.and_then(|point| lows.push(point));
            for (found, is_high) in [(high, 1), (low, 0)] {
                out.extend(found.map(|point| Pivot {
                    ts_pivot_ns: point.ts_ns,
                    ts_confirmed_ns,
                    px_ticks: point.px_ticks,
                    level,
                    is_high,
                    reserved: [0; 6],
                }));
            }
            if high.is_none() && low.is_none() {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same rule over the whole sequence, level by level: (level, high, index of the pivot,
    /// index of the bar that confirms it).
    fn whole(bars: &[(i64, i64)], k: usize, levels: usize) -> Vec<(u8, u8, usize, usize)> {
        let mut found = Vec::new();
        for is_high in [1u8, 0] {
            // Index, price, and the bar with which it was known.
            let mut points: Vec<(usize, i64, usize)> = bars
                .iter()
                .enumerate()
                .map(|(at, bar)| (at, if is_high == 1 { bar.0 } else { -bar.1 }, at))
                .collect();
            for level in 1..=levels {
                let next: Vec<_> = (k..points.len().saturating_sub(k))
                    .filter(|&at| {
                        points[at - k..at].iter().all(|p| p.1 < points[at].1)
                            && points[at + 1..=at + k].iter().all(|p| p.1 <= points[at].1)
                    })
                    .map(|at| (points[at].0, points[at].1, points[at + k].2))
                    .collect();
                let level = u8::try_from(level).unwrap();
                found.extend(next.iter().map(|p| (level, is_high, p.0, p.2)));
                points = next;
            }
        }
        found.sort_by_key(|&(level, is_high, at, known)| (known, level, 1 - is_high, at));
        found
    }

    proptest! {
        #[test]
        fn equal_those_of_the_whole_sequence(
            k in 1usize..4,
            levels in 1usize..6,
            bars in prop::collection::vec((-6i64..6, 0i64..4), 0..300),
        ) {
            let bars: Vec<(i64, i64)> = bars.iter().map(|&(low, by)| (low + by, low)).collect();
            let mut detector = PivotDetector::new(k, levels).unwrap();
            let (mut out, mut found) = (Vec::new(), Vec::new());
            for (at, &(high, low)) in (0i64..).zip(&bars) {
                detector.push(at * 10, high, low, at * 10 + 7, &mut out);
                for pivot in out.drain(..) {
                    prop_assert_eq!(pivot.ts_confirmed_ns, at * 10 + 7);
                    let index = usize::try_from(pivot.ts_pivot_ns / 10).unwrap();
                    let bar = bars[index];
                    let px = if pivot.is_high == 1 { bar.0 } else { bar.1 };
                    prop_assert_eq!(pivot.px_ticks, px);
                    found.push((pivot.level, pivot.is_high, index, usize::try_from(at).unwrap()));
                }
            }
            prop_assert_eq!(found, whole(&bars, k, levels));
        }
    }

    #[test]
    fn of_equal_highs_the_first_stands() {
        let mut detector = PivotDetector::new(2, 1).unwrap();
        let mut out = Vec::new();
        for (at, high) in (0i64..).zip([1, 2, 5, 5, 3, 1, i64::MAX, i64::MIN]) {
            detector.push(at, high, 0, at, &mut out);
        }
        let highs: Vec<_> = out.iter().filter(|p| p.is_high == 1).collect();
        assert_eq!(
            (highs.len(), highs[0].ts_pivot_ns, highs[0].ts_confirmed_ns),
            (1, 2, 4)
        );
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(PivotDetector::new(0, 5).is_err());
        assert!(PivotDetector::new(2, 0).is_err());
        assert!(PivotDetector::new(2, 6).is_err());
    }
}
