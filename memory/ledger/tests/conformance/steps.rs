//! What becomes of steps, claims and leases.

use crate::common::{World, each, head, process, usage};
use crate::{AT_ONCE, refused, states};
use charter::digest::Digest;
use charter::event::{DeathCause, Event};
use charter::ids::{StepKey, TenantId};
use charter::mode::Mode;
use charter::ports::{Fence, LeaseChange, LeaseStatus, Ledger, LedgerExt, Query, Rows};
use charter::rows::{MissionState, StepState};

stories!(
    a_claim_is_fenced,
    a_step_is_seen_with_what_stands_around_it,
    a_lease_lives_as_long_as_its_claim,
    a_failed_try_waits_for_its_time,
    a_released_claim_is_void,
    instances_end_into_their_step,
    a_list_without_elements_is_gathered_once,
    a_dead_step_skips_and_comes_back,
    two_dead_needs_keep_a_step_skipped,
    a_dead_instance_comes_back,
    a_discarded_step_is_off_the_desk,
);

async fn a_claim_is_fenced(ledger: &dyn Ledger) {
    let world = World::new(ledger, 5);
    let mission = world.submit(&[head(1, &[]), head(2, &[1])]).await;
    let (one, two) = (StepKey::step(&mission, 1), StepKey::step(&mission, 2));
    refused(world.try_claim(&two).await, "is blocked");
    let wrong = Fence { step: one.clone(), token: 2 };
    refused(world.claiming(&wrong).commit().await, "next token is not 2");
    let fence = world.claim(&one).await;
    refused(world.try_claim(&one).await, "is claimed");
    let stale = Fence { token: 0, ..fence.clone() };
    refused(world.finishing(&stale, &[2]).commit().await, "is void");
    let mut unleased = world.claiming(&Fence { step: two.clone(), token: 1 });
    unleased.transition.lease = LeaseChange::Keep;
    unleased.transition.fence = None;
    refused(unleased.commit().await, "is blocked");
    refused(world.finishing(&fence, &[1]).commit().await, "does not wait for");
    world.finish(&fence, &[2]).await;
    refused(world.finishing(&fence, &[2]).commit().await, "is void");
    let mut unleased = world.claiming(&Fence { step: two, token: 1 });
    unleased.transition.lease = LeaseChange::Keep;
    unleased.transition.fence = None;
    refused(unleased.commit().await, "without a lease");
    let nobody = StepKey::step(&mission, 9);
    let nobody = Fence { step: nobody, token: 1 };
    refused(world.claiming(&nobody).commit().await, "step m-");
}

async fn a_step_is_seen_with_what_stands_around_it(ledger: &dyn Ledger) {
    let world = World::new(ledger, 41);
    let mission = world.submit(&[each(1, &[]), head(2, &[1])]).await;
    let one = StepKey::step(&mission, 1);
    let nothing = world.ask(Query::Around { step: StepKey::step(&mission, 9) }).await;
    assert_eq!(nothing, Rows::Around(None));
    let before = world.ledger.around(&world.tenant, &one).await.unwrap();
    assert_eq!((before.mode, before.effects.len()), (Mode::Running, 0));
    let fence = world.claim(&one).await;
    for key in [b"b", b"a"] {
        world.intending(&fence, Digest::of(key), None).commit().await.unwrap();
    }
    let (tenant, mode, by) = (world.tenant.clone(), Mode::Maintenance, "me".to_owned());
    world.draft().event(Event::ModeChanged { tenant, mode, by }).commit().await.unwrap();
    let around = world.ledger.around(&world.tenant, &one).await.unwrap();
    assert_eq!(around.mode, Mode::Maintenance);
    assert_eq!(around.step, world.step(&one).await);
    assert_eq!(around.mission, world.mission(&mission).await);
    assert_eq!(around.effects.len(), 2);
    assert_eq!(around.effects, world.ledger.effects(&world.tenant, &one).await.unwrap());
    let other = ledger.around(&TenantId("other".into()), &one).await;
    refused(other, "step m-");
}

async fn a_lease_lives_as_long_as_its_claim(ledger: &dyn Ledger) {
    let world = World::new(ledger, 6);
    let mission = world.submit(&[head(1, &[])]).await;
    let fence = world.claim(&StepKey::step(&mission, 1)).await;
    let stale = Fence { token: 9, ..fence.clone() };
    assert_eq!(ledger.renew(&fence, 77).await.unwrap(), LeaseStatus::Held);
    assert_eq!(ledger.renew(&stale, 88).await.unwrap(), LeaseStatus::Lost);
    ledger.note_program(&fence, &process(1), true).await.unwrap();
    ledger.note_program(&fence, &process(2), true).await.unwrap();
    ledger.note_program(&fence, &process(1), false).await.unwrap();
    refused(ledger.note_program(&stale, &process(3), true).await, "is void");
    let Rows::Leases(leases) = world.ask(Query::Leases).await else { panic!() };
    assert_eq!(leases.len(), 1);
    assert_eq!((leases[0].token, leases[0].expires_at), (1, 77));
    assert_eq!(leases[0].programs, [process(2)]);
    let mut stays = world.draft();
    let prepared = stays.text("prepared");
    let step = fence.step.clone();
    let stays = stays.release(&fence).event(Event::StepPrepared { step, prepared });
    refused(stays.commit().await, "stays claimed");
    world.cancelling(&mission, vec![fence.step.clone()]).commit().await.unwrap();
    assert_eq!(ledger.renew(&fence, 99).await.unwrap(), LeaseStatus::Cancelled);
    let step = fence.step.clone();
    let ended = world.draft().fence(&fence);
    ended.event(Event::StepCancelled { step, usage: usage() }).commit().await.unwrap();
    assert_eq!(ledger.renew(&fence, 99).await.unwrap(), LeaseStatus::Lost);
    assert_eq!(world.ask(Query::Leases).await, Rows::Leases(vec![]));
}

