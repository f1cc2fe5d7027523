"""Trains the model; interrupted, it goes on from its last checkpoint.

    python train.py DATA_DIR FOLDER [--teacher CORPUS.npz] [--steps N] [--device cuda]

FOLDER has tokenizer.json (tokens.py makes it) and gets checkpoint.pt and
log.jsonl. CORPUS.npz is what ../embedder/distill.py keeps in its cache: texts
and the teacher's vectors of them. Reading a text, the model also learns to say
where the teacher puts it: that is where it gets the meaning of words from that
its own examples show seldom.
"""

import argparse
import json
import math
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from tokenizers import Tokenizer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "embedder"))

from data import Examples
from model import Qwen3, Shape
from static import Static

SEED = 42
BATCH = 64
# Batches that are drawn together and put in order of length.
POOL = 80
RATE, LAST_RATE, WARM_UP = 1.5e-3, 5e-5, 200
DROPOUT = 0.1
# Shares of the examples; what is left over are the teacher's texts.
TASKS = {"route": 0.22, "playbook": 0.2, "answer": 0.34, "asks": 0.04, "slot": 0.06}
TEACHER_SHARE = 0.14
# The first part of the training mostly reads the teacher's texts.
READING, READING_SHARE = 0.08, 0.6
# Tokens of what is said that are learned too, so that words are learned.
SAID = 0.08
# Weight of the teacher's vectors.
MEANING = 3.0
LONGEST = 160
# Length of a token's vector where the embedder gives it.
BEGIN = 0.3
SAVE = 300


