//! What the checks of quoting tools share: every quote stands in its source where
//! it is said to stand, by the bytes on disk, and the output is what the sources
//! give when they are read again.

use super::{Finding, field, list, short, wrong};
use crate::data::quote;
use crate::workspace::{TEXT_MAX, Workspace};
use charter::excerpt::Excerpts;
use serde_json::Value;
use std::collections::BTreeMap;

/// Texts of files that were read for a check.
pub(super) struct Shelf<'a> {
    workspace: &'a Workspace,
    excerpts: &'a dyn Excerpts,
    texts: BTreeMap<String, String>,
}

impl<'a> Shelf<'a> {
    pub(super) fn new(workspace: &'a Workspace, excerpts: &'a dyn Excerpts) -> Self {
        Self { workspace, excerpts, texts: BTreeMap::new() }
    }

    /// A text file as it stands on disk; what is no plain text as its reader gives it.
    fn text(&mut self, file: &str) -> Result<&str, Finding> {
        if !self.texts.contains_key(file) {
            let bytes = self.workspace.read(file, TEXT_MAX)?;
            let lower = file.to_lowercase();
            let is_page = [".html", ".htm", ".xhtml", ".pdf"].iter().any(|e| lower.ends_with(e));
            let text = match (is_page || bytes.starts_with(b"%PDF-"), bytes.as_slice()) {
                (true, _) | (_, [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..]) => self
                    .excerpts
                    .words(file, &bytes)
                    .map(|words| words.text)
                    .map_err(|why| Finding::Wrong(format!("{file:?} is quoted, yet {why}")))?,
                (false, all) => match std::str::from_utf8(all) {
                    Ok(text) => text.to_owned(),
                    Err(_) => all.iter().map(|byte| char::from(*byte)).collect(),
                },
            };
            self.texts.insert(file.to_owned(), text);
        }
        Ok(self.texts.get(file).map_or("", String::as_str))
    }

    /// A quote stands in a file, on its line where it has one.
    pub(super) fn stands(&mut self, file: &str, row: &Value) -> Result<(), Finding> {
        let Some(words) = row.get("quote").and_then(Value::as_str).filter(|w| !w.is_empty()) else {
            return wrong(format!("there is no quote in {}", short(row)));
        };
        let line = row.get("line").and_then(Value::as_u64);
        let text = self.text(file)?;
        let found = match line {
            Some(line) => quote::stands_at(text, usize::try_from(line).unwrap_or(0), words),
            None => quote::stands_in(text, words),
        };
        match (found, line) {
            (true, _) => Ok(()),
            (false, Some(line)) => {
                wrong(format!("{file:?} line {line} does not say {:?}", cut(words)))
            }
            (false, None) => wrong(format!("{file:?} does not say {:?}", cut(words))),
        }
    }
}

fn cut(words: &str) -> String {
    words.chars().take(80).collect()
}

/// A field of a row that must be text.
pub(super) fn text<'v>(row: &'v Value, name: &str) -> Result<&'v str, Finding> {
    row.get(name)
        .and_then(Value::as_str)
        .ok_or_else(|| Finding::Wrong(format!("no {name:?} in {}", short(row))))
}

/// The rows are those that come of reading again, all of them and in their order;
/// so are these other fields.
pub(super) fn same(told: &Value, fresh: &Value, others: &[&str]) -> Result<(), Finding> {
    let (told_rows, fresh_rows) = (list(told, "rows")?, list(fresh, "rows")?);
    for (at, row) in fresh_rows.iter().enumerate() {
        if !told_rows.contains(row) {
            return wrong(format!("row {} is missing: {}", at + 1, short(row)));
        }
    }
    if let Some(more) = told_rows.iter().find(|row| !fresh_rows.contains(row)) {
        return wrong(format!("the sources do not give this row: {}", short(more)));
    }
    if told_rows != fresh_rows {
        return wrong("the rows stand in another order");
    }
    for name in others {
        if field(told, name)? != field(fresh, name)? {
            return wrong(format!("{name:?} is another when the sources are read again"));
        }
    }
    Ok(())
}

/// Every row names a file and quotes it rightly, and the text shows each quote that
/// it does not put into other words.
pub(super) fn rows(output: &Value, shelf: &mut Shelf<'_>) -> Result<usize, Finding> {
    let page = output.get("text").and_then(Value::as_str).unwrap_or_default();
    let mut count = 0;
    for row in list(output, "rows")? {
        let file = text(row, "file")?;
        let inner = row.get("quotes").and_then(Value::as_array);
        let quotes = inner.map_or_else(|| std::slice::from_ref(row), Vec::as_slice);
        for quote in quotes {
            shelf.stands(file, quote)?;
            // In other words, the page names the places instead.
            let shown = row.get("gist").is_some() || page.contains(text(quote, "quote")?);
            if !shown {
                return wrong(format!("the text leaves out a quote of {file:?}"));
            }
            count += 1;
        }
    }
    Ok(count)
}
