//! The queue in a SQLite file of its own, `queue.db`.
//!
//! The file is disposable: the ledger can fill it again at any time, so it is
//! written without waiting for the disk, and the owner of the data folder puts a
//! new one in the place of one that is damaged, foreign or gone. Processes that
//! are attached never create it; they notice the new file by its inode.

use crate::{Line, Queue};
use async_trait::async_trait;
use charter::flow::Lane;
use charter::ids::TenantId;
use charter::ports::{Doorbell, DoorbellError, Ring};
use serde_json::{Value, json};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous};
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::Mutex;

/// `PRAGMA application_id` of our files: "alma".
const APPLICATION: i64 = 0x616c_6d61;
/// `PRAGMA user_version`: raised when the table changes. A file of another
/// version is replaced, not migrated.
const VERSION: i64 = 2;
/// How long a statement waits for another process that is writing.
const BUSY: Duration = Duration::from_secs(5);
/// One connection for the relay or the worker, one for whoever asks besides.
const CONNECTIONS: u32 = 2;

const CREATE: &str = "CREATE TABLE waiting (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    lane   TEXT NOT NULL,
    rank   INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    step   TEXT NOT NULL,
    UNIQUE (tenant, step)
) STRICT";
const INDEX: &str = "CREATE INDEX waiting_line ON waiting (lane, rank, id)";
const RING: &str = "INSERT INTO waiting (lane, rank, tenant, step)
    SELECT value->>0, value->>1, value->>2, value->>3 FROM json_each(?) WHERE true
    ON CONFLICT (tenant, step) DO NOTHING";
const TAKE: &str = "DELETE FROM waiting WHERE id =
    (SELECT id FROM waiting WHERE lane = ? ORDER BY rank, id LIMIT 1)
    RETURNING tenant, step, rank";
const LINE: &str = "SELECT count(*), min(rank) FROM waiting WHERE lane = ?";

/// What an existing file is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Ours,
    Empty,
    Foreign,
}

fn layout(application: i64, version: i64, tables: i64) -> Layout {
    match (application, version, tables) {
        (APPLICATION, VERSION, _) => Layout::Ours,
        (0, 0, 0) => Layout::Empty,
        _ => Layout::Foreign,
    }
}

#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("{0} is not there yet: it is made by the process that owns the data folder")]
    Missing(PathBuf),
    #[error("{0} is no queue of this version of Alma")]
    Foreign(PathBuf),
    #[error("{0}")]
    Sqlite(#[from] sqlx::Error),
    #[error("{path}: {source}")]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl FileError {
    /// Whether a new file would help. A full disk, a missing permission or a
    /// busy file would trouble a new one as much.
    fn calls_for_a_new_file(&self) -> bool {
        // SQLITE_CORRUPT and SQLITE_NOTADB, without their extended bits.
        const DAMAGED: [i64; 2] = [11, 26];
        match self {
            Self::Foreign(_) => true,
            Self::Sqlite(sqlx::Error::Database(error)) => error
                .code()
                .and_then(|code| code.parse::<i64>().ok())
                .is_some_and(|code| DAMAGED.contains(&(code & 0xff))),
            Self::Sqlite(_) | Self::Missing(_) | Self::File { .. } => false,
        }
    }

    fn during(&self, operation: &str) -> DoorbellError {
        DoorbellError { operation: operation.to_owned(), cause: self.to_string() }
    }
}

/// Which file a path names at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(path: &Path) -> Option<Self> {
        let data = std::fs::metadata(path).ok()?;
        Some(Self { device: data.dev(), inode: data.ino() })
    }
}

struct OpenFile {
    pool: SqlitePool,
    identity: Identity,
}

/// The queue in `queue.db`.
pub struct SqliteDoorbell {
    path: PathBuf,
    owner: bool,
    file: Mutex<Option<OpenFile>>,
}

impl SqliteDoorbell {
    /// Opens the queue for the owner of the data folder: makes the file if there
    /// is none, and moves one that is damaged or foreign away to `….damaged`.
    pub async fn open(path: &Path) -> Result<Self, DoorbellError> {
        let queue = Self { path: path.to_owned(), owner: true, file: Mutex::new(None) };
        queue.pool().await.map_err(|error| error.during("open its file"))?;
        Ok(queue)
    }

    /// A process that is attached to the owner: opens the file when it is first
    /// needed, and never creates or replaces it.
    pub fn attach(path: &Path) -> Self {
        Self { path: path.to_owned(), owner: false, file: Mutex::new(None) }
    }

    /// Connections to the file that the path names now.
    async fn pool(&self) -> Result<SqlitePool, FileError> {
        let mut file = self.file.lock().await;
        let identity = Identity::of(&self.path);
        if let Some(open) = &*file
            && Some(open.identity) == identity
        {
            return Ok(open.pool.clone());
        }
        *file = None;
        let opened = match self.open_file().await {
            Err(error) if self.owner && error.calls_for_a_new_file() => {
                self.move_away(&error)?;
                self.open_file().await?
            }
            opened => opened?,
        };
        let pool = opened.pool.clone();
        *file = Some(opened);
        Ok(pool)
    }

