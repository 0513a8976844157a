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

mod check;
mod limits;
mod rules;
#[cfg(test)]
mod tests;
mod watch;
#[cfg(test)]
mod watch_tests;
mod window;

pub use limits::{Concentration, GroupLimits, InstrumentLimits, Limits, OrderRate, Rate, Share};
pub use rules::Rules;
pub use watch::{Action, Breach, Cause, Kill};

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::event::Side;
use crate::instrument::Instrument;
use crate::money::{Money, Valuer};
use crate::order::{Answer, Link, NewOrder, RejectCode, Role, Status};
use watch::Watch;
use window::Window;

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
    fn new(order: &NewOrder) -> Self {
        Self {
            instrument: order.instrument,
            side: order.side,
            reduce_only: order.reduce_only,
            link: order.link,
            qty_lots: order.qty_lots,
            filled_lots: 0,
            changes: 0,
            asked_lots: 0,
            triggered: false,
        }
    }

    /// The most that may still fill.
    fn counted_lots(&self) -> i64 {
        (self.qty_lots.max(self.asked_lots) - self.filled_lots).max(0)
    }
}

/// What may still fill of the orders of one side.
#[derive(Clone, Copy, Debug, Default)]
struct OpenLots {
    plain: i128,
    reduce_only: i128,
}

/// One instrument and what is held and wanted of it.
#[derive(Debug)]
struct Held {
    rules: Rules,
    valuer: Valuer,
    limits: InstrumentLimits,
    tick: (i64, u32),
    groups: Vec<usize>,
    position_lots: i64,
    bids: OpenLots,
    asks: OpenLots,
    orders_open: usize,
    /// Whether the position is being closed by its stop-loss.
    closing: bool,
    /// Realized profit after costs when the last round trip ended.
    trip_base: Money,
}

impl Held {
    /// Brings the sums of open lots up to date after an order's count changed.
    fn count(&mut self, open: &Open, before: i64, after: i64) {
        let side = if open.side == Side::Bid {
            &mut self.bids
        } else {
            &mut self.asks
        };
        let lots = if open.reduce_only {
            &mut side.reduce_only
        } else {
            &mut side.plain
        };
        *lots += i128::from(after) - i128::from(before);
    }

    /// The position towards one side when all open orders of that side have filled, and `extra`
    /// more; below 0 where it still lies on the other side. Reduce-only orders may use up a
    /// position of the other side before the rest fills.
    fn reach_lots(&self, side: Side, extra: i64) -> i64 {
        let position = i128::from(self.position_lots);
        let (open, against) = if side == Side::Bid {
            (self.bids, -position)
        } else {
            (self.asks, position)
        };
        let left = if against > 0 {
            (against - open.reduce_only).max(0)
        } else {
            against
        };
        clamp(open.plain + i128::from(extra) - left)
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

/// The limits of a run and what they are held against.
#[derive(Debug)]
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
                    bids: OpenLots::default(),
                    asks: OpenLots::default(),
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
        let open = Open::new(order);
        let before = self.list_lots(&open);
        let after = before.max(open.counted_lots());
        self.open.insert(id, open);
        let held = &mut self.held[usize::from(open.instrument)];
        held.orders_open += 1;
        held.count(&open, before, after);
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
        let Some(open) = self.open.get(&id).copied() else {
            return;
        };
        let before = self.list_lots(&open).max(open.counted_lots());
        self.open.remove(&id);
        let after = self.list_lots(&open);
        let held = &mut self.held[usize::from(open.instrument)];
        held.orders_open -= 1;
        held.count(&open, before, after);
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
        let Some(mut open) = self.open.get(&id).copied() else {
            return;
        };
        let before = self.list_lots(&open).max(open.counted_lots());
        change(&mut open);
        self.open.insert(id, open);
        let after = self.list_lots(&open).max(open.counted_lots());
        self.held[usize::from(open.instrument)].count(&open, before, after);
    }

    /// What the live orders of an order's list, of which each cancels the others, count together:
    /// at most one of them fills, so the largest of those that are like it counts. Nothing for an
    /// order without such a list.
    fn list_lots(&self, order: &Open) -> i64 {
        match order.link {
            Some(link) if link.role == Role::Oco => {
                let ids = link.list..link.list + u64::from(link.of);
                let like =
                    |open: &&Open| open.side == order.side && open.reduce_only == order.reduce_only;
                let listed = self.open.range(ids).map(|(_, open)| open).filter(like);
                listed.map(Open::counted_lots).max().unwrap_or(0)
            }
            _ => 0,
        }
    }
}
