//! Why a data folder cannot be used.

use super::wire;
use charter::ports::LedgerError;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// What keeps a process from owning a data folder or attaching to its owner.
#[derive(Debug, thiserror::Error)]
pub enum HouseholdError {
    /// The data folder cannot be made or read.
    #[error("could not prepare the data folder {path}")]
    Home {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The data folder belongs to somebody else.
    #[error("the data folder {path} belongs to user {uid}: name one of your own")]
    OthersHome {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        uid: u32,
    },
    /// The lock cannot be made or tried.
    #[error("could not try the lock {path}")]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The socket cannot be made or reached.
    #[error("could not use the socket {path}")]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something else has the socket's name.
    #[error("{0} is in the way: it is no socket; move it elsewhere")]
    InTheWay(PathBuf),
    /// The lock was free, yet somebody answers.
    #[error(
        "another process answers on {path} although the lock is free: was owner.lock deleted? End that process first"
    )]
    TwoOwners {
        /// The socket.
        path: PathBuf,
    },
    /// The ledger cannot be opened.
    #[error("could not open the ledger")]
    Ledger(#[from] LedgerError),
    /// The owner runs another version.
    #[error(
        "the process that owns the data folder runs version {theirs} of Alma, this is {}: end it, or use the same version",
        wire::VERSION
    )]
    Version {
        /// The owner's version.
        theirs: String,
    },
    /// The owner does not want this process.
    #[error("the process that owns the data folder refused: {0}")]
    Refused(String),
    /// Somebody holds the lock and does not answer.
    #[error(
        "the process that owns {home} ({holder}) did not answer on its socket within {} s: is it stopped or stuck?", .waited.as_secs()
    )]
    Silent {
        /// The data folder.
        home: PathBuf,
        /// What the holder of the lock wrote about itself.
        holder: String,
        /// How long was waited.
        waited: Duration,
    },
}
