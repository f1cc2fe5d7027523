//! The tables: one definition of their columns for the store, which writes them,
//! for the audit, which compares every column, and for a transfer, which copies
//! them.

use super::{Cell, built};
use crate::projection::ForgottenRow;
use charter::digest::Digest;
use charter::ids::{ContentId, Millis, TenantId};
use charter::ports::LedgerError;
use charter::record::{Record, RecordKey};
use charter::rows::{ApprovalRow, EffectRow, MadeRow, MissionRow, StepRow};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::SqlStr;
use std::fmt::Write;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Int,
    Text,
    Blob,
}

use Kind::{Blob, Int, Text};

/// A table.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [(&'static str, Kind)],
    /// Columns that name a row: the first so many.
    pub(crate) key: usize,
    /// The schema from which on there is such a table.
    pub(crate) since: i64,
    /// The schema from which on there is its last column.
    pub(crate) grown: i64,
}

impl Table {
    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.columns.iter().map(|(name, _)| *name).collect()
    }

    /// The columns that it has in a schema.
    pub(crate) fn names_in(&self, schema: i64) -> Vec<&'static str> {
        let mut names = self.names();
        if schema < self.grown {
            names.pop();
        }
        names
    }

    /// The columns that name a row, as they stand in `ORDER BY`.
    pub(crate) fn order(&self) -> String {
        self.names()[..self.key].join(", ")
    }

    /// Reads all of it, in order, as it is in a schema.
    pub(crate) fn scan(&self, schema: i64) -> String {
        let names = self.names_in(schema).join(", ");
        format!("SELECT {names} FROM {} ORDER BY {}", self.name, self.order())
    }

    pub(crate) fn has_blobs(&self) -> bool {
        self.columns.iter().any(|(_, kind)| *kind == Blob)
    }

    /// Writes new rows, packed as [`super::pack`] does.
    pub(crate) fn insert(&self) -> SqlStr {
        built(self.insertion())
    }

    /// Writes rows, new or in the place of older ones.
    pub(crate) fn upsert(&self) -> SqlStr {
        let mut sql = self.insertion();
        let _ = write!(sql, " WHERE true ON CONFLICT ({}) DO UPDATE SET ", self.order());
        let set: Vec<_> = self.names()[self.key..]
            .iter()
            .map(|name| format!("{name} = excluded.{name}"))
            .collect();
        sql.push_str(&set.join(", "));
        built(sql)
    }

    fn insertion(&self) -> String {
        let cells: Vec<_> = self
            .columns
            .iter()
            .enumerate()
            .map(|(at, (_, kind))| match kind {
                Text => format!("value->>{at}"),
                Int => format!("CAST(value->>{at} AS BIGINT)"),
                Blob => format!(
                    "substr($2, CAST(value->{at}->>0 AS INTEGER), CAST(value->{at}->>1 AS INTEGER))"
                ),
            })
            .collect();
        format!(
            "INSERT INTO {} ({}) SELECT {} FROM json_each($1)",
            self.name,
            self.names().join(", "),
            cells.join(", ")
        )
    }
}

macro_rules! table {
    ($const:ident, $name:literal, $key:literal, $since:literal, [$($column:ident: $kind:ident),*]) => {
        table!($const, $name, $key, $since, [$($column: $kind),*], $since);
    };
    ($const:ident, $name:literal, $key:literal, $since:literal, [$($column:ident: $kind:ident),*],
        $grown:literal) => {
        pub(crate) const $const: Table = Table {
            name: $name,
            columns: &[$((stringify!($column), $kind)),*],
            key: $key,
            since: $since,
            grown: $grown,
        };
    };
}

