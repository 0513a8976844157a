//! What a seed decides, apart from what happens.

use cobalt_core::event::Side;
use cobalt_core::exchange::SelfTrade;
use cobalt_core::exchange::models::{
    BookWalk, FillModel, NoPartialFill, PartialFill, Probability, ProbabilityQueue, QueueModel,
    RiskAverseQueue, ValueFees,
};
use cobalt_core::instrument::{ContractKind, FeeRate, Instrument};
use cobalt_core::kernel::{MarkSource, MarketSettings, RiskSettings, Settings};
use cobalt_core::margin::{Bracket, Brackets, Mode};
use cobalt_core::money::{Money, Rate};
use cobalt_core::random::Random;
use cobalt_core::risk::{InstrumentLimits, Limits, OrderRate};

use crate::wire::{Ways, Wire};

/// What can be left out of a seed, to find the smallest run that fails. The name is what the user
/// types.
pub const PARTS: [&str; 17] = [
    "gaps",
    "duplicates",
    "reorders",
    "snapshots",
    "crossings",
    "impossible",
    "disconnects",
    "clocks",
    "refusals",
    "slow",
    "margin",
    "limits",
    "lists",
    "modifies",
    "marks",
    "crashes",
    "kill",
];

/// Everything about a run that is not drawn as it goes.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Messages of each instrument's book.
    pub messages: usize,
    /// What is left out.
    pub without: Vec<String>,
    /// What is traded, and how many of them.
    pub kinds: Vec<ContractKind>,
    /// How positions are backed.
    pub margin: Mode,
    /// Whether answers wait for the market data that explains them.
    pub causal: bool,
    /// Numbers of the models.
    fill: usize,
    queue: usize,
    self_trade: usize,
    /// Most live orders of an instrument, and orders in 100 ms; `None`: no limit.
    pub orders_max: Option<(usize, usize)>,
    /// Largest position in lots, when everything open has filled.
    pub position_max: Option<i64>,
    leverage: u32,
    mark: usize,
}

impl Plan {
    /// What a seed decides. Each part has draws of its own, so that leaving one out changes nothing
    /// of the others.
    pub fn new(seed: u64, messages: usize, without: &[String]) -> Self {
        let draw = |purpose: u64, below: u64| {
            let drawn = Random::new(seed, 1_000 + purpose).below(below);
            usize::try_from(drawn).unwrap_or(0)
        };
        let has = |part: &str| !without.iter().any(|left| left == part);
        let kinds = [
            ContractKind::Linear,
            ContractKind::Spot,
            ContractKind::Inverse,
        ];
        let count = 1 + draw(0, 3);
        let first = draw(1, 3);
        let margin = match draw(2, 3) {
            _ if !has("margin") => Mode::None,
            0 => Mode::None,
            1 => Mode::Cross,
            _ => Mode::Isolated,
        };
        Self {
            seed,
            messages,
            without: without.to_vec(),
            kinds: (0..count).map(|at| kinds[(first + at) % 3]).collect(),
            margin,
            causal: draw(3, 2) == 1,
            fill: draw(4, 3),
            queue: draw(5, 2),
            self_trade: draw(6, 4),
            orders_max: (has("limits") && draw(7, 2) == 1)
                .then(|| (3 + draw(8, 6), 4 + draw(9, 6))),
            position_max: (has("limits") && draw(10, 3) == 1)
                .then(|| 2_000 + Random::new(seed, 1_011).between(0, 4_000)),
            leverage: [1, 5, 20][draw(12, 3)],
            mark: draw(13, 3),
        }
    }

    /// Whether a part takes place.
    pub fn has(&self, part: &str) -> bool {
        !self.without.iter().any(|left| left == part)
    }

    /// A source of draws for one purpose.
    pub fn random(&self, purpose: u64) -> Random {
        Random::new(self.seed, purpose)
    }

    /// The instruments: X-PERP, X/USD and an inverse X contract, so that two settle in one currency
    /// and one in what another trades.
    pub fn instrument(&self, index: usize) -> Instrument {
        let kind = self.kinds[index];
        let step = |text: &str| cobalt_core::decimal::Step::parse(text).expect("a plain step");
        let rate = |text: &str| FeeRate::parse(text).expect("a plain rate");
        let derivative = kind != ContractKind::Spot;
        let (lot, size) = match kind {
            ContractKind::Inverse => ("1", "10"),
            _ => ("0.001", "1"),
        };
        Instrument {
            id: format!("{index}.DST"),
            kind,
            tick: step("0.1"),
            lot: step(lot),
            contract_size: step(size),
            qty_lots_min: 1,
            qty_lots_max: 1_000_000,
            notional_min: None,
            base: "X".to_owned(),
            quote: "USD".to_owned(),
            maker_fee: rate("0.0001"),
            taker_fee: rate("0.0004"),
            brackets: if derivative {
                brackets()
            } else {
                Brackets::default()
            },
            liquidation_fee: Rate(500_000),
            px_band: None,
        }
    }

