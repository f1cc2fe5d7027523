//! What is computed between the products, number by number.
//!
//! Sums are made in sixteen lanes, lane by lane in order, and the lanes are added in
//! order, so that every instruction set gives the same bits.

use super::isa::{Isa, Work, run};
use super::lanes::Lanes;

/// `x / rms(x) * weight`, into `out`.
pub(crate) fn rms_norm(isa: Isa, x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    run(isa, RmsNorm { x, weight, epsilon, out });
}

struct RmsNorm<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    epsilon: f32,
    out: &'a mut [f32],
}

impl Work for RmsNorm<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let scale = scale(self.x, self.epsilon);
        for ((out, x), weight) in self.out.iter_mut().zip(self.x).zip(self.weight) {
            *out = x * scale * weight;
        }
    }
}

/// One over the root of the mean square.
#[inline(always)]
fn scale(x: &[f32], epsilon: f32) -> f32 {
    let mut lanes = [0.0_f32; 16];
    let (whole, rest) = x.as_chunks::<16>();
    for sixteen in whole {
        for (lane, x) in lanes.iter_mut().zip(sixteen) {
            *lane = x.mul_add(*x, *lane);
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane = x.mul_add(*x, *lane);
    }
    let sum: f32 = lanes.iter().sum();
    1.0 / (sum / x.len() as f32 + epsilon).sqrt()
}

/// `silu(gate) * up`, into `gate`.
pub(crate) fn silu_mul(isa: Isa, gate: &mut [f32], up: &[f32]) {
    run(isa, SiluMul { gate, up });
}

struct SiluMul<'a> {
    gate: &'a mut [f32],
    up: &'a [f32],
}

impl Work for SiluMul<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        for (gate, up) in self.gate.iter_mut().zip(self.up) {
            *gate = *gate / (1.0 + exp(-*gate)) * up;
        }
    }
}

/// Weights that add up to one from scores: `exp(x - max) / sum`, in place, without
/// the division. Returns what to divide by.
pub(crate) fn softmax(isa: Isa, scores: &mut [f32]) -> f32 {
    let mut sum = 0.0;
    run(isa, Softmax { scores, sum: &mut sum });
    sum
}

struct Softmax<'a> {
    scores: &'a mut [f32],
    sum: &'a mut f32,
}

impl Work for Softmax<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        // What is no number is passed over here and comes back from `exp`.
        let most = |a: f32, b: f32| if b > a { b } else { a };
        let (whole, rest) = self.scores.as_chunks_mut::<16>();
        let mut lanes = [f32::NEG_INFINITY; 16];
        for sixteen in &*whole {
            for (lane, x) in lanes.iter_mut().zip(sixteen) {
                *lane = most(*lane, *x);
            }
        }
        let top = lanes.iter().chain(&*rest).fold(f32::NEG_INFINITY, |a, b| most(a, *b));
        let mut sums = [0.0_f32; 16];
        for sixteen in whole {
            for (sum, x) in sums.iter_mut().zip(sixteen) {
                *x = exp(*x - top);
                *sum += *x;
            }
        }
        for (sum, x) in sums.iter_mut().zip(rest) {
            *x = exp(*x - top);
            *sum += *x;
        }
        *self.sum = sums.iter().sum();
    }
}

/// `e^x` to about one unit in the last place; what is no number stays none. The
/// reduction is Cody and Waite's, the polynomial that of Cephes (expf.c).
#[inline(always)]
fn exp(x: f32) -> f32 {
    const HIGH: f32 = 0.693_359_4;
    const LOW: f32 = -2.121_944_4e-4;
    // Beyond these the result has no exponent.
    let clamped = if x > 88.0 { 88.0 } else { x };
    let clamped = if clamped < -87.0 { -87.0 } else { clamped };
    let power = (clamped * std::f32::consts::LOG2_E).round_ties_even();
    let rest = power.mul_add(-HIGH, clamped);
    let rest = power.mul_add(-LOW, rest);
    let mut sum = 1.987_569_1e-4_f32;
    for factor in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5e-1] {
        sum = sum.mul_add(rest, factor);
    }
    let sum = sum.mul_add(rest * rest, rest) + 1.0;
    let scale = f32::from_bits(((power as i32 + 127) as u32) << 23);
    let result = sum * scale;
    let result = if x < -87.0 { 0.0 } else { result };
    if x > 88.0 { f32::INFINITY } else { result }
}

