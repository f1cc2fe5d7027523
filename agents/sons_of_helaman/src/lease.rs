//! Holding a lease while a step runs.
//!
//! Renewal runs on a thread of its own with its own small runtime: however busy
//! the workers' threads are with a model or a tool, the lease is renewed.

use charter::ids::{Millis, TenantId};
use charter::mode::Mode;
use charter::ports::{Clock, Fence, LeaseStatus, Ledger, LedgerError, LedgerExt};
use charter::tool::Cancel;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// How long a lease lasts without renewal, in milliseconds.
pub const LEASE_MS: Millis = 10_000;
/// How long it lasts before its first renewal, in milliseconds: six tries. Who claimed a
/// step and died before its thread held the lease began nothing, so the step need not
/// wait for as long as one that is being worked on.
pub const FIRST_LEASE_MS: Millis = 3_000;
/// How long one question to the ledger may take: one that hangs must not hold up the
/// other leases.
const ASK_TIME: Duration = Duration::from_secs(2);
/// How often it is renewed, in milliseconds. The running step of a cancelled mission
/// learns of it with the next renewal, and so does every step when all work is stopped.
pub const RENEW_MS: u64 = 500;

/// Keeps leases alive.
pub trait LeaseKeeper: Send + Sync {
    /// Renews this claim of a tenant's until the returned value is dropped, and notes in
    /// `until` how far. `cancel` is set when the mission is cancelled, all work is stopped,
    /// or the lease is lost.
    fn hold(&self, tenant: &TenantId, fence: &Fence, cancel: &Cancel, until: &Until) -> Lease;
}

/// Until when a claim is known to be held.
#[derive(Debug, Clone)]
pub struct Until(Arc<AtomicI64>);

impl Until {
    /// A claim that lasts so long without a renewal.
    pub fn new(at: Millis) -> Self {
        Self(Arc::new(AtomicI64::new(at)))
    }

    /// It was renewed.
    pub fn rise(&self, at: Millis) {
        self.0.fetch_max(at, Ordering::SeqCst);
    }

    /// Whether it is held at this time.
    pub fn covers(&self, at: Millis) -> bool {
        at < self.0.load(Ordering::SeqCst)
    }
}

/// A lease that is being renewed.
pub struct Lease {
    until: Until,
    end: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl Lease {
    /// A lease that somebody looks after; `end` ends that.
    pub fn new(until: &Until, end: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self { until: until.clone(), end: Some(Box::new(end)) }
    }

    /// How far it goes.
    pub fn until(&self) -> &Until {
        &self.until
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            end();
        }
    }
}

#[derive(Clone)]
struct Held {
    tenant: TenantId,
    fence: Fence,
    cancel: Cancel,
    until: Until,
}

type Table = Arc<Mutex<BTreeMap<u64, Held>>>;

/// The thread that renews leases.
pub struct LeaseThread {
    held: Table,
    next: Mutex<u64>,
    // Dropping the sender ends the thread.
    _stop: oneshot::Sender<Infallible>,
}

