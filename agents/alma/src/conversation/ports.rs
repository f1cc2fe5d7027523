//! What a conversation asks of others: each may be absent, and is then said to be.

use crate::{Alma, Error};
use async_trait::async_trait;
use charter::ids::{Millis, Principal, SessionId, TurnId};
use charter::label::Trust;
use serde::Serialize;
use std::path::Path;

/// Something that is remembered, with where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recalled {
    /// The text.
    pub text: String,
    /// Where it comes from, for people: "said on 3 March", "notes/flat.md".
    pub source: String,
    /// From when it is.
    pub at: Millis,
    /// Whether these are the user's own words.
    pub trust: Trust,
}

/// A fact in a turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact<'a> {
    /// The user's words.
    pub words: &'a str,
    /// The session in which they were said.
    pub session: &'a SessionId,
    /// The turn.
    pub turn: &'a TurnId,
    /// The folder that was talked about.
    pub workspace: &'a Path,
}

/// The memory.
#[async_trait]
pub trait Memory: Send + Sync {
    /// What is remembered about a question, best first; empty rather than noise.
    async fn recall(
        &self,
        alma: &Alma,
        principal: &Principal,
        question: &str,
        workspace: &Path,
        limit: u32,
    ) -> Result<Vec<Recalled>, Error>;

    /// Keeps a fact, once; the same turn again keeps nothing more. Gives what was
    /// kept, for people.
    async fn remember(
        &self,
        alma: &Alma,
        principal: &Principal,
        fact: Fact<'_>,
    ) -> Result<String, Error>;
}
