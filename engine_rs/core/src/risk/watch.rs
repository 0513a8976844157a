//! What is held against limits as time goes by, and what follows from passing one.

use serde::{Deserialize, Serialize};

use super::limits::{Rate, Share, mul_div};
use super::{Held, RiskEngine, View};
use crate::money::{MONEY_PLACES, Money};

const DAY_NS: i64 = 86_400_000_000_000;

/// Why trading ended, or a position was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// The strategy asked for it.
    Strategy,
    /// An operator asked for it.
    Operator,
    /// Equity fell too far from its peak.
    Drawdown,
    /// Equity fell too far since the beginning of the UTC day.
    DailyLoss,
    /// Too many round trips ended at a loss one after the other.
    LosingTrades,
    /// A position lost too much since it was entered.
    StopLoss,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 6] = [
        Self::Strategy,
        Self::Operator,
        Self::Drawdown,
        Self::DailyLoss,
        Self::LosingTrades,
        Self::StopLoss,
    ];

    /// The name that users see.
    pub fn name(self) -> &'static str {
        match self {
            Self::Strategy => "strategy",
            Self::Operator => "operator",
            Self::Drawdown => "drawdown",
            Self::DailyLoss => "daily_loss",
            Self::LosingTrades => "losing_trades",
            Self::StopLoss => "stop_loss",
        }
    }
}

/// A limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breach {
    /// Which one.
    pub cause: Cause,
    /// The instrument, for a stop-loss.
    pub instrument: Option<u16>,
    /// What was found: a loss in dollars, or for losing trades their number.
    pub found: Money,
    /// What it may be at most, in the same unit.
    pub limit: Money,
}

/// What the caller is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Trading has ended: cancel every order.
    Kill(Breach),
    /// A position has lost too much: cancel the instrument's orders.
    Stop(Breach),
    /// Close the position of this instrument, unless an order that does is live. Asked for again
    /// until the position is gone.
    Close(u16),
}

/// The end of trading: from here on only reducing orders pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kill {
    /// Who or what ended it.
    pub cause: Cause,
    /// In words.
    pub reason: String,
    /// Our clock.
    pub ts_ns: i64,
    /// Whether all positions are closed as well.
    pub flattens: bool,
}

/// The account's history as far as limits look at it.
#[derive(Debug, Default)]
pub(super) struct Watch {
    kill: Option<Kill>,
    peak: Option<Money>,
    /// The equity seen last.
    last: Option<Money>,
    /// The UTC day since the epoch, and the equity that it began with.
    day: Option<(i64, Money)>,
    losses: u32,
}

impl Watch {
    pub fn kill(&self) -> Option<&Kill> {
        self.kill.as_ref()
    }

    /// A round trip ended with this result; one that ended at zero is no loss.
    pub fn on_trip(&mut self, result: Money) {
        self.losses = if result < Money::ZERO {
            self.losses.saturating_add(1)
        } else {
            0
        };
    }

    /// Takes in the equity of now.
    fn see(&mut self, equity: Money, now_ns: i64) {
        self.peak = Some(self.peak.map_or(equity, |peak| peak.max(equity)));
        let today = now_ns.div_euclid(DAY_NS);
        if self.day.is_none_or(|(day, _)| day != today) {
            // What the night did belongs to the day that begins.
            self.day = Some((today, self.last.unwrap_or(equity)));
        }
        self.last = Some(equity);
    }
}

impl RiskEngine {
    /// The end of trading, if it has come.
    pub fn kill(&self) -> Option<&Kill> {
        self.watch.kill.as_ref()
    }

    /// Ends trading; the caller cancels every order. Whether it was not over yet: the first cause
    /// stands, but a later call may still ask for positions to be closed.
    pub fn end_trading(
        &mut self,
        cause: Cause,
        reason: String,
        flattens: bool,
        now_ns: i64,
    ) -> bool {
        if let Some(kill) = &mut self.watch.kill {
            kill.flattens |= flattens;
            return false;
        }
        self.watch.kill = Some(Kill {
            cause,
            reason,
            ts_ns: now_ns,
            flattens,
        });
        true
    }

    /// Looks at positions and account and says what is to be done, in this order: stop-losses by
    /// instrument, the end of trading, positions to close by instrument. A figure that cannot be
    /// valued now is left for the next time.
    pub fn evaluate(&mut self, view: &impl View, actions: &mut Vec<Action>) {
        for (index, held) in (0..=u16::MAX).zip(&mut self.held) {
            if held.position_lots == 0 || held.closing {
                continue;
            }
            if let Some(breach) = stop_loss(index, held, view) {
                held.closing = true;
                actions.push(Action::Stop(breach));
            }
        }
        if let Some(breach) = self.account_breach(view)
            && self.watch.kill.is_none()
        {
            let reason = breach.to_string();
            let flattens = self.limits.flattens;
            self.end_trading(breach.cause, reason, flattens, view.now_ns());
            actions.push(Action::Kill(breach));
        }
        let flattens = self.watch.kill.as_ref().is_some_and(|kill| kill.flattens);
        for (index, held) in (0..=u16::MAX).zip(&self.held) {
            if held.position_lots != 0 && (held.closing || flattens) {
                actions.push(Action::Close(index));
            }
        }
    }

