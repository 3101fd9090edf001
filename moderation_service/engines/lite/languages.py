"""Which language a text is in: by its script, and Latin letters by function words and letters that few languages have.

It chooses thresholds, and whether the n-grams, which know English and Chinese, count. About 50 us for 1,000 characters.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import lru_cache

__all__ = ["FOREIGN", "SAMPLE_CHARS", "identified", "identify"]

FOREIGN = ("es", "fr", "de", "pt", "ru", "ar", "ja", "ko")
"""Languages beside English and Chinese that the encoder's vocabulary was kept for."""

SAMPLE_CHARS = 1000
"""How much of a text is looked at."""
# Below this many letters (of scripts that several languages share: three words) a text does not say what it is.
_MIN_LETTERS = 4
_KANA_SHARE, _FOREIGN_SHARE = 0.1, 0.4
_SCRIPTS = {
    "ru": "\u0400-\u052f",
    "ar": "\u0600-\u06ff\u0750-\u077f",
    "ko": "\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3",
    "ja": "\u3040-\u30ff\uff66-\uff9f",
    "zh": "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af",
    "hi": "\u0900-\u097f",
    "th": "\u0e00-\u0e7f",
    "el": "\u0370-\u03ff",
    "he": "\u0590-\u05ff",
}
_IN_SCRIPT = {name: re.compile(f"[{ranges}]") for name, ranges in _SCRIPTS.items()}
_LATIN = re.compile("[A-Za-z\u00c0-\u024f\u1e00-\u1eff]")
_FEW_LATIN = re.compile(f"(?:[A-Za-z][^A-Za-z]*){{{_MIN_LETTERS}}}")
_ADDRESS = re.compile(r"(?:https?://|www\.)\S+|\S+@\S+\.\w+")
_LATIN_WORD = re.compile("[a-z\u00df-\u024f\u1e00-\u1eff]+(?:'[a-z\u00df-\u024f]+)?")
# Letters of a script that its other languages have and the covered one has not.
_TELLTALES = {"ru": (("uk", "іїєґ"),), "ar": (("fa", "پچژگ"), ("ur", "ٹڈڑےں"))}
_WORDS: Mapping[str, str] = {
    "en": "the to a of in and is you how i for my me what do that with on it can be are this without from not "
    "your have an if or as at by was we he she they there will would should which who when where why "
    "please write give make",
    "es": "el la los las de que y en un una por para con como cómo mi me es qué lo del al sin se su más puedo "
    "cuál dime cuándo dónde está este esta pero tu te nos les ha hay ser son unos muy también",
    "fr": "le la les des de du et en un une pour avec comment je me mon ma est que qui dans sans sur ce cette "
    "au d'un quelle quel plus pas d'une moi vous nous il elle sont aux par ses ces être où l'on mes tu "
    "donne",
    "de": "der die das und ich wie ein eine einen zu in mit von für ist nicht den dem mein meine meinen auf "
    "ohne man mir dass einer es was kann gib auch sie wir sich im am zum zur bei oder aus nach wird sind",
    "pt": "o a os as de que e em um uma por para com como meu minha me é qual do da no na sem se seu sua posso "
    "faço ao eu não mais dê você são está isso uns nos das dos pela pelo",
    "vi": "tôi là và của cho không thế nào để làm một có cách trong được",
    "it": "il lo gli di che e un una per con come mio mia è del della sono non in senza nel alla dei le si anche posso",
    "nl": "de het een van en ik hoe te in met voor is niet mijn op zonder dat wat je zijn",
    "pl": "jak w i na z do się nie mój jest że bez co to są dla",
    "tr": "bir ve nasıl için ile ne bu bana mı çok daha ama",
    "id": "yang di dan cara untuk saya dengan tanpa bagaimana ini itu tidak",
    "sv": "och att det som en på är av för med till den hur jag inte",
    "da": "og det at er på af til en et hvordan jeg ikke med for den har kan min hvad",
    "no": "og det er på av til en et hvordan jeg ikke med for den har kan min hva",
    "fi": "ja on ei se että kuinka miten minun olen mitä kanssa mutta tämä voin ilman",
    "hu": "a az és hogy hogyan nem egy van meg mit kell lehet nélkül vagy nekem",
    "ro": "și si de la cum pentru un o în să nu cu este care fără mea meu ce pot",
    "cs": "a jak se na je že v do s bez pro mi co můžu to není své jako",
    "hr": "i kako se na je da u za bez što mi ne kako mogu od nije",
    "sw": "ya na wa kwa ni jinsi ya kufanya katika bila nini yangu hii kutoka",
    "tl": "ang ng sa mga na paano ako ko ay para hindi ito walang kung",
}
_LETTERS: Mapping[str, str] = {
    "es": "ñ¿¡",
    "fr": "êèçàùœ",
    "de": "äöüß",
    "pt": "ãõç",
    "vi": "ạảấầẩẫậắằẳẵặẹẻẽếềểễệịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹđ",
    "pl": "ąęłśżź",
    "tr": "ğşı",
    "sv": "å",
    "da": "æø",
    "no": "æø",
    "hu": "őű",
    "ro": "ășțţ",
    "cs": "ěřůč",
    "hr": "čćđ",
}
_LETTER_WEIGHT, _MOST_LETTERS = 0.5, 4
# How much more than English another Latin language must show: English texts quote and name foreign words.
_LEAD = 0.4
# One word may be a name or a slip.
_MIN_SIGNS = 2


