//! Nightly runs and their proposals.

use crate::content::ContentRef;
use crate::ids::{Millis, NightId, ProposalId, TenantId};
use serde::{Deserialize, Serialize};

/// Most parts that a run has.
pub const STAGES_MAX: usize = 100;

/// What can happen in a night, and to what it proposed.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Nightly {
    /// A run began.
    Begun {
        /// The run.
        night: NightId,
        /// From when on it looks.
        since: Millis,
        /// Until when.
        until: Millis,
    },
    /// A part of it is done: a run that was killed goes on after it.
    Stage {
        /// The run.
        night: NightId,
        /// Name of the part.
        stage: String,
        /// What came of it, as JSON.
        result: ContentRef,
    },
    /// It is over.
    Ended {
        /// The run.
        night: NightId,
        /// The report, as JSON.
        report: ContentRef,
        /// Whether every part was done; else its budget was spent.
        whole: bool,
    },
    /// Something is proposed.
    Proposed {
        /// The proposal.
        proposal: ProposalId,
        /// The run that proposes it.
        night: NightId,
        /// What kind of thing: `playbook`, `threshold`.
        of: String,
        /// The change with its evidence, as JSON.
        body: ContentRef,
    },
    /// A person decided.
    Decided {
        /// The proposal.
        proposal: ProposalId,
        /// How.
        state: ProposalState,
        /// Who.
        by: String,
    },
}

impl Nightly {
    /// The texts that it names.
    pub fn contents(&self) -> Vec<&ContentRef> {
        match self {
            Self::Stage { result: text, .. }
            | Self::Ended { report: text, .. }
            | Self::Proposed { body: text, .. } => vec![text],
            Self::Begun { .. } | Self::Decided { .. } => Vec::new(),
        }
    }
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NightState {
    /// It runs, or was killed and will go on.
    Running,
    /// Every part is done.
    Done,
    /// Its budget was spent first.
    Partial,
}

impl NightState {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Partial => "partial",
        }
    }
}

/// How a proposal stands.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProposalState {
    /// Nobody has decided.
    Open,
    /// It is in force.
    Accepted,
    /// It is not wanted.
    Rejected,
    /// It was in force and is no more.
    Undone,
}

impl ProposalState {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Undone => "undone",
        }
    }
}

/// A nightly run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NightRow {
    /// Its name.
    pub id: NightId,
    /// Whose it is.
    pub tenant: TenantId,
    /// How it stands.
    pub state: NightState,
    /// From when on it looks.
    pub since: Millis,
    /// Until when.
    pub until: Millis,
    /// When it began.
    pub at: Millis,
    /// Parts that are done, in order, with what came of them.
    pub stages: Vec<(String, ContentRef)>,
    /// The report.
    pub report: Option<ContentRef>,
}

/// A proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposalRow {
    /// Its name.
    pub id: ProposalId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The run that made it.
    pub night: NightId,
    /// What kind of thing.
    pub of: String,
    /// How it stands.
    pub state: ProposalState,
    /// The change with its evidence.
    pub body: ContentRef,
    /// When it was made.
    pub at: Millis,
    /// Who decided.
    pub by: Option<String>,
}
