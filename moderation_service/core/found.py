"""What came of judging one text, and how several findings on one text are put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..errors import ModerationError
from .never_milder import alike, merged
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
    verdicts = alike([one.verdict for one in found], prints)
    return [replace(one, verdict=verdict) for one, verdict in zip(found, verdicts, strict=True)]


def with_fallback(found: Found | None, answer: Verdict) -> Found:
    """The fallback's verdict, beside what the engine had read of a part of the text."""
    read, error = (None, None) if found is None else (found.verdict, found.error)
    verdict = answer if read is None else replace(merged([read, answer]), windows=answer.windows)
    return Found(verdict, error, degraded=True)
