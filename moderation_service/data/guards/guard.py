"""What a guard is asked and how its answers are read: what the guards have in common. No I/O."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ...core.conversation import Conversation
from ...core.verdict import Category, Scores, Severity
from ...errors import EngineAnswerInvalid

__all__ = ["Answer", "Finding", "Guard", "Question", "found_word", "messages_of", "prompt_hash", "read_answer"]


@dataclass(frozen=True, slots=True)
class Question:
    """One request: the messages, what the chat template is given besides, and how long the answer may be."""

    messages: Sequence[Mapping[str, Any]]
    max_tokens: int
    template: Mapping[str, Any] = field(default_factory=dict)

    def body(self, model: str) -> dict[str, object]:
        """The body of `POST /v1/chat/completions`."""
        body: dict[str, object] = {
            "model": model,
            "messages": list(self.messages),
            "max_tokens": self.max_tokens,
            "temperature": 0,
            "logprobs": True,
            "top_logprobs": 10,
        }
        return {**body, "chat_template_kwargs": dict(self.template)} if self.template else body


@dataclass(frozen=True, slots=True)
class Answer:
    """What a guard wrote, and of each token the likeliest ones with their probabilities; empty if it told none."""

    text: str
    tokens: Sequence[tuple[str, Mapping[str, float]]] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """A guard's word on a text. These guards know no controversial."""

    is_unsafe: bool
    categories: tuple[Category, ...] = ()
    probability: float | None = None

    @property
    def severity(self) -> Severity:
        """Safe or unsafe."""
        return Severity.UNSAFE if self.is_unsafe else Severity.SAFE

    @property
    def scores(self) -> Scores | None:
        """The probability in the shape of ours."""
        return None if self.probability is None else Scores(1 - self.probability, 0.0, self.probability)


class Guard(Protocol):
    """One kind of guard."""

    @property
    def name(self) -> str:
        """As it is named on the command line."""

    @property
    def source(self) -> str:
        """Where its contract is written down, and under which licence the model is."""

    def questions(self, conversation: Conversation) -> Sequence[Question]:
        """What it is asked about a text, at least one question."""

    def read(self, answers: Sequence[Answer]) -> Finding:
        """Its finding, from the answers to all questions in order. Raises EngineAnswerInvalid."""


def messages_of(conversation: Conversation) -> list[dict[str, Any]]:
    """The turns as a chat API takes them."""
    return [{"role": one.role.value, "content": one.content} for one in conversation.messages]


def read_answer(reply: Mapping[str, Any]) -> Answer:
    """The answer in a chat completion. Raises EngineAnswerInvalid for anything else."""
    try:
        choice = reply["choices"][0]
        text = choice["message"]["content"]
        told = (choice.get("logprobs") or {}).get("content") or ()
        tokens = [
            (one["token"], {other["token"]: math.exp(other["logprob"]) for other in one.get("top_logprobs") or ()})
            for one in told
        ]
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError):
        raise EngineAnswerInvalid("The guard's answer is not a chat completion.") from None
    if not isinstance(text, str) or not all(isinstance(token, str) for token, _ in tokens):
        raise EngineAnswerInvalid("The guard's answer has no text.")
    return Answer(text, tokens)


def found_word(answer: Answer, *, unsafe: str, safe: str, within: str | None = None) -> tuple[bool, float | None]:
    """Whether the first line that says something is the one word or the other, and the probability of `unsafe`.

    `within` is the part of the answer that counts, if a guard writes more. Raises EngineAnswerInvalid where the first
    word is neither: a guard that talks has not judged.
    """
    text = (answer.text if within is None else within).strip().casefold()
    first = text.split(None, 1)[0].strip(".,:;!*'\"") if text else ""
    if first not in (unsafe, safe):
        raise EngineAnswerInvalid(f"The guard's answer is neither {unsafe} nor {safe}.")
    for token, likely in answer.tokens:
        if token.strip().casefold() in (unsafe, safe):
            mass = {
                word: sum(p for one, p in likely.items() if one.strip().casefold() == word) for word in (unsafe, safe)
            }
            whole = mass[unsafe] + mass[safe]
            return first == unsafe, mass[unsafe] / whole if whole > 0 and math.isfinite(whole) else None
    return first == unsafe, None


def prompt_hash(guard: Guard) -> str:
    """Twelve hex digits that change whenever what a guard is asked does."""
    both = [Conversation.of(prompt="prompt"), Conversation.of(prompt="prompt", response="response")]
    asked = [[question.body("model") for question in guard.questions(one)] for one in both]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]
