//! A price-time matching engine for one instrument.
//!
//! Invariants: prices are positive ticks and quantities positive lots; the best bid is below the
//! best ask after every call; an aggressor trades at the maker's price, best price first and, within
//! a price, oldest order first; lots are conserved: submitted = resting + filled + cancelled, where a
//! trade of n lots fills n of the aggressor and n of the maker.
//!
//! Known limits: no owners, hence no self-trade prevention; an order's size cannot be amended in
//! place (cancel and submit again, which loses its place in the queue).

use crate::error::{Error, Result};
use crate::event::Side;
use crate::ladder::Ladder;

/// Highest price; readers of the published book take anything above for damage.
pub const PX_TICKS_MAX: i64 = 1 << 60;
/// Largest order, so that sums over all orders of a book stay far from the end of an `i64`.
pub const QTY_LOTS_MAX: i64 = 1 << 40;
/// End of a linked list of orders.
const NONE: u32 = u32::MAX;

/// An order that rests or has rested; ids are never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OrderId {
    /// How many orders had this slot before: ids of orders that are gone stay invalid.
    generation: u32,
    slot: u32,
}

impl OrderId {
    /// The id as one number, as readers of single orders see it.
    pub fn number(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }
}

/// One match between an aggressor and a resting order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// The resting order.
    pub maker: OrderId,
    /// The resting order's price in ticks.
    pub px_ticks: i64,
    /// Lots exchanged.
    pub qty_lots: i64,
}

/// What rests under an order id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resting {
    /// Bid or ask.
    pub side: Side,
    /// Limit price in ticks.
    pub px_ticks: i64,
    /// Lots still open.
    pub qty_lots: i64,
}

/// Lots that passed through the engine since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Lots of all orders submitted.
    pub submitted: i64,
    /// Lots filled, counted on both sides of each trade.
    pub filled: i64,
    /// Lots cancelled, the unfilled rest of market orders included.
    pub cancelled: i64,
}

#[derive(Clone, Copy, Debug)]
struct Order {
    open: Resting,
    generation: u32,
    /// Neighbours in the price level's queue.
    older: u32,
    newer: u32,
    /// Where `MatchingEngine::live` lists this order.
    live_index: u32,
}

/// The orders of one price level, oldest first.
#[derive(Clone, Copy, Debug)]
struct Queue {
    qty_lots: i64,
    oldest: u32,
    newest: u32,
}

const EMPTY_QUEUE: Queue = Queue {
    qty_lots: 0,
    oldest: NONE,
    newest: NONE,
};

/// One side: the ladder finds a price's queue and the best price.
#[derive(Clone, Debug, Default)]
struct QueuesBySide {
    /// By price: the number of the queue plus one, as a ladder holds no zeros.
    by_px: Ladder,
    queues: Vec<Queue>,
    free: Vec<usize>,
}

impl QueuesBySide {
    fn number(&self, key: i64) -> Option<usize> {
        usize::try_from(self.by_px.qty(key) - 1).ok()
    }

    fn number_or_new(&mut self, key: i64) -> usize {
        if let Some(number) = self.number(key) {
            return number;
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.queues.push(EMPTY_QUEUE);
            self.queues.len() - 1
        });
        self.by_px.set(key, number.cast_signed() as i64 + 1);
        number
    }

    fn remove(&mut self, key: i64) {
        let old = self.by_px.set(key, 0);
        let number = usize::try_from(old - 1).expect("only levels that exist are removed");
        self.queues[number] = EMPTY_QUEUE;
        self.free.push(number);
    }

    fn qty(&self, key: i64) -> i64 {
        self.number(key).map_or(0, |n| self.queues[n].qty_lots)
    }
}

/// The book of one instrument, order by order.
#[derive(Clone, Debug, Default)]
pub struct MatchingEngine {
    bids: QueuesBySide,
    asks: QueuesBySide,
    orders: Vec<Order>,
    free: Vec<u32>,
    /// Slots of the orders that rest, in no order that matters; any of them is drawn in O(1).
    live: Vec<u32>,
    totals: Totals,
}

