//! Cobalt's trading kernel. Pure Rust: nothing here knows Python, reads a wall clock or a global
//! random source; clocks and seeds are passed in.

pub mod bars;
pub mod book;
pub mod canary;
pub mod catalog;
pub mod chart;
pub mod cob;
pub mod decimal;
pub mod decode;
pub mod error;
pub mod event;
pub mod exchange;
pub mod flow;
pub mod import;
pub mod indicators;
pub mod instrument;
pub mod journal;
pub mod kernel;
pub mod l3;
pub mod ladder;
pub mod ledger;
pub mod margin;
pub mod money;
pub mod order;
pub mod pivots;
pub mod portfolio;
pub mod random;
pub mod ring;
pub mod risk;
pub mod testnet;
pub mod ticks;
pub mod verify;

pub use error::{Error, Result};
pub use event::{Event, EventKind, Side};
