//! How much of an order is filled, and at which prices.

use std::collections::BTreeMap;
use std::fmt;

use crate::book::Book;
use crate::event::Side;
use crate::ladder::Ladder;

/// How much of an order is filled, and at which prices. Books are the venue's and trusted.
pub trait FillModel: fmt::Debug + Send + Sync {
    /// What a taking order would get at once, best price first, as (price in ticks, lots), up to its
    /// limit price where it has one.
    fn offers(
        &self,
        book: &Book,
        side: Side,
        limit_px: Option<i64>,
        qty_lots: i64,
        fills: &mut Vec<(i64, i64)>,
    );
    /// As [`Self::offers`], of an order that gets it.
    fn take(
        &mut self,
        book: &Book,
        side: Side,
        limit_px: Option<i64>,
        qty_lots: i64,
        fills: &mut Vec<(i64, i64)>,
    ) {
        self.offers(book, side, limit_px, qty_lots, fills);
    }
    /// What the venue gets in the book for a position that it closes: no more than is displayed.
    fn take_displayed(
        &mut self,
        book: &Book,
        side: Side,
        limit_px: Option<i64>,
        qty_lots: i64,
        fills: &mut Vec<(i64, i64)>,
    ) {
        PartialFill.offers(book, side, limit_px, qty_lots, fills);
    }
    /// Whether a taking order could be filled whole at once.
    fn can_fill(&self, book: &Book, side: Side, limit_px: Option<i64>, qty_lots: i64) -> bool;
    /// Whether what a taking limit order could not get rests in the book; else it is filled at its
    /// limit price.
    fn rests_remainder(&self) -> bool;
    /// The opposite best reached a resting order: lots of its `leaves_lots` that are filled.
    fn on_reached(&mut self, book: &Book, side: Side, px_ticks: i64, leaves_lots: i64) -> i64;
    /// A trade went through a resting order's price (`at_price` is `None`), or reached it at its
    /// price with `at_price` lots beyond the queue ahead: lots of its `leaves_lots` that are filled.
    /// `left_lots` is what of the trade is not given to another of our orders yet.
    fn on_trade(&mut self, at_price: Option<i64>, leaves_lots: i64, left_lots: &mut i64) -> i64;
    /// The feed sent a level anew.
    fn on_level(&mut self, _side: Side, _key: i64) {}
    /// Whether [`Self::on_level`] has to be called.
    fn remembers(&self) -> bool {
        false
    }
}

/// Every fill is of the whole order: a taking one at the opposite best, whatever size stands there.
/// The meaning is that of hftbacktest's `NoPartialFillExchange`.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPartialFill;

impl FillModel for NoPartialFill {
    fn offers(
        &self,
        book: &Book,
        side: Side,
        _limit_px: Option<i64>,
        qty_lots: i64,
        fills: &mut Vec<(i64, i64)>,
    ) {
        fills.extend(opposite_best(book, side).map(|px| (px, qty_lots)));
    }

    fn can_fill(&self, book: &Book, side: Side, limit_px: Option<i64>, _qty_lots: i64) -> bool {
        opposite_best(book, side).is_some_and(|px| is_within(side, px, limit_px))
    }

    fn rests_remainder(&self) -> bool {
        false
    }

    fn on_reached(&mut self, _book: &Book, _side: Side, _px_ticks: i64, leaves_lots: i64) -> i64 {
        leaves_lots
    }

    fn on_trade(&mut self, _at_price: Option<i64>, leaves_lots: i64, _left_lots: &mut i64) -> i64 {
        leaves_lots
    }
}

/// Taking orders walk the displayed levels, which do not remember it; what a limit order cannot get
/// is filled at its limit, because it cannot rest among the opposite side of a replayed book. A
/// resting order gets what a trade at its price has beyond the queue ahead of it, each order for
/// itself, and is filled whole when its price is reached or traded through. The meaning is that of
/// hftbacktest's `PartialFillExchange`.
#[derive(Clone, Copy, Debug, Default)]
pub struct PartialFill;

impl FillModel for PartialFill {
    fn offers(
        &self,
        book: &Book,
        side: Side,
        limit_px: Option<i64>,
        qty_lots: i64,
        fills: &mut Vec<(i64, i64)>,
    ) {
        let mut left = qty_lots;
        for (px, size) in reach(book, side, limit_px) {
            let lots = size.min(left);
            fills.push((px, lots));
            left -= lots;
            if left == 0 {
                return;
            }
        }
    }

    fn can_fill(&self, book: &Book, side: Side, limit_px: Option<i64>, qty_lots: i64) -> bool {
        let mut left = qty_lots;
        reach(book, side, limit_px).any(|(_, size)| {
            left -= size.min(left);
            left == 0
        })
    }

    fn rests_remainder(&self) -> bool {
        false
    }

