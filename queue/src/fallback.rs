//! Takes steps off the record itself while the queue is away.
//!
//! The queue is only a bell, and the record knows which steps are ready: where the
//! bell is dead, workers look for themselves. Each process reads a bounded list at
//! bounded intervals and hands its steps out in an order of its own, so that
//! processes seldom reach for the same one; where they do, the claim in the ledger
//! lets one of them have it.

use crate::redis::RedisQueue;
use crate::{Line, Queue};
use async_trait::async_trait;
use charter::flow::Lane;
use charter::ids::{Millis, StepKey, TenantId};
use charter::ports::{
    Clock, Doorbell, DoorbellError, Entropy, Ledger, LedgerError, OutboxRow, Query, Ring, Rows,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Mutex;

/// Steps of each flow that one look at the record finds.
const FOUND: u32 = 64;
/// Time between two looks, in milliseconds.
const LOOK_MS: Millis = 200;
/// For how long a step that was handed out is not handed out again, in milliseconds:
/// it was claimed, or cannot be.
const REST_MS: Millis = 2_000;

/// What one process knows of the record.
#[derive(Default)]
struct Known {
    looked_at: Option<Millis>,
    found: BTreeMap<Lane, Vec<OutboxRow>>,
    /// Steps that were handed out, and when. As many as are found in the time that
    /// they rest.
    out: BTreeMap<StepKey, Millis>,
}

impl Known {
    /// Whether to look again for this lane.
    fn is_stale(&self, lane: Lane, now: Millis) -> bool {
        let is_empty = self.found.get(&lane).is_none_or(Vec::is_empty);
        // A clock that was set back must not hold up anything.
        let rested = self.looked_at.is_none_or(|at| !(at..at + LOOK_MS).contains(&now));
        is_empty && rested
    }

    fn learn(&mut self, rows: Vec<OutboxRow>, now: Millis) {
        self.looked_at = Some(now);
        self.out.retain(|_, at| (*at..*at + REST_MS).contains(&now));
        self.found.clear();
        for row in rows.into_iter().filter(|row| !self.out.contains_key(&row.step)) {
            self.found.entry(row.lane).or_default().push(row);
        }
    }

    /// Any one of those found, so that processes do not reach for the same one.
    fn hand_out(&mut self, lane: Lane, now: Millis, drawn: u32) -> Option<Ring> {
        let found = self.found.get_mut(&lane)?;
        if found.is_empty() {
            return None;
        }
        let OutboxRow { tenant, step, lane, .. } = found.swap_remove(drawn as usize % found.len());
        self.out.insert(step.clone(), now);
        Some(Ring { tenant, step, lane, rank: 0 })
    }
}

/// A queue on a Redis, with the record in its place while it is away.
pub struct Fallback {
    queue: Arc<RedisQueue>,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    known: Mutex<Known>,
}

impl Fallback {
    /// For the workers of one process.
    pub fn new(
        queue: Arc<RedisQueue>,
        ledger: Arc<dyn Ledger>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { queue, ledger, clock, entropy, known: Mutex::default() }
    }

    async fn take_from_record(&self, lane: Lane) -> Result<Option<Ring>, LedgerError> {
        let now = self.clock.now();
        let mut known = self.known.lock().await;
        if known.is_stale(lane, now) {
            let query = Query::ReadyByFlow { now, limit: FOUND };
            match self.ledger.query(&TenantId::local(), query).await? {
                Rows::Outbox(rows) => known.learn(rows, now),
                _ => {
                    let what = "the answer holds something else than ready steps";
                    return Err(LedgerError::Damaged(what.to_owned()));
                }
            }
        }
        Ok(known.hand_out(lane, now, self.entropy.next_u32()))
    }
}

#[async_trait]
impl Doorbell for Fallback {
    /// What cannot be rung stays in the outbox.
    async fn ring(&self, rings: &[Ring]) -> Result<(), DoorbellError> {
        self.queue.ring(rings).await
    }
}

#[async_trait]
impl Queue for Fallback {
    async fn line(&self, lane: Lane) -> Result<Line, DoorbellError> {
        self.queue.line(lane).await
    }

    async fn take(&self, lane: Lane) -> Result<Option<Ring>, DoorbellError> {
        if self.queue.health().is_closed() {
            match self.queue.take(lane).await {
                Err(_) if !self.queue.health().is_closed() => {}
                taken => return taken,
            }
        }
        self.queue.knock();
        self.take_from_record(lane).await.map_err(|error| DoorbellError {
            operation: "take a step off the record in the place of the queue".to_owned(),
            cause: error.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{row, step};
    use charter::flow::Priority::Normal;

    fn rows(count: u32) -> Vec<OutboxRow> {
        (1..=count).map(|n| row("local", Normal, n)).collect()
    }

    #[test]
    fn each_step_is_handed_out_once_and_again_after_its_rest() {
        let mut known = Known::default();
        assert!(known.is_stale(Lane::Light, 0));
        known.learn(rows(3), 0);
        let mut out: Vec<_> =
            (0..4).filter_map(|n| known.hand_out(Lane::Light, 0, 7 * n)).map(|r| r.step).collect();
        out.sort();
        assert_eq!(out, [step(1), step(2), step(3)]);
        known.learn(rows(4), LOOK_MS);
        let next = known.hand_out(Lane::Light, LOOK_MS, 0).map(|ring| ring.step);
        assert_eq!(next, Some(step(4)), "the others rest");
        known.learn(rows(1), REST_MS);
        assert!(known.hand_out(Lane::Light, REST_MS, 0).is_some());
    }

    #[test]
    fn the_record_is_looked_at_at_intervals_and_only_when_nothing_is_known() {
        let mut known = Known::default();
        known.learn(rows(1), 1_000);
        assert!(!known.is_stale(Lane::Light, 9_000), "there is one");
        assert!(!known.is_stale(Lane::Exec, 1_000 + LOOK_MS - 1));
        assert!(known.is_stale(Lane::Exec, 1_000 + LOOK_MS));
        assert!(known.is_stale(Lane::Exec, 500), "the clock was set back");
    }

    #[test]
    fn a_lane_gets_its_own_steps() {
        let mut known = Known::default();
        known.learn(vec![OutboxRow { lane: Lane::Exec, ..row("other", Normal, 1) }], 0);
        assert_eq!(known.hand_out(Lane::Light, 0, 1), None);
        let ring = known.hand_out(Lane::Exec, 0, 1).unwrap();
        assert_eq!((ring.tenant.0.as_str(), ring.lane), ("other", Lane::Exec));
    }
}
