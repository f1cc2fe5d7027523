//! Schedules on record: made, approved, paused, resumed, deleted, shown.

use super::cron::{Cron, Local};
use super::when::describe;
use super::zone::{self, Zone};
use crate::operations::plan_dry_run::{Effect, foresee_plan};
use crate::operations::plan_new;
use crate::{Alma, Error};
use charter::content::{Content, ContentRef};
use charter::digest::Digest;
use charter::effect::EffectClass;
use charter::event::Event;
use charter::ids::{Millis, MissionId, Principal, ScheduleId, StreamId, TransitionId};
use charter::label::Label;
use charter::plan::Plan;
use charter::ports::{LeaseChange, LedgerExt, Query, Rows, Transition};
use charter::rows::MissionState;
use charter::schedule::{DueRow, Missed, Outcome, ScheduleRow, ScheduleState, Scheduled, runs_of};
use jiff::civil::Date;
use policy::{Place, Verdict};
use serde::{Deserialize, Serialize};
use sons_of_helaman::commit;
use std::path::PathBuf;

/// Schedules that a person may have at a time.
const SCHEDULES_MAX: usize = 200;
/// Rows read at a time.
const PAGE: u32 = 500;
/// Due times that are shown ahead.
const AHEAD: usize = 3;
/// Runs that wait, of which an alert tells.
const WAITING_MAX: u32 = 20;

/// The plan of a schedule and what its runs would ask.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Arrangement {
    /// The plan.
    pub(super) plan: Plan,
    /// The day for which it was planned, as `2026-03-30`.
    pub(super) day: String,
    /// What one approval covers.
    pub(super) covers: Vec<Cover>,
}

/// Effects of a step that one approval covers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Cover {
    pub(super) step: u32,
    pub(super) class: EffectClass,
    pub(super) rule: String,
}

impl Arrangement {
    pub(super) fn digest(&self) -> Result<Digest, Error> {
        let plan = self.plan.digest()?;
        Ok(Digest::of_json(&serde_json::json!({ "plan": plan, "covers": self.covers }))?)
    }
}

/// A schedule to be made.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// What is to be done.
    pub(crate) wish: String,
    /// The folder to work in. Absolute.
    pub(crate) workspace: PathBuf,
    /// When, as five cron fields.
    pub(crate) cron: String,
    /// The time zone; the system's unless named.
    pub(crate) zone: Option<String>,
    /// What is done about missed times.
    pub(crate) missed: Missed,
    /// The name it gets.
    pub(crate) schedule: ScheduleId,
}

/// A schedule that was made.
pub(crate) struct Made {
    pub(crate) shown: Shown,
    /// The plan as text.
    pub(crate) text: String,
    /// What would happen today.
    pub(crate) effects: Vec<Effect>,
    /// Steps that could not be foreseen, and why.
    pub(crate) unforeseen: Vec<String>,
    /// What the user should know.
    pub(crate) notes: Vec<String>,
}

/// A schedule, for people.
#[derive(Debug, Clone, Serialize)]
pub struct Shown {
    /// Its name.
    pub schedule: ScheduleId,
    /// How it stands.
    pub state: ScheduleState,
    /// What is done.
    pub wish: String,
    /// When, in words.
    pub when: String,
    /// When, as five cron fields.
    pub cron: String,
    /// Name of its time zone.
    pub zone: String,
    /// What is done about missed times.
    pub missed: Missed,
    /// The folder it works in.
    pub workspace: String,
    /// Digest of what its approval is about.
    pub digest: Digest,
    /// The next due time.
    pub next_at: Option<Millis>,
    /// The next due times as its zone's clocks show them.
    pub next: Vec<String>,
    /// The last due time and what came of it.
    pub last: Option<Last>,
    /// What a person should look at.
    pub alerts: Vec<Alert>,
}

/// A due time that came.
#[derive(Debug, Clone, Serialize)]
pub struct Last {
    /// When it was due.
    pub due_at: Millis,
    /// As the zone's clocks showed it.
    pub local: String,
    /// `ran`, `missed` or `failed`.
    pub outcome: String,
    /// Its mission.
    pub mission: Option<MissionId>,
    /// How that stands.
    pub mission_state: Option<MissionState>,
    /// Why it failed, or how many more passed with it.
    pub note: Option<String>,
}

