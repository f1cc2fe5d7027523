//! Begins a session that goes on from a turn of another one, which stays as it is.

use crate::conversation::session_for;
use crate::{Alma, Error};
use charter::conversation::TurnRow;
use charter::ids::{Principal, SessionId, TurnId};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What to leave, and where.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The session to leave.
    pub session: SessionId,
    /// The last turn that both have; the newest unless given.
    #[serde(default)]
    pub turn: Option<TurnId>,
}

/// The new session.
#[derive(Debug, Serialize)]
pub struct Response {
    /// The new session.
    pub session: SessionId,
    /// The last turn that both have.
    pub forked: TurnId,
}

/// Forks.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let row = alma.session(principal, &request.session).await?;
    let turn = match &request.turn {
        Some(turn) => alma.turn(principal, turn).await?,
        None => {
            let parent = Some(row.id.to_string());
            let newest: Vec<TurnRow> = alma.records(principal, parent, None, true, 1).await?;
            newest.into_iter().next().ok_or_else(|| {
                Error::Conflict(format!("session {} has no turn to fork from", row.id))
            })?
        }
    };
    if turn.session != row.id {
        return Err(Error::NotFound(format!("turn {} of session {}", turn.id, row.id)));
    }
    let workspace = PathBuf::from(alma.text_of(principal, &row.workspace).await?);
    let forked = turn.id;
    let session = session_for(alma, principal, None, &workspace, Some(forked.clone())).await?;
    Ok(Response { session, forked })
}
