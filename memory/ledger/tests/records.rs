//! Conversations, memories, schedules, nights and forgetting: one suite for both
//! ledgers.
#![allow(clippy::unwrap_used)]

mod common;
#[macro_use]
#[path = "common/stories.rs"]
mod stories;

use charter::conversation::{Conversed, SessionRow, TurnRow, TurnState};
use charter::event::Event;
use charter::ids::{StreamId, TenantId, TurnId};
use charter::memory::{MemoryRow, MemoryState, Remembered, SOURCES_MAX};
use charter::night::{NightRow, NightState, Nightly, ProposalRow, ProposalState, STAGES_MAX};
use charter::ports::{Ledger, LedgerError, LedgerExt, Query, Rows};
use charter::record::{Kept, Record, RecordKind};
use charter::schedule::{Approver, DueRow, Outcome, ScheduleRow, ScheduleState, Scheduled};
use common::{World, head};

stories!(
    a_turn_is_routed_and_answered,
    a_turn_has_one_mission,
    a_session_is_forked,
    a_memory_is_merged_and_ended,
    a_memory_is_forgotten_with_its_text,
    what_is_forgotten_is_never_named_again,
    forgetting_is_bounded_by_tenant,
    a_schedule_takes_each_due_time_once,
    a_schedule_rests_and_ends,
    a_night_does_each_part_once,
    a_proposal_is_decided,
    tenants_do_not_see_each_other,
    records_are_listed_in_pages,
    texts_are_found_by_their_words,
    events_stand_in_their_stream,
    what_happens_can_be_followed,
);

fn refused<T: std::fmt::Debug>(result: Result<T, LedgerError>, expect: &str) {
    match result.unwrap_err() {
        LedgerError::Conflict(why) | LedgerError::NotFound(why) => {
            assert!(why.contains(expect), "{why:?} does not say {expect:?}");
        }
        other => panic!("{other}"),
    }
}

async fn a_turn_is_routed_and_answered(ledger: &dyn Ledger) {
    let world = World::new(ledger, 1);
    let (session, opened) = world.opening(None);
    let again = world.conversed(match opened.transition.events[0].1.clone() {
        Event::Conversed(event) => event,
        other => panic!("{other:?}"),
    });
    refused(world.saying(&session, "early").1.commit().await, "session s-");
    opened.commit().await.unwrap();
    refused(again.commit().await, "exists already");
    let row: SessionRow = world.record(&session).await;
    assert_eq!((row.turns, row.title, row.last_at), (0, None, row.opened_at));
    let (turn, begun) = world.saying(&session, "first");
    begun.commit().await.unwrap();
    let at = world.now();
    let (second, begun) = world.saying(&session, "second");
    begun.commit().await.unwrap();
    let first: TurnRow = world.record(&turn).await;
    assert_eq!((first.n, first.state, first.at), (1, TurnState::Open, at));
    let row: SessionRow = world.record(&session).await;
    assert_eq!((row.turns, row.title, row.last_at), (2, Some(first.said), at + 1));
    assert_eq!(world.record::<TurnRow>(&second).await.n, 2);
    world.routing(&session, &turn).commit().await.unwrap();
    refused(world.answered(&session, &turn, TurnState::Open).commit().await, "cannot end as open");
    let (other, draft) = world.opening(None);
    draft.commit().await.unwrap();
    refused(world.routing(&other, &turn).commit().await, "another session");
    world.pass(5);
    world.answered(&session, &turn, TurnState::Asked).commit().await.unwrap();
    let row: TurnRow = world.record(&turn).await;
    assert_eq!(
        (row.state, row.answer.is_some(), row.focus.is_some()),
        (TurnState::Asked, true, true)
    );
    assert_eq!(world.record::<SessionRow>(&session).await.last_at, world.now());
    refused(world.routing(&session, &turn).commit().await, "is asked, so it cannot be routed");
    refused(world.answered(&session, &turn, TurnState::Failed).commit().await, "cannot be ended");
}

