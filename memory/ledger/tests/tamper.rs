//! Every change behind the ledger's back is found: one byte in each column of
//! each table, a missing event, two events in each other's place.
#![allow(clippy::unwrap_used)]

mod common;

use charter::ids::StepKey;
use charter::rows::MissionState;
use common::postgres::{Cluster, Database};
use common::{World, head, open, open_postgres};
use ledger::audit::{AuditReport, FindingKind, verify};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row, SqliteConnection};
use std::path::{Path, PathBuf};

/// Not derived from events: what is in there now is nobody's proof.
const LEFT_OUT: [&str; 6] =
    ["leases", "leaders", "outbox", "compat", "_sqlx_migrations", "sqlite_sequence"];

/// One mission has ended, one goes on.
async fn every_kind_of_row(ledger: &dyn charter::ports::Ledger) {
    let world = World::new(ledger, 1);
    world.whole_mission().await;
    world.whole_life().await;
    let mission = world.submit(&[head(1, &[])]).await;
    world.claim(&StepKey::step(&mission, 1)).await;
}

struct Original {
    home: tempfile::TempDir,
    path: PathBuf,
}

impl Original {
    /// A ledger with rows of every kind.
    async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("ledger.db");
        let ledger = open(&path).await.unwrap();
        every_kind_of_row(&ledger).await;
        ledger.close().await.unwrap();
        Self { home, path }
    }

    async fn connect(&self, name: &str) -> (PathBuf, SqliteConnection) {
        let copy = self.home.path().join(name);
        std::fs::copy(&self.path, &copy).unwrap();
        let conn = SqliteConnectOptions::new().filename(&copy).connect().await.unwrap();
        (copy, conn)
    }

    /// The audit of a copy after these statements.
    async fn after(&self, statements: &[&str]) -> AuditReport {
        let (copy, mut conn) = self.connect("changed.db").await;
        for sql in statements {
            sqlx::query(AssertSqlSafe(sql.to_string())).execute(&mut conn).await.unwrap();
        }
        conn.close().await.unwrap();
        audit(&copy).await
    }
}

async fn audit(path: &Path) -> AuditReport {
    verify(path, &common::key().verifying_key()).await.unwrap()
}

async fn names(conn: &mut SqliteConnection, sql: &str) -> Vec<String> {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(conn).await.unwrap()
}

/// Flips one bit of a stored value, whatever its type.
async fn flip(conn: &mut SqliteConnection, table: &str, column: &str, offset: i64) {
    let order =
        names(conn, &format!("SELECT name FROM pragma_table_info('{table}') WHERE pk")).await;
    let (order, key) = (order.join(", "), order.join(" || ' ' || "));
    let row = sqlx::query(AssertSqlSafe(format!(
        "SELECT {key}, typeof({column}), CAST({column} AS BLOB) FROM {table} \
         ORDER BY {order} LIMIT 1 OFFSET {offset}"
    )))
    .fetch_one(&mut *conn)
    .await
    .unwrap();
    let name: Vec<u8> = row.try_get_unchecked(0).unwrap();
    let (kind, mut bytes): (String, Vec<u8>) = (row.get(1), row.get(2));
    let value = match kind.as_str() {
        "integer" => {
            let number: i64 = String::from_utf8(bytes.clone()).unwrap().parse().unwrap();
            bytes = (number ^ (1 << 33)).to_string().into_bytes();
            "CAST(CAST(?1 AS TEXT) AS INTEGER)"
        }
        "text" | "blob" => {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            if kind == "text" { "CAST(?1 AS TEXT)" } else { "?1" }
        }
        "null" => "length(?1)",
        other => panic!("{table}.{column} holds {other}: the story leaves it empty"),
    };
    let changed = sqlx::query(AssertSqlSafe(format!(
        "UPDATE {table} SET {column} = {value} WHERE CAST({key} AS BLOB) = ?2"
    )))
    .bind(bytes)
    .bind(name)
    .execute(conn)
    .await
    .unwrap();
    assert_eq!(changed.rows_affected(), 1, "{table}.{column}");
}

#[tokio::test]
async fn an_honest_ledger_is_clean() {
    let original = Original::new().await;
    let report = audit(&original.path).await;
    assert_eq!(report.findings, []);
    assert!(report.events > 20 && report.contents > 20 && report.rows > 10, "{report:?}");
    // Two missions, a conversation, memories, administration; sealed behind the
    // mission, the night, what was forgotten, and at the end.
    assert_eq!((report.streams, report.checkpoints), (5, 4));
    assert_eq!(report.forgotten, 1);
    assert_eq!(report.sealed as u64, report.events);
}

