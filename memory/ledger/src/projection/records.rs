//! Records, typed: how the rules for conversations, memories, schedules and
//! nights read and write them.

use super::{Cx, conflict};
use charter::ports::LedgerError;
use charter::record::{Kept, Record, RecordKey};
use std::fmt;

/// A copy of a row. What belongs to another tenant is not found.
pub(super) fn get<R: Kept>(id: impl fmt::Display, cx: &Cx<'_>) -> Result<R, LedgerError> {
    let key = RecordKey::new(R::KIND, id.to_string());
    cx.rows
        .records
        .get(&key)
        .filter(|record| record.tenant() == cx.tenant)
        .and_then(|record| R::of(record.clone()))
        .ok_or_else(|| LedgerError::NotFound(key.to_string()))
}

/// Makes a row that nobody has made before.
pub(super) fn make(record: impl Into<Record>, cx: &mut Cx<'_>) -> Result<(), LedgerError> {
    let record = record.into();
    unmade(&record.key(), cx)?;
    put(record, cx);
    Ok(())
}

/// Refuses a name that is taken, whoever took it.
pub(super) fn unmade(key: &RecordKey, cx: &Cx<'_>) -> Result<(), LedgerError> {
    match cx.rows.records.get(key) {
        Some(_) => conflict(format!("{key} exists already")),
        None => Ok(()),
    }
}

/// Writes a row.
pub(super) fn put(record: impl Into<Record>, cx: &mut Cx<'_>) {
    let record = record.into();
    cx.rows.records.put(record.key(), record);
}
