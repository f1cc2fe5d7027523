//! The network: tokens in, logits out, for pieces of several conversations at once.
//!
//! Every number of a conversation is computed in an order of its own
//! ([`crate::compute`]), so it does not matter which pieces a conversation comes in,
//! nor what is computed beside it.

use crate::compute::activations;
use crate::compute::cache::{Cache, POSITIONS, Shape};
use crate::compute::isa::Isa;
use crate::compute::matrix::Batch;
use crate::compute::processor::{Place, Processor, Span};
use crate::qwen::config::{Dimensions, Family, Names};
use crate::qwen::weights::{Tensor, Weight, WeightsError};
use std::collections::HashMap;

/// Most tokens that are computed at once.
pub(crate) const BATCH: usize = 256;

/// What a checkpoint holds.
pub(crate) struct Checkpoint {
    pub(crate) dimensions: Dimensions,
    pub(crate) names: &'static Names,
    pub(crate) tensors: HashMap<String, Tensor>,
}

/// A part of a conversation that is to be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece<'a> {
    /// Its tokens.
    pub(crate) tokens: &'a [u32],
    /// Position of the first of them.
    pub(crate) position: usize,
    /// Blocks of the cache, for all positions up to the last token.
    pub(crate) blocks: &'a [u32],
    /// For how many of its last tokens logits are wanted.
    pub(crate) logits: usize,
}

struct Layer {
    attention_norm: Vec<f32>,
    feed_norm: Vec<f32>,
    /// Queries, keys and values.
    wide: [Weight; 3],
    biases: Option<[Vec<f32>; 3]>,
    /// Of queries and keys, for each head.
    head_norms: Option<[Vec<f32>; 2]>,
    out: Weight,
    gate: Weight,
    up: Weight,
    down: Weight,
}

/// A Qwen, ready to compute.
pub(crate) struct Network {
    dimensions: Dimensions,
    processor: Processor,
    embedding: Tensor,
    layers: Vec<Layer>,
    norm: Vec<f32>,
    output: Weight,
    angles: Angles,
    buffers: Buffers,
}

/// Room for a batch.
struct Buffers {
    /// One column of `hidden` for each token.
    x: Vec<f32>,
    normed: Vec<f32>,
    wide: [Vec<f32>; 3],
    attended: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    bytes: activations::Bytes,
    logits: Vec<f32>,
    /// Bytes of a row of the embedding.
    row: Vec<u8>,
}

/// Cosines and sines of the positions, as far as they were needed.
struct Angles {
    steps: Vec<f32>,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Angles {
    /// In single precision, as the reference computes them.
    fn new(theta: f64, head: usize) -> Self {
        let step = |pair: usize| 1.0 / (theta as f32).powf((2 * pair) as f32 / head as f32);
        Self { steps: (0..head / 2).map(step).collect(), cos: Vec::new(), sin: Vec::new() }
    }

    fn reach(&mut self, positions: usize) {
        let half = self.steps.len();
        for position in self.cos.len() / half..positions {
            for step in &self.steps {
                let angle = f64::from(position as f32 * step);
                self.cos.push(angle.cos() as f32);
                self.sin.push(angle.sin() as f32);
            }
        }
    }

    fn at(&self, position: usize) -> (&[f32], &[f32]) {
        let own = position * self.steps.len()..(position + 1) * self.steps.len();
        (&self.cos[own.clone()], &self.sin[own])
    }
}

impl Network {
    /// A network whose matrices stay on disk until they are used.
    pub(crate) fn new(mut from: Checkpoint, threads: usize) -> Result<Self, WeightsError> {
        let d = from.dimensions.clone();
        let mut take = |name: String| {
            // The loaders made sure that all are there.
            from.tensors.remove(&name).ok_or(WeightsError::Room { bytes: 0 })
        };
        let names = from.names;
        let mut layers = Vec::new();
        for layer in 0..d.layers {
            let mut part = |part: &str| take(names.of(layer, part));
            let [attention, feed, wq, wk, wv, wo, gate, up, down] = names.parts;
            let mut weight = |name: &str| part(&format!("{name}.weight"));
            let (attention, feed) = (weight(attention)?.vector()?, weight(feed)?.vector()?);
            let wide = [Weight::new(weight(wq)?), Weight::new(weight(wk)?), Weight::new(weight(wv)?)];
            let (wo, gate) = (Weight::new(weight(wo)?), Weight::new(weight(gate)?));
            let (up, down) = (Weight::new(weight(up)?), Weight::new(weight(down)?));
            let head_norms = match d.family {
                Family::Qwen2 => None,
                Family::Qwen3 => {
                    let [q, k] = names.head_norms;
                    Some([weight(q)?.vector()?, weight(k)?.vector()?])
                }
            };
            let biases = if d.bias {
                let mut bias = |name: &str| part(&format!("{name}.bias"))?.vector();
                Some([bias(wq)?, bias(wk)?, bias(wv)?])
            } else {
                None
            };
            layers.push(Layer {
                attention_norm: attention,
                feed_norm: feed,
                wide,
                biases,
                head_norms,
                out: wo,
                gate,
                up,
                down,
            });
        }
        let embedding = take(names.embedding.to_owned())?;
        let norm = take(names.norm.to_owned())?.vector()?;
        let output = if d.tied { embedding.clone() } else { take(names.output.to_owned())? };
        let failed = |source| WeightsError::Threads { source };
        let processor = Processor::new(Isa::best(), threads).map_err(failed)?;
        let widest = d.inner.max(d.hidden).max(d.heads * d.head);
        let numbers = |width: usize| vec![0.0; BATCH * width];
        let buffers = Buffers {
            x: numbers(d.hidden),
            normed: numbers(d.hidden),
            wide: [d.heads, d.kv_heads, d.kv_heads].map(|heads| numbers(heads * d.head)),
            attended: numbers(d.heads * d.head),
            gate: numbers(d.inner),
            up: numbers(d.inner),
            bytes: activations::Bytes::new(BATCH, widest),
            logits: Vec::new(),
            row: Vec::new(),
        };
        let (output, angles) = (Weight::new(output), Angles::new(d.theta, d.head));
        Ok(Self { dimensions: d, processor, embedding, layers, norm, output, angles, buffers })
    }

