//! One owner per data folder: two terminals and a worker process on one folder
//! behave as one.
//!
//! The process that gets `owner.lock` opens the ledger and listens on
//! `alma.sock`; every other process attaches to it and asks it. A [`Household`]
//! is a [`Ledger`] in both roles, so that nobody above it knows the difference.
//! When the owner ends or is killed, the kernel frees the lock and closes the
//! sockets; an attached process notices at once and takes over, and the others
//! attach to it. Calls that were under way are made again: a commit is known by
//! its name, and everything else may be repeated.
//!
//! ```text
//!            ┌─ owner.lock gained ──> Owner    (until closed)
//! Seeking ───┤
//!    ^       └─ socket answers ────> Attached ──┐
//!    └──────────── connection ended ────────────┘
//! ```

mod address;
mod client;
mod error;
mod lock;
mod server;
mod supervisor;
#[cfg(test)]
mod testing;
mod wire;

use crate::SqliteLedger;
use async_trait::async_trait;
use charter::ids::{Millis, TenantId};
use charter::leader::{Bid, LeaderRow};
use charter::ports::{Committed, Fence, LeaseStatus, Ledger, LedgerError, Query, Rows, Transition};
use charter::tool::Process;
use client::CallError;
pub use error::HouseholdError;
use futures::future::BoxFuture;
pub use lock::{OwnerLock, holder};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use supervisor::{SEEK, SEEK_MAX, Seat, Shared, raise, supervise};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use wire::{Reply, Request};

/// How long a call, and [`Household::open`], wait for an owner.
const PATIENCE: Duration = Duration::from_secs(15);
/// Texts of one transition, in bytes: what fits into a frame with room to spare.
const CONTENTS_MAX: usize = wire::FRAME_MAX - (8 << 20);

/// How this process stands to the data folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It owns the folder: the relay and the reconciler run here.
    Owner,
    /// It asks the owner.
    Attached,
    /// The owner is gone, and a successor is being found.
    Seeking,
    /// [`Household::close`] was called.
    Closed,
}

/// Something that the owner answers for every process of the household, because
/// only one process may hold what it needs.
#[async_trait]
pub trait Service: Send + Sync {
    /// Answers. An asker whose owner died asks the next one again: being asked
    /// twice must do no harm.
    async fn answer(&self, question: &[u8]) -> Vec<u8>;
}

/// What answers the calls of a household.
#[derive(Clone)]
struct Desk {
    ledger: Arc<dyn Ledger>,
    services: BTreeMap<&'static str, Arc<dyn Service>>,
}

impl Desk {
    async fn ask(&self, service: &str, question: &[u8]) -> Result<Vec<u8>, LedgerError> {
        match self.services.get(service) {
            Some(found) => Ok(found.answer(question).await),
            None => Err(LedgerError::NotFound(format!("the service {service}"))),
        }
    }
}

/// A ledger that was opened by its owner, and how to close it.
pub struct OpenedLedger {
    desk: Desk,
    close: BoxFuture<'static, ()>,
}

impl OpenedLedger {
    /// A ledger that is closed by dropping it.
    pub fn new(ledger: Arc<dyn Ledger>) -> Self {
        let desk = Desk { ledger, services: BTreeMap::new() };
        Self { desk, close: Box::pin(std::future::ready(())) }
    }

    /// The same with a service beside the ledger.
    pub fn with_service(mut self, name: &'static str, service: Arc<dyn Service>) -> Self {
        self.desk.services.insert(name, service);
        self
    }

    /// The same with what must end before another process may open the files.
    pub fn on_close(self, close: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { close: Box::pin(close), ..self }
    }
}

impl From<SqliteLedger> for OpenedLedger {
    fn from(ledger: SqliteLedger) -> Self {
        let ledger = Arc::new(ledger);
        Self::new(Arc::clone(&ledger) as _).on_close(async move {
            if let Err(error) = ledger.close().await {
                tracing::warn!(%error, "the ledger was not closed in order; it repairs itself when opened");
            }
        })
    }
}

