//! Gives memories as lines that `memory.import` takes.

use super::shared::limit;
use crate::{Alma, Error};
use charter::ids::{MemoryId, Millis, Principal};
use charter::label::Trust;
use charter::memory::{MemoryRow, MemoryState};
use serde::{Deserialize, Serialize};

/// Which.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Request {
    /// Only those behind this one.
    pub after: Option<MemoryId>,
    /// How many at most; 50 unless given.
    pub limit: Option<u32>,
}

/// Memories, oldest first.
#[derive(Debug, Serialize)]
pub struct Response {
    /// They.
    pub memories: Vec<Line>,
    /// The last of this page, if others may follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<MemoryId>,
}

/// A memory as a line.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Line {
    /// Its name where it comes from.
    pub name: String,
    /// What it says.
    pub text: String,
    /// From when it is.
    #[serde(default)]
    pub at: Option<Millis>,
    /// What it is: fact, turn, passage, result, summary, lesson.
    #[serde(default)]
    pub kind: Option<String>,
    /// Where it comes from, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Until when it was true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<Millis>,
    /// Whether these are the user's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<Trust>,
    /// Whom it concerns: `user`, or `workspace:` and a digest of the folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

/// Exports.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let after = request.after.map(|memory| memory.to_string());
    let rows: Vec<MemoryRow> =
        alma.records(principal, None, after, false, limit(request.limit)).await?;
    let whole = rows.len() < limit(request.limit) as usize;
    let last = rows.last().map(|row| row.id.clone()).filter(|_| !whole);
    let mut memories = Vec::new();
    for row in rows.into_iter().filter(|row| row.state != MemoryState::Forgotten) {
        memories.push(Line {
            name: row.id.to_string(),
            text: alma.spoken(principal, &row.text).await?,
            at: Some(row.valid_from),
            kind: Some(row.is.as_str().to_owned()),
            source: Some(alma.source(principal, &row).await?),
            valid_to: row.valid_to,
            trust: Some(row.text.label.trust),
            scope: Some(row.scope),
        });
    }
    Ok(Response { memories, last })
}
