//! Questions, answered from what is committed.

use super::batch::content;
use super::tables::{from_json, made, named, to_json, word};
use super::{Arg, Line, Sql, built, first, fixed, flows};
use crate::limits::rows_at_most;
use charter::event::Recorded;
use charter::ids::{ContentId, MissionId, StepKey, StreamId, TenantId};
use charter::mode::{Mode, ModeRow};
use charter::ports::{Around, LeaseRow, LedgerError, LedgerSize, Query, Rows};
use charter::record::{Kept, Record};
use charter::rows::EffectRow;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use sqlx::SqlStr;

const DOING: &str = "read rows";

/// A question in the making: its text, and what stands for the placeholders.
struct Ask {
    sql: String,
    args: Vec<Arg>,
}

impl Ask {
    fn new(sql: &str) -> Self {
        Self { sql: sql.to_owned(), args: Vec::new() }
    }

    fn push(&mut self, sql: &str) -> &mut Self {
        self.sql.push_str(sql);
        self
    }

    fn bind(&mut self, arg: impl Into<Arg>) -> &mut Self {
        self.args.push(arg.into());
        self.sql.push_str(&format!("${}", self.args.len()));
        self
    }
}

pub(crate) async fn query(
    conn: &mut dyn Sql,
    tenant: &TenantId,
    query: Query,
) -> Result<Rows, LedgerError> {
    Ok(match query {
        Query::Mission { id } => {
            let mut ask = select("missions", tenant);
            ask.push(" AND id = ").bind(id.as_str());
            Rows::Missions(rows(conn, ask).await?)
        }
        Query::Missions { state, same, before, limit } => {
            let mut ask = select("missions", tenant);
            only(&mut ask, " AND state = ", state.as_ref())?;
            only(&mut ask, " AND same = ", same.as_ref())?;
            only(&mut ask, " AND id < ", before.as_ref())?;
            ask.push(" ORDER BY id DESC");
            Rows::Missions(bounded(conn, ask, limit).await?)
        }
        Query::Step { key } => {
            let mut ask = select("steps", tenant);
            step_is(&mut ask, &key);
            Rows::Steps(rows(conn, ask).await?)
        }
        Query::Around { step } => Rows::Around(around(conn, tenant, &step).await?.map(Box::new)),
        Query::Steps { mission, state, items_of, after, limit } => {
            let mut ask = select("steps", tenant);
            ask.push(" AND mission = ").bind(mission.as_str());
            match items_of {
                None => ask.push(" AND n > 0 AND item = 0"),
                Some(n) => ask.push(" AND item > 0 AND n > 0 AND n = ").bind(n),
            };
            only(&mut ask, " AND state = ", state.as_ref())?;
            if let Some(after) = after {
                ask.push(" AND (n, item) > (").bind(after.n);
                ask.push(", ").bind(after.item).push(")");
            }
            ask.push(" ORDER BY n, item");
            Rows::Steps(bounded(conn, ask, limit).await?)
        }
        Query::DeadSteps { limit } => {
            let mut ask = select("steps", tenant);
            ask.push(" AND state = 'dead' ORDER BY mission, n, item");
            Rows::Steps(bounded(conn, ask, limit).await?)
        }
        Query::EffectsOfStep { step } => {
            let mut ask = select("effects", tenant);
            step_is(&mut ask, &step);
            ask.push(" ORDER BY ordinal, intended_at, key");
            Rows::Effects(bounded(conn, ask, u32::MAX).await?)
        }
        Query::EffectsOfMission { mission, limit } => {
            let mut ask = select("effects", tenant);
            ask.push(" AND mission = ").bind(mission.as_str());
            ask.push(" ORDER BY n, item, ordinal, intended_at, key");
            Rows::Effects(bounded(conn, ask, limit).await?)
        }
        Query::Approval { id } => {
            let mut ask = select("approvals", tenant);
            ask.push(" AND id = ").bind(id.as_str());
            Rows::Approvals(rows(conn, ask).await?)
        }
        Query::Approvals { mission, state, limit } => {
            let mut ask = select("approvals", tenant);
            only(&mut ask, " AND mission = ", mission.as_ref())?;
            // Those of one mission are few; all that are open may be many.
            let is = if mission.is_some() { " AND state || '' = " } else { " AND state = " };
            only(&mut ask, is, state.as_ref())?;
            ask.push(" ORDER BY id");
            Rows::Approvals(bounded(conn, ask, limit).await?)
        }
        Query::Content { id } => {
            let content = content(conn, &id).await?;
            Rows::Contents(content.filter(|c| c.tenant == *tenant).into_iter().collect())
        }
        Query::Events { stream, after, limit } => {
            Rows::Events(events(conn, tenant, &stream, after, limit).await?)
        }
        Query::Happened { after, kinds, limit } => {
            Rows::Events(happened(conn, tenant, after, &kinds, limit).await?)
        }
        Query::Made { made: digest } => {
            let sql =
                fixed("SELECT made, tenant, effect FROM made WHERE made = $1 AND tenant = $2");
            let args = vec![digest.to_string().into(), tenant.0.as_str().into()];
            let row = |mut line: Line| made(&line.text(0)?, line.text(1)?, &line.text(2)?);
            Rows::Made(each(conn, sql, args, row).await?)
        }
        Query::Outbox { now, limit } => {
            Rows::Outbox(flows::due(conn, &flows::OUTBOX, now, limit).await?)
        }
        Query::OutboxNext { now } => {
            let sql = fixed("SELECT min(due_at) FROM outbox WHERE due_at > $1");
            Rows::When(first(conn.lines(DOING, sql, vec![now.into()]).await?)?.maybe_int(0)?)
        }
        Query::Leases => Rows::Leases(leases(conn).await?),
        Query::ReadySteps { now, limit } => {
            let mut ask = Ask::new("SELECT body FROM steps WHERE state = 'ready' AND ready_at <= ");
            ask.bind(now).push(" ORDER BY ready_at, mission, n, item");
            Rows::Steps(bounded(conn, ask, limit).await?)
        }
        Query::ReadyByFlow { now, limit } => {
            Rows::Outbox(flows::due(conn, &flows::READY, now, limit).await?)
        }
        Query::ExpiredApprovals { now, limit } => {
            let mut ask =
                Ask::new("SELECT body FROM approvals WHERE state = 'open' AND expires_at <= ");
            ask.bind(now).push(" ORDER BY expires_at, id");
            Rows::Approvals(bounded(conn, ask, limit).await?)
        }
        Query::Size => {
            // Positions have no gaps, so the newest one is the count.
            let sql = fixed(
                "SELECT (SELECT coalesce(max(pos), 0) FROM events), \
                        (SELECT count(*) FROM missions)",
            );
            let line = first(conn.lines(DOING, sql, Vec::new()).await?)?;
            let (position, missions) = (line.int(0)?, line.int(1)?);
            let count = |n: i64| u64::try_from(n).unwrap_or_default();
            Rows::Size(LedgerSize { events: count(position), missions: count(missions), position })
        }
        Query::Record { key } => {
            let mut ask = select("records", tenant);
            ask.push(" AND kind = ").bind(key.kind.as_str());
            ask.push(" AND id = ").bind(key.id);
            Rows::Records(rows(conn, ask).await?)
        }
        Query::Records { kind, parent, state, after, newest, limit } => {
            // Names first, along an index that holds no bodies: else SQLite goes
            // through all of the kind.
            let mut ask = Ask::new("SELECT body FROM records WHERE kind = ");
            ask.bind(kind.as_str()).push(" AND id IN (SELECT id FROM records WHERE tenant = ");
            ask.bind(tenant.0.as_str()).push(" AND kind = ").bind(kind.as_str());
            only(&mut ask, " AND parent = ", parent.as_ref())?;
            only(&mut ask, " AND state = ", state.as_ref())?;
            let (behind, order) = match newest {
                true => (" AND id < ", " ORDER BY id DESC"),
                false => (" AND id > ", " ORDER BY id"),
            };
            only(&mut ask, behind, after.as_ref())?;
            ask.push(order).push(" LIMIT ").bind(at_most(limit)).push(")").push(order);
            Rows::Records(rows(conn, ask).await?)
        }
        Query::DueRecords { now, limit } => {
            let mut ask = Ask::new("SELECT body FROM records WHERE due_at <= ");
            ask.bind(now).push(" ORDER BY due_at, kind, id");
            Rows::Records(bounded(conn, ask, limit).await?)
        }
        Query::DueNext => {
            let sql = fixed("SELECT min(due_at) FROM records WHERE due_at IS NOT NULL");
            Rows::When(first(conn.lines(DOING, sql, Vec::new()).await?)?.maybe_int(0)?)
        }
        Query::ContentsWith { needle, limit } => {
            Rows::ContentIds(contents_with(conn, tenant, &needle, limit).await?)
        }
    })
}

