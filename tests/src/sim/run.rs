//! Workers as tasks of one thread, polled in an order drawn from the seed; a
//! bell that drops, repeats and reorders; a person who answers truthfully.

use super::check::{Violation, check};
use super::fate::{Dice, Fate, SimClock};
use super::ports::{Doom, FaultyLedger, FaultyTools, specs};
use super::target::{Service, World};
use async_trait::async_trait;
use charter::approval::{Answer, ApprovalState, Card, Question};
use charter::budget::Budget;
use charter::digest::Digest;
use charter::effect::EffectClass;
use charter::event::Event;
use charter::ids::{MissionId, StepKey, TenantId};
use charter::label::Label;
use charter::plan::{ForEach, Plan, PlanSource, Step};
use charter::ports::{Clock, Entropy, Fence, LeaseChange, Ledger, Query, Rows, Tools};
use charter::rows::{ApprovalRow, MissionRow, StepState};
use charter::tool::{Cancel, Limits, Process};
use ledger::MemoryLedger;
use serde_json::json;
use sons_of_helaman::lease::{LEASE_MS, Lease, LeaseKeeper};
use sons_of_helaman::reconcile::reconcile;
use sons_of_helaman::{Draft, Ports, Settings, Timer, Worker, commit};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// Turns with faults.
const TURNS_WITH_FAULTS: u64 = 1_500;
/// Turns in all; a mission that has not ended by then is stuck.
const TURNS_MAX: u64 = 60_000;
/// Workers at work at the same time.
const WORKERS: usize = 3;

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    /// What did not hold; empty when all is well.
    pub violations: Vec<Violation>,
    /// Turns until every mission had ended.
    pub turns: u64,
    /// Workers that died.
    pub deaths: u32,
    /// Questions about effects in doubt.
    pub doubts: u32,
    /// Claims that were taken back.
    pub taken_back: u32,
}

struct NoWait;

#[async_trait]
impl Timer for NoWait {
    async fn rest(&self, _: u64) {}
}

#[derive(Default)]
struct SimKeeper {
    held: Mutex<Vec<Fence>>,
}

impl LeaseKeeper for SimKeeper {
    fn hold(&self, fence: &Fence) -> Lease {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).push(fence.clone());
        Lease::new(Cancel::default(), Arc::new(AtomicBool::new(false)), None)
    }
}

struct Task {
    step: StepKey,
    future: Pin<Box<dyn Future<Output = ()>>>,
    doom: Arc<Doom>,
    keeper: Arc<SimKeeper>,
    stalled_until: u64,
}

/// The mission of one seed: its plan and name.
pub struct Submitted {
    /// Its name.
    pub id: MissionId,
    /// Its plan.
    pub plan: Plan,
}

struct Sim {
    ledger: Arc<MemoryLedger>,
    world: Arc<World>,
    clock: Arc<SimClock>,
    fate: Arc<Fate>,
    dice: Arc<Dice>,
    unintended: Arc<AtomicBool>,
    /// The outbox held a step that could not run yet.
    premature: bool,
    /// Reached without faults, by the scheduler and the person.
    calm: Ports,
    tasks: Vec<Task>,
    bell: VecDeque<StepKey>,
    turn: u64,
    starts: u32,
    deaths: u32,
    doubts: u32,
    taken_back: u32,
}

/// Runs one seed to its end and checks what must hold.
pub fn simulate(seed: u64) -> Outcome {
    let mut sim = Sim::new(seed);
    let missions = sim.submit_all();
    let mut open = true;
    while open && sim.turn < TURNS_MAX {
        sim.turn += 1;
        if sim.turn == TURNS_WITH_FAULTS {
            sim.fate.relent();
        }
        sim.clock.advance(sim.dice.below(40) as i64);
        sim.ring();
        sim.start_worker();
        sim.poll_one();
        if sim.turn.is_multiple_of(7) {
            sim.renew();
            sim.person();
        }
        if sim.turn.is_multiple_of(50) {
            sim.housekeeping();
            open = missions.iter().any(|m| !sim.mission(&m.id).state.is_end());
        }
    }
    sim.tasks.clear();
    let mut violations =
        check(&missions, &sim.ledger, &sim.world, sim.unintended.load(Ordering::SeqCst));
    if sim.premature {
        violations.push(Violation::Premature);
    }
    Outcome {
        violations,
        turns: sim.turn,
        deaths: sim.deaths,
        doubts: sim.doubts,
        taken_back: sim.taken_back,
    }
}

