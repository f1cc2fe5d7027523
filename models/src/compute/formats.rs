//! How weights lie in files: blocks of small whole numbers with a scale, as ggml
//! defines them (ggml-common.h and ggml-quants.c describe each of them).

use super::lanes::f16_to_f32;
use candle_core::quantized::GgmlDType;

/// Numbers that share one scale of the activations.
pub(crate) const BLOCK: usize = 32;

/// What of a type the kernels have to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Format {
    /// Its type.
    pub(crate) kind: GgmlDType,
    /// Bits of a number.
    pub(crate) bits: usize,
    /// How a number becomes a weight.
    pub(crate) scaling: Scaling,
}

/// How a whole number `q` becomes a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scaling {
    /// It is a float already.
    Float,
    /// `d (q - offset)`, a `d` for each block of 32.
    Plain,
    /// `d q + m`, both for each block of 32.
    Affine,
    /// `d s q - e m`: `d` and `e` for 256 numbers, `s` and `m` for each 32.
    Super,
    /// `d s (q - offset)`: `d` for 256 numbers, `s` for each 16.
    Sixteenths,
}

impl Format {
    /// That of a type; `None`: it is not computed here.
    pub(crate) fn of(kind: GgmlDType) -> Option<Self> {
        use GgmlDType as T;
        use Scaling::{Affine, Float, Plain, Sixteenths, Super};
        let (bits, scaling) = match kind {
            T::F32 => (32, Float),
            T::F16 | T::BF16 => (16, Float),
            T::Q4_0 => (4, Plain),
            T::Q5_0 => (5, Plain),
            T::Q8_0 => (8, Plain),
            T::Q4_1 => (4, Affine),
            T::Q5_1 => (5, Affine),
            T::Q4K => (4, Super),
            T::Q5K => (5, Super),
            T::Q6K => (6, Sixteenths),
            _ => return None,
        };
        Some(Self { kind, bits, scaling })
    }

    /// Whether products are computed in floats.
    pub(crate) fn is_float(self) -> bool {
        self.scaling == Scaling::Float
    }

    /// What is taken from a number, as a power of two; numbers with a minimum have
    /// nothing taken from them.
    pub(crate) fn shift(self) -> u32 {
        self.bits as u32 - 1
    }

    /// Numbers of a block in a file.
    pub(crate) fn unit(self) -> usize {
        self.kind.block_size()
    }

    /// Bytes of so many numbers of a row in a file; they fill blocks.
    pub(crate) fn bytes(self, columns: usize) -> usize {
        columns / self.unit() * self.kind.type_size()
    }
}

/// One block of a file, taken apart: 32 or 256 numbers.
#[derive(Clone, Copy)]
pub(crate) struct Unit {
    /// The numbers, none below zero.
    pub(crate) numbers: [u8; 256],
    /// `d`, half precision.
    pub(crate) d: u16,
    /// `m` or `e`, half precision.
    pub(crate) m: u16,
    /// `s`, of each 16 or 32 numbers; those of each 16 have a sign.
    pub(crate) scales: [u8; 16],
    /// `m` of each 32 numbers.
    pub(crate) mins: [u8; 8],
}

impl Unit {
    pub(crate) const EMPTY: Self =
        Self { numbers: [0; 256], d: 0, m: 0, scales: [0; 16], mins: [0; 8] };

    /// Takes a block apart; `block` has the bytes of one.
    #[inline(always)]
    pub(crate) fn read(&mut self, format: Format, block: &[u8]) {
        use GgmlDType as T;
        match format.kind {
            T::Q4_0 => {
                self.d = half(block, 0);
                nibbles(&block[2..18], &mut self.numbers);
            }
            T::Q4_1 => {
                (self.d, self.m) = (half(block, 0), half(block, 2));
                nibbles(&block[4..20], &mut self.numbers);
            }
            T::Q5_0 => {
                self.d = half(block, 0);
                nibbles(&block[6..22], &mut self.numbers);
                fifth_bits(&block[2..6], &mut self.numbers);
            }
            T::Q5_1 => {
                (self.d, self.m) = (half(block, 0), half(block, 2));
                nibbles(&block[8..24], &mut self.numbers);
                fifth_bits(&block[4..8], &mut self.numbers);
            }
            T::Q8_0 => {
                self.d = half(block, 0);
                for (number, byte) in self.numbers[..32].iter_mut().zip(&block[2..34]) {
                    *number = byte ^ 0x80;
                }
            }
            T::Q4K => {
                (self.d, self.m) = (half(block, 0), half(block, 2));
                self.read_super(&block[4..16]);
                for part in 0..4 {
                    nibbles(&block[16 + 32 * part..][..32], &mut self.numbers[64 * part..]);
                }
            }
            T::Q5K => {
                (self.d, self.m) = (half(block, 0), half(block, 2));
                self.read_super(&block[4..16]);
                for part in 0..4 {
                    nibbles(&block[48 + 32 * part..][..32], &mut self.numbers[64 * part..]);
                }
                let high = &block[16..48];
                for eighth in 0..8 {
                    let numbers = &mut self.numbers[32 * eighth..][..32];
                    for (number, bits) in numbers.iter_mut().zip(high) {
                        *number |= ((bits >> eighth) & 1) << 4;
                    }
                }
            }
            T::Q6K => {
                for part in 0..2 {
                    let low = &block[64 * part..][..64];
                    let high = &block[128 + 32 * part..][..32];
                    let numbers = &mut self.numbers[128 * part..][..128];
                    for at in 0..32 {
                        let bits = |quarter: usize| ((high[at] >> (2 * quarter)) & 3) << 4;
                        numbers[at] = (low[at] & 15) | bits(0);
                        numbers[at + 32] = (low[at + 32] & 15) | bits(1);
                        numbers[at + 64] = (low[at] >> 4) | bits(2);
                        numbers[at + 96] = (low[at + 32] >> 4) | bits(3);
                    }
                }
                self.scales.copy_from_slice(&block[192..208]);
                self.d = half(block, 208);
            }
            // A `Format` is of no other type, and floats are not taken apart.
            _ => {}
        }
    }

