//! Joins depth snapshots and deltas into one stream as the venue prescribes. No I/O and no clock:
//! files and sockets use the same state machine.
//!
//! Rules, with `L` the snapshot's update id:
//! - Deltas that arrive while no snapshot is joined wait in a buffer. On the snapshot those up to
//!   `L` go out as they were (a book without a snapshot ignores them), then the snapshot, then the
//!   others with their receive time raised to the snapshot's arrival: nobody could have used them
//!   earlier.
//! - A delta that continues from an id never seen is a gap. It goes out at once, so that the book
//!   turns suspect at the moment the gap shows; then the stream waits for a snapshot as above, and
//!   the delta that told of the gap is repeated behind a snapshot older than itself.
//! - A snapshot that arrives in step is redundant. The latest one ahead of the stream is kept until
//!   the deltas catch up with it: after a reconnection it may be the only one.
//! - A snapshot older than the first delta that waits cannot be joined and is left out.
//! - A snapshot without a time of its own (spot) gets that of the newest waiting delta up to `L`,
//!   else of the first delta after it, but none later than its own arrival.
//! - A delta at or below the id reached is a duplicate and goes no further.
//! - The buffer is bounded; beyond it the oldest deltas go out unjoined.

use std::collections::VecDeque;

use crate::event::{Event, SEQ_NONE, TS_NONE, flags};

/// Most rows that wait for a snapshot.
pub const WAITING_ROWS_MAX: usize = 1_000_000;

/// How often things happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JoinCounts {
    /// Snapshots joined.
    pub snapshots: u64,
    /// Snapshots that told nothing new.
    pub snapshots_redundant: u64,
    /// Snapshots older than the deltas that they should have been joined to.
    pub snapshots_outdated: u64,
    /// Deltas at or below the id reached.
    pub duplicates: u64,
    /// Breaks of the sequence.
    pub gaps: u64,
    /// Deltas that went out without ever being joined to a snapshot.
    pub unjoined: u64,
}

/// Where a stream stands, enough to go on with it in a later import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinState {
    /// Id of the last message; [`SEQ_NONE`] before the first.
    pub seq: u64,
    /// Venue time of the last message, [`TS_NONE`] where it is not known.
    pub ts_event_ns: i64,
    /// Whether a snapshot is joined and no gap followed.
    pub in_step: bool,
}

impl Default for JoinState {
    fn default() -> Self {
        Self {
            seq: SEQ_NONE,
            ts_event_ns: TS_NONE,
            in_step: false,
        }
    }
}

/// Deltas and snapshots of one instrument on their way into one stream.
#[derive(Debug)]
pub struct Joiner {
    /// The last delta received, or the snapshot joined, whichever is newer.
    state: JoinState,
    waiting: VecDeque<Event>,
    /// Id of the delta that told of a gap: it went out already.
    announced: u64,
    /// In step: a snapshot ahead of the stream. Else: one that waits for a delta to tell its time.
    held: Vec<Event>,
    rows_max: usize,
    counts: JoinCounts,
}

impl Default for Joiner {
    fn default() -> Self {
        Self::new(JoinState::default(), WAITING_ROWS_MAX)
    }
}

impl Joiner {
    /// A joiner that goes on from `state` and lets at most `rows_max` rows wait.
    pub fn new(state: JoinState, rows_max: usize) -> Self {
        Self {
            state,
            waiting: VecDeque::new(),
            announced: SEQ_NONE,
            held: Vec::new(),
            rows_max,
            counts: JoinCounts::default(),
        }
    }

    /// What happened so far.
    pub fn counts(&self) -> JoinCounts {
        self.counts
    }

    /// Where the stream stands.
    pub fn state(&self) -> JoinState {
        self.state
    }

    /// Takes one delta message (all its rows); what is ready is appended to `out`.
    pub fn delta(&mut self, rows: &[Event], out: &mut Vec<Event>) {
        let Some(head) = rows.first() else { return };
        if self.state.seq != SEQ_NONE && head.seq <= self.state.seq {
            if !self.is_restart(head) {
                self.counts.duplicates += 1;
                return;
            }
            self.restart(out);
        }
        if self.state.in_step {
            self.step(rows, out);
        } else {
            self.wait(rows, out);
        }
        // A snapshot joined just now may be ahead of this delta.
        if self.state.seq == SEQ_NONE || head.seq > self.state.seq {
            self.state.seq = head.seq;
            self.state.ts_event_ns = head.ts_event_ns;
        }
    }

