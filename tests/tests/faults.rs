//! Planted bugs: each patch in `tests/faults` is applied to a scratch copy of the
//! project, and there both the simulation and the kills must fail, for that reason.
//! A test that passes with the bug in place proves nothing. Run by `tests/soak`: it
//! builds the project anew for each bug.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A planted bug, and how each test puts it.
struct Fault {
    patch: &'static str,
    sim: &'static str,
    kills: &'static str,
}

const FAULTS: &[Fault] = &[
    Fault { patch: "act-before-the-intent", sim: "Unintended", kills: "happened 2 times" },
    Fault {
        patch: "publish-before-commit",
        sim: "Premature",
        kills: "it waits for the queue, but it cannot run yet",
    },
    Fault { patch: "skip-the-fence", sim: "seeds failed", kills: "was accepted while claim" },
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

#[track_caller]
fn succeed(command: &mut Command) {
    let output = run(command);
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A copy of what git knows, with one patch.
fn scratch(fault: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    let listed = run(Command::new("git").args(["ls-files", "-z"]).current_dir(root()));
    assert!(listed.status.success(), "git lists the project's files");
    for name in String::from_utf8(listed.stdout).unwrap().split_terminator('\0') {
        let (from, to) = (root().join(name), copy.path().join(name));
        if from.is_file() {
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(from, to).unwrap();
        }
    }
    let patch = root().join("tests/faults").join(format!("{fault}.patch"));
    succeed(Command::new("git").arg("apply").arg(patch).current_dir(copy.path()));
    copy
}

/// Builds once per copy; libraries are shared between copies.
fn cargo(copy: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command
        .args(args)
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", root().join("target").join("faults"))
        .env("ALMA_SIM_SEEDS", "2000");
    command
}

#[track_caller]
fn caught(copy: &Path, test: &str, patch: &str, why: &str) {
    succeed(&mut cargo(copy, &["test", "-q", "-p", "alma-tests", "--test", test, "--no-run"]));
    let output = run(&mut cargo(copy, &["test", "-q", "-p", "alma-tests", "--test", test]));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{test} did not catch {patch}: {said}");
    assert!(said.contains(why), "{test} failed for another reason than {patch}: {said}");
    println!("{test} caught {patch}");
}

#[test]
fn every_planted_bug_is_caught_by_the_simulation_and_by_the_kills() {
    let mut files: Vec<String> = std::fs::read_dir(root().join("tests/faults"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    files.sort();
    assert_eq!(files, FAULTS.iter().map(|fault| fault.patch).collect::<Vec<_>>());
    for fault in FAULTS {
        let copy = scratch(fault.patch);
        caught(copy.path(), "sim", fault.patch, fault.sim);
        caught(copy.path(), "kills", fault.patch, fault.kills);
    }
}
