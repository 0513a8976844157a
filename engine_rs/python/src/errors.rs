//! The one conversion from core errors to Python exceptions.

use cobalt_core::Error;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

pyo3::create_exception!(
    _core,
    JournalError,
    PyRuntimeError,
    "A journal cannot be read or gone on with; the message says where and why."
);

#[allow(
    clippy::needless_pass_by_value,
    reason = "used as a function for `map_err`"
)]
/// The Python exception that says what the core error says.
pub fn to_py(error: Error) -> PyErr {
    match error {
        Error::Invalid { .. } | Error::NotOnStep { .. } => PyValueError::new_err(error.to_string()),
        Error::Damaged { .. } | Error::Diverged { .. } => JournalError::new_err(error.to_string()),
        Error::Io { .. } => PyOSError::new_err(error.to_string()),
        _ => PyRuntimeError::new_err(error.to_string()),
    }
}
