//! What is asked of a language model, and the port behind which it stands.
//!
//! A caller says what the answer must look like ([`Shape`]); the engine sees to
//! it that nothing else can come out, whatever the weights.

use crate::digest::Digest;
use crate::tool::ToolSpec;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::ops::ControlFlow;

/// Most steps of a plan that a model writes.
pub const PLAN_STEPS_MAX: usize = 8;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Instructions that come before the conversation.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// The output of a tool.
    Tool,
}

impl Role {
    /// Its name in chat templates.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// One turn of a conversation. Chat delimiters in its text are text: they
/// cannot end the turn or begin another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub text: String,
}

impl Message {
    /// A turn.
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Self { role, text: text.into() }
    }

    /// Instructions.
    pub fn system(text: impl Into<String>) -> Self {
        Self::new(Role::System, text)
    }

    /// What the person says.
    pub fn user(text: impl Into<String>) -> Self {
        Self::new(Role::User, text)
    }

    /// What the model said.
    pub fn assistant(text: impl Into<String>) -> Self {
        Self::new(Role::Assistant, text)
    }
}

/// What the answer must look like. Every shape but [`Shape::Text`] comes out
/// whole within [`Ask::max_tokens`], or the ask is refused before it begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// Any text; it may be cut off.
    Text,
    /// A JSON value that fits this JSON Schema (2020-12), without white space
    /// between its parts. Texts and lists without an upper bound get one.
    Json(Value),
    /// A text of this grammar, in llguidance's dialect of Lark.
    Lark(String),
    /// One of these texts.
    Choice(Vec<String>),
    /// A plan with these tools, of one to [`PLAN_STEPS_MAX`] steps: an object of
    /// `s1`, `s2` … and `answer`.
    Plan(Vec<ToolSpec>),
    /// An answer from sources, `{"quotes": [{"source", "quote"}], "answer"}`; each
    /// quote is word for word in its source, and without one the answer is `null`.
    Quotes {
        /// What may be quoted.
        sources: Vec<Quotable>,
        /// Most characters of the answer.
        answer_max: u32,
    },
}

/// A text that may be quoted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quotable {
    /// What the quote is attributed to.
    pub name: String,
    /// The text.
    pub text: String,
}

/// Who waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    /// A person who looks at the screen.
    Conversation,
    /// A step of a mission, a summary, the night.
    #[default]
    Background,
}

/// A question to a language model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// What the answer must look like.
    pub shape: Shape,
    /// Tools to tell the model of, as the chat template wants them:
    /// `{"type": "function", "function": {"name", "description", "parameters"}}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Value>,
    /// Most tokens that the answer may have.
    pub max_tokens: u32,
    /// 0 takes the likeliest token each time; higher is more varied.
    pub temperature: f32,
    /// Share of the likeliest tokens that are sampled from, over 0 and up to 1.
    pub top_p: f32,
    /// The same seed, model and ask give the same answer.
    pub seed: u64,
    /// So many of the likeliest tokens are sampled from; 0: all.
    #[serde(default)]
    pub top_k: u32,
    /// How likely a token must be, compared to the likeliest, from 0 to 1.
    #[serde(default)]
    pub min_p: f32,
    /// What makes tokens less likely that occurred before: over 1; 1 does nothing.
    #[serde(default = "one")]
    pub repetition_penalty: f32,
    /// What is taken from tokens that the answer has already; 0 does nothing.
    #[serde(default)]
    pub presence_penalty: f32,
    /// Texts that end the answer and are no part of it; for [`Shape::Text`] alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// How many of the likeliest tokens are told with each token, up to
    /// [`LOGPROBS_MAX`]; `None`: nothing is told of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<u32>,
    /// Whose it is. What begins alike is shared within a tenant, never between two; an
    /// ask of nobody's shares nothing.
    #[serde(default)]
    pub tenant: String,
    /// Who waits for it.
    #[serde(default)]
    pub urgency: Urgency,
}

fn one() -> f32 {
    1.0
}

/// Most likely tokens that are told with each token.
pub const LOGPROBS_MAX: u32 = 20;
/// Most texts that end an answer.
pub const STOPS_MAX: usize = 16;

