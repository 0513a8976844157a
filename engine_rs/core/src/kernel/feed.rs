//! Streams of event batches, each read twice: by the exchange in venue time and by the strategy in
//! receive time.
//!
//! Invariants: both cursors only move forward, a message group at a time; the times of a cursor
//! never fall (a row whose clock went backwards counts as the latest time before it); a batch is
//! dropped when both cursors have left it, so memory holds what lies between them.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::event::{Event, EventKind};

/// Rows owned by somebody else: a vector, a numpy array, a mapped file.
pub trait Batch: Send + Sync {
    /// The rows, in order of arrival, whole message groups only.
    fn rows(&self) -> &[Event];
}

impl Batch for Vec<Event> {
    fn rows(&self) -> &[Event] {
        self
    }
}

/// What a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreamKind {
    /// Deltas and snapshots.
    Depth,
    /// Trades on the book.
    Trades,
    /// Single orders, for the exchange alone: the strategy is shown none.
    Orders,
    /// Mark prices of the venue.
    Marks,
    /// Fundings.
    Funding,
}

impl StreamKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [
        Self::Depth,
        Self::Trades,
        Self::Orders,
        Self::Marks,
        Self::Funding,
    ];

    fn carries(self, kind: u8) -> bool {
        match self {
            Self::Depth => kind == EventKind::Delta as u8 || kind == EventKind::Snapshot as u8,
            Self::Trades => kind == EventKind::Trade as u8,
            Self::Marks => kind == EventKind::Mark as u8,
            Self::Funding => kind == EventKind::Funding as u8,
            Self::Orders => {
                (EventKind::OrderClear as u8..=EventKind::OrderAmend as u8).contains(&kind)
            }
        }
    }

    /// Whether it tells what the venue publishes about a contract, and nothing of its book.
    #[inline]
    pub fn is_rate(self) -> bool {
        matches!(self, Self::Marks | Self::Funding)
    }

    /// The kind with the name that users see, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The name that users see.
    pub fn name(self) -> &'static str {
        match self {
            Self::Depth => "depth",
            Self::Trades => "trades",
            Self::Orders => "orders",
            Self::Marks => "marks",
            Self::Funding => "funding",
        }
    }
}

/// Time of a cursor whose next group has not been fed yet; it sorts before every time.
pub const PENDING: i64 = i64::MIN;
const DAY_NS: i64 = 86_400_000_000_000;
/// A message that lies farther behind the one before it has a damaged time: what is sampled and
/// watched until then would never end.
const AHEAD_NS_MAX: i64 = 366 * DAY_NS;
/// Time of a cursor at the end of its stream; it sorts after every time.
pub const ENDED: i64 = i64::MAX;

/// A place in a stream: the group that comes next, and when.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    /// When the next group is due on this cursor's clock.
    pub time: i64,
    /// When it is received.
    pub recv: i64,
    batch: u64,
    start: usize,
    end: usize,
    latest: i64,
}

impl Default for Cursor {
    fn default() -> Self {
        Self {
            time: PENDING,
            recv: PENDING,
            batch: 0,
            start: 0,
            end: 0,
            latest: PENDING + 1,
        }
    }
}

impl Cursor {
    /// Whether this one has found its group, and that begins where `other` is.
    #[inline]
    fn is_at(&self, other: &Self) -> bool {
        (self.batch, self.start) == (other.batch, other.start) && self.end > self.start
    }
}

/// One instrument's rows of one kind.
pub struct Stream {
    /// Index of the instrument in the run.
    pub instrument: usize,
    /// What it carries.
    pub kind: StreamKind,
    /// The exchange's place, in venue time.
    pub exchange: Cursor,
    /// The strategy's place, in receive time.
    pub local: Cursor,
    fed: Fed,
}

impl Stream {
    /// An empty stream.
    pub fn new(instrument: usize, kind: StreamKind) -> Self {
        Self {
            instrument,
            kind,
            exchange: Cursor::default(),
            local: Cursor::default(),
            fed: Fed {
                kind,
                batches: VecDeque::new(),
                dropped: 0,
                ended: false,
            },
        }
    }

    /// The stream without the strategy's place.
    #[must_use]
    pub fn for_exchange_alone(mut self) -> Self {
        self.local = Cursor {
            time: ENDED,
            recv: ENDED,
            batch: u64::MAX,
            ..Cursor::default()
        };
        self
    }

