//! Hears of commits of any process. Only a bell: where the ledger ends is read from
//! its table, also now and then without a ring; while nobody listens, more often.

use super::connect::{PgAddress, Role, Trouble, connect, lone};
use super::writer::jittered;
use crate::sql::writer::rise;
use crate::sql::{Sql, first, fixed};
use charter::ports::LedgerError;
use sqlx::postgres::PgListener;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// What is rung.
pub(super) const CHANNEL: &str = "alma_moved";
/// Time without a ring after which the table is asked whether the line still stands.
const PULSE: Duration = Duration::from_secs(5);
/// Longest pause between looks at the table while the line is down.
const POLL: Duration = Duration::from_millis(500);
/// Where the ledger ends.
const NEWEST: &str = "SELECT coalesce(max(pos), 0) FROM events";

/// Listens until it is aborted.
pub(super) async fn listen(address: PgAddress, moved: watch::Sender<i64>) {
    loop {
        if let Err(error) = hear(&address, &moved).await {
            tracing::warn!(%error, "nobody rings the ledger's bell; it is looked at instead");
        }
        sleep(jittered(POLL)).await;
        if let Ok(Ok(newest)) = timeout(PULSE, look(&address)).await {
            rise(&moved, newest);
        }
    }
}

/// Until the line is down. Each time it is a new one: a listener on a line that fell
/// silent says good-bye without end, and nobody may wait for that.
async fn hear(address: &PgAddress, moved: &watch::Sender<i64>) -> Result<(), sqlx::Error> {
    let line = lone(address);
    let mut listener = timeout(PULSE, PgListener::connect_with(&line)).await.map_err(silent)??;
    listener.eager_reconnect(false);
    timeout(PULSE, listener.listen(CHANNEL)).await.map_err(silent)??;
    loop {
        rise(moved, timeout(PULSE, newest(&mut listener)).await.map_err(silent)??);
        if let Ok(rung) = timeout(PULSE, listener.try_recv()).await {
            if rung?.is_none() {
                return Ok(());
            }
            // One look answers all that rang meanwhile.
            while listener.next_buffered().is_some() {}
        }
    }
}

fn silent(_: tokio::time::error::Elapsed) -> sqlx::Error {
    sqlx::Error::PoolTimedOut
}

async fn newest(listener: &mut PgListener) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(NEWEST).fetch_one(listener).await
}

/// Looks where the ledger ends while nobody listens.
async fn look(address: &PgAddress) -> Result<i64, LedgerError> {
    let conn = connect(address, Role::Bell).await;
    let mut conn = conn.map_err(|Trouble { error, .. }| error)?;
    let found = conn.lines("see where it ends", fixed(NEWEST), Vec::new()).await?;
    conn.close().await;
    first(found)?.int(0)
}
