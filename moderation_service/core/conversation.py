"""Conversations: what a caller sends, checked, and what of it is judged. No I/O.

Only user and assistant turns are judged, and of these the last one; the turns before it are context. System,
developer, tool and function turns are accepted, because callers send whole histories, and left out: Qwen3Guard's chat
template would print a system turn as the *user's* words, and a trailing tool turn would switch it to judging a
response. A conversation always begins with a user turn, an empty one if need be: the template drops a leading
assistant turn and would judge nothing.

What is one turn is the same for every wire (`joined`): everything that the user has written since the last answer that
said something. The guard looks at the last turn only, so a harmful message must not stand before a harmless one, nor be
parted from it by an answer that shows nothing, such as a call of tools.
"""

from __future__ import annotations

import enum
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import InvalidRequest, TooLarge
from .tool_calls import calls_in
from .verdict import Target

__all__ = [
    "THOUGHTS",
    "Conversation",
    "Limits",
    "Message",
    "Role",
    "check_text",
    "is_blank",
    "joined",
    "parse_messages",
    "read_text",
    "says_nothing",
]


class Role(enum.Enum):
    """Who speaks. Only USER and ASSISTANT turns are judged."""

    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"
    DEVELOPER = "developer"
    TOOL = "tool"


# `function` is OpenAI's older name for `tool`.
_ROLES = {**{role.value: role for role in Role}, "function": Role.TOOL}
_JUDGED = (Role.USER, Role.ASSISTANT)
_TOOL_CALLS = ("tool_calls", "function_call")
THOUGHTS = ("reasoning_content", "reasoning", "thinking")
"""The fields with what a model thought before it answered, by the names that servers and SDKs give to it."""

