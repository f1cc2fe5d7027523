//! One run: processes as tasks of one thread, polled in an order drawn from the
//! seed, in simulated time.

use super::book::{Tally, Violation};
use super::case::{Case, FAULTS};
use super::check::check;
use super::coverage::Coverage;
use super::fate::{Dice, Fate, LyingClock, Planned, SimClock};
use super::gate::{Gate, Life, Sky};
use super::person::Person;
use super::ports::{FaultyTools, Nap};
use super::target::World;
use super::witness::Witness;
use super::worker::{Bell, Running, Yard};
use charter::ids::{Millis, StepKey};
use charter::ports::{Clock, Entropy, Ledger, Query, Rows, Transition};
use charter::tool::Process;
use sons_of_helaman::Ports;
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

/// For so long things go wrong, in simulated milliseconds.
const FAULTS_MS: Millis = 60_000;
/// Times as long as that, until enough has gone wrong.
const HURRY_MAX: Millis = 10;
/// What has not ended so long after that is stuck: longer than a clock jumps, and
/// several times longer than a question stays open.
const SETTLE_MS: Millis = 60 * 24 * 3_600_000;
/// Turns in all, as a bound.
const TURNS_MAX: u64 = 300_000;
/// Longest step of the time, in milliseconds, while there is something to do.
const STEP_MS: u64 = 40;
/// Longest jump of the time while faults go on.
const JUMP_MS: Millis = 2_000;
/// Jumps without reason after which the time goes on to the next question's end.
const IDLE_MAX: u32 = 40;
/// How long a process takes to come back, at most.
const DOWN_MS: u64 = 3_000;

/// What a run came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What did not hold; empty when all is well.
    pub violations: Vec<Violation>,
    /// What was reached.
    pub coverage: Coverage,
    /// What was counted.
    pub tally: Tally,
    /// Processes that died.
    pub deaths: u32,
    /// Faults that happened at calls of ports.
    pub faults: usize,
    /// Turns until every mission had ended.
    pub turns: u64,
    /// What happened, where it was traced.
    pub trace: Vec<String>,
    /// Every transition, in order.
    pub history: Vec<Transition>,
}

/// Runs a future that cannot wait for anything.
pub(crate) fn now<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..10_000 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
    panic!("a future of the simulation waits for something outside it");
}

struct Sim {
    sky: Arc<Sky>,
    yard: Yard,
    person: Person,
    clocks: Vec<Arc<LyingClock>>,
    running: Vec<Running>,
    began: Millis,
    relented_at: Option<Millis>,
    pids: u32,
    deaths: u32,
    turns: u64,
    /// Jumps of the time in a row for which there was no reason.
    idle: u32,
}

/// Runs a case to its end and checks what must hold.
pub fn simulate(case: &Case, traces: bool) -> Outcome {
    let mut sim = Sim::new(case, traces);
    while sim.turns < TURNS_MAX && sim.turn() {}
    sim.end()
}

/// Two processes share a host, the others have one of their own.
fn host(slot: usize) -> usize {
    slot.saturating_sub(1)
}

impl Sim {
    fn new(case: &Case, traces: bool) -> Self {
        let truth = Arc::new(SimClock::new());
        let (witness, world) =
            (Arc::new(Witness::new(Arc::clone(&truth), traces)), Arc::new(World::default()));
        let dice = Arc::new(Dice::new(case.seed));
        let bell = Arc::new(Bell::new(case.bell_lies, Arc::clone(&dice)));
        let calm = calm(&truth, &world, &witness, &dice);
        let person = Person::new(
            case,
            (calm, Arc::clone(&witness), Arc::clone(&world)),
            Arc::clone(&truth),
            Arc::clone(&dice),
        );
        let sky = sky(&truth, &witness, &case.faults, case.seed ^ 0x05e7);
        let yard = Yard { sky: Arc::clone(&sky), world, bell, dice };
        let hosts = case.workers.saturating_sub(1).max(1);
        let clocks: Vec<_> =
            (0..hosts).map(|_| Arc::new(LyingClock::new(Arc::clone(&truth)))).collect();
        let mut sim = Self {
            began: truth.now(),
            sky,
            yard,
            person,
            clocks,
            running: Vec::new(),
            relented_at: None,
            pids: 0,
            deaths: 0,
            turns: 0,
            idle: 0,
        };
        for slot in 0..case.workers {
            let running = sim.start(slot);
            sim.running.push(running);
        }
        sim
    }

