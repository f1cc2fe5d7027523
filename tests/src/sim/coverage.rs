//! Which states and faults a simulation has reached.

use std::collections::BTreeMap;
use std::fmt;

/// How often each pair was reached, by table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<(Table, String), u64>);

/// What the pairs of a table are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// The state of a step, and the event that met it.
    Step,
    /// The state of an effect, and what recovery made of it.
    Recovery,
    /// A fault, and the call at which it happened.
    Fault,
}

impl Coverage {
    /// Counts a pair.
    pub fn reached(&mut self, table: Table, left: impl fmt::Display, right: impl fmt::Display) {
        let pair = format!("{left} × {right}");
        *self.0.entry((table, pair)).or_default() += 1;
    }

    /// How often a pair was reached.
    pub fn count(&self, table: Table, pair: &str) -> u64 {
        self.0.get(&(table, pair.to_owned())).copied().unwrap_or(0)
    }

    /// Adds what another run reached.
    pub fn add(&mut self, other: &Self) {
        for (pair, times) in &other.0 {
            *self.0.entry(pair.clone()).or_default() += times;
        }
    }

    /// The pairs of a table that must be reached and were not.
    pub fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for (table, pairs) in [(Table::Step, STEPS), (Table::Recovery, RECOVERIES)] {
            for pair in pairs {
                if self.count(table, pair) == 0 {
                    missing.push(format!("{table:?}: {pair}"));
                }
            }
        }
        for fault in super::fate::Fault::ALL {
            for port in super::fate::Port::ALL.into_iter().filter(|port| fault.fits(*port)) {
                let pair = format!("{fault:?} × {port:?}").to_lowercase();
                if self.count(Table::Fault, &pair) == 0 {
                    missing.push(format!("Fault: {pair}"));
                }
            }
        }
        missing
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for table in [Table::Step, Table::Recovery, Table::Fault] {
            let pairs = self.0.iter().filter(|((of, _), _)| *of == table);
            let pairs: Vec<String> =
                pairs.map(|((_, pair), times)| format!("{pair}: {times}")).collect();
            writeln!(f, "{table:?} ({}): {}", pairs.len(), pairs.join(", "))?;
        }
        Ok(())
    }
}

/// Step states and the events that must have met them.
const STEPS: &[&str] = &[
    "ready × step_claimed",
    "claimed × step_released",
    "claimed × step_expanded",
    "claimed × step_prepared",
    "claimed × step_parked",
    "claimed × step_finished",
    "claimed × step_failed",
    "claimed × step_died",
    "claimed × step_cancelled",
    "claimed × effect_intended",
    "claimed × effect_received",
    "claimed × effect_in_doubt",
    "dead × step_requeued",
    "dead × step_discarded",
];

/// Effects as recovery may find them under a later claim, and what it must have
/// made of them.
const RECOVERIES: &[&str] = &[
    "intended change × receive",
    "intended change × repeat",
    "intended safe × repeat",
    "intended keyed × repeat",
    "intended probe × receive",
    "intended probe × repeat",
    "intended probe × ask",
    "intended never × ask",
    "in doubt, happened × receive",
    "in doubt, not happened × repeat",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_that_was_never_reached_is_named() {
        let mut coverage = Coverage::default();
        coverage.reached(Table::Step, "ready", "step_claimed");
        let missing = coverage.missing();
        assert!(!missing.contains(&"Step: ready × step_claimed".to_owned()));
        assert!(missing.contains(&"Step: claimed × step_released".to_owned()));
    }
}