    /// The first limit of the account that is reached.
    fn account_breach(&mut self, view: &impl View) -> Option<Breach> {
        let limits = &self.limits;
        if limits.watches_equity()
            && let Some(equity) = view.equity_usd()
        {
            self.watch.see(equity, view.now_ns());
            let fall = |from: Option<Money>, max, share| {
                let from = from?;
                reached(from - equity, from, max, share)
            };
            let breach = |cause, (found, limit)| Breach {
                cause,
                instrument: None,
                found,
                limit,
            };
            let peak = self.watch.peak;
            if let Some(hit) = fall(peak, limits.drawdown_max, limits.drawdown_share_max) {
                return Some(breach(Cause::Drawdown, hit));
            }
            let morning = self.watch.day.map(|(_, equity)| equity);
            if let Some(hit) = fall(morning, limits.daily_loss_max, limits.daily_loss_share_max) {
                return Some(breach(Cause::DailyLoss, hit));
            }
        }
        let max = limits.losses_max?;
        (self.watch.losses >= max).then(|| Breach {
            cause: Cause::LosingTrades,
            instrument: None,
            found: whole(self.watch.losses),
            limit: whole(max),
        })
    }
}

/// The stop-loss of a position, if it is reached.
fn stop_loss(index: u16, held: &Held, view: &impl View) -> Option<Breach> {
    let (max, share) = (held.limits.stop_loss, held.limits.stop_loss_share);
    if max.is_none() && share.is_none() {
        return None;
    }
    let instrument = usize::from(index);
    let loss = Money(-view.unrealized(instrument)?.0);
    if loss <= Money::ZERO {
        return None;
    }
    let entry = Money(view.entry_value(instrument).0.abs());
    // A share is one of the settlement currency, whatever that is worth.
    let is_share_reached = share.is_some_and(|share| share.is_reached(loss.0, entry.0));
    let rate = view.quote_usd(instrument);
    let mid_px_x2 = view.mid_px_x2(instrument);
    let usd = |amount| settled_usd(held, amount, rate, mid_px_x2);
    let found = usd(loss);
    let breach = |limit| Breach {
        cause: Cause::StopLoss,
        instrument: Some(index),
        found: found.unwrap_or_default(),
        limit,
    };
    if is_share_reached && let Some(share) = share {
        return Some(breach(usd(share.of(entry)).unwrap_or_default()));
    }
    let max = max?;
    (found? >= max).then(|| breach(max))
}

/// An amount of an instrument's settlement currency in dollars: an inverse contract settles in its
/// base asset, whose price in the quote asset is the mid.
fn settled_usd(
    held: &Held,
    amount: Money,
    rate: Option<Rate>,
    mid_px_x2: Option<i64>,
) -> Option<Money> {
    let quote = if held.valuer.is_inverse() {
        let (mantissa, places) = held.tick;
        let px = i128::from(mid_px_x2?).checked_mul(i128::from(mantissa))?;
        Money(mul_div(amount.0, px, 10i128.checked_pow(places)? * 2))
    } else {
        amount
    };
    Some(rate?.usd(quote))
}

/// A loss and the first of its limits that it reaches, as amounts.
fn reached(
    loss: Money,
    from: Money,
    max: Option<Money>,
    share: Option<Share>,
) -> Option<(Money, Money)> {
    if loss <= Money::ZERO {
        return None;
    }
    if let Some(max) = max.filter(|max| loss >= *max) {
        return Some((loss, max));
    }
    let share = share.filter(|share| share.is_reached(loss.0, from.0.max(0)))?;
    Some((loss, share.of(Money(from.0.max(0)))))
}

fn whole(count: u32) -> Money {
    Money(i128::from(count) * 10i128.pow(MONEY_PLACES))
}

impl std::fmt::Display for Breach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (found, limit) = (self.found.to_f64(), self.limit.to_f64());
        match self.cause {
            Cause::LosingTrades => write!(
                f,
                "{found:.0} losing trades in a row, at most {limit:.0} are allowed"
            ),
            cause => write!(
                f,
                "{} of {found:.2} USD reached the limit of {limit:.2} USD",
                cause.name()
            ),
        }
    }
}
