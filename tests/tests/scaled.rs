//! One installation over two hosts, on a real PostgreSQL and a real Redis: work goes
//! on whichever host dies or stands still, and whatever happens to the servers.

mod common;

use alma_tests::desk::block_on;
use alma_tests::rig::Now;
use alma_tests::shell::other_clock;
use alma_tests::sim::fate::Dice;
use charter::event::Event;
use charter::ids::{ScheduleId, StreamId, TenantId, TransitionId};
use charter::ports::{LeaseChange, Ledger, LedgerExt, Transition};
use charter::schedule::{Missed, ScheduleRow, Scheduled};
use common::postgres::{Cluster, PASSWORD, USER};
use common::redis::Redis;
use common::{COUNTED, Host, Scaled, counting, hand_over};
use ledger::{PgLedger, keys};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use surfaces::bench::child::now;

/// Two lease times: within this a step goes on elsewhere.
const ELSEWHERE: Duration = Duration::from_secs(20);
/// How long an act takes that is to be hit, in milliseconds.
const LONG: u64 = 12_000;

#[test]
fn what_one_host_submits_another_carries_out() {
    let installation = Scaled::new(Cluster::shared());
    let (one, other) = (installation.host("one"), installation.host("other"));
    let worker = other.worker();
    let mission = one.submit(&counting(&[("count_keyed", "a", 1), ("count_probed", "b", 1)]));
    assert_eq!(one.wait(&mission), COUNTED);
    assert_eq!((installation.counted("a"), installation.counted("b")), (1, 1));
    // A question is answered where it was not asked.
    installation.put("old.log", "gone soon");
    let deletes = json!({ "goal": "tidy", "steps": [
        { "tool": "delete", "title": "Delete", "args": { "path": "old.log" } }] });
    let mission = one.submit(&deletes.to_string());
    assert_eq!(one.wait(&mission), "waiting");
    let asked = one.json(0, &["approvals", "list"]);
    let approval = asked["approvals"][0]["approval"].as_str().unwrap().to_owned();
    one.run(&["approve", &approval, "--no-wait"]).says(0, &[]);
    assert_eq!(one.wait(&mission), "done");
    assert!(!installation.work().join("old.log").exists());
    // A dead step is sent round again from another host.
    let counts = json!({ "goal": "count words", "steps": [
        { "tool": "count", "title": "Count", "args": { "files": "late.csv" } }] });
    let mission = one.submit(&counts.to_string());
    assert_eq!(one.wait(&mission), "failed");
    installation.put("late.csv", "a,b\n1,2\n");
    let dead = one.json(0, &["dead-letters", "list"]);
    let step = dead["dead_letters"][0]["step"].as_str().unwrap().to_owned();
    one.run(&["dead-letters", "requeue", &step, "--no-wait"]).says(0, &[]);
    let done = || Some(()).filter(|()| one.state(&mission) == "done");
    installation.until("the dead step is done", done);
    worker.stop().says(0, &[]);
    one.intact();
}

#[test]
fn a_step_of_a_dead_host_goes_on_elsewhere() {
    let installation = Scaled::new(Cluster::shared());
    let (one, other) = (installation.host("one"), installation.host("other"));
    let dies = one.worker();
    let mission = one.submit(&counting(&[("count_keyed", "a", LONG)]));
    installation.until("it acts", || Some(()).filter(|()| installation.effects() == (2, 1)));
    let (term, _) = installation.leader().unwrap();
    let _lives = other.worker();
    dies.kill();
    let killed = Instant::now();
    installation.until("another leads", || installation.leader().filter(|l| l.0 == term + 1));
    installation.until("it is done", || Some(()).filter(|()| installation.effects().1 == 2));
    // What the step itself takes is not waiting.
    assert!(killed.elapsed() < ELSEWHERE + Duration::from_millis(LONG), "{:?}", killed.elapsed());
    assert_eq!(other.wait(&mission), COUNTED);
    assert_eq!(installation.counted("a"), 1);
    other.intact();
}

