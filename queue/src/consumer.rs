//! The taking side: an apalis worker that runs one handler per step.

use crate::Queue;
pub use crate::backend::Gate;
use crate::backend::{QueueBackend, Turn};
use apalis_core::worker::builder::WorkerBuilder;
use apalis_core::worker::context::WorkerContext;
use charter::flow::Lane;
use charter::ports::Ring;
use futures::StreamExt;
use futures::stream::BoxStream;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

/// How often an idle consumer looks at the queue without having been woken.
const TICK: Duration = Duration::from_millis(250);
/// How long running handlers may go on after shutdown was asked for.
const DRAIN: Duration = Duration::from_secs(10);
/// Pause before a worker that ended by itself is started again.
const RESTART: Duration = Duration::from_millis(100);

/// What became of the handlers that were running at shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Handlers that did not end in time and were stopped; their leases run out.
    pub cut_off: usize,
}

/// Takes steps of one lane off a queue and runs a handler for each.
pub struct Consumer {
    queue: Arc<dyn Queue>,
    lane: Lane,
    gate: Gate,
    running: Arc<AtomicUsize>,
    tick: Duration,
    drain: Duration,
}

impl Consumer {
    /// A consumer with the usual tick (250 ms) and drain limit (10 s).
    pub fn new(queue: Arc<dyn Queue>, lane: Lane) -> Self {
        let (gate, running): (Gate, _) = (Arc::new(|| true), Arc::default());
        Self { queue, lane, gate, running, tick: TICK, drain: DRAIN }
    }

    /// The same, taking nothing while the gate says no.
    pub fn gate(self, gate: Gate) -> Self {
        Self { gate, ..self }
    }

    /// How many handlers run, now and from now on.
    pub fn running(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.running)
    }

    /// The same with another tick: the net under lost wake-ups, never the way
    /// steps are found.
    pub fn tick(self, tick: Duration) -> Self {
        Self { tick, ..self }
    }

    /// The same with another limit for running handlers at shutdown.
    pub fn drain(self, drain: Duration) -> Self {
        Self { drain, ..self }
    }

    /// Runs `handler` once for each step taken, at most `concurrency` at a time,
    /// until `shutdown` is true or its sender is gone; then takes nothing more
    /// and waits for what is running. Each change of `wake` makes it look at the
    /// queue at once. A panic in a handler ends that handler alone.
    ///
    /// Dropping the future stops the running handlers.
    pub async fn run<H, F>(
        &self,
        handler: H,
        concurrency: NonZeroUsize,
        wake: watch::Receiver<u64>,
        mut shutdown: watch::Receiver<bool>,
    ) -> Drained
    where
        H: Fn(Ring) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let handler = Arc::new(handler);
        let slots = Arc::new(Semaphore::new(concurrency.get()));
        let running = &self.running;
        loop {
            let wakes = wakes(wake.clone(), self.tick);
            let lane = (self.lane, Arc::clone(&self.gate));
            let (queue, slots) = (Arc::clone(&self.queue), Arc::clone(&slots));
            let backend = QueueBackend::new(queue, lane, wakes, slots);
            let context = WorkerContext::new(&worker_name());
            let (handler, count) = (Arc::clone(&handler), Arc::clone(running));
            let worker = WorkerBuilder::new(&context)
                .backend(backend)
                .build(move |turn: Turn| run_turn(Arc::clone(&handler), turn, Arc::clone(&count)));
            let mut work = pin!(worker.run());
            tokio::select! {
                ended = &mut work => {
                    tracing::warn!(cause = ?ended.err(), "the worker ended by itself; starting it again");
                }
                () = crate::stopped(&mut shutdown) => {
                    // An error says that it had not begun: there is nothing to stop.
                    if context.stop().is_err() {
                        return Drained { cut_off: 0 };
                    }
                    // Whether it ended in time shows in the count of what still runs.
                    let _ = tokio::time::timeout(self.drain, work).await;
                    return Drained { cut_off: running.load(Ordering::SeqCst) };
                }
            }
            tokio::time::sleep(RESTART).await;
        }
    }
}

/// The handler runs as a task of its own: on any thread, and its panic is caught.
async fn run_turn<H, F>(handler: Arc<H>, turn: Turn, running: Arc<AtomicUsize>)
where
    H: Fn(Ring) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let step = turn.ring.step.clone();
    running.fetch_add(1, Ordering::SeqCst);
    let task = tokio::spawn(async move { handler(turn.ring.clone()).await });
    let mut task = StopOnDrop { task, running };
    if let Err(error) = (&mut task.task).await
        && error.is_panic()
    {
        tracing::error!(%step, "the handler panicked; the step's lease will run out");
    }
}

