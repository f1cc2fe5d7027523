//! The dead-letter desk: steps that ended without a result, oldest first.

use super::shared::{DeadLetter, dead_letter, limit};
use crate::{Alma, Error};
use charter::ids::Principal;
use charter::ports::{LedgerExt, Query};
use serde::{Deserialize, Serialize};

/// What to list.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Request {
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
    let query = Query::DeadSteps { limit: limit(request.limit) };
    let mut dead_letters = Vec::new();
    for row in alma.ledger().steps(&principal.tenant, query).await? {
        dead_letters.push(dead_letter(alma, principal, &row).await?.0);
    }
    Ok(Response { dead_letters })
}
