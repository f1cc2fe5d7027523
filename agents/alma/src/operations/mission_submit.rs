//! Plans a wish and accepts it as a mission: from here on it is never lost.

use super::plan_new;
use crate::{Alma, Error};
use charter::approval::{APPROVAL_OPEN_MS, Card, Question};
use charter::digest::Digest;
use charter::event::Event;
use charter::flow::Priority;
use charter::ids::{ApprovalId, Millis, MissionId, Principal, StreamId, TransitionId};
use charter::label::Label;
use charter::plan::{Plan, PlanSource};
use charter::ports::{Drawn, Entropy, LeaseChange, LedgerExt, Query, Rows};
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
    /// The name that the mission gets, where its folder had to be made before it.
    #[serde(default)]
    pub mission: Option<MissionId>,
    /// Accept this request once, however often it comes.
    #[serde(default)]
    pub once: Option<Once>,
}

/// The name of a request: whoever repeats the request under it gets the mission
/// that was accepted first, also after a crash.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Once {
    /// The name, unique for the person who asks.
    pub key: String,
    /// Digest of the request as it came.
    pub request: Digest,
}

impl Once {
    /// Finds the mission: key and request.
    fn same(&self, principal: &Principal) -> Digest {
        let subject = principal.subject.as_bytes();
        Digest::of_parts(&[b"once", subject, self.key.as_bytes(), &self.request.0])
    }

    /// The key alone names the transition, so that the ledger takes one request
    /// per key and no more.
    fn transition(&self, principal: &Principal) -> TransitionId {
        let (tenant, subject) = (principal.tenant.0.as_bytes(), principal.subject.as_bytes());
        let digest = Digest::of_parts(&[b"once", tenant, subject, self.key.as_bytes()]);
        let [a, b, c, d, e, f, random @ ..] = digest.0;
        TransitionId::new(Millis::from_be_bytes([0, 0, a, b, c, d, e, f]), &Drawn(&random))
    }
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
    submit(alma, principal, request, None).await
}

/// Accepts with the plan that was made of this wish a moment ago.
pub(crate) async fn submit(
    alma: &Alma,
    principal: &Principal,
    request: Request,
    planned: Option<plan_new::Response>,
) -> Result<Response, Error> {
    let words = request.wish.words.clone().or_else(|| request.wish.file.clone());
    let words = words.unwrap_or_default().trim().to_owned();
    let workspace = request.wish.workspace.to_string_lossy().into_owned();
    let same = match &request.once {
        Some(once) => once.same(principal),
        None => Digest::of_parts(&[
            principal.subject.as_bytes(),
            workspace.as_bytes(),
            words.as_bytes(),
        ]),
    };
    let before = newest(alma, principal, same).await?;
    if request.once.is_some() {
        if let Some(row) = before {
            return replay(alma, principal, row).await;
        }
    } else if !request.again
        && let Some(row) = before.filter(|row| !row.state.is_end())
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
    let planned = match planned {
        Some(planned) => planned,
        None => plan_new::run(alma, principal, request.wish).await?,
    };
    let wanted = Wanted {
        mission: request.mission,
        transition: request.once.as_ref().map(|once| once.transition(principal)),
        same,
        priority: planned.priority,
    };
    let accepting = accept(alma, principal, &planned.plan, &workspace, wanted).await;
    let (mission, state) = match (accepting, request.once) {
        // The key was used while this one was planned, or for something else.
        (Err(Error::Conflict(_)), Some(once)) => {
            return match newest(alma, principal, same).await? {
                Some(row) => replay(alma, principal, row).await,
                None => Err(Error::KeyReused(once.key)),
            };
        }
        (accepting, _) => accepting?,
    };
    let mut notes = planned.notes;
    notes.extend(alma.ledger().mode(&principal.tenant).await?.notice().map(str::to_owned));
    notes.extend(alma.installation.degraded().iter().map(ToString::to_string));
    Ok(Response {
        mission,
        resumed: false,
        state,
        plan: planned.plan,
        digest: planned.digest,
        text: planned.text,
        reason: planned.reason,
        notes,
    })
}

/// The newest mission of the same wish.
async fn newest(
    alma: &Alma,
    principal: &Principal,
    same: Digest,
) -> Result<Option<MissionRow>, Error> {
    let query = Query::Missions { state: None, same: Some(same), before: None, limit: 1 };
    match alma.ledger().query(&principal.tenant, query).await? {
        Rows::Missions(rows) => Ok(rows.into_iter().next()),
        _ => Ok(None),
    }
}

