//! What the record of one mission tells: when things happened, which claims were
//! cut off and how far they had come, what is asked, what happened twice.

use charter::approval::Question;
use charter::digest::Digest;
use charter::event::{DeathCause, EffectOutcome, Event, Recorded, StepHead};
use charter::ids::{ApprovalId, Millis, StepKey, WorkerId};
use charter::rows::MissionState;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Number of the call itself among the effects of a step: it only looks.
const CALL: u32 = 0;

/// How far a step had come when its worker was killed, as ledger and target show
/// it afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The worker had not claimed anything yet; steps were ready.
    Queued,
    /// It had claimed a step; no effect was permitted.
    Claimed,
    /// The intent with its permit was recorded; the target shows nothing of it.
    Permitted,
    /// The target shows the effect; there is no receipt.
    Acted,
    /// The receipt was recorded.
    Received,
}

impl Phase {
    /// All of them, in the order of the protocol.
    pub const ALL: [Self; 5] =
        [Self::Queued, Self::Claimed, Self::Permitted, Self::Acted, Self::Received];

    /// Its name in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Claimed => "claimed",
            Self::Permitted => "permitted",
            Self::Acted => "acted",
            Self::Received => "received",
        }
    }
}

/// How a claim ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimEnd {
    /// By its worker's own word: done, parked, failed.
    Own,
    /// It was taken back: the worker was dead.
    TakenBack,
}

/// One claim of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The step.
    pub step: StepKey,
    /// Who took it.
    pub worker: WorkerId,
    /// When.
    pub at: Millis,
    /// How it ended, if it did.
    pub end: Option<ClaimEnd>,
    /// Whether an effect of it was received under it.
    pub received: bool,
}

/// Something that a person is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The approval.
    pub approval: ApprovalId,
    /// The kind of question.
    pub question: Question,
    /// The effect in doubt.
    pub about: Option<(StepKey, Digest)>,
}

/// The events of one mission, in order.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Record(Vec<Recorded>);

impl Record {
    /// The events.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.0.iter().map(|recorded| &recorded.event)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of the last event in the mission's stream.
    pub fn last_seq(&self) -> u64 {
        self.0.last().map_or(0, |recorded| recorded.seq)
    }

    /// Adds later events.
    pub fn extend(&mut self, later: Self) {
        self.0.extend(later.0);
    }

    fn first(&self, wanted: impl Fn(&Event) -> bool) -> Option<Millis> {
        self.0.iter().find(|recorded| wanted(&recorded.event)).map(|recorded| recorded.at)
    }

    fn last(&self, wanted: impl Fn(&Event) -> bool) -> Option<Millis> {
        self.0.iter().rev().find(|recorded| wanted(&recorded.event)).map(|recorded| recorded.at)
    }

    /// When the mission was accepted.
    pub fn submitted_at(&self) -> Option<Millis> {
        self.first(|event| matches!(event, Event::MissionSubmitted { .. }))
    }

    /// When the first step was claimed.
    pub fn first_claim_at(&self) -> Option<Millis> {
        self.first(|event| matches!(event, Event::StepClaimed { .. }))
    }

    /// When the first instance was claimed, and when the last one was finished.
    pub fn instances(&self) -> Option<(Millis, Millis)> {
        let first =
            self.first(|e| matches!(e, Event::StepClaimed { step, .. } if step.item > 0))?;
        let last = self.last(|e| matches!(e, Event::StepFinished { step, .. } if step.item > 0))?;
        Some((first, last))
    }

    /// How and when the mission ended; `None` while it goes on, again for instance.
    pub fn ended(&self) -> Option<(MissionState, Millis)> {
        let mut ended = None;
        for recorded in &self.0 {
            match &recorded.event {
                Event::MissionEnded { state, .. } => ended = Some((*state, recorded.at)),
                Event::StepRequeued { .. } => ended = None,
                _ => {}
            }
        }
        ended
    }

