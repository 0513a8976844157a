//! What the venue does to positions by itself: funding at its hours, and liquidation.
//!
//! A liquidation follows Binance's order: the account's orders are cancelled (under isolated margin
//! those of the instrument), the position is closed against the book at prices no worse than its
//! bankruptcy price, and the venue's insurance takes over the rest there, on the next tick beyond.
//! The fee is a share of what was closed in the book, at most what is left of the margin; what is
//! missing the insurance pays. Under cross margin the position with the largest maintenance margin
//! goes first. While the book is suspect nothing is closed; a position without any book is taken
//! over at once. Positions go as a whole, where Binance first tries with parts of large ones. Source:
//! Binance's support page "Liquidation Protocols".

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::funds::AtVenue;
use super::{Entry, Kernel, Phase, Step, Stream, StreamKind};
use crate::error::{Error, Result};
use crate::event::{Event, PX_NONE, Side};
use crate::ledger::Charge;
use crate::margin::Mode;
use crate::money::{MONEY_PLACES, Money, Px, RATE_PLACES, Rate};
use crate::order::{Answer, NewOrder, Order, RejectCode, Report};

/// What the venue takes for the mark price of an instrument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MarkSource {
    /// The mid of its book, the last one while the book is suspect.
    #[default]
    Mid,
    /// The price of the last trade; the mid before the first.
    Last,
    /// The mark prices that the venue published; the mid before the first of them.
    Recorded,
}

impl MarkSource {
    /// The source with this configuration name.
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "mid" => Ok(Self::Mid),
            "last" => Ok(Self::Last),
            "recorded" => Ok(Self::Recorded),
            found => {
                let found = format!("{found:?}");
                Err(Error::invalid("mark", "mid, last or recorded", found))
            }
        }
    }
}

/// Funding of a position, as the strategy learns of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Funding {
    /// Index of the instrument in the run.
    pub instrument: u16,
    /// The venue's clock.
    pub ts_event_ns: i64,
    /// Our clock when it was told.
    pub ts_recv_ns: i64,
    /// The position that it was for, in signed lots.
    pub position_lots: i64,
    /// The mark price that the position was valued at.
    pub mark: Px,
    /// The rate; longs pay shorts where it is positive.
    pub rate: Rate,
    /// Received in the settlement currency, below 0 where it was paid.
    pub amount: Money,
}

/// A position that the venue closed, as the strategy learns of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Liquidation {
    /// Index of the instrument in the run.
    pub instrument: u16,
    /// The venue's clock.
    pub ts_event_ns: i64,
    /// Our clock when it was told.
    pub ts_recv_ns: i64,
    /// The order that stands for it in the tables.
    pub order: u64,
    /// The position that was closed, in signed lots.
    pub position_lots: i64,
    /// Lots of it that the insurance took over.
    pub taken_over_lots: i64,
    /// The mark price at which it came; `None` where there was none.
    pub mark: Option<Px>,
    /// Fee of the liquidation in the settlement currency, fees of the fills apart.
    pub fee: Money,
    /// Loss that the venue's insurance covered.
    pub insurance: Money,
}

/// What the venue tells the strategy.
#[derive(Debug)]
pub(super) enum Notice {
    /// About an order.
    Report(Report),
    /// Of a funding.
    Funding(Funding),
    /// Of a liquidation, with its fills.
    Liquidation(Box<(Liquidation, Vec<Closing>)>),
}

/// One fill of a liquidation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closing {
    px_ticks: i64,
    qty_lots: i64,
    fee: Money,
    /// By the venue's insurance, and not in the book.
    taken_over: bool,
}

/// What happens at the venue.
impl Kernel {
    /// The venue published a mark price.
    pub(super) fn mark_at_venue(&mut self, index: usize, row: &Event, ts_ns: i64) {
        let market = &mut self.markets[index];
        let mark = Px(row.px_ticks);
        if market.mark_source == MarkSource::Recorded {
            market.published_mark = Some(mark);
            market.venue_mark = Some(mark);
        }
        if let Some(px_x2) = mark.half_ticks(market.instrument.tick) {
            market.exchange.on_mark(px_x2, ts_ns, &mut self.answers);
        }
    }

