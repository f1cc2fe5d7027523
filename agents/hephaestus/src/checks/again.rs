//! What a program printed, nobody but its run can tell; so the program is run
//! again. That is safe where it is fully contained: it reaches nothing but a
//! private view that is thrown away.
//!
//! One run that does the same proves what was told. If it does not, a second one
//! decides: what two runs agree on is what the program does, and what they do
//! not agree on varies by itself and is no lie.

use super::{Finding, field, short, verdict};
use crate::args::parse;
use crate::sandbox::{Bound, End, Job, Sandbox, Taken};
use crate::tool::PAYLOAD_MAX;
use crate::tools::run::{Args, outcome, outputs};
use crate::workspace::{Workspace, paths};
use charter::check::{Subject, Verdict};
use charter::effect::Change;
use charter::tool::{Cancel, Limits, SandboxLevel};
use regex::{Captures, Regex};
use serde_json::Value;
use std::borrow::Cow;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::LazyLock;

/// Milliseconds that a program may take to be run again, each time.
const AGAIN_WALL_MS: u64 = 60_000;
/// Milliseconds of processor time that it may take.
const AGAIN_CPU_MS: u64 = 120_000;
/// Milliseconds by which a file system's clock may lag behind.
const TICK_MS: i64 = 10;
/// Most files that are looked at for what changed meanwhile.
const LOOKED_AT_MAX: usize = 200_000;

/// Runs the program of a result again and compares.
pub(super) fn check(
    subject: &Subject,
    workspace: &Workspace,
    sandbox: Option<&Sandbox>,
    cancel: &Cancel,
) -> Verdict {
    verdict(
        "run-again",
        "the program, run again, prints and keeps the same (but for how long it takes)",
        found(subject, workspace, sandbox, cancel),
    )
}

fn found(
    subject: &Subject,
    workspace: &Workspace,
    sandbox: Option<&Sandbox>,
    cancel: &Cancel,
) -> Result<String, Finding> {
    let unsure = |why: &str| Err(Finding::Unsure(why.to_owned()));
    let Some(sandbox) = sandbox else {
        return unsure("there is no sandbox to run the program in again");
    };
    if sandbox.level() != SandboxLevel::Full {
        return unsure(
            "programs are not fully contained on this machine, so it was not run again; \
             nothing else shows what it printed",
        );
    }
    let args: Args = parse(&subject.args)?;
    let again = || run(subject, &args, workspace, sandbox, cancel);
    let told = &subject.output;
    let (first, kept) = again()?;
    for name in ["program", "ok", "sandbox"] {
        if field(told, name).is_err() {
            return Err(Finding::Wrong(format!("the output has no {name:?}")));
        }
    }
    let differs = FIELDS.iter().find(|name| !is_same(told, &first, name));
    if subject.changes.is_empty() && kept.changes.is_empty() && differs.is_none() {
        return Ok("run again: the same".to_owned());
    }
    if !subject.changes.is_empty() {
        if let Some(name) = differs {
            return Err(Finding::Unsure(format!(
                "run again over the kept files it gives another {name:?}; \
                 whether that is because of them is unknown"
            )));
        }
        return kept_again(subject, &kept);
    }
    let (second, kept_second) = again()?;
    let (one, other) = (changed(&kept), changed(&kept_second));
    if one != other {
        return unsure("run twice again, it keeps other files each time");
    }
    let mut wrong = one
        .first()
        .map(|change| format!("nothing is told to be kept; run again, twice, it would {change}"));
    let mut doubts = Vec::new();
    for name in FIELDS {
        match judge(told, &first, &second, name) {
            Judged::Same => {}
            // Files that are dropped are named as programs please.
            Judged::Varies if name == "dropped" => {}
            Judged::Varies => doubts.push(format!("{name:?} is another one in each run")),
            Judged::Unclear => doubts.push(format!(
                "{name:?} differs from what is told in times, numbers of processes, addresses, \
                 temporary names or the order of lines"
            )),
            Judged::Wrong(why) => wrong = wrong.or(Some(why)),
        }
    }
    if let Some(why) = wrong {
        return Err(match changed_since(subject, workspace) {
            None => Finding::Wrong(why),
            Some(path) => Finding::Unsure(format!(
                "{why}; but {path:?} changed after the step began, which may be why"
            )),
        });
    }
    if doubts.is_empty() {
        return Ok("run twice again: the same but for what varies by itself".to_owned());
    }
    Err(Finding::Unsure(doubts.join("; ")))
}

/// What is compared.
const FIELDS: [&str; 9] =
    ["program", "sandbox", "exit", "ok", "signal", "truncated", "stdout", "stderr", "dropped"];

