//! Attention over a cache, for a few positions of one conversation at a time.
//!
//! Scores of all positions are computed, then their weights, then the weighted sum of
//! the values, block by block from the first position on, so that a position's result
//! does not depend on what is computed with it.

use super::cache::{Cache, POSITIONS};
use super::element::softmax;
use super::isa::Isa;
use super::matrix::floats;

/// Queries of one head of keys and values that are computed together, and what they
/// may see.
pub(crate) struct Queries<'a> {
    pub(crate) layer: usize,
    /// Head of keys and values.
    pub(crate) head: usize,
    /// Blocks of the conversation.
    pub(crate) blocks: &'a [u32],
    /// Queries one after the other, scaled.
    pub(crate) queries: &'a [f32],
    /// How many positions each query sees.
    pub(crate) visible: &'a [usize],
}

/// What a thread needs for itself.
#[derive(Default)]
pub(crate) struct Scratch {
    scores: Vec<f32>,
}

/// Writes a result for each query into `out`, one after the other. There are as many
/// queries as a tile has columns ([`super::activations::tiles`]).
pub(crate) fn attend(
    isa: Isa,
    cache: &Cache,
    asked: &Queries<'_>,
    scratch: &mut Scratch,
    out: &mut [f32],
) {
    let (count, head, kind) = (asked.visible.len(), cache.shape().head, cache.shape().kind);
    let most = asked.visible.iter().copied().max().unwrap_or(0);
    let blocks = &asked.blocks[..most.div_ceil(POSITIONS)];
    let stride = blocks.len() * POSITIONS;
    let scores = &mut scratch.scores;
    scores.clear();
    scores.resize(count * stride, 0.0);
    for (at, block) in blocks.iter().enumerate() {
        let keys = (cache.keys(asked.layer, *block as usize, asked.head), 0);
        let to = (scores[at * POSITIONS..].as_mut_ptr(), stride);
        floats(isa, count, 1, kind, keys, head, (asked.queries.as_ptr(), head), to);
    }
    out.fill(0.0);
    let mut sums = [1.0; super::tile::TOGETHER];
    for ((scores, visible), sum) in scores.chunks_mut(stride).zip(asked.visible).zip(&mut sums) {
        *sum = softmax(isa, &mut scores[..*visible]);
        scores[*visible..].fill(0.0);
    }
    for (at, block) in blocks.iter().enumerate() {
        let (values, next) = cache.values(asked.layer, *block as usize, asked.head);
        let columns = POSITIONS.min(most - at * POSITIONS);
        let weights = (scores[at * POSITIONS..].as_ptr(), stride);
        let panels = isa.panels(count);
        for panel in (0..head / 16).step_by(panels) {
            let together = panels.min(head / 16 - panel);
            // SAFETY: the block has this panel.
            let values = (unsafe { values.add(panel * next) }, next);
            let to = (out[panel * 16..].as_mut_ptr(), head);
            floats(isa, count, together, kind, values, columns, weights, to);
        }
    }
    for (out, sum) in out.chunks_mut(head).zip(sums) {
        out.iter_mut().for_each(|number| *number /= sum);
    }
}
