//! How fast a language model reads and answers.

use super::Progress;
use super::child::BenchError;
use super::measure::Figures;
use std::path::Path;
use std::time::Duration;

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct Load {
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
    /// How often.
    pub runs: u32,
}

/// What was found; speeds are in tokens per second.
#[derive(Debug, Clone, Default)]
pub struct Speeds {
    /// Until the model can be asked.
    pub load: Duration,
    /// The first answer after that.
    pub first: Duration,
    /// Reading a prompt.
    pub prefill: f64,
    /// Until the first token of an answer.
    pub first_token: Duration,
    /// Answering.
    pub decode: f64,
    /// Answering together.
    pub decode_together: Option<f64>,
    /// Until the first token behind a beginning that is new, and one that is known.
    pub prefix: Option<(Duration, Duration)>,
    /// Instructions that were used.
    pub instructions: &'static str,
}

/// What measures a model.
pub type Generator<'g> = &'g dyn Fn(&Path, &Load) -> Result<Speeds, String>;

/// Measures a model. `decode_tokens_per_second` is that of all answers together.
pub(super) fn run(
    generator: Generator<'_>,
    model: &Path,
    load: &Load,
    progress: &mut Progress<'_>,
) -> Result<Figures, BenchError> {
    progress.tell(|| format!("{} reads and answers", model.display()));
    let speeds = generator(model, load).map_err(BenchError::Usage)?;
    let ms = |took: Duration| Some(took.as_secs_f64() * 1_000.0);
    let mut figures = Figures::default();
    figures.set("model", model.display().to_string());
    figures.set("runs", load.runs);
    figures.set("n", load.prompt);
    figures.set("instructions", speeds.instructions);
    if let Some(threads) = load.threads {
        figures.set("model_threads", threads);
    }
    figures.number("prefill_tokens_per_second", Some(speeds.prefill));
    let together = speeds.decode_together.unwrap_or(speeds.decode);
    figures.number("decode_tokens_per_second", Some(together));
    if speeds.decode_together.is_some() {
        figures.set("parallel", load.parallel);
        figures.number("decode_alone_tokens_per_second", Some(speeds.decode));
    }
    figures.number("load_ms", ms(speeds.load));
    figures.number("first_answer_ms", ms(speeds.first));
    figures.number("ttft_ms", ms(speeds.first_token));
    if let Some((cold, warm)) = speeds.prefix {
        figures.number("prefix_cold_ms", ms(cold));
        figures.number("prefix_warm_ms", ms(warm));
    }
    figures.number("peak_rss_mb", super::measure::peak_rss_mb());
    figures.note("answers are drawn by chance, so guesses at what comes next do not help");
    Ok(figures)
}
