//! `pack`: files into one archive.

use super::list::with_skipped;
use crate::archive::{self, MEMBERS_MAX, Member};
use crate::args::{Files, parse, path_schema};
use crate::error::too_large;
use crate::tool::{Tool, object, spec};
use crate::workspace::{Walked, Workspace, paths};
use charter::effect::{Change, EffectClass};
use charter::tool::{Call, ErrorCode, Prepared, ToolError, ToolSpec};
use serde::Deserialize;
use serde_json::json;

/// The tool.
pub(crate) struct Pack;

/// Its arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Args {
    pub(crate) files: Files,
    pub(crate) to: String,
}

impl Tool for Pack {
    fn spec(&self) -> ToolSpec {
        spec(
            "pack",
            EffectClass::Change,
            "Packs files into one archive.",
            object(
                &["files", "to"],
                json!({
                    "files": Files::schema(),
                    "to": path_schema("the archive: .zip, .tar, .tar.gz or .tgz"),
                }),
            ),
            "path, entries: [names], bytes, skipped_secrets",
            "The same files give the same bytes, so repeating is safe. A new archive is undone by deleting it.",
        )
    }

    fn prepare(&self, call: &Call, workspace: &Workspace) -> Result<Prepared, ToolError> {
        let args: Args = parse(&call.args)?;
        let to = paths::normal(&args.to)?;
        let kind = archive::Kind::of(&to)?;
        let walked = workspace.walk(&args.files)?;
        let members = members(workspace, &walked, &to)?;
        let bytes = archive::pack(workspace, kind, &to, &members)?;
        let entries: Vec<&str> = members.iter().map(|member| member.path.as_str()).collect();
        let output = json!({"path": to, "entries": entries, "bytes": bytes.len()});
        let prepared = Prepared::output(with_skipped(output, &walked), call.label);
        let change = Change::Write { path: to, bytes, mode: None };
        Ok(Prepared { changes: vec![workspace.propose(change)?], ..prepared })
    }
}

/// The files as members, without the archive itself from an earlier run.
fn members(workspace: &Workspace, walked: &Walked, to: &str) -> Result<Vec<Member>, ToolError> {
    let files = walked.files.iter().filter(|file| file.path != to);
    let members = files
        .map(|file| {
            let mode = workspace.meta(&file.path)?.map_or(0, |meta| meta.mode);
            Ok(Member { path: file.path.clone(), executable: mode & 0o111 != 0 })
        })
        .collect::<Result<Vec<_>, ToolError>>()?;
    if members.is_empty() {
        return Err(ToolError::new(ErrorCode::NotFound, "there are no files to pack")
            .hint("check the names; names are relative to the workspace"));
    }
    if members.len() > MEMBERS_MAX {
        return Err(too_large(format!(
            "{} files are more than the {MEMBERS_MAX} that one archive may hold",
            members.len()
        )));
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Desk;

    fn desk() -> Desk {
        Desk::new(&[("n/a.md", "alpha"), ("n/-b\nc.md", ""), ("n/ü.md", "x"), ("n/.env", "K")])
    }

    #[test]
    fn every_kind_reads_back_and_is_the_same_again() {
        for to in ["out.zip", "x/out.tar", "out.tar.gz", "n/out.tgz"] {
            let desk = desk();
            let subject = desk.verified("pack", json!({"files": "n", "to": to}));
            assert_eq!(subject.output["entries"], json!(["n/-b\nc.md", "n/a.md", "n/ü.md"]));
            assert_eq!(subject.output["skipped_secrets"], 1);
            let first = std::fs::read(desk.at(to)).unwrap();
            desk.verified("pack", json!({"files": "n", "to": to}));
            assert!(first == std::fs::read(desk.at(to)).unwrap(), "{to} differs the second time");
        }
    }

    #[test]
    fn long_names_fit() {
        let long = format!("{}/{}.md", "d".repeat(120), "f".repeat(200));
        for to in ["out.zip", "out.tar"] {
            let desk = Desk::new(&[(&long, "x")]);
            desk.verified("pack", json!({"files": "**", "to": to}));
        }
    }

    #[test]
    fn nothing_to_pack_and_unknown_kinds_are_told() {
        let desk = desk();
        let code = |files: &str, to: &str| {
            desk.prepare("pack", json!({"files": files, "to": to})).unwrap_err().code
        };
        assert_eq!(code("*.none", "a.zip"), ErrorCode::NotFound);
        assert_eq!(code("n", "a.rar"), ErrorCode::Arguments);
    }

    #[test]
    fn lies_are_found() {
        let desk = desk();
        let subject = desk.verified("pack", json!({"files": "n", "to": "out.zip"}));
        let full = std::fs::read(desk.at("out.zip")).unwrap();
        desk.put("out.zip", b"");
        desk.failed(&subject);
        let less = desk.done("pack", json!({"files": "n/a.md", "to": "out.zip"}));
        desk.failed(&desk.subject(
            "pack",
            subject.args.clone(),
            subject.output.clone(),
            less.changes,
        ));
        desk.put("out.zip", &full);
        desk.put("n/a.md", b"newer");
        desk.failed(&subject);
    }
}
