"""OpenAI's `POST /v1/responses`, with the guard itself as the model. No I/O.

The conversation is judged as chat completions with the guard are; the answer is the guard's text in one message, whole
or as a stream. n8n's Guardrails node asks this route by default.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..core.conversation import Conversation, Limits
from ..core.moderator import Check
from ..core.policy import Policies
from ..core.verdict import Decision
from ..errors import InvalidRequest
from . import native
from .guarded_chat import GuardedOptions
from .openai_chat import ChatRequest, read_flag
from .openai_models import Headers, choose
from .openai_personas import speak
from .responses_requests import turns_of
from .responses_shown import NO_USAGE

__all__ = ["parse", "render", "render_events"]


def parse(body: object, *, policies: Policies, limits: Limits, headers: Headers) -> ChatRequest:
    """Read a request body. Raises InvalidRequest or TooLarge that names the field."""
    if not isinstance(body, Mapping):
        raise InvalidRequest("The body must be a JSON object.")
    given = body.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not isinstance(items, list):
        raise InvalidRequest("`input` must be a string or a list of items.", param="input")
    choice = choose(body.get("model"), policies=policies, headers=headers)
    turns = turns_of(items, limits=limits, options=GuardedOptions())
    messages = [{"role": turn.role.value, "content": turn.content} for turn in turns]
    conversation = Conversation.from_messages(messages, limits=limits, param="input")
    check = Check(conversation, choice.policy, languages=headers.languages)
    return ChatRequest(check, choice.persona, read_flag(body, "stream"), include_usage=True)


def render(asked: ChatRequest, decision: Decision, *, created: int) -> dict[str, object]:
    """The whole response. Raises EngineUnavailable when there is no verdict to tell."""
    text = speak(asked.persona, asked.check, decision)
    return _response(decision, created, "completed", [_message(decision, "completed", [_part(text)])])


def render_events(asked: ChatRequest, decision: Decision, *, created: int) -> list[dict[str, object]]:
    """The response as the events of a stream, a line of the guard's text each.

    Everything is known before the first event, so a failure is still an HTTP status, never half a stream.
    """
    text = speak(asked.persona, asked.check, decision)
    begun = _response(decision, created, "in_progress", [])
    whole = _message(decision, "completed", [_part(text)])
    at: dict[str, object] = {"item_id": whole["id"], "output_index": 0, "content_index": 0}
    deltas = [{**at, "delta": line, "logprobs": []} for line in text.splitlines(keepends=True)]
    events: list[tuple[str, dict[str, object]]] = [
        ("created", {"response": begun}),
        ("in_progress", {"response": begun}),
        ("output_item.added", {"output_index": 0, "item": _message(decision, "in_progress", [])}),
        ("content_part.added", {**at, "part": _part("")}),
        *(("output_text.delta", delta) for delta in deltas),
        ("output_text.done", {**at, "text": text, "logprobs": []}),
        ("content_part.done", {**at, "part": _part(text)}),
        ("output_item.done", {"output_index": 0, "item": whole}),
        ("completed", {"response": _response(decision, created, "completed", [whole])}),
    ]
    return [
        {"type": f"response.{kind}", "sequence_number": number, **event} for number, (kind, event) in enumerate(events)
    ]


def _response(decision: Decision, created: int, status: str, output: list[object]) -> dict[str, object]:
    return {
        "id": f"resp_{decision.id.removeprefix('mod_')}",
        "object": "response",
        "created_at": created,
        "status": status,
        "model": decision.model,
        "output": output,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "usage": NO_USAGE if status == "completed" else None,
        "x_moderation": native.render(decision),
    }


def _message(decision: Decision, status: str, content: list[object]) -> dict[str, object]:
    name = f"msg_{decision.id.removeprefix('mod_')}"
    return {"id": name, "type": "message", "role": "assistant", "status": status, "content": content}


def _part(text: str) -> dict[str, object]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
