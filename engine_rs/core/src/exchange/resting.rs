//! Our own resting orders on one side, best price first, then first come first served.

use super::models::{QueueModel, QueuePosition};

/// One of our orders in the venue's book.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resting {
    pub id: u64,
    /// Lots shown: what is left of the order, or of an iceberg's slice.
    pub shown_lots: i64,
    pub position: QueuePosition,
}

/// An order that a trade reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    pub id: u64,
    /// Lots of the trade beyond the queue ahead; `None` where it went through the order's price.
    pub at_price: Option<i64>,
    pub shown_lots: i64,
}

/// One side's resting orders. Invariant: `keys[i]` is the price of `orders[i]` as a
/// [`crate::ladder::Ladder`] key (higher is better); keys never rise from front to back, and orders
/// of one key stand in order of arrival.
#[derive(Debug, Default)]
pub struct RestingSide {
    /// Apart from the orders, so that the search for a price touches little memory.
    keys: Vec<i64>,
    orders: Vec<Resting>,
}

impl RestingSide {
    pub fn insert(&mut self, key: i64, order: Resting) {
        let at = self.keys.partition_point(|other| *other >= key);
        self.keys.insert(at, key);
        self.orders.insert(at, order);
    }

    /// Takes out the order of this id at this price.
    pub fn remove(&mut self, key: i64, id: u64) -> Option<Resting> {
        let at = self.find(key, id)?;
        self.keys.remove(at);
        Some(self.orders.remove(at))
    }

    /// The order of this id at this price.
    pub fn get(&self, key: i64, id: u64) -> Option<&Resting> {
        Some(&self.orders[self.find(key, id)?])
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, key: i64, id: u64) -> Option<&mut Resting> {
        let at = self.find(key, id)?;
        Some(&mut self.orders[at])
    }

    fn find(&self, key: i64, id: u64) -> Option<usize> {
        let range = self.at_price(key);
        let start = range.start;
        let found = self.orders[range].iter().position(|order| order.id == id)?;
        Some(start + found)
    }

    fn at_price(&self, key: i64) -> std::ops::Range<usize> {
        let start = self.better_than(key);
        let length = self.keys[start..]
            .iter()
            .take_while(|other| **other == key)
            .count();
        start..start + length
    }

    fn better_than(&self, key: i64) -> usize {
        self.keys.partition_point(|other| *other > key)
    }

    /// A level of the venue's book changed its size.
    #[inline]
    pub fn on_depth(&mut self, key: i64, before: i64, after: i64, queue: &dyn QueueModel) {
        let (Some(first), Some(last)) = (self.keys.first(), self.keys.last()) else {
            return;
        };
        if key > *first || key < *last {
            return;
        }
        let range = self.at_price(key);
        for order in &mut self.orders[range] {
            queue.on_depth(&mut order.position, before, after);
        }
    }

    /// Whether an order stands at `key` or better.
    #[inline]
    pub fn reaches(&self, key: i64) -> bool {
        self.keys.first().is_some_and(|best| *best >= key)
    }

    /// The orders at `key` or better, best first, as (id, key).
    pub fn reached(&self, key: i64) -> impl Iterator<Item = (u64, i64)> + '_ {
        self.orders
            .iter()
            .zip(&self.keys)
            .take_while(move |(_, other)| **other >= key)
            .map(|(order, key)| (order.id, *key))
    }

    /// A trade at `key` against this side: adds the orders at better prices, and those at the price
    /// whose queue it uses up, to `hits`.
    pub fn on_trade(
        &mut self,
        key: i64,
        qty_lots: i64,
        queue: &dyn QueueModel,
        hits: &mut Vec<Hit>,
    ) {
        let hit = |order: &Resting, at_price| Hit {
            id: order.id,
            at_price,
            shown_lots: order.shown_lots,
        };
        let range = self.at_price(key);
        hits.extend(self.orders[..range.start].iter().map(|o| hit(o, None)));
        for order in &mut self.orders[range] {
            queue.on_trade(&mut order.position, qty_lots);
            let lots = queue.take_reached(&mut order.position);
            if lots > 0 {
                hits.push(hit(order, Some(lots)));
            }
        }
    }
}
