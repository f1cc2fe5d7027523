//! The ledger of a run, and who watches it: sees every commit and every effect,
//! keeps the book, and writes down what happens where that is asked for.

use super::book::{Book, Rule, subject};
use super::case::{BLOCK, CPU_MS};
use super::coverage::Table;
use super::fate::SimClock;
use super::run::now;
use async_trait::async_trait;
use charter::digest::Digest;
use charter::event::Event;
use charter::ids::{Millis, MissionId, StepKey, TenantId, TransitionId};
use charter::ports::{
    Clock, Committed, Fence, LeaseStatus, Ledger, LedgerError, Query, Rows, Transition,
};
use charter::rows::{MissionRow, StepRow};
use charter::tool::{Act, Process, Proposed};
use ledger::MemoryLedger;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Default)]
struct Seen {
    book: Book,
    names: BTreeSet<TransitionId>,
    history: Vec<Transition>,
}

/// The ledger of a run, and who watches it.
pub struct Witness {
    ledger: MemoryLedger,
    truth: Arc<SimClock>,
    seen: Mutex<Seen>,
    trace: Option<Mutex<Vec<String>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Witness {
    /// Watches an empty ledger. With `traces`, everything is written down.
    pub fn new(truth: Arc<SimClock>, traces: bool) -> Self {
        let trace = traces.then(Mutex::default);
        Self { ledger: MemoryLedger::new(), truth, seen: Mutex::default(), trace }
    }

    /// Reads or writes the book.
    pub fn book<T>(&self, with: impl FnOnce(&mut Book) -> T) -> T {
        with(&mut lock(&self.seen).book)
    }

    /// Every transition that was committed, in order.
    pub fn history(&self) -> Vec<Transition> {
        lock(&self.seen).history.clone()
    }

    /// Writes a line, if this run is traced.
    pub fn say(&self, line: impl FnOnce() -> String) {
        if let Some(trace) = &self.trace {
            let at = self.truth.now() - SimClock::new().now();
            lock(trace).push(format!("{:>6}.{:03} {}", at / 1_000, at % 1_000, line()));
        }
    }

    /// What was written down.
    pub fn trace(&self) -> Vec<String> {
        self.trace.as_ref().map(|trace| lock(trace).clone()).unwrap_or_default()
    }

    /// Notes that a pair was reached.
    pub fn reached(&self, table: Table, left: impl Display, right: impl Display) {
        self.book(|book| book.coverage.reached(table, left, right));
    }

    /// Notes something that does not hold.
    pub fn blame(&self, rule: Rule, what: impl Into<String>) {
        self.book(|book| book.blame(rule, what));
    }

    /// A tool acts.
    pub fn sees_act(&self, key: &Digest, act: &Act) {
        self.book(|book| book.acts(key, act));
    }

    /// A change of files is carried out.
    pub fn sees_change(&self, proposed: &Proposed) {
        self.book(|book| book.changes(proposed));
    }

    /// What the ledger answers, past every fault.
    pub fn ask(&self, query: Query) -> Rows {
        now(self.ledger.query(&TenantId::local(), query)).expect("the twin always answers")
    }

    /// A step.
    pub fn step(&self, key: &StepKey) -> Option<StepRow> {
        match self.ask(Query::Step { key: key.clone() }) {
            Rows::Steps(mut rows) => rows.pop(),
            _ => None,
        }
    }

    /// A mission.
    pub fn mission(&self, id: &MissionId) -> Option<MissionRow> {
        match self.ask(Query::Mission { id: id.clone() }) {
            Rows::Missions(mut rows) => rows.pop(),
            _ => None,
        }
    }

    fn committed(&self, transition: Transition, before: &BTreeMap<StepKey, StepRow>) {
        self.say(|| told(&transition));
        let mut seen = lock(&self.seen);
        if !seen.names.insert(transition.id.clone()) {
            return;
        }
        seen.book.note(&transition, before);
        let missions: BTreeSet<MissionId> =
            before.keys().map(|step| step.mission.clone()).collect();
        for mission in missions.iter().filter_map(|id| self.mission(id)) {
            let (spent, budget) = (mission.spent, &mission.budget);
            let goes_on = !mission.cancelled && mission.stopped.is_none();
            let steps = goes_on && spent.steps > budget.steps.saturating_add(1);
            let bytes = budget.bytes_written.saturating_add(BLOCK as u64);
            let time = spent.cpu_ms > budget.cpu_ms.saturating_add(CPU_MS);
            if steps || time || spent.bytes_written > bytes {
                let what = format!("{} of {budget:?} is spent: {spent:?}", mission.id);
                seen.book.blame(Rule::Budget, what);
            }
        }
        seen.history.push(transition);
    }
}

/// A transition in one line.
fn told(transition: &Transition) -> String {
    let event = |event: &Event| match (subject(event), event) {
        (Some(step), Event::StepDied { cause, .. }) => format!("{step} died ({cause:?})"),
        (Some(step), Event::EffectIntended { key, ordinal, .. }) => {
            format!("{step} effect_intended {ordinal} {}", key.short())
        }
        (Some(step), Event::EffectReceived { key, outcome, .. }) => {
            format!("{step} effect_received {outcome:?} {}", key.short())
        }
        (Some(step), event) => format!("{step} {}", event.kind()),
        (None, Event::ApprovalAnswered { approval, answer, .. }) => {
            format!("{approval} {answer:?}")
        }
        (None, Event::MissionEnded { mission, state, .. }) => format!("{mission} ended {state}"),
        (None, event) => event.kind().to_owned(),
    };
    let events: Vec<String> = transition.events.iter().map(|(_, one)| event(one)).collect();
    let claim = transition.fence.as_ref().map(|fence| format!("[{}] ", fence.token));
    format!("{}{}", claim.unwrap_or_default(), events.join("; "))
}

#[async_trait]
impl Ledger for Witness {
    async fn commit(&self, transition: Transition) -> Result<Committed, LedgerError> {
        let fenced = transition.fence.iter().map(|fence| &fence.step);
        let named = transition.events.iter().filter_map(|(_, event)| subject(event));
        let before: BTreeMap<StepKey, StepRow> =
            fenced.chain(named).filter_map(|step| Some((step.clone(), self.step(step)?))).collect();
        let answer = self.ledger.commit(transition.clone()).await;
        match &answer {
            Ok(_) => self.committed(transition, &before),
            Err(error) => self.say(|| format!("{} – {error}", told(&transition))),
        }
        answer
    }

    async fn query(&self, tenant: &TenantId, query: Query) -> Result<Rows, LedgerError> {
        self.ledger.query(tenant, query).await
    }

    async fn renew(&self, fence: &Fence, at: Millis) -> Result<LeaseStatus, LedgerError> {
        self.ledger.renew(fence, at).await
    }

    async fn note_program(
        &self,
        fence: &Fence,
        program: &Process,
        running: bool,
    ) -> Result<(), LedgerError> {
        self.ledger.note_program(fence, program, running).await
    }

    async fn lead(
        &self,
        bid: &charter::leader::Bid,
    ) -> Result<charter::leader::LeaderRow, LedgerError> {
        self.ledger.lead(bid).await
    }

    async fn outbox_done(&self, ids: &[i64]) -> Result<(), LedgerError> {
        self.ledger.outbox_done(ids).await
    }

    async fn changed(&self, after: i64, wait_ms: u64) -> Result<i64, LedgerError> {
        self.ledger.changed(after, wait_ms).await
    }
}
