//! A whole ledger moves between a file and a database, and back, unchanged; into
//! nothing but an empty place; and a transfer that was killed begins anew.
#![allow(clippy::unwrap_used)]

mod common;

use charter::ids::StepKey;
use charter::leader::Bid;
use charter::ports::{Ledger, LedgerError, Query, Rows};
use common::postgres::Cluster;
use common::{World, address, head, key, open, open_postgres};
use ledger::transfer::{Moved, Place, transfer, was_moved};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Behind every lease of the stories.
const LATER: i64 = 1_000_000_000;

fn home() -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("ledger.db");
    (home, path)
}

async fn filled(path: &Path) {
    let ledger = open(path).await.unwrap();
    let world = World::new(&ledger, 1);
    for _ in 0..3 {
        world.whole_mission().await;
    }
    world.whole_life().await;
    let mission = world.submit(&[head(1, &[]), head(2, &[])]).await;
    world.claim(&StepKey::step(&mission, 1)).await;
    let holder = common::process(1);
    ledger.lead(&Bid { holder, now: 1, expires_at: 2, over: None }).await.unwrap();
    ledger.close().await.unwrap();
}

async fn moved(from: &Place, to: &Place) -> Result<Moved, LedgerError> {
    moved_by(from, to, &key(), LATER).await.map(|moved| moved.unwrap())
}

async fn moved_by(
    from: &Place,
    to: &Place,
    key: &ledger::SigningKey,
    now: i64,
) -> Result<Option<Moved>, LedgerError> {
    transfer(from, to, key, now, &|_| {}).await
}

fn refused<T: std::fmt::Debug>(result: Result<T, LedgerError>, expect: &str) {
    let error = result.unwrap_err().to_string();
    assert!(error.contains(expect), "{error:?} does not say {expect:?}");
}

#[tokio::test]
async fn a_ledger_goes_there_and_back_unchanged() {
    let (home, path) = home();
    filled(&path).await;
    let (file, database) = (Place::File(path.clone()), Cluster::shared().database());
    let server = Place::Postgres(address(&database.url()));
    let there = moved(&file, &server).await.unwrap();
    assert!(there.audit.is_clean() && there.audit.forgotten == 1);
    assert_eq!(there.rows.iter().filter(|(_, rows)| *rows == 0).count(), 0, "{:?}", there.rows);
    let back = home.path().join("back.db");
    let again = moved(&server, &Place::File(back.clone())).await.unwrap();
    assert_eq!((&again.rows, again.position), (&there.rows, there.position));
    // It goes on from there, and nowhere else.
    let ledger = open(&back).await.unwrap();
    let world = World::new(&ledger, 9);
    world.whole_mission().await;
    let Rows::Outbox(rows) = world.ask(Query::Outbox { now: LATER, limit: 99 }).await else {
        panic!()
    };
    let ids: BTreeSet<i64> = rows.iter().map(|row| row.id).collect();
    assert_eq!(ids.len(), rows.len());
    ledger.close().await.unwrap();
    refused(open(&path).await, "it was moved elsewhere with `alma migrate`");
    refused(open_postgres(&database.url()).await, "it was moved elsewhere with `alma migrate`");
    // What stayed behind is whole.
    assert_eq!(ledger::audit::verify(&path, &key().verifying_key()).await.unwrap().findings, []);
    let third = home.path().join("third.db");
    assert!(moved(&Place::File(back), &Place::File(third)).await.unwrap().audit.is_clean());
}

