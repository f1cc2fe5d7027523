//! What the transitions of a batch touch, in one statement, or in two where rows
//! name further ones.

use super::super::tables::{forgotten, from_json, made, named};
use super::super::{Arg, Line, Sql, fixed, leaders};
use super::{Batch, Before, Newest};
use crate::projection::RowKey;
use crate::transition;
use charter::content::Content;
use charter::ids::{ContentId, StreamId, TenantId};
use charter::ports::{LedgerError, Transition};
use charter::record::Record;
use charter::rows::{ApprovalRow, EffectRow, MissionRow, StepRow};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const LOAD: &str = "\
    SELECT 'mission' AS what, m.body AS body, '' AS a, '' AS b, '' AS c, \
        CAST(0 AS BIGINT) AS n, CAST(NULL AS BYTEA) AS hash \
        FROM json_each($1) k JOIN missions m ON m.id = k.value->>0 \
    UNION ALL \
    SELECT 'step', s.body, '', '', '', 0, NULL FROM json_each($2) k JOIN steps s \
        ON s.mission = k.value->>0 AND s.n = CAST(k.value->>1 AS BIGINT) \
        AND s.item = CAST(k.value->>2 AS BIGINT) \
    UNION ALL \
    SELECT 'step', s.body, '', '', '', 0, NULL FROM json_each($3) k JOIN steps s \
        ON s.mission = k.value->>0 AND s.item = 0 \
    UNION ALL \
    SELECT 'effect', e.body, '', '', '', 0, NULL FROM json_each($4) k \
        JOIN effects e ON e.key = k.value->>0 \
    UNION ALL \
    SELECT 'approval', a.body, '', '', '', 0, NULL FROM json_each($5) k \
        JOIN approvals a ON a.id = k.value->>0 \
    UNION ALL \
    SELECT 'made', '', m.made, m.tenant, m.effect, 0, NULL FROM json_each($6) k \
        JOIN made m ON m.made = k.value->>0 AND m.tenant = k.value->>1 \
    UNION ALL \
    SELECT 'record', r.body, '', '', '', 0, NULL FROM json_each($7) k JOIN records r \
        ON r.kind = k.value->>0 AND r.id = k.value->>1 \
    UNION ALL \
    SELECT 'forgotten', '', f.content, f.tenant, '', f.at, NULL FROM json_each($8) k \
        JOIN forgotten f ON f.content = k.value->>0 \
    UNION ALL \
    SELECT 'stream', '', h.tenant, h.stream, '', h.seq, h.hash FROM json_each($9) k \
        JOIN streams h ON h.tenant = k.value->>0 AND h.stream = k.value->>1 \
    UNION ALL \
    SELECT 'text', '', c.id, c.tenant, '', 0, NULL FROM json_each($10) k \
        JOIN contents c ON c.id = k.value->>0 \
    UNION ALL \
    SELECT 'before', e.body, e.txn, e.tenant, e.stream, e.pos, NULL FROM json_each($11) k \
        JOIN events e ON e.txn = k.value->>0";

/// Lists of keys for the statement, in order of its placeholders.
type Lists = [Vec<Value>; 11];

pub(super) async fn fill<'t>(
    conn: &mut dyn Sql,
    transitions: &[&'t Transition],
    batch: &mut Batch<'t>,
) -> Result<(), LedgerError> {
    let mut keys = BTreeSet::new();
    let (mut streams, mut texts, mut names) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for transition in transitions {
        let tenant = &transition.tenant;
        keys.extend(transition::keys(transition).into_iter().map(|key| (key, whose(tenant))));
        streams.extend(transition.events.iter().map(|(stream, _)| (&tenant.0, &stream.0)));
        texts.extend(transition.contents.iter().map(|content| &content.id));
        texts.extend(transition::forgets(transition));
        names.insert(&transition.id);
    }
    let mut lists = lists(&keys);
    lists[8] = streams.into_iter().map(|stream| json!(stream)).collect();
    lists[9] = texts.into_iter().map(|id| json!([id])).collect();
    lists[10] = names.into_iter().map(|id| json!([id])).collect();
    ask(conn, lists, batch).await?;
    if transitions.iter().any(|transition| transition.term.is_some()) {
        batch.rows.term = leaders::term(conn).await?;
    }
    for before in batch.before.values_mut() {
        before.sort_by_key(|event| event.position);
    }
    let mut more = BTreeSet::new();
    for transition in transitions {
        let named = transition::more_keys(transition, &batch.rows).into_iter();
        more.extend(named.map(|key| (key, whose(&transition.tenant))));
    }
    let more: BTreeSet<_> = more.difference(&keys).cloned().collect();
    match more.is_empty() {
        true => Ok(()),
        false => ask(conn, self::lists(&more), batch).await,
    }
}

