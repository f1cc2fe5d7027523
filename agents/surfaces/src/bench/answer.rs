//! What is answered from memory: notes are taken in with `alma memory import`, and
//! asked about with `alma recall`, each case in a data folder of its own.

use super::Progress;
use super::cases::{Case, read, share, unread};
use super::child::{BenchError, Durability, Stage};
use super::measure::{Figures, Samples};
use super::recall::import;
use regex::Regex;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// Time between two notes, in milliseconds: a day.
const DAY_MS: u64 = 86_400_000;
/// When the first note was told.
const FIRST_MS: u64 = 1_700_000_000_000;

/// Asks about the notes of every case of a file.
pub(super) fn run(
    stage: &Stage,
    data: &Path,
    progress: &mut Progress<'_>,
) -> Result<(Figures, Durability), BenchError> {
    let cases = read(data)?;
    let durability = stage.worker(None)?.durability()?;
    let mut took = Samples::default();
    let (mut answerable, mut right, mut unanswerable, mut abstained, mut invented) =
        (0, 0, 0, 0, 0);
    for (n, case) in cases.iter().enumerate() {
        let known = match &case.expect.answer {
            None if !case.expect.abstain => continue,
            None => None,
            Some(pattern) => Some(
                Regex::new(pattern)
                    .map_err(|error| unread(data, format!("{}: {pattern}: {error}", case.id)))?,
            ),
        };
        let place = stage.another()?;
        import(&place, &notes(case))?;
        let mut owner = place.worker(None)?;
        owner.begun()?;
        // The first question opens the index.
        ask(&place, &case.say)?;
        let (found, time) = ask(&place, &case.say)?;
        took.push_ms(time);
        owner.kill()?;
        let said = said(&found);
        match known {
            None => {
                unanswerable += 1;
                abstained += usize::from(said.is_empty());
                invented += usize::from(!said.is_empty());
            }
            Some(known) => {
                answerable += 1;
                right += usize::from(said.iter().any(|text| known.is_match(text)));
                invented += usize::from(said.iter().any(|text| !stands(text, &case.notes)));
            }
        }
        place.close()?;
        progress.tell(|| format!("asked {} of {}", n + 1, cases.len()));
    }
    let asked = answerable + unanswerable;
    if asked == 0 {
        return Err(unread(data, "no line expects an answer, or that there is none"));
    }
    let mut figures = Figures::default();
    figures.set("n", asked);
    figures.number("p50_ms", took.percentile(50));
    figures.number("p99_ms", took.percentile(99));
    figures.set("right", share(right, answerable));
    figures.set("abstained_right", share(abstained, unanswerable));
    figures.set("invented", share(invented, asked));
    figures.note("invented: answered though no note answers, or with words that stand in none");
    figures.note("p50_ms: one `alma recall`, its start and its end included");
    Ok((figures, durability))
}

/// Asks; that nothing was found is an answer too.
fn ask(place: &Stage, words: &str) -> Result<(Value, Duration), BenchError> {
    let ran = place.run(&["recall", "--json", "--", words])?;
    if !matches!(ran.status.code(), Some(0 | 1)) {
        let command = format!("recall {words:?}");
        return Err(BenchError::Child { command, status: ran.status, said: ran.stderr });
    }
    let found = serde_json::from_slice(&ran.stdout)
        .map_err(|source| BenchError::Document { command: "recall --json".to_owned(), source })?;
    Ok((found, ran.took))
}

fn notes(case: &Case) -> Vec<String> {
    let line = |(n, text): (u64, &String)| {
        json!({ "name": format!("note-{n}"), "text": text, "at": FIRST_MS + n * DAY_MS })
            .to_string()
    };
    (0..).zip(&case.notes).map(line).collect()
}

/// The texts of an answer; none: it is not known.
fn said(found: &Value) -> Vec<String> {
    let quotes = found["answer"].as_array().into_iter().flatten();
    quotes.filter_map(|quote| quote["text"].as_str().map(str::to_owned)).collect()
}

/// Whether a text stands word for word in one of the notes.
fn stands(text: &str, notes: &[String]) -> bool {
    let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = flat(text);
    notes.iter().any(|note| flat(note).contains(&text))
}
