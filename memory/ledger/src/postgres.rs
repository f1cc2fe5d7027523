//! The ledger in PostgreSQL, for many processes at once: each has a writer of its
//! own, which takes its turn behind a lock, and hears of the commits of all others.

mod bell;
mod connect;
mod settle;
mod writer;

pub(crate) use connect::Pg;
pub use connect::PgAddress;

use crate::chain::Checkpoint;
use crate::sql::work::{Ask, Notary, Outcome};
use crate::sql::writer::Desk;
use crate::sql::{Sql, Standing, first, fixed, leaders, leases, read};
use crate::{keys, transition};
use async_trait::async_trait;
use charter::breaker::{Breaker, BreakerLimits, Health};
use charter::ids::{Millis, TenantId};
use charter::leader::{Bid, LeaderRow};
use charter::ports::{
    Clock, Committed, Fence, LeaseStatus, Ledger, LedgerError, Query, Rows, Transition,
};
use charter::tool::Process;
use connect::{Loan, Role, Trouble};
use ed25519_dalek::{SigningKey, VerifyingKey};
use futures::FutureExt;
use futures::future::BoxFuture;
use sqlx::{PgConnection, PgPool};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Connections for reading.
const READERS: u32 = 4;
/// Connections for leases: a renewal waits neither for readers nor for writers.
const LEASES: u32 = 2;
/// Looks for other processes before a transfer, and the pause between two.
const ALONE_LOOKS: u32 = 20;
const ALONE_REST: Duration = Duration::from_millis(100);
/// When questions are refused, and how soon one is tried.
const LIMITS: BreakerLimits = BreakerLimits {
    failures: 5,
    rest: Duration::from_millis(250),
    rest_max: Duration::from_secs(5),
};

/// Settings on which durability rests, read back from PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PgDurability {
    /// `on`: what is called written is on disk.
    pub synchronous_commit: String,
    /// `on`.
    pub fsync: String,
    /// `on`.
    pub full_page_writes: String,
}

/// A ledger in PostgreSQL, which this process shares with others.
pub struct PgLedger {
    address: PgAddress,
    desk: Desk,
    readers: PgPool,
    leases: PgPool,
    bell: AbortHandle,
    breaker: Mutex<Breaker>,
    origin: Instant,
    durability: PgDurability,
    installation: String,
}

impl fmt::Debug for PgLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgLedger").field("address", &self.address).finish_non_exhaustive()
    }
}

impl PgLedger {
    /// Connects, and makes the schema `alma` where it is missing. Checkpoints are
    /// signed with `key` and dated by `clock`; a database that belongs to another
    /// key is refused.
    pub async fn open(
        address: &PgAddress,
        clock: Arc<dyn Clock>,
        key: SigningKey,
    ) -> Result<Self, LedgerError> {
        let installation = keys::installation(&key.verifying_key());
        let notary = Notary { clock, key };
        let (writer, durability) = writer::Writer::open(address.clone(), notary).await?;
        let moved = watch::Sender::new(0);
        let bell = tokio::spawn(bell::listen(address.clone(), moved.clone())).abort_handle();
        Ok(Self {
            address: address.clone(),
            desk: Desk::open(writer, moved),
            readers: connect::pool(address, Role::Reader, READERS),
            leases: connect::pool(address, Role::Lease, LEASES),
            bell,
            breaker: Mutex::new(Breaker::new(LIMITS)),
            origin: Instant::now(),
            durability,
            installation,
        })
    }

    /// The settings in force on the writing connection, as PostgreSQL names them.
    pub fn durability(&self) -> &PgDurability {
        &self.durability
    }

    /// The name of this installation: [`keys::installation`] of its key.
    pub fn installation(&self) -> &str {
        &self.installation
    }

    /// How the database answers.
    pub fn health(&self) -> Health {
        self.breaker().health(self.origin.elapsed())
    }

