//! Answers from memory: the sentences that answer, word for word, each with its
//! source; and everything else that was found, with the reasons.

use crate::memory::{Quoted, Recalled, scope_of, speeches};
use crate::talk::told;
use crate::{Alma, Error, calendar};
use charter::ids::Principal;
use charter::memory::MemoryKind;
use librarian::ask::Recall;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Memories that are given unless asked otherwise, and at most.
const HITS: u32 = 10;
const HITS_MAX: u32 = 100;

/// What is asked.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Request {
    /// The question.
    pub words: String,
    /// The folder that is asked from: what belongs there counts a little more.
    pub workspace: PathBuf,
    /// Only what belongs to that folder.
    pub here: bool,
    /// Only of these kinds.
    pub kinds: Vec<MemoryKind>,
    /// What was true on this day (`2026-03-01`) or at this time, instead of now.
    pub as_of: Option<String>,
    /// How many at most; 10 unless given.
    pub limit: Option<u32>,
}

/// What is remembered.
#[derive(Debug, Serialize)]
pub struct Response {
    /// Whether anything is that has to do with it.
    pub found: bool,
    /// The sentences that answer the question, best first; empty: nothing that is
    /// remembered answers it.
    pub answer: Vec<Quoted>,
    /// What was found, best first.
    pub memories: Vec<Recalled>,
}

/// Recalls.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let from = scope_of(&request.workspace);
    let scopes = match (&from, request.here) {
        (_, false) => Vec::new(),
        (Some(scope), true) => vec![scope.clone()],
        (None, true) => {
            return Err(Error::Usage("name the folder that is meant by here".to_owned()));
        }
    };
    let as_of = request.as_of.as_deref().map(calendar::end_of).transpose()?;
    let limit = request.limit.unwrap_or(HITS).clamp(1, HITS_MAX) as usize;
    if let (Some(known), None) = (told::known(&request.words, speeches()?), as_of) {
        let memories = alma.told(principal, known, limit).await?;
        if !memories.is_empty() {
            let answer = memories.iter().map(Quoted::whole).collect();
            return Ok(Response { found: true, answer, memories });
        }
    }
    let recall = Recall {
        tenant: principal.tenant.clone(),
        words: request.words.clone(),
        scopes,
        kinds: request.kinds,
        from,
        as_of,
        limit,
    };
    let memories = alma.recalled(principal, recall).await?;
    let answer = alma.quoted(&request.words, &memories)?;
    let found = !answer.is_empty() || alma.any_near(&request.words, &memories)?;
    Ok(Response { found, answer, memories })
}
