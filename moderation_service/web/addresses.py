"""Addresses that are a little off: the harmless ones just work, the others are told the right one.

Base URLs and paths are joined by hand: a slash too many, `/v1` missing or twice, the path of another product's
contract. A bare 404 then costs an afternoon, so it names the address that was probably meant, in the shape of errors
that the caller reads. Nothing of the path that was asked for is repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from flask import Flask, request
from werkzeug.exceptions import NotFound as NothingHere

from ..errors import ModerationError, NotFound
from ..wires import anthropic_errors
from ..wires.openai_errors import render_error
from .reply import ErrorShape

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["ERROR_SHAPES", "hint", "register_addresses"]

_CHAT = "/v1/chat/completions"
_VERSIONS = frozenset({"v1", "v2", "beta"})
_NOT_DOORS = ("/", "/health", "/healthz", "/readyz", "/metrics", "/openapi.json", "/docs")
"""Reached by their exact address only: a proxy may keep them from the world by it."""
_OTHER_CONTRACTS: Mapping[tuple[str, ...], str] = {
    ("messages",): "Anthropic's API is served at `/v1/messages`, where a chat model is set (`chat_upstream`).",
    ("rerank",): "Rerankers are not served here. Let that client ask its own server.",
    ("realtime",): f"The Realtime API is not served here. Set the client to chat completions (`{_CHAT}`).",
    ("assistants",): f"The Assistants API is not served here. Set the client to chat completions (`{_CHAT}`).",
    ("threads",): f"The Assistants API is not served here. Set the client to chat completions (`{_CHAT}`).",
    ("files",): "Files are not served here. Let that client ask its own server.",
    ("batches",): f"Batches are not served here: nothing of them could be judged. Send them one by one (`{_CHAT}`).",
    ("api", "chat"): f"Ollama's API is not served here. Set the client to an OpenAI connection, which asks `{_CHAT}`.",
    ("api", "generate"): f"Ollama's API is not served here. Set the client to an OpenAI connection (`{_CHAT}`).",
    ("dify",): "The endpoint for Dify's API extension is `/dify/moderation`.",
    ("api", "embed"): "Ollama's API is not served here. Set the client to an OpenAI connection (`/v1/embeddings`).",
    (
        "api",
        "embeddings",
    ): "Ollama's API is not served here. Set the client to an OpenAI connection (`/v1/embeddings`).",
    ("api", "tags"): "Ollama's API is not served here. Set the client to an OpenAI connection (`/v1/models`).",
}


def _of_ollama(error: ModerationError) -> object:
    """Ollama's shape. Source: ollama/ollama `api/types.go`, `StatusError`."""
    return {"error": error.message}


ERROR_SHAPES: Mapping[str, ErrorShape] = {
    "/v1/v1/messages": anthropic_errors.render_error,
    **dict.fromkeys(("/api/chat", "/api/generate", "/api/tags", "/api/embed"), _of_ollama),
    **dict.fromkeys(
        ("/v1", "/openai/", "/api/v1/", "/chat/", "/moderations", "/models", "/responses", "/completions",
         "/embeddings", "/engines/", "/deployments/"),
        render_error,
    ),
}  # fmt: skip
"""The shape of errors at addresses of other contracts, by their beginning."""


def hint(path: str, *, doors: Iterable[str]) -> str | None:
    """What to tell a caller at this address, where nothing is: the one of `doors` that its end is like, if any."""
    parts = _parts(path)
    if path.rstrip("/") in ("/v1", "/v2") and parts:
        return f"This is a base URL. Clients add the rest, such as `{_CHAT}` or `/v1/moderations`."
    near = [door for door in doors if _ends_with(parts, _without_version(door))]
    if near:
        door = max(near, key=len)
        base = " The base URL of an OpenAI client ends in `/v1`, once." if door.startswith("/v1/") else ""
        return f"There is nothing at this address; `{door}` is probably meant.{base}"
    return next((told for end, told in _OTHER_CONTRACTS.items() if _ends_with(parts, end)), None)


def register_addresses(app: Flask) -> Callable[[str], str]:
    """Tidy addresses before Flask sees them, and let its 404 say more. To be called before the lifecycle's layer.

    Returns what takes slashes too many out of a path, if that makes it the address of a door.
    """
    known: list[str] = []

    def doors() -> list[str]:
        # Asked for by the first address that is off; all routes are there by then.
        if not known:
            rules = {rule.rule for rule in app.url_map.iter_rules() if not rule.arguments}
            known.extend(sorted(rules - set(_NOT_DOORS)))
        return known

    def tidy(path: str) -> str:
        if path.endswith("/") or "//" in path:
            joined = "/" + "/".join(_parts(path))
            return joined if joined in doors() else path
        return path

    def tell() -> None:
        if isinstance(request.routing_exception, NothingHere):
            told = hint(request.path, doors=doors())
            if told is not None:
                raise NotFound(told)

    app.before_request(tell)
    inner: WSGIApplication = app.wsgi_app

    def with_tidy_address(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["PATH_INFO"] = tidy(environ["PATH_INFO"])
        return inner(environ, start_response)

    app.wsgi_app = with_tidy_address  # type: ignore[method-assign]
    return tidy


def _parts(path: str) -> tuple[str, ...]:
    return tuple(part for part in path.split("/") if part)


def _without_version(door: str) -> tuple[str, ...]:
    parts = _parts(door)
    return parts[1:] if parts[0] in _VERSIONS else parts


def _ends_with(parts: tuple[str, ...], end: tuple[str, ...]) -> bool:
    return parts[-len(end) :] == end
