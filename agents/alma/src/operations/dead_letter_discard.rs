//! Takes one dead step off the desk for good.

use crate::{Alma, Error, desk};
use charter::ids::{Principal, StepKey};
use charter::rows::StepState;
use serde::{Deserialize, Serialize};

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
    let row = desk::dead(alma, principal, &request.step).await?;
    desk::discard(alma, principal, &row).await?;
    Ok(Response { step: row.key, state: StepState::Discarded })
}
