"""Writes the model as one GGUF file, weights as Q8_0.

    python export.py FOLDER OUT.gguf
"""

import json
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer

from tokens import SPECIAL

# The system turn says what the first turn is: a message or a note. A question about it follows.
TEMPLATE = (
    "{%- for message in messages %}{%- if message.role == 'system' %}{{- '<|im_start|>' + message.content + '\n' }}"
    "{%- else %}{{- message.content + '<|im_end|>\n' }}{%- endif %}{%- endfor %}"
)
LAYER = {
    "q": "attn_q",
    "k": "attn_k",
    "v": "attn_v",
    "o": "attn_output",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
    "attention_norm": "attn_norm",
    "inner_norm": "ffn_norm",
    "q_norm": "attn_q_norm",
    "k_norm": "attn_k_norm",
}


def name_of(name):
    """The name of a weight in GGUF."""
    if name == "embedding.weight":
        return "token_embd.weight"
    if name == "norm.weight":
        return "output_norm.weight"
    _, layer, part, _ = name.split(".")
    return f"blk.{layer}.{LAYER[part]}.weight"


def main():
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    shape = state["shape"]
    writer = gguf.GGUFWriter(out, "qwen3")
    writer.add_name("pocket")
    writer.add_context_length(shape["context"])
    writer.add_embedding_length(shape["hidden"])
    writer.add_block_count(shape["layers"])
    writer.add_feed_forward_length(shape["inner"])
    writer.add_head_count(shape["heads"])
    writer.add_head_count_kv(shape["kv_heads"])
    writer.add_key_length(shape["head"])
    writer.add_value_length(shape["head"])
    writer.add_rope_freq_base(shape["theta"])
    writer.add_layer_norm_rms_eps(shape["epsilon"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokens = [tokenizer.id_to_token(id) for id in range(tokenizer.get_vocab_size())]
    kinds = [gguf.TokenType.CONTROL if token in SPECIAL else gguf.TokenType.NORMAL for token in tokens]
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(merge) for merge in merges])
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_pad_token_id(tokens.index("<|endoftext|>"))
    writer.add_chat_template(TEMPLATE)

    for name, weight in state["model"].items():
        weight = weight.float().numpy()
        if weight.ndim == 1:
            writer.add_tensor(name_of(name), weight.astype(np.float32))
        else:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name_of(name), gguf.quantize(weight, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(out, out.stat().st_size, "bytes, step", state["step"])


if __name__ == "__main__":
    main()
