//! Connections, their settings, migrations, and what SQLite's errors mean.

use crate::sql::{SCHEMA, Sql, Standing, first, fit, fixed, newer};
use charter::ports::LedgerError;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqlSafeStr, SqliteConnection, SqlitePool};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// Time that a statement waits for another process, such as a backup.
const BUSY: Duration = Duration::from_secs(5);
/// Time that readers get to end before the log is emptied.
const SCRUB_WAIT: Duration = Duration::from_secs(1);
/// Connections for reading.
const READERS: u32 = 4;

/// Settings on which durability rests, read back from SQLite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Durability {
    /// `wal`.
    pub journal_mode: String,
    /// `full`.
    pub synchronous: String,
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY)
        .foreign_keys(false)
        // Statements hold the user's words.
        .disable_statement_logging()
}

/// The writing connection, to a file that has the newest schema.
pub(super) async fn writer(path: &Path) -> Result<(SqliteConnection, Durability), LedgerError> {
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(match error.kind() {
                io::ErrorKind::StorageFull => LedgerError::DiskFull(error.to_string()),
                _ => LedgerError::Store {
                    operation: format!("make the file {}", path.display()),
                    cause: error.to_string(),
                },
            });
        }
        _ => {}
    }
    let opening = |error| failed("open the file", error);
    // What is overwritten or cut off leaves nothing behind in its page.
    let options = options(path).pragma("secure_delete", "ON");
    let mut conn = options.connect().await.map_err(opening)?;
    let durability = durability(&mut conn).await.map_err(opening)?;
    migrate(&mut conn).await?;
    Ok((conn, durability))
}

/// The writing connection of a transfer, to a file of this schema and no newer one:
/// what a transfer does not know it would leave behind.
pub(crate) async fn whole(path: &Path) -> Result<SqliteConnection, LedgerError> {
    let (mut conn, _) = writer(path).await?;
    match version(&mut conn).await? {
        version if version > SCHEMA => Err(newer(version)),
        _ => Ok(conn),
    }
}

/// Whether the file may be worked on.
pub(crate) async fn standing(conn: &mut SqliteConnection) -> Result<Standing, LedgerError> {
    let sql = fixed("PRAGMA user_version");
    let found = first(conn.lines("see whether the file is whole", sql, Vec::new()).await?)?;
    Ok(match found.int(0)? {
        0 => Standing::Settled,
        2 => Standing::Moved,
        _ => Standing::Arriving,
    })
}

/// Says how the file stands.
pub(crate) async fn mark(
    conn: &mut SqliteConnection,
    standing: Standing,
) -> Result<(), LedgerError> {
    let sql = match standing {
        Standing::Settled => "PRAGMA user_version = 0",
        Standing::Arriving => "PRAGMA user_version = 1",
        Standing::Moved => "PRAGMA user_version = 2",
    };
    conn.run("mark the file", fixed(sql), Vec::new()).await.map(|_| ())
}

/// Connections for reading, made when needed.
pub(super) fn readers(path: &Path) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(BUSY)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .after_connect(|conn, _| Box::pin(async { durability(conn).await.map(|_| ()) }))
        .connect_lazy_with(options(path).read_only(true))
}

/// A connection that can only read, for the audit: works beside an owner and
/// without one.
pub(crate) async fn read_only(path: &Path) -> Result<SqliteConnection, LedgerError> {
    let opening = |error| failed("open the file for reading", error);
    // Without the write-ahead log setting: it would be written to the file.
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(BUSY)
        .disable_statement_logging();
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    let settled = std::fs::metadata(wal).map_or(true, |meta| meta.len() == 0);
    let mut conn = options.clone().connect().await.map_err(opening)?;
    match sqlx::query("SELECT count(*) FROM sqlite_master").execute(&mut conn).await {
        Ok(_) => Ok(conn),
        // A folder that cannot be written has no place for SQLite's shared
        // memory; with an empty log none is needed.
        Err(_) if settled => options.immutable(true).connect().await.map_err(opening),
        Err(error) => Err(opening(error)),
    }
}

/// Reads the settings back and refuses a connection that does not have them.
async fn durability(conn: &mut SqliteConnection) -> Result<Durability, sqlx::Error> {
    let (journal_mode, synchronous): (String, i64) = sqlx::query_as(
        "SELECT (SELECT journal_mode FROM pragma_journal_mode), \
                (SELECT synchronous FROM pragma_synchronous)",
    )
    .fetch_one(conn)
    .await?;
    let synchronous = match synchronous {
        2 => "full".to_owned(),
        other => other.to_string(),
    };
    let found = Durability { journal_mode, synchronous };
    if found.journal_mode == "wal" && found.synchronous == "full" {
        return Ok(found);
    }
    Err(sqlx::Error::Protocol(format!(
        "the connection is not durable: {found:?} instead of wal and full"
    )))
}

