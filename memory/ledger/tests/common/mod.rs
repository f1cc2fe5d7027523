//! A world in which missions happen: builds legal (and illegal) transitions over
//! any ledger, from a seed.
#![allow(dead_code, reason = "each suite uses its own part of it")]

pub(crate) mod postgres;
pub(crate) mod records;

use charter::approval::{Answer, Grant, Question};
use charter::budget::{Budget, Usage};
use charter::content::{Content, ContentRef};
use charter::digest::Digest;
use charter::effect::{EffectClass, Repeat};
use charter::event::{DeathCause, EffectOutcome, Event, Permit, StepHead};
use charter::flow::{Lane, Priority};
use charter::ids::{ApprovalId, Millis, MissionId, StepKey, TenantId, TransitionId, WorkerId};
use charter::label::Label;
use charter::ports::{
    Clock, Committed, Entropy, Fence, LeaseChange, Ledger, LedgerError, LedgerExt, Query, Rows,
    Transition,
};
use charter::rows::{ApprovalRow, EffectRow, MissionRow, MissionState, StepRow};
use charter::tool::Process;
use ledger::{PgAddress, PgLedger, SigningKey, SqliteLedger};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// SplitMix64.
pub(crate) struct Rng(AtomicU64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    pub(crate) fn next(&self) -> u64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    pub(crate) fn pick<'a, T>(&self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }
}

impl Entropy for Rng {
    fn fill(&self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = self.next() as u8;
        }
    }
}

/// A clock that is set by hand.
pub(crate) struct Hand(pub(crate) AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Millis {
        self.0.load(Ordering::Relaxed)
    }
}

pub(crate) fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(Hand(AtomicI64::new(1_000_000)))
}

pub(crate) async fn open(path: &Path) -> Result<SqliteLedger, LedgerError> {
    SqliteLedger::open(path, clock(), key()).await
}

pub(crate) async fn open_postgres(url: &str) -> Result<PgLedger, LedgerError> {
    PgLedger::open(&address(url), clock(), key()).await
}

pub(crate) fn address(url: &str) -> PgAddress {
    url.parse().unwrap()
}

pub(crate) fn process(pid: u32) -> Process {
    Process { host: "here".into(), pid, start: 1 }
}

pub(crate) fn head(n: u32, needs: &[u32]) -> StepHead {
    let digest = Digest::of_json(&(n, needs)).unwrap();
    let (class, lane) = (EffectClass::Change, Lane::Light);
    StepHead { n, digest, needs: needs.to_vec(), class, for_each: false, lane }
}

pub(crate) fn each(n: u32, needs: &[u32]) -> StepHead {
    StepHead { for_each: true, ..head(n, needs) }
}

/// A transition in the making.
pub(crate) struct Draft<'w> {
    world: &'w World<'w>,
    pub(crate) transition: Transition,
}

impl Draft<'_> {
    pub(crate) fn text(&mut self, text: &str) -> ContentRef {
        let (content, reference) = self.world.text(text);
        self.transition.contents.push(content);
        reference
    }

    pub(crate) fn event(mut self, event: Event) -> Self {
        let stream = ledger::projection::stream_of(&event);
        self.transition.events.push((stream, event));
        self
    }

    pub(crate) fn fence(mut self, fence: &Fence) -> Self {
        self.transition.fence = Some(fence.clone());
        self
    }

    pub(crate) fn release(mut self, fence: &Fence) -> Self {
        self.transition.lease = LeaseChange::Release;
        self.fence(fence)
    }

    /// Names how many bytes its intents write.
    pub(crate) fn bytes(mut self, of: u64) -> Self {
        for (_, event) in &mut self.transition.events {
            if let Event::EffectIntended { bytes, .. } = event {
                *bytes = of;
            }
        }
        self
    }

    pub(crate) async fn commit(self) -> Result<Committed, LedgerError> {
        self.world.ledger.commit(self.transition).await
    }
}

