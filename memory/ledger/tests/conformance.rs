//! One suite for every ledger, and both ledgers against each other.
#![allow(clippy::unwrap_used)]

mod common;
#[macro_use]
#[path = "common/stories.rs"]
mod stories;

use charter::approval::{Answer, ApprovalState, Grant, Question};
use charter::budget::Usage;
use charter::digest::Digest;
use charter::event::{DeathCause, EffectOutcome, Event, StepHead};
use charter::flow::{Lane, Priority};
use charter::ids::{StepKey, StreamId, TenantId};
use charter::leader::Bid;
use charter::mode::Mode;
use charter::ports::{
    Fence, LeaseChange, LeaseStatus, Ledger, LedgerError, LedgerExt, Query, Rows,
};
use charter::rows::{EffectState, MissionState, StepRow, StepState};
use common::{World, each, head, process, usage};
use std::collections::BTreeMap;

stories!(
    a_mission_runs_from_wish_to_report,
    a_plan_without_steps_goes_straight_to_its_report,
    a_transition_counts_once,
    a_refused_transition_leaves_nothing,
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
    an_ended_mission_opens_again,
    a_discarded_step_is_off_the_desk,
    a_cancelled_mission_ends_what_nobody_runs,
    a_spent_budget_skips,
    steps_side_by_side_write_within_their_budget,
    a_lost_claim_writes_within_the_budget,
    steps_side_by_side_pass_a_budget_of_time_by_one_of_them,
    waiting_is_when_only_a_person_can_help,
    a_grant_is_spent_once,
    an_expired_question_is_opened_again,
    a_denied_step_wakes_to_die,
    a_part_is_asked_before_anything_runs,
    a_report_that_waits_is_freed_by_a_cancel,
    an_effect_is_done_once,
    an_effect_in_doubt_waits_for_an_answer,
    a_child_plan_keeps_what_is_done,
    a_child_plan_fences_old_claims_off,
    a_running_step_is_not_replaced_by_others,
    texts_belong_to_their_events,
    tenants_do_not_see_each_other,
    lists_are_filtered_and_bounded,
    the_outbox_holds_what_is_ready,
    one_leads_at_a_time,
    a_term_that_is_over_commits_nothing,
    no_flow_hides_another,
    a_step_keeps_its_lane_and_priority,
);

fn refused<T: std::fmt::Debug>(result: Result<T, LedgerError>, expect: &str) {
    match result.unwrap_err() {
        LedgerError::Conflict(why) | LedgerError::NotFound(why) => {
            assert!(why.contains(expect), "{why:?} does not say {expect:?}");
        }
        other => panic!("{other}"),
    }
}

/// From when on a step may run that waits for nothing: no clock can hold it up.
const AT_ONCE: charter::ids::Millis = 0;

async fn states(world: &World<'_>, mission: &charter::ids::MissionId) -> Vec<(u32, StepState)> {
    let query = Query::Steps {
        mission: mission.clone(),
        state: None,
        items_of: None,
        after: None,
        limit: 100,
    };
    let rows = world.ledger.steps(&world.tenant, query).await.unwrap();
    rows.into_iter().map(|row: StepRow| (row.key.n, row.state)).collect()
}

async fn a_mission_runs_from_wish_to_report(ledger: &dyn Ledger) {
    let world = World::new(ledger, 1);
    let mission = world.whole_mission().await;
    let row = world.mission(&mission).await;
    assert_eq!((row.state, row.ended, row.steps), (MissionState::Done, 2, 2));
    assert_eq!((row.parked, row.dead, row.active), (0, 0, 0));
    // Six claims without the report's, six ends with it.
    let spent = Usage { steps: 6, wall_ms: 25, cpu_ms: 15, bytes_written: 10, ..Usage::default() };
    assert_eq!(row.spent, spent);
    assert!(row.report.is_some());
    assert_eq!(states(&world, &mission).await, [(1, StepState::Done), (2, StepState::Done)]);
    let events =
        world.ask(Query::Events { stream: StreamId::mission(&mission), after: 2, limit: 3 }).await;
    let Rows::Events(events) = events else { panic!("{events:?}") };
    assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), [3, 4, 5]);
    assert!(matches!(events[0].event, Event::StepClaimed { .. }));
    let Rows::Size(size) = world.ask(Query::Size).await else { panic!() };
    assert_eq!((size.missions, size.events as i64), (1, size.position));
    assert_eq!(ledger.changed(0, 10).await.unwrap(), size.position);
    assert_eq!(ledger.changed(size.position, 10).await.unwrap(), size.position);
}

