//! How fast a model reads and answers: what `alma bench generate` asks of it.
//!
//! Prompts are tokens without meaning, answers are drawn by chance, do not end before
//! their length and are asked for like any other, so everything that a user waits for is
//! in the figures: the queue, the choice of each token, the text.

use crate::engine::Order;
use crate::qwen::{Options, Qwen};
use crate::sampling::Sampling;
use charter::generate::{Generate, GenerateError, Shape, Urgency};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What to measure.
#[derive(Debug, Clone)]
pub struct Load {
    /// Tokens of a prompt.
    pub prompt: usize,
    /// Tokens of an answer.
    pub answer: u32,
    /// A smaller model that guesses ahead.
    pub draft: Option<PathBuf>,
    /// Threads; `None`: as many as there are processors.
    pub threads: Option<usize>,
    /// Answers at the same time.
    pub parallel: usize,
    /// Tokens that two prompts begin with alike.
    pub prefix: Option<usize>,
    /// What an answer with a grammar looks like, to be measured beside free text.
    pub shape: Option<Shape>,
    /// Whether to measure an answer that repeats itself, with guesses and without.
    pub repeat: bool,
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
    /// Answering, all together.
    pub decode_together: Option<f64>,
    /// Until the first token of a conversation's answer, while as many background answers
    /// are made.
    pub first_token_loaded: Option<Duration>,
    /// Until the first token, where nobody began like this before, and where somebody
    /// did.
    pub prefix: Option<(Duration, Duration)>,
    /// Tokens of an answer with a grammar, how long it took, and how long as many of
    /// free text.
    pub shaped: Option<(u32, Duration, Duration)>,
    /// Answering with what was said before, with guesses and without.
    pub repeating: Option<(f64, f64)>,
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
    let draft = load.draft.clone();
    let options = Options { threads: load.threads, draft, ..Options::default() };
    let model = Qwen::load_with(path, options)?;
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
    let one = |prompt, tokens| answered(&model, order(prompt, tokens, Urgency::Background));
    speeds.first = one(prompt(0, 0, 1), 1)?.end;
    let (mut prefills, mut decodes) = (Vec::new(), Vec::new());
    let runs = 0..load.runs.max(1) as u32;
    for run in runs.clone() {
        let one = one(prompt(run + 1, 0, load.prompt), load.answer)?;
        prefills.push(one.first);
        let rest = (one.end - one.first).as_secs_f64();
        decodes.push(f64::from(load.answer.saturating_sub(1)) / rest);
    }
    prefills.sort_unstable();
    speeds.first_token = prefills[prefills.len() / 2];
    speeds.prefill = load.prompt as f64 / speeds.first_token.as_secs_f64();
    decodes.sort_unstable_by(f64::total_cmp);
    speeds.decode = decodes[decodes.len() / 2];
    if load.parallel > 1 {
        speeds.decode_together = Some(together(&model, load)?);
        speeds.first_token_loaded = Some(loaded(&model, load)?);
    }
    if let Some(prefix) = load.prefix {
        let (mut cold, mut warm) = (Vec::new(), Vec::new());
        for run in runs {
            cold.push(one(prompt(1_000 + run, 1, prefix + 16), 1)?.first);
            let mut again = prompt(1_000 + run, 1, prefix);
            again.extend(prompt(2_000 + run, 2, 16));
            warm.push(one(again, 1)?.first);
        }
        cold.sort_unstable();
        warm.sort_unstable();
        speeds.prefix = Some((cold[cold.len() / 2], warm[warm.len() / 2]));
    }
    if let Some(shape) = &load.shape {
        speeds.shaped = Some(shaped(&model, load, shape)?);
    }
    if load.repeat {
        let guessed = repeating(&model, load, true)?;
        speeds.repeating = Some((guessed, repeating(&model, load, false)?));
    }
    Ok(speeds)
}

/// Most tokens of an answer with a grammar.
const SHAPED_MAX: u32 = 400;

/// An answer with a grammar, and as many tokens of free text behind the same prompt.
fn shaped(
    model: &Qwen,
    load: &Load,
    shape: &Shape,
) -> Result<(u32, Duration, Duration), GenerateError> {
    let mut found = Vec::new();
    for run in 0..load.runs.max(1) as u32 {
        let asked = |tokens, guide| Order {
            guide,
            max_tokens: SHAPED_MAX,
            min_tokens: tokens,
            seed: u64::from(run),
            ..order(prompt(20_000 + run, 6, 16), tokens, Urgency::Background)
        };
        let guide = model.guide(shape, SHAPED_MAX)?;
        let began = Instant::now();
        let made = model.engine().answer(asked(0, guide), &mut |_| ControlFlow::Continue(()))?;
        let took = began.elapsed();
        let free = Order { max_tokens: made.tokens, ..asked(made.tokens, None) };
        model.forget("bench");
        found.push((made.tokens, took, answered(model, free)?.end));
    }
    found.sort_by_key(|(_, took, free)| took.as_nanos() * 1_000 / free.as_nanos().max(1));
    Ok(found[found.len() / 2])
}

