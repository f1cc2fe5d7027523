//! Where the ledger ends, and the checkpoints that seal it.

use super::pack::put;
use super::script::Script;
use super::tables::{CHECKPOINTS, to_json};
use super::{Cell, Line, Sql, first, fixed};
use crate::chain::{Checkpoint, Draft, Head};
use charter::digest::Digest;
use charter::ids::Millis;
use charter::ports::LedgerError;
use ed25519_dalek::SigningKey;

/// Where the ledger ends.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct End {
    /// Position of the newest event.
    pub(crate) position: i64,
    /// Number of the newest checkpoint.
    pub(crate) checkpoint: i64,
    /// Position up to which it vouches.
    pub(crate) sealed: i64,
    /// Its hash.
    hash: Digest,
}

/// Asks where the ledger ends.
pub(crate) const END: &str = "\
    SELECT e.position, c.n, c.position, c.hash \
    FROM (SELECT coalesce(max(pos), 0) AS position FROM events) e \
    LEFT JOIN (SELECT n, position, hash FROM checkpoints ORDER BY n DESC LIMIT 1) c ON true";

/// Where the ledger ends, read from the store.
pub(crate) async fn end(conn: &mut dyn Sql) -> Result<End, LedgerError> {
    let found = conn.lines("read the end of the ledger", fixed(END), Vec::new()).await?;
    end_of(&first(found)?)
}

/// The answer to [`END`].
pub(crate) fn end_of(line: &Line) -> Result<End, LedgerError> {
    let position = line.int(0)?;
    Ok(match line.maybe_int(1)? {
        None => End { position, ..End::default() },
        Some(checkpoint) => {
            let (sealed, hash) = (line.int(2)?, line.digest(3)?);
            End { position, checkpoint, sealed, hash }
        }
    })
}

/// The newest checkpoint.
pub(crate) async fn newest(conn: &mut dyn Sql) -> Result<Option<Checkpoint>, LedgerError> {
    let sql = fixed(
        "SELECT n, at, position, prev, heads, key, hash, signature FROM checkpoints \
         ORDER BY n DESC LIMIT 1",
    );
    let found = conn.lines("read the newest checkpoint", sql, Vec::new()).await?;
    let checkpoint = |mut line: Line| {
        Ok(Checkpoint {
            n: line.int(0)?,
            at: line.int(1)?,
            position: line.int(2)?,
            prev: line.digest(3)?,
            heads: line.text(4)?,
            key: line.text(5)?,
            hash: line.digest(6)?,
            signature: line.blob(7)?,
        })
    };
    found.into_iter().next().map(checkpoint).transpose()
}

/// Heads of the streams that moved. Events are named by their place: a list of distinct
/// streams by itself SQLite makes from an index of all events there ever were.
const MOVED: &str = "\
    SELECT DISTINCT h.tenant, h.stream, h.seq, h.hash FROM events e \
    JOIN streams h ON h.tenant = e.tenant AND h.stream = e.stream \
    WHERE e.pos > $1 ORDER BY h.tenant, h.stream";

/// Seals everything up to the newest event; nothing when it is sealed already.
pub(crate) async fn seal(
    conn: &mut dyn Sql,
    end: &mut End,
    at: Millis,
    key: &SigningKey,
) -> Result<(), LedgerError> {
    const DOING: &str = "write a checkpoint";
    if end.position == end.sealed {
        return Ok(());
    }
    let moved = conn.lines(DOING, fixed(MOVED), vec![end.sealed.into()]).await?;
    let head = |mut line: Line| {
        Ok(Head {
            tenant: line.text(0)?,
            stream: line.text(1)?,
            seq: line.int(2)?,
            hash: line.digest(3)?,
        })
    };
    let heads = moved.into_iter().map(head).collect::<Result<Vec<_>, LedgerError>>()?;
    let draft = Draft {
        n: end.checkpoint + 1,
        at,
        position: end.position,
        prev: end.hash,
        heads: to_json(&heads)?,
    };
    let sealed = draft.sign(key);
    let row: Vec<Cell> = vec![
        sealed.n.into(),
        sealed.at.into(),
        sealed.position.into(),
        sealed.prev.into(),
        sealed.heads.into(),
        sealed.key.into(),
        sealed.hash.into(),
        Cell::Blob(sealed.signature),
    ];
    let mut script = Script::new(conn, DOING);
    put(&mut script, CHECKPOINTS.insert(), std::iter::once(row), true).await?;
    script.end().await?;
    *end = End {
        position: end.position,
        checkpoint: sealed.n,
        sealed: sealed.position,
        hash: sealed.hash,
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::plans::plan;
    use crate::sqlite;

    #[tokio::test]
    async fn a_seal_reads_what_is_new_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let mut conn = sqlite::whole(&folder.path().join("ledger.db")).await.unwrap();
        let plan = plan(&mut conn, MOVED).await;
        assert!(plan.contains("SEARCH e USING INTEGER PRIMARY KEY (rowid>?)"), "{plan}");
        assert!(!plan.contains("SCAN"), "{plan}");
    }
}