/// How many rows, for a placeholder.
fn at_most(limit: u32) -> Arg {
    Arg::Int(i64::try_from(rows_at_most(limit)).unwrap_or(i64::MAX))
}

async fn each<T>(
    conn: &mut dyn Sql,
    sql: SqlStr,
    args: Vec<Arg>,
    row: impl Fn(Line) -> Result<T, LedgerError>,
) -> Result<Vec<T>, LedgerError> {
    conn.lines(DOING, sql, args).await?.into_iter().map(row).collect()
}

async fn contents_with(
    conn: &mut dyn Sql,
    tenant: &TenantId,
    needle: &str,
    limit: u32,
) -> Result<Vec<ContentId>, LedgerError> {
    if needle.is_empty() {
        return Ok(Vec::new());
    }
    let sql = fixed(
        "SELECT id FROM contents WHERE tenant = $1 AND instr(bytes, $2) > 0 \
         AND id NOT IN (SELECT content FROM forgotten) ORDER BY id LIMIT $3",
    );
    let needle = Arg::Blob(needle.as_bytes().to_vec());
    let args = vec![tenant.0.as_str().into(), needle, at_most(limit)];
    each(conn, sql, args, |mut line| named(&line.text(0)?)).await
}

fn select(table: &'static str, tenant: &TenantId) -> Ask {
    let mut ask = Ask::new("SELECT body FROM ");
    ask.push(table).push(" WHERE tenant = ").bind(tenant.0.as_str());
    ask
}

