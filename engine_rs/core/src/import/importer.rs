//! The second pass: the rows of one instrument from one or several recordings, in the order of
//! receipt, as the catalog's streams.

use std::path::PathBuf;

use super::joiner::{JoinCounts, JoinState, Joiner, WAITING_ROWS_MAX};
use super::recording::{Message, Record, Recording};
use crate::decode::{Binance, MessageKind};
use crate::error::{Error, Result};
use crate::event::{Event, SEQ_NONE, TS_NONE};

/// Without a venue time, an id below the last one is no duplicate if it arrives this much later.
const RESTART_NS: i64 = 1_000_000_000;

/// One file to import, and the hash that the first pass found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Where the file is.
    pub path: PathBuf,
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: String,
    /// Smallest latency that the first pass believed, ns.
    pub latency_ns_least: i64,
}

/// Rows by the catalog's data kinds.
#[derive(Clone, Debug, Default)]
pub struct Streams {
    /// Deltas and snapshots.
    pub depth: Vec<Event>,
    /// Trades on the book.
    pub trades: Vec<Event>,
    /// Trades that never happened on the book.
    pub offbook: Vec<Event>,
    /// The venue's best bid and ask.
    pub quotes: Vec<Event>,
}

impl Streams {
    /// Rows of all kinds.
    pub fn len(&self) -> usize {
        self.depth.len() + self.trades.len() + self.offbook.len() + self.quotes.len()
    }

    /// Whether no kind has a row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Ids of trades or quotes, which only ever grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdState {
    /// The last id; [`SEQ_NONE`] before the first.
    pub seq: u64,
    /// Venue time of its message, [`TS_NONE`] where none is sent.
    pub ts_event_ns: i64,
    /// Its corrected time of receipt.
    pub ts_recv_ns: i64,
}

impl Default for IdState {
    fn default() -> Self {
        Self {
            seq: SEQ_NONE,
            ts_event_ns: TS_NONE,
            ts_recv_ns: i64::MIN,
        }
    }
}

impl IdState {
    /// Whether the message was seen before; else it becomes the last one.
    fn is_duplicate(&mut self, row: &Event) -> bool {
        if self.seq != SEQ_NONE && row.seq <= self.seq {
            let later = if row.ts_event_ns == TS_NONE || self.ts_event_ns == TS_NONE {
                row.ts_recv_ns > self.ts_recv_ns.saturating_add(RESTART_NS)
            } else {
                row.ts_event_ns > self.ts_event_ns
            };
            if row.seq == self.seq || !later {
                return true;
            }
        }
        *self = Self {
            seq: row.seq,
            ts_event_ns: row.ts_event_ns,
            ts_recv_ns: row.ts_recv_ns,
        };
        false
    }
}

/// Where an import stands, enough for a later one to go on from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportState {
    /// Deltas and snapshots.
    pub depth: JoinState,
    /// Trades, on and off the book.
    pub trades: IdState,
    /// Quotes.
    pub quotes: IdState,
    /// Largest corrected receive time so far.
    pub ts_recv_ns: i64,
}

impl Default for ImportState {
    fn default() -> Self {
        Self {
            depth: JoinState::default(),
            trades: IdState::default(),
            quotes: IdState::default(),
            ts_recv_ns: i64::MIN,
        }
    }
}

/// How often things happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportCounts {
    /// What the snapshot join did.
    pub join: JoinCounts,
    /// Trades whose id was seen before.
    pub trade_duplicates: u64,
    /// Quotes whose id was seen before.
    pub quote_duplicates: u64,
    /// Breaks in the ids of trades.
    pub trade_id_gaps: u64,
    /// Trade ids missing in these breaks.
    pub trade_ids_missing: u64,
    /// Messages whose receive time was before that of the line before, and was raised to it.
    pub recv_backwards: u64,
}

/// A second pass in progress.
pub struct Importer {
    decoder: Box<dyn Fn() -> Binance + Send + Sync>,
    sources: std::vec::IntoIter<Source>,
    current: Option<(Source, Recording)>,
    clock_offset_ns: i64,
    joiner: Joiner,
    state: ImportState,
    counts: ImportCounts,
    rows: Vec<Event>,
    streams: Streams,
    source_bytes_done: u64,
}

