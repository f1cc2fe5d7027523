//! Memory as people see it: what was found, with where it comes from.

use crate::{Alma, Error};
use charter::conversation::TurnRow;
use charter::ids::{MemoryId, Millis, Principal};
use charter::label::Trust;
use charter::memory::{MemoryRow, MemoryState, Source};
use charter::ports::{LedgerError, LedgerExt};
use librarian::ask::{Hit, Recall, Refusal, Request, Response};
use librarian::passages::slice;
use librarian::rank::Shares;
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;

/// Something that is remembered, with where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recalled {
    /// Which memory.
    pub memory: MemoryId,
    /// What it is: fact, turn, passage, result, summary, lesson.
    pub kind: &'static str,
    /// The text.
    pub text: String,
    /// Where it comes from, for people: "said on 3 March 2026", "notes/flat.md".
    pub source: String,
    /// From when it is.
    pub at: Millis,
    /// Until when it was true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<Millis>,
    /// Whether these are the user's own words.
    pub trust: Trust,
    /// How well it answers; what each component gave.
    pub why: Why,
}

/// Why a memory stands where it stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Why {
    /// The sum of the shares.
    pub score: f32,
    /// What each component gave.
    #[serde(flatten)]
    pub shares: Shares,
    /// Cosine with the question.
    pub cosine: f32,
    /// BM25 score.
    pub bm25: f32,
}

impl Alma {
    /// Asks the Librarian.
    pub(crate) async fn librarian(&self, request: Request) -> Result<Response, Error> {
        let librarian = self.installation.memory().ok_or_else(|| {
            Error::Usage("this installation has no memory: start alma in the usual way".to_owned())
        })?;
        librarian.ask(request).await.map_err(|refusal| match refusal {
            Refusal::Usage { message } => Error::Usage(message),
            Refusal::NotFound { what } => Error::NotFound(what),
            Refusal::Conflict { message } => Error::Conflict(message),
            Refusal::Failed { message } => {
                Error::Machine { operation: "ask the Librarian".to_owned(), cause: message }
            }
        })
    }

    /// What is remembered about a question, best first; empty rather than noise.
    pub(crate) async fn recalled(
        &self,
        principal: &Principal,
        recall: Recall,
    ) -> Result<Vec<Recalled>, Error> {
        let response = self.librarian(Request::Recall(recall)).await?;
        let Response::Recalled { hits } = response else { return Err(unexpected("recall")) };
        let mut recalled = Vec::new();
        for hit in hits {
            recalled.push(self.shown(principal, hit).await?);
        }
        Ok(recalled)
    }

    async fn shown(&self, principal: &Principal, hit: Hit) -> Result<Recalled, Error> {
        let Hit { row, text, shares, cosine, bm25 } = hit;
        Ok(Recalled {
            source: self.source(principal, &row).await?,
            memory: row.id,
            kind: row.is.as_str(),
            text,
            at: row.valid_from,
            valid_to: row.valid_to.filter(|_| row.state == MemoryState::Ended),
            trust: row.text.label.trust,
            why: Why { score: shares.sum(), shares, cosine, bm25 },
        })
    }

    /// Where a memory comes from, for people.
    pub(crate) async fn source(
        &self,
        principal: &Principal,
        row: &MemoryRow,
    ) -> Result<String, Error> {
        let day = crate::calendar::day(row.valid_from)?;
        let first = match row.sources.first() {
            Some(source) => source,
            None => return Ok(format!("kept on {day}")),
        };
        let mut said = match first {
            Source::Turn { session, turn } => {
                let n = match self.ledger().record::<TurnRow>(&principal.tenant, turn).await {
                    Ok(turn) => turn.n.to_string(),
                    Err(LedgerError::NotFound(_)) => "?".to_owned(),
                    Err(source) => {
                        return Err(Error::Ledger { operation: "look a turn up", source });
                    }
                };
                format!("you said it on {day}, turn {n} of {session}")
            }
            Source::Document { path, .. } => {
                let path = self.spoken(principal, path).await?;
                format!("{path}, as it was on {day}")
            }
            Source::Mission { mission } => format!("result of mission {mission}, {day}"),
            Source::Night { night } => format!("made in the night of {day} ({night})"),
            Source::Import { name } => format!("{name}, {day}"),
        };
        if row.sources.len() > 1 {
            said.push_str(&format!(", and {} more", row.sources.len() - 1));
        }
        Ok(said)
    }

    /// The sentences of what was recalled that answer a question, word for word.
    pub(crate) fn quoted(
        &self,
        question: &str,
        recalled: &[Recalled],
    ) -> Result<Vec<Quoted>, Error> {
        let embedder = self.installation.embedder()?;
        let texts: Vec<&str> = recalled.iter().map(|memory| memory.text.as_str()).collect();
        let quotes = librarian::answer::answer(question, &texts, embedder.as_ref());
        let mut quotes: Vec<Quoted> = quotes
            .into_iter()
            .filter_map(|quote| {
                let memory = recalled.get(quote.text)?;
                Some(Quoted {
                    text: slice(&memory.text, quote.span)?.trim().to_owned(),
                    memory: memory.memory.clone(),
                    source: memory.source.clone(),
                    at: memory.at,
                    trust: memory.trust,
                })
            })
            .collect();
        // What the user said comes before what somebody wrote.
        quotes.sort_by_key(|quote| quote.trust == Trust::Untrusted);
        Ok(quotes)
    }
}

/// The answer was to another question: a fault in this program.
pub(crate) fn unexpected(operation: &str) -> Error {
    Error::Machine {
        operation: operation.to_owned(),
        cause: "the Librarian answered another question".to_owned(),
    }
}

/// A sentence that answers a question, word for word.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Quoted {
    /// The sentence.
    pub text: String,
    /// The memory in which it stands.
    pub memory: MemoryId,
    /// Where that comes from.
    pub source: String,
    /// From when it is.
    pub at: Millis,
    /// Whether these are the user's own words.
    pub trust: Trust,
}

/// The scope of a folder.
pub(crate) fn scope_of(workspace: &Path) -> Option<String> {
    workspace.to_str().filter(|path| !path.is_empty()).map(librarian::keep::workspace_scope)
}

/// Whoever can be asked about memory.
pub type Memory = Arc<dyn librarian::Ask>;
