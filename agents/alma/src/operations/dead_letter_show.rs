//! One dead step with its inputs, its error, what it cost and what it did.

use super::shared::{DeadLetter, dead_letter};
use crate::{Alma, Error};
use charter::ids::{Principal, StepKey};
use charter::ports::LedgerExt;
use charter::rows::{EffectRow, StepState};
use serde::{Deserialize, Serialize};

/// Which step.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Which.
    pub step: StepKey,
}

/// The dead step.
#[derive(Debug, Serialize)]
pub struct Response {
    /// What is on the desk.
    #[serde(flatten)]
    pub letter: DeadLetter,
    /// What it did before it died.
    pub effects: Vec<EffectRow>,
}

/// Shows.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let row = alma.ledger().step(&principal.tenant, &request.step).await?;
    if !matches!(row.state, StepState::Dead | StepState::Discarded) {
        return Err(Error::NotFound(format!("a dead letter {}", request.step)));
    }
    let letter = dead_letter(alma, principal, &row).await?;
    let effects = alma.ledger().effects(&principal.tenant, &row.key).await?;
    Ok(Response { letter, effects })
}
