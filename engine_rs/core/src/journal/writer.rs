//! Appending records.

use sha2::{Digest, Sha256};

use super::frame::{self, HEADER_LEN, Hash, Header, Record, SEAL};
use super::recovery::Recovered;
use super::store::{Store, open_name};
use crate::error::{Error, Result};

/// Records are handed to the store when so many bytes are held.
const BUFFER_LEN: usize = 1 << 16;
/// Bytes after which a segment is closed, unless told otherwise.
const SEGMENT_LEN: usize = 1 << 24;

/// When what was appended is on the disk, so that it survives the loss of power. What survives the
/// end of the process is more: everything that was handed to the operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Each record before [`Writer::append`] returns.
    Record,
    /// Everything at the latest so many nanoseconds after it was appended, as long as
    /// [`Writer::tick`] is called.
    Interval(u64),
    /// Everything when the journal is finished, or a segment is closed.
    End,
}

/// How a journal is written.
#[derive(Clone, Copy)]
pub struct Options {
    /// When records are on the disk.
    pub durability: Durability,
    /// Bytes after which a segment is closed.
    pub segment_len: usize,
    /// A clock in ns that only ever goes forward, for [`Durability::Interval`].
    pub clock: fn() -> u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::End,
            segment_len: SEGMENT_LEN,
            clock: || 0,
        }
    }
}

/// The end of a journal, to which records are appended.
///
/// After an error nothing is taken any more: what was written last may be cut, and only a recovery
/// can tell.
pub struct Writer {
    store: Box<dyn Store>,
    options: Options,
    buffer: Vec<u8>,
    number: u64,
    /// Bytes of the open segment, those in the buffer included.
    segment_len: usize,
    next_seq: u64,
    /// Time of the record appended last.
    last_ts_ns: i64,
    hash: Sha256,
    /// When something was appended that is not on the disk yet.
    dirty_since: Option<u64>,
    has_failed: bool,
}

impl Writer {
    /// Begins a journal where there is none.
    pub fn create(store: Box<dyn Store>, options: Options) -> Result<Self> {
        let found = store.list()?;
        if let Some(name) = found.first() {
            return Err(Error::invalid(
                "journal",
                "an empty folder",
                store.describe(name),
            ));
        }
        Self::at(store, options, 1, 1, [0; 32])
    }

    /// Goes on with a journal behind its last whole record.
    pub fn resume(store: Box<dyn Store>, recovered: Recovered, options: Options) -> Result<Self> {
        let Recovered {
            next_seq,
            open,
            last_number,
            last_hash,
            ..
        } = recovered;
        let Some(open) = open else {
            return Self::at(store, options, last_number + 1, next_seq, last_hash);
        };
        let mut writer = Self::new(store, options, last_number, next_seq);
        writer.segment_len = open.bytes.len();
        writer.hash.update(&open.bytes);
        writer.last_ts_ns = open.records().last().map_or(0, |record| record.ts_ns);
        writer.store.reopen(&open.name, open.bytes.len())?;
        if writer.segment_len >= options.segment_len {
            // It was cut before its seal.
            writer.roll()?;
        }
        Ok(writer)
    }

    fn new(store: Box<dyn Store>, options: Options, number: u64, next_seq: u64) -> Self {
        Self {
            store,
            options,
            buffer: Vec::with_capacity(2 * BUFFER_LEN),
            number,
            segment_len: 0,
            next_seq,
            last_ts_ns: 0,
            hash: Sha256::new(),
            dirty_since: None,
            has_failed: false,
        }
    }

    fn at(
        store: Box<dyn Store>,
        options: Options,
        number: u64,
        first_seq: u64,
        previous: Hash,
    ) -> Result<Self> {
        let mut writer = Self::new(store, options, number, first_seq);
        writer.begin_segment(previous)?;
        Ok(writer)
    }

