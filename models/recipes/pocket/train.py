"""Trains the model; interrupted, it goes on from its last checkpoint.

    python train.py DATA_DIR FOLDER [--minutes N] [--threads N] [--device cuda]

FOLDER has tokenizer.json (tokens.py makes it) and gets checkpoint.pt and
log.jsonl, the curve: what is said wrong of the examples (`loss`), and of the
families that are kept back.
"""

import argparse
import json
import math
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "embedder"))

from data import NONE, Examples
from model import Qwen3, Shape
from static import Static

SEED = 42
# Tokens of a batch, filled up ones included.
BATCH = 2_048
# Examples that are drawn together and put in order of length.
POOL = 2_500
RATE, LAST_RATE, WARM_UP = 1.5e-3, 2e-5, 200
DROPOUT = 0.0
# Share of the examples that are messages; the others are notes.
MESSAGES = 0.4
LONGEST = 320
# Length of a token's vector where the embedder gives it.
BEGIN = 1.0
SAVE = 300


def begin_with(model, tokenizer, embedder):
    """Tokens begin where the embedder puts their texts, so that like words begin alike."""
    texts = [tokenizer.decode([id]).strip() for id in range(tokenizer.get_vocab_size())]
    places = torch.from_numpy(embedder.embed(texts)).float()
    with torch.no_grad():
        known = places.abs().amax(1) > 0
        model.embedding.weight[known] = BEGIN * places[known] + model.embedding.weight[known]


def opened(kind, text):
    """How a message or a note begins, as the template in export.py writes it."""
    return f"<|im_start|>{kind}\n{text}<|im_end|>\n"


def asked(question):
    return f"{question}<|im_end|>\n"


class Pool:
    """Examples as batches of tokens.

    An example is one text and several questions about it. The text is read once;
    each question with its answer goes on from the text as if it were the only one.
    """

    def __init__(self, data, tokenizer, families="trained"):
        self.tokenizer, self.data, self.families, self.n = tokenizer, data, families, 0

    def fill(self, messages=MESSAGES):
        # Seeded by its number, so that a run that goes on sees new examples.
        examples = Examples(self.data, SEED + 1_000 * self.n, self.families)
        chance, self.n = examples.chance, self.n + 1
        drawn = [examples.draw("message" if chance.random() < messages else "note") for _ in range(POOL)]
        texts = [opened(kind, text) for kind, text, _ in drawn]
        for _, _, questions in drawn:
            for question, said, _ in questions:
                texts += [asked(question), said + "<|im_end|>"]
        ids = iter([each.ids for each in self.tokenizer.encode_batch(texts)])
        firsts = [next(ids) for _ in drawn]
        rows = []
        for first, (_, _, questions) in zip(firsts, drawn):
            row = Row(first)
            for _, _, weight in questions:
                row.add(next(ids), next(ids), weight)
            if len(row.ids) <= LONGEST:
                rows.append(row)
        rows.sort(key=lambda row: len(row.ids) + 4 * chance.random())
        batches, batch = [], []
        for row in rows:
            if batch and (len(batch) + 1) * len(row.ids) > BATCH:
                batches.append(batch)
                batch = []
            batch.append(row)
        chance.shuffle(batches)
        return [stack(batch) for batch in batches]


class Row:
    """Tokens with their places, the question they belong to (0: the text) and what is to be said next."""

    def __init__(self, ids):
        self.ids, self.places, self.parts = list(ids), list(range(len(ids))), [0] * len(ids)
        self.text, self.part = len(ids), 0
        self.said = []

    def add(self, question, said, weight):
        self.part += 1
        begin = len(self.ids)
        self.ids += question + said
        self.places += range(self.text, self.text + len(question) + len(said))
        self.parts += [self.part] * (len(question) + len(said))
        for at, token in enumerate(said):
            # The first word decides; the rest is copied.
            self.said.append((begin + len(question) + at - 1, token, weight if at == 0 else 0.5 * weight))


