//! The two innermost loops: panels times columns, in bytes and in floats.
//!
//! **Contract.** Every element of a product is summed by itself, column by column
//! of the weights: bytes exactly within a block (or half a block) of 32, then in
//! `f32` from the first block to the last; floats from the first column to the
//! last, each rounded once. It does not matter how many columns are computed
//! together, in how many pieces the weights come, or with which instructions.

#![expect(
    clippy::needless_range_loop,
    reason = "arrays of registers are gone through by number, all of them alike"
)]

use super::isa::Work;
use super::lanes::Lanes;
use super::panel::ROWS;

/// Most columns of activations that are computed together.
pub(crate) const TOGETHER: usize = 6;

/// Activations in bytes, as one tile wants them: `columns` of them side by side.
#[derive(Clone, Copy)]
pub(crate) struct Quads {
    /// Four numbers of each column, for each four rows.
    pub(crate) numbers: *const i8,
    /// Their scale, for each 32.
    pub(crate) scales: *const f32,
    /// Minus the sum of the numbers, for each 16 or 32.
    pub(crate) sums: *const i32,
    /// The scaled sum, for each 32.
    pub(crate) scaled: *const f32,
}

/// Weights of panels that follow each other.
#[derive(Clone, Copy)]
pub(crate) struct Weights {
    /// The numbers, and how far those of the next panel are.
    pub(crate) numbers: (*const u8, usize),
    /// Scales, and how far those of the next panel are.
    pub(crate) scales: (*const f32, usize),
    /// Minima.
    pub(crate) mins: (*const f32, usize),
}

/// `out += weights * activations` for `N` panels and `M` columns. Numbers have `BITS`
/// bits, as a panel keeps them. `G` groups of four share a scale; with `MINS`, the
/// weights have minima instead of an offset.
pub(crate) struct Bytes<
    const M: usize,
    const N: usize,
    const BITS: usize,
    const G: usize,
    const MINS: bool,
> {
    pub(crate) weights: Weights,
    pub(crate) quads: Quads,
    /// Blocks of 32.
    pub(crate) blocks: usize,
    /// The offset of the weights as a power of two.
    pub(crate) shift: u32,
    /// Sixteen numbers of each panel, and how far the next column is.
    pub(crate) out: (*mut f32, usize),
}

/// How far ahead weights are asked for, in bytes. Processors look ahead by
/// themselves, but not across the border of a page.
const AHEAD: usize = 2_048;

impl<const M: usize, const N: usize, const BITS: usize, const G: usize, const MINS: bool> Work
    for Bytes<M, N, BITS, G, MINS>
{
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let Self { weights: w, quads: a, blocks, shift, out } = self;
        let parts = 8 / G;
        // SAFETY: `matrix` hands over buffers with room for all panels and columns.
        unsafe {
            let mut sums = [[L::splat(0.0); M]; N];
            for n in 0..N {
                for m in 0..M {
                    sums[n][m] = L::load(out.0.add(m * out.1 + n * ROWS));
                }
            }
            for block in 0..blocks {
                let numbers = w.numbers.0.add(block * 64 * BITS);
                let mut numbers = [numbers; N];
                for (n, numbers) in numbers.iter_mut().enumerate() {
                    *numbers = numbers.add(n * w.numbers.1);
                }
                for part in 0..parts {
                    let mut ints = [[L::ints(0); M]; N];
                    if !MINS {
                        for m in 0..M {
                            let sum = *a.sums.add((block * parts + part) * M + m);
                            for ints in &mut ints {
                                ints[m] = L::ints(sum << shift);
                            }
                        }
                    }
                    // Written out, for what a group is made of depends on its number.
                    macro_rules! groups {
                        ($($group:literal)*) => { $(
                            let mut quads = [group_of::<L, BITS, $group>(numbers[0]); N];
                            for n in 1..N {
                                quads[n] = group_of::<L, BITS, $group>(numbers[n]);
                            }
                            for m in 0..M {
                                let four = L::quad(a.numbers.add(((block * 8 + $group) * M + m) * 4));
                                for n in 0..N {
                                    ints[n][m] = L::dot(ints[n][m], quads[n], four);
                                }
                            }
                        )* };
                    }
                    if part == 0 {
                        groups!(0 1 2 3);
                    }
                    if part == 1 || G == 8 {
                        groups!(4 5 6 7);
                    }
                    for n in 0..N {
                        let at = n * w.scales.1 + (block * parts + part) * ROWS;
                        let scale = L::load(w.scales.0.add(at));
                        for m in 0..M {
                            let own = L::mul(scale, L::splat(*a.scales.add(block * M + m)));
                            sums[n][m] = L::fma(L::to_float(ints[n][m]), own, sums[n][m]);
                        }
                        if MINS {
                            let min = L::load(w.mins.0.add(n * w.mins.1 + block * ROWS));
                            for m in 0..M {
                                let scaled = L::splat(*a.scaled.add(block * M + m));
                                sums[n][m] = L::fma(min, scaled, sums[n][m]);
                            }
                        }
                    }
                }
            }
            for n in 0..N {
                for m in 0..M {
                    L::store(out.0.add(m * out.1 + n * ROWS), sums[n][m]);
                }
            }
        }
    }
}

