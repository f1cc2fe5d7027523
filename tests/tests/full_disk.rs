//! A real small disk that runs full in the middle of missions: what is under way is
//! recorded as soon as there is room, nothing new is begun, and nothing is lost or
//! done twice, also when the process is killed while there is no room at all.

use alma_tests::counting::{Kind, acts};
use alma_tests::shell::Shell;
use alma_tests::web::Server;
use serde_json::json;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Bytes of the disk: the floor below which nothing new is begun, and as much again.
const DISK: &str = "40m";
const STEPS: u32 = 60;
/// How long anything may take.
const TIME: Duration = Duration::from_secs(60);

/// A data folder on a disk of its own, which lives as long as a process that holds
/// its name space.
struct Disk {
    shell: Shell,
    holder: Child,
}

impl Disk {
    fn new() -> Self {
        let shell = Shell::new(env!("CARGO_BIN_EXE_alma-counting"));
        std::fs::create_dir(shell.home()).unwrap();
        let mut holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "bash", "-c"])
            .arg(format!(
                "mount -t tmpfs -o size={DISK},mode=700 small \"$1\" && echo mounted && read"
            ))
            .arg("holder")
            .arg(shell.home())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare is a program of util-linux");
        let mut said = String::new();
        BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "mounted\n", "user name spaces are needed for a disk of one's own");
        let disk = Self { shell, holder };
        let work = disk.shell.work().display().to_string();
        let config = format!("[http.workspaces]\nwork = {work:?}\n");
        std::fs::write(disk.home().join("config.toml"), config).unwrap();
        disk
    }

    /// The data folder as it is seen from here.
    fn home(&self) -> PathBuf {
        let inside = self.shell.home();
        let inside = inside.strip_prefix("/").unwrap();
        PathBuf::from(format!("/proc/{}/root", self.holder.id())).join(inside)
    }

    /// A command on that disk.
    fn command(&self, args: &[&str]) -> Command {
        let plain = self.shell.command(args);
        let mut command = Command::new("nsenter");
        command
            .args(["--user", "--mount", "--preserve-credentials", "--target"])
            .arg(self.holder.id().to_string())
            .arg(plain.get_program())
            .args(plain.get_args())
            .current_dir(self.shell.work())
            .envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Leaves no byte free.
    fn fill(&self) {
        let mut file = File::create(self.home().join("filler")).unwrap();
        for size in [1 << 20, 4096, 1] {
            let bytes = vec![0; size];
            while file.write_all(&bytes).is_ok() {}
        }
    }

    fn empty(&self) {
        std::fs::remove_file(self.home().join("filler")).unwrap();
    }

    fn acts(&self) -> usize {
        (1..=STEPS).map(|n| acts(&self.shell.work(), &n.to_string()).len()).sum()
    }

    #[track_caller]
    fn until_acts(&self, count: usize) {
        let began = Instant::now();
        while self.acts() < count {
            assert!(began.elapsed() < TIME, "{} acts of {count}", self.acts());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Each step acted once.
    #[track_caller]
    fn all_once(&self) {
        for n in 1..=STEPS {
            let times = acts(&self.shell.work(), &n.to_string()).len();
            assert_eq!(times, 1, "step {n} acted {times} times");
        }
        let out = self.command(&["--json", "audit", "verify"]).output().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        assert_eq!(report["findings"], json!([]), "{report:#}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Steps whose target knows the key of an act, so that nobody need be asked.
fn wish() -> serde_json::Value {
    let steps: Vec<_> = (1..=STEPS)
        .map(|n| json!({ "tool": Kind::Keyed.name(), "args": { "name": n.to_string() } }))
        .collect();
    let file = json!({ "goal": "count on a small disk", "steps": steps });
    json!({ "file": file.to_string(), "workspace": "work", "again": true })
}

#[test]
fn a_full_disk_holds_work_up_and_loses_nothing() {
    let disk = Disk::new();
    let server = Server::start(disk.command(&[]));
    let mission = server.submit(&wish());
    for round in 1..=3 {
        disk.until_acts(round * 12);
        disk.fill();
        // What had its intent goes on; then nothing moves.
        std::thread::sleep(Duration::from_millis(700));
        let held_up = disk.acts();
        std::thread::sleep(Duration::from_millis(1_500));
        assert_eq!(disk.acts(), held_up, "something was begun although nothing can be recorded");
        assert!(held_up < STEPS as usize, "all was over before the disk was full");
        let refused = server.post("/api/v1/missions", &wish());
        assert_eq!(refused.status, 507, "{refused:#?}");
        assert!(refused.body.contains("disk") && refused.body.contains("free"), "{refused:#?}");
        let shown = server.get(&format!("/api/v1/missions/{mission}")).is(200, "");
        assert_eq!(shown["state"], "running", "{shown:#}");
        disk.empty();
    }
    assert_eq!(server.ended(&mission), "unverified", "nothing proves a count");
    assert_eq!(server.stop(), Some(0));
    disk.all_once();
}

#[test]
fn killed_on_a_full_disk_it_goes_on_where_there_is_room() {
    let disk = Disk::new();
    let server = Server::start(disk.command(&[]));
    let mission = server.submit(&wish());
    disk.until_acts(10);
    disk.fill();
    std::thread::sleep(Duration::from_millis(300));
    server.kill();
    // What is said on a full disk names it; what was there is there.
    let out = disk.command(&["mission", "run", "list the files"]).output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(!out.status.success() && said.contains("disk"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    disk.empty();
    let server = Server::start(disk.command(&[]));
    assert_eq!(server.ended(&mission), "unverified", "nothing proves a count");
    assert_eq!(server.stop(), Some(0));
    disk.all_once();
}
