//! Gives a dead step other inputs: a child plan takes the place of the plan, that
//! step and what depends on it run, everything else is carried over by digest.

use super::plan_edit::{self, Replaced};
use crate::{Alma, Error, desk};
use charter::digest::Digest;
use charter::ids::{MissionId, Principal, StepKey};
use moroni::inputs::{self, Set};
use moroni::lint::lint;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Which step, and its inputs.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Which.
    pub step: StepKey,
    /// All of its inputs; as they were unless given.
    #[serde(default)]
    pub args: Option<Value>,
    /// Single values to put into them.
    #[serde(default)]
    pub set: Vec<Set>,
}

/// The child plan in force.
#[derive(Debug, Serialize)]
pub struct Response {
    /// Which.
    pub step: StepKey,
    /// The mission that goes on.
    pub mission: MissionId,
    /// Digest of the plan that was replaced.
    pub parent: Digest,
    /// Digest of the plan in force.
    pub digest: Digest,
    /// Steps that are carried over.
    pub kept: Vec<u32>,
    /// What changed, as text.
    pub diff: String,
}

/// Edits.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let row = desk::dead(alma, principal, &request.step).await?;
    let key = &row.key;
    if let Some(parent) = key.parent() {
        return Err(Error::Usage(format!(
            "{key} is one of the instances of {parent}, and its input is an element of a list: \
             edit {parent}, or requeue {key}"
        )));
    }
    if key.n == 0 {
        return Err(Error::Usage(format!("{key} is the report, which has no inputs: requeue it")));
    }
    let mission = desk::mission_of(alma, principal, &row).await?;
    let parent = alma.plan_of(principal, &mission).await?;
    let edited = inputs::edited(&parent, key.n, request.args, &request.set)
        .map_err(|error| Error::Usage(error.to_string()))?;
    if edited == parent {
        return Err(Error::Usage(format!(
            "these are the inputs that {key} has: name another value, or send it round again \
             with `alma dead-letters requeue {key}`"
        )));
    }
    let wrong: Vec<String> = lint(&edited, &alma.specs())
        .iter()
        .filter(|finding| finding.is_error())
        .map(ToString::to_string)
        .collect();
    if !wrong.is_empty() {
        return Err(Error::Usage(format!("these inputs do not fit: {}", wrong.join("; "))));
    }
    let child = moroni::heal::child(&parent, edited, &format!("inputs of step {} edited", key.n))?;
    let steps = alma.all_steps(principal, &mission.id, None).await?;
    let keep = inputs::carried(&parent, &child, &desk::others(&steps, key.n));
    let replaced = Replaced { mission: &mission, parent: &parent, child, keep };
    let response = plan_edit::replace(alma, principal, replaced).await?;
    Ok(Response {
        step: row.key,
        mission: response.mission,
        parent: response.parent,
        digest: response.digest,
        kept: response.kept,
        diff: response.diff,
    })
}
