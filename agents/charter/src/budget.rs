//! What a mission may spend, and what it has spent.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Upper bounds of one mission. Checked before spending; a mission that would
/// pass one stops early and says which (`partial`).
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// Steps and instances started, retries included.
    pub steps: u64,
    /// Milliseconds of working time, waiting for a person excluded.
    pub wall_ms: u64,
    /// Milliseconds of processor time of tools and their children.
    pub cpu_ms: u64,
    /// Bytes written to the user's files.
    pub bytes_written: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { steps: 20_000, wall_ms: 3_600_000, cpu_ms: 3_600_000, bytes_written: 1 << 30 }
    }
}

/// Resources used by a step or a mission.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Steps and instances started.
    pub steps: u64,
    /// Milliseconds of working time.
    pub wall_ms: u64,
    /// Milliseconds of processor time.
    pub cpu_ms: u64,
    /// Bytes written to the user's files.
    pub bytes_written: u64,
}

impl Usage {
    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            steps: self.steps.saturating_add(other.steps),
            wall_ms: self.wall_ms.saturating_add(other.wall_ms),
            cpu_ms: self.cpu_ms.saturating_add(other.cpu_ms),
            bytes_written: self.bytes_written.saturating_add(other.bytes_written),
        }
    }
}

/// The bound that was reached.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Steps started.
    Steps,
    /// Working time.
    WallMs,
    /// Processor time.
    CpuMs,
    /// Bytes written.
    BytesWritten,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Steps => "steps",
            Self::WallMs => "wall_ms",
            Self::CpuMs => "cpu_ms",
            Self::BytesWritten => "bytes_written",
        })
    }
}

impl Budget {
    /// The first bound that `spent` passes, if any.
    pub fn exceeded(&self, spent: &Usage) -> Option<Limit> {
        [
            (spent.steps > self.steps, Limit::Steps),
            (spent.wall_ms > self.wall_ms, Limit::WallMs),
            (spent.cpu_ms > self.cpu_ms, Limit::CpuMs),
            (spent.bytes_written > self.bytes_written, Limit::BytesWritten),
        ]
        .into_iter()
        .find_map(|(over, limit)| over.then_some(limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_spent_only_beyond_its_bound() {
        let budget = Budget { steps: 2, ..Budget::default() };
        let spent = Usage { steps: 2, ..Usage::default() };
        assert_eq!(budget.exceeded(&spent), None);
        let more = spent.plus(Usage { steps: 1, ..Usage::default() });
        assert_eq!(budget.exceeded(&more), Some(Limit::Steps));
    }
}