    /// What time it is there, in milliseconds since the Unix epoch.
    pub async fn time(&self) -> Result<Millis, LedgerError> {
        self.guarded(self.through(&self.readers, (Role::Reader, READERS), |conn| {
            let sql = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)";
            async move { first(conn.lines("tell the time", fixed(sql), Vec::new()).await?)?.int(0) }
                .boxed()
        }))
        .await
    }

    /// The newest checkpoint, made now unless nothing happened since the last;
    /// `None` while there are no events.
    pub async fn checkpoint(&self) -> Result<Option<Checkpoint>, LedgerError> {
        self.guarded(self.desk.checkpoint()).await
    }

    /// Finishes what was asked before, seals it with a checkpoint and lets go of the
    /// database. Whatever is asked later fails.
    pub async fn close(&self) -> Result<(), LedgerError> {
        self.bell.abort();
        self.readers.close().await;
        self.leases.close().await;
        self.desk.close().await
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        // It is whole after each of its steps.
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks unless the database is given a rest, and notes whether it answers.
    async fn guarded<T>(
        &self,
        asking: impl Future<Output = Result<T, LedgerError>>,
    ) -> Result<T, LedgerError> {
        let pass = self.breaker().admit(self.origin.elapsed());
        let pass = pass.map_err(|refused| LedgerError::Store {
            operation: format!("ask PostgreSQL at {}", self.address),
            cause: refused.to_string(),
        })?;
        let done = asking.await;
        let now = self.origin.elapsed();
        match &done {
            Err(LedgerError::Store { cause, .. }) => {
                self.breaker().failed(pass, cause.clone(), now);
            }
            _ => self.breaker().succeeded(pass, now),
        }
        done
    }

    /// Asks on one of these connections. With one that was lost the idle ones are given
    /// up, for they lead to the same server; those on loan meanwhile go one by one.
    async fn through<T>(
        &self,
        pool: &PgPool,
        (role, connections): (Role, u32),
        ask: impl for<'c> Fn(&'c mut dyn Sql) -> BoxFuture<'c, Result<T, LedgerError>>,
    ) -> Result<T, LedgerError> {
        let mut tries = connections;
        loop {
            let conn = pool.acquire().await;
            let conn = conn.map_err(|error| connect::unreachable(&self.address, error))?;
            let mut conn = Pg::new(Loan::new(conn), role);
            let done = ask(&mut conn).await;
            if !conn.is_lost() {
                conn.into_inner().give_back();
                return done;
            }
            drop(conn);
            while let Some(idle) = pool.try_acquire() {
                drop(Loan::new(idle));
            }
            match tries {
                0 => return done,
                _ => tries -= 1,
            }
        }
    }
}

impl Drop for PgLedger {
    fn drop(&mut self) {
        self.bell.abort();
    }
}

#[async_trait]
impl Ledger for PgLedger {
    async fn commit(&self, transition: Transition) -> Result<Committed, LedgerError> {
        // Hashes texts: not the writer's work.
        transition::check(&transition)?;
        self.guarded(self.desk.commit(transition)).await
    }

    async fn query(&self, tenant: &TenantId, query: Query) -> Result<Rows, LedgerError> {
        self.guarded(self.through(&self.readers, (Role::Reader, READERS), |conn| {
            let (tenant, query) = (tenant.clone(), query.clone());
            async move { read::query(conn, &tenant, query).await }.boxed()
        }))
        .await
    }

    async fn renew(&self, fence: &Fence, expires_at: Millis) -> Result<LeaseStatus, LedgerError> {
        self.guarded(self.through(&self.leases, (Role::Lease, LEASES), |conn| {
            let fence = fence.clone();
            async move { leases::renew(conn, &fence, expires_at).await }.boxed()
        }))
        .await
    }

    async fn note_program(
        &self,
        fence: &Fence,
        program: &Process,
        running: bool,
    ) -> Result<(), LedgerError> {
        self.guarded(self.through(&self.leases, (Role::Lease, LEASES), |conn| {
            let (fence, program) = (fence.clone(), program.clone());
            async move { leases::note(conn, &fence, &program, running).await }.boxed()
        }))
        .await?
    }

    async fn lead(&self, bid: &Bid) -> Result<LeaderRow, LedgerError> {
        let kept = self.through(&self.leases, (Role::Lease, LEASES), |conn| {
            let bid = bid.clone();
            async move { leaders::renew(conn, &bid).await }.boxed()
        });
        if let Some(leads) = self.guarded(kept).await? {
            return Ok(leads);
        }
        match self.guarded(self.desk.urgently(Ask::Lead(bid.clone()))).await? {
            Outcome::Leader(leads) => Ok(leads),
            other => Err(other.unexpected()),
        }
    }

    async fn outbox_done(&self, ids: &[i64]) -> Result<(), LedgerError> {
        self.guarded(self.desk.outbox_done(ids)).await
    }

    async fn changed(&self, after: i64, wait_ms: u64) -> Result<i64, LedgerError> {
        Ok(self.desk.changed(after, wait_ms).await)
    }
}

/// A connection for everything there is.
async fn everything(address: &PgAddress) -> Result<Pg<Box<PgConnection>>, LedgerError> {
    connect::connect(address, Role::Whole).await.map_err(|Trouble { error, .. }| error)
}

