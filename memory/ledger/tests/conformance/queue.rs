//! What the leader and its relay rest on: the outbox, flows, terms.

use crate::common::{World, each, head, process};
use crate::{AT_ONCE, refused};
use charter::digest::Digest;
use charter::event::{Event, StepHead};
use charter::flow::{Lane, Priority};
use charter::ids::{StepKey, TenantId};
use charter::leader::Bid;
use charter::ports::{Ledger, Query, Rows};
use charter::rows::StepRow;
use std::collections::BTreeMap;

stories!(
    the_outbox_holds_what_is_ready,
    one_leads_at_a_time,
    a_term_that_is_over_commits_nothing,
    no_flow_hides_another,
    a_step_keeps_its_lane_and_priority,
);

async fn the_outbox_holds_what_is_ready(ledger: &dyn Ledger) {
    let world = World::new(ledger, 32);
    let mission = world.submit(&[head(1, &[]), head(2, &[1])]).await;
    let now = world.now();
    let fence = world.claim(&StepKey::step(&mission, 1)).await;
    world.failing(&fence, now + 50).commit().await.unwrap();
    let outbox = |now| Query::Outbox { now, limit: 9 };
    let Rows::Outbox(due) = world.ask(outbox(now)).await else { panic!() };
    assert_eq!(due.iter().map(|row| (row.step.n, row.due_at)).collect::<Vec<_>>(), [(1, AT_ONCE)]);
    assert_eq!(world.ask(Query::OutboxNext { now }).await, Rows::When(Some(now + 50)));
    ledger.outbox_done(&[due[0].id]).await.unwrap();
    assert_eq!(world.ask(outbox(now)).await, Rows::Outbox(vec![]));
    let Rows::Outbox(late) = world.ask(outbox(now + 50)).await else { panic!() };
    assert_eq!(late.len(), 1);
    ledger.outbox_done(&[late[0].id, 999]).await.unwrap();
    assert_eq!(world.ask(Query::OutboxNext { now }).await, Rows::When(None));
}

fn bid(pid: u32, now: i64) -> Bid {
    Bid { holder: process(pid), now, expires_at: now + 10, over: None }
}

async fn one_leads_at_a_time(ledger: &dyn Ledger) {
    let leads = async |bid: Bid| {
        let row = ledger.lead(&bid).await.unwrap();
        (row.term, row.holder.pid, row.expires_at)
    };
    assert_eq!(leads(bid(1, 100)).await, (1, 1, 110));
    assert_eq!(leads(bid(2, 105)).await, (1, 1, 110));
    assert_eq!(leads(bid(1, 105)).await, (1, 1, 115));
    assert_eq!(leads(bid(2, 114)).await, (1, 1, 115));
    assert_eq!(leads(bid(2, 115)).await, (2, 2, 125));
    assert_eq!(leads(bid(1, 116)).await, (2, 2, 125));
    // Known to be dead, it need not be waited for; given back, it is free at once.
    assert_eq!(leads(Bid { over: Some(1), ..bid(3, 117) }).await, (2, 2, 125));
    assert_eq!(leads(Bid { over: Some(2), ..bid(3, 117) }).await, (3, 3, 127));
    assert_eq!(leads(Bid { expires_at: 118, ..bid(3, 118) }).await, (3, 3, 118));
    assert_eq!(leads(bid(1, 118)).await, (4, 1, 128));
    // Of many that bid at once one gets it.
    let all: Vec<_> = (10..30).map(|pid| bid(pid, 200)).collect();
    let rows = futures::future::join_all(all.iter().map(|bid| ledger.lead(bid))).await;
    let rows: Vec<_> = rows.into_iter().map(Result::unwrap).collect();
    assert!(rows.iter().all(|row| *row == rows[0] && row.term == 5), "{rows:?}");
    let over = ledger.lead(&bid(40, i64::MAX - 20)).await.unwrap();
    assert_eq!((over.term, over.holder.pid), (6, 40));
}

