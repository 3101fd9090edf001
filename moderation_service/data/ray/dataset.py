"""Labels for a Ray data set, row by row, with what else is in the rows left as it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, Dataset

from ...core.conversation import Conversation
from ...errors import DataError
from ..arrow_output import label_fields
from ..formats import Format, guess
from ..formats import Judge as JudgedTurn
from ..labels import PREFIX, Labels
from .judging import Judge, Judges

__all__ = ["annotate"]

_SAMPLE = 100
# Hexadecimal, because numpy takes the zeros off the end of bytes.
_KEY_CHARS = 32


def annotate(
    dataset: Dataset,
    judges: Judges,
    *,
    row_format: str | None = None,
    fields: Mapping[str, str] | None = None,
    judge: str = "last",
    prefix: str = PREFIX,
    id_column: str | None = None,
    done: Dataset | None = None,
) -> Dataset:
    """The data set with the columns of the labels; nothing is judged before it is consumed or written.

    The format of the rows is guessed from the first hundred where it is not given. A row that can't be judged keeps
    its place among the others, with an error and no label. Ray keeps no order unless it is told to.

    `done` is what an earlier run has written: rows whose `id_column` is in there are left out, so a job that was
    interrupted goes on with what is missing. The ids must be unique: of two rows with one id, one would be left out.

    An actor or a node that is lost is replaced, and what it had is judged again. An engine that stays away ends the
    job: go on with `done` when it is back. Raises DataError for rows whose format is not clear, or that have a column
    of the labels already.
    """
    sample = dataset.limit(_SAMPLE).take_all()
    reading = guess(
        sample,
        row_format=None if row_format is None else Format(row_format),
        fields=fields,
        judge=JudgedTurn(judge),
    )
    labels = Labels(reading, judges.detail, prefix)
    taken = [name for name in labels.names if any(name in row for row in sample)]
    if taken:
        raise DataError(f"The rows have a column {taken[0]} already; `prefix` gives the new ones another beginning.")
    if done is not None and id_column is None:
        raise DataError("`done` needs `id_column`, the column by which rows are known again.")
    if id_column is not None and any(row.get(id_column) is None for row in sample):
        raise DataError(f"Not every row has an id in the column {id_column}.")
    known = ray.put(_keys_of(done, str(id_column))) if done is not None else None
    return dataset.map_batches(
        _Annotator,
        fn_constructor_args=(judges, labels, id_column, known),
        # Ray runs four batches of an actor at a time: the window is always full, and half as much again waits.
        batch_size=max(1, judges.in_flight // 2),
        batch_format="pyarrow",
        zero_copy_batch=True,
        compute=ActorPoolStrategy(size=judges.actors),
        num_cpus=judges.num_cpus,
        num_gpus=judges.num_gpus,
    )


class _Annotator:
    """The actor of `annotate`; batches come and go as tables of Arrow, so the other columns keep their types."""

    def __init__(self, judges: Judges, labels: Labels, id_column: str | None, known: Any) -> None:
        self._judge = Judge(judges)
        self._judge.wait_until_ready()
        self._labels = labels
        self._fields = label_fields(pa, labels)
        self._id_column = id_column
        self._known = None if known is None else ray.get(known)

    async def __call__(self, table: Any) -> AsyncIterator[Any]:
        if self._known is not None:
            table = table.filter(pa.array(~_are_in(self._known, table.column(self._id_column).to_pylist())))
        columns = [name for name in self._labels.reading.columns if name in table.column_names]
        asked = [self._labels.reading.asked(row) for row in table.select(columns).to_pylist()]
        questions = [one.conversation for row in asked for one in row]
        outcomes = iter(await self._judge.judge([one for one in questions if isinstance(one, Conversation)]))
        found = iter([next(outcomes) if isinstance(one, Conversation) else one for one in questions])
        labels = [self._labels.of(row, [next(found) for _ in row]) for row in asked]
        for field in self._fields:
            table = table.append_column(field, pa.array([one[field.name] for one in labels], type=field.type))
        yield table


def _key(value: object) -> bytes:
    if value is None:
        raise DataError("A row has no id: the column has a null in it.")
    return blake2b(str(value).encode(), digest_size=_KEY_CHARS // 2).hexdigest().encode()


def _keys_of(done: Dataset, id_column: str) -> Any:
    """The keys of all rows, sorted: one array, which the actors of a node share."""
    found = [_keys(batch[id_column]) for batch in done.select_columns([id_column]).iter_batches(batch_format="numpy")]
    return np.sort(np.concatenate(found)) if found else _keys([])


def _keys(values: Any) -> Any:
    return np.array([_key(value) for value in values], dtype=f"S{_KEY_CHARS}")


def _are_in(known: Any, values: list[object]) -> Any:
    wanted = _keys(values)
    if not len(known):
        return np.zeros(len(wanted), dtype=bool)
    return known[np.searchsorted(known, wanted).clip(max=len(known) - 1)] == wanted
