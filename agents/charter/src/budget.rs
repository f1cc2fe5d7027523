//! What a mission may spend, and what it has spent.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
        // A working day. The time of their limits is kept free for steps that run: of the
        // usual limit, two minutes, 240 run side by side.
        let (wall_ms, cpu_ms) = (8 * 3_600_000, 8 * 3_600_000);
        Self { steps: 20_000, wall_ms, cpu_ms, bytes_written: 1 << 30 }
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
    /// Bytes that tools read of the user's files, and all that their programs read.
    #[serde(skip_serializing_if = "is_none")]
    pub bytes_read: u64,
    /// Most memory of a process that worked on it, while it did: the worker's own or
    /// a program's, in bytes.
    #[serde(skip_serializing_if = "is_none")]
    pub peak_bytes: u64,
    /// Tokens of the prompts of a language model.
    #[serde(skip_serializing_if = "is_none")]
    pub tokens_in: u64,
    /// Tokens that it answered with.
    #[serde(skip_serializing_if = "is_none")]
    pub tokens_out: u64,
}

/// What was not used is not written: older records lack these fields.
pub(crate) fn is_none(count: &u64) -> bool {
    *count == 0
}

impl Usage {
    /// Whether it has time in it.
    pub fn takes_time(&self) -> bool {
        self.wall_ms > 0 || self.cpu_ms > 0
    }

    /// Both together. Of memory, the larger: it is given back.
    pub fn plus(self, other: Self) -> Self {
        Self {
            steps: self.steps.saturating_add(other.steps),
            wall_ms: self.wall_ms.saturating_add(other.wall_ms),
            cpu_ms: self.cpu_ms.saturating_add(other.cpu_ms),
            bytes_written: self.bytes_written.saturating_add(other.bytes_written),
            bytes_read: self.bytes_read.saturating_add(other.bytes_read),
            peak_bytes: self.peak_bytes.max(other.peak_bytes),
            tokens_in: self.tokens_in.saturating_add(other.tokens_in),
            tokens_out: self.tokens_out.saturating_add(other.tokens_out),
        }
    }

    /// What is left without the other's part. Of memory, all: it was never added up.
    pub fn minus(self, other: Self) -> Self {
        Self {
            steps: self.steps.saturating_sub(other.steps),
            wall_ms: self.wall_ms.saturating_sub(other.wall_ms),
            cpu_ms: self.cpu_ms.saturating_sub(other.cpu_ms),
            bytes_written: self.bytes_written.saturating_sub(other.bytes_written),
            bytes_read: self.bytes_read.saturating_sub(other.bytes_read),
            peak_bytes: self.peak_bytes,
            tokens_in: self.tokens_in.saturating_sub(other.tokens_in),
            tokens_out: self.tokens_out.saturating_sub(other.tokens_out),
        }
    }

    /// Whether nothing was used.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |ms: u64| format!("{}.{:03} s", ms / 1_000, ms % 1_000);
        write!(f, "{} of processor time, {} at work", seconds(self.cpu_ms), seconds(self.wall_ms))?;
        let bytes = [
            ("of memory at most", self.peak_bytes),
            ("read", self.bytes_read),
            ("written", self.bytes_written),
        ];
        for (what, count) in bytes.into_iter().filter(|(_, count)| *count > 0) {
            write!(f, ", {} {what}", size(count))?;
        }
        if self.tokens_in > 0 || self.tokens_out > 0 {
            write!(f, ", {} tokens in and {} out", self.tokens_in, self.tokens_out)?;
        }
        Ok(())
    }
}

/// A number of bytes in the largest unit that it fills.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} bytes"),
        1_024..1_048_576 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

/// Counts what a piece of work uses while it runs. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    cpu_us: AtomicU64,
    bytes_read: AtomicU64,
    peak_bytes: AtomicU64,
    tokens_in: AtomicU64,
    tokens_out: AtomicU64,
}

impl Meter {
    /// Microseconds of processor time more.
    pub fn cpu(&self, us: u64) {
        self.0.cpu_us.fetch_add(us, Ordering::Relaxed);
    }

    /// Bytes more that were read.
    pub fn read(&self, bytes: u64) {
        self.0.bytes_read.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes of memory that were seen in use.
    pub fn memory(&self, bytes: u64) {
        self.0.peak_bytes.fetch_max(bytes, Ordering::Relaxed);
    }

    /// Tokens of a prompt and of its answer more.
    pub fn tokens(&self, prompt: u64, answer: u64) {
        self.0.tokens_in.fetch_add(prompt, Ordering::Relaxed);
        self.0.tokens_out.fetch_add(answer, Ordering::Relaxed);
    }

    /// Microseconds of processor time so far.
    pub fn cpu_us(&self) -> u64 {
        self.0.cpu_us.load(Ordering::Relaxed)
    }

    /// All of it so far. Steps, working time and what was written others count.
    pub fn usage(&self) -> Usage {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        Usage {
            cpu_ms: self.cpu_us() / 1_000,
            bytes_read: count(&self.0.bytes_read),
            peak_bytes: count(&self.0.peak_bytes),
            tokens_in: count(&self.0.tokens_in),
            tokens_out: count(&self.0.tokens_out),
            ..Usage::default()
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

    #[test]
    fn memory_is_given_back_and_the_rest_adds_up() {
        let one = Usage { peak_bytes: 7, bytes_read: 1, tokens_out: 2, ..Usage::default() };
        let other = Usage { peak_bytes: 5, bytes_read: 3, tokens_out: 4, ..Usage::default() };
        let both = Usage { peak_bytes: 7, bytes_read: 4, tokens_out: 6, ..Usage::default() };
        assert_eq!(one.plus(other), both);
    }

    #[test]
    fn a_record_of_before_is_written_as_it_was() {
        let older = r#"{"steps":1,"wall_ms":2,"cpu_ms":3,"bytes_written":4}"#;
        let usage: Usage = serde_json::from_str(older).unwrap();
        assert_eq!(serde_json::to_string(&usage).unwrap(), older);
    }

    #[test]
    fn clones_of_a_meter_count_together() {
        let meter = Meter::default();
        let clone = meter.clone();
        clone.cpu(1_999);
        meter.memory(9);
        clone.memory(4);
        clone.tokens(5, 6);
        let expected =
            Usage { cpu_ms: 1, peak_bytes: 9, tokens_in: 5, tokens_out: 6, ..Usage::default() };
        assert_eq!(meter.usage(), expected);
    }

    #[test]
    fn what_was_used_is_told_in_words() {
        let check = |usage: Usage, expected: &str| assert_eq!(usage.to_string(), expected);
        check(Usage::default(), "0.000 s of processor time, 0.000 s at work");
        let usage = Usage {
            cpu_ms: 2_034,
            wall_ms: 61_500,
            peak_bytes: 3 << 20,
            bytes_read: 2_048,
            bytes_written: 12,
            tokens_out: 3,
            ..Usage::default()
        };
        check(
            usage,
            "2.034 s of processor time, 61.500 s at work, 3 MiB of memory at most, 2 KiB read, \
             12 bytes written, 0 tokens in and 3 out",
        );
    }
}
