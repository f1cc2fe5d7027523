//! Random histories, legal and illegal steps mixed, on all ledgers at once: they
//! give the same answers, counters equal what is counted, and the audit rebuilds
//! every row.
#![allow(clippy::unwrap_used)]

mod common;

use async_trait::async_trait;
use charter::approval::{Answer, ApprovalState, Grant, Question};
use charter::budget::{Budget, Limit};
use charter::conversation::{TurnRow, TurnState};
use charter::digest::Digest;
use charter::event::{DeathCause, EffectOutcome, Event, StepHead};
use charter::ids::{Millis, MissionId, StepKey, StreamId, TenantId};
use charter::memory::MemoryRow;
use charter::ports::{
    Committed, Fence, LeaseStatus, Ledger, LedgerError, LedgerExt, Query, Rows, Transition,
};
use charter::record::{Kept, RecordKind};
use charter::rows::{ApprovalRow, EffectRow, MissionRow, MissionState, StepRow, StepState};
use charter::schedule::{ScheduleRow, Scheduled};
use charter::tool::Process;
use common::postgres::Cluster;
use common::{Draft, World, head, open, open_postgres};
use ledger::MemoryLedger;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

const SEEDS: u64 = 30;
const TURNS: usize = 200;
const RECORD_TURNS: usize = 60;

/// Histories in which PostgreSQL takes part as well.
const POSTGRES_SEEDS: u64 = 4;

/// All ledgers; every answer is compared.
struct All<'l> {
    twin: MemoryLedger,
    others: Vec<&'l dyn Ledger>,
    /// Kinds of events that were committed, and how often.
    kinds: Mutex<BTreeMap<String, u32>>,
}

#[async_trait]
impl Ledger for All<'_> {
    async fn commit(&self, transition: Transition) -> Result<Committed, LedgerError> {
        let answer = self.twin.commit(transition.clone()).await;
        for other in &self.others {
            assert_eq!(answer, other.commit(transition.clone()).await, "{transition:#?}");
        }
        if answer.is_ok() {
            let mut kinds = self.kinds.lock().unwrap();
            for (_, event) in &transition.events {
                let kind = serde_json::to_value(event).unwrap()["kind"].to_string();
                *kinds.entry(kind).or_default() += 1;
            }
        }
        answer
    }

    async fn query(&self, tenant: &TenantId, query: Query) -> Result<Rows, LedgerError> {
        let answer = self.twin.query(tenant, query.clone()).await;
        for other in &self.others {
            assert_eq!(answer, other.query(tenant, query.clone()).await, "{query:?}");
        }
        answer
    }

    async fn renew(&self, fence: &Fence, expires_at: Millis) -> Result<LeaseStatus, LedgerError> {
        let answer = self.twin.renew(fence, expires_at).await;
        for other in &self.others {
            assert_eq!(answer, other.renew(fence, expires_at).await);
        }
        answer
    }

    async fn note_program(
        &self,
        fence: &Fence,
        program: &Process,
        running: bool,
    ) -> Result<(), LedgerError> {
        let answer = self.twin.note_program(fence, program, running).await;
        for other in &self.others {
            assert_eq!(answer, other.note_program(fence, program, running).await);
        }
        answer
    }

    async fn lead(
        &self,
        bid: &charter::leader::Bid,
    ) -> Result<charter::leader::LeaderRow, LedgerError> {
        let answer = self.twin.lead(bid).await;
        for other in &self.others {
            assert_eq!(answer, other.lead(bid).await);
        }
        answer
    }

    async fn outbox_done(&self, ids: &[i64]) -> Result<(), LedgerError> {
        for other in &self.others {
            other.outbox_done(ids).await?;
        }
        self.twin.outbox_done(ids).await
    }

    async fn changed(&self, after: i64, wait_ms: u64) -> Result<i64, LedgerError> {
        let answer = self.twin.changed(after, wait_ms).await;
        for other in &self.others {
            assert_eq!(answer, other.changed(after, wait_ms).await);
        }
        answer
    }
}

/// What is there to play with.
struct Scene {
    missions: Vec<MissionRow>,
    steps: Vec<StepRow>,
    approvals: Vec<ApprovalRow>,
    effects: Vec<EffectRow>,
}

