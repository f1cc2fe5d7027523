//! Effects, and what a person says about them.

use crate::common::{World, head};
use crate::refused;
use charter::approval::{Answer, ApprovalState, Grant, Question};
use charter::digest::Digest;
use charter::event::{DeathCause, EffectOutcome, Event};
use charter::ids::StepKey;
use charter::ports::{Ledger, Query, Rows};
use charter::rows::{EffectState, MissionState, StepState};

stories!(
    waiting_is_when_only_a_person_can_help,
    a_grant_is_spent_once,
    an_expired_question_is_opened_again,
    a_denied_step_wakes_to_die,
    a_part_is_asked_before_anything_runs,
    an_effect_is_done_once,
    an_effect_in_doubt_waits_for_an_answer,
);

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
