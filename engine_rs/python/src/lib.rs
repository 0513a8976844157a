//! `engine._core`: thin bindings. No decision is made here.

mod errors;
mod events;
mod importing;

use pyo3::prelude::*;

/// The compiled part of Cobalt.
#[pymodule]
fn _core(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    events::register(m)?;
    importing::register(m)
}
