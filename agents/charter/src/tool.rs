//! What a tool is, and the values that pass between a tool and the workers.
//!
//! A tool never changes anything by itself while it thinks: [`Prepared`] says
//! what it found and which [`Change`]s and [`Act`]s it proposes. That is also its
//! dry run. The worker records an intent for each, asks policy, and only then
//! has them carried out.

use crate::budget::Meter;
use crate::digest::Digest;
use crate::effect::{Change, EffectClass, Repeat, Target};
use crate::flow::Lane;
use crate::ids::Millis;
use crate::label::Label;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bounds of one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Milliseconds until the call is stopped.
    pub wall_ms: u64,
    /// Milliseconds of processor time of a program.
    pub cpu_ms: u64,
    /// Memory of a program, in MiB.
    pub memory_mb: u64,
    /// Bytes of output that are kept.
    pub output_bytes: u64,
    /// Tries before a transient failure becomes final.
    pub attempts: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wall_ms: 120_000,
            cpu_ms: 120_000,
            memory_mb: 2_048,
            output_bytes: 32 << 20,
            attempts: 3,
        }
    }
}

/// What a tool says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// Its name in plans.
    pub name: String,
    /// Raised when arguments, output or behaviour change.
    pub version: u32,
    /// One line for people and models.
    pub summary: String,
    /// The furthest that one call may reach. `exec` and beyond cover what its
    /// [`Act`] does; file changes are classed one by one.
    pub effect: EffectClass,
    /// JSON Schema (2020-12) of its arguments.
    pub args: Value,
    /// What its output holds, for the writers of plans.
    pub output: String,
    /// How the effect is undone, or why repeating it is safe.
    pub undo: String,
    /// Bounds of one call unless a plan sets lower ones.
    pub limits: Limits,
    /// Whether it asks the language model.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asks_model: bool,
}

impl ToolSpec {
    /// The lane of its calls.
    pub fn lane(&self) -> Lane {
        Lane::of(self.effect, self.asks_model)
    }

    /// The fields that [`Self::output`] names: the first word of every part of its
    /// first sentence, as in `files: [{path, bytes}] sorted, count`.
    pub fn fields(&self) -> Vec<String> {
        fields(&self.output)
    }
}

fn fields(output: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut depth = 0_usize;
    let mut parts = vec![String::new()];
    let mut characters = output.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            ',' | ';' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            '.' if depth == 0 && characters.peek().is_none_or(|c| c.is_whitespace()) => break,
            _ => {}
        }
        if let (0, Some(part)) = (depth, parts.last_mut()) {
            part.push(c);
        }
    }
    for part in parts {
        let word: String = part
            .trim_start()
            .chars()
            .take_while(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_')
            .collect();
        let is_name = word.starts_with(|c: char| c.is_ascii_lowercase());
        if is_name && word != "or" && !found.contains(&word) {
            found.push(word);
        }
    }
    found
}

/// A flag that asks running work to stop.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks everybody who holds a clone to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// One call of a tool, references resolved.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Call {
    /// Name of the tool.
    pub tool: String,
    /// Version of the tool.
    pub version: u32,
    /// Its arguments.
    pub args: Value,
    /// Trust and sensitivity of the arguments.
    pub label: Label,
    /// The folder that the mission works in. Absolute.
    pub workspace: PathBuf,
    /// Bounds.
    pub limits: Limits,
    /// Whether files that look like secrets may be read: policy decided, or a
    /// person approved.
    pub secrets_allowed: bool,
    /// When the mission began; tools that need "today" use this, never a clock.
    pub now: Millis,
    /// Asks the call to stop.
    #[serde(skip)]
    pub cancel: Cancel,
    /// Counts what it uses.
    #[serde(skip)]
    pub meter: Meter,
}

/// What a call found, and what it proposes to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prepared {
    /// The tool's output. For a call with an [`Act`], what is known before it.
    pub output: Value,
    /// Trust and sensitivity of the output.
    pub label: Label,
    /// File changes, each an effect of its own, each with what its paths hold now.
    pub changes: Vec<Proposed>,
    /// Something that only the tool itself can do.
    pub act: Option<Act>,
}

impl Prepared {
    /// An output and no effects.
    pub fn output(output: Value, label: Label) -> Self {
        Self { output, label, changes: Vec::new(), act: None }
    }
}

/// A proposed change and the state of its targets when it was proposed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposed {
    /// The change.
    pub change: Change,
    /// What its paths held, in the order of [`Change::paths`].
    pub before: Vec<Target>,
}

