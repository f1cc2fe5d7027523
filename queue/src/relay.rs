//! The only bridge from the ledger to the queue.
//!
//! The relay moves due outbox rows to the queue and takes them off the outbox
//! once the queue has them. It keeps a bounded window of steps on the queue; the
//! ledger holds the rest. Every few seconds, and when it starts, it sweeps: what
//! is ready in the ledger and due is rung again, which fills a queue that was
//! lost and repeats a ring whose worker died. Ringing what still waits changes
//! nothing, so a sweep needs to know nothing of the queue.
//!
//! A commit wakes it at once through [`Ledger::changed`]; nothing is found by
//! polling faster.

use crate::Queue;
use charter::ids::{Millis, StepKey, TenantId};
use charter::ports::{Clock, DoorbellError, Entropy, Ledger, LedgerError, Query, Rows};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Most steps that wait on the queue at a time.
const WINDOW: u64 = 1_000;
/// Most outbox rows moved at a time.
const BATCH: u32 = 256;
/// Time between sweeps.
const SWEEP: Duration = Duration::from_secs(2);
/// Pause while the window is full: long enough for workers to make room.
const FULL: Duration = Duration::from_millis(100);
/// Bounds of the pause after errors.
const BACKOFF: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// How many rows may go to a queue on which `depth` steps wait.
fn room(depth: u64) -> u32 {
    let free = WINDOW.saturating_sub(depth);
    u32::try_from(free).unwrap_or(u32::MAX).min(BATCH)
}

/// What one round found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Round {
    /// Rows that were due and read.
    due: u32,
    /// Rows that the queue had room for.
    room: u32,
    /// Time until the next row that is not due yet.
    next_due: Option<Duration>,
}

/// How long to sleep after a round; `unswept` is the time since the last sweep.
fn pause(round: Round, unswept: Duration) -> Duration {
    if round.due > round.room {
        return FULL;
    }
    if round.due == BATCH {
        return Duration::ZERO;
    }
    let sweep = SWEEP.saturating_sub(unswept);
    round.next_due.map_or(sweep, |next| next.min(sweep))
}

