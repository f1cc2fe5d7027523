//! The ledger in one SQLite file: write-ahead log, `synchronous=FULL`, one
//! writer that commits whatever waits in one transaction, a few readers.

mod connect;
mod sql;
mod writer;

pub use connect::Durability;
pub(crate) use connect::{close as let_go, failed, mark, read_only, standing, whole};

use crate::chain::Checkpoint;
use crate::sql::read;
use crate::sql::work::{Ask, Notary, Outcome};
use crate::sql::writer::Desk;
use crate::{keys, transition};
use async_trait::async_trait;
use charter::ids::{Millis, TenantId};
use charter::leader::{Bid, LeaderRow};
use charter::ports::{
    Clock, Committed, Fence, LeaseStatus, Ledger, LedgerError, Query, Rows, Transition,
};
use charter::tool::Process;
use ed25519_dalek::SigningKey;
use sqlx::SqlitePool;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;

/// New intents are refused when the file system has less free space than this:
/// room for the receipts of what is under way.
pub const FREE_FLOOR_BYTES: u64 = 16 << 20;

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
    desk: Desk,
    durability: Durability,
    installation: String,
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
        let (mut conn, durability) = connect::writer(path).await?;
        standing(&mut conn).await?.admit()?;
        let readers = connect::readers(path);
        let installation = keys::installation(&key.verifying_key());
        let writer = writer::Writer::new(path, conn, Notary { clock, key }, options).await?;
        let desk = Desk::open(writer, watch::Sender::new(0));
        Ok(Self { readers, desk, durability, installation })
    }

    /// The settings in force on the writing connection, as SQLite names them.
    pub fn durability(&self) -> &Durability {
        &self.durability
    }

    /// The name of this installation: [`keys::installation`] of its key.
    pub fn installation(&self) -> &str {
        &self.installation
    }

    /// The newest checkpoint, made now unless nothing happened since the last;
    /// `None` while there are no events.
    pub async fn checkpoint(&self) -> Result<Option<Checkpoint>, LedgerError> {
        self.desk.checkpoint().await
    }

    /// Finishes what was asked before, seals it with a checkpoint and closes the
    /// file. Whatever is asked later fails.
    pub async fn close(&self) -> Result<(), LedgerError> {
        // Whoever closes last tidies the log away, and a reader cannot.
        self.readers.close().await;
        self.desk.close().await
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn commit(&self, transition: Transition) -> Result<Committed, LedgerError> {
        // Hashes texts: not the writer's work.
        transition::check(&transition)?;
        self.desk.commit(transition).await
    }

    async fn query(&self, tenant: &TenantId, query: Query) -> Result<Rows, LedgerError> {
        let conn = self.readers.acquire().await;
        let mut conn = conn.map_err(|error| failed("read", error))?;
        read::query(&mut *conn, tenant, query).await
    }

    async fn renew(&self, fence: &Fence, expires_at: Millis) -> Result<LeaseStatus, LedgerError> {
        match self.desk.urgently(Ask::Renew(fence.clone(), expires_at)).await? {
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
        let ask = Ask::Note(fence.clone(), program.clone(), running);
        self.desk.urgently(ask).await.map(|_| ())
    }

    async fn lead(&self, bid: &Bid) -> Result<LeaderRow, LedgerError> {
        match self.desk.urgently(Ask::Lead(bid.clone())).await? {
            Outcome::Leader(leads) => Ok(leads),
            other => Err(other.unexpected()),
        }
    }

    async fn outbox_done(&self, ids: &[i64]) -> Result<(), LedgerError> {
        self.desk.outbox_done(ids).await
    }

    async fn changed(&self, after: i64, wait_ms: u64) -> Result<i64, LedgerError> {
        Ok(self.desk.changed(after, wait_ms).await)
    }
}
