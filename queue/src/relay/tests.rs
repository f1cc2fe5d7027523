//! The relay between a ledger and a queue in memory.

use super::*;
use crate::pace::{FULL, WINDOW};
use crate::testing::{
    MemoryQueue, NoEntropy, OutboxLedger, WallClock, drain, rings, row, step, steps, taken,
};
use charter::flow::Priority;
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
        match self::taken(&*bench.queue).await {
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
    Doorbell::ring(&*bench.queue, &rings([step(2)])).await.unwrap();
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
    assert_eq!((status.waiting[&Lane::Light], status.ready), (1_000, 1_000));
    assert_eq!(bench.relay.sweep().await.unwrap(), 0);
}

#[tokio::test]
async fn how_it_fares_can_be_read() {
    let bench = bench();
    let mut status = bench.relay.status();
    assert_eq!(*status.borrow(), RelayStatus::default());
    bench.ledger.submit(&[step(1)], 0);
    let _stop = bench.start();
    bench.until("off the outbox", |bench| bench.ledger.outbox_len() == 0).await;
    fares(&mut status, |status| status.lag_ms == 0).await;
    bench.queue.break_down(true);
    bench.ledger.submit(&[step(2)], 0);
    let failing = fares(&mut status, |status| status.lag_ms >= 100).await;
    assert!(failing.failures > 0 && failing.lag_ms < 10_000, "{failing:?}");
    let words = "the relay could not reach the queue: the queue could not count: broken";
    assert_eq!(failing.last_error.as_deref(), Some(words));
    bench.queue.break_down(false);
    let well = fares(&mut status, |status| status.failures == 0 && status.lag_ms == 0).await;
    assert_eq!(well.last_error.as_deref(), Some(words));
}

#[tokio::test]
async fn a_tenant_with_one_step_waits_for_no_backlog_of_another() {
    let bench = bench();
    bench.ledger.submit(&steps(1..=2_500), 0);
    let _stop = bench.start();
    bench.until("full", |bench| bench.queue.waiting().len() == WINDOW as usize).await;
    let other = TenantId("other".to_owned());
    bench.ledger.submit_rows([row("other", Priority::Normal, 9_999)]);
    let mut before = 0;
    loop {
        match bench.queue.take(Lane::Light).await.unwrap() {
            Some(ring) if ring.tenant == other => break,
            Some(_) => before += 1,
            None => {}
        }
        // The relay may have to wait for room first.
        tokio::time::sleep(2 * FULL).await;
        assert!(before < 10, "it waits behind the backlog");
    }
}

#[tokio::test]
async fn a_full_lane_holds_up_no_other() {
    let bench = bench();
    let slow = |n| OutboxRow { lane: Lane::Model, ..row("local", Priority::Normal, n) };
    bench.ledger.submit_rows((1..=1_500).map(slow));
    let _stop = bench.start();
    bench.until("full", |bench| bench.queue.waiting().len() == WINDOW as usize).await;
    let began = Instant::now();
    bench.ledger.submit(&[step(2_000)], 0);
    bench.until("rung", |bench| bench.queue.waiting().contains(&step(2_000))).await;
    assert!(began.elapsed() < SWEEP, "{:?}", began.elapsed());
    assert_eq!(drain(&*bench.queue).await, [step(2_000)]);
    bench.until("told", |bench| bench.relay.status().borrow().waiting[&Lane::Model] == 1_000).await;
}

#[tokio::test]
async fn a_sweep_holds_nothing_against_a_flow() {
    let bench = bench();
    let ready = |tenant: &'static str| (1..=4).map(move |n| row(tenant, Priority::Normal, n));
    bench.ledger.make_ready_rows(ready("a"));
    for _ in 0..5 {
        bench.relay.sweep().await.unwrap();
    }
    bench.ledger.make_ready_rows([]);
    bench.ledger.submit_rows(
        ready("b").chain(ready("a").map(|row| OutboxRow { step: step(row.step.n + 10), ..row })),
    );
    let _stop = bench.start();
    bench.until("off the outbox", |bench| bench.ledger.outbox_len() == 0).await;
    let mut tenants = String::new();
    while let Some(ring) = bench.queue.take(Lane::Light).await.unwrap() {
        tenants.push_str(&ring.tenant.0);
    }
    assert_eq!(tenants, "aabaabaabaab".chars().take(12).collect::<String>(), "a has two of three");
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
