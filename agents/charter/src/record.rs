//! Rows beside missions: everything that has a name, a state and a body, kept in
//! one table and asked for in one way.

use crate::conversation::{SessionRow, TurnRow};
use crate::ids::{Millis, TenantId};
use crate::memory::MemoryRow;
use crate::mode::ModeRow;
use crate::night::{NightRow, ProposalRow};
use crate::schedule::{DueRow, Outcome, ScheduleRow};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A kind of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordKind {
    /// A session of conversation.
    Session,
    /// A turn; its parent is its session.
    Turn,
    /// A memory; its parent is its scope.
    Memory,
    /// A schedule.
    Schedule,
    /// A due time; its parent is its schedule.
    Due,
    /// A nightly run.
    Night,
    /// A proposal; its parent is its night.
    Proposal,
    /// Whether work goes on; named by its tenant.
    Mode,
}

impl RecordKind {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Turn => "turn",
            Self::Memory => "memory",
            Self::Schedule => "schedule",
            Self::Due => "due",
            Self::Night => "night",
            Self::Proposal => "proposal",
            Self::Mode => "mode",
        }
    }
}

/// Names a record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordKey {
    /// Its kind.
    pub kind: RecordKind,
    /// Its name among those of its kind.
    pub id: String,
}

impl RecordKey {
    /// Names a record.
    pub fn new(kind: RecordKind, id: impl Into<String>) -> Self {
        Self { kind, id: id.into() }
    }

    /// Names a due time.
    pub fn due(schedule: &crate::ids::ScheduleId, due_at: Millis) -> Self {
        Self::new(RecordKind::Due, format!("{schedule}@{due_at}"))
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.id)
    }
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "record")]
pub enum Record {
    /// A session.
    Session(SessionRow),
    /// A turn.
    Turn(TurnRow),
    /// A memory.
    Memory(MemoryRow),
    /// A schedule.
    Schedule(ScheduleRow),
    /// A due time.
    Due(DueRow),
    /// A nightly run.
    Night(NightRow),
    /// A proposal.
    Proposal(ProposalRow),
    /// Whether work goes on.
    Mode(ModeRow),
}

impl Record {
    /// Its name.
    pub fn key(&self) -> RecordKey {
        let (kind, id) = match self {
            Self::Session(row) => (RecordKind::Session, row.id.to_string()),
            Self::Turn(row) => (RecordKind::Turn, row.id.to_string()),
            Self::Memory(row) => (RecordKind::Memory, row.id.to_string()),
            Self::Schedule(row) => (RecordKind::Schedule, row.id.to_string()),
            Self::Due(row) => return RecordKey::due(&row.schedule, row.due_at),
            Self::Night(row) => (RecordKind::Night, row.id.to_string()),
            Self::Proposal(row) => (RecordKind::Proposal, row.id.to_string()),
            Self::Mode(row) => (RecordKind::Mode, row.tenant.to_string()),
        };
        RecordKey { kind, id }
    }

    /// Whose it is.
    pub fn tenant(&self) -> &TenantId {
        match self {
            Self::Session(row) => &row.tenant,
            Self::Turn(row) => &row.tenant,
            Self::Memory(row) => &row.tenant,
            Self::Schedule(row) => &row.tenant,
            Self::Due(row) => &row.tenant,
            Self::Night(row) => &row.tenant,
            Self::Proposal(row) => &row.tenant,
            Self::Mode(row) => &row.tenant,
        }
    }

    /// What it belongs to; empty: nothing.
    pub fn parent(&self) -> &str {
        match self {
            Self::Turn(row) => row.session.as_str(),
            Self::Memory(row) => &row.scope,
            Self::Due(row) => row.schedule.as_str(),
            Self::Proposal(row) => row.night.as_str(),
            Self::Session(_) | Self::Schedule(_) | Self::Night(_) | Self::Mode(_) => "",
        }
    }

    /// The name of its state.
    pub fn state(&self) -> &'static str {
        match self {
            Self::Session(_) => "open",
            Self::Turn(row) => row.state.as_str(),
            Self::Memory(row) => row.state.as_str(),
            Self::Schedule(row) => row.state.as_str(),
            Self::Due(row) => match row.outcome {
                Outcome::Ran { .. } => "ran",
                Outcome::Missed { .. } => "missed",
                Outcome::Failed { .. } => "failed",
            },
            Self::Night(row) => row.state.as_str(),
            Self::Proposal(row) => row.state.as_str(),
            Self::Mode(row) => row.mode.as_str(),
        }
    }

    /// When something is to be done about it.
    pub fn due_at(&self) -> Option<Millis> {
        match self {
            Self::Schedule(row) => row.next_at,
            _ => None,
        }
    }
}

/// A row that is kept as a record.
pub trait Kept: Clone + Into<Record> {
    /// The kind of its records.
    const KIND: RecordKind;

    /// The row in a record of this kind.
    fn of(record: Record) -> Option<Self>;
}

macro_rules! kept {
    ($($kind:ident: $row:ident),*) => {$(
        impl From<$row> for Record {
            fn from(row: $row) -> Self {
                Self::$kind(row)
            }
        }

        impl Kept for $row {
            const KIND: RecordKind = RecordKind::$kind;

            fn of(record: Record) -> Option<Self> {
                match record {
                    Record::$kind(row) => Some(row),
                    _ => None,
                }
            }
        }
    )*};
}

kept!(
    Session: SessionRow,
    Turn: TurnRow,
    Memory: MemoryRow,
    Schedule: ScheduleRow,
    Due: DueRow,
    Night: NightRow,
    Proposal: ProposalRow,
    Mode: ModeRow
);
