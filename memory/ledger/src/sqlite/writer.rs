//! The one writer. Whatever waits when it is free goes into one transaction and
//! is answered when that is on disk: the cost of the disk is shared.

use super::SqliteOptions;
use super::connect::{self, failed};
use super::seal::{self, End};
use super::store::{self, Calls, Failed, token};
use super::tables::{from_json, to_json};
use crate::chain::Checkpoint;
use crate::limits;
use charter::event::Event;
use charter::ids::Millis;
use charter::ports::{Clock, Committed, Fence, LeaseStatus, LedgerError, Transition};
use charter::rows::MissionRow;
use charter::tool::Process;
use ed25519_dalek::SigningKey;
use sqlx::SqliteConnection;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

/// Most jobs in one transaction.
const BATCH_MAX: usize = 128;
/// Events after which a checkpoint is made, whether or not a mission ended.
pub(crate) const CHECKPOINT_EVERY: i64 = 1_000;
/// Pause before the log is emptied again that a reader held back.
const SCRUB_AGAIN: Duration = Duration::from_secs(2);

/// What is asked of the writer.
pub(super) enum Ask {
    Commit(Box<Transition>),
    Renew(Fence, Millis),
    Note(Fence, Process, bool),
    OutboxDone(Vec<i64>),
    Checkpoint,
    Close,
}

impl Ask {
    pub(super) fn operation(&self) -> &'static str {
        match self {
            Self::Commit(_) => "commit a change",
            Self::Renew(..) => "renew a lease",
            Self::Note(..) => "note a program",
            Self::OutboxDone(_) => "clear the outbox",
            Self::Checkpoint => "write a checkpoint",
            Self::Close => "close the file",
        }
    }
}

/// What comes of it.
pub(super) enum Outcome {
    Committed(Committed),
    Lease(LeaseStatus),
    Checkpoint(Option<Checkpoint>),
    Nothing,
}

impl Outcome {
    /// An answer of another kind than the question.
    pub(super) fn unexpected(&self) -> LedgerError {
        LedgerError::Store {
            operation: "answer".to_owned(),
            cause: "the writer answered another question".to_owned(),
        }
    }
}

/// A question with the way back.
pub(super) struct Job {
    pub(super) ask: Ask,
    pub(super) reply: oneshot::Sender<Result<Outcome, LedgerError>>,
}

pub(super) struct Writer {
    folder: PathBuf,
    conn: SqliteConnection,
    clock: Arc<dyn Clock>,
    key: SigningKey,
    options: SqliteOptions,
    moved: watch::Sender<i64>,
    end: End,
    /// When the log is to be emptied: it may hold what was forgotten.
    scrub_at: Option<Instant>,
}