    /// `seq` of the record that is appended next.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Appends a record and returns its `seq`.
    #[inline]
    pub fn append(&mut self, kind: u8, step: u64, ts_ns: i64, payload: &[u8]) -> Result<u64> {
        if self.has_failed || kind == SEAL {
            return Err(self.refusal(kind));
        }
        let seq = self.next_seq;
        self.put(kind, step, ts_ns, payload)?;
        self.next_seq += 1;
        self.last_ts_ns = ts_ns;
        if self.buffer.len() >= BUFFER_LEN {
            self.flush()?;
        }
        match self.options.durability {
            Durability::Record => self.sync()?,
            Durability::Interval(_) if self.dirty_since.is_none() => {
                self.dirty_since = Some((self.options.clock)());
            }
            Durability::Interval(_) | Durability::End => {}
        }
        if self.segment_len >= self.options.segment_len {
            self.roll()?;
        }
        Ok(seq)
    }

    /// Brings to the disk what is due; see [`Durability::Interval`].
    pub fn tick(&mut self) -> Result<()> {
        if let (Durability::Interval(every), Some(since)) =
            (self.options.durability, self.dirty_since)
            && (self.options.clock)().saturating_sub(since) >= every
        {
            self.sync()?;
        }
        Ok(())
    }

    /// Hands everything appended to the store.
    pub fn flush(&mut self) -> Result<()> {
        if self.has_failed {
            return Err(self.refusal(SEAL));
        }
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.hash.update(&self.buffer);
        // Until it has succeeded nobody knows how much of it is there.
        self.has_failed = true;
        self.store.append(&self.buffer)?;
        self.has_failed = false;
        self.buffer.clear();
        Ok(())
    }

    /// Brings everything appended to the disk.
    pub fn sync(&mut self) -> Result<()> {
        self.flush()?;
        self.has_failed = true;
        self.store.sync()?;
        self.has_failed = false;
        self.dirty_since = None;
        Ok(())
    }

    /// Closes the last segment; returns when all are on the disk and compressed.
    pub fn finish(mut self) -> Result<()> {
        self.close_segment()?;
        self.store.settle()
    }

    #[inline]
    fn put(&mut self, kind: u8, step: u64, ts_ns: i64, payload: &[u8]) -> Result<()> {
        let before = self.buffer.len();
        let seq = self.next_seq;
        let record = Record {
            seq,
            ts_ns,
            step,
            kind,
            payload,
        };
        frame::encode(&record, &mut self.buffer)?;
        self.segment_len += self.buffer.len() - before;
        Ok(())
    }

    #[cold]
    fn roll(&mut self) -> Result<()> {
        let hash = self.close_segment()?;
        self.number += 1;
        self.begin_segment(hash)
    }

    fn begin_segment(&mut self, previous: Hash) -> Result<()> {
        self.has_failed = true;
        self.store.create(&open_name(self.number))?;
        self.has_failed = false;
        let header = Header {
            number: self.number,
            first_seq: self.next_seq,
            previous,
        };
        self.buffer.extend_from_slice(&header.encode());
        self.segment_len = HEADER_LEN;
        self.hash = Sha256::new();
        // So that what is there is a segment, whatever happens next.
        self.sync()
    }

    /// Ends the open segment; its hash.
    fn close_segment(&mut self) -> Result<Hash> {
        self.flush()?;
        let content: Hash = self.hash.clone().finalize().into();
        self.put(SEAL, 0, self.last_ts_ns, &content)?;
        self.sync()?;
        self.store.pack(&open_name(self.number))?;
        Ok(self.hash.clone().finalize().into())
    }

    #[cold]
    fn refusal(&self, kind: u8) -> Error {
        if self.has_failed {
            return Error::invalid(
                "journal",
                "no record after a failed write, before it is recovered",
                self.store.describe(&open_name(self.number)),
            );
        }
        Error::invalid("journal record", "a kind of 1 to 255", kind)
    }
}
