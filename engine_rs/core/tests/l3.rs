//! The order-by-order book: queues, takers, disorder, and the same book as plain lists.

use cobalt_core::event::Side;
use cobalt_core::l3::{Fault, Order, OrderBook, REMEMBERED};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn opposite(side: Side) -> Side {
    if side == Side::Ask {
        Side::Bid
    } else {
        Side::Ask
    }
}

fn ids(book: &OrderBook, side: Side, px: i64) -> Vec<u64> {
    book.queue(side, px).map(|order| order.id).collect()
}

#[test]
fn a_queue_is_in_order_of_time() {
    let mut book = OrderBook::new();
    for id in 1..=4 {
        assert_eq!(book.add(id, Side::Bid, 100, 10 * id.cast_signed()), None);
    }
    book.set_unnamed(Side::Bid, 100, 7);
    assert_eq!(book.ahead(3), Some(7 + 10 + 20));
    // A smaller size keeps its place, a larger one or another price does not.
    book.change(1, Side::Bid, 100, 5);
    book.change(2, Side::Bid, 100, 21);
    assert_eq!(ids(&book, Side::Bid, 100), [1, 3, 4, 2]);
    book.change(3, Side::Bid, 99, 30);
    book.change(3, Side::Bid, 100, 30);
    assert_eq!(ids(&book, Side::Bid, 100), [1, 4, 2, 3]);
    assert_eq!(book.best(Side::Bid), Some((100, 7 + 5 + 40 + 21 + 30, 4)));
    assert_eq!(book.delete(4).0.map(|order| order.qty_lots), Some(40));
    assert_eq!(book.ahead(3), Some(7 + 5 + 21));
    assert_eq!(book.take_changes(), [(Side::Bid, 100, 63)]);
    assert_eq!(book.take_changes(), []);
}

#[test]
fn a_taker_is_in_flight_until_it_crosses_no_more() {
    let mut book = OrderBook::new();
    book.add(1, Side::Ask, 101, 5);
    book.add(2, Side::Ask, 102, 5);
    book.take_changes();
    book.add(3, Side::Bid, 101, 8);
    assert_eq!(book.in_flight(), [3]);
    assert_eq!(book.take_changes(), []);
    assert!(!book.rest(3));
    book.change(3, Side::Bid, 101, 3);
    book.delete(1);
    assert!(book.rest(3));
    assert_eq!(
        book.take_changes(),
        [(Side::Bid, 101, 3), (Side::Ask, 101, 0)]
    );
    assert_eq!(book.ahead(3), Some(0));
    assert_eq!(book.counts().crossing, 1);
}

#[test]
fn remains_go_where_an_order_rests_over_them() {
    let mut book = OrderBook::new();
    book.add(1, Side::Ask, 101, 5);
    book.set_unnamed(Side::Ask, 101, 4);
    book.set_unnamed(Side::Ask, 102, 4);
    book.add(2, Side::Ask, 103, 5);
    book.add(3, Side::Bid, 102, 8);
    let evicted: Vec<u64> = book.rest_over(3).iter().map(|order| order.id).collect();
    assert_eq!(evicted, [1]);
    assert_eq!(book.best(Side::Ask), Some((103, 5, 1)));
    assert_eq!(book.best(Side::Bid), Some((102, 8, 1)));
    assert_eq!(book.delete(1).1, Some(Fault::DeletedTwice));
    assert_eq!(book.counts().evicted, 1);
    assert_eq!(book.rest_over(99), []);
}

