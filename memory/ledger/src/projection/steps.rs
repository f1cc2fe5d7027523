//! Rules for steps, instances and reports.

use super::rowset::owned;
use super::{Cx, conflict, missions};
use charter::budget::Usage;
use charter::digest::Digest;
use charter::effect::EffectClass;
use charter::event::{DeathCause, Event};
use charter::flow::{Lane, Priority};
use charter::ids::{ApprovalId, Millis, StepKey, TenantId};
use charter::plan::ITEMS_MAX;
use charter::ports::LedgerError;
use charter::rows::{StepRow, StepState};

/// When a step that waits for nothing may be claimed: whatever the clock says. A
/// clock that is set back must not hold it up.
pub(super) const AT_ONCE: Millis = 0;

pub(super) fn apply(event: &Event, cx: &mut Cx<'_>) -> Result<(), LedgerError> {
    match event {
        Event::StepClaimed { step, worker, token, wall_ms, cpu_ms } => {
            let mut row = get(step, cx)?;
            if row.state != StepState::Ready {
                return refuse(&row, "claimed");
            }
            if row.ready_at > cx.at {
                return conflict(format!("step {step} is not due yet"));
            }
            if *token != row.token + 1 {
                return conflict(format!(
                    "step {step} was claimed {} times, so the next token is not {token}",
                    row.token
                ));
            }
            row.state = StepState::Claimed;
            row.token = *token;
            row.worker = Some(worker.clone());
            row.reserved.wall_ms = *wall_ms;
            row.reserved.cpu_ms = *cpu_ms;
            if step.n > 0 {
                let once = Usage { steps: 1, ..Usage::default() };
                missions::spend(&step.mission, &once, cx)?;
            }
            set(row, cx)
        }
        Event::StepReleased { step, token, dead, ready_at } => {
            let mut row = claimed(step, "released", cx)?;
            if row.token != *token {
                return conflict(format!("step {step} was claimed again since token {token}"));
            }
            row.lost += 1;
            row.former_alive |= !dead;
            row.make_ready(*ready_at);
            set(row, cx)
        }
        Event::StepPrepared { step, prepared } => {
            let mut row = claimed(step, "prepared", cx)?;
            row.prepared = Some(prepared.clone());
            set(row, cx)
        }
        Event::StepParked { step, approval } => park(step, approval, cx),
        Event::StepExpanded { step, items, approval, prepared } => {
            let row = claimed(step, "expanded", cx)?;
            if row.expanded || !row.for_each {
                return conflict(format!("step {step} has no instances to be made"));
            }
            if items.len() > ITEMS_MAX as usize {
                return conflict(format!("step {step} has more than {ITEMS_MAX} instances"));
            }
            if !prepared.is_empty() && prepared.len() != items.len() {
                return conflict(format!("step {step}: not every instance is prepared"));
            }
            let floor = missions::get(&step.mission, cx)?.token_floor;
            let mut parent =
                StepRow { expanded: true, items: items.len() as u32, worker: None, ..row.clone() };
            if items.is_empty() {
                parent.make_ready(AT_ONCE);
                return set(parent, cx);
            }
            parent.state = StepState::Expanded;
            set(parent, cx)?;
            for (item, digest) in (1..).zip(items) {
                let key = step.instance(item);
                if cx.rows.steps.get(&key).is_some() {
                    return conflict(format!("instance {key} exists already"));
                }
                let mut instance = fresh(key, cx.tenant, *digest, row.class, floor);
                (instance.lane, instance.priority) = (row.lane, row.priority);
                let parks = approval.is_some() && !missions::stopped(&step.mission, cx)?;
                instance.state = if parks { StepState::Parked } else { StepState::Ready };
                instance.approval.clone_from(approval);
                instance.prepared = prepared.get(item as usize - 1).cloned();
                set(instance, cx)?;
            }
            Ok(())
        }
        Event::StepFinished { step, output, verdicts, verified, unblocks, usage } => {
            let mut row = claimed(step, "finished", cx)?;
            row.output = Some(output.clone());
            row.verdicts = Some(verdicts.clone());
            row.verified = *verified;
            row.error = None;
            let spent = row.end(StepState::Done, usage);
            missions::spend(&step.mission, &spent, cx)?;
            set(row, cx)?;
            if step.item > 0 && !unblocks.is_empty() {
                return conflict(format!("instance {step} unblocks nothing: its step does"));
            }
            for n in unblocks {
                unblock(step, &StepKey::step(&step.mission, *n), cx)?;
            }
            Ok(())
        }
        Event::StepFailed { step, error, retry_at, usage } => {
            let mut row = claimed(step, "failed", cx)?;
            row.failures += 1;
            row.error = Some(error.clone());
            let spent = row.count(usage);
            row.make_ready(*retry_at);
            missions::spend(&step.mission, &spent, cx)?;
            set(row, cx)
        }
        Event::StepDied { step, error, cause, skips, usage } => {
            let mut row = running(step, "dead", cx)?;
            row.error = Some(error.clone());
            row.cause = Some(*cause);
            let spent = row.end(StepState::Dead, usage);
            missions::spend(&step.mission, &spent, cx)?;
            if matches!(cause, DeathCause::Refused | DeathCause::Denied) {
                missions::refused(&step.mission, true, cx)?;
            }
            set(row, cx)?;
            for n in skips {
                skip(&StepKey::step(&step.mission, *n), cx)?;
            }
            Ok(())
        }
        Event::StepCancelled { step, usage } => {
            let mut row = running(step, "cancelled", cx)?;
            // Elsewhere nobody would end what waits for it.
            if !missions::stopped(&step.mission, cx)? {
                return conflict(format!("step {step} belongs to a mission that goes on"));
            }
            let spent = row.end(StepState::Cancelled, usage);
            missions::spend(&step.mission, &spent, cx)?;
            set(row, cx)
        }
        Event::StepHalted { step, usage } => {
            let mut row = claimed(step, "halted", cx)?;
            let spent = row.count(usage);
            row.make_ready(AT_ONCE);
            missions::spend(&step.mission, &spent, cx)?;
            set(row, cx)
        }
        Event::StepRequeued { step, revives, .. } => requeue(step, revives, cx),
        Event::StepDiscarded { step, .. } => {
            let mut row = get(step, cx)?;
            if row.state != StepState::Dead {
                return refuse(&row, "discarded");
            }
            row.state = StepState::Discarded;
            row.reserved = Usage::default();
            set(row, cx)
        }
        _ => Ok(()),
    }
}

