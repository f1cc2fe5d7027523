//! Randomness, time and faults, all from one seed.

use charter::ids::Millis;
use charter::ports::{Clock, Entropy};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

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
}

impl Entropy for Dice {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.roll().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// A clock that the simulation moves.
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

/// What happens to one call of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The worker dies before the call takes effect.
    DieBefore,
    /// The call takes effect, and the worker dies before it learns of it.
    DieAfter,
    /// The call takes effect, and its answer is lost.
    LoseAnswer,
    /// The call fails without effect.
    Fail,
    /// The worker is cut off for a long time, then goes on as if nothing were.
    Stall,
}

/// Draws faults while there are some left.
pub struct Fate {
    /// The dice.
    pub dice: Dice,
    faults_left: AtomicUsize,
    one_in: u64,
}

impl Fate {
    /// `faults` at most, about one in `one_in` calls.
    pub fn new(seed: u64, faults: usize, one_in: u64) -> Self {
        Self { dice: Dice::new(seed), faults_left: AtomicUsize::new(faults), one_in }
    }

    /// What happens to the next call.
    pub fn draw(&self) -> Fault {
        if self.faults_left.load(Ordering::Relaxed) == 0 || !self.dice.one_in(self.one_in) {
            return Fault::None;
        }
        self.faults_left.fetch_sub(1, Ordering::Relaxed);
        match self.dice.below(5) {
            0 => Fault::DieBefore,
            1 => Fault::DieAfter,
            2 => Fault::LoseAnswer,
            3 => Fault::Fail,
            _ => Fault::Stall,
        }
    }

    /// No more faults from here on.
    pub fn relent(&self) {
        self.faults_left.store(0, Ordering::Relaxed);
    }
}
