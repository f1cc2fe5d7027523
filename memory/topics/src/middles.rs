//! Topics as the nearest of so many middles (k-means of linfa), for points that come
//! in no clumps: short texts about many things lie evenly thin, and HDBSCAN calls
//! most of them noise. How many middles there are is decided without labels, by the
//! Bayesian information criterion of equal round clouds (Pelleg and Moore, X-means).
//!
//! Adjusted Rand index over short texts in the vectors of the shipped embedder, two
//! cores (`alma bench cluster --titles FILE`, the first with `--compare`):
//!
//! | texts | HDBSCAN | DBSCAN | k-means |
//! |---|---|---|---|
//! | 10,000 question titles of 10 tags | 0.013, 23 s | 0.000, 71 s | 0.547, 3 s |
//! | 10,003 bank messages of 77 kinds | | | 0.276, 19 s |
//! | 15,000 messages of 150 intents | | | 0.202, 18 s |

use linfa::DatasetBase;
use linfa::traits::{Fit, Predict};
use linfa_clustering::{KMeans, KMeansInit};
use ndarray::{Array1, Array2};
use std::collections::BTreeSet;

/// Numbers of middles that are tried.
const COUNTS: [usize; 22] =
    [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 65, 80, 100, 130, 160, 200, 250];
/// Points by which the number is chosen.
const CHOSEN_BY: usize = 2_000;
/// Numbers in a row that are worse than the best before no larger one is tried.
const WORSE_MAX: usize = 3;
/// Rounds of a fit.
const ROUNDS: u64 = 30;
/// Movement of the middles that ends a fit.
const STILL: f32 = 1e-3;

/// Groups of these positions, each of at least so many; what is in none is noise.
/// Nothing if the points are best told as one.
pub(crate) fn groups(points: &[Vec<f32>], good: &[usize], least: usize) -> Vec<Vec<usize>> {
    let found = labels(points, good, least).unwrap_or_default();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (label, point) in found.into_iter().zip(good) {
        if groups.len() <= label {
            groups.resize(label + 1, Vec::new());
        }
        groups[label].push(*point);
    }
    groups.retain(|group| group.len() >= least);
    groups
}

/// The middle that each position is nearest to.
fn labels(points: &[Vec<f32>], good: &[usize], least: usize) -> Option<Vec<usize>> {
    let step = good.len().div_ceil(CHOSEN_BY).max(1);
    let sample: Vec<usize> = good.iter().step_by(step).copied().collect();
    let k = count(&matrix(points, &sample)?, (least / step).max(2))?;
    let all = matrix(points, good)?;
    (k > 1).then(|| fit(&all, k))?.map(|fitted| fitted.labels.to_vec())
}

fn matrix(points: &[Vec<f32>], chosen: &[usize]) -> Option<Array2<f32>> {
    let width = points.get(*chosen.first()?)?.len();
    let flat = chosen.iter().filter_map(|i| points.get(*i)).flatten().copied().collect();
    Array2::from_shape_vec((chosen.len(), width), flat).ok()
}

/// The number of middles that tells the points best.
fn count(points: &Array2<f32>, least: usize) -> Option<usize> {
    let bits = points.rows().into_iter().map(|row| row.iter().map(|x| x.to_bits()).collect());
    // A middle needs a place of its own.
    let places = bits.collect::<BTreeSet<Vec<u32>>>().len();
    let most = (points.nrows() / least).min(places.saturating_sub(1));
    let (mut best, mut worse): (Option<(f64, usize)>, usize) = (None, 0);
    for k in COUNTS.into_iter().take_while(|k| *k <= most) {
        let Some(fitted) = fit(points, k) else { continue };
        let told = criterion(points, &fitted);
        if best.is_none_or(|(most, _)| told > most) {
            (best, worse) = (Some((told, k)), 0);
        } else {
            worse += 1;
            if worse >= WORSE_MAX {
                break;
            }
        }
    }
    best.map(|(_, k)| k)
}

/// Middles, by what they make of the points.
struct Fitted {
    labels: Array1<usize>,
    /// Points of each middle.
    members: Vec<f64>,
    /// Sum of the squares of the distances.
    spread: f64,
}

fn fit(points: &Array2<f32>, k: usize) -> Option<Fitted> {
    let model = KMeans::params(k)
        .init_method(KMeansInit::KMeansPlusPlus)
        .n_runs(1)
        .max_n_iterations(ROUNDS)
        .tolerance(STILL)
        .fit(&DatasetBase::from(points.view()))
        .ok()?;
    Some(Fitted {
        labels: model.predict(points),
        members: model.cluster_count().iter().map(|members| f64::from(*members)).collect(),
        spread: f64::from(model.inertia()) * points.nrows() as f64,
    })
}

/// How well so many equal round clouds tell the points, less what they cost to tell.
fn criterion(points: &Array2<f32>, fitted: &Fitted) -> f64 {
    let (n, width) = (points.nrows() as f64, points.ncols() as f64);
    let k = fitted.members.len() as f64;
    let variance = (fitted.spread / (width * (n - k))).max(f64::MIN_POSITIVE);
    let told = fitted.members.iter().filter(|members| **members > 0.0);
    let shares: f64 = told.map(|members| members * (members / n).ln()).sum();
    let likely = shares
        - n * width / 2.0 * (2.0 * std::f64::consts::PI * variance).ln()
        - width * (n - k) / 2.0;
    likely - 0.5 * n.ln() * (k * (width + 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many points in a round cloud around each of some corners.
    fn clouds(corners: usize, each: usize, apart: f32) -> Vec<Vec<f32>> {
        let mut state = 1u64;
        let mut even = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        };
        // The sum of several even numbers is nearly normal.
        let mut place = |i: usize, d: usize| {
            let around: f32 = (0..6).map(|_| even()).sum();
            around + if d == i % corners { apart } else { 0.0 }
        };
        (0..corners * each).map(|i| (0..8).map(|d| place(i, d)).collect()).collect()
    }

    fn check(corners: usize, apart: f32, expect: usize) {
        let points = clouds(corners, 60, apart);
        let good: Vec<usize> = (0..points.len()).collect();
        let found = groups(&points, &good, 5);
        assert_eq!(found.len(), expect, "{corners} corners {apart} apart");
        let mixed =
            found.iter().any(|group| group.iter().any(|i| i % corners != group[0] % corners));
        assert!(!mixed, "a group holds points of two corners");
    }

    #[test]
    fn the_number_of_groups_is_found() {
        check(3, 9.0, 3);
        check(6, 9.0, 6);
    }

    #[test]
    fn one_heap_and_points_on_one_place_are_no_groups() {
        let heap = clouds(1, 200, 0.0);
        let good: Vec<usize> = (0..heap.len()).collect();
        assert!(groups(&heap, &good, 5).len() < 2);
        let same = vec![vec![1.0, 2.0]; 50];
        assert!(groups(&same, &(0..50).collect::<Vec<_>>(), 5).is_empty());
        assert!(groups(&[], &[], 5).is_empty());
    }
}
