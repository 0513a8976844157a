//! Orders that act because of another event than their own arrival: triggers, the members of lists,
//! and orders that follow the position.

use super::matching::Arrival;
use super::waiting::WaitingOrders;
use super::{Place, SimExchange};
use crate::event::Side;
use crate::order::{Answer, NewOrder, RejectCode, Report, Role};

impl SimExchange {
    /// What the fill, trigger or end of an order means for others of its list.
    pub(super) fn settle_list(&mut self, others: &[u64], ts_ns: i64, out: &mut Vec<Report>) {
        for &id in others {
            let Some(link) = self.live.get(&id).and_then(|live| live.request.link) else {
                continue;
            };
            if self.lists.is_over(link) {
                let canceled = Answer::Canceled(Some(RejectCode::ListEnded));
                self.end(id, canceled, ts_ns, out);
            } else if link.role == Role::Exit {
                self.adjust_exit(id, ts_ns, out);
            }
        }
    }

    /// Gives an exit the quantity that its entry has filled and no exit has closed.
    pub(super) fn adjust_exit(&mut self, id: u64, ts_ns: i64, out: &mut Vec<Report>) {
        let Some(live) = self.live.get(&id).copied() else {
            return;
        };
        let Some(link) = live.request.link else {
            return;
        };
        let (room, entry_lives) = self.lists.exit_room(link);
        if room <= 0 {
            if !entry_lives {
                let canceled = Answer::Canceled(Some(RejectCode::ListEnded));
                self.end(id, canceled, ts_ns, out);
            } else if live.place != Place::Held {
                self.leave_place(id);
                self.hold(id, ts_ns, out);
            }
            return;
        }
        let qty_lots = live.filled_lots + room;
        let is_same = qty_lots == live.request.qty_lots;
        let request = NewOrder {
            qty_lots,
            ..live.request
        };
        match live.place {
            Place::Held => {
                self.set_request(id, request);
                self.activate_exit(id, ts_ns, out);
            }
            _ if is_same => {}
            // It is acting already, or about to: it goes on with the new quantity.
            Place::Entering | Place::Triggered => self.set_request(id, request),
            Place::Waiting => {
                self.set_request(id, request);
                out.push(Report::new(id, ts_ns, waiting_answer(&request)));
            }
            Place::Resting if qty_lots < live.request.qty_lots => {
                self.shrink(id, qty_lots, ts_ns, out);
            }
            Place::Resting => {
                self.leave_place(id);
                self.set_request(id, request);
                self.enter(id, Arrival::Changed, ts_ns, out);
            }
        }
    }

    /// An exit that was held has something to close.
    pub(super) fn activate_exit(&mut self, id: u64, ts_ns: i64, out: &mut Vec<Report>) {
        let request = self.live[&id].request;
        let Some(trigger) = request.trigger else {
            self.leave_place(id);
            out.push(Report::new(id, ts_ns, Answer::Triggered));
            self.enter(id, Arrival::Changed, ts_ns, out);
            return;
        };
        let now = WaitingOrders::would_trigger(request.side, &trigger, &self.watched());
        self.wait(id, ts_ns, out);
        if now == Some(true) && self.book.is_trusted() {
            // The market is beyond the exit already: it acts at once.
            self.leave_place(id);
            self.trigger(id, ts_ns, out);
        }
    }

    /// Whether an order is an exit whose entry can fill no more.
    fn is_last_exit(&self, request: &NewOrder) -> bool {
        request
            .link
            .is_some_and(|link| link.role == Role::Exit && !self.lists.exit_room(link).1)
    }

    /// Whether an exit may get more to do, because its entry still lives.
    pub(super) fn may_grow(&self, request: &NewOrder) -> bool {
        request
            .link
            .is_some_and(|link| link.role == Role::Exit && self.lists.exit_room(link).1)
    }

