"""The shipped table, read in Python: what the Rust side is measured against."""

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
        vocabulary, data = folder / "vocab.txt", (folder / "static-256.bin").read_bytes()
        magic, layout, rows, dimensions, kind, _, digest = struct.unpack_from("<8sIIIIQ32s", data)
        if (magic, layout, kind) != (b"ALMAEMB\0", 1, 1):
            raise SystemExit("static-256.bin is no table that this program reads")
        if digest != hashlib.sha256(vocabulary.read_bytes()).digest():
            raise SystemExit("static-256.bin was made with another vocabulary")
        scales = np.frombuffer(data, "<f4", rows, 64)
        entries = np.frombuffer(data, np.int8, rows * dimensions, 64 + 4 * rows)
        self.table = entries.reshape(rows, dimensions) * scales[:, None]
        self.tokenizer = reference_tokenizer(vocabulary)

    def ids(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def embed(self, texts):
        rows = np.array([self.table[self.ids(text)].sum(0) for text in texts], np.float32)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