async fn a_turn_has_one_mission(ledger: &dyn Ledger) {
    let world = World::new(ledger, 2);
    let (session, draft) = world.opening(None);
    draft.commit().await.unwrap();
    let (turn, draft) = world.saying(&session, "do it");
    draft.commit().await.unwrap();
    let (mission, mut draft) = world.submission(&[head(1, &[])]);
    refused(world.submitting(&session, &turn, &mission).commit().await, "mission m-");
    let submitted = world.submitting(&session, &turn, &mission).transition.events;
    draft.transition.events.splice(1..1, submitted);
    draft.commit().await.unwrap();
    assert_eq!(world.record::<TurnRow>(&turn).await.mission, Some(mission.clone()));
    refused(world.submitting(&session, &turn, &mission).commit().await, "already");
}

async fn a_session_is_forked(ledger: &dyn Ledger) {
    let world = World::new(ledger, 3);
    let nowhere = world.name(TurnId::new);
    refused(world.opening(Some(nowhere)).1.commit().await, "turn u-");
    let (session, draft) = world.opening(None);
    draft.commit().await.unwrap();
    let (turn, draft) = world.saying(&session, "so far");
    draft.commit().await.unwrap();
    let (fork, draft) = world.opening(Some(turn.clone()));
    draft.commit().await.unwrap();
    assert_eq!(world.record::<SessionRow>(&fork).await.forked, Some(turn));
}

async fn a_memory_is_merged_and_ended(ledger: &dyn Ledger) {
    let world = World::new(ledger, 4);
    let (memory, draft) = world.observing("fact", &[]);
    refused(world.merging(&memory, "x").commit().await, "memory k-");
    let mut twice = world.observing("fact again", &[]).1;
    if let Event::Remembered(Remembered::Observed { memory: id, .. }) =
        &mut twice.transition.events[0].1
    {
        *id = memory.clone();
    }
    draft.commit().await.unwrap();
    refused(twice.commit().await, "exists already");
    world.merging(&memory, "x").commit().await.unwrap();
    refused(world.merging(&memory, "x").commit().await, "this source already");
    for n in 2..SOURCES_MAX {
        world.merging(&memory, &n.to_string()).commit().await.unwrap();
    }
    refused(world.merging(&memory, "one too many").commit().await, "sources already");
    let newer = world.observe("newer").await;
    refused(world.untrue(&memory, Some(memory.clone())).commit().await, "replace itself");
    world.untrue(&memory, Some(newer.clone())).commit().await.unwrap();
    let row: MemoryRow = world.record(&memory).await;
    assert_eq!((row.state, row.sources.len()), (MemoryState::Ended, SOURCES_MAX));
    assert_eq!((row.replaced_by, row.valid_to), (Some(newer.clone()), Some(world.now())));
    refused(world.merging(&memory, "y").commit().await, "is ended, so it cannot be merged");
    refused(world.untrue(&memory, None).commit().await, "is ended");
    refused(world.untrue(&newer, Some(memory)).commit().await, "is ended");
    let unknown = world.observing("x", &[]).0;
    refused(world.observing("y", &[unknown]).1.commit().await, "memory k-");
}