impl Ask {
    /// An ask for the likeliest answer of this shape.
    pub fn new(messages: Vec<Message>, shape: Shape, max_tokens: u32) -> Self {
        Self {
            messages,
            shape,
            tools: Vec::new(),
            max_tokens,
            temperature: 0.0,
            top_p: 1.0,
            seed: 0,
            top_k: 0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            stop: Vec::new(),
            logprobs: None,
            tenant: String::new(),
            urgency: Urgency::Background,
        }
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// It is whole.
    Whole,
    /// The tokens ran out; only a [`Shape::Text`] ends like this.
    Length,
    /// The receiver of tokens asked to stop.
    Cancelled,
}

/// How likely a token was, as logarithms of probabilities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Logprob {
    /// Its text; what is part of a character is replaced.
    pub token: String,
    /// Its own.
    pub logprob: f32,
    /// Those of the likeliest tokens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub top: Vec<(String, f32)>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generated {
    /// The text, without the delimiters of the chat.
    pub text: String,
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens of the answer.
    pub tokens: u32,
    /// Why it ended.
    pub ended: Ended,
    /// How likely each token was, where that was asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logprobs: Vec<Logprob>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The ask contradicts itself.
    #[error("the model cannot be asked this: {0}")]
    Ask(String),
    /// Prompt and answer together do not fit.
    #[error(
        "the prompt has {prompt} tokens and the answer may have {answer}, but the model's context holds {context}: shorten the text or ask for less"
    )]
    TooLong {
        /// Tokens of the prompt.
        prompt: u64,
        /// Tokens asked for.
        answer: u64,
        /// Tokens that fit.
        context: u64,
    },
    /// The grammar cannot be used.
    #[error("the shape of the answer cannot be used: {0}")]
    Shape(String),
    /// Not even the shortest answer of this shape fits.
    #[error(
        "no answer of this shape was found that ends within {max_tokens} tokens: allow more, or ask for less"
    )]
    NoRoom {
        /// Tokens allowed.
        max_tokens: u32,
    },
    /// There is a model, but it cannot be loaded.
    #[error("the language model {model} cannot be used")]
    Unusable {
        /// Its name.
        model: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The weights give something else than numbers.
    #[error(
        "the model {model} computed a value that is no number: its file is damaged, or its weights are broken; get it again"
    )]
    NotANumber {
        /// Its name.
        model: String,
    },
    /// Too many wait already.
    #[error("{waiting} requests wait for the model already: try again later")]
    Busy {
        /// How many wait.
        waiting: usize,
    },
    /// The engine failed.
    #[error("the model could not {operation}")]
    Engine {
        /// What was tried.
        operation: &'static str,
        /// What it says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A language model.
pub trait Generate: Send + Sync {
    /// Its name and the digest of its weights, as the ledger keeps them; see
    /// [`identity`]. A model that was not loaded yet knows no digest.
    fn name(&self) -> &str;

    /// Tokens that prompt and answer may have together; 0 if the model cannot be
    /// read. May read its header.
    fn context(&self) -> u32;

    /// Answers. Blocks until the answer has ended; `token` receives whole
    /// characters as they come, and its [`ControlFlow::Break`] ends the answer
    /// before the next token. While there is nothing to say yet (the model is
    /// being loaded, or reads the prompt) it receives an empty text now and then,
    /// so that it can stop that too.
    fn generate(
        &self,
        ask: &Ask,
        token: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generated, GenerateError>;

    /// Drops what a tenant's conversations left in the model's memory, so that nothing
    /// of what was forgotten stays there. One that keeps nothing does nothing.
    fn forget(&self, _tenant: &str) {}
}

/// The name of a model and the digest of its weights, from what
/// [`Generate::name`] says.
pub fn identity(name: &str) -> (&str, Option<Digest>) {
    match name.rsplit_once(" sha256:") {
        Some((name, digest)) => (name, digest.parse().ok()),
        None => (name, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_told_from_its_digest() {
        let digest = Digest::of(b"weights");
        assert_eq!(identity(&format!("a b.gguf sha256:{digest}")), ("a b.gguf", Some(digest)));
        assert_eq!(identity("a.gguf"), ("a.gguf", None));
    }
}
