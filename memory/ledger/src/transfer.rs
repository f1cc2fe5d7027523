//! Moves a whole ledger between a file and a database, in either direction.
//!
//! Everything is copied as it stands, row by row and with bounded memory, in one
//! transaction of the target; then both sides are read again, compared cell by
//! cell and audited, and only then the target is called whole. Until then it says
//! of itself that it is arriving, nobody opens it, and a transfer can begin anew.
//!
//! Nobody writes to either side meanwhile: the locks of their writers are held.

use crate::audit::{self, AuditReport};
use crate::postgres::{self, Pg, PgAddress};
use crate::sql::pack::Packer;
use crate::sql::seal;
use crate::sql::tables::{self, Table};
use crate::sql::{Cell, SCHEMA, Sql, Standing, built, first, fixed, next};
use crate::sqlite;
use charter::digest::Digest;
use charter::ids::Millis;
use charter::ports::LedgerError;
use ed25519_dalek::{SigningKey, VerifyingKey};
use serde::Serialize;
use sqlx::{PgConnection, SqliteConnection};
use std::fmt;
use std::path::PathBuf;

/// Where a ledger is.
#[derive(Debug, Clone)]
pub enum Place {
    /// In a file of SQLite.
    File(PathBuf),
    /// In PostgreSQL.
    Postgres(PgAddress),
}

/// What was moved, and found equal on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// Rows of each table.
    pub rows: Vec<(&'static str, u64)>,
    /// Position of the newest event.
    pub position: i64,
    /// The audit of the target.
    pub audit: AuditReport,
}

/// How far a transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The source is audited.
    Checking,
    /// A table was copied.
    Copied {
        /// Its name.
        table: &'static str,
        /// Its rows.
        rows: u64,
    },
    /// Both sides are compared, and the target is audited.
    Proving,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checking => f.write_str("checking the record as it is"),
            Self::Copied { table, rows } => write!(f, "copied {table}: {rows} rows"),
            Self::Proving => f.write_str("reading both sides again and comparing every cell"),
        }
    }
}

