//! One suite for every queue: whatever stands behind [`Queue`] must hold all of it.

use crate::harness::{Redis, Watched};
use crate::testing::{
    MemoryQueue, NoEntropy, OutboxLedger, WallClock, drain, mission, rings, step, steps, taken,
    waiting,
};
use crate::{Fallback, Line, Queue, RedisQueue, SqliteDoorbell};
use charter::flow::Lane;
use charter::ids::{StepKey, TenantId};
use charter::ports::Ring;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Ways to one and the same queue, as several processes would have them.
type Doors = Vec<Arc<dyn Queue>>;
const DOORS: usize = 4;

/// A ring of step `n` with this rank.
fn ranked(n: u32, rank: u64) -> Ring {
    Ring { tenant: TenantId::local(), step: step(n), lane: Lane::Light, rank }
}

async fn order_is_that_of_ranks(doors: Doors) {
    doors[0].ring(&[ranked(1, 30), ranked(2, 10)]).await.unwrap();
    doors[1].ring(&[ranked(3, 1 << 52), ranked(4, 20), ranked(5, 0)]).await.unwrap();
    let line = doors[2].line(Lane::Light).await.unwrap();
    assert_eq!(line, Line { waiting: 5, head: Some(0) });
    let first = doors[3].take(Lane::Light).await.unwrap();
    assert_eq!(first, Some(ranked(5, 0)));
    assert_eq!(doors[0].line(Lane::Light).await.unwrap().head, Some(10));
    assert_eq!(drain(&*doors[2]).await, vec![step(2), step(4), step(1), step(3)]);
    assert_eq!(doors[1].line(Lane::Light).await.unwrap(), Line::default());
}

async fn each_lane_is_a_line_of_its_own(doors: Doors) {
    let in_lane = |n, lane| Ring { lane, ..ranked(n, u64::from(n)) };
    let all = [in_lane(3, Lane::Model), in_lane(2, Lane::Exec), in_lane(1, Lane::Light)];
    doors[0].ring(&all).await.unwrap();
    for (ring, door) in all.iter().zip(&doors) {
        assert_eq!(door.line(ring.lane).await.unwrap(), Line { waiting: 1, head: Some(ring.rank) });
        assert_eq!(door.take(ring.lane).await.unwrap().as_ref(), Some(ring));
        assert_eq!(door.take(ring.lane).await.unwrap(), None);
    }
}

async fn each_tenant_has_steps_of_its_own(doors: Doors) {
    let of = |tenant: &str, rank| Ring { tenant: TenantId(tenant.to_owned()), ..ranked(1, rank) };
    let all = [of("local", 1), of("a:b/c", 2), of("ü", 3)];
    doors[0].ring(&all).await.unwrap();
    doors[1].ring(&all).await.unwrap();
    for ring in all {
        assert_eq!(doors[2].take(Lane::Light).await.unwrap(), Some(ring));
    }
    assert_eq!(doors[3].take(Lane::Light).await.unwrap(), None);
}

async fn order_is_that_of_rings(doors: Doors) {
    doors[0].ring(&rings([step(3), step(1)])).await.unwrap();
    doors[1].ring(&rings([step(2)])).await.unwrap();
    assert_eq!(drain(&*doors[2]).await, vec![step(3), step(1), step(2)]);
    assert_eq!(taken(&*doors[3]).await, None);
}

async fn a_step_that_waits_keeps_its_place_and_is_not_doubled(doors: Doors) {
    for door in &doors {
        door.ring(&rings([step(2), step(1), step(2)])).await.unwrap();
    }
    doors[0].ring(&rings([step(3), step(1)])).await.unwrap();
    assert_eq!(waiting(&*doors[0]).await, 3);
    assert_eq!(drain(&*doors[1]).await, vec![step(2), step(1), step(3)]);
}

async fn a_taken_step_can_be_rung_at_once(doors: Doors) {
    doors[0].ring(&rings(steps(1..=2))).await.unwrap();
    assert_eq!(taken(&*doors[1]).await, Some(step(1)));
    doors[0].ring(&rings([step(1)])).await.unwrap();
    assert_eq!(drain(&*doors[1]).await, vec![step(2), step(1)], "behind what waits");
}

async fn every_form_of_a_step_comes_back(doors: Doors) {
    let forms = [
        StepKey::report(&mission()),
        step(u32::MAX),
        step(7).instance(1),
        step(7),
        step(7).instance(u32::MAX),
    ];
    doors[0].ring(&rings(forms.clone())).await.unwrap();
    assert_eq!(drain(&*doors[1]).await, forms);
}

