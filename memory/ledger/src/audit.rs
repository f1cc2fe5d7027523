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

use crate::postgres::{self, PgAddress};
use crate::sql::{SCHEMA, Sql, fixed, newer};
use crate::sqlite::read_only;
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

/// Reads the whole ledger in a file and compares it with itself and with what was
/// signed.
pub async fn verify(path: &Path, key: &VerifyingKey) -> Result<AuditReport, LedgerError> {
    let begun = Instant::now();
    let mut conn = read_only(path).await?;
    // One snapshot, whatever an owner writes meanwhile.
    conn.run("read the ledger for its audit", fixed("BEGIN"), Vec::new()).await?;
    let mut report = AuditReport::default();
    let schema = version(&mut conn).await?;
    integrity(&mut conn, &mut report).await?;
    inspect(&mut conn, schema, key, begun, &mut report).await?;
    // Nothing was written, so nothing can be lost here.
    let _ = conn.close().await;
    Ok(report)
}

/// The same for a ledger in PostgreSQL.
pub async fn verify_postgres(
    address: &PgAddress,
    key: &VerifyingKey,
) -> Result<AuditReport, LedgerError> {
    let begun = Instant::now();
    let (mut conn, schema) = postgres::snapshot(address).await?;
    let mut report = AuditReport::default();
    inspect(&mut conn, schema, key, begun, &mut report).await?;
    conn.close().await;
    Ok(report)
}

/// Reads everything in the snapshot of a connection.
async fn inspect(
    conn: &mut dyn Sql,
    schema: i64,
    key: &VerifyingKey,
    begun: Instant,
    report: &mut AuditReport,
) -> Result<(), LedgerError> {
    let sealed = record::checkpoints(conn, key, report).await?;
    let mut record = record::events(conn, sealed, report).await?;
    record::streams(conn, &record, report).await?;
    record::contents(conn, &mut record, report).await?;
    let compared = Instant::now();
    rows::compare(conn, schema, &record.rows, report).await?;
    published(conn, report).await?;
    let rebuild = record.applying + compared.elapsed();
    report.rebuild_ms = millis(rebuild);
    report.verify_ms = millis(begun.elapsed().saturating_sub(rebuild));
    Ok(())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Another version's columns cannot be judged.
async fn version(conn: &mut SqliteConnection) -> Result<i64, LedgerError> {
    let sql = fixed("SELECT max(version) FROM _sqlx_migrations");
    let found = conn.lines("find out which schema the ledger has", sql, Vec::new()).await;
    let found = found.map_err(|error| match error {
        LedgerError::Store { operation, cause } => {
            LedgerError::Damaged(format!("could not {operation}: {cause}; is it a ledger?"))
        }
        other => other,
    })?;
    match found.first().map(|line| line.maybe_int(0)).transpose()?.flatten() {
        Some(version) if version > SCHEMA => Err(newer(version)),
        version => Ok(version.unwrap_or_default()),
    }
}

/// What waits for the queue must follow from what is on record: nobody is woken
/// for a step that cannot run yet.
async fn published(conn: &mut dyn Sql, report: &mut AuditReport) -> Result<(), LedgerError> {
    let sql = fixed(
        "SELECT o.mission, o.n, o.item FROM outbox o LEFT JOIN steps s \
         ON s.tenant = o.tenant AND s.mission = o.mission AND s.n = o.n AND s.item = o.item \
         WHERE s.state IS NULL OR (s.state = 'blocked' AND o.n > 0) LIMIT 20",
    );
    for mut line in conn.lines("read the outbox", sql, Vec::new()).await? {
        let (mission, n, item) = (line.text(0)?, line.int(1)?, line.int(2)?);
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
    let sql = fixed("PRAGMA integrity_check(20)");
    for mut fault in conn.lines("check the file", sql, Vec::new()).await? {
        let fault = fault.text(0)?;
        if fault != "ok" {
            report.find(FindingKind::File, "file", fault);
        }
    }
    Ok(())
}
