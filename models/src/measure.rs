//! How fast a model reads and answers: what `alma bench generate` asks of it.
//!
//! Prompts are tokens without meaning, answers are drawn by chance and asked like any
//! other, so everything that a user waits for is in the figures: the queue, the
//! choice of each token, the text.

use crate::engine::{Order, Produced};
use crate::qwen::{Options, Qwen};
use crate::sampling::Sampling;
use charter::generate::{Generate, GenerateError, Urgency};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Tokens of a prompt.
    pub prompt: usize,
    /// Tokens of an answer.
    pub answer: u32,
    /// Threads; `None`: as many as there are processors.
    pub threads: Option<usize>,
    /// Answers at the same time.
    pub parallel: usize,
    /// Tokens that two prompts begin with alike.
    pub prefix: Option<usize>,
    /// How often; the median counts.
    pub runs: usize,
}

/// What was found. Speeds are in tokens per second.
#[derive(Debug, Clone, Default)]
pub struct Speeds {
    /// Until the model can be asked.
    pub load: Duration,
    /// The first answer after that, weights being unpacked as they are needed.
    pub first: Duration,
    /// Reading a prompt, alone.
    pub prefill: f64,
    /// Until the first token of an answer, alone.
    pub first_token: Duration,
    /// Answering, alone.
    pub decode: f64,
    /// Answering, all together, while none has ended.
    pub decode_together: Option<f64>,
    /// Until the first token, where nobody began like this before, and where somebody
    /// did.
    pub prefix: Option<(Duration, Duration)>,
    /// Instructions that were used.
    pub instructions: &'static str,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// The model cannot be loaded.
    #[error("the model cannot be measured")]
    Load(#[from] crate::LoadError),
    /// It does not answer.
    #[error("the model does not answer")]
    Answer(#[from] GenerateError),
    /// What is asked for does not fit.
    #[error("{0}")]
    Usage(String),
}

/// Measures a model.
pub fn measure(path: &Path, load: &Load) -> Result<Speeds, MeasureError> {
    let longest = load.prompt.max(load.prefix.unwrap_or(0) + 16) + load.answer as usize;
    let began = Instant::now();
    let model = Qwen::load_with(path, Options { threads: load.threads, ..Options::default() })?;
    let mut speeds = Speeds {
        load: began.elapsed(),
        instructions: crate::compute::isa::Isa::best().as_str(),
        ..Speeds::default()
    };
    if longest > model.context() as usize {
        let context = model.context();
        return Err(MeasureError::Usage(format!(
            "{longest} tokens of prompt and answer do not fit into {context} of context"
        )));
    }
    let began = Instant::now();
    answered(&model, prompt(0, 0, 1), 1, 0)?;
    speeds.first = began.elapsed();
    let (mut prefills, mut decodes) = (Vec::new(), Vec::new());
    for run in 0..load.runs.max(1) {
        let one =
            answered(&model, prompt(run as u32 + 1, 0, load.prompt), load.answer, run as u64)?;
        prefills.push(one.first);
        let rest = (one.end - one.first).as_secs_f64();
        decodes.push(f64::from(one.tokens.saturating_sub(1)) / rest);
    }
    prefills.sort_unstable();
    speeds.first_token = prefills[prefills.len() / 2];
    speeds.prefill = load.prompt as f64 / speeds.first_token.as_secs_f64();
    decodes.sort_unstable_by(f64::total_cmp);
    speeds.decode = decodes[decodes.len() / 2];
    if load.parallel > 1 {
        speeds.decode_together = Some(together(&model, load)?);
    }
    if let Some(prefix) = load.prefix {
        let (mut cold, mut warm) = (Vec::new(), Vec::new());
        for run in 0..load.runs.max(1) as u32 {
            cold.push(answered(&model, prompt(1_000 + run, 1, prefix + 16), 1, 1)?.first);
            let mut again = prompt(1_000 + run, 1, prefix);
            again.extend(prompt(2_000 + run, 2, 16));
            warm.push(answered(&model, again, 1, 2)?.first);
        }
        cold.sort_unstable();
        warm.sort_unstable();
        speeds.prefix = Some((cold[cold.len() / 2], warm[warm.len() / 2]));
    }
    Ok(speeds)
}

/// Tokens without meaning, others for each seed.
fn prompt(seed: u32, way: u32, length: usize) -> Vec<u32> {
    (0..length as u32).map(|at| (at * 7_919 + seed * 101 + way * 13) % 256).collect()
}

/// An answer, and when it came.
struct Timed {
    first: Duration,
    end: Duration,
    tokens: u32,
}

fn order(prompt: Vec<u32>, max_tokens: u32, seed: u64) -> Order {
    Order {
        prompt,
        guide: None,
        max_tokens,
        sampling: Sampling { temperature: 1.0, ..Sampling::default() },
        seed,
        stop: Vec::new(),
        logprobs: None,
        tenant: "bench".to_owned(),
        urgency: Urgency::Background,
    }
}

/// Asks until an answer has its full length: one in a thousand ends by chance.
fn answered(
    model: &Qwen,
    prompt: Vec<u32>,
    tokens: u32,
    seed: u64,
) -> Result<Timed, GenerateError> {
    const TRIES: u64 = 20;
    let mut last = None;
    for attempt in 0..TRIES {
        let mut first = None;
        let began = Instant::now();
        let mut hear = |text: &str| {
            if !text.is_empty() {
                first.get_or_insert(began.elapsed());
            }
            ControlFlow::Continue(())
        };
        let order = order(prompt.clone(), tokens, seed + attempt * 1_000);
        let Produced { tokens: made, .. } = model.engine().answer(order, &mut hear)?;
        let end = began.elapsed();
        let timed = Timed { first: first.unwrap_or(end), end, tokens: made };
        if made == tokens {
            return Ok(timed);
        }
        // What was read is known now: the next prompt has to be another.
        model.forget("bench");
        last = Some(timed);
    }
    last.ok_or(GenerateError::Busy { waiting: 0 })
}

/// Tokens per second of several answers, from where all have begun to where the first
/// ends.
fn together(model: &Qwen, load: &Load) -> Result<f64, GenerateError> {
    let (begun, ended) = (std::sync::Barrier::new(load.parallel), std::sync::OnceLock::new());
    let start = std::sync::OnceLock::new();
    let answers: Vec<Result<(), GenerateError>> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..load.parallel as u32)
            .map(|number| {
                let (begun, ended, start) = (&begun, &ended, &start);
                scope.spawn(move || {
                    let mut first = true;
                    let mut hear = |text: &str| {
                        if first && !text.is_empty() {
                            first = false;
                            begun.wait();
                            start.get_or_init(|| (Instant::now(), model.figures().read));
                        }
                        ControlFlow::Continue(())
                    };
                    // Short prompts, so that all answer at the same time for long.
                    let prompt = prompt(5_000 + number, 3, 16);
                    let order = order(prompt, load.answer, u64::from(number));
                    let made = model.engine().answer(order, &mut hear);
                    if first {
                        begun.wait();
                    }
                    ended.get_or_init(|| (Instant::now(), model.figures().read));
                    made.map(|_| ())
                })
            })
            .collect();
        all.into_iter()
            .map(|one| one.join().unwrap_or(Err(GenerateError::Busy { waiting: 0 })))
            .collect()
    });
    answers.into_iter().collect::<Result<Vec<()>, _>>()?;
    match (start.get(), ended.get()) {
        (Some((from, before)), Some((to, after))) => {
            Ok((after - before) as f64 / (*to - *from).as_secs_f64())
        }
        _ => Ok(0.0),
    }
}
