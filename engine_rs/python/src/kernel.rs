//! The kernel as Python drives it.

use std::collections::BTreeMap;

use cobalt_core::Event;
use cobalt_core::cob::Group;
use cobalt_core::decimal::Step as DecimalStep;
use cobalt_core::instrument::Instrument;
use cobalt_core::kernel::{
    Batch, Kernel as CoreKernel, MarketSettings, Settings, Step, StreamKind, base_flow_unit,
};
use cobalt_core::money::{Money, Px, Rate};
use cobalt_core::risk::Cause;
use numpy::{PyArray1, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::book::Book;
use crate::chart::Chart;
use crate::cob::Cob;
use crate::dispatch::{Handlers, call, dispatch, interval_name, trade_objects};
use crate::errors::to_py;
use crate::events::{Row, from_array};
use crate::flow::Flow;
use crate::instrument::InstrumentSpec;
use crate::models::{AccountSpec, ExchangeSpec, Faults, FeesSpec, LatencySpec, money};
use crate::numbers::order_id;
use crate::ordering::{Conditions, Draft, change, request, requests};
use crate::records::Order;
use crate::risk::{LimitsSpec, kill_text};
use crate::tables;

/// Rows processed with the interpreter held, between two handlers that follow closely.
const ROWS_ATTACHED: u64 = 256;
/// Rows processed without the interpreter before signals are looked at.
pub const ROWS_DETACHED: u64 = 4_000_000;
/// Steps after which the journal is asked whether something of it is due on the disk.
const TURNS_A_TICK: u64 = 256;
/// Recorded rows after which they are handed to the sink.
const RECORDS_HELD: usize = 50_000;

/// Rows of a numpy array, held alive and read-only while the kernel reads them.
struct ArrayBatch {
    rows: *const Event,
    len: usize,
    _owner: Py<PyArray1<Row>>,
}

// SAFETY: the pointer is to memory owned by `_owner`, which was made read-only, so that any thread
// may read it; the owner is a `Py`, which may be sent and dropped anywhere.
unsafe impl Send for ArrayBatch {}
// SAFETY: as above; nothing is ever written through the pointer.
unsafe impl Sync for ArrayBatch {}

impl Batch for ArrayBatch {
    fn rows(&self) -> &[Event] {
        // SAFETY: `from_array` checked dtype and contiguity, `Row` is `repr(transparent)` over
        // `Event`, and `_owner` keeps the memory alive.
        unsafe { std::slice::from_raw_parts(self.rows, self.len) }
    }
}

/// What was recorded in a run of one strategy; see `engine.backtest`.
#[pyclass(module = "engine._core")]
pub struct Kernel {
    pub core: CoreKernel,
    pub ids: Vec<Py<PyString>>,
    pub books: Vec<Option<Py<Book>>>,
    pub cobs: Vec<Py<Cob>>,
    pub failed: Option<&'static str>,
    /// Errors of models that are written in Python.
    pub faults: Faults,
}

#[pymethods]
impl Kernel {
    #[allow(
        clippy::too_many_arguments,
        clippy::needless_pass_by_value,
        reason = "named by keyword on the Python side, and extracted from Python by value"
    )]
    #[new]
    #[pyo3(signature = (instruments, *, exchange, latency, latency_samples, latency_target, fees, fees_target, account, risk, seed, cash, equity_every_ns, begin_ns, fingerprint))]
    fn new(
        py: Python<'_>,
        instruments: Vec<InstrumentSpec>,
        exchange: ExchangeSpec,
        latency: LatencySpec,
        latency_samples: Vec<(i64, i64, i64)>,
        latency_target: Option<Bound<'_, PyAny>>,
        fees: FeesSpec,
        fees_target: Option<Bound<'_, PyAny>>,
        account: AccountSpec,
        risk: LimitsSpec,
        seed: u64,
        cash: Vec<(String, String)>,
        equity_every_ns: i64,
        begin_ns: Option<i64>,
        fingerprint: String,
    ) -> PyResult<Self> {
        let instruments: Vec<Instrument> = instruments
            .into_iter()
            .map(|spec| {
                let id = spec.id.clone();
                spec.build()
                    .map_err(|e| PyValueError::new_err(format!("instrument {id}: {e}")))
            })
            .collect::<PyResult<_>>()?;
        let ids: Vec<_> = instruments
            .iter()
            .map(|i| PyString::new(py, &i.id).unbind())
            .collect();
        let cash = cash
            .into_iter()
            .map(|(name, text)| Ok((name.clone(), money(&format!("run.cash.{name}"), &text)?)))
            .collect::<PyResult<_>>()?;
        let faults = Faults::default();
        let fees = fees.build(&instruments, fees_target.as_ref(), &faults)?;
        let markets = instruments
            .into_iter()
            .enumerate()
            .map(|(index, instrument)| {
                let target = latency_target.as_ref();
                Ok(MarketSettings {
                    latency: latency.build(index, seed, &latency_samples, target, &faults)?,
                    queue: exchange.queue(&instrument)?,
                    fill: exchange.fill()?,
                    self_trade: exchange.self_trade()?,
                    leverage: account.leverage(index),
                    mark: account.mark(index)?,
                    position: account.position(index, &instrument)?,
                    instrument,
                })
            })
            .collect::<PyResult<_>>()?;
        let core = CoreKernel::new(Settings {
            markets,
            fees,
            causal_responses: exchange.causal_responses,
            margin: account.margin()?,
            risk: risk.settings(),
            cash,
            equity_every_ns,
            begin_ns,
            fingerprint,
        })
        .map_err(to_py)?;
        let books = ids.iter().map(|_| None).collect();
        Ok(Self {
            core,
            ids,
            books,
            cobs: Vec::new(),
            failed: None,
            faults,
        })
    }

    /// Adds a stream of an instrument (`depth`, `trades`, `orders`, `marks` or `funding`) and returns
    /// its index.
    fn add_stream(&mut self, market: usize, kind: &str) -> PyResult<usize> {
        let kind = StreamKind::from_name(kind).ok_or_else(|| {
            let known = StreamKind::ALL.map(StreamKind::name).join(", ");
            PyValueError::new_err(format!("kind: expected one of {known}; found {kind:?}"))
        })?;
        self.core.add_stream(market, kind).map_err(to_py)
    }

    #[allow(
        clippy::needless_pass_by_value,
        reason = "extracted from Python by value"
    )]
    /// Runs to the end: `sources[i]` is the iterator of stream i, `handlers` maps handler names to
    /// callables, `sink` takes the recorded tables.
    fn run(
        slf: &Bound<'_, Self>,
        handlers: &Bound<'_, PyDict>,
        sources: Vec<Bound<'_, PyAny>>,
        sink: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let handlers = Handlers::new(handlers)?;
        let trades = trade_objects(slf)?;
        for turn in 1_u64.. {
            let step = advance(slf)?;
            match step {
                Step::NeedData(stream) => feed(slf, stream, &sources[stream])?,
                Step::Pause => slf.py().check_signals()?,
                Step::End => break,
                step => dispatch(slf, &handlers, &trades, step)?,
            }
            if slf.borrow().core.record_count() >= RECORDS_HELD {
                sink.call1((take_tables(slf)?,))?;
            }
            if step == Step::Pause || turn % TURNS_A_TICK == 0 {
                slf.borrow_mut().core.tick_journal().map_err(to_py)?;
            }
        }
        call(slf, handlers.stop.as_ref(), "on_stop", ())?;
        sink.call1((take_tables(slf)?,))?;
        Ok(())
    }

    /// The name of the handler that raised, if one did.
    #[getter]
    fn failed_handler(&self) -> Option<&'static str> {
        self.failed
    }

    #[getter]
    fn now_ns(&self) -> i64 {
        self.core.now_ns()
    }

    #[getter]
    fn start_ns(&self) -> i64 {
        self.core.start_ns()
    }

    #[getter]
    fn event_ns(&self) -> Option<i64> {
        Some(self.core.event_ns()).filter(|ts| *ts != cobalt_core::event::TS_NONE)
    }

    #[getter]
    fn seq(&self) -> u64 {
        self.core.seq()
    }

    #[getter]
    fn result_sha256(&self) -> String {
        self.core.result_sha256()
    }

    /// Counters by name.
    fn counts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counts = self.core.counts();
        let dict = PyDict::new(py);
        for (name, value) in [
            ("events", counts.events),
            ("level_updates", counts.level_updates),
            ("messages", counts.messages),
            ("orders", counts.orders),
            ("rejected", counts.rejected),
            ("fills", counts.fills),
            ("fundings", counts.fundings),
            ("liquidations", counts.liquidations),
            ("requests_too_late", counts.requests_too_late),
        ] {
            dict.set_item(name, value)?;
        }
        Ok(dict)
    }

    /// How often each reject code was told, by name.
    fn codes_told(&self) -> BTreeMap<&'static str, u64> {
        self.core.codes_told().clone()
    }

    /// Ends trading for good, as the strategy asks for; False where it had ended before.
    fn kill(&mut self, reason: &str, flatten: bool) -> PyResult<bool> {
        let first = self.core.kill(Cause::Strategy, reason, flatten);
        self.faults.take().map(|()| first)
    }

    /// Cause, reason and time of the end of trading; None while trading goes on.
    #[getter]
    fn killed(&self) -> Option<(&'static str, String, i64)> {
        self.core.killed().map(kill_text)
    }

    /// Book counters of an instrument, as received: gaps, crossings and so on.
    fn book_counts<'py>(&self, py: Python<'py>, market: usize) -> PyResult<Bound<'py, PyDict>> {
        let counts = self.core.markets[market].book.counts();
        let dict = PyDict::new(py);
        for (name, value) in [
            ("applied", counts.applied),
            ("stale", counts.stale),
            ("unready", counts.unready),
            ("gaps", counts.gaps),
            ("crossed", counts.crossed),
            ("impossible", counts.impossible),
        ] {
            dict.set_item(name, value)?;
        }
        Ok(dict)
    }

    /// Equity by currency; None where a position cannot be valued yet.
    fn equity<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (currency, amount) in self.core.equity() {
            dict.set_item(currency, amount.map(Money::to_f64))?;
        }
        Ok(dict)
    }

    /// Signed quantity held of an instrument.
    fn position(&self, market: usize) -> f64 {
        let held = self.core.ledger().account(market).position();
        self.core.markets[market].instrument.qty(held.qty_lots)
    }

    /// Average entry price of an instrument's position; None while flat.
    fn entry_px(&self, market: usize) -> Option<f64> {
        let tick = self.core.markets[market].instrument.tick.to_f64();
        let entry = self.core.ledger().account(market).entry_px_ticks();
        entry.map(|ticks| ticks * tick)
    }

    /// Mark price of an instrument: the venue's that was received last, or else the mid.
    fn mark_px(&self, market: usize) -> Option<f64> {
        self.core.mark(market).map(Px::to_f64)
    }

    /// Funding rate of an instrument that was received last.
    fn funding_rate(&self, market: usize) -> Option<f64> {
        self.core.markets[market].funding_rate.map(Rate::to_f64)
    }

    /// Mark price at which an instrument's position would be liquidated; None where none does.
    fn liquidation_px(&self, market: usize) -> Option<f64> {
        self.core.liquidation_px(market).map(Money::to_f64)
    }

    /// The view of an instrument's book, with arrays of at least `depth` levels.
    fn book(slf: &Bound<'_, Self>, market: usize, depth: usize) -> PyResult<Py<Book>> {
        let py = slf.py();
        let existing = slf.borrow().books[market]
            .as_ref()
            .map(|book| book.clone_ref(py));
        let book = if let Some(book) = existing {
            book
        } else {
            let (steps, id) = slf.borrow().scale(py, market);
            let view = Book::new(py, slf.clone().unbind(), market, steps, id, 10);
            let book = Py::new(py, view)?;
            slf.borrow_mut().books[market] = Some(book.clone_ref(py));
            book
        };
        book.borrow_mut(py).deepen(py, depth)?;
        Ok(book)
    }

    /// Adds a consolidated book and returns the view of it: members as (index, weight), bucket size
    /// as decimal text.
    fn add_cob(
        slf: &Bound<'_, Self>,
        name: &str,
        members: Vec<(usize, f64)>,
        bucket: &str,
        stale_ns: i64,
    ) -> PyResult<Py<Cob>> {
        let py = slf.py();
        let size = bucket_size(bucket)?;
        let mut kernel = slf.borrow_mut();
        let group = Group {
            name: name.to_owned(),
            members,
            size,
            stale_ns,
        };
        let ids = group.members.iter().map(|&(m, _)| kernel.id(py, m));
        let ids = ids.collect();
        let index = kernel.core.add_cob(group).map_err(to_py)?;
        let view = Cob::new(py, slf.clone().unbind(), index, name, ids, size.to_f64());
        let view = Py::new(py, view)?;
        kernel.cobs.push(view.clone_ref(py));
        Ok(view)
    }

    #[pyo3(signature = (cob, every_ns))]
    fn subscribe_cob(&mut self, cob: usize, every_ns: Option<i64>) -> PyResult<()> {
        self.core.subscribe_cob(cob, every_ns).map_err(to_py)
    }

    #[allow(
        clippy::needless_pass_by_value,
        reason = "the protocol of the collector"
    )]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        for book in self.books.iter().flatten() {
            visit.call(book)?;
        }
        self.cobs.iter().try_for_each(|cob| visit.call(cob))
    }

    fn __clear__(&mut self) {
        self.books.iter_mut().for_each(|book| *book = None);
        self.cobs.clear();
    }

    #[pyo3(signature = (market, every_ns))]
    fn subscribe_book(&mut self, market: usize, every_ns: Option<i64>) -> PyResult<()> {
        self.core.subscribe_book(market, every_ns).map_err(to_py)
    }

    fn subscribe_trades(&mut self, market: usize) {
        self.core.subscribe_trades(market);
    }

    /// The view of an instrument's chart of an interval, which is built from the first call on.
    fn chart(slf: &Bound<'_, Self>, market: usize, interval: &str) -> PyResult<Py<Chart>> {
        let py = slf.py();
        let interval_ns = cobalt_core::bars::interval_ns(interval).map_err(to_py)?;
        let mut kernel = slf.borrow_mut();
        let index = kernel.core.add_chart(market, interval_ns).map_err(to_py)?;
        let id = kernel.id(py, market);
        drop(kernel);
        let view = Chart::new(
            slf.clone().unbind(),
            market,
            index,
            id,
            interval_name(interval_ns),
        );
        Py::new(py, view)
    }

    fn subscribe_bars(&mut self, market: usize, interval: &str) -> PyResult<()> {
        let interval_ns = cobalt_core::bars::interval_ns(interval).map_err(to_py)?;
        let chart = self.core.add_chart(market, interval_ns).map_err(to_py)?;
        self.core.subscribe_bars(market, chart);
        Ok(())
    }

    /// The view of the order flow of markets, each with a weight, summed up from the first call on:
    /// in units of the base asset, or for a single market in its own units.
    fn flow(
        slf: &Bound<'_, Self>,
        name: &str,
        members: Vec<(usize, f64)>,
        bucket: &str,
        in_base: bool,
    ) -> PyResult<Py<Flow>> {
        let py = slf.py();
        let size = bucket_size(bucket)?;
        let mut kernel = slf.borrow_mut();
        let mut parts = Vec::new();
        for (market, weight) in members {
            let index = kernel.core.add_flow(market, size, in_base).map_err(to_py)?;
            let instrument = &kernel.core.markets[market].instrument;
            let unit = if in_base {
                base_flow_unit(instrument)
            } else {
                instrument.lot.to_f64()
            };
            parts.push((market, index, unit * weight));
        }
        drop(kernel);
        let kernel = slf.clone().unbind();
        Py::new(py, Flow::new(py, kernel, name, parts, size.to_f64()))
    }

    fn subscribe_sweeps(&mut self, market: usize, levels: u32) -> PyResult<()> {
        self.core.subscribe_sweeps(market, levels).map_err(to_py)
    }

    fn keep_ticks(&mut self, market: usize) {
        self.core.keep_ticks(market);
    }

    /// The raw ticks of a market of the last 30 minutes, a copy.
    fn ticks<'py>(&mut self, py: Python<'py>, market: usize) -> Bound<'py, PyArray1<Row>> {
        let (older, newer) = self.core.ticks(market);
        crate::events::to_array(py, [older, newer].concat())
    }

    fn subscribe_pivots(
        &mut self,
        market: usize,
        interval: &str,
        k: usize,
        levels: usize,
    ) -> PyResult<()> {
        let interval_ns = cobalt_core::bars::interval_ns(interval).map_err(to_py)?;
        let chart = self.core.add_chart(market, interval_ns).map_err(to_py)?;
        self.core
            .subscribe_pivots(market, chart, k, levels)
            .map_err(to_py)
    }

    #[pyo3(signature = (at_ns, every_ns))]
    fn set_timer(&mut self, at_ns: i64, every_ns: Option<i64>) -> PyResult<u64> {
        self.core.set_timer(at_ns, every_ns).map_err(to_py)
    }

    fn cancel_timer(&mut self, timer: u64) -> bool {
        self.core.cancel_timer(timer)
    }

    /// Gives an order and returns its id; a price or quantity off its step is refused by the kernel.
    #[allow(
        clippy::too_many_arguments,
        clippy::needless_pass_by_value,
        reason = "positional, for speed; extracted from Python by value"
    )]
    fn submit(
        &mut self,
        market: u16,
        buy: bool,
        qty: &Bound<'_, PyAny>,
        limit: Option<&Bound<'_, PyAny>>,
        tif: &str,
        post_only: bool,
        reduce_only: bool,
        conditions: Option<Conditions<'_>>,
    ) -> PyResult<u64> {
        let instrument = &self.core.markets[usize::from(market)].instrument;
        let (flags, conditions) = ((post_only, reduce_only), conditions.as_ref());
        let (order, refusal) =
            request(instrument, market, buy, qty, limit, tif, flags, conditions)?;
        let client_id = conditions.and_then(|c| c.client_id.as_deref());
        let id = self.core.submit_named(order, client_id, refusal);
        self.faults.take().map(|()| id)
    }

    /// Gives the orders of a list and returns the id of the first; the others follow it by one.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "extracted from Python by value"
    )]
    fn submit_list(&mut self, market: u16, drafts: Vec<Draft<'_>>) -> PyResult<u64> {
        let instrument = &self.core.markets[usize::from(market)].instrument;
        let (orders, refusal) = requests(instrument, market, &drafts)?;
        let id = self.core.submit_list(&orders, refusal);
        self.faults.take().map(|()| id)
    }

    /// Asks to cancel an order; False where it is not live as far as we know.
    fn cancel(&mut self, order: &Bound<'_, PyAny>) -> PyResult<bool> {
        let sent = self.core.cancel(order_id(order)?);
        self.faults.take().map(|()| sent)
    }

    /// Asks to cancel all orders of an instrument; how many live as far as we know.
    fn cancel_all(&mut self, market: usize) -> PyResult<usize> {
        let count = self.core.cancel_all(market);
        self.faults.take().map(|()| count)
    }

    /// Asks to change prices and quantity; None keeps the one it has. False where it is not live.
    #[pyo3(signature = (order, qty, limit, stop, replace))]
    fn modify(
        &mut self,
        order: &Bound<'_, PyAny>,
        qty: Option<&Bound<'_, PyAny>>,
        limit: Option<&Bound<'_, PyAny>>,
        stop: Option<&Bound<'_, PyAny>>,
        replace: bool,
    ) -> PyResult<bool> {
        let order = order_id(order)?;
        let Some(live) = self.core.order(order) else {
            return Ok(false);
        };
        let instrument = &self.core.markets[usize::from(live.request.instrument)].instrument;
        let change = change(instrument, qty, limit, stop, replace)?;
        let sent = self.core.modify(order, change);
        self.faults.take().map(|()| sent)
    }

    /// The order that was given this name; None where there is none.
    fn order_of_client(&self, client_id: &str) -> Option<u64> {
        self.core.order_of_client(client_id)
    }

    /// A live order by its id; None for one that is done or was never given.
    fn order(&self, py: Python<'_>, order: &Bound<'_, PyAny>) -> PyResult<Option<Order>> {
        let found = self.core.order(order_id(order)?);
        Ok(found.map(|order| self.order_record(py, order)))
    }

    /// Live orders in order of submission.
    fn live_orders(&self, py: Python<'_>) -> Vec<Order> {
        self.core
            .live_orders()
            .map(|order| self.order_record(py, order))
            .collect()
    }
}

