//! Shows one language model: shape, tokenizer, template, limits, digest.

use crate::{Alma, Error};
use charter::ids::Principal;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Which model.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Its name; the configured one unless given.
    #[serde(default)]
    pub name: Option<String>,
}

/// A model.
#[derive(Debug, Clone, Serialize)]
pub struct Response {
    /// Its name.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// Whether it is the configured one.
    pub used: bool,
    /// Its architecture.
    pub architecture: String,
    /// Container and type of the weights.
    pub format: String,
    /// Bytes of its weights.
    pub bytes: u64,
    /// How well this format runs here.
    pub runs: String,
    /// Layers, width, heads, vocabulary.
    pub shape: String,
    /// Tokens that it was trained to see.
    pub context: usize,
    /// Tokens of them that are used here, for prompt and answer together.
    pub context_used: usize,
    /// Tokens of its tokenizer.
    pub tokens: usize,
    /// Its chat template.
    pub template: String,
    /// SHA-256 of its files.
    pub digest: String,
}

/// Shows.
pub async fn run(alma: &Alma, _: &Principal, request: Request) -> Result<Response, Error> {
    let installation = std::sync::Arc::clone(&alma.installation);
    let shown = tokio::task::spawn_blocking(move || installation.model(request.name.as_deref()));
    shown.await.map_err(|error| Error::Machine {
        operation: "look at the model".to_owned(),
        cause: error.to_string(),
    })?
}
