//! How long to wait before trying again.

use std::time::Duration;

/// The longest wait after the first failure; it doubles with each further one.
const FIRST: Duration = Duration::from_millis(50);
/// The longest wait of all. Short beside a lease, so that what was lost in an
/// outage is back on the queue within one.
pub(crate) const LONGEST: Duration = Duration::from_secs(2);

/// How long to wait after `failures` in a row: drawn evenly between nothing and a
/// limit that doubles (full jitter), so that processes which lost the same server
/// do not return in step.
pub(crate) fn backoff(failures: u32, random: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let limit = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    limit.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_limit_doubles_up_to_the_longest_wait() {
        for (failures, limit) in
            [(0, 50), (1, 50), (2, 100), (4, 400), (7, 2_000), (u32::MAX, 2_000)]
        {
            assert_eq!(backoff(failures, u32::MAX), Duration::from_millis(limit), "{failures}");
            assert_eq!(backoff(failures, 0), Duration::ZERO);
        }
    }

    proptest! {
        #[test]
        fn a_larger_draw_waits_longer(failures: u32, random: u32) {
            let pause = backoff(failures, random);
            prop_assert!(pause <= LONGEST);
            prop_assert!(pause <= backoff(failures, random.saturating_add(1)));
        }
    }
}
