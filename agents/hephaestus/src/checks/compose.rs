//! `compose`: takes the document apart again: as many entries as rows, and the
//! values of every row on an entry of its own.

use super::{Finding, equal, field, verdict, wrong};
use crate::args::parse;
use crate::data::records::is_blank_cell;
use crate::data::template;
use crate::tools::compose::{Args, Style, render, shown};
use crate::workspace::Workspace;
use charter::check::{Subject, Verdict};
use serde_json::Value;
use std::collections::BTreeMap;

/// Comparisons beyond which rows are looked for in the whole text.
const COMPARISONS_MAX: usize = 20_000_000;

pub(super) fn check(subject: &Subject, _workspace: &Workspace) -> Vec<Verdict> {
    vec![verdict("compose", "every row stands in the document once", found(subject))]
}

fn found(subject: &Subject) -> Result<String, Finding> {
    let args: Args = parse(&subject.args)?;
    let text = field(&subject.output, "text")?.as_str().unwrap_or_default();
    let rows = args.rows.as_deref().unwrap_or_default();
    equal(&subject.output, "rows", rows.len())?;
    if let Some(title) = &args.title {
        let title = shown(&title.as_str().into());
        if text.lines().next() != Some(format!("# {title}").trim_end()) {
            return wrong(format!("the document does not begin with the title {title:?}"));
        }
    }
    if let Some(whole) = &args.text
        && !text.contains(whole.trim())
    {
        return wrong("the document does not hold the given text");
    }
    for (name, value) in args.totals.iter().flatten() {
        if !text.contains(&format!("{}: {}", shown(&name.as_str().into()), shown(value))) {
            return wrong(format!("the total of {name:?} is not in the document"));
        }
    }
    let entries = entries(&args, text, rows.is_empty());
    if entries.len() != rows.len() {
        return wrong(format!(
            "the document has {} entries for {} rows",
            entries.len(),
            rows.len()
        ));
    }
    let mut wanted: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    for row in rows {
        *wanted.entry(values(&args, row)?).or_default() += 1;
    }
    let few = wanted.len().saturating_mul(entries.len()) <= COMPARISONS_MAX;
    for (values, count) in &wanted {
        let holds = |entry: &&String| values.iter().all(|value| entry.contains(value.as_str()));
        let there = if few {
            entries.iter().filter(holds).take(*count).count()
        } else if values.iter().all(|value| text.contains(value.as_str())) {
            *count
        } else {
            0
        };
        if there < *count {
            return wrong(format!("no entry holds the row with {values:?}"));
        }
    }
    if render(&args)? != text {
        return wrong("composed again, the document is another one");
    }
    Ok(format!(
        "{} entries hold the values of all {} rows; composed again, the document is the same",
        entries.len(),
        rows.len()
    ))
}

/// The entries of the document, without what title, intro and text brought in.
fn entries(args: &Args, text: &str, empty: bool) -> Vec<String> {
    if empty {
        return Vec::new();
    }
    let intro = args.intro.as_deref().map(str::trim).unwrap_or_default();
    let body = text.replacen(intro, "", usize::from(!intro.is_empty()));
    let lines: Vec<&str> = body.lines().collect();
    if args.style != Style::Table {
        return lines
            .iter()
            .filter(|line| **line == "-" || line.starts_with("- "))
            .map(|line| (*line).to_owned())
            .collect();
    }
    let is_rule = |line: &str| {
        line.starts_with("| -") && line.chars().all(|c| matches!(c, '|' | '-' | ':' | ' '))
    };
    let mut found = Vec::new();
    for (i, line) in lines.iter().enumerate().filter(|(_, line)| line.starts_with('|')) {
        let is_header = lines.get(i + 1).is_some_and(|next| is_rule(next));
        let first_rule = is_rule(line)
            && i > 0
            && !lines.get(i - 1).is_some_and(|above| is_rule(above) || !above.starts_with('|'));
        let under_header =
            first_rule && (i < 2 || !lines.get(i - 2).is_some_and(|above| above.starts_with('|')));
        if !under_header
            && !(is_header
                && (i == 0 || !lines.get(i - 1).is_some_and(|above| above.starts_with('|'))))
        {
            found.push(line.replace("\\|", "|"));
        }
    }
    found
}

/// What of a row must be on its entry.
fn values(args: &Args, row: &Value) -> Result<Vec<String>, Finding> {
    let Value::Object(fields) = row else {
        return Err(Finding::Unsure("a row is no object".to_owned()));
    };
    let same = |left: &str, right: &str| left.trim().to_lowercase() == right.trim().to_lowercase();
    let person = (args.style == Style::Tasks).then(|| "person".to_owned());
    let group = args.group_by.clone().or(person);
    let template = template::fields(args.line.as_deref().unwrap_or_default())
        .map_err(|error| Finding::Unsure(error.to_string()))?;
    let is_shown = |name: &str| {
        if args.line.is_some() {
            return template.iter().any(|field| same(field, name));
        }
        let kept = args.columns.is_empty() || args.columns.iter().any(|column| same(column, name));
        let mark = args.style == Style::Tasks && name == "done";
        kept && !mark && !group.as_deref().is_some_and(|group| same(group, name))
    };
    Ok(fields
        .iter()
        .filter(|(name, value)| is_shown(name) && !is_blank_cell(value))
        .map(|(_, value)| shown(value))
        .filter(|value| !value.is_empty() && value != "()" && value != "[]")
        .collect())
}

#[cfg(test)]
mod tests {
    use crate::testing::Desk;
    use serde_json::{Value, json};

    fn lies(style: &str) {
        let now = json!([
            {"text": "one", "n": 1, "date": "2025-01-01"},
            {"text": "two", "n": 2, "date": "2025-01-02"},
            {"text": "two", "n": 2, "date": "2025-01-02"},
        ]);
        let desk = Desk::new(&[]);
        let args =
            |rows: Value| json!({"rows": rows, "style": style, "title": "T", "totals": {"n": "5"}});
        let honest = desk.verified("compose", args(now.clone()));
        let lie = |text: &str| {
            let mut subject = honest.clone();
            subject.output["text"] = text.into();
            desk.failed(&subject);
        };
        let mut nothing = honest.clone();
        nothing.output = json!({});
        desk.failed(&nothing);
        lie("");
        lie("# T\n");
        let text = honest.output["text"].as_str().unwrap();
        let last = text.lines().rev().find(|line| line.contains("two")).unwrap();
        lie(&text.replacen(&format!("{last}\n"), "", 1));
        let old = args(json!([now[0], now[1], {"text": "old", "n": 2, "date": "2025-01-02"}]));
        lie(desk.verified("compose", old).output["text"].as_str().unwrap());
        lie(&text.replace("5**", "6**"));
    }

    #[test]
    fn lies_are_found() {
        for style in ["list", "table", "timeline", "tasks"] {
            lies(style);
        }
    }
}
