//! The person: submits, answers what is true, stops missions, and clears the desk
//! of dead letters. No fault touches what a person does.

use super::case::{Case, MissionCase, Shape};
use super::fate::{Dice, SimClock};
use super::run::now;
use super::target::World;
use super::witness::Witness;
use charter::approval::{APPROVAL_OPEN_MS, Answer, ApprovalState, Card, Question};
use charter::digest::Digest;
use charter::effect::targets_digest;
use charter::event::{DeathCause, Event};
use charter::ids::{Millis, MissionId, StepKey, TenantId};
use charter::label::Label;
use charter::plan::Plan;
use charter::ports::{Clock, LeaseChange, LedgerError, Query, Rows};
use charter::rows::{ApprovalRow, StepRow, StepState};
use sons_of_helaman::{Draft, Ports, commit};
use std::collections::BTreeSet;
use std::sync::Arc;

/// One call in so many finds the person at the desk.
const LOOKS_IN: u64 = 3;
/// Most questions that are looked at at a time.
const QUESTIONS: u32 = 40;

/// A mission that was submitted.
pub struct Submitted {
    /// What it is.
    pub case: MissionCase,
    /// Its name.
    pub id: MissionId,
}

/// The person.
pub struct Person {
    /// Reaches the ledger without faults.
    pub ports: Ports,
    /// What there is to be seen.
    pub witness: Arc<Witness>,
    /// The files.
    pub world: Arc<World>,
    /// When the simulation began.
    pub began: Millis,
    /// The true time.
    pub truth: Arc<SimClock>,
    /// When the person looks.
    pub dice: Arc<Dice>,
    /// What was submitted.
    pub missions: Vec<Submitted>,
    /// What will be.
    coming: Vec<MissionCase>,
    /// Steps that a mission had open when the person decided to stop it.
    stopping: Vec<(MissionId, Vec<StepKey>)>,
    stopped: BTreeSet<u64>,
    disturbed: BTreeSet<u64>,
    cleared: BTreeSet<StepKey>,
}

impl Person {
    /// A person with these wishes.
    pub fn new(
        case: &Case,
        (ports, witness, world): (Ports, Arc<Witness>, Arc<World>),
        truth: Arc<SimClock>,
        dice: Arc<Dice>,
    ) -> Self {
        for path in case.missions.iter().flat_map(MissionCase::files) {
            world.put(&path, b"old");
        }
        Self {
            ports,
            witness,
            world,
            began: truth.now(),
            truth,
            dice,
            missions: Vec::new(),
            coming: case.missions.clone(),
            stopping: Vec::new(),
            stopped: BTreeSet::new(),
            disturbed: BTreeSet::new(),
            cleared: BTreeSet::new(),
        }
    }

    /// Does what there is to do; `at_work` are the steps that somebody may still be
    /// at work on, dead claims included.
    pub fn look(&mut self, at_work: &BTreeSet<StepKey>) {
        let time = self.truth.now() - self.began;
        let due = |mission: &MissionCase| mission.begins <= time;
        for mission in self.coming.extract_if(.., |mission| due(mission)).collect::<Vec<_>>() {
            self.submit(mission);
        }
        self.stop(time);
        if self.dice.one_in(LOOKS_IN) {
            self.answer(at_work);
            self.clear_the_desk();
        }
    }

    /// Whether there is still something to do for anybody.
    pub fn waits(&self) -> bool {
        !self.coming.is_empty()
            || self.missions.iter().any(|mission| {
                self.witness.mission(&mission.id).is_none_or(|row| !row.state.is_end())
            })
            || !self.letters().is_empty()
    }

    /// When the person does something next, whatever happens.
    pub fn next(&self) -> Option<Millis> {
        let begin = self.coming.iter().map(|mission| self.began + mission.begins);
        let stop = self.missions.iter().filter(|mission| self.will_stop(mission));
        begin.chain(stop.map(|mission| self.began + mission.case.stops)).min()
    }

    fn will_stop(&self, mission: &Submitted) -> bool {
        mission.case.shape == Shape::Cancelled && !self.stopped.contains(&mission.case.number)
    }

