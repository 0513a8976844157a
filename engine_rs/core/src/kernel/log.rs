//! Where the entries of a run go: into its hash, and into its journal if it has one.

use std::fmt;

use sha2::{Digest, Sha256};

use super::entry::{Ended, Entry, UNCOUNTED};
use crate::error::{Error, Result};
use crate::journal::{Options, Record, Records, Recovered, Store, Writer, hex};

/// The result of a run: SHA-256 over its entries of kinds below [`UNCOUNTED`], each as kind (one
/// byte), our clock (8 bytes) and length of the content (4 bytes), little-endian, and content.
#[derive(Clone, Default)]
pub struct ResultHash(Sha256);

impl ResultHash {
    /// Takes in the next entry, if its kind counts.
    #[inline]
    pub fn add(&mut self, kind: u8, ts_ns: i64, content: &[u8]) {
        if kind < UNCOUNTED {
            #[allow(
                clippy::cast_possible_truncation,
                reason = "the journal refuses longer ones"
            )]
            let length = content.len() as u32;
            self.0.update([kind]);
            self.0.update(ts_ns.to_le_bytes());
            self.0.update(length.to_le_bytes());
            self.0.update(content);
        }
    }

    /// The hash of everything so far, as 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        hex(&self.0.clone().finalize())
    }
}

/// Takes the entries of a run in the order in which they happen.
pub(super) struct Log {
    result: ResultHash,
    content: Vec<u8>,
    journal: Journal,
    has_failed: bool,
    error: Option<Error>,
    divergence: Option<Divergence>,
}

/// What becomes of entries besides being hashed.
enum Journal {
    Absent,
    /// The run happens for the first time.
    Written(Box<Writer>),
    /// The run has happened before, up to the end of the records: what happens is held against
    /// them.
    Held(Box<Held>),
}

/// A journal that is there already.
struct Held {
    records: Records,
    /// How what happens behind the records is written; `None`: it is not.
    then: Option<Resume>,
    /// Whether only the strategy's commands have to be the same.
    only_commands: bool,
    /// Number of the last record that was held.
    seq: u64,
    /// Whether the records come to the end of the run.
    has_ended: bool,
}

/// What was expected, or found, where a run differs from its journal: a record's step, time, kind
/// and content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// Number of the kernel's step.
    pub step: u64,
    /// Our clock.
    pub ts_ns: i64,
    /// The kind of record.
    pub kind: u8,
    /// Its content.
    pub content: Vec<u8>,
}

/// Where a run differs from its journal; a side is `None` where nothing happened any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// Number of the record that was expected, or of the last one.
    pub seq: u64,
    /// What the journal holds.
    pub expected: Option<Side>,
    /// What happened.
    pub found: Option<Side>,
}

/// How a journal is gone on with.
pub struct Resume {
    /// The journal, as it was recovered.
    pub store: Box<dyn Store>,
    /// Where it ends.
    pub recovered: Recovered,
    /// How it is written.
    pub options: Options,
}

impl Log {
    /// A log that only hashes.
    pub fn new() -> Self {
        Self {
            result: ResultHash::default(),
            content: Vec::new(),
            journal: Journal::Absent,
            has_failed: false,
            error: None,
            divergence: None,
        }
    }

    /// From here on a journal takes every entry.
    pub fn keep(&mut self, journal: Writer) {
        self.journal = Journal::Written(Box::new(journal));
    }

    /// From here on every entry is held against the records of a journal; it takes those behind
    /// them.
    pub fn hold_against(&mut self, records: Records, then: Resume) {
        self.hold_all(records, Some(then), false);
    }

    /// From here on what happens is held against the records of a journal, which stays as it is:
    /// every entry, or only the strategy's commands, whatever step they belong to.
    pub fn replay(&mut self, records: Records, only_commands: bool) {
        self.hold_all(records, None, only_commands);
    }

    fn hold_all(&mut self, records: Records, then: Option<Resume>, only_commands: bool) {
        self.journal = Journal::Held(Box::new(Held {
            records,
            then,
            only_commands,
            seq: 0,
            has_ended: false,
        }));
    }

