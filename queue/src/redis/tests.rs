//! The queue against real servers that refuse, restart, freeze, forget and fail over.

use super::*;
use crate::harness::{Redis, Watched, until};
use crate::testing::{NoEntropy, OutboxLedger, WallClock, step, steps};
use crate::{Consumer, Relay};
use charter::breaker::Circuit;
use charter::ports::{Clock, Ledger};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use tokio::task::JoinHandle;

const ID: &str = "00000000000000a1";
const KEY: &str = "{alma:00000000000000a1}:steps";
/// One lease: within it a lost queue must be whole again.
const LEASE: Duration = Duration::from_secs(10);
/// Longer than any call may take, with its connection made anew.
const BOUND: Duration = Duration::from_secs(10);

fn queue_at(address: &str, id: &str) -> RedisQueue {
    RedisQueue::new(address.parse().unwrap(), id).unwrap()
}

fn queue(redis: &Redis) -> RedisQueue {
    queue_at(&redis.address(), ID)
}

/// Every call fails and says `words`.
async fn refuses(queue: &RedisQueue, words: &str) {
    let ring = queue.ring(&[step(1)]).await.unwrap_err();
    let take = queue.take().await.unwrap_err();
    for error in [ring, take] {
        assert!(error.to_string().contains(words), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

/// Tries until a call passes: the breaker may rest first.
async fn recovers(queue: &RedisQueue) {
    let began = Instant::now();
    while let Err(error) = queue.depth().await {
        assert!(began.elapsed() < BOUND, "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn wrong_and_missing_passwords_are_named() {
    let redis = Redis::with(&["--requirepass", "right"]);
    refuses(&queue(&redis), "write it into the address").await;
    let wrong = redis.address().replace("redis://", "redis://alma:secret@");
    refuses(&queue_at(&wrong, ID), "the password is wrong").await;
}

#[tokio::test]
async fn a_right_that_is_missing_is_named() {
    let redis = Redis::start();
    for (missing, words) in [
        ("-incrby", "may not use INCRBY"),
        ("-zadd", "may not use ZADD"),
        ("resetkeys", "may not use INCRBY on {alma:00000000000000a1}:places"),
    ] {
        let all = ["reset", "on", ">secret", "~*", "&*", "+@all", missing];
        redis.cli(&[&["ACL", "SETUSER", "alma"][..], &all].concat());
        let queue = queue_at(&redis.address().replace("//", "//alma:secret@"), ID);
        let error = queue.ring(&[step(1)]).await.unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("ACL SETUSER"), "{error}");
    }
}

#[tokio::test]
async fn a_bell_that_may_not_be_rung_costs_no_step() {
    let redis = Redis::start();
    redis.cli(&["ACL", "SETUSER", "alma", "on", ">secret", "~*", "resetchannels", "+@all"]);
    let queue = queue_at(&redis.address().replace("//", "//alma:secret@"), ID);
    queue.ring(&[step(1)]).await.unwrap();
    assert_eq!(queue.take().await.unwrap(), Some(step(1)));
}

#[tokio::test]
async fn what_cannot_hold_the_queue_is_refused_by_name() {
    let cluster = Redis::with(&["--cluster-enabled", "yes"]);
    refuses(&queue(&cluster), "Redis Cluster").await;
    let watched = Watched::start();
    refuses(&queue(&watched.replica), "this server is a replica").await;
    let sentinel = &watched.sentinels[0];
    refuses(&queue(sentinel), "this is a Sentinel").await;
    let other = watched.address().replace("/mine/", "/other/");
    refuses(&queue_at(&other, ID), "does not watch it").await;
}

#[tokio::test]
async fn a_master_that_becomes_a_replica_is_left() {
    let redis = Redis::start();
    let queue = queue(&redis);
    queue.ring(&[step(1)]).await.unwrap();
    redis.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    refuses(&queue, "this server is a replica").await;
    redis.cli(&["REPLICAOF", "NO", "ONE"]);
    recovers(&queue).await;
    assert_eq!(queue.take().await.unwrap(), Some(step(1)));
}

#[tokio::test]
async fn a_server_that_still_reads_its_data_is_waited_for() {
    let mut redis = Redis::with(&["--rdbcompression", "no"]);
    for n in 0..100 {
        redis.cli(&["SET", &format!("key{n}"), &"x".repeat(200)]);
    }
    redis.cli(&["SAVE"]);
    redis.kill();
    // A second for forty keys.
    let slow = ["--key-load-delay", "25000", "--loading-process-events-interval-bytes", "1024"];
    redis.again_with(&slow);
    let queue = queue(&redis);
    let error = queue.ring(&[step(1)]).await.unwrap_err().to_string();
    assert!(error.contains("still reading its data"), "{error}");
    recovers(&queue).await;
    queue.ring(&[step(1)]).await.unwrap();
}

#[tokio::test]
async fn a_full_memory_is_named_and_what_waits_can_still_be_taken() {
    let redis = Redis::start();
    let queue = queue(&redis);
    queue.ring(&[step(1)]).await.unwrap();
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    let error = queue.ring(&[step(2)]).await.unwrap_err().to_string();
    assert!(error.contains("raise maxmemory"), "{error}");
    assert_eq!(queue.take().await.unwrap(), Some(step(1)));
    redis.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    queue.ring(&[step(2)]).await.unwrap();
}

#[tokio::test]
async fn something_else_under_our_keys_is_named_and_left_alone() {
    let redis = Redis::start();
    let queue = queue(&redis);
    redis.cli(&["SET", KEY, "theirs"]);
    refuses(&queue, &format!("DEL {KEY}")).await;
    assert_eq!(redis.cli(&["GET", KEY]), "theirs");
    redis.cli(&["DEL", KEY]);
    redis.cli(&["SET", "{alma:00000000000000a1}:places", "words"]);
    let error = queue.ring(&[step(1)]).await.unwrap_err().to_string();
    assert!(error.contains("DEL {alma:00000000000000a1}:places"), "{error}");
    redis.cli(&["DEL", "{alma:00000000000000a1}:places"]);
    queue.ring(&[step(1)]).await.unwrap();
    assert_eq!(queue.take().await.unwrap(), Some(step(1)));
}

#[tokio::test]
async fn what_is_no_step_is_taken_off_counted_and_reaches_nobody() {
    let redis = Redis::start();
    let queue = queue(&redis);
    let huge = "x".repeat(100_000);
    for (place, entry) in
        [("-3", "rm -rf /"), ("-2", "0:m-0000000000000001/3"), ("-1", &huge), ("-1", "")]
    {
        redis.cli(&["ZADD", KEY, place, entry]);
    }
    queue.ring(&[step(1)]).await.unwrap();
    assert_eq!(queue.take().await.unwrap(), Some(step(1)));
    assert_eq!((queue.foreign(), queue.depth().await.unwrap()), (4, 0));
    // Too many for one call: it says so, and the next goes on.
    for n in 0..100 {
        redis.cli(&["ZADD", KEY, "-1", &format!("foreign {n}")]);
    }
    queue.ring(&[step(2)]).await.unwrap();
    let error = queue.take().await.unwrap_err().to_string();
    assert!(error.contains("64 entries"), "{error}");
    assert_eq!(queue.take().await.unwrap(), Some(step(2)));
    assert_eq!(queue.breaker().circuit(), Circuit::Closed);
}

#[tokio::test]
async fn two_installations_on_one_redis_do_not_see_each_other() {
    let redis = Redis::start();
    let (ours, theirs) = (queue(&redis), queue_at(&redis.address(), "00000000000000a2"));
    let mut heard = theirs.wakes(Arc::new(NoEntropy));
    heard.wait_for(|wakes| *wakes == 1).await.unwrap();
    ours.ring(&steps(1..=3)).await.unwrap();
    assert_eq!((theirs.depth().await.unwrap(), theirs.take().await.unwrap()), (0, None));
    theirs.ring(&[step(1)]).await.unwrap();
    heard.wait_for(|wakes| *wakes == 2).await.unwrap();
    assert_eq!(ours.depth().await.unwrap(), 3);
    for id in ["", "00000000000000A1", "00000000000000a1}:x", "a1"] {
        assert!(RedisQueue::new(redis.address().parse().unwrap(), id).is_err(), "{id}");
    }
}

#[tokio::test]
async fn tls_without_trust_is_refused() {
    let redis = Redis::tls();
    let machine = redis.address().split('?').next().unwrap().to_owned();
    refuses(&queue_at(&machine, ID), "no TLS with").await;
    let other = Redis::tls();
    let theirs = format!("{machine}?ca_file={}/ca.pem", other.folder.path().display());
    refuses(&queue_at(&theirs, ID), "no TLS with").await;
    refuses(&queue_at(&format!("{machine}?ca_file=/nowhere.pem"), ID), "/nowhere.pem").await;
    let name = redis.address().replace("127.0.0.1", "localhost");
    queue_at(&name, ID).ring(&[step(1)]).await.unwrap();
    let plain = format!("redis://127.0.0.1:{}", redis.port);
    let began = Instant::now();
    assert!(queue_at(&plain, ID).take().await.is_err());
    let encrypted = Redis::start().address().replace("redis://", "rediss://");
    assert!(queue_at(&encrypted, ID).take().await.is_err());
    assert!(began.elapsed() < BOUND);
}

#[tokio::test]
async fn a_restart_costs_no_call_and_a_dead_server_opens_the_breaker() {
    let mut redis = Redis::start();
    let queue = queue(&redis);
    queue.ring(&[step(1)]).await.unwrap();
    redis.kill();
    redis.again();
    assert_eq!(queue.take().await.unwrap(), None, "over a new connection");
    redis.kill();
    while queue.breaker().circuit() == Circuit::Closed {
        let error = queue.take().await.unwrap_err().to_string();
        assert!(error.contains("see that the server runs"), "{error}");
    }
    assert_eq!(queue.breaker().failures(), LIMITS.failures);
    let error = queue.take().await.unwrap_err().to_string();
    assert!(error.contains("left alone"), "{error}");
    redis.again();
    recovers(&queue).await;
    assert_eq!(queue.breaker().circuit(), Circuit::Closed);
}

#[tokio::test]
async fn a_frozen_server_holds_nobody_up() {
    let redis = Redis::start();
    let queue = queue(&redis);
    queue.ring(&[step(1)]).await.unwrap();
    redis.freeze();
    let began = Instant::now();
    let error = queue.depth().await.unwrap_err().to_string();
    assert!(error.contains("did not answer"), "{error}");
    // Its socket still takes connections, and nobody greets.
    let error = queue.depth().await.unwrap_err().to_string();
    assert!(error.contains("did not answer") && began.elapsed() < BOUND, "{error}");
    redis.thaw();
    recovers(&queue).await;
    assert_eq!(queue.take().await.unwrap(), Some(step(1)));
}

#[tokio::test]
async fn the_bell_is_heard_by_every_process_and_after_a_restart() {
    let mut redis = Redis::start();
    let (ringer, listener) = (queue(&redis), queue(&redis));
    let mut wakes = listener.wakes(Arc::new(NoEntropy));
    let mut others = queue(&redis).wakes(Arc::new(NoEntropy));
    wakes.wait_for(|wakes| *wakes == 1).await.unwrap();
    others.wait_for(|wakes| *wakes == 1).await.unwrap();
    ringer.ring(&[step(1)]).await.unwrap();
    wakes.wait_for(|wakes| *wakes == 2).await.unwrap();
    others.wait_for(|wakes| *wakes == 2).await.unwrap();
    redis.kill();
    redis.again();
    let again = tokio::time::timeout(BOUND, wakes.wait_for(|wakes| *wakes == 3)).await.is_ok();
    assert!(again, "one wake after the connection was made again");
    until("nobody listens", || {
        redis.cli(&["PUBSUB", "NUMSUB", "{alma:00000000000000a1}:bell"]).ends_with('2')
    });
    drop((wakes, others));
    tokio::time::sleep(Duration::from_millis(50)).await;
    until("they hang up", || {
        redis.cli(&["PUBSUB", "NUMSUB", "{alma:00000000000000a1}:bell"]).ends_with('0')
    });
}

async fn found(queue: &RedisQueue, level: Level, words: &str) {
    let findings = queue.check().await;
    let found = findings.iter().any(|f| f.level == level && f.detail.contains(words));
    assert!(found, "no {level:?} with \"{words}\" among {findings:#?}");
}

#[tokio::test]
async fn the_check_tries_what_the_queue_needs() {
    let mut redis = Redis::start();
    let healthy = queue(&redis);
    healthy.ring(&[step(1)]).await.unwrap();
    let findings = healthy.check().await;
    assert!(findings.iter().all(|f| f.level == Level::Good), "{findings:#?}");
    assert_eq!(healthy.depth().await.unwrap(), 1, "it changes nothing");
    assert_eq!(redis.cli(&["EXISTS", "{alma:00000000000000a1}:scratch"]), "0");
    redis.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    found(&healthy, Level::Notice, "allkeys-lru").await;
    let rights = ["on", ">secret", "~{alma:*", "+@all", "-zpopmin", "-info", "resetchannels"];
    redis.cli(&[&["ACL", "SETUSER", "alma"][..], &rights].concat());
    let limited = queue_at(&redis.address().replace("//", "//alma:secret@"), ID);
    found(&limited, Level::Bad, "may not use ZPOPMIN").await;
    found(&limited, Level::Notice, "may not use INFO").await;
    found(&limited, Level::Notice, "no bell is heard").await;
    redis.kill();
    found(&healthy, Level::Bad, "see that the server runs").await;
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
        let (ledger, rung) = (Arc::clone(&self.ledger), Arc::clone(rung));
        let handler = move |step: StepKey| {
            ledger.claim(&step);
            *rung.lock().unwrap().entry(step).or_default() += 1;
            futures::future::ready(())
        };
        let (wakes, stop) = (queue.wakes(Arc::new(NoEntropy)), self.stop.subscribe());
        self.tasks.push(tokio::spawn(async move {
            let consumer = Consumer::new(queue as _);
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
    let full = async || queue.depth().await.unwrap() == 1_000;
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
    let queue = Arc::new(queue_at(&watched.address(), ID));
    let mut works = Works::new();
    works.ledger.make_ready(&steps(1..=2_000));
    works.ledger.submit(&steps(1..=2_000), WallClock.now());
    let relay = works.relay(Arc::clone(&queue) as _);
    eventually(LEASE, "full", async || queue.depth().await.unwrap() == 1_000).await;
    watched.master.kill();
    let replica = &watched.replica;
    until("the replica is the master", || replica.cli(&["ROLE"]).starts_with("master"));
    replica.cli(&["FLUSHALL"]);
    let took =
        eventually(LEASE, "full again", async || matches!(queue.depth().await, Ok(1_000))).await;
    println!("the window was full again {took:?} after the failover");
    let error = relay.status().borrow().last_error.clone().unwrap();
    assert!(error.contains("queue"), "{error}");
    let rung = Arc::default();
    works.consumer(queue, &rung);
    let ledger = Arc::clone(&works.ledger);
    eventually(3 * LEASE, "all taken", async || ledger.ready_len() == 0).await;
    works.end().await;
}

#[tokio::test]
async fn sentinels_with_passwords_are_asked_and_a_frozen_master_is_replaced() {
    let watched = Watched::with_password("secret");
    let address = watched.address();
    refuses(&queue_at(&address, ID), "asks for a password").await;
    let login = "redis+sentinel://:secret@";
    let address = address.replace("redis+sentinel://", login) + "?sentinel_password=secret";
    let queue = queue_at(&address, ID);
    let mut wakes = queue.wakes(Arc::new(NoEntropy));
    wakes.wait_for(|wakes| *wakes == 1).await.unwrap();
    queue.ring(&[step(1)]).await.unwrap();
    watched.master.freeze();
    until("the replica is the master", || watched.replica.cli(&["ROLE"]).starts_with("master"));
    recovers(&queue).await;
    queue.ring(&[step(2)]).await.unwrap();
    assert_eq!(watched.replica.cli(&["ZRANGE", KEY, "-1", "-1"]), entry::write(&step(2)));
    let again = tokio::time::timeout(2 * BOUND, wakes.wait_for(|wakes| *wakes >= 2)).await;
    assert!(again.is_ok(), "the bell is heard at the new master");
    // What the old master still believes reaches nobody.
    watched.master.thaw();
    until("the old master follows", || watched.master.cli(&["ROLE"]).starts_with("slave"));
    queue.ring(&[step(3)]).await.unwrap();
    assert_eq!(watched.replica.cli(&["ZRANGE", KEY, "-1", "-1"]), entry::write(&step(3)));
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
    assert_eq!(first.depth().await.unwrap(), 900, "after a sweep of both");
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
