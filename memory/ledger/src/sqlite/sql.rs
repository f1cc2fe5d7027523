//! The shared statements on SQLite.

use super::connect::failed;
use crate::sql::script::Trip;
use crate::sql::{Arg, Cell, Line, Sql, fixed};
use async_trait::async_trait;
use charter::ports::LedgerError;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Row, SqlStr, Sqlite, SqliteConnection, TypeInfo, ValueRef};

fn bound<'q>(sql: SqlStr, args: Vec<Arg>) -> Query<'q, Sqlite, SqliteArguments> {
    let mut query = sqlx::query(sql);
    for arg in args {
        query = match arg {
            Arg::Int(number) => query.bind(number),
            Arg::Text(text) => query.bind(text),
            Arg::Blob(bytes) => query.bind(bytes),
        };
    }
    query
}

#[async_trait]
impl Sql for SqliteConnection {
    async fn run(
        &mut self,
        doing: &'static str,
        sql: SqlStr,
        args: Vec<Arg>,
    ) -> Result<u64, LedgerError> {
        let done = bound(sql, args).execute(&mut *self).await;
        done.map(|done| done.rows_affected()).map_err(|error| failed(doing, error))
    }

    async fn run_all(&mut self, doing: &'static str, trip: Trip) -> Result<(), LedgerError> {
        let (sql, args) = trip.in_a_row();
        self.run(doing, sql, args).await.map(|_| ())
    }

    async fn lines(
        &mut self,
        doing: &'static str,
        sql: SqlStr,
        args: Vec<Arg>,
    ) -> Result<Vec<Line>, LedgerError> {
        let found = bound(sql, args).fetch_all(&mut *self).await;
        let found = found.and_then(|rows| rows.iter().map(line).collect());
        found.map_err(|error| failed(doing, error))
    }

    fn stream<'c>(
        &'c mut self,
        doing: &'static str,
        sql: SqlStr,
    ) -> BoxStream<'c, Result<Line, LedgerError>> {
        sqlx::query(sql)
            .fetch(self)
            .map(|row| line(&row?))
            .map_err(move |error| failed(doing, error))
            .boxed()
    }

    async fn columns(&mut self, table: &'static str) -> Result<Vec<String>, LedgerError> {
        let sql = fixed("SELECT name FROM pragma_table_info($1) ORDER BY cid");
        let found = self.lines("read the columns of a table", sql, vec![table.into()]).await?;
        found.into_iter().map(|mut line| line.text(0)).collect()
    }
}

fn line(row: &SqliteRow) -> Result<Line, sqlx::Error> {
    (0..row.len()).map(|at| cell(row, at)).collect::<Result<_, _>>().map(Line)
}

/// The value that is really stored: SQLite does not hold columns to their types.
fn cell(row: &SqliteRow, at: usize) -> Result<Cell, sqlx::Error> {
    let value = row.try_get_raw(at)?;
    if value.is_null() {
        return Ok(Cell::Null);
    }
    let info = value.type_info();
    Ok(match info.name() {
        "INTEGER" => Cell::Int(row.try_get_unchecked(at)?),
        "TEXT" => match String::from_utf8(row.try_get_unchecked(at)?) {
            Ok(text) => Cell::Text(text),
            Err(_) => Cell::Odd("text that is not UTF-8".to_owned()),
        },
        "BLOB" => Cell::Blob(row.try_get_unchecked(at)?),
        other => Cell::Odd(other.to_lowercase()),
    })
}
