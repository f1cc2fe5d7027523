"""How people type: case, marks, accents, letters that slip, words around the wish."""

import re

OPENERS = {
    "en": "hey|hi|hi alma|alma|alma,|ok|ok so|so|um|well|please|pls|hello,|good morning,|hey there,|right,|quick one:|sorry to bother you but|btw|when you have a minute,|"
    "morning!|evening alma,|one more thing:|could you please|hiya|yo|hmm|ah,|listen,|thanks for before. now",
    "de": "hallo|hi|alma,|ok|also|bitte|moin|guten morgen,|sag mal,|du,|hey|so,|kurze frage:|ach ja,|nur kurz:|servus,",
    "fr": "salut|bonjour|alma,|ok|dis,|coucou|s'il te plaît|stp|bon|alors|hello,|au fait,|une petite chose :",
    "es": "hola|alma,|ok|oye|por favor|buenas,|buenos días,|a ver,|bueno|perdona,|una cosa:",
    "it": "ciao|alma,|ok|senti|per favore|buongiorno,|allora|scusa,|dai|una cosa:",
    "nl": "hoi|alma,|ok|hey|even|graag",
    "pt": "olá|oi|alma,|ok|por favor|então",
}
CLOSERS = {
    "en": "please|pls|thanks|thx|thank you|asap|ok?|would you|if you can|thanks a lot|cheers|now|today|alma|ta|:)|when you can|no rush|, will you?|quickly",
    "de": "bitte|danke|ok?|wenn's geht|schnell|alma|danke dir|:)|vielen dank|, ja?",
    "fr": "stp|s'il te plaît|merci|svp|alma|vite|merci d'avance|:)",
    "es": "por favor|gracias|porfa|alma|ya|:)|gracias de antemano",
    "it": "per favore|grazie|per piacere|alma|subito|:)|grazie mille",
    "nl": "aub|alsjeblieft|bedankt|dank je",
    "pt": "por favor|obrigado|obrigada",
}
SHORT = {"you": "u", "are": "r", "please": "pls", "thanks": "thx", "tomorrow": "tmrw", "because": "cuz", "and": "&", "for": "4", "message": "msg", "what's": "whats", "i'm": "im", "don't": "dont", "can't": "cant", "it's": "its", "that's": "thats", "i've": "ive", "nicht": "nich", "ist": "is", "pas": "po", "que": "q", "porque": "pq"}
PLAIN = str.maketrans("àâäáãçèéêëìíîïñòóôöõùúûüß", "aaaaaceeeeiiiinooooouuuus")
UMLAUTS = (("ä", "ae"), ("ö", "oe"), ("ü", "ue"), ("ß", "ss"))
BESIDE = {"q": "wa", "w": "qe", "e": "wr", "r": "et", "t": "rz", "y": "tu", "u": "yi", "i": "uo", "o": "ip", "p": "o", "a": "sq", "s": "ad", "d": "sf", "f": "dg", "g": "fh", "h": "gj", "j": "hk", "k": "jl", "l": "k", "z": "xt", "x": "zc", "c": "xv", "v": "cb", "b": "vn", "n": "bm", "m": "n"}


def slip(word, chance):
    """One letter wrong: swapped, lost, doubled, or the one beside it."""
    at = chance.randrange(len(word) - 1)
    kind = chance.random()
    if kind < 0.35:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind < 0.6:
        return word[:at] + word[at + 1 :]
    if kind < 0.8:
        return word[: at + 1] + word[at:]
    return word[:at] + chance.choice(BESIDE.get(word[at].lower(), word[at])) + word[at + 1 :]


def noisy(text, language, chance, spare=()):
    """The text as somebody may type it. Words that hold one of `spare` keep their letters."""
    draw = chance.random
    if draw() < 0.13:
        opener = chance.choice(OPENERS[language].split("|"))
        text = f"{opener} {text}"
    if draw() < 0.11:
        closer = chance.choice(CLOSERS[language].split("|"))
        end = text[-1] if text[-1:] in "?!." else ""
        text = f"{text.rstrip('?!.')}{'' if closer[0] in ',' else chance.choice([' ', ', '])}{closer}{end if draw() < 0.5 else ''}"
    if draw() < 0.06:
        text = " ".join(SHORT.get(word.lower(), word) for word in text.split(" "))
    if draw() < 0.16:
        words = text.split(" ")
        for _ in range(chance.choice((1, 1, 2, 3))):
            at = chance.randrange(len(words))
            word = words[at]
            if len(word) > 3 and word.isalpha() and not any(word in kept for kept in spare):
                words[at] = slip(word, chance)
        text = " ".join(words)
    kind = draw()
    if kind < 0.45 and not spare:
        text = text.lower()
    elif kind < 0.75:
        text = text[:1].upper() + text[1:]
    elif kind < 0.765 and not spare:
        text = text.upper()
    if draw() < 0.3:
        text = text.rstrip("?!.")
    elif draw() < 0.12 and text[-1:] not in "?!.":
        text += chance.choice((".", "!", "?", "...", "!!", "??"))
    if draw() < 0.08:
        text = text.replace("'", "")
    if language == "de" and draw() < 0.12:
        for umlaut, plain in UMLAUTS:
            text = text.replace(umlaut, plain)
    elif language in ("fr", "es", "it", "pt") and draw() < 0.2:
        text = text.translate(PLAIN)
    return re.sub(r"\s+", " ", text).strip()