def stack(rows):
    """(ids, places, mask, (row, place, token, weight) of what is to be said)"""
    length = max(len(row.ids) for row in rows)
    fill = lambda values, empty: torch.tensor([v + [empty] * (length - len(v)) for v in values])
    ids, places = fill([row.ids for row in rows], 0), fill([row.places for row in rows], 0)
    parts = fill([row.parts for row in rows], 0)
    before = torch.ones(length, length, dtype=torch.bool).tril()
    mask = before & ((parts[:, None, :] == 0) | (parts[:, None, :] == parts[:, :, None]))
    said = [(n, *each) for n, row in enumerate(rows) for each in row.said]
    at, place, token, weight = zip(*said)
    return ids, places, mask[:, None], (torch.tensor(at), torch.tensor(place), torch.tensor(token), torch.tensor(weight))


def chances(model, batch, device):
    ids, places, mask, (at, place, token, weight) = batch
    hidden = model(ids.to(device), places.to(device), mask.to(device))
    return model.logits(hidden[at, place]).float(), token.to(device), weight.to(device)


@torch.no_grad()
def measured(model, batches, none, device):
    """Of questions about notes of kept back families: how often the first token is right, if it is an
    answer and if it is none."""
    model.eval()
    right, count = [0, 0], [0, 0]
    for batch in batches:
        logits, token, weight = chances(model, batch, device)
        first = weight == 1.0
        said, token = logits.argmax(1)[first], token[first]
        for n, which in enumerate((token != none, token == none)):
            right[n] += (said[which] == token[which]).sum().item()
            count[n] += which.sum().item()
    model.train()
    return [round(r / max(1, c), 3) for r, c in zip(right, count)]


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("data", type=Path)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--embedder", type=Path, help="folder of embedder.bin: where tokens begin")
    arguments.add_argument("--minutes", type=float, default=180, help="the rate falls so that training ends then")
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--device", default="cpu")
    arguments = arguments.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(SEED)

    tokenizer = Tokenizer.from_file(str(arguments.folder / "tokenizer.json"))
    none = tokenizer.token_to_id(NONE)
    model = Qwen3(Shape(vocabulary=tokenizer.get_vocab_size()), DROPOUT)
    if arguments.embedder:
        begin_with(model, tokenizer, Static(arguments.embedder))
    model = model.to(arguments.device)
    parameters = list(model.parameters())
    optimiser = torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.dim() > 1], "weight_decay": 0.05},
            {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
        ],
        lr=RATE,
        betas=(0.9, 0.98),
        fused=True,
    )
    pool = Pool(arguments.data, tokenizer)
    kept_back = Pool(arguments.data, tokenizer, "kept back").fill(messages=0)[:12]
    step, spent = 0, 0.0
    saved = arguments.folder / "checkpoint.pt"
    if saved.exists():
        state = torch.load(saved, weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        step, pool.n, spent = state["step"], state["pools"], state["spent"]
        print("goes on from step", step, flush=True)
    print(sum(p.numel() for p in parameters), "parameters", flush=True)

    began, told, kept, tokens, loss_now = time.time(), time.time(), time.time(), 0, None
    elapsed = lambda: spent + time.time() - began
    done = lambda: elapsed() / (60 * arguments.minutes)

    def save():
        state = {
            "shape": model.shape.asdict(),
            "model": model.state_dict(),
            "optimiser": optimiser.state_dict(),
            "step": step,
            "pools": pool.n,
            "spent": elapsed(),
        }
        torch.save(state, saved.with_suffix(".new"))
        saved.with_suffix(".new").replace(saved)

    model.train()
    while done() < 1:
        for batch in pool.fill():
            rate = LAST_RATE + (RATE - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * min(1.0, done())))
            for group in optimiser.param_groups:
                group["lr"] = rate * min(1, (step + 1) / WARM_UP)
            logits, token, weight = chances(model, batch, arguments.device)
            loss = (F.cross_entropy(logits, token, reduction="none") * weight).sum() / weight.sum()
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            loss_now = loss.item() if loss_now is None else 0.98 * loss_now + 0.02 * loss.item()
            step, tokens = step + 1, tokens + batch[0].numel()
            if time.time() - told > 60:
                answers, nones = measured(model, kept_back, none, arguments.device)
                line = {
                    "step": step,
                    "seconds": round(elapsed()),
                    "rate": round(rate, 6),
                    "tokens_per_second": round(tokens / (time.time() - told)),
                    "loss": round(loss_now, 4),
                    "answers": answers,
                    "nones": nones,
                }
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
