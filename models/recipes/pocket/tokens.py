"""The tokeniser: byte-level BPE, cut as Qwen cuts, with the delimiters of ChatML.

    python tokens.py DATA_DIR OUT.json
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

VOCABULARY = 8_000
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
# As in Qwen2: contractions, letters, single digits, marks, line ends, blanks.
CUT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
EXAMPLES = 100_000
# How often each label is shown, so that it becomes one token.
SHOWN = 5_000


def untrained():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(CUT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def main():
    from data import NONE, ROUTES, Examples
    from texts import real_texts

    data, out = Path(sys.argv[1]), Path(sys.argv[2])
    examples = Examples(data, seed=1)

    def texts():
        yield from real_texts(data)
        for n in range(EXAMPLES):
            _, text, asked = examples.draw(("message", "note")[n % 2])
            yield text
            for question, _, _ in asked:
                yield question
        for label in (*ROUTES, *examples.labels.values(), NONE, "message", "note", "route", "playbook", "slots"):
            for _ in range(SHOWN):
                yield label

    tokenizer = untrained()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[AddedToken(name, special=True, normalized=False) for name in SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(), trainer)
    for label in (*ROUTES, *examples.labels.values(), NONE):
        if len(tokenizer.encode(label).ids) != 1:
            raise SystemExit(f"{label} is more than one token")
    out.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(out))
    print(tokenizer.get_vocab_size(), "tokens")


if __name__ == "__main__":
    main()
