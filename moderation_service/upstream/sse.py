"""Server-sent events, read from bytes that come in any pieces. No I/O.

Source: the HTML standard, section "Server-sent events". Lines may end in CR LF, LF or CR, an event may have several
`data` lines, lines that begin with a colon are comments, and a byte order mark may come first.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..core.json_text import write_json

__all__ = ["COMMENT", "DONE", "Event", "EventReader", "EventTooLarge", "write_event"]

DONE = "[DONE]"
"""The data of the event with which OpenAI's streams end."""
COMMENT = b": keep-alive\n\n"
_BOM = b"\xef\xbb\xbf"


class EventTooLarge(ValueError):
    """An event grows beyond the limit."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `name` is empty where none was given."""

    data: str
    name: str = ""


class EventReader:
    """Takes bytes, gives events. Raises EventTooLarge when one is larger than `max_bytes`."""

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._rest = b""
        self._is_first = True
        self._skip_newline = False
        self._data: list[str] = []
        self._size = 0
        self._name = ""

    def feed(self, received: bytes) -> list[Event]:
        """The events that these bytes complete."""
        events: list[Event] = []
        for line in self._lines(received):
            if line:
                self._field(line)
            elif (event := self._dispatch()) is not None:
                events.append(event)
        if self._size + len(self._rest) > self._max_bytes:
            raise EventTooLarge
        return events

    def end(self) -> Event | None:
        """The event that was begun and not ended, where the stream broke off; by the standard it is none."""
        if self._rest:
            self._field(self._rest)
            self._rest = b""
        return self._dispatch()

    def _lines(self, received: bytes) -> list[bytes]:
        """The complete lines, without their ends."""
        if self._skip_newline and received:
            # The LF of a CR LF that came in two pieces.
            received = received.removeprefix(b"\n")
            self._skip_newline = False
        buffer = self._rest + received
        if self._is_first:
            if len(buffer) < len(_BOM) and _BOM.startswith(buffer):
                self._rest = buffer
                return []
            self._is_first = False
            buffer = buffer.removeprefix(_BOM)
        if b"\r" in received or b"\r" in buffer:
            self._skip_newline = buffer.endswith(b"\r")
            buffer = buffer.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, self._rest = buffer.split(b"\n")
        return lines

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        text = value.removeprefix(b" ").decode("utf-8", "replace")
        if name == b"data":
            self._data.append(text)
            self._size += len(value)
        elif name == b"event":
            self._name = text

    def _dispatch(self) -> Event | None:
        name, data = self._name, self._data
        self._name, self._data, self._size = "", [], 0
        return Event("\n".join(data), name) if data else None


def write_event(value: object, *, name: str = "") -> bytes:
    """An event with this value as JSON; with `name` it says what it is, which some clients go by."""
    data = write_json(value)
    return b"event: %s\ndata: %s\n\n" % (name.encode(), data) if name else b"data: %s\n\n" % data
