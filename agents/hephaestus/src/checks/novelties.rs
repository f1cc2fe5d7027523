//! `novelties`: exactly the files modified since then are told, by another look at
//! the disk, and every line stands in its file.

use super::quoted::{self, Shelf};
use super::{Finding, equal, list, verdict, wrong};
use crate::args::parse;
use crate::tools::novelties::{Args, gather};
use crate::workspace::Workspace;
use charter::check::{Subject, Verdict};
use charter::excerpt::Excerpts;
use std::collections::BTreeSet;
use std::time::UNIX_EPOCH;

pub(super) fn check(
    subject: &Subject,
    workspace: &Workspace,
    excerpts: &dyn Excerpts,
) -> Vec<Verdict> {
    vec![verdict(
        "novelties",
        "every file that is new or changed since then is told, no other, and every line stands in its file",
        found(subject, workspace, excerpts),
    )]
}

fn found(
    subject: &Subject,
    workspace: &Workspace,
    excerpts: &dyn Excerpts,
) -> Result<String, Finding> {
    let args: Args = parse(&subject.args)?;
    let since = args.begin()?;
    let rows = list(&subject.output, "rows")?;
    equal(&subject.output, "count", rows.len())?;
    let mut told = BTreeSet::new();
    for row in rows {
        told.insert(quoted::text(row, "file")?);
    }
    let walked = workspace.walk(&args.files)?;
    for file in &walked.files {
        let at = std::fs::metadata(workspace.path().join(&file.path))
            .and_then(|meta| meta.modified())
            .map_err(|error| Finding::Unsure(format!("{:?}: {error}", file.path)))?;
        let at = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let is_new = i64::try_from(at).unwrap_or(i64::MAX) >= since;
        match (is_new, told.contains(file.path.as_str())) {
            (true, false) => return wrong(format!("{:?} is new and left out", file.path)),
            (false, true) => return wrong(format!("{:?} is told and not new", file.path)),
            _ => {}
        }
    }
    let mut shelf = Shelf::new(workspace, excerpts);
    let lines = quoted::rows(&subject.output, &mut shelf)?;
    let fresh = gather(&args, workspace, excerpts)?;
    quoted::same(&subject.output, &fresh, &["text", "empty", "unread", "made", "binary"])?;
    Ok(format!(
        "looked again: {} of {} files are new, {lines} lines found where they stand",
        rows.len(),
        walked.files.len()
    ))
}