    fn start(&mut self, slot: usize) -> Running {
        self.pids += 1;
        let host = host(slot);
        self.sky.witness.say(|| format!("process {} starts on host {host}", self.pids));
        self.yard.start(self.pids, &format!("host-{host}"), &self.clocks[host])
    }

    /// One turn. `false`: nothing is left to do, or it has taken too long.
    fn turn(&mut self) -> bool {
        self.turns += 1;
        self.sky.truth.advance(self.yard.dice.below(STEP_MS) as Millis);
        self.relent();
        self.restart();
        for running in &mut self.running {
            if !running.life.is_dead() {
                self.yard.employ(running);
            }
        }
        let polled = self.poll();
        self.bury();
        if self.turns.is_multiple_of(7) || !polled {
            let at_work = self.at_work();
            self.person.look(&at_work);
        }
        if !polled {
            self.sleep();
        }
        let enough = self.relented_at.is_some() || self.sky.faults() >= FAULTS;
        if self.turns.is_multiple_of(20) && enough && !self.person.waits() {
            return false;
        }
        self.relented_at.is_none_or(|at| self.sky.truth.now() - at < SETTLE_MS)
    }

    fn relent(&mut self) {
        let lasted = self.sky.truth.now() - self.began;
        let over = lasted > FAULTS_MS;
        if over {
            self.sky.fate.hurry();
        }
        let enough = over && self.sky.faults() >= FAULTS || lasted > HURRY_MAX * FAULTS_MS;
        if self.relented_at.is_none() && (enough || self.sky.fate.is_spent()) {
            self.sky.witness.say(|| "no more faults from here on".to_owned());
            self.relented_at = Some(self.sky.truth.now());
            self.sky.fate.relent();
            self.sky.outage_until.store(0, Ordering::SeqCst);
            self.sky.full_until.store(0, Ordering::SeqCst);
            self.yard.bell.relent();
            self.clocks.iter().for_each(|clock| clock.set_right());
        }
    }

    fn restart(&mut self) {
        for slot in 0..self.running.len() {
            let up_at = self.running[slot].up_at;
            if self.running[slot].life.is_dead() && up_at <= self.sky.truth.now() {
                self.running[slot] = self.start(slot);
            }
        }
    }

    /// Polls any task that can go on.
    fn poll(&mut self) -> bool {
        let now = self.sky.truth.now();
        let mut ready = Vec::new();
        for (slot, running) in self.running.iter().enumerate() {
            if running.life.is_dead() || running.life.is_stalled(now) {
                continue;
            }
            for (at, task) in running.tasks.iter().enumerate() {
                let rests = |task: &super::worker::Task| task.resting.load(Ordering::SeqCst) > now;
                if task.as_ref().is_some_and(|task| !rests(task)) {
                    ready.push((slot, at));
                }
            }
        }
        if ready.is_empty() {
            return false;
        }
        let (slot, at) = self.yard.dice.pick(&ready);
        let place = &mut self.running[slot].tasks[at];
        if let Some(task) = place {
            let mut context = Context::from_waker(Waker::noop());
            if task.future.as_mut().poll(&mut context).is_ready() {
                *place = None;
            }
        }
        true
    }

    /// Nothing of a dead process goes on.
    fn bury(&mut self) {
        for running in &mut self.running {
            if running.life.is_dead() && running.tasks.iter().any(Option::is_some) {
                self.deaths += 1;
                running.tasks = [None, None, None];
                let down = self.yard.dice.below(DOWN_MS) as Millis;
                running.up_at = self.sky.truth.now() + down;
            }
        }
        self.sky.living().retain(|life| !life.is_dead());
    }

