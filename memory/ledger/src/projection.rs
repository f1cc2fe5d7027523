//! What events do to rows: the one function that both stores, and the rebuild
//! of the audit, share.
//!
//! [`touches`] names the rows that an event may read or write, [`apply`] checks
//! that the event is legal and writes them. Both are pure: the same events give
//! the same rows on every machine, so rows can be rebuilt and compared.
//!
//! # Steps
//!
//! | event | from | to |
//! |---|---|---|
//! | `MissionPlanned` | – | *blocked*, or *ready* without needs; the report (position 0) is blocked by every step |
//! | `StepClaimed` | *ready* and due, token one more than the last | *claimed* |
//! | `StepReleased` | *claimed* under that token | *ready* at `ready_at`, `lost` + 1 |
//! | `StepExpanded` | *claimed*, once per step | *expanded*; *ready* again when there are no instances |
//! | `StepParked`, `EffectInDoubt` | *claimed* | *parked*; *ready* in a mission that was stopped |
//! | `StepFailed` | *claimed* | *ready* at `retry_at`, `failures` + 1 |
//! | `StepFinished` | *claimed* | *done*; each of `unblocks` has one need less |
//! | `StepDied` | *claimed* or *ready* | *dead*; its `skips`, unless ended, *skipped* |
//! | `StepHalted` | *claimed* | *ready* at once, nothing lost |
//! | `StepCancelled` | *claimed* or *ready*, in a mission that was stopped | *cancelled* |
//! | `StepRequeued` | *dead* | *ready* as new, token kept; `revives` are *blocked* again |
//! | `StepDiscarded` | *dead* | *discarded* |
//! | `ApprovalRequested` | *ready*, listed | *parked* |
//! | `ApprovalAnswered` | *parked* under it, listed | *ready*: the worker acts on the answer |
//! | `MissionCancelled`, `MissionStopped` | *blocked*, *ready* or *parked*, listed | *cancelled*, *skipped* |
//! | `MissionReplanned` | kept | stays; all others start anew, token kept |
//!
//! # Counters
//!
//! Every counter of a mission (`ended`, `parked`, `dead`, `active`, `reserved`), of an
//! expanded step (`items_open`, `items_lost`) and of the report (`blocked_by`) is
//! a sum over step rows. No event counts by itself: the counters follow whatever
//! happens to a step row (`steps::set`), and with them follow
//!
//! - the report: *ready* when no step is left, *blocked* when one comes back;
//! - an expanded step: *ready* to gather when no instance is left, *expanded*
//!   again when one comes back from the dead-letter desk;
//! - a mission that has not ended: *waiting* while something is parked and
//!   nothing is ready or claimed, else *running*.
//!
//! # Effects and approvals
//!
//! An effect is *intended*, then *received* or *in doubt*. It may be intended
//! again while nobody received it, after an in-doubt question was answered with
//! "it did not happen", and after a receipt that says that it was not done; never
//! once it is done. A grant is spent by the first intent under it; repeats of an
//! intent without a receipt run under the same one. An approval's grants exist
//! from the answer on, each for one intent.
//!
//! # Conversations, memories, schedules, nights
//!
//! | event | from | to |
//! |---|---|---|
//! | `TurnBegun` | – | *open* |
//! | `TurnRouted`, `TurnSubmitted` | *open* | *open* |
//! | `TurnEnded` | *open* | as it says |
//! | `Observed` | – | *held* |
//! | `Merged` | *held* | *held*, one source more |
//! | `Remembered::Ended` | *held* | *ended* |
//! | `Forgotten` | any | *forgotten*, with its text |
//! | `Created` | – | *active*, or *waiting* without a due time |
//! | `Paused` | *active* | *paused* |
//! | `Approved` | *waiting* | *active* |
//! | `Resumed` | *paused* | *active* |
//! | `Due` | *active* and due then | *active*, due later |
//! | `Deleted` | all but *deleted* | *deleted* |
//! | `Begun` | – | *running* |
//! | `Stage` | *running* | *running*, each part once |
//! | `Nightly::Ended` | *running* | *done* or *partial* |
//! | `Proposed` | – | *open* |
//! | `ModeChanged` | another mode; not from *stopped* to *maintenance* | as it says |
//! | `Decided` | *open*; *accepted* | *accepted* or *rejected*; *undone* |

mod approvals;
mod conversations;
mod effects;
mod memories;
mod missions;
mod modes;
mod nights;
mod records;
mod rowset;
mod schedules;
mod steps;

pub(crate) use effects::kept;
pub(crate) use rowset::ForgottenRow;
pub use rowset::{RowKey, RowSet};

use charter::event::Event;
use charter::ids::{Millis, MissionId, StepKey, StreamId, TenantId};
use charter::memory::Remembered;
use charter::night::Nightly;
use charter::ports::LedgerError;

