//! Lists language models: those in the data folder, the configured one, and what
//! is worth getting.

use super::shared::Nothing;
use crate::{Alma, Error};
use charter::ids::Principal;
use serde::Serialize;
use std::path::PathBuf;

/// Models.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Response {
    /// Models that were found.
    pub models: Vec<Line>,
    /// Where to put them.
    pub folder: PathBuf,
    /// What is worth getting.
    pub recommended: Vec<Recommended>,
}

/// One model.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Line {
    /// Its name: that of its file or folder.
    pub name: String,
    /// Whether it is the configured one.
    pub used: bool,
    /// Its architecture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// Container and type of the weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Bytes of its weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Tokens that it can see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<usize>,
    /// How well this format runs here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs: Option<String>,
    /// Why it cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A file that is worth getting.
#[derive(Debug, Clone, Serialize)]
pub struct Recommended {
    /// Name of the model.
    pub name: String,
    /// Container and type of the weights.
    pub format: String,
    /// Bytes of the file, about.
    pub bytes: u64,
    /// Memory that it takes.
    pub memory: String,
    /// Why this one.
    pub why: String,
}

/// Lists.
pub async fn run(alma: &Alma, _: &Principal, _: Nothing) -> Result<Response, Error> {
    let installation = std::sync::Arc::clone(&alma.installation);
    tokio::task::spawn_blocking(move || installation.models()).await.map_err(|error| {
        Error::Machine { operation: "look for models".to_owned(), cause: error.to_string() }
    })
}