    async fn open_file(&self) -> Result<OpenFile, FileError> {
        if !self.owner && Identity::of(&self.path).is_none() {
            return Err(FileError::Missing(self.path.clone()));
        }
        let options = SqliteConnectOptions::new()
            .filename(&self.path)
            .create_if_missing(self.owner)
            .busy_timeout(BUSY)
            .synchronous(SqliteSynchronous::Off);
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .idle_timeout(None)
            .max_lifetime(None)
            // A connection to a file does not go stale; asking it costs as much as a
            // statement.
            .test_before_acquire(false)
            .connect_with(options)
            .await?;
        let application = sqlx::query_scalar("PRAGMA application_id").fetch_one(&pool).await?;
        let version = sqlx::query_scalar("PRAGMA user_version").fetch_one(&pool).await?;
        let tables =
            sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&pool).await?;
        match layout(application, version, tables) {
            Layout::Ours => {}
            Layout::Empty if self.owner => create(&pool).await?,
            Layout::Empty | Layout::Foreign => return Err(FileError::Foreign(self.path.clone())),
        }
        let identity =
            Identity::of(&self.path).ok_or_else(|| FileError::Missing(self.path.clone()))?;
        Ok(OpenFile { pool, identity })
    }

    fn move_away(&self, cause: &FileError) -> Result<(), FileError> {
        let beside = |suffix: &str| {
            let mut name = OsString::from(&self.path);
            name.push(suffix);
            PathBuf::from(name)
        };
        let aside = beside(".damaged");
        tracing::warn!(
            %cause, to = %aside.display(),
            "the queue file cannot be used; moving it away and making a new one (nothing is lost: the ledger fills it)"
        );
        let file = |path: PathBuf| move |source| FileError::File { path, source };
        std::fs::rename(&self.path, &aside).map_err(file(self.path.clone()))?;
        // They belong to the old file and would be taken for the new one's.
        for side in [beside("-wal"), beside("-shm"), beside("-journal")] {
            match std::fs::remove_file(&side) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(file(side)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// After an error of a statement: whether a new file is in place, so that
    /// the statement is worth repeating.
    async fn repaired(&self, error: &FileError) -> bool {
        if !self.owner || !error.calls_for_a_new_file() {
            return false;
        }
        let mut file = self.file.lock().await;
        *file = None;
        match self.move_away(error) {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, "the damaged queue file cannot be moved away");
                false
            }
        }
    }

    async fn ring_once(&self, names: &str) -> Result<(), FileError> {
        let pool = self.pool().await?;
        sqlx::query(RING).bind(names).execute(&pool).await?;
        Ok(())
    }

    async fn take_once(&self, lane: Lane) -> Result<Option<(String, String, i64)>, FileError> {
        let pool = self.pool().await?;
        Ok(sqlx::query_as(TAKE).bind(lane.as_str()).fetch_optional(&pool).await?)
    }

    async fn line_once(&self, lane: Lane) -> Result<(i64, Option<i64>), FileError> {
        let pool = self.pool().await?;
        Ok(sqlx::query_as(LINE).bind(lane.as_str()).fetch_one(&pool).await?)
    }
}

