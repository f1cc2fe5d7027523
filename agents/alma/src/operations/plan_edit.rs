//! Replaces the plan of a mission that has not ended by a child plan: finished
//! steps are carried over by digest, the others start anew.

use crate::{Alma, Error};
use charter::approval::ApprovalState;
use charter::digest::Digest;
use charter::event::Event;
use charter::ids::{ApprovalId, MissionId, Principal, StepKey};
use charter::label::Label;
use charter::plan::Plan;
use charter::ports::{LeaseChange, LedgerExt, Query, Rows};
use charter::rows::{MissionRow, StepState};
use serde::{Deserialize, Serialize};
use sons_of_helaman::{Draft, commit};

/// The mission and its new plan.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Which.
    pub mission: MissionId,
    /// The text of a mission file.
    pub file: String,
}

/// The child plan in force.
#[derive(Debug, Serialize)]
pub struct Response {
    /// Which.
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

/// Replaces.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    // How urgent a mission is stays as it was when it was submitted.
    let (edited, _) = moroni::mission_file::compile(&request.file, &alma.specs())
        .map_err(|error| Error::Usage(error.to_string()))?;
    instead(alma, principal, &request.mission, edited, "edited by a person").await
}

/// Puts another plan in the place of an open mission's.
pub(super) async fn instead(
    alma: &Alma,
    principal: &Principal,
    mission: &MissionId,
    plan: Plan,
    reason: &str,
) -> Result<Response, Error> {
    let row = alma.ledger().mission(&principal.tenant, mission).await?;
    if row.state.is_end() {
        return Err(Error::Conflict(format!(
            "mission {} is {}: its plan can no longer be changed; submit a new mission",
            row.id, row.state
        )));
    }
    let parent = alma.plan_of(principal, &row).await?;
    let child = moroni::heal::child(&parent, plan, reason)?;
    let keep = moroni::heal::keep(&parent, &child);
    replace(alma, principal, Replaced { mission: &row, parent: &parent, child, keep }).await
}

/// A child plan in the place of its parent.
pub(super) struct Replaced<'a> {
    pub(super) mission: &'a MissionRow,
    pub(super) parent: &'a Plan,
    pub(super) child: Plan,
    /// Positions that are carried over.
    pub(super) keep: Vec<u32>,
}

/// Puts a child plan in force.
pub(super) async fn replace(
    alma: &Alma,
    principal: &Principal,
    replaced: Replaced<'_>,
) -> Result<Response, Error> {
    let Replaced { mission: row, parent, child, keep } = replaced;
    let mut drop = Vec::new();
    for step in alma.all_steps(principal, &row.id, None).await? {
        if step.key.n == 0 || keep.contains(&step.key.n) {
            continue;
        }
        if step.state == StepState::Claimed {
            return Err(Error::Conflict(format!(
                "step {} is running: wait for it, or cancel the mission",
                step.key
            )));
        }
        settled(alma, principal, &step.key).await?;
        if step.items > 0 {
            for item in alma.all_steps(principal, &row.id, Some(step.key.n)).await? {
                settled(alma, principal, &item.key).await?;
                drop.push(item.key);
            }
        }
    }
    let digest = child.digest()?;
    let mut draft = Draft::new(&alma.ports, &principal.tenant, &row.id);
    let plan = draft.json(&child, Label::TRUSTED)?;
    draft.event(Event::MissionReplanned {
        mission: row.id.clone(),
        plan,
        digest,
        parent: row.plan_digest,
        steps: moroni::heads(&child, &alma.tools().specs())?,
        keep: keep.clone(),
        drop,
    });
    for approval in moot(alma, principal, &row.id, &keep).await? {
        draft.event(Event::ApprovalWithdrawn { approval, mission: row.id.clone() });
    }
    commit(&alma.ports, draft.transition(None, LeaseChange::Keep)).await?;
    Ok(Response {
        mission: row.id.clone(),
        parent: row.plan_digest,
        digest,
        kept: keep,
        diff: moroni::render::diff(parent, &child),
    })
}

/// Refuses to replace a step of which nobody knows what it did: under another plan
/// nothing would ask about that any more.
async fn settled(alma: &Alma, principal: &Principal, step: &StepKey) -> Result<(), Error> {
    let effects = alma.ledger().effects(&principal.tenant, step).await?;
    match effects.iter().any(|row| row.ordinal > 0 && row.state.is_open()) {
        true => Err(Error::Conflict(format!(
            "it is not settled whether step {step} did what it began: answer its question, or \
             send it round again with `alma dead-letters requeue {step}`, then change the plan"
        ))),
        false => Ok(()),
    }
}

/// Questions about steps that are replaced: nobody needs to answer them any more.
async fn moot(
    alma: &Alma,
    principal: &Principal,
    mission: &MissionId,
    keep: &[u32],
) -> Result<Vec<ApprovalId>, Error> {
    let mut found = Vec::new();
    for state in [ApprovalState::Open, ApprovalState::Expired] {
        let query =
            Query::Approvals { mission: Some(mission.clone()), state: Some(state), limit: 1_000 };
        if let Rows::Approvals(rows) = alma.ledger().query(&principal.tenant, query).await? {
            let moot = |row: &charter::rows::ApprovalRow| {
                !row.steps.is_empty() && row.steps.iter().all(|step| !keep.contains(&step.n))
            };
            found.extend(rows.into_iter().filter(moot).map(|row| row.id));
        }
    }
    Ok(found)
}
