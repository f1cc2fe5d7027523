//! Connections to PostgreSQL: where it is, how each kind of connection is set, and
//! what its errors mean.

use crate::sql::script::Trip;
use crate::sql::{Arg, Cell, Line, Sql, fixed};
use async_trait::async_trait;
use charter::ports::LedgerError;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::query::Query;
use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool, Postgres, Row, SqlSafeStr, SqlStr, TypeInfo,
    ValueRef,
};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::str::FromStr;
use std::time::Duration;

/// Time that a connection may take to come about, tries and pauses together.
pub(super) const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How much longer than the server we wait before we take it for gone.
const GRACE: Duration = Duration::from_secs(2);

/// Where a ledger in PostgreSQL is: `postgresql://user:password@host:port/database`.
#[derive(Clone)]
pub struct PgAddress(Box<PgConnectOptions>);

impl FromStr for PgAddress {
    type Err = LedgerError;

    fn from_str(url: &str) -> Result<Self, LedgerError> {
        let unfit = |cause: String| LedgerError::Store {
            operation: "read the address of the PostgreSQL database".to_owned(),
            cause: format!("{cause}; it looks like postgresql://user:password@host:5432/database"),
        };
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(unfit("it does not begin with postgresql://".to_owned()));
        }
        let options = url.parse().map_err(|error: sqlx::Error| unfit(error.to_string()))?;
        Ok(Self(Box::new(options)))
    }
}

/// Without the password.
impl fmt::Display for PgAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = match self.0.get_socket() {
            Some(folder) => folder.display().to_string(),
            None => self.0.get_host().to_owned(),
        };
        let database = self.0.get_database().unwrap_or(self.0.get_username());
        write!(f, "{host}:{}/{database}", self.0.get_port())
    }
}

impl fmt::Debug for PgAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PgAddress({self})")
    }
}

/// What a connection is for. Each kind has connections of its own, so that none
/// can take them from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Writes events, one transaction after the other.
    Writer,
    /// Answers questions.
    Reader,
    /// Renews leases.
    Lease,
    /// Hears of commits.
    Bell,
    /// Reads or writes everything.
    Whole,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Writer => "alma writer",
            Self::Reader => "alma reader",
            Self::Lease => "alma lease",
            Self::Bell => "alma bell",
            Self::Whole => "alma whole",
        }
    }

    /// Longest time for one statement, and for its wait for a lock.
    fn times(self) -> (Duration, Duration) {
        let seconds = Duration::from_secs;
        match self {
            Self::Writer | Self::Reader => (seconds(30), seconds(15)),
            Self::Lease | Self::Bell => (seconds(5), seconds(5)),
            Self::Whole => (seconds(3_600), seconds(30)),
        }
    }

    fn options(self, address: &PgAddress) -> PgConnectOptions {
        let (statement, lock) = self.times();
        let millis = |time: Duration| time.as_millis().to_string();
        // Who holds the lock of the writers and stands still must not hold up the
        // others for longer than they wait.
        let idle = if self == Self::Whole { statement } else { lock / 3 };
        // Who only reads says so; the others find out what the server allows.
        let own = match self {
            Self::Reader => Some(("default_transaction_read_only", "on")),
            // Always the same few statements by key: planned once.
            Self::Writer | Self::Lease => Some(("plan_cache_mode", "force_generic_plan")),
            Self::Bell | Self::Whole => None,
        };
        PgConnectOptions::clone(&address.0)
            .application_name(self.name())
            .options([("search_path", "alma"), ("synchronous_commit", "on")])
            .options(own)
            .options([("jit", "off")])
            .options([("statement_timeout", millis(statement)), ("lock_timeout", millis(lock))])
            .options([("idle_in_transaction_session_timeout", millis(idle))])
            // Every statement goes by an index; a young database has no statistics
            // that would tell the planner.
            .options([("enable_seqscan", "off"), ("enable_hashjoin", "off")])
            .options([("enable_mergejoin", "off")])
            // Statements hold the user's words.
            .disable_statement_logging()
    }
}

/// A failure, and whether the connection is to be given up for it.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) error: LedgerError,
    pub(super) lost: bool,
}

/// Opens a connection, once.
pub(super) async fn connect(
    address: &PgAddress,
    role: Role,
) -> Result<Pg<Box<PgConnection>>, Trouble> {
    let options = role.options(address);
    match tokio::time::timeout(CONNECT_MAX, options.connect()).await {
        Ok(Ok(conn)) => Ok(Pg::new(Box::new(conn), role)),
        Ok(Err(error)) => {
            Err(Trouble { lost: is_lost(&error), error: unreachable(address, error) })
        }
        Err(_) => Err(Trouble { error: silent(address), lost: true }),
    }
}

