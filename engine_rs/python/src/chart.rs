//! A strategy's view of a chart: bars of one interval, indicators, pivots.

use cobalt_core::chart::{BarRow as CoreBarRow, Chart as CoreChart};
use cobalt_core::indicators::{Indicator, Unit};
use cobalt_core::instrument::Instrument;
use cobalt_core::pivots::{LEVELS, Pivot as CorePivot, Trend};
use numpy::PyArray1;
use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::errors::to_py;
use crate::kernel::Kernel;
use crate::rows::{row_type, view};

row_type!(
    /// A bar as numpy sees it.
    BarRow,
    CoreBarRow,
    [
        ("ts_start_ns", "<i8", ts_start_ns),
        ("open", "<f8", open),
        ("high", "<f8", high),
        ("low", "<f8", low),
        ("close", "<f8", close),
        ("volume", "<f8", volume),
        ("buy_volume", "<f8", buy_volume),
        ("vwap", "<f8", vwap),
        ("trades", "<u4", trades),
        ("reserved", "<u4", reserved),
    ]
);

row_type!(
    /// A pivot as numpy sees it.
    PivotRow,
    CorePivot,
    [
        ("ts_pivot_ns", "<i8", ts_pivot_ns),
        ("ts_confirmed_ns", "<i8", ts_confirmed_ns),
        ("px_ticks", "<i8", px_ticks),
        ("level", "u1", level),
        ("is_high", "u1", is_high),
    ]
);

/// Names of floor pivots, in the order of the core's.
pub const FLOOR_NAMES: [&str; 7] = ["p", "r1", "r2", "r3", "s1", "s2", "s3"];

/// A live view of an instrument's bars of one interval.
#[pyclass(module = "engine._core")]
pub struct Chart {
    kernel: Py<Kernel>,
    market: usize,
    index: usize,
    id: Py<PyString>,
    interval: &'static str,
}

impl Chart {
    pub fn new(
        kernel: Py<Kernel>,
        market: usize,
        index: usize,
        id: Py<PyString>,
        interval: &'static str,
    ) -> Self {
        Self {
            kernel,
            market,
            index,
            id,
            interval,
        }
    }

    fn read<T>(&self, py: Python<'_>, look: impl FnOnce(&mut CoreChart, &Instrument) -> T) -> T {
        let mut kernel = self.kernel.bind(py).borrow_mut();
        let instrument = kernel.core.markets[self.market].instrument.clone();
        look(kernel.core.chart(self.market, self.index), &instrument)
    }
}

/// A result of an indicator in the instrument's units.
#[allow(clippy::float_arithmetic, reason = "results are floats")]
fn scaled(indicator: &Indicator, result: Option<f64>, instrument: &Instrument) -> Option<f64> {
    let step = match indicator.unit() {
        Unit::Number => return result,
        Unit::Price => instrument.tick,
        Unit::Volume => instrument.lot,
    };
    result.map(|value| step.value(value))
}

#[pymethods]
impl Chart {
    #[getter]
    fn instrument(&self, py: Python<'_>) -> Py<PyString> {
        self.id.clone_ref(py)
    }

