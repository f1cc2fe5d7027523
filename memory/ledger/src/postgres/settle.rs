//! What must be true of a database before it is used: durable settings, our
//! schema, our key.

use super::PgDurability;
use super::connect::Pg;
use crate::keys;
use crate::sql::{Arg, Line, SCHEMA, Sql, Standing, first, fit, fixed, newer};
use charter::ports::LedgerError;
use ed25519_dalek::VerifyingKey;
use sqlx::PgConnection;

/// Whoever holds this lock writes events. One database holds one ledger, so that
/// a fixed number will do.
pub(super) const WRITERS: i64 = 0x616c_6d61_0001;
/// Whoever holds this lock makes or changes the schema.
const MIGRATIONS: i64 = 0x616c_6d61_0002;
/// Schemas, counted as SQLite's are; PostgreSQL joined at the second.
const STEPS: [(i64, &str); 2] = [
    (2, include_str!("../../migrations/postgres/0002_ledger.sql")),
    (SCHEMA, include_str!("../../migrations/postgres/0003_hosts.sql")),
];
/// What every transaction of a writer asks first, behind the lock of the writers: a
/// program that stood still while the schema changed, or while the ledger was moved,
/// writes nothing any more.
pub(super) const FIT: &str = "SELECT c.oldest, i.state FROM compat c CROSS JOIN installation i";

type Conn = Pg<Box<PgConnection>>;

/// Reads the settings back on which durability rests and refuses others.
pub(super) async fn durability(conn: &mut Conn) -> Result<PgDurability, LedgerError> {
    let refused = |cause: String| LedgerError::Store {
        operation: "use the PostgreSQL server".to_owned(),
        cause,
    };
    let sql = fixed(
        "SELECT current_setting('synchronous_commit'), current_setting('fsync'), \
         current_setting('full_page_writes'), current_setting('server_encoding'), \
         CAST(pg_is_in_recovery() AS TEXT), current_setting('transaction_read_only')",
    );
    let mut line = first(conn.lines("read the settings of the server", sql, Vec::new()).await?)?;
    let found = PgDurability {
        synchronous_commit: line.text(0)?,
        fsync: line.text(1)?,
        full_page_writes: line.text(2)?,
    };
    let (encoding, standby, read_only) = (line.text(3)?, line.text(4)?, line.text(5)?);
    if standby == "true" || read_only == "on" {
        return Err(refused(
            "it may only be read, as a standby may: give the address of the primary".to_owned(),
        ));
    }
    if encoding != "UTF8" {
        return Err(refused(format!(
            "the database holds texts as {encoding}: make one with ENCODING 'UTF8'"
        )));
    }
    if [&found.synchronous_commit, &found.fsync, &found.full_page_writes].iter().any(|s| *s != "on")
    {
        return Err(refused(format!(
            "what it calls written may be lost: synchronous_commit={}, fsync={}, \
             full_page_writes={}; set all three to on",
            found.synchronous_commit, found.fsync, found.full_page_writes
        )));
    }
    Ok(found)
}

/// Makes the schema or brings it up to date, in one transaction: another process
/// waits, and a crash leaves what was there before.
pub(super) async fn schema(conn: &mut Conn) -> Result<(), LedgerError> {
    const DOING: &str = "bring the schema up to date";
    if version(conn).await? >= SCHEMA {
        return Ok(());
    }
    conn.script(DOING, "BEGIN").await?;
    let lock = fixed("SELECT pg_advisory_xact_lock($1)");
    conn.run(DOING, lock, vec![MIGRATIONS.into()]).await?;
    // Somebody else may have done it while we waited.
    let version = version(conn).await?;
    // Nobody writes while it changes; who writes next asks what it is now.
    let writers = fixed("SELECT pg_advisory_xact_lock($1)");
    conn.run(DOING, writers, vec![WRITERS.into()]).await?;
    if version == 0 {
        conn.script(
            DOING,
            "CREATE SCHEMA IF NOT EXISTS alma; \
             CREATE TABLE alma.migrations (version bigint PRIMARY KEY)",
        )
        .await?;
    }
    for (step, sql) in STEPS.into_iter().filter(|(step, _)| *step > version) {
        conn.script(DOING, sql).await?;
        let done = fixed("INSERT INTO migrations (version) VALUES ($1)");
        conn.run(DOING, done, vec![step.into()]).await?;
    }
    conn.script(DOING, "COMMIT").await.map(|_| ())
}

