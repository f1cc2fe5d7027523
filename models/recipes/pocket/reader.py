"""The reader: whether a note answers a question, and where. Trains it and writes it.

    python reader.py DATA_DIR EMBEDDER_DIR RUN.pt OUT_DIR [--minutes N] [--messages DIR]

EMBEDDER_DIR holds embedder.bin and vocab.txt, whose table is used as it is.
RUN.pt is the checkpoint; a run that is begun again goes on from its weights.
OUT_DIR gets reader.bin. `../../src/pocket/reader.rs` runs it.

Decomposable attention (Parikh et al. 2016) with two convolutions below it, and a
mark for each piece of the note: whether it is part of the answer.
"""

import argparse
import hashlib
import json
import random
import re
import struct
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "embedder"))

from data import NONE, Examples
from static import Static

SEED = 1
WIDTH = 128
QUESTION, NOTE, UNKNOWN = 48, 128, 100
LENGTH, SAME, SHARP, MOST = 4.0, 3.0, 4.0, 10.0
BATCH, POOL, RATE, DROPOUT = 128, 2_000, 1e-3, 0.1
# Share of pieces that are read as unknown while it learns.
HIDDEN = 0.03
# Weight of the marks.
MARKS = 2.0


class Reader(nn.Module):
    def __init__(self, table, width=WIDTH):
        super().__init__()
        w = self.width = width
        self.table = nn.Embedding.from_pretrained(table, freeze=True)
        self.inward = nn.Linear(table.shape[1], w)
        self.beside = nn.ModuleList(nn.Conv1d(w, w, 3, padding=1) for _ in range(2))
        self.look = nn.Linear(2 * w, w, bias=False)
        pair = lambda inputs, outputs: nn.ModuleList([nn.Linear(inputs, w), nn.Linear(w, outputs)])
        self.compare, self.want = pair(4 * w + 2, w), nn.Linear(2 * w, w)
        self.mark, self.sum = pair(4 * w, 1), pair(5 * w + 1, 1)
        self.drop = nn.Dropout(DROPOUT)

    def side(self, ids, there):
        there = there.unsqueeze(-1).float()
        alone = self.inward(self.table(ids))
        convolved = lambda layer, x: F.relu(layer(x.transpose(1, 2)).transpose(1, 2)) * there
        near = convolved(self.beside[0], F.relu(alone) * there)
        among = convolved(self.beside[1], near) + near
        return alone * there, among

    def forward(self, question, asked, note, told):
        """How sure the note answers, and a mark for each of its pieces.

        `question` and `note` are pieces; `asked` and `told` say which of them are
        not there to fill up.
        """
        w = self.width
        sides = self.side(question, asked), self.side(note, told)
        keys = [self.look(torch.cat(side, -1)) for side in sides]
        like = (question.unsqueeze(2) == note.unsqueeze(1)) & asked.unsqueeze(2) & told.unsqueeze(1)
        look = keys[0] @ keys[1].transpose(1, 2) * (SHARP / w**0.5) + SAME * like.float()

        def seen(own, other, look, like, own_there, other_there):
            look = look.masked_fill(~other_there.unsqueeze(1), -1e4)
            found = look.softmax(2) @ torch.cat(other, -1)
            (alone, among), there, around = own, found[..., :w], found[..., w:]
            same = like.any(2, keepdim=True).float()
            most = look.amax(2, keepdim=True).clamp(-MOST, MOST) / 5
            x = torch.cat([alone * there, among, around, (alone - there).abs(), same, most], -1)
            x = F.relu(self.compare[1](self.drop(F.relu(self.compare[0](x)))))
            return x * own_there.unsqueeze(-1).float()

        mine = seen(*sides, look, like, asked, told)
        its = seen(*sides[::-1], look.transpose(1, 2), like.transpose(1, 2), told, asked)
        quarter = mine.sum(1) / 4
        want = F.relu(self.want(torch.cat([quarter, sides[0][1].amax(1)], -1)))
        wanted, among = want.unsqueeze(1).expand(-1, note.shape[1], -1), sides[1][1]
        mark = self.mark[1](F.relu(self.mark[0](torch.cat([its, among, wanted * among, wanted], -1)))).squeeze(-1)
        marks = mark.masked_fill(~told, -1e4)
        top = (marks.softmax(1).unsqueeze(-1) * its).sum(1)
        most = marks.amax(1, keepdim=True).clamp(-MOST, MOST) / 5
        x = torch.cat([quarter, mine.amax(1), its.sum(1) / 8, top, want, most], -1)
        return self.sum[1](self.drop(F.relu(self.sum[0](x)))).squeeze(-1), mark

    def linears(self):
        """All layers as (weights, what is added), a convolution as a layer over three neighbours."""
        for layer in (self.inward, *self.beside, self.look, *self.compare, self.want, *self.mark, *self.sum):
            weight = layer.weight
            if weight.dim() == 3:
                weight = weight.transpose(1, 2).reshape(weight.shape[0], -1)
            bias = torch.zeros(len(weight)) if layer.bias is None else layer.bias
            yield weight, bias, layer