async fn a_memory_is_forgotten_with_its_text(ledger: &dyn Ledger) {
    let world = World::new(ledger, 5);
    let memory = world.observe("secret").await;
    let row: MemoryRow = world.record(&memory).await;
    let text = row.text.id.clone();
    refused(
        world.forgetting(std::slice::from_ref(&memory), &[]).commit().await,
        "without its text",
    );
    let forgetting =
        world.forgetting(std::slice::from_ref(&memory), std::slice::from_ref(&text)).transition;
    ledger.commit(forgetting.clone()).await.unwrap();
    ledger.commit(forgetting).await.unwrap();
    assert_eq!(
        world.record::<MemoryRow>(&memory).await,
        MemoryRow { state: MemoryState::Forgotten, ..row }
    );
    assert_eq!(world.ask(Query::Content { id: text.clone() }).await, Rows::Contents(vec![]));
    let with = Query::ContentsWith { needle: "secret".into(), limit: 9 };
    assert_eq!(world.ask(with).await, Rows::ContentIds(vec![]));
    world.forgetting(std::slice::from_ref(&memory), &[text]).commit().await.unwrap();
    refused(world.merging(&memory, "x").commit().await, "is forgotten");
    refused(world.untrue(&memory, None).commit().await, "is forgotten");
    refused(world.observing("from it", &[memory]).1.commit().await, "forgotten meanwhile");
    let all = Query::Events { stream: StreamId::memory(), after: 0, limit: 9 };
    let Rows::Events(events) = world.ask(all).await else { panic!() };
    assert_eq!(events.len(), 3);
}

async fn what_is_forgotten_is_never_named_again(ledger: &dyn Ledger) {
    let world = World::new(ledger, 6);
    let (memory, draft) = world.observing("secret", &[]);
    let brought = draft.transition.contents[1].clone();
    draft.commit().await.unwrap();
    let reference = world.record::<MemoryRow>(&memory).await.text;
    world.forgetting(&[memory], std::slice::from_ref(&reference.id)).commit().await.unwrap();
    let naming = || {
        let (_, mut draft) = world.observing("other", &[]);
        draft.transition.contents.pop();
        if let Event::Remembered(Remembered::Observed { text, .. }) =
            &mut draft.transition.events[0].1
        {
            *text = reference.clone();
        }
        draft
    };
    refused(naming().commit().await, "which was forgotten");
    let mut again = naming();
    again.transition.contents.push(brought);
    refused(again.commit().await, "which was forgotten");
    let (_, mut draft) = world.observing("at a time", &[]);
    let id = draft.transition.contents[1].id.clone();
    let forgetting = world.forgetting(&[], &[id]).transition;
    draft.transition.events.extend(forgetting.events);
    draft.transition.contents.extend(forgetting.contents);
    refused(draft.commit().await, "named and forgotten at a time");
}

async fn forgetting_is_bounded_by_tenant(ledger: &dyn Ledger) {
    let world = World::new(ledger, 7);
    let memory = world.observe("mine").await;
    let row: MemoryRow = world.record(&memory).await;
    let text = [row.text.id.clone()];
    let mut other = World::new(ledger, 8);
    other.tenant = TenantId("other".into());
    refused(other.forgetting(&[], &text).commit().await, "content c-");
    refused(other.forgetting(std::slice::from_ref(&memory), &[]).commit().await, "memory k-");
    let unknown = world.text("never stored").1.id;
    refused(world.forgetting(&[], &[text[0].clone(), unknown]).commit().await, "content c-");
    assert_eq!(ledger.content(&world.tenant, &text[0]).await.unwrap().text(), "mine");
    world.forgetting(&[memory], &text).commit().await.unwrap();
    refused(other.forgetting(&[], &text).commit().await, "content c-");
}

async fn a_schedule_takes_each_due_time_once(ledger: &dyn Ledger) {
    let world = World::new(ledger, 9);
    let (schedule, draft) = world.creating(Some(100));
    draft.commit().await.unwrap();
    let due = |now| Query::DueRecords { now, limit: 9 };
    assert_eq!(world.ask(due(99)).await, Rows::Records(vec![]));
    let Rows::Records(found) = world.ask(due(100)).await else { panic!() };
    assert_eq!(found[0].key().id, schedule.as_str());
    assert_eq!(world.ask(Query::DueNext).await, Rows::When(Some(100)));
    refused(world.due(&schedule, 90, 200).commit().await, "is not due at 90");
    refused(world.due(&schedule, 100, 100).commit().await, "would not go on");
    world.due(&schedule, 100, 200).commit().await.unwrap();
    refused(world.due(&schedule, 100, 300).commit().await, "is not due at 100");
    let row: DueRow = world.record(format!("{schedule}@100")).await;
    assert_eq!((row.outcome, row.at), (Outcome::Missed { more: 0 }, world.now()));
    let ran = |mission| {
        let outcome = Outcome::Ran { mission };
        Scheduled::Due { schedule: schedule.clone(), due_at: 200, outcome, next_at: 300 }
    };
    let (mission, mut draft) = world.submission(&[head(1, &[])]);
    refused(world.scheduled(ran(mission.clone())).commit().await, "mission m-");
    draft = draft.event(Event::Scheduled(ran(mission.clone())));
    draft.commit().await.unwrap();
    let row: DueRow = world.record(format!("{schedule}@200")).await;
    assert_eq!(row.outcome, Outcome::Ran { mission });
    assert_eq!(world.ask(Query::DueNext).await, Rows::When(Some(300)));
    assert_eq!(world.all(RecordKind::Due).await.len(), 2);
}

