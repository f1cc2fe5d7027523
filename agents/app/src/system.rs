//! The machine's own clock, randomness and timer.

use async_trait::async_trait;
use charter::ids::Millis;
use charter::ports::{Clock, Entropy};
use sons_of_helaman::Timer;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The machine's clock.
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        // A clock set before 1970 counts as 1970: times are for people, order
        // comes from sequence numbers.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
    }

    fn thread_cpu_us(&self) -> u64 {
        hephaestus::meter::thread_cpu_us()
    }
}

/// The kernel's random bytes.
pub(crate) struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        if let Err(error) = getrandom::fill(bytes) {
            // Ids and salts without randomness would break what rests on them.
            tracing::error!(%error, "the machine gives no random bytes");
            std::process::abort();
        }
    }
}

/// Tokio's timer.
pub(crate) struct SystemTimer;

#[async_trait]
impl Timer for SystemTimer {
    async fn rest(&self, ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}
