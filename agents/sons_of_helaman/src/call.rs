//! Calling a tool under the effect protocol: intent, permit, effect, receipt.

use crate::job::{Job, Stop, call_digest};
use crate::permit::{ACT, CALL, Word, number_of_change};
use crate::recovery::Settled;
use async_trait::async_trait;
use charter::approval::{ApprovalState, FrozenEffect};
use charter::budget::Limit;
use charter::content::ContentRef;
use charter::digest::Digest;
use charter::effect::{EffectClass, Repeat, Target, TargetState, targets_digest};
use charter::event::{DeathCause, EffectOutcome, Event, Permit};
use charter::plan::Step;
use charter::ports::{Fence, Ledger, LedgerError, LedgerExt, ProgramWatch};
use charter::rows::{ApprovalRow, EffectRow, EffectState, made_digest};
use charter::tool::{
    Act, Acted, Call, ErrorCode, Prepared, Process, Proposed, ToolError, effect_key,
};

/// Whether a phase leaves something to do.
pub(crate) enum Flow<T> {
    /// Go on with this.
    On(T),
    /// The step has ended or parked; nothing more to do.
    Ended,
}

/// What a change does to its files.
pub(crate) struct Written {
    before: Digest,
    after: Digest,
    bytes: u64,
}

impl Job<'_> {
    /// Carries out a step or an instance.
    pub(crate) async fn call(&mut self) -> Result<(), Stop> {
        let approval = self.approval().await?;
        if approval.as_ref().is_some_and(|row| row.state == ApprovalState::Denied) {
            let error = ToolError::new(ErrorCode::Permission, "a person said no");
            return self.die(DeathCause::Denied, error, Vec::new()).await;
        }
        let (_, step) = self.planned().await?;
        let (outputs, label) = self.outputs(&step).await?;
        let item = match self.key().item {
            0 => None,
            item => {
                Some(Self::items(&step, &outputs)?.get(item as usize - 1).ok_or_else(|| {
                    ToolError::new(ErrorCode::Arguments, "the element of this instance is gone")
                })?)
            }
        };
        let workspace = self.workspace().await?;
        let mut call = self.call_for(&step, &outputs, item, label, workspace)?;
        let digest = call_digest(&call, step.effect)?;
        if self.key().item > 0 && digest != self.step.digest {
            let error = ToolError::new(
                ErrorCode::Permanent,
                "the instance is not the one that was laid down",
            );
            return self.die(DeathCause::Refused, error, Vec::new()).await;
        }
        let effects = std::mem::take(&mut self.effects);
        let mut prepared = match self.step.prepared.clone() {
            Some(reference) => {
                call.secrets_allowed = secrets_granted(&effects);
                self.worker.view.json::<Prepared>(&reference, "a prepared call").await?
            }
            None => match self.carried_out(digest, &effects).await? {
                Some(prepared) => {
                    call.secrets_allowed = secrets_granted(&effects);
                    self.draft_prepared(&prepared)?;
                    prepared
                }
                None => {
                    let approval = approval.as_ref();
                    match self.prepare(&step, &mut call, digest, approval, &effects).await? {
                        Flow::On(prepared) => prepared,
                        Flow::Ended => return Ok(()),
                    }
                }
            },
        };
        if self.is_stale(&call, &prepared, &effects).await? {
            let approval = approval.as_ref();
            prepared = match self.prepare(&step, &mut call, digest, approval, &effects).await? {
                Flow::On(prepared) => prepared,
                Flow::Ended => return Ok(()),
            };
        }
        if let Some(act) = prepared.act.take() {
            match self.carry_act(&call, &act, &prepared, approval.as_ref(), &effects).await? {
                Flow::On(after) => prepared = after,
                Flow::Ended => return Ok(()),
            }
        }
        match self.carry_changes(&call, &prepared, approval.as_ref(), &effects).await? {
            Flow::On(()) => self.finish(&call, prepared).await,
            Flow::Ended => Ok(()),
        }
    }

    /// What a step that was sent round again proposed before, if part of that is open
    /// or all of it is done: what is open is settled, what is done is checked again.
    /// In any other case it looks around afresh.
    async fn carried_out(
        &self,
        digest: Digest,
        effects: &[EffectRow],
    ) -> Result<Option<Prepared>, Stop> {
        if effects.iter().all(|row| row.ordinal == CALL) {
            return Ok(None);
        }
        let state = |ordinal: u32, detail: &Digest| {
            let key = effect_key(self.key(), &self.step.digest, ordinal, detail);
            effects.iter().find(|row| row.key == key).map(|row| row.state)
        };
        let done = Some(EffectState::Received(EffectOutcome::Done));
        let call = effect_key(self.key(), &self.step.digest, CALL, &digest);
        let call = effects.iter().find(|row| row.key == call && Some(row.state) == done);
        let prepared = match call.and_then(|row| row.output.as_ref()) {
            Some(reference) => {
                self.worker.view.json::<Prepared>(reference, "a prepared call").await?
            }
            None => match self.looked_at_first().await? {
                Some(prepared) => prepared,
                None => return Ok(None),
            },
        };
        let states = match &prepared.act {
            Some(act) => vec![state(ACT, &Digest::of_json(act)?)],
            None => {
                let mut states = Vec::with_capacity(prepared.changes.len());
                for (index, proposed) in prepared.changes.iter().enumerate() {
                    let detail = Digest::of_json(&proposed.change)?;
                    states.push(state(number_of_change(index), &detail));
                }
                states
            }
        };
        let all_done = !states.is_empty() && states.iter().all(|state| *state == done);
        let some_open = states.iter().flatten().any(|state| state.is_open());
        Ok((all_done || some_open).then_some(prepared))
    }

    /// Has the tool look around and propose. Its intent is committed before, its
    /// receipt is drafted.
    async fn prepare(
        &mut self,
        step: &Step,
        call: &mut Call,
        digest: Digest,
        approval: Option<&ApprovalRow>,
        effects: &[EffectRow],
    ) -> Result<Flow<Prepared>, Stop> {
        let class = self.tool_class(step)?;
        let wanted = self.wants_call(call, class, digest);
        let key = effect_key(self.key(), &self.step.digest, CALL, &digest);
        let known = effects.iter().find(|row| row.key == key);
        let (looks, secrets) = (wanted.class, wanted.place == policy::Place::Secret);
        let permit = match self.word(&self.key().clone(), call, wanted, approval, known)? {
            Word::Go(permit) => permit,
            Word::Ask(frozen) => {
                self.park(vec![*frozen]).await?;
                return Ok(Flow::Ended);
            }
            Word::No(error) => {
                self.refuse(error).await?;
                return Ok(Flow::Ended);
            }
        };
        call.secrets_allowed = secrets;
        self.intend(key, CALL, looks, Repeat::Safe, permit, None);
        self.flush().await?;
        let prepared = match self.worker.ports.tools.prepare(call).await {
            Ok(prepared) => prepared,
            Err(error) => {
                // What goes on later keeps its intent, and its grant.
                if !self.is_halted().await? {
                    self.receive(key, EffectOutcome::Failed, None);
                }
                return Err(error.into());
            }
        };
        if prepared.act.is_some() || !prepared.changes.is_empty() {
            let content = self.draft_prepared(&prepared)?;
            self.receive(key, EffectOutcome::Done, Some(content));
        } else {
            self.receive(key, EffectOutcome::Done, None);
        }
        Ok(Flow::On(prepared))
    }

    pub(crate) fn tool_class(&self, step: &Step) -> Result<EffectClass, ToolError> {
        let spec = self.worker.ports.tools.spec(&step.tool).ok_or_else(|| {
            ToolError::new(ErrorCode::NoTool, format!("there is no tool named {:?}", step.tool))
                .hint("`alma tools list` shows the tools of this installation")
        })?;
        if spec.version == step.version {
            Ok(spec.effect)
        } else {
            Err(ToolError::new(
                ErrorCode::NoTool,
                format!(
                    "the plan wants {} version {}, here is version {}",
                    step.tool, step.version, spec.version
                ),
            )
            .hint("plan the mission anew"))
        }
    }

    fn draft_prepared(&mut self, prepared: &Prepared) -> Result<ContentRef, Stop> {
        let content = self.draft.json(prepared, prepared.label)?;
        let step = self.key().clone();
        self.draft.event(Event::StepPrepared { step, prepared: content.clone() });
        Ok(content)
    }

    /// Whether targets changed since the proposal, with nothing of it carried
    /// out: then the tool looks again, and a person is asked again.
    async fn is_stale(
        &self,
        call: &Call,
        prepared: &Prepared,
        effects: &[EffectRow],
    ) -> Result<bool, Stop> {
        let never = |state| {
            matches!(state, EffectState::Received(EffectOutcome::NotDone | EffectOutcome::Failed))
        };
        let began = effects.iter().any(|row| row.ordinal != CALL && !never(row.state));
        if self.step.prepared.is_none() || began {
            return Ok(false);
        }
        for proposed in &prepared.changes {
            let paths: Vec<String> =
                proposed.change.paths().into_iter().map(str::to_owned).collect();
            if self.worker.ports.tools.look(call, &paths).await? != proposed.before {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn carry_act(
        &mut self,
        call: &Call,
        act: &Act,
        prepared: &Prepared,
        approval: Option<&ApprovalRow>,
        effects: &[EffectRow],
    ) -> Result<Flow<Prepared>, Stop> {
        let wanted = self.wants_act(call, act, call.label.join(prepared.label))?;
        let key = effect_key(self.key(), &self.step.digest, ACT, &wanted.detail);
        let known = effects.iter().find(|row| row.key == key);
        if let Some(row) = known {
            if row.state == EffectState::Received(EffectOutcome::Done) {
                return self.acted_before(row).await.map(Flow::On);
            }
            match self.settle_act(call, act, row).await? {
                Settled::Do => {}
                Settled::Happened(acted) => return self.acted(key, acted, call).map(Flow::On),
                Settled::Asked => {
                    self.release().await?;
                    return Ok(Flow::Ended);
                }
            }
        }
        let permit = match self.word(&self.key().clone(), call, wanted, approval, known)? {
            Word::Go(permit) => permit,
            Word::Ask(frozen) => {
                self.park(vec![*frozen]).await?;
                return Ok(Flow::Ended);
            }
            Word::No(error) => {
                self.refuse(error).await?;
                return Ok(Flow::Ended);
            }
        };
        self.intend(key, ACT, act.class, act.repeat, permit, None);
        self.flush().await?;
        self.still_holds().await?;
        let watch = Watch { ledger: self.worker.ports.ledger.as_ref(), fence: &self.fence };
        match self.worker.ports.tools.act(call, act, &key, &watch).await {
            Ok(acted) => self.acted(key, acted, call).map(Flow::On),
            Err(error) => {
                // A failure that may pass leaves the intent, and its grant, open
                // for the next try. A timeout or an interruption says nothing
                // about the other side, nor does the refusal of a repeat about the
                // try before: recovery settles it.
                let interrupted = matches!(error.code, ErrorCode::Limit | ErrorCode::Cancelled);
                let repeated = act.repeat == Repeat::Keyed
                    && known.is_some_and(|row| row.state == EffectState::Intended);
                let unknown = act.repeat != Repeat::Safe && (interrupted || repeated);
                if !unknown && !error.code.is_transient() && !self.is_halted().await? {
                    self.receive(key, EffectOutcome::Failed, None);
                }
                Err(error.into())
            }
        }
    }

    /// The act happened: its outcome takes the place of the proposal.
    fn acted(&mut self, key: Digest, acted: Acted, call: &Call) -> Result<Prepared, Stop> {
        let label = acted.label.join(call.label);
        let prepared = Prepared { output: acted.output, label, changes: acted.changes, act: None };
        let content = self.draft_prepared(&prepared)?;
        self.receive(key, EffectOutcome::Done, Some(content));
        Ok(prepared)
    }

    /// The act happened under an earlier claim; the step was sent round again.
    async fn acted_before(&mut self, row: &EffectRow) -> Result<Prepared, Stop> {
        let reference = row.output.clone().ok_or_else(|| {
            ToolError::new(
                ErrorCode::Permanent,
                "this was done already, and what came of it is not on record",
            )
            .hint("it is never done twice; submit the mission again to do it anew")
        })?;
        let prepared = self.worker.view.json(&reference, "the outcome of an act").await?;
        self.draft.event(Event::StepPrepared { step: self.key().clone(), prepared: reference });
        Ok(prepared)
    }

    async fn carry_changes(
        &mut self,
        call: &Call,
        prepared: &Prepared,
        approval: Option<&ApprovalRow>,
        effects: &[EffectRow],
    ) -> Result<Flow<()>, Stop> {
        let label = call.label.join(prepared.label);
        let mut to_do: Vec<(Digest, &Proposed)> = Vec::new();
        let mut intents: Vec<(Digest, u32, &Proposed, Permit)> = Vec::new();
        let mut asks: Vec<FrozenEffect> = Vec::new();
        // What the budget does not keep for an earlier try that nobody knows the end of.
        let mut bytes = 0_u64;
        for (index, proposed) in prepared.changes.iter().enumerate() {
            let wanted = self.wants_change(call, index, proposed, label).await?;
            let (ordinal, detail) = (wanted.ordinal, wanted.detail);
            let key = effect_key(self.key(), &self.step.digest, ordinal, &detail);
            let known = effects.iter().find(|row| row.key == key);
            if let Some(row) = known {
                if row.state == EffectState::Received(EffectOutcome::Done) {
                    continue;
                }
                match self.settle_change(call, proposed, row).await? {
                    Settled::Do => {}
                    Settled::Happened(targets) => {
                        self.applied(key, call, proposed, &targets)?;
                        continue;
                    }
                    Settled::Asked => {
                        self.release().await?;
                        return Ok(Flow::Ended);
                    }
                }
            }
            match self.word(&self.key().clone(), call, wanted, approval, known)? {
                Word::Go(permit) => {
                    let kept = known.filter(|row| row.state.is_open()).map_or(0, |row| row.bytes);
                    let writes = proposed.change.bytes_written();
                    bytes = bytes.saturating_add(writes.saturating_sub(kept));
                    intents.push((key, ordinal, proposed, permit));
                }
                Word::Ask(frozen) => asks.push(*frozen),
                Word::No(error) => {
                    self.refuse(error).await?;
                    return Ok(Flow::Ended);
                }
            }
        }
        if !asks.is_empty() {
            self.park(asks).await?;
            return Ok(Flow::Ended);
        }
        if bytes > 0 && self.writes_too_much(bytes).await? {
            self.over_budget(Limit::BytesWritten).await?;
            return Ok(Flow::Ended);
        }
        for (key, ordinal, proposed, permit) in intents {
            let written = Written {
                before: targets_digest(&proposed.before)?,
                after: targets_digest(&proposed.expected())?,
                bytes: proposed.change.bytes_written(),
            };
            self.intend(key, ordinal, proposed.class(), Repeat::Safe, permit, Some(written));
            to_do.push((key, proposed));
        }
        if !to_do.is_empty() {
            match self.flush().await {
                // Steps beside this one were quicker.
                Err(Stop::Ledger(LedgerError::Conflict(_)))
                    if bytes > 0 && self.writes_too_much(bytes).await? =>
                {
                    self.clear();
                    self.over_budget(Limit::BytesWritten).await?;
                    return Ok(Flow::Ended);
                }
                done => done?,
            }
        }
        let mut to_do = to_do.into_iter();
        while let Some((key, proposed)) = to_do.next() {
            self.still_holds().await?;
            let applied = if self.cancel.is_cancelled() {
                Err(ToolError::new(ErrorCode::Cancelled, "the mission was cancelled"))
            } else {
                self.worker.ports.tools.apply(call, proposed).await
            };
            match applied {
                Ok(targets) => self.applied(key, call, proposed, &targets)?,
                Err(error) => {
                    // What may pass, and what goes on later, leaves the intents, and
                    // their grants, open.
                    // A target that somebody else changed was not touched.
                    let settled = !error.code.is_transient()
                        || error.code == ErrorCode::ChangedSince
                        || self.is_last_try().await && self.is_untouched(call, proposed).await;
                    if settled && !self.is_halted().await? {
                        self.receive(key, EffectOutcome::Failed, None);
                        for (key, _) in to_do {
                            self.receive(key, EffectOutcome::NotDone, None);
                        }
                    }
                    return Err(error.into());
                }
            }
        }
        Ok(Flow::On(()))
    }

    /// Whether so many bytes more would pass the budget. Other steps of the mission may
    /// have written since this one was claimed, and the record has the last word.
    async fn writes_too_much(&self, bytes: u64) -> Result<bool, Stop> {
        let (ledger, tenant) = (&self.worker.ports.ledger, &self.worker.settings.tenant);
        Ok(ledger.mission(tenant, &self.mission.id).await?.would_write_too_much(bytes))
    }

    /// Whether no further try follows when this one fails.
    async fn is_last_try(&self) -> bool {
        let attempts = self.planned().await.map_or(1, |(_, step)| step.limits.attempts);
        self.step.failures.saturating_add(1) >= attempts
    }

    /// Whether the targets of a change hold what they held before it.
    async fn is_untouched(&self, call: &Call, proposed: &Proposed) -> bool {
        let paths: Vec<String> = proposed.change.paths().into_iter().map(str::to_owned).collect();
        let found = self.worker.ports.tools.look(call, &paths).await;
        found.is_ok_and(|found| found == proposed.before)
    }

    /// Drafts the receipt of a change.
    fn applied(
        &mut self,
        key: Digest,
        call: &Call,
        proposed: &Proposed,
        targets: &[Target],
    ) -> Result<(), Stop> {
        self.bytes_written = self.bytes_written.saturating_add(proposed.change.bytes_written());
        let workspace = call.workspace.to_string_lossy();
        let made = match proposed.change {
            charter::effect::Change::Write { .. } => targets
                .iter()
                .filter_map(|target| match &target.state {
                    TargetState::File { sha256, .. } => {
                        Some(made_digest(&workspace, &target.path, sha256))
                    }
                    TargetState::Absent | TargetState::Folder | TargetState::Other => None,
                })
                .collect(),
            // Moving a file does not make it hers.
            _ => Vec::new(),
        };
        self.draft.event(Event::EffectReceived {
            key,
            step: self.key().clone(),
            outcome: EffectOutcome::Done,
            output: None,
            after: Some(targets_digest(targets)?),
            made,
        });
        Ok(())
    }

    pub(crate) fn intend(
        &mut self,
        key: Digest,
        ordinal: u32,
        class: EffectClass,
        repeat: Repeat,
        permit: Permit,
        written: Option<Written>,
    ) {
        let step = self.key().clone();
        let digests = written.as_ref().map(|written| (written.before, written.after));
        let (before, after) = digests.unzip();
        let bytes = written.map_or(0, |written| written.bytes);
        self.draft.event(Event::EffectIntended {
            key,
            step,
            ordinal,
            class,
            repeat,
            permit,
            before,
            after,
            bytes,
        });
    }

    /// Drafts the receipt of a call or of an act. What came of it is kept for a step
    /// that is sent round again after it.
    pub(crate) fn receive(
        &mut self,
        key: Digest,
        outcome: EffectOutcome,
        output: Option<ContentRef>,
    ) {
        self.draft.event(Event::EffectReceived {
            key,
            step: self.key().clone(),
            outcome,
            output,
            after: None,
            made: Vec::new(),
        });
    }
}

/// Whether the call was permitted to read secrets when it was prepared.
fn secrets_granted(effects: &[EffectRow]) -> bool {
    effects.iter().any(|row| row.ordinal == CALL && row.permit.grant.is_some())
}

/// Writes the programs of a step into its lease.
struct Watch<'j> {
    ledger: &'j dyn Ledger,
    fence: &'j Fence,
}

#[async_trait]
impl ProgramWatch for Watch<'_> {
    async fn started(&self, program: &Process) -> Result<(), ToolError> {
        self.ledger.note_program(self.fence, program, true).await.map_err(|error| {
            ToolError::new(ErrorCode::Transient, format!("could not note the program: {error}"))
        })
    }

    async fn ended(&self, program: &Process) {
        if let Err(error) = self.ledger.note_program(self.fence, program, false).await {
            // A program that is noted too long costs one look at a dead pid.
            tracing::debug!(%error, "could not strike the program off the lease");
        }
    }
}
