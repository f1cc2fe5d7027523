//! What vectors of texts hold: likeness as people see it, intents that a straight
//! cut tells apart, and how many texts a thread embeds in a second.

use super::Progress;
use super::cases::{share, unread};
use super::child::BenchError;
use super::cluster::Embedder;
use super::measure::Figures;
use alma::night::probe::Probe;
use charter::embed::Embed;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Most lines of a file.
const LINES_MAX: usize = 1_000_000;
/// How long the speed is measured.
const SPEED: Duration = Duration::from_secs(3);
/// Texts beyond which no more are taken for the speed.
const SPEED_TEXTS: usize = 20_000;
/// Files of a folder of CLINC150 that are scored, the first that is there.
const SCORED: [(&str, &str); 2] = [("test.tsv", "oos_test.tsv"), ("val.tsv", "oos_val.tsv")];

/// Pairs with how alike people found them.
struct Pairs {
    name: String,
    pairs: Vec<(String, String)>,
    scores: Vec<f64>,
}

/// Measures over pairs in `sts` and requests in `clinc`.
pub(super) fn run(
    embedder: Embedder<'_>,
    sts: Option<&Path>,
    clinc: Option<(&Path, Option<&Path>)>,
    progress: &mut Progress<'_>,
) -> Result<Figures, BenchError> {
    let embedder = embedder().map_err(BenchError::Wrong)?;
    let embedder = embedder.as_ref();
    let mut figures = Figures::default();
    let mut texts = Vec::new();
    figures.set("embedder", embedder.version());
    figures.set("dimensions", embedder.dimensions());
    if let Some(folder) = sts {
        let mut by_file = Map::new();
        for set in pairs(folder)? {
            progress.say(&format!("comparing the pairs of {}", set.name));
            let cosines = set.pairs.iter().map(|(a, b)| {
                let (a, b) = (embedder.embed(a), embedder.embed(b));
                f64::from(a.iter().zip(&b).map(|(a, b)| a * b).sum::<f32>())
            });
            let value = spearman(&cosines.collect::<Vec<_>>(), &set.scores);
            by_file.insert(set.name, json!((value * 10_000.0).round() / 10_000.0));
            texts.extend(set.pairs.into_iter().map(|(a, _)| a));
        }
        figures.set("spearman", Value::Object(by_file));
    }
    if let Some((train, test)) = clinc {
        progress.say("fitting the probe; this takes a minute or two");
        let known = labelled(&train.join("train.tsv"))?;
        let scored = test.unwrap_or(train);
        let (within, beyond) = SCORED
            .into_iter()
            .find(|(within, _)| scored.join(within).is_file())
            .ok_or_else(|| unread(scored, "it holds neither test.tsv nor val.tsv"))?;
        let (within, beyond) = (labelled(&scored.join(within))?, scored.join(beyond));
        let beyond = if beyond.is_file() { labelled(&beyond)? } else { Vec::new() };
        texts.extend(known.iter().map(|(text, _)| text.clone()));
        let probed = probe(embedder, &known, &within, &beyond)?;
        figures.set("n", within.len());
        figures.set("accuracy", share(probed.right, within.len()));
        figures.set("oos_auroc", probed.auroc.map(|value| (value * 10_000.0).round() / 10_000.0));
    }
    if texts.is_empty() {
        return Err(BenchError::Usage("name --sts DIR or --clinc DIR".to_owned()));
    }
    texts.truncate(SPEED_TEXTS);
    progress.say("measuring the speed of one thread");
    figures.number("texts_per_second", Some(speed(embedder, &texts)));
    figures.number("table_mb", Some(embedder.bytes() as f64 / 1e6));
    figures.note("logistic regression, C = 10; beyond its intents: by the likeliest's probability");
    Ok(figures)
}

fn speed(embedder: &dyn Embed, texts: &[String]) -> f64 {
    for text in texts.iter().take(1_000) {
        std::hint::black_box(embedder.embed(text));
    }
    let (began, mut n) = (Instant::now(), 0usize);
    while began.elapsed() < SPEED {
        for text in texts {
            std::hint::black_box(embedder.embed(text));
        }
        n += texts.len();
    }
    n as f64 / began.elapsed().as_secs_f64()
}

/// Lines of a file without its heading.
fn lines(path: &Path) -> Result<Vec<String>, BenchError> {
    let text = std::fs::read_to_string(path).map_err(|error| unread(path, error))?;
    Ok(text.lines().skip(1).take(LINES_MAX).map(str::to_owned).collect())
}

