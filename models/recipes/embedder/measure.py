"""Measures the table, and what recall reaches with it.

    python measure.py DATA_DIR [--sick FILE] [--sts FILE ...] [--clinc DIR] [--cranfield DIR] [--locomo DIR]

Prints Spearman's correlation for pairs of sentences, the share of LoCoMo's
evidence among the first 5, 10 and 20 turns for each stage of the recall that
README.md describes, recall and nDCG on Cranfield, and the accuracy of a linear
probe on CLINC150's intents.
None of these data are used to make the table.
"""

import argparse
import csv
import json
import re
from collections import Counter
from math import log
from pathlib import Path

import numpy as np
import snowballstemmer
from scipy.stats import spearmanr

from static import Static

K1, B = 1.2, 0.4
CANDIDATES = 200
DENSE_SHARE = 0.35
NEIGHBOURS = (0.3, 0.15)
SPEAKER = 0.2
STOP_WORDS = set(
    "a about after an and any are as at be been before but by can could did do does during for from had has have "
    "he her hers him his how i if in into is it its me my of on or our she so than that the their them then there "
    "these they this to us was we were what when where which who whom whose why will with would you your".split()
)
stem = snowballstemmer.stemmer("english").stemWord


def terms(text):
    return [stem(word) for word in re.findall(r"\w+", text.lower()) if word not in STOP_WORDS]


def bm25(documents, queries):
    counts = [Counter(terms(document)) for document in documents]
    lengths = np.array([sum(count.values()) for count in counts], float)
    average = max(lengths.mean(), 1.0)
    postings = {}
    for at, count in enumerate(counts):
        for term, times in count.items():
            postings.setdefault(term, []).append((at, times))
    scores = np.zeros((len(queries), len(documents)))
    for row, query in zip(scores, queries):
        for term in terms(query):
            if term not in postings:
                continue
            at, times = np.array(postings[term]).T
            idf = log(1 + (len(documents) - len(at) + 0.5) / (len(at) + 0.5))
            row[at] += idf * times * (K1 + 1) / (times + K1 * (1 - B + B * lengths[at] / average))
    return scores


def rescale(scores):
    """The best candidates brought to 0..1; whatever is no candidate has 0."""
    first = np.argsort(-scores, axis=1, kind="stable")[:, :CANDIDATES]
    best = np.take_along_axis(scores, first, 1)
    low, high = best.min(1, keepdims=True), best.max(1, keepdims=True)
    out = np.zeros_like(scores)
    np.put_along_axis(out, first, (best - low) / np.maximum(high - low, 1e-9), 1)
    return out


def with_neighbours(scores, sessions):
    out = scores.copy()
    for distance, share in enumerate(NEIGHBOURS, 1):
        same = sessions[distance:] == sessions[:-distance]
        out[:, distance:] += share * scores[:, :-distance] * same
        out[:, :-distance] += share * scores[:, distance:] * same
    return out


def speaker_named(turns, queries):
    """1 where the question names one of the speakers and the turn is theirs."""
    speakers = sorted({turn["speaker"] for turn in turns})
    out = np.zeros((len(queries), len(turns)))
    for row, query in zip(out, queries):
        words = set(re.findall(r"\w+", query.lower()))
        named = [speaker for speaker in speakers if speaker.lower() in words]
        if len(named) == 1:
            row[:] = [turn["speaker"] == named[0] for turn in turns]
    return out


def conversations(folder):
    for path in sorted(folder.glob("conv-*.json")):
        if path.name.endswith(".audit.json"):
            continue
        data = json.loads(path.read_text())
        audit = json.loads(path.with_suffix(".audit.json").read_text())
        corrected = {entry["question"]: entry.get("correct_evidence") for entry in audit}
        talk = data["conversation"]
        numbers = sorted(int(key[8:]) for key in talk if re.fullmatch(r"session_\d+", key))
        turns = [{**turn, "session": number} for number in numbers for turn in talk[f"session_{number}"]]
        index = {turn["dia_id"]: at for at, turn in enumerate(turns)}
        questions = []
        for entry in data["qa"]:
            evidence = corrected.get(entry["question"])
            evidence = entry["evidence"] if evidence is None else evidence
            evidence = {index[id] for id in evidence if id in index}
            if entry["category"] in (1, 2, 3, 4) and evidence:
                questions.append((entry["question"], evidence))
        yield path.stem, turns, questions


def text_of(turn):
    caption = turn.get("blip_caption")
    return f"{turn['speaker']}: {turn['text']}" + (f" [image: {caption}]" if caption else "")


