"""One server's OpenAI-compatible API: what is sent, and what each way of failing means.

Every call goes over a `ConnectionPool`; its errors are turned into `UpstreamFailure` here and nowhere else.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from ..config.settings import Secret
from ..core.json_text import read_json, write_json
from ..errors import DeadlineExceeded, EngineAnswerInvalid, EngineError, EngineUnavailable, FailureReason
from .byte_level import spelled
from .connections import BrokenConnection, ConnectionPool, Stage
from .dialects import Tokenizer

__all__ = ["Client", "FailureKind", "PromptTooLong", "ServedModel", "UpstreamFailure"]

# A verdict is under 50 kB, with all logprobs; anything near this is not one.
_MAX_ANSWER_BYTES = 8 * 1024 * 1024
# The token list of a text of 1 MB is about 10 MB.
_MAX_TOKEN_LIST_BYTES = 64 * 1024 * 1024
# A pause that a server asks for is honoured so far; a mistake in it must not silence a server for long.
_MAX_PAUSE_S = 60.0
_TOO_LONG_TYPES = frozenset({"exceed_context_size_error", "context_length_exceeded"})
_TOO_LONG_PHRASES = ("maximum context length", "context size", "context length", "max_tokens must be at least 1, got 0")
# How often an answer with one choice has these; `content` also in its log probabilities.
_USUAL_FIELDS = ((b'"choices"', 1), (b'"message"', 1), (b'"content"', 2), (b'"text"', 1))


class FailureKind(enum.Enum):
    """Why a server gave no verdict; a label of the metrics."""

    CONNECT = "connect"
    """It can't be reached."""
    CLOSED = "closed"
    """The connection broke in the middle."""
    TIMEOUT = "timeout"
    """No answer in time."""
    GARBLED = "garbled"
    """Not an HTTP reply, not JSON, or not the JSON that was asked for."""
    REFUSED = "refused"
    """A 4xx: wrong key, wrong model, a request it does not understand."""
    OVERLOADED = "overloaded"
    """429 or 503: it has too much to do."""
    SERVER_ERROR = "server_error"
    """Another 5xx."""
    NO_VERDICT = "no_verdict"
    """A proper reply whose text is not a verdict."""
    MISJUDGES = "misjudges"
    """It calls a question safe that is plainly harmful: it is no guard, or a broken one."""


_REASONS = {
    FailureKind.CONNECT: FailureReason.UNREACHABLE,
    FailureKind.CLOSED: FailureReason.BROKEN_OFF,
    FailureKind.TIMEOUT: FailureReason.TIMEOUT,
    FailureKind.GARBLED: FailureReason.INVALID,
    FailureKind.REFUSED: FailureReason.REFUSED,
    FailureKind.OVERLOADED: FailureReason.OVERLOADED,
    FailureKind.SERVER_ERROR: FailureReason.FAILED,
    FailureKind.NO_VERDICT: FailureReason.INVALID,
    FailureKind.MISJUDGES: FailureReason.MISJUDGES,
}


class UpstreamFailure(Exception):
    """A call that gave nothing usable: why, and as which error the caller learns of it.

    `pause_s` is for how long the server asked to be left alone.
    """

    def __init__(self, kind: FailureKind, error: EngineError, *, pause_s: float = 0.0) -> None:
        super().__init__(kind.value)
        self.kind = kind
        self.error = error
        self.pause_s = pause_s
        error.reason = _REASONS[kind]


