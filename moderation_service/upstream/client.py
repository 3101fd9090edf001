"""One server's OpenAI-compatible API: what is sent, and what each way of failing means.

The verdict call goes straight to the `ConnectionPool`, everything else to `requests` on top of it. Their errors are
turned into `UpstreamFailure` here and nowhere else.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests

from ..config.settings import Secret
from ..errors import DeadlineExceeded, EngineAnswerInvalid, EngineError, EngineUnavailable, FailureReason
from .adapter import PooledAdapter
from .byte_level import spelled
from .connections import BrokenConnection, ConnectionPool, Stage
from .dialects import Tokenizer

__all__ = ["Client", "FailureKind", "PromptTooLong", "ServedModel", "UpstreamFailure"]

_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_TOO_LONG_TYPES = frozenset({"exceed_context_size_error", "context_length_exceeded"})
_TOO_LONG_PHRASES = ("maximum context length", "context size", "context length", "max_tokens must be at least 1, got 0")


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
    """A call that gave nothing usable: why, and as which error the caller learns of it."""

    def __init__(self, kind: FailureKind, error: EngineError) -> None:
        super().__init__(kind.value)
        self.kind = kind
        self.error = error
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
}


class Client:
    """Calls one server. Safe to use from many threads; made in the process that uses it."""

    def __init__(
        self,
        url: str,
        *,
        api_key: Secret | None,
        pool_size: int,
        connect_timeout_s: float,
        outgoing: Callable[[], bytes] | None = None,
    ) -> None:
        self._url = url
        self._outgoing = outgoing
        self._pool = ConnectionPool(url, size=pool_size, connect_timeout_s=connect_timeout_s)
        self._session = requests.Session()
        # Proxy variables and .netrc are for programs that go out to the internet.
        self._session.trust_env = False
        self._session.mount(url, PooledAdapter(self._pool))
        self._session.headers["Accept-Encoding"] = "identity"
        if api_key is not None:
            self._session.headers["Authorization"] = f"Bearer {api_key.value}"
        parts = urlsplit(url)
        host = parts.netloc
        rest = f" HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n"
        if api_key is not None:
            rest += f"Authorization: Bearer {api_key.value}\r\n"
        rest += "Content-Type: application/json\r\nContent-Length: "
        self._chat_head = f"POST {parts.path}/v1/chat/completions{rest}".encode("latin-1")
        self._completion_head = f"POST {parts.path}/v1/completions{rest}".encode("latin-1")
        self._pooling_head = f"POST {parts.path}/pooling{rest}".encode("latin-1")

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

    def _post(self, head: bytes, body: Mapping[str, object], *, timeout_s: float) -> dict[str, Any]:
        return _json_object(self._exchange(head, body, timeout_s=timeout_s)[1])

    def _exchange(
        self, head: bytes, body: Mapping[str, object], *, timeout_s: float
    ) -> tuple[dict[bytes, bytes], bytes]:
        content = _ENCODE(body).encode()
        more = b"" if self._outgoing is None else self._outgoing()
        request = b"%s%d\r\n%s\r\n%s" % (head, len(content), more, content)
        try:
            status, headers, reply = self._pool.exchange(request, timeout_s=timeout_s)
        except BrokenConnection as error:
            raise _failure(error) from error
        if status != 200:
            raise _refusal(status, headers.get(b"retry-after", b"").decode("latin-1"), reply)
        return headers, reply

    def models(self, *, timeout_s: float) -> list[ServedModel]:
        """`GET /v1/models`. Raises UpstreamFailure."""
        listed = self._call("GET", "/v1/models", None, timeout_s=timeout_s).get("data")
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
            pieces = self._call("POST", "/tokenize", asked, timeout_s=timeout_s).get("token_strs")
        elif tokenizer is Tokenizer.LLAMACPP:
            asked = {"content": text, "with_pieces": True, "add_special": False, "parse_special": True}
            tokens = self._call("POST", "/tokenize", asked, timeout_s=timeout_s).get("tokens")
            pieces = [_piece(token) for token in tokens] if isinstance(tokens, list) else None
        else:
            return None
        if not isinstance(pieces, list) or not all(isinstance(piece, str) for piece in pieces):
            return None
        # Byte-level BPE spells every byte as one character.
        lengths = [len(piece) for piece in pieces]
        return lengths if sum(lengths) == len(text.encode()) else None

    def label_ids(self, labels: tuple[str, ...], *, model: str, timeout_s: float) -> list[int] | None:
        """The ids of the first tokens of these labels, with a space in front; None if the server can't tell."""
        asked = {
            "model": model,
            "prompt": " " + " ".join(labels),
            "add_special_tokens": False,
            "return_token_strs": True,
        }
        answer = self._call("POST", "/tokenize", asked, timeout_s=timeout_s)
        ids, pieces = answer.get("tokens"), answer.get("token_strs")
        if not isinstance(ids, list) or not isinstance(pieces, list) or len(ids) != len(pieces):
            return None
        # A token that begins with a space is spelled with U+0120 in front.
        found = [token for token, piece in zip(ids, pieces, strict=True) if isinstance(piece, str) and piece[:1] == "Ġ"]
        return found if len(found) == len(labels) and all(isinstance(one, int) for one in found) else None

    def rendered(self, messages: Sequence[Mapping[str, str]], *, model: str, timeout_s: float) -> str | None:
        """The prompt that vLLM's chat API makes of these messages; None if it can't tell. Raises UpstreamFailure."""
        asked = {"model": model, "messages": messages, "return_token_strs": True}
        pieces = self._call("POST", "/tokenize", asked, timeout_s=timeout_s).get("token_strs")
        if not isinstance(pieces, list) or not all(isinstance(piece, str) for piece in pieces):
            return None
        return spelled(pieces)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _call(self, method: str, path: str, body: object, *, timeout_s: float) -> dict[str, Any]:
        data = None if body is None else _ENCODE(body).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            response = self._session.request(
                method, self._url + path, data=data, headers=headers, timeout=timeout_s, allow_redirects=False
            )
        except requests.RequestException as error:
            raise _failure(error) from error
        if response.status_code != 200:
            raise _refusal(response.status_code, response.headers.get("retry-after", ""), response.content)
        return _json_object(response.content)


