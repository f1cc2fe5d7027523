//! What is made of messages: routes of phrases that the user names, with the small
//! model and without.

use super::Progress;
use super::cases::{read, share, unread};
use super::child::BenchError;
use super::measure::{Figures, Samples};
use alma::talk::route::Trial;
use charter::conversation::Route;
use charter::reflex::Reflex;
use serde_json::{Map, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Figures of one route.
#[derive(Default)]
struct Class {
    n: usize,
    right: usize,
    taken: usize,
}

/// Routes every message of a file of JSON Lines.
pub(super) fn run(
    data: &Path,
    reflex: Option<&dyn Fn() -> Result<Arc<dyn Reflex>, String>>,
    progress: &mut Progress<'_>,
) -> Result<Figures, BenchError> {
    let reflex = reflex.map(|reflex| reflex()).transpose();
    let reflex = reflex.map_err(|error| unread(data, error))?;
    let trial = Trial::shipped(reflex).map_err(|error| unread(data, error))?;
    let mut took = Samples::default();
    let mut classes: BTreeMap<Route, Class> = BTreeMap::new();
    let (mut right, mut asked) = (0, 0);
    for (i, case) in read(data)?.iter().enumerate() {
        let Some(expected) = case.expect.route else { continue };
        if took.is_empty() {
            // The tables are read once per process; that is startup, not routing.
            trial.route(&case.say);
        }
        let began = Instant::now();
        let routed = trial.route(&case.say);
        took.push_ms(began.elapsed());
        classes.entry(routed.route).or_default().taken += 1;
        let class = classes.entry(expected).or_default();
        class.n += 1;
        if routed.route == expected {
            class.right += 1;
            right += 1;
        }
        asked += usize::from(routed.question.is_some());
        progress.tell(|| format!("routed {} messages", i + 1));
    }
    if took.is_empty() {
        return Err(unread(data, "no line has an expected route"));
    }
    let mut figures = Figures::default();
    figures.set("n", took.len());
    figures.number("p50_ms", took.percentile(50));
    figures.number("p99_ms", took.percentile(99));
    figures.set("accuracy", share(right, took.len()));
    figures.set("asked", share(asked, took.len()));
    let by_class: Map<_, _> = classes
        .iter()
        .map(|(route, class)| {
            let figures = json!({
                "n": class.n,
                "recall": share(class.right, class.n),
                "precision": share(class.right, class.taken),
            });
            (route.as_str().to_owned(), figures)
        })
        .collect();
    figures.set("by_class", by_class);
    figures.note("a message that is asked about counts by its likeliest route");
    Ok(figures)
}