    /// Where the run differs from its journal, once it does.
    pub fn divergence(&self) -> Option<&Divergence> {
        self.divergence.as_ref()
    }

    /// Number of the record of a journal that was held last.
    pub fn held_seq(&self) -> u64 {
        match &self.journal {
            Journal::Held(held) => held.seq,
            Journal::Absent | Journal::Written(_) => 0,
        }
    }

    /// Whether there is another record to hold what happens against.
    pub fn has_more(&mut self) -> Result<bool> {
        Ok(match &mut self.journal {
            Journal::Held(held) => held.peek()?.is_some(),
            Journal::Absent | Journal::Written(_) => false,
        })
    }

    /// Kind and content of the next record, if it is something that the strategy did in a step.
    pub fn next_input(&mut self, step: u64) -> Result<Option<(u8, Vec<u8>)>> {
        let Journal::Held(held) = &mut self.journal else {
            return Ok(None);
        };
        let record = held.peek()?;
        let is_next = |record: &Record<'_>| record.step == step && Entry::is_input(record.kind);
        Ok(record
            .filter(is_next)
            .map(|record| (record.kind, record.payload.to_vec())))
    }

    /// The settings of the run that a journal is of.
    pub fn settings_held(&mut self) -> Result<Option<String>> {
        let Journal::Held(held) = &mut self.journal else {
            return Ok(None);
        };
        Ok(match held.peek()? {
            Some(record) => match Entry::decode(record.kind, record.payload)? {
                Entry::Settings(text) => Some(text.into_owned()),
                _ => None,
            },
            None => None,
        })
    }

    /// Whether what happens has happened before.
    fn is_held(&self) -> bool {
        matches!(self.journal, Journal::Held(_))
    }

    /// Takes an entry. What goes wrong is told by [`Self::check`], and nothing is taken after it.
    #[inline]
    pub fn write(&mut self, step: u64, ts_ns: i64, entry: &Entry<'_>) {
        let kind = entry.kind();
        let is_taken = kind < UNCOUNTED || !matches!(self.journal, Journal::Absent);
        if self.has_failed || !is_taken {
            return;
        }
        self.content.clear();
        entry.encode(&mut self.content);
        self.result.add(kind, ts_ns, &self.content);
        let outcome = match &mut self.journal {
            Journal::Absent => return,
            Journal::Written(writer) => writer.append(kind, step, ts_ns, &self.content).map(drop),
            Journal::Held(_) => self.hold(step, ts_ns, kind),
        };
        if let Err(error) = outcome {
            self.has_failed = true;
            self.error = Some(error);
        }
    }

    /// Holds the entry just encoded against the next record, or begins to write.
    #[cold]
    fn hold(&mut self, step: u64, ts_ns: i64, kind: u8) -> Result<()> {
        let Journal::Held(held) = &mut self.journal else {
            return Ok(());
        };
        let (any_step, seq) = (held.only_commands, held.seq);
        if let Some(record) = held.peek()? {
            if Entry::tells_of_the_process(kind) || (any_step && !Entry::is_command(kind)) {
                return Ok(());
            }
            let expected = (record.kind, record.ts_ns, record.payload);
            let is_same =
                expected == (kind, ts_ns, &self.content[..]) && (any_step || record.step == step);
            if is_same {
                return held.pass();
            }
            let (seq, expected) = (record.seq, Side::of(&record));
            let found = Side::new(step, ts_ns, kind, &self.content);
            return Err(self.diverge(seq, Some(expected), Some(found)));
        }
        if held.then.is_none() {
            if held.has_ended && Entry::is_command(kind) {
                let found = Side::new(step, ts_ns, kind, &self.content);
                return Err(self.diverge(seq, None, Some(found)));
            }
            return Ok(());
        }
        self.go_on(step, ts_ns)?;
        match &mut self.journal {
            Journal::Written(writer) => writer.append(kind, step, ts_ns, &self.content).map(drop),
            _ => Ok(()),
        }
    }

