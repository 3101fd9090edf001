"""`POST /appeals`: a blocked person asks for a review, by the id of the decision. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..core.conversation import read_text
from ..errors import InvalidRequest, TooLarge
from .native import given, refuse_unknown

__all__ = ["Appeal", "parse_appeal", "received"]

_FIELDS = frozenset({"id", "text"})
_ID = re.compile(r"mod_[0-9a-f]{24}")
_MAX_TEXT_CHARS = 2000


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
    if not isinstance(decision_id, str) or not _ID.fullmatch(decision_id):
        raise InvalidRequest("`id` must be the id of a decision, such as mod_0f9c31c2b6e0a7d4c1e8b2a9.", param="id")
    text = read_text(body.get("text", ""), param="text")
    if len(text) > _MAX_TEXT_CHARS:
        raise TooLarge(f"`text` has {len(text)} characters; the limit is {_MAX_TEXT_CHARS}.", param="text")
    return Appeal(decision_id, text.strip())


def received() -> dict[str, object]:
    """The reply to every appeal that can be read: it does not tell which decisions there are."""
    return {"received": True}
