//! What a turn came to.

use super::log::exchange;
use crate::{Alma, Error};
use charter::approval::ApprovalState;
use charter::conversation::{Route, Tone, TurnRow, TurnState};
use charter::ids::{ApprovalId, MissionId, Principal, SessionId, TurnId};
use charter::ports::{LedgerExt, Query, Rows};
use charter::rows::MissionState;
use serde::Serialize;

/// What a turn came to.
#[derive(Debug, Clone, Serialize)]
pub struct Answer {
    /// The session.
    pub session: SessionId,
    /// The turn.
    pub turn: TurnId,
    /// How it ended.
    pub turn_state: TurnState,
    /// What was done.
    pub route: Option<Route>,
    /// Why.
    pub reason: Option<String>,
    /// The shape of the answer.
    pub tone: Option<Tone>,
    /// What Alma says.
    pub answer: String,
    /// Its mission.
    pub mission: Option<MissionId>,
    /// How that stands.
    pub mission_state: Option<MissionState>,
    /// What a person is asked about it.
    pub approvals: Vec<ApprovalId>,
}

/// The answer of a turn as it is on record.
pub(super) async fn recorded(
    alma: &Alma,
    principal: &Principal,
    row: TurnRow,
) -> Result<Answer, Error> {
    let (route, tone) = (row.route, row.tone);
    let reason = match &row.reason {
        Some(reason) => Some(alma.spoken(principal, reason).await?),
        None => None,
    };
    let shown = exchange(alma, principal, row).await?;
    let (mut mission_state, mut approvals) = (None, Vec::new());
    if let Some(mission) = &shown.turn.mission {
        mission_state = Some(alma.ledger().mission(&principal.tenant, mission).await?.state);
        approvals = open_of(alma, principal, Some(mission)).await?;
    }
    Ok(Answer {
        session: shown.turn.session,
        turn: shown.turn.turn,
        turn_state: shown.turn.state,
        route,
        reason,
        tone,
        answer: shown.answer.unwrap_or_default(),
        mission: shown.turn.mission,
        mission_state,
        approvals,
    })
}

/// Open questions, of one mission or of all.
pub(super) async fn open_of(
    alma: &Alma,
    principal: &Principal,
    mission: Option<&MissionId>,
) -> Result<Vec<ApprovalId>, Error> {
    let query = Query::Approvals {
        mission: mission.cloned(),
        state: Some(ApprovalState::Open),
        limit: 100,
    };
    match alma.ledger().query(&principal.tenant, query).await? {
        Rows::Approvals(rows) => Ok(rows.into_iter().map(|row| row.id).collect()),
        _ => Ok(Vec::new()),
    }
}
