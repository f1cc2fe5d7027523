//! Permits: no effect without one. Policy decides; where it asks, a grant that a
//! person gave for exactly this effect is spent, or the step parks with a card.

use crate::job::{Job, Stop};
use charter::approval::{
    APPROVAL_OPEN_MS, Answer, ApprovalState, Card, FrozenEffect, Question, cover, may_stand,
};
use charter::digest::Digest;
use charter::effect::{Change, EffectClass, Target, TargetState};
use charter::event::{DeathCause, Event, Permit};
use charter::ids::{ApprovalId, StepKey};
use charter::label::Label;
use charter::ports::{LedgerExt, Query, Rows};
use charter::rows::{ApprovalRow, EffectRow, EffectState, made_digest};
use charter::tool::{Act, Call, ErrorCode, Proposed, SandboxLevel, ToolError};
use policy::{Place, Verdict};
use serde_json::json;

/// Number of the call itself among the effects of a step.
pub(crate) const CALL: u32 = 0;
/// Number of the act.
pub(crate) const ACT: u32 = 1;
/// Number of the first change of files.
pub(crate) const CHANGES: u32 = 2;

/// Number of a change of files among the effects of its step.
pub(crate) fn number_of_change(index: usize) -> u32 {
    CHANGES.saturating_add(u32::try_from(index).unwrap_or(u32::MAX))
}

/// Policy's word on one effect.
pub(crate) enum Word {
    /// It may happen.
    Go(Permit),
    /// A person must be asked about exactly this.
    Ask(Box<FrozenEffect>),
    /// It must not happen.
    No(ToolError),
}

/// What is known of an effect before policy is asked.
pub(crate) struct Wanted {
    pub(crate) ordinal: u32,
    pub(crate) class: EffectClass,
    pub(crate) place: Place,
    pub(crate) label: Label,
    pub(crate) summary: String,
    pub(crate) detail: Digest,
    pub(crate) before: Vec<Target>,
    pub(crate) sandbox: Option<SandboxLevel>,
}

