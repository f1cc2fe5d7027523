//! What can go wrong with the store.

use charter::ids::MemoryId;
use std::path::PathBuf;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum VectorError {
    /// A file or folder of the store.
    #[error("the vector store could not {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// Where.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The disk is nearly full.
    #[error(
        "the vector store in {} needs {} MiB of free disk space and there are {}: free some; \
         what happens meanwhile is taken in then",
        folder.display(), floor >> 20, free >> 20
    )]
    NoRoom {
        /// The store's folder.
        folder: PathBuf,
        /// Bytes that are free.
        free: u64,
        /// Bytes that are needed.
        floor: u64,
    },
    /// Another process has it open.
    #[error("the vector store in {} is in use by another process", folder.display())]
    InUse {
        /// The store's folder.
        folder: PathBuf,
    },
    /// The engine refused or failed.
    #[error("the vector store could not {operation}: {cause}")]
    Engine {
        /// What was tried.
        operation: &'static str,
        /// What the engine says.
        cause: String,
    },
    /// The state cannot be written.
    #[error("the vector store could not write its state down")]
    Encode(#[source] rmp_serde::encode::Error),
    /// A vector of another length, or with a component that is no number.
    #[error(
        "the vector of memory {memory} is not {expected} finite numbers (it has {found}); \
         is it from another embedder?"
    )]
    Vector {
        /// Whose vector.
        memory: MemoryId,
        /// What the store was made for.
        expected: usize,
        /// What came.
        found: usize,
    },
    /// A query vector of another length.
    #[error("the query has {found} numbers and the store's vectors have {expected}")]
    Query {
        /// What the store was made for.
        expected: usize,
        /// What came.
        found: usize,
    },
}
