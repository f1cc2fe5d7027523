//! `count`: lines, words, bytes, and what of the lines is code. Words are what
//! blanks separate, as Unicode knows blanks.

use super::list::with_skipped;
use crate::args::{Files, parse};
use crate::data::code;
use crate::data::language;
use crate::source::{self, Content};
use crate::tool::{Tool, object, spec};
use crate::workspace::{Walked, Workspace};
use charter::effect::EffectClass;
use charter::tool::{Call, Prepared, ToolError, ToolSpec};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The language of files that are no text.
const BINARY: &str = "binary";
/// The language of texts that no rule knows.
const OTHER: &str = "other";

/// The tool.
pub(crate) struct Count;

/// What stands in one row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum By {
    #[default]
    File,
    Language,
    Folder,
    All,
}

/// Its arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Args {
    pub(crate) files: Files,
    #[serde(default)]
    pub(crate) by: By,
}

/// Sizes of a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) files: u64,
    pub(crate) lines: u64,
    pub(crate) words: u64,
    pub(crate) bytes: u64,
    pub(crate) code: u64,
    pub(crate) comments: u64,
    pub(crate) blank: u64,
}

impl Sizes {
    fn add(&mut self, other: Self) {
        self.files += other.files;
        self.lines += other.lines;
        self.words += other.words;
        self.bytes += other.bytes;
        self.code += other.code;
        self.comments += other.comments;
        self.blank += other.blank;
    }

    /// As fields of an output.
    pub(crate) fn fields(&self, names: &[&str]) -> Map<String, Value> {
        let value = |name: &str| match name {
            "files" => self.files,
            "lines" => self.lines,
            "words" => self.words,
            "bytes" => self.bytes,
            "code" => self.code,
            "comments" => self.comments,
            _ => self.blank,
        };
        names.iter().map(|name| ((*name).to_owned(), value(name).into())).collect()
    }
}

impl Tool for Count {
    fn spec(&self) -> ToolSpec {
        spec(
            "count",
            EffectClass::Read,
            "Counts lines, words and bytes, and tells code from comments and blank lines.",
            object(
                &["files"],
                json!({
                    "files": Files::schema(),
                    "by": {"enum": ["file", "language", "folder", "all"], "default": "file", "description": "what one row is about"},
                }),
            ),
            "rows, count (number of rows), totals: {files, lines, words, bytes, code, comments, blank}, binary (number of files that are no text), damaged, skipped_secrets. Rows by file: {file, language, lines, words, bytes, code, comments, blank}; by language: {language, files, lines, words, bytes, code, comments, blank}, most lines first; by folder: the same with folder. A line with code and a comment is code; in texts for people every line that is not blank is code",
            "Reads only; repeating is safe.",
        )
    }

    fn prepare(&self, call: &Call, workspace: &Workspace) -> Result<Prepared, ToolError> {
        let args: Args = parse(&call.args)?;
        let walked = workspace.walk(&args.files)?;
        let mut each = Vec::new();
        let mut damaged = Vec::new();
        for file in &walked.files {
            let (language, mut sizes) = match source::content(workspace, &file.path)? {
                Content::Binary => (BINARY.to_owned(), Sizes::default()),
                Content::Text(text) => measure(&file.path, &text),
                Content::Lossy(text) => {
                    damaged.push(file.path.clone());
                    measure(&file.path, &text)
                }
            };
            (sizes.files, sizes.bytes) = (1, file.bytes);
            each.push((file.path.clone(), language, sizes));
        }
        Ok(Prepared::output(output(&args, &each, damaged, &walked), call.label))
    }
}

/// The language of a text, and its sizes but for its bytes.
pub(crate) fn measure(path: &str, text: &str) -> (String, Sizes) {
    let language = language::of(path, text);
    let plain = language::Style::default();
    let style = language.map_or(&plain, |language| &language.style);
    let prose = style.prose || language.is_none();
    let mut sizes = Sizes { words: text.split_whitespace().count() as u64, ..Sizes::default() };
    for (line, seen) in crate::data::text::lines(text).into_iter().zip(code::scan(text, style)) {
        sizes.lines += 1;
        if line.trim().is_empty() || !prose && seen.is_blank() {
            sizes.blank += 1;
        } else if seen.code || prose && seen.comments.is_empty() {
            sizes.code += 1;
        } else {
            sizes.comments += 1;
        }
    }
    (language.map_or(OTHER, |language| language.name.as_str()).to_owned(), sizes)
}

