//! An order book made of single orders (L3): add, change and delete by order id, a price-time queue
//! at each level, sizes by level.
//!
//! Invariants: the best bid among resting orders is below the best ask; a level holds at least one
//! order or an unnamed size; sizes of orders are above 0. A message costs O(1) near the touch and
//! O(log n) in levels far from it, and allocates nothing while the book keeps its size;
//! [`OrderBook::ahead`] and [`OrderBook::queue`] cost the orders that they walk over.
//!
//! Feeds of single orders announce a taker like any other order, before the fills that use it up.
//! Such an order crosses the book when it arrives: it is *in flight* and belongs to no level until
//! [`OrderBook::rest`] finds that it crosses no more.
//!
//! Orders older than a recording have no known id. What is known of them, the size at a price, is the
//! level's *unnamed* size; they came first, so it stands at the front of the queue.
//!
//! Feeds lose and reorder messages. Nothing that arrives can break the book: what cannot be is left
//! out and counted in [`Counts`]. Known limit: an id is remembered as deleted for [`REMEMBERED`]
//! deletions, so that a message which arrives later than that counts as one of an unknown order.

mod faults;
mod ids;
mod levels;

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use crate::event::{Event, EventKind, Side};
pub use faults::{Counts, Fault};
use ids::{ById, IdHasher, RecentIds};
use levels::{Level, Levels, NONE};

/// How many deleted ids are remembered, to tell late messages from those of unknown orders.
pub const REMEMBERED: usize = 1 << 16;
/// Prices beyond this many ticks are taken for damage, as in [`crate::book`].
const PX_TICKS_MAX: u64 = 1 << 60;

/// An order as the book holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// The venue's id.
    pub id: u64,
    /// Bid or ask.
    pub side: Side,
    /// Price in ticks.
    pub px_ticks: i64,
    /// What is left of it, in lots.
    pub qty_lots: i64,
    /// Whether it belongs to no level yet.
    pub is_in_flight: bool,
}

/// A level: price in ticks, total size in lots (at most `i64::MAX`), orders with an id.
pub type LevelSize = (i64, i64, u32);

#[derive(Clone, Copy, Debug)]
struct Node {
    order: Order,
    ticket: u64,
    before: u32,
    behind: u32,
}

/// An order book made of single orders.
#[derive(Clone, Debug)]
pub struct OrderBook {
    nodes: Vec<Node>,
    free: Vec<u32>,
    index: ById<u32>,
    bids: Levels,
    asks: Levels,
    /// Ids in flight, in the order of arrival.
    flights: Vec<u64>,
    deleted: RecentIds,
    /// Sizes of levels before the first change since [`Self::take_changes`], by (is ask, price).
    touched: HashMap<(bool, i64), i64, BuildHasherDefault<IdHasher>>,
    tells_changes: bool,
    ticket: u64,
    counts: Counts,
}

impl Default for OrderBook {
    fn default() -> Self {
        Self::new()
    }
}

impl OrderBook {
    /// An empty book.
    pub fn new() -> Self {
        Self {
            nodes: Vec::new(),
            free: Vec::new(),
            index: ById::default(),
            bids: Levels::new(Side::Bid),
            asks: Levels::new(Side::Ask),
            flights: Vec::new(),
            deleted: RecentIds::default(),
            touched: HashMap::default(),
            tells_changes: true,
            ticket: 0,
            counts: Counts::default(),
        }
    }

    /// An empty book for those who never ask for changes: [`Self::take_changes`] tells none.
    pub fn without_changes() -> Self {
        Self {
            tells_changes: false,
            ..Self::new()
        }
    }

    /// Takes a row of a stream of single orders; rows of other kinds change nothing.
    pub fn apply(&mut self, row: &Event) -> Option<Fault> {
        let side = Side::from_u8(row.side).unwrap_or(Side::None);
        let (id, px, qty) = (row.seq, row.px_ticks, row.qty_lots);
        match EventKind::from_u8(row.kind) {
            Some(EventKind::OrderClear) => self.clear(),
            Some(EventKind::OrderAdd) => return self.add(id, side, px, qty),
            Some(EventKind::OrderChange | EventKind::OrderAmend) => {
                return self.change(id, side, px, qty);
            }
            Some(EventKind::OrderDelete) => return self.delete(id).1,
            Some(EventKind::OrderUnnamed) => return self.set_unnamed(side, px, qty),
            Some(EventKind::OrderRest) => _ = self.rest(id),
            Some(EventKind::OrderRestOver) => _ = self.rest_over(id),
            _ => {}
        }
        None
    }

