//! The file system that a contained program sees, built in a mount namespace of
//! its own: listed parts of the machine read-only, the workspace under a private
//! overlay, and private `/tmp`, `/dev` and `/proc`. Everything else, the user's
//! home and Alma's data among it, is not there at all.
//!
//! The new root is entered first and filled afterwards, with the old one at
//! [`OLD`]: links inside it then mean what they will mean to the program.

use super::host::{HOME, Shown};
use super::profile::{Layer, Profile, View};
use super::sys;
use rustix::fs::{Mode, OFlags, XattrFlags};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind_recursive, mount_change,
    unmount,
};
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Where the old root is until the new one is complete.
const OLD: &str = "/.old";
/// Where the memory that the program writes to is meanwhile.
const STORE: &str = "/.store";
/// Most files in it.
const STORE_FILES_MAX: u32 = 1 << 18;
/// Name of the user inside, and of the machine.
pub(super) const USER: &str = "user";
/// Number of the user and group inside; outside they are Alma's own. Never 0:
/// programs that believe themselves root try what they may not.
pub(super) const USER_ID: u32 = 1000;
/// Devices that are shown.
pub(super) const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];

/// A step that failed: which layer, and why.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) layer: &'static str,
    pub(super) cause: String,
}

/// Adds to an error what was tried.
pub(super) trait Context<T> {
    fn refused(self, layer: &'static str, tried: &str) -> Result<T, Refusal>;
}

impl<T, E: std::fmt::Display> Context<T> for Result<T, E> {
    fn refused(self, layer: &'static str, tried: &str) -> Result<T, Refusal> {
        self.map_err(|error| Refusal { layer, cause: format!("could not {tried}: {error}") })
    }
}

/// What was built.
pub(super) struct Built {
    /// What is in force.
    pub(super) layers: Vec<Layer>,
    /// `/proc` of the new pid namespace.
    pub(super) proc: OwnedFd,
    /// The upper folder of the overlay.
    pub(super) upper: Option<OwnedFd>,
}

/// Builds the new root and enters it. Needs all capabilities over a mount and a
/// pid namespace of its own.
pub(super) fn enter(profile: &Profile) -> Result<Built, Refusal> {
    let mut layers = Vec::new();
    swap_roots(profile)?;
    let proc = fresh_proc(profile, &mut layers)?;
    devices().refused("devices", "make /dev")?;
    private_folders().refused("private folders", "make /tmp and /var/tmp")?;
    show(&profile.shown)?;
    accounts().refused("file system", "write /etc/passwd")?;
    let upper = workspace(profile, &mut layers)?;
    for folder in &profile.covered {
        cover(folder).refused("file system", &format!("cover up {folder:?}"))?;
    }
    make_folder(Path::new(HOME)).refused("private folders", "make the home")?;
    for folder in [OLD, STORE] {
        unmount(folder, UnmountFlags::DETACH).refused("file system", "leave the old root")?;
        fs::remove_dir(folder).refused("file system", "leave the old root")?;
    }
    sys::mount_read_only("/", false).refused("file system", "make the root read-only")?;
    layers.insert(
        0,
        Layer::on(
            "file system",
            "programs and libraries read-only; home, data folder and sockets are not there; \
             private /tmp and /dev",
        ),
    );
    Ok(Built { layers, proc, upper })
}

fn flags_private() -> MountFlags {
    MountFlags::NOSUID | MountFlags::NODEV
}

fn tmpfs(at: &str, options: &str) -> Result<(), Errno> {
    let options = CString::new(options).map_err(|_| Errno::INVAL)?;
    mount("tmpfs", at, "tmpfs", flags_private(), options.as_c_str())
}

fn swap_roots(profile: &Profile) -> Result<(), Refusal> {
    const LAYER: &str = "mount namespace";
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .refused(LAYER, "make the mounts private")?;
    let root = profile.staging.join("root");
    let root =
        root.to_str().ok_or("its name is not text").refused(LAYER, "use the scratch folder")?;
    tmpfs(root, "mode=0755,size=16m,nr_inodes=65536").refused(LAYER, "mount the new root")?;
    let old = Path::new(root).join(".old");
    let store = Path::new(root).join(".store");
    for folder in [&old, &store] {
        fs::create_dir(folder).refused(LAYER, "make a folder in the new root")?;
    }
    rustix::process::pivot_root(root, &old).refused(LAYER, "enter the new root")?;
    rustix::process::chdir("/").refused(LAYER, "enter the new root")?;
    let size = profile.bounds.store_bytes;
    tmpfs(STORE, &format!("mode=0700,size={size},nr_inodes={STORE_FILES_MAX}"))
        .refused(LAYER, "mount the private memory")?;
    for name in ["upper", "work", "lower", "tmp", "vartmp", "shm"] {
        let folder = Path::new(STORE).join(name);
        fs::create_dir(&folder).refused(LAYER, "make a private folder")?;
    }
    Ok(())
}

/// A path of the old root.
fn old(path: &Path) -> PathBuf {
    Path::new(OLD).join(path.strip_prefix("/").unwrap_or(path))
}

fn make_folder(path: &Path) -> io::Result<()> {
    match fs::create_dir_all(path) {
        Err(_) if path.is_dir() => Ok(()),
        result => result,
    }
}

fn make_file(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        make_folder(parent)?;
    }
    match fs::OpenOptions::new().create(true).append(true).open(path) {
        Err(_) if path.is_file() => Ok(()),
        result => result.map(drop),
    }
}