async fn scene(world: &World<'_>) -> Scene {
    let list = Query::Missions { state: None, same: None, before: None, limit: 99 };
    let Rows::Missions(missions) = world.ask(list).await else { panic!() };
    let (mut steps, mut effects) = (Vec::new(), Vec::new());
    for mission in &missions {
        let all = |items_of| Query::Steps {
            mission: mission.id.clone(),
            state: None,
            items_of,
            after: None,
            limit: 999,
        };
        steps.push(world.step(&StepKey::report(&mission.id)).await);
        steps.extend(world.ledger.steps(&world.tenant, all(None)).await.unwrap());
        for n in 1..=mission.steps {
            steps.extend(world.ledger.steps(&world.tenant, all(Some(n))).await.unwrap());
        }
        world.ask(Query::Around { step: StepKey::step(&mission.id, 1) }).await;
        let of = Query::EffectsOfMission { mission: mission.id.clone(), limit: 999 };
        let Rows::Effects(found) = world.ask(of).await else { panic!() };
        effects.extend(found);
    }
    let list = Query::Approvals { mission: None, state: None, limit: 999 };
    let Rows::Approvals(approvals) = world.ask(list).await else { panic!() };
    Scene { missions, steps, approvals, effects }
}

/// Counts everything anew.
fn recount(scene: &Scene) {
    for mission in &scene.missions {
        let steps: Vec<_> =
            scene.steps.iter().filter(|step| step.key.mission == mission.id).collect();
        let count = |counts: &dyn Fn(&StepRow) -> bool| {
            steps.iter().filter(|step| counts(step)).count() as u32
        };
        let ended = count(&|step| step.key.n > 0 && step.key.item == 0 && step.state.is_end());
        let parked = count(&|step| step.state == StepState::Parked);
        let active = count(&|step| matches!(step.state, StepState::Ready | StepState::Claimed));
        assert_eq!(mission.ended, ended, "{mission:#?}");
        assert_eq!(mission.parked, parked, "{mission:#?}");
        assert_eq!(mission.active, active, "{mission:#?}");
        assert_eq!(mission.dead, count(&|step| step.state == StepState::Dead));
        assert_eq!(mission.steps, count(&|step| step.key.n > 0 && step.key.item == 0));
        if !mission.state.is_end() {
            let waiting = mission.state == MissionState::Waiting;
            assert_eq!(waiting, parked > 0 && active == 0, "{mission:#?}");
            // Nothing is lost: somebody can always go on, unless the report is on
            // the desk or a stop named only some of the steps.
            let desk = count(&|step| step.key.n == 0 && step.state.is_end()) > 0;
            let stopped = mission.cancelled || mission.stopped.is_some();
            assert!(active + parked > 0 || desk || stopped, "{mission:#?}{steps:#?}");
        }
        for step in &steps {
            if step.key.n == 0 {
                let open = mission.steps - ended;
                assert_eq!(step.blocked_by, open, "{step:#?}");
                assert_eq!(step.state == StepState::Blocked, open > 0, "{step:#?}");
            } else if step.key.item == 0 {
                let items: Vec<_> = steps
                    .iter()
                    .filter(|item| item.key.n == step.key.n && item.key.item > 0)
                    .collect();
                let open = items.iter().filter(|item| !item.state.is_end()).count() as u32;
                let done = items.iter().filter(|item| item.state == StepState::Done).count() as u32;
                assert_eq!(step.items, items.len() as u32, "{step:#?}");
                assert_eq!(step.items_open, open, "{step:#?}");
                assert_eq!(step.items_lost, items.len() as u32 - open - done, "{step:#?}");
                assert_eq!(step.state == StepState::Expanded, open > 0, "{step:#?}");
                let unmet = step.needs.iter().filter(|need| {
                    steps.iter().any(|other| {
                        other.key.n == **need
                            && other.key.item == 0
                            && other.state != StepState::Done
                    })
                });
                if step.state == StepState::Blocked {
                    assert_eq!(step.blocked_by, unmet.count() as u32, "{step:#?}");
                }
            }
        }
    }
}

struct Player<'w> {
    world: &'w World<'w>,
    scene: Scene,
}

impl<'w> Player<'w> {
    fn chance(&self, percent: usize) -> bool {
        self.world.rng.below(100) < percent
    }

