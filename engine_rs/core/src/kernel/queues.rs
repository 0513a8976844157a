//! Things that are due later: messages between strategy and exchange, and timers.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

/// Messages under way in one direction. They arrive in the order in which they were sent: one that
/// would overtake another arrives together with it, behind it.
#[derive(Debug)]
pub struct Bus<T> {
    queue: VecDeque<(i64, T)>,
}

impl<T> Default for Bus<T> {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
        }
    }
}

impl<T> Bus<T> {
    /// Sends a message that arrives at `ts_ns` or with the one before it.
    pub fn send(&mut self, ts_ns: i64, message: T) {
        let latest = self
            .queue
            .back()
            .map_or(ts_ns, |(before, _)| ts_ns.max(*before));
        self.queue.push_back((latest, message));
    }

    /// How many messages are under way.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// When the next message arrives; `i64::MAX` where none is under way.
    #[inline]
    pub fn due(&self) -> i64 {
        self.queue.front().map_or(i64::MAX, |(time, _)| *time)
    }

    /// Whether nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The next message.
    pub fn receive(&mut self) -> Option<T> {
        self.queue.pop_front().map(|(_, message)| message)
    }
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerUse {
    /// Take an equity sample.
    Equity,
    /// Show an instrument's book to the strategy.
    Book(usize),
    /// Take a sample of a consolidated book.
    CobSample(usize),
    /// Show a consolidated book to the strategy.
    Cob(usize),
    /// Look whether an aggressor's order of an instrument is over.
    Sweep(usize),
    /// Let the risk engine look at the account.
    Risk,
    /// Call the strategy.
    User,
}

#[derive(Clone, Copy, Debug)]
struct Timer {
    purpose: TimerUse,
    every_ns: Option<i64>,
}

/// Timers in order of time, then of creation.
#[derive(Debug, Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<(i64, u64)>>,
    live: BTreeMap<u64, Timer>,
    created: u64,
}

impl Timers {
    /// A timer first due at `at_ns`, then every `every_ns` if given (positive).
    pub fn add(&mut self, at_ns: i64, every_ns: Option<i64>, purpose: TimerUse) -> u64 {
        let id = self.created;
        self.created += 1;
        self.live.insert(id, Timer { purpose, every_ns });
        self.heap.push(Reverse((at_ns, id)));
        id
    }

    /// Stops a timer of the strategy; whether there was one.
    pub fn cancel(&mut self, id: u64) -> bool {
        let user = self
            .live
            .get(&id)
            .is_some_and(|timer| timer.purpose == TimerUse::User);
        user && self.live.remove(&id).is_some()
    }

    /// When the next timer is due; `i64::MAX` where there is none.
    #[inline]
    pub fn due(&self) -> i64 {
        self.heap
            .peek()
            .map_or(i64::MAX, |Reverse((time, _))| *time)
    }

    /// Takes the next timer and winds it up again; `None` for one that was cancelled.
    pub fn fire(&mut self) -> Option<(u64, TimerUse)> {
        let Reverse((time, id)) = self.heap.pop()?;
        let timer = *self.live.get(&id)?;
        match timer.every_ns {
            Some(every) => self.heap.push(Reverse((time.saturating_add(every), id))),
            None => {
                self.live.remove(&id);
            }
        }
        Some((id, timer.purpose))
    }
}

/// The first multiple of `every_ns` after `ts_ns`.
pub fn next_on_grid(ts_ns: i64, every_ns: i64) -> i64 {
    ts_ns - ts_ns.rem_euclid(every_ns) + every_ns
}
