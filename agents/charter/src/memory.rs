//! Memories, as events and as rows. The ledger is the write-ahead log: vector
//! stores are built from these and can be built again.

use crate::content::ContentRef;
use crate::digest::Digest;
use crate::ids::{ContentId, MemoryId, Millis, MissionId, NightId, SessionId, TenantId, TurnId};
use serde::{Deserialize, Serialize};

/// Most memories or texts that one event names.
pub const NAMED_MAX: usize = 10_000;
/// Most sources that a memory keeps.
pub const SOURCES_MAX: usize = 100;

/// What a memory is.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryKind {
    /// What the user asked to be kept, in the user's words.
    Fact,
    /// What somebody said in a conversation.
    Turn,
    /// A passage of a document.
    Passage,
    /// What a mission came to.
    Result,
    /// A summary of other memories.
    Summary,
    /// Something learned from other memories.
    Lesson,
}

impl MemoryKind {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fact => "fact",
            Self::Turn => "turn",
            Self::Passage => "passage",
            Self::Result => "result",
            Self::Summary => "summary",
            Self::Lesson => "lesson",
        }
    }
}

/// Where a memory comes from.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "from")]
pub enum Source {
    /// A turn of a conversation.
    Turn {
        /// The session.
        session: SessionId,
        /// The turn.
        turn: TurnId,
    },
    /// A document.
    Document {
        /// Its absolute path.
        path: ContentRef,
        /// SHA-256 of the file when it was read.
        sha256: Digest,
    },
    /// A mission's result.
    Mission {
        /// The mission.
        mission: MissionId,
    },
    /// Other memories, in a nightly run; `derived_from` names them.
    Night {
        /// The run.
        night: NightId,
    },
    /// A line of a file that was imported, or of a benchmark.
    Import {
        /// Its name there.
        name: String,
        /// Where it came from before, for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        origin: Option<ContentRef>,
    },
}

/// Part of a source's text: bytes from `start` to before `end`.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// First byte.
    pub start: u64,
    /// One behind the last.
    pub end: u64,
}

/// What can happen to memories.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Remembered {
    /// Something is kept.
    Observed {
        /// The memory.
        memory: MemoryId,
        /// What it is.
        is: MemoryKind,
        /// Where it comes from.
        source: Source,
        /// The part of the source; `None`: all of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        span: Option<Span>,
        /// The text itself.
        text: ContentRef,
        /// Whom it concerns: `user`, or `workspace:` and a digest of the folder.
        scope: String,
        /// Version of the embedder whose vector is stored.
        embedder: String,
        /// From when it is true.
        valid_from: Millis,
        /// Memories that it was made from.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        derived_from: Vec<MemoryId>,
    },
    /// The same was met again: it is kept once, with one more source, of at most
    /// [`SOURCES_MAX`].
    Merged {
        /// The memory.
        memory: MemoryId,
        /// The other source.
        source: Source,
    },
    /// It is true no more.
    Ended {
        /// The memory.
        memory: MemoryId,
        /// Since when.
        valid_to: Millis,
        /// What took its place.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<MemoryId>,
    },
    /// Texts were removed for good, with everything that was made from them.
    Forgotten {
        /// The memories among them. The text of each is among the texts.
        memories: Vec<MemoryId>,
        /// The texts; they are gone from the content store with this event, and
        /// no later event may name them.
        contents: Vec<ContentId>,
        /// What was removed and what was left (files of the user), without the
        /// text itself, as JSON.
        receipt: ContentRef,
    },
}

impl Remembered {
    /// The texts that it names and that must be there.
    pub fn contents(&self) -> Vec<&ContentRef> {
        fn of(source: &Source) -> Option<&ContentRef> {
            match source {
                Source::Document { path, .. } => Some(path),
                Source::Import { origin, .. } => origin.as_ref(),
                _ => None,
            }
        }
        match self {
            Self::Observed { source, text, .. } => of(source).into_iter().chain([text]).collect(),
            Self::Merged { source, .. } => of(source).into_iter().collect(),
            Self::Ended { .. } => Vec::new(),
            Self::Forgotten { receipt, .. } => vec![receipt],
        }
    }
}

/// How a memory stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryState {
    /// It is true, as far as is known.
    Held,
    /// It was true once.
    Ended,
    /// Its text is gone: a tombstone.
    Forgotten,
}

impl MemoryState {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Ended => "ended",
            Self::Forgotten => "forgotten",
        }
    }
}

/// A memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryRow {
    /// Its name.
    pub id: MemoryId,
    /// Whose it is.
    pub tenant: TenantId,
    /// What it is.
    pub is: MemoryKind,
    /// How it stands.
    pub state: MemoryState,
    /// Where it comes from; the first is the one it was made from.
    pub sources: Vec<Source>,
    /// The part of the first source.
    pub span: Option<Span>,
    /// The text.
    pub text: ContentRef,
    /// Whom it concerns.
    pub scope: String,
    /// Version of the embedder whose vector is stored.
    pub embedder: String,
    /// When it was made.
    pub at: Millis,
    /// From when it is true.
    pub valid_from: Millis,
    /// Until when it was.
    pub valid_to: Option<Millis>,
    /// What took its place.
    pub replaced_by: Option<MemoryId>,
    /// Memories that it was made from.
    pub derived_from: Vec<MemoryId>,
}
