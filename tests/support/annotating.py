"""Annotating with an engine that knows keywords, for tests; as a program it can be killed.

python annotating.py IN OUT [SECONDS_PER_CALL]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fakes import FakeEngine

from moderation_service.core.conversation import Conversation
from moderation_service.core.verdict import Detail
from moderation_service.data.annotate import Annotation, Counts, annotate
from moderation_service.data.dataset import open_dataset
from moderation_service.data.formats import Format, Judge
from moderation_service.data.labels import Labels
from moderation_service.data.window import JudgingWindow, WindowOptions

__all__ = ["SlowEngine", "annotated"]


class SlowEngine(FakeEngine):
    """Takes a moment, longer for some texts than for others."""

    def __init__(self, seconds: float, **how: Any) -> None:
        super().__init__(**how)
        self.seconds = seconds

    def judge(self, conversations: Sequence[Conversation], **how: Any) -> Any:
        time.sleep(self.seconds * (1 + len(conversations[0].prompt) % 3))
        return super().judge(conversations, **how)


def annotated(
    source: Path | str | Sequence[Path],
    output: Path | str,
    *,
    engine: FakeEngine | None = None,
    detail: Detail = Detail.FULL,
    judge: Judge = Judge.LAST,
    row_format: Format | None = None,
    fields: Mapping[str, str] | None = None,
    prefix: str = "guard_",
    chunk: int = 4,
    fresh: bool = False,
    window: WindowOptions | None = None,
    watch: Any = None,
) -> tuple[Counts, bool]:
    """Annotate, as the command does."""
    engine = engine or FakeEngine()
    sources = [source] if isinstance(source, (Path, str)) else list(source)
    dataset = open_dataset(sources, row_format=row_format, fields=fields, judge=judge)
    labels = Labels(dataset.reading, detail, prefix)
    how: dict[str, Any] = {} if watch is None else {"watch": watch}
    job = Annotation(dataset=dataset, output=str(output), labels=labels, chunk=chunk, fresh=fresh, **how)
    with JudgingWindow(engine, window or WindowOptions(in_flight=8, detail=detail)) as asked:
        return annotate(job, asked, engine=engine.name, model=engine.model)


if __name__ == "__main__":
    counts, _ = annotated(sys.argv[1], sys.argv[2], engine=SlowEngine(float(sys.argv[3])), chunk=16)
    print(counts.rows)