table!(EVENTS, "events", 1, 1, [
    pos: Int, tenant: Text, stream: Text, seq: Int, at: Int, txn: Text, body: Text, prev: Blob,
    hash: Blob
]);
table!(STREAMS, "streams", 2, 1, [tenant: Text, stream: Text, seq: Int, hash: Blob]);
table!(CHECKPOINTS, "checkpoints", 1, 1, [
    n: Int, at: Int, position: Int, prev: Blob, heads: Text, key: Text, hash: Blob, signature: Blob
]);
table!(CONTENTS, "contents", 1, 1, [id: Text, tenant: Text, salt: Blob, bytes: Blob]);
table!(MISSIONS, "missions", 1, 1, [id: Text, tenant: Text, state: Text, same: Text, body: Text]);
table!(STEPS, "steps", 3, 1, [
    mission: Text, n: Int, item: Int, tenant: Text, state: Text, ready_at: Int, body: Text, flow: Text
], 3);
table!(EFFECTS, "effects", 1, 1, [
    key: Text, tenant: Text, mission: Text, n: Int, item: Int, ordinal: Int, intended_at: Int,
    body: Text
]);
table!(APPROVALS, "approvals", 1, 1, [
    id: Text, tenant: Text, mission: Text, state: Text, expires_at: Int, body: Text
]);
table!(MADE, "made", 2, 1, [made: Text, tenant: Text, effect: Text]);
table!(RECORDS, "records", 2, 2, [
    kind: Text, id: Text, tenant: Text, parent: Text, state: Text, due_at: Int, body: Text
]);
table!(FORGOTTEN, "forgotten", 1, 2, [content: Text, tenant: Text, at: Int]);
table!(LEASES, "leases", 3, 1, [
    mission: Text, n: Int, item: Int, tenant: Text, token: Int, holder: Text, programs: Text,
    expires_at: Int
]);
table!(OUTBOX, "outbox", 1, 1, [
    id: Int, tenant: Text, mission: Text, n: Int, item: Int, due_at: Int, flow: Text
], 3);
table!(LEADERS, "leaders", 1, 3, [office: Text, term: Int, holder: Text, expires_at: Int]);

/// All of them.
pub(crate) const ALL: [&Table; 14] = [
    &EVENTS,
    &STREAMS,
    &CHECKPOINTS,
    &CONTENTS,
    &MISSIONS,
    &STEPS,
    &EFFECTS,
    &APPROVALS,
    &MADE,
    &RECORDS,
    &FORGOTTEN,
    &LEASES,
    &OUTBOX,
    &LEADERS,
];

/// A kind of row with a table of its own.
pub(crate) trait Stored: Sized {
    /// The table.
    const TABLE: &'static Table;

    /// The cells, in order of the columns.
    fn cells(&self) -> Result<Vec<Cell>, LedgerError>;
}

/// A value as JSON text.
pub(crate) fn to_json<T: Serialize>(value: &T) -> Result<String, LedgerError> {
    serde_json::to_string(value).map_err(|error| LedgerError::Store {
        operation: "write a row as JSON".to_owned(),
        cause: error.to_string(),
    })
}

/// A value from stored JSON text.
pub(crate) fn from_json<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, LedgerError> {
    serde_json::from_str(text).map_err(|error| {
        LedgerError::Damaged(format!(
            "a stored {what} is unreadable ({error}); run `alma audit verify`"
        ))
    })
}

/// The name of a state: what it is in JSON.
pub(crate) fn word<T: Serialize>(state: &T) -> Result<String, LedgerError> {
    match serde_json::to_value(state) {
        Ok(Value::String(word)) => Ok(word),
        Ok(other) => Ok(other.to_string()),
        Err(error) => Err(LedgerError::Store {
            operation: "write a state as JSON".to_owned(),
            cause: error.to_string(),
        }),
    }
}

impl Stored for MissionRow {
    const TABLE: &'static Table = &MISSIONS;

    fn cells(&self) -> Result<Vec<Cell>, LedgerError> {
        Ok(vec![
            self.id.as_str().into(),
            self.tenant.0.as_str().into(),
            word(&self.state)?.into(),
            word(&self.same)?.into(),
            to_json(self)?.into(),
        ])
    }
}

impl Stored for StepRow {
    const TABLE: &'static Table = &STEPS;

