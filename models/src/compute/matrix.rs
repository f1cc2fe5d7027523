//! A matrix of weights and its product with a batch.

use super::activations::{Bytes as Columns, tiles};
use super::formats::{BLOCK, Scaling};
use super::isa::{Isa, run};
use super::memory::Memory;
use super::panel::{Layout, Pack, ROWS, Scales, WIDE, Wide, Widen};
use super::pool::Shared;
use super::tile::{Bytes, FloatKind, Floats, Weights};
use candle_core::quantized::GgmlDType;
use std::ops::Range;

/// Blocks whose scales, and for many columns also numbers, are written out at once; a
/// multiple of eight.
const CHUNK: usize = 32;

/// A matrix in panels.
#[derive(Debug)]
pub(crate) struct Matrix {
    layout: Layout,
    rows: usize,
    panels: Memory,
}

/// A batch in both forms: products with floats take the one, those with small whole
/// numbers the other.
#[derive(Clone, Copy)]
pub(crate) struct Batch<'a> {
    /// Columns of the batch.
    pub(crate) columns: usize,
    /// Numbers of a column, one column after the other.
    pub(crate) floats: &'a [f32],
    /// The same as bytes.
    pub(crate) bytes: &'a Columns,
}

/// What a thread needs for itself.
pub(crate) struct Scratch(Wide);

impl Scratch {
    pub(crate) fn new() -> Self {
        Self(Wide::new(2 * CHUNK))
    }
}

impl Matrix {
    /// A matrix of zeros, to be packed into; `None` if there is no room.
    pub(crate) fn zeroed(layout: Layout, rows: usize) -> Option<Self> {
        let bytes = rows.div_ceil(ROWS).checked_mul(layout.bytes())?;
        Some(Self { layout, rows, panels: Memory::zeroed(bytes)? })
    }

    /// Rows with those that fill up the last panel.
    pub(crate) fn padded(&self) -> usize {
        self.rows.next_multiple_of(ROWS)
    }

    /// Whether its products are computed in floats.
    pub(crate) fn is_float(&self) -> bool {
        self.layout.format.is_float()
    }

    /// How many panels it has.
    pub(crate) fn panel_count(&self) -> usize {
        self.rows.div_ceil(ROWS)
    }