/// How long to sleep after `failures` rounds in a row failed: doubling, half of
/// it fixed and half drawn, so that two processes do not fall into step.
fn backoff(failures: u32, random: u32) -> Duration {
    let whole = BACKOFF.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(BACKOFF_MAX);
    whole / 2 + (whole / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
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

/// Moves ready steps from the ledger to the queue. Runs in the owner alone.
pub struct Relay {
    ledger: Arc<dyn Ledger>,
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    announce: Arc<dyn Fn() + Send + Sync>,
}

impl Relay {
    /// A relay that calls `announce` each time after it put steps on the queue,
    /// so that consumers in every process look at once.
    pub fn new(
        ledger: Arc<dyn Ledger>,
        queue: Arc<dyn Queue>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        announce: Arc<dyn Fn() + Send + Sync>,
    ) -> Self {
        Self { ledger, queue, clock, entropy, announce }
    }

    /// Relays until `shutdown` is true or its sender is gone.
    pub async fn run(&self, mut shutdown: watch::Receiver<bool>) {
        tokio::select! {
            () = self.relay() => {}
            () = crate::stopped(&mut shutdown) => {}
        }
    }

    async fn relay(&self) {
        let mut position = i64::MIN;
        let mut failures = 0;
        let mut swept: Option<Instant> = None;
        loop {
            let pause = match self.turn(&mut swept).await {
                Ok(pause) => {
                    failures = 0;
                    pause
                }
                Err(error) => {
                    failures += 1;
                    let pause = backoff(failures, self.entropy.next_u32());
                    if failures.is_power_of_two() {
                        let cause = std::error::Error::source(&error).map(ToString::to_string);
                        tracing::warn!(%error, cause, failures, "the relay stumbled; trying again");
                    }
                    tokio::time::sleep(pause).await;
                    continue;
                }
            };
            if pause.is_zero() {
                tokio::task::yield_now().await;
                continue;
            }
            match self.ledger.changed(position, millis(pause)).await {
                Ok(newest) => position = position.max(newest),
                Err(error) => {
                    tracing::debug!(%error, "the relay cannot wait for the ledger");
                    tokio::time::sleep(pause.min(BACKOFF_MAX)).await;
                }
            }
        }
    }

    /// One sweep if it is time, one round over the outbox, and how long to sleep.
    async fn turn(&self, swept: &mut Option<Instant>) -> Result<Duration, RelayError> {
        if swept.is_none_or(|at| at.elapsed() >= SWEEP) {
            self.sweep().await?;
            *swept = Some(Instant::now());
        }
        let round = self.round().await?;
        let unswept = swept.map_or(Duration::ZERO, |at| at.elapsed());
        Ok(pause(round, unswept))
    }

    /// Rings again what is ready in the ledger and due. Returns how many steps
    /// were named to the queue.
    pub async fn sweep(&self) -> Result<usize, RelayError> {
        let room = room(self.queue.depth().await?);
        if room == 0 {
            return Ok(0);
        }
        let query = Query::ReadySteps { now: self.clock.now(), limit: room };
        let Rows::Steps(ready) = self.ask(query).await? else {
            return Err(RelayError::Answer("ready steps"));
        };
        let steps: Vec<StepKey> = ready.into_iter().map(|row| row.key).collect();
        self.ring(&steps).await?;
        Ok(steps.len())
    }

    async fn round(&self) -> Result<Round, RelayError> {
        let now = self.clock.now();
        let Rows::Outbox(mut rows) = self.ask(Query::Outbox { now, limit: BATCH }).await? else {
            return Err(RelayError::Answer("the outbox"));
        };
        let due = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        let mut free = BATCH;
        if !rows.is_empty() {
            free = room(self.queue.depth().await?);
            rows.truncate(free as usize);
            let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
            let steps: Vec<StepKey> = rows.into_iter().map(|row| row.step).collect();
            self.ring(&steps).await?;
            if !ids.is_empty() {
                self.ledger.outbox_done(&ids).await?;
            }
        }
        let Rows::When(next) = self.ask(Query::OutboxNext { now }).await? else {
            return Err(RelayError::Answer("the next outbox row"));
        };
        Ok(Round { due, room: free, next_due: next.map(|at| until(now, at)) })
    }

    async fn ring(&self, steps: &[StepKey]) -> Result<(), RelayError> {
        if !steps.is_empty() {
            self.queue.ring(steps).await?;
            (self.announce)();
        }
        Ok(())
    }

    async fn ask(&self, query: Query) -> Result<Rows, RelayError> {
        // These questions are about all tenants; the name is not looked at.
        Ok(self.ledger.query(&TenantId::local(), query).await?)
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
mod tests {
    use super::*;
    use crate::testing::{MemoryQueue, NoEntropy, OutboxLedger, WallClock, step, steps};
    use charter::ports::Doorbell;
    use proptest::prelude::*;
    use std::sync::atomic::Ordering;

    const MS: Duration = Duration::from_millis(1);

    fn check(due: u32, room: u32, next: Option<u32>, unswept: u32, expect: Duration) {
        let round = Round { due, room, next_due: next.map(|ms| ms * MS) };
        assert_eq!(pause(round, unswept * MS), expect, "{round:?}, {unswept} ms unswept");
    }

    #[test]
    fn an_idle_relay_sleeps_until_the_sweep_or_the_next_row() {
        check(0, 256, None, 0, SWEEP);
        check(0, 256, None, 500, 1_500 * MS);
        check(0, 256, Some(40), 500, 40 * MS);
        check(0, 256, Some(9_000), 500, 1_500 * MS);
        check(0, 256, None, 9_000, Duration::ZERO);
    }

    #[test]
    fn a_full_batch_is_followed_at_once_and_a_full_window_is_waited_for() {
        check(256, 256, None, 0, Duration::ZERO);
        check(255, 256, None, 0, SWEEP);
        check(256, 100, None, 0, FULL);
        check(1, 0, Some(1), 0, FULL);
    }

    #[test]
    fn the_window_bounds_a_batch() {
        assert_eq!(room(0), BATCH);
        assert_eq!(room(WINDOW - 3), 3);
        assert_eq!(room(WINDOW), 0);
        assert_eq!(room(u64::MAX), 0);
    }

    proptest! {
        #[test]
        fn backoff_stays_within_its_bounds(failures in 1u32.., random: u32) {
            let pause = backoff(failures, random);
            prop_assert!(pause >= BACKOFF / 2 && pause <= BACKOFF_MAX);
        }

        #[test]
        fn nothing_sleeps_past_a_sweep(due in 0u32..300, room in 0u32..257, next: Option<u32>, unswept in 0u32..5_000) {
            let round = Round { due, room, next_due: next.map(|ms| ms * MS) };
            prop_assert!(pause(round, unswept * MS) <= SWEEP);
        }
    }

    struct Bench {
        ledger: Arc<OutboxLedger>,
        queue: Arc<MemoryQueue>,
        rings: Arc<watch::Sender<u64>>,
        relay: Arc<Relay>,
    }

    fn bench() -> Bench {
        let ledger = Arc::new(OutboxLedger::default());
        let queue = Arc::new(MemoryQueue::default());
        let rings = Arc::new(watch::Sender::new(0));
        let announced = Arc::clone(&rings);
        let relay = Relay::new(
            Arc::clone(&ledger) as _,
            Arc::clone(&queue) as _,
            Arc::new(WallClock),
            Arc::new(NoEntropy),
            Arc::new(move || announced.send_modify(|count| *count += 1)),
        );
        Bench { ledger, queue, rings, relay: Arc::new(relay) }
    }

    impl Bench {
        fn start(&self) -> watch::Sender<bool> {
            let (stop, stopped) = watch::channel(false);
            let relay = Arc::clone(&self.relay);
            tokio::spawn(async move { relay.run(stopped).await });
            stop
        }

        async fn until(&self, what: &str, done: impl Fn(&Self) -> bool) {
            let began = Instant::now();
            while !done(self) {
                assert!(began.elapsed() < Duration::from_secs(10), "never: {what}");
                tokio::time::sleep(MS).await;
            }
        }
    }

    #[tokio::test]
    async fn a_commit_is_relayed_at_once() {
        let bench = bench();
        let _stop = bench.start();
        tokio::time::sleep(300 * MS).await;
        let began = Instant::now();
        bench.ledger.submit(&[step(1)], 0);
        bench.until("rung", |bench| *bench.rings.borrow() == 1).await;
        assert!(began.elapsed() < 200 * MS, "{:?}: it waited for the sweep", began.elapsed());
        bench.until("off the outbox", |bench| bench.ledger.outbox_len() == 0).await;
        assert_eq!(bench.queue.waiting(), vec![step(1)]);
    }

    #[tokio::test]
    async fn a_row_is_rung_when_it_is_due_and_not_before() {
        let bench = bench();
        let _stop = bench.start();
        let began = Instant::now();
        bench.ledger.submit(&[step(1)], WallClock.now() + 300);
        bench.until("rung", |bench| !bench.queue.waiting().is_empty()).await;
        let waited = began.elapsed();
        assert!(waited >= 290 * MS && waited < 1_500 * MS, "{waited:?}");
    }

    #[tokio::test]
    async fn the_window_holds_the_rest_back_until_there_is_room() {
        let bench = bench();
        bench.ledger.submit(&steps(1..=2_500), 0);
        let _stop = bench.start();
        bench.until("full", |bench| bench.queue.waiting().len() == WINDOW as usize).await;
        tokio::time::sleep(2 * FULL).await;
        assert_eq!(bench.queue.waiting().len(), WINDOW as usize);
        let mut taken = Vec::new();
        while taken.len() < 2_500 {
            match bench.queue.take().await.unwrap() {
                Some(step) => taken.push(step),
                None => tokio::time::sleep(MS).await,
            }
        }
        assert_eq!(taken, steps(1..=2_500));
        bench.until("off the outbox", |bench| bench.ledger.outbox_len() == 0).await;
    }

    #[tokio::test]
    async fn a_row_stays_in_the_outbox_until_the_queue_has_it() {
        let bench = bench();
        bench.queue.break_down(true);
        bench.ledger.submit(&[step(1)], 0);
        let _stop = bench.start();
        tokio::time::sleep(200 * MS).await;
        assert_eq!(bench.ledger.outbox_len(), 1);
        assert!(bench.ledger.queries.load(Ordering::SeqCst) < 30, "it hammers a broken queue");
        bench.queue.break_down(false);
        bench.until("off the outbox", |bench| bench.ledger.outbox_len() == 0).await;
        assert_eq!(bench.queue.waiting(), vec![step(1)]);
    }

    #[tokio::test]
    async fn a_sweep_fills_a_queue_that_was_lost_and_doubles_nothing() {
        let bench = bench();
        bench.ledger.make_ready(&steps(1..=3));
        Doorbell::ring(&*bench.queue, &[step(2)]).await.unwrap();
        assert_eq!(bench.relay.sweep().await.unwrap(), 3);
        assert_eq!(bench.queue.waiting(), vec![step(2), step(1), step(3)]);
    }

    #[tokio::test]
    async fn a_stopped_relay_rings_no_more() {
        let bench = bench();
        let stop = bench.start();
        stop.send_replace(true);
        bench.until("stopped", |_| stop.is_closed()).await;
        bench.ledger.submit(&[step(1)], 0);
        tokio::time::sleep(50 * MS).await;
        assert!(bench.queue.waiting().is_empty());
    }
}