/// A copy of a step's row.
pub(super) fn get(key: &StepKey, cx: &Cx<'_>) -> Result<StepRow, LedgerError> {
    owned(cx.rows.steps.get(key), cx.tenant, key).cloned()
}

fn refuse<T>(row: &StepRow, what: &str) -> Result<T, LedgerError> {
    let state = format!("{:?}", row.state).to_lowercase();
    conflict(format!("step {} is {state}, so it cannot be {what}", row.key))
}

pub(super) fn claimed(key: &StepKey, what: &str, cx: &Cx<'_>) -> Result<StepRow, LedgerError> {
    let row = get(key, cx)?;
    if row.state == StepState::Claimed { Ok(row) } else { refuse(&row, what) }
}

fn running(key: &StepKey, what: &str, cx: &Cx<'_>) -> Result<StepRow, LedgerError> {
    let row = get(key, cx)?;
    if matches!(row.state, StepState::Claimed | StepState::Ready) {
        Ok(row)
    } else {
        refuse(&row, what)
    }
}

/// Notes what came of an intent to write so many bytes.
pub(super) fn wrote(
    key: &StepKey,
    bytes: u64,
    happened: bool,
    cx: &mut Cx<'_>,
) -> Result<(), LedgerError> {
    let mut row = get(key, cx)?;
    if happened {
        row.wrote = row.wrote.saturating_add(bytes);
    } else {
        row.reserved.bytes_written = row.reserved.bytes_written.saturating_sub(bytes);
    }
    set(row, cx)
}

/// Claimed → parked. In a mission that was stopped nobody is asked any more: the
/// next claim ends the step.
pub(super) fn park(
    key: &StepKey,
    approval: &ApprovalId,
    cx: &mut Cx<'_>,
) -> Result<(), LedgerError> {
    let mut row = claimed(key, "parked", cx)?;
    row.make_ready(AT_ONCE);
    if !missions::stopped(&key.mission, cx)? {
        row.state = StepState::Parked;
    }
    row.approval = Some(approval.clone());
    set(row, cx)
}

