//! Lists missions, newest first.

use super::shared::limit;
use crate::{Alma, Error};
use charter::ids::{Millis, MissionId, Principal};
use charter::ports::{Query, Rows};
use charter::rows::MissionState;
use serde::{Deserialize, Serialize};

/// Most missions that can be left out; whoever goes further back names `before`.
const SKIP_MAX: u32 = 10_000;

/// What to list.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Request {
    /// Only those in this state.
    pub state: Option<MissionState>,
    /// Only those older than this one.
    pub before: Option<MissionId>,
    /// How many of the newest to leave out.
    pub skip: Option<u32>,
    /// How many at most; 50 unless given.
    pub limit: Option<u32>,
}

/// A page of missions.
#[derive(Debug, Serialize)]
pub struct Response {
    /// The missions.
    pub missions: Vec<Line>,
}

/// One mission.
#[derive(Debug, Serialize)]
pub struct Line {
    /// Its name.
    pub mission: MissionId,
    /// How it stands.
    pub state: MissionState,
    /// The user's words.
    pub wish: String,
    /// When it was accepted.
    pub created_at: Millis,
    /// Steps that have ended.
    pub ended: u32,
    /// Steps in all.
    pub steps: u32,
}

/// Lists.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let skip = request.skip.unwrap_or(0).min(SKIP_MAX);
    let query = Query::Missions {
        state: request.state,
        same: None,
        before: request.before,
        limit: limit(request.limit) + skip,
    };
    let mut missions = Vec::new();
    if let Rows::Missions(rows) = alma.ledger().query(&principal.tenant, query).await? {
        for row in rows.into_iter().skip(skip as usize) {
            missions.push(Line {
                wish: alma.spoken(principal, &row.wish).await?,
                mission: row.id,
                state: row.state,
                created_at: row.created_at,
                ended: row.ended,
                steps: row.steps,
            });
        }
    }
    Ok(Response { missions })
}
