//! Rows derived from events: what is true now. They can be rebuilt at any time.

use crate::approval::{Answer, ApprovalState, Question};
use crate::budget::{Budget, Limit, Usage};
use crate::content::ContentRef;
use crate::digest::Digest;
use crate::effect::{EffectClass, Repeat};
use crate::event::{DeathCause, EffectOutcome, Permit};
use crate::flow::{Flow, Lane, Priority};
use crate::ids::{ApprovalId, Millis, MissionId, StepKey, TenantId, WorkerId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a mission stands. The ends are the CLI's exit codes.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissionState {
    /// Steps are running or ready to.
    Running,
    /// Nothing can go on without a person.
    Waiting,
    /// Done, every claim verified.
    Done,
    /// Done, some claims not verified.
    Unverified,
    /// A step died.
    Failed,
    /// Policy or a person forbade a step.
    Refused,
    /// Stopped early by a budget.
    Partial,
    /// Stopped by a person.
    Cancelled,
}

impl MissionState {
    /// Whether it has ended.
    pub fn is_end(self) -> bool {
        !matches!(self, Self::Running | Self::Waiting)
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Done => "done",
            Self::Unverified => "unverified",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Partial => "partial",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for MissionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Waits for other steps.
    Blocked,
    /// May be claimed from `ready_at` on.
    Ready,
    /// A worker has it.
    Claimed,
    /// Waits for a person.
    Parked,
    /// Waits for its instances.
    Expanded,
    /// Done.
    Done,
    /// Dead: on the dead-letter desk.
    Dead,
    /// Dead, and taken off the desk.
    Discarded,
    /// Cannot run because an earlier step died.
    Skipped,
    /// Stopped.
    Cancelled,
}

impl StepState {
    /// Whether it has ended.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Done | Self::Dead | Self::Discarded | Self::Skipped | Self::Cancelled)
    }
}

/// A mission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissionRow {
    /// Its name.
    pub id: MissionId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Who asked.
    pub subject: String,
    /// How it stands.
    pub state: MissionState,
    /// When it was accepted.
    pub created_at: Millis,
    /// When it last changed.
    pub updated_at: Millis,
    /// The user's words.
    pub wish: ContentRef,
    /// The folder it works in.
    pub workspace: ContentRef,
    /// Finds the same wish again.
    pub same: Digest,
    /// The plan in force.
    pub plan: ContentRef,
    /// Its digest.
    pub plan_digest: Digest,
    /// Number of steps, instances not counted.
    pub steps: u32,
    /// Steps (not instances) that have ended.
    pub ended: u32,
    /// Steps and instances that wait for a person.
    pub parked: u32,
    /// Steps and instances that are ready or claimed, the report included.
    pub active: u32,
    /// Steps and instances that are dead and not discarded.
    pub dead: u32,
    /// Child plans made so far.
    pub replans: u32,
    /// Largest fencing token of a row that a child plan removed: new rows count
    /// on from it, so that an old claim never fits a new row.
    pub token_floor: u64,
    /// What it may spend.
    pub budget: Budget,
    /// What it has spent.
    pub spent: Usage,
    /// What its steps have reserved, all together.
    #[serde(default, skip_serializing_if = "Usage::is_zero")]
    pub reserved: Usage,
    /// Steps of it had to wait for room in the budget: whoever ends wakes the next.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub crowded: bool,
    /// A person asked to stop.
    pub cancelled: bool,
    /// The budget that was spent.
    pub stopped: Option<Limit>,
    /// The worst cause of death so far that is a refusal.
    pub refused: bool,
    /// The report.
    pub report: Option<ContentRef>,
    /// How urgent it is.
    #[serde(default, skip_serializing_if = "Priority::is_normal")]
    pub priority: Priority,
}

impl MissionRow {
    /// Whether so many bytes more would pass its budget, with what its running steps are
    /// about to write.
    pub fn would_write_too_much(&self, bytes: u64) -> bool {
        let all = self.spent.plus(self.reserved).bytes_written.saturating_add(bytes);
        all > self.budget.bytes_written
    }

    /// Whether a step that may use so much must wait: with what its running steps may
    /// still use it could pass a bound. Alone it need not, nor without limits of its own:
    /// a mission passes its budget by one step at most, as far as steps keep to theirs.
    pub fn must_wait(&self, more: &Usage) -> bool {
        let beside = self.reserved.takes_time() && more.takes_time();
        beside && self.budget.exceeded(&self.spent.plus(self.reserved).plus(*more)).is_some()
    }
}

