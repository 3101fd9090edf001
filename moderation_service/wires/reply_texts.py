"""The texts of a reply whose contract says each of them several times: as deltas, when it ends, and in the end. No I/O.

Only what is new counts as text; a repeat that differs is a text of its own. What a field may hold unjudged is a closed
list of shapes (`openai_shapes`), as for chat completions: every other string counts as text, and so does the name of a
field that nobody here knows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..errors import ChatModelError
from .openai_choices import FIELDS, Part, Tokens
from .openai_shapes import NAMES, Shape, encodes, is_identifier, passes, strings
from .sealed import read_sealed

__all__ = ["NO_REPLY", "Reading", "Texts", "object_of"]

NO_REPLY = "The chat model answered something that its contract does not know."
_SEALED = "sealed"
_TOKEN_CHARS = 32


@dataclass(frozen=True, slots=True)
class Reading:
    """What an event of a reply says, and whether it is the last one."""

    parts: Sequence[Part]
    tokens: Tokens | None = None
    is_end: bool = False


class Texts:
    """What a reply has said so far, by channel.

    `names` are the fields that say nothing by themselves, beside those of chat completions.
    """

    def __init__(self, names: Collection[str] = ()) -> None:
        self._names = NAMES | frozenset(names)
        self._said: dict[str, list[str]] = {}
        self._seen: set[str] = set()

    def new(self, channel: str, text: object, *, is_tool: bool = False) -> Iterator[Part]:
        """A text goes on. Raises ChatModelError for what is none."""
        if not isinstance(text, str):
            raise ChatModelError(NO_REPLY)
        if channel in self._said:
            self._said[channel].append(text)
        else:
            self._said[channel] = [text]
        yield Part(channel, text, is_tool=is_tool)

    def again(self, channel: str, text: object, *, is_tool: bool = False) -> Iterator[Part]:
        """All of a text, of which some or nothing was said before."""
        if not isinstance(text, str):
            raise ChatModelError(NO_REPLY)
        said = self.said(channel)
        if text.startswith(said):
            yield Part(channel, text[len(said) :], is_tool=is_tool)
            self._said[channel] = [text]
        elif text:
            yield from self.again(f"{channel} again", text, is_tool=is_tool)

    def said(self, channel: str) -> str:
        """All of a text so far."""
        return "".join(self._said.get(channel, ()))

    def once(self, channel: str, text: str) -> Iterator[Part]:
        """A text that stands in several places and says something new in the first of them."""
        if text not in self._seen:
            self._seen.add(text)
            yield Part(channel, text + "\n")

    def sealed(self, value: object) -> Iterator[Part]:
        """Data that only its server can read, or so it says."""
        if value is None or (isinstance(value, str) and is_identifier(value)):
            return
        if not isinstance(value, str):
            yield from self.field(_SEALED, value)
        elif value not in self._seen:
            self._seen.add(value)
            text = read_sealed(value)
            yield Part(_SEALED, waits=True) if text is None else Part(_SEALED, text + "\n")

    def field(self, key: str, value: object, *, channel: str = "") -> Iterator[Part]:
        """A field that is not known to say nothing."""
        if key not in self._names:
            yield Part(FIELDS, f"{key}\n")
        for text in strings(value):
            # A constant says nothing new; but a short one can be a token that came twice.
            if len(text) <= _TOKEN_CHARS or text not in self._seen:
                self._seen.add(text)
                yield Part(channel or key, text)
        if encodes(value):
            yield Part(channel or key, is_numbers=True)

    def others(
        self, document: Mapping[str, object], place: Mapping[str, Shape], known: Collection[str]
    ) -> Iterator[Part]:
        """The fields of an object that are neither `known`, and read elsewhere, nor of a shape that says nothing."""
        for key, value in document.items():
            if key not in known and not passes(place, key, value):
                yield from self.field(key, value)


def object_of(value: object) -> Mapping[str, object]:
    """The value, if it is an object. Raises ChatModelError for anything else."""
    if not isinstance(value, dict):
        raise ChatModelError(NO_REPLY)
    return value