struct StopOnDrop {
    task: JoinHandle<()>,
    running: Arc<AtomicUsize>,
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.task.abort();
        self.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Unique per start: apalis refuses a name that was seen a moment ago.
fn worker_name() -> String {
    static STARTS: AtomicU64 = AtomicU64::new(1);
    format!("alma-{}-{}", std::process::id(), STARTS.fetch_add(1, Ordering::Relaxed))
}

fn wakes(wake: watch::Receiver<u64>, tick: Duration) -> BoxStream<'static, ()> {
    let rung = futures::stream::unfold(wake, |mut wake| async move {
        wake.changed().await.ok().map(|()| ((), wake))
    });
    let mut interval = tokio::time::interval_at(tokio::time::Instant::now() + tick, tick);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let ticks = futures::stream::unfold(interval, |mut interval| async move {
        interval.tick().await;
        Some(((), interval))
    });
    futures::stream::select(rung, ticks).boxed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NoEntropy, OutboxLedger, WallClock, rings, step, steps, waiting};
    use crate::{Relay, SqliteDoorbell};
    use charter::ids::StepKey;
    use charter::ports::Doorbell;
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::sync::Mutex;
    use std::time::Instant;

    const NEVER: Duration = Duration::from_secs(3_600);
    const SOON: Duration = Duration::from_secs(20);

    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<BTreeMap<StepKey, usize>>>, Arc<watch::Sender<usize>>);

    impl Seen {
        fn note(&self, step: StepKey) {
            *self.0.lock().unwrap().entry(step).or_default() += 1;
            self.1.send_modify(|seen| *seen += 1);
        }

        async fn until(&self, count: usize) {
            let mut seen = self.1.subscribe();
            let waited = tokio::time::timeout(SOON, seen.wait_for(|seen| *seen >= count)).await;
            assert!(waited.is_ok(), "only {} of {count} were handled", *self.1.borrow());
        }
    }

    struct Running {
        wake: watch::Sender<u64>,
        stop: watch::Sender<bool>,
        task: JoinHandle<Drained>,
    }

    impl Running {
        fn wake(&self) {
            self.wake.send_modify(|count| *count += 1);
        }

        async fn stop(self) -> Drained {
            self.stop.send_replace(true);
            self.task.await.unwrap()
        }
    }

    fn start<H, F>(consumer: Consumer, concurrency: usize, handler: H) -> Running
    where
        H: Fn(StepKey) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let (wake, woken) = watch::channel(0);
        let (stop, stopped) = watch::channel(false);
        let concurrency = NonZeroUsize::new(concurrency).unwrap();
        let task = tokio::spawn(async move {
            let handler = move |ring: Ring| handler(ring.step);
            consumer.run(handler, concurrency, woken, stopped).await
        });
        Running { wake, stop, task }
    }

    fn attached(path: &Path) -> Consumer {
        Consumer::new(Arc::new(SqliteDoorbell::attach(path)), Lane::Light).tick(NEVER)
    }

    fn noting(seen: &Seen) -> impl Fn(StepKey) -> futures::future::Ready<()> + Send + Sync + use<> {
        let seen = seen.clone();
        move |step| {
            seen.note(step);
            futures::future::ready(())
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_wake_up_delivers_without_any_tick() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.db");
        let bell = SqliteDoorbell::open(&path).await.unwrap();
        let seen = Seen::default();
        let running = start(attached(&path), 4, noting(&seen));
        let mut waits = Vec::new();
        for n in 1..=50 {
            let began = Instant::now();
            bell.ring(&rings([step(n)])).await.unwrap();
            running.wake();
            seen.until(n as usize).await;
            waits.push(began.elapsed());
        }
        waits.sort();
        assert!(
            waits[25] < Duration::from_millis(50),
            "median from ring to start: {:?}",
            waits[25]
        );
        assert_eq!(running.stop().await, Drained { cut_off: 0 });
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_tick_finds_what_no_wake_up_announced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.db");
        let bell = SqliteDoorbell::open(&path).await.unwrap();
        let seen = Seen::default();
        let consumer = attached(&path).tick(Duration::from_millis(30));
        let running = start(consumer, 1, noting(&seen));
        tokio::time::sleep(Duration::from_millis(100)).await;
        bell.ring(&rings([step(1)])).await.unwrap();
        seen.until(1).await;
        running.stop().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn two_consumers_share_a_backlog_and_each_ring_is_handled_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.db");
        let bell = SqliteDoorbell::open(&path).await.unwrap();
        let backlog = steps(1..=5_000);
        for batch in backlog.chunks(256) {
            bell.ring(&rings(batch.to_vec())).await.unwrap();
        }
        let seen = Seen::default();
        let left = start(attached(&path), 8, noting(&seen));
        let right = start(attached(&path), 8, noting(&seen));
        seen.until(5_000).await;
        bell.ring(&rings(steps(1..=3))).await.unwrap();
        left.wake();
        right.wake();
        seen.until(5_003).await;
        left.stop().await;
        right.stop().await;
        let counts = seen.0.lock().unwrap().clone();
        let twice: Vec<_> = counts.iter().filter(|(_, count)| **count != 1).collect();
        assert_eq!(twice, vec![(&step(1), &2), (&step(2), &2), (&step(3), &2)]);
        assert_eq!(counts.len(), 5_000);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_killed_consumer_keeps_nobody_from_ringing_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.db");
        let bell = SqliteDoorbell::open(&path).await.unwrap();
        bell.ring(&rings([step(1)])).await.unwrap();
        let doomed = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let begun = Seen::default();
        let victim = attached(&path);
        let note = begun.clone();
        doomed.spawn(async move {
            let _guard = start(victim, 1, move |step| {
                note.note(step);
                std::future::pending()
            });
            std::future::pending::<()>().await;
        });
        begun.until(1).await;
        doomed.shutdown_background();

        let seen = Seen::default();
        let survivor = start(attached(&path), 1, noting(&seen));
        bell.ring(&rings([step(1)])).await.unwrap();
        survivor.wake();
        seen.until(1).await;
        survivor.stop().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_panic_costs_one_handler_and_no_slot() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.db");
        let bell = SqliteDoorbell::open(&path).await.unwrap();
        let seen = Seen::default();
        let note = seen.clone();
        let running = start(attached(&path), 1, move |step: StepKey| {
            note.note(step.clone());
            async move { assert!(step.n > 3, "a planned panic") }
        });
        bell.ring(&rings(steps(1..=6))).await.unwrap();
        running.wake();
        seen.until(6).await;
        assert_eq!(running.stop().await, Drained { cut_off: 0 });
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn draining_waits_for_what_runs_and_takes_nothing_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.db");
        let bell = SqliteDoorbell::open(&path).await.unwrap();
        bell.ring(&rings(steps(1..=3))).await.unwrap();
        let (begun, ended) = (Seen::default(), Seen::default());
        let (note_begun, note_ended) = (begun.clone(), ended.clone());
        let running = start(attached(&path), 1, move |step: StepKey| {
            let ended = note_ended.clone();
            note_begun.note(step.clone());
            async move {
                tokio::time::sleep(Duration::from_millis(200)).await;
                ended.note(step);
            }
        });
        begun.until(1).await;
        assert_eq!(running.stop().await, Drained { cut_off: 0 });
        assert_eq!(ended.0.lock().unwrap().keys().cloned().collect::<Vec<_>>(), steps(1..=1));
        assert_eq!(waiting(&bell).await, 2);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn draining_stops_what_runs_too_long() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.db");
        let bell = SqliteDoorbell::open(&path).await.unwrap();
        bell.ring(&rings([step(1)])).await.unwrap();
        let begun = Seen::default();
        let note = begun.clone();
        let consumer = attached(&path).drain(Duration::from_millis(100));
        let running = start(consumer, 2, move |step| {
            note.note(step);
            std::future::pending()
        });
        begun.until(1).await;
        assert_eq!(running.stop().await, Drained { cut_off: 1 });
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_submitted_step_starts_through_relay_and_file_without_any_tick() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.db");
        let bell: Arc<dyn Queue> = Arc::new(SqliteDoorbell::open(&path).await.unwrap());
        let seen = Seen::default();
        let running = start(attached(&path), 4, noting(&seen));
        let ledger = Arc::new(OutboxLedger::default());
        let wake = running.wake.clone();
        let relay = Relay::new(
            Arc::clone(&ledger) as _,
            bell,
            Arc::new(WallClock),
            Arc::new(NoEntropy),
            Arc::new(move || wake.send_modify(|count| *count += 1)),
        );
        let (_stop, stopped) = watch::channel(false);
        tokio::spawn(async move { relay.run(stopped).await });
        let mut waits = Vec::new();
        for n in 1..=50 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let began = Instant::now();
            ledger.submit(&[step(n)], 0);
            seen.until(n as usize).await;
            waits.push(began.elapsed());
        }
        waits.sort();
        println!("submit to start: median {:?}, worst {:?}", waits[25], waits[49]);
        assert!(waits[25] < Duration::from_millis(50), "median {:?}", waits[25]);
        running.stop().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_consumer_waits_for_a_queue_that_is_not_there_yet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.db");
        let seen = Seen::default();
        let running = start(attached(&path), 1, noting(&seen));
        tokio::time::sleep(Duration::from_millis(100)).await;
        let bell = SqliteDoorbell::open(&path).await.unwrap();
        bell.ring(&rings([step(1)])).await.unwrap();
        seen.until(1).await;
        running.stop().await;
    }
}
