//! Reads any table column by column, with the types that are really stored.

use super::{AuditReport, FindingKind};
use crate::sql::tables::Table;
use crate::sql::{Cell, Sql, built, next};
use charter::ports::LedgerError;

/// Calls `each` with every row of a table, in order. A table whose columns are
/// not exactly these is a finding and is not read.
pub(super) async fn scan(
    conn: &mut dyn Sql,
    (table, schema): (&'static Table, i64),
    report: &mut AuditReport,
    mut each: impl FnMut(&[Cell], &mut AuditReport) -> Result<(), LedgerError>,
) -> Result<(), LedgerError> {
    let (found, columns) = (conn.columns(table.name).await?, table.names_in(schema));
    if found != columns {
        let what = format!("has the columns {found:?} instead of {columns:?}");
        report.find(FindingKind::Schema, table.name, what);
        return Ok(());
    }
    const DOING: &str = "read a table for its audit";
    let mut rows = conn.stream(DOING, built(table.scan(schema)));
    while let Some(row) = next(DOING, &mut rows).await? {
        each(&row.0, report)?;
    }
    Ok(())
}
