//! Plans a wish and accepts it as a mission: from here on it is never lost.

use super::plan_new;
use crate::{Alma, Error};
use charter::approval::{APPROVAL_OPEN_MS, Card, Question};
use charter::digest::Digest;
use charter::event::Event;
use charter::ids::{ApprovalId, MissionId, Principal};
use charter::label::Label;
use charter::plan::Plan;
use charter::ports::{LeaseChange, Query, Rows};
use charter::rows::{MissionRow, MissionState};
use serde::{Deserialize, Serialize};
use sons_of_helaman::{Draft, commit};

/// A wish, as [`plan_new`] takes it, and whether to start over.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Request {
    /// The wish.
    #[serde(flatten)]
    pub wish: plan_new::Request,
    /// Make a new mission although the same wish waits already.
    #[serde(default)]
    pub again: bool,
}

/// What became of it.
#[derive(Debug, Clone, Serialize)]
pub struct Response {
    /// The mission.
    pub mission: MissionId,
    /// Whether it was there before: the same words, person and folder.
    pub resumed: bool,
    /// How it stands.
    pub state: MissionState,
    /// The plan.
    pub plan: Plan,
    /// Its digest.
    pub digest: Digest,
    /// The plan as text.
    pub text: String,
    /// Why this plan.
    pub reason: String,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// Accepts, or finds the same wish waiting.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let words = request.wish.words.clone().or_else(|| request.wish.file.clone());
    let words = words.unwrap_or_default().trim().to_owned();
    let workspace = request.wish.workspace.to_string_lossy().into_owned();
    let same =
        Digest::of_parts(&[principal.subject.as_bytes(), workspace.as_bytes(), words.as_bytes()]);
    if !request.again
        && let Some(row) = open(alma, principal, same).await?
    {
        let plan = alma.plan_of(principal, &row).await?;
        return Ok(Response {
            text: moroni::render::plan(&plan),
            mission: row.id,
            resumed: true,
            state: row.state,
            digest: row.plan_digest,
            plan,
            reason: "the same wish was not finished".to_owned(),
            notes: Vec::new(),
        });
    }
    let planned = plan_new::run(alma, principal, request.wish).await?;
    let (mission, state) = accept(alma, principal, &planned.plan, &workspace, same).await?;
    Ok(Response {
        mission,
        resumed: false,
        state,
        plan: planned.plan,
        digest: planned.digest,
        text: planned.text,
        reason: planned.reason,
        notes: planned.notes,
    })
}

/// The newest mission of the same wish that has not ended.
async fn open(
    alma: &Alma,
    principal: &Principal,
    same: Digest,
) -> Result<Option<MissionRow>, Error> {
    let query = Query::Missions { state: None, same: Some(same), before: None, limit: 1 };
    match alma.ledger().query(&principal.tenant, query).await? {
        Rows::Missions(rows) => Ok(rows.into_iter().next().filter(|row| !row.state.is_end())),
        _ => Ok(None),
    }
}

async fn accept(
    alma: &Alma,
    principal: &Principal,
    plan: &Plan,
    workspace: &str,
    same: Digest,
) -> Result<(MissionId, MissionState), Error> {
    let now = alma.now();
    let entropy = alma.ports.entropy.as_ref();
    let mission = MissionId::new(now, entropy);
    let mut draft = Draft::new(&alma.ports, &principal.tenant, &mission);
    let wish = draft.text(&plan.goal, Label::TRUSTED)?;
    let workspace = draft.text(workspace, Label::TRUSTED)?;
    draft.event(Event::MissionSubmitted {
        mission: mission.clone(),
        subject: principal.subject.clone(),
        wish,
        workspace,
        same,
        budget: plan.budget.clone(),
    });
    let content = draft.json(plan, Label::TRUSTED)?;
    let steps = moroni::heads(plan)?;
    let first: Vec<_> = steps
        .iter()
        .filter(|head| head.needs.is_empty())
        .map(|head| charter::ids::StepKey::step(&mission, head.n))
        .collect();
    draft.event(Event::MissionPlanned {
        mission: mission.clone(),
        plan: content,
        digest: plan.digest()?,
        steps,
    });
    let partly = !plan.unmet.is_empty();
    if partly {
        let card = Card {
            question: Question::Part,
            title: "Only a part of this can be done here. Is the part welcome?".to_owned(),
            effects: Vec::new(),
            notes: plan.unmet.iter().map(|part| format!("not possible: {part}")).collect(),
        };
        let digest = card.digest()?;
        let card = draft.json(&card, Label::TRUSTED)?;
        draft.event(Event::ApprovalRequested {
            approval: ApprovalId::new(now, entropy),
            mission: mission.clone(),
            question: Question::Part,
            card,
            digest,
            grants: Vec::new(),
            steps: first,
            expires_at: now + APPROVAL_OPEN_MS,
        });
    }
    commit(&alma.ports, draft.transition(None, LeaseChange::Keep)).await?;
    Ok((mission, if partly { MissionState::Waiting } else { MissionState::Running }))
}
