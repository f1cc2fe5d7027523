//! Weights as the kernels want them: panels of sixteen rows, side by side.
//!
//! A panel of floats has, for each column, its sixteen numbers. A panel of small
//! whole numbers has its scales first and then blocks of 32 columns. Written out
//! with a byte for each number, a block is eight *groups* of 64 bytes: four columns
//! of each row, row by row, as the byte products of the processor want them. On disk
//! and in memory it stays as narrow as in the file: the lower four bits of the
//! groups 0 to 3 share their bytes with those of the groups 4 to 7, and the fifth
//! and sixth bits follow.

use super::formats::{BLOCK, Format, Scaling, Unit};
use super::isa::Work;
use super::lanes::Lanes;
use std::ops::Range;

/// Rows of a panel.
pub(crate) const ROWS: usize = 16;
/// Bytes of a block that is written out.
pub(crate) const WIDE: usize = BLOCK * ROWS;
/// Bytes of the lower four bits of a block.
const LOW: usize = WIDE / 2;

/// Where things lie in a panel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) format: Format,
    /// Columns of a row; a multiple of the format's unit.
    pub(crate) columns: usize,
}

impl Layout {
    /// Bytes of the scales.
    fn scales(self) -> usize {
        match self.format.scaling {
            Scaling::Float => 0,
            Scaling::Plain => self.columns / BLOCK * 2 * ROWS,
            Scaling::Affine => self.columns / BLOCK * 4 * ROWS,
            Scaling::Super => self.columns / 256 * (4 + 16) * ROWS,
            Scaling::Sixteenths => self.columns / 256 * (2 + 16) * ROWS,
        }
    }

    /// Bytes of a block of numbers.
    fn block(self) -> usize {
        WIDE * self.format.bits / 8
    }

    /// Where so many blocks from one on lie in a panel.
    pub(crate) fn blocks(self, from: usize, count: usize) -> Range<usize> {
        let at = self.scales() + from * self.block();
        at..at + count * self.block()
    }

    /// Bytes of a panel, in whole cache lines.
    pub(crate) fn bytes(self) -> usize {
        let all = self.scales() + self.columns * ROWS * self.format.bits / 8;
        all.next_multiple_of(64)
    }
}

/// Packs sixteen rows of a file, fewer at the end of a matrix, into a panel.
pub(crate) struct Pack<'a> {
    pub(crate) layout: Layout,
    /// Whole rows.
    pub(crate) rows: &'a [u8],
    /// The panel, all zero.
    pub(crate) panel: &'a mut [u8],
}

impl Work for Pack<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        if self.layout.format.is_float() { self.floats() } else { self.numbers() }
    }
}

impl Pack<'_> {
    #[inline(always)]
    fn floats(self) {
        let size = self.layout.format.bits / 8;
        let row_bytes = self.layout.format.bytes(self.layout.columns);
        for (row, bytes) in self.rows.chunks_exact(row_bytes).enumerate() {
            for (column, number) in bytes.chunks_exact(size).enumerate() {
                self.panel[(column * ROWS + row) * size..][..size].copy_from_slice(number);
            }
        }
    }

    #[inline(always)]
    fn numbers(self) {
        let Layout { format, columns } = self.layout;
        let row_bytes = format.bytes(columns);
        let (unit_bytes, unit_blocks) = (format.kind.type_size(), format.unit() / BLOCK);
        let (scales, blocks) = self.panel.split_at_mut(self.layout.scales());
        let mut wide = [[0_u8; WIDE]; 8];
        let mut unit = Unit::EMPTY;
        for at in 0..columns / format.unit() {
            for (row, bytes) in self.rows.chunks_exact(row_bytes).enumerate() {
                unit.read(format, &bytes[at * unit_bytes..][..unit_bytes]);
                put_scales(format, &unit, scales, at, row);
                for (block, numbers) in
                    unit.numbers.chunks_exact(BLOCK).take(unit_blocks).enumerate()
                {
                    for (group, four) in numbers.chunks_exact(4).enumerate() {
                        wide[block][group * 64 + row * 4..][..4].copy_from_slice(four);
                    }
                }
            }
            for (block, wide) in wide[..unit_blocks].iter().enumerate() {
                let size = self.layout.block();
                narrow(format.bits, wide, &mut blocks[(at * unit_blocks + block) * size..][..size]);
            }
        }
    }
}

