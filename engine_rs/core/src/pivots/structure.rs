//! What follows from the pivots of a sequence of bars: the latest of each level, trends, bounds.

use std::cmp::Ordering;
use std::collections::VecDeque;

use super::{LEVELS, Pivot};

/// Pivots of a level and side that [`Structure`] keeps.
pub const KEPT: usize = 256;

/// Direction of a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trend {
    /// The last high and the last low are both above those before.
    Up,
    /// Both are below.
    Down,
    /// Neither.
    Sideways,
}

impl Trend {
    /// 1, −1 or 0.
    pub fn sign(self) -> i8 {
        match self {
            Self::Up => 1,
            Self::Down => -1,
            Self::Sideways => 0,
        }
    }
}

/// Prices that frame a price, in ticks; `None` where no pivot is known on that side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Lowest of the kept pivots, of all levels and both sides.
    pub low: Option<i64>,
    /// Highest of the kept pivots.
    pub high: Option<i64>,
    /// Nearest kept pivot at or below the price.
    pub support: Option<i64>,
    /// Nearest kept pivot at or above the price.
    pub resistance: Option<i64>,
}

/// The latest pivots of each level and side, and what follows from them.
///
/// The prices of all that is kept are held in order beside it, so that bounds are found by halving,
/// as often as they are asked for; a pivot costs one insertion, and pivots are rarer than bars.
#[derive(Clone, Debug, Default)]
pub struct Structure {
    kept: [[VecDeque<Pivot>; 2]; LEVELS],
    prices: Vec<i64>,
}

impl Structure {
    /// Takes in a confirmed pivot; the oldest of its level and side goes when [`KEPT`] are there.
    pub fn push(&mut self, pivot: Pivot) {
        let kept = &mut self.kept[usize::from(pivot.level) - 1][usize::from(pivot.is_high)];
        kept.push_back(pivot);
        if kept.len() > KEPT
            && let Some(gone) = kept.pop_front()
        {
            let at = self.prices.partition_point(|px| *px < gone.px_ticks);
            self.prices.remove(at);
        }
        let at = self.prices.partition_point(|px| *px < pivot.px_ticks);
        self.prices.insert(at, pivot.px_ticks);
    }

    /// The latest pivots of a level (from 1) and side, the latest first.
    pub fn latest(&self, level: usize, is_high: bool) -> impl Iterator<Item = &Pivot> {
        self.kept[level - 1][usize::from(is_high)].iter().rev()
    }

    /// The direction of a level (from 1) by its last two highs and lows; `None` before there are
    /// two of each.
    pub fn trend(&self, level: usize) -> Option<Trend> {
        let step = |is_high| {
            let mut latest = self.latest(level, is_high).map(|pivot| pivot.px_ticks);
            let (last, before) = (latest.next()?, latest.next()?);
            Some(last.cmp(&before))
        };
        Some(match (step(true)?, step(false)?) {
            (Ordering::Greater, Ordering::Greater) => Trend::Up,
            (Ordering::Less, Ordering::Less) => Trend::Down,
            _ => Trend::Sideways,
        })
    }

    /// What frames a price among the pivots kept.
    pub fn bounds(&self, px_ticks: i64) -> Bounds {
        let below = self.prices.partition_point(|px| *px < px_ticks);
        let up_to = self.prices.partition_point(|px| *px <= px_ticks);
        Bounds {
            low: self.prices.first().copied(),
            high: self.prices.last().copied(),
            support: up_to.checked_sub(1).map(|at| self.prices[at]),
            resistance: self.prices.get(below).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pivot(level: u8, is_high: u8, px_ticks: i64) -> Pivot {
        Pivot {
            px_ticks,
            level,
            is_high,
            ..Pivot::default()
        }
    }

    #[test]
    fn trends_and_bounds_follow_the_pivots() {
        let mut structure = Structure::default();
        assert_eq!(
            (structure.trend(1), structure.bounds(5)),
            (None, Bounds::default())
        );
        for (is_high, px) in [(1, 20), (0, 10), (1, 22)] {
            structure.push(pivot(1, is_high, px));
        }
        assert_eq!(structure.trend(1), None, "one low only");
        structure.push(pivot(1, 0, 11));
        assert_eq!(structure.trend(1), Some(Trend::Up));
        structure.push(pivot(1, 0, 11));
        assert_eq!(
            structure.trend(1),
            Some(Trend::Sideways),
            "equal lows do not rise"
        );
        structure.push(pivot(1, 1, 19));
        structure.push(pivot(1, 0, 9));
        assert_eq!(structure.trend(1), Some(Trend::Down));
        structure.push(pivot(2, 1, 30));
        let bounds = structure.bounds(19);
        assert_eq!((bounds.low, bounds.high), (Some(9), Some(30)));
        assert_eq!((bounds.support, bounds.resistance), (Some(19), Some(19)));
        assert_eq!(structure.bounds(8).support, None);
        for px in 0..1_000 {
            structure.push(pivot(1, 0, px));
        }
        assert_eq!(structure.latest(1, false).count(), KEPT);
        assert_eq!(structure.latest(1, false).next().unwrap().px_ticks, 999);
    }

    proptest! {
        #[test]
        fn bounds_are_those_of_all_that_is_kept(
            pivots in prop::collection::vec((1u8..=2, 0u8..2, -40i64..40), 0..1500),
            asked in -45i64..45,
        ) {
            let mut structure = Structure::default();
            for &(level, is_high, px) in &pivots {
                structure.push(pivot(level, is_high, px));
            }
            let mut kept = Vec::new();
            for level in 1..=LEVELS {
                for is_high in [false, true] {
                    let of_side = structure.latest(level, is_high).map(|pivot| pivot.px_ticks).collect::<Vec<_>>();
                    let all = pivots.iter().rev().filter(|one| {
                        (usize::from(one.0), one.1 == 1) == (level, is_high)
                    });
                    let all: Vec<_> = all.take(KEPT).map(|one| one.2).collect();
                    prop_assert_eq!(&of_side, &all);
                    kept.extend(of_side);
                }
            }
            let kept = || kept.iter().copied();
            let expected = Bounds {
                low: kept().min(),
                high: kept().max(),
                support: kept().filter(|px| *px <= asked).max(),
                resistance: kept().filter(|px| *px >= asked).min(),
            };
            prop_assert_eq!(structure.bounds(asked), expected);
        }
    }
}
