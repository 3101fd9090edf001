"""When a flagged token counts: only with a flagged neighbour before it, so that a single odd token stops nothing.

Two variants of the rule exist. Qwen3Guard's technical report (arXiv 2510.14276, section 4.4) counts a token if it and
the one before it are both unsafe or controversial, in any mixture; the evaluation script published with the model
(`eval/eval_stream.py`, `consecutive_unsafe`) asks for two neighbours of the same label. The report's is the safer one.
No I/O.
"""

from __future__ import annotations

import enum

from ...verdict import Severity

__all__ = ["StopRule"]


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
