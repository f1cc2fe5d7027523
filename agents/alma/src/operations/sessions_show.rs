//! Shows what was said in a session: who resumes it begins here.

use super::sessions_list::{self, Line};
use super::shared::limit;
use crate::conversation::{History, history};
use crate::{Alma, Error};
use charter::ids::{Principal, SessionId};
use serde::{Deserialize, Serialize};

/// Which session.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Which.
    pub session: SessionId,
    /// How many of the last turns; 50 unless given.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// A session with its last turns.
#[derive(Debug, Serialize)]
pub struct Response {
    /// The session.
    #[serde(flatten)]
    pub line: Line,
    /// The turns in order; those before a fork included.
    pub history: Vec<History>,
}

/// Shows.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let row = alma.session(principal, &request.session).await?;
    Ok(Response {
        line: sessions_list::line(alma, principal, row).await?,
        history: history(alma, principal, &request.session, limit(request.limit)).await?,
    })
}
