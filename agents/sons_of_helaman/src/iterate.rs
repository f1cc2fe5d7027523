//! `for_each`: one step becomes numbered instances, each with effects and
//! receipts of its own; their outputs are gathered in order.
//!
//! Instances that could change something are looked at before any of them runs,
//! so that a person is asked once, about the whole list, exactly as it would be
//! carried out.

use crate::call::Flow;
use crate::job::{Job, Stop, call_digest};
use crate::permit::{ACT, CALL, Word};
use charter::approval::FrozenEffect;
use charter::check::{Outcome, Verdict};
use charter::content::ContentRef;
use charter::digest::Digest;
use charter::effect::{EffectClass, Repeat};
use charter::event::{DeathCause, EffectOutcome, Event};
use charter::ids::{ApprovalId, StepKey};
use charter::label::Label;
use charter::rows::{ApprovalRow, StepRow, StepState};
use charter::tool::{Call, ErrorCode, Prepared, ToolError, effect_key};
use serde_json::{Value, json};

/// Verdicts of instances that a report lists one by one.
const VERDICTS_LISTED_MAX: usize = 200;

impl Job<'_> {
    /// Turns the step into instances.
    pub(crate) async fn expand(&mut self) -> Result<(), Stop> {
        let (_, step) = self.planned().await?;
        let (outputs, label) = self.outputs(&step).await?;
        let items = Self::items(&step, &outputs)?;
        let class = self.tool_class(&step)?;
        let mut calls = Vec::with_capacity(items.len());
        for item in &items {
            calls.push(self.call_for(&step, &outputs, Some(item), label).await?);
        }
        let digests = calls
            .iter()
            .map(|call| call_digest(call, step.effect))
            .collect::<Result<Vec<_>, _>>()?;
        let looks_first = class > EffectClass::Memory;
        let (asked, prepared) = if looks_first && !calls.is_empty() {
            match self.look_first(class, &calls, &digests).await? {
                Flow::On((asked, prepared)) => (asked, prepared),
                Flow::Ended => return Ok(()),
            }
        } else {
            (None, Vec::new())
        };
        let step = self.key().clone();
        let (approval, standing) = asked.unzip();
        let count = u32::try_from(digests.len()).unwrap_or(u32::MAX);
        self.draft.event(Event::StepExpanded {
            step: step.clone(),
            items: digests,
            approval: approval.clone(),
            prepared,
        });
        if let (Some(approval), Some(standing)) = (approval, standing) {
            let instances = (1..=count).map(|item| step.instance(item)).collect();
            self.answer_by(standing, approval, instances);
        }
        self.release().await
    }

    /// Has the tool look at every instance, and drafts one card for all effects
    /// that ask.
    #[allow(clippy::type_complexity, reason = "a pair of event fields")]
    async fn look_first(
        &mut self,
        class: EffectClass,
        calls: &[Call],
        digests: &[Digest],
    ) -> Result<Flow<(Option<(ApprovalId, Option<ApprovalRow>)>, Vec<ContentRef>)>, Stop> {
        let parent = self.key().clone();
        let all = Digest::of_json(digests)?;
        let key = effect_key(&parent, &self.step.digest, CALL, &all);
        let approval = self.approval().await?;
        let mut permit = None;
        let mut asks: Vec<FrozenEffect> = Vec::new();
        for call in calls {
            let wanted = self.wants_call(call, class, all);
            match self.word(&parent, call, wanted, approval.as_ref(), None)? {
                Word::Go(word) => permit = Some(word),
                Word::Ask(frozen) => asks.push(*frozen),
                Word::No(error) => {
                    self.refuse(error).await?;
                    return Ok(Flow::Ended);
                }
            }
        }
        if !asks.is_empty() {
            let secret = ToolError::new(
                ErrorCode::Permission,
                format!("{} of the elements look like secrets or lie elsewhere", asks.len()),
            )
            .hint("name them one by one in a mission of their own");
            self.refuse(secret).await?;
            return Ok(Flow::Ended);
        }
        let Some(permit) = permit else { return Ok(Flow::On((None, Vec::new()))) };
        self.intend(key, CALL, EffectClass::Read, Repeat::Safe, permit, None, None);
        self.flush().await?;
        let mut contents = Vec::with_capacity(calls.len());
        for (index, call) in calls.iter().enumerate() {
            if self.lease.cancel.is_cancelled() {
                return Err(ToolError::new(ErrorCode::Cancelled, "cancelled").into());
            }
            let item = parent.instance(u32::try_from(index + 1).unwrap_or(u32::MAX));
            let prepared = match self.worker.ports.tools.prepare(call).await {
                Ok(prepared) => prepared,
                Err(error) => {
                    self.receive(key, EffectOutcome::Failed, None);
                    return Err(error.into());
                }
            };
            match self.asks_of(&item, call, &prepared).await? {
                Ok(more) => asks.extend(more),
                Err(error) => {
                    self.refuse(error).await?;
                    return Ok(Flow::Ended);
                }
            }
            contents.push(self.draft.json(&prepared, prepared.label)?);
        }
        self.receive(key, EffectOutcome::Done, None);
        let approval = if asks.is_empty() {
            None
        } else {
            let steps: Vec<StepKey> = (1..=calls.len())
                .map(|i| parent.instance(u32::try_from(i).unwrap_or(u32::MAX)))
                .collect();
            let standing = self.standing(&asks).await?;
            Some((self.ask(asks, steps, Vec::new())?, standing))
        };
        Ok(Flow::On((approval, contents)))
    }

    /// The effects of one instance that need a person, or the refusal of one.
    async fn asks_of(
        &self,
        item: &StepKey,
        call: &Call,
        prepared: &Prepared,
    ) -> Result<Result<Vec<FrozenEffect>, ToolError>, Stop> {
        let label = call.label.join(prepared.label);
        let mut wanted = Vec::new();
        if let Some(act) = &prepared.act {
            wanted.push(self.wants_act(call, act, label)?);
        }
        for (index, proposed) in prepared.changes.iter().enumerate() {
            wanted.push(self.wants_change(call, index, proposed, label).await?);
        }
        let mut asks = Vec::new();
        for wanted in wanted {
            debug_assert!(wanted.ordinal >= ACT);
            match self.word(item, call, wanted, None, None)? {
                Word::Go(_) => {}
                Word::Ask(frozen) => asks.push(*frozen),
                Word::No(error) => return Ok(Err(error)),
            }
        }
        Ok(Ok(asks))
    }

    /// Puts the outputs of all instances together, in order.
    pub(crate) async fn gather(&mut self) -> Result<(), Stop> {
        let rows = self.worker.view.steps(&self.mission.id, Some(self.key().n)).await?;
        if let Some(lost) = rows.iter().find(|row| row.state != StepState::Done) {
            return self.lost_item(&rows, lost).await;
        }
        let mut outputs = Vec::with_capacity(rows.len());
        let mut label = Label::TRUSTED;
        let mut verdicts: Vec<Verdict> = Vec::new();
        for row in &rows {
            if let Some(output) = &row.output {
                label = label.join(output.label);
                outputs.push(self.worker.view.json::<Value>(output, "an output").await?);
            }
            if let Some(found) = &row.verdicts {
                verdicts.extend(self.worker.view.json::<Vec<Verdict>>(found, "verdicts").await?);
            }
        }
        let verdicts = summary(verdicts, rows.len(), outputs.len());
        let output = json!({ "count": outputs.len(), "items": outputs });
        self.prove(output, label, verdicts).await
    }

    async fn lost_item(&mut self, rows: &[StepRow], lost: &StepRow) -> Result<(), Stop> {
        if rows.iter().any(|row| row.state == StepState::Cancelled) {
            return self.cancelled().await;
        }
        let done = rows.iter().filter(|row| row.state == StepState::Done).count();
        let error = ToolError::new(
            ErrorCode::Permanent,
            format!("{done} of {} instances are done; {} is not", rows.len(), lost.key),
        )
        .hint("`alma dead-letters list` shows the others and why");
        self.die(lost.cause.unwrap_or(DeathCause::Exhausted), error, Vec::new()).await
    }
}

