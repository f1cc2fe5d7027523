//! What only the ledger in a file has: settings, versions, full disks, one
//! transaction for many, checkpoints.
#![allow(clippy::unwrap_used)]

mod common;

use charter::digest::Digest;
use charter::event::EffectOutcome;
use charter::ids::{StepKey, TenantId};
use charter::ports::{Fence, Ledger, LedgerError, Query, Rows};
use charter::rows::MissionState;
use common::{World, clock, head, key, open};
use ledger::audit::verify;
use ledger::{SqliteLedger, SqliteOptions};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Instant;

fn home() -> (tempfile::TempDir, std::path::PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("ledger.db");
    (home, path)
}

async fn size(ledger: &dyn Ledger) -> (u64, u64) {
    let Rows::Size(size) = ledger.query(&TenantId::local(), Query::Size).await.unwrap() else {
        panic!()
    };
    (size.missions, size.events)
}

async fn sql(path: &Path, statement: &'static str) {
    let mut conn = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
    sqlx::query(statement).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
}

#[tokio::test]
async fn it_is_durable_private_and_there_again() {
    let (_home, path) = home();
    let ledger = open(&path).await.unwrap();
    let durability = ledger.durability();
    assert_eq!((&*durability.journal_mode, &*durability.synchronous), ("wal", "full"));
    let mission = World::new(&ledger, 1).whole_mission().await;
    let before = size(&ledger).await;
    for file in std::fs::read_dir(path.parent().unwrap()).unwrap() {
        let mode = file.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    ledger.close().await.unwrap();
    let late = ledger.changed(0, 0).await.unwrap();
    assert!(late > 0);
    let closed = World::new(&ledger, 2).submission(&[]).1.commit().await;
    assert!(matches!(closed, Err(LedgerError::Store { .. })), "{closed:?}");
    let ledger = open(&path).await.unwrap();
    assert_eq!(size(&ledger).await, before);
    let world = World::new(&ledger, 3);
    assert_eq!(world.mission(&mission).await.state, MissionState::Done);
    world.whole_mission().await;
    ledger.close().await.unwrap();
    assert!(verify(&path, &key().verifying_key()).await.unwrap().is_clean());
}

#[tokio::test]
async fn a_dropped_ledger_is_sealed_too() {
    let (_home, path) = home();
    let ledger = open(&path).await.unwrap();
    World::new(&ledger, 1).submit(&[head(1, &[])]).await;
    drop(ledger);
    // The writer ends on its own when nobody holds the ledger.
    let key = key().verifying_key();
    for _ in 0..100 {
        if verify(&path, &key).await.unwrap().sealed == 2 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("no checkpoint was made");
}

#[tokio::test]
async fn a_newer_version_is_refused_with_advice() {
    let (_home, path) = home();
    open(&path).await.unwrap().close().await.unwrap();
    sql(
        &path,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (7, 'future', 1, x'00', 0); ALTER TABLE steps ADD COLUMN more TEXT",
    )
    .await;
    // It only grew: this version may go on.
    let ledger = open(&path).await.unwrap();
    World::new(&ledger, 1).whole_life().await;
    ledger.close().await.unwrap();
    sql(&path, "UPDATE compat SET oldest = 7").await;
    let expect = "newer version of Alma (schema 7); update Alma";
    for error in
        [open(&path).await.unwrap_err(), verify(&path, &key().verifying_key()).await.unwrap_err()]
    {
        assert!(matches!(&error, LedgerError::Damaged(why) if why.contains(expect)), "{error}");
    }
}

#[tokio::test]
async fn a_damaged_file_is_refused_with_advice() {
    let (_home, path) = home();
    let ledger = open(&path).await.unwrap();
    World::new(&ledger, 1).whole_mission().await;
    ledger.close().await.unwrap();
    let good = std::fs::read(&path).unwrap();
    let mut header = good.clone();
    header[..16].fill(b'?');
    let mut pages = good.clone();
    pages[4_096..].fill(0xff);
    let shortened = good[..good.len() / 2].to_vec();
    for bad in [header, pages, shortened] {
        std::fs::write(&path, &bad).unwrap();
        let error = match open(&path).await {
            Err(error) => error,
            // A hole further back is met when it is read.
            Ok(ledger) => {
                let world = World::new(&ledger, 2);
                world.submission(&[]).1.commit().await.unwrap_err()
            }
        };
        let LedgerError::Damaged(why) = &error else { panic!("{error}") };
        assert!(why.contains("restore a backup"), "{why}");
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_named() {
    let error = open(Path::new("/nonexistent/ledger.db")).await.unwrap_err().to_string();
    assert!(error.contains("make the file /nonexistent/ledger.db"), "{error}");
}

#[tokio::test]
async fn below_the_floor_nothing_new_starts() {
    let (_home, path) = home();
    let mission;
    let fence;
    let effect = Digest::of(b"effect");
    {
        let ledger = open(&path).await.unwrap();
        let world = World::new(&ledger, 1);
        mission = world.submit(&[head(1, &[])]).await;
        fence = world.claim(&StepKey::step(&mission, 1)).await;
        world.intending(&fence, effect, None).commit().await.unwrap();
        ledger.close().await.unwrap();
    }
    let full = SqliteOptions { free_floor: u64::MAX };
    let ledger = SqliteLedger::open_with(&path, clock(), key(), full).await.unwrap();
    let world = World::new(&ledger, 2);
    let other = Digest::of(b"other");
    let (_, submission) = world.submission(&[head(1, &[])]);
    for new in [world.intending(&fence, other, None), submission] {
        let error = new.commit().await.unwrap_err();
        assert!(matches!(error, LedgerError::DiskFull(_)), "{error}");
    }
    world.receiving(&fence, effect, EffectOutcome::Done).commit().await.unwrap();
    world.finish(&fence, &[]).await;
    world.end(&mission, MissionState::Done).await;
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn one_refusal_among_many_commits_takes_no_other_with_it() {
    let (_home, path) = home();
    let ledger = open(&path).await.unwrap();
    let world = World::new(&ledger, 1);
    let mut drafts = Vec::new();
    for n in 0..300 {
        let (_, mut draft) = world.submission(&[head(1, &[])]);
        if n % 3 == 0 {
            draft.text("stray");
        }
        drafts.push(draft.transition);
    }
    let answers =
        futures::future::join_all(drafts.into_iter().map(|draft| ledger.commit(draft))).await;
    for (n, answer) in answers.iter().enumerate() {
        assert_eq!(answer.is_err(), n % 3 == 0, "{n}: {answer:?}");
    }
    assert_eq!(size(&ledger).await, (200, 400));
    ledger.close().await.unwrap();
    assert!(verify(&path, &key().verifying_key()).await.unwrap().is_clean());
}

#[tokio::test]
async fn a_claim_is_won_by_one() {
    let (_home, path) = home();
    let ledger = open(&path).await.unwrap();
    let world = World::new(&ledger, 1);
    let mission = world.submit(&[head(1, &[])]).await;
    let step = StepKey::step(&mission, 1);
    let claims = (0..20).map(|_| world.try_claim(&step));
    let won = futures::future::join_all(claims).await;
    assert_eq!(won.iter().filter(|claim| claim.is_ok()).count(), 1);
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn checkpoints_are_made_when_due() {
    let (_home, path) = home();
    let ledger = open(&path).await.unwrap();
    assert_eq!(ledger.checkpoint().await.unwrap(), None);
    let world = World::new(&ledger, 1);
    for _ in 0..499 {
        world.submit(&[]).await;
    }
    let key = key().verifying_key();
    assert_eq!(verify(&path, &key).await.unwrap().checkpoints, 0);
    let mission = world.submit(&[]).await;
    let report = verify(&path, &key).await.unwrap();
    assert_eq!((report.checkpoints, report.sealed), (1, 1_000));
    world.end(&mission, MissionState::Done).await;
    let report = verify(&path, &key).await.unwrap();
    assert_eq!((report.checkpoints, report.sealed), (2, 1_003));
    let newest = ledger.checkpoint().await.unwrap().unwrap();
    assert_eq!((newest.n, newest.position, newest.fault(&key)), (2, 1_003, None));
    world.submit(&[]).await;
    let newest = ledger.checkpoint().await.unwrap().unwrap();
    assert_eq!((newest.n, newest.position), (3, 1_005));
    world.submit(&[]).await;
    ledger.close().await.unwrap();
    let report = verify(&path, &key).await.unwrap();
    assert_eq!((report.checkpoints, report.sealed, report.findings.len()), (4, 1_007, 0));
}

#[tokio::test]
async fn who_waits_is_told() {
    let (_home, path) = home();
    let ledger = open(&path).await.unwrap();
    let world = World::new(&ledger, 1);
    let begun = Instant::now();
    assert_eq!(ledger.changed(0, 30).await.unwrap(), 0);
    assert!(begun.elapsed().as_millis() >= 30);
    let (position, _) = tokio::join!(ledger.changed(0, 10_000), world.submit(&[]));
    assert_eq!(position.unwrap(), 2);
    assert!(begun.elapsed().as_millis() < 5_000);
    ledger.close().await.unwrap();
}

/// Not a benchmark: guards against a slow path by a wide margin, and prints what
/// it measured.
#[tokio::test]
async fn it_stays_quick() {
    let (_home, path) = home();
    let ledger = open(&path).await.unwrap();
    let world = World::new(&ledger, 1);
    let mut times = Vec::new();
    for _ in 0..100 {
        let mission = world.submit(&[head(1, &[])]).await;
        let step = StepKey::step(&mission, 1);
        let row = world.step(&step).await;
        let claim = world.claiming(&Fence { step, token: row.token + 1 });
        let begun = Instant::now();
        claim.commit().await.unwrap();
        times.push(begun.elapsed());
    }
    times.sort();
    println!("one commit: {:?} at the median, {:?} at most", times[50], times[99]);
    assert!(times[50].as_millis() < 50, "{:?}", times[50]);

    let mission = world.submit(&[common::each(1, &[])]).await;
    let fence = world.claim(&StepKey::step(&mission, 1)).await;
    let begun = Instant::now();
    world.expanding(&fence, 5_000, None).commit().await.unwrap();
    println!("5,000 instances: {:?}", begun.elapsed());
    ledger.close().await.unwrap();
    let begun = Instant::now();
    let report = verify(&path, &key().verifying_key()).await.unwrap();
    println!("audit of {} events: {:?}", report.events, begun.elapsed());
    assert!(report.is_clean());
}

/// Everything that lies on the disk.
fn raw(path: &Path) -> Vec<u8> {
    ["db", "db-wal", "db-shm"]
        .iter()
        .flat_map(|end| std::fs::read(path.with_extension(end)).unwrap())
        .collect()
}

#[tokio::test]
async fn what_is_forgotten_is_nowhere_on_the_disk() {
    let (_home, path) = home();
    let ledger = open(&path).await.unwrap();
    let world = World::new(&ledger, 40);
    let mut texts = Vec::new();
    for n in 0..240_usize {
        // Within a page and beyond one.
        let filling = ["", "z", "y"][n % 3].repeat([0, 30, 700, 5_000][n % 4]);
        let marker = format!("MARKER{n:04}END");
        let memory = world.observe(&format!("{marker}{filling}{marker}")).await;
        let row: charter::memory::MemoryRow = world.record(&memory).await;
        texts.push((marker, memory, row.text.id));
    }
    let mut gone: Vec<String> = Vec::new();
    while texts.len() > 20 {
        let mut batch = Vec::new();
        for _ in 0..20 {
            batch.push(texts.swap_remove(world.rng.below(texts.len())));
        }
        let needle = batch[0].0.clone();
        let with = Query::ContentsWith { needle, limit: 9 };
        assert_eq!(world.ask(with).await, Rows::ContentIds(vec![batch[0].2.clone()]));
        let memories: Vec<_> = batch.iter().map(|text| text.1.clone()).collect();
        let contents: Vec<_> = batch.iter().map(|text| text.2.clone()).collect();
        world.forgetting(&memories, &contents).commit().await.unwrap();
        gone.extend(batch.into_iter().map(|text| text.0));
        let raw = raw(&path);
        let found = |marker: &str| raw.windows(marker.len()).any(|w| w == marker.as_bytes());
        // One search over all of it is enough: markers begin alike.
        let seen: std::collections::BTreeSet<_> = raw
            .windows(13)
            .filter(|w| w.starts_with(b"MARKER"))
            .map(|w| String::from_utf8_lossy(w).into_owned())
            .collect();
        let left: Vec<_> = gone.iter().filter(|marker| seen.contains(*marker)).collect();
        assert!(left.is_empty(), "{left:?}");
        assert!(found(&texts[0].0), "what was kept is there");
    }
    for (marker, _, id) in &texts {
        let Rows::Contents(kept) = world.ask(Query::Content { id: id.clone() }).await else {
            panic!()
        };
        assert!(kept[0].text().starts_with(marker));
    }
    ledger.close().await.unwrap();
    let report = verify(&path, &key().verifying_key()).await.unwrap();
    assert_eq!((report.findings, report.forgotten), (vec![], 220));
}

#[tokio::test]
async fn a_reader_holds_the_scrubbing_back_for_a_while_only() {
    let (_home, path) = home();
    let ledger = open(&path).await.unwrap();
    let world = World::new(&ledger, 41);
    let memory = world.observe("MARKER").await;
    let row: charter::memory::MemoryRow = world.record(&memory).await;
    let mut reader =
        SqliteConnectOptions::new().filename(&path).read_only(true).connect().await.unwrap();
    sqlx::query("BEGIN").execute(&mut reader).await.unwrap();
    sqlx::query("SELECT count(*) FROM events").execute(&mut reader).await.unwrap();
    world.forgetting(&[memory], &[row.text.id]).commit().await.unwrap();
    let there = || raw(&path).windows(6).any(|w| w == b"MARKER");
    assert!(there(), "the reader needs it still");
    sqlx::query("COMMIT").execute(&mut reader).await.unwrap();
    reader.close().await.unwrap();
    for _ in 0..100 {
        if !there() {
            return ledger.close().await.unwrap();
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the text is still there");
}

/// Kept of each schema that ever was; each holds an ended mission, and one whose
/// step is being worked on.
#[tokio::test]
async fn a_ledger_of_each_version_is_verified_and_brought_up_to_date() {
    for (version, missions, events) in [(1, 2, 24), (2, 2, 37)] {
        let (_home, path) = home();
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        std::fs::copy(fixtures.join(format!("ledger-{version}.db")), &path).unwrap();
        let report = verify(&path, &key().verifying_key()).await.unwrap();
        assert_eq!((report.findings, report.events), (vec![], events), "version {version}");
        let ledger = open(&path).await.unwrap();
        assert_eq!(size(&ledger).await, (missions, events));
        let world = World::new(&ledger, 43);
        let Rows::Leases(leases) = world.ask(Query::Leases).await else { panic!() };
        let fence = Fence { step: leases[0].step.clone(), token: leases[0].token };
        world.finish(&fence, &[]).await;
        world.whole_life().await;
        ledger.close().await.unwrap();
        assert_eq!(verify(&path, &key().verifying_key()).await.unwrap().findings, []);
    }
}
