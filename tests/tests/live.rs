//! Events as they happen, over a real Redis and a real PostgreSQL: whoever follows a
//! mission sees each event once and in order, whatever becomes of the Redis.

#[path = "../../memory/ledger/tests/common/postgres.rs"]
mod postgres;
#[path = "../../queue/tests/common/redis.rs"]
#[allow(dead_code, reason = "each suite uses its own part of it")]
#[allow(clippy::unwrap_used)]
mod redis;

use alma_tests::shell::Shell;
use alma_tests::web::{Sent, Server};
use postgres::Cluster;
use redis::Redis;
use serde_json::json;
use std::process::Command;
use std::time::{Duration, Instant};

/// Clients of one server.
const CLIENTS: usize = 10;
/// Instances of the mission that is followed.
const INSTANCES: usize = 600;
/// How long it may take until events are published.
const PATIENCE: Duration = Duration::from_secs(20);
/// Words that must stand in no Redis.
const SECRET: &str = "zanzibar";

/// Follows a mission to its end, and comes back `breaks` times to where it was.
fn follow(server: &Server, mission: &str, breaks: usize) -> Vec<Sent> {
    let mut seen: Vec<Sent> = Vec::new();
    for turn in 0..=breaks {
        let last = seen.last().and_then(|sent| sent.id).map(|id| id.to_string());
        let mut stream = server.stream(mission, last.as_deref());
        if stream.status == 204 {
            return seen;
        }
        assert_eq!(stream.status, 200);
        let until = (turn + 1) * 700;
        while let Some(sent) = stream.event() {
            seen.push(sent);
            if turn < breaks && seen.len() >= until {
                break;
            }
        }
    }
    seen
}

fn check(client: usize, seen: &[Sent]) {
    for (sent, expected) in seen.iter().zip(1..) {
        assert_eq!(sent.id, Some(expected), "client {client}: {sent:?}");
    }
    let last = seen.last().map(|sent| sent.kind.as_str());
    assert_eq!(last, Some("mission_ended"), "client {client} saw {} events", seen.len());
    // Claim, intent and receipt of each instance at least.
    assert!(seen.len() > 3 * INSTANCES, "client {client} saw {} events", seen.len());
}

#[test]
fn who_follows_sees_each_event_once_whatever_becomes_of_the_redis() {
    let cluster = Cluster::start(&[]);
    let database = cluster.database();
    let mut bell = Redis::start();
    let shell = Shell::new(env!("CARGO_BIN_EXE_alma-counting"));
    let config = format!("[http.workspaces]\nwork = {:?}\n", shell.work().display().to_string());
    shell.put_home("config.toml", config);
    let scaled = |mut command: Command| {
        command.env("ALMA_LEDGER__URL", database.url()).env("ALMA_QUEUE__URL", bell.address());
        command
    };
    let servers =
        [Server::start(scaled(shell.command(&[]))), Server::start(scaled(shell.command(&[])))];
    let rows: String = (0..INSTANCES).map(|n| format!("{SECRET} {n}\n")).collect();
    shell.put("items.csv", format!("item\n{rows}"));
    let file = json!({
        "goal": format!("say {SECRET} often"),
        "steps": [
            { "name": "items", "tool": "table", "args": { "from": "items.csv" } },
            { "tool": "compose", "args": { "text": "${item.item}" },
              "for_each": { "items": "${items.rows}", "max_items": INSTANCES } },
        ],
    });
    let wish = json!({ "file": file.to_string(), "workspace": "work", "again": true });
    let mission = servers[0].submit(&wish);
    let (mission, servers) = (&mission, &servers);
    std::thread::scope(|threads| {
        let clients: Vec<_> = (0..2 * CLIENTS)
            .map(|client| threads.spawn(move || follow(&servers[client % 2], mission, client % 3)))
            .collect();
        let began = Instant::now();
        let mut said = String::new();
        while !said.contains("step_") {
            assert!(began.elapsed() < PATIENCE, "nothing was published: {said:.2000}");
            std::thread::sleep(Duration::from_millis(20));
            said = bell.cli(&["XRANGE", &stream_of(&bell), "-", "+"]);
        }
        assert!(!said.contains(SECRET), "words of the user stand in the Redis");
        bell.cli(&["FLUSHALL"]);
        std::thread::sleep(Duration::from_millis(300));
        bell.kill();
        std::thread::sleep(Duration::from_millis(700));
        bell.again();
        std::thread::sleep(Duration::from_millis(300));
        bell.cli(&["FLUSHALL"]);
        for (number, client) in clients.into_iter().enumerate() {
            check(number, &client.join().expect("a client"));
        }
    });
    assert_eq!(servers[1].ended(mission), "done");
}

/// The name of the stream of events; there is one installation.
fn stream_of(bell: &Redis) -> String {
    bell.cli(&["KEYS", "*:events"])
}