async fn a_failed_try_waits_for_its_time(ledger: &dyn Ledger) {
    let world = World::new(ledger, 7);
    let mission = world.submit(&[head(1, &[])]).await;
    let one = StepKey::step(&mission, 1);
    let fence = world.claim(&one).await;
    let due = world.now() + 500;
    let committed = world.failing(&fence, due).commit().await.unwrap();
    assert_eq!(committed.ready, [(one.clone(), due)]);
    refused(world.try_claim(&one).await, "not due");
    assert_eq!(world.ask(Query::ReadySteps { now: due - 1, limit: 9 }).await, Rows::Steps(vec![]));
    world.pass(500);
    let Rows::Steps(ready) = world.ask(Query::ReadySteps { now: due, limit: 9 }).await else {
        panic!()
    };
    assert_eq!((&ready[0].key, ready[0].failures, ready[0].lost), (&one, 1, 0));
    assert_eq!(world.claim(&one).await.token, 2);
}

async fn a_released_claim_is_void(ledger: &dyn Ledger) {
    let world = World::new(ledger, 8);
    let mission = world.submit(&[head(1, &[])]).await;
    let one = StepKey::step(&mission, 1);
    let fence = world.claim(&one).await;
    let released =
        |token| Event::StepReleased { step: one.clone(), token, dead: true, ready_at: world.now() };
    refused(world.draft().event(released(7)).commit().await, "claimed again");
    world.draft().event(released(1)).commit().await.unwrap();
    refused(world.finishing(&fence, &[]).commit().await, "is void");
    let row = world.step(&one).await;
    assert_eq!((row.state, row.lost, row.worker), (StepState::Ready, 1, None));
    assert!(!row.former_alive);
    assert_eq!(world.ask(Query::Leases).await, Rows::Leases(vec![]));
    // Whoever may still live is remembered, whatever becomes of the step.
    world.claim(&one).await;
    let (step, ready_at) = (one.clone(), world.now());
    let alive = Event::StepReleased { step, token: 2, dead: false, ready_at };
    world.draft().event(alive).commit().await.unwrap();
    let fence = world.claim(&one).await;
    world.die(&fence, DeathCause::Permanent, &[]).await;
    world.requeueing(&one, &[]).commit().await.unwrap();
    let row = world.step(&one).await;
    assert!(row.former_alive && row.lost == 0);
}

async fn instances_end_into_their_step(ledger: &dyn Ledger) {
    let world = World::new(ledger, 9);
    let mission = world.submit(&[each(1, &[]), head(2, &[1])]).await;
    let one = StepKey::step(&mission, 1);
    let fence = world.claim(&one).await;
    let committed = world.expanding(&fence, 3, None).commit().await.unwrap();
    assert_eq!(committed.ready.len(), 3);
    let row = world.step(&one).await;
    assert_eq!((row.state, row.items, row.items_open), (StepState::Expanded, 3, 3));
    world.run(&one.instance(1), &[]).await;
    world.run(&one.instance(2), &[]).await;
    refused(world.try_claim(&one).await, "is expanded");
    let last = world.claim(&one.instance(3)).await;
    refused(world.finishing(&last, &[2]).commit().await, "its step does");
    world.die(&last, DeathCause::Permanent, &[]).await;
    let row = world.step(&one).await;
    assert_eq!((row.state, row.items_open, row.items_lost), (StepState::Ready, 0, 1));
    assert!(row.expanded);
    let fence = world.claim(&one).await;
    refused(world.expanding(&fence, 1, None).commit().await, "no instances to be made");
    world.finish(&fence, &[2]).await;
    let row = world.mission(&mission).await;
    assert_eq!((row.ended, row.dead, row.spent.steps), (1, 1, 5));
}

async fn a_list_without_elements_is_gathered_once(ledger: &dyn Ledger) {
    let world = World::new(ledger, 10);
    let mission = world.submit(&[each(1, &[])]).await;
    let one = StepKey::step(&mission, 1);
    let fence = world.claim(&one).await;
    let committed = world.expanding(&fence, 0, None).commit().await.unwrap();
    assert_eq!(committed.ready, [(one.clone(), AT_ONCE)]);
    let row = world.step(&one).await;
    assert_eq!((row.state, row.items, row.expanded), (StepState::Ready, 0, true));
    world.run(&one, &[]).await;
    world.end(&mission, MissionState::Done).await;
}

