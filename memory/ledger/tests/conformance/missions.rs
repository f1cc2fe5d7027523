//! What becomes of missions: from the wish to the report, stopped, replanned.

use crate::common::{World, each, head, usage};
use crate::{AT_ONCE, refused, states};
use charter::approval::Question;
use charter::budget::Usage;
use charter::digest::Digest;
use charter::event::{DeathCause, Event, StepHead};
use charter::ids::{StepKey, StreamId};
use charter::ports::{Ledger, LedgerExt, Query, Rows};
use charter::rows::{MissionState, StepState};

stories!(
    a_mission_runs_from_wish_to_report,
    a_plan_without_steps_goes_straight_to_its_report,
    a_transition_counts_once,
    a_refused_transition_leaves_nothing,
    an_ended_mission_opens_again,
    a_cancelled_mission_ends_what_nobody_runs,
    a_report_that_waits_is_freed_by_a_cancel,
    a_child_plan_keeps_what_is_done,
    a_child_plan_fences_old_claims_off,
    a_running_step_is_not_replaced_by_others,
);

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
        let ended = Event::StepCancelled { step, usage: usage() };
        world.draft().release(fence).event(ended).commit().await.unwrap();
    }
    assert_eq!(world.step(&step(4)).await.state, StepState::Ready);
    let gather = world.claim(&step(4)).await;
    let ended = Event::StepCancelled { step: step(4), usage: usage() };
    world.draft().release(&gather).event(ended).commit().await.unwrap();
    let row = world.mission(&mission).await;
    assert!(row.cancelled && row.ended == 4 && row.active == 1);
    world.end(&mission, MissionState::Cancelled).await;
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

pub(super) fn replanned(
    draft: &mut crate::common::Draft<'_>,
    mission: &charter::ids::MissionId,
    (parent, heads): (Digest, &[StepHead]),
    keep: &[u32],
    drop: Vec<StepKey>,
) -> Event {
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
    let event = replanned(&mut draft, &mission, (parent, &heads), &[1], vec![]);
    refused(draft.event(event).commit().await, "numbered from 1");
    let new = StepHead { digest: Digest::of(b"new"), ..head(2, &[1]) };
    let heads = [head(1, &[]), new, head(3, &[1])];
    let mut draft = world.draft().release(&fence);
    let event = replanned(&mut draft, &mission, (parent, &heads), &[1, 2], vec![]);
    refused(draft.event(event).commit().await, "another one in the new plan");
    let mut draft = world.draft().release(&fence);
    let event = replanned(&mut draft, &mission, (parent, &heads), &[1], vec![]);
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
    let event = replanned(&mut draft, &mission, (parent, &heads), &[1], vec![]);
    refused(draft.event(event).commit().await, "was replaced meanwhile");
    // A shorter plan: everything is done, the report is next.
    let parent = row.plan_digest;
    let mut draft = world.draft();
    let event = replanned(&mut draft, &mission, (parent, &heads[..1]), &[1], vec![]);
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
    let event = replanned(&mut draft, &mission, (parent, &heads), &[], drop);
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
    let event = replanned(&mut draft, &mission, (parent, &heads), &[], vec![]);
    refused(draft.event(event).commit().await, "is running");
    let mut draft = world.draft().release(&fence);
    let event = replanned(&mut draft, &mission, (parent, &heads), &[2], vec![]);
    draft.event(event).commit().await.unwrap();
    assert_eq!(states(&world, &mission).await[1], (2, StepState::Claimed));
}
