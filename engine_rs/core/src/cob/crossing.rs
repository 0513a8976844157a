//! Members whose books cross: one bids at or above what another asks.

use super::cells::Units;
use crate::book::Book;
use crate::event::Side;

/// Two members of which one asks no more than the other bids.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crossing {
    /// Index of the member to buy from, which asks less.
    pub buy: usize,
    /// Index of the member to sell to, which bids more.
    pub sell: usize,
    /// Best ask of the first in quote units.
    pub ask_px: f64,
    /// Best bid of the second in quote units.
    pub bid_px: f64,
    /// Base units that could be bought and sold at once without a loss, before fees.
    pub qty: f64,
    /// What that would bring in quote units, before fees.
    pub profit: f64,
}

impl Crossing {
    /// Whether bid and ask are equal, so that nothing is to be earned.
    #[allow(clippy::float_cmp, reason = "equal prices are equal numbers")]
    pub fn is_locked(&self) -> bool {
        self.bid_px == self.ask_px
    }
}

/// What can be bought from one book and sold to the other, level by level; `None` where they do
/// not meet.
pub fn crossing(buy: (usize, &Book, &Units), sell: (usize, &Book, &Units)) -> Option<Crossing> {
    let (buy_at, asks, buy_units) = buy;
    let (sell_at, bids, sell_units) = sell;
    let ask_px = buy_units.px(asks.best_ask_px()?);
    let bid_px = sell_units.px(bids.best_bid_px()?);
    if ask_px > bid_px {
        return None;
    }
    let level = |units: &Units, (px, lots): (i64, i64)| (px, units.base_qty(px, lots));
    let mut asks = asks.levels(Side::Ask).map(|found| level(buy_units, found));
    let mut bids = bids.levels(Side::Bid).map(|found| level(sell_units, found));
    let (mut ask, mut bid) = (asks.next(), bids.next());
    let (mut qty, mut profit) = (0.0, 0.0);
    while let (Some((ask_px, ask_left)), Some((bid_px, bid_left))) = (&mut ask, &mut bid) {
        let edge = sell_units.px_above(*bid_px, buy_units, *ask_px);
        if edge < 0.0 {
            break;
        }
        let taken = ask_left.min(*bid_left);
        qty += taken;
        profit += taken * edge;
        *ask_left -= taken;
        *bid_left -= taken;
        let (ask_gone, bid_gone) = (*ask_left <= 0.0, *bid_left <= 0.0);
        if ask_gone {
            ask = asks.next();
        }
        if bid_gone {
            bid = bids.next();
        }
    }
    Some(Crossing {
        buy: buy_at,
        sell: sell_at,
        ask_px,
        bid_px,
        qty,
        profit,
    })
}