/// A step, an instance, or the report (position 0).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRow {
    /// Which.
    pub key: StepKey,
    /// Whose it is.
    pub tenant: TenantId,
    /// How it stands.
    pub state: StepState,
    /// Digest of the step (of the resolved call, for an instance).
    pub digest: Digest,
    /// The furthest it may reach.
    pub class: EffectClass,
    /// The steps it waits for.
    pub needs: Vec<u32>,
    /// How many of them have not ended.
    pub blocked_by: u32,
    /// Whether it runs once per element.
    pub for_each: bool,
    /// Whether its instances were made: the next claim gathers their outputs.
    pub expanded: bool,
    /// From when on it may be claimed.
    pub ready_at: Millis,
    /// Claims so far: the fencing token of the current one.
    pub token: u64,
    /// Failed tries so far.
    pub failures: u32,
    /// Claims that ended neither in a result nor in a failure.
    pub lost: u32,
    /// Whether one of them was taken back from a worker that may still live.
    pub former_alive: bool,
    /// Who has it.
    pub worker: Option<WorkerId>,
    /// What it waits for, or was granted by.
    pub approval: Option<ApprovalId>,
    /// What the call found and proposes.
    pub prepared: Option<ContentRef>,
    /// Its output.
    pub output: Option<ContentRef>,
    /// Verdicts of its checks.
    pub verdicts: Option<ContentRef>,
    /// Whether every check verified its claim.
    pub verified: bool,
    /// The last error.
    pub error: Option<ContentRef>,
    /// Why it died.
    pub cause: Option<DeathCause>,
    /// Number of instances.
    pub items: u32,
    /// Instances that have not ended.
    pub items_open: u32,
    /// Instances that ended without a result.
    pub items_lost: u32,
    /// Resources used.
    pub usage: Usage,
    /// What it may still use: the time of its limits while it is claimed, and the bytes of
    /// intents that nobody knows the outcome of, or that [`Self::wrote`] holds.
    #[serde(default, skip_serializing_if = "Usage::is_zero")]
    pub reserved: Usage,
    /// Bytes that this claim has written by its receipts; the event that ends it counts
    /// them, or the end of its lease.
    #[serde(default, skip_serializing_if = "crate::budget::is_none")]
    pub wrote: u64,
    /// What it needs most.
    #[serde(default, skip_serializing_if = "Lane::is_light")]
    pub lane: Lane,
    /// How urgent its mission is.
    #[serde(default, skip_serializing_if = "Priority::is_normal")]
    pub priority: Priority,
}

impl StepRow {
    /// The line that it stands in.
    pub fn flow(&self) -> Flow {
        Flow { lane: self.lane, priority: self.priority, tenant: self.tenant.clone() }
    }
}

/// How an effect stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is", content = "as")]
pub enum EffectState {
    /// Intended; nobody knows yet.
    Intended,
    /// A person is asked whether it happened.
    InDoubt,
    /// Its outcome is known.
    Received(EffectOutcome),
}

impl EffectState {
    /// Whether nobody knows yet if it happened.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Intended | Self::InDoubt)
    }
}

/// One effect: intent, permit and receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectRow {
    /// Idempotency key.
    pub key: Digest,
    /// Whose it is.
    pub tenant: TenantId,
    /// The step.
    pub step: StepKey,
    /// Number within the step.
    pub ordinal: u32,
    /// How it stands.
    pub state: EffectState,
    /// Its class.
    pub class: EffectClass,
    /// Whether it may be repeated.
    pub repeat: Repeat,
    /// Policy's word.
    pub permit: Permit,
    /// The question whether it happened, where it was ever in doubt.
    pub doubt: Option<ApprovalId>,
    /// Times it was intended: more than once only where repeating is safe.
    pub intents: u32,
    /// Digest of the targets before.
    pub before: Option<Digest>,
    /// Digest of the targets afterwards: expected, then found.
    pub after: Option<Digest>,
    /// What came of it.
    pub output: Option<ContentRef>,
    /// Bytes that it writes to the user's files.
    #[serde(default, skip_serializing_if = "crate::budget::is_none")]
    pub bytes: u64,
    /// When it was intended first.
    pub intended_at: Millis,
    /// When the outcome became known.
    pub received_at: Option<Millis>,
}

/// Something a person is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRow {
    /// Its name.
    pub id: ApprovalId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The mission.
    pub mission: MissionId,
    /// The kind of question.
    pub question: Question,
    /// How it stands.
    pub state: ApprovalState,
    /// The card.
    pub card: ContentRef,
    /// Digest of the card.
    pub digest: Digest,
    /// One digest per effect that it would permit.
    pub requested: Vec<Digest>,
    /// Permissions given that were not spent yet.
    pub grants: Vec<Digest>,
    /// Steps that wait for it.
    pub steps: Vec<StepKey>,
    /// When it was asked.
    pub asked_at: Millis,
    /// When it expires.
    pub expires_at: Millis,
    /// The answer.
    pub answer: Option<Answer>,
    /// Who answered.
    pub by: Option<String>,
    /// Whether the card was shown before the answer.
    pub seen: bool,
}

impl ApprovalRow {
    /// Whether it is about no step in particular: it came with the mission and
    /// answers, for the person, what it covers (see [`crate::approval::cover`]).
    pub fn is_standing(&self) -> bool {
        self.question == Question::Permission && self.steps.is_empty()
    }
}

/// A file content that Alma herself wrote: digest of path and content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeRow {
    /// [`made_digest`] of the file.
    pub made: Digest,
    /// Whose it is.
    pub tenant: TenantId,
    /// The effect that wrote it.
    pub effect: Digest,
}

/// Digest by which Alma knows a file as her own work: absolute path and content.
pub fn made_digest(workspace: &str, path: &str, sha256: &Digest) -> Digest {
    Digest::of_parts(&[workspace.as_bytes(), path.as_bytes(), &sha256.0])
}