impl Proposed {
    /// Its class.
    pub fn class(&self) -> EffectClass {
        self.change.class(&self.before)
    }

    /// What its paths hold afterwards.
    pub fn expected(&self) -> Vec<Target> {
        self.change.expected(&self.before)
    }
}

/// An action that is no change of files: running a program, calling a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Act {
    /// How far it reaches.
    pub class: EffectClass,
    /// Whether it may be repeated when its outcome is unknown.
    pub repeat: Repeat,
    /// One line for the person who is asked.
    pub summary: String,
    /// Containment in force for a program, as [`SandboxLevel::as_str`] gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<SandboxLevel>,
    /// What the tool needs to carry it out.
    pub detail: Value,
}

/// How a program is contained on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SandboxLevel {
    /// Not at all: the program can do what the user can.
    None,
    /// Landlock, seccomp and rlimits, without namespaces; on a copy.
    Restricted,
    /// Namespaces (user, mount, pid, network), Landlock, seccomp, rlimits, and a
    /// private overlay.
    Full,
}

impl SandboxLevel {
    /// Its name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Restricted => "restricted",
            Self::Full => "full",
        }
    }
}

/// What came of an [`Act`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Acted {
    /// The tool's output.
    pub output: Value,
    /// Trust and sensitivity of the output.
    pub label: Label,
    /// Changes that came back from a sandbox and are declared outputs: effects
    /// still to be carried out.
    pub changes: Vec<Proposed>,
}

/// Whether an act with an unknown outcome happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "answer")]
pub enum Probe {
    /// It happened, with this outcome.
    Done {
        /// What came of it.
        acted: Acted,
    },
    /// It did not happen.
    NotDone,
    /// The target cannot tell.
    Unknown,
}

/// Why a call failed, so that the decision what to do next needs no prose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// No such tool, or another version of it.
    NoTool,
    /// The arguments do not fit the tool's schema.
    Arguments,
    /// A named file or folder does not exist.
    NotFound,
    /// A name that must be free is taken.
    Taken,
    /// The file system refuses.
    Permission,
    /// Outside the workspace, through a link or `..`.
    Outside,
    /// The input cannot be read as what it should be.
    Malformed,
    /// Larger than a bound.
    TooLarge,
    /// The targets changed after they were looked at.
    ChangedSince,
    /// Stopped by a time, processor or memory bound.
    Limit,
    /// Stopped because the mission was cancelled.
    Cancelled,
    /// The disk is full.
    DiskFull,
    /// The program could not be contained as asked.
    Sandbox,
    /// Anything else that may pass by itself.
    Transient,
    /// Anything else that will not.
    Permanent,
}

impl ErrorCode {
    /// Whether trying again may help.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Transient | Self::DiskFull | Self::ChangedSince)
    }
}

/// A failed call: what happened, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}{}", .hint.as_deref().map(|hint| format!(" ({hint})")).unwrap_or_default())]
pub struct ToolError {
    /// The kind.
    pub code: ErrorCode,
    /// What happened and why.
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl ToolError {
    /// An error of a kind.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    /// The same error with what to do about it.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// The running program of a step, so that a successor can make sure that it is
/// dead before it acts. A pid alone may have been given to another process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Where its pid means something: name of the machine, its boot, and its space of
    /// pids, so that pids of two machines or containers are never compared.
    pub host: String,
    /// Process id.
    pub pid: u32,
    /// Start time in clock ticks since boot (`/proc/PID/stat`, field 22).
    pub start: u64,
}

/// Idempotency key of an effect: SHA-256 of step digest, instance, ordinal and
/// expected outcome; the attempt is not in it.
pub fn effect_key(
    step: &crate::ids::StepKey,
    step_digest: &Digest,
    ordinal: u32,
    detail: &Digest,
) -> Digest {
    Digest::of_parts(&[
        step.to_string().as_bytes(),
        &step_digest.0,
        &ordinal.to_be_bytes(),
        &detail.0,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_of_outputs_name_their_fields() {
        let check = |output: &str, expect: &[&str]| assert_eq!(fields(output), expect);
        check(
            "files: [{path, bytes, modified}] sorted by path, count, bytes (total)",
            &["files", "count", "bytes"],
        );
        check(
            "rows: [{a}], or with duplicates [{b}] first; count, files (n. of them). Empty ones, not",
            &["rows", "count", "files"],
        );
        check(
            "kind (cargo, npm), test_command: [program and arguments]",
            &["kind", "test_command"],
        );
        check("", &[]);
        check("Nothing, really", &["really"]);
    }
}