/// What was said when the request was accepted, whatever came of it since.
async fn replay(alma: &Alma, principal: &Principal, row: MissionRow) -> Result<Response, Error> {
    let query = Query::Events { stream: StreamId::mission(&row.id), after: 0, limit: 2 };
    let events = match alma.ledger().query(&principal.tenant, query).await? {
        Rows::Events(events) => events,
        _ => Vec::new(),
    };
    let first = events.into_iter().find_map(|recorded| match recorded.event {
        Event::MissionPlanned { plan, digest, .. } => Some((plan, digest)),
        _ => None,
    });
    let (plan, digest) = first.unwrap_or((row.plan, row.plan_digest));
    let plan: Plan = alma.json_of(principal, &plan, "a plan").await?;
    Ok(Response {
        text: moroni::render::plan(&plan),
        mission: row.id,
        resumed: true,
        state: accepted(&plan),
        digest,
        plan,
        reason: "the same request was accepted before".to_owned(),
        notes: Vec::new(),
    })
}

/// How a mission stands when its plan was accepted.
fn accepted(plan: &Plan) -> MissionState {
    if question(plan).is_none() { MissionState::Running } else { MissionState::Waiting }
}

/// What a person is asked before anything of the plan is done.
fn question(plan: &Plan) -> Option<Card> {
    let (question, title, notes) = if !plan.unmet.is_empty() {
        let unmet = plan.unmet.iter().map(|part| format!("not possible: {part}")).collect();
        (Question::Part, "Only a part of this can be done here. Is the part welcome?", unmet)
    } else if let PlanSource::Model { name, .. } = &plan.source {
        let mut notes = moroni::render::in_full(plan);
        notes.push(format!("planned by the language model {name}, and by nobody else"));
        (Question::Plan, "A language model wrote this plan. Shall it be carried out?", notes)
    } else {
        return None;
    };
    Some(Card { question, title: title.to_owned(), effects: Vec::new(), notes })
}

/// Names that an accepted mission gets.
struct Wanted {
    mission: Option<MissionId>,
    transition: Option<TransitionId>,
    same: Digest,
    priority: Priority,
}

async fn accept(
    alma: &Alma,
    principal: &Principal,
    plan: &Plan,
    workspace: &str,
    wanted: Wanted,
) -> Result<(MissionId, MissionState), Error> {
    let now = alma.now();
    let entropy = alma.ports.entropy.as_ref();
    let mission = wanted.mission.unwrap_or_else(|| MissionId::new(now, entropy));
    let mut draft = Draft::new(&alma.ports, &principal.tenant, &mission);
    let Wanted { same, priority, .. } = wanted;
    let place = Place { workspace, mission: &mission, same, priority };
    lay_down(&mut draft, (alma, principal), plan, place)?;
    ask_first(&mut draft, plan, &mission, now, entropy)?;
    let mut transition = draft.transition(None, LeaseChange::Keep);
    if let Some(id) = wanted.transition {
        transition.id = id;
    }
    commit(&alma.ports, transition).await?;
    Ok((mission, accepted(plan)))
}

/// Where a mission stands among others.
pub(crate) struct Place<'p> {
    /// The folder it works in.
    pub(crate) workspace: &'p str,
    /// Its name.
    pub(crate) mission: &'p MissionId,
    /// Finds the same wish again.
    pub(crate) same: Digest,
    /// How urgent it is.
    pub(crate) priority: Priority,
}

/// The events of a mission with this plan.
pub(crate) fn lay_down(
    draft: &mut Draft<'_>,
    (alma, principal): (&Alma, &Principal),
    plan: &Plan,
    place: Place<'_>,
) -> Result<(), Error> {
    let Place { workspace, mission, same, priority } = place;
    let wish = draft.text(&plan.goal, Label::TRUSTED)?;
    let workspace = draft.text(workspace, Label::TRUSTED)?;
    draft.event(Event::MissionSubmitted {
        mission: mission.clone(),
        subject: principal.subject.clone(),
        wish,
        workspace,
        same,
        budget: plan.budget.clone(),
        priority,
    });
    let content = draft.json(plan, Label::TRUSTED)?;
    draft.event(Event::MissionPlanned {
        mission: mission.clone(),
        plan: content,
        digest: plan.digest()?,
        steps: moroni::heads(plan, &alma.tools().specs())?,
    });
    Ok(())
}

/// Asks what there is to ask before anything of the plan is done.
pub(crate) fn ask_first(
    draft: &mut Draft<'_>,
    plan: &Plan,
    mission: &MissionId,
    now: Millis,
    entropy: &dyn Entropy,
) -> Result<(), Error> {
    if let Some(card) = question(plan) {
        let first: Vec<_> = plan
            .steps
            .iter()
            .filter(|step| step.needs().is_empty())
            .map(|step| charter::ids::StepKey::step(mission, step.n))
            .collect();
        let question = card.question;
        let digest = card.digest()?;
        let card = draft.json(&card, Label::TRUSTED)?;
        draft.event(Event::ApprovalRequested {
            approval: ApprovalId::new(now, entropy),
            mission: mission.clone(),
            question,
            card,
            digest,
            grants: Vec::new(),
            steps: first,
            expires_at: now + APPROVAL_OPEN_MS,
        });
    }
    Ok(())
}
