//! The queue against real servers that refuse, restart, freeze, forget and fail over.

use super::*;
use crate::harness::{Redis, Watched, until};
use crate::testing::{NoEntropy, rings, step, steps, taken, waiting};
use charter::breaker::Circuit;
use charter::flow::Lane;

const ID: &str = "00000000000000a1";
const KEY: &str = "{alma:00000000000000a1}:steps";
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
    let ring = queue.ring(&rings([step(1)])).await.unwrap_err();
    let take = queue.take(Lane::Light).await.unwrap_err();
    for error in [ring, take] {
        assert!(error.to_string().contains(words), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

/// Waits until the bell was heard so many times; returns how often it was.
async fn heard(wakes: &mut watch::Receiver<u64>, times: u64) -> u64 {
    let hearing = tokio::time::timeout(2 * BOUND, wakes.wait_for(|heard| *heard >= times));
    *hearing.await.expect("the bell is not heard").unwrap()
}

/// Tries until a call passes: the breaker may rest first.
async fn recovers(queue: &RedisQueue) {
    let began = Instant::now();
    while let Err(error) = queue.line(Lane::Light).await {
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
    for (missing, words) in
        [("-zadd", "may not use ZADD"), ("resetkeys", "+zadd ~{alma:00000000000000a1}:steps")]
    {
        let all = ["reset", "on", ">secret", "~*", "&*", "+@all", missing];
        redis.cli(&[&["ACL", "SETUSER", "alma"][..], &all].concat());
        let queue = queue_at(&redis.address().replace("//", "//alma:secret@"), ID);
        let error = queue.ring(&rings([step(1)])).await.unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("ACL SETUSER"), "{error}");
    }
}

#[tokio::test]
async fn a_bell_that_may_not_be_rung_costs_no_step() {
    let redis = Redis::start();
    redis.cli(&["ACL", "SETUSER", "alma", "on", ">secret", "~*", "resetchannels", "+@all"]);
    let queue = queue_at(&redis.address().replace("//", "//alma:secret@"), ID);
    queue.ring(&rings([step(1)])).await.unwrap();
    assert_eq!(taken(&queue).await, Some(step(1)));
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
    queue.ring(&rings([step(1)])).await.unwrap();
    redis.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    refuses(&queue, "this server is a replica").await;
    redis.cli(&["REPLICAOF", "NO", "ONE"]);
    recovers(&queue).await;
    assert_eq!(taken(&queue).await, Some(step(1)));
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
    let error = queue.ring(&rings([step(1)])).await.unwrap_err().to_string();
    assert!(error.contains("still reading its data"), "{error}");
    recovers(&queue).await;
    queue.ring(&rings([step(1)])).await.unwrap();
}

#[tokio::test]
async fn a_full_memory_is_named_and_what_waits_can_still_be_taken() {
    let redis = Redis::start();
    let queue = queue(&redis);
    queue.ring(&rings([step(1)])).await.unwrap();
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    let error = queue.ring(&rings([step(2)])).await.unwrap_err().to_string();
    assert!(error.contains("raise maxmemory"), "{error}");
    assert_eq!(taken(&queue).await, Some(step(1)));
    redis.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    queue.ring(&rings([step(2)])).await.unwrap();
}

#[tokio::test]
async fn something_else_under_our_keys_is_named_and_left_alone() {
    let redis = Redis::start();
    let queue = queue(&redis);
    redis.cli(&["SET", KEY, "theirs"]);
    refuses(&queue, &format!("DEL {KEY}")).await;
    assert_eq!(redis.cli(&["GET", KEY]), "theirs");
    redis.cli(&["DEL", KEY]);
    queue.ring(&rings([step(1)])).await.unwrap();
    assert_eq!(taken(&queue).await, Some(step(1)));
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
    queue.ring(&rings([step(1)])).await.unwrap();
    assert_eq!(taken(&queue).await, Some(step(1)));
    assert_eq!((queue.foreign(), waiting(&queue).await), (4, 0));
    // Too many for one call: it says so, and the next goes on.
    for n in 0..100 {
        redis.cli(&["ZADD", KEY, "-1", &format!("foreign {n}")]);
    }
    queue.ring(&rings([step(2)])).await.unwrap();
    let error = queue.take(Lane::Light).await.unwrap_err().to_string();
    assert!(error.contains("64 entries"), "{error}");
    assert_eq!(taken(&queue).await, Some(step(2)));
    assert_eq!(queue.health().circuit, Circuit::Closed);
}

#[tokio::test]
async fn two_installations_on_one_redis_do_not_see_each_other() {
    let redis = Redis::start();
    let (ours, theirs) = (queue(&redis), queue_at(&redis.address(), "00000000000000a2"));
    let mut bell = theirs.wakes(Arc::new(NoEntropy));
    heard(&mut bell, 1).await;
    ours.ring(&rings(steps(1..=3))).await.unwrap();
    assert_eq!((waiting(&theirs).await, taken(&theirs).await), (0, None));
    theirs.ring(&rings([step(1)])).await.unwrap();
    assert_eq!(heard(&mut bell, 2).await, 2, "our rings are not heard there");
    assert_eq!(waiting(&ours).await, 3);
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
    queue_at(&name, ID).ring(&rings([step(1)])).await.unwrap();
    let plain = format!("redis://127.0.0.1:{}", redis.port);
    let began = Instant::now();
    assert!(queue_at(&plain, ID).take(Lane::Light).await.is_err());
    let encrypted = Redis::start().address().replace("redis://", "rediss://");
    assert!(queue_at(&encrypted, ID).take(Lane::Light).await.is_err());
    assert!(began.elapsed() < BOUND);
}

#[tokio::test]
async fn a_restart_costs_no_call_and_a_dead_server_opens_the_breaker() {
    let mut redis = Redis::start();
    let queue = queue(&redis);
    queue.ring(&rings([step(1)])).await.unwrap();
    redis.kill();
    redis.again();
    assert_eq!(taken(&queue).await, None, "over a new connection");
    redis.kill();
    while queue.health().circuit == Circuit::Closed {
        let error = queue.take(Lane::Light).await.unwrap_err().to_string();
        assert!(error.contains("see that the server runs"), "{error}");
    }
    assert_eq!(queue.health().failures, LIMITS.failures);
    let error = queue.take(Lane::Light).await.unwrap_err().to_string();
    assert!(error.contains("left alone"), "{error}");
    redis.again();
    recovers(&queue).await;
    assert_eq!(queue.health().circuit, Circuit::Closed);
}

#[tokio::test]
async fn a_frozen_server_holds_nobody_up() {
    let redis = Redis::start();
    let queue = queue(&redis);
    queue.ring(&rings([step(1)])).await.unwrap();
    redis.freeze();
    let began = Instant::now();
    let error = queue.line(Lane::Light).await.unwrap_err().to_string();
    assert!(error.contains("did not answer"), "{error}");
    // Its socket still takes connections, and nobody greets.
    let error = queue.line(Lane::Light).await.unwrap_err().to_string();
    assert!(error.contains("did not answer") && began.elapsed() < BOUND, "{error}");
    redis.thaw();
    recovers(&queue).await;
    assert_eq!(taken(&queue).await, Some(step(1)));
}

#[tokio::test]
async fn the_bell_is_heard_by_every_process_and_after_a_restart() {
    let mut redis = Redis::start();
    let (ringer, listener) = (queue(&redis), queue(&redis));
    let mut wakes = listener.wakes(Arc::new(NoEntropy));
    let mut others = queue(&redis).wakes(Arc::new(NoEntropy));
    heard(&mut wakes, 1).await;
    heard(&mut others, 1).await;
    ringer.ring(&rings([step(1)])).await.unwrap();
    heard(&mut wakes, 2).await;
    heard(&mut others, 2).await;
    redis.kill();
    redis.again();
    // Once more, after the connection was made again.
    assert_eq!(heard(&mut wakes, 3).await, 3);
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
    healthy.ring(&rings([step(1)])).await.unwrap();
    let findings = healthy.check().await;
    assert!(findings.iter().all(|f| f.level == Level::Good), "{findings:#?}");
    assert_eq!(waiting(&healthy).await, 1, "it changes nothing");
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

#[tokio::test]
async fn sentinels_with_passwords_are_asked_and_a_frozen_master_is_replaced() {
    let watched = Watched::with_password("secret");
    let address = watched.address();
    refuses(&queue_at(&address, ID), "asks for a password").await;
    let login = "redis+sentinel://:secret@";
    let address = address.replace("redis+sentinel://", login) + "?sentinel_password=secret";
    let queue = queue_at(&address, ID);
    let mut wakes = queue.wakes(Arc::new(NoEntropy));
    heard(&mut wakes, 1).await;
    queue.ring(&rings([step(1)])).await.unwrap();
    watched.master.freeze();
    until("the replica is the master", || watched.replica.cli(&["ROLE"]).starts_with("master"));
    recovers(&queue).await;
    queue.ring(&rings([step(2)])).await.unwrap();
    assert_eq!(watched.replica.cli(&["ZRANGE", KEY, "-1", "-1"]), "1:m-0000000000000001/2");
    // The bell too is heard at the new master.
    heard(&mut wakes, 2).await;
    // The old one still takes itself for the master.
    watched.master.thaw();
    queue.ring(&rings([step(3)])).await.unwrap();
    assert_eq!(watched.replica.cli(&["ZRANGE", KEY, "-1", "-1"]), "1:m-0000000000000001/3");
}
