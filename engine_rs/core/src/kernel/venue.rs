//! The venue's side of the loop: what is due at the exchanges, and their answers on the way.

use super::settle::Notice;
use super::{Due, Kernel, StreamKind};
use crate::canary::{self, Canary};
use crate::error::Result;
use crate::event::{Event, EventKind};
use crate::exchange::SimExchange;
use crate::exchange::models::FeeBasis;
use crate::money::Money;
use crate::order::{Answer, Report};

/// How long the exchange, where it runs by what is received, waits for a message that shows a time
/// to have passed at the venue.
const UNSEEN_NS: i64 = 1_000_000_000;

impl Kernel {
    /// What is due at the exchange where it runs by the venue's clock, if that is before `time`.
    #[inline]
    pub(super) fn due_at_exchange(&self, mut time: i64, mut due: Due) -> (i64, Due) {
        let mut recv = i64::MIN;
        for (index, stream) in self.streams.iter().enumerate() {
            let cursor = &stream.exchange;
            let tied = cursor.time == time && matches!(due, Due::Exchange(_)) && cursor.recv < recv;
            if cursor.time < time || tied {
                (time, recv, due) = (cursor.time, cursor.recv, Due::Exchange(index));
            }
        }
        for (index, market) in self.markets.iter().enumerate() {
            if market.exchange.next_expiry_ns() < time {
                (time, due) = (market.exchange.next_expiry_ns(), Due::Expiry(index));
            }
        }
        for (index, market) in self.markets.iter().enumerate() {
            if market.to_exchange.due() < time {
                (time, due) = (market.to_exchange.due(), Due::Request(index));
            }
        }
        (time, due)
    }

    /// What is due at the exchange, where it runs by what is received, because nothing was received
    /// for so long; if that is before `time`.
    #[inline]
    pub(super) fn due_unseen(&self, mut time: i64, mut due: Due) -> (i64, Due) {
        for (index, market) in self.markets.iter().enumerate() {
            let expiry = market.exchange.next_expiry_ns();
            if expiry.saturating_add(UNSEEN_NS) < time {
                (time, due) = (expiry + UNSEEN_NS, Due::Expiry(index));
            }
            let request = market.to_exchange.due();
            if request.saturating_add(UNSEEN_NS) < time {
                (time, due) = (request + UNSEEN_NS, Due::Request(index));
            }
        }
        (time, due)
    }

    /// The exchange, where it runs by what is received, acts at a time of our clock.
    pub(super) fn pass_unseen(&mut self, time: i64) {
        if self.causal_responses {
            self.now_ns = time;
        }
    }

    /// The next message of a stream happens at the exchange, at its time, and nothing that comes of
    /// it is told before `not_before_ns`.
    #[inline]
    pub(super) fn on_exchange(
        &mut self,
        index: usize,
        time: i64,
        not_before_ns: i64,
    ) -> Result<()> {
        let stream = &self.streams[index];
        let (instrument, kind) = (stream.instrument, stream.kind);
        if kind.is_rate() {
            let rows = stream.exchange_rows().to_vec();
            self.on_rates(instrument, &rows, time, not_before_ns)?;
            return self.streams[index].advance_exchange();
        }
        self.tell_room_at_event(instrument);
        let rows = self.streams[index].exchange_rows();
        let exchange = &mut self.markets[instrument].exchange;
        happen(exchange, kind, rows, time, &mut self.answers);
        let is_answered = !self.answers.is_empty();
        if is_answered {
            self.send_answers(instrument, not_before_ns)?;
        }
        self.solve_after(instrument, is_answered, time, not_before_ns)?;
        self.streams[index].advance_exchange()
    }

    /// Mark prices and fundings at the venue.
    fn on_rates(
        &mut self,
        instrument: usize,
        rows: &[Event],
        time: i64,
        not_before_ns: i64,
    ) -> Result<()> {
        for row in rows {
            if row.kind == EventKind::Mark as u8 {
                self.tell_room_at_event(instrument);
                self.mark_at_venue(instrument, row, time);
                self.send_answers(instrument, not_before_ns)?;
                self.solve(instrument, time, not_before_ns)?;
            } else {
                self.fund(instrument, row, time, not_before_ns)?;
            }
        }
        Ok(())
    }

    /// As [`Self::tell_room`], before an event of the market, which may bring orders into the book.
    #[inline]
    fn tell_room_at_event(&mut self, instrument: usize) {
        if self.markets[instrument].exchange.may_enter() {
            self.tell_room(instrument);
        }
    }

