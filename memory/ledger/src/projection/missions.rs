//! Rules for missions, and the counters that follow their steps.

use super::rowset::{Submitted, owned};
use super::steps::{self, fresh};
use super::{Cx, conflict};
use charter::budget::Usage;
use charter::content::ContentRef;
use charter::digest::Digest;
use charter::effect::EffectClass;
use charter::event::{Event, StepHead};
use charter::ids::{MissionId, StepKey};
use charter::plan::STEPS_MAX;
use charter::ports::LedgerError;
use charter::rows::{MissionRow, MissionState, StepRow, StepState};
use std::collections::BTreeSet;

pub(super) fn apply(event: &Event, cx: &mut Cx<'_>) -> Result<(), LedgerError> {
    match event {
        Event::MissionSubmitted { mission, subject, wish, workspace, same, budget, priority } => {
            if cx.rows.missions.get(mission).is_some() || cx.rows.submitted.contains_key(mission) {
                return conflict(format!("mission {mission} exists already"));
            }
            let submitted = Submitted {
                subject: subject.clone(),
                wish: wish.clone(),
                workspace: workspace.clone(),
                same: *same,
                budget: budget.clone(),
                priority: *priority,
            };
            cx.rows.submitted.insert(mission.clone(), submitted);
            Ok(())
        }
        Event::MissionPlanned { mission, plan, digest, steps } => {
            planned(mission, plan, *digest, steps, cx)
        }
        Event::MissionReplanned { mission, plan, digest, parent, steps, keep, drop } => {
            let row = get(mission, cx)?;
            if row.plan_digest != *parent {
                return conflict(format!("the plan of mission {mission} was replaced meanwhile"));
            }
            // Other inputs for a dead step: its mission goes on.
            let ended = row.state.is_end();
            if ended {
                reopen(mission, cx)?;
            }
            let row = row_mut(mission, cx)?;
            row.plan = plan.clone();
            row.plan_digest = *digest;
            row.replans += 1;
            replan(mission, *digest, steps, &keep.iter().copied().collect(), drop, cx)?;
            if ended { refused_no_more(mission, cx) } else { Ok(()) }
        }
        Event::MissionCancelled { mission, steps, .. } => {
            open(mission, "cancelled", cx)?;
            row_mut(mission, cx)?.cancelled = true;
            stop(steps, StepState::Cancelled, cx)
        }
        Event::MissionStopped { mission, limit, steps } => {
            open(mission, "stopped", cx)?;
            row_mut(mission, cx)?.stopped.get_or_insert(*limit);
            stop(steps, StepState::Skipped, cx)
        }
        Event::MissionCrowded { mission } => {
            open(mission, "crowded", cx)?;
            row_mut(mission, cx)?.crowded = true;
            Ok(())
        }
        Event::MissionEnded { mission, state, report } => {
            let row = open(mission, "ended", cx)?;
            if !state.is_end() || row.ended != row.steps {
                return conflict(format!(
                    "mission {mission} cannot end as {state} with {} of {} steps ended",
                    row.ended, row.steps
                ));
            }
            let writer = steps::get(&StepKey::report(mission), cx)?;
            if !matches!(writer.state, StepState::Claimed | StepState::Done) {
                return conflict(format!("mission {mission} ends by who writes its report"));
            }
            let row = row_mut(mission, cx)?;
            row.state = *state;
            row.report = Some(report.clone());
            Ok(())
        }
        _ => Ok(()),
    }
}

/// A mission's row.
pub(super) fn get<'a>(id: &MissionId, cx: &'a Cx<'_>) -> Result<&'a MissionRow, LedgerError> {
    owned(cx.rows.missions.get(id), cx.tenant, id)
}

/// Whether there is such a mission, if only just submitted.
pub(super) fn known(id: &MissionId, cx: &Cx<'_>) -> Result<(), LedgerError> {
    match cx.rows.submitted.contains_key(id) {
        true => Ok(()),
        false => get(id, cx).map(|_| ()),
    }
}

fn row_mut<'a>(id: &MissionId, cx: &'a mut Cx<'_>) -> Result<&'a mut MissionRow, LedgerError> {
    owned(cx.rows.missions.get_mut(id), cx.tenant, id)
}

fn open<'a>(id: &MissionId, what: &str, cx: &'a Cx<'_>) -> Result<&'a MissionRow, LedgerError> {
    let row = get(id, cx)?;
    if row.state.is_end() {
        return conflict(format!("mission {id} is {}, so it cannot be {what}", row.state));
    }
    Ok(row)
}

/// Whether a person or a budget stopped it.
pub(super) fn stopped(id: &MissionId, cx: &Cx<'_>) -> Result<bool, LedgerError> {
    get(id, cx).map(|row| row.cancelled || row.stopped.is_some())
}