async fn depth_counts_what_waits(doors: Doors) {
    assert_eq!(waiting(&*doors[0]).await, 0);
    doors[0].ring(&[]).await.unwrap();
    assert_eq!(waiting(&*doors[1]).await, 0);
    doors[0].ring(&rings(steps(1..=3))).await.unwrap();
    assert_eq!(waiting(&*doors[1]).await, 3);
    taken(&*doors[2]).await;
    assert_eq!(waiting(&*doors[0]).await, 2);
}

async fn a_huge_ring_arrives_whole_and_in_order(doors: Doors) {
    let many = steps(1..=3_500);
    doors[0].ring(&rings(many.clone())).await.unwrap();
    doors[1].ring(&rings(many.clone())).await.unwrap();
    assert_eq!(waiting(&*doors[1]).await, 3_500);
    assert_eq!(drain(&*doors[2]).await, many);
}

async fn many_takers_take_each_step_once(doors: Doors) {
    let many = steps(1..=1_000);
    doors[0].ring(&rings(many.clone())).await.unwrap();
    let takers = (0..8).map(|n| {
        let door = Arc::clone(&doors[n % doors.len()]);
        tokio::spawn(async move { drain(&*door).await })
    });
    let mut taken = Vec::new();
    for taker in takers.collect::<Vec<_>>() {
        taken.extend(taker.await.unwrap());
    }
    taken.sort();
    assert_eq!(taken, many);
}