#[tokio::test]
async fn one_bit_in_any_column_is_found() {
    let original = Original::new().await;
    let (_, mut conn) = original.connect("schema.db").await;
    let tables =
        names(&mut conn, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").await;
    let mut tried = 0;
    for table in tables.iter().filter(|table| !LEFT_OUT.contains(&table.as_str())) {
        let columns =
            names(&mut conn, &format!("SELECT name FROM pragma_table_info('{table}')")).await;
        let rows: i64 = sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {table}")))
            .fetch_one(&mut conn)
            .await
            .unwrap();
        assert!(rows > 0, "no row in {table}");
        for column in &columns {
            // The first, the middle and the last row.
            let mut offsets = vec![0, rows / 2, rows - 1];
            offsets.dedup();
            for offset in offsets {
                let (copy, mut changed) = original.connect("flipped.db").await;
                flip(&mut changed, table, column, offset).await;
                changed.close().await.unwrap();
                let report = audit(&copy).await;
                assert!(!report.is_clean(), "{table}.{column}, row {offset}");
                let found = report
                    .findings
                    .iter()
                    .any(|finding| finding.place.starts_with(table.as_str()) || table == "events");
                assert!(found, "{table}.{column}, row {offset}: {:?}", report.findings);
                tried += 1;
            }
        }
    }
    // 9 + 4 + 8 + 4 columns of the record, 39 of the derived rows.
    assert!(tried >= 64, "{tried}");
}

async fn found(statements: &[&str], expect: FindingKind) {
    let report = Original::new().await.after(statements).await;
    let kinds: Vec<_> = report.findings.iter().map(|finding| finding.kind).collect();
    assert!(kinds.contains(&expect), "{statements:?}: {:?}", report.findings);
}

const NEWEST: &str = "DELETE FROM events WHERE pos = (SELECT max(pos) FROM events)";

#[tokio::test]
async fn a_missing_event_is_found() {
    found(&[NEWEST], FindingKind::Stream).await;
    found(&[NEWEST], FindingKind::Event).await;
    found(&["DELETE FROM events WHERE pos = 5"], FindingKind::Chain).await;
    // With every trace in the heads of the streams wiped out.
    let heads = "UPDATE streams SET (seq, hash) = (SELECT e.seq, e.hash FROM events e \
        WHERE e.stream = streams.stream ORDER BY e.seq DESC LIMIT 1)";
    found(&[NEWEST, heads], FindingKind::Checkpoint).await;
}

#[tokio::test]
async fn a_missing_stream_is_found() {
    let stream = "(SELECT stream FROM streams ORDER BY stream DESC LIMIT 1)";
    let events = format!("DELETE FROM events WHERE stream = {stream}");
    let head = format!("DELETE FROM streams WHERE stream = {stream}");
    found(&[&events, &head], FindingKind::Checkpoint).await;
}

#[tokio::test]
async fn swapped_events_are_found() {
    let swap = |columns: &str| {
        format!(
            "UPDATE events SET ({columns}) = (SELECT {columns} FROM events e \
             WHERE e.pos = 11 - events.pos) WHERE pos IN (5, 6)"
        )
    };
    found(&[&swap("body")], FindingKind::Chain).await;
    found(&[&swap("at, txn, body, hash")], FindingKind::Chain).await;
    let places = [
        "UPDATE events SET pos = -1 WHERE pos = 5",
        "UPDATE events SET pos = 5 WHERE pos = 6",
        "UPDATE events SET pos = 6 WHERE pos = -1",
    ];
    found(&places, FindingKind::Chain).await;
}

#[tokio::test]
async fn a_missing_or_added_row_is_found() {
    for table in ["missions", "steps", "effects", "approvals", "made", "records", "forgotten"] {
        let one = match table {
            "made" | "records" | "forgotten" => format!("DELETE FROM {table}"),
            _ => format!("DELETE FROM {table} WHERE rowid = (SELECT min(rowid) FROM {table})"),
        };
        found(&[&one], FindingKind::Row).await;
    }
    found(&["INSERT INTO made VALUES ('x', 'local', 'y')"], FindingKind::Row).await;
    found(&["DELETE FROM contents WHERE rowid = 3"], FindingKind::Content).await;
    found(&["INSERT INTO contents VALUES ('x', 'local', x'00', x'00')"], FindingKind::Content)
        .await;
    // Where the salt ends and the text begins is fixed.
    let moved = "UPDATE contents SET salt = salt || substr(bytes, 1, 1), bytes = substr(bytes, 2) \
        WHERE rowid = 1";
    found(&[moved], FindingKind::Content).await;
}

#[tokio::test]
async fn a_changed_schema_is_found() {
    found(&["ALTER TABLE steps ADD COLUMN extra TEXT"], FindingKind::Schema).await;
    found(&["DROP TABLE made"], FindingKind::Schema).await;
}

#[tokio::test]
async fn checkpoints_cannot_be_taken_away_or_forged() {
    found(&["DELETE FROM checkpoints WHERE n = 1"], FindingKind::Checkpoint).await;
    found(&["DELETE FROM checkpoints"], FindingKind::Checkpoint).await;
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("ledger.db");
    let ledger = open(&path).await.unwrap();
    let world = World::new(&ledger, 2);
    let mission = world.submit(&[]).await;
    world.end(&mission, MissionState::Done).await;
    ledger.close().await.unwrap();
    let stranger = ledger::SigningKey::from_bytes(&[8; 32]);
    let report = verify(&path, &stranger.verifying_key()).await.unwrap();
    assert_eq!(report.findings[0].what, "it was signed with another key");
}

#[tokio::test]
async fn an_audit_runs_beside_an_owner() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("ledger.db");
    let ledger = open(&path).await.unwrap();
    let world = World::new(&ledger, 3);
    for _ in 0..5 {
        let running = world.whole_mission();
        let (report, _) = tokio::join!(audit(&path), running);
        assert_eq!(report.findings, []);
    }
    let report = audit(&path).await;
    assert_eq!((report.findings.len(), report.streams), (0, 5));
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn findings_are_bounded() {
    let original = Original::new().await;
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) \
        INSERT INTO made SELECT 'x' || i, 'local', 'y' FROM n";
    let report = original.after(&[many]).await;
    assert_eq!(report.findings.len() + report.more as usize, 3_000);
    assert_eq!(report.findings.len(), ledger::audit::FINDINGS_MAX);
}

