"""Dify's "API-based extension" for Content Moderation: pure parse and render of its three calls.

    {"point": "ping", "params": {}}                                                    when the extension is saved
    {"point": "app.moderation.input", "params": {"app_id", "inputs": {...}, "query"}}  once per message
    {"point": "app.moderation.output", "params": {"app_id", "text"}}                     every 300 characters, and last

Every output call carries the *whole* answer so far, so judging it as it comes would cost quadratic work. The text is
cut at fixed offsets instead (`segments`): everything but the last segment is the same in every call, its verdict is in
the moderator's cache, and each call really judges one bounded piece. Nothing is remembered between calls but that.

Dify lets an output pass when the call fails in any way, so a check that could not be made is answered with status 200
and `flagged: true` (`render_failure`). Source: langgenius/dify `api/core/moderation/api/api.py`, `output_moderation.py`
and `api/core/extension/api_based_extension_requestor.py` (1.14.2 and 1.16.1).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..core.conversation import Conversation
from ..core.languages import written_in
from ..core.moderator import Check, Outcome
from ..core.policy import Policies
from ..core.verdict import Decision, Detail
from ..errors import InvalidRequest
from .unchecked import UNCHECKED_MESSAGES, unchecked_message

__all__ = [
    "CONTEXT_CHARS",
    "SEGMENT_CHARS",
    "UNCHECKED_MESSAGES",
    "DifyRequest",
    "is_moderation_call",
    "languages_of",
    "parse",
    "render",
    "render_failure",
    "segments",
]

SEGMENT_CHARS = 1200
"""New text per segment, four of Dify's steps of 300 characters. Larger: every call costs more, and a harmful passage is
diluted by what surrounds it. Smaller: a judged piece has less of its context."""
CONTEXT_CHARS = 400
"""Text before a segment that is judged with it, so that nothing hides in a sentence cut in two."""

_PING = "ping"
_INPUT = "app.moderation.input"
_OUTPUT = "app.moderation.output"
_MAX_APP_ID_CHARS = 64


@dataclass(frozen=True, slots=True)
class DifyRequest:
    """One call of Dify's. `checks` is empty for a ping, and when there is no visible text to judge."""

    point: str
    checks: Sequence[Check] = ()

    @property
    def is_ping(self) -> bool:
        """Whether Dify only asks if somebody is there."""
        return self.point == _PING


def _check_languages(languages: Sequence[str], *, known: set[str]) -> None:
    """Raises InvalidRequest for a language in which there is no message."""
    for tag in languages:
        if not any(tag.lower() == one.lower() or tag.lower().startswith(one.lower() + "-") for one in known):
            # The first 100 characters of an answer are what Dify shows; the list comes first.
            raise InvalidRequest(f"`language` may be {', '.join(sorted(known))}.", param="language")


def is_moderation_call(body: object) -> bool:
    """Whether an answer other than 200 to this body could let a text pass: anything but a ping or a foreign point."""
    if not isinstance(body, Mapping):
        return False
    point = body.get("point")
    return isinstance(point, str) and point.startswith("app.moderation.")


def parse(body: object, *, policies: Policies, policy: str | None = None, languages: Sequence[str] = ()) -> DifyRequest:
    """Read a call. `policy` and `languages` come from the URL that was entered in Dify.

    Raises InvalidRequest that names the field; for a ping too: a wrong policy shows when the extension is saved. So
    does an unknown language, but there only: texts of an extension that was saved earlier are judged all the same.
    """
    chosen = policies.get(policy)
    if not isinstance(body, Mapping):
        raise InvalidRequest("The body must be a JSON object.")
    point = body.get("point")
    if point == _PING:
        _check_languages(languages, known={*chosen.messages, *UNCHECKED_MESSAGES})
        return DifyRequest(_PING)
    if point not in (_INPUT, _OUTPUT):
        raise InvalidRequest(f"`point` must be one of {_PING}, {_INPUT} and {_OUTPUT}.", param="point")
    params = body.get("params")
    if not isinstance(params, Mapping):
        raise InvalidRequest("`params` must be an object.", param="params")
    metadata = _metadata(params)
    if point == _INPUT:
        conversations = [] if _is_blank(text := _input_text(params)) else [Conversation.of(prompt=text)]
        detail = Detail.FULL
    else:
        text = _text(params.get("text"), param="params.text")
        conversations = [Conversation.of(response=piece) for piece in segments(text) if not _is_blank(piece)]
        # An output is judged many times, and only `flagged` is answered: the fastest detail is enough.
        detail = Detail.SEVERITY
    return DifyRequest(point, [Check(one, chosen, detail, languages, metadata) for one in conversations])


