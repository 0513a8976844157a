//! A strategy's view of a consolidated order book.

use cobalt_core::cob::{
    AVERAGED, BUCKETS, Cob as CoreCob, Crossing as CoreCrossing, Detail, Level as CoreLevel, Row,
    WINDOWS,
};
use cobalt_core::event::Side;
use numpy::{PyArray1, PyArray2, PyArrayMethods};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::kernel::Kernel;
use crate::rows::{float_array, row_type, view};

row_type!(
    /// A sample of the window as numpy sees it.
    CobRow,
    Row,
    [
        ("ts_ns", "<i8", ts_ns),
        ("first_bucket", "<i8", first),
        ("mid", "<f8", mid),
        ("bid", "(40,)<f8", bid),
        ("ask", "(40,)<f8", ask),
        ("imbalance", "(40,)<f8", imbalance),
    ]
);

/// Arrays of the window that are filled when they are asked for.
const ARRAYS: usize = 5;

/// A live view of a group's consolidated book. It changes as the run goes on; the arrays are filled
/// when they are asked for and are overwritten by the next call: copy what is to be kept.
#[pyclass(module = "engine._core")]
pub struct Cob {
    kernel: Py<Kernel>,
    index: usize,
    group: Py<PyString>,
    ids: Vec<Py<PyString>>,
    size: f64,
    arrays: [Py<PyArray1<f64>>; ARRAYS],
    averages: Py<PyArray2<f64>>,
    venues: Py<PyArray1<u8>>,
}

impl Cob {
    pub fn new(
        py: Python<'_>,
        kernel: Py<Kernel>,
        index: usize,
        group: &str,
        ids: Vec<Py<PyString>>,
        size: f64,
    ) -> Self {
        let averages = PyArray2::<f64>::zeros(py, [WINDOWS, AVERAGED], false);
        let _ = averages.readwrite().make_nonwriteable();
        let venues = PyArray1::<u8>::zeros(py, BUCKETS, false);
        let _ = venues.readwrite().make_nonwriteable();
        Self {
            kernel,
            index,
            group: PyString::new(py, group).unbind(),
            ids,
            size,
            arrays: std::array::from_fn(|_| float_array(py, BUCKETS)),
            averages: averages.unbind(),
            venues: venues.unbind(),
        }
    }

    /// Looks at the book, brought up to date.
    fn read<T>(&self, py: Python<'_>, look: impl FnOnce(&mut CoreCob) -> T) -> T {
        look(self.kernel.bind(py).borrow_mut().core.cob(self.index))
    }

    /// Looks at the window; `None` without a consolidated mid.
    fn row<T>(&self, py: Python<'_>, look: impl FnOnce(&Row) -> T) -> Option<T> {
        self.read(py, |cob| cob.row().map(look))
    }

    fn detail(&self, py: Python<'_>) -> Option<Detail> {
        self.kernel
            .bind(py)
            .borrow_mut()
            .core
            .cob_detail(self.index)
    }

    /// Fills one of the arrays; with NaN where there is no consolidated mid.
    fn fill(
        &self,
        py: Python<'_>,
        array: usize,
        values: Option<&[f64; BUCKETS]>,
    ) -> Py<PyArray1<f64>> {
        let values = values.unwrap_or(&[f64::NAN; BUCKETS]);
        let array = &self.arrays[array];
        // SAFETY: the array is ours alone to write (Python sees it read-only), contiguous,
        // `BUCKETS` long, and no reference to its data lives during this call.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), array.bind(py).data(), BUCKETS) };
        array.clone_ref(py)
    }

    #[allow(clippy::cast_precision_loss, reason = "a float is what is asked for")]
    fn edge(&self, bucket: i64) -> f64 {
        bucket as f64 * self.size
    }

    /// Owners of views are this object's kernel, which owns the memory.
    fn history<'py>(
        &self,
        py: Python<'py>,
        rows: impl FnOnce(&CoreCob) -> &[Row],
    ) -> Bound<'py, PyArray1<CobRow>> {
        let kernel = self.kernel.bind(py);
        let mut borrowed = kernel.borrow_mut();
        let rows = rows(borrowed.core.cob(self.index));
        // SAFETY: the ring's buffer is allocated once and lives in the kernel, which the array
        // keeps alive.
        unsafe { view(rows, kernel.clone().into_any()) }
    }
}

#[pymethods]
impl Cob {
    #[getter]
    fn group(&self, py: Python<'_>) -> Py<PyString> {
        self.group.clone_ref(py)
    }

    #[getter]
    fn members(&self, py: Python<'_>) -> Vec<Py<PyString>> {
        self.ids.iter().map(|id| id.clone_ref(py)).collect()
    }

    #[getter]
    fn bucket_size(&self) -> f64 {
        self.size
    }

    #[getter]
    fn ts_ns(&self, py: Python<'_>) -> i64 {
        self.kernel.bind(py).borrow().core.now_ns()
    }

    #[getter]
    fn mid(&self, py: Python<'_>) -> Option<f64> {
        self.row(py, |row| row.mid)
    }

