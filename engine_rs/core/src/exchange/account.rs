//! What concerns the account: whether it can pay for an order that enters the book, and the closing
//! of its position by the venue.

use super::models::opposite_best;
use super::{Live, Place, SimExchange};
use crate::event::Side;
use crate::margin::{Demand, Room, Terms};
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
        if let Some(terms) = &self.rules.terms {
            let request = &live.request;
            let best = opposite_best(&self.book, request.side);
            terms.add(demand, request, best, live.leaves_lots());
        }
    }

    /// What a liquidation of this side gets in the book, as (price in ticks, lots): what the fill model
    /// leaves of the displayed levels up to a limit price. Nothing while the book is suspect.
    pub fn closing_fills(
        &mut self,
        side: Side,
        limit_px: Option<i64>,
        lots: i64,
    ) -> Vec<(i64, i64)> {
        let mut fills = Vec::new();
        if self.book.is_trusted() {
            self.fill_model
                .take_displayed(&self.book, side, limit_px, lots, &mut fills);
        }
        fills
    }

    /// How many of its lots an entering order can pay for. A market order is asked again at the prices
    /// that it would get: no limit said beforehand what it takes.
    pub(super) fn payable_lots(&self, id: u64, reach_px: Option<i64>) -> i64 {
        let live = &self.live[&id];
        let (request, lots) = (&live.request, live.leaves_lots());
        let (Some(terms), Some(room)) = (&self.rules.terms, &self.room) else {
            return lots;
        };
        if request.kind == OrderKind::Limit || !extends(request) {
            return lots;
        }
        let mut fills = Vec::new();
        self.fill_model
            .offers(&self.book, request.side, reach_px, lots, &mut fills);
        let before = self.demand(Some(id));
        let (mut so_far, mut paid) = (before, 0);
        for (px_ticks, offered) in fills {
            let with = |lots: i64| {
                let mut after = so_far;
                terms.add_at(&mut after, request.side, px_ticks, lots);
                after
            };
            let is_covered = |lots: &i64| terms.covers(room, &before, &with(*lots));
            if !is_covered(&offered) {
                return paid + largest(offered, is_covered);
            }
            (so_far, paid) = (with(offered), paid + offered);
        }
        // What nobody offers costs nothing.
        lots
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
        if terms.covers(room, &before, &after) {
            Ok(())
        } else {
            Err(self.unpaid())
        }
    }

    /// Why an order that cannot be paid for ends.
    pub(super) fn unpaid(&self) -> RejectCode {
        if self.terms().is_some_and(Terms::is_spot) {
            RejectCode::BalanceInsufficient
        } else {
            RejectCode::MarginInsufficient
        }
    }

    /// A fill changes what the next order of the same event can use.
    pub(super) fn spend(&mut self, px_ticks: i64, qty_lots: i64) {
        if let (Some(terms), Some(room)) = (&self.rules.terms, &mut self.room) {
            room.apply_fill(terms, px_ticks, qty_lots);
        }
    }
}

/// The largest number below `lots`, which is not one, of which something holds; it does of 0, and of
/// all that are smaller than one of which it does.
fn largest(lots: i64, holds: impl Fn(&i64) -> bool) -> i64 {
    let (mut low, mut high) = (0, lots);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if holds(&middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// Whether an order may make the position larger.
fn extends(request: &NewOrder) -> bool {
    !request.reduce_only && request.link.is_none_or(|link| link.role != Role::Exit)
}