#[test]
fn who_stood_still_writes_nothing_and_leads_no_more() {
    let installation = Scaled::new(Cluster::shared());
    let (one, other) = (installation.host("one"), installation.host("other"));
    let stood = one.worker();
    let mission = one.submit(&counting(&[("count_keyed", "a", LONG)]));
    installation.until("it acts", || Some(()).filter(|()| installation.effects() == (2, 1)));
    stood.freeze();
    let (term, _) = installation.leader().unwrap();
    let goes_on = other.worker();
    let frozen = Instant::now();
    installation.until("it is done", || Some(()).filter(|()| installation.effects().1 == 2));
    assert!(frozen.elapsed() < ELSEWHERE + Duration::from_millis(LONG), "{:?}", frozen.elapsed());
    stood.thaw();
    assert_eq!(other.wait(&mission), COUNTED);
    std::thread::sleep(Duration::from_millis(LONG));
    assert_eq!(installation.counted("a"), 1);
    assert_eq!(installation.effects().1, 2);
    assert_eq!(installation.leader().unwrap().0, term + 1);
    // It is of use all the same: the other ends, and it leads and works again.
    goes_on.stop().says(0, &[]);
    let mission = other.submit(&counting(&[("count_keyed", "b", 1)]));
    assert_eq!(other.wait(&mission), COUNTED);
    assert_eq!(installation.leader().unwrap().0, term + 2);
    assert_eq!(installation.counted("b"), 1);
    other.intact();
}

/// The target of the act can be asked, but who acted may still be at it: it says that
/// nothing happened, and that counts for nothing.
#[test]
fn what_a_dead_host_may_still_do_is_asked_about_once() {
    let installation = Scaled::new(Cluster::shared());
    let (one, other) = (installation.host("one"), installation.host("other"));
    let dies = one.worker();
    let mission = one.submit(&counting(&[("count_probed", "a", LONG)]));
    installation.until("it acts", || Some(()).filter(|()| installation.effects() == (2, 1)));
    // Before the first one dies: the number of its space of pids could be given again.
    let _lives = other.worker();
    dies.kill();
    let asked = installation.until("somebody is asked", || {
        let list = other.run(&["--json", "approvals", "list"]);
        let list: Value = serde_json::from_str(&list.out).ok()?;
        list["approvals"].as_array().filter(|all| !all.is_empty()).cloned()
    });
    assert_eq!(asked.len(), 1, "{asked:#?}");
    assert!(asked[0]["title"].as_str().unwrap().contains("Did this happen"), "{asked:#?}");
    let approval = asked[0]["approval"].as_str().unwrap();
    other.run(&["approve", approval, "--not-happened", "--no-wait"]).says(0, &[]);
    assert_eq!(other.wait(&mission), COUNTED);
    assert_eq!(installation.counted("a"), 1);
    let told = other.json(0, &["mission", "events", &mission, "--limit", "1000"]).to_string();
    assert_eq!(told.matches("effect_in_doubt").count(), 1, "{told}");
    assert_eq!(told.matches("not_happened").count(), 1, "{told}");
    other.intact();
}

/// On the host itself it is known who is dead, so the target's word counts at once.
#[test]
fn a_host_knows_its_own_dead() {
    let installation = Scaled::new(Cluster::shared());
    let one = installation.host("one");
    let dies = Host::together(&one).worker();
    let mission = one.submit(&counting(&[("count_probed", "a", LONG)]));
    installation.until("it acts", || Some(()).filter(|()| installation.effects() == (2, 1)));
    dies.kill();
    let _lives = Host::together(&one).worker();
    assert_eq!(one.wait(&mission), COUNTED);
    assert_eq!(installation.counted("a"), 1);
    let told = one.json(0, &["mission", "events", &mission, "--limit", "1000"]).to_string();
    assert!(!told.contains("effect_in_doubt"), "{told}");
}

