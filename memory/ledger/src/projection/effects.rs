//! Rules for effects: intent, receipt, doubt.

use super::rowset::owned;
use super::{Cx, approvals, conflict, steps};
use charter::approval::Answer;
use charter::budget::Usage;
use charter::effect::EffectClass;
use charter::event::{EffectOutcome, Event, Permit};
use charter::ports::LedgerError;
use charter::rows::{EffectRow, EffectState, MadeRow, StepRow};

pub(super) fn apply(event: &Event, cx: &mut Cx<'_>) -> Result<(), LedgerError> {
    match event {
        Event::EffectIntended {
            key,
            step,
            ordinal,
            class,
            repeat,
            permit,
            before,
            after,
            bytes,
        } => {
            let mut holder = steps::claimed(step, "given an effect", cx)?;
            let last = match cx.rows.effects.get(key) {
                Some(row) => Some(owned(Some(row), cx.tenant, key)?.clone()),
                None => None,
            };
            if let Some(row) = &last {
                if row.step != *step || row.ordinal != *ordinal {
                    return conflict(format!("effect {key} belongs to step {}", row.step));
                }
                again(row, cx)?;
            }
            // Repeats of an intent without a receipt run under its grant.
            let held = last
                .as_ref()
                .filter(|row| !matches!(row.state, EffectState::Received(_)))
                .and_then(|row| row.permit.grant.clone());
            let grant = match &permit.grant {
                Some(grant) if held.as_ref() != Some(grant) => {
                    approvals::spend(grant, &step.mission, cx)?;
                    Some(grant.clone())
                }
                Some(_) | None => held,
            };
            let row = EffectRow {
                key: *key,
                tenant: cx.tenant.clone(),
                step: step.clone(),
                ordinal: *ordinal,
                state: EffectState::Intended,
                class: *class,
                repeat: *repeat,
                permit: Permit { rule: permit.rule.clone(), grant },
                doubt: last.as_ref().and_then(|row| row.doubt.clone()),
                intents: last.as_ref().map_or(0, |row| row.intents) + 1,
                before: *before,
                after: *after,
                output: None,
                bytes: *bytes,
                intended_at: last.as_ref().map_or(cx.at, |row| row.intended_at),
                received_at: None,
            };
            cx.rows.effects.put(*key, row);
            match bytes.saturating_sub(kept(last.as_ref(), Some(&holder))) {
                0 => Ok(()),
                more => {
                    let writes = Usage { bytes_written: more, ..Usage::default() };
                    holder.reserved = holder.reserved.plus(writes);
                    steps::set(holder, cx)
                }
            }
        }
        Event::EffectReceived { key, step, outcome, output, after, made } => {
            let at = cx.at;
            let row = owned(cx.rows.effects.get_mut(key), cx.tenant, key)?;
            if row.step != *step || matches!(row.state, EffectState::Received(_)) {
                return conflict(format!("effect {key} of step {} waits for no receipt", row.step));
            }
            row.state = EffectState::Received(*outcome);
            row.output.clone_from(output);
            row.after = *after;
            row.received_at = Some(at);
            let bytes = row.bytes;
            for made in made {
                let row = MadeRow { made: *made, tenant: cx.tenant.clone(), effect: *key };
                cx.rows.made.put((cx.tenant.clone(), *made), row);
            }
            match bytes {
                0 => Ok(()),
                _ => steps::wrote(step, bytes, *outcome == EffectOutcome::Done, cx),
            }
        }
        Event::EffectInDoubt { key, step, approval } => {
            let row = owned(cx.rows.effects.get_mut(key), cx.tenant, key)?;
            // Also again, where the first question was refused or withdrawn.
            if row.step != *step || matches!(row.state, EffectState::Received(_)) {
                return conflict(format!("effect {key} of step {} is not open", row.step));
            }
            row.state = EffectState::InDoubt;
            row.doubt = Some(approval.clone());
            steps::park(step, approval, cx)
        }
        _ => Ok(()),
    }
}

/// Bytes that the budget keeps for an effect already: it was intended before, and nobody
/// knows what came of that.
pub(crate) fn kept(last: Option<&EffectRow>, holder: Option<&StepRow>) -> u64 {
    let open = last.filter(|row| row.state.is_open()).map_or(0, |row| row.bytes);
    let unknown = |row: &StepRow| row.reserved.bytes_written.saturating_sub(row.wrote);
    open.min(holder.map_or(0, unknown))
}

/// Whether an effect that was intended before may be intended again.
fn again(row: &EffectRow, cx: &Cx<'_>) -> Result<(), LedgerError> {
    match row.state {
        EffectState::Intended
        | EffectState::Received(EffectOutcome::Failed | EffectOutcome::NotDone) => Ok(()),
        // A step that was requeued looks around afresh.
        EffectState::Received(EffectOutcome::Done) if row.class <= EffectClass::Read => Ok(()),
        EffectState::Received(EffectOutcome::Done) => {
            conflict(format!("effect {} is done and never happens twice", row.key))
        }
        EffectState::InDoubt => {
            let answer = row
                .doubt
                .as_ref()
                .and_then(|id| cx.rows.approvals.get(id))
                .and_then(|approval| approval.answer);
            match answer {
                Some(Answer::NotHappened) => Ok(()),
                _ => conflict(format!("nobody knows whether effect {} happened", row.key)),
            }
        }
    }
}
