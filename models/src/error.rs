//! Why a model was not loaded. Everything here is found before memory for the
//! weights is asked for, so a wrong file costs nothing.

use std::path::PathBuf;

/// A model that was refused.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The path holds no model.
    #[error("{path} holds no model: {why}. Expected a .gguf file, or a folder with config.json, tokenizer.json and *.safetensors", path = path.display())]
    NoModel {
        /// What was given.
        path: PathBuf,
        /// What is missing.
        why: String,
    },
    /// A file could not be read.
    #[error("could not read {path}", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{path} is damaged or incomplete: {why}. Get the file again", path = path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The model is of a kind that does not run here.
    #[error("{path} cannot be run here: {why}", path = path.display())]
    Unsupported {
        /// Which.
        path: PathBuf,
        /// What it is, and what runs.
        why: String,
    },
    /// The tokenizer is another model's.
    #[error("the tokenizer of {path} does not belong to the model: {why}", path = path.display())]
    Tokenizer {
        /// Which.
        path: PathBuf,
        /// What does not fit.
        why: String,
    },
    /// The chat template cannot be used.
    #[error("the chat template of {path} cannot be used: {why}", path = path.display())]
    Template {
        /// Which.
        path: PathBuf,
        /// What the template engine says.
        why: String,
    },
    /// The engine refused the weights.
    #[error("could not load the weights of {path}", path = path.display())]
    Weights {
        /// Which.
        path: PathBuf,
        /// What it says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What candle says: its errors carry the stack along where a backtrace is asked
/// for, which is nothing for the person who reads the message.
pub(crate) fn said(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().trim().to_owned()
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
