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
//! | `mod` | the interface: levels, jobs, what is shown to whom |
//! | `running` | starts the helper, watches bounds, kills, collects |
//! | [`helper`](run_if_helper) | this program started again, containing itself |
//! | `root` | the file system that the program sees |
//! | `host`, `known` | which parts of this machine are shown; the environment |
//! | `filter`, `ruleset` | seccomp and Landlock |
//! | `usage`, `capture`, `diff`, `copy`, `scratch` | measuring, output, changes, the copy |
//! | `sys` | the only unsafe code |
//!
//! The level is found out by really trying once ([`Sandbox::containment`]):
//! *full* with namespaces; *restricted* with Landlock, seccomp and limits on a
//! copy; else *none*, which is for policy to ask about.

mod attempts;
mod capture;
mod copy;
mod diff;
mod error;
mod filter;
mod helper;
mod host;
mod known;
mod profile;
mod root;
mod ruleset;
mod running;
mod scratch;
mod sys;
mod usage;

pub use attempts::{Attempt, BREACH, OUTSIDE, PID, PORT, attempts};
pub use capture::Captured;
pub use copy::CopyError;
pub use diff::{Changed, DROPPED_LISTED_MAX, Taken};
pub use error::SandboxError;
pub use helper::{HELPER_ARGUMENT, run_if_helper};
pub use host::Host;
pub use profile::Layer;
pub(crate) use sys::{Whose, page_bytes, used};

use charter::budget::Meter;
use charter::tool::{Cancel, Limits, Process, SandboxLevel, ToolError};
use copy::Manifest;
use profile::{Bounds, Profile, View};
use running::Running;
use scratch::Scratch;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

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
    /// Counts what it uses, however it ends.
    pub meter: &'a Meter,
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
    /// Milliseconds of processor time of it, all that it started, and its containment.
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

impl Sandbox {
    /// `helper` is a program whose `main` calls [`run_if_helper`] first, as
    /// Alma's own does; `scratch` a folder of Alma's for private files; `hidden`
    /// folders that no program may see even inside a workspace, such as Alma's
    /// data. What dead processes left in `scratch` is removed.
    pub fn new(helper: PathBuf, scratch: PathBuf, hidden: Vec<PathBuf>, host: Host) -> Self {
        scratch::sweep(&scratch);
        let stores = Store::ALL.to_vec();
        Self { helper, scratch, hidden, host, stores, containment: OnceLock::new() }
    }

    /// Where this very program is the helper, and its environment the user's.
    pub fn of_this_program(scratch: PathBuf, hidden: Vec<PathBuf>) -> Self {
        Self::new(PathBuf::from("/proc/self/exe"), scratch, hidden, Host::of_process())
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
        let job = Job {
            argv: &argv,
            workspace: &workspace,
            cwd: ".",
            env: &env,
            limits: &limits,
            level,
            meter: &Meter::default(),
        };
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
        let outcome = running.watch(job.limits, cancel)?;
        job.meter.cpu(outcome.cpu_us);
        job.meter.memory(outcome.peak_bytes);
        job.meter.read(outcome.read_bytes);
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
            cpu_ms: outcome.cpu_us / 1_000,
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
    let total = machine.totalram.saturating_mul(u64::from(machine.mem_unit));
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
