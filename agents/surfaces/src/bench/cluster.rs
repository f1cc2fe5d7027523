//! Topics over points whose groups are known: how well they agree, and how well
//! other ways to find groups do on the same points.

use super::Progress;
use super::child::BenchError;
use super::measure::{Figures, peak_rss_mb};
use alma::night::others::{self, Way};
use alma::night::{Settings, cluster};
use charter::embed::Embed;
use flate2::read::GzDecoder;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Most sets of a folder.
const SETS_MAX: usize = 1_000;
/// Deepest folder below it.
const DEPTH_MAX: usize = 4;
/// Most labellings of one set.
const LABELS_MAX: usize = 20;
/// Largest file, unpacked.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// Most titles of a file.
const TITLES_MAX: usize = 200_000;

/// What makes vectors of titles.
pub type Embedder<'e> = &'e dyn Fn() -> Result<Arc<dyn Embed>, String>;

/// Where the points come from.
pub(super) enum Source<'s> {
    /// `*.data.gz` of a folder with `*.labels0.gz` and so on, of which the best
    /// counts. A point with the label 0 belongs nowhere and is not compared.
    Points(&'s Path),
    /// Lines of a title, a tab and its label, below a heading.
    Titles(&'s Path, Embedder<'s>),
}

/// Points, and what their groups are.
struct Set {
    points: Vec<Vec<f32>>,
    known: Vec<Vec<i64>>,
    least: usize,
    neighbours: usize,
}

/// What one way came to over all sets.
#[derive(Default)]
struct Sum {
    sets: usize,
    agreement: f64,
    clusters: usize,
    noise: usize,
    points: usize,
    seconds: f64,
}

impl Sum {
    fn add(&mut self, set: &Set, labels: &[i64], seconds: f64) {
        let each = set.known.iter().map(|known| agree(known, labels));
        let best = each.fold(f64::NEG_INFINITY, f64::max);
        self.sets += 1;
        self.agreement += if best.is_finite() { best } else { 0.0 };
        self.clusters += labels.iter().copied().max().unwrap_or(0).max(0) as usize;
        self.noise += labels.iter().filter(|label| **label == 0).count();
        self.points += labels.len();
        self.seconds += seconds;
    }

    fn mean(&self) -> f64 {
        round(self.agreement / self.sets.max(1) as f64)
    }

    fn noise_share(&self) -> f64 {
        round(self.noise as f64 / self.points.max(1) as f64)
    }
}