/// Notes the time of the last change.
pub(super) fn touch(id: &MissionId, cx: &mut Cx<'_>) -> Result<(), LedgerError> {
    if cx.rows.submitted.contains_key(id) {
        return Ok(());
    }
    let at = cx.at;
    row_mut(id, cx)?.updated_at = at;
    Ok(())
}

/// Adds to what the mission has spent.
pub(super) fn spend(id: &MissionId, usage: &Usage, cx: &mut Cx<'_>) -> Result<(), LedgerError> {
    let row = row_mut(id, cx)?;
    row.spent = row.spent.plus(*usage);
    Ok(())
}

/// Notes a death by refusal.
pub(super) fn refused(id: &MissionId, is: bool, cx: &mut Cx<'_>) -> Result<(), LedgerError> {
    row_mut(id, cx)?.refused = is;
    Ok(())
}

/// After a requeue: without a dead step nothing is refused.
pub(super) fn refused_no_more(id: &MissionId, cx: &mut Cx<'_>) -> Result<(), LedgerError> {
    if get(id, cx)?.dead == 0 { refused(id, false, cx) } else { Ok(()) }
}

/// A mission goes on after its end because a dead step is sent round again.
pub(super) fn reopen(id: &MissionId, cx: &mut Cx<'_>) -> Result<(), LedgerError> {
    if stopped(id, cx)? {
        return conflict(format!("mission {id} was stopped: none of its steps can run again"));
    }
    let row = row_mut(id, cx)?;
    if row.state.is_end() {
        row.state = MissionState::Running;
        row.report = None;
    }
    Ok(())
}

/// Counts a step row out as it was and in as it is.
pub(super) fn count(
    was: Option<&StepRow>,
    is: Option<&StepRow>,
    cx: &mut Cx<'_>,
) -> Result<(), LedgerError> {
    let Some(key) = is.or(was).map(|row| row.key.clone()) else { return Ok(()) };
    let mission = row_mut(&key.mission, cx)?;
    let mut tally = |counter: fn(&mut MissionRow) -> &mut u32, counts: fn(&StepRow) -> bool| {
        let counter = counter(mission);
        let (plus, minus) = (is.is_some_and(counts), was.is_some_and(counts));
        *counter = (*counter + u32::from(plus)).saturating_sub(u32::from(minus));
    };
    tally(|m| &mut m.ended, |s| s.key.n > 0 && s.key.item == 0 && s.state.is_end());
    tally(|m| &mut m.parked, |s| s.state == StepState::Parked);
    tally(|m| &mut m.dead, |s| s.state == StepState::Dead);
    tally(|m| &mut m.active, |s| matches!(s.state, StepState::Ready | StepState::Claimed));
    let reserved = |row: Option<&StepRow>| row.map_or_else(Usage::default, |row| row.reserved);
    mission.reserved = mission.reserved.plus(reserved(is)).minus(reserved(was));
    if !mission.state.is_end() {
        mission.state = if mission.parked > 0 && mission.active == 0 {
            MissionState::Waiting
        } else {
            MissionState::Running
        };
    }
    Ok(())
}

/// Instances first, so that it does not matter where in the list their step
/// stands.
fn stop(listed: &[StepKey], end: StepState, cx: &mut Cx<'_>) -> Result<(), LedgerError> {
    let (instances, steps): (Vec<_>, Vec<_>) = listed.iter().partition(|key| key.item > 0);
    instances.into_iter().chain(steps).try_for_each(|key| steps::stop(key, end, cx))
}

fn check_heads(mission: &MissionId, heads: &[StepHead]) -> Result<u32, LedgerError> {
    let ordered = (1..).zip(heads).all(|(n, head): (u32, _)| {
        head.n == n
            && head.needs.iter().all(|need| (1..n).contains(need))
            && head.needs.windows(2).all(|pair| pair.first() < pair.last())
    });
    match u32::try_from(heads.len()) {
        Ok(count) if ordered && heads.len() <= STEPS_MAX => Ok(count),
        _ => conflict(format!(
            "the plan of mission {mission} has more than {STEPS_MAX} steps, or they are not \
             numbered from 1 and waiting for earlier ones only"
        )),
    }
}

