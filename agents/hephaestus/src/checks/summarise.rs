//! `summarise`: every file with words has its section, and every sentence in it
//! stands in the file.

use super::quoted::{self, Shelf};
use super::{Finding, equal, list, verdict, wrong};
use crate::args::parse;
use crate::tools::summarise::{Args, gather};
use crate::workspace::Workspace;
use charter::check::{Subject, Verdict};
use charter::excerpt::Excerpts;

pub(super) fn check(
    subject: &Subject,
    workspace: &Workspace,
    excerpts: &dyn Excerpts,
) -> Vec<Verdict> {
    vec![verdict(
        "summarise",
        "every file has its section, and every sentence stands in its file word for word",
        found(subject, workspace, excerpts),
    )]
}

fn found(
    subject: &Subject,
    workspace: &Workspace,
    excerpts: &dyn Excerpts,
) -> Result<String, Finding> {
    let args: Args = parse(&subject.args)?;
    let rows = list(&subject.output, "rows")?;
    equal(&subject.output, "count", rows.len())?;
    let mut shelf = Shelf::new(workspace, excerpts);
    let quotes = quoted::rows(&subject.output, &mut shelf)?;
    let fresh = gather(&args, workspace, excerpts)?;
    quoted::same(
        &subject.output,
        &fresh,
        &["text", "empty", "unread", "made", "binary", "searched"],
    )?;
    if let Some(long) = rows.iter().find(|row| {
        row.get("quotes")
            .and_then(|quotes| quotes.as_array())
            .is_none_or(|q| q.len() > args.sentences)
    }) {
        return wrong(format!("more than {} sentences in {}", args.sentences, super::short(long)));
    }
    Ok(format!("read again: {} files, {quotes} sentences found where they stand", rows.len()))
}
