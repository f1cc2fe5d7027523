//! The clusterings of linfa on the same points, to be compared with HDBSCAN. What
//! each must be told is found without labels: the number of groups by silhouette
//! or by the Bayesian information criterion, a radius by the knee of the distances
//! to the neighbours.

use crate::Settings;
use linfa::DatasetBase;
use linfa::traits::{Fit, Predict, Transformer};
use linfa_clustering::{Dbscan, GaussianMixtureModel, KMeans, KMeansInit, Optics};
use ndarray::{Array1, Array2, ArrayView1};
use std::collections::BTreeSet;

/// Numbers of groups that are tried.
const COUNTS: [usize; 20] =
    [2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 65, 80, 100, 130, 160, 200];
/// Points by which the number of groups is chosen.
const CHOSEN_BY: usize = 2_000;
/// Rounds of a fit.
const ROUNDS: u64 = 60;
/// Fits from other beginnings.
const RUNS: usize = 3;
/// Movement of the middles that ends a fit.
const STILL: f64 = 1e-4;
/// Widest points of which a mixture is made: its matrices grow with the square.
const MIXTURE_WIDTH: usize = 16;
/// Points that OPTICS orders; the time grows with their square, and more.
const OPTICS_MAX: usize = 3_000;

/// A clustering of linfa.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Nearest of so many middles.
    KMeans,
    /// A mixture of so many Gaussians.
    Mixture,
    /// What is dense at one radius.
    Dbscan,
    /// What is dense up to a radius, in the order of reach.
    Optics,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::KMeans, Self::Mixture, Self::Dbscan, Self::Optics];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::KMeans => "k_means",
            Self::Mixture => "mixture",
            Self::Dbscan => "dbscan",
            Self::Optics => "optics",
        }
    }
}

/// The group of each point; `None` for the whole if the points are too many or too
/// wide for this way, or if it finds no end.
pub fn grouped(way: Way, points: &[Vec<f32>], settings: Settings) -> Option<Vec<Option<usize>>> {
    let (all, least) = (matrix(points)?, settings.least.max(2));
    match way {
        Way::KMeans => {
            let sample = matrix(&even(points, CHOSEN_BY))?;
            let counts = counts(&sample, least * sample.nrows() / points.len().max(1));
            let best = counts.into_iter().filter_map(|k| {
                let model = middles(&sample, k)?;
                Some((silhouette(&sample, &model), k))
            });
            let (_, k) = best.max_by(|a, b| a.0.total_cmp(&b.0))?;
            Some(nearest(&all, &middles(&all, k)?))
        }
        Way::Mixture => mixture(&all, least),
        Way::Dbscan => {
            let found = Dbscan::params(least).tolerance(knee(&all, least)?);
            let found: Array1<Option<usize>> = found.transform(&all).ok()?;
            Some(found.to_vec())
        }
        Way::Optics => optics(&all, least),
    }
}

fn matrix(points: &[Vec<f32>]) -> Option<Array2<f64>> {
    let width = points.first()?.len();
    let flat: Vec<f64> = points.iter().flatten().map(|x| f64::from(*x)).collect();
    Array2::from_shape_vec((points.len(), width), flat).ok()
}

/// At most so many points, evenly.
fn even(points: &[Vec<f32>], most: usize) -> Vec<Vec<f32>> {
    match points.len() > most {
        true => (0..most).map(|i| points[i * points.len() / most].clone()).collect(),
        false => points.to_vec(),
    }
}

/// The numbers of groups that so many points can have.
fn counts(points: &Array2<f64>, least: usize) -> Vec<usize> {
    let key = |row: ArrayView1<'_, f64>| row.iter().map(|x| x.to_bits()).collect::<Vec<u64>>();
    let distinct = points.rows().into_iter().map(key).collect::<BTreeSet<_>>().len();
    let most = (points.nrows() / least.max(2)).min(distinct);
    COUNTS.into_iter().take_while(|k| *k <= most).collect()
}

fn middles(points: &Array2<f64>, k: usize) -> Option<Array2<f64>> {
    let dataset = DatasetBase::from(points.view());
    let model = KMeans::params(k)
        .init_method(KMeansInit::KMeansPlusPlus)
        .n_runs(RUNS)
        .max_n_iterations(ROUNDS)
        .tolerance(STILL)
        .fit(&dataset)
        .ok()?;
    Some(model.centroids().clone())
}

fn square(a: ArrayView1<'_, f64>, b: ArrayView1<'_, f64>) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

fn nearest(points: &Array2<f64>, middles: &Array2<f64>) -> Vec<Option<usize>> {
    let far = |row: ArrayView1<'_, f64>, k: usize| square(row, middles.row(k));
    let one = |row: ArrayView1<'_, f64>| {
        (0..middles.nrows()).min_by(|a, b| far(row, *a).total_cmp(&far(row, *b)))
    };
    points.rows().into_iter().map(one).collect()
}