fn migrator() -> Migrator {
    let simple = |version, name: &'static str, sql: &'static str| {
        let sql = sql.into_sql_str();
        Migration::new(version, name.into(), MigrationType::Simple, sql, false)
    };
    let mut all = Migrator::with_migrations(vec![
        simple(1, "ledger", include_str!("../../migrations/0001_ledger.sql")),
        simple(2, "records", include_str!("../../migrations/0002_records.sql")),
        simple(SCHEMA, "hosts", include_str!("../../migrations/0003_hosts.sql")),
    ]);
    // Those of newer versions: whether they matter was asked before.
    all.set_ignore_missing(true);
    all
}

/// The schema that the file has; 0: none.
async fn version(conn: &mut SqliteConnection) -> Result<i64, LedgerError> {
    const DOING: &str = "find out which schema the ledger has";
    let there = fixed("SELECT count(*) FROM sqlite_master WHERE name = $1");
    let there = conn.lines(DOING, there, vec!["_sqlx_migrations".into()]).await?;
    if first(there)?.int(0)? == 0 {
        return Ok(0);
    }
    let newest = fixed("SELECT coalesce(max(version), 0) FROM _sqlx_migrations");
    first(conn.lines(DOING, newest, Vec::new()).await?)?.int(0)
}

async fn migrate(conn: &mut SqliteConnection) -> Result<(), LedgerError> {
    let version = version(conn).await?;
    if version > SCHEMA {
        let oldest = fixed("SELECT oldest FROM compat");
        let found = conn.lines("ask who may use the ledger", oldest, Vec::new()).await;
        // Without an answer it is one that this version knows nothing of.
        let oldest = found.ok().and_then(|lines| lines.first().and_then(|line| line.int(0).ok()));
        return fit(oldest.unwrap_or(version));
    }
    // `run` is generic over lifetimes in a way that keeps the future from being boxed.
    migrator().run_direct(None, conn, false).await.map_err(|error| match error {
        MigrateError::VersionMissing(version) => newer(version),
        MigrateError::VersionMismatch(version) | MigrateError::Dirty(version) => {
            LedgerError::Damaged(format!(
                "its schema {version} is not the one that this version of Alma makes; restore \
                 a backup"
            ))
        }
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            failed("bring the schema up to date", error)
        }
        other => LedgerError::Store {
            operation: "bring the schema up to date".to_owned(),
            cause: other.to_string(),
        },
    })
}

/// What an SQLite error means for the caller.
pub(crate) fn failed(operation: &str, error: sqlx::Error) -> LedgerError {
    const CORRUPT: i32 = 11;
    const FULL: i32 = 13;
    const NOT_A_DATABASE: i32 = 26;
    // The index of the log could not grow: SQLite tells this one apart.
    const NO_ROOM_FOR_INDEX: i32 = 4_874;
    let told = error
        .as_database_error()
        .and_then(|error| error.code())
        .and_then(|code| code.parse::<i32>().ok());
    // The low byte is the primary code, the rest says more.
    let code = told.map(|code| if code == NO_ROOM_FOR_INDEX { FULL } else { code & 0xff });
    match (code, &error) {
        (Some(FULL), _) => LedgerError::DiskFull(format!(
            "could not {operation}, so nothing was written; free some space and try again"
        )),
        (Some(CORRUPT | NOT_A_DATABASE), _) => LedgerError::Damaged(format!(
            "could not {operation}: {error}; keep a copy of the file and of the files beside \
             it, then restore a backup"
        )),
        (_, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)) => {
            LedgerError::Damaged(format!("could not {operation}: {error}; run `alma audit verify`"))
        }
        _ => LedgerError::Store { operation: operation.to_owned(), cause: error.to_string() },
    }
}

/// Moves the log into the file and empties it, so that neither holds what was
/// overwritten. `false`: somebody reads what was true before; try again later.
pub(super) async fn scrub(conn: &mut SqliteConnection) -> Result<bool, LedgerError> {
    let scrubbing = |error| failed("move the log into the file", error);
    let wait = |time: Duration| {
        // A number of ours.
        AssertSqlSafe(format!("PRAGMA busy_timeout = {}", time.as_millis()))
    };
    sqlx::query(wait(SCRUB_WAIT)).execute(&mut *conn).await.map_err(scrubbing)?;
    let emptied = sqlx::query_scalar::<_, i64>("PRAGMA wal_checkpoint(TRUNCATE)")
        .fetch_one(&mut *conn)
        .await
        .map_err(scrubbing);
    sqlx::query(wait(BUSY)).execute(conn).await.map_err(scrubbing)?;
    Ok(emptied? == 0)
}

/// Closes the writing connection after moving its log into the file.
pub(crate) async fn close(mut conn: SqliteConnection) -> Result<(), LedgerError> {
    let closing = |error| failed("close the file", error);
    // A reader that is still there may hold it back; the next owner does it then.
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut conn).await.map_err(closing)?;
    conn.close().await.map_err(closing)
}
