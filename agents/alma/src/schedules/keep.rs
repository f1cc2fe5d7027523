//! Schedules on record: made, approved, paused, resumed, deleted, shown.

use super::cron::Cron;
use super::show::{Shown, shown};
use super::zone::{self, Zone};
use crate::operations::plan_dry_run::{Effect, foresee_plan};
use crate::operations::plan_new;
use crate::{Alma, Error};
use charter::digest::Digest;
use charter::effect::EffectClass;
use charter::event::Event;
use charter::ids::{Millis, Principal, ScheduleId, StreamId};
use charter::label::Label;
use charter::plan::Plan;
use charter::ports::{Query, Rows};
use charter::schedule::{Missed, ScheduleRow, ScheduleState, Scheduled};
use jiff::civil::Date;
use policy::{Place, Verdict};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Schedules that a person may have at a time.
const SCHEDULES_MAX: usize = 200;
/// Rows read at a time.
const PAGE: u32 = 500;

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
    let planned = planned_on(alma, principal, &wanted.wish, wanted.workspace.clone(), day).await?;
    if !planned.plan.unmet.is_empty() {
        return Err(Error::Usage(format!(
            "only a part of this can be done, so it is not put on a schedule; not possible: {}",
            planned.plan.unmet.join("; ")
        )));
    }
    notes.extend(planned.notes);
    let (effects, mut unforeseen) = foresee_plan(alma, &wanted.workspace, &planned.plan).await;
    unforeseen.extend(idle(&planned.plan, &effects, &unforeseen));
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
    let mut draft = alma.draft(principal, StreamId::admin());
    let event = Scheduled::Created {
        schedule: schedule.clone(),
        subject: principal.subject.clone(),
        wish: draft.text(&wanted.wish, Label::TRUSTED)?,
        workspace: draft.text(&workspace, Label::TRUSTED)?,
        plan: draft.json(&arrangement, Label::TRUSTED)?,
        digest,
        cron: wanted.cron.clone(),
        zone: zone.name.clone(),
        missed: wanted.missed,
        next_at: (!waits).then_some(next),
    };
    draft.event(Event::Scheduled(event));
    draft.commit().await?;
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

/// Steps that would lose something, and today have nothing to do: no file fits yet.
fn idle(plan: &Plan, effects: &[Effect], unforeseen: &[(u32, String)]) -> Vec<(u32, String)> {
    plan.steps
        .iter()
        .filter(|step| step.effect >= EffectClass::Change)
        .filter(|step| !effects.iter().any(|effect| effect.step == step.n))
        .filter(|step| !unforeseen.iter().any(|(n, _)| *n == step.n))
        .map(|step| {
            let (n, class) = (step.n, step.effect);
            (n, format!("step {n} finds nothing to do today; on another day: {class}"))
        })
        .collect()
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
    principal: &Principal,
    wish: &str,
    workspace: PathBuf,
    day: Date,
) -> Result<plan_new::Response, Error> {
    let request = plan_new::Request {
        workspace,
        words: Some(wish.to_owned()),
        file: None,
        budget: None,
        priority: None,
    };
    plan_new::plan_on(alma, principal, request, day).await
}

/// The calendar day in a zone.
pub(super) fn day_of(at: Millis, zone: &Zone) -> Result<Date, Error> {
    let moment = jiff::Timestamp::from_millisecond(at).map_err(|error| Error::Machine {
        operation: "read the clock".to_owned(),
        cause: error.to_string(),
    })?;
    Ok(moment.to_zoned(zone.rules.clone()).date())
}

pub(super) fn read(cron: &str) -> Result<Cron, Error> {
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
    record(alma, principal, event).await?;
    row(alma, principal, id).await
}

/// Lets a schedule rest.
pub(crate) async fn pause(
    alma: &Alma,
    principal: &Principal,
    id: &ScheduleId,
) -> Result<ScheduleRow, Error> {
    row(alma, principal, id).await?;
    record(alma, principal, Scheduled::Paused { schedule: id.clone() }).await?;
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
    record(alma, principal, event).await?;
    row(alma, principal, id).await
}

/// Ends a schedule. Missions that it submitted go on.
pub(crate) async fn delete(
    alma: &Alma,
    principal: &Principal,
    id: &ScheduleId,
) -> Result<ScheduleRow, Error> {
    row(alma, principal, id).await?;
    record(alma, principal, Scheduled::Deleted { schedule: id.clone() }).await?;
    row(alma, principal, id).await
}

/// Puts what happened to a schedule on record.
async fn record(alma: &Alma, principal: &Principal, event: Scheduled) -> Result<(), Error> {
    let mut draft = alma.draft(principal, StreamId::admin());
    draft.event(Event::Scheduled(event));
    draft.commit().await?;
    Ok(())
}

fn next_of(alma: &Alma, row: &ScheduleRow) -> Result<Millis, Error> {
    let (cron, zone) = (read(&row.cron)?, zone::named(&row.zone)?);
    cron.next(alma.now(), &zone.rules).ok_or_else(|| {
        Error::Conflict(format!("{} has no next time: {:?} never comes", row.id, row.cron))
    })
}
