//! The one writer of a process. Whatever waits when it is free goes into one
//! transaction and is answered when that is on disk: the cost of the disk is
//! shared.

use super::work::{Answers, Ask, Outcome};
use crate::chain::Checkpoint;
use async_trait::async_trait;
use charter::ports::{Committed, LedgerError, Transition};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

/// Most jobs in one transaction.
const BATCH_MAX: usize = 128;
/// Commits that may wait for the writer; more wait in front of the queue.
const WAITING_MAX: usize = 1_024;
/// Longest time that [`Desk::changed`] waits.
const WAIT_MAX: Duration = Duration::from_secs(3_600);

/// A question with the way back.
pub(crate) struct Job {
    ask: Ask,
    reply: oneshot::Sender<Result<Outcome, LedgerError>>,
}

/// Why a transaction was not carried out.
pub(crate) struct Fault {
    pub(crate) error: LedgerError,
    /// One of many may be at fault: worth trying each by itself.
    pub(crate) alone: bool,
}

/// What differs between databases: how a transaction begins and ends.
#[async_trait]
pub(crate) trait Backend: Send + 'static {
    /// Waits until it may write. What is asked meanwhile goes into the same transaction.
    async fn turn(&mut self);

    /// Answers all questions in one transaction, on disk before it returns.
    async fn transact(&mut self, asks: &[&Ask]) -> Result<Answers, Fault>;

    /// Position of the newest event that it knows of.
    fn position(&self) -> i64;

    /// Whether events wait for a checkpoint.
    fn is_unsealed(&self) -> bool;

    /// When it wants to tidy up.
    fn chore_at(&self) -> Option<Instant>;

    /// Tidies up.
    async fn chore(&mut self);

    /// Ends in order.
    async fn close(self) -> Result<(), LedgerError>;
}

/// Where a ledger hands in what is asked of its writer.
#[derive(Debug)]
pub(crate) struct Desk {
    jobs: mpsc::Sender<Job>,
    /// Renewals and the like pass the commits.
    urgent: mpsc::Sender<Job>,
    position: watch::Receiver<i64>,
}

impl Desk {
    /// Starts the writer. Whoever else learns of newer positions says so to `moved`.
    pub(crate) fn open(backend: impl Backend, moved: watch::Sender<i64>) -> Self {
        let (jobs, jobs_in) = mpsc::channel(WAITING_MAX);
        let (urgent, urgent_in) = mpsc::channel(WAITING_MAX);
        let position = moved.subscribe();
        rise(&moved, backend.position());
        tokio::spawn(run(backend, jobs_in, urgent_in, moved));
        Self { jobs, urgent, position }
    }

    pub(crate) async fn commit(&self, transition: Transition) -> Result<Committed, LedgerError> {
        match ask(&self.jobs, Ask::Commit(Box::new(transition))).await? {
            Outcome::Committed(committed) => Ok(committed),
            other => Err(other.unexpected()),
        }
    }

    /// Asks in front of the commits.
    pub(crate) async fn urgently(&self, question: Ask) -> Result<Outcome, LedgerError> {
        ask(&self.urgent, question).await
    }

    pub(crate) async fn outbox_done(&self, ids: &[i64]) -> Result<(), LedgerError> {
        ask(&self.jobs, Ask::OutboxDone(ids.to_vec())).await.map(|_| ())
    }

    pub(crate) async fn checkpoint(&self) -> Result<Option<Checkpoint>, LedgerError> {
        match ask(&self.jobs, Ask::Checkpoint).await? {
            Outcome::Checkpoint(checkpoint) => Ok(checkpoint),
            other => Err(other.unexpected()),
        }
    }

    /// Finishes what was asked before and ends the writer.
    pub(crate) async fn close(&self) -> Result<(), LedgerError> {
        ask(&self.jobs, Ask::Close).await.map(|_| ())
    }

    pub(crate) async fn changed(&self, after: i64, wait_ms: u64) -> i64 {
        let mut position = self.position.clone();
        let wait = Duration::from_millis(wait_ms).min(WAIT_MAX);
        // Whether it moved, the time ran out or the ledger was closed: the newest
        // position is the answer.
        let _ = tokio::time::timeout(wait, position.wait_for(|newest| *newest > after)).await;
        *position.borrow()
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

/// Tells everybody who waits of a newer position. It never goes back.
pub(crate) fn rise(moved: &watch::Sender<i64>, newest: i64) {
    moved.send_if_modified(|position| {
        let higher = newest > *position;
        *position = newest.max(*position);
        higher
    });
}

/// Works until somebody closes the ledger or nobody holds it any more.
async fn run(
    mut backend: impl Backend,
    mut jobs: mpsc::Receiver<Job>,
    mut urgent: mpsc::Receiver<Job>,
    moved: watch::Sender<i64>,
) {
    let mut closing = None;
    while closing.is_none() {
        if backend.chore_at().is_some_and(|at| at <= Instant::now()) {
            backend.chore().await;
        }
        let chore = backend.chore_at();
        let first = tokio::select! {
            biased;
            Some(job) = urgent.recv() => job,
            Some(job) = jobs.recv() => job,
            () = sleep_until(chore.unwrap_or_else(Instant::now)), if chore.is_some() => {
                match jobs.is_closed() {
                    true => break,
                    false => continue,
                }
            }
            else => break,
        };
        if !matches!(first.ask, Ask::Close) {
            backend.turn().await;
        }
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
        work(&mut backend, batch, &moved).await;
    }
    // Closed channels answer everybody who comes later.
    drop((jobs, urgent));
    let sealed = match backend.is_unsealed() {
        true => backend.transact(&[&Ask::Checkpoint]).await.map(|_| ()).map_err(|f| f.error),
        false => Ok(()),
    };
    let closed = backend.close().await;
    if let Some(reply) = closing {
        let _ = reply.send(sealed.and(closed).map(|()| Outcome::Nothing));
    }
}

/// All jobs in one transaction; after a failure each in its own, so that one that
/// cannot be written does not take the others with it.
async fn work(backend: &mut impl Backend, batch: Vec<Job>, moved: &watch::Sender<i64>) {
    if batch.is_empty() {
        return;
    }
    let (asks, replies): (Vec<_>, Vec<_>) =
        batch.into_iter().map(|job| (job.ask, job.reply)).unzip();
    let all: Vec<_> = asks.iter().collect();
    let answers = match backend.transact(&all).await {
        Ok(answers) => answers,
        Err(Fault { alone: true, .. }) if asks.len() > 1 => {
            let mut answers = Vec::with_capacity(asks.len());
            for ask in &asks {
                let alone = backend.transact(&[ask]).await.map_err(|fault| fault.error);
                answers.push(alone.and_then(|mut answers| match answers.pop() {
                    Some(answer) => answer,
                    None => Ok(Outcome::Nothing),
                }));
            }
            answers
        }
        Err(Fault { error, .. }) => asks.iter().map(|_| Err(error.clone())).collect(),
    };
    if backend.chore_at().is_some_and(|at| at <= Instant::now()) {
        backend.chore().await;
    }
    rise(moved, backend.position());
    for (reply, answer) in replies.into_iter().zip(answers) {
        // Who asked may have gone; the answer stands in the ledger.
        let _ = reply.send(answer);
    }
}
