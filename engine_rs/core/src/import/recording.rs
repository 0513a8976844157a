//! A recording: lines `<receive time, ns> <JSON message>` of one instrument, decoded one by one.

use std::path::Path;

use super::lines::{Item, LINE_BYTES_MAX, LineReader};
use crate::decode::{Binance, DecodeError, MessageKind};
use crate::error::Result;
use crate::event::{Event, TS_NONE};

/// Characters of a broken line that are kept to recognise it.
const HEAD_CHARS: usize = 80;
/// Bytes that hold them: four for a character at most.
const HEAD_BYTES: usize = HEAD_CHARS * 4;
/// A time this far from all that stand beside it is damage: clocks drift by milliseconds, and steps
/// of a clock or pauses of a recorder hold for the lines that follow.
pub const STRAY_NS: i64 = 1_000_000_000;

/// What a line of a recording turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A message and its rows.
    Message(Message),
    /// A line that cannot be used.
    Broken(BrokenLine),
    /// A part of the file that is no line, such as the place where compressed data breaks off.
    Damage(BrokenLine),
}

/// What the rows of a message have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// The line it stood on, counted from 1.
    pub number: u64,
    /// What it is.
    pub kind: MessageKind,
    /// The receipt as recorded, ns.
    pub ts_recv_ns: i64,
    /// The venue's time, ns; [`TS_NONE`] where it sent none.
    pub ts_event_ns: i64,
}

impl Message {
    /// Time of receipt minus the venue's time, ns, if there is one.
    pub fn latency_ns(&self) -> Option<i64> {
        (self.ts_event_ns != TS_NONE).then(|| self.ts_recv_ns - self.ts_event_ns)
    }
}

/// A line that cannot be used, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    rows: Vec<Event>,
    lookahead: Lookahead,
}

impl Recording {
    /// Opens a file, plain or gzip. Messages whose latency is below `latency_ns_least` are broken:
    /// a first pass finds venue times that cannot be.
    pub fn open(path: &Path, decoder: Binance, latency_ns_least: i64) -> Result<Self> {
        Ok(Self {
            lines: LineReader::open(path)?,
            decoder,
            rows: Vec::new(),
            lookahead: Lookahead {
                latency_ns_least,
                ..Lookahead::default()
            },
        })
    }

    /// The next line that is not blank; `None` at the end of the file. `rows` becomes the rows of
    /// a message, with the receive time as recorded.
    pub fn next_record(&mut self, rows: &mut Vec<Event>) -> Result<Option<Record>> {
        rows.clear();
        loop {
            let (number, bytes) = match self.lines.next_item()? {
                Some(Item::Line { number, bytes }) => (number, bytes),
                Some(Item::Damage { number, reason }) => {
                    return Ok(Some(Record::Damage(BrokenLine {
                        number,
                        reason,
                        ..BrokenLine::default()
                    })));
                }
                Some(Item::TooLong { number }) => {
                    let expected = format!("at most {} MiB", LINE_BYTES_MAX >> 20);
                    let error = DecodeError::field("line", expected, "a longer one");
                    return Ok(Some(Record::Broken(broken(number, b"", error))));
                }
                None => return Ok(self.lookahead.finish(rows)),
            };
            self.rows.clear();
            let (kind, ts_recv_ns) = match decode(&mut self.decoder, bytes, &mut self.rows) {
                Ok(decoded) => decoded,
                Err(error) => return Ok(Some(Record::Broken(broken(number, bytes, error)))),
            };
            let message = Message {
                number,
                kind,
                ts_recv_ns,
                ts_event_ns: self.rows.first().map_or(TS_NONE, |row| row.ts_event_ns),
            };
            let record = self.lookahead.push(message, bytes, &mut self.rows, rows);
            if record.is_some() {
                return Ok(record);
            }
        }
    }

    /// What is wrong with the message given out last, if its venue time turns out impossible.
    pub fn ahead_of_time(&self, message: &Message) -> BrokenLine {
        self.lookahead.ahead_of_time(message)
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

/// Holds a message back until the next one is known, because a damaged receive time shows only
/// beside its neighbours: left in, one digit too large would drag all later times along.
#[derive(Default)]
struct Lookahead {
    latency_ns_least: i64,
    /// Receive time of the message given out last.
    before_ns: Option<i64>,
    pending: Option<Message>,
    rows: Vec<Event>,
    text: Vec<u8>,
    /// First bytes of the line of the message given out last.
    text_before: Vec<u8>,
}

impl Lookahead {
    /// Takes a message with its line and rows, and gives out the one before it.
    fn push(
        &mut self,
        message: Message,
        line: &[u8],
        message_rows: &mut Vec<Event>,
        rows: &mut Vec<Event>,
    ) -> Option<Record> {
        let before = self.pending.replace(message);
        let record = before.map(|before| self.judge(before, message.ts_recv_ns, rows));
        std::mem::swap(&mut self.rows, message_rows);
        self.text.clear();
        self.text
            .extend_from_slice(&line[..line.len().min(HEAD_BYTES)]);
        record
    }

    fn finish(&mut self, rows: &mut Vec<Event>) -> Option<Record> {
        let last = self.pending.take();
        last.map(|last| self.give_out(last, rows))
    }

    /// Gives a message out, unless its receive time lies far from both neighbours'.
    fn judge(&mut self, message: Message, after_ns: i64, rows: &mut Vec<Event>) -> Record {
        let at_ns = message.ts_recv_ns;
        let before_ns = self.before_ns.unwrap_or(after_ns);
        let far_above = at_ns - before_ns > STRAY_NS && at_ns - after_ns > STRAY_NS;
        let far_below = before_ns - at_ns > STRAY_NS && after_ns - at_ns > STRAY_NS;
        // A first line is believed to be early, as before a pause, but not late.
        let far_off = far_above || far_below && self.before_ns.is_some();
        if far_off && after_ns >= before_ns - STRAY_NS {
            let found = format!("{at_ns} between {before_ns} and {after_ns}");
            let error = DecodeError::field("receive time", "a time near its neighbours'", found);
            return Record::Broken(broken(message.number, &self.text, error));
        }
        self.give_out(message, rows)
    }

    fn give_out(&mut self, message: Message, rows: &mut Vec<Event>) -> Record {
        self.before_ns = Some(message.ts_recv_ns);
        std::mem::swap(&mut self.text_before, &mut self.text);
        let latency_ns = message.latency_ns();
        if latency_ns.is_some_and(|latency_ns| latency_ns < self.latency_ns_least) {
            return Record::Broken(self.ahead_of_time(&message));
        }
        std::mem::swap(rows, &mut self.rows);
        Record::Message(message)
    }

    fn ahead_of_time(&self, message: &Message) -> BrokenLine {
        let seconds = STRAY_NS / 1_000_000_000;
        let expected = format!("one at most {seconds} s ahead of all others in the file");
        let found = format!("{} ms", message.ts_event_ns / 1_000_000);
        let error = DecodeError::field("venue time", expected, found);
        broken(message.number, &self.text_before, error)
    }
}

fn broken(number: u64, line: &[u8], error: DecodeError) -> BrokenLine {
    BrokenLine {
        number,
        reason: error.to_string(),
        head: head(line),
        other_symbol: match error {
            DecodeError::OtherSymbol { found, .. } => Some(found),
            _ => None,
        },
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
    String::from_utf8_lossy(&line[..line.len().min(HEAD_BYTES)])
        .chars()
        .take(HEAD_CHARS)
        .map(|char| {
            if char.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                char
            }
        })
        .collect()
}
