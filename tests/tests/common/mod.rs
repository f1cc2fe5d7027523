//! One installation on real servers and several hosts. A host is a data folder with a
//! copy of the key, and a space of pids of its own: what one of them knows of the
//! processes of another is what two machines know of each other.
#![allow(dead_code, reason = "each suite uses its own part of it")]

#[path = "../../../memory/ledger/tests/common/postgres.rs"]
pub(crate) mod postgres;
#[path = "../../../queue/tests/common/redis.rs"]
pub(crate) mod redis;

use alma_tests::counting::acts;
use alma_tests::shell::{Out, ended};
use postgres::{Cluster, Database};
use redis::Redis;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub(crate) const ALMA: &str = env!("CARGO_BIN_EXE_alma-counting");
/// How long anything may take.
pub(crate) const TIME: Duration = Duration::from_secs(120);

/// How a mission of steps ends that nothing checks.
pub(crate) const COUNTED: &str = "unverified";

/// An installation with its servers.
pub(crate) struct Scaled<'c> {
    pub(crate) database: Database<'c>,
    pub(crate) redis: Redis,
    root: TempDir,
    pub(crate) settings: Vec<(String, String)>,
}

impl<'c> Scaled<'c> {
    pub(crate) fn new(cluster: &'c Cluster) -> Self {
        Self::on(cluster.database(), Redis::start())
    }

