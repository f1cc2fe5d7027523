//! Questions, answered from what is committed.

use super::connect::failed;
use super::store;
use super::tables::{from_json, made, word};
use crate::limits::rows_at_most;
use charter::event::Recorded;
use charter::ids::{ContentId, MissionId, StepKey, StreamId, TenantId};
use charter::ports::{LeaseRow, LedgerError, LedgerSize, OutboxRow, Query, Rows};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection, SqlitePool};

pub(super) async fn query(
    pool: &SqlitePool,
    tenant: &TenantId,
    query: Query,
) -> Result<Rows, LedgerError> {
    let mut conn = pool.acquire().await.map_err(|error| failed("read", error))?;
    let conn = &mut *conn;
    Ok(match query {
        Query::Mission { id } => {
            let mut ask = select("missions", tenant);
            ask.push(" AND id = ").push_bind(id.as_str().to_owned());
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
        Query::Steps { mission, state, items_of, after, limit } => {
            let mut ask = select("steps", tenant);
            ask.push(" AND mission = ").push_bind(mission.as_str().to_owned());
            match items_of {
                None => ask.push(" AND n > 0 AND item = 0"),
                Some(n) => ask.push(" AND item > 0 AND n > 0 AND n = ").push_bind(n),
            };
            only(&mut ask, " AND state = ", state.as_ref())?;
            if let Some(after) = after {
                ask.push(" AND (n, item) > (").push_bind(after.n);
                ask.push(", ").push_bind(after.item).push(")");
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
            ask.push(" AND mission = ").push_bind(mission.as_str().to_owned());
            ask.push(" ORDER BY n, item, ordinal, intended_at, key");
            Rows::Effects(bounded(conn, ask, limit).await?)
        }
        Query::Approval { id } => {
            let mut ask = select("approvals", tenant);
            ask.push(" AND id = ").push_bind(id.as_str().to_owned());
            Rows::Approvals(rows(conn, ask).await?)
        }
        Query::Approvals { mission, state, limit } => {
            let mut ask = select("approvals", tenant);
            only(&mut ask, " AND mission = ", mission.as_ref())?;
            only(&mut ask, " AND state = ", state.as_ref())?;
            ask.push(" ORDER BY id");
            Rows::Approvals(bounded(conn, ask, limit).await?)
        }
        Query::Content { id } => {
            let content = store::content(conn, &id).await?;
            Rows::Contents(content.filter(|c| c.tenant == *tenant).into_iter().collect())
        }
        Query::Events { stream, after, limit } => {
            Rows::Events(events(conn, tenant, &stream, after, limit).await?)
        }
        Query::Happened { after, kinds, limit } => {
            Rows::Events(happened(conn, tenant, after, &kinds, limit).await?)
        }
        Query::Made { made: digest } => {
            let found: Option<(String, String, String)> = sqlx::query_as(
                "SELECT made, tenant, effect FROM made WHERE made = ?1 AND tenant = ?2",
            )
            .bind(digest.to_string())
            .bind(&tenant.0)
            .fetch_optional(conn)
            .await
            .map_err(reading)?;
            Rows::Made(found.map(made).transpose()?.into_iter().collect())
        }
        Query::Outbox { now, limit } => {
            let due: Vec<(i64, String, String, u32, u32, i64)> = sqlx::query_as(
                "SELECT id, tenant, mission, n, item, due_at FROM outbox \
                 WHERE due_at <= ?1 ORDER BY due_at, id LIMIT ?2",
            )
            .bind(now)
            .bind(rows_at_most(limit) as i64)
            .fetch_all(conn)
            .await
            .map_err(reading)?;
            let row = |(id, tenant, mission, n, item, due_at)| {
                let step = step(mission, n, item)?;
                Ok(OutboxRow { id, tenant: TenantId(tenant), step, due_at })
            };
            Rows::Outbox(due.into_iter().map(row).collect::<Result<_, LedgerError>>()?)
        }
        Query::OutboxNext { now } => {
            let next = sqlx::query_scalar("SELECT min(due_at) FROM outbox WHERE due_at > ?1")
                .bind(now)
                .fetch_one(conn)
                .await
                .map_err(reading)?;
            Rows::When(next)
        }
        Query::Leases => Rows::Leases(leases(conn).await?),
        Query::ReadySteps { now, limit } => {
            let mut ask =
                QueryBuilder::new("SELECT body FROM steps WHERE state = 'ready' AND ready_at <= ");
            ask.push_bind(now).push(" ORDER BY ready_at, mission, n, item");
            Rows::Steps(bounded(conn, ask, limit).await?)
        }
        Query::ExpiredApprovals { now, limit } => {
            let mut ask = QueryBuilder::new(
                "SELECT body FROM approvals WHERE state = 'open' AND expires_at <= ",
            );
            ask.push_bind(now).push(" ORDER BY expires_at, id");
            Rows::Approvals(bounded(conn, ask, limit).await?)
        }
        Query::Size => {
            // Positions have no gaps, so the newest one is the count.
            let (position, missions): (i64, i64) = sqlx::query_as(
                "SELECT (SELECT coalesce(max(pos), 0) FROM events), \
                        (SELECT count(*) FROM missions)",
            )
            .fetch_one(conn)
            .await
            .map_err(reading)?;
            let count = |n: i64| u64::try_from(n).unwrap_or_default();
            Rows::Size(LedgerSize { events: count(position), missions: count(missions), position })
        }
        Query::Record { key } => {
            let mut ask = select("records", tenant);
            ask.push(" AND kind = ").push_bind(key.kind.as_str());
            ask.push(" AND id = ").push_bind(key.id);
            Rows::Records(rows(conn, ask).await?)
        }
        Query::Records { kind, parent, state, after, newest, limit } => {
            let mut ask = select("records", tenant);
            ask.push(" AND kind = ").push_bind(kind.as_str());
            only(&mut ask, " AND parent = ", parent.as_ref())?;
            only(&mut ask, " AND state = ", state.as_ref())?;
            let (behind, order) = match newest {
                true => (" AND id < ", " ORDER BY id DESC"),
                false => (" AND id > ", " ORDER BY id"),
            };
            only(&mut ask, behind, after.as_ref())?;
            ask.push(order);
            Rows::Records(bounded(conn, ask, limit).await?)
        }
        Query::DueRecords { now, limit } => {
            let mut ask = QueryBuilder::new("SELECT body FROM records WHERE due_at <= ");
            ask.push_bind(now).push(" ORDER BY due_at, kind, id");
            Rows::Records(bounded(conn, ask, limit).await?)
        }
        Query::DueNext => {
            let next =
                sqlx::query_scalar("SELECT min(due_at) FROM records WHERE due_at IS NOT NULL")
                    .fetch_one(conn)
                    .await
                    .map_err(reading)?;
            Rows::When(next)
        }
        Query::ContentsWith { needle, limit } => {
            Rows::ContentIds(contents_with(conn, tenant, &needle, limit).await?)
        }
    })
}

async fn contents_with(
    conn: &mut SqliteConnection,
    tenant: &TenantId,
    needle: &str,
    limit: u32,
) -> Result<Vec<ContentId>, LedgerError> {
    if needle.is_empty() {
        return Ok(Vec::new());
    }
    let found: Vec<String> = sqlx::query_scalar(
        "SELECT id FROM contents WHERE tenant = ?1 AND instr(bytes, ?2) > 0 \
         AND id NOT IN (SELECT content FROM forgotten) ORDER BY id LIMIT ?3",
    )
    .bind(&tenant.0)
    .bind(needle.as_bytes())
    .bind(rows_at_most(limit) as i64)
    .fetch_all(conn)
    .await
    .map_err(reading)?;
    found.iter().map(|id| named(id)).collect()
}

fn reading(error: sqlx::Error) -> LedgerError {
    failed("read rows", error)
}

fn select(table: &'static str, tenant: &TenantId) -> QueryBuilder<Sqlite> {
    let mut ask = QueryBuilder::new("SELECT body FROM ");
    ask.push(table).push(" WHERE tenant = ").push_bind(tenant.0.clone());
    ask
}

fn step_is(ask: &mut QueryBuilder<Sqlite>, key: &StepKey) {
    ask.push(" AND mission = ").push_bind(key.mission.as_str().to_owned());
    ask.push(" AND n = ").push_bind(key.n);
    ask.push(" AND item = ").push_bind(key.item);
}

/// Adds a condition where there is one.
fn only<T: Serialize>(
    ask: &mut QueryBuilder<Sqlite>,
    condition: &'static str,
    value: Option<&T>,
) -> Result<(), LedgerError> {
    if let Some(value) = value {
        let text = match word(value)? {
            Value::String(text) => text,
            other => other.to_string(),
        };
        ask.push(condition).push_bind(text);
    }
    Ok(())
}

async fn bounded<T: DeserializeOwned>(
    conn: &mut SqliteConnection,
    mut ask: QueryBuilder<Sqlite>,
    limit: u32,
) -> Result<Vec<T>, LedgerError> {
    ask.push(" LIMIT ").push_bind(rows_at_most(limit) as i64);
    rows(conn, ask).await
}

async fn rows<T: DeserializeOwned>(
    conn: &mut SqliteConnection,
    mut ask: QueryBuilder<Sqlite>,
) -> Result<Vec<T>, LedgerError> {
    let bodies: Vec<String> = ask.build_query_scalar().fetch_all(conn).await.map_err(reading)?;
    bodies.iter().map(|body| from_json("row", body)).collect()
}

fn step(mission: String, n: u32, item: u32) -> Result<StepKey, LedgerError> {
    let mission: MissionId = named(&mission)?;
    Ok(StepKey { mission, n, item })
}

fn named<T: std::str::FromStr<Err = charter::ids::IdError>>(text: &str) -> Result<T, LedgerError> {
    text.parse().map_err(|error: charter::ids::IdError| LedgerError::Damaged(error.to_string()))
}

/// An event as its columns: position, stream, number, time, transition, body.
type EventColumns = (i64, String, i64, i64, String, String);

fn recorded(columns: EventColumns) -> Result<Recorded, LedgerError> {
    let (position, stream, seq, at, txn, body) = columns;
    Ok(Recorded {
        position,
        stream: StreamId(stream),
        seq: u64::try_from(seq)
            .map_err(|_| LedgerError::Damaged(format!("event {position} has number {seq}")))?,
        at,
        transition: named(&txn)?,
        event: from_json("event", &body)?,
    })
}

async fn events(
    conn: &mut SqliteConnection,
    tenant: &TenantId,
    stream: &StreamId,
    after: u64,
    limit: u32,
) -> Result<Vec<Recorded>, LedgerError> {
    let found: Vec<EventColumns> = sqlx::query_as(
        "SELECT pos, stream, seq, at, txn, body FROM events \
         WHERE tenant = ?1 AND stream = ?2 AND seq > ?3 ORDER BY seq LIMIT ?4",
    )
    .bind(&tenant.0)
    .bind(&stream.0)
    .bind(i64::try_from(after).unwrap_or(i64::MAX))
    .bind(rows_at_most(limit) as i64)
    .fetch_all(conn)
    .await
    .map_err(reading)?;
    found.into_iter().map(recorded).collect()
}

async fn happened(
    conn: &mut SqliteConnection,
    tenant: &TenantId,
    after: i64,
    kinds: &[String],
    limit: u32,
) -> Result<Vec<Recorded>, LedgerError> {
    let kinds = serde_json::to_string(kinds).map_err(|error| LedgerError::Store {
        operation: "look for what happened".to_owned(),
        cause: error.to_string(),
    })?;
    let found: Vec<EventColumns> = sqlx::query_as(
        "SELECT pos, stream, seq, at, txn, body FROM events \
         WHERE pos > ?1 AND tenant = ?2 \
         AND json_extract(body, '$.kind') IN (SELECT value FROM json_each(?3)) \
         ORDER BY pos LIMIT ?4",
    )
    .bind(after)
    .bind(&tenant.0)
    .bind(kinds)
    .bind(rows_at_most(limit) as i64)
    .fetch_all(conn)
    .await
    .map_err(reading)?;
    found.into_iter().map(recorded).collect()
}

async fn leases(conn: &mut SqliteConnection) -> Result<Vec<LeaseRow>, LedgerError> {
    type Columns = (String, u32, u32, String, i64, String, String, i64);
    let found: Vec<Columns> = sqlx::query_as(
        "SELECT mission, n, item, tenant, token, holder, programs, expires_at FROM leases \
         ORDER BY mission, n, item",
    )
    .fetch_all(conn)
    .await
    .map_err(reading)?;
    let row = |(mission, n, item, tenant, token, holder, programs, expires_at): Columns| {
        Ok(LeaseRow {
            step: step(mission, n, item)?,
            tenant: TenantId(tenant),
            token: u64::try_from(token)
                .map_err(|_| LedgerError::Damaged(format!("a lease has token {token}")))?,
            holder: from_json("process", &holder)?,
            programs: from_json("list of programs", &programs)?,
            expires_at,
        })
    };
    found.into_iter().map(row).collect()
}