fn round(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

fn unread(path: &Path, cause: impl std::fmt::Display) -> BenchError {
    BenchError::Usage(format!("the points {} cannot be read: {cause}", path.display()))
}

/// Clusters every set as the night does; with `compare` in the other ways too.
pub(super) fn run(
    source: &Source<'_>,
    compare: bool,
    progress: &mut Progress<'_>,
) -> Result<Figures, BenchError> {
    let (path, files) = match source {
        Source::Points(folder) => {
            let mut files = Vec::new();
            find(folder, 0, &mut files)?;
            files.sort();
            (*folder, files)
        }
        Source::Titles(file, _) => (*file, vec![file.to_path_buf()]),
    };
    if files.is_empty() {
        return Err(unread(path, "there is no *.data.gz in it"));
    }
    let mut own = Sum::default();
    let mut compared: BTreeMap<&str, Sum> = BTreeMap::new();
    for (i, file) in files.iter().enumerate() {
        let set = match source {
            Source::Points(_) => points(file)?,
            Source::Titles(_, embedder) => titles(file, embedder)?,
        };
        let settings = Settings { least: set.least, neighbours: set.neighbours };
        let began = Instant::now();
        let found = cluster(&set.points, settings).map_err(|error| unread(file, error))?;
        let seconds = began.elapsed().as_secs_f64();
        let mut labels = vec![0i64; set.points.len()];
        for (n, topic) in found.topics.iter().enumerate() {
            topic.members.iter().for_each(|member| labels[*member] = n as i64 + 1);
        }
        own.add(&set, &labels, seconds);
        for way in Way::ALL.into_iter().filter(|_| compare) {
            let began = Instant::now();
            let Some(found) = others::grouped(way, &set.points, settings) else { continue };
            let seconds = began.elapsed().as_secs_f64();
            let label = |group: &Option<usize>| group.map_or(0, |group| group as i64 + 1);
            let labels: Vec<i64> = found.iter().map(label).collect();
            compared.entry(way.name()).or_default().add(&set, &labels, seconds);
        }
        progress.tell(|| format!("clustered {} of {} sets", i + 1, files.len()));
    }
    let mut figures = Figures::default();
    figures.set("n", own.points);
    figures.set("sets", own.sets);
    figures.set("mean_ari", own.mean());
    figures.set("clusters", own.clusters);
    figures.set("noise_share", own.noise_share());
    figures.set("seconds", round(own.seconds));
    if compare {
        let each = |(way, sum): (&&str, &Sum)| {
            let figures = json!({
                "mean_ari": sum.mean(), "sets": sum.sets, "clusters": sum.clusters,
                "noise_share": sum.noise_share(), "seconds": round(sum.seconds),
            });
            ((*way).to_owned(), figures)
        };
        figures.set("compared", Value::Object(compared.iter().map(each).collect::<Map<_, _>>()));
    }
    if let Some(peak) = peak_rss_mb() {
        figures.set("peak_rss_mb", round(peak));
    }
    figures.note(match source {
        Source::Points(_) => {
            "topics of at least a fiftieth of the points; noise counts as a group of its own"
        }
        Source::Titles(..) => "as the night does it; noise counts as a group of its own",
    });
    Ok(figures)
}

/// A set of points with its labellings.
fn points(file: &Path) -> Result<Set, BenchError> {
    let points = numbers(file)?;
    let name = file.to_string_lossy().into_owned();
    let mut all = Vec::new();
    for n in 0..LABELS_MAX {
        let file = PathBuf::from(name.replace(".data.gz", &format!(".labels{n}.gz")));
        if !file.is_file() {
            continue;
        }
        let known: Vec<i64> = numbers(&file)?
            .into_iter()
            .filter_map(|row| row.first().map(|label| *label as i64))
            .collect();
        if known.len() != points.len() {
            return Err(unread(&file, "it has another number of lines than its points"));
        }
        all.push(known);
    }
    let least = (points.len() / 50).max(5);
    Ok(Set { points, known: all, least, neighbours: least })
}

/// Titles as points, and their labels by number.
fn titles(file: &Path, embedder: Embedder<'_>) -> Result<Set, BenchError> {
    let embedder = embedder().map_err(|cause| unread(file, cause))?;
    let text = std::fs::read_to_string(file).map_err(|error| unread(file, error))?;
    let mut numbers: BTreeMap<&str, i64> = BTreeMap::new();
    let (mut points, mut known) = (Vec::new(), Vec::new());
    for line in text.lines().skip(1).filter(|line| !line.trim().is_empty()).take(TITLES_MAX) {
        let (title, label) = line
            .rsplit_once('\t')
            .ok_or_else(|| unread(file, "a line has no tab between title and label"))?;
        let next = numbers.len() as i64 + 1;
        known.push(*numbers.entry(label.trim()).or_insert(next));
        points.push(embedder.embed(title));
    }
    let settings = Settings::of(points.len());
    let (least, neighbours) = (settings.least, settings.neighbours);
    Ok(Set { points, known: vec![known], least, neighbours })
}

fn find(folder: &Path, depth: usize, sets: &mut Vec<PathBuf>) -> Result<(), BenchError> {
    for entry in std::fs::read_dir(folder).map_err(|error| unread(folder, error))? {
        let path = entry.map_err(|error| unread(folder, error))?.path();
        if path.is_dir() && depth < DEPTH_MAX {
            find(&path, depth + 1, sets)?;
        } else if path.to_string_lossy().ends_with(".data.gz") && sets.len() < SETS_MAX {
            sets.push(path);
        }
    }
    Ok(())
}

/// Rows of numbers, separated by blanks.
fn numbers(path: &Path) -> Result<Vec<Vec<f32>>, BenchError> {
    let file = std::fs::File::open(path).map_err(|error| unread(path, error))?;
    let mut text = String::new();
    GzDecoder::new(file)
        .take(FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|error| unread(path, error))?;
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| line.split_whitespace().map(str::parse).collect())
        .collect::<Result<_, _>>()
        .map_err(|error| unread(path, error))
}

/// The adjusted Rand index of two labellings, without points that the first leaves
/// out with 0.
fn agree(known: &[i64], found: &[i64]) -> f64 {
    let (mut cells, mut rows, mut columns) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let mut n = 0u64;
    for (a, b) in known.iter().zip(found).filter(|(known, _)| **known != 0) {
        *cells.entry((*a, *b)).or_insert(0u64) += 1;
        *rows.entry(*a).or_insert(0u64) += 1;
        *columns.entry(*b).or_insert(0u64) += 1;
        n += 1;
    }
    let pairs = |n: u64| n as f64 * (n as f64 - 1.0) / 2.0;
    let both: f64 = cells.values().map(|n| pairs(*n)).sum();
    let (one, other): (f64, f64) =
        (rows.values().map(|n| pairs(*n)).sum(), columns.values().map(|n| pairs(*n)).sum());
    let expected = if n > 1 { one * other / pairs(n) } else { 0.0 };
    let most = (one + other) / 2.0;
    if (most - expected).abs() < f64::EPSILON { 1.0 } else { (both - expected) / (most - expected) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(known: &[i64], found: &[i64], expect: f64) {
        let is = agree(known, found);
        assert!((is - expect).abs() < 1e-9, "{is}, not {expect}");
    }

    #[test]
    fn agreement_is_of_groups_and_not_of_their_names() {
        check(&[1, 1, 2, 2], &[7, 7, 3, 3], 1.0);
        check(&[1, 1, 2, 2], &[1, 2, 1, 2], -0.5);
        check(&[1, 1, 2, 2], &[1, 1, 1, 1], 0.0);
        // What belongs nowhere is not compared.
        check(&[1, 1, 2, 2, 0], &[7, 7, 3, 3, 7], 1.0);
    }
}
