//! A circuit breaker: a server that failed several times in a row is left alone
//! for a while, so that callers hear at once what they would else wait for, and
//! the server is not called while it struggles to its feet. Each try in vain
//! doubles the while, up to a bound.
//!
//! Pure: `now` is the time since anything fixed, by a clock that never goes back.
//! The driver asks [`Breaker::admit`] before each call and hands the [`Pass`] back
//! with how it ended. A call that was dropped before it ended need not be told of.

use serde::Serialize;
use std::time::Duration;

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerLimits {
    /// Failures in a row that open it; at least one.
    pub failures: u32,
    /// How long it refuses at first before a single call may probe.
    pub rest: Duration,
    /// How long at most.
    pub rest_max: Duration,
}

/// What a breaker does with calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Circuit {
    /// Calls pass.
    Closed,
    /// Calls are refused.
    Open,
    /// One call is on its way to see whether the server is back; others are refused.
    Probing,
}

impl Circuit {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::Probing => "probing",
        }
    }
}

/// How a server answers, for whoever asks what works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// What becomes of calls.
    pub circuit: Circuit,
    /// For how long it has been closed, or not.
    pub lasting: Duration,
    /// Failures in a row so far.
    pub failures: u32,
    /// Why the last call failed, unless one was answered since.
    pub why: Option<String>,
}

impl Health {
    /// Whether calls pass.
    pub fn is_closed(&self) -> bool {
        self.circuit == Circuit::Closed
    }

    /// Whether the last call was answered.
    pub fn is_well(&self) -> bool {
        self.failures == 0
    }
}

/// A call was refused without being tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it failed {failures} times in a row ({why}) and is left alone; the next try is due in {} ms", wait.as_millis())]
pub struct Refused {
    /// Failures in a row so far.
    pub failures: u32,
    /// How long until a call may pass.
    pub wait: Duration,
    /// Why the last one failed.
    pub why: String,
}

/// A right to call, to be handed back with what came of it.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Pass {
    /// How often the breaker had opened by then.
    opened: u64,
}

/// Counts failures in a row and decides which calls pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breaker {
    limits: BreakerLimits,
    circuit: Circuit,
    /// Since when it is closed, or is not.
    since: Duration,
    /// When the next call may probe, unless closed.
    next: Duration,
    rest: Duration,
    failures: u32,
    opened: u64,
    why: Option<String>,
}

impl Breaker {
    /// A closed breaker.
    pub const fn new(limits: BreakerLimits) -> Self {
        Self {
            limits,
            circuit: Circuit::Closed,
            since: Duration::ZERO,
            next: Duration::ZERO,
            rest: limits.rest,
            failures: 0,
            opened: 0,
            why: None,
        }
    }

    /// How the server answers.
    pub fn health(&self, now: Duration) -> Health {
        Health {
            circuit: self.circuit,
            lasting: now.saturating_sub(self.since),
            failures: self.failures,
            why: self.why.clone(),
        }
    }

    /// Whether [`Self::admit`] would let a call through.
    pub fn admits(&self, now: Duration) -> bool {
        self.circuit == Circuit::Closed || now >= self.next
    }

    /// Whether a call may pass now. While the breaker is open the first one after
    /// the rest passes as a probe; if no one tells how that ended, another passes
    /// after one more rest.
    pub fn admit(&mut self, now: Duration) -> Result<Pass, Refused> {
        if !self.admits(now) {
            return Err(Refused {
                failures: self.failures,
                wait: self.next.saturating_sub(now),
                why: self.why.clone().unwrap_or_else(|| "no reason given".to_owned()),
            });
        }
        if self.circuit != Circuit::Closed {
            self.circuit = Circuit::Probing;
            self.next = now.saturating_add(self.rest);
        }
        Ok(Pass { opened: self.opened })
    }

    /// A call was answered, be it with a refusal: the server is there. The answer to
    /// a call of before the breaker opened says nothing of the server as it is now.
    pub fn succeeded(&mut self, pass: Pass, now: Duration) {
        if pass.opened != self.opened {
            return;
        }
        if self.circuit != Circuit::Closed {
            self.circuit = Circuit::Closed;
            self.since = now;
        }
        self.failures = 0;
        self.rest = self.limits.rest;
        self.why = None;
    }