impl Kernel {
    pub fn id(&self, py: Python<'_>, market: usize) -> Py<PyString> {
        self.ids[market].clone_ref(py)
    }

    pub fn order_record(&self, py: Python<'_>, order: &cobalt_core::order::Order) -> Order {
        let market = usize::from(order.request.instrument);
        Order::new(
            order,
            &self.core.markets[market].instrument,
            self.id(py, market),
            self.core.client_id(order.id),
        )
    }

    /// Tick and lot as (numerator, denominator), and the id.
    #[allow(clippy::cast_precision_loss, reason = "steps are small numbers")]
    pub fn scale(&self, py: Python<'_>, market: usize) -> ([(f64, f64); 2], Py<PyString>) {
        let instrument = &self.core.markets[market].instrument;
        let scale = |step: DecimalStep| {
            let (mantissa, places) = step.parts();
            (mantissa as f64, 10f64.powi(places.cast_signed()))
        };
        (
            [scale(instrument.tick), scale(instrument.lot)],
            self.id(py, market),
        )
    }
}

/// The next step: with the interpreter held for a few rows, without it for many.
fn advance(kernel: &Bound<'_, Kernel>) -> PyResult<Step> {
    let mut borrowed = kernel.borrow_mut();
    let core = &mut borrowed.core;
    let step = match core.next(ROWS_ATTACHED) {
        Ok(Step::Pause) => kernel.py().detach(|| core.next(ROWS_DETACHED)),
        step => step,
    };
    borrowed.faults.take()?;
    step.map_err(to_py)
}

