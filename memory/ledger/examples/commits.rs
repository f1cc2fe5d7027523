//! How many transitions of one event a ledger commits in a second.
//!
//! `commits FOLDER` measures SQLite in a folder, `commits postgresql://...` a
//! database; both with 1, 16 and 64 that commit at once.
#![allow(clippy::unwrap_used)]

#[path = "../tests/common/mod.rs"]
mod common;

use charter::ports::Ledger;
use common::World;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const FOR: Duration = Duration::from_secs(4);

async fn measure(ledger: Arc<dyn Ledger>, at_once: u64) {
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let begun = Instant::now();
    let committers = (0..at_once).map(|n| {
        let (ledger, stop, done) = (Arc::clone(&ledger), Arc::clone(&stop), Arc::clone(&done));
        tokio::spawn(async move {
            let seed = at_once * 1_000 + n + std::process::id() as u64 * 1_000_000;
            let world = World::new(&*ledger, seed);
            while !stop.load(Ordering::Relaxed) {
                world.creating(None).1.commit().await.unwrap();
                done.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let committers: Vec<_> = committers.collect();
    tokio::time::sleep(FOR).await;
    stop.store(true, Ordering::Relaxed);
    for committer in committers {
        committer.await.unwrap();
    }
    let rate = done.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
    println!("{at_once:>3} at once: {rate:>8.0} commits/s");
}

#[tokio::main]
async fn main() {
    let place = std::env::args().nth(1).unwrap_or_default();
    let home = tempfile::tempdir_in(if place.contains(":") { "/tmp" } else { &place }).unwrap();
    let ledger: Arc<dyn Ledger> = match place.contains(':') {
        true => Arc::new(common::open_postgres(&place).await.unwrap()),
        false => Arc::new(common::open(&home.path().join("ledger.db")).await.unwrap()),
    };
    for at_once in [1, 16, 64] {
        measure(Arc::clone(&ledger), at_once).await;
    }
}
