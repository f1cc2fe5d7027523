//! Files that are written under a hidden name and renamed into place, and the
//! marks by which a thing is known to be the one that was looked at.

use super::TEMP_PREFIX;
use crate::error::os;
use crate::workspace::{Workspace, paths};
use charter::tool::{ErrorCode, ToolError};
use rustix::fs::{self, AtFlags, Dir, FlockOperation, Gid, Mode, OFlags, RenameFlags, Stat, Uid};
use rustix::io::Errno;
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

/// What tells whether the thing under a name is still the one that was hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) device: u64,
    inode: u64,
    changed: (i64, i64),
    mode: u32,
    owner: (u32, u32),
}

impl Mark {
    /// From what the system says.
    pub(super) fn of_stat(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            changed: (stat.st_ctime, stat.st_ctime_nsec as i64),
            mode: stat.st_mode,
            owner: (stat.st_uid, stat.st_gid),
        }
    }

    /// Of a path, if anything is there.
    pub(super) fn of(workspace: &Workspace, path: &str) -> Option<Self> {
        let (folder, name) = paths::split(path);
        let folder = workspace.folder(folder).ok()?;
        Self::at(&folder, name)
    }

    /// Of a name in a folder, if anything is there.
    pub(super) fn at(folder: &OwnedFd, name: &str) -> Option<Self> {
        let stat = fs::statat(folder.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Some(Self::of_stat(&stat))
    }
}

/// A file that is being written under a hidden name. Unless it is renamed into
/// place it goes away with this value.
pub(super) struct Temp<'a> {
    folder: &'a OwnedFd,
    name: String,
    pub(super) file: File,
    placed: bool,
}

impl<'a> Temp<'a> {
    /// A new, empty one.
    pub(super) fn new(folder: &'a OwnedFd, path: &str) -> Result<Self, ToolError> {
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut random = [0_u8; 8];
        getrandom::fill(&mut random).map_err(|error| {
            ToolError::new(ErrorCode::Transient, format!("could not draw a random name: {error}"))
        })?;
        let name = format!("{TEMP_PREFIX}{}", hex::encode(random));
        let file = fs::openat(folder, &name, flags, Mode::from_raw_mode(0o666))
            .map_err(|errno| os("write", path, errno))?;
        let temp = Self { folder, name, file: File::from(file), placed: false };
        // Shows others that the writer lives. Where locks are not to be had, a
        // sweep cannot take one either and leaves the file alone.
        let _ = fs::flock(&temp.file, FlockOperation::NonBlockingLockExclusive);
        Ok(temp)
    }

    /// Gives the file its mode and owner, and makes its content durable.
    pub(super) fn finish(
        &self,
        path: &str,
        mode: Option<u32>,
        old: Option<&Mark>,
    ) -> Result<(), ToolError> {
        if let Some(old) = old {
            // Only root can, and only root needs to.
            let _ = fs::fchown(
                &self.file,
                Some(Uid::from_raw(old.owner.0)),
                Some(Gid::from_raw(old.owner.1)),
            );
        }
        if let Some(mode) = mode.or(old.map(|old| old.mode)) {
            fs::fchmod(&self.file, Mode::from_raw_mode(mode & 0o777))
                .map_err(|errno| os("set the mode of", path, errno))?;
        }
        fs::fsync(&self.file).map_err(|errno| os("write", path, errno))
    }

    /// Renames it into a place that must be free.
    pub(super) fn place_free(&mut self, path: &str) -> Result<(), ToolError> {
        let (_, name) = paths::split(path);
        match rename_free(self.folder, &self.name, self.folder, name) {
            Ok(()) => {
                self.placed = true;
                Ok(())
            }
            Err(Errno::EXIST) => Err(taken(path)),
            Err(errno) => Err(os("write", path, errno)),
        }
    }

    /// Renames it over the file that stands in its place.
    pub(super) fn place_over(&mut self, path: &str) -> Result<(), ToolError> {
        let (_, name) = paths::split(path);
        fs::renameat(self.folder, &self.name, self.folder, name)
            .map_err(|errno| os("write", path, errno))?;
        self.placed = true;
        Ok(())
    }
}

impl Drop for Temp<'_> {
    fn drop(&mut self) {
        if !self.placed {
            // What cannot be removed now is removed by the next sweep.
            let _ = fs::unlinkat(self.folder, &self.name, AtFlags::empty());
        }
    }
}

/// The name was free when it was looked at.
pub(super) fn taken(path: &str) -> ToolError {
    ToolError::new(
        ErrorCode::ChangedSince,
        format!("somebody else put something under the free name {path:?}"),
    )
    .hint("choose another name, or move that file away")
}

/// Renames onto a name that must be free.
pub(super) fn rename_free(
    from_folder: &OwnedFd,
    from: &str,
    to_folder: &OwnedFd,
    to: &str,
) -> Result<(), Errno> {
    match fs::renameat_with(from_folder, from, to_folder, to, RenameFlags::NOREPLACE) {
        // The file system has no such rename; a hard link is refused just so
        // when the name is taken. Folders have no links.
        Err(errno @ (Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP)) => {
            fs::linkat(from_folder, from, to_folder, to, AtFlags::empty())
                .map_err(|error| if error == Errno::EXIST { error } else { errno })?;
            fs::unlinkat(from_folder, from, AtFlags::empty())
        }
        other => other,
    }
}

/// Removes what killed runs left in a folder: hidden files whose writer holds no
/// lock any more.
pub(super) fn sweep(folder: &OwnedFd) -> Result<(), Errno> {
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name: &CStr = entry.file_name();
        if !name.to_bytes().starts_with(TEMP_PREFIX.as_bytes()) {
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(file) = fs::openat(folder, name, flags, Mode::empty()) else { continue };
        if fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            match fs::unlinkat(folder, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT | Errno::ISDIR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
    Ok(())
}