async fn a_plan_without_steps_goes_straight_to_its_report(ledger: &dyn Ledger) {
    let world = World::new(ledger, 2);
    let (mission, draft) = world.submission(&[]);
    let committed = draft.commit().await.unwrap();
    assert_eq!(committed.ready, [(StepKey::report(&mission), AT_ONCE)]);
    world.end(&mission, MissionState::Done).await;
    let fence = world.try_claim(&StepKey::report(&mission)).await;
    refused(fence, "is done, so it cannot be claimed");
}

async fn a_transition_counts_once(ledger: &dyn Ledger) {
    let world = World::new(ledger, 3);
    let (mission, draft) = world.submission(&[head(1, &[])]);
    let transition = draft.transition;
    let first = ledger.commit(transition.clone()).await.unwrap();
    let again = ledger.commit(transition.clone()).await.unwrap();
    assert_eq!(first.position, again.position);
    assert_eq!(again.ready, []);
    assert_eq!(ledger.changed(0, 0).await.unwrap(), 2);
    let mut other = world.cancelling(&mission, vec![]).transition;
    other.id = transition.id;
    refused(ledger.commit(other).await, "was something else before");
}

async fn a_refused_transition_leaves_nothing(ledger: &dyn Ledger) {
    let world = World::new(ledger, 4);
    let (mission, draft) = world.submission(&[head(1, &[])]);
    let mut transition = draft.transition;
    let submitted = transition.events.remove(0);
    let named = |content: &charter::content::Content| match &submitted.1 {
        Event::MissionSubmitted { wish, workspace, .. } => {
            content.id != wish.id && content.id != workspace.id
        }
        _ => true,
    };
    let mut planned = transition.clone();
    planned.contents.retain(named);
    refused(ledger.commit(planned).await, "was not submitted");
    let mut unplanned = transition.clone();
    unplanned.events = vec![submitted.clone()];
    unplanned.contents.retain(|content| !named(content));
    refused(ledger.commit(unplanned).await, "without a plan");
    transition.events.insert(0, submitted);
    let wrong = Event::StepFinished {
        step: StepKey::step(&mission, 1),
        output: world.text("").1,
        verdicts: world.text("").1,
        verified: true,
        unblocks: vec![],
        usage: Usage::default(),
    };
    let mut broken = transition.clone();
    broken.events.push((StreamId::mission(&mission), wrong));
    refused(ledger.commit(broken).await, "content");
    assert!(ledger.mission(&world.tenant, &mission).await.is_err());
    assert_eq!(ledger.changed(0, 0).await.unwrap(), 0);
    ledger.commit(transition).await.unwrap();
    let nothing = world.draft();
    refused(nothing.commit().await, "at least one event");
}

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
    ended.event(Event::StepCancelled { step, usage: common::usage() }).commit().await.unwrap();
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

