//! Where the ledger ends, and the checkpoints that seal it.

use super::connect::failed;
use super::tables::to_json;
use crate::chain::{Checkpoint, Draft, Head};
use charter::digest::Digest;
use charter::ids::Millis;
use charter::ports::LedgerError;
use ed25519_dalek::SigningKey;
use sqlx::SqliteConnection;

/// Where the ledger ends.
#[derive(Debug, Clone, Default)]
pub(super) struct End {
    /// Position of the newest event.
    pub(super) position: i64,
    /// The newest checkpoint.
    pub(super) checkpoint: Option<Checkpoint>,
}

impl End {
    pub(super) fn sealed(&self) -> i64 {
        self.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.position)
    }
}

type CheckpointColumns = (i64, i64, i64, Vec<u8>, String, String, Vec<u8>, Vec<u8>);

/// Where the ledger ends, read from the file.
pub(super) async fn end(conn: &mut SqliteConnection) -> Result<End, LedgerError> {
    let reading = |error| failed("read the end of the ledger", error);
    let position = sqlx::query_scalar("SELECT coalesce(max(pos), 0) FROM events")
        .fetch_one(&mut *conn)
        .await
        .map_err(reading)?;
    let newest: Option<CheckpointColumns> = sqlx::query_as(
        "SELECT n, at, position, prev, heads, key, hash, signature FROM checkpoints \
         ORDER BY n DESC LIMIT 1",
    )
    .fetch_optional(conn)
    .await
    .map_err(reading)?;
    let checkpoint = match newest {
        None => None,
        Some((n, at, position, prev, heads, key, hash, signature)) => Some(Checkpoint {
            n,
            at,
            position,
            prev: digest(&prev)?,
            heads,
            key,
            hash: digest(&hash)?,
            signature,
        }),
    };
    Ok(End { position, checkpoint })
}

fn digest(bytes: &[u8]) -> Result<Digest, LedgerError> {
    bytes.try_into().map(Digest).map_err(|_| {
        LedgerError::Damaged("a stored hash does not have 32 bytes; run `alma audit verify`".into())
    })
}

/// Seals everything up to the newest event; nothing when it is sealed already.
pub(super) async fn seal(
    conn: &mut SqliteConnection,
    end: &mut End,
    at: Millis,
    key: &SigningKey,
) -> Result<(), LedgerError> {
    if end.position == end.sealed() {
        return Ok(());
    }
    let sealing = |error| failed("write a checkpoint", error);
    let moved: Vec<(String, String, i64, Vec<u8>)> = sqlx::query_as(
        "SELECT h.tenant, h.stream, h.seq, h.hash \
         FROM (SELECT DISTINCT tenant, stream FROM events WHERE pos > ?1) e \
         JOIN streams h ON h.tenant = e.tenant AND h.stream = e.stream \
         ORDER BY h.tenant, h.stream",
    )
    .bind(end.sealed())
    .fetch_all(&mut *conn)
    .await
    .map_err(sealing)?;
    let heads = moved
        .into_iter()
        .map(|(tenant, stream, seq, hash)| Ok(Head { tenant, stream, seq, hash: digest(&hash)? }))
        .collect::<Result<Vec<_>, LedgerError>>()?;
    let draft = Draft {
        n: end.checkpoint.as_ref().map_or(0, |last| last.n) + 1,
        at,
        position: end.position,
        prev: end.checkpoint.as_ref().map_or(Digest::default(), |last| last.hash),
        heads: to_json(&heads)?,
    };
    let checkpoint = draft.sign(key);
    sqlx::query(
        "INSERT INTO checkpoints (n, at, position, prev, heads, key, hash, signature) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )
    .bind(checkpoint.n)
    .bind(checkpoint.at)
    .bind(checkpoint.position)
    .bind(checkpoint.prev.0.as_slice())
    .bind(&checkpoint.heads)
    .bind(&checkpoint.key)
    .bind(checkpoint.hash.0.as_slice())
    .bind(&checkpoint.signature)
    .execute(conn)
    .await
    .map_err(sealing)?;
    end.checkpoint = Some(checkpoint);
    Ok(())
}
