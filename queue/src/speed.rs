//! How many steps a second go through relay, queue and apalis workers with a
//! handler that does nothing. Measurements, not tests: run them with
//! `cargo test -p queue speed -- --ignored --nocapture --test-threads 1`.

use crate::harness::Redis;
use crate::testing::{NoEntropy, OutboxLedger, WallClock, steps, waiting};
use crate::{Consumer, Queue, RedisQueue, Relay, SqliteDoorbell};
use charter::flow::Lane;
use charter::ports::Ledger;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;

const JOBS: u32 = 50_000;
const HANDLERS: usize = 8;

/// A way to the queue for each of three threads, and a bell that it hears.
type Door = (Arc<dyn Queue>, watch::Receiver<u64>);

/// A relay and two consumers, each on a thread and a connection of its own.
fn measure(name: &str, door: impl Fn() -> Door + Sync, announce: Arc<dyn Fn() + Send + Sync>) {
    let ledger = Arc::new(OutboxLedger::default());
    ledger.submit(&steps(1..=JOBS), 0);
    let (handled, deepest) = (Arc::new(AtomicU64::new(0)), AtomicU64::new(0));
    let stop = watch::Sender::new(false);
    let began = Instant::now();
    std::thread::scope(|threads| {
        threads.spawn(|| {
            run(async {
                let (clock, entropy) = (Arc::new(WallClock), Arc::new(NoEntropy));
                let ledger = Arc::clone(&ledger) as Arc<dyn Ledger>;
                let relay = Relay::new(ledger, door().0, clock, entropy, announce);
                relay.run(stop.subscribe()).await;
            });
        });
        for _ in 0..2 {
            threads.spawn(|| {
                run(async {
                    let (queue, wakes) = door();
                    let handled = Arc::clone(&handled);
                    let handler = move |_| {
                        handled.fetch_add(1, Ordering::Relaxed);
                        futures::future::ready(())
                    };
                    let handlers = NonZeroUsize::new(HANDLERS).unwrap();
                    let consumer = Consumer::new(queue, Lane::Light);
                    consumer.run(handler, handlers, wakes, stop.subscribe()).await;
                });
            });
        }
        run(async {
            let (queue, _) = door();
            while handled.load(Ordering::Relaxed) < u64::from(JOBS) {
                deepest.fetch_max(waiting(&*queue).await, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            stop.send_replace(true);
        });
    });
    let seconds = began.elapsed().as_secs_f64();
    let rate = f64::from(JOBS) / seconds;
    let deepest = deepest.load(Ordering::Relaxed);
    println!("{name}: {rate:.0} jobs/s ({JOBS} jobs, at most {deepest} on the queue)");
    assert!(deepest <= 1_000, "the window is kept");
}

fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
}

#[test]
#[ignore = "a measurement"]
fn jobs_per_second_on_redis() {
    let redis = Redis::start();
    let address = redis.address();
    let door = || {
        let queue = RedisQueue::new(address.parse().unwrap(), "00000000000000a1").unwrap();
        let wakes = queue.wakes(Arc::new(NoEntropy));
        (Arc::new(queue) as _, wakes)
    };
    measure("Redis", door, Arc::new(|| {}));
}

#[test]
#[ignore = "a measurement"]
fn jobs_per_second_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.db");
    run(async { drop(SqliteDoorbell::open(&path).await.unwrap()) });
    let (bell, rung) = watch::channel(0);
    let door = || (Arc::new(SqliteDoorbell::attach(&path)) as _, rung.clone());
    measure("SQLite", door, Arc::new(move || bell.send_modify(|count| *count += 1)));
}
