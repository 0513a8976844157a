//! Records handed to strategies: orders, fills, bars, trades, gaps.

use cobalt_core::bars::Bar as CoreBar;
use cobalt_core::chart::BarRow;
use cobalt_core::event::{Event, Side};
use cobalt_core::instrument::Instrument;
use cobalt_core::kernel::{
    Fill as CoreFill, Funding as CoreFunding, Liquidation as CoreLiquidation,
};
use cobalt_core::money::Px;
use cobalt_core::order::{Order as CoreOrder, OrderKind};
use pyo3::prelude::*;
use pyo3::types::PyString;

/// `buy` or `sell`.
pub fn side_name(side: Side) -> &'static str {
    if side == Side::Bid { "buy" } else { "sell" }
}

/// An order as the strategy knew it at that moment.
#[pyclass(frozen, get_all, module = "engine._core")]
pub struct Order {
    id: u64,
    instrument: Py<PyString>,
    side: &'static str,
    #[pyo3(name = "type")]
    kind: &'static str,
    post_only: bool,
    px: Option<f64>,
    qty: f64,
    filled_qty: f64,
    leaves_qty: f64,
    avg_px: Option<f64>,
    status: &'static str,
    reject_code: Option<&'static str>,
    client_id: Option<String>,
    tif: &'static str,
    reduce_only: bool,
    stop_px: Option<f64>,
    display_qty: Option<f64>,
    list_id: Option<u64>,
    is_done: bool,
    ts_submit_ns: i64,
    ts_exchange_ns: Option<i64>,
    ts_done_ns: Option<i64>,
}

/// The average fill price of an order; `None` before its first fill.
#[allow(clippy::cast_precision_loss, reason = "a float is what is asked for")]
pub fn average_px(order: &CoreOrder, instrument: &Instrument) -> Option<f64> {
    let lots = order.filled_lots;
    (lots != 0).then(|| {
        instrument
            .tick
            .value(order.filled_px_lots as f64 / lots as f64)
    })
}

/// The trigger price of a conditional order; `None` where it has none, or not yet.
pub fn stop_px(order: &CoreOrder, instrument: &Instrument) -> Option<f64> {
    let trigger = order.request.trigger?;
    (trigger.px_ticks != 0).then(|| instrument.px(trigger.px_ticks))
}

impl Order {
    pub fn new(
        order: &CoreOrder,
        instrument: &Instrument,
        id: Py<PyString>,
        client_id: Option<&str>,
    ) -> Self {
        let request = &order.request;
        let market = request.kind == OrderKind::Market;
        Self {
            id: order.id,
            instrument: id,
            side: side_name(request.side),
            kind: request.type_name(),
            post_only: request.post_only,
            px: (!market).then(|| instrument.px(request.px_ticks)),
            qty: instrument.qty(request.qty_lots),
            filled_qty: instrument.qty(order.filled_lots),
            leaves_qty: instrument.qty(order.leaves_lots()),
            avg_px: average_px(order, instrument),
            status: order.status.name(),
            reject_code: order.reject.map(cobalt_core::order::RejectCode::name),
            client_id: client_id.map(str::to_owned),
            tif: request.tif.name(),
            reduce_only: request.reduce_only,
            stop_px: stop_px(order, instrument),
            display_qty: request.display_lots.map(|lots| instrument.qty(lots)),
            list_id: request.link.map(|link| link.list),
            is_done: order.status.is_done(),
            ts_submit_ns: order.ts_submit_ns,
            ts_exchange_ns: order.ts_exchange_ns,
            ts_done_ns: order.ts_done_ns,
        }
    }
}

#[pymethods]
impl Order {
    fn __repr__(&self, py: Python<'_>) -> String {
        let px = self
            .px
            .map_or_else(|| "market".to_owned(), |px| px.to_string());
        format!(
            "Order(id={}, {} {} {} @ {px}, {}{})",
            self.id,
            self.side,
            self.qty,
            self.instrument.bind(py),
            self.status,
            self.reject_code
                .map(|code| format!(", {code}"))
                .unwrap_or_default()
        )
    }
}

/// One fill of one of our orders.
#[pyclass(frozen, get_all, module = "engine._core")]
pub struct Fill {
    order_id: u64,
    instrument: Py<PyString>,
    side: &'static str,
    px: f64,
    qty: f64,
    liquidity: &'static str,
    fee: f64,
    realized_pnl: f64,
    position: f64,
    ts_event_ns: i64,
    ts_recv_ns: i64,
}

impl Fill {
    pub fn new(fill: &CoreFill, instrument: &Instrument, id: Py<PyString>) -> Self {
        Self {
            order_id: fill.order,
            instrument: id,
            side: side_name(fill.side),
            px: instrument.px(fill.px_ticks),
            qty: instrument.qty(fill.qty_lots),
            liquidity: if fill.maker { "maker" } else { "taker" },
            fee: fill.fee.to_f64(),
            realized_pnl: fill.realized.to_f64(),
            position: instrument.qty(fill.position_lots),
            ts_event_ns: fill.ts_event_ns,
            ts_recv_ns: fill.ts_recv_ns,
        }
    }
}

#[pymethods]
impl Fill {
    fn __repr__(&self, py: Python<'_>) -> String {
        format!(
            "Fill(order_id={}, {} {} {} @ {}, {}, fee={})",
            self.order_id,
            self.side,
            self.qty,
            self.instrument.bind(py),
            self.px,
            self.liquidity,
            self.fee
        )
    }
}