/// Something that a person should look at.
#[derive(Debug, Clone, Serialize)]
pub struct Alert {
    /// What.
    pub text: String,
    /// The mission that waits.
    pub mission: Option<MissionId>,
}

/// Makes a schedule: plans the wish, looks what it would do today, and puts it on
/// record; it waits if its runs would ask.
pub(crate) async fn make(
    alma: &Alma,
    principal: &Principal,
    wanted: Wanted,
) -> Result<Made, Error> {
    let (zone, note) = match &wanted.zone {
        Some(name) => (zone::named(name)?, None),
        None => zone::of_system(),
    };
    let mut notes: Vec<String> = note.into_iter().collect();
    let cron = read(&wanted.cron)?;
    let now = alma.now();
    let next = cron.next(now, &zone.rules).ok_or_else(|| {
        Error::Usage(format!("{:?} never comes: no such day in the next years", wanted.cron))
    })?;
    let workspace = wanted.workspace.to_string_lossy().into_owned();
    let schedule = wanted.schedule.clone();
    same(alma, principal, &wanted, &zone, &workspace).await?;
    let day = day_of(now, &zone)?;
    let planned = planned_on(alma, &wanted.wish, wanted.workspace.clone(), day).await?;
    if !planned.plan.unmet.is_empty() {
        return Err(Error::Usage(format!(
            "only a part of this can be done, so it is not put on a schedule; not possible: {}",
            planned.plan.unmet.join("; ")
        )));
    }
    notes.extend(planned.notes);
    let (effects, unforeseen) = foresee_plan(alma, &wanted.workspace, &planned.plan).await;
    let covers = covers(alma, &planned.plan, &effects, &unforeseen);
    let each_time = effects.iter().filter(|e| e.verdict == Verdict::Ask && !e.may_stand);
    notes.extend(each_time.map(|effect| format!("asked every time: {}", effect.summary)));
    if let Some(denied) = effects.iter().find(|effect| effect.verdict == Verdict::Deny) {
        return Err(Error::Usage(format!(
            "policy forbids to {}: {}",
            denied.summary, denied.reason
        )));
    }
    let arrangement = Arrangement { plan: planned.plan, day: day.to_string(), covers };
    let digest = arrangement.digest()?;
    let waits = !arrangement.covers.is_empty();
    let mut entry = Entry::new(alma, principal);
    let event = Scheduled::Created {
        schedule: schedule.clone(),
        subject: principal.subject.clone(),
        wish: entry.text(&wanted.wish)?,
        workspace: entry.text(&workspace)?,
        plan: entry.json(&arrangement)?,
        digest,
        cron: wanted.cron.clone(),
        zone: zone.name.clone(),
        missed: wanted.missed,
        next_at: (!waits).then_some(next),
    };
    entry.commit(event).await?;
    let row = row(alma, principal, &schedule).await?;
    Ok(Made {
        shown: shown(alma, principal, &row).await?,
        text: planned.text,
        effects,
        unforeseen: unforeseen.into_iter().map(|(_, why)| why).collect(),
        notes,
    })
}

/// Refuses what is there already, and more than anybody needs.
async fn same(
    alma: &Alma,
    principal: &Principal,
    wanted: &Wanted,
    zone: &Zone,
    workspace: &str,
) -> Result<(), Error> {
    let all = schedules(alma, principal).await?;
    if all.len() >= SCHEDULES_MAX {
        return Err(Error::Conflict(format!(
            "there are {SCHEDULES_MAX} schedules already; delete one of them first"
        )));
    }
    for row in all {
        if row.cron == wanted.cron
            && row.zone == zone.name
            && alma.spoken(principal, &row.wish).await? == wanted.wish
            && alma.spoken(principal, &row.workspace).await? == workspace
        {
            return Err(Error::Conflict(format!(
                "this is scheduled already, as {}; look at it with `alma schedules show {}`",
                row.id, row.id
            )));
        }
    }
    Ok(())
}

