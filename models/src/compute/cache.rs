//! Keys and values of conversations, in blocks of sixteen positions: in half precision,
//! or in single precision where the weights are, so that such a model computes what the
//! reference does.
//!
//! A block of a head has its keys as a panel (for each number of the head, that of
//! each position), and its values as panels of sixteen numbers of the head (for each
//! position, sixteen numbers): both are what [`super::tile::Floats`] reads.

use super::lanes::f32_to_f16;
use super::memory::Memory;
use super::pool::Shared;
use super::tile::FloatKind;

/// Positions of a block.
pub(crate) const POSITIONS: usize = 16;

/// Dimensions of a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) layers: usize,
    /// Heads of keys and values.
    pub(crate) heads: usize,
    /// Numbers of a head; a multiple of sixteen.
    pub(crate) head: usize,
    pub(crate) blocks: usize,
    /// `F16` or `F32`.
    pub(crate) kind: FloatKind,
}

impl Shape {
    /// Numbers of one kind, of one head in one block.
    fn part(self) -> usize {
        POSITIONS * self.head
    }

    /// Bytes of a number.
    fn size(self) -> usize {
        if self.kind == FloatKind::F32 { 4 } else { 2 }
    }

    /// Bytes of a block in all layers.
    pub(crate) fn block_bytes(self) -> usize {
        self.layers * self.heads * 2 * self.part() * self.size()
    }

    /// Where a part begins, in numbers; a layer's blocks lie together.
    fn at(self, layer: usize, block: usize, head: usize, is_value: bool) -> usize {
        (((layer * self.blocks + block) * self.heads + head) * 2 + usize::from(is_value))
            * self.part()
    }
}

/// Room for keys and values.
#[derive(Debug)]
pub(crate) struct Cache {
    shape: Shape,
    memory: Memory,
}

impl Cache {
    /// Room for `shape.blocks` blocks; `None` if there is none. It costs memory as it
    /// is written to.
    pub(crate) fn new(shape: Shape) -> Option<Self> {
        let bytes = shape.block_bytes().checked_mul(shape.blocks)?;
        Some(Self { shape, memory: Memory::zeroed(bytes)? })
    }

    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    /// To be written by several threads.
    pub(crate) fn shared(&mut self) -> Writer<'_> {
        Writer { shape: self.shape, bytes: Shared::new(self.memory.bytes_mut()) }
    }

    fn part(&self, layer: usize, block: usize, head: usize, is_value: bool) -> *const u8 {
        let size = self.shape.size();
        let at = size * self.shape.at(layer, block, head, is_value);
        self.memory.bytes()[at..at + size * self.shape.part()].as_ptr()
    }

    /// The keys of a block.
    pub(crate) fn keys(&self, layer: usize, block: usize, head: usize) -> *const u8 {
        self.part(layer, block, head, false)
    }

    /// The values of a block, and how many bytes after each other their panels lie.
    pub(crate) fn values(&self, layer: usize, block: usize, head: usize) -> (*const u8, usize) {
        (self.part(layer, block, head, true), POSITIONS * 16 * self.shape.size())
    }
}

/// A cache that is written to.
#[derive(Clone, Copy)]
pub(crate) struct Writer<'a> {
    shape: Shape,
    bytes: Shared<'a, u8>,
}

impl Writer<'_> {
    /// Writes the key and the value of one position, all heads.
    ///
    /// # Safety
    /// No other thread has this position of this block.
    pub(crate) unsafe fn write(
        self,
        layer: usize,
        block: usize,
        position: usize,
        keys: &[f32],
        values: &[f32],
    ) {
        let Shape { head: size, .. } = self.shape;
        for head in 0..self.shape.heads {
            let own = head * size..(head + 1) * size;
            let (key, value) = [false, true]
                .map(|is_value| {
                    let bytes = self.shape.size();
                    let at = bytes * self.shape.at(layer, block, head, is_value);
                    self.bytes.pointer(at..at + bytes * self.shape.part())
                })
                .into();
            for (at, (k, v)) in keys[own.clone()].iter().zip(&values[own]).enumerate() {
                let lane = (at / 16 * POSITIONS + position) * 16 + at % 16;
                // SAFETY: within the part of this head and block, which is aligned.
                unsafe {
                    self.put(key, at * POSITIONS + position, *k);
                    self.put(value, lane, *v);
                }
            }
        }
    }

    /// Writes the `at`th number of a part.
    #[inline(always)]
    unsafe fn put(self, part: *mut u8, at: usize, number: f32) {
        // SAFETY: the caller's.
        unsafe {
            match self.shape.kind {
                FloatKind::F32 => part.cast::<f32>().add(at).write(number),
                _ => part.cast::<u16>().add(at).write(f32_to_f16(number)),
            }
        }
    }
}
