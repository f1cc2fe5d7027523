//! Loads the rows that a transition touches and writes what changed. Everything
//! is read and checked before the first statement that writes, so a refused
//! transition leaves no trace in the transaction that it shares with others.

use super::connect::failed;
use super::seal::End;
use super::tables::{Stored, forgotten, from_json, made, to_json};
use crate::chain::Link;
use crate::projection::{RowKey, RowSet, conflict};
use crate::transition::{self, Decision};
use charter::content::Content;
use charter::digest::Digest;
use charter::ids::{ContentId, Millis, StepKey, StreamId, TenantId};
use charter::ports::{Committed, LeaseChange, LedgerError, Transition};
use charter::record::Record;
use charter::rows::{ApprovalRow, EffectRow, MissionRow, StepRow};
use serde_json::{Value, json};
use sqlx::SqliteConnection;
use std::collections::{BTreeMap, BTreeSet};

/// Why a transition was not written, and whether anything was.
pub(super) struct Failed {
    pub(super) error: LedgerError,
    /// Statements of it were executed: the transaction has to go.
    pub(super) dirty: bool,
}

impl From<LedgerError> for Failed {
    fn from(error: LedgerError) -> Self {
        Self { error, dirty: false }
    }
}

/// What is known before a transition is decided.
#[derive(Default)]
struct Known {
    rows: RowSet,
    heads: BTreeMap<String, (i64, Digest)>,
    taken: BTreeSet<String>,
    /// Texts of the tenant that are to be forgotten and are there.
    there: BTreeSet<ContentId>,
    /// Events that were committed under this name: tenant, stream, body, position.
    before: Vec<(String, String, String, i64)>,
}

const LOAD: &str = "\
    SELECT 'mission', m.body FROM json_each(?1) k CROSS JOIN missions m ON m.id = k.value \
    UNION ALL \
    SELECT 'step', s.body FROM json_each(?2) k CROSS JOIN steps s \
        ON s.mission = k.value->>0 AND s.n = k.value->>1 AND s.item = k.value->>2 \
    UNION ALL \
    SELECT 'step', s.body FROM json_each(?3) k CROSS JOIN steps s \
        ON s.mission = k.value AND s.item = 0 \
    UNION ALL \
    SELECT 'effect', e.body FROM json_each(?4) k CROSS JOIN effects e ON e.key = k.value \
    UNION ALL \
    SELECT 'approval', a.body FROM json_each(?5) k CROSS JOIN approvals a ON a.id = k.value \
    UNION ALL \
    SELECT 'made', json_array(m.made, m.tenant, m.effect) FROM json_each(?6) k \
        CROSS JOIN made m ON m.made = k.value AND m.tenant = ?7 \
    UNION ALL \
    SELECT 'head', json_array(h.stream, h.seq, lower(hex(h.hash))) FROM json_each(?8) k \
        CROSS JOIN streams h ON h.tenant = ?7 AND h.stream = k.value \
    UNION ALL \
    SELECT 'taken', json_quote(c.id) FROM json_each(?9) k CROSS JOIN contents c ON c.id = k.value \
    UNION ALL \
    SELECT 'before', json_array(tenant, stream, body, pos) FROM events WHERE txn = ?10 \
    UNION ALL \
    SELECT 'record', r.body FROM json_each(?11) k CROSS JOIN records r \
        ON r.kind = k.value->>0 AND r.id = k.value->>1 \
    UNION ALL \
    SELECT 'forgotten', json_array(f.content, f.tenant, f.at) FROM json_each(?12) k \
        CROSS JOIN forgotten f ON f.content = k.value \
    UNION ALL \
    SELECT 'there', json_quote(c.id) FROM json_each(?13) k \
        CROSS JOIN contents c ON c.id = k.value AND c.tenant = ?7";

