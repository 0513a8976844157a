//! The strategy's side of order entry: commands out, answers in.

use std::collections::BTreeMap;

use super::entry::index_of;
use super::settle::Notice;
use super::{
    Asked, CancelledAll, EngineCommand, Entry, Fill, Kernel, Phase, Placement, Step, Submitted,
    SubmittedList,
};
use crate::canary::{self, Canary};
use crate::error::{Error, Result};
use crate::exchange::models::Delay;
use crate::order::{
    Answer, Change, Command, Link, NewOrder, Order, RejectCode, Report, Role, Status,
};

/// Names that the strategy gave its orders, each used once in a run.
#[derive(Debug, Default)]
pub(super) struct ClientIds {
    by_name: BTreeMap<String, u64>,
    by_order: BTreeMap<u64, String>,
}

impl Kernel {
    /// Gives an order and returns its id. One that breaks the instrument's rules is refused here,
    /// which the strategy learns as the next thing that happens.
    pub fn submit(&mut self, request: NewOrder) -> u64 {
        self.submit_named(request, None, None)
    }

    /// As [`Self::submit`], with a name for the order, and the reason for a refusal found by the
    /// caller, who turned decimal text into ticks and lots.
    pub fn submit_named(
        &mut self,
        request: NewOrder,
        client_id: Option<&str>,
        refusal: Option<RejectCode>,
    ) -> u64 {
        let id = self.orders_created + 1;
        let written = Submitted {
            cause: self.cause(),
            order: id,
            request,
            client_id: client_id.map(Into::into),
            refusal,
        };
        let is_late = canary::is(Canary::RecordAfterSending);
        if !is_late {
            self.write(&Entry::Submit(written.clone()));
        }
        let refusal = self.name_order(id, client_id).or(refusal);
        let refusal = refusal.or_else(|| self.refuse(&request, 0));
        let id = self.place(request, refusal, None);
        if is_late {
            self.write(&Entry::Submit(written));
        }
        id
    }

    /// Gives the orders of a list, such as a bracket, and returns the id of the first; the others
    /// follow it by one. They reach the exchange together; if one breaks a rule, all are refused.
    pub fn submit_list(
        &mut self,
        requests: &[(NewOrder, Role)],
        refusal: Option<RejectCode>,
    ) -> u64 {
        let list = self.orders_created + 1;
        self.write(&Entry::SubmitList(SubmittedList {
            cause: self.cause(),
            list,
            requests: requests.into(),
            refusal,
        }));
        let of = u8::try_from(requests.len()).unwrap_or(u8::MAX);
        let refusals: Vec<Option<RejectCode>> = requests
            .iter()
            .enumerate()
            .map(|(ahead, (request, _))| refusal.or_else(|| self.refuse(request, ahead)))
            .collect();
        let any = refusals.iter().any(Option::is_some);
        let delay = requests
            .first()
            .filter(|_| !any)
            .map(|(request, _)| self.order_entry(usize::from(request.instrument)));
        for (&(request, role), refusal) in requests.iter().zip(refusals) {
            let refusal = refusal.or(any.then_some(RejectCode::ListEnded));
            let link = Some(Link { list, role, of });
            self.place(NewOrder { link, ..request }, refusal, delay);
        }
        list
    }

    /// Files an order and sends it, or tells that it is refused.
    fn place(
        &mut self,
        request: NewOrder,
        refusal: Option<RejectCode>,
        delay: Option<Delay>,
    ) -> u64 {
        self.orders_created += 1;
        self.counts.orders += 1;
        let id = self.orders_created;
        let order = Order {
            arrival_mid_px_x2: self.markets[usize::from(request.instrument)].mid_px_x2(),
            ..Order::new(id, request, self.now_ns)
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
            self.risk.on_submit(id, &request, self.now_ns);
            let market = usize::from(request.instrument);
            let delay = delay.unwrap_or_else(|| self.order_entry(market));
            self.send(market, id, Command::New(request), delay);
        }
        id
    }

    /// Gives an order that the strategy did not ask for.
    pub(super) fn place_by_engine(&mut self, request: NewOrder) -> u64 {
        self.write_by_engine(
            request.instrument,
            self.orders_created + 1,
            Command::New(request),
        );
        self.place(request, None, None)
    }

    /// Why an order is refused before it is sent, if it is; `ahead` orders are sent with it.
    fn refuse(&self, request: &NewOrder, ahead: usize) -> Option<RejectCode> {
        if self.phase == Phase::Ended {
            return Some(RejectCode::RunEnded);
        }
        if canary::is(Canary::LimitAfterSending) {
            return None;
        }
        let is_covered = self.is_covered(request, None);
        self.risk
            .check(request, ahead, is_covered, &self.risk_view())
    }