async fn an_ended_mission_opens_again(ledger: &dyn Ledger) {
    let world = World::new(ledger, 14);
    let mission = world.submit(&[head(1, &[])]).await;
    let one = StepKey::step(&mission, 1);
    let fence = world.claim(&one).await;
    refused(world.ending(&fence, MissionState::Done).commit().await, "writes its report");
    world.die(&fence, DeathCause::Permanent, &[]).await;
    let report = world.claim(&StepKey::report(&mission)).await;
    refused(world.ending(&report, MissionState::Running).commit().await, "end as running");
    world.ending(&report, MissionState::Failed).commit().await.unwrap();
    refused(world.cancelling(&mission, vec![]).commit().await, "is failed");
    world.requeueing(&one, &[]).commit().await.unwrap();
    let row = world.mission(&mission).await;
    assert_eq!((row.state, row.report), (MissionState::Running, None));
    let row = world.step(&StepKey::report(&mission)).await;
    assert_eq!((row.state, row.token, row.output), (StepState::Blocked, 1, None));
    world.run(&one, &[]).await;
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

async fn a_cancelled_mission_ends_what_nobody_runs(ledger: &dyn Ledger) {
    let world = World::new(ledger, 16);
    let heads = [head(1, &[]), head(2, &[1]), each(3, &[]), each(4, &[])];
    let mission = world.submit(&heads).await;
    let step = |n| StepKey::step(&mission, n);
    let running = world.claim(&step(1)).await;
    for n in [3, 4] {
        let fence = world.claim(&step(n)).await;
        world.expanding(&fence, 2, None).commit().await.unwrap();
    }
    let busy = world.claim(&step(4).instance(1)).await;
    let listed = vec![
        step(0),
        step(1),
        step(2),
        step(3),
        step(3).instance(1),
        step(3).instance(2),
        step(4),
        step(4).instance(1),
        step(4).instance(2),
    ];
    world.cancelling(&mission, listed).commit().await.unwrap();
    let cancelled = StepState::Cancelled;
    assert_eq!(
        states(&world, &mission).await,
        [(1, StepState::Claimed), (2, cancelled), (3, cancelled), (4, StepState::Expanded)]
    );
    assert_eq!(world.step(&step(3)).await.items_lost, 2);
    for fence in [&running, &busy] {
        let step = fence.step.clone();
        let ended = Event::StepCancelled { step, usage: common::usage() };
        world.draft().release(fence).event(ended).commit().await.unwrap();
    }
    assert_eq!(world.step(&step(4)).await.state, StepState::Ready);
    let gather = world.claim(&step(4)).await;
    let ended = Event::StepCancelled { step: step(4), usage: common::usage() };
    world.draft().release(&gather).event(ended).commit().await.unwrap();
    let row = world.mission(&mission).await;
    assert!(row.cancelled && row.ended == 4 && row.active == 1);
    world.end(&mission, MissionState::Cancelled).await;
}

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
    let written = 2 * usage().bytes_written;
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
    world.writing(&lost, b"open", most - 7).commit().await.unwrap();
    assert_eq!(bytes().await, (0, most));
    let (step, token, ready_at) = (lost.step, lost.token, world.now());
    let back = Event::StepReleased { step, token, dead: true, ready_at };
    world.draft().event(back).commit().await.unwrap();
    assert_eq!(bytes().await, (7, most - 7));
    let other = world.claim(&StepKey::step(&mission, 2)).await;
    refused(world.writing(&other, b"other", 1).commit().await, beyond);
    // The same effect again is kept already.
    let next = world.claim(&StepKey::step(&mission, 1)).await;
    world.writing(&next, b"open", most - 7).commit().await.unwrap();
    assert_eq!(bytes().await, (7, most - 7));
    refused(world.writing(&next, b"more", 1).commit().await, beyond);
    world.receiving(&next, Digest::of(b"open"), EffectOutcome::Done).commit().await.unwrap();
    world.finish(&next, &[]).await;
    assert_eq!(bytes().await, (7 + usage().bytes_written, 0));
}

/// Time is known when a step ends: until then its limits count.
async fn steps_side_by_side_pass_a_budget_of_time_by_one_of_them(ledger: &dyn Ledger) {
    let world = World::new(ledger, 43);
    let heads: Vec<_> = (1..=4).map(|n| head(n, &[])).collect();
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
        let own = rows.into_iter().filter(|row| row.step.mission == mission);
        own.map(|row| row.step.n).collect::<Vec<_>>()
    };
    // Alone a step may have any limits.
    let first = claiming(1, budget.wall_ms * 2, 1).await.unwrap();
    rung().await;
    refused(claiming(2, 1, 1).await, "waits: with those that run");
    world.finish(&first, &[]).await;
    assert_eq!(rung().await, [2], "whoever waits is woken");
    let second = claiming(2, 10, budget.cpu_ms / 2).await.unwrap();
    refused(claiming(3, 10, budget.cpu_ms).await, "waits: with those that run");
    let third = claiming(3, 10, budget.cpu_ms / 3).await.unwrap();
    assert_eq!(world.mission(&mission).await.reserved.wall_ms, 20);
    world.finish(&third, &[]).await;
    assert_eq!(rung().await, [4]);
    refused(claiming(4, 10, budget.cpu_ms - budget.cpu_ms / 3).await, "waits: with those that run");
    world.finish(&second, &[]).await;
    assert_eq!(rung().await, [4]);
    assert_eq!(world.mission(&mission).await.reserved, Usage::default());
}

