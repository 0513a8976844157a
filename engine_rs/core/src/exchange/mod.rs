//! The simulated exchange of one instrument.
//!
//! It replays the venue's book and trades and holds our orders beside them; our orders leave no
//! trace in the venue's book. How much is filled is the [`FillModel`]'s to say, when an order at a
//! price is reached the [`QueueModel`]'s, or, where the venue's orders are known one by one, that of
//! [`L3Queue`]. This file takes events and requests in; `matching.rs` enters, fills and ends orders,
//! `dependents.rs` follows up on others that this concerns.
//!
//! Invariants: every live order is in exactly one place (resting, waiting for its trigger, or held
//! for the entry of its bracket); the order of answers is that of price, then arrival, and within
//! one order fill before end; an order that has ended gets no further answer. While the book is
//! suspect nothing is filled from it, nothing new enters it and no trigger is looked at; trades still
//! fill, because they did happen.
//!
//! Known limits: our orders do not move the market; of several of our own orders at one price each
//! sees the queue as if the others were not there.

mod account;
mod by_orders;
mod dependents;
mod l3_queue;
mod lists;
mod matching;
pub mod models;
mod resting;
pub mod study;
mod waiting;

pub use l3_queue::L3Queue;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::book::Book;
use crate::canary;
use crate::event::{Event, Side};
use crate::instrument::PxBand;
use crate::ladder::Ladder;
use crate::margin::{Room, Terms};
use crate::order::{Answer, Change, Command, NewOrder, RejectCode, Report, Role};
use lists::Lists;
use matching::Arrival;
use models::{FillModel, QueueModel};
use resting::{Hit, RestingSide};
use waiting::{WaitingOrders, Watched};

/// What happens where our order would trade with another of ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SelfTrade {
    /// Nothing: our orders do not see one another.
    #[default]
    Allow,
    /// The taking order expires where it meets the resting one.
    ExpireTaker,
    /// The resting orders in the way expire.
    ExpireMaker,
    /// Both expire where they meet.
    ExpireBoth,
}

/// Rules of the venue that are not the instrument's steps and sizes.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// What happens where our order would trade with another of ours.
    pub self_trade: SelfTrade,
    /// The band of accepted limit prices.
    pub px_band: Option<PxBand>,
    /// What orders take; `None`: nothing.
    pub terms: Option<Terms>,
}

/// Where a live order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the book.
    Resting,
    /// Waiting for its trigger.
    Waiting,
    /// An exit without anything to close yet.
    Held,
    /// Its trigger is reached, and its turn is to come.
    Triggered,
    /// On its way through the matching.
    Entering,
}

/// A live order as the exchange knows it.
#[derive(Clone, Copy, Debug)]
struct Live {
    request: NewOrder,
    filled_lots: i64,
    place: Place,
}

impl Live {
    fn leaves_lots(&self) -> i64 {
        self.request.qty_lots - self.filled_lots
    }

    fn key(&self) -> i64 {
        Ladder::key(self.request.side, self.request.px_ticks)
    }
}

/// The simulated exchange of one instrument; its clock is the venue's.
#[derive(Debug)]
pub struct SimExchange {
    book: Book,
    queue: Box<dyn QueueModel>,
    /// Our places among the venue's orders, where the queue model leaves them to those.
    l3: Option<Box<L3Queue>>,
    fill_model: Box<dyn FillModel>,
    rules: Rules,
    /// What the account has for orders, where they take something.
    room: Option<Room>,
    bids: RestingSide,
    asks: RestingSide,
    waiting: WaitingOrders,
    lists: Lists,
    live: BTreeMap<u64, Live>,
    /// Good-till-date orders by time; those that ended before are skipped when due.
    expiries: BinaryHeap<Reverse<(i64, u64)>>,
    position_lots: i64,
    /// How many live orders are reduce-only.
    reducing: usize,
    last_px: Option<i64>,
    mark_x2: Option<i64>,
    /// Orders reached by the event in hand.
    hits: Vec<Hit>,
    /// The same, as the queue of the venue's orders tells them.
    reached: Vec<(u64, i64)>,
}

