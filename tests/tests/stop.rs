//! `alma stop`, through the real binary: everything is interrupted within a second
//! and goes on where it was, maintenance lets what runs end, and neither loses or
//! doubles anything, whatever is killed in between.

use alma::operations::{mission_submit, plan_new};
use alma_tests::rig::Rig;
use alma_tests::shell::Shell;
use alma_tests::web::Server;
use charter::budget::Budget;
use charter::event::Event;
use charter::ids::{Principal, StepKey, TenantId, WorkerId};
use charter::ports::{Fence, LeaseChange, LedgerExt};
use serde_json::{Value, json};
use sons_of_helaman::{Draft, commit};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const MISSIONS: &str = "/api/v1/missions";
/// How long anything may take that should take a moment.
const SOON: Duration = Duration::from_secs(30);

fn shell() -> Shell {
    let shell = Shell::new(env!("CARGO_BIN_EXE_alma-counting"));
    let config = format!("[http.workspaces]\nwork = {:?}\n", shell.work().display().to_string());
    shell.put_home("config.toml", config);
    shell
}

/// A program that sleeps for so long, then a file beside it.
fn sleeping(name: &str, seconds: &str) -> Value {
    let script = format!("echo begun >> begun; sleep {seconds}; echo {name} > {name}.txt");
    let file = json!({
        "goal": format!("sleep, then write {name}"),
        "steps": [
            { "tool": "run", "title": "Sleep",
              "args": { "program": ["sh", "-c", script], "outputs": [format!("{name}.txt")] } },
            { "tool": "write", "title": "Write", "after": [1],
              "args": { "path": format!("{name}-after.txt"), "text": "after\n" } },
        ],
    });
    json!({ "file": file.to_string(), "workspace": "work", "again": true })
}

fn until(what: &str, done: impl Fn() -> bool) -> Duration {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < SOON, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
    began.elapsed()
}

/// Processes of this machine whose command line holds a text.
fn running(text: &str) -> usize {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .filter(|line| String::from_utf8_lossy(line).replace('\0', " ").contains(text))
        .count()
}

fn work(server: &Server) -> Value {
    server.get("/api/v1/mode").is(200, "")
}

fn events(server: &Server, mission: &str) -> Vec<Value> {
    let path = format!("{MISSIONS}/{mission}/events?limit=1000");
    let page = server.ask("GET", &path, &[("accept", "application/json")], b"").is(200, "");
    page["events"].as_array().unwrap().clone()
}

fn kinds(server: &Server, mission: &str) -> Vec<String> {
    let kind = |event: &Value| event["event"]["kind"].as_str().unwrap().to_owned();
    events(server, mission).iter().map(kind).collect()
}

/// Waits until the program of a mission sleeps.
fn asleep(server: &Server, seconds: &str) -> String {
    let name = format!("n{}", seconds.replace('.', "-"));
    let mission = server.submit(&sleeping(&name, seconds));
    until("the program runs", || running(&format!("sleep {seconds}")) > 0);
    mission
}

