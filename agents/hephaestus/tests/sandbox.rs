//! The sandbox, tried on this machine: programs that do their work, programs
//! that try to get out, and killing.
//!
//! The test has a `main` of its own because it is also the containment helper:
//! the sandbox starts this very binary again.

use charter::check::{Outcome, Subject};
use charter::digest::Digest;
use charter::effect::{Change, EffectClass, Repeat, TargetState};
use charter::label::Label;
use charter::ports::Tools as _;
use charter::tool::{Call, Cancel, ErrorCode, Limits, Process, Proposed, SandboxLevel, ToolError};
use hephaestus::Hephaestus;
use hephaestus::sandbox::{
    BREACH, Bound, End, Host, Job, OUTSIDE, PID, PORT, Ran, Sandbox, SandboxError, Store, Taken,
    attempts,
};
use hephaestus::workspace::Workspace;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Becomes a process that runs a program in the sandbox, to be killed.
const VICTIM: &str = "victim";
/// Becomes a process that runs the tests of an ordinary user.
const ORDINARY: &str = "ordinary";

type Test = (&'static str, fn());

const TESTS: &[Test] = &[
    ("the_level_is_full_here", the_level_is_full_here),
    ("a_program_runs_and_its_output_comes_back", a_program_runs_and_its_output_comes_back),
    ("no_attempt_succeeds", no_attempt_succeeds),
    ("no_attempt_succeeds_without_namespaces", no_attempt_succeeds_without_namespaces),
    ("uncontained_the_harmless_attempts_succeed", uncontained_the_harmless_attempts_succeed),
    ("a_socket_in_the_workspace_leads_nowhere", a_socket_in_the_workspace_leads_nowhere),
    ("nothing_else_of_the_machine_is_there", nothing_else_of_the_machine_is_there),
    ("declared_outputs_come_back", declared_outputs_come_back),
    ("deleted_and_replaced_folders_come_back", deleted_and_replaced_folders_come_back),
    ("links_and_pipes_are_not_taken_over", links_and_pipes_are_not_taken_over),
    ("files_changed_meanwhile_are_not_overwritten", files_changed_meanwhile_are_not_overwritten),
    ("too_much_output_is_refused", too_much_output_is_refused),
    ("a_hidden_folder_is_covered", a_hidden_folder_is_covered),
    ("bounds_stop_a_program", bounds_stop_a_program),
    ("nothing_outlives_its_program", nothing_outlives_its_program),
    ("cancel_stops_at_once", cancel_stops_at_once),
    ("a_watch_that_refuses_prevents_the_start", a_watch_that_refuses_prevents_the_start),
    ("killing_the_parent_kills_everything", killing_the_parent_kills_everything),
    ("killing_the_helper_kills_everything", killing_the_helper_kills_everything),
    ("odd_output_is_text_and_long_output_is_cut", odd_output_is_text_and_long_output_is_cut),
    ("errors_say_what_is_wrong", errors_say_what_is_wrong),
    ("toolchains_work", toolchains_work),
    ("the_run_tool_carries_out_a_step", the_run_tool_carries_out_a_step),
    ("the_run_tool_refuses_and_stops", the_run_tool_refuses_and_stops),
    ("what_dead_processes_left_is_swept", what_dead_processes_left_is_swept),
    ("the_helper_refuses_strangers", the_helper_refuses_strangers),
    ("an_ordinary_user_is_contained_as_well", an_ordinary_user_is_contained_as_well),
];

fn main() {
    hephaestus::sandbox::run_if_helper();
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some(VICTIM) => victim(&args[1..]),
        Some(ORDINARY) => ordinary(),
        _ => std::process::exit(run(TESTS, &args)),
    }
}

/// A small harness: every test in order, or those whose name holds a word.
fn run(tests: &[Test], args: &[String]) -> i32 {
    if args.iter().any(|arg| arg == "--list") {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return 0;
    }
    let words: Vec<&String> = args.iter().filter(|arg| arg.starts_with(char::is_alphabetic)).collect();
    let mut failed = 0;
    for (name, test) in tests {
        if !words.is_empty() && !words.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        let began = Instant::now();
        let passed = std::panic::catch_unwind(test).is_ok();
        let result = if passed { "ok" } else { "FAILED" };
        println!("test {name} ... {result} ({} ms)", began.elapsed().as_millis());
        failed += i32::from(!passed);
    }
    println!("{} tests failed", failed);
    i32::from(failed > 0)
}

/// A workspace, a folder of secrets outside it, and a sandbox.
struct Bench {
    root: tempfile::TempDir,
    sandbox: Sandbox,
}

impl Bench {
    fn new() -> Self {
        Self::keeping(None)
    }

    fn keeping(store: Option<Store>) -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["work", "home", "scratch"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        let sandbox = Sandbox::new(
            std::env::current_exe().unwrap(),
            root.path().join("scratch"),
            Vec::new(),
            Host::of_process(),
        );
        let sandbox = match store {
            Some(store) => sandbox.keeping(store),
            None => sandbox,
        };
        Self { root, sandbox }
    }

    fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.work().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn try_run(&self, argv: &[&str], set: impl FnOnce(&mut Settings)) -> Result<Ran, SandboxError> {
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
        };
        self.sandbox.run(&job, &settings.cancel, &mut |process| (settings.started)(process))
    }

    fn run(&self, argv: &[&str]) -> Ran {
        self.try_run(argv, |_| {}).unwrap()
    }

    fn shell(&self, script: &str) -> Ran {
        self.run(&["sh", "-c", script])
    }

    fn take(&self, ran: &Ran, outputs: &[&str]) -> Result<Taken, ToolError> {
        let mut set = globset::GlobSetBuilder::new();
        for glob in outputs {
            set.add(globset::Glob::new(glob).unwrap());
        }
        let workspace = Workspace::open(&self.work()).unwrap();
        ran.changed.take(&set.build().unwrap(), &workspace, 1 << 20, &Cancel::default())
    }
}

struct Settings {
    cwd: String,
    env: BTreeMap<String, String>,
    limits: Limits,
    level: SandboxLevel,
    cancel: Cancel,
    started: Box<dyn FnMut(&Process) -> Result<(), ToolError>>,
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
fn done(ran: &Ran) -> String {
    let (out, err) = (ran.stdout.text(), ran.stderr.text());
    assert_eq!(ran.end, End::Exited(0), "stdout: {out}\nstderr: {err}");
    out
}

fn lines(taken: &Taken) -> Vec<String> {
    taken.changes.iter().map(|proposed| proposed.change.to_string()).collect()
}

fn the_level_is_full_here() {
    let bench = Bench::new();
    let containment = bench.sandbox.containment();
    assert_eq!(containment.level, SandboxLevel::Full, "{:?}", containment.refused);
    let off: Vec<_> = containment.layers.iter().filter(|layer| !layer.in_force).collect();
    assert!(off.is_empty(), "{off:?}");
    for name in ["namespaces", "network", "workspace", "landlock", "seccomp", "rights", "limits"] {
        assert!(containment.layers.iter().any(|layer| layer.name == name), "{name}");
    }
    assert_eq!(fs::read_dir(bench.root.path().join("scratch")).unwrap().count(), 0);
}

fn a_program_runs_and_its_output_comes_back() {
    let bench = Bench::new();
    bench.put("sub/a.txt", "text\n");
    let ran = bench
        .try_run(
            &["sh", "-c", "cat a.txt; pwd; echo \"$WORD\" >&2; id -u; hostname; exit 3"],
            |s| {
                s.cwd = "sub".to_owned();
                s.env.insert("WORD".to_owned(), "said".to_owned());
            },
        )
        .unwrap();
    let folder = bench.work().join("sub").canonicalize().unwrap();
    assert_eq!(ran.end, End::Exited(3));
    assert_eq!(ran.stdout.text(), format!("text\n{}\n1000\nsandbox\n", folder.display()));
    assert_eq!(ran.stderr.text(), "said\n");
    assert!(ran.peak_bytes > 0 && ran.wall_ms < 20_000, "{} {}", ran.peak_bytes, ran.wall_ms);
    assert_eq!(bench.take(&ran, &["**"]).unwrap(), Taken::default());
}

/// Runs the table; the names of the attempts that succeeded.
fn breaches(
    level: SandboxLevel,
    chosen: impl Fn(&hephaestus::sandbox::Attempt) -> bool,
) -> Vec<&'static str> {
    let bench = Bench::new();
    let secret = bench.root.path().join("home/secret");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut sleeper = Command::new("sleep").arg("600").spawn().unwrap();
    let mut breaches = Vec::new();
    for attempt in attempts().into_iter().filter(chosen) {
        fs::write(&secret, "secret").unwrap();
        let argv: Vec<&str> = attempt.argv.iter().map(String::as_str).collect();
        let ran = bench
            .try_run(&argv, |s| {
                s.level = level;
                s.limits = attempt.limits.clone();
                s.env.insert(OUTSIDE.to_owned(), secret.to_str().unwrap().to_owned());
                s.env.insert(PORT.to_owned(), listener.local_addr().unwrap().port().to_string());
                s.env.insert(PID.to_owned(), sleeper.id().to_string());
            })
            .unwrap();
        let (out, err) = (ran.stdout.text(), ran.stderr.text());
        // An attempt that does not get to its point proves nothing.
        for word in ["not found", "SyntaxError", "NameError", "unexpected"] {
            assert!(!err.contains(word), "{}: {err}", attempt.name);
        }
        if !attempt.held(&out) || fs::read(&secret).unwrap() != b"secret" {
            breaches.push(attempt.name);
        }
    }
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    breaches
}

