//! Which handler a step of the kernel is for, and with what it is called.

use cobalt_core::Event;
use cobalt_core::book::Doubt;
use cobalt_core::cob::Absence;
use cobalt_core::kernel::{RiskEvent as CoreRiskEvent, Step};
use cobalt_core::risk::Cause;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::chart::Pivot;
use crate::cob::CobMember;
use crate::flow::Sweep;
use crate::kernel::Kernel;
use crate::records::{Bar, Fill, Funding, Gap, Liquidation, RiskEvent, Trade};

/// The strategy's handlers, each absent where the strategy does not override it.
pub struct Handlers<'py> {
    book: Option<Bound<'py, PyAny>>,
    trade: Option<Bound<'py, PyAny>>,
    bar: Option<Bound<'py, PyAny>>,
    sweep: Option<Bound<'py, PyAny>>,
    pivot: Option<Bound<'py, PyAny>>,
    cob: Option<Bound<'py, PyAny>>,
    cob_member: Option<Bound<'py, PyAny>>,
    timer: Option<Bound<'py, PyAny>>,
    order: Option<Bound<'py, PyAny>>,
    fill: Option<Bound<'py, PyAny>>,
    gap: Option<Bound<'py, PyAny>>,
    risk: Option<Bound<'py, PyAny>>,
    funding: Option<Bound<'py, PyAny>>,
    liquidation: Option<Bound<'py, PyAny>>,
    start: Option<Bound<'py, PyAny>>,
    pub stop: Option<Bound<'py, PyAny>>,
}

impl<'py> Handlers<'py> {
    /// Those of a dictionary by name.
    pub fn new(found: &Bound<'py, PyDict>) -> PyResult<Self> {
        let get = |name: &str| found.get_item(name);
        Ok(Self {
            book: get("on_book")?,
            trade: get("on_trade")?,
            bar: get("on_bar")?,
            sweep: get("on_sweep")?,
            pivot: get("on_pivot")?,
            cob: get("on_cob")?,
            cob_member: get("on_cob_member")?,
            timer: get("on_timer")?,
            order: get("on_order")?,
            fill: get("on_fill")?,
            gap: get("on_gap")?,
            risk: get("on_risk")?,
            funding: get("on_funding")?,
            liquidation: get("on_liquidation")?,
            start: get("on_start")?,
            stop: get("on_stop")?,
        })
    }
}

/// The trade shown, one object an instrument.
pub fn trade_objects(kernel: &Bound<'_, Kernel>) -> PyResult<Vec<Py<Trade>>> {
    let py = kernel.py();
    let borrowed = kernel.borrow();
    let blank = Event::default();
    (0..borrowed.ids.len())
        .map(|market| {
            let ([tick, lot], id) = borrowed.scale(py, market);
            Py::new(
                py,
                Trade {
                    row: blank,
                    id,
                    tick,
                    lot,
                },
            )
        })
        .collect()
}

/// Calls the handler that a step is for.
pub fn dispatch<'py>(
    kernel: &Bound<'py, Kernel>,
    handlers: &Handlers<'py>,
    trades: &[Py<Trade>],
    step: Step,
) -> PyResult<()> {
    let py = kernel.py();
    match step {
        Step::Start => call(kernel, handlers.start.as_ref(), "on_start", ()),
        Step::Book(market) => {
            let book = kernel.borrow().books[market]
                .as_ref()
                .map(|book| book.clone_ref(py));
            match book {
                Some(book) => call(kernel, handlers.book.as_ref(), "on_book", (book,)),
                None => Ok(()),
            }
        }
        Step::Trade(market, row) => {
            let trade = trades[market].bind(py);
            trade.borrow_mut().row = row;
            call(kernel, handlers.trade.as_ref(), "on_trade", (trade,))
        }
        Step::Bar(market, bar) if handlers.bar.is_some() => {
            let record = {
                let borrowed = kernel.borrow();
                let name = PyString::intern(py, interval_name(bar.interval_ns)).unbind();
                let instrument = &borrowed.core.markets[market].instrument;
                Bar::new(&bar, instrument, borrowed.id(py, market), name)
            };
            call(kernel, handlers.bar.as_ref(), "on_bar", (record,))
        }
        Step::Sweep(market, order) if handlers.sweep.is_some() => {
            let record = {
                let borrowed = kernel.borrow();
                let instrument = &borrowed.core.markets[market].instrument;
                Sweep::new(&order, instrument, borrowed.id(py, market))
            };
            call(kernel, handlers.sweep.as_ref(), "on_sweep", (record,))
        }
        Step::Pivot(market, interval_ns, pivot) if handlers.pivot.is_some() => {
            let record = {
                let borrowed = kernel.borrow();
                let name = PyString::intern(py, interval_name(interval_ns)).unbind();
                let instrument = &borrowed.core.markets[market].instrument;
                Pivot::new(&pivot, instrument, borrowed.id(py, market), name)
            };
            call(kernel, handlers.pivot.as_ref(), "on_pivot", (record,))
        }
        Step::Cob(index) => {
            let cob = kernel.borrow().cobs[index].clone_ref(py);
            call(kernel, handlers.cob.as_ref(), "on_cob", (cob,))
        }
        Step::CobMember(index, member, absence) if handlers.cob_member.is_some() => {
            let record = {
                let borrowed = kernel.borrow();
                let cob = borrowed.cobs[index].borrow(py);
                CobMember {
                    group: cob.name(py),
                    instrument: cob.id(py, member),
                    is_in: absence.is_none(),
                    reason: absence.map(Absence::name),
                    ts_recv_ns: borrowed.core.now_ns(),
                }
            };
            call(
                kernel,
                handlers.cob_member.as_ref(),
                "on_cob_member",
                (record,),
            )
        }
        Step::Gap(market, trusted) if handlers.gap.is_some() => {
            let record = gap_record(kernel, market, trusted);
            call(kernel, handlers.gap.as_ref(), "on_gap", (record,))
        }
        Step::Timer(id) => call(kernel, handlers.timer.as_ref(), "on_timer", (id,)),
        step => dispatch_account(kernel, handlers, step),
    }
}

