//! Due times that have come: each is taken once, with the mission that it submits
//! in the same transition.

use super::cron::Cron;
use super::keep::{Arrangement, day_of, planned_on};
use super::missed::{Taken, take};
use super::show::waiting;
use super::zone::{self, Zone};
use crate::operations::mission_submit::{Place, ask_first, lay_down};
use crate::operations::plan_new;
use crate::{Alma, Error};
use charter::approval::{APPROVAL_OPEN_MS, Answer, Card, Question, cover};
use charter::event::Event;
use charter::flow::Priority;
use charter::ids::{ApprovalId, Millis, MissionId, Principal, StreamId};
use charter::label::Label;
use charter::mode::Mode;
use charter::plan::Plan;
use charter::ports::{LedgerExt, Query, Rows};
use charter::record::Record;
use charter::schedule::{Outcome, ScheduleRow, Scheduled, runs_of};
use sons_of_helaman::Draft;
use std::path::PathBuf;

/// Schedules taken at a time; the rest is taken next.
const PAGE: u32 = 50;
/// Times that a page is taken before other work has its turn.
const PAGES_MAX: u32 = 20;

/// Takes every due time that has come, of all schedules. Gives how many schedules
/// had one.
pub async fn take_due(alma: &Alma) -> Result<u32, Error> {
    let tenant = charter::ids::TenantId::local();
    // What comes due meanwhile is missed, and taken as each schedule says.
    if alma.ledger().mode(&tenant).await? == Mode::Stopped {
        return Ok(0);
    }
    let mut taken = 0;
    for _ in 0..PAGES_MAX {
        let query = Query::DueRecords { now: alma.now(), limit: PAGE };
        let Rows::Records(rows) = alma.ledger().query(&tenant, query).await? else { break };
        let mut moved = 0;
        for record in rows {
            if let Record::Schedule(row) = record {
                moved += u32::from(take_one(alma, row).await?);
            }
        }
        taken += moved;
        if moved == 0 {
            break;
        }
    }
    Ok(taken)
}

