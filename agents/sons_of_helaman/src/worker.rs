//! A worker: rung for a step, it claims it if it can and carries it as far as it
//! goes.

use crate::draft::{Draft, commit};
use crate::job::{Job, Stop};
use crate::lease::LeaseKeeper;
use crate::view::View;
use async_trait::async_trait;
use charter::budget::Limit;
use charter::content::ContentError;
use charter::digest::DigestError;
use charter::event::{DeathCause, Event};
use charter::ids::{StepKey, TenantId, WorkerId};
use charter::ports::{Around, Clock, Entropy, LeaseChange, Ledger, LedgerError, LedgerExt, Tools};
use charter::rows::MissionRow;
use charter::tool::{ErrorCode, Process, ToolError};
use moroni::machine::ring::{Ring, Work, on_ring};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Waiting, so that a simulation need not.
#[async_trait]
pub trait Timer: Send + Sync {
    /// Waits for so many milliseconds.
    async fn rest(&self, ms: u64);
}

/// The world as a worker sees it.
#[derive(Clone)]
pub struct Ports {
    /// Durable truth.
    pub ledger: Arc<dyn Ledger>,
    /// The tools.
    pub tools: Arc<dyn Tools>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// Waiting.
    pub timer: Arc<dyn Timer>,
}

/// What a worker is told once.
#[derive(Clone)]
pub struct Settings {
    /// Whose steps it works on.
    pub tenant: TenantId,
    /// Its process, for the record and for its successors.
    pub process: Process,
    /// Alma's data folder: never a place for effects.
    pub home: PathBuf,
    /// The policy in force.
    pub policy: policy::Settings,
}

/// What came of a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worked {
    /// Nothing to do.
    Ignored,
    /// The step, or its mission, moved on.
    Advanced,
    /// Somebody else has the step.
    Lost,
}

/// Looks at a step before it is left to others.
const LOOKS_MAX: u32 = 3;

/// What came of a look at a step.
enum Looked {
    /// It was answered.
    Worked(Worked),
    /// It could not be claimed as it was seen.
    Late,
    /// It has to wait for room in the budget, and its mission does not know.
    Crowded,
}

/// A worker that could not go on. The step is not lost: its lease runs out and
/// another claim settles what is open.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// The ledger failed.
    #[error("could not work on step {step}")]
    Ledger {
        /// The step.
        step: StepKey,
        /// Why.
        #[source]
        source: LedgerError,
    },
    /// A value could not be stored.
    #[error("could not store what came of step {step}")]
    Content {
        /// The step.
        step: StepKey,
        /// Why.
        #[source]
        source: ContentError,
    },
    /// A value could not be digested.
    #[error("could not digest a value of step {step}")]
    Digest {
        /// The step.
        step: StepKey,
        /// Why.
        #[source]
        source: DigestError,
    },
}

/// A worker.
pub struct Worker {
    pub(crate) ports: Ports,
    pub(crate) settings: Settings,
    pub(crate) id: WorkerId,
    pub(crate) view: View,
    pub(crate) keeper: Arc<dyn LeaseKeeper>,
    /// Microseconds of processor time that no receipt holds yet.
    spare_us: AtomicU64,
}

impl Worker {
    /// A worker with a fresh name.
    pub fn new(ports: Ports, settings: Settings, keeper: Arc<dyn LeaseKeeper>) -> Self {
        let id = WorkerId::new(ports.clock.now(), ports.entropy.as_ref());
        let view = View::new(Arc::clone(&ports.ledger), settings.tenant.clone());
        Self { ports, settings, id, view, keeper, spare_us: AtomicU64::new(0) }
    }

    /// Takes over what no receipt holds yet.
    pub(crate) fn spare(&self) -> u64 {
        self.spare_us.swap(0, Ordering::Relaxed)
    }

    /// Answers one ring: claims the step if it is due and carries it as far as
    /// it goes. Every ring may come late, early, twice or never.
    pub async fn work(&self, key: &StepKey) -> Result<Worked, WorkError> {
        match self.answer(key).await {
            Ok(worked) => Ok(worked),
            Err(Stop::Ledger(LedgerError::Conflict(reason))) => {
                tracing::debug!(step = %key, reason, "somebody else has the step");
                Ok(Worked::Lost)
            }
            Err(Stop::Ledger(LedgerError::NotFound(_))) => Ok(Worked::Ignored),
            Err(Stop::Ledger(source)) => Err(WorkError::Ledger { step: key.clone(), source }),
            Err(Stop::Content(source)) => Err(WorkError::Content { step: key.clone(), source }),
            Err(Stop::Digest(source)) => Err(WorkError::Digest { step: key.clone(), source }),
            Err(Stop::Tool(error)) => Err(WorkError::Ledger {
                step: key.clone(),
                source: LedgerError::Damaged(error.to_string()),
            }),
        }
    }

