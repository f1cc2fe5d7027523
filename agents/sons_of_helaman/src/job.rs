//! One step on its way: what the phases share.

use crate::draft::{Draft, commit, commit_in_room};
use crate::lease::{FIRST_LEASE_MS, LEASE_MS, Lease, Until};
use crate::tally::Tally;
use crate::worker::{Ports, Worker};
use charter::budget::Usage;
use charter::content::ContentError;
use charter::digest::{Digest, DigestError};
use charter::effect::EffectClass;
use charter::event::Event;
use charter::ids::{Millis, StepKey};
use charter::label::Label;
use charter::plan::{Plan, Step};
use charter::ports::{Around, Fence, LeaseChange, LeaseStatus, LedgerError, LedgerExt, Transition};
use charter::reference::{self, Root};
use charter::rows::{EffectRow, MissionRow, StepRow};
use charter::tool::{Call, Cancel, ErrorCode, Limits, ToolError};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// Why a job stopped before its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The ledger refused or failed.
    Ledger(LedgerError),
    /// A value could not be stored or read.
    Content(ContentError),
    /// A value could not be digested.
    Digest(DigestError),
    /// The call failed: retry, repair or the dead-letter desk.
    Tool(ToolError),
}

impl From<LedgerError> for Stop {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

impl From<DigestError> for Stop {
    fn from(error: DigestError) -> Self {
        Self::Digest(error)
    }
}

impl From<ToolError> for Stop {
    fn from(error: ToolError) -> Self {
        Self::Tool(error)
    }
}

impl From<ContentError> for Stop {
    fn from(error: ContentError) -> Self {
        match error {
            // The user's data are too large for a step: that is the step's failure.
            ContentError::TooLarge { .. } => Self::Tool(
                ToolError::new(ErrorCode::TooLarge, error.to_string())
                    .hint("work on fewer or smaller files at a time"),
            ),
            ContentError::Parse { .. } | ContentError::Write(_) => Self::Content(error),
        }
    }
}

/// A step on its way. It is claimed at the latest with the first commit.
pub(crate) struct Job<'w> {
    pub(crate) worker: &'w Worker,
    pub(crate) mission: MissionRow,
    /// The row as it was when the step was claimed.
    pub(crate) step: StepRow,
    /// Its effects as they were then.
    pub(crate) effects: Vec<EffectRow>,
    /// The claim that it works under, or will.
    pub(crate) fence: Fence,
    /// What the budget is to keep for it until it ends: the time of its limits.
    reserves: Usage,
    /// The plan that the step belongs to, once it was read.
    plan: OnceCell<Arc<Plan>>,
    /// Set when the step must be given up.
    pub(crate) cancel: Cancel,
    /// None before the step is claimed.
    lease: Option<Lease>,
    /// Events that wait for the next commit.
    pub(crate) draft: Draft<'w>,
    /// What is written to the user's files is counted here, the rest by the meter.
    pub(crate) bytes_written: u64,
    pub(crate) tally: Tally,
    pub(crate) started: Millis,
}

impl<'w> Job<'w> {
    pub(crate) fn new(
        worker: &'w Worker,
        Around { step, mission, mode: _, effects }: Around,
    ) -> Self {
        let fence = Fence { step: step.key.clone(), token: step.token + 1 };
        let draft = Draft::new(&worker.ports, &worker.settings.tenant, &mission.id);
        let started = worker.ports.clock.now();
        let tally = Tally::new(Arc::clone(&worker.ports.clock), worker.spare());
        Self {
            worker,
            mission,
            step,
            effects,
            fence,
            reserves: Usage::default(),
            plan: OnceCell::new(),
            cancel: Cancel::default(),
            lease: None,
            draft,
            bytes_written: 0,
            tally,
            started,
        }
    }

    pub(crate) fn key(&self) -> &StepKey {
        &self.step.key
    }

    /// Commits what is drafted; the step stays claimed.
    pub(crate) async fn flush(&mut self) -> Result<(), Stop> {
        self.commit(LeaseChange::Keep).await
    }

    /// Commits what is drafted and gives the claim back.
    pub(crate) async fn release(&mut self) -> Result<(), Stop> {
        self.commit(LeaseChange::Release).await
    }

    async fn commit(&mut self, lease: LeaseChange) -> Result<(), Stop> {
        let fresh = self.fresh();
        let draft = std::mem::replace(&mut self.draft, fresh);
        let transition = draft.transition(Some(self.fence.clone()), lease);
        if !self.is_claimed() {
            if transition.lease == LeaseChange::Keep && self.claim_with(&transition).await? {
                return Ok(());
            }
            self.claim().await?;
        }
        commit_in_room(&self.worker.ports, transition, &self.cancel).await?;
        Ok(())
    }

