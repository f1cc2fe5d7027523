//! `search`: the lines that hold a text.

use super::list::with_skipped;
use crate::args::{Files, parse};
use crate::error::{arguments, too_large};
use crate::lines::{Seen, each_line};
use crate::tool::{Tool, object, spec};
use crate::workspace::Workspace;
use charter::effect::EffectClass;
use charter::tool::{Call, Prepared, ToolError, ToolSpec};
use regex::{Regex, RegexBuilder};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::ops::ControlFlow;

/// Most rows of one search.
const ROWS_MAX: usize = 10_000;

/// The tool.
pub(crate) struct Search;

/// Its arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Args {
    pub(crate) files: Files,
    pub(crate) text: Option<String>,
    pub(crate) pattern: Option<String>,
    pub(crate) case: Option<bool>,
    #[serde(default)]
    pub(crate) whole_words: bool,
    #[serde(default)]
    pub(crate) context: usize,
}

impl Args {
    /// What is searched for. A text is found in any case, a pattern as it is
    /// written, unless `case` says otherwise.
    pub(crate) fn regex(&self) -> Result<Regex, ToolError> {
        let (source, any_case) = match (&self.text, &self.pattern) {
            (Some(text), None) if !text.is_empty() => {
                (regex::escape(text), self.case != Some(true))
            }
            (None, Some(pattern)) if !pattern.is_empty() => {
                (format!("(?:{pattern})"), self.case == Some(false))
            }
            _ => return Err(arguments("a search needs either text or pattern, and not both")),
        };
        let source = if self.whole_words {
            format!(r"\b{{start-half}}(?:{source})\b{{end-half}}")
        } else {
            source
        };
        RegexBuilder::new(&source).case_insensitive(any_case).build().map_err(|error| {
            arguments(format!("pattern: it is no regular expression: {error}"))
                .hint("search for it as text instead")
        })
    }
}

/// A row that still waits for lines below it.
struct Open {
    file: String,
    line: usize,
    text: String,
    quote: Vec<String>,
    wants: usize,
}

impl Open {
    fn row(self) -> Value {
        let quote = self.quote.join("\n");
        json!({"file": self.file, "line": self.line, "text": self.text, "quote": quote.trim()})
    }
}

impl Tool for Search {
    fn spec(&self) -> ToolSpec {
        spec(
            "search",
            EffectClass::Read,
            "Finds the lines of text files that hold a text or fit a pattern.",
            object(
                &["files"],
                json!({
                    "files": Files::schema(),
                    "text": {"type": "string", "minLength": 1, "description": "what to find, literally"},
                    "pattern": {"type": "string", "minLength": 1, "description": "what to find, as a regular expression"},
                    "case": {"type": "boolean", "description": "whether upper and lower case differ; default: no for text, yes for pattern"},
                    "whole_words": {"type": "boolean", "default": false},
                    "context": {"type": "integer", "minimum": 0, "maximum": 20, "default": 0, "description": "lines around each hit that the quote holds too"},
                }),
            ),
            "rows: [{file, line, text, quote}] sorted, count, files (number of files searched), binary (number of files that are no text), damaged: [files with text that is not UTF-8], skipped_secrets",
            "Reads only; repeating is safe.",
        )
    }

    fn prepare(&self, call: &Call, workspace: &Workspace) -> Result<Prepared, ToolError> {
        let args: Args = parse(&call.args)?;
        let regex = args.regex()?;
        let walked = workspace.walk(&args.files)?;
        let mut rows = Vec::new();
        let mut room = call.limits.output_bytes;
        let (mut files, mut binary, mut damaged) = (0_u64, 0_u64, Vec::new());
        for file in &walked.files {
            let mut above: VecDeque<String> = VecDeque::new();
            let mut open: Vec<Open> = Vec::new();
            let seen = each_line(workspace, &file.path, &mut |number, line| {
                for row in &mut open {
                    row.quote.push(line.to_owned());
                    row.wants -= 1;
                }
                if regex.is_match(line) {
                    let mut quote: Vec<String> = above.iter().cloned().collect();
                    quote.push(line.to_owned());
                    open.push(Open {
                        file: file.path.clone(),
                        line: number,
                        text: line.trim_end().to_owned(),
                        quote,
                        wants: args.context,
                    });
                }
                let mut i = 0;
                while let Some(row) = open.get(i) {
                    if row.wants > 0 {
                        i += 1;
                        continue;
                    }
                    let row = open.remove(i);
                    let size: usize = row.quote.iter().map(|line| line.len() + 1).sum();
                    room = room.checked_sub((size + row.text.len()) as u64).ok_or_else(too_many)?;
                    rows.push(row.row());
                    if rows.len() > ROWS_MAX {
                        return Err(too_many());
                    }
                }
                if args.context > 0 {
                    above.push_back(line.to_owned());
                    if above.len() > args.context {
                        above.pop_front();
                    }
                }
                Ok(ControlFlow::Continue(()))
            })?;
            rows.extend(open.into_iter().map(Open::row));
            match seen {
                Seen::Binary => binary += 1,
                Seen::Text => files += 1,
                Seen::Lossy => {
                    files += 1;
                    damaged.push(file.path.clone());
                }
            }
        }
        let output = json!({
            "count": rows.len(), "rows": rows, "files": files, "binary": binary, "damaged": damaged,
        });
        Ok(Prepared::output(with_skipped(output, &walked), call.label))
    }
}