    /// Files the name of an order to come; the refusal where it was used before.
    fn name_order(&mut self, id: u64, client_id: Option<&str>) -> Option<RejectCode> {
        let name = client_id?;
        if self.client_ids.by_name.contains_key(name) {
            return Some(RejectCode::ClientIdUsed);
        }
        self.client_ids.by_name.insert(name.to_owned(), id);
        self.client_ids.by_order.insert(id, name.to_owned());
        None
    }

    /// The name that the strategy gave an order.
    pub fn client_id(&self, id: u64) -> Option<&str> {
        self.client_ids.by_order.get(&id).map(String::as_str)
    }

    /// The order that the strategy gave this name, live or not.
    pub fn order_of_client(&self, client_id: &str) -> Option<u64> {
        self.client_ids.by_name.get(client_id).copied()
    }

    /// Asks to cancel an order; `false` where it is not live as far as we know.
    pub fn cancel(&mut self, id: u64) -> bool {
        let Some(order) = self.orders.get(&id) else {
            return false;
        };
        let market = usize::from(order.request.instrument);
        self.write_ask(id, None);
        self.request(market, id, Command::Cancel);
        true
    }

    /// Asks to cancel everything that lives at the exchange of an instrument when the request
    /// arrives there; returns how many orders live as far as we know.
    pub fn cancel_all(&mut self, market: usize) -> usize {
        let count = self.count_live(market);
        if count > 0 {
            self.write(&Entry::CancelAll(CancelledAll {
                cause: self.cause(),
                instrument: index_of(market),
            }));
            self.request(market, 0, Command::CancelAll);
        }
        count
    }

    /// As [`Self::cancel_all`], by the engine itself.
    pub(super) fn cancel_all_of(&mut self, market: usize) {
        if self.count_live(market) > 0 {
            self.command_by_engine(market, 0, Command::CancelAll);
        }
    }

    /// Sends a command that the strategy did not ask for.
    pub(super) fn command_by_engine(&mut self, market: usize, order: u64, command: Command) {
        self.write_by_engine(index_of(market), order, command);
        self.request(market, order, command);
    }

    fn write_by_engine(&mut self, instrument: u16, order: u64, command: Command) {
        self.write(&Entry::Engine(EngineCommand {
            instrument,
            order,
            command,
        }));
    }

    fn write_ask(&mut self, order: u64, change: Option<Change>) {
        self.write(&Entry::Ask(Asked {
            cause: self.cause(),
            order,
            change,
        }));
    }

    /// Orders of an instrument that live as far as we know.
    fn count_live(&self, market: usize) -> usize {
        let here = |order: &&Order| usize::from(order.request.instrument) == market;
        self.orders.values().filter(here).count()
    }

