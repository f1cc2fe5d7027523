//! The writing connection to a file.

use super::SqliteOptions;
use super::connect;
use crate::sql::fixed;
use crate::sql::seal::{self, End};
use crate::sql::work::{Answers, Ask, Notary, answer};
use crate::sql::writer::{Backend, Fault};
use crate::sql::{Sql, batch::Calls};
use async_trait::async_trait;
use charter::ports::{LedgerError, Transition};
use sqlx::SqliteConnection;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// Pause before the log is emptied again that a reader held back.
const SCRUB_AGAIN: Duration = Duration::from_secs(2);

pub(super) struct Writer {
    folder: PathBuf,
    conn: SqliteConnection,
    notary: Notary,
    options: SqliteOptions,
    end: End,
    /// When the log is to be emptied: it may hold what was forgotten.
    scrub_at: Option<Instant>,
}

impl Writer {
    pub(super) async fn new(
        path: &Path,
        mut conn: SqliteConnection,
        notary: Notary,
        options: SqliteOptions,
    ) -> Result<Self, LedgerError> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new(".")).to_owned();
        let end = seal::end(&mut conn).await?;
        // A crash may have come between forgetting and the emptying of the log.
        let scrub_at = Some(Instant::now());
        Ok(Self { folder, conn, notary, options, end, scrub_at })
    }

    async fn try_transact(
        &mut self,
        asks: &[&Ask],
        end: &mut End,
        calls: &mut Calls,
    ) -> Result<Answers, LedgerError> {
        let Self { conn, notary, folder, options, .. } = self;
        conn.run("begin to write", fixed("BEGIN IMMEDIATE"), Vec::new()).await?;
        let admit = |transition: &Transition| has_room(transition, folder, options.free_floor);
        let (answers, called) = answer(conn, asks, end, notary, &admit).await?;
        *calls = called;
        conn.run("write", fixed("COMMIT"), Vec::new()).await?;
        Ok(answers)
    }
}

#[async_trait]
impl Backend for Writer {
    /// Nobody else writes.
    async fn turn(&mut self) {}

    async fn transact(&mut self, asks: &[&Ask]) -> Result<Answers, Fault> {
        let (mut end, mut calls) = (self.end, Calls::default());
        let done = self.try_transact(asks, &mut end, &mut calls).await;
        if calls.scrub {
            self.scrub_at = Some(Instant::now());
        }
        match &done {
            Ok(_) => self.end = end,
            Err(error) => {
                tracing::warn!(%error, jobs = asks.len(), "the ledger could not write");
                // Fails where SQLite has rolled back by itself.
                let _ = self.conn.run("undo", fixed("ROLLBACK"), Vec::new()).await;
                // A commit that failed may have reached the disk after all.
                if let Ok(end) = seal::end(&mut self.conn).await {
                    self.end = end;
                }
            }
        }
        done.map_err(|error| Fault { error, alone: true })
    }

    fn position(&self) -> i64 {
        self.end.position
    }

    fn is_unsealed(&self) -> bool {
        self.end.position != self.end.sealed
    }

    fn chore_at(&self) -> Option<Instant> {
        self.scrub_at
    }

    /// Empties the log; while somebody reads what was true before, tries again.
    async fn chore(&mut self) {
        let done = connect::scrub(&mut self.conn).await;
        self.scrub_at = match &done {
            Ok(true) => None,
            _ => Some(Instant::now() + SCRUB_AGAIN),
        };
        if self.scrub_at.is_some() {
            tracing::warn!(?done, "the log of the ledger could not be emptied yet");
        }
    }

    async fn close(self) -> Result<(), LedgerError> {
        connect::close(self.conn).await
    }
}

/// What is new is refused below the floor.
fn has_room(transition: &Transition, folder: &Path, floor: u64) -> Result<(), LedgerError> {
    if !transition.events.iter().any(|(_, event)| event.begins()) {
        return Ok(());
    }
    match free_bytes(folder)? {
        free if free < floor => Err(LedgerError::DiskFull(format!(
            "{free} bytes are free and {floor} are kept for what is under way; free some \
             space and try again"
        ))),
        _ => Ok(()),
    }
}

/// Bytes that the file system of a folder still has for this user.
fn free_bytes(folder: &Path) -> Result<u64, LedgerError> {
    let stat = rustix::fs::statvfs(folder).map_err(|error| LedgerError::Store {
        operation: format!("ask how much space {} has", folder.display()),
        cause: error.to_string(),
    })?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
