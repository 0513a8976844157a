//! Limits as Python gives them, and the risk engine by itself.

use cobalt_core::error::Result;
use cobalt_core::event::Side;
use cobalt_core::instrument::Instrument;
use cobalt_core::kernel::RiskSettings;
use cobalt_core::money::Money;
use cobalt_core::order::{Link, NewOrder, RejectCode, Role, Trigger};
use cobalt_core::order::{TriggerBy, TriggerKind};
use cobalt_core::risk::{
    Action, Cause, Concentration, GroupLimits, InstrumentLimits, Kill, Limits, OrderRate, Rate,
    RiskEngine as CoreRiskEngine, Share, View,
};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::errors::to_py;
use crate::instrument::InstrumentSpec;

/// Limits of one instrument, read from the attributes of `engine.risk.InstrumentLimits`.
#[derive(FromPyObject)]
struct InstrumentLimitsSpec {
    order_lots_max: Option<i64>,
    order_notional_max: Option<i128>,
    px_through_max: Option<i64>,
    px_away_max: Option<i64>,
    orders_open_max: Option<usize>,
    position_lots_max: Option<i64>,
    exposure_max: Option<i128>,
    stop_loss: Option<i128>,
    stop_loss_share: Option<i64>,
}

/// Limits of a group, read from the attributes of `engine.risk.GroupLimits`.
#[derive(FromPyObject)]
struct GroupLimitsSpec {
    members: Vec<u16>,
    gross_max: Option<i128>,
    net_max: Option<i128>,
}

/// All limits, read from the attributes of `engine.risk.Limits`.
#[derive(FromPyObject)]
pub struct LimitsSpec {
    instruments: Vec<InstrumentLimitsSpec>,
    groups: Vec<GroupLimitsSpec>,
    orders_open_max: Option<usize>,
    order_rates: Vec<(usize, i64)>,
    gross_max: Option<i128>,
    net_max: Option<i128>,
    concentration: Option<(i64, i128)>,
    drawdown_max: Option<i128>,
    drawdown_share_max: Option<i64>,
    daily_loss_max: Option<i128>,
    daily_loss_share_max: Option<i64>,
    losses_max: Option<u32>,
    flattens: bool,
    check_every_ns: i64,
    prices_usd: Vec<(String, i64)>,
}

impl InstrumentLimitsSpec {
    fn build(self) -> InstrumentLimits {
        InstrumentLimits {
            order_lots_max: self.order_lots_max,
            order_notional_max: self.order_notional_max.map(Money),
            px_through_max: self.px_through_max.map(Share),
            px_away_max: self.px_away_max.map(Share),
            orders_open_max: self.orders_open_max,
            position_lots_max: self.position_lots_max,
            exposure_max: self.exposure_max.map(Money),
            stop_loss: self.stop_loss.map(Money),
            stop_loss_share: self.stop_loss_share.map(Share),
        }
    }
}

impl LimitsSpec {
    /// The settings of a run.
    pub fn settings(mut self) -> RiskSettings {
        let prices = std::mem::take(&mut self.prices_usd);
        RiskSettings {
            check_every_ns: self.check_every_ns,
            prices_usd: prices
                .into_iter()
                .map(|(asset, price)| (asset, Rate(price)))
                .collect(),
            limits: self.build(),
        }
    }

    fn build(self) -> Limits {
        let group = |group: GroupLimitsSpec| GroupLimits {
            members: group.members,
            gross_max: group.gross_max.map(Money),
            net_max: group.net_max.map(Money),
        };
        let rate = |(orders, interval_ns)| OrderRate {
            orders,
            interval_ns,
        };
        Limits {
            instruments: self
                .instruments
                .into_iter()
                .map(InstrumentLimitsSpec::build)
                .collect(),
            groups: self.groups.into_iter().map(group).collect(),
            orders_open_max: self.orders_open_max,
            order_rates: self.order_rates.into_iter().map(rate).collect(),
            gross_max: self.gross_max.map(Money),
            net_max: self.net_max.map(Money),
            concentration: self.concentration.map(|(share, floor)| Concentration {
                share: Share(share),
                floor: Money(floor),
            }),
            drawdown_max: self.drawdown_max.map(Money),
            drawdown_share_max: self.drawdown_share_max.map(Share),
            daily_loss_max: self.daily_loss_max.map(Money),
            daily_loss_share_max: self.daily_loss_share_max.map(Share),
            losses_max: self.losses_max,
            flattens: self.flattens,
        }
    }
}

/// Cause, reason and time of the end of trading.
pub fn kill_text(kill: &Kill) -> (&'static str, String, i64) {
    (kill.cause.name(), kill.reason.clone(), kill.ts_ns)
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    let codes = RejectCode::ALL.iter();
    let codes = codes.map(|(code, meaning)| (code.name(), meaning.trim()));
    m.add("REJECT_CODES", PyTuple::new(m.py(), codes)?)?;
    let causes = Cause::ALL.iter().map(|cause| cause.name());
    m.add("RISK_CAUSES", PyTuple::new(m.py(), causes)?)?;
    m.add_class::<RiskEngine>()
}

/// What the engine is told of the run: everything by instrument, but the clock and the equity.
#[derive(Default)]
struct Scene {
    now_ns: i64,
    mids_px_x2: Vec<Option<i64>>,
    quotes_usd: Vec<Option<i64>>,
    entry_values: Vec<i128>,
    unrealized: Vec<Option<i128>>,
    equity_usd: Option<i128>,
}

impl View for Scene {
    fn now_ns(&self) -> i64 {
        self.now_ns
    }

