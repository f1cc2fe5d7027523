//! What is made of messages: routes without a model, over phrases that the user
//! names.

use super::Progress;
use super::child::BenchError;
use super::measure::{Figures, Samples};
use alma::talk::route::Trial;
use charter::conversation::Route;
use serde::Deserialize;
use serde_json::{Map, json};
use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::Path;
use std::time::Instant;

/// Most lines of a file.
const LINES_MAX: usize = 1_000_000;

#[derive(Deserialize)]
struct Case {
    say: String,
    expect: Expect,
}

#[derive(Deserialize)]
struct Expect {
    route: Option<Route>,
}

/// Figures of one route.
#[derive(Default)]
struct Class {
    n: u32,
    right: u32,
    taken: u32,
}

/// Routes every message of a file of JSON Lines.
pub(super) fn run(data: &Path, progress: &mut Progress<'_>) -> Result<Figures, BenchError> {
    let unread = |cause: String| {
        BenchError::Usage(format!("the phrases {} cannot be read: {cause}", data.display()))
    };
    let file = std::fs::File::open(data).map_err(|error| unread(error.to_string()))?;
    let trial = Trial::shipped().map_err(|error| unread(error.to_string()))?;
    let mut took = Samples::default();
    let mut classes: BTreeMap<Route, Class> = BTreeMap::new();
    let (mut right, mut asked) = (0u32, 0u32);
    for (i, line) in std::io::BufReader::new(file).lines().take(LINES_MAX).enumerate() {
        let line = line.map_err(|error| unread(error.to_string()))?;
        if line.trim().is_empty() {
            continue;
        }
        let case: Case = serde_json::from_str(&line)
            .map_err(|error| unread(format!("line {}: {error}", i + 1)))?;
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
        asked += u32::from(routed.question.is_some());
        progress.tell(|| format!("routed {} messages", i + 1));
    }
    if took.is_empty() {
        return Err(unread("no line has an expected route".to_owned()));
    }
    let n = took.len() as f64;
    let share = |part: u32, all: u32| {
        (all > 0).then(|| (f64::from(part) / f64::from(all) * 10_000.0).round() / 10_000.0)
    };
    let mut figures = Figures::default();
    figures.set("n", took.len());
    figures.number("p50_ms", took.percentile(50));
    figures.number("p99_ms", took.percentile(99));
    figures.set("accuracy", (f64::from(right) / n * 10_000.0).round() / 10_000.0);
    figures.set("asked", (f64::from(asked) / n * 10_000.0).round() / 10_000.0);
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
    figures.note("without a model; a message that is asked about counts by its likeliest route");
    Ok(figures)
}
