//! Journals as Python writes and reads them.

use std::sync::OnceLock;
use std::time::Instant;

use cobalt_core::journal::{Cut, Durability, Folder, Options, Records, Writer, recover};
use cobalt_core::kernel::{Entry, ResultHash, Resume, Side, Step, UNCOUNTED};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::errors::to_py;
use crate::kernel::{Kernel, ROWS_DETACHED, feed};

/// Nanoseconds since the first call, never falling.
fn clock() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let elapsed = START.get_or_init(Instant::now).elapsed().as_nanos();
    u64::try_from(elapsed).unwrap_or(u64::MAX)
}

/// 0 stands for every record, None for the end.
fn options(sync_every_ns: Option<u64>) -> Options {
    Options {
        durability: match sync_every_ns {
            None => Durability::End,
            Some(0) => Durability::Record,
            Some(every) => Durability::Interval(every),
        },
        clock,
        ..Options::default()
    }
}

/// File, byte, number of bytes and what was wrong with them.
type CutText = (String, usize, usize, String);

#[pymethods]
impl Kernel {
    /// Begins a journal in a folder that holds none.
    #[pyo3(signature = (path, sync_every_ns, origin))]
    fn keep_journal(
        &mut self,
        path: &str,
        sync_every_ns: Option<u64>,
        origin: &str,
    ) -> PyResult<()> {
        let folder = Folder::create(path).map_err(to_py)?;
        let writer = Writer::create(Box::new(folder), options(sync_every_ns)).map_err(to_py)?;
        self.core.keep_journal(writer, origin);
        Ok(())
    }

    /// Goes on with the journal in a folder, which what happens is held against as far as it goes;
    /// what was cut from its end.
    #[pyo3(signature = (path, sync_every_ns, origin))]
    fn resume_journal(
        &mut self,
        path: &str,
        sync_every_ns: Option<u64>,
        origin: &str,
    ) -> PyResult<Option<CutText>> {
        let mut store = Folder::open(path).map_err(to_py)?;
        let recovered = recover(&mut store, |_| Ok(())).map_err(to_py)?;
        let cut = recovered.cut.clone().map(text);
        let records = Folder::open(path)
            .and_then(|folder| Records::new(Box::new(folder)))
            .map_err(to_py)?;
        let then = Resume {
            store: Box::new(store),
            recovered,
            options: options(sync_every_ns),
        };
        self.core.resume_journal(records, then, origin);
        Ok(cut)
    }

    /// Holds what happens against the journal in a folder, which stays as it is: with `only_commands`
    /// the strategy's commands and nothing else.
    fn replay_journal(&mut self, path: &str, only_commands: bool) -> PyResult<()> {
        let folder = Folder::open(path).map_err(to_py)?;
        let records = Records::new(Box::new(folder)).map_err(to_py)?;
        self.core.replay_journal(records, only_commands);
        Ok(())
    }

    /// Begins to rebuild a run from the journal in a folder, the strategy's part included.
    fn fold_journal(&mut self, path: &str) -> PyResult<()> {
        self.replay_journal(path, false)?;
        self.core.take_settings().map_err(to_py)
    }

    /// Rebuilds the run up to the end of the step with this number, of the step that wrote this
    /// record, or up to a time; `sources[i]` is the iterator of stream i. False where the journal
    /// ends before.
    #[pyo3(signature = (sources, step=None, record=None, ts_ns=None))]
    #[allow(
        clippy::needless_pass_by_value,
        reason = "extracted from Python by value"
    )]
    fn fold(
        slf: &Bound<'_, Self>,
        sources: Vec<Bound<'_, PyAny>>,
        step: Option<u64>,
        record: Option<u64>,
        ts_ns: Option<i64>,
    ) -> PyResult<bool> {
        let last_ns = ts_ns.unwrap_or(i64::MAX);
        loop {
            let has_more = {
                let core = &mut slf.borrow_mut().core;
                let has_more = core.fold().map_err(to_py)?;
                let is_there = step.is_some_and(|step| core.seq() >= step)
                    || record.is_some_and(|record| core.held_seq() >= record);
                if is_there || (has_more && core.due_ns() > last_ns) {
                    return Ok(true);
                }
                core.take_records();
                has_more
            };
            if !has_more {
                return Ok(false);
            }
            match fold_next(slf, last_ns)? {
                Step::NeedData(stream) => feed(slf, stream, &sources[stream])?,
                Step::Pause => slf.py().check_signals()?,
                _ => {}
            }
        }
    }

    /// The hash of everything that what happens next depends on; it holds for one version.
    fn state_sha256(&mut self) -> String {
        self.core.state_sha256()
    }

    /// Number of the record that was held last, and the strategy's method that the step is for.
    #[getter]
    fn folded(&self) -> (u64, &'static str) {
        (self.core.held_seq(), self.core.handler())
    }

    /// Where what happens differs from the journal: number of the record, what it holds and what
    /// happened, each as (step, time, kind, content as JSON) or None where there is nothing.
    #[getter]
    fn divergence(&self) -> Option<(u64, Option<SideText>, Option<SideText>)> {
        let found = self.core.divergence()?;
        let text = |side: &Option<Side>| side.as_ref().map(side_text);
        Some((found.seq, text(&found.expected), text(&found.found)))
    }

    /// Ends the journal; `error` is what ended the run before the end of its data.
    #[pyo3(signature = (error=None))]
    fn finish_journal(&mut self, error: Option<&str>) -> PyResult<()> {
        self.core.finish_journal(error).map_err(to_py)
    }
}

