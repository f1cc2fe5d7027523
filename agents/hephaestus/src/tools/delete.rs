//! `delete`: one file, or one empty folder.

use crate::args::{parse, path_schema};
use crate::error::{never_touched, os};
use crate::tool::{Tool, object, spec};
use crate::workspace::{Kind, Workspace, paths};
use charter::effect::{Change, EffectClass};
use charter::tool::{Call, ErrorCode, Prepared, ToolError, ToolSpec};
use rustix::io::Errno;
use serde::Deserialize;
use serde_json::json;

/// The tool.
pub(crate) struct Delete;

/// Its arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Args {
    pub(crate) path: String,
}

impl Tool for Delete {
    fn spec(&self) -> ToolSpec {
        spec(
            "delete",
            EffectClass::Change,
            "Deletes one file or one empty folder.",
            object(&["path"], json!({"path": path_schema("the file or the empty folder")})),
            "path, bytes",
            "Cannot be undone; it asks first. Repeating is safe: only what was seen is deleted.",
        )
    }

    fn prepare(&self, call: &Call, workspace: &Workspace) -> Result<Prepared, ToolError> {
        let args: Args = parse(&call.args)?;
        let path = paths::normal(&args.path)?;
        let meta = workspace.meta(&path)?.ok_or_else(|| os("delete", &path, Errno::NOENT))?;
        match meta.kind {
            Kind::File => {}
            Kind::Other => {
                return Err(never_touched(&path));
            }
            Kind::Folder => {
                if !workspace.is_empty_folder(&path)? {
                    return Err(ToolError::new(
                        ErrorCode::Taken,
                        format!("the folder {path:?} is not empty"),
                    )
                    .hint("delete the files in it first"));
                }
            }
        }
        let bytes = if meta.kind == Kind::File { meta.bytes } else { 0 };
        let output = json!({"path": path, "bytes": bytes});
        let proposed = workspace.propose(Change::Delete { path })?;
        Ok(Prepared { changes: vec![proposed], ..Prepared::output(output, call.label) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Desk;

    #[test]
    fn a_file_and_an_empty_folder_go() {
        let desk = Desk::new(&[("a.md", "abc"), ("dir/b.md", "")]);
        let subject = desk.verified("delete", json!({"path": "a.md"}));
        assert_eq!(subject.output, json!({"path": "a.md", "bytes": 3}));
        let code = |path: &str| desk.prepare("delete", json!({"path": path})).unwrap_err().code;
        assert_eq!(code("dir"), ErrorCode::Taken);
        assert_eq!(code("a.md"), ErrorCode::NotFound);
        assert_eq!(code("."), ErrorCode::Taken);
        desk.verified("delete", json!({"path": "dir/b.md"}));
        desk.verified("delete", json!({"path": "dir"}));
        assert_eq!(code("."), ErrorCode::Arguments);
    }

    #[test]
    fn a_link_is_left_alone() {
        let desk = Desk::new(&[("a.md", "abc")]);
        std::os::unix::fs::symlink("a.md", desk.at("link")).unwrap();
        let error = desk.prepare("delete", json!({"path": "link"})).unwrap_err();
        assert_eq!(error.code, ErrorCode::Permission);
    }

    #[test]
    fn lies_are_found() {
        let desk = Desk::new(&[("a.md", "abc"), ("b.md", "")]);
        let subject = desk.verified("delete", json!({"path": "a.md"}));
        desk.put("a.md", b"");
        desk.failed(&subject);
        let other = desk.done("delete", json!({"path": "b.md"}));
        desk.failed(&desk.subject("delete", subject.args, subject.output, other.changes));
    }
}