    /// Every claim, in order.
    pub fn claims(&self) -> Vec<Claim> {
        let mut claims: Vec<Claim> = Vec::new();
        let mut open: BTreeMap<StepKey, usize> = BTreeMap::new();
        for Recorded { event, at, .. } in &self.0 {
            let (step, end) = match event {
                Event::StepClaimed { step, worker, .. } => {
                    open.insert(step.clone(), claims.len());
                    claims.push(Claim {
                        step: step.clone(),
                        worker: worker.clone(),
                        at: *at,
                        end: None,
                        received: false,
                    });
                    continue;
                }
                Event::EffectReceived { step, .. } => {
                    if let Some(claim) = open.get(step).and_then(|at| claims.get_mut(*at)) {
                        claim.received = true;
                    }
                    continue;
                }
                Event::StepReleased { step, .. } => (step.clone(), ClaimEnd::TakenBack),
                Event::StepExpanded { step, .. }
                | Event::StepParked { step, .. }
                | Event::StepFinished { step, .. }
                | Event::StepFailed { step, .. }
                | Event::StepDied { step, .. }
                | Event::StepCancelled { step, .. }
                | Event::StepHalted { step, .. }
                | Event::EffectInDoubt { step, .. } => (step.clone(), ClaimEnd::Own),
                Event::MissionEnded { mission, .. } => (StepKey::report(mission), ClaimEnd::Own),
                _ => continue,
            };
            if let Some(claim) = open.remove(&step).and_then(|at| claims.get_mut(at)) {
                claim.end = Some(end);
            }
        }
        claims
    }

    /// Effects of a step that are intended and have no receipt.
    fn open_intents(&self, of: &StepKey) -> Vec<Digest> {
        let mut open = Vec::new();
        for event in self.events() {
            match event {
                Event::EffectIntended { key, step, ordinal, .. }
                    if step == of && *ordinal != CALL && !open.contains(key) =>
                {
                    open.push(*key);
                }
                Event::EffectReceived { key, .. } => open.retain(|known| known != key),
                _ => {}
            }
        }
        open
    }

    /// How many steps and instances may be claimed.
    pub fn ready(&self) -> usize {
        let mut heads: Vec<StepHead> = Vec::new();
        let mut items: BTreeMap<u32, u32> = BTreeMap::new();
        // Claimed, waiting for a person or for instances, or over.
        let mut taken: BTreeSet<(u32, u32)> = BTreeSet::new();
        let mut done: BTreeSet<u32> = BTreeSet::new();
        for event in self.events() {
            match event {
                Event::MissionPlanned { steps, .. } => heads.clone_from(steps),
                Event::StepExpanded { step, items: made, approval, .. } => {
                    let count = u32::try_from(made.len()).unwrap_or(u32::MAX);
                    items.insert(step.n, count);
                    if approval.is_some() {
                        taken.extend((1..=count).map(|item| (step.n, item)));
                    }
                }
                Event::StepClaimed { step, .. } => {
                    taken.insert((step.n, step.item));
                }
                Event::StepReleased { step, .. }
                | Event::StepFailed { step, .. }
                | Event::StepHalted { step, .. }
                | Event::StepRequeued { step, .. } => {
                    taken.remove(&(step.n, step.item));
                }
                Event::StepFinished { step, .. } if step.item == 0 => {
                    done.insert(step.n);
                }
                Event::ApprovalAnswered { steps, .. } => {
                    for step in steps {
                        taken.remove(&(step.n, step.item));
                    }
                }
                _ => {}
            }
        }
        let free = |n: u32, item: u32| usize::from(!taken.contains(&(n, item)));
        let steps = heads
            .iter()
            .filter(|head| !done.contains(&head.n) && !items.contains_key(&head.n))
            .filter(|head| head.needs.iter().all(|need| done.contains(need)))
            .map(|head| free(head.n, 0));
        let instances = items.iter().flat_map(|(n, count)| (1..=*count).map(|item| free(*n, item)));
        steps.chain(instances).sum()
    }

    /// How far a worker had come that was started at `since` and was dead at
    /// `until`, while no other was started in between. `None`: there was nothing
    /// for it to do. `happened` asks the target.
    pub fn phase(
        &self,
        since: Millis,
        until: Millis,
        happened: &dyn Fn(&StepKey, &Digest) -> bool,
    ) -> Option<Phase> {
        let claims = self.claims();
        let own = |claim: &&Claim| (since..=until).contains(&claim.worker.made_at());
        let Some(claim) = claims.iter().rfind(own) else {
            return (self.ready() > 0).then_some(Phase::Queued);
        };
        if claim.end == Some(ClaimEnd::Own) {
            return Some(Phase::Received);
        }
        let open = self.open_intents(&claim.step);
        Some(if open.iter().any(|key| happened(&claim.step, key)) {
            Phase::Acted
        } else if !open.is_empty() {
            Phase::Permitted
        } else if claim.received {
            Phase::Received
        } else {
            Phase::Claimed
        })
    }