    /// Its panels, to be packed by several threads.
    pub(crate) fn shared(&mut self) -> Shared<'_, u8> {
        Shared::new(self.panels.bytes_mut())
    }

    /// Packs the rows of one panel.
    ///
    /// # Safety
    /// No other thread has this panel.
    pub(crate) unsafe fn pack(
        isa: Isa,
        layout: Layout,
        panels: Shared<'_, u8>,
        panel: usize,
        rows: &[u8],
    ) {
        let size = layout.bytes();
        // SAFETY: the caller has this panel for itself.
        let panel = unsafe { panels.part(panel * size..(panel + 1) * size) };
        run(isa, Pack { layout, rows, panel });
    }

    fn panel(&self, panel: usize) -> &[u8] {
        &self.panels.bytes()[panel * self.layout.bytes()..][..self.layout.bytes()]
    }

    /// `out += self * batch` for some panels.
    ///
    /// # Safety
    /// No other thread computes these panels into `out`.
    pub(crate) unsafe fn multiply(
        &self,
        isa: Isa,
        panels: Range<usize>,
        batch: Batch<'_>,
        out: Shared<'_, f32>,
        scratch: &mut Scratch,
    ) {
        let mut from = panels.start;
        while from < panels.end {
            let together = isa.panels(batch.columns).min(panels.end - from);
            // SAFETY: the caller's.
            unsafe {
                if self.is_float() {
                    self.floats(isa, from, together, batch, out);
                } else {
                    self.bytes(isa, from, together, batch, out, &mut scratch.0);
                }
            }
            from += together;
        }
    }

    unsafe fn bytes(
        &self,
        isa: Isa,
        panel: usize,
        together: usize,
        batch: Batch<'_>,
        out: Shared<'_, f32>,
        wide: &mut Wide,
    ) {
        let (columns, format) = (self.layout.columns, self.layout.format);
        let (blocks, shift) = (columns / BLOCK, format.shift());
        let sixteenths = format.scaling == Scaling::Sixteenths;
        // For one or two tiles, numbers are taken apart where they are used.
        let is_wide = format.bits < 8 && tiles(isa, batch.columns).nth(2).is_some();
        let scales = CHUNK * ROWS * if sixteenths { 2 } else { 1 };
        for from in (0..blocks).step_by(CHUNK) {
            let blocks = CHUNK.min(blocks - from);
            let own = self.layout.blocks(from, blocks);
            for n in 0..together {
                let panel = self.panel(panel + n);
                if is_wide {
                    let out = &mut wide.numbers[n * CHUNK * WIDE..][..blocks * WIDE];
                    run(isa, Widen { layout: self.layout, blocks: &panel[own.clone()], out });
                }
                run(
                    isa,
                    Scales {
                        layout: self.layout,
                        panel,
                        from,
                        blocks,
                        scales: &mut wide.scales[n * scales..],
                        mins: &mut wide.mins[n * CHUNK * ROWS..],
                    },
                );
            }
            let numbers = if is_wide {
                (wide.numbers.as_ptr(), CHUNK * WIDE)
            } else {
                (self.panel(panel)[own.start..].as_ptr(), self.layout.bytes())
            };
            let weights = Weights {
                numbers,
                scales: (wide.scales.as_ptr(), scales),
                mins: (wide.mins.as_ptr(), CHUNK * ROWS),
            };
            for tile in tiles(isa, batch.columns) {
                let quads = batch.bytes.tile(&tile, columns, from, sixteenths);
                let stride = self.padded();
                let first = tile.start * stride + panel * ROWS;
                let last = (tile.end - 1) * stride + (panel + together) * ROWS;
                // Of the panels between them, other threads' among them, nothing is
                // touched.
                let out = (out.pointer(first..last), stride);
                macro_rules! tile {
                    ($m:literal, $n:literal) => {{
                        macro_rules! bytes {
                            ($bits:literal, $groups:literal, $mins:literal) => {
                                run(
                                    isa,
                                    Bytes::<$m, $n, $bits, $groups, $mins> {
                                        weights,
                                        quads,
                                        blocks,
                                        shift,
                                        out,
                                    },
                                )
                            };
                        }
                        use Scaling::{Affine, Float, Plain, Sixteenths, Super};
                        match (if is_wide { 8 } else { format.bits }, format.scaling) {
                            (4, Plain) => bytes!(4, 8, false),
                            (4, Affine | Super) => bytes!(4, 8, true),
                            (5, Plain) => bytes!(5, 8, false),
                            (5, Affine | Super) => bytes!(5, 8, true),
                            (6, Sixteenths) => bytes!(6, 4, false),
                            (_, Sixteenths) => bytes!(8, 4, false),
                            (_, Affine | Super) => bytes!(8, 8, true),
                            (_, Plain | Float) => bytes!(8, 8, false),
                        }
                    }};
                }
                match (tile.len(), together) {
                    (1, 1) => tile!(1, 1),
                    (2, 1) => tile!(2, 1),
                    (3, 1) => tile!(3, 1),
                    (4, 1) => tile!(4, 1),
                    (6, 1) => tile!(6, 1),
                    (1, _) => tile!(1, 2),
                    (2, _) => tile!(2, 2),
                    (3, _) => tile!(3, 2),
                    (4, _) => tile!(4, 2),
                    _ => tile!(6, 2),
                }
            }
        }
    }

    unsafe fn floats(
        &self,
        isa: Isa,
        panel: usize,
        together: usize,
        batch: Batch<'_>,
        out: Shared<'_, f32>,
    ) {
        let (kind, columns) = (float_kind(self.layout.format.kind), self.layout.columns);
        let weights = (self.panel(panel).as_ptr(), self.layout.bytes());
        let stride = self.padded();
        for tile in tiles(isa, batch.columns) {
            let first = tile.start * stride + panel * ROWS;
            let last = (tile.end - 1) * stride + (panel + together) * ROWS;
            let activations = (batch.floats[tile.start * columns..].as_ptr(), columns);
            let out = (out.pointer(first..last), stride);
            floats(isa, tile.len(), together, kind, weights, columns, activations, out);
        }
    }
}

fn float_kind(kind: GgmlDType) -> FloatKind {
    match kind {
        GgmlDType::F16 => FloatKind::F16,
        GgmlDType::BF16 => FloatKind::BF16,
        _ => FloatKind::F32,
    }
}

