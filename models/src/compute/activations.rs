//! What a matrix is multiplied with: a batch of columns, as floats and as bytes.

use super::formats::BLOCK;
use super::isa::{Isa, Work, run};
use super::lanes::Lanes;
use super::pool::Shared;
use super::tile::Quads;
use std::ops::Range;

/// How many columns are computed together when `left` are left. Bytes of a tile lie
/// side by side, so this is decided once for quantising and multiplying.
fn width(isa: Isa, left: usize) -> usize {
    let most = isa.together();
    [6, 4, 3, 2].into_iter().find(|width| *width <= most && *width <= left).unwrap_or(1)
}

/// The tiles that a batch is cut into.
pub(crate) fn tiles(isa: Isa, columns: usize) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let tile =
            from..from + if from < columns { width(isa, columns - from) } else { return None };
        from = tile.end;
        Some(tile)
    })
}

/// Columns of activations in bytes: `x = scale * number`, a scale for each 32.
pub(crate) struct Bytes {
    numbers: Vec<i8>,
    scales: Vec<f32>,
    sums_16: Vec<i32>,
    sums_32: Vec<i32>,
    scaled: Vec<f32>,
}

impl Bytes {
    /// Room for so many columns of at most `rows` numbers.
    pub(crate) fn new(columns: usize, rows: usize) -> Self {
        let blocks = columns * rows.div_ceil(BLOCK);
        Self {
            numbers: vec![0; blocks * BLOCK],
            scales: vec![0.0; blocks],
            sums_16: vec![0; 2 * blocks],
            sums_32: vec![0; blocks],
            scaled: vec![0.0; blocks],
        }
    }

    /// To be filled by several threads, tile by tile.
    pub(crate) fn shared(&mut self) -> Fill<'_> {
        Fill {
            numbers: Shared::new(&mut self.numbers),
            scales: Shared::new(&mut self.scales),
            sums_16: Shared::new(&mut self.sums_16),
            sums_32: Shared::new(&mut self.sums_32),
            scaled: Shared::new(&mut self.scaled),
        }
    }

    /// A tile of columns with `rows` numbers, from block `from` on. `sixteenths`:
    /// the sums of each 16.
    pub(crate) fn tile(
        &self,
        tile: &Range<usize>,
        rows: usize,
        from: usize,
        sixteenths: bool,
    ) -> Quads {
        let width = tile.len();
        let blocks = tile.start * (rows / BLOCK) + from * width;
        let sums = if sixteenths { &self.sums_16[2 * blocks..] } else { &self.sums_32[blocks..] };
        Quads {
            numbers: self.numbers[blocks * BLOCK..].as_ptr(),
            scales: self.scales[blocks..].as_ptr(),
            sums: sums.as_ptr(),
            scaled: self.scaled[blocks..].as_ptr(),
        }
    }
}

/// The same, being filled.
#[derive(Clone, Copy)]
pub(crate) struct Fill<'a> {
    numbers: Shared<'a, i8>,
    scales: Shared<'a, f32>,
    sums_16: Shared<'a, i32>,
    sums_32: Shared<'a, i32>,
    scaled: Shared<'a, f32>,
}

impl Fill<'_> {
    /// Quantises a tile: `columns` holds its columns one after the other, `stride`
    /// apart, of which the first `rows` numbers count (a multiple of 32).
    ///
    /// # Safety
    /// No other thread has this tile.
    pub(crate) unsafe fn quantise(
        self,
        isa: Isa,
        tile: &Range<usize>,
        rows: usize,
        columns: &[f32],
        stride: usize,
    ) {
        let (width, blocks) = (tile.len(), rows / BLOCK);
        let from = tile.start * blocks;
        // SAFETY: the caller has this tile for itself.
        let (numbers, scales, sums_16, sums_32, scaled) = unsafe {
            (
                self.numbers.part(from * BLOCK..(from + blocks * width) * BLOCK),
                self.scales.part(from..from + blocks * width),
                self.sums_16.part(2 * from..2 * (from + blocks * width)),
                self.sums_32.part(from..from + blocks * width),
                self.scaled.part(from..from + blocks * width),
            )
        };
        for (column, values) in columns.chunks(stride).take(width).enumerate() {
            let values = &values[..rows];
            run(isa, Quantise { column, width, values, numbers, scales, sums_16, sums_32, scaled });
        }
    }
}

