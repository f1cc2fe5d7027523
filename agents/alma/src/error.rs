//! Why an operation gave no response.

use charter::content::ContentError;
use charter::digest::DigestError;
use charter::ports::LedgerError;
use charter::tool::ToolError;
use serde::Serialize;

/// An operation that could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request is wrong: usage or configuration.
    #[error("{0}")]
    Usage(String),
    /// What was named does not exist.
    #[error("{0} was not found")]
    NotFound(String),
    /// The wish cannot be planned, or policy denies it.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// What is asked does not fit how things stand.
    #[error("{0}")]
    Conflict(String),
    /// The name of a request was given to another request before.
    #[error("the key {0:?} was used for another request; give every request a key of its own")]
    KeyReused(String),
    /// The ledger failed.
    #[error("could not {operation}")]
    Ledger {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: LedgerError,
    },
    /// A tool failed.
    #[error("could not {operation}")]
    Tool {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: ToolError,
    },
    /// Something of this machine failed.
    #[error("could not {operation}: {cause}")]
    Machine {
        /// What was tried.
        operation: String,
        /// Why it failed.
        cause: String,
    },
}

/// Why a wish is refused: what is missing, and what could be had instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// In one or two sentences.
    pub message: String,
    /// What nothing here covers, in the user's own words.
    pub missing: Vec<String>,
    /// The nearest that can be done.
    pub nearest: Vec<String>,
}

impl From<LedgerError> for Error {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::NotFound(what) => Self::NotFound(what),
            LedgerError::Conflict(why) => Self::Conflict(why),
            source => Self::Ledger { operation: "use the ledger", source },
        }
    }
}

impl From<ContentError> for Error {
    fn from(error: ContentError) -> Self {
        Self::Machine { operation: "store a text".to_owned(), cause: error.to_string() }
    }
}

impl From<DigestError> for Error {
    fn from(error: DigestError) -> Self {
        Self::Machine { operation: "digest a value".to_owned(), cause: error.to_string() }
    }
}

impl From<ToolError> for Error {
    fn from(source: ToolError) -> Self {
        Self::Tool { operation: "look at the files", source }
    }
}
