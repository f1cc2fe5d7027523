//! How fast a language model reads and answers, and what its grammars accept.

use super::Progress;
use super::child::BenchError;
use super::measure::Figures;
use std::path::{Path, PathBuf};

/// What to measure of a model.
#[derive(Debug, Clone, clap::Args)]
pub struct Load {
    /// A smaller model of the same tokens that guesses ahead.
    #[arg(long, value_name = "FILE")]
    pub draft: Option<PathBuf>,
    /// Tokens of a prompt.
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub prompt: u32,
    /// Tokens of an answer.
    #[arg(long = "gen", value_name = "GEN", default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    pub answer: u32,
    /// Threads that compute; as many as there are processors unless given.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub threads: Option<u32>,
    /// Answers at the same time, beside one alone.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub parallel: u32,
    /// Tokens that two prompts begin with alike.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub prefix: Option<u32>,
    /// A plan too, in its grammar, beside as many tokens of free text.
    #[arg(long)]
    pub plan: bool,
    /// An answer that repeats itself too, with guesses at what comes next and without.
    #[arg(long)]
    pub repeat: bool,
    /// Times each thing is measured; the median counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
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