async fn a_schedule_rests_and_ends(ledger: &dyn Ledger) {
    let world = World::new(ledger, 10);
    let (id, draft) = world.creating(None);
    draft.commit().await.unwrap();
    let state = async || world.record::<ScheduleRow>(&id).await.state;
    let (paused, deleted) = (
        || world.scheduled(Scheduled::Paused { schedule: id.clone() }),
        || world.scheduled(Scheduled::Deleted { schedule: id.clone() }),
    );
    let resumed = |next_at| world.scheduled(Scheduled::Resumed { schedule: id.clone(), next_at });
    assert_eq!(state().await, ScheduleState::Waiting);
    assert_eq!(world.ask(Query::DueNext).await, Rows::When(None));
    refused(paused().commit().await, "is waiting, so it cannot be paused");
    refused(world.due(&id, 1, 2).commit().await, "is waiting");
    refused(resumed(50).commit().await, "is waiting, so it cannot be resumed");
    let approved = || {
        let (schedule, by, seen, next_at) = (id.clone(), "me".to_owned(), true, 50);
        world.scheduled(Scheduled::Approved { schedule, by, seen, next_at })
    };
    approved().commit().await.unwrap();
    let row: ScheduleRow = world.record(&id).await;
    assert_eq!(row.approved, Some(Approver { by: "me".to_owned(), seen: true }));
    refused(approved().commit().await, "is active, so it cannot be approved");
    refused(resumed(60).commit().await, "is active, so it cannot be resumed");
    world.due(&id, 50, 60).commit().await.unwrap();
    paused().commit().await.unwrap();
    assert_eq!(world.ask(Query::DueNext).await, Rows::When(None));
    refused(world.due(&id, 60, 70).commit().await, "is paused");
    refused(resumed(50).commit().await, "exists already");
    resumed(80).commit().await.unwrap();
    deleted().commit().await.unwrap();
    assert_eq!(state().await, ScheduleState::Deleted);
    refused(deleted().commit().await, "is deleted");
    refused(resumed(90).commit().await, "is deleted");
    assert_eq!(world.ask(Query::DueNext).await, Rows::When(None));
}

async fn a_night_does_each_part_once(ledger: &dyn Ledger) {
    let world = World::new(ledger, 11);
    let (night, begun) = world.dreaming();
    refused(world.stage(&night, "a").commit().await, "night n-");
    begun.commit().await.unwrap();
    let again = Nightly::Begun { night: night.clone(), since: 1, until: 2 };
    refused(world.nightly(again).commit().await, "exists already");
    world.stage(&night, "a").commit().await.unwrap();
    refused(world.stage(&night, "a").commit().await, "this part already");
    for n in 1..STAGES_MAX {
        world.stage(&night, &n.to_string()).commit().await.unwrap();
    }
    refused(world.stage(&night, "b").commit().await, "parts already");
    world.waking(&night, false).commit().await.unwrap();
    refused(world.waking(&night, true).commit().await, "is partial");
    refused(world.stage(&night, "c").commit().await, "is partial");
    let row: NightRow = world.record(&night).await;
    assert_eq!((row.state, &*row.stages[0].0), (NightState::Partial, "a"));
    assert!(row.report.is_some());
}

