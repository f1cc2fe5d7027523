//! The report of a mission: computed from what is on record, never claimed.

use charter::budget::{Limit, Usage};
use charter::check::{Outcome, Verdict};
use charter::digest::Digest;
use charter::effect::{Change, TargetState};
use charter::event::DeathCause;
use charter::ids::{MissionId, StepKey};
use charter::plan::Plan;
use charter::reference::{self, Root};
use charter::report::{Claim, FileFate, FileLine, Receipt, Report};
use charter::rows::{MissionState, StepState};
use charter::tool::Proposed;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Claims that the text of a report lists one by one.
const CLAIMS_SHOWN_MAX: usize = 40;
/// Rows of a list that an answer shows.
const ROWS_SHOWN_MAX: usize = 200;
/// Processor time from which on a person is told what a mission used.
const TOLD_CPU_MS: u64 = 1_000;

/// What is on record of one step or instance.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRecord {
    /// Which.
    pub key: StepKey,
    /// How it ended.
    pub state: StepState,
    /// Why it died.
    pub cause: Option<DeathCause>,
    /// Its output.
    pub output: Option<Value>,
    /// The verdicts of its checks.
    pub verdicts: Vec<Verdict>,
    /// What went wrong.
    pub error: Option<String>,
    /// Changes of files whose receipt says that they happened.
    pub changes: Vec<Proposed>,
    /// Acts and changes about which nobody knows.
    pub in_doubt: u32,
    /// What it used.
    pub usage: Usage,
}

/// What is on record of a mission.
#[derive(Debug, Clone, PartialEq)]
pub struct MissionRecord {
    /// Which.
    pub mission: MissionId,
    /// Digest of the plan that ran.
    pub plan_digest: Digest,
    /// A person asked to stop.
    pub cancelled: bool,
    /// The budget that was spent.
    pub stopped: Option<Limit>,
    /// Steps and instances in order; the report itself is not among them.
    pub steps: Vec<StepRecord>,
    /// Resources used.
    pub usage: Usage,
    /// By the report itself until now.
    pub own: Usage,
}

/// Computes the report.
pub fn report(plan: &Plan, record: &MissionRecord) -> Report {
    let claims: Vec<Claim> = record
        .steps
        .iter()
        .flat_map(|step| {
            step.verdicts
                .iter()
                .map(|verdict| Claim { step: step.key.clone(), verdict: verdict.clone() })
        })
        .collect();
    let state = end(plan, record, &claims);
    Report {
        mission: record.mission.clone(),
        state,
        plan: record.plan_digest,
        answer: answer(plan, record),
        claims,
        files: files(record),
        left_out: left_out(record),
        problems: problems(plan, record),
        usage: record.usage,
        receipts: receipts(record),
    }
}

/// What each step used, its instances with it, and then the report. A plan that was
/// replaced may have lost steps: what those used counts for the mission alone.
fn receipts(record: &MissionRecord) -> Vec<Receipt> {
    let mut used: BTreeMap<u32, Usage> = BTreeMap::new();
    for step in &record.steps {
        let of = used.entry(step.key.n).or_default();
        *of = of.plus(step.usage);
    }
    let steps = used.into_iter();
    let receipt = |(n, usage)| Receipt { step: StepKey::step(&record.mission, n), usage };
    steps.chain([(0, record.own)]).map(receipt).collect()
}

/// How the mission ended: the first of these that holds.
fn end(plan: &Plan, record: &MissionRecord, claims: &[Claim]) -> MissionState {
    let died = |causes: &[DeathCause]| {
        record.steps.iter().any(|step| {
            step.state == StepState::Dead && step.cause.is_some_and(|cause| causes.contains(&cause))
        })
    };
    let unfinished = record.steps.iter().any(|step| {
        matches!(step.state, StepState::Dead | StepState::Discarded | StepState::Skipped)
    });
    let found = |outcome| claims.iter().any(|claim| claim.verdict.outcome == outcome);
    let unproven = record.steps.iter().any(|step| step.key.item == 0 && step.verdicts.is_empty());
    if record.cancelled {
        MissionState::Cancelled
    } else if record.stopped.is_some() {
        MissionState::Partial
    } else if died(&[DeathCause::Refused, DeathCause::Denied]) {
        MissionState::Refused
    } else if unfinished || found(Outcome::Failed) {
        MissionState::Failed
    } else if found(Outcome::NotVerified) || unproven || !plan.unmet.is_empty() {
        MissionState::Unverified
    } else {
        MissionState::Done
    }
}

