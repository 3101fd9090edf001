"""What a row of a data set says: which of its columns are a conversation, and in whose shape. Pure.

    messages         `messages` (or `conversations`): a list of {role, content}, as OpenAI's chat API has it
    sharegpt         `conversations`: a list of {from, value}
    alpaca           `instruction`, perhaps `input`, and `output`; perhaps `history` as pairs
    pairs            `chosen` and `rejected`, with `prompt`: each answer is judged with its prompt
    prompt-response  `prompt`, perhaps with `response`, `completion` or `answer`
    text             `text`: judged as a prompt

A format is guessed from rows and never from a name. Where two formats would do, nothing is guessed.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from ..core.conversation import Conversation
from ..errors import DataError, ModerationError
from .turns import Judge, Said, alpaca_said, answer_said, conversations, list_said, text_said

__all__ = ["Asked", "Format", "Judge", "Reading", "guess"]

Row = Mapping[str, object]


class Format(enum.Enum):
    """Whose shape the rows have."""

    MESSAGES = "messages"
    SHAREGPT = "sharegpt"
    ALPACA = "alpaca"
    PAIRS = "pairs"
    PROMPT_RESPONSE = "prompt-response"
    TEXT = "text"


# The part of each format -> the columns that may hold it, and whether it must be there.
_CHATS = ("messages", "conversations", "conversation", "dialogue", "dialog", "chat")
_PROMPTS = ("prompt", "question", "query")
_PARTS: Mapping[Format, Mapping[str, tuple[tuple[str, ...], bool]]] = {
    Format.MESSAGES: {"messages": (_CHATS, True)},
    Format.SHAREGPT: {"conversations": (_CHATS, True)},
    Format.ALPACA: {
        "instruction": (("instruction",), True),
        "input": (("input", "context"), False),
        "output": (("output", "response"), True),
        "history": (("history",), False),
    },
    Format.PAIRS: {"prompt": (_PROMPTS, False), "chosen": (("chosen",), True), "rejected": (("rejected",), True)},
    Format.PROMPT_RESPONSE: {
        "prompt": (_PROMPTS, True),
        "response": (("response", "completion", "answer", "output"), False),
    },
    Format.TEXT: {"text": (("text", "content", "sentence"), True)},
}
_SHOWN_COLUMNS = 12


class Asked(NamedTuple):
    """One question about a row: the part of the row it belongs to, the turn it is about, and what is to be judged."""

    part: str
    role: str
    turn: int
    conversation: Conversation | ModerationError


@dataclass(frozen=True)
class Reading:
    """How rows are read: their format, which column is which part of it, and what of them is judged."""

    format: Format
    fields: tuple[tuple[str, str], ...]
    judge: Judge = Judge.LAST

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """The parts of a row that get columns of their own; one without a name where the whole row gets them."""
        if self.format is not Format.PAIRS or self.judge is Judge.PROMPT:
            return ("",)
        return ("prompt", "chosen", "rejected") if self.judge is Judge.EVERY_TURN else ("chosen", "rejected")

    @cached_property
    def has_turns(self) -> bool:
        """Whether every turn of a row is a question of its own."""
        return self.judge is Judge.EVERY_TURN and self.format is not Format.PAIRS

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read."""
        return tuple(column for _, column in self.fields)

    @cached_property
    def _at(self) -> Mapping[str, str]:
        return dict(self.fields)

    def asked(self, row: Row) -> list[Asked]:
        """The questions about a row, at least one. What is wrong with a row is the question's error."""
        if self.format is Format.PAIRS:
            return [Asked(part, "", 0, self._of_pair(row, part)) for part in self.parts]
        try:
            found = conversations(self._said(row), self.judge)
        except ModerationError as error:
            return [Asked("", "", 0, error)]
        return [Asked("", role, turn, conversation) for role, turn, conversation in found]

    def describe(self) -> str:
        """For people: what is read from where, and what is judged."""
        named = ", ".join(f"`{column}`" for column in self.columns)
        judged = {
            Judge.LAST: "the last turn" if self.format in (Format.MESSAGES, Format.SHAREGPT) else "the last part",
            Judge.PROMPT: "the prompt",
            Judge.RESPONSE: "the response",
            Judge.EVERY_TURN: "every turn",
        }[self.judge]
        if self.format is Format.PAIRS and self.judge in (Judge.LAST, Judge.RESPONSE):
            judged = "both answers"
        return f"format {self.format.value} ({named}); judged: {judged}"

    def _said(self, row: Row) -> list[Said]:
        at = self._at
        if self.format is Format.MESSAGES or self.format is Format.SHAREGPT:
            (column,) = self.columns
            return list_said(row.get(column), param=column)
        if self.format is Format.ALPACA:
            return alpaca_said(row, at)
        if self.format is Format.TEXT:
            return [text_said(row.get(at["text"]), param=at["text"], as_response=self.judge is Judge.RESPONSE)]
        return answer_said(row, prompt=at["prompt"], answer=at.get("response"))

    def _of_pair(self, row: Row, part: str) -> Conversation | ModerationError:
        at = self._at
        try:
            # Of the prompt alone it does not matter whose answer would follow.
            said = answer_said(
                row, prompt=at.get("prompt"), answer=at[part if part in at and part != "prompt" else "chosen"]
            )
            wanted = Judge.PROMPT if part in ("", "prompt") else Judge.RESPONSE
            [(_, _, conversation)] = conversations(said, wanted)
        except ModerationError as error:
            return error
        return conversation