/// A row in which nothing has happened yet; it waits for nothing.
pub(super) fn fresh(
    key: StepKey,
    tenant: &TenantId,
    digest: Digest,
    class: EffectClass,
    token: u64,
) -> StepRow {
    StepRow {
        key,
        tenant: tenant.clone(),
        state: StepState::Ready,
        digest,
        class,
        needs: Vec::new(),
        blocked_by: 0,
        for_each: false,
        expanded: false,
        ready_at: AT_ONCE,
        token,
        failures: 0,
        lost: 0,
        former_alive: false,
        worker: None,
        approval: None,
        prepared: None,
        output: None,
        verdicts: None,
        verified: false,
        error: None,
        cause: None,
        items: 0,
        items_open: 0,
        items_lost: 0,
        usage: Usage::default(),
        reserved: Usage::default(),
        wrote: 0,
        lane: Lane::Light,
        priority: Priority::Normal,
    }
}

/// Changes to a row that several rules share.
trait Turn {
    /// May be claimed from then on.
    fn make_ready(&mut self, at: Millis);
    /// Ends. Returns what is to be counted for the mission too.
    fn end(&mut self, state: StepState, usage: &Usage) -> Usage;
    /// Counts what a try has used: without its start, which was counted at the claim, and
    /// no less written than its effects say. Returns it.
    fn count(&mut self, usage: &Usage) -> Usage;
}

impl Turn for StepRow {
    fn make_ready(&mut self, at: Millis) {
        self.state = StepState::Ready;
        self.ready_at = at;
        self.worker = None;
    }

    fn end(&mut self, state: StepState, usage: &Usage) -> Usage {
        self.state = state;
        self.worker = None;
        self.count(usage)
    }

    fn count(&mut self, usage: &Usage) -> Usage {
        let bytes_written = usage.bytes_written.max(self.wrote);
        let spent = Usage { steps: 0, bytes_written, ..*usage };
        self.usage = self.usage.plus(spent);
        self.reserved.bytes_written = self.reserved.bytes_written.saturating_sub(self.wrote);
        self.wrote = 0;
        spent
    }
}

/// Writes a step row; the counters of its mission, of the step that it is an
/// instance of, and of the report follow, and so does what hangs on them.
pub(super) fn set(mut row: StepRow, cx: &mut Cx<'_>) -> Result<(), LedgerError> {
    let key = row.key.clone();
    if row.state != StepState::Claimed {
        // A claim that ends without a receipt leaves those of its effects.
        let wrote = row.count(&Usage::default());
        missions::spend(&key.mission, &wrote, cx)?;
        row.reserved = Usage { bytes_written: row.reserved.bytes_written, ..Usage::default() };
    }
    let was = cx.rows.steps.get(&key).cloned();
    missions::count(was.as_ref(), Some(&row), cx)?;
    let now = Some(row.clone());
    cx.rows.steps.put(key.clone(), row);
    if let Some(parent) = key.parent() {
        count_instance(&parent, was.as_ref(), now.as_ref(), cx)?;
    } else if key.n > 0 {
        report_follows(&key, cx)?;
    }
    Ok(())
}

/// Removes a step row. Only its mission counts it out: its parent is replaced.
pub(super) fn remove(key: &StepKey, cx: &mut Cx<'_>) -> Result<(), LedgerError> {
    let was = cx.rows.steps.get(key).cloned();
    let wrote = was.as_ref().map_or(0, |row| row.wrote);
    missions::spend(&key.mission, &Usage { bytes_written: wrote, ..Usage::default() }, cx)?;
    missions::count(was.as_ref(), None, cx)?;
    cx.rows.steps.remove(key);
    Ok(())
}

/// The report waits for every step that has not ended.
pub(super) fn report_follows(of: &StepKey, cx: &mut Cx<'_>) -> Result<(), LedgerError> {
    let mission = missions::get(&of.mission, cx)?;
    let open = mission.steps.saturating_sub(mission.ended);
    let Some(report) = cx.rows.steps.get(&StepKey::report(&of.mission)) else {
        return Ok(());
    };
    if report.blocked_by == open {
        return Ok(());
    }
    let mut report = report.clone();
    report.blocked_by = open;
    if open == 0 && report.state == StepState::Blocked {
        report.make_ready(AT_ONCE);
    } else if open > 0 && report.state != StepState::Blocked {
        let StepRow { key, digest, token, priority, .. } = report;
        report = fresh(key, cx.tenant, digest, EffectClass::Think, token);
        report.priority = priority;
        report.state = StepState::Blocked;
        report.blocked_by = open;
    }
    set(report, cx)
}