    fn at_work(&self) -> BTreeSet<StepKey> {
        let tasks = self.running.iter().flat_map(|running| running.tasks.iter().flatten());
        tasks.filter_map(|task| task.step.clone()).collect()
    }

    /// Nothing can go on now: the time jumps to where something can.
    fn sleep(&mut self) {
        let now = self.sky.truth.now();
        let mut times: Vec<Millis> = Vec::new();
        for running in &self.running {
            if running.life.is_dead() {
                times.push(running.up_at);
            } else {
                times.push(running.life.stalled_until.load(Ordering::SeqCst));
                times.extend(
                    running.tasks.iter().flatten().map(|task| task.resting.load(Ordering::SeqCst)),
                );
            }
        }
        times.extend(self.yard.bell.next());
        times.extend(self.person.next());
        if let Rows::When(next) = self.sky.witness.ask(Query::OutboxNext { now }) {
            times.extend(next);
        }
        if let Rows::Leases(leases) = self.sky.witness.ask(Query::Leases) {
            times.extend(leases.into_iter().map(|lease| lease.expires_at + 1));
        }
        let next = times.into_iter().filter(|time| *time > now).min();
        self.idle = if next.is_some() { 0 } else { self.idle + 1 };
        let expiry = || self.next_expiry(now).filter(|_| self.idle > IDLE_MAX);
        let next = next.or_else(expiry).unwrap_or(now + JUMP_MS);
        let jump = if self.relented_at.is_some() { next - now } else { (next - now).min(JUMP_MS) };
        self.sky.truth.advance(jump);
        for running in &mut self.running {
            running.office_at = running.office_at.min(now + jump);
        }
    }

    fn next_expiry(&self, now: Millis) -> Option<Millis> {
        let query = Query::Approvals {
            mission: None,
            state: Some(charter::approval::ApprovalState::Open),
            limit: 100,
        };
        match self.sky.witness.ask(query) {
            Rows::Approvals(rows) => {
                rows.into_iter().map(|row| row.expires_at + 1).filter(|at| *at > now).min()
            }
            _ => None,
        }
    }

    fn end(mut self) -> Outcome {
        self.running.clear();
        check(&self.person, self.turns);
        let witness = &self.sky.witness;
        let (violations, coverage, tally) = witness.book(|book| {
            (std::mem::take(&mut book.violations), std::mem::take(&mut book.coverage), book.tally)
        });
        Outcome {
            violations,
            coverage,
            tally,
            deaths: self.deaths,
            faults: self.sky.faults(),
            turns: self.turns,
            trace: witness.trace(),
            history: witness.history(),
        }
    }
}

fn sky(truth: &Arc<SimClock>, witness: &Arc<Witness>, faults: &[Planned], seed: u64) -> Arc<Sky> {
    Arc::new(Sky {
        truth: Arc::clone(truth),
        fate: Fate::new(faults),
        witness: Arc::clone(witness),
        outage_until: AtomicI64::new(0),
        full_until: AtomicI64::new(0),
        living: Mutex::default(),
        dice: Dice::new(seed),
        happened: Mutex::default(),
    })
}

/// Ports that no fault touches.
pub(crate) fn calm(
    truth: &Arc<SimClock>,
    world: &Arc<World>,
    witness: &Arc<Witness>,
    dice: &Arc<Dice>,
) -> Ports {
    let sky = sky(truth, witness, &[], 0);
    let clock = Arc::new(LyingClock::new(Arc::clone(truth)));
    let process = Process { host: "desk".into(), pid: 1, start: 1 };
    let gate = Gate { life: Arc::new(Life::new(process, Arc::clone(&clock))), sky };
    Ports {
        ledger: Arc::clone(witness) as Arc<dyn Ledger>,
        tools: Arc::new(FaultyTools::new(Arc::clone(world), gate.clone())),
        clock,
        entropy: Arc::clone(dice) as Arc<dyn Entropy>,
        timer: Arc::new(Nap { gate, until: Arc::default() }),
    }
}
