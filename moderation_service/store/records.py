"""Decisions that a filter lets through, page by page, and one that is looked for.

Every question has a time range. Pages go on from the last row and not from a count, and counts end at a bound: a
million rows are never read to show fifty. Values are bound, never written into the SQL.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, Select, alias, func, or_, select

from ..core.verdict import Action, Category, Severity, Target
from ..errors import InvalidRequest
from .codes import ACTIONS, NO_DECISION, SEVERITIES, TARGETS, categories_of, mask_of, stored_name
from .schema import decisions, names, policy_versions, texts

__all__ = [
    "EXPORTED",
    "Cursor",
    "Filter",
    "Found",
    "Page",
    "Text",
    "choices",
    "count",
    "find",
    "page",
    "text_of",
]

_MOST_PER_PAGE = 1000
_NAMED = ("app", "key", "door", "tool", "engine", "model", "reason", "error")
_ID = re.compile(r"[A-Za-z0-9._:+/=@-]{1,128}")
_NOBODY = -1
_OTHER_NAMES = {"decision_id": "id", "severity": "safety"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which decisions; times in milliseconds, `until` without. None stands for all.

    `actions` has `error` for checks without a decision. `user` and `text` are keyed hashes.
    """

    since: int
    until: int
    actions: frozenset[str] | None = None
    app: str | None = None
    key: str | None = None
    door: str | None = None
    engine: str | None = None
    policy: str | None = None
    error: str | None = None
    target: Target | None = None
    severity: Severity | None = None
    category: Category | None = None
    degraded: bool | None = None
    listed: bool | None = None
    user: bytes | None = None
    text: bytes | None = None


class Cursor(NamedTuple):
    """Where a page ends; as text in an address `at-id`."""

    at: int
    id: int

    def __str__(self) -> str:
        return f"{self.at}-{self.id}"

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Raises InvalidRequest."""
        at, _, number = text.partition("-")
        if not (at.isascii() and at.isdecimal() and number.isascii() and number.isdecimal() and len(text) <= 40):
            raise InvalidRequest("`after` must be what an earlier page ended with.", param="after")
        return cls(min(int(at), 1 << 62), min(int(number), 1 << 62))


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A decision as it is shown. `action` is None where the caller got an error; `at` in milliseconds."""

    id: int
    at: int
    decision_id: str
    request_id: str | None
    app: str
    key: str
    door: str
    target: Target
    severity: Severity | None
    p_unsafe: float | None
    p_flagged: float | None
    categories: tuple[Category, ...]
    refusal: bool | None
    action: Action | None
    policy: str
    policy_version: str
    tool: str | None
    engine: str
    model: str
    reason: str | None
    error: str | None
    degraded: bool
    cached: bool
    windows: int
    span: tuple[int, int] | None
    chars: int
    latency_ms: float
    text_hash: bytes
    user_hash: bytes | None
    list_entry: str | None
    list_action: Action | None
    escalated: Action | None

    def to_json(self) -> dict[str, object]:
        """The words of the record, for an export."""
        return {name: _json(getattr(self, place)) for name, place in EXPORTED.items()}


EXPORTED = {_OTHER_NAMES.get(one.name, one.name): one.name for one in fields(Found) if one.name != "id"}
"""The fields of an export, by the words of replies, and the attributes of `Found` that they are from."""


@dataclass(frozen=True, slots=True)
class Page:
    """Decisions, the newest first; `after` asks for the next page, None on the last one."""

    rows: Sequence[Found]
    after: Cursor | None


@dataclass(frozen=True, slots=True)
class Text:
    """A kept text: what was judged, and the turns before it as (role, content)."""

    text: str
    context: Sequence[tuple[str, str]]
    until: int


def page(connection: Connection, wanted: Filter, *, after: Cursor | None = None, size: int = 50) -> Page:
    """The newest decisions that the filter lets through, or those that come after a page. At most 1 000."""
    size = max(1, min(size, _MOST_PER_PAGE))
    conditions = _conditions(connection, wanted)
    if after is not None:
        conditions += [decisions.c.at <= after.at, or_(decisions.c.at < after.at, decisions.c.id < after.id)]
    # The ids alone first: the index has all of the filter, and only what is shown is read as a whole.
    chosen = select(decisions.c.id, decisions.c.at).where(*conditions)
    chosen = chosen.order_by(decisions.c.at.desc(), decisions.c.id.desc()).limit(size + 1)
    ids = [row.id for row in connection.execute(chosen)]
    rows = _found(connection, decisions.c.id.in_(ids[:size])) if ids else []
    last = Cursor(rows[-1].at, rows[-1].id) if len(ids) > size else None
    return Page(rows, last)


def count(connection: Connection, wanted: Filter, *, most: int = 1000) -> int:
    """How many the filter lets through; `most` + 1 stands for more than that."""
    some = select(decisions.c.id).where(*_conditions(connection, wanted)).limit(most + 1).subquery()
    return connection.execute(select(func.count()).select_from(some)).scalar_one()


