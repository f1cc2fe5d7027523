"""Values of slots, by language; what a language lacks is said in English."""

import re
from pathlib import Path

HERE = Path(__file__).parent
# An article or possessive that a pattern and a value may both bring.
TWICE = re.compile(
    r"\b(my|our|the|your|his|her|a|an|mein|meine|meinen|meinem|meiner|unser|unsere|der|die|das|den|dem|le|la|les|"
    r"mon|ma|mes|el|los|las|mi|il|lo|i|gli|mio|mia) (my|our|the|a|an|mein|meine|meinen|unser|unsere|der|die|das|den|"
    r"le|la|les|l'|mon|ma|mes|notre|el|los|las|mi|nuestro|nuestra|il|lo|mio|mia|nostro|nostra)\b",
    re.IGNORECASE,
)


class Lexicon:
    def __init__(self, folder=HERE / "lexicon"):
        self.values = {}
        for path in sorted(folder.glob("*.tsv")):
            for slot, language, values in rows(path):
                known = self.values.setdefault((slot, language), [])
                known.extend(value.strip() for value in values.split("|") if value.strip())
        if not self.values:
            raise SystemExit(f"{folder} holds no values")

    def of(self, slot, language):
        """The values of a slot; a number at its end tells two of a kind apart."""
        slot = slot.rstrip("0123456789")
        found = self.values.get((slot, language)) or self.values.get((slot, "en"))
        if not found:
            raise SystemExit(f"the lexicon has no {{{slot}}}")
        return found


def rows(path):
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            fields = line.split("\t")
            if len(fields) != 3:
                raise SystemExit(f"{path}:{number}: slot, language and values, with tabs between")
            yield fields


def once(text):
    """"my my sister" as "my sister"."""
    return TWICE.sub(lambda match: match.group(2), text)
