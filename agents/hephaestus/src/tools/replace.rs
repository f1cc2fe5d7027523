//! `replace`: a text by another in one file.

use crate::args::{parse, path_schema};
use crate::error::{arguments, malformed, too_large};
use crate::tool::{PAYLOAD_MAX, Tool, object, spec};
use crate::workspace::{Workspace, paths};
use charter::effect::{Change, EffectClass};
use charter::tool::{Call, Prepared, ToolError, ToolSpec};
use regex::Regex;
use serde::Deserialize;
use serde_json::json;

/// The tool.
pub(crate) struct Replace;

/// Its arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Args {
    pub(crate) path: String,
    pub(crate) find: String,
    pub(crate) with: String,
    #[serde(default)]
    pub(crate) pattern: bool,
}

impl Args {
    /// What is searched for, if it is a regular expression.
    pub(crate) fn regex(&self) -> Result<Option<Regex>, ToolError> {
        if !self.pattern {
            return Ok(None);
        }
        Regex::new(&self.find).map(Some).map_err(|error| {
            arguments(format!("find: it is no regular expression: {error}"))
                .hint("leave pattern out to find it as text")
        })
    }
}

impl Tool for Replace {
    fn spec(&self) -> ToolSpec {
        spec(
            "replace",
            EffectClass::Change,
            "Replaces a text, or what fits a pattern, in one file.",
            object(
                &["path", "find", "with"],
                json!({
                    "path": path_schema("the file"),
                    "find": {"type": "string", "minLength": 1, "description": "what is replaced, as it is written"},
                    "with": {"type": "string", "description": "what it is replaced with; with a pattern, $1 is its first group"},
                    "pattern": {"type": "boolean", "default": false, "description": "whether find is a regular expression"},
                }),
            ),
            "path, replacements",
            "The recorded new content is written, so repeating is safe.",
        )
    }

    fn prepare(&self, call: &Call, workspace: &Workspace) -> Result<Prepared, ToolError> {
        let args: Args = parse(&call.args)?;
        let path = paths::normal(&args.path)?;
        if args.find.is_empty() {
            return Err(arguments("find: it is empty, so there is nothing to replace"));
        }
        let regex = args.regex()?;
        let old = workspace.read(&path, PAYLOAD_MAX as u64)?;
        // The byte order mark, if there is one, stays: this is not `text`.
        let old = String::from_utf8(old).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            malformed(format!("{path:?} is not UTF-8 text: byte {at} cannot be read"))
                .hint("convert the file to UTF-8 first")
        })?;
        let (count, new) = match regex {
            Some(regex) => (
                regex.find_iter(&old).count(),
                regex.replace_all(&old, args.with.as_str()).into_owned(),
            ),
            None => (old.matches(&args.find).count(), old.replace(&args.find, &args.with)),
        };
        if new.len() > PAYLOAD_MAX {
            return Err(too_large(format!(
                "{path:?} would have more than the {PAYLOAD_MAX} bytes that one step may write"
            )));
        }
        let output = json!({"path": path, "replacements": count});
        let mut prepared = Prepared::output(output, call.label);
        if count > 0 {
            let change = Change::Write { path, bytes: new.into_bytes(), mode: None };
            prepared.changes.push(workspace.propose(change)?);
        }
        Ok(prepared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Desk;
    use charter::check::Outcome;
    use charter::tool::ErrorCode;

    fn check(old: &str, find: &str, with: &str, expect: &str, count: u64) {
        let desk = Desk::new(&[("a.md", old)]);
        let args = json!({"path": "a.md", "find": find, "with": with});
        let subject = desk.verified("replace", args);
        assert_eq!(desk.get("a.md"), expect);
        assert_eq!(subject.output["replacements"], count);
    }

    #[test]
    fn texts_are_replaced_as_they_are_written() {
        check("a.b a.b axb", "a.b", "c", "c c axb", 2);
        check("\u{feff}one\r\none", "one", "three", "\u{feff}three\r\nthree", 2);
        check("no such", "text", "x", "no such", 0);
        check("aXb", "X", "", "ab", 1);
        check("foo foobar", "foo", "foobar", "foobar foobarbar", 2);
    }

    #[test]
    fn a_pattern_has_groups_and_cannot_be_proved() {
        let desk = Desk::new(&[("a.md", "2024-05 and 2025-06")]);
        let args =
            json!({"path": "a.md", "find": r"(\d{4})-(\d\d)", "with": "$2/$1", "pattern": true});
        let subject = desk.done("replace", args);
        assert_eq!(desk.get("a.md"), "05/2024 and 06/2025");
        assert_eq!(desk.check(&subject).first().unwrap().outcome, Outcome::NotVerified);
        let args = json!({"path": "a.md", "find": "(", "with": "", "pattern": true});
        assert_eq!(desk.prepare("replace", args).unwrap_err().code, ErrorCode::Arguments);
    }

    #[test]
    fn what_is_no_text_is_left_alone() {
        let desk = Desk::new(&[]);
        desk.put("a.bin", b"a\xFFb");
        let args = json!({"path": "a.bin", "find": "a", "with": "b"});
        assert_eq!(desk.prepare("replace", args).unwrap_err().code, ErrorCode::Malformed);
    }

    #[test]
    fn lies_are_found() {
        let desk = Desk::new(&[("a.md", "one two one")]);
        let args = json!({"path": "a.md", "find": "one", "with": "three"});
        let subject = desk.verified("replace", args);
        for content in ["one two one", "", "three two one", "three two threes"] {
            desk.put("a.md", content.as_bytes());
            desk.failed(&subject);
        }
        desk.put("a.md", b"one two one");
        desk.failed(&desk.subject("replace", subject.args, subject.output, Vec::new()));
    }
}
