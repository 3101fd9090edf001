"""The settings of review and appeal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .setting import declare

__all__ = ["ReviewSettings"]

_SECTION = "Review"


@dataclass(frozen=True, kw_only=True)
class ReviewSettings:
    """What `Settings` has for reviewers and for blocked people."""

    review_sample: float = declare(
        0.01,
        _SECTION,
        "Share of all decisions that people are asked to look at by chance, beside those flagged, blocked, close and "
        "appealed. Too low: mistakes that nobody suspects stay unseen. Too high: the queue is full of harmless texts.",
        minimum=0,
        maximum=1,
    )
    review_close: float = declare(
        0.05,
        _SECTION,
        "A text that passed is looked at if a score is as close as that to where the severity changes.",
        minimum=0,
        maximum=0.5,
    )
    review_twice: float = declare(
        0.1,
        _SECTION,
        "Share of what is looked at that two reviewers answer, unseen by each other; their agreement is shown.",
        minimum=0,
        maximum=1,
    )
    appeals: bool = declare(
        False,
        _SECTION,
        "Take appeals of blocked people at `POST /appeals`, and tell at `GET /appeals/{id}` what came of one; needs a "
        "database of records. See docs/review.md.",
    )
    appeals_per_minute: int = declare(
        60,
        _SECTION,
        "Appeals that one API key may send in a minute, and that many in all from callers without one, per worker.",
        minimum=1,
        maximum=100_000,
    )
    lite_adapted: Path | None = declare(
        None,
        _SECTION,
        "File with which `moderation-service adapt` changes the embedded engine; leave it out to undo that. See "
        "docs/review.md.",
    )
