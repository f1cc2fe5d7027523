//! How fast a language model reads and answers, and what its grammars accept.

use super::Progress;
use super::child::BenchError;
use super::measure::Figures;
use std::path::{Path, PathBuf};

/// What to measure of a model.
#[derive(Debug, Clone)]
pub struct Load {
    /// A smaller model that guesses ahead.
    pub draft: Option<PathBuf>,
    /// Tokens of a prompt.
    pub prompt: u32,
    /// Tokens of an answer.
    pub answer: u32,
    /// Threads; `None`: as many as there are processors.
    pub threads: Option<u32>,
    /// Answers at the same time.
    pub parallel: u32,
    /// Tokens that two prompts begin with alike.
    pub prefix: Option<u32>,
    /// Whether to measure a plan, in its grammar.
    pub plan: bool,
    /// Whether to measure an answer that repeats itself.
    pub repeat: bool,
    /// How often.
    pub runs: u32,
}

/// What measures language models, as the wiring has it.
pub trait Models {
    /// How fast a model reads and answers.
    fn speeds(&self, model: &Path, load: &Load) -> Result<Figures, String>;

    /// What grammars accept of the schemas in a folder, with the `tokenizer.json` of
    /// another; `tell` hears how many schemas are done.
    fn grammars(
        &self,
        schemas: &Path,
        tokenizer: &Path,
        tell: &mut dyn FnMut(u32),
    ) -> Result<Figures, String>;
}

/// Measures a model.
pub(super) fn run(
    models: &dyn Models,
    model: &Path,
    load: &Load,
    progress: &mut Progress<'_>,
) -> Result<Figures, BenchError> {
    progress.say(&format!("{} reads and answers", model.display()));
    let mut figures = models.speeds(model, load).map_err(BenchError::Usage)?;
    figures.number("peak_rss_mb", super::measure::peak_rss_mb());
    Ok(figures)
}

/// Tries grammars.
pub(super) fn grammars(
    models: &dyn Models,
    schemas: &Path,
    tokenizer: &Path,
    progress: &mut Progress<'_>,
) -> Result<Figures, BenchError> {
    let mut tell = |done| progress.tell(|| format!("{done} schemas"));
    models.grammars(schemas, tokenizer, &mut tell).map_err(BenchError::Usage)
}