class PromptTooLong(Exception):
    """The server says that the prompt does not fit its context."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """An entry of the model list. `context_tokens` is None where the server does not say."""

    name: str
    owned_by: object
    context_tokens: int | None


_STAGES = {
    Stage.CONNECT: (FailureKind.CONNECT, EngineUnavailable, "The model server can't be reached."),
    Stage.CLOSED: (FailureKind.CLOSED, EngineUnavailable, "The model server broke off its answer."),
    Stage.TIMEOUT: (FailureKind.TIMEOUT, DeadlineExceeded, "The model server did not answer in time."),
    Stage.GARBLED: (FailureKind.GARBLED, EngineAnswerInvalid, "The model server's answer is not HTTP."),
    Stage.TOO_LARGE: (FailureKind.GARBLED, EngineAnswerInvalid, "The model server's answer is over the limit."),
}


class Client:
    """Calls one server. Safe to use from many threads; made in the process that uses it.

    `address` is the one to connect to, of several that the name in `url` stands for.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: Secret | None,
        pool_size: int,
        connect_timeout_s: float,
        outgoing: Callable[[], bytes] | None = None,
        address: str | None = None,
    ) -> None:
        self._outgoing = outgoing
        self._pool = ConnectionPool(url, size=pool_size, connect_timeout_s=connect_timeout_s, address=address)
        parts = urlsplit(url)
        self._path = parts.path
        self._fields = f" HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: application/json\r\nAccept-Encoding: identity\r\n"
        if api_key is not None:
            self._fields += f"Authorization: Bearer {api_key.value}\r\n"
        self._chat_head = self._head("/v1/chat/completions")
        self._completion_head = self._head("/v1/completions")
        self._pooling_head = self._head("/pooling")
        self._tokenize_head = self._head("/tokenize")
        self._models_request = f"GET {parts.path}/v1/models{self._fields}\r\n".encode("latin-1")

    def chat(self, body: Mapping[str, object], *, timeout_s: float) -> dict[str, Any]:
        """`POST /v1/chat/completions`. Raises UpstreamFailure or PromptTooLong."""
        return self._post(self._chat_head, body, timeout_s=timeout_s)

    def complete(self, body: Mapping[str, object], *, timeout_s: float) -> dict[str, Any]:
        """`POST /v1/completions`. Raises UpstreamFailure or PromptTooLong."""
        return self._post(self._completion_head, body, timeout_s=timeout_s)

    def pool(self, body: Mapping[str, object], *, timeout_s: float) -> tuple[bytes, bytes]:
        """`POST /pooling` for numbers as bytes: the reply's `metadata` header, and its body.

        Raises UpstreamFailure or PromptTooLong.
        """
        headers, content = self._exchange(self._pooling_head, body, timeout_s=timeout_s)
        return headers.get(b"metadata", b""), content

    def models(self, *, timeout_s: float) -> list[ServedModel]:
        """`GET /v1/models`. Raises UpstreamFailure."""
        _, content = self._sent(self._models_request, timeout_s=timeout_s, max_body_bytes=_MAX_ANSWER_BYTES)
        listed = _json_object(content).get("data")
        entries = [_served_model(entry) for entry in listed] if isinstance(listed, list) else []
        found = [entry for entry in entries if entry is not None]
        if not found:
            raise _garbled("The model server's list of models is empty or unreadable.")
        return found

    def token_lengths(self, text: str, *, model: str, tokenizer: Tokenizer, timeout_s: float) -> list[int] | None:
        """How many UTF-8 bytes of `text` each of its tokens covers; None if the server can't tell.

        The lengths add up to those of the text, or the answer does not count. Raises UpstreamFailure.
        """
        if tokenizer is Tokenizer.VLLM:
            asked = {"model": model, "prompt": text, "add_special_tokens": False, "return_token_strs": True}
            pieces = self._tokenized(asked, timeout_s=timeout_s).get("token_strs")
        elif tokenizer is Tokenizer.LLAMACPP:
            asked = {"content": text, "with_pieces": True, "add_special": False, "parse_special": True}
            tokens = self._tokenized(asked, timeout_s=timeout_s).get("tokens")
            pieces = [_piece(token) for token in tokens] if isinstance(tokens, list) else None
        else:
            return None
        if not isinstance(pieces, list) or not all(isinstance(piece, str) for piece in pieces):
            return None
        # Byte-level BPE spells every byte as one character.
        lengths = [len(piece) for piece in pieces]
        return lengths if sum(lengths) == len(text.encode()) else None

    def context_tokens(self, *, model: str, timeout_s: float) -> int | None:
        """The context length that vLLM tells beside a text's tokens, also where a router's list of models has none.

        Raises UpstreamFailure.
        """
        asked = {"model": model, "prompt": " Safe", "add_special_tokens": False}
        return _count(self._tokenized(asked, timeout_s=timeout_s).get("max_model_len"))

    def label_ids(self, labels: tuple[str, ...], *, model: str, timeout_s: float) -> list[int] | None:
        """The ids of the first tokens of these labels, with a space in front; None if the server can't tell."""
        asked = {
            "model": model,
            "prompt": " " + " ".join(labels),
            "add_special_tokens": False,
            "return_token_strs": True,
        }
        answer = self._tokenized(asked, timeout_s=timeout_s)
        ids, pieces = answer.get("tokens"), answer.get("token_strs")
        if not isinstance(ids, list) or not isinstance(pieces, list) or len(ids) != len(pieces):
            return None
        # A token that begins with a space is spelled with U+0120 in front.
        found = [token for token, piece in zip(ids, pieces, strict=True) if isinstance(piece, str) and piece[:1] == "Ġ"]
        return found if len(found) == len(labels) and all(isinstance(one, int) for one in found) else None

    def rendered(self, messages: Sequence[Mapping[str, str]], *, model: str, timeout_s: float) -> str | None:
        """The prompt that vLLM's chat API makes of these messages; None if it can't tell. Raises UpstreamFailure."""
        asked = {"model": model, "messages": messages, "return_token_strs": True}
        pieces = self._tokenized(asked, timeout_s=timeout_s).get("token_strs")
        if not isinstance(pieces, list) or not all(isinstance(piece, str) for piece in pieces):
            return None
        return spelled(pieces)

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def _head(self, path: str) -> bytes:
        """The beginning of a request with a JSON body, up to its length."""
        return f"POST {self._path}{path}{self._fields}Content-Type: application/json\r\nContent-Length: ".encode(
            "latin-1"
        )

    def _post(self, head: bytes, body: Mapping[str, object], *, timeout_s: float) -> dict[str, Any]:
        content = self._exchange(head, body, timeout_s=timeout_s)[1]
        if any(content.count(field) > usual for field, usual in _USUAL_FIELDS):
            _refuse_doubles(content)
        return _json_object(content)

    def _tokenized(self, body: Mapping[str, object], *, timeout_s: float) -> dict[str, Any]:
        _, content = self._exchange(
            self._tokenize_head, body, timeout_s=timeout_s, max_body_bytes=_MAX_TOKEN_LIST_BYTES
        )
        return _json_object(content)

    def _exchange(
        self,
        head: bytes,
        body: Mapping[str, object],
        *,
        timeout_s: float,
        max_body_bytes: int = _MAX_ANSWER_BYTES,
    ) -> tuple[Mapping[bytes, bytes], bytes]:
        content = write_json(body)
        more = b"" if self._outgoing is None else self._outgoing()
        request = b"%s%d\r\n%s\r\n%s" % (head, len(content), more, content)
        return self._sent(request, timeout_s=timeout_s, max_body_bytes=max_body_bytes)

    def _sent(self, request: bytes, *, timeout_s: float, max_body_bytes: int) -> tuple[Mapping[bytes, bytes], bytes]:
        """Headers and body of a good reply. Raises UpstreamFailure or PromptTooLong."""
        try:
            status, headers, reply = self._pool.exchange(request, timeout_s=timeout_s, max_body_bytes=max_body_bytes)
        except BrokenConnection as error:
            kind, wrapped, message = _STAGES[error.stage]
            raise UpstreamFailure(kind, wrapped(message)) from error
        if status != 200:
            raise _refusal(status, headers.get(b"retry-after", b"").decode("latin-1"), reply)
        return headers, reply