    async fn answer(&self, key: &StepKey) -> Result<Worked, Stop> {
        for _ in 0..LOOKS_MAX {
            match self.look(key).await? {
                Looked::Worked(worked) => return Ok(worked),
                Looked::Late => {}
                Looked::Crowded => {
                    // From here on whoever ends wakes one that waits. Who ended before did
                    // not, so that there may be room by now.
                    let mut draft = Draft::new(&self.ports, &self.settings.tenant, &key.mission);
                    draft.event(Event::MissionCrowded { mission: key.mission.clone() });
                    commit(&self.ports, draft.transition(None, LeaseChange::Keep)).await?;
                }
            }
        }
        Ok(Worked::Lost)
    }

    /// Looks at the step and does what is to be done.
    async fn look(&self, key: &StepKey) -> Result<Looked, Stop> {
        let around = self.ports.ledger.around(&self.settings.tenant, key).await?;
        match on_ring(&around.step, &around.mission, around.mode, self.ports.clock.now()) {
            Ring::Ignore => Ok(Looked::Worked(Worked::Ignored)),
            Ring::Stop(limit) => self.stop(&around.mission, limit).await.map(Looked::Worked),
            Ring::Claim(work) => self.begin(around, work).await,
        }
    }

    async fn begin(&self, around: Around, work: Work) -> Result<Looked, Stop> {
        let mut job = Job::new(self, around);
        let tally = job.tally.clone();
        let worked = tally.counting(self.carry(&mut job, work)).await;
        self.spare_us.fetch_add(tally.left(), Ordering::Relaxed);
        worked
    }

    /// Carries a step as far as it goes.
    async fn carry(&self, job: &mut Job<'_>, work: Work) -> Result<Looked, Stop> {
        let done = match self.take(job, work).await {
            Ok(true) => self.act(job, work).await,
            Ok(false) if job.mission.crowded => return Ok(Looked::Worked(Worked::Ignored)),
            Ok(false) => return Ok(Looked::Crowded),
            Err(stop) => Err(stop),
        };
        let done = match done {
            Err(Stop::Tool(error)) => job.failed(error).await,
            // Cancelled while it waited for room to begin.
            Err(Stop::Ledger(LedgerError::DiskFull(place))) if job.is_claimed() => {
                job.failed(ToolError::new(ErrorCode::Cancelled, place)).await
            }
            // Another one was quicker: with this step, or with the room for it.
            Err(Stop::Ledger(LedgerError::Conflict(_))) if !job.is_claimed() => {
                return Ok(Looked::Late);
            }
            done => done,
        };
        if let Err(stop) = done {
            job.give_back(&stop).await;
            return Err(stop);
        }
        Ok(Looked::Worked(Worked::Advanced))
    }

    /// Claims the step; `false`: there is no room for it in the budget. Where nothing was
    /// tried and little is read before, the claim goes with the first intent instead.
    async fn take(&self, job: &mut Job<'_>, work: Work) -> Result<bool, Stop> {
        if matches!(work, Work::Call | Work::Expand) && !job.reserve().await? {
            return Ok(false);
        }
        let step = &job.step;
        let together = work == Work::Call
            && job.effects.is_empty()
            && step.prepared.is_none()
            && step.needs.is_empty();
        if !together {
            job.claim().await?;
        }
        Ok(true)
    }

    async fn act(&self, job: &mut Job<'_>, work: Work) -> Result<(), Stop> {
        match work {
            Work::Cancel => job.cancelled().await,
            Work::Poison => {
                let error = ToolError::new(
                    ErrorCode::Permanent,
                    format!("the step ended {} workers without a result", job.step.lost),
                )
                .hint("look at the tool and its input, then requeue the step");
                job.die(DeathCause::Poison, error, Vec::new()).await
            }
            Work::Report => job.close().await,
            Work::Expand => job.expand().await,
            Work::Gather => job.gather().await,
            Work::Call => job.call().await,
        }
    }

    /// Ends a mission early because a budget is spent.
    async fn stop(&self, mission: &MissionRow, limit: Limit) -> Result<Worked, Stop> {
        let mut draft = Draft::new(&self.ports, &self.settings.tenant, &mission.id);
        let steps = self.view.open_steps(&mission.id).await?;
        draft.event(Event::MissionStopped { mission: mission.id.clone(), limit, steps });
        commit(&self.ports, draft.transition(None, LeaseChange::Keep)).await?;
        Ok(Worked::Advanced)
    }
}
