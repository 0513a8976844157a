//! Where the entries of a run go: into its hash, and into its journal if it has one.

use sha2::{Digest, Sha256};

use super::entry::{Ended, Entry, UNCOUNTED};
use crate::error::{Error, Result};
use crate::journal::{Options, Record, Records, Recovered, Store, Writer};

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
        use std::fmt::Write;
        self.0
            .clone()
            .finalize()
            .iter()
            .fold(String::with_capacity(64), |mut text, byte| {
                write!(text, "{byte:02x}").expect("a string takes everything");
                text
            })
    }
}

/// Takes the entries of a run in the order in which they happen.
pub(super) struct Log {
    result: ResultHash,
    content: Vec<u8>,
    journal: Journal,
    has_failed: bool,
    error: Option<Error>,
}

/// What becomes of entries besides being hashed.
enum Journal {
    Absent,
    /// The run happens for the first time.
    Written(Writer),
    /// The run has happened before, up to the end of the records: what happens is held against
    /// them, and written behind them.
    Held(Box<Held>),
}

/// A journal that is there already.
struct Held {
    records: Records,
    then: Resume,
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
        }
    }

    /// From here on a journal takes every entry.
    pub fn keep(&mut self, journal: Writer) {
        self.journal = Journal::Written(journal);
    }

    /// From here on every entry is held against the records of a journal; it takes those behind
    /// them.
    pub fn hold_against(&mut self, records: Records, then: Resume) {
        self.journal = Journal::Held(Box::new(Held { records, then }));
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
        while let Some(record) = held.records.next()? {
            if Entry::tells_of_the_process(record.kind) {
                if record.kind == kind {
                    return Ok(());
                }
                continue;
            }
            let is_same = (record.kind, record.step, record.ts_ns, record.payload)
                == (kind, step, ts_ns, &self.content[..]);
            if is_same {
                return Ok(());
            }
            let found = show(kind, step, ts_ns, &self.content);
            return Err(diverged(&record, found));
        }
        self.go_on(step, ts_ns)?;
        match &mut self.journal {
            Journal::Written(writer) => writer.append(kind, step, ts_ns, &self.content).map(drop),
            _ => Ok(()),
        }
    }

    /// From here on the journal that was held is written.
    fn go_on(&mut self, step: u64, ts_ns: i64) -> Result<()> {
        let Journal::Held(held) = std::mem::replace(&mut self.journal, Journal::Absent) else {
            return Ok(());
        };
        let Resume {
            store,
            recovered,
            options,
        } = held.then;
        let cut = recovered.cut.as_ref().map_or(0, |cut| cut.bytes as u64);
        let mut writer = Writer::resume(store, recovered, options)?;
        let (entry, mut content) = (Entry::Resumed(cut), Vec::new());
        entry.encode(&mut content);
        writer.append(entry.kind(), step, ts_ns, &content)?;
        self.journal = Journal::Written(writer);
        Ok(())
    }

    /// Ends the journal with an entry that says how the run ended. One that is still held stays as
    /// it is where the run ended early.
    pub fn finish(&mut self, step: u64, ts_ns: i64, ended: &Ended<'_>) -> Result<()> {
        self.check()?;
        if self.has_failed || (self.is_held() && ended.error.is_some()) {
            return Ok(());
        }
        while let Journal::Held(held) = &mut self.journal {
            match held.records.next()? {
                None => self.go_on(step, ts_ns)?,
                Some(record) if Entry::tells_of_the_process(record.kind) => {}
                Some(record) => {
                    let found = format!("the end of the run at step {step}, {ts_ns} ns");
                    return Err(diverged(&record, found));
                }
            }
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

fn diverged(record: &Record<'_>, found: String) -> Error {
    let Record {
        seq,
        ts_ns,
        step,
        kind,
        payload,
    } = *record;
    Error::Diverged {
        seq,
        expected: show(kind, step, ts_ns, payload),
        found,
    }
}

/// A record in words.
fn show(kind: u8, step: u64, ts_ns: i64, payload: &[u8]) -> String {
    let content = match Entry::decode(kind, payload) {
        Ok(entry) => format!("{entry:?}"),
        Err(error) => error.to_string(),
    };
    format!("{content} at step {step}, {ts_ns} ns")
}
