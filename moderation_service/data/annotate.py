"""Labels for every row of a data set: read, judged in a window, written in the order of the input.

A row that could not be judged keeps its place, with the error and no label. It never gets the word of another engine.
What is logged or kept beside the output has no text in it.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any

from .. import __version__
from ..core.conversation import Conversation
from ..core.verdict import Verdict
from ..errors import DataError, InvalidRequest
from .columns import Outcome
from .dataset import DataSet, Position
from .encoders import Encoder, create_encoder, output_kind
from .files import Chunk, Kind, LinesFile, Unreadable
from .formats import Asked
from .journal import GrowingFile, Progress
from .json_text import dumps
from .labels import Labels
from .window import PASSING, Window, judged

__all__ = ["Annotation", "Counts", "annotate", "labelled_sample"]

STDOUT = "-"
_LOOKAHEAD = 4
_MAX_AHEAD_BYTES = 64 * 1024 * 1024
_LOOK_EVERY_S = 0.25


@dataclass(slots=True)
class Counts:
    """What was found so far. Severities are of judged texts, of which pairs have two in a row; the rest is of rows."""

    rows: int = 0
    errors: int = 0
    safe: int = 0
    controversial: int = 0
    unsafe: int = 0

    @property
    def judged(self) -> int:
        """Texts with a label."""
        return self.safe + self.controversial + self.unsafe

    @property
    def unsafe_share(self) -> float:
        """Of the texts with a label."""
        return self.unsafe / self.judged if self.judged else 0.0

    def add(self, severities: Sequence[object]) -> None:
        """Count a row, by the severities of its parts."""
        self.rows += 1
        if None in severities:
            self.errors += 1
        self.safe += severities.count("safe")
        self.controversial += severities.count("controversial")
        self.unsafe += severities.count("unsafe")

    def to_json(self) -> dict[str, int]:
        """By their names."""
        return {name: getattr(self, name) for name in ("rows", "errors", "safe", "controversial", "unsafe")}


Watcher = Callable[[Counts, int, int | None], None]
"""Told now and then how far it is: what was counted, how many rows are judged, and about how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """What is to be labelled, and where to."""

    dataset: DataSet
    output: str
    labels: Labels
    chunk: int = 256
    fresh: bool = False
    watch: Watcher = lambda counts, judged, total: None


def annotate(job: Annotation, window: Window, *, engine: str, model: str) -> tuple[Counts, bool]:
    """Label all rows, going on where an earlier run ended; the counts, and whether all was done before already.

    `engine` and `model` are who judges: the verdict of another ends the run. Raises DataError, and the engine's error
    when it stays away; what was written until then is kept, as it is when this is interrupted at any moment.
    """
    kind = output_kind(job.output, job.dataset)
    encoder = create_encoder(job.dataset, job.labels, kind)
    run = _Run(job, window, encoder, kind, engine, model)
    if job.output == STDOUT:
        return run.to_stream(sys.stdout.buffer), False
    output = Path(job.output)
    with closing(GrowingFile(output, _head(job, kind, engine, model), fresh=job.fresh)) as growing:
        if growing.is_complete:
            return Counts(**growing.progress.counts), True
        counts = run.to_file(growing)
        growing.published(encoder.finish(growing.part, output))
        return counts, False


def labelled_sample(dataset: DataSet, labels: Labels, window: Window, size: int) -> str:
    """The labels of the first rows, as JSON lines; nothing is written."""
    lines = []
    for number, row in enumerate(dataset.files[0].sample(size), start=1):
        if isinstance(row, Unreadable):
            label = labels.failed(row.error)
        else:
            asked = labels.reading.asked(row)
            label = labels.of(asked, [outcome for _, outcome in judged(window, asked, lambda one: one.conversation)])
        lines.append(dumps({"row": number, **label}).decode())
    return "\n".join(lines)


def _head(job: Annotation, kind: Kind, engine: str, model: str) -> dict[str, object]:
    """What must be the same for a run to go on: otherwise one file would be made of two."""
    reading = job.labels.reading
    return {
        "version": __version__,
        "engine": engine,
        "model": model,
        "detail": job.labels.detail.value,
        "judge": reading.judge.value,
        "format": reading.format.value,
        "fields": [list(one) for one in reading.fields],
        "columns": list(job.labels.names),
        "kind": kind.value,
        "input": [dict(one) for one in job.dataset.fingerprint()],
    }


