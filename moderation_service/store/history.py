"""The recorded decisions of a period, as what another policy can be tried on: no text, no engine call."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Row, select

from ..core.policy_comparison import Case
from ..core.verdict import Action, PartRead
from ..core.what_if import Judged
from .codes import ACTIONS, COVERAGES, DETAILS, NO_DECISION, SEVERITIES, TARGETS, categories_of, parts_of
from .schema import decisions, names, policy_versions, reviews

__all__ = ["Period", "should_be"]

_COLUMNS = (
    "at", "decision_id", "app", "target", "severity", "p_unsafe", "p_flagged", "categories", "detail", "read_in_part",
    "coverage", "is_sure", "tool", "engine", "reason", "degraded", "error", "list_entry",
)  # fmt: skip
_AT_ONCE = 1000


class Period:
    """The decisions from `since_ms` to `until_ms`, of one app or one policy where it is named, newest first.

    `aside` counts what no policy decides: `errors` of callers (too large, too many) and what `lists` decided.
    """

    def __init__(
        self, connection: Connection, *, since_ms: int, until_ms: int, app: str | None = None, policy: str | None = None
    ) -> None:
        self._connection = connection
        self._since_ms, self._until_ms = since_ms, until_ms
        self._app, self._policy = app, policy
        self._names = {row.id: row.name for row in connection.execute(select(names.c.id, names.c.name))}
        self.aside: Counter[str] = Counter()

    def cases(self) -> Iterator[Case]:
        """Each decision, with what reviewers said of it."""
        should = should_be(self._connection, since_ms=self._since_ms, until_ms=self._until_ms)
        for row in self._rows():
            if row.list_entry is not None:
                self.aside["lists"] += 1
            elif row.error is not None and row.reason is None:
                self.aside["errors"] += 1
            else:
                app = self._names.get(row.app, "")
                yield Case(row.decision_id, row.at, app, self._judged(row), should.get(row.decision_id))

    def _rows(self) -> Iterator[Row[Any]]:
        wanted = select(*(decisions.c[name] for name in _COLUMNS))
        wanted = wanted.where(decisions.c.at >= self._since_ms, decisions.c.at < self._until_ms)
        if self._app is not None:
            of_app = select(names.c.id).where(names.c.kind == "app", names.c.name == self._app)
            wanted = wanted.where(decisions.c.app.in_(of_app))
        if self._policy is not None:
            versions = select(policy_versions.c.id).where(policy_versions.c.name == self._policy)
            wanted = wanted.where(decisions.c.policy.in_(versions))
        wanted = wanted.order_by(decisions.c.at.desc(), decisions.c.id.desc())
        streamed = self._connection.execution_options(stream_results=True, yield_per=_AT_ONCE)
        yield from streamed.execute(wanted)

    def _judged(self, row: Row[Any]) -> Judged:
        parts = parts_of(row.read_in_part) if row.read_in_part else frozenset()
        # The fallback's verdict is all of the text; without it, a part is what was read before the failure.
        is_fallback = self._names.get(row.engine) == "lite" or PartRead.WINDOWS not in parts
        return Judged(
            target=TARGETS[row.target],
            severity=None if row.severity is None else SEVERITIES[row.severity],
            unsafe=row.p_unsafe,
            flagged=row.p_flagged,
            categories=categories_of(row.categories) if row.categories else (),
            detail=DETAILS[row.detail],
            read_in_part=parts,
            coverage=None if row.coverage is None else COVERAGES[row.coverage],
            is_sure=row.is_sure,
            has_failed=row.reason is not None,
            by_fallback=row.severity is not None and row.degraded and is_fallback,
            # Recorded where the policy of that time had rules for tools.
            tool=None if row.tool is None else self._names.get(row.tool),
            knows_tool=row.tool is not None,
        )


def should_be(connection: Connection, *, since_ms: int, until_ms: int) -> dict[str, Action]:
    """What reviewers said is the right action, by decision; of those who contradict each other, nothing."""
    wanted = select(reviews.c.decision_id, reviews.c.answer, reviews.c.action, decisions.c.action.label("was"))
    wanted = wanted.join_from(reviews, decisions, reviews.c.decision_id == decisions.c.decision_id)
    wanted = wanted.where(decisions.c.at >= since_ms, decisions.c.at < until_ms)
    said: defaultdict[str, set[int]] = defaultdict(set)
    for row in connection.execute(wanted):
        action = row.was if row.answer == "right" else row.action
        if row.answer != "unsure" and action is not None and action != NO_DECISION:
            said[row.decision_id].add(action)
    return {decision_id: ACTIONS[next(iter(actions))] for decision_id, actions in said.items() if len(actions) == 1}
