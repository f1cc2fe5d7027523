//! The ports: traits behind which the outside world stands. Each has at least
//! two real implementations, one of them for simulation.

use crate::approval::ApprovalState;
use crate::check::{Subject, Verdict};
use crate::content::Content;
use crate::digest::Digest;
use crate::effect::Target;
use crate::envelope::Envelope;
use crate::event::{Event, Recorded};
use crate::flow::{Flow, Lane, Priority};
use crate::ids::{
    ApprovalId, ContentId, Millis, MissionId, StepKey, StreamId, TenantId, TransitionId,
};
use crate::leader::{Bid, LeaderRow};
use crate::mode::{Mode, ModeRow};
use crate::record::{Kept, Record, RecordKey, RecordKind};
use crate::rows::{ApprovalRow, EffectRow, MadeRow, MissionRow, MissionState, StepRow, StepState};
use crate::survey::Survey;
use crate::tool::{Act, Acted, Call, Prepared, Probe, Process, Proposed, ToolError, ToolSpec};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What time it is. Everybody is given a clock; nobody reads the machine's.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch.
    fn now(&self) -> Millis;

    /// Microseconds of processor time of the calling thread so far. A clock that is
    /// no machine's own measures none.
    fn thread_cpu_us(&self) -> u64 {
        0
    }
}

/// Random bytes.
pub trait Entropy: Send + Sync {
    /// Fills the slice.
    fn fill(&self, bytes: &mut [u8]);

    /// Four random bytes.
    fn next_u32(&self) -> u32 {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }
}

/// Bytes that were drawn before, such as those of a digest: a name made of them is
/// the same each time.
pub struct Drawn<'b>(pub &'b [u8]);

impl Entropy for Drawn<'_> {
    fn fill(&self, bytes: &mut [u8]) {
        for (byte, drawn) in bytes.iter_mut().zip(self.0) {
            *byte = *drawn;
        }
    }
}

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

/// A question to the ledger. One enum, so that a process without the file can
/// ask the owner of it the same questions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "ask")]
pub enum Query {
    /// One mission.
    Mission {
        /// Which.
        id: MissionId,
    },
    /// Missions, newest first.
    Missions {
        /// Only those in this state.
        state: Option<MissionState>,
        /// Only those with this [`MissionRow::same`].
        same: Option<Digest>,
        /// Only those older than this one.
        before: Option<MissionId>,
        /// How many at most.
        limit: u32,
    },
    /// One step or instance.
    Step {
        /// Which.
        key: StepKey,
    },
    /// One step or instance with what stands around it, as of one moment.
    Around {
        /// Which.
        step: StepKey,
    },
    /// The steps of a mission in order, instances after their step.
    Steps {
        /// The mission.
        mission: MissionId,
        /// Only those in this state.
        state: Option<StepState>,
        /// Only instances of this step; `None`: no instances at all.
        items_of: Option<u32>,
        /// Only those after this one.
        after: Option<StepKey>,
        /// How many at most.
        limit: u32,
    },
    /// Dead steps of every mission, oldest first.
    DeadSteps {
        /// How many at most.
        limit: u32,
    },
    /// Effects of one step in order.
    EffectsOfStep {
        /// Which.
        step: StepKey,
    },
    /// Effects of a mission in order of steps.
    EffectsOfMission {
        /// Which.
        mission: MissionId,
        /// How many at most.
        limit: u32,
    },
    /// One approval.
    Approval {
        /// Which.
        id: ApprovalId,
    },
    /// Approvals, oldest first.
    Approvals {
        /// Only of this mission.
        mission: Option<MissionId>,
        /// Only those in this state.
        state: Option<ApprovalState>,
        /// How many at most.
        limit: u32,
    },
    /// One text.
    Content {
        /// Which.
        id: ContentId,
    },
    /// Events of a stream in order.
    Events {
        /// The stream.
        stream: StreamId,
        /// Only those with a larger number.
        after: u64,
        /// How many at most.
        limit: u32,
    },
    /// Events of all of the tenant's streams in order, for whoever follows what
    /// happens.
    Happened {
        /// Only those behind this position.
        after: i64,
        /// Only of these kinds, as [`Event::kind`] names them; none: of all.
        kinds: Vec<String>,
        /// How many at most.
        limit: u32,
    },
    /// Whether Alma wrote this file content.
    Made {
        /// [`crate::rows::made_digest`].
        made: Digest,
    },
    /// Steps of all tenants that wait to be put on the queue and are due: the first
    /// of every flow, so that none hides another.
    Outbox {
        /// The time.
        now: Millis,
        /// How many of each flow; fewer where there are very many flows.
        limit: u32,
    },
    /// When the next outbox row that is not due yet will be.
    OutboxNext {
        /// The time.
        now: Millis,
    },
    /// Leases of all tenants.
    Leases,
    /// Steps of all tenants that are ready and due, oldest first.
    ReadySteps {
        /// The time.
        now: Millis,
        /// How many at most.
        limit: u32,
    },
    /// The same steps, the first of every flow, as [`Query::Outbox`] names those that
    /// wait for the queue.
    ReadyByFlow {
        /// The time.
        now: Millis,
        /// How many of each flow; fewer where there are very many flows.
        limit: u32,
    },
    /// Open approvals of all tenants that have expired.
    ExpiredApprovals {
        /// The time.
        now: Millis,
        /// How many at most.
        limit: u32,
    },
    /// Counts.
    Size,
    /// One record.
    Record {
        /// Which.
        key: RecordKey,
    },
    /// Records of a kind, by name: oldest first, or newest first.
    Records {
        /// The kind.
        kind: RecordKind,
        /// Only those that belong to this.
        parent: Option<String>,
        /// Only those in this state.
        state: Option<String>,
        /// Only those behind this name, in the order asked for.
        after: Option<String>,
        /// Newest first.
        newest: bool,
        /// How many at most.
        limit: u32,
    },
    /// Records of all tenants that something is to be done about by now.
    DueRecords {
        /// The time.
        now: Millis,
        /// How many at most.
        limit: u32,
    },
    /// When the next of them will be.
    DueNext,
    /// Names of the texts that hold these bytes, oldest first.
    ContentsWith {
        /// What is looked for; an empty text is found nowhere.
        needle: String,
        /// How many at most.
        limit: u32,
    },
}