async fn a_dead_step_skips_and_comes_back(ledger: &dyn Ledger) {
    let world = World::new(ledger, 11);
    let mission = world.submit(&[head(1, &[]), head(2, &[1]), head(3, &[2])]).await;
    let one = StepKey::step(&mission, 1);
    let fence = world.claim(&one).await;
    world.die(&fence, DeathCause::Refused, &[2, 3]).await;
    let row = world.mission(&mission).await;
    assert_eq!((row.ended, row.dead, row.refused, row.active), (3, 1, true, 1));
    let Rows::Steps(dead) = world.ask(Query::DeadSteps { limit: 5 }).await else { panic!() };
    assert_eq!(dead.iter().map(|row| row.key.n).collect::<Vec<_>>(), [1]);
    let (three, two) = (3, 2);
    world.requeueing(&one, &[three, two]).commit().await.unwrap();
    let blocked = StepState::Blocked;
    assert_eq!(states(&world, &mission).await, [(1, StepState::Ready), (2, blocked), (3, blocked)]);
    let row = world.mission(&mission).await;
    assert_eq!((row.ended, row.dead, row.refused, row.active), (0, 0, false, 1));
    let report = world.step(&StepKey::report(&mission)).await;
    assert_eq!((report.state, report.blocked_by), (blocked, 3));
    for (n, unblocks) in [(1, [2].as_slice()), (2, &[3]), (3, &[])] {
        world.run(&StepKey::step(&mission, n), unblocks).await;
    }
    world.end(&mission, MissionState::Done).await;
    refused(world.requeueing(&one, &[]).commit().await, "is done");
}

async fn two_dead_needs_keep_a_step_skipped(ledger: &dyn Ledger) {
    let world = World::new(ledger, 12);
    let mission = world.submit(&[head(1, &[]), head(2, &[]), head(3, &[1, 2])]).await;
    for n in [1, 2] {
        let fence = world.claim(&StepKey::step(&mission, n)).await;
        world.die(&fence, DeathCause::Permanent, &[3]).await;
    }
    world.requeueing(&StepKey::step(&mission, 1), &[3]).commit().await.unwrap();
    assert_eq!(states(&world, &mission).await[2], (3, StepState::Skipped));
    world.requeueing(&StepKey::step(&mission, 2), &[3]).commit().await.unwrap();
    assert_eq!(states(&world, &mission).await[2], (3, StepState::Blocked));
    assert_eq!(world.step(&StepKey::step(&mission, 3)).await.blocked_by, 2);
}

async fn a_dead_instance_comes_back(ledger: &dyn Ledger) {
    let world = World::new(ledger, 13);
    let mission = world.submit(&[each(1, &[]), head(2, &[1])]).await;
    let one = StepKey::step(&mission, 1);
    let fence = world.claim(&one).await;
    world.expanding(&fence, 2, None).commit().await.unwrap();
    world.run(&one.instance(1), &[]).await;
    let fence = world.claim(&one.instance(2)).await;
    world.die(&fence, DeathCause::Exhausted, &[]).await;
    let fence = world.claim(&one).await;
    world.die(&fence, DeathCause::Permanent, &[2]).await;
    world.end(&mission, MissionState::Failed).await;
    world.requeueing(&one.instance(2), &[2]).commit().await.unwrap();
    let row = world.step(&one).await;
    assert_eq!((row.state, row.items_open, row.items_lost), (StepState::Expanded, 1, 0));
    assert_eq!((row.cause, row.error), (None, None));
    let row = world.mission(&mission).await;
    assert_eq!((row.state, row.ended, row.dead), (MissionState::Running, 0, 0));
    world.run(&one.instance(2), &[]).await;
    world.run(&one, &[2]).await;
    world.run(&StepKey::step(&mission, 2), &[]).await;
    world.end(&mission, MissionState::Done).await;
}

async fn a_discarded_step_is_off_the_desk(ledger: &dyn Ledger) {
    let world = World::new(ledger, 15);
    let mission = world.submit(&[head(1, &[])]).await;
    let one = StepKey::step(&mission, 1);
    let discard = || {
        let (step, by) = (one.clone(), "me".to_owned());
        world.draft().event(Event::StepDiscarded { step, by })
    };
    refused(discard().commit().await, "is ready, so it cannot be discarded");
    let fence = world.claim(&one).await;
    world.die(&fence, DeathCause::Poison, &[]).await;
    discard().commit().await.unwrap();
    let row = world.mission(&mission).await;
    assert_eq!((row.dead, row.ended), (0, 1));
    refused(world.requeueing(&one, &[]).commit().await, "is discarded");
    assert_eq!(world.ask(Query::DeadSteps { limit: 5 }).await, Rows::Steps(vec![]));
}
