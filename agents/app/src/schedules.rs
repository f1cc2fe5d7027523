//! Schedules, as the leader keeps them: due times are taken when
//! they come.

use alma::Alma;
use alma::schedules::take_due;
use charter::ids::Millis;
use std::time::Duration;

/// Due times are whole minutes.
const MINUTE_MS: Millis = 60_000;
/// Wait after a look that failed.
const AGAIN: Duration = Duration::from_secs(5);

/// Takes due times until it is dropped. It looks at the beginning, for those that
/// were missed, and at each full minute of the clock: so a schedule that anybody
/// makes is seen in time, and a clock that jumps, or a machine that slept, is
/// noticed within a minute.
pub(crate) async fn keep(alma: &Alma) {
    loop {
        match take_due(alma).await {
            Ok(0) => {}
            Ok(taken) => tracing::debug!(taken, "due times were taken"),
            Err(error) => {
                let error = surfaces::cli::exit::chain(&error);
                tracing::warn!(error, "could not take due times");
                tokio::time::sleep(AGAIN).await;
                continue;
            }
        }
        tokio::time::sleep(until_next_minute(alma.ports.clock.now())).await;
    }
}

/// How long until the next full minute: a minute at most.
fn until_next_minute(now: Millis) -> Duration {
    Duration::from_millis((MINUTE_MS - now.rem_euclid(MINUTE_MS)).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_minute_is_never_now_and_never_far() {
        for (now, wait) in [(0, 60_000), (1, 59_999), (59_999, 1), (60_000, 60_000), (-1, 1)] {
            assert_eq!(until_next_minute(now), Duration::from_millis(wait));
        }
    }
}
