//! The risk engine in the loop: what it is shown, and what is done when it acts.
//!
//! The account is looked at after every fill and on a grid of our clock. Orders that were to be
//! cancelled and still live a second later, because an overloaded exchange refused the request, are
//! cancelled again; a position that was to be closed is, until it is gone.

use serde::{Deserialize, Serialize};

use super::equity::unrealized;
use super::queues::{TimerUse, next_on_grid};
use super::{Entry, Kernel, KillAsked, Market, Phase, RiskTold, Step};
use crate::error::{Error, Result};
use crate::event::Side;
use crate::ledger::Ledger;
use crate::money::Money;
use crate::order::{Command, NewOrder};
use crate::portfolio::Wallet;
use crate::risk::{Action, Breach, Cause, Kill, Limits, Rate, View};

/// Assets of which one counts as one dollar.
const DOLLARS: [&str; 3] = ["USD", "USDT", "USDC"];
const CANCEL_AGAIN_NS: i64 = 1_000_000_000;

/// Limits of a run, and what it takes to hold the account against them.
#[derive(Clone, Debug)]
pub struct RiskSettings {
    /// The limits.
    pub limits: Limits,
    /// Time between two looks at the account in ns, positive.
    pub check_every_ns: i64,
    /// Prices in dollars of assets that no instrument of the run tells.
    pub prices_usd: Vec<(String, Rate)>,
}

impl RiskSettings {
    /// No limits for this many instruments.
    pub fn none(instruments: usize) -> Self {
        Self {
            limits: Limits::none(instruments),
            check_every_ns: 100_000_000,
            prices_usd: Vec::new(),
        }
    }
}

/// Trading ended, or a position is being closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RiskEvent {
    /// Why; every cause but a stop-loss ends trading.
    pub cause: Cause,
    /// The limit that was reached, where it was one.
    pub breach: Option<Breach>,
}

impl RiskEvent {
    /// The instrument whose position is being closed.
    pub fn instrument(&self) -> Option<u16> {
        self.breach.and_then(|breach| breach.instrument)
    }
}

/// Where the price of an asset in dollars comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UsdPrice {
    Fixed(Rate),
    /// The mid of this instrument.
    Mid(usize),
    Unknown,
}

impl UsdPrice {
    fn of(asset: &str, settings: &RiskSettings, markets: &[Market]) -> Self {
        if DOLLARS.contains(&asset) {
            return Self::Fixed(Rate::ONE);
        }
        let tells = |market: &Market| {
            market.instrument.base == asset && DOLLARS.contains(&market.instrument.quote.as_str())
        };
        if let Some(index) = markets.iter().position(tells) {
            return Self::Mid(index);
        }
        let fixed = settings.prices_usd.iter().find(|(name, _)| name == asset);
        fixed.map_or(Self::Unknown, |(_, rate)| Self::Fixed(*rate))
    }

    fn rate(self, markets: &[Market]) -> Option<Rate> {
        match self {
            Self::Fixed(rate) => Some(rate),
            Self::Mid(index) => {
                let market = &markets[index];
                Rate::of_mid(market.known_mid_px_x2()?, market.instrument.tick)
            }
            Self::Unknown => None,
        }
    }
}

/// What is being cancelled and closed in one instrument.
#[derive(Clone, Copy, Debug, Default)]
struct Clearing {
    /// Orders up to this id are to go; 0 where none are.
    cancel_through: u64,
    /// When they were cancelled last.
    cancelled_ns: i64,
    /// The order that closes the position.
    closer: Option<u64>,
}

/// Prices in dollars, and what is under way of what the engine asked for.
#[derive(Debug)]
pub(super) struct RiskDesk {
    /// Of each instrument's quote asset.
    quotes: Vec<UsdPrice>,
    /// Of each wallet's currency; `None` where no instrument settles in it, so that nothing that
    /// happens in the run changes it.
    currencies: Vec<Option<UsdPrice>>,
    clearings: Vec<Clearing>,
    check_every_ns: i64,
    is_timed: bool,
}

