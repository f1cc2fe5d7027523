//! The dead-letter desk: steps that ended without a result, oldest first.

use super::shared::{DeadLetter, limit};
use crate::desk::{self, Filter};
use crate::{Alma, Error};
use charter::event::DeathCause;
use charter::ids::{MissionId, Principal};
use serde::{Deserialize, Serialize};

/// What to list.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Request {
    /// Only of this mission.
    pub mission: Option<MissionId>,
    /// Only those of this tool.
    pub tool: Option<String>,
    /// Only those that died of this.
    pub cause: Option<DeathCause>,
    /// How many at most; 50 unless given.
    pub limit: Option<u32>,
}

/// The desk.
#[derive(Debug, Serialize)]
pub struct Response {
    /// The dead steps.
    pub dead_letters: Vec<DeadLetter>,
}

/// Lists.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let filter = Filter { mission: request.mission, tool: request.tool, cause: request.cause };
    let found = desk::find(alma, principal, &filter, limit(request.limit)).await?;
    Ok(Response { dead_letters: found.letters })
}
