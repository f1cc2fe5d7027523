//! `list`: which files and folders there are.

use crate::args::{Files, parse};
use crate::error::arguments;
use crate::tool::{Tool, object, spec};
use crate::workspace::{Walked, WalkedFile, Workspace};
use charter::effect::EffectClass;
use charter::ids::Millis;
use charter::tool::{Call, Prepared, ToolError, ToolSpec};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::{Value, json};

/// The tool.
pub(crate) struct List;

/// What is listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    #[default]
    File,
    Folder,
    Any,
}

/// Its arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Args {
    pub(crate) files: Files,
    #[serde(default)]
    pub(crate) kind: Kind,
    newer_than: Option<String>,
    older_than: Option<String>,
    larger_than: Option<u64>,
}

/// The bounds of the arguments as numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) since: Millis,
    pub(crate) before: Millis,
    pub(crate) larger_than: Option<u64>,
}

impl Args {
    /// Reads the dates.
    pub(crate) fn bounds(&self) -> Result<Bounds, ToolError> {
        let read = |field: &str, text: &Option<String>, default| match text {
            None => Ok(default),
            Some(text) => begin(text).ok_or_else(|| {
                arguments(format!("{field}: {text:?} is no date"))
                    .hint("write it as 2025-01-31 or 2025-01-31T12:00:00Z")
            }),
        };
        Ok(Bounds {
            since: read("newer_than", &self.newer_than, Millis::MIN)?,
            before: read("older_than", &self.older_than, Millis::MAX)?,
            larger_than: self.larger_than,
        })
    }
}

/// The moment, or the first moment of the day (UTC).
pub(crate) fn begin(text: &str) -> Option<Millis> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment.as_millisecond());
    }
    let day = text.parse::<Date>().ok()?;
    Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