/// Runs a future that cannot wait for anything.
pub(crate) fn now<F: Future>(future: F) -> F::Output {
    let mut future = Box::pin(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..10_000 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
    panic!("a future of the simulation waits for something outside it");
}

impl Sim {
    fn new(seed: u64) -> Self {
        let ledger = Arc::new(MemoryLedger::new());
        let world = Arc::new(World::default());
        let clock = Arc::new(SimClock::new());
        let dice = Arc::new(Dice::new(seed));
        let fate = Arc::new(Fate::new(seed ^ 0x5eed, 5 + (seed % 16) as usize, 12));
        let unintended = Arc::new(AtomicBool::new(false));
        let calm = Ports {
            ledger: Arc::clone(&ledger) as Arc<dyn Ledger>,
            tools: Arc::new(FaultyTools::new(
                Arc::clone(&world),
                Arc::clone(&ledger),
                Arc::new(Fate::new(0, 0, 1)),
                Arc::new(Doom::default()),
                Arc::clone(&unintended),
            )) as Arc<dyn Tools>,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            entropy: Arc::clone(&dice) as Arc<dyn Entropy>,
            timer: Arc::new(NoWait),
        };
        Self {
            ledger,
            world,
            clock,
            fate,
            dice,
            unintended,
            premature: false,
            calm,
            tasks: Vec::new(),
            bell: VecDeque::new(),
            turn: 0,
            starts: 0,
            deaths: 0,
            doubts: 0,
            taken_back: 0,
        }
    }

    fn settings(&self, number: u32) -> Settings {
        Settings {
            tenant: TenantId::local(),
            process: Process { host: format!("host-{number}"), pid: number, start: 1 },
            home: PathBuf::from("/alma"),
            policy: policy::Settings::default(),
        }
    }

    fn submit_all(&mut self) -> Vec<Submitted> {
        (0..1 + self.dice.below(3)).map(|n| self.submit(n)).collect()
    }

    fn submit(&mut self, number: u64) -> Submitted {
        let id = MissionId::new(self.clock.now(), self.dice.as_ref());
        let plan = self.random_plan(number);
        let mut draft = Draft::new(&self.calm, &TenantId::local(), &id);
        let wish = draft.text("a wish", Label::TRUSTED).expect("small");
        let workspace = draft.text("/work", Label::TRUSTED).expect("small");
        let content = draft.json(&plan, Label::TRUSTED).expect("small");
        draft.event(Event::MissionSubmitted {
            mission: id.clone(),
            subject: "sim".into(),
            wish,
            workspace,
            same: Digest::of(id.as_str().as_bytes()),
            budget: plan.budget.clone(),
        });
        draft.event(Event::MissionPlanned {
            mission: id.clone(),
            plan: content,
            digest: plan.digest().expect("plain JSON"),
            steps: moroni::heads(&plan).expect("plain JSON"),
        });
        now(commit(&self.calm, draft.transition(None, LeaseChange::Keep))).expect("a calm port");
        Submitted { id, plan }
    }

    fn random_plan(&mut self, mission: u64) -> Plan {
        let count = 1 + self.dice.below(5) as u32;
        let mut steps: Vec<Step> = Vec::new();
        for n in 1..=count {
            let tool = super::ports::TOOLS[self.dice.below(7) as usize];
            let looked = steps.iter().find(|step| step.tool == "look").map(|step| step.n);
            let each = looked.filter(|_| self.dice.one_in(4));
            let path = match each {
                Some(_) => format!("m{mission}-s{n}-${{item}}"),
                None => format!("m{mission}-s{n}"),
            };
            if tool == "remove" {
                for suffix in ["", "-1", "-2", "-3"] {
                    self.world.put(&format!("m{mission}-s{n}{suffix}"), b"old");
                }
            }
            let after = (1..n).filter(|_| self.dice.one_in(3)).collect();
            steps.push(Step {
                n,
                title: tool.to_owned(),
                tool: tool.to_owned(),
                version: 1,
                args: json!({ "path": path, "text": format!("text {n}") }),
                after,
                for_each: each
                    .map(|look| ForEach { items: format!("${{{look}.items}}"), max_items: 10 }),
                effect: specs()
                    .into_iter()
                    .find(|spec| spec.name == tool)
                    .map_or(EffectClass::Read, |spec| spec.effect),
                limits: Limits { attempts: 30, ..Limits::default() },
            });
        }
        Plan {
            goal: "simulated".into(),
            source: PlanSource::File,
            steps,
            answer: None,
            unmet: vec![],
            budget: Budget { wall_ms: u64::MAX / 4, ..Budget::default() },
        }
    }

    /// The relay and its bell: rings get lost, come twice and out of order.
    fn ring(&mut self) {
        let tenant = TenantId::local();
        let query = Query::Outbox { now: self.clock.now(), limit: 16 };
        if let Ok(Rows::Outbox(rows)) = now(self.ledger.query(&tenant, query)) {
            let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
            for row in rows {
                self.premature |= self.is_blocked(&row.step);
                let times = match self.dice.below(10) {
                    0 => 0,
                    1 => 2,
                    _ => 1,
                };
                for _ in 0..times {
                    self.bell.push_back(row.step.clone());
                }
            }
            now(self.ledger.outbox_done(&ids)).expect("a calm port");
        }
        if self.turn.is_multiple_of(200) {
            let query = Query::ReadySteps { now: self.clock.now(), limit: 50 };
            if let Ok(Rows::Steps(rows)) = now(self.ledger.query(&tenant, query)) {
                self.bell.extend(rows.into_iter().map(|row| row.key));
            }
        }
    }

    fn is_blocked(&self, step: &StepKey) -> bool {
        let query = Query::Step { key: step.clone() };
        match now(self.ledger.query(&TenantId::local(), query)) {
            Ok(Rows::Steps(rows)) => rows.first().is_none_or(|row| row.state == StepState::Blocked),
            _ => true,
        }
    }

    fn start_worker(&mut self) {
        if self.tasks.len() >= WORKERS || self.bell.is_empty() {
            return;
        }
        let at = self.dice.below(self.bell.len() as u64) as usize;
        let Some(step) = self.bell.remove(at) else { return };
        self.starts += 1;
        let doom = Arc::new(Doom::default());
        let keeper = Arc::new(SimKeeper::default());
        let ports = Ports {
            ledger: Arc::new(FaultyLedger {
                inner: Arc::clone(&self.ledger),
                fate: Arc::clone(&self.fate),
                doom: Arc::clone(&doom),
            }),
            tools: Arc::new(FaultyTools::new(
                Arc::clone(&self.world),
                Arc::clone(&self.ledger),
                Arc::clone(&self.fate),
                Arc::clone(&doom),
                Arc::clone(&self.unintended),
            )),
            ..self.calm.clone()
        };
        let worker = Worker::new(ports, self.settings(self.starts), Arc::clone(&keeper) as Arc<_>);
        let key = step.clone();
        let future = Box::pin(async move {
            // A worker that gives up leaves its step to its lease.
            let _left = worker.work(&key).await;
        });
        self.tasks.push(Task { step, future, doom, keeper, stalled_until: 0 });
    }

    fn poll_one(&mut self) {
        let turn = self.turn;
        self.wake_at_the_worst_time();
        let awake: Vec<usize> =
            (0..self.tasks.len()).filter(|i| self.tasks[*i].stalled_until <= turn).collect();
        if awake.is_empty() {
            return;
        }
        let index = awake[self.dice.below(awake.len() as u64) as usize];
        let task = &mut self.tasks[index];
        let done = task.future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if task.doom.stalled.swap(false, Ordering::SeqCst) {
            task.stalled_until = turn + self.dice.below(1_500);
        }
        let dead = task.doom.dead.load(Ordering::SeqCst);
        if dead {
            self.deaths += 1;
        }
        if dead || done.is_ready() {
            self.tasks.swap_remove(index);
        }
    }

    /// A worker that was cut off often comes back while another is at work on its
    /// step: that is when a fence is needed.
    fn wake_at_the_worst_time(&mut self) {
        let turn = self.turn;
        for i in 0..self.tasks.len() {
            let rival = self
                .tasks
                .iter()
                .enumerate()
                .any(|(j, other)| j != i && other.step == self.tasks[i].step);
            if rival && self.tasks[i].stalled_until > turn && self.dice.one_in(10) {
                self.tasks[i].stalled_until = turn;
            }
        }
    }

    /// Workers that are not cut off keep their leases.
    fn renew(&mut self) {
        let expires_at = self.clock.now() + LEASE_MS;
        for task in self.tasks.iter().filter(|task| task.stalled_until <= self.turn) {
            let held = task.keeper.held.lock().unwrap_or_else(PoisonError::into_inner).clone();
            for fence in held {
                now(self.ledger.renew(&fence, expires_at)).expect("a calm port");
            }
        }
    }

    fn housekeeping(&mut self) {
        if self.dice.one_in(3) {
            self.clock.advance(LEASE_MS / 4);
        }
        let settings = self.settings(0);
        let taken = now(reconcile(&self.calm, &settings, &|_| None)).expect("a calm port");
        self.taken_back += taken;
    }

    /// A person who answers what is true, and only when nobody is at work on it.
    fn person(&mut self) {
        let tenant = TenantId::local();
        let query = Query::Approvals { mission: None, state: Some(ApprovalState::Open), limit: 20 };
        let Ok(Rows::Approvals(rows)) = now(self.ledger.query(&tenant, query)) else { return };
        for row in rows {
            if !self.dice.one_in(3) || self.at_work(&row) {
                continue;
            }
            let answer = match row.question {
                Question::Permission | Question::Part | Question::Plan => Answer::Approve,
                Question::InDoubt => {
                    self.doubts += 1;
                    if self.happened(&row) { Answer::Happened } else { Answer::NotHappened }
                }
            };
            let mut draft = Draft::new(&self.calm, &tenant, &row.mission);
            draft.event(Event::ApprovalAnswered {
                approval: row.id.clone(),
                mission: row.mission.clone(),
                answer,
                by: "sim".into(),
                seen: true,
                steps: row.steps.clone(),
            });
            let transition = draft.transition(None, LeaseChange::Keep);
            now(commit(&self.calm, transition)).expect("an open question takes its answer");
        }
    }

    fn at_work(&self, row: &ApprovalRow) -> bool {
        self.tasks.iter().any(|task| row.steps.contains(&task.step))
    }

    fn happened(&self, row: &ApprovalRow) -> bool {
        let query = Query::Content { id: row.card.id.clone() };
        let found = now(self.ledger.query(&TenantId::local(), query));
        let Ok(Rows::Contents(contents)) = found else { return false };
        let card: Card = contents[0].json("a card").expect("a card");
        let effect = &card.effects[0];
        let who = effect.args["path"].as_str().unwrap_or_default();
        match effect.tool.as_str() {
            "write" => self.world.file(who).is_some(),
            "remove" => self.world.file(who).is_none(),
            "keyed" => self.world.count(Service::Keyed, who) > 0,
            "probed" => self.world.count(Service::Probed, who) > 0,
            _ => self.world.count(Service::Neither, who) > 0,
        }
    }

    fn mission(&self, id: &MissionId) -> MissionRow {
        let query = Query::Mission { id: id.clone() };
        match now(self.ledger.query(&TenantId::local(), query)) {
            Ok(Rows::Missions(mut rows)) if !rows.is_empty() => rows.remove(0),
            other => panic!("mission {id} is lost: {other:?}"),
        }
    }
}

/// Seeds that failed, with what did not hold.
pub fn run_seeds(seeds: impl Iterator<Item = u64>) -> BTreeMap<u64, Vec<Violation>> {
    seeds
        .filter_map(|seed| {
            let violations = simulate(seed).violations;
            (!violations.is_empty()).then_some((seed, violations))
        })
        .collect()
}
