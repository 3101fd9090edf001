"""Why there is no verdict: the kind, which decides what the end user reads, and a sentence for the builder.

The sentences name what to change. Nothing of a key, of a checked text or of somebody else's answer gets into them.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import httpx
    from guard_service import Service

_WORD = re.compile(r"[A-Za-z0-9_.\[\]]{1,60}")
_LOCAL_HOSTS = {"localhost", "127.0.0.1", "::1"}
_NO_TLS = ("wrong version", "wrong_version", "record layer", "packet length too long")
_OF_THE_TEXT = re.compile(r"(?:inputs\[\d+\]\.)?(?:prompt|response|messages\b.*)")


class Problem(Enum):
    """What stands in the way of a verdict."""

    TOO_LONG = "too_long"
    UNREADABLE = "unreadable"
    """The text itself is at fault, such as one of invisible characters only."""
    SETUP = "setup"
    """The key, the address, the policy, the history: whoever built the app can mend it."""
    DOWN = "down"
    """The service can't be had just now. Only this one may be let through (`on_error`)."""


class GuardError(Exception):
    """No verdict."""

    def __init__(self, reason: str, problem: Problem) -> None:
        super().__init__(reason)
        self.problem = problem

    @property
    def is_outage(self) -> bool:
        """The service can't be had just now; otherwise the request or its settings are at fault."""
        return self.problem is Problem.DOWN


def is_decision(answer: Any) -> bool:
    """Whether this has the shape of a decision."""
    return isinstance(answer, dict) and {"safety", "action"} <= answer.keys()


def refused(service: Service, status: int, answer: Any, policy: str) -> GuardError:
    """The error of an answer that is no verdict."""
    ours = error_of(answer)
    if ours is None:
        # A proxy's page of an overload is one all the same.
        if status == 413:
            reason = f"the text is longer than what stands before the service at {service.place} accepts"
            return GuardError(reason, Problem.TOO_LONG)
        down = status >= 500 or status in (408, 429)
        return GuardError(not_ours(service, status), Problem.DOWN if down else Problem.SETUP)
    return of_service(ours, status, service=service, policy=policy)


def error_of(answer: Any) -> dict[str, Any] | None:
    """The `error` of an answer in the service's shape."""
    ours = answer.get("error") if isinstance(answer, dict) else None
    return ours if isinstance(ours, dict) and _is_word(ours.get("type")) else None


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and _WORD.fullmatch(value) is not None


def of_service(ours: dict[str, Any], status: int, *, service: Service, policy: str) -> GuardError:
    """What the service itself said."""
    kind, param = ours["type"], ours.get("param")
    if status == 401:
        return GuardError(_wrong_key(service), Problem.SETUP)
    if status == 400 and isinstance(param, str) and param.rpartition(".")[2] == "policy":
        return GuardError(f"the service has no policy {policy!r}", Problem.SETUP)
    if status == 413:
        many = "there are more texts at once than the service accepts"
        return GuardError(
            many if param == "inputs" else "the text is longer than the service accepts", Problem.TOO_LONG
        )
    if status < 500 and status != 429:
        where = f", {param}" if _is_word(param) else ""
        of_text = status == 400 and isinstance(param, str) and _OF_THE_TEXT.fullmatch(param) is not None
        return GuardError(
            f"the service refused the request (HTTP {status}, {kind}{where})",
            Problem.UNREADABLE if of_text else Problem.SETUP,
        )
    reasons = {429: "the service is busy", 503: "the service is there, but its model is not ready"}
    reason = reasons.get(status, "the service could not judge the text")
    return GuardError(f"{reason} (HTTP {status}, {kind})", Problem.DOWN)


def _wrong_key(service: Service) -> str:
    if not service.key:
        return "the service wants an API key"
    if ":" in service.key:
        return "the API key is wrong; of name:key enter only what follows the colon"
    return "the API key is wrong"


def not_ours(service: Service, status: int) -> str:
    """For an answer that the service does not give."""
    if 300 <= status < 400:
        return f"{service.place} answered with a redirect (HTTP {status}); enter the address that it leads to"
    if status in (408, 429, 502, 503, 504):
        return f"what stands before the service at {service.place} could not reach it or is overloaded (HTTP {status})"
    hint = "check host, port and path of the service URL"
    if status == 400 and service.url.startswith("http:"):
        hint += ", and whether it must begin with https"
    return f"{service.place} answered, but not as a moderation service (HTTP {status}); {hint}"


def without_an_answer(service: Service) -> GuardError:
    """For a call that lasted too long."""
    return GuardError(f"{service.place} did not answer within {service.timeout_s:g} s", Problem.DOWN)


def unreachable(service: Service, error: httpx.TransportError) -> tuple[GuardError, bool]:
    """For a connection that was not made or broke, and whether it may be different in a moment."""
    said = str(error).lower()
    passes, problem = False, Problem.DOWN
    if "certificate" in said:
        reason = "its TLS certificate is not trusted here"
    elif any(words in said for words in _NO_TLS):
        # Not repaired: the key would go over the network in the clear without anybody having said so.
        reason, problem = f"it does not speak https; for plain http enter http://{service.place}", Problem.SETUP
    elif "refused" in said:
        reason, passes = "connection refused", True
    elif "name" in said or "address" in said:
        reason = "there is no host of that name here"
    else:
        reason, passes = type(error).__name__, True
    hint = ""
    if urlsplit(service.url).hostname in _LOCAL_HOSTS:
        hint = "; in Dify this address is the plugin_daemon container itself"
    return GuardError(f"{service.place} could not be reached: {reason}{hint}", problem), passes
