"""Answers prepared for questions: shown in place of the plain message when such a question is blocked. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ..errors import InvalidRequest

__all__ = ["FIELDS", "MAX_ANSWER_CHARS", "MAX_QUESTION_CHARS", "AnswerSource", "PreparedAnswer", "prepared_answer"]

FIELDS = ("question", "answer", "policies")
MAX_QUESTION_CHARS = 500
MAX_ANSWER_CHARS = 4_000


@dataclass(frozen=True, slots=True)
class PreparedAnswer:
    """A question and its answer. `policies` are the names of those that it is for; none for every one."""

    question: str
    answer: str
    policies: frozenset[str] = frozenset()
    origin: str = field(default="", compare=False)


class AnswerSource(Protocol):
    """Finds prepared answers. Safe to use from many threads; never raises for a text."""

    def find(self, policy: str, question: str) -> str | None:
        """The answer to show to this question, if one is prepared."""


def prepared_answer(fields: Mapping[str, object], *, origin: str = "") -> PreparedAnswer:
    """The answer with these fields. `policies` is a list, or a text with `|` between names.

    Raises InvalidRequest that names the field.
    """
    for name in fields:
        if name not in FIELDS:
            shown = "".join(char for char in str(name)[:40] if char.isprintable())
            raise InvalidRequest(f"`{shown}` is no field of an answer; it has {', '.join(FIELDS)}.", param="answer")
    value = fields.get("policies")
    names = value.split("|") if isinstance(value, str) else value or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidRequest("`policies` must be a list of names.", param="policies")
    return PreparedAnswer(
        _text(fields, "question", most=MAX_QUESTION_CHARS),
        _text(fields, "answer", most=MAX_ANSWER_CHARS),
        frozenset(name.strip() for name in names if name.strip()),
        origin,
    )


def _text(fields: Mapping[str, object], name: str, *, most: int) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value.strip():
        raise InvalidRequest(f"`{name}` must be a text.", param=name)
    if len(value.strip()) > most:
        raise InvalidRequest(f"`{name}` has {len(value.strip())} characters; the limit is {most}.", param=name)
    if any("\ud800" <= char <= "\udfff" or char == "\0" for char in value):
        raise InvalidRequest(f"`{name}` has a character that is not valid Unicode text.", param=name)
    return value.strip()
