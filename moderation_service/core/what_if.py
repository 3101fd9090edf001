"""What another policy would have done with a text that was judged, from what was found and without an engine. No I/O.

Shadow policies ask it of each live verdict, a comparison of two policies of those on record. Both may lack what that
other policy would have asked for; then the answer is a `Doubt`, never a guess.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from .policy import OnFailure, Policy, Rules
from .verdict import Action, Category, Coverage, Detail, PartRead, Severity, Target, Verdict

__all__ = ["Doubt", "Judged", "would_act", "would_have_acted"]


class Doubt(enum.Enum):
    """Why it can't be said what a policy would have done."""

    CATEGORIES = "categories"
    """Only the severity was asked for, and the policy acts on categories."""
    NO_VERDICT = "no_verdict"
    """No verdict could be had, and the policy would have asked the embedded engine for one."""
    ERROR = "error"
    """No verdict could be had, and the policy would have answered with an error."""
    TOOL = "tool"
    """The policy has rules for tools, and it is not known what tool the text was of."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What is known of one judged text, without the text.

    `severity` is the worst label that was read, None where there was no verdict. `unsafe` is the highest P(unsafe) and
    `flagged` the highest P(controversial) + P(unsafe) of its windows; every threshold is exact with these two.
    `has_failed`: the engine that was asked gave no verdict, or one of a part of the text only. `by_fallback`: what was
    found is the embedded engine's instead. `knows_tool`: whether `tool` is known; None then means no tool.
    """

    target: Target
    severity: Severity | None
    unsafe: float | None = None
    flagged: float | None = None
    categories: tuple[Category, ...] = ()
    detail: Detail = Detail.FULL
    read_in_part: frozenset[PartRead] = frozenset()
    coverage: Coverage | None = None
    is_sure: bool = True
    has_failed: bool = False
    by_fallback: bool = False
    tool: str | None = None
    knows_tool: bool = True

    @classmethod
    def of(
        cls,
        target: Target,
        verdict: Verdict | None,
        *,
        detail: Detail,
        tool: str | None,
        has_failed: bool,
        by_fallback: bool,
    ) -> Judged:
        """What is known of a text at the moment it is decided on."""
        if verdict is None:
            return cls(target, None, detail=detail, tool=tool, has_failed=True)
        scores = verdict.scores
        return cls(
            target,
            verdict.severity,
            None if scores is None else scores.unsafe,
            None if scores is None else scores.controversial + scores.unsafe,
            verdict.categories,
            detail,
            verdict.read_in_part,
            verdict.coverage,
            verdict.is_sure,
            has_failed,
            by_fallback,
            tool,
        )


def would_act(policy: Policy, judged: Judged) -> Action | Doubt:
    """The action of this policy on that text, or why it can't be known."""
    found = {_acted(rules, judged) for rules in _rules(policy, judged)}
    if len(found) == 1:
        return found.pop()
    return next((one for one in Doubt if one in found), Doubt.TOOL)


def would_have_acted(
    policies: Sequence[Policy],
    target: Target,
    verdict: Verdict | None,
    *,
    detail: Detail,
    tool: str | None,
    has_failed: bool,
    by_fallback: bool,
) -> tuple[Action | None, ...]:
    """The actions of policies that only watch, on a text at the moment it is decided on; None where it can't be known.

    The fields are those of `Judged.of`, which is made only where a verdict does not say it all: this is asked of each
    text.
    """
    if verdict is not None and not has_failed:
        known: list[Action | None] = []
        for policy in policies:
            rules = policy.rules_for(target, tool)
            if detail is not Detail.FULL and rules.needs_categories:
                break
            known.append(rules.action(verdict))
        else:
            return tuple(known)
    judged = Judged.of(target, verdict, detail=detail, tool=tool, has_failed=has_failed, by_fallback=by_fallback)
    actions = (would_act(policy, judged) for policy in policies)
    return tuple(action if isinstance(action, Action) else None for action in actions)


def _rules(policy: Policy, judged: Judged) -> Iterator[Rules]:
    """The rules that it may have been decided by: several where it is not known what tool the text was of."""
    yield policy.rules_for(judged.target, judged.tool)
    if not judged.knows_tool:
        for own in policy.tools:
            yield own.of(judged.target)


def _acted(rules: Rules, judged: Judged) -> Action | Doubt:
    if judged.severity is None or judged.has_failed:
        return _after_failure(rules, judged)
    return _on_verdict(rules, judged, judged.severity)


def _after_failure(rules: Rules, judged: Judged) -> Action | Doubt:
    """As the moderator does it: the fail mode, and at least what a part of the text was read to be."""
    forced = rules.on_failure.action
    if judged.severity is None:
        return forced or (Doubt.NO_VERDICT if rules.on_failure is OnFailure.LITE else Doubt.ERROR)
    if judged.by_fallback:
        if rules.on_failure is OnFailure.LITE:
            return _on_verdict(rules, judged, judged.severity)
        return forced or Doubt.ERROR
    read = _on_verdict(rules, judged, judged.severity)
    if isinstance(read, Doubt) or (forced is None and read is not Action.BLOCK):
        return Doubt.NO_VERDICT if rules.on_failure is OnFailure.LITE else Doubt.ERROR
    return max(read, forced or read, key=lambda action: action.rank)


def _on_verdict(rules: Rules, judged: Judged, label: Severity) -> Action | Doubt:
    verdict = Verdict(
        target=judged.target,
        severity=rules.thresholds.severity_of(label, unsafe=judged.unsafe, flagged=judged.flagged),
        categories=judged.categories,
        refusal=None,
        scores=None,  # the thresholds have been applied
        engine="",
        model="",
        read_in_part=judged.read_in_part,
        coverage=judged.coverage,
        is_sure=judged.is_sure,
    )
    action = rules.action(verdict)
    if judged.detail is Detail.FULL or not rules.needs_categories:
        return action
    # Whatever category was not asked for must make no difference.
    others = (rules.action(replace(verdict, categories=(*judged.categories, one))) for one in Category)
    return action if all(other is action for other in others) else Doubt.CATEGORIES
