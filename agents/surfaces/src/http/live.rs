//! What happens, event by event, without a gap and without a double.
//!
//! Events come from a live stream where there is one, else from the ledger. A stream
//! may be late, lack events, be flushed, or be dead: positions have no gaps, so that is
//! noticed, and the ledger fills it in.

use charter::envelope::Envelope;
use charter::ids::TenantId;
use charter::ports::{Ledger, LedgerError, Live, Query, Rows};
use std::sync::Arc;
use std::time::Duration;

/// Events read from the ledger at a time.
const PAGE: u32 = 500;
/// Longest wait for an event, in milliseconds.
const WAIT_MS: u64 = 10_000;
/// How long this process may hear of a commit later than a stream, in milliseconds. The
/// stream answers at once as long as it is ahead: without a rest it would be asked again
/// and again.
const BEHIND_MS: u64 = 50;
/// How long a stream may be behind the ledger before the ledger is read instead.
const GRACE: Duration = Duration::from_millis(50);
/// How long a stream that failed is left alone; commits still wake the reader.
const LEFT_ALONE: Duration = Duration::from_millis(500);

/// Where events come from.
pub(super) struct Source {
    ledger: Arc<dyn Ledger>,
    live: Option<Arc<dyn Live>>,
    tenant: TenantId,
}

impl Source {
    /// Of one tenant.
    pub(super) fn new(
        ledger: Arc<dyn Ledger>,
        live: Option<Arc<dyn Live>>,
        tenant: TenantId,
    ) -> Self {
        Self { ledger, live, tenant }
    }

    /// The newest position.
    pub(super) async fn newest(&self) -> Result<i64, LedgerError> {
        self.ledger.changed(i64::MIN, 1).await
    }

    /// All events behind `after` that there are by now, or as soon as there is one, in
    /// order, and the position up to which these are all.
    pub(super) async fn next(&self, after: i64) -> Result<(Vec<Envelope>, i64), LedgerError> {
        if let Some(live) = &self.live {
            let mut told = tokio::select! {
                told = live.next(after, WAIT_MS) => match told {
                    Ok(told) => told,
                    Err(error) => {
                        tracing::debug!(%error, "events are read from the ledger");
                        let waiting = self.ledger.changed(after, WAIT_MS);
                        let _ = tokio::time::timeout(LEFT_ALONE, waiting).await;
                        Vec::new()
                    }
                },
                late = self.is_late(after) => {
                    late?;
                    Vec::new()
                }
            };
            told.truncate(unbroken(after, &told));
            told.retain(|event| event.tenant_id == self.tenant);
            if let Some(last) = told.last() {
                let position = last.recorded.position;
                return Ok((told, position));
            }
        }
        let wait_ms = if self.live.is_some() { BEHIND_MS } else { WAIT_MS };
        let newest = self.ledger.changed(after, wait_ms).await?;
        if newest <= after {
            return Ok((Vec::new(), after));
        }
        let query = Query::Happened { after, kinds: Vec::new(), limit: PAGE };
        let Rows::Events(rows) = self.ledger.query(&self.tenant, query).await? else {
            return Ok((Vec::new(), after));
        };
        let last = rows.last().map_or(after, |row| row.position);
        // What is not on a page that is not full is other tenants'.
        let position = if rows.len() >= PAGE as usize { last } else { newest.max(last) };
        let events = rows.into_iter().map(|row| Envelope::new(&self.tenant, row)).collect();
        Ok((events, position))
    }

    /// Returns when the ledger has something that the stream should have told by now.
    async fn is_late(&self, after: i64) -> Result<(), LedgerError> {
        // Where the stream is quick, the ledger is not even asked.
        tokio::time::sleep(GRACE).await;
        while self.ledger.changed(after, WAIT_MS).await? <= after {}
        tokio::time::sleep(GRACE).await;
        Ok(())
    }
}

/// How many of the first events follow `after` and each other without a gap.
fn unbroken(after: i64, told: &[Envelope]) -> usize {
    let expected = (1..).map(|step| after.saturating_add(step));
    told.iter().zip(expected).take_while(|(event, at)| event.recorded.position == *at).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use charter::event::{Event, Recorded};
    use charter::ids::{MissionId, StreamId};

    fn event(position: i64) -> Envelope {
        let mission: MissionId = "m-0000000000000001".parse().unwrap();
        let recorded = Recorded {
            position,
            stream: StreamId::mission(&mission),
            seq: 1,
            at: 0,
            transition: "t-0000000000000000".parse().unwrap(),
            event: Event::MissionCancelled { mission, by: "me".into(), steps: Vec::new() },
        };
        Envelope::new(&TenantId::local(), recorded)
    }

    fn check(after: i64, told: &[i64], expected: usize) {
        let told: Vec<_> = told.iter().map(|position| event(*position)).collect();
        assert_eq!(unbroken(after, &told), expected);
    }

    #[test]
    fn only_what_follows_without_a_gap_counts() {
        check(4, &[], 0);
        check(4, &[5, 6, 7], 3);
        check(4, &[5, 7, 8], 1);
        check(4, &[6, 7], 0);
        check(4, &[4, 5], 0);
        check(0, &[1], 1);
    }
}