async fn a_term_that_is_over_commits_nothing(ledger: &dyn Ledger) {
    let world = World::new(ledger, 77);
    let led = |term: u64| {
        let mut draft = world.submission(&[head(1, &[])]).1;
        draft.transition.term = Some(term);
        draft
    };
    refused(led(1).commit().await, "the term 1 of the leader is over: it is 0");
    assert_eq!(ledger.lead(&bid(1, 100)).await.unwrap().term, 1);
    let first = led(1).transition;
    ledger.commit(first.clone()).await.unwrap();
    assert_eq!(ledger.lead(&bid(2, 110)).await.unwrap().term, 2);
    refused(led(1).commit().await, "the term 1 of the leader is over: it is 2");
    led(2).commit().await.unwrap();
    // What was written under it before stays written, and others need no term.
    ledger.commit(first).await.unwrap();
    world.submit(&[]).await;
}

/// What is asked of a flow, by name: how many of its rows, and the first step.
async fn by_flow(world: &World<'_>, query: Query) -> BTreeMap<String, (usize, StepKey)> {
    let Rows::Outbox(rows) = world.ask(query).await else { panic!() };
    let mut flows = BTreeMap::new();
    for row in rows {
        let first = || (0, row.step.clone());
        flows.entry(row.flow().to_string()).or_insert_with(first).0 += 1;
    }
    flows
}

async fn no_flow_hides_another(ledger: &dyn Ledger) {
    let world = World::new(ledger, 51);
    let mut first = None;
    for _ in 0..20 {
        let mission = world.submit(&[head(1, &[])]).await;
        first.get_or_insert(StepKey::step(&mission, 1));
    }
    let mut urgent = World::new(ledger, 52);
    (urgent.tenant, urgent.priority) = (TenantId("b/c".to_owned()), Priority::High);
    let lanes = [Lane::Exec, Lane::Model].map(|lane| StepHead { lane, ..head(1, &[]) });
    let exec = urgent.submit(&lanes[..1]).await;
    let model = urgent.submit(&lanes[1..]).await;
    let now = world.now() + 1_000;
    for query in [Query::Outbox { now, limit: 3 }, Query::ReadyByFlow { now, limit: 3 }] {
        let found = by_flow(&world, query).await;
        let expected = [
            ("exec/high/b/c", 1, StepKey::step(&exec, 1)),
            ("light/normal/local", 3, first.clone().unwrap()),
            ("model/high/b/c", 1, StepKey::step(&model, 1)),
        ];
        let expected = expected.map(|(flow, count, step)| (flow.to_owned(), (count, step)));
        assert_eq!(found, BTreeMap::from(expected));
    }
    // What is not due yet is not found, and hides nothing.
    let fence = urgent.claim(&StepKey::step(&exec, 1)).await;
    urgent.failing(&fence, now + 5_000).commit().await.unwrap();
    let Rows::Outbox(rows) = world.ask(Query::ReadyByFlow { now, limit: 3 }).await else {
        panic!()
    };
    assert_eq!(rows.len(), 4);
    let later = Query::ReadyByFlow { now: now + 5_000, limit: 3 };
    assert_eq!(by_flow(&world, later).await["exec/high/b/c"].0, 1);
}

async fn a_step_keeps_its_lane_and_priority(ledger: &dyn Ledger) {
    let mut world = World::new(ledger, 53);
    world.priority = Priority::Low;
    let heads = [StepHead { lane: Lane::Model, ..each(1, &[]) }];
    let mission = world.submit(&heads).await;
    assert_eq!(world.mission(&mission).await.priority, Priority::Low);
    let step = StepKey::step(&mission, 1);
    let flow = |row: StepRow| (row.lane, row.priority);
    assert_eq!(flow(world.step(&step).await), (Lane::Model, Priority::Low));
    let report = world.step(&StepKey::report(&mission)).await;
    assert_eq!(flow(report), (Lane::Light, Priority::Low));
    let fence = world.claim(&step).await;
    let items = vec![Digest::of(b"1"), Digest::of(b"2")];
    let expanded =
        Event::StepExpanded { step: step.clone(), items, approval: None, prepared: Vec::new() };
    world.draft().event(expanded).release(&fence).commit().await.unwrap();
    let instance = world.step(&step.instance(2)).await;
    assert_eq!(flow(instance), (Lane::Model, Priority::Low));
}
