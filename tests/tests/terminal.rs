//! Stories in a real terminal (tmux). Skipped only under ALMA_TESTS_QUICK.

use alma_tests::counting::{Kind, acts};
use alma_tests::terminal::Terminal;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use surfaces::bench::child::{Stage, Worker};
use surfaces::bench::measure::Seed;
use surfaces::bench::record::Phase;

/// How long a screen may take to show something.
const SOON: Duration = Duration::from_secs(30);
/// Runs that are killed to find one that died at the right moment.
const TRIES: u32 = 300;

fn stage() -> Stage {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_alma-counting"));
    Stage::new(program, Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap()
}

/// A mission whose process died in this phase of the act of a tool that can
/// neither refuse a key nor be asked. Gives its file and the name of its act.
fn interrupted(stage: &Stage, phase: Phase) -> (PathBuf, String) {
    let mut seed = Seed::new(7);
    for number in 1..=TRIES {
        let name = format!("{}-{number}", phase.as_str());
        let tool = Kind::Neither.name();
        let mission = json!({
            "goal": format!("count {name}"),
            "steps": [{ "tool": tool, "title": "Count once", "args": { "name": name } }],
        });
        let file = stage.mission_file(&name, &mission).unwrap();
        let path = file.to_string_lossy();
        let mut command = stage.command(&["mission", "run", "--json", "--file", &path]);
        let mut process = Worker::start(&mut command).unwrap();
        if phase == Phase::Acted {
            let began = Instant::now();
            while acts(stage.workspace(), &name).is_empty() && began.elapsed() < SOON {
                std::thread::sleep(Duration::from_millis(1));
            }
        } else {
            std::thread::sleep(Duration::from_millis(20 + seed.below(300)));
        }
        process.kill().unwrap();
        let (since, until) = process.started();
        let list = stage.json(&["mission", "list", "--limit", "1"]).unwrap();
        let Some(id) = list["missions"][0]["mission"].as_str() else { continue };
        let record = stage.record(&id.parse().unwrap()).unwrap();
        let happened = !acts(stage.workspace(), &name).is_empty();
        if record.phase(since, until, &|_, _| happened) == Some(phase) && record.ended().is_none() {
            return (file, name);
        }
    }
    panic!("none of {TRIES} kills hit the phase {}", phase.as_str());
}

/// The same command again, in a terminal, where a person answers.
fn answered(phase: Phase, key: &str) {
    if Terminal::is_missing() {
        return;
    }
    let stage = stage();
    let (file, name) = interrupted(&stage, phase);
    let before = acts(stage.workspace(), &name).len();
    let program = env!("CARGO_BIN_EXE_alma-counting");
    let command = format!(
        "cd '{}' && ALMA_HOME='{}' '{program}' mission run --file '{}'",
        stage.workspace().display(),
        stage.home().display(),
        file.display()
    );
    let terminal = Terminal::open(key, &command);
    let screen = terminal.until("did it happen? [y]es / [n]o / [l]ater:");
    assert!(screen.contains("resuming m-"), "{screen}");
    assert!(screen.contains(&format!("Did this happen: count {name}?")), "{screen}");
    assert!(!screen.contains("exit="), "{screen}");
    assert_eq!(acts(stage.workspace(), &name).len(), before, "it acted before it was answered");
    terminal.enter("what?");
    terminal.until("please answer with one of the letters");
    terminal.enter(key);
    let screen = terminal.until("exit=");
    // 4: done, and nothing in the product proves what a counting tool claims.
    assert!(screen.contains("exit=4"), "{screen}");
    assert_eq!(acts(stage.workspace(), &name).len(), 1, "{screen}");
}

#[test]
fn an_act_in_doubt_that_happened_is_not_done_again() {
    answered(Phase::Acted, "y");
}

#[test]
fn an_act_in_doubt_that_did_not_happen_is_done_once() {
    answered(Phase::Permitted, "n");
}