impl SimExchange {
    /// An exchange with an empty book, where `position_lots` are held.
    pub fn new(
        queue: Box<dyn QueueModel>,
        fill_model: Box<dyn FillModel>,
        rules: Rules,
        position_lots: i64,
    ) -> Self {
        Self {
            book: Book::new(),
            l3: queue.uses_orders().then(Box::default),
            queue,
            fill_model,
            rules,
            room: None,
            bids: RestingSide::default(),
            asks: RestingSide::default(),
            waiting: WaitingOrders::default(),
            lists: Lists::default(),
            live: BTreeMap::new(),
            expiries: BinaryHeap::new(),
            position_lots,
            reducing: 0,
            last_px: None,
            mark_x2: None,
            hits: Vec::new(),
            reached: Vec::new(),
        }
    }

    /// The book as the exchange sees it.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// The position at the exchange, in signed lots.
    pub fn position_lots(&self) -> i64 {
        self.position_lots
    }

    /// Sets the position, where something else than a fill changed it.
    pub fn set_position_lots(&mut self, lots: i64, ts_ns: i64, out: &mut Vec<Report>) {
        self.position_lots = lots;
        self.shrink_reducing(ts_ns, out);
    }

    /// Twice the mark price in ticks: the venue's, or else the mid of its trusted book.
    pub fn mark_px_x2(&self) -> Option<i64> {
        self.mark_x2.or_else(|| self.mid_px_x2())
    }

    /// Twice the mid of the book in ticks, while it is trusted and has two sides.
    pub fn mid_px_x2(&self) -> Option<i64> {
        self.book.mid_px_x2().filter(|_| self.book.is_trusted())
    }

    /// The price of the last trade in ticks.
    pub fn last_px_ticks(&self) -> Option<i64> {
        self.last_px
    }

    /// One depth message of the venue at its time; answers go to `out`.
    #[inline]
    pub fn on_depth(&mut self, rows: &[Event], ts_ns: i64, out: &mut Vec<Report>) {
        if self.live.is_empty() && !self.fill_model.remembers() {
            self.book.apply_message(rows);
            return;
        }
        let (bids, asks, queue) = (&mut self.bids, &mut self.asks, &*self.queue);
        let fill_model = &mut *self.fill_model;
        let remembers = fill_model.remembers();
        self.book
            .apply_message_with(rows, |side, key, before, after| {
                let own = if side == Side::Bid {
                    &mut *bids
                } else {
                    &mut *asks
                };
                own.on_depth(key, before, after, queue);
                if remembers {
                    fill_model.on_level(side, key);
                }
            });
        if self.book.is_trusted() {
            self.fill_reached(ts_ns, out);
            self.check_triggers(ts_ns, out);
        }
    }

    /// One trade of the venue; `row.side` is the aggressor's.
    #[inline]
    pub fn on_trade(&mut self, row: &Event, ts_ns: i64, out: &mut Vec<Report>) {
        self.last_px = Some(row.px_ticks);
        if self.live.is_empty() {
            return;
        }
        let passive = match Side::from_u8(row.side) {
            Some(Side::Bid) => Some(Side::Ask),
            Some(Side::Ask) => Some(Side::Bid),
            _ => None,
        };
        if let Some(side) = passive {
            self.fill_traded(side, row, ts_ns, out);
        }
        self.check_triggers(ts_ns, out);
    }

    /// The venue published its mark price, here as twice the price in ticks.
    pub fn on_mark(&mut self, px_x2: i64, ts_ns: i64, out: &mut Vec<Report>) {
        self.mark_x2 = Some(px_x2);
        self.check_triggers(ts_ns, out);
    }

    /// When the next good-till-date order expires; `i64::MAX` where there is none.
    #[inline]
    pub fn next_expiry_ns(&self) -> i64 {
        self.expiries
            .peek()
            .map_or(i64::MAX, |Reverse((time, _))| *time)
    }

