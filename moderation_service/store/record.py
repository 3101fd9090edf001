"""The record of one decision, as it waits for the database: a line of JSON, a third as large as its parts would be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from ..core.keyed_hash import KeyedHashes
from ..core.moderator import Check
from ..core.policy import KeepText, Policy
from ..core.verdict import Decision, Detail, Verdict
from ..errors import EngineError, ModerationError
from ..ids import ordered_hex
from ..observability.request_context import RequestContext
from .codes import ACTIONS, COVERAGES, DETAILS, NO_DECISION, TARGETS, mask_of, part_mask_of, stored_name

__all__ = ["Kept", "Record", "line_of", "read_lines"]

_MAX_TEXT_CHARS = 200_000


class Kept(NamedTuple):
    """The text that a policy keeps: what was judged, the turns before it, and for how many days."""

    text: str
    context: list[tuple[str, str]]
    days: int


class Record(NamedTuple):
    """One row of `decisions`, with words where that has numbers, in the order of the line."""

    at: int
    decision_id: str
    request_id: str | None
    app: str
    key: str
    door: str
    target: int
    severity: int | None
    p_unsafe: float | None
    p_flagged: float | None
    categories: int
    detail: int
    read_in_part: int
    refusal: bool | None
    coverage: int | None
    is_sure: bool
    action: int
    policy: str
    policy_version: str
    tool: str | None
    engine: str
    model: str
    reason: str | None
    error: str | None
    degraded: bool
    cached: bool
    windows: int
    span_start: int | None
    span_end: int | None
    chars: int
    latency_ms: float
    text_hash: str
    user_hash: str | None
    list_entry: str | None
    list_action: int | None
    escalated: int | None
    shadow: list[tuple[str, str, int]]
    """What policies would have done that only watch: name, version, action."""
    kept: Kept | None


def line_of(
    check: Check, outcome: Decision | ModerationError, *, at: int, context: RequestContext, hashes: KeyedHashes
) -> bytes:
    """The line for what came of a check. `at` is the time in milliseconds."""
    conversation, policy = check.conversation, check.policy
    text = conversation.messages[-1].content
    app = context.app or context.key_name or ""
    tool = stored_name(conversation.tool) if policy.tools and conversation.tool is not None else None
    decided = _decided(outcome) if isinstance(outcome, Decision) else _failed(outcome)
    identity, action, verdict, engine, model, reason, error, degraded, cached, latency_ms = decided
    return orjson.dumps(
        (
            at,
            identity,
            context.request_id,
            app,
            context.key_name or "",
            context.door or "",
            TARGETS.index(conversation.target),
            *_read(verdict),
            _detail(check),
            *_rest(verdict),
            action,
            policy.name,
            policy.version,
            tool,
            engine,
            model,
            reason,
            error,
            degraded,
            cached,
            *_place(verdict),
            len(text),
            latency_ms,
            hashes.text(text).hex(),
            context.end_user,
            *_changed(outcome),
            _shadow(policy, outcome) if policy.shadow else (),
            _kept(check, policy, action) if policy.keep_text is not KeepText.NONE else None,
        )
    )


def read_lines(lines: Sequence[bytes]) -> list[Record]:
    """The records of lines. All are read at once, which costs half of one after the other."""
    found = orjson.loads(b"[%b]" % b",".join(lines))
    for values in found:
        if values[-2]:
            values[-2] = [tuple(one) for one in values[-2]]
        if values[-1] is not None:
            text, context, days = values[-1]
            values[-1] = Kept(text, [(role, content) for role, content in context], days)
    return [Record._make(values) for values in found]


def _detail(check: Check) -> int:
    """How much the engine was asked for: without categories, other policies can't be tried on the record."""
    is_full = check.detail is Detail.FULL or check.rules.needs_categories
    return DETAILS.index(Detail.FULL if is_full else Detail.SEVERITY)


_Decided = tuple[str, int, "Verdict | None", str, str, "str | None", "str | None", bool, bool, float]


def _decided(decision: Decision) -> _Decided:
    return (
        decision.id,
        decision.action.rank,
        decision.verdict,
        decision.engine,
        decision.model,
        decision.reason,
        None,
        decision.degraded,
        decision.cached,
        decision.latency_ms,
    )


def _failed(error: ModerationError) -> _Decided:
    reason = error.reason.value if isinstance(error, EngineError) else None
    return "mod_" + ordered_hex(24), NO_DECISION, None, "", "", reason, error.type, False, False, 0.0


def _read(verdict: Verdict | None) -> tuple[Any, ...]:
    """Severity, P(unsafe), P(controversial) + P(unsafe), categories.

    Windows are put together by `core.never_milder`, so these are the worst label and the highest of both sums: the
    severity under any thresholds follows from them.
    """
    if verdict is None:
        return None, None, None, 0
    scores = verdict.scores
    if scores is None:
        return verdict.severity.rank, None, None, mask_of(verdict.categories)
    flagged = scores.controversial + scores.unsafe
    return verdict.severity.rank, scores.unsafe, flagged, mask_of(verdict.categories)


def _rest(verdict: Verdict | None) -> tuple[Any, ...]:
    """What was read in part, refusal, coverage, whether it is sure."""
    if verdict is None:
        return 0, None, None, True
    parts = part_mask_of(verdict.read_in_part) if verdict.read_in_part else 0
    coverage = None if verdict.coverage is None else COVERAGES.index(verdict.coverage)
    return parts, verdict.refusal, coverage, verdict.is_sure


def _place(verdict: Verdict | None) -> tuple[Any, ...]:
    """Windows and span."""
    if verdict is None:
        return 0, None, None
    span = verdict.span
    return (verdict.windows, None, None) if span is None else (verdict.windows, span.start, span.end)


def _changed(outcome: Decision | ModerationError) -> tuple[str | None, int | None, int | None]:
    """The entry of a list that acted, what it made of the action, and what an escalation made of it."""
    if not isinstance(outcome, Decision):
        return None, None, None
    escalated = outcome.action.rank if outcome.escalated_until is not None else None
    by = outcome.listed_by
    if by is None:
        return None, None, escalated
    return f"{by.list_name}/{by.entry}", outcome.action.rank, escalated


def _shadow(policy: Policy, outcome: Decision | ModerationError) -> list[tuple[str, str, int]]:
    """What the policies that only watch would have done, where it is known."""
    actions = outcome.shadow if isinstance(outcome, Decision) else ()
    return [
        (one.name, one.version, action.rank)
        for one, action in zip(policy.shadow, actions, strict=False)
        if action is not None
    ]


def _kept(check: Check, policy: Policy, action: int) -> tuple[str, list[tuple[str, str]], int] | None:
    """The text, where the policy keeps it at such an action; beyond 200 000 characters its beginning."""
    if action == NO_DECISION or not policy.keep_text.keeps(ACTIONS[action]):
        return None
    *before, last = check.conversation.messages
    context = [(one.role.value, one.content[:_MAX_TEXT_CHARS]) for one in before if one.content]
    return last.content[:_MAX_TEXT_CHARS], context, policy.retention_days
