//! A PostgreSQL server for tests: private, with a port and a folder of its own, and
//! gone with the process that started it. Needs nothing but the standard library,
//! so that other test crates can include it by its path.
#![allow(dead_code, reason = "each suite uses its own part of it")]
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The user of the tests: owns its databases, and is no superuser.
pub(crate) const USER: &str = "alma";
/// Its password.
pub(crate) const PASSWORD: &str = "open sesame";
/// Time that a server may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server.
#[derive(Debug)]
pub(crate) struct Cluster {
    home: PathBuf,
    port: u16,
}

/// A database of its own, dropped with it.
#[derive(Debug)]
pub(crate) struct Database<'c> {
    cluster: &'c Cluster,
    pub(crate) name: String,
}

/// Where Debian keeps the programs of the newest version.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|version| Path::new(&format!("/usr/lib/postgresql/{version}/bin/initdb")).exists())
        .max();
    match newest {
        Some(version) => PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")),
        None => panic!("PostgreSQL is missing: install Debian's package `postgresql`"),
    }
}

/// A program of PostgreSQL, which refuses to run as root.
fn program(name: &str) -> Command {
    let mut command = Command::new("setpriv");
    if std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    // Nothing survives the test that started it, however that ends.
    command.args(["--pdeathsig", "TERM"]).arg(match name {
        "sh" | "mkdir" | "rm" => PathBuf::from(name),
        name => programs().join(name),
    });
    command.current_dir("/").stdin(Stdio::null());
    command
}

fn done(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl Cluster {
    /// The server that the tests of a process share.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&[]))
    }

    /// A server of one's own, with these settings.
    pub(crate) fn start(settings: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (own, n) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let home = std::env::temp_dir().join(format!("alma-postgres-{own}-{n}"));
        // Asked of the system, and free again a moment later.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let cluster = Self { home, port };
        done(program("mkdir").args(["-m", "700"]).arg(&cluster.home));
        done(program("initdb").arg("-D").arg(cluster.data()).args([
            "--no-sync",
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
        ]));
        cluster.run(settings);
        cluster.sql("postgres", &format!("CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'"));
        cluster
    }

    /// Lets the server read the files of a folder.
    pub(crate) fn may_read(folder: &Path) {
        if std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
            done(Command::new("chgrp").args(["-R", "postgres"]).arg(folder));
        }
    }

    fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    /// Starts the server, again where it was stopped.
    pub(crate) fn run(&self, settings: &[&str]) {
        let script = "home=$1; shift; trap 'kill -QUIT $server' TERM; \
            \"$@\" >>\"$home/log\" 2>&1 & server=$!; wait $server; wait $server; \
            test -e \"$home/stopped\" || rm -rf \"$home\"";
        let mut command = program("sh");
        command.arg("-c").arg(script).arg("sh").arg(&self.home).arg(programs().join("postgres"));
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]);
        let socket = format!("unix_socket_directories={}", self.home.display());
        let own = ["max_connections=300", "shared_buffers=32MB", socket.as_str()];
        for setting in own.iter().chain(settings) {
            command.args(["-c", setting]);
        }
        let _ = done(program("rm").arg("-f").arg(self.home.join("stopped")));
        // The thread that starts it must outlive it: its end would be the signal.
        std::thread::spawn(move || command.spawn().and_then(|mut child| child.wait()).unwrap());
        let begun = Instant::now();
        while !self.is_up() {
            assert!(begun.elapsed() < PATIENCE, "the server does not start: see {:?}", self.home);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn is_up(&self) -> bool {
        let mut ready = program("pg_isready");
        ready.arg("-h").arg(&self.home).args(["-q", "-p", &self.port.to_string()]);
        ready.status().is_ok_and(|status| status.success())
    }

    /// Its socket in the file system.
    pub(crate) fn socket(&self) -> PathBuf {
        self.home.join(format!(".s.PGSQL.{}", self.port))
    }

    /// Stops the server; `immediate` is a crash.
    pub(crate) fn stop(&self, mode: &str) {
        done(program("sh").arg("-c").arg("touch \"$0/stopped\"").arg(&self.home));
        done(program("pg_ctl").arg("-D").arg(self.data()).args(["-m", mode, "-w", "stop"]));
    }

    /// A database of one's own.
    pub(crate) fn database(&self) -> Database<'_> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("ledger{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name} OWNER {USER}"));
        Database { cluster: self, name }
    }

    /// Runs a statement as superuser; returns the cells of its answer.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let mut psql = program("psql");
        psql.arg("-h").arg(&self.home).args(["-p", &self.port.to_string(), "-U", "postgres"]);
        psql.args(["-d", database, "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        done(&mut psql)
    }

    /// The address of a database, for this user.
    pub(crate) fn url(&self, user: &str, password: &str, database: &str) -> String {
        let password = password.replace(' ', "%20");
        format!("postgresql://{user}:{password}@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.is_up() {
            self.stop("immediate");
        }
        done(program("rm").arg("-rf").arg(&self.home));
    }
}

impl Database<'_> {
    /// Where it is.
    pub(crate) fn url(&self) -> String {
        self.cluster.url(USER, PASSWORD, &self.name)
    }

    /// Runs a statement in it as superuser.
    pub(crate) fn sql(&self, sql: &str) -> String {
        self.cluster.sql(&self.name, &format!("SET search_path = alma, public; {sql}"))
    }

    /// Runs what `pg_dump` wrote, as the user of the tests.
    pub(crate) fn restore(&self, dump: &str) {
        let mut psql = program("psql");
        psql.args(["-d", &self.url(), "-qX", "-v", "ON_ERROR_STOP=1"]).stdin(Stdio::piped());
        let mut child = psql.stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(dump.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "the dump cannot be restored");
    }

    /// Ends every session of the ledger whose name is like this; returns how many.
    pub(crate) fn end_sessions(&self, like: &str) -> u32 {
        let ended = self.cluster.sql(
            &self.name,
            &format!(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                 WHERE datname = '{}' AND application_name LIKE '{like}'",
                self.name
            ),
        );
        ended.parse().unwrap_or_default()
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        if self.cluster.is_up() {
            let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
            self.cluster.sql("postgres", &drop);
        }
    }
}
