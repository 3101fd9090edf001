"""Whether a policy can let more out than another. No I/O.

Somebody who is guarded may ask for a stricter policy, never for a milder one. `why_milder` compares two policies in
every point that can let text out; what it can't compare counts as milder.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

from .escalation import Escalation
from .policy import Bounds, LiteBlocks, OnFailure, Policy, Rules, Streaming, Thresholds
from .verdict import Action, Category, Severity, Target

__all__ = ["why_milder"]

_FAILURES = {OnFailure.ALLOW: 0, OnFailure.FLAG: 1, OnFailure.LITE: 2, OnFailure.BLOCK: 3, OnFailure.ERROR: 3}
_LITE_BLOCKS = {LiteBlocks.SURE: 0, LiteBlocks.ALWAYS: 1}
_STREAMING = {Streaming.SHOW_THEN_CUT: 0, Streaming.HOLD: 1}
_DONE = {Action.ALLOW: "allows", Action.FLAG: "flags", Action.BLOCK: "blocks"}


def why_milder(choice: Policy, default: Policy) -> str | None:
    """What `choice` lets out that `default` would not, as a sentence; None if it may stand in for it."""
    for target in Target:
        reason = _why_milder(choice.rules[target], default.rules[target])
        if reason is not None:
            return f"For a {target.value}, `{choice.name}` {reason}."
    reason = _why_milder_for_tools(choice, default)
    if reason is not None:
        return reason
    if set(choice.lists) != set(default.lists):
        # A list may block and allow, and what is in it changes: lists can't be compared.
        return f"`{choice.name}` has other lists."
    if default.escalation is not None and _is_milder(choice.escalation, default.escalation):
        return f"`{choice.name}` does less about end users who are blocked again and again."
    if _STREAMING[choice.streaming] < _STREAMING[default.streaming]:
        return f"`{choice.name}` shows answers before they are judged."
    return None


def _is_milder(choice: Escalation | None, default: Escalation) -> bool:
    if choice is None:
        return True
    return (
        choice.after_blocks > default.after_blocks
        or choice.within_minutes < default.within_minutes
        or choice.for_minutes < default.for_minutes
        or choice.action.rank < default.action.rank
    )


def _why_milder_for_tools(choice: Policy, default: Policy) -> str | None:
    """The same of what tools are told and give back; with other globs, any rules of the one may meet any others."""
    if not choice.tools and not default.tools:
        return None
    if [one.glob for one in choice.tools] == [one.glob for one in default.tools]:
        pairs = list(zip(_by_tool(choice), _by_tool(default), strict=True))
    else:
        pairs = list(product(_by_tool(choice), _by_tool(default)))
    for (name, ours), (_, theirs) in pairs:
        for target in Target:
            reason = _why_milder(ours[target], theirs[target])
            if reason is not None:
                what = "told to" if target is Target.RESPONSE else "given back by"
                return f"For what is {what} {name}, `{choice.name}` {reason}."
    return None


def _by_tool(policy: Policy) -> list[tuple[str, Mapping[Target, Rules]]]:
    """The rules for each of its globs, and those for all other tools."""
    own = [(f"tools like `{one.glob}`", {target: one.of(target) for target in Target}) for one in policy.tools]
    return [*own, ("other tools", policy.rules)]


def _why_milder(choice: Rules, default: Rules) -> str | None:
    if _FAILURES[choice.on_failure] < _FAILURES[default.on_failure]:
        return f"has the milder `on_failure`: {choice.on_failure.value} instead of {default.on_failure.value}"
    if choice.on_uncovered.rank < default.on_uncovered.rank:
        ours, theirs = choice.on_uncovered.value, default.on_uncovered.value
        return f"has the milder `on_uncovered`: {ours} instead of {theirs}"
    if _LITE_BLOCKS[choice.lite_blocks] < _LITE_BLOCKS[default.lite_blocks]:
        return "only flags what the embedded engine is not sure of, which the default policy blocks"
    for name in Bounds.__slots__:
        ours, theirs = getattr(choice.cascade, name), getattr(default.cascade, name)
        if ours != theirs and (ours is None or theirs is None or ours < theirs):
            return f"lets the small model of a cascade decide what is {name} from another probability on"
    for name in Thresholds.__slots__:
        ours, theirs = getattr(choice.thresholds, name), getattr(default.thresholds, name)
        if (ours is None) != (theirs is None):
            return f"finds severities in another way: only one of the two policies has a threshold for {name}"
        if ours is not None and ours > theirs:
            return f"has the higher threshold for {name}"
    # With a lower threshold the same text can count as more severe: then also that severity's action must do.
    is_same = choice.thresholds == default.thresholds
    categories: tuple[Category | None, ...] = (None, *Category)
    for severity, counted, category in product(Severity, Severity, categories):
        if counted is severity or (not is_same and counted.rank > severity.rank):
            ours, theirs = _action(choice, counted, category), _action(default, severity, category)
            if ours.rank < theirs.rank:
                what = f"{counted.value} text" + (f" of category {category.value}" if category else "")
                return f"{_DONE[ours]} {what}, which the default policy {_DONE[theirs]}"
    return None


def _action(rules: Rules, severity: Severity, category: Category | None) -> Action:
    default = rules.actions[severity]
    return default if category is None else rules.categories.get(category, {}).get(severity, default)
