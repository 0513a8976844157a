//! The journal of a run: an append-only log of records in one total order, in segments.
//!
//! A journal is a folder. Records are framed by length and checksum, so that a torn tail is seen and
//! cut at the last whole record; each segment ends with the SHA-256 of its bytes, which the next one
//! begins with, so that no segment can be changed, dropped or exchanged unnoticed. Closed segments
//! are compressed. The layout is in `docs/journal.md`, byte by byte; what the payload of each kind
//! of record holds is the business of the parts that write it.

mod folder;
mod frame;
mod memory;
mod reader;
mod records;
mod recovery;
mod store;
mod writer;

pub use folder::Folder;
pub use frame::{HEADER_LEN, PAYLOAD_MAX, Record, SEAL};
pub use memory::{Fault, Memory};
pub use reader::Segment;
pub(crate) use reader::hex;
pub use records::Records;
pub use recovery::{Cut, Recovered, recover};
pub use store::Store;
pub use writer::{Durability, Options, Writer};

#[cfg(test)]
mod tests;
