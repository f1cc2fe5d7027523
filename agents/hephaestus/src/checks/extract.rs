//! `extract`: reads every file again. Each row must stand where it says; a scan
//! that knows only the plainest forms must find nothing that is missing; and a
//! second extraction from the files as they are now must give the same rows.

use super::{Finding, equal, list, short, tally, verdict, wrong};
use crate::args::parse;
use crate::data::{inline, text};
use crate::source::{self, Content};
use crate::tools::extract::{Args, What, gather, is_copy, is_prose};
use crate::workspace::Workspace;
use charter::check::{Subject, Verdict};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

const CLAIM: &str = "every one is listed with its file and line, and nothing else";

pub(super) fn check(subject: &Subject, workspace: &Workspace) -> Vec<Verdict> {
    vec![verdict("extract", CLAIM, found(subject, workspace))]
}

fn found(subject: &Subject, workspace: &Workspace) -> Result<String, Finding> {
    let args: Args = parse(&subject.args)?;
    let rows = list(&subject.output, "rows")?;
    equal(&subject.output, "count", rows.len())?;
    let texts = texts(&args, workspace)?;
    for row in rows {
        stands(&args, row, &texts, workspace.path())?;
    }
    let plain = plain_candidates(&args, &texts);
    let listed: HashSet<(&str, u64, &str)> = rows.iter().map(|row| key(args.what, row)).collect();
    let mut missing = None;
    for (file, line, what) in &plain {
        if !listed.contains(&(file.as_str(), *line, what.as_str())) {
            missing = Some(format!(
                "{file:?} line {line} holds {:?}, which is not listed",
                short(&what.as_str().into())
            ));
            break;
        }
    }
    let again = gather(&args, workspace, u64::MAX)?;
    same_rows(rows, list(&again, "rows")?)?;
    for field in ["files", "what", "binary", "damaged", "made", "skipped_secrets"] {
        equal(&subject.output, field, again.get(field).cloned().unwrap_or_default())?;
    }
    // The second extraction agrees, so nothing was dropped on the way; but one
    // of the two ways of reading is mistaken.
    if let Some(missing) = missing {
        return Err(Finding::Unsure(format!("a plain look at the files differs: {missing}")));
    }
    let mut said = String::new();
    if args.what == What::Failures {
        let lines = texts.values().flatten().map(String::as_str);
        said = format!("; {}", tally::agrees(rows.len(), lines)?);
    }
    Ok(format!(
        "extracted again from {} files: {} rows are the same, each stands on its line; {} of them found by a plain scan too{said}",
        texts.len(),
        rows.len(),
        plain.len()
    ))
}

/// The lines of every file that is text.
fn texts(args: &Args, workspace: &Workspace) -> Result<BTreeMap<String, Vec<String>>, Finding> {
    let own = |text: &str| text::lines(text).into_iter().map(str::to_owned).collect();
    let mut found = BTreeMap::new();
    if let Some(text) = &args.text {
        found.insert(String::new(), own(text));
    }
    if let Some(files) = &args.files {
        let walked = workspace.walk(files)?;
        for file in &walked.files {
            match source::content(workspace, &file.path)? {
                Content::Binary => {}
                Content::Text(text) | Content::Lossy(text) if is_copy(&walked, &text) => {}
                Content::Text(text) | Content::Lossy(text) => {
                    found.insert(file.path.clone(), own(&text));
                }
            }
        }
    }
    Ok(found)
}

fn field<'r>(row: &'r Value, name: &str) -> &'r str {
    row.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// What a plain scan compares.
fn key(what: What, row: &Value) -> (&str, u64, &str) {
    let told = match what {
        What::Addresses => field(row, "address"),
        What::Dates => field(row, "date"),
        What::Comments => field(row, "kind"),
        _ => "",
    };
    (field(row, "file"), row.get("line").and_then(Value::as_u64).unwrap_or(0), told)
}

