#!/usr/bin/env python3
"""Tiny Qwen2 and Qwen3 checkpoints with weights by chance, and what Hugging Face
transformers computes with them in F32: the golden files of `models/golden`.

    golden.py [--seed 1] [--out ../../golden]

The test `qwen::golden` holds the engine to them. It reads whatever lies there, so
fresh weights are another seed, and the test again.
"""
import argparse
import json
import pathlib

import torch
import transformers
from safetensors.torch import save_file

args = argparse.ArgumentParser()
args.add_argument("--seed", type=int, default=1)
args.add_argument("--out", type=pathlib.Path,
                  default=pathlib.Path(__file__).resolve().parent / "../../golden")
args = args.parse_args()

BYTES = 256
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
VOCABULARY = 288
PROMPT, GREEDY = 80, 64


def characters():
    """The characters that stand for bytes in byte-level vocabularies."""
    own = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    found, other = {}, 0
    for byte in range(BYTES):
        if byte in own:
            found[byte] = chr(byte)
        else:
            found[byte] = chr(0x100 + other)
            other += 1
    return found


def tokenizer():
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False,
             "use_regex": False}
    added = [{"id": BYTES + at, "content": text, "special": True, "single_word": False,
              "lstrip": False, "rstrip": False, "normalized": False}
             for at, text in enumerate(SPECIALS)]
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": None, "pre_tokenizer": level, "post_processor": None, "decoder": level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None,
                  "continuing_subword_prefix": "", "end_of_word_suffix": "", "fuse_unk": False,
                  "byte_fallback": False, "ignore_merges": False, "merges": [],
                  "vocab": {text: byte for byte, text in characters().items()}},
    }


SHAPE = dict(vocab_size=VOCABULARY, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
             num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512,
             rope_theta=10_000.0, rms_norm_eps=1e-6, hidden_act="silu", use_sliding_window=False,
             bos_token_id=None, eos_token_id=BYTES + 2)
MODELS = {
    "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM,
              dict(tie_word_embeddings=True)),
    "qwen3": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM,
              dict(tie_word_embeddings=False, head_dim=32)),
}

for name, (config, model, own) in MODELS.items():
    torch.manual_seed(args.seed)
    config = config(**SHAPE, **own)
    model = model(config).to(torch.float32).eval()
    with torch.no_grad():
        for key, weight in model.named_parameters():
            # Large enough that tokens differ; norms around one.
            if weight.dim() == 1 and "norm" in key:
                weight.copy_(1 + 0.3 * torch.randn_like(weight))
            else:
                weight.copy_(0.15 * torch.randn_like(weight))
        prompt = torch.randint(0, BYTES, (1, PROMPT))
        logits = model(prompt).logits[0]
        tokens = prompt
        for _ in range(GREEDY):
            tokens = torch.cat([tokens, model(tokens).logits[:, -1:].argmax(-1)], 1)
    folder = args.out / name
    folder.mkdir(parents=True, exist_ok=True)
    weights = {key: value.contiguous() for key, value in model.state_dict().items()
               if not (own["tie_word_embeddings"] and key == "lm_head.weight")}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    written = {"model_type": name, **SHAPE, **own, "torch_dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(written, indent=1) + "\n")
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer()) + "\n")
    made_by = {"made_by": f"transformers {transformers.__version__}, torch {torch.__version__}, "
                          f"golden.py --seed {args.seed}"}
    save_file({"prompt": prompt[0].to(torch.int64), "logits": logits.contiguous(),
               "greedy": tokens[0, PROMPT:].to(torch.int64)},
              args.out / f"{name}.safetensors", made_by)
    print(name, made_by["made_by"], "largest logit", logits.abs().max().item())
