"""The rules of a policy from what `GET /policies` shows of it, such as a version that is on record. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .policy import LiteBlocks, OnFailure, Rules, Thresholds
from .verdict import Action, Category, Severity, Target

__all__ = ["rules_from_json"]


def rules_from_json(content: Mapping[str, Any], target: Target) -> Rules | None:
    """Those for texts that are of no tool; None where the content is not of a policy."""
    found = content.get(target.value)
    if not isinstance(found, Mapping):
        return None
    try:
        return Rules(
            _actions(found["actions"]),
            {Category(name): _actions(actions) for name, actions in found["categories"].items()},
            Thresholds(found["thresholds"]["controversial"], found["thresholds"]["unsafe"]),
            OnFailure(found["on_failure"]),
            Action(found["on_uncovered"]),
            LiteBlocks(found["lite_blocks"]),
        )
    except (KeyError, ValueError, TypeError, AttributeError):
        return None


def _actions(found: Mapping[str, str]) -> dict[Severity, Action]:
    return {Severity(name): Action(action) for name, action in found.items()}
