//! The bells: of steps that are ready, and of what happened.

use crate::envelope::Envelope;
use crate::flow::Lane;
use crate::ids::{StepKey, TenantId};
use async_trait::async_trait;

/// Says that a step is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ring {
    /// Whose it is.
    pub tenant: TenantId,
    /// The step.
    pub step: StepKey,
    /// Where it waits.
    pub lane: Lane,
    /// Its place there: the smallest goes first.
    pub rank: u64,
}

/// Wakes workers. Only a bell: what is true stands in the ledger, and a lost or
/// repeated ring does no harm.
#[async_trait]
pub trait Doorbell: Send + Sync {
    /// Puts steps on the queue.
    async fn ring(&self, rings: &[Ring]) -> Result<(), DoorbellError>;
}

/// The queue could not be reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the queue could not {operation}: {cause}")]
pub struct DoorbellError {
    /// What was tried.
    pub operation: String,
    /// Why it failed.
    pub cause: String,
}

/// Tells of events as soon as they are committed, sooner and cheaper than by asking the
/// ledger. It may leave some out, and all of them at times: positions have no gaps, so
/// whoever listens notices, and asks the ledger.
#[async_trait]
pub trait Live: Send + Sync {
    /// Events behind a position, in order, as soon as there is one; none after
    /// `wait_ms` without.
    async fn next(&self, after: i64, wait_ms: u64) -> Result<Vec<Envelope>, DoorbellError>;
}
