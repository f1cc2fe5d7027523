//! Carries on a turn that somebody left, or tells again how it ended.

use crate::conversation::{Answer, Watcher, carry_on};
use crate::{Alma, Error};
use charter::ids::{Principal, TurnId};
use serde::{Deserialize, Serialize};

/// Which turn.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Which.
    pub turn: TurnId,
}

/// Attaches.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Answer, Error> {
    carry_on(alma, principal, &request.turn, &Watcher::nobody()).await
}