impl RiskDesk {
    pub fn new(settings: &RiskSettings, markets: &[Market], ledger: &Ledger) -> Result<Self> {
        if settings.check_every_ns <= 0 {
            let found = settings.check_every_ns;
            return Err(Error::invalid("risk.check_every", "a positive time", found));
        }
        let price = |asset: &str| UsdPrice::of(asset, settings, markets);
        let currency = |(index, wallet): (usize, &Wallet)| {
            let settles = (0..markets.len()).any(|market| ledger.currency(market) == index);
            settles.then(|| price(&wallet.currency))
        };
        Ok(Self {
            quotes: markets.iter().map(|m| price(&m.instrument.quote)).collect(),
            currencies: ledger.wallets().iter().enumerate().map(currency).collect(),
            clearings: vec![Clearing::default(); markets.len()],
            check_every_ns: settings.check_every_ns,
            is_timed: false,
        })
    }
}

/// The run as the risk engine sees it.
pub(super) struct RiskView<'a> {
    now_ns: i64,
    markets: &'a [Market],
    ledger: &'a Ledger,
    desk: &'a RiskDesk,
}

impl View for RiskView<'_> {
    fn now_ns(&self) -> i64 {
        self.now_ns
    }

    fn mid_px_x2(&self, instrument: usize) -> Option<i64> {
        self.markets[instrument].known_mid_px_x2()
    }

    fn quote_usd(&self, instrument: usize) -> Option<Rate> {
        self.desk.quotes[instrument].rate(self.markets)
    }

    fn entry_value(&self, instrument: usize) -> Money {
        self.ledger.account(instrument).position().entry_value
    }

    fn unrealized(&self, instrument: usize) -> Option<Money> {
        let account = self.ledger.account(instrument);
        unrealized(&self.markets[instrument], account)
    }

    fn equity_usd(&self) -> Option<Money> {
        let mut total = Money::ZERO;
        let wallets = self.ledger.wallets().iter().zip(&self.desk.currencies);
        for (index, (wallet, price)) in wallets.enumerate() {
            let Some(price) = price else { continue };
            let mut equity = wallet.balance;
            for at in 0..self.markets.len() {
                if self.ledger.currency(at) == index {
                    equity += self.unrealized(at)?;
                }
            }
            total += price.rate(self.markets)?.usd(equity);
        }
        Some(total)
    }
}

impl Kernel {
    /// Ends trading for good: cancels every order, and from now on lets only reducing orders pass;
    /// with `flatten` it closes all positions as well. `false` where trading had ended before.
    pub fn kill(&mut self, cause: Cause, reason: &str, flatten: bool) -> bool {
        if self.phase != Phase::Running {
            return false;
        }
        let asked = KillAsked {
            cause: self.cause(),
            by: cause,
            reason: reason.into(),
            flatten,
        };
        self.write(&Entry::Kill(asked));
        let now_ns = self.now_ns;
        let first = self
            .risk
            .end_trading(cause, reason.to_owned(), flatten, now_ns);
        if first {
            let breach = None;
            self.tell_killed(RiskEvent { cause, breach });
        }
        self.time_risk();
        self.watch_risk();
        first
    }

    /// The end of trading, if it has come.
    pub fn killed(&self) -> Option<&Kill> {
        self.risk.kill()
    }

