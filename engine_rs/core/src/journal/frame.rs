//! Bytes of a segment: its header, and the frame around each record. Integers are little-endian.

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// First bytes of every segment.
const MAGIC: [u8; 8] = *b"CBLTJRNL";
/// Version of the layout.
const VERSION: u16 = 1;
/// Bytes of a segment's header.
pub const HEADER_LEN: usize = 64;
/// Bytes before a record's payload: length, checksum, seq, time, step, kind.
pub(super) const FRAME_LEN: usize = 33;
/// Of these, the ones that length and checksum take.
const PREFIX_LEN: usize = 8;
/// Most bytes that a payload may have.
pub const PAYLOAD_MAX: usize = 1 << 26;
/// Kind of the record that ends a segment: its payload is the SHA-256 of all bytes before it.
pub const SEAL: u8 = 0;

/// SHA-256 of a segment.
pub(super) type Hash = [u8; 32];

/// A record as it stands in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Place in the journal's order, from 1, without gaps; a seal has that of
    /// the record after it, and the time of the one before it.
    pub seq: u64,
    /// Our clock when it was written, ns.
    pub ts_ns: i64,
    /// Number of the kernel's step that was handled when it was written.
    pub step: u64,
    /// What it is; [`SEAL`] is the journal's own, all others are the writer's.
    pub kind: u8,
    /// Its content.
    pub payload: &'a [u8],
}

/// What a segment's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Number of the segment, from 1.
    pub number: u64,
    /// `seq` of its first record.
    pub first_seq: u64,
    /// Hash of the segment before it; zeros in the first.
    pub previous: Hash,
}

impl Header {
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[10..12].copy_from_slice(&[0; 2]);
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_seq.to_le_bytes());
        bytes[32..].copy_from_slice(&self.previous);
        let checksum = header_checksum(&bytes);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The header that a segment begins with; what is wrong with it otherwise.
    pub fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let Some(bytes) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(Fault::new(
                format!("a header of {HEADER_LEN} bytes"),
                format!("{} bytes", bytes.len()),
            ));
        };
        if bytes[..8] != MAGIC {
            let found = String::from_utf8_lossy(&bytes[..8]).into_owned();
            return Err(Fault::new("the mark CBLTJRNL", format!("{found:?}")));
        }
        let version = u16::from_le_bytes([bytes[8], bytes[9]]);
        if version != VERSION {
            return Err(Fault::new(format!("version {VERSION}"), version));
        }
        let (said, is) = (u32_at(bytes, 12), header_checksum(bytes));
        if said != is {
            return Err(Fault::checksum("header", said, is));
        }
        let mut previous = [0; 32];
        previous.copy_from_slice(&bytes[32..]);
        Ok(Self {
            number: u64_at(bytes, 16),
            first_seq: u64_at(bytes, 24),
            previous,
        })
    }
}

/// What is wrong at a place of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub expected: String,
    pub found: String,
}

impl Fault {
    pub fn new(expected: impl Into<String>, found: impl std::fmt::Display) -> Self {
        Self {
            expected: expected.into(),
            found: found.to_string(),
        }
    }

    fn checksum(what: &str, said: u32, is: u32) -> Self {
        Self::new(format!("{what} checksum {is:08x}"), format!("{said:08x}"))
    }

    /// As an error about a place of a file.
    pub fn at(self, name: &str, offset: usize) -> Error {
        Error::Damaged {
            name: name.to_owned(),
            offset,
            expected: self.expected,
            found: self.found,
        }
    }
}

/// Appends a record to a buffer.
#[inline]
pub(super) fn encode(record: &Record<'_>, buffer: &mut Vec<u8>) -> Result<()> {
    if record.payload.len() > PAYLOAD_MAX {
        return Err(Error::invalid(
            "journal record",
            format!("a payload of at most {PAYLOAD_MAX} bytes"),
            record.payload.len(),
        ));
    }
    let mut head = [0; FRAME_LEN];
    #[allow(clippy::cast_possible_truncation, reason = "checked above")]
    let body_len = (FRAME_LEN - PREFIX_LEN + record.payload.len()) as u32;
    head[..4].copy_from_slice(&body_len.to_le_bytes());
    head[8..16].copy_from_slice(&record.seq.to_le_bytes());
    head[16..24].copy_from_slice(&record.ts_ns.to_le_bytes());
    head[24..32].copy_from_slice(&record.step.to_le_bytes());
    head[32] = record.kind;
    let at = buffer.len();
    buffer.extend_from_slice(&head);
    buffer.extend_from_slice(record.payload);
    let checksum = checksum(&buffer[at..]);
    buffer[at + 4..at + 8].copy_from_slice(&checksum.to_le_bytes());
    Ok(())
}

/// The record at the beginning of `bytes` and how many bytes it takes; what is wrong otherwise.
#[inline]
pub(super) fn decode(bytes: &[u8]) -> Result<(Record<'_>, usize), Fault> {
    if bytes.len() < FRAME_LEN {
        return Err(Fault::new(
            format!("a record of at least {FRAME_LEN} bytes"),
            format!("{} bytes", bytes.len()),
        ));
    }
    let body_len = u32_at(bytes, 0) as usize;
    let least = FRAME_LEN - PREFIX_LEN;
    if !(least..=least + PAYLOAD_MAX).contains(&body_len) {
        return Err(Fault::new(
            format!("a length from {least} to {}", least + PAYLOAD_MAX),
            body_len,
        ));
    }
    let len = PREFIX_LEN + body_len;
    let Some(frame) = bytes.get(..len) else {
        return Err(Fault::new(
            format!("a record of {len} bytes"),
            format!("{} bytes", bytes.len()),
        ));
    };
    let (said, is) = (u32_at(frame, 4), checksum(frame));
    if said != is {
        return Err(Fault::checksum("record", said, is));
    }
    Ok((unpack(frame), len))
}

/// As [`decode`], of bytes of which it has succeeded before; `None` at their end.
#[inline]
pub(super) fn decode_verified(bytes: &[u8]) -> Option<(Record<'_>, usize)> {
    let len = PREFIX_LEN + u32::from_le_bytes(*bytes.first_chunk()?) as usize;
    bytes.get(..len).map(|frame| (unpack(frame), len))
}

#[inline]
fn unpack(frame: &[u8]) -> Record<'_> {
    Record {
        seq: u64_at(frame, 8),
        ts_ns: u64_at(frame, 16).cast_signed(),
        step: u64_at(frame, 24),
        kind: frame[32],
        payload: &frame[FRAME_LEN..],
    }
}

/// The `seq` of the record at the beginning of `bytes`, whole or not.
pub(super) fn peek_seq(bytes: &[u8]) -> Option<u64> {
    (bytes.len() >= FRAME_LEN).then(|| u64_at(bytes, 8))
}

/// SHA-256 of bytes.
pub(super) fn sha256(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// CRC-32 of a frame but for the four bytes that hold it.
#[inline]
fn checksum(frame: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&frame[..4]);
    hasher.update(&frame[8..]);
    hasher.finalize()
}

fn header_checksum(bytes: &[u8; HEADER_LEN]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..12]);
    hasher.update(&bytes[16..]);
    hasher.finalize()
}

#[inline]
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

#[inline]
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
