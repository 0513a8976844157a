//! The event record at the numpy boundary.

use cobalt_core::Event;
use numpy::{Element, PyArray1, PyArrayDescr, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList};

/// A row as numpy sees it: same layout as [`Event`], owned by this crate so that it may be an
/// array element.
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub struct Row(pub Event);

// SAFETY: `Row` is a plain `repr(C)` struct of integers without padding or references, every bit
// pattern of it is valid, and the dtype returned describes exactly its fields.
unsafe impl Element for Row {
    const IS_COPY: bool = true;

    fn get_dtype(py: Python<'_>) -> Bound<'_, PyArrayDescr> {
        static DTYPE: PyOnceLock<Py<PyArrayDescr>> = PyOnceLock::new();
        DTYPE
            .get_or_init(py, || {
                event_dtype(py).expect("the event dtype is valid").unbind()
            })
            .clone_ref(py)
            .into_bound(py)
    }

    fn clone_ref(&self, _py: Python<'_>) -> Self {
        *self
    }
}

const FIELDS: [(&str, &str, usize); 11] = [
    (
        "ts_event_ns",
        "<i8",
        std::mem::offset_of!(Event, ts_event_ns),
    ),
    ("ts_recv_ns", "<i8", std::mem::offset_of!(Event, ts_recv_ns)),
    ("px_ticks", "<i8", std::mem::offset_of!(Event, px_ticks)),
    ("qty_lots", "<i8", std::mem::offset_of!(Event, qty_lots)),
    ("seq", "<u8", std::mem::offset_of!(Event, seq)),
    ("prev_seq", "<u8", std::mem::offset_of!(Event, prev_seq)),
    ("instrument", "<u2", std::mem::offset_of!(Event, instrument)),
    ("kind", "u1", std::mem::offset_of!(Event, kind)),
    ("side", "u1", std::mem::offset_of!(Event, side)),
    ("flags", "<u2", std::mem::offset_of!(Event, flags)),
    ("reserved", "<u2", std::mem::offset_of!(Event, reserved)),
];

fn event_dtype(py: Python<'_>) -> PyResult<Bound<'_, PyArrayDescr>> {
    let spec = PyDict::new(py);
    spec.set_item("names", PyList::new(py, FIELDS.map(|f| f.0))?)?;
    spec.set_item("formats", PyList::new(py, FIELDS.map(|f| f.1))?)?;
    spec.set_item("offsets", PyList::new(py, FIELDS.map(|f| f.2))?)?;
    spec.set_item("itemsize", size_of::<Event>())?;
    PyArrayDescr::new(py, spec)
}

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

/// The core's view of an array's rows.
pub fn rows(rows: &[Row]) -> &[Event] {
    // SAFETY: `Row` is `repr(transparent)` over `Event`.
    unsafe { std::slice::from_raw_parts(rows.as_ptr().cast(), rows.len()) }
}

/// Adds this module's names.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = m.py();
    m.add("EVENT_DTYPE", Row::get_dtype(py))?;
    m.add("TS_NONE", cobalt_core::event::TS_NONE)?;
    m.add("SEQ_NONE", cobalt_core::event::SEQ_NONE)
}
