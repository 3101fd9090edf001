"""When a flagged token counts: only with a flagged neighbour before it, so that a single odd token stops nothing.

Two variants of the rule exist. Qwen3Guard's technical report (arXiv 2510.14276, section 4.4) counts a token if it and
the one before it are both unsafe or controversial, in any mixture; the evaluation script published with the model
(`eval/eval_stream.py`, `consecutive_unsafe`) asks for two neighbours of the same label. The report's is the safer one.
No I/O.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from itertools import pairwise

from ...core.verdict import Scores, Severity
from .labels import TokenVerdict

__all__ = ["StopRule", "counted", "nearest_miss"]


class StopRule(enum.Enum):
    """The two variants, by where they are written down."""

    REPORT = "report"
    """The token before it is flagged too, whether as unsafe or as controversial."""
    EVALUATION = "evaluation"
    """The token before it has the same label."""

    def severity(self, before: Severity, token: Severity) -> Severity:
        """What a token of severity `token` counts as behind one of severity `before`; SAFE where there was none."""
        if self is StopRule.EVALUATION:
            return token if before is token else Severity.SAFE
        return Severity.SAFE if before is Severity.SAFE else token


def counted(tokens: Iterable[TokenVerdict], rule: StopRule) -> Iterator[tuple[TokenVerdict, Severity]]:
    """Each token of an answer with the severity that it counts as."""
    before = Severity.SAFE
    for token in tokens:
        yield token, rule.severity(before, token.severity)
        before = token.severity


def nearest_miss(tokens: Iterable[TokenVerdict]) -> Scores | None:
    """The scores that came nearest to stopping: the highest that two neighbours share.

    None for fewer than two tokens.
    """
    scores = [(one.scores.unsafe, one.scores.unsafe + one.scores.controversial) for one in tokens]
    pairs = [(min(before[0], after[0]), min(before[1], after[1])) for before, after in pairwise(scores)]
    if not pairs:
        return None
    unsafe = max(unsafe for unsafe, _ in pairs)
    flagged = max(flagged for _, flagged in pairs)
    return Scores(safe=max(1.0 - flagged, 0.0), controversial=max(flagged - unsafe, 0.0), unsafe=unsafe)
