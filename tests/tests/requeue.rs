//! A step on the dead-letter desk that is sent round again looks around afresh and
//! asks again; what it has done already it does not do again, it is checked again.

use alma_tests::rig::fixture;
use charter::effect::EffectClass;
use charter::event::Event;
use serde_json::json;
use std::path::{Path, PathBuf};
use surfaces::bench::child::Stage;

#[test]
fn a_denied_step_that_is_requeued_asks_again() {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_alma-counting"));
    let stage = Stage::new(program, Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    let folder = fixture("household");
    let mission = json!({
        "goal": "delete a file",
        "steps": [{ "tool": "delete", "args": { "path": "expenses.csv" } }],
    });
    let file = stage.mission_file("delete", &mission).unwrap();
    let (file, workspace) = (file.to_string_lossy(), folder.path().to_string_lossy());
    let run = ["mission", "run", "--file", &file, "--workspace", &workspace];
    let first = stage.json(&run).unwrap();
    let approval = first["approvals"][0]["approval"].as_str().unwrap().to_owned();
    assert_eq!(stage.json(&["deny", &approval]).unwrap()["state"], "refused");

    let step = format!("{}/1", first["mission"].as_str().unwrap());
    let again = stage.json(&["dead-letters", "requeue", &step]).unwrap();
    assert_eq!(again["state"], "waiting");
    let second = again["approvals"][0]["approval"].as_str().unwrap();
    assert_ne!(second, approval);
    assert!(folder.path().join("expenses.csv").exists());
    assert_eq!(stage.json(&["approve", second]).unwrap()["state"], "done");
    assert!(!folder.path().join("expenses.csv").exists());
}

#[test]
fn what_was_done_is_checked_again_and_not_done_again() {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_alma-counting"));
    let stage = Stage::new(program, Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    let folder = fixture("household");
    let mission = json!({
        "goal": "make a report",
        "steps": [{
            "tool": "run",
            "args": { "program": ["sh", "-c", "echo made"], "outputs": ["report.txt"] },
        }],
    });
    let file = stage.mission_file("report", &mission).unwrap();
    let (file, workspace) = (file.to_string_lossy(), folder.path().to_string_lossy());
    let run = ["mission", "run", "--file", &file, "--workspace", &workspace];
    let first = stage.json(&run).unwrap();
    assert_eq!(first["state"], "failed", "{first:#}");
    let id = first["mission"].as_str().unwrap();
    let step = format!("{id}/1");
    let acts = || {
        let record = stage.record(&id.parse().unwrap()).unwrap();
        let is_act = |event: &&Event| {
            matches!(event, Event::EffectIntended { class: EffectClass::Exec, .. })
        };
        record.events().filter(is_act).count()
    };
    // Nothing is there still: the check fails once more.
    let again = stage.json(&["dead-letters", "requeue", &step]).unwrap();
    assert_eq!(again["state"], "failed", "{again:#}");
    assert!(again.to_string().contains("run-outputs"), "{again:#}");
    assert_eq!(acts(), 1);
    std::fs::write(folder.path().join("report.txt"), "by hand").unwrap();
    let last = stage.json(&["dead-letters", "requeue", &step]).unwrap();
    // That the program made it is not proven.
    assert_eq!(last["state"], "unverified", "{last:#}");
    assert_eq!(acts(), 1);
    assert_eq!(stage.json(&["dead-letters", "list"]).unwrap()["dead_letters"], json!([]));
}
