//! Doubles for the unit tests of this crate.

use crate::Queue;
use async_trait::async_trait;
use charter::ids::{Millis, MissionId, StepKey, TenantId};
use charter::ports::{
    Clock, Committed, Doorbell, DoorbellError, Entropy, Fence, LeaseStatus, Ledger, LedgerError,
    OutboxRow, Query, Rows, Transition,
};
use charter::rows::{StepRow, StepState};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard};
use tokio::sync::watch;

pub(crate) fn mission() -> MissionId {
    "m-0000000000000001".parse().unwrap()
}

pub(crate) fn step(n: u32) -> StepKey {
    StepKey::step(&mission(), n)
}

pub(crate) fn steps(range: std::ops::RangeInclusive<u32>) -> Vec<StepKey> {
    range.map(step).collect()
}

/// A queue whose fetches can be held up between taking and returning.
#[derive(Default)]
pub(crate) struct MemoryQueue {
    steps: Mutex<VecDeque<StepKey>>,
    held: watch::Sender<bool>,
    broken: AtomicBool,
}

impl MemoryQueue {
    pub(crate) fn hold(&self, hold: bool) {
        self.held.send_replace(hold);
    }

    pub(crate) fn break_down(&self, broken: bool) {
        self.broken.store(broken, Ordering::SeqCst);
    }

    pub(crate) fn waiting(&self) -> Vec<StepKey> {
        self.lock().iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<StepKey>> {
        self.steps.lock().unwrap()
    }

    fn check(&self, operation: &str) -> Result<(), DoorbellError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(DoorbellError { operation: operation.into(), cause: "broken".into() });
        }
        Ok(())
    }
}

#[async_trait]
impl Doorbell for MemoryQueue {
    async fn ring(&self, steps: &[StepKey]) -> Result<(), DoorbellError> {
        self.check("ring")?;
        let mut waiting = self.lock();
        for step in steps {
            if !waiting.contains(step) {
                waiting.push_back(step.clone());
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn depth(&self) -> Result<u64, DoorbellError> {
        self.check("count")?;
        Ok(self.lock().len() as u64)
    }

    async fn take(&self) -> Result<Option<StepKey>, DoorbellError> {
        self.check("take")?;
        let taken = self.lock().pop_front();
        let _ = self.held.subscribe().wait_for(|held| !held).await;
        Ok(taken)
    }
}

/// A ledger that has an outbox and ready steps and nothing else.
#[derive(Default)]
pub(crate) struct OutboxLedger {
    outbox: Mutex<BTreeMap<i64, OutboxRow>>,
    ready: Mutex<Vec<StepKey>>,
    position: watch::Sender<i64>,
    pub(crate) queries: AtomicI64,
}

impl OutboxLedger {
    pub(crate) fn submit(&self, steps: &[StepKey], due_at: Millis) {
        let mut outbox = self.outbox.lock().unwrap();
        for step in steps {
            self.position.send_modify(|position| *position += 1);
            let (id, step) = (*self.position.borrow(), step.clone());
            outbox.insert(id, OutboxRow { id, tenant: TenantId::local(), step, due_at });
        }
    }

    pub(crate) fn make_ready(&self, steps: &[StepKey]) {
        *self.ready.lock().unwrap() = steps.to_vec();
    }

    /// Takes a step that is ready; false if somebody did before.
    pub(crate) fn claim(&self, step: &StepKey) -> bool {
        let mut ready = self.ready.lock().unwrap();
        let place = ready.iter().position(|key| key == step);
        place.map(|place| ready.remove(place)).is_some()
    }

    pub(crate) fn ready_len(&self) -> usize {
        self.ready.lock().unwrap().len()
    }

    pub(crate) fn outbox_len(&self) -> usize {
        self.outbox.lock().unwrap().len()
    }
}

pub(crate) fn ready_row(key: StepKey) -> StepRow {
    StepRow {
        key,
        tenant: TenantId::local(),
        state: StepState::Ready,
        digest: charter::digest::Digest::default(),
        class: charter::effect::EffectClass::Read,
        needs: Vec::new(),
        blocked_by: 0,
        for_each: false,
        expanded: false,
        ready_at: 0,
        token: 0,
        failures: 0,
        lost: 0,
        former_alive: false,
        worker: None,
        approval: None,
        prepared: None,
        output: None,
        verdicts: None,
        verified: false,
        error: None,
        cause: None,
        items: 0,
        items_open: 0,
        items_lost: 0,
        usage: charter::budget::Usage::default(),
    }
}

#[async_trait]
impl Ledger for OutboxLedger {
    async fn commit(&self, _: Transition) -> Result<Committed, LedgerError> {
        unimplemented!("the relay commits nothing")
    }

    async fn query(&self, _: &TenantId, query: Query) -> Result<Rows, LedgerError> {
        self.queries.fetch_add(1, Ordering::SeqCst);
        let outbox = self.outbox.lock().unwrap();
        Ok(match query {
            Query::Outbox { now, limit } => {
                let due = outbox.values().filter(|row| row.due_at <= now);
                Rows::Outbox(due.take(limit as usize).cloned().collect())
            }
            Query::OutboxNext { now } => {
                Rows::When(outbox.values().map(|row| row.due_at).filter(|due| *due > now).min())
            }
            Query::ReadySteps { limit, .. } => {
                let ready = self.ready.lock().unwrap();
                Rows::Steps(ready.iter().take(limit as usize).cloned().map(ready_row).collect())
            }
            other => unimplemented!("the relay does not ask {other:?}"),
        })
    }

    async fn renew(&self, _: &Fence, _: Millis) -> Result<LeaseStatus, LedgerError> {
        unimplemented!("the relay holds no lease")
    }

    async fn note_program(
        &self,
        _: &Fence,
        _: &charter::tool::Process,
        _: bool,
    ) -> Result<(), LedgerError> {
        unimplemented!("the relay starts no program")
    }

    async fn outbox_done(&self, ids: &[i64]) -> Result<(), LedgerError> {
        let mut outbox = self.outbox.lock().unwrap();
        for id in ids {
            outbox.remove(id);
        }
        Ok(())
    }

    async fn changed(&self, after: i64, wait_ms: u64) -> Result<i64, LedgerError> {
        let mut position = self.position.subscribe();
        let wait = std::time::Duration::from_millis(wait_ms);
        let _ = tokio::time::timeout(wait, position.wait_for(|now| *now > after)).await;
        Ok(*self.position.borrow())
    }
}

/// A clock that follows the machine's.
pub(crate) struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Millis {
        let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        since.as_millis() as Millis
    }
}

/// Always the same bytes.
pub(crate) struct NoEntropy;

impl Entropy for NoEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0x5a);
    }
}
