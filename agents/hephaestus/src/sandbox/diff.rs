//! What a contained program changed: the upper folder of the overlay, or the
//! private copy, compared with the workspace. Nothing here follows a link, and
//! what is no file or folder is never taken over.

use super::copy::{Manifest, Stamp};
use crate::error::os;
use crate::workspace::Workspace;
use charter::effect::{Change, TargetState};
use charter::tool::{Cancel, ErrorCode, Proposed, ToolError};
use globset::GlobSet;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Most changed files and folders that are looked at.
const CHANGED_MAX: usize = 50_000;
/// Most changes that one run may hand over.
const KEPT_MAX: usize = 5_000;
/// Most names of dropped files that are listed.
pub const DROPPED_LISTED_MAX: usize = 500;

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// A file was written: its permission bits.
    File(u32),
    /// A folder is there.
    Folder,
    /// What was there is gone.
    Gone,
    /// It cannot be taken over.
    Foreign,
}

/// Where the changed files lie.
enum Place {
    /// The upper folder of the overlay.
    Upper(OwnedFd),
    /// A copy of the workspace, and what it was at first.
    Copy(OwnedFd, PathBuf, Manifest),
}

/// The changes of one run, still unread.
pub struct Changed {
    place: Place,
    workspace: PathBuf,
    began: SystemTime,
}

/// What is taken over, and what is not.
#[derive(Debug, Default, PartialEq)]
pub struct Taken {
    /// Changes of declared outputs, deletions first.
    pub changes: Vec<Proposed>,
    /// Their paths.
    pub kept: Vec<String>,
    /// Declared outputs that were written anew and hold what they held.
    pub same: Vec<String>,
    /// Paths that changed but were not declared, or that cannot be taken over;
    /// at most [`DROPPED_LISTED_MAX`].
    pub dropped: Vec<String>,
    /// How many there were.
    pub dropped_count: usize,
}

const READ: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);
const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS);

impl Changed {
    pub(super) fn of_upper(upper: OwnedFd, workspace: &Path, began: SystemTime) -> Self {
        Self { place: Place::Upper(upper), workspace: workspace.to_owned(), began }
    }

    pub(super) fn of_copy(
        copy: &Path,
        manifest: Manifest,
        workspace: &Path,
        began: SystemTime,
    ) -> Result<Self, Errno> {
        let folder = rustix::fs::open(copy, READ | OFlags::DIRECTORY, Mode::empty())?;
        let place = Place::Copy(folder, copy.to_owned(), manifest);
        Ok(Self { place, workspace: workspace.to_owned(), began })
    }

    fn folder(&self) -> &OwnedFd {
        match &self.place {
            Place::Upper(folder) | Place::Copy(folder, ..) => folder,
        }
    }

    fn open(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        rustix::fs::openat2(self.folder(), path, READ | flags, Mode::empty(), BENEATH)
    }

