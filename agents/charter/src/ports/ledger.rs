//! Durable truth: what is written to it.

use super::{Query, Rows};
use crate::content::Content;
use crate::digest::Digest;
use crate::event::Event;
use crate::flow::{Flow, Lane, Priority};
use crate::ids::{Millis, StepKey, StreamId, TenantId, TransitionId};
use crate::leader::{Bid, LeaderRow};
use crate::tool::Process;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// What the ledger refuses or fails at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum LedgerError {
    /// The events do not fit what is true now: somebody else was first, the
    /// fencing token is stale, or the step is done. Nothing was written.
    #[error("the ledger refuses the change: {0}")]
    Conflict(String),
    /// What was named does not exist, or belongs to another tenant.
    #[error("{0} was not found")]
    NotFound(String),
    /// The store could not be reached or failed; it is not known whether the
    /// change was written. Committing the same transition again is safe.
    #[error("the ledger could not {operation}: {cause}")]
    Store {
        /// What was tried.
        operation: String,
        /// Why it failed.
        cause: String,
    },
    /// The disk is full, or below the floor for new intents.
    #[error("the disk that holds the ledger is full: {0}")]
    DiskFull(String),
    /// What is stored cannot be read: damaged, or from a newer version.
    #[error("the ledger cannot be read: {0}")]
    Damaged(String),
}

/// The right to write about a step: void as soon as the step is claimed again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// The step.
    pub step: StepKey,
    /// The token of the claim.
    pub token: u64,
}

/// What a transition does to the lease of its fenced step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum LeaseChange {
    /// Leaves it alone.
    Keep,
    /// Takes it. Comes with [`Event::StepClaimed`].
    Take {
        /// The worker's own process.
        holder: Process,
        /// When it runs out unless renewed.
        expires_at: Millis,
        /// The step that was looked at: a plan may have put another in its place since
        /// then, which this claim does not get.
        #[serde(default)]
        of: Option<Digest>,
    },
    /// Gives it back.
    Release,
}

/// Every durable change is one of these, applied in one transaction with all
/// that follows from it: rows, contents, leases, outbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// Its name: a second commit under the same name changes nothing and
    /// succeeds.
    pub id: TransitionId,
    /// Whose it is.
    pub tenant: TenantId,
    /// When.
    pub at: Millis,
    /// Refused unless this claim is in force. A transition that takes a lease
    /// names the new token here.
    pub fence: Option<Fence>,
    /// What happens to the fenced step's lease.
    pub lease: LeaseChange,
    /// Refused unless this is the term of the leader: what only a leader may commit.
    pub term: Option<u64>,
    /// What happened, in order.
    pub events: Vec<(StreamId, Event)>,
    /// Texts that the events refer to.
    pub contents: Vec<Content>,
}

/// A transition is on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// Position of its last event.
    pub position: i64,
    /// Steps that became ready with it, with the time from which they may run.
    pub ready: Vec<(StepKey, Millis)>,
}

/// What a renewal finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseStatus {
    /// It is still held.
    Held,
    /// It is still held, and the mission was cancelled or stopped: end the step.
    Cancelled,
    /// Somebody else has the step: stop, and write nothing.
    Lost,
}

/// A lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRow {
    /// The step.
    pub step: StepKey,
    /// Whose it is.
    pub tenant: TenantId,
    /// The token of the claim.
    pub token: u64,
    /// The worker's own process.
    pub holder: Process,
    /// Programs that it started for this step and that may still run.
    pub programs: Vec<Process>,
    /// When it runs out.
    pub expires_at: Millis,
}

/// A step that waits to be put on the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxRow {
    /// Position in the outbox, ascending; 0 for a step that is not there.
    pub id: i64,
    /// Whose it is.
    pub tenant: TenantId,
    /// The step.
    pub step: StepKey,
    /// What it needs most.
    #[serde(default)]
    pub lane: Lane,
    /// How urgent its mission is.
    #[serde(default)]
    pub priority: Priority,
    /// From when on it may run.
    pub due_at: Millis,
}

impl OutboxRow {
    /// The line that it stands in.
    pub fn flow(&self) -> Flow {
        Flow { lane: self.lane, priority: self.priority, tenant: self.tenant.clone() }
    }
}

/// Counts of the whole ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerSize {
    /// Events.
    pub events: u64,
    /// Missions.
    pub missions: u64,
    /// Position of the newest event.
    pub position: i64,
}

/// Durable truth.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Applies a transition: all of it or nothing, on disk before it returns.
    async fn commit(&self, transition: Transition) -> Result<Committed, LedgerError>;

    /// Answers a question from what is committed. `tenant` bounds every query
    /// that does not say that it is for all tenants.
    async fn query(&self, tenant: &TenantId, query: Query) -> Result<Rows, LedgerError>;

    /// Extends a lease. Never through the queue of commits of a busy worker's
    /// own making: a slow step must not cost its lease.
    async fn renew(&self, fence: &Fence, expires_at: Millis) -> Result<LeaseStatus, LedgerError>;

    /// Notes a program that the step started, before it may act, or that it
    /// ended (`running` false).
    async fn note_program(
        &self,
        fence: &Fence,
        program: &Process,
        running: bool,
    ) -> Result<(), LedgerError>;

    /// Takes or keeps the office of the leader, if that is free. Returns who leads
    /// now. Like a renewal it waits for nobody who commits, unless the office changes
    /// hands.
    async fn lead(&self, bid: &Bid) -> Result<LeaderRow, LedgerError>;

    /// Takes rows off the outbox after the queue has them.
    async fn outbox_done(&self, ids: &[i64]) -> Result<(), LedgerError>;

    /// Waits until the newest position is larger than `after`, at most
    /// `wait_ms`, and returns the newest position.
    async fn changed(&self, after: i64, wait_ms: u64) -> Result<i64, LedgerError>;
}