/// One verdict on the number of outputs, the instances' own, and a sum of what is
/// not listed. A failed one is always listed.
fn summary(mut verdicts: Vec<Verdict>, instances: usize, outputs: usize) -> Vec<Verdict> {
    let claim = format!("each of the {instances} elements was worked on");
    let evidence = format!("{outputs} outputs for {instances} elements");
    let count = if outputs == instances {
        Verdict::verified("each", claim, evidence)
    } else {
        Verdict::failed("each", claim, evidence)
    };
    verdicts.sort_by_key(|verdict| match verdict.outcome {
        Outcome::Failed => 0,
        Outcome::NotVerified => 1,
        Outcome::Verified => 2,
    });
    let rest = verdicts.split_off(verdicts.len().min(VERDICTS_LISTED_MAX));
    let open = rest.iter().filter(|verdict| verdict.outcome != Outcome::Verified).count();
    if !rest.is_empty() {
        let claim = format!("{} more claims about elements", rest.len());
        verdicts.push(if open == 0 {
            Verdict::verified("each", claim, "every one of them was verified")
        } else {
            Verdict::not_verified("each", claim, format!("{open} of them were not verified"))
        });
    }
    verdicts.insert(0, count);
    verdicts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_output_fails_the_sum() {
        let verdicts = summary(vec![], 3, 2);
        assert_eq!(verdicts[0].outcome, Outcome::Failed);
    }

    #[test]
    fn unlisted_doubts_are_counted() {
        let many = vec![Verdict::not_verified("x", "c", "e"); VERDICTS_LISTED_MAX + 5];
        let verdicts = summary(many, 205, 205);
        let last = verdicts.last().unwrap();
        assert_eq!(last.outcome, Outcome::NotVerified);
        assert_eq!(last.evidence, "5 of them were not verified");
    }
}
