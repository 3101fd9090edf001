"""One HTTP/1.1 reply, read from bytes that come in any pieces. No I/O.

Read strictly, because what stands behind decides whether an answer is complete: a reply that breaks off must not pass
for one that ended.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["GarbledReply", "HttpReply"]

_MAX_HEAD_BYTES = 64 * 1024
_MAX_LINE_BYTES = 4096
_UNTIL_CLOSE = -1


class GarbledReply(ValueError):
    """What came is no HTTP reply, or broke off."""


class HttpReply:
    """Takes what the server sends; `feed` returns what of it is the body."""

    def __init__(self) -> None:
        self.status: int | None = None
        """None until the head is complete."""
        self.headers: Mapping[str, str] = {}
        """By their names in lower case; of several of one name, the first."""
        self.is_complete = False
        self._rest = b""
        self._left = 0
        self._is_chunked = False
        self._in_trailer = False

    def feed(self, received: bytes) -> bytes:
        """The part of the body that came with these bytes. Raises GarbledReply."""
        self._rest += received
        while self.status is None:
            if not self._read_head():
                return b""
        if self.is_complete:
            return b""
        return self._read_chunks() if self._is_chunked else self._read_plain()

    def end(self) -> None:
        """The server has closed the connection. Raises GarbledReply when that is too early."""
        if self.status is not None and not self._is_chunked and self._left == _UNTIL_CLOSE:
            self.is_complete = True
        if not self.is_complete:
            raise GarbledReply

    def _read_head(self) -> bool:
        head, end, rest = self._rest.partition(b"\r\n\r\n")
        if not end:
            if len(self._rest) > _MAX_HEAD_BYTES:
                raise GarbledReply
            return False
        self._rest = rest
        lines = head.decode("latin-1").split("\r\n")
        version, _, reason = lines[0].partition(" ")
        if version not in ("HTTP/1.1", "HTTP/1.0") or not reason[:3].isdecimal() or len(reason[:3]) != 3:
            raise GarbledReply
        status = int(reason[:3])
        if status < 200:
            return bool(rest)  # 100 Continue and its like come before the reply proper
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon:
                raise GarbledReply
            if headers.setdefault(name.lower(), value.strip()) != value.strip() and name.lower() == "content-length":
                raise GarbledReply
        self.headers = headers
        self._begin_body(status)
        self.status = status
        return True

    def _begin_body(self, status: int) -> None:
        coding, length = self.headers.get("transfer-encoding"), self.headers.get("content-length")
        if self.headers.get("content-encoding", "identity").lower() != "identity":
            raise GarbledReply
        if status in (204, 304):
            self.is_complete = True
        elif coding is not None:
            if coding.lower() != "chunked":
                raise GarbledReply
            self._is_chunked = True
        elif length is None:
            self._left = _UNTIL_CLOSE
        elif length.isdecimal() and length.isascii() and len(length) < 16:
            self._left = int(length)
            self.is_complete = self._left == 0
        else:
            raise GarbledReply

    def _read_plain(self) -> bytes:
        if self._left == _UNTIL_CLOSE:
            found, self._rest = self._rest, b""
            return found
        found, self._rest = self._rest[: self._left], b""
        self._left -= len(found)
        self.is_complete = self._left == 0
        return found

    def _read_chunks(self) -> bytes:
        """`_left` counts what is missing of a chunk and of the line end behind it."""
        parts: list[bytes] = []
        while not self.is_complete:
            if self._left:
                part, self._rest = self._rest[: self._left], self._rest[self._left :]
                inside = max(self._left - 2, 0)
                parts.append(part[:inside])
                if not b"\r\n"[max(2 - self._left, 0) :].startswith(part[inside:]):
                    raise GarbledReply
                self._left -= len(part)
                if self._left:
                    break
            line, end, rest = self._rest.partition(b"\r\n")
            if not end:
                if len(self._rest) > _MAX_LINE_BYTES:
                    raise GarbledReply
                break
            self._rest = rest
            if self._in_trailer:
                self.is_complete = not line
                continue
            size = line.partition(b";")[0].strip()
            if not 0 < len(size) < 16 or not all(digit in b"0123456789abcdefABCDEF" for digit in size):
                raise GarbledReply
            self._left = int(size, 16)
            self._in_trailer = self._left == 0
            self._left += 2 if self._left else 0
        return b"".join(parts)
