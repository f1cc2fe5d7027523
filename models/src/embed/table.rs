//! The table: one vector of bytes per piece of the vocabulary, and the layer that
//! their sum goes through.
//!
//! ```text
//! offset  bytes
//!      0      8  "ALMAEMB\0"
//!      8      4  version of this layout, 2
//!     12      4  rows
//!     16      4  dimensions
//!     20      4  kind of scale: 1, one per row
//!     24      4  inner width of the layer
//!     28      4  zero
//!     32     32  SHA-256 of the vocabulary file
//!     64         the table: scales, f32, one per row; entries, i8, row by row
//!                the layer's first half, a row for each of its inner values:
//!                scales, entries (dimensions each), what is added, f32
//!                its second half, a row for each dimension: the same
//! ```
//!
//! Numbers are little-endian. A row's vector is its entries times its scale.
//! The table is read where it lies: a program that embeds nothing pays for no
//! page of it. The layer (1 MB as numbers) is unpacked.

use crate::compute::layer::{Layer, Linear};
use charter::digest::Digest;

const MAGIC: &[u8] = b"ALMAEMB\0";
const LAYOUT: u32 = 2;
const SCALE_PER_ROW: u32 = 1;
const HEADER: usize = 64;

/// Why a table cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// It ends early, or goes on after its end.
    #[error("the embedding table should have {expected} bytes and has {found}")]
    Length {
        /// By its header.
        expected: u64,
        /// In fact.
        found: u64,
    },
    /// It does not start as a table does.
    #[error("this is no embedding table: it does not start with \"ALMAEMB\"")]
    Magic,
    /// A later program made it.
    #[error(
        "the embedding table has layout {layout} and scale kind {scale}; this program reads 2 and 1"
    )]
    Layout {
        /// Version of the layout.
        layout: u32,
        /// Kind of scale.
        scale: u32,
    },
    /// It has no rows, no dimensions, or no layer.
    #[error("the embedding table is empty")]
    Empty,
    /// A scale is no finite number.
    #[error("row {0} of the embedding table has a scale that is no finite number")]
    Scale(u32),
    /// The layer is damaged.
    #[error("the layer behind the embedding table holds a number that is not finite")]
    Layer,
    /// It was made with another vocabulary.
    #[error("the embedding table was made with vocabulary {expected}, not with {found}")]
    Vocabulary {
        /// By its header.
        expected: Digest,
        /// What was given.
        found: Digest,
    },
    /// The vocabulary has more or fewer pieces than the table has rows.
    #[error("the embedding table has {rows} rows for a vocabulary of {pieces} pieces")]
    Rows {
        /// Of the table.
        rows: usize,
        /// Of the vocabulary.
        pieces: usize,
    },
    /// The vocabulary has no `[UNK]`.
    #[error("the vocabulary of the embedding table has no [UNK]")]
    Unknown,
}

/// A table, borrowed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table {
    scales: &'static [u8],
    entries: &'static [u8],
    dimensions: usize,
    rows: usize,
}

/// Reads the header, checks that all it promises is there, and unpacks the layer.
pub(super) fn read(bytes: &'static [u8], vocabulary: &[u8]) -> Result<(Table, Layer), TableError> {
    let short = TableError::Length { expected: HEADER as u64, found: bytes.len() as u64 };
    let (header, body) = bytes.split_at_checked(HEADER).ok_or(short)?;
    if !header.starts_with(MAGIC) {
        return Err(TableError::Magic);
    }
    let field = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| header[at + i]));
    let (layout, rows, dimensions, scale) = (field(8), field(12), field(16), field(20));
    let inner = field(24);
    if (layout, scale) != (LAYOUT, SCALE_PER_ROW) {
        return Err(TableError::Layout { layout, scale });
    }
    if rows == 0 || dimensions == 0 || inner == 0 {
        return Err(TableError::Empty);
    }
    let expected = Digest(std::array::from_fn(|i| header[32 + i]));
    let found = Digest::of(vocabulary);
    if expected != found {
        return Err(TableError::Vocabulary { expected, found });
    }
    let half = |outputs: u32, inputs: u32| u128::from(outputs) * (8 + u128::from(inputs));
    let size = u128::from(rows) * (4 + u128::from(dimensions))
        + half(inner, dimensions)
        + half(dimensions, inner);
    if size != body.len() as u128 {
        return Err(TableError::Length {
            expected: u64::try_from(size + HEADER as u128).unwrap_or(u64::MAX),
            found: bytes.len() as u64,
        });
    }
    let (rows, dimensions, inner) = (rows as usize, dimensions as usize, inner as usize);
    let (scales, body) = body.split_at(rows * 4);
    let (entries, body) = body.split_at(rows * dimensions);
    let table = Table { scales, entries, dimensions, rows };
    if let Some(row) = (0..rows).find(|row| !table.scale(*row).is_some_and(f32::is_finite)) {
        return Err(TableError::Scale(u32::try_from(row).unwrap_or(u32::MAX)));
    }
    let (first, second) = body.split_at(inner * (8 + dimensions));
    let layer = Layer::new(linear(first, inner, dimensions)?, linear(second, dimensions, inner)?);
    Ok((table, layer))
}

