//! `compare`: applies the listed differences to the left file; the result must
//! be the right file. No difference may be listed that is none.

use super::{Finding, equal, field, list, verdict, wrong};
use crate::args::parse;
use crate::data::dotted::{flatten, same};
use crate::data::text::lines;
use crate::source;
use crate::tools::compare::{Args, structured};
use crate::workspace::Workspace;
use charter::check::{Subject, Verdict};
use serde_json::Value;
use std::collections::BTreeMap;

pub(super) fn check(subject: &Subject, workspace: &Workspace) -> Vec<Verdict> {
    vec![verdict(
        "compare",
        "the listed differences turn the left file into the right one",
        found(subject, workspace),
    )]
}

struct Row<'r> {
    at: &'r str,
    change: &'r str,
    left: &'r Value,
    right: &'r Value,
}

fn found(subject: &Subject, workspace: &Workspace) -> Result<String, Finding> {
    let args: Args = parse(&subject.args)?;
    let output = &subject.output;
    let rows = list(output, "rows")?
        .iter()
        .map(|row| {
            let text = |name| field(row, name).map(|value| value.as_str().unwrap_or_default());
            Ok(Row {
                at: text("at")?,
                change: text("change")?,
                left: field(row, "left")?,
                right: field(row, "right")?,
            })
        })
        .collect::<Result<Vec<_>, Finding>>()?;
    equal(output, "count", rows.len())?;
    equal(output, "same", rows.is_empty())?;
    let (left, right) =
        (source::text(workspace, &args.left)?, source::text(workspace, &args.right)?);
    match structured(&args, &left, &right) {
        Some((left, right, as_text)) => {
            equal(output, "format", "structured")?;
            structures(&rows, &left, &right, as_text)
        }
        None => {
            equal(output, "format", "text")?;
            texts(&rows, &lines(&left), &lines(&right))
        }
    }
}

fn structures(
    rows: &[Row<'_>],
    left: &Value,
    right: &Value,
    as_text: bool,
) -> Result<String, Finding> {
    let mut applied: BTreeMap<String, Value> = flatten(left).into_iter().collect();
    let wanted: BTreeMap<String, Value> = flatten(right).into_iter().collect();
    for row in rows {
        let held = applied.get(row.at);
        let sound = match row.change {
            "added" => held.is_none(),
            "removed" => held == Some(row.left),
            "changed" => held == Some(row.left) && !same(row.left, row.right, as_text),
            _ => false,
        };
        if !sound {
            return wrong(format!("at {:?} the left file does not hold what is told", row.at));
        }
        match row.change {
            "removed" => drop(applied.remove(row.at)),
            _ => drop(applied.insert(row.at.to_owned(), row.right.clone())),
        }
    }
    let differ = wanted
        .iter()
        .find(|(at, value)| !applied.get(*at).is_some_and(|found| same(found, value, as_text)))
        .or_else(|| applied.iter().find(|(at, _)| !wanted.contains_key(*at)));
    match differ {
        Some((at, _)) => wrong(format!("at {at:?} the files differ otherwise than told")),
        None => Ok(format!(
            "{} differences applied to the left file give the {} values of the right one",
            rows.len(),
            wanted.len()
        )),
    }
}

fn texts(rows: &[Row<'_>], left: &[&str], right: &[&str]) -> Result<String, Finding> {
    let mut applied: Vec<Option<&str>> = left.iter().copied().map(Some).collect();
    let mut added = Vec::new();
    for row in rows {
        let number = row.at.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        let Some(number) = number else { return wrong(format!("{:?} is no line", row.at)) };
        let new = row.right.as_str();
        if row.change == "added" {
            added.push((number, new.unwrap_or_default()));
            continue;
        }
        let Some(held) = applied.get_mut(number) else {
            return wrong(format!("the left file has no line {}", row.at));
        };
        let sound = *held == row.left.as_str()
            && match row.change {
                "removed" => row.right.is_null(),
                "changed" => new.is_some() && new != *held,
                _ => false,
            };
        if !sound {
            return wrong(format!("line {} of the left file does not hold what is told", row.at));
        }
        *held = new;
    }
    let mut applied: Vec<&str> = applied.into_iter().flatten().collect();
    added.sort_by_key(|(number, _)| *number);
    for (number, line) in added {
        if number > applied.len() {
            return wrong(format!("line {} is added beyond the end", number + 1));
        }
        applied.insert(number, line);
    }
    if applied == right {
        return Ok(format!(
            "{} differences applied to the left file give all {} lines of the right one",
            rows.len(),
            right.len()
        ));
    }
    let at = applied.iter().zip(right).take_while(|(left, right)| left == right).count();
    wrong(format!("from line {} on the files differ otherwise than told", at + 1))
}

#[cfg(test)]
mod tests {
    use crate::testing::Desk;
    use serde_json::{Value, json};

    fn lies(left: (&str, &str), right: (&str, &str), old: (&str, &str)) {
        let args = json!({"left": left.0, "right": right.0});
        let desk = Desk::new(&[left, right]);
        let honest = desk.verified("compare", args.clone());
        let lie = |change: &dyn Fn(&mut Value)| {
            let mut subject = honest.clone();
            change(&mut subject.output);
            desk.failed(&subject);
        };
        lie(&|output| *output = json!({}));
        lie(&|output| {
            (output["rows"], output["count"], output["same"]) = (json!([]), 0.into(), true.into());
        });
        lie(&|output| {
            let rows = output["rows"].as_array_mut().unwrap();
            rows.pop();
            let left = rows.len();
            output["count"] = left.into();
        });
        let stale = Desk::new(&[left, old]).done("compare", args.clone());
        lie(&|output| *output = stale.output.clone());
    }

    #[test]
    fn lies_are_found() {
        lies(
            ("a.json", r#"{"a": 1, "b": 2}"#),
            ("b.json", r#"{"a": 2, "c": 3}"#),
            ("b.json", r#"{"a": 4, "c": 3}"#),
        );
        lies(("a.txt", "a\nb\nc\n"), ("b.txt", "a\nB\nc\nd\n"), ("b.txt", "a\nx\nc\nd\n"));
    }
}
