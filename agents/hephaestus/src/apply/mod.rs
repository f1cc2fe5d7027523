//! Carries out one proposed change: all of it or nothing, durably, and only if
//! its targets still hold what they held when it was proposed.
//!
//! A file is written under a hidden name beside its place, made durable, and
//! renamed. A killed run leaves at most such a hidden file, which the next write
//! into the folder removes; the lock that its writer held tells the living from
//! the dead.

mod temp;

use crate::error::{arguments, io, never_touched, os};
use crate::workspace::{Workspace, paths};
use charter::effect::{Change, Target, TargetState};
use charter::tool::{ErrorCode, Proposed, ToolError};
use rustix::fs::{self, AtFlags, Mode};
use rustix::io::Errno;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use temp::{Mark, Temp, rename_free, sweep, taken};

/// How hidden files begin that are being written.
pub const TEMP_PREFIX: &str = ".alma-tmp-";

/// Carries out a change and returns what its targets hold now. Where they
/// already hold what is wanted, nothing is done: repeating is safe.
pub fn apply(workspace: &Workspace, proposed: &Proposed) -> Result<Vec<Target>, ToolError> {
    let change = &proposed.change;
    let paths = change.paths();
    if paths.len() != proposed.before.len()
        || paths.iter().zip(&proposed.before).any(|(path, target)| *path != target.path)
    {
        return Err(arguments(format!("the states that were recorded do not belong to: {change}")));
    }
    for path in &paths {
        if paths::normal(path)? != *path || *path == "." {
            return Err(arguments(format!("{path:?} is not in normal form")));
        }
    }
    let look = || paths.iter().map(|path| workspace.target(path)).collect::<Result<Vec<_>, _>>();
    let marks: Vec<_> = paths.iter().map(|path| Mark::of(workspace, path)).collect();
    let now = look()?;
    let expected = proposed.expected();
    if now == expected {
        settle(workspace, change)?;
        return Ok(now);
    }
    if now != proposed.before && !is_half_moved(change, &proposed.before, &now, &marks) {
        return Err(changed_since(&proposed.before, &now));
    }
    if let Some(other) = now.iter().find(|target| target.state == TargetState::Other) {
        return Err(never_touched(&other.path));
    }
    let mark = marks.into_iter().next().flatten();
    match change {
        Change::Write { path, bytes, mode } => write(workspace, path, bytes, *mode, mark.as_ref())?,
        Change::Folder { path } => {
            make_folders(workspace, path)?;
        }
        Change::Move { from, to } => move_to(workspace, from, to, mark.as_ref())?,
        Change::Delete { path } => delete(workspace, path, mark.as_ref())?,
    }
    let after = look()?;
    if after != expected {
        return Err(changed_since(&expected, &after));
    }
    Ok(after)
}

fn changed_since(then: &[Target], now: &[Target]) -> ToolError {
    let which = then
        .iter()
        .zip(now)
        .find(|(then, now)| then != now)
        .map(|(then, now)| {
            format!("{:?} held {} and now holds {}", now.path, said(&then.state), said(&now.state))
        })
        .unwrap_or_default();
    ToolError::new(ErrorCode::ChangedSince, format!("somebody else changed the files: {which}"))
        .hint("look at the change, then run the step again")
}

fn said(state: &TargetState) -> String {
    match state {
        TargetState::Absent => "nothing".to_owned(),
        TargetState::File { sha256, bytes } => {
            format!("a file of {bytes} bytes ({})", sha256.short())
        }
        TargetState::Folder => "a folder".to_owned(),
        TargetState::Other => "a link, device or socket".to_owned(),
    }
}

/// Refuses if another thing stands under the name than the one that was hashed.
fn still(folder: &OwnedFd, path: &str, mark: Option<&Mark>) -> Result<(), ToolError> {
    let (_, name) = paths::split(path);
    if Mark::at(folder, name).as_ref() == mark {
        return Ok(());
    }
    Err(ToolError::new(
        ErrorCode::ChangedSince,
        format!("somebody else changed {path:?} at this very moment"),
    )
    .hint("look at the change, then run the step again"))
}

/// Whether a killed run has copied a file to another file system and not yet
/// taken the first copy away. Nothing is lost by finishing: both are equal.
fn is_half_moved(
    change: &Change,
    before: &[Target],
    now: &[Target],
    marks: &[Option<Mark>],
) -> bool {
    let (Change::Move { .. }, [from, to], [from_now, to_now], [Some(a), Some(b)]) =
        (change, before, now, marks)
    else {
        return false;
    };
    to.state == TargetState::Absent
        && from == from_now
        && matches!(from.state, TargetState::File { .. })
        && to_now.state == from.state
        && a.device != b.device
}

fn sync(folder: &OwnedFd, path: &str) -> Result<(), ToolError> {
    match fs::fsync(folder) {
        // Some network file systems have no fsync for folders.
        Ok(()) | Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(()),
        Err(errno) => Err(os("make durable the folder", path, errno)),
    }
}

fn open_folder(workspace: &Workspace, path: &str) -> Result<OwnedFd, ToolError> {
    workspace.folder(path).map_err(|errno| os("open the folder", path, errno))
}