fn answer(plan: &Plan, record: &MissionRecord) -> String {
    let outputs: BTreeMap<u32, &Value> = record
        .steps
        .iter()
        .filter(|step| step.key.item == 0)
        .filter_map(|step| Some((step.key.n, step.output.as_ref()?)))
        .collect();
    let Some(template) = &plan.answer else {
        return outputs.last_key_value().map_or_else(String::new, |(_, output)| shown(output));
    };
    let lines = template.lines().map(|line| {
        let missing = reference::steps_named(&Value::String(line.to_owned()))
            .into_iter()
            .find(|n| !outputs.contains_key(n));
        if let Some(n) = missing {
            return format!("(step {n} gave no result)");
        }
        let value = reference::resolve(&pieces(line), &|root| match root {
            Root::Step(n) => outputs.get(n).copied(),
            Root::Item => None,
        });
        match value {
            Ok(value) => parts(&value),
            Err(error) => format!("({error})"),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A line of a template as a list of texts and lone references, so that a list
/// inside a sentence is shown as a table and not as JSON.
fn pieces(line: &str) -> Value {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some(at) = rest.find("${") {
        let escaped = rest[..at].ends_with('$');
        let Some(length) = rest[at..].find('}') else { break };
        if escaped {
            found.push(Value::String(rest[..at + 2].to_owned()));
            rest = &rest[at + 2..];
            continue;
        }
        found.push(Value::String(rest[..at].to_owned()));
        found.push(Value::String(rest[at..=at + length].to_owned()));
        rest = &rest[at + length + 1..];
    }
    found.push(Value::String(rest.to_owned()));
    Value::Array(found)
}

fn parts(value: &Value) -> String {
    match value {
        Value::Array(pieces) => pieces.iter().map(shown).collect(),
        other => shown(other),
    }
}

/// A value as people read it: lists of records as a table, lists of texts as
/// lines.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(rows) if rows.is_empty() => "(none)".to_owned(),
        Value::Array(rows) if rows.iter().all(Value::is_object) => table(rows),
        Value::Array(rows) => {
            let mut lines: Vec<String> =
                rows.iter().take(ROWS_SHOWN_MAX).map(|row| format!("- {}", shown(row))).collect();
            if rows.len() > ROWS_SHOWN_MAX {
                lines.push(format!("… and {} more", rows.len() - ROWS_SHOWN_MAX));
            }
            format!("\n{}", lines.join("\n"))
        }
        Value::Object(fields) => match fields.get("text") {
            Some(Value::String(text)) => text.clone(),
            _ => fields
                .iter()
                .map(|(key, value)| format!("{key}: {}", cell(value)))
                .collect::<Vec<_>>()
                .join("\n"),
        },
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.replace('\n', " "),
        Value::Array(values) => values.iter().map(cell).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

fn table(rows: &[Value]) -> String {
    let mut columns: Vec<&String> = Vec::new();
    for row in rows.iter().filter_map(Value::as_object) {
        for key in row.keys() {
            if !columns.contains(&key) {
                columns.push(key);
            }
        }
    }
    let mut lines = vec![columns.iter().map(|column| (*column).clone()).collect::<Vec<_>>()];
    for row in rows.iter().take(ROWS_SHOWN_MAX) {
        lines.push(
            columns.iter().map(|c| row.get(c.as_str()).map_or(String::new(), cell)).collect(),
        );
    }
    let widths: Vec<usize> = (0..columns.len())
        .map(|i| lines.iter().map(|line| line[i].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for line in &lines {
        let padded: Vec<String> =
            line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        // Writing to a text cannot fail.
        let _ = write!(text, "\n{}", padded.join("  ").trim_end());
    }
    if rows.len() > ROWS_SHOWN_MAX {
        let _ = write!(text, "\n… and {} more", rows.len() - ROWS_SHOWN_MAX);
    }
    text
}

/// The files that differ because of the mission, each once. What was made and
/// removed again within the mission is not among them.
fn files(record: &MissionRecord) -> Vec<FileLine> {
    let mut before: BTreeMap<&str, &TargetState> = BTreeMap::new();
    let mut after: BTreeMap<String, TargetState> = BTreeMap::new();
    let mut moved: BTreeMap<&str, &str> = BTreeMap::new();
    for proposed in record.steps.iter().flat_map(|step| &step.changes) {
        for target in &proposed.before {
            before.entry(&target.path).or_insert(&target.state);
        }
        for target in proposed.expected() {
            after.insert(target.path, target.state);
        }
        if let Change::Move { from, to } = &proposed.change {
            moved.insert(from, to);
        }
    }
    let mut lines: Vec<FileLine> = Vec::new();
    for (path, was) in &before {
        let Some(is) = after.get(*path) else { continue };
        if *was == is || matches!(is, TargetState::Folder) {
            continue;
        }
        let target = moved.get(path).copied();
        let arrived = moved.values().any(|to| to == path);
        let line = |fate, to: Option<&str>| FileLine {
            path: (*path).to_owned(),
            fate,
            to: to.map(str::to_owned),
        };
        match (*was, is) {
            (_, TargetState::Absent) if target.is_some() => {
                lines.push(line(FileFate::Moved, target))
            }
            (_, TargetState::Absent) => lines.push(line(FileFate::Deleted, None)),
            (TargetState::Absent, _) if arrived => {}
            (TargetState::Absent, _) => lines.push(line(FileFate::Created, None)),
            _ => lines.push(line(FileFate::Changed, None)),
        }
    }
    lines
}

/// Fields of outputs that tell what a tool passed over, and in which words they are
/// told of one and of several.
const LEFT_OUT: [(&str, &str, &str); 4] = [
    ("skipped_secrets", "1 file that may hold secrets", "files that may hold secrets"),
    ("skipped_names", "1 file whose name is not UTF-8", "files whose names are not UTF-8"),
    ("skipped_links", "1 link or special file", "links or special files"),
    ("damaged", "1 file that is not all UTF-8, in part", "files that are not all UTF-8, in part"),
];

/// What the tools passed over. Several steps may walk the same folder, so of each
/// kind the largest number counts.
fn left_out(record: &MissionRecord) -> Vec<String> {
    let done = |step: &&StepRecord| step.state == StepState::Done;
    let outputs = || record.steps.iter().filter(done).filter_map(|step| step.output.as_ref());
    let count = |value: &Value| match value {
        Value::Array(list) => list.len() as u64,
        other => other.as_u64().unwrap_or(0),
    };
    LEFT_OUT
        .iter()
        .filter_map(|(field, one, many)| {
            match outputs().filter_map(|output| output.get(*field)).map(count).max()? {
                0 => None,
                1 => Some((*one).to_owned()),
                n => Some(format!("{n} {many}")),
            }
        })
        .collect()
}

fn problems(plan: &Plan, record: &MissionRecord) -> Vec<String> {
    let mut problems: Vec<String> = plan
        .unmet
        .iter()
        .map(|part| format!("not done, because nothing here can: {part}"))
        .collect();
    if let Some(limit) = record.stopped {
        problems.push(format!("stopped early: the budget {limit} was spent"));
    }
    for step in &record.steps {
        let title = plan.step(step.key.n).map_or("", |step| step.title.as_str());
        match step.state {
            StepState::Dead | StepState::Discarded => problems.push(format!(
                "step {} ({title}): {}",
                step.key,
                step.error.as_deref().unwrap_or("it ended without a result")
            )),
            StepState::Skipped if step.key.item == 0 => {
                problems.push(format!("step {} ({title}) did not run", step.key));
            }
            _ => {}
        }
        if step.in_doubt > 0 {
            problems.push(format!("step {}: it is not known whether it acted", step.key));
        }
    }
    problems
}

/// The report as text for people.
pub fn render(report: &Report) -> String {
    let mut text = String::new();
    for line in report.answer.trim().lines() {
        let cells: Vec<String> = line.split('\t').map(plain).collect();
        let _ = writeln!(text, "{}", cells.join("\t"));
    }
    if !report.answer.trim().is_empty() {
        text.push('\n');
    }
    for file in &report.files {
        let _ = match (&file.fate, &file.to) {
            (FileFate::Moved, Some(to)) => writeln!(text, "moved    {} → {to}", plain(&file.path)),
            (fate, _) => writeln!(text, "{:<8} {}", fate_word(*fate), plain(&file.path)),
        };
    }
    for left_out in &report.left_out {
        let _ = writeln!(text, "left out  {}", plain(left_out));
    }
    for problem in &report.problems {
        let _ = writeln!(text, "problem  {}", plain(problem));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    let shown = report.claims.len().min(CLAIMS_SHOWN_MAX);
    for claim in worst_first(&report.claims).into_iter().take(shown) {
        let verdict = &claim.verdict;
        let sign = match verdict.outcome {
            Outcome::Verified => "✔ verified    ",
            Outcome::Failed => "✘ WRONG       ",
            Outcome::NotVerified => "~ not verified",
        };
        let _ = writeln!(
            text,
            "{sign}  {} [{}: {}]",
            plain(&verdict.claim),
            verdict.check,
            plain(&verdict.evidence)
        );
    }
    if report.claims.len() > shown {
        let _ = writeln!(text, "… and {} more claims", report.claims.len() - shown);
    }
    if is_worth_telling(&report.usage) {
        let _ = writeln!(text, "used  {}", report.usage);
    }
    let _ = write!(text, "{} · mission {}", headline(report.state), report.mission);
    text
}

/// What took no time to speak of is told to programs alone.
fn is_worth_telling(usage: &Usage) -> bool {
    usage.cpu_ms >= TOLD_CPU_MS || usage.tokens_in > 0
}

fn worst_first(claims: &[Claim]) -> Vec<&Claim> {
    let mut sorted: Vec<&Claim> = claims.iter().collect();
    sorted.sort_by_key(|claim| match claim.verdict.outcome {
        Outcome::Failed => 0,
        Outcome::NotVerified => 1,
        Outcome::Verified => 2,
    });
    sorted
}

fn fate_word(fate: FileFate) -> &'static str {
    match fate {
        FileFate::Created => "created",
        FileFate::Changed => "changed",
        FileFate::Deleted => "deleted",
        FileFate::Moved => "moved",
    }
}

fn headline(state: MissionState) -> &'static str {
    match state {
        MissionState::Done => "done, every claim verified",
        MissionState::Unverified => "done, but not everything is verified",
        MissionState::Failed => "failed",
        MissionState::Refused => "refused",
        MissionState::Partial => "stopped early by a budget",
        MissionState::Cancelled => "cancelled",
        MissionState::Running => "running",
        MissionState::Waiting => "waiting for you",
    }
}

/// Control characters made visible: names of files must not move the cursor or turn
/// the direction of text around.
fn plain(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let steers = |c: char| c.is_control() || turns(c);
    text.chars()
        .map(|c| if steers(c) { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use charter::budget::Budget;
    use charter::effect::Target;
    use charter::plan::PlanSource;
    use expect_test::expect;
    use serde_json::json;

    fn mission() -> MissionId {
        "m-0000000000000000".parse().unwrap()
    }

    fn plan(answer: &str) -> Plan {
        Plan {
            goal: "test".into(),
            source: PlanSource::File,
            steps: vec![],
            answer: Some(answer.into()),
            unmet: vec![],
            budget: Budget::default(),
        }
    }

    fn done(output: Value, verdict: Verdict) -> StepRecord {
        StepRecord {
            key: StepKey::step(&mission(), 1),
            state: StepState::Done,
            cause: None,
            output: Some(output),
            verdicts: vec![verdict],
            error: None,
            changes: vec![],
            in_doubt: 0,
            usage: Usage { cpu_ms: 5, peak_bytes: 9, ..Usage::default() },
        }
    }

    fn record(step: StepRecord) -> MissionRecord {
        MissionRecord {
            mission: mission(),
            plan_digest: Digest::default(),
            cancelled: false,
            stopped: None,
            steps: vec![step],
            usage: Usage::default(),
            own: Usage { cpu_ms: 2, ..Usage::default() },
        }
    }

    fn verified() -> Verdict {
        Verdict::verified("check", "claim", "evidence")
    }

    #[test]
    fn instances_are_in_the_receipt_of_their_step_and_the_report_has_its_own() {
        let mut instance = done(json!({}), verified());
        instance.key.item = 2;
        let mut record = record(done(json!({}), verified()));
        record.steps.push(instance);
        let report = report(&plan(""), &record);
        let told: Vec<_> = report
            .receipts
            .iter()
            .map(|receipt| (receipt.step.n, receipt.usage.cpu_ms, receipt.usage.peak_bytes))
            .collect();
        assert_eq!(told, [(1, 10, 9), (0, 2, 0)]);
    }

    #[test]
    fn lists_of_records_become_tables() {
        let step = done(json!({"count": 2, "rows": [{"a": "x", "b": 1}, {"a": "yy"}]}), verified());
        let report = report(&plan("Found ${1.count}:${1.rows}"), &record(step));
        expect![[r#"
            Found 2:
            a   b
            x   1
            yy"#]]
        .assert_eq(&report.answer);
        assert_eq!(report.state, MissionState::Done);
    }

    #[test]
    fn one_doubtful_claim_keeps_it_from_being_done() {
        let doubt = Verdict::not_verified("check", "claim", "cannot tell");
        let record = record(done(json!({}), doubt));
        assert_eq!(report(&plan(""), &record).state, MissionState::Unverified);
    }

    #[test]
    fn a_step_without_any_check_is_not_verified() {
        let mut step = done(json!({}), verified());
        step.verdicts.clear();
        assert_eq!(report(&plan(""), &record(step)).state, MissionState::Unverified);
    }

    #[test]
    fn an_unmet_part_is_said_and_is_not_done() {
        let mut plan = plan("");
        plan.unmet.push("email it".into());
        let report = report(&plan, &record(done(json!({}), verified())));
        assert_eq!(report.state, MissionState::Unverified);
        assert_eq!(report.problems, ["not done, because nothing here can: email it"]);
    }

    #[test]
    fn a_wrong_claim_fails_and_a_denial_refuses() {
        let mut step = done(json!({}), Verdict::failed("check", "claim", "evidence"));
        step.state = StepState::Dead;
        step.cause = Some(DeathCause::Unproven);
        assert_eq!(report(&plan(""), &record(step.clone())).state, MissionState::Failed);
        step.cause = Some(DeathCause::Denied);
        assert_eq!(report(&plan(""), &record(step)).state, MissionState::Refused);
    }

    #[test]
    fn what_was_left_out_is_told_once() {
        let first =
            done(json!({"skipped_secrets": 1, "skipped_names": 2, "damaged": []}), verified());
        let second = done(
            json!({"skipped_secrets": 1, "skipped_links": 3, "damaged": ["a.md"]}),
            verified(),
        );
        let mut undone = done(json!({"skipped_secrets": 9}), verified());
        undone.state = StepState::Skipped;
        undone.key.item = 1;
        let mut record = record(first);
        record.steps.extend([second, undone]);
        let report = report(&plan("Ready."), &record);
        assert_eq!(
            report.left_out,
            [
                "1 file that may hold secrets",
                "2 files whose names are not UTF-8",
                "3 links or special files",
                "1 file that is not all UTF-8, in part",
            ]
        );
        assert!(render(&report).starts_with("Ready.\n\nleft out  1 file that may hold secrets\n"));
        assert!(report.problems.is_empty());
    }

    #[test]
    fn what_was_left_out_changes_no_state() {
        let step = done(json!({"skipped_secrets": 1}), verified());
        assert_eq!(report(&plan(""), &record(step)).state, MissionState::Done);
        let report = report(&plan(""), &record(done(json!({"skipped_secrets": 0}), verified())));
        assert!(report.left_out.is_empty());
    }

    #[test]
    fn a_moved_file_is_one_line() {
        let file = TargetState::File { sha256: Digest::of(b"x"), bytes: 1 };
        let mut step = done(json!({}), verified());
        step.changes.push(Proposed {
            change: Change::Move { from: "a".into(), to: "b/a".into() },
            before: vec![
                Target { path: "a".into(), state: file },
                Target { path: "b/a".into(), state: TargetState::Absent },
            ],
        });
        let report = report(&plan(""), &record(step));
        assert_eq!(
            report.files,
            [FileLine { path: "a".into(), fate: FileFate::Moved, to: Some("b/a".into()) }]
        );
    }

    #[test]
    fn a_file_written_twice_is_created_once() {
        let write = |text: &str, was: TargetState| Proposed {
            change: Change::Write { path: "a".into(), bytes: text.into(), mode: None },
            before: vec![Target { path: "a".into(), state: was }],
        };
        let mut step = done(json!({}), verified());
        step.changes = vec![
            write("one", TargetState::Absent),
            write("two", TargetState::File { sha256: Digest::of(b"one"), bytes: 3 }),
        ];
        let report = report(&plan(""), &record(step));
        assert_eq!(report.files.len(), 1);
        assert_eq!(report.files[0].fate, FileFate::Created);
    }
}
