//! Threads that share out small pieces of work many thousand times a second.
//!
//! One token takes more than a hundred rounds of a few ten microseconds each, so
//! between two rounds the threads look for the next one for a while before they go
//! to sleep.

use std::marker::PhantomData;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};

/// How often a thread looks for work before it sleeps: some 50 µs.
const LOOKS: usize = 2_000;

/// Memory that several threads write to, each its own part.
#[derive(Debug)]
pub(crate) struct Shared<'a, T> {
    from: *mut T,
    length: usize,
    owner: PhantomData<&'a mut [T]>,
}

impl<T> Clone for Shared<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Shared<'_, T> {}

// SAFETY: parts are only handed out by `part`, whose callers keep them apart.
unsafe impl<T: Send> Send for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub(crate) fn new(all: &'a mut [T]) -> Self {
        Self { from: all.as_mut_ptr(), length: all.len(), owner: PhantomData }
    }

    /// A part; panics outside of the memory.
    ///
    /// # Safety
    /// Nobody else has a part that overlaps with it.
    #[inline(always)]
    pub(crate) unsafe fn part(self, range: Range<usize>) -> &'a mut [T] {
        assert!(range.start <= range.end && range.end <= self.length, "a part lies outside");
        // SAFETY: within the memory, and the caller's alone.
        unsafe { std::slice::from_raw_parts_mut(self.from.add(range.start), range.len()) }
    }

    /// Where a range begins; panics if it does not lie within the memory.
    #[inline(always)]
    pub(crate) fn pointer(self, range: Range<usize>) -> *mut T {
        assert!(range.start <= range.end && range.end <= self.length, "a part lies outside");
        // SAFETY: within the memory.
        unsafe { self.from.add(range.start) }
    }
}

/// A piece of work: it gets the number of the piece and that of the thread.
type Job<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// What a round consists of.
struct Round {
    /// The job, its lifetime forgotten: a round ends before its `run` does.
    job: *const (dyn Fn(usize, usize) + Sync),
    pieces: usize,
}

struct State {
    /// Counts rounds; odd while the threads are to end.
    round: AtomicUsize,
    /// The round that runs.
    current: AtomicPtr<Round>,
    /// The next piece.
    next: AtomicUsize,
    /// Threads that are not done with the round.
    busy: AtomicUsize,
    ends: AtomicBool,
    panicked: AtomicBool,
    /// Threads that went to sleep.
    asleep: AtomicUsize,
}

/// Threads that work on one job at a time, together with the thread that asks.
pub(crate) struct Pool {
    state: Arc<State>,
    threads: Vec<JoinHandle<()>>,
    /// To wake them.
    handles: Vec<Thread>,
    /// One round at a time.
    turn: Mutex<()>,
}

