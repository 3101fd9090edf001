"""What came of judging one text, and how several findings on one text are put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..errors import ModerationError
from .never_milder import at_least, merged
from .verdict import Verdict

__all__ = ["Found", "reconciled", "with_fallback"]


@dataclass(frozen=True, slots=True)
class Found:
    """A verdict or the failure to get one, and how it came about.

    Both where the verdict is not all: of a part of the text (`Verdict.may_be_worse`), or the fallback's.
    """

    verdict: Verdict | None
    error: ModerationError | None = None
    cached: bool = False
    degraded: bool = False


def reconciled(found: Sequence[Found], prints: Sequence[bytes]) -> list[Found]:
    """A text that stands several times in a batch is nowhere judged milder than elsewhere, whatever was asked of it."""
    strictest: dict[bytes, Verdict] = {}
    for one, fingerprint in zip(found, prints, strict=True):
        if one.verdict is not None:
            known = strictest.get(fingerprint, one.verdict)
            strictest[fingerprint] = at_least(one.verdict, known)
    return [
        one if one.verdict is None else replace(one, verdict=at_least(one.verdict, strictest[fingerprint]))
        for one, fingerprint in zip(found, prints, strict=True)
    ]


def with_fallback(found: Found | None, answer: Verdict) -> Found:
    """The fallback's verdict, beside what the engine had read of a part of the text."""
    read, error = (None, None) if found is None else (found.verdict, found.error)
    verdict = answer if read is None else replace(merged([read, answer]), windows=answer.windows)
    return Found(verdict, error, degraded=True)
