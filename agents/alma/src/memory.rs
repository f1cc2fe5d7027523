//! Memory as people see it: what was found, with where it comes from.

use crate::talk::told::{self, Known};
use crate::talk::words::{self, Speech};
use crate::{Alma, Error};
use charter::conversation::TurnRow;
use charter::ids::{MemoryId, Millis, Principal};
use charter::label::Trust;
use charter::memory::{MemoryKind, MemoryRow, MemoryState, Source};
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

/// Memories that are looked through for what the user told.
const TOLD_MAX: usize = 5_000;
/// Memories that are read at a time.
const PAGE: u32 = 500;
/// Sources that are named beside one sentence.
const SOURCES_SHOWN_MAX: usize = 3;

/// The words of the conversation, per language.
pub(crate) fn speeches() -> Result<&'static [Speech], Error> {
    words::shipped().map_err(|error| Error::Machine {
        operation: "read the words of the conversation".to_owned(),
        cause: error.to_string(),
    })
}

impl Alma {
    /// What the user told and what still holds, newest first: about the user, or
    /// everything.
    pub(crate) async fn told(
        &self,
        principal: &Principal,
        known: Known,
        limit: usize,
    ) -> Result<Vec<Recalled>, Error> {
        // She reads what happened since the last time first.
        self.librarian(Request::CatchUp { tenant: principal.tenant.clone() }).await?;
        let (mut told, mut after, mut looked) = (Vec::new(), None, 0);
        while looked < TOLD_MAX && told.len() < limit {
            let page: Vec<MemoryRow> =
                self.records(principal, None, after.take(), true, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id.to_string());
            looked += page.len();
            for row in page {
                let own = row.is == MemoryKind::Fact && row.text.label.trust == Trust::Trusted;
                if !own || row.state != MemoryState::Held || told.len() >= limit {
                    continue;
                }
                let text = self.spoken(principal, &row.text).await?;
                if known == Known::Everything || told::of_the_speaker(&text) {
                    let (shares, cosine, bm25) = (Shares::default(), 0.0, 0.0);
                    told.push(
                        self.shown(principal, Hit { row, text, shares, cosine, bm25 }).await?,
                    );
                }
            }
        }
        Ok(told)
    }

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
            // It says itself when that was.
            Source::Import { origin: Some(origin), .. } => self.spoken(principal, origin).await?,
            Source::Import { name, .. } => format!("{name}, {day}"),
        };
        if row.sources.len() > 1 {
            said.push_str(&format!(", and {} more", row.sources.len() - 1));
        }
        Ok(said)
    }

    /// Whether something of what was recalled has to do with a question at all.
    pub(crate) fn any_near(&self, question: &str, recalled: &[Recalled]) -> Result<bool, Error> {
        if recalled.is_empty() {
            return Ok(false);
        }
        let embedder = self.installation.embedder()?;
        let near = |memory: &Recalled| {
            librarian::answer::is_near(question, &memory.text, embedder.as_ref())
        };
        Ok(recalled.iter().any(near))
    }

    /// The sentences of what was recalled that answer a question, word for word.
    pub(crate) fn quoted(
        &self,
        question: &str,
        recalled: &[Recalled],
    ) -> Result<Vec<Quoted>, Error> {
        let embedder = self.installation.embedder()?;
        let texts: Vec<&str> = recalled.iter().map(|memory| memory.text.as_str()).collect();
        let quotes = match self.installation.reflex() {
            Some(reflex) => librarian::answer::answer_by(question, &texts, reflex.as_ref()),
            None => librarian::answer::answer(question, &texts, embedder.as_ref()),
        };
        let quotes = quotes.into_iter().filter_map(|quote| {
            let memory = recalled.get(quote.text)?;
            let text = slice(&memory.text, quote.span)?.trim().to_owned();
            Some(Quoted { text, ..Quoted::whole(memory) })
        });
        let mut quotes = merged(quotes.collect());
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

impl Quoted {
    /// A memory, word for word.
    pub(crate) fn whole(memory: &Recalled) -> Self {
        Self {
            text: memory.text.trim().to_owned(),
            memory: memory.memory.clone(),
            source: memory.source.clone(),
            at: memory.at,
            trust: memory.trust,
        }
    }
}

/// Equal sentences as one, with all their sources.
fn merged(quotes: Vec<Quoted>) -> Vec<Quoted> {
    let plain = |quote: &Quoted| librarian::terms::words(&quote.text);
    let mut merged: Vec<(Quoted, Vec<String>)> = Vec::new();
    for quote in quotes {
        match merged.iter_mut().find(|(first, _)| plain(first) == plain(&quote)) {
            Some((first, sources)) => {
                // The user's own words vouch for what is also written somewhere.
                if quote.trust < first.trust {
                    sources.insert(0, first.source.clone());
                    *first = quote;
                } else if quote.source != first.source && !sources.contains(&quote.source) {
                    sources.push(quote.source);
                }
            }
            None => merged.push((quote, Vec::new())),
        }
    }
    let told = merged.into_iter().map(|(mut quote, others)| {
        for other in others.iter().take(SOURCES_SHOWN_MAX - 1) {
            quote.source.push_str(&format!("; {other}"));
        }
        if let more @ 1.. = others.len().saturating_sub(SOURCES_SHOWN_MAX - 1) {
            quote.source.push_str(&format!("; and {more} more"));
        }
        quote
    });
    told.collect()
}

/// The scope of a folder.
pub(crate) fn scope_of(workspace: &Path) -> Option<String> {
    workspace.to_str().filter(|path| !path.is_empty()).map(librarian::keep::workspace_scope)
}

/// Whoever can be asked about memory.
pub type Memory = Arc<dyn librarian::Ask>;

#[cfg(test)]
mod tests {
    use super::*;

    fn quote(text: &str, source: &str, trust: Trust) -> Quoted {
        let memory = MemoryId::new(1, &charter::ports::Drawn(source.as_bytes()));
        Quoted { text: text.to_owned(), memory, source: source.to_owned(), at: 1, trust }
    }

    #[test]
    fn equal_sentences_are_one_with_their_sources() {
        use Trust::{Trusted, Untrusted};
        let found = merged(vec![
            quote("The code is 12.", "a.md", Untrusted),
            quote("the code is 12", "b.md", Untrusted),
            quote("The code is 13.", "a.md", Untrusted),
            quote("The code is 12", "you said it", Trusted),
        ]);
        let shown: Vec<_> = found.iter().map(|q| format!("{} {}", q.text, q.source)).collect();
        assert_eq!(shown, ["The code is 12 you said it; a.md; b.md", "The code is 13. a.md"]);
        assert_eq!(found[0].trust, Trusted);
    }
}
