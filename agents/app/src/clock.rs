//! The time of an installation on several machines: that of the record's server. What
//! one machine dates another judges, such as when a claim runs out, so all of them go
//! by one clock, however their own are set.

use crate::system::SystemClock;
use alma::operations::doctor::{Finding, Level};
use charter::ids::Millis;
use charter::ports::{Clock, LedgerError};
use ledger::PgLedger;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How often the server is asked: clocks of machines drift apart by seconds a day.
const ASK_EVERY: Duration = Duration::from_secs(10);
/// An answer that took longer says too little.
const TRIP_MAX: Duration = Duration::from_secs(1);
/// How far a machine's own clock may be off before a person is told, in milliseconds.
const OFF_MAX_MS: u64 = 2_000;

/// Counts on from what the server said last, by a clock that nobody sets.
#[derive(Debug)]
pub(crate) struct ServerClock {
    origin: Instant,
    /// What the server's clock showed at the origin.
    at_origin: AtomicI64,
}

impl ServerClock {
    /// Shows this machine's time until the server is asked.
    pub(crate) fn new() -> Self {
        Self { origin: Instant::now(), at_origin: AtomicI64::new(SystemClock.now()) }
    }

    /// Asks the server now, and from now on for as long as there is a ledger.
    pub(crate) async fn follow(self: Arc<Self>, ledger: &Arc<PgLedger>) -> Result<(), LedgerError> {
        self.ask(ledger).await?;
        let (clock, ledger) = (self, Arc::downgrade(ledger));
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(ASK_EVERY).await;
                let Some(ledger) = Weak::upgrade(&ledger) else { return };
                if let Err(error) = clock.ask(&ledger).await {
                    tracing::debug!(%error, "the time is counted on: the server does not tell it");
                }
            }
        });
        Ok(())
    }

    async fn ask(&self, ledger: &PgLedger) -> Result<(), LedgerError> {
        let asked = self.origin.elapsed();
        let told = ledger.time().await?;
        if let Some(at_origin) = at_origin(asked, told, self.origin.elapsed()) {
            self.at_origin.store(at_origin, Ordering::SeqCst);
        }
        Ok(())
    }

    /// What `alma doctor` says of this machine's own clock.
    pub(crate) fn finding(&self) -> Finding {
        let off = SystemClock.now() - self.now();
        let seconds = off.unsigned_abs().div_ceil(1_000);
        let (level, detail) = match off {
            _ if off.unsigned_abs() <= OFF_MAX_MS => {
                (Level::Good, "goes with that of the record's server".to_owned())
            }
            1.. => (Level::Notice, format!("{seconds} seconds ahead of the record's server")),
            _ => (Level::Notice, format!("{seconds} seconds behind the record's server")),
        };
        Finding {
            what: "clock".to_owned(),
            level,
            detail,
            fix: (level != Level::Good).then(|| {
                "Alma goes by the server's clock; have NTP set those of both machines".to_owned()
            }),
        }
    }
}

impl Clock for ServerClock {
    fn now(&self) -> Millis {
        let since = Millis::try_from(self.origin.elapsed().as_millis()).unwrap_or(Millis::MAX);
        self.at_origin.load(Ordering::SeqCst).saturating_add(since)
    }

    fn thread_cpu_us(&self) -> u64 {
        SystemClock.thread_cpu_us()
    }
}

/// What the server's clock showed at the origin, given when it was asked, what it said,
/// and when that was heard. It is taken to have looked half way.
fn at_origin(asked: Duration, told: Millis, heard: Duration) -> Option<Millis> {
    let trip = heard.checked_sub(asked).filter(|trip| *trip <= TRIP_MAX)?;
    let looked = Millis::try_from((asked + trip / 2).as_millis()).ok()?;
    told.checked_sub(looked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_taken_to_have_looked_half_way() {
        let ms = Duration::from_millis;
        let check = |asked, told, heard, expect| {
            assert_eq!(at_origin(ms(asked), told, ms(heard)), expect, "{asked} {told} {heard}");
        };
        check(0, 50_000, 0, Some(50_000));
        check(100, 50_000, 300, Some(49_800));
        check(7_000, 5_000, 7_000, Some(-2_000));
        // It took too long, or time went backwards.
        check(0, 50_000, 1_001, None);
        check(10, 50_000, 9, None);
    }

    fn found(ahead: Millis) -> (Level, String) {
        let clock = ServerClock::new();
        clock.at_origin.fetch_sub(ahead, Ordering::SeqCst);
        let Finding { level, detail, .. } = clock.finding();
        (level, detail)
    }

    #[test]
    fn a_clock_that_is_far_off_is_told() {
        assert_eq!(found(0).0, Level::Good);
        assert_eq!(found(-1_000).0, Level::Good);
        let (level, detail) = found(60_000);
        assert!(level == Level::Notice && detail.ends_with("seconds ahead of the record's server"));
        let (level, detail) = found(-60_000);
        assert!(level == Level::Notice && detail.ends_with("seconds behind the record's server"));
    }
}