/// A refusal: the event does not fit what is true now.
pub(crate) fn conflict<T>(why: impl Into<String>) -> Result<T, LedgerError> {
    Err(LedgerError::Conflict(why.into()))
}

/// The mission that an event belongs to, if it is about one.
pub fn mission_of(event: &Event) -> Option<&MissionId> {
    Some(match event {
        Event::Conversed(_)
        | Event::Remembered(_)
        | Event::Scheduled(_)
        | Event::Nightly(_)
        | Event::ModeChanged { .. } => return None,
        Event::MissionSubmitted { mission, .. }
        | Event::MissionPlanned { mission, .. }
        | Event::MissionReplanned { mission, .. }
        | Event::MissionCancelled { mission, .. }
        | Event::MissionStopped { mission, .. }
        | Event::MissionCrowded { mission }
        | Event::MissionEnded { mission, .. }
        | Event::ApprovalRequested { mission, .. }
        | Event::ApprovalAnswered { mission, .. }
        | Event::ApprovalExpired { mission, .. }
        | Event::ApprovalReopened { mission, .. }
        | Event::ApprovalWithdrawn { mission, .. } => mission,
        Event::StepClaimed { step, .. }
        | Event::StepReleased { step, .. }
        | Event::StepExpanded { step, .. }
        | Event::StepPrepared { step, .. }
        | Event::StepParked { step, .. }
        | Event::StepFinished { step, .. }
        | Event::StepFailed { step, .. }
        | Event::StepDied { step, .. }
        | Event::StepCancelled { step, .. }
        | Event::StepHalted { step, .. }
        | Event::StepRequeued { step, .. }
        | Event::StepDiscarded { step, .. }
        | Event::EffectIntended { step, .. }
        | Event::EffectReceived { step, .. }
        | Event::EffectInDoubt { step, .. } => &step.mission,
    })
}

/// The one stream in which an event may stand.
pub fn stream_of(event: &Event) -> StreamId {
    match (event, mission_of(event)) {
        (_, Some(mission)) => StreamId::mission(mission),
        (Event::Conversed(conversed), None) => StreamId::conversation(conversed.session()),
        (Event::Remembered(_), None) => StreamId::memory(),
        (_, None) => StreamId::admin(),
    }
}

/// Whether the chain is sealed with a checkpoint right behind this event.
pub(crate) fn seals(event: &Event) -> bool {
    matches!(
        event,
        Event::MissionEnded { .. }
            | Event::Remembered(Remembered::Forgotten { .. })
            | Event::Nightly(Nightly::Ended { .. })
    )
}

/// Rows that the event may read or write. A row that is not named here does not
/// exist for [`apply`].
pub fn touches(event: &Event) -> Vec<RowKey> {
    let Some(mission) = mission_of(event) else {
        return match event {
            Event::Conversed(event) => conversations::touches(event),
            Event::Remembered(event) => memories::touches(event),
            Event::Scheduled(event) => schedules::touches(event),
            Event::Nightly(event) => nights::touches(event),
            Event::ModeChanged { tenant, .. } => modes::touches(tenant),
            _ => Vec::new(),
        };
    };
    let mut keys = vec![RowKey::Mission(mission.clone()), RowKey::Step(StepKey::report(mission))];
    let mut steps = |of: &[StepKey]| {
        for step in of {
            keys.push(RowKey::Step(step.clone()));
            keys.extend(step.parent().map(RowKey::Step));
        }
    };
    match event {
        Event::Conversed(_)
        | Event::Remembered(_)
        | Event::Scheduled(_)
        | Event::Nightly(_)
        | Event::ModeChanged { .. }
        | Event::MissionSubmitted { .. }
        | Event::MissionCrowded { .. }
        | Event::MissionEnded { .. } => {}
        Event::MissionPlanned { steps: heads, .. } => {
            let planned: Vec<_> = heads.iter().map(|s| StepKey::step(mission, s.n)).collect();
            steps(&planned);
        }
        Event::MissionReplanned { steps: heads, drop, .. } => {
            let planned: Vec<_> = heads.iter().map(|s| StepKey::step(mission, s.n)).collect();
            steps(&planned);
            steps(drop);
            keys.push(RowKey::StepsOf(mission.clone()));
        }
        Event::MissionCancelled { steps: listed, .. }
        | Event::MissionStopped { steps: listed, .. } => steps(listed),
        Event::StepClaimed { step, .. }
        | Event::StepReleased { step, .. }
        | Event::StepPrepared { step, .. }
        | Event::StepFailed { step, .. }
        | Event::StepCancelled { step, .. }
        | Event::StepHalted { step, .. }
        | Event::StepDiscarded { step, .. } => steps(std::slice::from_ref(step)),
        Event::StepExpanded { step, items, approval, .. } => {
            steps(std::slice::from_ref(step));
            let count = u32::try_from(items.len()).unwrap_or(u32::MAX);
            keys.extend((1..=count).map(|item| RowKey::Step(step.instance(item))));
            keys.extend(approval.iter().cloned().map(RowKey::Approval));
        }
        Event::StepParked { step, approval } => {
            steps(std::slice::from_ref(step));
            keys.push(RowKey::Approval(approval.clone()));
        }
        Event::StepFinished { step, unblocks: others, .. }
        | Event::StepDied { step, skips: others, .. } => {
            steps(std::slice::from_ref(step));
            keys.extend(others.iter().map(|n| RowKey::Step(StepKey::step(mission, *n))));
        }
        Event::StepRequeued { step, .. } => {
            steps(std::slice::from_ref(step));
            keys.push(RowKey::StepsOf(mission.clone()));
        }
        Event::EffectIntended { key, step, permit, .. } => {
            steps(std::slice::from_ref(step));
            keys.push(RowKey::Effect(*key));
            keys.extend(permit.grant.iter().map(|g| RowKey::Approval(g.approval.clone())));
        }
        Event::EffectReceived { key, step, made, .. } => {
            steps(std::slice::from_ref(step));
            keys.push(RowKey::Effect(*key));
            keys.extend(made.iter().map(|made| RowKey::Made(*made)));
        }
        Event::EffectInDoubt { key, step, approval } => {
            steps(std::slice::from_ref(step));
            keys.push(RowKey::Effect(*key));
            keys.push(RowKey::Approval(approval.clone()));
        }
        Event::ApprovalRequested { approval, steps: listed, .. }
        | Event::ApprovalAnswered { approval, steps: listed, .. } => {
            steps(listed);
            keys.push(RowKey::Approval(approval.clone()));
        }
        Event::ApprovalExpired { approval, .. }
        | Event::ApprovalReopened { approval, .. }
        | Event::ApprovalWithdrawn { approval, .. } => {
            keys.push(RowKey::Approval(approval.clone()));
        }
    }
    keys
}

