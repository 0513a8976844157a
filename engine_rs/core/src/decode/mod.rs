//! Venue messages to event rows. No I/O: the same decoder serves files, sockets and tests.

pub mod binance;
mod fields;

pub use binance::{Binance, Market};

use thiserror::Error as ThisError;

/// Why a message cannot be used. It concerns this one message only.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes are not text.
    #[error("not UTF-8 text: byte {at} is invalid")]
    NotText {
        /// Offset of the first invalid byte.
        at: usize,
    },
    /// The text is not one JSON object.
    #[error("not JSON: {detail}")]
    NotJson {
        /// What the JSON reader met.
        detail: String,
    },
    /// A field is missing, of the wrong type or out of range.
    #[error("{field}: expected {expected}, found {found}")]
    Field {
        /// The venue's name of the field.
        field: String,
        /// What would have been accepted.
        expected: String,
        /// What stood there.
        found: String,
    },
    /// The message is of another instrument.
    #[error("{field}: expected the symbol {expected}, found {found}")]
    OtherSymbol {
        /// The venue's name of the field.
        field: &'static str,
        /// The symbol of the instrument asked for.
        expected: String,
        /// The symbol of the message.
        found: String,
    },
}

impl DecodeError {
    pub(crate) fn field(
        field: impl Into<String>,
        expected: impl Into<String>,
        found: impl std::fmt::Display,
    ) -> Self {
        Self::Field {
            field: field.into(),
            expected: expected.into(),
            found: clip(&found.to_string()),
        }
    }
}

/// What a decoded message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// Changed levels of the book.
    Depth,
    /// A whole book.
    Snapshot,
    /// A trade on the book.
    Trade,
    /// A trade that never happened on the book.
    OffBookTrade,
    /// The venue's own best bid and ask.
    Quote,
    /// A valid message that is of no use here; its name.
    Other(&'static str),
}

/// Most characters of a venue's text that an error repeats.
const SHOWN_MAX: usize = 60;

/// Text short enough for an error message.
pub(crate) fn clip(text: &str) -> String {
    if text.chars().count() <= SHOWN_MAX {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(SHOWN_MAX).collect();
    short.push('…');
    short
}
