//! A process of the simulation: works on steps, renews its leases, relays and
//! takes claims back, each as a task that is polled when the run says so.

use super::book::Rule;
use super::fate::{Dice, LyingClock};
use super::gate::{Gate, Life, Sky};
use super::ports::{FaultyLedger, FaultyTools, Nap};
use super::target::World;
use charter::ids::{Millis, StepKey, TenantId};
use charter::ports::{Clock, Entropy, Fence, LeaseStatus, LedgerError, Query, Rows};
use charter::rows::StepState;
use charter::tool::{Cancel, Process};
use sons_of_helaman::lease::{LEASE_MS, Lease, LeaseKeeper, RENEW_MS, Until};
use sons_of_helaman::reconcile::{Reach, reconcile};
use sons_of_helaman::{Ports, Settings, Worker};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Outbox rows that are moved at a time.
const BATCH: u32 = 16;
/// Time between two rounds of the office, in milliseconds.
pub(crate) const OFFICE_MS: Millis = 300;
/// One round of so many sweeps.
const SWEEP_IN: u64 = 6;
/// How late a late ring comes, in milliseconds, at most.
const LATE_MS: u64 = 5_000;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Rings that wait, each from a time on.
pub struct Bell {
    rings: Mutex<Vec<(Millis, StepKey)>>,
    lies: AtomicBool,
    dice: Arc<Dice>,
}

impl Bell {
    /// A bell that lies, or one that does not.
    pub fn new(lies: bool, dice: Arc<Dice>) -> Self {
        Self { rings: Mutex::default(), lies: AtomicBool::new(lies), dice }
    }

    /// Is true to its word from here on.
    pub fn relent(&self) {
        self.lies.store(false, Ordering::SeqCst);
    }

    /// A ring may get lost, come twice, or late.
    fn ring(&self, step: &StepKey, now: Millis) {
        let lie = if self.lies.load(Ordering::SeqCst) { self.dice.below(10) } else { 9 };
        let mut rings = lock(&self.rings);
        match lie {
            0 => {}
            1 => rings.extend([(now, step.clone()), (now, step.clone())]),
            2 => rings.push((now + self.dice.below(LATE_MS) as Millis, step.clone())),
            _ => rings.push((now, step.clone())),
        }
    }

    /// Any ring that is due.
    pub fn take(&self, now: Millis) -> Option<StepKey> {
        let mut rings = lock(&self.rings);
        let due: Vec<usize> = (0..rings.len()).filter(|at| rings[*at].0 <= now).collect();
        (!due.is_empty()).then(|| rings.swap_remove(self.dice.pick(&due)).1)
    }

    /// When the next ring is due.
    pub fn next(&self) -> Option<Millis> {
        lock(&self.rings).iter().map(|(due, _)| *due).min()
    }
}

struct Held {
    fence: Fence,
    cancel: Cancel,
    until: Until,
}

/// The leases of one process.
#[derive(Default)]
pub struct Leases {
    held: Arc<Mutex<BTreeMap<u64, Held>>>,
    next: AtomicI64,
}

impl LeaseKeeper for Leases {
    fn hold(&self, _: &TenantId, fence: &Fence, cancel: &Cancel, until: &Until) -> Lease {
        let number = self.next.fetch_add(1, Ordering::Relaxed) as u64;
        let (fence, cancel, kept) = (fence.clone(), cancel.clone(), until.clone());
        let held = Held { fence, cancel, until: kept };
        lock(&self.held).insert(number, held);
        let table = Arc::clone(&self.held);
        Lease::new(until, move || drop(lock(&table).remove(&number)))
    }
}

impl Leases {
    fn all(&self) -> Vec<(u64, Fence)> {
        lock(&self.held).iter().map(|(number, held)| (*number, held.fence.clone())).collect()
    }

    fn note(&self, number: u64, until: Millis, status: LeaseStatus) {
        if let Some(held) = lock(&self.held).get(&number) {
            match status {
                LeaseStatus::Held => held.until.rise(until),
                LeaseStatus::Cancelled | LeaseStatus::Lost => held.cancel.cancel(),
            }
        }
    }
}

/// Something that a process is doing.
pub struct Task {
    /// The step that it works on.
    pub step: Option<StepKey>,
    /// The work itself.
    pub future: Pin<Box<dyn Future<Output = ()>>>,
    /// It rests until then.
    pub resting: Arc<AtomicI64>,
}

/// What makes processes.
pub struct Yard {
    /// What all of them share.
    pub sky: Arc<Sky>,
    /// What their tools act on.
    pub world: Arc<World>,
    /// What wakes them.
    pub bell: Arc<Bell>,
    /// Their randomness.
    pub dice: Arc<Dice>,
}

/// A process and what it is doing.
pub struct Running {
    /// The process.
    pub life: Arc<Life>,
    /// When it is started again, once it is dead.
    pub up_at: Millis,
    /// When its office and its leases are looked after next.
    pub office_at: Millis,
    renew_at: Millis,
    leases: Arc<Leases>,
    /// The step in work, the office, the leases.
    pub tasks: [Option<Task>; 3],
}

