"""own9_resp: answers on subjects that sound dangerous, as running text and lists, harmless ones beside harmful ones.

What explains, warns, reports, tells a story or gives a lawful way shares its words with what urges and plans harm. Each
form carries both. Some answers stand beside a passage about something else, harmful ones too: what stands beside an
answer says nothing about it. No row has working detail. `topic` lets a split keep whole subjects out.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from ..data import Row
from . import own_rows, plain_subjects_en, plain_subjects_zh
from .plain_frames import FRAMES, PASSAGES, PlainFrames
from .topic import Answer, Subject, capital, spin

__all__ = ["FORMS", "rows"]

FORMS = ("prose", "paragraphs", "bullets", "numbers", "framed", "said", "beside")
"""How an answer is put together."""
_SUBJECTS = {"en": plain_subjects_en.SUBJECTS, "zh": plain_subjects_zh.SUBJECTS}
# Answers per subject and side.
_HARMFUL, _HARMLESS = 28, 36
# And after no question at all.
_NO_QUESTION = 0.1
_ENDS = frozenset('.!?:"。!?：”')
# How many come after a question of the other side: the answer alone must tell.
_OTHER_QUESTION = {True: 0.15, False: 0.4}


def rows(seed: int = 13) -> Iterator[Row]:
    """Yield the rows in a fixed order for a seed."""
    chance = random.Random(seed)
    found = ((lang, answer) for lang in ("en", "zh") for answer in _answers(chance, lang))
    yield from own_rows.answers("own9_resp", found)


def _answers(chance: random.Random, lang: str) -> Iterator[Answer]:
    for subject in _SUBJECTS[lang]:
        for is_harmful, count in ((True, _HARMFUL), (False, _HARMLESS)):
            for at in range(count):
                yield _answer(chance, lang, subject, FORMS[at % len(FORMS)], is_harmful=is_harmful)


def _answer(chance: random.Random, lang: str, subject: Subject, form: str, *, is_harmful: bool) -> Answer:
    asks, other, sentences = subject.harmful_asks, subject.harmless_asks, subject.harmful
    if not is_harmful:
        asks, other, sentences = other, asks, subject.harmless
    asked = other if chance.random() < _OTHER_QUESTION[is_harmful] else asks
    text = _rendered(chance, lang, _some(chance, _split(sentences)), form)
    named = form if is_harmful else f"help-{form}"
    question = "" if chance.random() < _NO_QUESTION else chance.choice(_split(asked))
    return Answer(f"plain {subject.name}", named, question, text, subject.category if is_harmful else None)


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(";") if part.strip()]


def _some(chance: random.Random, sentences: Sequence[str]) -> list[str]:
    """Two or more of the sentences in their order, with their choices made."""
    count = chance.randint(min(3, len(sentences)), len(sentences)) if chance.random() < 0.8 else 2
    chosen = sorted(chance.sample(range(len(sentences)), count))
    return [_ended(capital(spin(sentences[at], chance))) for at in chosen]


def _ended(sentence: str) -> str:
    if sentence[-1] in _ENDS:
        return sentence
    return sentence + ("." if sentence.isascii() else "。")


def _rendered(chance: random.Random, lang: str, sentences: Sequence[str], form: str) -> str:
    words = FRAMES[lang]
    prose = words.glue.join(sentences)
    if form == "paragraphs":
        return _framed(chance, words, "\n\n".join(sentences))
    if form == "bullets":
        mark = chance.choice(("- ", "* ", "• "))
        return _framed(chance, words, "\n".join(mark + one for one in sentences))
    if form == "numbers":
        return _framed(chance, words, "\n".join(f"{at}. {one}" for at, one in enumerate(sentences, 1)))
    if form == "framed":
        return _framed(chance, words, prose)
    if form == "said":
        return spin(chance.choice(words.said).replace("{B}", "\0"), chance).replace("\0", prose)
    if form == "beside":
        return _beside(chance, lang, prose)
    return prose


def _framed(chance: random.Random, words: PlainFrames, body: str) -> str:
    """Between an opening and a closing, either of which may be empty."""
    opening, closing = (spin(chance.choice(frames), chance) for frames in (words.openings, words.closings))
    return "\n\n".join(part for part in (opening, body, closing) if part)


def _beside(chance: random.Random, lang: str, body: str) -> str:
    """With harmless passages about something else before, after, or on both sides."""
    first, second = (spin(passage, chance) for passage in chance.sample(PASSAGES[lang], 2))
    parts = chance.choice(((first, body), (body, first), (first, body, second)))
    return chance.choice(("\n\n", FRAMES[lang].glue)).join(parts)
