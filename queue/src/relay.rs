//! The only bridge from the ledger to the queue.
//!
//! The relay moves due outbox rows to the queue and takes them off the outbox
//! once the queue has them. It keeps a bounded window of steps in each lane of the
//! queue, in the order of [`crate::fair`]; the ledger holds the rest. Every few seconds, and when it starts, it sweeps: what
//! is ready in the ledger and due is rung again, which fills a queue that was
//! lost and repeats a ring whose worker died. Ringing what still waits changes
//! nothing, so a sweep needs to know nothing of the queue, and several relays at
//! a time do no harm: each sees the depth for itself, so together they may fill
//! the window once each.
//!
//! A commit wakes it at once through [`Ledger::changed`]; nothing is found by
//! polling faster. How it fares can be read at any time ([`Relay::status`]).

use crate::backoff::{LONGEST, backoff};
use crate::fair::{Fair, Weights};
use crate::pace::{BATCH, Round, SWEEP, Wait, next_batch, room, share, wait};
use crate::{Line, Queue};
use charter::flow::Lane;
use charter::ids::{Millis, StepKey, TenantId};
use charter::ports::{
    Clock, DoorbellError, Entropy, Ledger, LedgerError, OutboxRow, Query, Ring, Rows,
};
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How the relay fares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RelayStatus {
    /// For how long due rows have stood in the outbox, in milliseconds; 0 when the
    /// queue has them all.
    pub lag_ms: u64,
    /// Steps in each lane of the queue when it last looked.
    pub waiting: BTreeMap<Lane, u64>,
    /// Steps ready in the ledger at the last sweep; of each flow, 1,000 stands for as
    /// many or more.
    pub ready: u64,
    /// Rounds in a row that failed.
    pub failures: u32,
    /// Why the last one did that failed, also after it has passed.
    pub last_error: Option<String>,
}