/// Funding of a position.
#[pyclass(frozen, get_all, module = "engine._core")]
pub struct Funding {
    instrument: Py<PyString>,
    amount: f64,
    rate: f64,
    mark: f64,
    position: f64,
    ts_event_ns: i64,
    ts_recv_ns: i64,
}

impl Funding {
    pub fn new(funding: &CoreFunding, instrument: &Instrument, id: Py<PyString>) -> Self {
        Self {
            instrument: id,
            amount: funding.amount.to_f64(),
            rate: funding.rate.to_f64(),
            mark: funding.mark.to_f64(),
            position: instrument.qty(funding.position_lots),
            ts_event_ns: funding.ts_event_ns,
            ts_recv_ns: funding.ts_recv_ns,
        }
    }
}

/// A position that the venue closed.
#[pyclass(frozen, get_all, module = "engine._core")]
pub struct Liquidation {
    instrument: Py<PyString>,
    order_id: u64,
    qty: f64,
    taken_over_qty: f64,
    mark: Option<f64>,
    fee: f64,
    insurance: f64,
    ts_event_ns: i64,
    ts_recv_ns: i64,
}

impl Liquidation {
    pub fn new(told: &CoreLiquidation, instrument: &Instrument, id: Py<PyString>) -> Self {
        Self {
            instrument: id,
            order_id: told.order,
            qty: instrument.qty(told.position_lots),
            taken_over_qty: instrument.qty(told.taken_over_lots),
            mark: told.mark.map(Px::to_f64),
            fee: told.fee.to_f64(),
            insurance: told.insurance.to_f64(),
            ts_event_ns: told.ts_event_ns,
            ts_recv_ns: told.ts_recv_ns,
        }
    }
}

/// One complete bar, on the venue's clock.
#[pyclass(frozen, get_all, module = "engine._core")]
pub struct Bar {
    instrument: Py<PyString>,
    interval: Py<PyString>,
    ts_start_ns: i64,
    ts_end_ns: i64,
    open: f64,
    high: f64,
    low: f64,
    close: f64,
    volume: f64,
    buy_volume: f64,
    vwap: f64,
    trades: u32,
    is_empty: bool,
}

impl Bar {
    pub fn new(
        bar: &CoreBar,
        instrument: &Instrument,
        id: Py<PyString>,
        interval: Py<PyString>,
    ) -> Self {
        let row = BarRow::new(bar, instrument);
        Self {
            instrument: id,
            interval,
            ts_start_ns: bar.ts_start_ns,
            ts_end_ns: bar.ts_start_ns + bar.interval_ns,
            open: row.open,
            high: row.high,
            low: row.low,
            close: row.close,
            volume: row.volume,
            buy_volume: row.buy_volume,
            vwap: row.vwap,
            trades: bar.trades,
            is_empty: bar.trades == 0,
        }
    }
}

#[pymethods]
impl Bar {
    fn __repr__(&self, py: Python<'_>) -> String {
        format!(
            "Bar({} {}, start={}, o={} h={} l={} c={}, volume={})",
            self.instrument.bind(py),
            self.interval.bind(py),
            self.ts_start_ns,
            self.open,
            self.high,
            self.low,
            self.close,
            self.volume
        )
    }
}

/// The trade that is being shown: one object an instrument, whose content changes with each trade.
#[pyclass(module = "engine._core")]
pub struct Trade {
    pub row: Event,
    pub id: Py<PyString>,
    pub tick: (f64, f64),
    pub lot: (f64, f64),
}

#[pymethods]
impl Trade {
    #[getter]
    fn instrument(&self, py: Python<'_>) -> Py<PyString> {
        self.id.clone_ref(py)
    }

    #[getter]
    #[allow(clippy::cast_precision_loss, reason = "a float is what is asked for")]
    fn px(&self) -> f64 {
        self.row.px_ticks as f64 * self.tick.0 / self.tick.1
    }

    #[getter]
    #[allow(clippy::cast_precision_loss, reason = "a float is what is asked for")]
    fn qty(&self) -> f64 {
        self.row.qty_lots as f64 * self.lot.0 / self.lot.1
    }

    #[getter]
    fn px_ticks(&self) -> i64 {
        self.row.px_ticks
    }

    #[getter]
    fn qty_lots(&self) -> i64 {
        self.row.qty_lots
    }

    #[getter]
    fn aggressor(&self) -> Option<&'static str> {
        Side::from_u8(self.row.side)
            .filter(|side| *side != Side::None)
            .map(side_name)
    }

    #[getter]
    fn trade_id(&self) -> u64 {
        self.row.seq
    }

    #[getter]
    fn ts_event_ns(&self) -> i64 {
        self.row.ts_event_ns
    }

    #[getter]
    fn ts_recv_ns(&self) -> i64 {
        self.row.ts_recv_ns
    }
}

/// Trading ended, or a position is being closed by its stop-loss.
#[pyclass(frozen, get_all, module = "engine._core")]
pub struct RiskEvent {
    pub cause: &'static str,
    pub is_killed: bool,
    pub instrument: Option<Py<PyString>>,
    pub reason: String,
    pub found: Option<f64>,
    pub limit: Option<f64>,
    pub ts_recv_ns: i64,
}

#[pymethods]
impl RiskEvent {
    fn __repr__(&self) -> String {
        format!("RiskEvent({}: {})", self.cause, self.reason)
    }
}

/// A book became suspect, or trusted again.
#[pyclass(frozen, get_all, module = "engine._core")]
pub struct Gap {
    pub instrument: Py<PyString>,
    pub is_trusted: bool,
    pub reason: Option<&'static str>,
    pub detail: Option<String>,
    pub ts_recv_ns: i64,
}
