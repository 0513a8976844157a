//! Limits on every order before it leaves, and on the account as time goes by.
//!
//! The engine is pure: the caller tells it what happens to orders and positions, asks before each
//! order ([`RiskEngine::check`], [`RiskEngine::check_modify`]) and lets it look at the account after
//! fills and on a timer ([`RiskEngine::evaluate`]). What it must see besides it asks of a [`View`].
//! `docs/risk.md` says what each limit means and lists the codes.
//!
//! Invariants: the open lots of an instrument are the sum over its live orders that can extend a
//! position, each counted with the largest quantity that it may still have at the exchange; a check
//! changes nothing; an order is refused for a figure only if it raises that figure, and an order
//! that can only reduce the position for no limit on positions or exposure.

mod limits;
mod rules;
#[cfg(test)]
mod tests;
mod watch;
mod window;

pub use limits::{Concentration, GroupLimits, InstrumentLimits, Limits, OrderRate, Rate, Share};
pub use rules::Rules;
pub use watch::{Action, Breach, Cause, Kill};

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::event::Side;
use crate::instrument::Instrument;
use crate::money::{Money, Valuer};
use crate::order::{Answer, Link, NewOrder, OrderKind, RejectCode, Role, Status};
use watch::Watch;
use window::Window;

/// Exposures and their sums end here, far beyond what may be traded, so that a comparison with a
/// share of them fits.
const EXPOSURE_MAX: i128 = 10i128.pow(30);

/// What the engine is shown of the run.
pub trait View {
    /// Our clock in ns.
    fn now_ns(&self) -> i64;
    /// Twice the mid of an instrument in ticks: of its received book, or the last of a trusted one.
    fn mid_px_x2(&self, instrument: usize) -> Option<i64>;
    /// The price of an instrument's quote asset in dollars.
    fn quote_usd(&self, instrument: usize) -> Option<Rate>;
    /// Value of an instrument's position at entry, in its settlement currency.
    fn entry_value(&self, instrument: usize) -> Money;
    /// Profit of an instrument's open position, in its settlement currency.
    fn unrealized(&self, instrument: usize) -> Option<Money>;
    /// Equity of the account in dollars.
    fn equity_usd(&self) -> Option<Money>;
}

/// Balance or margin for an order: what is there and what it would take, in one currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Funds {
    /// What is free.
    pub available: Money,
    /// What the order would tie up.
    pub needed: Money,
}

/// A live order as far as risk is concerned.
#[derive(Clone, Copy, Debug)]
struct Open {
    instrument: u16,
    side: Side,
    reduce_only: bool,
    link: Option<Link>,
    /// Total quantity as the exchange told it last, or as asked for.
    qty_lots: i64,
    filled_lots: i64,
    /// Changes under way, and the largest quantity that one of them asks for.
    changes: u32,
    asked_lots: i64,
    /// Triggered, and not told yet that it rests.
    triggered: bool,
}

impl Open {
    /// The most that may still fill and extend a position.
    fn counted_lots(&self) -> i64 {
        if self.reduce_only {
            return 0;
        }
        (self.qty_lots.max(self.asked_lots) - self.filled_lots).max(0)
    }
}

/// One instrument and what is held and wanted of it.
struct Held {
    rules: Rules,
    valuer: Valuer,
    limits: InstrumentLimits,
    tick: (i64, u32),
    groups: Vec<usize>,
    position_lots: i64,
    open_bid_lots: i128,
    open_ask_lots: i128,
    orders_open: usize,
    /// Whether the position is being closed by its stop-loss.
    closing: bool,
    /// Realized profit after costs when the last round trip ended.
    trip_base: Money,
}

impl Held {
    /// Brings the sum of open lots up to date after an order's count changed.
    fn count(&mut self, side: Side, before: i64, after: i64) {
        let open_lots = if side == Side::Bid {
            &mut self.open_bid_lots
        } else {
            &mut self.open_ask_lots
        };
        *open_lots += i128::from(after) - i128::from(before);
    }

    /// The position towards one side when all open orders of that side have filled, and `extra`
    /// more; below 0 where it still lies on the other side.
    fn reach_lots(&self, side: Side, extra: i64) -> i64 {
        let position = i128::from(self.position_lots);
        let reach = if side == Side::Bid {
            position + self.open_bid_lots
        } else {
            self.open_ask_lots - position
        };
        clamp(reach + i128::from(extra))
    }

    /// The larger of the two reaches; never below 0.
    fn gross_lots(&self) -> i64 {
        self.reach_lots(Side::Bid, 0)
            .max(self.reach_lots(Side::Ask, 0))
    }
}

