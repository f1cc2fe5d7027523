//! Takes one dead step off the desk for good.

use crate::{Alma, Error};
use charter::event::Event;
use charter::ids::{Principal, StepKey};
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
    /// How it stands.
    pub state: StepState,
}

/// Discards.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let row = alma.ledger().step(&principal.tenant, &request.step).await?;
    if row.state != StepState::Dead {
        return Err(Error::NotFound(format!("a dead letter {}", request.step)));
    }
    let mut draft = Draft::new(&alma.ports, &principal.tenant, &row.key.mission);
    draft.event(Event::StepDiscarded { step: row.key.clone(), by: principal.subject.clone() });
    commit(&alma.ports, draft.transition(None, LeaseChange::Keep)).await?;
    Ok(Response { step: row.key, state: StepState::Discarded })
}
