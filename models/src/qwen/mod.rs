//! Qwen2, Qwen2.5 and Qwen3 (dense) from local files.
//!
//! A model is a `.gguf` file or a folder with config.json, tokenizer.json and
//! *.safetensors. It answers one request at a time; others wait in line.
//!
//! | to know | look at |
//! |---|---|
//! | what lies at a path | `files` |
//! | which shapes and types are accepted | `config`, `gguf`, `safetensors` |
//! | what a model is, without loading it | [`describe`] |
//! | weights that stay on disk until they are needed | `weights` |
//! | tokens in, logits out | `network` |

mod config;
pub mod describe;
mod files;
mod gguf;
mod network;
mod safetensors;
pub mod weights;

use crate::engine::{self, Network, Order};
use crate::error::LoadError;
use crate::grammar::Grammars;
use crate::sampling::Sampling;
use crate::template::Template;
use crate::tokens::Tokens;
use charter::generate::{Ask, Generate, GenerateError, Generated, Message, identity};
use files::Files;
use network::{Checkpoint, Reader};
use serde_json::Value;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Most tokens of context that are used unless told otherwise: memory grows
/// with it.
pub const CONTEXT_MAX: usize = 16_384;
/// Most requests that wait in line.
const WAITING_MAX: usize = 64;
/// Rows of the embedding that may stand for no token: checkpoints round up.
const SPARE_ROWS: usize = 2_048;

/// A loaded model.
pub struct Qwen {
    name: String,
    context: usize,
    tokens: Arc<Tokens>,
    template: Template,
    grammars: Grammars,
    network: Mutex<Reader>,
    waiting: AtomicUsize,
}

/// What the formats give.
struct Found {
    checkpoint: Checkpoint,
    talk: Talk,
    /// The files that the digest covers.
    files: Vec<PathBuf>,
}

/// How to talk to a model.
struct Talk {
    tokenizer: Value,
    ends: Vec<u32>,
    template: Option<String>,
}

impl Talk {
    /// Tokenizer and template, made sure that they belong to the model and work.
    fn checked(self, path: &Path, vocabulary: usize) -> Result<(Arc<Tokens>, Template), LoadError> {
        let tokenizer = |why: String| LoadError::Tokenizer { path: path.to_owned(), why };
        let tokens = Tokens::new(self.tokenizer, &self.ends)
            .map_err(|error| tokenizer(error.to_string()))?;
        let size = tokens.size();
        if size > vocabulary || vocabulary - size > SPARE_ROWS {
            return Err(tokenizer(format!("it has {size} tokens, the model {vocabulary}")));
        }
        let broken = |why: String| LoadError::Template { path: path.to_owned(), why };
        let template = match &self.template {
            Some(source) => Template::new(source),
            None => Template::chatml(),
        };
        let template = template.map_err(|error| broken(error.to_string()))?;
        let tokens = Arc::new(tokens);
        let probe = [Message::user("probe")];
        let prompt =
            template.prompt(&probe, &[], &tokens).map_err(|error| broken(error.to_string()))?;
        if !prompt.text.contains("probe") {
            return Err(broken("it leaves out what is said".to_owned()));
        }
        Ok((tokens, template))
    }
}