    /// The run's settings; `ways` are those of its messages to and from the venues.
    pub fn settings(&self, ways: &Ways) -> Settings {
        let markets: Vec<MarketSettings> = (0..self.kinds.len())
            .map(|index| MarketSettings {
                queue: self.queue(&self.instrument(index)),
                instrument: self.instrument(index),
                latency: Box::new(Wire::new(self, index, ways)),
                fill: self.fill(),
                self_trade: [
                    SelfTrade::Allow,
                    SelfTrade::ExpireTaker,
                    SelfTrade::ExpireMaker,
                    SelfTrade::ExpireBoth,
                ][self.self_trade],
                leverage: self.leverage,
                mark: [MarkSource::Mid, MarkSource::Last, MarkSource::Recorded][self.mark],
                position: None,
            })
            .collect();
        let rates = markets.iter().map(|market| {
            let instrument = &market.instrument;
            (instrument.maker_fee, instrument.taker_fee)
        });
        let cash = |name: &str, units: i128| (name.to_owned(), Money(units * 1_000_000_000_000));
        Settings {
            fees: Box::new(ValueFees::new(rates.collect())),
            causal_responses: self.causal,
            margin: self.margin,
            risk: RiskSettings {
                limits: self.limits(),
                ..RiskSettings::none(self.kinds.len())
            },
            cash: vec![cash("USD", 400), cash("X", 4)],
            equity_every_ns: 250_000_000,
            begin_ns: None,
            fingerprint: format!("dst {}", self.seed),
            markets,
        }
    }

    fn limits(&self) -> Limits {
        let each = InstrumentLimits {
            orders_open_max: self.orders_max.map(|(open, _)| open),
            position_lots_max: self.position_max,
            ..InstrumentLimits::default()
        };
        Limits {
            instruments: vec![each; self.kinds.len()],
            order_rates: self
                .orders_max
                .map(|(_, orders)| OrderRate {
                    orders,
                    interval_ns: RATE_NS,
                })
                .into_iter()
                .collect(),
            ..Limits::none(self.kinds.len())
        }
    }

    fn fill(&self) -> Box<dyn FillModel> {
        match self.fill {
            0 => Box::new(NoPartialFill),
            1 => Box::new(PartialFill),
            _ => Box::new(BookWalk::default()),
        }
    }

    fn queue(&self, instrument: &Instrument) -> Box<dyn QueueModel> {
        match self.queue {
            0 => Box::new(RiskAverseQueue),
            _ => Box::new(
                ProbabilityQueue::new(Probability::Power(3.0), instrument.lot)
                    .expect("a positive power"),
            ),
        }
    }
}

/// Draws from a range.
pub trait Draw {
    /// Uniform from `low` to `high`, both included.
    fn between(&mut self, low: i64, high: i64) -> i64;
    /// One of them.
    fn of<T: Copy>(&mut self, among: &[T]) -> T;
}

impl Draw for Random {
    fn between(&mut self, low: i64, high: i64) -> i64 {
        let drawn = self.below(high.abs_diff(low) + 1);
        low + i64::try_from(drawn).unwrap_or(0)
    }

    fn of<T: Copy>(&mut self, among: &[T]) -> T {
        let at = self.below(among.len() as u64);
        among[usize::try_from(at).unwrap_or(0)]
    }
}

/// The window of the limit on the rate of orders.
pub const RATE_NS: i64 = 100_000_000;

/// The other side.
pub fn other(side: Side) -> Side {
    if side == Side::Bid {
        Side::Ask
    } else {
        Side::Bid
    }
}

fn brackets() -> Brackets {
    Brackets::new(vec![Bracket {
        floor: Money::ZERO,
        cap: Money(1_000_000_000 * 1_000_000_000_000),
        rate: Rate(1_000_000),
        amount: Money::ZERO,
        leverage_max: 50,
    }])
    .expect("one bracket")
}
