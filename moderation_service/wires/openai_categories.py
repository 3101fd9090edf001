"""Qwen3Guard's nine categories in OpenAI's thirteen, and a decision as OpenAI's scores. No I/O.

The two taxonomies do not match. Two rules keep the mapping honest: every category of ours maps to something, because
callers look at OpenAI's names only, and what our evidence can't tell apart (threats, intent, minors, graphic
depictions) is never claimed. The true category travels beside, in `x_moderation`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from ..core.policy import Policy
from ..core.verdict import Action, Category, Decision, Scores, Severity

__all__ = ["APPROXIMATE", "CATCH_ALL", "MAPPING", "OPENAI_CATEGORIES", "block_score", "mapped"]

OPENAI_CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/intent",
    "self-harm/instructions",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
"""All of OpenAI's categories, in its order. Source: openai/openai-openapi, schema `CreateModerationResponse`."""

CATCH_ALL = ("illicit",)
"""For harm without a category: an engine that names none, or a fail mode that blocks without a verdict."""

MAPPING: Mapping[Category, Sequence[str]] = {
    Category.VIOLENT: ("violence", "illicit/violent", "illicit"),
    Category.NON_VIOLENT_ILLEGAL_ACTS: ("illicit",),
    Category.SEXUAL_CONTENT: ("sexual",),
    Category.PII: CATCH_ALL,
    Category.SUICIDE_SELF_HARM: ("self-harm/instructions", "self-harm"),
    Category.UNETHICAL_ACTS: ("harassment", "hate"),
    Category.POLITICALLY_SENSITIVE_TOPICS: CATCH_ALL,
    Category.COPYRIGHT_VIOLATION: CATCH_ALL,
    Category.JAILBREAK: CATCH_ALL,
}
"""Ours to OpenAI's; a subcategory (`x/y`) always comes with its parent."""

APPROXIMATE = frozenset(
    {Category.PII, Category.POLITICALLY_SENSITIVE_TOPICS, Category.COPYRIGHT_VIOLATION, Category.JAILBREAK}
)
"""Categories that OpenAI has no word for; they go to the catch-all."""

# What stands for a probability where an engine has none.
_WITHOUT_SCORES = {Action.ALLOW: 0.0, Action.FLAG: 0.5, Action.BLOCK: 1.0}


def mapped(categories: Sequence[Category]) -> frozenset[str]:
    """OpenAI's names for these categories; the catch-all when there are none."""
    return frozenset(name for category in categories for name in MAPPING[category]) or frozenset(CATCH_ALL)


def block_score(decision: Decision, policy: Policy) -> float:
    """The probability that the text is of a severity that this policy blocks, given the categories found.

    P(unsafe) under a policy that blocks unsafe text only, P(controversial) + P(unsafe) under a strict one, 0 where the
    policy lets the category pass. Without probabilities 0, 0.5 or 1, after the action.
    """
    verdict = decision.verdict
    if verdict is None or verdict.scores is None:
        return _WITHOUT_SCORES[decision.action]
    return sum(
        _probability(verdict.scores, severity)
        for severity in Severity
        # Without scores the policy goes by the label: what would it do, were this the severity?
        if policy.action(dataclasses.replace(verdict, severity=severity, scores=None)) is Action.BLOCK
    )


def _probability(scores: Scores, severity: Severity) -> float:
    return {
        Severity.SAFE: scores.safe,
        Severity.CONTROVERSIAL: scores.controversial,
        Severity.UNSAFE: scores.unsafe,
    }[severity]
