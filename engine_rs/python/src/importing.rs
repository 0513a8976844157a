//! Import, catalog rows and verification at the Python boundary.

use cobalt_core::catalog::{Columns, StreamCheck};
use cobalt_core::decimal::Step;
use cobalt_core::decode::{Binance, Market};
use cobalt_core::event::{SEQ_NONE, TS_NONE, flags};
use cobalt_core::import::{
    BrokenLine, ImportState, Importer as CoreImporter, Source, Streams, Survey as CoreSurvey,
};
use cobalt_core::verify::{Top, Verifier as CoreVerifier};
use numpy::{PyArray1, PyArrayMethods, PyReadonlyArray1};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::path::PathBuf;

use crate::errors::to_py;
use crate::events::{Row, from_array, to_array};

/// The decoder's settings, checked once.
#[derive(Clone)]
struct Decoder {
    market: Market,
    symbol: String,
    tick: Step,
    lot: Step,
}

impl Decoder {
    fn new(market: &str, symbol: &str, tick: &str, lot: &str) -> PyResult<Self> {
        Ok(Self {
            market: Market::parse(market).map_err(to_py)?,
            symbol: symbol.to_owned(),
            tick: Step::parse(tick).map_err(to_py)?,
            lot: Step::parse(lot).map_err(to_py)?,
        })
    }

    fn build(&self) -> Binance {
        Binance::new(self.market, &self.symbol, self.tick, self.lot)
    }
}

/// First pass over one recording.
#[pyclass]
struct Survey(Option<CoreSurvey>);

impl Survey {
    fn get(&mut self) -> PyResult<&mut CoreSurvey> {
        let finished = || PyRuntimeError::new_err("the survey is finished");
        self.0.as_mut().ok_or_else(finished)
    }
}

#[pymethods]
impl Survey {
    #[new]
    #[allow(
        clippy::needless_pass_by_value,
        reason = "pyo3 hands paths over by value"
    )]
    fn new(path: PathBuf, market: &str, symbol: &str, tick: &str, lot: &str) -> PyResult<Self> {
        let decoder = Decoder::new(market, symbol, tick, lot)?;
        let survey = CoreSurvey::open(&path, decoder.build()).map_err(to_py)?;
        Ok(Self(Some(survey)))
    }

    fn advance(&mut self, py: Python<'_>, text_bytes: u64) -> PyResult<bool> {
        let survey = self.get()?;
        py.detach(|| survey.advance(text_bytes)).map_err(to_py)
    }

    fn source_bytes(&mut self) -> PyResult<u64> {
        Ok(self.get()?.source_bytes())
    }

    /// Ends the survey.
    fn finish<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.get()?;
        let Some(survey) = self.0.take() else {
            return Ok(PyDict::new(py));
        };
        let found = survey.finish();
        let dict = PyDict::new(py);
        dict.set_item("lines", found.lines)?;
        dict.set_item("messages", found.messages)?;
        dict.set_item("broken", found.broken)?;
        dict.set_item("damaged", found.damaged)?;
        let lines: Vec<_> = found.broken_first.iter().map(broken_line).collect();
        dict.set_item("broken_first", lines)?;
        dict.set_item("other_symbols", found.other_symbols)?;
        dict.set_item("ts_recv_ns", found.ts_recv_ns)?;
        dict.set_item("latency_ns_min", found.latency_ns_min)?;
        dict.set_item("rounded", found.rounded)?;
        dict.set_item("text_bytes", found.text_bytes)?;
        dict.set_item("source_bytes", found.source_bytes)?;
        dict.set_item("sha256", found.sha256)?;
        Ok(dict)
    }
}

fn broken_line(line: &BrokenLine) -> (u64, &str, &str) {
    (line.number, &line.reason, &line.head)
}

/// Second pass over the recordings of one instrument.
#[pyclass]
struct Importer(CoreImporter);

#[pymethods]
impl Importer {
    #[new]
    #[pyo3(signature = (sources, market, symbol, tick, lot, clock_offset_ns, state=None))]
    fn new(
        sources: Vec<(PathBuf, String, Option<i64>)>,
        market: &str,
        symbol: &str,
        tick: &str,
        lot: &str,
        clock_offset_ns: i64,
        state: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let decoder = Decoder::new(market, symbol, tick, lot)?;
        let sources = sources
            .into_iter()
            .map(|(path, sha256, latency_ns_least)| Source {
                path,
                sha256,
                latency_ns_least: latency_ns_least.unwrap_or(i64::MIN),
            })
            .collect();
        let state = state.map_or_else(|| Ok(ImportState::default()), read_state)?;
        let build = move || decoder.build();
        Ok(Self(CoreImporter::new(
            build,
            sources,
            clock_offset_ns,
            state,
        )))
    }