    fn heads(&self) -> Vec<StepHead> {
        let count = self.world.rng.below(5) as u32;
        (1..=count)
            .map(|n| {
                let needs: Vec<_> = (1..n).filter(|_| self.chance(40)).collect();
                StepHead { for_each: self.chance(30), ..head(n, &needs) }
            })
            .collect()
    }

    /// A step, in a state that fits more often than not.
    fn step(&self, state: StepState) -> Option<&StepRow> {
        let fit: Vec<_> = self.scene.steps.iter().filter(|step| step.state == state).collect();
        if self.chance(95) {
            self.world.rng.pick(&fit).copied()
        } else {
            self.world.rng.pick(&self.scene.steps)
        }
    }

    fn fence(&self, step: &StepRow) -> Fence {
        let token = if self.chance(95) { step.token } else { step.token + 1 };
        Fence { step: step.key.clone(), token }
    }

    fn dependents(&self, of: &StepKey) -> Vec<u32> {
        let waits = |step: &&StepRow| {
            step.key.mission == of.mission && step.key.item == 0 && step.needs.contains(&of.n)
        };
        match (of.item, self.chance(95)) {
            (0, true) => self.scene.steps.iter().filter(waits).map(|step| step.key.n).collect(),
            (_, true) => vec![],
            _ => vec![1],
        }
    }

    fn downstream(&self, of: &StepKey) -> Vec<u32> {
        let mut found = BTreeSet::new();
        for step in self.scene.steps.iter().filter(|step| step.key.mission == of.mission) {
            if step.needs.iter().any(|need| *need == of.n || found.contains(need)) {
                found.insert(step.key.n);
            }
        }
        found.into_iter().collect()
    }

    fn some_steps(&self, of: &MissionId) -> Vec<StepKey> {
        let all = self.scene.steps.iter().filter(|step| step.key.mission == *of);
        let everything = self.chance(70);
        all.filter(|_| everything || self.chance(50)).map(|step| step.key.clone()).collect()
    }