/// The answer to a [`Query`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "rows", content = "are")]
pub enum Rows {
    /// Missions.
    Missions(Vec<MissionRow>),
    /// Steps.
    Steps(Vec<StepRow>),
    /// Effects.
    Effects(Vec<EffectRow>),
    /// Approvals.
    Approvals(Vec<ApprovalRow>),
    /// Texts.
    Contents(Vec<Content>),
    /// Events.
    Events(Vec<Recorded>),
    /// Files she made.
    Made(Vec<MadeRow>),
    /// Steps for the queue.
    Outbox(Vec<OutboxRow>),
    /// A point in time.
    When(Option<Millis>),
    /// Leases.
    Leases(Vec<LeaseRow>),
    /// Counts.
    Size(LedgerSize),
    /// Records.
    Records(Vec<Record>),
    /// Names of texts.
    ContentIds(Vec<ContentId>),
    /// A step with what stands around it.
    Around(Option<Box<Around>>),
}

/// A step with what stands around it, as of one moment: what a worker decides on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Around {
    /// The step.
    pub step: StepRow,
    /// Its mission.
    pub mission: MissionRow,
    /// Whether its tenant's work goes on.
    pub mode: Mode,
    /// Its effects in order.
    pub effects: Vec<EffectRow>,
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

/// Receives the programs that a call starts, so that they can be found and
/// killed after a crash.
#[async_trait]
pub trait ProgramWatch: Send + Sync {
    /// A program is about to run; it may act only after this returns.
    async fn started(&self, program: &Process) -> Result<(), ToolError>;
    /// It ended.
    async fn ended(&self, program: &Process);
}

/// The tools of this installation.
#[async_trait]
pub trait Tools: Send + Sync {
    /// What a tool says of itself.
    fn spec(&self, name: &str) -> Option<&ToolSpec>;

    /// All tools, by name.
    fn specs(&self) -> Vec<&ToolSpec>;

    /// Looks, computes, proposes; changes nothing.
    async fn prepare(&self, call: &Call) -> Result<Prepared, ToolError>;

    /// Carries out an act with its idempotency key.
    async fn act(
        &self,
        call: &Call,
        act: &Act,
        key: &Digest,
        watch: &dyn ProgramWatch,
    ) -> Result<Acted, ToolError>;

    /// Asks the target whether an act happened.
    async fn probe(&self, call: &Call, act: &Act, key: &Digest) -> Result<Probe, ToolError>;

    /// Carries out one change of files; refuses with
    /// [`crate::tool::ErrorCode::ChangedSince`] when a target no longer holds
    /// what it held. Returns what the targets hold now.
    async fn apply(&self, call: &Call, proposed: &Proposed) -> Result<Vec<Target>, ToolError>;

    /// What paths hold now.
    async fn look(&self, call: &Call, paths: &[String]) -> Result<Vec<Target>, ToolError>;

    /// Runs the checks that belong to a tool's result.
    async fn check(&self, subject: &Subject) -> Vec<Verdict>;

    /// Makes sure that a program of a dead worker on this host is dead, with its
    /// whole process group. `false`: it cannot be told from here.
    async fn kill(&self, program: &Process) -> bool;

    /// What lies in a workspace, for planning and repair.
    async fn survey(&self, workspace: &std::path::Path) -> Result<Survey, ToolError>;

    /// Paths in the arguments that look like secrets, or lie outside the
    /// workspace: what policy needs to know before the call reads anything.
    fn reach(&self, call: &Call) -> Reach;
}