class _Run:
    """One pass over the rows."""

    def __init__(self, job: Annotation, window: Window, encoder: Encoder, kind: Kind, engine: str, model: str) -> None:
        self._job = job
        self._window = window
        self._encoder = encoder
        self._engine, self._model = engine, model
        self._labels = job.labels
        self._names = frozenset(job.labels.names)
        self._counts = Counts()
        self._file = 0
        self._settle: Callable[[], None] = lambda: None
        self._twice = [f'"{column}"'.encode() for column in job.labels.reading.columns]
        is_spliced = job.dataset.kind.is_typed and kind.is_typed
        # Of typed rows that are written as they are, only the columns that are read become Python's objects.
        self._columns = job.labels.reading.columns if is_spliced else None

    def to_stream(self, stream: IO[bytes]) -> Counts:
        """Write to standard output; that can't be gone on with."""
        stream.write(self._encoder.begin())
        for _, chunk, labels in self._labelled(Position()):
            stream.write(self._encoder.chunk(chunk, labels))
            stream.flush()
        return self._counts

    def to_file(self, growing: GrowingFile) -> Counts:
        """Write what is missing."""
        done = growing.progress
        self._settle = growing.settle
        self._counts = Counts(**done.counts)
        if not done.length and (head := self._encoder.begin()):
            done = replace(done, length=len(head), counts=self._counts.to_json())
            growing.add(head, done)
        first = self._job.dataset.files[0]
        if isinstance(first, LinesFile):
            first.expected_digest = done.digest
        for position, chunk, labels in self._labelled(Position(done.file, done.offset)):
            content = self._encoder.chunk(chunk, labels)
            length = growing.progress.length + len(content)
            counts = self._counts.to_json()
            growing.add(content, Progress(position.file, position.offset, length, counts, chunk.digest))
        if not growing.progress.is_end:
            growing.add(b"", replace(growing.progress, counts=self._counts.to_json(), is_end=True))
        return self._counts

    def _labelled(self, start: Position) -> Iterator[tuple[Position, Chunk, list[Mapping[str, object] | None]]]:
        """Chunks in order, each with the labels of its rows; those behind are judged meanwhile."""
        ahead: deque[_Waiting] = deque()
        questions = size = 0
        chunks = self._job.dataset.chunks(start=start, size=self._job.chunk, columns=self._columns)
        for position, chunk in chunks:
            self._file = position.file
            waiting = self._submitted(position, chunk)
            ahead.append(waiting)
            questions += waiting.questions
            size += waiting.size
            while ahead and (ahead[0].is_done or self._is_enough(ahead, questions, size)):
                first = ahead.popleft()
                questions -= first.questions
                size -= first.size
                yield first.position, first.chunk, self._finished(first, ahead)
        while ahead:
            first = ahead.popleft()
            yield first.position, first.chunk, self._finished(first, ahead)

    def _is_enough(self, ahead: deque[_Waiting], questions: int, size: int) -> bool:
        return len(ahead) > 1 and (questions >= self._window.threads * _LOOKAHEAD or size >= _MAX_AHEAD_BYTES)

    def _submitted(self, position: Position, chunk: Chunk) -> _Waiting:
        """Ask everything about these rows."""
        waiting = _Waiting(position, chunk)
        for number, row in enumerate(chunk.rows):
            asked = self._asked(chunk, number, row)
            waiting.asked.append(asked)
            waiting.outcomes.append([] if asked is None else [one.conversation for one in asked])
        waiting.begin()
        for number, asked in enumerate(waiting.asked):
            for place, one in enumerate(asked or ()):
                if isinstance(one.conversation, Conversation):
                    self._window.submit(one.conversation, partial(waiting.done, number, place))
        return waiting

    def _asked(self, chunk: Chunk, number: int, row: Any) -> list[Asked] | None:
        """The questions about a row; None for one that can't be read, or is none."""
        if row is None or isinstance(row, Unreadable):
            return None
        if not self._names.isdisjoint(row):
            taken = next(name for name in self._labels.names if name in row)
            raise DataError(f"A row has a column {taken} already; --columns gives the new ones another beginning.")
        if self._job.dataset.kind is Kind.JSONL:
            line = chunk.raw[number]
            for column, name in zip(self._labels.reading.columns, self._twice, strict=True):
                if line.count(name) > 1 and _is_twice(line, column):
                    error = InvalidRequest(f"The row has `{column}` twice.", param=column)
                    return [Asked(part, "", 0, error) for part in self._labels.reading.parts]
        return self._labels.reading.asked(row)

    def _finished(self, waiting: _Waiting, ahead: deque[_Waiting]) -> list[Mapping[str, object] | None]:
        """Wait for these rows, and make their labels. Raises what ends the run."""
        while not waiting.wait(_LOOK_EVERY_S):
            self._settle()
            self._look([waiting, *ahead])
            if self._window.away is not None:
                raise self._window.away
        labels: list[Mapping[str, object] | None] = []
        for row, asked, outcomes in zip(waiting.chunk.rows, waiting.asked, waiting.outcomes, strict=True):
            if row is None:
                labels.append(None)
                continue
            if asked is None:
                label = self._labels.failed(row.error if isinstance(row, Unreadable) else "not judged")
            else:
                for outcome in outcomes:
                    self._check(outcome)
                label = self._labels.of(asked, outcomes)
            self._counts.add(self._labels.severities(label))
            labels.append(label)
        self._look(ahead)
        return labels

    def _check(self, outcome: Outcome) -> None:
        """That it is the word of the engine and the model that this output is of."""
        if isinstance(outcome, Verdict):
            if outcome.engine != self._engine or outcome.model != self._model:
                raise DataError(
                    f"The model was {self._model} and is {outcome.model} now; their labels are not put into one file."
                )
        elif isinstance(outcome, PASSING) and self._window.away is not None:
            raise self._window.away

    def _look(self, ahead: Iterable[_Waiting]) -> None:
        """Tell how far it is."""
        share = self._job.dataset.fraction(Position(self._file))
        read = self._counts.rows + sum(len(one.chunk.rows) for one in ahead)
        judged = self._counts.rows + sum(one.judged for one in ahead)
        self._job.watch(self._counts, judged, round(read / share) if share else None)