    /// Funding is due for what is held of an instrument.
    pub(super) fn fund(
        &mut self,
        index: usize,
        row: &Event,
        ts_ns: i64,
        not_before_ns: i64,
    ) -> Result<()> {
        let position_lots = self.venue.account(index).position().qty_lots;
        if position_lots == 0 || self.phase != Phase::Running {
            return Ok(());
        }
        self.refresh_venue_mark(index);
        let known = Some(row.px_ticks).filter(|px| *px != PX_NONE).map(Px);
        let mark = known.or(self.markets[index].venue_mark);
        let rate = Rate(row.qty_lots);
        let valuer = self.venue.account(index).valuer();
        let place = || format!("funding of {}", self.markets[index].instrument.id);
        let mark =
            mark.ok_or_else(|| Error::invalid(place(), "a mark price to value it at", "none"))?;
        let amount = valuer.funding(mark, rate, position_lots).ok_or_else(|| {
            let expected = "a value of at most 1e16 of its currency";
            Error::invalid(place(), expected, format!("{position_lots} lots at {mark}"))
        })?;
        let charge = Charge {
            funding: amount,
            ..Charge::default()
        };
        self.venue.apply_charge(index, &charge)?;
        let funding = Funding {
            instrument: u16::try_from(index).expect("checked at the start"),
            ts_event_ns: ts_ns,
            ts_recv_ns: 0,
            position_lots,
            mark,
            rate,
            amount,
        };
        self.tell(index, ts_ns, not_before_ns, Notice::Funding(funding));
        self.solve(index, ts_ns, not_before_ns)
    }

    /// Sends a notice on its way, not to arrive before `not_before_ns`.
    pub(super) fn tell(&mut self, index: usize, ts_ns: i64, not_before_ns: i64, notice: Notice) {
        let market = &mut self.markets[index];
        let latency = market.latency.response_ns(ts_ns);
        let arrival_ns = ts_ns.saturating_add(latency).max(not_before_ns);
        market.to_local.send(arrival_ns, notice);
    }

    /// Takes over what the venue's mark price is now; whether it changed.
    pub(super) fn refresh_venue_mark(&mut self, index: usize) -> bool {
        let market = &mut self.markets[index];
        let tick = market.instrument.tick;
        let exchange = &market.exchange;
        let at = |px_x2| Px::from_half_ticks(px_x2, tick);
        let mid = || at(exchange.mid_px_x2()?);
        let last = || at(exchange.last_px_ticks()?.checked_mul(2)?);
        let px = match market.mark_source {
            MarkSource::Recorded => market.published_mark.or_else(mid),
            MarkSource::Mid => mid(),
            MarkSource::Last => last().or_else(mid),
        };
        let before = market.venue_mark;
        market.venue_mark = px.or(before);
        market.venue_mark != before
    }

    /// After a message of the market, which was answered or not: liquidates what it brings down, and
    /// what waits for a book.
    #[inline]
    pub(super) fn solve_after(
        &mut self,
        index: usize,
        is_answered: bool,
        ts_ns: i64,
        not_before_ns: i64,
    ) -> Result<()> {
        if self.venue.mode() == Mode::None {
            return Ok(());
        }
        for waiting in std::mem::take(&mut self.unclosed) {
            self.solve(waiting, ts_ns, not_before_ns)?;
        }
        let is_held = self.venue.account(index).position().qty_lots != 0;
        if is_answered {
            self.solve_traded(index, ts_ns, not_before_ns)
        } else if is_held && self.refresh_venue_mark(index) {
            self.solve(index, ts_ns, not_before_ns)
        } else {
            Ok(())
        }
    }

    /// After answers about orders of an instrument: fills change what backs every position in the
    /// currencies that the instrument is traded in.
    pub(super) fn solve_traded(
        &mut self,
        index: usize,
        ts_ns: i64,
        not_before_ns: i64,
    ) -> Result<()> {
        self.refresh_venue_mark(index);
        self.solve(index, ts_ns, not_before_ns)?;
        if let Some(backed) = self.venue.backed_by(index) {
            self.solve(backed, ts_ns, not_before_ns)?;
        }
        Ok(())
    }

    /// As the strategy begins, whose positions may be what nobody would have let it open.
    pub(super) fn solve_all(&mut self, ts_ns: i64) -> Result<()> {
        for index in 0..self.markets.len() {
            self.refresh_venue_mark(index);
            self.solve(index, ts_ns, ts_ns)?;
        }
        Ok(())
    }

    /// Liquidates what must be of the account that an instrument's position belongs to.
    pub(super) fn solve(&mut self, index: usize, ts_ns: i64, not_before_ns: i64) -> Result<()> {
        if self.venue.mode() == Mode::None || self.phase != Phase::Running {
            return Ok(());
        }
        while self
            .venue
            .solvency(index, &AtVenue(&self.markets))
            .is_liquidatable()
        {
            let Some(target) = self.next_to_close(index) else {
                // No book is there to close a position in; one may come.
                if !self.unclosed.contains(&index) {
                    self.unclosed.push(index);
                }
                break;
            };
            self.liquidate(target, ts_ns, not_before_ns)?;
        }
        Ok(())
    }