/// Moves the ledger at `from` to `to`, which must hold none, and proves it. `key` signs
/// the checkpoints of both. Nobody may work there, and leases must have run out by
/// `now`. The source stays as it is and says of itself that it was moved. `None`: it
/// was moved there before.
pub async fn transfer(
    from: &Place,
    to: &Place,
    key: &SigningKey,
    now: Millis,
    tell: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Option<Moved>, LedgerError> {
    let key = key.verifying_key();
    let (mut source, before) = Side::source(from, &key).await?;
    idle(source.conn(), now).await?;
    tell(Progress::Checking);
    let honest = audit(from, &key).await?;
    if !honest.is_clean() {
        return Err(LedgerError::Damaged(format!(
            "what is to be moved is not what was signed ({} findings): see `alma audit verify`",
            honest.findings.len() as u64 + honest.more
        )));
    }
    let (mut target, begun) = Side::target(to, &key).await?;
    match (before, begun) {
        // Killed behind the last mark: all is done but the telling.
        (Standing::Moved, Standing::Settled) => {
            let ours = goes_on(source.conn(), target.conn()).await?;
            source.let_be().await?;
            target.close().await?;
            return if ours { Ok(None) } else { before.admit().map(|()| None) };
        }
        (Standing::Moved, Standing::Moved) | (Standing::Arriving, _) => before.admit()?,
        (_, Standing::Arriving) => {}
        (Standing::Settled, Standing::Settled | Standing::Moved) => {
            empty(target.conn()).await?;
            target.mark(Standing::Arriving).await?;
        }
    }
    let copied = copy_all(&mut source, &mut target, tell).await?;
    tell(Progress::Proving);
    for (table, copied) in tables::ALL.into_iter().zip(&copied) {
        if read(target.conn(), table).await? != *copied {
            return Err(differs(table.name));
        }
    }
    let audit = audit(to, &key).await?;
    let untimed =
        |report: &AuditReport| AuditReport { verify_ms: 0, rebuild_ms: 0, ..report.clone() };
    if untimed(&audit) != untimed(&honest) {
        return Err(differs("the audit"));
    }
    let position = seal::end(target.conn()).await?.position;
    // In this order: killed in between, neither can be opened, and the transfer can be
    // begun anew.
    source.leave().await?;
    target.mark(Standing::Settled).await?;
    target.close().await?;
    let rows = tables::ALL.into_iter().zip(copied).map(|(table, read)| (table.name, read.rows));
    Ok(Some(Moved { rows: rows.collect(), position, audit }))
}

/// Whether the ledger at `from` says that it was moved, and goes on at `to`. Neither is
/// changed.
pub async fn was_moved(from: &Place, to: &Place, key: &SigningKey) -> Result<bool, LedgerError> {
    let key = key.verifying_key();
    let (mut old, before) = look(from, &key).await?;
    let (mut new, since) = look(to, &key).await?;
    Ok((before, since) == (Standing::Moved, Standing::Settled)
        && goes_on(old.as_mut(), new.as_mut()).await?)
}

async fn look(place: &Place, key: &VerifyingKey) -> Result<(Box<dyn Sql>, Standing), LedgerError> {
    Ok(match place {
        Place::File(path) => {
            let mut conn = sqlite::read_only(path).await?;
            let standing = sqlite::standing(&mut conn).await?;
            (Box::new(conn), standing)
        }
        Place::Postgres(address) => {
            let (conn, standing) = postgres::seen(address, key).await?;
            (Box::new(conn), standing)
        }
    })
}

/// Whether the last event of one ledger is an event of the other, at the same place: its
/// hash covers all that was before.
async fn goes_on(old: &mut dyn Sql, new: &mut dyn Sql) -> Result<bool, LedgerError> {
    const DOING: &str = "compare what was moved";
    let last = fixed("SELECT pos, hash FROM events ORDER BY pos DESC LIMIT 1");
    let Some(last) = old.lines(DOING, last, Vec::new()).await?.into_iter().next() else {
        return Ok(false);
    };
    let there = fixed("SELECT hash FROM events WHERE pos = $1");
    let there = new.lines(DOING, there, vec![last.int(0)?.into()]).await?;
    match there.first() {
        Some(line) => Ok(line.digest(0)? == last.digest(1)?),
        None => Ok(false),
    }
}

fn differs(what: &str) -> LedgerError {
    LedgerError::Damaged(format!(
        "after the copy, {what} was not the same on both sides: the target stays marked as \
         arriving; begin the transfer anew"
    ))
}

async fn audit(place: &Place, key: &VerifyingKey) -> Result<AuditReport, LedgerError> {
    match place {
        Place::File(path) => audit::verify(path, key).await,
        Place::Postgres(address) => audit::verify_postgres(address, key).await,
    }
}

/// One side, with the lock of its writers.
enum Side {
    File(SqliteConnection),
    Postgres(Pg<Box<PgConnection>>),
}

impl Side {
    async fn source(place: &Place, key: &VerifyingKey) -> Result<(Self, Standing), LedgerError> {
        match place {
            Place::File(path) => {
                if !path.exists() {
                    let what = format!("the ledger {}", path.display());
                    return Err(LedgerError::NotFound(what));
                }
                let mut conn = sqlite::whole(path).await?;
                let standing = sqlite::standing(&mut conn).await?;
                conn.run("take the lock of the writers", fixed("BEGIN IMMEDIATE"), vec![]).await?;
                Ok((Self::File(conn), standing))
            }
            Place::Postgres(address) => {
                let (conn, standing) = postgres::whole(address, key).await?;
                Ok((Self::Postgres(conn), standing))
            }
        }
    }

    async fn target(place: &Place, key: &VerifyingKey) -> Result<(Self, Standing), LedgerError> {
        match place {
            Place::File(path) => {
                let mut conn = sqlite::whole(path).await?;
                let standing = sqlite::standing(&mut conn).await?;
                Ok((Self::File(conn), standing))
            }
            Place::Postgres(address) => {
                let (conn, standing) = postgres::fresh(address, key).await?;
                Ok((Self::Postgres(conn), standing))
            }
        }
    }

    fn conn(&mut self) -> &mut dyn Sql {
        match self {
            Self::File(conn) => conn,
            Self::Postgres(conn) => conn,
        }
    }

    async fn mark(&mut self, standing: Standing) -> Result<(), LedgerError> {
        match self {
            Self::File(conn) => sqlite::mark(conn, standing).await,
            Self::Postgres(conn) => postgres::mark(conn, standing).await,
        }
    }

    /// Lets a source be, with the mark that it goes on elsewhere.
    async fn leave(mut self) -> Result<(), LedgerError> {
        if let Self::Postgres(conn) = &mut self {
            // It was only read.
            conn.run("end reading", fixed("COMMIT"), Vec::new()).await?;
        }
        self.mark(Standing::Moved).await?;
        if let Self::File(conn) = &mut self {
            conn.run("mark the file", fixed("COMMIT"), Vec::new()).await?;
        }
        self.close().await
    }

    /// Lets a source be, as it is.
    async fn let_be(mut self) -> Result<(), LedgerError> {
        self.conn().run("end reading", fixed("ROLLBACK"), Vec::new()).await?;
        self.close().await
    }

    async fn close(self) -> Result<(), LedgerError> {
        match self {
            Self::File(conn) => sqlite::let_go(conn).await,
            Self::Postgres(conn) => {
                conn.close().await;
                Ok(())
            }
        }
    }
}

/// Whoever still works on a step would lose it.
async fn idle(conn: &mut dyn Sql, now: Millis) -> Result<(), LedgerError> {
    let sql = fixed("SELECT count(*) FROM leaders WHERE expires_at > $1");
    if first(conn.lines("see who leads", sql, vec![now.into()]).await?)?.int(0)? > 0 {
        return Err(LedgerError::Conflict(
            "a process works there as the leader: stop it, or wait until its lease has run out"
                .to_owned(),
        ));
    }
    let sql = fixed("SELECT count(*) FROM leases WHERE expires_at > $1");
    match first(conn.lines("look for leases", sql, vec![now.into()]).await?)?.int(0)? {
        0 => Ok(()),
        held => Err(LedgerError::Conflict(format!(
            "{held} steps are being worked on: stop the workers, or wait until their leases have \
             run out"
        ))),
    }
}

async fn empty(conn: &mut dyn Sql) -> Result<(), LedgerError> {
    for table in tables::ALL {
        let sql = built(format!("SELECT count(*) FROM {}", table.name));
        if first(conn.lines("look at the target", sql, Vec::new()).await?)?.int(0)? > 0 {
            return Err(LedgerError::Conflict(
                "the target holds a ledger already; a transfer needs an empty one: name another \
                 database, or move the file that is in the way"
                    .to_owned(),
            ));
        }
    }
    Ok(())
}

/// A table, read whole.
#[derive(Debug, Default, PartialEq, Eq)]
struct Read {
    rows: u64,
    /// Over every cell of every row, in order.
    digest: Digest,
}

impl Read {
    fn add(&mut self, row: &[Cell]) {
        let mut bytes = Vec::new();
        for cell in row {
            let (kind, value): (u8, &[u8]) = match cell {
                Cell::Null => (0, &[]),
                Cell::Int(number) => (1, &number.to_be_bytes()),
                Cell::Text(text) => (2, text.as_bytes()),
                Cell::Blob(blob) => (3, blob),
                Cell::Odd(kind) => (4, kind.as_bytes()),
            };
            bytes.push(kind);
            bytes.extend_from_slice(&(value.len() as u64).to_be_bytes());
            bytes.extend_from_slice(value);
        }
        self.rows += 1;
        self.digest = Digest::of_parts(&[&self.digest.0, &bytes]);
    }
}

const READING: &str = "read a table";

async fn read(conn: &mut dyn Sql, table: &Table) -> Result<Read, LedgerError> {
    let mut read = Read::default();
    let mut rows = conn.stream(READING, built(table.scan(SCHEMA)));
    while let Some(row) = next(READING, &mut rows).await? {
        read.add(&row.0);
    }
    Ok(read)
}

/// Copies everything in one transaction of the target.
async fn copy_all(
    source: &mut Side,
    target: &mut Side,
    tell: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Vec<Read>, LedgerError> {
    const DOING: &str = "copy the ledger";
    target.conn().run(DOING, fixed("BEGIN"), Vec::new()).await?;
    let mut copied = Vec::new();
    for table in tables::ALL {
        let clear = built(format!("DELETE FROM {}", table.name));
        target.conn().run(DOING, clear, Vec::new()).await?;
        let mut packer = Packer::new(DOING, table.insert(), table.has_blobs());
        let mut read = Read::default();
        let mut rows = source.conn().stream(READING, built(table.scan(SCHEMA)));
        while let Some(row) = next(READING, &mut rows).await? {
            read.add(&row.0);
            packer.add(target.conn(), &row.0).await?;
        }
        packer.end(target.conn()).await?;
        tell(Progress::Copied { table: table.name, rows: read.rows });
        copied.push(read);
    }
    if let Side::Postgres(conn) = target {
        postgres::count_on(conn).await?;
    }
    target.conn().run(DOING, fixed("COMMIT"), Vec::new()).await?;
    Ok(copied)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(rows: &[&[Cell]]) -> Digest {
        let mut read = Read::default();
        rows.iter().for_each(|row| read.add(row));
        read.digest
    }

    #[test]
    fn every_cell_counts() {
        let text = |text: &str| Cell::from(text);
        let ab = digest(&[&[text("a"), text("b")]]);
        assert_ne!(ab, digest(&[&[text("ab"), text("")]]));
        assert_ne!(ab, digest(&[&[text("a")], &[text("b")]]));
        assert_ne!(digest(&[&[Cell::Null]]), digest(&[&[text("")]]));
        assert_ne!(digest(&[&[Cell::Blob(b"a".to_vec())]]), digest(&[&[text("a")]]));
        assert_ne!(digest(&[&[Cell::Int(1)]]), digest(&[&[Cell::Int(2)]]));
    }
}