fn no_attempt_succeeds() {
    assert_eq!(breaches(SandboxLevel::Full, |_| true), Vec::<&str>::new());
}

/// What the weaker level promises: files, network, and the calls themselves.
fn no_attempt_succeeds_without_namespaces() {
    let beyond = ["find a socket", "disk bomb", "fork bomb", "read the shadow", "become root"];
    let found = breaches(SandboxLevel::Restricted, |attempt| !beyond.contains(&attempt.name));
    assert_eq!(found, Vec::<&str>::new());
}

/// The table can fail: without containment, what needs no rights succeeds.
fn uncontained_the_harmless_attempts_succeed() {
    let harmless: Vec<&str> =
        attempts().iter().filter(|attempt| attempt.harmless).map(|attempt| attempt.name).collect();
    assert!(harmless.len() >= 5);
    assert_eq!(breaches(SandboxLevel::None, |attempt| attempt.harmless), harmless);
}

fn a_socket_in_the_workspace_leads_nowhere() {
    let bench = Bench::new();
    let _listener =
        std::os::unix::net::UnixListener::bind(bench.work().join("service.sock")).unwrap();
    let script = "import socket\n\
                  try:\n    \
                      socket.socket(socket.AF_UNIX).connect('service.sock')\n    \
                      print('reached')\n\
                  except OSError as error:\n    \
                      print('refused')\n";
    assert_eq!(done(&bench.run(&["python3", "-c", script])), "refused\n");
}

fn nothing_else_of_the_machine_is_there() {
    let bench = Bench::new();
    assert_eq!(done(&bench.shell("ls -A ..")), "work\n", "the home and what else lies beside it");
    let root = done(&bench.shell("ls -A / /run /root /home 2>/dev/null | tr '\\n' ' '"));
    for name in ["boot", "srv", "sys", "mnt", "media"] {
        assert!(!root.split_whitespace().any(|word| word == name), "{name}: {root}");
    }
    let env = done(&bench.run(&["env"]));
    assert!(env.lines().all(|line| !line.contains("TOKEN") && !line.starts_with("SSH_")), "{env}");
    let seen =
        done(&bench.shell("ls -d /proc/[0-9]* | wc -l; ls -A /tmp; ls -A ~; cat /etc/passwd"));
    let lines: Vec<&str> = seen.lines().collect();
    assert!(lines.first().unwrap().parse::<u32>().unwrap() <= 5, "{seen}");
    assert_eq!(seen.matches(":x:").count(), 3, "{seen}");
}

fn declared_outputs_come_back() {
    for store in Store::ALL {
        let bench = Bench::keeping(Some(store));
        bench.put("keep.txt", "old");
        bench.put("same.txt", "same");
        bench.put("gone.txt", "bye");
        bench.put("tool.sh", "#!/bin/sh\n");
        bench.put("noise.log", "1");
        let ran = bench.shell(
            "printf new > keep.txt; printf same > same.txt; rm gone.txt; chmod +x tool.sh; \
             mkdir -p made/empty; printf a > 'made/a\nb.txt'; printf 2 > noise.log; \
             mkdir cache; echo x > cache/x; chmod 600 made/a*",
        );
        done(&ran);
        let outputs = ["*.txt", "tool.sh", "made", "made/**"];
        let taken = bench.take(&ran, &outputs).unwrap();
        assert_eq!(
            lines(&taken),
            [
                "delete \"gone.txt\"",
                "write \"keep.txt\" (3 bytes)",
                "make the folder \"made\"",
                "write \"made/a\\nb.txt\" (1 bytes)",
                "make the folder \"made/empty\"",
                "write \"tool.sh\" (10 bytes)",
            ],
            "{store:?}"
        );
        assert_eq!(taken.dropped, ["cache/x", "noise.log"], "{store:?}");
        let keep = change(&taken, "keep.txt");
        assert!(matches!(keep.before[0].state, TargetState::File { bytes: 3, .. }));
        assert!(matches!(&keep.change, Change::Write { bytes, .. } if bytes == b"new"));
        let mode = |path| match &change(&taken, path).change {
            Change::Write { mode, .. } => *mode,
            _ => None,
        };
        assert_eq!(mode("made/a\nb.txt"), Some(0o600), "{store:?}");
        assert_eq!(mode("tool.sh").map(|mode| mode & 0o111), Some(0o111), "{store:?}");
        // The workspace itself is as it was.
        assert_eq!(fs::read_to_string(bench.work().join("keep.txt")).unwrap(), "old");
        assert!(bench.work().join("gone.txt").exists() && !bench.work().join("made").exists());
        drop(ran);
        assert_eq!(fs::read_dir(bench.root.path().join("scratch")).unwrap().count(), 0);
    }
}

#[track_caller]
fn change<'t>(taken: &'t Taken, path: &str) -> &'t Proposed {
    taken.changes.iter().find(|proposed| proposed.change.paths() == [path]).unwrap()
}

