//! Bounds, cancelling and killing: nothing outlives its run.

use crate::VICTIM;
use crate::bench::{Bench, alive, all_dead, done};
use charter::budget::Meter;
use charter::tool::{Cancel, ErrorCode, Limits, SandboxLevel, ToolError};
use hephaestus::sandbox::{Bound, End, Job, Sandbox, SandboxError, Store};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

pub(crate) fn bounds_stop_a_program() {
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

pub(crate) fn nothing_outlives_its_program() {
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

pub(crate) fn cancel_stops_at_once() {
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

pub(crate) fn a_watch_that_refuses_prevents_the_start() {
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

pub(crate) fn victim(args: &[String]) {
    let [work, scratch, level, word] = args else { panic!("wrong arguments") };
    let sandbox = Sandbox::of_this_program(scratch.into(), Vec::new());
    let script = format!("(setsid setsid sleep {word} &) ; setsid sleep {word} & sleep {word}");
    let job = Job {
        argv: &["sh".to_owned(), "-c".to_owned(), script],
        workspace: Path::new(work),
        cwd: ".",
        env: &BTreeMap::new(),
        limits: &Limits::default(),
        level: if level == "full" { SandboxLevel::Full } else { SandboxLevel::Restricted },
        meter: &Meter::default(),
    };
    let _ = sandbox.run(&job, &Cancel::default(), &mut |process| {
        println!("{}", process.pid);
        Ok(())
    });
}

fn start_victim(bench: &Bench, level: &str, word: &str) -> std::process::Child {
    let mut child = Command::new("/proc/self/exe")
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

pub(crate) fn killing_the_parent_kills_everything() {
    for (level, word) in [("full", "777.333"), ("restricted", "777.444")] {
        let bench = Bench::new();
        let mut child = start_victim(&bench, level, word);
        child.kill().unwrap();
        child.wait().unwrap();
        all_dead(word);
        all_dead("sandbox-helper");
    }
}

pub(crate) fn killing_the_helper_kills_everything() {
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