    /// What a cache of so many blocks looks like.
    pub(crate) fn cache(&self, blocks: usize) -> Shape {
        let d = &self.dimensions;
        Shape { layers: d.layers, heads: d.kv_heads, head: d.head, blocks }
    }

    /// Reads pieces of conversations, at most [`BATCH`] tokens altogether, and gives
    /// the logits that were asked for, in order, one row of the vocabulary each.
    pub(crate) fn read(&mut self, cache: &mut Cache, pieces: &[Piece<'_>]) -> Result<&[f32], WeightsError> {
        let Self { dimensions: d, processor: p, embedding, layers, angles, buffers, .. } = self;
        let tokens: usize = pieces.iter().map(|piece| piece.tokens.len()).sum();
        debug_assert!(tokens <= BATCH);
        let (heads, epsilon) = (d.all_heads(), d.epsilon as f32);
        let ends = pieces.iter().map(|piece| piece.position + piece.tokens.len());
        angles.reach(ends.max().unwrap_or(0));
        let (mut places, mut spans) = (Vec::with_capacity(tokens), Vec::with_capacity(pieces.len()));
        for piece in pieces {
            let Piece { position, blocks, .. } = *piece;
            spans.push(Span { tokens: piece.tokens.len(), position, blocks });
            for (token, position) in piece.tokens.iter().zip(position..) {
                let own = &mut buffers.x[places.len() * d.hidden..][..d.hidden];
                embedding.row(*token as usize, &mut buffers.row, own)?;
                let (cos, sin) = angles.at(position);
                places.push(Place { position, block: blocks[position / POSITIONS] as usize, cos, sin });
            }
        }
        let batch = p.tiles(tokens);
        for (number, layer) in layers.iter_mut().enumerate() {
            let Buffers { x, normed, wide: [q, k, v], attended, gate, up, bytes, .. } = buffers;
            // Attention.
            p.rms_norm(&batch, x, (&layer.attention_norm, epsilon), normed, bytes);
            let [wq, wk, wv] = &mut layer.wide;
            let (wq, wk, wv) = (wq.matrix(p)?, wk.matrix(p)?, wv.matrix(p)?);
            for (at, (out, matrix)) in [(&mut *q, wq), (&mut *k, wk), (&mut *v, wv)].into_iter().enumerate() {
                let rows = matrix.padded();
                let out = &mut out[..tokens * rows];
                match &layer.biases {
                    Some(biases) => out.chunks_exact_mut(rows).for_each(|column| column.copy_from_slice(&biases[at])),
                    None => out.fill(0.0),
                }
            }
            p.multiply(Batch { columns: tokens, floats: normed, bytes }, &mut [(wq, q), (wk, k), (wv, v)]);
            let norms = layer.head_norms.as_ref().map(|norms| (norms, epsilon));
            p.place(heads, number, &places, norms, q, k, v, cache);
            p.attend(heads, number, &spans, q, cache, attended);
            p.quantise(&batch, heads.queries * heads.size, attended, bytes);
            // What a layer gives is added to what it was given.
            let out = layer.out.matrix(p)?;
            p.multiply(Batch { columns: tokens, floats: attended, bytes }, &mut [(out, x)]);
            // Feed forward.
            p.rms_norm(&batch, x, (&layer.feed_norm, epsilon), normed, bytes);
            let (w_gate, w_up) = (layer.gate.matrix(p)?, layer.up.matrix(p)?);
            gate[..tokens * d.inner].fill(0.0);
            up[..tokens * d.inner].fill(0.0);
            p.multiply(Batch { columns: tokens, floats: normed, bytes }, &mut [(w_gate, gate), (w_up, up)]);
            p.silu_mul(&batch, d.inner, gate, up, bytes);
            let down = layer.down.matrix(p)?;
            p.multiply(Batch { columns: tokens, floats: gate, bytes }, &mut [(down, x)]);
        }
        self.logits(pieces)
    }

    /// The logits of the last tokens of each piece.
    fn logits(&mut self, pieces: &[Piece<'_>]) -> Result<&[f32], WeightsError> {
        let Self { dimensions: d, processor: p, norm, output, buffers, .. } = self;
        let Buffers { x, normed, bytes, logits, .. } = buffers;
        // Their columns move to the front.
        let (mut from, mut wanted) = (0, 0);
        for piece in pieces {
            for at in piece.tokens.len() - piece.logits..piece.tokens.len() {
                let column = (from + at) * d.hidden;
                x.copy_within(column..column + d.hidden, wanted * d.hidden);
                wanted += 1;
            }
            from += piece.tokens.len();
        }
        if wanted == 0 {
            return Ok(&[]);
        }
        p.rms_norm(&p.tiles(wanted), x, (norm, d.epsilon as f32), normed, bytes);
        let matrix = output.matrix(p)?;
        let rows = matrix.padded();
        logits.clear();
        logits.resize(wanted * rows, 0.0);
        p.multiply(Batch { columns: wanted, floats: normed, bytes }, &mut [(matrix, logits)]);
        for row in 1..if rows == d.vocabulary { 0 } else { wanted } {
            logits.copy_within(row * rows..row * rows + d.vocabulary, row * d.vocabulary);
        }
        Ok(&logits[..wanted * d.vocabulary])
    }
}

/// A network with one conversation.
pub(crate) struct Reader {
    network: Network,
    cache: Cache,
    blocks: Vec<u32>,
    position: usize,
}

impl Reader {
    pub(crate) fn new(checkpoint: Checkpoint, threads: usize) -> Result<Self, WeightsError> {
        let blocks = checkpoint.dimensions.context.div_ceil(POSITIONS);
        let network = Network::new(checkpoint, threads)?;
        let shape = network.cache(blocks);
        let room = WeightsError::Room { bytes: shape.block_bytes() * blocks };
        let cache = Cache::new(shape).ok_or(room)?;
        Ok(Self { network, cache, blocks: (0..blocks as u32).collect(), position: 0 })
    }
}

impl crate::engine::Network for Reader {
    fn reset(&mut self) {
        self.position = 0;
    }

    fn read(&mut self, tokens: &[u32]) -> Result<Vec<f32>, WeightsError> {
        let mut logits = Vec::new();
        let count = tokens.len().div_ceil(BATCH);
        for (at, tokens) in tokens.chunks(BATCH).enumerate() {
            let wanted = usize::from(at + 1 == count);
            let (position, blocks) = (self.position, &self.blocks);
            let piece = Piece { tokens, position, blocks, logits: wanted };
            logits = self.network.read(&mut self.cache, &[piece])?.to_vec();
            self.position += tokens.len();
        }
        Ok(logits)
    }
}

#[cfg(test)]
mod temporary {
    use super::*;
    use crate::engine::Network as _;
    use std::time::Instant;
    #[test]
    #[ignore]
    fn speed() {
        for name in std::env::var("M").unwrap().split(',') {
            let path = std::path::PathBuf::from(format!("/tmp/gguf/{name}.gguf"));
            let t = Instant::now();
            let found = crate::qwen::gguf::find(&path).unwrap();
            let mut reader = Reader::new(found.checkpoint, 2).unwrap();
            let load = t.elapsed();
            let t = Instant::now();
            reader.read(&[1]).unwrap();
            let first = t.elapsed();
            let prompt: Vec<u32> = (0..512).map(|i| (i * 7919) % 1000).collect();
            let (mut prefill, mut decode) = (f64::MAX, f64::MAX);
            for _ in 0..3 {
                reader.reset();
                let t = Instant::now();
                reader.read(&prompt).unwrap();
                prefill = prefill.min(t.elapsed().as_secs_f64());
                let t = Instant::now();
                for i in 0..64 { reader.read(&[(i * 31) % 1000]).unwrap(); }
                decode = decode.min(t.elapsed().as_secs_f64());
            }
            println!("{name}: find {load:?} first {first:?} prefill {:.1} decode {:.1}", 512.0 / prefill, 64.0 / decode);
        }
    }
}
