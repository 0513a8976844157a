//! Order flow of one instrument: what aggressors bought and sold.
//!
//! Everything is on our receive clock, because it is what a strategy knows at a moment: on the
//! venue's clock a trade under way would change a window that was read already. A trade received at
//! t is inside the window W at the time now while now − W < t ≤ now. Our clock does not go back: a
//! trade stamped earlier than what was seen before counts as received now.
//!
//! Lots are summed exactly, in 128 bits. A trade without a side counts as of unknown side: it is in
//! the trades and lots of that kind and in no difference or ratio.
//!
//! Memory: the windows keep an entry for each side and receive time of the last 60 s. Beyond
//! [`ENTRIES_EXACT`] of them a trade joins the latest entry of its side if that is at most
//! [`SLACK_NS`] old, and so leaves the windows up to that much early; all sums stay complete. That
//! makes at most [`ENTRIES_MAX`] entries of 32 bytes, [`WINDOWS_BYTES_MAX`] in all;
//! [`Flow::early_trades`] counts the trades concerned.

mod orders;
mod profile;

pub use orders::{AggressorOrder, AggressorOrders, ORDER_OVER_NS};
pub use profile::{BUCKETS_MAX, Profile};

use std::collections::VecDeque;

use crate::cob::{WINDOWS, WINDOWS_NS};
use crate::decimal::Step;
use crate::error::Result;
use crate::event::{Event, Side};

/// Up to as many entries the edges of the windows are exact.
pub const ENTRIES_EXACT: usize = 1 << 17;
/// The most that an edge is off beyond that.
pub const SLACK_NS: i64 = 1_000_000;
/// Most entries: beyond the exact ones those of a side are more than [`SLACK_NS`] apart.
pub const ENTRIES_MAX: usize = ENTRIES_EXACT + SIDES * 60_000;
/// The most that the entries take, their buffer growing by doubling.
pub const WINDOWS_BYTES_MAX: usize = ENTRIES_MAX.next_power_of_two() * size_of::<Entry>();

/// Length of a session in ns: a day, from midnight UTC.
pub const SESSION_NS: i64 = 86_400_000_000_000;
/// Kinds of aggressors, by the numbers of [`Side`]: unknown, buying, selling.
pub const SIDES: usize = 3;

const LONGEST: usize = WINDOWS - 1;

/// What was traded, by aggressor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Lots by the number of the aggressor's [`Side`].
    pub lots: [i128; SIDES],
    /// Number of trades by the number of the aggressor's [`Side`].
    pub trades: [u64; SIDES],
}

impl Volume {
    /// Lots of a side's aggressors.
    pub fn lots_of(&self, side: Side) -> i128 {
        self.lots[side as usize]
    }

    /// Number of trades of a side's aggressors.
    pub fn trades_of(&self, side: Side) -> u64 {
        self.trades[side as usize]
    }

    /// Lots bought less lots sold by aggressors.
    pub fn delta(&self) -> i128 {
        self.lots_of(Side::Bid) - self.lots_of(Side::Ask)
    }

    /// (bought − sold) / (bought + sold), 0 where neither is.
    #[allow(clippy::cast_precision_loss, reason = "a float is what is asked for")]
    pub fn ratio(&self) -> f64 {
        let total = self.lots_of(Side::Bid) + self.lots_of(Side::Ask);
        if total == 0 {
            0.0
        } else {
            self.delta() as f64 / total as f64
        }
    }

    #[inline]
    fn add(&mut self, side: Side, lots: i128, trades: u64) {
        self.lots[side as usize] += lots;
        self.trades[side as usize] += trades;
    }

    fn less(&self, other: &Self) -> Self {
        Self {
            lots: std::array::from_fn(|side| self.lots[side] - other.lots[side]),
            trades: std::array::from_fn(|side| self.trades[side] - other.trades[side]),
        }
    }
}

/// Trades of one side with one receive time.
#[derive(Clone, Copy, Debug)]
struct Entry {
    lots: i128,
    ts_ns: i64,
    trades: u32,
    side: Side,
}

const _: () = assert!(size_of::<Entry>() == 32);

/// The order flow of one instrument.
#[derive(Clone, Debug)]
pub struct Flow {
    now_ns: i64,
    /// Nothing leaves a window and no session ends before.
    next_ns: i64,
    entries: VecDeque<Entry>,
    /// Number of the first entry kept, counted from 1 since the start.
    first: usize,
    /// Number of the oldest entry inside each window.
    oldest: [usize; WINDOWS],
    /// Number of the latest entry of each side; 0 before there was one.
    latest: [usize; SIDES],
    total: Volume,
    /// Of the total, what is no longer inside each window.
    gone: [Volume; WINDOWS],
    early_trades: u64,
    session_start_ns: Option<i64>,
    session_end_ns: i64,
    before_session: Volume,
    profile: Profile,
}