    fn asked(
        &self,
        draft: Draft<'w>,
        mission: &MissionId,
        question: Question,
        steps: Vec<StepKey>,
        approval: &charter::ids::ApprovalId,
    ) -> Draft<'w> {
        let grants = [Digest::of(b"a"), Digest::of(b"b")];
        self.world.requested(draft, approval, mission, question, &grants, steps)
    }

    fn turn(&self) -> Option<Draft<'w>> {
        let world = self.world;
        let rng = &world.rng;
        let mission = || rng.pick(&self.scene.missions);
        Some(match rng.below(30) {
            0 if self.scene.missions.len() < 4 => world.submission(&self.heads()).1,
            1..=6 => {
                let step = self.step(StepState::Ready)?;
                let fence = self.fence(step);
                // Some so long that others have to wait.
                let wall = rng.below(2) as u64 * Budget::default().wall_ms / 2;
                world.claiming_time(&Fence { token: fence.token + 1, ..fence }, wall, 0)
            }
            7..=9 => {
                let step = self.step(StepState::Claimed)?;
                let fence = self.fence(step);
                if step.key.n == 0 && self.chance(50) {
                    let ends = [MissionState::Done, MissionState::Failed, MissionState::Running];
                    world.ending(&fence, *rng.pick(&ends)?)
                } else {
                    world.finishing(&fence, &self.dependents(&step.key))
                }
            }
            10 => {
                let step = self.step(StepState::Claimed)?;
                world.failing(&self.fence(step), world.now() + rng.below(2) as i64 * 40)
            }
            11 | 12 => {
                let step = self.step(StepState::Claimed)?;
                let causes = [DeathCause::Denied, DeathCause::Permanent, DeathCause::Unproven];
                let skips = if step.key.item == 0 { self.downstream(&step.key) } else { vec![] };
                world.dying(&self.fence(step), *rng.pick(&causes)?, &skips)
            }
            13 => {
                let step = self.step(StepState::Claimed)?;
                let fence = self.fence(step);
                let approval = match rng.pick(&self.scene.approvals) {
                    Some(known) if self.chance(30) => known.id.clone(),
                    _ => world.approval(),
                };
                let (of, key) = (step.key.mission.clone(), step.key.clone());
                let parked = Event::StepParked { step: key.clone(), approval: approval.clone() };
                let draft = world.draft().release(&fence).event(parked);
                match self.scene.approvals.iter().any(|known| known.id == approval) {
                    true => draft,
                    false => self.asked(draft, &of, Question::Permission, vec![key], &approval),
                }
            }
            14..=16 => {
                let open: Vec<_> = self
                    .scene
                    .steps
                    .iter()
                    .filter(|s| s.state == StepState::Claimed && s.for_each && !s.expanded)
                    .collect();
                let step = match rng.pick(&open) {
                    Some(step) => *step,
                    None => self.step(StepState::Claimed)?,
                };
                let items = rng.below(4) as u32;
                let fence = self.fence(step);
                if self.chance(30) && items > 0 {
                    let approval = world.approval();
                    let draft = world.expanding(&fence, items, Some(approval.clone()));
                    let listed = (1..=items).map(|item| step.key.instance(item)).collect();
                    let of = step.key.mission.clone();
                    self.asked(draft, &of, Question::Permission, listed, &approval)
                } else {
                    world.expanding(&fence, items, None)
                }
            }
            17 => {
                let step = self.step(StepState::Claimed)?;
                let Fence { step, token } = self.fence(step);
                world.draft().event(Event::StepReleased {
                    step,
                    token,
                    dead: self.chance(50),
                    ready_at: world.now(),
                })
            }
            18 => {
                let stopped = |step: &&StepRow| {
                    let of = self.scene.missions.iter().find(|m| m.id == step.key.mission);
                    step.state == StepState::Claimed
                        && of.is_some_and(|m| m.cancelled || m.stopped.is_some())
                };
                let fit: Vec<_> = self.scene.steps.iter().filter(stopped).collect();
                let step = match rng.pick(&fit) {
                    Some(step) => *step,
                    None => self.step(StepState::Claimed)?,
                };
                let fence = self.fence(step);
                if self.chance(50) {
                    let step = fence.step.clone();
                    let cancelled = Event::StepCancelled { step, usage: common::usage() };
                    world.draft().release(&fence).event(cancelled)
                } else {
                    let mut draft = world.draft().fence(&fence);
                    let (step, prepared) = (fence.step, draft.text("prepared"));
                    draft.event(Event::StepPrepared { step, prepared })
                }
            }
            0 if self.chance(60) => {
                let mission = mission()?.id.clone();
                world.draft().event(Event::MissionCrowded { mission })
            }
            19 if self.chance(40) => {
                let of = mission()?.id.clone();
                let steps = self.some_steps(&of);
                if self.chance(50) {
                    world.cancelling(&of, steps)
                } else {
                    let stopped =
                        Event::MissionStopped { mission: of, limit: Limit::WallMs, steps };
                    world.draft().event(stopped)
                }
            }
            20..=22 => {
                let step = self.step(StepState::Dead)?;
                if self.chance(85) {
                    world.requeueing(&step.key, &self.downstream(&step.key))
                } else {
                    let (step, by) = (step.key.clone(), "me".to_owned());
                    world.draft().event(Event::StepDiscarded { step, by })
                }
            }
            23 | 24 => {
                let step = self.step(StepState::Claimed)?;
                let fence = self.fence(step);
                let key = match rng.pick(&self.scene.effects) {
                    Some(effect) if effect.step == step.key && self.chance(80) => effect.key,
                    _ => Digest::of(format!("{} {}", step.key, rng.below(2)).as_bytes()),
                };
                let grants: Vec<_> = self
                    .scene
                    .approvals
                    .iter()
                    .filter(|a| a.mission == step.key.mission && !a.requested.is_empty())
                    .map(|a| Grant { approval: a.id.clone(), effect: a.requested[rng.below(2)] })
                    .collect();
                let bytes = rng.below(3) as u64 * Budget::default().bytes_written / 3;
                world.intending(&fence, key, rng.pick(&grants).cloned()).bytes(bytes)
            }
            25 | 26 => {
                let of = |effect: &EffectRow| {
                    self.scene.steps.iter().find(|step| step.key == effect.step)
                };
                let claimed = |effect: &&EffectRow| {
                    of(effect).is_some_and(|step| step.state == StepState::Claimed)
                };
                let fit: Vec<_> = self.scene.effects.iter().filter(claimed).collect();
                let effect = *rng.pick(&fit)?;
                let step = of(effect)?;
                let fence = self.fence(step);
                let outcomes = [EffectOutcome::Done, EffectOutcome::Failed, EffectOutcome::NotDone];
                if self.chance(65) {
                    world.receiving(&fence, effect.key, *rng.pick(&outcomes)?)
                } else {
                    let (key, step, approval) = (effect.key, effect.step.clone(), world.approval());
                    let of = step.mission.clone();
                    let listed = vec![step.clone()];
                    let doubt = Event::EffectInDoubt { key, step, approval: approval.clone() };
                    let draft = world.draft().release(&fence).event(doubt);
                    self.asked(draft, &of, Question::InDoubt, listed, &approval)
                }
            }
            27 | 28 => {
                let row = rng.pick(&self.scene.approvals)?;
                let (approval, of) = (row.id.clone(), row.mission.clone());
                let answers =
                    [Answer::Approve, Answer::Deny, Answer::Happened, Answer::NotHappened];
                let event = match (row.state, rng.below(8)) {
                    (ApprovalState::Expired, 0..=5) => {
                        let expires_at = world.now() + 100;
                        Event::ApprovalReopened { approval, mission: of, expires_at }
                    }
                    (_, 0) => Event::ApprovalExpired { approval, mission: of },
                    (_, 1) => Event::ApprovalWithdrawn { approval, mission: of },
                    _ => {
                        let steps = self.some_steps(&of);
                        return Some(world.answering(&approval, &of, *rng.pick(&answers)?, steps));
                    }
                };
                world.draft().event(event)
            }
            29 => {
                let row = mission()?;
                let fence = self.step(StepState::Claimed).map(|step| self.fence(step));
                let mut heads = self.heads();
                let old = |n| {
                    self.scene.steps.iter().find(move |step| step.key == StepKey::step(&row.id, n))
                };
                let mut keep = Vec::new();
                for head in &mut heads {
                    match old(head.n) {
                        Some(step) if self.chance(50) => {
                            head.digest = step.digest;
                            keep.push(head.n);
                        }
                        _ => {}
                    }
                }
                let drop = self
                    .scene
                    .steps
                    .iter()
                    .filter(|s| s.key.mission == row.id && s.key.item > 0)
                    .filter(|s| !keep.contains(&s.key.n))
                    .map(|s| s.key.clone())
                    .collect();
                let mut draft = world.draft();
                draft.transition.fence = fence.filter(|_| self.chance(50));
                let event = Event::MissionReplanned {
                    mission: row.id.clone(),
                    plan: draft.text("child"),
                    digest: Digest::of_json(&(&heads, rng.next())).unwrap(),
                    parent: row.plan_digest,
                    steps: heads,
                    keep,
                    drop,
                };
                draft.event(event)
            }
            _ => return None,
        })
    }
}