    /// Takes one snapshot (all its rows); what is ready is appended to `out`.
    pub fn snapshot(&mut self, rows: &[Event], out: &mut Vec<Event>) {
        let Some(head) = rows.first() else { return };
        if self.state.in_step {
            if head.seq <= self.state.seq || !self.held.is_empty() {
                self.counts.snapshots_redundant += 1;
            }
            if head.seq > self.state.seq {
                self.held = rows.to_vec();
            }
        } else if self.waiting.is_empty() && head.ts_event_ns == TS_NONE {
            self.counts.snapshots_redundant += u64::from(!self.held.is_empty());
            self.held = rows.to_vec();
        } else if self
            .waiting
            .front()
            .is_some_and(|first| first.prev_seq > head.seq)
        {
            self.counts.snapshots_outdated += 1;
        } else {
            self.join(rows.to_vec(), head.ts_recv_ns, out);
        }
    }

    /// The end of the input: everything that waits goes out as it is.
    pub fn finish(&mut self, out: &mut Vec<Event>) {
        let held = std::mem::take(&mut self.held);
        if self.state.in_step {
            self.counts.snapshots_redundant += u64::from(!held.is_empty());
        } else if let Some(head) = held.first() {
            self.join(held.clone(), head.ts_recv_ns, out);
        }
        self.release_down_to(0, out);
        self.announced = SEQ_NONE;
    }

    /// Whether an id at or below the last one comes with a later venue time: then the venue has
    /// started its ids anew (or the last id was damaged), and the message is no duplicate.
    fn is_restart(&self, head: &Event) -> bool {
        head.seq < self.state.seq
            && self.state.ts_event_ns != TS_NONE
            && head.ts_event_ns > self.state.ts_event_ns
    }

    fn restart(&mut self, out: &mut Vec<Event>) {
        self.release_down_to(0, out);
        self.held.clear();
        // Every message continues from an id above 0, so the one at hand is a gap.
        self.state.seq = 0;
    }

    fn step(&mut self, rows: &[Event], out: &mut Vec<Event>) {
        let head = rows[0];
        out.extend_from_slice(rows);
        let snapshot_seq = self.held.first().map(|held| held.seq);
        if head.prev_seq <= self.state.seq {
            if snapshot_seq.is_some_and(|seq| seq <= head.seq) {
                self.held.clear();
                self.counts.snapshots_redundant += 1;
            }
            return;
        }
        self.counts.gaps += 1;
        self.state.in_step = false;
        self.announced = head.seq;
        self.waiting.extend(rows);
        let snapshot = std::mem::take(&mut self.held);
        match snapshot_seq {
            Some(seq) if seq >= head.prev_seq => self.join(snapshot, head.ts_recv_ns, out),
            Some(_) => self.counts.snapshots_outdated += 1,
            None => {}
        }
    }

    fn wait(&mut self, rows: &[Event], out: &mut Vec<Event>) {
        self.waiting.extend(rows);
        if self.held.is_empty() {
            self.release_down_to(self.rows_max, out);
        } else {
            let held = std::mem::take(&mut self.held);
            self.join(held, rows[0].ts_recv_ns, out);
        }
    }

    /// Puts the snapshot between the waiting deltas that it holds already and the others.
    fn join(&mut self, mut snapshot: Vec<Event>, ts_recv_ns: i64, out: &mut Vec<Event>) {
        let head = snapshot[0];
        let arrival_ns = ts_recv_ns.max(head.ts_recv_ns);
        let mut ts_event_ns = TS_NONE;
        while let Some(first) = self.waiting.front().filter(|first| first.seq <= head.seq) {
            ts_event_ns = first.ts_event_ns;
            self.release_oldest(out);
        }
        if let Some(first) = self.waiting.front()
            && ts_event_ns == TS_NONE
        {
            ts_event_ns = first.ts_event_ns.min(head.ts_recv_ns);
        }
        for row in &mut snapshot {
            if row.ts_event_ns == TS_NONE {
                row.ts_event_ns = ts_event_ns;
            }
            raise(row, arrival_ns);
        }
        out.extend_from_slice(&snapshot);
        self.counts.snapshots += 1;
        self.announced = SEQ_NONE;
        self.state = JoinState {
            seq: head.seq,
            // Deltas older than the snapshot may still arrive; their times prove no restart.
            ts_event_ns: TS_NONE,
            in_step: true,
        };
        let rest = std::mem::take(&mut self.waiting);
        self.replay(rest, arrival_ns, out);
    }

