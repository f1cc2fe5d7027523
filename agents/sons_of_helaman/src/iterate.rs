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
use charter::event::{DeathCause, EffectOutcome, Event, Permit};
use charter::ids::{ApprovalId, StepKey};
use charter::label::Label;
use charter::plan::Step;
use charter::ports::{LedgerExt, Query};
use charter::rows::{ApprovalRow, EffectState, StepRow, StepState};
use charter::tool::{Call, ErrorCode, Prepared, ToolError, effect_key};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Verdicts of instances that a report lists one by one.
const VERDICTS_LISTED_MAX: usize = 200;
/// Instances that are looked at under one intent.
const PIECE: u32 = 32;
/// Most bytes of what all instances of a step propose together: they are laid down in
/// one transition.
const LOOKED_BYTES_MAX: usize = 256 << 20;

/// The list that a step runs over, and what the calls of its instances share.
struct Items<'a> {
    step: &'a Step,
    outputs: &'a BTreeMap<u32, Arc<Value>>,
    label: Label,
    list: &'a [Value],
    workspace: PathBuf,
}

impl Items<'_> {
    /// The call of one instance. Made when it is needed: all of them together would
    /// be many copies of the same.
    fn call(&self, job: &Job<'_>, index: usize) -> Result<Call, ToolError> {
        let item = self.list.get(index);
        job.call_for(self.step, self.outputs, item, self.label, self.workspace.clone())
    }
}

