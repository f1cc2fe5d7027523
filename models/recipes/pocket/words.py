"""A linear classifier over words and letter groups: the simpler thing beside the model.

    python words.py DATA_DIR OUT_DIR [--examples N] [--messages DIR]

Writes OUT_DIR/words.bin: for each of the two questions (`route`, `playbook`)
the labels, and for each of BUCKETS features one weight per label, in 8 bits.
With --messages it says how many of those messages it gets right.
"""

import argparse
import json
import re
import struct
import unicodedata
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from data import Examples

SEED = 11
BUCKETS = 1 << 16
# Words of a text that are looked at.
WORDS_MAX = 200
STRENGTH = 30.0
MAGIC, LAYOUT = b"ALMAWRD\0", 1
EDGES = "\"'“”‘’«»()[]{}<>,;:!?…."
NAME = re.compile(r"^.*[^\W_]\.(?=[0-9]*[a-z])[a-z0-9]{1,5}$", re.DOTALL)


def words_of(text):
    """Words without case and accents; paths, addresses and digits as one sign each."""
    text = unicodedata.normalize("NFKD", text.lower())
    text = "".join(c for c in text if not unicodedata.combining(c))
    found = []
    for chunk in text.split():
        core = chunk.strip(EDGES)
        if "@" in core or "://" in core:
            found.append("<address>")
        elif "/" in core or "*" in core or NAME.match(core):
            found.append("<path>")
        else:
            found += ["".join("0" if c.isnumeric() else c for c in word) for word in re.findall(r"[^\W_]+", core)]
        found += [mark for mark in "?!:→>" if mark in chunk]
    return found[:WORDS_MAX]


def features(text):
    words, found = words_of(text), set()
    if not words:
        return found
    found.add(f"^{words[0]}")
    found.add(f"${words[-1]}")
    if len(words) > 1:
        found.add(f"^{words[0]} {words[1]}")
    for at, word in enumerate(words):
        found.add(f"w{word}")
        if at + 1 < len(words):
            found.add(f"b{word} {words[at + 1]}")
        if at + 2 < len(words):
            found.add(f"s{word} {words[at + 2]}")
        if word[0] != "<":
            whole = f"_{word}_"
            for n in (3, 4, 5):
                found.update(f"c{whole[i : i + n]}" for i in range(len(whole) - n + 1))
    return found


def bucket(feature):
    """FNV-1a of 64 bits, folded."""
    digest = 0xCBF29CE484222325
    for byte in feature.encode():
        digest = ((digest ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return (digest ^ digest >> 32) % BUCKETS


KNOWN = {}


def row(text):
    """Buckets of a text, each once, and the value of each."""
    found = set()
    for feature in features(text):
        if feature not in KNOWN:
            KNOWN[feature] = bucket(feature)
        found.add(KNOWN[feature])
    return sorted(found), 1 / max(1, len(found)) ** 0.5


def matrix(texts):
    indices, values, begins = [], [], [0]
    for text in texts:
        found, value = row(text)
        indices += found
        values += [value] * len(found)
        begins.append(len(indices))
    return csr_matrix((np.array(values, np.float32), np.array(indices), np.array(begins)), (len(texts), BUCKETS))


def fit(examples, count):
    """Weights by label, and what is added to each."""
    texts, known = zip(*[examples() for _ in range(count)])
    model = LogisticRegression(C=STRENGTH, max_iter=150).fit(matrix(texts), known)
    return list(model.classes_), model.coef_.T.astype(np.float32), model.intercept_.astype(np.float32)


def quantise(weights):
    """One scale per bucket: entries in -127..127."""
    scales = (np.abs(weights).max(1) / 127).astype("<f4")
    entries = np.round(weights / np.where(scales == 0, 1, scales)[:, None])
    return scales, np.clip(entries, -127, 127).astype(np.int8)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("data", type=Path)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--examples", type=int, default=60_000)
    arguments.add_argument("--messages", type=Path)
    arguments = arguments.parse_args()
    draw = Examples(arguments.data, SEED)
    parts = [struct.pack("<8sIII", MAGIC, LAYOUT, BUCKETS, 2)]
    for question, file, example in (
        ("route", "route.jsonl", draw.route),
        ("playbook", "plan.jsonl", lambda: draw.playbook()[:2]),
    ):
        labels, weights, bias = fit(example, arguments.examples)
        scales, entries = quantise(weights)
        named = "\n".join(labels).encode()
        parts += [struct.pack("<II", len(labels), len(named)), named]
        parts += [bias.astype("<f4").tobytes(), scales.tobytes(), entries.tobytes()]
        if arguments.messages:
            lines = (arguments.messages / file).read_text(encoding="utf-8").splitlines()
            cases = [json.loads(line) for line in lines if line.strip()]
            wanted = [case["expect"][question].replace("refused", "none").replace("-", "") for case in cases]
            said = matrix([case["say"] for case in cases]) @ (entries * scales[:, None]) + bias
            right = np.array([labels[at] for at in said.argmax(1)]) == np.array(wanted)
            even = np.array([int(case["id"][1:]) % 2 == 0 for case in cases])
            print(f"{question}: {right.mean():.3f}; even {right[even].mean():.3f}, odd {right[~even].mean():.3f}", flush=True)
    (arguments.out / "words.bin").write_bytes(b"".join(parts))


if __name__ == "__main__":
    main()
