//! A full-depth order book, checked against the venue's sequence numbers.
//!
//! Invariants: while the book is trusted it holds every level of the venue that the last snapshot
//! and the deltas since then told, and its best bid is below its best ask. A gap, a crossing or an
//! impossible row makes it *suspect* until the next snapshot; deltas are still applied meanwhile
//! (their sizes are absolute, so the book heals level by level), but nobody should trade on it.
//!
//! Known limit: a REST snapshot of n levels says nothing about levels beyond them; they appear when
//! they change.

use serde::{Deserialize, Serialize};

use crate::canary::{self, Canary};
use crate::event::{Event, EventKind, SEQ_NONE, Side};
use crate::ladder::Ladder;

/// Prices beyond this many ticks are taken for damage.
const PX_TICKS_MAX: i64 = 1 << 60;

/// Why a book is not to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Doubt {
    /// No snapshot has arrived yet.
    NoSnapshot,
    /// A message continues from an update id that the book never saw.
    Gap {
        /// The book's update id.
        expected: u64,
        /// The id that the message continues from.
        found: u64,
    },
    /// The best bid is not below the best ask.
    Crossed {
        /// Best bid in ticks.
        bid: i64,
        /// Best ask in ticks.
        ask: i64,
    },
    /// A row with a negative size or a price out of all range; it was left out.
    Impossible {
        /// Price in ticks.
        px_ticks: i64,
        /// Size in lots.
        qty_lots: i64,
    },
}

impl Doubt {
    /// A short name, as users see it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoSnapshot => "no_snapshot",
            Self::Gap { .. } => "gap",
            Self::Crossed { .. } => "crossed",
            Self::Impossible { .. } => "impossible",
        }
    }
}

/// What a message did to the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Applied; whether the book is trusted did not change.
    Applied,
    /// Older than the book; nothing changed.
    Stale,
    /// No snapshot yet; nothing changed.
    Unready,
    /// Applied, and the book became suspect with it.
    Suspected,
    /// A snapshot: the book is trusted again (or for the first time).
    Recovered,
}

/// How often things happened to a book.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BookCounts {
    /// Messages applied, snapshots included.
    pub applied: u64,
    /// Messages that were older than the book.
    pub stale: u64,
    /// Messages before the first snapshot.
    pub unready: u64,
    /// Gaps in the sequence.
    pub gaps: u64,
    /// Times that a trusted book became crossed.
    pub crossed: u64,
    /// Rows that cannot be.
    pub impossible: u64,
}

/// A full-depth order book of one instrument.
#[derive(Clone, Debug)]
pub struct Book {
    bids: Ladder,
    asks: Ladder,
    seq: u64,
    doubt: Option<Doubt>,
    counts: BookCounts,
}

impl Default for Book {
    fn default() -> Self {
        Self::new()
    }
}

impl Book {
    /// An empty book that waits for its first snapshot.
    pub fn new() -> Self {
        Self {
            bids: Ladder::default(),
            asks: Ladder::default(),
            seq: SEQ_NONE,
            doubt: Some(Doubt::NoSnapshot),
            counts: BookCounts::default(),
        }
    }

    /// Applies one venue message: all rows of one group, deltas or a snapshot.
    #[inline]
    pub fn apply_message(&mut self, rows: &[Event]) -> Outcome {
        self.apply_message_with(rows, |_, _, _, _| ())
    }

    /// As [`Self::apply_message`], telling each level set: side, key, size before, size after.
    #[inline]
    pub fn apply_message_with(
        &mut self,
        rows: &[Event],
        on_level: impl FnMut(Side, i64, i64, i64),
    ) -> Outcome {
        let Some(head) = rows.first() else {
            return Outcome::Applied;
        };
        let before = self.doubt;
        if head.kind == EventKind::Snapshot as u8 {
            self.bids.clear();
            self.asks.clear();
            self.doubt = None;
        } else {
            if before == Some(Doubt::NoSnapshot) {
                self.counts.unready += 1;
                return Outcome::Unready;
            }
            if self.seq != SEQ_NONE && head.seq != SEQ_NONE {
                if head.seq <= self.seq {
                    self.counts.stale += 1;
                    return Outcome::Stale;
                }
                let is_gap = head.prev_seq != SEQ_NONE && head.prev_seq > self.seq;
                if is_gap && !canary::is(Canary::StaleBookTrusted) {
                    self.counts.gaps += 1;
                    self.doubt.get_or_insert(Doubt::Gap {
                        expected: self.seq,
                        found: head.prev_seq,
                    });
                }
            }
        }
        self.seq = head.seq;
        self.counts.applied += 1;
        self.set_levels(rows, on_level);
        if let (Some(bid), Some(ask)) = (self.best_bid_px(), self.best_ask_px())
            && bid >= ask
        {
            // A book that is suspect already may well be crossed; that is not news.
            if self.doubt.is_none() {
                self.counts.crossed += 1;
                self.doubt = Some(Doubt::Crossed { bid, ask });
            }
        }
        match (before, self.doubt) {
            (None, Some(_)) => Outcome::Suspected,
            (Some(_), None) => Outcome::Recovered,
            _ => Outcome::Applied,
        }
    }