#[tokio::test]
async fn what_is_no_ledger_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("other.db");
    let key = common::key().verifying_key();
    assert!(verify(&path, &key).await.unwrap_err().to_string().contains("open the file"));
    std::fs::write(&path, vec![b'x'; 5_000]).unwrap();
    let error = verify(&path, &key).await.unwrap_err();
    assert!(matches!(&error, charter::ports::LedgerError::Damaged(_)), "{error}");
}

#[tokio::test]
async fn a_text_that_was_not_forgotten_is_found() {
    let husk = "(SELECT content FROM forgotten)";
    let back = format!("UPDATE contents SET bytes = x'68' WHERE id = {husk}");
    found(&[&back], FindingKind::Content).await;
    // Whether the emptied row is there does not matter.
    let away = format!("DELETE FROM contents WHERE id = {husk}");
    let report = Original::new().await.after(&[&away]).await;
    assert_eq!((report.findings, report.forgotten), (vec![], 1));
    let never = "DELETE FROM forgotten";
    found(&[never], FindingKind::Row).await;
}

async fn audit_of(database: &Database<'_>) -> AuditReport {
    let address = common::address(&database.url());
    ledger::audit::verify_postgres(&address, &common::key().verifying_key()).await.unwrap()
}

#[tokio::test]
async fn one_bit_in_any_column_of_postgres_is_found() {
    let database = Cluster::shared().database();
    let ledger = open_postgres(&database.url()).await.unwrap();
    every_kind_of_row(&ledger).await;
    ledger.close().await.unwrap();
    assert_eq!(audit_of(&database).await.findings, []);
    let columns = database.sql(
        "SELECT table_name, column_name, data_type FROM information_schema.columns \
         WHERE table_schema = 'alma' \
         AND table_name NOT IN \
         ('leases', 'leaders', 'outbox', 'compat', 'migrations', 'installation')",
    );
    let mut tried = 0;
    for column in columns.lines() {
        let [table, column, kind] = column.split('|').collect::<Vec<_>>()[..] else { panic!() };
        let flipped = match kind {
            "bigint" => format!("coalesce({column} # (1::bigint << 33), 1)"),
            "text" => format!(
                "overlay({column} PLACING chr(ascii(substr({column}, length({column}) / 2 + 1)) # 1) \
                 FROM length({column}) / 2 + 1 FOR 1)"
            ),
            "bytea" => {
                format!(
                    "set_byte({column}, length({column}) / 2, get_byte({column}, length({column}) / 2) # 1)"
                )
            }
            other => panic!("{table}.{column} holds {other}"),
        };
        // In the middle of the table, and back again.
        database.sql(&format!(
            "CREATE TABLE public.kept AS SELECT * FROM {table}; \
             UPDATE {table} SET {column} = {flipped} WHERE ctid = (SELECT ctid FROM {table} \
             ORDER BY ctid LIMIT 1 OFFSET (SELECT count(*) / 2 FROM {table}))"
        ));
        let report = audit_of(&database).await;
        let found = report
            .findings
            .iter()
            .any(|finding| finding.place.starts_with(table) || table == "events");
        assert!(found, "{table}.{column}: {:?}", report.findings);
        database.sql(&format!(
            "DELETE FROM {table}; INSERT INTO {table} SELECT * FROM public.kept; \
             DROP TABLE public.kept"
        ));
        tried += 1;
    }
    assert!(tried >= 64, "{tried}");
    assert_eq!(audit_of(&database).await.findings, []);
    database.sql("ALTER TABLE made ADD COLUMN extra text");
    let report = audit_of(&database).await;
    assert_eq!(report.findings[0].kind, FindingKind::Schema);
}
