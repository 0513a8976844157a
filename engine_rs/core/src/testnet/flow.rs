//! Order flow of one venue: who sends what, and when.
//!
//! Four kinds of actors act at random times with rates that depend on the book and the fair price:
//!
//! - *Patient traders* place limit orders at power-law distances from the fair price (Bouchaud,
//!   Mézard, Potters 2002; Zovko, Farmer 2002) and cancel each with a constant rate, so that cancels
//!   are proportional to what rests. As the moving price eats the levels it passes, depth grows
//!   away from the touch before it falls off.
//! - *Takers* send market orders; buys and sells excite themselves and, less, each other (Hawkes
//!   1971; Bacry, Mastromatteo, Muzy 2015), which makes trades cluster and their signs persist.
//!   Sizes have a power-law tail of exponent 3/2 (Gopikrishnan et al. 2000).
//! - *Market makers* notice when the best price lags the fair price: they fill the gap, or pull a
//!   quote that the fair price has overtaken.
//! - *Arbitrageurs* take overtaken quotes before they are pulled; that ties venues together.
//!
//! All rates but the last two's grow with volatility.
//!
//! Known limits: actors have no budgets and no memory of their own orders; no iceberg or hidden
//! orders; no time of day.

use super::fair::{FairPrice, Reverting};
use super::matching::{MatchingEngine, OrderId, opposite};
use crate::error::{Error, Result};
use crate::event::Side;
use crate::random::Random;

/// What an actor does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Submit a limit order.
    Limit {
        /// Bid or ask.
        side: Side,
        /// Price in ticks.
        px_ticks: i64,
        /// Size in lots.
        qty_lots: i64,
    },
    /// Take liquidity, no worse than a price where one is given.
    Market {
        /// Bid: buys.
        side: Side,
        /// Size in lots.
        qty_lots: i64,
        /// Worst price in ticks.
        px_worst: Option<i64>,
    },
    /// Cancel an order.
    Cancel(OrderId),
}

/// The rates, sizes and distances of a venue's flow. Sizes are in base units, distances in shares
/// of the price, rates a second.
#[derive(Clone, Copy, Debug)]
pub struct FlowParams {
    /// Limit orders of patient traders.
    pub limit_rate: f64,
    /// Cancels per resting order.
    pub cancel_rate: f64,
    /// Market orders of each sign that nothing has excited.
    pub market_rate: f64,
    /// Market orders that one market order brings about, of its own and of the other sign.
    pub market_offspring: (f64, f64),
    /// Time constant of the excitement, in seconds.
    pub market_memory_s: f64,
    /// Orders that makers place for each unit that the touch lags, as a share of the price: the rate
    /// goes with the money at stake, whatever the tick.
    pub join_rate: f64,
    /// The same of overtaken quotes pulled or taken.
    pub pull_rate: f64,
    /// Share of overtaken quotes that arbitrageurs take before they are pulled.
    pub arbitrage_share: f64,
    /// Half the spread that makers ask for at mean volatility, in ticks.
    pub half_spread_ticks: f64,
    /// Scale of the distance of patient orders: half lie nearer than about nine tenths of it.
    pub distance: f64,
    /// Exponent of that distance's power-law tail.
    pub distance_exponent: f64,
    /// Farthest patient order.
    pub distance_max: f64,
    /// Smallest limit order.
    pub limit_qty_min: f64,
    /// Exponent of the limit orders' Pareto sizes.
    pub limit_qty_exponent: f64,
    /// Smallest market order.
    pub market_qty_min: f64,
    /// Exponent of the market orders' Pareto sizes.
    pub market_qty_exponent: f64,
    /// Largest order of either kind.
    pub qty_max: f64,
    /// Standard deviation (share of the price) and time constant in seconds of the venue's own
    /// deviation from the fair price.
    pub deviation: (f64, f64),
}

impl Default for FlowParams {
    fn default() -> Self {
        Self {
            limit_rate: 320.0,
            cancel_rate: 0.07,
            market_rate: 1.2,
            market_offspring: (0.55, 0.15),
            market_memory_s: 1.5,
            join_rate: 8e6,
            pull_rate: 30e6,
            arbitrage_share: 0.1,
            half_spread_ticks: 0.3,
            distance: 0.8e-4,
            distance_exponent: 1.1,
            distance_max: 50e-4,
            limit_qty_min: 0.06,
            limit_qty_exponent: 1.6,
            market_qty_min: 0.01,
            market_qty_exponent: 1.5,
            qty_max: 50.0,
            deviation: (0.1e-4, 20.0),
        }
    }
}

