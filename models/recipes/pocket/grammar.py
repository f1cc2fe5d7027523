"""The paraphrase grammar: patterns with alternatives and slots.

`(a|b c|)` is one of these, nests, and may be empty; brackets without a bar stand
for themselves; `{name}` is a value of the lexicon. One pattern per line stands
in phrases/, plans/ and facts/, after its language.

    python grammar.py FILE [N]     checks FILE (LANG<TAB>pattern) and prints N expansions
"""

import random
import re
import sys
from pathlib import Path

LANGUAGES = ("en", "de", "fr", "es", "it", "nl", "pt")


def parse(text):
    """A pattern as a tree: a list of texts, ("slot", name) and ("any", [trees])."""

    def sequence(at, inside):
        parts, plain = [], ""

        def end_plain():
            nonlocal plain
            if plain:
                parts.append(plain)
            plain = ""

        while at < len(text):
            c = text[at]
            if c == "(":
                end_plain()
                options = []
                while at < len(text) and text[at] != ")":
                    tree, at = sequence(at + 1, True)
                    options.append(tree)
                if at >= len(text):
                    raise ValueError("a ( is not closed")
                # Without a bar they are what they are.
                parts += [("any", options)] if len(options) > 1 else ["(", *options[0], ")"]
            elif c in "|)":
                if inside:
                    break
                if c == "|":
                    raise ValueError("a | outside of ( )")
                plain += c  # :)
            elif c == "{":
                end_plain()
                end = text.index("}", at)
                parts.append(("slot", text[at + 1 : end]))
                at = end
            else:
                plain += c
            at += 1
        end_plain()
        return parts, at

    return sequence(0, False)[0]


def slots(tree):
    """The names of the slots of a pattern, in order."""
    for part in tree:
        if isinstance(part, tuple):
            kind, inner = part
            if kind == "slot":
                yield inner
            else:
                for option in inner:
                    yield from slots(option)


def expand(tree, chance, value):
    """One text of a pattern; `value` gives the text of a slot."""
    out = []
    for part in tree:
        if isinstance(part, str):
            out.append(part)
        elif part[0] == "slot":
            out.append(value(part[1]))
        else:
            out.append(expand(chance.choice(part[1]), chance, value))
    return "".join(out)


def tidy(text):
    """Single blanks, and none before a mark."""
    return re.sub(r" ([,.?!;])", r"\1", re.sub(r"\s+", " ", text).strip())


def lines(path):
    """Fields of the lines of a file, comments left out."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            fields = line.split("\t")
            if fields[0] not in LANGUAGES:
                raise SystemExit(f"{path}:{number}: no language is called {fields[0]!r}")
            yield fields


def main():
    trees = [(language, parse(pattern)) for language, pattern in lines(Path(sys.argv[1]))]
    count = {language: sum(known == language for known, _ in trees) for language in LANGUAGES}
    print(len(trees), "patterns:", {language: n for language, n in count.items() if n})
    for _ in range(int(sys.argv[2]) if len(sys.argv) > 2 else 5):
        language, tree = random.choice(trees)
        print(language, tidy(expand(tree, random, lambda name: "{" + name + "}")))


if __name__ == "__main__":
    main()