async fn a_taker_that_dies_loses_at_most_what_it_took(doors: Doors) {
    let many = steps(1..=500);
    doors[0].ring(&rings(many.clone())).await.unwrap();
    let (victim, taken) = (Arc::clone(&doors[1]), Arc::new(AtomicU64::new(0)));
    let count = Arc::clone(&taken);
    let task = tokio::spawn(async move {
        while let Ok(Some(_)) = victim.take(Lane::Light).await {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    while taken.load(Ordering::SeqCst) < 20 {
        tokio::task::yield_now().await;
    }
    task.abort();
    let _ = task.await;
    let gone = 500 - waiting(&*doors[0]).await;
    let counted = taken.load(Ordering::SeqCst);
    assert!((counted..=counted + 1).contains(&gone), "{gone} are gone, {counted} were taken");
    // Whatever it held, ringing everything again brings everything back once.
    doors[0].ring(&rings(many.clone())).await.unwrap();
    let mut again = drain(&*doors[2]).await;
    again.sort();
    assert_eq!(again, many);
}

/// Rings of few different steps, so that they meet.
fn any_steps() -> impl Strategy<Value = Vec<StepKey>> {
    vec((1_u32..12).prop_map(step), 0..5)
}

/// Against a model: a line in which nobody stands twice.
async fn any_sequence_does_what_a_line_does(doors: Doors) {
    let mut runner = TestRunner::deterministic();
    let script = vec((any::<prop::sample::Index>(), prop::option::of(any_steps())), 400);
    let script = script.new_tree(&mut runner).unwrap().current();
    let mut line: VecDeque<StepKey> = VecDeque::new();
    for (n, (door, ring)) in script.into_iter().enumerate() {
        let door = door.get(&doors);
        match ring {
            Some(steps) => {
                door.ring(&rings(steps.clone())).await.unwrap();
                for step in steps {
                    if !line.contains(&step) {
                        line.push_back(step);
                    }
                }
            }
            None => assert_eq!(taken(&**door).await, line.pop_front(), "at {n}"),
        }
        assert_eq!(waiting(&**door).await, line.len() as u64, "at {n}");
    }
    assert_eq!(drain(&*doors[0]).await, Vec::from(line));
}

/// Rings and takes at the same time: nothing is lost, and nothing is taken more
/// often than it was rung.
async fn rings_and_takes_at_a_time_lose_nothing(doors: Doors) {
    let mut runner = TestRunner::deterministic();
    let (mut rung, mut ringers) = (BTreeMap::<StepKey, usize>::new(), Vec::new());
    for door in &doors[..3] {
        let script = vec(any_steps(), 60).new_tree(&mut runner).unwrap().current();
        for steps in &script {
            for step in steps.iter().collect::<BTreeSet<_>>() {
                *rung.entry(step.clone()).or_default() += 1;
            }
        }
        let door = Arc::clone(door);
        ringers.push(tokio::spawn(async move {
            for steps in script {
                door.ring(&rings(steps.clone())).await.unwrap();
            }
        }));
    }
    let takers: Vec<_> = (0..3)
        .map(|n| {
            let door = Arc::clone(&doors[n + 1]);
            tokio::spawn(async move {
                let mut taken = Vec::new();
                for _ in 0..100 {
                    taken.extend(self::taken(&*door).await);
                    tokio::task::yield_now().await;
                }
                taken
            })
        })
        .collect();
    for ringer in ringers {
        ringer.await.unwrap();
    }
    let mut taken = BTreeMap::<StepKey, usize>::new();
    for taker in takers {
        for step in taker.await.unwrap() {
            *taken.entry(step).or_default() += 1;
        }
    }
    for step in drain(&*doors[0]).await {
        *taken.entry(step).or_default() += 1;
    }
    assert_eq!(taken.keys().collect::<Vec<_>>(), rung.keys().collect::<Vec<_>>());
    for (step, times) in taken {
        assert!(times <= rung[&step], "{step}: rung {} times, taken {times}", rung[&step]);
    }
}

/// All of the above, each on a fresh queue.
async fn hold(fresh: impl AsyncFn() -> Doors) {
    order_is_that_of_ranks(fresh().await).await;
    each_lane_is_a_line_of_its_own(fresh().await).await;
    each_tenant_has_steps_of_its_own(fresh().await).await;
    order_is_that_of_rings(fresh().await).await;
    a_step_that_waits_keeps_its_place_and_is_not_doubled(fresh().await).await;
    a_taken_step_can_be_rung_at_once(fresh().await).await;
    every_form_of_a_step_comes_back(fresh().await).await;
    depth_counts_what_waits(fresh().await).await;
    a_huge_ring_arrives_whole_and_in_order(fresh().await).await;
    many_takers_take_each_step_once(fresh().await).await;
    a_taker_that_dies_loses_at_most_what_it_took(fresh().await).await;
    any_sequence_does_what_a_line_does(fresh().await).await;
    rings_and_takes_at_a_time_lose_nothing(fresh().await).await;
}

async fn hold_redis(address: &str) {
    let installation = AtomicU64::new(1);
    hold(async || {
        let id = format!("{:016x}", installation.fetch_add(1, Ordering::SeqCst));
        let door = |_| Arc::new(RedisQueue::new(address.parse().unwrap(), &id).unwrap()) as _;
        (0..DOORS).map(door).collect()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_double_in_memory_holds() {
    hold(async || {
        let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::default());
        vec![queue; DOORS]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_holds() {
    let folder = tempfile::tempdir().unwrap();
    let file = AtomicU64::new(0);
    hold(async || {
        let path = folder.path().join(format!("{}.db", file.fetch_add(1, Ordering::SeqCst)));
        let mut doors: Doors = vec![Arc::new(SqliteDoorbell::open(&path).await.unwrap())];
        doors.extend((1..DOORS).map(|_| Arc::new(SqliteDoorbell::attach(&path)) as _));
        doors
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_holds() {
    let redis = Redis::start();
    hold_redis(&redis.address()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_on_a_socket_and_in_another_database_holds() {
    let redis = Redis::start();
    hold_redis(&format!("unix://{}/sock?db=3", redis.folder.path().display())).await;
    assert_eq!(redis.cli(&["DBSIZE"]), "0", "database 0 is somebody else's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_with_a_password_holds() {
    let redis = Redis::with(&["--requirepass", "p@ss/word"]);
    hold_redis(&redis.address().replace("redis://", "redis://:p%40ss%2Fword@")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_for_a_user_with_nothing_but_the_needed_rights_holds() {
    let redis = Redis::start();
    let rights = ["~{alma:*", "&{alma:*", "+zadd", "+zpopmin", "+zcard", "+zrange", "+publish"];
    let user = [&["ACL", "SETUSER", "alma", "on", ">secret"][..], &rights].concat();
    assert_eq!(redis.cli(&user), "OK");
    hold_redis(&redis.address().replace("redis://", "redis://alma:secret@")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_over_tls_holds() {
    let redis = Redis::tls();
    hold_redis(&redis.address()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_behind_sentinels_holds() {
    let watched = Watched::start();
    hold_redis(&watched.address()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_with_the_record_behind_it_holds() {
    let redis = Redis::start();
    let installation = AtomicU64::new(1);
    hold(async || {
        let id = format!("{:016x}", installation.fetch_add(1, Ordering::SeqCst));
        let queue = || Arc::new(RedisQueue::new(redis.address().parse().unwrap(), &id).unwrap());
        let ledger = Arc::new(OutboxLedger::default());
        let door = |_| {
            let (clock, entropy) = (Arc::new(WallClock), Arc::new(NoEntropy));
            Arc::new(Fallback::new(queue(), Arc::clone(&ledger) as _, clock, entropy)) as _
        };
        (0..DOORS).map(door).collect()
    })
    .await;
}
