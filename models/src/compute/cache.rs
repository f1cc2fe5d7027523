//! Keys and values of conversations, in half precision, in blocks of sixteen
//! positions.
//!
//! A block of a head has its keys as a panel (for each number of the head, that of
//! each position), and its values as panels of sixteen numbers of the head (for each
//! position, sixteen numbers): both are what [`super::tile::Floats`] reads.

use super::lanes::f32_to_f16;
use super::memory::Memory;
use super::pool::Shared;

/// Positions of a block.
pub(crate) const POSITIONS: usize = 16;

/// Dimensions of a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) layers: usize,
    /// Heads of keys and values.
    pub(crate) heads: usize,
    /// Numbers of a head, a multiple of sixteen after [`Shape::new`].
    pub(crate) head: usize,
    pub(crate) blocks: usize,
}

impl Shape {
    /// Numbers of one kind, of one head in one block.
    fn part(self) -> usize {
        POSITIONS * self.head.next_multiple_of(16)
    }

    /// Bytes of a block in all layers.
    pub(crate) fn block_bytes(self) -> usize {
        self.layers * self.heads * 2 * self.part() * 2
    }

    /// Where a part begins, in numbers; a layer's blocks lie together.
    fn at(self, layer: usize, block: usize, head: usize, is_value: bool) -> usize {
        (((layer * self.blocks + block) * self.heads + head) * 2 + usize::from(is_value)) * self.part()
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
        let bytes = self.memory.bytes_mut();
        let (from, length) = (bytes.as_mut_ptr().cast::<u16>(), bytes.len() / 2);
        // SAFETY: aligned for much more than two bytes, and any bits are a number.
        let halves = unsafe { std::slice::from_raw_parts_mut(from, length) };
        Writer { shape: self.shape, numbers: Shared::new(halves) }
    }

    fn part(&self, layer: usize, block: usize, head: usize, is_value: bool) -> *const u8 {
        let at = 2 * self.shape.at(layer, block, head, is_value);
        self.memory.bytes()[at..at + 2 * self.shape.part()].as_ptr()
    }

    /// The keys of a block.
    pub(crate) fn keys(&self, layer: usize, block: usize, head: usize) -> *const u8 {
        self.part(layer, block, head, false)
    }

    /// The values of a block, and how many bytes after each other their panels lie.
    pub(crate) fn values(&self, layer: usize, block: usize, head: usize) -> (*const u8, usize) {
        (self.part(layer, block, head, true), POSITIONS * 16 * 2)
    }
}

/// A cache that is written to.
#[derive(Clone, Copy)]
pub(crate) struct Writer<'a> {
    shape: Shape,
    numbers: Shared<'a, u16>,
}

impl Writer<'_> {
    /// Writes the key and the value of one position, all heads.
    ///
    /// # Safety
    /// No other thread has this position of this block.
    pub(crate) unsafe fn write(self, layer: usize, block: usize, position: usize, keys: &[f32], values: &[f32]) {
        let Shape { head: size, .. } = self.shape;
        for head in 0..self.shape.heads {
            let key = self.numbers.from_at(self.shape.at(layer, block, head, false), self.shape.part());
            let value = self.numbers.from_at(self.shape.at(layer, block, head, true), self.shape.part());
            for at in 0..size {
                // SAFETY: within the part of this head and block.
                unsafe {
                    key.add(at * POSITIONS + position).write(f32_to_f16(keys[head * size + at]));
                    let (panel, lane) = (at / 16, at % 16);
                    let to = value.add((panel * POSITIONS + position) * 16 + lane);
                    to.write(f32_to_f16(values[head * size + at]));
                }
            }
        }
    }
}
