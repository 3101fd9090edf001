"""What entries of a list would have hit among the texts that were kept: to see it before they count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import select

from ..core.listing import Hit, Listing
from ..core.verdict import Target
from .database import Database
from .schema import decisions, texts

__all__ = ["Trial", "TrialHit", "try_on_records"]

_PART = 500
_MOST_TEXTS = 100_000
Find = Callable[[Target, str], Listing | None]


@dataclass(frozen=True, slots=True)
class TrialHit:
    """A kept text in which an entry stands."""

    decision_id: str
    at: int
    text: str
    hit: Hit


@dataclass(frozen=True, slots=True)
class Trial:
    """Of so many texts so many would have been hit; the newest of them as examples."""

    texts: int
    hits: int
    examples: tuple[TrialHit, ...]


def try_on_records(database: Database, find: Find, *, since: int, examples: int = 10) -> Trial:
    """Compare the texts kept since then (epoch milliseconds) with entries, the newest first; 100 000 at most."""
    seen = hits = 0
    found: list[TrialHit] = []
    after: tuple[int, str] | None = None
    while seen < _MOST_TEXTS:
        statement = (
            select(texts.c.decision_id, texts.c.at, texts.c.text, decisions.c.target)
            .join(decisions, decisions.c.decision_id == texts.c.decision_id)
            .where(texts.c.at >= since)
            .order_by(texts.c.at.desc(), texts.c.decision_id.desc())
            .limit(_PART)
        )
        if after is not None:
            at, decision_id = after
            statement = statement.where((texts.c.at < at) | ((texts.c.at == at) & (texts.c.decision_id < decision_id)))
        with database.read() as connection:
            rows = connection.execute(statement).all()
        for row in rows:
            listing = find(Target.RESPONSE if row.target == 1 else Target.PROMPT, row.text)
            hit = None if listing is None else listing.block or listing.flag or next(iter(listing.allowed), None)
            if hit is not None:
                hits += 1
                if len(found) < examples:
                    found.append(TrialHit(row.decision_id, row.at, row.text, hit))
        seen += len(rows)
        if len(rows) < _PART:
            break
        after = rows[-1].at, rows[-1].decision_id
    return Trial(seen, hits, tuple(found))
