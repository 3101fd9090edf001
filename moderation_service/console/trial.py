"""Judging for the playground: as the service would, but nothing of it is recorded, counted or remembered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..core.engine import Engine
from ..core.moderator import Check, Outcome
from ..core.policy import Policy
from ..core.verdict import Decision
from ..errors import InvalidRequest, ModerationError
from ..wires import native
from .parts import Parts

__all__ = ["MOST_IN_PART", "Side", "read_side", "row_of", "try_texts"]

MOST_IN_PART = 20
"""Texts of one request; the browser sends a table in parts of so many."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two ways of judging that are compared."""

    policy: Policy
    engine: Engine


def engines_of(parts: Parts) -> Mapping[str, Engine]:
    """The engines that there are to choose from, by name."""
    found = {parts.moderator.engine.name: parts.moderator.engine}
    if parts.moderator.fallback is not None:
        found[parts.moderator.fallback.name] = parts.moderator.fallback
    return found


def read_side(parts: Parts, fields: Mapping[str, Any], name: str) -> Side:
    """What a form chose for a side. Raises InvalidRequest."""
    engines = engines_of(parts)
    engine = fields.get(f"engine_{name}") or parts.moderator.engine.name
    if engine not in engines:
        raise InvalidRequest("There is no such engine.", param=f"engine_{name}")
    return Side(parts.policies.get(fields.get(f"policy_{name}") or None, param=f"policy_{name}"), engines[engine])


def try_texts(
    parts: Parts, texts: Sequence[Mapping[str, str]], sides: Sequence[Side], *, languages: Sequence[str]
) -> Sequence[Sequence[Outcome]]:
    """For each text (`prompt`, `response`) what each side makes of it; a mistake in one text is its own outcome."""
    found = []
    for side in sides:
        moderator = parts.moderator.unrecorded(side.engine)
        checks = [_check(parts, text, side, languages) for text in texts]
        decided = iter(moderator.decide([one for one in checks if isinstance(one, Check)]))
        found.append([next(decided) if isinstance(one, Check) else one for one in checks])
    return list(zip(*found, strict=True))


def row_of(outcome: Outcome) -> Mapping[str, object]:
    """An outcome in a table's columns."""
    if not isinstance(outcome, Decision):
        return {"action": "error", "safety": "", "categories": outcome.message, "p_unsafe": ""}
    verdict = outcome.verdict
    scores = verdict.scores if verdict is not None else None
    return {
        "action": outcome.action.value,
        "safety": verdict.severity.value if verdict is not None else "",
        "categories": " ".join(one.value for one in verdict.categories) if verdict is not None else "",
        "p_unsafe": round(scores.unsafe, 4) if scores is not None else "",
    }


def _check(parts: Parts, text: Mapping[str, str], side: Side, languages: Sequence[str]) -> Check | ModerationError:
    asked = {name: text[name] for name in ("prompt", "response") if text.get(name, "").strip()}
    limits = native.NativeLimits()
    try:
        (read,) = native.parse(asked, policies=parts.policies, limits=limits, languages=languages).items
    except ModerationError as error:
        return error
    return replace(read, policy=side.policy) if isinstance(read, Check) else read
