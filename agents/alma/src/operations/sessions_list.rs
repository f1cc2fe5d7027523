//! Lists sessions of conversation, newest first.

use super::shared::limit;
use crate::{Alma, Error};
use charter::conversation::SessionRow;
use charter::ids::{Millis, Principal, SessionId, TurnId};
use serde::{Deserialize, Serialize};

/// Longest title.
const TITLE_MAX: usize = 120;

/// What to list.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Request {
    /// Only those older than this one.
    pub before: Option<SessionId>,
    /// How many at most; 50 unless given.
    pub limit: Option<u32>,
}

/// A page of sessions.
#[derive(Debug, Serialize)]
pub struct Response {
    /// The sessions.
    pub sessions: Vec<Line>,
}

/// One session.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// Its name.
    pub session: SessionId,
    /// The first words.
    pub title: String,
    /// How many turns it has.
    pub turns: u32,
    /// When the last turn began or ended.
    pub last_at: Millis,
    /// The folder that it is about.
    pub workspace: String,
    /// The turn after which it left another session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forked: Option<TurnId>,
}

/// Lists.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let after = request.before.map(|session| session.to_string());
    let rows: Vec<SessionRow> =
        alma.records(principal, None, after, true, limit(request.limit)).await?;
    let mut sessions = Vec::new();
    for row in rows.into_iter().filter(|row| row.subject == principal.subject) {
        sessions.push(line(alma, principal, row).await?);
    }
    Ok(Response { sessions })
}

/// A session, for people.
pub(crate) async fn line(
    alma: &Alma,
    principal: &Principal,
    row: SessionRow,
) -> Result<Line, Error> {
    let title = match &row.title {
        Some(title) => alma.spoken(principal, title).await?,
        None => String::new(),
    };
    Ok(Line {
        session: row.id,
        title: crate::talk::route::clip(title.trim(), TITLE_MAX).to_owned(),
        turns: row.turns,
        last_at: row.last_at,
        workspace: alma.spoken(principal, &row.workspace).await?,
        forked: row.forked,
    })
}