    /// Reads the changes. Paths that fit `outputs` become changes of files of at
    /// most `bytes_max` bytes together; everything else is listed.
    pub fn take(
        &self,
        outputs: &GlobSet,
        workspace: &Workspace,
        bytes_max: u64,
        cancel: &Cancel,
    ) -> Result<Taken, ToolError> {
        let found = match &self.place {
            Place::Upper(_) => self.of_overlay(cancel)?,
            Place::Copy(_, copy, manifest) => self.of_copies(copy, manifest, cancel)?,
        };
        let mut taken = Taken::default();
        let (mut gone, mut rest, mut bytes) = (Vec::new(), Vec::new(), 0_u64);
        for (path, whats) in found {
            if cancel.is_cancelled() {
                return Err(cancelled());
            }
            let Some(name) = path.to_str() else {
                taken.drop(path.to_string_lossy().into_owned());
                continue;
            };
            for what in whats {
                match what {
                    What::Foreign => taken.drop(name.to_owned()),
                    What::Gone
                        if outputs.is_match(name)
                            && workspace.state(name)? != TargetState::Other =>
                    {
                        gone.push(name.to_owned());
                    }
                    What::Folder if outputs.is_match(name) => {
                        if workspace.state(name)? != TargetState::Folder {
                            rest.push(Change::Folder { path: name.to_owned() });
                        }
                    }
                    // A folder that no output asks for matters only by its files.
                    What::Folder => {}
                    What::Gone => taken.drop(name.to_owned()),
                    What::File(mode) => {
                        if !self.differs(&path, name, mode, workspace)? {
                            if outputs.is_match(name) {
                                taken.same.push(name.to_owned());
                            }
                            continue;
                        }
                        if !outputs.is_match(name) {
                            taken.drop(name.to_owned());
                            continue;
                        }
                        let content = self.read(&path, name, bytes_max.saturating_sub(bytes))?;
                        bytes = bytes.saturating_add(content.len() as u64);
                        rest.push(Change::Write {
                            path: name.to_owned(),
                            bytes: content,
                            mode: Some(mode & 0o777),
                        });
                    }
                }
            }
        }
        // Contents go before the folders that hold them.
        let gone = gone.into_iter().rev().map(|path| Change::Delete { path });
        for change in gone.chain(rest) {
            if taken.changes.len() >= KEPT_MAX {
                return Err(ToolError::new(
                    ErrorCode::TooLarge,
                    format!("the program changed more than {KEPT_MAX} declared outputs"),
                )
                .hint("declare fewer outputs"));
            }
            if let Some(path) = change.paths().first() {
                self.refuse_if_changed_since(path)?;
                taken.kept.push((*path).to_owned());
            }
            taken.changes.push(workspace.propose(change)?);
        }
        taken.kept.sort();
        taken.kept.dedup();
        taken.dropped.sort();
        taken.dropped.dedup();
        Ok(taken)
    }

    /// Whoever changed the real file meanwhile must not lose that.
    fn refuse_if_changed_since(&self, path: &str) -> Result<(), ToolError> {
        let Ok(meta) = fs::symlink_metadata(self.workspace.join(path)) else { return Ok(()) };
        let began = self.began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (began_s, began_ns) =
            (i64::try_from(began.as_secs()).unwrap_or(i64::MAX), i64::from(began.subsec_nanos()));
        if !meta.is_dir() && (meta.ctime(), meta.ctime_nsec()) > (began_s, began_ns) {
            return Err(ToolError::new(
                ErrorCode::ChangedSince,
                format!("{path:?} was changed by somebody else while the program ran"),
            )
            .hint("run it again"));
        }
        Ok(())
    }