fn too_many() -> ToolError {
    too_large(format!("more than {ROWS_MAX} lines fit, or they are too long together"))
        .hint("search for something rarer, or in fewer files")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Desk;
    use charter::tool::ErrorCode;

    fn desk() -> Desk {
        let desk = Desk::new(&[
            ("a.md", "Alpha one\n  beta alpha  \nalphabet\n"),
            ("b/c.md", "nothing\r\nALPHA\r\n"),
            ("id_rsa", "alpha"),
        ]);
        desk.put("x.bin", b"alpha\0");
        desk
    }

    fn check(args: Value, expect: &[(&str, u64)]) {
        let mut args = args;
        args["files"] = json!(".");
        let subject = desk_with(args);
        let rows = subject["rows"].as_array().unwrap();
        let found: Vec<(&str, u64)> = rows
            .iter()
            .map(|row| (row["file"].as_str().unwrap(), row["line"].as_u64().unwrap()))
            .collect();
        assert_eq!(found, expect);
    }

    fn desk_with(args: Value) -> Value {
        desk().verified("search", args).output
    }

    #[test]
    fn lines_are_found_in_order() {
        check(json!({"text": "alpha"}), &[("a.md", 1), ("a.md", 2), ("a.md", 3), ("b/c.md", 2)]);
        check(json!({"text": "alpha", "case": true}), &[("a.md", 2), ("a.md", 3)]);
        check(
            json!({"text": "alpha", "whole_words": true}),
            &[("a.md", 1), ("a.md", 2), ("b/c.md", 2)],
        );
        check(json!({"pattern": "^al"}), &[("a.md", 3)]);
        check(json!({"pattern": "^AL", "case": false}), &[("a.md", 1), ("a.md", 3), ("b/c.md", 2)]);
        check(json!({"text": "."}), &[]);
    }

    #[test]
    fn rows_hold_text_and_quote() {
        let output = desk_with(json!({"files": "a.md", "text": "beta", "context": 1}));
        assert_eq!(
            output["rows"],
            json!([{"file": "a.md", "line": 2, "text": "  beta alpha",
                    "quote": "Alpha one\n  beta alpha  \nalphabet"}])
        );
        let output = desk_with(json!({"files": "**", "text": "beta"}));
        assert_eq!(output["rows"][0]["quote"], "beta alpha");
        assert_eq!(output["files"], 2);
        assert_eq!(output["binary"], 1);
        assert_eq!(output["skipped_secrets"], 1);
    }

    #[test]
    fn damaged_text_is_searched_and_named() {
        let desk = Desk::new(&[]);
        desk.put("a.txt", b"M\xFCller pays\n");
        desk.put("w.txt", b"\xFF\xFEp\0a\0y\0s\0");
        let output = desk.verified("search", json!({"files": "*", "text": "pays"})).output;
        assert_eq!(output["count"], 2);
        assert_eq!(output["damaged"], json!(["a.txt"]));
    }

    #[test]
    fn bad_searches_are_refused() {
        let desk = desk();
        for args in [
            json!({"files": "."}),
            json!({"files": ".", "text": "a", "pattern": "b"}),
            json!({"files": ".", "pattern": "("}),
        ] {
            let error = desk.prepare("search", args).unwrap_err();
            assert_eq!(error.code, ErrorCode::Arguments, "{error}");
        }
    }

    #[test]
    fn too_many_rows_are_an_error_and_not_cut() {
        let desk = Desk::new(&[]);
        desk.put("a.txt", "x\n".repeat(ROWS_MAX + 1).as_bytes());
        let error = desk.prepare("search", json!({"files": ".", "text": "x"})).unwrap_err();
        assert_eq!(error.code, ErrorCode::TooLarge);
    }

    #[test]
    fn lies_are_found() {
        let desk = desk();
        let subject = desk.verified("search", json!({"files": ".", "text": "alpha"}));
        let mut less = subject.clone();
        less.output["rows"].as_array_mut().unwrap().remove(1);
        less.output["count"] = json!(3);
        desk.failed(&less);
        let mut other = subject.clone();
        other.output["rows"][0]["text"] = json!("last week");
        desk.failed(&other);
        desk.failed(&desk.subject("search", subject.args, json!({"rows": [], "count": 0}), vec![]));
    }
}