    /// A message is received where the exchange runs by what is received: what was due at the
    /// exchange before it, then the message itself.
    pub(super) fn reach_exchange(&mut self, index: usize, received_ns: i64) -> Result<()> {
        let stream = &self.streams[index];
        let instrument = stream.instrument;
        let happened_ns = stream.local_rows()[0].venue_time_ns();
        let time = happened_ns.max(self.markets[instrument].exchange_clock_ns);
        loop {
            let market = &self.markets[instrument];
            let (expiry, request) = (market.exchange.next_expiry_ns(), market.to_exchange.due());
            if expiry.min(request) >= time {
                break;
            }
            if expiry <= request {
                self.on_expiry(instrument)?;
            } else {
                self.on_request(instrument)?;
            }
        }
        self.markets[instrument].exchange_clock_ns = time;
        // Both cursors of a stream stand at the same message here.
        self.on_exchange(index, time, received_ns)
    }

    pub(super) fn on_expiry(&mut self, market: usize) -> Result<()> {
        let here = &mut self.markets[market];
        let time = here.exchange.next_expiry_ns();
        here.exchange_clock_ns = here.exchange_clock_ns.max(time);
        here.exchange.on_expiry(time, &mut self.answers);
        self.send_answers(market, self.answers_not_before())
    }

    pub(super) fn on_request(&mut self, market: usize) -> Result<()> {
        let here = &mut self.markets[market];
        let time = here.to_exchange.due();
        let Some((order, command)) = here.to_exchange.receive() else {
            return Ok(());
        };
        here.exchange_clock_ns = here.exchange_clock_ns.max(time);
        self.tell_room(market);
        let exchange = &mut self.markets[market].exchange;
        exchange.on_command(order, command, time, &mut self.answers);
        let not_before_ns = self.answers_not_before();
        self.send_answers(market, not_before_ns)?;
        self.solve_traded(market, time, not_before_ns)
    }

    /// The earliest time of an answer that no message of the market explains.
    pub(super) fn answers_not_before(&self) -> i64 {
        if self.causal_responses {
            self.now_ns
        } else {
            i64::MIN
        }
    }

    /// Sends the exchange's answers on their way, none to arrive before `not_before_ns`, and books
    /// the fills among them at the venue.
    pub(super) fn send_answers(&mut self, index: usize, not_before_ns: i64) -> Result<()> {
        let mut answers = std::mem::take(&mut self.answers);
        for mut report in answers.drain(..) {
            let ts_ns = report.ts_exchange_ns;
            if let Answer::Filled {
                px_ticks,
                qty_lots,
                maker,
                side,
                ..
            } = report.answer
            {
                report.fee = self.fee(index, px_ticks, qty_lots, maker, ts_ns);
                let lots = side.signed(qty_lots);
                self.venue.apply_fill(index, px_ticks, lots, report.fee)?;
            }
            self.tell(index, ts_ns, not_before_ns, Notice::Report(report));
            let is_fill = matches!(report.answer, Answer::Filled { .. });
            if is_fill && report.order % 5 == 3 && canary::is(Canary::DoubleFill) {
                self.tell(index, ts_ns, not_before_ns, Notice::Report(report));
            }
        }
        self.answers = answers;
        Ok(())
    }

    /// What the venue takes for a fill. A value that does not fit is told when the fill is booked.
    pub(super) fn fee(
        &mut self,
        instrument: usize,
        px_ticks: i64,
        qty_lots: i64,
        maker: bool,
        ts_ns: i64,
    ) -> Money {
        let valuer = self.venue.account(instrument).valuer();
        let notional = valuer.value(px_ticks, qty_lots).unwrap_or_default().abs();
        let quote_notional = valuer.quote_notional(px_ticks, qty_lots);
        self.fees.fee(&FeeBasis {
            instrument,
            notional,
            quote_notional: quote_notional.unwrap_or_default(),
            qty_lots,
            maker,
            ts_ns,
        })
    }
}

/// A message of a stream happens at an exchange.
#[inline]
fn happen(
    exchange: &mut SimExchange,
    kind: StreamKind,
    rows: &[Event],
    time: i64,
    answers: &mut Vec<Report>,
) {
    match kind {
        StreamKind::Depth => exchange.on_depth(rows, time, answers),
        StreamKind::Trades => {
            for row in rows {
                exchange.on_trade(row, time, answers);
            }
        }
        StreamKind::Orders => exchange.on_orders(rows, time, answers),
        StreamKind::Marks | StreamKind::Funding => {}
    }
}
