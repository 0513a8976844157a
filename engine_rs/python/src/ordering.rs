//! Orders as a strategy writes them, to orders in ticks and lots.

use cobalt_core::decimal::Step as DecimalStep;
use cobalt_core::event::Side;
use cobalt_core::instrument::Instrument;
use cobalt_core::order::{
    Change, NewOrder, RejectCode, Role, TimeInForce, Trail, Trigger, TriggerBy, TriggerKind,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::numbers::steps;

/// What only some orders have, as `engine.strategy` passes it.
#[derive(FromPyObject)]
pub struct Conditions<'py> {
    #[pyo3(item("stop"))]
    stop: Option<Bound<'py, PyAny>>,
    #[pyo3(item("take_profit"))]
    take_profit: Option<Bound<'py, PyAny>>,
    #[pyo3(item("trail"))]
    trail: Option<Bound<'py, PyAny>>,
    #[pyo3(item("activate"))]
    activate: Option<Bound<'py, PyAny>>,
    #[pyo3(item("trigger_by"))]
    trigger_by: String,
    #[pyo3(item("display"))]
    display: Option<Bound<'py, PyAny>>,
    #[pyo3(item("expire_ns"))]
    expire_ns: Option<i64>,
    #[pyo3(item("client_id"))]
    pub client_id: Option<String>,
}

/// One order as a strategy writes it.
#[derive(FromPyObject)]
pub struct Draft<'py> {
    #[pyo3(item("role"))]
    role: String,
    #[pyo3(item("buy"))]
    buy: bool,
    #[pyo3(item("qty"))]
    qty: Bound<'py, PyAny>,
    #[pyo3(item("limit"))]
    limit: Option<Bound<'py, PyAny>>,
    #[pyo3(item("tif"))]
    tif: String,
    #[pyo3(item("post_only"))]
    post_only: bool,
    #[pyo3(item("reduce_only"))]
    reduce_only: bool,
    #[pyo3(item("conditions"))]
    conditions: Option<Conditions<'py>>,
}

/// Quantities and prices of an order on their way to whole steps; what is off its step is noted.
struct Steps<'a> {
    instrument: &'a Instrument,
    refusal: Option<RejectCode>,
}

impl Steps<'_> {
    fn lots(&mut self, name: &str, value: &Bound<'_, PyAny>) -> PyResult<i64> {
        self.count(name, value, self.instrument.lot, RejectCode::QtyOffLot)
    }

    fn ticks(&mut self, name: &str, value: &Bound<'_, PyAny>) -> PyResult<i64> {
        self.count(name, value, self.instrument.tick, RejectCode::PxOffTick)
    }

    fn count(
        &mut self,
        name: &str,
        value: &Bound<'_, PyAny>,
        step: DecimalStep,
        code: RejectCode,
    ) -> PyResult<i64> {
        let found = steps(name, value, step)?;
        if found.is_none() {
            self.refusal.get_or_insert(code);
        }
        Ok(found.unwrap_or(0))
    }
}

/// An order in ticks and lots, and why it cannot be sent where a number is off its step.
#[allow(
    clippy::too_many_arguments,
    reason = "an order has this many parts; a record would cost every submission"
)]
pub fn request(
    instrument: &Instrument,
    market: u16,
    buy: bool,
    qty: &Bound<'_, PyAny>,
    limit: Option<&Bound<'_, PyAny>>,
    tif: &str,
    (post_only, reduce_only): (bool, bool),
    conditions: Option<&Conditions<'_>>,
) -> PyResult<(NewOrder, Option<RejectCode>)> {
    let mut steps = Steps {
        instrument,
        refusal: None,
    };
    let side = if buy { Side::Bid } else { Side::Ask };
    let qty_lots = steps.lots("qty", qty)?;
    let plain = match limit {
        Some(px) => NewOrder::limit(market, side, steps.ticks("limit", px)?, qty_lots),
        None => NewOrder::market(market, side, qty_lots),
    };
    let mut order = NewOrder {
        tif: TimeInForce::parse(tif).ok_or_else(|| {
            PyValueError::new_err(format!("tif: expected GTC, IOC, FOK or GTD, found {tif:?}"))
        })?,
        post_only,
        reduce_only,
        ..plain
    };
    if let Some(conditions) = conditions {
        order.trigger = trigger(conditions, &mut steps)?;
        order.expire_ns = conditions.expire_ns;
        if let Some(display) = &conditions.display {
            order.display_lots = Some(steps.lots("display", display)?);
        }
    }
    Ok((order, steps.refusal))
}