    /// Empties the book, which also forgets what was deleted; counts and tickets go on.
    pub fn clear(&mut self) {
        *self = Self {
            tells_changes: self.tells_changes,
            ticket: self.ticket,
            counts: self.counts,
            ..Self::new()
        };
    }

    /// A new order goes to the back of its level's queue, or is in flight if it crosses.
    pub fn add(&mut self, id: u64, side: Side, px_ticks: i64, qty_lots: i64) -> Option<Fault> {
        if !is_possible(side, px_ticks) || qty_lots <= 0 {
            return Some(self.fault(Fault::Impossible));
        }
        if self.deleted.contains(id) {
            return Some(self.fault(Fault::AddedAfterDelete));
        }
        if self.index.contains_key(&id) {
            self.set(id, side, px_ticks, qty_lots);
            return Some(self.fault(Fault::AddedTwice));
        }
        self.counts.added += 1;
        self.place(id, side, px_ticks, qty_lots);
        None
    }

    /// An order's new state. It keeps its place in the queue where the price stays and the size does
    /// not grow; else it goes to the back. One in flight stays so until [`Self::rest`].
    ///
    /// An unknown order was there before the book knew of it: it comes to the front. A size of 0 is a
    /// deletion.
    pub fn change(&mut self, id: u64, side: Side, px_ticks: i64, qty_lots: i64) -> Option<Fault> {
        if !is_possible(side, px_ticks) || qty_lots < 0 {
            return Some(self.fault(Fault::Impossible));
        }
        if qty_lots == 0 {
            return self.delete(id).1;
        }
        if self.deleted.contains(id) {
            return Some(self.fault(Fault::ChangedAfterDelete));
        }
        if !self.index.contains_key(&id) {
            let at = self.place(id, side, px_ticks, qty_lots);
            if !self.nodes[at as usize].order.is_in_flight {
                self.unlink(at);
                self.link(at, End::Front);
            }
            return Some(self.fault(Fault::ChangedUnknown));
        }
        self.counts.changed += 1;
        self.set(id, side, px_ticks, qty_lots);
        None
    }

    /// Removes an order and tells what was left of it.
    pub fn delete(&mut self, id: u64) -> (Option<Order>, Option<Fault>) {
        if let Some(order) = self.remove(id) {
            self.deleted.insert(id, REMEMBERED);
            self.counts.deleted += 1;
            return (Some(order), None);
        }
        if self.deleted.contains(id) {
            return (None, Some(self.fault(Fault::DeletedTwice)));
        }
        self.deleted.insert(id, REMEMBERED);
        (None, Some(self.fault(Fault::DeletedUnknown)))
    }

    /// Sets the size at a price that belongs to orders without a known id. What crosses the book or
    /// cannot be is left out.
    pub fn set_unnamed(&mut self, side: Side, px_ticks: i64, qty_lots: i64) -> Option<Fault> {
        if !is_possible(side, px_ticks) || qty_lots < 0 {
            return Some(self.fault(Fault::Impossible));
        }
        if qty_lots > 0 && self.crosses(side, px_ticks) {
            return Some(self.fault(Fault::Impossible));
        }
        if qty_lots == 0 && self.unnamed(side, px_ticks) == 0 {
            return None;
        }
        self.touch(side, px_ticks);
        self.side_mut(side)
            .change(px_ticks, |level| level.unnamed = qty_lots);
        None
    }

    /// The size at a price that belongs to orders without a known id.
    pub fn unnamed(&self, side: Side, px_ticks: i64) -> i64 {
        self.level(side, px_ticks).map_or(0, |level| level.unnamed)
    }

    /// Lets an order in flight rest, at the back of its level's queue, if it crosses no more; tells
    /// whether it does rest now.
    pub fn rest(&mut self, id: u64) -> bool {
        let Some(&at) = self.index.get(&id) else {
            return false;
        };
        let order = self.nodes[at as usize].order;
        if order.is_in_flight && !self.crosses(order.side, order.px_ticks) {
            self.flights.retain(|&other| other != id);
            self.nodes[at as usize].order.is_in_flight = false;
            self.link(at, End::Back);
        }
        !self.nodes[at as usize].order.is_in_flight
    }

