"""Makes models/src/embed/golden.json: what the reference tokeniser and numpy
say about texts that are easy to get wrong.

    python golden.py DATA_DIR GOLDEN_FILE
"""

import json
import sys
from pathlib import Path

import numpy as np
import tokenizers

from static import Static

TEXTS = [
    "",
    " ",
    "\t\n\r ",
    "\u0000\u0001\ufffd",
    "hello",
    "Hello, World!",
    "The rent is due on Friday, the 3rd of March 2026.",
    "what did I decide about the kitchen, and when?",
    "Caroline: I went to a LGBTQ support group yesterday and it was so powerful.",
    "unaffable embeddings antidisestablishmentarianism",
    "don't can't won't it's o'clock rock'n'roll",
    "e-mail re-read state-of-the-art --flag -x",
    "a_b_c __init__ snake_case camelCase SCREAMING_CASE",
    "https://example.org/path?query=1&other=two#fragment",
    "someone@example.org, +49 (30) 123-456",
    "1,234.56 € + 7% = $1,321.00 ± 0.5 × 10⁻³",
    "fn main() { println!(\"{:?}\", x?); } // ok",
    "| date | category | amount |\n|---|---|---:|\n| 2026-01-03 | food | 12.50 |",
    "# Heading\n\n- [ ] Ada: call the bank\n- [x] Ben: send the invoice",
    "[CLS] [SEP] [MASK] [PAD] [UNK] [unused0] <|im_start|>system",
    "##ing ## # ###able",
    "Ünïcödé façade naïve résumé São Paulo Ångström",
    "e\u0301 n\u0303 a\u030a decomposed",
    "Straße ẞ ß ŒUVRE ǅ ﬁne ﬂow",
    "İstanbul ISPARTA ıI",
    "ΑΘΗΝΑ Σίσυφος ΟΔΟΣ",
    "Привет, мир! Ёлка и йод",
    "漢字とひらがなとカタカナ",
    "我想预订明天去上海的火车票。",
    "東京タワーに登った abc漢字def",
    "豈 更 車 compatibility ideographs",
    "한국어 문장입니다. 안녕하세요!",
    "مرحبا بالعالم، كيف الحال؟",
    "שלום עולם שָׁלוֹם",
    "नमस्ते दुनिया। क्षत्रिय",
    "สวัสดีชาวโลก",
    "🙂",
    "I ❤️ this 👍🏽 so much 👩‍👩‍👧‍👦 🇩🇪 !!!",
    "party 🎉🎉🎉 tonight",
    "zero\u200bwidth soft\u00adhyphen bom\ufeff joiner\u200d",
    "\u202eright to left override\u202c",
    "no\u00a0break thin\u2009space ideographic\u3000space line\u2028separator",
    "“quotes” ‘single’ «guillemets» – en — em … ellipsis",
    "private \ue000 use \U0010ffff end",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟙𝟚𝟛 ｆｕｌｌｗｉｄｔｈ",
    "x" * 99 + " " + "y" * 100,
    "z" * 101 + " after",
    "é" * 100 + " " + "é" * 101,
    "a.b.c...d,,,e;;f::g",
    "Zürich–Genève 14:05→17:20 (Gleis 7)",
    "ZeRo ONE two THREE four Five " * 40,
    "The quick brown fox jumps over the lazy dog. " * 30,
    "ordinary words 漢 and 😀 mixed, again and again; " * 20,
]


def main():
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    static = Static(folder)
    cases = [
        {"text": text, "ids": static.ids(text), "vector": [round(float(x), 5) for x in vector]}
        for text, vector in zip(TEXTS, static.embed(TEXTS))
    ]
    made_by = f"models/recipes/embedder/golden.py with tokenizers {tokenizers.__version__}, numpy {np.__version__}"
    lines = ",\n".join(json.dumps(case, ensure_ascii=True) for case in cases)
    out.write_text(f'{{"made_by": {json.dumps(made_by)}, "cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