def _failure(error: requests.RequestException) -> UpstreamFailure:
    """What an exception of `requests` means. Those that are not BrokenConnection are about the address."""
    stage = error.stage if isinstance(error, BrokenConnection) else Stage.CONNECT
    kind, wrapped, message = _STAGES[stage]
    return UpstreamFailure(kind, wrapped(message))


def _garbled(message: str) -> UpstreamFailure:
    return UpstreamFailure(FailureKind.GARBLED, EngineAnswerInvalid(message))


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
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
        error = EngineUnavailable("The model server is overloaded.", retry_after_s=_retry_after_s(retry_after))
        return UpstreamFailure(FailureKind.OVERLOADED, error)
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
        body = json.loads(content)
    except (ValueError, RecursionError):
        return False
    error = body.get("error", body) if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return False
    if error.get("param") == "input_tokens" or _TOO_LONG_TYPES & {str(error.get("type")), str(error.get("code"))}:
        return True
    message = error.get("message")
    return isinstance(message, str) and any(phrase in message.lower() for phrase in _TOO_LONG_PHRASES)


def _retry_after_s(value: str) -> float:
    return float(min(int(value), 60)) if value.isascii() and value.isdigit() and len(value) < 6 else 1.0


def _served_model(entry: object) -> ServedModel | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
        return None
    meta = entry.get("meta")
    context = entry.get("max_model_len") or (meta.get("n_ctx") if isinstance(meta, dict) else None)
    known = isinstance(context, int) and not isinstance(context, bool) and context > 0
    return ServedModel(entry["id"], entry.get("owned_by"), context if known else None)


def _piece(token: object) -> object:
    """A token of llama.cpp spelled with one character per byte; pieces that are no UTF-8 come as lists of bytes."""
    piece = token.get("piece") if isinstance(token, dict) else None
    if isinstance(piece, str):
        return piece.encode().decode("latin-1")
    if isinstance(piece, list) and all(isinstance(byte, int) and 0 <= byte < 256 for byte in piece):
        return bytes(piece).decode("latin-1")
    return None