async fn load(
    conn: &mut SqliteConnection,
    transition: &Transition,
    keys: BTreeSet<RowKey>,
    known: &mut Known,
) -> Result<(), LedgerError> {
    let (mut missions, mut steps, mut of) = (Vec::new(), Vec::new(), Vec::new());
    let (mut effects, mut approvals, mut files) = (Vec::new(), Vec::new(), Vec::new());
    let (mut records, mut forgotten_texts) = (Vec::new(), Vec::new());
    for key in keys {
        match key {
            RowKey::Mission(id) => missions.push(json!(id)),
            RowKey::Step(key) => steps.push(json!([key.mission, key.n, key.item])),
            RowKey::StepsOf(mission) => of.push(json!(mission)),
            RowKey::Effect(key) => effects.push(json!(key)),
            RowKey::Approval(id) => approvals.push(json!(id)),
            RowKey::Made(made) => files.push(json!(made)),
            RowKey::Record(key) => records.push(json!([key.kind.as_str(), key.id])),
            RowKey::Forgotten(content) => forgotten_texts.push(json!(content)),
        }
    }
    let streams: BTreeSet<_> = transition.events.iter().map(|(stream, _)| stream).collect();
    let contents: Vec<_> = transition.contents.iter().map(|content| &content.id).collect();
    let forgets: Vec<_> = transition::forgets(transition).collect();
    let list = |of: Vec<Value>| Value::Array(of).to_string();
    let found: Vec<(String, String)> = sqlx::query_as(LOAD)
        .bind(list(missions))
        .bind(list(steps))
        .bind(list(of))
        .bind(list(effects))
        .bind(list(approvals))
        .bind(list(files))
        .bind(&transition.tenant.0)
        .bind(json!(streams).to_string())
        .bind(json!(contents).to_string())
        .bind(transition.id.as_str())
        .bind(list(records))
        .bind(list(forgotten_texts))
        .bind(json!(forgets).to_string())
        .fetch_all(conn)
        .await
        .map_err(|error| failed("read what a change touches", error))?;
    for (kind, body) in found {
        match kind.as_str() {
            "mission" => {
                let row: MissionRow = from_json("mission", &body)?;
                known.rows.missions.load(row.id.clone(), row);
            }
            "step" => {
                let row: StepRow = from_json("step", &body)?;
                known.rows.steps.load(row.key.clone(), row);
            }
            "effect" => {
                let row: EffectRow = from_json("effect", &body)?;
                known.rows.effects.load(row.key, row);
            }
            "approval" => {
                let row: ApprovalRow = from_json("approval", &body)?;
                known.rows.approvals.load(row.id.clone(), row);
            }
            "made" => {
                let row = made(from_json("made file", &body)?)?;
                known.rows.made.load((row.tenant.clone(), row.made), row);
            }
            "record" => {
                let row: Record = from_json("record", &body)?;
                known.rows.records.load(row.key(), row);
            }
            "forgotten" => {
                let row = forgotten(from_json("forgotten text", &body)?);
                known.rows.forgotten.load(row.content.clone(), row);
            }
            "there" => {
                known.there.insert(from_json("content", &body)?);
            }
            "head" => {
                let (stream, seq, hash): (String, i64, Digest) = from_json("stream", &body)?;
                known.heads.insert(stream, (seq, hash));
            }
            "taken" => {
                known.taken.insert(from_json("content", &body)?);
            }
            _ => known.before.push(from_json("event", &body)?),
        }
    }
    Ok(())
}

/// What a written transition calls for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Calls {
    /// A checkpoint.
    pub(super) seal: bool,
    /// Moving the log into the file: it holds what was forgotten.
    pub(super) scrub: bool,
}

/// Decides and writes one transition, whose shape was checked.
pub(super) async fn commit(
    conn: &mut SqliteConnection,
    transition: &Transition,
    end: &mut End,
) -> Result<(Committed, Calls), Failed> {
    let mut known = Known::default();
    load(conn, transition, transition::keys(transition), &mut known).await?;
    if !known.before.is_empty() {
        return Ok((repeated(transition, known.before)?, Calls::default()));
    }
    transition::check_named(transition, &known.rows)?;
    for (id, reference) in transition::older_contents(transition) {
        let stored = content(conn, &id).await?;
        transition::check_older(reference, stored.as_ref(), transition)?;
    }
    if let Some(taken) = transition.contents.iter().find(|c| known.taken.contains(c.id.as_str())) {
        return Err(LedgerError::Conflict(format!("content {} exists already", taken.id)).into());
    }
    transition::check_forgets(transition, &known.rows, |id| known.there.contains(id))?;
    let more = transition::more_keys(transition, &known.rows);
    if !more.is_empty() {
        load(conn, transition, more, &mut known).await?;
    }
    let decision = transition::decide(transition, &mut known.rows)?;
    write(conn, transition, &known, &decision, end)
        .await
        .map_err(|error| Failed { error, dirty: true })?;
    let calls = Calls { seal: decision.seals, scrub: !decision.forgotten.is_empty() };
    Ok((Committed { position: end.position, ready: decision.ready }, calls))
}

