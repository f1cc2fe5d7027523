//! The record: everything that can happen. Rows are derived from
//! these and from nothing else.

use crate::approval::{Answer, Grant, Question};
use crate::budget::{Budget, Limit, Usage};
use crate::content::ContentRef;
use crate::conversation::Conversed;
use crate::digest::Digest;
use crate::effect::{EffectClass, Repeat};
use crate::flow::{Lane, Priority};
use crate::ids::{
    ApprovalId, Millis, MissionId, StepKey, StreamId, TenantId, TransitionId, WorkerId,
};
use crate::memory::Remembered;
use crate::mode::Mode;
use crate::night::Nightly;
use crate::rows::MissionState;
use crate::schedule::Scheduled;
use serde::{Deserialize, Serialize};

/// What the ledger keeps of a step when a plan is laid down.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepHead {
    /// Position, from 1.
    pub n: u32,
    /// Digest of the step.
    pub digest: Digest,
    /// The steps it waits for.
    pub needs: Vec<u32>,
    /// The furthest it may reach.
    pub class: EffectClass,
    /// Whether it runs once per element.
    pub for_each: bool,
    /// What it needs most.
    #[serde(default, skip_serializing_if = "Lane::is_light")]
    pub lane: Lane,
}

/// Policy's word on one effect, as recorded with its intent.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permit {
    /// The rule that allowed it.
    pub rule: String,
    /// The grant that was spent, where the rule asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<Grant>,
}

/// How an effect ended.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectOutcome {
    /// It happened.
    Done,
    /// It was tried and failed; it did not happen.
    Failed,
    /// It was never carried out: found so after a crash, or given up.
    NotDone,
}

/// Why a step ended for good without a result.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeathCause {
    /// The error will not pass by itself.
    Permanent,
    /// The error may pass, but the tries are used up.
    Exhausted,
    /// The step kept killing or outliving its workers.
    Poison,
    /// Policy forbids one of its effects.
    Refused,
    /// A person said no.
    Denied,
    /// A check found its result wrong.
    Unproven,
}

impl DeathCause {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Permanent => "permanent",
            Self::Exhausted => "exhausted",
            Self::Poison => "poison",
            Self::Refused => "refused",
            Self::Denied => "denied",
            Self::Unproven => "unproven",
        }
    }
}

