//! The household, tried with two processes and with broken ones.

use super::lock::OwnerLock;
use super::testing::{Tally, fence, transition};
use super::wire::{Call, Hello, Message, Welcome};
use super::*;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

const SOON: Duration = Duration::from_secs(10);

fn opening(ledger: &Arc<Tally>) -> OpenLedger {
    let ledger = Arc::clone(ledger);
    Box::new(move || {
        let ledger: Arc<dyn Ledger> = Arc::clone(&ledger) as _;
        Box::pin(async move { Ok(OpenedLedger::new(ledger)) })
    })
}

async fn join(home: &Path, ledger: &Arc<Tally>) -> Arc<Household> {
    Household::open(home, opening(ledger)).await.unwrap()
}

async fn until_role(household: &Household, role: Role) {
    let mut roles = household.role_changes();
    let waited = tokio::time::timeout(SOON, roles.wait_for(|now| *now == role)).await;
    assert!(waited.is_ok(), "never {role:?}, still {:?}", household.role());
}

async fn events(household: &Household) -> u64 {
    match household.query(&TenantId::local(), Query::Size).await.unwrap() {
        Rows::Size(size) => size.events,
        other => panic!("{other:?}"),
    }
}

/// A connection of somebody who speaks the protocol by hand.
async fn by_hand(home: &Path, version: &str) -> (UnixStream, Option<Welcome>) {
    let mut stream = address::connect(home).await.unwrap().unwrap();
    let hello = wire::frame(&Hello { version: version.to_owned() }).unwrap();
    stream.write_all(&hello).await.unwrap();
    let welcome = wire::read(&mut stream).await.unwrap();
    (stream, welcome)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_process_attaches_and_both_see_what_either_does() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Arc::new(Tally::default());
    let first = join(folder.path(), &ledger).await;
    let second = join(folder.path(), &ledger).await;
    assert_eq!((first.role(), second.role()), (Role::Owner, Role::Attached));

    let committed = second.commit(transition(1, 2)).await.unwrap();
    assert_eq!(committed.position, 1);
    assert_eq!(first.changed(0, 5_000).await.unwrap(), 1);
    first.commit(transition(2, 0)).await.unwrap();
    assert_eq!(second.changed(1, 5_000).await.unwrap(), 2);
    assert_eq!((events(&first).await, events(&second).await), (2, 2));
    assert_eq!(second.renew(&fence(), 9).await.unwrap(), LeaseStatus::Held);
    second.outbox_done(&[1]).await.unwrap();
    second.note_program(&fence(), &testing::process(), true).await.unwrap();

    // A refusal of the ledger is the same from afar.
    let missing = Query::Mission { id: testing::mission() };
    let local = first.query(&TenantId::local(), missing.clone()).await.unwrap_err();
    let remote = second.query(&TenantId::local(), missing).await.unwrap_err();
    assert_eq!(local, remote);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_of_the_owner_is_heard_everywhere_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Arc::new(Tally::default());
    let owner = join(folder.path(), &ledger).await;
    let others = [join(folder.path(), &ledger).await, join(folder.path(), &ledger).await];
    let mut waits = Vec::new();
    for _ in 0..20 {
        let mut rings: Vec<_> = others.iter().map(|other| other.rings()).collect();
        rings.push(owner.rings());
        let began = Instant::now();
        owner.ring();
        for heard in &mut rings {
            assert!(tokio::time::timeout(SOON, heard.changed()).await.is_ok());
        }
        waits.push(began.elapsed());
    }
    waits.sort();
    assert!(waits[10] < Duration::from_millis(20), "median {:?}", waits[10]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_owner_closes_another_takes_over_and_a_call_under_way_lands_once() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Arc::new(Tally::default());
    let owner = join(folder.path(), &ledger).await;
    let heir = join(folder.path(), &ledger).await;
    let third = join(folder.path(), &ledger).await;
    ledger.hold(true);
    let asker = Arc::clone(&heir);
    let under_way = tokio::spawn(async move { asker.commit(transition(7, 1)).await });
    let began = Instant::now();
    while ledger.calls() == 0 {
        assert!(began.elapsed() < SOON, "the commit never arrived");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Written, not answered: the owner goes before it can say so.
    let leaving = tokio::spawn(async move { owner.close().await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    ledger.hold(false);
    leaving.await.unwrap();
    let committed = under_way.await.unwrap().unwrap();
    assert_eq!((committed.position, ledger.written()), (1, 1));
    assert_eq!(ledger.calls(), 2, "it was asked again by its name");

    let began = Instant::now();
    let owners = loop {
        let roles = [heir.role(), third.role()];
        if !roles.contains(&Role::Seeking) {
            break roles.iter().filter(|role| **role == Role::Owner).count();
        }
        assert!(began.elapsed() < SOON, "nobody settled: {roles:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    assert_eq!(owners, 1);
    assert_eq!((events(&heir).await, events(&third).await), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_owner_gives_the_folder_back() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Arc::new(Tally::default());
    let owner = join(folder.path(), &ledger).await;
    let heir = join(folder.path(), &ledger).await;
    drop(owner);
    until_role(&heir, Role::Owner).await;
    heir.commit(transition(1, 0)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_is_closed_before_the_lock_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Arc::new(Tally::default());
    let closed = Arc::new(AtomicBool::new(false));
    let (tally, flag, home) = (Arc::clone(&ledger), Arc::clone(&closed), folder.path().to_owned());
    let open: OpenLedger = Box::new(move || {
        let (tally, flag, home) = (Arc::clone(&tally), Arc::clone(&flag), home.clone());
        Box::pin(async move {
            Ok(OpenedLedger::new(tally).on_close(async move {
                tokio::time::sleep(Duration::from_millis(100)).await;
                let free = OwnerLock::try_take(&home).unwrap().is_some();
                flag.store(!free, Ordering::SeqCst);
            }))
        })
    });
    let owner = Household::open(folder.path(), open).await.unwrap();
    owner.close().await;
    assert!(closed.load(Ordering::SeqCst), "the lock was free before the ledger was closed");
    assert_eq!(owner.role(), Role::Closed);
    assert!(owner.commit(transition(1, 0)).await.is_err());
    assert!(!folder.path().join(address::SOCKET_FILE).exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_processes_commit_a_thousand_changes() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Arc::new(Tally::default());
    let owner = join(folder.path(), &ledger).await;
    let mut tasks = tokio::task::JoinSet::new();
    for client in 0..4u64 {
        let household = join(folder.path(), &ledger).await;
        for n in 0..250 {
            let household = Arc::clone(&household);
            tasks.spawn(async move { household.commit(transition(client * 1_000 + n, 1)).await });
        }
    }
    let mut positions = Vec::new();
    while let Some(done) = tasks.join_next().await {
        positions.push(done.unwrap().unwrap().position);
    }
    positions.sort_unstable();
    assert_eq!(positions, (1..=1_000).collect::<Vec<i64>>());
    assert_eq!(events(&owner).await, 1_000);
    assert_eq!(owner.changed(999, 5_000).await.unwrap(), 1_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_commit_holds_up_no_lease() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Arc::new(Tally::default());
    let _owner = join(folder.path(), &ledger).await;
    let worker = join(folder.path(), &ledger).await;
    ledger.hold(true);
    for n in 0..600 {
        let worker = Arc::clone(&worker);
        tokio::spawn(async move { worker.commit(transition(n, 0)).await });
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let renewed = tokio::time::timeout(Duration::from_secs(2), worker.renew(&fence(), 1)).await;
    assert_eq!(renewed.unwrap().unwrap(), LeaseStatus::Held);
    ledger.hold(false);
}

async fn still_serves(home: &Path, ledger: &Arc<Tally>, n: u64) {
    let household = join(home, ledger).await;
    assert_eq!(household.role(), Role::Attached);
    let commit = household.commit(transition(n, 1));
    tokio::time::timeout(SOON, commit).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_costs_its_sender_the_connection_and_nobody_else_anything() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Arc::new(Tally::default());
    let _owner = join(folder.path(), &ledger).await;

    let mut rude = address::connect(folder.path()).await.unwrap().unwrap();
    rude.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(wire::read::<Welcome, _>(&mut rude).await.unwrap_or(None).is_none());
    still_serves(folder.path(), &ledger, 1).await;

    for body in [&b"\xc1\xc1\xc1\xc1"[..], &[0x91; 70_000], b""] {
        let (mut stream, _) = by_hand(folder.path(), wire::VERSION).await;
        let len = (body.len() as u32).to_be_bytes();
        stream.write_all(&[&len, body].concat()).await.unwrap();
        let after = tokio::time::timeout(SOON, wire::read::<Message, _>(&mut stream)).await;
        assert!(after.unwrap().unwrap_or(None).is_none(), "the connection goes on");
    }
    let (mut greedy, _) = by_hand(folder.path(), wire::VERSION).await;
    greedy.write_all(&u32::MAX.to_be_bytes()).await.unwrap();
    let after = tokio::time::timeout(SOON, wire::read::<Message, _>(&mut greedy)).await;
    assert!(after.unwrap().unwrap_or(None).is_none(), "the connection goes on");
    still_serves(folder.path(), &ledger, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_without_reading_or_promises_without_sending_blocks_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Arc::new(Tally::default());
    let _owner = join(folder.path(), &ledger).await;
    let (mut deaf, _) = by_hand(folder.path(), wire::VERSION).await;
    // Each answer has a mebibyte, and none is read.
    let flood = tokio::spawn(async move {
        for id in 0..5_000 {
            let query = Box::new(Query::Leases);
            let request = Request::Query { tenant: TenantId::local(), query };
            let frame = wire::frame(&Call { id, request }).unwrap();
            if deaf.write_all(&frame).await.is_err() {
                break;
            }
        }
    });
    let mut promises = Vec::new();
    for _ in 0..4 {
        let (mut stream, _) = by_hand(folder.path(), wire::VERSION).await;
        stream.write_all(&(wire::FRAME_MAX as u32).to_be_bytes()).await.unwrap();
        promises.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    still_serves(folder.path(), &ledger, 3).await;
    flood.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_version_is_told_so_on_either_side() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Arc::new(Tally::default());
    let owner = join(folder.path(), &ledger).await;
    let (_, welcome) = by_hand(folder.path(), "0.0.0-older").await;
    let Some(Welcome::Refused { version, reason }) = welcome else { panic!("{welcome:?}") };
    assert_eq!(version, wire::VERSION);
    assert!(reason.contains("0.0.0-older"), "{reason}");
    owner.close().await;

    let _lock = OwnerLock::try_take(folder.path()).unwrap().unwrap();
    let listener = address::listen(folder.path()).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _: Option<Hello> = wire::read(&mut stream).await.unwrap();
        let no = Welcome::Refused { version: "9.9.9".into(), reason: "newer".into() };
        stream.write_all(&wire::frame(&no).unwrap()).await.unwrap();
    });
    let error = Household::open(folder.path(), opening(&ledger)).await.err().unwrap();
    assert!(error.to_string().contains("runs version 9.9.9"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_does_not_answer_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Arc::new(Tally::default());
    let _lock = OwnerLock::try_take(folder.path()).unwrap().unwrap();
    let patience = Duration::from_millis(100);
    let error = Household::open_with_patience(folder.path(), opening(&ledger), patience)
        .await
        .err()
        .unwrap();
    assert!(error.to_string().contains(&format!("pid {}", std::process::id())), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_waits_for_a_successor_but_not_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Arc::new(Tally::default());
    let owner = join(folder.path(), &ledger).await;
    let broken: OpenLedger =
        Box::new(|| Box::pin(async { Err(LedgerError::Damaged("page 7 is torn".to_owned())) }));
    let patience = Duration::from_millis(300);
    let heir = Household::open_with_patience(folder.path(), broken, patience).await.unwrap();
    owner.close().await;
    let error = heir.commit(transition(1, 0)).await.unwrap_err();
    assert!(error.to_string().contains("page 7 is torn"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_that_no_frame_holds_are_refused_in_every_role() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Arc::new(Tally::default());
    let owner = join(folder.path(), &ledger).await;
    let second = join(folder.path(), &ledger).await;
    let mut fits = transition(1, 2);
    fits.contents[0].bytes = vec![0; CONTENTS_MAX - 100];
    second.commit(fits.clone()).await.unwrap();
    fits.contents[1].bytes = vec![0; 101];
    for household in [owner, second] {
        assert!(matches!(household.commit(fits.clone()).await, Err(LedgerError::Conflict(_))));
    }
}

/// A ledger on disk, as the product has it.
fn on_disk(home: &Path) -> OpenLedger {
    let path = home.join("ledger.db");
    Box::new(move || {
        let path = path.clone();
        Box::pin(async move {
            let key = crate::SigningKey::from_bytes(&[7; 32]);
            let ledger = SqliteLedger::open(&path, Arc::new(testing::StillClock), key).await?;
            Ok(OpenedLedger::from(ledger))
        })
    })
}

const CHILD_HOME: &str = "ALMA_TEST_HOUSEHOLD";

/// Not a test of its own: what the killed owner of the next test runs.
#[tokio::test]
async fn child_that_owns_a_folder() {
    let Some(home) = std::env::var_os(CHILD_HOME) else { return };
    let home = PathBuf::from(home);
    let _owner = Household::open(&home, on_disk(&home)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_owner_is_succeeded_within_a_second_and_no_commit_is_lost_or_doubled() {
    const COMMITS: u64 = 400;
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "household::tests::child_that_owns_a_folder"])
        .env(CHILD_HOME, folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while address::connect(folder.path()).await.ok().flatten().is_none() {
        assert!(began.elapsed() < SOON, "the child does not listen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let heir = Household::open(folder.path(), on_disk(folder.path())).await.unwrap();
    let third = Household::open(folder.path(), on_disk(folder.path())).await.unwrap();
    assert_eq!((heir.role(), third.role()), (Role::Attached, Role::Attached));

    let mut commits = tokio::task::JoinSet::new();
    for n in 0..COMMITS {
        let household = Arc::clone(if n % 2 == 0 { &heir } else { &third });
        commits.spawn(async move { household.commit(testing::submission(n)).await });
    }
    for _ in 0..COMMITS / 10 {
        commits.join_next().await.unwrap().unwrap().unwrap();
    }
    let killed = Instant::now();
    child.kill().unwrap();
    heir.query(&TenantId::local(), Query::Size).await.unwrap();
    let took = killed.elapsed();
    while let Some(done) = commits.join_next().await {
        done.unwrap().unwrap();
    }
    child.wait().unwrap();
    assert!(took < Duration::from_secs(1), "it took {took:?}");
    let Rows::Size(size) = heir.query(&TenantId::local(), Query::Size).await.unwrap() else {
        panic!("not a size")
    };
    assert_eq!((size.missions, size.events), (COMMITS, 2 * COMMITS));
    let mut roles = [heir.role(), third.role()];
    roles.sort_by_key(|role| *role == Role::Attached);
    assert_eq!(roles, [Role::Owner, Role::Attached]);
}
