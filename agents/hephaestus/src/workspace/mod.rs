//! The folder that a mission works in: the only way in which tools and checks
//! touch files.
//!
//! Every path is checked as text and then resolved by the kernel below the open
//! folder (`openat2`), so that neither `..` nor a link, not even one that is put
//! there a moment later, leads outside. Nothing here changes a file; that is
//! [`crate::apply`].

mod glob;
pub mod paths;
mod secrets;
mod walk;

pub(crate) use glob::is_left_out;
pub use secrets::looks_secret;
pub use walk::{WALK_ENTRIES_MAX, Walked, WalkedFile};

use crate::error::{io, malformed, never_touched, os, too_large};
use charter::budget::Meter;
use charter::digest::Digest;
use charter::effect::{Change, Target, TargetState};
use charter::ids::Millis;
use charter::label::{Label, Sensitivity};
use charter::tool::{Call, Cancel, ErrorCode, Proposed, ToolError};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};

/// Most bytes of one file that a tool holds in memory at once.
pub const TEXT_MAX: u64 = 64 << 20;

const READ: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NOCTTY);
const INSIDE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

/// Bits of what was handed out.
const SEEN_ANY: u8 = 1;
const SEEN_SECRET: u8 = 2;

/// A mission's folder.
#[derive(Debug)]
pub struct Workspace {
    root: OwnedFd,
    path: PathBuf,
    secrets_allowed: bool,
    cancel: Cancel,
    meter: Meter,
    seen: AtomicU8,
}

/// What kind of thing a path names, without following a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A link, device, pipe or socket.
    Other,
}

/// Size and times of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// Its kind.
    pub kind: Kind,
    /// Size in bytes.
    pub bytes: u64,
    /// When it was modified last.
    pub modified: Millis,
    /// Unix permission bits.
    pub mode: u32,
}

impl Meta {
    pub(crate) fn of(stat: &Stat) -> Self {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Folder,
            _ => Kind::Other,
        };
        let modified = stat
            .st_mtime
            .saturating_mul(1_000)
            .saturating_add(stat.st_mtime_nsec as i64 / 1_000_000);
        let bytes = u64::try_from(stat.st_size).unwrap_or(0);
        Self { kind, bytes, modified, mode: stat.st_mode & 0o7777 }
    }
}

