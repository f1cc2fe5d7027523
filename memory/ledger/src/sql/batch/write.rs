//! What was decided, written: each table once.

use super::super::pack::put;
use super::super::script::Script;
use super::super::tables::{CONTENTS, EVENTS, LEASES, STREAMS, Stored, to_json};
use super::super::{Arg, Cell, Sql, fixed, wakes};
use super::{Batch, Fresh, Taken};
use crate::transition::Ready;
use charter::ids::{ContentId, StepKey};
use charter::ports::LedgerError;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(super) async fn all(conn: &mut dyn Sql, batch: Batch<'_>) -> Result<(), LedgerError> {
    if batch.events.is_empty() {
        return Ok(());
    }
    let Batch {
        rows, streams, contents, events, leases, silenced, ready, wakes, forgotten, ..
    } = batch;
    let mut script = Script::new(conn, "write a change");
    let texts = contents.into_values().map(|content| {
        vec![
            content.id.as_str().into(),
            content.tenant.0.as_str().into(),
            Cell::Blob(content.salt.clone()),
            Cell::Blob(content.bytes.clone()),
        ]
    });
    put(&mut script, CONTENTS.insert(), texts, true).await?;
    put(&mut script, EVENTS.insert(), events.into_iter().map(event), true).await?;
    let heads = streams.into_iter().filter(|(_, newest)| newest.new);
    let heads = heads.map(|((tenant, stream), newest)| {
        vec![tenant.0.into(), stream.0.into(), newest.seq.into(), newest.hash.into()]
    });
    put(&mut script, STREAMS.upsert(), heads, true).await?;
    save(&mut script, rows.missions.changes().filter_map(|change| change.is)).await?;
    save(&mut script, rows.steps.changes().filter_map(|change| change.is)).await?;
    save(&mut script, rows.effects.changes().filter_map(|change| change.is)).await?;
    save(&mut script, rows.approvals.changes().filter_map(|change| change.is)).await?;
    save(&mut script, rows.made.changes().filter_map(|change| change.is)).await?;
    save(&mut script, rows.records.changes().filter_map(|change| change.is)).await?;
    save(&mut script, rows.forgotten.changes().filter_map(|change| change.is)).await?;
    let gone = rows.steps.changes().filter(|change| change.is.is_none()).map(|change| change.key);
    let sql = "DELETE FROM steps WHERE (mission, n, item) IN (SELECT value->>0, \
        CAST(value->>1 AS BIGINT), CAST(value->>2 AS BIGINT) FROM json_each($1))";
    delete(&mut script, sql, gone).await?;
    self::leases(&mut script, leases).await?;
    let sql = "DELETE FROM outbox WHERE (mission, n, item) IN (SELECT value->>0, \
        CAST(value->>1 AS BIGINT), CAST(value->>2 AS BIGINT) FROM json_each($1))";
    delete(&mut script, sql, silenced.iter()).await?;
    ring(&mut script, ready).await?;
    script.end().await?;
    wakes::wake(conn, &wakes).await?;
    // Behind the others: what was brought may have been forgotten at once.
    wipe(conn, &forgotten).await
}

fn event(event: Fresh<'_>) -> Vec<Cell> {
    vec![
        event.position.into(),
        event.transition.tenant.0.as_str().into(),
        event.stream.0.as_str().into(),
        event.seq.into(),
        event.transition.at.into(),
        event.transition.id.as_str().into(),
        event.body.into(),
        event.prev.into(),
        event.hash.into(),
    ]
}

async fn save<'a, T: Stored + 'a>(
    script: &mut Script<'_>,
    rows: impl Iterator<Item = &'a T>,
) -> Result<(), LedgerError> {
    let cells = rows.map(T::cells).collect::<Result<Vec<_>, _>>()?;
    put(script, T::TABLE.upsert(), cells.into_iter(), false).await
}

/// Overwrites texts and their salts with zeros, in place. Deleting the rows would
/// make SQLite move their neighbours between pages and leave copies behind that no
/// setting overwrites when the neighbours are forgotten in their turn.
async fn wipe(conn: &mut dyn Sql, contents: &[ContentId]) -> Result<(), LedgerError> {
    if contents.is_empty() {
        return Ok(());
    }
    let ids = contents.iter().map(|id| json!([id])).collect();
    let sql = fixed(
        "UPDATE contents SET salt = zeroblob(length(salt)), bytes = zeroblob(length(bytes)) \
         WHERE id IN (SELECT value->>0 FROM json_each($1))",
    );
    conn.run("forget texts", sql, vec![list(ids)]).await.map(|_| ())
}

fn list(of: Vec<Value>) -> Arg {
    Arg::Text(Value::Array(of).to_string())
}

async fn delete(
    script: &mut Script<'_>,
    sql: &'static str,
    steps: impl Iterator<Item = &StepKey>,
) -> Result<(), LedgerError> {
    let keys: Vec<_> = steps.map(|key| json!([key.mission, key.n, key.item])).collect();
    match keys.is_empty() {
        true => Ok(()),
        false => script.add(fixed(sql), vec![list(keys)]).await,
    }
}

async fn leases(
    script: &mut Script<'_>,
    leases: BTreeMap<StepKey, Option<Taken<'_>>>,
) -> Result<(), LedgerError> {
    let over = leases.iter().filter(|(_, lease)| lease.is_none()).map(|(step, _)| step);
    let sql = "DELETE FROM leases WHERE (mission, n, item) IN (SELECT value->>0, \
        CAST(value->>1 AS BIGINT), CAST(value->>2 AS BIGINT) FROM json_each($1))";
    delete(script, sql, over).await?;
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for (step, lease) in leases {
        let Some(lease) = lease else { continue };
        rows.push(vec![
            step.mission.as_str().into(),
            step.n.into(),
            step.item.into(),
            lease.tenant.0.as_str().into(),
            lease.token.into(),
            to_json(lease.holder)?.into(),
            "[]".into(),
            lease.expires_at.into(),
        ]);
    }
    put(script, LEASES.upsert(), rows.into_iter(), false).await
}

async fn ring(script: &mut Script<'_>, ready: Vec<Ready>) -> Result<(), LedgerError> {
    let sql = fixed(
        "INSERT INTO outbox (tenant, mission, n, item, due_at, flow) \
         SELECT value->>0, value->>1, CAST(value->>2 AS BIGINT), CAST(value->>3 AS BIGINT), \
         CAST(value->>4 AS BIGINT), value->>5 FROM json_each($1)",
    );
    let rows = ready.into_iter().map(|Ready { step, flow, due_at }| {
        let line = flow.to_string();
        vec![
            flow.tenant.0.into(),
            step.mission.as_str().into(),
            step.n.into(),
            step.item.into(),
            due_at.into(),
            line.into(),
        ]
    });
    put(script, sql, rows, false).await
}
