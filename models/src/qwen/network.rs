//! The models of candle-transformers, each with its own way of being read to.

use crate::engine::Network;
use candle_core::{DType, Device, Tensor};
use candle_transformers::models::{quantized_qwen2, quantized_qwen3, qwen2, qwen3};

/// Most tokens that are read at once.
const CHUNK: usize = 512;

/// Weights of one of the four kinds.
pub(crate) enum Weights {
    Qwen2(qwen2::ModelForCausalLM),
    Qwen3(qwen3::ModelForCausalLM),
    Qwen2Gguf(quantized_qwen2::ModelWeights),
    Qwen3Gguf(quantized_qwen3::ModelWeights),
}

/// Weights and how far they have read.
pub(crate) struct Reader {
    weights: Weights,
    position: usize,
    /// Whether a token was read by itself since the beginning.
    singly: bool,
}

impl Reader {
    pub(crate) fn new(weights: Weights) -> Self {
        Self { weights, position: 0, singly: false }
    }

    /// How many of the next `left` tokens are read at once.
    fn chunk(&self, left: usize) -> usize {
        match self.weights {
            Weights::Qwen2(_) | Weights::Qwen3(_) => left.min(CHUNK),
            // It keeps a mask for every pair of lengths that it has met: powers of
            // two keep their number small.
            Weights::Qwen2Gguf(_) => {
                let left = left.clamp(1, CHUNK / 2);
                1 << (usize::BITS - 1 - left.leading_zeros())
            }
            // It keeps single tokens in another cache than groups, and a group sees
            // only the groups before it.
            Weights::Qwen3Gguf(_) if self.singly => 1,
            Weights::Qwen3Gguf(_) => left.min(CHUNK),
        }
    }
}

impl Network for Reader {
    fn reset(&mut self) {
        match &mut self.weights {
            Weights::Qwen2(model) => model.clear_kv_cache(),
            Weights::Qwen3(model) => model.clear_kv_cache(),
            Weights::Qwen2Gguf(model) => model.clear_kv_cache(),
            Weights::Qwen3Gguf(model) => model.clear_kv_cache(),
        }
        (self.position, self.singly) = (0, false);
    }

    fn read(&mut self, tokens: &[u32]) -> Result<Vec<f32>, candle_core::Error> {
        let mut rest = tokens;
        loop {
            let (chunk, after) = rest.split_at(self.chunk(rest.len()).min(rest.len()));
            if chunk.is_empty() {
                candle_core::bail!("there is nothing to read");
            }
            let input = Tensor::new(chunk, &Device::Cpu)?.unsqueeze(0)?;
            let logits = match &mut self.weights {
                Weights::Qwen2(model) => model.forward(&input, self.position)?,
                Weights::Qwen3(model) => model.forward(&input, self.position)?,
                Weights::Qwen2Gguf(model) => model.forward(&input, self.position)?,
                Weights::Qwen3Gguf(model) => model.forward(&input, self.position)?,
            };
            self.position += chunk.len();
            self.singly |= chunk.len() == 1;
            rest = after;
            if rest.is_empty() {
                return logits.flatten_all()?.to_dtype(DType::F32)?.to_vec1();
            }
        }
    }
}
