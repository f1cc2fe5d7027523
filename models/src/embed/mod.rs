//! Texts as vectors: each piece of a text has a vector in a table, their sum goes
//! through one layer, and what comes out is brought to unit length.
//!
//! Table and layer are distilled from all-MiniLM-L6-v2: 256 dimensions, 8 bits.
//! They were made by `models/recipes/embedder` and ship inside the program. A
//! vector takes microseconds, so that memory works at once and on any machine.
//!
//! ```
//! use charter::embed::Embed;
//!
//! let embedder = models::embed::StaticEmbedder::new()?;
//! let [a, b, c] = ["a dog runs", "the puppy is running", "annual tax report"].map(|t| embedder.embed(t));
//! let cosine = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f32>();
//! assert!(cosine(&a, &b) > cosine(&a, &c));
//! # Ok::<(), models::embed::TableError>(())
//! ```

mod table;
mod wordpiece;

use crate::compute::layer::Layer;
use charter::embed::Embed;
use std::sync::{Arc, OnceLock};
use table::Table;
pub use table::TableError;
use wordpiece::WordPiece;

pub(crate) static TABLE: &[u8] = include_bytes!("../../pocket/embedder.bin");
static VOCABULARY: &str = include_str!("../../pocket/vocab.txt");

/// Goes into every memory. A new table gets a new number here.
const VERSION: &str = "pocket-256/2";

/// A text is read up to here: beyond it a sum of word vectors says nothing
/// more, and time stays bounded.
pub const TEXT_BYTES: usize = 64 * 1024;

/// The embedder that ships with the program.
#[derive(Debug)]
pub struct StaticEmbedder {
    table: Table,
    layer: Layer,
    wordpiece: WordPiece,
}

impl StaticEmbedder {
    /// Checks the table and indexes the vocabulary: a few milliseconds.
    pub fn new() -> Result<Self, TableError> {
        let (table, layer) = table::read(TABLE, VOCABULARY.as_bytes())?;
        let wordpiece = WordPiece::new(VOCABULARY).ok_or(TableError::Unknown)?;
        if wordpiece.len() != table.rows() {
            return Err(TableError::Rows { rows: table.rows(), pieces: wordpiece.len() });
        }
        Ok(Self { table, layer, wordpiece })
    }

    /// Calls `each` with the number of every piece of a text, in order.
    pub(crate) fn pieces(&self, text: &str, each: impl FnMut(u32)) {
        self.wordpiece.encode(&text[..text.floor_char_boundary(TEXT_BYTES)], each);
    }

    /// Adds the vector of a piece to a sum, before the layer.
    pub(crate) fn add(&self, piece: u32, sum: &mut [f32]) {
        self.table.add(piece, sum);
    }

    /// The one of this process, made when it is first asked for.
    pub fn shared() -> Result<Arc<Self>, TableError> {
        static SHARED: OnceLock<Result<Arc<StaticEmbedder>, TableError>> = OnceLock::new();
        SHARED.get_or_init(|| Self::new().map(Arc::new)).clone()
    }
}

impl Embed for StaticEmbedder {
    fn version(&self) -> &str {
        VERSION
    }

    fn dimensions(&self) -> usize {
        self.table.dimensions()
    }

    fn bytes(&self) -> u64 {
        TABLE.len() as u64
    }

    fn embed(&self, text: &str) -> Vec<f32> {
        let text = &text[..text.floor_char_boundary(TEXT_BYTES)];
        let mut vector = vec![0.0; self.table.dimensions()];
        self.wordpiece.encode(text, |id| {
            self.table.add(id, &mut vector);
        });
        if to_unit_length(&mut vector) {
            self.layer.bend(&mut vector);
            to_unit_length(&mut vector);
        }
        vector
    }
}

/// Leaves a vector of zeros as it is, and says so.
fn to_unit_length(vector: &mut [f32]) -> bool {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x /= length);
    }
    length > 0.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use charter::digest::Digest;
    use serde::Deserialize;

    /// What the reference tokeniser and numpy say, made by
    /// `models/recipes/embedder/golden.py`.
    #[derive(Deserialize)]
    struct Golden {
        made_by: String,
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        text: String,
        ids: Vec<u32>,
        vector: Vec<f32>,
    }

    fn golden() -> Golden {
        serde_json::from_str(include_str!("golden.json")).unwrap()
    }

    fn embedder() -> Arc<StaticEmbedder> {
        StaticEmbedder::shared().unwrap()
    }

    fn cosine(a: &str, b: &str) -> f32 {
        let (a, b) = (embedder().embed(a), embedder().embed(b));
        a.iter().zip(&b).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn pieces_are_those_of_the_reference() {
        let golden = golden();
        assert!(golden.made_by.contains("tokenizers "), "{}", golden.made_by);
        assert!(golden.cases.len() >= 50);
        for case in golden.cases {
            let mut ids = Vec::new();
            embedder().wordpiece.encode(&case.text, |id| ids.push(id));
            assert_eq!(ids, case.ids, "{:?}", case.text);
        }
    }

    #[test]
    fn vectors_are_those_of_the_recipe() {
        for case in golden().cases {
            let vector = embedder().embed(&case.text);
            assert_eq!(vector.len(), case.vector.len());
            for (ours, theirs) in vector.iter().zip(&case.vector) {
                assert!((ours - theirs).abs() < 1e-3, "{:?}: {ours} {theirs}", case.text);
            }
        }
    }

    #[test]
    fn a_new_table_needs_a_new_version() {
        let data = Digest::of_parts(&[TABLE, VOCABULARY.as_bytes()]);
        expect_test::expect![
            "pocket-256/2 98e35fba26b0cf324231ed70b10b2f2a64b93dfedc38fb99396a14d5fdc4a213"
        ]
        .assert_eq(&format!("{VERSION} {data}"));
    }

    #[test]
    fn vectors_have_unit_length_or_none() {
        for text in ["hello", "The rent is due on Friday.", "漢字", "!", &"word ".repeat(50_000)]
        {
            let length = embedder().embed(text).iter().map(|x| x * x).sum::<f32>();
            assert!((length - 1.0).abs() < 1e-4, "{length} {text:.20}");
        }
        for text in ["", " \n", "\u{0}", "\u{10ffff}", "🙂"] {
            assert!(embedder().embed(text).iter().all(|x| *x == 0.0), "{text:?}");
        }
    }

    #[test]
    fn a_text_is_read_up_to_the_bound() {
        let bound = "ab ".repeat(TEXT_BYTES / 3);
        let longer = format!("{bound}é something else entirely");
        assert_eq!(embedder().embed(&longer), embedder().embed(&longer[..TEXT_BYTES - 1]));
    }

    #[test]
    fn near_in_meaning_is_near_in_space() {
        assert!(cosine("the cat sleeps", "a kitten is sleeping") > 0.5);
        assert!(cosine("the cat sleeps", "invoice from the plumber") < 0.2);
    }

    #[test]
    fn frequent_words_weigh_little() {
        assert!(cosine("the cat of the house", "cat house") > 0.9);
    }
}
