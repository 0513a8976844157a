//! The simulated exchange of one instrument.
//!
//! Fills have hftbacktest's meaning of "no partial fill": a resting order is filled whole, at its
//! own price, when the opposite best reaches that price, when a trade goes through it, or when a
//! trade at it reaches the order's place in the queue; a taking order is filled whole at the
//! opposite best, whatever size stands there. Our orders leave no trace in the venue's book.
//!
//! Invariants: resting orders lie on their own side of the venue's trusted book after every message;
//! the order of answers is by price, then by arrival. While the book is suspect nothing is filled
//! from it and nothing new is accepted; trades still fill, because they did happen.
//!
//! Known limits: no partial fills, no market impact; a large taking order is filled at one price.

mod l3_queue;
mod models;
mod resting;

pub use l3_queue::L3Queue;
pub use models::{ConstantLatency, LatencyModel, QueueModel, QueuePosition, RiskAverseQueue};

use crate::book::Book;
use crate::event::{Event, Side};
use crate::ladder::Ladder;
use crate::order::{Answer, Command, NewOrder, OrderKind, RejectCode, Report, TimeInForce};
use resting::{Resting, RestingSide};

/// The simulated exchange of one instrument; its clock is the venue's.
pub struct SimExchange {
    book: Book,
    queue: Box<dyn QueueModel>,
    bids: RestingSide,
    asks: RestingSide,
}

impl SimExchange {
    /// An exchange with an empty book.
    pub fn new(queue: Box<dyn QueueModel>) -> Self {
        Self {
            book: Book::new(),
            queue,
            bids: RestingSide::default(),
            asks: RestingSide::default(),
        }
    }

    /// The book as the exchange sees it.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// One depth message of the venue at its time; fills go to `out`.
    #[inline]
    pub fn on_depth(&mut self, rows: &[Event], ts_ns: i64, out: &mut Vec<Report>) {
        if self.bids.is_empty() && self.asks.is_empty() {
            self.book.apply_message(rows);
            return;
        }
        let (bids, asks, queue) = (&mut self.bids, &mut self.asks, &*self.queue);
        self.book
            .apply_message_with(rows, |side, key, before, after| {
                let own = if side == Side::Bid {
                    &mut *bids
                } else {
                    &mut *asks
                };
                own.on_depth(key, before, after, queue);
            });
        if self.book.is_trusted() {
            if let Some(ask) = self.book.best_ask_px() {
                self.bids
                    .fill_reached(ask, |order| out.push(maker_fill(order, Side::Bid, ts_ns)));
            }
            if let Some(bid) = self.book.best_bid_px() {
                self.asks
                    .fill_reached(!bid, |order| out.push(maker_fill(order, Side::Ask, ts_ns)));
            }
        }
    }

    /// One trade of the venue; `row.side` is the aggressor's.
    #[inline]
    pub fn on_trade(&mut self, row: &Event, ts_ns: i64, out: &mut Vec<Report>) {
        let (own, side) = if row.side == Side::Bid as u8 {
            (&mut self.asks, Side::Ask)
        } else if row.side == Side::Ask as u8 {
            (&mut self.bids, Side::Bid)
        } else {
            return;
        };
        if !own.is_empty() {
            let key = Ladder::key(side, row.px_ticks);
            own.on_trade(key, row.qty_lots, &*self.queue, |order| {
                out.push(maker_fill(order, side, ts_ns));
            });
        }
    }

    /// A request reaches the matching engine.
    pub fn on_command(&mut self, id: u64, command: Command, ts_ns: i64, out: &mut Vec<Report>) {
        let answer = match command {
            Command::New(request) => self.enter(id, &request),
            Command::Cancel => match self.take(id) {
                Some(_) => Answer::Canceled,
                None => Answer::RequestRejected(RejectCode::OrderNotOpen),
            },
            Command::Modify { px_ticks, qty_lots } => self.modify(id, px_ticks, qty_lots),
        };
        out.push(Report {
            order: id,
            ts_exchange_ns: ts_ns,
            answer,
        });
    }

    /// A smaller quantity at the same price keeps the place in the queue; anything else is a cancel
    /// and a new arrival.
    fn modify(&mut self, id: u64, px_ticks: i64, qty_lots: i64) -> Answer {
        for side in [Side::Bid, Side::Ask] {
            let key = Ladder::key(side, px_ticks);
            if self.side_mut(side).shrink(id, key, qty_lots) {
                return Answer::Accepted { px_ticks, qty_lots };
            }
        }
        if !self.book.is_trusted() {
            return Answer::RequestRejected(RejectCode::BookSuspect);
        }
        let Some((side, old)) = self.take(id) else {
            return Answer::RequestRejected(RejectCode::OrderNotOpen);
        };
        let request = NewOrder {
            instrument: 0,
            side,
            kind: OrderKind::Limit,
            tif: TimeInForce::Gtc,
            post_only: old.post_only,
            px_ticks,
            qty_lots,
        };
        match self.enter(id, &request) {
            // The order was live, so it ends here rather than never having begun.
            Answer::Rejected(code) => Answer::Expired(Some(code)),
            answer => answer,
        }
    }

    fn enter(&mut self, id: u64, request: &NewOrder) -> Answer {
        if !self.book.is_trusted() {
            return Answer::Rejected(RejectCode::BookSuspect);
        }
        let opposite = match request.side {
            Side::Bid => self.book.best_ask_px(),
            _ => self.book.best_bid_px(),
        };
        let side = request.side;
        let crosses = opposite.filter(|&px| {
            request.kind == OrderKind::Market
                || Ladder::key(side, px) <= Ladder::key(side, request.px_ticks)
        });
        match crosses {
            Some(_) if request.post_only => Answer::Rejected(RejectCode::PostOnlyWouldTake),
            Some(px_ticks) => Answer::Filled {
                px_ticks,
                qty_lots: request.qty_lots,
                maker: false,
                complete: true,
            },
            None if request.kind == OrderKind::Market => Answer::Rejected(RejectCode::NoLiquidity),
            None if request.tif == TimeInForce::Ioc => Answer::Expired(None),
            None => {
                let position = self.queue.enter(self.book.qty_at(side, request.px_ticks));
                self.side_mut(side).insert(Resting {
                    id,
                    key: Ladder::key(side, request.px_ticks),
                    qty_lots: request.qty_lots,
                    post_only: request.post_only,
                    position,
                });
                Answer::Accepted {
                    px_ticks: request.px_ticks,
                    qty_lots: request.qty_lots,
                }
            }
        }
    }

    fn take(&mut self, id: u64) -> Option<(Side, Resting)> {
        let bid = self.bids.take(id).map(|order| (Side::Bid, order));
        bid.or_else(|| self.asks.take(id).map(|order| (Side::Ask, order)))
    }

    fn side_mut(&mut self, side: Side) -> &mut RestingSide {
        if side == Side::Bid {
            &mut self.bids
        } else {
            &mut self.asks
        }
    }
}

fn maker_fill(order: &Resting, side: Side, ts_ns: i64) -> Report {
    Report {
        order: order.id,
        ts_exchange_ns: ts_ns,
        answer: Answer::Filled {
            px_ticks: Ladder::key(side, order.key),
            qty_lots: order.qty_lots,
            maker: true,
            complete: true,
        },
    }
}

#[cfg(test)]
mod tests;
