//! Processes, and the gate that each of their calls passes: there they die, stand
//! still, are cut off, or never hear the answer.

use super::coverage::Table;
use super::fate::{Fate, Fault, LyingClock, Port, SimClock};
use super::witness::Witness;
use charter::ids::Millis;
use charter::ports::Clock;
use charter::tool::Process;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

/// How far a clock jumps.
const JUMP_MS: Millis = 3_600_000;
/// How long a process stands still, is cut off, and how long nobody reaches the
/// ledger or finds room on the disk: at most, from ten milliseconds on. Longer
/// than a lease, so that some come back to a claim that is somebody else's.
const STALL_MS: u64 = 30_000;
const OUTAGE_MS: u64 = 6_000;

/// One process.
pub struct Life {
    /// Its name.
    pub process: Process,
    /// The clock of its host.
    pub clock: Arc<LyingClock>,
    /// It is dead: nothing of it must be polled again.
    pub dead: AtomicBool,
    /// It stands still until then.
    pub stalled_until: AtomicI64,
    /// It is cut off from the ledger until then.
    pub cut_until: AtomicI64,
}

impl Life {
    /// A process that has just begun.
    pub fn new(process: Process, clock: Arc<LyingClock>) -> Self {
        Self {
            process,
            clock,
            dead: AtomicBool::new(false),
            stalled_until: AtomicI64::new(0),
            cut_until: AtomicI64::new(0),
        }
    }

    /// Whether it is dead.
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// Whether it stands still.
    pub fn is_stalled(&self, now: Millis) -> bool {
        self.stalled_until.load(Ordering::SeqCst) > now
    }
}

/// What all processes share.
pub struct Sky {
    /// The true time.
    pub truth: Arc<SimClock>,
    /// Draws faults.
    pub fate: Fate,
    /// Sees everything.
    pub witness: Arc<Witness>,
    /// Nobody reaches the ledger until then.
    pub outage_until: AtomicI64,
    /// The disk is full until then.
    pub full_until: AtomicI64,
    /// Processes that live.
    pub living: Mutex<Vec<Arc<Life>>>,
    /// How long things last.
    pub dice: super::fate::Dice,
    /// Faults that happened.
    pub happened: Mutex<Vec<(Fault, Port)>>,
}

impl Sky {
    /// Processes that live.
    pub fn living(&self) -> MutexGuard<'_, Vec<Arc<Life>>> {
        self.living.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many faults happened.
    pub fn faults(&self) -> usize {
        self.happened.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn for_a_while(&self, at_most: u64) -> Millis {
        self.truth.now() + 10 + self.dice.below(at_most) as Millis
    }
}

/// Gives the other tasks a turn.
#[derive(Default)]
struct Yield(bool);

impl Future for Yield {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// How a call comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passed {
    /// As it should.
    Whole,
    /// Without effect.
    Failed,
    /// Without effect, for want of room on the disk.
    Full,
    /// With its effect, but nobody hears of it.
    Unheard,
    /// With its effect, and its caller dies.
    Dying,
}

/// One process's way to the world.
#[derive(Clone)]
pub struct Gate {
    /// Whose.
    pub life: Arc<Life>,
    /// What all share.
    pub sky: Arc<Sky>,
}

impl Gate {
    /// A call begins.
    pub async fn pass(&self, port: Port) -> Passed {
        Yield::default().await;
        let fault = self.sky.fate.draw(port);
        let passed = match fault {
            None => Passed::Whole,
            Some(fault) => self.befall(fault, port).await,
        };
        if passed != Passed::Whole || !port.is_ledger() {
            return self.with_the_disk(passed, port);
        }
        let now = self.sky.truth.now();
        let away = self.sky.outage_until.load(Ordering::SeqCst) > now
            || self.life.cut_until.load(Ordering::SeqCst) > now;
        self.with_the_disk(if away { Passed::Failed } else { passed }, port)
    }

    fn with_the_disk(&self, passed: Passed, port: Port) -> Passed {
        let full = self.sky.full_until.load(Ordering::SeqCst) > self.sky.truth.now();
        if passed == Passed::Whole && full && matches!(port, Port::Commit | Port::Apply) {
            return Passed::Full;
        }
        passed
    }

    async fn befall(&self, fault: Fault, port: Port) -> Passed {
        let name = |one: &dyn std::fmt::Debug| format!("{one:?}").to_lowercase();
        self.sky.witness.reached(Table::Fault, name(&fault), name(&port));
        self.sky.happened.lock().unwrap_or_else(PoisonError::into_inner).push((fault, port));
        let pid = self.life.process.pid;
        self.sky.witness.say(|| format!("process {pid}: {fault:?} at {port:?}"));
        let (life, sky) = (&self.life, &self.sky);
        match fault {
            Fault::DieBefore => {
                self.die().await;
                return Passed::Failed;
            }
            Fault::DieAfter => return Passed::Dying,
            Fault::LoseAnswer => return Passed::Unheard,
            Fault::Fail => return Passed::Failed,
            Fault::DiskFull => {
                sky.full_until.store(sky.for_a_while(OUTAGE_MS), Ordering::SeqCst);
            }
            Fault::Stall => {
                life.stalled_until.store(sky.for_a_while(STALL_MS), Ordering::SeqCst);
                Yield::default().await;
            }
            Fault::Cut => life.cut_until.store(sky.for_a_while(STALL_MS), Ordering::SeqCst),
            Fault::Outage => {
                sky.outage_until.store(sky.for_a_while(OUTAGE_MS), Ordering::SeqCst);
            }
            Fault::ClockForward => life.clock.jump(1 + sky.dice.below(JUMP_MS as u64) as Millis),
            Fault::ClockBack => life.clock.jump(-1 - sky.dice.below(JUMP_MS as u64) as Millis),
            Fault::ClockSlow => life.clock.slow(),
        }
        Passed::Whole
    }

    /// The process ends here.
    pub async fn die(&self) {
        self.life.dead.store(true, Ordering::SeqCst);
        std::future::pending::<()>().await;
    }
}
