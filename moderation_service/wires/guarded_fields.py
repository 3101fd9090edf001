"""The guarded chat's request beside what its messages say: what of it a chat model could read. No I/O.

The request goes on to the chat model's server, and servers read more than the contract has: templates see every field
of a message, proxies take text from fields of their own. So all text is judged, as one prompt, unless its field is on
one of the lists here; a field by which a server would take another prompt altogether is refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from ..core.conversation import Conversation, Message, Role, says_nothing
from ..core.normal_form import well_formed
from ..errors import InvalidRequest
from .media_parts import media_texts

__all__ = [
    "APPLICATION",
    "MEDIA",
    "REFUSED",
    "UNREAD",
    "as_prompt",
    "other_text",
    "refuse_doubles",
    "refuse_unseen",
    "texts_beside",
]

REFUSED = ("chat_template", "documents", "prompt", "input", "prompt_embeds", "prompt_token_ids")
"""By these, servers such as vLLM take text for the prompt from elsewhere than the messages, or a template for it."""
APPLICATION = frozenset(
    {"tools", "functions", "tool_choice", "function_call", "response_format", "structured_outputs", "guided_json"}
    | {"guided_regex", "guided_choice", "guided_grammar", "grammar", "json_schema", "regex", "ebnf"}
)
"""Written by the application, as system messages are: they say what the answer may look like, which is judged."""
UNREAD = frozenset(
    {"model", "messages", "moderation", "stop", "metadata", "user", "safety_identifier", "prompt_cache_key"}
    | {"logit_bias", "stream_options"}
)
"""Never put before the model; the messages are judged for themselves."""

MEDIA = frozenset({"image_url", "input_image", "image", "input_audio", "audio", "file", "video_url", "audio_url"})
"""Parts of a message that are no text."""
_WRAPPERS = ("extra_body", "fallbacks")
_OTHER_PROMPTS = frozenset({*REFUSED, "messages"})
_TEMPLATE_OPTIONS = "chat_template_kwargs"
_OPTION_WORD = re.compile(r"[A-Za-z0-9_.-]{0,32}")
_NAME = re.compile(r"[A-Za-z0-9_.@-]{0,64}")
# Names and values of common options, which say nothing.
_OPTIONS = frozenset(
    {"effort", "summary", "type", "budget_tokens", "enabled", "exclude", "enable_thinking", "thinking", "format"}
    | {"reasoning_effort", "thinking_budget", "voice", "detail", "ttl", "max_tokens", "ephemeral", "low", "medium"}
    | {"high", "minimal", "none", "max", "xhigh", "auto", "default", "concise", "detailed", "flex", "priority", "text"}
    | {"audio", "disabled", "adaptive", "alloy", "wav", "mp3", "opus", "flac", "pcm16", "in_memory", "24h", "5m", "1h"}
    | {"scale", "standard", "user_location", "approximate", "search_context_size", "include_reasoning", "content"}
)
# Read elsewhere, as is a refusal that is a text.
_READ_IN_MESSAGE = frozenset({"role", "content"})
# Fields for a name and for identifiers; one that is none is text.
_IDENTIFIERS = frozenset({"id", "tool_call_id", "tool_use_id", "call_id", "status", "phase"})
_IDENTIFIER = re.compile(r"[A-Za-z0-9_.@:/+=|-]{0,128}")
_OF_THE_MODEL = frozenset(
    {"tool_calls", "function_call", "annotations", "audio", "reasoning_content", "reasoning", "thinking"}
    | {"reasoning_details", "thinking_blocks", "provider_specific_fields", "parsed", "images"}
)
_TEXT_PARTS = ("text", "refusal")
# Ids of tokens that say something of the answer only.
_TOKEN_LISTS = frozenset({"stop_token_ids", "allowed_token_ids", "logprob_token_ids", "bad_words"})
_ITEMS = ("messages", "input")
# As many as a size or a place has; more of them can spell words.
_FEW_NUMBERS = 4


def refuse_doubles(value: object, read: frozenset[str], *, at: str = "") -> None:
    """Refuse fields that some servers would take for one of `read`, which is the one that is judged."""
    if not isinstance(value, Mapping):
        return
    for key in value:
        if key not in read and (known := key.casefold()) in read:
            raise InvalidRequest(f"`{at}{known}` must be written in lower case.", param=at + known)
    parts = value.get("content")
    for index, part in enumerate(parts if isinstance(parts, list) else ()):
        refuse_doubles(part, read, at=f"{at}content[{index}].")


def refuse_unseen(body: Mapping[str, object], *, refused: Collection[str] = REFUSED) -> None:
    """Refuse what would put another prompt before the model than the messages. Raises InvalidRequest.

    `refused` are the fields by which a server would take it. Ids of tokens put one there under any name.
    """
    _refuse_numbers(body)
    for key, value in body.items():
        name = key.casefold() if isinstance(key, str) else ""
        if name in refused and value is not None:
            raise InvalidRequest(f"`{name}` is not let through: what it says could not be judged.", param=name)
        if name in _WRAPPERS and (found := _other_prompt(value)) is not None:
            reason = f"`{name}` may not have `{found}`: what it says could not be judged."
            raise InvalidRequest(reason, param=name)
        options = value if name == _TEMPLATE_OPTIONS else None
        values = options.values() if isinstance(options, Mapping) else () if options is None else (options,)
        if any(isinstance(one, (list, dict)) or not _OPTION_WORD.fullmatch(str(one)) for one in values):
            reason = f"`{_TEMPLATE_OPTIONS}` may have numbers, true, false and single words; text could not be judged."
            raise InvalidRequest(reason, param=_TEMPLATE_OPTIONS)


def _refuse_numbers(body: Mapping[str, object]) -> None:
    """Refuse lists of whole numbers in places where nobody knows whether they spell a text. Raises InvalidRequest."""
    known = UNREAD | APPLICATION | _TOKEN_LISTS
    fields = [(key, value, _shown(key)) for key, value in body.items() if key not in known]
    for place in _ITEMS:
        items = body.get(place)
        for index, item in enumerate(items if isinstance(items, list) else ()):
            if isinstance(item, Mapping) and item.get("role") not in (None, Role.ASSISTANT.value):
                fields += [(key, value, f"{place}[{index}].{_shown(key)}") for key, value in item.items()]
    for key, value, param in fields:
        if key not in _ITEMS and _whole_numbers(value) > _FEW_NUMBERS:
            raise InvalidRequest(
                f"`{param}` has numbers that may be the ids of tokens, which can't be judged.", param=param
            )


def _shown(key: str) -> str:
    """The name of a field as an error repeats it."""
    return key if _OPTION_WORD.fullmatch(key) else "?"


def _whole_numbers(value: object) -> int:
    """How many whole numbers stand in lists in a value, but for the tokens of an answer that comes back."""
    if isinstance(value, list):
        return sum(map(_is_whole, value)) + sum(map(_whole_numbers, value))
    if isinstance(value, Mapping):
        return sum(_whole_numbers(item) for key, item in value.items() if key != "logprobs")
    return 0


def _is_whole(value: object) -> bool:
    """Also `1.0`, which servers take for 1."""
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())


def _other_prompt(value: object) -> str | None:
    """The name of a field within a value that is another prompt."""
    for item in value if isinstance(value, list) else ():
        if (found := _other_prompt(item)) is not None:
            return found
    for key, item in value.items() if isinstance(value, Mapping) else ():
        name = str(key).casefold()
        if name in _OTHER_PROMPTS and item is not None:
            return name
        if (found := _other_prompt(item)) is not None:
            return found
    return None


def other_text(body: Mapping[str, object]) -> tuple[Conversation, ...]:
    """What the request says outside of what its messages say, as a prompt; empty when it says nothing."""
    messages = body.get("messages")
    found = list(texts_beside(body, UNREAD | APPLICATION))
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, Mapping):
            found += _texts_of_message(message)
    return as_prompt(found)


def texts_beside(value: Mapping[str, object], known: Collection[str]) -> Iterator[str]:
    """The texts in an object, but for those of the fields in `known`; with the names of fields that are no words."""
    for key, item in value.items():
        if not _OPTION_WORD.fullmatch(key):
            yield key
        if key not in known and not _is_identifier(key, item) and not isinstance(item, (int, float)):
            yield from _texts(item)


def _is_identifier(key: str, value: object) -> bool:
    if not isinstance(value, str):
        return False
    if key in _IDENTIFIERS:
        return _IDENTIFIER.fullmatch(value) is not None
    return key == "name" and _NAME.fullmatch(value) is not None


def as_prompt(found: Sequence[str]) -> tuple[Conversation, ...]:
    """These texts as one prompt; empty when they say nothing."""
    text = "\n".join(found)
    return () if says_nothing(text) else (Conversation((Message(Role.USER, well_formed(text)),)),)


def _texts_of_message(message: Mapping[str, object]) -> Iterator[str]:
    of_model = _OF_THE_MODEL if message.get("role") == Role.ASSISTANT.value else frozenset()
    read = {"refusal"} if isinstance(message.get("refusal"), str) else frozenset[str]()
    yield from texts_beside(message, _READ_IN_MESSAGE | read | of_model)
    parts = message.get("content")
    for part in parts if isinstance(parts, list) else ():
        kind = part.get("type") if isinstance(part, Mapping) else None
        if not isinstance(part, Mapping) or not isinstance(kind, str):
            continue
        if kind in _TEXT_PARTS:
            yield from texts_beside(part, {"type", kind} | (of_model & {"annotations"}))
        elif kind in MEDIA:
            yield from media_texts(part)


def _texts(value: object) -> Iterator[str]:
    """Every string in a value, with the names of its fields, but for those of common options."""
    if isinstance(value, str):
        if value not in _OPTIONS:
            yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if key not in _OPTIONS:
                yield key
            yield from _texts(item)