/// Puts the scales of a row's unit beside those of the other rows.
#[inline(always)]
fn put_scales(format: Format, unit: &Unit, scales: &mut [u8], at: usize, row: usize) {
    let half = |scales: &mut [u8], at: usize, half: u16| {
        scales[at..at + 2].copy_from_slice(&half.to_le_bytes());
    };
    match format.scaling {
        Scaling::Float => {}
        Scaling::Plain => half(scales, (at * ROWS + row) * 2, unit.d),
        Scaling::Affine => {
            half(scales, (2 * at * ROWS + row) * 2, unit.d);
            half(scales, ((2 * at + 1) * ROWS + row) * 2, unit.m);
        }
        Scaling::Super => {
            let own = &mut scales[at * 20 * ROWS..][..20 * ROWS];
            half(own, row * 2, unit.d);
            half(own, (ROWS + row) * 2, unit.m);
            for block in 0..8 {
                own[(4 + 2 * block) * ROWS + row] = unit.scales[block];
                own[(5 + 2 * block) * ROWS + row] = unit.mins[block];
            }
        }
        Scaling::Sixteenths => {
            let own = &mut scales[at * 18 * ROWS..][..18 * ROWS];
            half(own, row * 2, unit.d);
            for sixteenth in 0..16 {
                own[(2 + sixteenth) * ROWS + row] = unit.scales[sixteenth];
            }
        }
    }
}

/// A block with a byte for each number, as narrow as it is kept.
#[inline(always)]
fn narrow(bits: usize, wide: &[u8; WIDE], block: &mut [u8]) {
    if bits == 8 {
        block.copy_from_slice(wide);
        return;
    }
    let (low, high) = block.split_at_mut(LOW);
    for (at, low) in low.iter_mut().enumerate() {
        *low = (wide[at] & 15) | (wide[LOW + at] << 4);
    }
    // One bit of each of eight groups, or two bits of each of four times 128.
    let own = bits - 4;
    let stride = high.len();
    for part in 0..if own == 0 { 0 } else { WIDE / stride } {
        for (high, wide) in high.iter_mut().zip(&wide[part * stride..][..stride]) {
            *high |= (wide >> 4) << (own * part);
        }
    }
}

/// Panels written out for the kernels, part by part.
pub(crate) struct Wide {
    /// A byte for each number.
    pub(crate) numbers: Vec<u8>,
    /// Scales, sixteen at a time.
    pub(crate) scales: Vec<f32>,
    /// Minima, sixteen at a time.
    pub(crate) mins: Vec<f32>,
}

impl Wide {
    /// Room for so many blocks.
    pub(crate) fn new(blocks: usize) -> Self {
        Self {
            numbers: vec![0; blocks * WIDE],
            scales: vec![0.0; blocks * 2 * ROWS],
            mins: vec![0.0; blocks * ROWS],
        }
    }
}

/// Writes the numbers of some blocks out, a byte for each.
pub(crate) struct Widen<'a> {
    pub(crate) layout: Layout,
    /// Whole blocks.
    pub(crate) blocks: &'a [u8],
    pub(crate) out: &'a mut [u8],
}

impl Work for Widen<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        match self.layout.format.bits {
            4 => widen::<4, LOW>(self.blocks, self.out),
            5 => widen::<5, { LOW + WIDE / 8 }>(self.blocks, self.out),
            _ => widen::<6, { LOW + WIDE / 4 }>(self.blocks, self.out),
        }
    }
}

#[inline(always)]
fn widen<const BITS: usize, const SIZE: usize>(numbers: &[u8], out: &mut [u8]) {
    for (block, out) in numbers.as_chunks::<SIZE>().0.iter().zip(out.as_chunks_mut::<WIDE>().0) {
        for at in 0..LOW {
            out[at] = block[at] & 15;
            out[LOW + at] = block[at] >> 4;
        }
        if BITS == 5 {
            for group in 0..8 {
                for at in 0..64 {
                    out[group * 64 + at] |= ((block[LOW + at] >> group) & 1) << 4;
                }
            }
        }
        if BITS == 6 {
            for part in 0..4 {
                for at in 0..128 {
                    out[part * 128 + at] |= ((block[LOW + at] >> (2 * part)) & 3) << 4;
                }
            }
        }
    }
}

/// Writes the scales of some blocks out, and their minima.
pub(crate) struct Scales<'a> {
    pub(crate) layout: Layout,
    pub(crate) panel: &'a [u8],
    /// First block.
    pub(crate) from: usize,
    /// How many; with formats of 256 numbers, `from` is a multiple of eight.
    pub(crate) blocks: usize,
    pub(crate) scales: &'a mut [f32],
    pub(crate) mins: &'a mut [f32],
}

/// The `at`th sixteen of half precision numbers.
#[inline(always)]
fn half<L: Lanes>(bytes: &[u8], at: usize) -> L::Float {
    let own = &bytes[at * 2 * ROWS..][..2 * ROWS];
    // SAFETY: sixteen halves, and a kernel runs where its instructions are.
    unsafe { L::load_f16(own.as_ptr().cast()) }
}

