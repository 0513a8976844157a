//! Lines of a recording, plain or gzip (also of several members), with everything that can be wrong
//! with a file told in words. Memory is bounded by the longest line allowed.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// Longest line that is read; a snapshot of 5,000 levels takes some 300 kB.
pub const LINE_BYTES_MAX: usize = 16 << 20;
const READ_BYTES: usize = 256 << 10;

/// What comes next in a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A line without its line break; blank lines are left out.
    Line {
        /// Counted from 1, blank lines included.
        number: u64,
        /// The bytes of the line.
        bytes: &'a [u8],
    },
    /// A part of the file that is no line.
    Damage {
        /// The line it stands at.
        number: u64,
        /// What is wrong.
        reason: String,
    },
    /// A line longer than [`LINE_BYTES_MAX`]; its content is passed over.
    TooLong {
        /// Counted from 1, blank lines included.
        number: u64,
    },
}

/// Reads a file line by line, hashing its bytes on the way.
pub struct LineReader {
    path: String,
    source: Source,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    number: u64,
    text_bytes: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    /// Inside a line that was given up as too long.
    Skipping,
    Ended,
}

enum Source {
    Plain(HashingReader<File>),
    // A box keeps the two variants of one size.
    Gzip(Box<MultiGzDecoder<BufReader<HashingReader<File>>>>),
}

impl Source {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(reader) => reader.read(into),
            Self::Gzip(reader) => reader.read(into),
        }
    }

    fn raw(&mut self) -> &mut HashingReader<File> {
        match self {
            Self::Plain(reader) => reader,
            Self::Gzip(reader) => reader.get_mut().get_mut(),
        }
    }
}

/// Passes bytes on, keeping their count and SHA-256.
struct HashingReader<R> {
    inner: R,
    head: Vec<u8>,
    digest: Sha256,
    bytes: u64,
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if !self.head.is_empty() {
            let count = self.head.len().min(into.len());
            into[..count].copy_from_slice(&self.head[..count]);
            self.head.drain(..count);
            return Ok(count);
        }
        let count = self.inner.read(into)?;
        self.digest.update(&into[..count]);
        self.bytes += count as u64;
        Ok(count)
    }
}

impl<R: Read> HashingReader<R> {
    /// Reads the first bytes, to be given out again by `read`.
    fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        let mut head = vec![0; count];
        let mut filled = 0;
        while filled < count {
            match self.read(&mut head[filled..])? {
                0 => break,
                more => filled += more,
            }
        }
        head.truncate(filled);
        self.head = head;
        Ok(&self.head)
    }
}

/// Formats that are recognised in order to say what to do about them.
const FOREIGN: [(&[u8], &str); 6] = [
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"BZh", "bzip2"),
    (b"PK\x03\x04", "zip"),
    (b"PAR1", "Parquet"),
    (b"\x89HDF", "HDF5"),
];

