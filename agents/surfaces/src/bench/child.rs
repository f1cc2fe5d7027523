//! Alma as other processes see her: temporary folders, commands that end, and
//! workers that do not. Everything here is killed or removed when it is dropped.

use super::record::Record;
use charter::ids::{Millis, MissionId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

/// How long a command may take that should end at once.
const COMMAND_TIME: Duration = Duration::from_secs(120);
/// How long a worker may take to begin.
const WORKER_TIME: Duration = Duration::from_secs(30);
/// How often waiting is interrupted to see whether somebody wants to stop.
const LOOK: Duration = Duration::from_millis(50);
/// Most bytes of a command's output that are kept.
const OUTPUT_MAX: u64 = 256 << 20;
/// Most bytes of a worker's complaints that are kept.
const COMPLAINT_MAX: u64 = 16 << 10;
/// Events fetched with one command.
const PAGE: u32 = 10_000;
/// Pages of one mission.
const PAGES_MAX: usize = 1_000;

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The machine refused.
    #[error("could not {operation}")]
    Io {
        /// What was tried.
        operation: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// A command failed.
    #[error("`alma {command}` failed ({status}): {said}")]
    Child {
        /// Its arguments.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        said: String,
    },
    /// A command did not end.
    #[error("`alma {command}` did not end within {seconds} s; it was stopped")]
    Endless {
        /// Its arguments.
        command: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// A command's document cannot be read.
    #[error("`alma {command}` wrote a document that cannot be read")]
    Document {
        /// Its arguments.
        command: String,
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
    /// What was waited for did not happen.
    #[error("waited {seconds} s in vain: {what}")]
    Waited {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
    },
    /// What was found contradicts what was asked for.
    #[error("{0}")]
    Wrong(String),
    /// It was asked for something that cannot be measured.
    #[error("{0}")]
    Usage(String),
    /// A person wants to stop.
    #[error("stopped; nothing was left behind")]
    Stopped,
}

/// Set by Ctrl-C.
static STOP: AtomicBool = AtomicBool::new(false);

/// Asks every bench of this process to stop.
pub(super) fn stop() {
    STOP.store(true, Ordering::SeqCst);
}

/// Waits, unless somebody wants to stop.
pub fn pause(time: Duration) -> Result<(), BenchError> {
    let until = Instant::now() + time;
    loop {
        if STOP.load(Ordering::SeqCst) {
            return Err(BenchError::Stopped);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(LOOK));
    }
}

/// Settings on which durability rests, as who holds the ledger reports them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Durability {
    /// Of a file.
    File {
        /// SQLite's journal mode.
        journal_mode: String,
        /// SQLite's synchronous setting.
        synchronous: String,
    },
    /// Of PostgreSQL.
    Server {
        /// `on`: what is called written is on disk.
        synchronous_commit: String,
        /// `on`.
        fsync: String,
        /// `on`.
        full_page_writes: String,
    },
}

impl Durability {
    /// Whether what was committed survives a loss of power.
    pub fn is_full(&self) -> bool {
        match self {
            Self::File { journal_mode, synchronous } => {
                journal_mode == "wal" && synchronous == "full"
            }
            Self::Server { synchronous_commit, fsync, full_page_writes } => {
                [synchronous_commit, fsync, full_page_writes].iter().all(|setting| *setting == "on")
            }
        }
    }
}

/// The machine's clock in the ledger's unit.
pub fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
}

/// A command that has ended.
#[derive(Debug)]
pub struct Ran {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote.
    pub stdout: Vec<u8>,
    /// What it complained of.
    pub stderr: String,
    /// From its start until it was gone.
    pub took: Duration,
}

/// A program, a data folder and a workspace of their own.
pub struct Stage {
    program: PathBuf,
    /// Settings that every command is given.
    settings: Vec<(&'static str, String)>,
    root: TempDir,
    home: PathBuf,
    workspace: PathBuf,
}

impl Stage {
    /// Makes the folders below `base`. They go with this value.
    pub fn new(program: PathBuf, base: &Path) -> Result<Self, BenchError> {
        let failed = |source| BenchError::Io {
            operation: format!("make a temporary folder in {}", base.display()),
            source,
        };
        let root =
            tempfile::Builder::new().prefix(".alma-bench-").tempdir_in(base).map_err(failed)?;
        // Events hold no paths, but what is printed should be the real one.
        let path = root.path().canonicalize().map_err(failed)?;
        let (home, workspace) = (path.join("home"), path.join("workspace"));
        std::fs::create_dir(&workspace).map_err(failed)?;
        Ok(Self { program, settings: Vec::new(), root, home, workspace })
    }

    /// The same with record and queue on servers, where these are named. The database
    /// must be empty: it belongs to this data folder from now on.
    pub fn on(mut self, redis: Option<&str>, postgres: Option<&str>) -> Self {
        let named = [("ALMA_QUEUE__URL", redis), ("ALMA_LEDGER__URL", postgres)];
        let named = named.into_iter().filter_map(|(name, url)| Some((name, url?.to_owned())));
        self.settings.extend(named);
        self
    }

    /// The same without the small model that ships inside the program.
    pub fn without_pocket(mut self) -> Self {
        self.settings.push(("ALMA_MODEL__POCKET", "false".to_owned()));
        self
    }

    /// Another data folder and workspace, beside this one, with the same settings.
    pub fn another(&self) -> Result<Self, BenchError> {
        let another = Self::new(self.program.clone(), self.root())?;
        Ok(Self { settings: self.settings.clone(), ..another })
    }

    /// The folder that the missions work in.
    pub fn workspace(&self) -> &Path {
        &self.workspace
    }

    /// The folder that holds all others.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// The data folder.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The program, in this data folder and workspace and without the settings of
    /// whoever measures.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ALMA_") {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .env("ALMA_HOME", &self.home)
            .current_dir(&self.workspace)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Result<Ran, BenchError> {
        let said = arguments.join(" ");
        let began = Instant::now();
        let mut child = start(&mut self.command(arguments), &said)?;
        let (sender, ended) = mpsc::channel();
        let out = child.stdout.take().map(|pipe| collect(pipe, OUTPUT_MAX, sender.clone()));
        let err = child.stderr.take().map(|pipe| collect(pipe, OUTPUT_MAX, sender));
        // Both pipes close when the process is gone.
        for _ in 0..2 {
            if let Err(error) = hear(&ended, COMMAND_TIME) {
                end(&mut child);
                return Err(match error {
                    BenchError::Waited { seconds, .. } => {
                        BenchError::Endless { command: said, seconds }
                    }
                    other => other,
                });
            }
        }
        let status = child.wait().map_err(|source| BenchError::Io {
            operation: format!("wait for `alma {said}`"),
            source,
        })?;
        let took = began.elapsed();
        let text = |handle: Option<std::thread::JoinHandle<Vec<u8>>>| {
            handle.and_then(|handle| handle.join().ok()).unwrap_or_default()
        };
        let (stdout, stderr) = (text(out), String::from_utf8_lossy(&text(err)).into_owned());
        Ok(Ran { status, stdout, stderr, took })
    }

    /// Runs a command with `--json` and reads its document. That it found nothing
    /// or that a person is needed is no failure.
    pub fn json(&self, arguments: &[&str]) -> Result<Value, BenchError> {
        let mut all = arguments.to_vec();
        all.push("--json");
        let ran = self.run(&all)?;
        let command = all.join(" ");
        let read = serde_json::from_slice::<Value>(&ran.stdout);
        match read {
            Ok(document) if ran.status.code().is_some() && document.get("error").is_none() => {
                Ok(document)
            }
            Err(source) if ran.status.success() => Err(BenchError::Document { command, source }),
            document => {
                let told = document.ok().and_then(|d| d["error"].as_str().map(str::to_owned));
                let said = [told.unwrap_or_default(), ran.stderr.trim().to_owned()].join(" ");
                Err(BenchError::Child { command, status: ran.status, said: said.trim().to_owned() })
            }
        }
    }

    /// Writes a mission file beside the workspace.
    pub fn mission_file(&self, name: &str, mission: &Value) -> Result<PathBuf, BenchError> {
        let path = self.root().join(format!("{name}.yaml"));
        // JSON is YAML, and needs no thought about quoting.
        std::fs::write(&path, mission.to_string()).map_err(|source| BenchError::Io {
            operation: format!("write {}", path.display()),
            source,
        })?;
        Ok(path)
    }

    /// Submits a mission file, in the workspace or a folder of it.
    pub fn submit(&self, file: &Path, workspace: &Path) -> Result<MissionId, BenchError> {
        let (file, workspace) = (file.to_string_lossy(), workspace.to_string_lossy());
        let arguments =
            ["mission", "submit", "--again", "--file", &file, "--workspace", &workspace];
        let document = self.json(&arguments)?;
        serde_json::from_value(document["mission"].clone())
            .map_err(|source| BenchError::Document { command: arguments.join(" "), source })
    }

    /// Everything that happened to a mission.
    pub fn record(&self, mission: &MissionId) -> Result<Record, BenchError> {
        let mut record = Record::default();
        self.follow(mission, &mut record)?;
        Ok(record)
    }

    /// Adds what happened to a mission since the last look.
    pub fn follow(&self, mission: &MissionId, record: &mut Record) -> Result<(), BenchError> {
        for _ in 0..PAGES_MAX {
            let (after, limit) = (record.last_seq().to_string(), PAGE.to_string());
            let arguments =
                ["mission", "events", mission.as_str(), "--after", &after, "--limit", &limit];
            let mut document = self.json(&arguments)?;
            let page = document.get_mut("events").map(Value::take).unwrap_or_default();
            let page: Record = serde_json::from_value(page)
                .map_err(|source| BenchError::Document { command: arguments.join(" "), source })?;
            let last = page.len() < PAGE as usize;
            record.extend(page);
            if last {
                return Ok(());
            }
        }
        Err(BenchError::Wrong(format!("the record of {mission} has no end")))
    }

    /// Starts a worker. It may not have begun yet.
    pub fn worker(&self, concurrency: Option<u32>) -> Result<Worker, BenchError> {
        let concurrency = concurrency.map(|n| n.to_string());
        let mut arguments = vec!["worker", "--json"];
        if let Some(concurrency) = &concurrency {
            arguments.extend(["--concurrency", concurrency]);
        }
        Worker::start(&mut self.command(&arguments))
    }

    /// Process id of the owner of the data folder, as its lock file names it.
    pub fn owner(&self) -> Option<u32> {
        let text = std::fs::read_to_string(self.home.join("owner.lock")).ok()?;
        text.split_ascii_whitespace().nth(1)?.parse().ok()
    }

    /// Removes the folders and says so if that fails; dropping is silent.
    pub fn close(self) -> Result<(), BenchError> {
        let path = self.root.path().to_owned();
        self.root.close().map_err(|source| BenchError::Io {
            operation: format!("remove {}", path.display()),
            source,
        })
    }
}

fn start(command: &mut Command, said: &str) -> Result<Child, BenchError> {
    command
        .spawn()
        .map_err(|source| BenchError::Io { operation: format!("start `alma {said}`"), source })
}

/// A thread that reads a pipe to its end, keeps the beginning, and says when.
fn collect(
    mut pipe: impl Read + Send + 'static,
    keep: u64,
    ended: mpsc::Sender<()>,
) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        // A pipe that breaks has ended.
        let _ = pipe.by_ref().take(keep).read_to_end(&mut kept);
        let _ = std::io::copy(&mut pipe, &mut std::io::sink());
        let _ = ended.send(());
        kept
    })
}

