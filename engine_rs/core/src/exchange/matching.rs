//! How orders enter the book, are filled, and end, with what that means for the others of their list
//! and for orders that only reduce the position.

use super::models::{FillModel, is_within, opposite_best, other};
use super::resting::{Hit, Resting};
use super::{Live, Place, SelfTrade, SimExchange};
use crate::event::{Event, Side};
use crate::ladder::Ladder;
use crate::order::{Answer, NewOrder, OrderKind, RejectCode, Report, TimeInForce};

/// How an order comes to the matching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// From outside.
    New,
    /// Its trigger was reached.
    Triggered,
    /// Under the same id with another price or quantity.
    Changed,
}

impl SimExchange {
    /// Fills the orders that the opposite best has reached.
    pub(super) fn fill_reached(&mut self, ts_ns: i64, out: &mut Vec<Report>) {
        for side in [Side::Bid, Side::Ask] {
            let Some(px) = opposite_best(&self.book, side) else {
                continue;
            };
            let key = Ladder::key(side, px);
            if !self.side_mut(side).reaches(key) {
                continue;
            }
            let reached: Vec<(u64, i64)> = self.side_mut(side).reached(key).collect();
            for (id, own_key) in reached {
                let Some(leaves) = self.resting_leaves(id) else {
                    continue;
                };
                let own_px = Ladder::key(side, own_key);
                let lots = self.fill_model.on_reached(&self.book, side, own_px, leaves);
                if lots > 0 {
                    self.fill(id, own_px, lots, true, ts_ns, out);
                }
            }
        }
    }

    /// Fills the orders of `side` that a trade reaches.
    pub(super) fn fill_traded(
        &mut self,
        side: Side,
        row: &Event,
        ts_ns: i64,
        out: &mut Vec<Report>,
    ) {
        let key = Ladder::key(side, row.px_ticks);
        if !self.side_mut(side).reaches(key) {
            return;
        }
        let mut hits = std::mem::take(&mut self.hits);
        let own = if side == Side::Bid {
            &mut self.bids
        } else {
            &mut self.asks
        };
        own.on_trade(key, row.qty_lots, &*self.queue, &mut hits);
        if let Some(l3) = &mut self.l3 {
            l3.on_trade(side, row.px_ticks, row.qty_lots, &mut self.reached);
            self.find_reached(&mut hits);
        }
        self.fill_hits(&mut hits, row.qty_lots, ts_ns, out);
        self.hits = hits;
    }

    /// Fills orders of `side` that were reached, best first, by `qty_lots` in all.
    pub(super) fn fill_hits(
        &mut self,
        hits: &mut Vec<Hit>,
        qty_lots: i64,
        ts_ns: i64,
        out: &mut Vec<Report>,
    ) {
        let mut left = qty_lots;
        for hit in hits.drain(..) {
            let Some(leaves) = self.resting_leaves(hit.id) else {
                continue;
            };
            let px_ticks = self.live[&hit.id].request.px_ticks;
            // A queue reaches what an iceberg shows; what goes through its price takes it whole.
            let leaves = match hit.at_price {
                Some(_) => leaves.min(hit.shown_lots),
                None => leaves,
            };
            let lots = self.fill_model.on_trade(hit.at_price, leaves, &mut left);
            if lots > 0 {
                self.fill(hit.id, px_ticks, lots, true, ts_ns, out);
            }
        }
    }

    /// Lots left of an order that still rests: the fill of another of its list may have taken it out
    /// of the book since it was found there.
    fn resting_leaves(&self, id: u64) -> Option<i64> {
        let live = self.live.get(&id)?;
        (live.place == Place::Resting).then(|| live.leaves_lots())
    }

