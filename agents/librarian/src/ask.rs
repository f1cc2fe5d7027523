//! What the Librarian can be asked, and what she answers: values that pass between
//! processes. Only the process that holds the data folder has the index.

use crate::forget::Receipt;
use crate::keep::Draft;
use crate::rank::Shares;
use charter::digest::Digest;
use charter::ids::{MemoryId, Millis, TenantId};
use charter::memory::{MemoryKind, MemoryRow};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Memories that one request may bring.
pub const DRAFTS_MAX: usize = 10_000;

/// A question.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "ask")]
pub enum Request {
    /// What is remembered about something.
    Recall(Recall),
    /// Keep these. Asked again, they are kept once.
    Keep {
        /// Whose they are.
        tenant: TenantId,
        /// Each under the name that it is to have.
        drafts: Vec<(MemoryId, Draft)>,
    },
    /// What was said that a text may correct.
    Correctable {
        /// Whose.
        tenant: TenantId,
        /// The correction.
        text: String,
    },
    /// Keep a document: what it says now takes the place of what it said before.
    Document {
        /// Whose it is.
        tenant: TenantId,
        /// The document.
        document: Document,
    },
    /// Remove for good.
    Forget {
        /// Whose it is.
        tenant: TenantId,
        /// What.
        what: Forgettable,
        /// Only say what would go.
        dry_run: bool,
    },
    /// Build the index again from the ledger.
    Rebuild {
        /// Whose memories to wait for.
        tenant: TenantId,
    },
    /// Read what happened since the last time, so that the next question need not
    /// wait for it.
    CatchUp {
        /// Whose.
        tenant: TenantId,
    },
    /// Put the index away; the next question opens it again.
    PutAway,
    /// How the memory stands.
    Report {
        /// Whose.
        tenant: TenantId,
    },
}

/// What is to be recalled.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Recall {
    /// Whose memories.
    pub tenant: TenantId,
    /// The question.
    pub words: String,
    /// Only of these scopes; empty: all.
    pub scopes: Vec<String>,
    /// Only of these kinds; empty: all.
    pub kinds: Vec<MemoryKind>,
    /// The scope that is asked from.
    pub from: Option<String>,
    /// What was true then, instead of now.
    pub as_of: Option<Millis>,
    /// How many at most.
    pub limit: usize,
}

/// A document as text.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Document {
    /// Its absolute path.
    pub path: String,
    /// SHA-256 of the file.
    pub sha256: Digest,
    /// What it says.
    pub text: String,
    /// Whom it concerns.
    pub scope: String,
    /// When it was written.
    pub at: Millis,
}

/// What is to be forgotten.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forgettable {
    /// Everything that holds these words.
    Phrase(String),
    /// One memory, and what it was made from.
    Memory(MemoryId),
}

/// An answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "answer")]
pub enum Response {
    /// What is remembered, best first.
    Recalled {
        /// The memories.
        hits: Vec<Hit>,
    },
    /// What became of each draft, in order.
    Kept {
        /// The outcomes.
        kept: Vec<Kept>,
    },
    /// What may be corrected, likeliest first.
    Correctable {
        /// The memories.
        said: Vec<Correctable>,
    },
    /// What became of a document.
    Filed(Filed),
    /// What was forgotten, or would be.
    Forgotten {
        /// By kind and number.
        receipt: Receipt,
        /// Files of the user that hold it and were left.
        files: Vec<String>,
    },
    /// It is done.
    Done,
    /// How the memory stands.
    Report(Report),
}

/// A memory that answers a question.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hit {
    /// The memory.
    pub row: MemoryRow,
    /// Its text.
    pub text: String,
    /// What each component gave.
    pub shares: Shares,
    /// Cosine with the question; 0 where meaning did not name it.
    pub cosine: f32,
    /// BM25 score; 0 where words did not name it.
    pub bm25: f32,
}

/// Something that was said and may be what somebody corrects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Correctable {
    /// The memory.
    pub memory: MemoryId,
    /// What it says.
    pub text: String,
    /// How likely it is meant, from 0 to 1.
    pub likely: f32,
}

/// What became of something that was to be kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "became")]
pub enum Kept {
    /// It is a memory now.
    New {
        /// Which.
        memory: MemoryId,
        /// Facts that are true no more.
        ended: Vec<MemoryId>,
    },
    /// It was known, and has one source more.
    Known {
        /// The memory that says the same.
        memory: MemoryId,
        /// Facts that are true no more.
        #[serde(default)]
        ended: Vec<MemoryId>,
    },
    /// It is not worth keeping.
    Refused {
        /// Why.
        reason: String,
    },
}

/// What became of a document.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filed {
    /// Passages that are new.
    pub new: usize,
    /// Passages that were there before.
    pub known: usize,
    /// Passages that it holds no more.
    pub ended: usize,
    /// Whether all of it is covered.
    pub whole: bool,
}

/// How the memory stands.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Report {
    /// Memories by kind and state.
    pub memories: BTreeMap<String, BTreeMap<String, usize>>,
    /// How many the index holds.
    pub indexed: usize,
    /// The embedder.
    pub embedder: String,
    /// Up to which position of the ledger it is built.
    pub position: i64,
}

/// Why there is no answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "because")]
pub enum Refusal {
    /// The request is wrong.
    Usage {
        /// What is wrong.
        message: String,
    },
    /// What was named does not exist.
    NotFound {
        /// What.
        what: String,
    },
    /// It does not fit how things stand.
    Conflict {
        /// Why.
        message: String,
    },
    /// Something failed.
    Failed {
        /// What, and why.
        message: String,
    },
}
