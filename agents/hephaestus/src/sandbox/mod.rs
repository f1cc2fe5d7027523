//! The containment of programs.
//!
//! A program runs over the workspace without being able to change it, or
//! anything else: the workspace lies read-only under a private overlay, the rest
//! of the machine is read-only or not there, there is no network, and every
//! process is dead when the run is over. What it changed comes back as a diff
//! ([`Changed`]), of which declared outputs become effects of their own.
//!
//! | file | what it does |
//! |---|---|
//! | `mod` | starts the helper, watches bounds, kills, collects |
//! | [`helper`](run_if_helper) | this program started again, containing itself |
//! | `root` | the file system that the program sees |
//! | `host` | which parts of this machine are shown; the environment |
//! | `filter`, `ruleset` | seccomp and Landlock |
//! | `usage`, `capture`, `diff`, `copy` | measuring, output, changes, the copy |
//! | `sys` | the only unsafe code |
//!
//! The level is found out by really trying once ([`Sandbox::containment`]):
//! *full* with namespaces; *restricted* with Landlock, seccomp and limits on a
//! copy; else *none*, which is for policy to ask about.

mod attempts;
mod capture;
mod copy;
mod diff;
mod filter;
mod helper;
mod host;
mod profile;
mod root;
mod ruleset;
mod sys;
mod usage;

pub use attempts::{Attempt, BREACH, OUTSIDE, PID, PORT, attempts};
pub use capture::Captured;
pub use copy::CopyError;
pub use diff::{Changed, DROPPED_LISTED_MAX, Taken};
pub use helper::{HELPER_ARGUMENT, run_if_helper};
pub use host::Host;
pub use profile::Layer;

use charter::tool::{Cancel, ErrorCode, Limits, Process, SandboxLevel, ToolError};
use copy::Manifest;
use profile::{Bounds, Notice, Order, PACKET_BYTES_MAX, PacketError, Profile, View};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};
use usage::Total;

/// How often bounds and the cancel flag are looked at.
const POLL: Duration = Duration::from_millis(25);
/// How long the layers may take to stand.
const SETUP_TIME_MAX: Duration = Duration::from_secs(20);
/// How long killed processes may take to be gone.
const DEATH_TIME_MAX: Duration = Duration::from_secs(10);
/// Most processes and threads of a program.
const PROCESSES_MAX: u64 = 2_048;
/// Most open files of a process.
const FILES_MAX: u64 = 4_096;
/// Most bytes that are kept of each of the two output streams.
pub const STREAM_BYTES_MAX: usize = 1 << 20;

/// Where the private overlay of a workspace is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// In memory: bounded, and gone by itself. Needs Linux 6.6.
    Memory,
    /// In the scratch folder. Its size is polled.
    Disk,
    /// No overlay but a copy, in the scratch folder.
    Copy,
}

impl Store {
    /// In the order in which they are tried.
    pub const ALL: [Self; 3] = [Self::Memory, Self::Disk, Self::Copy];
}

/// Runs programs contained.
#[derive(Debug)]
pub struct Sandbox {
    helper: PathBuf,
    scratch: PathBuf,
    hidden: Vec<PathBuf>,
    host: Host,
    stores: Vec<Store>,
    containment: OnceLock<Containment>,
}

/// What containment this machine gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Containment {
    /// The level.
    pub level: SandboxLevel,
    /// What is in force at that level, and what is not.
    pub layers: Vec<Layer>,
    /// Why higher levels cannot be had, highest first.
    pub refused: Vec<String>,
}

/// A program to run.
#[derive(Debug, Clone)]
pub struct Job<'a> {
    /// Program and arguments.
    pub argv: &'a [String],
    /// The folder that it works on. Absolute.
    pub workspace: &'a Path,
    /// Where it starts, below the workspace; `.` is the workspace.
    pub cwd: &'a str,
    /// Variables in addition to the short list that every program is given.
    pub env: &'a BTreeMap<String, String>,
    /// Bounds.
    pub limits: &'a Limits,
    /// The level: this one exactly, or an error.
    pub level: SandboxLevel,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
    /// Stopped at a bound.
    Stopped(Bound),
    /// Stopped because it was cancelled.
    Cancelled,
}

/// A bound that a program reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Working time.
    Wall,
    /// Processor time.
    Cpu,
    /// Memory.
    Memory,
    /// Processes and threads.
    Processes,
    /// Space on the disk that holds its private files.
    Disk,
}