# With one of these an answer may have no content.
_INSTEAD_OF_CONTENT = (*_TOOL_CALLS, *THOUGHTS, "audio", "refusal")
# Messages as clients keep them: what OpenAI's SDKs dump, and what LiteLLM, vLLM and chat stores write beside it. None
# of it is text that is to be judged and could be missed: `refusal`, `audio` and thoughts are read, the rest are ids,
# marks, or copies. Any other field is refused, because it may be one of these, misspelt.
_MESSAGE_FIELDS = frozenset(
    {"role", "content", "name", "refusal", "audio", "tool_call_id", *_TOOL_CALLS, *THOUGHTS}
    | {"annotations", "cache_control", "created_at", "extra_content", "id", "index", "metadata", "object", "parsed"}
    | {"partial", "prefix", "provider_specific_fields", "reasoning_details", "status", "thinking_blocks", "timestamp"}
    | {"tool_name", "type"}
)
# The field of a part that has its text, by the part's type: chat completions', and those of OpenAI's Responses.
_PART_TEXTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
_PART_FIELDS = frozenset({"type", "annotations", "cache_control", "id", "index", "logprobs"})
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

    `tool` is the name of the tool that the judged turn is from (a prompt) or for (a response): a policy may have rules
    of its own for it. It changes nothing of the verdict.
    """

    messages: tuple[Message, ...]
    tool: str | None = None
    target: Target = field(init=False, repr=False, compare=False)
    """Whether the last turn, the judged one, is a prompt or a response."""

    def __post_init__(self) -> None:
        # Asked for several times on the way of each text.
        target = Target.PROMPT if self.messages[-1].role is Role.USER else Target.RESPONSE
        object.__setattr__(self, "target", target)

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
        turns = joined(message for _, message in judged)
        # An answer that shows nothing was to be judged, but can't be: the question before it is not what was asked for.
        if not turns or turns[-1].role is not final.role or is_blank(turns[-1].content):
            raise InvalidRequest(f"`{param}[{last}].content` is empty or blank.", param=f"{param}[{last}].content")
        return cls(tuple(turns))


def joined(messages: Iterable[Message]) -> list[Message]:
    """The turns that these messages make, the first of them the user's; empty if none of them says anything.

    Messages of one speaker that follow each other are one turn, each on a line of its own. An answer that shows nothing
    parts nothing: it says no more than the tool's result behind it, which is no turn either.
    """
    turns: list[Message] = []
    for message in messages:
        if message.role is Role.ASSISTANT and says_nothing(message.content):
            continue
        if turns and turns[-1].role is message.role:
            message = Message(message.role, f"{turns.pop().content}\n{message.content}")
        turns.append(message)
    if turns and turns[0].role is Role.ASSISTANT:
        turns.insert(0, Message(Role.USER, ""))
    return turns


def parse_messages(messages: object, *, limits: Limits, param: str = "messages") -> list[tuple[int, Message]]:
    """The user and assistant turns of a chat history in OpenAI's shape, each with its index; they may be empty.

    What a model thought is part of its answer if that is the last message, and so perhaps what is judged. In earlier
    ones it is left out: it was no turn of the chat, and thoughts with a call of tools don't part the user's words.

    Raises InvalidRequest or TooLarge that names the field.
    """
    if not isinstance(messages, list):
        raise InvalidRequest(f"`{param}` must be a list of messages, not {_kind(messages)}.", param=param)
    if len(messages) > limits.messages:
        raise TooLarge(f"`{param}` has {len(messages)} messages; the limit is {limits.messages}.", param=param)
    last = len(messages) - 1
    return [
        (index, message)
        for index, raw in enumerate(messages)
        if (message := _parse_message(raw, param=f"{param}[{index}]", is_last=index == last)) is not None
    ]


def check_text(value: object, *, param: str) -> str:
    """`value` as text to judge: a string, or a list of text parts joined by newlines, with something visible in it.

    Raises InvalidRequest naming `param`.
    """
    text = read_text(value, param=param)
    _refuse_blank(text, param=param)
    return text


def read_text(value: object, *, param: str) -> str:
    """The same, but it may be blank."""
    return _parse_content(value, param=param)


def is_blank(text: str) -> bool:
    """Whether a text shows nothing: zero-width and control characters alone are no text to judge."""
    return all(unicodedata.category(char) in _BLANK_CATEGORIES for char in text)


def says_nothing(text: str) -> bool:
    """Whether a text is blank to a language model too: what goes to a model, or comes from one, is judged otherwise."""
    return is_blank(text) and not _TAG.search(text)


def _parse_message(raw: object, *, param: str, is_last: bool) -> Message | None:
    """The turn, or None for a message that is none (system, developer, tool, or an answer that only calls tools)."""
    if not isinstance(raw, Mapping):
        raise InvalidRequest(f"`{param}` must be an object with `role` and `content`, not {_kind(raw)}.", param=param)
    if not raw.keys() <= _MESSAGE_FIELDS:
        key = next(key for key in raw if key not in _MESSAGE_FIELDS)
        raise InvalidRequest(f"`{param}` has an unknown field.", param=f"{param}.{_printable(key)}")
    role = _parse_role(raw, param=param)
    content = raw.get("content")
    # Most messages are a role and a text.
    is_plain = len(raw) == 2 and content is not None
    beside = [] if is_plain else _said_beside(raw, role, is_last=is_last)
    for text in beside:
        _check_unicode(text, param=param)
    if content is None and role is Role.ASSISTANT and any(raw.get(key) for key in _INSTEAD_OF_CONTENT):
        text = ""
    elif "content" not in raw:
        raise InvalidRequest(f"`{param}.content` is missing.", param=f"{param}.content")
    else:
        text = _parse_content(content, param=f"{param}.content")
    if role not in _JUDGED:
        return None
    if beside:
        text = "\n".join([*beside, text] if text else beside)
    if role is Role.ASSISTANT and says_nothing(text) and any(raw.get(key) for key in _TOOL_CALLS):
        return None
    return Message(role, text)


def _said_beside(raw: Mapping[str, object], role: Role, *, is_last: bool) -> list[str]:
    """What a message says elsewhere than in its content, in the order in which people would see it."""
    audio = raw.get("audio")
    said: list[object] = []
    if is_last and role is Role.ASSISTANT:
        said = [raw.get(key) for key in THOUGHTS] + [call.text for call in calls_in({**raw, "content": None})]
    said += [audio.get("transcript") if isinstance(audio, Mapping) else None, raw.get("refusal")]
    return list(dict.fromkeys(text for text in said if isinstance(text, str) and text))


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
    field = _PART_TEXTS.get(kind) if isinstance(kind, str) else None
    if field is None:
        if isinstance(kind, str) and kind in {"image_url", "input_image", "image", "input_audio", "file"}:
            reason = f"`{param}` is of type {kind}: this service judges text only, images and other media are refused."
        else:
            reason = f"`{param}.type` must be 'text'."
        raise InvalidRequest(reason, param=f"{param}.type")
    for key in part:
        if key != field and key not in _PART_FIELDS:
            raise InvalidRequest(f"`{param}` has an unknown field.", param=f"{param}.{_printable(key)}")
    text = part.get(field)
    if not isinstance(text, str):
        raise InvalidRequest(f"`{param}.{field}` must be a string, not {_kind(text)}.", param=f"{param}.{field}")
    _check_unicode(text, param=f"{param}.{field}")
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