    #[inline]
    fn set_levels(&mut self, rows: &[Event], mut on_level: impl FnMut(Side, i64, i64, i64)) {
        for row in rows {
            let (px, qty) = (row.px_ticks, row.qty_lots);
            if qty < 0 || px.unsigned_abs() > PX_TICKS_MAX.cast_unsigned() {
                self.counts.impossible += 1;
                self.doubt.get_or_insert(Doubt::Impossible {
                    px_ticks: px,
                    qty_lots: qty,
                });
                continue;
            }
            if row.side == Side::Bid as u8 {
                let old = self.bids.set(px, qty);
                on_level(Side::Bid, px, old, qty);
            } else if row.side == Side::Ask as u8 {
                let old = self.asks.set(!px, qty);
                on_level(Side::Ask, !px, old, qty);
            }
        }
    }

    /// Whether the book may be traded on.
    #[inline]
    pub fn is_trusted(&self) -> bool {
        self.doubt.is_none()
    }

    /// Why the book is not to be trusted, if it is not.
    pub fn doubt(&self) -> Option<Doubt> {
        self.doubt
    }

    /// The update id after the last message applied; [`SEQ_NONE`] before the first.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// What happened so far.
    pub fn counts(&self) -> BookCounts {
        self.counts
    }

    /// Best bid price in ticks.
    #[inline]
    pub fn best_bid_px(&self) -> Option<i64> {
        self.bids.best()
    }

    /// Best ask price in ticks.
    #[inline]
    pub fn best_ask_px(&self) -> Option<i64> {
        self.asks.best().map(|key| !key)
    }

    /// Best bid as (price in ticks, size in lots).
    #[inline]
    pub fn best_bid(&self) -> Option<(i64, i64)> {
        self.bids.best_level()
    }

    /// Best ask as (price in ticks, size in lots).
    #[inline]
    pub fn best_ask(&self) -> Option<(i64, i64)> {
        self.asks.best_level().map(|(key, qty)| (!key, qty))
    }

    /// Best bid plus best ask in ticks, twice the mid, if both sides have levels.
    #[inline]
    pub fn mid_px_x2(&self) -> Option<i64> {
        Some(self.best_bid_px()? + self.best_ask_px()?)
    }

    /// The size in lots at a price, 0 where there is no level.
    pub fn qty_at(&self, side: Side, px_ticks: i64) -> i64 {
        self.ladder(side).qty(Ladder::key(side, px_ticks))
    }

    /// How many levels a side has.
    pub fn level_count(&self, side: Side) -> usize {
        self.ladder(side).len()
    }

