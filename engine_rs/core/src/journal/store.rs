//! Where a journal's segments lie: a folder, or memory that fails when told to.

use crate::error::Result;

/// Suffix of a segment that is written, or is complete and not compressed yet.
const OPEN: &str = ".journal";
/// Suffix of a compressed segment.
const PACKED: &str = ".journal.zst";
/// Suffix of a file that is being made and stands for nothing yet.
pub(super) const UNFINISHED: &str = ".tmp";

/// Files of a journal. One of them is open for appending at a time.
pub trait Store: Send + Sync {
    /// Names of all files, in any order.
    fn list(&self) -> Result<Vec<String>>;
    /// All bytes of a file, decompressed where its name says that it is compressed.
    fn read(&self, name: &str) -> Result<Vec<u8>>;
    /// Makes an empty file and opens it for appending.
    fn create(&mut self, name: &str) -> Result<()>;
    /// Cuts a file to its first `len` bytes and opens it for appending.
    fn reopen(&mut self, name: &str, len: usize) -> Result<()>;
    /// Appends to the open file. After an error an unknown part of the bytes may have been written.
    fn append(&mut self, bytes: &[u8]) -> Result<()>;
    /// Everything appended so far is on the disk when this returns.
    fn sync(&mut self) -> Result<()>;
    /// A file is complete and on the disk: it may be compressed, in time.
    fn pack(&mut self, name: &str) -> Result<()>;
    /// Returns when nothing is being compressed any more.
    fn settle(&mut self) -> Result<()>;
    /// Removes a file.
    fn remove(&mut self, name: &str) -> Result<()>;
    /// What messages call a file of this name.
    fn describe(&self, name: &str) -> String;
}

/// The file of a segment while it is written.
pub(super) fn open_name(number: u64) -> String {
    format!("{number:06}{OPEN}")
}

/// The file of the same segment when it is compressed.
pub(super) fn packed_name(open: &str) -> String {
    format!("{open}.zst")
}

/// Whether a file is a compressed segment.
pub(super) fn is_packed(name: &str) -> bool {
    name.ends_with(PACKED)
}

/// The number of the segment that a file holds, if it is one.
pub(super) fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(PACKED).or(name.strip_suffix(OPEN))?;
    (digits.len() >= 6 && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| digits.parse().ok())
        .flatten()
}
