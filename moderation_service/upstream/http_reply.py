"""HTTP/1.1 replies, read from bytes that come in any pieces. No I/O.

llhttp (in `httptools`) reads; what it takes and we don't is refused here. It is read strictly because what stands
behind decides whether an answer is whole, and because two programs that read one reply differently can be played
against each other: a reply that breaks off must not pass for one that ended, nor one reply for two.
"""

from __future__ import annotations

from collections.abc import Mapping

import httptools

__all__ = ["BodyTooLarge", "GarbledReply", "ReplyReader"]

# A reply's head, with those of the interim replies before it, lies in the first 64 kB.
_MAX_HEAD_BYTES = 64 * 1024
_MAX_FIELDS = 256
# What is neither head nor body: chunk sizes and extensions, line ends, trailers. A chunk of one byte has five such.
_MAX_FRAMING_BYTES = 64 * 1024
_FRAMING_PER_BODY_BYTE = 8
# At these places of a reply its bounds are looked at, in whatever pieces it comes.
_CHECK_EVERY_BYTES = 64 * 1024
_INTERIM = frozenset({100, 102, 103})
_WITHOUT_BODY = frozenset({204, 304})
_VERSIONS = frozenset({"1.1", "1.0"})
# Of these a second one could change where the reply ends or what it is; of others the first counts.
_ONCE = frozenset({b"content-length", b"transfer-encoding", b"content-encoding", b"content-type", b"connection"})


class GarbledReply(ValueError):
    """What came is no HTTP reply, is over a limit, or broke off. The message is for developers."""


class BodyTooLarge(GarbledReply):
    """Its body is, or will be, larger than was allowed."""


class ReplyReader:
    """The replies on one connection, one after the other: `begin`, `feed` what comes, `end` when the server has closed.

    One reader for a connection rather than one for a reply: a reader and its parser refer to each other, and a pair for
    every reply is work for the collector of cycles.
    """

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.begin(max_body_bytes=0)

    def begin(self, *, max_body_bytes: int, until_close: bool = False) -> None:
        """The next reply comes. `until_close` allows a body without a length, which ends with the connection."""
        self.status: int | None = None
        """None until the head is complete."""
        self.headers: Mapping[bytes, bytes] = {}
        """By their names in lower case; of several of one name, the first."""
        self.is_complete = False
        self.keeps_alive = False
        """Whether another reply can follow on this connection; known when this one is complete."""
        self._head = b""
        self._head_begins = 0
        self._fields: dict[bytes, bytes] = {}
        self._field_count = 0
        self._parts: list[bytes] = []
        self._max_body_bytes = max_body_bytes
        self._body_bytes = 0
        self._received = 0
        self._check_at = _CHECK_EVERY_BYTES
        self._is_interim = False
        self._may_end_by_closing = until_close
        self._ends_by_closing = False

    @property
    def has_begun(self) -> bool:
        """Whether anything of the reply has come."""
        return self._received > 0

    def feed(self, received: bytes) -> None:
        """Bytes that came. Raises GarbledReply."""
        while self._received + len(received) > self._check_at:
            size = self._check_at - self._received
            self._feed(received[:size])
            self._check_bounds()
            received = received[size:]
        self._feed(received)

    def take(self) -> bytes:
        """What has come of the body since the last time."""
        parts, self._parts = self._parts, []
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def end(self) -> None:
        """The server has closed the connection. Raises GarbledReply when that is too early."""
        self.keeps_alive = False
        if self._ends_by_closing:
            self.is_complete = True
        if not self.is_complete:
            raise GarbledReply("cut off")

    def _feed(self, received: bytes) -> None:
        self._received += len(received)
        if self.is_complete:
            self._ignore(received)
            return
        if self.status is None:
            self._head += received
        try:
            self._parser.feed_data(received)
        except httptools.HttpParserUpgrade:
            raise GarbledReply("another protocol") from None
        except httptools.HttpParserError as error:
            # Exceptions of the callbacks below come as a HttpParserCallbackError, which has them as its context.
            if isinstance(error.__context__, GarbledReply) and not self.is_complete:
                raise error.__context__ from None
            if not self.is_complete:
                raise GarbledReply(str(error)) from None
            # The reply is whole; what stands behind it was not asked for.
            self.keeps_alive = False

    def _ignore(self, received: bytes) -> None:
        """Bytes behind the reply. llhttp forgives line ends there, and so it is done here."""
        if received.strip(b"\r\n"):
            self.keeps_alive = False

    def _check_bounds(self) -> None:
        self._check_at += _CHECK_EVERY_BYTES
        if self.is_complete:
            return
        if self.status is None:
            raise GarbledReply("head too long")
        framing = self._received - self._body_bytes - _MAX_HEAD_BYTES
        if framing > _MAX_FRAMING_BYTES + _FRAMING_PER_BODY_BYTE * self._body_bytes:
            raise GarbledReply("too much around the body")

    # What the parser calls. It takes names, values and bodies as they come; several replies in a row, too.

    def on_message_begin(self) -> None:
        """A reply begins: the first, or the one after an interim one."""
        if self.is_complete:
            raise GarbledReply("more than one reply")
        self._fields = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head, or of the trailer, which nobody needs."""
        if self.status is not None:
            return
        self._field_count += 1
        if self._field_count > _MAX_FIELDS:
            raise GarbledReply("too many fields")
        name = name.lower()
        if name not in self._fields:
            self._fields[name] = value.strip()
        elif name in _ONCE:
            raise GarbledReply("a field twice")

    def on_headers_complete(self) -> None:
        """The head has come: what kind of reply is it, and where will it end?"""
        parser, fields = self._parser, self._fields
        version, status = parser.get_http_version(), parser.get_status_code()
        # llhttp reads RTSP and ICE as well, and does not tell.
        if version not in _VERSIONS or not self._head.startswith(b"HTTP/", self._head_begins):
            raise GarbledReply("another version")
        self._is_interim = status < 200
        if self._is_interim:
            if status not in _INTERIM:
                raise GarbledReply("another protocol")
            self._head_begins = self._head.find(b"\r\n\r\n", self._head_begins) + 4
            return
        if fields.get(b"content-encoding", b"identity").lower() != b"identity":
            raise GarbledReply("encoded")
        if b"transfer-encoding" in fields:
            if fields[b"transfer-encoding"].lower() != b"chunked" or version != "1.1":
                raise GarbledReply("encoded for the transfer")
        elif status not in _WITHOUT_BODY:
            self._read_length(fields.get(b"content-length"))
        self.headers = fields
        self.status = status
        self._head = b""
        self.keeps_alive = version == "1.1" and parser.should_keep_alive()

    def _read_length(self, length: bytes | None) -> None:
        if length is None:
            if not self._may_end_by_closing:
                raise GarbledReply("no length")
            self._ends_by_closing = True
        elif len(length) > 15 or int(length) > self._max_body_bytes:
            raise BodyTooLarge

    def on_body(self, part: bytes) -> None:
        """Some of the body, without what chunks add to it."""
        self._body_bytes += len(part)
        if self._body_bytes > self._max_body_bytes:
            raise BodyTooLarge
        self._parts.append(part)

    def on_message_complete(self) -> None:
        """The reply has come to its end, by its length or its last chunk."""
        if self._is_interim:
            self._is_interim = False
        else:
            self.is_complete = True