struct Quantise<'a> {
    column: usize,
    width: usize,
    values: &'a [f32],
    numbers: &'a mut [i8],
    scales: &'a mut [f32],
    sums_16: &'a mut [i32],
    sums_32: &'a mut [i32],
    scaled: &'a mut [f32],
}

impl Work for Quantise<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let Self { column, width, values, .. } = self;
        for (block, values) in values.as_chunks::<BLOCK>().0.iter().enumerate() {
            // As bits, so that what is no number is the largest.
            let most = values.iter().fold(0, |most: u32, x| most.max(x.to_bits() & 0x7FFF_FFFF));
            let scale = f32::from_bits(most) / 127.0;
            let inverse = if most == 0 { 0.0 } else { 127.0 / f32::from_bits(most) };
            let mut bytes = [0_i8; BLOCK];
            for (byte, value) in bytes.iter_mut().zip(values) {
                *byte = (value * inverse).round_ties_even() as i8;
            }
            let mut sums = [0_i32; 2];
            for (half, sum) in sums.iter_mut().enumerate() {
                *sum = bytes[16 * half..][..16].iter().map(|byte| i32::from(*byte)).sum();
            }
            for (quad, four) in bytes.as_chunks::<4>().0.iter().enumerate() {
                let at = ((block * 8 + quad) * width + column) * 4;
                self.numbers[at..at + 4].copy_from_slice(four);
            }
            self.scales[block * width + column] = scale;
            self.sums_16[2 * block * width + column] = -sums[0];
            self.sums_16[(2 * block + 1) * width + column] = -sums[1];
            self.sums_32[block * width + column] = -(sums[0] + sums[1]);
            self.scaled[block * width + column] = scale * (sums[0] + sums[1]) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noise;

    #[test]
    fn every_batch_is_cut_into_tiles_without_gaps() {
        for isa in Isa::all() {
            for columns in 0..40 {
                let mut next = 0;
                for tile in tiles(isa, columns) {
                    assert_eq!(tile.start, next);
                    next = tile.end;
                }
                assert_eq!(next, columns);
            }
        }
    }

    #[test]
    fn bytes_are_the_same_on_every_instruction_set_and_what_is_no_number_stays_none() {
        let rows = 96;
        let mut values = noise(5, 7 * rows);
        (values[0], values[rows + 40], values[2 * rows + 70]) = (f32::NAN, f32::INFINITY, 0.0);
        let made = |isa: Isa| {
            let mut bytes = Bytes::new(7, rows);
            let fill = bytes.shared();
            for column in 0..7 {
                // SAFETY: one thread.
                unsafe {
                    fill.quantise(isa, &(column..column + 1), rows, &values[column * rows..], rows)
                };
            }
            bytes
        };
        let first = made(Isa::all()[0]);
        for isa in Isa::all() {
            let own = made(isa);
            assert_eq!(own.numbers[rows..], first.numbers[rows..], "{isa:?}");
            assert_eq!(
                (&own.sums_16[6..], &own.sums_32[3..]),
                (&first.sums_16[6..], &first.sums_32[3..])
            );
            assert!(own.scales[0].is_nan() && !own.scales[3 + 1].is_finite(), "{isa:?}");
            for (at, scale) in own.scales.iter().enumerate().skip(6) {
                let numbers = &own.numbers[at * 32..][..32];
                for (number, value) in numbers.iter().zip(&values[at * 32..]) {
                    assert!((f32::from(*number) * scale - value).abs() <= 0.501 * scale);
                }
            }
        }
    }
}