impl LeaseThread {
    /// Starts the thread.
    pub fn start(ledger: Arc<dyn Ledger>, clock: Arc<dyn Clock>) -> std::io::Result<Self> {
        let held = Table::default();
        let (stop, mut stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let table = Arc::clone(&held);
        let renewing = async move {
            let tick = Duration::from_millis(RENEW_MS);
            // The runtime runs without a pause: connections that the ledger made here are
            // used by others too, and they hear nothing while nobody drives it.
            while let Err(_elapsed) = tokio::time::timeout(tick, &mut stopped).await {
                renew_all(&table, ledger.as_ref(), clock.as_ref()).await;
            }
        };
        std::thread::Builder::new()
            .name("leases".into())
            .spawn(move || runtime.block_on(renewing))?;
        Ok(Self { held, next: Mutex::new(0), _stop: stop })
    }
}

async fn renew_all(table: &Table, ledger: &dyn Ledger, clock: &dyn Clock) {
    let all: Vec<Held> = lock(table).values().cloned().collect();
    // Of a ledger that does not answer nobody asks twice: renewals come first.
    let (mut modes, mut silent) = (BTreeMap::<TenantId, Option<Mode>>::new(), false);
    for held in all {
        let mode = match modes.get(&held.tenant) {
            Some(mode) => *mode,
            None if silent => None,
            None => {
                let asked = tokio::time::timeout(ASK_TIME, ledger.mode(&held.tenant)).await;
                silent = asked.is_err();
                let mode = asked.ok().and_then(Result::ok);
                modes.insert(held.tenant.clone(), mode);
                mode
            }
        };
        if mode == Some(Mode::Stopped) {
            held.cancel.cancel();
        }
        let until = clock.now() + LEASE_MS;
        let renewal = ledger.renew(&held.fence, until);
        note(&held, until, tokio::time::timeout(ASK_TIME, renewal).await.ok());
    }
}

fn note(held: &Held, until: Millis, answer: Option<Result<LeaseStatus, LedgerError>>) {
    match answer {
        Some(Ok(LeaseStatus::Held)) => held.until.rise(until),
        Some(Ok(LeaseStatus::Cancelled | LeaseStatus::Lost)) => held.cancel.cancel(),
        // Not reached: the lease may still be renewed next time. Should it run
        // out, the fence refuses whatever this worker writes.
        Some(Err(_)) | None => {}
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LeaseKeeper for LeaseThread {
    fn hold(&self, tenant: &TenantId, fence: &Fence, cancel: &Cancel, until: &Until) -> Lease {
        let number = {
            let mut next = lock(&self.next);
            *next += 1;
            *next
        };
        let (tenant, fence, cancel) = (tenant.clone(), fence.clone(), cancel.clone());
        lock(&self.held).insert(number, Held { tenant, fence, cancel, until: until.clone() });
        let table = Arc::clone(&self.held);
        Lease::new(until, move || {
            lock(&table).remove(&number);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use charter::ids::{Millis, MissionId, StepKey, TenantId};
    use charter::leader::{Bid, LeaderRow};
    use charter::ports::{Committed, Query, Rows, Transition};
    use charter::tool::Process;
    use tokio::sync::mpsc;

    /// Leaves something to be done on the runtime that asks for a renewal, as a pool of
    /// connections does, and tells when it is done.
    struct Lingering(mpsc::UnboundedSender<&'static str>);

    #[async_trait]
    impl Ledger for Lingering {
        async fn renew(&self, _: &Fence, _: Millis) -> Result<LeaseStatus, LedgerError> {
            let told = self.0.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(2 * RENEW_MS)).await;
                let _ = told.send("done");
            });
            let _ = self.0.send("asked");
            Ok(LeaseStatus::Held)
        }

        async fn query(&self, _: &TenantId, _: Query) -> Result<Rows, LedgerError> {
            Err(LedgerError::NotFound("anything".into()))
        }

        async fn commit(&self, _: Transition) -> Result<Committed, LedgerError> {
            Err(LedgerError::NotFound("anything".into()))
        }

        async fn note_program(&self, _: &Fence, _: &Process, _: bool) -> Result<(), LedgerError> {
            Ok(())
        }

        async fn lead(&self, _: &Bid) -> Result<LeaderRow, LedgerError> {
            Err(LedgerError::NotFound("anything".into()))
        }

        async fn outbox_done(&self, _: &[i64]) -> Result<(), LedgerError> {
            Ok(())
        }

        async fn changed(&self, after: i64, _: u64) -> Result<i64, LedgerError> {
            Ok(after)
        }
    }

    struct Noon;

    impl Clock for Noon {
        fn now(&self) -> Millis {
            43_200_000
        }
    }

    /// A pool takes connections back, and hears from them, on the runtime that asked:
    /// with nobody to drive it they were lost to all others.
    #[tokio::test]
    async fn what_a_renewal_leaves_behind_is_done_while_no_lease_is_held() {
        let (told, mut hears) = mpsc::unbounded_channel();
        let keeper = LeaseThread::start(Arc::new(Lingering(told)), Arc::new(Noon)).unwrap();
        let mission = "m-0000000000000000".parse::<MissionId>().unwrap();
        let fence = Fence { step: StepKey::step(&mission, 1), token: 1 };
        let until = Until::new(0);
        let lease = keeper.hold(&TenantId::local(), &fence, &Cancel::default(), &until);
        assert_eq!(hears.recv().await, Some("asked"));
        drop(lease);
        assert_eq!(hears.recv().await, Some("done"));
    }
}