/// What one approval can cover: what would ask today, and what steps that cannot be
/// foreseen may ask.
fn covers(
    alma: &Alma,
    plan: &Plan,
    effects: &[Effect],
    unforeseen: &[(u32, String)],
) -> Vec<Cover> {
    let mut covers: Vec<Cover> = effects
        .iter()
        .filter(|effect| effect.verdict == Verdict::Ask && effect.may_stand)
        .map(|e| Cover { step: e.step, class: e.class, rule: e.rule.clone() })
        .collect();
    for step in unforeseen.iter().filter_map(|(n, _)| plan.step(*n)) {
        for label in [Label::TRUSTED, Label::UNTRUSTED] {
            let request = policy::Request {
                class: step.effect,
                place: Place::Workspace,
                label,
                sandbox: None,
            };
            let decision = policy::decide(&alma.config.policy.rules, &request);
            let stands = charter::approval::may_stand(step.effect, label);
            if decision.verdict == Verdict::Ask && stands {
                let rule = decision.rule.to_string();
                covers.push(Cover { step: step.n, class: step.effect, rule });
            }
        }
    }
    covers.sort();
    covers.dedup();
    covers
}

/// The plan of a wish as of a day.
pub(super) async fn planned_on(
    alma: &Alma,
    wish: &str,
    workspace: PathBuf,
    day: Date,
) -> Result<plan_new::Response, Error> {
    let request =
        plan_new::Request { workspace, words: Some(wish.to_owned()), file: None, budget: None };
    plan_new::plan_on(alma, request, day).await
}

/// The calendar day in a zone.
pub(super) fn day_of(at: Millis, zone: &Zone) -> Result<Date, Error> {
    let moment = jiff::Timestamp::from_millisecond(at).map_err(|error| Error::Machine {
        operation: "read the clock".to_owned(),
        cause: error.to_string(),
    })?;
    Ok(moment.to_zoned(zone.rules.clone()).date())
}

fn read(cron: &str) -> Result<Cron, Error> {
    Cron::read(cron).map_err(|error| Error::Usage(error.to_string()))
}

/// The row of a schedule. Another person's is not found.
pub(crate) async fn row(
    alma: &Alma,
    principal: &Principal,
    id: &ScheduleId,
) -> Result<ScheduleRow, Error> {
    let row: ScheduleRow = alma.record(principal, id.as_str()).await?;
    match row.subject == principal.subject {
        true => Ok(row),
        false => Err(Error::NotFound(format!("schedule {id}"))),
    }
}

/// Schedules that are not deleted, oldest first.
pub(crate) async fn schedules(
    alma: &Alma,
    principal: &Principal,
) -> Result<Vec<ScheduleRow>, Error> {
    let mut all = Vec::new();
    for state in [ScheduleState::Active, ScheduleState::Waiting, ScheduleState::Paused] {
        let query = Query::Records {
            kind: charter::record::RecordKind::Schedule,
            parent: None,
            state: Some(state.as_str().to_owned()),
            after: None,
            newest: false,
            limit: PAGE,
        };
        if let Rows::Records(rows) = alma.ledger().query(&principal.tenant, query).await? {
            let rows = rows.into_iter().filter_map(<ScheduleRow as charter::record::Kept>::of);
            all.extend(rows.filter(|row| row.subject == principal.subject));
        }
    }
    all.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(all)
}

/// Says yes to what the runs of a schedule would ask; it begins.
pub(crate) async fn approve(
    alma: &Alma,
    principal: &Principal,
    id: &ScheduleId,
    digest: Option<Digest>,
    seen: bool,
) -> Result<ScheduleRow, Error> {
    let found = row(alma, principal, id).await?;
    if let Some(digest) = digest.filter(|digest| *digest != found.digest) {
        return Err(Error::Conflict(format!(
            "{id} is about {}, not about {}: look at it again with `alma schedules show {id}`",
            found.digest.short(),
            digest.short()
        )));
    }
    let next_at = next_of(alma, &found)?;
    let by = principal.subject.clone();
    let event = Scheduled::Approved { schedule: id.clone(), by, seen, next_at };
    Entry::new(alma, principal).commit(event).await?;
    row(alma, principal, id).await
}