    fn submit(&mut self, case: MissionCase) {
        let id = MissionId::new(self.truth.now(), self.dice.as_ref());
        let plan = case.plan();
        let mut draft = Draft::new(&self.ports, &TenantId::local(), &id);
        let wish = draft.text("a wish", Label::TRUSTED).expect("small");
        let workspace = draft.text(&case.workspace(), Label::TRUSTED).expect("small");
        let content = draft.json(&plan, Label::TRUSTED).expect("small");
        draft.event(Event::MissionSubmitted {
            mission: id.clone(),
            subject: "sim".into(),
            wish,
            workspace,
            same: Digest::of(id.as_str().as_bytes()),
            budget: plan.budget.clone(),
            priority: charter::flow::Priority::Normal,
        });
        draft.event(Event::MissionPlanned {
            mission: id.clone(),
            plan: content,
            digest: plan.digest().expect("plain JSON"),
            steps: moroni::heads(&plan, &self.ports.tools.specs()).expect("plain JSON"),
        });
        self.witness.say(|| {
            let step = |step: &charter::plan::Step| {
                let each = step.for_each.as_ref().map_or("", |_| " each");
                format!("{}:{}{each}{:?}", step.n, step.tool, step.needs())
            };
            let steps: Vec<String> = plan.steps.iter().map(step).collect();
            format!("{id} is mission {} ({:?}): {}", case.number, case.shape, steps.join(" "))
        });
        self.commit(draft).expect("a new mission is accepted");
        self.missions.push(Submitted { case, id });
    }

    fn commit(&self, draft: Draft<'_>) -> Result<(), LedgerError> {
        let transition = draft.transition(None, LeaseChange::Keep);
        now(commit(&self.ports, transition)).map(|_| ())
    }

    /// Stops a mission as an operation does: what is open is listed first, and
    /// something may happen in between.
    fn stop(&mut self, time: Millis) {
        for (id, steps) in std::mem::take(&mut self.stopping) {
            let mut draft = Draft::new(&self.ports, &TenantId::local(), &id);
            let event = Event::MissionCancelled { mission: id.clone(), by: "sim".into(), steps };
            draft.event(event);
            if let Err(LedgerError::Conflict(_)) = self.commit(draft)
                && self.witness.mission(&id).is_some_and(|row| !row.state.is_end())
            {
                self.stopping.push((id.clone(), self.open_steps(&id)));
            }
        }
        let due = |mission: &&Submitted| self.will_stop(mission) && mission.case.stops <= time;
        let now: Vec<_> =
            self.missions.iter().filter(due).map(|one| (one.case.number, one.id.clone())).collect();
        for (number, id) in now {
            self.stopped.insert(number);
            let steps = self.open_steps(&id);
            self.stopping.push((id, steps));
        }
    }

    /// All steps of a mission with their instances.
    pub fn steps(&self, mission: &MissionId) -> Vec<StepRow> {
        let ask = |items_of| Query::Steps {
            mission: mission.clone(),
            state: None,
            items_of,
            after: None,
            limit: 500,
        };
        let Rows::Steps(steps) = self.witness.ask(ask(None)) else { return Vec::new() };
        let mut all = Vec::new();
        for step in steps {
            if step.items > 0
                && let Rows::Steps(items) = self.witness.ask(ask(Some(step.key.n)))
            {
                all.extend(items);
            }
            all.push(step);
        }
        all
    }

    fn open_steps(&self, mission: &MissionId) -> Vec<StepKey> {
        let open = self.steps(mission).into_iter().filter(|step| !step.state.is_end());
        open.map(|step| step.key).collect()
    }

    /// The plan in force.
    pub fn plan(&self, mission: &MissionId) -> Option<Plan> {
        let row = self.witness.mission(mission)?;
        match self.witness.ask(Query::Content { id: row.plan.id }) {
            Rows::Contents(contents) => contents.first()?.json("a plan").ok(),
            _ => None,
        }
    }

    fn shape_of(&self, mission: &MissionId) -> Option<(u64, Shape)> {
        let found = self.missions.iter().find(|one| one.id == *mission)?;
        Some((found.case.number, found.case.shape))
    }

    /// Nobody cares any more for what was stopped.
    fn is_stopped(&self, mission: &MissionId) -> bool {
        let row = self.witness.mission(mission);
        row.is_none_or(|mission| mission.cancelled || mission.stopped.is_some())
    }

    fn answer(&mut self, at_work: &BTreeSet<StepKey>) {
        for state in [ApprovalState::Open, ApprovalState::Expired] {
            let query = Query::Approvals { mission: None, state: Some(state), limit: QUESTIONS };
            let Rows::Approvals(rows) = self.witness.ask(query) else { continue };
            for row in rows {
                if !row.steps.iter().any(|step| at_work.contains(step)) {
                    self.answer_one(&row);
                }
            }
        }
    }

