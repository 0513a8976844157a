//! What there is for an order: at the venue before it enters, and before it is sent.

use std::collections::BTreeMap;

use super::settle::MarkSource;
use super::{Kernel, Market};
use crate::exchange::models::opposite_best;
use crate::ledger::Quotes;
use crate::margin::{Demand, Mode};
use crate::money::{Money, Px};
use crate::order::{NewOrder, Order, Role, Status};

/// Marks and orders at the venue.
pub(super) struct AtVenue<'a>(pub &'a [Market]);

impl Quotes for AtVenue<'_> {
    fn mark(&self, instrument: usize) -> Option<Px> {
        self.0[instrument].venue_mark
    }

    fn demand(&self, instrument: usize) -> Demand {
        self.0[instrument].exchange.demand(None)
    }
}

/// Marks and orders as the strategy knows them.
struct AsKnown<'a> {
    markets: &'a [Market],
    orders: &'a BTreeMap<u64, Order>,
}

impl AsKnown<'_> {
    /// What the live orders of an instrument take, without one of them.
    fn demand_without(&self, instrument: usize, except: Option<u64>) -> Demand {
        let mut demand = Demand::default();
        for order in self.orders.values() {
            let request = &order.request;
            let is_here = usize::from(request.instrument) == instrument;
            if is_here && Some(order.id) != except && takes(request, order.status) {
                self.markets[instrument].add_demand(&mut demand, request, order.leaves_lots());
            }
        }
        demand
    }
}

impl Quotes for AsKnown<'_> {
    fn mark(&self, instrument: usize) -> Option<Px> {
        let market = &self.markets[instrument];
        let at = |px_x2| Px::from_half_ticks(px_x2, market.instrument.tick);
        let mid = || at(market.known_mid_px_x2()?);
        match market.mark_source {
            MarkSource::Recorded => market.mark.or_else(mid),
            MarkSource::Mid => mid(),
            MarkSource::Last => {
                let last = market.last_px.and_then(|px| at(px.checked_mul(2)?));
                last.or_else(mid)
            }
        }
    }

    fn demand(&self, instrument: usize) -> Demand {
        self.demand_without(instrument, None)
    }
}

impl Market {
    fn add_demand(&self, demand: &mut Demand, request: &NewOrder, lots: i64) {
        if let Some(terms) = self.exchange.terms() {
            let best = opposite_best(&self.book, request.side);
            terms.add(demand, request, best, lots);
        }
    }
}

impl Kernel {
    /// Tells the exchange of an instrument what the account has for orders there.
    pub(super) fn tell_room(&mut self, market: usize) {
        if self.venue.mode() != Mode::None {
            self.refresh_venue_mark(market);
            let room = self.venue.room(market, &AtVenue(&self.markets));
            self.markets[market].exchange.set_room(room);
        }
    }

    /// The mark price that margin goes by, as the strategy knows it: the venue's that was received
    /// last, the mid, or the last trade.
    pub fn mark(&self, market: usize) -> Option<Px> {
        self.known().mark(market)
    }

    /// The mark price at which an instrument's position would be liquidated, as far as we know.
    pub fn liquidation_px(&self, market: usize) -> Option<Money> {
        self.ledger.liquidation_px(market, &self.known())
    }

    fn known(&self) -> AsKnown<'_> {
        AsKnown {
            markets: &self.markets,
            orders: &self.orders,
        }
    }

    /// Whether the account can pay for an order, or for the change of one (`id`), as far as we know.
    pub(super) fn is_covered(&self, request: &NewOrder, id: Option<u64>) -> bool {
        let market = usize::from(request.instrument);
        let live = id.and_then(|id| self.orders.get(&id));
        let status = live.map_or(Status::Submitted, |order| order.status);
        if self.ledger.mode() == Mode::None || !takes(request, status) {
            return true;
        }
        let here = &self.markets[market];
        let known = self.known();
        let others = known.demand_without(market, id);
        let (mut before, mut after) = (others, others);
        if let Some(order) = live {
            here.add_demand(&mut before, &order.request, order.leaves_lots());
        }
        let filled_lots = live.map_or(0, |order| order.filled_lots);
        here.add_demand(&mut after, request, request.qty_lots - filled_lots);
        let room = self.ledger.room(market, &known);
        self.ledger.terms(market).covers(&room, &before, &after)
    }
}

/// Whether an order ties anything up: it may extend a position, and waits for nothing.
fn takes(request: &NewOrder, status: Status) -> bool {
    let waits = match status {
        Status::Untriggered => true,
        Status::Submitted => request.trigger.is_some(),
        _ => false,
    };
    let is_exit = request.link.is_some_and(|link| link.role == Role::Exit);
    !waits && !request.reduce_only && !is_exit
}
