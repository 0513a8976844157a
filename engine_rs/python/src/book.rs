//! A strategy's view of a book: one object an instrument, which reads the kernel's own book.

use cobalt_core::book::Book as CoreBook;
use cobalt_core::event::Side;
use numpy::{PyArray1, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::kernel::Kernel;
use crate::rows::float_array;

/// A live view of an instrument's book as received. It changes as the run goes on; the arrays are
/// filled when they are asked for and are overwritten by the next call: copy what is to be kept.
#[pyclass(module = "engine._core")]
pub struct Book {
    kernel: Py<Kernel>,
    market: usize,
    tick: (f64, f64),
    lot: (f64, f64),
    id: Py<PyString>,
    depth: usize,
    arrays: [Py<PyArray1<f64>>; 4],
}

/// Most levels an array can hold.
pub const DEPTH_MAX: usize = 5_000;

impl Book {
    pub fn new(
        py: Python<'_>,
        kernel: Py<Kernel>,
        market: usize,
        steps: [(f64, f64); 2],
        id: Py<PyString>,
        depth: usize,
    ) -> Self {
        let [tick, lot] = steps;
        let arrays = std::array::from_fn(|_| float_array(py, depth));
        Self {
            kernel,
            market,
            tick,
            lot,
            id,
            depth,
            arrays,
        }
    }

    /// Makes room for more levels; never for fewer.
    pub fn deepen(&mut self, py: Python<'_>, depth: usize) -> PyResult<()> {
        if !(1..=DEPTH_MAX).contains(&depth) {
            return Err(PyValueError::new_err(format!(
                "depth: expected 1 to {DEPTH_MAX} levels, found {depth}"
            )));
        }
        if depth > self.depth {
            self.depth = depth;
            self.arrays = std::array::from_fn(|_| float_array(py, depth));
        }
        Ok(())
    }

    fn read<T>(&self, py: Python<'_>, look: impl FnOnce(&CoreBook) -> T) -> T {
        look(&self.kernel.bind(py).borrow().core.markets[self.market].book)
    }

    #[allow(clippy::cast_precision_loss, reason = "a float is what is asked for")]
    fn px(&self, ticks: i64) -> f64 {
        ticks as f64 * self.tick.0 / self.tick.1
    }

    #[allow(clippy::cast_precision_loss, reason = "a float is what is asked for")]
    fn qty(&self, lots: i64) -> f64 {
        lots as f64 * self.lot.0 / self.lot.1
    }

    /// Fills one of the arrays with the best levels of a side; shorter where the side is.
    fn fill<'py>(
        &self,
        py: Python<'py>,
        index: usize,
        side: Side,
        value: impl Fn(&Self, (i64, i64)) -> f64,
    ) -> PyResult<Bound<'py, PyAny>> {
        let array = self.arrays[index].bind(py);
        let depth = self.depth;
        let filled = self.read(py, |book| {
            // SAFETY: the array is ours alone to write (Python sees it read-only), contiguous,
            // `depth` long, and no other reference to its data lives during this call.
            let target = unsafe { std::slice::from_raw_parts_mut(array.data(), depth) };
            let mut filled = 0;
            for (slot, level) in target.iter_mut().zip(book.levels(side)) {
                *slot = value(self, level);
                filled += 1;
            }
            filled
        });
        if filled == array.len() {
            return Ok(array.clone().into_any());
        }
        array.get_item(pyo3::types::PySlice::new(py, 0, filled.cast_signed(), 1))
    }
}

#[pymethods]
impl Book {
    #[getter]
    fn instrument(&self, py: Python<'_>) -> Py<PyString> {
        self.id.clone_ref(py)
    }

    #[getter]
    fn tick(&self) -> f64 {
        self.tick.0 / self.tick.1
    }

    #[getter]
    fn lot(&self) -> f64 {
        self.lot.0 / self.lot.1
    }

    #[getter]
    fn best_bid(&self, py: Python<'_>) -> Option<f64> {
        self.read(py, CoreBook::best_bid_px).map(|px| self.px(px))
    }

    #[getter]
    fn best_ask(&self, py: Python<'_>) -> Option<f64> {
        self.read(py, CoreBook::best_ask_px).map(|px| self.px(px))
    }

    #[getter]
    fn best_bid_qty(&self, py: Python<'_>) -> Option<f64> {
        self.read(py, CoreBook::best_bid)
            .map(|(_, qty)| self.qty(qty))
    }

    #[getter]
    fn best_ask_qty(&self, py: Python<'_>) -> Option<f64> {
        self.read(py, CoreBook::best_ask)
            .map(|(_, qty)| self.qty(qty))
    }

    #[getter]
    fn best_bid_ticks(&self, py: Python<'_>) -> Option<i64> {
        self.read(py, CoreBook::best_bid_px)
    }

    #[getter]
    fn best_ask_ticks(&self, py: Python<'_>) -> Option<i64> {
        self.read(py, CoreBook::best_ask_px)
    }

    #[getter]
    fn mid(&self, py: Python<'_>) -> Option<f64> {
        self.read(py, CoreBook::mid_px_x2)
            .map(|px_x2| self.px(px_x2) / 2.0)
    }