#[test]
fn a_cancelled_mission_loses_its_sleeping_child_within_a_second() {
    let shell = shell();
    let server = Server::start(shell.command(&[]));
    let mission = asleep(&server, "311.1");
    let began = Instant::now();
    server.post(&format!("{MISSIONS}/{mission}/cancel"), &json!({})).is(200, "");
    until("the child is gone", || running("sleep 311.1") == 0);
    println!("cancelled: the child was gone after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(server.ended(&mission), "cancelled");
    drop(server);
    shell.intact();
}

#[test]
fn everything_stops_within_a_second_and_goes_on_where_it_was() {
    let shell = shell();
    let server = Server::start(shell.command(&[]));
    let mission = asleep(&server, "3.11");
    let began = Instant::now();
    let said = shell.run(&["stop", "--all"]);
    said.says(0, &["everything is stopped", "alma stop --resume"]);
    until("the child is gone", || running("sleep 3.11") == 0);
    println!("stopped: the child was gone after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    until("nothing is claimed", || work(&server)["claimed"] == 0);
    assert_eq!(work(&server)["mode"], "stopped");
    // Whoever asks is told, and nothing of it is an error.
    shell.run(&["stop", "--all"]).says(0, &["everything is stopped"]);
    shell.run(&["stop", "--maintenance", "on"]).says(1, &["cannot be done now", "stop --resume"]);
    shell.run(&["stop", "--maintenance", "off"]).says(1, &["stop --resume"]);
    shell.run(&["status"]).says(0, &["everything is stopped", "1 steps"]);
    shell.run(&["doctor"]).says(0, &["everything is stopped"]);
    let ready = server.get("/ready").is(200, "");
    assert!(ready.to_string().contains("everything is stopped"), "{ready:#}");
    let shown = server.get(&format!("{MISSIONS}/{mission}")).is(200, "");
    assert!(shown["notice"].as_str().unwrap().contains("stop --resume"), "{shown:#}");
    // What is submitted is taken and waits; what follows it says so and leaves.
    shell.put("a.txt", "one two\n");
    let waits = shell.wish("count the words in a.txt");
    waits.says(3, &["waits; nothing is lost", "stop --resume"]);
    let asked = shell.run(&["ask", "count the words in a.txt again please"]);
    asked.says(asked.code, &["everything is stopped"]);
    // Neither a kill nor a restart turns the switch.
    server.kill();
    let server = Server::start(shell.command(&[]));
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(work(&server)["mode"], "stopped");
    assert_eq!((&work(&server)["claimed"], running("sleep 3.11")), (&json!(0), 0));
    shell.run(&["stop", "--resume"]).says(0, &["work goes on"]);
    let state = server.ended(&mission);
    assert!(["done", "unverified"].contains(&state.as_str()), "{state}");
    assert_eq!(std::fs::read_to_string(shell.work().join("n3-11.txt")).unwrap(), "n3-11\n");
    let happened = kinds(&server, &mission);
    let count = |kind: &str| happened.iter().filter(|one| *one == kind).count();
    assert_eq!((count("step_halted"), count("step_died"), count("step_released")), (1, 0, 0));
    // Two steps and the report, each once.
    assert_eq!(count("step_finished"), 3, "{happened:?}");
    until("the others end too", || {
        let all = server.get(MISSIONS).is(200, "");
        all["missions"].as_array().unwrap().iter().all(|line| line["state"] != "running")
    });
    drop(server);
    shell.intact();
}

#[test]
fn a_step_that_was_stopped_often_is_not_poison() {
    let shell = shell();
    let server = Server::start(shell.command(&[]));
    let mission = asleep(&server, "2.17");
    for _ in 0..4 {
        server.post("/api/v1/mode/stop", &json!({})).is(200, "");
        until("it is interrupted", || work(&server)["claimed"] == 0);
        server.post("/api/v1/mode/resume", &json!({})).is(200, "");
        until("it runs again", || running("sleep 2.17") > 0);
    }
    let state = server.ended(&mission);
    assert!(["done", "unverified"].contains(&state.as_str()), "{state}");
    let happened = kinds(&server, &mission);
    assert_eq!(happened.iter().filter(|kind| *kind == "step_halted").count(), 4);
    drop(server);
    shell.intact();
}

#[test]
fn maintenance_lets_what_runs_end_and_begins_nothing() {
    let shell = shell();
    let server = Server::start(shell.command(&[]));
    let mission = asleep(&server, "2.3");
    shell.run(&["stop", "--maintenance", "on"]).says(0, &["maintenance", "--maintenance off"]);
    let other = server.submit(&sleeping("other", "0.1"));
    until("it is drained", || work(&server)["claimed"] == 0);
    let shown = server.get(&format!("{MISSIONS}/{mission}")).is(200, "");
    let states: Vec<&str> =
        shown["steps"].as_array().unwrap().iter().map(|s| s["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["done", "ready"], "{shown:#}");
    std::thread::sleep(Duration::from_millis(2_500));
    assert!(!kinds(&server, &other).contains(&"step_claimed".to_owned()));
    assert!(!shell.work().join("n2-3-after.txt").exists());
    shell.run(&["stop", "--maintenance", "off"]).says(0, &["work goes on"]);
    for mission in [&mission, &other] {
        let state = server.ended(mission);
        assert!(["done", "unverified"].contains(&state.as_str()), "{state}");
    }
    let happened = kinds(&server, &mission);
    assert!(!happened.contains(&"step_halted".to_owned()), "{happened:?}");
    shell.run(&["stop"]).says(2, &["--resume"]);
    shell.run(&["stop", "--all", "--resume"]).says(2, &["cannot be used"]);
    drop(server);
    shell.intact();
}

/// Two workers that read the same row and claim at the same time: the record itself
/// lets one of them begin.
#[tokio::test]
async fn the_record_lets_no_step_begin_beyond_the_budget() {
    let folder = tempfile::tempdir().unwrap();
    let rig = Rig::new(folder.path(), hephaestus::Hephaestus::new());
    let (ports, tenant) = (&rig.alma.ports, TenantId::local());
    let step = json!({ "tool": "list", "title": "List", "args": { "files": "**" } });
    let file = json!({ "goal": "list", "steps": [step, step, step] }).to_string();
    let request = mission_submit::Request {
        wish: plan_new::Request {
            workspace: folder.path().canonicalize().unwrap(),
            words: None,
            file: Some(file),
            budget: Some(Budget { steps: 2, ..Budget::default() }),
            priority: None,
        },
        again: true,
        mission: None,
        once: None,
    };
    let accepted = mission_submit::run(&rig.alma, &Principal::local(), request).await.unwrap();
    let claim = async |n| {
        let step = StepKey::step(&accepted.mission, n);
        let mut draft = Draft::new(ports, &tenant, &accepted.mission);
        let worker = WorkerId::new(1, ports.entropy.as_ref());
        draft.event(Event::StepClaimed {
            step: step.clone(),
            worker,
            token: 1,
            wall_ms: 0,
            cpu_ms: 0,
        });
        let take =
            LeaseChange::Take { holder: hephaestus::process::me(), expires_at: i64::MAX, of: None };
        commit(ports, draft.transition(Some(Fence { step, token: 1 }), take)).await
    };
    claim(1).await.unwrap();
    claim(2).await.unwrap();
    let refused = claim(3).await.unwrap_err().to_string();
    assert!(refused.contains("would pass the budget of its mission: steps"), "{refused}");
    let row = ports.ledger.mission(&tenant, &accepted.mission).await.unwrap();
    assert_eq!(row.spent.steps, 2);
}

/// A mission whose list has many elements, and a budget that ends in the middle: the
/// workers of two processes take elements at the same time.
#[test]
fn a_budget_is_never_passed_by_more_than_one_step() {
    let shell = shell();
    for n in 0..40 {
        shell.put(format!("f{n:02}.txt"), "words\n");
    }
    let mut command = shell.command(&[]);
    command.env("ALMA_WORKER__CONCURRENCY", "8");
    let server = Server::start(command);
    let mut worker = shell.command(&["worker", "--concurrency", "8"]).spawn().unwrap();
    // Of each file two bytes are written.
    for (of, budget, most) in
        [("steps", 7, 7), ("steps", 12, 12), ("steps", 25, 25), ("bytes_written", 19, 9)]
    {
        let file = json!({
            "goal": "copy each file",
            "steps": [
                { "tool": "list", "title": "List", "args": { "files": "f*.txt" } },
                { "tool": "write", "title": "Write",
                  "for_each": { "items": "${1.files}", "max_items": 100 },
                  "args": { "path": format!("{of}{budget}/${{item.path}}"), "text": "x\n" } },
            ],
        });
        let body = json!({
            "file": file.to_string(), "workspace": "work", "again": true,
            "budget": { of: budget },
        });
        let mission = server.submit(&body);
        assert_eq!(server.ended(&mission), "partial");
        let events = events(&server, &mission);
        // What was looked at counts as a step; what was changed was written.
        let begins = |event: &&Value| {
            let event = &event["event"];
            event["kind"] == "effect_intended" && (of == "steps" || event["class"] != "read")
        };
        let begun: BTreeSet<&str> = events
            .iter()
            .filter(begins)
            .map(|event| event["event"]["step"].as_str().unwrap())
            .collect();
        assert!(!begun.is_empty() && begun.len() <= most, "{of} {budget}: {begun:?}");
    }
    worker.kill().unwrap();
    worker.wait().unwrap();
    drop(server);
    shell.intact();
}

/// What a step will use is not known before it ends: two processes run programs side by
/// side, and all of them together pass the budget by no more than one.
#[test]
fn time_is_kept_free_for_steps_that_run() {
    let shell = shell();
    let mut command = shell.command(&[]);
    command.env("ALMA_WORKER__CONCURRENCY", "8");
    let server = Server::start(command);
    let mut worker = shell.command(&["worker", "--concurrency", "8"]).spawn().unwrap();
    const LIMIT: u64 = 1_000;
    let spin = "i=0; while [ $i -lt 150000 ]; do i=$((i+1)); done";
    for (of, script, budget) in [("wall_ms", "sleep 0.4", 3_000), ("cpu_ms", spin, 1_500)] {
        let step = |n: u32| {
            let name = format!("{of}{n}");
            json!({ "tool": "run", "title": "Run", "limits": { of: LIMIT },
                    "args": { "program": ["sh", "-c", format!("{script}; echo > {name}")],
                              "outputs": [name] } })
        };
        let steps: Vec<Value> = (0..40).map(step).collect();
        let file = json!({ "goal": "run many programs", "steps": steps });
        let body = json!({
            "file": file.to_string(), "workspace": "work", "again": true,
            "budget": { of: budget },
        });
        let mission = server.submit(&body);
        assert_eq!(server.ended(&mission), "partial");
        let events = events(&server, &mission);
        let used = events.iter().filter_map(|event| event["event"]["usage"][of].as_u64());
        let used: Vec<u64> = used.collect();
        // On a busy machine a claim takes longer than its call may: that is not looked at.
        let within: u64 = used.iter().map(|used| (*used).min(LIMIT)).sum();
        println!("{of}: {within} of {budget} used by {} steps: {used:?}", used.len());
        assert!(within <= budget + LIMIT, "{of}: {within} of {budget} by {used:?}");
        assert!(used.iter().sum::<u64>() > budget, "{of}: it stopped early: {used:?}");
    }
    worker.kill().unwrap();
    worker.wait().unwrap();
    drop(server);
    shell.intact();
}

#[test]
fn a_stream_goes_on_without_gap_or_double_over_a_restart() {
    let shell = shell();
    shell.put("a.txt", "old\n");
    let server = Server::start(shell.command(&[]));
    let file = json!({
        "goal": "overwrite a file",
        "steps": [
            { "tool": "list", "title": "List", "args": { "files": "**" } },
            { "tool": "write", "title": "Write", "after": [1],
              "args": { "path": "a.txt", "text": "new\n" } },
        ],
    });
    let body = json!({ "file": file.to_string(), "workspace": "work", "again": true });
    let mission = server.submit(&body);
    until("it asks", || {
        server.get(&format!("{MISSIONS}/{mission}")).is(200, "")["state"] == "waiting"
    });
    let mut stream = server.stream(&mission, None);
    let mut seen: Vec<_> = (0..4).map(|_| stream.event().unwrap()).collect();
    server.kill();
    let server = Server::start(shell.command(&[]));
    let last = seen.last().unwrap().id.unwrap().to_string();
    let stream = server.stream(&mission, Some(&last));
    let asked = server.get(&format!("/api/v1/approvals?mission={mission}")).is(200, "");
    let approval = asked["approvals"][0]["approval"].as_str().unwrap().to_owned();
    server.post(&format!("/api/v1/approvals/{approval}/approve"), &json!({})).is(200, "");
    seen.extend(stream.all());
    let ids: Vec<u64> = seen.iter().map(|sent| sent.id.unwrap()).collect();
    assert_eq!(ids, (1..=ids.len() as u64).collect::<Vec<_>>());
    assert_eq!(seen.last().unwrap().kind, "mission_ended");
    drop(server);
    // The command line, page by page and without a server, tells the same.
    let mut told: Vec<Value> = Vec::new();
    loop {
        let after = told.len().to_string();
        let page = shell
            .run(&["--json", "mission", "events", &mission, "--after", &after, "--limit", "3"])
            .json();
        let page = page["events"].as_array().unwrap().clone();
        if page.is_empty() {
            break;
        }
        told.extend(page);
    }
    let streamed: Vec<&Value> = seen.iter().map(|sent| &sent.data).collect();
    assert_eq!(told.iter().collect::<Vec<_>>(), streamed);
    // One trace, a span for each step, and one for what is about no step.
    let field = |name: &str| -> BTreeSet<&str> {
        told.iter().map(|event| event[name].as_str().unwrap()).collect()
    };
    assert_eq!(field("trace_id").len(), 1);
    assert_eq!(field("span_id").len(), 4);
    assert_eq!(field("tenant_id").into_iter().collect::<Vec<_>>(), ["local"]);
    assert!(told.iter().all(|event| event["schema_version"] == 1));
    shell.intact();
}
