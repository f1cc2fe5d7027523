//! `compare`: two files, by their data where both hold data, else by lines.

use crate::args::{parse, path_schema};
use crate::data::dotted::{flatten, same};
use crate::data::format::{self, Format};
use crate::data::text::lines;
use crate::error::too_large;
use crate::source;
use crate::tool::{Tool, object, spec};
use crate::workspace::Workspace;
use charter::effect::EffectClass;
use charter::tool::{Call, Prepared, ToolError, ToolSpec};
use serde::Deserialize;
use serde_json::{Value, json};
use similar::{Algorithm, DiffOp, capture_diff_slices};
use std::collections::HashMap;

/// Most rows of one comparison.
const ROWS_MAX: usize = 50_000;
/// Pairs of lines that are compared to find the shortest list; beyond that
/// everything between the first and the last difference is one piece.
const PAIRS_MAX: usize = 400_000_000;

/// The tool.
pub(crate) struct Compare;

/// Its arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Args {
    pub(crate) left: String,
    pub(crate) right: String,
}

impl Tool for Compare {
    fn spec(&self) -> ToolSpec {
        spec(
            "compare",
            EffectClass::Read,
            "Lists how two files differ: by their data where both hold data, else by lines.",
            object(
                &["left", "right"],
                json!({
                    "left": path_schema("one file"),
                    "right": path_schema("the other file"),
                }),
            ),
            "same, rows: [{at, change: added/removed/changed, left, right}], count, format: structured/text. Structured (json, yaml, toml, ini, env, properties): at is a dotted path. Text: at is the line, of the right file for added and of the left file otherwise",
            "Reads only; repeating is safe.",
        )
    }

    fn prepare(&self, call: &Call, workspace: &Workspace) -> Result<Prepared, ToolError> {
        let args: Args = parse(&call.args)?;
        let (left, right) =
            (source::text(workspace, &args.left)?, source::text(workspace, &args.right)?);
        let (rows, format) = match structured(&args, &left, &right) {
            Some((left, right, as_text)) => (structures(&left, &right, as_text), "structured"),
            None => (texts(&left, &right), "text"),
        };
        if rows.len() > ROWS_MAX {
            return Err(too_large(format!("the files differ in more than {ROWS_MAX} places")));
        }
        let output = json!({
            "same": rows.is_empty(), "count": rows.len(), "rows": rows, "format": format,
        });
        Ok(Prepared::output(output, call.label))
    }
}

/// Both files as data, if both are; and whether one of them knows only texts.
pub(crate) fn structured(args: &Args, left: &str, right: &str) -> Option<(Value, Value, bool)> {
    let format = |path: &str| Format::of(path).filter(|format| !format.is_delimited());
    let (one, other) = (format(&args.left)?, format(&args.right)?);
    let left = format::parse(one, left).ok()?;
    let right = format::parse(other, right).ok()?;
    Some((left, right, one.is_untyped() != other.is_untyped()))
}

fn row(at: &str, change: &str, left: Option<&Value>, right: Option<&Value>) -> Value {
    json!({"at": at, "change": change, "left": left, "right": right})
}

/// The places that differ: first those of the left side in its order, then those
/// that only the right side has.
pub(crate) fn structures(left: &Value, right: &Value, as_text: bool) -> Vec<Value> {
    let (left, right) = (flatten(left), flatten(right));
    let of_right: HashMap<&str, &Value> =
        right.iter().map(|(at, value)| (at.as_str(), value)).collect();
    let of_left: HashMap<&str, &Value> =
        left.iter().map(|(at, value)| (at.as_str(), value)).collect();
    let mut rows = Vec::new();
    for (at, value) in &left {
        match of_right.get(at.as_str()) {
            None => rows.push(row(at, "removed", Some(value), None)),
            Some(other) if same(value, other, as_text) => {}
            Some(other) => rows.push(row(at, "changed", Some(value), Some(other))),
        }
    }
    for (at, value) in right.iter().filter(|(at, _)| !of_left.contains_key(at.as_str())) {
        rows.push(row(at, "added", None, Some(value)));
    }
    rows
}