    /// Sends deltas that waited for a snapshot after it; from a gap among them on they wait again.
    fn replay(&mut self, rest: VecDeque<Event>, arrival_ns: i64, out: &mut Vec<Event>) {
        for mut row in rest {
            raise(&mut row, arrival_ns);
            if self.state.in_step && row.is_first() {
                if row.prev_seq > self.state.seq {
                    self.counts.gaps += 1;
                    self.state.in_step = false;
                    self.announced = row.seq;
                }
                self.state.seq = row.seq;
                self.state.ts_event_ns = row.ts_event_ns;
            }
            if self.state.in_step || row.seq == self.announced {
                out.push(row);
            }
            if !self.state.in_step {
                self.waiting.push_back(row);
                self.state.seq = row.seq;
                self.state.ts_event_ns = row.ts_event_ns;
            }
        }
    }

    fn release_down_to(&mut self, rows: usize, out: &mut Vec<Event>) {
        while self.waiting.len() > rows {
            self.counts.unjoined += 1;
            self.release_oldest(out);
        }
    }

    /// Sends the oldest waiting message on, unless it went out when it told of a gap.
    fn release_oldest(&mut self, out: &mut Vec<Event>) {
        while let Some(row) = self.waiting.pop_front() {
            if row.seq != self.announced {
                out.push(row);
            }
            if row.is_last() {
                return;
            }
        }
    }
}

