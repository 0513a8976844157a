//! The event record at the numpy boundary.

use cobalt_core::Event;
use numpy::{Element, PyArray1, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::rows::row_type;

row_type!(
    /// A row as numpy sees it.
    Row,
    Event,
    [
        ("ts_event_ns", "<i8", ts_event_ns),
        ("ts_recv_ns", "<i8", ts_recv_ns),
        ("px_ticks", "<i8", px_ticks),
        ("qty_lots", "<i8", qty_lots),
        ("seq", "<u8", seq),
        ("prev_seq", "<u8", prev_seq),
        ("instrument", "<u2", instrument),
        ("kind", "u1", kind),
        ("side", "u1", side),
        ("flags", "<u2", flags),
        ("reserved", "<u2", reserved),
    ]
);

/// Events handed out as a numpy array that owns them; nothing is copied.
pub fn to_array(py: Python<'_>, events: Vec<Event>) -> Bound<'_, PyArray1<Row>> {
    let mut events = std::mem::ManuallyDrop::new(events);
    // SAFETY: `Row` is `repr(transparent)` over `Event`, so pointer, length and capacity of the
    // vector mean the same for both, and the original is not dropped.
    let rows: Vec<Row> =
        unsafe { Vec::from_raw_parts(events.as_mut_ptr().cast(), events.len(), events.capacity()) };
    PyArray1::from_vec(py, rows)
}

/// A checked, contiguous event array; `name` is the parameter named in errors.
pub fn from_array<'py>(
    name: &str,
    object: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyArray1<Row>>> {
    let array = object.cast::<PyArray1<Row>>().map_err(|_| {
        PyTypeError::new_err(format!(
            "{name}: expected a one-dimensional numpy array of engine.EVENT_DTYPE, found {}",
            object.repr().map_or_else(
                |_| "another object".into(),
                |r| { r.to_string().chars().take(80).collect::<String>() }
            )
        ))
    })?;
    if !array.is_contiguous() {
        return Err(PyValueError::new_err(format!(
            "{name}: expected a contiguous array, found one with gaps; use numpy.ascontiguousarray"
        )));
    }
    Ok(array.clone())
}

/// Adds this module's names.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = m.py();
    m.add("EVENT_DTYPE", Row::get_dtype(py))?;
    m.add("TS_NONE", cobalt_core::event::TS_NONE)?;
    m.add("SEQ_NONE", cobalt_core::event::SEQ_NONE)?;
    m.add("PX_NONE", cobalt_core::event::PX_NONE)
}