async fn waiting_is_when_only_a_person_can_help(ledger: &dyn Ledger) {
    let world = World::new(ledger, 18);
    let mission = world.submit(&[head(1, &[]), head(2, &[])]).await;
    let (one, two) = (StepKey::step(&mission, 1), StepKey::step(&mission, 2));
    let fence = world.claim(&one).await;
    let id = world.approval();
    let parked = Event::StepParked { step: one.clone(), approval: id.clone() };
    let alone = world.draft().release(&fence).event(parked.clone());
    refused(alone.commit().await, "not open");
    let both = world.draft().release(&fence).event(parked);
    let steps = vec![one.clone()];
    let both = world.requested(both, &id, &mission, Question::Permission, &[], steps);
    both.commit().await.unwrap();
    let row = world.mission(&mission).await;
    assert_eq!((row.state, row.parked, row.active), (MissionState::Running, 1, 1));
    let fence = world.claim(&two).await;
    world.finish(&fence, &[]).await;
    assert_eq!(world.mission(&mission).await.state, MissionState::Waiting);
    let Rows::Missions(waiting) = world
        .ask(Query::Missions {
            state: Some(MissionState::Waiting),
            same: None,
            before: None,
            limit: 9,
        })
        .await
    else {
        panic!()
    };
    assert_eq!(waiting.len(), 1);
    world.answering(&id, &mission, Answer::Approve, vec![one]).commit().await.unwrap();
    let row = world.mission(&mission).await;
    assert_eq!((row.state, row.parked), (MissionState::Running, 0));
}

async fn a_grant_is_spent_once(ledger: &dyn Ledger) {
    let world = World::new(ledger, 19);
    let mission = world.submit(&[head(1, &[]), head(2, &[])]).await;
    let (one, two) = (StepKey::step(&mission, 1), StepKey::step(&mission, 2));
    let (id, effect) = (world.approval(), Digest::of(b"effect"));
    let steps = vec![one.clone()];
    let question = Question::Permission;
    world
        .requested(world.draft(), &id, &mission, question, &[effect], steps)
        .commit()
        .await
        .unwrap();
    assert_eq!(world.step(&one).await.state, StepState::Parked);
    let other = world.claim(&two).await;
    let grant = || Some(Grant { approval: id.clone(), effect });
    let key = Digest::of(b"key");
    refused(world.intending(&other, key, grant()).commit().await, "is open");
    let answer = world.answering(&id, &mission, Answer::Approve, vec![one.clone()]);
    answer.commit().await.unwrap();
    assert_eq!(world.question(&id).await.grants, [effect]);
    let fence = world.claim(&one).await;
    let wrong = Some(Grant { approval: id.clone(), effect: Digest::of(b"other") });
    refused(world.intending(&fence, key, wrong).commit().await, "does not permit");
    world.intending(&fence, key, grant()).commit().await.unwrap();
    assert_eq!(world.question(&id).await.grants, []);
    // The same intent again, under the same grant.
    world.intending(&fence, key, grant()).commit().await.unwrap();
    assert_eq!(world.effect(&one).await.intents, 2);
    refused(world.intending(&other, Digest::of(b"k2"), grant()).commit().await, "no longer");
    // A receipt ends what the grant was for.
    world.receiving(&fence, key, EffectOutcome::Failed).commit().await.unwrap();
    refused(world.intending(&fence, key, grant()).commit().await, "no longer");
}

async fn an_expired_question_is_opened_again(ledger: &dyn Ledger) {
    let world = World::new(ledger, 20);
    let mission = world.submit(&[head(1, &[])]).await;
    let (one, id) = (StepKey::step(&mission, 1), world.approval());
    let steps = vec![one.clone()];
    world
        .requested(world.draft(), &id, &mission, Question::Permission, &[], steps.clone())
        .commit()
        .await
        .unwrap();
    let late = world.pass(2_000);
    let Rows::Approvals(expired) = world.ask(Query::ExpiredApprovals { now: late, limit: 5 }).await
    else {
        panic!()
    };
    assert_eq!(expired.len(), 1);
    let (approval, of) = (id.clone(), mission.clone());
    let expire = Event::ApprovalExpired { approval, mission: of };
    world.draft().event(expire.clone()).commit().await.unwrap();
    assert_eq!(world.step(&one).await.state, StepState::Parked);
    let answer = || world.answering(&id, &mission, Answer::Approve, steps.clone());
    refused(answer().commit().await, "is expired");
    refused(world.draft().event(expire).commit().await, "is expired");
    let (approval, of) = (id.clone(), mission.clone());
    let reopen = Event::ApprovalReopened { approval, mission: of, expires_at: late + 9 };
    world.draft().event(reopen).commit().await.unwrap();
    answer().commit().await.unwrap();
    refused(answer().commit().await, "is approved");
    let (approval, of) = (id.clone(), mission.clone());
    let withdraw = Event::ApprovalWithdrawn { approval, mission: of };
    refused(world.draft().event(withdraw).commit().await, "is approved");
    let row = world.question(&id).await;
    assert_eq!(
        (row.state, row.answer, row.seen),
        (ApprovalState::Approved, Some(Answer::Approve), true)
    );
}