/// The program once more, over a private view of the workspace as it is now.
fn run(
    subject: &Subject,
    args: &Args,
    workspace: &Workspace,
    sandbox: &Sandbox,
    cancel: &Cancel,
) -> Result<(Value, Taken), Finding> {
    let cwd = paths::normal(&args.cwd)?;
    let level = SandboxLevel::Full;
    let limits = Limits { wall_ms: AGAIN_WALL_MS, cpu_ms: AGAIN_CPU_MS, ..Limits::default() };
    let job = Job {
        argv: &args.program,
        workspace: &subject.workspace,
        cwd: &cwd,
        env: &args.env,
        limits: &limits,
        level,
        meter: &subject.meter,
    };
    let ran = sandbox
        .run(&job, cancel, &mut |_| Ok(()))
        .map_err(|error| Finding::Unsure(format!("it could not be run again: {error}")))?;
    let stopped = |what: &str| {
        Err(Finding::Unsure(format!(
            "run again, it was stopped {what}; nothing else shows what it printed"
        )))
    };
    match ran.end {
        End::Exited(_) | End::Signalled(_) => {}
        End::Stopped(Bound::Wall) => {
            return stopped(&format!("after {} s, the most for a check", AGAIN_WALL_MS / 1_000));
        }
        End::Stopped(Bound::Cpu) => {
            return stopped(&format!(
                "after {} s of processor time, the most for a check",
                AGAIN_CPU_MS / 1_000
            ));
        }
        End::Stopped(Bound::Memory | Bound::Processes | Bound::Disk) => {
            return stopped("at a bound of memory, processes or disk");
        }
        End::Cancelled => return stopped("because the mission was"),
    }
    let taken =
        ran.changed.take(&outputs(&args.outputs)?, workspace, PAYLOAD_MAX as u64, cancel)?;
    Ok((outcome(args, level, &ran, &taken), taken))
}

fn changed(kept: &Taken) -> Vec<&Change> {
    kept.changes.iter().map(|proposed| &proposed.change).collect()
}

/// Whether a program that kept files makes them again as they are. What was
/// there before is gone, so nothing here proves a difference wrong.
fn kept_again(subject: &Subject, kept: &Taken) -> Result<String, Finding> {
    if let Some(path) = kept.kept.first() {
        return Err(Finding::Unsure(format!(
            "run again over the kept files it leaves another {path:?}; whether that is \
             because of them is unknown"
        )));
    }
    for proposed in &subject.changes {
        let shown = match &proposed.change {
            Change::Write { path, .. } => kept.same.contains(path),
            Change::Folder { .. } => true,
            Change::Delete { .. } | Change::Move { .. } => false,
        };
        if !shown {
            return Err(Finding::Unsure(format!(
                "run again over the kept files it does not do this again: {}",
                proposed.change
            )));
        }
    }
    Ok(format!("run again: the same, and {} paths are made again as they are", kept.same.len()))
}

/// How a told value stands against two runs.
#[derive(Debug, PartialEq)]
enum Judged {
    Same,
    /// The two runs do not agree with each other.
    Varies,
    /// Only in what may vary by itself, and did not in these two.
    Unclear,
    /// The two runs agree, and say something else.
    Wrong(String),
}

fn text(output: &Value, name: &str) -> String {
    match output.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(lines)) => {
            lines.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
        }
        other => other.unwrap_or(&Value::Null).to_string(),
    }
}

/// Whether two values are of one kind, and the same but for durations.
fn is_same(left: &Value, right: &Value, name: &str) -> bool {
    let kind = |value: &Value| value.get(name).map(std::mem::discriminant);
    kind(left) == kind(right) && hard(&text(left, name)) == hard(&text(right, name))
}

fn judge(told: &Value, first: &Value, second: &Value, name: &str) -> Judged {
    let stable = is_same(first, second, name);
    if stable && is_same(told, first, name) {
        return Judged::Same;
    }
    let [t, a, b] = [told, first, second].map(|output| soft(&text(output, name)));
    if a != b {
        return Judged::Varies;
    }
    if t == a {
        return if stable { Judged::Unclear } else { Judged::Same };
    }
    let cut = [told, first].iter().any(|output| output.get("truncated") == Some(&true.into()));
    if cut && matches!(name, "stdout" | "stderr") {
        return Judged::Varies;
    }
    let (told, found) = (text(told, name), text(first, name));
    let (mine, theirs) = (hard(&told), hard(&found));
    let at = mine.lines().zip(theirs.lines()).take_while(|(left, right)| left == right).count();
    let line = |text: &str| short(&text.lines().nth(at).unwrap_or_default().into());
    Judged::Wrong(format!(
        "run again, twice, the program does otherwise than told: line {} of {name:?} is told as {}, \
         both runs give {}",
        at + 1,
        line(&mine),
        line(&theirs)
    ))
}

#[expect(clippy::expect_used, reason = "constant patterns, used by tests")]
fn pattern(source: &str) -> Regex {
    Regex::new(source).expect("a sound pattern")
}

/// How long something took, and numbers of threads: never the same twice.
static HARD: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\b\d+(?:\.\d+)? ?(?:ns|µs|μs|us|ms|s|secs?|seconds?)\b|\bduration_ms:? [\d.]+|(?P<thread>thread '[^'\n]*') \(\d+\)",
    )
});

