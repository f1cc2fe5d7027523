//! The network on a graphics processor: candle's tensors, the same pieces, the same
//! blocks of the cache.
//!
//! Here nothing is promised bit by bit: the order of a sum depends on the batch. What
//! is equal within a tolerance is tested beside [`super::network`] on the processor.

use super::config::Family;
use super::network::{Angles, Checkpoint};
use super::weights::{Tensor as Stored, WeightsError};
use crate::compute::cache::POSITIONS;
use crate::engine::{Model, Piece};
use candle_core::quantized::{QMatMul, QStorage, QTensor};
use candle_core::{D, DType, Device, Module, Tensor};
use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};

/// Most tokens that are computed at once.
const BATCH: usize = 512;

type Done<T> = candle_core::Result<T>;

/// The device that this program was built for, where there is one.
#[cfg(any(feature = "cuda", feature = "metal"))]
pub(super) fn device() -> Option<Device> {
    let found = if cfg!(feature = "cuda") {
        Device::cuda_if_available(0)
    } else {
        Device::metal_if_available(0)
    };
    // One that is there and cannot be used is none; the processor always can.
    found.ok().filter(|device| !device.is_cpu())
}

/// Bytes of a block of the cache.
#[cfg(any(feature = "cuda", feature = "metal"))]
pub(super) fn block_bytes(d: &super::config::Dimensions) -> usize {
    d.layers * 2 * POSITIONS * d.kv_heads * d.head * size_of::<f32>()
}

struct Layer {
    attention_norm: Tensor,
    feed_norm: Tensor,
    /// Queries, keys and values.
    wide: [QMatMul; 3],
    biases: Option<[Tensor; 3]>,
    /// Of queries and keys, for each head.
    head_norms: Option<[Tensor; 2]>,
    out: QMatMul,
    gate: QMatMul,
    up: QMatMul,
    down: QMatMul,
    /// Rows of keys and of values: one for each position of each block.
    cache: [Tensor; 2],
}

/// A Qwen on a device, with its cache.
pub(super) struct OnDevice {
    from: Checkpoint,
    device: Device,
    embedding: Stored,
    layers: Vec<Layer>,
    norm: Tensor,
    output: QMatMul,
    angles: Angles,
    logits: Vec<f32>,
}

/// The same for all layers of a step.
struct Step<'p> {
    pieces: &'p [Piece<'p>],
    /// Numbers of the blocks of each piece.
    blocks: Vec<Tensor>,
    /// What each of its tokens must not see, where it has several.
    masks: Vec<Option<Tensor>>,
    cos: Tensor,
    sin: Tensor,
}

fn failed(source: candle_core::Error) -> WeightsError {
    WeightsError::Device { source: Box::new(source) }
}

impl OnDevice {
    /// Brings all weights there, and makes room for so many blocks of the cache.
    pub(super) fn new(
        mut from: Checkpoint,
        device: Device,
        blocks: usize,
    ) -> Result<Self, WeightsError> {
        let (d, names) = (from.dimensions.clone(), from.names);
        let mut take =
            |name: String| from.tensors.remove(&name).ok_or(WeightsError::Missing { name });
        let matrix = |from: &Stored| -> Result<QMatMul, WeightsError> {
            let bytes = Cow::Owned(from.bytes()?);
            QStorage::from_data(bytes, &device, from.format.kind)
                .and_then(|storage| QTensor::new(storage, (from.rows, from.columns)))
                .and_then(QMatMul::from_qtensor)
                .map_err(failed)
        };
        let vector = |from: Stored| {
            let numbers = from.vector()?;
            Tensor::from_vec(numbers, from.columns, &device).map_err(failed)
        };
        let room = || {
            let shape = (blocks * POSITIONS, d.kv_heads, d.head);
            Tensor::zeros(shape, DType::F32, &device).map_err(failed)
        };
        let mut layers = Vec::new();
        for layer in 0..d.layers {
            let [attention, feed, wq, wk, wv, wo, gate, up, down] = names.parts;
            let mut part = |part: String| take(names.of(layer, &part));
            let mut weight = |name: &str| part(format!("{name}.weight"));
            let (attention_norm, feed_norm) = (vector(weight(attention)?)?, vector(weight(feed)?)?);
            let wide = [matrix(&weight(wq)?)?, matrix(&weight(wk)?)?, matrix(&weight(wv)?)?];
            let [out, gate, up, down] = [wo, gate, up, down].map(&mut weight);
            let head_norms = match d.family {
                Family::Qwen2 => None,
                Family::Qwen3 => {
                    let [q, k] = names.head_norms.map(&mut weight);
                    Some([vector(q?)?, vector(k?)?])
                }
            };
            let biases = if d.bias {
                let [q, k, v] = [wq, wk, wv].map(|name| part(format!("{name}.bias")));
                Some([vector(q?)?, vector(k?)?, vector(v?)?])
            } else {
                None
            };
            let (out, gate, up, down) =
                (matrix(&out?)?, matrix(&gate?)?, matrix(&up?)?, matrix(&down?)?);
            let cache = [room()?, room()?];
            layers.push(Layer {
                attention_norm,
                feed_norm,
                wide,
                biases,
                head_norms,
                out,
                gate,
                up,
                down,
                cache,
            });
        }
        let embedding = take(names.embedding.to_owned())?;
        let norm = vector(take(names.norm.to_owned())?)?;
        let output =
            if d.tied { matrix(&embedding)? } else { matrix(&take(names.output.to_owned())?)? };
        let angles = Angles::new(d.theta, d.head);
        let logits = Vec::new();
        Ok(Self { from, device, embedding, layers, norm, output, angles, logits })
    }