    #[getter]
    fn best_bid(&self, py: Python<'_>) -> Option<f64> {
        self.read(py, |cob| cob.bests().map(|bests| bests.bid))
    }

    #[getter]
    fn best_ask(&self, py: Python<'_>) -> Option<f64> {
        self.read(py, |cob| cob.bests().map(|bests| bests.ask))
    }

    /// Best ask less best bid over the mid, in basis points; negative while members cross.
    #[getter]
    fn spread_bps(&self, py: Python<'_>) -> Option<f64> {
        self.read(py, |cob| {
            let spread = cob.bests()?.spread;
            Some(spread / cob.row()?.mid * 1e4)
        })
    }

    #[getter]
    fn first_bucket(&self, py: Python<'_>) -> Option<i64> {
        self.row(py, |row| row.first)
    }

    /// Lower edge of each bucket in quote units.
    #[getter]
    #[allow(clippy::cast_possible_wrap, reason = "a few buckets")]
    fn prices(&self, py: Python<'_>) -> Py<PyArray1<f64>> {
        let first = self.row(py, |row| row.first);
        let edges =
            |first: i64| std::array::from_fn(|index| self.edge(first.saturating_add(index as i64)));
        self.fill(py, 0, first.map(edges).as_ref())
    }

    #[getter]
    fn bid(&self, py: Python<'_>) -> Py<PyArray1<f64>> {
        self.fill(py, 1, self.row(py, |row| row.bid).as_ref())
    }

    #[getter]
    fn ask(&self, py: Python<'_>) -> Py<PyArray1<f64>> {
        self.fill(py, 2, self.row(py, |row| row.ask).as_ref())
    }

    #[getter]
    fn imbalance(&self, py: Python<'_>) -> Py<PyArray1<f64>> {
        self.fill(py, 3, self.row(py, |row| row.imbalance).as_ref())
    }

    #[getter]
    fn vwap(&self, py: Python<'_>) -> Py<PyArray1<f64>> {
        self.fill(py, 4, self.detail(py).map(|detail| detail.vwap).as_ref())
    }

    #[getter]
    fn venues(&self, py: Python<'_>) -> Py<PyArray1<u8>> {
        let detail = self.detail(py);
        let values = detail.map_or([0; BUCKETS], |detail| detail.venues);
        // SAFETY: as in `fill`.
        unsafe {
            std::ptr::copy_nonoverlapping(values.as_ptr(), self.venues.bind(py).data(), BUCKETS);
        }
        self.venues.clone_ref(py)
    }

    /// Moving averages of the imbalance of the ten buckets around the mid.
    #[getter]
    fn imbalance_ma(&self, py: Python<'_>) -> Py<PyArray2<f64>> {
        let averages = self.read(py, CoreCob::averages);
        let values = averages.map(|row| row.map(|value| value.unwrap_or(f64::NAN)));
        let length = WINDOWS * AVERAGED;
        // SAFETY: as in `fill`; nested arrays lie as the matrix does, row by row.
        unsafe {
            std::ptr::copy_nonoverlapping(
                values.as_ptr().cast(),
                self.averages.bind(py).data(),
                length,
            );
        }
        self.averages.clone_ref(py)
    }

    #[getter]
    fn bid_depth(&self, py: Python<'_>) -> Option<f64> {
        self.row(py, |row| row.depth(Side::Bid))
    }

    #[getter]
    fn ask_depth(&self, py: Python<'_>) -> Option<f64> {
        self.row(py, |row| row.depth(Side::Ask))
    }

    #[getter]
    fn liquidity_imbalance(&self, py: Python<'_>) -> Option<f64> {
        self.row(py, Row::liquidity_imbalance)
    }