/// What may vary, and may be data.
static SOFT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?x) \b\d{4}-\d\d-\d\d(?:[T\ ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?
        | \b\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?\b
        | \b0x[0-9a-fA-F]{6,16}\b
        | /tmp/[^\s'\x22]+
        | (?i:\bpid[\ =:]*\d+)",
    )
});

/// A line about one test; threads bring these in any order.
static TEST_LINE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^test .+ \.\.\. (?:ok|FAILED|ignored.*)$"));

/// Without durations; neighbouring lines on single tests are sorted.
fn hard(text: &str) -> String {
    let plain = HARD.replace_all(text, |found: &Captures<'_>| {
        found
            .name("thread")
            .map_or(Cow::Borrowed("…"), |name| Cow::Owned(name.as_str().to_owned()))
    });
    let mut lines: Vec<&str> = plain.split('\n').collect();
    for tests in lines.chunk_by_mut(|a, b| TEST_LINE.is_match(a) && TEST_LINE.is_match(b)) {
        tests.sort_unstable();
    }
    lines.join("\n")
}

/// Also without times of day, addresses, temporary names, and the order of lines.
fn soft(text: &str) -> String {
    let text = hard(text);
    let plain = SOFT.replace_all(&text, "…");
    let mut lines: Vec<&str> = plain.split('\n').collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// A path of the workspace that changed after the step began and that the step
/// did not change; the workspace itself where that cannot be told.
fn changed_since(subject: &Subject, workspace: &Workspace) -> Option<String> {
    let all = Some(".".to_owned());
    let mut open = vec![PathBuf::new()];
    let mut seen = 0_usize;
    while let Some(folder) = open.pop() {
        if workspace.still_wanted().is_err() {
            return all;
        }
        let Ok(entries) = std::fs::read_dir(workspace.path().join(&folder)) else { return all };
        for entry in entries {
            seen += 1;
            let Some((entry, meta)) =
                entry.ok().and_then(|entry| entry.metadata().ok().map(|meta| (entry, meta)))
            else {
                return all;
            };
            if seen > LOOKED_AT_MAX {
                return all;
            }
            let path = folder.join(entry.file_name());
            let changed = meta.ctime() * 1_000 + meta.ctime_nsec() / 1_000_000;
            if changed + TICK_MS >= subject.since {
                return Some(path.to_string_lossy().into_owned());
            }
            if meta.is_dir() {
                open.push(path);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(told: &str, first: &str, second: &str, expect: &str) {
        let output = |text: &str| json!({"stdout": text, "truncated": false});
        let judged = judge(&output(told), &output(first), &output(second), "stdout");
        let judged = format!("{judged:?}");
        assert!(judged.starts_with(expect), "{judged}");
    }

    #[test]
    fn durations_are_nothing_but_noise() {
        check("ok in 0.01s", "ok in 1.2s", "ok in 12 ms", "Same");
        check("Ran 2 tests in 0.001s", "Ran 3 tests in 0.001s", "Ran 3 tests in 0.002s", "Wrong");
        check(
            "thread 'a' (12) panicked",
            "thread 'a' (13) panicked",
            "thread 'a' (14) panicked",
            "Same",
        );
        check("# duration_ms 4.5", "# duration_ms 5", "# duration_ms 6.1", "Same");
    }

    #[test]
    fn tests_that_run_beside_each_other_end_in_any_order() {
        let tests = |names: [&str; 2]| {
            format!("running 2 tests\ntest {} ... ok\ntest {} ... ok\n\nend", names[0], names[1])
        };
        check(&tests(["a", "b"]), &tests(["b", "a"]), &tests(["b", "a"]), "Same");
        check(&tests(["a", "b"]), &tests(["b", "c"]), &tests(["b", "c"]), "Wrong");
    }

    #[test]
    fn what_two_runs_agree_on_convicts() {
        check("all passed", "1 failed", "1 failed", "Wrong");
        check("", "1 failed", "1 failed", "Wrong");
        check("a\nb", "a\nb\nc", "a\nb\nc", "Wrong");
    }

    #[test]
    fn what_varies_by_itself_convicts_nobody() {
        check("1 failed", "all passed", "1 failed", "Varies");
        check("random 5", "random 7", "random 9", "Varies");
        check("a\nb", "b\na", "a\nb", "Same");
        check("at 10:00:01 x", "at 10:00:02 x", "at 10:00:03 x", "Same");
    }

    #[test]
    fn what_may_vary_and_did_not_is_not_proven() {
        check("a\nb", "b\na", "b\na", "Unclear");
        check("open from 10:00", "open from 11:00", "open from 11:00", "Unclear");
        check("at 10:00:01 x", "at 10:00:02 y", "at 10:00:02 y", "Wrong");
    }

    #[test]
    fn a_number_is_no_text() {
        let (told, first) = (json!({"exit": "0"}), json!({"exit": 0}));
        assert!(!is_same(&told, &first, "exit"));
        assert!(!is_same(&json!({}), &first, "exit"));
    }
}
