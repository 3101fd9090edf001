"""What comes out of reviews: labelled rows, and how far reviewers agree."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from ..core.review import Agreement, agreement
from ..core.verdict import Severity, Target
from .codes import SEVERITIES, TARGETS, categories_of
from .schema import decisions, reviews, texts

__all__ = ["Labelled", "labelled", "reviewers_agreement"]


@dataclass(frozen=True, slots=True)
class Labelled:
    """A reviewed decision on which its reviewers agree.

    `row` is one for `eval`; None where the text was not kept (`is_kept`), or not asked for.
    """

    decision_id: str
    target: Target
    severity: Severity
    p_unsafe: float | None
    p_flagged: float | None
    is_kept: bool
    row: dict[str, Any] | None


def labelled(connection: Connection, *, since_ms: int, until_ms: int, with_texts: bool = True) -> Iterator[Labelled]:
    """Those reviewed in that time, oldest first; those whose reviewers name different severities are left out.

    Texts may be long: without them nothing of them is read.
    """
    found: defaultdict[str, list[Row[Any]]] = defaultdict(list)
    for row in connection.execute(_reviewed(since_ms=since_ms, until_ms=until_ms, with_texts=with_texts)):
        found[row.decision_id].append(row)
    for decision_id, rows in found.items():
        if len({row.severity for row in rows}) == 1:
            last = rows[-1]
            severity, target = SEVERITIES[last.severity], TARGETS[last.target]
            labels = _row(last, severity, target) if with_texts and last.is_kept else None
            yield Labelled(decision_id, target, severity, last.p_unsafe, last.p_flagged, bool(last.is_kept), labels)


def reviewers_agreement(connection: Connection, *, since_ms: int, until_ms: int) -> dict[tuple[str, str], Agreement]:
    """For each pair of reviewers, by name, how they answered on the decisions that both have answered."""
    by_decision: defaultdict[str, dict[str, Severity]] = defaultdict(dict)
    for row in connection.execute(_reviewed(since_ms=since_ms, until_ms=until_ms, with_texts=False)):
        by_decision[row.decision_id][row.reviewer] = SEVERITIES[row.severity]
    pairs: defaultdict[tuple[str, str], list[tuple[Severity, Severity]]] = defaultdict(list)
    for said in by_decision.values():
        names = sorted(said)
        for place, first in enumerate(names):
            for second in names[place + 1 :]:
                pairs[first, second].append((said[first], said[second]))
    return {names: agreement(answers) for names, answers in sorted(pairs.items())}


def _reviewed(*, since_ms: int, until_ms: int, with_texts: bool) -> Select[Any]:
    """Answers that name a severity; unsure ones have none."""
    wanted = select(
        reviews.c.decision_id, reviews.c.reviewer, reviews.c.severity, reviews.c.categories, decisions.c.target,
        decisions.c.p_unsafe, decisions.c.p_flagged, texts.c.decision_id.is_not(None).label("is_kept"),
        *([texts.c.text, texts.c.context] if with_texts else []),
    )  # fmt: skip
    wanted = wanted.join_from(reviews, decisions, reviews.c.decision_id == decisions.c.decision_id)
    wanted = wanted.outerjoin(texts, texts.c.decision_id == decisions.c.decision_id)
    wanted = wanted.where(reviews.c.at >= since_ms, reviews.c.at < until_ms, reviews.c.severity.is_not(None))
    return wanted.order_by(reviews.c.at, reviews.c.id)


def _row(found: Row[Any], severity: Severity, target: Target) -> dict[str, Any]:
    """A row as `eval` reads it."""
    role = "user" if target is Target.PROMPT else "assistant"
    messages = [*(json.loads(found.context) if found.context else []), {"role": role, "content": found.text}]
    names = [] if severity is Severity.SAFE else [one.value for one in categories_of(found.categories or 0)]
    label = {"label": severity.value, "categories": names, "source": "review", "id": found.decision_id}
    return {"messages": messages, **label}