/// A snapshot of a whole ledger, for reading, and its schema.
pub(crate) async fn snapshot(
    address: &PgAddress,
) -> Result<(Pg<Box<PgConnection>>, i64), LedgerError> {
    let mut conn = everything(address).await?;
    let version = settle::known(&mut conn).await?;
    if version == 0 {
        return Err(LedgerError::Damaged(format!("there is no ledger at {address}")));
    }
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    conn.script("read the ledger for its audit", begin).await?;
    Ok((conn, version))
}

/// The same of an installation's own ledger, and how it stands.
pub(crate) async fn seen(
    address: &PgAddress,
    key: &VerifyingKey,
) -> Result<(Pg<Box<PgConnection>>, Standing), LedgerError> {
    let (mut conn, _) = snapshot(address).await?;
    match settle::owner(&mut conn).await? {
        Some((kept, standing)) => settle::own(&kept, key).map(|()| (conn, standing)),
        None => Err(LedgerError::NotFound(format!("a ledger at {address}"))),
    }
}

/// A whole ledger for a transfer to read, and how it stands: nobody writes to it until
/// the connection is closed.
pub(crate) async fn whole(
    address: &PgAddress,
    key: &VerifyingKey,
) -> Result<(Pg<Box<PgConnection>>, Standing), LedgerError> {
    let mut conn = everything(address).await?;
    if settle::known(&mut conn).await? == 0 {
        return Err(LedgerError::NotFound(format!("a ledger at {address}")));
    }
    settle::schema(&mut conn).await?;
    let standing = settle::claim(&mut conn, key).await?;
    alone(&mut conn).await?;
    lock(&mut conn).await?;
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    conn.script("read the ledger", begin).await?;
    Ok((conn, standing))
}

/// Refuses while another process is connected to the ledger. Who was just closed is
/// given a moment to go.
async fn alone(conn: &mut Pg<Box<PgConnection>>) -> Result<(), LedgerError> {
    let mut looks = ALONE_LOOKS;
    loop {
        let sql = fixed(
            "SELECT count(*), coalesce(max(coalesce(CAST(client_addr AS TEXT), 'this host')), '') \
             FROM pg_stat_activity WHERE datname = current_database() \
             AND application_name LIKE 'alma %' AND pid <> pg_backend_pid()",
        );
        let found = conn.lines("see who else uses the ledger", sql, Vec::new()).await?;
        let mut line = first(found)?;
        match (line.int(0)?, looks) {
            (0, _) => return Ok(()),
            (others, 0) => {
                return Err(LedgerError::Conflict(format!(
                    "{others} connections of other processes use the record (one from {}): stop \
                     every `alma worker` and `alma serve` on every host first",
                    line.text(1)?
                )));
            }
            _ => looks -= 1,
        }
        tokio::time::sleep(ALONE_REST).await;
    }
}

/// A database for a transfer to write, and how it stands.
pub(crate) async fn fresh(
    address: &PgAddress,
    key: &VerifyingKey,
) -> Result<(Pg<Box<PgConnection>>, Standing), LedgerError> {
    let mut conn = everything(address).await?;
    settle::durability(&mut conn).await?;
    settle::known(&mut conn).await?;
    settle::schema(&mut conn).await?;
    lock(&mut conn).await?;
    let standing = settle::claim(&mut conn, key).await?;
    Ok((conn, standing))
}

/// Keeps every writer out until the connection is closed.
async fn lock(conn: &mut Pg<Box<PgConnection>>) -> Result<(), LedgerError> {
    let sql = fixed("SELECT pg_advisory_lock($1)");
    conn.run("take the lock of the writers", sql, vec![settle::WRITERS.into()]).await.map(|_| ())
}

/// Says how the database stands.
pub(crate) async fn mark(
    conn: &mut Pg<Box<PgConnection>>,
    standing: Standing,
) -> Result<(), LedgerError> {
    let sql = fixed("UPDATE installation SET state = $1");
    conn.run("mark the database", sql, vec![settle::word(standing).into()]).await.map(|_| ())
}

/// Lets the numbers of the outbox go on behind those that were copied.
pub(crate) async fn count_on(conn: &mut Pg<Box<PgConnection>>) -> Result<(), LedgerError> {
    let sql = fixed(
        "SELECT setval(pg_get_serial_sequence('outbox', 'id'), \
         (SELECT coalesce(max(id), 0) + 1 FROM outbox), false)",
    );
    conn.run("number the outbox", sql, Vec::new()).await.map(|_| ())
}
