"""Where the service is and how it is asked: what the administrator typed in, repaired where it can't be mistaken."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from guard_errors import GuardError, Problem

DEFAULT_TIMEOUT_S = 30.0
MIN_TIMEOUT_S = 1.0
MAX_TIMEOUT_S = 60.0

_PATHS = (
    "/moderate/stream", "/moderate", "/dify/moderation", "/v1/moderations", "/v1/chat/completions", "/v1/models",
    "/healthz", "/readyz", "/metrics", "/openapi.json",
)  # fmt: skip
"""Addresses of the service itself: who pastes one of them means the service."""
_KEY_WORDS = re.compile(r"(?:authorization\s*:\s*)?(?:bearer\s+)?", re.IGNORECASE)
_QUOTES = "\"'`<>“”‘’「」"


@dataclass(frozen=True)
class Service:
    """Where the service is and how it is asked. `timeout_s` is for a whole call, with everything that it repeats."""

    url: str
    key: str
    policy: str
    timeout_s: float

    @property
    def place(self) -> str:
        """Host and port, for people."""
        parts = urlsplit(self.url)
        return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


def service_of(credentials: Mapping[str, Any]) -> Service:
    """Raises GuardError that says which field is wrong and what to type."""
    url = _url(str(credentials.get("base_url") or ""))
    key = _KEY_WORDS.sub("", _bare(str(credentials.get("api_key") or "")), count=1).strip()
    if not (key.isascii() and key.isprintable()):
        raise GuardError("the API key has characters that can't be in a key", Problem.SETUP)
    policy = str(credentials.get("policy") or "").strip()
    return Service(url, key, policy, _seconds(credentials.get("timeout")))


def _bare(text: str) -> str:
    """Without the quotes and blanks that come along when something is copied."""
    return text.strip().strip(_QUOTES).strip()


def _url(typed: str) -> str:
    text = _bare(typed)
    try:
        parts = urlsplit(text)
        is_complete = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_complete = False
    if not is_complete:
        missing = " with http:// or https:// at its beginning" if text and "://" not in text else ""
        raise GuardError(f"the service URL must look like http://moderation:8787{missing}", Problem.SETUP)
    if parts.query or parts.fragment or text.endswith(("?", "#")):
        raise GuardError(
            f"the service URL must end before its ? or #: enter {_without_path(parts)} and put a policy into the "
            "field for it",
            Problem.SETUP,
        )
    return _repaired(text)


def _without_path(parts: SplitResult) -> str:
    """Scheme, host and port only: nothing else of an address is repeated."""
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}"


def _repaired(url: str) -> str:
    """Without an address of the service at its end. A lone `/v1` is what OpenAI's clients are given."""
    url = url.rstrip("/")
    for path in _PATHS:
        if url.lower().endswith(path):
            return url[: -len(path)].rstrip("/")
    return url[: -len("/v1")] if urlsplit(url).path.lower() == "/v1" else url


def _seconds(value: Any) -> float:
    if value is None or not str(value).strip():
        return DEFAULT_TIMEOUT_S
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = 0.0
    if not MIN_TIMEOUT_S <= seconds <= MAX_TIMEOUT_S:
        raise GuardError(f"the timeout must be {MIN_TIMEOUT_S:g} to {MAX_TIMEOUT_S:g} seconds", Problem.SETUP)
    return seconds
