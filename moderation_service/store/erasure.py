"""What goes on request: everything that belongs to one end user, or all records older than a moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import sleep

from sqlalchemy import Connection, Table, delete, exists, select

from ..core.keyed_hash import KeyedHashes
from .database import Database
from .housekeeping import CHUNK, delete_chunk, delete_decisions
from .schema import appeals, decisions, escalations, names, review_items, reviews, texts
from .trail import record

__all__ = ["Erased", "erase_user", "purge"]

_PAUSE_S = 0.05
_PAGES = 64
_OF_PEOPLE: Sequence[Table] = (appeals, review_items, reviews)


@dataclass(frozen=True, slots=True)
class Erased:
    """How many rows went."""

    decisions: int
    texts: int
    appeals: int


def purge(
    database: Database, *, before: int, actor: str, texts_only: bool = False, pause: Callable[[float], None] = sleep
) -> Erased:
    """Delete what was decided before a moment, with its texts, appeals and reviews, and repeat offenders of then.

    Appeals and reviews that have outlived their decision go too: databases that are older than this rule have some.
    It goes a little at a time: writers get their turn in between. Hourly sums stay. Raises StoreUnavailable.
    """
    texts_gone = _all_chunks(database, lambda c: delete_chunk(c, texts, texts.c.at < before), pause)
    gone = 0
    if not texts_only:
        older = decisions.c.at < before
        gone = _all_chunks(database, lambda c: delete_decisions(c, older)[decisions.name], pause)
        for table in _OF_PEOPLE:
            _all_chunks(database, partial(_delete_orphans, table), pause)
        _all_chunks(database, lambda c: delete_chunk(c, escalations, escalations.c.until < before), pause)
    erased = Erased(gone, texts_gone, 0)
    _tell(database, actor, "records.purge", {"before": before, "decisions": gone, "texts": texts_gone})
    return erased


def erase_user(
    database: Database,
    hashes: KeyedHashes,
    user: str,
    *,
    actor: str,
    app: str | None = None,
    pause: Callable[[float], None] = sleep,
) -> Erased:
    """Delete the decisions of an end user of an app (of any, without one), with their texts, appeals and reviews.

    `user` is the id that the app sent. Hourly sums stay, which are about nobody. Raises StoreUnavailable.
    """
    with database.read() as connection:
        apps = [app] if app is not None else _apps(connection)
    whose = [hashes.user(one, user) for one in apps]
    counts = [0, 0, 0]
    for start in range(0, len(whose), _PAGES):
        some = whose[start : start + _PAGES]
        while True:
            with database.write() as connection:
                gone = _erase_chunk(connection, some)
            counts = [one + more for one, more in zip(counts, gone, strict=True)]
            # Not until nothing is found: of somebody who goes on there is always more.
            if gone[0] < CHUNK:
                break
            pause(_PAUSE_S)
    erased = Erased(*counts)
    _tell(database, actor, "records.erase", {"decisions": counts[0], "texts": counts[1], "appeals": counts[2]})
    return erased


def _apps(connection: Connection) -> Sequence[str]:
    """All that there are records of, and the one without a name."""
    found = connection.execute(select(names.c.name).where(names.c.kind == "app")).scalars().all()
    return sorted({"", *found})


def _erase_chunk(connection: Connection, whose: Sequence[bytes]) -> tuple[int, int, int]:
    gone = delete_decisions(connection, decisions.c.user_hash.in_(whose))
    # An appeal may be filed while its decision goes.
    left = connection.execute(delete(appeals).where(appeals.c.user_hash.in_(whose))).rowcount
    connection.execute(delete(escalations).where(escalations.c.user_hash.in_(whose)))
    return gone[decisions.name], gone[texts.name], gone[appeals.name] + left


def _delete_orphans(table: Table, connection: Connection) -> int:
    alone = ~exists().where(decisions.c.decision_id == table.c.decision_id)
    return delete_chunk(connection, table, alone)


def _all_chunks(database: Database, delete_some: Callable[[Connection], int], pause: Callable[[float], None]) -> int:
    total = 0
    while True:
        with database.write() as connection:
            gone = delete_some(connection)
        total += gone
        if gone < CHUNK:
            return total
        pause(_PAUSE_S)


def _tell(database: Database, actor: str, action: str, after: dict[str, object]) -> None:
    with database.write() as connection:
        # Not whose: the trail outlives what was erased.
        record(connection, actor=actor, action=action, subject="records", after=after)