async fn a_denied_step_wakes_to_die(ledger: &dyn Ledger) {
    let world = World::new(ledger, 21);
    let mission = world.submit(&[head(1, &[])]).await;
    let (one, id) = (StepKey::step(&mission, 1), world.approval());
    let steps = vec![one.clone()];
    let grants = [Digest::of(b"effect")];
    world
        .requested(world.draft(), &id, &mission, Question::Permission, &grants, steps.clone())
        .commit()
        .await
        .unwrap();
    let wrong = world.answering(&id, &mission, Answer::Happened, steps.clone());
    refused(wrong.commit().await, "another kind of answer");
    world.answering(&id, &mission, Answer::Deny, steps).commit().await.unwrap();
    let row = world.question(&id).await;
    assert_eq!((row.state, row.grants.len(), row.requested.len()), (ApprovalState::Denied, 0, 1));
    let fence = world.claim(&one).await;
    world.die(&fence, DeathCause::Denied, &[]).await;
    assert!(world.mission(&mission).await.refused);
    world.end(&mission, MissionState::Refused).await;
}

async fn a_part_is_asked_before_anything_runs(ledger: &dyn Ledger) {
    let world = World::new(ledger, 22);
    let (mission, draft) = world.submission(&[head(1, &[]), head(2, &[1])]);
    let (id, steps) = (world.approval(), vec![StepKey::step(&mission, 1)]);
    let draft = world.requested(draft, &id, &mission, Question::Part, &[], steps.clone());
    assert_eq!(draft.commit().await.unwrap().ready, []);
    assert_eq!(world.mission(&mission).await.state, MissionState::Waiting);
    world.answering(&id, &mission, Answer::Approve, steps).commit().await.unwrap();
    assert_eq!(world.mission(&mission).await.state, MissionState::Running);
    world.claim(&StepKey::step(&mission, 1)).await;
}

async fn a_report_that_waits_is_freed_by_a_cancel(ledger: &dyn Ledger) {
    let world = World::new(ledger, 33);
    let (mission, draft) = world.submission(&[]);
    let (id, report) = (world.approval(), StepKey::report(&mission));
    let steps = vec![report.clone()];
    let draft = world.requested(draft, &id, &mission, Question::Part, &[], steps.clone());
    draft.commit().await.unwrap();
    assert_eq!(world.mission(&mission).await.state, MissionState::Waiting);
    let committed = world.cancelling(&mission, steps).commit().await.unwrap();
    assert_eq!(committed.ready, [(report, AT_ONCE)]);
    world.end(&mission, MissionState::Cancelled).await;
}

async fn an_effect_is_done_once(ledger: &dyn Ledger) {
    let world = World::new(ledger, 23);
    let mission = world.submit(&[head(1, &[])]).await;
    let one = StepKey::step(&mission, 1);
    let fence = world.claim(&one).await;
    let key = Digest::of(b"key");
    refused(world.receiving(&fence, key, EffectOutcome::Done).commit().await, "effect");
    world.intending(&fence, key, None).commit().await.unwrap();
    world.receiving(&fence, key, EffectOutcome::NotDone).commit().await.unwrap();
    world.intending(&fence, key, None).commit().await.unwrap();
    world.receiving(&fence, key, EffectOutcome::Done).commit().await.unwrap();
    refused(world.intending(&fence, key, None).commit().await, "never happens twice");
    let again = world.receiving(&fence, key, EffectOutcome::Done);
    refused(again.commit().await, "waits for no receipt");
    let row = world.effect(&one).await;
    assert_eq!((row.state, row.intents), (EffectState::Received(EffectOutcome::Done), 2));
    assert_eq!(row.after, Some(Digest::of(b"found")));
    let Rows::Made(made) = world.ask(Query::Made { made: Digest::of(&key.0) }).await else {
        panic!()
    };
    assert_eq!(made[0].effect, key);
    assert_eq!(world.ask(Query::Made { made: key }).await, Rows::Made(vec![]));
}

