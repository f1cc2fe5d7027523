//! Shows the plan of a mission.

use crate::{Alma, Error};
use charter::digest::Digest;
use charter::ids::{MissionId, Principal};
use charter::plan::Plan;
use charter::ports::LedgerExt;
use serde::{Deserialize, Serialize};

/// Which mission.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Which.
    pub mission: MissionId,
}

/// The plan in force.
#[derive(Debug, Serialize)]
pub struct Response {
    /// The plan.
    pub plan: Plan,
    /// Its digest.
    pub digest: Digest,
    /// The plan as text.
    pub text: String,
    /// The plan as a mission file, to edit.
    pub file: String,
}

/// Shows.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let row = alma.ledger().mission(&principal.tenant, &request.mission).await?;
    let plan = alma.plan_of(principal, &row).await?;
    Ok(Response {
        text: moroni::render::plan(&plan),
        file: moroni::mission_file::write(&plan),
        digest: row.plan_digest,
        plan,
    })
}
