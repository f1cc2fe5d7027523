//! What is asked of a ledger: texts, lists, tenants.

use crate::common::{World, each, head};
use crate::{refused, states};
use charter::digest::Digest;
use charter::event::Event;
use charter::ids::{StepKey, StreamId, TenantId};
use charter::ports::{Fence, Ledger, Query, Rows};
use charter::rows::{MissionState, StepState};

stories!(
    texts_belong_to_their_events,
    tenants_do_not_see_each_other,
    lists_are_filtered_and_bounded,
);

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
