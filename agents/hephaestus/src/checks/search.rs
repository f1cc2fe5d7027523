//! `search`: reads every file again, whole, and looks for the hits with plain
//! comparison of texts where that can tell.

use super::{Finding, equal, list, short, verdict, wrong};
use crate::args::parse;
use crate::tools::search::Args;
use crate::workspace::{TEXT_MAX, Workspace};
use charter::check::{Subject, Verdict};
use regex::Regex;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read;

pub(super) fn check(subject: &Subject, workspace: &Workspace) -> Vec<Verdict> {
    vec![verdict(
        "search",
        "every line that fits is quoted with its file and number, and no other",
        found(subject, workspace),
    )]
}

fn found(subject: &Subject, workspace: &Workspace) -> Result<String, Finding> {
    let args: Args = parse(&subject.args)?;
    let regex = args.regex()?;
    let walked = workspace.walk(&args.files)?;
    let mut rows: BTreeMap<(&str, u64), &Value> = BTreeMap::new();
    for row in list(&subject.output, "rows")? {
        let at = row
            .get("file")
            .and_then(Value::as_str)
            .zip(row.get("line").and_then(Value::as_u64))
            .ok_or_else(|| Finding::Wrong(format!("no file and line in {}", short(row))))?;
        if rows.insert(at, row).is_some() {
            return wrong(format!("{:?} line {} is listed twice", at.0, at.1));
        }
    }
    let count = rows.len();
    let (mut files, mut lines) = (0_u64, 0_u64);
    for file in &walked.files {
        if is_binary(workspace, &file.path)? {
            continue;
        }
        let bytes = workspace.read(&file.path, TEXT_MAX)?;
        let text = match bytes.as_slice() {
            [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
            [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
            all => String::from_utf8_lossy(all.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(all))
                .into_owned(),
        };
        files += 1;
        let all: Vec<&str> = text.lines().collect();
        for (i, line) in all.iter().enumerate() {
            lines += 1;
            let number = i as u64 + 1;
            let row = rows.remove(&(file.path.as_str(), number));
            match (row, fits(&args, &regex, line)) {
                (None, false) => {}
                (None, true) => {
                    return wrong(format!("{:?} line {number} fits and is missing", file.path));
                }
                (Some(_), false) => {
                    return wrong(format!(
                        "{:?} line {number} is listed, yet does not fit",
                        file.path
                    ));
                }
                (Some(row), true) => {
                    let from = i.saturating_sub(args.context);
                    let to = (i + args.context + 1).min(all.len());
                    let quote = all.get(from..to).unwrap_or_default().join("\n");
                    equal(row, "text", line.trim_end())?;
                    equal(row, "quote", quote.trim())?;
                }
            }
        }
    }
    if let Some(((file, line), _)) = rows.first_key_value() {
        return wrong(format!("{file:?} line {line} is listed, yet there is no such line"));
    }
    equal(&subject.output, "count", count)?;
    equal(&subject.output, "files", files)?;
    Ok(format!("read again: {lines} lines of {files} files, {count} fit"))
}

/// Whether the beginning of a file is no text: its size does not matter then.
fn is_binary(workspace: &Workspace, path: &str) -> Result<bool, Finding> {
    let mut head = Vec::with_capacity(8_192);
    workspace
        .open_file(path)?
        .take(8_192)
        .read_to_end(&mut head)
        .map_err(|error| Finding::Unsure(format!("{path:?}: {error}")))?;
    let wide = head.starts_with(&[0xFF, 0xFE]) || head.starts_with(&[0xFE, 0xFF]);
    Ok(!wide && head.contains(&0))
}

/// Whether a line fits. A literal text is compared without the expression that
/// the tool uses; where letters have unusual cases the expression decides.
fn fits(args: &Args, regex: &Regex, line: &str) -> bool {
    match &args.text {
        Some(text) if !args.whole_words && args.case == Some(true) => line.contains(text.as_str()),
        Some(text) if !args.whole_words && line.is_ascii() && text.is_ascii() => {
            line.to_ascii_lowercase().contains(&text.to_ascii_lowercase())
        }
        _ => regex.is_match(line),
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let units = bytes.chunks_exact(2).filter_map(|pair| pair.try_into().ok().map(unit));
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}