/// Orders with their roles, and why none can be sent where a number is off its step.
pub type List = (Vec<(NewOrder, Role)>, Option<RejectCode>);

/// The orders of a list with their roles.
pub fn requests(instrument: &Instrument, market: u16, drafts: &[Draft<'_>]) -> PyResult<List> {
    let mut refusal = None;
    let mut orders = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let flags = (draft.post_only, draft.reduce_only);
        let (order, code) = request(
            instrument,
            market,
            draft.buy,
            &draft.qty,
            draft.limit.as_ref(),
            &draft.tif,
            flags,
            draft.conditions.as_ref(),
        )?;
        refusal = refusal.or(code);
        let role = match draft.role.as_str() {
            "oco" => Role::Oco,
            "entry" => Role::Entry,
            _ => Role::Exit,
        };
        orders.push((order, role));
    }
    Ok((orders, refusal))
}

fn trigger(conditions: &Conditions<'_>, steps: &mut Steps<'_>) -> PyResult<Option<Trigger>> {
    let by = match conditions.trigger_by.as_str() {
        "last" => TriggerBy::Last,
        "bid_ask" => TriggerBy::BidAsk,
        "mark" => TriggerBy::Mark,
        found => {
            return Err(PyValueError::new_err(format!(
                "trigger_by: expected last, bid_ask or mark, found {found:?}"
            )));
        }
    };
    let (kind, px_ticks) = if let Some(px) = &conditions.stop {
        (TriggerKind::Stop, steps.ticks("stop", px)?)
    } else if let Some(px) = &conditions.take_profit {
        (TriggerKind::TakeProfit, steps.ticks("take_profit", px)?)
    } else if let Some(distance) = &conditions.trail {
        let begin = match &conditions.activate {
            Some(px) => steps.ticks("activate", px)?,
            None => 0,
        };
        (TriggerKind::Trailing(trail(distance, steps)?), begin)
    } else {
        return Ok(None);
    };
    Ok(Some(Trigger { kind, by, px_ticks }))
}

/// The distance of a trailing stop: a price distance, or a share written as `"0.5%"`.
fn trail(distance: &Bound<'_, PyAny>, steps: &mut Steps<'_>) -> PyResult<Trail> {
    let bad = || {
        PyValueError::new_err(format!(
            "trail: expected a positive price distance, or a share below 100% such as \"0.5%\", \
             found {distance}"
        ))
    };
    let text = distance.cast::<PyString>().map(ToString::to_string).ok();
    if let Some(percent) = text.as_deref().and_then(|text| text.strip_suffix('%')) {
        // A percent of 1e-6 is a share of 1e-8.
        let step = DecimalStep::parse("0.000001").map_err(crate::errors::to_py)?;
        let rate = step.count(percent.trim().as_bytes()).map_err(|_| bad())?;
        return if (1..100_000_000).contains(&rate) {
            Ok(Trail::Rate(rate))
        } else {
            Err(bad())
        };
    }
    let ticks = steps.ticks("trail", distance)?;
    if ticks > 0 || steps.refusal.is_some() {
        Ok(Trail::Ticks(ticks))
    } else {
        Err(bad())
    }
}

/// A modification in ticks and lots. Raises where a number is off its step.
pub fn change(
    instrument: &Instrument,
    qty: Option<&Bound<'_, PyAny>>,
    limit: Option<&Bound<'_, PyAny>>,
    stop: Option<&Bound<'_, PyAny>>,
    replace: bool,
) -> PyResult<Change> {
    let whole = |name: &str, value: Option<&Bound<'_, PyAny>>, step: DecimalStep| {
        let Some(value) = value else { return Ok(None) };
        let off = || {
            let text = format!("{name}: {value} is not a multiple of the step {step}");
            PyValueError::new_err(text)
        };
        steps(name, value, step)?.ok_or_else(off).map(Some)
    };
    Ok(Change {
        px_ticks: whole("limit", limit, instrument.tick)?,
        qty_lots: whole("qty", qty, instrument.lot)?,
        trigger_px_ticks: whole("stop", stop, instrument.tick)?,
        replace,
    })
}