/// [`Floats`] for numbers of panels and columns that are known at run time: those
/// that [`tiles`] and [`Isa::panels`] give.
#[expect(clippy::too_many_arguments, reason = "the arguments of a kernel")]
pub(crate) fn floats(
    isa: Isa,
    columns_together: usize,
    panels_together: usize,
    kind: FloatKind,
    panel: (*const u8, usize),
    columns: usize,
    activations: (*const f32, usize),
    out: (*mut f32, usize),
) {
    macro_rules! tile {
        ($m:literal, $n:literal) => {
            run(isa, Floats::<$m, $n> { kind, panel, columns, activations, out })
        };
    }
    match (columns_together, panels_together) {
        (1, 1) => tile!(1, 1),
        (2, 1) => tile!(2, 1),
        (3, 1) => tile!(3, 1),
        (4, 1) => tile!(4, 1),
        (6, 1) => tile!(6, 1),
        (1, _) => tile!(1, 2),
        (2, _) => tile!(2, 2),
        (3, _) => tile!(3, 2),
        (4, _) => tile!(4, 2),
        _ => tile!(6, 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::formats::{Format, dequantise};
    use crate::compute::processor::Processor;
    use crate::testing::{FORMATS, noise, quantised};

    struct Case {
        matrix: Matrix,
        /// The weights as numbers, row by row.
        plain: Vec<f32>,
        input: Vec<f32>,
    }

    fn case(isa: Isa, kind: GgmlDType, rows: usize, columns: usize, batch: usize) -> Case {
        let (bytes, _) = quantised(kind, &noise(11, rows * columns), rows, columns);
        let format = Format::of(kind).unwrap();
        let layout = Layout { format, columns };
        let mut plain = vec![0.0; rows * columns];
        dequantise(format, &bytes, &mut plain);
        let mut matrix = Matrix::zeroed(layout, rows).unwrap();
        let shared = matrix.shared();
        for (panel, rows) in bytes.chunks(ROWS * format.bytes(columns)).enumerate() {
            // SAFETY: one thread.
            unsafe { Matrix::pack(isa, layout, shared, panel, rows) };
        }
        Case { matrix, plain, input: noise(12, batch * columns) }
    }

    /// Columns `columns` of the batch, computed together.
    fn product(isa: Isa, case: &Case, columns: Range<usize>) -> Vec<f32> {
        let (matrix, width) = (&case.matrix, case.matrix.layout.columns);
        let floats = &case.input[columns.start * width..columns.end * width];
        let mut bytes = Columns::new(columns.len(), width);
        if !matrix.is_float() {
            let fill = bytes.shared();
            for tile in tiles(isa, columns.len()) {
                // SAFETY: one thread.
                unsafe { fill.quantise(isa, &tile, width, &floats[tile.start * width..], width) };
            }
        }
        let mut out = vec![0.0; columns.len() * matrix.padded()];
        let batch = Batch { columns: columns.len(), floats, bytes: &bytes };
        let mut processor = Processor::new(isa, 2).unwrap();
        processor.multiply(batch, &mut [(matrix, &mut out)]);
        out
    }

    #[test]
    fn every_instruction_set_and_every_batch_gives_the_same_bits() {
        for kind in FORMATS {
            // Rows and columns that fill neither the last panel nor the last piece.
            let (rows, columns, batch) = (16 * 5 + 3, 256 * 5, 15);
            let first = case(Isa::best(), kind, rows, columns, batch);
            let whole = product(Isa::best(), &first, 0..batch);
            for isa in Isa::all() {
                let case = case(isa, kind, rows, columns, batch);
                let stride = case.matrix.padded();
                for size in (1..=8).chain([11, 15]) {
                    for from in (0..batch - size + 1).step_by(size) {
                        let own = product(isa, &case, from..from + size);
                        let other = &whole[from * stride..(from + size) * stride];
                        let same = own.iter().zip(other).all(|(a, b)| a.to_bits() == b.to_bits());
                        assert!(same, "{kind:?}, {}: {size} columns from {from}", isa.as_str());
                    }
                }
            }
        }
    }

    #[test]
    fn products_are_near_those_of_the_numbers_that_the_weights_stand_for() {
        for kind in FORMATS {
            let (rows, columns, batch) = (48, 512, 7);
            let case = case(Isa::best(), kind, rows, columns, batch);
            let found = product(Isa::best(), &case, 0..batch);
            let (mut apart, mut size) = (0.0_f64, 0.0_f64);
            for column in 0..batch {
                for row in 0..rows {
                    let weights = &case.plain[row * columns..][..columns];
                    let input = &case.input[column * columns..][..columns];
                    let exact: f64 =
                        weights.iter().zip(input).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum();
                    apart += (f64::from(found[column * rows + row]) - exact).powi(2);
                    size += exact.powi(2);
                }
            }
            // Activations have seven bits and a sign beside quantised weights.
            let bound = if case.matrix.is_float() { 1e-6 } else { 1e-2 };
            let relative = (apart / size).sqrt();
            assert!(relative < bound, "{kind:?}: {relative}");
        }
    }
}
