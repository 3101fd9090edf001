"""own7_resp: answers as chat assistants write them, English and Chinese, each harmful one with harmless look-alikes.

The same principles as in `answers`: every form carries harmful and harmless steps, harmful steps also stand in texts
that report, warn or refuse, the harmless twin of a topic has its nouns. No row has working detail. `topic` lets a split
keep whole topics out; a topic of `answers` is the same one here.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from ..data import Row
from . import long_topics_en, long_topics_zh, long_works_en, long_works_zh, own_rows
from .answers import HARMFUL, HARMLESS
from .long_forms import FORMS, MATCHED, Step, Task, asked, matched, render
from .topic import Answer, Work, capital, spin

__all__ = ["HARMLESS_FORMS", "rows"]

HARMLESS_FORMS = ("help-", "instead", "work-harmless", "delicate")
"""How the forms begin of harmless answers that neither report, warn nor refuse."""
_PAIRS = {"en": long_topics_en.PAIRS, "zh": long_topics_zh.PAIRS}
_WORKS = {"en": long_works_en.WORKS, "zh": long_works_zh.WORKS}
_SAFE = {"en": long_works_en.SAFE, "zh": long_works_zh.SAFE}
# Answers per side of a pair, and per topic of `answers`; times that each kind of matched text is drawn; answers to a
# harmful question that tell the harmless thing; answers per side of a work, and per delicate subject.
_EACH, _OLD_EACH, _MATCHED, _INSTEAD, _WORK_EACH, _SAFE_EACH = 20, 5, 2, 3, 28, 32
_REFUSING = frozenset({"decline", "soft"})
# A harmful answer after a harmless question: the answer alone must tell.
_OWN_QUESTION = 0.9
_OWN_WORK_QUESTION = 0.65
_TRIES = 6


def rows(seed: int = 11) -> Iterator[Row]:
    """Yield the rows in a fixed order for a seed."""
    chance = random.Random(seed)
    found = ((lang, answer) for lang in ("en", "zh") for answer in _answers(chance, lang))
    yield from own_rows.answers("own7_resp", found)


def _answers(chance: random.Random, lang: str) -> Iterator[Answer]:
    harmless_tasks = [pair.harmless for pair in _PAIRS[lang]]
    for pair in _PAIRS[lang]:
        harm, help_ = _steps(pair.harmful_steps), _steps(pair.harmless_steps)
        for form in _forms(chance, _EACH):
            task = pair.harmful if chance.random() < _OWN_QUESTION else chance.choice(harmless_tasks)
            yield _rendered(chance, lang, pair.harmful, asked(chance, lang, task), harm, form, pair.category)
        for form in _forms(chance, _EACH):
            question = asked(chance, lang, pair.harmless)
            yield _rendered(chance, lang, pair.harmful, question, help_, form, None, task=pair.harmless)
        for form in _forms(chance, _INSTEAD):
            # Asked for harm, it says how to do the harmless thing.
            question = asked(chance, lang, pair.harmful)
            text = render(chance, lang, pair.harmless, help_, form)
            yield Answer(pair.harmful, "instead", question, text)
        for kind in MATCHED * _MATCHED:
            text = matched(chance, lang, Task(pair.harmful, harm), Task(pair.harmless, help_), kind)
            question = asked(chance, lang, pair.harmful)
            yield Answer(pair.harmful, kind, question, text, refuses=kind in _REFUSING)
    for topic in (*HARMFUL[lang], *HARMLESS[lang]):
        for form in _forms(chance, _OLD_EACH):
            question = asked(chance, lang, topic.task)
            yield _rendered(chance, lang, topic.task, question, _steps(topic.steps), form, topic.category)
    for work in _WORKS[lang]:
        for is_harmful in (True, False):
            yield from _works(chance, work, is_harmful=is_harmful)
    for subject in _SAFE[lang]:
        for ask, text in _drawn(chance, subject.harmless_asks, subject.harmless, _SAFE_EACH):
            yield Answer(f"delicate {subject.name}", "delicate", ask, text)


def _steps(text: str) -> list[Step]:
    """The steps of a topic: titles, with what is said about each after a colon."""
    found = []
    for step in text.split(";"):
        title, _, detail = step.partition(":")
        found.append(Step(title.strip(), detail.strip()))
    return found


def _forms(chance: random.Random, count: int) -> list[str]:
    """All forms if that many are wanted, the rest at random."""
    names = list(FORMS)
    if count < len(names):
        return chance.sample(names, count)
    return [*names, *chance.choices(names, k=count - len(names))]


def _rendered(
    chance: random.Random,
    lang: str,
    topic: str,
    question: str,
    steps: Sequence[Step],
    form: str,
    category: str | None,
    *,
    task: str | None = None,
) -> Answer:
    text = render(chance, lang, task or topic, steps, form)
    return Answer(topic, form if category else f"help-{form}", question, text, category)


def _works(chance: random.Random, work: Work, *, is_harmful: bool) -> Iterator[Answer]:
    """The answers of one side; some come after a question of the other."""
    own, other = work.harmful_asks, work.harmless_asks
    texts, form, category = work.harmful, "work", work.category
    if not is_harmful:
        own, other = other, own
        texts, form, category = work.harmless, "work-harmless", None
    for ask, text in _drawn(chance, own, texts, _WORK_EACH):
        if chance.random() > _OWN_WORK_QUESTION:
            ask = capital(spin(chance.choice(other), chance))
        yield Answer(f"long {work.name}", form, ask, text, category)


def _drawn(chance: random.Random, asks: Sequence[str], texts: Sequence[str], count: int) -> Iterator[tuple[str, str]]:
    """Different texts, each with a question."""
    found: dict[str, None] = {}
    for _ in range(count * _TRIES):
        found.setdefault(capital(spin(chance.choice(texts), chance)), None)
        if len(found) == count:
            break
    for text in found:
        yield capital(spin(chance.choice(asks), chance)), text
