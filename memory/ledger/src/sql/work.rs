//! What a writer is asked, and how it is answered inside a transaction.

use super::batch::{Batch, Calls};
use super::seal::{self, End};
use super::{Arg, Sql, fixed, leaders, leases};
use crate::chain::Checkpoint;
use crate::sql::tables::to_json;
use charter::ids::Millis;
use charter::leader::{Bid, LeaderRow};
use charter::ports::{Clock, Committed, Fence, LeaseStatus, LedgerError, Transition};
use charter::tool::Process;
use ed25519_dalek::SigningKey;
use std::sync::Arc;

/// Events after which a checkpoint is made, whether or not a mission ended.
pub(crate) const CHECKPOINT_EVERY: i64 = 1_000;

/// What is asked of a writer.
pub(crate) enum Ask {
    Commit(Box<Transition>),
    Renew(Fence, Millis),
    Note(Fence, Process, bool),
    Lead(Bid),
    OutboxDone(Vec<i64>),
    Checkpoint,
    Close,
}

impl Ask {
    pub(crate) fn operation(&self) -> &'static str {
        match self {
            Self::Commit(_) => "commit a change",
            Self::Renew(..) => "renew a lease",
            Self::Note(..) => "note a program",
            Self::Lead(_) => "ask for the office of the leader",
            Self::OutboxDone(_) => "clear the outbox",
            Self::Checkpoint => "write a checkpoint",
            Self::Close => "close",
        }
    }
}

/// What comes of it.
pub(crate) enum Outcome {
    Committed(Committed),
    Lease(LeaseStatus),
    Leader(LeaderRow),
    Checkpoint(Option<Checkpoint>),
    Nothing,
}

impl Outcome {
    /// An answer of another kind than the question.
    pub(crate) fn unexpected(&self) -> LedgerError {
        LedgerError::Store {
            operation: "answer".to_owned(),
            cause: "the writer answered another question".to_owned(),
        }
    }
}

/// Answers in order of the questions; each may be a refusal.
pub(crate) type Answers = Vec<Result<Outcome, LedgerError>>;

/// Signs and dates checkpoints.
#[derive(Clone)]
pub(crate) struct Notary {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) key: SigningKey,
}

/// Answers everything, between the beginning of a transaction and its end. After
/// an error the transaction has to go. `admit` refuses what must not even be tried.
///
/// All of it was asked at the same time, so its order is free: transitions come
/// together, behind what touches single rows.
pub(crate) async fn answer(
    conn: &mut dyn Sql,
    asks: &[&Ask],
    end: &mut End,
    notary: &Notary,
    admit: &(dyn Fn(&Transition) -> Result<(), LedgerError> + Sync),
) -> Result<(Answers, Calls), LedgerError> {
    let mut answers: Vec<Option<Result<Outcome, LedgerError>>> = Vec::new();
    let mut transitions = Vec::new();
    for ask in asks {
        answers.push(match ask {
            Ask::Commit(transition) => match admit(transition) {
                Ok(()) => {
                    transitions.push(&**transition);
                    None
                }
                Err(refusal) => Some(Err(refusal)),
            },
            Ask::Renew(fence, expires_at) => {
                Some(Ok(Outcome::Lease(leases::renew(conn, fence, *expires_at).await?)))
            }
            Ask::Note(fence, program, running) => {
                let noted = leases::note(conn, fence, program, *running).await?;
                Some(noted.map(|()| Outcome::Nothing))
            }
            Ask::Lead(bid) => Some(Ok(Outcome::Leader(leaders::lead(conn, bid).await?))),
            Ask::OutboxDone(ids) => {
                let ids = to_json(&ids.iter().map(|id| [id]).collect::<Vec<_>>())?;
                let sql = fixed(
                    "DELETE FROM outbox WHERE id IN \
                     (SELECT CAST(value->>0 AS BIGINT) FROM json_each($1))",
                );
                conn.run("clear the outbox", sql, vec![Arg::Text(ids)]).await?;
                Some(Ok(Outcome::Nothing))
            }
            Ask::Checkpoint | Ask::Close => Some(Ok(Outcome::Nothing)),
        });
    }
    let calls = commit(conn, &transitions, &mut answers, end).await?;
    if calls.seal || end.position - end.sealed >= CHECKPOINT_EVERY {
        seal::seal(conn, end, notary.clock.now(), &notary.key).await?;
    }
    for (ask, answer) in asks.iter().zip(&mut answers) {
        if let Ask::Checkpoint = ask {
            seal::seal(conn, end, notary.clock.now(), &notary.key).await?;
            *answer = Some(Ok(Outcome::Checkpoint(seal::newest(conn).await?)));
        }
    }
    let answered = |answer: Option<_>| answer.unwrap_or(Ok(Outcome::Nothing));
    Ok((answers.into_iter().map(answered).collect(), calls))
}

/// Commits the transitions, whose answers are those that are still open.
async fn commit(
    conn: &mut dyn Sql,
    transitions: &[&Transition],
    answers: &mut [Option<Result<Outcome, LedgerError>>],
    end: &mut End,
) -> Result<Calls, LedgerError> {
    if transitions.is_empty() {
        return Ok(Calls::default());
    }
    let mut batch = Batch::load(conn, transitions, end).await?;
    let open = answers.iter_mut().filter(|answer| answer.is_none());
    for (transition, answer) in transitions.iter().zip(open) {
        let committed = batch.commit(conn, transition).await?;
        *answer = Some(committed.map(Outcome::Committed));
    }
    batch.write(conn, end).await
}