fn bind(from: &Path, at: &Path) -> Result<(), Errno> {
    mount_bind_recursive(from, at)
}

/// A `/proc` that knows only the new pid namespace.
fn fresh_proc(profile: &Profile, layers: &mut Vec<Layer>) -> Result<OwnedFd, Refusal> {
    const LAYER: &str = "pid namespace";
    fs::create_dir("/proc").refused(LAYER, "make /proc")?;
    mount("proc", "/proc", "proc", flags_private() | MountFlags::NOEXEC, None)
        .refused(LAYER, "mount a fresh /proc")?;
    layers.push(bound_processes(profile));
    sys::mount_read_only("/proc", true).refused(LAYER, "make /proc read-only")?;
    rustix::fs::open("/proc", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .refused(LAYER, "open /proc")
}

/// Bounds the processes and threads of the namespace.
fn bound_processes(profile: &Profile) -> Layer {
    const LAYER: &str = "processes";
    let most = profile.bounds.processes;
    // Since Linux 6.14 every pid namespace has a bound of its own, which holds
    // for root as well. Before that, the same file belongs to the whole machine
    // and must not be touched.
    let system = rustix::system::uname();
    let own = kernel(&system.release().to_string_lossy()) >= (6, 14);
    if own && fs::write("/proc/sys/kernel/pid_max", most.to_string()).is_ok() {
        Layer::on(LAYER, format!("at most {most}, bound by the namespace"))
    } else if profile.superuser {
        Layer::off(LAYER, format!("polled: ended beyond {most}; for root nothing else counts them"))
    } else {
        Layer::on(LAYER, format!("at most {most}, bound by RLIMIT_NPROC"))
    }
}

/// The first two numbers of a kernel release.
fn kernel(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn devices() -> Result<(), io::Error> {
    fs::create_dir("/dev")?;
    for name in DEVICES {
        let at = Path::new("/dev").join(name);
        make_file(&at)?;
        bind(&old(&at), &at)?;
    }
    for (at, to) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        symlink(to, Path::new("/dev").join(at))?;
    }
    fs::create_dir("/dev/pts")?;
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    mount("devpts", "/dev/pts", "devpts", flags, c"newinstance,ptmxmode=0666,mode=0620")?;
    fs::create_dir("/dev/shm")?;
    bind(&Path::new(STORE).join("shm"), Path::new("/dev/shm"))?;
    fs::set_permissions("/dev/shm", fs::Permissions::from_mode(0o1777))
}

fn private_folders() -> io::Result<()> {
    for (name, at) in [("tmp", "/tmp"), ("vartmp", "/var/tmp")] {
        make_folder(Path::new(at))?;
        bind(&Path::new(STORE).join(name), Path::new(at))?;
        fs::set_permissions(at, fs::Permissions::from_mode(0o1777))?;
    }
    Ok(())
}

/// Shows parts of the machine, outer ones first.
fn show(shown: &[Shown]) -> Result<(), Refusal> {
    for one in shown {
        let tried = format!("show {:?}", one.at());
        match one {
            Shown::Link { at, to } => {
                if let Some(parent) = at.parent() {
                    make_folder(parent).refused("file system", &tried)?;
                }
                match symlink(to, at) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    result => result.refused("file system", &tried)?,
                }
            }
            Shown::Same { at, from } => {
                let from = old(from);
                let made = if from.is_dir() { make_folder(at) } else { make_file(at) };
                made.refused("file system", &tried)?;
                bind(&from, at).refused("file system", &tried)?;
                sys::mount_read_only(at, true).refused("file system", &tried)?;
            }
        }
    }
    Ok(())
}

