//! Several statements that go to a database together: what a transaction costs is the
//! trips, more than the work.

use super::{Arg, Sql, SqlStr, built};
use charter::ports::LedgerError;

/// Bytes of arguments after which a trip is full.
const TRIP_MAX: usize = 8 << 20;

/// Statements that write. None needs to see what another did.
#[derive(Debug, Default)]
pub(crate) struct Script(Vec<(SqlStr, Vec<Arg>)>);

impl Script {
    /// Adds a statement with what stands for its placeholders.
    pub(crate) fn add(&mut self, sql: SqlStr, args: Vec<Arg>) {
        self.0.push((sql, args));
    }

    /// Has all of them carried out. `doing` completes "the ledger could not".
    pub(crate) async fn run(
        self,
        conn: &mut dyn Sql,
        doing: &'static str,
    ) -> Result<(), LedgerError> {
        let (mut trip, mut bytes) = (Self::default(), 0);
        for (sql, args) in self.0 {
            bytes += args.iter().map(Arg::size).sum::<usize>();
            trip.add(sql, args);
            if bytes >= TRIP_MAX {
                conn.run_all(doing, std::mem::take(&mut trip)).await?;
                bytes = 0;
            }
        }
        match trip.0.is_empty() {
            true => Ok(()),
            false => conn.run_all(doing, trip).await,
        }
    }

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

    fn script() -> Script {
        let mut script = Script::default();
        script.add(fixed("INSERT $1, $2"), vec![1_i64.into(), "b".into()]);
        script.add(fixed("DELETE"), Vec::new());
        script.add(fixed("UPDATE $1"), vec![Arg::Blob(vec![0; 9])]);
        script
    }

    #[test]
    fn each_database_has_its_way() {
        let (sql, args) = script().in_a_row();
        assert_eq!((sql.as_str(), args.len()), ("INSERT $1, $2; DELETE; UPDATE $3", 3));
        let (sql, _) = script().in_one();
        let expect = "WITH part0 AS (INSERT $1, $2), part1 AS (DELETE) UPDATE $3";
        assert_eq!(sql.as_str(), expect);
        let mut one = Script::default();
        one.add(fixed("DELETE"), Vec::new());
        assert_eq!(one.in_one().0.as_str(), "DELETE");
    }
}
