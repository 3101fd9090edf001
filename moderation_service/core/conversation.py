"""Conversations: what a caller sends, checked, and what of it is judged. No I/O.

Only user and assistant turns are judged, and of these the last one; the turns before it are context. System,
developer and tool turns are accepted, because callers send whole histories, and left out: Qwen3Guard's chat
template would print a system turn as the *user's* words, and a trailing tool turn would switch it to judging a
response. A conversation always begins with a user turn, an empty one if need be: the template drops a leading
assistant turn and would judge nothing.
"""

from __future__ import annotations

import enum
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import InvalidRequest, TooLarge
from .verdict import Target

__all__ = ["Conversation", "Limits", "Message", "Role", "check_text", "is_blank", "parse_messages", "says_nothing"]


class Role(enum.Enum):
    """Who speaks. Only USER and ASSISTANT turns are judged."""

    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"
    DEVELOPER = "developer"
    TOOL = "tool"


_ROLES = {role.value: role for role in Role}
_JUDGED = (Role.USER, Role.ASSISTANT)
_MESSAGE_FIELDS = frozenset({"role", "content", "name", "tool_calls", "tool_call_id"})
_BLANK_CATEGORIES = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})
# Invisible copies of ASCII's characters (Unicode's tags): people see nothing, but language models read them.
_TAG = re.compile("[\U000e0020-\U000e007e]")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one conversation. The body size bounds the text itself."""

    messages: int = 256


@dataclass(frozen=True, slots=True)
class Message:
    """One user or assistant turn."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """User and assistant turns, the first of them a user's; the last one is judged.

    Build it with `of` or `from_messages`; both raise InvalidRequest with the name of the field at fault.
    """

    messages: tuple[Message, ...]

    @property
    def target(self) -> Target:
        """Whether the last turn, the judged one, is a prompt or a response."""
        return Target.PROMPT if self.messages[-1].role is Role.USER else Target.RESPONSE

    @property
    def prompt(self) -> str:
        """The last user turn: what is judged, or what the judged response answers (then perhaps empty)."""
        for message in reversed(self.messages):
            if message.role is Role.USER:
                return message.content
        return ""

    @property
    def response(self) -> str | None:
        """The judged response; None when a prompt is judged."""
        last = self.messages[-1]
        return last.content if last.role is Role.ASSISTANT else None

    @classmethod
    def of(cls, *, prompt: object = None, response: object = None, at: str = "") -> Conversation:
        """A prompt, a prompt with its response, or a response alone.

        `at` is put before field names in errors, such as `inputs[3].`.
        """
        turns = [Message(Role.USER, "" if prompt is None else check_text(prompt, param=f"{at}prompt"))]
        if response is not None:
            turns.append(Message(Role.ASSISTANT, check_text(response, param=f"{at}response")))
        elif prompt is None:
            raise InvalidRequest("Give `prompt`, `prompt` and `response`, or `messages`.", param=f"{at}prompt")
        return cls(tuple(turns))

    @classmethod
    def from_messages(cls, messages: object, *, limits: Limits, param: str = "messages") -> Conversation:
        """A chat history in OpenAI's shape: `[{"role", "content"}, ...]`; its last user or assistant turn is judged."""
        judged = parse_messages(messages, limits=limits, param=param)
        if not judged:
            raise InvalidRequest(f"`{param}` must contain a user or an assistant message.", param=param)
        last, final = judged[-1]
        _refuse_blank(final.content, param=f"{param}[{last}].content")
        turns = [message for _, message in judged]
        if turns[0].role is Role.ASSISTANT:
            turns.insert(0, Message(Role.USER, ""))
        return cls(tuple(turns))


def parse_messages(messages: object, *, limits: Limits, param: str = "messages") -> list[tuple[int, Message]]:
    """The user and assistant turns of a chat history in OpenAI's shape, each with its index; they may be empty.

    Raises InvalidRequest or TooLarge that names the field.
    """
    if not isinstance(messages, list):
        raise InvalidRequest(f"`{param}` must be a list of messages, not {_kind(messages)}.", param=param)
    if len(messages) > limits.messages:
        raise TooLarge(f"`{param}` has {len(messages)} messages; the limit is {limits.messages}.", param=param)
    return [
        (index, message)
        for index, raw in enumerate(messages)
        if (message := _parse_message(raw, param=f"{param}[{index}]")) is not None
    ]