/// An event.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Event {
    /// Something happened in a conversation.
    Conversed(Conversed),
    /// Something happened to a memory.
    Remembered(Remembered),
    /// Something happened to a schedule.
    Scheduled(Scheduled),
    /// Something happened in a night.
    Nightly(Nightly),
    /// Work was stopped, put into maintenance, or let go on.
    ModeChanged {
        /// Whose work.
        tenant: TenantId,
        /// How it stands from now on.
        mode: Mode,
        /// Who.
        by: String,
    },
    /// A wish was accepted. Its plan follows in the same transition.
    MissionSubmitted {
        /// The mission.
        mission: MissionId,
        /// Who asked.
        subject: String,
        /// The user's words.
        wish: ContentRef,
        /// Absolute path of the folder it works in.
        workspace: ContentRef,
        /// Digest of subject, workspace and words: finds the same wish again.
        same: Digest,
        /// What it may spend.
        budget: Budget,
        /// How urgent it is.
        #[serde(default, skip_serializing_if = "Priority::is_normal")]
        priority: Priority,
    },
    /// A plan was laid down.
    MissionPlanned {
        /// The mission.
        mission: MissionId,
        /// The plan, as JSON.
        plan: ContentRef,
        /// Digest of the plan.
        digest: Digest,
        /// Its steps.
        steps: Vec<StepHead>,
    },
    /// A child plan took the place of the plan. Rows of the steps in `keep`
    /// stay as they are, all others start anew.
    MissionReplanned {
        /// The mission.
        mission: MissionId,
        /// The plan, as JSON.
        plan: ContentRef,
        /// Digest of the plan.
        digest: Digest,
        /// Digest of the plan it replaces.
        parent: Digest,
        /// Its steps.
        steps: Vec<StepHead>,
        /// Positions that are carried over.
        keep: Vec<u32>,
        /// Instances of replaced steps, whose rows go.
        drop: Vec<StepKey>,
    },
    /// A person asked to stop. The listed steps, unless running, are cancelled.
    MissionCancelled {
        /// The mission.
        mission: MissionId,
        /// Who asked.
        by: String,
        /// Every step that had not ended.
        steps: Vec<StepKey>,
    },
    /// A budget was spent. The listed steps, unless running, are skipped.
    MissionStopped {
        /// The mission.
        mission: MissionId,
        /// The bound that was reached.
        limit: Limit,
        /// Every step that had not ended.
        steps: Vec<StepKey>,
    },
    /// Steps of it wait for others to end: side by side they could pass its budget.
    MissionCrowded {
        /// The mission.
        mission: MissionId,
    },
    /// The report was written.
    MissionEnded {
        /// The mission.
        mission: MissionId,
        /// How it ended.
        state: MissionState,
        /// The report, as JSON.
        report: ContentRef,
    },
    /// A worker took a step. `token` is one more than the step's last one.
    StepClaimed {
        /// The step.
        step: StepKey,
        /// The worker.
        worker: WorkerId,
        /// Fencing token.
        token: u64,
        /// Milliseconds of working time that the budget keeps for it until it ends.
        #[serde(default, skip_serializing_if = "crate::budget::is_none")]
        wall_ms: u64,
        /// Milliseconds of processor time, likewise.
        #[serde(default, skip_serializing_if = "crate::budget::is_none")]
        cpu_ms: u64,
    },
    /// A claim was taken back: its worker is dead or gave up the lease.
    StepReleased {
        /// The step.
        step: StepKey,
        /// The token that is void from now on.
        token: u64,
        /// Whether its worker and its programs are known to be dead.
        dead: bool,
        /// When it may be claimed again.
        ready_at: Millis,
    },
    /// A `for_each` step became instances, numbered from 1.
    StepExpanded {
        /// The step.
        step: StepKey,
        /// One digest per instance: tool, version, resolved arguments, class, limits.
        items: Vec<Digest>,
        /// Instances that wait for this approval, if any asks.
        approval: Option<ApprovalId>,
        /// What each instance found and proposes, where it was looked at before
        /// running; empty otherwise.
        prepared: Vec<ContentRef>,
    },
    /// What the call found and proposes is on record; it is never asked again.
    StepPrepared {
        /// The step.
        step: StepKey,
        /// The prepared call, as JSON.
        prepared: ContentRef,
    },
    /// The step waits for a person.
    StepParked {
        /// The step.
        step: StepKey,
        /// The approval it waits for.
        approval: ApprovalId,
    },
    /// The step is done.
    StepFinished {
        /// The step.
        step: StepKey,
        /// Its output, as JSON.
        output: ContentRef,
        /// The verdicts of its checks, as JSON.
        verdicts: ContentRef,
        /// Whether every check verified its claim.
        verified: bool,
        /// Steps that wait for this one.
        unblocks: Vec<u32>,
        /// Resources used.
        usage: Usage,
    },
    /// A try failed; the next is due at `retry_at`.
    StepFailed {
        /// The step.
        step: StepKey,
        /// What happened, as JSON.
        error: ContentRef,
        /// When it may be claimed again.
        retry_at: Millis,
        /// Resources used.
        usage: Usage,
    },
    /// The step ended without a result and lies on the dead-letter desk.
    StepDied {
        /// The step.
        step: StepKey,
        /// What happened, as JSON.
        error: ContentRef,
        /// Why it is final.
        cause: DeathCause,
        /// Steps that can no longer run.
        skips: Vec<u32>,
        /// Resources used.
        usage: Usage,
    },
    /// The step was stopped because the mission was cancelled or its budget spent.
    StepCancelled {
        /// The step.
        step: StepKey,
        /// Resources used.
        usage: Usage,
    },
    /// The step was interrupted because all work was stopped; it goes on where it was.
    StepHalted {
        /// The step.
        step: StepKey,
        /// Resources used.
        usage: Usage,
    },
    /// A person sent a dead step round again.
    StepRequeued {
        /// The step.
        step: StepKey,
        /// Who.
        by: String,
        /// Steps that were skipped because of it and wait again.
        revives: Vec<u32>,
    },
    /// A person took a dead step off the desk for good.
    StepDiscarded {
        /// The step.
        step: StepKey,
        /// Who.
        by: String,
    },
    /// An effect is about to be carried out.
    EffectIntended {
        /// Idempotency key.
        key: Digest,
        /// The step.
        step: StepKey,
        /// Number of the effect within the step.
        ordinal: u32,
        /// Its class.
        class: EffectClass,
        /// Whether it may be repeated when its outcome is unknown.
        repeat: Repeat,
        /// Policy's word.
        permit: Permit,
        /// Digest of the targets before; `None` where it has no files as targets.
        before: Option<Digest>,
        /// Digest of the targets afterwards, where it can be known.
        after: Option<Digest>,
        /// Bytes that it will write to the user's files.
        #[serde(default, skip_serializing_if = "crate::budget::is_none")]
        bytes: u64,
    },
    /// The outcome of an effect is known.
    EffectReceived {
        /// Idempotency key.
        key: Digest,
        /// The step.
        step: StepKey,
        /// How it ended.
        outcome: EffectOutcome,
        /// What came of it, as JSON, where there is anything.
        output: Option<ContentRef>,
        /// Digest of the targets found afterwards.
        after: Option<Digest>,
        /// One digest per written file: path and content, so that she knows her
        /// own work again.
        made: Vec<Digest>,
    },
    /// The outcome of an effect cannot be known here; a person is asked.
    EffectInDoubt {
        /// Idempotency key.
        key: Digest,
        /// The step.
        step: StepKey,
        /// The question.
        approval: ApprovalId,
    },
    /// A person is asked.
    ApprovalRequested {
        /// The approval.
        approval: ApprovalId,
        /// The mission it belongs to.
        mission: MissionId,
        /// The kind of question.
        question: Question,
        /// The card, as JSON.
        card: ContentRef,
        /// Digest of the card.
        digest: Digest,
        /// One digest per effect that it would permit.
        grants: Vec<Digest>,
        /// Steps that wait for the answer.
        steps: Vec<StepKey>,
        /// When it expires.
        expires_at: Millis,
    },
    /// A person answered.
    ApprovalAnswered {
        /// The approval.
        approval: ApprovalId,
        /// The mission it belongs to.
        mission: MissionId,
        /// The answer.
        answer: Answer,
        /// Who.
        by: String,
        /// Whether the card was shown before the answer.
        seen: bool,
        /// Steps that may go on.
        steps: Vec<StepKey>,
    },
    /// Nobody answered in time.
    ApprovalExpired {
        /// The approval.
        approval: ApprovalId,
        /// The mission it belongs to.
        mission: MissionId,
    },
    /// An expired approval is open again.
    ApprovalReopened {
        /// The approval.
        approval: ApprovalId,
        /// The mission it belongs to.
        mission: MissionId,
        /// When it expires.
        expires_at: Millis,
    },
    /// It is no longer needed.
    ApprovalWithdrawn {
        /// The approval.
        approval: ApprovalId,
        /// The mission it belongs to.
        mission: MissionId,
    },
}