/// A run that is over: everything that it started is dead.
pub struct Ran {
    /// How it ended.
    pub end: End,
    /// Its standard output.
    pub stdout: Captured,
    /// Its standard error.
    pub stderr: Captured,
    /// Milliseconds that it took.
    pub wall_ms: u64,
    /// Milliseconds of processor time of it and all that it started.
    pub cpu_ms: u64,
    /// Most memory that was seen in use.
    pub peak_bytes: u64,
    /// What was in force.
    pub layers: Vec<Layer>,
    /// What it changed.
    pub changed: Changed,
    /// Keeps the private files until the changes are read.
    _scratch: Scratch,
}

/// A run that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The workspace or the start folder cannot be used.
    #[error("could not use the folder {path:?}: {why}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The program does not exist, or cannot be run.
    #[error("could not start {program:?}: {source}")]
    Program {
        /// Its name.
        program: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The arguments and variables are too large or malformed.
    #[error("could not hand over the arguments: {0}")]
    Arguments(String),
    /// A layer could not be put in force; nothing was started.
    #[error("could not contain the program: {layer}: {cause}")]
    Refused {
        /// The layer.
        layer: String,
        /// Why not.
        cause: String,
    },
    /// The workspace could not be copied.
    #[error("could not copy the folder")]
    Copy(#[from] CopyError),
    /// The helper could not be started, or died.
    #[error("could not {operation} the containment helper: {cause}")]
    Helper {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        cause: String,
    },
    /// Whoever had to be told of the program did not agree.
    #[error(transparent)]
    Watch(ToolError),
    /// Cancelled before the program started.
    #[error("cancelled before the program started")]
    Cancelled,
    /// Killed processes did not die in time.
    #[error("the program was killed but some of its processes are still there")]
    Survivors,
}

impl SandboxError {
    fn helper(operation: &'static str, cause: impl std::fmt::Display) -> Self {
        Self::Helper { operation, cause: cause.to_string() }
    }
}

impl From<SandboxError> for ToolError {
    fn from(error: SandboxError) -> Self {
        let message = match std::error::Error::source(&error) {
            Some(source) if !matches!(error, SandboxError::Program { .. }) => {
                format!("{error}: {source}")
            }
            _ => error.to_string(),
        };
        match error {
            SandboxError::Watch(error) => error,
            SandboxError::Folder { .. } => Self::new(ErrorCode::Outside, message)
                .hint("choose a folder of your own as the workspace, and start below it"),
            SandboxError::Program { source, .. } => match source.kind() {
                std::io::ErrorKind::NotFound => Self::new(ErrorCode::NotFound, message)
                    .hint("install the program, or name it with its path in the workspace"),
                std::io::ErrorKind::PermissionDenied => {
                    Self::new(ErrorCode::Permission, message).hint("make the file executable")
                }
                _ => Self::new(ErrorCode::Permanent, message)
                    .hint("is it a program, or a script with a #! line?"),
            },
            SandboxError::Arguments(_) => Self::new(ErrorCode::Arguments, message),
            SandboxError::Refused { .. } | SandboxError::Survivors => {
                Self::new(ErrorCode::Sandbox, message).hint("alma doctor says what is missing")
            }
            SandboxError::Copy(CopyError::Cancelled) | SandboxError::Cancelled => {
                Self::new(ErrorCode::Cancelled, message)
            }
            SandboxError::Copy(CopyError::TooLarge) => Self::new(ErrorCode::TooLarge, message)
                .hint("use a smaller folder as the workspace"),
            SandboxError::Copy(CopyError::Os { .. }) | SandboxError::Helper { .. } => {
                Self::new(ErrorCode::Transient, message)
            }
        }
    }
}

impl Sandbox {
    /// `helper` is a program whose `main` calls [`run_if_helper`] first, as
    /// Alma's own does; `scratch` a folder of Alma's for private files; `hidden`
    /// folders that no program may see even inside a workspace, such as Alma's
    /// data. What dead processes left in `scratch` is removed.
    pub fn new(helper: PathBuf, scratch: PathBuf, hidden: Vec<PathBuf>, host: Host) -> Self {
        sweep(&scratch);
        let stores = Store::ALL.to_vec();
        Self { helper, scratch, hidden, host, stores, containment: OnceLock::new() }
    }

    /// Keeps overlays in one place only. Memory is the first choice otherwise;
    /// the disk suits programs that write very much.
    pub fn keeping(self, store: Store) -> Self {
        Self { stores: vec![store], ..self }
    }

    /// What this machine offers programs.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// What containment this machine gives, found out by trying once.
    pub fn containment(&self) -> &Containment {
        self.containment.get_or_init(|| self.try_levels())
    }

    /// The level of [`Sandbox::containment`].
    pub fn level(&self) -> SandboxLevel {
        self.containment().level
    }

    fn try_levels(&self) -> Containment {
        let mut refused = Vec::new();
        for level in [SandboxLevel::Full, SandboxLevel::Restricted] {
            match self.trial(level) {
                Ok(layers) => return Containment { level, layers, refused },
                Err(error) => refused.push(format!("{}: {error}", level.as_str())),
            }
        }
        Containment { level: SandboxLevel::None, layers: Vec::new(), refused }
    }

    /// Sets everything up over an empty folder, and starts nothing.
    fn trial(&self, level: SandboxLevel) -> Result<Vec<Layer>, SandboxError> {
        let scratch = Scratch::new(&self.scratch)?;
        let workspace = scratch.at("trial");
        fs::create_dir(&workspace).map_err(|error| SandboxError::helper("prepare", error))?;
        let limits = Limits::default();
        let (argv, env) = (Vec::new(), BTreeMap::new());
        let job =
            Job { argv: &argv, workspace: &workspace, cwd: ".", env: &env, limits: &limits, level };
        let (running, _) = self.stand(&job, &Cancel::default())?;
        let layers = running.layers.clone();
        running.end()?;
        Ok(layers)
    }

    /// Runs a program to its end. Blocks, and must stay on its thread: the
    /// program dies with the thread that started it. `started` is told of the
    /// process before the program may act, and `cancel` stops it.
    pub fn run(
        &self,
        job: &Job<'_>,
        cancel: &Cancel,
        started: &mut dyn FnMut(&Process) -> Result<(), ToolError>,
    ) -> Result<Ran, SandboxError> {
        if job.argv.is_empty() {
            return Err(SandboxError::Arguments("no program is named".to_owned()));
        }
        let began = SystemTime::now();
        let (mut running, files) = self.stand(job, cancel)?;
        let process = running.process()?;
        if let Err(error) = started(&process) {
            running.end()?;
            return Err(SandboxError::Watch(error));
        }
        let outcome = running.watch(job, cancel)?;
        let changed = match (running.upper.take(), files.manifest) {
            (Some(upper), _) => Changed::of_upper(upper, &files.workspace, began),
            (None, manifest) => Changed::of_copy(
                &files.scratch.at("copy"),
                manifest.unwrap_or_default(),
                &files.workspace,
                began,
            )
            .map_err(|errno| SandboxError::helper("read the copy of", errno))?,
        };
        let layers = std::mem::take(&mut running.layers);
        let (stdout, stderr) = running.streams()?;
        Ok(Ran {
            end: outcome.end,
            stdout,
            stderr,
            wall_ms: outcome.wall_ms,
            cpu_ms: outcome.cpu_ms,
            peak_bytes: outcome.peak_bytes,
            layers,
            changed,
            _scratch: files.scratch,
        })
    }

    /// Starts a helper whose layers stand, on the first store that works.
    fn stand(&self, job: &Job<'_>, cancel: &Cancel) -> Result<(Running, Files), SandboxError> {
        let workspace = folder_of(job.workspace)?;
        let mut last = None;
        for store in &self.stores {
            let overlay = *store != Store::Copy;
            if overlay && job.level != SandboxLevel::Full {
                continue;
            }
            match self.stand_on(job, &workspace, *store, cancel) {
                Err(SandboxError::Refused { layer, cause }) if overlay && layer == "workspace" => {
                    last = Some(SandboxError::Refused { layer, cause });
                }
                result => return result,
            }
        }
        Err(last.unwrap_or_else(|| SandboxError::Refused {
            layer: "workspace".to_owned(),
            cause: "only an overlay is permitted, and this level has none".to_owned(),
        }))
    }

    fn stand_on(
        &self,
        job: &Job<'_>,
        workspace: &Path,
        store: Store,
        cancel: &Cancel,
    ) -> Result<(Running, Files), SandboxError> {
        let scratch = Scratch::new(&self.scratch)?;
        let mut manifest = None;
        let view = match store {
            Store::Memory => View::Memory,
            Store::Disk => View::Disk,
            Store::Copy => {
                let copy = scratch.at("copy");
                fs::create_dir(&copy).map_err(|error| SandboxError::helper("prepare", error))?;
                manifest = Some(copy::copy_tree(workspace, &copy, cancel)?);
                View::Copy(copy)
            }
        };
        let profile = self.profile(job, workspace, view, &scratch)?;
        let running = Running::start(&self.helper, &profile, job.limits)?;
        Ok((running, Files { scratch, manifest, workspace: workspace.to_owned() }))
    }

    fn profile(
        &self,
        job: &Job<'_>,
        workspace: &Path,
        view: View,
        scratch: &Scratch,
    ) -> Result<Profile, SandboxError> {
        let cwd = folder_below(workspace, job.cwd)?;
        // Without a mount namespace the program sees the copy where it lies.
        let (seen, home, temporary) = match (&view, job.level) {
            (_, SandboxLevel::Full) => {
                (workspace.to_owned(), PathBuf::from(host::HOME), PathBuf::from("/tmp"))
            }
            (View::Copy(copy), _) => (copy.clone(), scratch.at("tmp/home"), scratch.at("tmp")),
            (View::Memory | View::Disk, _) => {
                return Err(SandboxError::Refused {
                    layer: "workspace".to_owned(),
                    cause: "an overlay needs namespaces".to_owned(),
                });
            }
        };
        let program = job.argv.first().map(|program| {
            if program.contains('/') {
                cwd.join(program)
            } else {
                self.host.find(program).unwrap_or_else(|| PathBuf::from(program))
            }
        });
        let outside = program
            .as_deref()
            .filter(|program| !program.starts_with(workspace) && host::is_program(program));
        let mut shown = self.host.shown(outside, &host::Disk);
        // The workspace shows what lies in it.
        shown.retain(|one| !one.at().starts_with(workspace));
        let covered = self
            .hidden
            .iter()
            .filter_map(|folder| folder.canonicalize().ok())
            .filter(|folder| folder.starts_with(workspace) && folder != workspace)
            .collect();
        for text in job.argv.iter().chain(job.env.keys()).chain(job.env.values()) {
            if text.contains('\0') {
                return Err(SandboxError::Arguments("a text holds a zero byte".to_owned()));
            }
        }
        if let Some(name) = job.env.keys().find(|name| name.is_empty() || name.contains('=')) {
            return Err(SandboxError::Arguments(format!("{name:?} is no name of a variable")));
        }
        let below = cwd.strip_prefix(workspace).unwrap_or(Path::new(""));
        Ok(Profile {
            parent: std::process::id(),
            superuser: rustix::process::geteuid().is_root(),
            level: job.level,
            staging: scratch.folder.clone(),
            view,
            cwd: seen.join(below),
            workspace: seen,
            argv: job.argv.to_vec(),
            env: self.host.environment(job.env, &home, &temporary, &host::Disk),
            shown,
            covered,
            bounds: bounds(job.limits),
        })
    }
}

fn bounds(limits: &Limits) -> Bounds {
    let memory = limits.memory_mb.saturating_mul(1 << 20);
    let machine = rustix::system::sysinfo();
    let total = u64::try_from(machine.totalram).unwrap_or(u64::MAX);
    let total = total.saturating_mul(u64::from(machine.mem_unit));
    Bounds {
        // Polling stops the sum of all processes first; this is for when it cannot.
        cpu_s: limits.cpu_ms.div_ceil(1_000).saturating_add(2),
        // Twice, because garbage collectors reserve more than they use; what is
        // really used is polled.
        data_bytes: memory.saturating_mul(2),
        store_bytes: memory.min(total / 2).max(1 << 20),
        processes: PROCESSES_MAX,
        files: FILES_MAX,
    }
}

/// The workspace without links, if it is a folder to work in.
fn folder_of(path: &Path) -> Result<PathBuf, SandboxError> {
    let refuse = |why: String| SandboxError::Folder { path: path.to_owned(), why };
    let folder = path.canonicalize().map_err(|error| refuse(error.to_string()))?;
    if !folder.is_dir() {
        return Err(refuse("it is no folder".to_owned()));
    }
    if host::is_system(&folder) {
        return Err(refuse("it is a folder of the system".to_owned()));
    }
    if folder.to_str().is_none() {
        return Err(refuse("its name is not UTF-8 text".to_owned()));
    }
    Ok(folder)
}

fn folder_below(workspace: &Path, cwd: &str) -> Result<PathBuf, SandboxError> {
    let refuse = |why: String| SandboxError::Folder { path: PathBuf::from(cwd), why };
    let folder = workspace.join(cwd).canonicalize().map_err(|error| refuse(error.to_string()))?;
    if !folder.starts_with(workspace) {
        return Err(refuse("it lies outside the workspace".to_owned()));
    }
    if !folder.is_dir() {
        return Err(refuse("it is no folder".to_owned()));
    }
    Ok(folder)
}

/// Private files of one run.
struct Files {
    scratch: Scratch,
    manifest: Option<Manifest>,
    workspace: PathBuf,
}

/// A private folder that is removed with this value. Its name says whose it is,
/// so that a later process can remove it if this one is killed.
#[derive(Debug)]
struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    fn new(scratch: &Path) -> Result<Self, SandboxError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let failed = |error: std::io::Error| SandboxError::helper("prepare a folder for", error);
        let me = crate::process::me();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        fs::create_dir_all(scratch).map_err(failed)?;
        let scratch = scratch.canonicalize().map_err(failed)?;
        let folder = scratch.join(format!("run-{}-{}-{number}", me.pid, me.start));
        fs::create_dir(&folder).map_err(failed)?;
        let this = Self { folder };
        for name in ["root", "upper", "work", "tmp", "tmp/home"] {
            fs::create_dir(this.at(name)).map_err(failed)?;
        }
        Ok(this)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        copy::remove_tree(&self.folder);
    }
}

