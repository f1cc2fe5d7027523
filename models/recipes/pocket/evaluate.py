"""What a checkpoint makes of messages that it was not trained on.

    python evaluate.py FOLDER MESSAGES_DIR [--half dev|test|all] [--wrong]

MESSAGES_DIR holds route.jsonl, plan.jsonl and answer.jsonl. Even numbers were
looked at while the recipe was made (dev), odd ones were not (test). The figures
of the program itself are those of `alma bench route|plan|answer`.
"""

import argparse
import json
import re
from pathlib import Path

import torch
from tokenizers import Tokenizer

from data import NONE, PLAYBOOKS, ROUTES
from model import Qwen3, Shape
from train import asked, opened


class Speaker:
    def __init__(self, folder, threads=1):
        torch.set_num_threads(threads)
        state = torch.load(folder / "checkpoint.pt", weights_only=True)
        self.model = Qwen3(Shape(**state["shape"]))
        self.model.load_state_dict(state["model"])
        self.model.eval()
        self.step = state["step"]
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    @torch.no_grad()
    def first(self, kind, text, question):
        """How likely each token is to be the first that is said."""
        ids = self.tokenizer.encode(opened(kind, text) + asked(question)).ids
        logits = self.model.logits(self.model(torch.tensor([ids]))[0, -1])
        return torch.softmax(logits.float(), 0)

    def chances(self, kind, text, question, labels):
        """The same of each label, which is one token."""
        chances = self.first(kind, text, question)
        return {label: chances[self.tokenizer.token_to_id(label)].item() for label in labels}


def read(path, half):
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    rest = {"dev": (0,), "test": (1,), "all": (0, 1)}[half]
    return [row for row in rows if int(row["id"][1:]) % 2 in rest]


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("messages", type=Path)
    arguments.add_argument("--half", default="dev", choices=("dev", "test", "all"))
    arguments.add_argument("--wrong", action="store_true")
    arguments = arguments.parse_args()
    speaker = Speaker(arguments.folder)
    print("step", speaker.step)

    def score(question, cases, labels):
        right = 0
        for text, expected in cases:
            chances = speaker.chances("message", text, question, labels)
            best = max(chances, key=chances.get)
            right += best == expected
            if best != expected and arguments.wrong:
                print(f"   {expected} → {best} {chances[best]:.2f}: {text[:110]}")
        print(f"{question}: {right / len(cases):.3f} of {len(cases)}")

    score("route", [(row["say"], row["expect"]["route"]) for row in read(arguments.messages / "route.jsonl", arguments.half)], list(ROUTES))
    names = [path.stem.replace("-", "") for path in sorted(PLAYBOOKS.glob("*.yaml"))] + [NONE]
    of = lambda row: row["expect"]["playbook"].replace("refused", NONE).replace("-", "")
    score("playbook", [(row["say"], of(row)) for row in read(arguments.messages / "plan.jsonl", arguments.half)], names)
    ranked = []
    for row in read(arguments.messages / "answer.jsonl", arguments.half):
        sure = [1 - speaker.chances("note", note, row["say"], [NONE])[NONE] for note in row["notes"]]
        most = max(range(len(sure)), key=sure.__getitem__)
        right = bool(row["expect"].get("answer")) and re.search(row["expect"]["answer"], row["notes"][most]) is not None
        ranked.append((sure[most], right, bool(row["expect"].get("abstain"))))
    known = sum(not abstain for _, _, abstain in ranked)
    for floor in (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95):
        right = sum(right and sure >= floor for sure, right, _ in ranked) / known
        silent = sum(sure < floor and abstain for sure, _, abstain in ranked) / max(1, len(ranked) - known)
        print(f"answers, floor {floor}: right {right:.3f}, abstained {silent:.3f}")
    print("answers, the best note is right:", round(sum(right for _, right, _ in ranked) / known, 3))


if __name__ == "__main__":
    main()
