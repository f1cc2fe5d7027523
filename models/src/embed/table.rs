//! The table: one vector of bytes per piece of the vocabulary.
//!
//! ```text
//! offset  bytes
//!      0      8  "ALMAEMB\0"
//!      8      4  version of this layout, 1
//!     12      4  rows
//!     16      4  dimensions
//!     20      4  kind of scale: 1, one per row
//!     24      8  zero
//!     32     32  SHA-256 of the vocabulary file
//!     64  4·rows  scales, f32
//!         rows·dimensions  entries, i8
//! ```
//!
//! Numbers are little-endian. A row's vector is its entries times its scale.
//! The table is read where it lies: a program that embeds nothing pays for no
//! page of it.

use charter::digest::Digest;

const MAGIC: &[u8] = b"ALMAEMB\0";
const LAYOUT: u32 = 1;
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
        "the embedding table has layout {layout} and scale kind {scale}; this program reads 1 and 1"
    )]
    Layout {
        /// Version of the layout.
        layout: u32,
        /// Kind of scale.
        scale: u32,
    },
    /// It has no rows or no dimensions.
    #[error("the embedding table is empty")]
    Empty,
    /// A scale is no finite number.
    #[error("row {0} of the embedding table has a scale that is no finite number")]
    Scale(u32),
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

impl Table {
    /// Reads the header and checks that all it promises is there.
    pub(super) fn new(bytes: &'static [u8], vocabulary: &[u8]) -> Result<Self, TableError> {
        let short = TableError::Length { expected: HEADER as u64, found: bytes.len() as u64 };
        let (header, body) = bytes.split_at_checked(HEADER).ok_or(short)?;
        if !header.starts_with(MAGIC) {
            return Err(TableError::Magic);
        }
        let field = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| header[at + i]));
        let (layout, rows, dimensions, scale) = (field(8), field(12), field(16), field(20));
        if (layout, scale) != (LAYOUT, SCALE_PER_ROW) {
            return Err(TableError::Layout { layout, scale });
        }
        if rows == 0 || dimensions == 0 {
            return Err(TableError::Empty);
        }
        let expected = Digest(std::array::from_fn(|i| header[32 + i]));
        let found = Digest::of(vocabulary);
        if expected != found {
            return Err(TableError::Vocabulary { expected, found });
        }
        let size = u128::from(rows) * (4 + u128::from(dimensions));
        if size != body.len() as u128 {
            return Err(TableError::Length {
                expected: u64::try_from(size + HEADER as u128).unwrap_or(u64::MAX),
                found: bytes.len() as u64,
            });
        }
        let (scales, entries) = body.split_at(rows as usize * 4);
        let table = Self { scales, entries, dimensions: dimensions as usize, rows: rows as usize };
        match (0..rows).find(|row| !table.scale(*row as usize).is_some_and(f32::is_finite)) {
            Some(row) => Err(TableError::Scale(row)),
            None => Ok(table),
        }
    }

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

    /// Two rows of three: the first all zero, the second 0.5 · (2, -2, 127).
    fn bytes() -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for field in [1u32, 2, 3, 1, 0, 0] {
            bytes.extend(field.to_le_bytes());
        }
        bytes.extend(Digest::of(VOCABULARY).0);
        bytes.extend([0f32, 0.5].iter().flat_map(|scale| scale.to_le_bytes()));
        bytes.extend([0, 0, 0, 2, 254, 127]);
        bytes
    }

    fn read(change: impl FnOnce(&mut Vec<u8>)) -> Result<Table, TableError> {
        let mut bytes = bytes();
        change(&mut bytes);
        Table::new(bytes.leak(), VOCABULARY)
    }

    fn refuses(change: impl FnOnce(&mut Vec<u8>), expect: TableError) {
        assert_eq!(read(change).unwrap_err(), expect);
    }

    #[test]
    fn a_row_is_its_entries_times_its_scale() {
        let table = read(|_| ()).unwrap();
        assert_eq!((table.rows(), table.dimensions()), (2, 3));
        let mut sum = [1.0; 3];
        assert!(table.add(1, &mut sum));
        assert_eq!(sum, [2.0, 0.0, 64.5]);
        assert!(!table.add(0, &mut sum));
        assert!(!table.add(2, &mut sum));
        assert_eq!(sum, [2.0, 0.0, 64.5]);
    }

    #[test]
    fn a_damaged_table_is_refused() {
        refuses(|b| b.truncate(63), TableError::Length { expected: 64, found: 63 });
        refuses(|b| b.push(0), TableError::Length { expected: 78, found: 79 });
        refuses(|b| b.truncate(77), TableError::Length { expected: 78, found: 77 });
        refuses(|b| b[0] = b'x', TableError::Magic);
        refuses(|b| b[8] = 2, TableError::Layout { layout: 2, scale: 1 });
        refuses(|b| b[20] = 0, TableError::Layout { layout: 1, scale: 0 });
        refuses(|b| b[16] = 0, TableError::Empty);
        refuses(|b| b[68..72].fill(0xff), TableError::Scale(1));
    }

    #[test]
    fn a_header_that_promises_the_moon_is_refused() {
        refuses(|b| b[12..20].fill(0xff), TableError::Length { expected: u64::MAX, found: 78 });
    }

    #[test]
    fn another_vocabulary_is_refused() {
        let error = Table::new(bytes().leak(), b"[UNK]\nb\n").unwrap_err();
        assert!(matches!(error, TableError::Vocabulary { .. }), "{error}");
    }
}
