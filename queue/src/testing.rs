//! Doubles for the unit tests of this crate.

use crate::{Line, Queue};
use async_trait::async_trait;
use charter::flow::{Lane, Priority};
use charter::ids::{Millis, MissionId, StepKey, TenantId};
use charter::ports::{
    Clock, Committed, Doorbell, DoorbellError, Entropy, Fence, LeaseStatus, Ledger, LedgerError,
    OutboxRow, Query, Ring, Rows, Transition,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
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

/// Rings of light steps, each behind all that were made before.
pub(crate) fn rings(steps: impl IntoIterator<Item = StepKey>) -> Vec<Ring> {
    static RANK: AtomicU64 = AtomicU64::new(1);
    let ring = |step| Ring {
        tenant: TenantId::local(),
        step,
        lane: Lane::Light,
        rank: RANK.fetch_add(1, Ordering::SeqCst),
    };
    steps.into_iter().map(ring).collect()
}

/// The next light step.
pub(crate) async fn taken(queue: &(impl Queue + ?Sized)) -> Option<StepKey> {
    queue.take(Lane::Light).await.unwrap().map(|ring| ring.step)
}

/// All light steps, taken.
pub(crate) async fn drain(queue: &(impl Queue + ?Sized)) -> Vec<StepKey> {
    let mut all = Vec::new();
    while let Some(step) = taken(queue).await {
        all.push(step);
    }
    all
}

/// How many light steps wait.
pub(crate) async fn waiting(queue: &(impl Queue + ?Sized)) -> u64 {
    queue.line(Lane::Light).await.unwrap().waiting
}

/// A row of the outbox.
pub(crate) fn row(tenant: &str, priority: Priority, n: u32) -> OutboxRow {
    let (tenant, lane) = (TenantId(tenant.to_owned()), Lane::Light);
    OutboxRow { id: n.into(), tenant, step: step(n), lane, priority, due_at: 0 }
}

/// A queue whose fetches can be held up between taking and returning.
#[derive(Default)]
pub(crate) struct MemoryQueue {
    lines: Mutex<Vec<Ring>>,
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
        self.lock().iter().map(|ring| ring.step.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Ring>> {
        self.lines.lock().unwrap()
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
    async fn ring(&self, rings: &[Ring]) -> Result<(), DoorbellError> {
        self.check("ring")?;
        let mut waiting = self.lock();
        for ring in rings {
            let same = |other: &Ring| other.step == ring.step && other.tenant == ring.tenant;
            if !waiting.iter().any(same) {
                let place = waiting.partition_point(|other| other.rank <= ring.rank);
                waiting.insert(place, ring.clone());
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn line(&self, lane: Lane) -> Result<Line, DoorbellError> {
        self.check("count")?;
        let all = self.lock();
        let line: Vec<_> = all.iter().filter(|ring| ring.lane == lane).collect();
        Ok(Line { waiting: line.len() as u64, head: line.first().map(|ring| ring.rank) })
    }

    async fn take(&self, lane: Lane) -> Result<Option<Ring>, DoorbellError> {
        self.check("take")?;
        let taken = {
            let mut all = self.lock();
            let first = all.iter().position(|ring| ring.lane == lane);
            first.map(|first| all.remove(first))
        };
        let _ = self.held.subscribe().wait_for(|held| !held).await;
        Ok(taken)
    }
}

/// A ledger that has an outbox and ready steps and nothing else.
#[derive(Default)]
pub(crate) struct OutboxLedger {
    outbox: Mutex<BTreeMap<i64, OutboxRow>>,
    ready: Mutex<Vec<OutboxRow>>,
    position: watch::Sender<i64>,
    pub(crate) queries: AtomicI64,
}

impl OutboxLedger {
    pub(crate) fn submit(&self, steps: &[StepKey], due_at: Millis) {
        let rows = steps.iter().map(|step| ready_row(step.clone()));
        self.submit_rows(rows.map(|row| OutboxRow { due_at, ..row }));
    }

    pub(crate) fn submit_rows(&self, rows: impl IntoIterator<Item = OutboxRow>) {
        let mut outbox = self.outbox.lock().unwrap();
        for row in rows {
            self.position.send_modify(|position| *position += 1);
            let id = *self.position.borrow();
            outbox.insert(id, OutboxRow { id, ..row });
        }
    }

    pub(crate) fn make_ready(&self, steps: &[StepKey]) {
        self.make_ready_rows(steps.iter().cloned().map(ready_row));
    }

    pub(crate) fn make_ready_rows(&self, rows: impl IntoIterator<Item = OutboxRow>) {
        *self.ready.lock().unwrap() = rows.into_iter().collect();
    }

    /// Takes a step that is ready; false if somebody did before.
    pub(crate) fn claim(&self, step: &StepKey) -> bool {
        let mut ready = self.ready.lock().unwrap();
        let place = ready.iter().position(|row| row.step == *step);
        place.map(|place| ready.remove(place)).is_some()
    }

    pub(crate) fn ready_len(&self) -> usize {
        self.ready.lock().unwrap().len()
    }

    pub(crate) fn outbox_len(&self) -> usize {
        self.outbox.lock().unwrap().len()
    }
}

pub(crate) fn ready_row(step: StepKey) -> OutboxRow {
    OutboxRow { id: 0, step, ..row("local", Priority::Normal, 0) }
}

/// The first of every flow.
fn by_flow<'r>(rows: impl Iterator<Item = &'r OutboxRow>, limit: u32) -> Rows {
    let mut counts = BTreeMap::new();
    let first = |row: &&OutboxRow| {
        let count: &mut u32 = counts.entry(row.flow()).or_default();
        *count += 1;
        *count <= limit
    };
    Rows::Outbox(rows.filter(first).cloned().collect())
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
                by_flow(outbox.values().filter(|row| row.due_at <= now), limit)
            }
            Query::OutboxNext { now } => {
                Rows::When(outbox.values().map(|row| row.due_at).filter(|due| *due > now).min())
            }
            Query::ReadyByFlow { now, limit } => {
                let ready = self.ready.lock().unwrap();
                by_flow(ready.iter().filter(|row| row.due_at <= now), limit)
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

    async fn lead(
        &self,
        _: &charter::leader::Bid,
    ) -> Result<charter::leader::LeaderRow, LedgerError> {
        unimplemented!("the relay leads because it runs")
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
