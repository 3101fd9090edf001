"""A model server that gives chosen probabilities: a text says itself how sure the model of that name is of it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping

from fake_guard_server import BOMB, Action, Behaviour, Request, reply

_LABELS = ("Safe", "Controversial", "Unsafe")
SURE_SAFE, SURE_UNSAFE = (0.995, 0.004, 0.001), (0.002, 0.008, 0.99)


def scored(model: str, *, name: str | None = None, without_scores: bool = False) -> Behaviour:
    """Answers `... small=0.6,0.3,0.1 ...` with these three probabilities for the model `small`; else surely safe.

    `name` is what the server calls it; otherwise the same.

    What the service asks on its own is answered as a guard should. The highest probability is the label.
    """

    def behave(request: Request) -> Action:
        if request.path == "/v1/models":
            listed = {"id": name or model, "object": "model", "owned_by": "sglang", "max_model_len": 4096}
            return reply(200, {"object": "list", "data": [listed]})
        if request.path != "/v1/chat/completions":
            return reply(404, {})
        last = request.body["messages"][-1]
        shares = _asked(model, last["content"])
        if shares is None:
            shares = SURE_UNSAFE if last["role"] == "user" and BOMB in last["content"] else SURE_SAFE
        return _answer(shares, is_response=last["role"] == "assistant", without_scores=without_scores)

    return behave


def _asked(model: str, text: str) -> tuple[float, ...] | None:
    found = re.search(rf"\b{model}=([\d.]+),([\d.]+),([\d.]+)", text)
    return None if found is None else tuple(float(one) for one in found.groups())


def _answer(shares: tuple[float, ...], *, is_response: bool, without_scores: bool) -> Action:
    label = _LABELS[max(range(3), key=lambda index: shares[index])]
    lines = [f"Safety: {label}", f"Categories: {'None' if label == 'Safe' else 'Violent'}"]
    text = "\n".join([*lines, "Refusal: No"] if is_response else lines)
    top = [
        {"token": f" {name}", "logprob": math.log(max(share, 1e-9))}
        for name, share in zip(_LABELS, shares, strict=True)
    ]
    tokens: list[Mapping[str, object]] = [{"token": "Safety"}, {"token": ":"}]
    tokens.append({"token": f" {label}", "logprob": 0.0, "top_logprobs": top})
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": "stop",
        "logprobs": None if without_scores else {"content": tokens},
    }
    body = json.dumps({"object": "chat.completion", "choices": [choice], "usage": {"prompt_tokens": 100}})
    return reply(200, body.encode())
