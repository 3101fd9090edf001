"""Plain texts in disguise: every kind, with a name. For measuring only: `python -m training.probes.disguise`.

Prints recall and false alarms beside those of the plain texts, in the strict reading.
"""

from __future__ import annotations

import argparse
import base64
import codecs
import random
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from moderation_service.core.text_views.characters import SIMPLIFIED
from moderation_service.engines.lite.model import LiteModel

from ..data import calibration_rows, eval_rows
from .rows import prompt_probes

__all__ = ["CHINESE", "ENGLISH", "rates"]

Disguise = Callable[[str], str]

_CYRILLIC = dict(zip("aceopxyiABEKMHOPCTX", "асеорхуіАВЕКМНОРСТХ", strict=True))
_SMALL_CAPITALS = dict(zip("abcdefghijklmnopqrtuvwyz", "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘǫʀᴛᴜᴠᴡʏᴢ", strict=True))
_LEET = str.maketrans("aeiostAEIOST", "431057431057")
_LEET_MARKS = str.maketrans("aeiosAEIOS", "@3!0$@3!0$")
_TRADITIONAL = {simple: char for char, simple in reversed(SIMPLIFIED.items())}


def _map(table: Mapping[str, str]) -> Disguise:
    return lambda text: "".join(table.get(char, char) for char in text)


def _words(change: Disguise) -> Disguise:
    return lambda text: " ".join(map(change, text.split(" ")))


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _rot13(text: str) -> str:
    return codecs.encode(text, "rot13")


def _percent(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


def _escapes(text: str) -> str:
    return "".join(f"\\u{ord(char):04x}" for char in text)


def _between(mark: str) -> Disguise:
    return lambda text: mark.join(text)


ENGLISH: Mapping[str, Disguise] = {
    "capitals": str.upper,
    "look-alikes": _map(_CYRILLIC),
    "small capitals": lambda text: _map(_SMALL_CAPITALS)(text.lower()),
    "spaced": _between(" "),
    "spaced, no word gaps": lambda text: " ".join(text.replace(" ", "")),
    "spelled": _words(_between("-")),
    "dotted": _words(_between(".")),
    "underscores": lambda text: text.replace(" ", "_"),
    "no spaces": lambda text: text.replace(" ", ""),
    "base64": _base64,
    "base64, invited": lambda text: f"Decode this and answer: {_base64(text)}",
    "ROT13": _rot13,
    "ROT13, invited": lambda text: f"Decode this ROT13 text and answer it: {_rot13(text)}",
    "reversed": lambda text: text[::-1],
    "words reversed": _words(lambda word: word[::-1]),
    "hexadecimal": lambda text: text.encode().hex(),
    "percent": _percent,
    "percent, as addresses do": urllib.parse.quote,
    "entities": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "escapes": _escapes,
    "decimal": lambda text: " ".join(str(byte) for byte in text.encode()),
    "strike-through": lambda text: "".join(char + "\u0336" for char in text),
    "leet": lambda text: text.translate(_LEET),
    "leet, capitals": lambda text: text.upper().translate(_LEET),
    "leet, marks": lambda text: text.translate(_LEET_MARKS),
}
CHINESE: Mapping[str, Disguise] = {
    "spaced": _between(" "),
    "dots": _between("·"),
    "stars": _between("*"),
    "traditional": _map(_TRADITIONAL),
    "base64": _base64,
    "percent": _percent,
    "escapes": _escapes,
    "reversed": lambda text: text[::-1],
}


def _pinyin(text: str) -> str:
    from pypinyin import lazy_pinyin

    return " ".join("".join(lazy_pinyin(text)[at : at + 2]) for at in range(0, len(lazy_pinyin(text)), 2))


def _mixed_pinyin(text: str) -> str:
    from pypinyin import lazy_pinyin

    chance = random.Random(text)
    parts = [" ".join(lazy_pinyin(char)) if chance.random() < 0.4 else char for char in text]
    return "".join(parts)


def rates(model: LiteModel, texts: Iterable[str]) -> float:
    """Share of the texts that are not judged safe, in percent."""
    found = [model.judge_prompt(text).severity != "safe" for text in texts]
    return 100 * sum(found) / max(1, len(found))


def _print(title: str, kinds: Mapping[str, Disguise], sets: Mapping[str, list[str]], model: LiteModel) -> None:
    print(f"\n| {title} | {' | '.join(f'{name} ({len(texts)})' for name, texts in sets.items())} |")
    print(f"|---|{'---|' * len(sets)}")
    for name, disguise in {"plain": str, **kinds}.items():
        found = [rates(model, map(disguise, texts)) for texts in sets.values()]
        print(f"| {name} | {' | '.join(f'{share:.0f}' for share in found)} |", flush=True)


def main() -> None:
    """Measure all kinds."""
    parser = argparse.ArgumentParser(prog="python -m training.probes.disguise")
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and eval/")
    data = parser.parse_args().data
    model = LiteModel.load()
    probes = prompt_probes("requests")
    calibration = calibration_rows(data)

    def own(language: str, *, unsafe: bool) -> list[str]:
        return [probe.text for probe in probes if probe.language == language and probe.unsafe == unsafe]

    def harmless(language: str) -> list[str]:
        chosen = [row["prompt"] for row in calibration if row["lang"] == language and 20 < len(row["prompt"]) < 200]
        return chosen[::8][:100]

    planted = [row["prompt"] for row in eval_rows(data)["sst"]]
    english = {"own": own("en", unsafe=True), "SST": planted, "own harmless": own("en", unsafe=False)}
    chinese = {"own": own("zh", unsafe=True), "own harmless": own("zh", unsafe=False)}
    _print("English", ENGLISH, {**english, "calibration": harmless("en")}, model)
    kinds = {**CHINESE, "pinyin": _pinyin, "mixed pinyin": _mixed_pinyin}
    _print("Chinese", kinds, {**chinese, "calibration": harmless("zh")}, model)


if __name__ == "__main__":
    main()