    /// The time of [`Self::next_expiry_ns`] has come.
    pub fn on_expiry(&mut self, ts_ns: i64, out: &mut Vec<Report>) {
        while let Some(Reverse((time, id))) = self.expiries.peek().copied()
            && time <= ts_ns
        {
            self.expiries.pop();
            let expired = Answer::Expired(Some(RejectCode::TimeExpired));
            self.end(id, expired, ts_ns, out);
        }
    }

    /// A request reaches the matching engine. [`Command::CancelAll`] is nobody's in particular; its
    /// `id` does not matter.
    pub fn on_command(&mut self, id: u64, command: Command, ts_ns: i64, out: &mut Vec<Report>) {
        match command {
            Command::New(request) => self.accept(id, request, ts_ns, out),
            Command::Cancel => {
                if !self.end(id, Answer::Canceled(None), ts_ns, out) {
                    refuse_request(id, RejectCode::OrderNotOpen, ts_ns, out);
                }
            }
            Command::CancelAll => self.cancel_all(None, ts_ns, out),
            Command::Modify(change) => self.modify(id, change, ts_ns, out),
        }
    }

    /// Ends every order, for the reason given.
    pub fn cancel_all(&mut self, code: Option<RejectCode>, ts_ns: i64, out: &mut Vec<Report>) {
        let mut ids: Vec<u64> = self.live.keys().copied().collect();
        canary::shuffle(&mut ids);
        for id in ids {
            self.end(id, Answer::Canceled(code), ts_ns, out);
        }
    }

    /// A new order: into the book, or to wait for its trigger or its entry.
    fn accept(&mut self, id: u64, request: NewOrder, ts_ns: i64, out: &mut Vec<Report>) {
        let place = Place::Entering;
        let live = Live {
            request,
            filled_lots: 0,
            place,
        };
        self.live.insert(id, live);
        self.reducing += usize::from(request.reduce_only);
        if let Some(link) = request.link
            && !self.lists.arrive(id, link)
        {
            let canceled = Answer::Canceled(Some(RejectCode::ListEnded));
            self.end(id, canceled, ts_ns, out);
            return;
        }
        if let Some(expire_ns) = request.expire_ns {
            if expire_ns <= ts_ns {
                let rejected = Answer::Rejected(RejectCode::TimeExpired);
                self.end(id, rejected, ts_ns, out);
                return;
            }
            self.expiries.push(Reverse((expire_ns, id)));
        }
        if request.link.is_some_and(|link| link.role == Role::Exit) {
            self.hold(id, ts_ns, out);
            self.adjust_exit(id, ts_ns, out);
            return;
        }
        let Some(trigger) = request.trigger else {
            self.enter(id, Arrival::New, ts_ns, out);
            return;
        };
        let watched = self.watched();
        if WaitingOrders::would_trigger(request.side, &trigger, &watched) == Some(true) {
            let rejected = Answer::Rejected(RejectCode::WouldTrigger);
            self.end(id, rejected, ts_ns, out);
            return;
        }
        self.wait(id, ts_ns, out);
    }