    /// The position that goes next when the account of an instrument is liquidated.
    fn next_to_close(&self, index: usize) -> Option<usize> {
        let quotes = AtVenue(&self.markets);
        let can_close = |other: &usize| {
            let is_depth =
                |stream: &Stream| stream.instrument == *other && stream.kind == StreamKind::Depth;
            self.markets[*other].exchange.book().is_trusted() || !self.streams.iter().any(is_depth)
        };
        self.others_held(index)
            .chain([index])
            .filter(|other| self.venue.maintenance(*other, &quotes) > Money::ZERO)
            .filter(can_close)
            .max_by_key(|other| (self.venue.maintenance(*other, &quotes), Reverse(*other)))
    }

    fn liquidate(&mut self, index: usize, ts_ns: i64, not_before_ns: i64) -> Result<()> {
        self.cancel_for_liquidation(index, ts_ns, not_before_ns)?;
        let mark = self.markets[index].venue_mark;
        let position_lots = self.venue.held(index).qty_lots;
        let mut left = self.venue.backing(index, &AtVenue(&self.markets));
        let closings = self.closings(index, left, ts_ns)?;
        let mut closed_value = Money::ZERO;
        for closing in &closings {
            let lots = -position_lots.signum() * closing.qty_lots;
            let Closing { px_ticks, fee, .. } = *closing;
            let effect = self.venue.apply_fill(index, px_ticks, lots, fee)?;
            left += effect.realized - fee;
            let value = self.venue.account(index).valuer().value(px_ticks, lots);
            if !closing.taken_over {
                closed_value += value.unwrap_or_default().abs();
            }
        }
        let rate = self.markets[index].instrument.liquidation_fee;
        let fee = closed_value.share(rate).min(left).max(Money::ZERO);
        // Under cross margin the other positions go on with what is left, or follow.
        let is_last = self.others_held(index).next().is_none();
        let missing = (fee - left).max(Money::ZERO);
        let insurance = if is_last { missing } else { Money::ZERO };
        let charge = Charge {
            funding: Money::ZERO,
            liquidation_fee: fee,
            insurance,
        };
        self.venue.apply_charge(index, &charge)?;
        let exchange = &mut self.markets[index].exchange;
        exchange.set_position_lots(0, ts_ns, &mut self.answers);
        self.send_answers(index, not_before_ns)?;
        let liquidation = Liquidation {
            instrument: u16::try_from(index).expect("checked at the start"),
            ts_event_ns: ts_ns,
            ts_recv_ns: 0,
            order: 0,
            position_lots,
            taken_over_lots: closings
                .iter()
                .filter_map(|closing| closing.taken_over.then_some(closing.qty_lots))
                .sum(),
            mark,
            fee,
            insurance,
        };
        let notice = Notice::Liquidation(Box::new((liquidation, closings)));
        self.tell(index, ts_ns, not_before_ns, notice);
        Ok(())
    }

    /// Instruments whose positions share a margin with that of another.
    fn others_held(&self, index: usize) -> impl Iterator<Item = usize> {
        let shared = self.venue.mode() == Mode::Cross;
        (0..self.markets.len()).filter(move |other| {
            *other != index && shared && self.venue.is_backed_with(*other, index)
        })
    }

    /// Cancels the orders of the account that is liquidated.
    fn cancel_for_liquidation(
        &mut self,
        index: usize,
        ts_ns: i64,
        not_before_ns: i64,
    ) -> Result<()> {
        let is_cross = self.venue.mode() == Mode::Cross;
        for other in 0..self.markets.len() {
            let shares = is_cross
                && !self.venue.terms(other).is_spot()
                && self.venue.currency(other) == self.venue.currency(index);
            if other == index || shares {
                let exchange = &mut self.markets[other].exchange;
                let code = Some(RejectCode::Liquidation);
                exchange.cancel_all(code, ts_ns, &mut self.answers);
                self.send_answers(other, not_before_ns)?;
            }
        }
        Ok(())
    }

