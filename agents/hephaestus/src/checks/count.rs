//! `count`: counts lines, words, bytes and blank lines of every file again, byte
//! by byte; code and comments must fill up the rest.

use super::{Finding, equal, field, list, short, verdict, wrong};
use crate::args::parse;
use crate::source::{self, Content};
use crate::tools::count::{Args, By, Sizes, measure};
use crate::workspace::Workspace;
use charter::check::{Subject, Verdict};
use serde_json::Value;
use std::collections::BTreeMap;

pub(super) fn check(subject: &Subject, workspace: &Workspace) -> Vec<Verdict> {
    vec![verdict("count", "the counts are those of the files", found(subject, workspace))]
}

fn found(subject: &Subject, workspace: &Workspace) -> Result<String, Finding> {
    let args: Args = parse(&subject.args)?;
    let output = &subject.output;
    let rows = list(output, "rows")?;
    equal(output, "count", rows.len())?;
    let mut groups: BTreeMap<String, Sizes> = BTreeMap::new();
    let mut totals = Sizes::default();
    for file in workspace.walk(&args.files)?.files {
        let bytes =
            std::fs::symlink_metadata(workspace.path().join(&file.path)).map(|meta| meta.len());
        let bytes = bytes.map_err(|error| Finding::Unsure(format!("{:?}: {error}", file.path)))?;
        let (language, mut sizes) = match source::content(workspace, &file.path)? {
            Content::Binary => ("binary".to_owned(), Sizes::default()),
            Content::Text(text) | Content::Lossy(text) => {
                let (language, sizes) = measure(&file.path, &text);
                plain(&file.path, &text, &sizes)?;
                (language, sizes)
            }
        };
        (sizes.files, sizes.bytes) = (1, bytes);
        let folder = file.path.rsplit_once('/').map_or(".", |(folder, _)| folder);
        let key = match args.by {
            By::File => file.path.clone(),
            By::Language => language,
            By::Folder => folder.to_owned(),
            By::All => String::new(),
        };
        add(groups.entry(key).or_default(), &sizes);
        add(&mut totals, &sizes);
    }
    same(field(output, "totals")?, &totals, "the totals")?;
    for row in rows {
        let name = match args.by {
            By::File => "file",
            By::Language => "language",
            By::Folder => "folder",
            By::All => "",
        };
        let key = row.get(name).and_then(Value::as_str).unwrap_or_default();
        let Some(sizes) = groups.remove(key) else {
            return wrong(format!("{} is counted twice, or is not there", short(&key.into())));
        };
        same(row, &sizes, &format!("{key:?}"))?;
    }
    // Nothing at all is one row of zeros.
    if let Some((key, _)) = groups.first_key_value() {
        return wrong(format!("{key:?} is not counted"));
    }
    Ok(format!(
        "counted again byte by byte: {} files, {} lines, {} words, {} bytes",
        totals.files, totals.lines, totals.words, totals.bytes
    ))
}

fn add(sum: &mut Sizes, one: &Sizes) {
    sum.files += one.files;
    sum.lines += one.lines;
    sum.words += one.words;
    sum.bytes += one.bytes;
    sum.code += one.code;
    sum.comments += one.comments;
    sum.blank += one.blank;
}

/// Compares what a row tells with what was counted.
fn same(row: &Value, sizes: &Sizes, what: &str) -> Result<(), Finding> {
    for name in ["files", "lines", "words", "bytes", "code", "comments", "blank"] {
        let wanted = sizes.fields(&[name]);
        let wanted = wanted.get(name);
        // Rows about one file do not say that it is one.
        match row.get(name) {
            None if name == "files" => {}
            told if told == wanted => {}
            told => {
                return wrong(format!(
                    "{what}: {name} are told as {}, counted are {}",
                    short(told.unwrap_or(&Value::Null)),
                    short(wanted.unwrap_or(&Value::Null))
                ));
            }
        }
    }
    Ok(())
}

/// Counts without any of the tool's code.
fn plain(path: &str, text: &str, sizes: &Sizes) -> Result<(), Finding> {
    let (mut lines, mut words, mut blank) = (0u64, 0u64, 0u64);
    let (mut in_word, mut empty, mut open, mut last) = (false, true, false, ' ');
    for c in text.chars() {
        if c == '\n' && last == '\r' {
            last = c;
            continue;
        }
        last = c;
        if c == '\n' || c == '\r' {
            lines += 1;
            blank += u64::from(empty);
            (empty, open, in_word) = (true, false, false);
            continue;
        }
        open = true;
        let space = c.is_whitespace();
        words += u64::from(!space && !in_word);
        in_word = !space;
        empty &= space;
    }
    lines += u64::from(open);
    blank += u64::from(open && empty);
    let filled = sizes.code + sizes.comments + sizes.blank;
    if lines != sizes.lines || words != sizes.words || filled != lines || sizes.blank < blank {
        return wrong(format!(
            "{path:?} has {lines} lines, {blank} of them blank, and {words} words; counted were {sizes:?}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::Desk;
    use serde_json::{Value, json};

    #[test]
    fn lies_are_found() {
        for by in ["file", "language", "folder"] {
            let args = json!({"files": ".", "by": by});
            let desk = Desk::new(&[("a.rs", "x\n"), ("b/c.py", "y\n# z\n")]);
            let honest = desk.verified("count", args.clone());
            let lie = |change: &dyn Fn(&mut Value)| {
                let mut subject = honest.clone();
                change(&mut subject.output);
                desk.failed(&subject);
            };
            lie(&|output| *output = json!({}));
            lie(&|output| (output["rows"], output["count"]) = (json!([]), 0.into()));
            lie(&|output| {
                output["rows"].as_array_mut().unwrap().pop();
                output["count"] = 1.into();
            });
            let old = Desk::new(&[("a.rs", "x\n"), ("b/c.py", "y\n")]).done("count", args.clone());
            lie(&|output| *output = old.output.clone());
            lie(&|output| output["totals"]["lines"] = 4.into());
        }
    }
}
