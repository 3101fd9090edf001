"""What becomes of a reply of the chat model's server that is not the answer. No I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping

from ..core.conversation import says_nothing
from ..errors import ChatModelError, ModerationError, PromptBlocked

__all__ = ["ChatModelRefused", "broken_off", "how_ended", "refusal_of", "tellable"]

_KEY_REFUSED = (401, 403)
# Texts elsewhere may be the model's, which nobody has judged: some servers add what it wrote (`failed_generation`).
_TOLD = frozenset({"error", "object", "message", "type", "param", "code", "status", "detail", "loc", "msg"})
# Of these a single word says what kind of error it is; the others are text, which is judged.
_KINDS = frozenset({"object", "type", "param", "code", "status"})
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_SECONDS = re.compile(r"[0-9]{1,9}")
_MOMENT = re.compile(r"[A-Za-z0-9,.: +-]{1,64}")


class ChatModelRefused(Exception):
    """The server refused in words of its own, which the caller shall read: `document`, under this HTTP status."""

    def __init__(self, http_status: int, document: Mapping[str, object], *, retry_after: str | None = None) -> None:
        super().__init__("the chat model's server refused")
        self.http_status = http_status
        self.document = document
        self.retry_after = retry_after


def how_ended(error: BaseException) -> str:
    """The word for a chat that this error has ended, for the log and the metrics."""
    if isinstance(error, PromptBlocked):
        return "blocked_prompt"
    if isinstance(error, ChatModelRefused):
        return "refused"
    return error.type if isinstance(error, ModerationError) else "internal_error"


def refusal_of(status: int, retry_after: str, body: bytes, *, has_key: bool) -> ChatModelError | ChatModelRefused:
    """The error that this reply becomes; `retry_after` is its header of that name, or empty.

    What the caller has done wrong goes through, once it was judged (`tellable`). What the server or our operator has
    done wrong does not: not a failure, not a redirect, and not the refusal of a key that is ours.
    """
    is_callers = 400 <= status < 500 and not (has_key and status in _KEY_REFUSED)
    if is_callers:
        try:
            document = _without_texts(json.loads(body))
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            document = _in_our_words(status, {})
        return ChatModelRefused(status, document, retry_after=retry_after if _MOMENT.fullmatch(retry_after) else None)
    seconds = float(retry_after) if _SECONDS.fullmatch(retry_after) else None
    return ChatModelError(f"The chat model's server answered with status {status}.", retry_after_s=seconds)


def tellable(refused: ChatModelRefused, is_allowed: Callable[[str], bool]) -> ChatModelRefused:
    """The refusal as the caller may read it: in the server's words where these may be shown, otherwise in ours.

    Servers quote in their messages what the model wrote, and a model can be brought to write anything. Status, type,
    code and parameter stay, by which programs know what was wrong.
    """
    texts = "\n".join(_texts(refused.document))
    if refused.http_status < 400 or says_nothing(texts) or is_allowed(texts):
        return refused
    error = refused.document.get("error")
    document = _in_our_words(refused.http_status, error if isinstance(error, Mapping) else refused.document)
    return ChatModelRefused(refused.http_status, document, retry_after=refused.retry_after)


def broken_off(event: Mapping[str, object]) -> ChatModelRefused:
    """What is told of an error in the middle of a reply: its type and code.

    Its message is not: some servers quote there what the model wrote and they could not read.
    """
    error = event.get("error") or event
    found = error if isinstance(error, Mapping) else {}
    code = found.get("code")
    return ChatModelRefused(
        200,
        {
            "error": {
                "message": "The chat model's server broke its answer off with an error.",
                "type": _name(found.get("type")) or "server_error",
                "param": None,
                "code": code if isinstance(code, int) else _name(code) or "chat_model_error",
            }
        },
    )


def _name(value: object) -> str | None:
    return value if isinstance(value, str) and _NAME.fullmatch(value) else None


def _in_our_words(status: int, error: Mapping[str, object]) -> Mapping[str, object]:
    code = error.get("code")
    return {
        "error": {
            "message": f"The chat model's server refused the request with status {status}.",
            "type": _name(error.get("type")) or ("rate_limit_error" if status == 429 else "invalid_request_error"),
            "param": _name(error.get("param")),
            "code": code if isinstance(code, int) else _name(code) or "chat_model_error",
        }
    }


def _texts(value: object, *, is_kind: bool = False) -> Iterator[str]:
    """What of an error document is text."""
    if isinstance(value, str):
        if not (is_kind and _NAME.fullmatch(value)):
            yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not _NAME.fullmatch(key):
                yield key
            yield from _texts(item, is_kind=key in _KINDS)


def _without_texts(value: object) -> object:
    """The document with texts only where errors have theirs."""
    if isinstance(value, list):
        return [_without_texts(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _without_texts(item)
        for key, item in value.items()
        if key in _TOLD or not isinstance(item, (str, list, dict))
    }
