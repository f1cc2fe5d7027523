//! How a claim ends: proven and done, tried again, repaired, dead, or stopped.

use crate::job::{Job, Stop};
use charter::budget::Limit;
use charter::check::{Outcome, Subject, Verdict};
use charter::event::{DeathCause, Event};
use charter::label::Label;
use charter::ports::LedgerError;
use charter::rows::StepState;
use charter::tool::{Call, ErrorCode, Prepared, ToolError};
use moroni::machine::failure::{Next, after, backoff_ms};
use serde::{Deserialize, Serialize};

/// What is kept of a failed step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepError {
    /// What happened, why, and what to do.
    pub error: ToolError,
    /// The checks that were made, when a check was what failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verdicts: Vec<Verdict>,
}

impl Job<'_> {
    /// Runs the checks on what was done and ends the step accordingly.
    pub(crate) async fn finish(&mut self, call: &Call, prepared: Prepared) -> Result<(), Stop> {
        let label = call.label.join(prepared.label);
        let subject = Subject {
            tool: call.tool.clone(),
            args: call.args.clone(),
            output: prepared.output,
            changes: prepared.changes,
            workspace: call.workspace.clone(),
            label,
            secrets_allowed: call.secrets_allowed,
            since: self.started,
            cancel: call.cancel.clone(),
            meter: call.meter.clone(),
        };
        let verdicts = self.worker.ports.tools.check(&subject).await;
        // A check that was interrupted proves nothing, either way.
        if self.is_halted().await? {
            return self.halt().await;
        }
        self.prove(subject.output, label, verdicts).await
    }

    /// Ends the step as done unless a check found its result wrong.
    pub(crate) async fn prove(
        &mut self,
        output: serde_json::Value,
        label: Label,
        verdicts: Vec<Verdict>,
    ) -> Result<(), Stop> {
        if let Some(wrong) = verdicts.iter().find(|v| v.outcome == Outcome::Failed) {
            let error = ToolError::new(
                ErrorCode::Permanent,
                format!("the check {:?} failed: {} ({})", wrong.check, wrong.claim, wrong.evidence),
            )
            .hint("look at the files; requeue the step to try again");
            return self.die(DeathCause::Unproven, error, verdicts).await;
        }
        let verified =
            !verdicts.is_empty() && verdicts.iter().all(|v| v.outcome == Outcome::Verified);
        let unblocks = match self.key().item {
            0 => self.plan_now().await?.dependents(self.key().n),
            _ => Vec::new(),
        };
        let output = self.draft.json(&output, label)?;
        let verdicts = self.draft.json(&verdicts, label)?;
        let (step, usage) = (self.key().clone(), self.used());
        self.draft.event(Event::StepFinished { step, output, verdicts, verified, unblocks, usage });
        self.release().await
    }

    /// The try failed. What was drafted before, receipts above all, is committed
    /// with the decision.
    pub(crate) async fn failed(&mut self, error: ToolError) -> Result<(), Stop> {
        if error.code == ErrorCode::Cancelled || self.cancel.is_cancelled() {
            return if self.is_halted().await? {
                self.halt().await
            } else {
                self.cancelled().await
            };
        }
        let attempts = match self.planned().await {
            Ok((_, step)) => step.limits.attempts,
            Err(_) => 1,
        };
        let ports = &self.worker.ports;
        let next = after(
            error.code,
            self.step.failures,
            attempts,
            self.mission.replans,
            ports.clock.now(),
            ports.entropy.next_u32(),
        );
        match next {
            Next::Retry { at } => {
                let content = self
                    .draft
                    .json(&StepError { error, verdicts: Vec::new() }, Label::UNTRUSTED)?;
                let (step, usage) = (self.key().clone(), self.used());
                self.draft.event(Event::StepFailed { step, error: content, retry_at: at, usage });
                self.release().await
            }
            Next::Heal { otherwise } => {
                if self.heal(&error).await? {
                    Ok(())
                } else {
                    self.die(otherwise, error, Vec::new()).await
                }
            }
            Next::Die(cause) => self.die(cause, error, Vec::new()).await,
        }
    }

    /// Puts a repaired plan in place, if there is one. Finished steps stay.
    async fn heal(&mut self, error: &ToolError) -> Result<bool, Stop> {
        // An instance works on what its list named; there is nothing to repair.
        if self.key().item > 0 {
            return Ok(false);
        }
        let plan = self.plan().await?;
        let workspace = self.worker.view.text(&self.mission.workspace).await?;
        let tools = &self.worker.ports.tools;
        let Ok(survey) = tools.survey(std::path::Path::new(&workspace)).await else {
            return Ok(false);
        };
        let Some((child, reason)) = moroni::heal::heal(&plan, self.key().n, error, &survey) else {
            return Ok(false);
        };
        tracing::info!(step = %self.key(), reason, "repaired the plan");
        let rows = self.worker.view.steps(&self.mission.id, None).await?;
        let dead: Vec<u32> = rows
            .iter()
            .filter(|row| matches!(row.state, StepState::Dead | StepState::Discarded))
            .map(|row| row.key.n)
            .collect();
        let keep = moroni::inputs::carried(&plan, &child, &dead);
        let mut drop = Vec::new();
        for row in rows {
            if row.items > 0 && !keep.contains(&row.key.n) {
                let items = self.worker.view.steps(&self.mission.id, Some(row.key.n)).await?;
                drop.extend(items.into_iter().map(|item| item.key));
            }
        }
        let content = self.draft.json(&child, Label::TRUSTED)?;
        self.draft.event(Event::MissionReplanned {
            mission: self.mission.id.clone(),
            plan: content,
            digest: child.digest()?,
            parent: plan.digest()?,
            steps: moroni::heads(&child, &self.worker.ports.tools.specs())?,
            keep,
            drop,
        });
        self.release().await?;
        Ok(true)
    }

    /// Ends the step without a result.
    pub(crate) async fn die(
        &mut self,
        cause: DeathCause,
        error: ToolError,
        verdicts: Vec<Verdict>,
    ) -> Result<(), Stop> {
        let skips = match self.key().item {
            0 => self.plan_now().await?.downstream(self.key().n).into_iter().collect(),
            _ => Vec::new(),
        };
        let error = self.draft.json(&StepError { error, verdicts }, Label::UNTRUSTED)?;
        let (step, usage) = (self.key().clone(), self.used());
        self.draft.event(Event::StepDied { step, error, cause, skips, usage });
        self.release().await
    }

    /// Gives back a claim that cannot be carried on: nothing of it runs any more,
    /// and nobody takes a claim back from a process that lives. What may have
    /// happened is settled under the next claim.
    pub(crate) async fn give_back(&mut self, why: &Stop) {
        // What stood in the way before the claim is counted, lest it come back for ever,
        // unless it passes by itself.
        let passes = matches!(
            why,
            Stop::Ledger(
                LedgerError::Conflict(_) | LedgerError::Store { .. } | LedgerError::DiskFull(_)
            )
        );
        if !self.is_claimed() && (passes || self.claim().await.is_err()) {
            return;
        }
        let ports = &self.worker.ports;
        let wait = backoff_ms(self.step.lost, ports.entropy.next_u32());
        self.clear();
        self.draft.event(Event::StepReleased {
            step: self.key().clone(),
            token: self.fence.token,
            dead: true,
            ready_at: ports.clock.now().saturating_add_unsigned(wait),
        });
        if let Err(stop) = self.release().await {
            // Somebody else has it, or the ledger is away: then its lease runs out.
            tracing::debug!(step = %self.key(), ?stop, "a claim was not given back");
        }
    }

    /// Gives the claim back because all work was stopped. What was drafted, receipts
    /// above all, is kept; what is open is settled under the next claim.
    async fn halt(&mut self) -> Result<(), Stop> {
        let (step, usage) = (self.key().clone(), self.used());
        self.draft.event(Event::StepHalted { step, usage });
        self.release().await
    }

    /// Ends the step because the mission is being stopped.
    pub(crate) async fn cancelled(&mut self) -> Result<(), Stop> {
        let (step, usage) = (self.key().clone(), self.used());
        self.draft.event(Event::StepCancelled { step, usage });
        self.release().await
    }

    /// Stops the mission: going on would pass a budget.
    pub(crate) async fn over_budget(&mut self, limit: Limit) -> Result<(), Stop> {
        let steps = self.worker.view.open_steps(&self.mission.id).await?;
        self.draft.event(Event::MissionStopped { mission: self.mission.id.clone(), limit, steps });
        self.cancelled().await
    }
}