async fn create(pool: &SqlitePool) -> Result<(), FileError> {
    sqlx::query("PRAGMA journal_mode = WAL").execute(pool).await?;
    let mut transaction = pool.begin().await?;
    sqlx::query(CREATE).execute(&mut *transaction).await?;
    sqlx::query(INDEX).execute(&mut *transaction).await?;
    for (pragma, value) in [("application_id", APPLICATION), ("user_version", VERSION)] {
        let statement = sqlx::AssertSqlSafe(format!("PRAGMA {pragma} = {value}"));
        sqlx::query(statement).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Runs a statement, and once more if its error led to a new file.
macro_rules! repairing {
    ($queue:expr, $operation:literal, $once:expr) => {
        match $once.await {
            Err(error) if $queue.repaired(&error).await => $once.await,
            done => done,
        }
        .map_err(|error| error.during($operation))
    };
}

#[async_trait]
impl Doorbell for SqliteDoorbell {
    async fn ring(&self, rings: &[Ring]) -> Result<(), DoorbellError> {
        if rings.is_empty() {
            return Ok(());
        }
        let row = |ring: &Ring| json!([ring.lane, signed(ring.rank), ring.tenant, ring.step]);
        let rows = Value::Array(rings.iter().map(row).collect()).to_string();
        repairing!(self, "put steps on the queue", self.ring_once(&rows))
    }
}

/// SQLite's numbers are signed; ranks never come near their end.
fn signed(rank: u64) -> i64 {
    i64::try_from(rank).unwrap_or(i64::MAX)
}

fn unsigned(rank: i64) -> u64 {
    u64::try_from(rank).unwrap_or(0)
}

#[async_trait]
impl Queue for SqliteDoorbell {
    async fn line(&self, lane: Lane) -> Result<Line, DoorbellError> {
        let line = repairing!(self, "count the steps on the queue", self.line_once(lane));
        let (waiting, head) = line?;
        Ok(Line { waiting: unsigned(waiting), head: head.map(unsigned) })
    }

    async fn take(&self, lane: Lane) -> Result<Option<Ring>, DoorbellError> {
        let taken = repairing!(self, "take a step off the queue", self.take_once(lane))?;
        let Some((tenant, step, rank)) = taken else { return Ok(None) };
        let step = step.parse().map_err(|error| DoorbellError {
            operation: "read a name of a step".to_owned(),
            cause: format!("{error}; it was taken off the queue"),
        })?;
        Ok(Some(Ring { tenant: TenantId(tenant), step, lane, rank: unsigned(rank) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{drain, rings, step, steps, waiting};

    #[tokio::test]
    async fn a_step_that_waits_is_not_put_on_twice() {
        let folder = tempfile::tempdir().unwrap();
        let queue = SqliteDoorbell::open(&folder.path().join("queue.db")).await.unwrap();
        for _ in 0..3 {
            queue.ring(&rings([step(2), step(1), step(2)])).await.unwrap();
        }
        assert_eq!(waiting(&queue).await, 2);
        assert_eq!(drain(&queue).await, vec![step(2), step(1)]);
        queue.ring(&rings([step(2)])).await.unwrap();
        assert_eq!(drain(&queue).await, vec![step(2)], "a taken step can be rung at once");
    }

    #[tokio::test]
    async fn an_attached_process_sees_the_owners_rings_and_creates_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.db");
        let attached = SqliteDoorbell::attach(&path);
        let error = attached.take(Lane::Light).await.unwrap_err();
        assert!(error.cause.contains("owns the data folder"), "{error}");
        assert!(!path.exists());
        let owner = SqliteDoorbell::open(&path).await.unwrap();
        owner.ring(&rings(steps(1..=3))).await.unwrap();
        assert_eq!(drain(&attached).await, steps(1..=3));
    }

    async fn replaced(contents: &[u8]) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.db");
        std::fs::write(&path, contents).unwrap();
        assert!(SqliteDoorbell::attach(&path).take(Lane::Light).await.is_err());
        let queue = SqliteDoorbell::open(&path).await.unwrap();
        queue.ring(&rings([step(1)])).await.unwrap();
        assert_eq!(drain(&queue).await, vec![step(1)]);
        assert_eq!(std::fs::read(folder.path().join("queue.db.damaged")).unwrap(), contents);
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_moved_away() {
        replaced(&b"not a database at all ".repeat(100)).await;
    }

    #[tokio::test]
    async fn another_programs_database_is_moved_away_untouched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("foreign.db");
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let pool = SqlitePool::connect_with(options).await.unwrap();
        sqlx::query("CREATE TABLE theirs (a)").execute(&pool).await.unwrap();
        pool.close().await;
        replaced(&std::fs::read(&path).unwrap()).await;
    }

    #[tokio::test]
    async fn a_file_that_goes_bad_or_away_in_use_is_replaced_and_everybody_follows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.db");
        let owner = SqliteDoorbell::open(&path).await.unwrap();
        let attached = SqliteDoorbell::attach(&path);
        owner.ring(&rings([step(1)])).await.unwrap();
        assert_eq!(drain(&attached).await, vec![step(1)]);
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(folder.path().join(format!("queue.db{suffix}")));
        }
        owner.ring(&rings([step(2)])).await.unwrap();
        assert_eq!(drain(&attached).await, vec![step(2)], "the file was gone");
        std::fs::rename(&path, folder.path().join("old")).unwrap();
        std::fs::write(&path, b"garbage, garbage, garbage").unwrap();
        owner.ring(&rings([step(3)])).await.unwrap();
        assert_eq!(drain(&attached).await, vec![step(3)], "the file was damaged");
    }

    #[tokio::test]
    async fn a_row_that_names_no_step_is_reported_and_gone() {
        let folder = tempfile::tempdir().unwrap();
        let queue = SqliteDoorbell::open(&folder.path().join("queue.db")).await.unwrap();
        queue.ring_once("[[\"light\",1,\"local\",\"--rm -rf\\n\"]]").await.unwrap();
        queue.ring(&rings([step(1)])).await.unwrap();
        assert!(queue.take(Lane::Light).await.is_err());
        assert_eq!(drain(&queue).await, vec![step(1)]);
    }

    #[tokio::test]
    async fn what_is_no_damage_is_an_error_and_moves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.db");
        std::fs::create_dir(&path).unwrap();
        let error = SqliteDoorbell::open(&path).await.err().unwrap();
        assert_eq!(error.operation, "open its file");
        assert!(path.is_dir());
    }

    #[test]
    fn only_our_own_version_is_ours() {
        assert_eq!(layout(APPLICATION, VERSION, 2), Layout::Ours);
        assert_eq!(layout(APPLICATION, VERSION + 1, 2), Layout::Foreign);
        assert_eq!(layout(0, 0, 0), Layout::Empty);
        assert_eq!(layout(0, 0, 1), Layout::Foreign);
        assert_eq!(layout(7, 0, 0), Layout::Foreign);
    }
}
