//! The record moves between the data folder and PostgreSQL, and its schema grows,
//! while processes are killed in the middle of it.

mod common;

use alma_tests::shell::{Shell, ended};
use common::postgres::{Cluster, Database};
use common::redis::Redis;
use common::{ALMA, COUNTED, Scaled, counting};
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

/// An installation in a data folder that did some work.
fn filled(missions: usize) -> Shell {
    let shell = Shell::new(ALMA);
    shell.put("sales.csv", "region,amount\nnorth,3\nsouth,4\n");
    for n in 0..missions {
        let wish = format!("total sales.csv per region and write it to total-{n}.csv");
        shell.wish(&wish).says(0, &[]);
    }
    shell
}

fn missions(shell: &Shell, settings: &[(&str, &str)]) -> usize {
    let mut command = shell.command(&["--json", "mission", "list"]);
    let out = ended(command.envs(settings.iter().copied()).spawn().unwrap());
    out.says(0, &[]).json()["missions"].as_array().unwrap().len()
}

fn migrate(shell: &Shell, to: &str, settings: &[(&str, &str)]) -> Child {
    let mut command = shell.command(&["--json", "migrate", "--to", to]);
    command.envs(settings.iter().copied()).spawn().unwrap()
}

/// Moves the record, killed a little later each time, until it arrives. One that was
/// killed behind its last mark, before it said so, had been there before.
#[track_caller]
fn killed_until_there(shell: &Shell, to: &str, settings: &[(&str, &str)]) -> Value {
    for killed in 0..300_u64 {
        let mut child = migrate(shell, to, settings);
        std::thread::sleep(Duration::from_millis(5 + 12 * killed));
        if child.try_wait().unwrap().is_some() {
            let out = ended(child);
            assert!(killed >= 1, "only {killed} were killed before it arrived: {out:#?}");
            let there = out.says(0, &["checking the record"]).json();
            let before = there["text"].as_str().unwrap().contains("had been moved to");
            assert_eq!(out.err.contains("comparing every cell"), !before, "{out:#?}");
            assert_eq!(there["rows"].is_null(), before, "{there:#}");
            return there;
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    panic!("it never arrives");
}

#[test]
fn a_record_goes_to_postgres_and_back_whoever_is_killed() {
    let shell = filled(3);
    let (database, redis) = (Cluster::shared().database(), Redis::start());
    let (url, queue) = (database.url(), redis.address());
    let servers = [("ALMA_LEDGER__URL", url.as_str()), ("ALMA_QUEUE__URL", queue.as_str())];
    let there = killed_until_there(&shell, &url, &[]);
    assert!(there["rows"].as_u64().is_none_or(|rows| rows > 50), "{there:#}");
    let told = there["text"].as_str().unwrap();
    for line in ["[ledger]", "url = \"postgresql://alma:***@", "url = \"redis://HOST:PORT\""] {
        assert!(told.contains(line), "{told}");
    }
    assert!(Path::new(there["kept"].as_str().unwrap()).exists());
    // Killed when all was done but the telling.
    let told_again = |to: &str, settings: &[(&str, &str)]| {
        ended(migrate(&shell, to, settings)).says(0, &["The record had been moved to"]);
    };
    told_again(&url, &[]);
    // An older copy is in the way, and stays as it is.
    let own = shell.home().join("ledger.db");
    std::fs::copy(there["kept"].as_str().unwrap(), &own).unwrap();
    ended(migrate(&shell, "file", &servers)).says(1, &["is in the way: move it elsewhere first"]);
    std::fs::remove_file(own).unwrap();
    // Only one of the two is opened.
    shell.run(&["mission", "list"]).says(1, &["it was moved to PostgreSQL with `alma migrate`"]);
    assert_eq!(missions(&shell, &servers), 3);
    let mut again = shell.command(&["mission", "run", "--again", "count the words in sales.csv"]);
    ended(again.envs(servers).spawn().unwrap()).says(0, &[]);
    let back = killed_until_there(&shell, "file", &servers);
    let position = |moved: &Value| moved["position"].as_i64();
    if let (Some(there), Some(back)) = (position(&there), position(&back)) {
        assert!(back > there);
    }
    told_again("file", &servers);
    assert_eq!(missions(&shell, &[]), 4);
    shell.wish("count the words in sales.csv").says(0, &[]);
    shell.intact();
    let mut old = shell.command(&["mission", "list"]);
    let out = ended(old.envs(servers).spawn().unwrap());
    out.says(1, &["holds a record of its own"]);
}

#[test]
fn a_record_that_is_in_use_stays_where_it_is() {
    let shell = filled(1);
    let database = Cluster::shared().database();
    let worker = shell.command(&["worker"]).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let refused = |to: &str, code: i32, why: &str| {
        ended(migrate(&shell, to, &[])).says(code, &[why]);
    };
    refused(&database.url(), 1, "a process uses the data folder");
    let mut worker = worker;
    worker.kill().unwrap();
    worker.wait().unwrap();
    refused("somewhere", 2, "the record can be moved to `file` or to postgres");
    refused("file", 2, "is in the data folder already");
    refused("postgres://alma:secret@127.0.0.1:1/x", 1, "connect to PostgreSQL");
    assert_eq!(missions(&shell, &[]), 1);
    // A worker of another host.
    let installation = Scaled::new(Cluster::shared());
    let (one, other) = (installation.host("one"), installation.host("other"));
    let busy = other.worker();
    let out = one.run(&["migrate", "--to", "file"]);
    out.says(1, &["connections of other processes use the record"]);
    busy.stop().says(0, &[]);
    one.run(&["migrate", "--to", "file"]).says(0, &["url = \"\""]);
    other.run(&["mission", "list"]).says(1, &["it was moved elsewhere with `alma migrate`"]);
}

/// A worker of an older version goes on while the schema only grew, and ends in order
/// when it must know better.
#[test]
fn a_worker_of_an_older_version_ends_when_it_must() {
    let installation = Scaled::new(Cluster::shared());
    let one = installation.host("one");
    let older = one.worker();
    installation.database.sql(
        "INSERT INTO migrations VALUES (4); ALTER TABLE steps ADD COLUMN more text; \
         ALTER TABLE missions ADD COLUMN more bigint NOT NULL DEFAULT 0",
    );
    let mission = one.submit(&counting(&[("count_keyed", "a", 1)]));
    assert_eq!(one.wait(&mission), COUNTED);
    installation.database.sql("UPDATE compat SET oldest = 4");
    older.ended().says(1, &["newer version of Alma (schema 4); update Alma"]);
    one.run(&["mission", "list"]).says(1, &["newer version of Alma (schema 4); update Alma"]);
}

fn restored(cluster: &Cluster) -> Database<'_> {
    let database = cluster.database();
    database.restore(include_str!("../../memory/ledger/tests/fixtures/ledger-2.sql"));
    database
}

/// The home of the installation whose ledgers are kept as fixtures.
fn kept(shell: &Shell) {
    shell.put_home("ledger.key", [7; 32]);
    let mode = std::os::unix::fs::PermissionsExt::from_mode;
    std::fs::set_permissions(shell.home().join("ledger.key"), mode(0o600)).unwrap();
    std::fs::set_permissions(shell.home(), mode(0o700)).unwrap();
}

/// Between two statements of a migration the process is killed: it stands still there
/// because another transaction makes the same table.
#[test]
fn a_migration_of_postgres_that_was_killed_begins_anew() {
    let cluster = Cluster::shared();
    let (database, redis) = (restored(cluster), Redis::start());
    let shell = Shell::new(ALMA);
    kept(&shell);
    let (url, queue) = (database.url(), redis.address());
    let settings = [("ALMA_LEDGER__URL", url.as_str()), ("ALMA_QUEUE__URL", queue.as_str())];
    let name = database.name.clone();
    let blocker = std::thread::spawn(move || {
        let hold = "BEGIN; CREATE TABLE alma.compat (n int); SELECT pg_sleep(6); ROLLBACK";
        Cluster::shared().sql(&name, hold)
    });
    std::thread::sleep(Duration::from_secs(1));
    let mut command = shell.command(&["mission", "list"]);
    let mut child = command.envs(settings).spawn().unwrap();
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
        AND application_name = 'alma writer' AND wait_event_type = 'Lock'";
    let mut looks = 0;
    while database.sql(waits) == "0" {
        looks += 1;
        assert!(looks < 100, "it never stands still in the middle");
        std::thread::sleep(Duration::from_millis(30));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    blocker.join().unwrap();
    assert_eq!(database.sql("SELECT max(version) FROM migrations"), "2");
    assert_eq!(missions(&shell, &settings), 2);
    assert_eq!(database.sql("SELECT max(version) FROM migrations"), "3");
    let mut audit = shell.command(&["--json", "audit", "verify"]);
    let found = ended(audit.envs(settings).spawn().unwrap()).says(0, &[]).json();
    assert_eq!(found["intact"], true, "{found:#}");
}

#[test]
fn a_migration_of_a_file_that_was_killed_begins_anew() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../memory/ledger/tests/fixtures");
    let schema = |shell: &Shell| {
        let look = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute(\
            'SELECT max(version) FROM _sqlx_migrations').fetchone()[0])";
        let mut python = Command::new("python3");
        let out = python.args(["-c", look]).arg(shell.home().join("ledger.db")).output();
        let out = out.expect("python3 is missing: apt-get install python3");
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    };
    let mut between = 0;
    for n in 0..24 {
        let shell = Shell::new(ALMA);
        kept(&shell);
        shell.put_home("ledger.db", std::fs::read(fixtures.join("ledger-1.db")).unwrap());
        let mut child = shell.command(&["mission", "list"]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(20 + 8 * n));
        child.kill().unwrap();
        child.wait().unwrap();
        between += u32::from(schema(&shell) != "1");
        assert_eq!(missions(&shell, &[]), 2);
        assert_eq!(schema(&shell), "3");
        shell.intact();
    }
    assert!(between > 0, "each was killed before it began");
}
