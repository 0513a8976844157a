//! The latest 30 minutes of raw ticks of one instrument.
//!
//! Ticks are trades and changes of the best bid and ask: what happened at the touch, one row each,
//! as [`Event`]s. Changes deeper in the book are in its own histories; all rows would be ten to
//! thirty times as many in recordings of Binance. Rows lie in order of receipt and readers get them
//! as two slices.
//!
//! Memory: one buffer of [`ROWS_MAX`] rows of 56 bytes, [`BYTES_MAX`] in all, reserved once and
//! never moved, of which the operating system gives what was written to. The ring uses no more of
//! it than it needs, and twice as much whenever that is too little. Where 30 minutes have more rows,
//! the oldest go first and [`TickRing::dropped`] counts them. A row whose time goes back keeps its
//! place and goes with the row before it.

use crate::event::{Event, EventKind, SEQ_NONE, Side, flags};

/// How long a tick is kept, our clock, ns: it is there while now − t is less.
pub const SPAN_NS: i64 = 1_800_000_000_000;
/// Most ticks kept: 582 a second for 30 minutes.
pub const ROWS_MAX: usize = 1 << 20;
/// Bytes of them.
pub const BYTES_MAX: usize = ROWS_MAX * size_of::<Event>();
/// Rows in use at first.
const ROWS_FIRST: usize = 1 << 12;

/// Price and lots of the best level of a side.
type Best = Option<(i64, i64)>;

/// The ring.
#[derive(Debug)]
pub struct TickRing {
    buffer: Vec<Event>,
    rows_max: usize,
    /// Slots in use: the ring wraps there.
    slots: usize,
    start: usize,
    len: usize,
    now_ns: i64,
    dropped: u64,
    bests: [Best; 2],
}

impl Default for TickRing {
    fn default() -> Self {
        Self::new(ROWS_MAX)
    }
}

impl TickRing {
    /// An empty ring of at most `rows_max` ticks; between one and [`ROWS_MAX`].
    pub fn new(rows_max: usize) -> Self {
        let rows_max = rows_max.clamp(1, ROWS_MAX);
        Self {
            buffer: Vec::with_capacity(rows_max),
            rows_max,
            slots: rows_max.min(ROWS_FIRST),
            start: 0,
            len: 0,
            now_ns: i64::MIN,
            dropped: 0,
            bests: [None; 2],
        }
    }

    /// Adds a row as it is received.
    #[inline]
    pub fn push(&mut self, row: Event) {
        self.advance(row.ts_recv_ns);
        if self.len == self.slots {
            self.make_room();
        }
        let mut slot = self.start + self.len;
        if slot >= self.slots {
            slot -= self.slots;
        }
        if slot == self.buffer.len() {
            self.buffer.push(row);
        } else {
            self.buffer[slot] = row;
        }
        self.len += 1;
    }

    /// Adds what changed of the best bid and ask (price in ticks and lots; `None`: an empty side)
    /// with a depth message, of which `row` is one: a row of kind quote for each side that is not
    /// as it was, with lots 0 at the last price for a side that went empty.
    #[inline]
    pub fn push_bests(&mut self, row: &Event, bid: Best, ask: Best) {
        if self.bests != [bid, ask] {
            self.push_changes(row, [bid, ask]);
        }
    }

    fn push_changes(&mut self, row: &Event, bests: [Best; 2]) {
        let before = std::mem::replace(&mut self.bests, bests);
        let changed = [before[0] != bests[0], before[1] != bests[1]];
        for (index, side) in [Side::Bid, Side::Ask].into_iter().enumerate() {
            if !changed[index] {
                continue;
            }
            let last_px = before[index].map_or(0, |(px, _)| px);
            let (px_ticks, qty_lots) = bests[index].unwrap_or((last_px, 0));
            let is_first = index == 0 || !changed[0];
            let is_last = index == 1 || !changed[1];
            self.push(Event {
                px_ticks,
                qty_lots,
                prev_seq: SEQ_NONE,
                kind: EventKind::Quote as u8,
                side: side as u8,
                flags: u16::from(is_first) * flags::FIRST + u16::from(is_last) * flags::LAST,
                ..*row
            });
        }
    }

    /// Lets time pass up to `now_ns`: what is older than the span goes.
    #[inline]
    pub fn advance(&mut self, now_ns: i64) {
        self.now_ns = self.now_ns.max(now_ns);
        while self.len > 0
            && self
                .now_ns
                .saturating_sub(self.buffer[self.start].ts_recv_ns)
                >= SPAN_NS
        {
            self.drop_oldest();
        }
    }

    #[inline]
    fn drop_oldest(&mut self) {
        self.start += 1;
        if self.start == self.slots {
            self.start = 0;
        }
        self.len -= 1;
    }

    #[cold]
    fn make_room(&mut self) {
        if self.slots == self.rows_max {
            self.drop_oldest();
            self.dropped += 1;
        } else {
            // All slots are full, so that the oldest row comes to the front.
            self.buffer.rotate_left(self.start);
            self.start = 0;
            self.slots = (2 * self.slots).min(self.rows_max);
        }
    }

