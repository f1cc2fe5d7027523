//! Small layers over vectors: `W · x + b`, and `y = x + W₂ · relu(W₁ · x + b₁) + b₂`.
//!
//! Every number is summed in the order of the inputs, by multiplications and additions
//! of their own, so that all processors give the same vector.

use super::isa::{self, Isa, Work};
use super::lanes::Lanes;

/// A matrix and what is added behind it. Inputs first: the weights of one input lie
/// together, so that a plain loop over outputs uses the processor's vectors.
#[derive(Debug)]
pub(crate) struct Linear {
    weights: Vec<f32>,
    bias: Vec<f32>,
}

impl Linear {
    /// From rows of bytes, one for each output, each with its scale.
    pub(crate) fn new(scales: &[f32], entries: &[u8], bias: Vec<f32>) -> Self {
        let outputs = bias.len();
        let inputs = entries.len().checked_div(outputs).unwrap_or(0);
        let mut weights = vec![0.0; entries.len()];
        for (output, (scale, row)) in scales.iter().zip(entries.chunks(inputs.max(1))).enumerate() {
            for (input, entry) in row.iter().enumerate() {
                if let Some(weight) = weights.get_mut(input * outputs + output) {
                    *weight = scale * f32::from(entry.cast_signed());
                }
            }
        }
        Self { weights, bias }
    }

    /// `W · x + b` of vectors that lie one behind the other.
    pub(crate) fn all(&self, isa: Isa, inputs: &[f32]) -> Vec<f32> {
        let width = self.weights.len().checked_div(self.bias.len()).unwrap_or(0).max(1);
        let mut outputs = vec![0.0; inputs.len() / width * self.bias.len()];
        isa::run(isa, All { linear: self, width, inputs, outputs: &mut outputs });
        outputs
    }

    #[inline(always)]
    fn apply(&self, inputs: &[f32], outputs: &mut [f32]) {
        outputs.copy_from_slice(&self.bias);
        for (input, weights) in inputs.iter().zip(self.weights.chunks_exact(outputs.len())) {
            if *input != 0.0 {
                for (output, weight) in outputs.iter_mut().zip(weights) {
                    *output += input * weight;
                }
            }
        }
    }
}

struct All<'a> {
    linear: &'a Linear,
    width: usize,
    inputs: &'a [f32],
    outputs: &'a mut [f32],
}

impl Work for All<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let count = self.linear.bias.len();
        let rows = self.inputs.chunks_exact(self.width);
        for (inputs, outputs) in rows.zip(self.outputs.chunks_exact_mut(count)) {
            self.linear.apply(inputs, outputs);
        }
    }
}

/// Both halves.
#[derive(Debug)]
pub(crate) struct Layer {
    inner: Linear,
    outer: Linear,
    isa: Isa,
}

impl Layer {
    pub(crate) fn new(inner: Linear, outer: Linear) -> Self {
        Self { inner, outer, isa: Isa::best() }
    }

    /// Adds what the layer says of a vector to it.
    pub(crate) fn bend(&self, vector: &mut [f32]) {
        isa::run(self.isa, Bend { layer: self, vector });
    }
}

struct Bend<'a> {
    layer: &'a Layer,
    vector: &'a mut [f32],
}

impl Work for Bend<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let Layer { inner, outer, .. } = self.layer;
        let mut between = vec![0.0; inner.bias.len()];
        inner.apply(self.vector, &mut between);
        for value in &mut between {
            *value = value.max(0.0);
        }
        let mut more = vec![0.0; outer.bias.len()];
        outer.apply(&between, &mut more);
        for (value, more) in self.vector.iter_mut().zip(&more) {
            *value += more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(isa: Isa) -> Layer {
        // Two inputs, three between: w = 0.5 · bytes.
        let bytes = |entries: &[i8]| entries.iter().map(|e| e.cast_unsigned()).collect::<Vec<_>>();
        let inner = Linear::new(&[0.5; 3], &bytes(&[2, 0, 0, 4, -2, -2]), vec![0.0, -1.0, 0.0]);
        let outer = Linear::new(&[1.0, 2.0], &bytes(&[1, 1, 1, 0, 1, 0]), vec![0.25, 0.0]);
        Layer { isa, ..Layer::new(inner, outer) }
    }

    #[test]
    fn it_adds_what_passes_between() {
        // Between: relu([1, 2·2 - 1, -1 - 2]) = [1, 3, 0].
        let mut vector = [1.0, 2.0];
        layer(Isa::best()).bend(&mut vector);
        assert_eq!(vector, [1.0 + 1.0 + 3.0 + 0.25, 2.0 + 6.0]);
    }

    #[test]
    fn all_processors_agree_to_the_last_bit() {
        let numbers = |seed: u32, n: u32| -> Vec<u8> {
            (0..n).map(|i| (i.wrapping_mul(2_654_435_761).rotate_left(7) ^ seed) as u8).collect()
        };
        let made = |isa| {
            let scale = |n: usize| (0..n).map(|i| 0.01 + i as f32 * 1e-4).collect::<Vec<_>>();
            let inner = Linear::new(&scale(37), &numbers(1, 37 * 19), scale(37));
            let outer = Linear::new(&scale(19), &numbers(2, 37 * 19), scale(19));
            let mut vector: Vec<f32> = (0..19).map(|i| (i as f32 * 0.7).sin()).collect();
            Layer { isa, ..Layer::new(inner, outer) }.bend(&mut vector);
            vector.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
        };
        let all: Vec<_> = Isa::all().into_iter().map(made).collect();
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{all:?}");
    }
}
