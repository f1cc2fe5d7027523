"""The texts that the teacher is asked about: real ones, and ones made of them.

What people wrote covers few of the vocabulary's words, so most texts are made:
real ones in which words were changed for others of the vocabulary, sentences
about who does what (people, animals and things by a small grammar), and bags of
words.
"""

import random
import sys
from itertools import accumulate
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from texts import real_texts

SEED = 7
TEXTS = 500_000
# A word is drawn with probability 1 / (rank in the vocabulary + this).
FLATTEN = 300

PEOPLE = "man woman boy girl child person dog cat player kid lady guy worker friend doctor teacher farmer soldier student singer brother sister mother father neighbour cook driver".split()
MANY = "men women boys girls children people dogs cats players kids friends students soldiers workers".split()
PLACE = "in on at with near under over through beside behind into from of for without across around".split()
DETERMINERS = "a the a one some no two my her his this another".split()
ADJECTIVES = ("ful", "ous", "able", "ive", "al", "ic", "ish", "y")


class Corpus:
    def __init__(self, data, vocabulary):
        self.chance = random.Random(SEED)
        self.real = real_texts(data)
        self.words = [w for w in vocabulary if w.isalpha() and w.isascii() and len(w) > 1]
        self.weights = list(accumulate(1 / (rank + FLATTEN) for rank in range(len(self.words))))
        known = set(self.words)
        self.plural = [w for w in self.words if w.endswith("s") and not w.endswith(("ss", "us", "is")) and w[:-1] in known]
        self.doing = [w for w in self.words if w.endswith("ing") and len(w) > 5]
        self.kind = [w for w in self.words if w.endswith(ADJECTIVES)]

    def word(self):
        return self.chance.choices(self.words, cum_weights=self.weights)[0]

    def thing(self):
        return self.chance.choice(self.plural)[:-1] if self.chance.random() < 0.7 else self.word()

    def somebody(self):
        pick, draw = self.chance.choice, self.chance.random()
        determiner = pick(DETERMINERS)
        if draw < 0.35:
            return f"{determiner} {pick(PEOPLE)}"
        if draw < 0.5:
            return f"{pick(['some', 'two', 'the', 'three', 'many', 'several', 'a group of', 'few'])} {pick(MANY)}"
        if draw < 0.7:
            return f"{determiner} {pick(self.kind) if self.chance.random() < 0.6 else self.word()} {self.thing()}"
        if draw < 0.8:
            return f"{pick(['some', 'two', 'the', 'many'])} {pick(self.plural)}"
        return f"{determiner} {self.thing()}"

    def does(self):
        pick, draw = self.chance.choice, self.chance.random()
        if draw < 0.3:
            return f"is {pick(self.doing)} {self.somebody()}"
        if draw < 0.45:
            return f"is {pick(self.doing)}"
        if draw < 0.55:
            return f"is not {pick(self.doing)} {self.somebody()}"
        if draw < 0.7:
            return f"is {pick(self.doing)} {pick(PLACE)} {self.somebody()}"
        if draw < 0.8:
            return f"is {self.word()}"
        return f"{self.word()} {self.somebody()}" if draw < 0.9 else f"has {self.somebody()}"

    def sentence(self):
        pick, draw = self.chance.choice, self.chance.random()
        if draw < 0.6:
            text = f"{self.somebody()} {self.does()}"
        elif draw < 0.7:
            text = f"there is {self.somebody()} {pick(PLACE)} {self.somebody()}"
        elif draw < 0.75:
            text = f"there is no {self.thing()} {pick(self.doing)} {pick(PLACE)} {self.somebody()}"
        elif draw < 0.85:
            text = f"{self.somebody()}, {pick(PLACE)} {self.somebody()}, {self.does()}"
        else:
            text = f"{self.somebody()} {self.does()} and {self.somebody()} {self.does()}"
        return f"{text} {pick(PLACE)} {self.somebody()}" if self.chance.random() < 0.25 else text

    def changed(self, text):
        share = self.chance.choice((0.1, 0.3, 0.5))
        words = [self.word() if self.chance.random() < share else word for word in text.split()]
        if self.chance.random() < 0.2:
            self.chance.shuffle(words)
        if self.chance.random() < 0.2 and len(words) > 4:
            begin = self.chance.randrange(len(words) - 2)
            words = words[begin : begin + self.chance.randint(2, 12)]
        return " ".join(words)

    def made(self):
        pick, draw = self.chance.choice, self.chance.random()
        if draw < 0.3:
            return self.sentence()
        if draw < 0.65:
            return self.changed(pick(self.real))
        if draw < 0.8:
            return " ".join(self.word() for _ in range(self.chance.randint(1, 12)))
        if draw < 0.84:
            return f"{pick(self.real)} {pick(self.real)}"
        return self.changed(self.sentence())

    def texts(self):
        made = [self.made() for _ in range(max(0, TEXTS - len(self.real)))]
        return self.real + made
