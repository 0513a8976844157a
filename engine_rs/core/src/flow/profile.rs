//! Lots by price since the session began.
//!
//! Memory: at most [`BUCKETS_MAX`] buckets; lots in further ones are summed outside of them.

use std::collections::BTreeMap;

use super::SIDES;
use crate::cob::Grid;
use crate::decimal::Step;
use crate::error::Result;
use crate::event::Side;

/// Most buckets of a session.
pub const BUCKETS_MAX: usize = 1 << 16;

/// Lots by the number of the aggressor's side.
type Lots = [i128; SIDES];

/// The volume profile of one session.
#[derive(Clone, Debug)]
pub struct Profile {
    grid: Grid,
    /// The bucket of the latest trades; they are not in the map yet. Most trades are in the bucket
    /// of the one before.
    open: Option<(i64, Lots)>,
    buckets: BTreeMap<i64, Lots>,
    outside: Lots,
}

impl Profile {
    /// No trades, of an instrument with this tick, in buckets of `bucket` quote units.
    pub(super) fn new(tick: Step, bucket: Step) -> Result<Self> {
        Ok(Self {
            grid: Grid::new(tick, bucket)?,
            open: None,
            buckets: BTreeMap::new(),
            outside: Lots::default(),
        })
    }

    #[inline]
    pub(super) fn add(&mut self, px_ticks: i64, side: Side, lots: i128) {
        let bucket = self.grid.bucket(px_ticks);
        if let Some((open, sums)) = &mut self.open
            && *open == bucket
        {
            sums[side as usize] += lots;
            return;
        }
        self.settle();
        let mut sums = Lots::default();
        sums[side as usize] = lots;
        self.open = Some((bucket, sums));
    }

    /// Brings the map up to date.
    pub(super) fn settle(&mut self) {
        let Some((bucket, lots)) = self.open.take() else {
            return;
        };
        let has_room = self.buckets.len() < BUCKETS_MAX;
        let sums = if has_room || self.buckets.contains_key(&bucket) {
            self.buckets.entry(bucket).or_default()
        } else {
            &mut self.outside
        };
        for (sum, lots) in sums.iter_mut().zip(lots) {
            *sum += lots;
        }
    }

    pub(super) fn clear(&mut self) {
        self.open = None;
        self.buckets.clear();
        self.outside = Lots::default();
    }

    /// Each bucket with its lots by the number of the aggressor's side, by price ascending.
    pub fn buckets(&self) -> impl ExactSizeIterator<Item = (i64, [i128; SIDES])> {
        self.buckets.iter().map(|(bucket, lots)| (*bucket, *lots))
    }

    /// Lots traded at prices for which there was no bucket left.
    pub fn outside(&self) -> [i128; SIDES] {
        self.outside
    }

    /// Bytes of the buckets, about: the map's nodes are at least half full.
    pub(super) fn bytes(&self) -> usize {
        2 * self.buckets.len() * size_of::<(i64, Lots)>()
    }
}