    fn advance<'py>(
        &mut self,
        py: Python<'py>,
        rows: usize,
    ) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let Some(streams) = py.detach(|| self.0.advance(rows)).map_err(to_py)? else {
            return Ok(None);
        };
        let Streams {
            depth,
            trades,
            offbook,
            quotes,
        } = streams;
        let arrays = [depth, trades, offbook, quotes].map(|rows| to_array(py, rows));
        PyTuple::new(py, arrays).map(Some)
    }

    fn source_bytes(&mut self) -> u64 {
        self.0.source_bytes()
    }

    fn counts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counts = self.0.counts();
        let dict = PyDict::new(py);
        for (name, value) in [
            ("depth_duplicates", counts.join.duplicates),
            ("depth_gaps", counts.join.gaps),
            ("depth_unjoined", counts.join.unjoined),
            ("quote_duplicates", counts.quote_duplicates),
            ("recv_backwards", counts.recv_backwards),
            ("snapshots", counts.join.snapshots),
            ("snapshots_outdated", counts.join.snapshots_outdated),
            ("snapshots_redundant", counts.join.snapshots_redundant),
            ("trade_duplicates", counts.trade_duplicates),
            ("trade_id_gaps", counts.trade_id_gaps),
            ("trade_ids_missing", counts.trade_ids_missing),
        ] {
            dict.set_item(name, value)?;
        }
        Ok(dict)
    }

    fn state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let state = self.0.state();
        let dict = PyDict::new(py);
        dict.set_item("depth_seq", seq_out(state.depth.seq))?;
        dict.set_item("depth_ts_event_ns", ts_out(state.depth.ts_event_ns))?;
        dict.set_item("depth_in_step", state.depth.in_step)?;
        for (name, ids) in [("trade", state.trades), ("quote", state.quotes)] {
            dict.set_item(format!("{name}_seq"), seq_out(ids.seq))?;
            dict.set_item(format!("{name}_ts_event_ns"), ts_out(ids.ts_event_ns))?;
            dict.set_item(format!("{name}_ts_recv_ns"), ts_out(ids.ts_recv_ns))?;
        }
        dict.set_item("ts_recv_ns", ts_out(state.ts_recv_ns))?;
        Ok(dict)
    }
}

fn seq_out(seq: u64) -> Option<u64> {
    (seq != SEQ_NONE).then_some(seq)
}

fn ts_out(ts_ns: i64) -> Option<i64> {
    (ts_ns != TS_NONE).then_some(ts_ns)
}

fn read_state(dict: &Bound<'_, PyDict>) -> PyResult<ImportState> {
    let ts = |name: &str| -> PyResult<i64> {
        let value: Option<i64> = dict.as_any().get_item(name)?.extract()?;
        Ok(value.unwrap_or(TS_NONE))
    };
    let seq = |name: &str| -> PyResult<u64> {
        let value: Option<u64> = dict.as_any().get_item(name)?.extract()?;
        Ok(value.unwrap_or(SEQ_NONE))
    };
    let mut state = ImportState::default();
    state.depth.seq = seq("depth_seq")?;
    state.depth.ts_event_ns = ts("depth_ts_event_ns")?;
    state.depth.in_step = dict.as_any().get_item("depth_in_step")?.extract()?;
    for (name, ids) in [("trade", &mut state.trades), ("quote", &mut state.quotes)] {
        ids.seq = seq(&format!("{name}_seq"))?;
        ids.ts_event_ns = ts(&format!("{name}_ts_event_ns"))?;
        ids.ts_recv_ns = ts(&format!("{name}_ts_recv_ns"))?;
    }
    state.ts_recv_ns = ts("ts_recv_ns")?;
    Ok(state)
}