    fn cells(&self) -> Result<Vec<Cell>, LedgerError> {
        Ok(vec![
            self.key.mission.as_str().into(),
            self.key.n.into(),
            self.key.item.into(),
            self.tenant.0.as_str().into(),
            word(&self.state)?.into(),
            self.ready_at.into(),
            to_json(self)?.into(),
            self.flow().to_string().into(),
        ])
    }
}

impl Stored for EffectRow {
    const TABLE: &'static Table = &EFFECTS;

    fn cells(&self) -> Result<Vec<Cell>, LedgerError> {
        Ok(vec![
            word(&self.key)?.into(),
            self.tenant.0.as_str().into(),
            self.step.mission.as_str().into(),
            self.step.n.into(),
            self.step.item.into(),
            self.ordinal.into(),
            self.intended_at.into(),
            to_json(self)?.into(),
        ])
    }
}

impl Stored for ApprovalRow {
    const TABLE: &'static Table = &APPROVALS;

    fn cells(&self) -> Result<Vec<Cell>, LedgerError> {
        Ok(vec![
            self.id.as_str().into(),
            self.tenant.0.as_str().into(),
            self.mission.as_str().into(),
            word(&self.state)?.into(),
            self.expires_at.into(),
            to_json(self)?.into(),
        ])
    }
}

impl Stored for MadeRow {
    const TABLE: &'static Table = &MADE;

    fn cells(&self) -> Result<Vec<Cell>, LedgerError> {
        Ok(vec![
            word(&self.made)?.into(),
            self.tenant.0.as_str().into(),
            word(&self.effect)?.into(),
        ])
    }
}

impl Stored for Record {
    const TABLE: &'static Table = &RECORDS;

    fn cells(&self) -> Result<Vec<Cell>, LedgerError> {
        let RecordKey { kind, id } = self.key();
        Ok(vec![
            kind.as_str().into(),
            id.into(),
            self.tenant().0.as_str().into(),
            self.parent().to_owned().into(),
            self.state().to_owned().into(),
            self.due_at().into(),
            to_json(self)?.into(),
        ])
    }
}

impl Stored for ForgottenRow {
    const TABLE: &'static Table = &FORGOTTEN;

    fn cells(&self) -> Result<Vec<Cell>, LedgerError> {
        Ok(vec![self.content.as_str().into(), self.tenant.0.as_str().into(), self.at.into()])
    }
}

/// A forgotten text from its columns.
pub(crate) fn forgotten(
    content: &str,
    tenant: String,
    at: Millis,
) -> Result<ForgottenRow, LedgerError> {
    Ok(ForgottenRow { content: named::<ContentId>(content)?, tenant: TenantId(tenant), at })
}

/// A made row from its columns.
pub(crate) fn made(made: &str, tenant: String, effect: &str) -> Result<MadeRow, LedgerError> {
    let digest = |text: &str| {
        text.parse::<Digest>().map_err(|error| LedgerError::Damaged(error.to_string()))
    };
    Ok(MadeRow { made: digest(made)?, tenant: TenantId(tenant), effect: digest(effect)? })
}

/// A name from its column.
pub(crate) fn named<T: std::str::FromStr<Err = charter::ids::IdError>>(
    text: &str,
) -> Result<T, LedgerError> {
    text.parse().map_err(|error: charter::ids::IdError| LedgerError::Damaged(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn one_text_fits_both_databases() {
        expect![[r#"
            INSERT INTO streams (tenant, stream, seq, hash) SELECT value->>0, value->>1, CAST(value->>2 AS BIGINT), substr($2, CAST(value->3->>0 AS INTEGER), CAST(value->3->>1 AS INTEGER)) FROM json_each($1) WHERE true ON CONFLICT (tenant, stream) DO UPDATE SET seq = excluded.seq, hash = excluded.hash"#]]
        .assert_eq(STREAMS.upsert().as_str());
        expect![[r#"
            INSERT INTO made (made, tenant, effect) SELECT value->>0, value->>1, value->>2 FROM json_each($1)"#]]
        .assert_eq(MADE.insert().as_str());
    }
}
