//! `engine._core`: thin bindings. No decision is made here.

mod analysis;
mod bench;
mod book;
mod chart;
mod cob;
mod decimals;
mod dispatch;
mod errors;
mod events;
mod flow;
mod flow_replay;
mod importing;
mod instrument;
mod journal;
mod kernel;
mod l3;
mod models;
mod numbers;
mod ordering;
mod records;
mod risk;
mod rows;
mod study;
mod tables;
mod testnet;

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
    analysis::register(m)?;
    bench::register(m)?;
    chart::register(m)?;
    cob::register(m)?;
    decimals::register(m)?;
    events::register(m)?;
    flow::register(m)?;
    flow_replay::register(m)?;
    importing::register(m)?;
    risk::register(m)?;
    testnet::register(m)?;
    m.add_class::<kernel::Kernel>()?;
    m.add("JournalError", m.py().get_type::<errors::JournalError>())?;
    m.add_class::<journal::JournalReader>()?;
    m.add_function(wrap_pyfunction!(journal::journal_kinds, m)?)?;
    m.add_function(wrap_pyfunction!(journal::time_journal, m)?)?;
    m.add_class::<book::Book>()?;
    m.add_class::<records::Order>()?;
    m.add_class::<records::Fill>()?;
    m.add_class::<records::Bar>()?;
    m.add_class::<records::Trade>()?;
    m.add_class::<records::Gap>()?;
    m.add_class::<records::RiskEvent>()?;
    m.add_class::<records::Funding>()?;
    m.add_class::<records::Liquidation>()?;
    l3::register(m)?;
    study::register(m)?;
    Ok(())
}