async fn a_proposal_is_decided(ledger: &dyn Ledger) {
    let world = World::new(ledger, 12);
    let (night, begun) = world.dreaming();
    refused(world.proposing(&night).1.commit().await, "night n-");
    begun.commit().await.unwrap();
    let (proposal, draft) = world.proposing(&night);
    draft.commit().await.unwrap();
    let decided = |state| {
        let (proposal, by) = (proposal.clone(), "me".to_owned());
        world.nightly(Nightly::Decided { proposal, state, by })
    };
    refused(decided(ProposalState::Undone).commit().await, "is open, so it cannot be undone");
    refused(decided(ProposalState::Open).commit().await, "cannot be open");
    decided(ProposalState::Accepted).commit().await.unwrap();
    refused(decided(ProposalState::Rejected).commit().await, "is accepted");
    decided(ProposalState::Undone).commit().await.unwrap();
    refused(decided(ProposalState::Accepted).commit().await, "is undone");
    let row: ProposalRow = world.record(&proposal).await;
    assert_eq!((row.state, row.by.as_deref()), (ProposalState::Undone, Some("me")));
}

async fn tenants_do_not_see_each_other(ledger: &dyn Ledger) {
    let world = World::new(ledger, 13);
    let text = world.whole_life().await;
    let mut other = World::new(ledger, 14);
    other.tenant = TenantId("other".into());
    use RecordKind::{Due, Memory, Night, Proposal, Schedule, Session, Turn};
    for kind in [Session, Turn, Memory, Schedule, Due, Night, Proposal] {
        let mine = world.all(kind).await;
        assert!(!mine.is_empty(), "{kind:?}");
        assert_eq!(other.all(kind).await, []);
        let key = mine[0].key();
        assert_eq!(other.ask(Query::Record { key }).await, Rows::Records(vec![]));
    }
    let session = SessionRow::of(world.all(Session).await.remove(0)).unwrap();
    refused(other.saying(&session.id, "hi").1.commit().await, "session s-");
    let Record::Schedule(schedule) = world.all(Schedule).await.remove(0) else { panic!() };
    refused(other.due(&schedule.id, 200, 300).commit().await, "schedule r-");
    let with = Query::ContentsWith { needle: "kept".into(), limit: 9 };
    assert_eq!(other.ask(with.clone()).await, Rows::ContentIds(vec![]));
    let Rows::ContentIds(found) = world.ask(with).await else { panic!() };
    assert!(found.len() == 1 && found[0] != text.id);
    // What is due is due for all.
    let due = other.ask(Query::DueRecords { now: 200, limit: 9 }).await;
    assert_eq!(due, Rows::Records(vec![Record::Schedule(schedule)]));
}