/// Takes what is due of one schedule. `false`: nothing was, or somebody else did.
async fn take_one(alma: &Alma, row: ScheduleRow) -> Result<bool, Error> {
    let principal = Principal { tenant: row.tenant.clone(), subject: row.subject.clone() };
    let zone = zone::named(&row.zone)?;
    let cron = Cron::read(&row.cron).map_err(|error| Error::Usage(error.to_string()))?;
    let Some(first) = row.next_at else { return Ok(false) };
    let Some(taken) = take(&cron, &zone.rules, first, alma.now(), row.missed) else {
        return Ok(false);
    };
    // While a run waits for an answer, another would only ask the same again.
    let waits = !waiting(alma, &principal, &row.id).await?.is_empty();
    let run = match taken.iter().find(|one| one.runs && !waits) {
        Some(one) => Some(planned(alma, &principal, &row, &zone, one.due_at).await),
        None => None,
    };
    let now = alma.now();
    let mission = MissionId::new(now, alma.ports.entropy.as_ref());
    // The mission's stream carries no event unless it is submitted.
    let mut draft = Draft::new(&alma.ports, &principal.tenant, &mission);
    let outcome = match run {
        None => None,
        Some(Ok(run)) => {
            let place = Place {
                workspace: &run.workspace,
                mission: &mission,
                same: runs_of(&row.id),
                priority: Priority::Low,
            };
            lay_down(&mut draft, (alma, &principal), &run.plan, place)?;
            ask_first(&mut draft, &run.plan, &mission, now, alma.ports.entropy.as_ref())?;
            if let Some(by) = &row.approved
                && !run.covers.is_empty()
            {
                stand(&mut draft, alma, &mission, &run, (&by.by, by.seen))?;
            }
            Some(Outcome::Ran { mission })
        }
        // The record itself fails: it is taken again when it can be written.
        Some(Err(error @ Error::Ledger { .. })) => return Err(error),
        Some(Err(error)) => {
            let error = draft.text(&told(&error), Label::UNTRUSTED)?;
            Some(Outcome::Failed { error })
        }
    };
    for one in taken {
        let Taken { due_at, runs, more, next_at } = one;
        let outcome = match &outcome {
            Some(outcome) if runs => outcome.clone(),
            _ => Outcome::Missed { more },
        };
        let event = Scheduled::Due { schedule: row.id.clone(), due_at, outcome, next_at };
        draft.also(StreamId::admin(), Event::Scheduled(event));
    }
    match draft.commit().await.map_err(Error::from) {
        Ok(_) => Ok(true),
        // Taken by another process, paused or deleted meanwhile.
        Err(Error::Conflict(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A run to be submitted.
struct Run {
    plan: Plan,
    workspace: String,
    wish: String,
    /// What the approval of the schedule covers in this very plan.
    covers: Vec<charter::digest::Digest>,
}

async fn planned(
    alma: &Alma,
    principal: &Principal,
    row: &ScheduleRow,
    zone: &Zone,
    due_at: Millis,
) -> Result<Run, Error> {
    let wish = alma.text_of(principal, &row.wish).await?;
    let workspace = alma.text_of(principal, &row.workspace).await?;
    let folder = PathBuf::from(&workspace);
    if !folder.is_dir() {
        return Err(Error::Usage(format!(
            "the folder {workspace} is gone; put it back, or delete the schedule"
        )));
    }
    let arranged: Arrangement = alma.json_of(principal, &row.plan, "a schedule").await?;
    let due = planned_on(alma, principal, &wish, folder.clone(), day_of(due_at, zone)?).await?;
    let mut covers = Vec::new();
    if row.approved.is_some() && is_same(alma, principal, &arranged, &wish, folder).await? {
        for allowed in &arranged.covers {
            if let Some(step) = due.plan.step(allowed.step) {
                covers.push(cover(&step.digest()?, allowed.class, &allowed.rule));
            }
        }
    }
    let plan_new::Response { plan, .. } = due;
    Ok(Run { plan, workspace, wish, covers })
}

/// Whether the wish still comes to what was approved: then a plan for another day
/// differs from it in its dates alone.
async fn is_same(
    alma: &Alma,
    principal: &Principal,
    arranged: &Arrangement,
    wish: &str,
    folder: PathBuf,
) -> Result<bool, Error> {
    // A day that cannot be read is from another version: then nothing is covered.
    let Ok(day) = arranged.day.parse() else { return Ok(false) };
    let again = planned_on(alma, principal, wish, folder, day).await?;
    Ok(again.digest == arranged.plan.digest()?)
}

/// Lets the approval of the schedule stand for this mission.
fn stand(
    draft: &mut Draft<'_>,
    alma: &Alma,
    mission: &MissionId,
    run: &Run,
    (by, seen): (&str, bool),
) -> Result<(), Error> {
    let now = alma.now();
    let approval = ApprovalId::new(now, alma.ports.entropy.as_ref());
    let card = Card {
        question: Question::Permission,
        title: format!("What the schedule of “{}” was allowed to do.", run.wish),
        effects: Vec::new(),
        notes: run.plan.steps.iter().map(|step| format!("{}. {}", step.n, step.title)).collect(),
    };
    let digest = card.digest()?;
    let card = draft.json(&card, Label::TRUSTED)?;
    draft.event(Event::ApprovalRequested {
        approval: approval.clone(),
        mission: mission.clone(),
        question: Question::Permission,
        card,
        digest,
        grants: run.covers.clone(),
        steps: Vec::new(),
        expires_at: now + APPROVAL_OPEN_MS,
    });
    draft.event(Event::ApprovalAnswered {
        approval,
        mission: mission.clone(),
        answer: Answer::Approve,
        by: by.to_owned(),
        seen,
        steps: Vec::new(),
    });
    Ok(())
}

/// An error with its causes.
fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}
