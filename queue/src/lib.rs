//! Delivery: which step a worker looks at next.
//!
//! The queue carries names of steps and wakes workers; it is a doorbell and
//! holds no truth. Claims, leases, fences, retries, backoff and dead letters are
//! rows of the ledger. A name on the queue may therefore be lost, doubled or
//! stale without harm: the worker that takes it asks the ledger, and the
//! [`Relay`] rings again whatever is ready and not on the queue.
//!
//! ```text
//! ledger ── outbox rows ──> Relay ── ring ──> Queue ── take ──> Consumer ──> handler
//!    └───── ready steps ───> (sweep)
//! ```
//!
//! The worker is apalis'; its storage is ours. The stock `apalis-sqlite` 1.0
//! cannot hold what is asked here, for reasons found in its source:
//!
//! - `poll_with_stream` forgets a wake-up that arrives while a fetch is under
//!   way, so that a step waits for the next tick although its bell was rung.
//!   [`QueueBackend`] remembers it and fetches once more.
//! - A worker ends with the first error of its storage, a busy file included,
//!   and drops what it was running.
//! - An idempotency key holds until the row is deleted, not until the row is
//!   taken, so that a step could not be rung again while its last ring runs.
//! - A row counts as due when the wall clock says so: after the clock was set
//!   back, nothing is due for a while.
//! - Each task costs three write transactions and leaves a row that a dead
//!   worker keeps in `Running`. Here taking is one statement that deletes the
//!   row, so that there is nothing to heartbeat, to acknowledge or to vacuum.
//!
//! [`Queue`] has three operations; behind it stand a file ([`SqliteDoorbell`]) and
//! a Redis ([`RedisQueue`]). The stock `apalis-redis` 1.0 cannot hold what is asked
//! either: a backlog of some 8,000 due tasks ends its worker for good, its attempts
//! are fixed at 25, and its bell is never rung.

use async_trait::async_trait;
use charter::ids::StepKey;
use charter::ports::{Doorbell, DoorbellError};

mod backend;
mod backoff;
mod consumer;
#[cfg(test)]
#[path = "../tests/common/redis.rs"]
mod harness;
mod pace;
mod redis;
mod relay;
#[cfg(test)]
mod speed;
mod sqlite;
#[cfg(test)]
mod suite;
#[cfg(test)]
mod testing;

pub use backend::QueueBackend;
pub use consumer::{Consumer, Drained};
pub use redis::{AddressError, Finding, Level, RedisAddress, RedisQueue};
pub use relay::{Relay, RelayError, RelayStatus};
pub use sqlite::SqliteDoorbell;

/// A doorbell with both sides: steps are rung on one and taken on the other.
///
/// Ringing a step that still waits changes nothing. A step that was taken can
/// be rung again at once.
#[async_trait]
pub trait Queue: Doorbell {
    /// How many steps wait.
    async fn depth(&self) -> Result<u64, DoorbellError>;

    /// Takes the step that waits longest, if any waits. Nobody else gets it; if
    /// the taker dies, the ledger knows that the step is still ready.
    async fn take(&self) -> Result<Option<StepKey>, DoorbellError>;
}

/// Waits until the value is true or nobody can change it any more.
async fn stopped(shutdown: &mut tokio::sync::watch::Receiver<bool>) {
    // A sender that is gone means the same as one that says stop.
    let _ = shutdown.wait_for(|stop| *stop).await;
}
