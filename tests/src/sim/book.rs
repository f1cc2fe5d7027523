//! What the record of a run tells: which effects are open, which grants were
//! spent, what a person was shown. It says at once what must not be.

use super::coverage::{Coverage, Table};
use charter::approval::{Answer, Card, FrozenEffect, Question};
use charter::digest::Digest;
use charter::effect::{EffectClass, Repeat, targets_digest};
use charter::event::{EffectOutcome, Event, Permit};
use charter::ids::{ApprovalId, StepKey};
use charter::ports::{LeaseChange, Transition};
use charter::rows::{StepRow, StepState};
use charter::tool::{Act, Proposed};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What must hold, by the names under which it is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Every mission that was submitted ends once faults have stopped.
    Ends,
    /// A finished step never runs again.
    FinishesOnce,
    /// Only the holder of a claim writes under it.
    Fenced,
    /// An effect happens as often as its step says.
    HappensOnce,
    /// A file is as its finished step says.
    File,
    /// What is on record as not done did not happen.
    Receipt,
    /// No effect before its intent is on record.
    IntentFirst,
    /// No effect without a permit, no permit without a decision.
    Permitted,
    /// A grant is for one intent, and for exactly the effect that was shown.
    Granted,
    /// No step reaches the queue before it can run.
    RingsInTime,
    /// A budget is passed by one step at most.
    Budget,
    /// One open question per effect in doubt, and only where nothing else can tell.
    AskedOnce,
    /// The report says what is true.
    Report,
    /// The record can be verified, and both stores agree on it.
    Record,
}

/// Something that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub rule: Rule,
    /// What happened instead.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.what)
    }
}

/// What a run came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Repaired plans.
    pub heals: u32,
    /// Permissions that were asked for.
    pub asked: u32,
    /// Questions about effects in doubt.
    pub doubts: u32,
    /// Claims that were taken back.
    pub released: u32,
}

/// An effect as the record has it.
struct Known {
    step: StepKey,
    repeat: Repeat,
    is_change: bool,
    /// It waits for its receipt.
    open: bool,
    done: bool,
    permit: Permit,
    after: Option<Digest>,
    /// The claim under which it was intended last.
    token: u64,
    /// The question whether it happened, and its answer.
    doubt: Option<ApprovalId>,
    told: Option<Answer>,
}

impl Known {
    /// How a later claim finds it.
    fn found(&self) -> &'static str {
        match (self.doubt.is_some(), self.told) {
            (true, Some(Answer::Happened)) => "in doubt, happened",
            (true, Some(_)) => "in doubt, not happened",
            (true, None) => "in doubt",
            (false, _) if self.is_change => "intended change",
            (false, _) => match self.repeat {
                Repeat::Safe => "intended safe",
                Repeat::Keyed => "intended keyed",
                Repeat::Probe => "intended probe",
                Repeat::Never => "intended never",
            },
        }
    }
}

/// What the record tells so far.
#[derive(Default)]
pub struct Book {
    /// What does not hold.
    pub violations: Vec<Violation>,
    /// What was reached.
    pub coverage: Coverage,
    /// What was counted.
    pub tally: Tally,
    effects: BTreeMap<Digest, Known>,
    /// Effects as a person saw them, by what a grant names.
    shown: BTreeMap<Digest, FrozenEffect>,
    answers: BTreeMap<ApprovalId, Answer>,
    /// The effect for which a grant was spent; `None` after its receipt.
    spent: BTreeMap<(ApprovalId, Digest), Option<Digest>>,
    finished: BTreeSet<StepKey>,
}

/// Number of the call itself among the effects of a step: it only looks.
const CALL: u32 = 0;
/// Number of its act.
const ACT: u32 = 1;

impl Book {
    /// Notes something that does not hold.
    pub fn blame(&mut self, rule: Rule, what: impl Into<String>) {
        self.violations.push(Violation { rule, what: what.into() });
    }

