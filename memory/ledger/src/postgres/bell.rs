//! Hears of commits of any process. Only a bell: where the ledger ends is read from
//! its table, also now and then without a ring; while nobody listens, more often.

use super::connect::{PgAddress, Role, pool};
use super::writer::jittered;
use crate::sql::writer::rise;
use sqlx::PgPool;
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

/// Listens until it is aborted.
pub(super) async fn listen(address: PgAddress, moved: watch::Sender<i64>) {
    let line = pool(&address, Role::Bell, 1);
    loop {
        if let Err(error) = hear(&line, &moved).await {
            tracing::warn!(%error, "nobody rings the ledger's bell; it is looked at instead");
        }
        sleep(jittered(POLL)).await;
        if let Ok(Ok(newest)) = timeout(PULSE, newest(&line)).await {
            rise(&moved, newest);
        }
    }
}

/// Until the line is down.
async fn hear(line: &PgPool, moved: &watch::Sender<i64>) -> Result<(), sqlx::Error> {
    let mut listener = timeout(PULSE, PgListener::connect_with(line)).await.map_err(silent)??;
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

async fn newest<'e>(
    conn: impl sqlx::Executor<'e, Database = sqlx::Postgres>,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT coalesce(max(pos), 0) FROM events").fetch_one(conn).await
}
