//! The dead-letter desk: steps that ended without a result. One of them is shown,
//! sent round again, sent round with other inputs, or taken off; many are chosen by
//! mission, tool and cause.

use crate::operations::shared::{DeadLetter, dead_letter};
use crate::{Alma, Error};
use charter::approval::{APPROVAL_OPEN_MS, Question};
use charter::event::{DeathCause, Event};
use charter::ids::{ApprovalId, MissionId, Principal, StepKey};
use charter::plan::Plan;
use charter::ports::{LeaseChange, LedgerExt, Query};
use charter::rows::{ApprovalRow, MissionRow, StepRow, StepState};
use sons_of_helaman::{Draft, commit};
use std::collections::BTreeSet;

/// Dead steps that are looked through.
const LOOKED_MAX: u32 = 10_000;

/// Which dead steps are meant.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    /// Only of this mission.
    pub(crate) mission: Option<MissionId>,
    /// Only those of this tool.
    pub(crate) tool: Option<String>,
    /// Only those that died of this.
    pub(crate) cause: Option<DeathCause>,
}

impl Filter {
    /// What can be told without reading the plan.
    fn fits(&self, row: &StepRow) -> bool {
        self.mission.as_ref().is_none_or(|mission| row.key.mission == *mission)
            && self.cause.is_none_or(|cause| row.cause == Some(cause))
    }
}

/// What lies on the desk.
pub(crate) struct Found {
    /// The first ones, oldest first.
    pub(crate) letters: Vec<DeadLetter>,
    /// How many there are, up to the bound of what is looked through.
    pub(crate) count: u32,
}

/// Looks for dead steps, and describes the first `limit` of them.
pub(crate) async fn find(
    alma: &Alma,
    principal: &Principal,
    filter: &Filter,
    limit: u32,
) -> Result<Found, Error> {
    let mut found = Found { letters: Vec::new(), count: 0 };
    let query = Query::DeadSteps { limit: LOOKED_MAX };
    for row in alma.ledger().steps(&principal.tenant, query).await? {
        if !filter.fits(&row) {
            continue;
        }
        let full = found.letters.len() >= limit as usize;
        if full && filter.tool.is_none() {
            found.count += 1;
            continue;
        }
        let letter = dead_letter(alma, principal, &row).await?;
        if filter.tool.as_ref().is_none_or(|tool| letter.tool == *tool) {
            found.count += 1;
            if !full {
                found.letters.push(letter);
            }
        }
    }
    Ok(found)
}

/// A dead step, or that there is none.
pub(crate) async fn dead(
    alma: &Alma,
    principal: &Principal,
    step: &StepKey,
) -> Result<StepRow, Error> {
    let row = alma.ledger().step(&principal.tenant, step).await?;
    match row.state {
        StepState::Dead => Ok(row),
        _ => Err(Error::NotFound(format!("a dead letter {step}"))),
    }
}

/// The mission of a dead step, unless it was stopped: then nothing of it runs again.
pub(crate) async fn mission_of(
    alma: &Alma,
    principal: &Principal,
    row: &StepRow,
) -> Result<MissionRow, Error> {
    let mission = alma.ledger().mission(&principal.tenant, &row.key.mission).await?;
    if mission.cancelled || mission.stopped.is_some() {
        return Err(Error::Conflict(format!(
            "mission {} was stopped: submit it again instead",
            mission.id
        )));
    }
    Ok(mission)
}

/// Positions of the other steps of its mission that ended without a result.
pub(crate) fn others(steps: &[StepRow], n: u32) -> Vec<u32> {
    steps
        .iter()
        .filter(|step| matches!(step.state, StepState::Dead | StepState::Discarded))
        .map(|step| step.key.n)
        .filter(|other| *other != n)
        .collect()
}

/// Sends a dead step round again, alone: finished steps stay finished. Returns the
/// steps that waited for it and wait again.
pub(crate) async fn requeue(
    alma: &Alma,
    principal: &Principal,
    row: &StepRow,
) -> Result<Vec<u32>, Error> {
    let mission = mission_of(alma, principal, row).await?;
    let plan = alma.plan_of(principal, &mission).await?;
    let steps = alma.all_steps(principal, &mission.id, None).await?;
    let revives = revived(&plan, &steps, row.key.n);
    let mut draft = Draft::new(&alma.ports, &principal.tenant, &mission.id);
    draft.event(Event::StepRequeued {
        step: row.key.clone(),
        by: principal.subject.clone(),
        revives: revives.clone(),
    });
    if let Some(asked) = denied_plan(alma, principal, row).await? {
        // A no to the plan itself stands until it is answered otherwise.
        let now = alma.now();
        draft.event(Event::ApprovalRequested {
            approval: ApprovalId::new(now, alma.ports.entropy.as_ref()),
            mission: mission.id.clone(),
            question: asked.question,
            card: asked.card,
            digest: asked.digest,
            grants: Vec::new(),
            steps: vec![row.key.clone()],
            expires_at: now + APPROVAL_OPEN_MS,
        });
    }
    commit(&alma.ports, draft.transition(None, LeaseChange::Keep)).await?;
    Ok(revives)
}

/// The question about the whole plan, or a part of the wish, that was answered with no
/// for this step.
async fn denied_plan(
    alma: &Alma,
    principal: &Principal,
    row: &StepRow,
) -> Result<Option<ApprovalRow>, Error> {
    let Some(id) = row.approval.as_ref().filter(|_| row.cause == Some(DeathCause::Denied)) else {
        return Ok(None);
    };
    let asked = alma.ledger().approval(&principal.tenant, id).await?;
    Ok(Some(asked).filter(|asked| matches!(asked.question, Question::Plan | Question::Part)))
}

/// Skipped steps that wait again when step `n` does. One that also waits for
/// another dead step stays skipped.
fn revived(plan: &Plan, steps: &[StepRow], n: u32) -> Vec<u32> {
    let downstream = plan.downstream(n);
    let lost: BTreeSet<u32> =
        others(steps, n).iter().flat_map(|other| plan.downstream(*other)).collect();
    steps
        .iter()
        .filter(|step| step.state == StepState::Skipped)
        .map(|step| step.key.n)
        .filter(|step| downstream.contains(step) && !lost.contains(step))
        .collect()
}

/// Takes a dead step off the desk for good.
pub(crate) async fn discard(
    alma: &Alma,
    principal: &Principal,
    row: &StepRow,
) -> Result<(), Error> {
    let mut draft = Draft::new(&alma.ports, &principal.tenant, &row.key.mission);
    draft.event(Event::StepDiscarded { step: row.key.clone(), by: principal.subject.clone() });
    commit(&alma.ports, draft.transition(None, LeaseChange::Keep)).await?;
    Ok(())
}