    /// A call failed. One of before the breaker opened does not lengthen the rest.
    pub fn failed(&mut self, pass: Pass, why: String, now: Duration) {
        self.failures = self.failures.saturating_add(1);
        self.why = Some(why);
        let is_late = pass.opened != self.opened;
        match self.circuit {
            Circuit::Closed if self.failures >= self.limits.failures => self.since = now,
            Circuit::Probing if !is_late => {
                self.rest = self.rest.saturating_mul(2).min(self.limits.rest_max);
            }
            _ => return,
        }
        self.circuit = Circuit::Open;
        self.next = now.saturating_add(self.rest);
        self.opened += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    const MS: Duration = Duration::from_millis(1);
    const LIMITS: BreakerLimits = BreakerLimits {
        failures: 3,
        rest: Duration::from_millis(100),
        rest_max: Duration::from_millis(400),
    };

    /// A breaker and the calls that are under way, oldest first.
    struct Play {
        breaker: Breaker,
        now: Duration,
        passes: VecDeque<Pass>,
        heard: String,
    }

    impl Play {
        fn new() -> Self {
            Self {
                breaker: Breaker::new(LIMITS),
                now: Duration::ZERO,
                passes: VecDeque::new(),
                heard: String::new(),
            }
        }

        /// One event per millisecond: `?` one asks, `f` and `s` the oldest call under
        /// way fails or succeeds, `z` a rest goes by, `.` nothing.
        fn event(&mut self, event: char) {
            self.now += MS;
            match event {
                'f' => {
                    if let Some(pass) = self.passes.pop_front() {
                        self.breaker.failed(pass, "gone".to_owned(), self.now);
                    }
                }
                's' => {
                    if let Some(pass) = self.passes.pop_front() {
                        self.breaker.succeeded(pass, self.now);
                    }
                }
                '?' => match self.breaker.admit(self.now) {
                    Ok(pass) => {
                        self.passes.push_back(pass);
                        self.heard.push('+');
                    }
                    Err(_) => self.heard.push('-'),
                },
                'z' => self.now += LIMITS.rest,
                _ => {}
            }
        }
    }

    /// Plays `script`; compares what the asking calls heard, and the circuit.
    fn check(script: &str, expect: &str, circuit: &str) {
        let mut play = Play::new();
        script.chars().for_each(|event| play.event(event));
        let health = play.breaker.health(play.now);
        assert_eq!((play.heard.as_str(), health.circuit.as_str()), (expect, circuit), "{script}");
    }

    #[test]
    fn it_opens_at_the_limit_of_failures_in_a_row() {
        check("?f?f?", "+++", "closed");
        check("?f?f?f?", "+++-", "open");
        check("?f?f?s?f?f?", "++++++", "closed");
    }

    #[test]
    fn one_probe_passes_after_the_rest() {
        check("???fffz?", "++++", "probing");
        check("???fffz??", "++++-", "probing");
        check("???fffz?s?", "+++++", "closed");
        check("???fffz?f?", "++++-", "open");
    }

    #[test]
    fn a_probe_in_vain_doubles_the_rest_up_to_the_bound() {
        check("???fffz?fz?", "++++-", "open");
        check("???fffz?fzz?", "+++++", "probing");
        check("???fffz?fzz?fzzz?", "+++++-", "open");
        check("???fffz?fzz?fzzzz?fzzzz?", "+++++++", "probing");
        check("???fffz?fzz?s???fffz?", "+++++++++", "probing");
    }

    #[test]
    fn a_probe_of_which_nothing_is_heard_is_followed_by_another() {
        check("???fffz?z?", "+++++", "probing");
    }

    #[test]
    fn who_asked_before_it_opened_neither_closes_it_nor_lengthens_the_rest() {
        check("????fffs?", "++++-", "open");
        check("????fff.fz?", "+++++", "probing");
        check("????fffz?sf?", "+++++-", "open");
    }

    #[test]
    fn how_it_stands_is_told_with_the_reason_and_since_when() {
        let mut play = Play::new();
        "???fff".chars().for_each(|event| play.event(event));
        let health = play.breaker.health(20 * MS);
        let why = Some("gone".to_owned());
        assert_eq!(health, Health { circuit: Circuit::Open, lasting: 14 * MS, failures: 3, why });
        assert_eq!(
            play.breaker.admit(40 * MS).unwrap_err().to_string(),
            "it failed 3 times in a row (gone) and is left alone; the next try is due in 66 ms"
        );
        "z?s".chars().for_each(|event| play.event(event));
        let health = play.breaker.health(play.now + 5 * MS);
        assert_eq!(
            health,
            Health { circuit: Circuit::Closed, lasting: 5 * MS, failures: 0, why: None }
        );
    }

    proptest! {
        #[test]
        fn nobody_is_refused_for_longer_than_the_longest_rest(script in "[fs?z.]{0,60}") {
            let mut play = Play::new();
            for event in script.chars() {
                play.event(event);
                let mut later = play.breaker.clone();
                match later.admit(play.now) {
                    Ok(_) => prop_assert!(
                        later.health(play.now).is_closed() || later.admit(play.now).is_err(),
                        "two probes at a time"
                    ),
                    Err(refused) => {
                        prop_assert!(refused.wait <= LIMITS.rest_max && !refused.wait.is_zero());
                        prop_assert!(refused.failures >= LIMITS.failures);
                        prop_assert!(later.admit(play.now + refused.wait).is_ok());
                    }
                }
            }
        }
    }
}
