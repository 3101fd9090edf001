"""Which language a text is written in, as far as its script tells. No I/O.

For the message that the end user reads when no language was asked for: no SDK sends `Accept-Language`. Letters that
many languages share, Latin ones above all, tell nothing. A word or a name in another script does not make a text one of
that language.
"""

from __future__ import annotations

from collections import Counter

__all__ = ["written_in"]

_SAMPLE_CHARS = 2000
# Characters of other scripts say more per letter than Latin ones, so that fewer are needed to tell.
_SHARE = 0.2
# Han alone is Chinese; Japanese always has kana among it.
_KANA_SHARE = 0.1
_SCRIPTS = (
    ("el", 0x0370, 0x03FF),
    ("ru", 0x0400, 0x052F),
    ("hy", 0x0530, 0x058F),
    ("he", 0x0590, 0x05FF),
    ("ar", 0x0600, 0x06FF),
    ("ar", 0x0750, 0x077F),
    ("hi", 0x0900, 0x097F),
    ("bn", 0x0980, 0x09FF),
    ("pa", 0x0A00, 0x0A7F),
    ("gu", 0x0A80, 0x0AFF),
    ("ta", 0x0B80, 0x0BFF),
    ("te", 0x0C00, 0x0C7F),
    ("kn", 0x0C80, 0x0CFF),
    ("ml", 0x0D00, 0x0D7F),
    ("si", 0x0D80, 0x0DFF),
    ("th", 0x0E00, 0x0E7F),
    ("lo", 0x0E80, 0x0EFF),
    ("my", 0x1000, 0x109F),
    ("ka", 0x10A0, 0x10FF),
    ("ko", 0x1100, 0x11FF),
    ("am", 0x1200, 0x137F),
    ("km", 0x1780, 0x17FF),
    ("kana", 0x3040, 0x30FF),
    ("ko", 0x3130, 0x318F),
    ("zh", 0x3400, 0x4DBF),
    ("zh", 0x4E00, 0x9FFF),
    ("ko", 0xAC00, 0xD7A3),
    ("zh", 0xF900, 0xFAFF),
    ("kana", 0xFF66, 0xFF9F),
    ("zh", 0x20000, 0x323AF),
)
# Languages that share a script, by letters that the other one does not have.
_TELLTALES = {"ru": (("uk", "іїєґ"),), "ar": (("ur", "ٹڈڑےں"), ("fa", "پچژگ"))}


def written_in(*texts: str) -> tuple[str, ...]:
    """The language (a BCP 47 tag) of the first of these texts whose script tells one; empty if none does."""
    for text in texts:
        language = "" if text.isascii() else _language_of(text[:_SAMPLE_CHARS])
        if language:
            return (language,)
    return ()


def _language_of(text: str) -> str:
    scripts = Counter(_script_of(char) for char in text if char.isalpha())
    letters = scripts.total()
    scripts.pop("", None)
    kana = scripts.pop("kana", 0)
    if kana and kana >= _KANA_SHARE * (kana + scripts["zh"]):
        scripts["ja"] = kana + scripts.pop("zh", 0)
    if not scripts:
        return ""
    language, count = scripts.most_common(1)[0]
    if count < _SHARE * letters:
        return ""
    found = (other for other, telltales in _TELLTALES.get(language, ()) if any(char in telltales for char in text))
    return next(found, language)


def _script_of(char: str) -> str:
    code = ord(char)
    if code < _SCRIPTS[0][1]:
        return ""
    return next((language for language, first, last in _SCRIPTS if first <= code <= last), "")