    fn diverge(&mut self, seq: u64, expected: Option<Side>, found: Option<Side>) -> Error {
        let nothing = || "the end of the run".to_owned();
        let error = Error::Diverged {
            seq,
            expected: expected.as_ref().map_or_else(nothing, Side::to_string),
            found: found.as_ref().map_or_else(nothing, Side::to_string),
        };
        self.divergence = Some(Divergence {
            seq,
            expected,
            found,
        });
        error
    }

    /// From here on the journal that was held is written.
    fn go_on(&mut self, step: u64, ts_ns: i64) -> Result<()> {
        let Journal::Held(held) = std::mem::replace(&mut self.journal, Journal::Absent) else {
            return Ok(());
        };
        let Some(then) = held.then else {
            return Ok(());
        };
        let Resume {
            store,
            recovered,
            options,
        } = then;
        let cut = recovered.cut.as_ref().map_or(0, |cut| cut.bytes as u64);
        let mut writer = Writer::resume(store, recovered, options)?;
        let (entry, mut content) = (Entry::Resumed(cut), Vec::new());
        entry.encode(&mut content);
        writer.append(entry.kind(), step, ts_ns, &content)?;
        self.journal = Journal::Written(Box::new(writer));
        Ok(())
    }

    /// Ends the journal with an entry that says how the run ended. One that is still held stays as
    /// it is where the run ended early.
    pub fn finish(&mut self, step: u64, ts_ns: i64, ended: &Ended<'_>) -> Result<()> {
        self.check()?;
        if self.has_failed || (self.is_held() && ended.error.is_some()) {
            return Ok(());
        }
        if let Journal::Held(held) = &mut self.journal {
            if let Some(record) = held.peek()? {
                let (seq, expected) = (record.seq, Side::of(&record));
                return Err(self.diverge(seq, Some(expected), None));
            }
            self.go_on(step, ts_ns)?;
        }
        self.write(step, ts_ns, &Entry::Ended(ended.clone()));
        self.check()?;
        match std::mem::replace(&mut self.journal, Journal::Absent) {
            Journal::Written(writer) => writer.finish(),
            Journal::Absent | Journal::Held(_) => Ok(()),
        }
    }

    /// Whether an entry could not be written: nothing that follows from it may happen.
    #[inline]
    pub fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// The error that there was, once.
    pub fn check(&mut self) -> Result<()> {
        self.error.take().map_or(Ok(()), Err)
    }

    /// Brings to the disk what is due.
    pub fn tick(&mut self) -> Result<()> {
        self.check()?;
        match &mut self.journal {
            Journal::Written(writer) if !self.has_failed => {
                let outcome = writer.tick();
                self.has_failed = outcome.is_err();
                outcome
            }
            _ => Ok(()),
        }
    }

    /// The result so far.
    pub fn result(&self) -> &ResultHash {
        &self.result
    }
}

impl Held {
    /// The next record that something is held against.
    fn peek(&mut self) -> Result<Option<Record<'_>>> {
        while let Some(record) = self.records.peek()? {
            let is_passed = Entry::tells_of_the_process(record.kind)
                || (self.only_commands && !Entry::is_command(record.kind));
            if !is_passed {
                break;
            }
            if let Entry::Ended(ended) = Entry::decode(record.kind, record.payload)? {
                self.has_ended = ended.error.is_none();
            }
            self.pass()?;
        }
        self.records.peek()
    }

    fn pass(&mut self) -> Result<()> {
        if let Some(record) = self.records.next()? {
            self.seq = record.seq;
        }
        Ok(())
    }
}

impl Side {
    fn new(step: u64, ts_ns: i64, kind: u8, content: &[u8]) -> Self {
        Self {
            step,
            ts_ns,
            kind,
            content: content.to_vec(),
        }
    }

    fn of(record: &Record<'_>) -> Self {
        Self::new(record.step, record.ts_ns, record.kind, record.payload)
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Entry::decode(self.kind, &self.content) {
            Ok(entry) => write!(f, "{entry:?}")?,
            Err(error) => write!(f, "{error}")?,
        }
        write!(f, " at step {}, {} ns", self.step, self.ts_ns)
    }
}
