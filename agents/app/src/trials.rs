//! Language models on trial: what `alma bench generate` and `alma bench grammar` measure.

use charter::generate::Shape;
use charter::ports::Tools;
use hephaestus::Hephaestus;
use models::grammar::maskbench;
use models::measure;
use std::path::Path;
use std::time::Duration;
use surfaces::bench::{Figures, Load, Models};
use surfaces::cli::exit::chain;

/// Rows of the vocabulary that masks are measured for: the Qwen models'.
const VOCABULARY: usize = 151_936;

/// The models of this program.
pub(crate) struct Trials;

impl Models for Trials {
    fn speeds(&self, model: &Path, load: &Load) -> Result<Figures, String> {
        let specs = Hephaestus::new().specs().into_iter().cloned().collect();
        let asked = measure::Load {
            draft: load.draft.clone(),
            prompt: load.prompt as usize,
            answer: load.answer,
            threads: load.threads.map(|threads| threads as usize),
            parallel: load.parallel as usize,
            prefix: load.prefix.map(|prefix| prefix as usize),
            shape: load.plan.then(|| Shape::Plan(specs)),
            repeat: load.repeat,
            runs: load.runs as usize,
        };
        let found = measure::measure(model, &asked).map_err(|error| chain(&error))?;
        let ms = |took: Duration| Some(took.as_secs_f64() * 1_000.0);
        let mut figures = Figures::default();
        figures.set("model", model.display().to_string());
        figures.set("runs", load.runs);
        figures.set("n", load.prompt);
        figures.set("instructions", found.instructions);
        if let Some(threads) = load.threads {
            figures.set("model_threads", threads);
        }
        figures.number("prefill_tokens_per_second", Some(found.prefill));
        // That of all answers together, where there are several.
        let together = found.decode_together.unwrap_or(found.decode);
        figures.number("decode_tokens_per_second", Some(together));
        if found.decode_together.is_some() {
            figures.set("parallel", load.parallel);
            figures.number("decode_alone_tokens_per_second", Some(found.decode));
        }
        figures.number("load_ms", ms(found.load));
        figures.number("first_answer_ms", ms(found.first));
        figures.number("ttft_ms", ms(found.first_token));
        figures.number("ttft_loaded_ms", found.first_token_loaded.and_then(ms));
        if let Some((cold, warm)) = found.prefix {
            figures.number("prefix_cold_ms", ms(cold));
            figures.number("prefix_warm_ms", ms(warm));
        }
        if let Some((tokens, took, free)) = found.shaped {
            figures.set("plan_tokens", tokens);
            figures.number("plan_ms", ms(took));
            figures.number("plan_unconstrained_ms", ms(free));
        }
        if let Some((guessed, unguessed)) = found.repeating {
            figures.number("repeat_tokens_per_second", Some(guessed));
            figures.number("repeat_unguessed_tokens_per_second", Some(unguessed));
        }
        figures.note("answers are drawn by chance, so guesses at what comes next do not help");
        Ok(figures)
    }

    fn grammars(
        &self,
        schemas: &Path,
        tokenizer: &Path,
        tell: &mut dyn FnMut(u32),
    ) -> Result<Figures, String> {
        let found =
            maskbench::run(schemas, tokenizer, VOCABULARY, tell).map_err(|error| chain(&error))?;
        let micros = |times: &[Duration], percent: usize| {
            let at = (times.len() * percent).div_ceil(100).saturating_sub(1);
            times.get(at).map(|took| took.as_secs_f64() * 1e6)
        };
        let wrong = found.wrong_accepts.len() + found.wrong_rejects.len();
        let mut figures = Figures::default();
        figures.set("schemas", found.schemas);
        figures.set("compiled", found.compiled);
        figures.set("compiled_llguidance", found.compiled_alone);
        figures.set("refused", found.schemas - found.compiled);
        figures.set("refused_by_keyword", serde_json::json!(found.refused));
        figures.set("instances", found.instances);
        figures.set("wrong_accepts", found.wrong_accepts.len());
        figures.set("wrong_rejects", found.wrong_rejects.len());
        figures.number(
            "wrong_percent",
            Some(100.0 * wrong as f64 / f64::from(found.instances.max(1))),
        );
        figures
            .set("wrong", serde_json::json!([found.wrong_accepts, found.wrong_rejects].concat()));
        figures.set("vocabulary", VOCABULARY);
        figures.set("masks", found.masks.len());
        figures.number("mask_p50_us", micros(&found.masks, 50));
        figures.number("mask_p99_us", micros(&found.masks, 99));
        figures.number("compile_p50_us", micros(&found.compiles, 50));
        figures.number("compile_p99_us", micros(&found.compiles, 99));
        figures.set("reordered", found.reordered);
        figures.note(
            "an instance counts as accepted also where only the same value with its properties \
             in the schema's order is (`reordered`): answers are written in that order",
        );
        Ok(figures)
    }
}