    /// Each member's share of the window's depth.
    #[getter]
    fn shares<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let shares = self.detail(py).map(|detail| detail.shares);
        let dict = PyDict::new(py);
        for (id, share) in self.ids.iter().zip(shares.unwrap_or_default()) {
            dict.set_item(id, share)?;
        }
        Ok(dict)
    }

    /// Time since the last message of each member in ns; None for one that never had any.
    #[getter]
    fn ages_ns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let now = self.ts_ns(py);
        let times: Vec<_> = self.read(py, |cob| {
            cob.members().iter().map(|member| member.recv_ns).collect()
        });
        let dict = PyDict::new(py);
        for (id, time) in self.ids.iter().zip(times) {
            dict.set_item(id, time.map(|ts| now - ts))?;
        }
        Ok(dict)
    }

    /// Members that take no part now, and why.
    #[getter]
    fn absent<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let absences: Vec<_> = self.read(py, |cob| {
            cob.members().iter().map(|member| member.absence).collect()
        });
        let dict = PyDict::new(py);
        for (id, absence) in self.ids.iter().zip(absences) {
            if let Some(absence) = absence {
                dict.set_item(id, absence.name())?;
            }
        }
        Ok(dict)
    }

    /// Pairs of members that are locked or crossed now.
    #[getter]
    fn crossings(&self, py: Python<'_>) -> Vec<Crossing> {
        let found = self.kernel.bind(py).borrow().core.crossings(self.index);
        found
            .iter()
            .map(|crossing| Crossing::new(crossing, |member| self.ids[member].clone_ref(py)))
            .collect()
    }

    #[getter]
    fn supports(&self, py: Python<'_>) -> Vec<CobLevel> {
        self.levels(py, true)
    }

    #[getter]
    fn resistances(&self, py: Python<'_>) -> Vec<CobLevel> {
        self.levels(py, false)
    }

    /// Samples of the last 60 s, ten a second, oldest first: a view.
    #[getter]
    fn samples<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<CobRow>> {
        self.history(py, CoreCob::samples)
    }

    /// Samples of the last 300 s, one a second, oldest first: a view.
    #[getter]
    fn seconds<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<CobRow>> {
        self.history(py, CoreCob::seconds)
    }

    /// Time × price of the seconds kept.
    #[pyo3(signature = (kind = "total", seconds = 300, buckets = 40))]
    fn heatmap<'py>(
        &self,
        py: Python<'py>,
        kind: &str,
        seconds: usize,
        buckets: usize,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let kind = cobalt_core::cob::HeatmapKind::parse(kind).map_err(crate::errors::to_py)?;
        let now = self.ts_ns(py);
        let matrix = self
            .read(py, |cob| cob.heatmap(kind, now, seconds, buckets))
            .map_err(crate::errors::to_py)?;
        PyArray1::from_vec(py, matrix).reshape([seconds, buckets])
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let mid = self
            .mid(py)
            .map_or_else(|| "-".to_owned(), |mid| mid.to_string());
        format!("Cob({}, mid={mid})", self.group.bind(py))
    }

    #[allow(
        clippy::needless_pass_by_value,
        reason = "the protocol of the collector"
    )]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.kernel)
    }
}

impl Cob {
    fn levels(&self, py: Python<'_>, support: bool) -> Vec<CobLevel> {
        let found = self.read(py, |cob| cob.levels());
        found
            .iter()
            .filter(|level| level.is_support == support)
            .map(|level| CobLevel::new(level, self.edge(level.bucket), self.size))
            .collect()
    }

    /// The index of a member's id.
    pub fn id(&self, py: Python<'_>, member: usize) -> Py<PyString> {
        self.ids[member].clone_ref(py)
    }

    /// The group's name.
    pub fn name(&self, py: Python<'_>) -> Py<PyString> {
        self.group.clone_ref(py)
    }
}

/// Two members of which one asks no more than the other bids.
#[pyclass(frozen, get_all, module = "engine._core")]
pub struct Crossing {
    buy: Py<PyString>,
    sell: Py<PyString>,
    ask_px: f64,
    bid_px: f64,
    qty: f64,
    profit: f64,
    is_locked: bool,
}

impl Crossing {
    fn new(crossing: &CoreCrossing, id: impl Fn(usize) -> Py<PyString>) -> Self {
        Self {
            buy: id(crossing.buy),
            sell: id(crossing.sell),
            ask_px: crossing.ask_px,
            bid_px: crossing.bid_px,
            qty: crossing.qty,
            profit: crossing.profit,
            is_locked: crossing.is_locked(),
        }
    }
}

#[pymethods]
impl Crossing {
    fn __repr__(&self, py: Python<'_>) -> String {
        format!(
            "Crossing(buy {} at {}, sell {} at {}, qty={})",
            self.buy.bind(py),
            self.ask_px,
            self.sell.bind(py),
            self.bid_px,
            self.qty
        )
    }
}

/// A bucket in which much rests.
#[pyclass(frozen, get_all, module = "engine._core")]
pub struct CobLevel {
    px_low: f64,
    px_high: f64,
    qty: f64,
    strength: f64,
}

impl CobLevel {
    fn new(level: &CoreLevel, px_low: f64, size: f64) -> Self {
        Self {
            px_low,
            px_high: px_low + size,
            qty: level.qty,
            strength: level.strength,
        }
    }
}

#[pymethods]
impl CobLevel {
    fn __repr__(&self) -> String {
        format!(
            "CobLevel({} to {}, qty={}, strength={:.2})",
            self.px_low, self.px_high, self.qty, self.strength
        )
    }
}

/// A member of a group went out, or came back.
#[pyclass(frozen, get_all, module = "engine._core")]
pub struct CobMember {
    pub group: Py<PyString>,
    pub instrument: Py<PyString>,
    pub is_in: bool,
    pub reason: Option<&'static str>,
    pub ts_recv_ns: i64,
}

/// Adds this module's names.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add(
        "COB_ROW_DTYPE",
        <CobRow as numpy::Element>::get_dtype(m.py()),
    )?;
    m.add_class::<Cob>()?;
    m.add_class::<Crossing>()?;
    m.add_class::<CobLevel>()?;
    m.add_class::<CobMember>()?;
    Ok(())
}