def table_of(embedder):
    return LENGTH * F.normalize(torch.from_numpy(np.array(embedder.table, np.float32)), dim=1)


class Texts:
    """Questions and notes as pieces."""

    def __init__(self, embedder):
        self.tokenizer = embedder.tokenizer

    def encode(self, texts):
        return self.tokenizer.encode_batch(texts, add_special_tokens=False)

    def questions(self, texts):
        return [each.ids[:QUESTION] or [UNKNOWN] for each in self.encode(texts)]

    def notes(self, texts, answers):
        """Pieces, and of each whether it is part of the answer."""
        for text, answer, each in zip(texts, answers, self.encode(texts)):
            ids = each.ids[:NOTE] or [UNKNOWN]
            begin = text.find(answer) if answer else -1
            end = begin + len(answer or "")
            inside = [float(begin >= 0 and a < end and b > begin) for a, b in each.offsets[:NOTE]]
            yield ids, inside or [0.0]


def stack(rows, empty=0):
    length = max(map(len, rows))
    ids = torch.tensor([row + [empty] * (length - len(row)) for row in rows])
    return ids, torch.tensor([[True] * len(row) + [False] * (length - len(row)) for row in rows])


def pairs(data, seed, families, count=POOL):
    examples = Examples(data, seed, families)
    for _ in range(count):
        _, note, asked = examples.note()
        for question, said, _ in asked:
            yield question, note, None if said == NONE else said


@torch.no_grad()
def scores(model, questions, notes):
    model.eval()
    found = []
    for at in range(0, len(questions), 256):
        found.append(model(*stack(questions[at : at + 256]), *stack([ids for ids, _ in notes[at : at + 256]]))[0])
    model.train()
    return torch.cat(found)


def area(scores, known):
    """Area under the curve: how often a note that answers is surer than one that does not."""
    order = np.argsort(np.argsort(scores)) + 1
    known = np.array(known)
    yes = known.sum()
    return (order[known].sum() - yes * (yes + 1) / 2) / (yes * (len(known) - yes))


def on_messages(model, texts, folder, half):
    """Of questions with notes: how often the surest note is a right one, at floors that keep silent
    where there is no answer in so many of a hundred."""
    lines = (folder / "answer.jsonl").read_text(encoding="utf-8").splitlines()
    cases = [case for case in map(json.loads, lines) if int(case["id"][1:]) % 2 in half]
    flat = [(case["say"], note) for case in cases for note in case["notes"]]
    found = iter(scores(model, texts.questions([q for q, _ in flat]), list(texts.notes([n for _, n in flat], [None] * len(flat)))).tolist())
    answered, silent = [], []
    for case in cases:
        sure, note = max((next(found), note) for note in case["notes"])
        pattern = case["expect"].get("answer")
        if pattern:
            answered.append((sure, re.search(pattern, note) is not None))
        else:
            silent.append(sure)
    said = {}
    for share in (0.0, 0.7, 0.9, 0.93, 0.96):
        floor = -1e9 if share == 0 else sorted(silent)[min(len(silent) - 1, round(share * len(silent)))]
        said[share] = (round(sum(right and sure >= floor for sure, right in answered) / len(answered), 3), round(floor, 2))
    return said


def quantise(weight):
    """One scale per output: entries in -127..127."""
    weight = weight.detach().numpy()
    scales = (np.abs(weight).max(1) / 127).astype("<f4")
    entries = np.clip(np.round(weight / np.where(scales == 0, 1, scales)[:, None]), -127, 127)
    return scales, entries.astype(np.int8)


