//! Stops a mission: steps that wait are cancelled now, a running one within a
//! second, its programs killed.

use crate::{Alma, Error};
use charter::event::Event;
use charter::ids::{MissionId, Principal};
use charter::ports::{LeaseChange, LedgerError, LedgerExt};
use charter::rows::{MissionState, StepRow, StepState};
use serde::{Deserialize, Serialize};
use sons_of_helaman::{Draft, commit};

/// Tries, when the mission moves on while it is being stopped.
const TRIES_MAX: u32 = 10;

/// Which mission.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Which.
    pub mission: MissionId,
}

/// How it stands after that.
#[derive(Debug, Serialize)]
pub struct Response {
    /// Which.
    pub mission: MissionId,
    /// How it stood before.
    pub was: MissionState,
    /// Steps that were taken out; running ones stop by themselves.
    pub steps: usize,
}

/// Stops.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let tenant = &principal.tenant;
    for _ in 0..TRIES_MAX {
        let row = alma.ledger().mission(tenant, &request.mission).await?;
        if row.state.is_end() {
            return Err(Error::Conflict(format!("mission {} is {} already", row.id, row.state)));
        }
        let (mut open, mut waiting) = (Vec::new(), false);
        let mut waits = |step: &StepRow| {
            waiting |= matches!(step.state, StepState::Blocked | StepState::Parked);
        };
        for step in alma.all_steps(principal, &row.id, None).await? {
            if step.items > 0 && !step.state.is_end() {
                let items = alma.all_steps(principal, &row.id, Some(step.key.n)).await?;
                items.iter().for_each(&mut waits);
                open.extend(items.into_iter().filter(|i| !i.state.is_end()).map(|i| i.key));
            }
            if step.key.n > 0 && !step.state.is_end() {
                waits(&step);
                open.push(step.key);
            }
        }
        // What runs stops by itself; what waits was laid down while it was stopped.
        if row.cancelled && !waiting {
            return Ok(Response { mission: row.id, was: row.state, steps: 0 });
        }
        let steps = open.len();
        let mut draft = Draft::new(&alma.ports, tenant, &row.id);
        draft.event(Event::MissionCancelled {
            mission: row.id.clone(),
            by: principal.subject.clone(),
            steps: open,
        });
        match commit(&alma.ports, draft.transition(None, LeaseChange::Keep)).await {
            Ok(_) => return Ok(Response { mission: row.id, was: row.state, steps }),
            Err(LedgerError::Conflict(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::Conflict(format!(
        "mission {} kept moving while it was being stopped; try again",
        request.mission
    )))
}
