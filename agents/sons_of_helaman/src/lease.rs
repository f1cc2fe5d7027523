//! Holding a lease while a step runs.
//!
//! Renewal runs on a thread of its own with its own small runtime: however busy
//! the workers' threads are with a model or a tool, the lease is renewed.

use charter::ids::{Millis, TenantId};
use charter::mode::Mode;
use charter::ports::{Clock, Fence, LeaseStatus, Ledger, LedgerError, LedgerExt};
use charter::tool::Cancel;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

/// How long a lease lasts without renewal, in milliseconds.
pub const LEASE_MS: Millis = 10_000;
/// How long one question to the ledger may take: one that hangs must not hold up the
/// other leases.
const ASK_TIME: Duration = Duration::from_secs(2);
/// How often it is renewed, in milliseconds. The running step of a cancelled mission
/// learns of it with the next renewal, and so does every step when all work is stopped.
pub const RENEW_MS: u64 = 500;

/// Keeps leases alive.
pub trait LeaseKeeper: Send + Sync {
    /// Renews this claim's lease until the returned value is dropped.
    fn hold(&self, fence: &Fence) -> Lease;
}

/// A lease that is being renewed.
pub struct Lease {
    /// Set when the mission is cancelled, all work is stopped, or the lease is lost.
    pub cancel: Cancel,
    lost: Arc<AtomicBool>,
    on_drop: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl Lease {
    /// A lease that somebody else looks after; `on_drop` ends that.
    pub fn new(
        cancel: Cancel,
        lost: Arc<AtomicBool>,
        on_drop: Option<Box<dyn FnOnce() + Send + Sync>>,
    ) -> Self {
        Self { cancel, lost, on_drop }
    }

    /// Whether somebody else has the step by now.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::SeqCst)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(end) = self.on_drop.take() {
            end();
        }
    }
}

#[derive(Clone)]
struct Held {
    fence: Fence,
    cancel: Cancel,
    lost: Arc<AtomicBool>,
}

type Table = Arc<Mutex<BTreeMap<u64, Held>>>;

/// The thread that renews leases.
pub struct LeaseThread {
    held: Table,
    next: Mutex<u64>,
    // Dropping the sender ends the thread.
    _stop: mpsc::Sender<()>,
}

impl LeaseThread {
    /// Starts the thread, for the steps of one tenant.
    pub fn start(
        ledger: Arc<dyn Ledger>,
        clock: Arc<dyn Clock>,
        tenant: TenantId,
    ) -> std::io::Result<Self> {
        let held = Table::default();
        let (stop, stopped) = mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let table = Arc::clone(&held);
        std::thread::Builder::new().name("leases".into()).spawn(move || {
            let tick = Duration::from_millis(RENEW_MS);
            while let Err(mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(tick) {
                let all: Vec<Held> = lock(&table).values().cloned().collect();
                if all.is_empty() {
                    continue;
                }
                let mode = runtime
                    .block_on(async { tokio::time::timeout(ASK_TIME, ledger.mode(&tenant)).await });
                for held in all {
                    if matches!(mode, Ok(Ok(Mode::Stopped))) {
                        held.cancel.cancel();
                    }
                    let expires_at = clock.now() + LEASE_MS;
                    let answer = runtime.block_on(async {
                        let renewal = ledger.renew(&held.fence, expires_at);
                        tokio::time::timeout(ASK_TIME, renewal).await
                    });
                    note(&held, answer.ok());
                }
            }
        })?;
        Ok(Self { held, next: Mutex::new(0), _stop: stop })
    }
}

fn note(held: &Held, answer: Option<Result<LeaseStatus, LedgerError>>) {
    match answer {
        Some(Ok(LeaseStatus::Cancelled)) => held.cancel.cancel(),
        Some(Ok(LeaseStatus::Lost)) => {
            held.lost.store(true, Ordering::SeqCst);
            held.cancel.cancel();
        }
        // Not reached: the lease may still be renewed next time. Should it run
        // out, the fence refuses whatever this worker writes.
        Some(Ok(LeaseStatus::Held) | Err(_)) | None => {}
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LeaseKeeper for LeaseThread {
    fn hold(&self, fence: &Fence) -> Lease {
        let (cancel, lost) = (Cancel::default(), Arc::new(AtomicBool::new(false)));
        let number = {
            let mut next = lock(&self.next);
            *next += 1;
            *next
        };
        let held = Held { fence: fence.clone(), cancel: cancel.clone(), lost: Arc::clone(&lost) };
        lock(&self.held).insert(number, held);
        let table = Arc::clone(&self.held);
        let end = move || {
            lock(&table).remove(&number);
        };
        Lease::new(cancel, lost, Some(Box::new(end)))
    }
}