/// Puts a copy of a schedule on record that was due an hour ago.
/// What one host dates another judges: both go by the clock of the record's server.
#[test]
fn a_leader_whose_clock_is_an_hour_ahead_takes_nothing_away() {
    let installation = Scaled::new(Cluster::shared());
    let (mut ahead, other) = (installation.host("ahead"), installation.host("other"));
    let clock = other_clock().to_string_lossy().into_owned();
    ahead.settings.extend([("LD_PRELOAD".into(), clock), ("FAKETIME".into(), "+1h".into())]);
    // It leads, and most of the work is the other's.
    ahead.settings.push(("ALMA_WORKER__CONCURRENCY".into(), "1".into()));
    let leads = ahead.worker();
    installation.until("it leads", || installation.leader());
    let works = other.worker();
    let steps = ["a", "b", "c", "d"].map(|name| ("count_keyed", name, 4_000));
    let mission = other.submit(&counting(&steps));
    assert_eq!(other.wait(&mission), COUNTED);
    for (_, name, _) in steps {
        assert_eq!(installation.counted(name), 1, "{name}");
    }
    let told = other.json(0, &["mission", "events", &mission, "--limit", "1000"]).to_string();
    assert!(!told.contains("step_released"), "{told}");
    let found = ahead.json(0, &["doctor"]).to_string();
    assert!(found.contains("3600 seconds ahead of the record's server"), "{found}");
    leads.stop().says(0, &[]);
    works.stop().says(0, &[]);
}

fn missed(installation: &Scaled<'_>, host: &Host, of: &str) -> String {
    let dice = Dice::new(u64::try_from(now()).unwrap());
    let id = ScheduleId::new(now(), &dice);
    block_on(async {
        let key = keys::load(&host.home.join("ledger.key")).unwrap();
        let address = installation.database.url().parse().unwrap();
        let ledger = PgLedger::open(&address, Arc::new(Now), key).await.unwrap();
        let row: ScheduleRow = ledger.record(&TenantId::local(), of).await.unwrap();
        let created = Scheduled::Created {
            schedule: id.clone(),
            subject: row.subject,
            wish: row.wish,
            workspace: row.workspace,
            plan: row.plan,
            digest: row.digest,
            cron: row.cron,
            zone: row.zone,
            missed: Missed::Once,
            next_at: Some(now() - 1_000),
        };
        let ends = Scheduled::Deleted { schedule: of.parse().unwrap() };
        let transition = Transition {
            id: TransitionId::new(now(), &dice),
            tenant: TenantId::local(),
            at: now(),
            fence: None,
            lease: LeaseChange::Keep,
            term: None,
            events: [created, ends]
                .map(|event| (StreamId::admin(), Event::Scheduled(event)))
                .into(),
            contents: vec![],
        };
        ledger.commit(transition).await.unwrap();
        ledger.close().await.unwrap();
    });
    id.to_string()
}

#[test]
fn a_due_time_is_taken_once_over_two_hosts_whoever_dies() {
    let installation = Scaled::new(Cluster::shared());
    let (one, other) = (installation.host("one"), installation.host("other"));
    installation.put("sales.csv", "region,amount\nnorth,3\nsouth,4\n");
    let total = "total sales.csv per region and write it to total.csv";
    let made = one.json(0, &["schedules", "new", "--cron", "30 0 1 1 *", "--zone", "UTC", total]);
    let id = missed(&installation, &one, made["schedule"].as_str().unwrap());
    // Whoever leads dies a little later than the one before.
    for n in 0..6 {
        let host = if n % 2 == 0 { &one } else { &other };
        let worker = host.worker();
        std::thread::sleep(Duration::from_millis(50 + 120 * n));
        worker.kill();
    }
    let _workers = (one.worker(), other.worker());
    let shown = installation.until("it ran", || {
        let shown = one.json(0, &["schedules", "show", &id]);
        let due = shown["due"].as_array()?.clone();
        due.iter().any(|due| due["mission_state"] == "done").then_some(due)
    });
    assert_eq!(shown.len(), 1, "{shown:#?}");
    let missions = one.json(0, &["mission", "list"]);
    assert_eq!(missions["missions"].as_array().unwrap().len(), 1, "{missions:#}");
    one.intact();
}

