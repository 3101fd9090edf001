"""What generated rows are about, and the small language their texts are written in: `{one|another}` is a choice."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

__all__ = [
    "CATEGORIES",
    "COPYRIGHT",
    "ILLEGAL",
    "JAILBREAK",
    "PII",
    "POLITICAL",
    "SELF_HARM",
    "SEXUAL",
    "UNETHICAL",
    "VIOLENT",
    "Answer",
    "Pair",
    "Subject",
    "Topic",
    "Work",
    "capital",
    "spin",
]

VIOLENT, ILLEGAL, PII, SELF_HARM = "Violent", "Non-violent Illegal Acts", "PII", "Suicide & Self-Harm"
SEXUAL, UNETHICAL, COPYRIGHT = "Sexual Content or Sexual Acts", "Unethical Acts", "Copyright Violation"
POLITICAL, JAILBREAK = "Politically Sensitive Topics", "Jailbreak"
CATEGORIES: Mapping[str, str | None] = {
    "V": VIOLENT,
    "I": ILLEGAL,
    "S": SEXUAL,
    "P": PII,
    "H": SELF_HARM,
    "U": UNETHICAL,
    "L": POLITICAL,
    "C": COPYRIGHT,
    "J": JAILBREAK,
    "N": None,
}
"""The letters that stand for them in text files; N is for what is harmless."""

_CHOICE = re.compile(r"\{([^{}]*)\}")


class Answer(NamedTuple):
    """A question and an answer; `category` is None for a harmless one, `topic` for one that no split keeps out."""

    topic: str | None
    form: str
    prompt: str
    response: str
    category: str | None = None
    refuses: bool = False


@dataclass(frozen=True)
class Topic:
    """A task, the steps of an answer to it (separated by `;`), what protects from it, and a lawful way instead.

    `category` is None for a harmless one, which has neither protection nor alternative.
    """

    category: str | None
    task: str
    steps: str
    protection: str = ""
    alternative: str = ""


@dataclass(frozen=True)
class Pair:
    """A harmful task and a harmless one of the same nouns, with the steps of an answer to each.

    Steps are separated by `;`, a step is a title and what is said about it, with a `:` between.
    """

    category: str
    harmful: str
    harmful_steps: str
    harmless: str
    harmless_steps: str


@dataclass(frozen=True)
class Work:
    """A subject with harmful and harmless answers that have no steps, and what is asked for with each.

    `category` is None for a subject without a harmful side.
    """

    name: str
    category: str | None
    harmful_asks: Sequence[str]
    harmful: Sequence[str]
    harmless_asks: Sequence[str]
    harmless: Sequence[str]


@dataclass(frozen=True)
class Subject:
    """A subject that sounds dangerous: what is asked and said of it on the harmful and on the harmless side.

    Questions and sentences are separated by `;`.
    """

    name: str
    category: str
    harmful_asks: str
    harmful: str
    harmless_asks: str
    harmless: str


def spin(text: str, chance: random.Random) -> str:
    """Replace each `{one|another}` by one of its choices, innermost first."""
    while match := _CHOICE.search(text):
        text = text[: match.start()] + chance.choice(match.group(1).split("|")) + text[match.end() :]
    return text


def capital(text: str) -> str:
    """The text with its first letter as a capital."""
    return text[:1].upper() + text[1:]