fn planned(
    mission: &MissionId,
    plan: &ContentRef,
    digest: Digest,
    heads: &[StepHead],
    cx: &mut Cx<'_>,
) -> Result<(), LedgerError> {
    let steps = check_heads(mission, heads)?;
    let Some(submitted) = cx.rows.submitted.remove(mission) else {
        return conflict(format!("mission {mission} has a plan already, or was not submitted"));
    };
    let row = MissionRow {
        id: mission.clone(),
        tenant: cx.tenant.clone(),
        subject: submitted.subject,
        state: MissionState::Running,
        created_at: cx.at,
        updated_at: cx.at,
        wish: submitted.wish,
        workspace: submitted.workspace,
        same: submitted.same,
        plan: plan.clone(),
        plan_digest: digest,
        steps,
        ended: 0,
        parked: 0,
        active: 0,
        dead: 0,
        replans: 0,
        token_floor: 0,
        budget: submitted.budget,
        spent: Usage::default(),
        reserved: Usage::default(),
        crowded: false,
        cancelled: false,
        stopped: None,
        refused: false,
        report: None,
        priority: submitted.priority,
    };
    cx.rows.missions.put(mission.clone(), row);
    let mut report = fresh(StepKey::report(mission), cx.tenant, digest, EffectClass::Think, 0);
    report.priority = submitted.priority;
    report.blocked_by = steps;
    if steps > 0 {
        report.state = StepState::Blocked;
    }
    steps::set(report, cx)?;
    for head in heads {
        let key = StepKey::step(mission, head.n);
        let mut row = fresh(key, cx.tenant, head.digest, head.class, 0);
        row.priority = submitted.priority;
        steps::set(waiting(row, head, head.needs.len() as u32), cx)?;
    }
    Ok(())
}

fn waiting(mut row: StepRow, head: &StepHead, open: u32) -> StepRow {
    row.needs.clone_from(&head.needs);
    row.for_each = head.for_each;
    row.lane = head.lane;
    row.blocked_by = open;
    row.state = if open == 0 { StepState::Ready } else { StepState::Blocked };
    row
}

fn replan(
    mission: &MissionId,
    digest: Digest,
    heads: &[StepHead],
    keep: &BTreeSet<u32>,
    drop: &[StepKey],
    cx: &mut Cx<'_>,
) -> Result<(), LedgerError> {
    let before = get(mission, cx)?.steps;
    let after = check_heads(mission, heads)?;
    if let Some(lost) = keep.iter().find(|n| **n == 0 || **n > before.min(after)) {
        return conflict(format!("mission {mission} has no step {lost} to carry over"));
    }
    for key in drop {
        if key.mission != *mission || key.item == 0 || keep.contains(&key.n) {
            return conflict(format!("{key} is no instance of a replaced step"));
        }
        remove(key, cx)?;
    }
    for n in after + 1..=before {
        remove(&StepKey::step(mission, n), cx)?;
    }
    row_mut(mission, cx)?.steps = after;
    // In order of the plan: the needs of a step are in their new state already.
    for head in heads {
        let key = StepKey::step(mission, head.n);
        let old = cx.rows.steps.get(&key).cloned();
        let row = match old {
            Some(old) if keep.contains(&head.n) => carried(old, head, cx)?,
            old => {
                // What the old row wrote counts, and what nobody knows stays kept.
                let wrote = old.as_ref().map_or(0, |old| old.wrote);
                spend(mission, &Usage { bytes_written: wrote, ..Usage::default() }, cx)?;
                let known = old.as_ref().map_or(0, |old| old.reserved.bytes_written);
                let of = get(mission, cx)?;
                let (token, priority) =
                    (old.map_or(0, |old| old.token).max(of.token_floor), of.priority);
                let mut row = fresh(key, cx.tenant, head.digest, head.class, token);
                row.priority = priority;
                row.reserved.bytes_written = known.saturating_sub(wrote);
                let row = waiting(row, head, 0);
                let (open, hopeless) = steps::open_needs(&row, cx)?;
                if hopeless {
                    return stuck(&row.key);
                }
                waiting(row, head, open)
            }
        };
        steps::set(row, cx)?;
    }
    let mut report = steps::get(&StepKey::report(mission), cx)?;
    report.digest = digest;
    steps::set(report, cx)?;
    steps::report_follows(&StepKey::report(mission), cx)
}

fn stuck<T>(key: &StepKey) -> Result<T, LedgerError> {
    conflict(format!("step {key} would wait for a step that ended without a result"))
}

/// A row that a child plan carries over: only its place in the graph is new.
fn carried(mut row: StepRow, head: &StepHead, cx: &Cx<'_>) -> Result<StepRow, LedgerError> {
    if row.digest != head.digest {
        return conflict(format!("step {} is another one in the new plan", row.key));
    }
    row.needs.clone_from(&head.needs);
    row.lane = head.lane;
    let (open, hopeless) = steps::open_needs(&row, cx)?;
    row.blocked_by = open;
    match row.state {
        StepState::Blocked | StepState::Ready if hopeless => return stuck(&row.key),
        StepState::Blocked if open == 0 => {
            row.state = StepState::Ready;
            row.ready_at = steps::AT_ONCE;
        }
        StepState::Ready if open > 0 => row.state = StepState::Blocked,
        _ => {}
    }
    Ok(row)
}

fn remove(key: &StepKey, cx: &mut Cx<'_>) -> Result<(), LedgerError> {
    let token = steps::get(key, cx)?.token;
    let mission = row_mut(&key.mission, cx)?;
    mission.token_floor = mission.token_floor.max(token);
    steps::remove(key, cx)
}
