//! Ledger, relay, Redis and workers together: what a Redis loses is back within a
//! lease, and what several relays do at once does no harm.

use super::*;
use crate::harness::{Redis, Watched, until};
use crate::testing::{NoEntropy, OutboxLedger, WallClock, step, steps, waiting};
use crate::{Consumer, Fallback, Relay};
use charter::ids::StepKey;
use charter::ports::{Clock, Ledger};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use tokio::task::JoinHandle;

/// One lease: within it a lost queue must be whole again.
const LEASE: Duration = Duration::from_secs(10);
/// A tick that comes too late to help.
const NEVER: Duration = Duration::from_secs(3_600);

fn queue_at(address: &str) -> RedisQueue {
    RedisQueue::new(address.parse().unwrap(), "00000000000000a1").unwrap()
}

fn queue(redis: &Redis) -> RedisQueue {
    queue_at(&redis.address())
}

/// A relay and consumers between a ledger double and a Redis.
struct Works {
    ledger: Arc<OutboxLedger>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Works {
    fn new() -> Self {
        Self { ledger: Arc::default(), stop: watch::Sender::new(false), tasks: Vec::new() }
    }

    fn relay(&mut self, queue: Arc<dyn Queue>) -> Arc<Relay> {
        let relay = Arc::new(Relay::new(
            Arc::clone(&self.ledger) as Arc<dyn Ledger>,
            queue,
            Arc::new(WallClock),
            Arc::new(NoEntropy),
            Arc::new(|| {}),
        ));
        let (running, stop) = (Arc::clone(&relay), self.stop.subscribe());
        self.tasks.push(tokio::spawn(async move { running.run(stop).await }));
        relay
    }

    /// A consumer whose handler claims each step in the ledger.
    fn consumer(&mut self, queue: Arc<RedisQueue>, rung: &Arc<Mutex<BTreeMap<StepKey, u32>>>) {
        let wakes = queue.wakes(Arc::new(NoEntropy));
        self.consume(Consumer::new(queue as _, Lane::Light).tick(NEVER), wakes, rung);
    }

    /// One that takes steps off the record while the Redis is away.
    fn fallback(&mut self, queue: Arc<RedisQueue>, rung: &Arc<Mutex<BTreeMap<StepKey, u32>>>) {
        let wakes = queue.wakes(Arc::new(NoEntropy));
        let ledger = Arc::clone(&self.ledger) as Arc<dyn Ledger>;
        let queue = Fallback::new(queue, ledger, Arc::new(WallClock), Arc::new(NoEntropy));
        self.consume(Consumer::new(Arc::new(queue), Lane::Light), wakes, rung);
    }

    fn consume(
        &mut self,
        consumer: Consumer,
        wakes: watch::Receiver<u64>,
        rung: &Arc<Mutex<BTreeMap<StepKey, u32>>>,
    ) {
        let (ledger, rung) = (Arc::clone(&self.ledger), Arc::clone(rung));
        let handler = move |ring: Ring| {
            ledger.claim(&ring.step);
            *rung.lock().unwrap().entry(ring.step).or_default() += 1;
            futures::future::ready(())
        };
        let stop = self.stop.subscribe();
        self.tasks.push(tokio::spawn(async move {
            consumer.run(handler, NonZeroUsize::new(8).unwrap(), wakes, stop).await;
        }));
    }

    async fn end(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

async fn eventually(limit: Duration, what: &str, mut done: impl AsyncFnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !done().await {
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flushed_queue_is_whole_again_within_a_lease() {
    let redis = Redis::start();
    let queue = Arc::new(queue(&redis));
    let mut works = Works::new();
    works.ledger.make_ready(&steps(1..=2_000));
    works.ledger.submit(&steps(1..=2_000), WallClock.now());
    let relay = works.relay(Arc::clone(&queue) as _);
    let full = async || waiting(&*queue).await == 1_000;
    eventually(LEASE, "full", full).await;
    // What was on the queue is rung again by a sweep, the rest comes off the outbox.
    for times in 1..=2 {
        redis.cli(&["FLUSHALL"]);
        let took = eventually(LEASE, "full again", full).await;
        println!("FLUSHALL {times}: the window was full again after {took:?}");
    }
    assert_eq!(works.ledger.outbox_len(), 0);
    let status = relay.status().borrow().clone();
    assert_eq!((status.failures, status.ready), (0, 1_000), "{status:?}");
    redis.cli(&["FLUSHALL"]);
    let rung = Arc::default();
    works.consumer(queue, &rung);
    let ledger = Arc::clone(&works.ledger);
    let took = eventually(LEASE, "all taken", async || ledger.ready_len() == 0).await;
    println!("FLUSHALL 3: all 2,000 were taken after {took:?}");
    assert_eq!(rung.lock().unwrap().len(), 2_000);
    works.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failover_without_data_the_queue_is_whole_again_within_a_lease() {
    let mut watched = Watched::start();
    let queue = Arc::new(queue_at(&watched.address()));
    let mut works = Works::new();
    works.ledger.make_ready(&steps(1..=2_000));
    works.ledger.submit(&steps(1..=2_000), WallClock.now());
    let relay = works.relay(Arc::clone(&queue) as _);
    eventually(LEASE, "full", async || waiting(&*queue).await == 1_000).await;
    watched.master.kill();
    let replica = &watched.replica;
    until("the replica is the master", || replica.cli(&["ROLE"]).starts_with("master"));
    replica.cli(&["FLUSHALL"]);
    let took = eventually(LEASE, "full again", async || {
        matches!(queue.line(Lane::Light).await, Ok(Line { waiting: 1_000, .. }))
    })
    .await;
    println!("the window was full again {took:?} after the failover");
    let error = relay.status().borrow().last_error.clone().unwrap();
    assert!(error.contains("queue"), "{error}");
    let rung = Arc::default();
    works.consumer(queue, &rung);
    let ledger = Arc::clone(&works.ledger);
    eventually(3 * LEASE, "all taken", async || ledger.ready_len() == 0).await;
    works.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_relays_at_once_lose_nothing_and_double_nothing_that_waits() {
    let redis = Redis::start();
    let mut works = Works::new();
    let first = Arc::new(queue(&redis));
    works.relay(Arc::clone(&first) as _);
    works.relay(Arc::new(queue(&redis)));
    // While nobody takes, each step is on the queue once.
    works.ledger.make_ready(&steps(1..=900));
    works.ledger.submit(&steps(1..=900), WallClock.now());
    let ledger = Arc::clone(&works.ledger);
    eventually(LEASE, "relayed", async || ledger.outbox_len() == 0).await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(waiting(&*first).await, 900, "after a sweep of both");
    let rung = Arc::default();
    works.consumer(Arc::clone(&first), &rung);
    works.consumer(Arc::new(queue(&redis)), &rung);
    eventually(3 * LEASE, "all taken", async || ledger.ready_len() == 0).await;
    let counts = std::mem::take(&mut *rung.lock().unwrap());
    assert_eq!(counts.len(), 900);
    let again: Vec<_> = counts.iter().filter(|(_, times)| **times > 2).collect();
    assert!(again.is_empty(), "at most once by each relay: {again:?}");
    // While they are taken, none is lost.
    works.ledger.make_ready(&steps(1_001..=4_000));
    works.ledger.submit(&steps(1_001..=4_000), WallClock.now());
    eventually(3 * LEASE, "all taken", async || ledger.ready_len() == 0).await;
    assert_eq!(rung.lock().unwrap().len(), 3_000);
    works.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submitted_step_starts_through_relay_and_redis_without_any_tick() {
    let redis = Redis::start();
    let mut works = Works::new();
    works.relay(Arc::new(queue(&redis)));
    let rung = Arc::default();
    works.consumer(Arc::new(queue(&redis)), &rung);
    let ledger = Arc::clone(&works.ledger);
    let mut waits = Vec::new();
    for n in 1..=50 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let began = Instant::now();
        ledger.submit(&[step(n)], 0);
        while rung.lock().unwrap().len() < n as usize {
            assert!(began.elapsed() < LEASE, "step {n} was never handled");
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
        waits.push(began.elapsed());
    }
    waits.sort();
    println!("submit to start on Redis: median {:?}, worst {:?}", waits[25], waits[49]);
    assert!(waits[25] < Duration::from_millis(50), "median {:?}", waits[25]);
    works.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_goes_on_while_the_server_is_dead_and_goes_back_to_the_queue_after_it() {
    let mut redis = Redis::start();
    let shared = Arc::new(queue(&redis));
    let mut works = Works::new();
    let relay = works.relay(Arc::clone(&shared) as _);
    let rung = Arc::default();
    works.fallback(Arc::clone(&shared), &rung);
    let ledger = Arc::clone(&works.ledger);
    let submit = |steps: &[StepKey]| {
        works.ledger.make_ready(steps);
        works.ledger.submit(steps, WallClock.now());
    };
    submit(&steps(1..=300));
    redis.kill();
    let took = eventually(2 * LEASE, "all taken", async || ledger.ready_len() == 0).await;
    println!("dead server: 300 steps were taken within {took:?}");
    assert!(!shared.health().is_closed());
    submit(&steps(301..=600));
    eventually(2 * LEASE, "all taken", async || ledger.ready_len() == 0).await;
    assert!(rung.lock().unwrap().len() >= 600 && ledger.outbox_len() > 0);
    assert!(relay.status().borrow().lag_ms > 0);
    // It comes back with nothing.
    redis.again();
    eventually(2 * LEASE, "back", async || shared.health().is_closed()).await;
    submit(&steps(601..=700));
    eventually(2 * LEASE, "all taken", async || ledger.ready_len() == 0).await;
    eventually(2 * LEASE, "relayed", async || ledger.outbox_len() == 0).await;
    let most = rung.lock().unwrap().values().copied().max();
    assert!(most.is_some_and(|most| most <= 4), "{most:?} rings for one step");
    works.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_goes_on_while_the_server_hangs() {
    let redis = Redis::start();
    let shared = Arc::new(queue(&redis));
    let mut works = Works::new();
    works.relay(Arc::clone(&shared) as _);
    let rung = Arc::default();
    works.fallback(Arc::clone(&shared), &rung);
    let ledger = Arc::clone(&works.ledger);
    works.ledger.make_ready(&steps(1..=1));
    works.ledger.submit(&steps(1..=1), WallClock.now());
    eventually(LEASE, "taken", async || ledger.ready_len() == 0).await;
    redis.freeze();
    works.ledger.make_ready(&steps(2..=300));
    works.ledger.submit(&steps(2..=300), WallClock.now());
    let took = eventually(3 * LEASE, "all taken", async || ledger.ready_len() == 0).await;
    println!("hanging server: 299 steps were taken within {took:?}");
    redis.thaw();
    eventually(2 * LEASE, "back", async || shared.health().is_closed()).await;
    eventually(2 * LEASE, "relayed", async || ledger.outbox_len() == 0).await;
    works.end().await;
}