    /// Lets an order in flight rest at the cost of what it crosses: those are remains, whose
    /// deletions were lost. Their ids count as deleted; unnamed sizes that are crossed go as well.
    pub fn rest_over(&mut self, id: u64) -> Vec<Order> {
        let Some(order) = self.order(id).filter(|order| order.is_in_flight) else {
            return Vec::new();
        };
        let mut evicted = Vec::new();
        while self.crosses(order.side, order.px_ticks) {
            let other = opposite(order.side);
            let Some((px_ticks, level)) = self.best_level(other) else {
                break;
            };
            if level.unnamed > 0 {
                self.set_unnamed(other, px_ticks, 0);
                continue;
            }
            let id = self.nodes[level.front as usize].order.id;
            evicted.extend(self.remove(id));
            self.deleted.insert(id, REMEMBERED);
            self.counts.evicted += 1;
        }
        self.rest(id);
        evicted
    }

    /// Ids of the orders in flight, in the order of arrival.
    pub fn in_flight(&self) -> &[u64] {
        &self.flights
    }

    /// The order with this id.
    pub fn order(&self, id: u64) -> Option<Order> {
        let at = *self.index.get(&id)?;
        Some(self.nodes[at as usize].order)
    }

    /// How many orders with an id there are, those in flight included.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is no order with an id.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Whether a price would cross the best one on the other side.
    pub fn crosses(&self, side: Side, px_ticks: i64) -> bool {
        self.best_level(opposite(side))
            .is_some_and(|(best, _)| match side {
                Side::Ask => px_ticks <= best,
                _ => px_ticks >= best,
            })
    }

    /// The best level of a side.
    pub fn best(&self, side: Side) -> Option<LevelSize> {
        self.best_level(side)
            .map(|(px, level)| (px, level.size(), level.count))
    }

