"""The guardrail webhook of agentgateway, kgateway and Gloo: pure parse and render of `POST /request` and `/response`.

    {"body": {"messages": [{"role": "user", "content": "..."}]}}                  -> {"action": {"reason": "safe"}}
    {"body": {"choices": [{"message": {"role": "assistant", "content": "..."}}]}}
    -> {"action": {"body": "Sorry, ...", "status_code": 403, "reason": "Violent (unsafe)"}}

The gateway tells its three actions apart by `body` alone (a text, an object, or none), so nothing else is answered.
Rejecting an answer is what it does today; older versions, and Gloo, know only masks there and would take a rejection
for a pass, while today's takes a mask within a stream for one. `BlockAs.MASK` is for the old ones.

An answer comes without its question. Where the gateway passes `X-Request-Id` on, the two are joined by it.

Source: agentgateway/agentgateway `crates/agentgateway/src/llm/policy/webhook.rs` @013dab1.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence

from ..core.conversation import Conversation, Limits, check_text, says_nothing
from ..core.languages import written_in
from ..core.moderator import Check, Outcome
from ..core.policy import Policy
from ..core.question import Question
from ..core.tool_calls import calls_in
from ..core.verdict import Decision
from ..errors import InvalidRequest, TooLarge
from .gateway_chats import content_text, question_of, read_turns
from .gateway_decisions import deciding
from .gateway_requests import chat_conversations
from .tools import told_to_tools

__all__ = ["BlockAs", "parse_request", "parse_response", "render"]

_BLOCKED_STATUS = 403


class BlockAs(enum.Enum):
    """How a block of an answer is told."""

    REJECT = "reject"
    """With an error in its place."""
    MASK = "mask"
    """With the message in its place; for gateways that know no rejection of answers, and only without streams."""


def parse_request(
    body: object, *, policy: Policy, limits: Limits, judges_results: bool = False
) -> tuple[Question | None, Sequence[Conversation]]:
    """The question of a request, None if nobody says anything in it, and what of the request is judged.

    Raises InvalidRequest or TooLarge.
    """
    messages = _inner(body, "messages")
    turns = read_turns(messages, limits=limits, param="body.messages")
    question = question_of(turns, param="body.messages") if turns else None
    found = chat_conversations(messages, question, policy=policy, limits=limits, judges_results=judges_results)
    return question, found


def parse_response(
    body: object, *, question: Question, policy: Policy, max_choices: int, languages: Sequence[str] = ()
) -> Sequence[Check]:
    """The checks of a response's choices. Raises InvalidRequest or TooLarge that names the field."""
    choices = _inner(body, "choices")
    if len(choices) > max_choices:
        raise TooLarge(f"`body.choices` has {len(choices)} items; the limit is {max_choices}.", param="body.choices")
    checks = []
    for index, choice in enumerate(choices):
        param = f"body.choices[{index}].message.content"
        message = choice.get("message") if isinstance(choice, Mapping) else None
        if not isinstance(message, Mapping):
            raise InvalidRequest(f"`body.choices[{index}].message` must be an object.", param=param)
        text = content_text(message.get("content"), param=param)
        if not says_nothing(text):
            check_text(text, param=param)
            checks.append(Check(question.answered(text), policy, languages=languages))
        told = told_to_tools(question, calls_in(message), policy=policy)
        checks += [Check(one, policy, languages=languages) for one in told]
    return checks


def render(
    body: object, outcomes: Sequence[Outcome], *, policy: Policy, languages: Sequence[str], block_as: BlockAs
) -> dict[str, object]:
    """The reply to either call. A failure is raised: `failureMode` decides then."""
    decision = deciding(outcomes)
    if decision is None or decision.allowed:
        return {"action": {"reason": _reason(decision)}}
    message = decision.message or policy.message(languages or written_in(""))
    if block_as is BlockAs.MASK and isinstance(body, Mapping) and "choices" in body["body"]:
        masked = [{"message": {"role": "assistant", "content": message}} for _ in body["body"]["choices"]]
        return {"action": {"body": {"choices": masked}, "reason": _reason(decision)}}
    return {"action": {"body": message, "status_code": _BLOCKED_STATUS, "reason": _reason(decision)}}


def _reason(decision: Decision | None) -> str:
    if decision is None:
        return "nothing to judge"
    if decision.verdict is None:
        return "not judged"
    names = ", ".join(one.display_name for one in decision.verdict.categories)
    severity = decision.verdict.severity.value
    return f"{names} ({severity})" if names else severity


def _inner(body: object, field: str) -> list[object]:
    inner = body.get("body") if isinstance(body, Mapping) else None
    found = inner.get(field) if isinstance(inner, Mapping) else None
    if not isinstance(found, list):
        raise InvalidRequest(f"`body.{field}` must be a list.", param=f"body.{field}")
    return found
