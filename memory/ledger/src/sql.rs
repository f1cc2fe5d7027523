//! What both databases share: the statements, and everything that is decided
//! around them.
//!
//! Every statement has one text. Placeholders are `$1`, lists travel as JSON and
//! blobs as one piece that is cut by place; what SQLite has and PostgreSQL lacks
//! (`json_each`, `instr`, `zeroblob`) is made there by its first migration. [`Sql`]
//! is all that a connection must be able to do.

pub(crate) mod batch;
pub(crate) mod flows;
pub(crate) mod leaders;
pub(crate) mod leases;
pub(crate) mod pack;
#[cfg(test)]
mod plans;
pub(crate) mod read;
pub(crate) mod script;
pub(crate) mod seal;
pub(crate) mod tables;
pub(crate) mod wakes;
pub(crate) mod work;
pub(crate) mod writer;

use async_trait::async_trait;
use charter::digest::Digest;
use charter::ports::LedgerError;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use script::Trip;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};
use std::time::Duration;

/// The newest schema, counted alike in both databases.
pub(crate) const SCHEMA: i64 = 3;

/// A connection to either database.
#[async_trait]
pub(crate) trait Sql: Send {
    /// Runs a statement; returns how many rows it changed. `doing` completes "the
    /// ledger could not".
    async fn run(
        &mut self,
        doing: &'static str,
        sql: SqlStr,
        args: Vec<Arg>,
    ) -> Result<u64, LedgerError>;

    /// Runs statements of which none needs to see what another did, in one trip to the
    /// database.
    async fn run_all(&mut self, doing: &'static str, trip: Trip) -> Result<(), LedgerError>;

    /// All rows of an answer.
    async fn lines(
        &mut self,
        doing: &'static str,
        sql: SqlStr,
        args: Vec<Arg>,
    ) -> Result<Vec<Line>, LedgerError>;

    /// The rows of an answer one by one, for tables of any size.
    fn stream<'c>(
        &'c mut self,
        doing: &'static str,
        sql: SqlStr,
    ) -> BoxStream<'c, Result<Line, LedgerError>>;