/// Opens the ledger. Called each time this process becomes the owner.
pub type OpenLedger =
    Box<dyn Fn() -> BoxFuture<'static, Result<OpenedLedger, LedgerError>> + Send + Sync>;

/// One data folder as this process sees it. See the module for how it works.
pub struct Household {
    shared: Arc<Shared>,
    closing: watch::Sender<bool>,
    supervisor: Mutex<Option<JoinHandle<()>>>,
}

impl Household {
    /// Becomes the owner of the data folder or attaches to it; makes the folder
    /// if there is none. Waits up to 15 s for an owner that is starting.
    pub async fn open(home: &Path, open: OpenLedger) -> Result<Arc<Self>, HouseholdError> {
        Self::open_with_patience(home, open, PATIENCE).await
    }

    /// The same with another bound on how long calls wait for an owner.
    pub async fn open_with_patience(
        home: &Path,
        open: OpenLedger,
        patience: Duration,
    ) -> Result<Arc<Self>, HouseholdError> {
        let home = std::path::absolute(home)
            .map_err(|source| HouseholdError::Home { path: home.to_owned(), source })?;
        address::prepare_home(&home)?;
        let shared = Arc::new(Shared {
            home,
            open,
            patience,
            seat: watch::Sender::new(Seat::Seeking(None)),
            role: watch::Sender::new(Role::Seeking),
            position: Arc::new(watch::Sender::new(i64::MIN)),
            rings: Arc::new(watch::Sender::new(0)),
        });
        let began = Instant::now();
        let mut pause = SEEK;
        let post = loop {
            if let Some(post) = shared.find_post().await? {
                break post;
            }
            let waited = began.elapsed();
            if waited >= patience {
                let holder = lock::holder(&shared.home);
                return Err(HouseholdError::Silent { home: shared.home.clone(), holder, waited });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(SEEK_MAX);
        };
        let duty = shared.take_seat(post);
        let closing = watch::Sender::new(false);
        let supervisor = tokio::spawn(supervise(Arc::clone(&shared), duty, closing.subscribe()));
        Ok(Arc::new(Self { shared, closing, supervisor: Mutex::new(Some(supervisor)) }))
    }

    /// How this process stands to the data folder now.
    pub fn role(&self) -> Role {
        *self.shared.role.borrow()
    }

    /// Follows the role: what only an owner does is started and stopped by it.
    pub fn role_changes(&self) -> watch::Receiver<Role> {
        self.shared.role.subscribe()
    }

    /// Asks a service of the owner, whichever process that is.
    pub async fn ask(&self, service: &str, question: Vec<u8>) -> Result<Vec<u8>, LedgerError> {
        let request = Request::Ask { service: service.to_owned(), body: question };
        match self.call(request).await? {
            Reply::Answer(answer) => Ok(answer),
            _ => Err(unexpected("ask a service")),
        }
    }

    /// Says that the queue was rung, in every process of the household. Only the
    /// owner's relay has reason to; elsewhere it wakes this process alone.
    pub fn ring(&self) {
        self.shared.rings.send_modify(|rings| *rings = rings.wrapping_add(1));
    }

    /// Changes each time the queue was rung, by whichever process, and when a new
    /// owner was found.
    pub fn rings(&self) -> watch::Receiver<u64> {
        self.shared.rings.subscribe()
    }

    /// Gives the folder back: ends the service, waits for calls under way, closes
    /// the ledger and frees the lock, in this order. Calls from now on fail.
    /// Dropping the household does the same in the background.
    pub async fn close(&self) {
        self.closing.send_replace(true);
        let supervisor = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(supervisor) = supervisor
            && let Err(error) = supervisor.await
        {
            tracing::error!(%error, "the data folder was not given back in order");
        }
    }

    async fn call(&self, request: Request) -> Result<Reply, LedgerError> {
        let operation = request.operation();
        let failed = |cause: String| LedgerError::Store { operation: operation.into(), cause };
        let mut seat = self.shared.seat.subscribe();
        let mut deadline = None;
        loop {
            let now = seat.borrow_and_update().clone();
            let reason = match now {
                Seat::Owner(owned) => return request.perform(&owned.desk).await,
                Seat::Attached(client) => match client.call(&request).await {
                    Ok(answer) => return answer,
                    Err(CallError::Lost) => "the owner of the data folder ended".to_owned(),
                    Err(error) => {
                        return Err(failed(format!(
                            "{error} ({})",
                            lock::holder(&self.shared.home)
                        )));
                    }
                },
                Seat::Seeking(reason) => {
                    reason.unwrap_or_else(|| "the data folder has no owner".to_owned())
                }
                Seat::Closed => {
                    return Err(failed("this process has closed the ledger".to_owned()));
                }
            };
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + self.shared.patience);
            match tokio::time::timeout_at(deadline, seat.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(failed("this process is ending".to_owned())),
                Err(_) => {
                    return Err(failed(format!(
                        "{reason}, and no other was found within {} s",
                        self.shared.patience.as_secs()
                    )));
                }
            }
        }
    }
}

