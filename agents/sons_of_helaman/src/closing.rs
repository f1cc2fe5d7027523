//! Step 0: the report. It is a step like any other, so a crash while it is
//! written loses nothing.

use crate::ending::StepError;
use crate::job::{Job, Stop};
use crate::permit::CHANGES;
use charter::approval::ApprovalState;
use charter::check::Verdict;
use charter::event::{EffectOutcome, Event};
use charter::label::Label;
use charter::ports::{LedgerExt, Query, Rows};
use charter::rows::{EffectState, StepRow, StepState};
use charter::tool::Prepared;
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
        let record = MissionRecord {
            mission: self.mission.id.clone(),
            plan_digest: self.mission.plan_digest,
            cancelled: self.mission.cancelled,
            stopped: self.mission.stopped,
            steps,
            usage: self.mission.spent.plus(self.used()),
        };
        let report = report(&plan, &record);
        let content = self.draft.json(&report, Label::UNTRUSTED)?;
        self.withdraw_questions().await?;
        let verdicts = self.draft.json::<[Verdict]>(&[], Label::TRUSTED)?;
        let (step, usage) = (self.key().clone(), self.used());
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

    async fn record(&self, row: &StepRow, gathered: bool) -> Result<StepRecord, Stop> {
        let view = &self.worker.view;
        let mut verdicts: Vec<Verdict> = match &row.verdicts {
            Some(found) if !gathered => view.json(found, "verdicts").await?,
            _ => Vec::new(),
        };
        let mut message = None;
        if let Some(error) = row.error.as_ref().filter(|_| row.state != StepState::Done) {
            let error: StepError = view.json(error, "an error").await?;
            verdicts.extend(error.verdicts);
            message = Some(error.error.to_string());
        }
        let output = match &row.output {
            Some(output) if row.key.item == 0 => Some(view.value(output).await?.as_ref().clone()),
            _ => None,
        };
        let worker = self.worker;
        let effects = worker.ports.ledger.effects(&worker.settings.tenant, &row.key).await?;
        let mut changes = Vec::new();
        if let Some(reference) = &row.prepared
            && effects.iter().any(|effect| effect.ordinal >= CHANGES)
        {
            let prepared: Prepared = view.json(reference, "a prepared call").await?;
            for effect in &effects {
                let happened = effect.state == EffectState::Received(EffectOutcome::Done);
                let index = effect.ordinal.checked_sub(CHANGES).map(|index| index as usize);
                if let Some(proposed) = index.and_then(|index| prepared.changes.get(index))
                    && happened
                {
                    changes.push(proposed.clone());
                }
            }
        }
        let in_doubt = effects
            .iter()
            .filter(|effect| effect.ordinal > 0)
            .filter(|e| matches!(e.state, EffectState::InDoubt | EffectState::Intended))
            .count();
        Ok(StepRecord {
            key: row.key.clone(),
            state: row.state,
            cause: row.cause,
            output,
            verdicts,
            error: message,
            changes,
            in_doubt: u32::try_from(in_doubt).unwrap_or(u32::MAX),
        })
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