    /// Levels of a side from the best to the worst.
    pub fn levels(&self, side: Side) -> impl Iterator<Item = LevelSize> + '_ {
        self.side(side)
            .iter()
            .map(|(px, level)| (px, level.size(), level.count))
    }

    /// Total size in lots at a price, 0 where there is no level.
    pub fn qty_at(&self, side: Side, px_ticks: i64) -> i64 {
        self.level(side, px_ticks).map_or(0, Level::size)
    }

    /// The orders at a price from the front of the queue to its back; unnamed size stands before.
    pub fn queue(&self, side: Side, px_ticks: i64) -> impl Iterator<Item = Order> + '_ {
        let mut next = self.level(side, px_ticks).map_or(NONE, |level| level.front);
        std::iter::from_fn(move || {
            let node = self.nodes.get(next as usize)?;
            next = node.behind;
            Some(node.order)
        })
    }

    /// The size in lots that stands before a resting order in its queue.
    pub fn ahead(&self, id: u64) -> Option<i64> {
        let mut at = *self.index.get(&id)?;
        let order = self.nodes[at as usize].order;
        if order.is_in_flight {
            return None;
        }
        let mut ahead = self.unnamed(order.side, order.px_ticks);
        while self.nodes[at as usize].before != NONE {
            at = self.nodes[at as usize].before;
            ahead = ahead.saturating_add(self.nodes[at as usize].order.qty_lots);
        }
        Some(ahead)
    }

    /// The levels whose size is not what it was at the last call, with their new sizes: bids before
    /// asks, each by ascending price.
    pub fn take_changes(&mut self) -> Vec<(Side, i64, i64)> {
        let mut touched: Vec<_> = self.touched.drain().collect();
        touched.sort_unstable();
        touched
            .into_iter()
            .filter_map(|((is_ask, px), before)| {
                let side = if is_ask { Side::Ask } else { Side::Bid };
                let now = self.qty_at(side, px);
                (now != before).then_some((side, px, now))
            })
            .collect()
    }

    /// The number of a place behind every order that rests now and before all that come.
    pub fn draw_ticket(&mut self) -> u64 {
        self.ticket += 1;
        self.ticket
    }

    /// The number of a resting order's place: of two orders at a price, the one of the lower number
    /// is ahead. Orders that were there before the book knew of them have 0.
    pub fn ticket(&self, id: u64) -> Option<u64> {
        let node = self.nodes[*self.index.get(&id)? as usize];
        (!node.order.is_in_flight).then_some(node.ticket)
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn fault(&mut self, fault: Fault) -> Fault {
        self.counts.faults[fault as usize] += 1;
        fault
    }

    /// A new node, at the back of its queue or in flight.
    fn place(&mut self, id: u64, side: Side, px_ticks: i64, qty_lots: i64) -> u32 {
        let node = Node {
            order: Order {
                id,
                side,
                px_ticks,
                qty_lots,
                is_in_flight: false,
            },
            ticket: 0,
            before: NONE,
            behind: NONE,
        };
        let at = if let Some(at) = self.free.pop() {
            self.nodes[at as usize] = node;
            at
        } else {
            self.nodes.push(node);
            u32::try_from(self.nodes.len() - 1).expect("fewer than 2^32 orders")
        };
        self.index.insert(id, at);
        if self.crosses(side, px_ticks) {
            self.counts.crossing += 1;
            self.nodes[at as usize].order.is_in_flight = true;
            self.flights.push(id);
        } else {
            self.link(at, End::Back);
        }
        at
    }

    /// The new state of an order that the book has.
    fn set(&mut self, id: u64, side: Side, px_ticks: i64, qty_lots: i64) {
        let at = self.index[&id];
        let order = self.nodes[at as usize].order;
        if order.is_in_flight {
            self.nodes[at as usize].order = Order {
                side,
                px_ticks,
                qty_lots,
                ..order
            };
        } else if side == order.side && px_ticks == order.px_ticks && qty_lots <= order.qty_lots {
            self.touch(side, px_ticks);
            self.nodes[at as usize].order.qty_lots = qty_lots;
            let less = i128::from(order.qty_lots) - i128::from(qty_lots);
            self.side_mut(side)
                .change(px_ticks, |level| level.named -= less);
        } else {
            self.remove(id);
            self.place(id, side, px_ticks, qty_lots);
        }
    }

    /// Takes an order out, from wherever it is.
    fn remove(&mut self, id: u64) -> Option<Order> {
        let at = self.index.remove(&id)?;
        let order = self.nodes[at as usize].order;
        if order.is_in_flight {
            self.flights.retain(|&other| other != id);
        } else {
            self.unlink(at);
        }
        self.free.push(at);
        Some(order)
    }

    fn link(&mut self, at: u32, end: End) {
        let order = self.nodes[at as usize].order;
        self.touch(order.side, order.px_ticks);
        let (before, behind) = self.side_mut(order.side).change(order.px_ticks, |level| {
            level.named += i128::from(order.qty_lots);
            level.count += 1;
            let (before, behind) = match end {
                End::Front => (NONE, std::mem::replace(&mut level.front, at)),
                End::Back => (std::mem::replace(&mut level.back, at), NONE),
            };
            if before == NONE {
                level.front = at;
            }
            if behind == NONE {
                level.back = at;
            }
            (before, behind)
        });
        let ticket = match end {
            End::Front => 0,
            End::Back => self.draw_ticket(),
        };
        let node = &mut self.nodes[at as usize];
        (node.ticket, node.before, node.behind) = (ticket, before, behind);
        self.join(before, at);
        self.join(at, behind);
    }

    fn unlink(&mut self, at: u32) {
        let Node {
            order,
            before,
            behind,
            ..
        } = self.nodes[at as usize];
        self.touch(order.side, order.px_ticks);
        self.side_mut(order.side).change(order.px_ticks, |level| {
            level.named -= i128::from(order.qty_lots);
            level.count -= 1;
            if before == NONE {
                level.front = behind;
            }
            if behind == NONE {
                level.back = before;
            }
        });
        self.join(before, behind);
    }

    /// Makes two nodes neighbours; either may be [`NONE`].
    fn join(&mut self, before: u32, behind: u32) {
        if let Some(node) = self.nodes.get_mut(before as usize) {
            node.behind = behind;
        }
        if let Some(node) = self.nodes.get_mut(behind as usize) {
            node.before = before;
        }
    }

    fn touch(&mut self, side: Side, px_ticks: i64) {
        if !self.tells_changes {
            return;
        }
        let qty_lots = self.qty_at(side, px_ticks);
        let key = (side == Side::Ask, px_ticks);
        self.touched.entry(key).or_insert(qty_lots);
    }

    fn best_level(&self, side: Side) -> Option<(i64, &Level)> {
        self.side(side).best()
    }

    fn level(&self, side: Side, px_ticks: i64) -> Option<&Level> {
        self.side(side).get(px_ticks)
    }

    fn side(&self, side: Side) -> &Levels {
        match side {
            Side::Ask => &self.asks,
            _ => &self.bids,
        }
    }

    fn side_mut(&mut self, side: Side) -> &mut Levels {
        match side {
            Side::Ask => &mut self.asks,
            _ => &mut self.bids,
        }
    }
}

#[derive(Clone, Copy)]
enum End {
    Front,
    Back,
}

fn opposite(side: Side) -> Side {
    match side {
        Side::Ask => Side::Bid,
        _ => Side::Ask,
    }
}

fn is_possible(side: Side, px_ticks: i64) -> bool {
    side != Side::None && px_ticks.unsigned_abs() <= PX_TICKS_MAX
}
