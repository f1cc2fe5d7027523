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
//! Each lane has a waiting line and takers of its own, so that what is slow holds up
//! nothing else; within a line the relay gives places by weight ([`fair`]).
//!
//! [`Queue`] has three operations; behind it stand a file ([`SqliteDoorbell`]) and
//! a Redis ([`RedisQueue`]), which the record itself stands in for while it is away
//! ([`Fallback`]). The stock `apalis-redis` 1.0 cannot hold what is asked
//! either: a backlog of some 8,000 due tasks ends its worker for good, its attempts
//! are fixed at 25, and its bell is never rung.

use async_trait::async_trait;
use charter::flow::Lane;
use charter::ports::{Doorbell, DoorbellError, Ring};

mod backend;
mod backoff;
mod consumer;
mod fair;
mod fallback;
#[cfg(test)]
#[path = "../tests/common/redis.rs"]
mod harness;
mod pace;
mod publisher;
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
pub use consumer::{Consumer, Drained, Gate};
pub use fair::Weights;
pub use fallback::Fallback;
pub use publisher::Publisher;
pub use redis::{AddressError, Finding, Level, RedisAddress, RedisEvents, RedisQueue};
pub use relay::{Relay, RelayError, RelayStatus};
pub use sqlite::SqliteDoorbell;

/// A doorbell with both sides: steps are rung on one and taken on the other.
///
/// Ringing a step that still waits changes nothing. A step that was taken can
/// be rung again at once.
#[async_trait]
pub trait Queue: Doorbell {
    /// What waits in a lane.
    async fn line(&self, lane: Lane) -> Result<Line, DoorbellError>;

    /// Takes the first step of a lane, if any waits. Nobody else gets it; if the
    /// taker dies, the ledger knows that the step is still ready.
    async fn take(&self, lane: Lane) -> Result<Option<Ring>, DoorbellError>;
}

/// What waits in a lane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Line {
    /// How many steps.
    pub waiting: u64,
    /// The rank of the first one.
    pub head: Option<u64>,
}

/// Waits until the value is true or nobody can change it any more.
async fn stopped(shutdown: &mut tokio::sync::watch::Receiver<bool>) {
    // A sender that is gone means the same as one that says stop.
    let _ = shutdown.wait_for(|stop| *stop).await;
}
