from __future__ import annotations

import json

import pytest
from hypothesis import given
from made_policies import RULES, policy

from moderation_service.core.policy import Rules
from moderation_service.core.policy_json import rules_from_json
from moderation_service.core.verdict import Target


@given(RULES)
def test_a_policy_that_was_written_down_has_the_same_rules(rules: Rules) -> None:
    content = json.loads(json.dumps(policy("own", rules).to_json()))
    assert rules_from_json(content, Target.PROMPT) == rules


@pytest.mark.parametrize("content", [{}, {"prompt": 1}, {"prompt": {"actions": {"safe": "maybe"}}}, {"prompt": {}}])
def test_what_is_no_policy_has_none(content: dict[str, object]) -> None:
    assert rules_from_json(content, Target.PROMPT) is None