impl Flow {
    /// No trades yet, of an instrument with this tick; the profile has buckets of `bucket` quote
    /// units, those of the consolidated book.
    pub fn new(tick: Step, bucket: Step) -> Result<Self> {
        Ok(Self {
            now_ns: i64::MIN,
            next_ns: i64::MIN,
            entries: VecDeque::new(),
            first: 1,
            oldest: [1; WINDOWS],
            latest: [0; SIDES],
            total: Volume::default(),
            gone: [Volume::default(); WINDOWS],
            early_trades: 0,
            session_start_ns: None,
            session_end_ns: i64::MIN,
            before_session: Volume::default(),
            profile: Profile::new(tick, bucket)?,
        })
    }

    /// Takes in a trade on the book as it is received.
    #[inline]
    pub fn trade(&mut self, trade: &Event) {
        self.advance(trade.ts_recv_ns);
        let side = Side::from_u8(trade.side).unwrap_or(Side::None);
        let lots = i128::from(trade.qty_lots);
        self.total.add(side, lots, 1);
        self.profile.add(trade.px_ticks, side, lots);
        if !self.join(side, lots) {
            self.latest[side as usize] = self.first + self.entries.len();
            self.entries.push_back(Entry {
                lots,
                ts_ns: self.now_ns,
                trades: 1,
                side,
            });
            let leaves_ns = self.now_ns.saturating_add(WINDOWS_NS[0]);
            self.next_ns = self.next_ns.min(leaves_ns);
        }
    }

    /// Lets time pass up to `now_ns`: trades leave the windows, a session ends.
    #[inline]
    pub fn advance(&mut self, now_ns: i64) {
        self.now_ns = self.now_ns.max(now_ns);
        if self.now_ns >= self.next_ns {
            self.catch_up();
        }
    }

    fn catch_up(&mut self) {
        if self.now_ns >= self.session_end_ns {
            self.begin_session();
        }
        self.next_ns = self.session_end_ns;
        for (window, span_ns) in WINDOWS_NS.into_iter().enumerate() {
            let gone = &mut self.gone[window];
            while let Some(entry) = self.entries.get(self.oldest[window] - self.first) {
                if self.now_ns.saturating_sub(entry.ts_ns) < span_ns {
                    let leaves_ns = entry.ts_ns.saturating_add(span_ns);
                    self.next_ns = self.next_ns.min(leaves_ns);
                    break;
                }
                gone.add(entry.side, entry.lots, u64::from(entry.trades));
                self.oldest[window] += 1;
            }
        }
        let kept_from = self.oldest[LONGEST];
        self.entries.drain(..kept_from - self.first);
        self.first = kept_from;
    }

    /// Adds to the latest entry of the side, if that is as good as at the same time.
    #[inline]
    fn join(&mut self, side: Side, lots: i128) -> bool {
        let slack_ns = if self.entries.len() < ENTRIES_EXACT {
            0
        } else {
            SLACK_NS
        };
        let Some(place) = self.latest[side as usize].checked_sub(self.first) else {
            return false;
        };
        let entry = &mut self.entries[place];
        let age_ns = self.now_ns.saturating_sub(entry.ts_ns);
        if age_ns > slack_ns || entry.trades == u32::MAX {
            return false;
        }
        entry.lots += lots;
        entry.trades += 1;
        self.early_trades += u64::from(age_ns > 0);
        true
    }

    #[cold]
    fn begin_session(&mut self) {
        let inside = self.now_ns.rem_euclid(SESSION_NS);
        let start_ns = self.now_ns.saturating_sub(inside);
        self.session_end_ns = self.now_ns.saturating_add(SESSION_NS - inside);
        if self.session_start_ns != Some(start_ns) {
            self.session_start_ns = Some(start_ns);
            self.before_session = self.total;
            self.profile.clear();
        }
    }

    /// Our clock as of the last trade or [`Self::advance`].
    pub fn now_ns(&self) -> i64 {
        self.now_ns
    }

    /// What is inside the window with this index of [`WINDOWS_NS`].
    pub fn window(&self, window: usize) -> Volume {
        self.total.less(&self.gone[window])
    }

    /// Everything since the start; its [`Volume::delta`] is the cumulative volume delta.
    pub fn since_start(&self) -> Volume {
        self.total
    }

    /// Everything since the session began.
    pub fn session(&self) -> Volume {
        self.total.less(&self.before_session)
    }

    /// When the session began, midnight UTC on our clock; `None` before the first trade.
    pub fn session_start_ns(&self) -> Option<i64> {
        self.session_start_ns
    }

    /// The session's lots by price.
    pub fn profile(&mut self) -> &Profile {
        self.profile.settle();
        &self.profile
    }

    /// Trades that leave the windows early, because too many were received within 60 s.
    pub fn early_trades(&self) -> u64 {
        self.early_trades
    }

    /// Bytes of the windows and of the profile.
    pub fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>() + self.profile.bytes()
    }
}

#[cfg(test)]
mod tests;
