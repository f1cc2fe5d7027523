//! Randomness, time and faults, all from one seed.

use charter::ids::Millis;
use charter::ports::{Clock, Entropy};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
/// generators", 2014).
pub struct Dice(AtomicU64);

impl Dice {
    /// Dice from a seed.
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// The next number.
    pub fn roll(&self) -> u64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.roll() % bound }
    }

    /// True once in `n` on average.
    pub fn one_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of these.
    pub fn pick<T: Copy>(&self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

impl Entropy for Dice {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.roll().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// The true time, which the simulation moves.
pub struct SimClock(AtomicI64);

impl SimClock {
    /// Starts at a fixed moment.
    pub fn new() -> Self {
        Self(AtomicI64::new(1_700_000_000_000))
    }

    /// Moves on.
    pub fn advance(&self, ms: Millis) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Default for SimClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SimClock {
    fn now(&self) -> Millis {
        self.0.load(Ordering::SeqCst)
    }
}

/// A host's clock: it may go slowly, and it may jump.
pub struct LyingClock {
    truth: Arc<SimClock>,
    lie: Mutex<Lie>,
}

/// From `since` on the clock shows `shown` and what has passed, divided.
#[derive(Clone, Copy)]
struct Lie {
    since: Millis,
    shown: Millis,
    divided_by: Millis,
}

impl LyingClock {
    /// A clock that is right.
    pub fn new(truth: Arc<SimClock>) -> Self {
        let now = truth.now();
        Self { truth, lie: Mutex::new(Lie { since: now, shown: now, divided_by: 1 }) }
    }

    fn lie(&self) -> MutexGuard<'_, Lie> {
        self.lie.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Jumps.
    pub fn jump(&self, ms: Millis) {
        let shown = self.now() + ms;
        *self.lie() = Lie { since: self.truth.now(), shown, divided_by: 1 };
    }

    /// Goes at a tenth of its speed from here on.
    pub fn slow(&self) {
        let shown = self.now();
        *self.lie() = Lie { since: self.truth.now(), shown, divided_by: 10 };
    }

    /// Is set to the true time.
    pub fn set_right(&self) {
        let now = self.truth.now();
        *self.lie() = Lie { since: now, shown: now, divided_by: 1 };
    }
}

impl Clock for LyingClock {
    fn now(&self) -> Millis {
        let lie = *self.lie();
        lie.shown + (self.truth.now() - lie.since) / lie.divided_by
    }
}

/// A call that a process makes of the world outside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Port {
    /// The ledger writes.
    Commit,
    /// The ledger answers.
    Query,
    /// The ledger extends a lease.
    Renew,
    /// The ledger strikes off what the queue has.
    OutboxDone,
    /// A tool looks and proposes.
    Prepare,
    /// A tool acts.
    Act,
    /// A tool asks its target.
    Probe,
    /// A change of files is carried out.
    Apply,
    /// Files are looked at.
    Look,
    /// The result is checked.
    Check,
    /// The workspace is surveyed for a repair.
    Survey,
    /// A process of this host is made sure to be dead.
    Kill,
}

impl Port {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Commit,
        Self::Query,
        Self::Renew,
        Self::OutboxDone,
        Self::Prepare,
        Self::Act,
        Self::Probe,
        Self::Apply,
        Self::Look,
        Self::Check,
        Self::Survey,
        Self::Kill,
    ];

    /// Whether it is the ledger that is called.
    pub fn is_ledger(self) -> bool {
        matches!(self, Self::Commit | Self::Query | Self::Renew | Self::OutboxDone)
    }
}

/// What happens at one call of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The process dies before the call takes effect.
    DieBefore,
    /// The call takes effect, and the process dies before it learns of it.
    DieAfter,
    /// The call takes effect, and its answer is lost.
    LoseAnswer,
    /// The call fails without effect.
    Fail,
    /// The disk is full for a while, for everybody.
    DiskFull,
    /// The process stands still for a while, then goes on as if nothing were.
    Stall,
    /// The process is cut off from the ledger for a while, and goes on working.
    Cut,
    /// Nobody reaches the ledger for a while.
    Outage,
    /// The clock of its host jumps forward.
    ClockForward,
    /// The clock of its host jumps back.
    ClockBack,
    /// The clock of its host goes slowly from here on.
    ClockSlow,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::DieBefore,
        Self::DieAfter,
        Self::LoseAnswer,
        Self::Fail,
        Self::DiskFull,
        Self::Stall,
        Self::Cut,
        Self::Outage,
        Self::ClockForward,
        Self::ClockBack,
        Self::ClockSlow,
    ];

    /// Whether it can happen at this call. A check and a kill have no answer that
    /// could fail to come, and no disk is full for who only looks.
    pub fn fits(self, port: Port) -> bool {
        match self {
            Self::LoseAnswer | Self::Fail => {
                !matches!(port, Port::Check | Port::Kill | Port::Survey)
            }
            Self::DiskFull => matches!(port, Port::Commit | Port::Apply),
            _ => true,
        }
    }
}