def locomo(static, folder):
    shares = {}
    for name, turns, questions in conversations(folder):
        texts, queries = [text_of(turn) for turn in turns], [question for question, _ in questions]
        sessions = np.array([turn["session"] for turn in turns])
        sparse, dense = bm25(texts, queries), static.embed(queries) @ static.embed(texts).T
        hybrid = DENSE_SHARE * rescale(dense) + (1 - DENSE_SHARE) * rescale(sparse)
        near = with_neighbours(hybrid, sessions)
        stages = {
            "BM25": sparse,
            "dense": dense,
            "hybrid": hybrid,
            "hybrid, neighbours": near,
            "hybrid, neighbours, speaker": near + SPEAKER * speaker_named(turns, queries),
        }
        for stage, scores in stages.items():
            order = np.argsort(-scores, axis=1, kind="stable")
            for row, (_, evidence) in zip(order, questions):
                found = [len(evidence & set(row[:k].tolist())) / len(evidence) for k in (5, 10, 20)]
                shares.setdefault(stage, []).append((name, found))
    chosen_on = {"conv-26", "conv-41", "conv-43"}
    for stage, rows in shares.items():
        mean = lambda keep: " ".join(f"{x:.3f}" for x in np.mean([s for name, s in rows if keep(name)], 0))
        print(
            f"locomo {stage:28} all {mean(lambda _: True)} | chosen on {mean(lambda n: n in chosen_on)}"
            f" | other {mean(lambda n: n not in chosen_on)}"
        )


def cranfield(static, folder):
    read = lambda name: [json.loads(line) for line in (folder / name).read_text().splitlines()]
    documents, queries = read("docs.jsonl"), read("queries.jsonl")
    gains = {}
    for line in (folder / "qrels.tsv").read_text().splitlines():
        if re.fullmatch(r"\d+\s+\d+\s+[1-4]", line):
            query, document, grade = map(int, line.split())
            gains.setdefault(query, {})[document] = 5 - grade
    texts = [f"{document['title']} {document['text']}" for document in documents]
    asked = [query["text"] for query in queries]
    sparse, dense = bm25(texts, asked), static.embed(asked) @ static.embed(texts).T
    hybrid = DENSE_SHARE * rescale(dense) + (1 - DENSE_SHARE) * rescale(sparse)
    discounted = lambda found: sum(gain / log(at + 2) for at, gain in enumerate(found[:10]))
    for stage, scores in {"BM25": sparse, "dense": dense, "hybrid": hybrid}.items():
        recalls, ranks = [], []
        for query, row in zip(queries, scores):
            gain = gains.get(int(query["id"]))
            if gain:
                first = [int(documents[at]["id"]) for at in np.argsort(-row, kind="stable")[:10]]
                recalls.append(len(gain.keys() & set(first)) / len(gain))
                best = discounted(sorted(gain.values(), reverse=True))
                ranks.append(discounted([gain.get(id, 0) for id in first]) / best)
        print(f"cranfield {stage:25} recall@10 {np.mean(recalls):.3f} nDCG@10 {np.mean(ranks):.3f}")


def similarity(static, path, score, first, second):
    with path.open(encoding="utf-8") as file:
        rows = [r for r in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)][1:]
    left, right = (static.embed([row[at] for row in rows]) for at in (first, second))
    found = spearmanr((left * right).sum(1), [float(row[score]) for row in rows])[0]
    print(f"{path.name}: Spearman {found:.3f} over {len(rows)} pairs")


def clinc(static, folder):
    read = lambda name: [line.split("\t") for line in (folder / name).read_text().splitlines()][1:]
    train, held = read("train.tsv"), read("val.tsv")
    intents = sorted({intent for _, intent in train})
    with_one = lambda rows: np.hstack([static.embed([text for text, _ in rows]), np.ones((len(rows), 1))])
    x, y = with_one(train), np.array([[intent == name for name in intents] for _, intent in train], float)
    probe = np.linalg.solve(x.T @ x + 0.5 * np.eye(x.shape[1]), x.T @ y)
    right = [intents[at] == intent for at, (_, intent) in zip((with_one(held) @ probe).argmax(1), held)]
    print(f"clinc150: a ridge probe names {np.mean(right):.3f} of {len(held)} intents")


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("data", type=Path)
    arguments.add_argument("--sick", type=Path)
    arguments.add_argument("--sts", type=Path, nargs="*", default=[])
    arguments.add_argument("--locomo", type=Path)
    arguments.add_argument("--clinc", type=Path)
    arguments.add_argument("--cranfield", type=Path)
    arguments = arguments.parse_args()
    static = Static(arguments.data)
    if arguments.sick:
        similarity(static, arguments.sick, 3, 1, 2)
    for path in arguments.sts:
        similarity(static, path, 0, 1, 2)
    if arguments.clinc:
        clinc(static, arguments.clinc)
    if arguments.cranfield:
        cranfield(static, arguments.cranfield)
    if arguments.locomo:
        locomo(static, arguments.locomo)


if __name__ == "__main__":
    main()