    /// The columns that a table really has, in order.
    async fn columns(&mut self, table: &'static str) -> Result<Vec<String>, LedgerError>;
}

/// A statement that is written in this crate.
pub(crate) fn fixed(sql: &'static str) -> SqlStr {
    sql.into_sql_str()
}

/// A statement that is put together from pieces written in this crate.
pub(crate) fn built(sql: String) -> SqlStr {
    AssertSqlSafe(sql).into_sql_str()
}

/// A value for a placeholder.
#[derive(Debug, Clone)]
pub(crate) enum Arg {
    Int(i64),
    Text(String),
    Blob(Vec<u8>),
}

impl Arg {
    fn size(&self) -> usize {
        match self {
            Self::Int(_) => size_of::<i64>(),
            Self::Text(text) => text.len(),
            Self::Blob(bytes) => bytes.len(),
        }
    }
}

impl From<&str> for Arg {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Arg {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Arg {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u32> for Arg {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}

/// A stored value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cell {
    Null,
    Int(i64),
    Text(String),
    Blob(Vec<u8>),
    /// What no ledger writes, by the name of its type.
    Odd(String),
}

impl Cell {
    pub(crate) fn int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn blob(&self) -> Option<&[u8]> {
        match self {
            Self::Blob(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(crate) fn digest(&self) -> Option<Digest> {
        Some(Digest(self.blob()?.try_into().ok()?))
    }

    /// For people: in the place of a finding.
    pub(crate) fn show(&self) -> String {
        match self {
            Self::Null => Value::Null,
            Self::Int(number) => json!(number),
            Self::Text(text) => json!(text),
            Self::Blob(bytes) => json!(hex::encode(bytes)),
            Self::Odd(kind) => json!([kind]),
        }
        .to_string()
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u32> for Cell {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}

impl From<Option<i64>> for Cell {
    fn from(number: Option<i64>) -> Self {
        number.map_or(Self::Null, Self::Int)
    }
}

impl From<Digest> for Cell {
    fn from(digest: Digest) -> Self {
        Self::Blob(digest.0.to_vec())
    }
}

/// A row of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line(pub(crate) Vec<Cell>);

impl Line {
    /// The text in this column; it is taken out.
    pub(crate) fn text(&mut self, at: usize) -> Result<String, LedgerError> {
        match self.0.get_mut(at).map(|cell| std::mem::replace(cell, Cell::Null)) {
            Some(Cell::Text(text)) => Ok(text),
            _ => Err(unreadable(at)),
        }
    }

    /// The number in this column.
    pub(crate) fn int(&self, at: usize) -> Result<i64, LedgerError> {
        self.0.get(at).and_then(Cell::int).ok_or_else(|| unreadable(at))
    }

    /// The number in this column, if there is one.
    pub(crate) fn maybe_int(&self, at: usize) -> Result<Option<i64>, LedgerError> {
        match self.0.get(at) {
            Some(Cell::Null) => Ok(None),
            _ => self.int(at).map(Some),
        }
    }

    /// The small number in this column.
    pub(crate) fn count(&self, at: usize) -> Result<u32, LedgerError> {
        u32::try_from(self.int(at)?).map_err(|_| unreadable(at))
    }

    /// The bytes in this column; they are taken out.
    pub(crate) fn blob(&mut self, at: usize) -> Result<Vec<u8>, LedgerError> {
        match self.0.get_mut(at).map(|cell| std::mem::replace(cell, Cell::Null)) {
            Some(Cell::Blob(bytes)) => Ok(bytes),
            _ => Err(unreadable(at)),
        }
    }

    /// The hash in this column.
    pub(crate) fn digest(&self, at: usize) -> Result<Digest, LedgerError> {
        self.0.get(at).and_then(Cell::digest).ok_or_else(|| unreadable(at))
    }
}

fn unreadable(at: usize) -> LedgerError {
    LedgerError::Damaged(format!(
        "column {at} of a row does not hold what belongs there; run `alma audit verify`"
    ))
}

/// Longest wait for the next row of a stream.
const NEXT_MAX: Duration = Duration::from_secs(60);

/// The next row of a stream.
pub(crate) async fn next(
    doing: &'static str,
    rows: &mut BoxStream<'_, Result<Line, LedgerError>>,
) -> Result<Option<Line>, LedgerError> {
    match tokio::time::timeout(NEXT_MAX, rows.try_next()).await {
        Ok(next) => next,
        Err(_) => Err(LedgerError::Store {
            operation: doing.to_owned(),
            cause: format!(
                "no row came within {} seconds; see whether the database is busy or out of \
                 reach, and try again",
                NEXT_MAX.as_secs()
            ),
        }),
    }
}

/// The first row of an answer that has one.
pub(crate) fn first(lines: Vec<Line>) -> Result<Line, LedgerError> {
    lines.into_iter().next().ok_or_else(|| {
        LedgerError::Damaged("an answer that has a row had none; run `alma audit verify`".into())
    })
}

/// Whether a ledger may be worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is whole.
    Settled,
    /// A transfer fills it.
    Arriving,
    /// It was moved elsewhere; it is kept as it was.
    Moved,
}

impl Standing {
    /// Refuses half a ledger, and one that goes on elsewhere.
    pub(crate) fn admit(self) -> Result<(), LedgerError> {
        let why = match self {
            Self::Settled => return Ok(()),
            Self::Arriving => "a transfer to this place was begun and not finished: begin it anew",
            Self::Moved => {
                "it was moved elsewhere with `alma migrate` and goes on there: name that place \
                 under [ledger] in config.toml"
            }
        };
        Err(LedgerError::Damaged(why.to_owned()))
    }
}

/// Whether programs of this schema may work where `oldest` is the oldest that may. Every
/// migration that would lead older programs astray raises that number.
pub(crate) fn fit(oldest: i64) -> Result<(), LedgerError> {
    if oldest > SCHEMA { Err(newer(oldest)) } else { Ok(()) }
}

/// A file or database from the future.
pub(crate) fn newer(version: i64) -> LedgerError {
    LedgerError::Damaged(format!(
        "it was written by a newer version of Alma (schema {version}); update Alma, or restore \
         a backup made by this version"
    ))
}
