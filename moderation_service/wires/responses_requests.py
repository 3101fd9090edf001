"""OpenAI's `POST /v1/responses` with a guarded model behind it: what to judge of a request. No I/O.

A request is a list of items; earlier ones may be referred to instead of sent (`item_reference`,
`previous_response_id`) and are put in here, so that every turn is judged in context and the model's server need not
remember anything. What would run or be kept at the model's server, where nobody judges it, is refused by name, and so
is every kind of item that is not known here. Source: openai/openai-openapi, `CreateResponse` and `InputItem`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..core.conversation import Limits, Message, parse_messages
from ..core.policy import Policies
from ..core.question import Question
from ..errors import InvalidRequest
from .guarded_chat import GuardedChat, GuardedOptions, chosen_policy, wants_moderation
from .guarded_fields import (
    APPLICATION,
    MEDIA,
    REFUSED,
    UNREAD,
    as_prompt,
    refuse_doubles,
    refuse_unseen,
    texts_beside,
)
from .media_parts import media_texts
from .openai_chat import read_flag
from .openai_models import Headers
from .sealed import Sealer
from .tools import tool_results

__all__ = ["Remembered", "ResponsesRequest", "parse", "turns_of"]

_REFUSED = (frozenset(REFUSED) - {"input"}) | {"conversation", "messages", "previous_input_messages"}
_UNREAD = UNREAD | {"input", "include", "previous_response_id", "prompt_cache_retention", "client_metadata"}
_APPLICATION = APPLICATION | {"instructions", "text"}
_READ = frozenset(
    {
        "input",
        "instructions",
        "model",
        "moderation",
        "previous_response_id",
        "role",
        "content",
        "type",
        "text",
        "stream",
    }
    | {"stream_options", "tools", "background", "conversation", "prompt", "output", "summary", "refusal", "id", "store"}
)
_ROLES = ("user", "assistant", "system", "developer")
_TEXT_PARTS = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}
_OF_AN_ANSWER = frozenset({"annotations", "logprobs"})
_THOUGHTS = ("summary", "content")
_CALLS = ("function_call", "custom_tool_call")
_OUTPUTS = ("function_call_output", "custom_tool_call_output")
_OF_MODEL = frozenset({"arguments", "input", "name", "namespace", "summary", "encrypted_content", "x_moderation"})
_ITEM_FIELDS = frozenset({"type", "role", "content", "output", "x_moderation"})
_TOOLS = ("function", "custom")
_MEDIA = MEDIA | {"input_file"}
_REFERENCE = "item_reference"


class Remembered(Protocol):
    """What was let out to this caller before."""

    def item(self, item_id: str) -> Mapping[str, object] | None:
        """An item by its id."""

    def turns(self, response_id: str) -> list[object] | None:
        """All items of a conversation up to and with this response."""


@dataclass(frozen=True, slots=True)
class ResponsesRequest:
    """One request: what is judged of it and goes on, `items` as the model's server gets them.

    `asked` are those of them that this request has added to the turn `previous`; `keeps` tells whether the caller may
    refer to this turn later.
    """

    chat: GuardedChat
    items: Sequence[object]
    asked: Sequence[object]
    previous: str | None
    keeps: bool


def parse(
    body: object,
    *,
    policies: Policies,
    limits: Limits,
    headers: Headers,
    options: GuardedOptions,
    remembered: Remembered,
    sealer: Sealer,
) -> ResponsesRequest:
    """Read a request body. Raises InvalidRequest or TooLarge that names the field."""
    if not isinstance(body, Mapping):
        raise InvalidRequest("The body must be a JSON object.")
    refuse_doubles(body, _READ)
    _refuse_elsewhere(body)
    if not isinstance(body.get("model", ""), str):
        raise InvalidRequest("`model` must be a string.", param="model")
    tools = frozenset(_tool_names(body.get("tools")))
    own = _items(body, remembered)
    earlier, previous = _earlier(body, remembered)
    turns = [_turn(item, at=f"input[{index}]", options=options) for index, item in enumerate(own)]
    before = [_turn(item, at="previous_response_id", options=options) for item in earlier]
    _speak_up(turns, own)
    policy = chosen_policy(policies, headers.policy, options.policy_choice)
    question = _question(before, turns, limits)
    results = tool_results(
        turns, limits, policy=policy, judges_all=options.judge_tool_results, history=[*earlier, *own]
    )
    beside = [*texts_beside(body, _UNREAD | _APPLICATION), *(text for item in own for text in _beside(item))]
    items = [sent for item in [*earlier, *own] if (sent := _sent(item, sealer)) is not None]
    forward = {key: value for key, value in body.items() if key not in ("moderation", "previous_response_id")}
    is_plain = isinstance(body.get("input"), str) and not earlier
    chat = GuardedChat(
        forward={**forward, "input": body["input"] if is_plain else items},
        question=question,
        tool_results=results,
        other_text=as_prompt(beside),
        policy=policy,
        languages=headers.languages,
        stream=read_flag(body, "stream"),
        include_usage=True,
        choices=1,
        wants_moderation=wants_moderation(body.get("moderation")),
        tools=tools,
        is_structured=_is_structured(body.get("text")),
    )
    return ResponsesRequest(chat, items, own, previous, body.get("store") is not False)


def _refuse_elsewhere(body: Mapping[str, object]) -> None:
    """Refuse what puts text before the model that is not in the request, or has work done where nobody judges it."""
    if body.get("background"):
        raise InvalidRequest("`background` is not served: nobody would judge what comes of it.", param="background")
    if body.get("conversation") is not None:
        reason = "`conversation` is kept at the model's server, where it can't be judged; send the items, or use "
        raise InvalidRequest(f"{reason}`previous_response_id`.", param="conversation")
    refuse_unseen(body, refused=_REFUSED)
    streamed = body.get("stream_options")
    if streamed is not None and not isinstance(streamed, Mapping):
        raise InvalidRequest("`stream_options` must be an object.", param="stream_options")


def _tool_names(tools: object, *, at: str = "tools") -> Iterator[str]:
    if tools is not None and not isinstance(tools, list):
        raise InvalidRequest(f"`{at}` must be a list.", param=at)
    for index, tool in enumerate(tools or ()):
        kind = tool.get("type") if isinstance(tool, Mapping) else None
        if kind == "namespace":
            yield from _tool_names(tool.get("tools"), at=f"{at}[{index}].tools")
        elif kind not in _TOOLS:
            where = f"{at}[{index}].type"
            reason = (
                f"`{where}`: only tools of the types function, custom and namespace are let through; others run at "
            )
            raise InvalidRequest(f"{reason}the model's server, where what they bring is not judged.", param=where)
        elif isinstance(tool.get("name"), str):
            yield tool["name"]


def _items(body: Mapping[str, object], remembered: Remembered) -> list[object]:
    """The items of this request, with those that it refers to in their places."""
    given = body.get("input")
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": given}]
    if given is None and body.get("previous_response_id") is None:
        raise InvalidRequest("`input` is missing.", param="input")
    if given is not None and not isinstance(given, list):
        raise InvalidRequest("`input` must be a string or a list of items.", param="input")
    return [_resolved(item, remembered, at=f"input[{index}]") for index, item in enumerate(given or ())]


def _resolved(item: object, remembered: Remembered, *, at: str) -> object:
    if not isinstance(item, Mapping) or item.get("type", None if item.keys() != {"id"} else _REFERENCE) != _REFERENCE:
        return item
    name = item.get("id")
    found = remembered.item(name) if isinstance(name, str) else None
    if found is None:
        reason = f"`{at}` refers to an item that is not remembered (any more): send the item itself"
        raise InvalidRequest(f"{reason}; clients do with `store: false`.", param=f"{at}.id")
    return found


def _earlier(body: Mapping[str, object], remembered: Remembered) -> tuple[list[object], str | None]:
    name = body.get("previous_response_id")
    if name is None:
        return [], None
    found = remembered.turns(name) if isinstance(name, str) else None
    if found is None or not isinstance(name, str):
        reason = "The turn that `previous_response_id` names is not remembered (any more): send the items themselves."
        raise InvalidRequest(reason, param="previous_response_id")
    return found, name


# What of an item is judged.


def _turn(item: object, *, at: str, options: GuardedOptions) -> dict[str, object]:
    """An item as a message of a chat. Raises InvalidRequest for a kind that is not known."""
    if not isinstance(item, Mapping):
        raise InvalidRequest(f"`{at}` must be an object.", param=at)
    refuse_doubles(item, _READ, at=f"{at}.")
    kind = item.get("type", "message" if "role" in item else None)
    if kind == "message":
        if item.get("role") not in _ROLES:
            raise InvalidRequest(f"`{at}.role` must be one of {', '.join(_ROLES)}.", param=f"{at}.role")
        return {"role": item["role"], "content": _content(item.get("content"), at=f"{at}.content", options=options)}
    if kind in _OUTPUTS:
        content = _content(item.get("output"), at=f"{at}.output", options=options)
        return {"role": "tool", "tool_call_id": item.get("call_id"), "content": content}
    if kind == "reasoning" or kind in _CALLS:
        return {"role": "assistant", "content": ""}
    raise InvalidRequest(f"`{at}.type`: this kind of item is not known here and not let through.", param=f"{at}.type")


def _content(content: object, *, at: str, options: GuardedOptions) -> object:
    """Text, or its parts as those of a chat message; what is no text is left out where it is let through."""
    if not isinstance(content, list):
        return content
    found: list[object] = []
    for index, part in enumerate(content):
        kind = part.get("type") if isinstance(part, Mapping) else None
        if isinstance(part, Mapping) and isinstance(kind, str) and kind in _TEXT_PARTS:
            field = _TEXT_PARTS[kind]
            found.append({"type": "text", "text": part.get(field)})
        elif isinstance(kind, str) and kind in _MEDIA:
            if not options.allow_media:
                reason = f"`{at}[{index}]` is no text and can't be judged; `chat_allow_media` lets it through."
                raise InvalidRequest(reason, param=f"{at}[{index}].type")
        else:
            found.append(part)
    return found


def _speak_up(turns: list[dict[str, object]], items: Sequence[object]) -> None:
    """Thoughts at the end are the beginning of an answer that the caller puts into the model's mouth."""
    for index in range(len(items) - 1, -1, -1):
        if turns[index]["role"] != "assistant":
            return
        item = items[index]
        if isinstance(item, Mapping) and item.get("type") == "reasoning":
            turns[index]["content"] = "\n".join(_thoughts(item))