async fn an_effect_in_doubt_waits_for_an_answer(ledger: &dyn Ledger) {
    let world = World::new(ledger, 24);
    let mission = world.submit(&[head(1, &[])]).await;
    let one = StepKey::step(&mission, 1);
    let fence = world.claim(&one).await;
    let (key, id) = (Digest::of(b"key"), world.approval());
    world.intending(&fence, key, None).commit().await.unwrap();
    let (step, approval) = (one.clone(), id.clone());
    let doubt = Event::EffectInDoubt { key, step, approval };
    let draft = world.draft().release(&fence).event(doubt);
    let steps = vec![one.clone()];
    let question = Question::InDoubt;
    world.requested(draft, &id, &mission, question, &[], steps.clone()).commit().await.unwrap();
    assert_eq!(world.effect(&one).await.state, EffectState::InDoubt);
    assert_eq!(world.mission(&mission).await.state, MissionState::Waiting);
    let wrong = world.answering(&id, &mission, Answer::Approve, steps.clone());
    refused(wrong.commit().await, "another kind of answer");
    world.answering(&id, &mission, Answer::NotHappened, steps).commit().await.unwrap();
    let fence = world.claim(&one).await;
    world.intending(&fence, key, None).commit().await.unwrap();
    assert_eq!(world.effect(&one).await.intents, 2);
    // In doubt again: the old answer is not the answer to the new question.
    let second = world.approval();
    let (step, approval) = (one.clone(), second.clone());
    let doubt = Event::EffectInDoubt { key, step, approval };
    let draft = world.draft().release(&fence).event(doubt);
    let steps = vec![one.clone()];
    world.requested(draft, &second, &mission, question, &[], steps.clone()).commit().await.unwrap();
    world.answering(&second, &mission, Answer::Happened, steps).commit().await.unwrap();
    let fence = world.claim(&one).await;
    refused(world.intending(&fence, key, None).commit().await, "nobody knows");
    world.receiving(&fence, key, EffectOutcome::Done).commit().await.unwrap();
    world.finish(&fence, &[]).await;
}

fn replanned(
    world: &World<'_>,
    draft: &mut common::Draft<'_>,
    mission: &charter::ids::MissionId,
    (parent, heads): (Digest, &[StepHead]),
    keep: &[u32],
    drop: Vec<StepKey>,
) -> Event {
    let _ = world;
    Event::MissionReplanned {
        mission: mission.clone(),
        plan: draft.text("child plan"),
        digest: Digest::of_json(&("child", heads)).unwrap(),
        parent,
        steps: heads.to_vec(),
        keep: keep.to_vec(),
        drop,
    }
}

async fn a_child_plan_keeps_what_is_done(ledger: &dyn Ledger) {
    let world = World::new(ledger, 25);
    let mission = world.submit(&[head(1, &[]), head(2, &[1]), head(3, &[2])]).await;
    world.run(&StepKey::step(&mission, 1), &[2]).await;
    let fence = world.claim(&StepKey::step(&mission, 2)).await;
    let parent = world.mission(&mission).await.plan_digest;
    let heads = [head(1, &[]), head(2, &[1, 1]), head(3, &[1])];
    let mut draft = world.draft().release(&fence);
    let event = replanned(&world, &mut draft, &mission, (parent, &heads), &[1], vec![]);
    refused(draft.event(event).commit().await, "numbered from 1");
    let new = StepHead { digest: Digest::of(b"new"), ..head(2, &[1]) };
    let heads = [head(1, &[]), new, head(3, &[1])];
    let mut draft = world.draft().release(&fence);
    let event = replanned(&world, &mut draft, &mission, (parent, &heads), &[1, 2], vec![]);
    refused(draft.event(event).commit().await, "another one in the new plan");
    let mut draft = world.draft().release(&fence);
    let event = replanned(&world, &mut draft, &mission, (parent, &heads), &[1], vec![]);
    let committed = draft.event(event).commit().await.unwrap();
    let ready: Vec<_> = committed.ready.iter().map(|(key, _)| key.n).collect();
    assert_eq!(ready, [2, 3]);
    assert_eq!(
        states(&world, &mission).await,
        [(1, StepState::Done), (2, StepState::Ready), (3, StepState::Ready)]
    );
    assert_eq!(world.step(&StepKey::step(&mission, 2)).await.token, 1);
    let row = world.mission(&mission).await;
    assert_eq!((row.replans, row.ended, row.steps, row.active), (1, 1, 3, 2));
    refused(world.finishing(&fence, &[]).commit().await, "is void");
    let mut draft = world.draft();
    let event = replanned(&world, &mut draft, &mission, (parent, &heads), &[1], vec![]);
    refused(draft.event(event).commit().await, "was replaced meanwhile");
    // A shorter plan: everything is done, the report is next.
    let parent = row.plan_digest;
    let mut draft = world.draft();
    let event = replanned(&world, &mut draft, &mission, (parent, &heads[..1]), &[1], vec![]);
    let committed = draft.event(event).commit().await.unwrap();
    assert_eq!(committed.ready, [(StepKey::report(&mission), AT_ONCE)]);
    assert_eq!(states(&world, &mission).await.len(), 1);
    world.end(&mission, MissionState::Done).await;
}