pub(crate) struct World<'a> {
    pub(crate) ledger: &'a dyn Ledger,
    pub(crate) rng: Rng,
    pub(crate) now: AtomicI64,
    pub(crate) tenant: TenantId,
    pub(crate) priority: Priority,
}

impl<'a> World<'a> {
    pub(crate) fn new(ledger: &'a dyn Ledger, seed: u64) -> Self {
        let now = AtomicI64::new(1_000_000 + seed as i64 % 1_000);
        let (tenant, priority) = (TenantId::local(), Priority::Normal);
        Self { ledger, rng: Rng::new(seed), now, tenant, priority }
    }

    pub(crate) fn now(&self) -> Millis {
        self.now.load(Ordering::Relaxed)
    }

    pub(crate) fn pass(&self, millis: Millis) -> Millis {
        self.now.fetch_add(millis, Ordering::Relaxed) + millis
    }

    pub(crate) fn text(&self, text: &str) -> (Content, ContentRef) {
        let bytes = text.as_bytes().to_vec();
        Content::new(&self.tenant, bytes, Label::TRUSTED, self.now(), &self.rng).unwrap()
    }

    pub(crate) fn draft(&self) -> Draft<'_> {
        let transition = Transition {
            id: TransitionId::new(self.now(), &self.rng),
            tenant: self.tenant.clone(),
            at: self.now(),
            fence: None,
            lease: LeaseChange::Keep,
            term: None,
            events: Vec::new(),
            contents: Vec::new(),
        };
        Draft { world: self, transition }
    }

    pub(crate) fn submission(&self, heads: &[StepHead]) -> (MissionId, Draft<'_>) {
        let mission = MissionId::new(self.pass(1), &self.rng);
        let mut draft = self.draft();
        let (wish, workspace, plan) =
            (draft.text("wish"), draft.text("/home/me"), draft.text("plan"));
        let submitted = Event::MissionSubmitted {
            mission: mission.clone(),
            subject: "me".into(),
            wish,
            workspace,
            same: Digest::of(b"same"),
            budget: Budget::default(),
            priority: self.priority,
        };
        let digest = Digest::of_json(heads).unwrap();
        let planned =
            Event::MissionPlanned { mission: mission.clone(), plan, digest, steps: heads.to_vec() };
        (mission, draft.event(submitted).event(planned))
    }

    pub(crate) async fn submit(&self, heads: &[StepHead]) -> MissionId {
        let (mission, draft) = self.submission(heads);
        draft.commit().await.unwrap();
        mission
    }

    pub(crate) fn claiming(&self, fence: &Fence) -> Draft<'_> {
        let mut draft = self.draft();
        draft.transition.fence = Some(fence.clone());
        let expires_at = self.now() + 60_000;
        draft.transition.lease = LeaseChange::Take { holder: process(7), expires_at, of: None };
        draft.event(Event::StepClaimed {
            step: fence.step.clone(),
            worker: WorkerId::new(self.now(), &self.rng),
            token: fence.token,
            wall_ms: 0,
            cpu_ms: 0,
        })
    }

    /// A claim for which the budget keeps so much time.
    pub(crate) fn claiming_time(&self, fence: &Fence, wall: u64, cpu: u64) -> Draft<'_> {
        let mut draft = self.claiming(fence);
        if let Event::StepClaimed { wall_ms, cpu_ms, .. } = &mut draft.transition.events[0].1 {
            (*wall_ms, *cpu_ms) = (wall, cpu);
        }
        draft
    }

    pub(crate) async fn try_claim(&self, step: &StepKey) -> Result<Fence, LedgerError> {
        let token = self.step(step).await.token + 1;
        let fence = Fence { step: step.clone(), token };
        self.claiming(&fence).commit().await.map(|_| fence)
    }

    pub(crate) async fn claim(&self, step: &StepKey) -> Fence {
        self.try_claim(step).await.unwrap()
    }

    pub(crate) fn finishing(&self, fence: &Fence, unblocks: &[u32]) -> Draft<'_> {
        let mut draft = self.draft();
        let (output, verdicts) = (draft.text("output"), draft.text("verdicts"));
        draft.release(fence).event(Event::StepFinished {
            step: fence.step.clone(),
            output,
            verdicts,
            verified: true,
            unblocks: unblocks.to_vec(),
            usage: usage(),
        })
    }

    pub(crate) async fn finish(&self, fence: &Fence, unblocks: &[u32]) -> Committed {
        self.finishing(fence, unblocks).commit().await.unwrap()
    }

    /// Claims and finishes a step.
    pub(crate) async fn run(&self, step: &StepKey, unblocks: &[u32]) {
        let fence = self.claim(step).await;
        self.finish(&fence, unblocks).await;
    }

    pub(crate) fn dying(&self, fence: &Fence, cause: DeathCause, skips: &[u32]) -> Draft<'_> {
        let mut draft = self.draft();
        let error = draft.text("error");
        draft.release(fence).event(Event::StepDied {
            step: fence.step.clone(),
            error,
            cause,
            skips: skips.to_vec(),
            usage: usage(),
        })
    }

    pub(crate) async fn die(&self, fence: &Fence, cause: DeathCause, skips: &[u32]) {
        self.dying(fence, cause, skips).commit().await.unwrap();
    }

    pub(crate) fn failing(&self, fence: &Fence, retry_at: Millis) -> Draft<'_> {
        let mut draft = self.draft();
        let (step, error) = (fence.step.clone(), draft.text("error"));
        draft.release(fence).event(Event::StepFailed { step, error, retry_at, usage: usage() })
    }

    pub(crate) fn requeueing(&self, step: &StepKey, revives: &[u32]) -> Draft<'_> {
        self.draft().event(Event::StepRequeued {
            step: step.clone(),
            by: "me".into(),
            revives: revives.to_vec(),
        })
    }

    pub(crate) fn expanding(
        &self,
        fence: &Fence,
        items: u32,
        approval: Option<ApprovalId>,
    ) -> Draft<'_> {
        let items = (1..=items).map(|n| Digest::of(&n.to_be_bytes())).collect::<Vec<_>>();
        let mut draft = self.draft();
        let prepared = items.iter().map(|_| draft.text("prepared")).collect();
        let step = fence.step.clone();
        draft.release(fence).event(Event::StepExpanded { step, items, approval, prepared })
    }

    pub(crate) fn ending(&self, fence: &Fence, state: MissionState) -> Draft<'_> {
        let mut draft = self.finishing(fence, &[]);
        let report = draft.text("report");
        let mission = fence.step.mission.clone();
        draft.event(Event::MissionEnded { mission, state, report })
    }

    pub(crate) async fn end(&self, mission: &MissionId, state: MissionState) {
        let fence = self.claim(&StepKey::report(mission)).await;
        self.ending(&fence, state).commit().await.unwrap();
    }

    pub(crate) fn cancelling(&self, mission: &MissionId, steps: Vec<StepKey>) -> Draft<'_> {
        let (mission, by) = (mission.clone(), "me".to_owned());
        self.draft().event(Event::MissionCancelled { mission, by, steps })
    }

    pub(crate) fn approval(&self) -> ApprovalId {
        ApprovalId::new(self.now(), &self.rng)
    }

    pub(crate) fn answering(
        &self,
        approval: &ApprovalId,
        mission: &MissionId,
        answer: Answer,
        steps: Vec<StepKey>,
    ) -> Draft<'_> {
        self.draft().event(Event::ApprovalAnswered {
            approval: approval.clone(),
            mission: mission.clone(),
            answer,
            by: "me".into(),
            seen: true,
            steps,
        })
    }

    pub(crate) fn intending(&self, fence: &Fence, key: Digest, grant: Option<Grant>) -> Draft<'_> {
        self.draft().fence(fence).event(Event::EffectIntended {
            key,
            step: fence.step.clone(),
            ordinal: 1,
            class: EffectClass::Change,
            repeat: Repeat::Safe,
            permit: Permit { rule: "test".into(), grant },
            before: Some(Digest::of(b"before")),
            after: Some(Digest::of(b"after")),
            bytes: 0,
        })
    }

    /// Intends to write so many bytes.
    pub(crate) fn writing(&self, fence: &Fence, key: &[u8], of: u64) -> Draft<'_> {
        self.intending(fence, Digest::of(key), None).bytes(of)
    }

    pub(crate) fn receiving(
        &self,
        fence: &Fence,
        key: Digest,
        outcome: EffectOutcome,
    ) -> Draft<'_> {
        let mut draft = self.draft().fence(fence);
        let output = Some(draft.text("effect"));
        draft.event(Event::EffectReceived {
            key,
            step: fence.step.clone(),
            outcome,
            output,
            after: Some(Digest::of(b"found")),
            made: vec![Digest::of(&key.0)],
        })
    }

    pub(crate) async fn mission(&self, id: &MissionId) -> MissionRow {
        self.ledger.mission(&self.tenant, id).await.unwrap()
    }

    pub(crate) async fn step(&self, key: &StepKey) -> StepRow {
        self.ledger.step(&self.tenant, key).await.unwrap()
    }

    pub(crate) async fn effect(&self, step: &StepKey) -> EffectRow {
        self.ledger.effects(&self.tenant, step).await.unwrap().remove(0)
    }

    pub(crate) async fn question(&self, id: &ApprovalId) -> ApprovalRow {
        self.ledger.approval(&self.tenant, id).await.unwrap()
    }

    pub(crate) async fn ask(&self, query: Query) -> Rows {
        self.ledger.query(&self.tenant, query).await.unwrap()
    }

    /// A mission in which every kind of row comes to be: two steps, one of them
    /// with instances, an approval, effects, a made file, a report.
    pub(crate) async fn whole_mission(&self) -> MissionId {
        let mission = self.submit(&[head(1, &[]), each(2, &[1])]).await;
        let (one, two) = (StepKey::step(&mission, 1), StepKey::step(&mission, 2));
        let fence = self.claim(&one).await;
        let (id, effect, done) =
            (self.approval(), Digest::of(b"effect"), Digest::of(mission.as_str().as_bytes()));
        let parked = self
            .draft()
            .release(&fence)
            .event(Event::StepParked { step: one.clone(), approval: id.clone() });
        let steps = vec![one.clone()];
        let asked = self.requested(parked, &id, &mission, Question::Permission, &[effect], steps);
        asked.commit().await.unwrap();
        self.answering(&id, &mission, Answer::Approve, vec![one.clone()]).commit().await.unwrap();
        let fence = self.claim(&one).await;
        let grant = Some(Grant { approval: id, effect });
        self.intending(&fence, done, grant).commit().await.unwrap();
        self.receiving(&fence, done, EffectOutcome::Done).commit().await.unwrap();
        self.finish(&fence, &[2]).await;
        let fence = self.claim(&two).await;
        self.expanding(&fence, 2, None).commit().await.unwrap();
        for item in 1..=2 {
            self.run(&two.instance(item), &[]).await;
        }
        self.run(&two, &[]).await;
        self.end(&mission, MissionState::Done).await;
        mission
    }

    pub(crate) fn requested<'d>(
        &self,
        mut draft: Draft<'d>,
        approval: &ApprovalId,
        mission: &MissionId,
        question: Question,
        grants: &[Digest],
        steps: Vec<StepKey>,
    ) -> Draft<'d> {
        let card = draft.text("card");
        draft.event(Event::ApprovalRequested {
            approval: approval.clone(),
            mission: mission.clone(),
            question,
            card,
            digest: Digest::of(b"card"),
            grants: grants.to_vec(),
            steps,
            expires_at: self.now() + 1_000,
        })
    }
}

pub(crate) fn usage() -> Usage {
    Usage { wall_ms: 5, cpu_ms: 3, bytes_written: 2, ..Usage::default() }
}
