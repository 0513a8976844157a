//! Reading a journal from its beginning, with everything verified on the way.

use super::frame::{self, Fault, HEADER_LEN, Hash, Header, Record, SEAL};
use super::store::{Store, is_packed, number_of};
use crate::error::Result;

/// A segment whose records are whole and in order.
#[derive(Debug)]
pub struct Segment {
    /// Its number, from 1.
    pub number: u64,
    /// The file that it was read from.
    pub name: String,
    /// Whether it was closed.
    pub is_sealed: bool,
    /// Bytes behind the last whole record and what is wrong with them, where writing it was cut
    /// short. Only the last segment may have any.
    pub torn: Option<(usize, String)>,
    /// `seq` behind its last record.
    pub next_seq: u64,
    /// Header and whole records.
    pub(super) bytes: Vec<u8>,
}

impl Segment {
    /// Its records in order, without the seal.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let mut rest = self.bytes.get(HEADER_LEN..).unwrap_or_default();
        std::iter::from_fn(move || {
            let (record, len) = frame::decode_verified(rest)?;
            rest = &rest[len..];
            Some(record)
        })
        .filter(|record| record.kind != SEAL)
    }

    /// SHA-256 of its bytes.
    pub(super) fn hash(&self) -> Hash {
        frame::sha256(&self.bytes)
    }
}

/// The segments of a journal, one after the other.
#[derive(Clone)]
pub(super) struct Reader {
    /// File names with their segment's number, in order.
    names: Vec<(u64, String)>,
    at: usize,
    next_seq: u64,
    previous: Hash,
}

impl Reader {
    /// A reader at the beginning.
    pub fn new(store: &dyn Store) -> Result<Self> {
        Ok(Self {
            names: names(store)?,
            at: 0,
            next_seq: 1,
            previous: [0; 32],
        })
    }

    /// Looks anew which segments there are.
    pub fn refresh(&mut self, store: &dyn Store) -> Result<()> {
        self.names = names(store)?;
        Ok(())
    }

    /// The next segment; `None` behind the last. Anything that is not as it was written is an
    /// [`Error::Damaged`], but for the end of a last segment that was never closed.
    pub fn next_segment(&mut self, store: &dyn Store) -> Result<Option<Segment>> {
        let Some((number, name)) = self.names.get(self.at) else {
            return Ok(None);
        };
        let is_last = self.at + 1 == self.names.len();
        let wanted = self.at as u64 + 1;
        if *number != wanted {
            let fault = Fault::new(format!("segment {wanted} before it"), "no such file");
            return Err(fault.at(&store.describe(name), 0));
        }
        let bytes = store.read(name)?;
        let mut segment = self.verify(store, name, bytes, is_last)?;
        if is_packed(name) && !segment.is_sealed {
            let fault = Fault::new("a seal at the end of a compressed segment", "none");
            return Err(fault.at(&store.describe(name), segment.bytes.len()));
        }
        self.at += 1;
        self.next_seq = segment.next_seq;
        self.previous = segment.hash();
        segment.bytes.shrink_to_fit();
        Ok(Some(segment))
    }

    fn verify(
        &self,
        store: &dyn Store,
        name: &str,
        mut bytes: Vec<u8>,
        is_last: bool,
    ) -> Result<Segment> {
        let number = self.at as u64 + 1;
        let described = store.describe(name);
        let mut segment = Segment {
            number,
            name: name.to_owned(),
            is_sealed: false,
            torn: None,
            next_seq: self.next_seq,
            bytes: Vec::new(),
        };
        // The process may end before a new segment's header is written.
        if is_last && bytes.len() < HEADER_LEN && !is_packed(name) {
            segment.torn = Some((bytes.len(), "a header cut short".to_owned()));
            return Ok(segment);
        }
        let header = Header::decode(&bytes).map_err(|fault| fault.at(&described, 0))?;
        let wanted = Header {
            number,
            first_seq: self.next_seq,
            previous: self.previous,
        };
        if header != wanted {
            let fault = Fault::new(show(&wanted), show(&header));
            return Err(fault.at(&described, 0));
        }
        let (mut at, mut next_seq) = (HEADER_LEN, self.next_seq);
        while at < bytes.len() {
            let found = if segment.is_sealed {
                Err(Fault::new(
                    "nothing behind the seal",
                    format!("{} bytes", bytes.len() - at),
                ))
            } else {
                check(&bytes, at, next_seq)
            };
            match found {
                Ok((kind, len)) => {
                    segment.is_sealed = kind == SEAL;
                    at += len;
                    // A seal has no place of its own in the order.
                    next_seq += u64::from(kind != SEAL);
                }
                Err(fault) => {
                    let is_tail = is_last && !segment.is_sealed && !is_packed(name);
                    if !is_tail {
                        return Err(fault.at(&described, at));
                    }
                    if let Some((offset, seq)) = whole_record_after(&bytes, at, next_seq) {
                        let found = format!(
                            "{}, with whole records from seq {seq} at byte {offset} on behind it",
                            fault.found
                        );
                        return Err(Fault::new(fault.expected, found).at(&described, at));
                    }
                    let reason = format!("expected {}, found {}", fault.expected, fault.found);
                    segment.torn = Some((bytes.len() - at, reason));
                    bytes.truncate(at);
                }
            }
        }
        if !is_last && !segment.is_sealed {
            let fault = Fault::new("a seal before the next segment", "the end of the file");
            return Err(fault.at(&described, at));
        }
        segment.next_seq = next_seq;
        segment.bytes = bytes;
        Ok(segment)
    }
}

/// The files of the segments with their numbers, in order.
fn names(store: &dyn Store) -> Result<Vec<(u64, String)>> {
    let mut names: Vec<(u64, String)> = store
        .list()?
        .into_iter()
        .filter_map(|name| number_of(&name).map(|number| (number, name)))
        .collect();
    // Where the process ended between compressing a segment and removing it, both are whole.
    names.sort_by_key(|(number, name)| (*number, is_packed(name)));
    names.dedup_by_key(|(number, _)| *number);
    Ok(names)
}

/// Kind and length of the record at a place, if it is whole and the one expected.
fn check(bytes: &[u8], at: usize, seq: u64) -> Result<(u8, usize), Fault> {
    let (record, len) = frame::decode(&bytes[at..])?;
    if record.seq != seq {
        return Err(Fault::new(format!("seq {seq}"), record.seq));
    }
    if record.kind == SEAL {
        let is = frame::sha256(&bytes[..at]);
        if record.payload != is {
            return Err(Fault::new(
                format!("a seal of {}", hex(&is)),
                hex(record.payload),
            ));
        }
    }
    Ok((record.kind, len))
}

/// Place and `seq` of the first whole record behind a damaged one.
fn whole_record_after(bytes: &[u8], damaged: usize, seq: u64) -> Option<(usize, u64)> {
    (damaged + 1..bytes.len()).find_map(|at| {
        // So many records at most fit between.
        let most = seq.saturating_add((at - damaged) as u64);
        let found = frame::peek_seq(&bytes[at..]).filter(|found| (seq..=most).contains(found))?;
        frame::decode(&bytes[at..]).ok().map(|_| (at, found))
    })
}

fn show(header: &Header) -> String {
    let Header {
        number,
        first_seq,
        previous,
    } = header;
    format!(
        "segment {number} from seq {first_seq} on, behind {}",
        hex(previous)
    )
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}
