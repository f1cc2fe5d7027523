//! `delete`: the path is gone, and nothing else was touched.

use super::landed::{is_gone, only, path};
use super::{Finding, equal, verdict, wrong};
use crate::workspace::Workspace;
use charter::check::{Subject, Verdict};
use charter::effect::{Change, TargetState};

pub(super) fn check(subject: &Subject, workspace: &Workspace) -> Vec<Verdict> {
    vec![verdict("delete", "exactly this one is gone", found(subject, workspace))]
}

fn found(subject: &Subject, workspace: &Workspace) -> Result<String, Finding> {
    let path = path(subject, "path")?;
    let proposed = only(subject)?;
    if proposed.change != (Change::Delete { path: path.clone() }) {
        return wrong(format!("instead of deleting {path:?} it did: {}", proposed.change));
    }
    is_gone(workspace, &path)?;
    equal(&subject.output, "path", path.as_str())?;
    let bytes = match proposed.before.first().map(|target| &target.state) {
        Some(TargetState::File { bytes, .. }) => *bytes,
        Some(TargetState::Folder) => 0,
        _ => return wrong(format!("{path:?} was not there before")),
    };
    equal(&subject.output, "bytes", bytes)?;
    Ok(format!("{path:?} ({bytes} bytes before) is gone"))
}