/// Rows that only the rows of [`touches`] can name: whether an effect in doubt
/// may be intended again stands in the answer to its question.
pub fn follows(event: &Event, rows: &RowSet) -> Vec<RowKey> {
    match event {
        Event::EffectIntended { key, .. } => rows
            .effects
            .get(key)
            .and_then(|effect| effect.doubt.clone())
            .map(RowKey::Approval)
            .into_iter()
            .collect(),
        _ => Vec::new(),
    }
}

/// Checks that the event is legal and writes what follows from it. After an
/// error the rows are half changed and must be thrown away.
pub fn apply(
    event: &Event,
    at: Millis,
    tenant: &TenantId,
    rows: &mut RowSet,
) -> Result<(), LedgerError> {
    let mut cx = Cx { at, tenant, rows };
    match event {
        Event::Conversed(event) => conversations::apply(event, &mut cx)?,
        Event::Remembered(event) => memories::apply(event, &mut cx)?,
        Event::Scheduled(event) => schedules::apply(event, &mut cx)?,
        Event::Nightly(event) => nights::apply(event, &mut cx)?,
        Event::ModeChanged { tenant, mode, by } => modes::apply(tenant, *mode, by, &mut cx)?,
        Event::MissionSubmitted { .. }
        | Event::MissionPlanned { .. }
        | Event::MissionReplanned { .. }
        | Event::MissionCancelled { .. }
        | Event::MissionStopped { .. }
        | Event::MissionCrowded { .. }
        | Event::MissionEnded { .. } => missions::apply(event, &mut cx)?,
        Event::StepClaimed { .. }
        | Event::StepReleased { .. }
        | Event::StepExpanded { .. }
        | Event::StepPrepared { .. }
        | Event::StepParked { .. }
        | Event::StepFinished { .. }
        | Event::StepFailed { .. }
        | Event::StepDied { .. }
        | Event::StepCancelled { .. }
        | Event::StepHalted { .. }
        | Event::StepRequeued { .. }
        | Event::StepDiscarded { .. } => steps::apply(event, &mut cx)?,
        Event::EffectIntended { .. }
        | Event::EffectReceived { .. }
        | Event::EffectInDoubt { .. } => effects::apply(event, &mut cx)?,
        Event::ApprovalRequested { .. }
        | Event::ApprovalAnswered { .. }
        | Event::ApprovalExpired { .. }
        | Event::ApprovalReopened { .. }
        | Event::ApprovalWithdrawn { .. } => approvals::apply(event, &mut cx)?,
    }
    match mission_of(event) {
        Some(mission) => missions::touch(mission, &mut cx),
        None => Ok(()),
    }
}

/// What every rule is given: the rows, and the time and the tenant of the event.
struct Cx<'a> {
    at: Millis,
    tenant: &'a TenantId,
    rows: &'a mut RowSet,
}