impl FlowParams {
    /// The default flow of a venue with `activity` times the usual orders, resting and coming.
    pub fn with_activity(activity: f64) -> Self {
        let usual = Self::default();
        Self {
            limit_rate: usual.limit_rate * activity,
            market_rate: usual.market_rate * activity,
            ..usual
        }
    }

    /// Refuses flow that no book can come from, or that would never end.
    pub(super) fn check(&self) -> Result<()> {
        if !(1.0..=100_000.0).contains(&self.limit_rate) {
            let expected = "between 1 and 100000 limit orders a second";
            return Err(Error::invalid("activity", expected, self.limit_rate));
        }
        let (own, other) = self.market_offspring;
        if own < 0.0 || other < 0.0 || own + other >= 1.0 {
            let expected = "shares that sum to less than 1, or orders would breed without end";
            let found = format!("{own} and {other}");
            return Err(Error::invalid("market_offspring", expected, found));
        }
        Ok(())
    }
}

/// Volatility raises activity no further than this.
const ACTIVITY_MAX: f64 = 4.0;

/// Rates of the kinds of action at one moment, a second.
struct Rates {
    limit: f64,
    cancel: f64,
    market: [f64; 2],
    requote: [f64; 2],
    total: f64,
}

/// The order flow of one venue.
#[derive(Clone, Debug)]
pub struct Flow {
    params: FlowParams,
    random: Random,
    lots_per_unit: f64,
    ticks_per_px: f64,
    basis: f64,
    deviation: Reverting,
    excitement: [f64; 2],
    excitement_keep: f64,
    activity: f64,
    /// Where makers want the best bid and the best ask to be.
    frontier: [i64; 2],
    mid_ticks: f64,
}

impl Flow {
    /// The flow of a venue with this tick and lot (quote and base units), trading at `1 + basis`
    /// times the fair price, advanced `step_s` at a time.
    pub fn new(
        params: FlowParams,
        random: Random,
        (tick, lot): (f64, f64),
        basis: f64,
        step_s: f64,
    ) -> Self {
        Self {
            deviation: Reverting::new(params.deviation, step_s),
            excitement_keep: libm::exp(-step_s / params.market_memory_s),
            params,
            random,
            lots_per_unit: 1.0 / lot,
            ticks_per_px: 1.0 / tick,
            basis,
            excitement: [0.0; 2],
            activity: 1.0,
            frontier: [0, 0],
            mid_ticks: 1.0,
        }
    }

    /// Takes note of the fair price at the start of a step.
    pub fn step(&mut self, fair: &FairPrice) {
        self.deviation.step(&mut self.random);
        for side in &mut self.excitement {
            *side *= self.excitement_keep;
        }
        self.activity = fair.vol_ratio().sqrt().min(ACTIVITY_MAX);
        let mid = fair.px() * (1.0 + self.basis + self.deviation.value) * self.ticks_per_px;
        let half = self.params.half_spread_ticks * self.activity;
        let bid = whole((mid - half).floor()).max(1);
        self.frontier = [bid, whole((mid + half).ceil()).max(bid + 1)];
        self.mid_ticks = mid;
    }

    /// The orders of a book in the making: as many as rest on average.
    pub fn opening(&mut self) -> Vec<Action> {
        let count = whole(self.params.limit_rate / self.params.cancel_rate);
        (0..count).map(|_| self.patient_limit()).collect()
    }

    /// The next action within `left_s` seconds as (seconds from now, action); `None`: nothing
    /// happens in that time. Rates are constant until an action is carried out or the step ends.
    pub fn next(&mut self, book: &MatchingEngine, left_s: f64) -> Option<(f64, Action)> {
        let rates = self.rates(book);
        let wait_s = self.random.exponential() / rates.total;
        if wait_s >= left_s {
            return None;
        }
        let mut pick = self.random.uniform() * rates.total;
        let mut falls_to = |rate: f64| {
            pick -= rate;
            pick < 0.0
        };
        let action = if falls_to(rates.limit) {
            self.patient_limit()
        } else if falls_to(rates.cancel) {
            Action::Cancel(self.any_order(book))
        } else if falls_to(rates.market[0]) {
            self.take(Side::Bid)
        } else if falls_to(rates.market[1]) {
            self.take(Side::Ask)
        } else if falls_to(rates.requote[0]) {
            self.requote(book, Side::Bid)
        } else if falls_to(rates.requote[1]) {
            self.requote(book, Side::Ask)
        } else {
            // Rounding may leave a sliver of the total that belongs to nobody.
            self.patient_limit()
        };
        Some((wait_s, action))
    }

