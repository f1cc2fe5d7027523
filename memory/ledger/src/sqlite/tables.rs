//! Rows as they lie in tables: one definition for the store, which writes them,
//! and for the audit, which compares every column.

use crate::projection::ForgottenRow;
use charter::digest::Digest;
use charter::ids::{ContentId, TenantId};
use charter::ports::LedgerError;
use charter::record::{Record, RecordKey};
use charter::rows::{ApprovalRow, EffectRow, MadeRow, MissionRow, StepRow};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A kind of row with a table of its own.
pub(crate) trait Stored: Sized {
    /// The table.
    const TABLE: &'static str;
    /// Its columns.
    const COLUMNS: &'static [&'static str];
    /// Columns that name a row: the first so many.
    const KEY: usize;
    /// The schema from which on there is such a table.
    const SINCE: i64 = 1;
    /// Writes rows that are given as a JSON list of lists of cells.
    const SAVE: &'static str;

    /// The cells, in order of the columns: texts and whole numbers.
    fn cells(&self) -> Result<Vec<Value>, LedgerError>;
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
pub(crate) fn word<T: Serialize>(state: &T) -> Result<Value, LedgerError> {
    serde_json::to_value(state).map_err(|error| LedgerError::Store {
        operation: "write a state as JSON".to_owned(),
        cause: error.to_string(),
    })
}

impl Stored for MissionRow {
    const TABLE: &'static str = "missions";
    const COLUMNS: &'static [&'static str] = &["id", "tenant", "state", "same", "body"];
    const KEY: usize = 1;
    const SAVE: &'static str = "INSERT OR REPLACE INTO missions (id, tenant, state, same, body) \
        SELECT value->>0, value->>1, value->>2, value->>3, value->>4 FROM json_each(?1)";

    fn cells(&self) -> Result<Vec<Value>, LedgerError> {
        let state = word(&self.state)?;
        Ok(vec![json!(self.id), json!(self.tenant), state, json!(self.same), json!(to_json(self)?)])
    }
}

impl Stored for StepRow {
    const TABLE: &'static str = "steps";
    const COLUMNS: &'static [&'static str] =
        &["mission", "n", "item", "tenant", "state", "ready_at", "body"];
    const KEY: usize = 3;
    const SAVE: &'static str = "INSERT OR REPLACE INTO steps (mission, n, item, tenant, state, ready_at, body) \
        SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6 \
        FROM json_each(?1)";

    fn cells(&self) -> Result<Vec<Value>, LedgerError> {
        Ok(vec![
            json!(self.key.mission),
            json!(self.key.n),
            json!(self.key.item),
            json!(self.tenant),
            word(&self.state)?,
            json!(self.ready_at),
            json!(to_json(self)?),
        ])
    }
}

impl Stored for EffectRow {
    const TABLE: &'static str = "effects";
    const COLUMNS: &'static [&'static str] =
        &["key", "tenant", "mission", "n", "item", "ordinal", "intended_at", "body"];
    const KEY: usize = 1;
    const SAVE: &'static str = "INSERT OR REPLACE INTO effects \
        (key, tenant, mission, n, item, ordinal, intended_at, body) \
        SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, \
        value->>7 FROM json_each(?1)";

    fn cells(&self) -> Result<Vec<Value>, LedgerError> {
        Ok(vec![
            json!(self.key),
            json!(self.tenant),
            json!(self.step.mission),
            json!(self.step.n),
            json!(self.step.item),
            json!(self.ordinal),
            json!(self.intended_at),
            json!(to_json(self)?),
        ])
    }
}

impl Stored for ApprovalRow {
    const TABLE: &'static str = "approvals";
    const COLUMNS: &'static [&'static str] =
        &["id", "tenant", "mission", "state", "expires_at", "body"];
    const KEY: usize = 1;
    const SAVE: &'static str = "INSERT OR REPLACE INTO approvals (id, tenant, mission, state, expires_at, body) \
        SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5 FROM json_each(?1)";

    fn cells(&self) -> Result<Vec<Value>, LedgerError> {
        Ok(vec![
            json!(self.id),
            json!(self.tenant),
            json!(self.mission),
            word(&self.state)?,
            json!(self.expires_at),
            json!(to_json(self)?),
        ])
    }
}

impl Stored for MadeRow {
    const TABLE: &'static str = "made";
    const COLUMNS: &'static [&'static str] = &["made", "tenant", "effect"];
    const KEY: usize = 2;
    const SAVE: &'static str = "INSERT OR REPLACE INTO made (made, tenant, effect) \
        SELECT value->>0, value->>1, value->>2 FROM json_each(?1)";

    fn cells(&self) -> Result<Vec<Value>, LedgerError> {
        Ok(vec![json!(self.made), json!(self.tenant), json!(self.effect)])
    }
}

impl Stored for Record {
    const TABLE: &'static str = "records";
    const COLUMNS: &'static [&'static str] =
        &["kind", "id", "tenant", "parent", "state", "due_at", "body"];
    const KEY: usize = 2;
    const SINCE: i64 = 2;
    const SAVE: &'static str = "INSERT OR REPLACE INTO records (kind, id, tenant, parent, state, due_at, body) \
        SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6 \
        FROM json_each(?1)";

    fn cells(&self) -> Result<Vec<Value>, LedgerError> {
        let RecordKey { kind, id } = self.key();
        Ok(vec![
            json!(kind.as_str()),
            json!(id),
            json!(self.tenant()),
            json!(self.parent()),
            json!(self.state()),
            json!(self.due_at()),
            json!(to_json(self)?),
        ])
    }
}

impl Stored for ForgottenRow {
    const TABLE: &'static str = "forgotten";
    const COLUMNS: &'static [&'static str] = &["content", "tenant", "at"];
    const KEY: usize = 1;
    const SINCE: i64 = 2;
    const SAVE: &'static str = "INSERT OR REPLACE INTO forgotten (content, tenant, at) \
        SELECT value->>0, value->>1, value->>2 FROM json_each(?1)";

    fn cells(&self) -> Result<Vec<Value>, LedgerError> {
        Ok(vec![json!(self.content), json!(self.tenant), json!(self.at)])
    }
}

/// A forgotten text from its three columns.
pub(crate) fn forgotten((content, tenant, at): (ContentId, String, i64)) -> ForgottenRow {
    ForgottenRow { content, tenant: TenantId(tenant), at }
}

/// A made row from its three columns.
pub(crate) fn made(
    (made, tenant, effect): (String, String, String),
) -> Result<MadeRow, LedgerError> {
    let digest = |text: &str| {
        text.parse::<Digest>().map_err(|error| LedgerError::Damaged(error.to_string()))
    };
    Ok(MadeRow { made: digest(&made)?, tenant: TenantId(tenant), effect: digest(&effect)? })
}