    fn answer_one(&mut self, row: &ApprovalRow) {
        let Some((number, shape)) = self.shape_of(&row.mission) else { return };
        let expired = row.state == ApprovalState::Expired;
        let permission = row.question == Question::Permission;
        if permission && shape == Shape::Expired && !expired || self.is_stopped(&row.mission) {
            return;
        }
        let Some(card) = self.card(row) else { return };
        if permission && shape == Shape::Disturbed && self.disturbed.insert(number) {
            for target in card.effects.iter().flat_map(|effect| &effect.before) {
                self.witness.say(|| format!("somebody changes {}", target.path));
                self.world.put(&target.path, b"changed by somebody else");
            }
        }
        let answer = match row.question {
            Question::Permission if shape == Shape::Denied => Answer::Deny,
            Question::Permission | Question::Part | Question::Plan => Answer::Approve,
            Question::InDoubt if self.happened(&card) => Answer::Happened,
            Question::InDoubt => Answer::NotHappened,
        };
        let mut draft = Draft::new(&self.ports, &TenantId::local(), &row.mission);
        if expired {
            draft.event(Event::ApprovalReopened {
                approval: row.id.clone(),
                mission: row.mission.clone(),
                expires_at: self.truth.now() + APPROVAL_OPEN_MS,
            });
        }
        draft.event(Event::ApprovalAnswered {
            approval: row.id.clone(),
            mission: row.mission.clone(),
            answer,
            by: "sim".into(),
            seen: true,
            steps: row.steps.clone(),
        });
        self.commit(draft).expect("an open question takes its answer");
    }

    fn card(&self, row: &ApprovalRow) -> Option<Card> {
        match self.witness.ask(Query::Content { id: row.card.id.clone() }) {
            Rows::Contents(contents) => contents.first()?.json("a card").ok(),
            _ => None,
        }
    }

    /// What the target shows: of an act the card names the key, of a change what
    /// the targets should hold.
    fn happened(&self, card: &Card) -> bool {
        card.effects.iter().all(|effect| {
            let look = |target: &charter::effect::Target| self.world.look(&target.path);
            let found: Vec<_> = effect.before.iter().map(look).collect();
            match found.is_empty() {
                true => self.world.knows(&effect.detail),
                false => targets_digest(&found).ok() == Some(effect.detail),
            }
        })
    }

    /// Dead steps that the person will do something about.
    fn letters(&self) -> Vec<StepRow> {
        let Rows::Steps(dead) = self.witness.ask(Query::DeadSteps { limit: QUESTIONS }) else {
            return Vec::new();
        };
        let wanted = |row: &StepRow| {
            let stopped = self.is_stopped(&row.key.mission);
            let cares = self.shape_of(&row.key.mission).is_some_and(|(_, shape)| {
                matches!(shape, Shape::Poison | Shape::Broken | Shape::Doubt)
            });
            // Whatever it did: workers may have died at any place of it.
            let lost = row.cause == Some(DeathCause::Poison);
            let of_an_item = row.expanded && row.items > 0;
            (cares || lost) && !stopped && !of_an_item && !self.cleared.contains(&row.key)
        };
        dead.into_iter().filter(wanted).collect()
    }

    /// Sends what died round again, once; takes what is broken off the desk.
    fn clear_the_desk(&mut self) {
        for row in self.letters() {
            let mission = row.key.mission.clone();
            let broken = self.shape_of(&mission).is_some_and(|(_, shape)| shape == Shape::Broken);
            let mut draft = Draft::new(&self.ports, &TenantId::local(), &mission);
            let (step, by) = (row.key.clone(), "sim".to_owned());
            if broken && row.cause != Some(DeathCause::Poison) {
                draft.event(Event::StepDiscarded { step, by });
            } else {
                let revives = self.revives(&row);
                draft.event(Event::StepRequeued { step, by, revives });
            }
            self.cleared.insert(row.key.clone());
            if let Err(LedgerError::Conflict(_)) = self.commit(draft) {
                self.cleared.remove(&row.key);
            }
        }
    }

    fn revives(&self, row: &StepRow) -> Vec<u32> {
        let Some(plan) = self.plan(&row.key.mission) else { return Vec::new() };
        let downstream = plan.downstream(row.key.n);
        let skipped = self
            .steps(&row.key.mission)
            .into_iter()
            .filter(|step| step.state == StepState::Skipped && step.key.item == 0);
        skipped.map(|step| step.key.n).filter(|n| downstream.contains(n)).collect()
    }
}
