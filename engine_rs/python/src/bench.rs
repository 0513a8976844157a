//! Hot paths on their own, for benchmarks and for tests against plain oracles.

use cobalt_core::book::Book;
use cobalt_core::event::{Event, Side};
use numpy::{PyArray2, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::events::from_array;

/// A book and nothing else: applies depth rows and hands out all levels of both sides.
#[pyfunction]
fn replay_book<'py>(
    py: Python<'py>,
    depth: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyArray2<i64>>, Bound<'py, PyArray2<i64>>)> {
    let rows = from_array("depth", depth)?;
    let readonly = rows
        .try_readonly()
        .map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
    let events = readonly.as_slice()?;
    // SAFETY: `Row` is `repr(transparent)` over `Event`.
    let events: &[Event] =
        unsafe { std::slice::from_raw_parts(events.as_ptr().cast(), rows.len()) };
    let book = py.detach(|| {
        let mut book = Book::new();
        for message in events.split_inclusive(Event::is_last) {
            book.apply_message(message);
        }
        book
    });
    let side = |side| {
        let levels: Vec<Vec<i64>> = book.levels(side).map(|(px, qty)| vec![px, qty]).collect();
        if levels.is_empty() {
            return Ok(PyArray2::zeros(py, [0, 2], false));
        }
        Ok::<_, PyErr>(PyArray2::from_vec2(py, &levels)?)
    };
    Ok((side(Side::Bid)?, side(Side::Ask)?))
}

/// Adds this module's names.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(replay_book, m)?)
}