fn output(
    args: &Args,
    each: &[(String, String, Sizes)],
    damaged: Vec<String>,
    walked: &Walked,
) -> Value {
    let mut totals = Sizes::default();
    for (_, _, sizes) in each {
        totals.add(*sizes);
    }
    const ALL: [&str; 7] = ["files", "lines", "words", "bytes", "code", "comments", "blank"];
    let grouped = |name: &str, key: &dyn Fn(&(String, String, Sizes)) -> String| {
        let mut groups: BTreeMap<String, Sizes> = BTreeMap::new();
        for one in each {
            groups.entry(key(one)).or_default().add(one.2);
        }
        let mut groups: Vec<(String, Sizes)> = groups.into_iter().collect();
        if name == "language" {
            groups.sort_by_key(|(_, sizes)| std::cmp::Reverse(sizes.lines));
        }
        let row = |(key, sizes): (String, Sizes)| {
            let mut row = Map::from_iter([(name.to_owned(), key.into())]);
            row.extend(sizes.fields(&ALL));
            Value::Object(row)
        };
        groups.into_iter().map(row).collect::<Vec<_>>()
    };
    let rows = match args.by {
        By::File => each
            .iter()
            .map(|(file, language, sizes)| {
                let mut row = Map::from_iter([
                    ("file".to_owned(), file.as_str().into()),
                    ("language".to_owned(), language.as_str().into()),
                ]);
                row.extend(sizes.fields(&ALL[1..]));
                Value::Object(row)
            })
            .collect(),
        By::Language => grouped("language", &|(_, language, _)| language.clone()),
        By::Folder => grouped("folder", &|(file, _, _)| {
            file.rsplit_once('/').map_or(".", |(folder, _)| folder).to_owned()
        }),
        By::All => vec![Value::Object(totals.fields(&ALL))],
    };
    let binary = each.iter().filter(|(_, language, _)| language == BINARY).count();
    let output = json!({
        "count": rows.len(), "rows": rows, "totals": totals.fields(&ALL), "binary": binary,
        "damaged": damaged,
    });
    with_skipped(output, walked)
}

#[cfg(test)]
mod tests {
    use crate::testing::Desk;
    use expect_test::{Expect, expect};
    use serde_json::json;

    fn check(desk: &Desk, by: &str, expect: Expect) {
        let output = desk.verified("count", json!({"files": ".", "by": by})).output;
        let mut shown: String =
            output["rows"].as_array().unwrap().iter().map(|row| format!("{row}\n")).collect();
        shown.push_str(&output["totals"].to_string());
        expect.assert_eq(&shown);
    }

    #[test]
    fn files_languages_folders() {
        let desk = Desk::new(&[
            ("a.rs", "fn a() {} // x\n\n// y\n"),
            ("src/b.py", "# c\r\nx = 1\r\n\r\n"),
            ("src/c.rs", "x"),
            ("n.md", "# Tïtle\n\nzwei  wörter\n"),
        ]);
        desk.put("z.bin", b"\0\n\n");
        check(
            &desk,
            "file",
            expect![[r#"
            {"file":"a.rs","language":"Rust","lines":3,"words":7,"bytes":21,"code":1,"comments":1,"blank":1}
            {"file":"n.md","language":"Markdown","lines":3,"words":4,"bytes":24,"code":2,"comments":0,"blank":1}
            {"file":"src/b.py","language":"Python","lines":3,"words":5,"bytes":14,"code":1,"comments":1,"blank":1}
            {"file":"src/c.rs","language":"Rust","lines":1,"words":1,"bytes":1,"code":1,"comments":0,"blank":0}
            {"file":"z.bin","language":"binary","lines":0,"words":0,"bytes":3,"code":0,"comments":0,"blank":0}
            {"files":5,"lines":10,"words":17,"bytes":63,"code":5,"comments":2,"blank":3}"#]],
        );
        check(
            &desk,
            "language",
            expect![[r#"
            {"language":"Rust","files":2,"lines":4,"words":8,"bytes":22,"code":2,"comments":1,"blank":1}
            {"language":"Markdown","files":1,"lines":3,"words":4,"bytes":24,"code":2,"comments":0,"blank":1}
            {"language":"Python","files":1,"lines":3,"words":5,"bytes":14,"code":1,"comments":1,"blank":1}
            {"language":"binary","files":1,"lines":0,"words":0,"bytes":3,"code":0,"comments":0,"blank":0}
            {"files":5,"lines":10,"words":17,"bytes":63,"code":5,"comments":2,"blank":3}"#]],
        );
        check(
            &desk,
            "folder",
            expect![[r#"
            {"folder":".","files":3,"lines":6,"words":11,"bytes":48,"code":3,"comments":1,"blank":2}
            {"folder":"src","files":2,"lines":4,"words":6,"bytes":15,"code":2,"comments":1,"blank":1}
            {"files":5,"lines":10,"words":17,"bytes":63,"code":5,"comments":2,"blank":3}"#]],
        );
        check(
            &desk,
            "all",
            expect![[r#"
            {"files":5,"lines":10,"words":17,"bytes":63,"code":5,"comments":2,"blank":3}
            {"files":5,"lines":10,"words":17,"bytes":63,"code":5,"comments":2,"blank":3}"#]],
        );
    }
}