impl Pool {
    /// A pool of so many threads, the asking one among them.
    pub(crate) fn new(threads: usize) -> std::io::Result<Self> {
        let state = Arc::new(State {
            round: AtomicUsize::new(0),
            current: AtomicPtr::new(std::ptr::null_mut()),
            next: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
            ends: AtomicBool::new(false),
            panicked: AtomicBool::new(false),
            asleep: AtomicUsize::new(0),
        });
        let mut pool =
            Self { state, threads: Vec::new(), handles: Vec::new(), turn: Mutex::new(()) };
        for number in 1..threads.max(1) {
            let state = Arc::clone(&pool.state);
            let builder = std::thread::Builder::new().name(format!("model {number}"));
            let thread = builder.spawn(move || state.work(number))?;
            pool.handles.push(thread.thread().clone());
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    /// Threads, the asking one among them.
    pub(crate) fn threads(&self) -> usize {
        self.threads.len() + 1
    }

    /// Runs a job for all pieces and returns when they are done. Panics if a piece
    /// does.
    pub(crate) fn run(&self, pieces: usize, job: Job<'_>) {
        if pieces <= 1 || self.threads.is_empty() {
            (0..pieces).for_each(|piece| job(piece, 0));
            return;
        }
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: only the lifetime changes; nobody uses the job after the round.
        let job: *const (dyn Fn(usize, usize) + Sync) =
            unsafe { std::mem::transmute::<Job<'_>, *const (dyn Fn(usize, usize) + Sync)>(job) };
        let mut round = Round { job, pieces };
        let state = &*self.state;
        state.next.store(0, Ordering::Relaxed);
        state.busy.store(self.threads.len(), Ordering::Relaxed);
        state.current.store(&raw mut round, Ordering::Relaxed);
        state.round.fetch_add(1, Ordering::SeqCst);
        if state.asleep.load(Ordering::SeqCst) > 0 {
            self.handles.iter().for_each(Thread::unpark);
        }
        let own = catch_unwind(AssertUnwindSafe(|| state.take(&round, 0)));
        let mut looks = 0;
        while state.busy.load(Ordering::Acquire) > 0 {
            looks += 1;
            if looks < LOOKS { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
        drop(turn);
        if let Err(panic) = own {
            resume_unwind(panic);
        }
        assert!(!state.panicked.swap(false, Ordering::Relaxed), "a thread of the model panicked");
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.state.ends.store(true, Ordering::SeqCst);
        self.state.round.fetch_add(1, Ordering::SeqCst);
        self.handles.iter().for_each(Thread::unpark);
        for thread in self.threads.drain(..) {
            // Its panics were told to whoever asked.
            let _ = thread.join();
        }
    }
}

impl State {
    fn work(&self, number: usize) {
        let mut seen = 0;
        loop {
            seen = self.wait(seen);
            if self.ends.load(Ordering::SeqCst) {
                return;
            }
            let round = self.current.load(Ordering::Relaxed);
            // SAFETY: the round lives until this thread is no longer busy.
            let done = catch_unwind(AssertUnwindSafe(|| self.take(unsafe { &*round }, number)));
            if done.is_err() {
                self.panicked.store(true, Ordering::Relaxed);
            }
            self.busy.fetch_sub(1, Ordering::Release);
        }
    }

    /// Waits for another round than `seen`.
    fn wait(&self, seen: usize) -> usize {
        for _ in 0..LOOKS {
            let round = self.round.load(Ordering::Acquire);
            if round != seen {
                return round;
            }
            std::hint::spin_loop();
        }
        self.asleep.fetch_add(1, Ordering::SeqCst);
        loop {
            let round = self.round.load(Ordering::SeqCst);
            if round != seen {
                self.asleep.fetch_sub(1, Ordering::SeqCst);
                return round;
            }
            std::thread::park();
        }
    }

    /// Takes pieces until none is left.
    fn take(&self, round: &Round, thread: usize) {
        loop {
            let piece = self.next.fetch_add(1, Ordering::Relaxed);
            if piece >= round.pieces {
                return;
            }
            // SAFETY: the job lives as long as the round.
            unsafe { (*round.job)(piece, thread) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_is_done_once_however_many_rounds() {
        for threads in [1, 2, 5] {
            let pool = Pool::new(threads).unwrap();
            for round in 0..3_000_usize {
                let pieces = round % 40;
                let mut done = vec![0_u8; pieces];
                let shared = Shared::new(&mut done);
                pool.run(pieces, &|piece, thread| {
                    assert!(thread < threads);
                    // SAFETY: each piece is handed out once.
                    let own = unsafe { shared.part(piece..piece + 1) };
                    own[0] += 1;
                });
                assert!(done.iter().all(|count| *count == 1), "{round}");
                if round % 500 == 0 {
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
            }
        }
    }

    #[test]
    fn a_panic_reaches_whoever_asked_and_the_next_round_runs() {
        let pool = Pool::new(3).unwrap();
        let asked = catch_unwind(AssertUnwindSafe(|| {
            pool.run(50, &|piece, _| assert!(piece != 31));
        }));
        assert!(asked.is_err());
        let count = AtomicUsize::new(0);
        pool.run(50, &|_, _| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(count.into_inner(), 50);
    }
}