def find(connection: Connection, identity: str) -> Sequence[Found]:
    """The decisions of this decision id or request id, the newest first. Any text may be given."""
    identity = identity.strip()
    if not _ID.fullmatch(identity):
        return []
    return _found(connection, or_(decisions.c.decision_id == identity, decisions.c.request_id == identity))


def text_of(connection: Connection, decision_id: str) -> Text | None:
    """The text of a decision, if a policy kept it and its time is not over."""
    row = connection.execute(select(texts).where(texts.c.decision_id == decision_id)).one_or_none()
    if row is None:
        return None
    turns = json.loads(row.context) if row.context else []
    return Text(row.text, [(turn["role"], turn["content"]) for turn in turns], row.until)


def choices(connection: Connection, kind: str) -> Sequence[str]:
    """The names there are of a kind (app, key, door, engine, error), for a filter to choose from."""
    statement = select(names.c.name).where(names.c.kind == kind, names.c.name != "").order_by(names.c.name)
    return connection.execute(statement.limit(_MOST_PER_PAGE)).scalars().all()


def _conditions(connection: Connection, wanted: Filter) -> list[ColumnElement[bool]]:
    table = decisions.c
    found: list[ColumnElement[bool]] = [table.at >= wanted.since, table.at < wanted.until]
    for kind in ("app", "key", "door", "engine", "error"):
        name = getattr(wanted, kind)
        if name is not None:
            found.append(table[kind] == _number(connection, kind, name))
    if wanted.policy is not None:
        ids = select(policy_versions.c.id).where(policy_versions.c.name == stored_name(wanted.policy))
        found.append(table.policy.in_(connection.execute(ids).scalars().all() or [_NOBODY]))
    if wanted.actions is not None:
        numbers = [place for place, one in enumerate(ACTIONS) if one.value in wanted.actions]
        found.append(table.action.in_(numbers + [NO_DECISION] * ("error" in wanted.actions)))
    if wanted.target is not None:
        found.append(table.target == TARGETS.index(wanted.target))
    if wanted.severity is not None:
        found.append(table.severity == wanted.severity.rank)
    if wanted.category is not None:
        found.append(table.categories.bitwise_and(mask_of([wanted.category])) != 0)
    if wanted.degraded is not None:
        found.append(table.degraded.is_(wanted.degraded))
    if wanted.listed is not None:
        found.append(table.list_entry.is_not(None) if wanted.listed else table.list_entry.is_(None))
    if wanted.user is not None:
        found.append(table.user_hash == wanted.user)
    if wanted.text is not None:
        found.append(table.text_hash == wanted.text)
    return found


def _number(connection: Connection, kind: str, name: str) -> int:
    """The number of a name; one that no row has where the name was never seen."""
    statement = select(names.c.id).where(names.c.kind == kind, names.c.name == stored_name(name))
    found = connection.execute(statement).scalar_one_or_none()
    return _NOBODY if found is None else found


def _found(connection: Connection, condition: ColumnElement[bool]) -> Sequence[Found]:
    statement = _with_names().where(condition).order_by(decisions.c.at.desc(), decisions.c.id.desc())
    return [_shown(row) for row in connection.execute(statement.limit(_MOST_PER_PAGE))]


def _with_names() -> Select[Any]:
    """All columns, with the words for their numbers beside them."""
    joined: Any = decisions.join(policy_versions, policy_versions.c.id == decisions.c.policy)
    words = []
    for kind in _NAMED:
        named = alias(names, f"name_of_{kind}")
        joined = joined.outerjoin(named, named.c.id == decisions.c[kind])
        words.append(named.c.name.label(f"{kind}_name"))
    policy = policy_versions.c.name.label("policy_name"), policy_versions.c.version.label("policy_version")
    return select(decisions, *policy, *words).select_from(joined)


def _shown(row: Row[Any]) -> Found:
    return Found(
        id=row.id,
        at=row.at,
        decision_id=row.decision_id,
        request_id=row.request_id,
        app=row.app_name or "",
        key=row.key_name or "",
        door=row.door_name or "",
        target=TARGETS[row.target],
        severity=None if row.severity is None else SEVERITIES[row.severity],
        p_unsafe=row.p_unsafe,
        p_flagged=row.p_flagged,
        categories=categories_of(row.categories),
        refusal=row.refusal,
        action=_action(row.action),
        policy=row.policy_name,
        policy_version=row.policy_version,
        tool=row.tool_name,
        engine=row.engine_name or "",
        model=row.model_name or "",
        reason=row.reason_name,
        error=row.error_name,
        degraded=row.degraded,
        cached=row.cached,
        windows=row.windows,
        span=None if row.span_start is None else (row.span_start, row.span_end),
        chars=row.chars,
        latency_ms=row.latency_ms,
        text_hash=row.text_hash,
        user_hash=row.user_hash,
        list_entry=row.list_entry,
        list_action=_action(row.list_action),
        escalated=_action(row.escalated),
    )


def _action(number: int | None) -> Action | None:
    return None if number is None or number == NO_DECISION else ACTIONS[number]


def _json(value: object) -> object:
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, bytes):
        return value.hex()
    return [_json(one) for one in value] if isinstance(value, tuple) else value