/// Step, time, kind and content as JSON.
type SideText = (u64, i64, &'static str, String);

fn side_text(side: &Side) -> SideText {
    let content = Entry::decode(side.kind, &side.content);
    let json = content.map_or_else(|error| error.to_string(), |entry| entry.to_json());
    (side.step, side.ts_ns, Entry::name_of(side.kind), json)
}

fn fold_next(kernel: &Bound<'_, Kernel>, last_ns: i64) -> PyResult<Step> {
    let mut borrowed = kernel.borrow_mut();
    let core = &mut borrowed.core;
    let step = kernel
        .py()
        .detach(|| core.next_until(ROWS_DETACHED, last_ns));
    borrowed.faults.take()?;
    step.map_err(to_py)
}

fn text(cut: Cut) -> CutText {
    (cut.name, cut.offset, cut.bytes, cut.reason)
}

/// Records as columns: seq, time, step, kind, and content as JSON.
type Columns = (Vec<u64>, Vec<i64>, Vec<u64>, Vec<&'static str>, Vec<String>);

/// Reads the records of a journal from the first on, without changing it.
#[pyclass(module = "engine._core")]
pub struct JournalReader {
    seq: u64,
    records: Records,
    result: ResultHash,
}

#[pymethods]
impl JournalReader {
    #[new]
    fn new(path: &str) -> PyResult<Self> {
        let folder = Folder::open(path).map_err(to_py)?;
        let records = Records::new(Box::new(folder)).map_err(to_py)?;
        Ok(Self {
            seq: 0,
            records,
            result: ResultHash::default(),
        })
    }

    /// Up to `most` further records of these kinds (None: of all), as columns; None at the end.
    #[pyo3(signature = (most, kinds=None))]
    fn read(&mut self, most: usize, kinds: Option<Vec<String>>) -> PyResult<Option<Columns>> {
        let wanted = kinds.map(|names| numbers(&names)).transpose()?;
        let mut columns = Columns::default();
        while columns.0.len() < most {
            let Some(record) = self.records.next().map_err(to_py)? else {
                break;
            };
            self.seq = record.seq;
            self.result.add(record.kind, record.ts_ns, record.payload);
            if wanted
                .as_ref()
                .is_some_and(|kinds| !kinds.contains(&record.kind))
            {
                continue;
            }
            let entry = Entry::decode(record.kind, record.payload).map_err(to_py)?;
            columns.0.push(record.seq);
            columns.1.push(record.ts_ns);
            columns.2.push(record.step);
            columns.3.push(Entry::name_of(record.kind));
            columns.4.push(entry.to_json());
        }
        Ok((!columns.0.is_empty()).then_some(columns))
    }

    /// Looks whether more was written since the end was reached.
    fn catch_up(&mut self) -> PyResult<()> {
        self.records.catch_up().map_err(to_py)
    }

    /// Number of the record that was read last; 0 before the first.
    #[getter]
    fn seq(&self) -> u64 {
        self.seq
    }

    /// The hash of the result, as far as it was read.
    #[getter]
    fn result_sha256(&self) -> String {
        self.result.hex()
    }

    /// File, number of bytes and what is wrong with them, where what was read ends with the
    /// beginning of a record.
    #[getter]
    fn torn(&self) -> Option<(String, usize, String)> {
        self.records.torn().cloned()
    }
}

/// Begins a journal in a folder that holds none, appends so many records with this content, and
/// ends it; seconds. For benchmarks.
#[pyfunction]
#[pyo3(signature = (path, count, content, sync_every_ns))]
pub fn time_journal(
    py: Python<'_>,
    path: &str,
    count: u64,
    content: &[u8],
    sync_every_ns: Option<u64>,
) -> PyResult<f64> {
    let folder = Folder::create(path).map_err(to_py)?;
    py.detach(|| {
        let begin = Instant::now();
        let mut writer = Writer::create(Box::new(folder), options(sync_every_ns))?;
        for at in 0..count {
            writer.append(UNCOUNTED - 1, at, 0, content)?;
        }
        writer.finish()?;
        Ok(begin.elapsed().as_secs_f64())
    })
    .map_err(to_py)
}

/// Number, name and meaning of every kind of record, and whether it counts in a run's result.
#[pyfunction]
pub fn journal_kinds() -> Vec<(u8, &'static str, &'static str, bool)> {
    let kinds = Entry::KINDS.iter();
    kinds
        .map(|&(number, name, meaning)| (number, name, meaning.trim(), number < UNCOUNTED))
        .collect()
}

fn numbers(names: &[String]) -> PyResult<Vec<u8>> {
    names
        .iter()
        .map(|wanted| {
            let found = Entry::KINDS.iter().find(|(_, name, _)| name == wanted);
            found.map(|(number, ..)| *number).ok_or_else(|| {
                let known: Vec<&str> = Entry::KINDS.iter().map(|(_, name, _)| *name).collect();
                let known = known.join(", ");
                PyValueError::new_err(format!("kind: expected one of {known}; found {wanted:?}"))
            })
        })
        .collect()
}