    /// Eight scales and minima of six bits in twelve bytes.
    #[inline(always)]
    fn read_super(&mut self, packed: &[u8]) {
        for at in 0..4 {
            let (scale, min, high) = (packed[at], packed[at + 4], packed[at + 8]);
            self.scales[at] = scale & 63;
            self.mins[at] = min & 63;
            self.scales[at + 4] = (high & 15) | ((scale >> 6) << 4);
            self.mins[at + 4] = (high >> 4) | ((min >> 6) << 4);
        }
    }

    /// Scale and minimum of the number at `at`: it stands for `scale * q + min`.
    fn affine(&self, format: Format, at: usize) -> (f32, f32) {
        let (d, m) = (f16_to_f32(self.d), f16_to_f32(self.m));
        let offset = (1_u32 << format.shift()) as f32;
        match format.scaling {
            Scaling::Float => (0.0, 0.0),
            Scaling::Plain => (d, -offset * d),
            Scaling::Affine => (d, m),
            Scaling::Super => {
                (d * f32::from(self.scales[at / 32]), -m * f32::from(self.mins[at / 32]))
            }
            Scaling::Sixteenths => {
                let scale = d * f32::from(self.scales[at / 16] as i8);
                (scale, -offset * scale)
            }
        }
    }
}

#[inline(always)]
fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// The lower halves of all bytes, then the upper ones.
#[inline(always)]
fn nibbles(bytes: &[u8], numbers: &mut [u8]) {
    let (low, high) = numbers.split_at_mut(bytes.len());
    for ((low, high), byte) in low.iter_mut().zip(high).zip(bytes) {
        (*low, *high) = (byte & 15, byte >> 4);
    }
}

/// The fifth bit of each of 32 numbers.
#[inline(always)]
fn fifth_bits(bytes: &[u8], numbers: &mut [u8]) {
    let bits = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    for (at, number) in numbers[..32].iter_mut().enumerate() {
        *number |= (((bits >> at) & 1) as u8) << 4;
    }
}

/// The numbers that a row of a file stands for. `row` holds blocks of the format
/// that fill `out`.
pub(crate) fn dequantise(format: Format, row: &[u8], out: &mut [f32]) {
    let halves = |row: &[u8]| -> Vec<u16> {
        row.chunks_exact(2).map(|two| u16::from_le_bytes([two[0], two[1]])).collect()
    };
    match format.kind {
        GgmlDType::F32 => {
            for (out, four) in out.iter_mut().zip(row.chunks_exact(4)) {
                *out = f32::from_le_bytes([four[0], four[1], four[2], four[3]]);
            }
        }
        GgmlDType::F16 => {
            for (out, half) in out.iter_mut().zip(halves(row)) {
                *out = f16_to_f32(half);
            }
        }
        GgmlDType::BF16 => {
            for (out, half) in out.iter_mut().zip(halves(row)) {
                *out = f32::from_bits(u32::from(half) << 16);
            }
        }
        _ => {
            let mut unit = Unit::EMPTY;
            let blocks = row.chunks_exact(format.kind.type_size());
            for (out, block) in out.chunks_mut(format.unit()).zip(blocks) {
                unit.read(format, block);
                for (at, out) in out.iter_mut().enumerate() {
                    let (scale, min) = unit.affine(format, at);
                    *out = scale * f32::from(unit.numbers[at]) + min;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FORMATS, noise, quantised};

    #[test]
    fn every_type_stands_for_the_numbers_that_candle_reads_in_it() {
        for kind in FORMATS {
            let format = Format::of(kind).unwrap();
            let (bytes, expected) = quantised(kind, &noise(7, 4 * 512), 4, 512);
            let mut found = vec![0.0; expected.len()];
            dequantise(format, &bytes, &mut found);
            for (own, other) in found.iter().zip(&expected) {
                // The same sum in another order.
                assert!(
                    (own - other).abs() <= 1e-6 * other.abs().max(1.0),
                    "{kind:?}: {own} {other}"
                );
            }
        }
    }
}
