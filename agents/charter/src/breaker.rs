//! A circuit breaker: a server that failed several times in a row is left alone
//! for a while, so that callers hear at once what they would else wait for, and
//! the server is not called while it struggles to its feet.
//!
//! Pure: `now` is the time since anything fixed, by a clock that never goes back.
//! The driver asks [`Breaker::admit`] before each call and tells how it ended. A
//! call that was dropped before it ended need not be told of.

use std::time::Duration;

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerLimits {
    /// Failures in a row that open it; at least one.
    pub failures: u32,
    /// How long it refuses before a single call may probe.
    pub rest: Duration,
}

/// What a breaker does with calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Circuit {
    /// Calls pass.
    Closed,
    /// Calls are refused until then.
    Open {
        /// When a call may probe.
        until: Duration,
    },
    /// One call is on its way to see whether the server is back; others are refused.
    Probing {
        /// When it was let through.
        since: Duration,
    },
}

impl Circuit {
    /// One word, for a page of states.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open { .. } => "open",
            Self::Probing { .. } => "probing",
        }
    }
}

/// A call was refused without being tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it failed {failures} times in a row and is left alone; the next try is due in {} ms", wait.as_millis())]
pub struct Refused {
    /// Failures in a row so far.
    pub failures: u32,
    /// How long until a call may pass.
    pub wait: Duration,
}

/// Counts failures in a row and decides which calls pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    limits: BreakerLimits,
    circuit: Circuit,
    failures: u32,
}

impl Breaker {
    /// A closed breaker.
    pub const fn new(limits: BreakerLimits) -> Self {
        Self { limits, circuit: Circuit::Closed, failures: 0 }
    }

    /// What it does at the moment.
    pub fn circuit(&self) -> Circuit {
        self.circuit
    }

    /// Failures in a row so far.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether a call may pass now. While the breaker is open the first one after
    /// the rest passes as a probe; if no one tells how that ended, another passes
    /// after one more rest.
    pub fn admit(&mut self, now: Duration) -> Result<(), Refused> {
        let next = match self.circuit {
            Circuit::Closed => return Ok(()),
            Circuit::Open { until } => until,
            Circuit::Probing { since } => since.saturating_add(self.limits.rest),
        };
        if now < next {
            return Err(Refused { failures: self.failures, wait: next.saturating_sub(now) });
        }
        self.circuit = Circuit::Probing { since: now };
        Ok(())
    }

    /// A call was answered, be it with a refusal: the server is there.
    pub fn succeeded(&mut self) {
        self.failures = 0;
        self.circuit = Circuit::Closed;
    }

    /// A call failed. One that was under way since before the breaker opened does
    /// not lengthen the rest.
    pub fn failed(&mut self, now: Duration) {
        self.failures = self.failures.saturating_add(1);
        let opens = match self.circuit {
            Circuit::Closed => self.failures >= self.limits.failures,
            Circuit::Open { .. } => false,
            Circuit::Probing { .. } => true,
        };
        if opens {
            self.circuit = Circuit::Open { until: now.saturating_add(self.limits.rest) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);
    const LIMITS: BreakerLimits = BreakerLimits { failures: 3, rest: Duration::from_millis(100) };

    /// Plays `script` at one event per millisecond: `f` a call fails, `s` one
    /// succeeds, `?` one asks, `.` nothing, `z` a rest goes by. Answers what the
    /// asking calls heard: `+` passed, `-` refused.
    fn check(script: &str, expect: &str, circuit: &str) {
        let mut breaker = Breaker::new(LIMITS);
        let mut now = Duration::ZERO;
        let mut heard = String::new();
        for event in script.chars() {
            now += MS;
            match event {
                'f' => breaker.failed(now),
                's' => breaker.succeeded(),
                '?' => heard.push(if breaker.admit(now).is_ok() { '+' } else { '-' }),
                'z' => now += LIMITS.rest,
                _ => {}
            }
        }
        assert_eq!((heard.as_str(), breaker.circuit().as_str()), (expect, circuit), "{script}");
    }

    #[test]
    fn it_opens_at_the_limit_of_failures_in_a_row() {
        check("?f?f?", "+++", "closed");
        check("fff?", "-", "open");
        check("ffsff?", "+", "closed");
    }

    #[test]
    fn one_probe_passes_after_the_rest() {
        check("fffz?", "+", "probing");
        check("fffz??", "+-", "probing");
        check("fffz?s?", "++", "closed");
        check("fffz?f?", "+-", "open");
        check("fffz?fz?", "++", "probing");
    }

    #[test]
    fn a_probe_of_which_nothing_is_heard_is_followed_by_another() {
        check("fffz?z?", "++", "probing");
    }

    #[test]
    fn a_late_failure_does_not_lengthen_the_rest_and_a_late_success_ends_it() {
        let mut breaker = Breaker::new(LIMITS);
        for at in [0, 0, 0, 90] {
            breaker.failed(at * MS);
        }
        assert_eq!(breaker.circuit(), Circuit::Open { until: 100 * MS });
        assert_eq!(breaker.admit(40 * MS), Err(Refused { failures: 4, wait: 60 * MS }));
        check("fffs?", "+", "closed");
    }

    #[test]
    fn a_refusal_says_how_often_it_failed_and_when_it_is_tried_again() {
        let refused = Refused { failures: 5, wait: 800 * MS };
        assert_eq!(
            refused.to_string(),
            "it failed 5 times in a row and is left alone; the next try is due in 800 ms"
        );
    }

    proptest! {
        #[test]
        fn nobody_is_refused_for_longer_than_a_rest(script in "[fs?z.]{0,60}") {
            let mut breaker = Breaker::new(LIMITS);
            let mut now = Duration::ZERO;
            for event in script.chars() {
                now += MS;
                match event {
                    'f' => breaker.failed(now),
                    's' => breaker.succeeded(),
                    'z' => now += LIMITS.rest,
                    _ => {
                        let before = breaker;
                        match breaker.admit(now) {
                            Ok(()) => prop_assert!(
                                before.circuit() == Circuit::Closed || breaker.admit(now).is_err(),
                                "two probes at a time"
                            ),
                            Err(refused) => {
                                prop_assert!(refused.wait <= LIMITS.rest && !refused.wait.is_zero());
                                prop_assert!(refused.failures >= LIMITS.failures);
                                let mut later = breaker;
                                prop_assert!(later.admit(now + refused.wait).is_ok());
                            }
                        }
                    }
                }
            }
        }
    }
}
