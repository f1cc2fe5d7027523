//! `summarise`: every file with words has its section, every sentence in it stands
//! in the file, and so does each fact of what a language model wrote. The model is
//! not asked again: what it wrote is recorded, and held against the files.

use super::quoted::{self, Shelf};
use super::{Finding, equal, list, verdict, wrong};
use crate::args::parse;
use crate::sources::Source;
use crate::tools::summarise::{Args, gather};
use crate::workspace::Workspace;
use crate::writer::{self, Written};
use charter::check::{Subject, Verdict};
use charter::excerpt::Excerpts;
use charter::gist::{self, Gist};
use serde_json::Value;

pub(super) fn check(
    subject: &Subject,
    workspace: &Workspace,
    excerpts: &dyn Excerpts,
) -> Vec<Verdict> {
    let mut verdicts = vec![verdict(
        "summarise",
        "every file has its section, and every sentence stands in its file word for word",
        found(subject, workspace, excerpts),
    )];
    let rows = list(&subject.output, "rows").unwrap_or_default();
    if rows.iter().any(|row| row.get("gist").is_some()) {
        verdicts.push(verdict(
            "gists",
            "each figure, name, date and quotation in the words of the language model stands in \
             the sentences of its file",
            gists(rows),
        ));
    }
    verdicts
}

/// What a language model wrote, held against the quotes; that these stand in their
/// files is the other claim.
fn gists(rows: &[Value]) -> Result<String, Finding> {
    let mut count = 0;
    for row in rows {
        let Some(Ok(gist)) = recorded(row)? else { continue };
        let (title, file) = (quoted::text(row, "title")?, quoted::text(row, "file")?);
        let quotes = row.get("quotes").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let sentences = writer::sentences(quotes);
        if sentences.len() < gist::SENTENCES_MIN {
            return wrong(format!("{file:?} is put into other words and not quoted"));
        }
        gist::stands(&gist.text, &writer::sources(title, &sentences))
            .map_err(|unfit| Finding::Wrong(format!("about {file:?}: {unfit}")))?;
        count += 1;
    }
    Ok(format!("{count} summaries by a language model, word for word held against their sentences"))
}

/// What became of a row's quotes, as it is on record.
fn recorded(row: &Value) -> Result<Option<Written>, Finding> {
    match (row.get("gist"), row.get("why").and_then(Value::as_str)) {
        (Some(gist), _) => match serde_json::from_value::<Gist>(gist.clone()) {
            Ok(gist) => Ok(Some(Ok(gist))),
            Err(error) => wrong(format!("{} is no summary: {error}", super::short(gist))),
        },
        (None, Some(why)) => Ok(Some(Err(why.to_owned()))),
        (None, None) => Ok(None),
    }
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
    let mut written = std::collections::BTreeMap::new();
    for row in rows {
        written.insert(quoted::text(row, "file")?, recorded(row)?);
    }
    let mut again =
        |source: &Source, _: &[Value]| Ok(written.get(source.path.as_str()).cloned().flatten());
    let fresh = gather(&args, workspace, excerpts, &mut again)?;
    quoted::same(
        &subject.output,
        &fresh,
        &["text", "how", "empty", "unread", "made", "binary", "searched"],
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
