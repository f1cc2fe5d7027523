//! What a claim uses, for its receipt.
//!
//! Calls count for themselves through the [`Meter`] that they are given. What the
//! worker does around them (reading, deciding, writing down) is counted whenever it
//! is polled, on the clock of the thread that polls. A receipt tells whole
//! milliseconds: what is left of them, and what was used after the receipt was
//! drafted, goes into the next receipt of the same worker, so that ten thousand
//! short steps add up to what their process used.

use charter::budget::{Meter, Usage};
use charter::ports::Clock;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Stands for: no poll is under way.
const NONE: u64 = u64::MAX;

/// Counts one claim. Clones count together.
#[derive(Clone)]
pub(crate) struct Tally {
    /// For the calls.
    pub(crate) meter: Meter,
    clock: Arc<dyn Clock>,
    own: Arc<Own>,
}

struct Own {
    /// Processor time taken over from before.
    spare: u64,
    /// On the clock of the polling thread.
    poll: AtomicU64,
    /// Processor time that a receipt holds.
    told: AtomicU64,
}

impl Tally {
    /// With processor time, in microseconds, that no receipt holds yet.
    pub(crate) fn new(clock: Arc<dyn Clock>, spare: u64) -> Self {
        let own = Own { spare, poll: AtomicU64::new(NONE), told: AtomicU64::new(NONE) };
        Self { meter: Meter::default(), clock, own: Arc::new(own) }
    }

    /// Counts the polls of this work.
    pub(crate) async fn counting<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        std::future::poll_fn(|cx| {
            let began = self.clock.thread_cpu_us();
            self.own.poll.store(began, Ordering::Relaxed);
            let polled = work.as_mut().poll(cx);
            self.own.poll.store(NONE, Ordering::Relaxed);
            self.meter.cpu(self.clock.thread_cpu_us().saturating_sub(began));
            polled
        })
        .await
    }

    /// Microseconds of processor time so far. Within [`Self::counting`] the poll under
    /// way counts as well.
    fn cpu_us(&self) -> u64 {
        let polling = match self.own.poll.load(Ordering::Relaxed) {
            NONE => 0,
            began => self.clock.thread_cpu_us().saturating_sub(began),
        };
        self.meter.cpu_us() + self.own.spare + polling
    }

    /// What a receipt tells.
    pub(crate) fn receipt(&self) -> Usage {
        let cpu_ms = self.cpu_us() / 1_000;
        self.own.told.store(cpu_ms.saturating_mul(1_000), Ordering::Relaxed);
        Usage { cpu_ms, ..self.meter.usage() }
    }

    /// What no receipt holds, for the next one. What was taken over stays where
    /// nothing was told: the claim was lost, and its work with it.
    pub(crate) fn left(&self) -> u64 {
        match self.own.told.load(Ordering::Relaxed) {
            NONE => self.own.spare,
            told => self.cpu_us().saturating_sub(told),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use charter::ids::Millis;

    /// Each look at it takes a time of its own.
    struct Ticking(AtomicU64);

    impl Clock for Ticking {
        fn now(&self) -> Millis {
            0
        }

        fn thread_cpu_us(&self) -> u64 {
            self.0.fetch_add(600, Ordering::Relaxed)
        }
    }

    fn tally(spare: u64) -> Tally {
        Tally::new(Arc::new(Ticking(AtomicU64::new(0))), spare)
    }

    #[tokio::test]
    async fn what_is_short_of_a_millisecond_is_in_the_next_receipt() {
        let one = tally(0);
        let told = one.counting(async { one.receipt() }).await;
        assert_eq!((told.cpu_ms, one.meter.cpu_us(), one.left()), (0, 1_200, 1_200));
        let next = tally(one.left());
        let told = next.counting(async { next.receipt() }).await;
        assert_eq!((told.cpu_ms, next.left()), (1, 1_400));
    }

    #[tokio::test]
    async fn calls_and_polls_count_together() {
        let tally = tally(0);
        tally.counting(tokio::task::yield_now()).await;
        tally.meter.cpu(5_000);
        tally.meter.tokens(7, 2);
        let told = tally.receipt();
        assert_eq!((told.cpu_ms, told.tokens_in, told.tokens_out), (6, 7, 2));
    }

    #[tokio::test]
    async fn a_claim_that_told_nothing_leaves_what_it_was_given() {
        let tally = tally(70);
        tally.counting(async {}).await;
        assert_eq!(tally.left(), 70);
    }
}