    /// Asks to change prices or total quantity of an order; `false` where it is not live as far as
    /// we know. It queues anew unless only its quantity falls. A change that breaks the instrument's
    /// rules is refused here: the order stays as it is and the strategy is told.
    pub fn modify(&mut self, id: u64, change: Change) -> bool {
        let Some(order) = self.orders.get(&id).copied() else {
            return false;
        };
        let market = usize::from(order.request.instrument);
        let mut wanted = order.request;
        wanted.px_ticks = change.px_ticks.unwrap_or(wanted.px_ticks);
        wanted.qty_lots = change.qty_lots.unwrap_or(wanted.qty_lots);
        // What an iceberg shows is cut to what is left of it.
        wanted.display_lots = wanted.display_lots.map(|lots| lots.min(wanted.qty_lots));
        if let (Some(trigger), Some(px)) = (&mut wanted.trigger, change.trigger_px_ticks) {
            trigger.px_ticks = px;
        }
        let ended = (self.phase == Phase::Ended).then_some(RejectCode::RunEnded);
        let is_covered = self.is_covered(&wanted, Some(id));
        let view = self.risk_view();
        let refusal = ended.or_else(|| self.risk.check_modify(id, &wanted, is_covered, &view));
        self.write_ask(id, Some(change));
        if let Some(code) = refusal {
            let refused = Order {
                reject: Some(code),
                ..order
            };
            self.tell_order(refused, self.now_ns);
        } else {
            self.risk.on_modify(id, wanted.qty_lots, self.now_ns);
            self.request(market, id, Command::Modify(change));
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

    fn request(&mut self, market: usize, id: u64, command: Command) {
        let delay = self.order_entry(market);
        self.send(market, id, command, delay);
    }

    fn order_entry(&mut self, market: usize) -> Delay {
        self.markets[market].latency.order_entry(self.now_ns)
    }

    fn send(&mut self, market: usize, id: u64, command: Command, delay: Delay) {
        // What the journal does not hold must not happen.
        if self.log.has_failed() {
            return;
        }
        let now_ns = self.now_ns;
        let market = &mut self.markets[market];
        match delay {
            Delay::Arrives(after_ns) => {
                let arrival_ns = now_ns.saturating_add(after_ns);
                market.to_exchange.send(arrival_ns, (id, command));
            }
            Delay::Refused(after_ns) => {
                let code = RejectCode::Overloaded;
                let answer = match command {
                    Command::New(_) => Answer::Rejected(code),
                    _ => Answer::RequestRejected(code),
                };
                // The venue never gave it a time.
                let notice = Notice::Report(Report::new(id, now_ns, answer));
                market
                    .to_local
                    .send(now_ns.saturating_add(after_ns), notice);
            }
        }
    }

    /// A notice of the venue is received.
    pub(super) fn on_notice(&mut self, market: usize, time: i64) -> Result<()> {
        self.now_ns = time;
        match self.markets[market].to_local.receive() {
            None => Ok(()),
            Some(Notice::Report(report)) => self.on_answer(&report),
            Some(Notice::Funding(funding)) => self.on_funding(funding),
            Some(Notice::Liquidation(told)) => self.on_liquidation(told.0, &told.1),
        }
    }

    fn on_answer(&mut self, report: &Report) -> Result<()> {
        let Some(mut order) = self.orders.get(&report.order).copied() else {
            // The order ended while the request was under way; the answer changes nothing.
            self.counts.requests_too_late += 1;
            return Ok(());
        };
        let is_fill = matches!(report.answer, Answer::Filled { .. });
        if is_fill && order.id % 5 == 3 && canary::is(Canary::LostFill) {
            return Ok(());
        }
        let before = order.status;
        if !order.apply(report) {
            return Err(Error::Inconsistent {
                place: format!("order {}", order.id),
                expected: format!("an answer that may follow {}", before.name()),
                found: format!("{:?}", report.answer),
            });
        }
        let fill = match report.answer {
            Answer::Filled { .. } => Some(self.book_fill(&order, report)?),
            Answer::Accepted { px_ticks, qty_lots } => {
                let placement = Placement {
                    order: order.id,
                    instrument: order.request.instrument,
                    ts_event_ns: report.ts_exchange_ns,
                    px_ticks,
                    qty_lots,
                };
                self.write(&Entry::Placement(placement));
                self.records.placements.push(placement);
                None
            }
            _ => None,
        };
        self.risk.on_answer(order.id, before, &report.answer);
        self.tell_order(order, self.now_ns);
        if let Some(fill) = fill {
            self.tell_fill(fill);
        }
        Ok(())
    }

    /// Files a fill and tells the strategy.
    pub(super) fn tell_fill(&mut self, fill: Fill) {
        self.write(&Entry::Fill(fill));
        self.counts.fills += 1;
        let mid = self.markets[usize::from(fill.instrument)].mid_px_x2();
        self.markouts.push(fill, mid);
        self.steps.push_back(Step::Fill(fill));
        self.watch_risk();
    }

    /// Books the fill of a report.
    pub(super) fn book_fill(&mut self, order: &Order, report: &Report) -> Result<Fill> {
        let Answer::Filled {
            px_ticks,
            qty_lots,
            maker,
            ..
        } = report.answer
        else {
            unreachable!("the caller matched a fill");
        };
        let request = &order.request;
        let instrument = usize::from(request.instrument);
        let lots = request.signed(qty_lots);
        let effect = self
            .ledger
            .apply_fill(instrument, px_ticks, lots, report.fee)?;
        Ok(Fill {
            order: order.id,
            instrument: request.instrument,
            side: request.side,
            px_ticks,
            qty_lots,
            maker,
            ts_event_ns: report.ts_exchange_ns,
            ts_recv_ns: self.now_ns,
            fee: report.fee,
            realized: effect.realized,
            position_lots: effect.position_lots,
        })
    }

    /// Files an order's new state and tells the strategy.
    pub(super) fn tell_order(&mut self, mut order: Order, time: i64) {
        if let Some(code) = order.reject {
            *self.codes_told.entry(code.name()).or_default() += 1;
        }
        if order.status.is_done() {
            order.ts_done_ns = Some(time);
            self.orders.remove(&order.id);
            self.risk.on_done(order.id);
            self.records.orders.push(order);
            self.counts.rejected += u64::from(order.status == Status::Rejected);
        } else {
            self.orders.insert(order.id, order);
        }
        self.log.write(self.seq, time, &Entry::Order(order));
        self.steps.push_back(Step::Order(order));
    }
}
