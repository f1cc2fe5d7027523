//! Schedules: missions that are due again and again. Every due time is a record,
//! also one that was missed.

use crate::content::ContentRef;
use crate::digest::Digest;
use crate::ids::{Millis, MissionId, ScheduleId, TenantId};
use serde::{Deserialize, Serialize};

/// What is done about due times that passed while nothing ran.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// Once, as soon as possible, however many passed.
    Once,
    /// Nothing: the next one is waited for.
    Skip,
}

/// What came of a due time.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "as")]
pub enum Outcome {
    /// A mission was submitted.
    Ran {
        /// The mission.
        mission: MissionId,
    },
    /// It passed while nothing ran, and was not caught up.
    Missed {
        /// How many more passed behind it that have no record of their own.
        #[serde(default)]
        more: u32,
    },
    /// It could not be submitted.
    Failed {
        /// Why, in words.
        error: ContentRef,
    },
}

/// [`crate::rows::MissionRow::same`] of every mission of a schedule.
pub fn runs_of(schedule: &ScheduleId) -> Digest {
    Digest::of_parts(&[b"schedule", schedule.as_str().as_bytes()])
}

/// What can happen to a schedule.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
#[allow(clippy::large_enum_variant, reason = "few exist at a time, and each is written at once")]
pub enum Scheduled {
    /// It was made.
    Created {
        /// The schedule.
        schedule: ScheduleId,
        /// Who asked.
        subject: String,
        /// The user's words.
        wish: ContentRef,
        /// Absolute path of the folder it works in.
        workspace: ContentRef,
        /// The plan as it was on the day of its making, and what it would ask.
        plan: ContentRef,
        /// Digest of both: what one approval covers.
        digest: Digest,
        /// Five fields: minute, hour, day of month, month, day of week.
        cron: String,
        /// Name of a time zone, as in `Europe/Berlin`.
        zone: String,
        /// What is done about missed times.
        missed: Missed,
        /// The first due time; `None`: it waits for its approval.
        next_at: Option<Millis>,
    },
    /// A person said yes to what its runs would ask.
    Approved {
        /// The schedule.
        schedule: ScheduleId,
        /// Who.
        by: String,
        /// Whether the plan was shown before.
        seen: bool,
        /// The first due time.
        next_at: Millis,
    },
    /// It rests.
    Paused {
        /// The schedule.
        schedule: ScheduleId,
    },
    /// It goes on.
    Resumed {
        /// The schedule.
        schedule: ScheduleId,
        /// The next due time.
        next_at: Millis,
    },
    /// It is over.
    Deleted {
        /// The schedule.
        schedule: ScheduleId,
    },
    /// A due time came. Names the one that follows, so that a due time is taken
    /// once, whichever process takes it.
    Due {
        /// The schedule.
        schedule: ScheduleId,
        /// The due time; must be the schedule's next one. A mission that ran
        /// is submitted before this, at the latest in the same transition.
        due_at: Millis,
        /// What came of it.
        outcome: Outcome,
        /// The next one, later than this one.
        next_at: Millis,
    },
}

impl Scheduled {
    /// The schedule.
    pub fn schedule(&self) -> &ScheduleId {
        match self {
            Self::Created { schedule, .. }
            | Self::Approved { schedule, .. }
            | Self::Paused { schedule }
            | Self::Resumed { schedule, .. }
            | Self::Deleted { schedule }
            | Self::Due { schedule, .. } => schedule,
        }
    }

    /// The texts that it names.
    pub fn contents(&self) -> Vec<&ContentRef> {
        match self {
            Self::Created { wish, workspace, plan, .. } => vec![wish, workspace, plan],
            Self::Due { outcome: Outcome::Failed { error }, .. } => vec![error],
            _ => Vec::new(),
        }
    }
}

/// How a schedule stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleState {
    /// It runs when it is due.
    Active,
    /// It waits for its approval.
    Waiting,
    /// It rests.
    Paused,
    /// It is over.
    Deleted,
}

impl ScheduleState {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Deleted => "deleted",
        }
    }
}

/// Who said yes to the runs of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approver {
    /// Who.
    pub by: String,
    /// Whether the plan was shown before.
    pub seen: bool,
}

/// A schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleRow {
    /// Its name.
    pub id: ScheduleId,
    /// Whose it is.
    pub tenant: TenantId,
    /// How it stands.
    pub state: ScheduleState,
    /// Who asked.
    pub subject: String,
    /// The user's words.
    pub wish: ContentRef,
    /// Absolute path of the folder it works in.
    pub workspace: ContentRef,
    /// The plan as it was on the day of its making, and what it would ask.
    pub plan: ContentRef,
    /// Digest of both.
    pub digest: Digest,
    /// When, as five cron fields.
    pub cron: String,
    /// Name of a time zone.
    pub zone: String,
    /// What is done about missed times.
    pub missed: Missed,
    /// Who approved what its runs would ask.
    pub approved: Option<Approver>,
    /// When it was made.
    pub at: Millis,
    /// The next due time; `None` unless it is active.
    pub next_at: Option<Millis>,
}

/// A due time that came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DueRow {
    /// The schedule.
    pub schedule: ScheduleId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The due time.
    pub due_at: Millis,
    /// When it was taken.
    pub at: Millis,
    /// What came of it.
    pub outcome: Outcome,
}
