//! Small checkpoints that tests write: a byte-level tokenizer with a few merges,
//! and models with weights by chance.

use serde_json::{Map, Value, json};

/// The character that stands for a byte in byte-level vocabularies.
fn character(byte: u8) -> char {
    let own = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    if own(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|byte| !own(*byte)).count() as u32;
    char::from_u32(0x100 + before).unwrap()
}

/// Merges in order of rank.
const MERGES: [(&str, &str); 12] = [
    ("e", "n"),
    ("i", "n"),
    ("in", "g"),
    ("Ġ", "a"),
    ("\"", ":"),
    ("\"", ","),
    ("{", "\""),
    ("\"", "}"),
    ("$", "{"),
    ("t", "o"),
    ("s", "t"),
    ("st", "en"),
];

/// A `tokenizer.json` like those of the Qwen family, with 256 bytes, a few
/// merges and the control tokens.
pub(crate) fn tokenizer_json() -> Value {
    let mut vocabulary = Map::new();
    for byte in 0..=255_u8 {
        vocabulary.insert(character(byte).to_string(), u32::from(byte).into());
    }
    let mut next = 256_u32;
    for (left, right) in MERGES {
        vocabulary.insert(format!("{left}{right}"), next.into());
        next += 1;
    }
    let merges: Vec<Value> = MERGES.iter().map(|(left, right)| json!([left, right])).collect();
    let added: Vec<Value> = [
        ("<|endoftext|>", true),
        ("<|im_start|>", true),
        ("<|im_end|>", true),
        ("<tool_call>", false),
        ("</tool_call>", false),
        ("<think>", false),
        ("</think>", false),
    ]
    .iter()
    .zip(next..)
    .map(|((text, special), id)| {
        json!({
            "id": id, "content": text, "special": special, "single_word": false,
            "lstrip": false, "rstrip": false, "normalized": false,
        })
    })
    .collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "behavior": "Isolated", "invert": false,
             "pattern": {"Regex": r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"}},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
        ]},
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": false, "vocab": vocabulary, "merges": merges,
        },
    })
}

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

/// Numbers of a model so small that it is written and read in no time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tiny {
    /// `qwen2` or `qwen3`.
    pub(crate) arch: &'static str,
    /// Seed of its weights.
    pub(crate) seed: u64,
    /// Whether the output has weights of its own.
    pub(crate) tied: bool,
}

const HIDDEN: usize = 64;
const INNER: usize = 96;
const LAYERS: usize = 2;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const CONTEXT: usize = 2_048;

impl Tiny {
    pub(crate) fn new(arch: &'static str) -> Self {
        Self { arch, seed: 1, tied: arch == "qwen2" }
    }

    fn head(self) -> usize {
        if self.arch == "qwen3" { 32 } else { HIDDEN / HEADS }
    }

    /// Rows of its embedding.
    pub(crate) fn rows(self) -> usize {
        275 + 13
    }

