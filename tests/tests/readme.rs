//! The README's tour, run as written: every command, every line of output.

use std::path::Path;
use std::process::{Command, Stdio};

/// One command and what the README says it prints.
struct Shown {
    command: String,
    output: String,
}

fn shown(readme: &str) -> Vec<Shown> {
    let mut all: Vec<Shown> = Vec::new();
    for block in readme.split("```console\n").skip(1) {
        let block = block.split("```").next().unwrap();
        for line in block.lines() {
            match line.strip_prefix("$ ") {
                Some(command) => {
                    all.push(Shown { command: command.to_owned(), output: String::new() });
                }
                None => {
                    let last = all.last_mut().expect("a block begins with a command");
                    last.output.push_str(line);
                    last.output.push('\n');
                }
            }
        }
    }
    all
}

/// Ids differ from run to run, and so do digests that are made from them.
fn without_ids(text: &str) -> String {
    text.lines()
        .map(|line| {
            let words = line.split(' ').map(|word| {
                let id = word.len() >= 18
                    && (word.starts_with("m-") || word.starts_with("a-"))
                    && word[2..18].bytes().all(|b| b.is_ascii_alphanumeric());
                let digest = word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
                if id || digest { "ID" } else { word }
            });
            words.collect::<Vec<_>>().join(" ").trim_end().to_owned()
        })
        .collect::<Vec<_>>()
        .join("\n")
        .trim()
        .to_owned()
}

#[test]
fn the_tour_runs_as_written() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let tour = shown(&readme);
    assert!(tour.len() >= 10, "the README has lost its tour");
    let home = tempfile::tempdir().unwrap();
    let bin = home.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    // The product with three more tools, under the product's name.
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_alma-counting"), bin.join("alma")).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let place = home.path().join("place");
    std::fs::write(&place, home.path().to_str().unwrap()).unwrap();
    for Shown { command, output } in tour {
        let folder = std::fs::read_to_string(&place).unwrap();
        let script = format!("{command}\ncode=$?; pwd > '{}'; exit $code", place.display());
        let ran = Command::new("bash")
            .args(["-c", &format!("exec 2>&1\n{script}")])
            .current_dir(folder.trim())
            .env("PATH", &path)
            .env("HOME", home.path())
            .env_remove("ALMA_HOME")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let mut printed = String::from_utf8(ran.stdout).unwrap();
        if !ran.status.success() {
            let code = ran.status.code().unwrap();
            printed = format!("{}\n(exit code {code})", printed.trim_end());
        }
        assert_eq!(without_ids(&printed), without_ids(&output), "$ {command}");
    }
}

#[test]
fn the_first_command_does_the_main_job() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let line = readme
        .lines()
        .find_map(|line| line.strip_prefix("cargo run -- "))
        .expect("the first command is a cargo run");
    let home = tempfile::tempdir().unwrap();
    let ran = Command::new("bash")
        .args(["-c", &format!("'{}' {line}", env!("CARGO_BIN_EXE_alma-counting"))])
        .current_dir(root)
        .env("ALMA_HOME", home.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let printed = String::from_utf8(ran.stdout).unwrap();
    assert!(ran.status.success(), "{printed}");
    assert!(printed.contains("done, every claim verified"), "{printed}");
}