impl Writer {
    pub(super) async fn new(
        path: &Path,
        mut conn: SqliteConnection,
        clock: Arc<dyn Clock>,
        key: SigningKey,
        options: SqliteOptions,
        moved: watch::Sender<i64>,
    ) -> Result<Self, LedgerError> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new(".")).to_owned();
        let end = seal::end(&mut conn).await?;
        moved.send_replace(end.position);
        // A crash may have come between forgetting and the emptying of the log.
        let scrub_at = Some(Instant::now());
        Ok(Self { folder, conn, clock, key, options, moved, end, scrub_at })
    }

    /// Works until somebody closes the ledger or nobody holds it any more.
    pub(super) async fn run(
        mut self,
        mut jobs: mpsc::Receiver<Job>,
        mut urgent: mpsc::Receiver<Job>,
    ) {
        let mut closing = None;
        while closing.is_none() {
            if self.scrub_at.is_some_and(|at| at <= Instant::now()) {
                self.scrub().await;
            }
            let again = self.scrub_at.unwrap_or_else(|| Instant::now() + SCRUB_AGAIN);
            let first = tokio::select! {
                biased;
                Some(job) = urgent.recv() => job,
                Some(job) = jobs.recv() => job,
                () = sleep_until(again), if self.scrub_at.is_some() => match jobs.is_closed() {
                    true => break,
                    false => continue,
                },
                else => break,
            };
            let mut batch = Vec::new();
            let mut next = Some(first);
            while let Some(job) = next {
                if let Ask::Close = job.ask {
                    closing = Some(job.reply);
                    break;
                }
                batch.push(job);
                next = match batch.len() {
                    BATCH_MAX.. => None,
                    _ => urgent.try_recv().or_else(|_| jobs.try_recv()).ok(),
                };
            }
            self.work(batch).await;
        }
        // Closed channels answer everybody who comes later.
        drop((jobs, urgent));
        let sealed = match self.end.position == self.end.sealed() {
            true => Ok(()),
            false => self.transact(&[&Ask::Checkpoint]).await.map(|_| ()),
        };
        let closed = connect::close(self.conn).await;
        if let Some(reply) = closing {
            let _ = reply.send(sealed.and(closed).map(|()| Outcome::Nothing));
        }
    }

    /// Empties the log; while somebody reads what was true before, tries again.
    async fn scrub(&mut self) {
        let done = connect::scrub(&mut self.conn).await;
        self.scrub_at = match &done {
            Ok(true) => None,
            _ => Some(Instant::now() + SCRUB_AGAIN),
        };
        if self.scrub_at.is_some() {
            tracing::warn!(?done, "the log of the ledger could not be emptied yet");
        }
    }

    /// All jobs in one transaction; after a failure each in its own, so that one
    /// that cannot be written does not take the others with it.
    async fn work(&mut self, batch: Vec<Job>) {
        if batch.is_empty() {
            return;
        }
        let (asks, replies): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|job| (job.ask, job.reply)).unzip();
        let all: Vec<_> = asks.iter().collect();
        let outcomes = match self.transact(&all).await {
            Ok(outcomes) => outcomes,
            Err(error) if asks.len() == 1 => vec![Err(error)],
            Err(_) => {
                let mut outcomes = Vec::with_capacity(asks.len());
                for ask in &asks {
                    let alone = self.transact(&[ask]).await;
                    outcomes.push(alone.and_then(|mut outcomes| match outcomes.pop() {
                        Some(outcome) => outcome,
                        None => Ok(Outcome::Nothing),
                    }));
                }
                outcomes
            }
        };
        if self.scrub_at.is_some_and(|at| at <= Instant::now()) {
            self.scrub().await;
        }
        self.moved.send_if_modified(|position| {
            std::mem::replace(position, self.end.position) != self.end.position
        });
        for (reply, outcome) in replies.into_iter().zip(outcomes) {
            // Who asked may have gone; the answer stands in the ledger.
            let _ = reply.send(outcome);
        }
    }

    async fn transact(
        &mut self,
        asks: &[&Ask],
    ) -> Result<Vec<Result<Outcome, LedgerError>>, LedgerError> {
        let mut end = self.end.clone();
        let mut calls = Calls::default();
        let done = self.try_transact(asks, &mut end, &mut calls).await;
        if calls.scrub {
            self.scrub_at = Some(Instant::now());
        }
        match &done {
            Ok(_) => self.end = end,
            Err(error) => {
                tracing::warn!(%error, jobs = asks.len(), "the ledger could not write");
                // Fails where SQLite has rolled back by itself.
                let _ = sqlx::query("ROLLBACK").execute(&mut self.conn).await;
                // A commit that failed may have reached the disk after all.
                if let Ok(end) = seal::end(&mut self.conn).await {
                    self.end = end;
                }
            }
        }
        done
    }

    async fn try_transact(
        &mut self,
        asks: &[&Ask],
        end: &mut End,
        calls: &mut Calls,
    ) -> Result<Vec<Result<Outcome, LedgerError>>, LedgerError> {
        let run = |error| failed("write", error);
        sqlx::query("BEGIN IMMEDIATE").execute(&mut self.conn).await.map_err(run)?;
        let mut outcomes = Vec::with_capacity(asks.len());
        for ask in asks {
            let outcome = match ask {
                Ask::Commit(transition) => match self.commit(transition, end).await {
                    Ok((committed, Calls { seal, scrub })) => {
                        calls.seal |= seal;
                        calls.scrub |= scrub;
                        Ok(Outcome::Committed(committed))
                    }
                    Err(Failed { error, dirty: true }) => return Err(error),
                    Err(Failed { error, dirty: false }) => Err(error),
                },
                Ask::Renew(fence, expires_at) => {
                    Ok(Outcome::Lease(self.renew(fence, *expires_at).await?))
                }
                Ask::Note(fence, program, running) => self.note(fence, program, *running).await?,
                Ask::OutboxDone(ids) => {
                    sqlx::query("DELETE FROM outbox WHERE id IN (SELECT value FROM json_each(?1))")
                        .bind(to_json(ids)?)
                        .execute(&mut self.conn)
                        .await
                        .map_err(run)?;
                    Ok(Outcome::Nothing)
                }
                Ask::Checkpoint => {
                    seal::seal(&mut self.conn, end, self.clock.now(), &self.key).await?;
                    Ok(Outcome::Checkpoint(end.checkpoint.clone()))
                }
                Ask::Close => Ok(Outcome::Nothing),
            };
            outcomes.push(outcome);
        }
        if calls.seal || end.position - end.sealed() >= CHECKPOINT_EVERY {
            seal::seal(&mut self.conn, end, self.clock.now(), &self.key).await?;
        }
        sqlx::query("COMMIT").execute(&mut self.conn).await.map_err(run)?;
        Ok(outcomes)
    }

    async fn commit(
        &mut self,
        transition: &Transition,
        end: &mut End,
    ) -> Result<(Committed, Calls), Failed> {
        let intends = |(_, event): &(_, Event)| matches!(event, Event::EffectIntended { .. });
        if transition.events.iter().any(intends) {
            let free = free_bytes(&self.folder)?;
            if free < self.options.free_floor {
                return Err(Failed::from(LedgerError::DiskFull(format!(
                    "{free} bytes are free and {} are kept for what is under way",
                    self.options.free_floor
                ))));
            }
        }
        store::commit(&mut self.conn, transition, end).await
    }

    async fn renew(
        &mut self,
        fence: &Fence,
        expires_at: Millis,
    ) -> Result<LeaseStatus, LedgerError> {
        let renewing = |error| failed("renew a lease", error);
        let Ok(token) = token(fence.token) else { return Ok(LeaseStatus::Lost) };
        let held = sqlx::query(
            "UPDATE leases SET expires_at = ?5 \
             WHERE mission = ?1 AND n = ?2 AND item = ?3 AND token = ?4",
        )
        .bind(fence.step.mission.as_str())
        .bind(fence.step.n)
        .bind(fence.step.item)
        .bind(token)
        .bind(expires_at)
        .execute(&mut self.conn)
        .await
        .map_err(renewing)?;
        if held.rows_affected() == 0 {
            return Ok(LeaseStatus::Lost);
        }
        let body: Option<String> = sqlx::query_scalar("SELECT body FROM missions WHERE id = ?1")
            .bind(fence.step.mission.as_str())
            .fetch_optional(&mut self.conn)
            .await
            .map_err(renewing)?;
        let stopped = match body {
            None => false,
            Some(body) => {
                let mission: MissionRow = from_json("mission", &body)?;
                mission.cancelled || mission.stopped.is_some()
            }
        };
        Ok(if stopped { LeaseStatus::Cancelled } else { LeaseStatus::Held })
    }

    async fn note(
        &mut self,
        fence: &Fence,
        program: &Process,
        running: bool,
    ) -> Result<Result<Outcome, LedgerError>, LedgerError> {
        let noting = |error| failed("note a program", error);
        let void = || {
            let Fence { step, token } = fence;
            Ok(Err(LedgerError::Conflict(format!("the claim {token} on step {step} is void"))))
        };
        let Ok(token) = token(fence.token) else { return void() };
        let programs: Option<String> = sqlx::query_scalar(
            "SELECT programs FROM leases \
             WHERE mission = ?1 AND n = ?2 AND item = ?3 AND token = ?4",
        )
        .bind(fence.step.mission.as_str())
        .bind(fence.step.n)
        .bind(fence.step.item)
        .bind(token)
        .fetch_optional(&mut self.conn)
        .await
        .map_err(noting)?;
        let Some(programs) = programs else { return void() };
        let mut programs: Vec<Process> = from_json("list of programs", &programs)?;
        if let Err(error) = limits::note(&mut programs, program, running) {
            return Ok(Err(error));
        }
        sqlx::query("UPDATE leases SET programs = ?4 WHERE mission = ?1 AND n = ?2 AND item = ?3")
            .bind(fence.step.mission.as_str())
            .bind(fence.step.n)
            .bind(fence.step.item)
            .bind(to_json(&programs)?)
            .execute(&mut self.conn)
            .await
            .map_err(noting)?;
        Ok(Ok(Outcome::Nothing))
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
