"""What generated rows are about, and the small language their texts are written in: `{one|another}` is a choice."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

__all__ = ["COPYRIGHT", "ILLEGAL", "PII", "SELF_HARM", "SEXUAL", "UNETHICAL", "VIOLENT", "Topic", "capital", "spin"]

VIOLENT, ILLEGAL, PII, SELF_HARM = "Violent", "Non-violent Illegal Acts", "PII", "Suicide & Self-Harm"
SEXUAL, UNETHICAL, COPYRIGHT = "Sexual Content or Sexual Acts", "Unethical Acts", "Copyright Violation"

_CHOICE = re.compile(r"\{([^{}]*)\}")


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


def spin(text: str, chance: random.Random) -> str:
    """Replace each `{one|another}` by one of its choices, innermost first."""
    while match := _CHOICE.search(text):
        text = text[: match.start()] + chance.choice(match.group(1).split("|")) + text[match.end() :]
    return text


def capital(text: str) -> str:
    """The text with its first letter as a capital."""
    return text[:1].upper() + text[1:]