    /// Its weights: name in safetensors, name in GGUF, tensor.
    pub(crate) fn weights(self) -> Vec<(String, String, candle_core::Tensor)> {
        let mut chance = crate::sampling::Chance::new(self.seed);
        let mut tensor = |shape: &[usize], scale: f32, around: f32| {
            let count = shape.iter().product();
            let values: Vec<f32> =
                (0..count).map(|_| around + scale * normal(&mut chance)).collect();
            candle_core::Tensor::from_vec(values, shape, &candle_core::Device::Cpu).unwrap()
        };
        let (q, kv) = (HEADS * self.head(), KV_HEADS * self.head());
        let mut all = vec![
            (
                "model.embed_tokens.weight".into(),
                "token_embd.weight".into(),
                tensor(&[self.rows(), HIDDEN], 1.0, 0.0),
            ),
            ("model.norm.weight".into(), "output_norm.weight".into(), tensor(&[HIDDEN], 0.1, 1.0)),
        ];
        if !self.tied {
            let output = tensor(&[self.rows(), HIDDEN], 0.5, 0.0);
            all.push(("lm_head.weight".into(), "output.weight".into(), output));
        }
        for layer in 0..LAYERS {
            let mut add = |own: &str, gguf: &str, shape: &[usize], scale: f32, around: f32| {
                all.push((
                    format!("model.layers.{layer}.{own}"),
                    format!("blk.{layer}.{gguf}"),
                    tensor(shape, scale, around),
                ));
            };
            add("input_layernorm.weight", "attn_norm.weight", &[HIDDEN], 0.1, 1.0);
            add("post_attention_layernorm.weight", "ffn_norm.weight", &[HIDDEN], 0.1, 1.0);
            add("self_attn.q_proj.weight", "attn_q.weight", &[q, HIDDEN], 0.2, 0.0);
            add("self_attn.k_proj.weight", "attn_k.weight", &[kv, HIDDEN], 0.2, 0.0);
            add("self_attn.v_proj.weight", "attn_v.weight", &[kv, HIDDEN], 0.2, 0.0);
            add("self_attn.o_proj.weight", "attn_output.weight", &[HIDDEN, q], 0.2, 0.0);
            add("mlp.gate_proj.weight", "ffn_gate.weight", &[INNER, HIDDEN], 0.2, 0.0);
            add("mlp.up_proj.weight", "ffn_up.weight", &[INNER, HIDDEN], 0.2, 0.0);
            add("mlp.down_proj.weight", "ffn_down.weight", &[HIDDEN, INNER], 0.2, 0.0);
            if self.arch == "qwen2" {
                add("self_attn.q_proj.bias", "attn_q.bias", &[q], 0.2, 0.0);
                add("self_attn.k_proj.bias", "attn_k.bias", &[kv], 0.2, 0.0);
                add("self_attn.v_proj.bias", "attn_v.bias", &[kv], 0.2, 0.0);
            } else {
                add("self_attn.q_norm.weight", "attn_q_norm.weight", &[self.head()], 0.1, 1.0);
                add("self_attn.k_norm.weight", "attn_k_norm.weight", &[self.head()], 0.1, 1.0);
            }
        }
        all
    }

    pub(crate) fn config(self) -> Value {
        json!({
            "model_type": self.arch, "vocab_size": self.rows(), "hidden_size": HIDDEN,
            "intermediate_size": INNER, "num_hidden_layers": LAYERS, "head_dim": self.head(),
            "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS,
            "max_position_embeddings": CONTEXT, "rope_theta": 1e6, "rms_norm_eps": 1e-6,
            "tie_word_embeddings": self.tied, "hidden_act": "silu",
        })
    }

    /// Writes a folder of safetensors, in two shards with an index.
    pub(crate) fn write_folder(self, folder: &std::path::Path) {
        let mut shards = [std::collections::HashMap::new(), std::collections::HashMap::new()];
        let mut index = Map::new();
        for (i, (name, _, tensor)) in self.weights().into_iter().enumerate() {
            let shard = format!("model-{}.safetensors", i % 2);
            index.insert(name.clone(), shard.into());
            shards[i % 2].insert(name, tensor);
        }
        for (i, shard) in shards.iter().enumerate() {
            let path = folder.join(format!("model-{i}.safetensors"));
            candle_core::safetensors::save(shard, path).unwrap();
        }
        let write = |name: &str, value: Value| {
            std::fs::write(folder.join(name), value.to_string()).unwrap();
        };
        write("model.safetensors.index.json", json!({"weight_map": index}));
        write("config.json", self.config());
        write("tokenizer.json", tokenizer_json());
    }

    /// Writes a GGUF file with its matrices in this type; its tokenizer is in its
    /// metadata.
    pub(crate) fn write_gguf(
        self,
        path: &std::path::Path,
        kind: candle_core::quantized::GgmlDType,
        edit: impl FnOnce(&mut Vec<(String, candle_core::quantized::gguf_file::Value)>),
    ) {
        use candle_core::quantized::gguf_file::{Value as Meta, write};
        use candle_core::quantized::{GgmlDType, QTensor};
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
            (own("context_length"), Meta::U32(CONTEXT as u32)),
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
            .map(|(_, name, tensor)| {
                let kind = if tensor.dims().len() == 2 { kind } else { GgmlDType::F32 };
                (name, QTensor::quantize(&tensor, kind).unwrap())
            })
            .collect();
        let metadata: Vec<(&str, &Meta)> = metadata.iter().map(|(k, v)| (k.as_str(), v)).collect();
        let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(n, t)| (n.as_str(), t)).collect();
        write(&mut std::fs::File::create(path).unwrap(), &metadata, &tensors).unwrap();
    }
}