async fn records_are_listed_in_pages(ledger: &dyn Ledger) {
    let world = World::new(ledger, 15);
    let (session, draft) = world.opening(None);
    draft.commit().await.unwrap();
    let mut turns = Vec::new();
    for n in 0..5 {
        let (turn, draft) = world.saying(&session, &n.to_string());
        draft.commit().await.unwrap();
        turns.push(turn.to_string());
    }
    let first: TurnId = turns[0].parse().unwrap();
    world.answered(&session, &first, TurnState::Answered).commit().await.unwrap();
    let list = async |state: Option<&str>, after: Option<&String>, newest, limit| {
        let parent = Some(session.to_string());
        let (state, after) = (state.map(str::to_owned), after.cloned());
        let kind = RecordKind::Turn;
        let query = Query::Records { kind, parent, state, after, newest, limit };
        let rows: Vec<TurnRow> = ledger.records(&world.tenant, query).await.unwrap();
        rows.into_iter().map(|row| row.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(list(None, None, false, 2).await, turns[..2]);
    assert_eq!(list(None, Some(&turns[1]), false, 9).await, turns[2..]);
    let (third, last) = (turns[3].clone(), turns[4].clone());
    assert_eq!(list(None, None, true, 2).await, [last, third.clone()]);
    assert_eq!(list(None, Some(&third), true, 1).await, turns[2..3]);
    assert_eq!(list(Some("open"), None, false, 9).await, turns[1..]);
    assert_eq!(list(Some("answered"), None, false, 9).await, turns[..1]);
}

async fn texts_are_found_by_their_words(ledger: &dyn Ledger) {
    let world = World::new(ledger, 16);
    let mut ids = Vec::new();
    for words in ["tea in Zürich", "Zür", "rich tea", "\0\0"] {
        let memory = world.observe(words).await;
        ids.push(world.record::<MemoryRow>(&memory).await.text.id);
    }
    let with = async |needle: &str, limit| {
        let needle = needle.to_owned();
        match world.ask(Query::ContentsWith { needle, limit }).await {
            Rows::ContentIds(found) => found,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(with("Zür", 9).await, ids[..2]);
    assert_eq!(with("Zür", 1).await, ids[..1]);
    assert_eq!(with("tea", 9).await, [ids[0].clone(), ids[2].clone()]);
    assert!(with("", 9).await.is_empty() && with("coffee", 9).await.is_empty());
    assert!(with("TEA", 9).await.is_empty() && with("%", 9).await.is_empty());
    assert_eq!(with("\0", 9).await, ids[3..]);
    world.forgetting(&[], &ids[..1]).commit().await.unwrap();
    assert_eq!(with("Zür", 9).await, ids[1..2]);
    assert_eq!(with("\0", 9).await, ids[3..]);
}

async fn events_stand_in_their_stream(ledger: &dyn Ledger) {
    let world = World::new(ledger, 17);
    let (session, draft) = world.opening(None);
    assert_eq!(draft.transition.events[0].0, StreamId::conversation(&session));
    let wrong = [
        draft,
        world.observing("x", &[]).1,
        world.creating(None).1,
        world.dreaming().1,
        world.submission(&[]).1,
    ];
    for mut draft in wrong {
        draft.transition.events[0].0 = StreamId("mission/elsewhere".into());
        refused(draft.commit().await, "cannot stand in another one");
    }
    let unknown = Conversed::TurnSubmitted {
        session,
        turn: world.name(TurnId::new),
        mission: world.submission(&[]).0,
    };
    refused(world.conversed(unknown).commit().await, "turn u-");
}

async fn what_happens_can_be_followed(ledger: &dyn Ledger) {
    let (world, mut stranger) = (World::new(ledger, 18), World::new(ledger, 19));
    stranger.tenant = TenantId("stranger".into());
    stranger.observe("of somebody else").await;
    let happened = async |after, kinds: &[&str], limit| {
        let kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        match world.ask(Query::Happened { after, kinds, limit }).await {
            Rows::Events(found) => {
                found.into_iter().map(|e| (e.position, e.event.kind())).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        }
    };
    let every = ["conversed", "remembered", "mission_submitted", "mission_planned"];
    assert!(happened(0, &every, 9).await.is_empty());
    world.observe("first").await;
    world.submission(&[head(1, &[])]).1.commit().await.unwrap();
    world.opening(None).1.commit().await.unwrap();
    world.observe("second").await;
    let all = happened(0, &every, 9).await;
    let kinds: Vec<_> = all.iter().map(|(_, kind)| *kind).collect();
    let expected =
        ["remembered", "mission_submitted", "mission_planned", "conversed", "remembered"];
    assert_eq!(kinds, expected);
    assert!(all.is_sorted());
    assert_eq!(happened(0, &["remembered"], 9).await, [all[0], all[4]]);
    assert_eq!(happened(all[0].0, &["remembered", "conversed"], 1).await, [all[3]]);
    assert!(happened(all[4].0, &every, 9).await.is_empty());
    assert_eq!(happened(0, &[], 9).await, all);
}
