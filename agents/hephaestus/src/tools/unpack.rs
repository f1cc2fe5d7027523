//! `unpack`: the files of an archive into a folder.

use crate::archive::{damaged, each_member, member_bytes};
use crate::args::{parse, path_schema};
use crate::tool::{PAYLOAD_MAX, Tool, object, spec};
use crate::workspace::{Workspace, paths};
use charter::effect::{Change, EffectClass};
use charter::tool::{Call, Prepared, ToolError, ToolSpec};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeSet;

/// The tool.
pub(crate) struct Unpack;

/// Its arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Args {
    pub(crate) path: String,
    pub(crate) to: String,
}

impl Tool for Unpack {
    fn spec(&self) -> ToolSpec {
        spec(
            "unpack",
            EffectClass::Change,
            "Unpacks an archive into a folder.",
            object(
                &["path", "to"],
                json!({
                    "path": path_schema("the archive: .zip, .tar, .tar.gz or .tgz"),
                    "to": path_schema("the folder; it is made if it is missing"),
                }),
            ),
            "files: [paths] sorted, count",
            "Each file is an effect of its own that holds exactly these bytes, so repeating is safe.",
        )
    }

    fn prepare(&self, call: &Call, workspace: &Workspace) -> Result<Prepared, ToolError> {
        let args: Args = parse(&call.args)?;
        let (path, to) = (paths::normal(&args.path)?, paths::normal(&args.to)?);
        let mut changes = Vec::new();
        let mut room = PAYLOAD_MAX as u64;
        each_member(workspace, &path, &mut |member, from| {
            let bytes = member_bytes(&path, &member, from, room)?;
            room = room.saturating_sub(bytes.len() as u64);
            let mode = member.executable.then_some(0o755);
            changes.push(Change::Write { path: paths::join(&to, &member.path), bytes, mode });
            Ok(())
        })?;
        changes.sort_by(|a, b| a.paths().cmp(&b.paths()));
        let files: Vec<String> =
            changes.iter().flat_map(Change::paths).map(str::to_owned).collect();
        refuse_file_as_folder(&path, &files)?;
        let output = json!({"count": files.len(), "files": files});
        let changes = changes
            .into_iter()
            .map(|change| workspace.propose(change))
            .collect::<Result<_, _>>()?;
        Ok(Prepared { changes, ..Prepared::output(output, call.label) })
    }
}

/// Refuses an archive in which one name is a file and a folder at once.
fn refuse_file_as_folder(archive: &str, files: &[String]) -> Result<(), ToolError> {
    let names: BTreeSet<&str> = files.iter().map(String::as_str).collect();
    for file in files {
        let mut above = file.match_indices('/').filter_map(|(at, _)| file.get(..at));
        if let Some(both) = above.find(|folder| names.contains(folder)) {
            return Err(damaged(archive, format!("{both:?} is a file and a folder in it")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Desk;
    use charter::tool::ErrorCode;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_was_packed_comes_back() {
        for archive in ["a.zip", "a.tar", "a.tar.gz"] {
            let desk = Desk::new(&[("n/a.md", "alpha"), ("n/d/b.sh", "#!/bin/sh"), ("n/e", "")]);
            let script = desk.at("n/d/b.sh");
            std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
            desk.done("pack", json!({"files": "n", "to": archive}));
            let subject = desk.verified("unpack", json!({"path": archive, "to": "out"}));
            assert_eq!(subject.output["files"], json!(["out/n/a.md", "out/n/d/b.sh", "out/n/e"]));
            assert_eq!(desk.get("out/n/a.md"), "alpha");
            let mode = std::fs::metadata(desk.at("out/n/d/b.sh")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o755);
            desk.verified("unpack", json!({"path": archive, "to": "."}));
        }
    }

    fn tar_of(name: &str, kind: tar::EntryType) -> Vec<u8> {
        let mut header = tar::Header::new_old();
        // Written past the library's own look at the name.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(0);
        header.set_mtime(0);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend([0; 1024]);
        bytes
    }

    fn refused(name: &str, kind: tar::EntryType, expect: ErrorCode) {
        let desk = Desk::new(&[]);
        desk.put("a.tar", &tar_of(name, kind));
        let error = desk.prepare("unpack", json!({"path": "a.tar", "to": "out"})).unwrap_err();
        assert_eq!(error.code, expect, "{name}: {error}");
    }

    #[test]
    fn hostile_members_are_refused() {
        refused("../evil", tar::EntryType::Regular, ErrorCode::Outside);
        refused("a/../../evil", tar::EntryType::Regular, ErrorCode::Outside);
        refused("/etc/evil", tar::EntryType::Regular, ErrorCode::Outside);
        refused("link", tar::EntryType::Symlink, ErrorCode::Outside);
        refused("hard", tar::EntryType::Link, ErrorCode::Outside);
        refused("device", tar::EntryType::Block, ErrorCode::Outside);
    }

    #[test]
    fn hostile_zip_names_are_refused() {
        let desk = Desk::new(&[]);
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        zip.start_file("../evil", zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(b"x").unwrap();
        desk.put("a.zip", &zip.finish().unwrap().into_inner());
        let error = desk.prepare("unpack", json!({"path": "a.zip", "to": "out"})).unwrap_err();
        assert_eq!(error.code, ErrorCode::Outside, "{error}");
    }

    #[test]
    fn a_bomb_stops_at_the_bound() {
        let desk = Desk::new(&[]);
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        zip.start_file("zeros", zip::write::SimpleFileOptions::default()).unwrap();
        for _ in 0..40 {
            zip.write_all(&vec![0; 1 << 20]).unwrap();
        }
        desk.put("a.zip", &zip.finish().unwrap().into_inner());
        let error = desk.prepare("unpack", json!({"path": "a.zip", "to": "out"})).unwrap_err();
        assert_eq!(error.code, ErrorCode::TooLarge, "{error}");
    }

    #[test]
    fn damage_is_told() {
        let desk = Desk::new(&[("a.zip", "not a zip"), ("a.tar.gz", "not gzip")]);
        for path in ["a.zip", "a.tar.gz"] {
            let error = desk.prepare("unpack", json!({"path": path, "to": "out"})).unwrap_err();
            assert_eq!(error.code, ErrorCode::Malformed, "{error}");
        }
        let names = ["x".to_owned(), "x/y".to_owned()];
        assert!(refuse_file_as_folder("a", &names).is_err());
    }

    #[test]
    fn lies_are_found() {
        let desk = Desk::new(&[("n/a.md", "alpha"), ("n/b.md", "beta")]);
        desk.done("pack", json!({"files": "n", "to": "a.zip"}));
        let subject = desk.verified("unpack", json!({"path": "a.zip", "to": "out"}));
        desk.put("out/n/a.md", b"");
        desk.failed(&subject);
        desk.put("out/n/a.md", b"alpha");
        let mut less = subject.clone();
        less.changes.pop();
        desk.failed(&less);
        std::fs::remove_file(desk.at("out/n/b.md")).unwrap();
        desk.failed(&subject);
    }
}
