"""What a model name means here, `GET /v1/models`, and the choices that travel in headers. No I/O.

OpenAI clients must send some model name, so any name is accepted. Two forms of it say more:

    policy:strict              decide by the policy `strict`
    guard-llamaguard           answer a chat as this persona; `guard-llamaguard:strict` chooses the policy too

In these, an unknown policy is an error: a typo must not silently weaken a check.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..core.policy import Policies, Policy
from ..errors import InvalidRequest
from .openai_personas import DEFAULT_PERSONA, PERSONAS

__all__ = ["POLICY_HEADER", "TARGET_HEADER", "Choice", "Headers", "choose", "means_guard", "render_models"]

POLICY_HEADER = "X-Moderation-Policy"
TARGET_HEADER = "X-Moderation-Target"
_POLICY_PREFIX = "policy"


@dataclass(frozen=True, slots=True)
class Headers:
    """What a caller says outside the body, where OpenAI's contract has no field; None for what is not said.

    `languages` are the end user's, best first.
    """

    policy: str | None = None
    target: str | None = None
    languages: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """Who decides, and in whose words a chat is answered."""

    policy: Policy
    persona: str


def choose(model: object, *, policies: Policies, headers: Headers) -> Choice:
    """Read `model` and the policy header. Raises InvalidRequest that names the one at fault."""
    if model is not None and not isinstance(model, str):
        raise InvalidRequest("`model` must be a string.", param="model")
    name, separator, wanted = (model or "").partition(":")
    is_choice = bool(separator) and (name == _POLICY_PREFIX or name in PERSONAS)
    by_model = policies.get(wanted, param="model") if is_choice else None
    by_header = policies.get(headers.policy, param=POLICY_HEADER) if headers.policy is not None else None
    if by_model is not None and by_header is not None and by_model is not by_header:
        raise InvalidRequest(f"`model` and `{POLICY_HEADER}` name different policies.", param=POLICY_HEADER)
    policy = by_model or by_header or policies.get(None)
    return Choice(policy, name if name in PERSONAS else DEFAULT_PERSONA)


def means_guard(model: object, *, engine_model: str) -> bool:
    """Whether a chat with this model is one with the guard itself: its own name, a persona's, or that of a policy."""
    if not isinstance(model, str):
        return False
    name, separator, _ = model.partition(":")
    return model == engine_model or name in PERSONAS or (name == _POLICY_PREFIX and bool(separator))


def render_models(engine_model: str, policies: Policies, *, others: Sequence[object] = ()) -> dict[str, object]:
    """The list of model names, from which builders fill their menus: the guard, its personas, its policies.

    `others` are the entries of a guarded model server; they come first, because people want to chat with those.
    """
    names = [engine_model, *PERSONAS, *(f"{_POLICY_PREFIX}:{policy.name}" for policy in policies)]
    # `created` is required by the contract and means nothing here.
    models = [{"id": name, "object": "model", "created": 0, "owned_by": "moderation-service"} for name in names]
    return {"object": "list", "data": [*others, *models]}