class _Waiting:
    """A chunk whose rows are being judged. `done` is called by the window's threads."""

    __slots__ = ("_gate", "_left", "_lock", "asked", "chunk", "outcomes", "position", "questions", "size")

    def __init__(self, position: Position, chunk: Chunk) -> None:
        self.position = position
        self.chunk = chunk
        self.asked: list[list[Asked] | None] = []
        self.outcomes: list[list[Any]] = []
        self._lock = threading.Lock()
        self._gate = threading.Lock()
        self.questions = self._left = 0
        self.size = sum(map(len, chunk.raw)) if isinstance(chunk.raw, list) else chunk.raw.nbytes

    def begin(self) -> None:
        """All questions are known; none was asked yet."""
        known = (one for asked in self.asked for one in asked or ())
        self.questions = self._left = sum(isinstance(one.conversation, Conversation) for one in known)
        if self._left:
            self._gate.acquire()

    @property
    def is_done(self) -> bool:
        """Whether all outcomes are there."""
        return not self._left

    @property
    def judged(self) -> int:
        """About how many of the rows are done."""
        return len(self.chunk.rows) * (self.questions - self._left) // self.questions if self.questions else 0

    def done(self, row: int, place: int, outcome: Outcome) -> None:
        """One outcome has come."""
        self.outcomes[row][place] = outcome
        with self._lock:
            self._left -= 1
            is_last = not self._left
        if is_last:
            self._gate.release()

    def wait(self, seconds: float) -> bool:
        """Whether all is there, after so many seconds at most."""
        if not self._gate.acquire(timeout=seconds):
            return False
        self._gate.release()
        return True


def _is_twice(line: bytes, column: str) -> bool:
    """Whether the row itself, not an object in it, has this name twice: which of the two counts is anybody's guess."""
    names: list[list[str]] = []

    def pairs(found: list[tuple[str, Any]]) -> None:
        names.append([name for name, _ in found])

    json.loads(line, object_pairs_hook=pairs)
    return names[-1].count(column) > 1
