"""Services and test clients around a fake engine, and the documents that they answer with."""

from __future__ import annotations

import re
from typing import Any

from fakes import FakeEngine
from flask.testing import FlaskClient

from moderation_service.config.settings import Secret, Settings
from moderation_service.engines import Engine
from moderation_service.web import create_app
from moderation_service.web.service import Service, build_service

__all__ = ["Like", "Near", "client_of", "decision", "error", "keys", "make_client", "make_service"]

CATEGORY_NAMES = {
    "violent": "Violent",
    "jailbreak": "Jailbreak",
    "politically_sensitive_topics": "Politically Sensitive Topics",
    "unethical_acts": "Unethical Acts",
}
SCORES = {
    "safe": {"safe": 0.9, "controversial": 0.08, "unsafe": 0.02},
    "controversial": {"safe": 0.2, "controversial": 0.7, "unsafe": 0.1},
    "unsafe": {"safe": 0.01, "controversial": 0.04, "unsafe": 0.95},
}


class Like:
    """Equal to every string that matches the pattern as a whole."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and re.fullmatch(self._pattern, other) is not None

    def __hash__(self) -> int:
        return hash(self._pattern)

    def __repr__(self) -> str:
        return f"Like({self._pattern!r})"


class Near:
    """Equal to every number in the range."""

    def __init__(self, low: float, high: float) -> None:
        self._low, self._high = low, high

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (int, float)) and not isinstance(other, bool) and self._low <= other <= self._high

    def __hash__(self) -> int:
        return hash((self._low, self._high))

    def __repr__(self) -> str:
        return f"Near({self._low}, {self._high})"


def make_service(*, engine: Engine | None = None, fallback: Engine | None = None, **settings: Any) -> Service:
    """A service around this engine (otherwise a new `FakeEngine`), with these settings."""
    return build_service(Settings(**settings), engine=engine or FakeEngine(), fallback=fallback)


def client_of(service: Service) -> FlaskClient:
    return create_app(service=service).test_client()


def make_client(*, engine: Engine | None = None, fallback: Engine | None = None, **settings: Any) -> FlaskClient:
    return client_of(make_service(engine=engine, fallback=fallback, **settings))


def keys(*texts: str) -> tuple[Secret, ...]:
    return tuple(Secret(text) for text in texts)


def decision(safety: str | None = "safe", *categories: str, **fields: object) -> dict[str, object]:
    """The whole reply to a prompt under policy `balanced`, but for `fields`."""
    action = {"safe": "allow", "controversial": "flag", "unsafe": "block", None: "block"}[safety]
    document: dict[str, object] = {
        "id": Like("mod_[0-9a-f]{24}"),
        "target": "prompt",
        "safety": safety,
        "categories": list(categories),
        "category_names": [CATEGORY_NAMES[category] for category in categories],
        "refusal": None,
        "scores": SCORES[safety] if safety else None,
        "action": action,
        "allowed": True,
        "policy": "balanced",
        "message": None,
        "engine": "fake",
        "model": "fake-1",
        "degraded": False,
        "cached": False,
        "windows": 1 if safety else 0,
        "span": None,
        "coverage": None,
        "latency_ms": Near(0, 60_000),
    }
    document |= fields
    document["allowed"] = document["action"] != "block"
    if not document["allowed"] and "message" not in fields:
        document["message"] = "Sorry, I can't help with that."
    return document


def error(kind: str, message: str, param: str | None = None) -> dict[str, object]:
    """The whole reply of a refused request."""
    return {"error": {"type": kind, "message": message, "param": param}}