/// The answer was to another question: a fault in this program, not in the data.
fn unexpected(operation: &str) -> LedgerError {
    LedgerError::Store {
        operation: operation.to_owned(),
        cause: "the owner of the data folder answered another question".to_owned(),
    }
}

#[async_trait]
impl Ledger for Household {
    async fn commit(&self, transition: Transition) -> Result<Committed, LedgerError> {
        // The same bound in both roles: what an owner accepts, an attached process
        // must be able to send.
        let bytes: usize = transition.contents.iter().map(|content| content.bytes.len()).sum();
        if bytes > CONTENTS_MAX {
            return Err(LedgerError::Conflict(format!(
                "its texts have {bytes} bytes, more than the {CONTENTS_MAX} of one transition"
            )));
        }
        match self.call(Request::Commit(Box::new(transition))).await? {
            Reply::Committed(committed) => {
                raise(&self.shared.position, committed.position);
                Ok(committed)
            }
            _ => Err(unexpected("commit a change")),
        }
    }

    async fn query(&self, tenant: &TenantId, query: Query) -> Result<Rows, LedgerError> {
        let request = Request::Query { tenant: tenant.clone(), query: Box::new(query) };
        match self.call(request).await? {
            Reply::Rows(rows) => Ok(rows),
            _ => Err(unexpected("answer a question")),
        }
    }

    async fn renew(&self, fence: &Fence, expires_at: Millis) -> Result<LeaseStatus, LedgerError> {
        match self.call(Request::Renew { fence: fence.clone(), expires_at }).await? {
            Reply::Lease(status) => Ok(status),
            _ => Err(unexpected("renew a lease")),
        }
    }

    async fn note_program(
        &self,
        fence: &Fence,
        program: &Process,
        running: bool,
    ) -> Result<(), LedgerError> {
        let request =
            Request::NoteProgram { fence: fence.clone(), program: program.clone(), running };
        match self.call(request).await? {
            Reply::Done => Ok(()),
            _ => Err(unexpected("note a program")),
        }
    }

    async fn lead(&self, bid: &Bid) -> Result<LeaderRow, LedgerError> {
        match self.call(Request::Lead(bid.clone())).await? {
            Reply::Leader(leads) => Ok(leads),
            _ => Err(unexpected("ask for the office of the leader")),
        }
    }

    async fn outbox_done(&self, ids: &[i64]) -> Result<(), LedgerError> {
        match self.call(Request::OutboxDone(ids.to_vec())).await? {
            Reply::Done => Ok(()),
            _ => Err(unexpected("clear the outbox")),
        }
    }

    /// Answered here: the newest position is told to every process at once.
    async fn changed(&self, after: i64, wait_ms: u64) -> Result<i64, LedgerError> {
        let mut position = self.shared.position.subscribe();
        let wait = Duration::from_millis(wait_ms);
        // The time may run out, and the position is the newest all the same.
        let _ = tokio::time::timeout(wait, position.wait_for(|newest| *newest > after)).await;
        Ok(*self.shared.position.borrow())
    }
}

#[cfg(test)]
mod tests;