    /// All ticks, the older slice first.
    pub fn slices(&self) -> (&[Event], &[Event]) {
        let before_wrap = self.len.min(self.slots - self.start);
        let older = &self.buffer[self.start..self.start + before_wrap];
        (older, &self.buffer[..self.len - before_wrap])
    }

    /// The latest `count` ticks, or as many as there are, the older slice first.
    pub fn latest(&self, count: usize) -> (&[Event], &[Event]) {
        let skipped = self.len - count.min(self.len);
        let (older, newer) = self.slices();
        if skipped < older.len() {
            (&older[skipped..], newer)
        } else {
            (&[], &newer[skipped - older.len()..])
        }
    }

    /// How many ticks there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many ticks went before their time, for want of room.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Bytes written to so far, at most [`BYTES_MAX`] with the default size.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use proptest::prelude::*;

    fn tick(ts_ns: i64, seq: u64) -> Event {
        Event {
            ts_recv_ns: ts_ns,
            ..crate::event::tests::row(EventKind::Trade, Side::Bid, 1, 1, seq)
        }
    }

    /// The front goes while it is too old; what stands behind a younger row waits for it.
    fn expire(plain: &mut VecDeque<Event>, now_ns: i64) {
        while let Some(row) = plain.front()
            && now_ns.saturating_sub(row.ts_recv_ns) >= SPAN_NS
        {
            plain.pop_front();
        }
    }

    proptest! {
        #[test]
        fn holds_what_was_received_within_the_span(
            rows_max in prop_oneof![1usize..40, Just(3 * ROWS_FIRST)],
            begin in prop_oneof![8 => Just(0i64), 1 => Just(i64::MIN), 1 => Just(i64::MAX - 5 * SPAN_NS)],
            bursts in prop::collection::vec((0usize..6_000, 0i64..4, 0u8..9), 1..20),
        ) {
            let (mut ring, mut plain) = (TickRing::new(rows_max), VecDeque::new());
            let address = ring.buffer.as_ptr();
            let (mut now_ns, mut seq, mut dropped) = (begin, 0, 0);
            for (rows, tenths, dice) in bursts {
                now_ns = now_ns.saturating_add(tenths * SPAN_NS / 10);
                ring.advance(now_ns);
                expire(&mut plain, now_ns);
                let rows = if rows_max < 40 { rows % 50 } else { rows };
                for _ in 0..rows {
                    // Now and then a time goes back; the row keeps its place.
                    let back_ns = i64::from(dice == 0) * SPAN_NS / 2;
                    seq += 1;
                    let row = tick(now_ns.saturating_sub(back_ns), seq);
                    ring.push(row);
                    expire(&mut plain, now_ns);
                    plain.push_back(row);
                    if plain.len() > rows_max {
                        plain.pop_front();
                        dropped += 1;
                    }
                }
                let (older, newer) = ring.slices();
                prop_assert!(older.iter().chain(newer).eq(&plain));
                let (older, newer) = ring.latest(7);
                prop_assert!(older.iter().chain(newer).eq(plain.range(plain.len().saturating_sub(7)..)));
                prop_assert_eq!(ring.len(), plain.len());
            }
            prop_assert_eq!(ring.dropped(), dropped);
            prop_assert_eq!(ring.buffer.as_ptr(), address, "views from outside stay valid");
            prop_assert!(ring.bytes() <= rows_max * size_of::<Event>());
        }
    }

    #[test]
    fn a_quiet_market_takes_little_memory() {
        let mut ring = TickRing::default();
        for second in 0..100_000 {
            ring.push(tick(second * 1_000_000_000, 1));
        }
        assert_eq!(ring.len(), 1_800);
        assert_eq!(ring.bytes(), ROWS_FIRST * size_of::<Event>());
    }

    #[test]
    fn only_changes_of_the_touch_are_ticks() {
        let mut ring = TickRing::default();
        let depth = crate::event::tests::row(EventKind::Delta, Side::Bid, 77, 5, 9);
        ring.push_bests(&depth, Some((99, 1)), Some((101, 2)));
        ring.push_bests(&depth, Some((99, 1)), Some((101, 2)));
        ring.push_bests(&depth, Some((99, 1)), None);
        ring.push_bests(&depth, Some((99, 4)), None);
        let rows: Vec<_> = ring
            .slices()
            .0
            .iter()
            .map(|row| (row.side, row.px_ticks, row.qty_lots, row.flags, row.kind))
            .collect();
        let quote = EventKind::Quote as u8;
        assert_eq!(
            rows,
            [
                (1, 99, 1, flags::FIRST, quote),
                (2, 101, 2, flags::LAST, quote),
                (2, 101, 0, flags::FIRST | flags::LAST, quote),
                (1, 99, 4, flags::FIRST | flags::LAST, quote),
            ]
        );
        assert!(
            ring.slices()
                .0
                .iter()
                .all(|row| row.seq == 9 && row.prev_seq == SEQ_NONE)
        );
    }
}
