//! `read`: the text of one file.

use crate::args::{parse, path_schema};
use crate::data::text::decode;
use crate::error::malformed;
use crate::tool::{Tool, object, spec};
use crate::workspace::{TEXT_MAX, Workspace, paths};
use charter::effect::EffectClass;
use charter::tool::{Call, Prepared, ToolError, ToolSpec};
use serde::Deserialize;
use serde_json::json;

/// The tool.
pub(crate) struct Read;

/// Its arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Args {
    pub(crate) path: String,
}

impl Tool for Read {
    fn spec(&self) -> ToolSpec {
        spec(
            "read",
            EffectClass::Read,
            "Reads the text of one file.",
            object(&["path"], json!({"path": path_schema("the file")})),
            "path, text, bytes (size of the file), lines",
            "Reads only; repeating is safe.",
        )
    }

    fn prepare(&self, call: &Call, workspace: &Workspace) -> Result<Prepared, ToolError> {
        let args: Args = parse(&call.args)?;
        let path = paths::normal(&args.path)?;
        let bytes = workspace.read(&path, call.limits.output_bytes.min(TEXT_MAX))?;
        let text = decode(&bytes)
            .map_err(|error| malformed(format!("could not read {path:?} as text: {error}")))?;
        let lines = text.lines().count();
        let output = json!({"path": path, "bytes": bytes.len(), "lines": lines, "text": text});
        Ok(Prepared::output(output, call.label))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Desk;
    use charter::tool::ErrorCode;

    #[test]
    fn a_text_is_read_whole() {
        let desk = Desk::new(&[("a.md", "one\ntwo")]);
        let subject = desk.verified("read", json!({"path": "./a.md"}));
        let expect = json!({"path": "a.md", "text": "one\ntwo", "bytes": 7, "lines": 2});
        assert_eq!(subject.output, expect);
        desk.put("b.md", b"\xEF\xBB\xBFx\r\n");
        assert_eq!(desk.verified("read", json!({"path": "b.md"})).output["text"], "x\r\n");
        desk.put("c.md", b"\xFF\xFEa\0\n\0");
        assert_eq!(desk.verified("read", json!({"path": "c.md"})).output["text"], "a\n");
    }

    #[test]
    fn a_link_is_followed_inside() {
        let desk = Desk::new(&[("d/a.md", "x")]);
        std::os::unix::fs::symlink("d/a.md", desk.at("link.md")).unwrap();
        assert_eq!(desk.verified("read", json!({"path": "link.md"})).output["text"], "x");
    }

    #[test]
    fn what_is_no_text_is_an_error() {
        let desk = Desk::new(&[("dir/a", "")]);
        desk.put("a.bin", b"ok\xFFno");
        let code = |path: &str| desk.prepare("read", json!({"path": path})).unwrap_err().code;
        assert_eq!(code("a.bin"), ErrorCode::Malformed);
        assert_eq!(code("dir"), ErrorCode::Arguments);
        assert_eq!(code("gone"), ErrorCode::NotFound);
    }

    #[test]
    fn a_huge_file_is_refused_before_it_is_read() {
        let desk = Desk::new(&[]);
        let huge = std::fs::File::create(desk.at("huge.txt")).unwrap();
        huge.set_len(2 << 30).unwrap();
        let error = desk.prepare("read", json!({"path": "huge.txt"})).unwrap_err();
        assert_eq!(error.code, ErrorCode::TooLarge);
        assert!(error.message.contains("2147483648"), "{error}");
    }

    #[test]
    fn another_text_fails() {
        let desk = Desk::new(&[("a.md", "one\ntwo")]);
        let mut subject = desk.verified("read", json!({"path": "a.md"}));
        subject.output["text"] = json!("one");
        desk.failed(&subject);
    }
}
