//! Many rows in one statement: their texts and numbers as one JSON list, their
//! blobs as one piece that each row names by place and length.

use super::script::Script;
use super::{Arg, Cell, Sql};
use charter::ports::LedgerError;
use sqlx::SqlStr;

/// Bytes after which a statement is full.
const BYTES_MAX: usize = 8 << 20;
/// Rows that one statement takes.
const ROWS_MAX: usize = 5_000;

/// Rows for `$1` and `$2` of a statement of [`super::tables::Table`].
#[derive(Debug, Default)]
struct Pack {
    list: Vec<u8>,
    blobs: Vec<u8>,
    rows: usize,
}

impl Pack {
    fn add(&mut self, row: &[Cell]) -> Result<(), LedgerError> {
        self.list.push(if self.rows == 0 { b'[' } else { b',' });
        for (at, cell) in row.iter().enumerate() {
            self.list.push(if at == 0 { b'[' } else { b',' });
            match cell {
                Cell::Null => self.list.extend_from_slice(b"null"),
                Cell::Int(number) => self.list.extend_from_slice(number.to_string().as_bytes()),
                Cell::Text(text) => {
                    serde_json::to_writer(&mut self.list, text).map_err(|error| {
                        LedgerError::Store {
                            operation: "write a row as JSON".to_owned(),
                            cause: error.to_string(),
                        }
                    })?;
                }
                Cell::Blob(bytes) => {
                    // Places are counted from one.
                    let place = format!("[{},{}]", self.blobs.len() + 1, bytes.len());
                    self.list.extend_from_slice(place.as_bytes());
                    self.blobs.extend_from_slice(bytes);
                }
                Cell::Odd(kind) => {
                    return Err(LedgerError::Damaged(format!(
                        "a row holds a {kind}, which no ledger writes; run `alma audit verify`"
                    )));
                }
            }
        }
        self.list.push(b']');
        self.rows += 1;
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.rows >= ROWS_MAX || self.list.len() + self.blobs.len() >= BYTES_MAX
    }

    /// What stands for the placeholders, of which there are two where `blobs` says so.
    fn take(&mut self, blobs: bool) -> Result<Vec<Arg>, LedgerError> {
        let Self { mut list, blobs: bytes, .. } = std::mem::take(self);
        list.push(b']');
        let list = String::from_utf8(list).map_err(|error| LedgerError::Store {
            operation: "write rows as JSON".to_owned(),
            cause: error.to_string(),
        })?;
        let mut args = vec![Arg::Text(list)];
        if blobs {
            args.push(Arg::Blob(bytes));
        }
        Ok(args)
    }
}

/// Rows on their way into a statement, a bounded part of them at a time.
pub(crate) struct Packer {
    doing: &'static str,
    sql: SqlStr,
    blobs: bool,
    pack: Pack,
}

impl Packer {
    /// For a statement that has a `$2` where `blobs` says so.
    pub(crate) fn new(doing: &'static str, sql: SqlStr, blobs: bool) -> Self {
        Self { doing, sql, blobs, pack: Pack::default() }
    }

    /// Takes a row, and sends all that wait when they are enough.
    pub(crate) async fn add(
        &mut self,
        conn: &mut dyn Sql,
        row: &[Cell],
    ) -> Result<(), LedgerError> {
        self.pack.add(row)?;
        if self.pack.is_full() {
            self.send(conn).await?;
        }
        Ok(())
    }

    async fn send(&mut self, conn: &mut dyn Sql) -> Result<(), LedgerError> {
        let args = self.pack.take(self.blobs)?;
        conn.run(self.doing, self.sql.clone(), args).await.map(|_| ())
    }

    /// Sends the rest.
    pub(crate) async fn end(mut self, conn: &mut dyn Sql) -> Result<(), LedgerError> {
        match self.pack.rows {
            0 => Ok(()),
            _ => self.send(conn).await,
        }
    }
}

/// Adds rows to a script, through one statement if it can hold them all.
pub(crate) async fn put(
    script: &mut Script<'_>,
    sql: SqlStr,
    rows: impl Iterator<Item = Vec<Cell>> + Send,
    blobs: bool,
) -> Result<(), LedgerError> {
    let mut pack = Pack::default();
    for row in rows {
        pack.add(&row)?;
        if pack.is_full() {
            script.add(sql.clone(), pack.take(blobs)?).await?;
        }
    }
    if pack.rows > 0 {
        script.add(sql, pack.take(blobs)?).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_one_list_and_one_piece() {
        let mut pack = Pack::default();
        pack.add(&["a\"\u{0}".into(), Cell::Blob(vec![1, 2]), Cell::Null]).unwrap();
        pack.add(&[7_i64.into(), Cell::Blob(vec![3]), Cell::Blob(vec![])]).unwrap();
        let list = String::from_utf8(pack.list).unwrap();
        assert_eq!(list, r#"[["a\"\u0000",[1,2],null],[7,[3,1],[4,0]]"#);
        assert_eq!((pack.blobs, pack.rows), (vec![1, 2, 3], 2));
        assert!(Pack::default().add(&[Cell::Odd("real".into())]).is_err());
    }

    #[test]
    fn a_statement_is_bounded() {
        let mut pack = Pack::default();
        pack.add(&[Cell::Blob(vec![0; BYTES_MAX])]).unwrap();
        assert!(pack.is_full());
        let mut pack = Pack { rows: ROWS_MAX - 1, ..Pack::default() };
        assert!(!pack.is_full());
        pack.add(&[Cell::Null]).unwrap();
        assert!(pack.is_full());
    }
}