    fn on_reached(&mut self, _book: &Book, _side: Side, _px_ticks: i64, leaves_lots: i64) -> i64 {
        leaves_lots
    }

    fn on_trade(&mut self, at_price: Option<i64>, leaves_lots: i64, _left_lots: &mut i64) -> i64 {
        at_price.map_or(leaves_lots, |reached| reached.min(leaves_lots))
    }
}

/// Orders take what is displayed and no more, and what they took stays taken until the feed sends
/// the level anew. The remainder of a limit order rests at its limit. A resting order whose price is
/// reached takes from the opposite levels in the same way, and a trade gives all our orders together
/// no more than its own size.
#[derive(Clone, Debug, Default)]
pub struct BookWalk {
    /// Lots taken of a level of the bids and of the asks, by the key of its price.
    taken: [BTreeMap<i64, i64>; 2],
}

impl BookWalk {
    fn taken(&self, side: Side) -> &BTreeMap<i64, i64> {
        &self.taken[usize::from(side == Side::Ask)]
    }

    fn free(&self, side: Side, px_ticks: i64, shown: i64) -> i64 {
        let key = Ladder::key(side, px_ticks);
        let taken = self.taken(side).get(&key).copied().unwrap_or(0);
        (shown - taken).max(0)
    }
}

impl FillModel for BookWalk {
    fn offers(
        &self,
        book: &Book,
        side: Side,
        limit_px: Option<i64>,
        qty_lots: i64,
        fills: &mut Vec<(i64, i64)>,
    ) {
        let opposite = other(side);
        let mut left = qty_lots;
        for (px, size) in reach(book, side, limit_px) {
            let lots = self.free(opposite, px, size).min(left);
            if lots > 0 {
                fills.push((px, lots));
                left -= lots;
            }
            if left == 0 {
                break;
            }
        }
    }

    fn take(
        &mut self,
        book: &Book,
        side: Side,
        limit_px: Option<i64>,
        qty_lots: i64,
        fills: &mut Vec<(i64, i64)>,
    ) {
        let begin = fills.len();
        self.offers(book, side, limit_px, qty_lots, fills);
        let opposite = other(side);
        let taken = &mut self.taken[usize::from(opposite == Side::Ask)];
        for &(px, lots) in &fills[begin..] {
            *taken.entry(Ladder::key(opposite, px)).or_insert(0) += lots;
        }
    }

    fn take_displayed(
        &mut self,
        book: &Book,
        side: Side,
        limit_px: Option<i64>,
        qty_lots: i64,
        fills: &mut Vec<(i64, i64)>,
    ) {
        self.take(book, side, limit_px, qty_lots, fills);
    }

    fn can_fill(&self, book: &Book, side: Side, limit_px: Option<i64>, qty_lots: i64) -> bool {
        let mut left = qty_lots;
        reach(book, side, limit_px).any(|(px, size)| {
            left -= self.free(other(side), px, size).min(left);
            left == 0
        })
    }

    fn rests_remainder(&self) -> bool {
        true
    }

    fn on_reached(&mut self, book: &Book, side: Side, px_ticks: i64, leaves_lots: i64) -> i64 {
        let mut fills = Vec::new();
        self.take(book, side, Some(px_ticks), leaves_lots, &mut fills);
        fills.iter().map(|(_, lots)| lots).sum()
    }

    fn on_trade(&mut self, at_price: Option<i64>, leaves_lots: i64, left_lots: &mut i64) -> i64 {
        let most = at_price.map_or(*left_lots, |reached| reached.min(*left_lots));
        let lots = most.min(leaves_lots).max(0);
        *left_lots -= lots;
        lots
    }

    fn on_level(&mut self, side: Side, key: i64) {
        self.taken[usize::from(side == Side::Ask)].remove(&key);
    }

    fn remembers(&self) -> bool {
        self.taken.iter().any(|side| !side.is_empty())
    }
}

/// The other side of the book.
pub(crate) fn other(side: Side) -> Side {
    if side == Side::Bid {
        Side::Ask
    } else {
        Side::Bid
    }
}

/// Best price of the side that an order of `side` takes from.
pub(crate) fn opposite_best(book: &Book, side: Side) -> Option<i64> {
    if side == Side::Bid {
        book.best_ask_px()
    } else {
        book.best_bid_px()
    }
}

/// Whether an order of `side` with this limit takes at a price of the opposite side.
pub(crate) fn is_within(side: Side, px_ticks: i64, limit_px: Option<i64>) -> bool {
    limit_px.is_none_or(|limit| Ladder::key(side, px_ticks) <= Ladder::key(side, limit))
}

/// The opposite levels that an order of `side` reaches, best first.
fn reach(book: &Book, side: Side, limit_px: Option<i64>) -> impl Iterator<Item = (i64, i64)> + '_ {
    book.levels(other(side))
        .take_while(move |&(px, _)| is_within(side, px, limit_px))
}
