//! The core's one error type.

use std::borrow::Cow;

use thiserror::Error as ThisError;

/// Shorthand for results of the core.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong in the core. Each message names the parameter, what was expected
/// and what was found.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// A value given by the caller is not usable.
    #[error("{name}: expected {expected}, found {found}")]
    Invalid {
        /// The parameter or field.
        name: Cow<'static, str>,
        /// What would have been accepted.
        expected: String,
        /// What was given.
        found: String,
    },
    /// A decimal text is not a whole number of steps (ticks or lots).
    #[error("{found:?} is not a multiple of the step {step}")]
    NotOnStep {
        /// The text as given.
        found: String,
        /// The step it should be a multiple of.
        step: String,
    },
    /// The engine's own books do not add up: a fault of the engine, which ends the run.
    #[error("{place}: the engine's books do not add up: expected {expected}, found {found}")]
    Inconsistent {
        /// The instrument, order or currency concerned.
        place: String,
        /// What should have been.
        expected: String,
        /// What was.
        found: String,
    },
    /// A file is not as it was written.
    #[error("{name}: damaged at byte {offset}: expected {expected}, found {found}")]
    Damaged {
        /// The file.
        name: String,
        /// Where in it, or in its content where that is compressed.
        offset: usize,
        /// What should have been there.
        expected: String,
        /// What was.
        found: String,
    },
    /// A run that has happened before happens otherwise.
    #[error(
        "journal record {seq}: the run differs from its journal: expected {expected}, found {found}"
    )]
    Diverged {
        /// The record.
        seq: u64,
        /// What it holds.
        expected: String,
        /// What happened.
        found: String,
    },
    /// Reading or writing failed.
    #[error("{path}: {source}")]
    Io {
        /// The file concerned.
        path: String,
        /// The operating system's error.
        source: std::io::Error,
    },
}

impl Error {
    /// An [`Error::Invalid`] from anything that can be shown.
    pub fn invalid(
        name: impl Into<Cow<'static, str>>,
        expected: impl Into<String>,
        found: impl std::fmt::Display,
    ) -> Self {
        Self::Invalid {
            name: name.into(),
            expected: expected.into(),
            found: found.to_string(),
        }
    }
}
