//! The dead-letter desk, through the real binary: a dead step gets other inputs and
//! runs alone, many are moved at once, what nobody looks after is discarded.

use alma::operations::{mission_submit, plan_new};
use alma_tests::rig::Rig;
use alma_tests::shell::Shell;
use alma_tests::web::Server;
use charter::event::Event;
use charter::ids::{Principal, TenantId};
use charter::ports::{LedgerExt, Query, Rows};
use serde_json::{Value, json};
use sons_of_helaman::reconcile::{RETENTION, discard_old};
use std::time::{Duration, Instant};

fn shell() -> Shell {
    let shell = Shell::new(env!("CARGO_BIN_EXE_alma-counting"));
    shell.put("good.csv", "name,euros\noven,900\nsink,120\n");
    shell
}

fn run(shell: &Shell, name: &str, mission: &Value) -> Value {
    shell.put(name, mission.to_string());
    shell.run(&["--json", "mission", "run", "--again", "--file", name]).json()
}

/// A mission whose second step dies: it reads what is not there. The third waits for
/// it, the fourth does not.
fn dying(goal: &str) -> Value {
    json!({
        "goal": goal,
        "steps": [
            { "tool": "list", "title": "List", "args": { "files": "*.csv" } },
            { "tool": "count", "title": "Count", "args": { "files": "nowhere/at-all.csv" } },
            { "tool": "write", "title": "Write", "after": [2],
              "args": { "path": format!("{goal}.txt"), "text": "after the count\n" } },
            { "tool": "write", "title": "Write too",
              "args": { "path": format!("{goal}-too.txt"), "text": "beside it\n" } },
        ],
    })
}

fn kinds(shell: &Shell, mission: &str) -> Vec<(String, String)> {
    let events = shell.run(&["--json", "mission", "events", mission, "--limit", "1000"]).json();
    events["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| {
            let of = |field: &str| event["event"][field].as_str().unwrap_or_default().to_owned();
            (of("kind"), of("step"))
        })
        .collect()
}

#[test]
fn a_dead_step_gets_other_inputs_and_runs_with_what_depends_on_it_alone() {
    let shell = shell();
    let failed = run(&shell, "m.yaml", &dying("edit"));
    assert_eq!(failed["state"], "failed", "{failed:#}");
    let mission = failed["mission"].as_str().unwrap().to_owned();
    let step = format!("{mission}/2");
    let desk = shell.run(&["--json", "dead-letters", "list"]).json();
    let letter = &desk["dead_letters"][0];
    assert_eq!(letter["step"], json!(step), "{desk:#}");
    assert_eq!(
        (&letter["tool"], &letter["args"]["files"]),
        (&json!("count"), &json!("nowhere/at-all.csv"))
    );
    assert!(letter["error"]["error"]["message"].is_string() && letter["usage"].is_object());
    shell.run(&["dead-letters", "list", "--cause", "poison"]).says(1, &["no step is dead"]);
    shell.run(&["dead-letters", "list", "--tool", "count"]).says(0, &[&step, "nowhere/at-all.csv"]);

    // What cannot be is said, and changes nothing.
    let edit = |args: &[&str]| {
        let all: Vec<&str> = ["dead-letters", "edit", &step].iter().chain(args).copied().collect();
        shell.run(&all)
    };
    edit(&[]).says(2, &["these are the inputs that", "requeue"]);
    edit(&["--arg", "colour=blue"]).says(2, &["do not fit", "colour"]);
    edit(&["--arg", "files.0.x=1"]).says(2, &["no place"]);
    edit(&["--args", "[]"]).says(2, &["no JSON object"]);
    let report = format!("{mission}/1");
    shell.run(&["dead-letters", "edit", &report, "--arg", "files=x"]).says(1, &["not found"]);

    let again =
        shell.run(&["--json", "dead-letters", "edit", &step, "--arg", "files=good.csv"]).json();
    assert!(["done", "unverified"].contains(&again["state"].as_str().unwrap()), "{again:#}");
    assert_eq!(again["mission"], json!(mission));
    assert_eq!(
        std::fs::read_to_string(shell.work().join("edit.txt")).unwrap(),
        "after the count\n"
    );
    let happened = kinds(&shell, &mission);
    let finished = |n: u32| {
        let key = ("step_finished".to_owned(), format!("{mission}/{n}"));
        happened.iter().filter(|one| **one == key).count()
    };
    assert_eq!([finished(1), finished(2), finished(3), finished(4)], [1, 1, 1, 1]);
    assert_eq!(happened.iter().filter(|(kind, _)| kind == "mission_replanned").count(), 1);
    let plan = shell.run(&["--json", "plan", "show", &mission]).json();
    assert_eq!(plan["plan"]["source"]["from"], "child", "{plan:#}");
    assert_eq!(plan["plan"]["source"]["parent"], failed["digest"]);
    shell.run(&["dead-letters", "list"]).says(1, &["no step is dead"]);
    shell.intact();
}

