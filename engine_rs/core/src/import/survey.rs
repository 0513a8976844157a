//! The first pass over a recording: what is in it, what is broken, how the clocks stand. Nothing is
//! kept but counts, so a file of any size takes the same memory.

use std::collections::BTreeMap;
use std::path::Path;

use super::recording::{BrokenLine, Record, Recording};
use crate::decode::{Binance, MessageKind};
use crate::error::Result;
use crate::event::TS_NONE;

/// Broken lines that are kept word by word; the rest is only counted.
pub const BROKEN_SHOWN_MAX: usize = 100;
/// Symbols that are told apart in a file of other instruments.
const SYMBOLS_MAX: usize = 64;

/// What a first pass found in one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Lines that are not blank, broken ones included.
    pub lines: u64,
    /// Messages by name.
    pub messages: BTreeMap<&'static str, u64>,
    /// Lines and other parts that cannot be used.
    pub broken: u64,
    /// The first of them.
    pub broken_first: Vec<BrokenLine>,
    /// Broken lines that are of another symbol, by symbol.
    pub other_symbols: BTreeMap<String, u64>,
    /// First and last time of receipt as recorded, over the messages of use.
    pub ts_recv_ns: Option<(i64, i64)>,
    /// Smallest receive time minus venue time, ns, over the messages that have both.
    pub latency_ns_min: Option<i64>,
    /// Quantities finer than the lot, which were rounded to it.
    pub rounded: u64,
    /// Bytes of text, decompressed.
    pub text_bytes: u64,
    /// Bytes of the file.
    pub source_bytes: u64,
    /// SHA-256 of the file.
    pub sha256: String,
}

/// The name under which messages of a kind are counted.
pub fn kind_name(kind: MessageKind) -> &'static str {
    match kind {
        MessageKind::Depth => "depth",
        MessageKind::Snapshot => "snapshot",
        MessageKind::Trade => "trade",
        MessageKind::OffBookTrade => "off-book trade",
        MessageKind::Quote => "bookTicker",
        MessageKind::Other(name) => name,
    }
}

/// A first pass in progress.
pub struct Survey {
    recording: Recording,
    rows: Vec<crate::Event>,
    findings: Findings,
}

impl Survey {
    /// Opens a file for its first pass.
    pub fn open(path: &Path, decoder: Binance) -> Result<Self> {
        Ok(Self {
            recording: Recording::open(path, decoder)?,
            rows: Vec::new(),
            findings: Findings::default(),
        })
    }

    /// Reads on for about `text_bytes`; false once the file has ended.
    pub fn advance(&mut self, text_bytes: u64) -> Result<bool> {
        let until = self.recording.lines().text_bytes() + text_bytes;
        while self.recording.lines().text_bytes() < until {
            self.rows.clear();
            let Some(record) = self.recording.next_record(&mut self.rows)? else {
                return Ok(false);
            };
            self.findings.lines += 1;
            match record {
                Record::Message(message) => {
                    let name = kind_name(message.kind);
                    *self.findings.messages.entry(name).or_default() += 1;
                    if !self.rows.is_empty() {
                        self.clock(message.ts_recv_ns, message.ts_event_ns);
                    }
                }
                Record::Broken(line) => self.broken(line),
            }
        }
        Ok(true)
    }

    fn clock(&mut self, ts_recv_ns: i64, ts_event_ns: i64) {
        let range = self
            .findings
            .ts_recv_ns
            .get_or_insert((ts_recv_ns, ts_recv_ns));
        range.1 = range.1.max(ts_recv_ns);
        if ts_event_ns != TS_NONE {
            let latency = ts_recv_ns - ts_event_ns;
            let least = self.findings.latency_ns_min.get_or_insert(latency);
            *least = latency.min(*least);
        }
    }

    fn broken(&mut self, mut line: BrokenLine) {
        self.findings.broken += 1;
        if let Some(symbol) = line.other_symbol.take() {
            let symbols = &mut self.findings.other_symbols;
            if symbols.len() < SYMBOLS_MAX || symbols.contains_key(&symbol) {
                *symbols.entry(symbol).or_default() += 1;
            }
        }
        if self.findings.broken_first.len() < BROKEN_SHOWN_MAX {
            self.findings.broken_first.push(line);
        }
    }

    /// Bytes of the file read so far.
    pub fn source_bytes(&mut self) -> u64 {
        self.recording.lines().source_bytes()
    }

    /// What was found; complete once [`Self::advance`] said false.
    pub fn findings(&mut self) -> Findings {
        self.findings.rounded = self.recording.rounded();
        let lines = self.recording.lines();
        self.findings.text_bytes = lines.text_bytes();
        self.findings.source_bytes = lines.source_bytes();
        self.findings.sha256 = lines.sha256();
        self.findings.clone()
    }
}
