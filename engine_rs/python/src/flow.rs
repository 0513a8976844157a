//! A strategy's view of order flow: of one instrument, or of a group's members together.

use cobalt_core::cob::WINDOWS;
use cobalt_core::event::Side;
use cobalt_core::flow::{AggressorOrder, Flow as CoreFlow, Volume};
use cobalt_core::instrument::Instrument;
use numpy::PyArray1;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::kernel::Kernel;
use crate::records::side_name;

/// A member of a flow: market, index of its flow, and what a lot of it counts.
pub type Part = (usize, usize, f64);

/// A live view of aggressive buying and selling.
#[pyclass(module = "engine._core")]
pub struct Flow {
    kernel: Py<Kernel>,
    name: Py<PyString>,
    parts: Vec<Part>,
    bucket: f64,
}

impl Flow {
    pub fn new(
        py: Python<'_>,
        kernel: Py<Kernel>,
        name: &str,
        parts: Vec<Part>,
        bucket: f64,
    ) -> Self {
        Self {
            kernel,
            name: PyString::new(py, name).unbind(),
            parts,
            bucket,
        }
    }

    /// The sum over the members of what `look` finds, times what a lot counts.
    fn sum(&self, py: Python<'_>, look: impl Fn(&mut CoreFlow) -> i128) -> f64 {
        let mut kernel = self.kernel.bind(py).borrow_mut();
        self.parts
            .iter()
            .map(|&(market, index, unit)| float(look(kernel.core.flow(market, index))) * unit)
            .sum()
    }

    fn count(&self, py: Python<'_>, look: impl Fn(&Volume) -> u64, window: usize) -> u64 {
        let mut kernel = self.kernel.bind(py).borrow_mut();
        self.parts
            .iter()
            .map(|&(market, index, _)| look(&kernel.core.flow(market, index).window(window)))
            .sum()
    }

    fn lots<'py>(&self, py: Python<'py>, side: Side) -> Bound<'py, PyArray1<f64>> {
        let values: [f64; WINDOWS] =
            std::array::from_fn(|window| self.sum(py, |flow| flow.window(window).lots_of(side)));
        PyArray1::from_slice(py, &values)
    }

    fn trades<'py>(&self, py: Python<'py>, side: Side) -> Bound<'py, PyArray1<u64>> {
        let values: [u64; WINDOWS] =
            std::array::from_fn(|window| self.count(py, |volume| volume.trades_of(side), window));
        PyArray1::from_slice(py, &values)
    }
}

#[allow(clippy::cast_precision_loss, reason = "a float is what is asked for")]
fn float(lots: i128) -> f64 {
    lots as f64
}

#[pymethods]
impl Flow {
    #[getter]
    fn name(&self, py: Python<'_>) -> Py<PyString> {
        self.name.clone_ref(py)
    }

    #[getter]
    fn buy_volume<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        self.lots(py, Side::Bid)
    }

    #[getter]
    fn sell_volume<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        self.lots(py, Side::Ask)
    }

    #[getter]
    fn unknown_volume<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        self.lots(py, Side::None)
    }

    #[getter]
    fn buy_trades<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u64>> {
        self.trades(py, Side::Bid)
    }

    #[getter]
    fn sell_trades<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u64>> {
        self.trades(py, Side::Ask)
    }

    #[getter]
    fn unknown_trades<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u64>> {
        self.trades(py, Side::None)
    }

    /// (bought − sold) / (bought + sold) of each window, 0 where neither is.
    #[getter]
    fn ratio<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        let values: [f64; WINDOWS] = std::array::from_fn(|window| {
            let bought = self.sum(py, |flow| flow.window(window).lots_of(Side::Bid));
            let sold = self.sum(py, |flow| flow.window(window).lots_of(Side::Ask));
            if bought + sold == 0.0 {
                0.0
            } else {
                (bought - sold) / (bought + sold)
            }
        });
        PyArray1::from_slice(py, &values)
    }

    /// Bought less sold since the first call.
    #[getter]
    fn cvd(&self, py: Python<'_>) -> f64 {
        self.sum(py, |flow| flow.since_start().delta())
    }

    /// Bought less sold since the UTC day began.
    #[getter]
    fn session_cvd(&self, py: Python<'_>) -> f64 {
        self.sum(py, |flow| flow.session().delta())
    }

    /// The session's volume by price: lower edges of buckets, bought, sold, unknown.
    #[allow(clippy::cast_precision_loss, reason = "a float is what is asked for")]
    fn profile<'py>(&self, py: Python<'py>) -> [Bound<'py, PyArray1<f64>>; 4] {
        let mut sums = std::collections::BTreeMap::<i64, [f64; 3]>::new();
        {
            let mut kernel = self.kernel.bind(py).borrow_mut();
            for &(market, index, unit) in &self.parts {
                for (bucket, lots) in kernel.core.flow(market, index).profile().buckets() {
                    let sum = sums.entry(bucket).or_default();
                    for (sum, lots) in sum.iter_mut().zip(lots) {
                        *sum += float(lots) * unit;
                    }
                }
            }
        }
        let column =
            |side: Side| PyArray1::from_iter(py, sums.values().map(|sum| sum[side as usize]));
        let edges = sums.keys().map(|bucket| *bucket as f64 * self.bucket);
        [
            PyArray1::from_iter(py, edges),
            column(Side::Bid),
            column(Side::Ask),
            column(Side::None),
        ]
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        format!("Flow({}, cvd={})", self.name.bind(py), self.cvd(py))
    }

    #[allow(
        clippy::needless_pass_by_value,
        reason = "the protocol of the collector"
    )]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.kernel)
    }
}

/// An aggressor's order that is over.
#[pyclass(frozen, get_all, module = "engine._core")]
pub struct Sweep {
    instrument: Py<PyString>,
    side: Option<&'static str>,
    px_first: f64,
    px_last: f64,
    vwap: f64,
    qty: f64,
    trades: u32,
    levels: u32,
    ts_event_ns: i64,
    ts_recv_ns: i64,
}

impl Sweep {
    pub fn new(order: &AggressorOrder, instrument: &Instrument, id: Py<PyString>) -> Self {
        let vwap = if order.lots == 0 {
            instrument.px(order.px_first_ticks)
        } else {
            instrument
                .tick
                .value(float(order.value_px_lots) / float(order.lots))
        };
        Self {
            instrument: id,
            side: (order.side != Side::None).then(|| side_name(order.side)),
            px_first: instrument.px(order.px_first_ticks),
            px_last: instrument.px(order.px_last_ticks),
            vwap,
            qty: instrument.lot.value(float(order.lots)),
            trades: order.trades,
            levels: order.levels,
            ts_event_ns: order.ts_event_ns,
            ts_recv_ns: order.ts_recv_ns,
        }
    }
}

#[pymethods]
impl Sweep {
    fn __repr__(&self, py: Python<'_>) -> String {
        format!(
            "Sweep({} {} {} from {} to {}, {} levels)",
            self.instrument.bind(py),
            self.side.unwrap_or("unknown"),
            self.qty,
            self.px_first,
            self.px_last,
            self.levels
        )
    }
}

/// Adds this module's names.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Flow>()?;
    m.add_class::<Sweep>()
}