/// A round that failed. The next one tries again.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The ledger did not answer.
    #[error("the relay could not read the outbox")]
    Ledger(#[from] LedgerError),
    /// The queue did not take the steps.
    #[error("the relay could not reach the queue")]
    Queue(#[from] DoorbellError),
    /// The ledger answered something else.
    #[error("the relay asked for {0} and was answered something else")]
    Answer(&'static str),
}

/// Moves ready steps from the ledger to the queue. Runs in the leader alone.
pub struct Relay {
    ledger: Arc<dyn Ledger>,
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    announce: Arc<dyn Fn() + Send + Sync>,
    weights: Weights,
    lines: Mutex<BTreeMap<Lane, Fair>>,
    status: watch::Sender<RelayStatus>,
}

/// What the relay remembers from one round to the next.
struct Run {
    batch: u32,
    /// Flows that had rows when it last looked.
    flows: usize,
    swept: Option<Instant>,
    /// Since when due rows have stood in the outbox.
    behind: Option<Instant>,
}

impl Relay {
    /// A relay that calls `announce` each time after it put steps on the queue,
    /// so that consumers in every process look at once. A queue with a bell of its
    /// own needs none.
    pub fn new(
        ledger: Arc<dyn Ledger>,
        queue: Arc<dyn Queue>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        announce: Arc<dyn Fn() + Send + Sync>,
    ) -> Self {
        let (weights, lines) = (Weights::default(), Mutex::default());
        let status = watch::Sender::default();
        Self { ledger, queue, clock, entropy, announce, weights, lines, status }
    }

    /// The same with weights of tenants.
    pub fn weights(self, weights: Weights) -> Self {
        Self { weights, ..self }
    }

    /// How it fares, now and from now on.
    pub fn status(&self) -> watch::Receiver<RelayStatus> {
        self.status.subscribe()
    }

    /// Relays until `shutdown` is true or its sender is gone.
    pub async fn run(&self, mut shutdown: watch::Receiver<bool>) {
        tokio::select! {
            () = self.relay() => {}
            () = crate::stopped(&mut shutdown) => {}
        }
    }

    async fn relay(&self) {
        let (mut position, mut failures) = (i64::MIN, 0_u32);
        let mut run = Run { batch: BATCH, flows: 1, swept: None, behind: None };
        loop {
            let turn = self.turn(&mut run).await;
            if turn.is_err() && run.behind.is_none() && self.has_due().await {
                run.behind = Some(Instant::now());
            }
            let lag = run.behind.map_or(0, |since| millis(since.elapsed()));
            self.tell(|status| status.lag_ms = lag);
            match turn {
                Ok(wait) => {
                    failures = 0;
                    self.tell(|status| status.failures = 0);
                    self.wait(wait, &mut position).await;
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    self.note(failures, &error);
                    tokio::time::sleep(backoff(failures, self.entropy.next_u32())).await;
                }
            }
        }
    }

    /// Whether rows are due that no round could get at. A ledger that does not answer
    /// cannot tell.
    async fn has_due(&self) -> bool {
        let query = Query::Outbox { now: self.clock.now(), limit: 1 };
        self.ask(query, "the outbox").await.is_ok_and(|rows| !rows.is_empty())
    }

    /// Wakes those who follow its status only if it changes.
    fn tell(&self, change: impl FnOnce(&mut RelayStatus)) {
        self.status.send_if_modified(|status| {
            let before = status.clone();
            change(status);
            *status != before
        });
    }

    async fn wait(&self, wait: Wait, position: &mut i64) {
        match wait {
            Wait::Nothing => tokio::task::yield_now().await,
            Wait::Room(pause) => tokio::time::sleep(pause).await,
            Wait::Commit(pause) => match self.ledger.changed(*position, millis(pause)).await {
                Ok(newest) => *position = newest.max(*position),
                Err(error) => {
                    tracing::debug!(%error, "the relay cannot wait for the ledger");
                    tokio::time::sleep(pause.min(LONGEST)).await;
                }
            },
        }
    }

    fn note(&self, failures: u32, error: &RelayError) {
        let cause = std::error::Error::source(error).map(ToString::to_string);
        if failures.is_power_of_two() {
            tracing::warn!(%error, cause, failures, "the relay stumbled; trying again");
        }
        self.status.send_modify(|status| {
            status.failures = failures;
            status.last_error = Some(match cause {
                Some(cause) => format!("{error}: {cause}"),
                None => error.to_string(),
            });
        });
    }

    /// One sweep if it is time, one round over the outbox, and what to wait for.
    async fn turn(&self, run: &mut Run) -> Result<Wait, RelayError> {
        if run.swept.is_none_or(|at| at.elapsed() >= SWEEP) {
            self.sweep_flows(run.flows).await?;
            run.swept = Some(Instant::now());
        }
        let round = self.round(run).await?;
        run.batch = next_batch(round);
        run.flows = round.flows.max(1);
        Ok(wait(round, run.swept.map_or(Duration::ZERO, |at| at.elapsed())))
    }

    /// Rings again what is ready in the ledger, due and off the outbox, until each
    /// lane is full: all of it in one go, so that a queue which was lost is back after
    /// one sweep. Returns how many steps were named to the queue.
    pub async fn sweep(&self) -> Result<usize, RelayError> {
        self.sweep_flows(1).await
    }

    async fn sweep_flows(&self, flows: usize) -> Result<usize, RelayError> {
        let mut open = Vec::new();
        for lane in Lane::ALL {
            let line = self.look(lane).await?;
            if room(line.waiting) > 0 {
                open.push((lane, line));
            }
        }
        if open.is_empty() {
            return Ok(0);
        }
        let (now, limit) = (self.clock.now(), share(flows));
        // What the outbox still has is rung from there. Asked first: a row that
        // leaves it meanwhile is rung twice rather than not at all.
        let outbox = self.ask(Query::Outbox { now, limit }, "the outbox").await?;
        let ready = self.ask(Query::ReadyByFlow { now, limit }, "ready steps").await?;
        self.tell(|status| status.ready = ready.len() as u64);
        let pending: HashSet<StepKey> = outbox.into_iter().map(|row| row.step).collect();
        let mut named = 0;
        for (lane, line) in open {
            let lost = |row: &&OutboxRow| row.lane == lane && !pending.contains(&row.step);
            let rows: Vec<OutboxRow> = ready.iter().filter(lost).cloned().collect();
            named += self.sweep_lane(lane, line, rows).await?;
        }
        Ok(named)
    }

    /// What still waits keeps its place, so that its flow had its turn already:
    /// nothing of this is held against it.
    async fn sweep_lane(
        &self,
        lane: Lane,
        line: Line,
        rows: Vec<OutboxRow>,
    ) -> Result<usize, RelayError> {
        let mut fair = self.fair(lane, |fair| {
            fair.look(line.head);
            fair.afresh()
        });
        let count = rows.len();
        let mut rest = fair.pick(rows, count, &self.weights);
        let (mut free, mut named) = (room(line.waiting), 0);
        // Each pass names at least one step; those that still wait take no room.
        while free > 0 && !rest.is_empty() {
            let later = rest.split_off(rest.len().min(free as usize));
            named += rest.len();
            self.ring(rest).await?;
            rest = later;
            free = room(self.look(lane).await?.waiting);
        }
        Ok(named)
    }

    async fn round(&self, run: &mut Run) -> Result<Round, RelayError> {
        let now = self.clock.now();
        let asked = run.batch;
        let rows = self.ask(Query::Outbox { now, limit: asked }, "the outbox").await?;
        let mut counts: BTreeMap<_, u32> = BTreeMap::new();
        rows.iter().for_each(|row| *counts.entry(row.flow()).or_default() += 1);
        let more = counts.values().any(|count| *count >= asked);
        let mut round = Round { asked, flows: counts.len(), more, ..Round::default() };
        if rows.is_empty() {
            run.behind = None;
        } else {
            run.behind.get_or_insert_with(Instant::now);
            let due = rows.len();
            let picked = self.places(rows, &mut round).await?;
            let ids: Vec<i64> = picked.iter().map(|(row, _)| row.id).collect();
            self.ring(picked).await?;
            if !ids.is_empty() {
                self.ledger.outbox_done(&ids).await?;
            }
            round.moved = ids.len();
            if round.moved == due && !more {
                run.behind = None;
            }
        }
        let next = self.ledger.query(&TenantId::local(), Query::OutboxNext { now }).await?;
        let Rows::When(next) = next else {
            return Err(RelayError::Answer("the next outbox row"));
        };
        Ok(Round { next_due: next.map(|at| until(now, at)), ..round })
    }

    /// Places for as many of the rows as the lanes have room for.
    async fn places(
        &self,
        rows: Vec<OutboxRow>,
        round: &mut Round,
    ) -> Result<Vec<(OutboxRow, u64)>, RelayError> {
        let mut lanes: BTreeMap<Lane, Vec<OutboxRow>> = BTreeMap::new();
        for row in rows {
            lanes.entry(row.lane).or_default().push(row);
        }
        let mut places = Vec::new();
        for (lane, rows) in lanes {
            let line = self.look(lane).await?;
            let free = room(line.waiting) as usize;
            if rows.len() > free {
                match lane {
                    Lane::Light => round.crowded = true,
                    Lane::Exec | Lane::Model => round.held_up = true,
                }
            }
            places.extend(self.fair(lane, |fair| {
                fair.look(line.head);
                fair.pick(rows, free, &self.weights)
            }));
        }
        Ok(places)
    }

    async fn look(&self, lane: Lane) -> Result<Line, RelayError> {
        let line = self.queue.line(lane).await?;
        self.tell(|status| {
            status.waiting.insert(lane, line.waiting);
        });
        Ok(line)
    }

    fn fair<T>(&self, lane: Lane, with: impl FnOnce(&mut Fair) -> T) -> T {
        // It is whole after each of its steps.
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        with(lines.entry(lane).or_default())
    }

    async fn ring(&self, places: Vec<(OutboxRow, u64)>) -> Result<(), RelayError> {
        if places.is_empty() {
            return Ok(());
        }
        let ring = |(row, rank): (OutboxRow, u64)| {
            let OutboxRow { tenant, step, lane, .. } = row;
            Ring { tenant, step, lane, rank }
        };
        let rings: Vec<Ring> = places.into_iter().map(ring).collect();
        self.queue.ring(&rings).await?;
        (self.announce)();
        Ok(())
    }

    async fn ask(&self, query: Query, what: &'static str) -> Result<Vec<OutboxRow>, RelayError> {
        // These questions are about all tenants; the name is not looked at.
        match self.ledger.query(&TenantId::local(), query).await? {
            Rows::Outbox(rows) => Ok(rows),
            _ => Err(RelayError::Answer(what)),
        }
    }
}

/// Time from `now` to `at`, at least a millisecond, so that a row due "now" by
/// a rounding is not asked for in a tight loop.
fn until(now: Millis, at: Millis) -> Duration {
    Duration::from_millis(u64::try_from(at.saturating_sub(now)).unwrap_or(0).max(1))
}

fn millis(pause: Duration) -> u64 {
    u64::try_from(pause.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests;
