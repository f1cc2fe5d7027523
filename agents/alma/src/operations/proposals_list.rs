//! Lists what nights proposed, newest first.

use super::shared::limit;
use crate::{Alma, Error, night};
use charter::ids::{NightId, Principal, ProposalId};
use charter::night::{ProposalRow, ProposalState};
use serde::{Deserialize, Serialize};

/// What to list.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Request {
    /// How many at most; 50 unless given.
    pub limit: Option<u32>,
}

/// The proposals.
#[derive(Debug, Serialize)]
pub struct Response {
    /// The proposals.
    pub proposals: Vec<Line>,
}

/// One proposal.
#[derive(Debug, Serialize)]
pub struct Line {
    /// Its name.
    pub proposal: ProposalId,
    /// How it stands.
    pub state: ProposalState,
    /// What kind of thing.
    pub of: String,
    /// In one line.
    pub title: String,
    /// The night that made it.
    pub night: NightId,
}

/// Lists. One whose text was forgotten is not listed.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let rows: Vec<ProposalRow> =
        alma.records(principal, None, None, true, limit(request.limit)).await?;
    let mut proposals = Vec::new();
    for row in rows {
        match night::proposals::read(alma, principal, &row.id).await {
            Ok((row, proposal)) => proposals.push(Line {
                proposal: row.id,
                state: row.state,
                of: row.of,
                title: proposal.title,
                night: row.night,
            }),
            Err(Error::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Response { proposals })
}
