//! Step 0: the report. It is a step like any other, so a crash while it is
//! written loses nothing.

use crate::ending::StepError;
use crate::job::{Job, Stop, kept};
use crate::permit::CHANGES;
use charter::approval::ApprovalState;
use charter::check::Verdict;
use charter::content::ContentRef;
use charter::digest::Digest;
use charter::effect::targets_digest;
use charter::event::{EffectOutcome, Event};
use charter::label::Label;
use charter::ports::{LedgerExt, Query, Rows};
use charter::rows::{EffectRow, EffectState, StepRow, StepState};
use charter::tool::{Prepared, Proposed, effect_key};
use moroni::report::{MissionRecord, StepRecord, report};

/// Open questions that are withdrawn when a mission ends.
const APPROVALS_MAX: u32 = 1_000;

impl Job<'_> {
    /// Writes the report and ends the mission.
    pub(crate) async fn close(&mut self) -> Result<(), Stop> {
        let plan = self.plan().await?;
        let mut steps = Vec::new();
        for row in self.worker.view.steps(&self.mission.id, None).await? {
            if row.key.n == 0 {
                continue;
            }
            let items = if row.items > 0 {
                self.worker.view.steps(&self.mission.id, Some(row.key.n)).await?
            } else {
                Vec::new()
            };
            for item in &items {
                // What a finished step gathered stands there already.
                let gathered = row.state == StepState::Done;
                steps.push(self.record(item, gathered).await?);
            }
            steps.push(self.record(&row, false).await?);
        }
        let used = self.used();
        let record = MissionRecord {
            mission: self.mission.id.clone(),
            plan_digest: self.mission.plan_digest,
            cancelled: self.mission.cancelled,
            stopped: self.mission.stopped,
            steps,
            usage: self.mission.spent.plus(used),
            own: used,
        };
        let report = report(&plan, &record);
        let content = self.draft.json(&report, Label::UNTRUSTED)?;
        self.withdraw_questions().await?;
        let verdicts = self.draft.json::<[Verdict]>(&[], Label::TRUSTED)?;
        let (step, usage) = (self.key().clone(), used);
        self.draft.event(Event::StepFinished {
            step,
            output: content.clone(),
            verdicts,
            verified: true,
            unblocks: Vec::new(),
            usage,
        });
        self.draft.event(Event::MissionEnded {
            mission: self.mission.id.clone(),
            state: report.state,
            report: content,
        });
        self.release().await
    }

    /// A text that was forgotten since then leaves a gap, and does not hold up the report.
    async fn record(&self, row: &StepRow, gathered: bool) -> Result<StepRecord, Stop> {
        let view = &self.worker.view;
        let mut verdicts: Vec<Verdict> = match &row.verdicts {
            Some(found) if !gathered => {
                kept(view.json(found, "verdicts").await)?.unwrap_or_default()
            }
            _ => Vec::new(),
        };
        let mut message = None;
        if let Some(error) = row.error.as_ref().filter(|_| row.state != StepState::Done)
            && let Some(error) = kept(view.json::<StepError>(error, "an error").await)?
        {
            verdicts.extend(error.verdicts);
            message = Some(error.error.to_string());
        }
        let output = match &row.output {
            Some(output) if row.key.item == 0 => {
                kept(view.value(output).await)?.map(|value| value.as_ref().clone())
            }
            _ => None,
        };
        let worker = self.worker;
        let effects = worker.ports.ledger.effects(&worker.settings.tenant, &row.key).await?;
        let changes = self.changes(row, &effects).await?;
        let in_doubt =
            effects.iter().filter(|effect| effect.ordinal > 0 && effect.state.is_open()).count();
        Ok(StepRecord {
            key: row.key.clone(),
            state: row.state,
            cause: row.cause,
            output,
            verdicts,
            error: message,
            changes,
            in_doubt: u32::try_from(in_doubt).unwrap_or(u32::MAX),
            usage: row.usage,
        })
    }

    /// Changes of files that are on record as done, whichever proposal they belong to:
    /// a step that was sent round again, or got other inputs, may have had several.
    async fn changes(&self, row: &StepRow, effects: &[EffectRow]) -> Result<Vec<Proposed>, Stop> {
        let done = EffectState::Received(EffectOutcome::Done);
        let happened: Vec<&EffectRow> = effects
            .iter()
            .filter(|effect| effect.ordinal >= CHANGES && effect.state == done)
            .collect();
        if happened.is_empty() {
            return Ok(Vec::new());
        }
        let looked = effects.iter().filter(|effect| effect.ordinal < CHANGES);
        let mut references: Vec<&ContentRef> = row.prepared.iter().collect();
        for reference in looked.filter_map(|effect| effect.output.as_ref()) {
            if !references.contains(&reference) {
                references.push(reference);
            }
        }
        let mut proposals: Vec<Prepared> = Vec::with_capacity(references.len());
        for reference in references {
            proposals.extend(kept(self.worker.view.json(reference, "a prepared call").await)?);
        }
        let mut changes = Vec::with_capacity(happened.len());
        for effect in happened {
            let index = effect.ordinal.saturating_sub(CHANGES) as usize;
            for proposed in proposals.iter().filter_map(|prepared| prepared.changes.get(index)) {
                let detail = Digest::of_json(&proposed.change)?;
                let own = effect_key(&row.key, &row.digest, effect.ordinal, &detail);
                // The key of a former plan's step is not known any more; what its
                // targets held afterwards is.
                if effect.key == own || effect.after == Some(targets_digest(&proposed.expected())?)
                {
                    changes.push(proposed.clone());
                    break;
                }
            }
        }
        Ok(changes)
    }

    async fn withdraw_questions(&mut self) -> Result<(), Stop> {
        let worker = self.worker;
        for state in [ApprovalState::Open, ApprovalState::Expired] {
            let query = Query::Approvals {
                mission: Some(self.mission.id.clone()),
                state: Some(state),
                limit: APPROVALS_MAX,
            };
            let found = worker.ports.ledger.query(&worker.settings.tenant, query).await?;
            if let Rows::Approvals(rows) = found {
                for row in rows {
                    let mission = row.mission;
                    self.draft.event(Event::ApprovalWithdrawn { approval: row.id, mission });
                }
            }
        }
        Ok(())
    }
}
