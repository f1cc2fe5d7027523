//! Tells whether a ledger was tampered with: offline, or while an owner runs.
//!
//! Everything is read in one snapshot, and every column counts:
//!
//! - events: positions and numbers without gaps, hashes, chains, the heads that
//!   `streams` keeps;
//! - checkpoints: their chain and signatures, every head that they name, none
//!   missing where one is due;
//! - texts: each one named by an event, with that hash and of that tenant, and
//!   none besides; one that was forgotten must be gone, and is counted;
//! - rows: rebuilt from the events in memory and compared in both directions.
//!
//! Leases and the outbox are not derived from events and are left out. What was
//! cut off after the newest checkpoint, with every trace of it, cannot be seen.

mod record;
mod rows;
mod table;

use crate::sqlite::{SCHEMA, failed, newer, read_only};
use charter::ports::LedgerError;
use ed25519_dalek::VerifyingKey;
use serde::Serialize;
use sqlx::{Connection, SqliteConnection};
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Most findings that a report lists; the rest is counted.
pub const FINDINGS_MAX: usize = 1_000;

/// What kind of thing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// The file's pages or indexes.
    File,
    /// A table or column that should not be there, or is not.
    Schema,
    /// An event: unreadable, missing, or against the rules.
    Event,
    /// A hash or a link of a chain.
    Chain,
    /// The head of a stream.
    Stream,
    /// A checkpoint.
    Checkpoint,
    /// A text.
    Content,
    /// A row that does not follow from the events.
    Row,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing.
    pub kind: FindingKind,
    /// Where: a table and what names the row in it.
    pub place: String,
    /// What is wrong there.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// What an audit found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    /// What is wrong, at most [`FINDINGS_MAX`] of it.
    pub findings: Vec<Finding>,
    /// Findings that are not listed.
    pub more: u64,
    /// Events read.
    pub events: u64,
    /// Streams.
    pub streams: u64,
    /// Checkpoints.
    pub checkpoints: u64,
    /// Position up to which checkpoints vouch for the events.
    pub sealed: i64,
    /// Texts.
    pub contents: u64,
    /// Texts that were forgotten, as an event says, and are gone.
    pub forgotten: u64,
    /// Derived rows compared.
    pub rows: u64,
    /// Milliseconds for events, chains, checkpoints and texts.
    pub verify_ms: u64,
    /// Milliseconds for rebuilding and comparing rows.
    pub rebuild_ms: u64,
}

impl AuditReport {
    /// Nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty() && self.more == 0
    }

    fn find(&mut self, kind: FindingKind, place: impl Into<String>, what: impl Into<String>) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { kind, place: place.into(), what: what.into() });
        } else {
            self.more += 1;
        }
    }
}

/// Reads the whole ledger and compares it with itself and with what was signed.
pub async fn verify(path: &Path, key: &VerifyingKey) -> Result<AuditReport, LedgerError> {
    let reading = |error| failed("read the ledger for its audit", error);
    let begun = Instant::now();
    let mut conn = read_only(path).await?;
    // One snapshot, whatever an owner writes meanwhile.
    sqlx::query("BEGIN").execute(&mut conn).await.map_err(reading)?;
    let mut report = AuditReport::default();
    let schema = version(&mut conn).await?;
    integrity(&mut conn, &mut report).await?;
    let sealed = record::checkpoints(&mut conn, key, &mut report).await?;
    let mut record = record::events(&mut conn, sealed, &mut report).await?;
    record::streams(&mut conn, &record, &mut report).await?;
    record::contents(&mut conn, &mut record, &mut report).await?;
    let compared = Instant::now();
    rows::compare(&mut conn, schema, &record.rows, &mut report).await?;
    published(&mut conn, &mut report).await?;
    let rebuild = record.applying + compared.elapsed();
    report.rebuild_ms = millis(rebuild);
    report.verify_ms = millis(begun.elapsed().saturating_sub(rebuild));
    // Nothing was written, so nothing can be lost here.
    let _ = conn.close().await;
    Ok(report)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Another version's columns cannot be judged.
async fn version(conn: &mut SqliteConnection) -> Result<i64, LedgerError> {
    let version: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
        .fetch_one(conn)
        .await
        .map_err(|error| match failed("find out which schema the ledger has", error) {
            LedgerError::Store { operation, cause } => {
                LedgerError::Damaged(format!("could not {operation}: {cause}; is it a ledger?"))
            }
            other => other,
        })?;
    match version {
        Some(version) if version > SCHEMA => Err(newer(version)),
        version => Ok(version.unwrap_or_default()),
    }
}

/// What waits for the queue must follow from what is on record: nobody is woken
/// for a step that cannot run yet.
async fn published(
    conn: &mut SqliteConnection,
    report: &mut AuditReport,
) -> Result<(), LedgerError> {
    let early: Vec<(String, i64, i64)> = sqlx::query_as(
        "SELECT o.mission, o.n, o.item FROM outbox o LEFT JOIN steps s \
         ON s.tenant = o.tenant AND s.mission = o.mission AND s.n = o.n AND s.item = o.item \
         WHERE s.state IS NULL OR (s.state = 'blocked' AND o.n > 0) LIMIT 20",
    )
    .fetch_all(conn)
    .await
    .map_err(|error| failed("read the outbox", error))?;
    for (mission, n, item) in early {
        let what = "it waits for the queue, but it cannot run yet";
        report.find(FindingKind::Row, format!("outbox {mission}/{n}.{item}"), what);
    }
    Ok(())
}

/// SQLite's own check: broken pages, and indexes that do not fit their tables.
async fn integrity(
    conn: &mut SqliteConnection,
    report: &mut AuditReport,
) -> Result<(), LedgerError> {
    let faults: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check(20)")
        .fetch_all(conn)
        .await
        .map_err(|error| failed("check the file", error))?;
    for fault in faults.into_iter().filter(|fault| fault != "ok") {
        report.find(FindingKind::File, "file", fault);
    }
    Ok(())
}