impl Workspace {
    /// Opens a folder by its absolute path. Secrets are not handed out.
    pub fn open(path: &Path) -> Result<Self, ToolError> {
        let shown = path.to_string_lossy();
        if !path.is_absolute() {
            return Err(ToolError::new(
                ErrorCode::Arguments,
                format!("the workspace {shown:?} is not named by an absolute path"),
            ));
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = fs::open(path, flags, Mode::empty())
            .map_err(|errno| os("open the workspace", &shown, errno))?;
        Ok(Self {
            root,
            path: path.to_owned(),
            secrets_allowed: false,
            cancel: Cancel::default(),
            meter: Meter::default(),
            seen: AtomicU8::new(0),
        })
    }

    /// The workspace of a call, with the call's permission, cancel flag and meter.
    pub fn of_call(call: &Call) -> Result<Self, ToolError> {
        Ok(Self::open(&call.workspace)?
            .secrets(call.secrets_allowed)
            .cancel(&call.cancel)
            .meter(&call.meter))
    }

    /// Whether files that look like secrets are handed out.
    pub fn secrets(self, allowed: bool) -> Self {
        Self { secrets_allowed: allowed, ..self }
    }

    /// The flag that stops long reading.
    pub fn cancel(self, cancel: &Cancel) -> Self {
        Self { cancel: cancel.clone(), ..self }
    }

    /// What counts the bytes that are read.
    pub fn meter(self, meter: &Meter) -> Self {
        Self { meter: meter.clone(), ..self }
    }

    /// Its absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The open folder itself.
    pub fn root(&self) -> &OwnedFd {
        &self.root
    }

    /// Whether secrets are handed out.
    pub fn secrets_allowed(&self) -> bool {
        self.secrets_allowed
    }

    /// [`ErrorCode::Cancelled`] as soon as the call is asked to stop. Loops over
    /// much data ask this.
    pub fn still_wanted(&self) -> Result<(), ToolError> {
        if self.cancel.is_cancelled() {
            return Err(ToolError::new(ErrorCode::Cancelled, "the call was asked to stop"));
        }
        Ok(())
    }

    /// The label of what was handed out so far, joined with another.
    pub fn label(&self, with: Label) -> Label {
        let seen = self.seen.load(Ordering::SeqCst);
        let mut label = if seen & SEEN_ANY != 0 { with.join(Label::UNTRUSTED) } else { with };
        if seen & SEEN_SECRET != 0 {
            label.sensitivity = Sensitivity::Secret;
        }
        label
    }

    fn saw(&self, bits: u8) {
        self.seen.fetch_or(bits, Ordering::SeqCst);
    }

    fn openat(&self, path: &str, flags: OFlags, resolve: ResolveFlags) -> Result<OwnedFd, Errno> {
        // The kernel answers EAGAIN when a rename elsewhere races with `..` rules.
        for _ in 0..16 {
            match fs::openat2(&self.root, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
        Err(Errno::AGAIN)
    }

    /// Opens a folder; no part of the path may be a link.
    pub(crate) fn folder(&self, path: &str) -> Result<OwnedFd, Errno> {
        let flags = READ | OFlags::DIRECTORY;
        self.openat(path, flags, INSIDE | ResolveFlags::NO_SYMLINKS)
    }

    /// Opens a regular file for reading. A link is followed if it stays inside;
    /// whether it names a secret is judged by where it leads.
    pub fn open_file(&self, path: &str) -> Result<Reading, ToolError> {
        let path = paths::normal(path)?;
        self.may_read(&path, &path)?;
        // NONBLOCK: opening a pipe must not wait for its other end.
        let flags = READ | OFlags::NONBLOCK;
        let opened = match self.openat(&path, flags, INSIDE | ResolveFlags::NO_SYMLINKS) {
            Err(Errno::LOOP) => {
                let file =
                    self.openat(&path, flags, INSIDE).map_err(|errno| os("open", &path, errno))?;
                self.may_read(&path, &real_path(&file, &path)?)?;
                file
            }
            other => other.map_err(|errno| os("open", &path, errno))?,
        };
        let stat = fs::fstat(&opened).map_err(|errno| os("look at", &path, errno))?;
        match Meta::of(&stat).kind {
            Kind::File => {}
            Kind::Folder => return Err(os("read", &path, Errno::ISDIR)),
            Kind::Other => {
                return Err(malformed(format!("{path:?} is no regular file"))
                    .hint("only regular files are read"));
            }
        }
        self.saw(SEEN_ANY);
        Ok(self.reading(opened))
    }

    /// Refuses a secret that was not permitted, and notes one that was.
    fn may_read(&self, path: &str, real: &str) -> Result<(), ToolError> {
        if !looks_secret(real) {
            return Ok(());
        }
        if !self.secrets_allowed {
            return Err(ToolError::new(
                ErrorCode::Permission,
                format!("{path:?} looks like it holds a secret and was not permitted"),
            )
            .hint("name the file in the plan itself, so that you are asked"));
        }
        self.saw(SEEN_ANY | SEEN_SECRET);
        Ok(())
    }

    /// The bytes of a file of at most `max` bytes.
    pub fn read(&self, path: &str, max: u64) -> Result<Vec<u8>, ToolError> {
        let mut file = self.open_file(path)?;
        let stat = fs::fstat(&file.file).map_err(|errno| os("look at", path, errno))?;
        let size = Meta::of(&stat).bytes;
        if size > max {
            return Err(too_big(path, size, max));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        let mut chunk = file.by_ref().take(max.saturating_add(1));
        chunk.read_to_end(&mut bytes).map_err(|error| io("read", path, &error))?;
        if bytes.len() as u64 > max {
            return Err(too_big(path, bytes.len() as u64, max));
        }
        self.still_wanted()?;
        Ok(bytes)
    }

    /// The text of a file of at most `max` bytes. A byte order mark is left out.
    /// What is not UTF-8 is an error that says where.
    pub fn text(&self, path: &str, max: u64) -> Result<String, ToolError> {
        let bytes = self.read(path, max)?;
        let mut text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            malformed(format!("{path:?} is not UTF-8 text: byte {at} cannot be read"))
                .hint("convert the file to UTF-8, or leave it out")
        })?;
        if text.starts_with('\u{feff}') {
            text.drain(..'\u{feff}'.len_utf8());
        }
        Ok(text)
    }

    /// Kind, size and time of a path, or `None` where nothing is. Links are not
    /// followed.
    pub fn meta(&self, path: &str) -> Result<Option<Meta>, ToolError> {
        let path = paths::normal(path)?;
        let (folder, name) = paths::split(&path);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let stat = self
            .openat(folder, flags, INSIDE | ResolveFlags::NO_SYMLINKS)
            .and_then(|folder| fs::statat(folder.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW));
        match stat {
            Ok(stat) => Ok(Some(Meta::of(&stat))),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(os("look at", &path, errno)),
        }
    }

    /// Whether a folder holds nothing at all.
    pub fn is_empty_folder(&self, path: &str) -> Result<bool, ToolError> {
        let path = paths::normal(path)?;
        let failed = |errno| os("list the folder", &path, errno);
        let folder = self.folder(&path).map_err(failed)?;
        for entry in fs::Dir::read_from(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_name() != c"." && entry.file_name() != c".." {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a path, links followed as long as they stay inside, names
    /// something.
    pub fn exists(&self, path: &str) -> bool {
        paths::normal(path)
            .is_ok_and(|path| self.openat(&path, OFlags::PATH | OFlags::CLOEXEC, INSIDE).is_ok())
    }

    /// What a path holds now. A file is hashed in a stream; its content is not
    /// handed out.
    pub fn state(&self, path: &str) -> Result<TargetState, ToolError> {
        let path = paths::normal(path)?;
        let Some(meta) = self.meta(&path)? else { return Ok(TargetState::Absent) };
        match meta.kind {
            Kind::Folder => return Ok(TargetState::Folder),
            Kind::Other => return Ok(TargetState::Other),
            Kind::File => {}
        }
        let file = match self.open_unseen(&path) {
            Ok(file) => file,
            Err(error) if error.code == ErrorCode::NotFound => return Ok(TargetState::Absent),
            Err(error) => return Err(error),
        };
        let (sha256, bytes) = self.hash(file).map_err(|error| match error {
            HashError::Stopped(error) => error,
            HashError::Io(error) => io("read", &path, &error),
        })?;
        Ok(TargetState::File { sha256, bytes })
    }

    /// Opens a file whose content is not handed out: to hash or copy it.
    pub(crate) fn open_unseen(&self, path: &str) -> Result<Reading, ToolError> {
        self.openat(path, READ | OFlags::NONBLOCK, INSIDE | ResolveFlags::NO_SYMLINKS)
            .map(|file| self.reading(file))
            .map_err(|errno| os("read", path, errno))
    }

    fn reading(&self, file: OwnedFd) -> Reading {
        Reading { file: File::from(file), meter: self.meter.clone() }
    }

    fn hash(&self, mut file: Reading) -> Result<(Digest, u64), HashError> {
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 256 << 10];
        let mut bytes = 0_u64;
        loop {
            self.still_wanted().map_err(HashError::Stopped)?;
            match file.read(&mut buffer) {
                Ok(0) => return Ok((Digest(hash.finalize().into()), bytes)),
                Ok(n) => {
                    hash.update(buffer.get(..n).unwrap_or_default());
                    bytes = bytes.saturating_add(n as u64);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(HashError::Io(error)),
            }
        }
    }

    /// What a path holds now, with its name.
    pub fn target(&self, path: &str) -> Result<Target, ToolError> {
        let path = paths::normal(path)?;
        let state = self.state(&path)?;
        Ok(Target { path, state })
    }

    /// A change together with what its paths hold now. Its paths are brought
    /// into normal form.
    pub fn propose(&self, change: Change) -> Result<Proposed, ToolError> {
        let change = normal_change(change)?;
        let before = change
            .paths()
            .into_iter()
            .map(|path| self.target(path))
            .collect::<Result<Vec<_>, _>>()?;
        // Nobody is asked about what would be refused afterwards.
        if let Some(target) = before.iter().find(|target| target.state == TargetState::Other) {
            return Err(never_touched(&target.path));
        }
        Ok(Proposed { change, before })
    }
}

/// An open file whose bytes are counted as they are read.
#[derive(Debug)]
pub struct Reading {
    file: File,
    meter: Meter,
}

impl Reading {
    /// Its size in bytes.
    pub fn size(&self) -> std::io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

impl Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.meter.read(count as u64);
        Ok(count)
    }
}

impl Seek for Reading {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.file.seek(to)
    }
}

enum HashError {
    Stopped(ToolError),
    Io(std::io::Error),
}

fn too_big(path: &str, size: u64, max: u64) -> ToolError {
    too_large(format!("{path:?} has {size} bytes, more than the {max} that are read at once"))
        .hint("split the file, or leave it out")
}

/// Where an open file really lies, as text to judge its name by.
fn real_path(file: &OwnedFd, path: &str) -> Result<String, ToolError> {
    use std::os::fd::AsRawFd;
    std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
        .map(|real| real.to_string_lossy().into_owned())
        .map_err(|error| io("resolve the link", path, &error))
}

/// The change with its paths in normal form; none of them is the workspace
/// itself.
fn normal_change(change: Change) -> Result<Change, ToolError> {
    let inner = |path: String| match paths::normal(&path)?.as_str() {
        "." => Err(ToolError::new(
            ErrorCode::Arguments,
            "the workspace itself cannot be written, moved or deleted",
        )),
        normal => Ok(normal.to_owned()),
    };
    Ok(match change {
        Change::Write { path, bytes, mode } => Change::Write { path: inner(path)?, bytes, mode },
        Change::Folder { path } => Change::Folder { path: inner(path)? },
        Change::Move { from, to } => Change::Move { from: inner(from)?, to: inner(to)? },
        Change::Delete { path } => Change::Delete { path: inner(path)? },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Desk;
    use std::os::unix::fs::symlink;

    fn read(desk: &Desk, path: &str) -> Result<String, ErrorCode> {
        desk.workspace().text(path, 1 << 20).map_err(|error| error.code)
    }

    #[test]
    fn links_stay_inside() {
        let desk = Desk::new(&[("a.md", "in"), ("d/b.md", "deep"), (".env", "K=1")]);
        symlink("/etc/hostname", desk.at("out")).unwrap();
        symlink("../../../../../../etc/hostname", desk.at("d/up")).unwrap();
        symlink("../a.md", desk.at("d/in")).unwrap();
        symlink(".env", desk.at("innocent.txt")).unwrap();
        symlink("loop", desk.at("loop")).unwrap();
        assert_eq!(read(&desk, "out"), Err(ErrorCode::Outside));
        assert_eq!(read(&desk, "d/up"), Err(ErrorCode::Outside));
        assert_eq!(read(&desk, "d/../a.md"), Err(ErrorCode::Outside));
        assert_eq!(read(&desk, "loop"), Err(ErrorCode::Outside));
        assert_eq!(read(&desk, "d/in"), Ok("in".into()));
        assert_eq!(read(&desk, "innocent.txt"), Err(ErrorCode::Permission));
    }

    #[test]
    fn a_pipe_does_not_hang_and_is_no_file() {
        let desk = Desk::new(&[]);
        fs::mkfifoat(fs::CWD, desk.at("pipe"), Mode::from_raw_mode(0o600)).unwrap();
        assert_eq!(read(&desk, "pipe"), Err(ErrorCode::Malformed));
        assert_eq!(desk.workspace().state("pipe").unwrap(), TargetState::Other);
    }

    #[test]
    fn text_says_where_it_breaks() {
        let desk = Desk::new(&[]);
        desk.put("bom.txt", b"\xEF\xBB\xBFx");
        desk.put("bad.txt", b"abc\xFF");
        assert_eq!(read(&desk, "bom.txt"), Ok("x".into()));
        let error = desk.workspace().text("bad.txt", 100).unwrap_err();
        assert!(error.message.contains("byte 3"), "{error}");
        assert_eq!(desk.workspace().read("bad.txt", 3).unwrap_err().code, ErrorCode::TooLarge);
    }

    #[test]
    fn states_are_told_apart() {
        let desk = Desk::new(&[("d/a", "x")]);
        symlink("d", desk.at("link")).unwrap();
        let state = |path: &str| desk.workspace().state(path).unwrap();
        assert_eq!(state("d"), TargetState::Folder);
        assert_eq!(state("link"), TargetState::Other);
        assert_eq!(state("gone/x"), TargetState::Absent);
        assert_eq!(state("d/a/x"), TargetState::Absent);
        assert_eq!(state("d/a"), TargetState::File { sha256: Digest::of(b"x"), bytes: 1 });
        assert_eq!(desk.workspace().state("link/a").unwrap_err().code, ErrorCode::Outside);
    }

    #[test]
    fn no_permission_is_told() {
        use std::os::unix::fs::PermissionsExt;
        if rustix::process::geteuid().is_root() {
            return;
        }
        let desk = Desk::new(&[("a", "x")]);
        std::fs::set_permissions(desk.at("a"), std::fs::Permissions::from_mode(0o0)).unwrap();
        assert_eq!(read(&desk, "a"), Err(ErrorCode::Permission));
    }

    #[test]
    fn the_label_follows_what_was_handed_out() {
        let desk = Desk::new(&[("a", "x"), (".env", "K")]);
        let workspace = desk.workspace().secrets(true);
        workspace.state("a").unwrap();
        assert_eq!(workspace.label(Label::TRUSTED), Label::TRUSTED);
        workspace.read("a", 10).unwrap();
        assert_eq!(workspace.label(Label::TRUSTED), Label::UNTRUSTED);
        workspace.read(".env", 10).unwrap();
        assert_eq!(workspace.label(Label::TRUSTED).sensitivity, Sensitivity::Secret);
    }

    #[test]
    fn a_workspace_must_be_a_folder() {
        let desk = Desk::new(&[("a", "x")]);
        let code = |path: &Path| Workspace::open(path).unwrap_err().code;
        assert_eq!(code(&desk.at("a")), ErrorCode::NotFound);
        assert_eq!(code(&desk.at("gone")), ErrorCode::NotFound);
        assert_eq!(code(Path::new("relative")), ErrorCode::Arguments);
    }
}