impl Event {
    /// Whether something new begins with it: what is refused when there is hardly any
    /// room left, which is kept for what is under way.
    pub fn begins(&self) -> bool {
        matches!(self, Self::MissionSubmitted { .. } | Self::EffectIntended { .. })
    }

    /// Its kind, as it is written down.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Conversed(_) => "conversed",
            Self::Remembered(_) => "remembered",
            Self::Scheduled(_) => "scheduled",
            Self::Nightly(_) => "nightly",
            Self::ModeChanged { .. } => "mode_changed",
            Self::MissionSubmitted { .. } => "mission_submitted",
            Self::MissionPlanned { .. } => "mission_planned",
            Self::MissionReplanned { .. } => "mission_replanned",
            Self::MissionCancelled { .. } => "mission_cancelled",
            Self::MissionStopped { .. } => "mission_stopped",
            Self::MissionCrowded { .. } => "mission_crowded",
            Self::MissionEnded { .. } => "mission_ended",
            Self::StepClaimed { .. } => "step_claimed",
            Self::StepReleased { .. } => "step_released",
            Self::StepExpanded { .. } => "step_expanded",
            Self::StepPrepared { .. } => "step_prepared",
            Self::StepParked { .. } => "step_parked",
            Self::StepFinished { .. } => "step_finished",
            Self::StepFailed { .. } => "step_failed",
            Self::StepDied { .. } => "step_died",
            Self::StepCancelled { .. } => "step_cancelled",
            Self::StepHalted { .. } => "step_halted",
            Self::StepRequeued { .. } => "step_requeued",
            Self::StepDiscarded { .. } => "step_discarded",
            Self::EffectIntended { .. } => "effect_intended",
            Self::EffectReceived { .. } => "effect_received",
            Self::EffectInDoubt { .. } => "effect_in_doubt",
            Self::ApprovalRequested { .. } => "approval_requested",
            Self::ApprovalAnswered { .. } => "approval_answered",
            Self::ApprovalExpired { .. } => "approval_expired",
            Self::ApprovalReopened { .. } => "approval_reopened",
            Self::ApprovalWithdrawn { .. } => "approval_withdrawn",
        }
    }
}

impl Event {
    /// The step that it is about, if it is about one.
    pub fn step(&self) -> Option<&StepKey> {
        match self {
            Self::StepClaimed { step, .. }
            | Self::StepReleased { step, .. }
            | Self::StepExpanded { step, .. }
            | Self::StepPrepared { step, .. }
            | Self::StepParked { step, .. }
            | Self::StepFinished { step, .. }
            | Self::StepFailed { step, .. }
            | Self::StepDied { step, .. }
            | Self::StepCancelled { step, .. }
            | Self::StepHalted { step, .. }
            | Self::StepRequeued { step, .. }
            | Self::StepDiscarded { step, .. }
            | Self::EffectIntended { step, .. }
            | Self::EffectReceived { step, .. }
            | Self::EffectInDoubt { step, .. } => Some(step),
            _ => None,
        }
    }
}

/// An event in its place in a stream.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// Position in the whole ledger, ascending.
    pub position: i64,
    /// The stream.
    pub stream: StreamId,
    /// Number within the stream, gapless from 1.
    pub seq: u64,
    /// When.
    pub at: Millis,
    /// The transition it came with.
    pub transition: TransitionId,
    /// The event.
    pub event: Event,
}
