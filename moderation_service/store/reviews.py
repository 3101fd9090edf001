"""The queue of decisions that people look at, and their answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, case, exists, func, or_, select

from ..core.policy import BUILT_IN, Policies, Rules
from ..core.policy_json import rules_from_json
from ..core.review import SAMPLE_DIGITS, Answer, Why, distance_to_a_threshold, is_sampled
from ..core.verdict import Action, Category, Severity, Target, Verdict
from ..errors import NotFound
from . import trail
from .codes import ACTIONS, SEVERITIES, TARGETS, categories_of, mask_of
from .database import insert_new
from .schema import appeals, decisions, policy_versions, review_items, reviews

__all__ = [
    "DecidedAppeal",
    "Progress",
    "Review",
    "answer",
    "answered_at",
    "enqueue",
    "found_new",
    "is_queued",
    "last_answered",
    "progress",
    "put",
    "review_of",
    "skip",
    "take",
]

# A reviewer who went home must not keep a text from the others.
_TAKEN_FOR_MS = 10 * 60_000
_MOST_AT_ONCE = 500
_MOST_SCANNED = 5000
_SKIPPED = -1
_BLOCK, _FLAG, _ALLOW = (ACTIONS.index(one) for one in (Action.BLOCK, Action.FLAG, Action.ALLOW))


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What a reviewer said. `severity` and `categories` are the right ones, `action` what the policy makes of them."""

    answer: Answer
    severity: Severity | None = None
    categories: tuple[Category, ...] = ()
    note: str = ""

    def to_json(self) -> dict[str, object]:
        """For the audit trail."""
        severity = None if self.severity is None else self.severity.value
        names = [one.value for one in self.categories]
        return {"answer": self.answer.value, "severity": severity, "categories": names, "note": self.note}