/// How much nearer points are to their own middle than to the next.
fn silhouette(points: &Array2<f64>, middles: &Array2<f64>) -> f64 {
    let mut sum = 0.0;
    for row in points.rows() {
        let (mut own, mut next) = (f64::INFINITY, f64::INFINITY);
        for middle in middles.rows() {
            let far = square(row, middle).sqrt();
            if far < own {
                (own, next) = (far, own);
            } else if far < next {
                next = far;
            }
        }
        sum += if next > 0.0 { (next - own) / next } else { 0.0 };
    }
    sum / points.nrows().max(1) as f64
}

fn mixture(points: &Array2<f64>, least: usize) -> Option<Vec<Option<usize>>> {
    let (n, width) = (points.nrows(), points.ncols());
    if width > MIXTURE_WIDTH {
        return None;
    }
    let dataset = DatasetBase::from(points.view());
    let fits = counts(points, least).into_iter().filter_map(|k| {
        let model = GaussianMixtureModel::params(k).max_n_iterations(ROUNDS).fit(&dataset).ok()?;
        let found: Array1<usize> = model.predict(points);
        // The fit itself tells no likelihood, so it is summed again.
        let likely = likelihood(points, &model)?;
        let free = (k * (1 + width + width * (width + 1) / 2) - 1) as f64;
        Some((free * (n as f64).ln() - 2.0 * likely, found))
    });
    let (_, found) = fits.min_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(found.iter().map(|k| Some(*k)).collect())
}

fn likelihood(points: &Array2<f64>, model: &GaussianMixtureModel<f64>) -> Option<f64> {
    let width = points.ncols() as f64;
    let whole = (2.0 * std::f64::consts::PI).ln() * width;
    let mut parts = Vec::new();
    for k in 0..model.means().nrows() {
        let precision = model.precisions().index_axis(ndarray::Axis(0), k).to_owned();
        let logarithm = logarithm_of_determinant(&precision)?;
        parts.push((model.weights()[k].ln() + 0.5 * (logarithm - whole), precision));
    }
    let mut sum = 0.0;
    for row in points.rows() {
        let each = parts.iter().enumerate().map(|(k, (begin, precision))| {
            let away = &row - &model.means().row(k);
            begin - 0.5 * away.dot(&precision.dot(&away))
        });
        let each: Vec<f64> = each.collect();
        let most = each.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        sum += most + each.iter().map(|x| (x - most).exp()).sum::<f64>().ln();
    }
    sum.is_finite().then_some(sum)
}

/// By Cholesky; `None` where the matrix is not positive definite.
fn logarithm_of_determinant(matrix: &Array2<f64>) -> Option<f64> {
    let n = matrix.nrows();
    let mut lower = Array2::<f64>::zeros((n, n));
    let mut sum = 0.0;
    for i in 0..n {
        for j in 0..=i {
            let done: f64 = (0..j).map(|k| lower[[i, k]] * lower[[j, k]]).sum();
            let rest = matrix[[i, j]] - done;
            if i == j {
                if rest <= 0.0 {
                    return None;
                }
                lower[[i, i]] = rest.sqrt();
                sum += rest.ln();
            } else {
                lower[[i, j]] = rest / lower[[j, j]];
            }
        }
    }
    Some(sum)
}

/// The distance to the neighbour at which, over all points in order, the curve bends
/// most: farthest from the line between its ends.
fn knee(points: &Array2<f64>, least: usize) -> Option<f64> {
    let step = (points.nrows() / CHOSEN_BY).max(1);
    let mut far = Vec::new();
    for i in (0..points.nrows()).step_by(step) {
        let row = points.row(i);
        let mut all: Vec<f64> = points.rows().into_iter().map(|other| square(row, other)).collect();
        let place = least.min(all.len().checked_sub(1)?);
        all.select_nth_unstable_by(place, f64::total_cmp);
        far.push(all[place].sqrt());
    }
    far.sort_by(f64::total_cmp);
    bend(&far).filter(|radius| *radius > 0.0)
}

fn bend(rising: &[f64]) -> Option<f64> {
    let (first, last) = (*rising.first()?, *rising.last()?);
    let n = rising.len().max(2) as f64 - 1.0;
    let below = |(i, x): (usize, &f64)| first + (last - first) * i as f64 / n - x;
    let most = rising.iter().enumerate().max_by(|a, b| below(*a).total_cmp(&below(*b)));
    most.map(|(_, x)| *x)
}

fn optics(points: &Array2<f64>, least: usize) -> Option<Vec<Option<usize>>> {
    if points.nrows() > OPTICS_MAX {
        return None;
    }
    let radius = knee(points, least)?;
    let found = Optics::params(least).tolerance(radius * 2.0).transform(points.view()).ok()?;
    let mut labels = vec![None; points.nrows()];
    let mut group: Option<usize> = None;
    for sample in found.iter() {
        let reached = sample.reachability_distance().is_some_and(|far| far <= radius);
        let dense = sample.core_distance().is_some_and(|far| far <= radius);
        if !reached && dense {
            group = Some(group.map_or(0, |group| group + 1));
        }
        if let Some(label) = labels.get_mut(sample.index()) {
            *label = group.filter(|_| reached || dense);
        }
    }
    Some(labels)
}