/// One half of the layer: scales, entries, and what is added.
fn linear(bytes: &[u8], outputs: usize, inputs: usize) -> Result<Linear, TableError> {
    let (scales, rest) = bytes.split_at(outputs * 4);
    let (entries, bias) = rest.split_at(outputs * inputs);
    let (scales, bias) = (numbers(scales), numbers(bias));
    match scales.iter().chain(&bias).all(|number| number.is_finite()) {
        true => Ok(Linear::new(&scales, entries, bias)),
        false => Err(TableError::Layer),
    }
}

fn numbers(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

impl Table {
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn dimensions(&self) -> usize {
        self.dimensions
    }

    fn scale(&self, row: usize) -> Option<f32> {
        let bytes = self.scales.get(row * 4..)?.first_chunk()?;
        Some(f32::from_le_bytes(*bytes))
    }

    /// Adds a row to the sum. A row that is not there, or that is all zero,
    /// adds nothing and says so.
    pub(super) fn add(&self, row: u32, sum: &mut [f32]) -> bool {
        let row = row as usize;
        let Some(scale) = self.scale(row).filter(|scale| *scale != 0.0) else { return false };
        let start = row * self.dimensions;
        let Some(entries) = self.entries.get(start..start + self.dimensions) else { return false };
        for (total, entry) in sum.iter_mut().zip(entries) {
            *total += scale * f32::from(entry.cast_signed());
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOCABULARY: &[u8] = b"[UNK]\na\n";

    /// Two rows of three: the first all zero, the second 0.5 · (2, -2, 127); a layer of
    /// one inner value.
    fn bytes() -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for field in [2u32, 2, 3, 1, 1, 0] {
            bytes.extend(field.to_le_bytes());
        }
        bytes.extend(Digest::of(VOCABULARY).0);
        let numbers = |bytes: &mut Vec<u8>, numbers: &[f32]| {
            bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        };
        numbers(&mut bytes, &[0.0, 0.5]);
        bytes.extend([0, 0, 0, 2, 254, 127]);
        numbers(&mut bytes, &[2.0]);
        bytes.extend([1, 0, 0]);
        numbers(&mut bytes, &[-1.0]);
        numbers(&mut bytes, &[1.0; 3]);
        bytes.extend([0, 3, 0]);
        numbers(&mut bytes, &[0.0; 3]);
        bytes
    }

    fn reads(change: impl FnOnce(&mut Vec<u8>)) -> Result<(Table, Layer), TableError> {
        let mut bytes = bytes();
        change(&mut bytes);
        read(bytes.leak(), VOCABULARY)
    }

    fn refuses(change: impl FnOnce(&mut Vec<u8>), expect: TableError) {
        assert_eq!(reads(change).unwrap_err(), expect);
    }

    #[test]
    fn a_row_is_its_entries_times_its_scale() {
        let (table, layer) = reads(|_| ()).unwrap();
        assert_eq!((table.rows(), table.dimensions()), (2, 3));
        let mut sum = [1.0; 3];
        assert!(table.add(1, &mut sum));
        assert_eq!(sum, [2.0, 0.0, 64.5]);
        assert!(!table.add(0, &mut sum));
        assert!(!table.add(2, &mut sum));
        assert_eq!(sum, [2.0, 0.0, 64.5]);
        // relu(2 · 2 - 1) = 3, of which the second gets 3 · 3.
        layer.bend(&mut sum);
        assert_eq!(sum, [2.0, 9.0, 64.5]);
    }

    #[test]
    fn a_damaged_table_is_refused() {
        let whole = bytes().len() as u64;
        let length = |found| TableError::Length { expected: whole, found };
        refuses(|b| b.truncate(63), TableError::Length { expected: 64, found: 63 });
        refuses(|b| b.push(0), length(whole + 1));
        refuses(|b| b.truncate(77), length(77));
        refuses(|b| b[0] = b'x', TableError::Magic);
        refuses(|b| b[8] = 1, TableError::Layout { layout: 1, scale: 1 });
        refuses(|b| b[20] = 0, TableError::Layout { layout: 2, scale: 0 });
        refuses(|b| b[16] = 0, TableError::Empty);
        refuses(|b| b[24] = 0, TableError::Empty);
        refuses(|b| b[68..72].fill(0xff), TableError::Scale(1));
        refuses(|b| b[78..82].fill(0xff), TableError::Layer);
    }

    #[test]
    fn a_header_that_promises_the_moon_is_refused() {
        let found = bytes().len() as u64;
        refuses(|b| b[12..20].fill(0xff), TableError::Length { expected: u64::MAX, found });
    }

    #[test]
    fn another_vocabulary_is_refused() {
        let error = read(bytes().leak(), b"[UNK]\nb\n").unwrap_err();
        assert!(matches!(error, TableError::Vocabulary { .. }), "{error}");
    }
}
