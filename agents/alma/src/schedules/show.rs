//! Schedules as people see them: how they stand, what came of due times, and what
//! to look at.

use super::cron::Local;
use super::keep::{Arrangement, Cover, read};
use super::rhythm::describe;
use super::zone::{self, Zone};
use crate::{Alma, Error};
use charter::digest::Digest;
use charter::ids::{Millis, MissionId, Principal, ScheduleId};
use charter::ports::{LedgerExt, Query, Rows};
use charter::rows::{MissionRow, MissionState};
use charter::schedule::{DueRow, Missed, Outcome, ScheduleRow, ScheduleState, runs_of};
use serde::Serialize;

/// Due times that are shown ahead.
const AHEAD: usize = 3;
/// Runs that wait, of which an alert tells.
const WAITING_MAX: u32 = 20;

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
pub(super) async fn waiting(
    alma: &Alma,
    principal: &Principal,
    id: &ScheduleId,
) -> Result<Vec<Alert>, Error> {
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
    let alert = |row: MissionRow| Alert {
        text: format!("{} waits for your answer: `alma approvals list`", row.id),
        mission: Some(row.id),
    };
    Ok(rows.into_iter().map(alert).collect())
}