impl MatchingEngine {
    /// A limit order: trades what it can up to its price, appending to `fills`; the rest stays in
    /// the book under the id returned (`None`: nothing was left).
    ///
    /// # Errors
    /// A price outside 1 to [`PX_TICKS_MAX`], or a quantity outside 1 to [`QTY_LOTS_MAX`].
    pub fn limit(
        &mut self,
        side: Side,
        px_ticks: i64,
        qty_lots: i64,
        fills: &mut Vec<Fill>,
    ) -> Result<Option<OrderId>> {
        check("px_ticks", px_ticks, PX_TICKS_MAX)?;
        check("qty_lots", qty_lots, QTY_LOTS_MAX)?;
        self.totals.submitted += qty_lots;
        let left = qty_lots - self.match_up_to(side, px_ticks, qty_lots, fills);
        Ok((left > 0).then(|| {
            self.rest(Resting {
                side,
                px_ticks,
                qty_lots: left,
            })
        }))
    }

    /// A market order, or an immediate-or-cancel limit order where `px_worst` is given: trades what
    /// it can, appending to `fills`, and drops the rest. Returns the lots traded.
    ///
    /// # Errors
    /// A price outside 1 to [`PX_TICKS_MAX`], or a quantity outside 1 to [`QTY_LOTS_MAX`].
    pub fn market(
        &mut self,
        side: Side,
        qty_lots: i64,
        px_worst: Option<i64>,
        fills: &mut Vec<Fill>,
    ) -> Result<i64> {
        check("qty_lots", qty_lots, QTY_LOTS_MAX)?;
        let bound = match (px_worst, side) {
            (Some(px), _) => {
                check("px_worst", px, PX_TICKS_MAX)?;
                px
            }
            (None, Side::Bid) => PX_TICKS_MAX,
            (None, _) => 1,
        };
        self.totals.submitted += qty_lots;
        let taken = self.match_up_to(side, bound, qty_lots, fills);
        self.totals.cancelled += qty_lots - taken;
        Ok(taken)
    }

    /// Takes an order out of the book and tells what was open; `None` where it no longer rests.
    pub fn cancel(&mut self, id: OrderId) -> Option<Resting> {
        let open = self.resting(id)?;
        self.totals.cancelled += open.qty_lots;
        self.unlink(id.slot);
        Some(open)
    }

    /// What is open of an order, if it still rests.
    pub fn resting(&self, id: OrderId) -> Option<Resting> {
        let order = self.orders.get(id.slot as usize)?;
        (order.generation == id.generation && order.open.qty_lots > 0).then_some(order.open)
    }

    /// Best price in ticks and the lots there, if the side has orders.
    #[inline]
    pub fn best(&self, side: Side) -> Option<(i64, i64)> {
        let queues = self.side(side);
        let key = queues.by_px.best()?;
        Some((Ladder::key(side, key), queues.qty(key)))
    }

    /// Lots resting at a price.
    pub fn qty_at(&self, side: Side, px_ticks: i64) -> i64 {
        self.side(side).qty(Ladder::key(side, px_ticks))
    }

