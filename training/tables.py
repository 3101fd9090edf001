"""The tables behind `moderation_service/core/text_views/` and the encoder: `python -m training.tables [--data DIR]`.

Three go into `characters.py` as strings: look-alike letters, simplified characters, and how often one Latin letter
follows another. Two more, with `--data`, lie beside the weights: `pinyin.npz`, Chinese words and characters by their
syllables, and `frequent_pieces.txt`, the pieces of the vocabulary that most texts have. Needs
training/requirements.txt; the service itself imports none of these libraries.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import textwrap
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from moderation_service.engines.lite.assets import FREQUENT, WEIGHTS, read
from moderation_service.engines.lite.text import clean
from moderation_service.engines.lite.tokenizer import Tokenizer

from .data import OWN, prompt_rows, read_jsonl, response_rows
from .train import FOREIGN_ONLY

__all__ = [
    "CHARACTERS",
    "PINYIN",
    "characters_module",
    "frequent_of",
    "letter_pairs",
    "look_alikes",
    "pinyin_arrays",
    "simplified",
]

CHARACTERS = Path(__file__).parents[1] / "moderation_service" / "core" / "text_views" / "characters.py"
PINYIN = WEIGHTS.parent / "pinyin.npz"

# Letters of other scripts that Unicode does not call confusable, but that are written for Latin ones ("faux Cyrillic").
_FAUX = dict(zip("вкмнтгпзлбиыгдяцчшВКМНТИЯ", "bkmhtrnelbuurdrucwBKMHTNR", strict=True))
# Letters that are symbols to Unicode and so stay what they are in its compatibility forms.
_NAMES = (
    "LATIN LETTER SMALL CAPITAL ([A-Z])",
    "NEGATIVE (?:CIRCLED|SQUARED) LATIN CAPITAL LETTER ([A-Z])",
    "REGIONAL INDICATOR SYMBOL LETTER ([A-Z])",
)
_LAST_LOOK_ALIKE = 0x1F800
_HAN = re.compile("[\u4e00-\u9fff]+")
_SEEN = {1: 3, 2: 8, 3: 12, 4: 20}
"""How often a string of so many characters must stand in the training texts to be kept."""
_PREPARED = ("prompt_train.jsonl.gz", "response_train.jsonl.gz")
_WORDS_PER_SOUND = 4
_TEXT_CHARS = 600
_ENGLISH_CHARS = 300
_LINE = 100
_MOST_FREQUENT = 2200
"""A few more than the engine keeps, which leaves out what is no English or Chinese piece."""


def look_alikes() -> dict[str, str]:
    """The ASCII letter that a character looks like: Unicode's confusables, small capitals, and a few more.

    Only characters that NFKC leaves alone; the rest folds by itself.
    """
    found: dict[str, str] = {}
    for char, entries in json.loads((files("confusable_homoglyphs") / "confusables.json").read_text("utf-8")).items():
        if len(char) != 1 or char.isascii() or not char.isalpha() or unicodedata.normalize("NFKC", char) != char:
            continue
        letters = [entry["c"] for entry in entries if len(entry["c"]) == 1 and entry["c"].isascii()]
        letters = [letter for letter in letters if letter.isalpha()]
        if letters:
            # "l" stands for I and 1 there; lower case is what a word is made of.
            found[char] = letters[0].lower() if char.islower() or letters[0] == "l" else letters[0]
    for code in range(0x80, _LAST_LOOK_ALIKE):
        match = re.fullmatch("|".join(_NAMES), unicodedata.name(chr(code), ""))
        if match:
            found[chr(code)] = next(filter(None, match.groups())).lower()
    for char, letter in _FAUX.items():
        found.setdefault(char, letter)
    found["\u01eb"] = "q"  # what generators of small capitals write, as there is no small capital Q with a short code
    return dict(sorted(found.items()))


def simplified() -> dict[str, str]:
    """The simplified character of a traditional one: OpenCC's single characters, first choice."""
    lines = (files("opencc") / "dictionary" / "TSCharacters.txt").read_text("utf-8").splitlines()
    pairs = (line.split() for line in lines)
    return {pair[0]: pair[1][0] for pair in pairs if len(pair) > 1 and len(pair[0]) == 1 and pair[1][0] != pair[0]}