fn deleted_and_replaced_folders_come_back() {
    for store in Store::ALL {
        let bench = Bench::keeping(Some(store));
        bench.put("old/a", "1");
        bench.put("old/sub/b", "2");
        bench.put("new/a", "1");
        bench.put("new/.hidden/b", "2");
        bench.put("file", "x");
        let ran = bench.shell(
            "rm -r old; rm -r new; mkdir new; printf 1 > new/a; printf 3 > new/c; \
             rm file; mkdir file; printf y > file/inner",
        );
        done(&ran);
        let taken = bench.take(&ran, &["**"]).unwrap();
        assert_eq!(
            lines(&taken),
            [
                "delete \"old/sub/b\"",
                "delete \"old/sub\"",
                "delete \"old/a\"",
                "delete \"old\"",
                "delete \"new/.hidden/b\"",
                "delete \"new/.hidden\"",
                "delete \"file\"",
                "make the folder \"file\"",
                "write \"file/inner\" (1 bytes)",
                "write \"new/c\" (1 bytes)",
            ],
            "{store:?}"
        );
        assert_eq!(taken.dropped, Vec::<String>::new(), "{store:?}");
    }
}

fn links_and_pipes_are_not_taken_over() {
    for store in Store::ALL {
        let bench = Bench::keeping(Some(store));
        let secret = bench.root.path().join("home/secret");
        fs::write(&secret, "secret").unwrap();
        bench.put("report.txt", "old");
        bench.put("folder/inner", "x");
        symlink("report.txt", bench.work().join("link")).unwrap();
        let ran = bench.shell(&format!(
            "ln -sf {0} report.txt; ln -s {0} escape; ln -s / root; mkfifo pipe; rm link; \
             rm -r folder; echo x > folder; ln report.txt hard 2>/dev/null; true",
            secret.display()
        ));
        done(&ran);
        let taken = bench.take(&ran, &["**"]).unwrap();
        assert_eq!(lines(&taken), Vec::<String>::new(), "{store:?}");
        for name in ["report.txt", "escape", "root", "pipe", "link", "folder"] {
            assert!(taken.dropped.iter().any(|path| path == name), "{store:?} {name} {taken:?}");
        }
        assert!(!format!("{taken:?}").contains("secret\""));
    }
}

fn files_changed_meanwhile_are_not_overwritten() {
    let bench = Bench::new();
    bench.put("a.txt", "old");
    let file = bench.work().join("a.txt");
    let ran = bench.shell("printf program > a.txt");
    fs::write(&file, "person").unwrap();
    let error = bench.take(&ran, &["a.txt"]).unwrap_err();
    assert_eq!(error.code, ErrorCode::ChangedSince, "{error}");
}

fn too_much_output_is_refused() {
    let bench = Bench::new();
    let ran = bench.shell("head -c 2m /dev/zero > big");
    done(&ran);
    assert_eq!(bench.take(&ran, &["big"]).unwrap_err().code, ErrorCode::TooLarge);
    assert_eq!(bench.take(&ran, &["small"]).unwrap().dropped, ["big"]);
}

fn a_hidden_folder_is_covered() {
    let bench = Bench::new();
    bench.put("data/ledger.db", "private");
    let sandbox = Sandbox::new(
        std::env::current_exe().unwrap(),
        bench.root.path().join("scratch"),
        vec![bench.work().join("data")],
        Host::of_process(),
    );
    let bench = Bench { sandbox, ..bench };
    assert_eq!(done(&bench.shell("ls data; touch data/x 2>/dev/null && echo written; true")), "");
}

fn bounds_stop_a_program() {
    let bench = Bench::new();
    let stopped = |script: &str, set: fn(&mut Limits)| {
        let began = Instant::now();
        let ran = bench.try_run(&["sh", "-c", script], |s| set(&mut s.limits)).unwrap();
        assert!(began.elapsed() < Duration::from_secs(15), "{script}");
        ran
    };
    let ran = stopped("sleep 60", |limits| limits.wall_ms = 300);
    assert_eq!(ran.end, End::Stopped(Bound::Wall));
    assert!((300..3_000).contains(&ran.wall_ms), "{}", ran.wall_ms);
    let ran = stopped("while :; do :; done", |limits| limits.cpu_ms = 500);
    assert_eq!(ran.end, End::Stopped(Bound::Cpu));
    assert!(ran.cpu_ms > 500, "{}", ran.cpu_ms);
    // The sum counts, whoever spends it, and also when each process is short.
    let ran = stopped(
        "while :; do (i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done) & \
         (i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done); wait; done",
        |limits| limits.cpu_ms = 800,
    );
    assert_eq!(ran.end, End::Stopped(Bound::Cpu));
    let ran =
        stopped("python3 -c 'x=[bytearray(b\"x\")*(1<<20) for _ in range(8000)]'", |limits| {
            limits.memory_mb = 100
        });
    assert_eq!(ran.end, End::Stopped(Bound::Memory));
    assert!(ran.peak_bytes > 100 << 20, "{}", ran.peak_bytes);
    for store in Store::ALL {
        let bench = Bench::keeping(Some(store));
        let script =
            "for n in 1 2 3 4 5 6 7 8 9; do head -c 120m /dev/zero > $n || exit 9; done; sleep 9";
        let ran = bench.try_run(&["sh", "-c", script], |s| s.limits.memory_mb = 128).unwrap();
        let bounded = [End::Exited(9), End::Stopped(Bound::Disk)].contains(&ran.end);
        assert!(bounded, "{store:?} {:?} {}", ran.end, ran.stderr.text());
    }
    // Memory that forked processes share counts once.
    let ran = stopped(
        "python3 -c '\n\
         import os, time\n\
         x = bytearray(b\"x\") * (60 << 20)\n\
         for _ in range(8):\n    if os.fork() == 0: time.sleep(1); os._exit(0)\n\
         while True:\n    try: os.wait()\n    except ChildProcessError: break\n'",
        |limits| limits.memory_mb = 200,
    );
    done(&ran);
}