    pub(crate) fn on(database: Database<'c>, redis: Redis) -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("work")).unwrap();
        let settings = vec![
            ("ALMA_LEDGER__URL".to_owned(), database.url()),
            ("ALMA_QUEUE__URL".to_owned(), redis.address()),
        ];
        Self { database, redis, root, settings }
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    pub(crate) fn put(&self, name: &str, text: &str) {
        std::fs::write(self.work().join(name), text).unwrap();
    }

    /// A host; every one but the first gets the key of the first.
    pub(crate) fn host(&self, name: &str) -> Host {
        let home = self.root.path().join(name);
        let (work, settings) = (self.work(), self.settings.clone());
        let host = Host { home, work, settings, alone: true, network: None };
        let homes = std::fs::read_dir(self.root.path()).unwrap().flatten();
        let keys = homes.map(|entry| entry.path().join("ledger.key"));
        match keys.into_iter().find(|key| key.exists()) {
            Some(key) => {
                std::fs::create_dir(&host.home).unwrap();
                let own = host.home.join("ledger.key");
                std::fs::copy(key, &own).unwrap();
                std::fs::set_permissions(own, PermissionsExt::from_mode(0o600)).unwrap();
            }
            None => {
                host.run(&["mission", "list"]).says(1, &[]);
            }
        }
        host
    }

    /// Waits until something is as it should be.
    #[track_caller]
    pub(crate) fn until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(began.elapsed() < TIME, "never: {what}");
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// The term of the leader and the pid that it has on its own host.
    pub(crate) fn leader(&self) -> Option<(u64, u32)> {
        let told = self.database.sql("SELECT term, holder FROM leaders");
        let (term, holder) = told.split_once('|')?;
        let holder: Value = serde_json::from_str(holder).ok()?;
        Some((term.parse().ok()?, u32::try_from(holder["pid"].as_u64()?).ok()?))
    }

    /// How many intents are on record, and how many receipts.
    pub(crate) fn effects(&self) -> (u32, u32) {
        let count = |kind: &str| {
            let sql =
                format!("SELECT count(*) FROM events WHERE body LIKE '%\"kind\":\"{kind}\"%'");
            self.database.sql(&sql).parse().unwrap()
        };
        (count("effect_intended"), count("effect_received"))
    }

    /// How often a step was counted.
    pub(crate) fn counted(&self, name: &str) -> usize {
        acts(&self.work(), name).len()
    }
}

/// A mission that counts: for each step its tool, its name, and how long it rests
/// before it counts.
pub(crate) fn counting(steps: &[(&str, &str, u64)]) -> String {
    let steps: Vec<Value> = steps
        .iter()
        .map(|(tool, name, rest)| {
            json!({ "tool": tool, "title": name, "args": { "name": name, "rest": rest } })
        })
        .collect();
    json!({ "goal": "count", "steps": steps }).to_string()
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// What lets `unshare` make spaces of the kernel for whoever runs the tests.
pub(crate) fn as_root() -> &'static [&'static str] {
    if is_root() { &[] } else { &["--user", "--map-root-user"] }
}

/// A machine.
pub(crate) struct Host {
    pub(crate) home: PathBuf,
    work: PathBuf,
    pub(crate) settings: Vec<(String, String)>,
    /// In a space of pids of its own.
    alone: bool,
    /// In the space of the network that this process has.
    pub(crate) network: Option<u32>,
}

impl Host {
    /// The same data folder and space of pids as this process has: with another one
    /// made like this, two processes of one host.
    pub(crate) fn together(of: &Self) -> Self {
        let (home, work, settings) = (of.home.clone(), of.work.clone(), of.settings.clone());
        Self { home, work, settings, alone: false, network: of.network }
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut words: Vec<String> = Vec::new();
        if let Some(pid) = self.network {
            words.extend(["nsenter".into(), format!("--target={pid}"), "--net".into()]);
            if !is_root() {
                words.extend(["--user".into(), "--preserve-credentials".into()]);
            }
        }
        if self.alone {
            words.push("unshare".into());
            // The space of a network brings one of users with it.
            if self.network.is_none() {
                words.extend(as_root().iter().map(|word| (*word).into()));
            }
            let own = ["--pid", "--fork", "--mount-proc", "--kill-child"];
            words.extend(own.map(String::from));
        }
        words.push(ALMA.into());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
            .args(args)
            .current_dir(&self.work)
            .env("ALMA_HOME", &self.home)
            .env("NO_COLOR", "1")
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    #[track_caller]
    pub(crate) fn run(&self, args: &[&str]) -> Out {
        let child = self.command(args).spawn();
        ended(child.expect("unshare is missing: apt-get install util-linux"))
    }

    #[track_caller]
    pub(crate) fn json(&self, code: i32, args: &[&str]) -> Value {
        self.run(&[&["--json"], args].concat()).says(code, &[]).json()
    }

    /// Submits a mission file; gives the mission's name.
    #[track_caller]
    pub(crate) fn submit(&self, mission: &str) -> String {
        let file = self.home.join("mission.yaml");
        std::fs::write(&file, mission).unwrap();
        let file = file.to_string_lossy().into_owned();
        let said = self.json(0, &["mission", "submit", "--again", "--file", &file]);
        said["mission"].as_str().unwrap().to_owned()
    }

    /// How a mission stands.
    #[track_caller]
    pub(crate) fn state(&self, mission: &str) -> String {
        self.json(0, &["mission", "show", mission])["state"].as_str().unwrap().to_owned()
    }

    /// Waits until a mission has ended.
    #[track_caller]
    pub(crate) fn wait(&self, mission: &str) -> String {
        let began = Instant::now();
        loop {
            let state = self.state(mission);
            if state != "running" {
                return state;
            }
            assert!(began.elapsed() < TIME, "{mission} does not end");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// A worker at work.
    #[track_caller]
    pub(crate) fn worker(&self) -> Running {
        let mut command = self.command(&["--json", "worker"]);
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        if !line.contains("working") {
            child.kill().unwrap();
            panic!("{:?}", ended(child));
        }
        let pid = if self.alone { only_child(child.id()) } else { child.id() };
        Running { child: Some(child), pid }
    }

    /// Nothing is lost or changed.
    #[track_caller]
    pub(crate) fn intact(&self) {
        assert_eq!(self.json(0, &["audit", "verify"])["intact"], true);
    }
}

fn only_child(pid: u32) -> u32 {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.trim().parse().unwrap()
}

/// A process of a host.
pub(crate) struct Running {
    child: Option<Child>,
    /// As this process sees it.
    pid: u32,
}

impl Running {
    fn signal(&self, signal: &str) {
        let kill = format!("kill -{signal} {}", self.pid);
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success(), "{kill}");
    }

    /// Holds it still.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(mut self) {
        self.signal("KILL");
        self.child.take().unwrap().wait().unwrap();
    }

    /// Asks it to end; gives what it said.
    pub(crate) fn stop(mut self) -> Out {
        self.signal("TERM");
        ended(self.child.take().unwrap())
    }

    /// Waits until it has ended by itself.
    pub(crate) fn ended(mut self) -> Out {
        ended(self.child.take().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = Command::new("sh").args(["-c", &format!("kill -KILL {}", self.pid)]).status();
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Copies a file so that a server of another user can read it.
pub(crate) fn hand_over(from: &Path, to: &Path, mode: u32) {
    std::fs::copy(from, to).unwrap();
    std::fs::set_permissions(to, PermissionsExt::from_mode(mode)).unwrap();
}
