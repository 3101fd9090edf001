"""OpenAI's `POST /v1/chat/completions`, with the guard itself as the model. No I/O.

The conversation is judged as `POST /moderate` judges `messages`; the answer is the guard's text in one choice, whole
or as a stream. Source: openai/openai-openapi, `CreateChatCompletionRequest`, `-Response` and `-StreamResponse`.

Chat clients send many fields, to the request and to each message; what does not change what is judged is ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..core.conversation import THOUGHTS, Conversation, Limits
from ..core.moderator import Check
from ..core.policy import Policies
from ..core.verdict import Decision
from ..errors import InvalidRequest
from . import native
from .openai_models import Headers, choose
from .openai_personas import speak

__all__ = ["ChatRequest", "parse", "plain_message", "read_flag", "render", "render_chunks"]

# No tokens of a language model were used; the contract wants the numbers all the same.
_USAGE = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
# What a conversation is made from. Any other field of a message changes nothing here.
_READ = frozenset({"audio", "content", "function_call", "refusal", "role", "tool_calls", *THOUGHTS})


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What to judge, in whose words to answer, and whether as a stream."""

    check: Check
    persona: str
    stream: bool
    include_usage: bool


def parse(body: object, *, policies: Policies, limits: Limits, headers: Headers) -> ChatRequest:
    """Read a request body. Raises InvalidRequest or TooLarge that names the field."""
    if not isinstance(body, Mapping):
        raise InvalidRequest("The body must be a JSON object.")
    if "messages" not in body:
        raise InvalidRequest("`messages` is missing.", param="messages")
    choice = choose(body.get("model"), policies=policies, headers=headers)
    stream = read_flag(body, "stream")
    options = body.get("stream_options")
    if options is not None and not isinstance(options, Mapping):
        raise InvalidRequest("`stream_options` must be an object.", param="stream_options")
    include_usage = options is not None and read_flag(options, "include_usage", at="stream_options.")
    messages = body["messages"]
    if isinstance(messages, list):
        messages = [plain_message(message) for message in messages]
    conversation = Conversation.from_messages(messages, limits=limits)
    check = Check(conversation, choice.policy, languages=headers.languages)
    return ChatRequest(check, choice.persona, stream, include_usage)


def read_flag(body: Mapping[str, object], key: str, *, at: str = "") -> bool:
    """A field that is true or false; false when it is missing. Raises InvalidRequest."""
    value = body.get(key)
    if value is not None and not isinstance(value, bool):
        raise InvalidRequest(f"`{at}{key}` must be true or false.", param=at + key)
    return bool(value)


def plain_message(message: object) -> object:
    """A message without the fields that change nothing; what is no message is left for the conversation to refuse."""
    if not isinstance(message, Mapping):
        return message
    plain: dict[str, object] = {key: value for key, value in message.items() if key in _READ}
    content = plain.get("content")
    if isinstance(content, list):
        plain["content"] = [_plain_part(part) for part in content]
    return plain


def _plain_part(part: object) -> object:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if not isinstance(part, Mapping) or kind not in ("text", "refusal"):
        return part
    return {"type": kind, kind: part.get(kind)}


def render(asked: ChatRequest, decision: Decision, *, created: int) -> dict[str, object]:
    """The whole completion. Raises EngineUnavailable when there is no verdict to tell."""
    message = {"role": "assistant", "content": speak(asked.persona, asked.check, decision), "refusal": None}
    return {
        "id": _id(decision),
        "object": "chat.completion",
        "created": created,
        "model": decision.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": _USAGE,
        "x_moderation": native.render(decision),
    }


def render_chunks(asked: ChatRequest, decision: Decision, *, created: int) -> list[dict[str, object]]:
    """The completion as the events of a stream, a line of the guard's text each; the end mark is not among them.

    Everything is known before the first event, so a failure is still an HTTP status, never half a stream.
    """
    content = speak(asked.persona, asked.check, decision)
    deltas: list[dict[str, str]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": line} for line in content.splitlines(keepends=True)]
    head: dict[str, object] = {
        "id": _id(decision),
        "object": "chat.completion.chunk",
        "created": created,
        "model": decision.model,
    }
    usage: dict[str, object] = {"usage": None} if asked.include_usage else {}
    chunks = [{**head, "choices": [_streamed(delta, None)], **usage} for delta in deltas]
    chunks.append({**head, "choices": [_streamed({}, "stop")], **usage, "x_moderation": native.render(decision)})
    if asked.include_usage:
        chunks.append({**head, "choices": [], "usage": _USAGE})
    return chunks


def _streamed(delta: Mapping[str, str], finish_reason: str | None) -> dict[str, object]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _id(decision: Decision) -> str:
    return f"chatcmpl-{decision.id.removeprefix('mod_')}"
