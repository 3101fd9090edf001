"""HTTP client of the moderation service. Knows nothing of Dify.

The texts of its errors reach the builder, the end user's logs and the daemon's log, so they never hold the key, the
checked text, or anything the other side answered that is not one of our own words.
"""

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import gevent
import httpx
from guard_errors import (
    GuardError,
    Problem,
    is_decision,
    not_ours,
    refused,
    unreachable,
    without_an_answer,
)
from guard_service import Service

# One client for the life of the process: connections are kept, and the TLS context is built once. They are dropped
# after 5 s of idling, long before the service would close them.
_client = httpx.Client(limits=httpx.Limits(max_connections=200, max_keepalive_connections=20, keepalive_expiry=5.0))

_CONNECT_TIMEOUT_S = 5.0
_PAUSES_S = (0.25, 1.0)
"""Before the second and the third attempt. A service that is restarted is away for about that long."""
_MAX_PAUSE_S = 5.0
_DECISION_BYTES = 8 * 1024  # a decision is about 500 bytes; what sends more is not our service
_ANSWER_BYTES = 256 * 1024


def new_request_id() -> str:
    """The id under which this check is found in the service's log and audit record."""
    return f"dify-{uuid.uuid4().hex}"


def moderate(service: Service, body: Mapping[str, Any], *, request_id: str, language: str = "") -> dict[str, Any]:
    """POST {url}/moderate; the decision as the service sent it. Raises GuardError."""
    decision = _ask(service, body, request_id=request_id, language=language, max_bytes=_ANSWER_BYTES)
    if not is_decision(decision):
        raise GuardError(not_ours(service, 200), Problem.DOWN)
    return dict(decision)


def moderate_all(
    service: Service, inputs: list[dict[str, Any]], *, policy: str, request_id: str, language: str = ""
) -> list[Any]:
    """One call for many; a result for each input, in their order. Raises GuardError when the call itself fails."""
    body = {"inputs": inputs, **({"policy": policy} if policy else {})}
    max_bytes = _ANSWER_BYTES + _DECISION_BYTES * len(inputs)
    answer = _ask(service, body, request_id=request_id, language=language, max_bytes=max_bytes)
    results = answer.get("results") if isinstance(answer, dict) else None
    if not isinstance(results, list) or len(results) != len(inputs):
        raise GuardError(not_ours(service, 200), Problem.DOWN)
    return results


def _ask(service: Service, body: Mapping[str, Any], *, request_id: str, language: str, max_bytes: int) -> Any:
    """The JSON of the first useful answer, before the service's one deadline for all attempts together.

    Asked again when the connection breaks or the service says that it is busy: judging changes nothing, so a repeated
    question does no harm.
    """
    headers = {"Content-Type": "application/json", "X-Request-Id": request_id}
    if service.key:
        headers["Authorization"] = f"Bearer {service.key}"
    if language:
        headers["Accept-Language"] = language
    content = _content(body)
    ends = time.monotonic() + service.timeout_s
    with _deadline(service):
        for pause in (*_PAUSES_S, None):
            try:
                status, retry_after, answer = _post(service, content, headers, max_bytes=max_bytes)
            except httpx.TimeoutException:
                raise without_an_answer(service) from None
            except httpx.TransportError as error:
                problem, passes = unreachable(service, error)
                if pause is None or not passes:
                    raise problem from None
                retry_after = None
            except (httpx.HTTPError, httpx.InvalidURL, UnicodeError):
                raise GuardError("the service URL can't be used", Problem.SETUP) from None
            else:
                parsed = _parse(answer, max_bytes=max_bytes)
                if status == 200:
                    return parsed
                wait = max(pause or 0.0, retry_after or 0.0)
                if status not in (429, 503) or pause is None or wait > min(_MAX_PAUSE_S, ends - time.monotonic()):
                    raise refused(service, status, parsed, str(body.get("policy") or ""))
            time.sleep(max(pause, retry_after or 0.0))
    raise AssertionError("the last attempt returns or raises")


@contextmanager
def _deadline(service: Service) -> Iterator[None]:
    """Ends the call as a whole. httpx bounds each read only, so that an answer of single bytes could last for hours."""
    timer = gevent.Timeout(service.timeout_s)
    with timer:
        try:
            yield
        except gevent.Timeout as rung:
            if rung is not timer:
                raise
            raise without_an_answer(service) from None


def _content(body: Mapping[str, Any]) -> bytes:
    """As UTF-8: with escapes, a Chinese text would be twice as long and over the service's limit at half its length."""
    try:
        return json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        # Half a surrogate pair is the service's to refuse, and not a crash here.
        return json.dumps(body).encode("ascii")


def _post(
    service: Service, content: bytes, headers: Mapping[str, str], *, max_bytes: int
) -> tuple[int, float | None, bytes]:
    """Status, Retry-After in seconds, and as much of the body as an answer may have."""
    timeout = httpx.Timeout(service.timeout_s, connect=min(service.timeout_s, _CONNECT_TIMEOUT_S))
    with _client.stream(
        "POST", f"{service.url}/moderate", content=content, headers=dict(headers), timeout=timeout
    ) as answer:
        received = bytearray()
        for piece in answer.iter_bytes():
            received += piece
            if len(received) > max_bytes:
                break
        return answer.status_code, _retry_after(answer.headers.get("Retry-After")), bytes(received)


def _retry_after(value: str | None) -> float | None:
    """Seconds; a date, which nobody sends for a short wait, counts as a long one."""
    if value is None:
        return None
    return float(value) if value.isascii() and value.isdigit() and len(value) < 10 else float("inf")


def _parse(answer: bytes, *, max_bytes: int) -> Any:
    try:
        return json.loads(answer) if len(answer) <= max_bytes else None
    except (ValueError, RecursionError):
        return None