    /// An order enters the book.
    pub(super) fn enter(&mut self, id: u64, arrival: Arrival, ts_ns: i64, out: &mut Vec<Report>) {
        let fresh = arrival == Arrival::New;
        if let Err(code) = self.admit(id) {
            self.end(id, refused(code, fresh), ts_ns, out);
            return;
        }
        let Some(live) = self.live.get(&id).copied() else {
            return;
        };
        let request = live.request;
        let limit_px = (request.kind == OrderKind::Limit).then_some(request.px_ticks);
        let Some(reach_px) = self.keep_apart(id, &request, limit_px, ts_ns, out) else {
            return;
        };
        let crosses = opposite_best(&self.book, request.side)
            .is_some_and(|px| is_within(request.side, px, reach_px));
        let all_or_none = request.tif == TimeInForce::Fok;
        let leaves = live.leaves_lots();
        let paid = self.payable_lots(id, reach_px);
        let can_fill = |model: &dyn FillModel| {
            paid == leaves && model.can_fill(&self.book, request.side, reach_px, leaves)
        };
        if crosses && (!all_or_none || can_fill(&*self.fill_model)) {
            let mut fills = Vec::new();
            self.fill_model
                .take(&self.book, request.side, reach_px, paid, &mut fills);
            if reach_px == limit_px && !self.fill_model.rests_remainder() {
                fill_at_limit(&request, leaves, &mut fills);
            }
            if arrival == Arrival::Changed && !fills.is_empty() {
                // The change is told before what it leads to.
                let NewOrder {
                    px_ticks, qty_lots, ..
                } = request;
                let answer = Answer::Accepted { px_ticks, qty_lots };
                out.push(Report::new(id, ts_ns, answer));
            }
            for (px, lots) in fills {
                // What a fill leads to may end an exit, or send it back to wait for its entry.
                let acts = |live: &Live| live.place == Place::Entering;
                if self.live.get(&id).is_some_and(acts) {
                    self.fill(id, px, lots, false, ts_ns, out);
                }
            }
        }
        if paid < leaves {
            let code = self.unpaid();
            let filled = |live: &Live| live.filled_lots > 0;
            let untouched = fresh && !self.live.get(&id).is_some_and(filled);
            self.end(id, refused(code, untouched), ts_ns, out);
            return;
        }
        let met_itself = reach_px != limit_px;
        self.settle_remainder(id, fresh, crosses, met_itself, ts_ns, out);
    }

    /// Whether the venue lets an order in: reduces its quantity to what a reduce-only order may do.
    fn admit(&mut self, id: u64) -> Result<(), RejectCode> {
        if !self.book.is_trusted() {
            return Err(RejectCode::BookSuspect);
        }
        let request = self.live[&id].request;
        let room = self.reducible_lots(request.side);
        if request.reduce_only
            && let Some(live) = self.live.get_mut(&id)
        {
            if room == 0 {
                return Err(RejectCode::ReduceOnly);
            }
            live.request.qty_lots = live.request.qty_lots.min(live.filled_lots + room);
        }
        let is_limit = request.kind == OrderKind::Limit;
        if is_limit
            && let (Some(band), Some(mark_x2)) = (self.rules.px_band, self.mark_px_x2())
            && !band.allows(request.side, request.px_ticks, mark_x2)
        {
            return Err(RejectCode::PxOutOfBand);
        }
        let takes = opposite_best(&self.book, request.side)
            .is_some_and(|px| is_within(request.side, px, Some(request.px_ticks)));
        if is_limit && request.post_only && takes {
            return Err(RejectCode::PostOnlyWouldTake);
        }
        self.check_credit(id)
    }

