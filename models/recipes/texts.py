"""Texts of people and authors, from sets that may be trained on and shipped.

clinc150 (CC BY 3.0), banking77 and nlupp (CC BY 4.0), snips (CC0), nl2bash (MIT),
bfcl (Apache-2.0).
"""

import csv
import json
import re


def real_texts(data):
    """What people and authors wrote, from sets that may be trained on."""
    texts = set()
    with open(data / "clinc150" / "train.tsv", encoding="utf-8") as file:
        texts.update(row[0] for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    for line in (data / "clinc150" / "oos_train.tsv").read_text(encoding="utf-8").splitlines():
        texts.add(line.split("\t")[0])
    with open(data / "banking77" / "train.csv", encoding="utf-8") as file:
        texts.update(row["text"] for row in csv.DictReader(file))
    texts.update(row["text"] for row in json_lines(data / "snips" / "train.jsonl"))
    for row in json_lines(data / "nl2bash" / "pairs.jsonl"):
        texts.update((row["nl"], row["cmd"]))
    for path in sorted((data / "nlupp").glob("*/fold*.json")):
        texts.update(row["text"] for row in json.loads(path.read_text(encoding="utf-8")))

    def said(value):
        if isinstance(value, dict):
            for key, inner in value.items():
                if key in ("description", "content") and isinstance(inner, str):
                    yield from re.split(r"(?<=[.!?])\s+|\n+", inner)
                else:
                    yield from said(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from said(inner)

    for path in sorted((data / "bfcl").glob("*.jsonl")):
        for row in json_lines(path):
            texts.update(said([row.get("question"), row.get("function")]))
    return sorted({text.strip() for text in texts if 8 < len(text.strip()) < 300} - {"text"})


def json_lines(path):
    with open(path, encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
