//! Power loss: whatever part of the write-ahead log reached the disk, the ledger
//! opens, verifies, and holds a whole number of transitions.
#![allow(clippy::unwrap_used)]

mod common;

use charter::ports::{Ledger, Query, Rows};
use common::{Rng, World, head, open};
use ledger::audit::verify;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use std::collections::BTreeSet;
use std::fs;

const CUTS: usize = 120;
/// SQLite moves the log into the file at this size; a cut would then not be one
/// that a power loss can make.
const PAGES_MAX: u64 = 1_000;

#[tokio::test]
async fn a_truncated_write_log_opens_and_verifies() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("ledger.db");
    let ledger = open(&path).await.unwrap();
    let world = World::new(&ledger, 5);
    let mission = world.submit(&[head(1, &[])]).await;
    for _ in 0..2 {
        world.whole_mission().await;
    }
    world.cancelling(&mission, vec![]).commit().await.unwrap();
    let last = ledger.changed(0, 0).await.unwrap();
    let (file, log) = (fs::read(&path).unwrap(), fs::read(path.with_extension("db-wal")).unwrap());
    ledger.close().await.unwrap();
    let mut conn = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    let mut ends: BTreeSet<i64> = sqlx::query_scalar("SELECT max(pos) FROM events GROUP BY txn")
        .fetch_all(&mut conn)
        .await
        .unwrap()
        .into_iter()
        .collect();
    conn.close().await.unwrap();
    ends.insert(0);
    assert!(log.len() as u64 / 4_096 < PAGES_MAX, "{} bytes", log.len());

    let rng = Rng::new(99);
    let key = common::key().verifying_key();
    let mut seen = BTreeSet::new();
    for cut in 0..CUTS {
        let part = home.path().join(format!("cut-{cut}"));
        fs::create_dir(&part).unwrap();
        let path = part.join("ledger.db");
        let keep = if cut == 0 { log.len() } else { rng.below(log.len()) };
        fs::write(&path, &file).unwrap();
        fs::write(path.with_extension("db-wal"), &log[..keep]).unwrap();
        let ledger = open(&path).await.unwrap();
        let Rows::Size(size) =
            ledger.query(&charter::ids::TenantId::local(), Query::Size).await.unwrap()
        else {
            panic!()
        };
        // It goes on from there.
        World::new(&ledger, cut as u64 + 100).whole_mission().await;
        ledger.close().await.unwrap();
        let report = verify(&path, &key).await.unwrap();
        assert_eq!(report.findings, [], "{keep} of {} bytes", log.len());
        assert!(ends.contains(&size.position), "half a transition: {}", size.position);
        seen.insert(size.position);
        fs::remove_dir_all(&part).unwrap();
    }
    assert!(seen.len() > 10 && seen.contains(&last), "{seen:?}");
}