#[test]
fn every_disorder_is_counted_and_harms_nothing() {
    let mut book = OrderBook::new();
    book.add(1, Side::Bid, 100, 5);
    for (fault, expected) in [
        (book.delete(7).1, Fault::DeletedUnknown),
        (book.delete(7).1, Fault::DeletedTwice),
        (book.add(7, Side::Bid, 100, 1), Fault::AddedAfterDelete),
        (book.change(7, Side::Bid, 100, 1), Fault::ChangedAfterDelete),
        (book.change(8, Side::Bid, 100, 2), Fault::ChangedUnknown),
        (book.add(1, Side::Bid, 100, 4), Fault::AddedTwice),
        (book.add(9, Side::Bid, 100, 0), Fault::Impossible),
        (book.add(9, Side::Bid, 100, -1), Fault::Impossible),
        (book.add(9, Side::None, 100, 1), Fault::Impossible),
        (book.add(9, Side::Bid, i64::MIN, 1), Fault::Impossible),
        (book.change(1, Side::Bid, 100, -4), Fault::Impossible),
        (book.set_unnamed(Side::Ask, 100, 1), Fault::Impossible),
        (book.set_unnamed(Side::Ask, 100, -1), Fault::Impossible),
    ] {
        assert_eq!(fault, Some(expected));
    }
    assert_eq!(ids(&book, Side::Bid, 100), [8, 1]);
    assert_eq!(book.counts().faults, [1, 1, 1, 1, 1, 1, 6 + 1]);
    assert_eq!(book.change(1, Side::Bid, 100, 0), None);
    assert_eq!(book.len(), 1);
}

#[test]
fn sizes_at_the_limits_do_not_overflow() {
    let mut book = OrderBook::new();
    for id in 0..3 {
        book.add(id, Side::Ask, 5, i64::MAX);
    }
    assert_eq!(book.qty_at(Side::Ask, 5), i64::MAX);
    assert_eq!(book.ahead(2), Some(i64::MAX));
    book.delete(0);
    book.delete(2);
    book.change(1, Side::Ask, 5, 1);
    assert_eq!(book.qty_at(Side::Ask, 5), 1);
}

#[test]
fn deleted_ids_are_remembered_within_a_bound() {
    let mut book = OrderBook::new();
    for id in 0..=REMEMBERED as u64 {
        book.delete(id);
    }
    assert_eq!(book.add(0, Side::Bid, 1, 1), None);
    assert_eq!(book.add(1, Side::Bid, 1, 1), Some(Fault::AddedAfterDelete));
}

/// Every question is answered by looking at all orders.
#[derive(Default)]
struct Naive {
    /// Resting orders in the order of time, those of unknown ids' changes before all others.
    resting: Vec<Order>,
    flights: Vec<Order>,
    deleted: BTreeSet<u64>,
    unnamed: BTreeMap<(bool, i64), i64>,
}

impl Naive {
    fn best(&self, side: Side) -> Option<i64> {
        let orders = self.resting.iter().filter(|order| order.side == side);
        let unnamed = self
            .unnamed
            .iter()
            .filter(|((ask, _), qty)| *ask == (side == Side::Ask) && **qty > 0);
        let prices = orders
            .map(|order| order.px_ticks)
            .chain(unnamed.map(|((_, px), _)| *px));
        if side == Side::Ask {
            prices.min()
        } else {
            prices.max()
        }
    }

    fn crosses(&self, side: Side, px: i64) -> bool {
        let best = self.best(opposite(side));
        best.is_some_and(|best| {
            if side == Side::Ask {
                px <= best
            } else {
                px >= best
            }
        })
    }

    fn place(&mut self, mut order: Order, front: bool) {
        order.is_in_flight = self.crosses(order.side, order.px_ticks);
        if order.is_in_flight {
            self.flights.push(order);
        } else if front {
            self.resting.insert(0, order);
        } else {
            self.resting.push(order);
        }
    }

    fn set(&mut self, new: Order) {
        let same = |order: &&mut Order| order.id == new.id;
        if let Some(order) = self.flights.iter_mut().find(same) {
            *order = Order {
                is_in_flight: true,
                ..new
            };
            return;
        }
        let at = self
            .resting
            .iter()
            .position(|order| order.id == new.id)
            .unwrap();
        let old = self.resting[at];
        if (old.side, old.px_ticks) == (new.side, new.px_ticks) && new.qty_lots <= old.qty_lots {
            self.resting[at] = new;
        } else {
            self.resting.remove(at);
            self.place(new, false);
        }
    }