/// Lets a schedule rest.
pub(crate) async fn pause(
    alma: &Alma,
    principal: &Principal,
    id: &ScheduleId,
) -> Result<ScheduleRow, Error> {
    row(alma, principal, id).await?;
    Entry::new(alma, principal).commit(Scheduled::Paused { schedule: id.clone() }).await?;
    row(alma, principal, id).await
}

/// Lets a schedule go on with the next due time from now.
pub(crate) async fn resume(
    alma: &Alma,
    principal: &Principal,
    id: &ScheduleId,
) -> Result<ScheduleRow, Error> {
    let found = row(alma, principal, id).await?;
    if found.state == ScheduleState::Waiting {
        return Err(Error::Conflict(format!(
            "{id} waits for its approval: look at it with `alma schedules show {id}`, then say \
             `alma schedules approve {id}`"
        )));
    }
    let next_at = next_of(alma, &found)?;
    let event = Scheduled::Resumed { schedule: id.clone(), next_at };
    Entry::new(alma, principal).commit(event).await?;
    row(alma, principal, id).await
}

/// Ends a schedule. Missions that it submitted go on.
pub(crate) async fn delete(
    alma: &Alma,
    principal: &Principal,
    id: &ScheduleId,
) -> Result<ScheduleRow, Error> {
    row(alma, principal, id).await?;
    Entry::new(alma, principal).commit(Scheduled::Deleted { schedule: id.clone() }).await?;
    row(alma, principal, id).await
}

fn next_of(alma: &Alma, row: &ScheduleRow) -> Result<Millis, Error> {
    let (cron, zone) = (read(&row.cron)?, zone::named(&row.zone)?);
    cron.next(alma.now(), &zone.rules).ok_or_else(|| {
        Error::Conflict(format!("{} has no next time: {:?} never comes", row.id, row.cron))
    })
}

/// A schedule as people see it.
pub(crate) async fn shown(
    alma: &Alma,
    principal: &Principal,
    row: &ScheduleRow,
) -> Result<Shown, Error> {
    let (cron, zone) = (read(&row.cron)?, zone::named(&row.zone)?);
    let from = row.next_at.map_or(alma.now(), |at| at - 1);
    let next = match (row.state, jiff::Timestamp::from_millisecond(from)) {
        (ScheduleState::Active | ScheduleState::Waiting, Ok(from)) => cron
            .after(from, &zone.rules)
            .take(AHEAD)
            .map(|at| Local(at.as_millisecond(), &zone.rules).to_string())
            .collect(),
        _ => Vec::new(),
    };
    let parent = Some(row.id.to_string());
    let newest: Vec<DueRow> = alma.records(principal, parent, None, true, 1).await?;
    let last = match newest.into_iter().next() {
        Some(due) => Some(last(alma, principal, due, &zone).await?),
        None => None,
    };
    let mut alerts = waiting(alma, principal, &row.id).await?;
    if let Some(Last { outcome, note: Some(note), .. }) = &last
        && outcome == "failed"
    {
        alerts.push(Alert { text: format!("the last time failed: {note}"), mission: None });
    }
    Ok(Shown {
        schedule: row.id.clone(),
        state: row.state,
        wish: alma.spoken(principal, &row.wish).await?,
        when: describe(&row.cron),
        cron: row.cron.clone(),
        zone: zone.name.clone(),
        missed: row.missed,
        workspace: alma.spoken(principal, &row.workspace).await?,
        digest: row.digest,
        next_at: row.next_at,
        next,
        last,
        alerts,
    })
}

/// The newest due times that came, newest first.
pub(crate) async fn past(
    alma: &Alma,
    principal: &Principal,
    row: &ScheduleRow,
    limit: u32,
) -> Result<Vec<Last>, Error> {
    let zone = zone::named(&row.zone)?;
    let parent = Some(row.id.to_string());
    let rows: Vec<DueRow> = alma.records(principal, parent, None, true, limit).await?;
    let mut all = Vec::with_capacity(rows.len());
    for due in rows {
        all.push(last(alma, principal, due, &zone).await?);
    }
    Ok(all)
}

