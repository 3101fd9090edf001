"""Who may ask: keys that stand for themselves, and apps with what they may use and how often."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import time
from typing import NamedTuple, Protocol

from ..core.app import App, AppKey, Door, key_digest
from ..core.policy import Policies
from ..errors import ConfigurationError, Forbidden, RateLimited, StoreUnavailable, TooLarge, Unauthorized
from .api_keys import ApiKeys
from .rate_limits import Counted, Counters

__all__ = ["Admitted", "AppEvents", "Callers", "KnownApp"]

# Until one of the requests under way may have ended.
_AT_ONCE_RETRY_S = 1.0
# How often the database is asked (web/following).
_WAITING_RETRY_S = 2.0
_NO_HEADERS: Mapping[str, str] = {}


class AppEvents(Protocol):
    """Told of what apps ask for."""

    def app_asked(self, app: str, result: str) -> None:
        """An app's request was let in, or not: `admitted`, `forbidden`, or `over_` and the limit."""


class KnownApp:
    """An app with what is made of it once: its name as a caller, and the policies as it may use them."""

    __slots__ = ("app", "caller", "has_limits", "limits_header", "policies", "windows")

    def __init__(self, app: App, policies: Policies) -> None:
        self.app = app
        # No other key's name has a colon. It is the same for all keys of the app, the next one too.
        self.caller = f"{app.name}:"
        self.policies = policies.of_app(app)
        self.windows = app.limits.windows
        self.has_limits = bool(app.limits)
        self.limits_header = ", ".join(f"{most};w={window.seconds}" for window, most in self.windows)


class Admitted(NamedTuple):
    """A request that was let in: what its reply says of the limits, and what is to be called when it has ended."""

    headers: Mapping[str, str]
    leave: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class _Known:
    """The apps of a moment, and the policies that they refer to."""

    apps: Mapping[str, KnownApp]
    by_digest: Mapping[bytes, tuple[KnownApp, AppKey]]
    all_keys: ApiKeys
    policies: Policies

    @classmethod
    def of(cls, apps: Iterable[App], plain: ApiKeys, policies: Policies) -> _Known:
        known = {app.name: KnownApp(app, policies) for app in apps}
        by_digest = {key.digest: (one, key) for one in known.values() for key in one.app.keys}
        entries = tuple((f"{one.caller}{key.label}", key.digest) for one, key in by_digest.values())
        lengths = frozenset(key.length for _, key in by_digest.values())
        return cls(known, by_digest, ApiKeys(plain.entries + entries, plain.lengths | lengths), policies)