/// A tenant, as part of a key.
fn whose(tenant: &TenantId) -> String {
    tenant.0.clone()
}

fn lists(keys: &BTreeSet<(RowKey, String)>) -> Lists {
    let mut lists = Lists::default();
    for (key, tenant) in keys {
        let (at, value) = match key {
            RowKey::Mission(id) => (0, json!([id])),
            RowKey::Step(key) => (1, json!([key.mission, key.n, key.item])),
            RowKey::StepsOf(mission) => (2, json!([mission])),
            RowKey::Effect(key) => (3, json!([key])),
            RowKey::Approval(id) => (4, json!([id])),
            RowKey::Made(made) => (5, json!([made, tenant])),
            RowKey::Record(key) => (6, json!([key.kind.as_str(), key.id])),
            RowKey::Forgotten(content) => (7, json!([content])),
        };
        lists[at].push(value);
    }
    for list in &mut lists {
        // Two tenants may have named the same.
        list.dedup();
    }
    lists
}

async fn ask(conn: &mut dyn Sql, lists: Lists, batch: &mut Batch<'_>) -> Result<(), LedgerError> {
    let args = lists.into_iter().map(|list| Arg::Text(Value::Array(list).to_string())).collect();
    let found = conn.lines("read what a change touches", fixed(LOAD), args).await?;
    for line in found {
        take(line, batch)?;
    }
    Ok(())
}

fn take(mut line: Line, batch: &mut Batch<'_>) -> Result<(), LedgerError> {
    const BODY: usize = 1;
    const NUMBER: usize = 5;
    let what = line.text(0)?;
    let rows = &mut batch.rows;
    match what.as_str() {
        "mission" => {
            let row: MissionRow = from_json("mission", &line.text(BODY)?)?;
            rows.missions.load(row.id.clone(), row);
        }
        "step" => {
            let row: StepRow = from_json("step", &line.text(BODY)?)?;
            rows.steps.load(row.key.clone(), row);
        }
        "effect" => {
            let row: EffectRow = from_json("effect", &line.text(BODY)?)?;
            rows.effects.load(row.key, row);
        }
        "approval" => {
            let row: ApprovalRow = from_json("approval", &line.text(BODY)?)?;
            rows.approvals.load(row.id.clone(), row);
        }
        "made" => {
            let row = made(&line.text(2)?, line.text(3)?, &line.text(4)?)?;
            rows.made.load((row.tenant.clone(), row.made), row);
        }
        "record" => {
            let row: Record = from_json("record", &line.text(BODY)?)?;
            rows.records.load(row.key(), row);
        }
        "forgotten" => {
            let row = forgotten(&line.text(2)?, line.text(3)?, line.int(NUMBER)?)?;
            rows.forgotten.load(row.content.clone(), row);
        }
        "stream" => {
            let key = (TenantId(line.text(2)?), StreamId(line.text(3)?));
            let newest = Newest { seq: line.int(NUMBER)?, hash: line.digest(6)?, new: false };
            batch.streams.insert(key, newest);
        }
        "text" => {
            batch.texts.insert(named(&line.text(2)?)?, TenantId(line.text(3)?));
        }
        _ => {
            let event = Before {
                body: line.text(BODY)?,
                tenant: line.text(3)?,
                stream: line.text(4)?,
                position: line.int(NUMBER)?,
            };
            batch.before.entry(named(&line.text(2)?)?).or_default().push(event);
        }
    }
    Ok(())
}

/// One text, whoever's it is.
pub(crate) async fn content(
    conn: &mut dyn Sql,
    id: &ContentId,
) -> Result<Option<Content>, LedgerError> {
    let sql = fixed(
        "SELECT tenant, salt, bytes FROM contents \
         WHERE id = $1 AND id NOT IN (SELECT content FROM forgotten WHERE content = $1)",
    );
    let found = conn.lines("read a text", sql, vec![id.as_str().into()]).await?;
    let content = |mut line: Line| {
        Ok(Content {
            id: id.clone(),
            tenant: TenantId(line.text(0)?),
            salt: line.blob(1)?,
            bytes: line.blob(2)?,
        })
    };
    found.into_iter().next().map(content).transpose()
}
