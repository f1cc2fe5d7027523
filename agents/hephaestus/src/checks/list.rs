//! `list`: walks again and looks at every file by itself.

use super::{Finding, equal, list, short, verdict, wrong};
use crate::args::parse;
use crate::tools::list::{Args, Kind, iso};
use crate::workspace::Workspace;
use charter::check::{Subject, Verdict};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

pub(super) fn check(subject: &Subject, workspace: &Workspace) -> Vec<Verdict> {
    vec![verdict("list", "every file that fits is listed, and no other", found(subject, workspace))]
}

fn found(subject: &Subject, workspace: &Workspace) -> Result<String, Finding> {
    let args: Args = parse(&subject.args)?;
    let bounds = args.bounds()?;
    let walked = workspace.walk(&args.files)?;
    let mut wanted = BTreeMap::new();
    let names = walked.files.iter().chain(&walked.folders).map(|file| &file.path);
    for path in names {
        let meta = std::fs::symlink_metadata(workspace.path().join(path))
            .map_err(|error| Finding::Unsure(format!("{path:?} cannot be looked at: {error}")))?;
        let modified = meta
            .modified()
            .ok()
            .and_then(|at| i64::try_from(at.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok())
            .ok_or_else(|| Finding::Unsure(format!("{path:?} has no usable time")))?;
        let bytes = if meta.is_file() { meta.len() } else { 0 };
        let kind = args.kind == Kind::Any || (args.kind == Kind::Folder) == meta.is_dir();
        let time = (bounds.since..bounds.before).contains(&modified);
        if kind && time && bounds.larger_than.is_none_or(|larger| bytes > larger) {
            let row = json!({"path": path, "bytes": bytes, "modified": iso(modified)});
            wanted.insert(path.as_str(), (bytes, row));
        }
    }
    let rows = list(&subject.output, "files")?;
    for (row, (_, wanted)) in rows.iter().zip(wanted.values()) {
        if row != wanted {
            return wrong(format!("listed is {}, found {}", short(row), short(wanted)));
        }
    }
    if rows.len() != wanted.len() {
        return wrong(format!("listed are {} entries, found {}", rows.len(), wanted.len()));
    }
    equal(&subject.output, "count", wanted.len())?;
    equal(&subject.output, "bytes", wanted.values().map(|(bytes, _)| bytes).sum::<u64>())?;
    equal(&subject.output, "skipped_secrets", Value::from(walked.skipped_secrets))?;
    Ok(format!("walked again: {} entries, all with the told sizes and times", wanted.len()))
}
