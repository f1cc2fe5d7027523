//! Budgets, however many steps run side by side.

use crate::common::{World, head, usage};
use crate::missions::replanned;
use crate::{refused, states};
use charter::approval::Question;
use charter::budget::Usage;
use charter::digest::Digest;
use charter::event::{DeathCause, EffectOutcome, Event};
use charter::ids::StepKey;
use charter::ports::{Fence, Ledger, Query, Rows};
use charter::rows::{MissionState, StepState};

stories!(
    a_spent_budget_skips,
    steps_side_by_side_write_within_their_budget,
    a_lost_claim_writes_within_the_budget,
    steps_side_by_side_pass_a_budget_of_time_by_one_of_them,
    a_replaced_step_has_written,
);

async fn a_spent_budget_skips(ledger: &dyn Ledger) {
    let world = World::new(ledger, 17);
    let mission = world.submit(&[head(1, &[]), head(2, &[])]).await;
    let fence = world.claim(&StepKey::step(&mission, 1)).await;
    world.die(&fence, DeathCause::Permanent, &[]).await;
    let limit = charter::budget::Limit::Steps;
    let steps = vec![StepKey::step(&mission, 2)];
    let stopped = Event::MissionStopped { mission: mission.clone(), limit, steps };
    world.draft().event(stopped).commit().await.unwrap();
    assert_eq!(states(&world, &mission).await[1], (2, StepState::Skipped));
    assert_eq!(world.mission(&mission).await.stopped, Some(limit));
    let again = world.requeueing(&StepKey::step(&mission, 1), &[]);
    refused(again.commit().await, "was stopped");
    world.end(&mission, MissionState::Partial).await;
}

async fn steps_side_by_side_write_within_their_budget(ledger: &dyn Ledger) {
    let world = World::new(ledger, 42);
    let mission = world.submit(&[head(1, &[]), head(2, &[])]).await;
    let most = world.mission(&mission).await.budget.bytes_written;
    let beyond = "budget of its mission: bytes_written";
    let one = world.claim(&StepKey::step(&mission, 1)).await;
    let two = world.claim(&StepKey::step(&mission, 2)).await;
    world.writing(&one, b"one", most - 9).commit().await.unwrap();
    assert_eq!(world.mission(&mission).await.reserved.bytes_written, most - 9);
    refused(world.writing(&two, b"two", 10).commit().await, beyond);
    world.writing(&two, b"two", 9).commit().await.unwrap();
    refused(world.writing(&two, b"three", 1).commit().await, beyond);
    // What it did not write is free again.
    let nothing = world.receiving(&one, Digest::of(b"one"), EffectOutcome::Failed);
    nothing.commit().await.unwrap();
    assert_eq!(world.mission(&mission).await.reserved.bytes_written, 9);
    world.failing(&one, world.now()).commit().await.unwrap();
    world.receiving(&two, Digest::of(b"two"), EffectOutcome::Done).commit().await.unwrap();
    world.finish(&two, &[]).await;
    let row = world.mission(&mission).await;
    // A receipt that says less than the effects say is not believed.
    let written = usage().bytes_written + 9;
    assert_eq!((row.reserved, row.spent.bytes_written), (Usage::default(), written));
}

/// What a worker wrote that died is not known before the next one looks, and counts.
async fn a_lost_claim_writes_within_the_budget(ledger: &dyn Ledger) {
    let world = World::new(ledger, 44);
    let mission = world.submit(&[head(1, &[]), head(2, &[])]).await;
    let most = world.mission(&mission).await.budget.bytes_written;
    let beyond = "budget of its mission: bytes_written";
    let bytes = async || {
        let row = world.mission(&mission).await;
        (row.spent.bytes_written, row.reserved.bytes_written)
    };
    let lost = world.claim(&StepKey::step(&mission, 1)).await;
    world.writing(&lost, b"known", 7).commit().await.unwrap();
    world.receiving(&lost, Digest::of(b"known"), EffectOutcome::Done).commit().await.unwrap();
    world.writing(&lost, b"open", most - 19).commit().await.unwrap();
    assert_eq!(bytes().await, (0, most - 12));
    let (step, token, ready_at) = (lost.step, lost.token, world.now());
    let back = Event::StepReleased { step, token, dead: true, ready_at };
    world.draft().event(back).commit().await.unwrap();
    assert_eq!(bytes().await, (7, most - 19));
    let other = world.claim(&StepKey::step(&mission, 2)).await;
    refused(world.writing(&other, b"other", 13).commit().await, beyond);
    // The same effect again is kept already.
    let next = world.claim(&StepKey::step(&mission, 1)).await;
    world.writing(&next, b"open", most - 19).commit().await.unwrap();
    assert_eq!(bytes().await, (7, most - 19));
    refused(world.writing(&next, b"more", 13).commit().await, beyond);
    world.receiving(&next, Digest::of(b"open"), EffectOutcome::Done).commit().await.unwrap();
    world.finish(&next, &[]).await;
    assert_eq!(bytes().await, (most - 12, 0));
    // A claim that ends in a question tells nothing either.
    world.writing(&other, b"asks", 5).commit().await.unwrap();
    let approval = world.approval();
    let (step, listed) = (other.step.clone(), vec![other.step.clone()]);
    let parked = Event::StepParked { step, approval: approval.clone() };
    let draft = world.receiving(&other, Digest::of(b"asks"), EffectOutcome::Done).release(&other);
    let draft = draft.event(parked);
    let draft = world.requested(draft, &approval, &mission, Question::Permission, &[], listed);
    draft.commit().await.unwrap();
    assert_eq!(bytes().await, (most - 7, 0));
}

