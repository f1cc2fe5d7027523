//! Planted bugs: each patch in `tests/faults` is applied to a scratch copy of the
//! project, and there both the simulation and the kills must fail, for that reason.
//! A test that passes with the bug in place proves nothing. Run by `tests/soak/run`: it
//! builds a part of the project anew for each bug. One bug alone with
//! ALMA_FAULT=its name.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Seeds that the simulation gets to find a bug.
const SEEDS: &str = "100";

/// The version of this project, and that of its copies.
const VERSION: &str = env!("CARGO_PKG_VERSION");
const PLANTED: &str = concat!(env!("CARGO_PKG_VERSION"), "-planted");

/// A planted bug, and how each test puts it.
struct Fault {
    patch: &'static str,
    sim: &'static str,
    kills: &'static str,
}

const FAULTS: &[Fault] = &[
    Fault { patch: "act-before-the-intent", sim: "IntentFirst", kills: "happened 2 times" },
    Fault { patch: "finished-step-runs-again", sim: "FinishesOnce", kills: "finished twice" },
    Fault { patch: "key-of-each-attempt", sim: "HappensOnce", kills: "happened 2 times" },
    Fault { patch: "lease-never-ends", sim: "Ends", kills: "nothing moves any more" },
    Fault {
        patch: "publish-before-commit",
        sim: "RingsInTime",
        kills: "it waits for the queue, but it cannot run yet",
    },
    Fault { patch: "receipt-before-the-act", sim: "HappensOnce", kills: "happened 0 times" },
    Fault {
        patch: "repeat-what-is-in-doubt",
        sim: "HappensOnce",
        kills: "done again without asking whether it happened",
    },
    Fault { patch: "skip-the-fence", sim: "Fenced", kills: "was accepted while claim" },
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Where this project is built, and its copies too: libraries are shared, crates of
/// the project are not, for their versions differ.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// How Cargo's files put a version.
fn version(version: &str) -> String {
    format!("version = {version:?}")
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

/// A copy of what git knows, in one place for all bugs and runs: what did not
/// change keeps its time, so that only what a patch touches is built anew. The copy
/// has a version of its own: else cargo would take what is built of it, bugs and
/// all, for this project's.
fn scratch() -> PathBuf {
    let copy = target().join("faults");
    let listed = run(Command::new("git").args(["ls-files", "-z"]).current_dir(root()));
    assert!(listed.status.success(), "git lists the project's files");
    let listed = String::from_utf8(listed.stdout).unwrap();
    let names: BTreeSet<&str> = listed.split_terminator('\0').collect();
    forget(&copy, &copy, &names);
    for name in names {
        let (from, to) = (root().join(name), copy.join(name));
        if !from.is_file() {
            continue;
        }
        let mut bytes = std::fs::read(&from).unwrap();
        if name == "Cargo.toml" {
            let text = String::from_utf8(bytes).unwrap();
            let planted = text.replacen(&version(VERSION), &version(PLANTED), 1);
            assert_ne!(text, planted, "the version stands in Cargo.toml");
            bytes = planted.into();
        }
        if std::fs::read(&to).is_ok_and(|old| old == bytes) {
            continue;
        }
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::write(&to, bytes).unwrap();
        std::fs::set_permissions(&to, std::fs::metadata(&from).unwrap().permissions()).unwrap();
    }
    copy
}

/// Removes what an earlier copy had and git does not know any more.
fn forget(copy: &Path, folder: &Path, names: &BTreeSet<&str>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = path.strip_prefix(copy).unwrap().to_str();
        if entry.file_type().unwrap().is_dir() {
            forget(copy, &path, names);
        } else if name.is_none_or(|name| !names.contains(name) || !root().join(name).is_file()) {
            std::fs::remove_file(&path).unwrap();
        }
    }
}

fn apply(copy: &Path, patch: &str, arguments: &[&str]) {
    let patch = root().join("tests/faults").join(format!("{patch}.patch"));
    let mut command = Command::new("git");
    command.arg("apply").args(arguments).arg(patch).current_dir(copy);
    // The copy lies within the project: git must not take it for a part of it.
    succeed(command.env("GIT_CEILING_DIRECTORIES", copy.parent().unwrap()));
}

fn cargo(copy: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    // What the outer cargo says of this test is nothing to the inner one: a library
    // whose build looks at it would be built anew, with all that stands on it.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_") && name != "CARGO_HOME" {
            command.env_remove(name);
        }
    }
    command
        .args(args)
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", target())
        .env("ALMA_SIM_SEEDS", SEEDS);
    command
}

#[track_caller]
fn caught(copy: &Path, test: &str, patch: &str, why: &str) {
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
    let only = std::env::var("ALMA_FAULT").ok();
    // What an earlier run left in the middle is set right by this too.
    let copy = scratch();
    for fault in FAULTS.iter().filter(|one| only.as_ref().is_none_or(|only| one.patch == only)) {
        apply(&copy, fault.patch, &[]);
        let tests = ["test", "-q", "-p", "alma-tests", "--test", "sim", "--test", "kills"];
        succeed(&mut cargo(&copy, &[&tests[..], &["--no-run"]].concat()));
        caught(&copy, "sim", fault.patch, fault.sim);
        caught(&copy, "kills", fault.patch, fault.kills);
        apply(&copy, fault.patch, &["--reverse"]);
    }
}
