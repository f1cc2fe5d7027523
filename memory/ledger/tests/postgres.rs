//! What only the ledger in PostgreSQL has: many processes at once, a server that
//! goes away and comes back, a server that will not do.
#![allow(clippy::unwrap_used)]

mod common;

use charter::breaker::Circuit;
use charter::ids::{StepKey, TenantId};
use charter::leader::Bid;
use charter::ports::{Fence, LeaseStatus, Ledger, LedgerError, LedgerExt, Query, Rows, Transition};
use charter::rows::{MissionState, StepState};
use common::postgres::{Cluster, Database, PASSWORD, USER};
use common::{World, address, clock, head, key, open_postgres};
use ledger::audit::{AuditReport, verify_postgres};
use ledger::{PgLedger, SigningKey};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::watch;

/// Generous: nothing takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

async fn audit(database: &Database<'_>) -> AuditReport {
    verify_postgres(&address(&database.url()), &key().verifying_key()).await.unwrap()
}

async fn size(ledger: &dyn Ledger) -> (u64, u64) {
    let Rows::Size(size) = ledger.query(&TenantId::local(), Query::Size).await.unwrap() else {
        panic!()
    };
    (size.missions, size.events)
}

/// The same transition again until it is known to be written.
async fn insist(ledger: &dyn Ledger, transition: Transition) {
    let begun = Instant::now();
    loop {
        match ledger.commit(transition.clone()).await {
            Ok(_) => return,
            Err(LedgerError::Store { .. }) if begun.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn refused(result: Result<PgLedger, LedgerError>, expect: &str) {
    let error = result.unwrap_err().to_string();
    assert!(error.contains(expect), "{error:?} does not say {expect:?}");
    assert!(!error.contains(PASSWORD), "{error}");
}

#[tokio::test]
async fn it_is_durable_and_there_again() {
    let database = Cluster::shared().database();
    let ledger = open_postgres(&database.url()).await.unwrap();
    let durability = ledger.durability();
    assert_eq!(
        [&durability.synchronous_commit, &durability.fsync, &durability.full_page_writes],
        ["on"; 3]
    );
    assert_eq!(ledger.installation(), ledger::keys::installation(&key().verifying_key()));
    assert_eq!(ledger.installation().len(), 16);
    let mission = World::new(&ledger, 1).whole_mission().await;
    let before = size(&ledger).await;
    ledger.close().await.unwrap();
    let closed = World::new(&ledger, 2).submission(&[]).1.commit().await;
    assert!(matches!(closed, Err(LedgerError::Store { .. })), "{closed:?}");
    let ledger = open_postgres(&database.url()).await.unwrap();
    assert_eq!(size(&ledger).await, before);
    let world = World::new(&ledger, 3);
    assert_eq!(world.mission(&mission).await.state, MissionState::Done);
    world.whole_life().await;
    ledger.close().await.unwrap();
    assert!(audit(&database).await.is_clean());
}

#[tokio::test]
async fn many_processes_open_an_empty_database_at_once() {
    let database = Cluster::shared().database();
    let url = database.url();
    let opened = futures::future::join_all((0..5).map(|_| open_postgres(&url))).await;
    for ledger in opened {
        ledger.unwrap().close().await.unwrap();
    }
}

#[tokio::test]
async fn a_crash_inside_a_migration_leaves_nothing() {
    let database = Cluster::shared().database();
    let url = database.url();
    let half = "BEGIN; SELECT pg_advisory_xact_lock(x'616c6d610002'::bigint); \
        CREATE SCHEMA alma; CREATE TABLE alma.migrations (version bigint PRIMARY KEY); \
        CREATE TABLE alma.events (half int); SELECT pg_sleep(1); ROLLBACK";
    let (opened, ()) = tokio::join!(
        async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            open_postgres(&url).await
        },
        async {
            let (name, half) = (database.name.clone(), half.to_owned());
            let crash = move || Cluster::shared().sql(&name, &half);
            tokio::task::spawn_blocking(crash).await.unwrap();
        }
    );
    let ledger = opened.unwrap();
    World::new(&ledger, 1).whole_mission().await;
    ledger.close().await.unwrap();
    assert!(audit(&database).await.is_clean());
}

async fn written_by(processes: usize, each: usize) {
    let database = Cluster::shared().database();
    let mut ledgers = Vec::new();
    for _ in 0..processes {
        ledgers.push(open_postgres(&database.url()).await.unwrap());
    }
    let worlds: Vec<_> =
        ledgers.iter().enumerate().map(|(n, l)| World::new(l, n as u64 + 100)).collect();
    let all = worlds.iter().map(|world| async move {
        let drafts = (0..each).map(|n| {
            let (_, mut draft) = world.submission(&[head(1, &[])]);
            if n % 5 == 0 {
                draft.text("stray");
            }
            draft.transition
        });
        futures::future::join_all(drafts.map(|draft| world.ledger.commit(draft))).await
    });
    let mut positions = Vec::new();
    for answers in futures::future::join_all(all).await {
        for (n, answer) in answers.into_iter().enumerate() {
            assert_eq!(answer.is_err(), n % 5 == 0, "{n}: {answer:?}");
            positions.extend(answer.ok().map(|committed| committed.position));
        }
    }
    positions.sort_unstable();
    let count = positions.len() as i64;
    assert_eq!(positions, (1..=count).map(|n| n * 2).collect::<Vec<_>>());
    // A claim is won by one, whichever process it is.
    let mission = worlds[0].submit(&[head(1, &[])]).await;
    let step = StepKey::step(&mission, 1);
    let claims = worlds.iter().flat_map(|world| (0..5).map(|_| world.try_claim(&step)));
    let won = futures::future::join_all(claims).await;
    assert_eq!(won.iter().filter(|claim| claim.is_ok()).count(), 1);
    for ledger in &ledgers {
        ledger.close().await.unwrap();
    }
    let report = audit(&database).await;
    assert_eq!(report.findings, []);
    assert_eq!(report.events, report.sealed as u64);
}

#[tokio::test]
async fn two_processes_write_without_gaps() {
    written_by(2, 150).await;
}

#[tokio::test]
async fn four_processes_write_without_gaps() {
    written_by(4, 100).await;
}

#[tokio::test]
async fn who_waits_hears_of_the_commits_of_others() {
    let database = Cluster::shared().database();
    let one = open_postgres(&database.url()).await.unwrap();
    let other = open_postgres(&database.url()).await.unwrap();
    let world = World::new(&one, 1);
    assert_eq!(other.changed(0, 30).await.unwrap(), 0);
    let begun = Instant::now();
    let (position, _) = tokio::join!(other.changed(0, 30_000), world.submit(&[]));
    assert_eq!(position.unwrap(), 2);
    // The line is cut and another makes itself heard meanwhile; then it stands again.
    for round in 2..5 {
        let before = other.changed(0, 0).await.unwrap();
        if round < 4 {
            assert!(database.end_sessions("alma bell") > 0);
        }
        let (position, _) = tokio::join!(other.changed(before, 30_000), world.submit(&[]));
        assert_eq!(position.unwrap(), before + 2);
        tokio::time::sleep(Duration::from_millis(1_200)).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    one.close().await.unwrap();
    other.close().await.unwrap();
}

/// A way to the server. When it is told to, all connections on it fall silent: none is
/// closed, and nothing is answered. Those that are made later are carried.
async fn way(socket: PathBuf) -> (u16, watch::Sender<()>) {
    let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = door.local_addr().unwrap().port();
    let silence = watch::Sender::new(());
    let told = silence.clone();
    tokio::spawn(async move {
        loop {
            let (mut near, _) = door.accept().await.unwrap();
            let mut far = UnixStream::connect(&socket).await.unwrap();
            let mut silent = told.subscribe();
            tokio::spawn(async move {
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    _ = silent.changed() => std::future::pending().await,
                }
            });
        }
    });
    (port, silence)
}

#[tokio::test]
async fn a_line_that_falls_silent_is_given_up_for_a_new_one() {
    let cluster = Cluster::shared();
    let database = cluster.database();
    let (port, silence) = way(cluster.socket()).await;
    let password = PASSWORD.replace(' ', "%20");
    let url = format!("postgresql://{USER}:{password}@127.0.0.1:{port}/{}", database.name);
    let far = open_postgres(&url).await.unwrap();
    let near = open_postgres(&database.url()).await.unwrap();
    let world = World::new(&near, 1);
    for _ in 0..2 {
        let before = far.changed(0, 0).await.unwrap();
        let (heard, _) = tokio::join!(far.changed(before, 30_000), world.submit(&[]));
        assert_eq!(heard.unwrap(), before + 2);
        // From here on the one far away hears again or never.
        silence.send_replace(());
    }
    near.close().await.unwrap();
}

#[tokio::test]
async fn killed_sessions_lose_and_double_nothing() {
    let database = Cluster::shared().database();
    let ledger = open_postgres(&database.url()).await.unwrap();
    let world = World::new(&ledger, 1);
    let drafts: Vec<_> = (0..400).map(|_| world.submission(&[head(1, &[])]).1.transition).collect();
    let (name, rounds) = (database.name.clone(), 12);
    let killer = tokio::task::spawn_blocking(move || {
        let end = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE datname = '{name}' AND application_name LIKE 'alma %'"
        );
        let mut ended = 0;
        for _ in 0..rounds {
            ended += Cluster::shared().sql("postgres", &end).parse::<u32>().unwrap();
            std::thread::sleep(Duration::from_millis(60));
        }
        ended
    });
    for part in drafts.chunks(20) {
        let all = part.iter().map(|draft| insist(&ledger, draft.clone()));
        futures::future::join_all(all).await;
    }
    assert!(killer.await.unwrap() > 0);
    assert_eq!(size(&ledger).await, (400, 800));
    ledger.close().await.unwrap();
    assert_eq!(audit(&database).await.findings, []);
}

#[tokio::test]
async fn a_server_that_comes_back_is_gone_on_with() {
    let cluster = Cluster::start(&[]);
    let database = cluster.database();
    let ledger = open_postgres(&database.url()).await.unwrap();
    let world = World::new(&ledger, 1);
    let mission = world.submit(&[head(1, &[])]).await;
    let fence = world.claim(&StepKey::step(&mission, 1)).await;
    for mode in ["fast", "immediate"] {
        cluster.stop(mode);
        // Nobody knows whether it was written; the same again is safe.
        let lost = world.submission(&[]).1.transition;
        let error = ledger.commit(lost.clone()).await.unwrap_err();
        assert!(matches!(error, LedgerError::Store { .. }), "{error}");
        cluster.run(&[]);
        insist(&ledger, lost).await;
        assert_eq!(ledger.renew(&fence, 5_000_000).await.unwrap(), LeaseStatus::Held);
        assert_eq!(world.mission(&mission).await.id, mission);
    }
    let before = ledger.changed(0, 0).await.unwrap();
    let other = open_postgres(&database.url()).await.unwrap();
    let elsewhere = World::new(&other, 2);
    let (heard, _) = tokio::join!(ledger.changed(before, 30_000), elsewhere.submit(&[]));
    assert_eq!(heard.unwrap(), before + 2);
    other.close().await.unwrap();
    world.finish(&fence, &[]).await;
    ledger.close().await.unwrap();
    assert_eq!(audit(&database).await.findings, []);
}

#[tokio::test]
async fn a_server_that_is_gone_is_given_a_rest() {
    let cluster = Cluster::start(&[]);
    let database = cluster.database();
    let ledger = open_postgres(&database.url()).await.unwrap();
    assert_eq!(ledger.health().circuit, Circuit::Closed);
    cluster.stop("immediate");
    let tenant = TenantId::local();
    let ask = || ledger.query(&tenant, Query::Size);
    futures::future::join_all((0..6).map(|_| ask())).await;
    let health = ledger.health();
    assert_ne!(health.circuit, Circuit::Closed);
    assert!(health.why.is_some());
    // Most fail at once now.
    let begun = Instant::now();
    let errors = futures::future::join_all((0..50).map(|_| ask())).await;
    let quick =
        errors.iter().filter(|e| e.as_ref().unwrap_err().to_string().contains("times in a row"));
    assert!(quick.count() >= 49 && begun.elapsed() < PATIENCE);
    cluster.run(&[]);
    let begun = Instant::now();
    while ask().await.is_err() {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((ledger.health().circuit, ledger.health().why), (Circuit::Closed, None));
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn a_renewal_does_not_wait_for_the_writers() {
    let database = Cluster::shared().database();
    let ledger = open_postgres(&database.url()).await.unwrap();
    let world = World::new(&ledger, 1);
    let mission = world.submit(&[head(1, &[])]).await;
    let fence = world.claim(&StepKey::step(&mission, 1)).await;
    let name = database.name.clone();
    let held = tokio::task::spawn_blocking(move || {
        let hold = "SELECT pg_advisory_lock(x'616c6d610001'::bigint), pg_sleep(4)";
        Cluster::shared().sql(&name, hold)
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let writing = world.submission(&[]).1.commit();
    let renewing = async {
        assert_eq!(ledger.renew(&fence, 99).await.unwrap(), LeaseStatus::Held);
        ledger.note_program(&fence, &common::process(1), true).await.unwrap();
        assert_eq!(world.step(&fence.step).await.state, StepState::Claimed);
        assert!(!held.is_finished(), "it waited for the lock");
    };
    let (written, ()) = tokio::join!(writing, renewing);
    written.unwrap();
    held.await.unwrap();
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn who_may_not_or_cannot_is_told_what_to_do() {
    let cluster = Cluster::shared();
    let database = cluster.database();
    let name = &database.name;
    refused(open_postgres(&cluster.url(USER, "wrong", name)).await, "check the user and the pass");
    refused(open_postgres(&cluster.url(USER, PASSWORD, "nothing")).await, "make the database");
    cluster.sql("postgres", "CREATE ROLE stranger LOGIN PASSWORD 'x'");
    refused(open_postgres(&cluster.url("stranger", "x", name)).await, "the right to CREATE");
    database.sql(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on"));
    refused(open_postgres(&database.url()).await, "address of the primary");
    let reset = format!("ALTER DATABASE {name} RESET default_transaction_read_only");
    cluster.sql("postgres", &reset);
    database.sql(&format!("ALTER DATABASE {name} CONNECTION LIMIT 0"));
    refused(open_postgres(&database.url()).await, "raise max_connections");
    database.sql(&format!("ALTER DATABASE {name} CONNECTION LIMIT -1"));
    let ledger = open_postgres(&database.url()).await.unwrap();
    ledger.close().await.unwrap();
    let other = SigningKey::from_bytes(&[8; 32]);
    let open = PgLedger::open(&address(&database.url()), clock(), other).await;
    refused(open, "copy `ledger.key` from that installation's data folder");
    database.sql("INSERT INTO migrations VALUES (7); UPDATE compat SET oldest = 7");
    refused(open_postgres(&database.url()).await, "newer version of Alma (schema 7); update Alma");
    let error = verify_postgres(&address(&database.url()), &key().verifying_key()).await;
    assert!(error.unwrap_err().to_string().contains("schema 7"));
    let nobody = address("postgresql://alma:x@127.0.0.1:1/x");
    let error = verify_postgres(&nobody, &key().verifying_key()).await.unwrap_err().to_string();
    assert!(error.contains("connect to PostgreSQL at 127.0.0.1:1/x"), "{error}");
}

#[tokio::test]
async fn settings_that_lose_what_was_written_are_refused() {
    let cluster = Cluster::start(&["fsync=off"]);
    let database = cluster.database();
    refused(open_postgres(&database.url()).await, "fsync=off");
}

#[tokio::test]
async fn a_server_that_turns_read_only_or_full_says_so() {
    let database = Cluster::shared().database();
    let ledger = open_postgres(&database.url()).await.unwrap();
    let world = World::new(&ledger, 1);
    database.sql(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN RAISE EXCEPTION 'no space' USING ERRCODE = '53100'; END $$; \
         CREATE TRIGGER full_disk BEFORE INSERT ON events EXECUTE FUNCTION full_disk()",
    );
    let draft = world.submission(&[]).1.transition;
    let error = ledger.commit(draft.clone()).await.unwrap_err();
    assert!(matches!(&error, LedgerError::DiskFull(_)), "{error}");
    database.sql("DROP TRIGGER full_disk ON events");
    ledger.commit(draft).await.unwrap();
    let read_only = format!("ALTER DATABASE {} SET default_transaction_read_only", database.name);
    database.sql(&format!("{read_only} = on"));
    database.end_sessions("alma writer");
    let draft = world.submission(&[]).1.transition;
    let error = ledger.commit(draft.clone()).await.unwrap_err().to_string();
    assert!(error.contains("may only be read"), "{error}");
    let reset = format!("ALTER DATABASE {} RESET default_transaction_read_only", database.name);
    Cluster::shared().sql("postgres", &reset);
    insist(&ledger, draft).await;
    assert_eq!(size(&ledger).await, (2, 4));
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn a_mission_is_found_by_whoever_reads() {
    let database = Cluster::shared().database();
    let (one, other) = (
        open_postgres(&database.url()).await.unwrap(),
        open_postgres(&database.url()).await.unwrap(),
    );
    let mission = World::new(&one, 1).submit(&[head(1, &[])]).await;
    // What was answered is there for everybody at once.
    assert_eq!(other.mission(&TenantId::local(), &mission).await.unwrap().id, mission);
    one.close().await.unwrap();
    other.close().await.unwrap();
}

/// A program that is updated later than the others goes on while the schema only grew,
/// and writes nothing from the moment on at which it must know better.
#[tokio::test]
async fn an_older_program_goes_on_until_it_must_not() {
    let database = Cluster::shared().database();
    let old = open_postgres(&database.url()).await.unwrap();
    let world = World::new(&old, 1);
    database.sql(
        "INSERT INTO migrations VALUES (4); ALTER TABLE steps ADD COLUMN more text; \
         CREATE TABLE extra (n int)",
    );
    world.whole_life().await;
    let other = open_postgres(&database.url()).await.unwrap();
    World::new(&other, 2).whole_mission().await;
    other.close().await.unwrap();
    database.sql("UPDATE compat SET oldest = 4");
    let error = world.submission(&[]).1.commit().await.unwrap_err().to_string();
    assert!(error.contains("newer version of Alma (schema 4); update Alma"), "{error}");
    let bid = Bid { holder: common::process(1), now: 1, expires_at: 2, over: None };
    let error = old.lead(&bid).await.unwrap_err().to_string();
    assert!(error.contains("newer version of Alma (schema 4); update Alma"), "{error}");
    refused(open_postgres(&database.url()).await, "newer version of Alma (schema 4)");
    old.close().await.unwrap();
}

/// Kept of each schema that ever was, as `pg_dump` writes it; each holds an ended
/// mission, and one whose step is being worked on.
#[tokio::test]
async fn a_database_of_each_version_is_verified_and_brought_up_to_date() {
    for (version, missions, events) in [(2, 2, 37)] {
        let database = Cluster::shared().database();
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let dump = std::fs::read_to_string(fixtures.join(format!("ledger-{version}.sql"))).unwrap();
        database.restore(&dump);
        let report = audit(&database).await;
        assert_eq!((report.findings, report.events), (vec![], events), "version {version}");
        let ledger = open_postgres(&database.url()).await.unwrap();
        assert_eq!(size(&ledger).await, (missions, events));
        let world = World::new(&ledger, 43);
        let Rows::Leases(leases) = world.ask(Query::Leases).await else { panic!() };
        let fence = Fence { step: leases[0].step.clone(), token: leases[0].token };
        world.finish(&fence, &[]).await;
        world.whole_life().await;
        ledger.close().await.unwrap();
        assert_eq!(audit(&database).await.findings, []);
    }
}

#[tokio::test]
async fn a_backlog_of_one_tenant_hides_nobody_and_is_never_read_whole() {
    let database = Cluster::shared().database();
    let ledger = open_postgres(&database.url()).await.unwrap();
    database.sql(
        "INSERT INTO alma.outbox (tenant, mission, n, item, due_at, flow) \
         SELECT 'local', 'm-0000000000000001', n, 0, 0, 'light/normal/local' \
         FROM generate_series(1, 100000) n; \
         INSERT INTO alma.outbox (tenant, mission, n, item, due_at, flow) \
         VALUES ('other', 'm-0000000000000002', 1, 0, 5, 'light/normal/other'); \
         ANALYZE alma.outbox",
    );
    let scanned = || {
        let sql = "SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'outbox'";
        database.sql(sql).trim().parse::<u64>().unwrap()
    };
    // Statistics arrive a moment late.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = scanned();
    for _ in 0..5 {
        let query = Query::Outbox { now: 9, limit: 256 };
        let Rows::Outbox(rows) = ledger.query(&TenantId::local(), query).await.unwrap() else {
            panic!()
        };
        assert_eq!((rows.len(), rows[256].tenant.0.as_str()), (257, "other"));
    }
    ledger.close().await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(scanned() - before, 0, "the table was read from end to end");
}