/// Something about a random record, in whatever state that is.
async fn record_turn<'w>(world: &'w World<'w>) -> Option<Draft<'w>> {
    let rng = &world.rng;
    let memories = world.all(RecordKind::Memory).await;
    let memory = rng.pick(&memories).and_then(|record| MemoryRow::of(record.clone()));
    let schedules = world.all(RecordKind::Schedule).await;
    let schedule = rng.pick(&schedules).and_then(|record| ScheduleRow::of(record.clone()));
    let turns = world.all(RecordKind::Turn).await;
    let turn = rng.pick(&turns).and_then(|record| TurnRow::of(record.clone()));
    Some(match rng.below(10) {
        0 => world.observing("words", &[]).1,
        1 => world.observing("more words", &[memory?.id]).1,
        2 => world.merging(&memory?.id, "source"),
        3 => world.untrue(&memory?.id, None),
        4 => {
            let memory = memory?;
            world.forgetting(&[memory.id], &[memory.text.id])
        }
        5 => world.creating(Some(world.now()).filter(|_| rng.below(2) == 0)).1,
        6 => {
            let schedule = schedule?;
            let due_at = schedule.next_at.unwrap_or(1);
            world.due(&schedule.id, due_at, due_at + rng.below(3) as i64)
        }
        7 => {
            let (schedule, next_at) = (schedule?.id, world.now());
            world.scheduled(match rng.below(3) {
                0 => Scheduled::Paused { schedule },
                1 => Scheduled::Resumed { schedule, next_at },
                _ => Scheduled::Deleted { schedule },
            })
        }
        8 => match turn {
            Some(turn) if rng.below(2) == 0 => world.saying(&turn.session, "and").1,
            _ => {
                let (session, mut draft) = world.opening(None);
                let said = world.saying(&session, "so").1.transition;
                draft.transition.events.extend(said.events);
                draft.transition.contents.extend(said.contents);
                draft
            }
        },
        _ => {
            let turn = turn?;
            world.answered(&turn.session, &turn.id, TurnState::Answered)
        }
    })
}

