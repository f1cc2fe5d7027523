//! Language models so small that they are written and read in no time: a
//! byte-level tokenizer with a few merges, and weights by chance. Nothing here
//! knows an engine, so that the tests of one can use it too.

use serde_json::{Map, Value, json};
use std::path::Path;

/// Merges in order of rank.
pub const MERGES: [(&str, &str); 12] = [
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

/// Width of a layer.
pub const HIDDEN: usize = 64;
/// Width inside a layer.
pub const INNER: usize = 96;
/// Layers.
pub const LAYERS: usize = 2;
/// Heads.
pub const HEADS: usize = 4;
/// Heads of keys and values.
pub const KV_HEADS: usize = 2;

/// The character that stands for a byte in byte-level vocabularies.
fn character(byte: u8) -> char {
    let own = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    if own(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|byte| !own(*byte)).count() as u32;
    char::from_u32(0x100 + before).expect("a character")
}

/// A `tokenizer.json` like those of the Qwen family, with 256 bytes, a few merges
/// and the control tokens: 275 tokens.
pub fn tokenizer_json() -> Value {
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

/// Numbers by chance that are the same for the same seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn unit(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f32 / (1_u64 << 24) as f32
    }

    /// About normally distributed.
    fn normal(&mut self) -> f32 {
        (0..4).map(|_| self.unit() - 0.5).sum::<f32>() * 1.7
    }
}

/// One matrix or vector.
pub struct Weight {
    /// Its name in safetensors.
    pub name: String,
    /// Its name in GGUF.
    pub gguf: String,
    /// Rows first.
    pub shape: Vec<usize>,
    /// Its numbers.
    pub values: Vec<f32>,
}

/// A value in the header of a GGUF file.
pub enum Entry {
    /// A whole number.
    Number(u32),
    /// A number.
    Real(f32),
    /// A text.
    Text(String),
    /// Texts.
    Texts(Vec<String>),
    /// Kinds of tokens.
    Kinds(Vec<i32>),
}

impl Entry {
    /// Its kind, as the format numbers them, and itself.
    fn put(&self, bytes: &mut Vec<u8>) {
        let list = |bytes: &mut Vec<u8>, kind: u32, length: usize| {
            bytes.extend(9_u32.to_le_bytes());
            bytes.extend(kind.to_le_bytes());
            bytes.extend((length as u64).to_le_bytes());
        };
        match self {
            Self::Number(number) => {
                bytes.extend(4_u32.to_le_bytes());
                bytes.extend(number.to_le_bytes());
            }
            Self::Real(number) => {
                bytes.extend(6_u32.to_le_bytes());
                bytes.extend(number.to_le_bytes());
            }
            Self::Text(text) => {
                bytes.extend(8_u32.to_le_bytes());
                put_text(bytes, text);
            }
            Self::Texts(texts) => {
                list(bytes, 8, texts.len());
                texts.iter().for_each(|text| put_text(bytes, text));
            }
            Self::Kinds(kinds) => {
                list(bytes, 5, kinds.len());
                bytes.extend(kinds.iter().flat_map(|kind| kind.to_le_bytes()));
            }
        }
    }
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

/// A model by chance.
#[derive(Debug, Clone, Copy)]
pub struct Tiny {
    /// `qwen2` or `qwen3`.
    pub arch: &'static str,
    /// Seed of its weights.
    pub seed: u64,
    /// Whether embedding and output are the same.
    pub tied: bool,
    /// Tokens that it can see.
    pub context: usize,
    /// Whether one of its weights is no number.
    pub broken: bool,
}

impl Tiny {
    /// A small one of this architecture.
    pub fn new(arch: &'static str) -> Self {
        Self { arch, seed: 1, tied: arch == "qwen2", context: 2_048, broken: false }
    }

    /// Width of a head.
    pub fn head(self) -> usize {
        if self.arch == "qwen3" { 32 } else { HIDDEN / HEADS }
    }

    /// Rows of its embedding: more than it has tokens, as publishers do.
    pub fn rows(self) -> usize {
        275 + 13
    }

