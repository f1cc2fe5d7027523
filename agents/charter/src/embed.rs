//! The port behind which texts become vectors.

/// Turns text into a vector; the same version always gives the same vector.
///
/// The vector is stored with every memory together with the version that made
/// it: vectors of different versions are never compared.
pub trait Embed: Send + Sync {
    /// Which embedder this is, table included, such as `pocket-256/2`.
    fn version(&self) -> &str;

    /// The length of every vector.
    fn dimensions(&self) -> usize;

    /// Bytes of its weights.
    fn bytes(&self) -> u64;

    /// The vector of a text: of unit length, or all zero for a text without a
    /// known token. A text beyond the embedder's bound is read up to there.
    fn embed(&self, text: &str) -> Vec<f32>;
}
