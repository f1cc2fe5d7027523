//! Vectors of memories: qdrant-edge behind a small API, with nothing that a
//! person could read in it.
//!
//! A point is a dense vector and weighted terms (hashes, for BM25), without a
//! payload. Texts stay in the ledger, and so does truth: the store notes
//! up to which event of each tenant it was built ([`Store::marks`]), and whoever
//! feeds it goes on from there. A store that is missing, damaged, of another
//! embedder or of another layout is thrown away and comes back empty.
//!
//! Beside the engine's files lies `state`: the marks, and the [`Facts`] of every
//! point, which ranking needs for far more points than are shown and by which
//! filters decide. It is written
//! after the engine has flushed, in one piece. What the engine holds beyond it,
//! after a kill, is written again with the same content: every change is
//! idempotent.
//!
//! Every vector is compared: exact, and 10 ms for fifty thousand. The engine never
//! works in the background; [`Store::flush`] and [`Store::compact`] block, and the
//! caller says when.

mod engine;
mod error;
mod key;
mod state;
mod store;

pub use error::VectorError;
pub use key::hash;
pub use state::{Facts, Place};
pub use store::{Filter, Memory, Opened, Settings, Store};
