"""What a policy makes of the verdicts, beside what it would make of the gold labels. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ...core.policy import Policy
from ...core.verdict import Action, Category, Severity, Target, Verdict
from .labels import Gold
from .rates import BinaryScore

__all__ = ["policy_document"]


def policy_document(policy: Policy, rows: Sequence[tuple[Gold, Verdict | None]]) -> dict[str, Any]:
    """Actions per gold label, and two scores: of `block`, and of anything but `allow`.

    Right is what the policy would do with a guard that is always right, that is, with the gold label as the verdict:
    so a policy that blocks controversial text is not blamed for it. Texts that could not be judged are left out; what
    happens to them is the policy's `on_failure`.
    """
    wanted: dict[tuple[Target, Severity, tuple[Category, ...]], Action] = {}
    by_label: Counter[tuple[Severity, Action]] = Counter()
    by_action: Counter[tuple[Action, Action]] = Counter()
    for gold, verdict in rows:
        if verdict is None or gold.severity is None:
            continue
        key = (gold.target, gold.severity, gold.categories)
        if key not in wanted:
            wanted[key] = policy.action(_verdict(gold))
        action = policy.action(verdict)
        by_label[gold.severity, action] += 1
        by_action[wanted[key], action] += 1
    return {
        "version": policy.version,
        "actions": {one.value: sum(by_label[severity, one] for severity in Severity) for one in Action},
        "by_gold": {severity.value: {one.value: by_label[severity, one] for one in Action} for severity in Severity},
        "block": _score(by_action, Action.BLOCK).to_dict(),
        "flag_or_block": _score(by_action, Action.FLAG).to_dict(),
    }


def _verdict(gold: Gold) -> Verdict:
    assert gold.severity is not None
    categories = () if gold.severity is Severity.SAFE else gold.categories
    return Verdict(gold.target, gold.severity, categories, gold.refusal, None, engine="gold", model="gold")


def _score(counted: Counter[tuple[Action, Action]], least: Action) -> BinaryScore:
    cells: Counter[tuple[bool, bool]] = Counter()
    for (wanted, action), count in counted.items():
        cells[wanted.rank >= least.rank, action.rank >= least.rank] += count
    return BinaryScore(cells[True, True], cells[False, True], cells[True, False], cells[False, False])