impl Importer {
    /// A pass over `sources` in the order given, each decoded by a fresh `decoder`, with
    /// `clock_offset_ns` added to every receive time. It goes on from `state`.
    pub fn new(
        decoder: impl Fn() -> Binance + Send + Sync + 'static,
        sources: Vec<Source>,
        clock_offset_ns: i64,
        state: ImportState,
    ) -> Self {
        Self {
            decoder: Box::new(decoder),
            sources: sources.into_iter(),
            current: None,
            clock_offset_ns,
            joiner: Joiner::new(state.depth, WAITING_ROWS_MAX),
            state,
            counts: ImportCounts::default(),
            rows: Vec::new(),
            streams: Streams::default(),
            source_bytes_done: 0,
        }
    }

    /// Reads on until at least `rows` rows are ready or the input has ended, and hands them over;
    /// `None` once nothing is left.
    pub fn advance(&mut self, rows: usize) -> Result<Option<Streams>> {
        while self.streams.len() < rows {
            if self.current.is_none() {
                let Some(source) = self.sources.next() else {
                    self.joiner.finish(&mut self.streams.depth);
                    break;
                };
                let recording =
                    Recording::open(&source.path, (self.decoder)(), source.latency_ns_least)?;
                self.current = Some((source, recording));
            }
            self.read_on()?;
        }
        let ready = std::mem::take(&mut self.streams);
        Ok((!ready.is_empty()).then_some(ready))
    }

    /// Reads one record of the current file.
    fn read_on(&mut self) -> Result<()> {
        let Some((source, recording)) = &mut self.current else {
            return Ok(());
        };
        match recording.next_record(&mut self.rows)? {
            Some(Record::Message(message)) => {
                self.take(message);
                Ok(())
            }
            // The first pass has told of it.
            Some(Record::Broken(_) | Record::Damage(_)) => Ok(()),
            None => {
                self.source_bytes_done += recording.lines().source_bytes();
                let found = recording.lines().sha256();
                let unchanged = found == source.sha256;
                let name = source.path.display().to_string();
                self.current = None;
                if unchanged {
                    return Ok(());
                }
                Err(Error::invalid(
                    "path",
                    "a file that stays as it is while it is imported",
                    format!("that {name} changed"),
                ))
            }
        }
    }

    fn take(&mut self, message: Message) {
        if self.rows.is_empty() {
            return;
        }
        let mut ts_recv_ns = message.ts_recv_ns.saturating_add(self.clock_offset_ns);
        if ts_recv_ns < self.state.ts_recv_ns {
            self.counts.recv_backwards += 1;
            ts_recv_ns = self.state.ts_recv_ns;
        }
        self.state.ts_recv_ns = ts_recv_ns;
        for row in &mut self.rows {
            row.ts_recv_ns = ts_recv_ns;
        }
        match message.kind {
            MessageKind::Depth => self.joiner.delta(&self.rows, &mut self.streams.depth),
            MessageKind::Snapshot => self.joiner.snapshot(&self.rows, &mut self.streams.depth),
            MessageKind::Trade => {
                if self.is_new_trade() {
                    self.streams.trades.extend_from_slice(&self.rows);
                }
            }
            MessageKind::OffBookTrade => {
                if self.is_new_trade() {
                    self.streams.offbook.extend_from_slice(&self.rows);
                }
            }
            MessageKind::Quote => {
                if self.state.quotes.is_duplicate(&self.rows[0]) {
                    self.counts.quote_duplicates += 1;
                } else {
                    self.streams.quotes.extend_from_slice(&self.rows);
                }
            }
            MessageKind::Other(_) => {}
        }
    }

    fn is_new_trade(&mut self) -> bool {
        let last = self.state.trades.seq;
        if self.state.trades.is_duplicate(&self.rows[0]) {
            self.counts.trade_duplicates += 1;
            return false;
        }
        let id = self.rows[0].seq;
        if last != SEQ_NONE && id > last + 1 {
            self.counts.trade_id_gaps += 1;
            self.counts.trade_ids_missing += id - last - 1;
        }
        true
    }

    /// Bytes of the files read so far.
    pub fn source_bytes(&mut self) -> u64 {
        let current = self.current.as_mut();
        self.source_bytes_done
            + current.map_or(0, |(_, recording)| recording.lines().source_bytes())
    }

    /// What happened so far.
    pub fn counts(&self) -> ImportCounts {
        ImportCounts {
            join: self.joiner.counts(),
            ..self.counts
        }
    }

    /// Where the import stands; after the end, where a later one goes on.
    pub fn state(&self) -> ImportState {
        ImportState {
            depth: self.joiner.state(),
            ..self.state
        }
    }
}
