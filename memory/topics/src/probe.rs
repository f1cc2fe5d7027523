//! A linear probe: how much of some labels a straight cut through the points can
//! tell. It measures what vectors hold, and nothing else uses it.

use linfa::prelude::{Fit, Predict};
use linfa::{Dataset, DatasetBase};
use linfa_logistic::{MultiFittedLogisticRegression, MultiLogisticRegression};
use ndarray::{Array1, Array2};

/// Weight of the squares of its coefficients beside the sum of its errors: what
/// others call C = 10.
const ALPHA: f32 = 0.1;
/// Most steps of L-BFGS.
const STEPS_MAX: u64 = 200;
/// A gradient as small as this ends it.
const SMALL: f32 = 1e-2;

/// Why there is no probe.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// There is nothing to learn from.
    #[error("a probe needs points of one length, each with a label")]
    Points,
    /// The search for coefficients failed.
    #[error("could not fit the probe")]
    Fit(#[source] Box<linfa_logistic::error::Error>),
}

/// Logistic regression over labels.
pub struct Probe(MultiFittedLogisticRegression<f32, usize>);

fn matrix(points: &[Vec<f32>]) -> Result<Array2<f32>, ProbeError> {
    let width = points.first().map_or(0, Vec::len);
    let all: Vec<f32> = points.iter().flatten().copied().collect();
    if width == 0 || all.len() != points.len() * width {
        return Err(ProbeError::Points);
    }
    Array2::from_shape_vec((points.len(), width), all).map_err(|_| ProbeError::Points)
}

impl Probe {
    /// Learns the labels of points.
    pub fn fit(points: &[Vec<f32>], labels: &[usize]) -> Result<Self, ProbeError> {
        if labels.len() != points.len() {
            return Err(ProbeError::Points);
        }
        let known: Dataset<f32, usize, ndarray::Ix1> =
            DatasetBase::new(matrix(points)?, Array1::from(labels.to_vec()));
        let regression = MultiLogisticRegression::default()
            .alpha(ALPHA)
            .max_iterations(STEPS_MAX)
            .gradient_tolerance(SMALL);
        regression.fit(&known).map(Self).map_err(|error| ProbeError::Fit(Box::new(error)))
    }

    /// The likeliest label of each point, and how likely it is.
    pub fn name(&self, points: &[Vec<f32>]) -> Result<Vec<(usize, f32)>, ProbeError> {
        let points = matrix(points)?;
        let labels: Array1<usize> = self.0.predict(&points);
        let sure = self.0.predict_probabilities(&points);
        let most = sure.rows().into_iter().map(|row| row.iter().copied().fold(0.0, f32::max));
        Ok(labels.into_iter().zip(most).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_corners_apart_and_is_less_sure_between_them() {
        let corners = [[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]];
        let near = |n: usize| corners[n % 3].map(|x| x + (n as f32 * 0.37).sin() * 0.1).to_vec();
        let points: Vec<Vec<f32>> = (0..90).map(near).collect();
        let labels: Vec<usize> = (0..90).map(|n| n % 3 + 5).collect();
        let probe = Probe::fit(&points, &labels).unwrap();
        let named = probe.name(&points).unwrap();
        assert!(named.iter().zip(&labels).all(|((named, _), label)| named == label));
        let between = probe.name(&[vec![0.0, 0.0]]).unwrap()[0].1;
        assert!(named.iter().all(|(_, sure)| *sure > between), "{between}");
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        assert!(matches!(Probe::fit(&[], &[]), Err(ProbeError::Points)));
        assert!(matches!(Probe::fit(&[vec![1.0]], &[]), Err(ProbeError::Points)));
        let ragged = [vec![1.0], vec![1.0, 2.0]];
        assert!(matches!(Probe::fit(&ragged, &[0, 1]), Err(ProbeError::Points)));
    }
}
