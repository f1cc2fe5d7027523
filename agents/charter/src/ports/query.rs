//! What the ledger is asked, and what it answers.

use super::{LeaseRow, Ledger, LedgerError, LedgerSize, OutboxRow};
use crate::approval::ApprovalState;
use crate::content::Content;
use crate::digest::Digest;
use crate::event::Recorded;
use crate::ids::{ApprovalId, ContentId, Millis, MissionId, StepKey, StreamId, TenantId};
use crate::mode::{Mode, ModeRow};
use crate::record::{Kept, Record, RecordKey, RecordKind};
use crate::rows::{ApprovalRow, EffectRow, MadeRow, MissionRow, MissionState, StepRow, StepState};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::fmt;

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
        /// Only of these kinds, as [`Event::kind`](crate::event::Event::kind) names them; none: of all.
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