#[tokio::test]
async fn all_ledgers_agree_on_random_histories() {
    let mut all: BTreeMap<String, u32> = BTreeMap::new();
    let (mut legal, mut illegal) = (0, 0);
    for seed in 0..SEEDS {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("ledger.db");
        let file = open(&path).await.unwrap();
        let database = (seed < POSTGRES_SEEDS).then(|| Cluster::shared().database());
        let server = match &database {
            Some(database) => Some(open_postgres(&database.url()).await.unwrap()),
            None => None,
        };
        let mut others: Vec<&dyn Ledger> = vec![&file];
        others.extend(server.iter().map(|server| server as &dyn Ledger));
        let all_of = All { twin: MemoryLedger::new(), others, kinds: Mutex::default() };
        let world = World::new(&all_of, seed);
        for _ in 0..TURNS {
            world.pass(10);
            let player = Player { world: &world, scene: scene(&world).await };
            recount(&player.scene);
            let Some(draft) = player.turn() else { continue };
            let transition = draft.transition.clone();
            match draft.commit().await {
                Ok(_) => legal += 1,
                Err(_) => illegal += 1,
            }
            if player.chance(10) {
                let _ = all_of.commit(transition.clone()).await;
            }
            if let (Some(fence), true) = (&transition.fence, player.chance(30)) {
                let _ = all_of.renew(fence, world.now() + 5).await;
                let _ = all_of.note_program(fence, &common::process(3), player.chance(70)).await;
            }
        }
        for _ in 0..RECORD_TURNS {
            world.pass(10);
            let Some(draft) = record_turn(&world).await else { continue };
            match draft.commit().await {
                Ok(_) => legal += 1,
                Err(_) => illegal += 1,
            }
        }
        world.whole_life().await;
        let last = scene(&world).await;
        recount(&last);
        for mission in &last.missions {
            let stream = StreamId::mission(&mission.id);
            world.ask(Query::Events { stream, after: 0, limit: 9_999 }).await;
        }
        let far = world.now() + 1_000_000;
        world.ask(Query::Leases).await;
        world.ask(Query::Outbox { now: far, limit: 9_999 }).await;
        world.ask(Query::ReadySteps { now: far, limit: 9_999 }).await;
        world.ask(Query::ExpiredApprovals { now: far, limit: 9_999 }).await;
        world.ask(Query::DeadSteps { limit: 9_999 }).await;
        world.ask(Query::Size).await;
        world.ask(Query::DueRecords { now: far, limit: 9_999 }).await;
        world.ask(Query::DueNext).await;
        world.ask(Query::ContentsWith { needle: "words".into(), limit: 9_999 }).await;
        file.close().await.unwrap();
        let public = common::key().verifying_key();
        let report = ledger::audit::verify(&path, &public).await.unwrap();
        assert_eq!(report.findings, [], "seed {seed}");
        if let (Some(server), Some(database)) = (&server, &database) {
            server.close().await.unwrap();
            let address = common::address(&database.url());
            let other = ledger::audit::verify_postgres(&address, &public).await.unwrap();
            assert_eq!(other.findings, [], "seed {seed}");
            assert_eq!(
                (other.events, other.streams, other.contents, other.forgotten, other.rows),
                (report.events, report.streams, report.contents, report.forgotten, report.rows)
            );
        }
        for (kind, count) in all_of.kinds.into_inner().unwrap() {
            *all.entry(kind).or_default() += count;
        }
    }
    println!("{legal} legal, {illegal} refused: {all:#?}");
    // Every kind of event took part, and refusals as well.
    assert_eq!(all.len(), 30, "{:?}", all.keys());
    assert!(legal > 1_500 && illegal > 500, "{legal} legal, {illegal} refused");
}
