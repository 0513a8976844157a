//! A recording: lines `<receive time, ns> <JSON message>` of one instrument, decoded one by one.

use std::path::Path;

use super::lines::{Item, LineReader};
use crate::decode::{Binance, DecodeError, MessageKind};
use crate::error::Result;
use crate::event::{Event, TS_NONE};

/// Characters of a broken line that are kept to recognise it.
const HEAD_CHARS: usize = 80;

/// What a line of a recording turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A message; its rows were appended.
    Message(Message),
    /// A line that cannot be used.
    Broken(BrokenLine),
}

/// What the rows of a message have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub kind: MessageKind,
    /// The receipt as recorded, ns.
    pub ts_recv_ns: i64,
    /// The venue's time, ns; [`TS_NONE`] where it sent none.
    pub ts_event_ns: i64,
}

/// A line that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenLine {
    /// Counted from 1.
    pub number: u64,
    /// Field, expected, found.
    pub reason: String,
    /// The start of the line, undecodable bytes replaced.
    pub head: String,
    /// The symbol of the message, where that is what is wrong.
    pub other_symbol: Option<String>,
}

/// One file and the decoder of its messages.
pub struct Recording {
    lines: LineReader,
    decoder: Binance,
}

impl Recording {
    /// Opens a file, plain or gzip.
    pub fn open(path: &Path, decoder: Binance) -> Result<Self> {
        let lines = LineReader::open(path)?;
        Ok(Self { lines, decoder })
    }

    /// The next line that is not blank; `None` at the end of the file. Rows are appended to `rows`
    /// with the receive time as recorded.
    pub fn next_record(&mut self, rows: &mut Vec<Event>) -> Result<Option<Record>> {
        let (number, bytes) = match self.lines.next_item()? {
            None => return Ok(None),
            Some(Item::Damage { number, reason }) => {
                return Ok(Some(Record::Broken(BrokenLine {
                    number,
                    reason,
                    head: String::new(),
                    other_symbol: None,
                })));
            }
            Some(Item::Line { number, bytes }) => (number, bytes),
        };
        let start = rows.len();
        Ok(Some(match decode(&mut self.decoder, bytes, rows) {
            Ok((kind, ts_recv_ns)) => Record::Message(Message {
                kind,
                ts_recv_ns,
                ts_event_ns: rows.get(start).map_or(TS_NONE, |row| row.ts_event_ns),
            }),
            Err(error) => Record::Broken(BrokenLine {
                number,
                reason: error.to_string(),
                head: head(bytes),
                other_symbol: match error {
                    DecodeError::OtherSymbol { found, .. } => Some(found),
                    _ => None,
                },
            }),
        }))
    }

    /// Quantities that were rounded to a lot so far.
    pub fn rounded(&self) -> u64 {
        self.decoder.rounded()
    }

    /// The reader of the file's lines, for its counts and hash.
    pub fn lines(&mut self) -> &mut LineReader {
        &mut self.lines
    }
}

fn decode(
    decoder: &mut Binance,
    line: &[u8],
    rows: &mut Vec<Event>,
) -> Result<(MessageKind, i64), DecodeError> {
    let (ts_recv_ns, json) = split(line).ok_or_else(|| {
        let first = line.split(|&byte| byte == b' ').next().unwrap_or(line);
        let found = if first.iter().any(|byte| *byte < b' ' || *byte > b'~') {
            "binary data".to_owned()
        } else {
            format!("{:?}", String::from_utf8_lossy(first))
        };
        DecodeError::field("line", "'<receive time in ns> <JSON>'", found)
    })?;
    Ok((decoder.decode(json, ts_recv_ns, rows)?, ts_recv_ns))
}

/// The receive time, a positive whole number of at most 19 digits, and what follows the space.
fn split(line: &[u8]) -> Option<(i64, &[u8])> {
    let space = memchr::memchr(b' ', line.get(..20.min(line.len()))?)?;
    let digits = &line[..space];
    if digits.is_empty() {
        return None;
    }
    let value = digits.iter().try_fold(0u64, |value, &byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| value * 10 + u64::from(digit))
    })?;
    let ts_recv_ns = i64::try_from(value).ok().filter(|&ns| ns > 0)?;
    Some((ts_recv_ns, &line[space + 1..]))
}

fn head(line: &[u8]) -> String {
    // Four bytes a character at most, and a few more so that the cut falls behind the last one.
    String::from_utf8_lossy(&line[..line.len().min(HEAD_CHARS * 4)])
        .chars()
        .take(HEAD_CHARS)
        .map(|char| if char.is_control() { '\u{fffd}' } else { char })
        .collect()
}