fn raise(row: &mut Event, ts_recv_ns: i64) {
    if row.ts_recv_ns < ts_recv_ns {
        row.ts_recv_ns = ts_recv_ns;
        row.flags |= flags::RECV_RAISED;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::Book;
    use crate::event::{EventKind, Side};
    use proptest::prelude::*;

    /// A message of `levels` rows whose bid sizes are its id, so that a book shows what it applied.
    fn message(
        kind: EventKind,
        seq: u64,
        prev_seq: u64,
        ts_recv_ns: i64,
        levels: usize,
    ) -> Vec<Event> {
        let row = |at: usize| Event {
            ts_event_ns: ts_recv_ns,
            ts_recv_ns,
            px_ticks: 100 - i64::try_from(at).unwrap(),
            qty_lots: i64::try_from(seq).unwrap(),
            seq,
            prev_seq,
            instrument: 0,
            kind: kind as u8,
            side: Side::Bid as u8,
            flags: if at == 0 { flags::FIRST } else { 0 }
                | if at + 1 == levels { flags::LAST } else { 0 },
            reserved: 0,
        };
        (0..levels).map(row).collect()
    }

    fn delta(seq: u64, prev_seq: u64, ts_recv_ns: i64) -> Vec<Event> {
        message(EventKind::Delta, seq, prev_seq, ts_recv_ns, 2)
    }

    fn snapshot(seq: u64, ts_recv_ns: i64) -> Vec<Event> {
        message(EventKind::Snapshot, seq, SEQ_NONE, ts_recv_ns, 3)
    }

    /// What goes out, one (is a snapshot, id, receive time) a message.
    fn joined(joiner: &mut Joiner, input: &[Vec<Event>]) -> Vec<(bool, u64, i64)> {
        let mut out = Vec::new();
        for rows in input {
            if rows[0].kind == EventKind::Snapshot as u8 {
                joiner.snapshot(rows, &mut out);
            } else {
                joiner.delta(rows, &mut out);
            }
        }
        joiner.finish(&mut out);
        crate::verify::messages(&out)
            .map(|rows| {
                assert!(rows[0].is_first() && rows.iter().all(|row| row.seq == rows[0].seq));
                let is_snapshot = rows[0].kind == EventKind::Snapshot as u8;
                (is_snapshot, rows[0].seq, rows[0].ts_recv_ns)
            })
            .collect()
    }

    #[test]
    fn a_snapshot_too_old_to_be_joined_is_left_out() {
        let mut joiner = Joiner::default();
        let out = joined(
            &mut joiner,
            &[delta(20, 15, 1), snapshot(10, 2), delta(30, 20, 3)],
        );
        assert_eq!(out, [(false, 20, 1), (false, 30, 3)]);
        assert_eq!(joiner.counts().snapshots_outdated, 1);
        assert_eq!(joiner.counts().unjoined, 2);
    }

    #[test]
    fn a_gap_among_the_waiting_deltas_waits_on() {
        let mut joiner = Joiner::default();
        let input = [
            delta(20, 15, 1),
            delta(30, 25, 2),
            snapshot(18, 3),
            snapshot(27, 4),
            delta(40, 30, 5),
        ];
        let out = joined(&mut joiner, &input);
        let expected = [
            (true, 18, 3),
            (false, 20, 3),
            (false, 30, 3),
            (true, 27, 4),
            (false, 30, 4),
            (false, 40, 5),
        ];
        assert_eq!(out, expected);
        assert_eq!((joiner.counts().gaps, joiner.counts().snapshots), (1, 2));
    }

    #[test]
    fn the_buffer_is_bounded_and_the_oldest_go_out() {
        let mut joiner = Joiner::new(JoinState::default(), 4);
        let mut out = Vec::new();
        for at in 1..=5u64 {
            joiner.delta(&delta(10 * at, 10 * at - 10, at.cast_signed()), &mut out);
        }
        assert_eq!(out.len(), 6);
        assert_eq!(joiner.counts().unjoined, 3);
    }

    #[test]
    fn ids_that_start_anew_are_a_gap_and_not_old() {
        let mut joiner = Joiner::default();
        let input = [
            snapshot(1000, 1),
            delta(1010, 1000, 2),
            delta(20, 10, 3),
            snapshot(15, 4),
            delta(30, 20, 5),
        ];
        let out = joined(&mut joiner, &input);
        let expected = [
            (true, 1000, 1),
            (false, 1010, 2),
            (false, 20, 3),
            (true, 15, 4),
            (false, 20, 4),
            (false, 30, 5),
        ];
        assert_eq!(out, expected);
        assert_eq!(joiner.counts().duplicates, 0);
    }

    #[test]
    fn deltas_older_than_the_snapshot_are_no_restart() {
        let mut joiner = Joiner::default();
        let input = [
            delta(10, 5, 1),
            snapshot(30, 2),
            delta(20, 10, 3),
            delta(40, 20, 4),
        ];
        let out = joined(&mut joiner, &input);
        assert_eq!(out, [(false, 10, 1), (true, 30, 2), (false, 40, 4)]);
        assert_eq!((joiner.counts().duplicates, joiner.counts().gaps), (1, 0));
    }

    proptest! {
        /// A chain of deltas with some lost and some repeated, and snapshots thrown in anywhere:
        /// times never go back, messages stay whole, and whenever the book is trusted it has
        /// exactly what the newest delta up to its id set.
        #[test]
        fn a_trusted_book_is_never_wrong(
            steps in prop::collection::vec((0u8..12, 0u64..40), 1..80), rows_max in 4usize..60,
        ) {
            let mut joiner = Joiner::new(JoinState::default(), rows_max);
            let (mut seq, mut lost, mut out) = (1000u64, 0u64, Vec::new());
            for (at, &(what, by)) in steps.iter().enumerate() {
                let ts = i64::try_from(at).unwrap();
                match what {
                    0 => joiner.snapshot(&snapshot(seq.saturating_sub(by / 4 * 10), ts), &mut out),
                    1 => joiner.snapshot(&snapshot(seq + by / 4 * 10, ts), &mut out),
                    2 => {
                        seq += 10;
                        lost += 1;
                    }
                    3 => joiner.delta(&delta(seq, seq - 10, ts), &mut out),
                    _ => {
                        seq += 10;
                        joiner.delta(&delta(seq, seq - 10, ts), &mut out);
                    }
                }
            }
            joiner.finish(&mut out);
            prop_assert!(out.is_sorted_by_key(|row| row.ts_recv_ns));
            prop_assert!(joiner.counts().gaps <= lost + joiner.counts().snapshots);
            let mut book = Book::new();
            for message in crate::verify::messages(&out) {
                prop_assert!(message[0].is_first() && message[message.len() - 1].is_last());
                book.apply_message(message);
                if book.is_trusted() {
                    let newest = i64::try_from(book.seq()).unwrap();
                    prop_assert_eq!(book.best_bid(), Some((100, newest)));
                }
            }
        }
    }
}