/// Rows from the catalog's columns.
#[pyfunction]
#[allow(clippy::too_many_arguments, reason = "one argument a column")]
#[allow(
    clippy::needless_pass_by_value,
    reason = "pyo3 hands borrowed arrays over by value"
)]
fn events_from_columns<'py>(
    py: Python<'py>,
    ts_event_ns: PyReadonlyArray1<'py, i64>,
    ts_recv_ns: PyReadonlyArray1<'py, i64>,
    px_ticks: PyReadonlyArray1<'py, i64>,
    qty_lots: PyReadonlyArray1<'py, i64>,
    seq: PyReadonlyArray1<'py, u64>,
    prev_seq: PyReadonlyArray1<'py, u64>,
    kind: PyReadonlyArray1<'py, u8>,
    side: PyReadonlyArray1<'py, u8>,
    flags: PyReadonlyArray1<'py, u16>,
    instrument: u16,
) -> PyResult<Bound<'py, PyArray1<Row>>> {
    let columns = Columns {
        ts_event_ns: ts_event_ns.as_slice()?,
        ts_recv_ns: ts_recv_ns.as_slice()?,
        px_ticks: px_ticks.as_slice()?,
        qty_lots: qty_lots.as_slice()?,
        seq: seq.as_slice()?,
        prev_seq: prev_seq.as_slice()?,
        kind: kind.as_slice()?,
        side: side.as_slice()?,
        flags: flags.as_slice()?,
    };
    let rows = py.detach(|| columns.rows(instrument)).map_err(to_py)?;
    Ok(to_array(py, rows))
}

/// Checks the order of a stream's rows and counts its gaps, batch by batch.
#[pyclass]
struct StreamChecker(StreamCheck);

#[pymethods]
impl StreamChecker {
    #[new]
    fn new(kind: &str) -> PyResult<Self> {
        Ok(Self(StreamCheck::new(kind).map_err(to_py)?))
    }

    fn push(&mut self, py: Python<'_>, events: &Bound<'_, PyAny>) -> PyResult<()> {
        let array = from_array("events", events)?;
        let array = array.try_readonly()?;
        let rows = crate::rows::records(array.as_slice()?);
        py.detach(|| self.0.push(rows)).map_err(to_py)
    }

    fn start_part(&mut self) {
        self.0.start_part();
    }

    /// Messages, gaps, last id and receive times of snapshots since `start_part`.
    fn end_part(&self) -> (u64, u64, Option<u64>, Vec<i64>) {
        let check = &self.0;
        (
            check.messages,
            check.gaps,
            seq_out(check.seq),
            check.snapshots_ns.clone(),
        )
    }
}

/// Compares a book rebuilt from depth rows with quotes of the same update ids.
#[pyclass]
struct Verifier(CoreVerifier);

#[pymethods]
impl Verifier {
    #[new]
    fn new() -> Self {
        Self(CoreVerifier::new())
    }

    fn depth(&mut self, py: Python<'_>, events: &Bound<'_, PyAny>) -> PyResult<()> {
        let array = from_array("events", events)?;
        let array = array.try_readonly()?;
        let rows = crate::rows::records(array.as_slice()?);
        py.detach(|| self.0.depth(rows));
        Ok(())
    }

    fn quotes(&mut self, py: Python<'_>, events: &Bound<'_, PyAny>) -> PyResult<()> {
        let array = from_array("events", events)?;
        let array = array.try_readonly()?;
        let rows = crate::rows::records(array.as_slice()?);
        py.detach(|| self.0.quotes(rows));
        Ok(())
    }

    fn wants_depth(&self) -> bool {
        self.0.wants_depth()
    }

    fn verdict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let found = self.0.verdict();
        let dict = PyDict::new(py);
        for (name, value) in [
            ("messages", found.messages),
            ("quotes", found.quotes),
            ("aligned", found.aligned),
            ("equal", found.equal),
            ("applied", found.book.applied),
            ("stale", found.book.stale),
            ("unready", found.book.unready),
            ("gaps", found.book.gaps),
            ("crossed", found.book.crossed),
            ("impossible", found.book.impossible),
        ] {
            dict.set_item(name, value)?;
        }
        let mismatches: Vec<_> = found
            .mismatches
            .iter()
            .map(|found| (found.seq, top(found.quote), top(found.book)))
            .collect();
        dict.set_item("mismatches", mismatches)?;
        Ok(dict)
    }
}

type Level = Option<(i64, i64)>;

fn top(top: Top) -> (Level, Level) {
    (top.bid, top.ask)
}

/// Adds this module's names.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("FLAG_FIRST", flags::FIRST)?;
    m.add("FLAG_LAST", flags::LAST)?;
    m.add("FLAG_RECV_RAISED", flags::RECV_RAISED)?;
    m.add_class::<Survey>()?;
    m.add_class::<Importer>()?;
    m.add_class::<StreamChecker>()?;
    m.add_class::<Verifier>()?;
    m.add_function(wrap_pyfunction!(events_from_columns, m)?)
}