def _garbled(message: str) -> UpstreamFailure:
    return UpstreamFailure(FailureKind.GARBLED, EngineAnswerInvalid(message))


def _refuse_doubles(content: bytes) -> None:
    """Refuse an object that says the same field twice: which of the two is read must not decide about a verdict."""

    def once(pairs: list[tuple[str, object]]) -> None:
        if len(dict(pairs)) != len(pairs):
            raise _garbled("The model server's answer has the same field twice.")

    try:
        json.loads(content, object_pairs_hook=once)
    except (ValueError, RecursionError):
        return  # for who reads it to say


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        found = read_json(content)
    except (ValueError, RecursionError):
        raise _garbled("The model server's answer is not JSON.") from None
    if not isinstance(found, dict):
        raise _garbled("The model server's answer is not a JSON object.")
    return found


def _refusal(status: int, retry_after: str, content: bytes) -> Exception:
    """What a status other than 200 means. The body is only looked at for "too long": it may quote the text."""
    if status in (400, 413, 422) and _says_too_long(content):
        return PromptTooLong()
    if status in (401, 403):
        message = "The model server refused this service's API key."
        return UpstreamFailure(FailureKind.REFUSED, EngineUnavailable(message))
    if status == 404:
        message = "The model server does not know the model or the address it was asked for."
        return UpstreamFailure(FailureKind.REFUSED, EngineUnavailable(message))
    if status in (429, 503):
        pause_s = _pause_s(retry_after)
        error = EngineUnavailable("The model server is overloaded.", retry_after_s=max(pause_s, 1.0))
        return UpstreamFailure(FailureKind.OVERLOADED, error, pause_s=pause_s)
    if 400 <= status < 500:
        message = f"The model server refused the request (status {status})."
        return UpstreamFailure(FailureKind.REFUSED, EngineUnavailable(message))
    if status >= 500:
        message = f"The model server failed (status {status})."
        return UpstreamFailure(FailureKind.SERVER_ERROR, EngineUnavailable(message))
    return _garbled(f"The model server answered with the odd status {status}.")