/// Time is known when a step ends: until then its limits count.
async fn steps_side_by_side_pass_a_budget_of_time_by_one_of_them(ledger: &dyn Ledger) {
    let world = World::new(ledger, 43);
    let heads: Vec<_> = (1..=9).map(|n| head(n, &[])).collect();
    let mission = world.submit(&heads).await;
    let budget = world.mission(&mission).await.budget;
    let claiming = async |n: u32, wall: u64, cpu: u64| {
        let step = StepKey::step(&mission, n);
        let fence = Fence { token: world.step(&step).await.token + 1, step };
        world.claiming_time(&fence, wall, cpu).commit().await.map(|_| fence)
    };
    let rung = async || {
        let query = Query::Outbox { now: world.now(), limit: 99 };
        let Rows::Outbox(rows) = world.ask(query).await else { panic!() };
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        ledger.outbox_done(&ids).await.unwrap();
        let mut own: Vec<u32> = rows.into_iter().map(|row| row.step.n).collect();
        own.sort_unstable();
        own
    };
    assert_eq!(rung().await.len(), 9);
    // Alone a step may have any limits.
    let first = claiming(1, budget.wall_ms * 2, 1).await.unwrap();
    refused(claiming(2, 1, 1).await, "waits: with those that run");
    world.finish(&first, &[]).await;
    assert_eq!(rung().await, [0; 0], "nobody waits as far as is known");
    let crowded = Event::MissionCrowded { mission: mission.clone() };
    world.draft().event(crowded).commit().await.unwrap();
    // The first leaves room for one more like it, the second for none.
    let limit = budget.cpu_ms * 2 / 5;
    let second = claiming(2, 10, limit).await.unwrap();
    assert_eq!(rung().await, [3, 4]);
    let third = claiming(3, 10, limit).await.unwrap();
    assert_eq!(rung().await, [0; 0]);
    refused(claiming(4, 10, limit).await, "waits: with those that run");
    assert_eq!(world.mission(&mission).await.reserved.wall_ms, 20);
    // What needs no time, as gathering, waits for nobody.
    let quick = claiming(4, 0, 0).await.unwrap();
    world.finish(&quick, &[]).await;
    assert_eq!(rung().await, [5, 6]);
    // Each end wakes the next ones, and behind the last the first; large ones still wait.
    world.finish(&third, &[]).await;
    assert_eq!(rung().await, [5, 6]);
    refused(claiming(5, 10, budget.cpu_ms).await, "waits: with those that run");
    let last = claiming(9, 10, limit).await.unwrap();
    world.finish(&last, &[]).await;
    assert_eq!(rung().await, [5, 6]);
    // One that failed before is woken when no other waits.
    for n in 5..=8 {
        let fence = claiming(n, 10, limit).await.unwrap();
        match n {
            5 => drop(world.failing(&fence, world.now()).commit().await.unwrap()),
            _ => drop(world.finish(&fence, &[]).await),
        }
    }
    rung().await;
    world.finish(&second, &[]).await;
    assert_eq!(rung().await, [5]);
    assert_eq!(world.mission(&mission).await.reserved, Usage::default());
}

/// A plan that replaces a step takes nothing of its bytes away.
async fn a_replaced_step_has_written(ledger: &dyn Ledger) {
    let world = World::new(ledger, 45);
    let mission = world.submit(&[head(1, &[])]).await;
    let fence = world.claim(&StepKey::step(&mission, 1)).await;
    world.writing(&fence, b"known", 7).commit().await.unwrap();
    world.receiving(&fence, Digest::of(b"known"), EffectOutcome::Done).commit().await.unwrap();
    world.writing(&fence, b"open", 5).commit().await.unwrap();
    let parent = world.mission(&mission).await.plan_digest;
    let mut draft = world.draft().release(&fence);
    let heads = [head(1, &[])];
    let event = replanned(&mut draft, &mission, (parent, &heads), &[], vec![]);
    draft.event(event).commit().await.unwrap();
    let row = world.mission(&mission).await;
    assert_eq!((row.spent.bytes_written, row.reserved.bytes_written), (7, 5));
}
