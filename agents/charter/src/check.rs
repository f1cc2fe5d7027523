//! Acceptance: checks that run in code and can fail on a wrong result.

use crate::budget::Meter;
use crate::ids::Millis;
use crate::label::Label;
use crate::tool::Cancel;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;

/// What a check looks at: a step's call and what came of it. A check recomputes
/// from the sources and the disk; it never takes the tool's word.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Subject {
    /// Name of the tool.
    pub tool: String,
    /// The resolved arguments.
    pub args: Value,
    /// The output that the tool reported.
    pub output: Value,
    /// The changes that were carried out, with their payloads.
    pub changes: Vec<crate::tool::Proposed>,
    /// The folder that the mission works in.
    pub workspace: PathBuf,
    /// Label of the output.
    pub label: Label,
    /// Whether the step was permitted to read files that look like secrets.
    pub secrets_allowed: bool,
    /// When the step was begun: what changed since then may be why something is
    /// not as it was.
    pub since: Millis,
    /// Asks the check to stop.
    #[serde(skip)]
    pub cancel: Cancel,
    /// Counts what it uses.
    #[serde(skip)]
    pub meter: Meter,
}

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The claim holds.
    Verified,
    /// The claim is wrong.
    Failed,
    /// Nothing here can tell.
    NotVerified,
}

/// One claim and what the check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Name of the check.
    pub check: String,
    /// What is claimed, for people.
    pub claim: String,
    /// What was found.
    pub outcome: Outcome,
    /// What was compared: counts, hashes, the first difference.
    pub evidence: String,
}

impl Verdict {
    /// The claim holds.
    pub fn verified(check: &str, claim: impl Into<String>, evidence: impl Into<String>) -> Self {
        Self::new(check, claim, Outcome::Verified, evidence)
    }

    /// The claim is wrong.
    pub fn failed(check: &str, claim: impl Into<String>, evidence: impl Into<String>) -> Self {
        Self::new(check, claim, Outcome::Failed, evidence)
    }

    /// Nothing here can tell.
    pub fn not_verified(
        check: &str,
        claim: impl Into<String>,
        evidence: impl Into<String>,
    ) -> Self {
        Self::new(check, claim, Outcome::NotVerified, evidence)
    }

    fn new(
        check: &str,
        claim: impl Into<String>,
        outcome: Outcome,
        evidence: impl Into<String>,
    ) -> Self {
        Self { check: check.to_owned(), claim: claim.into(), outcome, evidence: evidence.into() }
    }
}
