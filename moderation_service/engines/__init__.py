"""Engines: who judges. One module or package per engine; `create_engine` is the only registration."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.extras import install_command
from ..config.settings import Settings
from ..core.engine import Deadline, Engine
from ..core.list_entry import Entry
from ..core.prepared_answer import PreparedAnswer
from ..errors import ConfigurationError

if TYPE_CHECKING:
    from .answers import PreparedAnswers
    from .cascade import EngineEvents, Watched
    from .lists import Lists
    from .lite.engine import LiteEngine
    from .stream import StreamEngine
    from .vllm import UpstreamEvents

__all__ = ["Deadline", "Engine", "create_answers", "create_engine", "create_fallback", "create_lists", "create_stream"]


def create_engine(
    settings: Settings,
    *,
    events: EngineEvents | None = None,
    outgoing: Callable[[], bytes] | None = None,
    sharers: Callable[[], int] | None = None,
    watched: Watched | None = None,
) -> Engine:
    """The engine that the settings name; `events` is told how its servers are doing.

    `outgoing` gives header lines that verdict calls to a model server carry besides their own, such as `traceparent`.
    `sharers` says how many processes are known to ask the same servers; without it there is no bound on the calls of
    each (`upstream_replica_calls`), as for a command that has them to itself. `watched` is put around each model of a
    cascade.

    Each is imported only when it is used. Raises ConfigurationError.
    """
    if settings.engine == "vllm":
        from .vllm import create

        return create(settings, events=events, outgoing=outgoing, sharers=sharers)
    if settings.engine == "cascade":
        from . import cascade

        return cascade.create(settings, events=events, outgoing=outgoing, sharers=sharers, watched=watched)
    if settings.engine == "stream":
        from . import stream

        return stream.create(settings, events=events, outgoing=outgoing)
    return _lite(*_adapted(settings))


def create_fallback(settings: Settings) -> Engine | None:
    """The embedded engine for policies with `on_failure: lite`; None where it is the main engine already."""
    return None if settings.engine == "lite" else _lite(*_adapted(settings))


def create_stream(
    settings: Settings,
    engine: Engine,
    *,
    events: UpstreamEvents | None = None,
    outgoing: Callable[[], bytes] | None = None,
) -> StreamEngine | None:
    """What judges answers token by token: `engine` itself if it can, another beside it, or None without a server."""
    if settings.stream_upstream is None:
        return None
    from . import stream

    if isinstance(engine, stream.StreamEngine):
        return engine
    return stream.create(settings, events=events, outgoing=outgoing)


def create_lists(lists: Mapping[str, Iterable[Entry]], *, wanted_by: str = "lists_file") -> Lists:
    """What compares texts with these lists. Raises ConfigurationError, also where its libraries are not installed."""
    try:
        from .lists import Lists
    except ImportError as error:
        needed = f"{wanted_by}: {error.name} is not installed. To install it: {install_command('console')}"
        raise ConfigurationError(needed) from None
    return Lists(lists)


def create_answers(answers: Sequence[PreparedAnswer], settings: Settings) -> PreparedAnswers | None:
    """What finds prepared answers; None for none. Near copies are told by the embedded engine."""
    if not answers:
        return None
    from .answers import PreparedAnswers

    # What the file was when the service was made, as for the engines: it may change, or go, while answers are found.
    engine = functools.partial(_lite, *_adapted(settings))
    return PreparedAnswers(answers, likeness=lambda text, other: engine().likeness(text, other))


def _adapted(settings: Settings) -> tuple[Path | None, int]:
    """The file that changes the embedded engine, and when it was written: a reload takes a new one."""
    path = settings.lite_adapted
    if path is None:
        return None, 0
    try:
        return path, path.stat().st_mtime_ns
    except OSError:
        raise ConfigurationError(f"lite_adapted: {path} can't be read.") from None


@functools.lru_cache(maxsize=1)
def _lite(adapted: Path | None, written_at_ns: int) -> LiteEngine:
    """One for the whole process: a reload would need room for its weights a second time."""
    from .lite.engine import LiteEngine

    return LiteEngine.load(adapted=adapted)
