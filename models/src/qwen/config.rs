//! Shape of a model, from `config.json` or the metadata of a GGUF file, with
//! every number checked before anything is computed from it.

use crate::compute::processor::{HEAD_MAX, Heads};
use serde::Deserialize;
use serde_json::Value;

/// Which of the family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// Qwen2 and Qwen2.5.
    Qwen2,
    /// Qwen3, dense.
    Qwen3,
}

impl Family {
    /// By the name that checkpoints give.
    pub(crate) fn named(name: &str) -> Result<Self, String> {
        match name {
            "qwen2" => Ok(Self::Qwen2),
            "qwen3" => Ok(Self::Qwen3),
            other => Err(format!(
                "its architecture is {other:?}; qwen2 (Qwen2, Qwen2.5) and qwen3 run here"
            )),
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
        }
    }
}

/// The numbers that say how large a model is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Dimensions {
    pub(crate) family: Family,
    pub(crate) vocabulary: usize,
    pub(crate) hidden: usize,
    pub(crate) inner: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head: usize,
    pub(crate) context: usize,
    pub(crate) theta: f64,
    pub(crate) epsilon: f64,
    pub(crate) tied: bool,
    pub(crate) bias: bool,
}

impl Dimensions {
    /// Its heads.
    pub(crate) fn all_heads(&self) -> Heads {
        Heads { queries: self.heads, keys: self.kv_heads, size: self.head }
    }

    /// What is wrong with them, if anything.
    pub(crate) fn check(&self) -> Result<(), String> {
        let bounds = [
            ("vocabulary", self.vocabulary, 4_000_000),
            ("hidden size", self.hidden, 65_536),
            ("feed-forward size", self.inner, 1 << 20),
            ("number of layers", self.layers, 512),
            ("number of heads", self.heads, 1_024),
            ("number of key heads", self.kv_heads, 1_024),
            ("head size", self.head, HEAD_MAX),
            ("context", self.context, 1 << 26),
        ];
        for (what, value, most) in bounds {
            if value == 0 || value > most {
                return Err(format!("its {what} is {value}, not 1 to {most}"));
            }
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            return Err(format!("{} heads cannot share {} key heads", self.heads, self.kv_heads));
        }
        if self.family == Family::Qwen2 && self.head * self.heads != self.hidden {
            return Err(format!("{} heads do not divide {}", self.heads, self.hidden));
        }
        let sane = |value: f64| value.is_finite() && value > 0.0;
        if !sane(self.theta) || !sane(self.epsilon) || self.epsilon > 1.0 {
            return Err(format!("rope_theta {} or rms_norm_eps {}", self.theta, self.epsilon));
        }
        let sizes = [("hidden", self.hidden), ("feed-forward", self.inner), ("head", self.head)];
        for (what, size) in sizes {
            if !size.is_multiple_of(16) {
                return Err(format!("its {what} size {size} is no multiple of 16"));
            }
        }
        Ok(())
    }

    /// The matrices and vectors that a checkpoint must hold, rows first.
    pub(crate) fn tensors(&self, names: &Names) -> Vec<(String, Vec<usize>)> {
        let (hidden, inner) = (self.hidden, self.inner);
        let (q, kv) = (self.heads * self.head, self.kv_heads * self.head);
        let mut all = vec![
            (names.embedding.to_owned(), vec![self.vocabulary, hidden]),
            (names.norm.to_owned(), vec![hidden]),
        ];
        if !self.tied {
            all.push((names.output.to_owned(), vec![self.vocabulary, hidden]));
        }
        for layer in 0..self.layers {
            let mut add = |name: &str, shape: Vec<usize>| {
                all.push((names.of(layer, name), shape));
            };
            let [attention, feed, wq, wk, wv, wo, gate, up, down] = names.parts;
            add(&format!("{attention}.weight"), vec![hidden]);
            add(&format!("{feed}.weight"), vec![hidden]);
            add(&format!("{wq}.weight"), vec![q, hidden]);
            add(&format!("{wk}.weight"), vec![kv, hidden]);
            add(&format!("{wv}.weight"), vec![kv, hidden]);
            add(&format!("{wo}.weight"), vec![hidden, q]);
            add(&format!("{gate}.weight"), vec![inner, hidden]);
            add(&format!("{up}.weight"), vec![inner, hidden]);
            add(&format!("{down}.weight"), vec![hidden, inner]);
            if self.bias {
                add(&format!("{wq}.bias"), vec![q]);
                add(&format!("{wk}.bias"), vec![kv]);
                add(&format!("{wv}.bias"), vec![kv]);
            }
            if self.family == Family::Qwen3 {
                for norm in names.head_norms {
                    add(&format!("{norm}.weight"), vec![self.head]);
                }
            }
        }
        all
    }
}