impl Qwen {
    /// Loads the model at a path.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        Self::load_with(path, CONTEXT_MAX)
    }

    /// Loads the model at a path and uses at most `context_max` tokens of its
    /// context.
    pub fn load_with(path: &Path, context_max: usize) -> Result<Self, LoadError> {
        let Found { mut checkpoint, talk, files } = match Files::find(path)? {
            Files::Gguf(file) => gguf::find(&file)?,
            Files::Folder(folder) => safetensors::find(&folder)?,
        };
        let dimensions = &mut checkpoint.dimensions;
        dimensions.context = dimensions.context.min(context_max);
        let (vocabulary, context) = (dimensions.vocabulary, dimensions.context);
        let name = files::name(path, &files)?;
        let (tokens, template) = talk.checked(path, vocabulary)?;
        let grammars = Grammars::new(Arc::clone(&tokens), vocabulary)
            .map_err(|why| LoadError::Tokenizer { path: path.to_owned(), why })?;
        let weights = |error: weights::WeightsError| LoadError::Weights {
            path: path.to_owned(),
            source: Box::new(error),
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let network = Mutex::new(Reader::new(checkpoint, threads).map_err(weights)?);
        let waiting = AtomicUsize::new(0);
        Ok(Self { name, context, tokens, template, grammars, network, waiting })
    }

    /// Its tokenizer.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Its chat template.
    pub fn template(&self) -> &Template {
        &self.template
    }

    fn prompt(&self, ask: &Ask) -> Result<Vec<u32>, GenerateError> {
        let wrong = |why: &str| Err(GenerateError::Ask(why.to_owned()));
        if ask.messages.is_empty() {
            return wrong("there is no message");
        }
        if ask.max_tokens == 0 {
            return wrong("the answer may have no tokens");
        }
        if !ask.temperature.is_finite() || ask.temperature < 0.0 {
            return wrong("the temperature is no number from 0 up");
        }
        if !(ask.top_p > 0.0 && ask.top_p <= 1.0) {
            return wrong("top_p is not over 0 and up to 1");
        }
        let too_long = |prompt: usize| GenerateError::TooLong {
            prompt: prompt as u64,
            answer: u64::from(ask.max_tokens),
            context: self.context as u64,
        };
        let bytes: usize = ask.messages.iter().map(|message| message.text.len()).sum();
        if self.tokens.at_least(bytes) > self.context {
            return Err(too_long(self.tokens.at_least(bytes)));
        }
        let operation = "write the conversation as the model expects it";
        let prompt = self
            .template
            .prompt(&ask.messages, &ask.tools, &self.tokens)
            .map_err(|error| GenerateError::Engine { operation, source: Box::new(error) })?
            .tokens(&self.tokens)
            .map_err(|error| GenerateError::Engine { operation, source: Box::new(error) })?;
        if prompt.is_empty() {
            return wrong("the conversation has no tokens");
        }
        if prompt.len() + ask.max_tokens as usize > self.context {
            return Err(too_long(prompt.len()));
        }
        Ok(prompt)
    }
}

/// A place in the line of a model.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(line: &'a AtomicUsize) -> Result<Self, GenerateError> {
        let waiting = line.fetch_add(1, Ordering::SeqCst);
        let place = Self(line);
        if waiting > WAITING_MAX { Err(GenerateError::Busy { waiting }) } else { Ok(place) }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Generate for Qwen {
    fn name(&self) -> &str {
        &self.name
    }

    fn context(&self) -> u32 {
        u32::try_from(self.context).unwrap_or(u32::MAX)
    }

    fn generate(
        &self,
        ask: &Ask,
        token: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generated, GenerateError> {
        let prompt = self.prompt(ask)?;
        let _place = Place::take(&self.waiting)?;
        // What a request before left half read is forgotten at the start.
        let mut network = self.network.lock().unwrap_or_else(PoisonError::into_inner);
        let network: &mut dyn Network = &mut *network;
        let order = Order {
            prompt: &prompt,
            shape: &ask.shape,
            max_tokens: ask.max_tokens,
            sampling: Sampling { temperature: ask.temperature, top_p: ask.top_p },
            seed: ask.seed,
            model: identity(&self.name).0,
        };
        let produced = engine::produce(network, &self.tokens, &self.grammars, &order, token)?;
        Ok(Generated {
            text: produced.text,
            prompt_tokens: u32::try_from(prompt.len()).unwrap_or(u32::MAX),
            tokens: produced.tokens,
            ended: produced.ended,
        })
    }
}

#[cfg(test)]
mod tests;
