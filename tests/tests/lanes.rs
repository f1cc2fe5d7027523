//! Lanes, priorities, tenants and a queue that is away, through the real binary: what
//! is slow, heavy or dead holds up nothing else, and says so.

use alma::operations::{mission_submit, plan_new};
use alma_tests::rig::{Rig, fixture};
use alma_tests::shell::Shell;
use alma_tests::web::Server;
use charter::flow::{Lane, Priority};
use charter::ids::{Principal, StepKey, TenantId};
use charter::ports::{LedgerExt, Query, Ring, Rows};
use charter::rows::StepState;
use redis::Redis;
use serde_json::{Value, json};
use sons_of_helaman::lease::LeaseThread;
use sons_of_helaman::{Crew, Settings, Worked};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[allow(dead_code)]
#[path = "../../queue/tests/common/redis.rs"]
mod redis;

/// How long anything may take that should take some seconds.
const SOON: Duration = Duration::from_secs(60);

fn shell(config: &str) -> Shell {
    let shell = Shell::new(env!("CARGO_BIN_EXE_alma-counting"));
    let work = shell.work().display().to_string();
    shell.put_home("config.toml", format!("{config}\n[http.workspaces]\nwork = {work:?}\n"));
    shell.put("a.txt", "one two three\n");
    shell
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < SOON, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A mission of one step that writes a file, and what it is called.
fn writing(name: &str) -> Value {
    let file = json!({
        "goal": format!("write {name}"),
        "steps": [{ "tool": "write", "title": "Write",
            "args": { "path": format!("{name}.txt"), "text": "done\n" } }],
    });
    json!({ "file": file.to_string(), "workspace": "work", "again": true })
}

/// A mission of one step that runs a program.
fn sleeping(name: &str, seconds: &str) -> Value {
    let script = format!("sleep {seconds}; echo {name} > {name}.txt");
    let file = json!({
        "goal": format!("sleep for {name}"),
        "steps": [{ "tool": "run", "title": "Sleep",
            "args": { "program": ["sh", "-c", script], "outputs": [format!("{name}.txt")] } }],
    });
    json!({ "file": file.to_string(), "workspace": "work", "again": true })
}

/// What `/ready` says works less well than it should.
fn degraded(server: &Server) -> Vec<String> {
    let ready = server.get("/ready").is(200, "");
    let parts = ready["degraded"].as_array().unwrap().iter();
    parts.map(|part| part["what"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_run_without_its_redis_ends_and_says_so_in_one_line() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let shell = shell(&format!("[queue]\nurl = \"redis://127.0.0.1:{nobody}\""));
    let ran = shell.wish("count the words in a.txt");
    ran.says(
        0,
        &["the queue is away", "steps are taken from the record", "see that the server runs"],
    );
    let lines = ran.err.lines().filter(|line| line.contains("the queue is away")).count();
    assert_eq!(lines, 1, "{ran:#?}");
    shell.intact();
}

#[test]
fn a_redis_that_dies_and_comes_back_empty_loses_nothing_and_is_told_of() {
    let mut server_of_queue = Redis::start();
    let shell = shell(&format!("[queue]\nurl = \"{}\"", server_of_queue.address()));
    let server = Server::start(shell.command(&[]));
    assert_eq!(server.ended(&server.submit(&writing("before"))), "done");
    assert!(degraded(&server).is_empty());
    let metrics = server.get("/metrics").body;
    for line in [
        "alma_circuit{server=\"queue\"} 0",
        "alma_relay_lag_ms 0",
        "alma_lane_busy{lane=\"light\"}",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    server_of_queue.kill();
    let missions: Vec<String> =
        (0..5).map(|n| server.submit(&writing(&format!("dead{n}")))).collect();
    for mission in &missions {
        assert_eq!(server.ended(mission), "done");
    }
    assert_eq!(degraded(&server), ["the queue is away"]);
    let metrics = server.get("/metrics").body;
    assert!(!metrics.contains("alma_circuit{server=\"queue\"} 0"), "{metrics}");
    server_of_queue.again();
    until("the queue is back", || degraded(&server).is_empty());
    server_of_queue.freeze();
    assert_eq!(server.ended(&server.submit(&writing("frozen"))), "done");
    server_of_queue.thaw();
    until("the queue is back", || degraded(&server).is_empty());
    assert_eq!(server.ended(&server.submit(&writing("after"))), "done");
    drop(server);
    shell.intact();
}

#[test]
fn programs_that_take_long_hold_up_no_light_step() {
    let shell = shell("[worker]\nconcurrency = 1\nexec = 1");
    let server = Server::start(shell.command(&[]));
    let slow: Vec<String> =
        (0..3).map(|n| server.submit(&sleeping(&format!("slow{n}"), "2"))).collect();
    for n in 0..5 {
        assert_eq!(server.ended(&server.submit(&writing(&format!("quick{n}")))), "done");
    }
    let state = |mission: &String| {
        server.get(&format!("/api/v1/missions/{mission}")).is(200, "")["state"].clone()
    };
    assert!(slow.iter().any(|mission| state(mission) == "running"), "they took no time");
    for mission in &slow {
        assert_eq!(server.ended(mission), "done");
    }
    drop(server);
    shell.intact();
}

#[test]
fn programs_wait_for_free_memory_and_the_rest_goes_on() {
    let shell = shell("[worker]\nmemory_floor_mb = 1000000000");
    let server = Server::start(shell.command(&[]));
    let program = server.submit(&sleeping("program", "0"));
    until("it is told", || degraded(&server) == ["memory is short"]);
    assert_eq!(server.ended(&server.submit(&writing("light"))), "done");
    let shown = server.get(&format!("/api/v1/missions/{program}")).is(200, "");
    assert_eq!(shown["steps"][0]["state"], "ready", "{shown:#}");
    drop(server);
    shell.intact();
}

#[test]
fn a_mission_has_the_priority_that_it_was_given() {
    let shell = shell("");
    let shown = |out: Value| {
        let id = out["mission"].as_str().unwrap().to_owned();
        shell.run(&["--json", "mission", "show", &id]).json()["priority"].clone()
    };
    let words = "count the words in a.txt";
    let submit = |more: &[&str]| {
        let asked = [&["--json", "mission", "submit", "--again"], more].concat();
        shown(shell.run(&asked).json())
    };
    assert_eq!(submit(&[words]), "normal");
    assert_eq!(submit(&["--priority", "high", words]), "high");
    let file = shell.beside("mission.yaml");
    let mission = "goal: list\npriority: low\nsteps:\n  - tool: list\n    args: {files: \"*\"}\n";
    std::fs::write(&file, mission).unwrap();
    assert_eq!(submit(&["--file", &file.to_string_lossy()]), "low");
    assert_eq!(submit(&["--priority", "normal", "--file", &file.to_string_lossy()]), "normal");
    shell
        .run(&["mission", "submit", "--priority", "urgent", words])
        .says(2, &["low, normal or high"]);
    let server = Server::start(shell.command(&[]));
    let mut body = writing("urgent");
    body["priority"] = json!("high");
    let mission = server.submit(&body);
    let shown = server.get(&format!("/api/v1/missions/{mission}")).is(200, "");
    assert_eq!(shown["priority"], "high");
    body["priority"] = json!("urgent");
    server.post("/api/v1/missions", &body).is(422, "invalid_request");
}

/// A rig, a crew on its ledger, and a mission of another tenant.
async fn with_another_tenant(rig: &Rig, folder: PathBuf) -> (Crew, TenantId, Vec<StepKey>) {
    let ports = rig.alma.ports.clone();
    let tenant = TenantId("other".to_owned());
    let principal = Principal { tenant: tenant.clone(), subject: "somebody".to_owned() };
    let request = mission_submit::Request {
        wish: plan_new::Request {
            workspace: folder.canonicalize().unwrap(),
            words: Some("list all files".to_owned()),
            file: None,
            budget: None,
            priority: Some(Priority::High),
        },
        again: true,
        mission: None,
        once: None,
    };
    mission_submit::run(&rig.alma, &principal, request).await.unwrap();
    let keeper = LeaseThread::start(Arc::clone(&ports.ledger), Arc::clone(&ports.clock)).unwrap();
    let settings = Settings {
        tenant: TenantId::local(),
        process: hephaestus::process::me(),
        home: PathBuf::from("/nonexistent/alma"),
        policy: policy::Settings::default(),
    };
    let query = Query::Outbox { now: ports.clock.now(), limit: 9 };
    let Rows::Outbox(rows) = ports.ledger.query(&TenantId::local(), query).await.unwrap() else {
        panic!("another answer")
    };
    assert!(rows.iter().all(|row| row.tenant == tenant && row.priority == Priority::High));
    let steps = rows.into_iter().map(|row| row.step).collect();
    (Crew::new(ports, settings, Arc::new(keeper)), tenant, steps)
}

#[tokio::test]
async fn a_ring_is_for_the_tenant_whose_step_it_is() {
    let folder = fixture("household");
    let rig = Rig::new(folder.path(), hephaestus::Hephaestus::new());
    let (crew, other, steps) = with_another_tenant(&rig, folder.path().to_owned()).await;
    let ring = |tenant: &TenantId| Ring {
        tenant: tenant.clone(),
        step: steps[0].clone(),
        lane: Lane::Light,
        rank: 0,
    };
    assert_eq!(crew.work(&ring(&TenantId::local())).await.unwrap(), Worked::Ignored);
    let ledger = &rig.alma.ports.ledger;
    assert_eq!(ledger.step(&other, &steps[0]).await.unwrap().state, StepState::Ready);
    assert_eq!(crew.work(&ring(&other)).await.unwrap(), Worked::Advanced);
    assert_eq!(ledger.step(&other, &steps[0]).await.unwrap().state, StepState::Done);
}