impl Yard {
    /// Starts a process.
    pub fn start(&self, pid: u32, host: &str, clock: &Arc<LyingClock>) -> Running {
        let process = Process { host: host.to_owned(), pid, start: 1 };
        let life = Arc::new(Life::new(process, Arc::clone(clock)));
        self.sky.living().push(Arc::clone(&life));
        Running {
            life,
            up_at: 0,
            office_at: 0,
            renew_at: 0,
            leases: Arc::default(),
            tasks: [None, None, None],
        }
    }

    /// Settings of a process.
    pub fn settings(process: &Process) -> Settings {
        Settings {
            tenant: TenantId::local(),
            process: process.clone(),
            home: PathBuf::from("/alma"),
            policy: policy::Settings::default(),
        }
    }

    fn ports(&self, life: &Arc<Life>) -> (Ports, Arc<AtomicI64>) {
        let gate = Gate { life: Arc::clone(life), sky: Arc::clone(&self.sky) };
        let resting = Arc::new(AtomicI64::new(0));
        let ports = Ports {
            ledger: Arc::new(FaultyLedger { gate: gate.clone() }),
            tools: Arc::new(FaultyTools::new(Arc::clone(&self.world), gate.clone())),
            clock: Arc::clone(&life.clock) as Arc<dyn Clock>,
            entropy: Arc::clone(&self.dice) as Arc<dyn Entropy>,
            timer: Arc::new(Nap { gate, until: Arc::clone(&resting) }),
        };
        (ports, resting)
    }

    /// Gives a process something to do, if there is anything.
    pub fn employ(&self, running: &mut Running) {
        let now = self.sky.truth.now();
        if running.tasks[0].is_none() {
            running.tasks[0] = self.bell.take(now).map(|step| self.work(running, step));
        }
        if running.tasks[1].is_none() && running.office_at <= now {
            running.office_at = now + OFFICE_MS;
            running.tasks[1] = Some(self.office(&running.life));
        }
        if running.tasks[2].is_none() && running.renew_at <= now {
            running.renew_at = now.saturating_add_unsigned(RENEW_MS);
            running.tasks[2] = self.renewal(running);
        }
    }

    fn work(&self, running: &Running, step: StepKey) -> Task {
        let (ports, resting) = self.ports(&running.life);
        let settings = Self::settings(&running.life.process);
        let worker = Worker::new(ports, settings, Arc::clone(&running.leases) as Arc<_>);
        let key = step.clone();
        let future = Box::pin(async move {
            // A worker that gives up leaves its step to its lease.
            let _left = worker.work(&key).await;
        });
        Task { step: Some(step), future, resting }
    }

    fn renewal(&self, running: &Running) -> Option<Task> {
        let held = running.leases.all();
        let (ports, resting) = self.ports(&running.life);
        let leases = Arc::clone(&running.leases);
        (!held.is_empty()).then(|| {
            let future = Box::pin(async move {
                for (number, fence) in held {
                    let until = ports.clock.now() + LEASE_MS;
                    if let Ok(status) = ports.ledger.renew(&fence, until).await {
                        leases.note(number, until, status);
                    }
                }
            });
            Task { step: None, future, resting }
        })
    }

    /// The relay and the reconciler.
    fn office(&self, life: &Arc<Life>) -> Task {
        let (ports, resting) = self.ports(life);
        let (sky, bell) = (Arc::clone(&self.sky), Arc::clone(&self.bell));
        let (settings, own) = (Self::settings(&life.process), life.process.host.clone());
        let sweeps = self.dice.one_in(SWEEP_IN);
        let future = Box::pin(async move {
            // What fails is done by the next round.
            let _failed = relay(&ports, &sky, &bell, sweeps).await;
            let alive = |process: &Process| {
                let lives = |life: &Arc<Life>| life.process == *process && !life.is_dead();
                (process.host == own).then(|| sky.living().iter().any(lives))
            };
            let _failed = reconcile(&ports, &settings, Reach::Everywhere, &alive).await;
        });
        Task { step: None, future, resting }
    }
}