    fn mid_px_x2(&self, instrument: usize) -> Option<i64> {
        self.mids_px_x2[instrument]
    }

    fn quote_usd(&self, instrument: usize) -> Option<Rate> {
        self.quotes_usd[instrument].map(Rate)
    }

    fn entry_value(&self, instrument: usize) -> Money {
        Money(self.entry_values[instrument])
    }

    fn unrealized(&self, instrument: usize) -> Option<Money> {
        self.unrealized[instrument].map(Money)
    }

    fn equity_usd(&self) -> Option<Money> {
        self.equity_usd.map(Money)
    }
}

/// An order in ticks and lots, read from the attributes of what is given.
#[derive(Clone, Copy, FromPyObject)]
struct OrderSpec {
    instrument: u16,
    buy: bool,
    px_ticks: Option<i64>,
    qty_lots: i64,
    reduce_only: bool,
    trigger_px_ticks: Option<i64>,
    oco: Option<(u64, u8)>,
}

impl OrderSpec {
    fn build(self) -> NewOrder {
        let side = if self.buy { Side::Bid } else { Side::Ask };
        let plain = match self.px_ticks {
            Some(px_ticks) => NewOrder::limit(self.instrument, side, px_ticks, self.qty_lots),
            None => NewOrder::market(self.instrument, side, self.qty_lots),
        };
        NewOrder {
            reduce_only: self.reduce_only,
            trigger: self.trigger_px_ticks.map(|px_ticks| Trigger {
                kind: TriggerKind::Stop,
                by: TriggerBy::Last,
                px_ticks,
            }),
            link: self.oco.map(|(list, of)| Link {
                list,
                role: Role::Oco,
                of,
            }),
            ..plain
        }
    }
}

/// The risk engine by itself; see `engine/_core.pyi`.
#[pyclass(module = "engine._core")]
pub struct RiskEngine {
    core: CoreRiskEngine,
    scene: Scene,
}

#[pymethods]
impl RiskEngine {
    #[new]
    fn new(instruments: Vec<InstrumentSpec>, limits: LimitsSpec) -> PyResult<Self> {
        let instruments: Vec<Instrument> = instruments
            .into_iter()
            .map(InstrumentSpec::build)
            .collect::<Result<_>>()
            .map_err(to_py)?;
        let core = CoreRiskEngine::new(&instruments, limits.build()).map_err(to_py)?;
        let count = instruments.len();
        let scene = Scene {
            mids_px_x2: vec![None; count],
            quotes_usd: vec![Some(Rate::ONE.0); count],
            entry_values: vec![0; count],
            unrealized: vec![None; count],
            ..Scene::default()
        };
        Ok(Self { core, scene })
    }

    fn set_now(&mut self, now_ns: i64) {
        self.scene.now_ns = now_ns;
    }

    fn set_prices(&mut self, instrument: usize, mid_px_x2: Option<i64>, quote_usd: Option<i64>) {
        self.scene.mids_px_x2[instrument] = mid_px_x2;
        self.scene.quotes_usd[instrument] = quote_usd;
    }

    fn set_profit(&mut self, instrument: usize, entry_value: i128, unrealized: Option<i128>) {
        self.scene.entry_values[instrument] = entry_value;
        self.scene.unrealized[instrument] = unrealized;
    }

    fn set_equity(&mut self, equity_usd: Option<i128>) {
        self.scene.equity_usd = equity_usd;
    }

    fn check(&self, order: OrderSpec, ahead: usize, is_covered: bool) -> Option<&'static str> {
        self.core
            .check(&order.build(), ahead, is_covered, &self.scene)
            .map(RejectCode::name)
    }

    fn check_modify(&self, id: u64, order: OrderSpec) -> Option<&'static str> {
        self.core
            .check_modify(id, &order.build(), true, &self.scene)
            .map(RejectCode::name)
    }

    fn on_submit(&mut self, id: u64, order: OrderSpec) {
        self.core.on_submit(id, &order.build(), self.scene.now_ns);
    }

    fn on_modify(&mut self, id: u64, qty_lots: i64) {
        self.core.on_modify(id, qty_lots, self.scene.now_ns);
    }

    #[pyo3(signature = (id, qty_lots))]
    fn on_modify_answer(&mut self, id: u64, qty_lots: Option<i64>) {
        self.core.on_modify_answer(id, qty_lots);
    }

    fn on_fill(&mut self, id: u64, qty_lots: i64) {
        self.core.on_fill(id, qty_lots);
    }

    fn on_done(&mut self, id: u64) {
        self.core.on_done(id);
    }

    fn on_position(&mut self, instrument: usize, position_lots: i64, net: i128) {
        self.core.on_position(instrument, position_lots, Money(net));
    }

    /// Ends trading as a strategy does; whether it was not over yet.
    fn end_trading(&mut self, reason: String, flatten: bool) -> bool {
        let now_ns = self.scene.now_ns;
        self.core
            .end_trading(Cause::Strategy, reason, flatten, now_ns)
    }

    /// What is to be done, as (action, cause, instrument).
    fn evaluate(&mut self) -> Vec<(&'static str, Option<&'static str>, Option<u16>)> {
        let mut actions = Vec::new();
        self.core.evaluate(&self.scene, &mut actions);
        actions
            .into_iter()
            .map(|action| match action {
                Action::Kill(breach) => ("kill", Some(breach.cause.name()), None),
                Action::Stop(breach) => ("stop", Some(breach.cause.name()), breach.instrument),
                Action::Close(instrument) => ("close", None, Some(instrument)),
            })
            .collect()
    }
}