    /// What is asked and not answered.
    pub fn asked(&self) -> Vec<Asked> {
        let mut asked: Vec<Asked> = Vec::new();
        for event in self.events() {
            match event {
                Event::ApprovalRequested { approval, question, .. } => asked.push(Asked {
                    approval: approval.clone(),
                    question: *question,
                    about: None,
                }),
                Event::EffectInDoubt { key, step, approval } => {
                    if let Some(one) = asked.iter_mut().find(|one| one.approval == *approval) {
                        one.about = Some((step.clone(), *key));
                    }
                }
                Event::ApprovalAnswered { approval, .. }
                | Event::ApprovalWithdrawn { approval, .. } => {
                    asked.retain(|one| one.approval != *approval);
                }
                _ => {}
            }
        }
        asked
    }

    /// Steps on the dead-letter desk, and why.
    pub fn dead(&self) -> BTreeMap<StepKey, DeathCause> {
        let mut dead = BTreeMap::new();
        for event in self.events() {
            match event {
                Event::StepDied { step, cause, .. } => {
                    dead.insert(step.clone(), *cause);
                }
                Event::StepRequeued { step, .. } => {
                    dead.remove(step);
                    // With an instance its step comes back.
                    if let Some(parent) = step.parent() {
                        dead.remove(&parent);
                    }
                }
                _ => {}
            }
        }
        dead
    }

    /// Keys of effects that were received as done more than once.
    pub fn doubled(&self) -> Vec<Digest> {
        let mut seen: BTreeMap<Digest, u32> = BTreeMap::new();
        for event in self.events() {
            if let Event::EffectReceived { key, outcome: EffectOutcome::Done, .. } = event {
                *seen.entry(*key).or_default() += 1;
            }
        }
        let looks: BTreeSet<Digest> = self
            .events()
            .filter_map(|event| match event {
                Event::EffectIntended { key, ordinal: CALL, .. } => Some(*key),
                _ => None,
            })
            .collect();
        let twice = seen.into_iter().filter(|(key, times)| *times > 1 && !looks.contains(key));
        twice.map(|(key, _)| key).collect()
    }

    /// Steps and instances that were finished more than once, the report excepted: a
    /// mission that goes on after its end writes another one.
    pub fn finished_twice(&self) -> Vec<StepKey> {
        let mut seen: BTreeSet<&StepKey> = BTreeSet::new();
        let finished = self.events().filter_map(|event| match event {
            Event::StepFinished { step, .. } if step.n > 0 => Some(step),
            _ => None,
        });
        finished.filter(|step| !seen.insert(step)).cloned().collect()
    }

    /// How often a person was asked whether an effect happened.
    pub fn doubts(&self) -> usize {
        self.events().filter(|event| matches!(event, Event::EffectInDoubt { .. })).count()
    }