async fn relay(ports: &Ports, sky: &Sky, bell: &Bell, sweeps: bool) -> Result<(), LedgerError> {
    let (tenant, now) = (TenantId::local(), ports.clock.now());
    let query = Query::Outbox { now, limit: BATCH };
    if let Rows::Outbox(rows) = ports.ledger.query(&tenant, query).await? {
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        for row in &rows {
            let state = sky.witness.step(&row.step).map(|step| step.state);
            if state.is_none_or(|state| state == StepState::Blocked) {
                let what = format!("{} is rung while it is {state:?}", row.step);
                sky.witness.blame(Rule::RingsInTime, what);
            }
            bell.ring(&row.step, sky.truth.now());
        }
        if !ids.is_empty() {
            ports.ledger.outbox_done(&ids).await?;
        }
    }
    if sweeps {
        let query = Query::ReadySteps { now, limit: BATCH };
        if let Rows::Steps(rows) = ports.ledger.query(&tenant, query).await? {
            rows.iter().for_each(|row| bell.ring(&row.key, sky.truth.now()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::case::Case;
    use super::super::fate::SimClock;
    use super::super::person::Person;
    use super::super::run::{calm, now};
    use super::super::witness::Witness;
    use super::*;
    use async_trait::async_trait;
    use charter::event::Event;
    use charter::ids::WorkerId;
    use charter::ports::{LeaseChange, Ledger};
    use sons_of_helaman::lease::FIRST_LEASE_MS;
    use sons_of_helaman::{Draft, Timer};

    /// As the lease thread of a process would: while somebody rests, it renews.
    struct Renews {
        ledger: Arc<dyn Ledger>,
        clock: Arc<dyn Clock>,
        fence: Option<Fence>,
    }

    #[async_trait]
    impl Timer for Renews {
        async fn rest(&self, _: u64) {
            if let Some(fence) = &self.fence {
                self.ledger.renew(fence, self.clock.now() + LEASE_MS).await.unwrap();
            }
        }
    }

    /// A claim, and who looks at it after a while.
    struct Looked {
        at_work: bool,
        renewed: bool,
        after: Millis,
        reach: Reach,
        /// Whether its worker is the process that looks; else what that knows of it.
        by: Result<(), Option<bool>>,
    }

    /// A process claims a step, time passes, and a reconciler looks.
    fn check(looked: Looked, taken: u32) {
        let truth = Arc::new(SimClock::new());
        let (witness, world) =
            (Arc::new(Witness::new(Arc::clone(&truth), false)), Arc::new(World::default()));
        let dice = Arc::new(Dice::new(1));
        let ports = calm(&truth, &world, &witness, &dice);
        let mut case = Case::of(1);
        case.missions.truncate(1);
        case.missions[0].begins = 0;
        let (reached, clock) = ((ports.clone(), Arc::clone(&witness), world), Arc::clone(&truth));
        let mut person = Person::new(&case, reached, clock, dice);
        person.look(&std::collections::BTreeSet::new());
        let mission = person.missions[0].id.clone();
        let process = Process { host: "here".into(), pid: 7, start: 1 };
        let fence = Fence { step: StepKey::step(&mission, 1), token: 1 };
        let mut draft = Draft::new(&ports, &TenantId::local(), &mission);
        draft.event(Event::StepClaimed {
            step: fence.step.clone(),
            worker: WorkerId::new(ports.clock.now(), ports.entropy.as_ref()),
            token: 1,
            wall_ms: 0,
            cpu_ms: 0,
        });
        let lasts = if looked.renewed { LEASE_MS } else { FIRST_LEASE_MS };
        let lease = LeaseChange::Take {
            holder: process.clone(),
            expires_at: ports.clock.now() + lasts,
            of: None,
        };
        now(ports.ledger.commit(draft.transition(Some(fence.clone()), lease))).unwrap();
        truth.advance(looked.after);
        let timer = Arc::new(Renews {
            ledger: Arc::clone(&ports.ledger),
            clock: Arc::clone(&ports.clock),
            fence: looked.at_work.then_some(fence),
        });
        let ports = Ports { timer, ..ports };
        let (looks, known) = match looked.by {
            Ok(()) => (process, Some(true)),
            Err(known) => (Process { host: "elsewhere".into(), pid: 8, start: 1 }, known),
        };
        let alive = |_: &Process| known;
        let settings = Yard::settings(&looks);
        assert_eq!(now(reconcile(&ports, &settings, looked.reach, &alive)).unwrap(), taken);
    }

    const HOUR: Millis = 3_600_000;

    fn own(at_work: bool) -> Looked {
        let (renewed, after, reach, by) = (true, HOUR, Reach::Everywhere, Ok(()));
        Looked { at_work, renewed, after, reach, by }
    }

    /// What the leader makes of a claim of another host.
    fn far(renewed: bool, after: Millis, reach: Reach) -> Looked {
        Looked { at_work: false, renewed, after, reach, by: Err(None) }
    }

    #[test]
    fn a_clock_that_jumps_takes_no_claim_from_who_is_at_work() {
        check(own(true), 0);
    }

    #[test]
    fn a_claim_that_nobody_works_on_is_taken_back() {
        check(own(false), 1);
    }

    #[test]
    fn a_claim_that_was_never_begun_goes_back_sooner() {
        check(far(false, 4_000, Reach::Everywhere), 0);
        check(far(false, 5_000, Reach::Everywhere), 1);
        check(far(true, 11_000, Reach::Everywhere), 0);
        check(far(true, 12_000, Reach::Everywhere), 1);
    }

    #[test]
    fn what_cannot_be_judged_from_here_is_left_to_the_leader() {
        check(far(true, HOUR, Reach::Host), 0);
        let dead = Looked { by: Err(Some(false)), after: 0, ..far(true, 0, Reach::Host) };
        check(dead, 1);
    }
}