/// A fault that will happen: at the first call of a port that is not earlier than
/// a number of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// Not before so many calls were made.
    pub after: u64,
    /// At a call of this.
    pub port: Port,
    /// What happens.
    pub fault: Fault,
}

/// Deals out the planned faults.
pub struct Fate {
    calls: AtomicU64,
    left: Mutex<Vec<Planned>>,
    hurries: AtomicBool,
}

impl Fate {
    /// These faults.
    pub fn new(planned: &[Planned]) -> Self {
        let left = Mutex::new(planned.to_vec());
        Self { calls: AtomicU64::new(0), left, hurries: AtomicBool::new(false) }
    }

    fn left(&self) -> MutexGuard<'_, Vec<Planned>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happens at this call, if anything.
    pub fn draw(&self, port: Port) -> Option<Fault> {
        let calls = self.calls.fetch_add(1, Ordering::Relaxed);
        let mut left = self.left();
        let hurries = self.hurries.load(Ordering::Relaxed);
        let fits = |one: &Planned| one.port == port || hurries && one.fault.fits(port);
        let at = left.iter().position(|one| fits(one) && one.after <= calls)?;
        Some(left.remove(at).fault)
    }

    /// Calls that some faults wait for may never come: from here on they happen at
    /// any that they fit.
    pub fn hurry(&self) {
        self.hurries.store(true, Ordering::Relaxed);
    }

    /// Whether none is left.
    pub fn is_spent(&self) -> bool {
        self.left().is_empty()
    }

    /// No more faults from here on.
    pub fn relent(&self) {
        self.left().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_jumps_slows_and_is_set_right() {
        let truth = Arc::new(SimClock::new());
        let (start, clock) = (truth.now(), LyingClock::new(Arc::clone(&truth)));
        clock.jump(1_000);
        truth.advance(10);
        assert_eq!(clock.now(), start + 1_010);
        clock.slow();
        truth.advance(100);
        assert_eq!(clock.now(), start + 1_020);
        clock.set_right();
        assert_eq!(clock.now(), start + 110);
    }

    #[test]
    fn a_fault_waits_for_its_call() {
        let fate = Fate::new(&[Planned { after: 1, port: Port::Act, fault: Fault::Fail }]);
        assert_eq!(fate.draw(Port::Act), None);
        assert_eq!(fate.draw(Port::Look), None);
        assert_eq!(fate.draw(Port::Act), Some(Fault::Fail));
        assert!(fate.is_spent());
        let fate = Fate::new(&[Planned { after: 0, port: Port::Act, fault: Fault::Fail }]);
        assert_eq!(fate.draw(Port::Query), None);
        fate.hurry();
        assert_eq!(fate.draw(Port::Query), Some(Fault::Fail));
    }
}