/// Pairs of every file of a folder: `sts*.tsv` with score and two sentences, `SICK*.txt`
/// with a number, two sentences and a score.
fn pairs(folder: &Path) -> Result<Vec<Pairs>, BenchError> {
    let entries = std::fs::read_dir(folder).map_err(|error| unread(folder, error))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let mut sets = Vec::new();
    for path in files {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let places = match name.as_str() {
            name if name.starts_with("SICK") => (3, 1, 2),
            name if name.ends_with(".tsv") => (0, 1, 2),
            _ => continue,
        };
        let mut set = Pairs { name, pairs: Vec::new(), scores: Vec::new() };
        for line in lines(&path)? {
            let fields: Vec<&str> = line.split('\t').collect();
            let field = |at: usize| fields.get(at).copied();
            let score = field(places.0).and_then(|score| score.trim().parse::<f64>().ok());
            if let (Some(score), Some(a), Some(b)) = (score, field(places.1), field(places.2)) {
                set.pairs.push((a.to_owned(), b.to_owned()));
                set.scores.push(score);
            }
        }
        if !set.pairs.is_empty() {
            sets.push(set);
        }
    }
    if sets.is_empty() {
        return Err(unread(folder, "it holds no pairs: SICK*.txt or *.tsv"));
    }
    Ok(sets)
}

/// Texts with their labels.
fn labelled(path: &Path) -> Result<Vec<(String, String)>, BenchError> {
    let pair = |line: String| {
        let (text, label) = line.split_once('\t')?;
        Some((text.to_owned(), label.to_owned()))
    };
    Ok(lines(path)?.into_iter().filter_map(pair).collect())
}

struct Probed {
    right: usize,
    auroc: Option<f64>,
}

fn probe(
    embedder: &dyn Embed,
    known: &[(String, String)],
    within: &[(String, String)],
    beyond: &[(String, String)],
) -> Result<Probed, BenchError> {
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, label) in known {
        let next = names.len();
        names.entry(label).or_insert(next);
    }
    let vectors = |set: &[(String, String)]| -> Vec<Vec<f32>> {
        set.iter().map(|(text, _)| embedder.embed(text)).collect()
    };
    let labels: Vec<usize> =
        known.iter().filter_map(|(_, label)| names.get(label.as_str()).copied()).collect();
    let failed = |error: alma::night::probe::ProbeError| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        BenchError::Wrong(format!("{error}{}", cause.unwrap_or_default()))
    };
    let probe = Probe::fit(&vectors(known), &labels).map_err(failed)?;
    let named = probe.name(&vectors(within)).map_err(failed)?;
    let right = named
        .iter()
        .zip(within)
        .filter(|((named, _), (_, label))| names.get(label.as_str()) == Some(named))
        .count();
    let sure: Vec<f32> = named.iter().map(|(_, sure)| *sure).collect();
    let auroc = match beyond.is_empty() {
        true => None,
        false => {
            let unsure = probe.name(&vectors(beyond)).map_err(failed)?;
            Some(auroc(&sure, &unsure.iter().map(|(_, sure)| *sure).collect::<Vec<_>>()))
        }
    };
    Ok(Probed { right, auroc })
}

/// How likely one of the first is larger than one of the second; equal ones count half.
fn auroc(first: &[f32], second: &[f32]) -> f64 {
    let wins = first.iter().flat_map(|a| second.iter().map(move |b| (a, b)));
    let sum: f64 = wins
        .map(|(a, b)| match a.total_cmp(b) {
            std::cmp::Ordering::Greater => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Less => 0.0,
        })
        .sum();
    sum / (first.len() * second.len()).max(1) as f64
}

/// Ranks from 1; equal values share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for equal in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let mean = before as f64 + (equal.len() + 1) as f64 / 2.0;
        for i in equal {
            ranks[*i] = mean;
        }
        before += equal.len();
    }
    ranks
}

/// Spearman's correlation: Pearson's of the ranks.
fn spearman(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (ranks(a), ranks(b));
    let mean = (a.len() as f64 + 1.0) / 2.0;
    let sum = |f: &dyn Fn(f64, f64) -> f64| {
        a.iter().zip(&b).map(|(a, b)| f(a - mean, b - mean)).sum::<f64>()
    };
    sum(&|a, b| a * b) / (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_share_their_ranks() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [3.5, 1.0, 3.5, 2.0]);
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &[10.0, 20.0, 90.0]), 1.0);
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]), -1.0);
        // scipy 1.17.1, spearmanr([1, 2, 2, 4, 5], [2, 1, 4, 4, 3]).
        assert!(
            (spearman(&[1.0, 2.0, 2.0, 4.0, 5.0], &[2.0, 1.0, 4.0, 4.0, 3.0]) - 0.394_737).abs()
                < 1e-5
        );
    }

    #[test]
    fn a_larger_first_wins() {
        assert_eq!(auroc(&[0.9, 0.8], &[0.1, 0.2]), 1.0);
        assert_eq!(auroc(&[0.5, 0.1], &[0.5, 0.3]), 0.375);
    }
}
