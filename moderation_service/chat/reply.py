"""The model's reply: read from the server as it comes, and handed to the answer that is judged."""

from __future__ import annotations

from collections.abc import Mapping

from ..core.json_text import is_too_deep, read_json
from ..errors import ChatModelError, ChatModelTimeout
from ..upstream.sse import DONE, Event, EventReader, EventTooLarge
from .contract import Answer, Translation
from .refusal import ChatModelRefused, broken_off, refusal_of
from .upstream import UpstreamCall

__all__ = ["ModelReply"]

_READS_AT_ONCE = 16
# What some servers send to keep the connection, as an event instead of a comment.
_SIGNS_OF_LIFE = frozenset({"ping", "keepalive", "keep-alive", "heartbeat"})
_NO_COMPLETION = "The chat model answered something that is no completion."
_NO_SUCH_ADDRESS = (404, 405)


class ModelReply:
    """One reply, from the call to its end. It never waits, and never takes an answer that broke off for a whole one.

    `has_key` tells whether the server was asked with a key of ours, which it may refuse.
    """

    def __init__(self, answer: Answer, *, is_stream: bool, max_bytes: int, has_key: bool) -> None:
        self.call: UpstreamCall | None = None
        self.translation: Translation | None = None
        """How the reply becomes one of the client's contract, where the server speaks another one."""
        self.is_unknown = False
        """Whether the server does not know the address that it was asked at; `failure` is its refusal then."""
        self.failure: ChatModelError | ChatModelRefused | None = None
        """Why there will be no answer, or no more of it."""
        self.document: Mapping[str, object] | None = None
        """The whole reply, when it is not streamed."""
        self.is_done = False
        """Whether the answer is complete."""
        self._answer = answer
        self._is_stream, self._has_key = is_stream, has_key
        self._reader = EventReader(max_bytes=max_bytes)
        self._body = bytearray()

    @property
    def is_answered(self) -> bool:
        """Whether the server has begun to answer well."""
        return self.is_done or (self.call is not None and self.call.status == 200)

    def ask_again(self, call: UpstreamCall, translation: Translation) -> None:
        """Take the reply to another call for it."""
        self.call, self.translation, self.failure, self.is_unknown = call, translation, None, False
        self._body.clear()

    def receive(self) -> None:
        """Read what has come; what goes wrong is kept as `failure`."""
        try:
            for _ in range(_READS_AT_ONCE):
                if self.call is None or not self._receive_from(self.call):
                    return
        except (ChatModelError, ChatModelRefused) as error:
            self.fail(error)

    def fail(self, error: ChatModelError | ChatModelRefused) -> None:
        """There will be no more of the answer."""
        self.failure = error
        if self.call is not None:
            self.call.close(error.type if isinstance(error, ChatModelError) else "refused")
            self.call = None

    def time_out(self) -> None:
        """The server has been silent for too long; of an answer that is whole it was only the end mark."""
        if self._is_whole:
            self._finish()
            self.stop()
        else:
            self.fail(ChatModelTimeout("The chat model did not answer in time."))

    def stop(self) -> None:
        """Break the call off, if it has not ended."""
        if self.call is not None:
            self.call.close()
            self.call = None

    def _receive_from(self, call: UpstreamCall) -> bool:
        """Read once; false when nothing has come."""
        try:
            received = call.receive()
        except ChatModelError:
            if not self._is_whole:
                raise
            self._finish()
            self.stop()
            return False
        if received is None:
            return False
        if call.status is not None:
            self._read(call, received)
        if call.is_complete and not self.is_done:
            self._complete(call)
        if self.is_done:
            call.finish()
            self.call = None
        return True

    def _read(self, call: UpstreamCall, received: bytes) -> None:
        if call.status != 200 or not self._is_stream:
            self._body += received
            return
        if not call.header("content-type").lower().startswith("text/event-stream"):
            raise ChatModelError("The chat model's server answered no stream.")
        try:
            events = self._reader.feed(received)
        except EventTooLarge:
            raise ChatModelError("The chat model's answer is over the limit.") from None
        for event in events:
            self._take(event)
            if self.is_done:
                break

    def _take(self, event: Event) -> None:
        data = event.data.strip()
        if data == DONE:
            self._finish()
            return
        if data in ("", "null") or data.startswith(":") or event.name.lower() in _SIGNS_OF_LIFE:
            return
        chunk = _object(event.data)
        if event.name == "error" or chunk.get("error") or chunk.get("type") == "error":
            raise broken_off(chunk)
        if chunk.get("type") == "response.failed":
            failed = chunk.get("response")
            raise broken_off(failed if isinstance(failed, dict) else {})
        self._add(chunk)

    def _add(self, chunk: Mapping[str, object]) -> None:
        for event in (chunk,) if self.translation is None else self.translation.events(chunk):
            self._answer.add(event)
        if self._answer.is_over:
            self._finish()

    def _complete(self, call: UpstreamCall) -> None:
        """The reply has come to its end, which need not be the end of an answer."""
        assert call.status is not None
        if call.status != 200:
            self.is_unknown = call.status in _NO_SUCH_ADDRESS and self.translation is None
            raise refusal_of(call.status, call.header("retry-after"), bytes(self._body), has_key=self._has_key)
        if self._is_stream:
            last = self._reader.end()
            if last is not None and not self._is_whole:
                self._take(last)
            if not self.is_done:
                if not self._is_whole:
                    raise ChatModelError("The chat model's answer broke off.")
                self._finish()
            return
        document = _object(self._body.decode("utf-8", "replace"))
        if self.translation is not None:
            document = self.translation.document(document)
        self._answer.add_whole(document)
        self.document = document
        self._finish()

    @property
    def _is_whole(self) -> bool:
        """Whether a stream has told the end of every choice: not every server sends the end mark after it."""
        is_told = self.translation is not None and self.translation.is_whole()
        return self._is_stream and (is_told or self._answer.is_finished)

    def _finish(self) -> None:
        if self.translation is not None and self._is_stream and not self._answer.is_all_cut:
            for event in self.translation.events(None):
                self._answer.add(event)
        self.is_done = True
        self._answer.end()


def _object(text: str) -> Mapping[str, object]:
    content = text.encode()
    try:
        found = read_json(content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or is_too_deep(found, content):
        raise ChatModelError(_NO_COMPLETION)
    return found
