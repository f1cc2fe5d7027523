//! What all checks of file changes share: the recorded changes are exactly the
//! expected ones, and the disk holds what they say.

use super::{Finding, wrong};
use crate::workspace::{TEXT_MAX, Workspace, paths};
use charter::check::Subject;
use charter::effect::{Change, TargetState};
use charter::tool::{ErrorCode, Proposed};
use std::io::Read;

/// The one change that a step made; anything else is wrong.
pub(super) fn only(subject: &Subject) -> Result<&Proposed, Finding> {
    match subject.changes.as_slice() {
        [one] => Ok(one),
        [] => wrong("no change was made"),
        more => wrong(format!("{} changes were made instead of one", more.len())),
    }
}

/// The path of an argument in normal form.
pub(super) fn path(subject: &Subject, name: &str) -> Result<String, Finding> {
    let text = subject.args.get(name).and_then(|value| value.as_str());
    let text = text.ok_or_else(|| Finding::Unsure(format!("the arguments have no {name:?}")))?;
    Ok(paths::normal(text)?)
}

/// Bytes on disk. That nothing is there is wrong, not unsure.
pub(super) fn bytes(workspace: &Workspace, path: &str) -> Result<Vec<u8>, Finding> {
    let root = workspace.path().join(path);
    match std::fs::symlink_metadata(&root) {
        Ok(meta) if meta.is_file() && meta.len() <= TEXT_MAX => {}
        Ok(meta) if meta.is_file() => {
            return wrong(format!("{path:?} has {} bytes, more than any step writes", meta.len()));
        }
        Ok(_) => return wrong(format!("{path:?} is no regular file")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return wrong(format!("{path:?} does not exist"));
        }
        Err(error) => return Err(Finding::Unsure(format!("{path:?} cannot be read: {error}"))),
    }
    let mut bytes = Vec::new();
    workspace
        .open_unseen(path)
        .map_err(|error| Finding::Unsure(error.to_string()))?
        .read_to_end(&mut bytes)
        .map_err(|error| Finding::Unsure(format!("{path:?}: {error}")))?;
    Ok(bytes)
}

/// Whether a path holds nothing.
pub(super) fn is_gone(workspace: &Workspace, path: &str) -> Result<(), Finding> {
    match std::fs::symlink_metadata(workspace.path().join(path)) {
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(())
        }
        Err(error) => Err(Finding::Unsure(format!("{path:?} cannot be looked at: {error}"))),
        Ok(_) => wrong(format!("{path:?} is still there")),
    }
}

/// A written file holds exactly these bytes, by the record and on disk.
pub(super) fn written(
    workspace: &Workspace,
    proposed: &Proposed,
    path: &str,
    wanted: &[u8],
) -> Result<(), Finding> {
    match &proposed.change {
        Change::Write { path: written, .. } if written == path => {}
        other => return wrong(format!("instead of writing {path:?} it did: {other}")),
    }
    same(&bytes(workspace, path)?, wanted)
        .or_else(|why| wrong(format!("{path:?} holds something else: {why}")))
}

/// Where two contents differ first.
pub(super) fn same(found: &[u8], wanted: &[u8]) -> Result<(), String> {
    if found == wanted {
        return Ok(());
    }
    let at = found.iter().zip(wanted).take_while(|(a, b)| a == b).count();
    Err(format!(
        "found are {} bytes, wanted {}, the first difference is at byte {at}",
        found.len(),
        wanted.len()
    ))
}

/// Whether a path holds the recorded state, by a hash of its own.
pub(super) fn holds(workspace: &Workspace, path: &str, state: &TargetState) -> Result<(), Finding> {
    let found = match workspace.state(path) {
        Err(error) if error.code == ErrorCode::NotFound => TargetState::Absent,
        other => other?,
    };
    if found == *state {
        return Ok(());
    }
    wrong(format!("{path:?} does not hold what it should: {found:?} instead of {state:?}"))
}
