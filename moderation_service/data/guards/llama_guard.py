"""Llama Guard 3 and 4: `safe`, or `unsafe` and the hazards on a second line.

The chat template has the hazards and the question; the last turn decides whether a prompt or a response is judged. The
score is the probability of the first word. Source: model cards of Llama-Guard-3-8B and Llama-Guard-4-12B in
meta-llama/PurpleLlama (Llama 3.1 and Llama 4 Community License).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...core.conversation import Conversation
from ...core.verdict import Category
from .guard import Answer, Finding, Question, found_word, messages_of

__all__ = ["LlamaGuard"]

_MAX_TOKENS = 48
_HAZARD = re.compile(r"\bS(\d{1,2})\b")
# The categories of ours that come closest to the MLCommons hazards; ours, so only a hint.
_CATEGORIES: Mapping[int, Category] = {
    1: Category.VIOLENT,
    2: Category.NON_VIOLENT_ILLEGAL_ACTS,
    3: Category.SEXUAL_CONTENT,
    4: Category.SEXUAL_CONTENT,
    5: Category.UNETHICAL_ACTS,
    6: Category.UNETHICAL_ACTS,
    7: Category.PII,
    8: Category.COPYRIGHT_VIOLATION,
    9: Category.VIOLENT,
    10: Category.UNETHICAL_ACTS,
    11: Category.SUICIDE_SELF_HARM,
    12: Category.SEXUAL_CONTENT,
    13: Category.POLITICALLY_SENSITIVE_TOPICS,
    14: Category.NON_VIOLENT_ILLEGAL_ACTS,
}


@dataclass(frozen=True, slots=True)
class LlamaGuard:
    """`has_parts`: content is a list of parts, which the fourth one's template wants."""

    name: str
    has_parts: bool = False
    source: str = "meta-llama/PurpleLlama, MODEL_CARD.md; Llama Community License"

    def questions(self, conversation: Conversation) -> Sequence[Question]:
        """One: the chat as it is."""
        messages: list[dict[str, Any]] = messages_of(conversation)
        if self.has_parts:
            messages = [{**one, "content": [{"type": "text", "text": one["content"]}]} for one in messages]
        return [Question(messages, _MAX_TOKENS)]

    def read(self, answers: Sequence[Answer]) -> Finding:
        """The first word, and the hazards behind it."""
        (answer,) = answers
        is_unsafe, probability = found_word(answer, unsafe="unsafe", safe="safe")
        numbers = [int(number) for number in _HAZARD.findall(answer.text)] if is_unsafe else []
        categories = dict.fromkeys(_CATEGORIES[number] for number in numbers if number in _CATEGORIES)
        return Finding(is_unsafe, tuple(categories), probability)