/// In one statement: nobody writes between its parts.
async fn around(
    conn: &mut dyn Sql,
    tenant: &TenantId,
    key: &StepKey,
) -> Result<Option<Around>, LedgerError> {
    let sql = fixed(
        "SELECT 'step', body FROM steps \
            WHERE tenant = $1 AND mission = $2 AND n = $3 AND item = $4 \
         UNION ALL SELECT 'mission', body FROM missions WHERE tenant = $1 AND id = $2 \
         UNION ALL SELECT 'mode', body FROM records \
            WHERE tenant = $1 AND kind = 'mode' AND id = $1 \
         UNION ALL SELECT 'effect', body FROM (SELECT body FROM effects \
            WHERE tenant = $1 AND mission = $2 AND n = $3 AND item = $4 \
            ORDER BY ordinal, intended_at, key LIMIT $5) first",
    );
    let args = vec![
        tenant.0.as_str().into(),
        key.mission.as_str().into(),
        key.n.into(),
        key.item.into(),
        at_most(u32::MAX),
    ];
    let (mut step, mut mission, mut mode, mut effects) = (None, None, Mode::Running, Vec::new());
    for mut line in conn.lines(DOING, sql, args).await? {
        let body = line.text(1)?;
        match line.text(0)?.as_str() {
            "step" => step = Some(from_json("step", &body)?),
            "mission" => mission = Some(from_json("mission", &body)?),
            "mode" => {
                let row: Record = from_json("record", &body)?;
                mode = ModeRow::of(row).map_or(Mode::Running, |row| row.mode);
            }
            _ => effects.push(from_json::<EffectRow>("effect", &body)?),
        }
    }
    // A union promises no order.
    effects.sort_by_key(|row| (row.ordinal, row.intended_at, row.key));
    match (step, mission) {
        (Some(step), Some(mission)) => Ok(Some(Around { step, mission, mode, effects })),
        (None, _) => Ok(None),
        (Some(_), None) => Err(LedgerError::Damaged(format!("step {key} has no mission"))),
    }
}

fn step_is(ask: &mut Ask, key: &StepKey) {
    ask.push(" AND mission = ").bind(key.mission.as_str());
    ask.push(" AND n = ").bind(key.n);
    ask.push(" AND item = ").bind(key.item);
}

/// Adds a condition where there is one.
fn only<T: Serialize>(
    ask: &mut Ask,
    condition: &'static str,
    value: Option<&T>,
) -> Result<(), LedgerError> {
    if let Some(value) = value {
        ask.push(condition).bind(word(value)?);
    }
    Ok(())
}

async fn bounded<T: DeserializeOwned>(
    conn: &mut dyn Sql,
    mut ask: Ask,
    limit: u32,
) -> Result<Vec<T>, LedgerError> {
    ask.push(" LIMIT ").bind(at_most(limit));
    rows(conn, ask).await
}