/// What the tensors of a format are called.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) embedding: &'static str,
    pub(crate) norm: &'static str,
    pub(crate) output: &'static str,
    layer: &'static str,
    pub(crate) parts: [&'static str; 9],
    pub(crate) head_norms: [&'static str; 2],
}

impl Names {
    /// The name of a part of a layer.
    pub(crate) fn of(&self, layer: usize, part: &str) -> String {
        format!("{}{layer}.{part}", self.layer)
    }
}

/// Names in safetensors.
pub(crate) const SAFETENSORS: Names = Names {
    embedding: "model.embed_tokens.weight",
    norm: "model.norm.weight",
    output: "lm_head.weight",
    layer: "model.layers.",
    parts: [
        "input_layernorm",
        "post_attention_layernorm",
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
        "self_attn.o_proj",
        "mlp.gate_proj",
        "mlp.up_proj",
        "mlp.down_proj",
    ],
    head_norms: ["self_attn.q_norm", "self_attn.k_norm"],
};

/// Names in GGUF.
pub(crate) const GGUF: Names = Names {
    embedding: "token_embd.weight",
    norm: "output_norm.weight",
    output: "output.weight",
    layer: "blk.",
    parts: [
        "attn_norm",
        "ffn_norm",
        "attn_q",
        "attn_k",
        "attn_v",
        "attn_output",
        "ffn_gate",
        "ffn_up",
        "ffn_down",
    ],
    head_norms: ["attn_q_norm", "attn_k_norm"],
};

/// `config.json` as publishers write it.
#[derive(Debug, Deserialize)]
struct Written {
    model_type: String,
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    max_position_embeddings: usize,
    rope_theta: Option<f64>,
    rope_parameters: Option<Value>,
    rope_scaling: Option<Value>,
    rms_norm_eps: f64,
    hidden_act: Option<String>,
    quantization_config: Option<Value>,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    use_sliding_window: bool,
    #[serde(default)]
    attention_bias: bool,
}

/// A model that does not run here, or numbers that make no sense.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    Unsupported(String),
    Damaged(String),
}