    /// A transition was committed; `before` has the rows of its steps as they were.
    pub fn note(&mut self, transition: &Transition, before: &BTreeMap<StepKey, StepRow>) {
        if let Some(fence) = &transition.fence
            && !matches!(transition.lease, LeaseChange::Take { .. })
            && before
                .get(&fence.step)
                .is_none_or(|row| row.state != StepState::Claimed || row.token != fence.token)
        {
            let what = format!("claim {} on {} was void, and wrote", fence.token, fence.step);
            self.blame(Rule::Fenced, what);
        }
        for (_, event) in &transition.events {
            if let Some(step) = subject(event) {
                if let Some(row) = before.get(step) {
                    let state = format!("{:?}", row.state).to_lowercase();
                    self.coverage.reached(Table::Step, state, event.kind());
                }
                let fenced = transition.fence.as_ref().map(|fence| &fence.step);
                if is_worker_s(event) && fenced != Some(step) {
                    self.blame(
                        Rule::Fenced,
                        format!("{} of {step} without its claim", event.kind()),
                    );
                }
            }
            let token = transition.fence.as_ref().map_or(0, |fence| fence.token);
            self.event(event, token, transition);
        }
    }

    fn event(&mut self, event: &Event, token: u64, transition: &Transition) {
        match event {
            Event::StepClaimed { step, .. } if self.finished.contains(step) => {
                self.blame(Rule::FinishesOnce, format!("{step} was done, and is claimed again"));
            }
            Event::StepFinished { step, .. }
                if step.n > 0 && !self.finished.insert(step.clone()) =>
            {
                self.blame(Rule::FinishesOnce, format!("{step} is finished twice"));
            }
            Event::StepReleased { .. } => self.tally.released += 1,
            Event::MissionReplanned { .. } => self.tally.heals += 1,
            Event::ApprovalRequested { card, question, .. } => {
                let content = transition.contents.iter().find(|content| content.id == card.id);
                let card = content.and_then(|content| content.json::<Card>("a card").ok());
                self.tally.asked += u32::from(*question == Question::Permission);
                for effect in card.into_iter().flat_map(|card| card.effects) {
                    if let Ok(digest) = effect.digest() {
                        self.shown.insert(digest, effect);
                    }
                }
            }
            Event::ApprovalAnswered { approval, answer, .. } => {
                self.answers.insert(approval.clone(), *answer);
                for known in self.effects.values_mut() {
                    if known.doubt.as_ref() == Some(approval) {
                        known.told = Some(*answer);
                    }
                }
            }
            Event::EffectIntended { key, .. } => self.intended(*key, event, token),
            Event::EffectReceived { key, outcome, .. } => self.received(*key, *outcome, token),
            Event::EffectInDoubt { key, approval, .. } => self.in_doubt(*key, approval),
            _ => {}
        }
    }

    fn intended(&mut self, key: Digest, event: &Event, token: u64) {
        let Event::EffectIntended { step, ordinal, class, repeat, permit, after, .. } = event
        else {
            return;
        };
        let before = self.effects.remove(&key);
        if let Some(known) = before.as_ref().filter(|_| *ordinal != CALL) {
            if known.done {
                self.blame(Rule::HappensOnce, format!("{step}: done, and intended again"));
            }
            if (known.open || known.doubt.is_some()) && known.token < token {
                self.coverage.reached(Table::Recovery, known.found(), "repeat");
            }
        }
        self.permitted(key, (step, *ordinal, *class), permit);
        let known = Known {
            step: step.clone(),
            repeat: *repeat,
            is_change: *ordinal > ACT,
            open: true,
            done: false,
            permit: permit.clone(),
            after: *after,
            token,
            doubt: None,
            told: None,
        };
        self.effects.insert(key, known);
    }

    /// Whether an intent has a permit, and its permit a decision.
    fn permitted(
        &mut self,
        key: Digest,
        (step, ordinal, class): (&StepKey, u32, EffectClass),
        permit: &Permit,
    ) {
        if permit.rule.is_empty() {
            self.blame(Rule::Permitted, format!("{step}: no rule permits effect {ordinal}"));
        }
        let Some(grant) = &permit.grant else {
            if matches!(class, EffectClass::Change | EffectClass::External) {
                self.blame(Rule::Permitted, format!("{step}: nobody granted effect {ordinal}"));
            }
            return;
        };
        if self.answers.get(&grant.approval) != Some(&Answer::Approve) {
            self.blame(Rule::Permitted, format!("{step}: {} grants nothing", grant.approval));
        }
        let fits = |shown: &FrozenEffect| {
            shown.step == *step && shown.ordinal == ordinal && shown.class == class
        };
        if !self.shown.get(&grant.effect).is_some_and(fits) {
            self.blame(Rule::Granted, format!("{step}: effect {ordinal} was not what was shown"));
        }
        let name = (grant.approval.clone(), grant.effect);
        if self.spent.insert(name, Some(key)).is_some_and(|by| by != Some(key)) {
            self.blame(
                Rule::Granted,
                format!("{step}: a grant of {} is spent twice", grant.approval),
            );
        }
    }

