//! Stops a turn: its mission, or the answer in the making.

use crate::{Alma, Error, conversation};
use charter::ids::{Principal, TurnId};
use serde::{Deserialize, Serialize};

/// Which turn.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Which.
    pub turn: TurnId,
}

/// The turn that stops.
#[derive(Debug, Serialize)]
pub struct Response {
    /// Which.
    pub turn: TurnId,
}

/// Stops.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    conversation::cancel(alma, principal, &request.turn).await?;
    Ok(Response { turn: request.turn })
}
