//! Real Redis servers and Sentinels for tests: private ones, each with a port and
//! a folder of its own, killed when the test lets go of them.
//!
//! A server also dies with the thread that started it, so start it on the thread
//! of the test itself.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a server has to come up, or anything to come about.
const PATIENCE: Duration = Duration::from_secs(30);
/// Ports that are tried, since another process may take one first.
const PORTS: u32 = 5;

/// One `redis-server`, or one `redis-sentinel`.
pub(crate) struct Redis {
    pub(crate) folder: TempDir,
    pub(crate) port: u16,
    kind: Kind,
    child: Child,
}

#[derive(Clone)]
enum Kind {
    Plain(Vec<String>),
    Tls(Vec<String>),
    Sentinel { master: u16, password: Option<String> },
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Redis {
    /// A server with nothing special.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// A server with these options besides.
    pub(crate) fn with(options: &[&str]) -> Self {
        Self::begin(&Kind::Plain(options.iter().map(ToString::to_string).collect()))
    }

    /// A server that speaks TLS alone; `ca.pem` in its folder has signed for
    /// `127.0.0.1` and `localhost`.
    pub(crate) fn tls() -> Self {
        Self::begin(&Kind::Tls(Vec::new()))
    }

    fn begin(kind: &Kind) -> Self {
        for _ in 0..PORTS {
            let folder = tempfile::tempdir().unwrap();
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if matches!(kind, Kind::Tls(_)) {
                certify(folder.path());
            }
            let child = spawn(folder.path(), port, kind);
            let mut server = Self { folder, port, kind: kind.clone(), child };
            if server.comes_up() {
                return server;
            }
        }
        panic!("redis-server did not start on any of {PORTS} ports");
    }

    /// Waits until it answers; false if it ended instead.
    fn comes_up(&mut self) -> bool {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            let said = self.cli(&["PING"]);
            if ["PONG", "LOADING"].iter().any(|word| said.contains(word)) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    /// Where it stands, as Alma is told.
    pub(crate) fn address(&self) -> String {
        let (port, folder) = (self.port, self.folder.path().display());
        match &self.kind {
            Kind::Tls(_) => format!("rediss://127.0.0.1:{port}/0?ca_file={folder}/ca.pem"),
            Kind::Plain(_) | Kind::Sentinel { .. } => format!("redis://127.0.0.1:{port}/0"),
        }
    }

    /// Its socket in the file system.
    #[allow(dead_code, reason = "not every suite needs it")]
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("sock")
    }

    /// What `redis-cli` prints.
    pub(crate) fn cli(&self, words: &[&str]) -> String {
        let mut cli = Command::new("redis-cli");
        cli.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        if let Some(password) = self.password() {
            cli.env("REDISCLI_AUTH", password);
        }
        if matches!(self.kind, Kind::Tls(_)) {
            cli.arg("--tls").arg("--cacert").arg(self.folder.path().join("ca.pem"));
        }
        let output = run(cli.args(words), "redis-tools");
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).trim().to_owned()
    }

    fn password(&self) -> Option<&str> {
        match &self.kind {
            Kind::Sentinel { password, .. } => password.as_deref(),
            Kind::Plain(options) | Kind::Tls(options) => {
                let at = options.iter().position(|option| option == "--requirepass")?;
                options.get(at + 1).map(String::as_str)
            }
        }
    }

    /// The end without warning (SIGKILL).
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Comes up again after [`Redis::kill`], on the same port and folder.
    pub(crate) fn again(&mut self) {
        self.again_with(&[]);
    }

    /// The same with more options.
    pub(crate) fn again_with(&mut self, more: &[&str]) {
        if let Kind::Plain(options) | Kind::Tls(options) = &mut self.kind {
            options.extend(more.iter().map(ToString::to_string));
        }
        self.child = spawn(self.folder.path(), self.port, &self.kind);
        assert!(self.comes_up(), "redis-server does not come up again");
    }

    /// Holds the process still (SIGSTOP).
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on (SIGCONT).
    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        // The shell's own: the program of this name is in no minimal system.
        let kill = format!("kill {signal} {}", self.child.id());
        let done = run(Command::new("sh").args(["-c", &kill]), "dash");
        assert!(done.status.success(), "{kill}");
    }
}

fn run(command: &mut Command, package: &str) -> std::process::Output {
    command.stdin(Stdio::null()).output().unwrap_or_else(|error| {
        let program = command.get_program().to_string_lossy().into_owned();
        panic!("{program} cannot be run ({error}): apt-get install {package}")
    })
}