    /// What a token begins as, one row each.
    fn embedded(&self, pieces: &[Piece<'_>]) -> Result<Tensor, WeightsError> {
        let d = &self.from.dimensions;
        let tokens = || pieces.iter().flat_map(|piece| piece.tokens);
        let mut rows = vec![0.0; tokens().count() * d.hidden];
        let mut bytes = Vec::new();
        for (token, row) in tokens().zip(rows.chunks_exact_mut(d.hidden)) {
            if *token as usize >= d.vocabulary {
                return Err(WeightsError::Token { token: *token, tokens: d.vocabulary });
            }
            self.embedding.row(*token as usize, &mut bytes, row)?;
        }
        self.embedding.check()?;
        Tensor::from_vec(rows, ((), d.hidden), &self.device).map_err(failed)
    }

    fn step<'p>(&mut self, pieces: &'p [Piece<'p>]) -> Done<Step<'p>> {
        let half = self.from.dimensions.head / 2;
        let ends = pieces.iter().map(|piece| piece.position + piece.tokens.len());
        self.angles.reach(ends.max().unwrap_or(0));
        let (mut cos, mut sin) = (Vec::new(), Vec::new());
        let (mut blocks, mut masks) = (Vec::new(), Vec::new());
        for piece in pieces {
            let (from, count) = (piece.position, piece.tokens.len());
            let length = from + count;
            for position in from..length {
                let (own_cos, own_sin) = self.angles.at(position);
                cos.extend_from_slice(own_cos);
                sin.extend_from_slice(own_sin);
            }
            let own = &piece.blocks[..length.div_ceil(POSITIONS)];
            blocks.push(Tensor::new(own, &self.device)?);
            masks.push(if count == 1 {
                None
            } else {
                let hidden = |at: usize| if at < length { 0.0 } else { f32::NEG_INFINITY };
                let row = |token: usize| (0..length).map(move |at| hidden(at + count - 1 - token));
                let mask: Vec<f32> = (0..count).flat_map(row).collect();
                Some(Tensor::from_vec(mask, (count, length), &self.device)?)
            });
        }
        let angles = |numbers| Tensor::from_vec(numbers, ((), 1, half), &self.device);
        let (cos, sin) = (angles(cos)?, angles(sin)?);
        Ok(Step { pieces, blocks, masks, cos, sin })
    }

    fn layer(&self, layer: &Layer, x: &Tensor, step: &Step<'_>) -> Done<Tensor> {
        let d = &self.from.dimensions;
        let tokens = x.dim(0)?;
        let norm = |x: &Tensor, weight: &Tensor| rms_norm(x, weight, d.epsilon);
        let normed = norm(x, &layer.attention_norm)?;
        let wide = |at: usize, heads: usize| {
            let out = layer.wide[at].forward(&normed)?;
            let out = match &layer.biases {
                Some(biases) => out.broadcast_add(&biases[at])?,
                None => out,
            };
            out.reshape((tokens, heads, d.head))
        };
        let (mut q, mut k, v) = (wide(0, d.heads)?, wide(1, d.kv_heads)?, wide(2, d.kv_heads)?);
        if let Some([of_q, of_k]) = &layer.head_norms {
            (q, k) = (norm(&q, of_q)?, norm(&k, of_k)?);
        }
        let (q, k) = (rotated(&q, step)?, rotated(&k, step)?);
        let mut attended = Vec::with_capacity(step.pieces.len());
        let mut from = 0;
        for (number, piece) in step.pieces.iter().enumerate() {
            let count = piece.tokens.len();
            for (cache, own) in layer.cache.iter().zip([&k, &v]) {
                write(cache, &own.narrow(0, from, count)?, piece)?;
            }
            let own = q.narrow(0, from, count)?;
            attended.push(attend(&own, layer, &step.blocks[number], &step.masks[number], piece)?);
            from += count;
        }
        let x = (x + layer.out.forward(&Tensor::cat(&attended, 0)?)?)?;
        let normed = norm(&x, &layer.feed_norm)?;
        let gate = layer.gate.forward(&normed)?.silu()?;
        let inner = (gate * layer.up.forward(&normed)?)?;
        x + layer.down.forward(&inner)?
    }

    fn compute(&mut self, x: Tensor, pieces: &[Piece<'_>], stop: &AtomicBool) -> Done<bool> {
        let step = self.step(pieces)?;
        let mut x = x;
        for layer in &self.layers {
            if stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            x = self.layer(layer, &x, &step)?;
        }
        // Of each piece its last tokens.
        let (mut from, mut wanted) = (0, Vec::new());
        for piece in pieces {
            let count = piece.tokens.len();
            wanted.extend(from + (count - piece.logits) as u32..from + count as u32);
            from += count as u32;
        }
        self.logits.clear();
        if !wanted.is_empty() {
            let rows = x.index_select(&Tensor::new(wanted, &self.device)?, 0)?;
            let normed = rms_norm(&rows, &self.norm, self.from.dimensions.epsilon)?;
            self.logits = self.output.forward(&normed)?.flatten_all()?.to_vec1()?;
        }
        Ok(true)
    }
}

impl Model for OnDevice {
    fn width(&self) -> usize {
        self.from.dimensions.vocabulary
    }

    fn batch(&self) -> usize {
        BATCH
    }

    fn read(
        &mut self,
        pieces: &[Piece<'_>],
        stop: &AtomicBool,
    ) -> Result<Option<&[f32]>, WeightsError> {
        let x = self.embedded(pieces)?;
        let whole = self.compute(x, pieces, stop).map_err(failed)?;
        Ok(whole.then_some(self.logits.as_slice()))
    }
}

/// Each row divided by its root mean square, times a weight.
fn rms_norm(x: &Tensor, weight: &Tensor, epsilon: f64) -> Done<Tensor> {
    let mean = x.sqr()?.mean_keepdim(D::Minus1)?;
    x.broadcast_div(&(mean + epsilon)?.sqrt()?)?.broadcast_mul(weight)
}

/// Turned by the angles of its positions: the first half of a head with the second.
fn rotated(x: &Tensor, step: &Step<'_>) -> Done<Tensor> {
    let half = x.dim(2)? / 2;
    let (a, b) = (x.narrow(2, 0, half)?, x.narrow(2, half, half)?);
    let turn = |own: &Tensor, by: &Tensor| own.broadcast_mul(by);
    let first = (turn(&a, &step.cos)? - turn(&b, &step.sin)?)?;
    let second = (turn(&b, &step.cos)? + turn(&a, &step.sin)?)?;
    Tensor::cat(&[first, second], 2)
}

/// Writes the rows of a piece into the blocks that they belong to.
fn write(cache: &Tensor, rows: &Tensor, piece: &Piece<'_>) -> Done<()> {
    let rows = rows.contiguous()?;
    let mut done = 0;
    while done < piece.tokens.len() {
        let position = piece.position + done;
        let within = position % POSITIONS;
        let count = (POSITIONS - within).min(piece.tokens.len() - done);
        let block = piece.blocks[position / POSITIONS] as usize;
        // A copy of its own: a part of a tensor may not be written from.
        let part = rows.narrow(0, done, count)?.contiguous()?;
        cache.slice_set(&part, 0, block * POSITIONS + within)?;
        done += count;
    }
    Ok(())
}

/// What the tokens of a piece see, one row each.
fn attend(
    q: &Tensor,
    layer: &Layer,
    blocks: &Tensor,
    mask: &Option<Tensor>,
    piece: &Piece<'_>,
) -> Done<Tensor> {
    let (count, heads, head) = q.dims3()?;
    let length = piece.position + count;
    let seen = |cache: &Tensor| {
        let (rows, kv_heads, _) = cache.dims3()?;
        let all = cache.reshape((rows / POSITIONS, POSITIONS * kv_heads * head))?;
        let own = all.index_select(blocks, 0)?.reshape(((), kv_heads, head))?;
        let own = own.narrow(0, 0, length)?.transpose(0, 1)?.unsqueeze(1)?;
        let shape = (kv_heads, heads / kv_heads, length, head);
        own.expand(shape)?.reshape((heads, length, head))
    };
    let (keys, values) = (seen(&layer.cache[0])?, seen(&layer.cache[1])?);
    let q = q.transpose(0, 1)?.contiguous()?;
    let scores = (q.matmul(&keys.transpose(1, 2)?.contiguous()?)? / (head as f64).sqrt())?;
    let scores = match mask {
        Some(mask) => scores.broadcast_add(mask)?,
        None => scores,
    };
    let most = scores.max_keepdim(D::Minus1)?;
    let shares = scores.broadcast_sub(&most)?.exp()?;
    let shares = shares.broadcast_div(&shares.sum_keepdim(D::Minus1)?)?;
    shares.matmul(&values)?.transpose(0, 1)?.reshape((count, heads * head))
}
