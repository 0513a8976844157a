//! The queue where the venue's orders are known one by one: first come, first served.
//!
//! An order of ours that joins a price stands behind the venue's orders that rest there and before
//! those that come. What stands ahead leaves by cancellation, by a decrease or by execution; ours is
//! *reached* by what is executed behind it, because in the venue it would have been served first.
//! Our orders are not in the venue's book, so the venue's orders behind them are executed as if ours
//! were not there: the lots of theirs that were executed are the lots that ours would have got.
//!
//! Feeds tell an execution twice, by the orders (what is left of them) and by a trade, in either
//! order and with some time in between; either may be lost. Both are counted, and an order is
//! reached by the larger account: with `T` lots traded and `E` lots executed at its price since it
//! joined, `X` of them behind it and `A` lots ahead of it now, it was reached by
//! `X + max(0, T − E − A)` lots. While every trade has its executions the second term is 0, in
//! whatever order they come; where the venue's orders show nothing of a trade, what it has beyond
//! the queue ahead still counts.
//!
//! Invariants: all integers; lots ahead are never below 0; lots reached are told once. A row costs
//! O(log n) in our own orders and O(1) in the venue's, and allocates nothing while the books keep
//! their sizes.
//!
//! Known limits: where the venue's book begins anew, the place of an order of ours in it is not
//! known and taken to be the very last. Whether lots of orders without ids were cancelled or executed
//! is not known: they count as executed, so that a trade with them reaches nobody behind. An order
//! of the venue that crosses the book when it comes counts from when it rests. Prices that the market
//! reaches or trades through are the exchange's to see, not the queue's.

use crate::event::{Event, EventKind, Side};
use crate::l3::{Order, OrderBook};
use crate::ladder::Ladder;

/// One of our orders among the venue's.
#[derive(Clone, Copy, Debug)]
struct Place {
    id: u64,
    /// The venue's orders with a lower ticket are ahead.
    ticket: u64,
    /// Lots ahead.
    ahead: i64,
    /// Lots executed behind.
    behind: i64,
    /// Lots traded less lots executed at the price since the order joined.
    untold: i64,
    /// Lots that reached the order, as told.
    reached: i64,
}

impl Place {
    /// Lots that reach the order now and were not told before.
    fn take_reached(&mut self) -> i64 {
        let beyond = self.untold.saturating_sub(self.ahead).max(0);
        let reached = self.behind.saturating_add(beyond);
        let more = (reached - self.reached).max(0);
        self.reached += more;
        more
    }
}

/// Lots that left the venue's queue at a price, below 0 where lots came.
#[derive(Clone, Copy, Debug)]
struct Loss {
    side: Side,
    px_ticks: i64,
    /// Place of the order that lost them.
    ticket: u64,
    /// Lots that left, executed or not.
    lots: i64,
    /// Those of them that were executed.
    executed: i64,
}

impl Loss {
    fn none(order: &Order, ticket: u64) -> Self {
        Self {
            side: order.side,
            px_ticks: order.px_ticks,
            ticket,
            lots: 0,
            executed: 0,
        }
    }
}

/// Lots of a resting order that were executed before the row about it.
pub(super) fn executed(order: &Order, row: &Event) -> i64 {
    let same_level = (row.side, row.px_ticks) == (order.side as u8, order.px_ticks);
    let left = row.qty_lots.max(0);
    match EventKind::from_u8(row.kind) {
        // What was left at the end was cancelled.
        Some(EventKind::OrderDelete) => (order.qty_lots - left).max(0),
        Some(EventKind::OrderChange) if same_level => (order.qty_lots - left).max(0),
        _ => 0,
    }
}

/// Our resting orders of one instrument among the venue's single orders.
#[derive(Debug)]
pub struct L3Queue {
    book: OrderBook,
    bids: Places,
    asks: Places,
}

impl Default for L3Queue {
    fn default() -> Self {
        Self {
            book: OrderBook::without_changes(),
            bids: Places::default(),
            asks: Places::default(),
        }
    }
}

impl L3Queue {
    /// The venue's orders.
    pub fn book(&self) -> &OrderBook {
        &self.book
    }

    /// An order of ours joins the queue at a price, behind all that rest there.
    pub fn join(&mut self, id: u64, side: Side, px_ticks: i64) {
        let place = Place {
            id,
            ticket: self.book.draw_ticket(),
            ahead: self.book.qty_at(side, px_ticks),
            behind: 0,
            untold: 0,
            reached: 0,
        };
        self.places(side).insert(Ladder::key(side, px_ticks), place);
    }

    /// An order of ours leaves the queue at a price; whether it stood there.
    pub fn leave(&mut self, id: u64, side: Side, px_ticks: i64) -> bool {
        self.places(side).remove(Ladder::key(side, px_ticks), id)
    }

    /// The venue's lots ahead of an order of ours.
    pub fn ahead(&self, id: u64, side: Side, px_ticks: i64) -> Option<i64> {
        let places = if side == Side::Ask {
            &self.asks
        } else {
            &self.bids
        };
        let key = Ladder::key(side, px_ticks);
        let place = places.list[places.at(key)].iter();
        place
            .map(|(_, place)| place)
            .find(|place| place.id == id)
            .map(|place| place.ahead)
    }

    /// A row of the venue's single orders; adds (id, lots) of our orders that it reaches to
    /// `reached`, in the order of their arrival.
    #[inline]
    pub fn on_order(&mut self, row: &Event, reached: &mut Vec<(u64, i64)>) {
        if self.bids.list.is_empty() && self.asks.list.is_empty() {
            self.book.apply(row);
        } else {
            self.follow(row, reached);
        }
    }

