//! Spares a database that does not answer, and those who ask it: after several
//! failures in a row questions fail at once for a while, then one at a time tries
//! whether it is back. A value; whoever holds it says what time it is.

use charter::ids::Millis;
use serde::Serialize;
use std::time::{Duration, Instant};

/// Failures in a row after which nobody asks for a while.
const FAILURES_MAX: u32 = 5;
/// The first such while; each failed try doubles it.
const REST_MIN: Duration = Duration::from_millis(250);
/// The longest.
const REST_MAX: Duration = Duration::from_secs(5);

/// Whether questions are let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Circuit {
    /// All of them.
    Closed,
    /// None: the database failed several times in a row.
    Open,
    /// One at a time, to see whether it is back.
    HalfOpen,
}

/// How a database answers, for whoever asks whether Alma is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// Whether questions are let through.
    pub circuit: Circuit,
    /// Since when.
    pub since: Millis,
    /// The last failure, unless all is well.
    pub why: Option<String>,
}

/// A right to ask; to be handed back with what came of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pass {
    probe: bool,
}

#[derive(Debug)]
pub(crate) struct Breaker {
    circuit: Circuit,
    since: Millis,
    why: Option<String>,
    failures: u32,
    rest: Duration,
    /// When the next one may try.
    again: Option<Instant>,
    probing: bool,
}

impl Breaker {
    pub(crate) fn new(at: Millis) -> Self {
        Self {
            circuit: Circuit::Closed,
            since: at,
            why: None,
            failures: 0,
            rest: REST_MIN,
            again: None,
            probing: false,
        }
    }

    /// Lets a question through, or says why not.
    pub(crate) fn admit(&mut self, now: Instant, at: Millis) -> Result<Pass, String> {
        match self.again {
            None => Ok(Pass { probe: false }),
            Some(again) if now >= again && !self.probing => {
                self.probing = true;
                self.turn(Circuit::HalfOpen, at);
                Ok(Pass { probe: true })
            }
            Some(_) => Err(format!(
                "PostgreSQL failed {} times in a row ({}); it is tried again within {} seconds",
                self.failures,
                self.why.as_deref().unwrap_or("no reason given"),
                REST_MAX.as_secs()
            )),
        }
    }

    /// An answer came.
    pub(crate) fn succeeded(&mut self, pass: Pass, at: Millis) {
        if self.again.is_some() && !pass.probe {
            return;
        }
        self.turn(Circuit::Closed, at);
        *self = Self { since: self.since, ..Self::new(at) };
    }

    /// None came.
    pub(crate) fn failed(&mut self, pass: Pass, why: String, now: Instant, at: Millis) {
        self.failures = self.failures.saturating_add(1);
        self.why = Some(why);
        if pass.probe {
            self.probing = false;
            self.rest = (self.rest * 2).min(REST_MAX);
        }
        if pass.probe || (self.again.is_none() && self.failures >= FAILURES_MAX) {
            self.turn(Circuit::Open, at);
            self.again = Some(now + self.rest);
        }
    }

    /// Nobody waited for the answer.
    pub(crate) fn abandoned(&mut self, pass: Pass, at: Millis) {
        if pass.probe {
            self.probing = false;
            self.turn(Circuit::Open, at);
        }
    }

    fn turn(&mut self, circuit: Circuit, at: Millis) {
        if self.circuit != circuit {
            (self.circuit, self.since) = (circuit, at);
        }
    }

    pub(crate) fn health(&self) -> Health {
        Health { circuit: self.circuit, since: self.since, why: self.why.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn down(now: Instant) -> Breaker {
        let mut breaker = Breaker::new(0);
        for _ in 0..FAILURES_MAX {
            let pass = breaker.admit(now, 1).unwrap();
            breaker.failed(pass, "gone".into(), now, 1);
        }
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_only() {
        let now = Instant::now();
        let mut breaker = Breaker::new(0);
        for _ in 0..3 {
            for _ in 1..FAILURES_MAX {
                let pass = breaker.admit(now, 1).unwrap();
                breaker.failed(pass, "gone".into(), now, 1);
            }
            let pass = breaker.admit(now, 1).unwrap();
            breaker.succeeded(pass, 1);
        }
        assert_eq!(breaker.health(), Health { circuit: Circuit::Closed, since: 0, why: None });
        let mut breaker = down(now);
        let why = Some("gone".to_owned());
        assert_eq!(breaker.health(), Health { circuit: Circuit::Open, since: 1, why });
        let refused = breaker.admit(now, 2).unwrap_err();
        assert!(refused.contains("5 times in a row (gone)"), "{refused}");
    }

    #[test]
    fn one_at_a_time_tries_whether_it_is_back() {
        let now = Instant::now();
        let mut breaker = down(now);
        let later = now + REST_MIN;
        let probe = breaker.admit(later, 5).unwrap();
        assert_eq!(breaker.health().circuit, Circuit::HalfOpen);
        assert!(breaker.admit(later, 5).is_err());
        breaker.failed(probe, "still gone".into(), later, 6);
        assert_eq!(breaker.health().circuit, Circuit::Open);
        // It waits longer now.
        assert!(breaker.admit(later + REST_MIN, 7).is_err());
        let probe = breaker.admit(later + REST_MIN * 2, 8).unwrap();
        breaker.succeeded(probe, 9);
        assert_eq!(breaker.health(), Health { circuit: Circuit::Closed, since: 9, why: None });
        assert!(breaker.admit(now, 10).is_ok());
    }

    #[test]
    fn waiting_is_bounded_and_a_lost_try_is_no_answer() {
        let mut now = Instant::now();
        let mut breaker = down(now);
        for _ in 0..20 {
            now += REST_MAX;
            let probe = breaker.admit(now, 1).unwrap();
            breaker.failed(probe, "gone".into(), now, 1);
        }
        assert_eq!(breaker.rest, REST_MAX);
        now += REST_MAX;
        let probe = breaker.admit(now, 1).unwrap();
        breaker.abandoned(probe, 2);
        assert!(breaker.admit(now, 1).is_ok());
    }

    #[test]
    fn who_asked_before_it_opened_does_not_close_it() {
        let now = Instant::now();
        let mut breaker = Breaker::new(0);
        let early = breaker.admit(now, 1).unwrap();
        for _ in 0..FAILURES_MAX {
            let pass = breaker.admit(now, 1).unwrap();
            breaker.failed(pass, "gone".into(), now, 1);
        }
        breaker.succeeded(early, 2);
        assert_eq!(breaker.health().circuit, Circuit::Open);
    }
}
