"""`/appeals`: a blocked person asks for a review, by the id of the decision, and later what came of it. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..core.conversation import read_text
from ..errors import InvalidRequest, TooLarge
from .native import given, refuse_unknown

__all__ = ["Appeal", "is_decision_id", "outcome", "parse_appeal", "received"]

_FIELDS = frozenset({"id", "text"})
_ID = re.compile(r"mod_[0-9a-f]{24}")
_MAX_TEXT_CHARS = 2000
_MESSAGES: Mapping[str, Mapping[str, str]] = {
    "open": {
        "en": "Your appeal was received; somebody will look at it.",
        "zh": "您的申诉已收到，将由人工复核。",
    },
    "upheld": {
        "en": "Your appeal was reviewed, and the decision stands.",
        "zh": "您的申诉已经人工复核，维持原决定。",
    },
    "overturned": {
        "en": "Your appeal was reviewed: the text should not have been blocked.",
        "zh": "您的申诉已经人工复核：该内容本不应被拦截。",
    },
}


@dataclass(frozen=True, slots=True)
class Appeal:
    """Of which decision, and what the person says."""

    decision_id: str
    text: str


def parse_appeal(body: object) -> Appeal:
    """Read a request body. Raises InvalidRequest or TooLarge that names the field."""
    if not isinstance(body, Mapping):
        raise InvalidRequest("The body must be a JSON object.")
    body = given(body, _FIELDS)
    refuse_unknown(body, _FIELDS)
    decision_id = body.get("id")
    if not isinstance(decision_id, str) or not is_decision_id(decision_id):
        raise InvalidRequest("`id` must be the id of a decision, such as mod_0f9c31c2b6e0a7d4c1e8b2a9.", param="id")
    text = read_text(body.get("text", ""), param="text")
    if len(text) > _MAX_TEXT_CHARS:
        raise TooLarge(f"`text` has {len(text)} characters; the limit is {_MAX_TEXT_CHARS}.", param="text")
    return Appeal(decision_id, text.strip())


def received() -> dict[str, object]:
    """The reply to every appeal that can be read: it does not tell which decisions there are."""
    return {"received": True}


def is_decision_id(text: str) -> bool:
    """Whether a decision may have this id."""
    return _ID.fullmatch(text) is not None


def outcome(decision_id: str, state: str, languages: Sequence[str]) -> dict[str, object]:
    """How an appeal stands: `open`, `upheld` or `overturned`, and a sentence for the person in a language of theirs."""
    messages = _MESSAGES[state]
    known = (tag.lower().partition("-")[0] for tag in languages)
    language = next((one for one in known if one in messages), "en")
    return {"id": decision_id, "state": state, "message": messages[language]}
