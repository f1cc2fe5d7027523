//! Rules for schedules and their due times.

use super::records::{get, make, put, unmade};
use super::{Cx, RowKey, conflict, missions};
use charter::ids::{Millis, ScheduleId};
use charter::ports::LedgerError;
use charter::record::{RecordKey, RecordKind};
use charter::schedule::{Approver, DueRow, Outcome, ScheduleRow, ScheduleState, Scheduled};

pub(super) fn touches(event: &Scheduled) -> Vec<RowKey> {
    let schedule = event.schedule();
    let due = |at| RowKey::Record(RecordKey::due(schedule, at));
    let mut keys = vec![RowKey::record(RecordKind::Schedule, schedule)];
    match event {
        Scheduled::Created { .. } | Scheduled::Paused { .. } | Scheduled::Deleted { .. } => {}
        Scheduled::Approved { next_at, .. } | Scheduled::Resumed { next_at, .. } => {
            keys.push(due(*next_at))
        }
        Scheduled::Due { due_at, outcome, next_at, .. } => {
            keys.extend([due(*due_at), due(*next_at)]);
            if let Outcome::Ran { mission } = outcome {
                keys.push(RowKey::Mission(mission.clone()));
            }
        }
    }
    keys
}

pub(super) fn apply(event: &Scheduled, cx: &mut Cx<'_>) -> Result<(), LedgerError> {
    match event {
        Scheduled::Created {
            schedule,
            subject,
            wish,
            workspace,
            plan,
            digest,
            cron,
            zone,
            missed,
            next_at,
        } => {
            let state = match next_at {
                Some(_) => ScheduleState::Active,
                None => ScheduleState::Waiting,
            };
            let row = ScheduleRow {
                id: schedule.clone(),
                tenant: cx.tenant.clone(),
                state,
                subject: subject.clone(),
                wish: wish.clone(),
                workspace: workspace.clone(),
                plan: plan.clone(),
                digest: *digest,
                cron: cron.clone(),
                zone: zone.clone(),
                missed: *missed,
                approved: None,
                at: cx.at,
                next_at: *next_at,
            };
            make(row, cx)
        }
        Scheduled::Paused { schedule } => {
            let row = in_state(schedule, &[ScheduleState::Active], "paused", cx)?;
            put(ScheduleRow { state: ScheduleState::Paused, next_at: None, ..row }, cx);
            Ok(())
        }
        Scheduled::Approved { schedule, by, seen, next_at } => {
            let row = in_state(schedule, &[ScheduleState::Waiting], "approved", cx)?;
            let approved = Some(Approver { by: by.clone(), seen: *seen });
            goes_on(ScheduleRow { approved, ..row }, *next_at, cx)
        }
        Scheduled::Resumed { schedule, next_at } => {
            let row = in_state(schedule, &[ScheduleState::Paused], "resumed", cx)?;
            goes_on(row, *next_at, cx)
        }
        Scheduled::Deleted { schedule } => {
            use ScheduleState::{Active, Paused, Waiting};
            let row = in_state(schedule, &[Active, Waiting, Paused], "deleted", cx)?;
            put(ScheduleRow { state: ScheduleState::Deleted, next_at: None, ..row }, cx);
            Ok(())
        }
        Scheduled::Due { schedule, due_at, outcome, next_at } => {
            let row = in_state(schedule, &[ScheduleState::Active], "due", cx)?;
            if row.next_at != Some(*due_at) {
                return conflict(format!(
                    "schedule {schedule} is not due at {due_at}, or no longer"
                ));
            }
            if next_at <= due_at {
                return conflict(format!("schedule {schedule} would not go on after {due_at}"));
            }
            if let Outcome::Ran { mission } = outcome {
                missions::known(mission, cx)?;
            }
            let due = DueRow {
                schedule: schedule.clone(),
                tenant: cx.tenant.clone(),
                due_at: *due_at,
                at: cx.at,
                outcome: outcome.clone(),
            };
            make(due, cx)?;
            unmade(&RecordKey::due(schedule, *next_at), cx)?;
            put(ScheduleRow { next_at: Some(*next_at), ..row }, cx);
            Ok(())
        }
    }
}

fn goes_on(row: ScheduleRow, next_at: Millis, cx: &mut Cx<'_>) -> Result<(), LedgerError> {
    // It could never be taken.
    unmade(&RecordKey::due(&row.id, next_at), cx)?;
    put(ScheduleRow { state: ScheduleState::Active, next_at: Some(next_at), ..row }, cx);
    Ok(())
}

fn in_state(
    id: &ScheduleId,
    states: &[ScheduleState],
    what: &str,
    cx: &Cx<'_>,
) -> Result<ScheduleRow, LedgerError> {
    let row: ScheduleRow = get(id, cx)?;
    if !states.contains(&row.state) {
        let state = row.state.as_str();
        return conflict(format!("schedule {id} is {state}, so it cannot be {what}"));
    }
    Ok(row)
}
