//! `decisions`: every decision stands where it is said to stand, none is left out,
//! and their dates and order are what the sources give.

use super::quoted::{self, Shelf};
use super::{Finding, equal, list, verdict, wrong};
use crate::args::parse;
use crate::tools::decisions::{Args, gather};
use crate::workspace::Workspace;
use charter::check::{Subject, Verdict};
use charter::excerpt::Excerpts;

pub(super) fn check(
    subject: &Subject,
    workspace: &Workspace,
    excerpts: &dyn Excerpts,
) -> Vec<Verdict> {
    vec![verdict(
        "decisions",
        "every decision stands in its source word for word, in order of its date, and none is left out",
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
    quoted::rows(&subject.output, &mut shelf)?;
    let mut last = "";
    for row in rows {
        let day = quoted::text(row, "date")?;
        if day < last {
            return wrong(format!("{day} stands behind {last}"));
        }
        last = day;
    }
    let fresh = gather(&args, workspace, excerpts)?;
    let others = ["text", "sources", "empty", "unread", "made", "binary", "searched"];
    quoted::same(&subject.output, &fresh, &others)?;
    Ok(format!("read again: {} decisions found where they stand", rows.len()))
}