/// Processes of this machine whose command line holds a word.
fn alive(word: &str) -> Vec<String> {
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
fn all_dead(word: &str) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !alive(word).is_empty() {
        assert!(Instant::now() < deadline, "survivors: {:?}", alive(word));
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn nothing_outlives_its_program() {
    for level in [SandboxLevel::Full, SandboxLevel::Restricted, SandboxLevel::None] {
        let bench = Bench::new();
        let ran = bench
            .try_run(
                &[
                    "sh",
                    "-c",
                    "(setsid sh -c 'sleep 777.111 & sleep 777.111' &) ; sleep 0.2; echo left",
                ],
                |s| s.level = level,
            )
            .unwrap();
        assert_eq!(done(&ran), "left\n");
        assert_eq!(alive("777.111"), Vec::<String>::new(), "{level:?}");
    }
}

fn cancel_stops_at_once() {
    for level in [SandboxLevel::Full, SandboxLevel::Restricted] {
        let bench = Bench::new();
        let cancel = Cancel::default();
        let (flag, began) = (cancel.clone(), Instant::now());
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(500));
            flag.cancel();
        });
        let ran = bench
            .try_run(&["sh", "-c", "setsid sleep 777.222 & sleep 777.222"], |s| {
                (s.cancel, s.level) = (cancel, level);
            })
            .unwrap();
        assert_eq!(ran.end, End::Cancelled);
        assert!(began.elapsed() < Duration::from_millis(2_500), "{:?}", began.elapsed());
        assert_eq!(alive("777.222"), Vec::<String>::new(), "{level:?}");
        thread.join().unwrap();
    }
}

fn a_watch_that_refuses_prevents_the_start() {
    let bench = Bench::new();
    let marker = bench.work().join("marker");
    let error = bench
        .try_run(&["sh", "-c", "echo x"], |s| {
            s.started = Box::new(move |process| {
                assert_eq!(hephaestus::process::of(process.pid).as_ref(), Some(process));
                // Nothing may have run yet, however long this takes.
                std::thread::sleep(Duration::from_millis(200));
                assert!(!marker.exists());
                Err(ToolError::new(ErrorCode::Transient, "the lease is lost"))
            });
        })
        .err()
        .unwrap();
    assert!(matches!(error, SandboxError::Watch(_)), "{error}");
    assert_eq!(ToolError::from(error).code, ErrorCode::Transient);
}

fn victim(args: &[String]) {
    let [work, scratch, level, word] = args else { panic!("wrong arguments") };
    let sandbox = Sandbox::new(
        std::env::current_exe().unwrap(),
        scratch.into(),
        Vec::new(),
        Host::of_process(),
    );
    let script = format!("(setsid setsid sleep {word} &) ; setsid sleep {word} & sleep {word}");
    let job = Job {
        argv: &["sh".to_owned(), "-c".to_owned(), script],
        workspace: Path::new(work),
        cwd: ".",
        env: &BTreeMap::new(),
        limits: &Limits::default(),
        level: if level == "full" { SandboxLevel::Full } else { SandboxLevel::Restricted },
    };
    let _ = sandbox.run(&job, &Cancel::default(), &mut |process| {
        println!("{}", process.pid);
        Ok(())
    });
}

