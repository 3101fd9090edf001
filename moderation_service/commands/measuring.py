"""What `eval` and `benchmark` share: an engine made from the settings, texts put through it, and the figures."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

from ..config.settings import Loaded, Settings, Source
from ..core.engine import Engine
from ..core.policy import Policies
from ..core.verdict import Severity
from ..data.evaluation.run import LabelledText, measure, mistake
from ..data.evaluation.summary import Judged, summarise
from ..data.guards.engine import GuardEngine, guard_engine
from ..data.window import WindowOptions
from ..engines import create_engine
from ..errors import DataError
from ..launch.progress import Console
from .stored import policies_of

__all__ = ["Measuring"]

_SPARE_SLOTS = 32
"""Beside the texts in flight: for second servers and the windows of long texts."""
_DEADLINE_S, _TIMEOUT_S = 300.0, 120.0
"""In place of a service's defaults: a server with hundreds of questions in its queue is late with each."""


class Measuring(AbstractContextManager["Measuring"]):
    """An engine and the policies whose figures are wanted; closed with the engine."""

    def __init__(self, engine: Engine, policies: Policies, options: WindowOptions, *, console: Console) -> None:
        self.engine = engine
        self._policies = policies
        self._options = options
        self._console = console

    @classmethod
    def of(cls, loaded: Loaded, *, in_flight: int, guard: str | None, guard_model: str | None) -> Measuring:
        """By the settings; `guard` (`NAME=URL`) takes the place of the engine that they name.

        Raises ConfigurationError, for the policies first: a typo shows before a model is loaded. Raises the EngineError
        that keeps the engine from judging.
        """
        settings = loaded.settings
        policies = policies_of(settings)
        # What one request of a service may use is no bound here: the engine has nothing else to do.
        slots = max(settings.upstream_concurrency, in_flight + _SPARE_SLOTS)
        settings = dataclasses.replace(settings, upstream_concurrency=slots)
        if loaded.sources["deadline_s"] is Source.DEFAULT:
            settings = dataclasses.replace(settings, deadline_s=_DEADLINE_S)
        if loaded.sources["upstream_timeout_s"] is Source.DEFAULT:
            settings = dataclasses.replace(settings, upstream_timeout_s=_TIMEOUT_S)
        engine = _engine(settings, guard, guard_model, in_flight=in_flight)
        engine.check_ready()
        options = WindowOptions(in_flight=in_flight, deadline_s=settings.deadline_s)
        return cls(engine, policies, options, console=Console())

    def document(
        self, texts: Iterable[LabelledText], *, total: int, errors_file: Path | None = None, name: str = ""
    ) -> dict[str, Any]:
        """The figures of one data set, as JSON. Wrong ones are written, with their texts, to `errors_file`."""
        progress = _Progress(self._console, total, name)
        with _Mistakes(errors_file) as mistakes:

            def told(text: LabelledText, row: Judged) -> None:
                progress.add(row)
                mistakes.add(text, row)

            run = measure(self.engine, texts, options=self._options, told=told)
        progress.end()
        return {
            "engine": self.engine.name,
            "model": run.model,
            "default_policy": self._policies.default,
            **summarise(run.rows, policies=self._policies),
            **run.to_dict(),
        }

    def guard(self) -> dict[str, str]:
        """Who judged, for a report; the model's name may be known only after the first text."""
        facts = {"engine": self.engine.name, "model": self.engine.model, "detail": self._options.detail.value}
        if isinstance(self.engine, GuardEngine):
            facts |= {"prompt": self.engine.prompt, "contract": self.engine.guard.source}
        return facts

    def __exit__(self, *_: object) -> None:
        self.engine.close()


def _engine(settings: Settings, guard: str | None, guard_model: str | None, *, in_flight: int) -> Engine:
    if guard is None:
        return create_engine(settings)
    return guard_engine(
        guard,
        model=guard_model,
        api_key=settings.upstream_api_key,
        in_flight=in_flight,
        timeout_s=settings.upstream_timeout_s,
    )


class _Progress:
    """A line that says how far it has come, redrawn on a terminal."""

    def __init__(self, console: Console, total: int, name: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._total = total
        self._name = f"{name}  " if name else ""
        self._clock = clock
        self._began = clock()
        self._done = self._unsafe = self._errors = 0

    def add(self, row: Judged) -> None:
        self._done += 1
        self._errors += row.verdict is None
        self._unsafe += row.verdict is not None and row.verdict.severity is not Severity.SAFE
        seconds = max(1e-9, self._clock() - self._began)
        rate = self._done / seconds
        minutes, seconds_left = divmod(round((self._total - self._done) / rate), 60)
        judged = max(1, self._done - self._errors)
        self._console.progress(
            f"{self._name}{self._done / self._total:4.0%}  {self._done} of {self._total}  {rate:.0f}/s  "
            f"{minutes}:{seconds_left:02} left  not safe {self._unsafe / judged:.0%}  errors {self._errors}"
        )

    def end(self) -> None:
        seconds = self._clock() - self._began
        rate = self._done / max(1e-9, seconds)
        self._console.say(f"{self._name}{self._done} texts in {seconds:.1f} s ({rate:.0f}/s), errors {self._errors}")


class _Mistakes(AbstractContextManager["_Mistakes"]):
    """The file with the wrong ones; none if no path is given."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def __enter__(self) -> _Mistakes:
        if self._path is not None:
            try:
                self._file = self._path.open("w", encoding="utf-8")
            except OSError as error:
                raise DataError(f"{self._path}: can't be written: {error.strerror}.") from error
        return self

    def add(self, text: LabelledText, row: Judged) -> None:
        if self._file is not None and (wrong := mistake(text, row)) is not None:
            self._file.write(json.dumps(wrong, ensure_ascii=False) + "\n")

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