impl Job<'_> {
    /// The call's own looking around.
    pub(crate) fn wants_call(&self, call: &Call, class: EffectClass, detail: Digest) -> Wanted {
        let reach = self.worker.ports.tools.reach(call);
        let pure = class == EffectClass::Think;
        let place = if self.in_home(call) {
            Place::DataFolder
        } else if !reach.outside.is_empty() {
            Place::Elsewhere
        } else if !reach.secrets.is_empty() {
            Place::Secret
        } else if pure {
            Place::Nowhere
        } else {
            Place::Workspace
        };
        let names = if reach.outside.is_empty() { &reach.secrets } else { &reach.outside };
        let summary = if names.is_empty() {
            format!("call {}", call.tool)
        } else {
            format!("let {} look at {}", call.tool, names.join(", "))
        };
        Wanted {
            ordinal: CALL,
            class: if pure { EffectClass::Think } else { EffectClass::Read },
            place,
            label: call.label,
            summary,
            detail,
            before: Vec::new(),
            sandbox: None,
        }
    }

    /// An act of the tool.
    pub(crate) fn wants_act(&self, call: &Call, act: &Act, label: Label) -> Result<Wanted, Stop> {
        let place = if self.in_home(call) { Place::DataFolder } else { Place::Workspace };
        Ok(Wanted {
            ordinal: ACT,
            class: act.class,
            place,
            label,
            summary: act.summary.clone(),
            detail: Digest::of_json(act)?,
            before: Vec::new(),
            sandbox: act.sandbox,
        })
    }

    /// A change of files.
    pub(crate) async fn wants_change(
        &self,
        call: &Call,
        index: usize,
        proposed: &Proposed,
        label: Label,
    ) -> Result<Wanted, Stop> {
        let class = proposed.class();
        let named = Call { args: json!({ "files": proposed.change.paths() }), ..call.clone() };
        let reach = self.worker.ports.tools.reach(&named);
        let place = if self.in_home(call) {
            Place::DataFolder
        } else if !reach.outside.is_empty() {
            Place::Elsewhere
        } else if !reach.secrets.is_empty() {
            Place::Secret
        } else if class == EffectClass::Change && self.is_own_work(call, proposed).await? {
            Place::OwnWork
        } else {
            Place::Workspace
        };
        Ok(Wanted {
            ordinal: number_of_change(index),
            class,
            place,
            label,
            summary: proposed.change.to_string(),
            detail: Digest::of_json(&proposed.change)?,
            before: proposed.before.clone(),
            sandbox: None,
        })
    }

    fn in_home(&self, call: &Call) -> bool {
        call.workspace.starts_with(&self.worker.settings.home)
            && !call.workspace.starts_with(self.worker.settings.home.join("workspaces"))
    }

    /// Whether the file that would be written anew holds what Alma herself wrote.
    async fn is_own_work(&self, call: &Call, proposed: &Proposed) -> Result<bool, Stop> {
        let (Change::Write { .. }, [Target { path, state: TargetState::File { sha256, .. } }]) =
            (&proposed.change, proposed.before.as_slice())
        else {
            return Ok(false);
        };
        let made = made_digest(&call.workspace.to_string_lossy(), path, sha256);
        let worker = self.worker;
        let rows = worker.ports.ledger.query(&worker.settings.tenant, Query::Made { made }).await?;
        Ok(matches!(rows, Rows::Made(rows) if !rows.is_empty()))
    }

    /// Asks policy about one effect. `known` is the effect's row, when it was
    /// intended before: its permit holds until its receipt, unless policy has
    /// become stricter.
    pub(crate) fn word(
        &self,
        step: &StepKey,
        call: &Call,
        wanted: Wanted,
        approval: Option<&ApprovalRow>,
        known: Option<&EffectRow>,
    ) -> Result<Word, Stop> {
        let decision = policy::decide(
            &self.worker.settings.policy,
            &policy::Request {
                class: wanted.class,
                place: wanted.place,
                label: wanted.label,
                sandbox: wanted.sandbox,
            },
        );
        let rule = decision.rule.to_string();
        match decision.verdict {
            Verdict::Allow => return Ok(Word::Go(Permit { rule, grant: None })),
            Verdict::Deny => {
                let error = ToolError::new(
                    ErrorCode::Permission,
                    format!("policy forbids to {}: {}", wanted.summary, decision.reason),
                )
                .hint(format!("rule {rule}"));
                return Ok(Word::No(error));
            }
            Verdict::Ask => {}
        }
        let frozen = FrozenEffect {
            step: step.clone(),
            ordinal: wanted.ordinal,
            tool: call.tool.clone(),
            version: call.version,
            args: call.args.clone(),
            class: wanted.class,
            summary: wanted.summary,
            detail: wanted.detail,
            before: wanted.before,
            sandbox: wanted.sandbox,
            label: wanted.label,
            rule: rule.clone(),
            reason: decision.reason.to_string(),
        };
        let effect = frozen.digest()?;
        let open = known.filter(|row| !matches!(row.state, EffectState::Received(_)));
        if let Some(grant) = open.and_then(|row| row.permit.grant.as_ref())
            && grant.effect == effect
        {
            return Ok(Word::Go(Permit { rule, grant: Some(grant.clone()) }));
        }
        let granted = approval
            .filter(|row| row.state == ApprovalState::Approved && row.grants.contains(&effect));
        Ok(match granted {
            Some(row) => {
                let grant = charter::approval::Grant { approval: row.id.clone(), effect };
                Word::Go(Permit { rule, grant: Some(grant) })
            }
            None => Word::Ask(Box::new(frozen)),
        })
    }

    /// The approval that this step waits for or was granted by.
    pub(crate) async fn approval(&self) -> Result<Option<ApprovalRow>, Stop> {
        let worker = self.worker;
        match &self.step.approval {
            None => Ok(None),
            Some(id) => Ok(Some(worker.ports.ledger.approval(&worker.settings.tenant, id).await?)),
        }
    }

    /// Parks this step until a person has answered.
    pub(crate) async fn park(&mut self, effects: Vec<FrozenEffect>) -> Result<(), Stop> {
        let key = self.key().clone();
        let standing = self.standing(&effects).await?;
        let approval = self.ask(effects, vec![key.clone()], Vec::new())?;
        self.draft.event(Event::StepParked { step: key.clone(), approval: approval.clone() });
        self.answer_by(standing, approval, vec![key]);
        self.release().await
    }

    /// The approval that was given to all runs of a schedule, if it covers each of
    /// these effects.
    pub(crate) async fn standing(
        &self,
        effects: &[FrozenEffect],
    ) -> Result<Option<ApprovalRow>, Stop> {
        let worker = self.worker;
        let query = Query::Approvals {
            mission: Some(self.mission.id.clone()),
            state: Some(ApprovalState::Approved),
            limit: 1,
        };
        // It comes with the mission, so it is the oldest.
        let rows = match worker.ports.ledger.query(&worker.settings.tenant, query).await? {
            Rows::Approvals(rows) => rows,
            _ => Vec::new(),
        };
        let Some(row) = rows.into_iter().next().filter(ApprovalRow::is_standing) else {
            return Ok(None);
        };
        let plan = self.plan().await?;
        for effect in effects {
            let Some(step) = plan.step(effect.step.n) else { return Ok(None) };
            let cover = cover(&step.digest()?, effect.class, &effect.rule);
            if !may_stand(effect.class, effect.label) || !row.grants.contains(&cover) {
                return Ok(None);
            }
        }
        Ok(Some(row))
    }

    /// Answers a question in the same breath, as the person did for all runs: the
    /// effects are frozen and granted one by one as ever.
    pub(crate) fn answer_by(
        &mut self,
        standing: Option<ApprovalRow>,
        approval: ApprovalId,
        steps: Vec<StepKey>,
    ) {
        if let Some(row) = standing {
            self.draft.event(Event::ApprovalAnswered {
                approval,
                mission: self.mission.id.clone(),
                answer: Answer::Approve,
                by: row.by.unwrap_or_default(),
                seen: row.seen,
                steps,
            });
        }
    }

    /// Drafts the card for these effects.
    pub(crate) fn ask(
        &mut self,
        effects: Vec<FrozenEffect>,
        steps: Vec<StepKey>,
        notes: Vec<String>,
    ) -> Result<ApprovalId, Stop> {
        let title = match effects.as_slice() {
            [one] => format!("May I {}?", one.summary),
            many => format!("May I do these {} things?", many.len()),
        };
        self.ask_card(Card { question: Question::Permission, title, effects, notes }, steps)
    }

    /// Drafts a card.
    pub(crate) fn ask_card(&mut self, card: Card, steps: Vec<StepKey>) -> Result<ApprovalId, Stop> {
        let ports = &self.worker.ports;
        let now = ports.clock.now();
        let approval = ApprovalId::new(now, ports.entropy.as_ref());
        let label = card.effects.iter().fold(Label::TRUSTED, |all, one| all.join(one.label));
        let grants = match card.question {
            Question::Permission => {
                card.effects.iter().map(FrozenEffect::digest).collect::<Result<_, _>>()?
            }
            Question::InDoubt | Question::Part | Question::Plan => Vec::new(),
        };
        let digest = card.digest()?;
        let content = self.draft.json(&card, label)?;
        self.draft.event(Event::ApprovalRequested {
            approval: approval.clone(),
            mission: self.mission.id.clone(),
            question: card.question,
            card: content,
            digest,
            grants,
            steps,
            expires_at: now + APPROVAL_OPEN_MS,
        });
        Ok(approval)
    }

    /// Ends the step because policy forbids one of its effects.
    pub(crate) async fn refuse(&mut self, error: ToolError) -> Result<(), Stop> {
        self.die(DeathCause::Refused, error, Vec::new()).await
    }
}