class Teacher:
    """Texts with vectors; vectors are centred and cut to their first directions."""

    def __init__(self, path, width):
        with np.load(path) as arrays:
            self.texts = arrays["texts"].tobytes().decode().split("\0")
            vectors = torch.from_numpy(arrays["vectors"].astype(np.float32))
        vectors = vectors - vectors.mean(0)
        _, _, axes = torch.linalg.svd(vectors[:: max(1, len(vectors) // 50_000)], full_matrices=False)
        self.vectors = F.normalize(vectors @ axes[:width].T, dim=-1)


def begin_with(model, tokenizer, embedder):
    """Tokens begin where the embedder puts their texts, so that like words begin alike."""
    texts = [tokenizer.decode([id]).strip() for id in range(tokenizer.get_vocab_size())]
    places = torch.from_numpy(embedder.embed(texts)).float()
    with torch.no_grad():
        known = places.abs().amax(1) > 0
        model.embedding.weight[known] = BEGIN * places[known] + 0.3 * model.embedding.weight[known]


def prompt_of(system, user):
    """A conversation up to where the model speaks, as the template in export.py writes it."""
    return f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n"


class Pool:
    def __init__(self, data, tokenizer, teacher):
        self.tokenizer, self.teacher = tokenizer, teacher
        self.data, self.n = data, 0
        self.ends = tokenizer.token_to_id("<|im_end|>")

    def fill(self, share):
        """Batches of token ids with what is to be learned of them."""
        # Seeded by its number, so that a run that goes on sees new examples.
        examples = Examples(self.data, seed=SEED + 1_000 * self.n)
        chance, self.n = examples.chance, self.n + 1
        drawn = []
        for _ in range(BATCH * POOL):
            if self.teacher is not None and chance.random() < share:
                at = chance.randrange(len(self.teacher.texts))
                system = chance.choice(("route", "playbook", "answer"))
                drawn.append((prompt_of(system, self.teacher.texts[at]), "", at))
            else:
                task = chance.choices(list(TASKS), list(TASKS.values()))[0]
                system, user, said = examples.draw(task)
                drawn.append((prompt_of(system, user), said + "<|im_end|>", None))
        first = self.tokenizer.encode_batch([prompt for prompt, _, _ in drawn])
        then = self.tokenizer.encode_batch([said for _, said, _ in drawn])
        rows = [
            (a.ids, b.ids, at)
            for a, b, (_, _, at) in zip(first, then, drawn)
            if len(a.ids) + len(b.ids) <= LONGEST
        ]
        rows.sort(key=lambda row: len(row[0]) + len(row[1]) + chance.random())
        batches = [rows[at : at + BATCH] for at in range(0, len(rows) - BATCH + 1, BATCH)]
        chance.shuffle(batches)
        return [self.batch(batch, chance) for batch in batches]

    def batch(self, rows, chance):
        length = max(len(a) + len(b) for a, b, _ in rows)
        ids = torch.zeros(len(rows), length, dtype=torch.long)
        targets = torch.full((len(rows), length), -100)
        weights = torch.zeros(len(rows), length)
        taught, places = [], []
        for n, (prompt, said, at) in enumerate(rows):
            whole = prompt + said
            ids[n, : len(whole)] = torch.tensor(whole)
            for i in range(1, len(whole)):
                if i >= len(prompt):
                    targets[n, i - 1], weights[n, i - 1] = whole[i], 1.0
                elif chance.random() < SAID:
                    targets[n, i - 1], weights[n, i - 1] = whole[i], 0.15
            if at is not None:
                # Where the user's turn ends.
                last = len(prompt) - 1 - prompt[::-1].index(self.ends)
                taught.append(at)
                places.append((n, last))
        return ids, targets, weights, taught, places


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("data", type=Path)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--teacher", type=Path)
    arguments.add_argument("--embedder", type=Path, help="folder of embedder.bin: where tokens begin")
    arguments.add_argument("--steps", type=int, default=12_000)
    arguments.add_argument("--minutes", type=float, help="the rate falls so that training ends then")
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--device", default="cpu")
    arguments.add_argument("--layers", type=int, default=Shape.layers)
    arguments = arguments.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(SEED)

    tokenizer = Tokenizer.from_file(str(arguments.folder / "tokenizer.json"))
    shape = Shape(vocabulary=tokenizer.get_vocab_size(), layers=arguments.layers)
    model = Qwen3(shape, DROPOUT)
    if arguments.embedder:
        begin_with(model, tokenizer, Static(arguments.embedder))
    model = model.to(arguments.device)
    teacher = Teacher(arguments.teacher, shape.hidden) if arguments.teacher else None
    taught = nn.Linear(shape.hidden, shape.hidden).to(arguments.device)
    parameters = [*model.parameters(), *taught.parameters()]
    decayed = [p for p in parameters if p.dim() > 1]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.05}, {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0}],
        lr=RATE,
        betas=(0.9, 0.98),
        fused=True,
    )
    pool = Pool(arguments.data, tokenizer, teacher)
    step, spent = 0, 0.0
    saved = arguments.folder / "checkpoint.pt"
    if saved.exists():
        state = torch.load(saved, weights_only=True)
        model.load_state_dict(state["model"])
        taught.load_state_dict(state["taught"])
        optimiser.load_state_dict(state["optimiser"])
        step, pool.n, spent = state["step"], state["pools"], state["spent"]
        print("goes on from step", step, flush=True)
    print(sum(p.numel() for p in model.parameters()), "parameters", flush=True)

    def done():
        by_steps = step / arguments.steps
        return max(by_steps, (spent + time.time() - began) / (60 * arguments.minutes)) if arguments.minutes else by_steps

    def save():
        state = {
            "shape": shape.asdict(),
            "model": model.state_dict(),
            "taught": taught.state_dict(),
            "optimiser": optimiser.state_dict(),
            "step": step,
            "pools": pool.n,
            "spent": spent + time.time() - began,
        }
        torch.save(state, saved.with_suffix(".new"))
        saved.with_suffix(".new").replace(saved)

    began, told, kept, tokens, sums = time.time(), time.time(), time.time(), 0, {}
    model.train()
    while done() < 1:
        share = READING_SHARE if done() < READING else TEACHER_SHARE
        for ids, targets, weights, at, places in pool.fill(share):
            rate = LAST_RATE + (RATE - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * min(1.0, done())))
            for group in optimiser.param_groups:
                group["lr"] = rate * min(1, (step + 1) / WARM_UP)
            ids = ids.to(arguments.device)
            with torch.autocast(ids.device.type, torch.bfloat16):
                hidden = model(ids)
                rows, columns = (targets >= 0).nonzero(as_tuple=True)
                logits = model.logits(hidden[rows, columns])
                there = taught(hidden[[n for n, _ in places], [i for _, i in places]]) if at else None
            weight = weights[rows, columns].to(arguments.device)
            each = F.cross_entropy(logits.float(), targets[rows, columns].to(arguments.device), reduction="none")
            loss = (each * weight).sum() / weight.sum()
            sums["said"] = sums.get("said", loss.item()) * 0.98 + 0.02 * loss.item()
            if at:
                near = F.cosine_similarity(there.float(), teacher.vectors[at].to(arguments.device))
                meaning = (1 - near).mean()
                sums["meaning"] = sums.get("meaning", meaning.item()) * 0.98 + 0.02 * meaning.item()
                loss = loss + MEANING * meaning * len(at) / len(ids)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            step, tokens = step + 1, tokens + ids.numel()
            if time.time() - told > 20:
                line = {"step": step, "seconds": round(spent + time.time() - began), "rate": rate, "tokens_per_second": round(tokens / (time.time() - told))}
                line |= {name: round(value, 4) for name, value in sums.items()}
                with open(arguments.folder / "log.jsonl", "a", encoding="utf-8") as log:
                    log.write(json.dumps(line) + "\n")
                told, tokens = time.time(), 0
            if time.time() - kept > SAVE:
                save()
                kept = time.time()
            if done() >= 1:
                break
    save()


if __name__ == "__main__":
    main()