/// Tokens per second of an answer that always takes the likeliest token, behind a prompt
/// that says the same again and again.
fn repeating(model: &Qwen, load: &Load, guesses: bool) -> Result<f64, GenerateError> {
    let again: Vec<u32> = prompt(30_000, 7, 24).repeat(4);
    let sampling = Sampling::default();
    let order = Order { guesses, sampling, ..order(again, load.answer, Urgency::Background) };
    model.forget("bench");
    let timed = answered(model, order)?;
    Ok(f64::from(load.answer.saturating_sub(1)) / (timed.end - timed.first).as_secs_f64())
}

/// Tokens without meaning, others for each seed.
fn prompt(seed: u32, way: u32, length: usize) -> Vec<u32> {
    (0..length as u32).map(|at| (at * 7_919 + seed * 101 + way * 13) % 256).collect()
}

/// An answer of full length: when it was asked for, how long until its first token came
/// and until it ended.
struct Timed {
    asked: Instant,
    first: Duration,
    end: Duration,
}

/// An order for an answer of so many tokens, no fewer.
fn order(prompt: Vec<u32>, tokens: u32, urgency: Urgency) -> Order {
    let sampling = Sampling { temperature: 1.0, ..Sampling::default() };
    let tenant = "bench".to_owned();
    Order { min_tokens: tokens, sampling, seed: 1, tenant, urgency, ..Order::new(prompt, tokens) }
}

fn answered(model: &Qwen, order: Order) -> Result<Timed, GenerateError> {
    let mut first = None;
    let asked = Instant::now();
    let mut hear = |text: &str| {
        if !text.is_empty() {
            first.get_or_insert(asked.elapsed());
        }
        ControlFlow::Continue(())
    };
    model.engine().answer(order, &mut hear)?;
    let end = asked.elapsed();
    Ok(Timed { asked, first: first.unwrap_or(end), end })
}

/// Tokens per second of several answers, from the first token of any to the end of all.
fn together(model: &Qwen, load: &Load) -> Result<f64, GenerateError> {
    // Short prompts, so that all answer at the same time for long.
    let answer = |number: u32| {
        answered(model, order(prompt(5_000 + number, 3, 16), load.answer, Urgency::Background))
    };
    let timed = std::thread::scope(|scope| {
        let answers: Vec<_> =
            (0..load.parallel as u32).map(|number| scope.spawn(move || answer(number))).collect();
        answers.into_iter().map(|one| joined(one.join())).collect::<Result<Vec<_>, _>>()
    })?;
    let from = timed.iter().map(|one| one.asked + one.first).min();
    let to = timed.iter().map(|one| one.asked + one.end).max();
    let took = from.zip(to).map_or(Duration::ZERO, |(from, to)| to - from);
    let tokens = load.parallel as f64 * f64::from(load.answer.saturating_sub(1));
    Ok(tokens / took.as_secs_f64())
}

fn joined<T>(ended: std::thread::Result<Result<T, GenerateError>>) -> Result<T, GenerateError> {
    ended.unwrap_or_else(|_| Err(GenerateError::Ask("a thread of the bench broke off".to_owned())))
}

/// Until the first token of a conversation's answer, while `parallel` others ask in the
/// background for one answer after the other.
fn loaded(model: &Qwen, load: &Load) -> Result<Duration, GenerateError> {
    let ends = AtomicBool::new(false);
    let begun = Barrier::new(load.parallel + 1);
    let background = &|number: u32| {
        let mut first = true;
        for turn in 0.. {
            let mut hear = |text: &str| {
                if first && !text.is_empty() {
                    first = false;
                    begun.wait();
                }
                if ends.load(Ordering::Relaxed) {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            };
            let prompt = prompt(10_000 + 1_000 * number + turn, 4, load.prompt);
            let made =
                model.engine().answer(order(prompt, load.answer, Urgency::Background), &mut hear);
            if ends.load(Ordering::Relaxed) || made.is_err() {
                if first {
                    begun.wait();
                }
                return made.map(drop);
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..load.parallel as u32)
            .map(|number| scope.spawn(move || background(number)))
            .collect();
        begun.wait();
        let asked = (0..load.runs.max(1) as u32).map(|run| {
            answered(model, order(prompt(7_000 + run, 5, load.prompt), 2, Urgency::Conversation))
        });
        let firsts: Result<Vec<Duration>, _> = asked.map(|one| one.map(|one| one.first)).collect();
        ends.store(true, Ordering::Relaxed);
        all.into_iter().try_for_each(|one| joined(one.join()))?;
        let mut firsts = firsts?;
        firsts.sort_unstable();
        Ok(firsts[firsts.len() / 2])
    })
}
