//! One side's levels of an order-by-order book: a queue of orders for each price.
//!
//! A [`Ladder`] finds the queue of a price and the best price. Queues that are empty are used again,
//! so that a book of a steady size allocates nothing.

use crate::event::Side;
use crate::ladder::Ladder;

/// The end of a queue.
pub const NONE: u32 = u32::MAX;

/// The queue of one price. Sizes of orders are below 2^63 and there are fewer than 2^32, so that the
/// sum fits 128 bits.
#[derive(Clone, Copy, Debug)]
pub struct Level {
    /// Lots of orders without a known id, ahead of all others.
    pub unnamed: i64,
    /// Lots of orders with an id.
    pub named: i128,
    /// How many orders with an id.
    pub count: u32,
    /// The node of the first order, or [`NONE`].
    pub front: u32,
    /// The node of the last order, or [`NONE`].
    pub back: u32,
}

impl Level {
    const EMPTY: Self = Self {
        unnamed: 0,
        named: 0,
        count: 0,
        front: NONE,
        back: NONE,
    };

    /// All lots, at most `i64::MAX`.
    pub fn size(&self) -> i64 {
        i64::try_from(self.named + i128::from(self.unnamed)).unwrap_or(i64::MAX)
    }

    fn is_empty(&self) -> bool {
        self.count == 0 && self.unnamed == 0
    }
}

/// The levels of one side. Invariant: a level holds at least one order or an unnamed size.
#[derive(Clone, Debug)]
pub struct Levels {
    side: Side,
    /// By price: the place in `held` plus one, as a ladder holds no zeros.
    by_px: Ladder,
    held: Vec<Level>,
    free: Vec<usize>,
}

impl Levels {
    /// A side without levels.
    pub fn new(side: Side) -> Self {
        Self {
            side,
            by_px: Ladder::default(),
            held: Vec::new(),
            free: Vec::new(),
        }
    }

    /// The level at a price.
    pub fn get(&self, px_ticks: i64) -> Option<&Level> {
        Some(&self.held[self.place(px_ticks)?])
    }

    /// The best level and its price.
    pub fn best(&self) -> Option<(i64, &Level)> {
        let (key, number) = self.by_px.best_level()?;
        Some((Ladder::key(self.side, key), self.numbered(number)))
    }

    /// Levels from the best to the worst, with their prices.
    pub fn iter(&self) -> impl Iterator<Item = (i64, &Level)> + '_ {
        self.by_px
            .iter()
            .map(|(key, number)| (Ladder::key(self.side, key), self.numbered(number)))
    }

    /// Changes the level at a price, which appears where there was none and goes once it is empty.
    pub fn change<T>(&mut self, px_ticks: i64, change: impl FnOnce(&mut Level) -> T) -> T {
        let place = self.place(px_ticks).unwrap_or_else(|| self.add(px_ticks));
        let changed = change(&mut self.held[place]);
        if self.held[place].is_empty() {
            self.by_px.set(Ladder::key(self.side, px_ticks), 0);
            self.free.push(place);
        }
        changed
    }

    fn place(&self, px_ticks: i64) -> Option<usize> {
        let number = self.by_px.qty(Ladder::key(self.side, px_ticks));
        usize::try_from(number - 1).ok()
    }

    fn numbered(&self, number: i64) -> &Level {
        let place = usize::try_from(number - 1).expect("a price on the ladder has a level");
        &self.held[place]
    }

    fn add(&mut self, px_ticks: i64) -> usize {
        let place = self.free.pop().unwrap_or(self.held.len());
        if place == self.held.len() {
            self.held.push(Level::EMPTY);
        }
        self.held[place] = Level::EMPTY;
        let number = place.cast_signed() as i64 + 1;
        self.by_px.set(Ladder::key(self.side, px_ticks), number);
        place
    }
}