    /// Adds a batch behind the others.
    pub fn feed(&mut self, batch: Box<dyn Batch>) -> Result<()> {
        if self.fed.ended {
            return Err(Error::invalid(
                "feed",
                "no rows after the end of the stream",
                "a batch",
            ));
        }
        if !batch.rows().is_empty() {
            self.fed.batches.push_back(batch);
            self.reload()?;
        }
        Ok(())
    }

    /// Declares that no batch follows.
    pub fn end(&mut self) -> Result<()> {
        self.fed.ended = true;
        self.reload()
    }

    /// Whether a cursor waits for a batch.
    pub fn is_pending(&self) -> bool {
        self.exchange.time == PENDING || self.local.time == PENDING
    }

    /// The exchange's next group; the cursor moves on with [`Self::advance_exchange`].
    #[inline]
    pub fn exchange_rows(&self) -> &[Event] {
        self.rows(&self.exchange)
    }

    /// The strategy's next group; the cursor moves on with [`Self::advance_local`].
    #[inline]
    pub fn local_rows(&self) -> &[Event] {
        self.rows(&self.local)
    }

    #[inline]
    fn rows(&self, cursor: &Cursor) -> &[Event] {
        let batch = self.fed.batch(cursor.batch);
        &batch.expect("a cursor is at a group that was fed")[cursor.start..cursor.end]
    }

    /// Moves the exchange's place behind its group.
    #[inline]
    pub fn advance_exchange(&mut self) -> Result<()> {
        self.exchange.start = self.exchange.end;
        self.load_exchange()?;
        self.drop_read();
        Ok(())
    }

    /// Moves the strategy's place behind its group.
    #[inline]
    pub fn advance_local(&mut self) -> Result<()> {
        self.local.start = self.local.end;
        self.load_local()?;
        self.drop_read();
        Ok(())
    }

    fn reload(&mut self) -> Result<()> {
        if self.exchange.time == PENDING {
            self.load_exchange()?;
        }
        if self.local.time == PENDING {
            self.load_local()?;
        }
        self.drop_read();
        Ok(())
    }

    #[inline]
    fn load_exchange(&mut self) -> Result<()> {
        let clock = Event::venue_time_ns;
        self.fed.load(&mut self.exchange, &self.local, clock)
    }

    #[inline]
    fn load_local(&mut self) -> Result<()> {
        let clock = |head: &Event| head.ts_recv_ns;
        self.fed.load(&mut self.local, &self.exchange, clock)
    }

    #[inline]
    fn drop_read(&mut self) {
        self.fed
            .drop_before(self.exchange.batch.min(self.local.batch));
    }
}

/// What a stream was fed and still holds.
struct Fed {
    kind: StreamKind,
    batches: VecDeque<Box<dyn Batch>>,
    dropped: u64,
    ended: bool,
}

impl Fed {
    #[inline]
    fn batch(&self, number: u64) -> Option<&[Event]> {
        let index = usize::try_from(number - self.dropped).expect("batches fit memory");
        self.batches.get(index).map(|batch| batch.rows())
    }

    #[inline]
    fn drop_before(&mut self, number: u64) {
        while self.dropped < number {
            self.batches.pop_front();
            self.dropped += 1;
        }
    }

    /// Finds the next group of a cursor, if it has been fed; where the other cursor is at that group,
    /// its end is known.
    #[inline]
    fn load(
        &self,
        cursor: &mut Cursor,
        other: &Cursor,
        clock: impl Fn(&Event) -> i64,
    ) -> Result<()> {
        loop {
            let Some(batch) = self.batch(cursor.batch) else {
                cursor.time = if self.ended { ENDED } else { PENDING };
                return Ok(());
            };
            let rows = &batch[cursor.start..];
            let Some(head) = rows.first() else {
                (cursor.batch, cursor.start, cursor.end) = (cursor.batch + 1, 0, 0);
                continue;
            };
            cursor.end = if other.is_at(cursor) {
                other.end
            } else {
                cursor.start + self.group_length(rows)?
            };
            let time = clock(head);
            let is_first = cursor.latest == PENDING + 1;
            if !is_first && time.saturating_sub(cursor.latest) > AHEAD_NS_MAX {
                return Err(self.far_ahead(head, time, cursor.latest));
            }
            // One below the end marker, so that a damaged time cannot pass for the end.
            cursor.latest = cursor.latest.max(time).min(ENDED - 1);
            cursor.time = cursor.latest;
            cursor.recv = head.ts_recv_ns;
            return Ok(());
        }
    }

