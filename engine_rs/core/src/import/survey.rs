//! The first pass over a recording: what is in it, what is broken, how the clocks stand. Nothing is
//! kept but counts, so a file of any size takes the same memory.

use std::collections::BTreeMap;
use std::path::Path;

use super::recording::{BrokenLine, Message, Record, Recording, STRAY_NS};
use crate::decode::{Binance, MessageKind};
use crate::error::Result;
use crate::event::Event;

/// Broken lines that are kept word by word; the rest is only counted.
pub const BROKEN_SHOWN_MAX: usize = 100;
/// Symbols that are told apart in a file of other instruments.
const SYMBOLS_MAX: usize = 64;

/// Most venue times in a file that can be told from true ones; the smallest latency beyond them is
/// believed.
const AHEAD_MAX: usize = 16;

/// What a first pass found in one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Lines that are not blank, broken ones included.
    pub lines: u64,
    /// Messages by name.
    pub messages: BTreeMap<&'static str, u64>,
    /// Lines that cannot be used.
    pub broken: u64,
    /// Other parts of the file that cannot be used, such as the rest of damaged compressed data.
    pub damaged: u64,
    /// The first of them.
    pub broken_first: Vec<BrokenLine>,
    /// Broken lines that are of another symbol, by symbol.
    pub other_symbols: BTreeMap<String, u64>,
    /// First and last time of receipt as recorded, over the messages of use.
    pub ts_recv_ns: Option<(i64, i64)>,
    /// Smallest receive time minus venue time, ns, over the messages that have both; lines below it
    /// are among the broken ones.
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
    rows: Vec<Event>,
    findings: Findings,
    /// The smallest latencies, ascending, and the line of each as a broken one.
    least: Vec<(i64, &'static str, BrokenLine)>,
}

impl Survey {
    /// Opens a file for its first pass.
    pub fn open(path: &Path, decoder: Binance) -> Result<Self> {
        Ok(Self {
            recording: Recording::open(path, decoder, i64::MIN)?,
            rows: Vec::new(),
            findings: Findings::default(),
            least: Vec::new(),
        })
    }

    /// Reads on for about `text_bytes`; false once the file has ended.
    pub fn advance(&mut self, text_bytes: u64) -> Result<bool> {
        let until = self.recording.lines().text_bytes() + text_bytes;
        while self.recording.lines().text_bytes() < until {
            let Some(record) = self.recording.next_record(&mut self.rows)? else {
                return Ok(false);
            };
            match record {
                Record::Message(message) => self.message(&message),
                Record::Broken(line) => {
                    self.findings.lines += 1;
                    self.findings.broken += 1;
                    self.broken(line);
                }
                Record::Damage(line) => {
                    self.findings.damaged += 1;
                    self.broken(line);
                }
            }
        }
        Ok(true)
    }

    fn message(&mut self, message: &Message) {
        self.findings.lines += 1;
        let name = kind_name(message.kind);
        *self.findings.messages.entry(name).or_default() += 1;
        if self.rows.is_empty() {
            return;
        }
        let at_ns = message.ts_recv_ns;
        let range = self.findings.ts_recv_ns.get_or_insert((at_ns, at_ns));
        *range = (range.0.min(at_ns), range.1.max(at_ns));
        if let Some(latency_ns) = message.latency_ns() {
            self.latency(latency_ns, name, message);
        }
    }

    fn latency(&mut self, latency_ns: i64, name: &'static str, message: &Message) {
        let full = self.least.len() > AHEAD_MAX;
        if full && self.least.last().is_some_and(|last| last.0 <= latency_ns) {
            return;
        }
        let at = self.least.partition_point(|least| least.0 <= latency_ns);
        let line = self.recording.ahead_of_time(message);
        self.least.insert(at, (latency_ns, name, line));
        self.least.truncate(AHEAD_MAX + 1);
    }

    /// Finds the few venue times that are far ahead of all others and counts their lines as broken:
    /// one of them would shift the clock of the whole import.
    fn settle_latency(&mut self) {
        let least = std::mem::take(&mut self.least);
        // With fewer messages than that none can be told to be the odd one.
        let strays = if least.len() <= AHEAD_MAX {
            0
        } else {
            (1..least.len())
                .rev()
                .find(|&at| least[at].0 - least[at - 1].0 > STRAY_NS)
                .unwrap_or(0)
        };
        self.findings.latency_ns_min = least.get(strays).map(|least| least.0);
        for (_, name, line) in least.into_iter().take(strays) {
            if let Some(count) = self.findings.messages.get_mut(name) {
                *count -= 1;
            }
            self.findings.broken += 1;
            self.broken(line);
        }
    }

    fn broken(&mut self, mut line: BrokenLine) {
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

    /// What was found, once [`Self::advance`] has said false.
    pub fn finish(mut self) -> Findings {
        self.settle_latency();
        self.findings.broken_first.sort_by_key(|line| line.number);
        self.findings.rounded = self.recording.rounded();
        let lines = self.recording.lines();
        self.findings.text_bytes = lines.text_bytes();
        self.findings.source_bytes = lines.source_bytes();
        self.findings.sha256 = lines.sha256();
        self.findings
    }
}