fn spawn(folder: &Path, port: u16, kind: &Kind) -> Child {
    let (program, package) = match kind {
        Kind::Sentinel { .. } => ("redis-sentinel", "redis-sentinel"),
        Kind::Plain(_) | Kind::Tls(_) => ("redis-server", "redis-server"),
    };
    let look = format!("command -v {program}");
    let there = run(Command::new("sh").args(["-c", &look]), "dash").status.success();
    assert!(there, "{program} is missing: apt-get install {package}");
    let mut server = Command::new("setpriv");
    server.args(["--pdeathsig", "KILL", program]).current_dir(folder);
    let port = port.to_string();
    match kind {
        Kind::Sentinel { master, password } => {
            let file = folder.join("sentinel.conf");
            // A Sentinel that comes again goes on with what it wrote down.
            if !file.exists() {
                std::fs::write(&file, sentinel(&port, *master, password.as_deref())).unwrap();
            }
            server.arg(file);
        }
        Kind::Plain(options) => {
            server.args(["--port", &port, "--unixsocket", "sock"]).args(COMMON).args(options);
        }
        Kind::Tls(options) => {
            server.args(["--port", "0", "--tls-port", &port]).args(COMMON).args(options).args([
                "--tls-cert-file",
                "server.pem",
                "--tls-key-file",
                "server.key",
                "--tls-ca-cert-file",
                "ca.pem",
                "--tls-auth-clients",
                "no",
            ]);
        }
    }
    server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    server.spawn().unwrap_or_else(|error| {
        panic!("setpriv cannot be run ({error}): apt-get install util-linux")
    })
}

const COMMON: [&str; 8] =
    ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--loglevel", "warning"];

/// What a Sentinel is told: with a password, it asks for one and gives the same.
fn sentinel(port: &str, master: u16, password: Option<&str>) -> String {
    let mut text = format!("port {port}\nbind 127.0.0.1\n");
    if let Some(password) = password {
        let _ = writeln!(text, "requirepass {password}\nsentinel sentinel-pass {password}");
    }
    for line in [
        format!("monitor mine 127.0.0.1 {master} 2"),
        "down-after-milliseconds mine 1000".to_owned(),
        "failover-timeout mine 4000".to_owned(),
    ] {
        let _ = writeln!(text, "sentinel {line}");
    }
    if let Some(password) = password {
        let _ = writeln!(text, "sentinel auth-pass mine {password}");
    }
    text
}

/// A private authority, and a certificate of it for this machine.
fn certify(folder: &Path) {
    let names = "subjectAltName=IP:127.0.0.1,DNS:localhost";
    std::fs::write(folder.join("names"), names).unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    for line in [
        format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority"),
        format!("req {key} -keyout server.key -out server.csr -subj /CN=server"),
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 \
         -extfile names"
            .to_owned(),
    ] {
        let mut openssl = Command::new("openssl");
        let done = run(openssl.args(line.split_whitespace()).current_dir(folder), "openssl");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

/// A master, a replica and three Sentinels that watch them.
pub(crate) struct Watched {
    pub(crate) master: Redis,
    pub(crate) replica: Redis,
    pub(crate) sentinels: Vec<Redis>,
}

impl Watched {
    /// Everything up, and every Sentinel aware of the others and of the replica.
    pub(crate) fn start() -> Self {
        Self::begin(None)
    }

    /// The same, with one password for servers and Sentinels.
    pub(crate) fn with_password(password: &str) -> Self {
        Self::begin(Some(password.to_owned()))
    }

    fn begin(password: Option<String>) -> Self {
        let secret = password.as_deref().unwrap_or_default();
        let login = ["--requirepass", secret, "--masterauth", secret];
        let login = if password.is_some() { &login[..] } else { &[] };
        let master = Redis::with(login);
        let port = master.port.to_string();
        let replica = Redis::with(&[login, &["--replicaof", "127.0.0.1", &port]].concat());
        let kind = Kind::Sentinel { master: master.port, password };
        let sentinels: Vec<Redis> = (0..3).map(|_| Redis::begin(&kind)).collect();
        until("the Sentinels know each other", || {
            sentinels.iter().all(|sentinel| {
                let known = sentinel.cli(&["SENTINEL", "MASTER", "mine"]);
                let mut words = known.lines();
                let mut value = |name| {
                    words.find(|word| *word == name);
                    words.next().and_then(|value| value.parse::<u32>().ok())
                };
                value("num-slaves") == Some(1) && value("num-other-sentinels") == Some(2)
            })
        });
        Self { master, replica, sentinels }
    }

    /// Where the master is asked for, as Alma is told.
    pub(crate) fn address(&self) -> String {
        let hosts: Vec<String> =
            self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port)).collect();
        format!("redis+sentinel://{}/mine/0", hosts.join(","))
    }
}

/// Waits until something has come about.
pub(crate) fn until(what: &str, done: impl Fn() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
