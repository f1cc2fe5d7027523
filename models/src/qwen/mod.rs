//! Qwen2, Qwen2.5 and Qwen3 (dense) from local files.
//!
//! A model is a `.gguf` file or a folder with config.json, tokenizer.json and
//! *.safetensors.
//!
//! | to know | look at |
//! |---|---|
//! | what lies at a path | `files` |
//! | which shapes and types are accepted | `config`, `gguf`, `safetensors` |
//! | what a model is, without loading it | [`describe`] |
//! | weights that stay on disk until they are needed | `weights` |
//! | tokens in, logits out | `network`; on a graphics processor `device` |

mod config;
pub mod describe;
#[cfg(any(test, feature = "cuda", feature = "metal"))]
mod device;
pub(crate) mod files;
mod gguf;
mod network;
mod safetensors;
pub mod weights;

use crate::compute::cache::POSITIONS;
use crate::engine::Produced;
use crate::engine::{Engine, Figures, Limits, Model, Order};
use crate::error::LoadError;
use crate::grammar::{Grammars, Guide};
use crate::later::Later;
use crate::sampling::Sampling;
use crate::template::Template;
use crate::tokens::{Tokens, Vocabulary};
use charter::generate::{
    Ask, Generate, GenerateError, Generated, LOGPROBS_MAX, Message, STOPS_MAX, Shape,
};
use files::Files;
use network::{Checkpoint, Local, Network};
use serde_json::Value;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use weights::WeightsError;

/// Most tokens of context that are used unless told otherwise: memory grows
/// with it.
pub const CONTEXT_MAX: usize = 16_384;
/// Bytes of keys and values beyond one whole context that conversations may leave
/// behind for those that begin alike.
const CACHE_MAX: usize = 1 << 30;
/// Most threads that compute: more only wait for each other.
const THREADS_MAX: usize = 64;
/// Rows of the embedding that may stand for no token: checkpoints round up.
const SPARE_ROWS: usize = 2_048;

/// A loaded model.
pub struct Qwen {
    stem: String,
    /// With the digest, which takes as long as reading all files.
    name: Later<String>,
    context: usize,
    tokens: Arc<Tokens>,
    template: Template,
    /// Made while the first prompt is read.
    grammars: Later<Result<Arc<Grammars>, String>>,
    engine: Engine,
}

/// What the formats give.
struct Found {
    checkpoint: Checkpoint,
    talk: Talk,
    /// The files that the digest covers.
    files: Vec<PathBuf>,
}

/// A tokenizer as files describe it.
enum Described {
    /// A tokenizer.json.
    Json(Value),
    /// The lists of a GGUF file.
    Words(Vocabulary),
}

/// How to talk to a model.
struct Talk {
    tokenizer: Described,
    ends: Vec<u32>,
    template: Option<String>,
}

impl Talk {
    /// Tokenizer and template, made sure that they belong to the model and work.
    fn checked(self, path: &Path, vocabulary: usize) -> Result<(Arc<Tokens>, Template), LoadError> {
        let tokenizer = |why: String| LoadError::Tokenizer { path: path.to_owned(), why };
        let tokens = match self.tokenizer {
            Described::Json(json) => Tokens::new(json, &self.ends),
            Described::Words(words) => Tokens::from_vocabulary(words, &self.ends),
        };
        let tokens = tokens.map_err(|error| tokenizer(error.to_string()))?;
        if let Some(byte) = tokens.missing_byte() {
            return Err(tokenizer(format!("no token is the byte {byte:#x} alone")));
        }
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

    /// Makes sure that a model of so many rows can guess for one with these tokens and rows.
    fn guesses_for(
        self,
        path: &Path,
        own_rows: usize,
        tokens: &Tokens,
        rows: usize,
    ) -> Result<(), LoadError> {
        let (own, _) = self.checked(path, own_rows)?;
        if own.is_like(tokens) && own_rows <= rows {
            return Ok(());
        }
        let why = "its tokens are not those of the model that it would guess for".to_owned();
        Err(LoadError::Tokenizer { path: path.to_owned(), why })
    }
}

/// How to load a model.
#[derive(Debug, Clone)]
pub struct Options {
    /// Most tokens of its context that are used.
    pub context_max: usize,
    /// Threads that compute; `None`: as many as there are processors.
    pub threads: Option<usize>,
    /// A smaller model of the same vocabulary that guesses ahead; `None`: none.
    pub draft: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self { context_max: CONTEXT_MAX, threads: None, draft: None }
    }
}