    fn differs(
        &self,
        path: &Path,
        name: &str,
        mode: u32,
        workspace: &Workspace,
    ) -> Result<bool, ToolError> {
        let Ok(meta) = fs::symlink_metadata(self.workspace.join(path)) else { return Ok(true) };
        if !meta.is_file() || (meta.mode() ^ mode) & 0o111 != 0 {
            return Ok(true);
        }
        let mut file = File::from(self.open(path, OFlags::empty()).map_err(reading(name))?);
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 256 << 10];
        let mut bytes = 0_u64;
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => {
                    hash.update(buffer.get(..read).unwrap_or_default());
                    bytes = bytes.saturating_add(read as u64);
                    if bytes > meta.size() {
                        return Ok(true);
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(crate::error::io("read", name, &error)),
            }
        }
        let sha256 = charter::digest::Digest(hash.finalize().into());
        Ok(workspace.state(name)? != TargetState::File { sha256, bytes })
    }

    fn read(&self, path: &Path, name: &str, max: u64) -> Result<Vec<u8>, ToolError> {
        let file = File::from(self.open(path, OFlags::empty()).map_err(reading(name))?);
        let mut bytes = Vec::new();
        file.take(max.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|error| crate::error::io("read", name, &error))?;
        if bytes.len() as u64 > max {
            return Err(ToolError::new(
                ErrorCode::TooLarge,
                format!("the declared outputs are larger than the limit; {name:?} goes beyond it"),
            )
            .hint("declare fewer outputs, or raise the step's output_bytes"));
        }
        Ok(bytes)
    }

    /// The upper folder: a whiteout means gone, and an opaque folder hides all
    /// that the workspace holds there.
    fn of_overlay(&self, cancel: &Cancel) -> Result<Found, ToolError> {
        let mut found = Found::default();
        // `hides`: nothing of the workspace shows through here.
        let mut open = vec![(PathBuf::new(), false)];
        while let Some((folder, hides)) = open.pop() {
            let shown = folder.display().to_string();
            let fd = self.open(&folder, OFlags::DIRECTORY).map_err(reading(&shown))?;
            for entry in Dir::read_from(&fd).map_err(reading(&shown))? {
                if cancel.is_cancelled() {
                    return Err(cancelled());
                }
                let entry = entry.map_err(reading(&shown))?;
                let name = std::ffi::OsStr::from_bytes(entry.file_name().to_bytes());
                if name == "." || name == ".." {
                    continue;
                }
                let path = folder.join(name);
                let shown = path.display().to_string();
                let stat = rustix::fs::statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(reading(&shown))?;
                let below = fs::symlink_metadata(self.workspace.join(&path)).ok();
                let was_folder = below.as_ref().is_some_and(fs::Metadata::is_dir);
                match FileType::from_raw_mode(stat.st_mode) {
                    FileType::CharacterDevice if stat.st_rdev == 0 => {
                        if !hides && below.is_some() {
                            self.gone(&path, &mut found)?;
                        }
                    }
                    FileType::Directory => {
                        let opaque = hides || self.is_opaque(&path)?;
                        if !hides && below.is_some() && !was_folder {
                            found.add(path.clone(), What::Gone)?;
                        }
                        if opaque && !hides && was_folder {
                            self.gone_below(&path, &mut found)?;
                        }
                        if was_folder {
                            found.forget_gone(&path);
                        }
                        found.add(path.clone(), What::Folder)?;
                        open.push((path, opaque));
                    }
                    // A file in the place of a folder would first have to take the
                    // whole folder away; that is nobody's output.
                    FileType::RegularFile if !was_folder => {
                        found.forget_gone(&path);
                        found.add(path, What::File(stat.st_mode & 0o7777))?;
                    }
                    _ => found.add(path, What::Foreign)?,
                }
            }
        }
        Ok(found)
    }

    fn is_opaque(&self, folder: &Path) -> Result<bool, ToolError> {
        let shown = folder.display().to_string();
        let fd = self.open(folder, OFlags::DIRECTORY).map_err(reading(&shown))?;
        let mut value = [0_u8; 8];
        match rustix::fs::fgetxattr(&fd, "user.overlay.opaque", &mut value) {
            Ok(read) => Ok(value.get(..read) == Some(b"y")),
            Err(Errno::NODATA | Errno::NOTSUP) => Ok(false),
            Err(errno) => Err(os("read the attributes of", &shown, errno)),
        }
    }

    /// A file, or a folder with all that it holds in the workspace, is gone.
    fn gone(&self, path: &Path, found: &mut Found) -> Result<(), ToolError> {
        self.gone_below(path, found)?;
        found.add(path.to_owned(), What::Gone)
    }

    fn gone_below(&self, path: &Path, found: &mut Found) -> Result<(), ToolError> {
        let mut open = vec![path.to_owned()];
        while let Some(folder) = open.pop() {
            let is_folder =
                fs::symlink_metadata(self.workspace.join(&folder)).is_ok_and(|meta| meta.is_dir());
            if !is_folder {
                continue;
            }
            let shown = folder.display().to_string();
            let entries = fs::read_dir(self.workspace.join(&folder))
                .map_err(|error| crate::error::io("list", &shown, &error))?;
            for entry in entries {
                let entry = entry.map_err(|error| crate::error::io("list", &shown, &error))?;
                let path = folder.join(entry.file_name());
                found.add(path.clone(), What::Gone)?;
                open.push(path);
            }
        }
        Ok(())
    }

    /// The copy: what is not as it was made, and what is missing.
    fn of_copies(
        &self,
        copy: &Path,
        manifest: &Manifest,
        cancel: &Cancel,
    ) -> Result<Found, ToolError> {
        let mut found = Found::default();
        let mut seen = BTreeMap::new();
        let mut open = vec![PathBuf::new()];
        while let Some(folder) = open.pop() {
            let shown = folder.display().to_string();
            let entries = fs::read_dir(copy.join(&folder))
                .map_err(|error| crate::error::io("list", &shown, &error))?;
            for entry in entries {
                if cancel.is_cancelled() {
                    return Err(cancelled());
                }
                let entry = entry.map_err(|error| crate::error::io("list", &shown, &error))?;
                let path = folder.join(entry.file_name());
                let meta = fs::symlink_metadata(copy.join(&path))
                    .map_err(|error| crate::error::io("look at", &shown, &error))?;
                let below = fs::symlink_metadata(self.workspace.join(&path)).ok();
                let was_folder = below.as_ref().is_some_and(fs::Metadata::is_dir);
                seen.insert(path.clone(), meta.is_dir());
                if meta.is_dir() {
                    if below.is_some() && !was_folder {
                        found.add(path.clone(), What::Gone)?;
                    }
                    if !was_folder {
                        found.add(path.clone(), What::Folder)?;
                    }
                    open.push(path);
                } else if meta.is_file() && !was_folder {
                    if manifest.get(&path) != Some(&Stamp::of(&meta)) {
                        found.add(path, What::File(meta.mode() & 0o7777))?;
                    }
                } else {
                    let old = self.workspace.join(&path);
                    let same_link = meta.is_symlink()
                        && fs::read_link(copy.join(&path)).ok() == fs::read_link(old).ok();
                    if !same_link {
                        found.add(path, What::Foreign)?;
                    }
                }
            }
        }
        self.missing(&seen, &mut found)?;
        Ok(found)
    }

    /// What the workspace holds and the copy no longer does; `seen` says of each
    /// path of the copy whether it is a folder.
    fn missing(&self, seen: &BTreeMap<PathBuf, bool>, found: &mut Found) -> Result<(), ToolError> {
        let mut open = vec![PathBuf::new()];
        let mut entries_left = super::copy::COPY_ENTRIES_MAX;
        while let Some(folder) = open.pop() {
            let shown = folder.display().to_string();
            let entries = fs::read_dir(self.workspace.join(&folder))
                .map_err(|error| crate::error::io("list", &shown, &error))?;
            for entry in entries {
                let entry = entry.map_err(|error| crate::error::io("list", &shown, &error))?;
                entries_left = entries_left.checked_sub(1).ok_or_else(too_many)?;
                let path = folder.join(entry.file_name());
                let kind = entry
                    .file_type()
                    .map_err(|error| crate::error::io("look at", &shown, &error))?;
                if let Some(still_folder) = seen.get(&path) {
                    if kind.is_dir() && *still_folder {
                        open.push(path);
                    }
                } else if kind.is_file() || kind.is_dir() || kind.is_symlink() {
                    self.gone(&path, found)?;
                }
            }
        }
        Ok(())
    }
}