async fn rows<T: DeserializeOwned>(conn: &mut dyn Sql, ask: Ask) -> Result<Vec<T>, LedgerError> {
    each(conn, built(ask.sql), ask.args, |mut line| from_json("row", &line.text(0)?)).await
}

/// A step from three columns.
fn step(line: &mut Line, at: usize) -> Result<StepKey, LedgerError> {
    let mission: MissionId = named(&line.text(at)?)?;
    Ok(StepKey { mission, n: line.count(at + 1)?, item: line.count(at + 2)? })
}

/// An event from its columns: position, stream, number, time, transition, body.
fn recorded(mut line: Line) -> Result<Recorded, LedgerError> {
    let (position, seq) = (line.int(0)?, line.int(2)?);
    Ok(Recorded {
        position,
        stream: StreamId(line.text(1)?),
        seq: u64::try_from(seq)
            .map_err(|_| LedgerError::Damaged(format!("event {position} has number {seq}")))?,
        at: line.int(3)?,
        transition: named(&line.text(4)?)?,
        event: from_json("event", &line.text(5)?)?,
    })
}

async fn events(
    conn: &mut dyn Sql,
    tenant: &TenantId,
    stream: &StreamId,
    after: u64,
    limit: u32,
) -> Result<Vec<Recorded>, LedgerError> {
    let sql = fixed(
        "SELECT pos, stream, seq, at, txn, body FROM events \
         WHERE tenant = $1 AND stream = $2 AND seq > $3 ORDER BY seq LIMIT $4",
    );
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let args =
        vec![tenant.0.as_str().into(), stream.0.as_str().into(), after.into(), at_most(limit)];
    each(conn, sql, args, recorded).await
}

/// How the body of an event of this kind begins: its kind is what is written first.
fn beginning(kind: &str) -> String {
    format!("{{\"kind\":{}", json!(kind))
}

/// What happened behind a position, oldest first. The tenant is compared as an
/// expression: by its index SQLite would go through all that it ever did.
const HAPPENED: &str = "SELECT pos, stream, seq, at, txn, body FROM events \
    WHERE pos > $1 AND tenant || '' = $2 AND ($3 = '[]' OR EXISTS (SELECT 1 FROM json_each($3) k \
        WHERE substr(events.body, 1, length(k.value->>0)) = k.value->>0)) \
    ORDER BY pos LIMIT $4";

async fn happened(
    conn: &mut dyn Sql,
    tenant: &TenantId,
    after: i64,
    kinds: &[String],
    limit: u32,
) -> Result<Vec<Recorded>, LedgerError> {
    let kinds = to_json(&kinds.iter().map(|kind| [beginning(kind)]).collect::<Vec<_>>())?;
    let args = vec![after.into(), tenant.0.as_str().into(), kinds.into(), at_most(limit)];
    each(conn, fixed(HAPPENED), args, recorded).await
}

async fn leases(conn: &mut dyn Sql) -> Result<Vec<LeaseRow>, LedgerError> {
    let sql = fixed(
        "SELECT mission, n, item, tenant, token, holder, programs, expires_at FROM leases \
         ORDER BY mission, n, item",
    );
    let row = |mut line: Line| {
        let token = line.int(4)?;
        Ok(LeaseRow {
            step: step(&mut line, 0)?,
            tenant: TenantId(line.text(3)?),
            token: u64::try_from(token)
                .map_err(|_| LedgerError::Damaged(format!("a lease has token {token}")))?,
            holder: from_json("process", &line.text(5)?)?,
            programs: from_json("list of programs", &line.text(6)?)?,
            expires_at: line.int(7)?,
        })
    };
    each(conn, sql, Vec::new(), row).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use charter::event::Event;
    use charter::ids::{MissionId, SessionId};
    use charter::ports::Drawn;

    fn begins(event: &Event) {
        let body = to_json(event).unwrap();
        let start = format!("{},", beginning(event.kind()));
        assert!(body.starts_with(&start), "{body}");
    }

    #[test]
    fn an_event_begins_with_its_kind() {
        let mission = MissionId::new(1, &Drawn(&[0; 16]));
        begins(&Event::MissionCancelled { mission, by: "me".into(), steps: vec![] });
        let session = SessionId::new(1, &Drawn(&[0; 16]));
        let turn = charter::ids::TurnId::new(1, &Drawn(&[0; 16]));
        let mission = MissionId::new(2, &Drawn(&[0; 16]));
        let submitted = charter::conversation::Conversed::TurnSubmitted { session, turn, mission };
        begins(&Event::Conversed(submitted));
    }
}
