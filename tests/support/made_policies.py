"""Policies of all kinds for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from moderation_service.core.policy import LiteBlocks, OnFailure, Policy, Rules, Thresholds, ToolRules
from moderation_service.core.verdict import Action, Category, Severity, Target

__all__ = ["CATEGORIES", "RULES", "policy"]

ACTIONS = st.sampled_from(Action)
BOUND = st.none() | st.floats(0.05, 1.0)
CATEGORIES = (Category.PII, Category.VIOLENT)
RULES = st.builds(
    Rules,
    actions=st.fixed_dictionaries(dict.fromkeys(Severity, ACTIONS)),
    categories=st.dictionaries(
        st.sampled_from(CATEGORIES), st.dictionaries(st.sampled_from(Severity), ACTIONS, max_size=3), max_size=2
    ),
    thresholds=st.builds(Thresholds, BOUND, BOUND),
    on_failure=st.sampled_from(OnFailure),
    on_uncovered=ACTIONS,
    lite_blocks=st.sampled_from(LiteBlocks),
)


def policy(name: str, rules: Rules, *tools: ToolRules) -> Policy:
    return Policy(name, "", dict.fromkeys(Target, rules), tools=tools)
