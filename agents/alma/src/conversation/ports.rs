//! What a conversation asks of others: each may be absent, and is then said to be.

use crate::{Alma, Error};
use async_trait::async_trait;
use charter::ids::{Principal, TurnId};
use std::path::Path;

/// What came of words about set times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arranged {
    /// What there is to say: the plan, when it will run, or the list asked for.
    pub text: String,
    /// Whether the person has to approve it first.
    pub waits: bool,
}

/// Schedules.
#[async_trait]
pub trait Schedules: Send + Sync {
    /// Does what the words ask about set times: make, list, pause, delete.
    async fn arrange(
        &self,
        alma: &Alma,
        principal: &Principal,
        words: &str,
        workspace: &Path,
        turn: &TurnId,
    ) -> Result<Arranged, Error>;
}
