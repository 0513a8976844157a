//! Our own resting orders on one side, best price first, then first come first served.

use super::models::{QueueModel, QueuePosition};

/// One of our orders in the venue's book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resting {
    pub id: u64,
    /// The price as a [`crate::ladder::Ladder`] key: higher is better.
    pub key: i64,
    pub qty_lots: i64,
    pub post_only: bool,
    pub position: QueuePosition,
}

/// One side's resting orders. Invariant: keys never rise from front to back, and orders of one key
/// stand in order of arrival.
#[derive(Default)]
pub struct RestingSide {
    orders: Vec<Resting>,
}

impl RestingSide {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.orders.is_empty()
    }

    pub fn insert(&mut self, order: Resting) {
        let at = self.orders.partition_point(|other| other.key >= order.key);
        self.orders.insert(at, order);
    }

    pub fn take(&mut self, id: u64) -> Option<Resting> {
        let at = self.orders.iter().position(|order| order.id == id)?;
        Some(self.orders.remove(at))
    }

    /// Lowers (or keeps) the quantity of the order at its price and place in the queue; `false`
    /// where there is no such order here, or more is asked.
    pub fn shrink(&mut self, id: u64, key: i64, qty_lots: i64) -> bool {
        let found = self
            .orders
            .iter_mut()
            .find(|order| order.id == id && order.key == key && order.qty_lots >= qty_lots);
        found.map(|order| order.qty_lots = qty_lots).is_some()
    }

    /// A level of the venue's book changed its size.
    #[inline]
    pub fn on_depth(&mut self, key: i64, before: i64, after: i64, queue: &dyn QueueModel) {
        let (Some(first), Some(last)) = (self.orders.first(), self.orders.last()) else {
            return;
        };
        if key > first.key || key < last.key {
            return;
        }
        let at = self.orders.partition_point(|order| order.key > key);
        for order in self.orders[at..]
            .iter_mut()
            .take_while(|order| order.key == key)
        {
            queue.on_depth(&mut order.position, before, after);
        }
    }

    /// The opposite best stands at `key` of this side: every order at it or better is filled.
    #[inline]
    pub fn fill_reached(&mut self, key: i64, fill: impl FnMut(&Resting)) {
        let reached = self.orders.partition_point(|order| order.key >= key);
        self.orders
            .drain(..reached)
            .as_slice()
            .iter()
            .for_each(fill);
    }

    /// A trade at `key` against this side: better orders are filled, those at it wait their turn.
    pub fn on_trade(
        &mut self,
        key: i64,
        qty_lots: i64,
        queue: &dyn QueueModel,
        mut fill: impl FnMut(&Resting),
    ) {
        let touched = self.orders.partition_point(|order| order.key >= key);
        let mut at = 0;
        for _ in 0..touched {
            let order = &mut self.orders[at];
            if order.key == key {
                queue.on_trade(&mut order.position, qty_lots);
                if !queue.is_reached(&order.position) {
                    at += 1;
                    continue;
                }
            }
            fill(&self.orders.remove(at));
        }
    }
}
