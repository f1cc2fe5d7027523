//! The port behind which texts are read and quoted: words out of files, sentences
//! out of words, and the sentences that matter. Nothing here writes a sentence of
//! its own: whatever comes back is a span of what was given.

use crate::memory::Span;
use serde::{Deserialize, Serialize};

/// What a file was read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Text as it stands in the file: a span of it is a span of the file.
    Plain,
    /// The words of a web page.
    Html,
    /// The words of a PDF; pages end with a form feed.
    Pdf,
}

/// The words of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// The words.
    pub text: String,
    /// What the file was read as.
    pub form: Form,
}

/// Why a file gives no words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is text without a word in it.
    #[error("there are no words in it")]
    Empty,
    /// It is a picture, a program or the like.
    #[error("it is no text")]
    NoText,
    /// It cannot be read as what it should be.
    #[error("{0}")]
    Broken(String),
}

/// A sentence of one of several texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Excerpt {
    /// Which of the texts.
    pub text: usize,
    /// Where it stands there.
    pub span: Span,
}

/// Why nothing can be excerpted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("texts cannot be compared: {0}")]
pub struct Unexcerpted(pub String);

/// Reads and quotes. The same texts always give the same excerpts.
pub trait Excerpts: Send + Sync {
    /// The words of a file that holds these bytes.
    fn words(&self, name: &str, bytes: &[u8]) -> Result<Words, Unreadable>;

    /// The sentences of a text, in order.
    fn sentences(&self, text: &str) -> Vec<Span>;

    /// The share of a topic's words, from 0 to 1, that a text has in some form.
    fn share(&self, topic: &str, text: &str) -> f32;

    /// At most `limit` sentences that say most and each something else, in order.
    fn summary(&self, text: &str, limit: usize) -> Result<Vec<Excerpt>, Unexcerpted>;

    /// The sentences that speak of a topic, most relevant first, at most `limit` of
    /// each text. None: no text does.
    fn about(&self, topic: &str, texts: &[&str], limit: usize)
    -> Result<Vec<Excerpt>, Unexcerpted>;
}