/// The same transition again: succeeds, changes nothing.
fn repeated(
    transition: &Transition,
    mut before: Vec<(String, String, String, i64)>,
) -> Result<Committed, LedgerError> {
    before.sort_by_key(|(.., pos)| *pos);
    let mut same = before.len() == transition.events.len();
    for ((tenant, stream, body, _), (of, event)) in before.iter().zip(&transition.events) {
        same =
            same && *tenant == transition.tenant.0 && *stream == of.0 && *body == to_json(event)?;
    }
    match before.last() {
        Some((.., position)) if same => Ok(Committed { position: *position, ready: Vec::new() }),
        _ => conflict(format!("transition {} was something else before", transition.id)),
    }
}

async fn write(
    conn: &mut SqliteConnection,
    transition: &Transition,
    known: &Known,
    decision: &Decision,
    end: &mut End,
) -> Result<(), LedgerError> {
    contents(conn, &transition.contents).await?;
    events(conn, transition, known, end).await?;
    let rows = &known.rows;
    save(conn, rows.missions.changes().filter_map(|change| change.is)).await?;
    save(conn, rows.steps.changes().filter_map(|change| change.is)).await?;
    save(conn, rows.effects.changes().filter_map(|change| change.is)).await?;
    save(conn, rows.approvals.changes().filter_map(|change| change.is)).await?;
    save(conn, rows.made.changes().filter_map(|change| change.is)).await?;
    save(conn, rows.records.changes().filter_map(|change| change.is)).await?;
    save(conn, rows.forgotten.changes().filter_map(|change| change.is)).await?;
    wipe(conn, &decision.forgotten).await?;
    let gone = rows.steps.changes().filter(|change| change.is.is_none()).map(|change| change.key);
    delete(
        conn,
        "DELETE FROM steps WHERE (mission, n, item) IN \
         (SELECT value->>0, value->>1, value->>2 FROM json_each(?1))",
        gone,
    )
    .await?;
    delete(
        conn,
        "DELETE FROM leases WHERE (mission, n, item) IN \
         (SELECT value->>0, value->>1, value->>2 FROM json_each(?1))",
        decision.released.iter(),
    )
    .await?;
    take(conn, transition).await?;
    delete(
        conn,
        "DELETE FROM outbox WHERE (mission, n, item) IN \
         (SELECT value->>0, value->>1, value->>2 FROM json_each(?1))",
        decision.silenced.iter(),
    )
    .await?;
    ring(conn, &transition.tenant, &decision.ready).await
}

async fn contents(conn: &mut SqliteConnection, contents: &[Content]) -> Result<(), LedgerError> {
    for content in contents {
        sqlx::query("INSERT INTO contents (id, tenant, salt, bytes) VALUES (?1, ?2, ?3, ?4)")
            .bind(content.id.as_str())
            .bind(&content.tenant.0)
            .bind(&content.salt)
            .bind(&content.bytes)
            .execute(&mut *conn)
            .await
            .map_err(|error| failed("write a text", error))?;
    }
    Ok(())
}

/// Overwrites texts and their salts with zeros, in place. Deleting the rows would
/// make SQLite move their neighbours between pages and leave copies behind that no
/// setting overwrites when the neighbours are forgotten in their turn.
async fn wipe(conn: &mut SqliteConnection, contents: &[ContentId]) -> Result<(), LedgerError> {
    if contents.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE contents SET salt = zeroblob(length(salt)), bytes = zeroblob(length(bytes)) \
         WHERE id IN (SELECT value FROM json_each(?1))",
    )
    .bind(json!(contents).to_string())
    .execute(conn)
    .await
    .map_err(|error| failed("forget texts", error))?;
    Ok(())
}