impl Taken {
    fn drop(&mut self, path: String) {
        self.dropped_count += 1;
        if self.dropped.len() < DROPPED_LISTED_MAX {
            self.dropped.push(path);
        }
    }
}

/// Changed paths in order. A path can be gone as one thing and there as another.
#[derive(Default)]
struct Found(BTreeMap<PathBuf, Vec<What>>);

impl Found {
    fn add(&mut self, path: PathBuf, what: What) -> Result<(), ToolError> {
        if self.0.len() >= CHANGED_MAX {
            return Err(too_many());
        }
        let whats = self.0.entry(path).or_default();
        if !whats.contains(&what) {
            whats.push(what);
        }
        Ok(())
    }

    /// What is made again as what it was is not gone.
    fn forget_gone(&mut self, path: &Path) {
        if let Some(whats) = self.0.get_mut(path) {
            whats.retain(|what| *what != What::Gone);
        }
    }
}

impl IntoIterator for Found {
    type Item = (PathBuf, Vec<What>);
    type IntoIter = std::collections::btree_map::IntoIter<PathBuf, Vec<What>>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

fn reading(path: &str) -> impl Fn(Errno) -> ToolError + '_ {
    move |errno| os("read what the program left in", path, errno)
}

fn cancelled() -> ToolError {
    ToolError::new(ErrorCode::Cancelled, "cancelled while reading what the program left")
}

fn too_many() -> ToolError {
    ToolError::new(
        ErrorCode::TooLarge,
        format!("the program changed more than {CHANGED_MAX} files and folders"),
    )
    .hint("run it on a smaller folder")
}
