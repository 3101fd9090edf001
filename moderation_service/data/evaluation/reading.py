"""A labelled file: rows of any shape that the readers know, with the columns that say what people think of the text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ...core.conversation import Conversation, Limits
from ...errors import DataError, InvalidRequest, ModerationError
from ..dataset import DataSet, LabelledRow, open_dataset, read_rows
from ..files import STDIN, Unreadable
from ..formats import Format, Judge
from .labels import gold
from .run import LabelledText

__all__ = ["LabelledFile", "open_labelled"]

_OWN_COLUMNS = ("prompt", "response", "messages")


class LabelledFile:
    """Labelled texts that can be gone through, more than once where they don't come from standard input.

    `count` is how many there are: all were read once, so that a mistake in the last line shows before the first
    question is asked.
    """

    def __init__(self, dataset: DataSet, *, mixed: bool) -> None:
        self._dataset = dataset
        self._mixed = mixed
        self._kept = list(self._read()) if dataset.files[0].name == STDIN else None
        self.count = len(self._kept) if self._kept is not None else sum(1 for _ in self._read())
        if not self.count:
            raise DataError(f"{self.name}: there is no labelled line in it.")

    @property
    def name(self) -> str:
        """Of the first file."""
        return self._dataset.files[0].name

    def describe(self) -> str:
        """For people: what was found, and how it is read."""
        return (
            f"{self.name}: format mixed (`prompt` and `response`, or `messages`)"
            if self._mixed
            else (self._dataset.describe())
        )

    def __iter__(self) -> Iterator[LabelledText]:
        return iter(self._kept) if self._kept is not None else self._read()

    def _read(self) -> Iterator[LabelledText]:
        for number, row in enumerate(read_rows(self._dataset), 1):
            if isinstance(row, Unreadable):
                raise DataError(row.error)
            try:
                conversation = _own(row.values) if self._mixed else _asked(row)
                yield LabelledText(gold(row.values, conversation, number=number), conversation)
            except ModerationError as error:
                field = f", field `{error.param}`" if error.param else ""
                raise DataError(f"{row.place}{field}: {error.message}") from error


def open_labelled(
    paths: Sequence[str | Path],
    *,
    row_format: Format | None = None,
    fields: Mapping[str, str] | None = None,
    judge: Judge = Judge.LAST,
) -> LabelledFile:
    """The labelled texts in these files. Raises DataError that names file, row and column of the first mistake.

    Files that have rows with `messages` and rows with `prompt` are taken as they are; no other mixture is.
    """
    if judge is Judge.EVERY_TURN:
        raise DataError("A label is of one text: every turn of a row can't be compared with it.")
    try:
        dataset = open_dataset(paths, row_format=row_format, fields=fields, judge=judge)
    except DataError:
        if row_format is not None or fields or not _is_mixed(paths):
            raise
        return LabelledFile(open_dataset(paths, row_format=Format.PROMPT_RESPONSE, judge=judge), mixed=True)
    if dataset.reading.format is Format.PAIRS:
        raise DataError("Rows with `chosen` and `rejected` have two texts; a label is of one.")
    return LabelledFile(dataset, mixed=False)


def _is_mixed(paths: Sequence[str | Path]) -> bool:
    """Whether the file can be read as prompts, and has `messages` in it too."""
    if STDIN in map(str, paths):
        return False
    try:
        dataset = open_dataset(paths, row_format=Format.PROMPT_RESPONSE)
    except DataError:
        return False
    return any(isinstance(row, LabelledRow) and row.values.get("messages") is not None for row in read_rows(dataset))


def _asked(row: LabelledRow) -> Conversation:
    found = row.conversation
    if isinstance(found, ModerationError):
        raise found
    return found


def _own(columns: Mapping[str, object]) -> Conversation:
    prompt, response, messages = (columns.get(name) for name in _OWN_COLUMNS)
    if messages is None:
        return Conversation.of(prompt=prompt, response=response)
    if prompt is not None or response is not None:
        raise InvalidRequest("Give `messages`, or `prompt` and `response`, not both.", param="messages")
    return Conversation.from_messages(messages, limits=Limits())