    #[getter]
    fn interval(&self) -> &'static str {
        self.interval
    }

    /// The latest bars, oldest first: a view.
    #[getter]
    fn bars<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<BarRow>> {
        let kernel = self.kernel.bind(py);
        let mut borrowed = kernel.borrow_mut();
        let rows = borrowed.core.chart(self.market, self.index).bars();
        // SAFETY: the ring's buffer is allocated once and lives in the kernel, which the array
        // keeps alive.
        unsafe { view(rows, kernel.clone().into_any()) }
    }

    /// The latest pivots in the order of their confirmation: a view.
    #[getter]
    fn pivots<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<PivotRow>> {
        let kernel = self.kernel.bind(py);
        let mut borrowed = kernel.borrow_mut();
        let rows = borrowed.core.chart(self.market, self.index).pivots();
        // SAFETY: as in `bars`; a chart without pivots has an empty slice, which is never read.
        unsafe { view(rows, kernel.clone().into_any()) }
    }

    /// Adds an indicator that sees the bars from now on, and returns the names of its results.
    fn add_indicator(&self, py: Python<'_>, name: &str) -> PyResult<Vec<String>> {
        let mut kernel = self.kernel.bind(py).borrow_mut();
        let added = kernel.core.add_indicator(self.market, self.index, name);
        let index = added.map_err(to_py)?;
        let chart = kernel.core.chart(self.market, self.index);
        Ok(chart.indicators[index].names().to_vec())
    }

    /// The results of all indicators by name; None before one has seen enough bars.
    #[getter]
    fn indicators<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        let found: Vec<(String, Option<f64>)> = self.read(py, |chart, instrument| {
            let mut found = Vec::new();
            for one in &chart.indicators {
                for (name, result) in one.names().iter().zip(one.results()) {
                    found.push((name.clone(), scaled(one, *result, instrument)));
                }
            }
            found
        });
        for (name, value) in found {
            dict.set_item(name, value)?;
        }
        Ok(dict)
    }

    /// One result of an indicator by name.
    fn __getitem__(&self, py: Python<'_>, name: &str) -> PyResult<Option<f64>> {
        self.read(py, |chart, instrument| {
            for one in &chart.indicators {
                if let Some(at) = one.names().iter().position(|known| known == name) {
                    return Ok(scaled(one, one.results()[at], instrument));
                }
            }
            let known: Vec<&str> = chart
                .indicators
                .iter()
                .flat_map(Indicator::names)
                .map(String::as_str)
                .collect();
            Err(PyKeyError::new_err(format!(
                "indicator: expected one of the chart's ({}), found {name:?}",
                known.join(", ")
            )))
        })
    }

    /// Direction of a level: 1 up, −1 down, 0 sideways; None before it has two highs and two lows.
    #[pyo3(signature = (level = 1))]
    fn trend(&self, py: Python<'_>, level: usize) -> PyResult<Option<i8>> {
        check_level(level)?;
        Ok(self.read(py, |chart, _| {
            let pivots = chart.pivots.as_ref()?;
            pivots.structure.trend(level).map(Trend::sign)
        }))
    }

    /// What frames a price among the pivots kept: lowest, highest, nearest at or below it, nearest
    /// at or above it; each None where there is none.
    fn bounds(&self, py: Python<'_>, px: f64) -> PyResult<PivotBounds> {
        let (tick, ticks) = self.read(py, |chart, instrument| {
            (
                instrument.tick,
                chart.pivots.as_ref().map(|_| px / instrument.tick.to_f64()),
            )
        });
        if !px.is_finite() || px.abs() / tick.to_f64() > 1e15 {
            return Err(PyValueError::new_err(format!(
                "px: expected a price of at most 1e15 ticks, found {px}"
            )));
        }
        // A price between two ticks has its support below and its resistance above.
        let Some(ticks) = ticks else {
            return Ok(PivotBounds::default());
        };
        let nearest = ticks.round();
        let is_whole = (ticks - nearest).abs() < 1e-6;
        #[allow(clippy::cast_possible_truncation, reason = "checked above")]
        let (below, above) = if is_whole {
            (nearest as i64, nearest as i64)
        } else {
            (ticks.floor() as i64, ticks.ceil() as i64)
        };
        Ok(self.read(py, |chart, instrument| {
            let Some(pivots) = &chart.pivots else {
                return PivotBounds::default();
            };
            let px = |ticks: i64| instrument.px(ticks);
            let found = pivots.structure.bounds(below);
            PivotBounds {
                low: found.low.map(px),
                high: found.high.map(px),
                support: found.support.map(px),
                resistance: pivots.structure.bounds(above).resistance.map(px),
            }
        }))
    }

    /// Floor pivots of the UTC day in which the latest bar ended, by name; None without bars of the
    /// day before.
    #[getter]
    fn floor_pivots<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let found = self.read(py, |chart, instrument| {
            let levels = chart.floor_pivots()?.levels();
            Some(levels.map(|ticks| instrument.tick.value(ticks)))
        });
        let Some(found) = found else { return Ok(None) };
        let dict = PyDict::new(py);
        for (name, px) in FLOOR_NAMES.iter().zip(found) {
            dict.set_item(name, px)?;
        }
        Ok(Some(dict))
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let count = self.read(py, |chart, _| chart.bars().len());
        format!(
            "Chart({} {}, {count} bars)",
            self.id.bind(py),
            self.interval
        )
    }

    #[allow(
        clippy::needless_pass_by_value,
        reason = "the protocol of the collector"
    )]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.kernel)
    }
}

fn check_level(level: usize) -> PyResult<()> {
    if (1..=LEVELS).contains(&level) {
        return Ok(());
    }
    Err(PyValueError::new_err(format!(
        "level: expected 1 to {LEVELS}, found {level}"
    )))
}

/// Prices that frame a price.
#[pyclass(frozen, get_all, module = "engine._core")]
#[derive(Default)]
pub struct PivotBounds {
    low: Option<f64>,
    high: Option<f64>,
    support: Option<f64>,
    resistance: Option<f64>,
}

#[pymethods]
impl PivotBounds {
    fn __repr__(&self) -> String {
        format!(
            "PivotBounds(low={:?}, high={:?}, support={:?}, resistance={:?})",
            self.low, self.high, self.support, self.resistance
        )
    }
}

/// A confirmed pivot.
#[pyclass(frozen, get_all, module = "engine._core")]
pub struct Pivot {
    instrument: Py<PyString>,
    interval: Py<PyString>,
    level: u8,
    is_high: bool,
    px: f64,
    ts_pivot_ns: i64,
    ts_confirmed_ns: i64,
}

impl Pivot {
    pub fn new(
        pivot: &CorePivot,
        instrument: &Instrument,
        id: Py<PyString>,
        interval: Py<PyString>,
    ) -> Self {
        Self {
            instrument: id,
            interval,
            level: pivot.level,
            is_high: pivot.is_high == 1,
            px: instrument.px(pivot.px_ticks),
            ts_pivot_ns: pivot.ts_pivot_ns,
            ts_confirmed_ns: pivot.ts_confirmed_ns,
        }
    }
}

#[pymethods]
impl Pivot {
    fn __repr__(&self, py: Python<'_>) -> String {
        format!(
            "Pivot({} {}, level {} {}, {} at {})",
            self.instrument.bind(py),
            self.interval.bind(py),
            self.level,
            if self.is_high { "high" } else { "low" },
            self.px,
            self.ts_pivot_ns
        )
    }
}

/// Adds this module's names.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = m.py();
    m.add("BAR_DTYPE", <BarRow as numpy::Element>::get_dtype(py))?;
    m.add("PIVOT_DTYPE", <PivotRow as numpy::Element>::get_dtype(py))?;
    m.add_class::<Chart>()?;
    m.add_class::<Pivot>()?;
    m.add_class::<PivotBounds>()
}