def _says_too_long(content: bytes) -> bool:
    """Whether an error is about the prompt's length, in the words of vLLM, SGLang, llama.cpp or OpenAI."""
    try:
        body = read_json(content)
    except (ValueError, RecursionError):
        return False
    error = body.get("error", body) if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return False
    if error.get("param") == "input_tokens" or _TOO_LONG_TYPES & {str(error.get("type")), str(error.get("code"))}:
        return True
    message = error.get("message")
    return isinstance(message, str) and any(phrase in message.lower() for phrase in _TOO_LONG_PHRASES)


def _pause_s(retry_after: str) -> float:
    """The seconds that `Retry-After` asks for, as a number or as a date; 0 where it says nothing readable."""
    if retry_after.isascii() and retry_after.isdigit():
        return min(float(retry_after[:9]), _MAX_PAUSE_S)
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0.0
    # A date without a zone is one in GMT (RFC 9110, section 5.6.7).
    pause_s = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(pause_s, 0.0), _MAX_PAUSE_S)


def _served_model(entry: object) -> ServedModel | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
        return None
    # vLLM and SGLang; llama.cpp; Ray Serve LLM.
    meta, metadata = entry.get("meta"), entry.get("metadata")
    context = (
        _count(entry.get("max_model_len"))
        or (_count(meta.get("n_ctx")) if isinstance(meta, dict) else None)
        or (_count(metadata.get("max_request_context_length")) if isinstance(metadata, dict) else None)
    )
    return ServedModel(entry["id"], entry.get("owned_by"), context)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _piece(token: object) -> object:
    """A token of llama.cpp spelled with one character per byte; pieces that are no UTF-8 come as lists of bytes."""
    piece = token.get("piece") if isinstance(token, dict) else None
    if isinstance(piece, str):
        return piece.encode().decode("latin-1")
    if isinstance(piece, list) and all(isinstance(byte, int) and 0 <= byte < 256 for byte in piece):
        return bytes(piece).decode("latin-1")
    return None