def letter_pairs() -> list[list[int]]:
    """How seldom one letter follows another in English: -4 log p, for the space and a to z, of the own prompts."""
    counts = np.ones((27, 27))
    for path in sorted(OWN.glob("own[123].jsonl.gz")):  # those that are kept as they are
        for row in read_jsonl(path):
            if row["lang"] == "en":
                words = re.sub("[^a-z]+", " ", row["prompt"].lower())[:_ENGLISH_CHARS]
                codes = np.maximum(np.frombuffer(words.encode(), np.uint8).astype(int) - 96, 0)
                np.add.at(counts, (codes[:-1], codes[1:]), 1)
    seldom = -4 * np.log(counts / counts.sum(axis=1, keepdims=True))
    return [[round(float(value)) for value in row] for row in seldom]


def characters_module() -> str:
    """The source of `characters.py`."""
    alike, simple = look_alikes(), simplified()
    pairs = "".join(chr(_PAIR_ZERO + value) for row in letter_pairs() for value in row)
    return "\n".join(
        (
            '"""Characters that stand for others, and English letter pairs. Written by `python -m training.tables`.',
            "",
            "Look-alikes: Unicode's confusables (Unicode licence) as confusable-homoglyphs 3.3.1 (MIT) has them, small",
            "capitals by their Unicode names. Simplified characters: OpenCC (Apache-2.0), of the package",
            "opencc-python-reimplemented 0.1.7. Letter pairs: counted in the project's own training prompts.",
            '"""',
            "",
            '__all__ = ["LETTER_PAIRS", "LOOK_ALIKES", "SIMPLIFIED"]',
            "",
            f"LOOK_ALIKES = dict(\n    zip(\n{_literal(alike, 8, escaped=True)},\n"
            f"{_literal(alike.values(), 8)},\n        strict=True,\n    )\n)",
            '"""The ASCII letter that a character looks like."""',
            "",
            f"SIMPLIFIED = dict(\n    zip(\n{_literal(simple, 8)},\n{_literal(simple.values(), 8)},\n"
            "        strict=True,\n    )\n)",
            '"""The simplified character of a traditional one."""',
            "",
            f"LETTER_PAIRS = (\n{_literal(pairs, 4, joined=False)}\n)",
            '"""27 x 27 characters, for the space and a to z: -4 log p of the second after the first, from `0` up."""',
            "",
        )
    )


_PAIR_ZERO = ord("0")


def _literal(characters: Iterable[str], indent: int, *, escaped: bool = False, joined: bool = True) -> str:
    """Source of one string, in lines; in parentheses unless it stands in some already."""
    parts = [ascii(char)[1:-1] if escaped else char.replace("\\", "\\\\").replace('"', '\\"') for char in characters]
    lines, line = [], ""
    for part in parts:
        if len(line) + len(part) > _LINE:
            lines.append(line)
            line = ""
        line += part
    lines.append(line)
    if not joined:
        return textwrap.indent("\n".join(f'"{line}"' for line in lines), " " * indent)
    if len(lines) == 1:
        return " " * indent + f'"{lines[0]}"'
    inner = textwrap.indent("\n".join(f'"{line}"' for line in lines), " " * (indent + 4))
    return f"{' ' * indent}(\n{inner}\n{' ' * indent})"