/// Names for the numbers of users and groups, without those of the machine.
fn accounts() -> io::Result<()> {
    make_folder(Path::new("/etc"))?;
    fs::write(
        "/etc/passwd",
        format!(
            "root:x:0:0:root:/root:/bin/sh\n\
             {USER}:x:{USER_ID}:{USER_ID}::{HOME}:/bin/sh\n\
             nobody:x:65534:65534:nobody:/:/bin/false\n"
        ),
    )?;
    fs::write("/etc/group", format!("root:x:0:\n{USER}:x:{USER_ID}:\nnogroup:x:65534:\n"))?;
    fs::write("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")?;
    fs::write("/etc/hostname", format!("{USER}\n"))
}

fn workspace(profile: &Profile, layers: &mut Vec<Layer>) -> Result<Option<OwnedFd>, Refusal> {
    const LAYER: &str = "workspace";
    let at = &profile.workspace;
    make_folder(at).refused(LAYER, "make its folder")?;
    let (store, place) = match &profile.view {
        View::Memory => (PathBuf::from(STORE), "in memory"),
        View::Disk => (PathBuf::from(STORE).join("disk"), "on disk"),
        View::Copy(copy) => {
            bind(&old(copy), at).refused(LAYER, "show the copy")?;
            layers.push(Layer::on(LAYER, "a private copy"));
            return Ok(None);
        }
    };
    if profile.view == View::Disk {
        fs::create_dir(&store).refused(LAYER, "reach the scratch folder")?;
        bind(&old(&profile.staging), &store).refused(LAYER, "reach the scratch folder")?;
    }
    let upper = store.join("upper");
    // Without these attributes (tmpfs before Linux 6.6) a folder that is deleted
    // and made again would show its old contents.
    rustix::fs::setxattr(&upper, "user.overlay.trial", b"y", XattrFlags::empty())
        .and_then(|()| rustix::fs::removexattr(&upper, "user.overlay.trial"))
        .refused(LAYER, &format!("keep attributes of an overlay {place}"))?;
    let lower = Path::new(STORE).join("lower");
    bind(&old(at), &lower).refused(LAYER, "reach it")?;
    let options = format!(
        "lowerdir={},upperdir={},workdir={},userxattr",
        lower.display(),
        upper.display(),
        store.join("work").display()
    );
    let options = CString::new(options).refused(LAYER, "name its folders")?;
    mount("overlay", at, "overlay", flags_private(), options.as_c_str())
        .refused(LAYER, &format!("mount an overlay {place}"))?;
    layers.push(Layer::on(LAYER, format!("read-only under a private overlay {place}")));
    rustix::fs::open(&upper, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .refused(LAYER, "open its upper folder")
        .map(Some)
}

/// Puts an empty folder over one that must not be seen.
fn cover(folder: &Path) -> io::Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    mount("tmpfs", folder, "tmpfs", flags_private(), c"mode=0555,size=4k,nr_inodes=2")?;
    sys::mount_read_only(folder, false)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_releases_are_compared_by_number() {
        assert_eq!(kernel("6.18.44-generic"), (6, 18));
        assert_eq!(kernel("5.4"), (5, 4));
        assert!(kernel("6.9.1") < (6, 14));
        assert_eq!(kernel("odd"), (0, 0));
    }
}