/// Sets the `at`th sixteen numbers.
#[inline(always)]
fn store<L: Lanes>(out: &mut [f32], at: usize, numbers: L::Float) {
    let out = &mut out[at * ROWS..][..ROWS];
    // SAFETY: room for sixteen, and as above.
    unsafe { L::store(out.as_mut_ptr(), numbers) }
}

impl Work for Scales<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let Self { layout, panel, from, blocks, scales, mins } = self;
        match layout.format.scaling {
            Scaling::Float => {}
            Scaling::Plain => {
                for block in 0..blocks {
                    store::<L>(scales, block, half::<L>(panel, from + block));
                }
            }
            Scaling::Affine => {
                for block in 0..blocks {
                    store::<L>(scales, block, half::<L>(panel, 2 * (from + block)));
                    store::<L>(mins, block, half::<L>(panel, 2 * (from + block) + 1));
                }
            }
            Scaling::Super => {
                for unit in 0..blocks / 8 {
                    let own = &panel[(from / 8 + unit) * 20 * ROWS..][..20 * ROWS];
                    let (d, e) = (half::<L>(own, 0), half::<L>(own, 1));
                    for (block, small) in own[4 * ROWS..].chunks_exact(2 * ROWS).enumerate() {
                        // SAFETY: twice sixteen bytes.
                        unsafe {
                            let (s, m) =
                                (L::load_u8(small.as_ptr()), L::load_u8(small[ROWS..].as_ptr()));
                            store::<L>(scales, 8 * unit + block, L::mul(d, s));
                            store::<L>(
                                mins,
                                8 * unit + block,
                                L::mul(e, L::mul(m, L::splat(-1.0))),
                            );
                        }
                    }
                }
            }
            Scaling::Sixteenths => {
                for unit in 0..blocks / 8 {
                    let own = &panel[(from / 8 + unit) * 18 * ROWS..][..18 * ROWS];
                    let d = half::<L>(own, 0);
                    for (sixteenth, small) in own[2 * ROWS..].chunks_exact(ROWS).enumerate() {
                        // SAFETY: sixteen bytes.
                        let own = unsafe { L::mul(d, L::load_i8(small.as_ptr().cast())) };
                        store::<L>(scales, 16 * unit + sixteenth, own);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::formats::dequantise;
    use crate::compute::isa::{Isa, run};
    use crate::testing::{FORMATS, noise, quantised};

    /// Columns 512, rows fewer than a panel.
    #[test]
    fn what_is_packed_is_written_out_again_by_every_instruction_set() {
        for kind in FORMATS {
            let format = Format::of(kind).unwrap();
            if format.is_float() {
                continue;
            }
            let (rows, columns) = (13, 512);
            let (bytes, _) = quantised(kind, &noise(3, rows * columns), rows, columns);
            let mut expected = vec![0.0; rows * columns];
            dequantise(format, &bytes, &mut expected);
            let layout = Layout { format, columns };
            for isa in Isa::all() {
                let mut panel = vec![0; layout.bytes()];
                run(isa, Pack { layout, rows: &bytes, panel: &mut panel });
                let mut wide = Wide::new(8);
                for from in [0, 8] {
                    let Wide { numbers, scales, mins } = &mut wide;
                    let blocks = &panel[layout.blocks(from, 8)];
                    match format.bits {
                        8 => numbers.copy_from_slice(blocks),
                        _ => run(isa, Widen { layout, blocks, out: numbers }),
                    }
                    run(isa, Scales { layout, panel: &panel, from, blocks: 8, scales, mins });
                    for row in 0..rows {
                        for column in 0..256 {
                            let (block, in_block) = (column / 32, column % 32);
                            let at = block * WIDE + in_block / 4 * 64 + row * 4 + in_block % 4;
                            let q = f32::from(numbers[at]);
                            let offset = (1_u32 << format.shift()) as f32;
                            let own = match format.scaling {
                                Scaling::Sixteenths => {
                                    scales[column / 16 * ROWS + row] * (q - offset)
                                }
                                Scaling::Plain => scales[block * ROWS + row] * (q - offset),
                                _ => scales[block * ROWS + row] * q + mins[block * ROWS + row],
                            };
                            let other = expected[row * columns + from * 32 + column];
                            let near = (own - other).abs() <= 1e-5 * other.abs().max(0.1);
                            assert!(near, "{kind:?} {isa:?} {row} {column}: {own} {other}");
                        }
                    }
                }
            }
        }
    }
}
