//! Other clusterings on the same points, to be measured against [`crate::cluster`].
//! What each must be told is found without labels: a number of groups by the Bayesian
//! information criterion, a radius by the knee of the distances to the neighbours.

use crate::{Settings, labels, middles};
use linfa::DatasetBase;
use linfa::traits::{Fit, Predict, Transformer};
use linfa_clustering::{Dbscan, GaussianMixtureModel, Optics};
use ndarray::{Array1, Array2, ArrayView1};

/// Numbers of Gaussians that are tried.
const COUNTS: [usize; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 40, 50];
/// Points whose neighbours tell a radius.
const CHOSEN_BY: usize = 2_000;
/// Rounds of a fit.
const ROUNDS: u64 = 60;
/// Widest points of which a mixture is made: its matrices grow with the square.
const MIXTURE_WIDTH: usize = 16;
/// Points that OPTICS orders; the time grows with their square, and more.
const OPTICS_MAX: usize = 3_000;
/// Radii that OPTICS looks around.
const FAR: f64 = 1e6;

/// A clustering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// HDBSCAN alone, of at most so many points as it is given at a time.
    Hdbscan,
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
    pub const ALL: [Self; 5] =
        [Self::Hdbscan, Self::KMeans, Self::Mixture, Self::Dbscan, Self::Optics];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hdbscan => "hdbscan",
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
    let every: Vec<usize> = (0..points.len()).collect();
    let named = |groups: Vec<Vec<usize>>| {
        let mut found = vec![None; points.len()];
        for (group, members) in groups.iter().enumerate() {
            members.iter().for_each(|member| found[*member] = Some(group));
        }
        found
    };
    match way {
        Way::Hdbscan if points.len() > crate::POINTS_MAX => None,
        Way::Hdbscan => Some(named(labels(points, &every, settings).ok()?)),
        Way::KMeans => Some(named(middles::groups(points, &every, least))),
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

fn square(a: ArrayView1<'_, f64>, b: ArrayView1<'_, f64>) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

fn mixture(points: &Array2<f64>, least: usize) -> Option<Vec<Option<usize>>> {
    let (n, width) = (points.nrows(), points.ncols());
    if width > MIXTURE_WIDTH {
        return None;
    }
    let dataset = DatasetBase::from(points.view());
    let counts = COUNTS.into_iter().take_while(|k| *k <= (n / least).max(1));
    let fits = counts.filter_map(|k| {
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
    // Far enough that a gap is seen as a long reach, not as another beginning.
    let found = Optics::params(least).tolerance(radius * FAR).transform(points.view()).ok()?;
    let mut labels = vec![None; points.nrows()];
    let mut group: Option<usize> = None;
    for sample in found.iter() {
        let reached = sample.reachability_distance().is_some_and(|far| far <= radius);
        let dense = sample.core_distance().is_some_and(|far| far <= radius);
        if dense && (!reached || group.is_none()) {
            group = Some(group.map_or(0, |group| group + 1));
        }
        if let Some(label) = labels.get_mut(sample.index()) {
            *label = group.filter(|_| reached || dense);
        }
    }
    Some(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_finds_two_clumps() {
        let place = |i: usize| (i as f32 * 2.4, 0.1 * (i as f32).sqrt());
        let point = |i: usize| {
            let (turn, far) = place(i / 2);
            vec![(i % 2) as f32 * 50.0 + far * turn.cos(), far * turn.sin()]
        };
        let points: Vec<Vec<f32>> = (0..200).map(point).collect();
        for way in Way::ALL {
            let found = grouped(way, &points, Settings { least: 5, neighbours: 5 });
            let found = found.unwrap_or_else(|| panic!("{way:?} finds nothing"));
            let mixed = (0..200).any(|i| found[i].is_some() && found[i] == found[(i + 1) % 200]);
            let placed = found.iter().flatten().count();
            assert!(!mixed && placed > 100, "{way:?}: {placed} placed");
        }
    }

    #[test]
    fn a_curve_bends_where_it_is_farthest_below_its_ends() {
        assert_eq!(bend(&[1.0, 1.1, 1.2, 1.3, 9.0]), Some(1.3));
        assert_eq!(bend(&[]), None);
    }
}