/// What is already there may not be durable yet if an earlier run was killed.
fn settle(workspace: &Workspace, change: &Change) -> Result<(), ToolError> {
    for path in change.paths() {
        let (folder, name) = paths::split(path);
        let opened = match workspace.folder(folder) {
            Ok(opened) => opened,
            Err(Errno::NOENT | Errno::NOTDIR) => continue,
            Err(errno) => return Err(os("open the folder", folder, errno)),
        };
        if let Change::Write { mode: Some(mode), .. } = change {
            let mode = Mode::from_raw_mode(mode & 0o777);
            fs::chmodat(&opened, name, mode, AtFlags::empty())
                .map_err(|errno| os("set the mode of", path, errno))?;
        }
        sync(&opened, folder)?;
    }
    Ok(())
}

/// Opens a folder, making it and what is missing above it.
fn make_folders(workspace: &Workspace, path: &str) -> Result<OwnedFd, ToolError> {
    match workspace.folder(path) {
        Err(Errno::NOENT) => {}
        Err(Errno::NOTDIR) => return Err(no_folder(path)),
        found => return found.map_err(|errno| os("open the folder", path, errno)),
    }
    let mut parent = open_folder(workspace, ".")?;
    let mut done = String::from(".");
    for segment in path.split('/') {
        let next = paths::join(&done, segment);
        match fs::mkdirat(&parent, segment, Mode::from_raw_mode(0o777)) {
            Ok(()) => sync(&parent, &done)?,
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(os("make the folder", &next, errno)),
        }
        parent = workspace.folder(&next).map_err(|errno| match errno {
            Errno::NOTDIR => no_folder(&next),
            errno => os("open the folder", &next, errno),
        })?;
        done = next;
    }
    Ok(parent)
}

fn no_folder(path: &str) -> ToolError {
    ToolError::new(
        ErrorCode::Taken,
        format!("could not make the folder {path:?}: a file stands in its way"),
    )
    .hint("choose another folder, or move that file away")
}

fn write(
    workspace: &Workspace,
    path: &str,
    bytes: &[u8],
    mode: Option<u32>,
    old: Option<&Mark>,
) -> Result<(), ToolError> {
    let (above, _) = paths::split(path);
    let folder = make_folders(workspace, above)?;
    sweep(&folder).map_err(|errno| os("clean up the folder", above, errno))?;
    // A sweep in another process may take the file between its making and its
    // lock; then it is made again.
    for _ in 0..8 {
        let mut temp = Temp::new(&folder, path)?;
        temp.file.write_all(bytes).map_err(|error| io("write", path, &error))?;
        temp.finish(path, mode, old)?;
        still(&folder, path, old)?;
        let placed = match old {
            None => temp.place_free(path),
            Some(_) => temp.place_over(path),
        };
        match placed {
            Err(error) if error.code == ErrorCode::NotFound => {}
            other => {
                other?;
                return sync(&folder, above);
            }
        }
    }
    Err(ToolError::new(
        ErrorCode::Transient,
        format!("could not write {path:?}: another program keeps removing the new file"),
    ))
}

fn move_to(
    workspace: &Workspace,
    from: &str,
    to: &str,
    mark: Option<&Mark>,
) -> Result<(), ToolError> {
    let ((from_above, from_name), (to_above, to_name)) = (paths::split(from), paths::split(to));
    let source = open_folder(workspace, from_above)?;
    if mark.is_none() {
        return Err(os("move", from, Errno::NOENT));
    }
    let target = make_folders(workspace, to_above)?;
    still(&source, from, mark)?;
    match rename_free(&source, from_name, &target, to_name) {
        Ok(()) => {}
        Err(Errno::XDEV) => {
            copy(workspace, from, &target, to, mark)?;
            still(&source, from, mark)?;
            fs::unlinkat(&source, from_name, AtFlags::empty())
                .map_err(|errno| os("take away", from, errno))?;
        }
        Err(Errno::EXIST) => return Err(taken(to)),
        Err(errno) => return Err(os("move", from, errno)),
    }
    // The new name first: a crash between the two may show both, never neither.
    sync(&target, to_above)?;
    sync(&source, from_above)
}

/// Copies a file to another file system.
fn copy(
    workspace: &Workspace,
    from: &str,
    target: &OwnedFd,
    to: &str,
    mark: Option<&Mark>,
) -> Result<(), ToolError> {
    if workspace.state(to)? != TargetState::Absent {
        // Only a finished copy of a killed run passes the look before.
        return Ok(());
    }
    let (to_above, _) = paths::split(to);
    sweep(target).map_err(|errno| os("clean up the folder", to_above, errno))?;
    let mut source = workspace.open_unseen(from)?;
    let mut temp = Temp::new(target, to)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        workspace.still_wanted()?;
        match source.read(&mut buffer).map_err(|error| io("read", from, &error))? {
            0 => break,
            n => temp
                .file
                .write_all(buffer.get(..n).unwrap_or_default())
                .map_err(|error| io("write", to, &error))?,
        }
    }
    temp.finish(to, None, mark)?;
    temp.place_free(to)?;
    sync(target, to_above)
}

fn delete(workspace: &Workspace, path: &str, mark: Option<&Mark>) -> Result<(), ToolError> {
    let (above, name) = paths::split(path);
    let folder = open_folder(workspace, above)?;
    still(&folder, path, mark)?;
    match fs::unlinkat(&folder, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => {
            fs::unlinkat(&folder, name, AtFlags::REMOVEDIR).map_err(|errno| match errno {
                Errno::NOTEMPTY | Errno::EXIST => {
                    ToolError::new(ErrorCode::Taken, format!("the folder {path:?} is not empty"))
                        .hint("delete the files in it first")
                }
                errno => os("delete", path, errno),
            })?;
        }
        other => other.map_err(|errno| os("delete", path, errno))?,
    }
    sync(&folder, above)
}

#[cfg(test)]
mod tests;