    /// What closes a position that `backing` stands for: trades in the book as far as its bankruptcy
    /// price, and what the insurance takes over.
    fn closings(&mut self, index: usize, backing: Money, ts_ns: i64) -> Result<Vec<Closing>> {
        let held = self.venue.held(index);
        let side = if held.qty_lots > 0 {
            Side::Ask
        } else {
            Side::Bid
        };
        let lots = held.qty_lots.saturating_abs();
        let market = &mut self.markets[index];
        let tick = market.instrument.tick;
        let ticks = |px: Px, up: bool| Some(px.ticks(tick, up)?.max(1));
        // Without a bankruptcy price any price will do.
        let limit = held.bankruptcy_px(backing).and_then(to_px);
        let no_worse = limit.and_then(|px| ticks(px, side == Side::Ask));
        let fills = market.exchange.closing_fills(side, no_worse, lots);
        let mut left = lots;
        let mut closings = Vec::new();
        for (px_ticks, qty_lots) in fills {
            left -= qty_lots;
            closings.push(Closing {
                px_ticks,
                qty_lots,
                fee: self.fee(index, px_ticks, qty_lots, false, ts_ns),
                taken_over: false,
            });
        }
        if left > 0 {
            let market = &self.markets[index];
            let px_ticks = limit
                .or(market.venue_mark)
                .and_then(|px| ticks(px, side == Side::Bid));
            let place = || format!("liquidation of {}", market.instrument.id);
            let px_ticks = px_ticks.ok_or_else(|| Error::invalid(place(), "a price", "none"))?;
            closings.push(Closing {
                px_ticks,
                qty_lots: left,
                fee: Money::ZERO,
                taken_over: true,
            });
        }
        Ok(closings)
    }
}

/// What the strategy is told.
impl Kernel {
    pub(super) fn on_funding(&mut self, mut funding: Funding) -> Result<()> {
        funding.ts_recv_ns = self.now_ns;
        let charge = Charge {
            funding: funding.amount,
            ..Charge::default()
        };
        let index = usize::from(funding.instrument);
        self.ledger.apply_charge(index, &charge)?;
        self.write(&Entry::Funding(funding));
        self.records.fundings.push(funding);
        self.counts.fundings += 1;
        self.steps.push_back(Step::Funding(funding));
        self.watch_risk();
        Ok(())
    }

    /// The fills of a liquidation come as those of an order that nobody sent.
    pub(super) fn on_liquidation(
        &mut self,
        mut liquidation: Liquidation,
        closings: &[Closing],
    ) -> Result<()> {
        self.orders_created += 1;
        liquidation.ts_recv_ns = self.now_ns;
        liquidation.order = self.orders_created;
        let index = usize::from(liquidation.instrument);
        let held = liquidation.position_lots;
        let side = if held > 0 { Side::Ask } else { Side::Bid };
        let request = NewOrder {
            reduce_only: true,
            ..NewOrder::market(liquidation.instrument, side, held.saturating_abs())
        };
        let mut order = Order {
            arrival_mid_px_x2: self.markets[index].mid_px_x2(),
            ..Order::new(liquidation.order, request, self.now_ns)
        };
        for (at, closing) in closings.iter().enumerate() {
            let Closing {
                px_ticks,
                qty_lots,
                fee,
                ..
            } = *closing;
            let complete = at + 1 == closings.len();
            let answer = Answer::Filled {
                side,
                px_ticks,
                qty_lots,
                maker: false,
                complete,
            };
            let report = Report {
                fee,
                ..Report::new(order.id, liquidation.ts_event_ns, answer)
            };
            if !order.apply(&report) {
                return Err(Error::Inconsistent {
                    place: format!("liquidation of {}", self.markets[index].instrument.id),
                    expected: "fills of an open order".to_owned(),
                    found: order.status.name().to_owned(),
                });
            }
            order.reject = complete.then_some(RejectCode::Liquidation);
            let fill = self.book_fill(&order, &report)?;
            self.tell_order(order, self.now_ns);
            self.tell_fill(fill);
        }
        let charge = Charge {
            funding: Money::ZERO,
            liquidation_fee: liquidation.fee,
            insurance: liquidation.insurance,
        };
        self.ledger.apply_charge(index, &charge)?;
        self.write(&Entry::Liquidation(liquidation));
        self.counts.liquidations += 1;
        self.steps.push_back(Step::Liquidation(liquidation));
        self.watch_risk();
        Ok(())
    }
}

/// A price in units of 1e-12 in those of 1e-8, rounded towards 0.
fn to_px(px: Money) -> Option<Px> {
    let unit = 10i128.pow(MONEY_PLACES - RATE_PLACES);
    i64::try_from(px.0 / unit).ok().map(Px)
}
