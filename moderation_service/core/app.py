"""Apps: who calls the service, with which keys, and what they may ask for and how often. No I/O.

An app is one product of the operator's (a shop's assistant, a forum). Its keys are known as hashes. `config.apps_file`
reads apps from YAML, `store` keeps those that people manage.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

__all__ = [
    "DEFAULT_END_USER",
    "MAX_KEYS",
    "App",
    "AppKey",
    "Door",
    "Limits",
    "Window",
    "key_digest",
    "read_end_user",
]

MAX_KEYS = 2
"""Of one app: the one in use, and the next one while callers change over."""
DEFAULT_END_USER = ("header:X-Moderation-User", "safety_identifier", "user", "metadata.user_id")
"""Where the end user's id is looked for, unless the app says otherwise; the first place that has one counts."""
_HEADER = "header:"
_MAX_USER_CHARS = 512


class Door(enum.Enum):
    """What a caller may be let in by. `web.doors` knows the addresses of each."""

    MODERATE = "moderate"
    MODERATIONS = "moderations"
    CHAT = "chat"
    RESPONSES = "responses"
    MESSAGES = "messages"
    EMBEDDINGS = "embeddings"
    MEDIA = "media"
    LITELLM = "litellm"
    OPEN_WEBUI = "open-webui"
    DIFY = "dify"
    LAKERA = "lakera"
    AZURE = "azure"
    BEDROCK = "bedrock"
    ALIBABA = "alibaba"
    DETECTORS = "detectors"
    AGENTGATEWAY = "agentgateway"
    PORTKEY = "portkey"
    EXT_AUTHZ = "ext-authz"
    REWARDS = "rewards"
    APPEALS = "appeals"
    MCP = "mcp"
    METRICS = "metrics"
    """The figures of the whole service: never open to an app that does not name it."""

    word: str
    """The value, which to look up takes two calls of functions."""

    def __init__(self, word: str) -> None:
        self.word = word


class Window(enum.Enum):
    """A stretch of time in which requests are counted; ordered by `rank`, the shortest first."""

    SECOND = 1
    MINUTE = 60
    DAY = 86_400

    seconds: int
    rank: int

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        self.rank = (1, 60, 86_400).index(seconds)

    @property
    def word(self) -> str:
        """`second`, `minute` or `day`."""
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many requests an app may make; None for as many as it likes. Each text of a request counts as one."""

    per_second: int | None = None
    per_minute: int | None = None
    per_day: int | None = None
    at_once: int | None = None
    """Requests under way at the same time, streams with them."""

    @property
    def windows(self) -> tuple[tuple[Window, int], ...]:
        """The limits over time, the smallest window first."""
        found = ((Window.SECOND, self.per_second), (Window.MINUTE, self.per_minute), (Window.DAY, self.per_day))
        return tuple((window, most) for window, most in found if most is not None)

    def __bool__(self) -> bool:
        return bool(self.windows) or self.at_once is not None

    def to_json(self) -> dict[str, int | None]:
        """The limits by their names in files."""
        return {name: getattr(self, name) for name in ("per_second", "per_minute", "per_day", "at_once")}


@dataclass(frozen=True, slots=True)
class AppKey:
    """One key of an app. `length` is that of the key, 0 where only its digest is known."""

    label: str
    digest: bytes
    length: int = 0
    expires: float | None = None
    """Seconds since 1970, from which on the key is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """One app. What is left out is not restricted."""

    name: str
    description: str = ""
    keys: Sequence[AppKey] = ()
    policy: str | None = None
    """The policy of requests that name none; the service's own default for None."""
    policies: frozenset[str] | None = None
    """The policies that it may name, at every door; None: any, where the door lets its caller choose."""
    doors: frozenset[Door] | None = None
    limits: Limits = Limits()
    lists: tuple[str, ...] = ()
    """The names of lists that its texts are compared with, whatever the policy."""
    end_user: Sequence[str] = DEFAULT_END_USER
    expires: float | None = None
    is_enabled: bool = True

    def may_use(self, door: Door | None) -> bool:
        """Whether it is let in there; None is what every caller with a key may ask for, such as a list of models."""
        if door is None:
            return True
        return door is not Door.METRICS if self.doors is None else door in self.doors

    def why_refused(self, key: AppKey, now: float) -> str | None:
        """Why this key is not let in at this time, for its holder; None if it is."""
        if not self.is_enabled:
            return "The app of this key is switched off."
        if key.expires is not None and now >= key.expires:
            return "This key has expired."
        if self.expires is not None and now >= self.expires:
            return "The app of this key has expired."
        return None


def key_digest(key: str) -> bytes:
    """What is kept of a key. Keys are long and random, so a plain hash is enough."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def read_end_user(places: Sequence[str], environ: Mapping[str, object], body: object) -> str | None:
    """The id of the end user, from the first of `places` that has one; None without.

    `header:NAME` is a header of the request, anything else the path of a field in its JSON, such as `user` or
    `metadata.user_id`; an object there is looked into for its `id`.
    """
    fields = body if isinstance(body, dict) else None
    for header, name, path in _read_places(tuple(places)):
        found: object = None
        if header is not None:
            found = environ.get(header)
        elif fields is not None:
            found = fields.get(name)
        # At most of the places there is nothing.
        if found is None:
            continue
        for part in path:
            found = found.get(part) if isinstance(found, dict) else None
        if isinstance(found, dict):
            found = found.get("id")
        if isinstance(found, int) and not isinstance(found, bool):
            found = str(found)
        if isinstance(found, str) and found.strip():
            return found.strip()[:_MAX_USER_CHARS]
    return None


@lru_cache(maxsize=1024)
def _read_places(places: tuple[str, ...]) -> tuple[tuple[str | None, str, tuple[str, ...]], ...]:
    """For each the header's name in a request's environment; else the name of a field, and the path from there."""
    found: list[tuple[str | None, str, tuple[str, ...]]] = []
    for place in places:
        if place.startswith(_HEADER):
            found.append(("HTTP_" + place.removeprefix(_HEADER).upper().replace("-", "_"), "", ()))
        else:
            name, *path = place.split(".")
            found.append((None, name, tuple(path)))
    return tuple(found)
