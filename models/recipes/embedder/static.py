"""The shipped embedder, read in Python: what the Rust side is measured against."""

import hashlib
import struct
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers


def reference_tokenizer(vocabulary: Path) -> Tokenizer:
    """BERT's uncased tokeniser without special tokens: the text is data."""
    pieces = vocabulary.read_text(encoding="utf-8").split("\n")[:-1]
    ids = {piece: id for id, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


class Static:
    def __init__(self, folder: Path):
        vocabulary, data = folder / "vocab.txt", (folder / "embedder.bin").read_bytes()
        magic, layout, rows, dimensions, kind, inner, _, digest = struct.unpack_from("<8sIIIIII32s", data)
        if (magic, layout, kind) != (b"ALMAEMB\0", 2, 1):
            raise SystemExit("embedder.bin is nothing that this program reads")
        if digest != hashlib.sha256(vocabulary.read_bytes()).digest():
            raise SystemExit("embedder.bin was made with another vocabulary")
        at = struct.calcsize("<8sIIIIII32s")

        def numbers(count):
            nonlocal at
            at += 4 * count
            return np.frombuffer(data, "<f4", count, at - 4 * count)

        def matrix(rows, columns):
            nonlocal at
            scales = numbers(rows)
            at += rows * columns
            entries = np.frombuffer(data, np.int8, rows * columns, at - rows * columns)
            return entries.reshape(rows, columns) * scales[:, None]

        self.table = matrix(rows, dimensions)
        self.inner, self.inner_bias = matrix(inner, dimensions), numbers(inner)
        self.outer, self.outer_bias = matrix(dimensions, inner), numbers(dimensions)
        self.tokenizer = reference_tokenizer(vocabulary)

    def ids(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def embed(self, texts):
        sums = unit(np.array([self.table[self.ids(text)].sum(0) for text in texts], np.float32))
        between = np.maximum(sums @ self.inner.T + self.inner_bias, 0)
        vectors = unit(sums + between @ self.outer.T + self.outer_bias)
        # A text without a known piece has no direction.
        return np.where(np.abs(sums).max(1, keepdims=True) > 0, vectors, 0)


def unit(rows):
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
