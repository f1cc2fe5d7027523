//! `run`: the exit code is one that the step accepts, and each kept output on
//! disk is what was told. That the program really did this, [`super::again`]
//! finds out.

use super::landed::holds;
use super::{Finding, field, list, verdict, wrong};
use crate::workspace::{Workspace, paths};
use charter::check::{Subject, Verdict};
use charter::effect::Change;
use globset::GlobBuilder;
use serde_json::Value;
use std::collections::BTreeSet;

pub(super) fn check(subject: &Subject, workspace: &Workspace) -> Vec<Verdict> {
    let mut verdicts = vec![
        verdict("run-exit", "the program ended as the step accepts", exit(subject)),
        verdict("run-declared", "only declared outputs were kept", declared(subject)),
    ];
    if !subject.changes.is_empty() {
        verdicts.push(verdict(
            "run-outputs",
            "the kept files hold what the program left",
            kept(subject, workspace),
        ));
    }
    for glob in literal_outputs(subject) {
        verdicts.push(verdict(
            "run-outputs",
            format!("{glob:?} was made"),
            made(subject, workspace, &glob),
        ));
    }
    verdicts
}

fn exit(subject: &Subject) -> Result<String, Finding> {
    let told = field(&subject.output, "exit")?;
    let Some(code) = told.as_i64() else {
        let signal = subject.output.get("signal").unwrap_or(&Value::Null);
        return wrong(format!("it was ended by signal {signal}"));
    };
    let accepted: Vec<i64> = match subject.args.get("ok_exits").and_then(Value::as_array) {
        Some(codes) => codes.iter().filter_map(Value::as_i64).collect(),
        None => vec![0],
    };
    if accepted.contains(&code) {
        return Ok(format!("exit code {code}"));
    }
    wrong(format!("exit code {code}; accepted are {accepted:?}"))
}

fn outputs(subject: &Subject) -> Vec<String> {
    let globs = subject.args.get("outputs").and_then(Value::as_array);
    globs
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .filter_map(|glob| paths::normal(glob).ok())
        .collect()
}

/// Declared outputs that name one path.
fn literal_outputs(subject: &Subject) -> Vec<String> {
    let mut literal = outputs(subject);
    literal.retain(|glob| glob != "." && !glob.contains(['*', '?', '[', '{', '\\']));
    literal
}

/// Whether a path is one of the declared, by walking up from it rather than by
/// the tool's set of patterns.
fn is_declared(globs: &[String], path: &str) -> bool {
    let mut above = Some(path);
    while let Some(at) = above {
        let fits = |glob: &String| {
            glob == "."
                || glob == at
                || GlobBuilder::new(glob)
                    .literal_separator(true)
                    .build()
                    .is_ok_and(|glob| glob.compile_matcher().is_match(at))
        };
        if globs.iter().any(fits) {
            return true;
        }
        above = at.rsplit_once('/').map(|(folder, _)| folder);
    }
    false
}

fn declared(subject: &Subject) -> Result<String, Finding> {
    let told: BTreeSet<&str> =
        list(&subject.output, "changed")?.iter().filter_map(Value::as_str).collect();
    let made: BTreeSet<&str> =
        subject.changes.iter().flat_map(|proposed| proposed.change.paths()).collect();
    if let Some(path) = told.symmetric_difference(&made).next() {
        return wrong(format!("{path:?} is told as changed or was changed, but not both"));
    }
    let globs = outputs(subject);
    if let Some(path) = made.iter().find(|path| !is_declared(&globs, path)) {
        return wrong(format!("{path:?} was changed but is no declared output"));
    }
    Ok(format!("{} changes, each below a declared output", made.len()))
}

/// The disk holds what each path was last meant to hold.
fn kept(subject: &Subject, workspace: &Workspace) -> Result<String, Finding> {
    let mut expected = std::collections::BTreeMap::new();
    for proposed in &subject.changes {
        if matches!(proposed.change, Change::Move { .. }) {
            return wrong("a program does not move files of the workspace");
        }
        for target in proposed.expected() {
            expected.insert(target.path, target.state);
        }
    }
    for (path, state) in &expected {
        holds(workspace, path, state)?;
    }
    Ok(format!("{} paths compared by hash", expected.len()))
}

/// A declared path that was neither changed nor is there was not made.
fn made(subject: &Subject, workspace: &Workspace, path: &str) -> Result<String, Finding> {
    let below = format!("{path}/");
    let touched = subject
        .changes
        .iter()
        .flat_map(|proposed| proposed.change.paths())
        .filter(|changed| *changed == path || changed.starts_with(&below))
        .count();
    if touched > 0 {
        return Ok(format!("{touched} changes"));
    }
    if workspace.meta(path)?.is_none() {
        return wrong("the program did not make it, and it is not there");
    }
    Err(Finding::Unsure("the program left it as it was; whether it looked is unknown".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Desk;
    use charter::check::Outcome;
    use charter::tool::Proposed;
    use serde_json::json;

    fn subject(desk: &Desk, exit: Value, change: Option<(&str, &str)>) -> Subject {
        let changes: Vec<Proposed> = change
            .into_iter()
            .map(|(path, text)| {
                let bytes = text.as_bytes().to_vec();
                let change = Change::Write { path: path.to_owned(), bytes, mode: None };
                desk.workspace().propose(change).unwrap()
            })
            .collect();
        let changed: Vec<&str> = change.iter().map(|(path, _)| *path).collect();
        let output = json!({"exit": exit, "changed": changed});
        desk.subject("run", json!({"program": ["x"], "outputs": ["out"]}), output, changes)
    }

    #[track_caller]
    fn expect(desk: &Desk, subject: &Subject, outcome: Outcome) {
        let verdicts = check(subject, &desk.workspace());
        let worst = if verdicts.iter().any(|verdict| verdict.outcome == Outcome::Failed) {
            Outcome::Failed
        } else if verdicts.iter().any(|verdict| verdict.outcome == Outcome::NotVerified) {
            Outcome::NotVerified
        } else {
            Outcome::Verified
        };
        assert_eq!(worst, outcome, "{verdicts:#?}");
    }

    #[test]
    fn what_was_kept_must_be_on_disk() {
        let desk = Desk::new(&[]);
        let good = subject(&desk, json!(0), Some(("out", "new")));
        expect(&desk, &good, Outcome::Failed);
        desk.put("out", b"");
        expect(&desk, &good, Outcome::Failed);
        desk.put("out", b"new");
        expect(&desk, &good, Outcome::Verified);
    }

    #[test]
    fn codes_and_signals_that_were_not_accepted_fail() {
        let desk = Desk::new(&[("out", "old")]);
        expect(&desk, &subject(&desk, json!(1), None), Outcome::Failed);
        expect(&desk, &subject(&desk, json!(null), None), Outcome::Failed);
        let mut accepted = subject(&desk, json!(1), None);
        accepted.args["ok_exits"] = json!([0, 1]);
        expect(&desk, &accepted, Outcome::NotVerified);
    }

    #[test]
    fn a_missing_or_undeclared_output_fails() {
        let desk = Desk::new(&[]);
        expect(&desk, &subject(&desk, json!(0), None), Outcome::Failed);
        desk.put("other", b"x");
        expect(&desk, &subject(&desk, json!(0), Some(("other", "x"))), Outcome::Failed);
    }

    #[test]
    fn a_tool_that_hides_a_change_fails() {
        let desk = Desk::new(&[("out", "new")]);
        let mut hidden = subject(&desk, json!(0), Some(("out", "new")));
        hidden.output["changed"] = json!([]);
        expect(&desk, &hidden, Outcome::Failed);
    }
}
