"""What a model server's reply says of a text: which of its choices counts, where the answer stands, how it ended.

A harmful label counts wherever a server has put it: in one of several choices, in parts, where thoughts go;
of several, the strictest. That a text
is safe is believed of the content of the only choice, and only where that has come to its end. No I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...core.conversation import THOUGHTS
from ...core.qwen3guard import Answer, harm_in, read_answer, read_label, read_scores, weighed
from ...core.verdict import Scores, Target
from ...errors import EngineAnswerInvalid
from ...upstream.client import FailureKind, UpstreamFailure

__all__ = [
    "BROKEN_OFF",
    "CUT",
    "Judged",
    "chat_tokens",
    "choice_of",
    "label_in",
    "legacy_alternatives",
    "not_a_completion",
    "only_choice",
    "verdict_in",
    "weighed_with",
]

_FAILED = "error"
BROKEN_OFF = ("abort", "content_filter", _FAILED)
"""How an answer ends that the server has broken off; `error` also where one stands beside it."""
CUT = ("length", *BROKEN_OFF)
"""How an answer ends that has not come to its end: that it is safe is not believed of it."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The server's answer to one question."""

    answer: Answer
    scores: Scores | None


def choice_of(reply: Mapping[str, Any]) -> tuple[str, Mapping[str, Any], Mapping[str, Any]]:
    """The answer's text, its choice object, and the usage. Raises UpstreamFailure for any other shape."""
    choice = only_choice(reply)
    text, message = _text_of(choice), choice.get("message")
    has_content = isinstance(message, dict) and isinstance(message.get("content"), str)
    if not (text or has_content or chat_tokens(choice)):
        raise not_a_completion()
    usage = reply.get("usage")
    return text, choice, usage if isinstance(usage, dict) else {}


def _text_of(choice: Mapping[str, Any]) -> str:
    """The answer's text; where it has none, what a server has put elsewhere, as far as it is harmful."""
    message = choice.get("message")
    if not isinstance(message, dict):
        return ""
    content = message.get("content")
    if isinstance(content, str) and content.strip():
        return content
    parts = content if isinstance(content, list) else []
    elsewhere = [part.get("text") for part in parts if isinstance(part, dict)]
    elsewhere += [message.get(field) for field in (*THOUGHTS, "refusal")]
    found = max((text for text in elsewhere if isinstance(text, str)), key=_rank, default="")
    return found if _rank(found) else ""


def _rank(text: str) -> int:
    """How harmful the label is that a text says; 0 for none."""
    return harm_in(text).rank


def only_choice(reply: Mapping[str, Any]) -> Mapping[str, Any]:
    """The choice; of several, the most harmful one, if one is. An error beside it is how it ended."""
    choices = reply.get("choices")
    found = [one for one in choices if isinstance(one, dict)] if isinstance(choices, list) else []
    if not isinstance(choices, list) or len(choices) != 1:
        ranks = [_rank(_text_of(one) or str(one.get("text"))) for one in found]
        found = [found[ranks.index(max(ranks))]] if any(ranks) else []
    if not found:
        raise not_a_completion()
    return {**found[0], "finish_reason": _FAILED} if reply.get("error") or found[0].get("error") else found[0]


def not_a_completion() -> UpstreamFailure:
    """The failure of a reply that has not the shape of an answer."""
    error = EngineAnswerInvalid("The model server's answer is not a completion.")
    return UpstreamFailure(FailureKind.GARBLED, error)


def verdict_in(text: str, tokens: object, target: Target, *, is_cut: bool = False) -> Judged:
    """An answer with the probabilities of its label. Raises UpstreamFailure."""
    try:
        answer = read_answer(text, target=target, is_cut=is_cut)
    except EngineAnswerInvalid as error:
        return _unreadable(error, tokens)
    return weighed_with(answer, tokens)


def label_in(text: str, tokens: object) -> Judged | None:
    """The beginning of an answer with the probabilities of its label; None if it ends before the label."""
    try:
        answer = read_label(text)
    except EngineAnswerInvalid as error:
        return _unreadable(error, tokens)
    return None if answer is None else weighed_with(answer, tokens)


def weighed_with(answer: Answer, tokens: object) -> Judged:
    """The answer with what the probabilities of its label say."""
    return Judged(*weighed(answer, read_scores(tokens)))


def _unreadable(error: EngineAnswerInvalid, tokens: object) -> Judged:
    """What the probabilities of an answer say that says nothing itself. Raises UpstreamFailure."""
    try:
        return Judged(*weighed(None, read_scores(tokens)))
    except EngineAnswerInvalid:
        raise UpstreamFailure(FailureKind.NO_VERDICT, error) from None


def chat_tokens(choice: Mapping[str, Any]) -> object:
    """The tokens of a choice with their log probabilities; None without."""
    logprobs = choice.get("logprobs")
    return logprobs.get("content") if isinstance(logprobs, dict) else None


def legacy_alternatives(choice: Mapping[str, Any]) -> list[dict[str, object]]:
    """The first token's alternatives in the shape of the chat API."""
    logprobs = choice.get("logprobs")
    positions = logprobs.get("top_logprobs") if isinstance(logprobs, dict) else None
    first = positions[0] if isinstance(positions, list) and positions else None
    return [{"token": token, "logprob": value} for token, value in first.items()] if isinstance(first, dict) else []
