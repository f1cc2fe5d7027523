//! The office of the leader, and whether this version may still work here at all:
//! whoever asks for the one is told the other.

use super::tables::{from_json, to_json};
use super::{Arg, Sql, first, fit, fixed};
use charter::leader::{Bid, LeaderRow};
use charter::ports::LedgerError;

/// The one office there is.
const LEADER: &str = "leader";
/// Tries to renew an office that is changed meanwhile.
const RENEW_TRIES: usize = 4;

/// Who leads, or led last. Refused where this version of Alma is too old.
pub(crate) async fn look(conn: &mut dyn Sql) -> Result<Option<LeaderRow>, LedgerError> {
    const DOING: &str = "see who leads";
    let sql = fixed(
        "SELECT c.oldest, l.term, l.holder, l.expires_at FROM compat c \
         LEFT JOIN leaders l ON l.office = $1",
    );
    let mut line = first(conn.lines(DOING, sql, vec![LEADER.into()]).await?)?;
    fit(line.int(0)?)?;
    let Some(term) = line.maybe_int(1)? else { return Ok(None) };
    Ok(Some(LeaderRow {
        term: u64::try_from(term).unwrap_or_default(),
        holder: from_json("leader", &line.text(2)?)?,
        expires_at: line.int(3)?,
    }))
}

/// The term of the leader; 0: nobody ever led.
pub(crate) async fn term(conn: &mut dyn Sql) -> Result<u64, LedgerError> {
    Ok(look(conn).await?.map_or(0, |row| row.term))
}

/// Answers a bid inside a transaction that keeps every other one out.
pub(crate) async fn lead(conn: &mut dyn Sql, bid: &Bid) -> Result<LeaderRow, LedgerError> {
    let row = look(conn).await?;
    let leads = bid.on(row.as_ref());
    if row.as_ref() != Some(&leads) {
        let sql = fixed(
            "INSERT INTO leaders (office, term, holder, expires_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (office) DO UPDATE SET term = excluded.term, \
             holder = excluded.holder, expires_at = excluded.expires_at",
        );
        let args = vec![
            LEADER.into(),
            number(leads.term)?,
            to_json(&leads.holder)?.into(),
            leads.expires_at.into(),
        ];
        conn.run("take the office of the leader", sql, args).await?;
    }
    Ok(leads)
}

/// Answers a bid that leaves the office where it is, touching its row alone. `None`:
/// the office changes hands, which takes the lock of the writers.
pub(crate) async fn renew(conn: &mut dyn Sql, bid: &Bid) -> Result<Option<LeaderRow>, LedgerError> {
    for _ in 0..RENEW_TRIES {
        let Some(row) = look(conn).await? else { return Ok(None) };
        let leads = bid.on(Some(&row));
        if leads.term != row.term {
            return Ok(None);
        }
        if leads == row {
            return Ok(Some(row));
        }
        let sql = fixed(
            "UPDATE leaders SET expires_at = $4 WHERE office = $1 AND term = $2 AND holder = $3",
        );
        let holder = to_json(&row.holder)?;
        let args =
            vec![LEADER.into(), number(row.term)?, Arg::Text(holder), leads.expires_at.into()];
        if conn.run("keep the office of the leader", sql, args).await? > 0 {
            return Ok(Some(leads));
        }
    }
    Ok(None)
}

fn number(term: u64) -> Result<Arg, LedgerError> {
    i64::try_from(term)
        .map(Arg::Int)
        .map_err(|_| LedgerError::Conflict(format!("{term} is no term of a leader")))
}
