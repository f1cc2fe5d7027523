//! `hash`: SHA-256 of files, and which files are copies of each other.

use super::list::with_skipped;
use crate::args::{Files, parse};
use crate::error::too_large;
use crate::tool::{Tool, object, spec};
use crate::workspace::{WalkedFile, Workspace};
use charter::digest::Digest;
use charter::effect::{EffectClass, TargetState};
use charter::tool::{Call, ErrorCode, Prepared, ToolError, ToolSpec};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Most files of one call.
const FILES_MAX: usize = 50_000;

/// The tool.
pub(crate) struct Hash;

/// Its arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Args {
    pub(crate) files: Files,
    #[serde(default)]
    pub(crate) duplicates: bool,
}

impl Tool for Hash {
    fn spec(&self) -> ToolSpec {
        spec(
            "hash",
            EffectClass::Read,
            "Hashes files and finds files with the same content.",
            object(
                &["files"],
                json!({
                    "files": Files::schema(),
                    "duplicates": {"type": "boolean", "default": false, "description": "only groups of files with the same content"},
                }),
            ),
            "rows: [{file, sha256, bytes}], or with duplicates [{sha256, bytes, copies, files: [paths]}] with the largest waste first; count, files (number of files hashed), wasted_bytes (what all copies but one of each group take), skipped_secrets. Empty files are no copies of each other",
            "Reads only; repeating is safe.",
        )
    }

    fn prepare(&self, call: &Call, workspace: &Workspace) -> Result<Prepared, ToolError> {
        let args: Args = parse(&call.args)?;
        let walked = workspace.walk(&args.files)?;
        if walked.files.len() > FILES_MAX {
            return Err(too_large(format!("more than {FILES_MAX} files are hashed at once"))
                .hint("name fewer files"));
        }
        let mut hashed: Vec<(&WalkedFile, Digest, u64)> = Vec::new();
        for file in &walked.files {
            match workspace.state(&file.path)? {
                TargetState::File { sha256, bytes } => hashed.push((file, sha256, bytes)),
                _ => {
                    return Err(ToolError::new(
                        ErrorCode::ChangedSince,
                        format!("{:?} was removed while it was looked at", file.path),
                    ));
                }
            }
        }
        let mut groups: BTreeMap<(Digest, u64), Vec<&str>> = BTreeMap::new();
        for (file, sha256, bytes) in &hashed {
            groups.entry((*sha256, *bytes)).or_default().push(&file.path);
        }
        let mut copies: Vec<(u64, Digest, u64, Vec<&str>)> = groups
            .into_iter()
            .filter(|((_, bytes), files)| *bytes > 0 && files.len() > 1)
            .map(|((sha256, bytes), files)| {
                (bytes * (files.len() as u64 - 1), sha256, bytes, files)
            })
            .collect();
        copies.sort_by(|left, right| right.0.cmp(&left.0).then_with(|| left.3.cmp(&right.3)));
        let wasted: u64 = copies.iter().map(|(wasted, ..)| wasted).sum();
        let rows: Vec<Value> = if args.duplicates {
            copies
                .iter()
                .map(|(_, sha256, bytes, files)| {
                    json!({"sha256": sha256, "bytes": bytes, "copies": files.len(), "files": files})
                })
                .collect()
        } else {
            hashed
                .iter()
                .map(|(file, sha256, bytes)| json!({"file": file.path, "sha256": sha256, "bytes": bytes}))
                .collect()
        };
        let output = json!({
            "count": rows.len(), "rows": rows, "files": hashed.len(), "wasted_bytes": wasted,
        });
        Ok(Prepared::output(with_skipped(output, &walked), call.label))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Desk;
    use serde_json::json;

    #[test]
    fn copies_are_grouped() {
        let desk = Desk::new(&[
            ("a", "same"),
            ("b/c", "same"),
            ("d", "other"),
            ("e", ""),
            ("f", ""),
            ("g", "xxxxxxxxx"),
            ("h", "xxxxxxxxx"),
        ]);
        let output = desk.verified("hash", json!({"files": ".", "duplicates": true})).output;
        assert_eq!(output["rows"][0]["files"], json!(["g", "h"]));
        assert_eq!(output["rows"][1]["files"], json!(["a", "b/c"]));
        assert_eq!(output["rows"][1]["copies"], 2);
        assert_eq!(
            (&output["count"], &output["files"], &output["wasted_bytes"]),
            (&json!(2), &json!(7), &json!(13))
        );
    }

    #[test]
    fn files_have_known_hashes() {
        let desk = Desk::new(&[("a", "abc")]);
        let output = desk.verified("hash", json!({"files": "a"})).output;
        // FIPS 180-4 example value.
        assert_eq!(
            output["rows"],
            json!([{"file": "a", "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "bytes": 3}])
        );
    }
}