class Callers:
    """All callers of a service, and the policies that they use.

    Safe under threads; `replace` exchanges the apps and the policies while requests are under way.
    """

    def __init__(
        self,
        plain: ApiKeys,
        *,
        policies: Policies,
        events: AppEvents,
        apps: Sequence[App] = (),
        counters: Counters | None = None,
    ) -> None:
        """`counters` are needed as soon as an app has limits. Raises ConfigurationError for a key used twice."""
        self._plain = plain
        self._events = events
        self._counters = counters
        self._known = _Known.of(apps, plain, policies)
        self._is_waiting = False
        for name, digest in plain.entries:
            if digest in self._known.by_digest:
                app = self._known.by_digest[digest][0].app.name
                raise ConfigurationError(f"api_keys: the key {name!r} is also one of the app {app!r}.")

    def __bool__(self) -> bool:
        """Whether a key is needed at all."""
        # An app that is switched off, or has lost its keys, must not open the service to everybody.
        return self.has_keys or self._is_waiting

    @property
    def has_keys(self) -> bool:
        """Whether there is a key or an app, as far as is known."""
        return bool(self._plain) or bool(self._known.apps)

    def wait_for_apps(self) -> None:
        """Let nobody in until `replace` says which apps there are: there may be some whose keys are not known yet."""
        self._is_waiting = True

    @property
    def apps(self) -> Sequence[App]:
        """The apps that there are now."""
        return [one.app for one in self._known.apps.values()]

    @property
    def policies(self) -> Policies:
        """The policies as a caller without an app may use them."""
        return self._known.policies

    def replace(self, apps: Iterable[App], *, policies: Policies | None = None) -> None:
        """From the next request on these are the apps, and the policies for all; None for those that there are."""
        self._known = _Known.of(apps, self._plain, policies or self.policies)
        self._is_waiting = False

    def identify(self, key: str) -> str | None:
        """The name of this key: `name`, or `app:label` for one of an app; None if it is not let in."""
        name = self._plain.identify(key)
        if name is not None:
            return name
        # By the hash of a random key, of which nothing can be learned from how long it takes to find it.
        found = self._known.by_digest.get(key_digest(key))
        if found is None or found[0].app.why_refused(found[1], time()) is not None:
            return None
        return f"{found[0].caller}{found[1].label}"

    def why_refused(self, key: str) -> str:
        """What is said to somebody whose key `identify` does not let in."""
        found = self._known.by_digest.get(key_digest(key))
        reason = None if found is None else found[0].app.why_refused(found[1], time())
        return reason or "This key is not known here."

    def check(self) -> None:
        """Raises StoreUnavailable where nobody can be let in because nothing is known of any key."""
        if self._is_waiting and not self.has_keys:
            raise StoreUnavailable(
                "The database, which says who may ask, can't be read; try again later.", retry_after_s=_WAITING_RETRY_S
            )

    def are_in(self, text: str) -> bool:
        """Whether a text has one of the keys in it (`ApiKeys.are_in`)."""
        return self._known.all_keys.are_in(text)

    def app_of(self, key_name: str | None) -> KnownApp | None:
        """The app that a key of this name belongs to; None for a key that stands for itself.

        Raises Unauthorized if the app has gone since the key was looked at.
        """
        if key_name is None or ":" not in key_name:
            return None
        return self._app(key_name.partition(":")[0])

    def policies_of(self, app: str) -> Policies:
        """The policies as this app may use them. Raises Unauthorized if it has gone."""
        return self._app(app).policies

    def _app(self, name: str) -> KnownApp:
        found = self._known.apps.get(name)
        if found is None:
            raise Unauthorized("The app of this key has been removed.")
        return found

    def admit(self, known: KnownApp, door: Door | None) -> Admitted:
        """Let a request of an app in, and count it. Raises Forbidden or RateLimited."""
        app = known.app
        if not app.may_use(door):
            self._events.app_asked(app.name, "forbidden")
            raise Forbidden(f"The app of this key may not use the door `{door.value if door else ''}`.")
        counters, name = self._counters, app.name
        if door is None or counters is None or not known.has_limits:
            self._events.app_asked(name, "admitted")
            return Admitted(_NO_HEADERS)
        most = app.limits.at_once
        if most is None:
            counted, leave = self._take(counters, known, 1), None
        else:
            counted = self._enter(counters, known, most)

            def leave() -> None:
                counters.leave(name)

        self._events.app_asked(name, "admitted")
        return Admitted(_NO_HEADERS if counted is None else _headers(counted, known), leave)

    def charge(self, app: str, more: int) -> None:
        """Count the other items of a batch, of which one was counted as the request. Raises RateLimited, TooLarge."""
        known = self._app(app)
        if self._counters is None or not known.windows:
            return
        window, least = min(known.windows, key=lambda one: one[1])
        if more + 1 > least:
            # It would never be let in, however long its caller waits.
            limit = f"{least} per {window.word}"
            raise TooLarge(f"{more + 1} texts in one request are over the limit of this app: {limit}.")
        self._take(self._counters, known, more)

    def _enter(self, counters: Counters, known: KnownApp, most: int) -> Counted | None:
        has_place, counted = counters.enter(known.app.name, known.windows, most)
        if has_place:
            return self._within(counted, known)
        self._events.app_asked(known.app.name, "over_at_once")
        raise RateLimited(
            f"This app may have {most} requests under way at once, and has.", retry_after_s=_AT_ONCE_RETRY_S
        )

    def _take(self, counters: Counters, known: KnownApp, cost: int) -> Counted | None:
        return self._within(counters.take(known.app.name, known.windows, cost), known)

    def _within(self, counted: Counted | None, known: KnownApp) -> Counted | None:
        """What was counted. Raises RateLimited if it is over a limit."""
        if counted is not None and counted.over is not None:
            word = counted.over.word
            self._events.app_asked(known.app.name, f"over_{word}")
            wait_s = max(1, math.ceil(counted.reset_s))
            raise RateLimited(
                f"This app may make {counted.limit} requests per {word}; try again in {wait_s} s.",
                retry_after_s=wait_s,
                headers=_headers(counted, known),
            )
        return counted


def _headers(counted: Counted, known: KnownApp) -> Mapping[str, str]:
    """How the request stands with the nearest limit (draft-ietf-httpapi-ratelimit-headers-03), and which there are."""
    return {
        "RateLimit-Limit": str(counted.limit),
        "RateLimit-Remaining": str(counted.remaining),
        "RateLimit-Reset": str(max(0, math.ceil(counted.reset_s))),
        "RateLimit-Policy": known.limits_header,
    }
