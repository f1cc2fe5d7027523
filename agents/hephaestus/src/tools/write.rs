//! `write`: a text into one file.

use crate::args::{parse, path_schema};
use crate::tool::{Tool, object, spec};
use crate::workspace::{Workspace, paths};
use charter::effect::{Change, EffectClass, TargetState};
use charter::tool::{Call, ErrorCode, Prepared, ToolError, ToolSpec};
use serde::Deserialize;
use serde_json::json;

/// The tool.
pub(crate) struct Write;

/// Its arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Args {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Tool for Write {
    fn spec(&self) -> ToolSpec {
        spec(
            "write",
            EffectClass::Change,
            "Writes a text into one file.",
            object(
                &["path", "text"],
                json!({
                    "path": path_schema("the file; folders above it are made"),
                    "text": {"type": "string", "description": "the whole new content"},
                }),
            ),
            "path, bytes",
            "The file holds exactly this text afterwards, so repeating is safe. A new file is undone by deleting it.",
        )
    }

    fn prepare(&self, call: &Call, workspace: &Workspace) -> Result<Prepared, ToolError> {
        let args: Args = parse(&call.args)?;
        let path = paths::normal(&args.path)?;
        let bytes = args.text.into_bytes();
        let output = json!({"path": path, "bytes": bytes.len()});
        let proposed =
            workspace.propose(Change::Write { path: path.clone(), bytes, mode: None })?;
        if proposed.before.iter().any(|target| target.state == TargetState::Folder) {
            return Err(ToolError::new(
                ErrorCode::Taken,
                format!("{path:?} is a folder, so no file can be written there"),
            )
            .hint("name a file in it"));
        }
        Ok(Prepared { changes: vec![proposed], ..Prepared::output(output, call.label) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Desk;
    use charter::tool::Proposed;

    fn class(desk: &Desk, path: &str, text: &str) -> EffectClass {
        let prepared = desk.prepare("write", json!({"path": path, "text": text})).unwrap();
        prepared.changes.first().map(Proposed::class).unwrap()
    }

    #[test]
    fn a_text_is_written_and_written_again() {
        let desk = Desk::new(&[("old.md", "old")]);
        assert_eq!(class(&desk, "a/b/new.md", "x"), EffectClass::Create);
        assert_eq!(class(&desk, "old.md", "x"), EffectClass::Change);
        for path in ["a/b/new.md", "old.md", "-rf", "a\nb.md", "ünïcode ☃.md"] {
            let subject = desk.verified("write", json!({"path": path, "text": "häi\n"}));
            assert_eq!(subject.output, json!({"path": path, "bytes": 5}));
            assert_eq!(desk.get(path), "häi\n");
            desk.verified("write", json!({"path": path, "text": "häi\n"}));
        }
    }

    #[test]
    fn a_place_that_is_no_file_is_refused() {
        let desk = Desk::new(&[("dir/a", "")]);
        let code =
            |path: &str| desk.prepare("write", json!({"path": path, "text": ""})).unwrap_err().code;
        assert_eq!(code("dir"), ErrorCode::Taken);
        assert_eq!(code("../x"), ErrorCode::Outside);
        assert_eq!(code("/tmp/x"), ErrorCode::Outside);
        assert_eq!(code("."), ErrorCode::Arguments);
    }

    #[test]
    fn lies_are_found() {
        let desk = Desk::new(&[("a.md", "last week")]);
        let subject = desk.verified("write", json!({"path": "a.md", "text": "today"}));
        desk.put("a.md", b"");
        desk.failed(&subject);
        desk.put("a.md", b"last week");
        desk.failed(&subject);
        std::fs::remove_file(desk.at("a.md")).unwrap();
        desk.failed(&subject);
        desk.put("a.md", b"today");
        desk.failed(&desk.subject("write", subject.args, subject.output, Vec::new()));
    }
}