    /// Rows of the first group, which must be whole and of this stream's kind.
    fn group_length(&self, rows: &[Event]) -> Result<usize> {
        let head = &rows[0];
        let length = rows.iter().position(Event::is_last).map(|at| at + 1);
        match length {
            Some(length) if head.is_first() && self.kind.carries(head.kind) => Ok(length),
            _ => Err(self.bad_group(head, length.is_some())),
        }
    }

    #[cold]
    fn far_ahead(&self, head: &Event, time: i64, latest: i64) -> Error {
        let (kind, days) = (self.kind.name(), AHEAD_NS_MAX / DAY_NS);
        let expected =
            format!("{kind} within {days} days of the row before, which is at {latest} ns");
        let found = format!("one at {time} ns, received at {} ns", head.ts_recv_ns);
        Error::invalid("feed", expected, found)
    }

    #[cold]
    fn bad_group(&self, head: &Event, complete: bool) -> Error {
        let found = if !self.kind.carries(head.kind) {
            format!(
                "a row of kind {} received at {} ns",
                head.kind, head.ts_recv_ns
            )
        } else if complete {
            format!(
                "a group received at {} ns without a first row",
                head.ts_recv_ns
            )
        } else {
            format!(
                "a group received at {} ns without a last row",
                head.ts_recv_ns
            )
        };
        let expected = format!("whole message groups of kind {}", self.kind.name());
        Error::invalid("feed", expected, found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Side, flags};

    fn group(ts_ns: i64, rows: usize) -> Vec<Event> {
        let mut rows = vec![
            Event {
                ts_event_ns: ts_ns,
                ts_recv_ns: ts_ns + 1,
                flags: 0,
                ..crate::event::tests::row(EventKind::Delta, Side::Bid, 99, 1, 1)
            };
            rows
        ];
        rows[0].flags |= flags::FIRST;
        rows.last_mut().unwrap().flags |= flags::LAST;
        rows
    }

    /// Both cursors wait at a seam, where neither knows the end of the next group.
    #[test]
    fn groups_after_a_seam_are_as_long_as_they_are() {
        let mut stream = Stream::new(0, StreamKind::Depth);
        for (ts_ns, length) in [(10, 3), (20, 1), (30, 5)] {
            stream.feed(Box::new(group(ts_ns, length))).unwrap();
            let found = (stream.exchange.time, stream.exchange_rows().len());
            assert_eq!(found, (ts_ns, length));
            stream.advance_exchange().unwrap();
            let found = (stream.local.time, stream.local_rows().len());
            assert_eq!(found, (ts_ns + 1, length));
            stream.advance_local().unwrap();
            assert_eq!(
                (stream.exchange.time, stream.local.time),
                (PENDING, PENDING)
            );
        }
        stream.end().unwrap();
        assert_eq!((stream.exchange.time, stream.local.time), (ENDED, ENDED));
    }

    /// Either cursor may be ahead, or both at one group.
    #[test]
    fn cursors_at_any_distance_see_the_same_groups() {
        let lengths = [2, 1, 4, 3, 1, 6];
        for lead in 0..lengths.len() {
            let mut stream = Stream::new(0, StreamKind::Depth);
            let groups = (0..).map(|n| n * 10).zip(lengths);
            let rows: Vec<Event> = groups.flat_map(|(ts, n)| group(ts, n)).collect();
            stream.feed(Box::new(rows)).unwrap();
            let (mut seen, mut heard) = (Vec::new(), Vec::new());
            for turn in 0..lengths.len() + lead {
                if turn < lengths.len() {
                    seen.push(stream.exchange_rows().len());
                    stream.advance_exchange().unwrap();
                }
                if turn >= lead {
                    heard.push(stream.local_rows().len());
                    stream.advance_local().unwrap();
                }
            }
            assert_eq!((&seen[..], &heard[..]), (&lengths[..], &lengths[..]));
        }
    }
}
