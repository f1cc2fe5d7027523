//! Lists what a mission did to the world: intent, permit and receipt of each
//! effect.

use super::shared::limit;
use crate::{Alma, Error};
use charter::ids::{MissionId, Principal};
use charter::ports::{LedgerExt, Query, Rows};
use charter::rows::EffectRow;
use serde::{Deserialize, Serialize};

/// Which mission.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Which.
    pub mission: MissionId,
    /// How many effects at most; 50 unless given.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// Effects in the order of steps.
#[derive(Debug, Serialize)]
pub struct Response {
    /// The effects.
    pub effects: Vec<EffectRow>,
}

/// Lists.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let row = alma.ledger().mission(&principal.tenant, &request.mission).await?;
    let query = Query::EffectsOfMission { mission: row.id, limit: limit(request.limit) };
    match alma.ledger().query(&principal.tenant, query).await? {
        Rows::Effects(effects) => Ok(Response { effects }),
        _ => Ok(Response { effects: Vec::new() }),
    }
}