fn hear<T>(from: &Receiver<T>, time: Duration) -> Result<Option<T>, BenchError> {
    let until = Instant::now() + time;
    loop {
        match from.recv_timeout(LOOK) {
            Ok(heard) => return Ok(Some(heard)),
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
            Err(RecvTimeoutError::Timeout) if STOP.load(Ordering::SeqCst) => {
                return Err(BenchError::Stopped);
            }
            Err(RecvTimeoutError::Timeout) if Instant::now() >= until => {
                return Err(BenchError::Waited {
                    what: "an answer of a process".to_owned(),
                    seconds: time.as_secs(),
                });
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

fn end(child: &mut Child) {
    // One that has ended already cannot be killed, and need not.
    let _ = child.kill();
    let _ = child.wait();
}

/// A worker process. It is killed when this value is dropped.
pub struct Worker {
    child: Child,
    line: Receiver<String>,
    complaints: Option<std::thread::JoinHandle<Vec<u8>>>,
    said: Option<Value>,
    /// Just before its start.
    since: Millis,
    /// Just after it had begun, or after its death if that was earlier: it was
    /// started before this.
    until: Option<Millis>,
}

impl Worker {
    /// Starts a command as a worker: its first line says that it has begun.
    pub fn start(command: &mut Command) -> Result<Self, BenchError> {
        let since = now();
        let mut child = start(command, "worker")?;
        let (sender, line) = mpsc::channel();
        if let Some(pipe) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    // Only the first line is waited for.
                    let _ = sender.send(line);
                }
            });
        }
        let (ended, _) = mpsc::channel();
        let complaints = child.stderr.take().map(|pipe| collect(pipe, COMPLAINT_MAX, ended));
        Ok(Self { child, line, complaints, said: None, since, until: None })
    }

    /// Waits until it has begun, and gives what it said of itself.
    pub fn begun(&mut self) -> Result<&Value, BenchError> {
        if self.said.is_none() {
            let line = hear(&self.line, WORKER_TIME)?;
            let document = line.as_deref().map(serde_json::from_str::<Value>);
            self.said = Some(match document {
                Some(Ok(document)) => document,
                _ => {
                    let status = self.kill()?;
                    return Err(BenchError::Child {
                        command: "worker".to_owned(),
                        status,
                        said: self.complaint(),
                    });
                }
            });
            self.until.get_or_insert_with(now);
        }
        Ok(self.said.get_or_insert_with(|| json!({})))
    }

    /// The durability of its ledger, if it is the owner.
    pub fn durability(&mut self) -> Result<Durability, BenchError> {
        let said = self.begun()?["durability"].clone();
        serde_json::from_value(said)
            .map_err(|source| BenchError::Document { command: "worker --json".to_owned(), source })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The span in which it was started.
    pub fn started(&self) -> (Millis, Millis) {
        (self.since, self.until.unwrap_or_else(now))
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) -> Result<ExitStatus, BenchError> {
        let failed = |source| BenchError::Io { operation: "kill a worker".to_owned(), source };
        self.child.kill().map_err(failed)?;
        let status = self.child.wait().map_err(failed)?;
        self.until.get_or_insert_with(now);
        Ok(status)
    }

    /// What it wrote to standard error; only once it is gone.
    fn complaint(&mut self) -> String {
        let bytes = self.complaints.take().and_then(|thread| thread.join().ok());
        String::from_utf8_lossy(&bytes.unwrap_or_default()).trim().to_owned()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}
