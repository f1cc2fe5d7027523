//! Lists what happened to a mission, in the order of its record.

use super::shared::limit;
use crate::{Alma, Error};
use charter::envelope::Envelope;
use charter::ids::{MissionId, Principal, StreamId};
use charter::ports::{LedgerExt, Query, Rows};
use serde::{Deserialize, Serialize};

/// Which mission.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Which.
    pub mission: MissionId,
    /// Only events with a larger number.
    #[serde(default)]
    pub after: u64,
    /// How many events at most; 50 unless given.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// Events of the mission's stream.
#[derive(Debug, Serialize)]
pub struct Response {
    /// The events.
    pub events: Vec<Envelope>,
}

/// Lists.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    // The mission of another tenant is not found, its stream neither.
    let row = alma.ledger().mission(&principal.tenant, &request.mission).await?;
    let query = Query::Events {
        stream: StreamId::mission(&row.id),
        after: request.after,
        limit: limit(request.limit),
    };
    match alma.ledger().query(&principal.tenant, query).await? {
        Rows::Events(events) => {
            let tenant = &principal.tenant;
            let events = events.into_iter().map(|event| Envelope::new(tenant, event)).collect();
            Ok(Response { events })
        }
        _ => Ok(Response { events: Vec::new() }),
    }
}