#[test]
fn nothing_is_lost_or_doubled_whatever_happens_to_the_servers() {
    let cluster = Cluster::start(&[]);
    let mut installation = Scaled::new(&cluster);
    let (one, other) = (installation.host("one"), installation.host("other"));
    let names: Vec<String> = (0..60).map(|n| format!("n{n}")).collect();
    let steps: Vec<_> = names.iter().map(|name| ("count_keyed", name.as_str(), 150)).collect();
    let _workers = (one.worker(), other.worker());
    let mission = one.submit(&counting(&steps));
    let received = |n: u32| {
        let done = || Some(()).filter(|()| installation.effects().1 >= n);
        installation.until("some are counted", done);
    };
    received(5);
    assert_eq!(installation.redis.cli(&["FLUSHALL"]), "OK");
    received(15);
    installation.redis.kill();
    std::thread::sleep(Duration::from_secs(1));
    installation.redis.again();
    let received = |n: u32| {
        let done = || Some(()).filter(|()| installation.effects().1 >= n);
        installation.until("some are counted", done);
    };
    received(30);
    cluster.stop("immediate");
    cluster.run(&[]);
    received(45);
    // Entries of others, in front of all that wait.
    let key = keys::load(&one.home.join("ledger.key")).unwrap();
    let own = format!("{{alma:{}}}:steps", keys::installation(&keys::public(&key)));
    for line in [own.clone(), format!("{own}:exec")] {
        for foreign in ["nonsense", "9:m-0000000000000000/1.0", "1:m-0000000000000000/1.0", ""] {
            installation.redis.cli(&["ZADD", &line, "0", foreign]);
        }
    }
    assert_eq!(one.wait(&mission), COUNTED);
    for name in &names {
        assert_eq!(installation.counted(name), 1, "{name}");
    }
    one.intact();
}

#[test]
fn what_will_not_do_is_said_in_a_sentence() {
    let cluster = Cluster::shared();
    let installation = Scaled::new(cluster);
    let one = installation.host("one");
    let name = &installation.database.name;
    let with = |setting: &str, value: &str, args: &[&str], says: &[&str]| {
        let mut command = one.command(args);
        let out = alma_tests::shell::ended(command.env(setting, value).spawn().unwrap());
        assert!(!out.err.contains(PASSWORD) && !out.out.contains(PASSWORD), "{out:#?}");
        for text in says {
            let all = format!("{}{}", out.out, out.err);
            assert!(all.contains(text), "{text}: {out:#?}");
        }
        assert_ne!(out.code, 0, "{out:#?}");
    };
    let wrong = cluster.url(USER, "wrong", name);
    with("ALMA_LEDGER__URL", &wrong, &["mission", "list"], &["check the user and the password"]);
    let none = cluster.url(USER, PASSWORD, "nothing");
    with("ALMA_LEDGER__URL", &none, &["worker"], &["make the database first"]);
    with("ALMA_QUEUE__URL", "", &["worker"], &["queue.url", "needs a queue on Redis"]);
    // A Redis that asks for a password, and one that forbids a command.
    let closed = Redis::with(&["--requirepass", "right"]);
    with("ALMA_QUEUE__URL", &closed.address(), &["doctor"], &["write it into the address"]);
    let narrow = Redis::start();
    narrow.cli(&["ACL", "SETUSER", "alma", "on", ">secret", "~*", "&*", "+@all", "-zadd"]);
    let address = narrow.address().replace("//", "//alma:secret@");
    with("ALMA_QUEUE__URL", &address, &["doctor"], &["may not use ZADD", "ACL SETUSER"]);
    narrow.cli(&["ACL", "SETUSER", "alma", "+zadd", "-xadd"]);
    let mut command = one.command(&["doctor"]);
    let out = alma_tests::shell::ended(command.env("ALMA_QUEUE__URL", &address).spawn().unwrap());
    out.says(0, &["events are read from the record", "may not use XADD"]);
    // What there is to look at is looked at, also where the record cannot be opened.
    let closed = ["the record on PostgreSQL at", "free space", "steps can be put on the queue"];
    with("ALMA_LEDGER__URL", &wrong, &["doctor"], &closed);
    // What nobody could reach is refused by whoever reads it.
    with("ALMA_QUEUE__URL", "redis://", &["config", "check"], &["queue.url", "names no host"]);
    let port = "postgres://alma@db:99999/alma";
    with("ALMA_LEDGER__URL", port, &["config", "check"], &["ledger.url", "invalid port"]);
    // A server that may only be read.
    let read_only = format!("ALTER DATABASE {name} SET default_transaction_read_only");
    cluster.sql("postgres", &format!("{read_only} = on"));
    one.run(&["mission", "list"]).says(1, &["it may only be read"]);
    cluster.sql("postgres", &format!("ALTER DATABASE {name} RESET default_transaction_read_only"));
    // Another installation on the same database.
    let stranger = Scaled::on(cluster.database(), Redis::start());
    let mut theirs = stranger.host("theirs");
    theirs.settings = installation.settings.clone();
    theirs.run(&["mission", "list"]).says(1, &["copy `ledger.key` from that installation"]);
}

