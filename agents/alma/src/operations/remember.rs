//! Keeps a fact in the user's own words. What it contradicts is ended, what says
//! the same is merged.

use crate::memory::{scope_of, unexpected};
use crate::{Alma, Error};
use charter::ids::{MemoryId, Principal, SessionId, TurnId};
use charter::label::Label;
use charter::memory::{MemoryKind, MemoryRow, Source};
use charter::ports::LedgerExt;
use librarian::ask::{Kept, Request as Ask, Response as Told};
use librarian::keep::{self, Draft};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Longest fact, in bytes.
pub const FACT_BYTES_MAX: usize = librarian::gate::TEXT_BYTES_MAX;

/// What is to be kept.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Request {
    /// The user's words.
    pub words: String,
    /// Only for this folder; otherwise it concerns the user wherever she is.
    pub workspace: Option<PathBuf>,
    /// The turn in which it was said.
    pub said: Option<Said>,
}

/// A turn of a conversation.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Said {
    /// The session.
    pub session: SessionId,
    /// The turn.
    pub turn: TurnId,
}

/// What became of it.
#[derive(Debug, Serialize)]
pub struct Response {
    /// The memory that says it now.
    pub memory: MemoryId,
    /// Whether it was known already.
    pub known: bool,
    /// The words as they are kept.
    pub text: String,
    /// What was held before and is true no more.
    pub ended: Vec<String>,
}

/// Keeps.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let text = request.words.trim().to_owned();
    if text.is_empty() {
        return Err(Error::Usage("there is nothing to keep: say what".to_owned()));
    }
    let now = alma.now();
    let scope = match &request.workspace {
        None => keep::USER.to_owned(),
        Some(folder) => scope_of(folder).ok_or_else(|| {
            Error::Usage(format!("the folder {} is not UTF-8 text", folder.display()))
        })?,
    };
    let source = match request.said {
        Some(Said { session, turn }) => Source::Turn { session, turn },
        None => Source::Import { name: "alma remember".to_owned() },
    };
    let drawn = MemoryId::new(now, alma.ports.entropy.as_ref());
    // The same turn again keeps nothing more.
    let memory = match &source {
        Source::Turn { turn, .. } => keep::name_of(&source, turn.made_at()).unwrap_or(drawn),
        _ => drawn,
    };
    let draft = Draft {
        is: MemoryKind::Fact,
        source,
        span: None,
        text: text.clone(),
        label: Label::TRUSTED,
        scope,
        valid_from: now,
        derived_from: Vec::new(),
    };
    let ask = Ask::Keep { tenant: principal.tenant.clone(), drafts: vec![(memory, draft)] };
    let Told::Kept { kept } = alma.librarian(ask).await? else {
        return Err(unexpected("keep it"));
    };
    match kept.into_iter().next() {
        Some(Kept::New { memory, ended }) => {
            let mut before = Vec::new();
            for old in ended {
                let row: MemoryRow = alma.ledger().record(&principal.tenant, &old).await?;
                before.push(alma.spoken(principal, &row.text).await?);
            }
            Ok(Response { memory, known: false, text, ended: before })
        }
        Some(Kept::Known { memory }) => {
            let row: MemoryRow = alma.ledger().record(&principal.tenant, &memory).await?;
            let text = alma.spoken(principal, &row.text).await?;
            Ok(Response { memory, known: true, text, ended: Vec::new() })
        }
        Some(Kept::Refused { reason }) => Err(Error::Usage(format!("this is not kept: {reason}"))),
        None => Err(unexpected("keep it")),
    }
}