/// Where a call's reading goes, told from its arguments alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// Named paths that match secret patterns.
    pub secrets: Vec<String>,
    /// Named paths outside the workspace.
    pub outside: Vec<String>,
}

/// Answers typed, for callers that know what they asked.
#[async_trait]
pub trait LedgerExt: Ledger {
    /// One mission, or [`LedgerError::NotFound`].
    async fn mission(&self, tenant: &TenantId, id: &MissionId) -> Result<MissionRow, LedgerError> {
        match self.query(tenant, Query::Mission { id: id.clone() }).await? {
            Rows::Missions(mut rows) if !rows.is_empty() => Ok(rows.remove(0)),
            _ => Err(LedgerError::NotFound(format!("mission {id}"))),
        }
    }

    /// One step, or [`LedgerError::NotFound`].
    async fn step(&self, tenant: &TenantId, key: &StepKey) -> Result<StepRow, LedgerError> {
        match self.query(tenant, Query::Step { key: key.clone() }).await? {
            Rows::Steps(mut rows) if !rows.is_empty() => Ok(rows.remove(0)),
            _ => Err(LedgerError::NotFound(format!("step {key}"))),
        }
    }

    /// One step with what stands around it, or [`LedgerError::NotFound`].
    async fn around(&self, tenant: &TenantId, step: &StepKey) -> Result<Around, LedgerError> {
        match self.query(tenant, Query::Around { step: step.clone() }).await? {
            Rows::Around(Some(around)) => Ok(*around),
            _ => Err(LedgerError::NotFound(format!("step {step}"))),
        }
    }

    /// The effects of a step.
    async fn effects(
        &self,
        tenant: &TenantId,
        step: &StepKey,
    ) -> Result<Vec<EffectRow>, LedgerError> {
        match self.query(tenant, Query::EffectsOfStep { step: step.clone() }).await? {
            Rows::Effects(rows) => Ok(rows),
            other => Err(unexpected(&other)),
        }
    }

    /// One approval, or [`LedgerError::NotFound`].
    async fn approval(
        &self,
        tenant: &TenantId,
        id: &ApprovalId,
    ) -> Result<ApprovalRow, LedgerError> {
        match self.query(tenant, Query::Approval { id: id.clone() }).await? {
            Rows::Approvals(mut rows) if !rows.is_empty() => Ok(rows.remove(0)),
            _ => Err(LedgerError::NotFound(format!("approval {id}"))),
        }
    }

    /// One text, or [`LedgerError::NotFound`].
    async fn content(&self, tenant: &TenantId, id: &ContentId) -> Result<Content, LedgerError> {
        match self.query(tenant, Query::Content { id: id.clone() }).await? {
            Rows::Contents(mut rows) if !rows.is_empty() => Ok(rows.remove(0)),
            _ => Err(LedgerError::NotFound(format!("content {id}"))),
        }
    }

    /// Steps, as [`Query::Steps`] and its kin return them.
    async fn steps(&self, tenant: &TenantId, query: Query) -> Result<Vec<StepRow>, LedgerError> {
        match self.query(tenant, query).await? {
            Rows::Steps(rows) => Ok(rows),
            other => Err(unexpected(&other)),
        }
    }

    /// One record, or [`LedgerError::NotFound`].
    async fn record<R: Kept + Send>(
        &self,
        tenant: &TenantId,
        id: impl fmt::Display + Send,
    ) -> Result<R, LedgerError> {
        let key = RecordKey::new(R::KIND, id.to_string());
        let found = match self.query(tenant, Query::Record { key: key.clone() }).await? {
            Rows::Records(mut rows) if !rows.is_empty() => R::of(rows.remove(0)),
            _ => None,
        };
        found.ok_or_else(|| LedgerError::NotFound(key.to_string()))
    }

    /// Whether work goes on.
    async fn mode(&self, tenant: &TenantId) -> Result<Mode, LedgerError> {
        match self.record::<ModeRow>(tenant, tenant).await {
            Ok(row) => Ok(row.mode),
            Err(LedgerError::NotFound(_)) => Ok(Mode::Running),
            Err(error) => Err(error),
        }
    }

    /// Records of one kind, as [`Query::Records`] and its kin return them.
    async fn records<R: Kept + Send>(
        &self,
        tenant: &TenantId,
        query: Query,
    ) -> Result<Vec<R>, LedgerError> {
        match self.query(tenant, query).await? {
            Rows::Records(rows) => {
                let of = |row| R::of(row).ok_or_else(|| unexpected(&Rows::Records(Vec::new())));
                rows.into_iter().map(of).collect()
            }
            other => Err(unexpected(&other)),
        }
    }
}

impl<L: Ledger + ?Sized> LedgerExt for L {}

fn unexpected(rows: &Rows) -> LedgerError {
    let kind = serde_json::to_value(rows)
        .ok()
        .and_then(|value| value.get("rows").map(ToString::to_string))
        .unwrap_or_default();
    LedgerError::Damaged(format!("the answer holds {kind} instead of what was asked for"))
}
