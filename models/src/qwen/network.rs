//! The network: tokens in, logits out, for pieces of several conversations at once.
//!
//! Every number of a conversation is computed in an order of its own
//! ([`crate::compute`]), so it does not matter which pieces a conversation comes in,
//! nor what is computed beside it.

use crate::compute::activations;
use crate::compute::cache::{Cache, POSITIONS, Shape};
use crate::compute::isa::Isa;
use crate::compute::matrix::Batch;
use crate::compute::processor::{Place, Processor, Span, Tiles};
use crate::compute::tile::FloatKind;
use crate::engine::{Model, Piece};
use crate::qwen::config::{Dimensions, Family, Names};
use crate::qwen::weights::{Tensor, Weight, WeightsError};
use candle_core::quantized::GgmlDType;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

/// Most tokens that are computed at once.
pub(crate) const BATCH: usize = 256;

/// What a checkpoint holds.
pub(crate) struct Checkpoint {
    pub(crate) dimensions: Dimensions,
    pub(crate) names: &'static Names,
    pub(crate) tensors: HashMap<String, Tensor>,
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
    /// Of each token where it stands; of each piece which of the blocks are its own.
    places: Vec<Place>,
    spans: Vec<Span>,
    blocks: Vec<u32>,
    tiles: Tiles,
}

/// Cosines and sines of the positions, as far as they were needed.
pub(super) struct Angles {
    steps: Vec<f32>,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Angles {
    /// In single precision, as the reference computes them.
    pub(super) fn new(theta: f64, head: usize) -> Self {
        let step = |pair: usize| 1.0 / (theta as f32).powf((2 * pair) as f32 / head as f32);
        Self { steps: (0..head / 2).map(step).collect(), cos: Vec::new(), sin: Vec::new() }
    }

    /// Makes sure that so many positions are there.
    pub(super) fn reach(&mut self, positions: usize) {
        let half = self.steps.len();
        for position in self.cos.len() / half..positions {
            for step in &self.steps {
                let angle = f64::from(position as f32 * step);
                self.cos.push(angle.cos() as f32);
                self.sin.push(angle.sin() as f32);
            }
        }
    }

    /// Of one position.
    pub(super) fn at(&self, position: usize) -> (&[f32], &[f32]) {
        let own = position * self.steps.len()..(position + 1) * self.steps.len();
        (&self.cos[own.clone()], &self.sin[own])
    }
}

impl Network {
    /// A network whose matrices stay on disk until they are used.
    pub(crate) fn new(mut from: Checkpoint, threads: usize) -> Result<Self, WeightsError> {
        let d = from.dimensions.clone();
        let mut take =
            |name: String| from.tensors.remove(&name).ok_or(WeightsError::Missing { name });
        let names = from.names;
        let mut layers = Vec::new();
        for layer in 0..d.layers {
            let mut part = |part: &str| take(names.of(layer, part));
            let [attention, feed, wq, wk, wv, wo, gate, up, down] = names.parts;
            let mut weight = |name: &str| part(&format!("{name}.weight"));
            let (attention, feed) = (weight(attention)?.vector()?, weight(feed)?.vector()?);
            let wide =
                [Weight::new(weight(wq)?), Weight::new(weight(wk)?), Weight::new(weight(wv)?)];
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
            places: Vec::new(),
            spans: Vec::new(),
            blocks: Vec::new(),
            tiles: Tiles::default(),
        };
        let (output, angles) = (Weight::new(output), Angles::new(d.theta, d.head));
        Ok(Self { dimensions: d, processor, embedding, layers, norm, output, angles, buffers })
    }

    /// What a cache of so many blocks looks like.
    pub(crate) fn cache(&self, blocks: usize) -> Shape {
        let d = &self.dimensions;
        let kind = if self.embedding.format.kind == GgmlDType::F32 {
            FloatKind::F32
        } else {
            FloatKind::F16
        };
        Shape { layers: d.layers, heads: d.kv_heads, head: d.head, blocks, kind }
    }