/// Whether a row stands where it says.
fn stands(
    args: &Args,
    row: &Value,
    texts: &BTreeMap<String, Vec<String>>,
    root: &Path,
) -> Result<(), Finding> {
    let (file, number, _) = key(args.what, row);
    let lines = texts.get(file).ok_or_else(|| {
        Finding::Wrong(format!("{file:?} is none of the files that were searched"))
    })?;
    let line = usize::try_from(number).ok().and_then(|n| lines.get(n.checked_sub(1)?));
    let Some(line) = line else {
        return wrong(format!("{file:?} has no line {number}"));
    };
    let pieces: Vec<&str> = match args.what {
        What::Tasks => vec![field(row, "text")],
        What::Addresses => vec![field(row, "address")],
        What::Comments => vec![field(row, "kind"), field(row, "text")],
        What::Failures => vec![field(row, "test").rsplit('.').next().unwrap_or_default()],
        What::Dates => field(row, "date").get(..4).into_iter().collect(),
        // Their texts may span lines or be written elsewhere in the file.
        What::Headings | What::Links => Vec::new(),
    };
    if args.what == What::Links {
        there(args, row, line, file, root)?;
    }
    match pieces.into_iter().find(|piece| !line.contains(piece)) {
        Some(piece) => wrong(format!("{file:?} line {number} does not hold {piece:?}")),
        None => Ok(()),
    }
}

/// Whether what a plain relative target names is there, asked of the disk.
fn there(args: &Args, row: &Value, line: &str, file: &str, root: &Path) -> Result<(), Finding> {
    let target = field(row, "target");
    let plain = field(row, "kind") == "relative"
        && args.text.is_none()
        && !line.contains("[[")
        && !target.starts_with('/')
        && !target.contains(['%', '?', '#', '\\', '&']);
    let Some(told) = row.get("exists").and_then(Value::as_bool).filter(|_| plain) else {
        return Ok(());
    };
    let path = root.join(file).parent().unwrap_or(root).join(target);
    // A link of the file system may lead outside; the tool does not follow it there.
    match (told, std::fs::symlink_metadata(&path)) {
        (true, Err(_)) => wrong(format!("{target:?} in {file:?} is told to exist and does not")),
        (false, Ok(meta)) if meta.is_file() => {
            wrong(format!("{target:?} in {file:?} is told to be missing and is there"))
        }
        _ => Ok(()),
    }
}

/// What nobody can overlook: the plainest forms, outside of fences.
fn plain_candidates(
    args: &Args,
    texts: &BTreeMap<String, Vec<String>>,
) -> Vec<(String, u64, String)> {
    let marks = inline::marks(&args.kinds);
    let mut found = Vec::new();
    for (file, lines) in texts {
        let prose = is_prose(file, lines.first().map_or("", String::as_str));
        let mut fenced = false;
        for (i, line) in lines.iter().enumerate() {
            let trimmed = line.trim_start();
            if trimmed.starts_with("```") || trimmed.starts_with("~~~") {
                fenced = !fenced;
            }
            let plain =
                prose && !fenced && line.len() - trimmed.len() < 4 && !line.starts_with('\t');
            let told = match args.what {
                What::Tasks if plain && is_box(trimmed, args.open_only) => vec![String::new()],
                What::Links if plain && file.ends_with(".md") && is_link(line) => {
                    vec![String::new()]
                }
                What::Headings if plain && file.ends_with(".md") && is_heading(line) => {
                    vec![String::new()]
                }
                What::Addresses => {
                    words(line).filter(|word| is_address(word)).map(str::to_owned).collect()
                }
                What::Dates => words(line).filter(|word| is_day(word)).map(str::to_owned).collect(),
                What::Comments => {
                    let rust = file.ends_with(".rs") || file.ends_with(".go");
                    let rest = trimmed.strip_prefix("// ").filter(|_| rust);
                    let first = rest.and_then(|rest| rest.split([':', ' ', '(']).next());
                    first
                        .filter(|first| marks.iter().any(|mark| mark == first))
                        .map(str::to_owned)
                        .into_iter()
                        .collect()
                }
                _ => Vec::new(),
            };
            found.extend(told.into_iter().map(|told| (file.clone(), i as u64 + 1, told)));
        }
    }
    found
}

fn is_box(line: &str, open_only: bool) -> bool {
    let open = line.strip_prefix("- [ ] ").or_else(|| line.strip_prefix("* [ ] "));
    let done = line.strip_prefix("- [x] ").or_else(|| line.strip_prefix("* [x] "));
    let text = open.or(done.filter(|_| !open_only));
    text.is_some_and(|text| !text.trim().is_empty() && !text.contains("~~"))
}

