//! Durable truth: events in hash chains, the rows derived from them, texts kept
//! apart, leases and the outbox.
//!
//! [`SqliteLedger`] keeps it in a file, [`PgLedger`] in a database that many
//! processes share, [`MemoryLedger`] is their twin for simulation; all decide with
//! the same pure functions ([`projection`]), so they cannot disagree on what is
//! legal. [`audit`] tells whether a file was
//! tampered with; [`keys`] holds the key that signs its checkpoints.

pub mod audit;
mod chain;
pub mod household;
pub mod keys;
mod led;
mod limits;
mod postgres;
pub mod projection;
mod sql;
mod sqlite;
pub mod transfer;
mod transition;
mod twin;

pub use chain::{Checkpoint, Head};
pub use ed25519_dalek::{SigningKey, VerifyingKey};
pub use led::Led;
pub use postgres::{PgAddress, PgDurability, PgLedger};
pub use sqlite::{Durability, FREE_FLOOR_BYTES, SqliteLedger, SqliteOptions};
pub use twin::MemoryLedger;