impl Qwen {
    /// Loads the model at a path.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        Self::load_with(path, Options::default())
    }

    /// Loads the model at a path.
    pub fn load_with(path: &Path, options: Options) -> Result<Self, LoadError> {
        let Found { mut checkpoint, talk, files } = find(path)?;
        let dimensions = &mut checkpoint.dimensions;
        dimensions.context = dimensions.context.min(options.context_max);
        let (vocabulary, context) = (dimensions.vocabulary, dimensions.context);
        let stem = files::stem(path);
        let (own, plain) = (path.to_owned(), stem.clone());
        // A file that cannot be read through has no digest; its weights say why.
        let name = Later::new(move || files::name(&own, &files).unwrap_or_else(|_| plain.clone()));
        let (tokens, template) = talk.checked(path, vocabulary)?;
        let own = Arc::clone(&tokens);
        let grammars =
            Later::new(move || Grammars::new(Arc::clone(&own), vocabulary).map(Arc::new));
        let weights = |error: WeightsError| LoadError::Weights {
            path: path.to_owned(),
            source: Box::new(error),
        };
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = options.threads.unwrap_or_else(all).clamp(1, THREADS_MAX);
        let (computes, limits) = computing(checkpoint, threads, None).map_err(weights)?;
        let draft = match &options.draft {
            Some(path) => Some(draft(path, &tokens, vocabulary, threads, limits)?),
            None => None,
        };
        let engine = Engine::start(computes, draft, Arc::clone(&tokens), &stem, limits)
            .map_err(|source| weights(WeightsError::Threads { source }))?;
        Ok(Self { stem, name, context, tokens, template, grammars, engine })
    }

    /// Its tokenizer.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Its chat template.
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// What answers.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What its engine has done.
    pub fn figures(&self) -> Figures {
        self.engine.figures()
    }

    /// Drops what a tenant's conversations left in memory.
    pub fn forget(&self, tenant: &str) {
        self.engine.forget(tenant);
        if let Ok(grammars) = self.grammars.get() {
            grammars.forget();
        }
    }

    /// Its name without the digest.
    pub fn stem(&self) -> &str {
        &self.stem
    }

    pub(crate) fn guide(
        &self,
        shape: &Shape,
        max_tokens: u32,
    ) -> Result<Option<Guide>, GenerateError> {
        if *shape == Shape::Text {
            return Ok(None);
        }
        let grammars = self.grammars.get().as_ref().map_err(|why| GenerateError::Engine {
            operation: "prepare grammars for its tokens",
            source: why.clone().into(),
        })?;
        grammars.guide(shape, max_tokens)
    }

    fn prompt(&self, ask: &Ask) -> Result<Vec<u32>, GenerateError> {
        let wrong = |why: &str| Err(GenerateError::Ask(why.to_owned()));
        if ask.messages.is_empty() {
            return wrong("there is no message");
        }
        if ask.max_tokens == 0 {
            return wrong("the answer may have no tokens");
        }
        if ask.stop.len() > STOPS_MAX || ask.stop.iter().any(String::is_empty) {
            return wrong("a text that ends the answer is empty, or there are over 16 of them");
        }
        if !ask.stop.is_empty() && ask.shape != Shape::Text {
            return wrong("only free text can end at a stop");
        }
        if ask.logprobs.is_some_and(|count| count > LOGPROBS_MAX) {
            return wrong("over 20 of the likeliest tokens are asked for");
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

/// What lies at a path.
fn find(path: &Path) -> Result<Found, LoadError> {
    match Files::find(path)? {
        Files::Gguf(file) => gguf::find(&file),
        Files::Folder(folder) => safetensors::find(&folder),
    }
}

/// The model at a path, to guess ahead of one that has these tokens.
fn draft(
    path: &Path,
    tokens: &Tokens,
    vocabulary: usize,
    threads: usize,
    limits: Limits,
) -> Result<Box<dyn Model>, LoadError> {
    let Found { checkpoint, talk, .. } = find(path)?;
    talk.guesses_for(path, checkpoint.dimensions.vocabulary, tokens, vocabulary)?;
    let made = computing(checkpoint, threads, Some(limits.blocks));
    made.map(|(model, _)| model)
        .map_err(|source| LoadError::Weights { path: path.to_owned(), source: Box::new(source) })
}

/// What computes a checkpoint's logits: a graphics processor, where this program was built
/// for one and finds it, else the processor. `blocks`: of its cache; `None`: as many as
/// its context asks for.
fn computing(
    checkpoint: Checkpoint,
    threads: usize,
    blocks: Option<usize>,
) -> Result<(Box<dyn Model>, Limits), WeightsError> {
    let whole = checkpoint.dimensions.context.div_ceil(POSITIONS);
    let limits = |block_bytes: usize| {
        let kept = || whole.max((CACHE_MAX / block_bytes).min(4 * whole));
        let blocks = blocks.unwrap_or_else(kept);
        Limits { blocks, block_bytes }
    };
    #[cfg(any(feature = "cuda", feature = "metal"))]
    if let Some(found) = device::device() {
        let limits = limits(device::block_bytes(&checkpoint.dimensions));
        return Ok((Box::new(device::OnDevice::new(checkpoint, found, limits.blocks)?), limits));
    }
    let network = Network::new(checkpoint, threads)?;
    let limits = limits(network.cache(1).block_bytes());
    Ok((Box::new(Local::new(network, limits.blocks)?), limits))
}

impl Generate for Qwen {
    fn name(&self) -> &str {
        self.name.get()
    }

    fn context(&self) -> u32 {
        u32::try_from(self.context).unwrap_or(u32::MAX)
    }

    fn generate(
        &self,
        ask: &Ask,
        token: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generated, GenerateError> {
        let sampling = Sampling {
            temperature: ask.temperature,
            top_k: ask.top_k,
            top_p: ask.top_p,
            min_p: ask.min_p,
            repetition_penalty: ask.repetition_penalty,
            presence_penalty: ask.presence_penalty,
        };
        sampling.check().map_err(|why| GenerateError::Ask(why.to_owned()))?;
        let prompt = self.prompt(ask)?;
        let prompt_tokens = u32::try_from(prompt.len()).unwrap_or(u32::MAX);
        let order = Order {
            guide: self.guide(&ask.shape, ask.max_tokens)?,
            sampling,
            seed: ask.seed,
            stop: ask.stop.clone(),
            logprobs: ask.logprobs,
            tenant: ask.tenant.clone(),
            urgency: ask.urgency,
            ..Order::new(prompt, ask.max_tokens)
        };
        let made = self.engine.answer(order, token)?;
        let Produced { text, tokens, ended, logprobs } = made;
        Ok(Generated { text, prompt_tokens, tokens, ended, logprobs })
    }
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
