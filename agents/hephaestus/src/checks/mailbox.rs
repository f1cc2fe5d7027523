//! `mailbox`: as many messages as the files hold, counted by their first lines, and
//! each as it stands there.

use super::quoted;
use super::{Finding, equal, field, list, verdict, wrong};
use crate::args::parse;
use crate::data::mail::{self, Kind};
use crate::tools::mailbox::{Args, By, gather};
use crate::workspace::{TEXT_MAX, Workspace};
use charter::check::{Subject, Verdict};
use charter::excerpt::Excerpts;
use serde_json::Value;

pub(super) fn check(
    subject: &Subject,
    workspace: &Workspace,
    excerpts: &dyn Excerpts,
) -> Vec<Verdict> {
    vec![verdict(
        "mailbox",
        "every message is told as it stands in its file, or named as unreadable",
        found(subject, workspace, excerpts),
    )]
}

fn found(
    subject: &Subject,
    workspace: &Workspace,
    excerpts: &dyn Excerpts,
) -> Result<String, Finding> {
    let args: Args = parse(&subject.args)?;
    let output = &subject.output;
    let rows = list(output, "rows")?;
    equal(output, "count", rows.len())?;
    let mut held = 0_u64;
    for file in &workspace.walk(&args.files())?.files {
        if file.bytes > TEXT_MAX {
            continue;
        }
        let bytes = workspace.read(&file.path, TEXT_MAX)?;
        held += match mail::kind(&file.path, &bytes) {
            Some(Kind::Mbox) => first_lines(&bytes),
            Some(Kind::Single) => 1,
            None => 0,
        };
    }
    let number = |name: &str| field(output, name).map(|value| value.as_u64().unwrap_or(0));
    let broken = list(output, "unread")?
        .iter()
        .filter_map(|row| row.get("why").and_then(Value::as_str))
        .filter(|why| why.contains("is no mail"))
        .count() as u64;
    let told = rows.len() as u64 + number("earlier")? + broken;
    if told != held {
        return wrong(format!("the files hold {held} messages, told are {told}"));
    }
    let page = quoted::text(output, "text")?;
    for row in rows {
        // A thread is shown under one subject.
        let shown: &[&str] = match args.by {
            By::Day => &["from", "first", "subject"],
            By::Thread => &["from", "first"],
        };
        for name in shown {
            let words = quoted::text(row, name)?;
            if !page.contains(words) {
                return wrong(format!("the text leaves out {words:?}"));
            }
        }
    }
    let fresh = gather(&args, workspace, excerpts)?;
    let others = ["text", "threads", "waiting", "earlier", "messages", "unread", "others"];
    quoted::same(output, &fresh, &others)?;
    Ok(format!("read again: {held} messages, {} told, {broken} unreadable", rows.len()))
}

/// Lines that begin a message of an mbox: `From `, at the beginning or behind an
/// empty line. A file with other words alone is one message that is none.
fn first_lines(bytes: &[u8]) -> u64 {
    let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    let text = text.replace("\r\n", "\n");
    let begins = u64::from(text.starts_with("From "));
    // An empty line ends what stands before; the next message shares none with it.
    let mut rest = text.as_str();
    let mut count = begins;
    while let Some(at) = rest.find("\n\nFrom ") {
        count += 1;
        rest = &rest[at + 2..];
    }
    match count {
        0 => u64::from(!text.trim().is_empty()),
        count => count,
    }
}
