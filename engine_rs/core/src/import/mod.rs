//! From raw recordings to rows: lines, snapshot join, duplicates, clocks. The catalog that the rows
//! go to is written in Python.

mod importer;
mod joiner;
mod lines;
mod recording;
mod survey;

pub use importer::{ImportCounts, ImportState, Importer, Source, Streams};
pub use joiner::{JoinCounts, JoinState, Joiner};
pub use lines::{Item, LineReader};
pub use recording::{BrokenLine, Message, Record, Recording};
pub use survey::{BROKEN_SHOWN_MAX, Findings, Survey};
