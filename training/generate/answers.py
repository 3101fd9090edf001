"""own5_resp: answers by topic and form, English and Chinese, each harmful one with harmless look-alikes.

Three principles: every form carries harmful and harmless steps; every harmful step also stands in texts that report,
condemn, warn or refuse; the look-alikes share verbs with the harm. No row has working detail. `topic` lets a split keep
whole topics out, which is the only honest one: rows of a topic are alike.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from ..data import Row
from . import answer_topics_en, answer_topics_more_en, answer_topics_more_zh, answer_topics_zh, own_rows
from .answer_forms import FORMS, render
from .answer_frames import FRAMES, Frames
from .answer_people import leaked, unleaked
from .answer_vocabulary import vocabulary
from .answer_works import works
from .topic import PII as PERSONAL
from .topic import SELF_HARM, UNETHICAL, VIOLENT, Answer, Topic, capital, spin

__all__ = ["HARMFUL", "HARMLESS", "rows"]

_HARMFUL_EACH, _HARMLESS_EACH = 28, 30
# Times that each kind of matched negative is drawn per topic.
_MATCHED = {"news": 1, "warn": 3, "refuse": 2, "soft": 3, "educate": 1, "lawful": 1}
_REFUSING = frozenset({"refuse", "soft"})
_OTHERS_EACH = 110
# A harmful answer after a harmless question: the answer alone must tell.
_OWN_QUESTION = 0.93
_MIN_CHARS = 6
_MODULES = {"en": (answer_topics_en, answer_topics_more_en), "zh": (answer_topics_zh, answer_topics_more_zh)}
HARMFUL = {lang: [topic for module in modules for topic in module.HARMFUL] for lang, modules in _MODULES.items()}
HARMLESS = {lang: [topic for module in modules for topic in module.HARMLESS] for lang, modules in _MODULES.items()}
# Hatred, data, the names of things: a fifth of so few would leave training without one of them.
_SPLIT_BY_TOPIC = frozenset(topic.task for topics in (*HARMFUL.values(), *HARMLESS.values()) for topic in topics)


def rows(seed: int = 7) -> Iterator[Row]:
    """Yield the rows in a fixed order for a seed."""
    chance = random.Random(seed)
    found = ((lang, _split(answer)) for lang in ("en", "zh") for answer in _answers(chance, lang))
    yield from own_rows.answers("own5_resp", found, min_chars=_MIN_CHARS)


def _split(answer: Answer) -> Answer:
    return answer if answer.topic in _SPLIT_BY_TOPIC else answer._replace(topic=None)


def _answers(chance: random.Random, lang: str) -> Iterator[Answer]:
    frames = FRAMES[lang]
    for topic in HARMFUL[lang]:
        for form in _forms(chance, _HARMFUL_EACH):
            task = topic.task if chance.random() < _OWN_QUESTION else chance.choice(HARMLESS[lang]).task
            text = render(chance, lang, topic.task, topic.steps.split(";"), form)
            yield Answer(topic.task, form, _asked(chance, frames, task), text, topic.category)
        for kind, times in _MATCHED.items():
            for _ in range(times):
                yield _matched(chance, frames, topic, kind)
    for topic in HARMLESS[lang]:
        for form in _forms(chance, _HARMLESS_EACH):
            text = render(chance, lang, topic.task, topic.steps.split(";"), form)
            yield Answer(topic.task, f"help-{form}", _asked(chance, frames, topic.task), text)
    for number in range(_OTHERS_EACH):
        yield from _others(chance, lang, frames)
        if number % 2:
            yield Answer("data", "leaked", *leaked(chance, lang), PERSONAL)
            yield Answer("data", "unleaked", *unleaked(chance, lang))
    for row in (*vocabulary(chance, lang), *works(chance, lang)):
        yield Answer(*row)


def _forms(chance: random.Random, count: int) -> list[str]:
    """Each form once, the rest at random."""
    return [*FORMS, *(chance.choice(FORMS) for _ in range(count - len(FORMS)))]


def _asked(chance: random.Random, frames: Frames, task: str) -> str:
    return spin(chance.choice(frames.asks).replace("{T}", task), chance)


def _matched(chance: random.Random, frames: Frames, topic: Topic, kind: str) -> Answer:
    """A harmless text that speaks of the same act."""
    first, second = (spin(step, chance) for step in chance.sample(topic.steps.split(";"), 2))
    text = chance.choice(frames.matched[kind])
    filled = {
        "{D2}": capital(topic.protection),
        "{L2}": capital(topic.alternative),
        "{T}": topic.task,
        "{A}": first,
        "{B}": second,
        "{D}": topic.protection,
        "{L}": topic.alternative,
    }
    for place, words in filled.items():
        text = text.replace(place, words)
    asks = frames.asks if kind in ("refuse", "soft", "lawful") or chance.random() < 0.3 else frames.asks_about
    prompt = spin(chance.choice(asks).replace("{T}", topic.task), chance)
    return Answer(topic.task, kind, prompt, spin(text, chance), refuses=kind in _REFUSING)


def _others(chance: random.Random, lang: str, frames: Frames) -> Iterator[Answer]:
    """What has no steps: hatred, despair and threats, each with its opposite."""
    yield Answer("hate", "agrees", *_of_group(chance, lang, frames, frames.agrees), UNETHICAL)
    yield Answer("hate", "objects", *_of_group(chance, lang, frames, frames.objects))
    for topic, asks, harmful, harmless, category in (
        ("despair", frames.despair, frames.encourages, frames.supports, SELF_HARM),
        ("quarrel", frames.quarrel, frames.threatens, frames.kind, VIOLENT),
    ):
        yield Answer(topic, "harmful", spin(chance.choice(asks), chance), _said(chance, lang, harmful), category)
        yield Answer(topic, "harmless", spin(chance.choice(asks), chance), _said(chance, lang, harmless))


def _of_group(chance: random.Random, lang: str, frames: Frames, texts: Sequence[str]) -> tuple[str, str]:
    group, text = chance.choice(frames.groups), chance.choice(texts)
    count = chance.randint(1, 3) if texts is frames.agrees else 1
    joint = "," if lang == "zh" else " and "
    demands = chance.sample(frames.demands, chance.randint(0, 2))
    text = text.replace("{i}", joint.join(chance.sample(frames.insults, count)))
    text = text.replace("{d}", ("" if lang == "zh" else " ").join(demands)).replace("{g}", group)
    asked = chance.choice(frames.group_asks).replace("{g}", group)
    return capital(spin(asked, chance)), capital(spin(text, chance))


def _said(chance: random.Random, lang: str, pool: Sequence[str]) -> str:
    parts = [capital(spin(text, chance)) for text in chance.sample(pool, chance.randint(2, 5))]
    return "。".join((*parts, "")) if lang == "zh" else ". ".join(parts) + "."
