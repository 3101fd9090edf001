"""Whole documents of OpenAI's contracts, as the service answers them."""

from __future__ import annotations

from collections.abc import Mapping

from apps import Like, Near, decision

__all__ = ["CATEGORIES", "completion", "moderation", "moderation_result", "openai_error"]

CATEGORIES = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm",
    "self-harm/intent", "self-harm/instructions", "sexual", "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip


def moderation(*results: object, model: str = "fake-1") -> dict[str, object]:
    return {"id": Like("modr-[0-9a-f]{24}"), "model": model, "results": list(results)}


def moderation_result(
    verdict: Mapping[str, object] | None = None, *, scores: Mapping[str, float], flagged: bool = False
) -> dict[str, object]:
    """One result; when flagged, the categories with a score are true."""
    return {
        "flagged": flagged,
        "categories": {name: flagged and name in scores for name in CATEGORIES},
        "category_scores": {name: scores.get(name, 0.0) for name in CATEGORIES},
        "category_applied_input_types": {name: ["text"] for name in CATEGORIES},
        "x_moderation": verdict or decision(),
    }


def openai_error(kind: str, code: str, message: str, param: str | None = None) -> dict[str, object]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def completion(content: str, verdict: Mapping[str, object], *, model: str = "fake-1") -> dict[str, object]:
    """A whole chat completion with this verdict beside its text."""
    message = {"role": "assistant", "content": content, "refusal": None}
    return {
        "id": Like("chatcmpl-[0-9a-f]{24}"),
        "object": "chat.completion",
        "created": Near(1_600_000_000, 10_000_000_000),
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        "x_moderation": verdict,
    }
