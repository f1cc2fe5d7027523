//! Sends one dead step round again, alone: finished steps stay finished, the
//! steps that waited for it wait again.

use crate::{Alma, Error};
use charter::event::Event;
use charter::ids::{MissionId, Principal, StepKey};
use charter::ports::{LeaseChange, LedgerExt};
use charter::rows::StepState;
use serde::{Deserialize, Serialize};
use sons_of_helaman::{Draft, commit};

/// Which step.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Which.
    pub step: StepKey,
}

/// What became of it.
#[derive(Debug, Serialize)]
pub struct Response {
    /// Which.
    pub step: StepKey,
    /// The mission that goes on.
    pub mission: MissionId,
    /// Steps that wait again.
    pub revived: Vec<u32>,
}

/// Requeues.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let tenant = &principal.tenant;
    let row = alma.ledger().step(tenant, &request.step).await?;
    if row.state != StepState::Dead {
        return Err(Error::NotFound(format!("a dead letter {}", request.step)));
    }
    let mission = alma.ledger().mission(tenant, &row.key.mission).await?;
    if mission.cancelled || mission.stopped.is_some() {
        return Err(Error::Conflict(format!(
            "mission {} was stopped: submit it again instead",
            mission.id
        )));
    }
    let plan = alma.plan_of(principal, &mission).await?;
    let steps = alma.all_steps(principal, &mission.id, None).await?;
    let downstream = plan.downstream(row.key.n);
    // A skipped step that also waits for another dead one must stay skipped.
    let dead: Vec<u32> = steps
        .iter()
        .filter(|step| matches!(step.state, StepState::Dead | StepState::Discarded))
        .map(|step| step.key.n)
        .filter(|n| *n != row.key.n)
        .collect();
    let lost: std::collections::BTreeSet<u32> =
        dead.iter().flat_map(|n| plan.downstream(*n)).collect();
    let revived: Vec<u32> = steps
        .iter()
        .filter(|step| step.state == StepState::Skipped)
        .map(|step| step.key.n)
        .filter(|n| downstream.contains(n) && !lost.contains(n))
        .collect();
    let mut draft = Draft::new(&alma.ports, tenant, &mission.id);
    draft.event(Event::StepRequeued {
        step: row.key.clone(),
        by: principal.subject.clone(),
        revives: revived.clone(),
    });
    commit(&alma.ports, draft.transition(None, LeaseChange::Keep)).await?;
    Ok(Response { step: row.key, mission: mission.id, revived })
}