#[tokio::test]
async fn a_ledger_in_postgres_goes_on_in_another_database() {
    let (home, path) = home();
    filled(&path).await;
    let (one, other) = (Cluster::shared().database(), Cluster::shared().database());
    let (one, other_place) =
        (Place::Postgres(address(&one.url())), Place::Postgres(address(&other.url())));
    moved(&Place::File(path), &one).await.unwrap();
    moved(&one, &other_place).await.unwrap();
    let ledger = open_postgres(&other.url()).await.unwrap();
    World::new(&ledger, 9).whole_mission().await;
    ledger.close().await.unwrap();
    assert!(was_moved(&one, &other_place, &key()).await.unwrap());
    assert!(!was_moved(&other_place, &one, &key()).await.unwrap(), "it goes on there");
    // Another one is not what was moved, however many events it has.
    let strange = home.path().join("strange.db");
    let ledger = open(&strange).await.unwrap();
    let world = World::new(&ledger, 77);
    for _ in 0..9 {
        world.whole_mission().await;
    }
    ledger.close().await.unwrap();
    let strange = Place::File(strange);
    assert!(!was_moved(&one, &strange, &key()).await.unwrap());
    refused(moved_by(&one, &strange, &key(), LATER).await, "it was moved elsewhere");
    // Told again, it knows that it is done.
    assert_eq!(moved_by(&one, &other_place, &key(), LATER).await.unwrap(), None);
}

#[tokio::test]
async fn what_cannot_be_moved_is_refused() {
    let (home, path) = home();
    filled(&path).await;
    let file = Place::File(path.clone());
    let (database, other) = (Cluster::shared().database(), home.path().join("other.db"));
    let server = Place::Postgres(address(&database.url()));
    refused(moved_by(&file, &server, &key(), 1).await, "a process works there as the leader");
    refused(moved_by(&file, &server, &key(), 2).await, "1 steps are being worked on");
    refused(moved(&Place::File(other.clone()), &server).await, "other.db was not found");
    refused(moved(&server, &Place::File(other.clone())).await, "a ledger at 127.0.0.1");
    let stranger = ledger::SigningKey::from_bytes(&[8; 32]);
    refused(moved_by(&file, &server, &stranger, LATER).await, "is not what was signed");
    let own = home.path().join("own.db");
    filled(&own).await;
    moved(&file, &server).await.unwrap();
    refused(moved(&Place::File(own), &server).await, "holds a ledger already");
    refused(moved(&server, &file).await, "holds a ledger already");
    let copy = Place::File(other);
    refused(moved(&file, &copy).await, "it was moved elsewhere with `alma migrate`");
    refused(moved_by(&server, &copy, &stranger, LATER).await, "copy `ledger.key`");
    // Somebody works there.
    let ledger = open_postgres(&database.url()).await.unwrap();
    World::new(&ledger, 5).whole_mission().await;
    refused(moved(&server, &copy).await, "connections of other processes use the record");
    ledger.close().await.unwrap();
    moved(&server, &copy).await.unwrap();
}

#[tokio::test]
async fn a_transfer_that_was_killed_says_so_and_begins_anew() {
    let (home, path) = home();
    filled(&path).await;
    let file = Place::File(path);
    let database = Cluster::shared().database();
    let server = Place::Postgres(address(&database.url()));
    let back = home.path().join("back.db");
    let ours = key();
    for (from, to) in [(&file, &server), (&server, &Place::File(back.clone()))] {
        let mut interrupted = 0;
        let mut wait = 5;
        let again = || moved_by(from, to, &ours, LATER);
        while tokio::time::timeout(Duration::from_millis(wait), again()).await.is_err() {
            interrupted += 1;
            // Whoever was killed lets go of its locks.
            database.end_sessions("alma whole");
            let opened = match to {
                Place::File(path) => open(path).await.map(|_| ()),
                Place::Postgres(_) => open_postgres(&database.url()).await.map(|_| ()),
            };
            match opened {
                Ok(()) => {}
                Err(LedgerError::Damaged(why)) => {
                    assert!(why.contains("begin it anew"), "{why}");
                }
                Err(error) => panic!("{error}"),
            }
            wait = wait * 3 / 2;
        }
        assert!(interrupted > 3, "{interrupted}");
    }
    for place in [&server, &Place::File(back)] {
        let report = match place {
            Place::File(path) => ledger::audit::verify(path, &key().verifying_key()).await,
            Place::Postgres(address) => {
                ledger::audit::verify_postgres(address, &key().verifying_key()).await
            }
        };
        assert!(report.unwrap().is_clean());
    }
}
