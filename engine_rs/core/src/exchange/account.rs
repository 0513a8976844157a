//! What concerns the account: whether it can pay for an order that enters the book, and the closing
//! of its position by the venue.

use super::models::{is_within, opposite_best, other};
use super::{Live, Place, SimExchange};
use crate::event::Side;
use crate::margin::{Demand, Room, Terms};
use crate::money::Money;
use crate::order::{NewOrder, OrderKind, RejectCode, Role};

impl SimExchange {
    /// What orders take; `None`: nothing.
    pub fn terms(&self) -> Option<&Terms> {
        self.rules.terms.as_ref()
    }

    /// Whether an event of the market may bring an order into the book that must be paid for.
    #[inline]
    pub fn may_enter(&self) -> bool {
        self.rules.terms.is_some() && !self.waiting.is_empty()
    }

    /// Tells what the account has for this instrument, until it is told again.
    pub fn set_room(&mut self, room: Room) {
        self.room = Some(room);
    }

    /// What the orders in the book would take, without one of them.
    pub fn demand(&self, except: Option<u64>) -> Demand {
        let mut demand = Demand::default();
        let counts = |(id, live): &(&u64, &Live)| {
            live.place == Place::Resting && Some(**id) != except && extends(&live.request)
        };
        for (_, live) in self.live.iter().filter(counts) {
            self.add(&mut demand, live);
        }
        demand
    }

    fn add(&self, demand: &mut Demand, live: &Live) {
        let NewOrder { side, px_ticks, .. } = live.request;
        let px = match live.request.kind {
            OrderKind::Limit => Some(px_ticks),
            OrderKind::Market => opposite_best(&self.book, side),
        };
        // Without a price there is nothing to take, and the order ends.
        if let (Some(terms), Some(px)) = (&self.rules.terms, px) {
            terms.add(demand, side, px, live.leaves_lots());
        }
    }

    /// What a liquidation of this side trades in the book, as (price in ticks, lots): the displayed
    /// levels up to a limit price. Nothing while the book is suspect.
    pub fn closing_fills(&self, side: Side, limit_px: Option<i64>, lots: i64) -> Vec<(i64, i64)> {
        let mut fills = Vec::new();
        let mut left = lots;
        let levels = self.book.levels(other(side));
        let in_reach = levels.take_while(|(px, _)| is_within(side, *px, limit_px));
        for (px, size) in in_reach {
            let taken = left.min(size);
            if taken == 0 || !self.book.is_trusted() {
                break;
            }
            fills.push((px, taken));
            left -= taken;
        }
        fills
    }

    pub(super) fn check_credit(&self, id: u64) -> Result<(), RejectCode> {
        let live = self.live[&id];
        let (Some(terms), Some(room)) = (&self.rules.terms, &self.room) else {
            return Ok(());
        };
        if !extends(&live.request) {
            return Ok(());
        }
        let before = self.demand(Some(id));
        let mut after = before;
        self.add(&mut after, &live);
        if terms.covers(room, self.position_lots, &before, &after) {
            Ok(())
        } else if terms.is_spot() {
            Err(RejectCode::BalanceInsufficient)
        } else {
            Err(RejectCode::MarginInsufficient)
        }
    }

    /// A spot fill of an event changes what the next order of the same event can use.
    pub(super) fn spend(&mut self, side: Side, px_ticks: i64, lots: i64) {
        let (Some(terms), Some(room)) = (&self.rules.terms, &mut self.room) else {
            return;
        };
        if terms.is_spot() {
            let value = terms.valuer().value(px_ticks, lots).unwrap_or(Money::MAX);
            if side == Side::Bid {
                room.available -= value;
            } else {
                room.available += value;
            }
        }
    }
}

/// Whether an order may make the position larger.
fn extends(request: &NewOrder) -> bool {
    !request.reduce_only && request.link.is_none_or(|link| link.role != Role::Exit)
}