async fn a_child_plan_fences_old_claims_off(ledger: &dyn Ledger) {
    let world = World::new(ledger, 26);
    let mission = world.submit(&[each(1, &[])]).await;
    let one = StepKey::step(&mission, 1);
    let fence = world.claim(&one).await;
    world.expanding(&fence, 2, None).commit().await.unwrap();
    let first = world.claim(&one.instance(1)).await;
    let parent = world.mission(&mission).await.plan_digest;
    let heads = [StepHead { digest: Digest::of(b"new"), ..each(1, &[]) }];
    let drop = vec![one.instance(1), one.instance(2)];
    let mut draft = world.draft().release(&first);
    let event = replanned(&world, &mut draft, &mission, (parent, &heads), &[], drop);
    draft.event(event).commit().await.unwrap();
    assert!(ledger.step(&world.tenant, &one.instance(1)).await.is_err());
    let fence = world.claim(&one).await;
    assert_eq!(fence.token, 2);
    world.expanding(&fence, 2, None).commit().await.unwrap();
    let second = world.claim(&one.instance(1)).await;
    assert_ne!(second.token, first.token);
    refused(world.finishing(&first, &[]).commit().await, "is void");
}

async fn a_running_step_is_not_replaced_by_others(ledger: &dyn Ledger) {
    let world = World::new(ledger, 27);
    let mission = world.submit(&[head(1, &[]), head(2, &[])]).await;
    let fence = world.claim(&StepKey::step(&mission, 1)).await;
    world.claim(&StepKey::step(&mission, 2)).await;
    let parent = world.mission(&mission).await.plan_digest;
    let heads = [head(1, &[]), head(2, &[])];
    let mut draft = world.draft().release(&fence);
    let event = replanned(&world, &mut draft, &mission, (parent, &heads), &[], vec![]);
    refused(draft.event(event).commit().await, "is running");
    let mut draft = world.draft().release(&fence);
    let event = replanned(&world, &mut draft, &mission, (parent, &heads), &[2], vec![]);
    draft.event(event).commit().await.unwrap();
    assert_eq!(states(&world, &mission).await[1], (2, StepState::Claimed));
}

async fn texts_belong_to_their_events(ledger: &dyn Ledger) {
    let world = World::new(ledger, 28);
    let mission = world.submit(&[head(1, &[])]).await;
    let fence = world.claim(&StepKey::step(&mission, 1)).await;
    let mut stray = world.finishing(&fence, &[]);
    stray.text("stray");
    refused(stray.commit().await, "no event of the transition names");
    let mut missing = world.finishing(&fence, &[]);
    let removed = missing.transition.contents.pop().unwrap();
    refused(missing.commit().await, removed.id.as_str());
    let mut changed = world.finishing(&fence, &[]);
    changed.transition.contents[0].bytes.push(b'!');
    refused(changed.commit().await, "does not have the hash");
    let mut short = world.finishing(&fence, &[]);
    short.transition.contents[0].salt.pop();
    refused(short.commit().await, "salt of 16 bytes");
    // A text that is there already may be named again, with its hash only.
    let wish = world.mission(&mission).await.wish;
    let again = |wish: charter::content::ContentRef| {
        let step = fence.step.clone();
        world.draft().fence(&fence).event(Event::StepPrepared { step, prepared: wish })
    };
    let mut wrong = wish.clone();
    wrong.sha256 = Digest::of(b"wrong");
    refused(again(wrong).commit().await, "does not have the hash");
    again(wish.clone()).commit().await.unwrap();
    let Rows::Contents(found) = world.ask(Query::Content { id: wish.id.clone() }).await else {
        panic!()
    };
    assert_eq!((found[0].text(), found[0].sha256()), ("wish".into(), wish.sha256));
    let mut twice = world.finishing(&fence, &[]);
    twice.transition.contents[0].id = wish.id.clone();
    if let Event::StepFinished { output, .. } = &mut twice.transition.events[0].1 {
        output.id = wish.id.clone();
    }
    refused(twice.commit().await, "exists already");
}