    fn knows(&self, id: u64) -> bool {
        self.resting
            .iter()
            .chain(&self.flights)
            .any(|order| order.id == id)
    }

    fn step(&mut self, action: u8, order: Order) {
        let id = order.id;
        match action {
            0 if order.qty_lots > 0 && !self.deleted.contains(&id) => {
                if self.knows(id) {
                    self.set(order);
                } else {
                    self.place(order, false);
                }
            }
            1 if order.qty_lots > 0 && !self.deleted.contains(&id) => {
                if self.knows(id) {
                    self.set(order);
                } else {
                    self.place(order, true);
                }
            }
            1 if order.qty_lots == 0 => self.step(2, order),
            2 => {
                self.resting.retain(|other| other.id != id);
                self.flights.retain(|other| other.id != id);
                self.deleted.insert(id);
            }
            3 => {
                let at = self.flights.iter().position(|other| other.id == id);
                if let Some(at) = at
                    && !self.crosses(self.flights[at].side, self.flights[at].px_ticks)
                {
                    let order = self.flights.remove(at);
                    self.resting.push(Order {
                        is_in_flight: false,
                        ..order
                    });
                }
            }
            4 if order.qty_lots == 0
                || order.qty_lots > 0 && !self.crosses(order.side, order.px_ticks) =>
            {
                let key = (order.side == Side::Ask, order.px_ticks);
                self.unnamed.insert(key, order.qty_lots);
            }
            _ => {}
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<(u8, u64, bool, i64, i64)>> {
    let step = (0u8..5, 0u64..24, any::<bool>(), 95i64..106, -1i64..6);
    prop::collection::vec(step, 0..300)
}

proptest! {
    /// The book is what a plain list of orders says, whatever comes, and is never crossed.
    #[test]
    fn equals_a_plain_list(steps in steps()) {
        let mut book = OrderBook::new();
        let mut naive = Naive::default();
        let mut sizes: BTreeMap<(bool, i64), i64> = BTreeMap::new();
        for (action, id, is_ask, px_ticks, qty_lots) in steps {
            let side = if is_ask { Side::Ask } else { Side::Bid };
            naive.step(action, Order { id, side, px_ticks, qty_lots, is_in_flight: false });
            match action {
                0 => { book.add(id, side, px_ticks, qty_lots); }
                1 => { book.change(id, side, px_ticks, qty_lots); }
                2 => { book.delete(id); }
                3 => { book.rest(id); }
                _ => { book.set_unnamed(side, px_ticks, qty_lots); }
            }
            for (side, px, qty) in book.take_changes() {
                let key = (side == Side::Ask, px);
                prop_assert_ne!(sizes.insert(key, qty).unwrap_or(0), qty);
            }
            let flights: Vec<u64> = naive.flights.iter().map(|order| order.id).collect();
            prop_assert_eq!(book.in_flight(), flights);
            prop_assert_eq!(book.len(), naive.resting.len() + naive.flights.len());
            for side in [Side::Bid, Side::Ask] {
                prop_assert_eq!(book.best(side).map(|level| level.0), naive.best(side));
                for px in 95..106 {
                    let queue: Vec<Order> = naive.resting.iter().copied()
                        .filter(|order| (order.side, order.px_ticks) == (side, px)).collect();
                    let unnamed = naive.unnamed.get(&(side == Side::Ask, px)).copied();
                    let size = unnamed.unwrap_or(0)
                        + queue.iter().map(|order| order.qty_lots).sum::<i64>();
                    prop_assert_eq!(book.qty_at(side, px), size);
                    let changed = sizes.get(&(side == Side::Ask, px)).copied();
                    prop_assert_eq!(changed.unwrap_or(0), size);
                    prop_assert_eq!(book.queue(side, px).collect::<Vec<_>>(), queue);
                }
            }
            if let (Some(bid), Some(ask)) = (book.best(Side::Bid), book.best(Side::Ask)) {
                prop_assert!(bid.0 < ask.0);
            }
        }
    }
}