/// As [`dispatch`], for what happens to orders, positions and money.
fn dispatch_account<'py>(
    kernel: &Bound<'py, Kernel>,
    handlers: &Handlers<'py>,
    step: Step,
) -> PyResult<()> {
    let py = kernel.py();
    match step {
        Step::Order(order) if handlers.order.is_some() => {
            let record = kernel.borrow().order_record(py, &order);
            call(kernel, handlers.order.as_ref(), "on_order", (record,))
        }
        Step::Fill(fill) if handlers.fill.is_some() => {
            let market = usize::from(fill.instrument);
            let record = {
                let borrowed = kernel.borrow();
                let instrument = &borrowed.core.markets[market].instrument;
                Fill::new(&fill, instrument, borrowed.id(py, market))
            };
            call(kernel, handlers.fill.as_ref(), "on_fill", (record,))
        }
        Step::Risk(event) if handlers.risk.is_some() => {
            let record = risk_record(kernel, &event);
            call(kernel, handlers.risk.as_ref(), "on_risk", (record,))
        }
        Step::Funding(funding) if handlers.funding.is_some() => {
            let record = {
                let borrowed = kernel.borrow();
                let market = usize::from(funding.instrument);
                let instrument = &borrowed.core.markets[market].instrument;
                Funding::new(&funding, instrument, borrowed.id(py, market))
            };
            call(kernel, handlers.funding.as_ref(), "on_funding", (record,))
        }
        Step::Liquidation(told) if handlers.liquidation.is_some() => {
            let record = {
                let borrowed = kernel.borrow();
                let market = usize::from(told.instrument);
                let instrument = &borrowed.core.markets[market].instrument;
                Liquidation::new(&told, instrument, borrowed.id(py, market))
            };
            let handler = handlers.liquidation.as_ref();
            call(kernel, handler, "on_liquidation", (record,))
        }
        _ => Ok(()),
    }
}

/// The name of a bar interval.
pub fn interval_name(interval_ns: i64) -> &'static str {
    let names = cobalt_core::bars::INTERVALS;
    let found = names.iter().find(|(_, ns)| *ns == interval_ns);
    found.map_or("", |(name, _)| *name)
}

fn gap_record(kernel: &Bound<'_, Kernel>, market: usize, is_trusted: bool) -> Gap {
    let py = kernel.py();
    let borrowed = kernel.borrow();
    let doubt = borrowed.core.markets[market]
        .book
        .doubt()
        .filter(|_| !is_trusted);
    Gap {
        instrument: borrowed.id(py, market),
        is_trusted,
        reason: doubt.map(Doubt::name),
        detail: doubt.map(|doubt| format!("{doubt:?}")),
        ts_recv_ns: borrowed.core.now_ns(),
    }
}

fn risk_record(kernel: &Bound<'_, Kernel>, event: &CoreRiskEvent) -> RiskEvent {
    let borrowed = kernel.borrow();
    let is_killed = event.cause != Cause::StopLoss;
    let reason = match (event.breach, borrowed.core.killed()) {
        (Some(breach), _) => breach.to_string(),
        (None, Some(kill)) => kill.reason.clone(),
        (None, None) => String::new(),
    };
    RiskEvent {
        cause: event.cause.name(),
        is_killed,
        instrument: event
            .instrument()
            .map(|market| borrowed.id(kernel.py(), usize::from(market))),
        reason,
        found: event.breach.map(|breach| breach.found.to_f64()),
        limit: event.breach.map(|breach| breach.limit.to_f64()),
        ts_recv_ns: borrowed.core.now_ns(),
    }
}

/// Calls a handler, if there is one, and remembers its name if it raises.
pub fn call<'py, A>(
    kernel: &Bound<'py, Kernel>,
    handler: Option<&Bound<'py, PyAny>>,
    name: &'static str,
    arguments: A,
) -> PyResult<()>
where
    A: pyo3::call::PyCallArgs<'py>,
{
    let Some(handler) = handler else {
        return Ok(());
    };
    handler
        .call1(arguments)
        .map(|_| ())
        .inspect_err(|_| kernel.borrow_mut().failed = Some(name))
}
