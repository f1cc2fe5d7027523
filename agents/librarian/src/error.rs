//! Why the Librarian could not do something.

use crate::ask::Refusal;
use charter::content::ContentError;
use charter::ports::LedgerError;
use vectors::VectorError;

/// Something that she could not do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request is wrong.
    #[error("{0}")]
    Usage(String),
    /// What is asked does not fit how things stand.
    #[error("{0}")]
    Conflict(String),
    /// The ledger failed.
    #[error("the Librarian could not {operation}")]
    Ledger {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: LedgerError,
    },
    /// The index failed.
    #[error("the Librarian could not use her index")]
    Index(#[from] VectorError),
    /// A text cannot be kept or read.
    #[error("the Librarian could not keep or read a text")]
    Content(#[from] ContentError),
    /// The embedder cannot be opened.
    #[error("the Librarian could not open the embedder: {0}")]
    Embedder(String),
    /// The work was broken off.
    #[error("the Librarian's work was broken off: {0}")]
    Broken(String),
}

impl Error {
    /// For `map_err`: what was tried when the ledger failed.
    pub(crate) fn ledger(operation: &'static str) -> impl FnOnce(LedgerError) -> Self {
        move |source| Self::Ledger { operation, source }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Usage(message) => Self::Usage { message },
            Error::Conflict(message) => Self::Conflict { message },
            Error::Ledger { source: LedgerError::NotFound(what), .. } => Self::NotFound { what },
            Error::Ledger { source: LedgerError::Conflict(message), .. } => {
                Self::Conflict { message }
            }
            other => {
                let mut message = other.to_string();
                let mut source = std::error::Error::source(&other);
                while let Some(cause) = source {
                    message = format!("{message}: {cause}");
                    source = cause.source();
                }
                Self::Failed { message }
            }
        }
    }
}
