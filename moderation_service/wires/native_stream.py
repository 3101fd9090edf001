"""`POST /moderate/stream`: an answer that somebody relays, whole so far, with every call. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ..core.conversation import Conversation
from ..core.policy import Policies
from ..core.question import Question
from ..errors import InvalidRequest, TooLarge
from ..streaming.relayed import RelayedText, SoFar
from . import native
from .native import NativeLimits

__all__ = ["parse", "render"]

_FIELDS = frozenset({"id", "prompt", "messages", "response", "final", "state", "policy", "metadata"})
_CALL_ID = re.compile(r"[A-Za-z0-9._:+/=@-]{1,128}")
_MAX_STATE_CHARS = 4096


def parse(body: object, *, policies: Policies, limits: NativeLimits, languages: Sequence[str] = ()) -> RelayedText:
    """Read a request body. Raises InvalidRequest or TooLarge that names the field."""
    if not isinstance(body, Mapping):
        raise InvalidRequest("The body must be a JSON object.")
    body = native.given(body, _FIELDS)
    native.refuse_unknown(body, _FIELDS)
    call_id = body.get("id")
    if not isinstance(call_id, str) or not _CALL_ID.fullmatch(call_id):
        raise InvalidRequest("`id` must be 1 to 128 letters, digits or `._:+/=@-`.", param="id")
    text = _text(body)
    is_final = body.get("final", False)
    if not isinstance(is_final, bool):
        raise InvalidRequest("`final` must be true or false.", param="final")
    options = {key: body[key] for key in ("policy", "metadata") if key in body}
    policy, _, metadata = native.parse_options(options, policies=policies, limits=limits)
    return RelayedText(
        call_id=call_id,
        question=_question(body, limits),
        text=text,
        policy=policies.get(policy),
        is_final=is_final,
        state=_state(body.get("state")),
        languages=languages,
        metadata=metadata,
    )


def _text(body: Mapping[str, object]) -> str:
    text = body.get("response")
    if not isinstance(text, str):
        raise InvalidRequest("`response` must be the text of the answer so far.", param="response")
    if "\ud800" <= text[-1:] <= "\udbff":
        # Half of a surrogate pair, from a caller who counts in UTF-16: the other half will come.
        text = text[:-1]
    try:
        text.encode()
    except UnicodeEncodeError:
        message = "`response` has a lone surrogate, which is not valid Unicode."
        raise InvalidRequest(message, param="response") from None
    return text


def _question(body: Mapping[str, object], limits: NativeLimits) -> Question:
    if "messages" in body:
        if "prompt" in body:
            raise InvalidRequest("`prompt` can't be given together with `messages`.", param="prompt")
        conversation = Conversation.from_messages(body["messages"], limits=limits.conversation)
        return Question.of(conversation.messages)
    if "prompt" in body:
        return Question.of(Conversation.of(prompt=body["prompt"]).messages)
    return Question.of(())


def _state(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise InvalidRequest("`state` must be the text that came with the last answer.", param="state")
    if value is not None and len(value) > _MAX_STATE_CHARS:
        raise TooLarge(f"`state` is over its limit of {_MAX_STATE_CHARS} characters.", param="state")
    return value


def render(call_id: str, found: SoFar) -> dict[str, object]:
    """The reply's JSON."""
    return {
        "id": call_id,
        "safety": None if found.severity is None else found.severity.value,
        "categories": [category.value for category in found.categories],
        "category_names": [category.display_name for category in found.categories],
        "action": found.action.value,
        "stop": found.stop,
        "safe_up_to": found.safe_up_to,
        "flagged_at": found.flagged_at,
        "message": found.message,
        "granularity": "token" if found.by_token else "piece",
        "engine": found.engine,
        "model": found.model,
        "degraded": found.degraded,
        "state": found.state,
        "latency_ms": round(found.latency_ms, 3),
    }