/// A moment as ISO 8601, to the second.
pub(crate) fn iso(at: Millis) -> String {
    Timestamp::from_millisecond(at)
        .map(|moment| moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
        .unwrap_or_default()
}

impl Tool for List {
    fn spec(&self) -> ToolSpec {
        spec(
            "list",
            EffectClass::Read,
            "Lists files and folders with sizes and times.",
            object(
                &["files"],
                json!({
                    "files": Files::schema(),
                    "kind": {"enum": ["file", "folder", "any"], "default": "file"},
                    "newer_than": {"type": "string", "description": "only what was modified on this ISO date or later"},
                    "older_than": {"type": "string", "description": "only what was modified before this ISO date"},
                    "larger_than": {"type": "integer", "minimum": 0, "description": "only files with more bytes"},
                }),
            ),
            "files: [{path, bytes, modified}] sorted by path, count, bytes (total), skipped_secrets",
            "Reads only; repeating is safe.",
        )
    }

    fn prepare(&self, call: &Call, workspace: &Workspace) -> Result<Prepared, ToolError> {
        let args: Args = parse(&call.args)?;
        let bounds = args.bounds()?;
        let walked = workspace.walk(&args.files)?;
        let fits = |file: &&WalkedFile| {
            file.modified >= bounds.since
                && file.modified < bounds.before
                && bounds.larger_than.is_none_or(|bytes| file.bytes > bytes)
        };
        let mut found: Vec<&WalkedFile> = match args.kind {
            Kind::File => walked.files.iter().filter(fits).collect(),
            Kind::Folder => walked.folders.iter().filter(fits).collect(),
            Kind::Any => walked.files.iter().chain(&walked.folders).filter(fits).collect(),
        };
        found.sort_by(|a, b| a.path.cmp(&b.path));
        let bytes: u64 = found.iter().map(|file| file.bytes).sum();
        let rows: Vec<Value> = found
            .iter()
            .map(|file| {
                json!({"path": file.path, "bytes": file.bytes, "modified": iso(file.modified)})
            })
            .collect();
        let output = json!({"count": rows.len(), "files": rows, "bytes": bytes});
        Ok(Prepared::output(with_skipped(output, &walked), call.label))
    }
}

/// The output with what a walk left out.
pub(crate) fn with_skipped(mut output: Value, walked: &Walked) -> Value {
    if let Value::Object(fields) = &mut output {
        fields.insert("skipped_secrets".into(), walked.skipped_secrets.into());
        for (key, n) in
            [("skipped_names", walked.skipped_names), ("skipped_links", walked.skipped_others)]
        {
            if n > 0 {
                fields.insert(key.into(), n.into());
            }
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Desk;
    use charter::tool::ErrorCode;

    fn check(desk: &Desk, args: Value, expect: &[&str]) {
        let subject = desk.verified("list", args);
        let files = subject.output.get("files").and_then(Value::as_array).unwrap();
        let paths: Vec<&str> = files.iter().filter_map(|file| file["path"].as_str()).collect();
        assert_eq!(paths, expect);
    }

    fn at(desk: &Desk, path: &str, day: &str) {
        let moment: Timestamp = format!("{day}T12:00:00Z").parse().unwrap();
        let file = std::fs::File::open(desk.at(path)).unwrap();
        file.set_modified(moment.into()).unwrap();
    }

    #[test]
    fn files_and_folders_are_listed() {
        let desk = Desk::new(&[("b.md", "12"), ("a/x.md", "1"), ("a/y.TXT", ""), (".env", "K=1")]);
        check(&desk, json!({"files": "."}), &["a/x.md", "a/y.TXT", "b.md"]);
        check(&desk, json!({"files": "**/*.txt"}), &["a/y.TXT"]);
        check(&desk, json!({"files": "**", "kind": "folder"}), &["a"]);
        check(&desk, json!({"files": "**", "kind": "any"}), &["a", "a/x.md", "a/y.TXT", "b.md"]);
        check(&desk, json!({"files": "**", "larger_than": 1}), &["b.md"]);
        let output = desk.done("list", json!({"files": "."})).output;
        assert_eq!((&output["bytes"], &output["skipped_secrets"]), (&json!(3), &json!(1)));
    }

    #[test]
    fn dates_bound_the_list() {
        let desk = Desk::new(&[("old.md", ""), ("new.md", "")]);
        at(&desk, "old.md", "2024-05-01");
        at(&desk, "new.md", "2025-01-31");
        check(&desk, json!({"files": "*", "newer_than": "2025-01-31"}), &["new.md"]);
        check(&desk, json!({"files": "*", "older_than": "2025-01-31"}), &["old.md"]);
        check(
            &desk,
            json!({"files": "*", "older_than": "2025-01-31T12:00:01Z"}),
            &["new.md", "old.md"],
        );
        let error = desk.prepare("list", json!({"files": "*", "newer_than": "soon"})).unwrap_err();
        assert_eq!(error.code, ErrorCode::Arguments);
        assert!(error.message.contains("newer_than"), "{error}");
        let output = desk.done("list", json!({"files": "old.md"})).output;
        assert_eq!(output["files"][0]["modified"], "2024-05-01T12:00:00Z");
    }

    #[test]
    fn what_is_not_there_is_told() {
        let desk = Desk::new(&[]);
        let error = desk.prepare("list", json!({"files": "gone"})).unwrap_err();
        assert_eq!(error.code, ErrorCode::NotFound);
        let error = desk.prepare("list", json!({"files": "gone/*.md"})).unwrap_err();
        assert_eq!(error.code, ErrorCode::NotFound);
        check(&desk, json!({"files": "*.md"}), &[]);
    }

    #[test]
    fn a_list_with_a_row_less_fails() {
        let desk = Desk::new(&[("a.md", ""), ("b.md", "")]);
        let mut subject = desk.verified("list", json!({"files": "*.md"}));
        subject.output["files"].as_array_mut().unwrap().pop();
        subject.output["count"] = json!(1);
        desk.failed(&subject);
    }
}