/// An amount of lots in 64 bits; more than those hold counts as the most.
#[allow(clippy::cast_possible_truncation, reason = "clamped to the range")]
fn clamp(lots: i128) -> i64 {
    lots.clamp(-i128::from(i64::MAX), i128::from(i64::MAX)) as i64
}

/// Which instruments a sum goes over, its limits, and what passing them is called.
struct Sum<'a> {
    members: &'a [u16],
    gross_max: Option<Money>,
    net_max: Option<Money>,
    gross: RejectCode,
    net: RejectCode,
}

/// The limits of a run and what they are held against.
pub struct RiskEngine {
    limits: Limits,
    held: Vec<Held>,
    all: Vec<u16>,
    open: BTreeMap<u64, Open>,
    windows: Vec<Window>,
    watch: Watch,
}

impl RiskEngine {
    /// An engine for these instruments, flat and without orders.
    ///
    /// # Errors
    /// Limits for another number of instruments, of instruments that there are not, or windows
    /// without orders or length.
    pub fn new<'a>(
        instruments: impl IntoIterator<Item = &'a Instrument>,
        limits: Limits,
    ) -> Result<Self> {
        let instruments: Vec<&Instrument> = instruments.into_iter().collect();
        if limits.instruments.len() != instruments.len() {
            let expected = format!("limits of {} instruments", instruments.len());
            let found = limits.instruments.len();
            return Err(Error::invalid("risk.instruments", expected, found));
        }
        for member in limits.groups.iter().flat_map(|group| &group.members) {
            if usize::from(*member) >= instruments.len() {
                let expected = format!("indices below {}", instruments.len());
                return Err(Error::invalid("risk.groups", expected, member));
            }
        }
        for rate in &limits.order_rates {
            if rate.orders == 0 || rate.interval_ns <= 0 {
                let expected = "at least one order in a positive time";
                let found = format!("{} in {} ns", rate.orders, rate.interval_ns);
                return Err(Error::invalid("risk.order_rates", expected, found));
            }
        }
        let all: Vec<u16> = (0..=u16::MAX).take(instruments.len()).collect();
        let held = instruments
            .iter()
            .zip(&all)
            .map(|(instrument, index)| {
                let is_in = |group: &GroupLimits| group.members.contains(index);
                Ok(Held {
                    rules: Rules::new(instrument)?,
                    valuer: Valuer::new(instrument)?,
                    limits: limits.instruments[usize::from(*index)].clone(),
                    tick: instrument.tick.parts(),
                    groups: (0..limits.groups.len())
                        .filter(|at| is_in(&limits.groups[*at]))
                        .collect(),
                    position_lots: 0,
                    open_bid_lots: 0,
                    open_ask_lots: 0,
                    orders_open: 0,
                    closing: false,
                    trip_base: Money::ZERO,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            held,
            all,
            open: BTreeMap::new(),
            windows: limits
                .order_rates
                .iter()
                .copied()
                .map(Window::new)
                .collect(),
            watch: Watch::default(),
            limits,
        })
    }

    /// The limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether a look at the account can lead to anything.
    pub fn is_watching(&self) -> bool {
        self.limits.watches_time() || self.watch.kill().is_some()
    }

    /// The rules of an instrument.
    pub fn rules(&self, instrument: usize) -> &Rules {
        &self.held[instrument].rules
    }
}

/// What happens to orders and positions.
impl RiskEngine {
    /// An order was sent.
    pub fn on_submit(&mut self, id: u64, order: &NewOrder, now_ns: i64) {
        self.count_sent(now_ns);
        let open = Open {
            instrument: order.instrument,
            side: order.side,
            reduce_only: order.reduce_only,
            link: order.link,
            qty_lots: order.qty_lots,
            filled_lots: 0,
            changes: 0,
            asked_lots: 0,
            triggered: false,
        };
        let before = self.list_lots(open.link);
        let after = before.max(open.counted_lots());
        self.open.insert(id, open);
        let held = &mut self.held[usize::from(open.instrument)];
        held.orders_open += 1;
        held.count(open.side, before, after);
    }

    /// A change of an order to this total quantity was sent.
    pub fn on_modify(&mut self, id: u64, qty_lots: i64, now_ns: i64) {
        self.count_sent(now_ns);
        self.change(id, |open| {
            open.changes += 1;
            open.asked_lots = open.asked_lots.max(qty_lots);
        });
    }

    /// The exchange answered, to an order that was `before`; the end of an order is told by
    /// [`Self::on_done`].
    pub fn on_answer(&mut self, id: u64, before: Status, answer: &Answer) {
        match *answer {
            Answer::Accepted { qty_lots, .. } | Answer::Waiting { qty_lots, .. } => {
                let resting = self.open.get(&id).is_some_and(|open| open.triggered);
                if before == Status::Submitted || resting {
                    self.change(id, |open| {
                        open.qty_lots = qty_lots;
                        open.triggered = false;
                    });
                } else {
                    self.on_modify_answer(id, Some(qty_lots));
                }
            }
            // What rests after its trigger is told so, which answers no change.
            Answer::Triggered => self.change(id, |open| open.triggered = true),
            Answer::Filled { qty_lots, .. } => self.on_fill(id, qty_lots),
            // An overloaded venue may have refused a cancel as well: the change counts on.
            Answer::RequestRejected(code) if code != RejectCode::Overloaded => {
                self.on_modify_answer(id, None);
            }
            _ => {}
        }
    }

    /// The answer to a change: the order has this total quantity now, or was left as it is.
    pub fn on_modify_answer(&mut self, id: u64, qty_lots: Option<i64>) {
        self.change(id, |open| {
            open.qty_lots = qty_lots.unwrap_or(open.qty_lots);
            open.changes = open.changes.saturating_sub(1);
            if open.changes == 0 {
                open.asked_lots = 0;
            }
        });
    }

    /// An order was filled by this much.
    pub fn on_fill(&mut self, id: u64, qty_lots: i64) {
        self.change(id, |open| open.filled_lots += qty_lots);
    }

    /// An order is done.
    pub fn on_done(&mut self, id: u64) {
        let Some(&open) = self.open.get(&id) else {
            return;
        };
        let before = self.list_lots(open.link).max(open.counted_lots());
        self.open.remove(&id);
        let after = self.list_lots(open.link);
        let held = &mut self.held[usize::from(open.instrument)];
        held.orders_open -= 1;
        held.count(open.side, before, after);
    }

    /// A position changed, by whatever; `net` is the instrument's realized profit so far less all
    /// that was paid for it. A round trip ends when the position reaches or crosses zero: its
    /// result is what `net` changed by since the one before it.
    pub fn on_position(&mut self, instrument: usize, position_lots: i64, net: Money) {
        let held = &mut self.held[instrument];
        let before = held.position_lots.signum();
        held.position_lots = position_lots;
        if position_lots == 0 {
            held.closing = false;
        }
        if before == 0 || before == position_lots.signum() {
            return;
        }
        let result = net - held.trip_base;
        held.trip_base = net;
        self.watch.on_trip(result);
    }

    fn count_sent(&mut self, now_ns: i64) {
        self.windows
            .iter_mut()
            .for_each(|window| window.add(now_ns));
    }

    fn change(&mut self, id: u64, change: impl FnOnce(&mut Open)) {
        let Some(open) = self.open.get(&id) else {
            return;
        };
        let link = open.link;
        let before = self.list_lots(link).max(open.counted_lots());
        let Some(open) = self.open.get_mut(&id) else {
            return;
        };
        change(open);
        let open = *open;
        let after = self.list_lots(link).max(open.counted_lots());
        self.held[usize::from(open.instrument)].count(open.side, before, after);
    }

    /// What the live orders of a list of which each cancels the others count together: at most one
    /// of them fills, so the largest counts. Nothing for any other order.
    fn list_lots(&self, link: Option<Link>) -> i64 {
        match link {
            Some(link) if link.role == Role::Oco => {
                let ids = link.list..link.list + u64::from(link.of);
                let counted = |(_, open): (_, &Open)| open.counted_lots();
                self.open.range(ids).map(counted).max().unwrap_or(0)
            }
            _ => 0,
        }
    }
}

/// What may be sent.
impl RiskEngine {
    /// Why an order must not be sent, if it must not: the first reason in the order of the table in
    /// `docs/risk.md`. `ahead` is how many orders of its list are sent before it at the same time.
    pub fn check(
        &self,
        order: &NewOrder,
        ahead: usize,
        funds: Option<Funds>,
        view: &impl View,
    ) -> Option<RejectCode> {
        let extra = order
            .qty_lots
            .saturating_sub(self.list_lots(order.link))
            .max(0);
        self.judge(order, extra, Some(ahead), funds, view).err()
    }

    /// As [`Self::check`], for a change of a live order, with its whole quantity. `None` as well
    /// for an order that is not live.
    pub fn check_modify(
        &self,
        id: u64,
        order: &NewOrder,
        funds: Option<Funds>,
        view: &impl View,
    ) -> Option<RejectCode> {
        let open = self.open.get(&id)?;
        let wanted = order.qty_lots.saturating_sub(open.filled_lots);
        let counted = self.list_lots(open.link).max(open.counted_lots());
        let extra = wanted.saturating_sub(counted).max(0);
        self.judge(order, extra, None, funds, view).err()
    }

    fn judge(
        &self,
        order: &NewOrder,
        extra: i64,
        new_behind: Option<usize>,
        funds: Option<Funds>,
        view: &impl View,
    ) -> Result<(), RejectCode> {
        let held = &self.held[usize::from(order.instrument)];
        held.rules.check(order)?;
        let reduces = order.reduce_only || reduces(held, order.side, extra);
        if !reduces {
            refuse(self.watch.kill().is_some(), RejectCode::RiskKilled)?;
            refuse(held.closing, RejectCode::RiskStopped)?;
        }
        self.check_size(held, order, view)?;
        check_collar(held, order, view)?;
        let ahead = new_behind.unwrap_or(0);
        let now_ns = view.now_ns();
        let is_full = |window: &Window| window.is_full(ahead, now_ns);
        refuse(self.windows.iter().any(is_full), RejectCode::RiskOrderRate)?;
        if new_behind.is_some() {
            let is_at = |count: usize, max: Option<usize>| max.is_some_and(|max| count >= max);
            let here = is_at(held.orders_open + ahead, held.limits.orders_open_max);
            refuse(here, RejectCode::RiskInstrumentOrders)?;
            let anywhere = is_at(self.open.len() + ahead, self.limits.orders_open_max);
            refuse(anywhere, RejectCode::RiskAccountOrders)?;
        }
        if !reduces && extra > 0 {
            self.check_exposure(order, extra, view)?;
        }
        let is_short = funds.is_some_and(|funds| funds.needed > funds.available);
        refuse(is_short, RejectCode::RiskFunds)
    }

    fn check_size(
        &self,
        held: &Held,
        order: &NewOrder,
        view: &impl View,
    ) -> Result<(), RejectCode> {
        let is_large = held
            .limits
            .order_lots_max
            .is_some_and(|max| order.qty_lots > max);
        refuse(is_large, RejectCode::RiskOrderQty)?;
        if let Some(max) = held.limits.order_notional_max {
            let instrument = usize::from(order.instrument);
            let px_x2 = if order.kind == OrderKind::Limit {
                order.px_ticks.checked_mul(2)
            } else {
                reference_px_x2(order, view)
            };
            let notional = self.usd(instrument, px_x2, order.qty_lots, view)?;
            refuse(notional > max.0, RejectCode::RiskOrderNotional)?;
        }
        Ok(())
    }

    fn check_exposure(
        &self,
        order: &NewOrder,
        extra: i64,
        view: &impl View,
    ) -> Result<(), RejectCode> {
        let instrument = usize::from(order.instrument);
        let held = &self.held[instrument];
        let reach = held.reach_lots(order.side, extra);
        let is_long = held.limits.position_lots_max.is_some_and(|max| reach > max);
        refuse(is_long, RejectCode::RiskPosition)?;
        if let Some(max) = held.limits.exposure_max {
            let exposure = self.exposure(instrument, reach, view)?;
            refuse(exposure > max.0, RejectCode::RiskExposure)?;
        }
        for index in &held.groups {
            let group = &self.limits.groups[*index];
            let sum = Sum {
                members: &group.members,
                gross_max: group.gross_max,
                net_max: group.net_max,
                gross: RejectCode::RiskGroupGross,
                net: RejectCode::RiskGroupNet,
            };
            self.check_sum(&sum, order, reach, view)?;
        }
        let limit = self.limits.concentration;
        let account = Sum {
            members: &self.all,
            // A share of the sum needs the sum, whether that is limited or not.
            gross_max: self.limits.gross_max.or(limit.map(|_| Money(i128::MAX))),
            net_max: self.limits.net_max,
            gross: RejectCode::RiskAccountGross,
            net: RejectCode::RiskAccountNet,
        };
        let gross = self.check_sum(&account, order, reach, view)?;
        if let (Some(limit), Some(gross)) = (limit, gross) {
            let own = self.exposure(instrument, reach, view)?;
            let is_passed = limit.share.is_passed(own, gross.max(limit.floor.0));
            refuse(is_passed, RejectCode::RiskConcentration)?;
        }
        Ok(())
    }

    /// The gross exposure with the order, where it is limited and the order raises it.
    fn check_sum(
        &self,
        sum: &Sum<'_>,
        order: &NewOrder,
        reach: i64,
        view: &impl View,
    ) -> Result<Option<i128>, RejectCode> {
        let own = usize::from(order.instrument);
        let mut gross = None;
        if let Some(max) = sum.gross_max
            && reach > self.held[own].gross_lots()
        {
            let found = self.total(sum.members, own, reach, Held::gross_lots, view)?;
            refuse(found > max.0, sum.gross)?;
            gross = Some(found);
        }
        if let Some(max) = sum.net_max {
            let lots = |held: &Held| held.reach_lots(order.side, 0);
            let found = self.total(sum.members, own, reach, lots, view)?;
            refuse(found > max.0, sum.net)?;
        }
        Ok(gross)
    }

    /// Exposure of these instruments, each with so many lots, and `own_lots` of one of them.
    fn total(
        &self,
        members: &[u16],
        own: usize,
        own_lots: i64,
        lots: impl Fn(&Held) -> i64,
        view: &impl View,
    ) -> Result<i128, RejectCode> {
        let mut total = 0i128;
        for member in members {
            let member = usize::from(*member);
            let lots = if member == own {
                own_lots
            } else {
                lots(&self.held[member])
            };
            total += self.exposure(member, lots, view)?;
        }
        Ok(total.clamp(-EXPOSURE_MAX, EXPOSURE_MAX))
    }

    /// Signed lots of an instrument in units of money in dollars at the mid.
    fn exposure(&self, instrument: usize, lots: i64, view: &impl View) -> Result<i128, RejectCode> {
        self.usd(instrument, view.mid_px_x2(instrument), lots, view)
    }

    /// Signed lots at twice a price: price × quantity of linear contracts, quantity × contract size
    /// of inverse ones, in units of money in dollars.
    fn usd(
        &self,
        instrument: usize,
        px_x2: Option<i64>,
        lots: i64,
        view: &impl View,
    ) -> Result<i128, RejectCode> {
        if lots == 0 {
            return Ok(0);
        }
        let valuer = &self.held[instrument].valuer;
        let missing = RejectCode::RiskPriceMissing;
        let size = lots.saturating_abs();
        let value = if valuer.is_inverse() {
            valuer.quote_notional(1, size)
        } else {
            valuer.value_at_mid(px_x2.ok_or(missing)?, size)
        };
        let rate = view.quote_usd(instrument).ok_or(missing)?;
        let usd = value.map_or(EXPOSURE_MAX, |value| rate.usd(value).0.min(EXPOSURE_MAX));
        Ok(if lots < 0 { -usd } else { usd })
    }
}

fn refuse(if_so: bool, code: RejectCode) -> Result<(), RejectCode> {
    if if_so { Err(code) } else { Ok(()) }
}

/// Whether an order of this side cannot carry the position through zero, whatever fills.
fn reduces(held: &Held, side: Side, extra: i64) -> bool {
    held.position_lots != 0 && held.reach_lots(side, extra) <= 0
}

/// Twice the price around which an order is expected to act: its trigger's, else the mid.
fn reference_px_x2(order: &NewOrder, view: &impl View) -> Option<i64> {
    match order.trigger {
        Some(trigger) if trigger.px_ticks > 0 => trigger.px_ticks.checked_mul(2),
        _ => view.mid_px_x2(usize::from(order.instrument)),
    }
}

fn check_collar(held: &Held, order: &NewOrder, view: &impl View) -> Result<(), RejectCode> {
    let limits = &held.limits;
    if order.kind == OrderKind::Market
        || (limits.px_through_max.is_none() && limits.px_away_max.is_none())
    {
        return Ok(());
    }
    let reference_x2 = reference_px_x2(order, view).ok_or(RejectCode::RiskPriceMissing)?;
    let reference_x2 = i128::from(reference_x2);
    let above_x2 = 2 * i128::from(order.px_ticks) - reference_x2;
    let through_x2 = if order.side == Side::Bid {
        above_x2
    } else {
        -above_x2
    };
    let is_through = limits
        .px_through_max
        .is_some_and(|share| share.is_passed(through_x2, reference_x2));
    refuse(is_through, RejectCode::RiskPxThrough)?;
    let is_away = limits
        .px_away_max
        .is_some_and(|share| share.is_passed(-through_x2, reference_x2));
    refuse(is_away, RejectCode::RiskPxAway)
}