    /// A trade of `qty_lots` at a price against the resting orders of `side`; see [`Self::on_order`].
    #[inline]
    pub fn on_trade(
        &mut self,
        side: Side,
        px_ticks: i64,
        qty_lots: i64,
        reached: &mut Vec<(u64, i64)>,
    ) {
        self.places(side)
            .each(Ladder::key(side, px_ticks), reached, |place| {
                place.untold = place.untold.saturating_add(qty_lots);
            });
    }

    fn follow(&mut self, row: &Event, reached: &mut Vec<(u64, i64)>) {
        match EventKind::from_u8(row.kind) {
            Some(EventKind::OrderClear) => {
                self.book.apply(row);
                self.bids.lose_places();
                self.asks.lose_places();
            }
            Some(EventKind::OrderUnnamed) => {
                let side = Side::from_u8(row.side).unwrap_or(Side::None);
                let before = self.book.unnamed(side, row.px_ticks);
                self.book.apply(row);
                let gone = before - self.book.unnamed(side, row.px_ticks);
                // Whether they were executed is not known: taken for it, they explain a trade.
                let loss = Loss {
                    side,
                    px_ticks: row.px_ticks,
                    ticket: 0,
                    lots: gone,
                    executed: gone.max(0),
                };
                self.lose(loss, reached);
            }
            Some(EventKind::OrderRestOver) => {
                self.follow_order(row, reached);
                if let Some((order, _)) = self.resting(row.seq) {
                    self.sweep(order);
                }
            }
            _ => self.follow_order(row, reached),
        }
    }

    /// Applies a row and finds what the order that it names lost by it.
    fn follow_order(&mut self, row: &Event, reached: &mut Vec<(u64, i64)>) {
        let before = self.resting(row.seq);
        self.book.apply(row);
        let after = self.resting(row.seq);
        let stays = before.map(|(_, ticket)| ticket) == after.map(|(_, ticket)| ticket);
        if let Some((order, ticket)) = before {
            let left = if stays { after } else { None };
            let left_lots = left.map_or(0, |(order, _)| order.qty_lots);
            let loss = Loss {
                lots: order.qty_lots - left_lots,
                executed: executed(&order, row),
                ..Loss::none(&order, ticket)
            };
            self.lose(loss, reached);
        }
        if let Some((order, ticket)) = after.filter(|_| !stays) {
            let gain = Loss {
                lots: -order.qty_lots,
                ..Loss::none(&order, ticket)
            };
            self.lose(gain, reached);
        }
    }

    /// What a resting order and its ticket are.
    fn resting(&self, id: u64) -> Option<(Order, u64)> {
        Some((self.book.order(id)?, self.book.ticket(id)?))
    }

    fn lose(&mut self, loss: Loss, reached: &mut Vec<(u64, i64)>) {
        if loss.lots == 0 && loss.executed == 0 {
            return;
        }
        let key = Ladder::key(loss.side, loss.px_ticks);
        self.places(loss.side).each(key, reached, |place| {
            place.untold = place.untold.saturating_sub(loss.executed);
            if loss.ticket < place.ticket {
                place.ahead = place.ahead.saturating_sub(loss.lots).max(0);
            } else {
                place.behind = place.behind.saturating_add(loss.executed);
            }
        });
    }

    /// An order rested over what it crossed: nothing of the other side's is left at its price or
    /// better ones.
    fn sweep(&mut self, order: Order) {
        let other = if order.side == Side::Ask {
            Side::Bid
        } else {
            Side::Ask
        };
        let key = Ladder::key(other, order.px_ticks);
        for (_, place) in self
            .places(other)
            .list
            .iter_mut()
            .take_while(|(own, _)| *own >= key)
        {
            place.untold = place.untold.saturating_sub(place.ahead);
            place.ahead = 0;
        }
    }

    fn places(&mut self, side: Side) -> &mut Places {
        if side == Side::Ask {
            &mut self.asks
        } else {
            &mut self.bids
        }
    }
}

/// Our orders on one side with the keys of their prices (see [`Ladder::key`]), the best first and
/// those of a price in the order of arrival.
#[derive(Debug, Default)]
struct Places {
    list: Vec<(i64, Place)>,
}

impl Places {
    fn insert(&mut self, key: i64, place: Place) {
        let at = self.list.partition_point(|(other, _)| *other >= key);
        self.list.insert(at, (key, place));
    }

    fn remove(&mut self, key: i64, id: u64) -> bool {
        let range = self.at(key);
        let start = range.start;
        let found = self.list[range]
            .iter()
            .position(|(_, place)| place.id == id);
        if let Some(offset) = found {
            self.list.remove(start + offset);
        }
        found.is_some()
    }

    fn at(&self, key: i64) -> std::ops::Range<usize> {
        let start = self.list.partition_point(|(other, _)| *other > key);
        let length = self.list[start..].partition_point(|(other, _)| *other == key);
        start..start + length
    }

    /// Changes every place at a price and tells which orders are reached by that.
    #[inline]
    fn each(&mut self, key: i64, reached: &mut Vec<(u64, i64)>, change: impl Fn(&mut Place)) {
        let range = self.at(key);
        for (_, place) in &mut self.list[range] {
            change(place);
            let lots = place.take_reached();
            if lots > 0 {
                reached.push((place.id, lots));
            }
        }
    }

    /// The venue's book begins anew: all that is in it, and all that comes, counts as ahead.
    fn lose_places(&mut self) {
        for (_, place) in &mut self.list {
            place.ticket = u64::MAX;
            place.ahead = 0;
        }
    }
}