    /// Puts an order among those that wait for their trigger, and says so.
    pub(super) fn wait(&mut self, id: u64, ts_ns: i64, out: &mut Vec<Report>) {
        let watched = self.watched();
        let Some(live) = self.live.get_mut(&id) else {
            return;
        };
        live.place = Place::Waiting;
        let request = live.request;
        if let Some(trigger) = request.trigger {
            self.waiting.insert(id, request.side, &trigger, &watched);
        }
        out.push(Report::new(id, ts_ns, waiting_answer(&request)));
    }

    /// Holds an exit until its entry is filled (further), and says so.
    pub(super) fn hold(&mut self, id: u64, ts_ns: i64, out: &mut Vec<Report>) {
        if let Some(live) = self.live.get_mut(&id) {
            live.place = Place::Held;
            out.push(Report::new(id, ts_ns, waiting_answer(&live.request)));
        }
    }

    /// The trigger of an order is reached.
    pub(super) fn trigger(&mut self, id: u64, ts_ns: i64, out: &mut Vec<Report>) {
        let Some(live) = self.live.get_mut(&id) else {
            return;
        };
        live.place = Place::Entering;
        let link = live.request.link;
        out.push(Report::new(id, ts_ns, Answer::Triggered));
        let mut others = Vec::new();
        if let Some(link) = link {
            self.lists.on_triggered(id, link, &mut others);
        }
        self.settle_list(&others, ts_ns, out);
        self.enter(id, Arrival::Triggered, ts_ns, out);
    }

    /// Lowers the quantity of a resting order, which keeps its place.
    pub(super) fn shrink(&mut self, id: u64, qty_lots: i64, ts_ns: i64, out: &mut Vec<Report>) {
        let Some(live) = self.live.get_mut(&id) else {
            return;
        };
        live.request.qty_lots = qty_lots;
        let live = *live;
        let (side, key) = (live.request.side, live.key());
        if let Some(resting) = self.side_mut(side).get_mut(key, id) {
            resting.shown_lots = resting.shown_lots.min(live.leaves_lots());
        }
        let px_ticks = live.request.px_ticks;
        let answer = Answer::Accepted { px_ticks, qty_lots };
        out.push(Report::new(id, ts_ns, answer));
    }

    /// Lots by which an order of this side can make the position smaller.
    pub(super) fn reducible_lots(&self, side: Side) -> i64 {
        let lots = self.position_lots;
        (if side == Side::Bid { -lots } else { lots }).max(0)
    }

    /// Cuts resting reduce-only orders to the position; one without any left expires, and so does
    /// an exit that waits for its trigger when its entry can fill no more. Other conditional orders
    /// are looked at when they are triggered.
    pub(super) fn shrink_reducing(&mut self, ts_ns: i64, out: &mut Vec<Report>) {
        if self.reducing == 0 {
            return;
        }
        let reducing: Vec<u64> = self
            .live
            .iter()
            .filter(|(_, live)| live.request.reduce_only)
            .filter(|(_, live)| match live.place {
                Place::Resting => true,
                Place::Waiting => self.is_last_exit(&live.request),
                _ => false,
            })
            .map(|(id, _)| *id)
            .collect();
        for id in reducing {
            let Some(live) = self.live.get(&id).copied() else {
                continue;
            };
            let room = self.reducible_lots(live.request.side);
            if room == 0 {
                let expired = Answer::Expired(Some(RejectCode::ReduceOnly));
                self.end(id, expired, ts_ns, out);
            } else if live.place == Place::Resting && room < live.leaves_lots() {
                self.shrink(id, live.filled_lots + room, ts_ns, out);
            }
        }
    }
}

pub(super) fn waiting_answer(request: &NewOrder) -> Answer {
    Answer::Waiting {
        trigger_px_ticks: request.trigger.map_or(0, |trigger| trigger.px_ticks),
        px_ticks: request.px_ticks,
        qty_lots: request.qty_lots,
    }
}
