//! The record of conversations: sessions, turns, what was said.

use crate::operations::shared::{FORGOTTEN, there};
use crate::{Alma, Error};
use charter::content::ContentRef;
use charter::conversation::{SessionRow, TurnRow, TurnState};
use charter::ids::{Principal, SessionId, StreamId, TurnId};
use charter::ports::{Query, Rows};
use charter::record::{Kept, RecordKey, RecordKind};
use serde::Serialize;
use sons_of_helaman::Draft;

/// Forks that are followed back.
const FORKS_MAX: u32 = 32;

/// Events of one session that are committed together, with their texts.
pub(super) fn entry<'a>(alma: &'a Alma, principal: &Principal, session: &SessionId) -> Draft<'a> {
    alma.draft(principal, StreamId::conversation(session))
}

impl Alma {
    /// One record of a kind. Another person's session is not found.
    pub(crate) async fn record<R: Kept>(
        &self,
        principal: &Principal,
        id: &str,
    ) -> Result<R, Error> {
        let key = RecordKey::new(R::KIND, id);
        let missing = || Error::NotFound(format!("{} {id}", R::KIND.as_str()));
        match self.ledger().query(&principal.tenant, Query::Record { key }).await? {
            Rows::Records(rows) => rows.into_iter().next().and_then(R::of).ok_or_else(missing),
            _ => Err(missing()),
        }
    }

    pub(crate) async fn records<R: Kept>(
        &self,
        principal: &Principal,
        parent: Option<String>,
        after: Option<String>,
        newest: bool,
        limit: u32,
    ) -> Result<Vec<R>, Error> {
        let query = Query::Records { kind: R::KIND, parent, state: None, after, newest, limit };
        match self.ledger().query(&principal.tenant, query).await? {
            Rows::Records(rows) => Ok(rows.into_iter().filter_map(R::of).collect()),
            _ => Ok(Vec::new()),
        }
    }

    pub(crate) async fn session(
        &self,
        principal: &Principal,
        id: &SessionId,
    ) -> Result<SessionRow, Error> {
        let row: SessionRow = self.record(principal, id.as_str()).await?;
        match row.subject == principal.subject {
            true => Ok(row),
            false => Err(Error::NotFound(format!("{} {id}", RecordKind::Session.as_str()))),
        }
    }

    pub(crate) async fn turn(&self, principal: &Principal, id: &TurnId) -> Result<TurnRow, Error> {
        let row: TurnRow = self.record(principal, id.as_str()).await?;
        self.session(principal, &row.session).await?;
        Ok(row)
    }

    /// A text, or a word in its place when it was forgotten.
    pub(crate) async fn spoken(
        &self,
        principal: &Principal,
        reference: &ContentRef,
    ) -> Result<String, Error> {
        let text = there(self.text_of(principal, reference).await)?;
        Ok(text.unwrap_or_else(|| FORGOTTEN.to_owned()))
    }
}

/// One exchange, for people and models.
#[derive(Debug, Clone, Serialize)]
pub struct History {
    /// The turn.
    #[serde(flatten)]
    pub turn: Line,
    /// What was said.
    pub said: String,
    /// What Alma said.
    pub answer: Option<String>,
}

/// A turn without its texts.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// Its name.
    pub turn: TurnId,
    /// Its session.
    pub session: SessionId,
    /// How it stands.
    pub state: TurnState,
    /// When it began.
    pub at: charter::ids::Millis,
    /// What was done.
    pub route: Option<charter::conversation::Route>,
    /// Its mission.
    pub mission: Option<charter::ids::MissionId>,
}

/// The last turns of a session in order, those from which it was forked included.
pub(super) async fn turns(
    alma: &Alma,
    principal: &Principal,
    session: &SessionId,
    before: Option<u32>,
    limit: u32,
) -> Result<Vec<TurnRow>, Error> {
    let mut found: Vec<TurnRow> = Vec::new();
    let (mut session, mut below) = (alma.session(principal, session).await?, before);
    for _ in 0..FORKS_MAX {
        let wanted = limit.saturating_sub(found.len() as u32);
        if wanted == 0 {
            break;
        }
        let mut after = None;
        let mut taken = 0;
        // Turns are named in the order of their making; newer ones than the fork
        // are passed over page by page.
        while taken < wanted {
            let parent = Some(session.id.to_string());
            let page: Vec<TurnRow> = alma.records(principal, parent, after, true, 100).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id.to_string());
            let full = page.len() == 100;
            for row in page {
                if below.is_none_or(|n| row.n < n) && taken < wanted {
                    taken += 1;
                    found.push(row);
                }
            }
            if !full {
                break;
            }
        }
        let Some(turn) = &session.forked else { break };
        let from: TurnRow = alma.turn(principal, turn).await?;
        below = Some(from.n + 1);
        session = alma.session(principal, &from.session).await?;
    }
    found.reverse();
    Ok(found)
}

/// The last exchanges of a session in order.
pub async fn history(
    alma: &Alma,
    principal: &Principal,
    session: &SessionId,
    limit: u32,
) -> Result<Vec<History>, Error> {
    let mut all = Vec::new();
    for row in turns(alma, principal, session, None, limit).await? {
        all.push(exchange(alma, principal, row).await?);
    }
    Ok(all)
}

pub(super) async fn exchange(
    alma: &Alma,
    principal: &Principal,
    row: TurnRow,
) -> Result<History, Error> {
    let answer = match &row.answer {
        Some(answer) => Some(alma.spoken(principal, answer).await?),
        None => None,
    };
    Ok(History {
        said: alma.spoken(principal, &row.said).await?,
        answer,
        turn: Line {
            turn: row.id,
            session: row.session,
            state: row.state,
            at: row.at,
            route: row.route,
            mission: row.mission,
        },
    })
}
