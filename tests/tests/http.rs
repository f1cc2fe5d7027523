//! The HTTP interface of the real binary: who may ask, what becomes of bad
//! requests, missions that are accepted once and survive a kill, event streams.

use alma_tests::shell::Shell;
use alma_tests::web::{Sent, Server};
use serde_json::{Value, json};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

const MISSIONS: &str = "/api/v1/missions";

fn shell() -> Shell {
    let shell = Shell::new(env!("CARGO_BIN_EXE_alma-counting"));
    shell.put("a.txt", "one\n");
    shell.put("b.txt", "two words\n");
    let config = format!("[http.workspaces]\nwork = {:?}\n", shell.work().display().to_string());
    shell.put_home("config.toml", config);
    shell
}

fn start(shell: &Shell) -> Server {
    Server::start(shell.command(&[]))
}

/// A mission of one step that takes hardly any time.
fn wish() -> Value {
    let file = json!({
        "goal": "list the folder",
        "steps": [{ "tool": "list", "title": "List", "args": { "files": "**" } }],
    });
    json!({ "file": file.to_string(), "workspace": "work", "again": true })
}

#[test]
fn who_has_no_key_or_another_host_is_told_so() {
    let shell = shell();
    let server = start(&shell);
    let ask = |headers: &[(&str, &str)]| server.ask("GET", MISSIONS, headers, b"");
    ask(&[]).is(200, "");
    ask(&[("x-api-key", "wrong")]).is(401, "unauthorized");
    ask(&[("x-api-key", "")]).is(401, "unauthorized");
    let bearer = format!("Bearer {}", server.key);
    ask(&[("x-api-key", &server.key[1..])]).is(401, "unauthorized");
    let without = format!("GET {MISSIONS} HTTP/1.1\r\nhost: localhost\r\n");
    server.raw(format!("{without}\r\n").as_bytes()).is(401, "unauthorized");
    server.raw(format!("{without}authorization: {bearer}\r\n\r\n").as_bytes()).is(200, "");
    ask(&[("host", "evil.example")]).is(403, "host_not_allowed");
    ask(&[("origin", "http://evil.example")]).is(403, "origin_not_allowed");
    ask(&[("origin", "null")]).is(403, "origin_not_allowed");
    let own = format!("http://{}", server.address);
    ask(&[("origin", &own)]).is(200, "");
    for open in ["/health", "/ready", "/openapi.json", "/docs"] {
        let answer =
            server.raw(format!("GET {open} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes());
        assert!([200, 503].contains(&answer.status), "{answer:#?}");
        let evil = format!("GET {open} HTTP/1.1\r\nhost: evil.example\r\n\r\n");
        server.raw(evil.as_bytes()).is(403, "host_not_allowed");
    }
    for guarded in ["/metrics", "/nothing"] {
        let bare = format!("GET {guarded} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        server.raw(bare.as_bytes()).is(401, "unauthorized");
    }
    let mode = std::fs::metadata(shell.home().join("api.key")).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
}

#[test]
fn bad_requests_are_problems_and_leave_nothing_behind() {
    let shell = shell();
    let server = start(&shell);
    let post =
        |media: &str, body: &[u8]| server.ask("POST", MISSIONS, &[("content-type", media)], body);
    let json = "application/json";
    post(json, b"{\"words\": ").is(400, "malformed_request");
    post(json, b"\xff\xfe\x00binary").is(400, "malformed_request");
    post(json, b"").is(400, "malformed_request");
    post(json, b"[]").is(422, "invalid_request");
    post(json, b"{\"words\": 5}").is(422, "invalid_request");
    post(json, b"{\"wrods\": \"x\"}").is(422, "invalid_request");
    post(json, b"{}").is(422, "invalid_request");
    post("text/plain", b"{}").is(415, "unsupported_media_type");
    post(json, b"{\"words\": \"x\", \"workspace\": \"../etc\"}").is(422, "invalid_request");
    post(json, "{\"words\": \"\u{202e}😀 \\u0000 conjure a unicorn\"}".as_bytes())
        .is(422, "refused");
    post(json, &vec![b'x'; (4 << 20) + 1]).is(413, "body_too_large");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    post(json, deep.as_bytes()).is(400, "malformed_request");
    server.get("/api/v1/nothing").is(404, "not_found");
    server.get("/api/v1/missions/m-0123456789abcdef").is(404, "not_found");
    server.get("/api/v1/missions/../../etc/passwd").is(404, "not_found");
    server.get("/api/v1/missions/%ff").is(400, "malformed_request");
    server.get("/api/v1/missions/x").is(422, "invalid_request");
    server.get("/api/v1/missions?limit=0").is(422, "invalid_request");
    server.get("/api/v1/missions?q=1").is(422, "invalid_request");
    server.get("/api/v1/tools/%0A--help").is(404, "not_found");
    let answer = server.ask("DELETE", MISSIONS, &[], b"");
    answer.is(405, "method_not_allowed");
    let mut allowed: Vec<&str> =
        answer.header("allow").unwrap().split(',').map(str::trim).collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
    assert_eq!(server.get(MISSIONS).is(200, "")["missions"], serde_json::json!([]));
    let left: Vec<_> = std::fs::read_dir(shell.home().join("workspaces"))
        .map(|entries| entries.map(|entry| entry.unwrap().file_name()).collect())
        .unwrap_or_default();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_submit_under_a_key_is_accepted_once() {
    let shell = shell();
    let server = Arc::new(start(&shell));
    // Without a workspace: every try makes a folder, one is kept.
    let file = json!({
        "goal": "list the folder",
        "steps": [{ "tool": "list", "title": "List", "args": { "files": "**" } }],
    });
    let body = json!({ "file": file.to_string() });
    let key = [("idempotency-key", "k-1")];
    let together = Arc::new(Barrier::new(8));
    let tries: Vec<_> = (0..8)
        .map(|_| {
            let (server, body, together) =
                (Arc::clone(&server), body.clone(), Arc::clone(&together));
            std::thread::spawn(move || {
                together.wait();
                server.post_with(MISSIONS, &[("idempotency-key", "k-1")], &body).is(201, "")
            })
        })
        .collect();
    let answers: Vec<Value> = tries.into_iter().map(|tried| tried.join().unwrap()).collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    let mission = answers[0]["mission"].as_str().unwrap();
    assert_eq!(server.ended(mission), "done");
    let again = server.post_with(MISSIONS, &key, &body);
    assert_eq!(again.is(201, ""), answers[0]);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let other = json!({ "file": file.to_string(), "again": true });
    server.post_with(MISSIONS, &key, &other).is(422, "idempotency_key_reused");
    server.post_with(MISSIONS, &[("idempotency-key", "a b")], &body).is(422, "invalid_request");
    assert_eq!(server.get(MISSIONS).is(200, "")["missions"].as_array().unwrap().len(), 1);
    let folders = std::fs::read_dir(shell.home().join("workspaces")).unwrap().count();
    assert_eq!(folders, 1);
    // Also after a crash.
    Arc::into_inner(server).unwrap().kill();
    let server = start(&shell);
    assert_eq!(server.post_with(MISSIONS, &key, &body).is(201, ""), answers[0]);
    server.post_with(MISSIONS, &key, &other).is(422, "idempotency_key_reused");
    drop(server);
    shell.intact();
}

#[test]
fn a_mission_is_planned_run_and_reported() {
    let shell = shell();
    let server = start(&shell);
    let planned =
        server.post("/api/v1/plans", &json!({ "words": "list the files", "workspace": "work" }));
    assert!(planned.is(200, "")["text"].as_str().unwrap().contains("list"));
    let mission = server.submit(&wish());
    assert_eq!(server.ended(&mission), "done");
    let at = |rest: &str| server.get(&format!("{MISSIONS}/{mission}{rest}")).is(200, "");
    assert_eq!(at("/report")["report"]["mission"], json!(mission));
    assert!(at("/effects")["effects"].is_array());
    server.get(&format!("/api/v1/plans/{mission}")).is(200, "");
    let same = server.get(&format!("/api/v1/plans/{mission}/diff/{mission}")).is(200, "");
    assert_eq!(same["same"], true);
    server.post(&format!("{MISSIONS}/{mission}/cancel"), &json!({})).is(409, "conflict");
    let one = server.get(&format!("{MISSIONS}?state=done&skip=0&limit=1")).is(200, "");
    assert_eq!(one["missions"][0]["mission"], json!(mission));
    let none = server.get(&format!("{MISSIONS}?skip=1")).is(200, "");
    assert_eq!(none["missions"], json!([]));
    for path in [
        "tools",
        "tools/list",
        "playbooks",
        "config",
        "doctor",
        "audit",
        "approvals",
        "dead-letters",
    ] {
        server.get(&format!("/api/v1/{path}")).is(200, "");
    }
    assert_eq!(server.get("/ready").is(200, "")["ready"], true);
    let metrics = server.get("/metrics").body;
    assert!(metrics.contains("alma_missions{state=\"done\"} 1"), "{metrics}");
}

#[test]
fn an_approval_is_answered_over_http() {
    let shell = shell();
    let server = start(&shell);
    let file = json!({
        "goal": "overwrite a file",
        "steps": [{ "tool": "write", "title": "Write", "args": { "path": "a.txt", "text": "new\n" } }],
    });
    let body = json!({ "file": file.to_string(), "workspace": "work" });
    let mission = server.submit(&body);
    let began = Instant::now();
    let approval = loop {
        let list = server.get(&format!("/api/v1/approvals?mission={mission}")).is(200, "");
        if let Some(approval) = list["approvals"][0]["approval"].as_str() {
            break approval.to_owned();
        }
        assert!(began.elapsed() < Duration::from_secs(20), "nothing was asked");
        std::thread::sleep(Duration::from_millis(10));
    };
    let place = format!("/api/v1/approvals/{approval}");
    assert!(server.get(&place).is(200, "")["card"]["effects"].is_array());
    let wrong = json!({ "digest": "0".repeat(64) });
    server.post(&format!("{place}/approve"), &wrong).is(409, "conflict");
    assert_eq!(std::fs::read_to_string(shell.work().join("a.txt")).unwrap(), "one\n");
    assert_eq!(
        server.ask("POST", &format!("{place}/approve"), &[], b"").is(200, "")["state"],
        "approved"
    );
    server.ended(&mission);
    assert_eq!(std::fs::read_to_string(shell.work().join("a.txt")).unwrap(), "new\n");
}

#[test]
fn a_stream_is_whole_ends_and_is_resumed() {
    let shell = shell();
    let server = start(&shell);
    let mission = server.submit(&wish());
    let all = server.stream(&mission, None).all();
    let ids: Vec<u64> = all.iter().map(|sent| sent.id.unwrap()).collect();
    assert_eq!(ids, (1..=all.len() as u64).collect::<Vec<_>>());
    assert_eq!(all.first().unwrap().kind, "mission_submitted");
    assert_eq!(all.last().unwrap().kind, "mission_ended");
    let rest = server.stream(&mission, Some("2")).all();
    assert_eq!(rest, all[2..]);
    let newest = all.len().to_string();
    assert_eq!(server.stream(&mission, Some(&newest)).status, 204);
    for unknown in ["999999", "x"] {
        let reset = server.stream(&mission, Some(unknown)).all();
        assert_eq!((reset[0].kind.as_str(), reset[0].id), ("reset", None));
        assert_eq!(reset[0].data["after"], 0);
        assert_eq!(reset[1..], all);
    }
    assert_eq!(server.stream("m-0123456789abcdef", None).status, 404);
    let page = server.ask(
        "GET",
        &format!("{MISSIONS}/{mission}/events?after=1&limit=2"),
        &[("accept", "application/json")],
        b"",
    );
    assert_eq!(page.is(200, "")["events"][0]["seq"], 2);
}

/// A mission that waits for a person, so that its stream stays open.
fn waiting(server: &Server) -> String {
    let file = json!({
        "goal": "overwrite a file",
        "steps": [{ "tool": "write", "title": "Write", "args": { "path": "b.txt", "text": "new\n" } }],
    });
    let body = json!({ "file": file.to_string(), "workspace": "work", "again": true });
    let mission = server.submit(&body);
    let began = Instant::now();
    while server.get(&format!("{MISSIONS}/{mission}")).is(200, "")["state"] != "waiting" {
        assert!(began.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(5));
    }
    mission
}

#[test]
fn a_thousand_clients_see_an_event_and_may_vanish() {
    let shell = shell();
    let server = start(&shell);
    let mission = waiting(&server);
    let mut streams: Vec<_> = (0..1_000).map(|_| server.stream(&mission, None)).collect();
    let seen = |sent: &Sent| sent.kind == "mission_cancelled";
    for stream in &mut streams {
        assert_eq!(stream.status, 200);
        assert_eq!(stream.event().unwrap().id, Some(1));
    }
    // Half of them hang up without a word.
    streams.truncate(500);
    server.post(&format!("{MISSIONS}/{mission}/cancel"), &json!({})).is(200, "");
    let began = Instant::now();
    for stream in streams {
        assert!(stream.all().iter().any(seen));
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    server.get("/health").is(200, "");
    let began = Instant::now();
    while !server.get("/metrics").body.contains("alma_http_streams 0\n") {
        assert!(began.elapsed() < Duration::from_secs(10), "seats are not given back");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn streams_and_connections_have_a_bound() {
    let shell = shell();
    let mut command = shell.command(&[]);
    command.env("ALMA_HTTP__STREAMS", "2").env("ALMA_HTTP__CONNECTIONS", "4");
    let server = Server::start(command);
    let mission = waiting(&server);
    let open: Vec<_> = (0..2).map(|_| server.stream(&mission, None)).collect();
    assert!(open.iter().all(|stream| stream.status == 200));
    let refused = server.get(&format!("{MISSIONS}/{mission}/events"));
    refused.is(503, "unavailable");
    assert!(refused.header("retry-after").is_some());
    // Two streams and two that say nothing: there is no connection left.
    let silent: Vec<_> =
        (0..2).map(|_| std::net::TcpStream::connect(&server.address).unwrap()).collect();
    let began = Instant::now();
    while server.get("/health").status != 503 {
        assert!(began.elapsed() < Duration::from_secs(5));
    }
    drop((open, silent));
    let began = Instant::now();
    while server.get("/health").status != 200 {
        assert!(began.elapsed() < Duration::from_secs(5), "seats are not given back");
    }
}

#[test]
fn a_killed_server_finishes_its_mission_when_it_is_back() {
    let shell = shell();
    let server = start(&shell);
    let steps: Vec<Value> = (0..20)
        .map(|n| json!({ "tool": "list", "title": format!("List {n}"), "args": { "files": "**" } }))
        .collect();
    let file = json!({ "goal": "list again and again", "steps": steps });
    let body = json!({ "file": file.to_string(), "workspace": "work" });
    let key = [("idempotency-key", "once")];
    let accepted = server.post_with(MISSIONS, &key, &body).is(201, "");
    let mission = accepted["mission"].as_str().unwrap().to_owned();
    server.kill();
    let server = start(&shell);
    assert_eq!(server.post_with(MISSIONS, &key, &body).is(201, ""), accepted);
    assert_eq!(server.ended(&mission), "done");
    let finished: Vec<Sent> = server
        .stream(&mission, None)
        .all()
        .into_iter()
        .filter(|sent| sent.kind == "step_finished")
        .collect();
    let mut steps: Vec<&str> =
        finished.iter().map(|sent| sent.data["event"]["step"].as_str().unwrap()).collect();
    steps.sort_unstable();
    steps.dedup();
    assert_eq!(steps.len(), finished.len(), "a finished step ran again");
    drop(server);
    shell.intact();
}

#[test]
fn a_stopped_server_ends_its_streams_and_itself() {
    let shell = shell();
    let server = start(&shell);
    let mission = waiting(&server);
    let stream = server.stream(&mission, None);
    let reading = std::thread::spawn(move || stream.all());
    std::thread::sleep(Duration::from_millis(50));
    let began = Instant::now();
    assert_eq!(server.stop(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(10));
    assert!(!reading.join().unwrap().is_empty());
    shell.intact();
}

#[test]
fn a_port_in_use_is_said() {
    let shell = shell();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    shell.run(&["serve", "--port", &port]).says(1, &[&port, "in use", "--port"]);
}

#[test]
fn the_document_and_its_page_are_served() {
    let shell = shell();
    let server = start(&shell);
    let document = server.get("/openapi.json").is(200, "");
    assert_eq!(document["openapi"], "3.1.0");
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let path = path.replace("{mission}", "m-0123456789abcdef").replace("{step}", "1");
            let path = path.replace("{other}", "m-0123456789abcdef").replace("{name}", "x");
            let path = path.replace("{approval}", "a-0123456789abcdef");
            let answer = server.ask(&method.to_uppercase(), &path, &[], b"");
            let told = if answer.status < 400 { Value::Null } else { answer.json() };
            assert_ne!(answer.status, 405, "{method} {path}");
            assert_ne!(
                told["detail"],
                "there is nothing at this address; /docs lists what there is"
            );
        }
    }
    let page = server.get("/docs").body;
    assert!(page.contains("\"/api/v1/missions\"") && !page.contains("THE DOCUMENT"));
    assert!(!page.contains("src=") && !page.contains("href="), "it needs something from elsewhere");
}

/// Names and data of the events in the body of an answer.
fn sent(body: &str) -> Vec<(String, Value)> {
    body.split("\n\n")
        .filter_map(|event| {
            let (kind, data) = event.strip_prefix("event: ")?.split_once("\ndata: ")?;
            Some((kind.to_owned(), serde_json::from_str(data).unwrap()))
        })
        .collect()
}

#[test]
fn a_turn_is_seen_as_it_happens_and_goes_on_without_its_reader() {
    let shell = shell();
    let server = start(&shell);
    let say = |words: &str| {
        let body = json!({ "words": words, "workspace": "work" }).to_string();
        let json = [("content-type", "application/json")];
        server.ask("POST", "/api/v1/chat/stream", &json, body.as_bytes())
    };
    let answer = say("count the words in a.txt");
    assert_eq!(answer.status, 200, "{answer:#?}");
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let events = sent(&answer.body);
    let kinds: Vec<&str> = events.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds.first(), Some(&"begun"), "{kinds:?}");
    for kind in ["routed", "plan", "token"] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
    let (kind, end) = events.last().unwrap();
    assert_eq!(kind, "complete");
    assert_eq!((&end["route"], &end["mission_state"]), (&json!("mission"), &json!("done")));
    let said: String = events
        .iter()
        .filter(|(kind, _)| kind == "token")
        .map(|(_, e)| e["text"].as_str().unwrap())
        .collect();
    assert_eq!(said.trim(), end["answer"].as_str().unwrap().trim());
    let answer = say("remember that the gate code is 7714");
    assert!(answer.body.contains("7714"), "{answer:#?}");
    let recalled =
        server.post("/api/v1/memory/recall", &json!({ "words": "what is the gate code?" }));
    let recalled = recalled.is(200, "");
    assert!(recalled["answer"][0]["text"].as_str().unwrap().contains("7714"), "{recalled:#}");
    assert!(recalled["answer"][0]["source"].as_str().unwrap().contains("turn 1 of s-"));
    let forgotten = server.post("/api/v1/memory/forget", &json!({ "words": "7714" }));
    assert_eq!(forgotten.is(200, "")["found"], true);
    say("").is(422, "invalid_request");
    // Somebody who hangs up after the first words.
    let body = json!({ "words": "count the words in b.txt", "workspace": "work" }).to_string();
    let mut stream = std::net::TcpStream::connect(&server.address).unwrap();
    let head = format!(
        "POST /api/v1/chat/stream HTTP/1.1\r\nhost: localhost\r\nx-api-key: {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        server.key,
        body.len()
    );
    std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
    let mut some = [0; 256];
    assert!(std::io::Read::read(&mut stream, &mut some).unwrap() > 0);
    drop(stream);
    let began = Instant::now();
    loop {
        let missions = server.get(MISSIONS).is(200, "");
        let found = missions["missions"]
            .as_array()
            .unwrap()
            .iter()
            .any(|line| line["wish"] == "count the words in b.txt" && line["state"] == "done");
        if found {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{missions:#}");
        std::thread::sleep(Duration::from_millis(20));
    }
    shell.intact();
}

#[test]
fn a_mission_that_waits_is_steered_in_words() {
    let shell = shell();
    let server = start(&shell);
    shell.put("c.log", "old");
    let body = json!({ "words": "delete b.txt", "workspace": "work" });
    let mission = server.submit(&body);
    let shown = || server.get(&format!("{MISSIONS}/{mission}")).is(200, "");
    let began = Instant::now();
    while shown()["state"] != "waiting" {
        assert!(began.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(5));
    }
    let place = format!("{MISSIONS}/{mission}/steer");
    let steered = server.post(&place, &json!({ "words": "delete c.log instead" })).is(200, "");
    assert!(steered["diff"].as_str().unwrap().contains("c.log"), "{steered:#}");
    let began = Instant::now();
    let approval = loop {
        let open = server.get("/api/v1/approvals").is(200, "");
        let title = open["approvals"][0]["title"].as_str().unwrap_or_default().to_owned();
        if title.contains("c.log") {
            break open["approvals"][0]["approval"].as_str().unwrap().to_owned();
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{open:#}");
        std::thread::sleep(Duration::from_millis(5));
    };
    server.post(&format!("/api/v1/approvals/{approval}/approve"), &json!({})).is(200, "");
    let began = Instant::now();
    while shown()["state"] != "done" {
        assert!(began.elapsed() < Duration::from_secs(20), "{:#}", shown());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(shell.work().join("b.txt").exists() && !shell.work().join("c.log").exists());
    server.post(&place, &json!({ "words": "delete a.txt instead" })).is(409, "conflict");
    shell.intact();
}