    /// Planned steps that were not finished, and instances that were not.
    pub fn unfinished(&self) -> usize {
        let mut open: BTreeSet<(u32, u32)> = BTreeSet::new();
        for event in self.events() {
            match event {
                Event::MissionPlanned { steps, .. } => {
                    open.extend(steps.iter().map(|head| (head.n, 0)));
                }
                Event::StepExpanded { step, items, .. } => {
                    let count = u32::try_from(items.len()).unwrap_or(u32::MAX);
                    open.extend((1..=count).map(|item| (step.n, item)));
                }
                Event::StepFinished { step, .. } => {
                    open.remove(&(step.n, step.item));
                }
                _ => {}
            }
        }
        open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use charter::budget::Usage;
    use charter::content::ContentRef;
    use charter::effect::{EffectClass, Repeat};
    use charter::event::Permit;
    use charter::ids::{MissionId, StreamId};
    use charter::label::Label;
    use charter::ports::Entropy;

    struct Zero;
    impl Entropy for Zero {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0);
        }
    }

    fn text() -> ContentRef {
        let (id, sha256) = ("c-0000000000000000".parse().unwrap(), Digest::default());
        ContentRef { id, sha256, label: Label::TRUSTED }
    }

    fn mission() -> MissionId {
        "m-0000000000000000".parse().unwrap()
    }

    fn step(n: u32) -> StepKey {
        StepKey::step(&mission(), n)
    }

    fn key(n: u32) -> Digest {
        Digest::of(&n.to_be_bytes())
    }

    fn planned(needs: &[&[u32]]) -> Event {
        let heads = needs.iter().zip(1..).map(|(needs, n)| StepHead {
            n,
            digest: Digest::default(),
            needs: needs.to_vec(),
            class: EffectClass::Change,
            for_each: false,
            lane: charter::flow::Lane::Light,
        });
        let (plan, digest) = (text(), Digest::default());
        Event::MissionPlanned { mission: mission(), plan, digest, steps: heads.collect() }
    }

    fn claimed(n: u32, by: Millis) -> Event {
        let worker = WorkerId::new(by, &Zero);
        Event::StepClaimed { step: step(n), worker, token: 1, wall_ms: 0, cpu_ms: 0 }
    }

    fn intended(n: u32, ordinal: u32) -> Event {
        Event::EffectIntended {
            key: key(n * 10 + ordinal),
            step: step(n),
            ordinal,
            class: EffectClass::Change,
            repeat: Repeat::Safe,
            permit: Permit { rule: "test".into(), grant: None },
            before: None,
            after: None,
            bytes: 0,
        }
    }

    fn received(n: u32, ordinal: u32) -> Event {
        Event::EffectReceived {
            key: key(n * 10 + ordinal),
            step: step(n),
            outcome: EffectOutcome::Done,
            output: None,
            after: None,
            made: Vec::new(),
        }
    }

    fn finished(n: u32) -> Event {
        Event::StepFinished {
            step: step(n),
            output: text(),
            verdicts: text(),
            verified: true,
            unblocks: Vec::new(),
            usage: Usage::default(),
        }
    }

    fn record(events: Vec<Event>) -> Record {
        let recorded = events.into_iter().zip(1u64..).map(|(event, seq)| Recorded {
            position: seq as i64,
            stream: StreamId::mission(&mission()),
            seq,
            at: 1_000 + seq as i64,
            transition: "t-0000000000000000".parse().unwrap(),
            event,
        });
        Record(recorded.collect())
    }

    /// The worker under test was made at 500.
    fn check(events: Vec<Event>, in_target: bool, expected: Option<Phase>) {
        let found = record(events).phase(450, 550, &|_, _| in_target);
        assert_eq!(found, expected);
    }

    #[test]
    fn a_worker_without_a_claim_leaves_ready_steps_queued() {
        check(vec![planned(&[&[]])], false, Some(Phase::Queued));
        check(vec![planned(&[&[]]), claimed(1, 900)], false, None);
        check(vec![planned(&[&[], &[1]]), claimed(1, 900)], false, None);
        check(vec![planned(&[&[], &[1]]), claimed(1, 9), finished(1)], false, Some(Phase::Queued));
    }

    #[test]
    fn a_look_is_no_permit() {
        let events = || vec![planned(&[&[]]), claimed(1, 500), intended(1, 0)];
        check(events(), true, Some(Phase::Claimed));
    }

    #[test]
    fn the_target_tells_permitted_from_acted() {
        let events = || vec![planned(&[&[]]), claimed(1, 500), intended(1, 0), intended(1, 2)];
        check(events(), false, Some(Phase::Permitted));
        check(events(), true, Some(Phase::Acted));
    }

    #[test]
    fn a_receipt_counts_whether_or_not_the_step_is_finished() {
        let mut events = vec![claimed(1, 500), intended(1, 1), received(1, 1)];
        check(events.clone(), true, Some(Phase::Received));
        events.push(finished(1));
        check(events, true, Some(Phase::Received));
    }

    #[test]
    fn a_claim_that_was_taken_back_is_still_the_dead_worker_s() {
        let released = Event::StepReleased { step: step(1), token: 1, dead: true, ready_at: 0 };
        check(vec![claimed(1, 500), intended(1, 1), released], false, Some(Phase::Permitted));
    }

    #[test]
    fn the_same_receipt_twice_is_doubled_but_looking_twice_is_not() {
        let twice = |ordinal| {
            let one = || vec![intended(1, ordinal), received(1, ordinal)];
            record([one(), one()].concat()).doubled().len()
        };
        assert_eq!((twice(0), twice(1)), (0, 1));
    }

    #[test]
    fn a_step_that_is_finished_twice_is_told() {
        assert_eq!(record(vec![finished(1), finished(2)]).finished_twice(), []);
        assert_eq!(record(vec![finished(1), finished(0), finished(1)]).finished_twice(), [step(1)]);
        assert_eq!(record(vec![finished(0), finished(0)]).finished_twice(), []);
    }

    #[test]
    fn what_is_not_finished_is_counted() {
        assert_eq!(record(vec![planned(&[&[], &[]]), finished(2)]).unfinished(), 1);
    }

    #[test]
    fn a_mission_that_goes_on_after_its_end_has_not_ended() {
        let ended =
            Event::MissionEnded { mission: mission(), state: MissionState::Failed, report: text() };
        let again = Event::StepRequeued { step: step(1), by: "x".into(), revives: Vec::new() };
        assert!(record(vec![ended.clone()]).ended().is_some());
        assert!(record(vec![ended, again]).ended().is_none());
    }
}