/// A group of a block, a byte for each number.
#[inline(always)]
unsafe fn group_of<L: Lanes, const BITS: usize, const GROUP: usize>(block: *const u8) -> L::Quads {
    // SAFETY: a block of so many bits lies there.
    unsafe {
        if BITS == 8 || GROUP < 4 {
            L::prefetch(block.wrapping_add(AHEAD + GROUP * 64));
        }
        if BITS == 8 {
            return L::quads(block.add(GROUP * 64));
        }
        let low = L::quads(block.add(GROUP % 4 * 64));
        let low = if GROUP < 4 { L::bits::<0, 4, 0>(low) } else { L::bits::<4, 4, 0>(low) };
        if BITS == 4 {
            return low;
        }
        let high = L::quads(block.add(if BITS == 5 { 256 } else { 256 + GROUP % 2 * 64 }));
        let high = match (BITS, GROUP) {
            (5, 0) => L::bits::<0, 1, 4>(high),
            (5, 1) => L::bits::<1, 1, 4>(high),
            (5, 2) => L::bits::<2, 1, 4>(high),
            (5, 3) => L::bits::<3, 1, 4>(high),
            (5, 4) => L::bits::<4, 1, 4>(high),
            (5, 5) => L::bits::<5, 1, 4>(high),
            (5, 6) => L::bits::<6, 1, 4>(high),
            (5, _) => L::bits::<7, 1, 4>(high),
            (6, 0 | 1) => L::bits::<0, 2, 4>(high),
            (6, 2 | 3) => L::bits::<2, 2, 4>(high),
            (6, 4 | 5) => L::bits::<4, 2, 4>(high),
            _ => L::bits::<6, 2, 4>(high),
        };
        L::or(low, high)
    }
}

/// Where floats of a panel come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FloatKind {
    F32,
    F16,
    BF16,
}

/// `out += panel * activations` for `N` panels of floats and `M` columns.
pub(crate) struct Floats<const M: usize, const N: usize> {
    pub(crate) kind: FloatKind,
    /// Sixteen numbers for each column of the weights, and how far the next panel
    /// is, in bytes.
    pub(crate) panel: (*const u8, usize),
    /// Columns of the weights.
    pub(crate) columns: usize,
    /// A number for each column of the weights, and how far the next column of
    /// activations is.
    pub(crate) activations: (*const f32, usize),
    /// Sixteen numbers of each panel, and how far the next column is.
    pub(crate) out: (*mut f32, usize),
}

impl<const M: usize, const N: usize> Work for Floats<M, N> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        // SAFETY: the numbers are of this kind.
        unsafe {
            match self.kind {
                FloatKind::F32 => self.sum::<L, 4, false>(),
                FloatKind::F16 => self.sum::<L, 2, false>(),
                FloatKind::BF16 => self.sum::<L, 2, true>(),
            }
        }
    }
}

/// Sixteen floats of so many bytes.
#[inline(always)]
unsafe fn sixteen<L: Lanes, const SIZE: usize, const BRAIN: bool>(at: *const u8) -> L::Float {
    // SAFETY: the caller has them there.
    unsafe {
        match (SIZE, BRAIN) {
            (4, _) => L::load(at.cast()),
            (_, true) => L::load_bf16(at.cast()),
            _ => L::load_f16(at.cast()),
        }
    }
}

impl<const M: usize, const N: usize> Floats<M, N> {
    #[inline(always)]
    unsafe fn sum<L: Lanes, const SIZE: usize, const BRAIN: bool>(self) {
        let Self { panel, columns, activations: a, out, .. } = self;
        // SAFETY: the caller hands over buffers with room for all panels and columns.
        unsafe {
            let mut sums = [[L::splat(0.0); M]; N];
            for n in 0..N {
                for m in 0..M {
                    sums[n][m] = L::load(out.0.add(m * out.1 + n * ROWS));
                }
            }
            for column in 0..columns {
                let at = panel.0.add(column * ROWS * SIZE);
                let mut weights = [sixteen::<L, SIZE, BRAIN>(at); N];
                for n in 1..N {
                    weights[n] = sixteen::<L, SIZE, BRAIN>(at.add(n * panel.1));
                }
                for m in 0..M {
                    let number = L::splat(*a.0.add(m * a.1 + column));
                    for n in 0..N {
                        sums[n][m] = L::fma(weights[n], number, sums[n][m]);
                    }
                }
            }
            for n in 0..N {
                for m in 0..M {
                    L::store(out.0.add(m * out.1 + n * ROWS), sums[n][m]);
                }
            }
        }
    }
}
