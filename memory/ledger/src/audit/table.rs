//! Reads any table column by column, with the types that are really stored.

use super::{AuditReport, FindingKind};
use crate::sqlite::failed;
use charter::digest::Digest;
use charter::ports::LedgerError;
use futures::TryStreamExt;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row, SqliteConnection};

/// A stored value: its type as SQLite names it, and its bytes (of a number, its
/// digits).
pub(super) struct Cell {
    kind: String,
    bytes: Vec<u8>,
}

impl Cell {
    pub(super) fn int(&self) -> Option<i64> {
        (self.kind == "integer").then_some(())?;
        std::str::from_utf8(&self.bytes).ok()?.parse().ok()
    }

    pub(super) fn text(&self) -> Option<&str> {
        (self.kind == "text").then_some(())?;
        std::str::from_utf8(&self.bytes).ok()
    }

    pub(super) fn blob(&self) -> Option<&[u8]> {
        (self.kind == "blob").then_some(&self.bytes)
    }

    pub(super) fn digest(&self) -> Option<Digest> {
        Some(Digest(self.blob()?.try_into().ok()?))
    }

    /// As the store writes it; what no store writes is a list.
    pub(super) fn value(&self) -> Value {
        match (self.int(), self.text()) {
            (Some(number), _) => json!(number),
            (_, Some(text)) => json!(text),
            _ if self.kind == "null" => Value::Null,
            _ => json!([self.kind]),
        }
    }
}

/// Calls `each` with every row of a table, in order. A table whose columns are
/// not exactly these is a finding and is not read.
pub(super) async fn scan(
    conn: &mut SqliteConnection,
    table: &'static str,
    columns: &[&str],
    order: &str,
    report: &mut AuditReport,
    mut each: impl FnMut(&[Cell], &mut AuditReport) -> Result<(), LedgerError>,
) -> Result<(), LedgerError> {
    let reading = |error| failed("read a table for its audit", error);
    let found: Vec<String> =
        sqlx::query_scalar("SELECT name FROM pragma_table_info(?1) ORDER BY cid")
            .bind(table)
            .fetch_all(&mut *conn)
            .await
            .map_err(reading)?;
    if found != columns {
        let what = format!("has the columns {found:?} instead of {columns:?}");
        report.find(FindingKind::Schema, table, what);
        return Ok(());
    }
    let cells: Vec<_> =
        columns.iter().map(|c| format!("typeof(\"{c}\"), CAST(\"{c}\" AS BLOB)")).collect();
    // Names of tables and columns are ours, written in this crate.
    let sql = format!("SELECT {} FROM {table} ORDER BY {order}", cells.join(", "));
    let mut rows = sqlx::query(AssertSqlSafe(sql)).fetch(conn);
    while let Some(row) = rows.try_next().await.map_err(reading)? {
        let cells = (0..columns.len())
            .map(|column| cell(&row, column * 2))
            .collect::<Result<Vec<_>, _>>()
            .map_err(reading)?;
        each(&cells, report)?;
    }
    Ok(())
}

fn cell(row: &SqliteRow, at: usize) -> Result<Cell, sqlx::Error> {
    let bytes: Option<Vec<u8>> = row.try_get_unchecked(at + 1)?;
    Ok(Cell { kind: row.try_get(at)?, bytes: bytes.unwrap_or_default() })
}
