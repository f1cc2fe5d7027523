//! Compares stored rows with rows rebuilt from the events, in both directions.

use super::table::scan;
use super::{AuditReport, FindingKind};
use crate::projection::RowSet;
use crate::sql::tables::Stored;
use crate::sql::{Cell, Sql};
use charter::ports::LedgerError;
use std::collections::BTreeMap;

pub(super) async fn compare(
    conn: &mut dyn Sql,
    schema: i64,
    rows: &RowSet,
    report: &mut AuditReport,
) -> Result<(), LedgerError> {
    table(conn, schema, rows.missions.iter().map(|(_, row)| row), report).await?;
    table(conn, schema, rows.steps.iter().map(|(_, row)| row), report).await?;
    table(conn, schema, rows.effects.iter().map(|(_, row)| row), report).await?;
    table(conn, schema, rows.approvals.iter().map(|(_, row)| row), report).await?;
    table(conn, schema, rows.made.iter().map(|(_, row)| row), report).await?;
    table(conn, schema, rows.records.iter().map(|(_, row)| row), report).await?;
    table(conn, schema, rows.forgotten.iter().map(|(_, row)| row), report).await
}

async fn table<'a, T: Stored + 'a>(
    conn: &mut dyn Sql,
    schema: i64,
    rebuilt: impl Iterator<Item = &'a T>,
    report: &mut AuditReport,
) -> Result<(), LedgerError> {
    let name = |cells: &[Cell]| {
        cells.iter().take(T::TABLE.key).map(Cell::show).collect::<Vec<_>>().join(" ")
    };
    let mut expected = BTreeMap::new();
    for row in rebuilt {
        let cells = row.cells()?;
        expected.insert(name(&cells), cells);
    }
    // A file that no owner of this version has opened yet lacks the newer tables and
    // columns.
    if schema >= T::TABLE.since {
        scan(conn, (T::TABLE, schema), report, |stored, report| {
            report.rows += 1;
            let key = name(stored);
            let place = format!("{} {key}", T::TABLE.name);
            match expected.remove(&key) {
                None => report.find(FindingKind::Row, place, "follows from no event"),
                Some(rebuilt) => {
                    let columns = T::TABLE.names().into_iter().zip(stored.iter().zip(&rebuilt));
                    for (column, _) in columns.filter(|(_, (stored, rebuilt))| stored != rebuilt) {
                        let what = format!("{column} is not what follows from the events");
                        report.find(FindingKind::Row, place.as_str(), what);
                    }
                }
            }
            Ok(())
        })
        .await?;
    }
    for key in expected.keys() {
        report.find(FindingKind::Row, format!("{} {key}", T::TABLE.name), "is missing");
    }
    Ok(())
}