/// Connections that are made when needed.
pub(super) fn pool(address: &PgAddress, role: Role, connections: u32) -> PgPool {
    made_when_needed(connections)
        .idle_timeout(Duration::from_secs(120))
        .connect_lazy_with(role.options(address))
}

/// One connection to listen on, for as long as it lasts.
pub(super) fn lone(address: &PgAddress) -> PgPool {
    // It is never idle. Without this a task would look after each line that is gone.
    made_when_needed(1).idle_timeout(None).connect_lazy_with(Role::Bell.options(address))
}

fn made_when_needed(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(CONNECT_MAX)
        .max_lifetime(None)
        .test_before_acquire(false)
}

/// A connection on loan from a pool. One whose question was given up in the middle, or
/// that is of no use any more, is closed: only [`Loan::give_back`] brings it back.
#[derive(Debug)]
pub(super) struct Loan {
    conn: PoolConnection<Postgres>,
    given_back: bool,
}

impl Loan {
    pub(super) fn new(conn: PoolConnection<Postgres>) -> Self {
        Self { conn, given_back: false }
    }

    /// Back to its pool, which asks it for a sign of life: one that gives none within the
    /// grace makes room for a new one.
    pub(super) fn give_back(mut self) {
        self.given_back = true;
        tokio::spawn(tokio::time::timeout(GRACE, self.conn.return_to_pool()));
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if !self.given_back {
            self.conn.close_on_drop();
        }
    }
}

impl Deref for Loan {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.conn
    }
}

impl DerefMut for Loan {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.conn
    }
}

fn silent(address: &PgAddress) -> LedgerError {
    LedgerError::Store {
        operation: format!("reach PostgreSQL at {address}"),
        cause: format!(
            "there was no connection within {} seconds; is it running, and is there a way to it?",
            CONNECT_MAX.as_secs()
        ),
    }
}

/// Why there is no connection.
pub(super) fn unreachable(address: &PgAddress, error: sqlx::Error) -> LedgerError {
    match error {
        sqlx::Error::PoolTimedOut => silent(address),
        error => failed(&format!("connect to PostgreSQL at {address}"), error),
    }
}

/// Whether a connection is of no use after an error.
pub(super) fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            // Connection exceptions, a server that goes or comes, a session that was
            // ended, a server that may only read, statements that were prepared for
            // an older schema: the next one may do better.
            code.starts_with("08")
                || matches!(
                    &*code,
                    "57P01"
                        | "57P02"
                        | "57P03"
                        | "57P05"
                        | "25P03"
                        | "53300"
                        | "25006"
                        | "0A000"
                        | "26000"
                )
        }),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}

/// What an error of PostgreSQL means for the caller, and what to do about it.
pub(super) fn failed(operation: &str, error: sqlx::Error) -> LedgerError {
    let store = |cause: String| LedgerError::Store { operation: operation.to_owned(), cause };
    let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
    let advice = match &*code {
        "53100" => {
            return LedgerError::DiskFull(format!(
                "PostgreSQL could not {operation}, so nothing was written; free some space on \
                 its server and try again"
            ));
        }
        "XX001" | "XX002" => {
            return LedgerError::Damaged(format!(
                "could not {operation}: {error}; keep a copy of the server's data, then restore \
                 a backup"
            ));
        }
        "28P01" | "28000" => "check the user and the password in its address",
        "3D000" => "make the database first, for instance with `createdb`",
        "53300" => "raise max_connections on the server, or run fewer processes",
        "25006" => "the server may only be read, as a standby may: give the address of the primary",
        "42501" => "give the user of the address the right to CREATE in the database",
        "57014" | "55P03" => "it took too long: look at what else the server is doing",
        "57P01" | "57P02" | "57P03" => "PostgreSQL is being stopped or started",
        "22021" | "22P05" => "PostgreSQL holds no text with a NUL character",
        "42P01" | "3F000" => "the schema `alma` was changed: restore a backup",
        _ => {
            return match &error {
                sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => LedgerError::Damaged(
                    format!("could not {operation}: {error}; run `alma audit verify`"),
                ),
                _ => store(error.to_string()),
            };
        }
    };
    store(format!("{error} ({advice})"))
}

/// A connection that knows whether it is still of use.
#[derive(Debug)]
pub(crate) struct Pg<C> {
    conn: C,
    lost: bool,
    patience: Duration,
}

impl<C: DerefMut<Target = PgConnection> + Send> Pg<C> {
    pub(super) fn new(conn: C, role: Role) -> Self {
        Self { conn, lost: false, patience: role.times().0 + GRACE }
    }

    /// Whether it is to be given up.
    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    pub(super) fn into_inner(self) -> C {
        self.conn
    }

    /// Runs several statements at once, which are written in this crate; returns
    /// the rows of them all.
    pub(super) async fn script(
        &mut self,
        doing: &'static str,
        sql: impl SqlSafeStr,
    ) -> Result<Vec<Line>, LedgerError> {
        let run = sqlx::raw_sql(sql).fetch_all(&mut *self.conn);
        let done = tokio::time::timeout(self.patience, run).await;
        let rows = self.judge(doing, done)?;
        rows.iter().map(line).collect::<Result<_, _>>().map_err(|error| failed(doing, error))
    }

