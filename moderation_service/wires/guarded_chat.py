"""OpenAI's `POST /v1/chat/completions` with a guarded model behind it: what to judge of a request. No I/O.

The request goes on to the model as it came, but for `moderation`, which is for us. Source: openai/openai-openapi,
`CreateChatCompletionRequest` and `ModerationParam`.

Judged are all user messages since the last answer, with the turns before them as context. System and developer
messages are the application's own words. The results of tools are judged when the operator says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..core.conversation import THOUGHTS, Conversation, Limits, parse_messages
from ..core.policy import Policies, Policy
from ..core.policy_order import why_milder
from ..core.question import Question
from ..errors import Forbidden, InvalidRequest
from .guarded_fields import MEDIA, other_text, refuse_doubles, refuse_unseen
from .openai_chat import plain_message, read_flag
from .openai_models import POLICY_HEADER, Headers
from .tools import TOOL_ROLES, tool_results

__all__ = ["GuardedChat", "GuardedOptions", "chosen_policy", "parse", "wants_moderation"]

_MODES = ("score", "block")
# What is read here; servers written in Go, such as Ollama, take
# `Messages`, and even `me\u017f\u017fages`, for `messages`.
_READ = frozenset(
    {"audio", "content", "function_call", "functions", "messages", "modalities", "model", "moderation", "n", "refusal"}
    | {"role", "stream", "stream_options", "text", "tool_calls", "tools", "type", *THOUGHTS}
)


@dataclass(frozen=True, slots=True)
class GuardedOptions:
    """What the operator has decided."""

    judge_tool_results: bool = False
    allow_media: bool = False
    policy_choice: str = "stricter"


@dataclass(frozen=True, slots=True)
class GuardedChat:
    """One request: the body for the model, and what of it is judged how.

    `other_text` is what it says outside of its messages. `choices` is how many answers were asked for, `tools` the
    names of the caller's tools, `is_structured` whether the answer is to be JSON of a schema.
    """

    forward: Mapping[str, object]
    question: Question
    tool_results: Sequence[Conversation]
    other_text: Sequence[Conversation]
    policy: Policy
    languages: Sequence[str]
    stream: bool
    include_usage: bool
    choices: int
    wants_moderation: bool
    tools: frozenset[str]
    is_structured: bool = False

    @property
    def to_judge(self) -> Sequence[Conversation]:
        """What is judged before anything of an answer may be shown."""
        return (*self.question.to_judge(), *self.tool_results, *self.other_text)

    @property
    def stops(self) -> frozenset[str]:
        """The caller's stop strings."""
        stop = self.forward.get("stop")
        return frozenset(one for one in (stop if isinstance(stop, list) else [stop]) if isinstance(one, str))

    @property
    def model(self) -> str:
        """The model's name as the caller wrote it."""
        return str(self.forward.get("model") or "")


def parse(
    body: object, *, policies: Policies, limits: Limits, headers: Headers, options: GuardedOptions
) -> GuardedChat:
    """Read a request body. Raises InvalidRequest or TooLarge that names the field."""
    if not isinstance(body, Mapping):
        raise InvalidRequest("The body must be a JSON object.")
    refuse_doubles(body, _READ)
    if "messages" not in body:
        raise InvalidRequest("`messages` is missing.", param="messages")
    if not isinstance(body.get("model", ""), str):
        raise InvalidRequest("`model` must be a string.", param="model")
    if not options.allow_media and (body.get("audio") or "audio" in _list(body.get("modalities"))):
        raise InvalidRequest("Sound can't be judged, and is not let through here.", param="modalities")
    streamed = body.get("stream_options")
    if streamed is not None and not isinstance(streamed, Mapping):
        raise InvalidRequest("`stream_options` must be an object.", param="stream_options")
    refuse_unseen(body)
    messages = _list(body["messages"])
    for index, message in enumerate(messages):
        refuse_doubles(message, _READ, at=f"messages[{index}].")
    turns = [_turn(message, options) for message in messages]
    # What is no list of messages is refused here.
    parsed = parse_messages(turns if isinstance(body["messages"], list) else body["messages"], limits=limits)
    choices = body.get("n")
    policy = chosen_policy(policies, headers.policy, options.policy_choice)
    return GuardedChat(
        forward={key: value for key, value in body.items() if key != "moderation"},
        question=Question.of(message for _, message in parsed),
        tool_results=tool_results(
            turns, limits, policy=policy, judges_all=options.judge_tool_results, history=messages
        ),
        other_text=other_text(body),
        policy=policy,
        languages=headers.languages,
        stream=read_flag(body, "stream"),
        include_usage=streamed is not None and read_flag(streamed, "include_usage", at="stream_options."),
        choices=choices if isinstance(choices, int) and choices > 0 else 1,
        wants_moderation=wants_moderation(body.get("moderation")),
        tools=frozenset(_names(body)),
        is_structured=_is_structured(body.get("response_format")),
    )


