//! Small checkpoints that tests write (`tests/src/checkpoint.rs`), in quantised
//! types too, and logits by chance.

#[path = "../../tests/src/checkpoint.rs"]
#[expect(unreachable_pub, reason = "it is a module of the test harness too")]
mod checkpoint;

use candle_core::quantized::gguf_file::{Value as Meta, write};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use checkpoint::{HEADS, HIDDEN, INNER, KV_HEADS, LAYERS, MERGES};
pub(crate) use checkpoint::{Tiny, tokenizer_json};

/// Logits by chance: a taste of its own for every seed, and noise at each step,
/// so that some seeds love quotes and others never end a text.
pub(crate) struct Random {
    taste: Vec<f32>,
    chance: crate::sampling::Chance,
}

impl Random {
    pub(crate) fn new(width: usize, seed: u64) -> Self {
        let mut chance = crate::sampling::Chance::new(seed);
        let taste = (0..width).map(|_| 6.0 * normal(&mut chance)).collect();
        Self { taste, chance }
    }
}

/// About normally distributed.
fn normal(chance: &mut crate::sampling::Chance) -> f32 {
    (0..4).map(|_| chance.unit() as f32 - 0.5).sum::<f32>() * 1.7
}

impl crate::engine::Network for Random {
    fn reset(&mut self) {}

    fn read(&mut self, _: &[u32]) -> Result<Vec<f32>, candle_core::Error> {
        Ok(self.taste.iter().map(|taste| taste + 2.0 * normal(&mut self.chance)).collect())
    }
}

impl Tiny {
    /// Writes a GGUF file with its matrices in this type; its tokenizer is in its
    /// metadata.
    pub(crate) fn write_gguf(
        self,
        path: &std::path::Path,
        kind: GgmlDType,
        edit: impl FnOnce(&mut Vec<(String, Meta)>),
    ) {
        let own = |key: &str| format!("{}.{key}", self.arch);
        let tokenizer = tokenizer_json();
        let mut tokens: Vec<(u64, String)> = tokenizer["model"]["vocab"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(text, id)| (id.as_u64().unwrap(), text.clone()))
            .collect();
        let plain = tokens.len();
        for added in tokenizer["added_tokens"].as_array().unwrap() {
            tokens.push((added["id"].as_u64().unwrap(), added["content"].as_str().unwrap().into()));
        }
        tokens.sort();
        let kinds = (0..tokens.len()).map(|i| Meta::I32(if i < plain { 1 } else { 3 })).collect();
        let merges = MERGES.iter().map(|(a, b)| Meta::String(format!("{a} {b}"))).collect();
        let texts = tokens.into_iter().map(|(_, text)| Meta::String(text)).collect();
        let mut metadata = vec![
            ("general.architecture".to_owned(), Meta::String(self.arch.into())),
            (own("embedding_length"), Meta::U32(HIDDEN as u32)),
            (own("feed_forward_length"), Meta::U32(INNER as u32)),
            (own("block_count"), Meta::U32(LAYERS as u32)),
            (own("attention.head_count"), Meta::U32(HEADS as u32)),
            (own("attention.head_count_kv"), Meta::U32(KV_HEADS as u32)),
            (own("attention.key_length"), Meta::U32(self.head() as u32)),
            (own("attention.layer_norm_rms_epsilon"), Meta::F32(1e-6)),
            (own("context_length"), Meta::U32(self.context as u32)),
            (own("rope.freq_base"), Meta::F32(1e6)),
            ("tokenizer.ggml.model".into(), Meta::String("gpt2".into())),
            ("tokenizer.ggml.pre".into(), Meta::String("qwen2".into())),
            ("tokenizer.ggml.tokens".into(), Meta::Array(texts)),
            ("tokenizer.ggml.token_type".into(), Meta::Array(kinds)),
            ("tokenizer.ggml.merges".into(), Meta::Array(merges)),
            ("tokenizer.ggml.eos_token_id".into(), Meta::U32(plain as u32 + 2)),
        ];
        edit(&mut metadata);
        let tensors: Vec<(String, QTensor)> = self
            .weights()
            .into_iter()
            .map(|weight| {
                let kind = if weight.shape.len() == 2 { kind } else { GgmlDType::F32 };
                let tensor = Tensor::from_vec(weight.values, weight.shape, &Device::Cpu).unwrap();
                (weight.gguf, QTensor::quantize(&tensor, kind).unwrap())
            })
            .collect();
        let metadata: Vec<(&str, &Meta)> = metadata.iter().map(|(k, v)| (k.as_str(), v)).collect();
        let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(n, t)| (n.as_str(), t)).collect();
        write(&mut std::fs::File::create(path).unwrap(), &metadata, &tensors).unwrap();
    }
}
