"""Settings of lists and prepared answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .setting import declare as _declare

__all__ = ["ListSettings"]

_SECTION = "Judging"


@dataclass(frozen=True, kw_only=True)
class ListSettings:
    """What texts are compared with, and answered by, besides a model."""

    lists_file: Path | None = _declare(
        None,
        _SECTION,
        "File with lists of words, phrases, patterns and domains that block texts or let them pass (YAML, CSV, JSON "
        "lines, or plain text with an entry per line), or a folder of such files; a policy's `lists` names them. Needs "
        "the extra `console`. Read again at SIGHUP. A mistake in it stops the start. See docs/lists.md.",
    )
    answers_file: Path | None = _declare(
        None,
        _SECTION,
        "File with questions and the answers shown instead of the plain message when such a prompt, or an answer to "
        "it, is blocked (YAML, CSV or JSON lines). Read again at SIGHUP. A mistake in it stops the start. See "
        "docs/answers.md.",
    )