async fn events(
    conn: &mut SqliteConnection,
    transition: &Transition,
    known: &Known,
    end: &mut End,
) -> Result<(), LedgerError> {
    let writing = |error| failed("write an event", error);
    let mut heads: BTreeMap<&StreamId, (i64, Digest)> = BTreeMap::new();
    for (stream, event) in &transition.events {
        let head = heads
            .entry(stream)
            .or_insert_with(|| known.heads.get(&stream.0).copied().unwrap_or_default());
        let body = to_json(event)?;
        let link = Link {
            pos: end.position + 1,
            tenant: &transition.tenant.0,
            stream: &stream.0,
            seq: head.0 + 1,
            at: transition.at,
            txn: transition.id.as_str(),
            body: &body,
            prev: head.1,
        };
        let hash = link.hash();
        sqlx::query(
            "INSERT INTO events (pos, tenant, stream, seq, at, txn, body, prev, hash) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )
        .bind(link.pos)
        .bind(link.tenant)
        .bind(link.stream)
        .bind(link.seq)
        .bind(link.at)
        .bind(link.txn)
        .bind(link.body)
        .bind(link.prev.0.as_slice())
        .bind(hash.0.as_slice())
        .execute(&mut *conn)
        .await
        .map_err(writing)?;
        *head = (link.seq, hash);
        end.position = link.pos;
    }
    for (stream, (seq, hash)) in heads {
        sqlx::query(
            "INSERT OR REPLACE INTO streams (tenant, stream, seq, hash) VALUES (?1, ?2, ?3, ?4)",
        )
        .bind(&transition.tenant.0)
        .bind(&stream.0)
        .bind(seq)
        .bind(hash.0.as_slice())
        .execute(&mut *conn)
        .await
        .map_err(writing)?;
    }
    Ok(())
}

async fn save<'a, T: Stored + 'a>(
    conn: &mut SqliteConnection,
    rows: impl Iterator<Item = &'a T>,
) -> Result<(), LedgerError> {
    let cells = rows.map(T::cells).collect::<Result<Vec<_>, _>>()?;
    if cells.is_empty() {
        return Ok(());
    }
    sqlx::query(T::SAVE)
        .bind(json!(cells).to_string())
        .execute(conn)
        .await
        .map_err(|error| failed("write rows", error))?;
    Ok(())
}

async fn delete(
    conn: &mut SqliteConnection,
    sql: &'static str,
    steps: impl Iterator<Item = &StepKey>,
) -> Result<(), LedgerError> {
    let keys: Vec<_> = steps.map(|key| json!([key.mission, key.n, key.item])).collect();
    if keys.is_empty() {
        return Ok(());
    }
    sqlx::query(sql)
        .bind(Value::Array(keys).to_string())
        .execute(conn)
        .await
        .map_err(|error| failed("remove rows", error))?;
    Ok(())
}

async fn take(conn: &mut SqliteConnection, transition: &Transition) -> Result<(), LedgerError> {
    let (LeaseChange::Take { holder, expires_at }, Some(fence)) =
        (&transition.lease, &transition.fence)
    else {
        return Ok(());
    };
    sqlx::query(
        "INSERT OR REPLACE INTO leases \
         (mission, n, item, tenant, token, holder, programs, expires_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, '[]', ?7)",
    )
    .bind(fence.step.mission.as_str())
    .bind(fence.step.n)
    .bind(fence.step.item)
    .bind(&transition.tenant.0)
    .bind(token(fence.token)?)
    .bind(to_json(holder)?)
    .bind(expires_at)
    .execute(conn)
    .await
    .map_err(|error| failed("take a lease", error))?;
    Ok(())
}

/// A fencing token as SQLite has it.
pub(super) fn token(token: u64) -> Result<i64, LedgerError> {
    i64::try_from(token).map_err(|_| LedgerError::Conflict(format!("{token} is no claim")))
}

async fn ring(
    conn: &mut SqliteConnection,
    tenant: &TenantId,
    ready: &[(StepKey, Millis)],
) -> Result<(), LedgerError> {
    if ready.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> =
        ready.iter().map(|(key, due)| json!([key.mission, key.n, key.item, due])).collect();
    sqlx::query(
        "INSERT INTO outbox (tenant, mission, n, item, due_at) \
         SELECT ?1, value->>0, value->>1, value->>2, value->>3 FROM json_each(?2)",
    )
    .bind(&tenant.0)
    .bind(Value::Array(rows).to_string())
    .execute(conn)
    .await
    .map_err(|error| failed("write the outbox", error))?;
    Ok(())
}

type ContentColumns = (String, String, Vec<u8>, Vec<u8>);

/// One text, whoever's it is.
pub(super) async fn content(
    conn: &mut SqliteConnection,
    id: &ContentId,
) -> Result<Option<Content>, LedgerError> {
    let row: Option<ContentColumns> = sqlx::query_as(
        "SELECT id, tenant, salt, bytes FROM contents \
             WHERE id = ?1 AND id NOT IN (SELECT content FROM forgotten)",
    )
    .bind(id.as_str())
    .fetch_optional(conn)
    .await
    .map_err(|error| failed("read a text", error))?;
    Ok(row.map(|(_, tenant, salt, bytes)| Content {
        id: id.clone(),
        tenant: TenantId(tenant),
        salt,
        bytes,
    }))
}