/// Removes what runs of dead processes left behind.
fn sweep(scratch: &Path) {
    for entry in fs::read_dir(scratch).into_iter().flatten().filter_map(Result::ok) {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| {
            let mut parts = name.strip_prefix("run-")?.splitn(3, '-');
            Some((parts.next()?.parse::<u32>().ok()?, parts.next()?.parse::<u64>().ok()?))
        });
        if let Some((pid, start)) = owner
            && crate::process::start_time(pid) != Some(start)
        {
            copy::remove_tree(&entry.path());
        }
    }
}

/// How a watched run went.
struct Outcome {
    end: End,
    wall_ms: u64,
    cpu_ms: u64,
    peak_bytes: u64,
}

/// A helper whose layers stand. Dropping it kills everything.
struct Running {
    child: Child,
    socket: Option<OwnedFd>,
    level: SandboxLevel,
    layers: Vec<Layer>,
    proc: Option<OwnedFd>,
    upper: Option<OwnedFd>,
    readers: Option<(Reader, Reader)>,
    program: String,
    /// Where private files are kept on disk, and what was free there at first.
    disk: Option<(PathBuf, u64)>,
    store_bytes: u64,
}

type Reader = JoinHandle<std::io::Result<Captured>>;

impl Running {
    fn start(helper: &Path, profile: &Profile, limits: &Limits) -> Result<Self, SandboxError> {
        let failed = |error: Errno| SandboxError::helper("connect to", error);
        let (ours, theirs) = profile::pair().map_err(failed)?;
        let mut child = Command::new(helper)
            .arg(HELPER_ARGUMENT)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| SandboxError::helper("start", error))?;
        let most = usize::try_from(limits.output_bytes / 4).unwrap_or(usize::MAX);
        let most = most.min(STREAM_BYTES_MAX);
        let readers = match (child.stdout.take(), child.stderr.take()) {
            (Some(stdout), Some(stderr)) => Some((
                std::thread::spawn(move || capture::drain(stdout, most)),
                std::thread::spawn(move || capture::drain(stderr, most)),
            )),
            _ => None,
        };
        let mut running = Self {
            child,
            socket: None,
            level: profile.level,
            layers: Vec::new(),
            proc: None,
            upper: None,
            readers,
            program: profile.argv.first().cloned().unwrap_or_default(),
            disk: match profile.view {
                View::Memory => None,
                View::Disk | View::Copy(_) => {
                    free_bytes(&profile.staging).map(|free| (profile.staging.clone(), free))
                }
            },
            store_bytes: profile.bounds.store_bytes,
        };
        match profile::send(&ours, profile, &[]) {
            Ok(()) => {}
            Err(PacketError::TooLarge(bytes)) => {
                return Err(SandboxError::Arguments(format!(
                    "{bytes} bytes of arguments and variables are more than the \
                     {PACKET_BYTES_MAX} that a program is given"
                )));
            }
            Err(error) => return Err(SandboxError::helper("instruct", error)),
        }
        set_socket_timeout(&ours, Timeout::Recv, Some(SETUP_TIME_MAX)).map_err(failed)?;
        let answer = profile::receive::<Notice>(&ours);
        set_socket_timeout(&ours, Timeout::Recv, Some(POLL)).map_err(failed)?;
        running.socket = Some(ours);
        match answer {
            Ok((Notice::Ready { layers }, fds)) => {
                let mut fds = fds.into_iter();
                running.layers = layers;
                running.proc = fds.next();
                running.upper = fds.next();
                Ok(running)
            }
            Ok((Notice::Refused { layer, cause }, _)) => {
                Err(SandboxError::Refused { layer, cause })
            }
            Ok((other, _)) => Err(SandboxError::helper("understand", format!("{other:?}"))),
            Err(PacketError::Closed) => {
                let (_, stderr) = running.streams()?;
                let said = stderr.ending(500);
                let said = if said.is_empty() { "it ended without a word" } else { said.trim() };
                Err(SandboxError::helper("start", said))
            }
            Err(error) => Err(SandboxError::helper("hear from", error)),
        }
    }

    /// The helper as the record knows it: when it dies, all of the program does.
    fn process(&self) -> Result<Process, SandboxError> {
        crate::process::of(self.child.id())
            .ok_or_else(|| SandboxError::helper("find", "it has died"))
    }

    /// Lets the program run and watches over it until it is over.
    fn watch(&mut self, job: &Job<'_>, cancel: &Cancel) -> Result<Outcome, SandboxError> {
        if cancel.is_cancelled() {
            self.kill()?;
            return Err(SandboxError::Cancelled);
        }
        let began = Instant::now();
        let socket = self
            .socket
            .take()
            .ok_or_else(|| SandboxError::helper("instruct", "it was instructed before"))?;
        profile::send(&socket, &Order::Go, &[])
            .map_err(|error| SandboxError::helper("instruct", error))?;
        let (mut peak, mut cpu_ms) = (0, 0);
        let mut next_look = began;
        let end = loop {
            match profile::receive::<Notice>(&socket) {
                Ok((Notice::Ended { code, signal, cpu_ms: used, peak_bytes }, _)) => {
                    cpu_ms = used.max(cpu_ms);
                    peak = peak_bytes.max(peak);
                    break match (code, signal) {
                        (Some(code), _) => End::Exited(code),
                        (None, signal) => End::Signalled(signal.unwrap_or(0)),
                    };
                }
                Ok((Notice::NotStarted { errno }, _)) => {
                    self.kill()?;
                    return Err(SandboxError::Program {
                        program: self.program.clone(),
                        source: std::io::Error::from_raw_os_error(errno),
                    });
                }
                Ok((other, _)) => {
                    self.kill()?;
                    return Err(SandboxError::helper("understand", format!("{other:?}")));
                }
                Err(PacketError::Timeout) => {}
                Err(error) => {
                    self.kill()?;
                    return Err(SandboxError::helper("hear from", error));
                }
            }
            let now = Instant::now();
            if cancel.is_cancelled() {
                break End::Cancelled;
            }
            if now.duration_since(began) >= Duration::from_millis(job.limits.wall_ms) {
                break End::Stopped(Bound::Wall);
            }
            if now < next_look {
                continue;
            }
            let used = self.used(job.limits);
            // A look at very many processes takes its time; the machine has other
            // things to do as well.
            next_look = Instant::now() + now.elapsed().saturating_mul(4);
            peak = peak.max(used.memory_bytes);
            cpu_ms = cpu_ms.max(used.cpu_ms);
            if let Some(bound) = beyond(&used, job.limits) {
                break End::Stopped(bound);
            }
            if self.fills_the_disk() {
                break End::Stopped(Bound::Disk);
            }
        };
        let wall_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        match end {
            End::Exited(_) | End::Signalled(_) => {
                drop(socket);
                self.leave()?;
            }
            End::Stopped(_) | End::Cancelled => {
                self.socket = Some(socket);
                self.kill()?;
            }
        }
        // The kernel's own bound on processor time ends a program by a signal.
        let end = match end {
            End::Signalled(_) if cpu_ms > job.limits.cpu_ms => End::Stopped(Bound::Cpu),
            end => end,
        };
        Ok(Outcome { end, wall_ms, cpu_ms, peak_bytes: peak })
    }

    /// What the program and all it started use now. What cannot be read counts
    /// as nothing: it is over.
    fn used(&self, limits: &Limits) -> Total {
        let root = (self.level != SandboxLevel::Full).then_some(self.child.id());
        let look = |proc: BorrowedFd<'_>| {
            let mut used = usage::total(proc, root)?;
            if beyond(&used, limits) == Some(Bound::Memory) {
                used.memory_bytes = used.memory_bytes.min(usage::exact_memory(proc, root)?);
            }
            Ok(used)
        };
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
        match &self.proc {
            Some(proc) => look(proc.as_fd()),
            None => rustix::fs::open("/proc", flags, rustix::fs::Mode::empty())
                .and_then(|proc| look(proc.as_fd())),
        }
        .unwrap_or_default()
    }

    /// Whether the disk has lost more than the program may write. Others write to
    /// it too; rather stop too early than fill it.
    fn fills_the_disk(&self) -> bool {
        self.disk.as_ref().is_some_and(|(folder, before)| {
            free_bytes(folder).is_some_and(|now| before.saturating_sub(now) > self.store_bytes)
        })
    }

    /// Ends everything.
    fn end(mut self) -> Result<(), SandboxError> {
        self.kill()
    }

    /// Waits until the helper, and with it everything, is gone by itself.
    fn leave(&mut self) -> Result<(), SandboxError> {
        let deadline = Instant::now() + DEATH_TIME_MAX;
        loop {
            match self.child.try_wait() {
                Ok(Some(_)) => return self.gone(deadline),
                Ok(None) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                Ok(None) | Err(_) => return Err(SandboxError::Survivors),
            }
        }
    }

    /// Kills everything and waits until it is gone.
    fn kill(&mut self) -> Result<(), SandboxError> {
        if self.level != SandboxLevel::Full {
            // Only the helper itself knows what the program left behind: it ends
            // all of it when its socket closes.
            self.socket = None;
            if self.leave().is_ok() {
                return Ok(());
            }
        }
        let killed = self.child.kill();
        self.socket = None;
        match (killed, self.child.wait()) {
            (_, Ok(_)) => self.gone(Instant::now() + DEATH_TIME_MAX),
            (_, Err(error)) => Err(SandboxError::helper("end", error)),
        }
    }

    /// Waits until the pid namespace is empty: its first process is the last to
    /// die.
    fn gone(&self, deadline: Instant) -> Result<(), SandboxError> {
        let Some(proc) = &self.proc else { return Ok(()) };
        while usage::is_alive(proc.as_fd(), 1) {
            if Instant::now() >= deadline {
                return Err(SandboxError::Survivors);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// What was written, once nobody can write any more.
    fn streams(&mut self) -> Result<(Captured, Captured), SandboxError> {
        let Some((stdout, stderr)) = self.readers.take() else {
            return Ok((Captured::default(), Captured::default()));
        };
        let read = |reader: Reader| match reader.join() {
            Ok(Ok(captured)) => Ok(captured),
            Ok(Err(error)) => Err(SandboxError::helper("read the output of", error)),
            Err(_) => Err(SandboxError::helper("read the output of", "the reader broke off")),
        };
        Ok((read(stdout)?, read(stderr)?))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        if let Err(error) = self.kill() {
            tracing::warn!(%error, "a contained program could not be ended");
        }
    }
}

fn free_bytes(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// The first bound that is passed.
fn beyond(used: &Total, limits: &Limits) -> Option<Bound> {
    [
        (used.cpu_ms > limits.cpu_ms, Bound::Cpu),
        (used.memory_bytes > limits.memory_mb.saturating_mul(1 << 20), Bound::Memory),
        (used.tasks > PROCESSES_MAX, Bound::Processes),
    ]
    .into_iter()
    .find_map(|(over, bound)| over.then_some(bound))
}