#[test]
fn many_are_counted_first_and_moved_after_a_yes() {
    let shell = shell();
    for name in ["one", "two", "three"] {
        assert_eq!(run(&shell, "m.yaml", &dying(name))["state"], "failed");
    }
    let counted = shell.run(&["dead-letters", "requeue", "--all", "--cause", "permanent"]);
    counted.says(3, &["requeue 3 dead steps (3 permanent)", "--yes"]);
    let none = ["dead-letters", "discard", "--all", "--tool", "write", "--yes"];
    shell.run(&none).says(1, &["no dead step fits"]);
    shell
        .run(&["dead-letters", "discard", "--yes", "m-0000000000000000/1"])
        .says(2, &["cannot be used with"]);
    // They die again once somebody works on them; the record says that they went round.
    let moved = shell.run(&["--json", "dead-letters", "requeue", "--all", "--yes"]);
    moved.says(0, &[]);
    assert_eq!(moved.json()["steps"].as_array().unwrap().len(), 3);
    let server = Server::start(shell.command(&[]));
    let began = Instant::now();
    let list = || server.get("/api/v1/dead-letters?tool=count").is(200, "");
    while list()["dead_letters"].as_array().unwrap().len() < 3 {
        assert!(began.elapsed() < Duration::from_secs(30), "{:#}", list());
        std::thread::sleep(Duration::from_millis(20));
    }
    let place = "/api/v1/dead-letters/discard";
    let told = server.post(place, &json!({ "dry_run": true })).is(200, "");
    assert_eq!((&told["count"], &told["steps"]), (&json!(3), &json!([])));
    server.post(place, &json!({ "expect": 7 })).is(409, "conflict");
    server.post(place, &json!({ "cause": "nonsense" })).is(422, "invalid_request");
    let told = server.post(place, &json!({ "expect": 3 })).is(200, "");
    assert_eq!(told["steps"].as_array().unwrap().len(), 3);
    assert_eq!(list()["dead_letters"], json!([]));
    drop(server);
    shell.intact();
}

#[test]
fn a_dead_step_is_edited_over_http_and_asks_for_the_rest_only() {
    let shell = shell();
    shell.put("a.txt", "old\n");
    let config = format!("[http.workspaces]\nwork = {:?}\n", shell.work().display().to_string());
    shell.put_home("config.toml", config);
    let server = Server::start(shell.command(&[]));
    let file = json!({
        "goal": "overwrite and move",
        "steps": [
            { "tool": "write", "title": "Write", "args": { "path": "a.txt", "text": "new\n" } },
            { "tool": "move", "title": "Move", "after": [1],
              "args": { "from": "gone.txt", "to": "b.txt" } },
        ],
    });
    let mission = server.submit(&json!({ "file": file.to_string(), "workspace": "work" }));
    let began = Instant::now();
    let asked = || server.get(&format!("/api/v1/approvals?mission={mission}")).is(200, "");
    while asked()["approvals"].as_array().unwrap().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(10));
    }
    let approval = asked()["approvals"][0]["approval"].as_str().unwrap().to_owned();
    server.post(&format!("/api/v1/approvals/{approval}/approve"), &json!({})).is(200, "");
    assert_eq!(server.ended(&mission), "failed");
    let place = format!("/api/v1/dead-letters/{mission}/2/edit");
    server.post(&place, &json!({ "set": [{ "path": "from" }] })).is(422, "invalid_request");
    let body = json!({ "set": [{ "path": "from", "value": "good.csv" }] });
    let edited = server.post(&place, &body).is(200, "");
    assert_eq!(edited["kept"], json!([1]), "{edited:#}");
    let state = server.ended(&mission);
    assert!(["done", "unverified"].contains(&state.as_str()), "{state}");
    assert!(shell.work().join("b.txt").exists());
    // The first step was not asked about again.
    let all = server.get(&format!("/api/v1/approvals?mission={mission}&all=true")).is(200, "");
    assert_eq!(all["approvals"].as_array().unwrap().len(), 1, "{all:#}");
    server.post(&place, &body).is(404, "not_found");
    drop(server);
    shell.intact();
}

#[tokio::test]
async fn what_nobody_looked_after_is_discarded_on_the_record() {
    let folder = tempfile::tempdir().unwrap();
    let rig = Rig::new(folder.path(), hephaestus::Hephaestus::new());
    let (ports, tenant) = (&rig.alma.ports, TenantId::local());
    let request = mission_submit::Request {
        wish: plan_new::Request {
            workspace: folder.path().canonicalize().unwrap(),
            words: None,
            file: Some(dying("old").to_string()),
            budget: None,
            priority: None,
        },
        again: true,
        mission: None,
        once: None,
    };
    let accepted = mission_submit::run(&rig.alma, &Principal::local(), request).await.unwrap();
    rig.work().await;
    let dead =
        || async { ports.ledger.steps(&tenant, Query::DeadSteps { limit: 9 }).await.unwrap() };
    assert_eq!(dead().await.len(), 1);
    let changed = ports.ledger.mission(&tenant, &accepted.mission).await.unwrap().updated_at;
    assert_eq!(discard_old(ports, &tenant, changed).await, Ok(0));
    assert_eq!(dead().await.len(), 1);
    assert_eq!(discard_old(ports, &tenant, changed + 1).await, Ok(1));
    assert_eq!(dead().await.len(), 0);
    let query = Query::Happened { after: 0, kinds: vec!["step_discarded".to_owned()], limit: 10 };
    let Rows::Events(events) = ports.ledger.query(&tenant, query).await.unwrap() else {
        panic!("events were asked for")
    };
    assert!(
        matches!(&events[0].event, Event::StepDiscarded { by, .. } if by == RETENTION),
        "{events:?}"
    );
    let shell = shell();
    shell
        .run(&["--set", "dead_letters.keep_days=36501", "config", "check"])
        .says(2, &["keep_days", "36500"]);
}
