//! The strategy's side of order entry: commands out, answers in.

use super::{Fill, Kernel, Phase, Step};
use crate::error::{Error, Result};
use crate::event::Side;
use crate::order::{Answer, Command, NewOrder, Order, RejectCode, Report, Status};

impl Kernel {
    /// Gives an order and returns its id. One that breaks the instrument's rules is refused here,
    /// which the strategy learns as the next thing that happens.
    pub fn submit(&mut self, request: NewOrder) -> u64 {
        let refusal = self.markets[usize::from(request.instrument)].refuse(&request);
        let ended = (self.phase == Phase::Ended).then_some(RejectCode::RunEnded);
        self.submit_or_refuse(request, ended.or(refusal))
    }

    /// As [`Self::submit`], with the reason for a refusal found by the caller, who turned decimal
    /// text into ticks and lots.
    pub fn submit_or_refuse(&mut self, request: NewOrder, refusal: Option<RejectCode>) -> u64 {
        self.orders_created += 1;
        self.counts.orders += 1;
        let id = self.orders_created;
        let command = Command::New(request);
        self.hash.command(self.now_ns, id, &command);
        let order = Order {
            id,
            request,
            status: Status::Submitted,
            reject: None,
            filled_lots: 0,
            filled_px_lots: 0,
            ts_submit_ns: self.now_ns,
            ts_exchange_ns: None,
            ts_done_ns: None,
        };
        if let Some(code) = refusal {
            let refused = Order {
                status: Status::Rejected,
                reject: Some(code),
                ..order
            };
            self.tell_order(refused, self.now_ns);
        } else {
            self.orders.insert(id, order);
            self.send(usize::from(request.instrument), id, command);
        }
        id
    }

    /// Asks to cancel an order; `false` where it is not live as far as we know.
    pub fn cancel(&mut self, id: u64) -> bool {
        let Some(order) = self.orders.get(&id) else {
            return false;
        };
        let market = usize::from(order.request.instrument);
        self.hash.command(self.now_ns, id, &Command::Cancel);
        self.send(market, id, Command::Cancel);
        true
    }

    /// Asks to change price and total quantity of an order, which then queues anew unless only its
    /// quantity falls; `false` where it is not live as far as we know. A change that breaks the instrument's rules is refused here:
    /// the order stays as it is and the strategy is told.
    pub fn modify(&mut self, id: u64, px_ticks: i64, qty_lots: i64) -> bool {
        let Some(order) = self.orders.get(&id).copied() else {
            return false;
        };
        let market = usize::from(order.request.instrument);
        let wanted = NewOrder {
            px_ticks,
            qty_lots,
            ..order.request
        };
        let command = Command::Modify { px_ticks, qty_lots };
        self.hash.command(self.now_ns, id, &command);
        match self.markets[market].refuse(&wanted) {
            Some(code) => self.tell_order(
                Order {
                    reject: Some(code),
                    ..order
                },
                self.now_ns,
            ),
            None => self.send(market, id, command),
        }
        true
    }

    /// A live order as the strategy knows it.
    pub fn order(&self, id: u64) -> Option<&Order> {
        self.orders.get(&id)
    }

    /// Live orders in order of submission.
    pub fn live_orders(&self) -> impl Iterator<Item = &Order> {
        self.orders.values()
    }

    fn send(&mut self, market: usize, id: u64, command: Command) {
        let market = &mut self.markets[market];
        let latency = market.latency.order_entry_ns(self.now_ns);
        market
            .to_exchange
            .send(self.now_ns.saturating_add(latency), (id, command));
    }

    /// An answer of the exchange is received.
    pub(super) fn on_answer(&mut self, market: usize, time: i64) -> Result<()> {
        self.now_ns = time;
        let Some(report) = self.markets[market].to_local.receive() else {
            return Ok(());
        };
        let Some(mut order) = self.orders.get(&report.order).copied() else {
            // The order ended while the request was under way; the answer changes nothing.
            self.counts.requests_too_late += 1;
            return Ok(());
        };
        order.ts_exchange_ns = Some(report.ts_exchange_ns);
        order.reject = None;
        let mut fill = None;
        match report.answer {
            Answer::Accepted { px_ticks, qty_lots } => {
                order.status = Status::Open;
                (order.request.px_ticks, order.request.qty_lots) = (px_ticks, qty_lots);
            }
            Answer::Filled { .. } => fill = Some(self.book_fill(&mut order, &report, time)?),
            Answer::Canceled => order.status = Status::Canceled,
            Answer::Expired(code) => (order.status, order.reject) = (Status::Expired, code),
            Answer::Rejected(code) => {
                (order.status, order.reject) = (Status::Rejected, Some(code));
            }
            Answer::RequestRejected(code) => order.reject = Some(code),
        }
        self.tell_order(order, time);
        if let Some(fill) = fill {
            self.hash.fill(&fill);
            self.counts.fills += 1;
            self.records.fills.push(fill);
            self.steps.push_back(Step::Fill(fill));
        }
        Ok(())
    }

    /// Books the fill of a report on the order and in the account.
    fn book_fill(&mut self, order: &mut Order, report: &Report, time: i64) -> Result<Fill> {
        let Answer::Filled {
            px_ticks,
            qty_lots,
            maker,
            complete,
        } = report.answer
        else {
            unreachable!("the caller matched a fill");
        };
        order.filled_lots += qty_lots;
        order.filled_px_lots += i128::from(px_ticks) * i128::from(qty_lots);
        if complete {
            order.status = Status::Filled;
            // A modify may have changed the quantity on the way to this fill.
            order.request.qty_lots = order.filled_lots;
        }
        let side = order.request.side;
        let signed = if side == Side::Bid {
            qty_lots
        } else {
            -qty_lots
        };
        let market = &mut self.markets[usize::from(order.request.instrument)];
        let effect = market
            .account
            .apply_fill(px_ticks, signed, maker)
            .ok_or_else(|| {
                let found = format!(
                    "{qty_lots} lots at {px_ticks} ticks of {}",
                    market.instrument.id
                );
                Error::invalid("fill", "a value of at most 1e16 of its currency", found)
            })?;
        Ok(Fill {
            order: order.id,
            instrument: order.request.instrument,
            side,
            px_ticks,
            qty_lots,
            maker,
            ts_event_ns: report.ts_exchange_ns,
            ts_recv_ns: time,
            fee: effect.fee,
            realized: effect.realized,
            position_lots: effect.position_lots,
        })
    }

    /// Files an order's new state and tells the strategy.
    fn tell_order(&mut self, mut order: Order, time: i64) {
        if order.status.is_done() {
            order.ts_done_ns = Some(time);
            self.orders.remove(&order.id);
            self.records.orders.push(order);
            self.counts.rejected += u64::from(order.status == Status::Rejected);
        } else {
            self.orders.insert(order.id, order);
        }
        self.hash.order(time, &order);
        self.steps.push_back(Step::Order(order));
    }
}
