//! The way to the Librarian: she works in the process that holds the data folder,
//! and every other process asks her there.

use async_trait::async_trait;
use charter::ids::TenantId;
use charter::ports::Ledger;
use ledger::household::{Household, Service};
use librarian::ask::{Refusal, Request, Response};
use librarian::{Ask, Librarian};
use std::sync::Arc;
use std::time::Duration;

/// Her name among the services of a household.
pub(crate) const SERVICE: &str = "memory";

/// Pause between two readings, so that many changes are read together.
const REST: Duration = Duration::from_secs(1);
/// How long nothing happens before she puts her index away, in milliseconds: it
/// takes memory, and is opened again in a moment.
const IDLE_MS: u64 = 30_000;

/// The Librarian as a service of the household.
pub(crate) struct Desk(pub(crate) Arc<Librarian>);

#[async_trait]
impl Service for Desk {
    async fn answer(&self, question: &[u8]) -> Vec<u8> {
        let answer = match serde_json::from_slice::<Request>(question) {
            Ok(request) => self.0.answer(request).await,
            Err(error) => Err(Refusal::Failed {
                message: format!("the Librarian does not understand the question: {error}"),
            }),
        };
        serde_json::to_vec(&answer).unwrap_or_default()
    }
}

/// Asks whoever holds the data folder.
pub(crate) struct Way(pub(crate) Arc<Household>);

#[async_trait]
impl Ask for Way {
    async fn ask(&self, request: Request) -> Result<Response, Refusal> {
        let failed = |message: String| Refusal::Failed { message };
        let question = serde_json::to_vec(&request).map_err(|error| failed(error.to_string()))?;
        let answer = self.0.ask(SERVICE, question).await;
        let answer = answer.map_err(|error| failed(error.to_string()))?;
        serde_json::from_slice::<Result<Response, Refusal>>(&answer)
            .map_err(|error| failed(format!("the answer cannot be understood: {error}")))?
    }
}

/// Lets her read what happens while this process holds the data folder. What
/// happened before is read with the first question.
pub(crate) async fn follow(household: Arc<Household>) {
    let way = Way(Arc::clone(&household));
    let mut known = household.changed(i64::MIN, 0).await.unwrap_or(i64::MIN);
    loop {
        let request = match household.changed(known, IDLE_MS).await {
            Ok(newest) if newest > known => {
                known = newest;
                tokio::time::sleep(REST).await;
                Request::CatchUp { tenant: TenantId::local() }
            }
            Ok(_) => Request::PutAway,
            Err(error) => {
                tracing::debug!(%error, "the Librarian waits for the ledger");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        if let Err(refusal) = way.ask(request).await {
            tracing::warn!(?refusal, "the Librarian could not read what happened");
        }
    }
}
