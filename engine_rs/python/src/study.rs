//! The study of queue models at the Python boundary.

use cobalt_core::decimal::Step;
use cobalt_core::event::{Event, Side};
use cobalt_core::exchange::study::{Ghost, NEVER, Plan, QueueStudy, executions};
use numpy::{PyArray1, PyArray2, PyArrayMethods};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::to_py;
use crate::events::from_array;
use crate::models::queue_model;

/// What queue models make of orders whose place is known; see `engine/_core.pyi`.
#[allow(
    clippy::needless_pass_by_value,
    reason = "an argument extracted from Python is owned"
)]
#[pyfunction]
#[pyo3(signature = (rows, *, models, lot, begin_ns, lifetime_ns, plans))]
fn queue_study<'py>(
    py: Python<'py>,
    rows: &Bound<'py, PyAny>,
    models: Vec<(String, f64)>,
    lot: &str,
    begin_ns: i64,
    lifetime_ns: i64,
    plans: Vec<(i64, u8, usize)>,
) -> PyResult<Bound<'py, PyDict>> {
    let rows = from_array("rows", rows)?;
    let readonly = rows
        .try_readonly()
        .map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
    let rows: &[Event] = crate::rows::records(readonly.as_slice()?);
    let lot = Step::parse(lot).map_err(to_py)?;
    let count = models.len();
    let models = models
        .iter()
        .map(|(name, power)| queue_model(name, *power, lot))
        .collect::<PyResult<Vec<_>>>()?;
    if models.iter().any(|model| model.uses_orders()) {
        let expected = "models: expected models of levels and trades, found l3_fifo, the truth";
        return Err(PyValueError::new_err(expected));
    }
    let plans = plans
        .into_iter()
        .map(|(ts_ns, side, level)| {
            let side = Side::from_u8(side).filter(|side| *side != Side::None);
            let side = side.ok_or_else(|| PyValueError::new_err("plans: expected side 1 or 2"))?;
            Ok(Plan { ts_ns, side, level })
        })
        .collect::<PyResult<_>>()?;
    let mut study = QueueStudy::new(models, begin_ns, lifetime_ns, plans);
    let ghosts = py.detach(|| {
        for row in rows {
            study.take(row);
        }
        study.finish()
    });
    columns(py, &ghosts, count)
}

fn columns<'py>(py: Python<'py>, ghosts: &[Ghost], models: usize) -> PyResult<Bound<'py, PyDict>> {
    let columns = PyDict::new(py);
    for (name, get) in [
        ("px_ticks", (|g| g.px_ticks) as fn(&Ghost) -> i64),
        ("joined_ns", |g| g.joined_ns),
        ("ended_ns", |g| g.ended_ns),
        ("ahead_lots", |g| g.ahead_lots),
        ("fate_ns", |g| g.fate_ns),
        ("truth_ns", |g| g.truth_ns),
        ("truth_ahead_lots", |g| g.truth_ahead_lots),
    ] {
        columns.set_item(name, PyArray1::from_iter(py, ghosts.iter().map(get)))?;
    }
    for (name, get) in [
        ("side", (|g| g.side as u8) as fn(&Ghost) -> u8),
        ("end", |g| g.end as u8),
        ("is_planned", |g| u8::from(g.order.is_none())),
        ("truth_in_queue", |g| u8::from(g.truth_in_queue)),
    ] {
        columns.set_item(name, PyArray1::from_iter(py, ghosts.iter().map(get)))?;
    }
    let orders = ghosts.iter().map(|ghost| ghost.order.unwrap_or(0));
    columns.set_item("order_id", PyArray1::from_iter(py, orders))?;
    let filled = ghosts
        .iter()
        .flat_map(|ghost| ghost.models_ns.iter().copied());
    let filled: Bound<'py, PyArray2<i64>> =
        PyArray1::from_iter(py, filled).reshape([ghosts.len(), models])?;
    columns.set_item("models_ns", filled)?;
    let in_queue = ghosts
        .iter()
        .flat_map(|g| g.models_in_queue.iter().copied());
    let in_queue: Bound<'py, PyArray2<bool>> =
        PyArray1::from_iter(py, in_queue).reshape([ghosts.len(), models])?;
    columns.set_item("models_in_queue", in_queue)?;
    let ahead = ghosts
        .iter()
        .flat_map(|g| g.models_ahead_lots.iter().copied());
    let ahead: Bound<'py, PyArray2<f64>> =
        PyArray1::from_iter(py, ahead).reshape([ghosts.len(), models])?;
    columns.set_item("models_ahead_lots", ahead)?;
    Ok(columns)
}

/// The executions that rows of single orders show; see `engine/_core.pyi`.
#[pyfunction]
fn order_executions<'py>(
    py: Python<'py>,
    rows: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyArray2<i64>>> {
    let rows = from_array("rows", rows)?;
    let readonly = rows
        .try_readonly()
        .map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
    let rows: &[Event] = crate::rows::records(readonly.as_slice()?);
    let found = py.detach(|| executions(rows));
    let table = found.iter().flat_map(|found| {
        let (row, side) = (found.row.cast_signed() as i64, found.side as i64);
        [row, side, found.px_ticks, found.qty_lots, found.ahead_lots]
    });
    PyArray1::from_iter(py, table).reshape([found.len(), 5])
}

/// Adds this module's names.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("STUDY_NEVER", NEVER)?;
    m.add_function(wrap_pyfunction!(queue_study, m)?)?;
    m.add_function(wrap_pyfunction!(order_executions, m)?)
}
