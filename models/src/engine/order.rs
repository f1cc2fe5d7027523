//! What is asked of an engine, and what it says.

use crate::grammar::Guide;
use crate::sampling::Sampling;
use charter::generate::{Ended, GenerateError, Logprob, Urgency};

/// What to generate.
pub struct Order {
    /// The prompt; not empty.
    pub prompt: Vec<u32>,
    /// What the answer must look like; `None`: free text.
    pub guide: Option<Guide>,
    /// Most tokens of the answer.
    pub max_tokens: u32,
    /// Fewest tokens of free text: it does not end before.
    pub min_tokens: u32,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Seed of the choice.
    pub seed: u64,
    /// Texts that end the answer, and are no part of it.
    pub stop: Vec<String>,
    /// How many of the likeliest tokens are told with each token; `None`: not even
    /// the probability of the token itself.
    pub logprobs: Option<u32>,
    /// Whether to guess what comes next; what comes out is the same.
    pub guesses: bool,
    /// Whose it is: what begins alike is shared within a tenant; nobody's, with nobody.
    pub tenant: String,
    /// Who waits for it.
    pub urgency: Urgency,
}

impl Order {
    /// The likeliest free text behind a prompt, in the background, for nobody.
    pub fn new(prompt: Vec<u32>, max_tokens: u32) -> Self {
        Self {
            prompt,
            guide: None,
            max_tokens,
            min_tokens: 0,
            sampling: Sampling::default(),
            seed: 0,
            stop: Vec::new(),
            logprobs: None,
            guesses: true,
            tenant: String::new(),
            urgency: Urgency::Background,
        }
    }
}

/// What came out.
#[derive(Debug, Clone, PartialEq)]
pub struct Produced {
    /// The text.
    pub text: String,
    /// Its tokens.
    pub tokens: u32,
    /// Why it ended.
    pub ended: Ended,
    /// How likely each token was, where that was asked.
    pub logprobs: Vec<Logprob>,
}

/// What an engine says of an order.
pub(crate) enum Said {
    /// More text, whole characters, and the tokens of the answer so far.
    Text(String, u32),
    /// The end.
    Done(Result<Produced, GenerateError>),
}