@dataclass(frozen=True, slots=True)
class DecidedAppeal:
    """An appeal that was decided just now, by whom it was filed (app or key; may be empty), and what came of it."""

    decision_id: str
    app: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How many wait, and how many this reviewer and all reviewers answered since a moment."""

    waiting: int
    mine: int
    all: int


def found_new(
    connection: Connection, *, policies: Policies, sample: float, close: float, since_ms: int
) -> list[dict[str, Any]]:
    """What is to be looked at and not in the queue yet, newest first and a bounded number of each kind, for `put`.

    It looks at all records since then. On SQLite nobody else can write while a connection for changes is open: give
    it one that reads.
    """
    found: dict[str, dict[str, Any]] = {}
    wanted = (
        (Why.BLOCKED, decisions.c.action == _BLOCK),
        (Why.FLAGGED, decisions.c.action == _FLAG),
        (Why.SAMPLED, _is_sampled(sample)),
    )
    for why, condition in wanted:
        for row in _new(connection, condition, since_ms=since_ms, most=_MOST_AT_ONCE):
            found.setdefault(row.decision_id, _item(row, why))
    for row in _close(connection, policies, within=close, since_ms=since_ms):
        found.setdefault(row.decision_id, _item(row, Why.CLOSE))
    return list(found.values())


def put(connection: Connection, found: Sequence[Mapping[str, Any]]) -> None:
    """Put this into the queue, but for what somebody else has put there meanwhile."""
    insert_new(connection, review_items, found, unless=["decision_id"])


def enqueue(connection: Connection, decision_id: str, why: Why, *, at: int) -> None:
    """Put one decision to its place in the queue, again if it was looked at before."""
    row = {"decision_id": decision_id, "why": why.value, "priority": why.rank, "at": at, "state": "open"}
    insert_new(connection, review_items, [row], unless=["decision_id"])
    again = review_items.update().where(review_items.c.decision_id == decision_id)
    connection.execute(again.values(why=why.value, priority=why.rank, state="open", closed_at=None))


def is_queued(connection: Connection, decision_id: str) -> bool:
    """Whether a decision is in the queue, or was answered there."""
    wanted = select(review_items.c.decision_id).where(review_items.c.decision_id == decision_id)
    return connection.execute(wanted).first() is not None


def take(connection: Connection, *, reviewer: str, now_ms: int, beside: str | None = None) -> str | None:
    """The decision that this reviewer is to look at next, which nobody else gets meanwhile; None where none waits.

    `beside` is one that is not to be given again at once. Needs a connection that writes.
    """
    table = review_items.c
    answered = exists().where(reviews.c.decision_id == table.decision_id, reviews.c.reviewer == reviewer)
    is_free = or_(table.taken_until.is_(None), table.taken_until < now_ms, table.taken_by == reviewer)
    wanted = select(table.decision_id).where(table.state == "open", is_free, ~answered)
    if beside is not None:
        wanted = wanted.where(table.decision_id != beside)
    is_mine = case(((table.taken_by == reviewer) & (table.taken_until >= now_ms), 0), else_=1)
    wanted = wanted.order_by(is_mine, table.priority.desc(), table.at.desc()).limit(1).with_for_update(skip_locked=True)
    found: str | None = connection.execute(wanted).scalar_one_or_none()
    if found is not None:
        mark = review_items.update().where(table.decision_id == found)
        connection.execute(mark.values(taken_by=reviewer, taken_until=now_ms + _TAKEN_FOR_MS))
    return found


def skip(connection: Connection, decision_id: str, *, reviewer: str) -> None:
    """Give a decision back; it comes last from now on."""
    mark = review_items.update().where(review_items.c.decision_id == decision_id, review_items.c.taken_by == reviewer)
    connection.execute(mark.values(taken_by=None, taken_until=None, priority=_SKIPPED))


def answer(
    connection: Connection, decision_id: str, given: Review, *, reviewer: str, twice: float, now_ms: int
) -> DecidedAppeal | None:
    """Write down what a reviewer says, in place of what the same one said before; closes what enough have answered.

    An appeal is decided with it, and returned: overturned where the right severity is not blocked by the policy of that
    time. Raises NotFound for a decision that is not in the queue.
    """
    row = _decided(connection, decision_id)
    rules = _rules(row)
    severity, action = _acted(row, rules), ACTIONS[row.action] if row.action < len(ACTIONS) else None
    if given.answer is Answer.WRONG:
        severity, action = given.severity, _action(rules, given, TARGETS[row.target])
    values = {
        "answer": given.answer.value,
        "severity": None if severity is None or given.answer is Answer.UNSURE else severity.rank,
        "action": None if action is None or given.answer is Answer.UNSURE else action.rank,
        "categories": row.categories if given.answer is Answer.RIGHT else mask_of(given.categories),
        "note": given.note,
        "at": now_ms,
    }
    before = review_of(connection, decision_id, reviewer=reviewer)
    place = {"decision_id": decision_id, "reviewer": reviewer}
    if before is None:
        connection.execute(reviews.insert().values(**place, **values))
    else:
        same = (reviews.c.decision_id == decision_id, reviews.c.reviewer == reviewer)
        connection.execute(reviews.update().where(*same).values(**values))
    shown = None if before is None else before.to_json()
    trail.record(
        connection, actor=reviewer, action="review", subject=decision_id, before=shown, after=given.to_json(), at=now_ms
    )
    _close_item(connection, decision_id, twice=twice, now_ms=now_ms)
    if given.answer is Answer.UNSURE:
        return None
    outcome = "overturned" if action is not None and action is not Action.BLOCK else "upheld"
    decided = {"state": "closed", "outcome": outcome, "decided_by": reviewer, "decided_at": now_ms, "note": given.note}
    is_open = (appeals.c.decision_id == decision_id, appeals.c.state == "open")
    changed = connection.execute(appeals.update().where(*is_open).values(**decided).returning(appeals.c.app))
    app = changed.scalar_one_or_none()
    return None if app is None else DecidedAppeal(decision_id, app, outcome)


def review_of(connection: Connection, decision_id: str, *, reviewer: str) -> Review | None:
    """What this reviewer said of a decision."""
    same = (reviews.c.decision_id == decision_id, reviews.c.reviewer == reviewer)
    row = connection.execute(select(reviews).where(*same)).one_or_none()
    if row is None:
        return None
    severity = None if row.severity is None else SEVERITIES[row.severity]
    categories = categories_of(row.categories or 0)
    return Review(answer=Answer(row.answer), severity=severity, categories=categories, note=row.note)


def answered_at(connection: Connection, decision_id: str, *, reviewer: str) -> int | None:
    """When this reviewer answered a decision; None where that has not been."""
    same = (reviews.c.decision_id == decision_id, reviews.c.reviewer == reviewer)
    at: int | None = connection.execute(select(reviews.c.at).where(*same)).scalar_one_or_none()
    return at


def last_answered(connection: Connection, *, reviewer: str, before_ms: int | None = None) -> tuple[str, int] | None:
    """The decision that this reviewer answered last, and when; before that moment where one is given."""
    wanted = select(reviews.c.decision_id, reviews.c.at).where(reviews.c.reviewer == reviewer)
    if before_ms is not None:
        wanted = wanted.where(reviews.c.at < before_ms)
    row = connection.execute(wanted.order_by(reviews.c.at.desc(), reviews.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else (row.decision_id, row.at)


def progress(connection: Connection, *, reviewer: str, since_ms: int) -> Progress:
    """Where the work stands."""
    waiting = select(func.count()).select_from(review_items).where(review_items.c.state == "open")
    done = select(func.count()).select_from(reviews).where(reviews.c.at >= since_ms)
    counts = (waiting, done.where(reviews.c.reviewer == reviewer), done)
    return Progress(*(connection.execute(one).scalar_one() for one in counts))


def _is_sampled(share: float) -> ColumnElement[bool]:
    """As `core.review.is_sampled` has it: by digits of the id."""
    first, behind = SAMPLE_DIGITS.start, SAMPLE_DIGITS.stop
    digits = func.substr(decisions.c.decision_id, len("mod_") + 1 + first, behind - first)
    bound = min(round(share * 16**4), 16**4)
    return digits < f"{bound:04x}" if bound < 16**4 else decisions.c.action == _ALLOW


def _new(connection: Connection, condition: ColumnElement[bool], *, since_ms: int, most: int) -> list[Row[Any]]:
    """Decisions that are not in the queue yet, newest first; those without an error."""
    queued = exists().where(review_items.c.decision_id == decisions.c.decision_id)
    wanted = select(
        decisions.c.decision_id, decisions.c.at, decisions.c.p_unsafe, decisions.c.p_flagged, decisions.c.target,
        policy_versions.c.name,
    )  # fmt: skip
    wanted = wanted.join_from(decisions, policy_versions, decisions.c.policy == policy_versions.c.id)
    wanted = wanted.where(decisions.c.at >= since_ms, decisions.c.error.is_(None), condition, ~queued)
    return list(connection.execute(wanted.order_by(decisions.c.at.desc()).limit(most)))


def _close(connection: Connection, policies: Policies, *, within: float, since_ms: int) -> list[Row[Any]]:
    """What passed with a score that is close to a threshold of its policy, as that is now."""
    rules = {policy.name: policy.rules for policy in policies}
    bounds = [0.5] + [
        bound
        for of_policy in rules.values()
        for one in of_policy.values()
        for bound in (one.thresholds.unsafe, one.thresholds.controversial)
        if bound is not None
    ]
    condition = (decisions.c.action == _ALLOW) & (decisions.c.p_flagged >= min(bounds) - within)
    found = []
    for row in _new(connection, condition, since_ms=since_ms, most=_MOST_SCANNED):
        own = rules.get(row.name, BUILT_IN["balanced"].rules)[TARGETS[row.target]]
        distance = distance_to_a_threshold(own, unsafe=row.p_unsafe, flagged=row.p_flagged)
        if distance is not None and distance <= within:
            found.append(row)
    return found[:_MOST_AT_ONCE]


def _item(row: Row[Any], why: Why) -> dict[str, Any]:
    return {"decision_id": row.decision_id, "why": why.value, "priority": why.rank, "at": row.at, "state": "open"}


def _decided(connection: Connection, decision_id: str) -> Row[Any]:
    wanted = select(decisions, policy_versions.c.content)
    wanted = wanted.join_from(decisions, policy_versions, decisions.c.policy == policy_versions.c.id)
    wanted = wanted.join(review_items, review_items.c.decision_id == decisions.c.decision_id)
    # The item is held till the end: of two answers at once, PostgreSQL would refuse the second as a fault of ours.
    wanted = wanted.where(decisions.c.decision_id == decision_id).with_for_update(of=review_items)
    row = connection.execute(wanted).one_or_none()
    if row is None:
        raise NotFound("There is no such decision to be reviewed.")
    return row


def _rules(row: Row[Any]) -> Rules:
    """The rules by which it was decided."""
    target = TARGETS[row.target]
    return rules_from_json(json.loads(row.content), target) or BUILT_IN["balanced"].rules[target]


def _acted(row: Row[Any], rules: Rules) -> Severity | None:
    """The severity that was acted on."""
    if row.severity is None:
        return None
    return rules.thresholds.severity_of(SEVERITIES[row.severity], unsafe=row.p_unsafe, flagged=row.p_flagged)


def _action(rules: Rules, given: Review, target: Target) -> Action | None:
    """What the policy does with a text of the severity and categories that the reviewer names."""
    if given.severity is None:
        return None
    return rules.action(Verdict(target, given.severity, given.categories, None, None, "", ""))


def _close_item(connection: Connection, decision_id: str, *, twice: float, now_ms: int) -> None:
    count = select(func.count()).select_from(reviews).where(reviews.c.decision_id == decision_id)
    needed = 2 if is_sampled(decision_id[::-1], twice) else 1
    is_done = connection.execute(count).scalar_one() >= needed
    state = {"state": "done", "closed_at": now_ms} if is_done else {"state": "open", "closed_at": None}
    mark = review_items.update().where(review_items.c.decision_id == decision_id)
    connection.execute(mark.values(**state, taken_by=None, taken_until=None))
