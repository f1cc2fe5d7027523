//! Sends one dead step round again, alone: finished steps stay finished, the
//! steps that waited for it wait again.

use crate::{Alma, Error, desk};
use charter::ids::{MissionId, Principal, StepKey};
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
    /// The mission that goes on.
    pub mission: MissionId,
    /// Steps that wait again.
    pub revived: Vec<u32>,
}

/// Requeues.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let row = desk::dead(alma, principal, &request.step).await?;
    let revived = desk::requeue(alma, principal, &row).await?;
    Ok(Response { mission: row.key.mission.clone(), step: row.key, revived })
}
