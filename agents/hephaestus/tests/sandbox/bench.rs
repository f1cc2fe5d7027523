//! A workspace, a place for secrets beside it, and a sandbox over both.

use charter::budget::Meter;
use charter::tool::{Cancel, Limits, Process, SandboxLevel, ToolError};
use hephaestus::sandbox::{End, Job, Ran, Sandbox, SandboxError, Store, Taken};
use hephaestus::workspace::Workspace;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A workspace, a folder of secrets outside it, and a sandbox.
pub(crate) struct Bench {
    pub(crate) root: tempfile::TempDir,
    pub(crate) sandbox: Sandbox,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::keeping(None)
    }

    pub(crate) fn keeping(store: Option<Store>) -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["work", "home", "scratch"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        let sandbox = Sandbox::of_this_program(root.path().join("scratch"), Vec::new());
        let sandbox = match store {
            Some(store) => sandbox.keeping(store),
            None => sandbox,
        };
        Self { root, sandbox }
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    pub(crate) fn put(&self, path: &str, text: &str) {
        let path = self.work().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn try_run(
        &self,
        argv: &[&str],
        set: impl FnOnce(&mut Settings),
    ) -> Result<Ran, SandboxError> {
        let mut settings = Settings::default();
        set(&mut settings);
        let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
        let job = Job {
            argv: &argv,
            workspace: &self.work(),
            cwd: &settings.cwd,
            env: &settings.env,
            limits: &settings.limits,
            level: settings.level,
            meter: &Meter::default(),
        };
        self.sandbox.run(&job, &settings.cancel, &mut |process| (settings.started)(process))
    }

    pub(crate) fn run(&self, argv: &[&str]) -> Ran {
        self.try_run(argv, |_| {}).unwrap()
    }

    pub(crate) fn shell(&self, script: &str) -> Ran {
        self.run(&["sh", "-c", script])
    }

    pub(crate) fn take(&self, ran: &Ran, outputs: &[&str]) -> Result<Taken, ToolError> {
        let mut set = globset::GlobSetBuilder::new();
        for glob in outputs {
            set.add(globset::Glob::new(glob).unwrap());
        }
        let workspace = Workspace::open(&self.work()).unwrap();
        ran.changed.take(&set.build().unwrap(), &workspace, 1 << 20, &Cancel::default())
    }
}

/// Hears of a program before it may act.
type Started = dyn FnMut(&Process) -> Result<(), ToolError>;

pub(crate) struct Settings {
    pub(crate) cwd: String,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) limits: Limits,
    pub(crate) level: SandboxLevel,
    pub(crate) cancel: Cancel,
    pub(crate) started: Box<Started>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cwd: ".".to_owned(),
            env: BTreeMap::new(),
            limits: Limits { wall_ms: 60_000, memory_mb: 512, ..Limits::default() },
            level: SandboxLevel::Full,
            cancel: Cancel::default(),
            started: Box::new(|_| Ok(())),
        }
    }
}

#[track_caller]
pub(crate) fn done(ran: &Ran) -> String {
    let (out, err) = (ran.stdout.text(), ran.stderr.text());
    assert_eq!(ran.end, End::Exited(0), "stdout: {out}\nstderr: {err}");
    out
}

pub(crate) fn lines(taken: &Taken) -> Vec<String> {
    taken.changes.iter().map(|proposed| proposed.change.to_string()).collect()
}

/// Processes of this machine whose command line holds a word.
pub(crate) fn alive(word: &str) -> Vec<String> {
    let own = std::process::id().to_string();
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()) && *name != own)
        .filter_map(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            line.contains(word).then(|| format!("{pid} {line}"))
        })
        .collect()
}

#[track_caller]
pub(crate) fn all_dead(word: &str) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !alive(word).is_empty() {
        assert!(Instant::now() < deadline, "survivors: {:?}", alive(word));
        std::thread::sleep(Duration::from_millis(10));
    }
}