def write(model, embedder_file, out):
    """Writes the file, and gives the model the weights that stand in it."""
    parts = [struct.pack("<8sII", b"ALMARDR\0", 1, model.width), hashlib.sha256(embedder_file.read_bytes()).digest()]
    for weight, bias, layer in model.linears():
        scales, entries = quantise(weight)
        parts += [scales.tobytes(), entries.tobytes(), bias.detach().numpy().astype("<f4").tobytes()]
        rounded = torch.from_numpy(entries * scales[:, None])
        if layer.weight.dim() == 3:
            outputs, inputs, three = layer.weight.shape
            rounded = rounded.reshape(outputs, three, inputs).transpose(1, 2)
        layer.weight.data = rounded
    out.write_bytes(b"".join(parts))


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("data", type=Path)
    arguments.add_argument("embedder", type=Path)
    arguments.add_argument("run", type=Path)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--minutes", type=float, default=60, help="0: only writes what the checkpoint holds")
    arguments.add_argument("--rate", type=float, default=RATE)
    arguments.add_argument("--seed", type=int, default=SEED)
    arguments.add_argument("--messages", type=Path)
    arguments = arguments.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    random.seed(arguments.seed)
    embedder = Static(arguments.embedder)
    texts, model = Texts(embedder), Reader(table_of(embedder))
    if arguments.run.exists():
        model.load_state_dict(torch.load(arguments.run, weights_only=True), strict=False)
        print("goes on", flush=True)
    learned = {name: p for name, p in model.named_parameters() if p.requires_grad}
    print(sum(p.numel() for p in learned.values()), "parameters", flush=True)
    optimiser = torch.optim.AdamW(learned.values(), lr=arguments.rate, weight_decay=0.01)
    back = list(pairs(arguments.data, 9, "kept back", 700))
    back_questions, back_notes = texts.questions([q for q, _, _ in back]), list(texts.notes([n for _, n, _ in back], [None] * len(back)))

    def tell(step, loss):
        found = scores(model, back_questions, back_notes).numpy()
        line = {"seconds": round(time.time() - began), "step": step, "loss": round(loss, 3)}
        line["kept_back"] = round(float(area(found, [said is not None for _, _, said in back])), 4)
        if arguments.messages:
            line["even"] = on_messages(model, texts, arguments.messages, (0,))
        print(json.dumps(line), flush=True)

    began, told, step, pool, loss_now = time.time(), time.time(), 0, 0, 0.7
    done = lambda: (time.time() - began) / max(1e-9, 60 * arguments.minutes)
    hide = lambda ids: [UNKNOWN if random.random() < HIDDEN else id for id in ids]
    model.train()
    while done() < 1:
        drawn = list(pairs(arguments.data, 10_000 * arguments.seed + pool, "trained"))
        pool += 1
        questions = [hide(ids) for ids in texts.questions([q for q, _, _ in drawn])]
        notes = [(hide(ids), inside) for ids, inside in texts.notes([n for _, n, _ in drawn], [said for _, _, said in drawn])]
        answers = torch.tensor([float(said is not None) for _, _, said in drawn])
        order = sorted(range(len(drawn)), key=lambda at: 100 * len(notes[at][0]) + len(questions[at]) + 500 * random.random())
        batches = [order[at : at + BATCH] for at in range(0, len(order) - BATCH + 1, BATCH)]
        random.shuffle(batches)
        for batch in batches:
            for group in optimiser.param_groups:
                group["lr"] = arguments.rate * max(0.02, 1 - done()) * min(1, (step + 1) / 100)
            question, asked = stack([questions[at] for at in batch])
            note, there = stack([notes[at][0] for at in batch])
            inside, _ = stack([notes[at][1] for at in batch], 0.0)
            score, mark = model(question, asked, note, there)
            loss = F.binary_cross_entropy_with_logits(score, answers[batch])
            marks = F.binary_cross_entropy_with_logits(mark, inside, reduction="none")
            marks = (marks * there).sum() / there.sum()
            optimiser.zero_grad()
            (loss + MARKS * marks).backward()
            optimiser.step()
            step, loss_now = step + 1, 0.98 * loss_now + 0.02 * loss.item()
            if time.time() - told > 60:
                tell(step, loss_now)
                told = time.time()
                torch.save({name: p.data for name, p in learned.items()}, arguments.run)
    torch.save({name: p.data for name, p in learned.items()}, arguments.run)
    model.eval()
    write(model, arguments.embedder / "embedder.bin", arguments.out / "reader.bin")
    tell(step, loss_now)


if __name__ == "__main__":
    main()