    /// Its weights.
    pub fn weights(self) -> Vec<Weight> {
        let mut dice = Dice(self.seed);
        let mut all = Vec::new();
        let mut add = |name: &str, gguf: &str, shape: &[usize], scale: f32, around: f32| {
            let count = shape.iter().product();
            let values = (0..count).map(|_| around + scale * dice.normal()).collect();
            let (name, gguf) = (format!("{name}.weight"), format!("{gguf}.weight"));
            all.push(Weight { name, gguf, shape: shape.to_vec(), values });
        };
        let (q, kv) = (HEADS * self.head(), KV_HEADS * self.head());
        add("model.embed_tokens", "token_embd", &[self.rows(), HIDDEN], 1.0, 0.0);
        add("model.norm", "output_norm", &[HIDDEN], 0.1, 1.0);
        if !self.tied {
            add("lm_head", "output", &[self.rows(), HIDDEN], 0.5, 0.0);
        }
        for n in 0..LAYERS {
            let mut part = |name: &str, gguf: &str, shape: &[usize], scale: f32, around: f32| {
                let (name, gguf) = (format!("model.layers.{n}.{name}"), format!("blk.{n}.{gguf}"));
                add(&name, &gguf, shape, scale, around);
            };
            part("input_layernorm", "attn_norm", &[HIDDEN], 0.1, 1.0);
            part("post_attention_layernorm", "ffn_norm", &[HIDDEN], 0.1, 1.0);
            part("self_attn.q_proj", "attn_q", &[q, HIDDEN], 0.2, 0.0);
            part("self_attn.k_proj", "attn_k", &[kv, HIDDEN], 0.2, 0.0);
            part("self_attn.v_proj", "attn_v", &[kv, HIDDEN], 0.2, 0.0);
            part("self_attn.o_proj", "attn_output", &[HIDDEN, q], 0.2, 0.0);
            part("mlp.gate_proj", "ffn_gate", &[INNER, HIDDEN], 0.2, 0.0);
            part("mlp.up_proj", "ffn_up", &[INNER, HIDDEN], 0.2, 0.0);
            part("mlp.down_proj", "ffn_down", &[HIDDEN, INNER], 0.2, 0.0);
            if self.arch == "qwen3" {
                part("self_attn.q_norm", "attn_q_norm", &[self.head()], 0.1, 1.0);
                part("self_attn.k_norm", "attn_k_norm", &[self.head()], 0.1, 1.0);
            }
        }
        if self.arch == "qwen2" {
            for n in 0..LAYERS {
                for (name, size) in [("q", q), ("k", kv), ("v", kv)] {
                    let values = (0..size).map(|_| 0.2 * dice.normal()).collect();
                    all.push(Weight {
                        name: format!("model.layers.{n}.self_attn.{name}_proj.bias"),
                        gguf: format!("blk.{n}.attn_{name}.bias"),
                        shape: vec![size],
                        values,
                    });
                }
            }
        }
        if let (true, Some(norm)) = (self.broken, all.get_mut(1)) {
            norm.values[0] = f32::NAN;
        }
        all
    }

    /// Its `config.json`.
    pub fn config(self) -> Value {
        json!({
            "model_type": self.arch, "vocab_size": self.rows(), "hidden_size": HIDDEN,
            "intermediate_size": INNER, "num_hidden_layers": LAYERS, "head_dim": self.head(),
            "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS,
            "max_position_embeddings": self.context, "rope_theta": 1e6, "rms_norm_eps": 1e-6,
            "tie_word_embeddings": self.tied, "hidden_act": "silu",
        })
    }

