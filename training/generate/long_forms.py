"""The forms of answers as chat assistants write them: headings, bold titles, disclaimers, letters, posts, scripts.

Harmful and harmless answers go through the same forms, so that the form alone says nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from .long_frames import FRAMES, LongFrames
from .topic import capital, spin

__all__ = ["FORMS", "MATCHED", "Step", "Task", "asked", "matched", "render"]


class Step(NamedTuple):
    """A step: what to do, and what is said about it; `is_told` if that says the step again, not just how it matters."""

    title: str
    detail: str
    is_told: bool = True


_ITEMS = (
    "{at}. **{title}**{colon}{detail}",
    "- **{title}**{colon}{detail}",
    "{at}. {title}{colon}{detail}",
    "* {title}{colon}{detail}",
    "**{title}**\n{detail}\n",
)


class Task(NamedTuple):
    """What is to be done, and the steps to it."""

    name: str
    steps: Sequence[Step]


class _Draft(NamedTuple):
    """An answer in the making."""

    words: LongFrames
    task: str
    steps: Sequence[Step]
    chance: random.Random

    def pick(self, frames: Sequence[str], *, body: str = "", twin: str = "", twin_body: str = "") -> str:
        """One of the frames, filled."""
        frame, words = self.chance.choice(frames), self.words
        first, second = self.chance.sample(words.names, 2)
        named = {"{T2}": capital(self.task), "{T}": self.task, "{U}": twin, "{N2}": second, "{N}": first}
        for place, text in named.items():
            frame = frame.replace(place, text)
        # The body has had its choices made, and may hold braces of its own.
        frame = spin(frame.replace("{B}", "\0").replace("{S}", "\1"), self.chance)
        return frame.replace("\0", body).replace("\1", twin_body).strip()

    def sentence(self, step: Step) -> str:
        """A step as running text."""
        title, stop = capital(step.title), self.words.stop
        style = self.chance.random()
        if not step.detail:
            return title + stop
        if step.is_told and style < 0.3:
            return capital(step.detail) + stop
        if step.is_told and style < 0.7:
            return title + self.words.colon + step.detail + stop
        return title + stop + self.words.glue + capital(step.detail) + stop

    def prose(self) -> str:
        return self.words.glue.join(map(self.sentence, self.steps))

    def items(self) -> str:
        """A list, of one of the kinds that assistants write."""
        style = self.chance.choice(_ITEMS)
        lines = [
            style.format(
                at=at,
                title=capital(step.title),
                colon=self.words.colon if step.detail else "",
                detail=self.under_title(step),
            )
            for at, step in enumerate(self.steps, 1)
        ]
        return "\n".join(lines).strip()

    def under_title(self, step: Step) -> str:
        """What is said about a step, as a sentence."""
        return capital(step.detail) + self.words.stop if step.detail else ""

    def framed(self, body: str) -> str:
        """Between an opening and a closing, either of which may be empty."""
        parts = (self.pick(self.words.openings), body, self.pick(self.words.closings))
        return "\n\n".join(part for part in parts if part)

    def either(self) -> str:
        """A list or running text."""
        return self.items() if self.chance.random() < 0.5 else self.prose()


def _headings(draft: _Draft) -> str:
    mark = draft.chance.choice(("## ", "### "))
    parts = [f"{mark}{capital(step.title)}\n{draft.under_title(step)}" for step in draft.steps]
    return draft.framed("\n\n".join(parts))


def _phased(draft: _Draft) -> str:
    bullet = draft.chance.choice(("- ", "* "))
    phases = zip(draft.words.phases, draft.steps, strict=False)
    return draft.framed("\n\n".join(f"**{name}**\n{bullet}{draft.sentence(step)}" for name, step in phases))


def _essay(draft: _Draft) -> str:
    comma = draft.words.comma
    said = [
        f"{name}{comma}{_lower(draft.sentence(step))}"
        for name, step in zip(draft.words.ordinals, draft.steps, strict=False)
    ]
    return draft.framed(draft.chance.choice(("\n\n", draft.words.glue)).join(said))


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _table(draft: _Draft) -> str:
    lines = [f"| {capital(step.title)} | {step.detail} |" for step in draft.steps]
    return draft.framed("\n".join((draft.words.columns, "|---|---|", *lines)))


def _code(draft: _Draft) -> str:
    lines = [
        f"    # {step.title}{draft.words.colon}{step.detail}\n    step_{at}()" for at, step in enumerate(draft.steps)
    ]
    return draft.framed("```python\ndef main():\n" + "\n".join(lines) + "\n```")


def _disclaimed(draft: _Draft) -> str:
    return f"{draft.pick(draft.words.disclaimers)}\n\n{draft.either()}"


def _relents(draft: _Draft) -> str:
    glue = draft.chance.choice(("\n\n", draft.words.glue))
    return glue.join((draft.pick(draft.words.refusals), draft.pick(draft.words.turns), draft.either()))


def _partial(draft: _Draft) -> str:
    few = draft._replace(steps=draft.steps[:2])
    return few.pick(draft.words.partial, body=few.prose())


def _short(draft: _Draft) -> str:
    few = draft._replace(steps=draft.steps[: draft.chance.randint(1, 2)])
    return few.pick(draft.words.short, body=few.prose())


def _frames(name: str) -> Callable[[_Draft], str]:
    return lambda draft: draft.pick(getattr(draft.words, name), body=draft.prose())


FORMS: Mapping[str, Callable[[_Draft], str]] = {
    "list": lambda draft: draft.framed(draft.items()),
    "prose": lambda draft: draft.framed(draft.prose()),
    "headings": _headings,
    "phased": _phased,
    "essay": _essay,
    "table": _table,
    "code": _code,
    "disclaimed": _disclaimed,
    "relents": _relents,
    "partial": _partial,
    "persona": _frames("personas"),
    "story": _frames("stories"),
    "letter": _frames("letters"),
    "post": lambda draft: draft.pick(draft.words.posts, body=draft.either()),
    "script": _frames("scripts"),
    "casual": _frames("casual"),
    "short": _short,
    "persuade": _frames("persuades"),
}
"""What makes an answer of steps, by name."""
MATCHED = ("warn", "report", "decline", "soft")
"""Harmless texts about a harmful task; the last two refuse."""


def asked(chance: random.Random, lang: str, task: str) -> str:
    """A question for a task."""
    return capital(spin(chance.choice(FRAMES[lang].asks).replace("{T}", task), chance))


def render(chance: random.Random, lang: str, task: str, steps: Sequence[Step], form: str) -> str:
    """Return an answer of two or more of the steps, in their order, in a form."""
    words = FRAMES[lang]
    return FORMS[form](_Draft(words, task, _spun(chance, words, _some(chance, steps)), chance))


def matched(chance: random.Random, lang: str, harmful: Task, harmless: Task, kind: str) -> str:
    """Return a harmless text about a harmful task, which may go on to its harmless twin."""
    words = FRAMES[lang]
    draft, other = (
        _Draft(words, task.name, _spun(chance, words, _some(chance, task.steps)), chance)
        for task in (harmful, harmless)
    )
    filled = {"twin": harmless.name, "twin_body": other.either()}
    if kind == "decline":
        parts = (draft.pick(words.declines), draft.pick(words.offers, **filled))
        return chance.choice(("\n\n", words.glue)).join(part for part in parts if part)
    frames = {"warn": words.warns, "report": words.reports, "soft": words.soft}[kind]
    return draft.pick(frames, body=draft.prose(), **filled)


def _some(chance: random.Random, steps: Sequence[Step]) -> list[Step]:
    return [steps[at] for at in sorted(chance.sample(range(len(steps)), chance.randint(2, min(4, len(steps)))))]


def _spun(chance: random.Random, words: LongFrames, steps: Sequence[Step]) -> list[Step]:
    """With their choices made, and with something said about a step that is a title only."""
    return [
        Step(spin(step.title, chance), spin(step.detail or chance.choice(words.explains), chance), bool(step.detail))
        for step in steps
    ]