def _shared(words: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = defaultdict(list)
    for name, text in words.items():
        for word in dict.fromkeys(text.split()):
            found[word].append(name)
    return {word: tuple(names) for word, names in found.items()}


_LANGUAGES_OF_WORD = _shared(_WORDS)


def identify(cleaned: str) -> str:
    """Return the code of the main language of a cleaned text, by its first 1,000 characters.

    "" when the text does not say (numbers, a few letters); a Latin text without known words counts as English. Scripts
    that are not listed give "xx".
    """
    sample = cleaned[:SAMPLE_CHARS]
    if sample.isascii():
        return _latin(sample) if _FEW_LATIN.search(sample) else ""
    counts = {name: len(pattern.findall(sample)) for name, pattern in _IN_SCRIPT.items()}
    latin = len(_LATIN.findall(sample))
    known = sum(counts.values()) + latin
    if counts["ja"] > _KANA_SHARE * (counts["ja"] + counts["zh"]):
        counts["ja"] += counts.pop("zh")
    script = max(counts, key=lambda name: counts[name])
    # A character of another script says more than a Latin letter, so that fewer of them tell.
    if counts[script] >= 2 and counts[script] > _FOREIGN_SHARE * known * (0.5 if script in ("zh", "ja", "ko") else 1):
        return _variant(script, sample)
    if sum(map(str.isalpha, sample)) - known > latin:
        return "xx"
    return _latin(sample) if latin >= _MIN_LETTERS else ""


# A verdict asks several times.
identified = lru_cache(maxsize=64)(identify)
"""`identify`, remembered; for texts no longer than it looks at."""


def _variant(script: str, sample: str) -> str:
    for name, letters in _TELLTALES.get(script, ()):
        if sum(sample.count(letter) for letter in letters) >= 2:
            return name
    return script


def _latin(sample: str) -> str:
    # `.com` is no Portuguese, and a name in an address no word of the text.
    lowered = sample.lower()
    if "@" in lowered or "://" in lowered or "www." in lowered:
        lowered = _ADDRESS.sub(" ", lowered)
    found: dict[str, float] = defaultdict(float)
    signs: dict[str, int] = defaultdict(int)
    for word, times in Counter(_LATIN_WORD.findall(lowered)).items():
        names = _LANGUAGES_OF_WORD.get(word, ())
        for name in names:
            found[name] += times / len(names)
            signs[name] += 1
    if not lowered.isascii():
        for name, letters in _LETTERS.items():
            count = sum(lowered.count(letter) for letter in letters)
            found[name] += _LETTER_WEIGHT * min(count, _MOST_LETTERS)
            signs[name] += count
    best = max(signs, key=lambda name: found[name], default="en")
    return best if signs[best] >= _MIN_SIGNS and found[best] > found["en"] + _LEAD else "en"
