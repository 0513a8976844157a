//! Cobalt's trading kernel. Pure Rust: nothing here knows Python, reads a wall clock or a global
//! random source; clocks and seeds are passed in.

pub mod book;
pub mod catalog;
pub mod decimal;
pub mod decode;
pub mod error;
pub mod event;
pub mod import;
pub mod instrument;
pub mod ladder;
pub mod verify;

pub use error::{Error, Result};
pub use event::{Event, EventKind, Side};