/// The schema that the database has; 0: none of ours. One that is newer than this
/// version's is refused unless programs of this version may work with it.
pub(super) async fn version(conn: &mut Conn) -> Result<i64, LedgerError> {
    let version = newest(conn).await?;
    if version > SCHEMA {
        let oldest = fixed("SELECT oldest FROM alma.compat");
        fit(first(conn.lines("ask who may use the ledger", oldest, Vec::new()).await?)?.int(0)?)?;
    }
    Ok(version)
}

/// The same for who must know every table and column.
pub(super) async fn known(conn: &mut Conn) -> Result<i64, LedgerError> {
    match newest(conn).await? {
        version if version > SCHEMA => Err(newer(version)),
        version => Ok(version),
    }
}

async fn newest(conn: &mut Conn) -> Result<i64, LedgerError> {
    const DOING: &str = "find out which schema the ledger has";
    // Read from the catalog itself: a name that was looked up in vain is remembered
    // as missing even while we wait for whoever makes it.
    let there = fixed(
        "SELECT count(*) FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace \
         WHERE s.nspname = 'alma' AND c.relname = 'migrations'",
    );
    if first(conn.lines(DOING, there, Vec::new()).await?)?.int(0)? == 0 {
        return Ok(0);
    }
    let newest = fixed("SELECT coalesce(max(version), 0) FROM alma.migrations");
    first(conn.lines(DOING, newest, Vec::new()).await?)?.int(0)
}

/// Reads the answer to [`FIT`].
pub(super) fn judge(mut line: Line) -> Result<(), LedgerError> {
    fit(line.int(0)?)?;
    standing(&line.text(1)?).admit()
}

fn standing(word: &str) -> Standing {
    match word {
        "settled" => Standing::Settled,
        "moved" => Standing::Moved,
        _ => Standing::Arriving,
    }
}

/// How a database stands, as it says itself.
pub(super) fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Settled => "settled",
        Standing::Arriving => "arriving",
        Standing::Moved => "moved",
    }
}

/// The key and the state that the database remembers; `None` before its first use.
pub(super) async fn owner(conn: &mut Conn) -> Result<Option<(Vec<u8>, Standing)>, LedgerError> {
    let sql = fixed("SELECT public_key, state FROM installation");
    let found = conn.lines("find out whose ledger it is", sql, Vec::new()).await?;
    let owner = |mut line: Line| Ok((line.blob(0)?, standing(&line.text(1)?)));
    found.into_iter().next().map(owner).transpose()
}

/// Takes a database that belongs to nobody yet, and refuses one that belongs to
/// another key. Gives how it stands.
pub(super) async fn claim(conn: &mut Conn, key: &VerifyingKey) -> Result<Standing, LedgerError> {
    let sql = fixed(
        "INSERT INTO installation (public_key, state) VALUES ($1, $2) ON CONFLICT DO NOTHING",
    );
    let args = vec![Arg::Blob(key.as_bytes().to_vec()), word(Standing::Settled).into()];
    conn.run("put the key on record", sql, args).await?;
    match owner(conn).await? {
        Some((kept, standing)) => own(&kept, key).map(|()| standing),
        None => Err(LedgerError::Damaged("the database forgot its key: restore a backup".into())),
    }
}

/// Refuses another key than the one on record.
pub(super) fn own(kept: &[u8], key: &VerifyingKey) -> Result<(), LedgerError> {
    if kept == key.as_bytes() {
        return Ok(());
    }
    let theirs = kept.try_into().ok().and_then(|kept| VerifyingKey::from_bytes(kept).ok());
    Err(LedgerError::Damaged(format!(
        "the database belongs to the installation {}, and `ledger.key` here to {}: copy \
         `ledger.key` from that installation's data folder into this one",
        theirs.map_or("(unreadable)".to_owned(), |theirs| keys::installation(&theirs)),
        keys::installation(key)
    )))
}