    /// Levels of a side from the best to the worst, as (price in ticks, size in lots).
    pub fn levels(&self, side: Side) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.ladder(side)
            .iter()
            .map(move |(key, qty)| (Ladder::key(side, key), qty))
    }

    /// Total size in lots of the best `levels` levels of a side, at most `i64::MAX`.
    pub fn depth(&self, side: Side, levels: usize) -> i64 {
        let sizes = self.levels(side).take(levels).map(|(_, qty)| qty);
        sizes.fold(0, i64::saturating_add)
    }

    /// The price paid on average for taking `qty_lots` from a side, as (Σ price × lots, lots);
    /// fewer lots than asked for where the side is exhausted.
    pub fn cost_to_take(&self, side: Side, qty_lots: i64) -> (i128, i64) {
        let mut taken = 0;
        let mut cost = 0i128;
        for (px, qty) in self.levels(side) {
            let here = qty.min(qty_lots - taken);
            if here <= 0 {
                break;
            }
            cost += i128::from(px) * i128::from(here);
            taken += here;
        }
        (cost, taken)
    }

    fn ladder(&self, side: Side) -> &Ladder {
        if matches!(side, Side::Ask) {
            &self.asks
        } else {
            &self.bids
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kind: EventKind, side: Side, px: i64, qty: i64, seq: u64, prev: u64) -> Event {
        Event {
            prev_seq: prev,
            ..crate::event::tests::row(kind, side, px, qty, seq)
        }
    }

    fn ready() -> Book {
        let mut book = Book::new();
        let snapshot = [
            row(EventKind::Snapshot, Side::Bid, 99, 5, 10, SEQ_NONE),
            row(EventKind::Snapshot, Side::Bid, 98, 7, 10, SEQ_NONE),
            row(EventKind::Snapshot, Side::Ask, 101, 3, 10, SEQ_NONE),
        ];
        assert_eq!(book.apply_message(&snapshot), Outcome::Recovered);
        book
    }

    fn delta(side: Side, px: i64, qty: i64, seq: u64, prev: u64) -> [Event; 1] {
        [row(EventKind::Delta, side, px, qty, seq, prev)]
    }

    #[test]
    fn nothing_counts_before_a_snapshot() {
        let mut book = Book::new();
        assert_eq!(
            book.apply_message(&delta(Side::Bid, 99, 1, 5, 4)),
            Outcome::Unready
        );
        assert_eq!((book.best_bid(), book.is_trusted()), (None, false));
    }

    #[test]
    fn deltas_join_a_snapshot() {
        let mut book = ready();
        assert_eq!(
            book.apply_message(&delta(Side::Bid, 99, 0, 9, 8)),
            Outcome::Stale
        );
        // The first delta on top may reach back behind the snapshot.
        assert_eq!(
            book.apply_message(&delta(Side::Bid, 100, 2, 12, 8)),
            Outcome::Applied
        );
        assert_eq!(book.best_bid(), Some((100, 2)));
        assert_eq!(book.best_ask(), Some((101, 3)));
        assert_eq!(
            (book.depth(Side::Bid, 2), book.level_count(Side::Bid)),
            (7, 3)
        );
        assert_eq!(book.cost_to_take(Side::Bid, 4), (100 * 2 + 99 * 2, 4));
        assert_eq!(book.cost_to_take(Side::Ask, 4), (303, 3));
    }

    #[test]
    fn a_gap_lasts_until_the_next_snapshot() {
        let mut book = ready();
        assert_eq!(
            book.apply_message(&delta(Side::Bid, 99, 6, 15, 14)),
            Outcome::Suspected
        );
        assert_eq!(
            book.doubt(),
            Some(Doubt::Gap {
                expected: 10,
                found: 14
            })
        );
        assert_eq!(
            book.apply_message(&delta(Side::Bid, 99, 8, 16, 15)),
            Outcome::Applied
        );
        assert!(!book.is_trusted());
        let snapshot = [row(EventKind::Snapshot, Side::Bid, 90, 1, 20, SEQ_NONE)];
        assert_eq!(book.apply_message(&snapshot), Outcome::Recovered);
        assert_eq!((book.best_bid(), book.counts().gaps), (Some((90, 1)), 1));
    }

    #[test]
    fn crossed_and_impossible_rows_raise_doubt() {
        let mut book = ready();
        assert_eq!(
            book.apply_message(&delta(Side::Bid, 101, 1, 11, 10)),
            Outcome::Suspected
        );
        assert_eq!(book.doubt(), Some(Doubt::Crossed { bid: 101, ask: 101 }));
        let mut book = ready();
        assert_eq!(
            book.apply_message(&delta(Side::Bid, 99, -1, 11, 10)),
            Outcome::Suspected
        );
        assert_eq!(book.best_bid(), Some((99, 5)), "the row was left out");
        let mut book = ready();
        assert_eq!(
            book.apply_message(&delta(Side::Ask, i64::MIN, 1, 11, 10)),
            Outcome::Suspected
        );
        assert_eq!(book.counts().impossible, 1);
    }

    #[test]
    fn a_message_without_levels_carries_the_sequence_on() {
        let mut book = ready();
        assert_eq!(
            book.apply_message(&delta(Side::None, 0, 0, 12, 10)),
            Outcome::Applied
        );
        assert_eq!(
            book.apply_message(&delta(Side::Bid, 99, 1, 13, 12)),
            Outcome::Applied
        );
        assert!(book.is_trusted());
    }
}