/// An expanded step waits for its instances, gathers when all have ended, and
/// waits again when one of them comes back.
fn count_instance(
    parent: &StepKey,
    was: Option<&StepRow>,
    is: Option<&StepRow>,
    cx: &mut Cx<'_>,
) -> Result<(), LedgerError> {
    let open = |row: Option<&StepRow>| u32::from(row.is_some_and(|r| !r.state.is_end()));
    let lost = |row: Option<&StepRow>| {
        u32::from(row.is_some_and(|r| r.state.is_end() && r.state != StepState::Done))
    };
    if open(was) == open(is) && lost(was) == lost(is) {
        return Ok(());
    }
    let mut row = get(parent, cx)?;
    row.items_open = (row.items_open + open(is)).saturating_sub(open(was));
    row.items_lost = (row.items_lost + lost(is)).saturating_sub(lost(was));
    if row.items_open == 0 && row.state == StepState::Expanded {
        row.make_ready(AT_ONCE);
    } else if row.items_open > 0 && row.state != StepState::Expanded {
        match row.state {
            StepState::Ready | StepState::Claimed | StepState::Dead => {
                row.state = StepState::Expanded;
                row.worker = None;
                row.error = None;
                row.cause = None;
            }
            _ => return refuse(&row, "opened again for one of its instances"),
        }
    }
    set(row, cx)
}

/// One need less.
fn unblock(done: &StepKey, key: &StepKey, cx: &mut Cx<'_>) -> Result<(), LedgerError> {
    let mut row = get(key, cx)?;
    if !row.needs.contains(&done.n) {
        return conflict(format!("step {key} does not wait for step {done}"));
    }
    if row.state != StepState::Blocked {
        return Ok(());
    }
    row.blocked_by = row.blocked_by.saturating_sub(1);
    if row.blocked_by == 0 {
        row.make_ready(AT_ONCE);
    }
    set(row, cx)
}

fn skip(key: &StepKey, cx: &mut Cx<'_>) -> Result<(), LedgerError> {
    let row = get(key, cx)?;
    if row.state.is_end() {
        return Ok(());
    }
    if matches!(row.state, StepState::Claimed | StepState::Expanded) || key.n == 0 {
        return refuse(&row, "skipped");
    }
    set(StepRow { state: StepState::Skipped, ..row }, cx)
}

/// Ends a step that nobody is working on, because its mission stops. The report
/// is not ended, but waits for nobody any more: it says how the mission ended.
pub(super) fn stop(key: &StepKey, end: StepState, cx: &mut Cx<'_>) -> Result<(), LedgerError> {
    let mut row = get(key, cx)?;
    match row.state {
        StepState::Parked if key.n == 0 => row.make_ready(AT_ONCE),
        StepState::Blocked | StepState::Ready | StepState::Parked if key.n > 0 => row.state = end,
        _ => return Ok(()),
    }
    set(row, cx)
}

/// Needs of a row that have not ended, and whether one of them never will.
pub(super) fn open_needs(row: &StepRow, cx: &Cx<'_>) -> Result<(u32, bool), LedgerError> {
    let (mut open, mut hopeless) = (0, false);
    for n in &row.needs {
        let need = get(&StepKey::step(&row.key.mission, *n), cx)?;
        open += u32::from(need.state != StepState::Done);
        hopeless |= need.state.is_end() && need.state != StepState::Done;
    }
    Ok((open, hopeless))
}

fn requeue(step: &StepKey, revives: &[u32], cx: &mut Cx<'_>) -> Result<(), LedgerError> {
    let dead = get(step, cx)?;
    if dead.state != StepState::Dead {
        return refuse(&dead, "sent round again");
    }
    missions::reopen(&step.mission, cx)?;
    let row = StepRow {
        needs: dead.needs.clone(),
        for_each: dead.for_each,
        expanded: dead.expanded,
        items: dead.items,
        items_open: dead.items_open,
        items_lost: dead.items_lost,
        usage: dead.usage,
        reserved: dead.reserved,
        former_alive: dead.former_alive,
        lane: dead.lane,
        priority: dead.priority,
        ..fresh(dead.key, cx.tenant, dead.digest, dead.class, dead.token)
    };
    set(row, cx)?;
    missions::refused_no_more(&step.mission, cx)?;
    let mut revives = revives.to_vec();
    revives.sort_unstable();
    for n in revives {
        let mut row = get(&StepKey::step(&step.mission, n), cx)?;
        if row.state != StepState::Skipped {
            continue;
        }
        // Another dead need keeps it skipped until that one is requeued too.
        let (open, hopeless) = open_needs(&row, cx)?;
        if hopeless {
            continue;
        }
        row.state = StepState::Blocked;
        row.blocked_by = open;
        if open == 0 {
            row.make_ready(AT_ONCE);
        }
        set(row, cx)?;
    }
    Ok(())
}