def guess(
    rows: Sequence[Row],
    *,
    row_format: Format | None = None,
    fields: Mapping[str, str] | None = None,
    judge: Judge = Judge.LAST,
) -> Reading:
    """How these rows, the first of a data set, are to be read.

    `row_format` and `fields` (which column is which part, such as `{"prompt": "question"}`) are what the user said;
    the rest is guessed. Raises DataError when nothing fits, or more than one thing does; it says how to say it.
    """
    if not rows:
        raise DataError("There is no readable row in it.")
    given = dict(fields or {})
    formats = [row_format] if row_format is not None else list(Format)
    if given:
        formats = [one for one in formats if given.keys() <= _PARTS[one].keys()]
        if not formats:
            known = "; ".join(f"{one.value}: {', '.join(parts)}" for one, parts in _PARTS.items())
            raise DataError(f"--fields: no format has the parts {', '.join(given)}. The parts are {known}.")
    found = [reading for one in formats for reading in _readings(one, rows, given, judge)]
    if row_format is None:
        found = _without_lesser(found)
    if len(found) == 1:
        return found[0]
    columns = _columns(rows)
    if not found:
        wanted = f"the format {row_format.value}" if row_format is not None else "a known format"
        raise DataError(
            f"The first {len(rows)} rows are not of {wanted}; their columns: {columns}. Name the column, for example "
            "--fields prompt=question,response=reply or --fields text=body, and with --format the format."
        )
    ways = "\n".join(f"  {_flags(reading)}" for reading in found)
    raise DataError(f"The rows can be read in {len(found)} ways (columns: {columns}); say which:\n{ways}")


def _readings(row_format: Format, rows: Sequence[Row], given: Mapping[str, str], judge: Judge) -> list[Reading]:
    """Every way to read the rows in this format: one for each choice of columns."""
    ways: list[dict[str, str]] = [{}]
    for part, (names, is_needed) in _PARTS[row_format].items():
        columns = [given[part]] if part in given else list(names)
        fitting = [column for column in columns if _fits(row_format, part, column, rows)]
        if part in given and not fitting:
            return []
        if is_needed and not fitting:
            return []
        if fitting:
            ways = [{**way, part: column} for way in ways for column in fitting]
    return [Reading(row_format, tuple(way.items()), judge) for way in ways]


def _fits(row_format: Format, part: str, column: str, rows: Sequence[Row]) -> bool:
    """Whether this column holds this part: in more than half of the rows that have a value in it.

    A row that is of another shape than the others is an error of its own, later.
    """
    values = [value for row in rows if (value := row.get(column)) is not None]
    return sum(_is_part(row_format, part, value) for value in values) * 2 > len(values)


def _is_part(row_format: Format, part: str, value: object) -> bool:
    if row_format is Format.MESSAGES:
        return _is_list_of(value, "role")
    if row_format is Format.SHAREGPT:
        return _is_list_of(value, "from")
    if part == "history":
        return isinstance(value, (list, tuple))
    if row_format in (Format.PAIRS, Format.PROMPT_RESPONSE):
        return isinstance(value, str) or _is_list_of(value, "role")
    return isinstance(value, str)


def _is_list_of(value: object, key: str) -> bool:
    return isinstance(value, list) and all(isinstance(one, Mapping) and key in one for one in value)


def _without_lesser(found: Sequence[Reading]) -> list[Reading]:
    """Without readings that see less of the same: a prompt alone, where a format has the prompt and its answers."""

    def is_lesser(one: Reading) -> bool:
        mine = set(one.columns)
        return any(mine < set(other.columns) for other in found)

    return [one for one in found if not is_lesser(one)]


def _flags(reading: Reading) -> str:
    named = ",".join(f"{part}={column}" for part, column in reading.fields)
    return f"--format {reading.format.value} --fields {named}"


def _columns(rows: Sequence[Row]) -> str:
    names = list(dict.fromkeys(str(name) for row in rows for name in row))
    more = f" and {len(names) - _SHOWN_COLUMNS} more" if len(names) > _SHOWN_COLUMNS else ""
    return ", ".join(names[:_SHOWN_COLUMNS]) + more
