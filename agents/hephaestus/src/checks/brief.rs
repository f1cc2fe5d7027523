//! `brief`: every quote stands in its source, and no source that names the topic
//! is left out.

use super::quoted::{self, Shelf};
use super::{Finding, equal, list, verdict, wrong};
use crate::args::parse;
use crate::sources;
use crate::tools::brief::{Args, gather};
use crate::workspace::Workspace;
use charter::check::{Subject, Verdict};
use charter::excerpt::Excerpts;
use std::collections::BTreeSet;

pub(super) fn check(
    subject: &Subject,
    workspace: &Workspace,
    excerpts: &dyn Excerpts,
) -> Vec<Verdict> {
    vec![verdict(
        "brief",
        "every quote stands in its source word for word, and no source on the topic is left out",
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
    let mut quoted_files = BTreeSet::new();
    for row in rows {
        quoted_files.insert(quoted::text(row, "file")?);
    }
    equal(&subject.output, "sources", quoted_files.len())?;
    let named: Vec<&str> =
        list(&subject.output, "named")?.iter().filter_map(|path| path.as_str()).collect();
    // Where the topic stands as it was said, it may not be left out; where a whole
    // sentence says it, it has to be quoted.
    let topic = args.topic.trim().to_lowercase();
    let all = sources::read(workspace, excerpts, &args.files)?;
    for source in &all.read {
        let says = |span: &charter::memory::Span| {
            let start = usize::try_from(span.start).unwrap_or(usize::MAX);
            let end = usize::try_from(span.end).unwrap_or(usize::MAX);
            let words = source.text.get(start..end).unwrap_or_default();
            let sentence = !words.starts_with('#') && words.split_whitespace().count() >= 8;
            sentence && words.to_lowercase().contains(&topic)
        };
        let prose = source.prose();
        let told = quoted_files.contains(source.path.as_str());
        let says_it = source.text.lines().any(|line| line.to_lowercase().contains(&topic));
        if says_it && !told && !named.contains(&source.path.as_str()) {
            return wrong(format!("{:?} names it and is left out", source.path));
        }
        if !told && excerpts.sentences(&prose).iter().any(says) {
            return wrong(format!("{:?} speaks of it and is left out", source.path));
        }
    }
    let fresh = gather(&args, workspace, excerpts)?;
    quoted::same(
        &subject.output,
        &fresh,
        &["named", "text", "empty", "unread", "made", "binary", "searched"],
    )?;
    Ok(format!(
        "read again: {} files, {} quotes found where they stand",
        all.read.len(),
        rows.len()
    ))
}
