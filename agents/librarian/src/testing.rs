//! An embedder for tests: stems spread over 1,024 axes, so that texts are near when
//! they share words.

use crate::terms::terms;
use charter::embed::Embed;

pub(crate) struct ByWords;

impl Embed for ByWords {
    fn version(&self) -> &str {
        "by-words/1"
    }

    fn dimensions(&self) -> usize {
        1_024
    }

    fn bytes(&self) -> u64 {
        0
    }

    fn embed(&self, text: &str) -> Vec<f32> {
        let mut vector = vec![0.0f32; self.dimensions()];
        for term in terms(text) {
            vector[term as usize % 1_024] += 1.0;
        }
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        vector.iter_mut().for_each(|x| *x /= length.max(1e-9));
        vector
    }
}
