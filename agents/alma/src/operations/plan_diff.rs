//! Compares the plans of two missions.

use crate::{Alma, Error};
use charter::ids::{MissionId, Principal};
use charter::ports::LedgerExt;
use serde::{Deserialize, Serialize};

/// Which missions.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// One.
    pub left: MissionId,
    /// The other.
    pub right: MissionId,
}

/// What differs.
#[derive(Debug, Serialize)]
pub struct Response {
    /// Whether the plans do the same.
    pub same: bool,
    /// What differs, as text.
    pub diff: String,
}

/// Compares.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let left = alma.ledger().mission(&principal.tenant, &request.left).await?;
    let right = alma.ledger().mission(&principal.tenant, &request.right).await?;
    let same = left.plan_digest == right.plan_digest;
    let (left, right) =
        (alma.plan_of(principal, &left).await?, alma.plan_of(principal, &right).await?);
    Ok(Response { same, diff: moroni::render::diff(&left, &right) })
}