def pinyin_arrays(data: Path) -> Mapping[str, NDArray[np.generic]]:
    """Chinese words by sound: syllables, keys (nine bits per syllable), words, and how seldom they are.

    The words are all strings of one to four characters that stand often enough in the Chinese training texts, the
    four commonest per sequence of syllables.
    """
    from pypinyin import lazy_pinyin

    counts = _strings(data)
    kept = [pair for pair in counts.items() if pair[1] >= _SEEN[len(pair[0])]]
    kept.sort(key=lambda one: (-one[1], one[0]))
    total = sum(count for _, count in kept)
    sounds = {word: tuple(lazy_pinyin(word)) for word, _ in kept}
    syllables = sorted({part for sound in sounds.values() for part in sound if re.fullmatch("[a-z]+", part)})
    number = {syllable: index + 1 for index, syllable in enumerate(syllables)}
    found: list[tuple[int, str, int]] = []
    seen: Counter[int] = Counter()
    for word, count in kept:
        sound = sounds[word]
        if len(sound) != len(word) or not all(part in number for part in sound):
            continue
        key = 0
        for part in sound:
            key = key << 9 | number[part]
        # A character is kept in any case: mixed texts need the sound of each.
        if seen[key] < _WORDS_PER_SOUND or len(word) == 1:
            seen[key] += 1
            found.append((key, word, min(255, round(-8 * math.log(count / total)))))
    found.sort(key=lambda one: one[0])
    return {
        "syllables": np.frombuffer(" ".join(syllables).encode(), np.uint8),
        # Differences are small, and pack far better.
        "keys": np.diff(np.array([key for key, _, _ in found], dtype=np.uint64), prepend=np.uint64(0)),
        "words": np.frombuffer("".join(word for _, word, _ in found).encode("utf-16-le"), np.uint16),
        "seldom": np.array([seldom for _, _, seldom in found], dtype=np.uint8),
    }


def _strings(data: Path) -> Counter[str]:
    counts: Counter[str] = Counter()
    for row in [*read_jsonl(data / "train" / _PREPARED[0]), *read_jsonl(data / "train" / _PREPARED[1])]:
        if row["lang"] == "zh":
            text = f"{row.get('prompt') or ''} {row.get('response') or ''}"[:_TEXT_CHARS]
            for run in _HAN.findall(text):
                for size in _SEEN:
                    counts.update(run[start : start + size] for start in range(len(run) - size + 1))
    return counts


def frequent_of(data: Path) -> list[str]:
    """The pieces that most training texts have; English and Chinese prompts and answers count the same.

    Rows that train the heads for other languages only do not count.
    """
    arrays, meta = read()
    pieces = arrays["pieces"].tobytes().decode()
    tokenizer = Tokenizer.of_lines(pieces, arrays["piece_scores"], common=meta["common_pieces"])
    shares: Counter[int] = Counter()
    for rows, field in ((prompt_rows(data), "prompt"), (response_rows(data), "response")):
        for tongue in ("en", "zh"):
            counts: Counter[int] = Counter()
            for row in rows:
                if row["lang"] == tongue and row["source"] not in FOREIGN_ONLY:
                    counts.update(set(tokenizer.encode(clean(row[field][:_TEXT_CHARS]))))
            total = counts.total()
            shares.update({number: count / total for number, count in counts.items()})
    ordered = sorted(shares, key=lambda number: (-shares[number], number))
    names = pieces.split("\n")
    return [names[number] for number in ordered[:_MOST_FREQUENT]]


def main() -> None:
    """Write the tables."""
    parser = argparse.ArgumentParser(prog="python -m training.tables")
    parser.add_argument(
        "--data",
        type=Path,
        help="folder with train/; without it the files beside the weights stay",
    )
    options = parser.parse_args()
    CHARACTERS.write_text(characters_module(), encoding="utf-8")
    if options.data:
        np.savez_compressed(PINYIN, **pinyin_arrays(options.data))
        print(f"{PINYIN.name}: {PINYIN.stat().st_size} bytes")
        FREQUENT.write_text("\n".join(frequent_of(options.data)), encoding="utf-8")


if __name__ == "__main__":
    main()