def segments(text: str) -> list[str]:
    """`text` in pieces of SEGMENT_CHARS, each with CONTEXT_CHARS of what came before it.

    All but the last piece of a text are pieces of every longer text that begins with it.
    """
    starts = range(0, max(1, len(text)), SEGMENT_CHARS)
    return [text[max(0, start - CONTEXT_CHARS) : start + SEGMENT_CHARS] for start in starts]


def render(request: DifyRequest, outcomes: Sequence[Outcome], *, languages: Sequence[str] = ()) -> dict[str, object]:
    """The reply. One error among the outcomes is enough to withhold the text, and so is one block."""
    if request.is_ping:
        return {"result": "pong"}
    blocked = [one for one in outcomes if isinstance(one, Decision) and not one.allowed]
    if blocked:
        return _flagged(next((one.message for one in blocked if one.message), None) or unchecked_message(languages))
    if len(outcomes) != len(request.checks) or not all(isinstance(one, Decision) for one in outcomes):
        return render_failure(languages=languages)
    # Dify reads `action` in every answer, also in one that says that nothing is wrong.
    return {"flagged": False, "action": "direct_output"}


def render_failure(*, languages: Sequence[str] = ()) -> dict[str, object]:
    """The reply when the text could not be checked: withheld."""
    return _flagged(unchecked_message(languages))


def languages_of(body: object) -> Sequence[str]:
    """The language of the text in a call, for when the URL names none."""
    params = body.get("params") if isinstance(body, Mapping) else None
    texts = [params.get(key) for key in ("text", "query")] if isinstance(params, Mapping) else []
    return written_in(*(text for text in texts if isinstance(text, str)))


def _flagged(message: str) -> dict[str, object]:
    return {"flagged": True, "action": "direct_output", "preset_response": message}


def _input_text(params: Mapping[str, object]) -> str:
    """Everything the user can fill in, as one text: what is harmless in parts need not be so together."""
    inputs = params.get("inputs")
    if inputs is None:
        inputs = {}
    if not isinstance(inputs, Mapping):
        raise InvalidRequest("`params.inputs` must be an object.", param="params.inputs")
    values = [value if isinstance(value, str) else _as_json(value) for value in inputs.values()]
    query = params.get("query")
    values.append(_text("" if query is None else query, param="params.query"))
    return "\n".join(value for value in values if value)


def _as_json(value: object) -> str:
    """A variable that is no string; null and empty values have nothing to judge."""
    return json.dumps(value, ensure_ascii=False) if value else ""


def _text(value: object, *, param: str) -> str:
    if not isinstance(value, str):
        raise InvalidRequest(f"`{param}` must be a string.", param=param)
    return value


def _metadata(params: Mapping[str, object]) -> Mapping[str, object]:
    """The app's id for the audit record; it is Dify's, a UUID."""
    app_id = params.get("app_id")
    if isinstance(app_id, str) and app_id.isascii() and app_id.isprintable() and len(app_id) <= _MAX_APP_ID_CHARS:
        return {"dify_app_id": app_id}
    return {}


def _is_blank(text: str) -> bool:
    """Whether nothing of the text can be seen, so that there is nothing to judge.

    Only plain white space counts: any other invisible text goes to the conversation's own check, which refuses it.
    """
    return not text.strip()