    #[getter]
    fn spread(&self, py: Python<'_>) -> Option<f64> {
        self.read(py, |book| Some(book.best_ask_px()? - book.best_bid_px()?))
            .map(|ticks| self.px(ticks))
    }

    /// The mid weighted by the sizes of the opposite sides.
    #[getter]
    fn micro_price(&self, py: Python<'_>) -> Option<f64> {
        let ((bid, bid_lots), (ask, ask_lots)) =
            self.read(py, |book| Some((book.best_bid()?, book.best_ask()?)))?;
        let (bid_qty, ask_qty) = (self.qty(bid_lots), self.qty(ask_lots));
        Some((self.px(bid) * ask_qty + self.px(ask) * bid_qty) / (bid_qty + ask_qty))
    }

    /// (bid − ask) / (bid + ask) of the sizes of the best `levels` levels; 0 when both are empty.
    #[pyo3(signature = (levels = 1))]
    #[allow(clippy::cast_precision_loss, reason = "a float is what is asked for")]
    fn imbalance(&self, py: Python<'_>, levels: usize) -> f64 {
        let (bid, ask) = self.read(py, |book| {
            (book.depth(Side::Bid, levels), book.depth(Side::Ask, levels))
        });
        let total = bid as f64 + ask as f64;
        if total == 0.0 {
            0.0
        } else {
            (bid as f64 - ask as f64) / total
        }
    }

    /// The size at a price on a side (`bid` or `ask`), 0 where there is no level.
    fn qty_at(&self, py: Python<'_>, side: &str, px: &Bound<'_, PyAny>) -> PyResult<f64> {
        let side = side_of(side)?;
        let tick = self.kernel.bind(py).borrow().core.markets[self.market]
            .instrument
            .tick;
        let Some(ticks) = crate::numbers::steps("px", px, tick)? else {
            return Ok(0.0);
        };
        Ok(self.qty(self.read(py, |book| book.qty_at(side, ticks))))
    }

    /// Total size of the best `levels` levels of a side (`bid` or `ask`).
    fn depth(&self, py: Python<'_>, side: &str, levels: usize) -> PyResult<f64> {
        let side = side_of(side)?;
        Ok(self.qty(self.read(py, |book| book.depth(side, levels))))
    }

    /// Average price of taking `qty` from a side (`bid` or `ask`); None where it holds less.
    #[allow(clippy::cast_precision_loss, reason = "a float is what is asked for")]
    fn vwap_to_take(
        &self,
        py: Python<'_>,
        side: &str,
        qty: &Bound<'_, PyAny>,
    ) -> PyResult<Option<f64>> {
        let side = side_of(side)?;
        let lot = self.kernel.bind(py).borrow().core.markets[self.market]
            .instrument
            .lot;
        let Some(lots) = crate::numbers::steps("qty", qty, lot)?.filter(|lots| *lots > 0) else {
            return Err(PyValueError::new_err(format!(
                "qty: expected a positive multiple of the lot {lot}, found {qty}"
            )));
        };
        let (cost, taken) = self.read(py, |book| book.cost_to_take(side, lots));
        let vwap = cost as f64 / taken as f64 * self.tick.0 / self.tick.1;
        Ok((taken == lots).then_some(vwap))
    }

    #[getter]
    fn bid_px<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.fill(py, 0, Side::Bid, |book, (px, _)| book.px(px))
    }

    #[getter]
    fn bid_qty<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.fill(py, 1, Side::Bid, |book, (_, qty)| book.qty(qty))
    }

    #[getter]
    fn ask_px<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.fill(py, 2, Side::Ask, |book, (px, _)| book.px(px))
    }

    #[getter]
    fn ask_qty<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.fill(py, 3, Side::Ask, |book, (_, qty)| book.qty(qty))
    }

    #[getter]
    fn is_trusted(&self, py: Python<'_>) -> bool {
        self.read(py, CoreBook::is_trusted)
    }

    #[getter]
    fn seq(&self, py: Python<'_>) -> Option<u64> {
        Some(self.read(py, CoreBook::seq)).filter(|seq| *seq != cobalt_core::event::SEQ_NONE)
    }

    /// Number of levels of a side (`bid` or `ask`).
    fn level_count(&self, py: Python<'_>, side: &str) -> PyResult<usize> {
        let side = side_of(side)?;
        Ok(self.read(py, |book| book.level_count(side)))
    }

    #[allow(
        clippy::needless_pass_by_value,
        reason = "the protocol of the collector"
    )]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.kernel)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let show = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |px| px.to_string());
        format!(
            "Book({}, {} / {})",
            self.id.bind(py),
            show(self.best_bid(py)),
            show(self.best_ask(py))
        )
    }
}

fn side_of(name: &str) -> PyResult<Side> {
    match name {
        "bid" => Ok(Side::Bid),
        "ask" => Ok(Side::Ask),
        _ => Err(PyValueError::new_err(format!(
            "side: expected bid or ask, found {name:?}"
        ))),
    }
}
