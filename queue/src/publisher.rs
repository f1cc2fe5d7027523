//! From the ledger to whoever follows events live.
//!
//! A publisher reads what is committed behind the newest event on the stream and puts
//! it there, while anybody listens. It is woken by commits, keeps nothing, and may be
//! one of several: the stream takes each event once.

use crate::backoff::backoff;
use crate::redis::{LENGTH, RedisEvents};
use charter::envelope::Envelope;
use charter::ids::TenantId;
use charter::ports::{DoorbellError, Entropy, Ledger, LedgerError, Query, Rows};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Events read at a time.
const PAGE: u32 = 500;
/// How often it asks whether anybody listens by now.
const ASK: Duration = Duration::from_millis(500);
/// Longest wait for a commit before it asks whether anybody still listens, in
/// milliseconds.
const WAIT_MS: u64 = 2_000;

/// A round that failed. The next one begins anew.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("could not read events")]
    Ledger(#[from] LedgerError),
    #[error("could not publish events")]
    Events(#[from] DoorbellError),
}

/// Publishes the events of one tenant.
pub struct Publisher {
    ledger: Arc<dyn Ledger>,
    events: RedisEvents,
    entropy: Arc<dyn Entropy>,
    tenant: TenantId,
}

impl Publisher {
    /// To these events, which nobody else uses.
    pub fn new(
        ledger: Arc<dyn Ledger>,
        events: RedisEvents,
        entropy: Arc<dyn Entropy>,
        tenant: TenantId,
    ) -> Self {
        Self { ledger, events, entropy, tenant }
    }

    /// Publishes until `shutdown` is true or its sender is gone.
    pub async fn run(&self, mut shutdown: watch::Receiver<bool>) {
        tokio::select! {
            () = self.publish() => {}
            () = crate::stopped(&mut shutdown) => {}
        }
    }

    async fn publish(&self) {
        let mut failures = 0_u32;
        loop {
            match self.follow(&mut failures).await {
                Ok(()) => tokio::time::sleep(ASK).await,
                Err(error) => {
                    failures = failures.saturating_add(1);
                    if failures.is_power_of_two() {
                        let cause = std::error::Error::source(&error).map(ToString::to_string);
                        tracing::warn!(%error, cause, failures, "events are not published; who follows them reads the ledger");
                    }
                    tokio::time::sleep(backoff(failures, self.entropy.next_u32())).await;
                }
            }
        }
    }

    /// Publishes for as long as anybody listens.
    async fn follow(&self, failures: &mut u32) -> Result<(), Failed> {
        if !self.events.is_heard().await? {
            return Ok(());
        }
        let told = self.events.newest().await?;
        let newest = self.ledger.changed(i64::MIN, 1).await?;
        if told.is_some_and(|told| told > newest) {
            tracing::warn!("the stream tells of events that the ledger does not have: removed");
            self.events.clear().await?;
        }
        let mut position = begin(told, newest);
        *failures = 0;
        while self.events.is_heard().await? {
            let newest = self.ledger.changed(position, WAIT_MS).await?;
            if newest <= position {
                continue;
            }
            let query = Query::Happened { after: position, kinds: Vec::new(), limit: PAGE };
            let Rows::Events(rows) = self.ledger.query(&self.tenant, query).await? else {
                return Ok(());
            };
            let full = rows.len() >= PAGE as usize;
            let last = rows.last().map(|row| row.position);
            let envelopes: Vec<Envelope> =
                rows.into_iter().map(|row| Envelope::new(&self.tenant, row)).collect();
            self.events.publish(&envelopes).await?;
            position = match last {
                Some(last) if full => last,
                // What lies between is other tenants'.
                last => last.unwrap_or(newest).max(newest),
            };
        }
        Ok(())
    }
}

/// Behind which position to begin: where the stream ends, unless that is nowhere, not
/// true, or so long ago that it would be trimmed at once.
fn begin(told: Option<i64>, newest: i64) -> i64 {
    let longest = i64::try_from(LENGTH).unwrap_or(i64::MAX);
    match told.filter(|told| *told <= newest) {
        Some(told) => told.max(newest.saturating_sub(longest)),
        None => newest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(told: Option<i64>, newest: i64, expected: i64) {
        assert_eq!(begin(told, newest), expected);
    }

    #[test]
    fn it_goes_on_where_the_stream_ends() {
        check(Some(7), 9, 7);
        check(Some(9), 9, 9);
        check(None, 9, 9);
    }

    #[test]
    fn what_cannot_be_true_or_would_be_trimmed_is_passed_over() {
        check(Some(10), 9, 9);
        check(Some(7), 50_000, 40_000);
    }
}