def check_text(value: object, *, param: str) -> str:
    """`value` as text to judge: a string, or a list of text parts joined by newlines, with something visible in it.

    Raises InvalidRequest naming `param`.
    """
    text = _parse_content(value, param=param)
    _refuse_blank(text, param=param)
    return text


def is_blank(text: str) -> bool:
    """Whether a text shows nothing: zero-width and control characters alone are no text to judge."""
    return all(unicodedata.category(char) in _BLANK_CATEGORIES for char in text)


def says_nothing(text: str) -> bool:
    """Whether a text is blank to a language model too: what goes to a model, or comes from one, is judged otherwise."""
    return is_blank(text) and not _TAG.search(text)


def _parse_message(raw: object, *, param: str) -> Message | None:
    """The turn, or None for a turn that is not judged (system, developer, tool)."""
    if not isinstance(raw, Mapping):
        raise InvalidRequest(f"`{param}` must be an object with `role` and `content`, not {_kind(raw)}.", param=param)
    for key in raw:
        if key not in _MESSAGE_FIELDS:
            raise InvalidRequest(f"`{param}` has an unknown field.", param=f"{param}.{_printable(key)}")
    role = _parse_role(raw, param=param)
    if "content" not in raw:
        raise InvalidRequest(f"`{param}.content` is missing.", param=f"{param}.content")
    content = raw["content"]
    # A turn that only calls tools has null content in OpenAI's shape; its arguments are not text for people.
    if content is None and role is Role.ASSISTANT and raw.get("tool_calls"):
        return Message(role, "")
    text = _parse_content(content, param=f"{param}.content")
    return Message(role, text) if role in _JUDGED else None


def _parse_role(raw: Mapping[str, object], *, param: str) -> Role:
    value = raw.get("role")
    role = _ROLES.get(value) if isinstance(value, str) else None
    if role is None:
        known = ", ".join(_ROLES)
        raise InvalidRequest(f"`{param}.role` must be one of {known}.", param=f"{param}.role")
    return role


def _parse_content(value: object, *, param: str) -> str:
    if isinstance(value, str):
        _check_unicode(value, param=param)
        return value
    if isinstance(value, list):
        return "\n".join(_parse_part(part, param=f"{param}[{index}]") for index, part in enumerate(value))
    raise InvalidRequest(f"`{param}` must be a string or a list of text parts, not {_kind(value)}.", param=param)


def _parse_part(part: object, *, param: str) -> str:
    if not isinstance(part, Mapping):
        raise InvalidRequest(f"`{param}` must be an object such as {{'type': 'text', 'text': '...'}}.", param=param)
    kind = part.get("type")
    if kind != "text":
        if isinstance(kind, str) and kind in {"image_url", "input_image", "image", "input_audio", "file"}:
            reason = f"`{param}` is of type {kind}: this service judges text only, images and other media are refused."
        else:
            reason = f"`{param}.type` must be 'text'."
        raise InvalidRequest(reason, param=f"{param}.type")
    for key in part:
        if key not in {"type", "text"}:
            raise InvalidRequest(f"`{param}` has an unknown field.", param=f"{param}.{_printable(key)}")
    text = part.get("text")
    if not isinstance(text, str):
        raise InvalidRequest(f"`{param}.text` must be a string, not {_kind(text)}.", param=f"{param}.text")
    _check_unicode(text, param=f"{param}.text")
    return text


def _check_unicode(text: str, *, param: str) -> None:
    # JSON can spell half of a surrogate pair (\ud800). It is no character, and it would fail later, in UTF-8.
    if text.isascii():
        return
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidRequest(f"`{param}` has a lone surrogate, which is not valid Unicode.", param=param) from None


def _refuse_blank(text: str, *, param: str) -> None:
    if is_blank(text):
        raise InvalidRequest(f"`{param}` is empty or blank.", param=param)


def _printable(key: object) -> str:
    """A field name of the caller's, made safe to repeat in an error."""
    name = key if isinstance(key, str) else str(key)
    return "".join(char for char in name[:40] if char.isascii() and (char.isalnum() or char in "_-")) or "?"


def _kind(value: object) -> str:
    """The JSON name of a value's type, for error messages."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "a list" if isinstance(value, Sequence) else "an object"