/// The dimensions that a `config.json` states.
pub(crate) fn from_json(config: &Value) -> Result<Dimensions, Wrong> {
    let kind = config.get("model_type").and_then(Value::as_str);
    let kind = kind.ok_or_else(|| Wrong::Damaged("it names no model_type".to_owned()))?;
    let family = Family::named(kind).map_err(Wrong::Unsupported)?;
    let written: Written =
        Written::deserialize(config).map_err(|error| Wrong::Damaged(error.to_string()))?;
    let unsupported = |what: &str| Err(Wrong::Unsupported(what.to_owned()));
    if let Some(quantised) = &written.quantization_config {
        let method = quantised.get("quant_method").and_then(Value::as_str).unwrap_or("unknown");
        return unsupported(&format!(
            "its weights are quantised by {method}; F32, F16 and BF16 safetensors run here, and GGUF"
        ));
    }
    let parameters = written.rope_parameters.as_ref();
    let scaling = written.rope_scaling.as_ref().or(parameters).filter(|value| !value.is_null());
    let kind = scaling.and_then(|s| s.get("rope_type").or_else(|| s.get("type")));
    if let Some(kind) = kind.and_then(Value::as_str).filter(|kind| *kind != "default") {
        return unsupported(&format!("it scales positions by {kind}; only plain ones run here"));
    }
    if written.use_sliding_window {
        return unsupported(
            "it looks back through a sliding window; only full attention runs here",
        );
    }
    if let Some(act) = written.hidden_act.as_deref().filter(|act| *act != "silu") {
        return unsupported(&format!("its activation is {act}; silu runs here"));
    }
    let own_theta = parameters.and_then(|p| p.get("rope_theta")).and_then(Value::as_f64);
    let theta = written.rope_theta.or(own_theta);
    let heads = written.num_attention_heads.max(1);
    let dimensions = Dimensions {
        family,
        vocabulary: written.vocab_size,
        hidden: written.hidden_size,
        inner: written.intermediate_size,
        layers: written.num_hidden_layers,
        heads: written.num_attention_heads,
        kv_heads: written.num_key_value_heads.unwrap_or(written.num_attention_heads),
        head: match family {
            Family::Qwen2 => written.hidden_size / heads,
            Family::Qwen3 => written.head_dim.unwrap_or(written.hidden_size / heads),
        },
        context: written.max_position_embeddings,
        theta: theta.ok_or_else(|| Wrong::Damaged("it states no rope_theta".to_owned()))?,
        epsilon: written.rms_norm_eps,
        tied: written.tie_word_embeddings,
        bias: family == Family::Qwen2 || written.attention_bias,
    };
    debug_assert_eq!(written.model_type, family.as_str());
    dimensions.check().map_err(Wrong::Damaged)?;
    Ok(dimensions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config() -> Value {
        json!({
            "model_type": "qwen2", "vocab_size": 151_936, "hidden_size": 896,
            "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14,
            "num_key_value_heads": 2, "max_position_embeddings": 32_768, "rope_theta": 1e6,
            "rms_norm_eps": 1e-6, "tie_word_embeddings": true, "sliding_window": null,
            "hidden_act": "silu",
        })
    }

    fn check(edit: fn(&mut Value), expect: &str) {
        let mut config = config();
        edit(&mut config);
        let said = match from_json(&config) {
            Ok(found) => format!("{} {} {}", found.head, found.theta, found.tied),
            Err(Wrong::Unsupported(why)) => format!("unsupported: {why}"),
            Err(Wrong::Damaged(why)) => format!("damaged: {why}"),
        };
        assert!(said.contains(expect), "{said}");
    }

    #[test]
    fn what_publishers_write_is_read() {
        check(|_| {}, "64 1000000 true");
        check(|c| c["rope_parameters"] = json!({"rope_type": "default"}), "64 1000000 true");
        check(
            |c| {
                c["rope_parameters"] = json!({"rope_theta": 5e5});
                c["rope_theta"] = Value::Null;
            },
            "64 500000 true",
        );
        check(
            |c| {
                c["model_type"] = "qwen3".into();
                c["head_dim"] = 128.into();
            },
            "128 1000000",
        );
    }

    #[test]
    fn what_does_not_run_is_named() {
        check(|c| c["model_type"] = "llama".into(), "unsupported: its architecture is \"llama\"");
        check(|c| c["model_type"] = "qwen3_moe".into(), "qwen3_moe");
        check(|c| c["use_sliding_window"] = true.into(), "sliding window");
        check(|c| c["rope_scaling"] = json!({"type": "yarn"}), "yarn");
        check(|c| c["quantization_config"] = json!({"quant_method": "gptq"}), "gptq");
        check(|c| c["hidden_act"] = "gelu".into(), "gelu");
    }

    #[test]
    fn wild_numbers_are_found_before_they_are_used() {
        check(|c| c["num_attention_heads"] = 0.into(), "damaged: its number of heads is 0");
        check(|c| c["num_key_value_heads"] = 3.into(), "cannot share 3 key heads");
        check(|c| c["vocab_size"] = json!(4_000_000_000_u64), "vocabulary");
        check(|c| c["vocab_size"] = json!(-1), "damaged");
        check(|c| c["hidden_size"] = 900.into(), "do not divide");
        check(|c| c["rms_norm_eps"] = json!(0.0), "rms_norm_eps 0");
        check(|c| c["rope_theta"] = Value::Null, "no rope_theta");
        check(|c| *c = json!([]), "no model_type");
    }
}