async fn tenants_do_not_see_each_other(ledger: &dyn Ledger) {
    let world = World::new(ledger, 29);
    let mission = world.whole_mission().await;
    let open = world.submit(&[head(1, &[])]).await;
    let mut other = World::new(ledger, 30);
    other.tenant = TenantId("other".into());
    let one = StepKey::step(&mission, 1);
    let effects = Query::EffectsOfMission { mission: mission.clone(), limit: 9 };
    assert_eq!(other.ask(Query::Mission { id: mission.clone() }).await, Rows::Missions(vec![]));
    assert_eq!(other.ask(Query::Step { key: one.clone() }).await, Rows::Steps(vec![]));
    assert_eq!(other.ask(effects.clone()).await, Rows::Effects(vec![]));
    assert_ne!(world.ask(effects).await, Rows::Effects(vec![]));
    let wish = world.mission(&mission).await.wish;
    assert_eq!(other.ask(Query::Content { id: wish.id.clone() }).await, Rows::Contents(vec![]));
    let stream = StreamId::mission(&mission);
    let events = other.ask(Query::Events { stream, after: 0, limit: 9 }).await;
    assert_eq!(events, Rows::Events(vec![]));
    let made = Digest::of(&world.effect(&one).await.key.0);
    assert_ne!(world.ask(Query::Made { made }).await, Rows::Made(vec![]));
    assert_eq!(other.ask(Query::Made { made }).await, Rows::Made(vec![]));
    refused(other.cancelling(&open, vec![]).commit().await, "mission m-");
    let stolen = Fence { step: StepKey::step(&open, 1), token: 1 };
    refused(other.claiming(&stolen).commit().await, "step m-");
    // Same file made by both: two rows.
    let theirs = other.whole_mission().await;
    assert_eq!(other.mission(&theirs).await.tenant.0, "other");
    assert_eq!(
        world.ask(Query::Approvals { mission: Some(theirs), state: None, limit: 9 }).await,
        Rows::Approvals(vec![])
    );
}

async fn lists_are_filtered_and_bounded(ledger: &dyn Ledger) {
    let world = World::new(ledger, 31);
    let mut missions = Vec::new();
    for _ in 0..4 {
        missions.push(world.submit(&[each(1, &[]), head(2, &[])]).await);
    }
    let list = |before, limit| Query::Missions {
        state: Some(MissionState::Running),
        same: Some(Digest::of(b"same")),
        before,
        limit,
    };
    let ids = |rows| match rows {
        Rows::Missions(rows) => rows.into_iter().map(|row| row.id).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let newest = ids(world.ask(list(None, 3)).await);
    assert_eq!(newest, [missions[3].clone(), missions[2].clone(), missions[1].clone()]);
    let rest = ids(world.ask(list(newest.last().cloned(), 3)).await);
    assert_eq!(rest, [missions[0].clone()]);
    let one = StepKey::step(&missions[0], 1);
    let fence = world.claim(&one).await;
    world.expanding(&fence, 5, None).commit().await.unwrap();
    world.run(&one.instance(4), &[]).await;
    let items = |state, after, limit| Query::Steps {
        mission: missions[0].clone(),
        state,
        items_of: Some(1),
        after,
        limit,
    };
    let numbers = |rows| match rows {
        Rows::Steps(rows) => rows.into_iter().map(|row| row.key.item).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(numbers(world.ask(items(None, None, 2)).await), [1, 2]);
    let after = Some(one.instance(2));
    assert_eq!(numbers(world.ask(items(None, after.clone(), 9)).await), [3, 4, 5]);
    assert_eq!(numbers(world.ask(items(Some(StepState::Ready), after, 9)).await), [3, 5]);
    assert_eq!(states(&world, &missions[0]).await.len(), 2);
    let ready = world.ask(Query::ReadySteps { now: world.now(), limit: 2 }).await;
    assert_eq!(numbers(ready).len(), 2);
}

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