#[test]
fn two_installations_share_servers_without_seeing_each_other() {
    let cluster = Cluster::shared();
    let one = Scaled::new(cluster);
    let mut two = Scaled::on(cluster.database(), Redis::start());
    // Both queues on the first Redis; each has a database of its own.
    two.settings[1].1 = one.redis.address();
    let hosts = (one.host("here"), two.host("there"));
    let _workers = (hosts.0.worker(), hosts.1.worker());
    let missions = (
        hosts.0.submit(&counting(&[("count_keyed", "a", 1); 1])),
        hosts.1.submit(&counting(&[("count_keyed", "b", 1); 1])),
    );
    assert_eq!(
        (hosts.0.wait(&missions.0), hosts.1.wait(&missions.1)),
        (COUNTED.into(), COUNTED.into())
    );
    assert_eq!((one.counted("a"), one.counted("b")), (1, 0));
    assert_eq!((two.counted("a"), two.counted("b")), (0, 1));
}

#[test]
fn both_servers_are_reached_through_tls_and_nobody_else_is_trusted() {
    let redis = Redis::tls();
    let certificates = std::env::temp_dir().join(format!("alma-tls-{}", std::process::id()));
    std::fs::create_dir_all(&certificates).unwrap();
    let of = |name: &str| redis.folder.path().join(name);
    hand_over(&of("server.pem"), &certificates.join("server.pem"), 0o644);
    hand_over(&of("server.key"), &certificates.join("server.key"), 0o640);
    Cluster::may_read(&certificates);
    let at = |name: &str| certificates.join(name).display().to_string();
    let cluster = Cluster::start(&[
        "ssl=on",
        &format!("ssl_cert_file={}", at("server.pem")),
        &format!("ssl_key_file={}", at("server.key")),
    ]);
    let ca = of("ca.pem").display().to_string();
    let mut installation = Scaled::on(cluster.database(), redis);
    let verified = |ca: &str, url: &str| format!("{url}?sslmode=verify-full&sslrootcert={ca}");
    let plain = installation.database.url();
    installation.settings[0].1 = verified(&ca, &plain);
    let one = installation.host("one");
    let _worker = one.worker();
    let mission = one.submit(&counting(&[("count_keyed", "a", 1)]));
    assert_eq!(one.wait(&mission), COUNTED);
    let encrypted = "SELECT count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) \
        WHERE a.application_name LIKE 'alma %' AND NOT s.ssl";
    assert_eq!(installation.database.sql(encrypted), "0");
    // Signed by another authority.
    let stranger = Redis::tls();
    let other = stranger.folder.path().join("ca.pem").display().to_string();
    let mut command = one.command(&["mission", "list"]);
    command.env("ALMA_LEDGER__URL", verified(&other, &plain));
    alma_tests::shell::ended(command.spawn().unwrap()).says(1, &["certificate"]);
    std::fs::remove_dir_all(certificates).unwrap();
}
