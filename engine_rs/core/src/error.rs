//! The core's one error type.

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
        name: &'static str,
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
        name: &'static str,
        expected: impl Into<String>,
        found: impl std::fmt::Display,
    ) -> Self {
        Self::Invalid {
            name,
            expected: expected.into(),
            found: found.to_string(),
        }
    }
}
