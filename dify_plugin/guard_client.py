"""HTTP client of the moderation service. Knows nothing of Dify.

The texts of its errors reach the builder, the end user's logs and the daemon's log, so they never hold the key, the
checked text, or anything the other side answered that is not one of our own words.
"""

import json
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

DEFAULT_TIMEOUT_S = 30.0
MIN_TIMEOUT_S = 1.0
MAX_TIMEOUT_S = 60.0
_CONNECT_TIMEOUT_S = 5.0
_ATTEMPTS = 2
_MAX_PAUSE_S = 2.0
_MAX_ANSWER_BYTES = 256 * 1024  # a decision is about 500 bytes; whatever sends more is not our service
_WORD = re.compile(r"[A-Za-z0-9_.\[\]]{1,60}")
_LOCAL_HOSTS = {"localhost", "127.0.0.1", "::1"}

# One client for the life of the process: connections are kept, and the TLS context is built once. They are dropped
# after 5 s of idling, long before the service would close them.
_client = httpx.Client(limits=httpx.Limits(max_connections=200, max_keepalive_connections=20, keepalive_expiry=5.0))


class GuardError(Exception):
    """No verdict. `outage`: the service can't be had just now; otherwise the request or its settings are at fault."""

    def __init__(self, reason: str, *, outage: bool) -> None:
        super().__init__(reason)
        self.outage = outage


@dataclass(frozen=True)
class Service:
    """Where the service is and how it is asked, from the credentials that the administrator typed in."""

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
    """Raises GuardError that says which field is wrong."""
    url = str(credentials.get("base_url") or "").strip().rstrip("/").removesuffix("/moderate")
    try:
        parts = urlsplit(url)
        is_complete = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_complete = False
    if not is_complete:
        raise GuardError("the service URL must look like http://moderation:8787", outage=False)
    key = str(credentials.get("api_key") or "").strip()
    if not (key.isascii() and key.isprintable()):
        raise GuardError("the API key has characters that can't be in a key", outage=False)
    return Service(url, key, str(credentials.get("policy") or "").strip(), _seconds(credentials.get("timeout")))


def _seconds(value: Any) -> float:
    if value is None or not str(value).strip():
        return DEFAULT_TIMEOUT_S
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = 0.0
    if not MIN_TIMEOUT_S <= seconds <= MAX_TIMEOUT_S:
        raise GuardError(f"the timeout must be {MIN_TIMEOUT_S:g} to {MAX_TIMEOUT_S:g} seconds", outage=False)
    return seconds


def new_request_id() -> str:
    """The id under which this check is found in the service's log and audit record."""
    return f"dify-{uuid.uuid4().hex}"


def moderate(service: Service, body: Mapping[str, Any], *, request_id: str, language: str = "") -> dict[str, Any]:
    """POST {url}/moderate; the decision as the service sent it. Raises GuardError.

    Asked twice when the connection breaks or the service says that it is busy: judging changes nothing, so a repeated
    question does no harm.
    """
    headers = {"Content-Type": "application/json", "X-Request-Id": request_id}
    if service.key:
        headers["Authorization"] = f"Bearer {service.key}"
    if language:
        headers["Accept-Language"] = language
    # ASCII with escapes: half a surrogate pair in the text then is the service's to refuse and not a crash here.
    content = json.dumps(dict(body)).encode("ascii")
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            status, retry_after, answer = _post(service, content, headers)
        except httpx.TimeoutException:
            raise GuardError(f"{service.place} did not answer within {service.timeout_s:g} s", outage=True) from None
        except httpx.TransportError as error:
            if attempt == _ATTEMPTS:
                raise GuardError(_unreachable(service, error), outage=True) from None
            continue
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError):
            raise GuardError("the service URL can't be used", outage=False) from None
        if status == 200:
            return _decision(service, answer)
        if status in (429, 503) and attempt < _ATTEMPTS:
            time.sleep(min(max(retry_after, 0.1), _MAX_PAUSE_S))
            continue
        raise _refused(service, status, answer, str(body.get("policy") or ""))
    raise AssertionError("the last attempt returns or raises")


def _post(service: Service, content: bytes, headers: Mapping[str, str]) -> tuple[int, float, bytes]:
    """Status, Retry-After and as much of the body as a decision may have."""
    timeout = httpx.Timeout(service.timeout_s, connect=min(service.timeout_s, _CONNECT_TIMEOUT_S))
    with _client.stream(
        "POST", f"{service.url}/moderate", content=content, headers=dict(headers), timeout=timeout
    ) as answer:
        received = b""
        for piece in answer.iter_bytes():
            received += piece
            if len(received) > _MAX_ANSWER_BYTES:
                break
        wait = answer.headers.get("Retry-After", "")
        return answer.status_code, float(wait) if wait.isascii() and wait.isdigit() else 0.0, received


def _parse(answer: bytes) -> Any:
    try:
        return json.loads(answer) if len(answer) <= _MAX_ANSWER_BYTES else None
    except (ValueError, RecursionError):
        return None


def _decision(service: Service, answer: bytes) -> dict[str, Any]:
    decision = _parse(answer)
    if not isinstance(decision, dict) or not {"safety", "action"} <= decision.keys():
        raise GuardError(_not_ours(service, 200), outage=True)
    return decision


def _refused(service: Service, status: int, answer: bytes, policy: str) -> GuardError:
    parsed = _parse(answer)
    ours = parsed.get("error") if isinstance(parsed, dict) else None
    if not (isinstance(ours, dict) and isinstance(ours.get("type"), str) and _WORD.fullmatch(ours["type"])):
        return GuardError(_not_ours(service, status), outage=status >= 500)
    if status == 401:
        reason = "the API key is wrong" if service.key else "the service wants an API key"
        return GuardError(reason, outage=False)
    param = ours.get("param")
    if status == 400 and param == "policy":
        return GuardError(f"the service has no policy {policy!r}", outage=False)
    if status == 413:
        return GuardError("the text is longer than the service accepts", outage=False)
    if status < 500 and status != 429:
        where = f", {param}" if isinstance(param, str) and _WORD.fullmatch(param) else ""
        return GuardError(f"the service refused the request (HTTP {status}, {ours['type']}{where})", outage=False)
    reasons = {429: "the service is busy", 503: "the service is there, but its model is not ready"}
    reason = reasons.get(status, "the service could not judge the text")
    return GuardError(f"{reason} (HTTP {status}, {ours['type']})", outage=True)


def _not_ours(service: Service, status: int) -> str:
    if 300 <= status < 400:
        return f"{service.place} answered with a redirect (HTTP {status}); enter the address that it leads to"
    return (
        f"{service.place} answered, but not as a moderation service (HTTP {status}); check host, port and path of "
        "the service URL"
    )


def _unreachable(service: Service, error: httpx.TransportError) -> str:
    said = str(error).lower()
    if "certificate" in said:
        reason = "its TLS certificate is not trusted here"
    elif "refused" in said:
        reason = "connection refused"
    elif "name" in said or "address" in said:
        reason = "there is no host of that name here"
    else:
        reason = type(error).__name__
    hint = ""
    if urlsplit(service.url).hostname in _LOCAL_HOSTS:
        hint = "; in Dify this address is the plugin_daemon container itself"
    return f"{service.place} could not be reached: {reason}{hint}"