def _thoughts(item: Mapping[str, object]) -> Iterator[str]:
    for place in _THOUGHTS:
        parts = item.get(place)
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, Mapping) and isinstance(part.get("text"), str):
                yield part["text"]


def _question(before: list[dict[str, object]], turns: list[dict[str, object]], limits: Limits) -> Question:
    # Apart, so that an error names the place in this request.
    earlier = [message for _, message in parse_messages(before, limits=limits, param="previous_response_id")]
    asked = [message for _, message in parse_messages(turns, limits=limits, param="input")]
    return Question.of([*earlier, *asked])


def turns_of(items: Sequence[object], *, limits: Limits, options: GuardedOptions) -> list[Message]:
    """The user's and the assistant's messages among these items."""
    turns = [_turn(item, at=f"input[{index}]", options=options) for index, item in enumerate(items)]
    return [message for _, message in parse_messages(turns, limits=limits, param="input")]


def _beside(item: object) -> Iterator[str]:
    """The texts of an item in fields that nobody here knows, and of what is no text in it."""
    if not isinstance(item, Mapping):
        return
    known = _ITEM_FIELDS | (_OF_MODEL if item.get("type") in (*_CALLS, "reasoning") else frozenset())
    yield from texts_beside(item, known)
    of_answer = _OF_AN_ANSWER if item.get("role") == "assistant" else frozenset()
    for place in ("content", "output"):
        parts = item.get(place)
        for part in parts if isinstance(parts, list) else ():
            kind = part.get("type") if isinstance(part, Mapping) else None
            if not isinstance(part, Mapping) or not isinstance(kind, str):
                continue
            if kind in _TEXT_PARTS:
                yield from texts_beside(part, of_answer | {"type", _TEXT_PARTS[kind]})
            elif kind in _MEDIA:
                yield from media_texts(part)


