//! Topics over points whose groups are known: how well they agree.

use super::Progress;
use super::child::BenchError;
use super::measure::Figures;
use alma::night::{Settings, cluster};
use flate2::read::GzDecoder;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Most sets of a folder.
const SETS_MAX: usize = 1_000;
/// Deepest folder below it.
const DEPTH_MAX: usize = 4;
/// Most labellings of one set.
const LABELS_MAX: usize = 20;
/// Largest file, unpacked.
const FILE_BYTES_MAX: u64 = 256 << 20;

fn unread(path: &Path, cause: impl std::fmt::Display) -> BenchError {
    BenchError::Usage(format!("the points {} cannot be read: {cause}", path.display()))
}

/// Clusters every `*.data.gz` of a folder and compares with `*.labels0.gz` and so
/// on, of which the best counts. A point with the label 0 belongs nowhere and is not
/// compared.
pub(super) fn run(folder: &Path, progress: &mut Progress<'_>) -> Result<Figures, BenchError> {
    let mut sets = Vec::new();
    find(folder, 0, &mut sets)?;
    sets.sort();
    if sets.is_empty() {
        return Err(unread(folder, "there is no *.data.gz in it"));
    }
    let (mut agreement, mut clusters, mut noise, mut points, mut seconds) = (0.0, 0, 0, 0, 0.0);
    for (i, set) in sets.iter().enumerate() {
        let matrix = numbers(set)?;
        let least = (matrix.len() / 50).max(5);
        let began = Instant::now();
        let found = cluster(&matrix, Settings { least, neighbours: least })
            .map_err(|error| unread(set, error))?;
        seconds += began.elapsed().as_secs_f64();
        let mut labels = vec![0i64; matrix.len()];
        for (n, topic) in found.topics.iter().enumerate() {
            topic.members.iter().for_each(|member| labels[*member] = n as i64 + 1);
        }
        let name = set.to_string_lossy().into_owned();
        let known = (0..LABELS_MAX)
            .map(|n| PathBuf::from(name.replace(".data.gz", &format!(".labels{n}.gz"))));
        let mut best = f64::NEG_INFINITY;
        for file in known.filter(|file| file.is_file()) {
            let known: Vec<i64> = numbers(&file)?
                .into_iter()
                .filter_map(|row| row.first().map(|label| *label as i64))
                .collect();
            if known.len() != labels.len() {
                return Err(unread(&file, "it has another number of lines than its points"));
            }
            best = best.max(agree(&known, &labels));
        }
        if best.is_finite() {
            agreement += best;
        }
        clusters += found.topics.len();
        noise += found.noise.len();
        points += matrix.len();
        progress.tell(|| format!("clustered {} of {} sets", i + 1, sets.len()));
    }
    let round = |value: f64| (value * 10_000.0).round() / 10_000.0;
    let mut figures = Figures::default();
    figures.set("n", points);
    figures.set("sets", sets.len());
    figures.set("mean_ari", round(agreement / sets.len() as f64));
    figures.set("clusters", clusters);
    figures.set("noise_share", round(noise as f64 / points.max(1) as f64));
    figures.set("seconds", round(seconds));
    if let Some(peak) = peak_rss_mb() {
        figures.set("peak_rss_mb", round(peak));
    }
    figures.note("topics of at least a fiftieth of the points; noise counts as a group of its own");
    Ok(figures)
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

fn peak_rss_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<f64>().ok().map(|kb| kb / 1_024.0)
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