    /// Keeps our orders from trading with one another, and returns how far the order may reach (as
    /// its limit price; inside `None` is any price); outside `None` where it ended here.
    #[allow(
        clippy::option_option,
        reason = "no limit and no order are different things"
    )]
    fn keep_apart(
        &mut self,
        id: u64,
        request: &NewOrder,
        limit_px: Option<i64>,
        ts_ns: i64,
        out: &mut Vec<Report>,
    ) -> Option<Option<i64>> {
        let against = other(request.side);
        if self.rules.self_trade == SelfTrade::Allow {
            return Some(limit_px);
        }
        let Some(bound) = limit_px.or_else(|| self.worst_px(id, request.side)) else {
            return Some(limit_px);
        };
        let key = Ladder::key(against, bound);
        let own = if against == Side::Bid {
            &self.bids
        } else {
            &self.asks
        };
        let met: Vec<(u64, i64)> = own.reached(key).collect();
        let Some(&(_, best)) = met.first() else {
            return Some(limit_px);
        };
        let expired = Answer::Expired(Some(RejectCode::SelfTrade));
        match self.rules.self_trade {
            SelfTrade::ExpireMaker => {
                for (resting, _) in met {
                    self.end(resting, expired, ts_ns, out);
                }
            }
            SelfTrade::ExpireBoth => {
                for (resting, _) in met.into_iter().take_while(|(_, key)| *key == best) {
                    self.end(resting, expired, ts_ns, out);
                }
            }
            SelfTrade::ExpireTaker | SelfTrade::Allow => {}
        }
        // The end of a resting order may have ended this one, which is of the same list.
        self.live.get(&id)?;
        if self.rules.self_trade == SelfTrade::ExpireMaker {
            return Some(limit_px);
        }
        // Up to the last price before the resting order.
        let px = Ladder::key(against, best);
        Some(Some(if request.side == Side::Bid {
            px - 1
        } else {
            px + 1
        }))
    }

    /// The worst price that a market order reaches among the displayed levels.
    fn worst_px(&self, id: u64, side: Side) -> Option<i64> {
        let mut left = self.live.get(&id)?.leaves_lots();
        let mut worst = None;
        for (px, size) in self.book.levels(other(side)) {
            worst = Some(px);
            left -= size.min(left);
            if left == 0 {
                break;
            }
        }
        worst
    }

    /// What becomes of the part of an entering order that was not filled at once.
    fn settle_remainder(
        &mut self,
        id: u64,
        fresh: bool,
        crosses: bool,
        met_itself: bool,
        ts_ns: i64,
        out: &mut Vec<Report>,
    ) {
        let Some(live) = self.live.get(&id).copied() else {
            return;
        };
        if live.place != Place::Entering {
            // An exit that was filled for now is held again.
            return;
        }
        let request = live.request;
        let untouched = live.filled_lots == 0 && fresh;
        let answer = if met_itself && self.rules.self_trade != SelfTrade::ExpireMaker {
            refused(RejectCode::SelfTrade, untouched)
        } else if request.kind == OrderKind::Market {
            refused(RejectCode::NoLiquidity, untouched && !crosses)
        } else if matches!(request.tif, TimeInForce::Ioc | TimeInForce::Fok) {
            Answer::Expired(None)
        } else {
            self.rest(id, ts_ns, out);
            return;
        };
        self.end(id, answer, ts_ns, out);
    }

    /// Puts an order into the book at its price, behind what stands there.
    fn rest(&mut self, id: u64, ts_ns: i64, out: &mut Vec<Report>) {
        let Some(live) = self.live.get_mut(&id) else {
            return;
        };
        live.place = Place::Resting;
        let live = *live;
        let NewOrder {
            side,
            px_ticks,
            qty_lots,
            ..
        } = live.request;
        let position = self.queue.enter(self.book.qty_at(side, px_ticks));
        let resting = Resting {
            id,
            shown_lots: live.shown_slice(),
            position,
        };
        self.side_mut(side).insert(live.key(), resting);
        if let Some(l3) = &mut self.l3 {
            l3.join(id, side, px_ticks);
        }
        let answer = Answer::Accepted { px_ticks, qty_lots };
        out.push(Report::new(id, ts_ns, answer));
    }

    /// Fills up to `lots` of an order at a price, and settles what follows from it.
    pub(super) fn fill(
        &mut self,
        id: u64,
        px_ticks: i64,
        lots: i64,
        maker: bool,
        ts_ns: i64,
        out: &mut Vec<Report>,
    ) {
        let Some(live) = self.live.get(&id) else {
            return;
        };
        let request = live.request;
        let mut qty_lots = lots.min(live.leaves_lots());
        if request.reduce_only {
            qty_lots = qty_lots.min(self.reducible_lots(request.side));
        }
        if qty_lots <= 0 {
            let expired = Answer::Expired(Some(RejectCode::ReduceOnly));
            self.end(id, expired, ts_ns, out);
            return;
        }
        let Some(live) = self.live.get_mut(&id) else {
            return;
        };
        live.filled_lots += qty_lots;
        let live = *live;
        self.position_lots += request.signed(qty_lots);
        self.spend(px_ticks, request.signed(qty_lots));
        let mut others = Vec::new();
        if let Some(link) = request.link {
            self.lists.on_fill(id, link, qty_lots, &mut others);
        }
        let spent = live.leaves_lots() == 0;
        let complete = spent && !self.may_grow(&request);
        let answer = Answer::Filled {
            side: request.side,
            px_ticks,
            qty_lots,
            maker,
            complete,
        };
        out.push(Report::new(id, ts_ns, answer));
        if complete {
            self.forget(id, &mut others);
        } else if spent {
            self.leave_place(id);
            self.hold(id, ts_ns, out);
        } else if maker {
            self.show_less(id, qty_lots);
        }
        self.settle_list(&others, ts_ns, out);
        self.shrink_reducing(ts_ns, out);
    }

    /// Takes what was filled off what a resting order shows; an iceberg shows its next slice, at the
    /// end of the queue.
    fn show_less(&mut self, id: u64, lots: i64) {
        let live = self.live[&id];
        let (side, key) = (live.request.side, live.key());
        let level = self.book.qty_at(side, live.request.px_ticks);
        let next = self.queue.enter(level);
        let own = self.side_mut(side);
        let Some(resting) = own.get_mut(key, id) else {
            return;
        };
        resting.shown_lots -= lots;
        if resting.shown_lots <= 0 {
            own.remove(key, id);
            let shown_lots = live.shown_slice();
            own.insert(
                key,
                Resting {
                    id,
                    shown_lots,
                    position: next,
                },
            );
            if let Some(l3) = &mut self.l3 {
                l3.leave(id, side, live.request.px_ticks);
                l3.join(id, side, live.request.px_ticks);
            }
        }
    }

    /// Ends an order: takes it out of its place and tells why; `false` where there is none.
    pub(super) fn end(
        &mut self,
        id: u64,
        answer: Answer,
        ts_ns: i64,
        out: &mut Vec<Report>,
    ) -> bool {
        if !self.live.contains_key(&id) {
            return false;
        }
        out.push(Report::new(id, ts_ns, answer));
        let mut others = Vec::new();
        self.forget(id, &mut others);
        self.settle_list(&others, ts_ns, out);
        true
    }

    /// Removes an order that has ended, and names the orders of its list that this concerns.
    fn forget(&mut self, id: u64, others: &mut Vec<u64>) {
        self.leave_place(id);
        let Some(live) = self.live.remove(&id) else {
            return;
        };
        self.reducing -= usize::from(live.request.reduce_only);
        if let Some(link) = live.request.link {
            self.lists.on_end(id, link, others);
        }
    }

    /// Takes an order out of the book or from among those that wait.
    pub(super) fn leave_place(&mut self, id: u64) {
        let Some(live) = self.live.get_mut(&id) else {
            return;
        };
        let place = std::mem::replace(&mut live.place, Place::Entering);
        let live = *live;
        match place {
            Place::Resting => {
                self.side_mut(live.request.side).remove(live.key(), id);
                if let Some(l3) = &mut self.l3 {
                    l3.leave(id, live.request.side, live.request.px_ticks);
                }
            }
            Place::Waiting => {
                self.waiting.remove(id);
            }
            Place::Held | Place::Entering | Place::Triggered => {}
        }
    }
}

impl super::Live {
    /// What an order shows when it comes to the book: all of it, or an iceberg's slice.
    fn shown_slice(&self) -> i64 {
        let most = self.request.display_lots.unwrap_or(i64::MAX);
        self.leaves_lots().min(most)
    }
}

/// The end of an order that never was one at the venue, or of what is left of it.
fn refused(code: RejectCode, untouched: bool) -> Answer {
    if untouched {
        Answer::Rejected(code)
    } else {
        Answer::Expired(Some(code))
    }
}

/// Adds what a limit order that stays could not get to its fills, at its limit price.
fn fill_at_limit(request: &NewOrder, leaves_lots: i64, fills: &mut Vec<(i64, i64)>) {
    let stays = matches!(request.tif, TimeInForce::Gtc | TimeInForce::Gtd);
    if request.kind == OrderKind::Market || !stays {
        return;
    }
    let rest = leaves_lots - fills.iter().map(|(_, lots)| lots).sum::<i64>();
    match fills.last_mut() {
        Some((px, lots)) if *px == request.px_ticks => *lots += rest,
        _ if rest > 0 => fills.push((request.px_ticks, rest)),
        _ => {}
    }
}
