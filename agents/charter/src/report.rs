//! What a mission says of itself in the end: computed, never claimed.

use crate::budget::Usage;
use crate::check::Verdict;
use crate::digest::Digest;
use crate::ids::{MissionId, StepKey};
use crate::rows::MissionState;
use serde::{Deserialize, Serialize};

/// What happened to a file of the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileFate {
    /// It is new.
    Created,
    /// It held something else before.
    Changed,
    /// It is gone.
    Deleted,
    /// It has another name.
    Moved,
}

/// One file that the mission touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileLine {
    /// Relative to the workspace.
    pub path: String,
    /// What happened to it.
    pub fate: FileFate,
    /// Where it went, when it moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// A claim with the check that was made of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The step it is about.
    pub step: StepKey,
    /// What was checked and found.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// The report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The mission.
    pub mission: MissionId,
    /// How it ended.
    pub state: MissionState,
    /// Digest of the plan that ran.
    pub plan: Digest,
    /// The answer to the user's wish.
    pub answer: String,
    /// Each claim with its check.
    pub claims: Vec<Claim>,
    /// Every file that was touched.
    pub files: Vec<FileLine>,
    /// What no step looked at, and why: in words. It takes nothing from the result.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// What went wrong, what was not done, what is in doubt: in words.
    pub problems: Vec<String>,
    /// Resources used.
    pub usage: Usage,
    /// What each step of it used, with its instances; the last is this report.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub receipts: Vec<Receipt>,
}

/// What a step used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The step.
    pub step: StepKey,
    /// What it used; how often it was begun counts for the mission alone.
    pub usage: Usage,
}