    pub(crate) fn is_claimed(&self) -> bool {
        self.lease.is_some()
    }

    /// Has the budget keep the time of its limits. `false`: those that run leave no room
    /// for it.
    pub(crate) async fn reserve(&mut self) -> Result<bool, Stop> {
        // The folder is kept for the call, which asks for it next and hears why if it
        // cannot be read.
        let (planned, _) = tokio::join!(self.planned(), self.workspace());
        let Limits { wall_ms, cpu_ms, .. } = planned?.1.limits;
        self.reserves = Usage { wall_ms, cpu_ms, ..Usage::default() };
        Ok(!self.mission.must_wait(&Usage { steps: 1, ..self.reserves }))
    }

    /// Claims the step as it was looked at: one that was claimed since then, or replaced by
    /// another plan, is refused.
    pub(crate) async fn claim(&mut self) -> Result<(), Stop> {
        let (claiming, until) = self.claiming();
        commit(&self.worker.ports, claiming).await?;
        self.hold(&until);
        Ok(())
    }

    /// Claims the step and commits its first intents in one transaction: it costs half.
    /// `false`: that was refused; the claim alone may stand.
    async fn claim_with(&mut self, first: &Transition) -> Result<bool, Stop> {
        let (mut both, until) = self.claiming();
        both.events.extend(first.events.iter().cloned());
        both.contents.extend(first.contents.iter().cloned());
        match commit(&self.worker.ports, both).await {
            Ok(_) => {
                self.hold(&until);
                Ok(true)
            }
            Err(LedgerError::Conflict(_) | LedgerError::DiskFull(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The claim, and until when it is held at first.
    fn claiming(&self) -> (Transition, Until) {
        let worker = self.worker;
        let mut draft = self.fresh();
        draft.event(Event::StepClaimed {
            step: self.key().clone(),
            worker: worker.id.clone(),
            token: self.fence.token,
            wall_ms: self.reserves.wall_ms,
            cpu_ms: self.reserves.cpu_ms,
        });
        let expires_at = worker.ports.clock.now() + FIRST_LEASE_MS;
        let take = LeaseChange::Take {
            holder: worker.settings.process.clone(),
            expires_at,
            of: Some(self.step.digest),
        };
        (draft.transition(Some(self.fence.clone()), take), Until::new(expires_at))
    }

    fn hold(&mut self, until: &Until) {
        let Worker { keeper, settings, .. } = self.worker;
        self.lease = Some(keeper.hold(&settings.tenant, &self.fence, &self.cancel, until));
    }

    /// Asked right before an effect: whoever stood still for a while, or waited for the
    /// disk, may have lost its claim to another, and must not touch what that works on.
    pub(crate) async fn still_holds(&self) -> Result<(), Stop> {
        let Some(lease) = &self.lease else { return Ok(()) };
        let Ports { clock, ledger, .. } = &self.worker.ports;
        let now = clock.now();
        if lease.until().covers(now + FIRST_LEASE_MS / 2) {
            return Ok(());
        }
        match ledger.renew(&self.fence, now + LEASE_MS).await? {
            LeaseStatus::Held => lease.until().rise(now + LEASE_MS),
            LeaseStatus::Cancelled => self.cancel.cancel(),
            LeaseStatus::Lost => {
                let lost = format!("the claim on step {} was lost before its effect", self.key());
                return Err(LedgerError::Conflict(lost).into());
            }
        }
        Ok(())
    }

    fn fresh(&self) -> Draft<'w> {
        Draft::new(&self.worker.ports, &self.worker.settings.tenant, &self.mission.id)
    }

    /// Forgets what is drafted: it is not to be recorded.
    pub(crate) fn clear(&mut self) {
        self.draft = self.fresh();
    }

    /// Resources used since the claim, for the receipt that ends it.
    pub(crate) fn used(&self) -> Usage {
        let wall = self.worker.ports.clock.now().saturating_sub(self.started);
        Usage {
            wall_ms: u64::try_from(wall).unwrap_or(0),
            bytes_written: self.bytes_written,
            ..self.tally.receipt()
        }
    }

    /// Whether the step is interrupted though its mission goes on: all work was
    /// stopped.
    pub(crate) async fn is_halted(&self) -> Result<bool, Stop> {
        if !self.cancel.is_cancelled() {
            return Ok(false);
        }
        let worker = self.worker;
        let mission =
            worker.ports.ledger.mission(&worker.settings.tenant, &self.mission.id).await?;
        Ok(!mission.cancelled && mission.stopped.is_none())
    }

    pub(crate) async fn plan(&self) -> Result<Arc<Plan>, Stop> {
        let read = self.worker.view.plan(&self.mission.plan);
        self.plan.get_or_try_init(|| read).await.cloned()
    }

    /// The plan in force now: others may have been put behind a running step.
    pub(crate) async fn plan_now(&self) -> Result<Arc<Plan>, Stop> {
        let worker = self.worker;
        let mission = worker.ports.ledger.mission(&worker.settings.tenant, &self.mission.id);
        self.worker.view.plan(&mission.await?.plan).await
    }

    pub(crate) async fn planned(&self) -> Result<(Arc<Plan>, Step), Stop> {
        let plan = self.plan().await?;
        let n = self.key().n;
        let step = plan.step(n).cloned().ok_or_else(|| {
            LedgerError::Damaged(format!("the plan of {} has no step {n}", self.mission.id))
        })?;
        Ok((plan, step))
    }

    /// Outputs of the steps that this one needs, with their joined label.
    pub(crate) async fn outputs(
        &self,
        step: &Step,
    ) -> Result<(BTreeMap<u32, Arc<Value>>, Label), Stop> {
        let mut outputs = BTreeMap::new();
        let mut label = Label::TRUSTED;
        let worker = self.worker;
        for n in step.needs() {
            let key = StepKey::step(&self.mission.id, n);
            let row = worker.ports.ledger.step(&worker.settings.tenant, &key).await;
            let row = kept(row.map_err(Stop::from))?;
            if let Some(reference) = row.and_then(|row| row.output) {
                label = label.join(reference.label);
                let value = kept(worker.view.value(&reference).await)?.ok_or_else(|| {
                    let what = format!("the output of step {n} was forgotten");
                    ToolError::new(ErrorCode::Permanent, what).hint("submit the mission again")
                })?;
                outputs.insert(n, value);
            }
        }
        Ok((outputs, label))
    }

    /// The list that a `for_each` step runs over, where it stands: each of many
    /// instances looks at one element of it.
    pub(crate) fn items<'o>(
        step: &Step,
        outputs: &'o BTreeMap<u32, Arc<Value>>,
    ) -> Result<&'o [Value], ToolError> {
        let Some(each) = &step.for_each else { return Ok(&[]) };
        let list = reference::find(&each.items, &|root| match root {
            Root::Step(n) => outputs.get(n).map(AsRef::as_ref),
            Root::Item => None,
        })
        .map_err(|error| ToolError::new(ErrorCode::Arguments, error.to_string()))?;
        let Value::Array(items) = list else {
            return Err(ToolError::new(
                ErrorCode::Arguments,
                format!("step {} runs over {}, which is no list", step.n, each.items),
            ));
        };
        if items.len() > each.max_items as usize {
            return Err(ToolError::new(
                ErrorCode::TooLarge,
                format!(
                    "step {} would run {} times, more than its bound of {}",
                    step.n,
                    items.len(),
                    each.max_items
                ),
            )
            .hint("name fewer files, or raise max_items in a mission file"));
        }
        Ok(items)
    }

    /// The folder that the mission works in.
    pub(crate) async fn workspace(&self) -> Result<PathBuf, Stop> {
        Ok(PathBuf::from(self.worker.view.kept_text(&self.mission.workspace).await?.as_str()))
    }

    /// The call of this step, or of one instance of it.
    pub(crate) fn call_for(
        &self,
        step: &Step,
        outputs: &BTreeMap<u32, Arc<Value>>,
        item: Option<&Value>,
        label: Label,
        workspace: PathBuf,
    ) -> Result<Call, ToolError> {
        Ok(Call {
            tool: step.tool.clone(),
            version: step.version,
            args: resolve(&step.args, outputs, item)?,
            label,
            workspace,
            limits: step.limits.clone(),
            secrets_allowed: false,
            now: self.mission.created_at,
            cancel: self.cancel.clone(),
            meter: self.tally.meter.clone(),
        })
    }
}

/// What is still there: a text may have been forgotten since it was referred to.
pub(crate) fn kept<T>(found: Result<T, Stop>) -> Result<Option<T>, Stop> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Stop::Ledger(LedgerError::NotFound(_))) => Ok(None),
        Err(stop) => Err(stop),
    }
}

fn resolve(
    value: &Value,
    outputs: &BTreeMap<u32, Arc<Value>>,
    item: Option<&Value>,
) -> Result<Value, ToolError> {
    reference::resolve(value, &|root| match root {
        Root::Step(n) => outputs.get(n).map(AsRef::as_ref),
        Root::Item => item,
    })
    .map_err(|error| ToolError::new(ErrorCode::Arguments, error.to_string()))
}

/// Digest of a resolved call: tool, version, arguments, class and limits.
pub(crate) fn call_digest(call: &Call, class: EffectClass) -> Result<Digest, DigestError> {
    Digest::of_json(&json!({
        "tool": call.tool,
        "version": call.version,
        "args": call.args,
        "effect": class,
        "limits": call.limits,
    }))
}