    fn judge<T>(
        &mut self,
        doing: &str,
        done: Result<Result<T, sqlx::Error>, tokio::time::error::Elapsed>,
    ) -> Result<T, LedgerError> {
        match done {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                self.lost |= is_lost(&error);
                Err(failed(doing, error))
            }
            Err(_) => {
                self.lost = true;
                Err(LedgerError::Store {
                    operation: doing.to_owned(),
                    cause: format!(
                        "PostgreSQL did not answer within {} seconds",
                        self.patience.as_secs()
                    ),
                })
            }
        }
    }
}

impl Pg<Box<PgConnection>> {
    /// Says good-bye; a transaction that is open is undone.
    pub(crate) async fn close(self) {
        let closing = self.conn.close();
        // Nothing hangs on it.
        let _ = tokio::time::timeout(GRACE, closing).await;
    }
}

fn bound<'q>(sql: SqlStr, args: Vec<Arg>) -> Query<'q, Postgres, PgArguments> {
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
impl<C: DerefMut<Target = PgConnection> + Send> Sql for Pg<C> {
    async fn run(
        &mut self,
        doing: &'static str,
        sql: SqlStr,
        args: Vec<Arg>,
    ) -> Result<u64, LedgerError> {
        let run = bound(sql, args).execute(&mut *self.conn);
        let done = tokio::time::timeout(self.patience, run).await;
        self.judge(doing, done).map(|done| done.rows_affected())
    }

    async fn run_all(&mut self, doing: &'static str, trip: Trip) -> Result<(), LedgerError> {
        let (sql, args) = trip.in_one();
        self.run(doing, sql, args).await.map(|_| ())
    }

    async fn lines(
        &mut self,
        doing: &'static str,
        sql: SqlStr,
        args: Vec<Arg>,
    ) -> Result<Vec<Line>, LedgerError> {
        let ask = bound(sql, args).fetch_all(&mut *self.conn);
        let done = tokio::time::timeout(self.patience, ask).await;
        let rows = self.judge(doing, done)?;
        rows.iter().map(line).collect::<Result<_, _>>().map_err(|error| failed(doing, error))
    }

    fn stream<'c>(
        &'c mut self,
        doing: &'static str,
        sql: SqlStr,
    ) -> BoxStream<'c, Result<Line, LedgerError>> {
        sqlx::query(sql)
            .fetch(&mut *self.conn)
            .map(|row| line(&row?))
            .map_err(move |error| failed(doing, error))
            .boxed()
    }

    async fn columns(&mut self, table: &'static str) -> Result<Vec<String>, LedgerError> {
        let sql = fixed(
            "SELECT CAST(attname AS TEXT) FROM pg_attribute \
             WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        );
        let found = self.lines("read the columns of a table", sql, vec![table.into()]).await?;
        found.into_iter().map(|mut line| line.text(0)).collect()
    }
}

fn line(row: &PgRow) -> Result<Line, sqlx::Error> {
    (0..row.len()).map(|at| cell(row, at)).collect::<Result<_, _>>().map(Line)
}

fn cell(row: &PgRow, at: usize) -> Result<Cell, sqlx::Error> {
    let value = row.try_get_raw(at)?;
    if value.is_null() {
        return Ok(Cell::Null);
    }
    let info = value.type_info();
    Ok(match info.name() {
        "INT8" => Cell::Int(row.try_get_unchecked(at)?),
        "INT4" => Cell::Int(row.try_get_unchecked::<i32, _>(at)?.into()),
        "TEXT" => Cell::Text(row.try_get_unchecked(at)?),
        "BYTEA" => Cell::Blob(row.try_get_unchecked(at)?),
        other => Cell::Odd(other.to_lowercase()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shows(url: &str, expect: &str) {
        let address: PgAddress = url.parse().unwrap();
        assert_eq!(format!("{address} {address:?}"), format!("{expect} PgAddress({expect})"));
    }

    #[test]
    fn an_address_keeps_its_password_to_itself() {
        shows("postgresql://me:secret@there:5433/ledger", "there:5433/ledger");
        shows("postgres://me:secret@there", "there:5432/me");
        shows("postgresql://me:secret@%2Frun%2Fpg/ledger", "/run/pg:5432/ledger");
    }

    #[test]
    fn what_is_no_address_is_refused_with_an_example() {
        for url in ["", "ledger.db", "mysql://x/y", "postgresql://h:port/d"] {
            let error = url.parse::<PgAddress>().unwrap_err().to_string();
            assert!(error.contains("postgresql://user:password@host:5432/database"), "{error}");
        }
    }
}
