"""Says which patterns are too near to a message that is measured with; there should be none.

    python apart.py MESSAGES_DIR

Near: over two thirds of the words of both together are common. Of a pattern with
alternatives eight expansions are looked at.
"""

import json
import random
import sys
from pathlib import Path

from data import HERE
from grammar import expand, lines, parse, tidy
from words import words_of

NEAR = 2 / 3
EXPANSIONS = 8


def main():
    messages = []
    for file in ("route.jsonl", "plan.jsonl", "answer.jsonl"):
        for line in (Path(sys.argv[1]) / file).read_text(encoding="utf-8").splitlines():
            case = json.loads(line)
            messages += [(case["id"], set(words_of(text))) for text in (case["say"], *case.get("notes", ()))]
    messages = [(id, words) for id, words in messages if len(words) > 2]
    by_word = {}
    for at, (_, words) in enumerate(messages):
        for word in words:
            by_word.setdefault(word, []).append(at)
    found = 0
    for path in sorted(HERE.glob("*/*.tsv")):
        if path.parent.name == "lexicon":
            continue
        chance = random.Random(1)
        for fields in lines(path):
            tree = parse(fields[-1])
            for _ in range(EXPANSIONS if "|" in fields[-1] else 1):
                words = set(words_of(tidy(expand(tree, chance, lambda name: f"slot{name}"))))
                near = {at for word in words for at in by_word.get(word, ())}
                known = [messages[at][0] for at in near if len(words & messages[at][1]) > NEAR * len(words | messages[at][1])]
                if known:
                    print(path.relative_to(HERE), ", ".join(known), "\t".join(fields[1:]), sep="\t")
                    found += 1
                    break
    sys.exit(f"{found} patterns are too near" if found else 0)


if __name__ == "__main__":
    main()
