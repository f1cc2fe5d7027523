//! Shows one question in full: every effect exactly as it would be carried out.

use crate::{Alma, Error};
use charter::approval::{Answer, ApprovalState, Card};
use charter::digest::Digest;
use charter::ids::{ApprovalId, Millis, MissionId, Principal};
use charter::ports::LedgerExt;
use serde::{Deserialize, Serialize};

/// Which question.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Which.
    pub approval: ApprovalId,
}

/// The question.
#[derive(Debug, Clone, Serialize)]
pub struct Response {
    /// Its name.
    pub approval: ApprovalId,
    /// The mission.
    pub mission: MissionId,
    /// How it stands.
    pub state: ApprovalState,
    /// Digest of the card: what `--approve-plan=` names.
    pub digest: Digest,
    /// The card.
    pub card: Card,
    /// When it expires.
    pub expires_at: Millis,
    /// The answer, if there is one.
    pub answer: Option<Answer>,
    /// Who answered.
    pub by: Option<String>,
}

/// Shows.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let row = alma.ledger().approval(&principal.tenant, &request.approval).await?;
    Ok(Response {
        card: alma.json_of(principal, &row.card, "a card").await?,
        approval: row.id,
        mission: row.mission,
        state: row.state,
        digest: row.digest,
        expires_at: row.expires_at,
        answer: row.answer,
        by: row.by,
    })
}
