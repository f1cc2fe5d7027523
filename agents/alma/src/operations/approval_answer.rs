//! Answers one question. The answer is spent by the effects it is about, and by
//! nothing else.

use crate::{Alma, Error};
use charter::approval::{APPROVAL_OPEN_MS, Answer, ApprovalState, Question};
use charter::digest::Digest;
use charter::event::Event;
use charter::ids::{ApprovalId, MissionId, Principal};
use charter::ports::{LeaseChange, LedgerExt};
use serde::{Deserialize, Serialize};
use sons_of_helaman::{Draft, commit};

/// The answer.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Which question.
    pub approval: ApprovalId,
    /// The answer.
    pub answer: Answer,
    /// Only if the card still has this digest.
    #[serde(default)]
    pub digest: Option<Digest>,
    /// Whether the card was shown before.
    #[serde(default)]
    pub seen: bool,
}

/// What became of it.
#[derive(Debug, Serialize)]
pub struct Response {
    /// Which.
    pub approval: ApprovalId,
    /// The mission that goes on.
    pub mission: MissionId,
    /// How it stands.
    pub state: ApprovalState,
}

/// Answers. An expired question is opened again first.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let tenant = &principal.tenant;
    let row = alma.ledger().approval(tenant, &request.approval).await?;
    let fits = match row.question {
        Question::Permission | Question::Part | Question::Plan => {
            matches!(request.answer, Answer::Approve | Answer::Deny)
        }
        Question::InDoubt => {
            matches!(request.answer, Answer::Happened | Answer::NotHappened | Answer::Deny)
        }
    };
    if !fits {
        return Err(Error::Usage(match row.question {
            Question::InDoubt => format!(
                "{} asks whether something happened: answer with `alma approve {} --happened` \
                 or `--not-happened`",
                row.id, row.id
            ),
            Question::Permission | Question::Part | Question::Plan => {
                format!("{} asks for permission: answer with `alma approve` or `alma deny`", row.id)
            }
        }));
    }
    if let Some(digest) = request.digest
        && digest != row.digest
    {
        return Err(Error::Conflict(format!(
            "{} is about {}, not about {}: look at it again with `alma approvals show {}`",
            row.id,
            row.digest.short(),
            digest.short(),
            row.id
        )));
    }
    let mut draft = Draft::new(&alma.ports, tenant, &row.mission);
    match row.state {
        ApprovalState::Open => {}
        ApprovalState::Expired => draft.event(Event::ApprovalReopened {
            approval: row.id.clone(),
            mission: row.mission.clone(),
            expires_at: alma.now() + APPROVAL_OPEN_MS,
        }),
        ApprovalState::Approved | ApprovalState::Denied | ApprovalState::Withdrawn => {
            return Err(Error::Conflict(format!(
                "{} was answered or withdrawn already and cannot be answered again",
                row.id
            )));
        }
    }
    draft.event(Event::ApprovalAnswered {
        approval: row.id.clone(),
        mission: row.mission.clone(),
        answer: request.answer,
        by: principal.subject.clone(),
        seen: request.seen,
        steps: row.steps.clone(),
    });
    commit(&alma.ports, draft.transition(None, LeaseChange::Keep)).await?;
    let state = match request.answer {
        Answer::Deny => ApprovalState::Denied,
        Answer::Approve | Answer::Happened | Answer::NotHappened => ApprovalState::Approved,
    };
    Ok(Response { approval: row.id, mission: row.mission, state })
}