    fn rates(&self, book: &MatchingEngine) -> Rates {
        let params = &self.params;
        #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let order_count = book.order_count() as f64;
        let unexcited = params.market_rate * self.activity;
        let limit = params.limit_rate * self.activity;
        let cancel = params.cancel_rate * self.activity * order_count;
        let market = self.excitement.map(|excited| unexcited + excited);
        let requote = [Side::Bid, Side::Ask].map(|side| {
            #[allow(clippy::cast_precision_loss, reason = "gaps are far below 2^52")]
            let gap = self.gap(book, side) as f64 / self.mid_ticks;
            gap.max(0.0) * params.pull_rate + (-gap).max(0.0) * params.join_rate
        });
        Rates {
            limit,
            cancel,
            market,
            requote,
            total: limit + cancel + market[0] + market[1] + requote[0] + requote[1],
        }
    }

    /// Ticks from the best price out to where makers want it: positive where the fair price has
    /// overtaken the best price, negative where the best price lags behind.
    fn gap(&self, book: &MatchingEngine, side: Side) -> i64 {
        let frontier = self.frontier[index(side)];
        // A side without orders counts as one whose best price lags by a tick.
        let best = book.best(side).map_or(frontier + outward(side), |b| b.0);
        (best - frontier) * -outward(side)
    }

    /// A limit order at a power-law distance behind the frontier.
    fn patient_limit(&mut self) -> Action {
        let side = if self.random.chance(0.5) {
            Side::Bid
        } else {
            Side::Ask
        };
        let params = self.params;
        let distance = params.distance * (self.random.pareto(params.distance_exponent) - 1.0);
        let distance = whole(distance.min(params.distance_max) * self.mid_ticks);
        let px = (self.frontier[index(side)] + outward(side) * distance).max(1);
        self.limit(side, px)
    }

    fn limit(&mut self, side: Side, px_ticks: i64) -> Action {
        let params = self.params;
        Action::Limit {
            side,
            px_ticks,
            qty_lots: self.size(params.limit_qty_min, params.limit_qty_exponent),
        }
    }

    /// A market order, and the excitement that follows it.
    fn take(&mut self, side: Side) -> Action {
        let params = self.params;
        let (own, other) = params.market_offspring;
        self.excitement[index(side)] += own / params.market_memory_s;
        self.excitement[index(opposite(side))] += other / params.market_memory_s;
        Action::Market {
            side,
            qty_lots: self.size(params.market_qty_min, params.market_qty_exponent),
            px_worst: None,
        }
    }

    /// Closes a gap between the best price of a side and the frontier a little.
    fn requote(&mut self, book: &MatchingEngine, side: Side) -> Action {
        let gap = self.gap(book, side);
        let frontier = self.frontier[index(side)];
        let overtaken = book.front(side).filter(|_| gap > 0);
        let Some(quote) = overtaken else {
            // Makers undercut one another step by step: any price of the gap may be next.
            let ticks = self.random.below(gap.unsigned_abs().max(1)).cast_signed();
            let px = frontier + outward(side) * ticks;
            return self.limit(side, not_crossing(book, side, px));
        };
        if self.random.chance(self.params.arbitrage_share) {
            let params = self.params;
            return Action::Market {
                side: opposite(side),
                qty_lots: self.size(params.limit_qty_min, params.market_qty_exponent),
                px_worst: Some((frontier - outward(side)).max(1)),
            };
        }
        Action::Cancel(quote)
    }

    fn any_order(&mut self, book: &MatchingEngine) -> OrderId {
        let index = self.random.below(book.order_count() as u64);
        book.order_at(usize::try_from(index).expect("an index of a list"))
    }

    /// A Pareto size between `least` and the largest allowed, in whole lots.
    fn size(&mut self, least: f64, exponent: f64) -> i64 {
        let units = (least * self.random.pareto(exponent)).min(self.params.qty_max);
        whole(units * self.lots_per_unit).max(1)
    }
}

/// The price, or the best one that does not trade at once: makers post only.
fn not_crossing(book: &MatchingEngine, side: Side, px: i64) -> i64 {
    match (book.best(opposite(side)), side) {
        (Some((best, _)), Side::Ask) => px.max(best + 1),
        (Some((best, _)), _) => px.min(best - 1).max(1),
        (None, _) => px,
    }
}

/// The direction away from the touch.
fn outward(side: Side) -> i64 {
    if side == Side::Ask { 1 } else { -1 }
}

fn index(side: Side) -> usize {
    usize::from(side == Side::Ask)
}

/// A float cut to a whole number.
#[allow(
    clippy::cast_possible_truncation,
    reason = "the cast saturates, and no draw comes near the ends of an i64"
)]
fn whole(x: f64) -> i64 {
    x as i64
}