    /// Levels of a side from the best to the worst, as (price in ticks, lots).
    pub fn levels(&self, side: Side) -> impl Iterator<Item = (i64, i64)> + '_ {
        let queues = self.side(side);
        queues
            .by_px
            .iter()
            .map(move |(key, _)| (Ladder::key(side, key), queues.qty(key)))
    }

    /// The orders of a side in the order in which they would trade.
    pub fn queue(&self, side: Side) -> impl Iterator<Item = (OrderId, Resting)> + '_ {
        let queues = self.side(side);
        queues.by_px.iter().flat_map(move |(key, _)| {
            let oldest = queues.number(key).map(|at| queues.queues[at].oldest);
            std::iter::successors(oldest, |&slot| {
                let newer = self.orders[slot as usize].newer;
                (newer != NONE).then_some(newer)
            })
            .map(|slot| (self.id(slot), self.orders[slot as usize].open))
        })
    }

    /// The oldest order at the best price of a side.
    pub fn front(&self, side: Side) -> Option<OrderId> {
        let queues = self.side(side);
        let number = queues.number(queues.by_px.best()?)?;
        Some(self.id(queues.queues[number].oldest))
    }

    /// How many orders rest.
    pub fn order_count(&self) -> usize {
        self.live.len()
    }

    /// The resting order with this index in 0..`order_count()`. Any change of the book may shuffle
    /// the indices; they serve to draw an order.
    pub fn order_at(&self, index: usize) -> OrderId {
        self.id(self.live[index])
    }

    /// Lots that passed through so far.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    fn side(&self, side: Side) -> &QueuesBySide {
        if side == Side::Ask {
            &self.asks
        } else {
            &self.bids
        }
    }

    fn side_mut(&mut self, side: Side) -> &mut QueuesBySide {
        if side == Side::Ask {
            &mut self.asks
        } else {
            &mut self.bids
        }
    }

    fn id(&self, slot: u32) -> OrderId {
        OrderId {
            generation: self.orders[slot as usize].generation,
            slot,
        }
    }

    /// Trades against the other side while its best price is no worse than `px_bound`.
    fn match_up_to(&mut self, side: Side, px_bound: i64, qty: i64, fills: &mut Vec<Fill>) -> i64 {
        let maker_side = opposite(side);
        let key_bound = Ladder::key(maker_side, px_bound);
        let mut taken = 0;
        while taken < qty {
            let queues = self.side_mut(maker_side);
            let Some(key) = queues.by_px.best().filter(|&key| key >= key_bound) else {
                break;
            };
            let number = queues.number(key).expect("the best level has a queue");
            let slot = queues.queues[number].oldest;
            let open = self.orders[slot as usize].open;
            let here = open.qty_lots.min(qty - taken);
            fills.push(Fill {
                maker: self.id(slot),
                px_ticks: open.px_ticks,
                qty_lots: here,
            });
            taken += here;
            if here == open.qty_lots {
                self.unlink(slot);
            } else {
                self.orders[slot as usize].open.qty_lots -= here;
                self.side_mut(maker_side).queues[number].qty_lots -= here;
            }
        }
        self.totals.filled += 2 * taken;
        taken
    }

    /// Puts an order at the end of its price's queue.
    fn rest(&mut self, open: Resting) -> OrderId {
        let slot = self.free.pop().unwrap_or_else(|| {
            let slot = u32::try_from(self.orders.len()).expect("fewer than 2^32 orders rest");
            self.orders.push(Order {
                open,
                generation: 0,
                older: NONE,
                newer: NONE,
                live_index: NONE,
            });
            slot
        });
        let queues = self.side_mut(open.side);
        let number = queues.number_or_new(Ladder::key(open.side, open.px_ticks));
        let queue = &mut queues.queues[number];
        let older = std::mem::replace(&mut queue.newest, slot);
        queue.qty_lots += open.qty_lots;
        if older == NONE {
            queue.oldest = slot;
        } else {
            self.orders[older as usize].newer = slot;
        }
        let live_index = u32::try_from(self.live.len()).expect("fewer than 2^32 orders rest");
        self.orders[slot as usize] = Order {
            open,
            generation: self.orders[slot as usize].generation,
            older,
            newer: NONE,
            live_index,
        };
        self.live.push(slot);
        self.id(slot)
    }

    /// Takes an order out of its queue and frees its slot.
    fn unlink(&mut self, slot: u32) {
        let order = self.orders[slot as usize];
        let key = Ladder::key(order.open.side, order.open.px_ticks);
        let queues = self.side_mut(order.open.side);
        let number = queues.number(key).expect("a resting order has a queue");
        let queue = &mut queues.queues[number];
        queue.qty_lots -= order.open.qty_lots;
        if order.older == NONE {
            queue.oldest = order.newer;
        }
        if order.newer == NONE {
            queue.newest = order.older;
        }
        if queue.oldest == NONE {
            queues.remove(key);
        }
        if order.older != NONE {
            self.orders[order.older as usize].newer = order.newer;
        }
        if order.newer != NONE {
            self.orders[order.newer as usize].older = order.older;
        }
        self.free_slot(slot);
    }

    fn free_slot(&mut self, slot: u32) {
        let order = &mut self.orders[slot as usize];
        order.open.qty_lots = 0;
        let index = order.live_index as usize;
        // A slot whose generations are used up is retired, so that no id comes back.
        if let Some(next) = order.generation.checked_add(1) {
            order.generation = next;
            self.free.push(slot);
        }
        self.live.swap_remove(index);
        if let Some(&moved) = self.live.get(index) {
            self.orders[moved as usize].live_index = u32::try_from(index).expect("it was one");
        }
    }
}

/// The side that trades against `side`.
pub fn opposite(side: Side) -> Side {
    if side == Side::Ask {
        Side::Bid
    } else {
        Side::Ask
    }
}

fn check(name: &'static str, value: i64, most: i64) -> Result<()> {
    if (1..=most).contains(&value) {
        return Ok(());
    }
    let expected = format!("a whole number from 1 to {most}");
    Err(Error::invalid(name, expected, value))
}
