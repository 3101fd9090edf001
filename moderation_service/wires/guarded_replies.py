"""What a client of the guarded chat is told when something was blocked, and OpenAI's `moderation` object. No I/O.

OpenAI's contract does not say what a blocked completion looks like. Here it is one with the policy's message in place
of the text and the finish reason `content_filter`. Where JSON of a schema was asked for, the message is in `refusal`
too, where clients look for it before they parse. Source of the rest: openai/openai-openapi,
`ChatCompletionModeration`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..core.policy import Policy
from ..core.verdict import Decision
from . import native
from .guarded_chat import GuardedChat
from .openai_moderations import render_result
from .openai_shapes import plain

__all__ = ["index_of", "moderation_chunk", "refused", "refused_chunks", "render_moderation", "strictest", "with_cuts"]

_FINISH = "content_filter"
# Of a reply that is cut, only these fields are kept beside its choices, and only if they can't hold any of its text.
_HEAD_OF_CHUNK = ("id", "object", "created", "model", "service_tier", "system_fingerprint")
_HEAD = (*_HEAD_OF_CHUNK, "usage")
_USAGE = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
_CHUNK = "chat.completion.chunk"


def refused(decision: Decision, asked: GuardedChat, *, created: int, choices: int) -> dict[str, object]:
    """The completion for a prompt that was blocked: as many choices as were asked for, none of them the model's."""
    return {
        **_head(decision, model=asked.model, created=created),
        "object": "chat.completion",
        "choices": [_cut(index, decision, asked.is_structured) for index in range(choices)],
        "usage": _USAGE,
    }


def with_cuts(
    document: Mapping[str, object], cut: Mapping[int, Decision], *, is_structured: bool = False
) -> dict[str, object]:
    """The model's completion with these choices replaced."""
    choices = document["choices"]
    assert isinstance(choices, list)
    found: dict[object, Decision] = dict(cut.items())
    kept = document if not cut else plain(document, _HEAD)
    indexes = [index_of(choice, position) for position, choice in enumerate(choices)]
    replaced = [
        _cut(index, found[index], is_structured) if index in found else choice
        for index, choice in zip(indexes, choices, strict=True)
    ]
    return {**kept, "choices": replaced}


def index_of(choice: Mapping[str, object], position: int) -> object:
    """Which choice it is; some servers do not say so of the only one."""
    index = choice.get("index")
    return position if index is None else index


def _cut(index: object, decision: Decision, is_structured: bool) -> dict[str, object]:
    message = {"role": "assistant", "content": decision.message, "refusal": decision.message if is_structured else None}
    return {
        "index": index,
        "message": message,
        "logprobs": None,
        "finish_reason": _FINISH,
        "x_moderation": native.render(decision),
    }


def refused_chunks(
    decision: Decision,
    *,
    index: int,
    model: str = "",
    created: int = 0,
    head: Mapping[str, object] | None = None,
    has_role: bool = False,
    has_text: bool = False,
    is_structured: bool = False,
) -> list[dict[str, object]]:
    """The end of a streamed choice that was blocked: the message, then the finish reason.

    `head` is a chunk of the same stream; without one the stream begins here. `has_role` and `has_text` tell what of
    the choice was shown before.
    """
    head = _head(decision, model=model, created=created) if head is None else plain(head, _HEAD_OF_CHUNK)
    message = ("\n\n" if has_text else "") + (decision.message or "")
    delta = {"content": message} if has_role else {"role": "assistant", "content": message}
    if is_structured:
        delta["refusal"] = decision.message or ""
    first = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
    last = {"index": index, "delta": {}, "logprobs": None, "finish_reason": _FINISH}
    return [
        {**head, "object": _CHUNK, "choices": [first]},
        {**head, "object": _CHUNK, "choices": [{**last, "x_moderation": native.render(decision)}]},
    ]


def _head(decision: Decision, *, model: str, created: int) -> dict[str, object]:
    return {"id": f"chatcmpl-{decision.id.removeprefix('mod_')}", "object": "", "created": created, "model": model}


def strictest(decisions: Iterable[Decision]) -> Decision | None:
    """The decision that counts for a text that was judged in pieces; the last of equals, which saw the most."""
    worst: Decision | None = None
    for decision in decisions:
        if worst is None or _rank(decision) >= _rank(worst):
            worst = decision
    return worst


def _rank(decision: Decision) -> tuple[int, int]:
    return decision.action.rank, decision.verdict.severity.rank if decision.verdict else -1


def render_moderation(
    asked: Sequence[Decision], answered: Sequence[Decision], *, policy: Policy, model: str
) -> dict[str, object]:
    """OpenAI's `moderation` object: what was found in the prompt, and in each of the answers."""
    return {"input": _side(asked, policy, model), "output": _side(answered, policy, model)}


def _side(decisions: Sequence[Decision], policy: Policy, model: str) -> dict[str, object]:
    if any(decision.verdict is None for decision in decisions):
        return {"type": "error", "code": "engine_unavailable", "message": "No verdict could be had."}
    results = [
        {"type": "moderation_result", "model": decision.model, **render_result(decision, policy)}
        for decision in decisions
    ]
    return {"type": "moderation_results", "model": model, "results": results}


def moderation_chunk(head: Mapping[str, object], moderation: Mapping[str, object]) -> dict[str, object]:
    """The chunk of a stream that carries the `moderation` object; it has no choices."""
    kept = plain(head, _HEAD_OF_CHUNK)
    return {**kept, "object": _CHUNK, "choices": [], "moderation": moderation}