def chosen_policy(policies: Policies, name: str | None, choice: str) -> Policy:
    """The policy of this name. Raises Forbidden for one that the caller, who is guarded by it, may not choose."""
    policy, default = policies.get(name, param=POLICY_HEADER), policies.get(None)
    if policy is default or choice == "any" or policies.are_granted:
        return policy
    if choice == "none":
        raise Forbidden(f"Only the policy `{default.name}` may be used here.", param=POLICY_HEADER)
    reason = why_milder(policy, default)
    if reason is None and set(policies.lists_of(policy)) != set(policies.lists_of(default)):
        reason = f"`{policy.name}` has other lists."
    if reason is not None:
        raise Forbidden(
            f"Only a policy that is as strict as `{default.name}` may be used here. {reason}", param=POLICY_HEADER
        )
    return policy


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _turn(message: object, options: GuardedOptions) -> object:
    """A message as `Conversation` knows them; images and the like are left out where they are let through."""
    plain = plain_message(message)
    if not isinstance(plain, dict):
        return plain
    if plain.get("content") is None and plain.get("role") == "assistant":
        plain["content"] = ""  # it said nothing, or something that can't be read, such as sound
    if plain.get("role") in TOOL_ROLES and isinstance(message, Mapping):
        plain |= {key: message[key] for key in ("tool_call_id", "name") if key in message}
    parts = plain.get("content")
    if options.allow_media and isinstance(parts, list):
        plain["content"] = [part for part in parts if not _is_media(part)]
    return plain


def _is_media(part: object) -> bool:
    kind = part.get("type") if isinstance(part, Mapping) else None
    return isinstance(kind, str) and kind in MEDIA


def _names(body: Mapping[str, object]) -> list[str]:
    """The names that the caller has given to its tools."""
    tools = [tool for tool in _list(body.get("tools")) if isinstance(tool, Mapping)]
    functions = [tool.get(kind) for tool in tools for kind in ("function", "custom")] + _list(body.get("functions"))
    names = [function.get("name") for function in functions if isinstance(function, Mapping)]
    return [name for name in names if isinstance(name, str)]


def _is_structured(response_format: object) -> bool:
    return isinstance(response_format, Mapping) and response_format.get("type") == "json_schema"


def wants_moderation(value: object) -> bool:
    """Whether results are to be told. `score` does not switch the policy off: a caller can't weaken it here."""
    if value is None:
        return False
    if not isinstance(value, Mapping) or not isinstance(value.get("model"), str):
        raise InvalidRequest("`moderation` must be an object with a `model`.", param="moderation")
    policy = value.get("policy") or {}
    sides = policy.values() if isinstance(policy, Mapping) else [policy]
    for side in sides:
        if side is not None and not (isinstance(side, Mapping) and side.get("mode") in _MODES):
            raise InvalidRequest("`mode` must be one of score, block.", param="moderation.policy")
    return True