impl Job<'_> {
    /// Turns the step into instances.
    pub(crate) async fn expand(&mut self) -> Result<(), Stop> {
        let (_, step) = self.planned().await?;
        let (outputs, label) = self.outputs(&step).await?;
        let list = Self::items(&step, &outputs)?;
        let class = self.tool_class(&step)?;
        let workspace = self.workspace().await?;
        let items = Items { step: &step, outputs: &outputs, label, list, workspace };
        let digests = (0..list.len())
            .map(|index| Ok(call_digest(&items.call(self, index)?, step.effect)?))
            .collect::<Result<Vec<_>, Stop>>()?;
        let looks_first = class > EffectClass::Memory;
        let (asked, prepared) = if looks_first && !list.is_empty() {
            match self.look_first(class, &items, &digests).await? {
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
    /// that ask. What was looked at is on record piece by piece: whoever takes the
    /// step over from a dead worker goes on behind the last piece.
    #[allow(clippy::type_complexity, reason = "a pair of event fields")]
    async fn look_first(
        &mut self,
        class: EffectClass,
        items: &Items<'_>,
        digests: &[Digest],
    ) -> Result<Flow<(Option<(ApprovalId, Option<ApprovalRow>)>, Vec<ContentRef>)>, Stop> {
        let parent = self.key().clone();
        let all = Digest::of_json(digests)?;
        let approval = self.approval().await?;
        let mut permit = None;
        let mut secret = 0_usize;
        for index in 0..items.list.len() {
            let call = items.call(self, index)?;
            let wanted = self.wants_call(&call, class, all);
            match self.word(&parent, &call, wanted, approval.as_ref(), None)? {
                Word::Go(word) => permit = Some(word),
                Word::Ask(_) => secret += 1,
                Word::No(error) => {
                    self.refuse(error).await?;
                    return Ok(Flow::Ended);
                }
            }
        }
        if secret > 0 {
            let error = ToolError::new(
                ErrorCode::Permission,
                format!("{secret} of the elements look like secrets or lie elsewhere"),
            )
            .hint("name them one by one in a mission of their own");
            self.refuse(error).await?;
            return Ok(Flow::Ended);
        }
        let Some(permit) = permit else { return Ok(Flow::On((None, Vec::new()))) };
        let known = std::mem::take(&mut self.effects);
        let mut pieces = Vec::with_capacity(digests.len().div_ceil(PIECE as usize));
        for (number, piece) in (0..).zip(digests.chunks(PIECE as usize)) {
            let key = piece_key(&parent, &self.step.digest, number, piece)?;
            let done = EffectState::Received(EffectOutcome::Done);
            let looked = known.iter().find(|row| row.key == key && row.state == done);
            pieces.push(match looked.and_then(|row| row.output.clone()) {
                Some(before) => before,
                None => self.look(key, permit.clone(), items, number, piece.len()).await?,
            });
        }
        let (asks, contents) = match self.lay_down(items, &pieces).await {
            Ok(Ok(laid)) => laid,
            // What is drafted belongs to an expansion that does not come.
            Ok(Err(refused)) => {
                self.clear();
                self.refuse(refused).await?;
                return Ok(Flow::Ended);
            }
            Err(stop) => {
                self.clear();
                return Err(stop);
            }
        };
        let approval = if asks.is_empty() {
            None
        } else {
            let steps: Vec<StepKey> = (1..=items.list.len())
                .map(|i| parent.instance(u32::try_from(i).unwrap_or(u32::MAX)))
                .collect();
            let standing = self.standing(&asks).await?;
            Some((self.ask(asks, steps, Vec::new())?, standing))
        };
        Ok(Flow::On((approval, contents)))
    }

    /// Drafts what every instance is to do, and collects what of it asks; or why one
    /// of them is refused.
    async fn lay_down(
        &mut self,
        items: &Items<'_>,
        pieces: &[ContentRef],
    ) -> Result<Result<(Vec<FrozenEffect>, Vec<ContentRef>), ToolError>, Stop> {
        let parent = self.key().clone();
        let (mut asks, mut contents, mut bytes) = (Vec::new(), Vec::new(), 0_usize);
        for piece in pieces {
            let looked = self.worker.view.json::<Vec<Prepared>>(piece, "prepared calls").await?;
            for prepared in looked {
                let index = contents.len();
                let item = parent.instance(u32::try_from(index + 1).unwrap_or(u32::MAX));
                let call = items.call(self, index)?;
                match self.asks_of(&item, &call, &prepared).await? {
                    Ok(more) => asks.extend(more),
                    Err(refused) => return Ok(Err(refused)),
                }
                let (content, size) = self.draft.json_sized(&prepared, prepared.label)?;
                bytes = bytes.saturating_add(size);
                if bytes > LOOKED_BYTES_MAX {
                    let what = format!(
                        "what step {parent} would do has more than {LOOKED_BYTES_MAX} bytes"
                    );
                    let error = ToolError::new(ErrorCode::TooLarge, what);
                    return Err(error.hint("name fewer files at a time").into());
                }
                contents.push(content);
            }
        }
        Ok(Ok((asks, contents)))
    }

    /// Looks at one piece of the list, and puts what was found on record.
    async fn look(
        &mut self,
        key: Digest,
        permit: Permit,
        items: &Items<'_>,
        number: u32,
        count: usize,
    ) -> Result<ContentRef, Stop> {
        self.intend(key, CALL, EffectClass::Read, Repeat::Safe, permit, None);
        self.flush().await?;
        let mut looked = Vec::with_capacity(count);
        let mut label = items.label;
        for index in ((number * PIECE) as usize..).take(count) {
            if self.cancel.is_cancelled() {
                return Err(ToolError::new(ErrorCode::Cancelled, "cancelled").into());
            }
            let call = items.call(self, index)?;
            match self.worker.ports.tools.prepare(&call).await {
                Ok(prepared) => {
                    label = label.join(prepared.label);
                    looked.push(prepared);
                }
                Err(error) => {
                    // What goes on later keeps its intent.
                    if !self.is_halted().await? {
                        self.receive(key, EffectOutcome::Failed, None);
                    }
                    return Err(error.into());
                }
            }
        }
        let content = self.draft.json(&looked, label)?;
        self.receive(key, EffectOutcome::Done, Some(content.clone()));
        self.flush().await?;
        Ok(content)
    }

    /// What was proposed for this instance before any of them ran; `None` where its
    /// step did not look first.
    pub(crate) async fn looked_at_first(&self) -> Result<Option<Prepared>, Stop> {
        let (Some(parent), worker) = (self.key().parent(), self.worker) else { return Ok(None) };
        let (ledger, tenant) = (&worker.ports.ledger, &worker.settings.tenant);
        let index = self.key().item.saturating_sub(1);
        let number = index / PIECE;
        // Its own piece and no more: thousands of them may be requeued at a time.
        let piece = Query::Steps {
            mission: self.mission.id.clone(),
            state: None,
            items_of: Some(parent.n),
            after: Some(parent.instance(number * PIECE)),
            limit: PIECE,
        };
        let rows = ledger.steps(tenant, piece).await?;
        let piece: Vec<Digest> = rows.iter().map(|row| row.digest).collect();
        let of = ledger.step(tenant, &parent).await?.digest;
        let key = piece_key(&parent, &of, number, &piece)?;
        let effects = ledger.effects(tenant, &parent).await?;
        let looked = effects
            .into_iter()
            .find(|row| row.key == key && row.state == EffectState::Received(EffectOutcome::Done));
        let Some(reference) = looked.and_then(|row| row.output) else { return Ok(None) };
        let mut looked = worker.view.json::<Vec<Prepared>>(&reference, "prepared calls").await?;
        let at = (index % PIECE) as usize;
        Ok((at < looked.len()).then(|| looked.swap_remove(at)))
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
        // Moved, not copied: there may be very many.
        let mut output = Map::new();
        output.insert("count".to_owned(), outputs.len().into());
        output.insert("items".to_owned(), Value::Array(outputs));
        self.prove(Value::Object(output), label, verdicts).await
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

/// Under which key a piece of a list is looked at.
fn piece_key(
    parent: &StepKey,
    digest: &Digest,
    number: u32,
    piece: &[Digest],
) -> Result<Digest, Stop> {
    // The number, too: two pieces may be about the same.
    let detail = Digest::of_json(&(number, piece))?;
    Ok(effect_key(parent, digest, CALL, &detail))
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