/// Turns pairs of numbers by the angles of a position: number `i` with number
/// `i + n/2`, as the Qwen family pairs them.
pub(crate) fn rotate(isa: Isa, x: &mut [f32], cos: &[f32], sin: &[f32]) {
    run(isa, Rotate { x, cos, sin });
}

struct Rotate<'a> {
    x: &'a mut [f32],
    cos: &'a [f32],
    sin: &'a [f32],
}

impl Work for Rotate<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let (first, second) = self.x.split_at_mut(self.x.len() / 2);
        for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(self.cos).zip(self.sin) {
            (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noise;

    /// The largest of `|a - b| / max(|b|, 1)`.
    fn apart(own: &[f32], exact: impl Iterator<Item = f64>) -> f64 {
        own.iter()
            .zip(exact)
            .fold(0.0, |most, (a, b)| f64::max(most, (f64::from(*a) - b).abs() / b.abs().max(1.0)))
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits_near_the_exact_ones() {
        for length in [1, 5, 16, 64, 100, 896] {
            let (x, y) = (noise(1, length), noise(2, length));
            let x: Vec<f32> = x.iter().map(|x| 8.0 * x).collect();
            let mut first: Option<[Vec<f32>; 4]> = None;
            for isa in Isa::all() {
                let mut normed = vec![0.0; length];
                rms_norm(isa, &x, &y, 1e-6, &mut normed);
                let mut gated = x.clone();
                silu_mul(isa, &mut gated, &y);
                let mut weights = x.clone();
                let sum = softmax(isa, &mut weights);
                weights.push(sum);
                let mut turned = x.clone();
                let half = length / 2;
                rotate(isa, &mut turned[..2 * half], &y[..half], &y[half..2 * half]);
                let all = [normed, gated, weights, turned];
                let bits = |all: &[Vec<f32>; 4]| {
                    all.clone().map(|one| one.iter().map(|x| x.to_bits()).collect::<Vec<_>>())
                };
                match &first {
                    Some(first) => assert_eq!(bits(&all), bits(first), "{isa:?} {length}"),
                    None => first = Some(all),
                }
            }
            let [normed, gated, weights, _] = first.unwrap();
            let wide = |x: &f32| f64::from(*x);
            let mean = x.iter().map(|x| wide(x).powi(2)).sum::<f64>() / length as f64 + 1e-6;
            assert!(
                apart(&normed, x.iter().zip(&y).map(|(x, y)| wide(x) / mean.sqrt() * wide(y)))
                    < 1e-6
            );
            let silu = |(x, y): (&f32, &f32)| wide(x) / (1.0 + (-wide(x)).exp()) * wide(y);
            assert!(apart(&gated, x.iter().zip(&y).map(silu)) < 1e-6);
            let top = x.iter().copied().fold(f32::MIN, f32::max);
            let exact: Vec<f64> = x.iter().map(|x| (wide(x) - wide(&top)).exp()).collect();
            assert!(apart(&weights[..length], exact.iter().copied()) < 1e-6);
            assert!((wide(&weights[length]) / exact.iter().sum::<f64>() - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn exp_is_exact_to_a_unit_and_keeps_what_is_no_number() {
        for step in -8_700..8_800 {
            let x = step as f32 / 100.0;
            let (own, exact) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((own / exact - 1.0).abs() < 2e-7, "{x}: {own} {exact}");
        }
        assert_eq!(
            (exp(f32::NEG_INFINITY), exp(f32::INFINITY), exp(0.0)),
            (0.0, f32::INFINITY, 1.0)
        );
        assert!(exp(f32::NAN).is_nan());
        let mut scores = [1.0, f32::NAN, 2.0];
        assert!(softmax(Isa::best(), &mut scores).is_nan());
    }
}
