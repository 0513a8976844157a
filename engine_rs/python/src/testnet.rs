//! The testnet at the Python boundary.

use cobalt_core::decimal::Step;
use cobalt_core::testnet::fair::FairParams;
use cobalt_core::testnet::feed::Latency;
use cobalt_core::testnet::flow::FlowParams;
use cobalt_core::testnet::{MODEL_VERSION, TestnetParams, VenueParams};
use numpy::PyArray1;
use pyo3::prelude::*;

use crate::errors::to_py;
use crate::events::{Row, to_array};

/// A venue as Python gives it: a mapping with these keys.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Venue {
    tick: String,
    lot: String,
    basis: f64,
    activity: f64,
    depth_every_ns: i64,
    latency_ns: i64,
    jitter_ns: f64,
    orders: bool,
}

impl Venue {
    fn params(&self) -> cobalt_core::Result<VenueParams> {
        Ok(VenueParams {
            tick: Step::parse(&self.tick)?,
            lot: Step::parse(&self.lot)?,
            basis: self.basis,
            depth_every_ns: self.depth_every_ns,
            latency: Latency {
                least_ns: self.latency_ns,
                jitter_ns: self.jitter_ns,
            },
            publishes_orders: self.orders,
            flow: FlowParams::with_activity(self.activity),
        })
    }
}

/// Rows of one stream: index of the venue, name of the kind, rows.
type Batch<'py> = (usize, &'static str, Bound<'py, PyArray1<Row>>);

/// A running testnet.
#[pyclass(module = "engine._core")]
struct Testnet {
    inner: cobalt_core::testnet::Testnet,
}

#[pymethods]
impl Testnet {
    #[allow(
        clippy::needless_pass_by_value,
        reason = "an argument extracted from Python is owned"
    )]
    #[new]
    #[pyo3(signature = (*, seed, start_ns, duration_ns, px_start, venues))]
    fn new(
        seed: u64,
        start_ns: i64,
        duration_ns: i64,
        px_start: f64,
        venues: Vec<Venue>,
    ) -> PyResult<Self> {
        let venues = venues
            .iter()
            .map(Venue::params)
            .collect::<cobalt_core::Result<_>>()
            .map_err(to_py)?;
        let params = TestnetParams {
            seed,
            start_ns,
            duration_ns,
            fair: FairParams {
                px_start,
                ..FairParams::default()
            },
            venues,
        };
        let inner = cobalt_core::testnet::Testnet::new(&params).map_err(to_py)?;
        Ok(Self { inner })
    }

    /// Runs on until a stream holds `rows_min` rows; all rows made since the last call, `None` at
    /// the end.
    fn next_batches<'py>(&mut self, py: Python<'py>, rows_min: usize) -> Option<Vec<Batch<'py>>> {
        let inner = &mut self.inner;
        let batches = py.detach(|| inner.next_batches(rows_min))?;
        let wrap = |batch: cobalt_core::testnet::Batch| {
            (batch.venue, batch.kind.name(), to_array(py, batch.rows))
        };
        Some(batches.into_iter().map(wrap).collect())
    }

    /// Simulated ns since the snapshots.
    #[getter]
    fn elapsed_ns(&self) -> i64 {
        self.inner.elapsed_ns()
    }
}

/// Adds this module's names.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("TESTNET_MODEL_VERSION", MODEL_VERSION)?;
    m.add_class::<Testnet>()
}
