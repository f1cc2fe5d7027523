//! The writing connection to PostgreSQL. Every transaction begins with the lock of
//! the writers and then reads where the ledger ends, so that positions have no gaps
//! and chains are right, whichever process writes.

use super::PgDurability;
use super::connect::{CONNECT_MAX, Pg, PgAddress, Role, Trouble, connect};
use super::settle::{self, FIT, WRITERS};
use crate::sql::seal::{self, END, End};
use crate::sql::work::{Answers, Ask, Notary, answer};
use crate::sql::writer::{Backend, Fault};
use crate::sql::{built, first};
use async_trait::async_trait;
use charter::ports::LedgerError;
use sqlx::PgConnection;
use std::time::Duration;
use tokio::time::Instant;

/// The pause after the first failed try is at most this; each further one doubles it.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);

type Conn = Pg<Box<PgConnection>>;

pub(super) struct Writer {
    address: PgAddress,
    notary: Notary,
    conn: Option<Conn>,
    end: End,
    /// Where the ledger ends, of a transaction that was begun.
    begun: Option<End>,
}

impl Writer {
    /// Connects, makes the schema where it is missing, and refuses what is not ours.
    pub(super) async fn open(
        address: PgAddress,
        notary: Notary,
    ) -> Result<(Self, PgDurability), LedgerError> {
        let mut conn = patiently(&address).await?;
        let durability = settle::durability(&mut conn).await?;
        settle::schema(&mut conn).await?;
        settle::claim(&mut conn, &notary.key.verifying_key()).await?.admit()?;
        let end = seal::end(&mut conn).await?;
        prepare(&mut conn).await?;
        Ok((Self { address, notary, conn: Some(conn), end, begun: None }, durability))
    }

    /// The connection, made again where it was lost: perhaps to another server.
    async fn connected(&mut self) -> Result<&mut Conn, Trouble> {
        let conn = match self.conn.take() {
            Some(conn) => conn,
            None => {
                let mut conn = connect(&self.address, Role::Writer).await?;
                let ours = async {
                    settle::durability(&mut conn).await?;
                    settle::version(&mut conn).await?;
                    settle::claim(&mut conn, &self.notary.key.verifying_key()).await?.admit()?;
                    prepare(&mut conn).await
                };
                if let Err(error) = ours.await {
                    return Err(Trouble { error, lost: conn.is_lost() });
                }
                conn
            }
        };
        Ok(self.conn.insert(conn))
    }

    async fn try_transact(&mut self, asks: &[&Ask]) -> Result<Answers, Trouble> {
        let (notary, begun) = (self.notary.clone(), self.begun.take());
        let done = within(self.connected().await?, begun, asks, &notary).await;
        match done {
            Ok((answers, end)) => {
                self.end = end;
                Ok(answers)
            }
            Err(error) => Err(Trouble { error, lost: self.undo().await }),
        }
    }

    /// Ends a transaction that failed, and whether the connection is lost with it.
    async fn undo(&mut self) -> bool {
        let Some(conn) = &mut self.conn else { return true };
        if !conn.is_lost() {
            // Where even that fails, the connection is of no use.
            let _ = conn.script("undo", "ROLLBACK").await;
        }
        let lost = conn.is_lost();
        if lost {
            self.conn = None;
        }
        lost
    }
}

/// Has what every transaction asks first planned once.
async fn prepare(conn: &mut Conn) -> Result<(), LedgerError> {
    let sql = format!("PREPARE fit AS {FIT}; PREPARE ledger_end AS {END}");
    conn.script("prepare to write", built(sql)).await.map(|_| ())
}

/// Begins a transaction when the others have written; where the ledger ends then.
async fn begin(conn: &mut Conn) -> Result<End, LedgerError> {
    // At once, but each statement sees what is committed when it begins.
    let begin =
        format!("BEGIN; SELECT pg_advisory_xact_lock({WRITERS}); EXECUTE fit; EXECUTE ledger_end");
    let mut begun = conn.script("begin to write", built(begin)).await?.into_iter().skip(1);
    settle::judge(first(begun.by_ref().take(1).collect())?)?;
    seal::end_of(&first(begun.collect())?)
}

async fn within(
    conn: &mut Conn,
    begun: Option<End>,
    asks: &[&Ask],
    notary: &Notary,
) -> Result<(Answers, End), LedgerError> {
    let mut end = match begun {
        Some(end) => end,
        None => begin(conn).await?,
    };
    let was = end.position;
    let (answers, _) = answer(conn, asks, &mut end, notary, &|_| Ok(())).await?;
    let commit = match end.position == was {
        true => "COMMIT".to_owned(),
        // Rung with the commit, or not at all.
        false => format!("NOTIFY {}; COMMIT", super::bell::CHANNEL),
    };
    conn.script("write", built(commit)).await?;
    Ok((answers, end))
}

#[async_trait]
impl Backend for Writer {
    /// Where that fails, the transaction will tell.
    async fn turn(&mut self) {
        let Some(conn) = &mut self.conn else { return };
        match begin(conn).await {
            Ok(end) => self.begun = Some(end),
            Err(error) => {
                tracing::debug!(%error, "a transaction did not begin");
                self.undo().await;
            }
        }
    }

    /// After the loss of a connection it is not known whether a commit was written.
    /// The same transitions again find that out, so they are tried again for a while:
    /// from the first failure on, which itself may have been a long silence.
    async fn transact(&mut self, asks: &[&Ask]) -> Result<Answers, Fault> {
        let mut until = None;
        let mut pause = PAUSE_MIN;
        loop {
            let Trouble { error, lost } = match self.try_transact(asks).await {
                Ok(answers) => return Ok(answers),
                Err(trouble) => trouble,
            };
            tracing::warn!(%error, jobs = asks.len(), "the ledger could not write");
            let until = *until.get_or_insert_with(|| Instant::now() + CONNECT_MAX);
            if !lost || Instant::now() >= until {
                return Err(Fault { error, alone: !lost });
            }
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn position(&self) -> i64 {
        self.end.position
    }

    fn is_unsealed(&self) -> bool {
        self.end.position != self.end.sealed
    }

    fn chore_at(&self) -> Option<Instant> {
        None
    }

    async fn chore(&mut self) {}

    async fn close(self) -> Result<(), LedgerError> {
        if let Some(conn) = self.conn {
            conn.close().await;
        }
        Ok(())
    }
}

/// A first connection: a server that just starts is given a moment.
pub(super) async fn patiently(address: &PgAddress) -> Result<Conn, LedgerError> {
    let until = Instant::now() + CONNECT_MAX;
    let mut pause = PAUSE_MIN;
    loop {
        match connect(address, Role::Writer).await {
            Ok(conn) => return Ok(conn),
            Err(Trouble { error, lost }) if !lost || Instant::now() >= until => return Err(error),
            Err(_) => tokio::time::sleep(jittered(pause)).await,
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Any part of a pause, so that many processes do not come back at once.
pub(super) fn jittered(pause: Duration) -> Duration {
    // Without randomness the whole pause is as good.
    let drawn = getrandom::u32().unwrap_or(u32::MAX);
    pause.mul_f64(f64::from(drawn) / f64::from(u32::MAX))
}
