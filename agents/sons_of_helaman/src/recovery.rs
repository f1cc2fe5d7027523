//! Settling effects whose outcome nobody recorded: the worker died between the
//! intent and the receipt. What the world shows decides; else a person is asked.

use crate::job::{Job, Stop};
use crate::permit::ACT;
use charter::approval::{Answer, ApprovalState, Card, FrozenEffect, Question};
use charter::digest::Digest;
use charter::effect::{Target, targets_digest};
use charter::event::Event;
use charter::label::Label;
use charter::ports::LedgerExt;
use charter::rows::{EffectRow, EffectState};
use charter::tool::{Act, Acted, Call, Probe, Proposed};
use moroni::machine::recovery::{Settle, Told, act as settle_act, change, probed};
use serde_json::json;

/// What is to be done about one effect now.
pub(crate) enum Settled<T> {
    /// Carry it out; it has not happened, or repeating it is safe.
    Do,
    /// It happened, with this outcome.
    Happened(T),
    /// The question was drafted: the step parks.
    Asked,
}

impl Job<'_> {
    /// Settles a change of files.
    pub(crate) async fn settle_change(
        &mut self,
        call: &Call,
        proposed: &Proposed,
        row: &EffectRow,
    ) -> Result<Settled<Vec<Target>>, Stop> {
        let settle = match row.state {
            EffectState::Received(_) => return Ok(Settled::Do),
            EffectState::InDoubt => match self.answer_to(row).await? {
                Some(Answer::Happened) => return Ok(Settled::Happened(proposed.expected())),
                Some(Answer::NotHappened) => return Ok(Settled::Do),
                _ => Settle::Ask,
            },
            EffectState::Intended => {
                let paths: Vec<String> =
                    proposed.change.paths().into_iter().map(str::to_owned).collect();
                let now = self.worker.ports.tools.look(call, &paths).await?;
                let digest = targets_digest(&now)?;
                match change(row.before.as_ref(), row.after.as_ref(), &digest) {
                    Settle::Receive => return Ok(Settled::Happened(now)),
                    other => other,
                }
            }
        };
        match settle {
            Settle::Repeat => Ok(Settled::Do),
            Settle::Receive | Settle::Probe | Settle::Ask => {
                let (what, before) = (proposed.change.to_string(), proposed.before.clone());
                self.ask_in_doubt(call, row, what, row.after, before)?;
                Ok(Settled::Asked)
            }
        }
    }

    /// Settles an act.
    pub(crate) async fn settle_act(
        &mut self,
        call: &Call,
        act: &Act,
        row: &EffectRow,
    ) -> Result<Settled<Acted>, Stop> {
        let settle = match row.state {
            EffectState::Received(_) => return Ok(Settled::Do),
            EffectState::InDoubt => match self.answer_to(row).await? {
                Some(Answer::Happened) => {
                    return Ok(Settled::Happened(Acted {
                        output: json!({ "confirmed_by": "a person" }),
                        label: Label::TRUSTED,
                        changes: Vec::new(),
                    }));
                }
                Some(Answer::NotHappened) => return Ok(Settled::Do),
                _ => Settle::Ask,
            },
            EffectState::Intended => settle_act(row.repeat),
        };
        let settle = match settle {
            Settle::Probe => match self.worker.ports.tools.probe(call, act, &row.key).await? {
                Probe::Done { acted } => return Ok(Settled::Happened(acted)),
                Probe::NotDone => probed(Told::NotDone, !self.step.former_alive),
                Probe::Unknown => probed(Told::Unknown, !self.step.former_alive),
            },
            other => other,
        };
        match settle {
            Settle::Repeat => Ok(Settled::Do),
            Settle::Receive | Settle::Probe | Settle::Ask => {
                self.ask_in_doubt(call, row, act.summary.clone(), None, Vec::new())?;
                Ok(Settled::Asked)
            }
        }
    }

    /// What a person said about an effect in doubt; nothing where the question was
    /// refused or withdrawn.
    async fn answer_to(&self, row: &EffectRow) -> Result<Option<Answer>, Stop> {
        let Some(id) = &row.doubt else { return Ok(None) };
        let worker = self.worker;
        let approval = worker.ports.ledger.approval(&worker.settings.tenant, id).await?;
        Ok(approval.answer.filter(|_| approval.state == ApprovalState::Approved))
    }

    fn ask_in_doubt(
        &mut self,
        call: &Call,
        row: &EffectRow,
        summary: String,
        expected: Option<Digest>,
        before: Vec<Target>,
    ) -> Result<(), Stop> {
        let what = if row.ordinal == ACT { "act" } else { "change" };
        let frozen = FrozenEffect {
            step: row.step.clone(),
            ordinal: row.ordinal,
            tool: call.tool.clone(),
            version: call.version,
            args: call.args.clone(),
            class: row.class,
            summary: summary.clone(),
            detail: expected.unwrap_or(row.key),
            before,
            sandbox: None,
            label: call.label,
            rule: "in-doubt".to_owned(),
            reason: format!(
                "Alma was interrupted during this {what}, and nothing here shows whether it happened"
            ),
        };
        let card = Card {
            question: Question::InDoubt,
            title: format!("Did this happen: {summary}?"),
            effects: vec![frozen],
            notes: vec![
                "Alma was interrupted while doing this and cannot tell from here.".to_owned(),
                "Look, then answer that it happened (she goes on), or that it did not (she does it once)."
                    .to_owned(),
            ],
        };
        let step = self.key().clone();
        let approval = self.ask_card(card, vec![step.clone()])?;
        self.draft.event(Event::EffectInDoubt { key: row.key, step, approval });
        Ok(())
    }
}