impl LineReader {
    /// Opens a file and tells plain text from gzip by its first bytes.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let io = |source| Error::Io {
            path: name.clone(),
            source,
        };
        let mut raw = HashingReader {
            inner: File::open(path).map_err(io)?,
            head: Vec::new(),
            digest: Sha256::new(),
            bytes: 0,
        };
        let head = raw.peek(8).map_err(io)?;
        if let Some((_, format)) = FOREIGN.iter().find(|(magic, _)| head.starts_with(magic)) {
            return Err(Error::invalid(
                "path",
                "plain text or gzip",
                format!("{format} data in {name}"),
            ));
        }
        let source = if head.starts_with(b"\x1f\x8b") {
            Source::Gzip(Box::new(MultiGzDecoder::new(BufReader::with_capacity(
                READ_BYTES / 4,
                raw,
            ))))
        } else {
            Source::Plain(raw)
        };
        Ok(Self {
            path: name,
            source,
            buffer: vec![0; READ_BYTES],
            start: 0,
            end: 0,
            number: 0,
            text_bytes: 0,
            state: State::Reading,
        })
    }

    /// The next item, or `None` at the end. Fails only if the file itself cannot be read on.
    pub fn next_item(&mut self) -> Result<Option<Item<'_>>> {
        let mut searched = self.start;
        while self.state != State::Ended {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer[searched..self.end]) {
                let (from, to) = (self.start, searched + at);
                self.start = to + 1;
                searched = self.start;
                self.number += 1;
                if self.state == State::Skipping {
                    self.state = State::Reading;
                    continue;
                }
                let to = trimmed_end(&self.buffer[from..to]) + from;
                if to - from > LINE_BYTES_MAX {
                    return Ok(Some(Item::TooLong {
                        number: self.number,
                    }));
                }
                if from < to {
                    return Ok(Some(self.line(from, to)));
                }
                continue;
            }
            if self.state == State::Skipping {
                (self.start, self.end) = (0, 0);
            } else if self.end - self.start > LINE_BYTES_MAX {
                self.state = State::Skipping;
                (self.start, self.end) = (0, 0);
                return Ok(Some(Item::TooLong {
                    number: self.number + 1,
                }));
            }
            searched = self.end - self.start;
            match self.fill() {
                Ok(0) => return self.finish(),
                Ok(_) => {}
                Err(error) if is_gzip_damage(&self.source, &error) => {
                    return self.damaged(&error).map(Some);
                }
                Err(source) => return Err(self.io(source)),
            }
        }
        Ok(None)
    }

    fn line(&self, from: usize, to: usize) -> Item<'_> {
        Item::Line {
            number: self.number,
            bytes: &self.buffer[from..to],
        }
    }

    /// Moves what is left to the front of the buffer and reads more behind it.
    fn fill(&mut self) -> io::Result<usize> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() - self.end < READ_BYTES / 2 {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        loop {
            match self.source.read(&mut self.buffer[self.end..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(count) => {
                    self.end += count;
                    self.text_bytes += count as u64;
                    return Ok(count);
                }
            }
        }
    }

    /// The end of the file: a last line may lack its line break.
    fn finish(&mut self) -> Result<Option<Item<'_>>> {
        let skipping = self.state == State::Skipping;
        self.state = State::Ended;
        self.drain()?;
        let from = self.start;
        let to = trimmed_end(&self.buffer[from..self.end]) + from;
        if skipping || from == to {
            return Ok(None);
        }
        self.number += 1;
        Ok(Some(self.line(from, to)))
    }

    /// The compressed data broke off: what came before is kept, the line it broke off in is not.
    fn damaged(&mut self, error: &io::Error) -> Result<Item<'static>> {
        self.state = State::Ended;
        let what = if error.kind() == io::ErrorKind::UnexpectedEof {
            "the gzip data ends early".to_owned()
        } else {
            format!("the gzip data is damaged ({error})")
        };
        let at = self.source.raw().bytes;
        self.drain()?;
        Ok(Item::Damage {
            number: self.number + 1,
            reason: format!("{what}, at or before compressed byte {at}"),
        })
    }

    /// Reads what the decompressor left, so that the hash covers the whole file.
    fn drain(&mut self) -> Result<()> {
        let copied = io::copy(self.source.raw(), &mut io::sink());
        copied.map(|_| ()).map_err(|source| self.io(source))
    }

    fn io(&self, source: io::Error) -> Error {
        Error::Io {
            path: self.path.clone(),
            source,
        }
    }

    /// Bytes of the file read so far.
    pub fn source_bytes(&mut self) -> u64 {
        self.source.raw().bytes
    }

    /// Bytes of text read so far, after decompression.
    pub fn text_bytes(&self) -> u64 {
        self.text_bytes
    }

    /// SHA-256 of the file in lower-case hexadecimal; of the whole file once the end was reached.
    pub fn sha256(&mut self) -> String {
        use std::fmt::Write;
        let digest = self.source.raw().digest.clone().finalize();
        digest.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

fn trimmed_end(bytes: &[u8]) -> usize {
    bytes.trim_ascii_end().len()
}

fn is_gzip_damage(source: &Source, error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    matches!(source, Source::Gzip(_))
        && matches!(error.kind(), UnexpectedEof | InvalidInput | InvalidData)
}
