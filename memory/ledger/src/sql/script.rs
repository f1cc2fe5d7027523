//! Several statements that go to a database together: what a transaction costs is the
//! trips, more than the work.

use super::{Arg, Sql, SqlStr, built};
use charter::ports::LedgerError;

/// Bytes of arguments after which a trip is full.
const TRIP_MAX: usize = 8 << 20;

/// Statements on their way, a bounded part of them at a time. None needs to see what
/// another did.
pub(crate) struct Script<'c> {
    conn: &'c mut dyn Sql,
    doing: &'static str,
    trip: Trip,
    bytes: usize,
}

impl<'c> Script<'c> {
    /// For a connection. `doing` completes "the ledger could not".
    pub(crate) fn new(conn: &'c mut dyn Sql, doing: &'static str) -> Self {
        Self { conn, doing, trip: Trip::default(), bytes: 0 }
    }

    /// Takes a statement with what stands for its placeholders, and sends all that wait
    /// when they are enough.
    pub(crate) async fn add(&mut self, sql: SqlStr, args: Vec<Arg>) -> Result<(), LedgerError> {
        self.bytes += args.iter().map(Arg::size).sum::<usize>();
        self.trip.0.push((sql, args));
        match self.bytes {
            0..TRIP_MAX => Ok(()),
            _ => self.send().await,
        }
    }

    /// Sends the rest.
    pub(crate) async fn end(mut self) -> Result<(), LedgerError> {
        match self.trip.0.is_empty() {
            true => Ok(()),
            false => self.send().await,
        }
    }

    async fn send(&mut self) -> Result<(), LedgerError> {
        self.bytes = 0;
        self.conn.run_all(self.doing, std::mem::take(&mut self.trip)).await
    }
}

/// Statements that go together.
#[derive(Debug, Default)]
pub(crate) struct Trip(Vec<(SqlStr, Vec<Arg>)>);

impl Trip {
    /// One behind the other, as SQLite takes them.
    pub(crate) fn in_a_row(self) -> (SqlStr, Vec<Arg>) {
        let (statements, args) = self.numbered();
        (built(statements.join("; ")), args)
    }

    /// As one statement, as PostgreSQL takes them: all but the last as parts of it.
    pub(crate) fn in_one(self) -> (SqlStr, Vec<Arg>) {
        let (mut statements, args) = self.numbered();
        let last = statements.pop().unwrap_or_default();
        let part = |(at, sql): (usize, &String)| format!("part{at} AS ({sql})");
        let parts: Vec<String> = statements.iter().enumerate().map(part).collect();
        let sql = match parts.is_empty() {
            true => last,
            false => format!("WITH {} {last}", parts.join(", ")),
        };
        (built(sql), args)
    }

    /// The placeholders of each statement counted on behind those before it.
    fn numbered(self) -> (Vec<String>, Vec<Arg>) {
        let (mut statements, mut all) = (Vec::with_capacity(self.0.len()), Vec::new());
        for (sql, args) in self.0 {
            statements.push(counted_on(sql.as_str(), all.len()));
            all.extend(args);
        }
        (statements, all)
    }
}

/// The same statement with `by` added to the number of every placeholder.
fn counted_on(sql: &str, by: usize) -> String {
    let mut pieces = sql.split('$');
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let digits = piece.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = piece.split_at(digits);
        out.push('$');
        match number.parse::<usize>() {
            Ok(number) => out.push_str(&(number + by).to_string()),
            Err(_) => out.push_str(number),
        }
        out.push_str(rest);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::fixed;

    #[test]
    fn placeholders_are_counted_on() {
        let check = |sql: &str, by: usize, expect: &str| assert_eq!(counted_on(sql, by), expect);
        check("a = $1 AND b = $12", 3, "a = $4 AND b = $15");
        check("$1", 0, "$1");
        check("a", 7, "a");
        check("'$.x' $2", 1, "'$.x' $3");
    }

    fn trip() -> Trip {
        Trip(vec![
            (fixed("INSERT $1, $2"), vec![1_i64.into(), "b".into()]),
            (fixed("DELETE"), Vec::new()),
            (fixed("UPDATE $1"), vec![Arg::Blob(vec![0; 9])]),
        ])
    }

    #[test]
    fn each_database_has_its_way() {
        let (sql, args) = trip().in_a_row();
        assert_eq!((sql.as_str(), args.len()), ("INSERT $1, $2; DELETE; UPDATE $3", 3));
        let (sql, _) = trip().in_one();
        let expect = "WITH part0 AS (INSERT $1, $2), part1 AS (DELETE) UPDATE $3";
        assert_eq!(sql.as_str(), expect);
        let one = Trip(vec![(fixed("DELETE"), Vec::new())]);
        assert_eq!(one.in_one().0.as_str(), "DELETE");
    }
}
