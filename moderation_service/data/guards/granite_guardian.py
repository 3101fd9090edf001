"""Granite Guardian 3: `Yes` if the last turn is harmful. From 3.3 on between `<score>` and `</score>`.

Without a `guardian_config` its chat template asks for `harm`, the umbrella over the other risks. Source: cookbooks of
ibm-granite/granite-guardian for 3.0 to 3.3 (Apache-2.0).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ...core.conversation import Conversation
from .guard import Answer, Finding, Question, found_word, messages_of

__all__ = ["GraniteGuardian"]

_MAX_TOKENS = 48
_SCORE = re.compile(r"<score>(.*?)</score>", re.DOTALL)
_THOUGHTS = re.compile(r"<think>.*?</think>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class GraniteGuardian:
    """Of any size, without its thoughts."""

    name: str = "granite-guardian"
    source: str = "ibm-granite/granite-guardian, cookbooks; Apache-2.0"

    def questions(self, conversation: Conversation) -> Sequence[Question]:
        """One: the chat as it is."""
        return [Question(messages_of(conversation), _MAX_TOKENS)]

    def read(self, answers: Sequence[Answer]) -> Finding:
        """The word between the marks, or the first one."""
        (answer,) = answers
        text = _THOUGHTS.sub("", answer.text)
        score = _SCORE.search(text)
        is_unsafe, probability = found_word(answer, unsafe="yes", safe="no", within=score[1] if score else text)
        return Finding(is_unsafe, (), probability)