    fn received(&mut self, key: Digest, outcome: EffectOutcome, token: u64) {
        let Some(known) = self.effects.get_mut(&key) else {
            return self
                .blame(Rule::IntentFirst, format!("{key} is received, and was not intended"));
        };
        if let Some(grant) = &known.permit.grant {
            self.spent.insert((grant.approval.clone(), grant.effect), None);
        }
        let found = known.found();
        let settled = known.token < token;
        let twice = known.done && outcome == EffectOutcome::Done && known.is_change;
        (known.open, known.done) = (false, outcome == EffectOutcome::Done);
        let step = known.step.clone();
        if settled {
            self.coverage.reached(Table::Recovery, found, "receive");
        }
        if twice {
            self.blame(Rule::HappensOnce, format!("{step}: two receipts for one effect"));
        }
    }

    fn in_doubt(&mut self, key: Digest, approval: &ApprovalId) {
        self.tally.doubts += 1;
        let Some(known) = self.effects.get_mut(&key) else {
            return self.blame(Rule::AskedOnce, format!("{key} is in doubt, and was not intended"));
        };
        let (found, step) = (known.found(), known.step.clone());
        let again = known.doubt.is_some() && known.told.is_none();
        let knowable = !known.is_change && matches!(known.repeat, Repeat::Safe | Repeat::Keyed);
        known.open = false;
        known.doubt = Some(approval.clone());
        known.told = None;
        self.coverage.reached(Table::Recovery, found, "ask");
        if again {
            self.blame(Rule::AskedOnce, format!("{step}: asked, while the question is open"));
        }
        if knowable {
            self.blame(Rule::AskedOnce, format!("{step}: asked, although it may be repeated"));
        }
    }

    /// A tool acts: its intent must be on record, and it must be what was shown. Who
    /// comes back late may find that another one has settled it meanwhile.
    pub fn acts(&mut self, key: &Digest, act: &Act) {
        match self.effects.get(key) {
            None => self.blame(Rule::IntentFirst, format!("{} without an intent", act.summary)),
            Some(known) if !self.was_shown(known, Digest::of_json(act).ok()) => {
                self.blame(Rule::Granted, format!("{}, which was not shown", act.summary));
            }
            Some(_) => {}
        }
    }

    /// A change of files is carried out.
    pub fn changes(&mut self, proposed: &Proposed) {
        let (change, expected) = (&proposed.change, targets_digest(&proposed.expected()).ok());
        let mut intents = self.effects.values().filter(|known| known.after == expected);
        let intent = intents.clone().find(|known| known.open).or_else(|| intents.next());
        match intent {
            None => self.blame(Rule::IntentFirst, format!("{change} without an intent")),
            Some(known) if !self.was_shown(known, Digest::of_json(change).ok()) => {
                self.blame(Rule::Granted, format!("{change}, which was not shown"));
            }
            Some(_) => {}
        }
    }

    fn was_shown(&self, known: &Known, detail: Option<Digest>) -> bool {
        let Some(grant) = &known.permit.grant else { return true };
        self.shown.get(&grant.effect).is_some_and(|shown| Some(shown.detail) == detail)
    }
}

/// The step that an event is about.
pub(crate) fn subject(event: &Event) -> Option<&StepKey> {
    match event {
        Event::StepClaimed { step, .. }
        | Event::StepReleased { step, .. }
        | Event::StepExpanded { step, .. }
        | Event::StepPrepared { step, .. }
        | Event::StepParked { step, .. }
        | Event::StepFinished { step, .. }
        | Event::StepFailed { step, .. }
        | Event::StepDied { step, .. }
        | Event::StepCancelled { step, .. }
        | Event::StepRequeued { step, .. }
        | Event::StepDiscarded { step, .. }
        | Event::EffectIntended { step, .. }
        | Event::EffectReceived { step, .. }
        | Event::EffectInDoubt { step, .. } => Some(step),
        _ => None,
    }
}

/// Whether only the holder of a claim may say this.
fn is_worker_s(event: &Event) -> bool {
    subject(event).is_some()
        && !matches!(event, Event::StepRequeued { .. } | Event::StepDiscarded { .. })
}
