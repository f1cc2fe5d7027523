//! What acts on the outside world.

use crate::check::{Subject, Verdict};
use crate::digest::Digest;
use crate::effect::Target;
use crate::survey::Survey;
use crate::tool::{Act, Acted, Call, Prepared, Probe, Process, Proposed, ToolError, ToolSpec};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

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