fn start_victim(bench: &Bench, level: &str, word: &str) -> std::process::Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([VICTIM, bench.work().to_str().unwrap()])
        .arg(bench.root.path().join("scratch"))
        .args([level, word])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while alive(word)
        .iter()
        .filter(|line| line.contains("sleep") && !line.contains("sh -c"))
        .count()
        < 3
    {
        if Instant::now() >= deadline {
            child.kill().unwrap();
            panic!("the victim does not start: {:?}", alive(word));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

fn killing_the_parent_kills_everything() {
    for (level, word) in [("full", "777.333"), ("restricted", "777.444")] {
        let bench = Bench::new();
        let mut child = start_victim(&bench, level, word);
        child.kill().unwrap();
        child.wait().unwrap();
        all_dead(word);
        all_dead("sandbox-helper");
    }
}

fn killing_the_helper_kills_everything() {
    use std::io::BufRead;
    let bench = Bench::new();
    let mut child = start_victim(&bench, "full", "777.555");
    let mut line = String::new();
    std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let helper = hephaestus::process::of(line.trim().parse().unwrap()).unwrap();
    assert!(hephaestus::process::kill(&helper));
    all_dead("sleep 777.555");
    // The owner notices and ends as well.
    assert!(child.wait().unwrap().success());
}

fn odd_output_is_text_and_long_output_is_cut() {
    let bench = Bench::new();
    assert_eq!(done(&bench.shell("printf 'a\\377b'")), "a\u{fffd}b");
    let ran = bench
        .try_run(&["sh", "-c", "echo first; head -c 5m /dev/zero | tr '\\0' x; echo last"], |s| {
            s.limits.output_bytes = 40_000;
        })
        .unwrap();
    let text = done(&ran);
    assert!(ran.stdout.truncated() && text.len() < 11_000, "{}", text.len());
    assert!(text.starts_with("first\nxxx") && text.ends_with("xxxlast\n"));
    assert_eq!(ran.stdout.bytes, (5 << 20) + 11);
}

fn errors_say_what_is_wrong() {
    let bench = Bench::new();
    bench.put("plain", "no program");
    bench.put("noline", "echo hi\n");
    for name in ["noline"] {
        let path = bench.work().join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let code = |argv: &[&str]| match bench.try_run(argv, |_| {}) {
        Ok(_) => panic!("{argv:?} ran"),
        Err(error) => ToolError::from(error).code,
    };
    assert_eq!(code(&["no-such-program"]), ErrorCode::NotFound);
    assert_eq!(code(&["./missing"]), ErrorCode::NotFound);
    assert_eq!(code(&["./plain"]), ErrorCode::Permission);
    assert_eq!(code(&["./noline"]), ErrorCode::Permanent);
    assert_eq!(code(&["echo", "a\0b"]), ErrorCode::Arguments);
    assert_eq!(code(&["echo", &"x".repeat(200_000)]), ErrorCode::Arguments);
    assert_eq!(code(&[]), ErrorCode::Arguments);
    symlink("/", bench.work().join("out")).unwrap();
    for cwd in ["out", "missing", "plain", ".."] {
        let error = bench.try_run(&["true"], |s| s.cwd = cwd.to_owned()).err().unwrap();
        assert_eq!(ToolError::from(error).code, ErrorCode::Outside, "{cwd}");
    }
    for workspace in ["/", "/usr", "/etc", "/missing"] {
        let job = Job {
            argv: &["true".to_owned()],
            workspace: Path::new(workspace),
            cwd: ".",
            env: &BTreeMap::new(),
            limits: &Limits::default(),
            level: SandboxLevel::Full,
        };
        let result = bench.sandbox.run(&job, &Cancel::default(), &mut |_| Ok(()));
        assert!(matches!(result, Err(SandboxError::Folder { .. })), "{workspace}");
    }
    let odd = bench.try_run(&["true"], |s| drop(s.env.insert("A=B".into(), String::new())));
    assert!(matches!(odd, Err(SandboxError::Arguments(_))));
}

/// Projects of several kinds run their tests, as far as this machine has the
/// tools.
fn toolchains_work() {
    let bench = Bench::new();
    let has = |program: &str| bench.sandbox.host().find(program).is_some();
    bench.put(
        "py/test_sum.py",
        "import unittest, tempfile\n\
         class Sum(unittest.TestCase):\n    \
             def test_good(self):\n        \
                 with tempfile.TemporaryFile() as f: f.write(b'x')\n        \
                 self.assertEqual(1 + 1, 2)\n    \
             def test_bad(self): self.assertEqual(1 + 1, 3)\n",
    );
    if has("python3") {
        let ran = bench
            .try_run(&["python3", "-m", "unittest", "discover", "-v"], |s| s.cwd = "py".to_owned())
            .unwrap();
        let text = ran.stderr.text();
        assert_eq!(ran.end, End::Exited(1), "{text}");
        assert!(text.contains("Ran 2 tests") && text.contains("failures=1"), "{text}");
    }
    bench.put("mk/Makefile", "test:\n\t@echo made > out.txt && cat out.txt\n");
    if has("make") {
        let ran = bench.try_run(&["make", "test"], |s| s.cwd = "mk".to_owned()).unwrap();
        assert_eq!(done(&ran), "made\n");
    }
    bench.put(
        "js/x.test.js",
        "const t=require('node:test'),a=require('node:assert'),h=require('node:http');\n\
         t('loopback', async () => { const s=h.createServer((q,r)=>r.end('hi'));\n\
         await new Promise(r=>s.listen(0,'127.0.0.1',r));\n\
         const r=await fetch('http://127.0.0.1:'+s.address().port); a.equal(await r.text(),'hi'); s.close(); });\n",
    );
    if has("node") {
        let ran = bench.try_run(&["node", "--test"], |s| {
            s.cwd = "js".to_owned();
            s.limits.memory_mb = 1_024;
        });
        let text = done(&ran.unwrap());
        assert!(text.contains("pass 1"), "{text}");
    }
    bench.put(
        "rs/Cargo.toml",
        "[package]\nname='x'\nversion='0.1.0'\nedition='2024'\n[workspace]\n",
    );
    bench.put("rs/src/lib.rs", "#[test]\nfn adds() { assert_eq!(1 + 1, 2); }\n");
    if has("cargo") {
        let ran = bench
            .try_run(&["cargo", "test", "--offline"], |s| {
                s.cwd = "rs".to_owned();
                s.limits.memory_mb = 2_048;
                s.limits.wall_ms = 120_000;
            })
            .unwrap();
        let text = done(&ran);
        assert!(text.contains("test adds ... ok"), "{text}");
        let taken = bench.take(&ran, &["rs/Cargo.lock"]).unwrap();
        assert_eq!(taken.kept, ["rs/Cargo.lock"]);
        assert!(taken.dropped.iter().any(|path| path.starts_with("rs/target/")));
    }
    bench.put("go/go.mod", "module x\n\ngo 1.20\n");
    bench.put("go/x_test.go", "package x\nimport \"testing\"\nfunc TestX(t *testing.T) {}\n");
    if has("go") {
        let ran = bench.try_run(&["go", "test", "./..."], |s| {
            s.cwd = "go".to_owned();
            s.limits.memory_mb = 2_048;
        });
        assert!(done(&ran.unwrap()).contains("ok"));
    }
}

#[derive(Default)]
struct Watched(std::sync::Mutex<Vec<(bool, Process)>>);

#[async_trait::async_trait]
impl charter::ports::ProgramWatch for Watched {
    async fn started(&self, program: &Process) -> Result<(), ToolError> {
        self.0.lock().unwrap().push((true, program.clone()));
        Ok(())
    }
    async fn ended(&self, program: &Process) {
        self.0.lock().unwrap().push((false, program.clone()));
    }
}

/// A bench as the port to tools, and a call to `run`.
fn tools(bench: Bench, args: serde_json::Value) -> (Hephaestus, Call, tempfile::TempDir) {
    let call = Call {
        tool: "run".to_owned(),
        version: 1,
        args,
        label: Label::TRUSTED,
        workspace: bench.work(),
        limits: Limits { wall_ms: 30_000, ..Limits::default() },
        secrets_allowed: false,
        now: 0,
        cancel: Cancel::default(),
    };
    let run = hephaestus::tools::run::Run::new(std::sync::Arc::new(bench.sandbox));
    (Hephaestus::with_tools(vec![Box::new(run)]), call, bench.root)
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(future)
}

fn the_run_tool_carries_out_a_step() {
    let bench = Bench::new();
    bench.put("in.txt", "b\na\n");
    bench.put("old.txt", "x");
    let (tools, call, _root) = tools(
        bench,
        json!({
            "program": ["sh", "-c", "sort in.txt > out.txt; rm old.txt; touch noise; exit 4"],
            "outputs": ["*.txt"], "ok_exits": [0, 4],
        }),
    );
    let prepared = wait(tools.prepare(&call)).unwrap();
    let act = prepared.act.unwrap();
    assert!(prepared.changes.is_empty() && !call.workspace.join("out.txt").exists());
    assert_eq!((act.class, act.repeat), (EffectClass::Exec, Repeat::Safe));
    assert_eq!(act.sandbox, Some(SandboxLevel::Full));
    let watched = Watched::default();
    let acted = wait(tools.act(&call, &act, &Digest::default(), &watched)).unwrap();
    let seen = watched.0.into_inner().unwrap();
    assert!(matches!(seen.as_slice(), [(true, a), (false, b)] if a == b && a.start > 0));
    assert_eq!(acted.output["exit"], 4);
    assert_eq!(acted.output["changed"], json!(["old.txt", "out.txt"]));
    assert_eq!(acted.output["dropped"], json!(["noise"]));
    assert_eq!(acted.label, Label::UNTRUSTED);
    assert!(!call.workspace.join("out.txt").exists(), "nothing changes before it is applied");
    let subject = Subject {
        tool: call.tool.clone(),
        args: call.args.clone(),
        output: acted.output,
        changes: acted.changes,
        workspace: call.workspace.clone(),
        label: acted.label,
        secrets_allowed: false,
    };
    let verified = |subject: &Subject| {
        let verdicts = wait(tools.check(subject));
        verdicts.iter().all(|verdict| verdict.outcome == Outcome::Verified)
    };
    assert!(!verified(&subject), "verified before anything was written");
    for proposed in &subject.changes {
        wait(tools.apply(&call, proposed)).unwrap();
    }
    assert_eq!(fs::read_to_string(call.workspace.join("out.txt")).unwrap(), "a\nb\n");
    assert!(!call.workspace.join("old.txt").exists());
    assert!(verified(&subject));
    fs::write(call.workspace.join("out.txt"), "").unwrap();
    assert!(!verified(&subject), "verified an empty file");
}

fn the_run_tool_refuses_and_stops() {
    let refused = |args| {
        let (tools, call, _root) = tools(Bench::new(), args);
        wait(tools.prepare(&call)).unwrap_err()
    };
    for args in [json!({"program": ["no-such-program"]}), json!({"program": ["./x"]})] {
        let error = refused(args);
        assert_eq!(error.code, ErrorCode::NotFound);
        assert!(error.hint.is_some());
    }
    assert_eq!(refused(json!({"program": ["true"], "cwd": "x"})).code, ErrorCode::NotFound);
    assert_eq!(refused(json!({"program": ["true"], "cwd": "../x"})).code, ErrorCode::Outside);
    assert_eq!(refused(json!({"program": ["true"], "outputs": ["/x"]})).code, ErrorCode::Outside);
    assert_eq!(refused(json!({"program": []})).code, ErrorCode::Arguments);
    let stopped = |set: fn(&mut Call)| {
        let script = "echo working; sleep 60";
        let (tools, mut call, _root) =
            tools(Bench::new(), json!({"program": ["sh", "-c", script]}));
        set(&mut call);
        let act = wait(tools.prepare(&call)).unwrap().act.unwrap();
        let cancel = call.cancel.clone();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(700));
            cancel.cancel();
        });
        let watched = Watched::default();
        let error = wait(tools.act(&call, &act, &Digest::default(), &watched)).unwrap_err();
        assert_eq!(watched.0.into_inner().unwrap().len(), 2, "its end is told as well");
        thread.join().unwrap();
        error
    };
    let error = stopped(|call| call.limits.wall_ms = 300);
    assert_eq!(error.code, ErrorCode::Limit);
    assert!(error.message.contains("last words: working"), "{error}");
    assert_eq!(stopped(|_| {}).code, ErrorCode::Cancelled);
}

