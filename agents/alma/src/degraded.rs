//! Something that works less well than it should, in words.

use charter::ids::Millis;
use serde::Serialize;
use std::fmt;

/// A part that is away or held back while the rest goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Degraded {
    /// The part, and what is with it.
    pub what: &'static str,
    /// What is the matter, and what to do about it.
    pub why: String,
    /// Since when, in milliseconds.
    pub since: Millis,
    /// What still works, and how.
    pub works: &'static str,
}

impl fmt::Display for Degraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.what, self.works, self.why)
    }
}
