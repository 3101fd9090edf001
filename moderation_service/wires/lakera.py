"""Lakera's `POST /v2/guard`, which gateways with a Lakera plugin can be pointed at: pure parse and render.

    {"messages": [{"role": "user", "content": "..."}], "project_id": "strict", "breakdown": true, "payload": true}
    -> {"flagged": true, "payload": [], "breakdown": [...], "metadata": {"request_uuid": "mod_..."}}

A last message of the assistant's is an answer: its text and what it tells tools are judged with what stands before it.
The user's words before it are judged too: the contract does not say which of the two the caller has in mind, and a
client of the gateway may have put the last message there itself.

Two things about callers: LiteLLM fails without `payload`, and takes a `detector_type` that begins with `pii/` for text
to be masked by the places in `payload`, of which there are none here, so that it would pass.

Source: BerriAI/litellm 1.106.2 `litellm/proxy/guardrails/guardrail_hooks/lakera_ai_v2.py`, apache/apisix @f519a0f
`apisix/plugins/ai-lakera-guard.lua`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..core.conversation import Limits
from ..core.moderator import Check, Outcome
from ..core.policy import Policies
from ..core.verdict import Category, Decision, Severity
from ..errors import InvalidRequest, ModerationError
from .gateway_chats import question_of, read_turns
from .gateway_requests import chat_conversations

__all__ = ["DETECTOR_TYPES", "LakeraRequest", "parse", "render"]

DETECTOR_TYPES: Mapping[Category, str] = {
    Category.VIOLENT: "moderated_content/violence",
    Category.NON_VIOLENT_ILLEGAL_ACTS: "moderated_content/crime",
    Category.SEXUAL_CONTENT: "moderated_content/sexual",
    Category.PII: "moderated_content/pii",
    Category.SUICIDE_SELF_HARM: "moderated_content/self_harm",
    Category.UNETHICAL_ACTS: "moderated_content/hate",
    Category.POLITICALLY_SENSITIVE_TOPICS: "moderated_content/politics",
    Category.COPYRIGHT_VIOLATION: "moderated_content/copyright",
    Category.JAILBREAK: "prompt_attack",
}
"""Lakera's name, or one in its style, of what was found."""

_WITHOUT_CATEGORY = "moderated_content/unspecified"
_CONFIDENCE = {Severity.SAFE: "l5_unlikely", Severity.CONTROVERSIAL: "l3_likely", Severity.UNSAFE: "l1_confident"}


@dataclass(frozen=True, slots=True)
class LakeraRequest:
    """What to judge, and the place of the last message, to which whatever is found belongs."""

    checks: Sequence[Check]
    message_id: int


def parse(
    body: object, *, policies: Policies, limits: Limits, languages: Sequence[str] = (), judges_results: bool = False
) -> LakeraRequest:
    """Read a call. Raises InvalidRequest or TooLarge that names the field."""
    if not isinstance(body, Mapping):
        raise InvalidRequest("The body must be a JSON object.")
    project = body.get("project_id")
    if project is not None and not isinstance(project, str):
        raise InvalidRequest("`project_id` must be the name of a policy.", param="project_id")
    policy = policies.get(project or None, param="project_id")
    messages = body.get("messages")
    turns = read_turns(messages, limits=limits, param="messages")
    question = question_of(turns, param="messages") if turns else None
    conversations = chat_conversations(messages, question, policy=policy, limits=limits, judges_results=judges_results)
    checks = [Check(one, policy, languages=languages) for one in conversations]
    return LakeraRequest(checks, len(messages) - 1 if isinstance(messages, list) else 0)


def render(asked: LakeraRequest, outcomes: Sequence[Outcome]) -> dict[str, object]:
    """The reply. One block is enough; without one, a failure is raised rather than guessed around."""
    decisions = [one for one in outcomes if isinstance(one, Decision)]
    flagged = any(not one.allowed for one in decisions)
    if not flagged:
        for outcome in outcomes:
            if isinstance(outcome, ModerationError):
                raise outcome
    found = [entry for one in decisions for entry in _breakdown(one, asked.message_id)]
    ids = {"request_uuid": decisions[-1].id} if decisions else {}
    return {"flagged": flagged, "payload": [], "breakdown": found, "metadata": ids}


def _breakdown(decision: Decision, message_id: int) -> list[dict[str, object]]:
    """An entry for each category of what was found or blocked; none for what is safe."""
    severity = decision.verdict.severity if decision.verdict else Severity.UNSAFE
    if decision.allowed and (decision.verdict is None or severity is Severity.SAFE):
        return []
    categories = decision.verdict.categories if decision.verdict else ()
    named = [(one.value, DETECTOR_TYPES[one]) for one in categories] or [("unspecified", _WITHOUT_CATEGORY)]
    return [
        {
            "project_id": decision.policy,
            "policy_id": decision.policy,
            "detector_id": f"qwen3guard-{name}",
            "detector_type": kind,
            "detected": not decision.allowed,
            "result": _CONFIDENCE[severity],
            "message_id": message_id,
        }
        for name, kind in named
    ]