    /// Reads pieces of conversations, at most [`BATCH`] tokens altogether, and gives
    /// the logits that were asked for, in order, one row of the vocabulary each.
    /// `None`: `stop` was set before the end.
    pub(crate) fn read(
        &mut self,
        cache: &mut Cache,
        pieces: &[Piece<'_>],
        stop: &AtomicBool,
    ) -> Result<Option<&[f32]>, WeightsError> {
        let Self { dimensions: d, processor: p, embedding, layers, angles, buffers, .. } = self;
        let tokens: usize = pieces.iter().map(|piece| piece.tokens.len()).sum();
        let (heads, epsilon) = (d.all_heads(), d.epsilon as f32);
        let ends = pieces.iter().map(|piece| piece.position + piece.tokens.len());
        angles.reach(ends.max().unwrap_or(0));
        let Buffers { x, row, places, spans, blocks: all, tiles, .. } = &mut *buffers;
        places.clear();
        spans.clear();
        all.clear();
        for piece in pieces {
            let Piece { position, blocks, .. } = *piece;
            let own = all.len()..all.len() + blocks.len();
            all.extend(blocks);
            spans.push(Span { tokens: piece.tokens.len(), position, blocks: own });
            for (token, position) in piece.tokens.iter().zip(position..) {
                if *token as usize >= d.vocabulary {
                    return Err(WeightsError::Token { token: *token, tokens: d.vocabulary });
                }
                let own = &mut x[places.len() * d.hidden..][..d.hidden];
                embedding.row(*token as usize, row, own)?;
                places.push(Place { position, block: blocks[position / POSITIONS] as usize });
            }
        }
        embedding.check()?;
        p.tiles(tokens, tiles);
        for (number, layer) in layers.iter_mut().enumerate() {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let Buffers { x, normed, wide: [q, k, v], attended, gate, up, bytes, .. } = buffers;
            let (places, spans, blocks, batch) =
                (&buffers.places, &buffers.spans, &buffers.blocks, &buffers.tiles);
            // Attention.
            p.rms_norm(batch, x, (&layer.attention_norm, epsilon), normed, bytes);
            let [wq, wk, wv] = &mut layer.wide;
            let (wq, wk, wv) = (wq.matrix(p)?, wk.matrix(p)?, wv.matrix(p)?);
            for (at, (out, matrix)) in
                [(&mut *q, wq), (&mut *k, wk), (&mut *v, wv)].into_iter().enumerate()
            {
                let rows = matrix.padded();
                let out = &mut out[..tokens * rows];
                match &layer.biases {
                    Some(biases) => out
                        .chunks_exact_mut(rows)
                        .for_each(|column| column.copy_from_slice(&biases[at])),
                    None => out.fill(0.0),
                }
            }
            p.multiply(
                Batch { columns: tokens, floats: normed, bytes },
                &mut [(wq, q), (wk, k), (wv, v)],
            );
            let norms = layer.head_norms.as_ref().map(|norms| (norms, epsilon));
            let angles = |position| angles.at(position);
            p.place(heads, number, places, angles, norms, q, k, v, cache);
            p.attend(heads, number, (spans, blocks), q, cache, attended);
            p.quantise(batch, heads.queries * heads.size, attended, bytes);
            // What a layer gives is added to what it was given.
            let out = layer.out.matrix(p)?;
            p.multiply(Batch { columns: tokens, floats: attended, bytes }, &mut [(out, x)]);
            // Feed forward.
            p.rms_norm(batch, x, (&layer.feed_norm, epsilon), normed, bytes);
            let (w_gate, w_up) = (layer.gate.matrix(p)?, layer.up.matrix(p)?);
            gate[..tokens * d.inner].fill(0.0);
            up[..tokens * d.inner].fill(0.0);
            p.multiply(
                Batch { columns: tokens, floats: normed, bytes },
                &mut [(w_gate, gate), (w_up, up)],
            );
            p.silu_mul(batch, d.inner, gate, up, bytes);
            let down = layer.down.matrix(p)?;
            p.multiply(Batch { columns: tokens, floats: gate, bytes }, &mut [(down, x)]);
        }
        self.logits(pieces).map(Some)
    }

    /// The logits of the last tokens of each piece.
    fn logits(&mut self, pieces: &[Piece<'_>]) -> Result<&[f32], WeightsError> {
        let Self { dimensions: d, processor: p, norm, output, buffers, .. } = self;
        let Buffers { x, normed, bytes, logits, tiles, .. } = buffers;
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
        p.tiles(wanted, tiles);
        p.rms_norm(tiles, x, (norm, d.epsilon as f32), normed, bytes);
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

/// A network with its cache.
pub(crate) struct Local {
    network: Network,
    cache: Cache,
}

impl Local {
    /// With so many blocks.
    pub(crate) fn new(network: Network, blocks: usize) -> Result<Self, WeightsError> {
        let shape = network.cache(blocks);
        let room = WeightsError::Room { bytes: shape.block_bytes().saturating_mul(blocks) };
        Ok(Self { cache: Cache::new(shape).ok_or(room)?, network })
    }
}

impl Model for Local {
    fn width(&self) -> usize {
        self.network.dimensions.vocabulary
    }

    fn batch(&self) -> usize {
        BATCH
    }

    fn read(
        &mut self,
        pieces: &[Piece<'_>],
        stop: &AtomicBool,
    ) -> Result<Option<&[f32]>, WeightsError> {
        self.network.read(&mut self.cache, pieces, stop)
    }
}