fn is_link(line: &str) -> bool {
    let told = line.split_once("](").filter(|_| !line.contains(['`', '\\', '<']));
    told.is_some_and(|(before, after)| {
        before.contains('[')
            && after.starts_with(char::is_alphanumeric)
            && after.contains(')')
            && !after.starts_with("data:")
            && !after.starts_with("javascript:")
    })
}

fn is_heading(line: &str) -> bool {
    ["# ", "## ", "### "].iter().any(|mark| {
        line.strip_prefix(mark).is_some_and(|text| text.contains(char::is_alphanumeric))
    })
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| {
        c.is_whitespace() || matches!(c, ',' | ';' | '<' | '>' | '(' | ')' | '"' | '|')
    })
}

fn is_address(word: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    word.split_once('@').is_some_and(|(name, host)| {
        plain(name)
            && host
                .split_once('.')
                .is_some_and(|(host, top)| plain(host) && plain(top) && (2..5).contains(&top.len()))
    })
}

fn is_day(word: &str) -> bool {
    let shaped = word.len() == 10
        && word
            .char_indices()
            .all(|(i, c)| if matches!(i, 4 | 7) { c == '-' } else { c.is_ascii_digit() });
    shaped && !word.starts_with('0') && word.parse::<jiff::civil::Date>().is_ok()
}

/// Whether both lists hold the same rows, each as often.
fn same_rows(told: &[Value], found: &[Value]) -> Result<(), Finding> {
    let mut counts: HashMap<String, i64> = HashMap::new();
    for row in found {
        *counts.entry(row.to_string()).or_default() += 1;
    }
    for row in told {
        *counts.entry(row.to_string()).or_default() -= 1;
    }
    let mut off: Vec<(&String, &i64)> = counts.iter().filter(|(_, count)| **count != 0).collect();
    off.sort();
    match off.first() {
        None => Ok(()),
        Some((row, count)) => {
            let row: String = row.chars().take(200).collect();
            let what = if **count > 0 { "is missing" } else { "is listed, yet not in the files" };
            wrong(format!("{} rows told, {} found: {row} {what}", told.len(), found.len()))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Desk;
    use serde_json::{Value, json};

    /// A result with nothing, with a row less, with last week's rows.
    fn lies(files: &[(&str, &str)], old: &[(&str, &str)], args: Value) {
        let desk = Desk::new(files);
        let honest = desk.verified("extract", args.clone());
        let mut nothing = honest.clone();
        nothing.output = json!({});
        desk.failed(&nothing);
        let mut empty = honest.clone();
        empty.output["rows"] = json!([]);
        empty.output["count"] = 0.into();
        desk.failed(&empty);
        let mut dropped = honest.clone();
        dropped.output["rows"].as_array_mut().unwrap().pop();
        dropped.output["count"] = (honest.output["rows"].as_array().unwrap().len() - 1).into();
        desk.failed(&dropped);
        let mut stale = honest.clone();
        stale.output = Desk::new(old).done("extract", args).output;
        desk.failed(&stale);
    }

    #[test]
    fn lies_about_tasks_are_found() {
        lies(
            &[("a.md", "- [ ] one\n- [ ] two\n")],
            &[("a.md", "- [ ] one\n- [ ] older\n")],
            json!({"files": ".", "what": "tasks"}),
        );
    }

    #[test]
    fn lies_about_links_and_comments_are_found() {
        lies(
            &[("a.md", "[a](b.md) [c](d.md)\n"), ("b.md", "")],
            &[("a.md", "[a](b.md)\n")],
            json!({"files": ".", "what": "links"}),
        );
        lies(
            &[("a.rs", "// TODO: a\n// FIXME b\n")],
            &[("a.rs", "// TODO: a\n\n// FIXME b\n")],
            json!({"files": ".", "what": "comments"}),
        );
    }

    #[test]
    fn a_link_that_broke_since_is_found() {
        let desk = Desk::new(&[("a.md", "[a](b.md)\n"), ("b.md", "")]);
        let honest = desk.verified("extract", json!({"files": "a.md", "what": "links"}));
        std::fs::remove_file(desk.at("b.md")).unwrap();
        desk.failed(&honest);
    }
}