/// The plan on record as text, and what an approval covers, a line for each.
pub(crate) async fn approved_plan(
    alma: &Alma,
    principal: &Principal,
    row: &ScheduleRow,
) -> Result<(String, Vec<String>), Error> {
    let arranged: Arrangement = alma.json_of(principal, &row.plan, "a schedule").await?;
    let line = |cover: &Cover| format!("step {}: {} ({})", cover.step, cover.class, cover.rule);
    let covers = arranged.covers.iter().map(line).collect();
    Ok((moroni::render::plan(&arranged.plan), covers))
}

/// What came of a due time.
async fn last(alma: &Alma, principal: &Principal, due: DueRow, zone: &Zone) -> Result<Last, Error> {
    let (outcome, mission, note) = match due.outcome {
        Outcome::Ran { mission } => ("ran", Some(mission), None),
        Outcome::Missed { more: 0 } => ("missed", None, None),
        Outcome::Missed { more } => ("missed", None, Some(format!("and {more} more after it"))),
        Outcome::Failed { error } => ("failed", None, Some(alma.spoken(principal, &error).await?)),
    };
    let mission_state = match &mission {
        Some(mission) => Some(alma.ledger().mission(&principal.tenant, mission).await?.state),
        None => None,
    };
    Ok(Last {
        due_at: due.due_at,
        local: Local(due.due_at, &zone.rules).to_string(),
        outcome: outcome.to_owned(),
        mission,
        mission_state,
        note,
    })
}

/// Runs of a schedule that wait for a person.
async fn waiting(alma: &Alma, principal: &Principal, id: &ScheduleId) -> Result<Vec<Alert>, Error> {
    let query = Query::Missions {
        state: Some(MissionState::Waiting),
        same: Some(runs_of(id)),
        before: None,
        limit: WAITING_MAX,
    };
    let rows = match alma.ledger().query(&principal.tenant, query).await? {
        Rows::Missions(rows) => rows,
        _ => Vec::new(),
    };
    let alert = |row: charter::rows::MissionRow| Alert {
        text: format!("{} waits for your answer: `alma approvals list`", row.id),
        mission: Some(row.id),
    };
    Ok(rows.into_iter().map(alert).collect())
}

/// One event about a schedule with its texts.
struct Entry<'a> {
    alma: &'a Alma,
    principal: &'a Principal,
    contents: Vec<Content>,
}

impl<'a> Entry<'a> {
    fn new(alma: &'a Alma, principal: &'a Principal) -> Self {
        Self { alma, principal, contents: Vec::new() }
    }

    fn text(&mut self, text: &str) -> Result<ContentRef, Error> {
        let (tenant, entropy) = (&self.principal.tenant, self.alma.ports.entropy.as_ref());
        let bytes = text.as_bytes().to_vec();
        let (content, reference) =
            Content::new(tenant, bytes, Label::TRUSTED, self.alma.now(), entropy)?;
        self.contents.push(content);
        Ok(reference)
    }

    fn json<T: Serialize>(&mut self, value: &T) -> Result<ContentRef, Error> {
        let (tenant, entropy) = (&self.principal.tenant, self.alma.ports.entropy.as_ref());
        let (content, reference) =
            Content::of_json(tenant, value, Label::TRUSTED, self.alma.now(), entropy)?;
        self.contents.push(content);
        Ok(reference)
    }

    async fn commit(self, event: Scheduled) -> Result<(), Error> {
        let at = self.alma.now();
        let transition = Transition {
            id: TransitionId::new(at, self.alma.ports.entropy.as_ref()),
            tenant: self.principal.tenant.clone(),
            at,
            fence: None,
            lease: LeaseChange::Keep,
            events: vec![(StreamId::admin(), Event::Scheduled(event))],
            contents: self.contents,
        };
        commit(&self.alma.ports, transition).await?;
        Ok(())
    }
}