/// The lines that differ, in order.
pub(crate) fn texts(left: &str, right: &str) -> Vec<Value> {
    let (left, right) = (lines(left), lines(right));
    let mut rows = Vec::new();
    let number = |i: usize| (i + 1).to_string();
    let text = |lines: &[&str], i: usize| Value::from(lines.get(i).copied().unwrap_or_default());
    for op in operations(&left, &right) {
        let (old, new) = match op {
            DiffOp::Equal { .. } => continue,
            DiffOp::Delete { old_index, old_len, new_index } => {
                (old_index..old_index + old_len, new_index..new_index)
            }
            DiffOp::Insert { old_index, new_index, new_len } => {
                (old_index..old_index, new_index..new_index + new_len)
            }
            DiffOp::Replace { old_index, old_len, new_index, new_len } => {
                (old_index..old_index + old_len, new_index..new_index + new_len)
            }
        };
        let pairs = old.len().min(new.len());
        for (i, j) in old.clone().zip(new.clone()) {
            rows.push(row(&number(i), "changed", Some(&text(&left, i)), Some(&text(&right, j))));
        }
        for i in old.skip(pairs) {
            rows.push(row(&number(i), "removed", Some(&text(&left, i)), None));
        }
        for j in new.skip(pairs) {
            rows.push(row(&number(j), "added", None, Some(&text(&right, j))));
        }
    }
    rows
}

fn operations(left: &[&str], right: &[&str]) -> Vec<DiffOp> {
    let start = left.iter().zip(right).take_while(|(a, b)| a == b).count();
    let (one, other) =
        (left.get(start..).unwrap_or_default(), right.get(start..).unwrap_or_default());
    let end = one.iter().rev().zip(other.iter().rev()).take_while(|(a, b)| a == b).count();
    let (old_len, new_len) = (one.len() - end, other.len() - end);
    if old_len.saturating_mul(new_len) > PAIRS_MAX {
        return vec![DiffOp::Replace { old_index: start, old_len, new_index: start, new_len }];
    }
    capture_diff_slices(Algorithm::Myers, left, right)
}

#[cfg(test)]
mod tests {
    use crate::testing::Desk;
    use expect_test::{Expect, expect};
    use serde_json::json;

    fn check(left: (&str, &str), right: (&str, &str), expect: Expect) {
        let desk = Desk::new(&[left, right]);
        let output = desk.verified("compare", json!({"left": left.0, "right": right.0})).output;
        let mut shown = format!("{} {} {}\n", output["format"], output["same"], output["count"]);
        for row in output["rows"].as_array().unwrap() {
            shown.push_str(&format!(
                "{} {} {} -> {}\n",
                row["at"], row["change"], row["left"], row["right"]
            ));
        }
        expect.assert_eq(&shown);
    }

    #[test]
    fn data_is_compared_by_place() {
        check(
            ("a.yaml", "b: 1\na: {x: 1.0, y: old, gone: true}\n"),
            ("b.json", r#"{"a": {"y": "new", "x": 1, "more": [1]}, "b": 1}"#),
            expect![[r#"
            "structured" false 3
            "a.y" "changed" "old" -> "new"
            "a.gone" "removed" true -> null
            "a.more.0" "added" null -> 1
        "#]],
        );
        check(
            ("a.env", "PORT=80\nX=1\n"),
            ("b.toml", "PORT = 80\nX = 2\n"),
            expect![[r#"
            "structured" false 1
            "X" "changed" "1" -> 2
        "#]],
        );
        check(
            ("a.ini", "[a]\nx=1\n"),
            ("b.ini", "; note\n[a]\n x = 1\n"),
            expect![[r#"
            "structured" true 0
        "#]],
        );
    }

    #[test]
    fn texts_are_compared_by_line() {
        check(
            ("a.txt", "one\ntwo\nthree\nfour\n"),
            ("b.txt", "one\nTWO\nfour\nfive\n"),
            expect![[r#"
            "text" false 3
            "2" "changed" "two" -> "TWO"
            "3" "removed" "three" -> null
            "4" "added" null -> "five"
        "#]],
        );
        check(
            ("a.json", "{"),
            ("b.json", "{}"),
            expect![[r#"
            "text" false 1
            "1" "changed" "{" -> "{}"
        "#]],
        );
        check(
            ("a.txt", ""),
            ("b.txt", "x\n"),
            expect![[r#"
            "text" false 1
            "1" "added" null -> "x"
        "#]],
        );
    }
}
