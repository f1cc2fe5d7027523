//! The ledger in one SQLite file: write-ahead log, `synchronous=FULL`, one
//! writer that commits whatever waits in one transaction, a few readers.

mod connect;
mod read;
mod seal;
mod store;
pub(crate) mod tables;
mod writer;

pub use connect::Durability;
pub(crate) use connect::{SCHEMA, failed, newer, read_only};
pub(crate) use writer::CHECKPOINT_EVERY;

use crate::chain::Checkpoint;
use crate::transition;
use async_trait::async_trait;
use charter::ids::{Millis, TenantId};
use charter::ports::{
    Clock, Committed, Fence, LeaseStatus, Ledger, LedgerError, Query, Rows, Transition,
};
use charter::tool::Process;
use ed25519_dalek::SigningKey;
use sqlx::SqlitePool;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use writer::{Ask, Job, Outcome};

/// New intents are refused when the file system has less free space than this:
/// room for the receipts of what is under way.
pub const FREE_FLOOR_BYTES: u64 = 16 << 20;
/// Commits that may wait for the writer; more wait in front of the queue.
const WAITING_MAX: usize = 1_024;
/// Longest time that [`Ledger::changed`] waits.
const WAIT_MAX: Duration = Duration::from_secs(3_600);

/// What may differ between ledgers.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// Free bytes below which intents are refused.
    pub free_floor: u64,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { free_floor: FREE_FLOOR_BYTES }
    }
}

/// A ledger in an SQLite file, of which this process is the owner.
#[derive(Debug)]
pub struct SqliteLedger {
    readers: SqlitePool,
    jobs: mpsc::Sender<Job>,
    /// Renewals and the like pass the commits.
    urgent: mpsc::Sender<Job>,
    position: watch::Receiver<i64>,
    durability: Durability,
}

impl SqliteLedger {
    /// Opens the file, or makes it for the owner alone. Checkpoints are signed
    /// with `key` and dated by `clock`.
    pub async fn open(
        path: &Path,
        clock: Arc<dyn Clock>,
        key: SigningKey,
    ) -> Result<Self, LedgerError> {
        Self::open_with(path, clock, key, SqliteOptions::default()).await
    }

    /// [`SqliteLedger::open`] with options.
    pub async fn open_with(
        path: &Path,
        clock: Arc<dyn Clock>,
        key: SigningKey,
        options: SqliteOptions,
    ) -> Result<Self, LedgerError> {
        let (conn, durability) = connect::writer(path).await?;
        let readers = connect::readers(path);
        let (jobs, jobs_in) = mpsc::channel(WAITING_MAX);
        let (urgent, urgent_in) = mpsc::channel(WAITING_MAX);
        let (moved, position) = watch::channel(0);
        let writer = writer::Writer::new(path, conn, clock, key, options, moved).await?;
        tokio::spawn(writer.run(jobs_in, urgent_in));
        Ok(Self { readers, jobs, urgent, position, durability })
    }

    /// The settings in force on the writing connection, as SQLite names them.
    pub fn durability(&self) -> &Durability {
        &self.durability
    }

    /// The newest checkpoint, made now unless nothing happened since the last;
    /// `None` while there are no events.
    pub async fn checkpoint(&self) -> Result<Option<Checkpoint>, LedgerError> {
        match ask(&self.jobs, Ask::Checkpoint).await? {
            Outcome::Checkpoint(checkpoint) => Ok(checkpoint),
            other => Err(other.unexpected()),
        }
    }

    /// Finishes what was asked before, seals it with a checkpoint and closes the
    /// file. Whatever is asked later fails.
    pub async fn close(&self) -> Result<(), LedgerError> {
        // Whoever closes last tidies the log away, and a reader cannot.
        self.readers.close().await;
        ask(&self.jobs, Ask::Close).await.map(|_| ())
    }
}

async fn ask(channel: &mpsc::Sender<Job>, ask: Ask) -> Result<Outcome, LedgerError> {
    let closed = |operation: &str| LedgerError::Store {
        operation: operation.to_owned(),
        cause: "the ledger was closed".to_owned(),
    };
    let operation = ask.operation();
    let (reply, answer) = oneshot::channel();
    channel.send(Job { ask, reply }).await.map_err(|_| closed(operation))?;
    answer.await.map_err(|_| closed(operation))?
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn commit(&self, transition: Transition) -> Result<Committed, LedgerError> {
        // Hashes texts: not the writer's work.
        transition::check(&transition)?;
        match ask(&self.jobs, Ask::Commit(Box::new(transition))).await? {
            Outcome::Committed(committed) => Ok(committed),
            other => Err(other.unexpected()),
        }
    }

    async fn query(&self, tenant: &TenantId, query: Query) -> Result<Rows, LedgerError> {
        read::query(&self.readers, tenant, query).await
    }

    async fn renew(&self, fence: &Fence, expires_at: Millis) -> Result<LeaseStatus, LedgerError> {
        match ask(&self.urgent, Ask::Renew(fence.clone(), expires_at)).await? {
            Outcome::Lease(status) => Ok(status),
            other => Err(other.unexpected()),
        }
    }

    async fn note_program(
        &self,
        fence: &Fence,
        program: &Process,
        running: bool,
    ) -> Result<(), LedgerError> {
        ask(&self.urgent, Ask::Note(fence.clone(), program.clone(), running)).await.map(|_| ())
    }

    async fn outbox_done(&self, ids: &[i64]) -> Result<(), LedgerError> {
        ask(&self.jobs, Ask::OutboxDone(ids.to_vec())).await.map(|_| ())
    }

    async fn changed(&self, after: i64, wait_ms: u64) -> Result<i64, LedgerError> {
        let mut position = self.position.clone();
        let wait = Duration::from_millis(wait_ms).min(WAIT_MAX);
        // Whether it moved, the time ran out or the ledger was closed: the newest
        // position is the answer.
        let _ = tokio::time::timeout(wait, position.wait_for(|newest| *newest > after)).await;
        let newest = *position.borrow();
        Ok(newest)
    }
}