    /// The header of its GGUF file, the tokenizer included.
    pub fn gguf_header(self) -> Vec<(String, Entry)> {
        let own = |key: &str| format!("{}.{key}", self.arch);
        let number = |number: usize| Entry::Number(u32::try_from(number).expect("small"));
        let tokenizer = tokenizer_json();
        let mut tokens: Vec<(u64, String)> = Vec::new();
        for (text, id) in tokenizer["model"]["vocab"].as_object().expect("a map") {
            tokens.push((id.as_u64().expect("a number"), text.clone()));
        }
        let plain = tokens.len();
        for added in tokenizer["added_tokens"].as_array().expect("a list") {
            let text = added["content"].as_str().expect("a text");
            tokens.push((added["id"].as_u64().expect("a number"), text.to_owned()));
        }
        tokens.sort();
        let kinds = (0..tokens.len()).map(|i| if i < plain { 1 } else { 3 }).collect();
        let merges = MERGES.iter().map(|(left, right)| format!("{left} {right}")).collect();
        let texts = tokens.into_iter().map(|(_, text)| text).collect();
        vec![
            ("general.architecture".to_owned(), Entry::Text(self.arch.to_owned())),
            (own("embedding_length"), number(HIDDEN)),
            (own("feed_forward_length"), number(INNER)),
            (own("block_count"), number(LAYERS)),
            (own("attention.head_count"), number(HEADS)),
            (own("attention.head_count_kv"), number(KV_HEADS)),
            (own("attention.key_length"), number(self.head())),
            (own("attention.layer_norm_rms_epsilon"), Entry::Real(1e-6)),
            (own("context_length"), number(self.context)),
            (own("rope.freq_base"), Entry::Real(1e6)),
            ("tokenizer.ggml.model".to_owned(), Entry::Text("gpt2".to_owned())),
            ("tokenizer.ggml.pre".to_owned(), Entry::Text("qwen2".to_owned())),
            ("tokenizer.ggml.tokens".to_owned(), Entry::Texts(texts)),
            ("tokenizer.ggml.token_type".to_owned(), Entry::Kinds(kinds)),
            ("tokenizer.ggml.merges".to_owned(), Entry::Texts(merges)),
            ("tokenizer.ggml.eos_token_id".to_owned(), number(plain + 2)),
        ]
    }

    /// Writes one GGUF file, everything in F32.
    pub fn write_gguf_file(self, path: &Path) {
        /// Where a tensor may begin.
        const ALIGNMENT: usize = 32;
        let (header, weights) = (self.gguf_header(), self.weights());
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(3_u32.to_le_bytes());
        bytes.extend((weights.len() as u64).to_le_bytes());
        bytes.extend((header.len() as u64).to_le_bytes());
        for (key, entry) in &header {
            put_text(&mut bytes, key);
            entry.put(&mut bytes);
        }
        let mut data: Vec<u8> = Vec::new();
        for weight in &weights {
            put_text(&mut bytes, &weight.gguf);
            bytes.extend((weight.shape.len() as u32).to_le_bytes());
            for size in weight.shape.iter().rev() {
                bytes.extend((*size as u64).to_le_bytes());
            }
            bytes.extend(0_u32.to_le_bytes());
            bytes.extend((data.len() as u64).to_le_bytes());
            data.extend(weight.values.iter().flat_map(|value| value.to_le_bytes()));
            data.resize(data.len().next_multiple_of(ALIGNMENT), 0);
        }
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        bytes.extend(data);
        std::fs::write(path, bytes).expect("writable");
    }

    /// Writes a folder of safetensors, in two shards with an index.
    pub fn write_folder(self, folder: &Path) {
        std::fs::create_dir_all(folder).expect("writable");
        let write = |name: &str, bytes: &[u8]| {
            std::fs::write(folder.join(name), bytes).expect("writable");
        };
        let mut index = Map::new();
        let mut shards: [Vec<Weight>; 2] = Default::default();
        for (i, weight) in self.weights().into_iter().enumerate() {
            index.insert(weight.name.clone(), format!("model-{}.safetensors", i % 2).into());
            shards[i % 2].push(weight);
        }
        for (i, shard) in shards.iter().enumerate() {
            write(&format!("model-{i}.safetensors"), &safetensors(shard));
        }
        let index = json!({ "weight_map": index });
        write("model.safetensors.index.json", index.to_string().as_bytes());
        write("config.json", self.config().to_string().as_bytes());
        write("tokenizer.json", tokenizer_json().to_string().as_bytes());
    }
}

/// The bytes of a safetensors file.
fn safetensors(weights: &[Weight]) -> Vec<u8> {
    let mut header = Map::new();
    let mut data: Vec<u8> = Vec::new();
    for weight in weights {
        let from = data.len();
        data.extend(weight.values.iter().flat_map(|value| value.to_le_bytes()));
        header.insert(
            weight.name.clone(),
            json!({"dtype": "F32", "shape": weight.shape, "data_offsets": [from, data.len()]}),
        );
    }
    let mut text = Value::Object(header).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text);
    bytes.extend(data);
    bytes
}
