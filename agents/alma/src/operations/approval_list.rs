//! Lists what a person is asked, oldest first.

use super::shared::{FORGOTTEN, limit, there};
use crate::{Alma, Error};
use charter::approval::{ApprovalState, Card, Question};
use charter::digest::Digest;
use charter::ids::{ApprovalId, Millis, MissionId, Principal};
use charter::ports::{Query, Rows};
use serde::{Deserialize, Serialize};

/// What to list.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Request {
    /// Only of this mission.
    pub mission: Option<MissionId>,
    /// Answered, expired and withdrawn ones too.
    pub all: bool,
    /// How many at most; 50 unless given.
    pub limit: Option<u32>,
}

/// The questions.
#[derive(Debug, Serialize)]
pub struct Response {
    /// The questions.
    pub approvals: Vec<Line>,
}

/// One question.
#[derive(Debug, Serialize)]
pub struct Line {
    /// Its name.
    pub approval: ApprovalId,
    /// The mission.
    pub mission: MissionId,
    /// The kind of question.
    pub question: Question,
    /// How it stands.
    pub state: ApprovalState,
    /// The question in one sentence.
    pub title: String,
    /// Digest of the card.
    pub digest: Digest,
    /// When it was asked.
    pub asked_at: Millis,
    /// When it expires.
    pub expires_at: Millis,
}

/// Lists.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    // Open ones and, because they can be opened again, expired ones.
    let states: &[Option<ApprovalState>] = if request.all {
        &[None]
    } else {
        &[Some(ApprovalState::Open), Some(ApprovalState::Expired)]
    };
    let mut approvals = Vec::new();
    for state in states {
        let query = Query::Approvals {
            mission: request.mission.clone(),
            state: *state,
            limit: limit(request.limit),
        };
        if let Rows::Approvals(rows) = alma.ledger().query(&principal.tenant, query).await? {
            for row in rows {
                let card: Option<Card> = there(alma.json_of(principal, &row.card, "a card").await)?;
                approvals.push(Line {
                    approval: row.id,
                    mission: row.mission,
                    question: row.question,
                    state: row.state,
                    title: card.map_or_else(|| FORGOTTEN.to_owned(), |card| card.title),
                    digest: row.digest,
                    asked_at: row.asked_at,
                    expires_at: row.expires_at,
                });
            }
        }
    }
    Ok(Response { approvals })
}