    pub(super) fn risk_view(&self) -> RiskView<'_> {
        RiskView {
            now_ns: self.now_ns,
            markets: &self.markets,
            ledger: &self.ledger,
            desk: &self.desk,
        }
    }

    /// The account at the start is what losses are counted from.
    pub(super) fn begin_risk(&mut self) {
        self.watch_risk();
        if self.risk.limits().watches_time() {
            self.time_risk();
        }
    }

    fn time_risk(&mut self) {
        if !self.desk.is_timed {
            self.desk.is_timed = true;
            let every = self.desk.check_every_ns;
            let first = next_on_grid(self.now_ns, every);
            self.timers.add(first, Some(every), TimerUse::Risk);
        }
    }

    /// Tells the risk engine what is held, however it came about.
    fn tell_positions(&mut self) {
        for index in 0..self.markets.len() {
            let position = self.ledger.account(index).position();
            self.risk
                .on_position(index, position.qty_lots, position.cash());
        }
    }

    /// Holds the account against its limits and does what follows.
    pub(super) fn watch_risk(&mut self) {
        self.tell_positions();
        if !self.risk.is_watching() {
            return;
        }
        let view = RiskView {
            now_ns: self.now_ns,
            markets: &self.markets,
            ledger: &self.ledger,
            desk: &self.desk,
        };
        let mut actions = Vec::new();
        self.risk.evaluate(&view, &mut actions);
        for action in &actions {
            match *action {
                Action::Stop(breach) => self.tell_stopped(breach),
                Action::Kill(breach) => self.tell_killed(RiskEvent {
                    cause: breach.cause,
                    breach: Some(breach),
                }),
                Action::Close(instrument) => self.close_position(instrument),
            }
        }
        self.cancel_again();
    }

    fn tell_stopped(&mut self, breach: Breach) {
        let event = RiskEvent {
            cause: breach.cause,
            breach: Some(breach),
        };
        let reason = breach.to_string().into();
        self.write(&Entry::Risk(RiskTold { event, reason }));
        self.steps.push_back(Step::Risk(event));
        if let Some(instrument) = breach.instrument {
            self.clear_orders(usize::from(instrument));
        }
    }

    fn tell_killed(&mut self, event: RiskEvent) {
        let reason = self.risk.kill().map_or("", |kill| kill.reason.as_str());
        let reason = reason.into();
        let told = Entry::Risk(RiskTold { event, reason });
        self.log.write(self.seq, self.now_ns, &told);
        self.steps.push_back(Step::Risk(event));
        for market in 0..self.markets.len() {
            self.clear_orders(market);
        }
    }

    /// Cancels every order of an instrument.
    fn clear_orders(&mut self, market: usize) {
        self.cancel_all_of(market);
        let clearing = &mut self.desk.clearings[market];
        clearing.cancel_through = self.orders_created;
        clearing.cancelled_ns = self.now_ns;
    }

    /// Cancels what should have been gone by now.
    fn cancel_again(&mut self) {
        for market in 0..self.markets.len() {
            let clearing = self.desk.clearings[market];
            let is_late = self.now_ns - clearing.cancelled_ns >= CANCEL_AGAIN_NS;
            if clearing.cancel_through == 0 || !is_late {
                continue;
            }
            let left: Vec<u64> = self
                .orders
                .range(..=clearing.cancel_through)
                .filter(|(_, order)| usize::from(order.request.instrument) == market)
                .map(|(id, _)| *id)
                .collect();
            let clearing = &mut self.desk.clearings[market];
            clearing.cancelled_ns = self.now_ns;
            if left.is_empty() {
                clearing.cancel_through = 0;
            }
            for id in left {
                self.command_by_engine(market, id, Command::Cancel);
            }
        }
    }

    /// Closes a position at market, as far as one order can and the instrument's rules let it.
    fn close_position(&mut self, instrument: u16) {
        let index = usize::from(instrument);
        let market = &self.markets[index];
        let closer = self.desk.clearings[index].closer;
        let is_under_way = closer.is_some_and(|id| self.orders.contains_key(&id));
        if is_under_way || !market.book.is_trusted() {
            return;
        }
        let held = self.ledger.account(index).position().qty_lots;
        let side = if held > 0 { Side::Ask } else { Side::Bid };
        let lots = held.saturating_abs().min(market.instrument.qty_lots_max);
        let order = NewOrder {
            reduce_only: true,
            ..NewOrder::market(instrument, side, lots)
        };
        if self.risk.rules(index).check(&order).is_ok() {
            let id = self.place_by_engine(order);
            self.desk.clearings[index].closer = Some(id);
        }
    }
}
