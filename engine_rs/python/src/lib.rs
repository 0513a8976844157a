//! `engine._core`: thin bindings. No decision is made here.

mod bench;
mod errors;
mod events;

use pyo3::prelude::*;

/// The compiled part of Cobalt.
#[pymodule]
fn _core(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    let profile = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    m.add("BUILD_PROFILE", profile)?;
    bench::register(m)?;
    events::register(m)
}
