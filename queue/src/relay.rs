//! The only bridge from the ledger to the queue.
//!
//! The relay moves due outbox rows to the queue and takes them off the outbox
//! once the queue has them. It keeps a bounded window of steps on the queue; the
//! ledger holds the rest. Every few seconds, and when it starts, it sweeps: what
//! is ready in the ledger and due is rung again, which fills a queue that was
//! lost and repeats a ring whose worker died. Ringing what still waits changes
//! nothing, so a sweep needs to know nothing of the queue, and several relays at
//! a time do no harm: each sees the depth for itself, so together they may fill
//! the window once each.
//!
//! A commit wakes it at once through [`Ledger::changed`]; nothing is found by
//! polling faster. How it fares can be read at any time ([`Relay::status`]).

use crate::Queue;
use crate::backoff::{LONGEST, backoff};
use crate::pace::{BATCH, Round, SWEEP, WINDOW, Wait, next_batch, room, wait};
use charter::ids::{Millis, StepKey, TenantId};
use charter::ports::{Clock, DoorbellError, Entropy, Ledger, LedgerError, Query, Rows};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How the relay fares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RelayStatus {
    /// How long the oldest outbox row that is due has waited, in milliseconds; 0
    /// when none waits.
    pub lag_ms: u64,
    /// Steps on the queue when it last looked.
    pub waiting: u64,
    /// Steps ready in the ledger at the last sweep; 1,000 stands for as many or
    /// more.
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

/// Moves ready steps from the ledger to the queue. Runs in the owner alone.
pub struct Relay {
    ledger: Arc<dyn Ledger>,
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    announce: Arc<dyn Fn() + Send + Sync>,
    status: watch::Sender<RelayStatus>,
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
        Self { ledger, queue, clock, entropy, announce, status: watch::Sender::default() }
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
        let mut position = i64::MIN;
        let mut failures = 0_u32;
        let mut batch = BATCH;
        let mut swept: Option<Instant> = None;
        loop {
            match self.turn(&mut batch, &mut swept).await {
                Ok(wait) => {
                    failures = 0;
                    self.status.send_if_modified(|status| std::mem::take(&mut status.failures) > 0);
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
    async fn turn(&self, batch: &mut u32, swept: &mut Option<Instant>) -> Result<Wait, RelayError> {
        if swept.is_none_or(|at| at.elapsed() >= SWEEP) {
            self.sweep().await?;
            *swept = Some(Instant::now());
        }
        let round = self.round(*batch).await?;
        *batch = next_batch(round);
        Ok(wait(round, swept.map_or(Duration::ZERO, |at| at.elapsed())))
    }

    /// Rings again what is ready in the ledger, due and off the outbox, oldest
    /// first, until the window is full: all of it in one go, so that a queue which
    /// was lost is back after one sweep. Returns how many steps were named to the
    /// queue.
    pub async fn sweep(&self) -> Result<usize, RelayError> {
        let mut free = self.room().await?;
        if free == 0 {
            self.status.send_modify(|status| status.ready = status.waiting);
            return Ok(0);
        }
        let now = self.clock.now();
        // What the outbox still has is rung from there. Asked first: a row that
        // leaves it meanwhile is rung twice rather than not at all.
        let Rows::Outbox(outbox) = self.ask(Query::Outbox { now, limit: WINDOW }).await? else {
            return Err(RelayError::Answer("the outbox"));
        };
        let Rows::Steps(ready) = self.ask(Query::ReadySteps { now, limit: WINDOW }).await? else {
            return Err(RelayError::Answer("ready steps"));
        };
        self.status.send_modify(|status| status.ready = ready.len() as u64);
        let pending: HashSet<StepKey> = outbox.into_iter().map(|row| row.step).collect();
        let keys = ready.into_iter().map(|row| row.key);
        let mut rest: Vec<StepKey> = keys.filter(|key| !pending.contains(key)).collect();
        let mut named = 0;
        // Each pass names at least one step; those that still wait take no room.
        while free > 0 && !rest.is_empty() {
            let later = rest.split_off(rest.len().min(free as usize));
            self.ring(&rest).await?;
            named += rest.len();
            rest = later;
            free = self.room().await?;
        }
        Ok(named)
    }

    async fn round(&self, batch: u32) -> Result<Round, RelayError> {
        let now = self.clock.now();
        let query = Query::Outbox { now, limit: batch };
        let Rows::Outbox(mut rows) = self.ask(query).await? else {
            return Err(RelayError::Answer("the outbox"));
        };
        let lag = rows.iter().map(|row| now.saturating_sub(row.due_at)).max().unwrap_or(0);
        self.set_lag(lag);
        let due = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        let mut free = WINDOW;
        if !rows.is_empty() {
            free = self.room().await?;
            rows.truncate(free as usize);
            let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
            let steps: Vec<StepKey> = rows.into_iter().map(|row| row.step).collect();
            self.ring(&steps).await?;
            if !ids.is_empty() {
                self.ledger.outbox_done(&ids).await?;
            }
            if due < batch && due <= free {
                self.set_lag(0);
            }
        }
        let Rows::When(next) = self.ask(Query::OutboxNext { now }).await? else {
            return Err(RelayError::Answer("the next outbox row"));
        };
        Ok(Round { asked: batch, due, room: free, next_due: next.map(|at| until(now, at)) })
    }

    /// How many more steps the queue may hold.
    async fn room(&self) -> Result<u32, RelayError> {
        let depth = self.queue.depth().await?;
        self.status
            .send_if_modified(|status| std::mem::replace(&mut status.waiting, depth) != depth);
        Ok(room(depth))
    }

    fn set_lag(&self, lag: Millis) {
        let lag = u64::try_from(lag).unwrap_or(0);
        self.status.send_if_modified(|status| std::mem::replace(&mut status.lag_ms, lag) != lag);
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
    use crate::pace::FULL;
    use crate::testing::{MemoryQueue, NoEntropy, OutboxLedger, WallClock, step, steps};
    use charter::ports::{Doorbell, Ledger};
    use std::sync::atomic::Ordering;

    const MS: Duration = Duration::from_millis(1);

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

    async fn fares(
        status: &mut watch::Receiver<RelayStatus>,
        so: impl FnMut(&RelayStatus) -> bool,
    ) -> RelayStatus {
        let fares = tokio::time::timeout(Duration::from_secs(10), status.wait_for(so)).await;
        fares.expect("never").unwrap().clone()
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
    async fn one_sweep_fills_the_window_and_leaves_the_outbox_to_the_rounds() {
        let bench = bench();
        bench.ledger.make_ready(&steps(1..=3_000));
        bench.ledger.submit(&steps(11..=3_000), 0);
        assert_eq!(bench.relay.sweep().await.unwrap(), 10, "the rest stands in the outbox");
        assert_eq!(bench.queue.waiting(), steps(1..=10));
        bench.ledger.outbox_done(&(0..=3_000).collect::<Vec<_>>()).await.unwrap();
        bench.relay.sweep().await.unwrap();
        assert_eq!(bench.queue.waiting(), steps(1..=WINDOW));
        let status = bench.relay.status().borrow().clone();
        assert_eq!((status.waiting, status.ready), (1_000, 1_000));
        assert_eq!(bench.relay.sweep().await.unwrap(), 0);
    }

    #[tokio::test]
    async fn how_it_fares_can_be_read() {
        let bench = bench();
        let mut status = bench.relay.status();
        assert_eq!(*status.borrow(), RelayStatus::default());
        bench.ledger.submit(&[step(1)], WallClock.now() - 5_000);
        let _stop = bench.start();
        bench.until("off the outbox", |bench| bench.ledger.outbox_len() == 0).await;
        fares(&mut status, |status| status.lag_ms == 0).await;
        bench.queue.break_down(true);
        bench.ledger.submit(&[step(2)], WallClock.now() - 5_000);
        let failing = fares(&mut status, |status| status.failures > 1).await;
        assert!(failing.lag_ms >= 5_000, "{failing:?}");
        let words = "the relay could not reach the queue: the queue could not count: broken";
        assert_eq!(failing.last_error.as_deref(), Some(words));
        bench.queue.break_down(false);
        let well = fares(&mut status, |status| status.failures == 0).await;
        assert_eq!((well.lag_ms, well.last_error.as_deref()), (0, Some(words)));
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