# What goes on.


def _sent(item: object, sealer: Sealer) -> object | None:
    """An item as the model's server gets it; None for one that says nothing without its sealed data."""
    if not isinstance(item, Mapping):
        return item
    sent = {key: value for key, value in item.items() if key != "x_moderation"}
    if item.get("type") == "reasoning":
        return _sent_thought(sent, sealer)
    content = item.get("content")
    if not isinstance(content, list) or item.get("role") != "assistant":
        return sent
    # Servers fail on an answer without parts, and on a refusal that comes back as its first.
    parts = [_sent_part(part) for part in content]
    return {**sent, "content": parts} if parts else None


def _sent_part(part: object) -> object:
    if isinstance(part, Mapping) and part.get("type") == "refusal":
        return {"type": "output_text", "text": part.get("refusal"), "annotations": []}
    return part


def _sent_thought(item: dict[str, object], sealer: Sealer) -> object | None:
    sealed = item.pop("encrypted_content", None)
    opened = sealer.open(sealed)
    if opened is not None:
        return {**item, "encrypted_content": opened}
    # Not ours: it could put any words into the model's mouth. Without it nothing may be left of the thought.
    return item if any(_thoughts(item)) or sealed is None else None


def _is_structured(text: object) -> bool:
    form = text.get("format") if isinstance(text, Mapping) else None
    return isinstance(form, Mapping) and form.get("type") == "json_schema"