fn what_dead_processes_left_is_swept() {
    let bench = Bench::new();
    let scratch = bench.root.path().join("scratch");
    let me = hephaestus::process::me();
    let mine = scratch.join(format!("run-{}-{}-9", me.pid, me.start));
    let dead = scratch.join(format!("run-{}-{}-9", me.pid, me.start + 1));
    for folder in [&mine, &dead, &scratch.join("other")] {
        fs::create_dir_all(folder.join("work/work")).unwrap();
    }
    fs::set_permissions(dead.join("work/work"), fs::Permissions::from_mode(0)).unwrap();
    let _ = Sandbox::new("/x".into(), scratch.clone(), Vec::new(), Host::default());
    assert!(mine.exists() && !dead.exists() && scratch.join("other").exists());
}

fn the_helper_refuses_strangers() {
    let alone = Command::new(std::env::current_exe().unwrap())
        .arg(hephaestus::sandbox::HELPER_ARGUMENT)
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert_eq!(alone.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&alone.stderr).contains("started by Alma only"));
    // A helper that is none: no level, and an error instead of an uncontained run.
    let root = tempfile::tempdir().unwrap();
    let sandbox =
        Sandbox::new("/bin/true".into(), root.path().to_owned(), Vec::new(), Host::of_process());
    assert_eq!(sandbox.level(), SandboxLevel::None);
    assert_eq!(sandbox.containment().refused.len(), 2);
}

/// Runs the tests that depend on who runs them once more as nobody.
fn an_ordinary_user_is_contained_as_well() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let binary = root.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
        .arg(&binary)
        .arg(ORDINARY)
        .env("TMPDIR", root.path())
        .env("HOME", root.path())
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("no_attempt_succeeds ... ok"), "{said}");
}

fn ordinary() {
    const AS_USER: [&str; 8] = [
        "the_level_is_full_here",
        "a_program_runs_and_its_output_comes_back",
        "no_attempt_succeeds",
        "declared_outputs_come_back",
        "deleted_and_replaced_folders_come_back",
        "nothing_outlives_its_program",
        "killing_the_parent_kills_everything",
        "toolchains_work",
    ];
    let tests: Vec<Test> =
        TESTS.iter().filter(|(name, _)| AS_USER.contains(name)).copied().collect();
    assert_eq!(tests.len(), AS_USER.len());
    assert!(!BREACH.is_empty());
    std::process::exit(run(&tests, &[]));
}
