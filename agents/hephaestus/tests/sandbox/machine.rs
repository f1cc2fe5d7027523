//! What a contained program sees of the machine, and that programs work there.

use crate::ORDINARY;
use crate::bench::{Bench, done};
use charter::budget::Meter;
use charter::tool::{Cancel, ErrorCode, Limits, SandboxLevel, ToolError};
use hephaestus::sandbox::{End, Host, Job, Sandbox, SandboxError, Taken};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

pub(crate) fn the_level_is_full_here() {
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

pub(crate) fn a_program_runs_and_its_output_comes_back() {
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

pub(crate) fn nothing_else_of_the_machine_is_there() {
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

pub(crate) fn a_hidden_folder_is_covered() {
    let bench = Bench::new();
    bench.put("data/ledger.db", "private");
    let sandbox = Sandbox::of_this_program(
        bench.root.path().join("scratch"),
        vec![bench.work().join("data")],
    );
    let bench = Bench { sandbox, ..bench };
    assert_eq!(done(&bench.shell("ls data; touch data/x 2>/dev/null && echo written; true")), "");
}

pub(crate) fn odd_output_is_text_and_long_output_is_cut() {
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

pub(crate) fn errors_say_what_is_wrong() {
    let bench = Bench::new();
    bench.put("plain", "no program");
    bench.put("noline", "echo hi\n");
    let path = bench.work().join("noline");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
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
            meter: &Meter::default(),
        };
        let result = bench.sandbox.run(&job, &Cancel::default(), &mut |_| Ok(()));
        assert!(matches!(result, Err(SandboxError::Folder { .. })), "{workspace}");
    }
    let odd = bench.try_run(&["true"], |s| drop(s.env.insert("A=B".into(), String::new())));
    assert!(matches!(odd, Err(SandboxError::Arguments(_))));
}

/// Projects of several kinds run their tests, as far as this machine has the
/// tools.
pub(crate) fn toolchains_work() {
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

pub(crate) fn what_dead_processes_left_is_swept() {
    let bench = Bench::new();
    let scratch = bench.root.path().join("scratch");
    let me = hephaestus::process::me();
    let mine = scratch.join(format!("run-{}-{}-9", me.pid, me.start));
    let dead = scratch.join(format!("run-{}-{}-9", me.pid, me.start + 1));
    for folder in [&mine, &dead, &scratch.join("other")] {
        fs::create_dir_all(folder.join("work/work")).unwrap();
    }
    fs::set_permissions(dead.join("work/work"), fs::Permissions::from_mode(0o000)).unwrap();
    let _ = Sandbox::new("/x".into(), scratch.clone(), Vec::new(), Host::default());
    assert!(mine.exists() && !dead.exists() && scratch.join("other").exists());
}

pub(crate) fn the_helper_refuses_strangers() {
    let alone = Command::new("/proc/self/exe")
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
pub(crate) fn an_ordinary_user_is_contained_as_well() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let binary = root.path().join("test");
    fs::copy("/proc/self/exe", &binary).unwrap();
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