/// Feeds a stream its source's next batch, or its end.
pub fn feed(kernel: &Bound<'_, Kernel>, stream: usize, source: &Bound<'_, PyAny>) -> PyResult<()> {
    // Taken as an iterator first: its code may run long, and must not meet a borrowed kernel.
    match source.try_iter()?.next() {
        None => kernel.borrow_mut().core.end_stream(stream).map_err(to_py),
        Some(item) => {
            let array = from_array("batch", &item?)?;
            if let Ok(exclusive) = array.try_readwrite() {
                let _ = exclusive.make_nonwriteable();
            }
            let batch = ArrayBatch {
                rows: array.data().cast_const().cast(),
                len: array.len(),
                _owner: array.clone().unbind(),
            };
            kernel
                .borrow_mut()
                .core
                .feed(stream, Box::new(batch))
                .map_err(to_py)
        }
    }
}

fn bucket_size(text: &str) -> PyResult<DecimalStep> {
    DecimalStep::parse(text).map_err(|_| {
        PyValueError::new_err(format!(
            "bucket: expected a positive decimal such as 10 or 0.5, found {text:?}"
        ))
    })
}

/// What was recorded since the last time, as dictionaries of columns.
fn take_tables<'py>(kernel: &Bound<'py, Kernel>) -> PyResult<Bound<'py, PyDict>> {
    let mut borrowed = kernel.borrow_mut();
    let records = borrowed.core.take_records();
    tables::build(kernel.py(), &borrowed.core, &records)
}
