//! The ledger as its leader uses it.

use async_trait::async_trait;
use charter::ids::{Millis, TenantId};
use charter::leader::{Bid, LeaderRow};
use charter::ports::{Committed, Fence, LeaseStatus, Ledger, LedgerError, Query, Rows, Transition};
use charter::tool::Process;
use std::sync::Arc;

/// A ledger on which every commit names the term of the leader: what is committed
/// through it is refused from the moment on at which another leads.
pub struct Led {
    ledger: Arc<dyn Ledger>,
    term: u64,
}

impl Led {
    /// The ledger for the leader of this term.
    pub fn new(ledger: Arc<dyn Ledger>, term: u64) -> Self {
        Self { ledger, term }
    }
}

#[async_trait]
impl Ledger for Led {
    async fn commit(&self, transition: Transition) -> Result<Committed, LedgerError> {
        self.ledger.commit(Transition { term: Some(self.term), ..transition }).await
    }

    async fn query(&self, tenant: &TenantId, query: Query) -> Result<Rows, LedgerError> {
        self.ledger.query(tenant, query).await
    }

    async fn renew(&self, fence: &Fence, expires_at: Millis) -> Result<LeaseStatus, LedgerError> {
        self.ledger.renew(fence, expires_at).await
    }

    async fn note_program(
        &self,
        fence: &Fence,
        program: &Process,
        running: bool,
    ) -> Result<(), LedgerError> {
        self.ledger.note_program(fence, program, running).await
    }

    async fn lead(&self, bid: &Bid) -> Result<LeaderRow, LedgerError> {
        self.ledger.lead(bid).await
    }

    async fn outbox_done(&self, ids: &[i64]) -> Result<(), LedgerError> {
        self.ledger.outbox_done(ids).await
    }

    async fn changed(&self, after: i64, wait_ms: u64) -> Result<i64, LedgerError> {
        self.ledger.changed(after, wait_ms).await
    }
}