    /// A smaller quantity at the same price keeps the place in the queue; anything else is a new
    /// arrival under the same id.
    fn modify(&mut self, id: u64, change: Change, ts_ns: i64, out: &mut Vec<Report>) {
        let Some(live) = self.live.get(&id).copied() else {
            refuse_request(id, RejectCode::OrderNotOpen, ts_ns, out);
            return;
        };
        let mut request = live.request;
        request.px_ticks = change.px_ticks.unwrap_or(request.px_ticks);
        request.qty_lots = change.qty_lots.unwrap_or(request.qty_lots);
        let is_exit = request.link.is_some_and(|link| link.role == Role::Exit);
        let refusal = if is_exit && request.qty_lots != live.request.qty_lots {
            Some(RejectCode::ExitQty)
        } else if request.qty_lots <= live.filled_lots && !is_exit {
            // Venues take this for a cancellation of what is left.
            let canceled = Answer::Canceled(Some(RejectCode::QtyBelowFilled));
            self.end(id, canceled, ts_ns, out);
            None
        } else if live.place == Place::Resting {
            let keeps_place = request.px_ticks == live.request.px_ticks
                && request.qty_lots <= live.request.qty_lots
                && !change.replace;
            if change.trigger_px_ticks.is_some() {
                // What has been triggered has no trigger any more.
                Some(RejectCode::OrderNotOpen)
            } else if keeps_place {
                self.shrink(id, request.qty_lots, ts_ns, out);
                None
            } else if self.book.is_trusted() {
                self.leave_place(id);
                self.set_request(id, request);
                self.enter(id, Arrival::Changed, ts_ns, out);
                None
            } else {
                Some(RejectCode::BookSuspect)
            }
        } else {
            self.modify_waiting(id, request, change.trigger_px_ticks, ts_ns, out)
        };
        if let Some(code) = refusal {
            refuse_request(id, code, ts_ns, out);
        }
    }

    /// Changes an order that waits for its trigger or its entry; the reason where it cannot.
    fn modify_waiting(
        &mut self,
        id: u64,
        mut request: NewOrder,
        trigger_px_ticks: Option<i64>,
        ts_ns: i64,
        out: &mut Vec<Report>,
    ) -> Option<RejectCode> {
        let waits = self.live[&id].place == Place::Waiting;
        if let (Some(trigger), Some(px)) = (&mut request.trigger, trigger_px_ticks) {
            trigger.px_ticks = px;
            let watched = self.watched();
            if waits && WaitingOrders::would_trigger(request.side, trigger, &watched) == Some(true)
            {
                return Some(RejectCode::WouldTrigger);
            }
            if waits {
                self.waiting.remove(id);
                self.waiting.insert(id, request.side, trigger, &watched);
            }
        }
        self.set_request(id, request);
        out.push(Report::new(id, ts_ns, dependents::waiting_answer(&request)));
        None
    }

    fn watched(&self) -> Watched {
        let trusted = self.book.is_trusted();
        Watched {
            last: self.last_px,
            bid: self.book.best_bid_px().filter(|_| trusted),
            ask: self.book.best_ask_px().filter(|_| trusted),
            mark_x2: self.mark_px_x2(),
        }
    }

    /// Looks at all triggers, in order of the orders' arrival.
    #[inline]
    fn check_triggers(&mut self, ts_ns: i64, out: &mut Vec<Report>) {
        if self.waiting.is_empty() || !self.book.is_trusted() {
            return;
        }
        let mut triggered = Vec::new();
        let watched = self.watched();
        self.waiting.take_triggered(&watched, &mut triggered);
        for id in &triggered {
            if let Some(live) = self.live.get_mut(id) {
                live.place = Place::Triggered;
            }
        }
        for id in triggered {
            // What happened to an earlier one may have ended this one or sent it back to wait.
            let is_next = |live: &Live| live.place == Place::Triggered;
            if self.live.get(&id).is_some_and(is_next) {
                self.trigger(id, ts_ns, out);
            }
        }
    }

    fn side_mut(&mut self, side: Side) -> &mut RestingSide {
        if side == Side::Bid {
            &mut self.bids
        } else {
            &mut self.asks
        }
    }

    fn set_request(&mut self, id: u64, request: NewOrder) {
        if let Some(live) = self.live.get_mut(&id) {
            live.request = request;
        }
    }
}

fn refuse_request(id: u64, code: RejectCode, ts_ns: i64, out: &mut Vec<Report>) {
    out.push(Report::new(id, ts_ns, Answer::RequestRejected(code)));
}

#[cfg(test)]
mod list_tests;
#[cfg(test)]
mod order_tests;
#[cfg(test)]
mod test_venue;
#[cfg(test)]
mod tests;
